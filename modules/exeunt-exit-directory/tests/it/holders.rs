//! Whose object is written, and what of it.

use std::collections::BTreeSet;

use exeunt_exit_directory::DirectoryExit;
use exeunt_module_kit::{
    Event, Outcome, Properties, Value, exit_event,
    maintain::{CheckResult, Difference, EVENTS_MAX},
    testing::Host,
};
use exeunt_publication::certificate::Certificate;
use exeunt_testbed::openldap::{OpenLdap, PEOPLE, READER};
use serde_json::{Value as Json, json};

use crate::{
    fixture::{
        Holdings, PUBLISH_TO_DS, assert_holdings, certificate, deliver, holdings, issued,
        ldif_value, now, reason, rest, settings, started, tell, told, with,
    },
    minted::{DAY, Leaf, TestCa},
    objects::maintaining,
};

fn accept(outcomes: &[Outcome]) {
    for outcome in outcomes {
        assert_eq!(*outcome, Outcome::Accept);
    }
}

#[test]
fn thousands_of_certificates_end_on_their_holders_objects_and_nowhere_else() {
    let server = OpenLdap::start();
    let names: Vec<String> = (0..500).map(|it| format!("user{it}")).collect();
    server.add_persons(names.iter().map(String::as_str));
    let (ca, other) = (TestCa::new("Ours"), TestCa::new("Others"));
    let theirs = certificate(&other, "user7", 7);
    server.admin_ldif(&ldif_value("add", "user7", &theirs));
    let before = rest(&server);

    let mut expected = Holdings::new();
    expected.entry("user7".to_owned()).or_default().insert(theirs);
    let mut events = Vec::new();
    for serial in 0..3000_u32 {
        let name = &names[serial as usize % names.len()];
        let der = certificate(&ca, name, serial + 2);
        let seq = u64::from(serial) + 1;
        events.push(issued(seq, &format!("EXAMPLE\\{name}"), &der, &ca));
        let held = expected.entry(name.clone()).or_default();
        if serial % 5 == 0 {
            events.push(told(exit_event::CERT_REVOKED, seq, name, &der, &ca));
        }
        if serial % 5 != 0 || serial % 10 == 0 {
            held.insert(der.clone());
        }
        if serial % 10 == 0 {
            events.push(told(exit_event::CERT_UNREVOKED, seq, name, &der, &ca));
        }
    }
    let mut host = started(&settings(&server, &server.tls_url()));
    accept(&deliver(&mut host, &events));
    assert_holdings(&server, expected.clone());
    // A replay from the beginning ends where it was.
    accept(&deliver(&mut host, &events));
    assert_holdings(&server, expected.clone());
    assert_eq!(rest(&server), before);
    host.shutdown().unwrap();
}

#[test]
fn only_what_a_template_asks_for_is_published() {
    let server = OpenLdap::start();
    server.add_persons(["alice"]);
    let ca = TestCa::new("Ours");
    let asked = |flags: Option<i32>, template: &str, serial: u32| {
        let mut event = issued(u64::from(serial), "alice", &certificate(&ca, "alice", serial), &ca);
        event.certificate.set("EnrollmentFlags", flags.map(Value::Long));
        event.certificate.set("CertificateTemplate", Some(Value::String(template.to_owned())));
        // The same bit among the general flags means nothing.
        event.certificate.set("GeneralFlags", Some(Value::Long(PUBLISH_TO_DS)));
        event
    };
    let templates = json!({"users": {"templates": {
        "Always": {"publish": "always"}, "Never": {"publish": "never"}}}});
    let mut host = started(&with(settings(&server, &server.tls_url()), &templates));
    let events = [
        asked(None, "User", 2),
        asked(Some(0), "User", 3),
        asked(Some(0x4), "User", 4),
        asked(Some(0x28), "User", 5),
        asked(None, "Always", 6),
        asked(Some(8), "Never", 7),
    ];
    let outcomes = deliver(&mut host, &events);
    let published: Vec<bool> = outcomes.iter().map(|it| *it == Outcome::Accept).collect();
    assert_eq!(published, [false, false, false, true, true, false]);
    assert!(outcomes.iter().all(|it| matches!(it, Outcome::Accept | Outcome::Skip)));
    let der = |it: &Event| it.certificate.binary("RawCertificate").unwrap().to_vec();
    let expected = BTreeSet::from([der(&events[3]), der(&events[4])]);
    assert_eq!(holdings(&server)["alice"], expected);
}

/// Tells of one certificate with these settings for users.
fn outcome_with(server: &OpenLdap, users: &Json, requester: &str, name: &str) -> Outcome {
    let ca = TestCa::new("Ours");
    let settings = with(settings(server, &server.tls_url()), &json!({"users": users}));
    let mut host = started(&settings);
    tell(&mut host, &[issued(1, requester, &certificate(&ca, name, 2), &ca)]).remove(0)
}

#[test]
fn a_holder_is_found_by_whatever_the_settings_say() {
    let server = OpenLdap::start();
    server.add_persons(["alice", "smith bob", "eve"]);
    let found = |users: &Json, requester: &str, name: &str, holder: &str| {
        assert_eq!(outcome_with(&server, users, requester, name), Outcome::Accept, "{users}");
        let held = holdings(&server);
        assert_eq!(held.keys().collect::<Vec<_>>(), [holder], "{users}");
        server.admin_ldif(&format!(
            "dn: uid={holder},{PEOPLE}\nchangetype: modify\ndelete: userCertificate;binary\n"
        ));
    };
    found(&json!({"filters": ["(mail={mail})"]}), "nobody", "alice", "alice");
    found(&json!({"filters": ["(uid={cn})"]}), "nobody", "alice", "alice");
    found(&json!({"filters": ["(cn={dns})", "(mail={mail})"]}), "nobody", "alice", "alice");
    found(&json!({"dn": format!("uid={{account}},{PEOPLE}")}), "alice@a.test", "x", "alice");
    let template = json!({"templates": {"User": {"filters": ["(mail={mail})"]}}});
    found(&template, "eve", "alice", "alice");
    found(&json!({"bases": []}), "EXAMPLE\\eve", "x", "eve");
}

#[test]
fn what_is_not_exactly_one_object_in_its_place_is_not_written() {
    let server = OpenLdap::start();
    server.add_persons(["alice", "bob"]);
    let refused = |users: &Json, requester: &str, code: &str| {
        let outcome = outcome_with(&server, users, requester, "x");
        assert!(matches!(outcome, Outcome::Park { .. }), "{outcome:?}");
        assert!(reason(&outcome).starts_with(code), "{outcome:?}");
    };
    refused(&json!({}), "carol", "directory-holder-missing: ");
    // Nobody's name becomes a piece of a filter or of a name.
    refused(&json!({}), "*", "directory-holder-missing: ");
    refused(&json!({}), "alice)(uid=*", "directory-holder-missing: ");
    let name = format!("uid={{requester}},{PEOPLE}");
    refused(&json!({"dn": name}), "bob,ou=people", "directory-holder-missing: ");
    let everybody = json!({"filters": ["(|(uid={account})(objectClass=person))"]});
    refused(&everybody, "alice", "directory-holder-ambiguous: ");
    let elsewhere =
        json!({"dn": format!("uid={{account}},{PEOPLE}"), "bases": ["ou=pki,dc=example,dc=test"]});
    refused(&elsewhere, "alice", "directory-holder-outside: ");
    refused(&json!({"filters": ["(cn={dns})"]}), "alice", "directory-word: ");
    assert!(holdings(&server).is_empty());
    let skip = json!({"when_missing": "skip"});
    assert_eq!(outcome_with(&server, &skip, "carol", "x"), Outcome::Skip);
}

#[test]
fn expired_ones_of_this_ca_leave_and_those_of_others_stay() {
    let server = OpenLdap::start();
    server.add_persons(["alice"]);
    let (ours, others, impostor) =
        (TestCa::new("Ours"), TestCa::new("Others"), TestCa::new("Ours"));
    let expired = |ca: &TestCa, serial: u32| {
        let (not_before, not_after) = (now() - 90 * DAY, now() - 2 * DAY);
        ca.issue(&Leaf { name: "alice", serial, not_before, not_after })
    };
    let (old, theirs, named) = (expired(&ours, 2), expired(&others, 3), expired(&impostor, 4));
    for der in [&old, &theirs, &named] {
        server.admin_ldif(&ldif_value("add", "alice", der));
    }
    let new = certificate(&ours, "alice", 5);
    let expiry = json!({"users": {"remove_expired": true}});
    let mut host = started(&with(settings(&server, &server.tls_url()), &expiry));
    // What is over is not put there again by a replay.
    let outcomes =
        deliver(&mut host, &[issued(1, "alice", &old, &ours), issued(2, "alice", &new, &ours)]);
    assert_eq!(outcomes, [Outcome::Skip, Outcome::Accept]);
    assert_eq!(holdings(&server)["alice"], BTreeSet::from([theirs, named, new]));
}

#[test]
fn an_object_takes_so_many_certificates_and_no_more() {
    let server = OpenLdap::start();
    server.add_persons(["alice", "bob"]);
    let ca = TestCa::new("Ours");
    let der = |serial: u32| {
        let not_before = now() - DAY + i64::from(serial);
        ca.issue(&Leaf { name: "alice", serial, not_before, not_after: now() + DAY })
    };
    let all: Vec<Vec<u8>> = (2..7).map(der).collect();
    let events = |name: &str| -> Vec<Event> {
        (1..).zip(&all).map(|(seq, der)| issued(seq, name, der, &ca)).collect()
    };
    let park = json!({"users": {"values_max": 3}});
    let mut host = started(&with(settings(&server, &server.tls_url()), &park));
    let outcomes = deliver(&mut host, &events("alice"));
    accept(&outcomes[..3]);
    assert!(outcomes[3..].iter().all(|it| reason(it).starts_with("directory-holder-full: ")));
    assert_eq!(holdings(&server)["alice"], all[..3].iter().cloned().collect());
    let replace = json!({"users": {"values_max": 3, "when_full": "replace-oldest"}});
    let mut host = started(&with(settings(&server, &server.tls_url()), &replace));
    deliver(&mut host, &events("bob"));
    let mut backwards = events("alice");
    backwards.reverse();
    deliver(&mut host, &backwards);
    let youngest: BTreeSet<Vec<u8>> = all[2..].iter().cloned().collect();
    assert_eq!(
        holdings(&server),
        Holdings::from([("alice".to_owned(), youngest.clone()), ("bob".to_owned(), youngest),])
    );
}

#[test]
fn every_way_to_log_in_works_and_a_wrong_one_is_said() {
    let server = OpenLdap::start();
    server.add_persons(["alice"]);
    let ca = TestCa::new("Ours");
    let client = server.client("publisher");
    let plain = settings(&server, &server.tls_url());
    let without_password = || {
        let mut settings = plain.clone();
        for name in ["bind_dn", "password_file"] {
            settings.as_object_mut().unwrap().remove(name);
        }
        settings
    };
    let external = json!({
        "authentication": "external",
        "client_certificate_file": client.certificate,
        "client_key_file": client.key,
    });
    let start_tls = json!({"servers": [server.url()], "start_tls": true});
    let mut serial = 2;
    for settings in [
        plain.clone(),
        with(plain.clone(), &start_tls),
        with(without_password(), &external),
        with(with(without_password(), &external), &start_tls),
        with(plain.clone(), &json!({"binary": "yes"})),
    ] {
        let mut host = started(&settings);
        let event = issued(1, "alice", &certificate(&ca, "alice", serial), &ca);
        assert_eq!(tell(&mut host, &[event]), [Outcome::Accept], "{settings}");
        serial += 1;
    }
    let mut said = |settings: &Json, said: &str| {
        let mut host = started(settings);
        serial += 1;
        let event = issued(1, "alice", &certificate(&ca, "alice", serial), &ca);
        let outcome = tell(&mut host, &[event]).remove(0);
        assert!(reason(&outcome).contains(said), "{settings}: {outcome:?}");
        assert!(
            matches!(outcome, Outcome::Retry { .. } | Outcome::TargetDown { .. }),
            "{outcome:?}"
        );
    };
    let nobody = json!({"bind_dn": "cn=nobody,dc=example,dc=test"});
    said(&with(plain.clone(), &nobody), "invalidCredentials (49)");
    // Nothing of the kind has been written by this process yet: that parks nothing.
    let reader = json!({"bind_dn": READER});
    said(&with(plain.clone(), &reader), "insufficientAccessRights (50)");
    said(&with(plain.clone(), &json!({"binary": "no"})), "(17)");
    let anonymous = json!({"authentication": "anonymous"});
    said(&with(without_password(), &anonymous), "(8)");
}

#[test]
fn missing_rights_park_nothing_before_the_first_write_and_only_their_object_later() {
    let server = OpenLdap::start();
    server.add_persons(["alice"]);
    // The account may write people, and nothing beside them.
    server.admin_ldif(
        "dn: uid=carol,dc=example,dc=test\nobjectClass: inetOrgPerson\nuid: carol\ncn: carol\n\
         sn: carol\n",
    );
    let ca = TestCa::new("Ours");
    let everywhere = json!({"users": {"bases": ["dc=example,dc=test"]}});
    let mut host = started(&with(settings(&server, &server.tls_url()), &everywhere));
    let event =
        |seq: u32, name: &str| issued(u64::from(seq), name, &certificate(&ca, name, seq), &ca);
    let early = tell(&mut host, &[event(1, "carol"), event(2, "carol")]);
    for outcome in &early {
        assert!(
            matches!(outcome, Outcome::Retry { .. } | Outcome::TargetDown { .. }),
            "{outcome:?}"
        );
        assert!(reason(outcome).starts_with("directory-never-written: "), "{outcome:?}");
        assert!(reason(outcome).contains("insufficientAccessRights (50)"), "{outcome:?}");
    }
    let alice = event(3, "alice");
    accept(&tell(&mut host, std::slice::from_ref(&alice)));
    let late = tell(&mut host, &[event(1, "carol")]).remove(0);
    assert!(matches!(late, Outcome::Park { .. }), "{late:?}");
    assert!(reason(&late).starts_with("directory-answer: "), "{late:?}");
    // What was there before the process began is no write of its own.
    let mut host = started(&with(settings(&server, &server.tls_url()), &everywhere));
    accept(&tell(&mut host, &[alice]));
    assert!(matches!(
        tell(&mut host, &[event(1, "carol")])[0],
        Outcome::Retry { .. } | Outcome::TargetDown { .. }
    ));
}

#[test]
fn what_people_hold_is_compared_and_mended_and_what_others_issued_stays() {
    let server = OpenLdap::start();
    server.add_persons(["alice", "bob"]);
    let (ca, other) = (TestCa::new("Ours"), TestCa::new("Others"));
    let over = |ca: &TestCa, serial: u32, days: i64| {
        let (not_before, not_after) = (now() - 90 * DAY, now() - days * DAY / 2);
        ca.issue(&Leaf { name: "alice", serial, not_before, not_after })
    };
    let (missing, revoked) = (certificate(&ca, "alice", 2), certificate(&ca, "alice", 3));
    // Over for two days: one that the CA tells of, and one that it holds no more. Half a day is less
    // than the 24 hours that they stay.
    let (told_of, forgotten, young) = (over(&ca, 4, 4), over(&ca, 5, 4), over(&ca, 6, 1));
    let (theirs, fine) = (over(&other, 7, 4), certificate(&ca, "bob", 8));
    for der in [&revoked, &told_of, &forgotten, &young, &theirs] {
        server.admin_ldif(&ldif_value("add", "alice", der));
    }
    server.admin_ldif(&ldif_value("add", "bob", &fine));
    let mut truth = vec![
        issued(1, "alice", &missing, &ca),
        told(exit_event::CERT_REVOKED, 2, "alice", &revoked, &ca),
    ];
    // So many that the rest comes with another message.
    truth.extend((0..EVENTS_MAX).map(|_| issued(3, "bob", &fine, &ca)));
    truth.extend([issued(4, "alice", &told_of, &ca), issued(5, "alice", &young, &ca)]);
    let compare = |users: &Json, mend: bool| {
        let settings = with(settings(&server, &server.tls_url()), &json!({"users": users}));
        let mut host = maintaining(&settings, Properties::default());
        let all = host.reconcile(&truth, mend).unwrap().findings;
        assert!(all.iter().all(|it| it.mended == mend && it.error.is_none()), "{all:?}");
        let mut all: Vec<_> = all.into_iter().map(|it| (it.difference, it.text)).collect();
        all.sort();
        all
    };
    let found = |difference, der: &[u8], request: &str| {
        let serial = Certificate::from_der(der).unwrap().serial().to_string();
        (difference, format!("certificate {serial}{request}"))
    };
    let (gone, lacks) = (Difference::Surplus, Difference::Missing);
    let both = json!({"remove_expired": true, "remove_revoked": true});
    let expected = [
        found(lacks, &missing, ", request 1"),
        found(gone, &revoked, ", request 2"),
        // Found with another event than its own.
        found(gone, &told_of, ""),
        found(gone, &forgotten, ""),
    ];
    let before = server.contents();
    let neither = json!({"remove_expired": false, "remove_revoked": false});
    assert_eq!(compare(&neither, false), expected[..1]);
    assert_eq!(compare(&both, false), expected);
    assert_eq!(server.contents(), before);
    assert_eq!(compare(&both, true), expected);
    assert_eq!(compare(&both, false), []);
    let held = holdings(&server);
    assert_eq!(held["alice"], BTreeSet::from([missing.clone(), young.clone(), theirs.clone()]));
    assert_eq!(held["bob"], BTreeSet::from([fine.clone()]));
}

#[test]
fn settings_that_cannot_be_are_refused_by_name() {
    let server = OpenLdap::start();
    let good = settings(&server, &server.tls_url());
    for (more, said) in [
        (json!({"servers": []}), "servers: name 1 to 16"),
        (json!({"servers": ["https://a"]}), "does not begin with ldaps://"),
        (json!({"servers": ["ldaps://a/dc=b"]}), "more than a host and a port"),
        (json!({"servers": ["ldaps://u:p@a"]}), "more than a host and a port"),
        (json!({"servers": ["ldap://a"]}), "ldap://a is not protected"),
        (json!({"servers": ["ldap://a"], "allow_plain": true}), "a password does not go to"),
        (json!({"start_tls": true}), "start_tls goes with ldap://"),
        (json!({"authentication": "gssapi"}), "\"gssapi\" is not built in"),
        (json!({"authentication": "external"}), "go with authentication \"simple\" alone"),
        (json!({"password": "secret"}), "there is no setting \"password\""),
        (json!({"password_file": "/nowhere"}), "password_file: /nowhere"),
        (json!({"ca_file": "/nowhere"}), "ca_file: /nowhere"),
        (json!({"users": {"publish": "yes"}}), "users.publish has to be"),
        (json!({"users": {"filters": ["(uid=alice)"]}}), "users.filters: "),
        (json!({"users": {"dn": "cn=alice"}}), "users.dn: "),
        (json!({"users": {"dn": "{subject}", "filters": ["(a={cn})"]}}), "do not go together"),
        (json!({"users": {"templates": {"A": {"find": 1}}}}), "users.templates.A.find"),
        (json!({"users": {"values_max": 0}}), "users.values_max has to be"),
    ] {
        let mut host = Host::in_memory(DirectoryExit::default()).unwrap();
        let err = host.initialize(&with(good.clone(), &more)).unwrap_err().to_string();
        assert!(err.contains(said), "{more}: {err}");
    }
}

#[test]
fn a_test_says_of_people_what_is_wrong_and_what_cannot_be_known() {
    let server = OpenLdap::start();
    server.add_persons(["alice"]);
    let ca = TestCa::new("Ours");
    let plain = settings(&server, &server.tls_url());
    let before = server.contents();
    let tried = |more: &Json, samples: &[Event]| {
        let mut host = maintaining(&with(plain.clone(), more), Properties::default());
        host.test_target(samples).unwrap()
    };
    let der = certificate(&ca, "alice", 2);
    let samples = [
        issued(6, "alice", &der, &ca),
        issued(7, "carol", &certificate(&ca, "carol, \\x", 3), &ca),
    ];
    let report = tried(&json!({}), &samples);
    let lines: Vec<String> = report
        .checks
        .iter()
        .map(|it| format!("{:?} {}: {}", it.result, it.what, it.text))
        .collect();
    let said =
        |text: &str| assert!(lines.iter().any(|it| it.starts_with(text)), "{text}: {lines:#?}");
    said("Passed schema: it has what will be written");
    said(&format!("Passed people below \"{PEOPLE}\": it is there"));
    said(
        "Warning rights to write: this server does not say them, and they cannot be known without",
    );
    // A backslash is shown as often as it is there.
    said(
        "Warning certificate 03, request 7, object of \"CN=carol\\, \\\\x\": directory-holder-missing: ",
    );
    let line = format!("certificate 02, request 6 in userCertificate of uid=alice,{PEOPLE}");
    assert_eq!(report.would_write, [line]);
    assert_eq!(server.contents(), before);
    let report = tried(&json!({"users": {"bases": ["ou=nobody,dc=example,dc=test"]}}), &[]);
    let failed: Vec<_> =
        report.checks.iter().filter(|it| it.result == CheckResult::Failed).collect();
    assert_eq!(failed.len(), 1, "{report:?}");
    assert!(failed[0].text.starts_with("it is not there"), "{report:?}");
    // The same of what could not be compared.
    let mut host = maintaining(&plain, Properties::default());
    let compared = host.reconcile(&samples[1..], false).unwrap();
    let found = &compared.findings[0];
    assert_eq!(
        (found.difference, found.text.as_str()),
        (Difference::Unknown, "certificate 03, request 7")
    );
    assert_eq!(found.place, "object of \"CN=carol\\, \\\\x\"");
}
