//! The audit trail: what people did to the server, in the order in which it was written.

use exeunt_types::UnixMillis;

use crate::reader::{corrupt, rows, sql_limit};
use crate::row::{cut_visibly, read, read_time, read_unsigned, sql_int};
use crate::writer::Tx;
use crate::{Store, StoreError};

/// Longest actor, action and object that are kept, in octets; a cut one ends in "…".
pub const AUDIT_NAME_OCTETS_MAX: usize = 512;
/// Longest detail that is kept, in octets; a cut one ends in "…".
pub const AUDIT_DETAIL_OCTETS_MAX: usize = 16 * 1024;

/// Longest state before or after that is kept, in octets; a cut one ends in "…".
pub const AUDIT_STATE_OCTETS_MAX: usize = 4 * 1024;

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
}

/// A row of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number; 1 and up, in the order of writing.
    pub id: u64,
    /// What it says.
    pub entry: AuditEntry,
}

impl Store {
    /// Writes an entry; durable when this returns its number. Texts that are too long are cut.
    ///
    /// # Errors
    ///
    /// Nothing was written; what was to be audited must not be done.
    pub fn audit(&self, entry: AuditEntry) -> Result<u64, StoreError> {
        self.write(move |tx| write_entry(tx, &entry))
    }

    /// Entries after number `id`, oldest first, at most `limit` and [`crate::ROWS_MAX`]; 0 begins
    /// with the first.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when one cannot be read.
    pub fn audit_after(&self, id: u64, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        let action = "reading the audit trail";
        let sql = "SELECT id, at, actor, action, object, detail, before, after FROM audit
                   WHERE id > ?1 ORDER BY id LIMIT ?2";
        let params = (sql_int(id), sql_limit(limit));
        let found = self.inner.readers.read(action, |conn| {
            rows(conn, action, sql, params, |row| {
                let entry = AuditEntry {
                    at: read_time(row, 1)?,
                    actor: read(row, 2)?,
                    action: read(row, 3)?,
                    object: read(row, 4)?,
                    detail: read(row, 5)?,
                    before: read(row, 6)?,
                    after: read(row, 7)?,
                };
                Ok(AuditRow { id: read_unsigned(row, 0)?, entry })
            })
        })?;
        let rows: Result<Vec<_>, _> = found.into_iter().collect();
        rows.map_err(corrupt("a row of the audit trail"))
    }
}

/// Writes an entry as a part of what it tells of; returns its number.
pub(crate) fn write_entry(tx: &Tx<'_>, entry: &AuditEntry) -> Result<u64, StoreError> {
    let AuditEntry { at, actor, action, object, detail, before, after } = entry;
    let state = |it: &Option<String>| {
        it.as_deref().map(|it| cut_visibly(it, AUDIT_STATE_OCTETS_MAX).into_owned())
    };
    tx.execute(
        "writing the audit trail",
        "INSERT INTO audit (at, actor, action, object, detail, before, after)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (
            at.0,
            cut_visibly(actor, AUDIT_NAME_OCTETS_MAX),
            cut_visibly(action, AUDIT_NAME_OCTETS_MAX),
            cut_visibly(object, AUDIT_NAME_OCTETS_MAX),
            cut_visibly(detail, AUDIT_DETAIL_OCTETS_MAX),
            state(before),
            state(after),
        ),
    )?;
    Ok(tx.last_id())
}
