//! The event log: its head, and reading it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use exeunt_types::{
    CertificateRecord, Disposition, EventKind, EventSeq, EventState, RequestId, RequestRecord,
    StatusCode, SubjectKey, UnixMillis,
};
use rusqlite::{Connection, Row};

use crate::lookup::{certificate_by_request, request_by_id};
use crate::queue::locked;
use crate::reader::{rows, sql_limit};
use crate::row::{
    Why, cut_visibly, decode_attributes, encode_attributes, read, read_code, read_id,
    read_revocation, read_seq, read_time, sql_int,
};
use crate::{Store, StoreError};

/// An event with what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Its place in the log; never changes.
    pub seq: EventSeq,
    /// Its kind; bits that this version does not know are kept. 0 when even that cannot be read.
    pub kind: EventKind,
    /// What it is about.
    pub subject: SubjectKey,
    /// When it happened.
    pub at: UnixMillis,
    /// State of the request at that time; none for events about the server.
    pub state: Option<EventState>,
    /// The request. Attributes, officers' extensions and the template are those of the time of the
    /// event. Today's are: its state with status, message and `resolved`, its revocation,
    /// `publish_expired` and `serial`. The rest never changes.
    pub request: Option<RequestRecord>,
    /// The certificate, if it existed at the time of the event.
    pub certificate: Option<CertificateRecord>,
    /// What it says beyond request and certificate, name and value; mostly nothing.
    pub detail: Vec<(String, String)>,
    /// Why a part of the above is missing, if it could not be read.
    pub corrupt: Option<String>,
}

/// Pairs of an event's detail that are kept; further ones are left out.
pub const DETAIL_PAIRS_MAX: usize = 16;
/// Longest name and longest value of an event's detail, in octets; the rest is cut off.
pub const DETAIL_OCTETS_MAX: usize = 4096;

/// Columns as [`read_event`] expects them.
const EVENTS_AFTER: &str = "SELECT seq, kind, at, request, disposition, status, message, detail,
            revoked_reason, revoked_ran, revoked_effective
     FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?2";
const EVENTS_OF_REQUEST: &str =
    "SELECT seq, kind, at, request, disposition, status, message, detail,
            revoked_reason, revoked_ran, revoked_effective
     FROM event WHERE request = ?1 ORDER BY seq LIMIT ?2";

impl Store {
    /// The last event that is durable; 0 when there is none. A store opened for reading answers
    /// as of its opening.
    pub fn head(&self) -> EventSeq {
        self.inner.head.get()
    }

    /// Waits until there is an event after `seq`, at most for `timeout`; returns the head.
    pub fn wait_past(&self, seq: EventSeq, timeout: Duration) -> EventSeq {
        self.inner.head.wait_past(seq, timeout)
    }

    /// Events after `seq`, oldest first, at most `limit` and [`crate::ROWS_MAX`].
    ///
    /// A row that cannot be read does not end the log: it comes with [`LoggedEvent::corrupt`].
    ///
    /// # Errors
    ///
    /// The log itself cannot be read.
    pub fn events_after(
        &self,
        seq: EventSeq,
        limit: usize,
    ) -> Result<Vec<LoggedEvent>, StoreError> {
        self.read_events(EVENTS_AFTER, sql_int(seq.0), limit)
    }

    /// One event.
    ///
    /// # Errors
    ///
    /// The log itself cannot be read.
    pub fn event(&self, seq: EventSeq) -> Result<Option<LoggedEvent>, StoreError> {
        let Some(before) = seq.0.checked_sub(1) else { return Ok(None) };
        let found = self.events_after(EventSeq(before), 1)?;
        Ok(found.into_iter().find(|event| event.seq == seq))
    }

    /// The events of one request, oldest first, at most `limit` and [`crate::ROWS_MAX`].
    ///
    /// For an operator's question, not for delivery: the log has no index by request, because that
    /// would cost every certificate a page write at a random place. So the whole log is read, which
    /// takes seconds in a log of many millions, and one of [`crate::READERS_MAX`] readers.
    ///
    /// # Errors
    ///
    /// The log itself cannot be read.
    pub fn events_of_request(
        &self,
        id: RequestId,
        limit: usize,
    ) -> Result<Vec<LoggedEvent>, StoreError> {
        self.read_events(EVENTS_OF_REQUEST, sql_int(id.0), limit)
    }

    /// Appends an event about the server itself that says nothing more: start and stop.
    ///
    /// # Errors
    ///
    /// Nothing was written.
    pub fn append_server_event(
        &self,
        kind: EventKind,
        at: UnixMillis,
    ) -> Result<EventSeq, StoreError> {
        self.append_event(kind, at, &[])
    }

    /// Appends an event about the server itself, with what it says as name and value.
    ///
    /// Of `detail`, [`DETAIL_PAIRS_MAX`] pairs are kept, and [`DETAIL_OCTETS_MAX`] octets of each
    /// name and value; a cut one ends in "…".
    ///
    /// # Errors
    ///
    /// Nothing was written.
    pub fn append_event(
        &self,
        kind: EventKind,
        at: UnixMillis,
        detail: &[(String, String)],
    ) -> Result<EventSeq, StoreError> {
        let text = detail_text(detail);
        self.write(move |tx| tx.append(kind, at, None, text.as_deref()))
    }

    fn read_events(
        &self,
        sql: &str,
        key: i64,
        limit: usize,
    ) -> Result<Vec<LoggedEvent>, StoreError> {
        let action = "reading events";
        self.inner.readers.read(action, |conn| {
            let mut events = rows(conn, action, sql, (key, sql_limit(limit)), read_event)?;
            for event in &mut events {
                join(conn, event);
            }
            Ok(events)
        })
    }
}

/// The event's own row; a part that cannot be read is named and left empty.
fn read_event(row: &Row<'_>) -> LoggedEvent {
    let mut event = LoggedEvent {
        seq: EventSeq(0),
        kind: EventKind::from_bit(0),
        subject: SubjectKey::Server,
        at: UnixMillis(0),
        state: None,
        request: None,
        certificate: None,
        detail: Vec::new(),
        corrupt: None,
    };
    event.corrupt = fill_event(row, &mut event).err();
    event
}

fn fill_event(row: &Row<'_>, event: &mut LoggedEvent) -> Result<(), Why> {
    event.seq = read_seq(row, 0)?;
    // The subject first: the order of delivery hangs on it.
    if read::<Option<i64>>(row, 3)?.is_some() {
        event.subject = SubjectKey::Request(read_id(row, 3)?);
        event.kind = EventKind::from_bit(read(row, 1)?);
    } else {
        event.kind = EventKind::from_bit(read(row, 1)?);
        event.subject = event.kind.subject();
    }
    event.at = read_time(row, 2)?;
    if let SubjectKey::Request(_) = event.subject {
        event.state = Some(EventState {
            disposition: read_code(row, 4, Disposition::from_code, "disposition")?,
            status: StatusCode(read(row, 5)?),
            message: read(row, 6)?,
            revocation: read_revocation(row, 8)?,
        });
    }
    if let Some(detail) = read::<Option<String>>(row, 7)? {
        event.detail = decode_attributes(&detail)?;
    }
    Ok(())
}

/// Adds the request and the certificate. One look-up each and not one query for all, so that a
/// damaged row or page costs its own event only.
fn join(conn: &Connection, event: &mut LoggedEvent) {
    let SubjectKey::Request(id) = event.subject else { return };
    if let Err(err) = try_join(conn, id, event) {
        event.corrupt.get_or_insert_with(|| err.to_string());
    }
}

fn try_join(conn: &Connection, id: RequestId, event: &mut LoggedEvent) -> Result<(), StoreError> {
    let request = request_by_id(conn, id, Some(event.seq))?;
    event.request = Some(request.ok_or_else(|| StoreError::CorruptRow {
        row: format!("request {id}"),
        why: "it is missing".to_owned(),
    })?);
    event.certificate = certificate_by_request(conn, id)?.filter(|it| it.event <= event.seq);
    Ok(())
}

/// The last durable event, and those who wait for the next.
pub(crate) struct Head {
    seq: AtomicU64,
    waiting: Mutex<()>,
    grown: Condvar,
}

impl Head {
    pub(crate) fn at(seq: EventSeq) -> Self {
        Self { seq: AtomicU64::new(seq.0), waiting: Mutex::new(()), grown: Condvar::new() }
    }

    pub(crate) fn get(&self) -> EventSeq {
        EventSeq(self.seq.load(Ordering::Acquire))
    }

    /// Called by the writer after a commit.
    pub(crate) fn publish(&self, seq: EventSeq) {
        if self.get() == seq {
            return;
        }
        // Under the lock, or a waiter that has just looked would sleep through it.
        let guard = locked(&self.waiting);
        self.seq.store(seq.0, Ordering::Release);
        drop(guard);
        self.grown.notify_all();
    }

    fn wait_past(&self, seq: EventSeq, timeout: Duration) -> EventSeq {
        let guard = locked(&self.waiting);
        let waited = self.grown.wait_timeout_while(guard, timeout, |()| self.get() <= seq);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.get()
    }
}

/// Name and value of a detail as the log keeps them, cut; nothing where there are none.
pub(crate) fn detail_text(detail: &[(String, String)]) -> Option<String> {
    let cut = |text: &str| cut_visibly(text, DETAIL_OCTETS_MAX).into_owned();
    let kept: Vec<_> =
        detail.iter().take(DETAIL_PAIRS_MAX).map(|(name, value)| (cut(name), cut(value))).collect();
    Some(encode_attributes(&kept)).filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use crate::lookup::{CERTIFICATE_BY_REQUEST, REQUEST_BY_ID};

    use super::*;

    fn plan(conn: &Connection, sql: &str) -> Vec<String> {
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = statement.query_map((0, 1), |row| row.get(3)).unwrap();
        steps.map(Result::unwrap).collect()
    }

    #[test]
    fn delivery_searches_the_log_and_only_explaining_scans_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        Store::create(&path, [0; 8], UnixMillis(0)).unwrap();
        let conn = Connection::open(&path).unwrap();
        let search = ["SEARCH event USING INTEGER PRIMARY KEY (rowid>?)"];
        assert_eq!(plan(&conn, EVENTS_AFTER), search);
        // In the order of the log by itself: nothing is sorted.
        assert_eq!(plan(&conn, EVENTS_OF_REQUEST), ["SCAN event"]);
    }

    /// Refused requests and their events, written by hand because there are many.
    fn fill(path: &std::path::Path, events: u64) {
        let conn = Connection::open(path).unwrap();
        let sql = format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {events})
             INSERT INTO request
             SELECT i, 31, 0, 1, 1, 256, '', 'r', 'c', 't', 'CN=x', '', x'3000', 0 FROM n;
             INSERT INTO event (seq, kind, at, request, disposition, status, message)
             SELECT id, 8, 1, id, 31, 0, '' FROM request;"
        );
        conn.execute_batch(&sql).unwrap();
    }

    /// What `SQLite` did for all windows of the log from `from` on: steps of its machine, rows
    /// passed without an index, sorts, and statements that it had to plan again.
    fn work(store: &Store, from: u64, windows: u64) -> [i32; 4] {
        const WINDOW: u64 = 64;
        for index in 0..windows {
            let read = store.events_after(EventSeq(from + index * WINDOW), 64).unwrap();
            assert_eq!(read.len(), 64);
            assert!(read.iter().all(|it| it.corrupt.is_none()), "{:?}", read[0]);
        }
        let counted = store.inner.readers.read("counting", |conn| {
            let mut sum = [0; 4];
            for sql in [EVENTS_AFTER, &*REQUEST_BY_ID, &*CERTIFICATE_BY_REQUEST] {
                let statement = conn.prepare_cached(sql).unwrap();
                let kinds = [
                    StatementStatus::VmStep,
                    StatementStatus::FullscanStep,
                    StatementStatus::Sort,
                    StatementStatus::RePrepare,
                ];
                for (sum, kind) in sum.iter_mut().zip(kinds) {
                    *sum += statement.reset_status(kind);
                }
            }
            Ok(sum)
        });
        counted.unwrap()
    }

    #[test]
    fn work_per_event_does_not_grow_with_the_backlog() {
        let folder = tempfile::tempdir().unwrap();
        let works = [1_000, 100_000].map(|backlog| {
            let path = folder.path().join(format!("{backlog}.db"));
            Store::create(&path, [0; 8], UnixMillis(0)).unwrap();
            fill(&path, backlog);
            let store = Store::open(&path).unwrap();
            work(&store, 0, 1);
            // At the oldest end of the backlog and at the newest.
            [work(&store, 0, 8), work(&store, backlog - 512, 8)]
        });
        let expected = works[0][0];
        assert!(0 < expected[0], "nothing was counted");
        assert_eq!(
            expected[1..],
            [0, 0, 0],
            "rows are passed or sorted, or statements planned anew"
        );
        assert_eq!(works, [[expected; 2]; 2]);
    }
}
