//! Who the module is for the server, and whom it trusts.

use exeunt_module_kit::{Event, exit_event, maintain::CheckResult};
use exeunt_testbed::{
    authority::{Authority, Flaw},
    rabbitmq::{MUTE, PASSWORD, PUBLISHER, RabbitMq, USER},
};
use serde_json::json;

use super::{Fixture, assert_there};
use crate::{
    assert_accepted, events, maintain, notify_all, retried, secret, start, target_down, with,
};

#[test]
fn an_account_that_may_publish_and_nothing_else_is_enough() {
    let it = Fixture::new();
    let settings = with(&it.settings(), &json!({ "user": PUBLISHER }));
    assert_accepted(&notify_all(&mut start(&settings), &events(1..11)));
    assert_eq!(it.waiting(&it.vhost), Some(10));
    let report = maintain(&settings).test_target(&[]).unwrap();
    let other = report.checks.iter().find(|it| it.result != CheckResult::Passed);
    assert_eq!(other, None);
    assert_eq!(assert_there(&it.found(), &events(1..11)), 0);
    let other = with(&settings, &json!({"exchange": "other", "queue": "other"}));
    let steps = maintain(&other).install(true).unwrap().steps;
    assert!(steps.iter().all(|it| it.result == CheckResult::Failed), "{steps:?}");
    assert!(steps[0].text.contains("access to exchange 'other'"), "{steps:?}");
}

#[test]
fn what_the_account_may_not_do_is_said_at_once_and_retried() {
    let it = Fixture::new();
    let wrong = secret(it.folder.path(), "wrong", "wrong");
    for (more, said) in [
        (json!({ "user": MUTE }), "access to exchange 'exeunt'"),
        (json!({ "password_file": wrong }), "Login was refused"),
        (json!({ "vhost": "nowhere" }), "vhost nowhere not found"),
    ] {
        let settings = with(&with(&it.settings(), &more), &json!({"timeout_s": 20}));
        // Far more than it takes, and less than waiting would take.
        let begun = std::time::Instant::now();
        for outcome in notify_all(&mut start(&settings), &events(1..51)) {
            // Whatever the event: for lack of such a right none is ever parked.
            assert!(target_down(&outcome).contains(said), "{outcome:?}");
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(15), "{said}");
        let report = maintain(&settings).test_target(&events(1..2)).unwrap();
        let failed = report.checks.iter().find(|it| it.result == CheckResult::Failed).unwrap();
        assert!(failed.text.contains(said), "{failed:?}");
    }
    assert_eq!(it.waiting(&it.vhost), Some(0));
}

#[test]
fn a_routing_key_that_is_not_allowed_holds_up_no_other() {
    let it = Fixture::new();
    let words = ["-p", &it.vhost, PUBLISHER, "exeunt", "\\.issued$", "^$"];
    it.control(&[&["set_topic_permissions"], &words[..]].concat());
    let mut told = events(1..41);
    for place in [0, 20, 21] {
        told[place].event = exit_event::CERT_REVOKED;
    }
    let settings = with(&it.settings(), &json!({ "user": PUBLISHER }));
    let mut host = start(&settings);
    let outcomes = notify_all(&mut host, &told);
    let mut taken = Vec::new();
    for (event, outcome) in told.iter().zip(&outcomes) {
        if event.event == exit_event::CERT_REVOKED {
            let why = retried(outcome);
            assert!(why.contains("access to topic 'exeunt.Test!0020CA.revoked'"), "{why}");
        } else {
            assert_accepted(std::slice::from_ref(outcome));
            taken.push(event.clone());
        }
    }
    assert_there(&it.found(), &taken);
    let report = maintain(&settings).test_target(&[]).unwrap();
    let failed = report.checks.iter().find(|it| it.result == CheckResult::Failed).unwrap();
    assert!(failed.text.contains("access to topic"), "{failed:?}");
    // A right that is given later is used by the running module.
    it.control(&["clear_topic_permissions", "-p", &it.vhost, PUBLISHER]);
    let left: Vec<Event> =
        told.into_iter().filter(|it| it.event == exit_event::CERT_REVOKED).collect();
    assert_accepted(&notify_all(&mut host, &left));
    assert_eq!(assert_there(&it.found(), &left), 0);
}

#[test]
fn a_client_certificate_says_who_the_module_is() {
    let it = Fixture::new();
    let client = it.authority().client(USER);
    let mut settings = with(
        &it.settings(),
        &json!({ "client_certificate_file": client.certificate, "client_key_file": client.key }),
    );
    settings.as_object_mut().unwrap().retain(|name, _| name != "user" && name != "password_file");
    assert_accepted(&notify_all(&mut start(&settings), &events(1..2)));
    let nobody = it.authority().client("nobody");
    let nobody = with(
        &settings,
        &json!({ "client_certificate_file": nobody.certificate, "client_key_file": nobody.key }),
    );
    let outcome = notify_all(&mut start(&nobody), &events(2..3)).remove(0);
    assert!(target_down(&outcome).contains("Login was refused"), "{outcome:?}");
    assert_eq!(assert_there(&it.found(), &events(1..2)), 0);
}

#[test]
fn a_server_with_the_wrong_certificate_is_told_nothing() {
    let it = Fixture::new();
    let other = Authority::new(&it.folder.path().join("other"));
    let stranger = with(&it.settings(), &json!({ "ca_file": other.certificate() }));
    let outcome = notify_all(&mut start(&stranger), &events(1..2)).remove(0);
    assert!(target_down(&outcome).contains("certificate"), "{outcome:?}");
    // TLS to a port that speaks none, too, says no password.
    let plain = format!("amqps://localhost:{}", it.port());
    let plain = with(&it.settings(), &json!({ "servers": plain }));
    target_down(&notify_all(&mut start(&plain), &events(1..2))[0]);
    assert_eq!(it.waiting(&it.vhost), Some(0));

    let expired = RabbitMq::start(Flaw::Expired, 1);
    let password = secret(it.folder.path(), "again", PASSWORD);
    let settings = json!({
        "protocol": "amqp", "servers": expired.url(), "ca_file": expired.ca_file(),
        "vhost": expired.vhost(), "user": USER, "password_file": password, "timeout_s": 5,
    });
    let outcome = notify_all(&mut start(&settings), &events(1..2)).remove(0);
    assert!(target_down(&outcome).contains("expired"), "{outcome:?}");
}
