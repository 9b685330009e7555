//! A Windows CA's settings become a configuration that works.

use std::fs;
use std::path::Path;

use exeunt_e2e::ca::{Ca, text, wait_for};

use super::issuing::request;

fn sample(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/exeunt/src/settings_import");
    folder.join("samples").join(name).to_str().unwrap().to_owned()
}

#[test]
fn an_export_becomes_a_configuration_that_is_checked_and_serves() {
    let ca = Ca::init(&[]);
    let made = ca.scratch().join("made.toml");
    let made = made.to_str().unwrap();
    let import = ca.run(&["import-settings", &sample("enterprise.reg"), "--out", made]);
    assert!(import.status.success(), "{}", text(&import.stderr));
    let said = text(&import.stderr);
    for told in ["Invented", "Acme.Exit", "ftp://web1/%3.crl", "EditFlags", "DBSessionCount"] {
        assert!(said.contains(told), "{told} is missing in {said}");
    }
    // A file that is there is not replaced.
    let again = ca.run(&["import-settings", &sample("enterprise.reg"), "--out", made]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("error[settings-out-exists]"));
    // Mail goes to a server that there is not: it waits, and the rest does its work.
    let toml = fs::read_to_string(made).unwrap().replace("127.0.0.1:8780", "127.0.0.1:0");
    fs::write(ca.home().join("exeunt.toml"), toml).unwrap();
    ca.ok(&["config", "check"]);
    let server = ca.serve();
    let file = request(&ca, "ec:P-256", "/CN=one.example.test", &["one.example.test"]);
    ca.ok(&["submit", &file]);
    let has = |folder: &str, end: &str| {
        let files = fs::read_dir(ca.home().join(folder)).into_iter().flatten().flatten();
        files.map(|it| it.path()).any(|it| it.to_string_lossy().ends_with(end))
    };
    for (folder, end) in [
        ("published", "_Corp Issuing CA.crt"),
        ("published", "Corp Issuing CA.crl"),
        ("published-2", "Corp Issuing CA.crl"),
    ] {
        wait_for(end, || has(folder, end).then_some(()));
    }
    // Not asked for by CertFile.
    assert!(!has("published", ".cer") && !has("published", ".pem"));
    server.stop();
}

#[test]
fn what_is_no_export_of_a_ca_is_refused_with_a_hint() {
    let ca = Ca::bare();
    let file = ca.scratch().join("x.reg");
    fs::write(&file, "REGEDIT4\n[HKEY_CURRENT_USER\\Software]\n\"a\"=\"b\"\n").unwrap();
    let refused = ca.run(&["import-settings", file.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("error[settings-export-no-ca]") && said.contains("reg export"), "{said}");
}
