//! Templates that want more than one approval, that limit what is issued, that have dangerous options; and
//! requests that are only tried.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use exeunt_engine::{Caller, Door, OfficerError, Outcome, Submission, Submitted, Verdict};
use exeunt_policy::{
    Callers, Dangerous, Issuance, NameEntry, NameKind, NamesRule, Pattern, RatePer, RateRule,
    SidRule, Template, flags_of,
};
use exeunt_testkit::foreign::openssl_text;
use exeunt_types::{Disposition, KeyAlgorithm, RequestId, Roles};
use exeunt_x509::KeyUsage;

use crate::support::{
    Ca, DAY_S, Habit, House, TestKey, officer, plain_request, submission, template,
};

fn house(templates: Vec<Template>) -> House {
    let mut house = House::new();
    house.templates = templates;
    house.default_template = Some(house.templates[0].name.clone());
    house
}

fn manager(name: &str) -> Caller {
    Caller::new(name, Door::Local, Roles::CERTIFICATE_MANAGER)
}

fn two_approvals() -> Template {
    Template { issuance: Issuance::Hold, approvals: 2, ..template("held") }
}

#[track_caller]
fn waiting(ca: &Ca) -> RequestId {
    let Submitted { request, outcome } = ca.submit(plain_request()).unwrap();
    assert!(matches!(outcome, Outcome::Pending { .. }), "{outcome:?}");
    request
}

#[track_caller]
fn pending(result: Result<Submitted, OfficerError>) -> String {
    match result.unwrap().outcome {
        Outcome::Pending { message } => message,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn is_issued(result: Result<Submitted, OfficerError>) {
    let outcome = result.unwrap().outcome;
    assert!(matches!(outcome, Outcome::Issued { .. }), "{outcome:?}");
}

#[track_caller]
fn code<T: std::fmt::Debug>(result: Result<T, OfficerError>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn two_managers_approve_and_the_second_one_issues() {
    let house = house(vec![two_approvals()]);
    let ca = house.open();
    let request = waiting(&ca);
    assert_eq!(pending(ca.engine.approve(request, &manager("anna"))), "1 of 2 approvals");
    let row = ca.row(request);
    assert_eq!((row.disposition, row.message.as_str()), (Disposition::Pending, "1 of 2 approvals"));
    // The same one counts once, whatever the order is called.
    assert_eq!(code(ca.engine.approve(request, &manager("anna"))), "approval-twice");
    assert_eq!(code(ca.engine.resubmit(request, &manager("anna"))), "approval-twice");
    assert_eq!(ca.row(request).disposition, Disposition::Pending);
    // A restart forgets no approval.
    drop(ca);
    let ca = house.open();
    is_issued(ca.engine.approve(request, &manager("bert")));
    assert_eq!(ca.kinds(), ["pending", "pending", "issued"]);
    let approved = ["anna", "bert"].map(|it| format!("{it} request-approve request:{request}"));
    assert_eq!(ca.audited(), approved);
}

#[test]
fn whoever_asked_does_not_approve_where_the_template_says_so() {
    let own = Template { own_approval: false, approvals: 1, ..two_approvals() };
    let ca = house(vec![own]).open();
    let request = waiting(&ca);
    assert_eq!(code(ca.engine.approve(request, &manager("local:1000"))), "approval-own");
    assert!(ca.audited().is_empty());
    is_issued(ca.engine.approve(request, &manager("anna")));
}

#[test]
fn what_was_approved_is_what_is_issued() {
    let ca = house(vec![two_approvals()]).open();
    let request = waiting(&ca);
    pending(ca.engine.approve(request, &manager("anna")));
    ca.engine.set_attributes(request, "note:changed", &manager("bert")).unwrap();
    // Anna has approved something else.
    assert_eq!(pending(ca.engine.approve(request, &manager("bert"))), "1 of 2 approvals");
    is_issued(ca.engine.approve(request, &manager("anna")));

    let request = waiting(&ca);
    pending(ca.engine.approve(request, &manager("anna")));
    ca.engine.deny(request, &manager("bert"), None).unwrap();
    assert_eq!(pending(ca.engine.resubmit(request, &manager("bert"))), "1 of 2 approvals");
    is_issued(ca.engine.approve(request, &manager("anna")));
}

#[test]
fn managers_who_approve_at_once_issue_once() {
    let ca = Arc::new(house(vec![two_approvals()]).open());
    for _ in 0..8 {
        let request = waiting(&ca);
        let managers = ["anna", "bert"].map(|name| {
            let ca = Arc::clone(&ca);
            thread::spawn(move || ca.engine.approve(request, &manager(name)).unwrap().outcome)
        });
        let outcomes = managers.map(|it| it.join().unwrap());
        let issued = outcomes.iter().filter(|it| matches!(it, Outcome::Issued { .. })).count();
        assert_eq!(issued, 1, "{outcomes:?}");
    }
}

#[test]
fn a_key_that_fails_costs_no_approval() {
    let key = TestKey::new(KeyAlgorithm::EcdsaP256);
    let mut house = House::with_key(key.clone());
    house.templates = vec![two_approvals()];
    house.default_template = None;
    let ca = house.open();
    let request = waiting(&ca);
    pending(ca.engine.approve(request, &manager("anna")));
    key.shall(Habit::Fail);
    assert_eq!(code(ca.engine.approve(request, &manager("bert"))), "issue-sign");
    key.shall(Habit::Sign);
    assert_eq!(ca.row(request).disposition, Disposition::Pending);
    is_issued(ca.engine.approve(request, &manager("bert")));
}

fn limited(certificates: u32, per: RatePer) -> Template {
    let window = Duration::from_hours(24);
    Template { rates: vec![RateRule { certificates, window, per }], ..template("limited") }
}

/// Codes of what was refused, and how many were issued.
fn count(
    results: Vec<Result<Submitted, exeunt_engine::SubmitError>>,
) -> (usize, Vec<&'static str>) {
    let (mut issued, mut codes) = (0, Vec::new());
    for result in results {
        match result.unwrap().outcome {
            Outcome::Issued { .. } => issued += 1,
            Outcome::Denied { code, message, .. } => {
                assert!(message.contains("come again at 20"), "{message}");
                codes.push(code);
            }
            Outcome::Pending { .. } => panic!("nothing waits"),
        }
    }
    (issued, codes)
}

#[test]
fn a_limit_holds_in_a_batch_across_a_restart_and_until_its_window_has_passed() {
    let house = house(vec![limited(5, RatePer::Template)]);
    let ca = house.open();
    let batch = || vec![submission(plain_request()); 12];
    let (issued, codes) = count(ca.engine.submit_all(batch()));
    assert_eq!((issued, codes), (5, vec!["rate-limited"; 7]));
    drop(ca);
    let ca = house.open();
    assert_eq!(count(ca.engine.submit_all(batch())).0, 0);
    house.clock.set(house.clock.seconds() + DAY_S - 1);
    assert_eq!(count(ca.engine.submit_all(batch())).0, 0);
    house.clock.set(house.clock.seconds() + 1);
    assert_eq!(count(ca.engine.submit_all(batch())).0, 5);
}

#[test]
fn a_limit_holds_for_many_threads_at_once() {
    let ca = Arc::new(house(vec![limited(7, RatePer::Template)]).open());
    let workers: Vec<_> = (0..6)
        .map(|_| {
            let ca = Arc::clone(&ca);
            thread::spawn(move || {
                count(ca.engine.submit_all(vec![submission(plain_request()); 5])).0
            })
        })
        .collect();
    let issued: usize = workers.into_iter().map(|it| it.join().unwrap()).sum();
    assert_eq!(issued, 7);
    assert_eq!(ca.counts().1, 7);
}

#[test]
fn a_limit_of_each_requester_is_that_of_the_others_too_but_not_together() {
    let ca = house(vec![limited(2, RatePer::Requester)]).open();
    for name in ["a", "b"] {
        let caller = Caller::new(name, Door::Local, Roles::ENROLLEE);
        let asked = Submission { caller, ..submission(plain_request()) };
        assert_eq!(count(ca.engine.submit_all(vec![asked; 3])).0, 2, "{name}");
    }
}

#[test]
fn what_is_approved_beyond_a_limit_goes_on_waiting() {
    let held = Template { issuance: Issuance::Hold, ..limited(1, RatePer::Template) };
    let house = house(vec![held]);
    let ca = house.open();
    let (first, second) = (waiting(&ca), waiting(&ca));
    is_issued(ca.engine.approve(first, &officer()));
    for _ in 0..2 {
        let err = ca.engine.approve(second, &officer()).unwrap_err();
        assert_eq!(err.code(), "rate-limited");
        assert!(err.public_message().contains("come again at"), "{}", err.public_message());
    }
    assert_eq!(ca.row(second).disposition, Disposition::Pending);
    house.clock.set(house.clock.seconds() + DAY_S);
    is_issued(ca.engine.approve(second, &officer()));
}

#[test]
fn what_could_not_be_signed_is_given_back() {
    let key = TestKey::new(KeyAlgorithm::EcdsaP256);
    let mut house = House::with_key(key.clone());
    house.templates = vec![limited(1, RatePer::Template)];
    house.default_template = None;
    let ca = house.open();
    key.shall(Habit::Fail);
    assert_eq!(ca.submit(plain_request()).unwrap_err().code(), "issue-sign");
    key.shall(Habit::Sign);
    ca.issue(plain_request());
    assert_eq!(count(vec![ca.submit(plain_request())]).0, 0);
}

#[test]
fn a_request_is_judged_by_who_asked_whoever_takes_it_up_again() {
    let groups = vec!["web".to_owned()];
    let held = Template { issuance: Issuance::Hold, groups, ..template("held") };
    let local = Template { callers: Callers::Local, ..template("local") };
    let ca = house(vec![held, local]).open();
    let mut caller = Caller::new("token:web", Door::Remote, Roles::ENROLLEE);
    caller.groups = vec!["web".to_owned()];
    let asked = || Submission { caller: caller.clone(), ..submission(plain_request()) };
    let first = ca.engine.submit(asked()).unwrap().request;
    let second = ca.engine.submit(asked()).unwrap().request;
    // The officer is in no group, and on this machine.
    is_issued(ca.engine.approve(first, &officer()));
    ca.engine.set_attributes(second, "CertificateTemplate:local", &officer()).unwrap();
    match ca.engine.approve(second, &officer()).unwrap().outcome {
        Outcome::Denied { code, .. } => assert_eq!(code, "caller-not-local"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_template_that_was_not_there_is_what_is_asked_for_when_it_is() {
    let mut house = house(vec![template("default")]);
    let ca = house.open();
    let asked = Submission { template: Some("later".to_owned()), ..submission(plain_request()) };
    let Submitted { request, outcome } = ca.engine.submit(asked).unwrap();
    assert!(matches!(outcome, Outcome::Denied { code: "template-unknown", .. }), "{outcome:?}");
    // As long as there is none, nothing else comes in its place.
    match ca.engine.resubmit(request, &officer()).unwrap().outcome {
        Outcome::Denied { code, .. } => assert_eq!(code, "template-unknown"),
        other => panic!("{other:?}"),
    }
    drop(ca);
    house.templates.push(template("later"));
    let ca = house.open();
    is_issued(ca.engine.resubmit(request, &officer()));
    assert_eq!(ca.row(request).request.template, "later");
}

#[test]
fn a_dangerous_option_that_is_used_is_in_the_audit_trail() {
    let options = Dangerous { san_from_attributes: true, ..Dangerous::default() };
    let ca = house(vec![Template { dangerous: options, ..template("open") }]).open();
    let san = ("SAN".to_owned(), "dns=evil.example".to_owned());
    let asked = Submission { attributes: vec![san], ..submission(plain_request()) };
    let issued = ca.issued(ca.engine.submit(asked));
    assert!(openssl_text(&issued.pem).contains("DNS:host.example, DNS:evil.example"));
    let used = "local:1000 dangerous-option-used request:1 \
                template open: san_from_attributes: dns=evil.example";
    assert_eq!(ca.audited(), [used]);
    // Whoever asks plainly leaves no trace of it.
    ca.issue(plain_request());
    assert_eq!(ca.audited(), [used]);
}

#[test]
fn openssl_reads_a_principal_name_and_a_security_identifier_as_they_were_meant() {
    let entry = |kind, text: &str| NameEntry { kind, value: Pattern::parse(text).unwrap() };
    let people = Template {
        names: NamesRule {
            add: vec![
                entry(NameKind::Upn, "{RequesterShortName}@corp.example"),
                entry(NameKind::RegisteredId, "1.2.3.4"),
                entry(NameKind::Directory, "CN={RequesterShortName},O=Acme"),
                entry(NameKind::Ip, "2001:db8::1"),
            ],
            ..NamesRule::default()
        },
        sid: SidRule {
            by_requester: vec![("local:*".to_owned(), "S-1-5-21-1-2-3-1104".to_owned())],
            ..SidRule::default()
        },
        flags: flags_of(8, 0x40, 0x10),
        ..template("people")
    };
    let ca = house(vec![people]).open();
    let issued = ca.issue(plain_request());
    let text = openssl_text(&issued.pem);
    for words in [
        "DNS:host.example",
        "UPN::1000@corp.example",
        "Registered ID:1.2.3.4",
        "DirName:/O=Acme/CN=1000",
        "IP Address:2001:DB8:0:0:0:0:0:1",
        "1.3.6.1.4.1.311.25.2:",
        "S-1-5-21-1-2-3-1104",
    ] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    let flags = ca.engine.store().certificate_of(issued.request).unwrap().unwrap().template_flags;
    let flags = flags.unwrap();
    assert_eq!((flags.enrollment, flags.general, flags.private_key), (8, 0x40, 0x10));
}

#[test]
fn a_request_that_is_tried_leaves_nothing_and_is_told_what_a_submission_would_be() {
    let ca = house(vec![
        limited(1, RatePer::Template),
        two_approvals(),
        Template { groups: vec!["nobody".to_owned()], ..template("closed") },
    ])
    .open();
    let asked =
        |name: &str| Submission { template: Some(name.to_owned()), ..submission(plain_request()) };
    let before = (ca.counts(), ca.engine.store().head());
    let drawn = |name: &str| ca.engine.try_out(asked(name)).unwrap();

    let trial = drawn("limited");
    assert_eq!((trial.verdict, trial.code), (Verdict::Pass, None));
    assert!(trial.verdicts.iter().all(|it| it.verdict != Verdict::Refuse), "{trial:?}");
    let certificate = trial.certificate.unwrap();
    assert_eq!(certificate.subject, "CN=host.example");
    assert_eq!(certificate.names, ["dns:host.example"]);
    assert!(certificate.extensions.iter().any(|it| it.oid.to_string() == "2.5.29.35"));

    let trial = drawn("held");
    assert_eq!((trial.verdict, trial.message.as_str()), (Verdict::Hold, "taken under submission"));
    assert_eq!(trial.certificate.unwrap().subject, "CN=host.example");

    let trial = drawn("closed");
    assert_eq!((trial.verdict, trial.code), (Verdict::Refuse, Some("requester-not-allowed")));
    assert!(trial.certificate.is_none());
    let trial = drawn("nothing");
    assert_eq!((trial.verdict, trial.code), (Verdict::Refuse, Some("template-unknown")));

    assert_eq!((ca.counts(), ca.engine.store().head()), before);
    assert!(ca.audited().is_empty());

    // What was tried was not counted; what is issued is.
    let issued = ca.engine.submit(asked("limited")).unwrap();
    assert!(matches!(issued.outcome, Outcome::Issued { .. }));
    let trial = drawn("limited");
    assert_eq!((trial.verdict, trial.code), (Verdict::Refuse, Some("rate-limited")));
    assert!(trial.message.contains("come again at"), "{}", trial.message);
}

#[test]
fn a_lint_that_would_refuse_is_a_verdict_of_a_trial() {
    // encipherOnly means nothing without keyAgreement (RFC 5280, section 4.2.1.3).
    let oid = exeunt_x509::ObjectIdentifier::new("2.5.29.15").unwrap();
    let ca = house(vec![Template { extensions_allowed: vec![oid], ..template("open") }]).open();
    let plain = exeunt_x509::parse_request(plain_request()).unwrap();
    let usage = KeyUsage::DIGITAL_SIGNATURE | KeyUsage::ENCIPHER_ONLY;
    let usage = exeunt_x509::Extension::key_usage(usage);
    let key = exeunt_keys::SoftwareKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let info = exeunt_x509::build_request_info(
        plain.subject(),
        exeunt_keys::SigningKey::public_key_der(&key),
        &[usage],
    )
    .unwrap();
    let scheme = exeunt_keys::SigningKey::scheme(&key);
    let signature = exeunt_keys::SigningKey::sign(&key, &info).unwrap();
    let request = exeunt_x509::assemble_request(&info, scheme, &signature);
    let trial = ca.engine.try_out(submission(&request)).unwrap();
    assert_eq!((trial.verdict, trial.code), (Verdict::Refuse, Some("lint-refused")));
    let lint = trial.verdicts.iter().find(|it| it.rule == "lint").unwrap();
    assert_eq!(lint.verdict, Verdict::Refuse);
    match ca.submit(&request).unwrap().outcome {
        Outcome::Denied { code, .. } => assert_eq!(code, "lint-refused"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_that_was_changed_after_signing_is_refused_in_a_trial_too() {
    let ca = house(vec![template("tls")]).open();
    let mut der = crate::support::der_of(plain_request());
    let last = der.len() - 1;
    der[last] ^= 1;
    let trial = ca.engine.try_out(submission(&der)).unwrap();
    assert_eq!((trial.verdict, trial.code), (Verdict::Refuse, Some("request-bad-signature")));
    assert_eq!(trial.verdicts[0].rule, "signature");
    assert_eq!(ca.counts(), (0, 0, 0));
}
