//! What is read, what is refused, and in which words.

use super::*;
use exeunt_module_kit::{Event, Value};
use expect_test::{Expect, expect};
use serde_json::json;

fn parse(settings: &Json) -> Result<Settings, String> {
    Settings::read(settings.as_object().unwrap())
}

/// With what no set of settings may lack.
fn with(more: &Json) -> Json {
    let mut settings = json!({
        "server": "mail.example.com", "from": "ca@example.com", "to": "ops@example.com",
        "events": ["issued"],
    });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    settings
}

#[track_caller]
fn check_refused(settings: &Json, expect: &Expect) {
    expect.assert_eq(&parse(settings).unwrap_err());
}

#[test]
fn a_server_a_sender_a_recipient_and_an_event_are_enough() {
    let settings = parse(&with(&json!({}))).unwrap();
    assert_eq!((settings.server.port, settings.server.security), (587, Security::StartTls));
    assert_eq!(settings.events, exit_event::CERT_ISSUED);
    assert_eq!(parse(&with(&json!({"security": "tls"}))).unwrap().server.port, 465);
    assert_eq!(parse(&with(&json!({"security": "none"}))).unwrap().server.port, 25);
    assert_eq!(parse(&with(&json!({"port": 2525}))).unwrap().server.port, 2525);
}

#[test]
fn the_original_s_names_are_understood() {
    let settings = parse(&json!({
        "SMTPServer": "mail.example.com",
        "SMTPAuthenticate": 0,
        "EventFilter": 0x0000_002d,
        "requester_domains": ["example.com"],
        "Issued": {
            "From": "ca@example.com", "To": "", "Cc": "ops@example.com",
            "TitleFormat": "Your certificate %1 was issued.",
            "TitleArg": ["Request.RequestID"],
            "BodyFormat": ["Request %1", "", "by %2"],
            "BodyArg": ["Request.RequestID", "Request.RequesterName"],
        },
        "Denied": {"From": "ca@example.com", "To": "ops@example.com"},
        "Revoked": {"From": "ca@example.com", "To": "ops@example.com"},
        "CRLIssued": {"From": "ca@example.com", "To": "ops@example.com"},
        "Templates": {"Default": {"Issued": {"TitleFormat": "Default %1\\nand so on"}},
                      "User": {"Issued": {"TitleFormat": "User"}}},
    }))
    .unwrap();
    assert_eq!(settings.events, 0x2d);
    let mut event = Event { event: exit_event::CERT_ISSUED, context: 9, ..Event::default() };
    event.request.push("RequestID", Value::Long(9));
    let made = |event: &Event| {
        let rule = settings.rules.of(event).unwrap();
        let about = crate::template::About {
            event: std::sync::Arc::new(event.clone()),
            ca_name: "".into(),
        };
        let text = |it: &levels::Text| it.made(&settings.templates, &about).unwrap();
        (text(&rule.subject), text(&rule.text), rule.cc.len())
    };
    let body = "Request 9\n\nby ???".to_owned();
    assert_eq!(made(&event), ("Default 9 and so on".to_owned(), body.clone(), 1));
    event.certificate.push("CertificateTemplate", Value::String("USER".to_owned()));
    assert_eq!(made(&event), ("User".to_owned(), body, 1));
}

#[test]
fn every_known_setting_is_read_and_its_default_is_what_counts_without_it() {
    for info in known() {
        let Some(default) = info.default else { continue };
        let bare = parse(&with(&json!({}))).unwrap();
        let said = parse(&with(&json!({info.name.clone(): default}))).unwrap();
        let shown = |it: &Settings| {
            format!("{:?} {} {:?} {:?}", it.server, it.connections, it.nobody, it.refused_recipient)
        };
        assert_eq!(shown(&said), shown(&bare), "{}", info.name);
    }
    let names: Vec<String> = known().into_iter().map(|it| it.name).collect();
    let settings = in_our_names(&Map::new()).unwrap();
    assert!(settings.is_empty());
    for name in TOP.iter().copied().chain(levels::NAMES) {
        assert!(names.iter().any(|it| it == name), "{name} is not told of");
    }
}

#[test]
fn a_setting_can_be_looked_at_alone() {
    let list = |text: &str| Json::from(vec![text]);
    for (name, value) in [
        ("server", "mail.example.org".into()),
        ("SMTPServer", "mail.example.org".into()),
        ("port", 2525.into()),
        ("user", "ca".into()),
        ("password_file", "/etc/exeunt/mail".into()),
        ("SMTPAuthenticate", 1.into()),
        ("EventFilter", 1.into()),
        ("html", "<p>{{ who }}</p>".into()),
        ("BodyFormat", list("%1 and %7")),
        ("digest_events_max", 7.into()),
        ("issued", json!({"send": false})),
        ("templates", json!({"User": {"issued": {"to": "{requester}"}}})),
    ] {
        check_alone(name, &value).unwrap_or_else(|why| panic!("{name}: {why}"));
    }
    for (name, value) in [("port", json!(0)), ("folder", json!("x")), ("html", json!("{{ x }}"))] {
        assert!(check_alone(name, &value).is_err(), "{name}");
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    check_refused(&json!({}), &expect!["server is missing: say where the mail server is"]);
    check_refused(
        &json!({"server": "mail.example.com"}),
        &expect!["events is missing: say which events to mail about"],
    );
    check_refused(
        &json!({"server": "mail.example.com", "events": "issued", "to": "a@example.com"}),
        &expect!["issued has no sender: set from"],
    );
    check_refused(
        &json!({"server": "m.example.com", "events": "startup", "from": "a@example.com"}),
        &expect!["startup has no recipient: set to"],
    );
    check_refused(
        &with(&json!({"events": "startup", "Startup": {"From": "", "To": "", "Cc": ""}})),
        &expect!["startup is about no requester, and has no other recipient: set to"],
    );
    check_refused(
        &with(&json!({"to": ["{requester}"]})),
        &expect![
            "issued writes to an address that a requester can choose: set requester_domains to the domains that are allowed"
        ],
    );
    check_refused(
        &with(&json!({"issued": {"bcc": "{UPN}"}})),
        &expect![
            "issued writes to an address that a requester can choose: set requester_domains to the domains that are allowed"
        ],
    );
    check_refused(
        &with(&json!({"security": "none", "user": "a", "password_file": "b"})),
        &expect![[
            r#"security is "none", and a password is not sent over a line that others can read; take user and password_file out, or set security"#
        ]],
    );
    check_refused(
        &with(&json!({"SMTPAuthenticate": 2})),
        &expect![
            "SMTPAuthenticate is 2, which is NTLM and not spoken here: set 1 with user and password_file, or 0"
        ],
    );
    check_refused(
        &with(&json!({"BodyFormat": "%1 %2", "BodyArg": ["UPN"]})),
        &expect!["BodyFormat of issued: it names %2, and there are 1 arguments"],
    );
    check_refused(
        &with(&json!({"subject": "{{ whom }}"})),
        &expect!["subject of issued: undefined value in line 1"],
    );
    check_refused(
        &with(&json!({"From": "b@example.com", "FROM": "c@example.com"})),
        &expect![[r#""From" is there twice, once as "from""#]],
    );
    check_refused(
        &with(&json!({"issued": {"mailto": "a"}})),
        &expect![[
            r#"there is no setting "issued.mailto"; there are BodyArg, BodyFormat, TitleArg, TitleFormat, attach, bcc, cc, from, html, reply_to, send, subject, text and to"#
        ]],
    );
    check_refused(
        &with(&json!({"html": "<p>"})),
        &expect!["html needs text beside it, for those who read plain text"],
    );
    check_refused(
        &with(&json!({"client_certificate_file": "a", "client_key_file": "b"})),
        &expect![
            "client_certificate_file: a mail server is not shown a certificate; use user and password_file"
        ],
    );
    check_refused(
        &with(&json!({"EventFilter": 0x100, "events": null})),
        &expect!["events has to be a list of texts"],
    );
    check_refused(&with(&json!({"hello": "a b"})), &expect![[r#"hello "a b" is no host name"#]]);
    check_refused(
        &with(&json!({"from": "a@b\r\nBcc: c@example.com"})),
        &expect![[r#"from: "a@b\r\nBcc: c@example.com" is no mail address"#]],
    );
}

#[test]
fn nothing_is_sent_where_send_is_false() {
    let settings = parse(&with(&json!({"templates": {"Machine": {"issued": {"send": false}}}})));
    let settings = settings.unwrap();
    let mut event = Event { event: exit_event::CERT_ISSUED, context: 9, ..Event::default() };
    assert!(settings.rules.of(&event).is_some());
    event.certificate.push("CertificateTemplate", Value::String("Machine".to_owned()));
    assert!(settings.rules.of(&event).is_none());
}

#[test]
fn a_digest_fits_into_the_deadline() {
    let settings = parse(&with(&json!({"digest_s": 60, "security": "none"}))).unwrap();
    let err = settings.check_surroundings(Duration::from_secs(30)).unwrap_err();
    assert!(err.contains("at least 120"), "{err}");
    settings.check_surroundings(Duration::from_mins(2)).unwrap();
}
