//! Certificates: the rows.

use serde::{Deserialize, Serialize};

use crate::{Disposition, Revocation};

/// A certificate's row in a list. Moments are RFC 3339 text in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CertificateSummary {
    /// Serial number, lower-case hexadecimal.
    pub serial: String,
    /// The request that it came from.
    pub request_id: u64,
    /// Issued subject, RFC 4514 text.
    pub subject: String,
    /// Subject alternative names, `type:value`, comma-separated; empty if there are none.
    pub subject_alternative_names: String,
    /// Template it was issued from.
    pub template: String,
    /// Algorithm and size of the subject's key, for example `ecdsa-p256`.
    pub key_type: String,
    /// First second of validity.
    pub not_before: String,
    /// Last second of validity.
    pub not_after: String,
    /// Moment of issuance.
    pub issued: String,
    /// Place in the event log of the event that told of it.
    pub event: u64,
}

/// A certificate's row in a list, with how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CertificateRow {
    /// What the certificate says.
    #[serde(flatten)]
    pub summary: CertificateSummary,
    /// State of its request: `issued`, `revoked`, or `foreign`.
    pub disposition: Disposition,
    /// Index of the CA key that signed it.
    pub ca_key: u16,
    /// Its revocation, where there is or was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Revocation>,
}

/// Answer of `GET /v1/certificates`, newest first if nothing else is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CertificatePage {
    /// The rows; with filters perhaps fewer than were asked for, though there are more.
    pub certificates: Vec<CertificateRow>,
    /// `before` of the next page; absent on the last one, and in any other order than newest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_before: Option<u64>,
    /// `after` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Answer of `GET /v1/certificates/{serial}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CertificateDetail {
    /// The row as lists show it.
    #[serde(flatten)]
    pub summary: CertificateSummary,
    /// State of its request: `issued`, or `revoked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disposition: Option<Disposition>,
    /// Its revocation, where there is or was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Revocation>,
    /// The certificate in PEM.
    pub certificate: String,
}
