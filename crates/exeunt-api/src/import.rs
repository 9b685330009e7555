//! Importing certificates, and orders about many of them.

use serde::{Deserialize, Serialize};

/// Body of `POST /v1/certificates`: certificates that were made elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ImportOrder {
    /// The certificates in PEM, one a text; at most [`crate::IMPORT_COUNT_MAX`].
    pub certificates: Vec<String>,
    /// Takes those of other CAs as well.
    #[serde(default)]
    pub allow_foreign: bool,
    /// Puts each under the request that waits for it.
    #[serde(default)]
    pub existing_row: bool,
    /// Says what would become of them, and changes nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// Answer of `POST /v1/certificates`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ImportAnswer {
    /// What became of each, in the order of the certificates.
    pub results: Vec<BulkResult>,
}

/// Body of `POST /v1/certificates/revoke`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BulkRevokeOrder {
    /// Serial numbers in hexadecimal, at most [`crate::BULK_COUNT_MAX`].
    pub serials: Vec<String>,
    /// Why, a word such as `key-compromise`; `unspecified` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// From when on it counts, RFC 3339; now when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<String>,
}

/// Body of `POST /v1/certificates/unrevoke`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BulkReleaseOrder {
    /// Serial numbers in hexadecimal, at most [`crate::BULK_COUNT_MAX`].
    pub serials: Vec<String>,
}

/// Body of `POST /v1/certificates/{serial}/publish-expired`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PublishExpiredOrder {
    /// Whether the certificate, once revoked, stays in lists after its validity.
    pub publish_expired: bool,
}

/// Answer of `POST /v1/certificates/revoke` and `…/unrevoke`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BulkAnswer {
    /// What became of each, in the order of the serial numbers.
    pub results: Vec<BulkResult>,
}

/// What became of one of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum BulkOutcome {
    /// Imported as a certificate of this CA.
    Imported,
    /// Imported as one of another CA.
    Foreign,
    /// Revoked.
    Revoked,
    /// Released from hold.
    Released,
    /// It was so before: nothing was changed.
    Already,
    /// Nothing was changed; the code says why.
    Refused,
    /// A word from a newer server.
    #[serde(other)]
    Unknown,
}

/// What became of one of many certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BulkResult {
    /// What.
    pub outcome: BulkOutcome,
    /// Its serial number, lower-case hexadecimal, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Its subject, RFC 4514 text, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Its row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<u64>,
    /// Place in the event log of the event that tells of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<u64>,
    /// Why it was refused, for programs; kebab-case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why it was refused, as the original's HRESULT: `0x` and eight digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<String>,
    /// Why it was refused, one clause for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl BulkResult {
    /// A result that says nothing more.
    #[must_use]
    pub fn of(outcome: BulkOutcome) -> Self {
        Self {
            outcome,
            serial: None,
            subject: None,
            request_id: None,
            event: None,
            code: None,
            status_code: None,
            message: None,
        }
    }
}
