//! The certificate authority and its server.

use serde::{Deserialize, Serialize};

/// Answer of `GET /v1/ca`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaDescription {
    /// Name of the certificate authority.
    pub name: String,
    /// Its certificate in PEM.
    pub certificate: String,
}

/// Answer of `GET /v1/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ok` when the server answers at all.
    pub status: String,
    /// Version of the server.
    pub version: String,
}
