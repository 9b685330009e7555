//! Broken requests and certificates never break the reader.

use crate::crls;
use crate::ocsp;
use crate::openssl::{ED25519, OpenSsl, P256, RSA_2048};
use exeunt_x509::{
    Issuer, lint_tbs, parse_certificate, parse_crl, parse_ocsp_request, parse_request,
};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

/// One way to break bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Flip(Index, u8),
    Truncate(Index),
    Extend(Vec<u8>),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// Puts one of the tags or lengths that matter in place of an octet.
    Replace(Index, u8),
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let len_before = bytes.len();
        match self {
            Self::Flip(at, bits) => bytes[at.index(len_before)] ^= bits,
            Self::Truncate(at) => bytes.truncate(at.index(len_before)),
            Self::Extend(more) => bytes.extend(more),
            Self::Insert(at, more) => {
                let at = at.index(len_before);
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Remove(at, len) => {
                let at = at.index(len_before);
                bytes.drain(at..(at + len).min(len_before));
            }
            Self::Replace(at, octet) => bytes[at.index(len_before)] = *octet,
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    const OCTETS: [u8; 22] = [
        0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1e, 0x1f,
        0x30, 0x31, 0x80, 0x82, 0x84, 0xa0, 0xff,
    ];
    let octets = prop::collection::vec(any::<u8>(), 1..8);
    prop_oneof![
        4 => (any::<Index>(), 1_u8..).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
        1 => any::<Index>().prop_map(Mutation::Truncate),
        1 => octets.clone().prop_map(Mutation::Extend),
        2 => (any::<Index>(), octets).prop_map(|(at, more)| Mutation::Insert(at, more)),
        2 => (any::<Index>(), 1_usize..40).prop_map(|(at, len)| Mutation::Remove(at, len)),
        4 => (any::<Index>(), prop::sample::select(&OCTETS[..]))
            .prop_map(|(at, octet)| Mutation::Replace(at, octet)),
    ]
}

/// Breaks one of the `originals` a thousand times and shows each to `check`.
pub fn mutate(originals: &[Vec<u8>], check: impl Fn(&[u8]) -> Result<(), TestCaseError>) {
    let cases = (any::<Index>(), prop::collection::vec(mutation(), 1..4));
    // Failures print their input; no file of old ones is kept.
    let config = Config { cases: 1_000, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&cases, |(which, mutations)| {
            let mut bytes = originals[which.index(originals.len())].clone();
            for mutation in mutations {
                mutation.apply(&mut bytes);
            }
            check(&bytes)
        })
        .unwrap();
}

#[test]
fn a_broken_request_never_breaks_the_reader() {
    let mut originals = Vec::new();
    for kind in [P256, RSA_2048, ED25519] {
        let openssl = OpenSsl::new();
        openssl.key("a", kind);
        let more = [
            "-subj",
            "/C=DE/O=Acme+OU=b/CN=a",
            "-multivalue-rdn",
            "-addext",
            "subjectAltName=DNS:a.org,IP:::1,email:a@a.org,URI:http://a.org,dirName:dn",
        ];
        openssl.write("a.cnf", "[req]\ndistinguished_name=dn\n[dn]\nCN=a");
        originals.push(openssl.run("req -new -key a.key -outform DER -config a.cnf", &more));
        originals.push(openssl.run("req -new -key a.key -config a.cnf", &more));
    }
    assert!(originals.iter().all(|it| parse_request(it).is_ok()));
    mutate(&originals, |bytes| {
        match parse_request(bytes) {
            Ok(request) => {
                // Whatever is accepted is what was signed, and prints without harm.
                let _ = (request.subject().to_string(), request.spki_der(), request.signature());
                prop_assert!(
                    request
                        .der()
                        .windows(request.info_der().len())
                        .any(|it| it == request.info_der())
                );
            }
            Err(err) => {
                prop_assert!(err.code().starts_with("request-") && !err.to_string().is_empty());
            }
        }
        Ok(())
    });
}

#[test]
fn a_broken_certificate_never_breaks_reader_or_lint() {
    let openssl = OpenSsl::new();
    openssl.key("a", P256);
    let make = "req -x509 -new -key a.key -outform DER -subj /CN=a -addext keyUsage=keyCertSign \
                -addext crlDistributionPoints=URI:http://a.org -addext subjectAltName=DNS:a.org \
                -addext authorityInfoAccess=OCSP;URI:http://a.org -addext extendedKeyUsage=serverAuth";
    let certificate = openssl.run(make, &[]);
    let issuer = Issuer::from_certificate(&certificate).unwrap();
    mutate(&[certificate], |bytes| {
        let _ = parse_certificate(bytes).map(|it| it.subject().to_string());
        let _ = Issuer::from_certificate(bytes);
        // A certificate's first four octets are its header; what follows starts with the TBS.
        let tbs = bytes.get(4..).unwrap_or_default();
        let _ = lint_tbs(tbs, Some(&issuer));
        if let Ok(certificate) = parse_certificate(bytes) {
            let _ = lint_tbs(certificate.tbs_der(), None);
        }
        Ok(())
    });
}

#[test]
fn a_broken_revocation_list_never_breaks_the_reader() {
    let openssl = OpenSsl::new();
    let mut originals = crls::samples();
    originals.push(crls::made_by_openssl(&openssl));
    assert!(originals.iter().all(|it| parse_crl(it).is_ok()));
    mutate(&originals, |bytes| {
        match parse_crl(bytes) {
            Ok(crl) => {
                let count = u64::try_from(crl.entries().count()).unwrap();
                prop_assert_eq!(count, crl.entry_count);
                prop_assert!(bytes.windows(crl.tbs_der.len()).any(|it| it == crl.tbs_der));
            }
            Err(err) => prop_assert!(err.code().starts_with("crl-")),
        }
        Ok(())
    });
}

#[test]
fn a_broken_ocsp_request_never_breaks_the_reader() {
    let originals = ocsp::samples(&OpenSsl::new());
    assert!(originals.iter().all(|it| parse_ocsp_request(it).is_ok()));
    mutate(&originals, |bytes| {
        match parse_ocsp_request(bytes) {
            Ok(request) => {
                prop_assert!((1..=100).contains(&request.certificates.len()));
                prop_assert!(request.nonce.is_none_or(|it| (1..=128).contains(&it.len())));
            }
            Err(err) => prop_assert!(err.code().starts_with("ocsp-request-")),
        }
        Ok(())
    });
}
