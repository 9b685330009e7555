//! A new CA that belongs to a directory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use exeunt_e2e::ca::{Ca, text, wait_for};
use exeunt_testbed::openldap::{OpenLdap, PUBLISHER};
use serde_json::Value;

#[test]
fn a_new_ca_of_a_directory_publishes_there_and_not_into_files() {
    let directory = OpenLdap::start();
    let (url, password) = (directory.tls_url(), directory.password_file());
    let trusted = directory.authority().certificate();
    let words = [
        "--directory",
        &url,
        "--directory-user",
        PUBLISHER,
        "--directory-password-file",
        password.to_str().unwrap(),
        "--directory-ca-file",
        trusted.to_str().unwrap(),
    ];
    let ca = Ca::init(&words);
    let kept = ca.home().join("modules/directory/password");
    assert_eq!(fs::read(&kept).unwrap(), fs::read(&password).unwrap());
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    let config = fs::read_to_string(ca.home().join("exeunt.toml")).unwrap();
    assert!(!config.contains(fs::read_to_string(&password).unwrap().trim()), "{config}");
    ca.ok(&["config", "check"]);

    let server = ca.serve();
    let state = |name: &str| {
        let shown = ca.ok(&["exit", "status", name, "--json"]);
        serde_json::from_str::<Value>(&shown).unwrap()["state"].clone()
    };
    wait_for("the module", || (state("directory") == "running").then_some(()));
    assert_eq!(state("file"), "disabled");
    server.stop();
}

#[test]
fn what_cannot_be_a_directory_is_refused_and_nothing_is_left() {
    let ca = Ca::bare();
    let password = ca.scratch().join("password");
    fs::write(&password, "word").unwrap();
    let init = |url: &str, mode: u32| {
        fs::set_permissions(&password, fs::Permissions::from_mode(mode)).unwrap();
        let words = ["init", "--name", "Test Root", "--directory", url, "--directory-user"];
        let more = ["cn=ca", "--directory-password-file", password.to_str().unwrap()];
        let output = ca.run(&[&words[..], &more].concat());
        assert!(!output.status.success());
        assert!(!ca.home().join("exeunt.toml").exists());
        text(&output.stderr)
    };
    for (url, mode, said) in [
        ("ldap://localhost", 0o600, "is not protected"),
        ("https://localhost", 0o600, "does not begin with ldaps://"),
        ("ldaps://localhost", 0o644, "chmod 600"),
    ] {
        let error = init(url, mode);
        assert!(error.contains(said), "{error}");
    }
    let alone = ca.run(&["init", "--name", "Test Root", "--directory", "ldaps://localhost"]);
    assert_eq!(alone.status.code(), Some(2));
}
