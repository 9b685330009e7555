//! The chain of the audit trail: whatever is done to it in the file is found, and where.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use exeunt_store::{
    AuditCheckpoint, AuditEntry, AuditRow, ChainFault, ChainHead, Checked, Contradiction, Expected,
    ROWS_MAX, RevokeChange, SCAN_ROWS_MAX, Store, StoreError, check_chain,
};
use exeunt_types::{
    AuditCategories, AuditQuery, Disposition, RequestId, Resolution, RevocationReason, StatusCode,
};

use crate::support::{Place, assert_whole, at, certificate, intent, issue, pend, request};

/// Rows of the trail, also of one that cannot be read.
fn rows(store: &Store) -> impl Iterator<Item = Result<AuditRow, StoreError>> {
    let mut after = 0;
    std::iter::from_fn(move || {
        let row = store.audit_after(after, 1).map(|it| it.into_iter().next()).transpose()?;
        after = row.as_ref().map_or(after, |it| it.id);
        Some(row)
    })
}

/// Checks the whole trail, and compares it with the store.
fn check(store: &Store, checkpoints: &BTreeMap<u64, [u8; 32]>) -> (Checked, Vec<Contradiction>) {
    let mut witness = store.audit_witness().unwrap();
    let start = ChainHead::start(store.store_id());
    let checked = check_chain(start, rows(store), checkpoints, |it| witness.hear(it)).unwrap();
    (checked, witness.finish().unwrap())
}

/// A store with twelve rows, and the hashes of the fourth and the tenth.
fn twelve_rows() -> (Place, BTreeMap<u64, [u8; 32]>) {
    let place = Place::new();
    let store = place.open();
    store.audit_start(at(1), "exeunt:server", AuditCategories::ALL, "").unwrap();
    for number in 1..=3 {
        issue(&store, number);
    }
    pend(&store, 4);
    let reason = RevokeChange::Revoke(RevocationReason::KeyCompromise, at(5));
    let expected = Expected { disposition: Disposition::Issued, revocation: None };
    let revoke = AuditEntry::new(at(5), "olga", "certificate-revoke", "request:2");
    store.revoke(RequestId(2), expected, reason, at(5), "Revoked".to_owned(), revoke).unwrap();
    for step in 7..=12 {
        store.audit(AuditEntry::new(at(step), "olga", "reload", "exeunt.toml")).unwrap();
    }
    let hash = |number: u64| (number, store.audit_after(number - 1, 1).unwrap()[0].hash);
    let checkpoints = BTreeMap::from([hash(4), hash(10)]);
    (place, checkpoints)
}

#[test]
fn a_trail_that_nobody_touched_is_whole_and_agrees_with_the_store() {
    let (place, checkpoints) = twelve_rows();
    let store = place.open();
    let (checked, contradictions) = check(&store, &checkpoints);
    assert_eq!(checked.fault, None);
    assert_eq!((checked.head.number, checked.confirmed), (12, 10));
    assert_eq!(checked.head, store.audit_head().unwrap());
    assert_eq!(contradictions, []);
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn whatever_is_done_to_the_rows_is_found_and_located() {
    use ChainFault as Fault;
    let changed = |number| Fault::Changed { number };
    // Numbers on the way to another place, past all others.
    let swap = |one: u64, other: u64| {
        format!(
            "UPDATE audit SET id = 1000 WHERE id = {one};
             UPDATE audit SET id = {one} WHERE id = {other};
             UPDATE audit SET id = {other} WHERE id = 1000"
        )
    };
    for (sql, fault) in [
        // Changed, each column.
        ("UPDATE audit SET at = at + 1 WHERE id = 3".to_owned(), changed(3)),
        ("UPDATE audit SET actor = 'nobody' WHERE id = 1".to_owned(), changed(1)),
        ("UPDATE audit SET action = 'exit-add' WHERE id = 12".to_owned(), changed(12)),
        ("UPDATE audit SET object = 'request:9' WHERE id = 2".to_owned(), changed(2)),
        ("UPDATE audit SET detail = detail || ' ' WHERE id = 4".to_owned(), changed(4)),
        ("UPDATE audit SET before = 'x' WHERE id = 7".to_owned(), changed(7)),
        ("UPDATE audit SET before = '' WHERE id = 7".to_owned(), changed(7)),
        ("UPDATE audit SET after = NULL WHERE id = 2".to_owned(), changed(2)),
        ("UPDATE audit SET event = 4888 WHERE id = 2".to_owned(), changed(2)),
        ("UPDATE audit SET also = 0 WHERE id = 2".to_owned(), changed(2)),
        ("UPDATE audit SET hash = x'00' WHERE id = 5".to_owned(), changed(5)),
        ("UPDATE audit SET hash = NULL WHERE id = 5".to_owned(), changed(5)),
        // A text moved from one column into the next.
        (
            "UPDATE audit SET actor = actor || substr(action, 1, 1), action = substr(action, 2)
             WHERE id = 8"
                .to_owned(),
            changed(8),
        ),
        // Removed.
        ("DELETE FROM audit WHERE id = 1".to_owned(), Fault::Missing { first: 1, last: 1 }),
        ("DELETE FROM audit WHERE id = 6".to_owned(), Fault::Missing { first: 6, last: 6 }),
        (
            "DELETE FROM audit WHERE id BETWEEN 3 AND 9".to_owned(),
            Fault::Missing { first: 3, last: 9 },
        ),
        // Removed, and the rest moved up.
        (
            "DELETE FROM audit WHERE id = 6; UPDATE audit SET id = id - 1 WHERE id > 6".to_owned(),
            changed(6),
        ),
        // Put in, and the rest moved down.
        (
            "UPDATE audit SET id = -(id + 1) WHERE id > 6; UPDATE audit SET id = -id WHERE id < 0;
             INSERT INTO audit SELECT 7, at, actor, action, object, detail, before, after, event,
                                      also, hash FROM audit WHERE id = 6"
                .to_owned(),
            Fault::OutOfOrder { number: 7, place: 8 },
        ),
        // Other places.
        (swap(7, 8), Fault::OutOfOrder { number: 7, place: 8 }),
        (swap(2, 11), Fault::OutOfOrder { number: 2, place: 11 }),
        // Cut off, with a checkpoint that knows better.
        ("DELETE FROM audit WHERE id > 9".to_owned(), Fault::CutOff { after: 9, known: 10 }),
        ("DELETE FROM audit".to_owned(), Fault::CutOff { after: 0, known: 10 }),
    ] {
        let (place, checkpoints) = twelve_rows();
        place.meddle(&sql);
        let store = Store::open_read_only(&place.path).unwrap();
        let (checked, _) = check(&store, &checkpoints);
        assert_eq!(checked.fault, Some(fault), "{sql}");
    }
}

/// The whole chain written anew after row `from`, as somebody with the file and this program could.
fn forge(place: &Place, from: u64) {
    let store = Store::open_read_only(&place.path).unwrap();
    let mut head = ChainHead::start(store.store_id());
    let mut sql = String::new();
    for row in rows(&store) {
        let row = row.unwrap();
        let hash = if row.id < from { row.hash } else { head.hash_of_next(&row) };
        head = ChainHead { number: row.id, hash };
        sql += "UPDATE audit SET hash = x'";
        for octet in hash {
            write!(sql, "{octet:02x}").unwrap();
        }
        write!(sql, "' WHERE id = {};", row.id).unwrap();
    }
    drop(store);
    place.meddle(&sql);
}

#[test]
fn a_chain_that_was_written_anew_is_found_by_the_first_checkpoint_after_it() {
    let (place, checkpoints) = twelve_rows();
    place.meddle("UPDATE audit SET actor = 'nobody' WHERE id = 7");
    forge(&place, 7);
    let store = Store::open_read_only(&place.path).unwrap();
    let (checked, _) = check(&store, &checkpoints);
    assert_eq!(checked.fault, Some(ChainFault::Rewritten { after: 4, number: 10 }));
    // Nobody has signed what comes after row 10: without more witnesses, that can be written anew.
    drop(store);
    let (place, checkpoints) = twelve_rows();
    place.meddle("UPDATE audit SET actor = 'nobody' WHERE id = 11");
    forge(&place, 11);
    let store = Store::open_read_only(&place.path).unwrap();
    assert_eq!(check(&store, &checkpoints).0.fault, None);
}

#[test]
fn the_rest_of_the_store_tells_of_rows_that_are_gone() {
    let none = BTreeMap::new();
    for (sql, found) in [
        (
            "DELETE FROM audit WHERE id > 3",
            vec![
                Contradiction::CertificateUnaudited(RequestId(3)),
                Contradiction::RevocationUnaudited(RequestId(2)),
            ],
        ),
        (
            "UPDATE certificate SET raw = x'00' WHERE request = 2",
            vec![Contradiction::CertificateExchanged { request: RequestId(2), number: 3 }],
        ),
        (
            "DELETE FROM certificate WHERE request = 3",
            vec![Contradiction::CertificateGone { request: RequestId(3), number: 4 }],
        ),
    ] {
        let (place, _) = twelve_rows();
        place.meddle(sql);
        let store = Store::open_read_only(&place.path).unwrap();
        let (checked, contradictions) = check(&store, &none);
        assert_eq!((checked.fault, contradictions), (None, found), "{sql}");
    }
}

#[test]
fn what_became_of_a_request_is_a_row_of_its_own() {
    let place = Place::new();
    let store = place.open();
    issue(&store, 1);
    pend(&store, 2);
    let status = StatusCode::BAD_REQUEST_SUBJECT;
    let message = "no".to_owned();
    let deny = Resolution::Deny { status, message: message.clone() };
    store.admit_resolve(request(3), deny).unwrap();
    store.admit_resolve(request(4), Resolution::Fail { status, message }).unwrap();
    let id = store.admit_intend(request(5), intent(5)).unwrap();
    store.abandon(id, status, "the token is away", at(9)).unwrap();
    store.admit_intend(request(6), intent(6)).unwrap();
    store.recover(at(10)).unwrap();
    let told: Vec<_> = rows(&store)
        .map(Result::unwrap)
        .map(|it| {
            let AuditEntry { actor, action, object, after, .. } = it.entry;
            assert_eq!((actor.as_str(), it.also), ("caller", 4886), "{action}");
            (it.event, action, object, after.unwrap())
        })
        .collect();
    let row = |event: u32, action: &str, request: u64, after: &str| {
        (event, action.to_owned(), format!("request:{request}"), after.to_owned())
    };
    assert_eq!(
        told,
        [
            row(4887, "request-issued", 1, "issued"),
            row(4889, "request-pending", 2, "pending"),
            row(4888, "request-denied", 3, "denied"),
            row(10_001, "request-failed", 4, "failed"),
            row(10_001, "request-failed", 5, "failed"),
            row(10_001, "request-failed", 6, "failed"),
        ]
    );
    let detail = &store.audit_after(0, 1).unwrap()[0].entry.detail;
    // Of "certificate 1", by sha256sum.
    let sha256 = "cba1c16035eca5706eb4e0af22c99b94c1f2b76278497aa8e93f2d0ba8a96223";
    let serial = certificate(1).serial;
    let rest = "template WebServer, requester requester-1";
    assert_eq!(detail, &format!("serial {serial}, sha256 {sha256}, {rest}"));
}

#[test]
fn what_the_filter_leaves_out_is_not_missed_and_the_filter_itself_is_never_left_out() {
    let place = Place::new();
    let store = place.open();
    let without = AuditCategories(0x7F & !AuditCategories::REQUESTS.0);
    store.audit_start(at(1), "exeunt:server", AuditCategories::ALL, "").unwrap();
    issue(&store, 1);
    store.audit_filter(at(2), "olga", without).unwrap();
    issue(&store, 2);
    assert_eq!(
        store.audit(AuditEntry::new(at(3), "olga", "request-deny", "request:9")).unwrap(),
        3
    );
    store.audit_filter(at(4), "olga", AuditCategories(0)).unwrap();
    store.audit(AuditEntry::new(at(4), "olga", "reload", "exeunt.toml")).unwrap();
    store.audit_filter(at(5), "olga", AuditCategories::ALL).unwrap();
    issue(&store, 3);
    drop(store);
    let store = place.open();
    store.audit_start(at(6), "exeunt:server", without, "").unwrap();
    issue(&store, 4);
    let told: Vec<_> = rows(&store)
        .map(Result::unwrap)
        .map(|it| (it.event, it.entry.before.unwrap_or_default(), it.entry.after.unwrap()))
        .collect();
    let all = "filter 0x7f: service, backup, requests, revocation, security, keys, configuration";
    let some = "filter 0x7b: service, backup, revocation, security, keys, configuration";
    let (none, issued) = ("filter 0x00: none", "issued");
    let row = |event, before: &str, after: &str| (event, before.to_owned(), after.to_owned());
    assert_eq!(
        told,
        [
            row(4880, "", all),
            row(4887, "", issued),
            row(4885, all, some),
            row(4885, some, none),
            row(4885, none, all),
            row(4887, "", issued),
            row(4885, all, some),
            row(4880, all, some),
        ]
    );
    assert_eq!(check(&store, &BTreeMap::new()).1, []);
    // A row that was to be written is missed.
    drop(store);
    place.meddle("DELETE FROM audit WHERE id > 5");
    let store = Store::open_read_only(&place.path).unwrap();
    let missed = RequestId(3);
    let found = check(&store, &BTreeMap::new()).1;
    // After the end, what was written last counts, and that was everything.
    let also = Contradiction::CertificateUnaudited(RequestId(4));
    assert_eq!(found, [Contradiction::CertificateUnaudited(missed), also]);
}

#[test]
fn a_job_that_fails_in_a_shared_commit_leaves_no_gap_in_the_chain() {
    let place = Place::new();
    let store = place.open();
    let mut threads = Vec::new();
    for thread in 0..8_u64 {
        let store = store.clone();
        threads.push(std::thread::spawn(move || {
            for step in 0..20 {
                let number = thread * 100 + step;
                store.audit(AuditEntry::new(at(1), "olga", "reload", "x")).unwrap();
                let id = store.admit_intend(request(number), intent(number)).unwrap();
                // Those with the serial number of another are refused, alone.
                if step % 3 == 0 {
                    assert!(store.record(id, certificate(number + 1), at(2)).is_err());
                    let (status, message) = (StatusCode::SERVER_SUSPENDED, "no");
                    store.abandon(id, status, message, at(3)).unwrap();
                } else {
                    store.record(id, certificate(number), at(2)).unwrap();
                }
            }
        }));
    }
    for it in threads {
        it.join().unwrap();
    }
    let (checked, contradictions) = check(&store, &BTreeMap::new());
    assert_eq!((checked.fault, checked.head.number), (None, 8 * 40));
    assert_eq!(contradictions, []);
    assert_eq!(checked.head, store.audit_head().unwrap());
}

#[test]
fn the_rows_of_an_older_store_are_linked_when_it_is_opened() {
    let place = Place::new();
    let store = place.open();
    for step in 1..=3000 {
        if step % 1000 == 0 {
            store.audit(AuditEntry::new(at(step), "olga", "crl-publish", "crl:1")).unwrap();
        }
    }
    drop(store);
    // What version 4 had of the trail.
    place.meddle(
        "DROP INDEX audit_object; DROP INDEX audit_filter;
         UPDATE audit SET hash = NULL, event = 0",
    );
    let conn = rusqlite::Connection::open(&place.path).unwrap();
    let tables = include_str!("../../migrations/0005.sql");
    for line in tables.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let undo = match words.as_slice() {
            ["CREATE", "TABLE", name, ..] => format!("DROP TABLE {name}"),
            ["ALTER", "TABLE", table, "ADD", "COLUMN", column, ..] => {
                format!("ALTER TABLE {table} DROP COLUMN {column}")
            }
            _ => continue,
        };
        conn.execute_batch(&undo).unwrap();
    }
    conn.pragma_update(None, "user_version", 4).unwrap();
    drop(conn);
    let store = place.open();
    let (checked, _) = check(&store, &BTreeMap::new());
    assert_eq!((checked.fault, checked.head.number), (None, 3));
    assert_eq!(store.audit_after(0, 1).unwrap()[0].event, 4871);
    store.audit(AuditEntry::new(at(4000), "olga", "reload", "exeunt.toml")).unwrap();
    assert_eq!(check(&store, &BTreeMap::new()).0.head.number, 4);
}

#[test]
fn pages_are_found_in_both_directions_and_end() {
    let (place, _) = twelve_rows();
    let store = place.open();
    let find = |query: AuditQuery| {
        let mut numbers = Vec::new();
        let mut query = AuditQuery { limit: 2, ..query };
        for _ in 0..20 {
            let page = store.find_audit(&query).unwrap();
            numbers.extend(page.rows.iter().map(|it| it.id));
            match page.next {
                Some(next) => query.after = Some(next),
                None => return numbers,
            }
        }
        panic!("there is no end");
    };
    let all = AuditQuery::default();
    assert_eq!(find(all.clone()), (1..=12).collect::<Vec<_>>());
    let descending = AuditQuery { descending: true, ..all.clone() };
    assert_eq!(find(descending.clone()), (1..=12).rev().collect::<Vec<_>>());
    let of = |event| AuditQuery { event: Some(event), ..all.clone() };
    assert_eq!(find(of(4886)), [2, 3, 4, 5]);
    assert_eq!(find(of(4887)), [2, 3, 4]);
    assert_eq!(find(AuditQuery { actor: Some("olg".to_owned()), ..descending }).len(), 7);
    let object = AuditQuery { object: Some("request:2".to_owned()), ..all.clone() };
    assert_eq!(find(object), [3, 6]);
    let action = AuditQuery { action: Some("reload".to_owned()), ..all.clone() };
    assert_eq!(find(AuditQuery { since: Some(at(9)), until: Some(at(10)), ..action }), [9, 10]);
    let none = AuditQuery { actor: Some("nobody".to_owned()), ..all };
    assert_eq!(find(none), [0; 0]);
    const { assert!(ROWS_MAX < SCAN_ROWS_MAX) };
    let own = store.audit_of_object("exeunt.toml", 8, 3).unwrap();
    assert_eq!(own.iter().map(|it| it.id).collect::<Vec<_>>(), [9, 10, 11]);
    assert_eq!(store.audit_of_object("request:2", 0, 9).unwrap(), []);
}

#[test]
fn checkpoints_are_kept_once_for_each_row() {
    let place = Place::new();
    let store = place.open();
    assert_eq!(store.last_audit_checkpoint().unwrap(), 0);
    let checkpoint =
        |number, text: &str| AuditCheckpoint { number, at: at(1), signed: text.into() };
    for (number, text) in [(3, "three"), (7, "seven"), (3, "other")] {
        store.add_audit_checkpoint(checkpoint(number, text)).unwrap();
    }
    let all = [checkpoint(3, "three"), checkpoint(7, "seven")];
    assert_eq!(store.audit_checkpoints(0, 9).unwrap(), all);
    assert_eq!(store.audit_checkpoints(3, 9).unwrap(), all[1..]);
    assert_eq!(store.last_audit_checkpoint().unwrap(), 7);
}

/// Words like `exit-add` that stand as texts in what follows.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_word = |it: &&str| {
        let letters = it.bytes().all(|it| it.is_ascii_lowercase() || it == b'-');
        letters && (it.contains('-') || *it == "reload") && !it.starts_with('-')
    };
    text.split('"').skip(1).step_by(2).filter(is_word)
}

/// Every file of ours with sources that run in the server or in a command.
fn sources(folder: &std::path::Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push(text.split("#[cfg(test)]").next().unwrap_or_default().to_owned());
        }
    }
}

#[test]
fn every_action_that_the_server_writes_has_a_number() {
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut texts = Vec::new();
    sources(crates, &mut texts);
    let mut found = std::collections::BTreeSet::new();
    for text in &texts {
        // The call, up to where its statement ends, and constants with the word of an action.
        for call in
            ["AuditEntry::new(", "audit_entry(", "self.audit(", "self.order(", "self.alter("]
                .into_iter()
                .chain(["take_up_again(", "change_tokens(", " entry(", "AuditNote {"])
        {
            for (at, _) in text.match_indices(call) {
                let rest = &text[at + call.len()..];
                let end = rest.find([';', '}']).unwrap_or(rest.len());
                found.extend(words(&rest[..end]).map(str::to_owned));
            }
        }
    }
    // Texts beside the action, and names of things.
    found.remove("exeunt-runner");
    let unknown: Vec<_> = found
        .iter()
        .filter(|it| exeunt_types::AuditKind::of(it).event == exeunt_types::EVENT_UNKNOWN)
        .collect();
    assert!(unknown.is_empty(), "not in the table of exeunt-types: {unknown:?}");
    for known in ["exit-add", "request-deny", "certificate-import", "key-recover", "token-add"] {
        assert!(found.contains(known), "{known} was not found: {found:?}");
    }
}
