//! Events of a real CA on a real bus.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _};

use exeunt_e2e::ca::{Ca, text, wait_for};
use exeunt_testbed::nats::{Message, Nats, PASSWORD, Setup, USER};
use serde_json::Value;

use super::issuing::request;

fn issue(ca: &Ca, host: &str) {
    let file = request(ca, "ec:P-256", &format!("/CN={host}"), &[host]);
    ca.ok(&["submit", &file]);
}

/// The messages of the stream by the host that their certificates are for.
fn by_host(bus: &Nats) -> BTreeMap<String, Vec<Message>> {
    let mut found: BTreeMap<String, Vec<Message>> = BTreeMap::new();
    for message in bus.messages("EXEUNT") {
        let body: Value = serde_json::from_slice(&message.data).unwrap();
        if body["type"] == "exeunt.issued" {
            let host = body["data"]["certificate"]["CommonName"].as_str().unwrap();
            found.entry(host.to_owned()).or_default().push(message);
        }
    }
    found
}

#[test]
fn certificates_are_told_to_the_bus_once_also_where_it_was_down() {
    let mut bus = Nats::start(&Setup::default());
    let ca = Ca::init(&[]);
    let password = ca.scratch().join("password");
    fs::write(&password, PASSWORD).unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let server = ca.serve();
    let settings = [
        format!("servers={}", bus.url()),
        format!("ca_file={}", bus.ca_file().display()),
        format!("user={USER}"),
        format!("password_file={}", password.display()),
    ];
    let mut add = vec!["exit", "add", "bus", "--use", "bus"];
    for setting in &settings {
        add.extend(["--set", setting]);
    }
    ca.ok(&add);
    // The stream is missing, is made, and then everything is as it should be.
    let output = ca.run(&["exit", "test", "bus"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let script = ca.ok(&["exit", "install", "bus", "--print"]);
    assert!(script.contains("nats stream add EXEUNT"), "{script}");
    ca.ok(&["exit", "install", "bus", "--yes"]);
    ca.ok(&["exit", "test", "bus"]);

    issue(&ca, "up.example.test");
    wait_for("the first certificate on the bus", || {
        by_host(&bus).contains_key("up.example.test").then_some(())
    });
    bus.kill();
    issue(&ca, "down.example.test");
    wait_for("a failed attempt", || {
        let status = ca.ok(&["exit", "status", "bus", "--json"]);
        let status: Value = serde_json::from_str(&status).unwrap();
        (0 < status["held_retry"].as_u64().unwrap()).then_some(())
    });
    bus.restart();
    let found = wait_for("the second certificate on the bus", || {
        Some(by_host(&bus)).filter(|it| it.contains_key("down.example.test"))
    });
    for (host, messages) in found {
        let [message] = messages.as_slice() else { panic!("{host}: {} times", messages.len()) };
        assert_eq!(message.subject, "exeunt.Test!0020Root.issued");
        let body: Value = serde_json::from_slice(&message.data).unwrap();
        let id = format!("{}.bus", body["id"].as_str().unwrap());
        assert_eq!(message.header("Nats-Msg-Id"), Some(id.as_str()));
    }
    server.stop();
}
