//! Events of a real CA on a real bus.

use std::collections::BTreeMap;

use exeunt_e2e::ca::{Ca, text, wait_for};
use exeunt_testbed::authority::Flaw;
use exeunt_testbed::nats::{Message, Nats, PASSWORD, Setup, USER};
use exeunt_testbed::rabbitmq::{self, RabbitMq};
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
    let server = ca.serve();
    let settings = [
        format!("servers={}", bus.url()),
        format!("ca_file={}", bus.ca_file().display()),
        format!("user={USER}"),
        format!("password_file={}", ca.secret("password", PASSWORD)),
    ];
    ca.add_exit(&["bus", "--use", "bus"], &settings);
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
    ca.wait_for_retry("bus");
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

#[test]
fn certificates_are_told_to_rabbitmq_also_where_it_was_down() {
    let mut bus = RabbitMq::start(Flaw::Nothing, 1);
    let vhost = bus.vhost();
    let ca = Ca::init(&[]);
    let server = ca.serve();
    let settings = [
        "protocol=amqp".to_owned(),
        format!("servers={}", bus.url()),
        format!("ca_file={}", bus.ca_file().display()),
        format!("user={}", rabbitmq::USER),
        format!("password_file={}", ca.secret("password", rabbitmq::PASSWORD)),
        format!("vhost={vhost}"),
        "queue=exeunt".to_owned(),
        // A quorum queue of one server alone may have no leader after the kill; the manual tells.
        "queue_type=classic".to_owned(),
    ];
    ca.add_exit(&["bus", "--use", "bus"], &settings);
    // Exchange and queue are missing, are made, and then everything is as it should be.
    let output = ca.run(&["exit", "test", "bus"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let script = ca.ok(&["exit", "install", "bus", "--print"]);
    assert!(script.contains("declare binding source=exeunt destination=exeunt"), "{script}");
    ca.ok(&["exit", "install", "bus", "--yes"]);
    ca.ok(&["exit", "test", "bus"]);

    issue(&ca, "up.example.test");
    // Of events that nobody asked for there are more.
    let issued = |found: Vec<rabbitmq::Message>| -> Vec<(String, String, String)> {
        let issued = found.into_iter().filter(|it| it.properties["type"] == "exeunt.issued");
        let told = issued.map(|it| {
            let body: Value = serde_json::from_slice(&it.body).unwrap();
            assert_eq!(body["id"], it.id());
            let host = body["data"]["certificate"]["CommonName"].as_str().unwrap().to_owned();
            (host, it.id(), it.routing_key)
        });
        told.collect()
    };
    let first = wait_for("the first certificate on the bus", || {
        Some(issued(bus.take(&vhost))).filter(|it| !it.is_empty())
    });
    bus.kill();
    issue(&ca, "down.example.test");
    ca.wait_for_retry("bus");
    bus.restart();
    // A server that is killed soon after something was taken gives it again.
    let second = wait_for("the second certificate on the bus", || {
        let found = issued(bus.take(&vhost)).into_iter().filter(|it| it.0 != "up.example.test");
        Some(found.collect::<Vec<_>>()).filter(|it| !it.is_empty())
    });
    for (found, wanted) in [(first, "up.example.test"), (second, "down.example.test")] {
        let [(host, _, routing_key)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((host.as_str(), routing_key.as_str()), (wanted, "exeunt.Test!0020Root.issued"));
    }
    server.stop();
}
