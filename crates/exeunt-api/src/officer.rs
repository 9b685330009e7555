//! What officers order about requests and certificates. All of it is answered on the Unix socket
//! only.

use serde::{Deserialize, Serialize};

use crate::Disposition;

/// Body of `POST /v1/requests/{id}/deny`; may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DenyOrder {
    /// Why, for the row and for modules, one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Answer of `POST /v1/requests/{id}/deny`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Denied {
    /// Row of the request.
    pub request_id: u64,
    /// `denied`.
    pub disposition: Disposition,
    /// Place in the event log of the event that tells of it.
    pub event: u64,
}

/// Body of `PUT /v1/requests/{id}/attributes`: each replaces the one of its name, or is new.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AttributesOrder {
    /// `Name:Value`, one each.
    pub attributes: Vec<String>,
}

/// Body of `PUT /v1/requests/{id}/extensions/{oid}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ExtensionOrder {
    /// DER of the extension's value, in hexadecimal.
    pub value: String,
    /// Whether it is critical.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub critical: bool,
    /// Whether it is left out of the certificate: takes out what the request or the policy would
    /// have put in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
}

/// An extension that an officer set on a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OfficerExtension {
    /// Object identifier in dotted form.
    pub oid: String,
    /// Whether it is critical.
    pub critical: bool,
    /// Whether it is left out of the certificate.
    pub disabled: bool,
    /// DER of the extension's value, in lower-case hexadecimal.
    pub value: String,
}

/// Body of `POST /v1/certificates/{serial}/revoke`; may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RevokeOrder {
    /// Why, a word such as `key-compromise`; `unspecified` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// From when on it counts, RFC 3339; now when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<String>,
}

/// What a row says of a revocation. It stays after a release from hold: whether the certificate is
/// revoked, the disposition says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Revocation {
    /// Why, a word; absent after a release from hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The number of the reason, as the original keeps it: 4294967295 after a release.
    pub reason_code: u32,
    /// When the order was given, RFC 3339.
    pub ordered: String,
    /// From when on it counts, RFC 3339.
    pub effective: String,
}

/// Answer of `POST /v1/certificates/{serial}/revoke` and `…/unrevoke`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Revoked {
    /// Serial number of the certificate, lower-case hexadecimal.
    pub serial: String,
    /// The request that it came from.
    pub request_id: u64,
    /// State of the request now.
    pub disposition: Disposition,
    /// Its revocation now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Revocation>,
    /// Place in the event log of the event that tells of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<u64>,
}
