//! Principals: people and programs whom the configuration knows, and their tokens.

use serde::{Deserialize, Serialize};

/// Answer of `GET /v1/principals`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PrincipalList {
    /// All of them, in the order of the configuration.
    pub principals: Vec<Principal>,
    /// Names of the tokens in files, whose holders may read and submit.
    pub token_files: Vec<String>,
    /// Whether nobody may have two roles of the administration.
    pub role_separation: bool,
    /// Roles of the server's own user and of root where no principal says otherwise.
    pub owner_roles: Vec<String>,
}

/// Somebody whom the configuration knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Principal {
    /// The name.
    pub name: String,
    /// What the principal may do.
    pub roles: Vec<String>,
    /// Groups that templates may ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Whether the principal may do anything at all.
    pub enabled: bool,
    /// User behind a Unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// SHA-256 of client certificates, in hexadecimal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificate_sha256: Vec<String>,
    /// Subjects of client certificates of this CA.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificate_subjects: Vec<String>,
    /// Templates that a certificate manager decides about; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<String>,
    /// Requesters that a certificate manager decides about; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requesters: Vec<String>,
    /// Bearer tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<PrincipalToken>,
}

/// A bearer token, of which nobody knows more than this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PrincipalToken {
    /// Its name among those of its principal.
    pub name: String,
    /// From when on it counts no more, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Whether it has expired.
    pub expired: bool,
    /// Those of the principal's roles that it gives; all of them where this is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Vec<String>>,
    /// Networks from where it is taken; from anywhere where this is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
}

/// Body of `POST /v1/principals/{name}/tokens`. Whoever orders it makes the token; the server never sees
/// it before it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Its name among those of its principal.
    pub name: String,
    /// SHA-256 of the token, in hexadecimal.
    pub sha256: String,
    /// From when on it counts no more, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Those of the principal's roles that it gives; all of them where this is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Vec<String>>,
    /// Networks from where it is taken; from anywhere where this is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
}

/// Answer about one token that was added or removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenChanged {
    /// Whose it is.
    pub principal: String,
    /// The token.
    pub token: PrincipalToken,
}
