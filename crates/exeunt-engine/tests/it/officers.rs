//! What officers decide: approve, refuse, change, and that a certificate is fetched after it.

use std::sync::{Arc, Mutex};

use exeunt_engine::{Engine, Entropy, OfficerError, Outcome, Submission, Submitted};
use exeunt_keys::{KeyError, random_bytes};
use exeunt_policy::Issuance;
use exeunt_testkit::foreign::{openssl_text, openssl_verify};
use exeunt_types::{
    Disposition, EventKind, EventSeq, OfficerExtension, RequestId, Serial, StatusCode,
};
use exeunt_x509::encode_pem;

use crate::support::{Ca, Habit, House, officer, plain_request, submission, template};

fn house() -> House {
    let mut house = House::new();
    let mut held = template("held");
    held.issuance = Issuance::Hold;
    let mut nameless = template("nameless");
    nameless.names_allowed = Vec::new();
    let mut short = template("short");
    short.validity = std::time::Duration::from_hours(24);
    house.templates = vec![template("tls"), held, nameless, short];
    house
}

/// A request that waits.
#[track_caller]
fn waiting(ca: &Ca) -> RequestId {
    let asked = Submission { template: Some("held".to_owned()), ..submission(plain_request()) };
    let Submitted { request, outcome } = ca.engine.submit(asked).unwrap();
    assert!(matches!(outcome, Outcome::Pending { .. }));
    request
}

/// The certificate, in PEM.
#[track_caller]
fn issued(result: Result<Submitted, OfficerError>) -> String {
    match result.unwrap().outcome {
        Outcome::Issued { certificate, .. } => encode_pem("CERTIFICATE", &certificate),
        other => panic!("{other:?}"),
    }
}

/// What an extension of an officer looks like.
fn extension(oid: &str, flags: u16, value: &[u8]) -> OfficerExtension {
    OfficerExtension { oid: oid.to_owned(), flags, value: value.to_vec() }
}

#[track_caller]
fn check_refused<T: std::fmt::Debug>(
    result: Result<T, OfficerError>,
    code: &str,
    hresult: Option<u32>,
) {
    let err = result.unwrap_err();
    assert_eq!((err.code(), err.hresult().map(|it| it.0)), (code, hresult), "{err}");
    assert!(!err.public_message().is_empty());
}

#[test]
fn a_request_that_waits_is_approved_and_becomes_a_certificate() {
    let ca = house().open();
    let request = waiting(&ca);
    let pem = issued(ca.engine.approve(request, &officer()));
    openssl_verify(&pem, &ca.root_pem()).unwrap();
    let row = ca.row(request);
    assert_eq!((row.disposition, row.status), (Disposition::Issued, StatusCode::OK));
    // The certificate is the requester's, whoever approved it.
    assert_eq!(
        (row.request.caller.as_str(), row.request.template.as_str()),
        ("local:1000", "held")
    );
    assert_eq!(ca.kinds(), ["pending", "issued"]);
    assert_eq!(ca.last_event().request.unwrap().id, request);
    assert_eq!(ca.audited(), ["local:0 request-approve request:1"]);
    // Once.
    for _ in 0..2 {
        check_refused(ca.engine.approve(request, &officer()), "wrong-state", Some(0x8009_4003));
    }
    assert_eq!(ca.counts(), (1, 1, 2));
}

#[test]
fn what_was_refused_is_taken_up_again_and_not_approved() {
    let ca = house().open();
    let request = waiting(&ca);
    let event = ca.engine.deny(request, &officer(), None).unwrap();
    ca.check_end(request, (Disposition::Denied, StatusCode::ADMIN_DENIED, EventKind::CERT_DENIED));
    assert_eq!(ca.last_event().seq, event);
    assert_eq!(ca.row(request).message, "Denied by local:0");
    assert!(ca.row(request).resolved.is_some());

    let err = ca.engine.approve(request, &officer()).unwrap_err();
    assert_eq!(err.to_string(), "request 1 is denied; this is possible while it is pending");
    issued(ca.engine.resubmit(request, &officer()));
    assert_eq!(ca.row(request).message, "Issued");
    assert_eq!(ca.kinds(), ["pending", "denied", "issued"]);
    let err = ca.engine.resubmit(request, &officer()).unwrap_err();
    let words = "request 1 is issued; this is possible while it is pending or denied";
    assert_eq!(err.to_string(), words);
    let audited = ["request-deny", "request-resubmit"].map(|it| format!("local:0 {it} request:1"));
    assert_eq!(ca.audited(), audited);
}

#[test]
fn a_reason_is_told_to_the_requester_and_is_plain_text() {
    let ca = house().open();
    let request = waiting(&ca);
    let long = "x".repeat(513);
    for reason in ["a\nb", "a\u{202e}b", long.as_str()] {
        check_refused(ca.engine.deny(request, &officer(), Some(reason)), "reason-invalid", None);
    }
    ca.engine.deny(request, &officer(), Some(" the host is not yours ")).unwrap();
    assert_eq!(ca.row(request).message, "Denied by local:0: the host is not yours");
    check_refused(ca.engine.deny(request, &officer(), None), "wrong-state", Some(0x8009_4003));
}

#[test]
fn what_nobody_asked_for_cannot_be_decided() {
    let ca = house().open();
    let (engine, nobody) = (&ca.engine, RequestId(7));
    let missing = Some(0x8009_4004);
    check_refused(engine.approve(nobody, &officer()), "request-unknown", missing);
    check_refused(engine.resubmit(nobody, &officer()), "request-unknown", missing);
    check_refused(engine.deny(nobody, &officer(), None), "request-unknown", missing);
    check_refused(engine.set_attributes(nobody, "a:b", &officer()), "request-unknown", missing);
    let any = extension("1.2.3", 0, &[5, 0]);
    check_refused(engine.set_extension(nobody, any, &officer()), "request-unknown", missing);
    check_refused(engine.retrieve(nobody), "request-unknown", missing);
    assert_eq!(ca.audited(), [""; 0]);
    assert_eq!(engine.store().head(), EventSeq(0));
}

#[test]
fn an_attribute_that_an_officer_sets_chooses_the_template() {
    let ca = house().open();
    let request = waiting(&ca);
    let set = |text| ca.engine.set_attributes(request, text, &officer());
    set("note:first\nCertificateTemplate:tls").unwrap();
    let all = set("NOTE:second\r\n Certificate-Template: short ").unwrap();
    let expected = [("note", "second"), ("CertificateTemplate", "short")];
    assert_eq!(all, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(ca.row(request).request.attributes, all);
    // Nobody is told of it before something comes of it.
    assert_eq!(ca.kinds(), ["pending"]);
    issued(ca.engine.approve(request, &officer()));
    assert_eq!(ca.row(request).request.template, "short");
    let certificate = ca.engine.store().certificate_of(request).unwrap().unwrap();
    assert_eq!(certificate.template, "short");
    // An event of before shows what was there then.
    let first = ca.event(EventSeq(1)).request.unwrap();
    assert_eq!(first.request.attributes, []);
    check_refused(set("a:b"), "wrong-state", Some(0x8009_4003));
    let audited = "local:0 request-attributes request:1 NOTE, CertificateTemplate";
    assert_eq!(ca.audited()[1], audited);
}

#[test]
fn attributes_that_break_a_rule_change_nothing() {
    let ca = house().open();
    let request = waiting(&ca);
    let set = |text: &str| ca.engine.set_attributes(request, text, &officer());
    check_refused(set("a:\u{202e}"), "attribute-invalid", None);
    let lines = |range: std::ops::Range<u32>| {
        let lines: Vec<String> = range.map(|it| format!("n{it}:v")).collect();
        lines.join("\n")
    };
    set(&lines(0..100)).unwrap();
    check_refused(set(&lines(100..200)), "attribute-too-large", None);
    assert_eq!(ca.row(request).request.attributes.len(), 100);
}

#[test]
fn a_policy_that_says_no_has_the_last_word() {
    let ca = house().open();
    let request = waiting(&ca);
    ca.engine.set_attributes(request, "CertificateTemplate:nameless", &officer()).unwrap();
    let outcome = ca.engine.approve(request, &officer()).unwrap().outcome;
    let Outcome::Denied { code, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(code, "san-not-allowed");
    let denied = (Disposition::Denied, StatusCode::BAD_REQUEST_SUBJECT, EventKind::CERT_DENIED);
    ca.check_end(request, denied);
    assert_eq!(ca.row(request).request.template, "nameless");
    assert_eq!(ca.kinds(), ["pending", "denied"]);
}

#[test]
fn officers_extensions_replace_add_and_take_out() {
    let ca = house().open();
    let request = waiting(&ca);
    let set = |it| ca.engine.set_extension(request, it, &officer()).unwrap();
    // extKeyUsage: codeSigning alone; certificatePolicies: 2.5.29.32.0; alternative names: dns:other.
    set(extension("2.5.29.37", 0, &[0x30, 0x0a, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 3]));
    set(extension("2.5.29.32", 1, &[0x30, 8, 0x30, 6, 6, 4, 0x55, 0x1d, 0x20, 0]));
    set(extension("2.5.29.17", 0, b"\x30\x0f\x82\x0dother.example"));
    let pem = issued(ca.engine.approve(request, &officer()));
    openssl_verify(&pem, &ca.root_pem()).unwrap();
    let text = openssl_text(&pem);
    for (there, words) in [
        (true, "Code Signing"),
        (false, "TLS Web Server"),
        (true, "X509v3 Certificate Policies: critical"),
        (true, "DNS:other.example"),
        (false, "DNS:host.example"),
    ] {
        assert_eq!(text.contains(words), there, "{words}: {text}");
    }
    let record = ca.engine.store().certificate_of(request).unwrap().unwrap().certificate;
    assert_eq!(record.subject_alternative_names, "dns:other.example");

    // Left out, whether or not there is a value.
    let request = waiting(&ca);
    for oid in ["2.5.29.37", "2.5.29.17"] {
        ca.engine.set_extension(request, extension(oid, 2, &[]), &officer()).unwrap();
    }
    let pem = issued(ca.engine.approve(request, &officer()));
    openssl_verify(&pem, &ca.root_pem()).unwrap();
    let text = openssl_text(&pem);
    assert!(!text.contains("Extended Key Usage") && !text.contains("Alternative Name"), "{text}");
    let record = ca.engine.store().certificate_of(request).unwrap().unwrap().certificate;
    assert_eq!(record.subject_alternative_names, "");
}

#[test]
fn what_is_the_engines_cannot_be_set() {
    let ca = house().open();
    let request = waiting(&ca);
    let invalid = Some(0x8007_0057);
    for oid in ["2.5.29.19", "2.5.29.35", "2.5.29.14", "2.5.29.31", "1.3.6.1.5.5.7.1.1"] {
        let set = ca.engine.set_extension(request, extension(oid, 0, &[0x30, 0]), &officer());
        check_refused(set, "extension-owned", invalid);
    }
    let set = ca.engine.set_extension(request, extension("1.2.3", 0, &[]), &officer());
    check_refused(set, "extension-empty", invalid);
    assert_eq!(ca.row(request).officer_extensions, []);
    assert_eq!(ca.audited(), [""; 0]);
}

#[test]
fn an_extension_that_breaks_a_rule_is_the_officers_to_mend() {
    let ca = house().open();
    let request = waiting(&ca);
    let broken = extension("2.5.29.37", 0, &[0x30, 0x80]);
    ca.engine.set_extension(request, broken, &officer()).unwrap();
    let err = ca.engine.approve(request, &officer()).unwrap_err();
    assert_eq!(err.code(), "officer-lint");
    assert!(err.public_message().contains("extension 2.5.29.37"), "{}", err.public_message());
    let row = ca.row(request);
    assert_eq!((row.disposition, row.serial), (Disposition::Pending, None));
    assert_eq!(ca.kinds(), ["pending"]);
    ca.engine.set_extension(request, extension("2.5.29.37", 2, &[]), &officer()).unwrap();
    issued(ca.engine.approve(request, &officer()));
}

/// Nothing that fails in the house decides on a request.
#[test]
fn a_key_that_fails_leaves_the_request_waiting() {
    let ca = house().open();
    let request = waiting(&ca);
    ca.entropy.next(&[[0x47; 16]]);
    ca.key.shall(Habit::Fail);
    let err = ca.engine.approve(request, &officer()).unwrap_err();
    assert_eq!(err.code(), "issue-sign");
    assert_eq!(ca.row(request).disposition, Disposition::Pending);
    assert_eq!(ca.kinds(), ["pending"]);
    let abandoned = ca.engine.store().abandoned_serials(None, 10).unwrap();
    assert_eq!(abandoned[0].serial, Serial::from_random([0x47; 16]));
    ca.key.shall(Habit::Sign);
    issued(ca.engine.approve(request, &officer()));
}

#[test]
fn a_panic_while_approving_leaves_the_request_as_it_was() {
    let ca = house().open();
    let denied = waiting(&ca);
    ca.engine.deny(denied, &officer(), None).unwrap();
    let pending = waiting(&ca);
    ca.key.shall(Habit::Panic);
    for request in [denied, pending] {
        let err = ca.engine.resubmit(request, &officer()).unwrap_err();
        assert_eq!(err.code(), "internal");
    }
    assert_eq!(ca.engine.store().counts().unwrap().abandoned_serials, 2);
    assert_eq!(ca.row(denied).disposition, Disposition::Denied);
    assert_eq!(ca.row(denied).message, "Denied by local:0");
    assert_eq!(ca.row(pending).disposition, Disposition::Pending);
    assert_eq!(ca.kinds(), ["pending", "denied", "pending"]);
    ca.key.shall(Habit::Sign);
    issued(ca.engine.resubmit(denied, &officer()));
    issued(ca.engine.approve(pending, &officer()));
}

#[test]
fn two_officers_do_not_issue_one_request_twice() {
    let ca = house().open();
    let request = waiting(&ca);
    let neighbour = house().open_with(ca.engine.store().clone());
    ca.key.meanwhile(Box::new(move || {
        let by = officer();
        for result in
            [neighbour.engine.approve(request, &by), neighbour.engine.resubmit(request, &by)]
        {
            let err = result.unwrap_err();
            assert!(err.to_string().starts_with("request 1 is active;"), "{err}");
        }
        check_refused(neighbour.engine.deny(request, &by, None), "wrong-state", Some(0x8009_4003));
    }));
    issued(ca.engine.approve(request, &officer()));
    assert_eq!(ca.counts(), (1, 1, 2));
}

/// Something else happens when a serial number is drawn: after the row was read, before it is written.
struct Meanwhile(Mutex<Vec<Box<dyn FnOnce() + Send>>>);

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Meanwhile")
    }
}

impl Entropy for Meanwhile {
    fn serial_octets(&self) -> Result<[u8; 16], KeyError> {
        let act = self.0.lock().unwrap().pop();
        if let Some(act) = act {
            act();
        }
        random_bytes()
    }
}

/// A second engine on the same store, in which these happen, the last one first.
fn interrupted(house: &House, ca: &Ca, acts: Vec<Box<dyn FnOnce() + Send>>) -> Engine {
    let entropy = Box::new(Meanwhile(Mutex::new(acts)));
    house.try_open(ca.engine.store().clone(), entropy).unwrap()
}

#[test]
fn a_certificate_has_what_another_officer_set_while_it_was_approved() {
    let house = house();
    let ca = Arc::new(house.open());
    let set = |request, value: &'static [u8]| -> Box<dyn FnOnce() + Send> {
        let ca = Arc::clone(&ca);
        Box::new(move || {
            let it = extension("2.5.29.17", 0, value);
            ca.engine.set_extension(request, it, &officer()).unwrap();
        })
    };
    let names: [&[u8]; 2] = [b"\x30\x0f\x82\x0dother.example", b"\x30\x0f\x82\x0dthird.example"];
    let request = waiting(&ca);
    let engine = interrupted(&house, &ca, vec![set(request, names[0])]);
    let text = openssl_text(&issued(engine.approve(request, &officer())));
    assert!(text.contains("DNS:other.example") && !text.contains("DNS:host.example"), "{text}");
    assert_eq!(ca.kinds(), ["pending", "issued"]);
    let audited = ca.audited();
    assert!(audited[0].contains("request-extension") && audited.len() == 2, "{audited:?}");

    // Who is disturbed again and again is told so. There was no event between the two.
    let request = waiting(&ca);
    ca.engine.set_extension(request, extension("1.2.3", 0, &[5, 0]), &officer()).unwrap();
    let acts = vec![set(request, names[1]), set(request, names[0])];
    let engine = interrupted(&house, &ca, acts);
    check_refused(engine.approve(request, &officer()), "changed-meanwhile", None);
    assert_eq!(ca.row(request).disposition, Disposition::Pending);
    let text = openssl_text(&issued(engine.approve(request, &officer())));
    assert!(text.contains("DNS:third.example"), "{text}");
}

#[test]
fn a_denial_that_came_while_a_request_was_resubmitted_stands() {
    let house = house();
    let ca = Arc::new(house.open());
    let request = waiting(&ca);
    let deny = Arc::clone(&ca);
    let act = Box::new(move || {
        deny.engine.deny(request, &officer(), None).unwrap();
    });
    let engine = interrupted(&house, &ca, vec![act]);
    let err = engine.resubmit(request, &officer()).unwrap_err();
    assert_eq!(err.to_string(), "request 1 is denied; this is possible while it is pending");
    assert_eq!(ca.row(request).disposition, Disposition::Denied);
    assert_eq!(ca.kinds(), ["pending", "denied"]);
    assert_eq!(ca.audited(), ["local:0 request-deny request:1"]);
    // Whoever has seen the denial may.
    issued(engine.resubmit(request, &officer()));
}

#[test]
fn a_serial_that_was_given_out_before_is_drawn_again() {
    let ca = house().open();
    ca.entropy.next(&[[0x48; 16]]);
    ca.issue(plain_request());
    let request = waiting(&ca);
    ca.entropy.next(&[[0x48; 16], [0x49; 16]]);
    issued(ca.engine.approve(request, &officer()));
    assert_eq!(ca.row(request).serial, Some(Serial::from_random([0x49; 16])));
}

#[test]
fn fetching_what_had_waited_is_an_event_each_time() {
    let ca = house().open();
    let request = waiting(&ca);
    let retrieved = ca.engine.retrieve(request).unwrap();
    assert_eq!((retrieved.certificate, retrieved.event), (None, None));
    assert_eq!(retrieved.record.disposition, Disposition::Pending);
    issued(ca.engine.approve(request, &officer()));
    for seq in [3, 4] {
        let retrieved = ca.engine.retrieve(request).unwrap();
        assert_eq!(retrieved.event, Some(EventSeq(seq)));
        assert_eq!(retrieved.certificate.unwrap().request, request);
    }
    // Nobody waited for that one.
    let at_once = ca.issue(plain_request());
    let retrieved = ca.engine.retrieve(at_once.request).unwrap();
    assert_eq!((retrieved.event, retrieved.certificate.is_some()), (None, true));
    assert_eq!(ca.kinds(), ["pending", "issued", "retrieve-pending", "retrieve-pending", "issued"]);
}
