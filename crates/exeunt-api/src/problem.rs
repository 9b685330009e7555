//! What every error looks like.

use serde::{Deserialize, Serialize};

/// Body of every answer that tells of an error: problem details of RFC 9457, with a stable code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// Always `about:blank`: `title` is the phrase of the HTTP status (RFC 9457, section 4.2.1).
    #[serde(rename = "type")]
    pub kind: String,
    /// Phrase of the HTTP status.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong, one clause for people.
    pub detail: String,
    /// What programs branch on; kebab-case, never renamed.
    pub code: String,
    /// What to do about it: a command or a fact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The request's row, when one was written before the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<u64>,
}
