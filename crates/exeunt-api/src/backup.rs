//! Backups: what the command that takes one has the server note.

use serde::{Deserialize, Serialize};

/// Body of `POST /v1/backups`: the command takes the backup, and the server writes its audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BackupOrder {
    /// `backup-start` or `backup-end`.
    pub action: String,
    /// The file of the backup.
    pub file: String,
}

/// Answer of `POST /v1/backups`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BackupNoted {
    /// Number of the entry in the audit trail.
    pub audit: u64,
}
