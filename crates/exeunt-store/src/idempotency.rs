//! Keys by which clients repeat a submission. A key is written in the commit of its request's row, so that
//! there is never one without the other, and two requests with one key are never both written.

use std::time::Duration;

use exeunt_types::{KnownKey, NewKey, RequestId, UnixMillis};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::error::During as _;
use crate::row::sql_int;
use crate::writer::Tx;
use crate::{Store, StoreError};

/// How long a key is kept: a client that was told nothing asks again within a day.
pub const IDEMPOTENCY_KEPT: Duration = Duration::from_hours(24);

/// A key is forgotten earlier when so many requests have come after its own, so that there are never more
/// keys than that: some hundred megabytes of them.
pub const IDEMPOTENCY_REQUESTS_MAX: u64 = 1_000_000;

/// Keys that are forgotten when one is written, at most. More than one, so that they become fewer.
const FORGOTTEN_AT_ONCE: u32 = 8;

const READING: &str = "reading an idempotency key";
const WRITING: &str = "writing an idempotency key";

/// The last moment, and the last request, whose keys are forgotten.
fn forgotten(now: UnixMillis, newest: RequestId) -> (i64, i64) {
    let kept = i64::try_from(IDEMPOTENCY_KEPT.as_millis()).unwrap_or(i64::MAX);
    (now.0.saturating_sub(kept), sql_int(newest.0.saturating_sub(IDEMPOTENCY_REQUESTS_MAX)))
}

/// Writes the key of a request whose row is in the same transaction.
///
/// # Errors
///
/// [`StoreError::KeyTaken`] when it stands for another request already.
pub(crate) fn write(tx: &Tx<'_>, request: RequestId, new: &NewKey) -> Result<(), StoreError> {
    let NewKey { caller, key, denied, at } = new;
    let (until, up_to) = forgotten(*at, request);
    tx.execute(
        WRITING,
        "DELETE FROM idempotency
         WHERE request IN (SELECT request FROM idempotency ORDER BY request LIMIT ?3)
           AND (at <= ?1 OR request <= ?2)",
        (until, up_to, FORGOTTEN_AT_ONCE),
    )?;
    let written = tx.execute(
        WRITING,
        "INSERT INTO idempotency (request, caller, key, asked, denied, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (caller, key) DO UPDATE
             SET request = excluded.request, asked = excluded.asked, denied = excluded.denied,
                 at = excluded.at
             WHERE at <= ?7 OR request <= ?8",
        (sql_int(request.0), caller, &key.key, key.asked, denied, at.0, until, up_to),
    )?;
    if written == 1 {
        return Ok(());
    }
    let known = read(tx.conn(), caller, &key.key)?;
    let (known, _) = known.ok_or_else(|| StoreError::CorruptRow {
        row: format!("idempotency key of request {request}"),
        why: "it is neither there nor not".to_owned(),
    })?;
    let same = known.asked == key.asked;
    Err(StoreError::KeyTaken { known: Box::new(known), same })
}

/// Forgets the key of a request that came to nothing: whoever repeats it shall get a certificate.
pub(crate) fn forget(tx: &Tx<'_>, request: RequestId) -> Result<(), StoreError> {
    let sql = "DELETE FROM idempotency WHERE request = ?1";
    tx.execute(WRITING, sql, [sql_int(request.0)]).map(|_| ())
}

/// What a key stands for, and since when.
fn read(
    conn: &Connection,
    caller: &str,
    key: &str,
) -> Result<Option<(KnownKey, UnixMillis)>, StoreError> {
    let sql = "SELECT request, asked, denied, at FROM idempotency WHERE caller = ?1 AND key = ?2";
    let known = |row: &Row<'_>| {
        let request = RequestId(row.get::<_, i64>(0)?.unsigned_abs());
        let known = KnownKey { request, asked: row.get(1)?, denied: row.get(2)? };
        Ok((known, UnixMillis(row.get(3)?)))
    };
    conn.prepare_cached(sql)
        .and_then(|mut it| it.query_row((caller, key), known).optional())
        .during(READING)
}

impl Store {
    /// What a caller's key stands for at a time; none where it stands for nothing, or not any more.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn idempotency_key(
        &self,
        caller: &str,
        key: &str,
        now: UnixMillis,
    ) -> Result<Option<KnownKey>, StoreError> {
        let found = self.inner.readers.read(READING, |conn| read(conn, caller, key))?;
        let (until, _) = forgotten(now, RequestId(0));
        Ok(found.filter(|(_, at)| until < at.0).map(|(known, _)| known))
    }
}
