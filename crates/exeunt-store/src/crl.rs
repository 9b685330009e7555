//! Revocation lists: their numbers, and a row for each that was made. Their octets are files that the
//! engine writes.

use exeunt_types::{CrlKind, CrlLine, CrlNumber, CrlRecord, EventKind, EventSeq, UnixMillis};
use rusqlite::Row;

use crate::audit::{AuditEntry, write_entry};
use crate::log::detail_text;
use crate::reader::{corrupt, rows, sql_limit};
use crate::row::{Why, read, read_time, read_unsigned, sql_int};
use crate::writer::Tx;
use crate::{ROWS_MAX, Store, StoreError};

/// Columns as [`read_crl`] expects them.
const CURRENT: &str = "SELECT kind, key_index, crl_partition, number, min_base, this_update,
            next_update, this_publish, next_publish, entries, length, sha256, shadow
     FROM crl WHERE newest = 1 ORDER BY kind, key_index, crl_partition";
const CURRENT_OF: &str = "SELECT kind, key_index, crl_partition, number, min_base, this_update,
            next_update, this_publish, next_publish, entries, length, sha256, shadow
     FROM crl WHERE newest = 1 AND kind = ?1 AND key_index = ?2 AND crl_partition = ?3";
const BEFORE: &str = "SELECT kind, key_index, crl_partition, number, min_base, this_update,
            next_update, this_publish, next_publish, entries, length, sha256, shadow
     FROM crl
     WHERE number < ?1
       AND number >= ifnull((SELECT number FROM crl WHERE number < ?1
                             ORDER BY number DESC LIMIT 1 OFFSET ?2), 0)
     ORDER BY number DESC, kind, key_index, crl_partition";
const UNEXPIRED_BASES: &str =
    "SELECT kind, key_index, crl_partition, number, min_base, this_update,
            next_update, this_publish, next_publish, entries, length, sha256, shadow
     FROM crl
     WHERE kind = 0 AND key_index = ?1 AND crl_partition = ?2 AND next_update >= ?3
     ORDER BY number LIMIT ?4";
const OUTLIVED: &str = "SELECT kind, key_index, crl_partition, number, min_base, this_update,
            next_update, this_publish, next_publish, entries, length, sha256, shadow
     FROM crl
     WHERE newest = 0 AND next_update < ?1
       AND (kind = 1 OR NOT EXISTS (
            SELECT 1 FROM crl AS delta
            WHERE delta.kind = 1 AND delta.key_index = crl.key_index
              AND delta.crl_partition = crl.crl_partition AND delta.min_base = crl.number
              AND (delta.newest = 1 OR delta.next_update >= ?1)))
     ORDER BY number LIMIT ?2";

/// Who makes lists that nobody ordered.
const CRL_ACTOR: &str = "exeunt:crl";

/// A part of the revocation lists of a CA key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionRow {
    /// Index of the CA key.
    pub key_index: u16,
    /// Number of the part; 1 and up.
    pub partition: u32,
    /// When the last certificate in it runs out.
    pub not_after: UnixMillis,
}

impl Store {
    /// A number for the revocation lists of one run, to be drawn before revocations are read: greater than all before it, and never given out
    /// again, whether or not they are made.
    ///
    /// # Errors
    ///
    /// Nothing was written.
    pub fn next_crl_number(&self) -> Result<CrlNumber, StoreError> {
        self.write(|tx| {
            let sql = "UPDATE meta SET crl_number = crl_number + 1, crl_after = ?1 WHERE id = 1
                       RETURNING crl_number";
            let after = sql_int(tx.head().0);
            let number = tx.query_one("numbering a revocation list", sql, [after], |row| {
                Ok(read_unsigned(row, 0))
            })?;
            let number = number.unwrap_or_else(|| Err("it is missing".to_owned()));
            number.map(CrlNumber).map_err(corrupt("the number of revocation lists"))
        })
    }

    /// Gives out no number up to `found`, which a list has that is not on record: the store is an older
    /// copy of itself. Returns the last number that it knew of; none, and nothing is written, where it
    /// knew `found`.
    ///
    /// # Errors
    ///
    /// Nothing was written.
    pub fn skip_crl_numbers(&self, found: CrlNumber) -> Result<Option<CrlNumber>, StoreError> {
        self.write(move |tx| {
            let action = "numbering a revocation list";
            let sql = "SELECT crl_number FROM meta WHERE id = 1 AND crl_number < ?1";
            let last =
                tx.query_one(action, sql, [sql_int(found.0)], |row| Ok(read_unsigned(row, 0)))?;
            let Some(last) = last else { return Ok(None) };
            let last = last.map_err(corrupt("the number of revocation lists"))?;
            let sql = "UPDATE meta SET crl_number = ?1, crl_skipped = ?1 WHERE id = 1";
            tx.execute(action, sql, [sql_int(found.0)])?;
            Ok(Some(CrlNumber(last)))
        })
    }

    /// The largest number that [`Store::skip_crl_numbers`] ever skipped.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when it cannot be read.
    pub fn crl_numbers_skipped(&self) -> Result<Option<CrlNumber>, StoreError> {
        let action = "reading the numbers of revocation lists";
        let sql = "SELECT crl_skipped FROM meta WHERE id = 1 AND crl_skipped IS NOT NULL";
        let found = self.inner.readers.read(action, |conn| {
            rows(conn, action, sql, [], |row| read_unsigned(row, 0).map(CrlNumber))
        })?;
        found.into_iter().next().transpose().map_err(corrupt("the number of revocation lists"))
    }

    /// Records the revocation lists of one run, with their event and, where somebody ordered them,
    /// the audit entry. The event's detail gives their number and how many there are.
    ///
    /// # Errors
    ///
    /// Nothing was written.
    pub fn record_crls(
        &self,
        crls: Vec<CrlRecord>,
        at: UnixMillis,
        by: Option<AuditEntry>,
    ) -> Result<EventSeq, StoreError> {
        let mut detail = vec![("Lists".to_owned(), crls.len().to_string())];
        if let Some(number) = crls.iter().map(|it| it.number).max() {
            detail.insert(0, ("Number".to_owned(), number.to_string()));
        }
        let detail = detail_text(&detail);
        self.write(move |tx| {
            crls.iter().try_for_each(|crl| insert(tx, crl))?;
            let seq = tx.append(EventKind::CRL_ISSUED, at, None, detail.as_deref())?;
            if let Some(by) = &by {
                write_entry(tx, by)?;
            }
            write_entry(tx, &issued(&crls, by.as_ref(), at))?;
            Ok(seq)
        })
    }

    /// Tells that a revocation list could not be made or published; `detail` as of
    /// [`Store::append_event`].
    ///
    /// # Errors
    ///
    /// Nothing was written.
    pub fn crl_failed(
        &self,
        detail: &[(String, String)],
        at: UnixMillis,
    ) -> Result<EventSeq, StoreError> {
        self.append_event(EventKind::CRL_PUBLICATION_FAILED, at, detail)
    }

    /// The newest of every kind, key and part: bases first, then by key and part.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when one cannot be read.
    pub fn current_crls(&self) -> Result<Vec<CrlRecord>, StoreError> {
        self.read_crls(CURRENT, [])
    }

    /// The newest of one line, if there is any.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when it cannot be read.
    pub fn current_crl(&self, line: CrlLine) -> Result<Option<CrlRecord>, StoreError> {
        let CrlLine { kind, key_index, partition } = line;
        let found = self.read_crls(CURRENT_OF, (kind_code(kind), key_index, partition))?;
        Ok(found.into_iter().next())
    }

    /// The revocation lists that were made, newest first, those with a number before `before` only.
    ///
    /// About `limit` of them, at most [`crate::ROWS_MAX`]: those with the same number as the last
    /// one come along, so that the next page can begin after it.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when one cannot be read.
    pub fn crls(
        &self,
        before: Option<CrlNumber>,
        limit: usize,
    ) -> Result<Vec<CrlRecord>, StoreError> {
        let Some(last) = limit.checked_sub(1) else { return Ok(Vec::new()) };
        let before = before.map_or(i64::MAX, |it| sql_int(it.0));
        let last = sql_limit(last.min(ROWS_MAX - 1));
        self.read_crls(BEFORE, (before, last))
    }

    /// The bases of a key and a part whose `nextUpdate` has not passed, oldest first, at most
    /// [`crate::ROWS_MAX`].
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when one cannot be read.
    pub fn unexpired_bases(
        &self,
        key_index: u16,
        partition: u32,
        now: UnixMillis,
    ) -> Result<Vec<CrlRecord>, StoreError> {
        self.read_crls(UNEXPIRED_BASES, (key_index, partition, now.0, sql_limit(ROWS_MAX)))
    }

    /// The parts, other than 0, that certificates of each CA key were given.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when one cannot be read.
    pub fn crl_partitions(&self) -> Result<Vec<PartitionRow>, StoreError> {
        let action = "reading the parts of revocation lists";
        let sql = "SELECT ca_key, crl_partition, not_after FROM crl_partition
                   ORDER BY ca_key, crl_partition";
        let found = self.inner.readers.read(action, |conn| {
            rows(conn, action, sql, [], |row| {
                Ok::<_, Why>(PartitionRow {
                    key_index: read(row, 0)?,
                    partition: read(row, 1)?,
                    not_after: read_time(row, 2)?,
                })
            })
        })?;
        let parts: Result<Vec<_>, Why> = found.into_iter().collect();
        parts.map_err(corrupt("a part of revocation lists"))
    }

    /// Forgets lists that ran out before `before`, at most [`crate::ROWS_MAX`], and tells which: not
    /// the newest of a line, and not the base of a delta that is, or that has not run out.
    ///
    /// # Errors
    ///
    /// Nothing was written.
    pub fn prune_crls(&self, before: UnixMillis) -> Result<Vec<CrlRecord>, StoreError> {
        let candidates = self.read_crls(OUTLIVED, (before.0, sql_limit(ROWS_MAX)))?;
        if candidates.is_empty() {
            return Ok(candidates);
        }
        let forgotten = candidates.clone();
        self.write(move |tx| {
            for CrlRecord { line: CrlLine { kind, key_index, partition }, number, .. } in &forgotten
            {
                tx.execute(
                    "forgetting a revocation list",
                    "DELETE FROM crl WHERE kind = ?1 AND key_index = ?2 AND crl_partition = ?3
                                       AND number = ?4 AND newest = 0",
                    (kind_code(*kind), *key_index, *partition, sql_int(number.0)),
                )?;
            }
            Ok(())
        })?;
        Ok(candidates)
    }

    /// Notes that the newest lists of those lines ran out before `now`, and tells modules, once for
    /// each list; `None`, and nothing is written, where all have been told or none ran out.
    ///
    /// # Errors
    ///
    /// Nothing was written.
    pub fn note_overdue_crls(
        &self,
        lines: Vec<CrlLine>,
        now: UnixMillis,
    ) -> Result<Option<EventSeq>, StoreError> {
        self.write(move |tx| {
            let action = "noting that a revocation list ran out";
            let sql = "UPDATE crl SET overdue = 1
                       WHERE newest = 1 AND kind = ?1 AND key_index = ?2 AND crl_partition = ?3
                         AND overdue = 0 AND next_update < ?4
                       RETURNING number";
            let mut numbers = Vec::new();
            for CrlLine { kind, key_index, partition } in &lines {
                let line = (kind_code(*kind), *key_index, *partition, now.0);
                let number = tx.query_one(action, sql, line, |row| Ok(read_unsigned(row, 0)))?;
                numbers.extend(number.transpose().map_err(corrupt("a revocation list"))?);
            }
            let Some(newest) = numbers.iter().max() else { return Ok(None) };
            let reason = "crl-overdue: revocation lists ran out and there are no newer ones";
            let detail = [
                ("Reason".to_owned(), reason.to_owned()),
                ("Number".to_owned(), newest.to_string()),
                ("Lists".to_owned(), numbers.len().to_string()),
            ];
            let detail = detail_text(&detail);
            tx.append(EventKind::CRL_PUBLICATION_FAILED, now, None, detail.as_deref()).map(Some)
        })
    }

    fn read_crls(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> Result<Vec<CrlRecord>, StoreError> {
        let action = "reading revocation lists";
        let found =
            self.inner.readers.read(action, |conn| rows(conn, action, sql, params, read_crl))?;
        let crls: Result<Vec<_>, Why> = found.into_iter().collect();
        crls.map_err(corrupt("a revocation list"))
    }
}

/// That lists were made, as the original's 4872 says it: which, their number, when the next ones are due.
fn issued(crls: &[CrlRecord], by: Option<&AuditEntry>, at: UnixMillis) -> AuditEntry {
    let actor = by.map_or(CRL_ACTOR, |it| &it.actor);
    let number = crls.iter().map(|it| it.number.0).max().unwrap_or_default();
    let next = crls.iter().map(|it| it.next_publish.0).min().unwrap_or_default();
    let mut kinds: Vec<String> = crls
        .iter()
        .map(|it| format!("{} of key {}", it.line.kind.word(), it.line.key_index))
        .collect();
    kinds.dedup();
    let detail = format!("{}; next publish {next}", kinds.join(", "));
    AuditEntry::new(at, actor, "crl-issue", format!("crl:{number}")).detail(detail)
}

fn insert(tx: &Tx<'_>, crl: &CrlRecord) -> Result<(), StoreError> {
    let CrlRecord { line: CrlLine { kind, key_index, partition }, number, .. } = *crl;
    let kind = kind_code(kind);
    let action = "recording a revocation list";
    let line = (kind, key_index, partition, sql_int(number.0));
    tx.execute(
        action,
        "UPDATE crl SET newest = 0
         WHERE newest = 1 AND kind = ?1 AND key_index = ?2 AND crl_partition = ?3 AND number < ?4",
        line,
    )?;
    tx.execute(
        action,
        "INSERT INTO crl (kind, key_index, crl_partition, number, newest, after, min_base, this_update,
                          next_update, this_publish, next_publish, entries, length, sha256, shadow)
         VALUES (?1, ?2, ?3, ?4,
                 NOT EXISTS (SELECT 1 FROM crl WHERE newest = 1 AND kind = ?1 AND key_index = ?2
                                                 AND crl_partition = ?3),
                 ifnull((SELECT crl_after FROM meta WHERE id = 1 AND crl_number = ?4), 0), ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        (
            kind,
            key_index,
            partition,
            sql_int(number.0),
            crl.min_base.map(|it| sql_int(it.0)),
            crl.this_update.0,
            crl.next_update.0,
            crl.this_publish.0,
            crl.next_publish.0,
            sql_int(crl.entries),
            sql_int(crl.length),
            &crl.sha256[..],
            crl.shadow,
        ),
    )?;
    // Also a number that was not drawn here is never given out again.
    tx.execute(
        action,
        "UPDATE meta SET crl_number = ?1 WHERE id = 1 AND crl_number < ?1",
        [sql_int(number.0)],
    )?;
    Ok(())
}

fn kind_code(kind: CrlKind) -> i64 {
    match kind {
        CrlKind::Base => 0,
        CrlKind::Delta => 1,
    }
}

fn read_crl(row: &Row<'_>) -> Result<CrlRecord, Why> {
    let kind = match read::<i64>(row, 0)? {
        0 => CrlKind::Base,
        1 => CrlKind::Delta,
        other => return Err(format!("unknown kind {other}")),
    };
    let min_base = match read::<Option<i64>>(row, 4)? {
        Some(_) => Some(CrlNumber(read_unsigned(row, 4)?)),
        None => None,
    };
    let sha256: Vec<u8> = read(row, 11)?;
    Ok(CrlRecord {
        line: CrlLine { kind, key_index: read(row, 1)?, partition: read(row, 2)? },
        number: CrlNumber(read_unsigned(row, 3)?),
        min_base,
        this_update: read_time(row, 5)?,
        next_update: read_time(row, 6)?,
        this_publish: read_time(row, 7)?,
        next_publish: read_time(row, 8)?,
        entries: read_unsigned(row, 9)?,
        length: read_unsigned(row, 10)?,
        shadow: read(row, 12)?,
        sha256: sha256.try_into().map_err(|_| "its hash has not 32 octets".to_owned())?,
    })
}
