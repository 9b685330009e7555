//! Outcomes, masks, standard output, crashes, the end.

use exeunt_module::{Outcome, exit_event};
use exeunt_module_kit::testing::{Host, HostError};
use serde_json::json;

use crate::{
    answer,
    build::{module, rust_module},
    host, of_server, parts, reported, runner, told, with_stderr,
};

const DIRECT: &str = "Test.Direct.Exit";

#[test]
fn success_codes_accept_and_failures_are_told_with_the_modules_words() {
    let mut host = host(&module("direct.cpp"), DIRECT);
    let initialized = host.initialize(&json!({})).unwrap();
    assert_eq!(
        initialized.event_mask,
        exit_event::CERT_ISSUED | exit_event::SHUTDOWN | exit_event::HEARTBEAT
    );
    assert_eq!(initialized.features, ["call-backs"]);
    assert_eq!(host.description().unwrap(), "called directly");
    let retry = |reason: &str| Outcome::Retry { after_ms: None, reason: reason.to_owned() };
    for (what, expected) in [
        ("", Outcome::Accept),
        ("false", Outcome::Accept),
        ("fail", retry("Notify failed: 0x80070005 the disk is on fire")),
        ("fail without words", retry("Notify failed: 0x80004005")),
        ("not implemented", Outcome::Park { reason: "Notify failed: 0x80004001".to_owned() }),
    ] {
        assert_eq!(host.notify(&told(1, what)).unwrap(), expected, "{what}");
    }
    host.shutdown().unwrap();
}

#[test]
fn a_server_event_has_a_context_of_its_own_and_a_shutdown_is_a_notify() {
    let mut host = host(&module("direct.cpp"), DIRECT);
    host.initialize(&json!({"greeting": "hello"})).unwrap();
    let outcome = host.notify(&of_server(2, exit_event::HEARTBEAT)).unwrap();
    assert_eq!(
        parts(reported(&outcome)),
        [
            "event=4194304",
            "SanitizedCAName=string Test CA",
            "Setting.greeting=string hello",
            "RequestID=80094004 empty",
        ]
    );
    assert_eq!(host.notify(&of_server(3, exit_event::SHUTDOWN)).unwrap(), Outcome::Accept);
    host.shutdown().unwrap();
}

#[test]
fn many_events_are_notified_one_after_the_other() {
    let mut host = host(&module("direct.cpp"), DIRECT);
    host.initialize(&json!({})).unwrap();
    let events: Vec<_> =
        (1..=300).map(|seq| told(seq, if seq % 2 == 0 { "fail" } else { "false" })).collect();
    let outcomes = host.notify_all(&events).unwrap();
    for (event, outcome) in events.iter().zip(outcomes) {
        let is_accepted = outcome.unwrap() == Outcome::Accept;
        assert_eq!(is_accepted, event.seq % 2 == 1, "{}", event.seq);
    }
    host.shutdown().unwrap();
}

#[test]
fn what_a_library_prints_does_not_get_into_the_conversation() {
    let folder = tempfile::tempdir().unwrap();
    let stderr = folder.path().join("stderr");
    let command = with_stderr(runner(&module("direct.cpp"), DIRECT), &stderr);
    let mut host = Host::spawn(command).unwrap().with_call_backs(answer);
    host.initialize(&json!({})).unwrap();
    assert_eq!(host.notify(&told(1, "print")).unwrap(), Outcome::Accept);
    assert_eq!(host.notify(&told(2, "")).unwrap(), Outcome::Accept);
    host.shutdown().unwrap();
    let text = std::fs::read_to_string(stderr).unwrap();
    assert!(text.contains("\"result\": null"), "{text}");
    assert!(text.contains("the module was released"), "{text}");
    assert!(!text.contains("debug"), "{text}");
}

#[test]
fn each_notify_is_said_when_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let stderr = folder.path().join("stderr");
    let mut command = with_stderr(runner(&module("direct.cpp"), DIRECT), &stderr);
    command.arg("--debug");
    let mut host = Host::spawn(command).unwrap();
    host.initialize(&json!({})).unwrap();
    host.notify(&told(7, "")).unwrap();
    host.shutdown().unwrap();
    let text = std::fs::read_to_string(stderr).unwrap();
    let expected =
        "exeunt-runner: debug: Notify(issued) for 00000000000000000000000000000001-7, context 1\n";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_library_that_crashes_or_throws_ends_the_runner_and_nothing_else() {
    for what in ["crash", "throw"] {
        let mut host = host(&module("direct.cpp"), DIRECT);
        host.initialize(&json!({})).unwrap();
        assert_eq!(host.notify(&told(1, "")).unwrap(), Outcome::Accept);
        let ended = host.notify(&told(2, what));
        assert!(matches!(ended, Err(HostError::Ended | HostError::Io(_))), "{what}: {ended:?}");
    }
}

#[test]
fn a_module_of_the_first_generation_in_c_is_called_directly() {
    let mut host = host(&module("first.c"), "Test.First.Exit");
    assert_eq!(host.initialize(&json!({})).unwrap().event_mask, exit_event::CERT_ISSUED);
    // Its GetDescription fails.
    assert_eq!(host.description().unwrap(), "unknown");
    // It hands on what it got from the server: that this event has no such value.
    let parked = "Notify failed: 0x80094004 UPN is empty".to_owned();
    assert_eq!(host.notify(&told(1, "")).unwrap(), Outcome::Park { reason: parked });
    host.shutdown().unwrap();
}

#[test]
fn a_module_without_the_interface_is_called_and_reads_by_names() {
    let mut host = host(&module("late.cpp"), "Test.Late.Exit");
    assert_eq!(host.initialize(&json!({})).unwrap().event_mask, exit_event::CERT_ISSUED);
    assert_eq!(host.description().unwrap(), "called by name");
    assert_eq!(host.notify(&told(1, "")).unwrap(), Outcome::Accept);
    let outcome = host.notify(&told(9, "report")).unwrap();
    assert_eq!(
        parts(reported(&outcome)),
        [
            "event=1",
            "context=00000000",
            "RequesterName=string test",
            "RequestID=long 9",
            "RawCertificate=binary 3 300100",
            "UPN=80094004 UPN is empty from CertificateAuthority.ServerExit",
            "1.2.3.1=long -1",
            "flags long 131072",
            "CertificateTemplate Do end 00000000",
            "count=8002000e",
            "set=80020006",
        ]
    );
    host.shutdown().unwrap();
}

#[test]
fn a_module_in_rust_shares_classes_and_errors_with_the_runner() {
    let library = rust_module("census");
    let folder = tempfile::tempdir().unwrap();
    let stderr = folder.path().join("stderr");
    let command = with_stderr(runner(&library, "Census.Exit"), &stderr);
    let mut host = Host::spawn(command).unwrap().with_call_backs(answer);
    let initialized = host.initialize(&json!({"greeting": "ahoy"})).unwrap();
    assert_eq!(initialized.event_mask, exit_event::CERT_ISSUED | exit_event::SHUTDOWN);
    assert_eq!(host.description().unwrap(), "counts certificates: 0");
    assert_eq!(host.notify(&told(1, "")).unwrap(), Outcome::Accept);
    // A server event has no serial number: the module says so, in words of its own.
    let outcome = host.notify(&of_server(2, exit_event::CERT_ISSUED)).unwrap();
    let Outcome::Retry { reason, .. } = &outcome else { panic!("{outcome:?}") };
    assert!(reason.ends_with("there is no serial number"), "{reason}");
    assert_eq!(host.notify(&of_server(3, exit_event::SHUTDOWN)).unwrap(), Outcome::Accept);
    host.shutdown().unwrap();
    let text = std::fs::read_to_string(stderr).unwrap();
    assert!(text.contains("census: ahoy Test CA\n"), "{text}");
    assert!(text.contains(" is number 1, 1 critical extensions\n"), "{text}");
    assert!(text.contains("census: 1 certificates\n"), "{text}");

    let mut host = Host::spawn(runner(&library, "Census.Exit")).unwrap();
    let settings = host.manage_module().unwrap().settings;
    assert_eq!((settings.len(), settings[0].name.as_str()), (1, "greeting"));
    let Err(HostError::Refuse(refusal)) = host.configure(&json!({"volume": "11"})) else {
        panic!("not refused");
    };
    assert!(refusal.message.contains("there is no setting volume"), "{refusal}");
    host.shutdown().unwrap();
}
