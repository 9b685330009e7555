//! `Test`: connects, asks for leave, sends nothing. And what is known of the settings.

use exeunt_exit_webhook::WebhookExit;
use exeunt_module_kit::{
    maintain::{CheckResult, TestReport},
    testing::Host,
};
use exeunt_testbed::{
    authority::Flaw,
    receiver::{Answer, Setup},
};
use serde_json::{Value as Json, json};

use crate::fixture::{Fixture, events};

fn report(it: &Fixture, more: &Json) -> TestReport {
    let mut host = Host::in_memory(WebhookExit::default()).unwrap();
    host.initialize_maintain(&it.settings(it.receiver.port(), more)).unwrap();
    host.test_target(&events(2)).unwrap()
}

fn worst(report: &TestReport) -> (CheckResult, String) {
    let rank = |it: CheckResult| match it {
        CheckResult::Passed => 0,
        CheckResult::Warning => 1,
        CheckResult::Failed => 2,
    };
    let worst = report.checks.iter().max_by_key(|it| rank(it.result)).unwrap();
    (worst.result, worst.text.clone())
}

#[test]
fn a_test_asks_for_leave_and_sends_no_event() {
    let mut it = Fixture::new();
    let leave = |origin: &str| Answer::status(200).with_header("WebHook-Allowed-Origin", origin);
    for (answer, expected, said) in [
        (leave("*"), CheckResult::Passed, ""),
        (leave("ca.example.test"), CheckResult::Passed, ""),
        (leave("other.example.test"), CheckResult::Failed, "other.example.test may send"),
        (Answer::status(405), CheckResult::Warning, "knows no OPTIONS"),
        (Answer::status(501), CheckResult::Warning, "knows no OPTIONS"),
        (Answer::status(204), CheckResult::Warning, "does not ask for it"),
        (Answer::status(401), CheckResult::Failed, "token_file"),
        (Answer::status(302), CheckResult::Failed, "redirects are not followed"),
        (Answer::status(404), CheckResult::Warning, "path of url"),
        (Answer::status(503), CheckResult::Warning, "has a fault"),
    ] {
        it.receiver.answer_next(&answer);
        let report = report(&it, &json!({"origin": "ca.example.test"}));
        let (result, text) = worst(&report);
        assert_eq!(result, expected, "{report:?}");
        assert!(text.contains(said), "{text}");
        assert_eq!(report.would_write.len(), 2);
        assert!(report.would_write[0].contains("exeunt.issued"), "{report:?}");
    }
    for request in it.receiver.received() {
        assert_eq!((request.method.as_str(), request.body.len()), ("OPTIONS", 0));
        assert_eq!(request.header("webhook-request-origin"), Some("ca.example.test"));
    }
}

#[test]
fn without_an_origin_a_server_that_knows_no_options_is_as_good_as_another() {
    let mut it = Fixture::new();
    for status in [200, 204, 405, 501] {
        it.receiver.answer_next(&Answer::status(status));
        let report = report(&it, &json!({}));
        assert_eq!(worst(&report).0, CheckResult::Passed, "{report:?}");
        let last = &report.checks.last().unwrap().text;
        assert_eq!(last.contains("deliveries need none"), 400 < status, "{last}");
    }
    it.receiver.answer_next(&Answer::status(503));
    assert_eq!(worst(&report(&it, &json!({}))).0, CheckResult::Warning);
}

#[test]
fn a_test_says_what_is_wrong_with_the_way() {
    let it = Fixture::with(&Setup { flaw: Flaw::OtherAuthority, ..Setup::default() });
    let (result, text) = worst(&report(&it, &json!({})));
    assert_eq!(result, CheckResult::Failed);
    assert!(text.contains("certificate"), "{text}");
    let (result, text) = worst(&report(&it, &json!({"allow_networks": []})));
    assert_eq!(result, CheckResult::Failed);
    assert!(text.contains("127.0.0.1 is loopback"), "{text}");
}

#[test]
fn settings_are_known_and_judged_before_they_are_used() {
    let host = || Host::in_memory(WebhookExit::default()).unwrap();
    let known = host().manage_module().unwrap().settings;
    assert!(known.iter().any(|it| it.name == "url" && it.required));
    assert!(known.iter().any(|it| it.name == "ca_file" && !it.required));
    let mut it = host();
    it.set_module_property("client_key_file", json!("key.pem")).unwrap();
    it.set_module_property("url", json!("https://127.0.0.1/")).unwrap();
    it.set_module_property("connections", json!(3)).unwrap();
    it.set_module_property("connections", json!(0)).unwrap_err();
    it.configure(&json!({"url": "https://hook.example.com/"})).unwrap();
    it.configure(&json!({"url": "http://hook.example.com/"})).unwrap_err();
    let err = host().initialize(&json!({"url": "https://10.0.0.1/"})).unwrap_err();
    assert!(err.to_string().contains("its address is private"), "{err}");
    let settings = json!({"url": "https://hook.example.com/", "timeout_s": 30});
    let err = host().initialize(&settings).unwrap_err();
    assert!(err.to_string().contains("deadline_s: at most 24"), "{err}");
}
