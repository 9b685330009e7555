//! Keys, disks and processes that fail while lists are made: nothing half done is ever a list.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use exeunt_engine::Blame;
use exeunt_store::Store;
use exeunt_types::{CrlNumber, EventKind, SubjectKey};

use crate::crls::{BASE, house, publish};
use crate::renewal::{house_with, new_key};
use crate::support::{Ca, Habit, House, TestKey, create_store, officer};

/// Files in the folder of lists, in order.
fn files(house: &House) -> Vec<String> {
    let Ok(found) = fs::read_dir(house.folder.path().join("crls")) else { return Vec::new() };
    let mut names: Vec<_> =
        found.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The key does this at the second signature from now on, which is the delta's.
fn at_the_second(key: &TestKey, habit: Habit) {
    let (first, second) = (key.clone(), key.clone());
    let then = Box::new(move || second.shall(habit));
    key.meanwhile(Box::new(move || first.meanwhile(then)));
}

/// Nothing was published by number 1; everything is by number 2.
#[track_caller]
fn check_recovered(house: &House, ca: &Ca) {
    assert_eq!(files(house), [""; 0]);
    assert_eq!(ca.engine.current_crls().unwrap(), []);
    assert_eq!(ca.kinds(), [""; 0]);
    ca.key.shall(Habit::Sign);
    let records = publish(ca, BASE);
    assert_eq!(records.iter().map(|it| it.number).collect::<Vec<_>>(), [CrlNumber(2); 2]);
    assert_eq!(files(house), ["2-0-0-base.crl", "2-0-0-delta.crl"]);
}

#[test]
fn a_key_that_fails_in_the_middle_leaves_nothing_but_a_skipped_number() {
    for (habit, code) in [(Habit::Fail, "crl-sign"), (Habit::Lie, "crl-signature")] {
        let house = house();
        let ca = house.open();
        at_the_second(&ca.key, habit);
        let err = ca.engine.publish_crls(BASE, Some(&officer())).unwrap_err();
        assert_eq!((err.code(), err.number()), (code, Some(CrlNumber(1))));
        assert_eq!(err.blame(), Blame::Operator);
        let words = "the CA is unable to publish a revocation list at the moment";
        assert_eq!(err.public_message(), words);
        check_recovered(&house, &ca);
    }
}

#[test]
fn a_key_out_of_reach_holds_up_its_own_lists_and_no_others() {
    for old_fails in [true, false] {
        let house = house_with(&[Some(new_key())]);
        let ca = house.open();
        let new = house.renewals[0].1.clone().unwrap();
        let (away, there) = if old_fails { (&house.key, 1) } else { (&new, 0) };
        away.shall(Habit::Fail);
        let err = ca.engine.publish_due_crls().unwrap_err();
        assert_eq!((err.code(), err.number()), ("crl-some-keys", Some(CrlNumber(1))));
        assert_eq!(err.blame(), Blame::Operator);
        assert_eq!(files(&house), [format!("1-{there}-0-base.crl")]);
        let made = ca.engine.current_crls().unwrap();
        assert_eq!(made.iter().map(|it| it.line.key_index).collect::<Vec<_>>(), [there]);
        assert_eq!(ca.last_event().kind, EventKind::CRL_ISSUED);
        // What is missing is due, and comes when the key is there again.
        away.shall(Habit::Sign);
        assert_eq!(ca.engine.publish_due_crls().unwrap().len(), 2);
        assert_eq!(ca.engine.publish_due_crls().unwrap(), []);
    }
}

#[test]
fn a_key_that_panics_holds_no_later_run_back() {
    let house = house();
    let ca = house.open();
    at_the_second(&ca.key, Habit::Panic);
    thread::scope(|scope| {
        let run = scope.spawn(|| ca.engine.publish_crls(BASE, None));
        assert!(run.join().is_err());
    });
    check_recovered(&house, &ca);
}

const CHILD: &str = "EXEUNT_TEST_ABORTED_CRL";

/// Not a test by itself: the process that dies when the base is in its place and the delta is not.
#[test]
fn aborted_child() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let mut house = house();
    // The folder outlives this process.
    let path = Path::new(&folder);
    let store = Store::open(&path.join("store.db")).unwrap();
    house.crl_folder = Some(path.join("crls"));
    let ca = house.open_with(store);
    at_the_second(&ca.key, Habit::Abort);
    drop(ca.engine.publish_crls(BASE, None));
    unreachable!("the process lives");
}

#[test]
fn a_process_that_dies_in_the_middle_leaves_files_that_recovery_removes() {
    let house = house();
    create_store(&house.folder.path().join("store.db"));
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crl_failures::aborted_child", "--nocapture"])
        .env(CHILD, house.folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert_eq!(child.status.code(), None, "it was to die by a signal: {said}");
    assert_eq!(files(&house), ["1-0-0-base.crl"]);
    // What is not a list stays, whoever put it there.
    let crls = house.folder.path().join("crls");
    fs::write(crls.join("1-0-0-delta.crl.tmp"), b"half").unwrap();
    fs::write(crls.join("index.html"), b"mine").unwrap();

    let ca = house.open();
    ca.engine.recover().unwrap();
    assert_eq!(files(&house), ["index.html"]);
    fs::remove_file(crls.join("index.html")).unwrap();
    check_recovered(&house, &ca);
    // What is a fact stays, too.
    ca.engine.recover().unwrap();
    assert_eq!(files(&house).len(), 2);
}

#[test]
fn a_store_that_was_restored_gives_no_number_a_second_time() {
    let house = house();
    let ca = house.open();
    publish(&ca, BASE);
    drop(ca);
    let path = house.folder.path().join("store.db");
    let copy = fs::read(&path).unwrap();
    let ca = house.open();
    publish(&ca, BASE);
    publish(&ca, BASE);
    drop(ca);
    assert!(!house.folder.path().join("store.db-wal").exists());
    fs::write(&path, copy).unwrap();

    // Verifiers have number 3. Its file is what is left of the revocations since the copy.
    let before = files(&house);
    for _ in 0..2 {
        let ca = house.open();
        ca.engine.recover().unwrap();
        assert_eq!(files(&house), before);
        assert_eq!(ca.engine.current_crls().unwrap()[0].number.0, 1);
    }
    let ca = house.open();
    assert_eq!(publish(&ca, BASE)[0].number, CrlNumber(4));
    // A crash after that leaves what it always left.
    fs::write(house.folder.path().join("crls/5-0-0-base.crl"), b"half").unwrap();
    ca.engine.store().next_crl_number().unwrap();
    ca.engine.recover().unwrap();
    assert_eq!(files(&house).len(), before.len() + 2);
}

#[test]
fn what_another_run_made_meanwhile_is_due_no_more() {
    let house = house();
    let ca = Arc::new(house.open());
    let (again, entered) = (Arc::clone(&ca), std::sync::mpsc::channel());
    // The operator's run is signing when the other one has seen that lists are due.
    ca.key.meanwhile(Box::new(move || {
        let now = exeunt_types::UnixMillis::from_unix_seconds(again.clock.seconds());
        assert!(!again.engine.crls_due(now).unwrap().is_empty());
        let due = thread::spawn(move || again.engine.publish_due_crls().unwrap());
        entered.0.send(due).unwrap();
    }));
    publish(&ca, BASE);
    assert_eq!(entered.1.recv().unwrap().join().unwrap(), []);
    assert_eq!(files(&house), ["1-0-0-base.crl", "1-0-0-delta.crl"]);
    ca.clock.set(ca.clock.seconds() + 24 * 3600);
    assert_eq!(ca.engine.publish_due_crls().unwrap().len(), 1);
    assert_eq!(ca.audited().len(), 1, "nobody ordered the second one");
}

#[test]
fn a_folder_that_cannot_be_written_is_the_operators() {
    let mut house = house();
    let file = house.folder.path().join("in-the-way");
    fs::write(&file, b"").unwrap();
    house.crl_folder = Some(file);
    let ca = house.open();
    let err = ca.engine.publish_crls(BASE, None).unwrap_err();
    assert_eq!((err.code(), err.blame()), ("crl-file", Blame::Operator));
    assert_eq!(err.number(), Some(CrlNumber(1)));
    assert_eq!(ca.engine.current_crls().unwrap(), []);
}

#[test]
fn a_store_that_vanishes_publishes_nothing() {
    let house = house();
    let ca = house.open();
    publish(&ca, BASE);
    let path = house.folder.path().join("store.db");
    ca.key.meanwhile(Box::new(move || fs::remove_file(&path).unwrap()));
    let err = ca.engine.publish_crls(BASE, None).unwrap_err();
    assert_eq!(err.code(), "store-missing");
}

#[test]
fn a_failure_is_told_with_its_reason_its_number_and_how_often_it_happened() {
    let ca = house().open();
    for attempt in ["1", "2"] {
        ca.key.shall(Habit::Fail);
        let err = ca.engine.publish_crls(BASE, None).unwrap_err();
        let event = ca.engine.note_crl_failure(&err).unwrap();
        let event = ca.event(event);
        assert_eq!(event.kind, EventKind::CRL_PUBLICATION_FAILED);
        assert_eq!(event.subject, SubjectKey::Crl);
        let reason = format!("crl-sign: signing revocation list {attempt} failed");
        let expected = [("Reason", reason.as_str()), ("Number", attempt), ("Attempt", attempt)];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(event.detail, expected);
    }
    ca.key.shall(Habit::Sign);
    publish(&ca, BASE);
    // From the beginning: the last run went well. An order that makes no sense has no number.
    let err = ca.engine.publish_crls(exeunt_engine::CrlOrder::default(), None).unwrap_err();
    let event = ca.event(ca.engine.note_crl_failure(&err).unwrap());
    let names: Vec<_> = event.detail.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Reason", "Attempt"]);
    assert_eq!(event.detail[1].1, "1");
}

#[test]
fn runs_at_the_same_time_come_one_after_the_other() {
    let house = house();
    let ca = Arc::new(house.open());
    let mut numbers: Vec<u64> = thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| publish_quietly(&ca))).collect();
        runs.into_iter().map(|it| it.join().unwrap()).collect()
    });
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!(files(&house).len(), 8);
}

fn publish_quietly(ca: &Ca) -> u64 {
    ca.engine.publish_crls(BASE, None).unwrap()[0].number.0
}
