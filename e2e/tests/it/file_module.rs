//! What a fresh CA publishes as files, and how others find it.

use std::fs;
use std::process::Command;

use exeunt_e2e::ca::{Ca, text, wait_for};

use super::issuing::request;

fn files_ending(ca: &Ca, end: &str) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(ca.published()).into_iter().flatten().flatten();
    files.map(|it| it.path()).filter(|it| it.to_string_lossy().ends_with(end)).collect()
}

fn one(ca: &Ca, end: &str) -> std::path::PathBuf {
    wait_for(end, || match &files_ending(ca, end)[..] {
        [one] => Some(one.clone()),
        _ => None,
    })
}

fn openssl(words: &[&str]) -> String {
    let output = Command::new("openssl").args(words).output().unwrap();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "openssl {words:?}: {said}");
    said
}

#[test]
fn a_fresh_ca_publishes_itself_and_its_lists_beside_the_certificates() {
    let ca = Ca::bare();
    ca.ok(&["init", "--name", "Roof & Sons"]);
    let server = ca.serve();
    let file = request(&ca, "ec:P-256", "/CN=one.example.test", &["one.example.test"]);
    ca.ok(&["submit", &file]);
    let leaf = one(&ca, ".pem");
    let root = one(&ca, ".crt");
    let list = one(&ca, ".crl");
    // The names of the original: sanitised, with the server's name before the CA's certificate.
    assert!(list.ends_with("Roof !0026 Sons.crl"), "{list:?}");
    assert!(root.to_string_lossy().ends_with("_Roof !0026 Sons.crt"), "{root:?}");
    let pem = ca.scratch().join("root.pem");
    let pem = pem.to_str().unwrap();
    openssl(&["x509", "-inform", "DER", "-in", root.to_str().unwrap(), "-out", pem]);
    openssl(&["verify", "-CAfile", pem, leaf.to_str().unwrap()]);
    let shown = || {
        let list = list.to_str().unwrap();
        openssl(&["crl", "-inform", "DER", "-in", list, "-CAfile", pem, "-crlnumber", "-noout"])
    };
    assert!(shown().contains("verify OK") && shown().contains("crlNumber=0x01"), "{}", shown());
    ca.ok(&["crl", "publish"]);
    wait_for("the next list", || shown().contains("crlNumber=0x02").then_some(()));
    assert!(shown().contains("verify OK"), "{}", shown());
    server.stop();
}

#[test]
fn lists_of_a_ca_with_a_key_after_quantum_computers_are_verified_and_published() {
    let ca = Ca::init(&["--key-type", "ml-dsa-65"]);
    let server = ca.serve();
    let list = fs::read(one(&ca, ".crl")).unwrap();
    let status = ca.ok(&["exit", "status", "file"]);
    assert!(status.contains("Parked:           0"), "{status}");
    assert!(3000 < list.len(), "the signature alone is longer than {}", list.len());
    server.stop();
}
