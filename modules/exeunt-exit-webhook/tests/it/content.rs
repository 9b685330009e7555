//! What arrives: every event, signed, readable by others.

use std::fs;

use exeunt_exit_webhook::WebhookExit;
use exeunt_module::call_back::Found;
use exeunt_module_kit::{Outcome, Value, testing::Host};
use exeunt_testbed::{
    authority::{Authority, Identity},
    proxy::Proxy,
    receiver::Setup,
};
use serde_json::{Value as Json, json};

use crate::fixture::{
    Fixture, LIMIT, OTHER_BASE64, SECRET, SECRET_BASE64, assert_down, deliver, events, ids,
    read_by_the_sdk,
};

#[test]
fn thousands_of_events_arrive_one_by_one() {
    let it = Fixture::new();
    let proxy = Proxy::to_port(it.receiver.port());
    let mut host = it.host_at(proxy.port(), &json!({"connections": 4}));
    let events = events(2000);
    assert_eq!(deliver(&mut host, &events), 0);
    it.assert_has(&events);
    let received = it.receiver.received();
    assert_eq!(received.len(), events.len(), "each came once");
    // Some more than four: one that was not back in its place yet is replaced.
    assert!(proxy.connections() < events.len() as u64 / 4, "{} connections", proxy.connections());
    for request in &received {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook"));
        assert_eq!(request.header("content-type"), Some("application/cloudevents+json"));
        assert_eq!(request.header("webhook-id"), Some(ids(request)[0].as_str()));
    }
    let read = read_by_the_sdk(&received);
    assert_eq!(read.len(), events.len());
    assert!(read.iter().all(|it| it[1] == "/exeunt/Test%20CA" && it[2] == "exeunt.issued"));
    host.shutdown().unwrap();
}

#[test]
fn thousands_of_events_arrive_in_batches() {
    let it = Fixture::new();
    let mut host = it.host(&json!({"mode": "batched"}));
    let events = events(5000);
    assert_eq!(deliver(&mut host, &events), 0);
    it.assert_has(&events);
    let received = it.receiver.received();
    assert!(received.len() < events.len() / 2, "{} calls", received.len());
    for request in &received {
        assert_eq!(request.header("content-type"), Some("application/cloudevents-batch+json"));
        assert!(request.header("webhook-id").unwrap().starts_with("batch-"));
    }
    assert_eq!(read_by_the_sdk(&received).len(), events.len());
}

#[test]
fn a_batch_is_no_larger_than_what_servers_take() {
    let it = Fixture::new();
    let mut host = it.host(&json!({"mode": "batched"}));
    let large: Vec<_> = (1..=8)
        .map(|seq| exeunt_module_kit::testing::issued_event(seq, &vec![0x30; 200_000]))
        .collect();
    assert_eq!(deliver(&mut host, &large), 0);
    it.assert_has(&large);
    let received = it.receiver.received();
    assert!(received.iter().all(|it| it.body.len() <= 1024 * 1024 + 2), "{}", received.len());
}

#[test]
fn keys_are_changed_without_a_moment_in_which_a_receiver_refuses() {
    let it = Fixture::new();
    let mut host = it.host(&json!({}));
    let events = events(3);
    // The receiver knows one of them, wherever it stands in the file.
    for (keys, event) in [
        (format!("{OTHER_BASE64}\nwhsec_{SECRET_BASE64}\n"), &events[0]),
        (format!("{SECRET_BASE64}\n{OTHER_BASE64}\n"), &events[1]),
    ] {
        it.secret("secret", &keys);
        assert_eq!(host.notify(event).unwrap(), Outcome::Accept);
    }
    it.assert_has(&events[..2]);
    // One that is gone is not a reason to send without.
    fs::remove_file(it.folder.path().join("secret")).unwrap();
    assert_down(&host.notify(&events[2]).unwrap(), "secret_file");
    assert_eq!(it.receiver.received().len(), 2);
}

#[test]
fn a_client_certificate_that_is_renewed_is_shown_by_the_running_module() {
    let setup = Setup { secret: SECRET.to_vec(), client_certificates: true, ..Setup::default() };
    let it = Fixture::with(&setup);
    let [certificate, key] = ["c.pem", "c.key"].map(|name| it.folder.path().join(name));
    let put = |from: &Identity| {
        fs::copy(&from.certificate, &certificate).unwrap();
        it.secret("c.key", &fs::read_to_string(&from.key).unwrap());
    };
    put(&Authority::new(&it.folder.path().join("other")).client("ca.example.test"));
    let mut host = it.host(&json!({
        "client_certificate_file": certificate, "client_key_file": key,
    }));
    let event = &events(1)[0];
    for _ in 0..2 {
        assert_down(&host.notify(event).unwrap(), "");
    }
    put(&it.receiver.client("ca.example.test"));
    deliver(&mut host, std::slice::from_ref(event));
    it.assert_has(std::slice::from_ref(event));
}

#[test]
fn a_client_certificate_and_a_token_are_shown() {
    let setup = Setup { secret: SECRET.to_vec(), client_certificates: true, ..Setup::default() };
    let it = Fixture::with(&setup);
    let client = it.receiver.client("ca.example.test");
    let token = it.secret("token", "t0ken\n");
    let mut host = it.host(&json!({
        "client_certificate_file": client.certificate,
        "client_key_file": client.key,
        "token_file": token,
    }));
    let events = events(2);
    assert_eq!(host.notify(&events[0]).unwrap(), Outcome::Accept);
    // A new token is taken up as it is.
    it.secret("token", "an0ther");
    assert_eq!(host.notify(&events[1]).unwrap(), Outcome::Accept);
    let received = it.receiver.wait_for(2, LIMIT);
    assert!(received.iter().all(|it| it.client.as_deref() == Some("ca.example.test")));
    assert_eq!(received[0].header("authorization"), Some("Bearer t0ken"));
    assert_eq!(received[1].header("authorization"), Some("Bearer an0ther"));
}

#[test]
fn a_client_certificate_that_a_server_refuses_is_no_fault_of_the_events() {
    let setup = Setup { secret: SECRET.to_vec(), client_certificates: true, ..Setup::default() };
    let it = Fixture::with(&setup);
    let event = &events(1)[0];
    let outcome = it.host(&json!({})).notify(event).unwrap();
    assert_down(&outcome, "look at client_certificate_file");
    assert!(it.receiver.received().is_empty());
}

#[test]
fn the_raw_request_is_asked_for_where_it_is_wanted() {
    let it = Fixture::new();
    for (wanted, expected) in [(true, json!("MAA=")), (false, Json::Null)] {
        let mut host = Host::in_memory(WebhookExit::default())
            .unwrap()
            .with_call_backs(|_| Ok(Found::Value(Value::Binary(vec![0x30, 0]))));
        let more = json!({"raw_request": wanted});
        host.initialize(&it.settings(it.receiver.port(), &more)).unwrap();
        assert_eq!(host.notify(&events(1)[0]).unwrap(), Outcome::Accept);
        let last = it.receiver.received().pop().unwrap();
        let body: Json = serde_json::from_slice(&last.body).unwrap();
        assert_eq!(body["data"]["request"]["RawRequest"], expected);
    }
}

#[test]
fn an_event_of_a_later_version_is_sent_with_its_bit() {
    let it = Fixture::new();
    let mut host = it.host(&json!({}));
    let mut event = events(1).remove(0);
    event.event = 0x4000_0000;
    assert_eq!(host.notify(&event).unwrap(), Outcome::Accept);
    let last = it.receiver.received().pop().unwrap();
    let body: Json = serde_json::from_slice(&last.body).unwrap();
    assert_eq!(body["type"], "exeunt.event-0x40000000");
}
