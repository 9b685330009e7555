//! Creating and opening, and what is refused.

use std::fs;
use std::path::Path;

use exeunt_store::{APPLICATION_ID, SCHEMA_VERSION, Store};
use exeunt_types::{EventSeq, RequestId};
use rusqlite::Connection;

use crate::support::{Place, STORE_ID, assert_whole, at, intent, issue, issue_all, request};

#[track_caller]
fn check_refused(path: &Path, code: &str) {
    match Store::open(path) {
        Ok(_) => panic!("opened, expected {code}"),
        Err(err) => assert_eq!(err.code(), code, "{err}"),
    }
}

#[test]
fn a_store_keeps_its_identity() {
    let place = Place::new();
    assert_eq!(place.open().store_id(), "00010203fcfdfeff");
    assert_eq!(place.open().store_id(), "00010203fcfdfeff");
    let conn = Connection::open(&place.path).unwrap();
    let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(pragma("application_id"), i64::from(APPLICATION_ID));
    assert_eq!(pragma("user_version"), SCHEMA_VERSION);
    let mode: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn creating_never_overwrites_and_opening_never_creates() {
    let place = Place::new();
    issue(&place.open(), 1);
    let again = Store::create(&place.path, STORE_ID, at(0)).unwrap_err();
    assert_eq!(again.code(), "store-exists");
    assert_eq!(place.open().head(), EventSeq(1));
    let absent = place.folder.path().join("absent.db");
    check_refused(&absent, "store-missing");
    assert!(!absent.exists());
    let nowhere = place.folder.path().join("no/such/folder.db");
    assert!(Store::create(&nowhere, STORE_ID, at(0)).is_err());
}

#[test]
fn what_is_not_a_store_is_left_alone() {
    let place = Place::new();
    let other = place.folder.path().join("other");
    fs::write(&other, "x".repeat(5000)).unwrap();
    check_refused(&other, "store-not-ours");
    assert_eq!(fs::read_to_string(&other).unwrap(), "x".repeat(5000));
    fs::remove_file(&other).unwrap();
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    check_refused(&other, "store-not-ours");
    fs::write(&other, "").unwrap();
    check_refused(&other, "store-damaged");
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_unchanged() {
    let place = Place::new();
    place.meddle("PRAGMA user_version = 999");
    let before = fs::read(&place.path).unwrap();
    let err = Store::open(&place.path).unwrap_err();
    assert_eq!(err.code(), "store-newer");
    assert!(err.to_string().contains("999"), "{err}");
    assert_eq!(Store::open_read_only(&place.path).unwrap_err().code(), "store-newer");
    assert_eq!(fs::read(&place.path).unwrap(), before);
}

#[test]
fn a_truncated_store_is_refused() {
    for keep in [50, 4096, 5000, 30_000] {
        let place = Place::new();
        issue_all(&place.open(), 1..=50);
        let file = fs::OpenOptions::new().write(true).open(&place.path).unwrap();
        assert!(keep < file.metadata().unwrap().len());
        file.set_len(keep).unwrap();
        check_refused(&place.path, "store-damaged");
    }
}

#[test]
fn a_truncated_store_is_refused_although_its_log_is_left() {
    let place = Place::new();
    issue_all(&place.open(), 1..=50);
    // A log that does not hold the pages which are cut off, as a crash leaves it behind.
    let crashed = place.folder.path().join("crashed.db");
    let store = place.open();
    issue(&store, 51);
    fs::copy(&place.path, &crashed).unwrap();
    fs::copy(place.folder.path().join("store.db-wal"), place.folder.path().join("crashed.db-wal"))
        .unwrap();
    let whole = fs::read(&crashed).unwrap();
    fs::write(&crashed, &whole[..whole.len() / 4096 / 2 * 4096]).unwrap();
    check_refused(&crashed, "store-damaged");
    // It was refused for that and not for something else.
    fs::write(&crashed, &whole).unwrap();
    assert_eq!(Store::open(&crashed).unwrap().head(), EventSeq(51));
}

#[test]
fn a_checkpoint_that_was_interrupted_is_no_truncation() {
    let place = Place::new();
    let store = place.open();
    let before = fs::read(&place.path).unwrap();
    issue_all(&store, 1..=50);
    let crashed = place.folder.path().join("crashed.db");
    fs::copy(place.folder.path().join("store.db-wal"), place.folder.path().join("crashed.db-wal"))
        .unwrap();
    // Only the first page, which tells the new length, had been copied when the power failed.
    let conn = Connection::open(&place.path).unwrap();
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    let after = fs::read(&place.path).unwrap();
    assert!(before.len() < after.len());
    fs::write(&crashed, [&after[..4096], &before[4096..]].concat()).unwrap();
    let reopened = Store::open(&crashed).unwrap();
    assert_eq!(reopened.head(), EventSeq(50));
    drop(reopened);
    assert_whole(&crashed);
}

#[test]
fn a_store_without_one_of_its_tables_is_refused() {
    let place = Place::new();
    place.meddle("DROP TABLE tally");
    check_refused(&place.path, "store-damaged");
}

#[test]
fn a_store_made_by_the_first_version_opens() {
    let place = Place::new();
    let old = place.folder.path().join("old.db");
    // As version 1 left it: the published step, the two numbers, one row of meta.
    let conn = Connection::open(&old).unwrap();
    conn.execute_batch(include_str!("../../migrations/0001.sql")).unwrap();
    conn.execute_batch(
        "PRAGMA application_id = 0x45584e54; PRAGMA user_version = 1; PRAGMA journal_mode = wal;
         INSERT INTO meta VALUES (1, '0123456789abcdef', 0);
         INSERT INTO request VALUES (1, 8, 0, NULL, 0, 256, '', '', '', '', '', '', x'30');
         INSERT INTO serial VALUES (x'4100', 1);
         INSERT INTO intent VALUES (1, x'4100', x'30');
         INSERT INTO tally VALUES (8, 1);",
    )
    .unwrap();
    drop(conn);
    let store = Store::open(&old).unwrap();
    assert_eq!(store.store_id(), "0123456789abcdef");
    assert_eq!(store.recover(at(1)).unwrap()[0].request, RequestId(1));
    issue(&store, 2);
    drop(store);
    assert_whole(&old);
}

#[test]
fn only_one_process_writes_and_others_may_read() {
    let place = Place::new();
    let store = place.open();
    issue(&store, 1);
    check_refused(&place.path, "store-in-use");
    let reader = Store::open_read_only(&place.path).unwrap();
    assert_eq!(reader.head(), EventSeq(1));
    assert_eq!(reader.counts().unwrap().issued, 1);
    let refused = reader.admit_intend(request(2), intent(2)).unwrap_err();
    assert_eq!(refused.code(), "store-read-only");
    issue(&store, 2);
    assert_eq!(reader.counts().unwrap().issued, 2);
    drop(store);
    place.open();
}

#[test]
fn a_lock_that_a_killed_servers_child_holds_for_a_moment_is_waited_for() {
    let place = Place::new();
    drop(place.open());
    let lock = fs::File::open(place.path.with_extension("db.lock")).unwrap();
    lock.try_lock().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(200));
            lock.unlock().unwrap();
        });
        Store::open(&place.path).unwrap();
    });
}
