//! The rules as data: a row for each thing that a rule says, with what the template and the request are.

use std::time::Duration;

use exeunt_engine::{Asked, Caller, Decision, Door, Policy as _, RuleVerdict, Verdict};
use exeunt_policy::{
    Callers, Dangerous, Holder, Issuance, NameEntry, NameKind, NamesRule, OnBehalf, Others,
    Pattern, RatePer, RateRule, Renewal, SidRule, SignatureRule, SubjectPart, SubjectRule,
    Template, TemplatePolicy, UsageName,
};
use exeunt_types::{KeyAlgorithm, Roles, UnixMillis};
use exeunt_x509::{
    Certificate, CertificationRequest, Extension, GeneralName, KeyUsage, ObjectIdentifier,
    assemble_request, build_request_info, parse_request,
};

use crate::messages::certificate;
use crate::support::{request, template};

/// 2001-09-09T01:46:40Z.
pub const NOW: UnixMillis = UnixMillis(1_000_000_000_000);
pub const DAY: Duration = Duration::from_hours(24);

/// What is asked, besides the template.
pub struct Given {
    pub request: CertificationRequest,
    pub attributes: Vec<(String, String)>,
    pub caller: Caller,
    pub on_behalf_of: Option<String>,
    pub renewed: Option<Certificate>,
    pub signatures: Vec<Certificate>,
    pub approvals: Vec<String>,
    pub new_request: bool,
}

impl Given {
    pub fn plain() -> Self {
        Self::of(request("ec:P-256", "/O=Acme/CN=host.example", &["host.example"]))
    }

    pub fn of(request: CertificationRequest) -> Self {
        Self {
            request,
            attributes: Vec::new(),
            caller: Caller::new("token:alice", Door::Local, Roles::ENROLLEE),
            on_behalf_of: None,
            renewed: None,
            signatures: Vec::new(),
            approvals: Vec::new(),
            new_request: true,
        }
    }

    pub fn saying(name: &str, value: &str) -> Self {
        Self { attributes: vec![(name.to_owned(), value.to_owned())], ..Self::plain() }
    }

    /// The same request asking for extensions; its signature is none that would verify.
    pub fn wishing(extensions: &[Extension]) -> Self {
        let Self { request: plain, .. } = Self::plain();
        let info = build_request_info(plain.subject(), plain.spki_der(), extensions).unwrap();
        let der = assemble_request(&info, plain.scheme(), plain.signature());
        Self::of(parse_request(&der).unwrap())
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            request: &self.request,
            attributes: &self.attributes,
            template: None,
            caller: &self.caller,
            on_behalf_of: self.on_behalf_of.as_deref(),
            renewed: self.renewed.as_ref(),
            signatures: &self.signatures,
            approvals: &self.approvals,
            officers: &[],
            new_request: self.new_request,
            now: NOW,
        }
    }
}

pub fn explain(template: Template, given: &Given) -> (Vec<RuleVerdict>, Decision) {
    let policy = TemplatePolicy::new(vec![template], None).unwrap();
    let asked = given.asked();
    (policy.explain(&asked), policy.decide(&asked))
}

/// What a rule says, and what all of them together decide: the first refusal, or else the first hold.
#[track_caller]
fn check(template: Template, given: &Given, rule: &str, verdict: Verdict, word: &str) -> Decision {
    let (verdicts, decision) = explain(template, given);
    let found = verdicts.iter().find(|it| it.rule == rule);
    let found = found.unwrap_or_else(|| panic!("no rule {rule} in {verdicts:?}"));
    assert_eq!(found.verdict, verdict, "{rule}: {}", found.message);
    assert!(!found.message.is_empty(), "{rule} says nothing");
    agree(&verdicts, &decision);
    let (code, message) = match &decision {
        Decision::Refuse { code, message, .. } => (*code, message.as_str()),
        Decision::Hold { message, .. } => ("hold", message.as_str()),
        _ => ("issue", ""),
    };
    let says = format!("{code} {message} {}", found.message);
    assert!(says.contains(word), "{rule}: {says:?} without {word:?}");
    decision
}

/// What is explained is what is decided.
#[track_caller]
fn agree(verdicts: &[RuleVerdict], decision: &Decision) {
    let first = |verdict| verdicts.iter().find(|it| it.verdict == verdict);
    match decision {
        Decision::Refuse { message, .. } => {
            assert_eq!(Some(message), first(Verdict::Refuse).map(|it| &it.message));
        }
        Decision::Hold { message, .. } => {
            assert_eq!(first(Verdict::Refuse), None);
            assert_eq!(Some(message), first(Verdict::Hold).map(|it| &it.message));
        }
        _ => {
            assert_eq!((first(Verdict::Refuse), first(Verdict::Hold)), (None, None));
        }
    }
}

pub fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

pub fn oid(dotted: &str) -> ObjectIdentifier {
    ObjectIdentifier::new(dotted).unwrap()
}

pub fn part(oid: &str, value: &str) -> Vec<SubjectPart> {
    vec![SubjectPart { oid: oid.to_owned(), value: pattern(value) }]
}

pub fn name_entry(kind: NameKind, value: &str) -> NameEntry {
    NameEntry { kind, value: pattern(value) }
}

pub fn plain() -> Template {
    template("t")
}

pub fn with_names(names: NamesRule) -> Template {
    Template { names, ..plain() }
}

pub fn with_subject(subject: SubjectRule) -> Template {
    Template { subject, ..plain() }
}

fn dangerous(set: fn(&mut Dangerous)) -> Template {
    let mut options = Dangerous::default();
    set(&mut options);
    Template { dangerous: options, ..plain() }
}

/// An alternative name that names an account.
fn sid_uri() -> Extension {
    let uri = "TAG:microsoft.com,2022-09-14:sid:S-1-5-18".to_owned();
    Extension::subject_alternative_name(&[GeneralName::Uri(uri)], false)
}

type Row = (fn() -> Template, fn() -> Given, &'static str, Verdict, &'static str);

const ROWS: &[Row] = &[
    // Windows of the template.
    (plain, Given::plain, "template-window", Verdict::NotApplied, "issue"),
    (
        || Template { valid_until: Some(NOW.plus(DAY)), ..plain() },
        Given::plain,
        "template-window",
        Verdict::Pass,
        "2001-09-10T01:46:40Z",
    ),
    (
        || Template { valid_until: Some(NOW), ..plain() },
        Given::plain,
        "template-window",
        Verdict::Refuse,
        "template-ended",
    ),
    (
        || Template { valid_from: Some(NOW.plus(DAY * 91)), ..plain() },
        Given::plain,
        "validity",
        Verdict::Refuse,
        "template-not-begun",
    ),
    // Who may ask.
    (
        || Template { callers: Callers::Authenticated, ..plain() },
        || Given { caller: Caller::new("a", Door::Remote, Roles::ENROLLEE), ..Given::plain() },
        "callers",
        Verdict::Pass,
        "issue",
    ),
    (
        plain,
        || Given { caller: Caller::new("a", Door::Remote, Roles::ENROLLEE), ..Given::plain() },
        "callers",
        Verdict::Refuse,
        "caller-not-local",
    ),
    (plain, Given::plain, "requesters", Verdict::NotApplied, "issue"),
    (
        || Template { requesters: vec!["token:bob".into(), "token:al*".into()], ..plain() },
        Given::plain,
        "requesters",
        Verdict::Pass,
        "token:al*",
    ),
    (
        || Template { requesters: vec!["token:bob".into()], ..plain() },
        Given::plain,
        "requesters",
        Verdict::Refuse,
        "requester-not-allowed",
    ),
    (
        || Template { groups: vec!["web".into()], ..plain() },
        || {
            let mut given = Given::plain();
            given.caller.groups = vec!["mail".into(), "web".into()];
            given
        },
        "requesters",
        Verdict::Pass,
        "group web",
    ),
    (
        || Template { groups: vec!["web".into()], ..plain() },
        || {
            let mut given = Given::plain();
            given.caller.groups = vec!["webmasters".into()];
            given
        },
        "requesters",
        Verdict::Refuse,
        "requester-not-allowed",
    ),
    (
        plain,
        || Given { on_behalf_of: Some("bob".into()), ..Given::plain() },
        "on-behalf",
        Verdict::Refuse,
        "on-behalf-not-allowed",
    ),
    (
        || Template { on_behalf: OnBehalf::Allow, ..plain() },
        || Given { on_behalf_of: Some("bob".into()), ..Given::plain() },
        "on-behalf",
        Verdict::Pass,
        "issue",
    ),
    // Keys.
    (plain, Given::plain, "key-minimum", Verdict::NotApplied, "issue"),
    (
        || Template { key_minimum: vec![KeyAlgorithm::EcdsaP256], ..plain() },
        Given::plain,
        "key-minimum",
        Verdict::Pass,
        "ecdsa-p256",
    ),
    (
        || Template { key_minimum: vec![KeyAlgorithm::EcdsaP384], ..plain() },
        Given::plain,
        "key-minimum",
        Verdict::Refuse,
        "key-below-minimum",
    ),
    (
        || Template { key_minimum: vec![KeyAlgorithm::Rsa { bits: 3072 }], ..plain() },
        Given::plain,
        "key-minimum",
        Verdict::Refuse,
        "rsa-3072",
    ),
    (
        || Template { key_minimum: vec![KeyAlgorithm::Rsa { bits: 2048 }], ..plain() },
        || Given::of(request("rsa:3072", "/CN=host.example", &[])),
        "key-minimum",
        Verdict::Pass,
        "rsa-3072",
    ),
    (
        || Template { key_minimum: vec![KeyAlgorithm::Rsa { bits: 3072 }], ..plain() },
        || Given::of(request("rsa:2048", "/CN=host.example", &[])),
        "key-minimum",
        Verdict::Refuse,
        "rsa-2048",
    ),
    (
        || Template { key_usage: KeyUsage::KEY_ENCIPHERMENT, ..plain() },
        Given::plain,
        "key-usage",
        Verdict::Refuse,
        "key-unsuitable",
    ),
    // The subject.
    (plain, Given::plain, "subject-request", Verdict::Pass, "issue"),
    (
        || Template { subject_allowed: vec!["2.5.4.3".into()], ..plain() },
        Given::plain,
        "subject-request",
        Verdict::Refuse,
        "subject-not-allowed",
    ),
    (
        || Template {
            subject_allowed: vec!["2.5.4.3".into()],
            subject: SubjectRule { others: Others::Ignore, ..SubjectRule::default() },
            ..plain()
        },
        Given::plain,
        "subject-request",
        Verdict::Pass,
        "left out of the subject: 2.5.4.10",
    ),
    (plain, Given::plain, "subject-build", Verdict::NotApplied, "issue"),
    (
        || {
            with_subject(SubjectRule {
                build: vec![part("2.5.4.6", "Germany")],
                ..Default::default()
            })
        },
        Given::plain,
        "subject-build",
        Verdict::Refuse,
        "subject-not-built",
    ),
    (
        || Template {
            subject_allowed: vec!["2.5.4.42".into(), "2.5.4.3".into()],
            subject: SubjectRule { original_lengths: true, ..SubjectRule::default() },
            ..plain()
        },
        || Given::of(request("ec:P-256", "/GN=Wolfeschlegelstein/CN=a", &["host.example"])),
        "subject-build",
        Verdict::Refuse,
        "subject-too-long",
    ),
    // Alternative names.
    (plain, Given::plain, "san-request", Verdict::Pass, "issue"),
    (
        || Template { names_allowed: vec![NameKind::Ip], ..plain() },
        Given::plain,
        "san-request",
        Verdict::Refuse,
        "san-not-allowed",
    ),
    (
        || Template {
            names_allowed: vec![NameKind::Ip],
            names: NamesRule { others: Others::Ignore, ..NamesRule::default() },
            ..plain()
        },
        Given::plain,
        "san-request",
        Verdict::Pass,
        "1 are left out",
    ),
    (
        || with_names(NamesRule { required: vec![NameKind::Dns], ..NamesRule::default() }),
        Given::plain,
        "san-required",
        Verdict::Pass,
        "issue",
    ),
    (
        || with_names(NamesRule { required: vec![NameKind::Upn], ..NamesRule::default() }),
        Given::plain,
        "san-required",
        Verdict::Refuse,
        "san-missing",
    ),
    (
        || {
            with_names(NamesRule {
                add: vec![name_entry(NameKind::Upn, "{RequesterShortName}@corp.example")],
                required: vec![NameKind::Upn],
                ..NamesRule::default()
            })
        },
        Given::plain,
        "san-required",
        Verdict::Pass,
        "issue",
    ),
    (
        || {
            with_names(NamesRule {
                add: vec![name_entry(NameKind::Dns, "{RequesterName}.example")],
                ..NamesRule::default()
            })
        },
        Given::plain,
        "san-build",
        Verdict::Refuse,
        "san-not-built",
    ),
    (
        plain,
        || Given::of(request("ec:P-256", "/", &[])),
        "nameless",
        Verdict::Refuse,
        "request-nameless",
    ),
    (
        || Template {
            holder: Holder::Ca { path_length: None },
            key_usage: KeyUsage::KEY_CERT_SIGN,
            issuance: Issuance::Hold,
            ..plain()
        },
        || Given::of(request("ec:P-256", "/", &["host.example"])),
        "nameless",
        Verdict::Refuse,
        "a CA needs a subject",
    ),
    // A URI can name an account as the extension does.
    (
        || Template { names_allowed: vec![NameKind::Uri], ..plain() },
        || Given::wishing(&[sid_uri()]),
        "san-request",
        Verdict::Refuse,
        "san-not-allowed",
    ),
    // Security identifiers.
    (plain, Given::plain, "sid", Verdict::NotApplied, "issue"),
    (
        plain,
        || Given::wishing(&[Extension::security_identifier("S-1-5-18").unwrap()]),
        "sid",
        Verdict::NotApplied,
        "issue",
    ),
    (
        || Template { sid: SidRule { from_request: true, ..SidRule::default() }, ..plain() },
        || Given::wishing(&[Extension::security_identifier("S-1-5-18").unwrap()]),
        "sid",
        Verdict::Pass,
        "S-1-5-18",
    ),
    (
        || Template {
            sid: SidRule {
                by_requester: vec![("token:alice".into(), "S-1-5-21-7".into())],
                ..SidRule::default()
            },
            ..plain()
        },
        || Given::wishing(&[Extension::security_identifier("S-1-5-18").unwrap()]),
        "sid",
        Verdict::Pass,
        "S-1-5-21-7",
    ),
    (
        || Template {
            sid: SidRule {
                by_requester: ["*", "token:*", "token:alice", "token:alic*e*"]
                    .into_iter()
                    .zip(["S-1-5-21-1", "S-1-5-21-2", "S-1-5-21-3", "S-1-5-21-4"])
                    .map(|(pattern, sid)| (pattern.to_owned(), sid.to_owned()))
                    .collect(),
                ..SidRule::default()
            },
            ..plain()
        },
        Given::plain,
        "sid",
        Verdict::Pass,
        "S-1-5-21-3",
    ),
    (
        || Template {
            sid: SidRule {
                by_requester: vec![("token:bob".into(), "S-1-5-21-7".into())],
                required: true,
                ..SidRule::default()
            },
            ..plain()
        },
        Given::plain,
        "sid",
        Verdict::Refuse,
        "sid-missing",
    ),
    // Renewals.
    (plain, Given::plain, "renewal", Verdict::NotApplied, "issue"),
    (
        || Template { renewal: Renewal::Refuse, ..plain() },
        || Given {
            renewed: Some(certificate("/CN=host.example", "DNS:host.example")),
            ..Given::plain()
        },
        "renewal",
        Verdict::Refuse,
        "renewal-not-allowed",
    ),
    (
        // The certificate ends long after that moment.
        || Template { renewal: Renewal::AnyNames, renewal_window: Some(DAY), ..plain() },
        || Given {
            renewed: Some(certificate("/CN=host.example", "DNS:host.example")),
            ..Given::plain()
        },
        "renewal-window",
        Verdict::Refuse,
        "renewal-too-early",
    ),
    (
        || Template { renewal: Renewal::AnyNames, renewal_window: Some(DAY * 36_525), ..plain() },
        || Given {
            renewed: Some(certificate("/CN=host.example", "DNS:host.example")),
            ..Given::plain()
        },
        "renewal-window",
        Verdict::Pass,
        "issue",
    ),
    // Dangerous options: off, and on.
    (
        plain,
        || Given::saying("SAN", "dns=evil.example"),
        "san-attributes",
        Verdict::NotApplied,
        "issue",
    ),
    (
        || dangerous(|it| it.san_from_attributes = true),
        || Given::saying("san", "dns=evil.example"),
        "san-attributes",
        Verdict::Pass,
        "evil.example",
    ),
    // Nor does an attribute name an account where the template takes no security identifiers.
    (
        || dangerous(|it| it.san_from_attributes = true),
        || Given::saying("SAN", "dns=a.example&url=TAG:microsoft.com,2022-09-14:sid:S-1-5-18"),
        "san-attributes",
        Verdict::Refuse,
        "san-not-allowed",
    ),
    (
        || Template {
            sid: SidRule { from_request: true, ..SidRule::default() },
            ..dangerous(|it| it.san_from_attributes = true)
        },
        || Given::saying("SAN", "url=tag:microsoft.com,2022-09-14:sid:S-1-5-18"),
        "san-attributes",
        Verdict::Pass,
        "S-1-5-18",
    ),
    (
        || dangerous(|it| it.san_from_attributes = true),
        || Given::saying("SAN", "1.2.3={file}/etc/passwd"),
        "san-attributes",
        Verdict::Refuse,
        "attribute-san-invalid",
    ),
    (
        plain,
        || Given::saying("CertificateUsage", "1.3.6.1.5.5.7.3.3"),
        "extended-key-usage",
        Verdict::Pass,
        "those of the template",
    ),
    (
        || dangerous(|it| it.eku_from_attributes = true),
        || Given::saying("CertificateUsage", "1.3.6.1.5.5.7.3.3"),
        "extended-key-usage",
        Verdict::Pass,
        "eku_from_attributes",
    ),
    (
        || dangerous(|it| it.eku_from_attributes = true),
        || Given::saying("CertificateUsage", "codeSigning"),
        "extended-key-usage",
        Verdict::Refuse,
        "attribute-usage-invalid",
    ),
    (
        plain,
        || Given::saying("ExpirationDate", "garbage"),
        "validity",
        Verdict::Pass,
        "that of the template",
    ),
    (
        || dangerous(|it| it.end_date_from_attributes = true),
        || Given::saying("ExpirationDate", "Mon, 10 Sep 2001 00:00:00 GMT"),
        "validity",
        Verdict::Pass,
        "2001-09-10T00:00:00Z",
    ),
    (
        || dangerous(|it| it.end_date_from_attributes = true),
        || Given::saying("ExpirationDate", "garbage"),
        "validity",
        Verdict::Refuse,
        "attribute-date-invalid",
    ),
    (
        || dangerous(|it| it.end_date_from_attributes = true),
        || Given::saying("ExpirationDate", "Sun, 06 Nov 1994 08:49:37 GMT"),
        "validity",
        Verdict::Refuse,
        "in the past",
    ),
    (
        plain,
        || Given::saying("CommonName", "evil"),
        "subject-attributes",
        Verdict::NotApplied,
        "issue",
    ),
    (
        || dangerous(|it| it.subject_from_attributes = true),
        || Given::saying("CN", "evil"),
        "subject-attributes",
        Verdict::Pass,
        "CN=evil,O=Acme",
    ),
    (
        // The template still says which parts it takes.
        || dangerous(|it| it.subject_from_attributes = true),
        || Given::saying("Title", "Dr"),
        "subject-request",
        Verdict::Refuse,
        "subject-not-allowed",
    ),
    // Extensions of the request.
    (
        plain,
        || Given::wishing(&[Extension::ocsp_no_check()]),
        "extensions",
        Verdict::NotApplied,
        "issue",
    ),
    (
        || Template { extensions_allowed: vec![oid("1.3.6.1.5.5.7.48.1.5")], ..plain() },
        || Given::wishing(&[Extension::ocsp_no_check()]),
        "extensions",
        Verdict::Pass,
        "1.3.6.1.5.5.7.48.1.5",
    ),
    (
        || Template { extensions_allowed: vec![oid("1.2.3")], ..plain() },
        || Given::wishing(&[Extension::ocsp_no_check()]),
        "extensions",
        Verdict::NotApplied,
        "issue",
    ),
    (
        || dangerous(|it| it.all_request_extensions = true),
        || Given::wishing(&[Extension::ocsp_no_check(), Extension::basic_constraints(true, None)]),
        "extensions",
        Verdict::Pass,
        "taken from the request: 1.3.6.1.5.5.7.48.1.5",
    ),
    (
        || Template { extensions_allowed: vec![oid("2.5.29.15")], ..plain() },
        || Given::wishing(&[Extension::key_usage(KeyUsage::KEY_AGREEMENT)]),
        "extensions",
        Verdict::Pass,
        "2.5.29.15",
    ),
    (
        || dangerous(|it| it.all_request_extensions = true),
        || {
            Given::wishing(&[Extension::key_usage(
                KeyUsage::DIGITAL_SIGNATURE | KeyUsage::CRL_SIGN,
            )])
        },
        "extensions",
        Verdict::Refuse,
        "request-key-usage-of-ca",
    ),
    // Signatures around the request.
    (plain, Given::plain, "signatures", Verdict::NotApplied, "issue"),
    (
        || Template {
            signatures: Some(SignatureRule {
                count: 1,
                purposes: vec![UsageName::parse("clientAuth").unwrap()],
                policies: Vec::new(),
            }),
            ..plain()
        },
        || Given { signatures: vec![certificate("/CN=ra", "DNS:ra.example")], ..Given::plain() },
        "signatures",
        Verdict::Refuse,
        "signatures-missing",
    ),
    // Limits and approvals.
    (plain, Given::plain, "rate", Verdict::NotApplied, "issue"),
    (
        || Template {
            rates: vec![RateRule { certificates: 3, window: DAY, per: RatePer::Requester }],
            ..plain()
        },
        Given::plain,
        "rate",
        Verdict::Pass,
        "3 of template t for token:alice in 86400 s",
    ),
    (plain, Given::plain, "approvals", Verdict::NotApplied, "issue"),
    (
        || Template { issuance: Issuance::Hold, approvals: 2, ..plain() },
        Given::plain,
        "approvals",
        Verdict::Hold,
        "taken under submission",
    ),
    (
        || Template { issuance: Issuance::Hold, approvals: 2, ..plain() },
        || Given { approvals: vec!["m1".into()], new_request: false, ..Given::plain() },
        "approvals",
        Verdict::Hold,
        "1 of 2 approvals",
    ),
    (
        || Template { issuance: Issuance::Hold, approvals: 2, ..plain() },
        || Given {
            approvals: vec!["m1".into(), "m2".into()],
            new_request: false,
            ..Given::plain()
        },
        "approvals",
        Verdict::Pass,
        "issue",
    ),
    (
        // Nobody has approved what an administrator only looks at again.
        || Template { issuance: Issuance::Hold, approvals: 2, ..plain() },
        || Given { new_request: false, ..Given::plain() },
        "approvals",
        Verdict::Hold,
        "hold",
    ),
];

#[test]
fn every_rule_says_what_the_table_says() {
    for (template, given, rule, verdict, word) in ROWS {
        check(template(), &given(), rule, *verdict, word);
    }
}

/// Whatever a template says and whatever is asked, which is each of the table's with each.
#[test]
fn what_is_explained_is_what_is_decided() {
    let givens: Vec<Given> = ROWS.iter().map(|(_, given, ..)| given()).collect();
    for (template, ..) in ROWS {
        let policy = TemplatePolicy::new(vec![template()], None).unwrap();
        for given in &givens {
            let asked = given.asked();
            agree(&policy.explain(&asked), &policy.decide(&asked));
        }
    }
}

#[test]
fn every_rule_stands_in_the_table() {
    let (verdicts, _) = explain(plain(), &Given::plain());
    for it in verdicts.iter().filter(|it| it.rule != "template") {
        assert!(ROWS.iter().any(|(_, _, rule, ..)| *rule == it.rule), "{} is not tested", it.rule);
    }
}
