//! Checkpoints of the trail, as whoever has the key signed them. The store keeps them and does not know
//! what they say.

use exeunt_types::UnixMillis;

use crate::reader::{corrupt, rows, sql_limit};
use crate::row::{read, read_time, read_unsigned, sql_int};
use crate::{Store, StoreError};

/// A signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditCheckpoint {
    /// Number of the row that was the head.
    pub number: u64,
    /// When.
    pub at: UnixMillis,
    /// The signed message, DER.
    pub signed: Vec<u8>,
}

impl Store {
    /// Keeps a checkpoint. One of the same row stays as it was.
    ///
    /// # Errors
    ///
    /// Nothing was written.
    pub fn add_audit_checkpoint(&self, checkpoint: AuditCheckpoint) -> Result<(), StoreError> {
        self.write(move |tx| {
            let AuditCheckpoint { number, at, signed } = &checkpoint;
            let sql = "INSERT OR IGNORE INTO audit_checkpoint (number, at, signed)
                       VALUES (?1, ?2, ?3)";
            tx.execute("keeping a checkpoint", sql, (sql_int(*number), at.0, signed))
        })?;
        Ok(())
    }

    /// Checkpoints of rows after number `after`, in order, at most `limit` and [`crate::ROWS_MAX`].
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when one cannot be read.
    pub fn audit_checkpoints(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<AuditCheckpoint>, StoreError> {
        let action = "reading checkpoints";
        let sql = "SELECT number, at, signed FROM audit_checkpoint WHERE number > ?1
                   ORDER BY number LIMIT ?2";
        let params = (sql_int(after), sql_limit(limit));
        let found = self.inner.readers.read(action, |conn| {
            rows(conn, action, sql, params, |row| {
                Ok(AuditCheckpoint {
                    number: read_unsigned(row, 0)?,
                    at: read_time(row, 1)?,
                    signed: read(row, 2)?,
                })
            })
        })?;
        let found: Result<Vec<_>, _> = found.into_iter().collect();
        found.map_err(corrupt("a checkpoint"))
    }

    /// The number of the last row that a checkpoint speaks of; 0 where there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when it cannot be read.
    pub fn last_audit_checkpoint(&self) -> Result<u64, StoreError> {
        let action = "reading checkpoints";
        let sql = "SELECT ifnull(max(number), 0) FROM audit_checkpoint";
        let found = self
            .inner
            .readers
            .read(action, |conn| rows(conn, action, sql, [], |row| read_unsigned(row, 0)))?;
        let last = found.into_iter().next().unwrap_or(Ok(0));
        last.map_err(corrupt("a checkpoint"))
    }
}
