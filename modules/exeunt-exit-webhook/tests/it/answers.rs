//! What a server says, and what becomes of the event.

use std::time::{Duration, Instant};

use exeunt_exit_webhook::WebhookExit;
use exeunt_module_kit::{ExitModule as _, Initialize, Outcome};
use exeunt_testbed::receiver::{Answer, Receiver, Setup};
use serde_json::json;

use crate::fixture::{Fixture, assert_down, assert_park, assert_retry, events, ids};

#[test]
fn each_status_has_its_outcome() {
    let mut it = Fixture::new();
    let mut host = it.host(&json!({}));
    let event = &events(1)[0];
    for status in [200, 201, 202, 204] {
        it.receiver.answer_next(&Answer::status(status));
        assert_eq!(host.notify(event).unwrap(), Outcome::Accept, "{status}");
    }
    for status in [400, 404, 405, 410, 413, 415, 422] {
        let answer = Answer { body: "not like this".to_owned(), ..Answer::status(status) };
        it.receiver.answer_next(&answer);
        let outcome = host.notify(event).unwrap();
        assert_park(&outcome, &status.to_string());
        assert_park(&outcome, "not like this");
    }
    for status in [408, 425, 500] {
        it.receiver.answer_next(&Answer::status(status));
        assert_eq!(assert_retry(&host.notify(event).unwrap(), &status.to_string()), None);
    }
    for status in [401, 403, 407, 429, 502, 503, 504, 507] {
        it.receiver.answer_next(&Answer::status(status));
        assert_eq!(assert_down(&host.notify(event).unwrap(), &status.to_string()), None);
    }
}

#[test]
fn what_a_server_says_back_of_a_secret_is_in_no_reason() {
    let mut it = Fixture::new();
    let token = "eyJhbGciOiJub25l.a-token-that-nobody-may-read";
    let token_file = it.secret("token", token);
    let url = format!("https://localhost:{}/hooks/T0K3N-1N-PATH", it.receiver.port());
    let mut host = it.host(&json!({"url": url, "token_file": token_file}));
    let event = &events(1)[0];
    for (status, said) in [
        (400, format!("you sent: Authorization: Bearer {token}")),
        (404, "Cannot POST /hooks/T0K3N-1N-PATH".to_owned()),
        (500, format!("token {} is too old", &token[17..])),
        (422, format!("{}…", &token[..20])),
    ] {
        it.receiver.answer_next(&Answer { body: said, ..Answer::status(status) });
        let outcome = format!("{:?}", host.notify(event).unwrap());
        assert!(outcome.contains(&format!("answered {status}")), "{outcome}");
        for piece in ["eyJhbG", "nobody-may-read", "T0K3N", "1N-PATH"] {
            assert!(!outcome.contains(piece), "{outcome}");
        }
    }
    let to = "https://example.com/hooks/T0K3N-1N-PATH";
    it.receiver.answer_next(&Answer::status(301).with_header("Location", to));
    let outcome = host.notify(event).unwrap();
    assert_down(&outcome, "https://example.com");
    assert!(!format!("{outcome:?}").contains("T0K3N"), "{outcome:?}");
    assert_eq!(it.receiver.received().len(), 5);
}

#[test]
fn a_server_that_is_full_says_when_to_come_back() {
    let mut it = Fixture::new();
    let mut host = it.host(&json!({}));
    let event = &events(1)[0];
    let mut after = |status, wait: &str| {
        it.receiver.answer_next(&Answer::status(status).with_header("Retry-After", wait));
        assert_down(&host.notify(event).unwrap(), &status.to_string())
    };
    assert_eq!(after(503, "7"), Some(7000));
    assert_eq!(after(507, "120"), Some(120_000));
    assert_eq!(after(429, "0"), Some(0));
    assert_eq!(after(503, "31536000"), Some(3_600_000), "an hour at most");
    assert_eq!(after(503, "Fri, 31 Dec 1999 23:59:59 GMT"), Some(0));
    assert_eq!(after(503, "Tue, 31 Dec 2199 23:59:59 GMT"), Some(3_600_000));
    assert_eq!(after(503, "in a while"), None);
    assert_eq!(after(500, "7"), Some(7000), "nothing about the event");
    // Of its own request a server may say so as well, and that is this event's.
    it.receiver.answer_next(&Answer::status(408).with_header("Retry-After", "7"));
    assert_eq!(assert_retry(&host.notify(event).unwrap(), "408"), Some(7000));
}

#[test]
fn a_webhook_that_redirects_to_a_private_address_is_refused() {
    let mut it = Fixture::new();
    let elsewhere = Receiver::start(&Setup::default());
    let mut host = it.host(&json!({}));
    for status in [301, 302, 303, 307, 308] {
        let to = format!("https://127.0.0.1:{}/hook", elsewhere.port());
        it.receiver.answer_next(&Answer::status(status).with_header("Location", &to));
        assert_down(&host.notify(&events(1)[0]).unwrap(), "redirects are not followed");
    }
    assert!(elsewhere.received().is_empty());
    assert_eq!(it.receiver.received().len(), 5);
}

#[test]
fn one_bad_event_does_not_park_its_batch() {
    let mut it = Fixture::new();
    // Without the kit between, which takes as many as are there.
    let mut module = WebhookExit::default();
    let settings = it.settings(it.receiver.port(), &json!({"mode": "batched", "connections": 1}));
    let settings = settings.as_object().unwrap().clone();
    module.initialize(&Initialize { settings, ..Initialize::default() }).unwrap();
    let events = events(40);
    // The first batch is refused as a whole; of its events sent alone, the second one.
    it.receiver.answer_next(&Answer::status(400));
    it.receiver.answer_next(&Answer::status(200));
    it.receiver.answer_next(&Answer::status(422));
    let outcomes = module.notify_batch(&events);
    let received = it.receiver.received();
    assert_eq!(received[0].status, 400);
    let refused = ids(received.iter().find(|it| it.status == 422).unwrap());
    for (event, outcome) in events.iter().zip(outcomes) {
        if refused == [event.id.as_str()] {
            assert_park(&outcome, "422");
        } else {
            assert_eq!(outcome, Outcome::Accept, "{}", event.id);
        }
    }
    let taken = received.iter().filter(|it| it.status == 200).flat_map(ids).count();
    assert_eq!(taken, events.len() - 1, "each other one came once");
}

#[test]
fn a_server_that_is_slow_is_waited_for_and_one_that_is_too_slow_is_not() {
    let mut it = Fixture::new();
    let event = &events(1)[0];
    it.receiver.answer_next(&Answer { delay: Duration::from_millis(300), ..Answer::status(200) });
    assert_eq!(it.host(&json!({})).notify(event).unwrap(), Outcome::Accept);
    it.receiver.answer_next(&Answer { delay: Duration::from_secs(25), ..Answer::status(200) });
    let mut hasty = it.host(&json!({"timeout_s": 1}));
    let begun = Instant::now();
    assert_down(&hasty.notify(event).unwrap(), "did not answer in time");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn an_answer_that_is_cut_off_is_none() {
    let mut it = Fixture::new();
    let mut host = it.host(&json!({}));
    let event = &events(1)[0];
    it.receiver.answer_next(&Answer { cut: true, ..Answer::status(200) });
    assert_retry(&host.notify(event).unwrap(), "broke off");
    assert_eq!(host.notify(event).unwrap(), Outcome::Accept);
}

#[test]
fn a_server_that_talks_without_end_holds_nothing_up() {
    let mut it = Fixture::new();
    let mut host = it.host(&json!({}));
    it.receiver.answer_next(&Answer { body: "x".repeat(5_000_000), ..Answer::status(200) });
    assert_eq!(host.notify(&events(1)[0]).unwrap(), Outcome::Accept);
    it.receiver.answer_next(&Answer { body: "y".repeat(5_000_000), ..Answer::status(422) });
    let Outcome::Park { reason } = host.notify(&events(1)[0]).unwrap() else { panic!("parked") };
    assert!(reason.len() < 400, "{reason}");
}
