//! What the rules make of a request: the plan, part by part.

use exeunt_engine::{Decision, Plan};
use exeunt_policy::{
    Dangerous, NameKind, NamesRule, OnBehalf, RatePer, RateRule, SubjectPart, SubjectRule, Template,
};
use exeunt_x509::{assemble_request, build_request_info, parse_request};

use crate::support::request;
use crate::table::{DAY, Given, NOW, explain, name_entry, part, plain, with_names, with_subject};

#[track_caller]
fn plan(template: Template, given: &Given) -> Plan {
    match explain(template, given).1 {
        Decision::Issue(plan) => *plan,
        other => panic!("not issued: {other:?}"),
    }
}

#[test]
fn a_subject_is_built_in_the_order_of_the_template_from_properties_and_fixed_parts() {
    let build = |rows: Vec<Vec<SubjectPart>>, separator: &str| SubjectRule {
        build: rows,
        separator: separator.to_owned(),
        ..SubjectRule::default()
    };
    let all = vec![
        part("2.5.4.3", "{CommonName}"),
        part("2.5.4.11", "{OrgUnit}"),
        part("2.5.4.11", "Servers"),
        part("2.5.4.10", "Acme, Inc. {{1}}"),
        part("2.5.4.6", "DE"),
    ];
    let allowed = ["3", "10", "11", "5"].map(|it| format!("2.5.4.{it}"));
    let of =
        |subject: SubjectRule| Template { subject_allowed: allowed.to_vec(), subject, ..plain() };
    let subject = |rule, asked| plan(of(rule), &Given::of(asked)).subject.to_string();
    let asked = || request("ec:P-256", "/O=Evil/OU=a/OU=b/CN=host.example", &[]);
    let made = subject(build(all.clone(), "\n"), asked());
    assert_eq!(made, "CN=host.example,OU=a,OU=b,OU=Servers,O=Acme\\, Inc. {1},C=DE");
    // What has no value is left out.
    let bare = request("ec:P-256", "/CN=host.example", &[]);
    let made = subject(build(all, "\n"), bare);
    assert_eq!(made, "CN=host.example,OU=Servers,O=Acme\\, Inc. {1},C=DE");
    // Values are split at the separator, and several attributes make one RDN.
    let split = vec![part("2.5.4.11", "{CommonName}")];
    assert_eq!(subject(build(split, "."), asked()), "OU=host,OU=example");
    let joined = [part("2.5.4.3", "{CN}"), part("2.5.4.11", "{RequesterShortName}")].concat();
    // An RDN is a set, whose members stand in the order of their encodings (X.690, section 11.6).
    assert_eq!(subject(build(vec![joined], "\n"), asked()), "OU=alice+CN=host.example");
}

#[test]
fn what_a_requester_says_does_not_break_out_of_a_built_subject() {
    let build = vec![part("2.5.4.3", "{CommonName}"), part("2.5.4.10", "Acme")];
    let template = with_subject(SubjectRule { build, ..SubjectRule::default() });
    for name in ["a,O=Evil", "a+O=Evil", "#0c0161", "\\,O=Evil", "a\"b;<>", " a "] {
        let subject = exeunt_x509::Name::parse(&format!("CN={}", escaped(name))).unwrap();
        let plain = Given::plain().request;
        let info = build_request_info(&subject, plain.spki_der(), &[]).unwrap();
        let der = assemble_request(&info, plain.scheme(), plain.signature());
        let made = plan(template.clone(), &Given::of(parse_request(&der).unwrap()));
        let parts: Vec<_> = made.subject.attributes().map(|(_, value)| value.to_owned()).collect();
        assert_eq!(parts, ["Acme", name]);
    }
}

#[test]
fn what_a_requester_says_does_not_break_out_of_an_added_directory_name() {
    let add = vec![name_entry(NameKind::Directory, "CN={CommonName},O=Acme")];
    let template = with_names(NamesRule { add, ..NamesRule::default() });
    for name in ["a,O=Evil", "a+O=Evil", "#0c0161", "\\,O=Evil", " a "] {
        let text = format!("CN={}", escaped(name));
        let subject = exeunt_x509::Name::parse(&text).unwrap();
        let plain = Given::plain().request;
        let info = build_request_info(&subject, plain.spki_der(), &[]).unwrap();
        let der = assemble_request(&info, plain.scheme(), plain.signature());
        let made = plan(template.clone(), &Given::of(parse_request(&der).unwrap()));
        let directory = exeunt_x509::Name::parse(&format!("{text},O=Acme")).unwrap();
        let expected = exeunt_x509::GeneralName::directory(&directory);
        assert_eq!(made.subject_alternative_names, [expected], "{name}");
    }
}

/// RFC 4514, section 2.4, every octet by its number.
fn escaped(text: &str) -> String {
    let octets: Vec<String> = text.bytes().map(|it| format!("\\{it:02x}")).collect();
    octets.concat()
}

#[test]
fn names_are_added_to_those_of_the_request_and_each_is_there_once() {
    let add = vec![
        name_entry(NameKind::Dns, "{CommonName}"),
        name_entry(NameKind::Upn, "{RequesterShortName}@corp.example"),
        name_entry(NameKind::Directory, "{DistinguishedName}"),
        name_entry(NameKind::Uri, "urn:host:{dns}"),
        name_entry(NameKind::Email, "{EMail}"),
    ];
    let made = plan(with_names(NamesRule { add, ..NamesRule::default() }), &Given::plain());
    let names = made.subject_alternative_names;
    assert_eq!(names.len(), 4);
    assert_eq!(names[0].to_string(), "dns:host.example");
    assert_eq!(names[1].user_principal_name().as_deref(), Some("alice@corp.example"));
    assert!(names[2].to_string().starts_with("directory:a4"));
    assert_eq!(names[3].to_string(), "uri:urn:host:host.example");
}

#[test]
fn what_a_certificate_is_good_for_is_taken_from_a_request_by_a_dangerous_option_alone() {
    for dotted in ["2.5.29.37", "1.3.6.1.4.1.311.21.10", "2.5.29.19", "2.5.29.17"] {
        let oid = exeunt_x509::ObjectIdentifier::new(dotted).unwrap();
        let refused = Template { extensions_allowed: vec![oid], ..plain() }.check().unwrap_err();
        assert!(refused.to_string().contains("extensions_from_request holds"), "{refused}");
    }
    let usages = exeunt_x509::Extension::extended_key_usage(&[exeunt_policy::UsageName::parse(
        "OCSPSigning",
    )
    .unwrap()]);
    let wish = Given::wishing(&[usages]);
    assert!(plan(plain(), &wish).extensions.is_empty());
    let all = Dangerous { all_request_extensions: true, ..Dangerous::default() };
    let made = plan(Template { dangerous: all, ..plain() }, &wish);
    assert_eq!(made.extensions.len(), 1);
    assert_eq!(made.notes, ["all_request_extensions: 2.5.29.37"]);
}

#[test]
fn a_plan_carries_what_the_engine_and_modules_need() {
    let template = Template {
        rates: vec![
            RateRule { certificates: 2, window: DAY, per: RatePer::Template },
            RateRule { certificates: 1, window: DAY, per: RatePer::Requester },
        ],
        flags: exeunt_policy::flags_of(8, 0, 0),
        valid_until: Some(NOW.plus(DAY)),
        dangerous: Dangerous { san_from_attributes: true, ..Dangerous::default() },
        on_behalf: OnBehalf::Allow,
        ..plain()
    };
    let mut given = Given::saying("SAN", "upn=bob@corp.example");
    given.on_behalf_of = Some("CORP\\bob".to_owned());
    let made = plan(template, &given);
    let scopes: Vec<&str> = made.limits.iter().map(|it| it.scope.as_str()).collect();
    assert_eq!(scopes, ["template t", "template t for CORP\\bob"]);
    assert_eq!(made.flags.unwrap().enrollment, 8);
    assert_eq!(made.not_after, Some(NOW.plus(DAY)));
    assert_eq!(made.notes, ["san_from_attributes: upn=bob@corp.example"]);
    // A dangerous option that nobody makes use of is not noted.
    let quiet = Template {
        dangerous: Dangerous { san_from_attributes: true, ..Dangerous::default() },
        ..plain()
    };
    assert!(plan(quiet, &Given::plain()).notes.is_empty());
}
