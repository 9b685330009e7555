//! The module under the kit's host, against real servers, read back by other clients: of NATS here, and
//! of AMQP in `amqp`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod amqp;
mod rights;
mod server;
mod trouble;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use exeunt_exit_bus::BusExit;
use exeunt_module::PROTOCOL_VERSION;
use exeunt_module_kit::{
    Event, Initialize, Outcome, exit_event,
    maintain::CheckResult,
    testing::{Host, issued_event, retried, target_down},
};
use exeunt_testbed::process::POLL;
use serde_json::{Value as Json, json};
use server::{Server, Stored};

/// A server with the module's usual stream, and the module's settings for it.
struct Fixture {
    server: Server,
    settings: Json,
    _folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self::with_stream(&json!({}))
    }

    fn with_stream(more: &Json) -> Self {
        let it = Self::without_stream();
        it.server.make_stream("EXEUNT", &["exeunt.*.*"], more);
        it
    }

    fn without_stream() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(&folder.path().join("nats"), "");
        let settings = plain(&server.address());
        Self { server, settings, _folder: folder }
    }

    fn host(&self) -> Host {
        start(&self.settings)
    }
}

/// Settings for a server without TLS.
fn plain(address: &str) -> Json {
    json!({"servers": [address], "tls": "off", "timeout_s": 5})
}

/// A file that its owner alone can read.
fn secret(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn with(settings: &Json, more: &Json) -> Json {
    let mut settings = settings.clone();
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    settings
}

fn start(settings: &Json) -> Host {
    let mut host = Host::in_memory(BusExit::default()).unwrap();
    assert_eq!(host.initialize(settings).unwrap().event_mask, exit_event::ALL);
    host
}

fn maintain(settings: &Json) -> Host {
    let mut host = Host::in_memory(BusExit::default()).unwrap();
    host.initialize_maintain(settings).unwrap();
    host
}

fn events(seqs: std::ops::Range<u64>) -> Vec<Event> {
    seqs.map(|seq| issued_event(seq, &[0x30, 0])).collect()
}

fn notify_all(host: &mut Host, events: &[Event]) -> Vec<Outcome> {
    host.notify_all(events).unwrap().into_iter().map(Result::unwrap).collect()
}

#[track_caller]
fn assert_accepted(outcomes: &[Outcome]) {
    let other = outcomes.iter().find(|it| **it != Outcome::Accept);
    assert_eq!(other, None);
}

/// How long a server may take to be back; more than what it is given to start in.
const BACK_WITHIN: Duration = Duration::from_mins(4);

/// Delivers as the host does, again and again until everything was accepted.
fn deliver(host: &mut Host, events: &[Event]) {
    let mut left = events.to_vec();
    let deadline = Instant::now() + BACK_WITHIN;
    while Instant::now() < deadline {
        let outcomes = notify_all(host, &left);
        let mut again = Vec::new();
        for (event, outcome) in left.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Accept => (),
                Outcome::Retry { .. } | Outcome::TargetDown { .. } => {
                    again.push(Event { attempt: event.attempt + 1, ..event });
                }
                other => panic!("{other:?}"),
            }
        }
        if again.is_empty() {
            return;
        }
        left = again;
        thread::sleep(POLL);
    }
    panic!("{} events were not accepted", left.len());
}

/// Every event is in the stream, and once.
#[track_caller]
fn assert_once(stored: &[Stored], events: &[Event]) {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for message in stored {
        *times.entry(message.event_id()).or_default() += 1;
    }
    let twice = times.iter().find(|(_, times)| **times != 1);
    assert_eq!(twice, None);
    let missing = events.iter().find(|it| !times.contains_key(it.id.as_str()));
    assert_eq!(missing.map(|it| &it.id), None);
    assert_eq!(stored.len(), events.len());
}

#[test]
fn thousands_of_events_are_in_the_stream_once_however_often_they_are_told() {
    let it = Fixture::new();
    let events = events(1..4001);
    let mut host = it.host();
    assert_accepted(&notify_all(&mut host, &events));
    assert_accepted(&notify_all(&mut host, &events[3000..]));
    host.shutdown().unwrap();
    // Also by a later process, and after the server was started again.
    let mut it = it;
    it.server.kill();
    it.server.start_again();
    let mut host = it.host();
    deliver(&mut host, &events[..1000]);
    host.shutdown().unwrap();
    assert_once(&it.server.read("EXEUNT"), &events);
}

#[test]
fn a_message_is_a_cloud_event_whose_subject_says_what_happened() {
    let it = Fixture::new();
    let mut host = it.host();
    let event = issued_event(9, &[1, 2, 3]);
    let unknown = Event { event: 1 << 30, ..issued_event(10, &[1]) };
    assert_accepted(&notify_all(&mut host, &[event, unknown]));
    let stored = it.server.read("EXEUNT");
    assert_eq!(stored[0].subject, "exeunt.Test!0020CA.issued");
    assert_eq!(stored[1].subject, "exeunt.Test!0020CA.unknown");
    assert_eq!(stored[0].headers["content-type"], "application/cloudevents+json");
    let body: Json = serde_json::from_str(&stored[0].body).unwrap();
    assert_eq!((&body["specversion"], &body["type"]), (&json!("1.0"), &json!("exeunt.issued")));
    assert_eq!(body["id"], "00000000000000000000000000000001-9");
    assert_eq!(stored[0].message_id(), "00000000000000000000000000000001-9.under-test");
    assert_eq!(body["data"]["certificate"]["RawCertificate"], "AQID");
}

#[test]
fn two_modules_tell_one_stream_of_the_same_event_and_each_is_heard_once() {
    let it = Fixture::new();
    for (module, subject) in [("bus", "exeunt.{ca}.{event}"), ("copy", "exeunt.copy.{event}")] {
        let settings = with(&it.settings, &json!({"subject": subject}));
        let mut host = Host::in_memory(BusExit::default()).unwrap();
        let hello = Initialize {
            module: module.to_owned(),
            config: "Test CA".to_owned(),
            protocol: PROTOCOL_VERSION,
            features: Vec::new(),
            role: None,
            settings: settings.as_object().unwrap().clone(),
            window: 2,
            deadline_ms: 30_000,
            partial: false,
        };
        host.initialize_with(hello).unwrap();
        for _ in 0..2 {
            assert_accepted(&notify_all(&mut host, &events(9..10)));
        }
    }
    let stored = it.server.read("EXEUNT");
    let found: Vec<_> = stored.iter().map(|it| (it.subject.as_str(), it.message_id())).collect();
    assert_eq!(
        found,
        [
            ("exeunt.Test!0020CA.issued", "00000000000000000000000000000001-9.bus"),
            ("exeunt.copy.issued", "00000000000000000000000000000001-9.copy"),
        ]
    );
    let ids = stored.iter().map(|it| serde_json::from_str::<Json>(&it.body).unwrap());
    assert!(ids.into_iter().all(|it| it["id"] == "00000000000000000000000000000001-9"));
}

#[test]
fn attributes_are_headers_in_the_binary_mode() {
    let it = Fixture::new();
    let settings = with(&it.settings, &json!({"mode": "binary", "source": "https://ca.example/"}));
    let mut host = start(&settings);
    assert_accepted(&notify_all(&mut host, &events(9..10)));
    let stored = it.server.read("EXEUNT").remove(0);
    for (name, value) in [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "00000000000000000000000000000001-9"),
        ("ce-source", "https://ca.example/"),
        ("ce-type", "exeunt.issued"),
        ("ce-subject", "request:9"),
        ("ce-time", "2026-11-21T07:00:00.000Z"),
    ] {
        assert_eq!(stored.headers[name], value, "{name}");
    }
    let body: Json = serde_json::from_str(&stored.body).unwrap();
    assert_eq!((&body["event"], &body["seq"]), (&json!("issued"), &json!(9)));
}

#[test]
fn install_makes_a_stream_in_which_nothing_is_lost_and_leaves_one_that_is_there() {
    let it = Fixture::without_stream();
    let mut host = it.host();
    let outcome = notify_all(&mut host, &events(1..2)).remove(0);
    assert!(target_down(&outcome).contains("exeunt exit install"), "{outcome:?}");

    let mut maintain = maintain(&it.settings);
    let report = maintain.test_target(&[]).unwrap();
    assert!(report.checks.iter().any(|it| it.result == CheckResult::Failed), "{report:?}");
    let said = maintain.install(false).unwrap();
    assert_eq!(said.steps[0].text, "it would be made");
    assert!(said.script.unwrap().starts_with("nats stream add EXEUNT --subjects='exeunt.*.*' "));
    assert!(it.server.stream("EXEUNT").get("error").is_some());
    assert_eq!(maintain.install(true).unwrap().steps[0].text, "it was made");
    let config = it.server.stream("EXEUNT")["config"].clone();
    assert_eq!(config["duplicate_window"], 86_400_000_000_000_u64);
    assert_eq!((&config["storage"], &config["discard"]), (&json!("file"), &json!("new")));
    assert_eq!(maintain.install(true).unwrap().steps[0].text, "it is there already");
    assert_eq!(it.server.stream("EXEUNT")["config"], config);

    deliver(&mut host, &events(1..2));
    assert_once(&it.server.read("EXEUNT"), &events(1..2));
}

#[test]
fn a_test_says_what_would_be_sent_and_writes_nothing() {
    let it = Fixture::with_stream(&json!({"duplicate_window": 60_000_000_000_u64}));
    let report = maintain(&it.settings).test_target(&events(7..9)).unwrap();
    let failed = report.checks.iter().find(|it| it.result == CheckResult::Failed);
    assert_eq!(failed, None);
    let warned: Vec<&str> = report
        .checks
        .iter()
        .filter(|it| it.result == CheckResult::Warning)
        .map(|it| it.text.as_str())
        .collect();
    assert_eq!(
        warned,
        ["it recognises an event that comes again for 60 s only, and not for 86400 s"]
    );
    assert_eq!(report.would_write.len(), 2);
    let line = &report.would_write[0];
    assert!(line.starts_with("00000000000000000000000000000001-7 to exeunt.Test!0020CA.issued, "));
    assert_eq!(it.server.stream("EXEUNT")["state"]["messages"], 0);
}

#[test]
fn settings_are_known_and_looked_at_one_by_one() {
    let mut host = Host::in_memory(BusExit::default()).unwrap();
    let known = host.manage_module().unwrap().settings;
    assert!(known.iter().any(|it| it.name == "servers" && it.required));
    host.set_module_property("stream", json!("CA")).unwrap();
    let err = host.set_module_property("stream", json!("a.b")).unwrap_err();
    assert!(err.to_string().contains("stream \"a.b\""), "{err}");
    host.configure(&json!({"servers": "tls://bus.example:4222"})).unwrap();
    for (name, value) in [
        ("protocol", json!("amqp")),
        ("servers", json!(["amqps://bus.example"])),
        ("exchange", json!("events")),
        ("heartbeat_s", json!(5)),
    ] {
        host.set_module_property(name, value).unwrap();
    }
    let err = host.set_module_property("protocol", json!("kafka")).unwrap_err();
    assert!(err.to_string().contains("\"nats\" and \"amqp\""), "{err}");
}

#[test]
fn a_file_of_tls_that_is_missing_is_named_before_anything_is_told() {
    for settings in [
        json!({"servers": "tls://localhost", "ca_file": "/nowhere/ca.pem"}),
        json!({
            "protocol": "amqp", "servers": "amqps://localhost", "ca_file": "/nowhere/ca.pem",
            "user": "ca", "password_file": "/nowhere/password",
        }),
    ] {
        let mut host = Host::in_memory(BusExit::default()).unwrap();
        let err = host.initialize(&settings).unwrap_err();
        assert!(err.to_string().contains("/nowhere/ca.pem"), "{err}");
    }
}
