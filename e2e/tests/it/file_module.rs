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

#[test]
fn what_was_lost_or_put_into_the_folder_is_found_and_mended() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    for host in ["one", "two", "three"] {
        let name = format!("{host}.example.test");
        let file = request(&ca, "ec:P-256", &format!("/CN={name}"), &[&name]);
        ca.ok(&["submit", &file]);
    }
    let certificates = wait_for("three certificates", || {
        Some(files_ending(&ca, ".pem")).filter(|it| it.len() == 3)
    });
    wait_for("all events told", || {
        let status = ca.ok(&["exit", "status", "file", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        (status["lag"] == 0).then_some(())
    });
    let list = one(&ca, ".crl");
    let whole = fs::read(&list).unwrap();
    assert!(ca.ok(&["exit", "reconcile", "file"]).contains("5 as they should be, 0 not"));
    // One is lost, one has another's content, a list is somebody's text, and a note lies beside them.
    let (gone, changed) = (&certificates[0], &certificates[1]);
    let content = fs::read(gone).unwrap();
    let own = fs::read(changed).unwrap();
    fs::remove_file(gone).unwrap();
    fs::write(changed, "somebody's").unwrap();
    fs::remove_file(&list).unwrap();
    fs::write(ca.published().join("note"), "precious").unwrap();
    // What differs is told by the status too.
    let reconcile = |more: &[&str]| {
        let output = ca.run(&[&["exit", "reconcile", "file"], more].concat());
        assert!(!output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let looked = reconcile(&[]);
    for word in ["missing", "foreign"] {
        assert!(looked.contains(word), "{looked}");
    }
    assert!(looked.contains("2 as they should be, 3 not"), "{looked}");
    assert!(!gone.exists() && !list.exists(), "looking changes nothing");
    let mended = reconcile(&["--mend"]);
    assert!(mended.contains("3 not, 2 of them mended"), "{mended}");
    assert_eq!((fs::read(gone).unwrap(), fs::read(&list).unwrap()), (content, whole));
    assert_eq!(fs::read(changed).unwrap(), b"somebody's");
    fs::remove_file(changed).unwrap();
    ca.ok(&["exit", "reconcile", "file", "--mend"]);
    assert_eq!(fs::read(changed).unwrap(), own);
    assert!(ca.ok(&["exit", "reconcile", "file"]).contains("5 as they should be, 0 not"));
    assert_eq!(fs::read(ca.published().join("note")).unwrap(), b"precious");
    let tried = ca.ok(&["exit", "test", "file"]);
    assert!(tried.contains("passed") && !tried.contains("failed"), "{tried}");
    server.stop();
}
