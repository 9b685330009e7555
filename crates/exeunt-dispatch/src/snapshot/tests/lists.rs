//! Revocation lists in the view.

use std::path::Path;

use super::*;
use crate::settings::ListFacts;
use exeunt_module::view::View;
use exeunt_types::{CrlKind, CrlLine, CrlNumber, CrlRecord};

/// A store in `folder` whose newest list has that kind, number and length; its file says the number.
fn add(folder: &Path, store: &Store, kind: CrlKind, number: u64, length: u64) {
    let line = CrlLine { kind, key_index: 0, partition: 0 };
    add_of(folder, store, line, number, length);
}

fn add_of(folder: &Path, store: &Store, line: CrlLine, number: u64, length: u64) {
    let CrlLine { kind, .. } = line;
    let record = CrlRecord {
        line,
        number: CrlNumber(number),
        min_base: (kind == CrlKind::Delta).then_some(CrlNumber(1)),
        shadow: false,
        this_update: UnixMillis(0),
        next_update: UnixMillis(9_000),
        this_publish: UnixMillis(1_000),
        next_publish: UnixMillis(8_000),
        entries: 0,
        length,
        sha256: [0; 32],
    };
    std::fs::write(folder.join(record.file_name()), number.to_string()).unwrap();
    assert_eq!(store.next_crl_number().unwrap(), CrlNumber(number));
    store.record_crls(vec![record], UnixMillis(1_000), None).unwrap();
}

fn store(folder: &Path) -> Store {
    let path = folder.join("ca.db");
    Store::create(&path, [0x5a; 8], UnixMillis(1)).unwrap();
    Store::open(&path).unwrap()
}

fn snapshots(folder: &Path, store: &Store, deltas: bool) -> Snapshots {
    let lists = ListFacts { folder: folder.to_owned(), deltas };
    let facts = CaFacts { lists: Some(lists.clone()), ..facts() };
    Snapshots::new(store.store_id().to_owned(), &facts).with_lists(store.clone(), &lists)
}

/// A CA with a base list, a delta, and a part.
pub(super) fn with_both(folder: &Path) -> Snapshots {
    let store = store(folder);
    add(folder, &store, CrlKind::Base, 1, 1);
    add(folder, &store, CrlKind::Delta, 2, 1);
    add_of(folder, &store, CrlLine { kind: CrlKind::Base, key_index: 0, partition: 3 }, 3, 1);
    snapshots(folder, &store, true)
}

#[test]
fn an_event_about_lists_carries_those_that_hold_now() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let snapshots = snapshots(folder.path(), &store, true);
    add(folder.path(), &store, CrlKind::Base, 1, 1);
    add(folder.path(), &store, CrlKind::Delta, 2, 1);
    let first = store.event(EventSeq(1)).unwrap().unwrap();
    assert_eq!((first.kind, first.subject), (EventKind::CRL_ISSUED, SubjectKey::Crl));
    add(folder.path(), &store, CrlKind::Base, 3, 1);

    let late = snapshots.event(&first, 2, false, UnixMillis(5_000));
    assert_eq!((late.subject.as_str(), late.context), ("crl", 0));
    assert_eq!(late.system.binary("RawCRL").unwrap(), b"3");
    assert_eq!(late.system.binary("RawDeltaCRL").unwrap(), b"2");
    let path = late.system.string("CRLFile").unwrap();
    assert_eq!(std::fs::read(path).unwrap(), b"3");
    // Who calls back is not sent what it may not want, and asks for it.
    assert!(snapshots.event(&first, 1, true, UnixMillis(5_000)).system.binary("RawCRL").is_err());
    let asked = |name| snapshots.system_for(name, UnixMillis(5_000));
    assert_eq!(asked("rawcrl.0").binary("RawCRL").unwrap(), b"3");
    assert!(asked("CertCount").binary("RawCRL").is_err());
}

#[test]
fn lists_of_every_key_stand_under_its_newest_certificate_and_parts_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    for (number, key_index, partition) in [(1, 0, 0), (2, 2, 0), (3, 2, 7)] {
        let line = CrlLine { kind: CrlKind::Base, key_index, partition };
        add_of(folder.path(), &store, line, number, 1);
    }
    let lists = ListFacts { folder: folder.path().to_owned(), deltas: true };
    let facts = facts();
    let of = |key_index| CaCertificateFacts { key_index, ..facts.certificates[0].clone() };
    let certificates = vec![of(0), of(0), of(2)];
    let facts = CaFacts { lists: Some(lists.clone()), certificates, ..facts.clone() };
    let snapshots =
        Snapshots::new(store.store_id().to_owned(), &facts).with_lists(store.clone(), &lists);
    let system = snapshots.system_for("RawCRL", UnixMillis(5_000));
    let read = |name| View::of_system(&system).certificate_property(name, None).is_ok();
    assert_eq!(system.binary("RawCRL").unwrap(), b"2");
    assert_eq!(system.binary("RawCRL.1").unwrap(), b"1");
    assert!(read("RawCRL.2") && read("RawCRL.1") && !read("RawCRL.0"));
    let parts = system.string("CRLPartitionFiles").unwrap();
    assert!(parts.ends_with("/3-2-7-base.crl") && parts.lines().count() == 1, "{parts}");
}

#[test]
fn a_large_list_is_named_and_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    add(folder.path(), &store, CrlKind::Base, 1, 1024 * 1024 + 1);
    let system = snapshots(folder.path(), &store, true).system_for("RawCRL", UnixMillis(5_000));
    assert!(system.binary("RawCRL").is_err());
    assert!(system.string("CRLFile").unwrap().ends_with("1-0-0-base.crl"));
}

#[test]
fn a_delta_that_nothing_will_follow_is_handed_out_until_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    add(folder.path(), &store, CrlKind::Base, 1, 1);
    add(folder.path(), &store, CrlKind::Delta, 2, 1);
    let logged = store.event(EventSeq(2)).unwrap().unwrap();
    let has_delta = |deltas, now| {
        let snapshots = snapshots(folder.path(), &store, deltas);
        let event = snapshots.event(&logged, 1, false, UnixMillis(now));
        let asked = snapshots.system_for("RawDeltaCRL", UnixMillis(now));
        assert_eq!(*event.system, *asked);
        assert_eq!(asked.binary("RawCRL").unwrap(), b"1");
        assert_eq!(asked.binary("RawDeltaCRL").is_ok(), asked.string("DeltaCRLFile").is_ok());
        asked.binary("RawDeltaCRL").is_ok()
    };
    // Its `nextUpdate` is 9000.
    assert!(has_delta(false, 9_000));
    assert!(!has_delta(false, 9_001));
    assert!(has_delta(true, 9_001));
}

#[test]
fn no_crl_yet_is_a_skip_not_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let snapshots = snapshots(folder.path(), &store, true);
    let reason = [("Reason".to_owned(), "the token is gone".to_owned())];
    store.crl_failed(&reason, UnixMillis(1_000)).unwrap();
    let failed = store.event(EventSeq(1)).unwrap().unwrap();
    let event = snapshots.event(&failed, 1, false, UnixMillis(5_000));
    assert_eq!(event.detail.string("Reason").unwrap(), "the token is gone");
    let reads = |name| {
        let system = snapshots.system_for(name, UnixMillis(5_000));
        View::of_system(&system)
            .certificate_property(name, None)
            .map(|_| ())
            .map_err(|it| it.code())
    };
    assert_eq!(reads("RawCRL"), Err("property-empty"));
    assert_eq!(reads("RawDeltaCRL"), Err("property-empty"));
    assert_eq!(reads("CRLState"), Ok(()));

    // One whose file is gone is as good as none.
    add(folder.path(), &store, CrlKind::Base, 1, 1);
    assert_eq!(reads("RawCRL"), Ok(()));
    std::fs::remove_file(folder.path().join("1-0-0-base.crl")).unwrap();
    assert_eq!(reads("RawCRL"), Err("property-empty"));
}

/// A target that writes what it is given keeps the newest, because no event brings an older one.
#[test]
fn a_crl_number_never_goes_backwards_at_a_target_whatever_the_node_or_the_order_of_retries() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let mut newest = 0;
    for round in 1..=3 {
        for number in newest + 1..=newest + 3 {
            add(folder.path(), &store, CrlKind::Base, number, 1);
        }
        newest += 3;
        // Another node has snapshots of its own, and tells in an order of its own.
        let nodes = [(); 2].map(|()| snapshots(folder.path(), &store, true));
        for seq in [newest, 1, newest - 1, 2, newest, 1] {
            for node in &nodes {
                let logged = store.event(EventSeq(seq)).unwrap().unwrap();
                let told = node.event(&logged, round, false, UnixMillis(5_000));
                assert_eq!(told.system.binary("RawCRL").unwrap(), newest.to_string().as_bytes());
            }
        }
    }
}
