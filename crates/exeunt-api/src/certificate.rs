//! Certificates: the rows.

use serde::{Deserialize, Serialize};

use crate::{Disposition, Revocation};

/// A certificate's row in a list. Moments are RFC 3339 text in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// Answer of `GET /v1/certificates?before=REQUEST-ID&limit=N`, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificatePage {
    /// The rows.
    pub certificates: Vec<CertificateSummary>,
    /// `before` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_before: Option<u64>,
}

/// Answer of `GET /v1/certificates/{serial}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
