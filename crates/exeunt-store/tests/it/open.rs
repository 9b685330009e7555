//! Creating and opening, and what is refused.

use std::fs;
use std::path::Path;

use exeunt_store::{
    APPLICATION_ID, CursorRow, HeldRow, Pending, RevokeChange, SCHEMA_VERSION, Store,
};
use exeunt_types::{
    CrlNumber, Disposition, EventKind, EventSeq, RequestFlags, RequestId, RevocationReason,
};
use rusqlite::Connection;

use crate::support::{
    Place, STORE_ID, as_read, assert_whole, at, by, certificate, change, exit, intent, issue,
    issue_all, request, to,
};

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

/// A store as version 1 left it, at work: the published step, the two numbers, rows of every kind.
/// Request 1 is being signed, request 2 is issued, 3 was refused and waits on a shelf.
fn first_version(path: &Path) {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch(include_str!("../../migrations/0001.sql")).unwrap();
    conn.execute_batch(
        "PRAGMA application_id = 0x45584e54; PRAGMA user_version = 1; PRAGMA journal_mode = wal;
         INSERT INTO meta VALUES (1, '0123456789abcdef', 0);
         INSERT INTO request VALUES
             (1, 8, 0, NULL, 0, 256, '', '', '', '', '', '', x'30'),
             (2, 20, 0, 5, 0, 256, 'Issued', 'alice', '', 'tls', 'CN=a', '', x'30'),
             (3, 31, 5, 6, 0, 256, 'no', 'bob', '', '', '', '', x'30');
         INSERT INTO serial VALUES (x'4100', 1), (x'4200', 2);
         INSERT INTO intent VALUES (1, x'4100', x'30');
         INSERT INTO event VALUES
             (1, 128, 1, NULL, NULL, NULL, NULL),
             (2, 1, 5, 2, 20, 0, 'Issued'),
             (3, 4, 6, 3, 31, 5, 'no');
         INSERT INTO certificate VALUES
             (2, 2, 5, 0, 9000, x'4200', 'rsa-3072', 'CN=a', '', x'3000');
         INSERT INTO cursor VALUES ('file', 3, 7, 'host', 40), ('mail', 1, 0, '', 0);
         INSERT INTO held VALUES ('file', 3, 3, 2, 2, NULL, 8, 'no route');
         INSERT INTO quarantine VALUES ('file', 1, 2, 'why', 'row');
         INSERT INTO tally VALUES (8, 1), (20, 1), (31, 1);",
    )
    .unwrap();
}

#[test]
fn a_store_made_by_the_first_version_is_migrated_with_all_that_is_in_it() {
    let place = Place::new();
    let old = place.folder.path().join("old.db");
    first_version(&old);
    let store = Store::open(&old).unwrap();
    assert_eq!(store.store_id(), "0123456789abcdef");
    let events = store.events_after(EventSeq(0), 10).unwrap();
    let kinds: Vec<_> = events.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [EventKind::STARTUP, EventKind::CERT_ISSUED, EventKind::CERT_DENIED]);
    for event in &events {
        assert_eq!((event.detail.len(), &event.corrupt), (0, &None));
    }
    assert!(events[1].certificate.is_some());
    assert_eq!(events[2].state.as_ref().unwrap().disposition, Disposition::Denied);
    let cursor = |name: &str, position, holder: Option<&str>, until| CursorRow {
        exit: name.to_owned(),
        position: EventSeq(position),
        started: EventSeq(0),
        replay: None,
        holder: holder.map(str::to_owned),
        until: at(until),
    };
    let cursors = [cursor("file", 3, Some("host"), 40), cursor("mail", 1, None, 0)];
    assert_eq!(store.cursors().unwrap(), cursors);
    let shelf = store.held(&exit("file")).unwrap();
    assert!(
        matches!(shelf.as_slice(), [HeldRow::Held(it)] if it.seq.0 == 3 && it.last_error == "no route")
    );
    assert_eq!(store.quarantined().unwrap().len(), 1);
    // The lease goes on, and what is new works.
    let lease = store.lease(&exit("file"), "host", at(10), at(50)).unwrap();
    assert_eq!(lease.token, 7);
    store.start_replay(&exit("file"), &lease, EventSeq(1), EventSeq(2)).unwrap();
    assert_eq!(store.settle(&exit("file"), &lease, to(2)).unwrap(), EventSeq(3));
    assert_eq!(store.recover(at(1)).unwrap()[0].request, RequestId(1));
    issue(&store, 4);
    drop(store);
    assert_whole(&old);
    let conn = Connection::open(&old).unwrap();
    let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, SCHEMA_VERSION);
    drop(conn);
    assert_eq!(Store::open(&old).unwrap().head(), EventSeq(5));
}

/// A store as version 2 left it: that of version 1 after a start, and since then one request that
/// waits (4), one whose serial number was given up (5), one that is being signed (6).
fn second_version(path: &Path) {
    first_version(path);
    let conn = Connection::open(path).unwrap();
    conn.execute_batch(include_str!("../../migrations/0002.sql")).unwrap();
    conn.execute_batch(
        "PRAGMA user_version = 2;
         UPDATE request SET disposition = 30, resolved = 7, message = 'stopped' WHERE id = 1;
         DELETE FROM intent;
         INSERT INTO abandoned_serial VALUES (x'4100', 1, 7);
         INSERT INTO request VALUES
             (4, 9, 0, NULL, 8, 256, 'waits', 'carol', '', 'tls', 'CN=c', 'a:1\nb:2\n', x'30'),
             (5, 30, 5, 9, 8, 256, 'no key', 'dave', '', 'tls', 'CN=d', '', x'30'),
             (6, 8, 0, NULL, 8, 256, '', 'erin', '', 'tls', 'CN=e', '', x'30');
         INSERT INTO serial VALUES (x'4500', 5), (x'4600', 6);
         INSERT INTO abandoned_serial VALUES (x'4500', 5, 9);
         INSERT INTO intent VALUES (6, x'4600', x'31');
         INSERT INTO event VALUES
             (4, 131072, 7, 1, 30, 2148090886, 'stopped', NULL),
             (5, 2, 8, 4, 9, 0, 'waits', NULL),
             (6, 131072, 9, 5, 30, 5, 'no key', NULL),
             (7, 2097152, 9, NULL, NULL, NULL, NULL, 'Module:file' || char(10));
         INSERT INTO audit VALUES (1, 3, 'olga', 'exit-add', 'file', '');
         UPDATE meta SET lease_floor = 3;
         UPDATE cursor SET position = 2, replay_to = 3, resume_at = 5 WHERE exit = 'file';
         DELETE FROM tally;
         INSERT INTO tally SELECT disposition, count(*) FROM request GROUP BY disposition;",
    )
    .unwrap();
}

#[test]
fn a_store_made_by_the_second_version_is_migrated_with_all_that_is_in_it() {
    let place = Place::new();
    let old = place.folder.path().join("old.db");
    second_version(&old);
    let store = Store::open(&old).unwrap();
    let events = store.events_after(EventSeq(0), 10).unwrap();
    assert_eq!(events.len(), 7);
    for event in &events {
        assert_eq!(event.corrupt, None);
        assert_eq!(event.state.as_ref().and_then(|it| it.revocation), None);
    }
    assert_eq!(events[6].detail, [("Module".to_owned(), "file".to_owned())]);
    assert_eq!(store.audit_after(0, 9).unwrap()[0].entry.actor, "olga");
    let row = store.cursor(&exit("file")).unwrap().unwrap();
    assert_eq!((row.position, row.replay.unwrap().resume_at), (EventSeq(2), EventSeq(5)));

    // What version 2 did not note has its plain value.
    for row in store.requests(None, 10).unwrap() {
        assert_eq!((row.request.flags, row.request.old_certificate), (RequestFlags(0), None));
        assert_eq!((row.officer_extensions, row.revocation), (Vec::new(), None));
        assert!(!row.publish_expired);
    }
    let issued = store.certificate_of(RequestId(2)).unwrap().unwrap().certificate;
    assert_eq!((issued.ca_key, issued.crl_partition, issued.not_after), (0, 0, at(9000)));
    assert_eq!(store.recover(at(10)).unwrap()[0].request, RequestId(6));
    let abandoned = store.abandoned_serials(None, 9).unwrap();
    let abandoned: Vec<_> = abandoned
        .iter()
        .map(|it| (it.serial.to_string(), it.request.0, it.at.0, it.not_after, it.ca_key))
        .collect();
    let expected = [("4100", 1, 7), ("4500", 5, 9), ("4600", 6, 10)];
    let expected = expected.map(|(serial, request, when)| (serial.to_owned(), request, when));
    assert_eq!(abandoned, expected.map(|(serial, id, when)| (serial, id, when, None, 0)));
    assert_eq!(store.request(RequestId(6)).unwrap().unwrap().disposition, Disposition::Error);

    // And the life of its certificates goes on.
    let waiting = RequestId(4);
    let set = vec![("B".to_owned(), "3".to_owned())];
    store.set_attributes(waiting, set, by("set")).unwrap();
    store
        .start_resume_intend(
            waiting,
            as_read(&store, waiting),
            "tls".to_owned(),
            intent(1),
            by("approve"),
            exeunt_store::Along::default(),
        )
        .and_then(Pending::wait)
        .unwrap();
    store.record(waiting, certificate(1), at(11)).unwrap();
    let told = store.retrieve(waiting, at(12)).unwrap();
    assert!(told.is_some(), "it waited once");
    assert_eq!(store.retrieve(RequestId(2), at(12)).unwrap(), None);
    let b = |seq| {
        let event = store.event(seq).unwrap().unwrap();
        event.request.unwrap().request.attributes[1].1.clone()
    };
    assert_eq!([b(EventSeq(5)), b(told.unwrap())], ["2", "3"]);
    let revoke = RevokeChange::Revoke(RevocationReason::Superseded, at(13));
    change(&store, RequestId(2), revoke, 13).unwrap();
    let mut revoked = Vec::new();
    store
        .read_revoked(|view| {
            view.revoked(0, 0, None, &mut |it| {
                revoked.push((it.request.0, it.not_after));
                true
            })
        })
        .unwrap();
    assert_eq!(revoked, [(2, Some(at(9000))), (1, None), (5, None), (6, None)]);
    assert_eq!(store.next_crl_number().unwrap(), CrlNumber(1));
    issue(&store, 2);
    drop(store);
    assert_whole(&old);
}

#[test]
fn a_migrated_store_has_the_schema_of_a_new_one() {
    for version in [first_version, second_version] {
        check_schema(version);
    }
}

fn check_schema(version: fn(&Path)) {
    let place = Place::new();
    let old = place.folder.path().join("old.db");
    version(&old);
    drop(Store::open(&old).unwrap());
    let schema = |path: &Path| -> Vec<(String, String)> {
        let conn = Connection::open(path).unwrap();
        let mut rows =
            conn.prepare("SELECT name, ifnull(sql, '') FROM sqlite_schema ORDER BY name").unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    };
    assert_eq!(schema(&old), schema(&place.path));
}

#[test]
fn a_migration_that_fails_leaves_the_store_as_it_was() {
    let place = Place::new();
    let old = place.folder.path().join("old.db");
    first_version(&old);
    // Somebody has made a table of that name, which the migration meets at its end.
    Connection::open(&old).unwrap().execute_batch("CREATE TABLE audit (theirs)").unwrap();
    assert_eq!(Store::open(&old).unwrap_err().code(), "store-sql");
    let conn = Connection::open(&old).unwrap();
    let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 1);
    let columns = "SELECT count(*) FROM pragma_table_info('event')";
    assert_eq!(conn.query_row(columns, [], |row| row.get::<_, i64>(0)).unwrap(), 7);
    conn.execute_batch("DROP TABLE audit").unwrap();
    drop(conn);
    assert_eq!(Store::open(&old).unwrap().head(), EventSeq(3));
}

#[test]
fn an_old_store_that_is_only_to_be_read_is_refused_and_left_alone() {
    let place = Place::new();
    let old = place.folder.path().join("old.db");
    first_version(&old);
    let before = fs::read(&old).unwrap();
    let err = Store::open_read_only(&old).unwrap_err();
    assert_eq!(err.code(), "store-older");
    assert_eq!(err.to_string(), "store has schema version 1 and must be brought to 5 first");
    assert_eq!(fs::read(&old).unwrap(), before);
    drop(Store::open(&old).unwrap());
    assert_eq!(Store::open_read_only(&old).unwrap().head(), EventSeq(3));
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
