//! What a template takes from a request, and what it makes of it.

use std::net::{IpAddr, Ipv4Addr};

use exeunt_engine::{Decision, Door};
use exeunt_policy::{Callers, Issuance, NameKind, Template, TemplatePolicy, UsageName};
use exeunt_testkit::foreign::ml_dsa_sign;
use exeunt_types::{SignatureScheme, StatusCode};
use exeunt_x509::{
    Extension, GeneralName, KeyUsage, Name, assemble_request, build_request_info, parse_request,
};

use crate::support::{ask_anew, ask_through, check_refused, decide, plan, request, template};

fn dns(name: &str) -> GeneralName {
    GeneralName::Dns(name.to_owned())
}

#[test]
fn a_plan_says_what_the_template_and_the_request_say() {
    let asked = request("ec:P-256", "/O=Exeunt/CN=host.example", &["a.example", "IP:192.0.2.1"]);
    let made = plan(decide(&template("tls"), &asked));
    assert_eq!(made.template, "tls");
    assert_eq!(&made.subject, asked.subject());
    let address = GeneralName::Ip(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    assert_eq!(made.subject_alternative_names, [dns("a.example"), address]);
    assert_eq!(made.extended_key_usage, [UsageName::parse("1.3.6.1.5.5.7.3.1").unwrap()]);
    assert_eq!((made.validity.as_secs(), made.backdate.as_secs()), (90 * 24 * 3600, 600));
    // The same question has the same answer.
    assert_eq!(made, plan(decide(&template("tls"), &asked)));
}

#[test]
fn a_subject_attribute_that_the_template_does_not_take_refuses_the_request() {
    let subject = StatusCode::BAD_REQUEST_SUBJECT;
    for (asked, oid) in [
        ("/C=DE/CN=host.example", "2.5.4.6"),
        ("/CN=host.example/emailAddress=a@host.example", "1.2.840.113549.1.9.1"),
        ("/CN=host.example+OU=x", "2.5.4.11"),
    ] {
        let asked = request("ec:P-256", asked, &[]);
        check_refused(decide(&template("tls"), &asked), "tls", "subject-not-allowed", subject, oid);
    }
    let nothing = Template { subject_allowed: Vec::new(), ..template("tls") };
    let asked = request("ec:P-256", "/CN=host.example", &["host.example"]);
    check_refused(decide(&nothing, &asked), "tls", "subject-not-allowed", subject, "2.5.4.3");
    plan(decide(&nothing, &request("ec:P-256", "/", &["host.example"])));
}

#[test]
fn each_kind_of_alternative_name_must_be_allowed() {
    let subject = StatusCode::BAD_REQUEST_SUBJECT;
    let of = [
        (NameKind::Dns, "host.example", "dns:host.example"),
        (NameKind::Ip, "IP:2001:db8::1", "ip:2001:db8::1"),
        (NameKind::Email, "email:a@host.example", "email:a@host.example"),
        (NameKind::Uri, "URI:urn:a:b", "uri:urn:a:b"),
    ];
    for (kind, name, text) in of {
        let asked = request("ec:P-256", "/CN=a", &[name]);
        let alone = Template { names_allowed: vec![kind], ..template("tls") };
        assert_eq!(plan(decide(&alone, &asked)).subject_alternative_names.len(), 1);
        let others = of.map(|(it, ..)| it).into_iter().filter(|it| *it != kind).collect();
        let others = Template { names_allowed: others, ..template("tls") };
        check_refused(decide(&others, &asked), "tls", "san-not-allowed", subject, text);
    }
    // One that is not allowed spoils all.
    let mixed = request("ec:P-256", "/CN=a", &["host.example", "URI:urn:a:b"]);
    check_refused(
        decide(&template("tls"), &mixed),
        "tls",
        "san-not-allowed",
        subject,
        "uri:urn:a:b",
    );
}

#[test]
fn other_forms_of_names_are_never_allowed() {
    let all = vec![NameKind::Dns, NameKind::Ip, NameKind::Email, NameKind::Uri];
    let all = Template { names_allowed: all, ..template("tls") };
    for name in ["otherName:1.3.6.1.4.1.311.20.2.3;UTF8:admin@host.example", "RID:1.2.3"] {
        let asked = request("ec:P-256", "/CN=a", &[name]);
        let status = StatusCode::BAD_REQUEST_SUBJECT;
        check_refused(decide(&all, &asked), "tls", "san-not-allowed", status, "tls");
    }
}

#[test]
fn a_request_without_any_name_is_refused() {
    let asked = request("ec:P-256", "/", &[]);
    let status = StatusCode(0x8009_4001);
    check_refused(decide(&template("tls"), &asked), "tls", "request-nameless", status, "neither");
}

#[test]
fn a_local_template_is_for_callers_on_this_machine() {
    let asked = request("ec:P-256", "/CN=host.example", &[]);
    for (callers, door, is_let_in) in [
        (Callers::Local, Door::Local, true),
        (Callers::Local, Door::Loopback, true),
        (Callers::Local, Door::Remote, false),
        (Callers::Authenticated, Door::Remote, true),
    ] {
        let only = Template { callers, ..template("tls") };
        let policy = TemplatePolicy::new(vec![only], None).unwrap();
        let decision = ask_through(door, &policy, None, &asked);
        if is_let_in {
            plan(decision);
        } else {
            check_refused(decision, "tls", "caller-not-local", StatusCode::ENROLL_DENIED, "tls");
        }
    }
}

/// Who may not ask at all learns nothing about what would have been wrong besides.
#[test]
fn the_caller_is_looked_at_before_the_request() {
    let asked = request("ec:P-256", "/C=DE/CN=host.example", &["URI:urn:a:b"]);
    let policy = TemplatePolicy::new(vec![template("tls")], None).unwrap();
    let decision = ask_through(Door::Remote, &policy, None, &asked);
    check_refused(decision, "tls", "caller-not-local", StatusCode::ENROLL_DENIED, "tls");
}

#[test]
fn what_is_held_is_what_would_have_been_issued() {
    let held = Template { issuance: Issuance::Hold, ..template("tls") };
    let good = request("ec:P-256", "/CN=host.example", &[]);
    let Decision::Hold { template: named, message } = decide(&held, &good) else { panic!() };
    assert_eq!(named, "tls");
    assert!(!message.is_empty());
    let bad = request("ec:P-256", "/C=DE", &[]);
    let status = StatusCode::BAD_REQUEST_SUBJECT;
    check_refused(decide(&held, &bad), "tls", "subject-not-allowed", status, "2.5.4.6");
}

/// An officer has seen it; everything else is asked of it again.
#[test]
fn what_an_officer_takes_up_again_is_not_held_once_more() {
    let held = Template { issuance: Issuance::Hold, ..template("tls") };
    let policy = TemplatePolicy::new(vec![held.clone()], None).unwrap();
    let again = |asked| ask_anew(false, Door::Local, &policy, None, asked);
    let good = request("ec:P-256", "/CN=host.example", &[]);
    assert_eq!(plan(again(&good)), plan(decide(&template("tls"), &good)));
    let bad = request("ec:P-256", "/C=DE", &[]);
    let status = StatusCode::BAD_REQUEST_SUBJECT;
    check_refused(again(&bad), "tls", "subject-not-allowed", status, "2.5.4.6");
}

#[test]
fn a_common_name_becomes_a_dns_name_where_it_is_one_and_is_asked_for() {
    let on = template("tls");
    let off = Template { dns_from_common_name: false, ..template("tls") };
    let names = |template: &Template, subject: &str, san: &[&str]| {
        plan(decide(template, &request("ec:P-256", subject, san))).subject_alternative_names
    };
    assert_eq!(names(&on, "/CN=host.example", &[]), [dns("host.example")]);
    assert_eq!(names(&off, "/CN=host.example", &[]), []);
    // Names that are asked for are all there is.
    assert_eq!(names(&on, "/CN=host.example", &["a.example"]), [dns("a.example")]);
    // Of several, the most specific one.
    assert_eq!(names(&on, "/CN=a.example/CN=b.example", &[]), [dns("b.example")]);
    for no_host in [
        "Exeunt GmbH",
        "192.0.2.1",
        "2001:db8::1",
        "a_b.example",
        "host.example.",
        "bücher.example",
    ] {
        assert_eq!(names(&on, &format!("/CN={no_host}"), &[]), [], "{no_host}");
    }
    // No common name, no DNS name.
    assert_eq!(names(&on, "/O=host.example", &[]), []);
}

#[test]
fn usages_that_only_rsa_keys_have_are_left_out_for_all_others() {
    let every = KeyUsage::DIGITAL_SIGNATURE
        | KeyUsage::CONTENT_COMMITMENT
        | KeyUsage::KEY_ENCIPHERMENT
        | KeyUsage::DATA_ENCIPHERMENT;
    let all = Template { key_usage: every, ..template("tls") };
    let signing = KeyUsage::DIGITAL_SIGNATURE | KeyUsage::CONTENT_COMMITMENT;
    for (key, expected) in [
        ("rsa:2048", every),
        ("rsa:3072", every),
        ("ec:P-256", signing),
        ("ec:P-384", signing),
        ("ec:P-521", signing),
        ("ed25519", signing),
    ] {
        let made = plan(decide(&all, &request(key, "/CN=host.example", &[])));
        assert_eq!(made.key_usage, expected, "{key}");
    }
    for (parameter_set, scheme) in [
        (44, SignatureScheme::MlDsa44),
        (65, SignatureScheme::MlDsa65),
        (87, SignatureScheme::MlDsa87),
    ] {
        let made = ml_dsa_sign(parameter_set, b"");
        let subject = Name::parse("CN=host.example").unwrap();
        let info = build_request_info(&subject, &made.spki_der, &[]).unwrap();
        let asked = parse_request(&assemble_request(&info, scheme, &made.signature)).unwrap();
        assert_eq!(plan(decide(&all, &asked)).key_usage, signing, "ml-dsa-{parameter_set}");
    }
}

/// RFC 8813, section 3, and RFC 9295, section 3, forbid the bit for these keys.
#[test]
fn a_key_that_can_do_nothing_of_what_the_template_is_for_is_refused() {
    let enciphers = Template { key_usage: KeyUsage::KEY_ENCIPHERMENT, ..template("enciphers") };
    let asked = |key| decide(&enciphers, &request(key, "/CN=host.example", &[]));
    assert_eq!(plan(asked("rsa:2048")).key_usage, KeyUsage::KEY_ENCIPHERMENT);
    for (key, name) in [("ec:P-256", "ecdsa-p256"), ("ed25519", "ed25519")] {
        check_refused(asked(key), "enciphers", "key-unsuitable", StatusCode::KEY_LENGTH, name);
    }
}

/// Only names are taken from a request; all else in it is the template's business.
#[test]
fn a_requester_does_not_choose_its_own_usages() {
    let plain = request("ec:P-256", "/CN=host.example", &[]);
    let wishes = [
        Extension::basic_constraints(true, None),
        Extension::key_usage(KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN),
        Extension::extended_key_usage(&[UsageName::parse("codeSigning").unwrap()]),
    ];
    let info = build_request_info(plain.subject(), plain.spki_der(), &wishes).unwrap();
    let wishing =
        parse_request(&assemble_request(&info, plain.scheme(), plain.signature())).unwrap();
    assert_eq!(wishing.extensions().len(), 3);
    assert_eq!(decide(&template("tls"), &wishing), decide(&template("tls"), &plain));
}

#[test]
fn what_a_requester_wrote_is_cut_in_messages() {
    let long = format!("URI:urn:{}", "x".repeat(1_500));
    let asked = request("ec:P-256", "/CN=a", &[&long]);
    let Decision::Refuse { message, .. } = decide(&template("tls"), &asked) else { panic!() };
    assert!(message.len() < 200, "{message}");
    assert!(message.contains("uri:urn:xxx"), "{message}");
}
