//! The module against a real `RabbitMQ`, read back by a client of another language.

mod rights;
mod trouble;

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use exeunt_module_kit::{
    Event, exit_event,
    maintain::CheckResult,
    testing::{Host, issued_event},
};
use exeunt_testbed::{
    authority::Flaw,
    rabbitmq::{Message, PASSWORD, RabbitMq, USER},
};
use serde_json::{Value as Json, json};

use crate::{
    assert_accepted, deliver, events, maintain, notify_all, retried, secret, start, target_down,
    with,
};

/// One server for all tests that let it be, as it takes seconds to start.
static SHARED: Mutex<Weak<RabbitMq>> = Mutex::new(Weak::new());

/// Most tests that share it.
const TESTS_MAX: usize = 20;

/// A virtual host of the shared server, which is the test's own.
struct Fixture {
    server: Arc<RabbitMq>,
    vhost: String,
    folder: tempfile::TempDir,
}

impl Deref for Fixture {
    type Target = RabbitMq;

    fn deref(&self) -> &RabbitMq {
        &self.server
    }
}

impl Fixture {
    /// With the module's exchange, and a queue that takes everything.
    fn new() -> Self {
        let it = Self::bare();
        it.make_queue(&it.vhost, "#", &json!({}));
        it
    }

    fn bare() -> Self {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let server =
            shared.upgrade().unwrap_or_else(|| Arc::new(RabbitMq::start(Flaw::Nothing, TESTS_MAX)));
        *shared = Arc::downgrade(&server);
        drop(shared);
        let vhost = server.vhost();
        Self { server, vhost, folder: tempfile::tempdir().unwrap() }
    }

    /// Settings with TLS.
    fn settings(&self) -> Json {
        json!({
            "protocol": "amqp", "servers": self.url(), "ca_file": self.ca_file(),
            "vhost": self.vhost, "user": USER, "timeout_s": 15,
            "password_file": secret(self.folder.path(), "password", PASSWORD),
        })
    }

    /// Settings without TLS, for a port that leads to the server.
    fn plain(&self, port: u16) -> Json {
        let mut settings = self.settings();
        settings.as_object_mut().unwrap().remove("ca_file");
        let server = format!("amqp://127.0.0.1:{port}");
        with(&settings, &json!({ "tls": "off", "servers": server }))
    }

    fn host(&self) -> Host {
        start(&self.settings())
    }

    fn found(&self) -> Vec<Message> {
        self.take(&self.vhost)
    }
}

/// Every event is in the queue, at least once, and nothing else is. Says how many stand there again.
#[track_caller]
fn assert_there(found: &[Message], events: &[Event]) -> usize {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for message in found {
        *times.entry(message.id()).or_default() += 1;
    }
    let missing = events.iter().find(|it| !times.contains_key(&it.id));
    assert_eq!(missing.map(|it| &it.id), None);
    assert_eq!(times.len(), events.len());
    found.len() - events.len()
}

#[test]
fn thousands_of_events_are_in_the_queue_in_their_order() {
    let it = Fixture::new();
    let told = events(1..4001);
    let mut host = it.host();
    for events in told.chunks(250) {
        assert_accepted(&notify_all(&mut host, events));
    }
    host.shutdown().unwrap();
    let found = it.found();
    assert_eq!(assert_there(&found, &told), 0);
    assert!(found.iter().map(Message::id).eq(told.iter().map(|it| it.id.clone())));
}

#[test]
fn a_message_is_a_persistent_cloud_event_whose_key_says_what_happened() {
    let it = Fixture::new();
    let unknown = Event { event: 1 << 30, ..issued_event(10, &[1]) };
    assert_accepted(&notify_all(&mut it.host(), &[issued_event(9, &[1, 2, 3]), unknown]));
    let binary = with(&it.settings(), &json!({"mode": "binary", "source": "https://ca.example/ü"}));
    let mut refused = Host::in_memory(exeunt_exit_bus::BusExit::default()).unwrap();
    assert!(refused.initialize(&binary).is_err());
    let binary = with(&binary, &json!({"source": "https://ca.example/"}));
    assert_accepted(&notify_all(&mut start(&binary), &events(11..12)));
    let [issued, unknown, binary] = it.found().try_into().unwrap();
    assert_eq!(issued.routing_key, "exeunt.Test!0020CA.issued");
    assert_eq!(unknown.routing_key, "exeunt.Test!0020CA.unknown");
    assert_eq!(
        issued.properties,
        json!({
            "content_type": "application/cloudevents+json", "delivery_mode": 2,
            "message_id": "00000000000000000000000000000001-9", "type": "exeunt.issued",
            "app_id": "under-test",
        })
    );
    let body: Json = serde_json::from_slice(&issued.body).unwrap();
    assert_eq!((&body["specversion"], &body["type"]), (&json!("1.0"), &json!("exeunt.issued")));
    assert_eq!(body["id"], issued.id());
    assert_eq!(body["data"]["certificate"]["RawCertificate"], "AQID");

    assert_eq!(binary.properties["content_type"], "application/json");
    assert_eq!(
        binary.properties["headers"],
        json!({
            "cloudEvents_specversion": "1.0", "cloudEvents_source": "https://ca.example/",
            "cloudEvents_id": "00000000000000000000000000000001-11",
            "cloudEvents_type": "exeunt.issued", "cloudEvents_subject": "request:11",
            "cloudEvents_time": "2026-11-21T07:00:00.000Z",
            "cloudEvents_sequence": "00000000000000000011",
        })
    );
    let body: Json = serde_json::from_slice(&binary.body).unwrap();
    assert_eq!((&body["event"], &body["seq"]), (&json!("issued"), &json!(11)));
}

#[test]
fn install_makes_what_is_missing_and_test_writes_nothing() {
    let it = Fixture::bare();
    let settings = with(&it.settings(), &json!({"queue": "exeunt"}));
    let mut host = start(&settings);
    let outcome = notify_all(&mut host, &events(1..2)).remove(0);
    let why = target_down(&outcome);
    assert!(why.contains("no exchange 'exeunt'") && why.contains("exeunt exit install"), "{why}");

    let mut maintain = maintain(&settings);
    let report = maintain.test_target(&[]).unwrap();
    let failed: Vec<&str> = report
        .checks
        .iter()
        .filter(|it| it.result == CheckResult::Failed)
        .map(|it| it.what.as_str())
        .collect();
    assert_eq!(failed, ["exchange exeunt", "queue exeunt", "publish"]);
    let said = maintain.install(false).unwrap();
    assert!(said.steps.iter().all(|it| it.text.starts_with("it would be made")), "{said:?}");
    let script = said.script.unwrap();
    let vhost = &it.vhost;
    assert!(script.starts_with(&format!(
        "rabbitmqadmin --vhost='{vhost}' declare exchange name=exeunt type=topic durable=true\n"
    )));
    assert_eq!(it.waiting(vhost), None);
    let made: Vec<String> =
        maintain.install(true).unwrap().steps.into_iter().map(|it| it.text).collect();
    assert_eq!(made, ["it was made", "it was made", "it is there now"]);
    let made: Vec<String> =
        maintain.install(true).unwrap().steps.into_iter().map(|it| it.text).collect();
    assert_eq!(made, ["it is there already", "it is there already", "it is there now"]);
    let asked = ["list_queues", "-p", vhost, "--no-table-headers", "-q", "durable", "type"];
    let queues = it.control(&[&asked[..], &["arguments"]].concat());
    assert!(queues.contains("true") && queues.contains("quorum"), "{queues}");
    assert!(queues.contains("reject-publish"), "{queues}");

    let report = maintain.test_target(&events(7..9)).unwrap();
    let other = report.checks.iter().find(|it| it.result != CheckResult::Passed);
    assert_eq!(other, None);
    let line = &report.would_write[0];
    let start = "00000000000000000000000000000001-7 to exeunt with exeunt.Test!0020CA.issued, ";
    assert!(line.starts_with(start), "{line}");
    assert_eq!(it.waiting(vhost), Some(0));
    // What the binding takes is what is sent.
    deliver(&mut host, &events(1..2));
    assert_eq!(assert_there(&it.found(), &events(1..2)), 0);
}

#[test]
fn what_no_queue_takes_is_told_again_and_only_that() {
    let it = Fixture::bare();
    it.make_queue(&it.vhost, "exeunt.*.issued", &json!({}));
    let mut told = events(1..301);
    for place in [0, 1, 7, 100, 299] {
        told[place].event = exit_event::CERT_REVOKED;
    }
    let mut host = it.host();
    let outcomes = notify_all(&mut host, &told);
    let (issued, revoked): (Vec<_>, Vec<_>) =
        told.iter().zip(outcomes).partition(|(event, _)| event.event == exit_event::CERT_ISSUED);
    for (_, outcome) in &revoked {
        let why = retried(outcome);
        assert!(
            why.starts_with("no queue takes routing key \"exeunt.Test!0020CA.revoked\""),
            "{why}"
        );
    }
    assert_accepted(&issued.into_iter().map(|(_, outcome)| outcome).collect::<Vec<_>>());
    it.make_queue(&it.vhost, "exeunt.*.revoked", &json!({}));
    let revoked: Vec<Event> = revoked.into_iter().map(|(event, _)| event.clone()).collect();
    assert_accepted(&notify_all(&mut host, &revoked));
    assert_eq!(assert_there(&it.found(), &told), 0);
}

#[test]
fn what_others_publish_into_the_same_queue_stays_as_it_is() {
    let it = Fixture::new();
    let told = events(1..1001);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut host = it.host();
            for events in told.chunks(20) {
                deliver(&mut host, events);
            }
        });
        it.publish(&it.vhost, "a.stranger", b"a stranger's", 300);
    });
    let (theirs, ours): (Vec<_>, Vec<_>) =
        it.found().into_iter().partition(|it| it.routing_key == "a.stranger");
    assert_eq!(theirs.len(), 300);
    assert!(theirs.iter().all(|it| it.body == b"a stranger's"));
    assert_eq!(assert_there(&ours, &told), 0);
}
