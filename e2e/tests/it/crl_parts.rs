//! Revocation lists of parts and of several keys, fetched where certificates say.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use exeunt_e2e::ca::{Ca, Served, text, wait_for};
use exeunt_testkit::foreign;
use exeunt_x509::encode_pem;
use serde_json::Value;

use super::issuing::request;

/// Where certificates say their list is.
const POINT: &str = "http://pki.example/crl/ca%8<CRLPartitionIndex>%9.crl";

fn json(ca: &Ca, args: &[&str]) -> Value {
    serde_json::from_str(&ca.ok(&[args, &["--json"]].concat())).unwrap()
}

/// A certificate in PEM.
fn issue(ca: &Ca) -> String {
    let file = request(ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    ca.ok(&["submit", &file])
}

fn revoke(ca: &Ca, certificate: &str) {
    let file = ca.scratch().join("revoked.pem");
    std::fs::write(&file, certificate).unwrap();
    ca.ok(&["cert", "revoke", "--file", file.to_str().unwrap(), "--reason", "key-compromise"]);
}

/// What anybody gets at a path, without a token; `None` if it is not there.
fn fetch(server: &Served, path: &str) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: pki\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    let body = answer.split_off(end + 4);
    text(&answer).contains(" 200 ").then_some(body)
}

/// The list that a certificate names, in PEM.
#[track_caller]
fn list_of(server: &Served, certificate: &str) -> String {
    let said = foreign::openssl_text(certificate);
    let at = said.find("URI:http://pki.example").unwrap();
    let address = said[at..].lines().next().unwrap();
    let path = address.trim_start_matches("URI:http://pki.example").replace('(', "%28");
    let der = wait_for("the list", || fetch(server, &path.replace(')', "%29")));
    encode_pem("X509 CRL", &der)
}

#[test]
fn each_certificate_names_the_list_of_its_part_and_is_found_in_no_other() {
    let ca = Ca::init(&[]);
    ca.configure("crl_distribution_points = []", &format!("crl_distribution_points = [{POINT:?}]"));
    let server = ca.serve();
    let whole = issue(&ca);
    server.stop();

    ca.configure("[crl]", "[crl]\npartitions = 2");
    let server = ca.serve();
    // That all are of one part happens once in a thousand times, and then proves less.
    let issued: Vec<String> = (0..10).map(|_| issue(&ca)).collect();
    revoke(&ca, &whole);
    issued[..5].iter().for_each(|it| revoke(&ca, it));
    let made = ca.ok(&["crl", "publish"]);
    assert!(made.contains("base revocation list") && made.contains(", part 2,"), "{made}");
    let root = ca.certificate();
    let is_revoked = |certificate: &str| {
        let list = list_of(&server, certificate);
        foreign::openssl_crl_verify(&list, &root).unwrap();
        let judged = foreign::openssl_verify_with_crl(certificate, &root, &list);
        assert!(judged.as_ref().err().is_none_or(|it| it.contains("certificate revoked")));
        judged.is_err()
    };
    assert!(is_revoked(&whole));
    assert!(issued[..5].iter().all(|it| is_revoked(it)));
    assert!(!issued[5..].iter().any(|it| is_revoked(it)));
    // The list of part 0 is not for them.
    let of_whole = list_of(&server, &whole);
    foreign::openssl_verify_with_crl(&issued[9], &root, &of_whole).unwrap_err();

    let entries: Vec<usize> = ["0", "1", "2"]
        .map(|part| {
            json(&ca, &["crl", "show", "--part", part])["entries"].as_array().unwrap().len()
        })
        .to_vec();
    assert_eq!((entries[0], entries[1] + entries[2]), (1, 5));
    let listed = json(&ca, &["crl", "list"]);
    let all_there = listed["crls"].as_array().unwrap().iter().all(|it| it["file"] == true);
    assert!(all_there, "{listed}");
    let refused = ca.run(&["crl", "show", "--part", "3"]);
    assert!(text(&refused.stderr).contains("error[crl-none]"), "{}", text(&refused.stderr));
    server.stop();

    // A configuration whose certificates could not say which part they are of.
    ca.configure("<CRLPartitionIndex>", "");
    let refused = ca.run(&["config", "check"]);
    assert!(text(&refused.stderr).contains("crl.partitions"), "{}", text(&refused.stderr));
}

#[test]
fn both_keys_of_a_renewed_ca_publish_under_their_own_names() {
    let ca = Ca::init(&[]);
    ca.configure("crl_distribution_points = []", &format!("crl_distribution_points = [{POINT:?}]"));
    let server = ca.serve();
    let old = issue(&ca);
    let first = ca.certificate();
    server.stop();
    ca.ok(&["ca", "renew", "--new-key"]);
    let server = ca.serve();
    let new = issue(&ca);
    let second = encode_pem("CERTIFICATE", &fetch(&server, "/ca/current.crt").unwrap());
    assert_ne!(first, second);
    for it in [&old, &new] {
        revoke(&ca, it);
    }
    ca.ok(&["crl", "publish"]);
    for (certificate, root) in [(&old, &first), (&new, &second)] {
        let list = list_of(&server, certificate);
        foreign::openssl_crl_verify(&list, root).unwrap();
        let said = foreign::openssl_verify_with_crl(certificate, root, &list).unwrap_err();
        assert!(said.contains("certificate revoked"), "{said}");
    }
    let shown = |key: &str| json(&ca, &["crl", "show", "--key", key]);
    assert_eq!(shown("0")["number"], shown("1")["number"]);
    assert_ne!(shown("0")["authority_key_identifier"], shown("1")["authority_key_identifier"]);
    assert_eq!(json(&ca, &["crl", "show"]), shown("1"));
    server.stop();
}
