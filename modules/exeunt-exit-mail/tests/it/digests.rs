//! Several events in one mail.

use std::collections::BTreeSet;

use crate::fixture::{LIMIT, Told, issued, judged};
use exeunt_module_kit::{Event, Outcome, Value, exit_event};
use exeunt_testbed::smtp::{Behaviour, Setup, Smtp};
use serde_json::{Value as Json, json};

fn text(mail: &Json) -> &str {
    mail["parts"][0]["text"].as_str().unwrap()
}

#[test]
fn a_digest_holds_what_came_together_for_the_same_people() {
    let server = Smtp::start(&Setup::default());
    let more = json!({
        "digest_s": 1, "digest_events_max": 50, "events": ["issued", "expiring"],
        "expiring": {"to": "renewals@example.test"},
    });
    let mut told = Told::with(&server, server.port(), &more);
    let mut events = issued(240);
    for event in events.iter_mut().skip(200) {
        event.event = exit_event::CERT_EXPIRING;
        event.detail.push("ExpiresWithinDays", Value::String("30".to_owned()));
    }
    for outcome in told.tell_all(&events) {
        assert_eq!(outcome, Outcome::Accept);
    }
    let mails = server.inbox();
    assert!(mails.len() < 20, "{} mails", mails.len());
    let read = judged(&mails);
    for event in &events {
        let people = if event.event == exit_event::CERT_ISSUED { "ops" } else { "renewals" };
        let with: Vec<_> = mails
            .iter()
            .zip(&read)
            .filter(|(_, it)| {
                text(it).contains(&format!("{}\n", event.id))
                    || text(it).contains(&format!("{})", event.id))
            })
            .collect();
        assert_eq!(with.len(), 1, "{}", event.id);
        assert_eq!(with[0].0.to, [format!("{people}@example.test")]);
    }
    let ids: BTreeSet<&str> = read.iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), read.len());
    assert!(read.iter().any(|it| it["subject"] == "[Test CA] 50 events: 50 issued"));
}

#[test]
fn a_digest_that_was_not_taken_is_no_event_s_acceptance_and_comes_again_under_its_id() {
    let mut server = Smtp::start(&Setup::default());
    let mut told = Told::with(&server, server.port(), &json!({"digest_s": 0}));
    // The first batch may be one event: what follows it waits in the pipe and comes together.
    let events = issued(20);
    server.behave(&Behaviour::full());
    for outcome in told.tell_all(&events) {
        assert!(
            matches!(outcome, Outcome::Retry { .. } | Outcome::TargetDown { .. }),
            "{outcome:?}"
        );
    }
    server.behave(&Behaviour { cut_at: Some("ANSWER"), ..Behaviour::default() });
    let first = told.tell_all(&events[..1]);
    assert!(matches!(first[0], Outcome::Retry { .. } | Outcome::TargetDown { .. }), "{first:?}");
    server.behave(&Behaviour::default());
    assert_eq!(told.tell_all(&events[..1]), [Outcome::Accept]);
    let read = judged(&server.wait_for(2, LIMIT));
    assert_eq!(read[0]["id"], read[1]["id"]);
}

/// Ten events, of which the seventh is about this name.
fn with_one_guilty(name: &str) -> Vec<Event> {
    let mut events = issued(10);
    for (index, event) in events.iter_mut().enumerate() {
        let name = if index == 6 { name } else { "harmless" };
        event.certificate.push("Organization", Value::String(name.to_owned()));
    }
    events
}

/// All events but the guilty one have a mail, and that one is parked for its reason.
#[track_caller]
fn check_only_one_is_parked(server: &Smtp, outcomes: &[Outcome], words: &str) {
    for (index, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Outcome::Park { reason } if index == 6 => assert!(reason.contains(words), "{reason}"),
            other => assert!(index != 6 && *other == Outcome::Accept, "{index}: {other:?}"),
        }
    }
    let read = judged(&server.inbox());
    for (index, event) in issued(10).iter().enumerate() {
        let holds = |it: &&Json| text(it).contains(&format!("event {}.", event.id));
        assert_eq!(read.iter().filter(holds).count(), usize::from(index != 6), "{index}");
    }
}

const TEXT: &str = "event {{ event.id }}. {{ certificate.Organization }}";

#[test]
fn a_digest_that_is_refused_for_the_words_of_one_requester_parks_that_event_alone() {
    let mut server = Smtp::start(&Setup::default());
    let spam = vec!["cheap pills".to_owned()];
    server.behave(&Behaviour { spam, ..Behaviour::default() });
    let mut told =
        Told::with(&server, server.port(), &json!({"digest_s": 0, "text": TEXT, "subject": "s"}));
    let outcomes = told.tell_all(&with_one_guilty("cheap pills"));
    check_only_one_is_parked(&server, &outcomes, "554 5.7.1 looks like spam");
}

#[test]
fn a_digest_that_is_too_big_is_sent_event_by_event() {
    let server = Smtp::start(&Setup { size_max: 4000, ..Setup::default() });
    let mut told =
        Told::with(&server, server.port(), &json!({"digest_s": 0, "text": TEXT, "subject": "s"}));
    let outcomes = told.tell_all(&with_one_guilty(&"long ".repeat(1000)));
    check_only_one_is_parked(&server, &outcomes, "the server takes 4000 at most");
}

#[test]
fn a_digest_whose_requester_s_address_is_refused_parks_its_events() {
    let mut server = Smtp::start(&Setup::default());
    let refused = vec!["gone@example.test".to_owned()];
    server.behave(&Behaviour { refused, ..Behaviour::default() });
    let more = json!({
        "digest_s": 0, "to": "{requester}", "requester_domains": ["example.test"],
    });
    let mut told = Told::with(&server, server.port(), &more);
    let mut events = issued(5);
    for event in &mut events {
        event.certificate.push("EMail", Value::String("gone@example.test".to_owned()));
    }
    for outcome in told.tell_all(&events) {
        assert!(matches!(outcome, Outcome::Park { .. }), "{outcome:?}");
    }
}
