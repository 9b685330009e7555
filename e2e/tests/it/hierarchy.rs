//! A root and a CA below it, both of ours: an officer of the root decides who becomes a CA.

use exeunt_e2e::ca::{Ca, text};
use exeunt_testkit::{foreign, tools};
use serde_json::Value;

use super::issuing::request;

const HOST: &str = "host.example.test";

/// Hands the request to the root, whose officer approves it; a file with the certificate.
fn sign(root: &Ca, csr: &str) -> String {
    let output = root.run(&["submit", csr, "--template", "subordinate-ca", "--json"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let asked: Value = serde_json::from_slice(&output.stdout).unwrap();
    let id = asked["request_id"].as_u64().unwrap().to_string();
    let shown = root.ok(&["request", "show", &id]);
    assert!(shown.contains("it makes a CA"), "{shown}");
    root.ok(&["request", "approve", &id]);
    let signed = root.scratch().join("signed.pem").to_str().unwrap().to_owned();
    root.ok(&["request", "retrieve", &id, "--out", &signed]);
    signed
}

#[test]
fn a_ca_below_another_is_signed_by_an_officer_and_its_chain_is_believed() {
    let root = Ca::init(&["--subject", "CN=Test Root,O=Example"]);
    root.configure_more(
        r#"[[template]]
name = "subordinate-ca"
validity_days = 1825
ca = true
path_length = 0
key_usage = ["digitalSignature", "keyCertSign", "cRLSign"]
subject_from_request = ["CN", "O"]
issue = "hold""#,
    );
    let _parent = root.serve();
    let sub = Ca::init(&["--kind", "subordinate", "--subject", "CN=Test Issuing,O=Example"]);
    let csr = sub.scratch().join("sub.csr.pem").to_str().unwrap().to_owned();
    sub.ok(&["ca", "request", "--out", &csr]);
    sub.ok(&["ca", "install", &sign(&root, &csr)]);
    let of_sub = sub.certificate();
    let said = foreign::openssl_text(&of_sub);
    assert!(said.contains("CA:TRUE, pathlen:0"), "{said}");
    foreign::openssl_verify(&of_sub, &root.certificate()).unwrap();
    foreign::pkilint(&of_sub).unwrap();

    sub.configure("[server]", "[server]\ntls = \"own\"");
    let server = sub.serve();
    // The server sends the CA's certificate along: clients need to know the root only.
    let (door, known) = (server.address().to_string(), root.home().join("ca.cert.pem"));
    let args =
        ["s_client", "-connect", &door, "-verify_return_error", "-verify_hostname", "localhost"];
    let args = [&args[..], &["-CAfile", known.to_str().unwrap()]].concat();
    let said = text(&tools::run_ok(tools::openssl(), args, b""));
    assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
    let leaf = sub.ok(&["submit", &request(&sub, "ec:P-256", &format!("/CN={HOST}"), &[HOST])]);
    foreign::openssl_verify(&leaf, &format!("{of_sub}{}", root.certificate())).unwrap();
    foreign::certtool_verify(&format!("{leaf}{of_sub}"), &root.certificate()).unwrap();
    foreign::nss_verify(&leaf, &root.certificate(), &of_sub).unwrap();

    // With a path length of 0 the way goes no further down.
    sub.configure_more(
        r#"[[template]]
name = "subordinate-ca"
validity_days = 90
ca = true
key_usage = ["keyCertSign"]
subject_from_request = ["CN", "O"]
issue = "hold""#,
    );
    server.stop();
    let _server = sub.serve();
    let third = Ca::init(&["--kind", "subordinate", "--subject", "CN=Third,O=Example"]);
    let csr = third.home().join("ca.csr.pem").to_str().unwrap().to_owned();
    let output = sub.run(&["submit", &csr, "--template", "subordinate-ca", "--json"]);
    let asked: Value = serde_json::from_slice(&output.stdout).unwrap();
    let id = asked["request_id"].as_u64().unwrap().to_string();
    let output = sub.run(&["request", "approve", &id]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("lint-refused") && said.contains("path"), "{said}");
}
