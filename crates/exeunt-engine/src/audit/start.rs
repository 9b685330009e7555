//! Whether the trail that a start finds is the one that the last checkpoint knows.

use std::collections::BTreeMap;
use std::convert::Infallible;

use exeunt_store::{AuditRow, ChainFault, ChainHead, ROWS_MAX, StoreError, check_chain};
use exeunt_types::{ACTION_ACCEPT, is_written_before_signing};
use exeunt_x509::Issuer;

use super::{Checkpoint, CheckpointFile, CheckpointFileError, CheckpointRefusal};
use crate::engine::Engine;

/// The audit trail is not the one that it was: the server must not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrailError {
    /// A row is not what it was, or is not there.
    #[error("the audit trail is not the one that its last checkpoint knows: {fault}")]
    Broken {
        /// What is wrong.
        fault: ChainFault,
    },
    /// The store has checkpoints that the file has not.
    #[error(
        "the file of checkpoints ends at row {in_file}, and the store has one of row {in_store}"
    )]
    CheckpointsCut {
        /// The last row that the file knows; 0 where there is no file.
        in_file: u64,
        /// The last row that the store's checkpoints know.
        in_store: u64,
    },
    /// A server has written the trail, and has signed it then; there is no checkpoint of it any more.
    #[error("the audit trail was signed, and there is no checkpoint of it any more")]
    CheckpointsGone,
    /// The last checkpoint of the file does not count.
    #[error("the last checkpoint of the audit trail does not count")]
    Refused {
        /// Why.
        source: CheckpointRefusal,
    },
    /// The file cannot be read.
    #[error("the checkpoints of the audit trail cannot be read")]
    File {
        /// What the file said.
        source: CheckpointFileError,
    },
    /// The store cannot be read.
    #[error("the audit trail cannot be read")]
    Store {
        /// What the store said.
        source: StoreError,
    },
}

impl TrailError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Broken { fault } => fault.code(),
            Self::CheckpointsCut { .. } => "audit-checkpoints-cut",
            Self::CheckpointsGone => "audit-checkpoints-gone",
            Self::Refused { source } => source.code(),
            Self::File { source } => source.code(),
            Self::Store { source } => source.code(),
        }
    }

    /// Whether it says that somebody changed something, and not that something cannot be read.
    #[must_use]
    pub fn is_contradiction(&self) -> bool {
        !matches!(self, Self::File { .. } | Self::Store { .. })
    }
}

impl Engine {
    /// Compares the trail with the last checkpoint in `file`: the row that it speaks of is the same, and
    /// the rows after it follow from it. What comes before is left to `exeunt audit verify`, which
    /// takes longer.
    ///
    /// A trail that an operator accepted after its last checkpoint needs no file.
    ///
    /// # Errors
    ///
    /// [`TrailError`]; the server must not start.
    pub fn check_trail(&self, file: &CheckpointFile) -> Result<(), TrailError> {
        let store = |source| TrailError::Store { source };
        let in_store = self.store.last_audit_checkpoint().map_err(store)?;
        let last = file.last().map_err(|source| TrailError::File { source })?;
        let Some(last) = last else {
            return match in_store {
                _ if self.was_accepted_after(in_store).map_err(store)? => Ok(()),
                0 if self.was_never_signed().map_err(store)? => Ok(()),
                0 => Err(TrailError::CheckpointsGone),
                _ => Err(TrailError::CheckpointsCut { in_file: 0, in_store }),
            };
        };
        let issuers: Vec<&Issuer> = self.ca.certificates().iter().map(|it| it.issuer()).collect();
        let known = Checkpoint::verify(&last, self.store.store_id(), &issuers)
            .map_err(|source| TrailError::Refused { source })?;
        let in_file = known.head.number;
        if in_file < in_store {
            return Err(TrailError::CheckpointsCut { in_file, in_store });
        }
        let head = self.store.audit_head().map_err(store)?;
        if head.number < in_file {
            let fault = ChainFault::CutOff { after: head.number, known: in_file };
            return Err(TrailError::Broken { fault });
        }
        let row = match in_file {
            0 => Some(ChainHead::start(self.store.store_id())),
            number => {
                let found = self.store.audit_after(number - 1, 1).map_err(store)?;
                let head = |it: AuditRow| ChainHead { number: it.id, hash: it.hash };
                found.into_iter().next().map(head)
            }
        };
        if row != Some(known.head) {
            let fault = ChainFault::Rewritten { after: 0, number: in_file };
            return Err(TrailError::Broken { fault });
        }
        self.check_from(known.head)
    }

    /// Checks the rows after one that is known.
    fn check_from(&self, mut head: ChainHead) -> Result<(), TrailError> {
        loop {
            let page = self.store.audit_after(head.number, ROWS_MAX);
            let page = page.map_err(|source| TrailError::Store { source })?;
            if page.is_empty() {
                return Ok(());
            }
            let rows = page.into_iter().map(Ok::<_, Infallible>);
            let checked = check_chain(head, rows, &BTreeMap::new(), |_| Ok(()));
            let Ok(checked) = checked;
            if let Some(fault) = checked.fault {
                return Err(TrailError::Broken { fault });
            }
            head = checked.head;
        }
    }

    /// Whether there may never have been a checkpoint: no server has written the trail, or the last one
    /// ended between its first row and the checkpoint that follows at once.
    fn was_never_signed(&self) -> Result<bool, StoreError> {
        let Some(started) = self.store.audit_started()? else { return Ok(true) };
        let since = self.store.audit_after(started, ROWS_MAX)?;
        Ok(since.iter().all(|it| is_written_before_signing(&it.entry.action)))
    }

    /// Whether an operator said that the trail is to go on as it is, after that row.
    fn was_accepted_after(&self, number: u64) -> Result<bool, StoreError> {
        let rows = self.store.audit_of_object("audit", number, ROWS_MAX)?;
        Ok(rows.iter().any(|it| it.entry.action == ACTION_ACCEPT))
    }
}
