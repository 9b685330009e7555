//! The audit trail.

use serde::{Deserialize, Serialize};

/// A row of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditRow {
    /// Its number; 1 and up without gaps.
    pub number: u64,
    /// When, RFC 3339.
    pub time: String,
    /// The same in milliseconds since 1970: what the hash is over.
    pub unix_ms: i64,
    /// Number of the event: the original's, or from 10000 up.
    pub event: u32,
    /// Number of what the row tells of as well; 0 for nothing.
    pub also: u32,
    /// What the number means.
    #[serde(default)]
    pub title: String,
    /// Who.
    pub actor: String,
    /// What, as a word.
    pub action: String,
    /// To what.
    pub object: String,
    /// The rest.
    pub detail: String,
    /// What was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What is there now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Its hash, in hexadecimal.
    pub hash: String,
}

/// Answer of `GET /v1/audit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditPage {
    /// The rows; there may be none, and more behind `next`.
    pub rows: Vec<AuditRow>,
    /// What `after` is for the next page; none where there is nothing more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// Columns of the audit trail as comma-separated values.
pub const AUDIT_CSV_HEADING: [&str; 13] = [
    "number", "time", "unix_ms", "event", "also", "title", "actor", "action", "object", "detail",
    "before", "after", "hash",
];

impl AuditRow {
    /// A record of comma-separated values, with the columns of [`AUDIT_CSV_HEADING`].
    #[must_use]
    pub fn csv(&self) -> String {
        let Self { number, time, unix_ms, event, also, title, .. } = self;
        let Self { actor, action, object, detail, before, after, hash, .. } = self;
        crate::csv_record([
            number.to_string().as_str(),
            time,
            unix_ms.to_string().as_str(),
            event.to_string().as_str(),
            also.to_string().as_str(),
            title,
            actor,
            action,
            object,
            detail,
            before.as_deref().unwrap_or_default(),
            after.as_deref().unwrap_or_default(),
            hash,
        ])
    }
}
