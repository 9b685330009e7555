//! Who comes in by which door.

use exeunt_e2e::ca::{Ca, text};
use exeunt_testkit::{requests, tools};

use super::issuing::request;

/// A key and a certificate of the CA for its own listener.
fn tls_files(ca: &Ca) {
    let server = ca.serve();
    let file = request(ca, "ec:P-256", "/CN=localhost", &["localhost", "IP:127.0.0.1"]);
    let out = ca.home().join("tls.pem");
    ca.ok(&["submit", &file, "--out", out.to_str().unwrap()]);
    server.stop();
    let key = ca.home().join("tls.key");
    let args =
        ["pkey", "-in", requests::openssl_key("ec:P-256").to_str().unwrap()].map(str::to_owned);
    let pem = tools::run_ok(tools::openssl(), &args, b"");
    std::fs::write(&key, pem).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, mode).unwrap();
    ca.configure("[server]", "[server]\ntls_certificate = \"tls.pem\"\ntls_key = \"tls.key\"");
}

#[test]
fn a_server_elsewhere_is_reached_over_https_with_a_token() {
    let ca = Ca::init(&[]);
    tls_files(&ca);
    let server = ca.serve();
    let url = format!("https://{}", server.address());
    let root = ca.home().join("ca.cert.pem");
    let token = ca.home().join("secrets/admin.token");
    let file = request(&ca, "ec:P-256", "/CN=far.example.test", &[]);
    let (root, token) = (root.to_str().unwrap(), token.to_str().unwrap());
    let door = ["--server", &url, "--token-file", token, "--ca-file", root];
    let certificate = ca.ok(&[&["submit", file.as_str()][..], &door].concat());
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(ca.ok(&[&["request", "list"][..], &door].concat()).contains("token:admin"));

    let wrong = ca.scratch().join("wrong.token");
    std::fs::write(&wrong, "0".repeat(64)).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&wrong, mode).unwrap();
    let door = ["--server", &url, "--token-file", wrong.to_str().unwrap(), "--ca-file", root];
    let refused = ca.run(&[&["request", "list"][..], &door].concat());
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("error[unauthorized]"), "{}", text(&refused.stderr));

    let door = ["--server", &url, "--token-file", token];
    let untrusted = ca.run(&[&["request", "list"][..], &door].concat());
    assert!(text(&untrusted.stderr).contains("error[server-unreachable]"));
    server.stop();
}

#[test]
fn a_token_is_never_sent_without_tls_to_another_machine() {
    let ca = Ca::init(&[]);
    let token = ca.home().join("secrets/admin.token");
    let refused = ca.run(&[
        "request",
        "list",
        "--server",
        "http://ca.example",
        "--token-file",
        token.to_str().unwrap(),
    ]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("a token is not sent without TLS"));
}

#[test]
fn plain_http_listens_on_loopback_only() {
    let ca = Ca::init(&[]);
    let refused = ca.run(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("is not a loopback address"));
}

#[test]
fn one_home_has_one_server() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    let second = ca.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("error[store-in-use]"), "{}", text(&second.stderr));
    assert!(ca.ok(&["cert", "list"]).contains("SERIAL"), "the first one still answers");
    server.stop();
}
