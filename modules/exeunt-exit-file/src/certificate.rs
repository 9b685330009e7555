//! A certificate as this module sees it: bytes to write, and which of two is the younger.

use std::{cmp::Ordering, time::Duration};

use pem_rfc7468::LineEnding;
use x509_cert::{
    Certificate,
    der::{Decode as _, Encode as _},
};

use crate::settings::Format;

/// Label of the armour, RFC 7468, section 5.1.
const LABEL: &str = "CERTIFICATE";

/// A certificate that could be decoded.
#[derive(Debug, PartialEq, Eq)]
pub struct Publication {
    der: Vec<u8>,
    /// Its issuer's name, DER.
    issuer: Vec<u8>,
    /// Its serial number, octets without zeros in front.
    serial: Vec<u8>,
    /// Start of its validity, since 1970.
    not_before: Duration,
    /// Its end.
    not_after: Duration,
}

impl Publication {
    /// Decodes a certificate; `None` where the bytes are none.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let tbs = certificate.tbs_certificate();
        let validity = tbs.validity();
        let not_before = validity.not_before.to_unix_duration();
        let not_after = validity.not_after.to_unix_duration();
        let serial = tbs.serial_number().as_bytes();
        let zeros = serial.iter().take_while(|it| **it == 0).count();
        Some(Self {
            der: der.to_vec(),
            issuer: tbs.issuer().to_der().ok()?,
            serial: serial[zeros..].to_vec(),
            not_before,
            not_after,
        })
    }

    /// Reads the content of a file that this module may have written, in either format; `None`
    /// where it holds something else, and be it more than a certificate: a chain, or a key that the
    /// operator keeps beside it.
    pub fn from_file(content: &[u8]) -> Option<Self> {
        let (publication, format) = match pem_rfc7468::decode_vec(content) {
            Ok((LABEL, der)) => (Self::from_der(&der)?, Format::Pem),
            _ => (Self::from_der(content)?, Format::Der),
        };
        (publication.content(format) == content).then_some(publication)
    }

    /// The certificate itself.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether both have the same issuer, by its name.
    pub fn has_issuer_of(&self, other: &Self) -> bool {
        self.issuer == other.issuer
    }

    /// Start of its validity, in Unix seconds.
    pub fn not_before(&self) -> i64 {
        i64::try_from(self.not_before.as_secs()).unwrap_or(i64::MAX)
    }

    /// Whether it ended before that moment, in Unix seconds.
    pub fn expired_at(&self, moment: i64) -> bool {
        i64::try_from(self.not_after.as_secs()).unwrap_or(i64::MAX) < moment
    }

    /// What is written into the file.
    pub fn content(&self, format: Format) -> Vec<u8> {
        match format {
            Format::Der => self.der.clone(),
            Format::Pem => pem_rfc7468::encode_string(LABEL, LineEnding::LF, &self.der)
                .expect("BUG: a certificate that was decoded is far below the encoder's limit")
                .into_bytes(),
        }
    }

    /// Orders by age: the younger one is greater. Of two that start in the same second (those of a new
    /// CA do, because none is valid before the CA is) the greater serial number is, which begins with
    /// the time of issue; then the bytes, so that the answer never depends on who is asked first.
    pub fn age_order(&self, other: &Self) -> Ordering {
        let rank = |it: &Self| (it.not_before, it.serial.len());
        rank(self)
            .cmp(&rank(other))
            .then_with(|| self.serial.cmp(&other.serial))
            .then_with(|| self.der.cmp(&other.der))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLDER: &[u8] = include_bytes!("../tests/it/data/older.der");
    const NEWER: &[u8] = include_bytes!("../tests/it/data/newer.der");

    #[test]
    fn the_younger_certificate_is_greater() {
        let older = Publication::from_der(OLDER).unwrap();
        let newer = Publication::from_der(NEWER).unwrap();
        assert_eq!(older.age_order(&newer), Ordering::Less);
        assert_eq!(newer.age_order(&newer), Ordering::Equal);
    }

    #[test]
    fn both_formats_read_back() {
        let certificate = Publication::from_der(OLDER).unwrap();
        for format in [Format::Pem, Format::Der] {
            let content = certificate.content(format);
            assert_eq!(Publication::from_file(&content).as_ref(), Some(&certificate));
        }
    }

    #[test]
    fn what_is_no_certificate_is_told_apart() {
        for content in
            [&b""[..], b"hello", &OLDER[..OLDER.len() - 1], b"-----BEGIN CERTIFICATE-----\n"]
        {
            assert_eq!(Publication::from_file(content), None);
        }
        let pem = Publication::from_der(OLDER).unwrap().content(Format::Pem);
        for more in ["\n", "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"] {
            assert_eq!(Publication::from_file(&[&pem, more.as_bytes()].concat()), None);
            assert_eq!(Publication::from_file(&[more.as_bytes(), &pem].concat()), None);
        }
        let longer = [OLDER, b"x"].concat();
        assert_eq!(Publication::from_der(&longer), None);
    }
}
