//! Events of a real CA on a real web server, which checks the signatures itself.

use std::{fs, os::unix::fs::PermissionsExt as _};

use exeunt_e2e::ca::{Ca, text, wait_for};
use exeunt_testbed::receiver::{Answer, Receiver, Setup};
use serde_json::Value;

use super::issuing::request;

/// A key, and its base64 by `base64`(1).
const KEY: &[u8] = b"twenty-four octets or so";
const KEY_BASE64: &str = "dHdlbnR5LWZvdXIgb2N0ZXRzIG9yIHNv";

fn issue(ca: &Ca, host: &str) {
    let file = request(ca, "ec:P-256", &format!("/CN={host}"), &[host]);
    ca.ok(&["submit", &file]);
}

/// The hosts whose certificates the server has taken, in order.
fn hosts(server: &Receiver) -> Vec<String> {
    let received = server.received();
    let taken = received.iter().filter(|it| it.method == "POST" && it.status == 200);
    taken
        .filter_map(|it| {
            assert_eq!(it.signature, "good");
            let body: Value = serde_json::from_slice(&it.body).unwrap();
            assert!(body["data"]["request"]["RawRequest"].is_null());
            let issued = body["type"] == "exeunt.issued";
            issued.then(|| body["data"]["certificate"]["CommonName"].as_str().unwrap().to_owned())
        })
        .collect()
}

#[test]
fn certificates_are_told_to_a_web_server_also_where_it_was_down_or_refused() {
    let mut receiver = Receiver::start(&Setup { secret: KEY.to_vec(), ..Setup::default() });
    let ca = Ca::init(&[]);
    let key = ca.scratch().join("key");
    fs::write(&key, KEY_BASE64).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let server = ca.serve();
    let url = format!("url={}/hook", receiver.url());
    let ca_file = format!("ca_file={}", receiver.ca_file().display());
    let secret_file = format!("secret_file={}", key.display());
    let add = ["exit", "add", "hook", "--use", "webhook", "--set", &url, "--set", &ca_file];
    ca.ok(&[&add[..], &["--set", &secret_file]].concat());

    // Loopback is not talked to before the operator says so.
    issue(&ca, "first.example.test");
    ca.wait_for_retry("hook");
    let tried = ca.run(&["exit", "test", "hook"]);
    assert!(!tried.status.success() && text(&tried.stdout).contains("127.0.0.1 is loopback"));
    assert!(receiver.received().is_empty());
    ca.ok(&["exit", "settings", "set", "hook", "allow_networks=127.0.0.1"]);
    let tried = ca.ok(&["exit", "test", "hook"]);
    assert!(tried.contains("exeunt.issued"), "{tried}");
    wait_for("the first certificate", || hosts(&receiver).first().cloned());

    receiver.kill();
    issue(&ca, "second.example.test");
    ca.wait_for_retry("hook");
    receiver.restart();
    wait_for("the second certificate", || (hosts(&receiver).len() == 2).then_some(()));

    receiver.answer_next(&Answer::status(422));
    issue(&ca, "third.example.test");
    wait_for("a parked event", || (ca.exit_status("hook")["held_parked"] == 1).then_some(()));
    let parked = ca.ok(&["exit", "parked", "list", "hook"]);
    assert!(parked.contains("422"), "{parked}");
    assert_eq!(hosts(&receiver), ["first.example.test", "second.example.test"]);
    server.stop();
}
