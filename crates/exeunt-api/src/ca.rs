//! The certificate authority and its server.

use serde::{Deserialize, Serialize};

/// Answer of `GET /v1/ca`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CaDescription {
    /// Name of the certificate authority.
    pub name: String,
    /// Its newest certificate in PEM: the one that issues.
    pub certificate: String,
    /// All its certificates, in the order in which they were installed.
    #[serde(default)]
    pub certificates: Vec<CaCertificate>,
}

/// A certificate of the certificate authority itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CaCertificate {
    /// Its place, from 0 on.
    pub index: u16,
    /// Place of the first one with the same key.
    pub key_index: u16,
    /// What stands behind the name of its file: empty for the first one, `(n)` for the others.
    pub suffix: String,
    /// Its subject, RFC 4514 text.
    pub subject: String,
    /// First second of its validity, RFC 3339.
    pub not_before: String,
    /// Last second of its validity, RFC 3339.
    pub not_after: String,
    /// `valid`, or `invalid` when it has expired.
    pub cert_state: String,
    /// `valid`, `error` when another certificate with the same key has its revocation lists, or
    /// `invalid` when all with that key have expired.
    pub crl_state: String,
    /// The certificate in PEM.
    pub certificate: String,
}

/// Answer of `GET /v1/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Health {
    /// `ok` when the server answers at all.
    pub status: String,
    /// Version of the server.
    pub version: String,
}
