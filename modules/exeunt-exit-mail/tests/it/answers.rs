//! What the server says, and what the module makes of it.

use crate::fixture::{LIMIT, Told, issued, judged, password_file, settings};
use exeunt_exit_mail::MailExit;
use exeunt_module_kit::{
    Outcome, Value,
    testing::{self, Host},
};
use exeunt_testbed::{
    authority::Flaw,
    smtp::{Behaviour, Security, Setup, Smtp, USER},
};
use serde_json::{Value as Json, json};

/// The server's trouble, or a setting's: no attempt of the event was counted.
#[track_caller]
fn down(outcome: &Outcome, words: &str) {
    let reason = testing::target_down(outcome);
    assert!(reason.contains(words), "{reason}");
}

#[track_caller]
fn retried(outcome: &Outcome, words: &str) {
    let reason = testing::retried(outcome);
    assert!(reason.contains(words), "{reason}");
}

#[track_caller]
fn parked(outcome: &Outcome, words: &str) {
    let reason = testing::parked(outcome);
    assert!(reason.contains(words), "{reason}");
}

#[test]
fn a_mail_is_accepted_when_the_server_has_taken_it() {
    for security in [Security::StartTls, Security::Tls] {
        let server = Smtp::start(&Setup { security, ..Setup::default() });
        let word = if security == Security::Tls { "tls" } else { "starttls" };
        let mut told = Told::with(&server, server.port(), &json!({"security": word}));
        assert_eq!(told.tell(&issued(1)[0]), Outcome::Accept);
        let mails = server.wait_for(1, LIMIT);
        assert_eq!(mails[0].from, "ca@example.test");
        assert_eq!(mails[0].to, ["ops@example.test"]);
        assert_eq!(mails[0].user.as_deref(), Some(USER));
        assert_eq!(mails[0].helo, "ca.example.test");
        assert!(mails[0].tls.is_some());
        told.end();
    }
}

#[test]
fn without_security_nobody_logs_in_and_only_because_the_operator_says_so() {
    let setup = Setup { security: Security::None, authentication: false, ..Setup::default() };
    let server = Smtp::start(&setup);
    let open = json!({"security": "none", "ca_file": null, "user": null, "password_file": null});
    let mut told = Told::with(&server, server.port(), &open);
    assert_eq!(told.tell(&issued(1)[0]), Outcome::Accept);
    assert_eq!(server.wait_for(1, LIMIT)[0].tls, None);

    // A server that does not offer STARTTLS is told nothing.
    let mut told =
        Told::with(&server, server.port(), &json!({"user": null, "password_file": null}));
    down(&told.tell(&issued(1)[0]), "does not offer STARTTLS");
    assert_eq!(server.inbox().len(), 1);
}

#[test]
fn what_may_pass_is_tried_again_and_what_may_not_is_parked() {
    let mut server = Smtp::start(&Setup::default());
    let mut told = Told::with(&server, server.port(), &json!({}));
    let event = &issued(1)[0];
    for (behaviour, words) in [
        (Behaviour::full(), "452 4.3.1 insufficient system storage"),
        (Behaviour::answer("MAIL", "421 4.3.2 going down"), "421 4.3.2 going down"),
        (Behaviour::answer("MAIL", "553 5.1.8 who are you"), "the sender ca@example.test: 553"),
        (Behaviour::answer("RCPT", "530 5.7.0 log in first"), "530 5.7.0 log in first"),
        (Behaviour::answer("DATA", "535 5.7.8 log in again"), "535 5.7.8 log in again"),
    ] {
        server.behave(&behaviour);
        down(&told.tell(event), words);
    }
    for (behaviour, words) in [
        (Behaviour::answer("DATA", "552 5.2.2 mailbox full"), "552 5.2.2 mailbox full"),
        (Behaviour::answer("DATA", "451 4.3.0 try later"), "451 4.3.0 try later"),
        (Behaviour::answer("RCPT", "450 4.2.1 busy"), "the recipient ops@example.test: 450"),
        (
            Behaviour::answer("RCPT", "550 5.1.1 no such user"),
            "the recipient ops@example.test: 550 5.1.1 no such user (it stands in the setting \"to\")",
        ),
    ] {
        server.behave(&behaviour);
        retried(&told.tell(event), words);
    }
    for (behaviour, words) in [
        (Behaviour::answer("DATA", "554 5.7.1 looks like spam"), "554 5.7.1 looks like spam"),
        (Behaviour::answer("DATA", "552 5.3.4 too big for us"), "552 5.3.4 too big for us"),
        (Behaviour::answer("DATA", "552 5.2.3 too big for her"), "552 5.2.3 too big for her"),
    ] {
        server.behave(&behaviour);
        parked(&told.tell(event), words);
    }
    assert_eq!(server.inbox(), []);
    // And the connection, or a new one, is of use afterwards.
    server.behave(&Behaviour::default());
    assert_eq!(told.tell(event), Outcome::Accept);
}

#[test]
fn greylisting_is_waited_for() {
    let mut server = Smtp::start(&Setup::default());
    server.behave(&Behaviour { greylist: true, ..Behaviour::default() });
    let mut told = Told::with(&server, server.port(), &json!({}));
    let event = &issued(1)[0];
    retried(&told.tell(event), "451");
    assert_eq!(told.tell(event), Outcome::Accept);
}

#[test]
fn all_recipients_get_a_mail_or_none_does_unless_the_operator_leaves_some_out() {
    let mut server = Smtp::start(&Setup::default());
    let refused = vec!["gone@example.test".to_owned()];
    server.behave(&Behaviour { refused, ..Behaviour::default() });
    let people = json!(["ops@example.test", "gone@example.test", "late@example.test"]);
    let mut told = Told::with(&server, server.port(), &json!({"to": people}));
    retried(&told.tell(&issued(1)[0]), "gone@example.test: 550 5.1.1 no such user here");
    assert_eq!(server.inbox(), []);

    let more = json!({"to": people, "refused_recipients": "leave-out"});
    let mut told = Told::with(&server, server.port(), &more);
    assert_eq!(told.tell(&issued(1)[0]), Outcome::Accept);
    let mails = server.wait_for(1, LIMIT);
    assert_eq!(mails[0].to, ["ops@example.test", "late@example.test"]);

    let more = json!({"to": "gone@example.test", "refused_recipients": "leave-out"});
    let mut told = Told::with(&server, server.port(), &more);
    retried(&told.tell(&issued(1)[0]), "550");
}

#[test]
fn a_recipient_that_a_setting_names_is_mended_there_and_one_of_a_requester_parks_its_event() {
    let mut server = Smtp::start(&Setup::default());
    let refused = vec!["gone@example.test".to_owned()];
    server.behave(&Behaviour { refused, ..Behaviour::default() });
    let mut event = issued(1).remove(0);
    event.certificate.push("EMail", Value::String("gone@example.test".to_owned()));
    let requester = json!({"to": "{requester}", "requester_domains": ["example.test"]});
    for policy in ["park", "leave-out"] {
        let more = |more: Json| {
            let mut all = requester.clone();
            all["refused_recipients"] = policy.into();
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            all
        };
        let mut told = Told::with(&server, server.port(), &more(json!({})));
        parked(&told.tell(&event), "the recipient gone@example.test: 550 5.1.1 no such user here");
        for (setting, settings) in [
            ("to", json!({"to": "gone@example.test"})),
            ("cc", json!({"cc": "gone@example.test"})),
            ("bcc", json!({"bcc": ["gone@example.test"]})),
            ("fallback_to", json!({"to": "{UPN}", "fallback_to": ["gone@example.test"]})),
        ] {
            let mut told = Told::with(&server, server.port(), &more(settings));
            let words = format!("(it stands in the setting {setting:?})");
            retried(&told.tell(&event), &words);
        }
    }
    assert_eq!(server.inbox(), []);
}

#[test]
fn a_mail_that_is_too_big_for_the_server_is_parked_and_others_are_not() {
    let server = Smtp::start(&Setup { size_max: 4000, ..Setup::default() });
    let more = json!({"text": "{{ certificate.Organization }}"});
    let mut told = Told::with(&server, server.port(), &more);
    let mut events = issued(2);
    events[0].certificate.push("Organization", Value::String("long ".repeat(1000)));
    parked(&told.tell(&events[0]), "octets, and the server takes 4000 at most");
    assert_eq!(told.tell(&events[1]), Outcome::Accept);
    assert_eq!(server.inbox().len(), 1);
}

#[test]
fn a_server_with_a_wrong_certificate_gets_nothing() {
    for flaw in [Flaw::OtherName, Flaw::OtherAuthority, Flaw::Expired] {
        for (security, word) in [(Security::StartTls, "starttls"), (Security::Tls, "tls")] {
            let server = Smtp::start(&Setup { flaw, security, ..Setup::default() });
            let mut told = Told::with(&server, server.port(), &json!({"security": word}));
            down(&told.tell(&issued(1)[0]), "certificate");
            assert_eq!(server.inbox(), []);
        }
    }
}

#[test]
fn a_pinned_certificate_is_trusted_and_no_other() {
    let server = Smtp::start(&Setup { flaw: Flaw::Expired, ..Setup::default() });
    let shown = std::process::Command::new("sh")
        .arg("-c")
        .arg(format!(
            "openssl s_client -starttls smtp -connect 127.0.0.1:{} </dev/null 2>/dev/null | \
             openssl x509 -noout -fingerprint -sha256",
            server.port()
        ))
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let pin = shown.trim().split_once('=').unwrap().1;
    let pinned = |pin: &str| json!({"ca_file": null, "server_certificate_sha256": [pin]});
    let mut told = Told::with(&server, server.port(), &pinned(pin));
    assert_eq!(told.tell(&issued(1)[0]), Outcome::Accept);
    let mut told = Told::with(&server, server.port(), &pinned(&"00".repeat(32)));
    down(&told.tell(&issued(1)[0]), "server_certificate_sha256");
    assert_eq!(server.inbox().len(), 1);
}

#[test]
fn a_wrong_password_is_retried_until_the_operator_mends_it() {
    let server = Smtp::start(&Setup::default());
    let folder = password_file("wrong");
    let mut host = Host::in_memory(MailExit::default()).unwrap();
    host.initialize(&settings(&server, server.port(), &folder, &json!({}))).unwrap();
    let event = &issued(1)[0];
    let outcome = host.notify(event).unwrap();
    down(&outcome, "does not take the user \"ca@example.test\": 535");
    assert!(!format!("{outcome:?}").contains("wrong"));
    std::fs::write(folder.path().join("password"), exeunt_testbed::smtp::PASSWORD).unwrap();
    assert_eq!(host.notify(event).unwrap(), Outcome::Accept);
}

#[test]
fn settings_that_cannot_be_are_refused_at_the_greeting() {
    let server = Smtp::start(&Setup::default());
    let folder = password_file("x");
    let refused = |more: &Json| {
        let mut host = Host::in_memory(MailExit::default()).unwrap();
        let settings = settings(&server, server.port(), &folder, more);
        host.initialize(&settings).unwrap_err().to_string()
    };
    for (more, words) in [
        (json!({"password_file": "/nowhere"}), "password_file: /nowhere"),
        (json!({"ca_file": "/nowhere"}), "ca_file: /nowhere"),
        (json!({"digest_s": 16}), "deadline_s of the [[exit]] has to be at least 32"),
        (json!({"colour": "red"}), "there is no setting \"colour\""),
    ] {
        assert!(refused(&more).contains(words), "{}", refused(&more));
    }
}

#[test]
fn the_same_event_again_has_the_same_message_id() {
    let server = Smtp::start(&Setup::default());
    let mut told = Told::with(&server, server.port(), &json!({}));
    let events = issued(2);
    for event in [&events[0], &events[1], &events[0]] {
        assert_eq!(told.tell(event), Outcome::Accept);
    }
    let mails = judged(&server.wait_for(3, LIMIT));
    assert_eq!(mails[0]["id"], mails[2]["id"]);
    assert_ne!(mails[0]["id"], mails[1]["id"]);
    assert_eq!(
        mails[0]["id"],
        json!("<00000000000000000000000000000001-1.under-test@example.test>")
    );
}
