//! Keys and requests.

use std::fs;

use exeunt_testkit::{
    foreign,
    requests::{openssl_key, openssl_request},
};
use tempfile::TempDir;

#[test]
fn openssl_reads_back_the_requests_it_made() {
    let dir = TempDir::new().unwrap();
    for (key, expected) in [
        ("ec:P-256", "ASN1 OID: prime256v1"),
        ("ec:P-384", "ASN1 OID: secp384r1"),
        ("rsa:2048", "Public-Key: (2048 bit)"),
        ("ed25519", "ED25519 Public-Key:"),
    ] {
        let san = ["a.example", "IP:192.0.2.1", "email:b@a.example"];
        let request = openssl_request(key, "/C=DE/CN=host", &san, dir.path());
        let text = foreign::openssl_request_text(&fs::read_to_string(request).unwrap());
        for part in
            [expected, "CN = host", "DNS:a.example, IP Address:192.0.2.1, email:b@a.example"]
        {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }
}

#[test]
fn a_key_is_made_once_and_another_label_is_another_key() {
    let read = |key| fs::read_to_string(openssl_key(key)).unwrap();
    assert_eq!(read("ec:P-256"), read("ec:P-256"));
    assert_ne!(read("ec:P-256"), read("ec:P-256#two"));
}

#[test]
fn python_makes_requests_with_ml_dsa() {
    let dir = TempDir::new().unwrap();
    let request = openssl_request("ml-dsa:65", "/C=DE/CN=host", &["a.example"], dir.path());
    let pem = fs::read_to_string(&request).unwrap();
    assert!(pem.starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
    let key = fs::read_to_string(request.with_extension("key")).unwrap();
    // FIPS 204, table 2: 1952 octets; RFC 9881 puts 22 before them.
    assert_eq!(foreign::python_public_key(&key, None).unwrap().len(), 1952 + 22);
}
