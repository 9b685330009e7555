//! Trying the server without sending, and asking about the settings.

use crate::fixture::{issued, password_file, settings};
use exeunt_exit_mail::MailExit;
use exeunt_module_kit::{
    Value,
    maintain::{CheckResult, TestReport},
    testing::Host,
};
use exeunt_testbed::{
    authority::Flaw,
    smtp::{Behaviour, PASSWORD, Setup, Smtp},
};
use serde_json::{Value as Json, json};

fn tried(server: &Smtp, password: &str, more: &Json) -> TestReport {
    let folder = password_file(password);
    let mut host = Host::in_memory(MailExit::default()).unwrap();
    host.initialize_maintain(&settings(server, server.port(), &folder, more)).unwrap();
    let mut samples = issued(2);
    samples[1].event = exeunt_module_kit::exit_event::CERT_DENIED;
    let report = host.test_target(&samples).unwrap();
    host.shutdown().unwrap();
    report
}

fn results(report: &TestReport) -> Vec<(&str, CheckResult)> {
    report.checks.iter().map(|it| (it.what.as_str(), it.result)).collect()
}

#[test]
fn a_trial_goes_all_the_way_and_sends_nothing() {
    let mut server = Smtp::start(&Setup::default());
    let report = tried(&server, PASSWORD, &json!({}));
    let connect = format!("connect to localhost:{}", server.port());
    assert_eq!(
        results(&report),
        [
            (connect.as_str(), CheckResult::Passed),
            ("secure the connection", CheckResult::Passed),
            ("authenticate as ca@example.test", CheckResult::Passed),
            ("sender ca@example.test", CheckResult::Passed),
            ("recipient ops@example.test", CheckResult::Passed),
        ]
    );
    assert_eq!(
        report.would_write,
        [
            "issued 00000000000000000000000000000001-1: to ops@example.test: \
             \"[Test CA] Certificate issued: www.example.com\"",
            "denied 00000000000000000000000000000001-2: nothing",
        ]
    );
    let refused = vec!["ops@example.test".to_owned()];
    server.behave(&Behaviour { refused, ..Behaviour::default() });
    let report = tried(&server, PASSWORD, &json!({}));
    let last = report.checks.last().unwrap();
    assert_eq!(
        (last.what.as_str(), last.result),
        ("recipient ops@example.test", CheckResult::Failed)
    );
    assert!(last.text.contains("550 5.1.1 no such user here"), "{}", last.text);
    assert_eq!(server.inbox(), []);
}

#[test]
fn a_trial_says_how_far_it_came() {
    let mut server = Smtp::start(&Setup::default());
    let report = tried(&server, "wrong", &json!({}));
    let last = report.checks.last().unwrap();
    assert_eq!((report.checks.len(), last.result), (3, CheckResult::Failed));
    assert!(last.text.contains("535"), "{}", last.text);
    server.kill();
    let report = tried(&server, PASSWORD, &json!({}));
    assert_eq!((report.checks.len(), report.checks[0].result), (1, CheckResult::Failed));

    let server = Smtp::start(&Setup { flaw: Flaw::OtherName, ..Setup::default() });
    let report = tried(&server, PASSWORD, &json!({}));
    assert_eq!((report.checks.len(), report.checks[1].result), (2, CheckResult::Failed));
}

#[test]
fn the_module_knows_its_settings() {
    let mut host = Host::in_memory(MailExit::default()).unwrap();
    let known = host.manage_module().unwrap().settings;
    assert!(known.iter().any(|it| it.name == "server" && it.required));
    assert!(known.iter().any(|it| it.name == "crl-issued"));
    assert_eq!(host.module_property("name").unwrap(), Some(Value::String("mail".to_owned())));
    let good = json!({
        "server": "mail.example.test", "from": "a@example.test", "to": "b@example.test",
        "Issued": {"TitleFormat": "%1", "TitleArg": ["UPN"]},
    });
    host.configure(&good).unwrap();
    host.configure(&json!({"server": "mail.example.test"})).unwrap_err();
    host.shutdown().unwrap();
}
