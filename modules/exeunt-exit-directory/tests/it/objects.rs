//! The CA's own objects in `OpenLDAP`: made, kept up to date, compared; and what others do meanwhile.

use std::{fs, process::Command, slice::from_ref, sync::Barrier, thread};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use exeunt_exit_directory::DirectoryExit;
use exeunt_module::call_back::{Found, Query, Refusal};
use exeunt_module_kit::{
    Outcome, Properties, exit_event,
    maintain::{CheckResult, Difference},
    testing::Host,
};
use exeunt_testbed::{
    openldap::{ADMIN, OpenLdap, PKI, PUBLISHER, READER, Settings},
    process::{run, wait_for},
};
use serde_json::{Value as Json, json};

use crate::{
    authority::Authority,
    fixture::{LIMIT, deliver, reason, started, tell, with},
};

const LIST: &str = "certificateRevocationList;binary";
const DELTA: &str = "deltaRevocationList;binary";
const CERTIFICATE: &str = "cACertificate;binary";

fn cdp() -> String {
    format!("CN=Test CA,CN=ca1,CN=CDP,{PKI}")
}

fn aia() -> String {
    format!("CN=Test CA,CN=AIA,{PKI}")
}

/// Settings for the CA's objects, and nothing for holders.
fn settings(server: &OpenLdap, url: &str) -> Json {
    let settings = crate::fixture::settings(server, url);
    with(
        settings,
        &json!({
            "users": {"publish": "never"},
            "objects": {"container": PKI, "make": "parents"},
        }),
    )
}

/// A module that looks after the directory, greeted; it may ask about the CA.
pub fn maintaining(settings: &Json, system: Properties) -> Host {
    let mut host =
        Host::in_memory(DirectoryExit::default()).unwrap().with_call_backs(move |query| {
            let Query::GetCertificateProperty(asked) = query else { return Err(Refusal::Invalid) };
            // The newest certificate has the plain names.
            let name = asked.name.trim_end_matches(".0");
            system.property(name).map(|it| Found::Value(it.clone())).map_err(|_| Refusal::Empty)
        });
    host.initialize_maintain(settings).unwrap();
    host
}

/// Everything but the objects of the CA.
fn others(server: &OpenLdap) -> Vec<String> {
    let pki = format!(",{PKI}");
    let is_other = |it: &String| !it.lines().next().unwrap().ends_with(&pki);
    server.contents().into_iter().filter(is_other).collect()
}

#[test]
fn a_list_is_found_by_its_address_and_verified_by_strangers() {
    // Relying parties have neither a password nor TLS.
    let server = OpenLdap::start_with(Settings { require_tls: false, ..Settings::default() });
    let before = others(&server);
    let ca = Authority::new("Test CA");
    let (base, delta) = (ca.list(6), ca.delta(7, 6));
    let mut host = started(&settings(&server, &server.tls_url()));
    let told = ca.lists_issued(1, &base, Some(&delta));
    assert_eq!(tell(&mut host, &[told, ca.has_certificate(2)]), [Outcome::Accept, Outcome::Accept]);
    assert_eq!(server.values(&cdp(), LIST), from_ref(&base));
    assert_eq!(server.values(&cdp(), DELTA), [delta]);
    assert_eq!(server.values(&aia(), CERTIFICATE), from_ref(&ca.der));
    assert_eq!(others(&server), before);

    // As it stands in a certificate's distribution point, with the server's name put in.
    let name = cdp().replace(' ', "%20");
    let filter = "objectclass=cRLDistributionPoint";
    let address = format!("ldap://127.0.0.1:{}/{name}?{LIST}?base?({filter})", server.port());
    let said =
        String::from_utf8(run(Command::new("curl").args(["-sS", "--max-time", "20", &address])))
            .unwrap();
    let value = said.split(":: ").nth(1).unwrap().split_whitespace().collect::<String>();
    let fetched = STANDARD.decode(value).unwrap();
    assert_eq!(fetched, base);
    assert!(ca.signed(&fetched));
    assert!(!Authority::new("Test CA").signed(&fetched));
}

#[test]
fn what_is_superseded_or_not_ours_is_left_alone() {
    let server = OpenLdap::start();
    let ca = Authority::new("Test CA");
    let (old, new) = (ca.list(5), ca.list(6));
    let mut host = started(&settings(&server, &server.tls_url()));
    assert_eq!(tell(&mut host, &[ca.lists_issued(1, &new, None)]), [Outcome::Accept]);
    // A late one, and the same once more.
    assert_eq!(tell(&mut host, &[ca.lists_issued(2, &old, None)]), [Outcome::Skip]);
    assert_eq!(tell(&mut host, &[ca.lists_issued(1, &new, None)]), [Outcome::Accept]);
    assert_eq!(server.values(&cdp(), LIST), from_ref(&new));
    // A list that another key of the same name signed does not get in.
    let impostor = Authority::new("Test CA");
    let told = ca.lists_issued(3, &impostor.list(9), None);
    let outcomes = tell(&mut host, &[told]);
    assert!(reason(&outcomes[0]).starts_with("directory-list-signature"), "{outcomes:?}");
    // What somebody else has put there stays.
    let foreign = impostor.list(1);
    server.admin_ldif(&format!(
        "dn: {}\nchangetype: modify\nreplace: {LIST}\n{LIST}:: {}\n",
        cdp(),
        STANDARD.encode(&foreign)
    ));
    let outcomes = tell(&mut host, &[ca.lists_issued(4, &ca.list(7), None)]);
    assert!(reason(&outcomes[0]).starts_with("directory-object-foreign"), "{outcomes:?}");
    assert_eq!(server.values(&cdp(), LIST), [foreign]);
}

#[test]
fn a_large_list_comes_from_its_file() {
    let server = OpenLdap::start();
    let ca = Authority::new("Test CA");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.crl");
    let list = ca.list(6);
    fs::write(&path, &list).unwrap();
    let mut host = started(&settings(&server, &server.tls_url()));
    assert_eq!(tell(&mut host, &[ca.list_in_file(1, &path)]), [Outcome::Accept]);
    assert_eq!(server.values(&cdp(), LIST), [list]);
    let outcomes = tell(&mut host, &[ca.list_in_file(2, &folder.path().join("none"))]);
    assert!(reason(&outcomes[0]).starts_with("directory-list-file"), "{outcomes:?}");
    assert!(matches!(outcomes[0], Outcome::Retry { .. } | Outcome::TargetDown { .. }));
}

#[test]
fn several_writers_at_once_end_with_the_newest_list() {
    let server = OpenLdap::start();
    let ca = Authority::new("Test CA");
    let lists: Vec<Vec<u8>> = (1..=40).map(|it| ca.list(it)).collect();
    let settings = settings(&server, &server.tls_url());
    let begin = Barrier::new(3);
    thread::scope(|scope| {
        for first in 0..2 {
            let (settings, lists, ca, begin) = (&settings, &lists, &ca, &begin);
            scope.spawn(move || {
                let mut host = started(settings);
                begin.wait();
                for (at, list) in lists.iter().enumerate().skip(first).step_by(2) {
                    let outcomes =
                        deliver(&mut host, &[ca.lists_issued(at as u64 + 1, list, None)]);
                    assert!(matches!(outcomes[0], Outcome::Accept | Outcome::Skip), "{outcomes:?}");
                }
            });
        }
        // Somebody changes something else about the same object all the time.
        begin.wait();
        let change = |list: &Vec<u8>| {
            let change = format!(
                "dn: {}\nchangetype: modify\nreplace: authorityRevocationList;binary\n\
                 authorityRevocationList;binary:: {}\n",
                cdp(),
                STANDARD.encode(list)
            );
            server.try_ldif(ADMIN, &change).is_ok()
        };
        for list in &lists[..19] {
            // At first the object is not there.
            change(list);
        }
        wait_for("the object", LIMIT, || change(&lists[19]));
    });
    assert_eq!(server.values(&cdp(), LIST), from_ref(&lists[39]));
    assert_eq!(server.values(&cdp(), "authorityRevocationList;binary"), from_ref(&lists[19]));
}

#[test]
fn who_may_not_write_is_told_so() {
    let server = OpenLdap::start();
    let ca = Authority::new("Test CA");
    let usual = settings(&server, &server.tls_url());
    let mut host = started(&with(usual.clone(), &json!({"bind_dn": READER})));
    let told = [ca.lists_issued(1, &ca.list(1), None), ca.has_certificate(2)];
    for outcome in tell(&mut host, &told) {
        // Nothing of the kind has been written yet, so that nothing is parked.
        assert!(
            matches!(outcome, Outcome::Retry { .. } | Outcome::TargetDown { .. }),
            "{outcome:?}"
        );
        assert!(reason(&outcome).contains("insufficientAccessRights"), "{outcome:?}");
    }
    // What is not there is not made where the settings say so.
    for (make, said) in [("nothing", "is not there"), ("objects", "is not there")] {
        let objects = json!({"objects": {"make": make}});
        let mut host = started(&with(usual.clone(), &objects));
        for outcome in tell(&mut host, &told) {
            assert!(reason(&outcome).contains(said), "{make}: {outcome:?}");
        }
    }
}

#[test]
fn certificates_are_added_and_those_of_others_stay() {
    let server = OpenLdap::start();
    let (ca, other) = (Authority::new("Test CA"), Authority::new("Other CA"));
    let usual = settings(&server, &server.tls_url());
    let objects = json!({"objects": {
        "ntauth": true, "certification_authorities": true, "cross_certificates": true,
    }});
    let mut host = started(&with(usual, &objects));
    assert_eq!(tell(&mut host, &[other.has_certificate(1)]), [Outcome::Accept]);
    assert_eq!(tell(&mut host, &[ca.has_certificate(2)]), [Outcome::Accept]);
    let mut both = vec![ca.der.clone(), other.der.clone()];
    both.sort();
    let ntauth = format!("CN=NTAuthCertificates,{PKI}");
    let roots = format!("CN=Test CA,CN=Certification Authorities,{PKI}");
    for dn in [&ntauth, &roots, &aia()] {
        assert_eq!(server.values(dn, CERTIFICATE), both, "{dn}");
    }
    // Cross certificates come and go.
    let cross = ca.cross(&other);
    let pairs = || server.values(&aia(), "crossCertificatePair;binary");
    let told = ca.about(exit_event::CERT_ISSUED, 3, &cross);
    assert_eq!(tell(&mut host, &[told]), [Outcome::Accept]);
    let second = other.cross(&ca);
    let told = ca.about(exit_event::CERT_ISSUED, 4, &second);
    assert_eq!(tell(&mut host, &[told]), [Outcome::Accept]);
    let pair = |tag: u8, der: &[u8]| {
        let [high, low] = u16::try_from(der.len()).unwrap().to_be_bytes();
        let inner = [&[tag, 0x82, high, low][..], der].concat();
        let [high, low] = u16::try_from(inner.len()).unwrap().to_be_bytes();
        [&[0x30, 0x82, high, low][..], &inner].concat()
    };
    let mut wanted = vec![pair(0xa0, &second), pair(0xa1, &cross)];
    wanted.sort();
    assert_eq!(pairs(), wanted);
    let told = ca.about(exit_event::CERT_REVOKED, 5, &cross);
    assert_eq!(tell(&mut host, &[told]), [Outcome::Accept]);
    assert_eq!(pairs(), [pair(0xa0, &second)]);
}

#[test]
fn what_install_prints_is_what_it_makes() {
    let server = OpenLdap::start();
    let ca = Authority::new("Test CA \u{fc}");
    let usual = settings(&server, &server.tls_url());
    let settings = with(usual, &json!({"objects": {"ntauth": true, "make": "nothing"}}));
    let before = server.contents();
    let mut host = maintaining(&settings, ca.system());
    let report = host.install(false).unwrap();
    assert_eq!(server.contents(), before);
    assert!(report.steps.iter().all(|it| it.result == CheckResult::Passed), "{report:?}");
    let script = report.script.unwrap();
    server.try_ldif(PUBLISHER, &script).unwrap();
    let by_hand = server.contents();
    assert_ne!(by_hand, before);
    let report = host.install(true).unwrap();
    assert_eq!(report.script, None);
    assert!(report.steps.iter().all(|it| it.text == "was there already"), "{report:?}");
    assert_eq!(server.contents(), by_hand);
    assert_eq!(server.values(&aia(), CERTIFICATE), from_ref(&ca.der));

    // Made by the module itself, it is the same.
    let other = OpenLdap::start();
    let made = crate::objects::settings(&other, &other.tls_url());
    let made = with(made, &json!({"objects": {"ntauth": true}}));
    let report = maintaining(&made, ca.system()).install(true).unwrap();
    assert!(report.steps.iter().all(|it| it.text == "made"), "{report:?}");
    assert_eq!(other.contents(), by_hand);
}

#[test]
fn a_test_writes_nothing_and_says_what_is_wrong() {
    let server = OpenLdap::start();
    let ca = Authority::new("Test CA");
    let usual = settings(&server, &server.tls_url());
    let before = server.contents();
    let report = maintaining(&usual, ca.system()).test_target(&[]).unwrap();
    assert!(report.checks.iter().all(|it| it.result != CheckResult::Failed), "{report:?}");
    // That rights are not known is said once.
    let warned = report.checks.iter().filter(|it| it.result == CheckResult::Warning);
    assert_eq!(warned.count(), 1, "{report:?}");
    assert!(report.would_write.iter().any(|it| it.contains("CN=CDP")), "{report:?}");
    let objects = json!({"objects": {"make": "objects"}});
    let report = maintaining(&with(usual.clone(), &objects), ca.system()).test_target(&[]).unwrap();
    let failed = report.checks.iter().find(|it| it.result == CheckResult::Failed).unwrap();
    assert!(
        failed.text.contains("\"parents\" and run exeunt exit install under-test"),
        "{report:?}"
    );
    let nothing = json!({"objects": {"make": "nothing"}});
    let report = maintaining(&with(usual.clone(), &nothing), ca.system()).test_target(&[]).unwrap();
    let failed = report.checks.iter().find(|it| it.result == CheckResult::Failed).unwrap();
    assert!(failed.text.ends_with("exeunt exit install under-test"), "{report:?}");
    // What this server has no schema for.
    let services = json!({"objects": {"enrollment_services": true}});
    let report =
        maintaining(&with(usual.clone(), &services), ca.system()).test_target(&[]).unwrap();
    let failed = report.checks.iter().find(|it| it.result == CheckResult::Failed).unwrap();
    assert_eq!(failed.text, "it has no class pKIEnrollmentService");
    assert_eq!(server.contents(), before);
    let nobody = with(usual, &json!({"servers": ["ldaps://127.0.0.1:1"]}));
    let report = maintaining(&nobody, ca.system()).test_target(&[]).unwrap();
    assert_eq!(report.checks[0].result, CheckResult::Failed);
}

#[test]
fn what_differs_is_listed_and_mended() {
    let server = OpenLdap::start();
    let ca = Authority::new("Test CA");
    let usual = settings(&server, &server.tls_url());
    let (old, new) = (ca.list(5), ca.list(6));
    let truth = [ca.has_certificate(1), ca.lists_issued(2, &new, None)];
    let differences = |host: &mut Host, mend: bool| {
        let compared = host.reconcile(&truth, mend).unwrap();
        let all: Vec<_> = compared.findings.iter().map(|it| (it.difference, it.mended)).collect();
        (all, compared.good)
    };
    // A test names the list that it would write.
    let would_write = |host: &mut Host| host.test_target(&truth).unwrap().would_write;
    let line = format!("list 6 in certificateRevocationList of {}", cdp());
    let mut host = maintaining(&usual, ca.system());
    let told = would_write(&mut host);
    assert!(told.contains(&line), "{told:?}");
    let missing = Difference::Missing;
    assert_eq!(differences(&mut host, false), (vec![(missing, false), (missing, false)], 0));
    assert_eq!(differences(&mut host, true), (vec![(missing, true), (missing, true)], 0));
    assert_eq!(differences(&mut host, false), (vec![], 2));
    server.admin_ldif(&format!(
        "dn: {}\nchangetype: modify\nreplace: {LIST}\n{LIST}:: {}\n",
        cdp(),
        STANDARD.encode(&old)
    ));
    assert_eq!(differences(&mut host, false), (vec![(Difference::Stale, false)], 1));
    assert_eq!(differences(&mut host, true), (vec![(Difference::Stale, true)], 1));
    assert_eq!(server.values(&cdp(), LIST), [new]);
    assert_eq!(differences(&mut host, true), (vec![], 2));
    assert_eq!(would_write(&mut host), [""; 0]);
    // A list that cannot be used does not keep the rest from being compared.
    let foreign = Authority::new("Somebody").list(9);
    let compared =
        host.reconcile(&[ca.lists_issued(3, &foreign, None), ca.has_certificate(4)], true).unwrap();
    let all: Vec<_> = compared.findings.iter().map(|it| it.difference).collect();
    assert_eq!((all, compared.good), (vec![Difference::Unknown], 1));
}
