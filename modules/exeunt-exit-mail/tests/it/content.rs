//! What stands in the mails, as Python reads it.

use crate::fixture::{LIMIT, Told, issued, judged};
use exeunt_module_kit::{Event, Outcome, Properties, Value, exit_event};
use exeunt_testbed::smtp::{Mail, Setup, Smtp};
use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};
use serde_json::{Value as Json, json};

/// Tells the events and gives the mails, both as they came and as they are read.
fn sent(more: &Json, events: &[Event]) -> (Vec<Mail>, Vec<Json>) {
    let server = Smtp::start(&Setup::default());
    let mut told = Told::with(&server, server.port(), more);
    for outcome in told.tell_all(events) {
        assert_eq!(outcome, Outcome::Accept);
    }
    let mails = server.wait_for(events.len(), LIMIT);
    told.end();
    let judged = judged(&mails);
    (mails, judged)
}

fn named(common_name: &str) -> Event {
    let mut event = issued(1).remove(0);
    event.certificate.set("CommonName", Some(Value::String(common_name.to_owned())));
    event
}

#[test]
fn every_event_has_a_mail_of_its_own_words() {
    let mut events = Vec::new();
    for (seq, (bit, _)) in (1..).zip(exit_event::WORDS) {
        let mut event = issued(seq).pop().unwrap();
        event.event = bit;
        let detail = [("ExpiresWithinDays", Value::String("30".to_owned()))];
        event.detail = Properties::from_iter(detail);
        events.push(event);
    }
    let words: Vec<&str> = exit_event::WORDS.iter().map(|(_, word)| *word).collect();
    let (_, mails) = sent(&json!({"events": words}), &events);
    for (_, word) in exit_event::WORDS {
        let mail = mails.iter().find(|it| it["event"].as_str().unwrap().ends_with(word)).unwrap();
        assert!(mail["subject"].as_str().unwrap().starts_with("[Test CA] "), "{mail}");
        assert!(
            mail["parts"][0]["text"].as_str().unwrap().contains(&format!(" {word}, ")),
            "{mail}"
        );
    }
}

#[test]
fn words_of_every_script_arrive_in_headers_text_and_html() {
    let name = "Zertifikat für Łódź 東京 🔐";
    let more = json!({
        "from": "\"Prüfstelle, Köln\" <ca@example.test>",
        "reply_to": "Hotline <hotline@example.test>",
        "cc": "Zoë <zoe@example.test>",
        "bcc": "hidden@example.test",
        "subject": "Neu: {{ who }}",
        "text": "Guten Tag,\n.\n..\nFrom here: {{ who }} & <b>\n{{ 'x' * 3000 }}\n",
        "html": "<p>{{ who }} &amp; {{ certificate.SerialNumber }}</p>",
    });
    let (mails, read) = sent(&more, &[named(name)]);
    let mail = &read[0];
    assert_eq!(mail["subject"], json!(format!("Neu: {name}")));
    assert_eq!(mail["from"], json!([{"name": "Prüfstelle, Köln", "address": "ca@example.test"}]));
    assert_eq!(mail["cc"], json!([{"name": "Zoë", "address": "zoe@example.test"}]));
    assert_eq!(mail["reply_to"], json!([{"name": "Hotline", "address": "hotline@example.test"}]));
    assert_eq!(mails[0].to, ["ops@example.test", "zoe@example.test", "hidden@example.test"]);
    assert!(!mails[0].text.contains("hidden"));
    let text = format!("Guten Tag,\n.\n..\nFrom here: {name} & <b>\n{}", "x".repeat(3000));
    assert_eq!(mail["parts"][0]["text"].as_str().unwrap().trim_end(), text);
    assert_eq!(mail["parts"][1]["type"], "text/html");
    let html = mail["parts"][1]["text"].as_str().unwrap();
    assert!(html.starts_with(&format!("<p>{name} &amp; 40")), "{html}");
}

#[test]
fn the_certificate_goes_along_as_it_is() {
    let der: Vec<u8> = (0..=255).cycle().take(1500).collect();
    let mut event = issued(1).remove(0);
    event.certificate.set("RawCertificate", Some(Value::Binary(der.clone())));
    let serial = format!("40{:030x}", 1);

    let (_, mails) = sent(&json!({"attach": "der"}), std::slice::from_ref(&event));
    let part = &mails[0]["parts"][1];
    let hex = der.iter().fold(String::new(), |text, it| format!("{text}{it:02x}"));
    assert_eq!((&part["type"], &part["octets"]), (&json!("application/pkix-cert"), &json!(hex)));
    assert_eq!(part["file"], json!(format!("{serial}.cer")));

    // Also where it could be mistaken for a text.
    let mut short = issued(1).remove(0);
    short.certificate.set("RawCertificate", Some(Value::Binary(vec![0x30, 0, 10, 13])));
    let (_, mails) = sent(&json!({"attach": "der"}), &[short]);
    assert_eq!(mails[0]["parts"][1]["octets"], "30000a0d");

    let (_, mails) = sent(&json!({"attach": "pem"}), &[event]);
    let part = &mails[0]["parts"][1];
    assert_eq!(part["file"], json!(format!("{serial}.pem")));
    let octets = part["octets"].as_str().unwrap();
    let armour = "-----BEGIN CERTIFICATE-----".bytes();
    let armour = armour.fold(String::new(), |text, it| format!("{text}{it:02x}"));
    assert!(octets.starts_with(&armour), "{part}");
}

#[test]
fn addresses_of_every_script_are_written_to_where_the_server_takes_them() {
    let more = json!({"to": ["Zoë <zoë@exämple.test>"], "from": "ca@example.test"});
    let server = Smtp::start(&Setup::default());
    let mut told = Told::with(&server, server.port(), &more);
    assert_eq!(told.tell(&issued(1)[0]), Outcome::Accept);
    assert_eq!(server.wait_for(1, LIMIT)[0].to, ["zoë@exämple.test"]);
}

#[test]
fn imported_settings_say_what_they_said() {
    let more = json!({
        "events": null, "to": null, "from": null,
        "EventFilter": 1, "SMTPAuthenticate": 1,
        "requester_domains": ["example.test"],
        "Issued": {
            "From": "ca@example.test", "To": "", "Cc": "ops@example.test;audit@example.test",
            "TitleFormat": "Your certificate request number %1 was approved",
            "TitleArg": ["Request.RequestID"],
            "BodyFormat": ["Serial %1", "", "UPN: %2", "100 %"],
            "BodyArg": ["SerialNumber", "UPN"],
        },
    });
    let mut event = named("www.example.test");
    event.certificate.push("EMail", Value::String("alice@example.test".to_owned()));
    let (mails, read) = sent(&more, &[event]);
    assert_eq!(mails[0].to, ["alice@example.test", "ops@example.test", "audit@example.test"]);
    assert_eq!(read[0]["subject"], "Your certificate request number 1 was approved");
    let text = format!("Serial 40{:030x}\n\nUPN: ???\n100 %", 1);
    assert_eq!(read[0]["parts"][0]["text"].as_str().unwrap().trim_end(), text);
}

#[test]
fn nobody_to_write_to_is_skipped_parked_or_told_to_somebody_else() {
    let server = Smtp::start(&Setup::default());
    let requester = |more: &Json| {
        let mut all = json!({"to": "{requester}", "requester_domains": ["example.test"]});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Told::with(&server, server.port(), &all)
    };
    let mut stranger = named("x");
    stranger.certificate.push("EMail", Value::String("mallory@elsewhere.test".to_owned()));
    for event in [&named("x"), &stranger] {
        assert_eq!(requester(&json!({})).tell(event), Outcome::Skip);
        let outcome = requester(&json!({"nobody": "park"})).tell(event);
        assert!(matches!(outcome, Outcome::Park { .. }), "{outcome:?}");
    }
    assert_eq!(server.inbox(), []);
    let mut told = requester(&json!({"fallback_to": ["helpdesk@example.test"]}));
    assert_eq!(told.tell(&stranger), Outcome::Accept);
    assert_eq!(server.wait_for(1, LIMIT)[0].to, ["helpdesk@example.test"]);
}

/// What requesters might write to have a header, a recipient or a mail of their own.
#[test]
fn whatever_requesters_write_is_text() {
    let mut values: Vec<String> = [
        "a\r\nBcc: evil@example.test",
        "a\nSubject: other\n\nbody",
        "a\r\n.\r\nMAIL FROM:<x@example.test>\r\n",
        "=?utf-8?q?Bcc=3A?=\u{2028}evil@example.test",
        "\"><script>alert(1)</script>",
        "\u{0}\u{85}\u{b}\u{c}\u{1b}[31m\u{202e}",
        "{{ 7 * 7 }} %1 {% raw %}",
        "evil@example.test>\r\nRCPT TO:<evil@example.test",
        "",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut runner = TestRunner::deterministic();
    let strategy = "(\\PC|[\\x00-\\x7f]|\r\n|[<>@,;:\"]){0,200}";
    let strategy = proptest::string::string_regex(strategy).unwrap();
    values.extend((0..150).map(|_| strategy.new_tree(&mut runner).unwrap().current()));

    let events: Vec<Event> = (1..)
        .zip(&values)
        .map(|(seq, value)| {
            let mut event = issued(seq).pop().unwrap();
            let value = || Value::String(value.clone());
            event.certificate.set("CommonName", Some(value()));
            event.certificate.push("EMail", value());
            event.certificate.set("SerialNumber", Some(value()));
            event.request.push("EMail", value());
            event.attributes = vec![("Owner".to_owned(), values[0].clone())];
            event
        })
        .collect();
    let more = json!({
        "to": ["ops@example.test", "{requester}", "{Request.EMail}"],
        "requester_domains": ["*"], "attach": "pem", "connections": 4,
        "subject": "{{ who }}", "text": "{{ who }}\n", "html": "<p>{{ who }}</p>",
    });
    let (mails, read) = sent(&more, &events);
    assert_eq!(mails.len(), values.len());
    for (mail, read) in mails.iter().zip(&read) {
        assert_eq!(mail.from, "ca@example.test");
        for address in &mail.to {
            assert!(address.bytes().all(|it| it.is_ascii_graphic()), "{address:?}");
            assert!(!address.contains(['<', '>', ',', ';', ' ']), "{address:?}");
        }
        let mut names: Vec<&str> =
            read["names"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        names.sort_unstable();
        let expected = [
            "Auto-Submitted",
            "Content-Type",
            "Date",
            "From",
            "MIME-Version",
            "Message-ID",
            "Subject",
            "To",
            "X-Exeunt-Event",
        ];
        assert_eq!(names, expected, "{read}");
        assert_eq!(read["parts"].as_array().unwrap().len(), 3, "{read}");
        let html = read["parts"][1]["text"].as_str().unwrap();
        assert!(!html.contains("<script"), "{html}");
    }
}
