//! The audit trail: who did what to what, in the order in which it was written, each row chained to the
//! one before it.
//!
//! A row is written in the transaction of what it tells of: where it cannot be written, nothing was done.
//! What is done rarely is written by whoever does it (`write_entry`), what became of requests in
//! `outcome`; the hashes are in `chain`, and whether they are right is found out in `check` and
//! `witness`.

pub(crate) mod chain;
pub(crate) mod check;
pub(crate) mod checkpoint;
pub(crate) mod outcome;
pub(crate) mod query;
pub(crate) mod witness;

use std::borrow::Cow;

use exeunt_types::{ACTION_FILTER, ACTION_START, AuditCategories, AuditKind, UnixMillis};
use rusqlite::Row;

pub use chain::ChainHead;
use chain::Trail;

use crate::reader::{corrupt, rows, sql_limit};
use crate::row::{Why, cut_visibly, read, read_time, read_unsigned, sql_int};
use crate::writer::Tx;
use crate::{Store, StoreError};

/// Longest actor, action and object that are kept, in octets; a cut one ends in "…".
pub const AUDIT_NAME_OCTETS_MAX: usize = 512;
/// Longest detail that is kept, in octets; a cut one ends in "…".
pub const AUDIT_DETAIL_OCTETS_MAX: usize = 16 * 1024;
/// Longest state before or after that is kept, in octets; a cut one ends in "…".
pub const AUDIT_STATE_OCTETS_MAX: usize = 4 * 1024;

/// Columns as [`read_row`] expects them.
const COLUMNS: &str = "id, at, actor, action, object, detail, before, after, event, also, hash";

/// Something that somebody did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEntry {
    /// When.
    pub at: UnixMillis,
    /// Who, at most [`AUDIT_NAME_OCTETS_MAX`].
    pub actor: String,
    /// What, as a word like `exit-replay`, at most [`AUDIT_NAME_OCTETS_MAX`].
    pub action: String,
    /// To what, for example a module's name, at most [`AUDIT_NAME_OCTETS_MAX`].
    pub object: String,
    /// The rest, for people; may be empty, at most [`AUDIT_DETAIL_OCTETS_MAX`]. Never a secret.
    pub detail: String,
    /// What was there before, where something was changed; at most [`AUDIT_STATE_OCTETS_MAX`]. Never
    /// a secret.
    pub before: Option<String>,
    /// What is there now, where something was changed; at most [`AUDIT_STATE_OCTETS_MAX`]. Never a
    /// secret.
    pub after: Option<String>,
}

impl AuditEntry {
    /// That `actor` did `action` to `object`.
    #[must_use]
    pub fn new(
        at: UnixMillis,
        actor: impl Into<String>,
        action: impl Into<String>,
        object: impl Into<String>,
    ) -> Self {
        Self {
            at,
            actor: actor.into(),
            action: action.into(),
            object: object.into(),
            detail: String::new(),
            before: None,
            after: None,
        }
    }

    /// The rest, for people.
    #[must_use]
    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    /// What was there before and what is there now; nothing where there was or is nothing.
    #[must_use]
    pub fn change(self, before: Option<String>, after: Option<String>) -> Self {
        Self { before, after, ..self }
    }

    /// As it is kept: what is too long is cut.
    fn cut(self) -> Self {
        let Self { at, actor, action, object, detail, before, after } = self;
        let name = |it| cut(it, AUDIT_NAME_OCTETS_MAX);
        let state = |it: Option<String>| it.map(|it| cut(it, AUDIT_STATE_OCTETS_MAX));
        Self {
            at,
            actor: name(actor),
            action: name(action),
            object: name(object),
            detail: cut(detail, AUDIT_DETAIL_OCTETS_MAX),
            before: state(before),
            after: state(after),
        }
    }
}

/// A text as it is kept; almost all are short enough, and stay what they are.
fn cut(text: String, octets: usize) -> String {
    match cut_visibly(&text, octets) {
        Cow::Borrowed(_) => text,
        Cow::Owned(cut) => cut,
    }
}

/// A row of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number; 1 and up without gaps, in the order of writing.
    pub id: u64,
    /// What it says.
    pub entry: AuditEntry,
    /// Number of the event, as [`AuditKind`] has it.
    pub event: u32,
    /// Number of what it tells of as well; 0 for nothing.
    pub also: u32,
    /// Its hash, as [`ChainHead::hash_of_next`] makes it.
    pub hash: [u8; 32],
}

impl Store {
    /// Writes an entry; durable when this returns its number. Texts that are too long are cut. Where
    /// the filter leaves its category out, nothing is written, and the number is that of the last row.
    ///
    /// # Errors
    ///
    /// Nothing was written; what was to be audited must not be done.
    pub fn audit(&self, entry: AuditEntry) -> Result<u64, StoreError> {
        self.write(move |tx| write_entry(tx, &entry))
    }

    /// Writes that the trail goes on as it is, and forgets checkpoints of rows that are not there: they
    /// would speak of others, which get their numbers.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    pub fn accept_audit(&self, entry: AuditEntry) -> Result<u64, StoreError> {
        self.write(move |tx| {
            let head = sql_int(tx.trail.get().head.number);
            let sql = "DELETE FROM audit_checkpoint WHERE number > ?1";
            tx.execute("forgetting checkpoints", sql, [head])?;
            write_entry(tx, &entry)
        })
    }

    /// Notes that the server starts, with what it writes from now on: `detail` says with which
    /// configuration. A filter other than the one before is a row of its own.
    ///
    /// # Errors
    ///
    /// Nothing was written; the server must not start.
    pub fn audit_start(
        &self,
        at: UnixMillis,
        actor: &str,
        filter: AuditCategories,
        detail: &str,
    ) -> Result<(), StoreError> {
        let (actor, detail) = (actor.to_owned(), detail.to_owned());
        self.write(move |tx| {
            let before = query::last_filter(tx.conn())?;
            if let Some(before) = before.filter(|it| *it != filter) {
                write_filter(tx, at, &actor, (Some(before), filter), ACTION_FILTER, "")?;
            }
            write_filter(tx, at, &actor, (before, filter), ACTION_START, &detail)
        })
    }

    /// Has other categories written from now on.
    ///
    /// # Errors
    ///
    /// Nothing was written, and the filter is as it was.
    pub fn audit_filter(
        &self,
        at: UnixMillis,
        actor: &str,
        filter: AuditCategories,
    ) -> Result<(), StoreError> {
        let actor = actor.to_owned();
        self.write(move |tx| {
            let before = Some(tx.trail.get().filter);
            write_filter(tx, at, &actor, (before, filter), ACTION_FILTER, "")
        })
    }

    /// Entries after number `id`, oldest first, at most `limit` and [`crate::ROWS_MAX`]; 0 begins
    /// with the first.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when one cannot be read.
    pub fn audit_after(&self, id: u64, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        let action = "reading the audit trail";
        let sql = format!("SELECT {COLUMNS} FROM audit WHERE id > ?1 ORDER BY id LIMIT ?2");
        let params = (sql_int(id), sql_limit(limit));
        let found =
            self.inner.readers.read(action, |conn| rows(conn, action, &sql, params, read_row))?;
        let rows: Result<Vec<_>, _> = found.into_iter().collect();
        rows.map_err(corrupt("a row of the audit trail"))
    }

    /// The end of the chain.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] where the last row has no hash.
    pub fn audit_head(&self) -> Result<ChainHead, StoreError> {
        let action = "reading the end of the audit trail";
        self.inner.readers.read(action, |conn| chain::read_head(conn, self.store_id()))
    }
}

/// Writes an entry as a part of what it tells of; returns its number, or that of the last row where its
/// category is left out.
pub(crate) fn write_entry(tx: &Tx<'_>, entry: &AuditEntry) -> Result<u64, StoreError> {
    write_with(tx, entry.clone(), 0)
}

/// The same, for a row that tells of a second event as well.
fn write_with(tx: &Tx<'_>, entry: AuditEntry, also: u32) -> Result<u64, StoreError> {
    let kind = AuditKind::of(&entry.action);
    if !tx.trail.get().filter.writes(kind.category) {
        return Ok(tx.trail.get().head.number);
    }
    let entry = entry.cut();
    let head = tx.trail.get().head.next(&entry, kind.event, also);
    let AuditEntry { at, actor, action, object, detail, before, after } = &entry;
    tx.execute(
        "writing the audit trail",
        "INSERT INTO audit (id, at, actor, action, object, detail, before, after, event, also, hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        (
            sql_int(head.number),
            at.0,
            actor,
            action,
            object,
            detail,
            before,
            after,
            kind.event,
            also,
            &head.hash[..],
        ),
    )?;
    tx.trail.set(Trail { head, ..tx.trail.get() });
    Ok(head.number)
}

/// Writes which categories are written from here on, and writes by it.
fn write_filter(
    tx: &Tx<'_>,
    at: UnixMillis,
    actor: &str,
    (before, filter): (Option<AuditCategories>, AuditCategories),
    action: &str,
    detail: &str,
) -> Result<(), StoreError> {
    let state = |it: AuditCategories| format!("filter {:#04x}: {it}", it.0);
    let last = format!("last event {}", tx.head());
    let detail = if detail.is_empty() { last } else { format!("{last}, {detail}") };
    let entry = AuditEntry::new(at, actor, action, "audit")
        .detail(detail)
        .change(before.map(state), Some(state(filter)));
    write_entry(tx, &entry)?;
    tx.trail.set(Trail { filter, ..tx.trail.get() });
    Ok(())
}

/// Reads [`COLUMNS`]. A hash that is none is read as zeros, which no row has.
fn read_row(row: &Row<'_>) -> Result<AuditRow, Why> {
    let entry = AuditEntry {
        at: read_time(row, 1)?,
        actor: read(row, 2)?,
        action: read(row, 3)?,
        object: read(row, 4)?,
        detail: read(row, 5)?,
        before: read(row, 6)?,
        after: read(row, 7)?,
    };
    let hash = read::<Option<Vec<u8>>>(row, 10)?.and_then(|it| it.try_into().ok());
    Ok(AuditRow {
        id: read_unsigned(row, 0)?,
        entry,
        event: read(row, 8)?,
        also: read(row, 9)?,
        hash: hash.unwrap_or_default(),
    })
}
