//! Revocation lists.

use serde::{Deserialize, Serialize};

/// Body of `POST /v1/crls`; may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PublishOrder {
    /// Only a delta; a base, and a delta where deltas are configured, when left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delta: bool,
    /// When the next one is due, RFC 3339; by the configured period when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A revocation list that was made. Moments are RFC 3339 text in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CrlSummary {
    /// Its number; base and delta of one run, and the lists of all keys, have the same.
    pub number: u64,
    /// `base` or `delta`.
    pub kind: String,
    /// Index of the CA key that signed it; 0 for the first one.
    pub key_index: u16,
    /// Part of a partitioned list; 0 where lists are whole.
    pub partition: u32,
    /// For a delta, the number of the base that it builds on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_base: Option<u64>,
    /// Whether it is the last, empty delta after deltas were switched off.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
    /// `thisUpdate`.
    pub this_update: String,
    /// `nextUpdate`.
    pub next_update: String,
    /// When it was made.
    pub this_publish: String,
    /// When the next one is due.
    pub next_publish: String,
    /// Revoked certificates in it.
    pub entries: u64,
    /// Length of its DER, in bytes.
    pub length: u64,
    /// SHA-256 of its DER, lower-case hexadecimal.
    pub sha256: String,
    /// Whether its file is there, as far as its length shows.
    pub file: bool,
}

/// Answer of `GET /v1/crls?before=NUMBER&limit=N`, newest first, of `GET /v1/crls/{number}`, and of
/// `POST /v1/crls`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CrlPage {
    /// The lists.
    pub crls: Vec<CrlSummary>,
    /// `before` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_before: Option<u64>,
}
