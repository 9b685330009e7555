//! Certificates on request, the link to the newest, what leaves, and what is compared with the CA.

use std::fs;

use exeunt_exit_file::FileExit;
use exeunt_module_kit::{
    Event, Outcome, Properties, Value, exit_event,
    maintain::{CheckResult, Compared, Difference},
    testing::Host,
};
use serde_json::{Value as Json, json};

use crate::{
    NEWER, OLDER, TWIN,
    enroll::{Fixture, about, base, everything, lists, told},
    event_for,
    openssl::{Ca, p256},
    reason,
};

/// An event with the serial number of its certificate.
fn issued(seq: u64, serial: &str, common_name: &str, der: &[u8]) -> Event {
    let mut event = event_for(seq, common_name, der);
    event.certificate = Properties::from_iter([
        ("SerialNumber", Value::String(serial.to_owned())),
        ("CommonName", Value::String(common_name.to_owned())),
        ("RawCertificate", Value::Binary(der.to_vec())),
    ]);
    event
}

fn leaf(ca: &Ca) -> Vec<u8> {
    ca.issue("/CN=leaf", "authorityKeyIdentifier=keyid")
}

#[test]
fn a_certificate_is_published_where_its_request_asked_for_it() {
    let settings = json!({
        "certificates": "on-request", "lists": false, "ca_certificates": false, "format": "pem",
    });
    let mut it = Fixture::new(&settings);
    assert_eq!(it.notify(&event_for(9, "x", OLDER)), Outcome::Skip);
    assert!(it.names().is_empty());
    // The value is nobody's concern.
    let mut event = event_for(9, "x", OLDER);
    event.attributes = vec![("CertFile".to_owned(), "../../etc/passwd".to_owned())];
    assert_eq!(it.notify(&event), Outcome::Accept);
    assert_eq!(it.names(), ["9.cer"]);
    assert_eq!(fs::read(it.path("9.cer")).unwrap(), OLDER);
    // The same again is no other file; another one is.
    assert_eq!(it.notify(&event), Outcome::Accept);
    let mut other = event_for(9, "x", NEWER);
    other.attributes.clone_from(&event.attributes);
    let outcome = it.notify(&other);
    assert_eq!(reason(&outcome), "9.cer is there and is another file; it was left alone");
    assert_eq!(fs::read(it.path("9.cer")).unwrap(), OLDER);
}

#[test]
fn the_link_leads_to_the_newest_in_whatever_order_they_come() {
    let all = [OLDER, NEWER, TWIN];
    let settings = json!({"latest": "{subject_cn}.cer", "lists": false, "ca_certificates": false});
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut it = Fixture::new(&settings);
        for (seq, index) in (1..).zip(order) {
            let event = event_for(seq, "www", all[index]);
            assert_eq!(it.notify(&event), Outcome::Accept);
        }
        // The two that start in the same second are told of in the order of their requests.
        let winner = order.into_iter().rfind(|it| *it != 0).map(|it| all[it]).unwrap();
        assert_eq!(it.names(), ["4001.cer", "4002.cer", "4003.cer", "www.cer"]);
        assert_eq!(fs::read(it.path("www.cer")).unwrap(), winner, "{order:?}");
        let target = fs::read_link(it.path("www.cer")).unwrap();
        assert!(target.is_relative() && target.components().count() == 1, "{target:?}");
    }
}

#[test]
fn of_certificates_of_the_same_second_the_link_leads_to_that_of_the_later_request() {
    let settings = json!({"latest": "{subject_cn}.cer", "lists": false, "ca_certificates": false});
    // Either certificate has the greater number once, and is told of first once; the module is
    // started anew in between, too.
    for (first, second) in [(NEWER, TWIN), (TWIN, NEWER)] {
        for (one, other) in [(7, 8), (8, 7), (999_999_999, 1_000_000_000 - 2)] {
            for restarts in [false, true] {
                let mut it = Fixture::new(&settings);
                assert_eq!(it.notify(&event_for(one, "www", first)), Outcome::Accept);
                if restarts {
                    it.host = Host::in_memory(FileExit::default()).unwrap();
                    it.host.initialize(&everything(it.home.path(), &settings)).unwrap();
                }
                assert_eq!(it.notify(&event_for(other, "www", second)), Outcome::Accept);
                assert_eq!(it.notify(&event_for(one, "www", first)), Outcome::Accept);
                let winner = if one < other { second } else { first };
                assert_eq!(fs::read(it.path("www.cer")).unwrap(), winner, "{one} {other}");
            }
        }
    }
    // One that starts later is newer, whatever its number.
    let mut it = Fixture::new(&settings);
    assert_eq!(it.notify(&event_for(9, "www", OLDER)), Outcome::Accept);
    assert_eq!(it.notify(&event_for(8, "www", NEWER)), Outcome::Accept);
    assert_eq!(it.notify(&event_for(9, "www", OLDER)), Outcome::Accept);
    assert_eq!(fs::read(it.path("www.cer")).unwrap(), NEWER);
}

#[test]
fn what_is_no_link_of_ours_is_left_alone() {
    let settings = json!({"latest": "{subject_cn}.cer", "lists": false, "ca_certificates": false});
    let mut it = Fixture::new(&settings);
    fs::write(it.path("file.cer"), "precious").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", it.path("link.cer")).unwrap();
    for (seq, name) in (1..).zip(["file", "link"]) {
        let outcome = it.notify(&event_for(seq, name, NEWER));
        let expected = format!(
            "{name}.cer is there and is no link to a certificate of this CA here; it was left alone"
        );
        assert_eq!(reason(&outcome), expected);
    }
    assert_eq!(fs::read(it.path("file.cer")).unwrap(), b"precious");
    assert_eq!(fs::read_link(it.path("link.cer")).unwrap().to_str(), Some("/etc/passwd"));
    // A link to what has gone is ours to lead elsewhere.
    std::os::unix::fs::symlink("gone.cer", it.path("dangling.cer")).unwrap();
    assert_eq!(it.notify(&event_for(3, "dangling", NEWER)), Outcome::Accept);
    assert_eq!(fs::read(it.path("dangling.cer")).unwrap(), NEWER);
}

#[test]
fn files_of_this_cas_expired_certificates_leave_and_no_others() {
    let mut it = Fixture::new(&json!({"keep_expired_days": 30, "lists": false}));
    let (ca, other) = (p256("Roof"), p256("Roof"));
    let expired = ca.issue_expired("/CN=gone", "0ABC");
    for (name, content) in [
        ("ours-expired.cer", &expired[..]),
        ("renamed", &expired),
        ("ours-valid.cer", &leaf(&ca)),
        ("theirs-expired.cer", &other.issue_expired("/CN=gone", "0ABC")),
        ("with-more.pem", &[&expired[..], b"more"].concat()),
        ("text", b"precious"),
    ] {
        fs::write(it.path(name), content).unwrap();
    }
    std::os::unix::fs::symlink("ours-expired.cer", it.path("latest")).unwrap();
    let start = told(1, exit_event::STARTUP, about(&[(&ca, None, None)]));
    assert_eq!(it.notify(&start), Outcome::Accept);
    let expected = [
        "ca.example_Roof!002f1.crt",
        "ours-valid.cer",
        "text",
        "theirs-expired.cer",
        "with-more.pem",
    ];
    assert_eq!(it.names(), expected);
    // An old event does not bring it back.
    assert_eq!(it.notify(&issued(2, "0abc", "gone", &expired)), Outcome::Skip);
    assert_eq!(it.names(), expected);
}

#[test]
fn a_link_that_leads_to_an_older_one_or_is_gone_is_found_and_mended() {
    let settings = json!({"latest": "{subject_cn}.cer", "lists": false, "ca_certificates": false});
    let mut it = Fixture::new(&settings);
    let truth = [(1, OLDER), (2, NEWER), (3, TWIN)].map(|(seq, der)| event_for(seq, "www", der));
    for event in &truth {
        assert_eq!(it.notify(event), Outcome::Accept);
    }
    let of_all =
        |it: &Fixture, mend| findings(&maintaining(it, &settings).reconcile(&truth, mend).unwrap());
    assert_eq!(of_all(&it, false), []);
    let link = it.path("www.cer");
    let found = |difference, mended| [(difference, "www.cer".to_owned(), mended)];
    for (target, difference) in [
        (None, Difference::Missing),
        (Some("4001.cer"), Difference::Stale),
        (Some("x"), Difference::Stale),
    ] {
        fs::remove_file(&link).unwrap();
        if let Some(target) = target {
            std::os::unix::fs::symlink(target, &link).unwrap();
        }
        assert_eq!(of_all(&it, false), found(difference, false));
        assert_eq!(of_all(&it, true), found(difference, true));
        assert_eq!(fs::read_link(&link).unwrap().to_str(), Some("4003.cer"));
        assert_eq!(of_all(&it, false), []);
    }
    fs::remove_file(&link).unwrap();
    fs::write(&link, "precious").unwrap();
    assert_eq!(of_all(&it, true), found(Difference::Foreign, false));
    assert_eq!(fs::read(&link).unwrap(), b"precious");
}

#[test]
fn certificates_that_are_named_by_their_events_are_compared_by_what_they_are() {
    let settings = json!({"pattern": "{event_id}.cer", "lists": false, "ca_certificates": false});
    let mut it = Fixture::new(&settings);
    let ca = p256("Roof");
    let (there, gone) = (leaf(&ca), leaf(&ca));
    assert_eq!(it.notify(&issued(1, "0a", "one", &there)), Outcome::Accept);
    let names = it.names();
    // The server gives what it compares ids of their own.
    let truth = [(7, "0a", &there), (8, "0b", &gone)].map(|(seq, serial, der)| Event {
        id: format!("reconcile-{seq}"),
        ..issued(seq, serial, "one", der)
    });
    for mend in [false, true] {
        let compared = maintaining(&it, &settings).reconcile(&truth, mend).unwrap();
        let [finding] = &compared.findings[..] else { panic!("{compared:?}") };
        assert_eq!(compared.good, 1);
        assert_eq!(finding.text, "certificate 0b of request 8");
        assert!(finding.error.as_ref().unwrap().contains("exit replay"), "{finding:?}");
        assert!(!finding.mended && finding.difference == Difference::Missing, "{finding:?}");
        assert_eq!(it.names(), names);
    }
    let tried = maintaining(&it, &settings).test_target(&truth).unwrap();
    assert!(tried.would_write[0].ends_with("certificate 0a of request 7, named by its event"));
}

fn maintaining(it: &Fixture, settings: &Json) -> Host {
    let mut host = Host::in_memory(FileExit::default()).unwrap();
    host.initialize_maintain(&everything(it.home.path(), settings)).unwrap();
    host
}

fn findings(compared: &Compared) -> Vec<(Difference, String, bool)> {
    let name = |place: &str| place.rsplit('/').next().unwrap().to_owned();
    let of = compared.findings.iter();
    let mut all: Vec<_> = of.map(|it| (it.difference, name(&it.place), it.mended)).collect();
    all.sort();
    all
}

#[test]
fn what_differs_from_the_ca_is_listed_and_mended() {
    let settings = json!({"keep_expired_days": 30});
    let mut it = Fixture::new(&settings);
    let ca = p256("Roof");
    let (one, two) = (leaf(&ca), leaf(&ca));
    let mut revoked = issued(2, "0b", "two", &two);
    revoked.event = exit_event::CERT_REVOKED;
    let expired = ca.issue_expired("/CN=gone", "0ABC");
    let truth = [
        told(5, exit_event::CA_CERT_ISSUED, about(&[(&ca, None, None)])),
        lists(6, &ca, &base(&ca, 6), None),
        issued(1, "0a", "one", &one),
        revoked,
        issued(3, "0abc", "gone", &expired),
        issued(4, "0c", "three", &one),
    ];
    // Missing: 0a, the CA's certificate. Stale: 0b in the other format, the list. Foreign: 0c.
    // Surplus: one that nobody knows, and one that expired long ago.
    let mut old = Fixture::new(&json!({"format": "pem", "pattern": "x"}));
    old.notify(&issued(2, "0b", "two", &two));
    fs::copy(old.path("x"), it.path("0b.cer")).unwrap();
    assert_eq!(it.notify(&lists(9, &ca, &base(&ca, 5), None)), Outcome::Accept);
    fs::remove_file(it.path("ca.example_Roof!002f1.crt")).unwrap();
    fs::write(it.path("0c.cer"), "precious").unwrap();
    fs::write(it.path("unknown.cer"), leaf(&ca)).unwrap();
    fs::write(it.path("0abc.cer"), &expired).unwrap();
    fs::write(it.path("theirs.cer"), leaf(&p256("Roof"))).unwrap();
    let there = it.names();

    // What this module does not know may be another's, and stays.
    let unknown = (Difference::Surplus, "unknown.cer".to_owned(), false);
    let expected = |mended| {
        vec![
            (Difference::Missing, "0a.cer".to_owned(), mended),
            (Difference::Missing, "ca.example_Roof!002f1.crt".to_owned(), mended),
            (Difference::Stale, "0b.cer".to_owned(), mended),
            (Difference::Stale, "Roof!002f1.crl".to_owned(), mended),
            (Difference::Surplus, "0abc.cer".to_owned(), mended),
            unknown.clone(),
            (Difference::Foreign, "0c.cer".to_owned(), false),
        ]
    };
    let looked = maintaining(&it, &settings).reconcile(&truth, false).unwrap();
    assert_eq!(findings(&looked), expected(false));
    assert_eq!(it.names(), there, "looking changes nothing");
    let mended = maintaining(&it, &settings).reconcile(&truth, true).unwrap();
    assert_eq!(findings(&mended), expected(true));
    let rest = maintaining(&it, &settings).reconcile(&truth, true).unwrap();
    assert_eq!(findings(&rest), [unknown, (Difference::Foreign, "0c.cer".to_owned(), false)]);
    assert_eq!(
        it.names(),
        [
            "0a.cer",
            "0b.cer",
            "0c.cer",
            "Roof!002f1.crl",
            "ca.example_Roof!002f1.crt",
            "theirs.cer",
            "unknown.cer",
        ]
    );
    assert_eq!(fs::read(it.path("0b.cer")).unwrap(), two);
    assert_eq!(fs::read(it.path("0c.cer")).unwrap(), b"precious");
}

#[test]
fn mending_one_modules_lists_leaves_another_modules_certificates() {
    let it = Fixture::new(&json!({}));
    let ca = p256("Roof");
    let content = leaf(&ca);
    fs::write(it.path("theirs.cer"), &content).unwrap();
    let lists_alone = json!({"certificates": "never"});
    let truth = [
        told(1, exit_event::CA_CERT_ISSUED, about(&[(&ca, None, None)])),
        lists(2, &ca, &base(&ca, 6), None),
    ];
    maintaining(&it, &lists_alone).reconcile(&truth, true).unwrap();
    assert_eq!(fs::read(it.path("theirs.cer")).unwrap(), content);
}

#[test]
fn heartbeats_park_nothing_where_somebody_elses_file_stands() {
    let mut it = Fixture::new(&json!({"keep_expired_days": 30, "lists": false}));
    let ca = p256("Roof");
    fs::write(it.path("ca.example_Roof!002f1.crt"), "precious").unwrap();
    let start = told(1, exit_event::STARTUP, about(&[(&ca, None, None)]));
    assert!(matches!(it.notify(&start), Outcome::Park { .. }));
    for seq in 2..5 {
        let beat = told(seq, exit_event::HEARTBEAT, about(&[(&ca, None, None)]));
        assert_eq!(it.notify(&beat), Outcome::Skip);
    }
    assert_eq!(fs::read(it.path("ca.example_Roof!002f1.crt")).unwrap(), b"precious");
}

#[test]
fn a_test_says_what_would_be_written_and_writes_nothing() {
    let it = Fixture::new(&json!({}));
    let ca = p256("Roof");
    let samples = [
        issued(1, "0a", "one", &leaf(&ca)),
        lists(2, &ca, &base(&ca, 5), None),
        told(3, exit_event::HEARTBEAT, about(&[(&ca, None, None)])),
        told(4, exit_event::CA_CERT_ISSUED, about(&[(&ca, None, None)])),
    ];
    let report = maintaining(&it, &json!({})).test_target(&samples).unwrap();
    assert!(report.checks.iter().all(|it| it.result == CheckResult::Passed), "{report:?}");
    let name = |line: &String| line.rsplit('/').next().unwrap().to_owned();
    let lines: Vec<String> = report.would_write.iter().map(name).collect();
    let expected = [
        "0a.cer: certificate 0a of request 1",
        "Roof!002f1.crl: base revocation list 5",
        "ca.example_Roof!002f1.crt: certificate 0 of the CA",
    ];
    assert_eq!(lines, expected);
    assert!(it.names().is_empty());
    // A folder that is a file.
    let settings = json!({"directory": it.home.path().join("file")});
    fs::write(it.home.path().join("file"), "").unwrap();
    let report = maintaining(&it, &settings).test_target(&[]).unwrap();
    assert_eq!(report.checks[0].result, CheckResult::Failed, "{report:?}");
    assert_eq!(report.checks[0].text, "Not a directory (os error 20)");
}
