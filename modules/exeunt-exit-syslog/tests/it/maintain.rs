//! `Test`: connects and sends nothing. And what is known of the settings.

use exeunt_exit_syslog::SyslogExit;
use exeunt_module_kit::{
    Event, Outcome,
    maintain::{CheckResult, TestReport},
    testing::Host,
};
use exeunt_testbed::authority::Flaw;
use serde_json::{Value as Json, json};

use crate::fixture::{Receiver, events};

fn report(settings: &Json) -> TestReport {
    let mut host = Host::in_memory(SyslogExit::default()).unwrap();
    host.initialize_maintain(settings).unwrap();
    host.test_target(&events(2)).unwrap()
}

fn failed(report: &TestReport) -> Option<String> {
    let failed = report.checks.iter().find(|it| it.result == CheckResult::Failed);
    failed.map(|it| it.text.clone())
}

#[test]
fn a_test_connects_and_says_what_would_be_written() {
    let it = Receiver::start(Some(Flaw::Nothing), false);
    let report = report(&it.settings(it.port, &json!({})));
    assert_eq!(failed(&report), None, "{report:?}");
    assert!(report.checks.iter().any(|it| it.text == "TLS 1.3"), "{report:?}");
    assert_eq!(report.would_write.len(), 2);
    assert!(report.would_write[0].starts_with("<86>1 2026-11-21T07:00:00.000Z ca.example.test "));
    assert!(it.received().is_empty());
}

#[test]
fn a_test_says_what_is_wrong() {
    let it = Receiver::start(Some(Flaw::Expired), false);
    let said = failed(&report(&it.settings(it.port, &json!({})))).unwrap();
    assert!(said.contains("certificate"), "{said}");
    let it = Receiver::start(None, false);
    it.behave("never close");
    let said = failed(&report(&it.settings(it.port, &json!({"timeout_s": 1})))).unwrap();
    assert!(said.contains("confirm = \"written\""), "{said}");
    let said = failed(&report(&json!({"transport": "unix", "path": "/nowhere/log"}))).unwrap();
    assert!(said.contains("/nowhere/log"), "{said}");
}

#[test]
fn settings_are_known_and_judged_before_they_are_used() {
    let host = || Host::in_memory(SyslogExit::default()).unwrap();
    let known = host().manage_module().unwrap().settings;
    assert!(known.iter().any(|it| it.name == "transport"));
    let mut it = host();
    it.set_module_property("path", json!("/dev/log")).unwrap();
    it.set_module_property("transport", json!("unix")).unwrap();
    it.set_module_property("transport", json!("pigeon")).unwrap_err();
    it.configure(&json!({"transport": "unix"})).unwrap();
    it.configure(&json!({})).unwrap_err();
    let err = host().initialize(&json!({"server": "a", "ca_file": "/nowhere"})).unwrap_err();
    assert!(err.to_string().contains("/nowhere"), "{err}");
}

#[test]
fn an_event_of_a_later_version_is_written_as_far_as_it_is_known() {
    let it = Receiver::start(None, false);
    let events = events(2);
    let later = Event { event: 0x4000_0000, ..events[0].clone() };
    let mut host = it.host(&json!({}));
    let outcomes = host.notify_all(&[later, events[1].clone()]).unwrap();
    assert_eq!(outcomes, [Ok(Outcome::Accept), Ok(Outcome::Accept)]);
}
