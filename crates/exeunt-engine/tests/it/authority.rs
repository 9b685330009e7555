//! What makes a CA usable, and until when.

use exeunt_engine::{EngineError, Publication};
use exeunt_store::Store;
use exeunt_testkit::foreign::openssl_text;
use exeunt_types::KeyAlgorithm;
use exeunt_x509::parse_certificate;

use crate::support::{
    DAY_S, HOUR_S, House, NoEntropy, TestKey, check_fault_of_the_house, create_store,
    plain_request, root, submission,
};

fn store_in(house: &House) -> Store {
    let path = house.folder.path().join("store.db");
    create_store(&path);
    Store::open(&path).unwrap()
}

#[track_caller]
fn check_unusable(house: &House, code: &str) -> EngineError {
    let err = house.try_open(store_in(house), Box::new(NoEntropy)).unwrap_err();
    assert_eq!(err.code(), code, "{err:?}");
    err
}

#[test]
fn a_ca_that_is_not_valid_yet_or_no_longer_refuses() {
    let house = House::new();
    let ca = house.open();
    let own = parse_certificate(ca.engine.certificate_der()).unwrap();
    let (first, last) = (own.not_before(), own.not_after());
    for now in [first - 1, last + 1, 0, -1, i64::MIN / 1000, i64::MAX / 1000] {
        house.clock.set(now);
        check_fault_of_the_house(&ca.submit(plain_request()).unwrap_err(), "ca-not-valid");
    }
    assert_eq!(ca.counts(), (0, 0, 0));
    // Both ends are inclusive (RFC 5280, section 4.1.2.5).
    for now in [first, last] {
        house.clock.set(now);
        ca.issue(plain_request());
    }
}

#[test]
fn no_certificate_begins_before_or_ends_after_the_cas_own() {
    let mut house = House::new();
    let now = 1_900_000_000;
    house.certificate = root(&house.key, now - 60, now + 30 * DAY_S);
    house.clock.set(now);
    let ca = house.open();
    let text = openssl_text(&ca.issue(plain_request()).pem);
    let own = openssl_text(&ca.root_pem());
    let line = |text: &str, it: &str| {
        text.lines().find(|line| line.contains(it)).unwrap().trim().to_owned()
    };
    for end in ["Not Before:", "Not After :"] {
        assert_eq!(line(&text, end), line(&own, end));
    }
    assert_eq!(line(&own, "Not After :"), "Not After : Apr 16 17:46:40 2030 GMT");
}

/// Across the end of 2049, where the encoding changes, and the ends of what fits it.
#[test]
fn certificates_are_issued_on_both_sides_of_2050() {
    let mut house = House::new();
    // 2049-12-31T23:59:59Z.
    let last_second = 2_524_607_999;
    house.certificate = root(&house.key, last_second - DAY_S, last_second + 3650 * DAY_S);
    let ca = house.open();
    for (now, not_before) in
        [(last_second, "Dec 31 23:49:59 2049"), (last_second + HOUR_S, "Jan  1 00:49:59 2050")]
    {
        house.clock.set(now);
        let text = openssl_text(&ca.issue(plain_request()).pem);
        assert!(text.contains(&format!("Not Before: {not_before} GMT")), "{text}");
    }
}

#[test]
fn a_certificate_of_another_key_is_refused() {
    let mut house = House::new();
    let other = TestKey::new(KeyAlgorithm::EcdsaP256);
    let now = house.clock.seconds();
    house.certificate = root(&other, now - HOUR_S, now + DAY_S);
    check_unusable(&house, "ca-key-mismatch");
}

#[test]
fn a_certificate_that_is_no_ca_is_refused() {
    let first = House::new();
    let key = TestKey::new(KeyAlgorithm::EcdsaP256);
    // A leaf for that very key, so that only its being a leaf is wrong.
    let info = exeunt_x509::build_request_info(
        &exeunt_x509::Name::parse("CN=leaf").unwrap(),
        exeunt_keys::SigningKey::public_key_der(&key),
        &[],
    )
    .unwrap();
    let signature = exeunt_keys::SigningKey::sign(&key, &info).unwrap();
    let scheme = exeunt_keys::SigningKey::scheme(&key);
    let leaf = first.open().issue(&exeunt_x509::assemble_request(&info, scheme, &signature)).der;
    let mut house = House::with_key(key);
    house.certificate = leaf;
    let err = check_unusable(&house, "ca-certificate-invalid");
    let source = std::error::Error::source(&err).unwrap().to_string();
    assert!(source.contains("not") && source.contains("authority"), "{source}");
}

#[test]
fn a_certificate_that_is_none_is_refused() {
    let mut house = House::new();
    house.certificate = b"-----BEGIN CERTIFICATE-----".to_vec();
    check_unusable(&house, "ca-certificate-invalid");
    let mut house = House::new();
    house.certificate.truncate(200);
    check_unusable(&house, "ca-certificate-invalid");
}

/// What the lint would refuse in every certificate is the operator's mistake, and is said at once.
#[test]
fn addresses_that_no_certificate_may_carry_are_refused_at_the_start() {
    let too_long = format!("http://crl.example/{}", "a".repeat(3000));
    for bad in
        ["https://crl.example/a.crl", "file:///root.crl", "http://a b", "root.crl", &too_long]
    {
        for field in 0..3 {
            let mut publication = Publication::default();
            let lists = [
                &mut publication.crl_distribution_points,
                &mut publication.ca_issuers,
                &mut publication.ocsp,
            ];
            lists.into_iter().nth(field).unwrap().push(bad.to_owned());
            let house = House { publication, ..House::new() };
            check_unusable(&house, "ca-publication-invalid");
        }
    }
}

#[test]
fn without_randomness_nothing_is_issued() {
    let house = House::new();
    let engine = house.try_open(store_in(&house), Box::new(NoEntropy)).unwrap();
    let err = engine.submit(submission(plain_request())).unwrap_err();
    check_fault_of_the_house(&err, "issue-entropy");
    assert_eq!(engine.store().counts().unwrap().requests, 0);
}
