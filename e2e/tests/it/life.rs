//! The life of a certificate after the request: officers' decisions, revocation, lists.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use exeunt_e2e::ca::{Ca, Served, text, wait_for};
use exeunt_e2e::{program, record};
use exeunt_testkit::{foreign, tools};
use exeunt_x509::encode_pem;
use serde_json::Value;

use super::issuing::request;

/// `EXITEVENT_*` of the original, and Exeunt's own beyond 0xFFFF.
const ISSUED: u32 = 0x1;
const PENDING: u32 = 0x2;
const DENIED: u32 = 0x4;
const REVOKED: u32 = 0x8;
const RETRIEVE_PENDING: u32 = 0x10;
const CRL_ISSUED: u32 = 0x20;
const UNREVOKED: u32 = 0x1_0000;

/// A CA whose requests wait for an officer, with a module that records what it hears.
fn holding() -> (Ca, PathBuf) {
    let ca = Ca::init(&[]);
    ca.configure("issue = \"at-once\"", "issue = \"hold\"");
    let heard = listen(&ca);
    (ca, heard)
}

/// Adds the recording module; its record.
fn listen(ca: &Ca) -> PathBuf {
    let (module, heard) = (program::built("record-module"), ca.scratch().join("heard"));
    let (module, file) = (module.to_str().unwrap(), heard.to_str().unwrap());
    ca.configure_more(&format!(
        "[[exit]]\nname = \"record\"\ncommand = [{module:?}]\n[exit.settings]\nfile = {file:?}"
    ));
    heard
}

/// Waits until the module has heard exactly these events of request 1.
#[track_caller]
fn heard_of_request(heard: &Path, expected: &[u32]) {
    let of_request = || -> Vec<u32> {
        let all = record::read(heard).unwrap();
        all.iter().filter(|it| it.subject == "request:1").map(|it| it.event).collect()
    };
    wait_for(&format!("the events {expected:?}"), || {
        (of_request().len() >= expected.len()).then_some(())
    });
    assert_eq!(of_request(), expected);
}

fn submit(ca: &Ca) -> (Option<i32>, String) {
    let file = request(ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    let output = ca.run(&["submit", &file]);
    (output.status.code(), text(&output.stdout))
}

/// Issues a certificate; its file.
fn issue(ca: &Ca) -> String {
    let out = ca.scratch().join("host.pem");
    let file = request(ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    ca.ok(&["submit", &file, "--out", out.to_str().unwrap()]);
    out.to_str().unwrap().to_owned()
}

fn json(ca: &Ca, args: &[&str]) -> Value {
    serde_json::from_str(&ca.ok(&[args, &["--json"]].concat())).unwrap()
}

/// What anybody gets at a path, without a token: status and body.
fn fetch(server: &Served, path: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: pki\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    let status = text(&answer[..end]).lines().next().unwrap().to_owned();
    (status, answer.split_off(end + 4))
}

/// The newest list as relying parties get it, in PEM; waits for the first one.
fn list(server: &Served, path: &str) -> String {
    let der = wait_for("a revocation list", || {
        let (status, body) = fetch(server, path);
        status.contains(" 200 ").then_some(body)
    });
    encode_pem("X509 CRL", &der)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_fresh_ca_publishes_its_first_list_at_the_first_start_and_not_at_the_second() {
    let ca = Ca::init(&["--subject", "CN=Test Root,O=Example,C=DE"]);
    let heard = listen(&ca);
    let server = ca.serve();
    let first = list(&server, "/crl/ca.crl");
    let (_, root) = fetch(&server, "/ca/ca.crt");
    assert_eq!(encode_pem("CERTIFICATE", &root), ca.certificate());
    wait_for("the module to hear of the list", || {
        record::read(&heard).unwrap().iter().any(|it| it.event == CRL_ISSUED).then_some(())
    });
    server.stop();
    foreign::openssl_crl_verify(&first, &ca.certificate()).unwrap();
    foreign::pkilint(&first).unwrap();

    let server = ca.serve();
    assert_eq!(list(&server, "/crl/ca.crl"), first);
    let shown = json(&ca, &["crl", "show"]);
    assert_eq!((&shown["number"], &shown["kind"]), (&1.into(), &"base".into()));
    assert_eq!(shown["issuer"], "CN=Test Root,O=Example,C=DE");
    server.stop();
    // A file needs no server.
    let file = ca.scratch().join("first.crl");
    std::fs::write(&file, first).unwrap();
    assert_eq!(json(&ca, &["crl", "show", file.to_str().unwrap()]), shown);
}

#[test]
fn what_an_officer_approves_is_issued_and_the_modules_hear_of_it() {
    let (ca, heard) = holding();
    let server = ca.serve();
    assert_eq!(submit(&ca).0, Some(3));
    heard_of_request(&heard, &[PENDING]);
    let waiting = ca.run(&["request", "retrieve", "1"]);
    assert_eq!(waiting.status.code(), Some(3));

    let shown = ca.ok(&["request", "set-attribute", "1", "Ticket:4711"]);
    assert!(shown.contains("Ticket:4711"), "{shown}");
    let extension = ca.scratch().join("extension.der");
    std::fs::write(&extension, [0x0c, 2, b'h', b'i']).unwrap();
    let extension = format!("@{}", extension.display());
    ca.ok(&["request", "set-extension", "1", "1.2.3.4", "--value", &extension]);

    let certificate = ca.ok(&["request", "approve", "1"]);
    foreign::openssl_verify(&certificate, &ca.certificate()).unwrap();
    assert!(foreign::openssl_text(&certificate).contains("1.2.3.4:"));
    heard_of_request(&heard, &[PENDING, ISSUED]);
    assert_eq!(ca.ok(&["request", "retrieve", "1"]), certificate);
    heard_of_request(&heard, &[PENDING, ISSUED, RETRIEVE_PENDING]);
    let again = ca.run(&["request", "approve", "1"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("error[wrong-state]"), "{}", text(&again.stderr));
    server.stop();
}

#[test]
fn what_an_officer_denies_stays_without_a_certificate_until_it_is_submitted_again() {
    let (ca, heard) = holding();
    let server = ca.serve();
    assert_eq!(submit(&ca).0, Some(3));
    let told = ca.ok(&["request", "deny", "1", "--reason", "no such host"]);
    assert_eq!(told, "request 1 is denied\n");
    heard_of_request(&heard, &[PENDING, DENIED]);
    let row = json(&ca, &["request", "show", "1"]);
    assert_eq!(row["disposition"], "denied");
    assert!(row["message"].as_str().unwrap().contains("no such host"), "{row}");
    let fetched = ca.run(&["request", "retrieve", "1"]);
    assert_eq!(fetched.status.code(), Some(1));
    assert!(text(&fetched.stderr).contains("no such host"), "{}", text(&fetched.stderr));
    ca.ok(&["request", "resubmit", "1"]);
    heard_of_request(&heard, &[PENDING, DENIED, ISSUED]);
    server.stop();
}

#[test]
fn a_revoked_certificate_is_refused_by_whoever_fetches_the_list() {
    let ca = Ca::init(&[]);
    let heard = listen(&ca);
    let server = ca.serve();
    let file = issue(&ca);
    let (certificate, root) = (read(&file), ca.certificate());
    let before = list(&server, "/crl/ca.crl");
    foreign::openssl_verify_with_crl(&certificate, &root, &before).unwrap();

    ca.ok(&["cert", "revoke", "--file", &file, "--reason", "key-compromise"]);
    heard_of_request(&heard, &[ISSUED, REVOKED]);
    let told = ca.ok(&["crl", "publish"]);
    assert!(told.contains("base revocation list 2 is published: 1 entry"), "{told}");
    let after = list(&server, "/crl/ca.crl");
    let refused = foreign::openssl_verify_with_crl(&certificate, &root, &after).unwrap_err();
    assert!(refused.contains("certificate revoked"), "{refused}");
    assert!(foreign::openssl_crl_text(&after).contains("Key Compromise"));
    foreign::python_crl_issued_by(&after, &root).unwrap();

    let row = json(&ca, &["request", "show", "1"]);
    assert_eq!(row["disposition"], "revoked");
    assert_eq!(row["revocation"]["reason"], "key-compromise");
    let serial = row["serial"].as_str().unwrap();
    let shown = ca.ok(&["cert", "show", serial]);
    assert!(shown.contains("key-compromise"), "{shown}");
    assert_eq!(json(&ca, &["crl", "show", "2"])["entries"][0]["serial"], serial);
    assert_eq!(json(&ca, &["crl", "list"])["crls"][0]["entries"], 1);
    // It is revoked for good.
    let refused = ca.run(&["cert", "unrevoke", serial]);
    assert!(text(&refused.stderr).contains("error[not-on-hold]"), "{}", text(&refused.stderr));
    let gone = ca.run(&["request", "retrieve", "1"]);
    assert_eq!(gone.status.code(), Some(1));
    server.stop();
}

#[test]
fn a_certificate_on_hold_comes_back() {
    let ca = Ca::init(&[]);
    let heard = listen(&ca);
    let server = ca.serve();
    let file = issue(&ca);
    let (certificate, root) = (read(&file), ca.certificate());
    ca.ok(&["cert", "revoke", "--request", "1", "--reason", "certificate-hold"]);
    ca.ok(&["crl", "publish"]);
    let held = list(&server, "/crl/ca.crl");
    assert!(foreign::openssl_verify_with_crl(&certificate, &root, &held).is_err());
    ca.ok(&["cert", "unrevoke", "--file", &file]);
    heard_of_request(&heard, &[ISSUED, REVOKED, UNREVOKED]);
    ca.ok(&["crl", "publish"]);
    let released = list(&server, "/crl/ca.crl");
    foreign::openssl_verify_with_crl(&certificate, &root, &released).unwrap();
    server.stop();
}

#[test]
fn a_delta_tells_what_changed_since_the_complete_list() {
    let ca = Ca::init(&[]);
    ca.configure(
        "[crl]",
        "[crl]\ndelta_period_s = 86400\nfreshest = [\"http://pki.example/crl/ca+.crl\"]",
    );
    let server = ca.serve();
    let file = issue(&ca);
    let base = list(&server, "/crl/ca.crl");
    let verify = |delta: &str| {
        let lists = ca.scratch().join("lists.pem");
        std::fs::write(&lists, format!("{base}{delta}")).unwrap();
        let root = ca.home().join("ca.cert.pem");
        Command::new(tools::openssl())
            .args(["verify", "-x509_strict", "-crl_check", "-use_deltas", "-CAfile"])
            .arg(root)
            .arg("-CRLfile")
            .arg(lists)
            .arg(&file)
            .output()
            .unwrap()
    };
    ca.ok(&["cert", "revoke", "--file", &file, "--reason", "certificate-hold"]);
    let made = json(&ca, &["crl", "publish", "--delta"]);
    assert_eq!(made["crls"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&made["crls"][0]["kind"], &made["crls"][0]["min_base"]),
        (&"delta".into(), &1.into())
    );
    let held = list(&server, "/crl/ca+.crl");
    assert_eq!(list(&server, "/crl/ca.crl"), base, "the complete list is still the first one");
    let output = verify(&held);
    assert!(!output.status.success(), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("certificate revoked"), "{}", text(&output.stderr));
    let shown = json(&ca, &["crl", "show", "--delta"]);
    assert_eq!(
        (&shown["kind"], &shown["entries"][0]["reason"]),
        (&"delta".into(), &"certificate-hold".into())
    );

    ca.ok(&["cert", "unrevoke", "--request", "1"]);
    ca.ok(&["crl", "publish", "--delta"]);
    let released = list(&server, "/crl/ca+.crl");
    assert!(foreign::openssl_crl_text(&released).contains("Remove From CRL"));
    let output = verify(&released);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(json(&ca, &["crl", "show", "--delta"])["entries"][0]["reason"], "released");
    server.stop();
}

#[test]
fn a_ca_that_is_told_so_makes_lists_by_order_only() {
    let ca = Ca::init(&[]);
    ca.configure("publish = true", "publish = false");
    let server = ca.serve();
    let (status, body) = fetch(&server, "/crl/ca.crl");
    assert!(status.contains(" 404 ") && text(&body).contains("crl-not-published"), "{status}");
    let none = ca.run(&["crl", "show"]);
    assert!(text(&none.stderr).contains("error[crl-none]"), "{}", text(&none.stderr));
    ca.ok(&["crl", "publish", "--next", "2040-01-01T00:00:00Z"]);
    assert_eq!(json(&ca, &["crl", "list"])["crls"][0]["next_publish"], "2040-01-01T00:00:00Z");
    list(&server, "/crl/ca.crl");
    server.stop();
}

#[test]
fn a_list_that_came_due_while_the_server_was_down_is_made_at_its_start() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    let date =
        |args: [&str; 3]| text(&tools::run_ok(Path::new("date"), args, b"")).trim().to_owned();
    let next = date(["-u", "-d+6 seconds", "+%FT%TZ"]);
    ca.ok(&["crl", "publish", "--next", &next]);
    let second = list(&server, "/crl/ca.crl");
    server.stop();
    wait_for("the list to be due", || (next <= date(["-u", "-dnow", "+%FT%TZ"])).then_some(()));
    let server = ca.serve();
    wait_for("the next list", || (list(&server, "/crl/ca.crl") != second).then_some(()));
    assert_eq!(json(&ca, &["crl", "show"])["number"], 3);
    server.stop();
}

#[test]
fn a_certificate_of_another_ca_is_not_taken_for_one_of_this() {
    let (ca, other) = (Ca::init(&[]), Ca::init(&[]));
    let stranger = other.serve();
    let file = issue(&other);
    stranger.stop();
    let server = ca.serve();
    let refused = ca.run(&["cert", "revoke", "--file", &file]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("error[certificate-not-found]"),
        "{}",
        text(&refused.stderr)
    );
    let refused = ca.run(&["cert", "revoke", "--request", "1"]);
    assert!(
        text(&refused.stderr).contains("error[request-not-found]"),
        "{}",
        text(&refused.stderr)
    );
    server.stop();
}

/// What `openssl ocsp` says of a certificate after asking at a path of the server.
fn asked(ca: &Ca, server: &Served, certificate: &str, options: &[&str]) -> String {
    let root = ca.home().join("ca.cert.pem");
    let output = Command::new(tools::openssl())
        .args(["ocsp", "-url", &format!("http://{}/ocsp", server.address())])
        .args(options)
        .arg("-issuer")
        .arg(&root)
        .arg("-CAfile")
        .arg(&root)
        .args(["-cert", certificate])
        .output()
        .unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(!said.contains("no nonce in response"), "{said}");
    said.replace(&format!("{certificate}: "), "")
}

/// The same by `GET`, as caches know it: the head of the answer, and its octets.
fn asked_in_path(ca: &Ca, server: &Served, certificate: &str) -> (String, Vec<u8>) {
    let request = ca.scratch().join("request.der");
    let root = ca.home().join("ca.cert.pem");
    let (root, file) = (root.to_str().unwrap(), request.to_str().unwrap());
    let args = ["ocsp", "-issuer", root, "-cert", certificate, "-no_nonce", "-reqout", file];
    tools::run_ok(tools::openssl(), args, b"");
    let encoded = tools::run_ok(Path::new("base64"), ["-w0", file], b"");
    let encoded = text(&encoded).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    fetch(server, &format!("/ocsp/{encoded}"))
}

#[test]
fn who_asks_by_ocsp_hears_of_a_revocation_before_the_next_list() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    let file = issue(&ca);
    for options in [&["-nonce"][..], &["-no_nonce"]] {
        let said = asked(&ca, &server, &file, options);
        assert!(said.contains("Response verify OK") && said.contains("good\n"), "{said}");
    }
    let (status, good) = asked_in_path(&ca, &server, &file);
    assert!(status.contains(" 200 "), "{status}");
    // A cache would be given the same one again.
    assert_eq!(asked_in_path(&ca, &server, &file).1, good);

    ca.ok(&["cert", "revoke", "--file", &file, "--reason", "key-compromise"]);
    let said = asked(&ca, &server, &file, &["-nonce"]);
    assert!(said.contains("Response verify OK") && said.contains("revoked\n"), "{said}");
    assert!(said.contains("keyCompromise"), "{said}");
    let (_, revoked) = asked_in_path(&ca, &server, &file);
    let answer = ca.scratch().join("answer.der");
    std::fs::write(&answer, revoked).unwrap();
    let said = tools::run_ok(
        tools::openssl(),
        ["ocsp", "-noverify", "-resp_text", "-respin", answer.to_str().unwrap()],
        b"",
    );
    assert!(text(&said).contains("Cert Status: revoked"), "{}", text(&said));
    // The responder is a certificate of this CA like others, and no template of the configuration.
    let shown = ca.ok(&["cert", "list"]);
    assert!(shown.contains("ocsp-responder"), "{shown}");
    server.stop();
}

#[test]
fn a_ca_that_is_told_so_answers_no_ocsp() {
    let ca = Ca::init(&[]);
    ca.configure("enabled = true\n# How long an answer", "enabled = false\n# How long an answer");
    let server = ca.serve();
    let file = issue(&ca);
    let said = asked(&ca, &server, &file, &[]);
    assert!(said.contains("unauthorized"), "{said}");
    server.stop();
}

#[test]
fn revoked_and_released_at_once_subscribers_hear_both_in_order_and_a_state_target_ends_right() {
    let ca = Ca::init(&[]);
    let heard = listen(&ca);
    let server = ca.serve();
    let file = issue(&ca);
    heard_of_request(&heard, &[ISSUED]);
    // Nobody listens meanwhile, so that both lie there together.
    ca.ok(&["exit", "disable", "record"]);
    for _ in 0..3 {
        ca.ok(&["cert", "revoke", "--file", &file, "--reason", "certificate-hold"]);
        ca.ok(&["cert", "unrevoke", "--file", &file]);
    }
    ca.ok(&["exit", "enable", "record"]);
    let both = [REVOKED, UNREVOKED].repeat(3);
    heard_of_request(&heard, &[&[ISSUED], &both[..]].concat());
    // What the last event said is so, and the list that everybody gets says the same.
    assert_eq!(json(&ca, &["request", "show", "1"])["disposition"], "issued");
    ca.ok(&["crl", "publish"]);
    assert_eq!(json(&ca, &["crl", "show"])["entries"].as_array().map(Vec::len), Some(0));
    server.stop();
}
