//! Looking things up in the audit trail, a page at a time.

use exeunt_types::{AuditCategories, AuditQuery};
use rusqlite::{Connection, OptionalExtension as _};

use super::{AuditRow, COLUMNS, read_row};
use crate::error::During as _;
use crate::list::SCAN_ROWS_MAX;
use crate::reader::{corrupt, rows, sql_limit};
use crate::row::{read_unsigned, sql_int};
use crate::{Store, StoreError};

/// A page of the trail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// Rows that were found.
    pub rows: Vec<AuditRow>,
    /// Where the next page begins; none where there is nothing more.
    pub next: Option<u64>,
}

impl Store {
    /// Rows that a query asks for. A page looks at [`SCAN_ROWS_MAX`] rows at most, so it may be empty
    /// and have a next one.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when one cannot be read.
    pub fn find_audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        let action = "reading the audit trail";
        let AuditQuery { actor, action: word, object, event, since, until, .. } = query;
        let scan = u64::try_from(SCAN_ROWS_MAX).unwrap_or(u64::MAX);
        let head = self.audit_head()?.number;
        // The first and the last number of the window, both in it.
        let (from, to, order) = if query.descending {
            let to = query.after.map_or(head, |it| it.saturating_sub(1)).min(head);
            (to.saturating_sub(scan).saturating_add(1), to, "DESC")
        } else {
            let from = query.after.unwrap_or(0).saturating_add(1);
            (from, from.saturating_add(scan - 1).min(head), "ASC")
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM audit
             WHERE id >= ?1 AND id <= ?2
               AND (?3 IS NULL OR at >= ?3) AND (?4 IS NULL OR at <= ?4)
               AND (?5 IS NULL OR instr(actor, ?5) > 0) AND (?6 IS NULL OR action = ?6)
               AND (?7 IS NULL OR object = ?7) AND (?8 IS NULL OR event = ?8 OR also = ?8)
             ORDER BY id {order} LIMIT ?9"
        );
        let params = (
            sql_int(from),
            sql_int(to),
            since.map(|it| it.0),
            until.map(|it| it.0),
            actor,
            word,
            object,
            event,
            sql_limit(query.limit),
        );
        let found =
            self.inner.readers.read(action, |conn| rows(conn, action, &sql, params, read_row))?;
        let found: Result<Vec<_>, _> = found.into_iter().collect();
        let rows = found.map_err(corrupt("a row of the audit trail"))?;
        let limit = query.limit.min(crate::ROWS_MAX);
        let next = match rows.last() {
            Some(last) if limit <= rows.len() => Some(last.id),
            _ if query.descending => Some(from).filter(|it| 1 < *it && from <= to),
            _ => Some(to).filter(|it| *it < head),
        };
        Ok(AuditPage { rows, next })
    }

    /// What operators did to one thing, oldest first, from row `after` on; at most `limit` and
    /// [`crate::ROWS_MAX`]. Only what the original has no number for, which is found without looking at
    /// the others.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when a row cannot be read.
    pub fn audit_of_object(
        &self,
        object: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let action = "reading the audit trail";
        let sql = format!(
            "SELECT {COLUMNS} FROM audit WHERE event >= 10000 AND object = ?1 AND id > ?2
             ORDER BY id LIMIT ?3"
        );
        let params = (object, sql_int(after), sql_limit(limit));
        let found =
            self.inner.readers.read(action, |conn| rows(conn, action, &sql, params, read_row))?;
        let found: Result<Vec<_>, _> = found.into_iter().collect();
        found.map_err(corrupt("a row of the audit trail"))
    }
}

impl Store {
    /// Number of the last row that says that a server started, or writes by another filter; none where no
    /// server has written the trail yet.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn audit_started(&self) -> Result<Option<u64>, StoreError> {
        let action = "reading the audit trail";
        let sql = "SELECT id FROM audit WHERE event IN (4880, 4885) ORDER BY id DESC LIMIT 1";
        let found = self
            .inner
            .readers
            .read(action, |conn| rows(conn, action, sql, [], |row| read_unsigned(row, 0)))?;
        found.into_iter().next().transpose().map_err(corrupt("a row of the audit trail"))
    }
}

/// The filter that was written last.
pub(crate) fn last_filter(conn: &Connection) -> Result<Option<AuditCategories>, StoreError> {
    let sql = "SELECT after FROM audit WHERE event IN (4880, 4885) ORDER BY id DESC LIMIT 1";
    let found: Option<Option<String>> = conn
        .prepare_cached(sql)
        .and_then(|mut it| it.query_row([], |row| row.get(0)).optional())
        .during("reading the audit trail")?;
    Ok(found.flatten().as_deref().and_then(filter_in))
}

/// Reads what `write_filter` wrote.
pub(crate) fn filter_in(state: &str) -> Option<AuditCategories> {
    let digits = state.strip_prefix("filter 0x")?.get(..2)?;
    u8::from_str_radix(digits, 16).ok().map(AuditCategories)
}
