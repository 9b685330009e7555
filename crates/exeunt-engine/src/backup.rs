//! What the engine has to do with backups, which others take: it has the audit trail.

use exeunt_store::AuditEntry;

use crate::engine::Engine;
use crate::officer_error::OfficerError;
use crate::policy::Caller;

/// Longest name of a backup's file, in octets; `PATH_MAX` of Linux.
pub const BACKUP_NAME_BYTES_MAX: usize = 4096;

/// What is noted of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupStage {
    /// It begins. What cannot be noted is not done.
    Start,
    /// It is whole, and has its name.
    End,
}

impl BackupStage {
    /// Its word in the audit trail.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Start => "backup-start",
            Self::End => "backup-end",
        }
    }

    /// The stage with that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Start, Self::End].into_iter().find(|it| it.word() == word)
    }
}

impl Engine {
    /// Writes into the audit trail that a backup is taken; gives the entry's number.
    ///
    /// # Errors
    ///
    /// [`OfficerError::Store`]; the backup must not be taken.
    pub fn note_backup(
        &self,
        stage: BackupStage,
        file: &str,
        by: &Caller,
    ) -> Result<u64, OfficerError> {
        let object = format!("file:{file}");
        let entry = AuditEntry::new(self.clock.now(), by.actor(), stage.word(), object);
        let action = "writing the audit trail";
        self.store.audit(entry).map_err(|source| OfficerError::Store { action, source })
    }
}
