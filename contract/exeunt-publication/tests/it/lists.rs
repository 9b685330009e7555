//! What is read of certificates and lists, and which list may replace which.

use std::{fs, io};

use exeunt_publication::{
    certificate::{CERTIFICATE_BYTES_MAX, Certificate, CertificateError, IssuerError},
    list::{LIST_BYTES_MAX, ListError, ListNumber, RevocationList, Standing, compare, read_list},
};

use crate::openssl::{Ca, Wanted, p256};

/// 2026-11-22, in Unix seconds, between the times of the lists below.
const NOW: i64 = 1_795_305_600;
const TIMES: Option<(&str, &str)> = Some(("20261101000000Z", "20261201000000Z"));
const LATER: Option<(&str, &str)> = Some(("20261102000000Z", "20261201000000Z"));

fn list(ca: &Ca, wanted: Wanted<'_>) -> RevocationList {
    let times = wanted.times.or(TIMES);
    RevocationList::from_der(ca.list(Wanted { times, ..wanted })).unwrap()
}

fn numbered(ca: &Ca, number: u64) -> RevocationList {
    list(ca, Wanted { number, ..Wanted::default() })
}

#[test]
fn every_algorithm_that_a_ca_signs_with_is_verified() {
    let ec = |curve| vec!["-algorithm", "EC", "-pkeyopt", curve];
    let rsa = vec!["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    let pss = |hash| vec![hash, "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:-1"];
    let cases = [
        (ec("ec_paramgen_curve:P-256"), vec!["-sha256"]),
        (ec("ec_paramgen_curve:P-384"), vec!["-sha384"]),
        (ec("ec_paramgen_curve:P-384"), vec!["-sha256"]),
        (ec("ec_paramgen_curve:P-521"), vec!["-sha512"]),
        (vec!["-algorithm", "ED25519"], vec![]),
        (rsa.clone(), vec!["-sha256"]),
        (rsa.clone(), vec!["-sha384"]),
        (rsa.clone(), vec!["-sha512"]),
        (rsa.clone(), pss("-sha256")),
        (rsa, pss("-sha512")),
    ];
    for (key, sign) in cases {
        let ca = Ca::new("Roof", &key, &sign);
        // A root has signed itself, so this looks at every algorithm.
        assert_eq!(ca.certificate.issued_by(&ca.certificate), Ok(()), "{key:?} {sign:?}");
        assert!(ca.certificate.is_ca());
        assert_eq!(numbered(&ca, 1).verify(&ca.certificate), Ok(()), "{key:?}");
    }
}

#[test]
fn an_algorithm_that_is_not_known_is_named() {
    let key = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"];
    let ca = Ca::new("Roof", &key, &[]);
    let err = ca.certificate.issued_by(&ca.certificate).unwrap_err();
    assert!(matches!(&err, IssuerError::Algorithm(what) if what.contains("1.3.132.0.10")), "{err}");
}

#[test]
fn a_certificate_says_what_a_publisher_needs() {
    let ca = p256("Roof");
    let extensions = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n\
                      subjectAltName=DNS:a.example,DNS:b.example,email:ü@example,IP:::1,\
                      otherName:1.3.6.1.4.1.311.20.2.3;UTF8:ann@corp.example"
        .replace('ü', "u");
    let der = ca.issue("/O=Exämple, Inc./CN=Ann\\/Bee", &extensions);
    let it = Certificate::from_der(&der).unwrap();
    assert_eq!(it.der(), der);
    assert_eq!(it.serial(), "f00d");
    assert_eq!(it.common_name(), Some("Ann/Bee"));
    assert_eq!(it.subject_text(), "CN=Ann/Bee,O=Exämple\\, Inc.");
    assert_eq!(it.issuer(), ca.certificate.subject());
    assert_eq!(it.dns_names(), ["a.example", "b.example"]);
    assert_eq!(it.emails(), ["u@example"]);
    assert_eq!(it.user_principal_names(), ["ann@corp.example"]);
    assert_eq!(it.authority_key_identifier(), ca.certificate.subject_key_identifier());
    assert_eq!(it.not_after() - it.not_before(), 9 * 86_400);
    assert!(it.expired_at(it.not_after() + 1) && !it.expired_at(it.not_after()));
    assert!(!it.is_ca());
    assert_eq!(it.issued_by(&ca.certificate), Ok(()));
    // Another CA of the same name has another key.
    let double = p256("Roof");
    assert_eq!(it.issued_by(&double.certificate), Err(IssuerError::Other));
    assert_eq!(it.issued_by(&it), Err(IssuerError::Other));
    // A changed byte inside of what is signed.
    let mut changed = der.clone();
    let at = der.windows(9).position(|it| it == b"a.example").unwrap();
    changed[at] = b'x';
    let changed = Certificate::from_der(&changed).unwrap();
    assert_eq!(changed.issued_by(&ca.certificate), Err(IssuerError::Signature));
}

#[test]
fn an_expired_certificate_is_still_its_cas() {
    let ca = p256("Roof");
    let it = Certificate::from_der(&ca.issue_expired("/CN=gone", "0ABC")).unwrap();
    assert_eq!((it.serial(), it.issued_by(&ca.certificate)), ("0abc", Ok(())));
    // 2020-12-31, 00:00:00.
    assert_eq!(it.not_after(), 1_609_372_800);
    assert!(it.expired_at(NOW));
}

#[test]
fn what_is_no_certificate_is_told_apart() {
    let der = p256("Roof").certificate.der().to_vec();
    for bad in [&der[..der.len() - 1], &[&der[..], b"x"].concat(), b"", b"\0", b"hello"] {
        assert!(matches!(Certificate::from_der(bad), Err(CertificateError::Malformed(_))));
    }
    let large = vec![0; CERTIFICATE_BYTES_MAX + 1];
    assert_eq!(Certificate::from_der(&large), Err(CertificateError::TooLarge));
}

#[test]
fn a_list_says_what_a_publisher_needs() {
    let ca = p256("Roof");
    let address = "http://pki.example/crl/ca(1)_Partition00003+.crl";
    let wanted = Wanted {
        number: 0x1_0000_0002,
        base: Some(7),
        address: Some(address),
        ..Wanted::default()
    };
    let it = list(&ca, wanted);
    assert_eq!(it.number().as_u64(), Some(0x1_0000_0002));
    assert_eq!(it.number().to_string(), "4294967298");
    assert_eq!((it.base(), it.is_delta(), it.part()), (Some(ListNumber::from(7)), true, 3));
    assert_eq!(it.addresses(), [address]);
    assert_eq!(it.authority_key_identifier(), ca.certificate.subject_key_identifier());
    assert_eq!((it.this_update(), it.next_update()), (1_793_491_200, Some(1_796_083_200)));
    assert_eq!(it.issuer(), ca.certificate.subject());
    assert_eq!(it.verify(&ca.certificate), Ok(()));
    assert_eq!(it.verify(&p256("Roof").certificate), Err(IssuerError::Other));
    let whole = numbered(&ca, 3);
    assert_eq!((whole.base(), whole.is_delta(), whole.part()), (None, false, 0));
    // The byte that says who was revoked.
    let mut changed = whole.der().to_vec();
    let at = changed.windows(3).position(|it| it == [2, 1, 10]).unwrap();
    changed[at + 2] = 11;
    let changed = RevocationList::from_der(changed).unwrap();
    assert_eq!(changed.verify(&ca.certificate), Err(IssuerError::Signature));
    assert!(matches!(RevocationList::from_der(b"x".to_vec()), Err(ListError::Malformed(_))));
}

#[test]
fn a_list_replaces_only_an_older_one_of_its_kind() {
    let ca = p256("Roof");
    let five = numbered(&ca, 5);
    let check = |present: &RevocationList, expected: &Standing| {
        let now = compare(Some(present.der()), &five, &ca.certificate, NOW);
        assert_eq!(now, *expected, "{present:?}");
    };
    check(&five, &Standing::Same);
    check(&numbered(&ca, 4), &Standing::Newer { present: 4.into() });
    check(&numbered(&ca, 6), &Standing::Superseded { present: 6.into() });
    // After a backup was restored, a number may come twice: the one that was made later stays.
    let twin = list(&ca, Wanted { number: 5, times: LATER, ..Wanted::default() });
    check(&twin, &Standing::Superseded { present: 5.into() });
    let now = compare(Some(five.der()), &twin, &ca.certificate, NOW);
    assert_eq!(now, Standing::Newer { present: 5.into() });
    for nothing in [None, Some(&b""[..]), Some(&b"\0"[..])] {
        assert_eq!(compare(nothing, &five, &ca.certificate, NOW), Standing::Missing);
        let late = 1_796_083_201;
        assert_eq!(compare(nothing, &five, &ca.certificate, late), Standing::Expired);
    }
}

#[test]
fn the_file_of_a_list_is_read_up_to_the_size_of_the_largest() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    fs::write(path, b"a list").unwrap();
    assert_eq!(read_list(path).unwrap(), b"a list");
    // Without content, so that it takes no room.
    file.as_file().set_len(u64::try_from(LIST_BYTES_MAX).unwrap() + 1).unwrap();
    assert_eq!(read_list(path).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    assert_eq!(read_list("/nowhere/list").unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn what_is_somebody_elses_is_not_touched() {
    let ca = p256("Roof");
    let five = numbered(&ca, 5);
    let why = |present: &[u8]| match compare(Some(present), &five, &ca.certificate, NOW) {
        Standing::Foreign { why } => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(why(b"precious"), "what is there is no revocation list");
    let other = numbered(&p256("Roof"), 1);
    assert_eq!(why(other.der()), "a revocation list of another CA is there");
    let mut forged = numbered(&ca, 9).into_der();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert_eq!(why(&forged), "the signature of what is there is not this CA's");
    let delta = list(&ca, Wanted { number: 4, base: Some(3), ..Wanted::default() });
    assert_eq!(
        why(delta.der()),
        "what is there is a base and a delta is to be written, or the reverse"
    );
    let address = Some("http://p/ca_Partition00001.crl");
    let part = list(&ca, Wanted { number: 4, address, ..Wanted::default() });
    assert_eq!(why(part.der()), "the list of another part is there");
}
