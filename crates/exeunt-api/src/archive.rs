//! Archived keys: the exchange certificate, and recoveries by two people.

use serde::{Deserialize, Serialize};

/// Answer of `GET /v1/ca/exchange`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExchangeCertificate {
    /// Its serial number.
    pub serial: String,
    /// Last second of its validity, RFC 3339.
    pub not_after: String,
    /// The certificate, PEM.
    pub certificate: String,
}

/// Body of `POST /v1/key-recoveries`: exactly one of request and serial number, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyRecoveryOrder {
    /// Number of the request whose key is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<u64>,
    /// Serial number of the certificate whose key is wanted, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Why, one line.
    pub reason: String,
}

/// A recovery: who wants a key back, and who agrees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KeyRecovery {
    /// Its number.
    pub id: u64,
    /// The request whose key is wanted.
    pub request_id: u64,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub asked_by: String,
    /// When, RFC 3339.
    pub asked: String,
    /// After this moment it is worth nothing, RFC 3339.
    pub expires: String,
    /// Who agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<String>,
    /// When the key was fetched last, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched: Option<String>,
}

/// Answer of `GET /v1/key-recoveries`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KeyRecoveryList {
    /// The newest first, at most 1,000.
    pub recoveries: Vec<KeyRecovery>,
}

/// Answer of `POST /v1/key-recoveries/{id}/fetch`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecoveredKey {
    /// The recovery.
    pub recovery: KeyRecovery,
    /// SHA-1 of the certificate of each agent who can open the key, hexadecimal.
    pub agents: Vec<String>,
    /// The key: a CMS message around a PKCS #8, encrypted to the agents, PEM.
    pub blob: String,
    /// The certificate that it belongs to, PEM.
    pub certificate: String,
}

/// Body of `POST /v1/key-imports`: exactly one of request and serial number, and the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyImportOrder {
    /// Number of the request whose certificate the key belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<u64>,
    /// Serial number of the certificate that the key belongs to, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// The key: a CMS message, encrypted to the exchange certificate, PEM.
    pub key: String,
}

/// Answer of `POST /v1/key-imports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KeyImported {
    /// The request that the key is archived for.
    pub request_id: u64,
}
