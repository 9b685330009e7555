//! Archived private keys, and their recovery by two people. What is kept is encrypted to recovery agents:
//! nothing here could be read by whoever has the store.

use exeunt_types::{
    ArchivedKey, ArchivedKeyRecord, Disposition, KeyRecovery, RecoveryRefusal, RequestId,
    UnixMillis,
};
use rusqlite::{OptionalExtension as _, Row};

use crate::audit::{AuditEntry, write_entry};
use crate::current::Current;
use crate::error::During as _;
use crate::reader::{corrupt, rows, sql_limit};
use crate::row::{Why, cut_visibly, read, read_id, read_time, read_unsigned, sql_int};
use crate::writer::Tx;
use crate::{Store, StoreError};

/// Longest reason of a recovery that is kept, in octets; a cut one ends in "…".
pub const RECOVERY_REASON_OCTETS_MAX: usize = 4 * 1024;

/// Columns as [`read_recovery`] expects them.
const RECOVERY_COLUMNS: &str =
    "id, request, reason, asked_by, asked, expires, approved_by, approved, fetched";

/// What somebody may only have who is one of the two of a recovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredBlob {
    /// The recovery, as it is after this.
    pub recovery: KeyRecovery,
    /// The encrypted key.
    pub key: ArchivedKey,
}

impl Store {
    /// The key that came with a request.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when it cannot be read.
    pub fn archived_key(
        &self,
        request: RequestId,
    ) -> Result<Option<ArchivedKeyRecord>, StoreError> {
        let action = "reading an archived key";
        let sql = "SELECT request, at, agents, blob FROM archived_key WHERE request = ?1";
        let found = self.inner.readers.read(action, |conn| {
            conn.prepare_cached(sql)
                .and_then(|mut it| {
                    it.query_row([sql_int(request.0)], |row| Ok(read_key(row))).optional()
                })
                .during(action)
        })?;
        found.transpose().map_err(corrupt(format!("archived key of request {request}")))
    }

    /// Archives a key for a certificate that was issued or imported without it.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRequest`], [`StoreError::WrongState`] for a request without a certificate. The
    /// inner error is that there is a key already. Nothing was written.
    pub fn import_key(
        &self,
        request: RequestId,
        key: ArchivedKey,
        by: AuditEntry,
    ) -> Result<Result<(), KeyThere>, StoreError> {
        const HELD: &[Disposition] =
            &[Disposition::Issued, Disposition::Revoked, Disposition::Foreign];
        self.write(move |tx| {
            Current::read_in(tx, request, HELD)?;
            if has_key(tx, request)? {
                return Ok(Err(KeyThere));
            }
            write(tx, request, &key, by.at)?;
            write_entry(tx, &by)?;
            Ok(Ok(()))
        })
    }

    /// Notes that somebody wants a key back; gives the recovery with its number.
    ///
    /// # Errors
    ///
    /// Nothing was written. The inner error is that there is no key.
    pub fn ask_recovery(
        &self,
        recovery: KeyRecovery,
        by: AuditEntry,
    ) -> Result<Result<KeyRecovery, NoKey>, StoreError> {
        self.write(move |tx| {
            let mut recovery = recovery.clone();
            if !has_key(tx, recovery.request)? {
                return Ok(Err(NoKey));
            }
            let reason = cut_visibly(&recovery.reason, RECOVERY_REASON_OCTETS_MAX).into_owned();
            recovery.reason = reason;
            tx.execute(
                "asking for a key",
                "INSERT INTO key_recovery (request, reason, asked_by, asked, expires)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                (
                    sql_int(recovery.request.0),
                    &recovery.reason,
                    &recovery.asked_by,
                    recovery.asked.0,
                    recovery.expires.0,
                ),
            )?;
            recovery.id = tx.last_id();
            write_entry(tx, &about(&by, &recovery))?;
            Ok(Ok(recovery))
        })
    }

    /// Notes that somebody agrees. `by` says who and when.
    ///
    /// # Errors
    ///
    /// Nothing was written. The inner error says why it cannot be.
    pub fn approve_recovery(
        &self,
        id: u64,
        by: AuditEntry,
    ) -> Result<Result<KeyRecovery, RecoveryRefusal>, StoreError> {
        self.write(move |tx| {
            let mut recovery = match current(tx, id, by.at)? {
                Ok(recovery) => recovery,
                Err(refusal) => return Ok(Err(refusal)),
            };
            if recovery.asked_by == by.actor {
                return Ok(Err(RecoveryRefusal::SamePerson));
            }
            if recovery.approved.is_some() {
                return Ok(Err(RecoveryRefusal::AlreadyApproved));
            }
            tx.execute(
                "approving a recovery",
                "UPDATE key_recovery SET approved_by = ?2, approved = ?3 WHERE id = ?1",
                (sql_int(id), &by.actor, by.at.0),
            )?;
            recovery.approved = Some((by.actor.clone(), by.at));
            write_entry(tx, &about(&by, &recovery))?;
            Ok(Ok(recovery))
        })
    }

    /// Hands the encrypted key to one of the two. Each time is in the audit trail before it leaves.
    ///
    /// # Errors
    ///
    /// Nothing was written. The inner error says why it cannot be.
    pub fn fetch_recovered(
        &self,
        id: u64,
        by: AuditEntry,
    ) -> Result<Result<RecoveredBlob, RecoveryRefusal>, StoreError> {
        self.write(move |tx| {
            let mut recovery = match current(tx, id, by.at)? {
                Ok(recovery) => recovery,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let Some((approver, _)) = &recovery.approved else {
                return Ok(Err(RecoveryRefusal::NotApproved));
            };
            if by.actor != recovery.asked_by && by.actor != *approver {
                return Ok(Err(RecoveryRefusal::Stranger));
            }
            let sql = "SELECT request, at, agents, blob FROM archived_key WHERE request = ?1";
            let params = [sql_int(recovery.request.0)];
            let found =
                tx.query_one("reading an archived key", sql, params, |row| Ok(read_key(row)))?;
            let Some(found) = found else { return Ok(Err(RecoveryRefusal::Unknown)) };
            let key = found.map_err(corrupt(format!("archived key of {}", recovery.request)))?.key;
            let sql = "UPDATE key_recovery SET fetched = ?2 WHERE id = ?1";
            tx.execute("fetching a key", sql, (sql_int(id), by.at.0))?;
            recovery.fetched = Some(by.at);
            write_entry(tx, &about(&by, &recovery))?;
            Ok(Ok(RecoveredBlob { recovery, key }))
        })
    }

    /// The recovery of that number.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when it cannot be read.
    pub fn recovery(&self, id: u64) -> Result<Option<KeyRecovery>, StoreError> {
        let action = "reading a recovery of a key";
        let sql = format!("SELECT {RECOVERY_COLUMNS} FROM key_recovery WHERE id = ?1");
        let found = self.inner.readers.read(action, |conn| {
            conn.prepare_cached(&sql)
                .and_then(|mut it| {
                    it.query_row([sql_int(id)], |row| Ok(read_recovery(row))).optional()
                })
                .during(action)
        })?;
        found.transpose().map_err(corrupt(format!("recovery {id}")))
    }

    /// Recoveries, newest first, at most `limit` and [`crate::ROWS_MAX`].
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when one cannot be read.
    pub fn recoveries(&self, limit: usize) -> Result<Vec<KeyRecovery>, StoreError> {
        let action = "reading recoveries of keys";
        let sql = format!("SELECT {RECOVERY_COLUMNS} FROM key_recovery ORDER BY id DESC LIMIT ?1");
        let found = self
            .inner
            .readers
            .read(action, |conn| rows(conn, action, &sql, [sql_limit(limit)], read_recovery))?;
        let found: Result<Vec<_>, _> = found.into_iter().collect();
        found.map_err(corrupt("a recovery of a key"))
    }
}

/// There is a key already, and none is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyThere;

/// No key came with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKey;

/// Writes a key as a part of what brought it.
pub(crate) fn write(
    tx: &Tx<'_>,
    request: RequestId,
    key: &ArchivedKey,
    at: UnixMillis,
) -> Result<(), StoreError> {
    let ArchivedKey { agents, blob } = key;
    tx.execute(
        "archiving a key",
        "INSERT INTO archived_key (request, at, agents, blob) VALUES (?1, ?2, ?3, ?4)",
        (sql_int(request.0), at.0, agents.join("\n"), blob),
    )?;
    Ok(())
}

fn has_key(tx: &Tx<'_>, request: RequestId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM archived_key WHERE request = ?1";
    let params = [sql_int(request.0)];
    let found = tx.query_one("looking for a key", sql, params, |row| row.get::<_, i64>(0))?;
    Ok(found.is_some())
}

/// A recovery whose time is not over.
fn current(
    tx: &Tx<'_>,
    id: u64,
    now: UnixMillis,
) -> Result<Result<KeyRecovery, RecoveryRefusal>, StoreError> {
    let sql = format!("SELECT {RECOVERY_COLUMNS} FROM key_recovery WHERE id = ?1");
    let action = "reading a recovery of a key";
    let found = tx
        .conn()
        .prepare_cached(&sql)
        .and_then(|mut it| it.query_row([sql_int(id)], |row| Ok(read_recovery(row))).optional())
        .during(action)?;
    let Some(found) = found else { return Ok(Err(RecoveryRefusal::Unknown)) };
    let recovery = found.map_err(corrupt(format!("recovery {id}")))?;
    Ok(if recovery.expires < now { Err(RecoveryRefusal::Expired) } else { Ok(recovery) })
}

/// The entry with what only the transaction knows.
fn about(by: &AuditEntry, recovery: &KeyRecovery) -> AuditEntry {
    let KeyRecovery { id, request, .. } = recovery;
    let detail = format!("recovery {id}; {}", by.detail);
    AuditEntry::new(by.at, by.actor.clone(), by.action.clone(), format!("request:{request}"))
        .detail(detail)
}

fn read_key(row: &Row<'_>) -> Result<ArchivedKeyRecord, Why> {
    let agents: String = read(row, 2)?;
    let agents = agents.lines().map(str::to_owned).collect();
    let key = ArchivedKey { agents, blob: read(row, 3)? };
    Ok(ArchivedKeyRecord { request: read_id(row, 0)?, at: read_time(row, 1)?, key })
}

fn read_recovery(row: &Row<'_>) -> Result<KeyRecovery, Why> {
    let moment = |at| read::<Option<i64>>(row, at).map(|it| it.map(UnixMillis));
    let approved_by: Option<String> = read(row, 6)?;
    Ok(KeyRecovery {
        id: read_unsigned(row, 0)?,
        request: read_id(row, 1)?,
        reason: read(row, 2)?,
        asked_by: read(row, 3)?,
        asked: read_time(row, 4)?,
        expires: read_time(row, 5)?,
        approved: approved_by.zip(moment(7)?),
        fetched: moment(8)?,
    })
}
