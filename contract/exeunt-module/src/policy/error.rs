//! Why a policy may not set what it wanted to set.

use crate::{CERTSRV_E_PROPERTY_EMPTY, E_INVALIDARG, property::E_UNEXPECTED};

/// `E_ACCESSDENIED`: it is there, and not the policy's to set (winerror.h).
pub const E_ACCESSDENIED: u32 = 0x8007_0005;

/// Why a policy may not set what it wanted to set. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// There is no such name.
    #[error("there is no property {name:?}")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The name is there, and a policy cannot set it: public key, serial number, issuer, the whole
    /// name, whatever follows from other things.
    #[error("{name} is not for a policy to set")]
    ReadOnly {
        /// The name.
        name: String,
    },
    /// The value, or the type that was named, is of another type.
    #[error("{name} is a {expected}, not a {found}")]
    Type {
        /// The name.
        name: String,
        /// The type that it has.
        expected: &'static str,
        /// The type that came.
        found: &'static str,
    },
    /// The value cannot be.
    #[error("{name} {reason}")]
    Value {
        /// The name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// The date is there already.
    #[error("{name} is {value} already")]
    Unchanged {
        /// The name.
        name: String,
        /// The value.
        value: String,
    },
    /// The date lies outside the validity that the engine gives.
    #[error("{name} {value} lies outside the validity from {not_before} to {not_after}")]
    Wider {
        /// The name.
        name: String,
        /// The value.
        value: String,
        /// The engine's first moment.
        not_before: String,
        /// The engine's last moment.
        not_after: String,
    },
    /// The OID is none, or is too long.
    #[error("{oid:?} is no object identifier of at most 31 characters")]
    Oid {
        /// What was given.
        oid: String,
    },
    /// The extension is the engine's own.
    #[error("extension {oid} ({name}) is the engine's own")]
    Owned {
        /// The extension.
        oid: String,
        /// What it is called.
        name: &'static str,
    },
    /// Flags without a meaning, or of the engine alone: the origin.
    #[error("flags {flags:#x} of extension {oid} have no meaning")]
    Flags {
        /// The extension.
        oid: String,
        /// The flags.
        flags: u32,
    },
    /// There is no such extension to disable.
    #[error("there is no extension {oid} to disable")]
    NoExtension {
        /// The extension.
        oid: String,
    },
    /// More than a request can need.
    #[error("more than {max} {what} were set")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
}

impl PolicyError {
    /// The code that the original's call would give back. Where no public source names one, it is
    /// the nearest of the common ones.
    #[must_use]
    pub fn hresult(&self) -> u32 {
        match self {
            Self::Unknown { .. }
            | Self::Type { .. }
            | Self::Value { .. }
            | Self::Unchanged { .. }
            | Self::Wider { .. }
            | Self::Oid { .. }
            | Self::Flags { .. } => E_INVALIDARG,
            Self::ReadOnly { .. } | Self::Owned { .. } => E_ACCESSDENIED,
            Self::NoExtension { .. } => CERTSRV_E_PROPERTY_EMPTY,
            Self::TooMany { .. } => E_UNEXPECTED,
        }
    }

    /// Stable code for logs. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "policy-property-unknown",
            Self::ReadOnly { .. } => "policy-property-read-only",
            Self::Type { .. } => "policy-type",
            Self::Value { .. } => "policy-value",
            Self::Unchanged { .. } => "policy-date-unchanged",
            Self::Wider { .. } => "policy-date-wider",
            Self::Oid { .. } => "policy-oid",
            Self::Owned { .. } => "policy-extension-owned",
            Self::Flags { .. } => "policy-flags",
            Self::NoExtension { .. } => "policy-no-extension",
            Self::TooMany { .. } => "policy-too-many",
        }
    }
}
