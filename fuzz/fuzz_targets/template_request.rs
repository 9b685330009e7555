//! Attributes of a request, judged by a template that lets them have a say: the dangerous options.
#![no_main]

use std::sync::OnceLock;

use exeunt_engine::{Asked, Caller, Decision, Door, Policy as _};
use exeunt_policy::{
    Callers, Dangerous, NameEntry, NameKind, NamesRule, Pattern, SubjectPart, SubjectRule,
    Template, TemplatePolicy,
};
use exeunt_types::{Roles, UnixMillis};
use exeunt_x509::{CertificationRequest, GeneralName, Name, SAN_COUNT_MAX, parse_request};
use libfuzzer_sys::fuzz_target;

const REQUEST: &[u8] = include_bytes!("../seeds/request/ecp256.der");

fn policy() -> &'static (TemplatePolicy, CertificationRequest) {
    static POLICY: OnceLock<(TemplatePolicy, CertificationRequest)> = OnceLock::new();
    POLICY.get_or_init(|| {
        let place = |text: &str| Pattern::parse(text).expect("it is a pattern");
        let part =
            |oid: &str, text: &str| vec![SubjectPart { oid: oid.to_owned(), value: place(text) }];
        let open = Template {
            callers: Callers::Authenticated,
            subject_allowed: vec!["2.5.4.3".to_owned(), "2.5.4.10".to_owned()],
            names_allowed: NameKind::NAMES.map(|(_, kind)| kind).to_vec(),
            dangerous: Dangerous {
                san_from_attributes: true,
                end_date_from_attributes: true,
                eku_from_attributes: true,
                all_request_extensions: true,
                subject_from_attributes: true,
            },
            ..Template::new("open")
        };
        let built = Template {
            subject: SubjectRule {
                build: vec![
                    part("2.5.4.3", "{RequesterShortName}"),
                    part("2.5.4.10", "Fixed {CommonName}"),
                ],
                ..SubjectRule::default()
            },
            names: NamesRule {
                add: vec![NameEntry {
                    kind: NameKind::Upn,
                    value: place("{RequesterName}@example.com"),
                }],
                ..NamesRule::default()
            },
            ..open.clone()
        };
        let built = Template { name: "built".to_owned(), ..built };
        let policy = TemplatePolicy::new(vec![open, built], None).expect("they are good");
        (policy, parse_request(REQUEST).expect("the seed is a request"))
    })
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let caller = Caller::new(lines.next().unwrap_or_default(), Door::Remote, Roles::ENROLLEE);
    let attributes: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let (policy, request) = policy();
    for template in ["open", "built"] {
        let asked = Asked {
            request,
            attributes: &attributes,
            template: Some(template),
            caller: &caller,
            on_behalf_of: None,
            renewed: None,
            signatures: &[],
            approvals: &[],
            officers: &[],
            new_request: true,
            now: UnixMillis(1_800_000_000_000),
        };
        match policy.decide(&asked) {
            Decision::Issue(plan) => {
                assert!(plan.not_after.is_none_or(|it| it.0 < i64::MAX / 2));
                assert!(plan.subject_alternative_names.len() <= 2 * SAN_COUNT_MAX + 1);
                for name in &plan.subject_alternative_names {
                    // Names with a text of their own are read back from it.
                    if !matches!(name, GeneralName::Other { .. }) {
                        assert_eq!(GeneralName::parse(&name.to_string()).as_ref(), Ok(name));
                    }
                }
                let subject = Name::parse(&plan.subject.to_string());
                assert_eq!(subject.as_ref(), Ok(&plan.subject), "a text breaks out of its name");
            }
            Decision::Refuse { message, .. } => assert!(!message.contains('\n'), "{message:?}"),
            Decision::Hold { .. } | Decision::Fail { .. } => {}
        }
        let _ = policy.explain(&asked);
    }
});
