//! A new CA that belongs to a directory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use exeunt_e2e::ca::{Ca, text, wait_for};
use exeunt_testbed::openldap::{OpenLdap, PEOPLE, PKI, PUBLISHER};
use exeunt_testkit::{foreign, tools};
use exeunt_x509::encode_pem;
use serde_json::Value;

use super::issuing::request;

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
    // Nothing was said of a container, and this directory has none: the test says what is missing.
    let tried = ca.run(&["exit", "test", "directory"]);
    assert!(!tried.status.success());
    assert!(text(&tried.stdout).contains("objects.container"), "{}", text(&tried.stdout));
    let state = |name: &str| {
        let shown = ca.ok(&["exit", "status", name, "--json"]);
        serde_json::from_str::<Value>(&shown).unwrap()["state"].clone()
    };
    wait_for("the module", || (state("directory") == "running").then_some(()));
    assert_eq!(state("file"), "disabled");
    server.stop();
}

#[test]
fn a_new_ca_of_a_directory_has_its_objects_and_its_holders_certificates_there() {
    let directory = OpenLdap::start();
    directory.add_persons(["alice"]);
    let (url, password) = (directory.url(), directory.password_file());
    let trusted = directory.authority().certificate();
    let mut words = vec!["--directory", &url, "--directory-start-tls"];
    words.extend(["--directory-user", PUBLISHER, "--directory-container", PKI]);
    words.extend(["--directory-password-file", password.to_str().unwrap()]);
    words.extend(["--directory-ca-file", trusted.to_str().unwrap()]);
    let ca = Ca::init(&words);
    let server = ca.serve();
    // Of its templates none asks for publication; who a certificate is for is in its name.
    let asked = ["users.publish=always", "users.filters=[\"(uid={cn})\"]"];
    ca.ok(&[&["exit", "settings", "set", "directory"][..], &asked].concat());
    ca.ok(&["exit", "install", "directory", "--yes"]);
    ca.ok(&["exit", "test", "directory"]);
    ca.ok(&["crl", "publish"]);
    let file = request(&ca, "ec:P-256", "/CN=alice", &[]);
    let certificate = ca.ok(&["submit", &file]);
    let der =
        |pem: &str| tools::run_ok(tools::openssl(), ["x509", "-outform", "DER"], pem.as_bytes());
    let held = |dn: &str, attribute: &str| directory.values(dn, attribute);
    let object = wait_for("the certificate on its holder's object", || {
        held(&format!("uid=alice,{PEOPLE}"), "userCertificate;binary").pop()
    });
    assert_eq!(object, der(&certificate));
    let own = wait_for("the CA's certificate", || {
        held(&format!("CN=Test Root,CN=AIA,{PKI}"), "cACertificate;binary").pop()
    });
    assert_eq!(own, der(&ca.certificate()));
    let found = wait_for("the list", || {
        let filter = ["(certificateRevocationList;binary=*)", "certificateRevocationList;binary"];
        Some(directory.search(PKI, "sub", &filter)).filter(|it| it.contains(":: "))
    });
    let list: String = found.split(":: ").nth(1).unwrap().split_whitespace().collect();
    let list = encode_pem("X509 CRL", &STANDARD.decode(list).unwrap());
    foreign::openssl_crl_verify(&list, &ca.certificate()).unwrap();
    ca.ok(&["exit", "reconcile", "directory"]);
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
        assert!(mode != 0o600 || error.contains("--directory-start-tls"), "{error}");
    }
    let alone = ca.run(&["init", "--name", "Test Root", "--directory", "ldaps://localhost"]);
    assert_eq!(alone.status.code(), Some(2));
}
