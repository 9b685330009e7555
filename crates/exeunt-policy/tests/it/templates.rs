//! Which template a request is measured by, and which templates are accepted at all.

use std::time::Duration;

use exeunt_policy::{
    Holder, Issuance, NameKind, Template, TemplateError, TemplatePolicy, UsageName,
};
use exeunt_types::StatusCode;
use exeunt_x509::KeyUsage;
use expect_test::{Expect, expect};

use crate::support::{ask, check_refused, plan, request, template};

const UNSUPPORTED: StatusCode = StatusCode(0x8009_4800);

fn policy(names: &[&str], default: Option<&str>) -> TemplatePolicy {
    let templates = names.iter().map(|it| template(it)).collect();
    TemplatePolicy::new(templates, default.map(str::to_owned)).unwrap()
}

#[test]
fn a_request_is_measured_by_the_template_it_names_or_else_by_the_default() {
    let asked = request("ec:P-256", "/CN=host.example", &[]);
    let chosen = |policy: &TemplatePolicy, named| plan(ask(policy, named, &asked)).template;
    let two = policy(&["a", "b"], Some("b"));
    assert_eq!(chosen(&two, Some("a")), "a");
    assert_eq!(chosen(&two, Some("b")), "b");
    assert_eq!(chosen(&two, None), "b");
    // With one alone there is nothing to choose.
    assert_eq!(chosen(&policy(&["a"], None), None), "a");
    assert_eq!(chosen(&policy(&["a"], None), Some("a")), "a");
}

#[test]
fn a_template_that_is_unknown_or_not_named_refuses_the_request() {
    let asked = request("ec:P-256", "/CN=host.example", &[]);
    let two = policy(&["a", "b"], None);
    check_refused(ask(&two, None, &asked), "", "template-not-named", UNSUPPORTED, "no default");
    let none = policy(&[], None);
    check_refused(ask(&none, None, &asked), "", "template-not-named", UNSUPPORTED, "no default");
    // A name that is wrong is not replaced by the default, nor by the only one.
    for policy in [policy(&["a", "b"], Some("b")), policy(&["a"], None), two, none] {
        for name in ["c", "A", "", "a ", " a"] {
            let word = format!("{name:?}");
            check_refused(
                ask(&policy, Some(name), &asked),
                "",
                "template-unknown",
                UNSUPPORTED,
                &word,
            );
        }
    }
}

#[test]
fn the_name_of_an_unknown_template_comes_back_short_and_plain() {
    let asked = request("ec:P-256", "/CN=host.example", &[]);
    let evil = format!("\n\u{202e}{}", "x".repeat(10_000));
    let decision = ask(&policy(&["a"], None), Some(&evil), &asked);
    let exeunt_engine::Decision::Refuse { message, .. } = decision else { panic!() };
    expect![[
        r#"there is no template "\n\u{202e}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…""#
    ]]
    .assert_eq(&message);
}

#[test]
fn a_list_of_templates_is_checked_as_a_whole() {
    let check = |templates: Vec<Template>, default: Option<&str>, expect: &Expect| {
        let err = TemplatePolicy::new(templates, default.map(str::to_owned)).unwrap_err();
        expect.assert_eq(&err.to_string());
    };
    check(
        vec![template("a"), template("b"), template("a")],
        None,
        &expect!["template a is there twice"],
    );
    let unknown = &expect!["default template c is not among the templates"];
    check(vec![template("a")], Some("c"), unknown);
    let bad = Template { key_usage: KeyUsage::default(), ..template("b") };
    check(vec![template("a"), bad], None, &expect!["template b: no key usage is given"]);
    assert!(TemplatePolicy::new(Vec::new(), Some("a".to_owned())).is_err());
}

#[track_caller]
fn check_template(change: impl FnOnce(&mut Template), expected: &Result<(), TemplateError>) {
    let mut changed = template("tls");
    change(&mut changed);
    assert_eq!(changed.check(), *expected);
}

#[test]
fn the_name_of_a_template_is_plain() {
    for good in ["a", "tls-server", "A.b_9", &"x".repeat(64)] {
        check_template(|it| it.name = good.to_owned(), &Ok(()));
    }
    for bad in ["", " ", "a b", "a/b", "a:b", "ä", "a\n", &"x".repeat(65)] {
        let expected = TemplateError::Name(bad.to_owned());
        check_template(|it| it.name = bad.to_owned(), &Err(expected));
    }
}

#[test]
fn a_template_of_cas_signs_certificates_and_waits_for_an_officer() {
    let name = || "tls".to_owned();
    let check = |usage, issuance, holder, expected| {
        let change = |it: &mut Template| {
            (it.key_usage, it.issuance, it.holder) = (usage, issuance, holder);
        };
        check_template(change, &expected);
    };
    let (signs, lists) = (KeyUsage::KEY_CERT_SIGN, KeyUsage::CRL_SIGN);
    for path_length in [None, Some(0), Some(255)] {
        let ca = Holder::Ca { path_length };
        check(signs, Issuance::Hold, ca, Ok(()));
        check(signs | lists, Issuance::Hold, ca, Ok(()));
        check(signs, Issuance::AtOnce, ca, Err(TemplateError::CaAtOnce(name())));
        check(lists, Issuance::Hold, ca, Err(TemplateError::CaWithoutCertSign(name())));
    }
    for usage in [signs, lists] {
        let refused = Err(TemplateError::CaKeyUsage(name()));
        check(usage, Issuance::Hold, Holder::EndEntity, refused);
    }
}

#[test]
fn the_times_of_a_template_have_bounds() {
    let day = Duration::from_hours(24);
    let second = Duration::from_secs(1);
    let validity = || Err(TemplateError::Validity("tls".to_owned()));
    check_template(|it| it.validity = day, &Ok(()));
    check_template(|it| it.validity = day.saturating_sub(second), &validity());
    check_template(|it| it.validity = day * 36_525, &Ok(()));
    check_template(|it| it.validity = day * 36_525 + second, &validity());
    check_template(|it| it.validity = Duration::MAX, &validity());
    check_template(|it| it.backdate = Duration::ZERO, &Ok(()));
    check_template(|it| it.backdate = day, &Ok(()));
    let backdate = Err(TemplateError::Backdate("tls".to_owned()));
    check_template(|it| it.backdate = day + second, &backdate);
}

#[test]
fn the_key_usage_of_a_template_is_not_empty_and_not_that_of_a_ca() {
    let none = Err(TemplateError::NoKeyUsage("tls".to_owned()));
    check_template(|it| it.key_usage = KeyUsage::default(), &none);
    for usage in [KeyUsage::KEY_CERT_SIGN, KeyUsage::CRL_SIGN] {
        let of_a_ca = || Err(TemplateError::CaKeyUsage("tls".to_owned()));
        check_template(|it| it.key_usage = usage, &of_a_ca());
        check_template(|it| it.key_usage |= usage, &of_a_ca());
    }
}

#[test]
fn a_template_leaves_the_requester_some_name() {
    check_template(|it| it.subject_allowed.clear(), &Ok(()));
    check_template(|it| it.names_allowed.clear(), &Ok(()));
    let nameless = |it: &mut Template| {
        it.subject_allowed.clear();
        it.names_allowed.clear();
    };
    check_template(nameless, &Err(TemplateError::Nameless("tls".to_owned())));
}

/// RFC 5280, section 4.2.1.12.
#[test]
fn usages_have_the_names_of_the_rfc_or_are_dotted() {
    for (name, oid) in [
        ("serverAuth", "1.3.6.1.5.5.7.3.1"),
        ("clientAuth", "1.3.6.1.5.5.7.3.2"),
        ("codeSigning", "1.3.6.1.5.5.7.3.3"),
        ("emailProtection", "1.3.6.1.5.5.7.3.4"),
        ("timeStamping", "1.3.6.1.5.5.7.3.8"),
        ("OCSPSigning", "1.3.6.1.5.5.7.3.9"),
        ("1.2.3.4", "1.2.3.4"),
    ] {
        assert_eq!(UsageName::parse(name).unwrap().to_string(), oid);
    }
    for bad in ["", "serverauth", "1", "1.", ".1", "3.1", "1.40", "a.b", "1.2.3 "] {
        assert_eq!(UsageName::parse(bad), None, "{bad:?}");
    }
}

#[test]
fn kinds_of_names_have_lower_case_names() {
    for (name, kind) in [
        ("dns", NameKind::Dns),
        ("ip", NameKind::Ip),
        ("email", NameKind::Email),
        ("uri", NameKind::Uri),
    ] {
        assert_eq!(NameKind::from_name(name), Some(kind));
        assert_eq!(NameKind::from_name(&name.to_uppercase()), None);
    }
}
