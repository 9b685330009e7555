//! A template, requests, and a question.

use std::fs;
use std::time::Duration;

use exeunt_engine::{Asked, Caller, Decision, Door, Plan, Policy as _};
use exeunt_policy::{NameKind, Template, TemplatePolicy, UsageName};
use exeunt_testkit::requests::openssl_request;
use exeunt_types::{Roles, StatusCode, UnixMillis};
use exeunt_x509::{CertificationRequest, KeyUsage, parse_request};

/// A template of a TLS server that takes what is usual.
pub fn template(name: &str) -> Template {
    Template {
        validity: Duration::from_hours(24 * 90),
        key_usage: KeyUsage::DIGITAL_SIGNATURE | KeyUsage::KEY_ENCIPHERMENT,
        extended_key_usage: vec![UsageName::parse("serverAuth").unwrap()],
        // CN and O.
        subject_allowed: vec!["2.5.4.3".to_owned(), "2.5.4.10".to_owned()],
        names_allowed: vec![NameKind::Dns, NameKind::Ip],
        dns_from_common_name: true,
        ..Template::new(name)
    }
}

pub fn request(key: &str, subject: &str, san: &[&str]) -> CertificationRequest {
    let folder = tempfile::tempdir().unwrap();
    let pem = fs::read(openssl_request(key, subject, san, folder.path())).unwrap();
    parse_request(&pem).unwrap()
}

/// Asks from inside the machine.
pub fn ask(
    policy: &TemplatePolicy,
    template: Option<&str>,
    request: &CertificationRequest,
) -> Decision {
    ask_through(Door::Local, policy, template, request)
}

pub fn ask_through(
    door: Door,
    policy: &TemplatePolicy,
    template: Option<&str>,
    request: &CertificationRequest,
) -> Decision {
    ask_anew(true, door, policy, template, request)
}

/// Asks for the first time, or when an officer has taken the request up again.
pub fn ask_anew(
    new_request: bool,
    door: Door,
    policy: &TemplatePolicy,
    template: Option<&str>,
    request: &CertificationRequest,
) -> Decision {
    let caller = Caller::new("somebody", door, Roles::ENROLLEE);
    let attributes = [("san".to_owned(), "dns=evil.example".to_owned())];
    policy.decide(&Asked {
        request,
        attributes: &attributes,
        template,
        caller: &caller,
        on_behalf_of: None,
        renewed: None,
        signatures: &[],
        approvals: &[],
        officers: &[],
        new_request,
        now: UnixMillis(0),
    })
}

/// The decision of one template.
pub fn decide(template: &Template, request: &CertificationRequest) -> Decision {
    let policy = TemplatePolicy::new(vec![template.clone()], None).unwrap();
    ask(&policy, None, request)
}

#[track_caller]
pub fn plan(decision: Decision) -> Plan {
    match decision {
        Decision::Issue(plan) => *plan,
        other => panic!("not issued: {other:?}"),
    }
}

#[track_caller]
pub fn check_refused(
    decision: Decision,
    template: &str,
    code: &str,
    status: StatusCode,
    word: &str,
) {
    let Decision::Refuse { template: named, code: found, status: number, message } = decision
    else {
        panic!("{decision:?} instead of {code}");
    };
    assert_eq!((named.as_str(), found, number), (template, code, status), "{message}");
    assert!(message.contains(word), "{message:?} without {word:?}");
}
