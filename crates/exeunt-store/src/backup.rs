//! Copies of a store: taken beside a server that goes on writing, looked at, and brought back to life.
//!
//! A copy is the store as it was at one moment. Whoever goes on from it must not give out a number again
//! that the store gave out after that moment: see [`Store::mark_restored`].

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use exeunt_types::{
    CrlNumber, Disposition, EventKind, EventSeq, RequestId, RequestType, StatusCode, UnixMillis,
};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::audit::{AuditEntry, write_entry};
use crate::error::During as _;
use crate::log::detail_text;
use crate::lookup::last_event;
use crate::reader::corrupt;
use crate::row::{read_unsigned, sql_int};
use crate::watch::with_suffix;
use crate::writer::Tx;
use crate::{Store, StoreError, file, schema};

/// How large the write-ahead log may become while a copy is taken, in octets; the copy is given up then.
/// The log cannot begin anew as long as somebody reads it, and a copy onto a slow disk would have it fill
/// the store's disk. 4 GiB are about three minutes of issuing at full speed. The file keeps its size until
/// the server ends, so the limit is one of size: by growth, each slow copy would begin where the last one
/// was given up.
pub const COPY_LOG_OCTETS_MAX: u64 = 4 << 30;
/// Pages that are copied between two looks at the log: 8 MiB, brought to the disk each time, so that the
/// server's own commits never wait behind more than that.
const COPY_PAGES: i32 = 2048;

/// Event numbers that a restored store leaves out at least.
pub const EVENTS_LEFT_OUT: u64 = 1_000_000_000;
/// Event numbers that it leaves out for each second since the copy was taken, several times what a server
/// can write.
pub const EVENTS_LEFT_OUT_PER_S: u64 = 10_000;
/// Numbers of requests that a restored store leaves out at least.
pub const REQUESTS_LEFT_OUT: u64 = 1_000_000;
/// Numbers of requests that it leaves out for each second since the copy was taken. Not more, because
/// there are no more than [`REQUEST_ID_MAX`]: a hundred each second, day and night, are the largest CAs.
pub const REQUESTS_LEFT_OUT_PER_S: u64 = 100;
/// Numbers of revocation lists that a restored store leaves out at least.
pub const CRL_NUMBERS_LEFT_OUT: u64 = 1_000_000;
/// Numbers of revocation lists that it leaves out for each second since the copy was taken.
pub const CRL_NUMBERS_LEFT_OUT_PER_S: u64 = 1;
/// The largest number of a request that modules can be told: their numbers have 32 bits with a sign.
pub const REQUEST_ID_MAX: u64 = 0x7fff_ffff;

/// Longest time since a copy was taken that is reckoned with, in seconds: a century. More is a wrong clock.
const ELAPSED_S_MAX: u64 = 3_155_760_000;

/// Who stands as the requester of the row that ends the numbers left out.
const RESTORED_REQUESTER: &str = "exeunt restore";

/// What a store holds, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// What tells it from others.
    pub store_id: String,
    /// Version of its schema.
    pub schema: i64,
    /// The last event of its log.
    pub last_event: EventSeq,
    /// The last request; 0 where there is none.
    pub last_request: RequestId,
    /// The last number that was given to a revocation list.
    pub crl_number: CrlNumber,
    /// Certificates that were issued, revoked ones among them.
    pub certificates: u64,
}

/// What a restored store went on from, and with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What it held.
    pub before: Contents,
    /// The event that tells of it, the first one after those that are left out.
    pub event: EventSeq,
    /// The request that stands for those that are left out.
    pub request: RequestId,
    /// Revocation lists have numbers after this one.
    pub crl_number: CrlNumber,
}

impl Store {
    /// Copies the store at `from` into a new file at `to`, as it is at one moment, while whoever has it
    /// open goes on writing. The copy is on the disk when this returns, but its name may not be.
    ///
    /// # Errors
    ///
    /// [`StoreError::CopyTooSlow`] when the log has grown beyond [`COPY_LOG_OCTETS_MAX`];
    /// [`StoreError::Exists`] for `to`; otherwise as [`Store::open_read_only`]. What was written is
    /// removed again.
    pub fn copy(from: &Path, to: &Path) -> Result<Contents, StoreError> {
        file::recognise(from)?;
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
        let copy = created.map_err(|err| match err.kind() {
            std::io::ErrorKind::AlreadyExists => StoreError::Exists { path: to.to_owned() },
            _ => StoreError::io("creating a copy of the store", err),
        })?;
        let copied = copy_into(from, to, &copy);
        if copied.is_err() {
            // It is ours since create_new, and no copy; a failure to remove it changes nothing.
            let _ = std::fs::remove_file(to);
        }
        copied
    }

    /// Checks a store that nobody has open from its first page to its last, and says what it holds.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] with the first thing that is wrong; otherwise as
    /// [`Store::open_read_only`].
    pub fn inspect(path: &Path) -> Result<Contents, StoreError> {
        file::recognise(path)?;
        let conn = file::reader(path)?;
        // One of an older version is migrated when it is opened for writing.
        schema::version(&conn)?;
        file::check_length(path, &conn)?;
        let found: String = conn
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .during("checking the store")?;
        if found != "ok" {
            return Err(StoreError::Damaged { what: found });
        }
        contents(&conn)
    }

    /// Has a copy of a store, taken at `taken` and restored `at`, go on as the store that it was.
    ///
    /// What happened after the copy was taken is not in it, and others have heard of it. So numbers are
    /// left out: of events, because a module knows an event by the store and its number and would take a
    /// new one for an old one; of requests, by which modules and requesters name what they have; of
    /// revocation lists, which relying parties must not see go back. How many, the constants of this
    /// module say, by the time that has passed: so the same copy can be restored again later. Leases of
    /// cursors end. An event (`restored`, with `detail` and the last event that the copy knew), a failed
    /// request and the audit entries `by` come first in the new numbers. One commit, durable when this
    /// returns.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    pub fn mark_restored(
        &self,
        taken: UnixMillis,
        at: UnixMillis,
        detail: &[(String, String)],
        by: Vec<AuditEntry>,
    ) -> Result<Restored, StoreError> {
        let elapsed_s = (at.0.saturating_sub(taken.0).max(0) / 1000).unsigned_abs();
        let elapsed_s = elapsed_s.min(ELAPSED_S_MAX);
        let detail = detail.to_vec();
        self.write(move |tx| {
            let before = contents(tx.conn())?;
            let lists = left_out(CRL_NUMBERS_LEFT_OUT, CRL_NUMBERS_LEFT_OUT_PER_S, elapsed_s);
            let crl_number = CrlNumber(before.crl_number.0.saturating_add(lists));
            tx.execute(
                "numbering revocation lists",
                "UPDATE meta SET crl_number = ?1, crl_skipped = ?1 WHERE id = 1",
                [sql_int(crl_number.0)],
            )?;
            tx.execute(
                "ending leases",
                "UPDATE cursor SET lease_token = lease_token + 1, lease_until = 0",
                [],
            )?;
            let request = stand_for_requests(tx, &before, elapsed_s, at)?;
            let mut detail = detail.clone();
            detail.push(("LastEvent".to_owned(), before.last_event.to_string()));
            tx.leave_out(left_out(EVENTS_LEFT_OUT, EVENTS_LEFT_OUT_PER_S, elapsed_s));
            let text = detail_text(&detail);
            let event = tx.append(EventKind::RESTORED, at, None, text.as_deref())?;
            by.iter().try_for_each(|entry| write_entry(tx, entry).map(|_| ()))?;
            Ok(Restored { before, event, request, crl_number })
        })
    }
}

/// How many numbers are left out.
fn left_out(least: u64, per_s: u64, elapsed_s: u64) -> u64 {
    least.saturating_add(per_s.saturating_mul(elapsed_s))
}

/// Writes a failed request with a number beyond all that may have been given out. `SQLite` gives the next
/// one the number after it.
fn stand_for_requests(
    tx: &mut Tx<'_>,
    before: &Contents,
    elapsed_s: u64,
    at: UnixMillis,
) -> Result<RequestId, StoreError> {
    let last = before.last_request.0;
    // Never more than half of what there is, however old the copy and however wrong a clock.
    let half = REQUEST_ID_MAX.saturating_sub(last) / 2;
    let id =
        last + left_out(REQUESTS_LEFT_OUT, REQUESTS_LEFT_OUT_PER_S, elapsed_s).min(half.max(1));
    let message = format!(
        "The store was restored from a copy: the requests between {last} and this one are unknown to it"
    );
    tx.execute(
        "leaving numbers of requests out",
        "INSERT INTO request (id, disposition, status, resolved, submitted, request_type, message,
                              requester, caller, template, subject, attributes, raw, pended)
         VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?7, '', '', '', x'', 0)",
        (
            sql_int(id),
            Disposition::Error.code(),
            StatusCode::SERVER_SUSPENDED.0,
            at.0,
            RequestType::Pkcs10.code(),
            &message,
            RESTORED_REQUESTER,
        ),
    )?;
    tx.count_move(None, Disposition::Error);
    Ok(RequestId(id))
}

fn copy_into(from: &Path, to: &Path, copy: &File) -> Result<Contents, StoreError> {
    let action = "copying the store";
    let source = file::reader(from)?;
    // One read transaction from here on: every page, and what is said of them, is of the same moment.
    let moment = source.unchecked_transaction().during(action)?;
    schema::require_current(&source)?;
    file::check_length(from, &source)?;
    schema::check(&source)?;
    let contents = contents(&source)?;
    let log = with_suffix(from, "-wal");
    let log_octets = || std::fs::metadata(&log).map_or(0, |it| it.len());
    let limit = log_octets().max(COPY_LOG_OCTETS_MAX);

    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut target = Connection::open_with_flags(to, flags).during(action)?;
    // A crash leaves half a copy, which nobody takes for one: no journal, and synced below.
    target.pragma_update(None, "journal_mode", "off").during(action)?;
    target.pragma_update(None, "synchronous", "off").during(action)?;
    let backup = Backup::new(&source, &mut target).during(action)?;
    loop {
        match backup.step(COPY_PAGES).during(action)? {
            StepResult::Done => break,
            StepResult::More => (),
            // Nobody else has the copy, and readers of the store lock nobody out.
            _ => return Err(StoreError::Busy),
        }
        if limit < log_octets() {
            return Err(StoreError::CopyTooSlow);
        }
        copy.sync_data().map_err(|err| StoreError::io(action, err))?;
    }
    drop(backup);
    target.close().map_err(|(_, err)| StoreError::from_sqlite(action, err))?;
    moment.rollback().during(action)?;
    copy.sync_all().map_err(|err| StoreError::io(action, err))?;
    Ok(contents)
}

fn contents(conn: &Connection) -> Result<Contents, StoreError> {
    let action = "reading what the store holds";
    let number = |sql: &'static str| {
        let read = conn.query_row(sql, [], |row| Ok(read_unsigned(row, 0))).during(action)?;
        read.map_err(corrupt("a number of the store"))
    };
    let certificates = format!(
        "SELECT ifnull(sum(requests), 0) FROM tally WHERE disposition IN ({}, {})",
        Disposition::Issued.code(),
        Disposition::Revoked.code()
    );
    let certificates: i64 = conn.query_row(&certificates, [], |row| row.get(0)).during(action)?;
    Ok(Contents {
        store_id: conn
            .query_row("SELECT store_id FROM meta WHERE id = 1", [], |row| row.get(0))
            .during(action)?,
        schema: schema::version(conn)?,
        last_event: last_event(conn)?,
        last_request: RequestId(number("SELECT ifnull(max(id), 0) FROM request")?),
        crl_number: CrlNumber(number("SELECT crl_number FROM meta WHERE id = 1")?),
        certificates: certificates.unsigned_abs(),
    })
}
