//! Trying the bucket, and comparing it with the CA.

use exeunt_exit_object::ObjectExit;
use exeunt_module_kit::{
    maintain::{CheckResult, Difference},
    testing::Host,
};
use exeunt_testbed::s3::Behaviour;

use serde_json::json;

use crate::{BUCKET, Fixture, Wanted, deliver, with};

fn maintain(it: &Fixture) -> Host {
    let mut host = Host::in_memory(ObjectExit::default()).unwrap();
    host.initialize_maintain(&it.settings).unwrap();
    host
}

#[test]
fn a_test_says_what_would_be_written_and_writes_nothing() {
    let mut it = Fixture::new();
    let mut samples = it.issued(1..2, &it.leaf());
    samples.push(it.crl_issued(2, &[it.base(7)]));
    let report = maintain(&it).test_target(&samples).unwrap();
    assert!(report.checks.iter().all(|it| it.result == CheckResult::Passed), "{report:?}");
    assert_eq!(report.would_write.len(), 3);
    assert!(report.would_write[2].starts_with("base revocation list 7 as crl/Test Root.crl, "));
    assert!(it.server.list(BUCKET).is_empty());

    let refuse = Some("AccessDenied".to_owned());
    it.server.behave(&Behaviour { refuse, ..Behaviour::default() });
    let report = maintain(&it).test_target(&[]).unwrap();
    let failed = report.checks.iter().find(|it| it.result == CheckResult::Failed).unwrap();
    assert!(failed.what == "write" && failed.text.contains("AccessDenied"), "{failed:?}");
    // Who may read and not list can do without a warning's worth; who may do nothing cannot work.
    let refuse = Some("AccessDenied".to_owned());
    it.server.behave(&Behaviour { refuse, refuse_reads: true, ..Behaviour::default() });
    let report = maintain(&it).test_target(&[]).unwrap();
    assert!(report.checks.iter().all(|it| it.result == CheckResult::Failed), "{report:?}");
    it.server.kill();
    let report = maintain(&it).test_target(&[]).unwrap();
    assert!(report.checks.iter().all(|it| it.result == CheckResult::Failed), "{report:?}");
    assert!(report.checks[0].text.contains("cannot be reached"), "{report:?}");
}

#[test]
fn what_is_missing_stale_or_foreign_is_found_and_mended_and_nothing_else_is_touched() {
    let it = Fixture::new();
    let leaf = it.leaf();
    let certificates = it.issued(1..11, &leaf);
    deliver(&mut it.host(), &certificates);
    let new = [it.base(7)];
    let (_, old) = it.base(6);
    let put = |key: &str, octets: &[u8]| it.server.put(BUCKET, key, octets, None).unwrap();
    let certificate = |seq: u64| format!("certificates/40{seq:030x}.cer");
    it.server.delete(BUCKET, &certificate(3));
    put(&certificate(4), b"notes");
    put("crl/Test Root.crl", &old);
    put("crl/Test Root(5).crl", &it.ca.list(Wanted { number: 1, ..Wanted::default() }));
    put("crl/readme.txt", b"somebody's");
    let mut events = certificates.clone();
    events.push(it.crl_issued(20, &new));

    let found = maintain(&it).reconcile(&events, false).unwrap();
    let mut said: Vec<(Difference, &str)> =
        found.findings.iter().map(|it| (it.difference, it.place.as_str())).collect();
    said.sort();
    let (third, fourth) = (certificate(3), certificate(4));
    assert_eq!(
        said,
        [
            (Difference::Missing, "ca/Test Root.crt"),
            (Difference::Missing, third.as_str()),
            (Difference::Stale, "crl/Test Root.crl"),
            (Difference::Surplus, "crl/Test Root(5).crl"),
            (Difference::Foreign, fourth.as_str()),
        ]
    );
    assert_eq!(it.get("crl/Test Root.crl"), old);

    let mended = maintain(&it).reconcile(&events, true).unwrap();
    assert_eq!(mended.findings.iter().filter(|it| it.mended).count(), 3, "{mended:?}");
    let again = maintain(&it).reconcile(&events, true).unwrap();
    assert_eq!(again.findings.len(), 2, "{again:?}");
    assert_eq!(it.get(&third), leaf);
    assert_eq!(it.get("crl/Test Root.crl"), new[0].1);
    assert_eq!(it.get(&fourth), b"notes");
    assert_eq!(it.get("crl/readme.txt"), b"somebody's");
}

#[test]
fn a_listing_goes_on_where_it_was_and_one_that_never_ends_is_ended() {
    let mut it = Fixture::new();
    // More than one call looks at.
    let events = it.issued(1..111, &it.leaf());
    deliver(&mut it.host(), &events);
    let folder = json!({"list_folder": "certificates", "certificates": false});
    it.settings = with(&it.settings, &folder);
    let ca = it.crl_issued(600, &[]);
    let found = maintain(&it).reconcile(std::slice::from_ref(&ca), false).unwrap();
    let surplus = found.findings.iter().filter(|it| it.difference == Difference::Surplus);
    assert_eq!(surplus.count(), events.len());

    it.server.behave(&Behaviour { lists_anew: true, ..Behaviour::default() });
    let err = maintain(&it).reconcile(&[ca], false).unwrap_err();
    assert!(format!("{err:?}").contains("begins anew"), "{err:?}");
}
