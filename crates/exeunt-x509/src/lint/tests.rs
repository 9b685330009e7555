//! Every lint is shown to fire on a certificate that breaks its rule and no other.

use super::*;
use crate::extension::{Extension, KeyUsage};
use crate::general_name::GeneralName;
use crate::request::assemble;
use crate::tlv::{
    BIT_STRING, BOOLEAN, CONTEXT_CONSTRUCTED, CONTEXT_PRIMITIVE, INTEGER, OCTET_STRING, SEQUENCE,
    UTC_TIME, UTF8_STRING,
};
use crate::write::Writer;
use const_oid::ObjectIdentifier;
use exeunt_types::SignatureScheme;

const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// The parts of a `TBSCertificate` in DER, each of which a test may break.
#[derive(Clone)]
struct Draft {
    version: Vec<u8>,
    serial: Vec<u8>,
    algorithm: Vec<u8>,
    issuer: Vec<u8>,
    not_before: Vec<u8>,
    not_after: Vec<u8>,
    subject: Vec<u8>,
    spki: Vec<u8>,
    before_extensions: Vec<u8>,
    extensions: Vec<DraftExtension>,
    after_extensions: Vec<u8>,
}

#[derive(Clone)]
struct DraftExtension {
    oid: ObjectIdentifier,
    /// Contents of the BOOLEAN, if one is written.
    critical: Option<u8>,
    value: Vec<u8>,
}

impl From<Extension> for DraftExtension {
    fn from(it: Extension) -> Self {
        Self { oid: it.oid, critical: it.critical.then_some(0xff), value: it.value }
    }
}

impl Draft {
    /// A good certificate of a server, to be signed by [`issuer`].
    fn leaf() -> Self {
        let spki = p256(7);
        let names = [GeneralName::Dns("www.example.org".to_owned())];
        let extensions = [
            Extension::subject_key_identifier(&spki).unwrap(),
            Extension::authority_key_identifier(&key_id(&p256(1))),
            Extension::basic_constraints(false, None),
            Extension::key_usage(KeyUsage::DIGITAL_SIGNATURE),
            Extension::extended_key_usage(&[CLIENT_AUTH]),
            Extension::subject_alternative_name(&names, false),
            Extension::crl_distribution_points(&["http://a.org/a.crl".to_owned()]),
            Extension::authority_information_access(
                &["http://a.org/ca.crt".to_owned()],
                &["http://ocsp.a.org".to_owned()],
            ),
        ];
        Self {
            version: vec![0xa0, 3, 2, 1, 2],
            serial: element(INTEGER, &[0x40; 16]),
            algorithm: crate::algorithm::scheme_der(SignatureScheme::EcdsaSha256).to_vec(),
            issuer: name("CN=Example Root"),
            not_before: element(UTC_TIME, b"260101000000Z"),
            not_after: element(UTC_TIME, b"261231235959Z"),
            subject: name("CN=www.example.org"),
            spki,
            before_extensions: Vec::new(),
            extensions: extensions.map(DraftExtension::from).to_vec(),
            after_extensions: Vec::new(),
        }
    }

    /// A good certificate of a subordinate authority, to be signed by [`issuer`].
    fn ca() -> Self {
        let mut draft = Self::leaf();
        draft.subject = name("CN=Example CA");
        draft.remove(oid::EXTENDED_KEY_USAGE);
        draft.remove(oid::SUBJECT_ALTERNATIVE_NAME);
        draft.put(Extension::basic_constraints(true, Some(0)));
        draft.put(Extension::key_usage(KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN));
        draft
    }

    /// A good self-signed root that allows `path_len` authorities below.
    fn root(path_len: Option<u8>) -> Self {
        let mut draft = Self::ca();
        draft.subject = name("CN=Example Root");
        draft.spki = p256(1);
        draft.not_after = element(UTC_TIME, b"351231235959Z");
        draft.put(Extension::subject_key_identifier(&draft.spki).unwrap());
        draft.put(Extension::basic_constraints(true, path_len));
        draft
    }

    /// Replaces the extension of that type, or appends it.
    fn put(&mut self, extension: impl Into<DraftExtension>) {
        let extension = extension.into();
        match self.extensions.iter_mut().find(|it| it.oid == extension.oid) {
            Some(found) => *found = extension,
            None => self.extensions.push(extension),
        }
    }

    fn remove(&mut self, oid: ObjectIdentifier) {
        self.extensions.retain(|it| it.oid != oid);
    }

    fn value(&mut self, oid: ObjectIdentifier, value: &[u8]) {
        let found = self.extensions.iter_mut().find(|it| it.oid == oid).unwrap();
        found.value = value.to_vec();
    }

    fn critical(&mut self, oid: ObjectIdentifier, critical: Option<u8>) {
        self.extensions.iter_mut().find(|it| it.oid == oid).unwrap().critical = critical;
    }

    fn add(&mut self, oid: &str, critical: Option<u8>, value: &[u8]) {
        let oid = ObjectIdentifier::new_unwrap(oid);
        self.extensions.push(DraftExtension { oid, critical, value: value.to_vec() });
    }

    fn set_key(&mut self, spki: Vec<u8>) {
        self.put(Extension::subject_key_identifier(&spki).unwrap());
        self.spki = spki;
    }

    fn tbs(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.nest(SEQUENCE, |it| {
            it.raw(&self.version);
            it.raw(&self.serial);
            it.raw(&self.algorithm);
            it.raw(&self.issuer);
            it.nest(SEQUENCE, |it| {
                it.raw(&self.not_before);
                it.raw(&self.not_after);
            });
            it.raw(&self.subject);
            it.raw(&self.spki);
            it.raw(&self.before_extensions);
            it.nest(CONTEXT_CONSTRUCTED + 3, |it| {
                it.nest(SEQUENCE, |it| {
                    for DraftExtension { oid, critical, value } in &self.extensions {
                        it.nest(SEQUENCE, |it| {
                            it.oid(oid);
                            if let Some(critical) = critical {
                                it.element(BOOLEAN, &[*critical]);
                            }
                            it.octet_string(value);
                        });
                    }
                });
            });
            it.raw(&self.after_extensions);
        });
        writer.into_bytes()
    }
}

fn element(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.element(tag, value);
    writer.into_bytes()
}

fn name(text: &str) -> Vec<u8> {
    Name::parse(text).unwrap().der().to_vec()
}

fn key_id(spki: &[u8]) -> [u8; 20] {
    crate::algorithm::key_identifier(spki).unwrap()
}

fn spki(algorithm: &[ObjectIdentifier], key: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.nest(SEQUENCE, |it| {
        it.nest(SEQUENCE, |it| algorithm.iter().for_each(|oid| it.oid(oid)));
        it.bit_string(key);
    });
    writer.into_bytes()
}

/// A P-256 key by form; its point lies on no curve, which no lint asks.
fn p256(fill: u8) -> Vec<u8> {
    spki(&[oid::EC_PUBLIC_KEY, oid::P256], &[&[4][..], &[fill; 64]].concat())
}

fn rsa(octets: usize) -> Vec<u8> {
    let mut key = Writer::default();
    key.nest(SEQUENCE, |it| {
        it.element(INTEGER, &[&[0][..], &vec![0xff; octets]].concat());
        it.element(INTEGER, &[1, 0, 1]);
    });
    let mut writer = Writer::default();
    writer.nest(SEQUENCE, |it| {
        it.nest(SEQUENCE, |it| {
            it.oid(&oid::RSA_ENCRYPTION);
            it.raw(&[5, 0]);
        });
        it.bit_string(&key.into_bytes());
    });
    writer.into_bytes()
}

fn issuer(path_len: Option<u8>) -> Issuer {
    let tbs = Draft::root(path_len).tbs();
    Issuer::from_certificate(&assemble(&tbs, SignatureScheme::EcdsaSha256, &[0; 70])).unwrap()
}

fn codes(tbs: &[u8], issuer: Option<&Issuer>) -> Vec<&'static str> {
    match lint_tbs(tbs, issuer) {
        Ok(()) => Vec::new(),
        Err(findings) => findings.into_iter().map(|it| it.code).collect(),
    }
}

type Case<'a> = (&'a [&'static str], fn(&mut Draft));

/// Breaks a good draft in every listed way and demands exactly the listed findings.
#[track_caller]
fn check(good: &Draft, issuer: Option<&Issuer>, cases: &[Case<'_>]) {
    assert_eq!(lint_tbs(&good.tbs(), issuer), Ok(()), "the draft is not good to begin with");
    for (number, (expected, break_it)) in cases.iter().enumerate() {
        let mut draft = good.clone();
        break_it(&mut draft);
        assert_eq!(codes(&draft.tbs(), issuer), *expected, "case {number}");
    }
}

#[test]
fn the_drafts_that_tests_start_from_are_good() {
    for path_len in [None, Some(0), Some(3)] {
        assert_eq!(codes(&Draft::root(path_len).tbs(), None), [""; 0]);
    }
    assert_eq!(codes(&Draft::leaf().tbs(), Some(&issuer(Some(0)))), [""; 0]);
    assert_eq!(codes(&Draft::ca().tbs(), Some(&issuer(Some(1)))), [""; 0]);
}

#[test]
fn bytes_that_are_no_certificate_give_one_finding() {
    let good = Draft::leaf().tbs();
    assert_eq!(codes(&[], None), ["not-der"]);
    assert_eq!(codes(&good[..good.len() - 1], None), ["not-der"]);
    assert_eq!(codes(&[&good[..], &[0]].concat(), None), ["not-der"]);
    assert_eq!(codes(&[5, 0], None), ["not-a-certificate"]);
    assert_eq!(codes(&[0x30, 0], None), ["not-a-certificate"]);
}

#[test]
fn plain_fields_have_their_lints() {
    check(
        &Draft::leaf(),
        Some(&issuer(None)),
        &[
            (&["version-not-3"], |it| it.version = vec![0xa0, 3, 2, 1, 1]),
            (&["version-not-3"], |it| it.version.clear()),
            (&["serial-not-positive"], |it| it.serial = vec![2, 1, 0]),
            (&["serial-not-positive"], |it| it.serial = vec![2, 1, 0x80]),
            (&["serial-too-long"], |it| it.serial = element(INTEGER, &[1; 21])),
            (&["not-der"], |it| it.serial = vec![2, 2, 0, 1]),
            (&["signature-algorithm-invalid"], |it| {
                // ecdsa-with-SHA256 with NULL parameters.
                it.algorithm = vec![0x30, 12, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2, 5, 0];
            }),
            (&["signature-algorithm-invalid"], |it| {
                // sha1WithRSAEncryption.
                it.algorithm =
                    vec![0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 5, 5, 0];
            }),
            (&["signature-algorithm-mismatch"], |it| {
                it.algorithm =
                    crate::algorithm::scheme_der(SignatureScheme::RsaPkcs1Sha256).to_vec();
            }),
            (&["issuer-empty", "issuer-mismatch"], |it| it.issuer = vec![0x30, 0]),
            (&["issuer-mismatch"], |it| it.issuer = name("CN=Example root")),
            (&["issuer-mismatch"], |it| {
                // The same text as a PrintableString.
                let tag_at = it.issuer.iter().position(|&it| it == UTF8_STRING).unwrap();
                it.issuer[tag_at] = crate::tlv::PRINTABLE_STRING;
            }),
            (&["time-invalid"], |it| it.not_before = element(UTC_TIME, b"2601010000Z")),
            (&["time-invalid"], |it| it.not_before = element(UTC_TIME, b"260101000000+0000")),
            (&["time-invalid"], |it| it.not_after = element(UTC_TIME, b"261331000000Z")),
            (&["time-invalid"], |it| it.not_after = element(UTF8_STRING, b"261231000000Z")),
            (&["time-type"], |it| {
                it.not_after = element(GENERALIZED_TIME, b"20261231235959Z");
            }),
            (&["validity-reversed"], |it| it.not_after = element(UTC_TIME, b"251231235959Z")),
            (&["outlives-issuer"], |it| it.not_after = element(UTC_TIME, b"360101000000Z")),
            (&["outlives-issuer"], |it| {
                it.not_after = element(GENERALIZED_TIME, b"20500101000000Z");
            }),
            (&["subject-invalid"], |it| {
                // An asterisk in a PrintableString.
                it.subject = b"\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x13\x01*".to_vec();
            }),
            (&["subject-invalid"], |it| {
                it.subject = b"\x30\x0d\x31\x0b\x30\x09\x06\x03\x55\x04\x03\x0c\x02a\0".to_vec();
            }),
            (&["subject-invalid"], |it| {
                // A country of three letters.
                it.subject = b"\x30\x0e\x31\x0c\x30\x0a\x06\x03\x55\x04\x06\x13\x03DEU".to_vec();
            }),
            // Verifiers would take it for one that the authority issued to itself.
            (&["subject-is-issuer"], |it| it.subject = name("CN=Example Root")),
            (&["subject-is-issuer"], |it| it.subject = name("CN=example  root")),
            (&[], |it| it.subject = name("CN=Example Root 2")),
            (&["unique-identifier"], |it| it.before_extensions = vec![0x81, 2, 0, 1]),
            (&["not-a-certificate"], |it| it.after_extensions = vec![5, 0]),
        ],
    );
}

#[test]
fn keys_have_their_lints() {
    check(
        &Draft::leaf(),
        Some(&issuer(None)),
        &[
            (&["key-too-small"], |it| it.set_key(rsa(128))),
            (&["key-too-large"], |it| it.set_key(rsa(2048))),
            (&["key-unsupported"], |it| {
                let k256 = ObjectIdentifier::new_unwrap("1.3.132.0.10");
                it.set_key(spki(&[oid::EC_PUBLIC_KEY, k256], &[4; 65]));
            }),
            (&["key-malformed"], |it| {
                it.set_key(spki(&[oid::EC_PUBLIC_KEY, oid::P256], &[4; 64]));
            }),
            (&["key-malformed"], |it| it.set_key(spki(&[oid::ED25519], &[4; 31]))),
            (&[], |it| it.set_key(rsa(256))),
            (&[], |it| it.set_key(spki(&[oid::ED25519], &[4; 32]))),
            (&[], |it| it.set_key(spki(&[oid::ML_DSA_44], &[4; 1312]))),
        ],
    );
}

#[test]
fn every_extension_has_its_lints() {
    check(
        &Draft::leaf(),
        Some(&issuer(None)),
        &[
            (&["extension-duplicate"], |it| {
                let again = it.extensions[0].clone();
                it.extensions.push(again);
            }),
            (&["default-encoded"], |it| it.critical(oid::EXTENDED_KEY_USAGE, Some(0))),
            (&["not-der"], |it| it.critical(oid::KEY_USAGE, Some(1))),
            (&["extension-not-der"], |it| it.add("1.2.3.4", None, &[4, 2, 1])),
            (&["extension-not-der"], |it| it.add("1.2.3.4", None, &[])),
            (&["extension-not-der"], |it| it.add("1.2.3.4", None, &[1, 1, 1])),
            (&["critical-extension-unknown"], |it| it.add("1.2.3.4", Some(0xff), &[5, 0])),
            (&[], |it| it.add("1.2.3.4", None, &[5, 0])),
            (&["extension-critical"], |it| it.critical(oid::SUBJECT_KEY_IDENTIFIER, Some(0xff))),
            (&["extension-critical"], |it| it.critical(oid::AUTHORITY_KEY_IDENTIFIER, Some(0xff))),
            (&["extension-critical"], |it| it.critical(oid::CRL_DISTRIBUTION_POINTS, Some(0xff))),
            (&["extension-critical"], |it| {
                it.critical(oid::AUTHORITY_INFORMATION_ACCESS, Some(0xff));
            }),
            (&["extension-critical"], |it| {
                let mut freshest = DraftExtension::from(Extension::crl_distribution_points(&[
                    "http://a.org/delta.crl".to_owned(),
                ]));
                freshest.oid = oid::FRESHEST_CRL;
                freshest.critical = Some(0xff);
                it.put(freshest);
            }),
            (&["extension-not-critical"], |it| {
                it.add("2.5.29.54", None, &[2, 1, 0]);
            }),
            (&["name-constraints-without-ca"], |it| {
                it.add("2.5.29.30", Some(0xff), &[0x30, 0]);
            }),
        ],
    );
}

#[test]
fn authorities_have_their_lints() {
    let below_root = issuer(None);
    check(
        &Draft::ca(),
        Some(&below_root),
        &[
            (&["ca-subject-empty", "subject-and-san-empty"], |it| it.subject = vec![0x30, 0]),
            (&["extension-not-critical"], |it| it.critical(oid::BASIC_CONSTRAINTS, None)),
            (&["basic-constraints-invalid", "key-cert-sign-without-ca"], |it| {
                it.value(oid::BASIC_CONSTRAINTS, &[5, 0]);
            }),
            (&["basic-constraints-invalid", "key-cert-sign-without-ca"], |it| {
                it.value(oid::BASIC_CONSTRAINTS, &[0x30, 6, 1, 1, 0xff, 2, 1, 0xff]);
            }),
            (&["default-encoded", "key-cert-sign-without-ca"], |it| {
                it.value(oid::BASIC_CONSTRAINTS, &[0x30, 3, 1, 1, 0]);
            }),
            (&["path-length-without-ca", "key-cert-sign-without-ca"], |it| {
                it.value(oid::BASIC_CONSTRAINTS, &[0x30, 3, 2, 1, 0]);
            }),
            (&["key-cert-sign-without-ca"], |it| it.remove(oid::BASIC_CONSTRAINTS)),
            // From the old key of an authority to its new one.
            (&[], |it| it.subject = name("CN=Example Root")),
            (&["ca-without-key-cert-sign"], |it| {
                it.put(Extension::key_usage(KeyUsage::CRL_SIGN));
            }),
            (&["subject-key-identifier-missing"], |it| it.remove(oid::SUBJECT_KEY_IDENTIFIER)),
            (&["extension-not-critical"], |it| it.add("2.5.29.30", None, &[0x30, 0])),
        ],
    );
    let with_path_len = |path_len| {
        let mut draft = Draft::ca();
        draft.put(Extension::basic_constraints(true, path_len));
        draft.tbs()
    };
    for (allowed, path_len, expected) in [
        (Some(0), None, &["path-length-exceeded"][..]),
        (Some(0), Some(0), &["path-length-exceeded"]),
        (Some(1), Some(1), &["path-length-exceeded"]),
        (Some(1), Some(0), &[]),
        (Some(2), Some(200), &["path-length-exceeded"]),
        (None, Some(200), &[]),
    ] {
        assert_eq!(codes(&with_path_len(path_len), Some(&issuer(allowed))), expected);
    }
}

#[test]
fn roots_have_their_lints() {
    check(
        &Draft::root(None),
        None,
        &[
            (&[], |it| it.remove(oid::AUTHORITY_KEY_IDENTIFIER)),
            (&["authority-key-identifier-mismatch"], |it| {
                it.put(Extension::authority_key_identifier(&[1; 20]));
            }),
            (&["issuer-mismatch"], |it| it.issuer = name("CN=Other Root")),
            (&["signature-algorithm-mismatch"], |it| {
                it.algorithm = crate::algorithm::scheme_der(SignatureScheme::Ed25519).to_vec();
            }),
            (&["self-signed-not-ca"], |it| {
                it.put(Extension::basic_constraints(false, None));
                it.put(Extension::key_usage(KeyUsage::DIGITAL_SIGNATURE));
            }),
        ],
    );
}

#[test]
fn key_usage_has_its_lints() {
    use KeyUsage as U;
    check(
        &Draft::leaf(),
        Some(&issuer(None)),
        &[
            (&["key-usage-missing"], |it| it.remove(oid::KEY_USAGE)),
            (&["key-usage-empty"], |it| it.put(Extension::key_usage(U::default()))),
            (&["key-usage-empty", "key-usage-trailing-zeros"], |it| {
                it.value(oid::KEY_USAGE, &[3, 2, 7, 0]);
            }),
            (&["key-usage-trailing-zeros"], |it| it.value(oid::KEY_USAGE, &[3, 2, 6, 0x80])),
            (&["key-usage-trailing-zeros"], |it| it.value(oid::KEY_USAGE, &[3, 3, 7, 0x80, 0])),
            (&["key-usage-invalid"], |it| it.value(oid::KEY_USAGE, &[3, 3, 6, 0x80, 0x40])),
            (&["key-usage-invalid"], |it| it.value(oid::KEY_USAGE, &[4, 1, 0x80])),
            (&["extension-not-der"], |it| it.value(oid::KEY_USAGE, &[3, 2, 6, 0xc8])),
            (&["key-cert-sign-without-ca"], |it| {
                it.put(Extension::key_usage(U::DIGITAL_SIGNATURE | U::KEY_CERT_SIGN));
            }),
            (&["key-usage-combination"], |it| {
                it.put(Extension::key_usage(U::DIGITAL_SIGNATURE | U::ENCIPHER_ONLY));
            }),
            (&["key-usage-key-mismatch"], |it| {
                it.put(Extension::key_usage(U::KEY_ENCIPHERMENT));
            }),
            (&["key-usage-key-mismatch"], |it| {
                it.put(Extension::key_usage(U::DATA_ENCIPHERMENT));
            }),
            (&[], |it| it.put(Extension::key_usage(U::KEY_AGREEMENT | U::DECIPHER_ONLY))),
            (&["key-usage-key-mismatch"], |it| {
                it.set_key(rsa(256));
                it.put(Extension::key_usage(U::KEY_AGREEMENT));
            }),
            (&[], |it| {
                it.set_key(rsa(256));
                it.put(Extension::key_usage(U::KEY_ENCIPHERMENT | U::DATA_ENCIPHERMENT));
            }),
            (&["key-usage-key-mismatch"], |it| {
                it.set_key(spki(&[oid::ED25519], &[4; 32]));
                it.put(Extension::key_usage(U::KEY_AGREEMENT));
            }),
            (&["key-usage-key-mismatch"], |it| {
                it.set_key(spki(&[oid::ML_DSA_65], &[4; 1952]));
                it.put(Extension::key_usage(U::KEY_ENCIPHERMENT));
            }),
        ],
    );
}

#[test]
fn identifiers_purposes_and_places_have_their_lints() {
    check(
        &Draft::leaf(),
        Some(&issuer(None)),
        &[
            (&[], |it| it.remove(oid::SUBJECT_KEY_IDENTIFIER)),
            (&["subject-key-identifier-mismatch"], |it| {
                it.value(oid::SUBJECT_KEY_IDENTIFIER, &element(OCTET_STRING, &[1; 20]));
            }),
            (&["subject-key-identifier-invalid"], |it| {
                it.value(oid::SUBJECT_KEY_IDENTIFIER, &element(BIT_STRING, &[0; 20]));
            }),
            (&["authority-key-identifier-missing"], |it| {
                it.remove(oid::AUTHORITY_KEY_IDENTIFIER);
            }),
            (&["authority-key-identifier-missing"], |it| {
                it.value(oid::AUTHORITY_KEY_IDENTIFIER, &[0x30, 0]);
            }),
            (&["authority-key-identifier-mismatch"], |it| {
                it.put(Extension::authority_key_identifier(&[1; 20]));
            }),
            (&["authority-key-identifier-invalid"], |it| {
                it.value(oid::AUTHORITY_KEY_IDENTIFIER, &[0x30, 6, 0x80, 1, 1, 0x82, 1, 1]);
            }),
            (&["extended-key-usage-empty"], |it| it.put(Extension::extended_key_usage(&[]))),
            (&["extended-key-usage-duplicate"], |it| {
                it.put(Extension::extended_key_usage(&[CLIENT_AUTH, CLIENT_AUTH]));
            }),
            (&["extended-key-usage-invalid"], |it| {
                it.value(oid::EXTENDED_KEY_USAGE, &[0x30, 2, 5, 0]);
            }),
            (&["distribution-points-invalid"], |it| {
                it.put(Extension::crl_distribution_points(&[]));
            }),
            (&["uri-invalid"], |it| {
                let uris = ["https://a.org/a.crl", "http://a.org/ö", "http://a b", "ftp://a", "a"];
                let uris = uris.map(str::to_owned);
                it.put(Extension::crl_distribution_points(&uris[..1]));
            }),
            (&["uri-invalid", "uri-invalid", "uri-invalid", "uri-invalid"], |it| {
                let uris = ["http://a.org/ö", "http://a b", "ftp://a", "a", "ldap://a/b?c"];
                it.put(Extension::crl_distribution_points(&uris.map(str::to_owned)));
            }),
            (&["information-access-invalid"], |it| {
                it.put(Extension::authority_information_access(&[], &[]));
            }),
            (&["uri-invalid"], |it| {
                let uris = ["file:///etc/passwd".to_owned()];
                it.put(Extension::authority_information_access(&uris, &[]));
            }),
        ],
    );
}

#[test]
fn alternative_names_have_their_lints() {
    fn put_san(draft: &mut Draft, tag: u8, value: &[u8]) {
        let name = element(CONTEXT_PRIMITIVE + tag, value);
        draft.value(oid::SUBJECT_ALTERNATIVE_NAME, &element(SEQUENCE, &name));
    }
    let good = Draft::leaf();
    check(
        &good,
        Some(&issuer(None)),
        &[
            (&["subject-and-san-empty"], |it| {
                it.subject = vec![0x30, 0];
                it.remove(oid::SUBJECT_ALTERNATIVE_NAME);
            }),
            (&["san-not-critical"], |it| it.subject = vec![0x30, 0]),
            (&[], |it| {
                it.subject = vec![0x30, 0];
                it.critical(oid::SUBJECT_ALTERNATIVE_NAME, Some(0xff));
            }),
            (&["san-empty"], |it| it.value(oid::SUBJECT_ALTERNATIVE_NAME, &[0x30, 0])),
            (&["san-malformed"], |it| it.value(oid::SUBJECT_ALTERNATIVE_NAME, &[5, 0])),
            (&["san-malformed"], |it| put_san(it, 7, &[1, 2, 3])),
            (&["san-malformed"], |it| put_san(it, 2, "bücher.example".as_bytes())),
            (&["san-too-many"], |it| {
                let names = vec![GeneralName::Dns("a.org".to_owned()); 101];
                it.put(Extension::subject_alternative_name(&names, false));
            }),
            (&["san-invalid"], |it| put_san(it, 2, b"192.0.2.1")),
            (&["san-invalid"], |it| put_san(it, 2, b"a b.org")),
            (&["san-invalid"], |it| put_san(it, 2, b" ")),
            (&["san-invalid"], |it| put_san(it, 2, b"")),
            (&["san-invalid"], |it| put_san(it, 2, b"a.org.")),
            (&["san-invalid"], |it| put_san(it, 2, b"a.org\0.evil.org")),
            (&["san-invalid"], |it| put_san(it, 1, b"nobody")),
            (&["san-invalid"], |it| put_san(it, 6, b"/relative")),
        ],
    );
}
