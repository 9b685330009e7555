//! Certificates for the tests, made by hand so that thousands take a moment: one key for all holders,
//! and a CA whose signatures are real.

use std::time::Duration;

use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use der::{Encode as _, asn1::UtcTime};

/// A day in seconds.
pub const DAY: i64 = 24 * 60 * 60;

/// A CA with a key of its own.
pub struct TestCa {
    name: &'static str,
    key: EcdsaKeyPair,
    /// Its certificate.
    pub der: Vec<u8>,
}

/// A certificate to be made.
#[derive(Clone, Debug)]
pub struct Leaf<'a> {
    pub name: &'a str,
    pub serial: u32,
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
}

impl TestCa {
    pub fn new(name: &'static str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let mut ca = Self { name, key, der: Vec::new() };
        let basic = extension(&[0x55, 0x1d, 0x13], true, &sequence(&[&[1, 1, 0xff]]));
        let dates = (0, 2_500_000_000);
        ca.der = ca.signed(name, 1, dates, &[basic, ca.subject_key_identifier()]);
        ca
    }

    pub fn issue(&self, leaf: &Leaf<'_>) -> Vec<u8> {
        self.issue_to(leaf, leaf.name)
    }

    /// The same with another subject than the name of the mail address: see [`name`].
    pub fn issue_to(&self, leaf: &Leaf<'_>, subject: &str) -> Vec<u8> {
        let mail = format!("{}@example.test", leaf.name);
        let upn = tlv(0x0c, format!("{}@upn.example.test", leaf.name).as_bytes());
        let upn_oid = [0x06, 0x0a, 0x2b, 6, 1, 4, 1, 0x82, 0x37, 0x14, 2, 3];
        let upn = tlv(0xa0, &[&upn_oid[..], &tlv(0xa0, &upn)].concat());
        let names = sequence(&[&tlv(0x81, mail.as_bytes()), &upn]);
        let alternative = extension(&[0x55, 0x1d, 0x11], false, &names);
        let authority = sequence(&[&tlv(0x80, &self.key_identifier())]);
        let authority = extension(&[0x55, 0x1d, 0x23], false, &authority);
        let dates = (leaf.not_before, leaf.not_after);
        self.signed(subject, leaf.serial, dates, &[alternative, authority])
    }

    fn signed(
        &self,
        subject: &str,
        serial: u32,
        (begin, end): (i64, i64),
        extensions: &[Vec<u8>],
    ) -> Vec<u8> {
        let algorithm = sequence(&[&[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
        let mut number = vec![0];
        number.extend(serial.to_be_bytes());
        while number.len() > 1 && number[0] == 0 && number[1] < 0x80 {
            number.remove(0);
        }
        let tbs = sequence(&[
            &tlv(0xa0, &[2, 1, 2]),
            &tlv(2, &number),
            &algorithm,
            &name(self.name),
            &sequence(&[&time(begin), &time(end)]),
            &name(subject),
            &self.public_key(),
            &tlv(0xa3, &sequence(&extensions.iter().map(Vec::as_slice).collect::<Vec<_>>())),
        ]);
        let signature = self.key.sign(&SystemRandom::new(), &tbs).unwrap();
        let signature = [&[0], signature.as_ref()].concat();
        sequence(&[&tbs, &algorithm, &tlv(3, &signature)])
    }

    /// The CA's own key, which its holders have as well: nobody here uses it.
    fn public_key(&self) -> Vec<u8> {
        let algorithm = sequence(&[
            &[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1],
            &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
        ]);
        sequence(&[&algorithm, &tlv(3, &[&[0], self.key.public_key().as_ref()].concat())])
    }

    fn key_identifier(&self) -> Vec<u8> {
        digest::digest(&digest::SHA256, self.key.public_key().as_ref()).as_ref()[..20].to_vec()
    }

    fn subject_key_identifier(&self) -> Vec<u8> {
        extension(&[0x55, 0x1d, 0x0e], false, &tlv(4, &self.key_identifier()))
    }
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match u8::try_from(length) {
        Ok(short @ 0..0x80) => out.push(short),
        Ok(long) => out.extend([0x81, long]),
        Err(_) => {
            out.push(0x82);
            out.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    out.extend(content);
    out
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

/// A common name; or, where it has types, a whole name from the lowest to the highest, whose parts
/// have no separators.
fn name(text: &str) -> Vec<u8> {
    let part = |(kind, value): (&str, &str)| {
        let kind: &[u8] = match kind.to_ascii_lowercase().as_str() {
            "dc" => &[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25],
            "uid" => &[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1],
            "ou" => &[0x55, 4, 11],
            _ => &[0x55, 4, 3],
        };
        // The first arcs of RFC 4519's types from the pilot, 0.9.2342.19200300.100.1.
        let tag = if kind.ends_with(&[1, 25]) { 0x16 } else { 0x0c };
        tlv(0x31, &sequence(&[&tlv(6, kind), &tlv(tag, value.as_bytes())]))
    };
    let parts: Vec<Vec<u8>> = match text.split_once('=') {
        None => vec![part(("cn", text))],
        Some(_) => text.split(',').rev().filter_map(|it| it.split_once('=')).map(part).collect(),
    };
    sequence(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn time(seconds: i64) -> Vec<u8> {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap());
    UtcTime::from_unix_duration(since).unwrap().to_der().unwrap()
}

fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    sequence(&[&tlv(6, oid), critical, &tlv(4, value)])
}
