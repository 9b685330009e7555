//! Certificates under foreign eyes: openssl, certtool, pkilint, pyca/cryptography.

use std::collections::HashMap;
use std::fs;
use std::sync::LazyLock;

use exeunt_engine::{Publication, ca_request};
use exeunt_testkit::foreign::{
    certtool_verify, openssl_request_text, openssl_text, openssl_verify, pkilint_many,
    python_issued_by,
};
use exeunt_testkit::requests::openssl_key;
use exeunt_testkit::tools;
use exeunt_types::KeyAlgorithm;
use exeunt_x509::{Name, encode_pem, parse_certificate};

use crate::support::{Ca, DAY_S, HandClock, House, Issued, TestKey, request, root};

/// What openssl 3.0 knows.
const CLASSICAL: [&str; 6] =
    ["rsa:2048", "rsa:3072", "ec:P-256", "ec:P-384", "ec:P-521", "ed25519"];
const ML_DSA: [&str; 3] = ["ml-dsa:44", "ml-dsa:65", "ml-dsa:87"];

const NAMES: [&str; 5] = [
    "host.example",
    "www.host.example",
    "IP:192.0.2.1",
    "IP:2001:db8::1",
    "URI:https://host.example/a?b=c",
];

/// One request per key type, with a subject of several attributes and letters beyond ASCII.
static REQUESTS: LazyLock<Vec<(&str, Vec<u8>)>> = LazyLock::new(|| {
    let subject = "/C=DE/ST=Köln/L=Köln/O=Exeunt & Söhne, KG/OU=東京/CN=host.example";
    let both = CLASSICAL.into_iter().chain(ML_DSA);
    both.map(|key| (key, request(key, subject, &NAMES))).collect()
});

fn request_of(key: &str) -> &'static [u8] {
    &REQUESTS.iter().find(|(known, _)| *known == key).unwrap().1
}

fn publication() -> Publication {
    Publication {
        crl_distribution_points: vec![
            "http://crl.example/root.crl".to_owned(),
            "ldap://ldap.example/cn=root?certificateRevocationList".to_owned(),
        ],
        ca_issuers: vec!["http://aia.example/root.crt".to_owned()],
        ocsp: vec!["http://ocsp.example/".to_owned()],
    }
}

fn ca_of(algorithm: KeyAlgorithm) -> (House, Ca) {
    let house = House { publication: publication(), ..House::with_key(TestKey::new(algorithm)) };
    let ca = house.open();
    (house, ca)
}

#[track_caller]
fn lint(documents: &HashMap<String, String>) {
    pkilint_many(documents.iter().map(|(name, pem)| (name.as_str(), pem.as_str())))
        .unwrap_or_else(|findings| panic!("{findings}"));
}

#[test]
fn every_request_becomes_a_certificate_that_strangers_verify_under_every_classical_ca_key() {
    let mut documents = HashMap::new();
    let classical = KeyAlgorithm::KEY_TYPES.into_iter().filter(|it| {
        !matches!(it, KeyAlgorithm::MlDsa44 | KeyAlgorithm::MlDsa65 | KeyAlgorithm::MlDsa87)
    });
    for (turn, algorithm) in classical.enumerate() {
        let (_house, ca) = ca_of(algorithm);
        let root = ca.root_pem();
        openssl_verify(&root, &root).unwrap();
        for (key, request) in REQUESTS.iter() {
            let name = format!("{key} under {}", algorithm.name());
            let Issued { pem, .. } = ca.issue(request);
            let said = |said| panic!("{name}: {said}");
            if CLASSICAL.contains(key) {
                openssl_verify(&pem, &root).unwrap_or_else(said);
                certtool_verify(&pem, &root).unwrap_or_else(said);
            } else if *key == ML_DSA[turn % 3] {
                // Keys that neither of them knows; one under each CA, for Python takes its time.
                python_issued_by(&pem, &root).unwrap_or_else(said);
            }
            documents.insert(name, pem);
        }
        documents.insert(format!("root {}", algorithm.name()), root);
    }
    assert_eq!(documents.len(), 7 * (9 + 1));
    lint(&documents);
}

#[test]
fn what_an_ml_dsa_ca_signs_is_verified_by_python() {
    let mut documents = HashMap::new();
    for (algorithm, keys) in [
        (KeyAlgorithm::MlDsa44, &["ec:P-256", "ml-dsa:87"][..]),
        (KeyAlgorithm::MlDsa65, &["rsa:2048"]),
        (KeyAlgorithm::MlDsa87, &["ml-dsa:44"]),
    ] {
        let (_house, ca) = ca_of(algorithm);
        let root = ca.root_pem();
        for key in keys {
            let name = format!("{key} under {}", algorithm.name());
            let Issued { pem, .. } = ca.issue(request_of(key));
            python_issued_by(&pem, &root).unwrap_or_else(|said| panic!("{name}: {said}"));
            documents.insert(name, pem);
        }
        python_issued_by(&root, &root).unwrap();
        documents.insert(algorithm.name(), root);
    }
    lint(&documents);
}

/// Has openssl, as a root, certify a request for a CA.
fn certified_by_openssl(request_pem: &str, serial: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let key = openssl_key("ec:P-384#root").display().to_string();
    let run = |words: &str, rest: &[&str]| {
        let args = words.split(' ').chain(rest.iter().copied());
        String::from_utf8(tools::run_ok(tools::openssl(), args, b"")).unwrap()
    };
    let root = run(
        "req -x509 -new -sha384 -days 3000 -subj /CN=Foreign_Root",
        &["-key", &key, "-addext", "keyUsage=critical,keyCertSign,cRLSign"],
    );
    fs::write(path("root.pem"), &root).unwrap();
    fs::write(path("request.pem"), request_pem).unwrap();
    fs::write(
        path("extensions"),
        "basicConstraints=critical,CA:TRUE,pathlen:0\n\
         keyUsage=critical,digitalSignature,keyCertSign,cRLSign\n\
         subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n",
    )
    .unwrap();
    let files = [
        "-in",
        &path("request.pem"),
        "-CA",
        &path("root.pem"),
        "-CAkey",
        &key,
        "-extfile",
        &path("extensions"),
        "-set_serial",
        serial,
    ];
    (run("x509 -req -sha384 -days 1000", &files), root)
}

#[test]
fn a_subordinate_ca_below_a_foreign_root_issues() {
    let mut documents = HashMap::new();
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::Rsa { bits: 2048 }] {
        let key = TestKey::new(algorithm);
        let subject = Name::parse("CN=Sub CA,O=Exeunt,C=DE").unwrap();
        let asked = encode_pem("CERTIFICATE REQUEST", &ca_request(&key, &subject).unwrap());
        let text = openssl_request_text(&asked);
        assert!(text.contains("Subject: C = DE, O = Exeunt, CN = Sub CA"), "{text}");
        assert!(text.contains("CA:TRUE"), "{text}");
        let (sub, root) = certified_by_openssl(&asked, "0x1234567890abcdef");

        let mut house = House::with_key(key);
        // Issuance is after the certification by openssl, which takes the system's time.
        house.clock.set(HandClock::today().seconds() + 1);
        house.certificate = parse_certificate(sub.as_bytes()).unwrap().der().to_vec();
        let ca = house.open();
        assert!(!ca.engine.is_root());
        let Issued { pem, .. } = ca.issue(request_of("ec:P-256"));
        openssl_verify(&pem, &format!("{sub}{root}")).unwrap();
        certtool_verify(&format!("{pem}{sub}"), &root).unwrap();
        documents.insert(format!("leaf below {}", algorithm.name()), pem);
        documents.insert(format!("sub {}", algorithm.name()), sub);
    }
    lint(&documents);
}

/// Serial numbers with the top bit set have a zero octet before them in DER; many CAs draw such.
#[test]
fn a_ca_certificate_whose_serial_needs_a_leading_zero_is_usable() {
    let key = TestKey::new(KeyAlgorithm::EcdsaP256);
    let subject = Name::parse("CN=Sub CA").unwrap();
    let asked = encode_pem("CERTIFICATE REQUEST", &ca_request(&key, &subject).unwrap());
    let (sub, root) = certified_by_openssl(&asked, "0xfedcba9876543210");
    let mut house = House::with_key(key);
    house.clock.set(HandClock::today().seconds() + 1);
    house.certificate =
        exeunt_x509::decode_pem_or_der(sub.as_bytes(), &["CERTIFICATE"]).unwrap().into_owned();
    let ca = house.open();
    assert!(!ca.engine.is_root());
    let submitted = ca.submit(request_of("ec:P-256")).unwrap();
    let exeunt_engine::Outcome::Issued { certificate, .. } = submitted.outcome else { panic!() };
    openssl_verify(&encode_pem("CERTIFICATE", &certificate), &format!("{sub}{root}")).unwrap();
}

/// The line after the one that has `heading`, or what follows it on its own line.
#[track_caller]
fn field<'a>(text: &'a str, heading: &str) -> &'a str {
    let mut lines = text.lines().map(str::trim);
    let found = lines.find(|it| it.starts_with(heading));
    let rest = found.unwrap_or_else(|| panic!("no {heading:?} in {text}"))[heading.len()..].trim();
    let is_critical = rest == "critical";
    if rest.is_empty() || is_critical { lines.next().unwrap() } else { rest }
}

#[test]
fn a_certificate_says_what_the_template_and_the_publication_say() {
    let mut house = House {
        publication: publication(),
        ..House::with_key(TestKey::new(KeyAlgorithm::Ed25519))
    };
    // 2030-03-17T17:46:40Z.
    let now = 1_900_000_000;
    house.clock.set(now);
    house.certificate = root(&house.key, now - DAY_S, now + 365 * DAY_S);
    let ca = house.open();
    let request = request("rsa:2048", "/C=DE/O=Exeunt/CN=host.example", &NAMES);
    let issued = ca.issue(&request);
    let text = openssl_text(&issued.pem);

    assert_eq!(field(&text, "Issuer:"), "C = DE, O = Exeunt, CN = Test Root");
    assert_eq!(field(&text, "Subject:"), "C = DE, O = Exeunt, CN = host.example");
    assert_eq!(field(&text, "Public-Key:"), "(2048 bit)");
    assert_eq!(field(&text, "Signature Algorithm:"), "ED25519");
    assert!(text.contains("Version: 3 (0x2)"), "{text}");
    let serial = field(&text, "Serial Number:");
    assert_eq!(serial.split(':').count(), 16, "{serial}");
    assert_eq!(serial.replace(':', ""), issued.serial.to_string());
    // Ten minutes back; 90 days with both ends in it.
    assert_eq!(field(&text, "Not Before:"), "Mar 17 17:36:40 2030 GMT");
    assert_eq!(field(&text, "Not After :"), "Jun 15 17:46:39 2030 GMT");

    let heading = |name: &str, critical: bool| {
        let critical = if critical { " critical" } else { "" };
        let found = text.lines().map(str::trim).find(|it| it.starts_with(name));
        assert_eq!(found.unwrap().trim_end(), format!("{name}{critical}"));
    };
    heading("X509v3 Basic Constraints:", true);
    assert_eq!(field(&text, "X509v3 Basic Constraints:"), "CA:FALSE");
    heading("X509v3 Key Usage:", true);
    assert_eq!(field(&text, "X509v3 Key Usage:"), "Digital Signature, Key Encipherment");
    heading("X509v3 Extended Key Usage:", false);
    assert_eq!(
        field(&text, "X509v3 Extended Key Usage:"),
        "TLS Web Server Authentication, TLS Web Client Authentication"
    );
    heading("X509v3 Subject Alternative Name:", false);
    assert_eq!(
        field(&text, "X509v3 Subject Alternative Name:"),
        "DNS:host.example, DNS:www.host.example, IP Address:192.0.2.1, \
         IP Address:2001:DB8:0:0:0:0:0:1, URI:https://host.example/a?b=c"
    );
    heading("X509v3 CRL Distribution Points:", false);
    for line in [
        "URI:http://crl.example/root.crl",
        "URI:ldap://ldap.example/cn=root?certificateRevocationList",
        "OCSP - URI:http://ocsp.example/",
        "CA Issuers - URI:http://aia.example/root.crt",
    ] {
        assert!(text.lines().any(|it| it.trim() == line), "no {line:?} in {text}");
    }

    // The identifiers are those that openssl computes itself.
    let own = openssl_text(&ca.root_pem());
    let root_identifier = field(&own, "X509v3 Subject Key Identifier:");
    assert_eq!(
        field(&text, "X509v3 Authority Key Identifier:").trim_start_matches("keyid:"),
        root_identifier
    );
    let key = openssl_key("rsa:2048");
    let args = ["req", "-x509", "-new", "-subj", "/CN=x", "-key", key.to_str().unwrap()];
    let made = String::from_utf8(tools::run_ok(tools::openssl(), args, b"")).unwrap();
    assert_eq!(
        field(&text, "X509v3 Subject Key Identifier:"),
        field(&openssl_text(&made), "X509v3 Subject Key Identifier:")
    );
    assert_eq!(text.matches("X509v3 ").count() + text.matches("Authority Information").count(), 9);
}

#[test]
fn without_addresses_there_is_neither_cdp_nor_aia() {
    let ca = House::new().open();
    let text = openssl_text(&ca.issue(request_of("ec:P-256")).pem);
    assert!(!text.contains("CRL Distribution Points"), "{text}");
    assert!(!text.contains("Authority Information Access"), "{text}");
}

#[test]
fn an_empty_subject_makes_the_alternative_names_critical() {
    let house = House::new();
    let ca = house.open();
    let Issued { pem, .. } = ca.issue(&request("ec:P-256", "/", &["host.example"]));
    let text = openssl_text(&pem);
    let line = text.lines().find(|it| it.contains("Subject Alternative Name:")).unwrap();
    assert_eq!(line.trim(), "X509v3 Subject Alternative Name: critical");
    let root = ca.root_pem();
    openssl_verify(&pem, &root).unwrap();
    certtool_verify(&pem, &root).unwrap();
    pkilint_many([("empty subject", pem.as_str())]).unwrap();
}

#[test]
fn a_wildcard_is_verified_and_displeases_pkilint_alone() {
    let ca = House::new().open();
    let Issued { pem, .. } = ca.issue(&request("ec:P-256", "/CN=a", &["*.host.example"]));
    let root = ca.root_pem();
    openssl_verify(&pem, &root).unwrap();
    certtool_verify(&pem, &root).unwrap();
    // RFC 5280, section 4.2.1.6, knows no wildcards; RFC 9525, section 6.3, does.
    let said = pkilint_many([("wildcard", pem.as_str())]).unwrap_err();
    assert!(said.lines().all(|it| it.contains("pkix.invalid_domain_name_syntax")), "{said}");
}

#[test]
fn key_encipherment_stands_in_certificates_of_rsa_keys_alone() {
    let ca = House::new().open();
    for (key, request) in REQUESTS.iter() {
        let text = openssl_text(&ca.issue(request).pem);
        let expected = match key.split_once(':') {
            Some(("rsa", _)) => "Digital Signature, Key Encipherment",
            _ => "Digital Signature",
        };
        assert_eq!(field(&text, "X509v3 Key Usage:"), expected, "{key}");
    }
}
