//! What the tests share: a store in a temporary folder, and inputs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use exeunt_store::{
    AsRead, AuditEntry, Expected, Held, HeldState, Lease, RevokeChange, Settlement, Store,
    StoreError,
};
use exeunt_types::{
    Disposition, EventSeq, ExitName, KeyAlgorithm, NewCertificate, NewIntent, NewRequest,
    RequestId, RequestType, Resolution, Serial, StartAt, SubjectKey, UnixMillis,
};
use tempfile::TempDir;

pub const STORE_ID: [u8; 8] = [0, 1, 2, 3, 0xfc, 0xfd, 0xfe, 0xff];
/// Longer than anything here takes, so a test that waits for it has failed.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// A new store in a folder of its own.
pub struct Place {
    pub folder: TempDir,
    pub path: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        Store::create(&path, STORE_ID, at(0)).unwrap();
        Self { folder, path }
    }

    pub fn open(&self) -> Store {
        Store::open(&self.path).unwrap()
    }

    /// All rows of all tables, as text.
    pub fn dump(&self) -> String {
        let conn = rusqlite::Connection::open(&self.path).unwrap();
        let names = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
        let mut text = String::new();
        for table in column(&conn, names) {
            let columns =
                format!("SELECT 'quote(' || name || ')' FROM pragma_table_info('{table}')");
            let columns = column(&conn, &columns).join(" || ' ' || ");
            let rows = column(&conn, &format!("SELECT {columns} FROM {table}"));
            text.extend([&table, "\n", &rows.join("\n"), "\n"].map(str::to_owned));
        }
        text
    }

    /// Somebody else's hands in the file, without our checks.
    pub fn meddle(&self, sql: &str) {
        let conn = rusqlite::Connection::open(&self.path).unwrap();
        conn.pragma_update(None, "foreign_keys", false).unwrap();
        conn.execute_batch(sql).unwrap();
    }
}

fn column(conn: &rusqlite::Connection, sql: &str) -> Vec<String> {
    let mut statement = conn.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Does what must fail with that code, and checks that it has changed nothing.
#[track_caller]
pub fn assert_refused<T: std::fmt::Debug>(
    place: &Place,
    code: &str,
    act: impl FnOnce() -> Result<T, StoreError>,
) {
    let before = place.dump();
    assert_eq!(act().unwrap_err().code(), code);
    assert_eq!(place.dump(), before);
}

pub fn at(millis: i64) -> UnixMillis {
    UnixMillis(millis)
}

pub fn serial(number: u64) -> Serial {
    let mut octets = [0x11; 16];
    octets[8..].copy_from_slice(&number.to_be_bytes());
    Serial::from_random(octets)
}

pub fn exit(name: &str) -> ExitName {
    ExitName::parse(name).unwrap()
}

pub fn request(number: u64) -> NewRequest {
    NewRequest {
        raw: number.to_be_bytes().to_vec(),
        request_type: RequestType::Pkcs10,
        requester: format!("requester-{number}"),
        caller: "caller".to_owned(),
        template: "WebServer".to_owned(),
        attributes: vec![("a".to_owned(), "1:2".to_owned()), ("b".to_owned(), String::new())],
        subject: format!("CN=host{number}"),
        flags: exeunt_types::RequestFlags::default(),
        old_certificate: None,
        submitted: at(1000),
    }
}

pub fn intent(number: u64) -> NewIntent {
    let tbs = format!("tbs of {number}").into_bytes();
    NewIntent { serial: serial(number), tbs, not_after: at(5000), ca_key: 0, crl_partition: 0 }
}

pub fn certificate(number: u64) -> NewCertificate {
    NewCertificate {
        serial: serial(number),
        raw: format!("certificate {number}").into_bytes(),
        subject: format!("CN=host{number}"),
        subject_alternative_names: format!("dns:host{number}"),
        not_before: at(-1000),
        not_after: at(5000),
        ca_key: 0,
        crl_partition: 0,
        key: KeyAlgorithm::Rsa { bits: 3072 },
    }
}

/// The whole journey of one request.
pub fn issue(store: &Store, number: u64) -> (RequestId, EventSeq) {
    let id = store.admit_intend(request(number), intent(number)).unwrap();
    (id, store.record(id, certificate(number), at(2000)).unwrap())
}

/// The whole journey of several requests, one after the other.
pub fn issue_all(store: &Store, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        issue(store, number);
    }
}

/// A request that waits for an officer; its event.
pub fn pend(store: &Store, number: u64) -> (RequestId, EventSeq) {
    let message = "taken under submission".to_owned();
    let id = store.admit_resolve(request(number), Resolution::Pend { message }).unwrap();
    (id, store.head())
}

/// What an officer does, for the audit trail.
pub fn by(action: &str) -> AuditEntry {
    AuditEntry::new(at(77), "olga", action, "a request")
}

/// What people did, as the audit trail has it: without what became of requests and lists by itself.
pub fn deeds(store: &Store) -> Vec<exeunt_store::AuditRow> {
    let outcomes = ["request-issued", "request-pending", "request-denied", "request-failed"];
    let is_deed = |it: &exeunt_store::AuditRow| {
        !outcomes.contains(&it.entry.action.as_str()) && it.entry.action != "crl-issue"
    };
    let rows = store.audit_after(0, exeunt_store::ROWS_MAX).unwrap();
    rows.into_iter().filter(is_deed).collect()
}

/// Changes a revocation, whatever it is now.
pub fn change(
    store: &Store,
    id: RequestId,
    change: RevokeChange,
    when: i64,
) -> Result<Option<EventSeq>, StoreError> {
    let expected = Expected::of(&store.request(id).unwrap().unwrap());
    store.revoke(id, expected, change, at(when), format!("changed at {when}"), by("revoke"))
}

/// What somebody read of a request who decides upon it now; of none, as if it waited.
pub fn as_read(store: &Store, id: RequestId) -> AsRead {
    let nothing = AsRead {
        disposition: Disposition::Pending,
        attributes: Vec::new(),
        extensions: Vec::new(),
        approvals: Vec::new(),
    };
    store.request(id).unwrap().map_or(nothing, |it| AsRead::of(&it, store.approvals(id).unwrap()))
}

/// A store with five events, and the lease of the module "file" whose cursor is at the start.
pub fn five(place: &Place) -> (Store, Lease) {
    let store = place.open();
    issue_all(&store, 1..=5);
    store.open_cursor(&exit("file"), StartAt::After(EventSeq(0))).unwrap();
    let lease = store.lease(&exit("file"), "one", at(0), at(100)).unwrap();
    (store, lease)
}

/// An event on the shelf.
pub fn held(seq: u64, state: HeldState) -> Held {
    Held {
        seq: EventSeq(seq),
        subject: SubjectKey::Request(RequestId(seq)),
        attempts: 3,
        state,
        last_error: "no route to host".to_owned(),
        first_held: at(77),
    }
}

/// A settlement that moves the cursor only.
pub fn to(cursor: u64) -> Settlement {
    Settlement { cursor: Some(EventSeq(cursor)), ..Settlement::default() }
}

/// The chain of the audit trail is whole.
fn assert_chained(path: &Path) {
    // A file of an older version has none.
    let Ok(store) = Store::open_read_only(path) else { return };
    let mut head = exeunt_store::ChainHead::start(store.store_id());
    loop {
        let page = store.audit_after(head.number, exeunt_store::ROWS_MAX).unwrap();
        if page.is_empty() {
            return;
        }
        let checked = exeunt_store::check_chain(
            head,
            page.into_iter().map(Ok::<_, StoreError>),
            &std::collections::BTreeMap::new(),
            |_| Ok(()),
        );
        let checked = checked.unwrap();
        assert_eq!(checked.fault, None);
        head = checked.head;
    }
}

/// Checks what is true of every whole store, with `SQLite`'s own eyes.
pub fn assert_whole(path: &Path) {
    assert_chained(path);
    let conn = rusqlite::Connection::open(path).unwrap();
    let text = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    assert_eq!(number("SELECT count(*) FROM pragma_foreign_key_check"), 0);
    let gap = "SELECT ifnull(max(seq), 0) - count(*) FROM event";
    assert_eq!(number(gap), 0, "the log has gaps");
    // Those of other authorities have numbers of other series.
    let reuse = "SELECT count(*) - count(DISTINCT serial) FROM certificate
                 JOIN request ON id = certificate.request WHERE disposition <> 12";
    assert_eq!(number(reuse), 0, "a serial was used twice");
    let both = "SELECT count(*) FROM certificate JOIN abandoned_serial USING (serial)
                JOIN request ON id = certificate.request WHERE disposition <> 12";
    assert_eq!(number(both), 0, "a serial is issued and abandoned");
    let untold = "SELECT count(*) FROM certificate LEFT JOIN event ON seq = certificate.event
                  WHERE event.request IS NOT certificate.request OR event.kind NOT IN (1, 512)";
    assert_eq!(number(untold), 0, "a certificate without its event");
    let half = "SELECT count(*) FROM request LEFT JOIN certificate ON certificate.request = id
                WHERE (disposition IN (12, 20, 21)) <> (serial IS NOT NULL)";
    assert_eq!(number(half), 0, "a request that is half issued");
    let revoked = "SELECT count(*) FROM request LEFT JOIN revocation ON revocation.request = id
                   WHERE (disposition = 21) <> ifnull(revoked, 0)
                      OR (revoked = 1) <> (reason <> 4294967295)";
    assert_eq!(number(revoked), 0, "a request that is half revoked");
    let copied = "SELECT count(*) FROM revocation LEFT JOIN certificate USING (request)
                  WHERE (revocation.serial, revocation.not_after, revocation.ca_key,
                         revocation.crl_partition)
                     IS NOT (certificate.serial, certificate.not_after, certificate.ca_key,
                             certificate.crl_partition)";
    assert_eq!(number(copied), 0, "a revocation that is not its certificate's");
    let silent = "SELECT count(*) FROM revocation WHERE NOT EXISTS
                    (SELECT 1 FROM event WHERE event.request = revocation.request
                     AND event.seq = revocation.event
                     AND (revoked_reason, revoked_ran, revoked_effective)
                       = (reason, ran, effective))";
    assert_eq!(number(silent), 0, "a revocation without its event");
    let unreserved = "SELECT count(*) FROM
                        (SELECT serial, request FROM certificate JOIN request ON id = request
                         WHERE disposition <> 12 UNION ALL
                         SELECT serial, request FROM intent UNION ALL
                         SELECT serial, request FROM abandoned_serial)
                      LEFT JOIN serial USING (serial, request) WHERE serial.request IS NULL";
    assert_eq!(number(unreserved), 0, "a serial that was not reserved");
    let foreign = "SELECT count(*) FROM request LEFT JOIN foreign_certificate ON request = id
                   WHERE (disposition = 12) <> (hash IS NOT NULL)";
    assert_eq!(number(foreign), 0, "a certificate of another CA that would be imported twice");
    let ahead =
        "SELECT count(*) FROM amendment WHERE (SELECT ifnull(max(seq), 0) FROM event) < after";
    assert_eq!(number(ahead), 0, "an amendment from the future");
    let newest = "SELECT count(*) FROM crl WHERE newest <>
                    (number = (SELECT max(number) FROM crl AS other
                               WHERE (other.kind, other.key_index, other.crl_partition)
                                   = (crl.kind, crl.key_index, crl.crl_partition)))";
    assert_eq!(number(newest), 0, "the newest revocation list is another");
    let numbers = "SELECT count(*) FROM crl, meta WHERE crl_number < number";
    assert_eq!(number(numbers), 0, "the number of a revocation list may come again");
    let active = "SELECT count(*) FROM request LEFT JOIN intent ON intent.request = id
                  WHERE (disposition = 8) <> (serial IS NOT NULL)";
    assert_eq!(number(active), 0, "an active request without an intent");
    let tally = "SELECT count(*) FROM
                   (SELECT disposition, count(*) AS n FROM request GROUP BY disposition)
                 LEFT JOIN tally USING (disposition) WHERE requests IS NOT n";
    assert_eq!(number(tally), 0, "the tally is wrong");
}
