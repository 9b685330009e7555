//! Why a module's question has no answer.

use crate::{
    CERTSRV_E_PROPERTY_EMPTY, E_INVALIDARG,
    call_back::{E_FILE_NOT_FOUND, Refusal},
    property::E_UNEXPECTED,
};

/// `E_FAIL`: something else went wrong (winerror.h).
pub const E_FAIL: u32 = 0x8000_4005;

/// Why a module's question has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// It has no value here: ordinary, a module goes on.
    #[error("{name} is empty")]
    Empty {
        /// The name that was asked for.
        name: String,
    },
    /// It has another type.
    #[error("{name} is a {found}, not a {asked}")]
    Type {
        /// The name that was asked for.
        name: String,
        /// The type that was asked for.
        asked: &'static str,
        /// The type that it has.
        found: &'static str,
    },
    /// There is no such name. A name that exists and has no value here is [`ViewError::Empty`].
    #[error("there is no property {name:?}")]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// The name's index is beyond the last, or there is no delta revocation list.
    #[error("there is no {name}")]
    NoSuchIndex {
        /// The name that was asked for.
        name: String,
    },
    /// The extension's value is not of the asked type.
    #[error("extension {oid} does not hold one {asked}")]
    Undecodable {
        /// The extension.
        oid: String,
        /// The type that was asked for.
        asked: &'static str,
    },
    /// An argument that cannot be.
    #[error("{what} is not valid")]
    Argument {
        /// Which one.
        what: &'static str,
    },
    /// The call comes before the one that it needs.
    #[error("{needed} has to be called first")]
    Order {
        /// The call that is missing.
        needed: &'static str,
    },
    /// The value is not in the event, and asking the host for it failed.
    #[error("fetching {name} failed")]
    Fetch {
        /// The name that was asked for.
        name: String,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ViewError {
    /// The error that a host's refusal of a call-back means.
    #[must_use]
    pub fn from_refusal(refusal: Refusal, name: &str) -> Self {
        match refusal {
            Refusal::Empty => Self::Empty { name: name.to_owned() },
            Refusal::Invalid => Self::Unknown { name: name.to_owned() },
            Refusal::NotFound => Self::NoSuchIndex { name: name.to_owned() },
        }
    }

    /// How a host refuses a call-back that ends in this error.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Empty { .. } | Self::Fetch { .. } => Refusal::Empty,
            Self::NoSuchIndex { .. } => Refusal::NotFound,
            Self::Type { .. }
            | Self::Unknown { .. }
            | Self::Undecodable { .. }
            | Self::Argument { .. }
            | Self::Order { .. } => Refusal::Invalid,
        }
    }

    /// The code that the original's call would give back. Where no public source names one, it is
    /// the nearest of the common ones.
    #[must_use]
    pub fn hresult(&self) -> u32 {
        match self {
            Self::Empty { .. } => CERTSRV_E_PROPERTY_EMPTY,
            Self::Type { .. }
            | Self::Unknown { .. }
            | Self::Undecodable { .. }
            | Self::Argument { .. } => E_INVALIDARG,
            Self::NoSuchIndex { .. } => E_FILE_NOT_FOUND,
            Self::Order { .. } => E_UNEXPECTED,
            Self::Fetch { .. } => E_FAIL,
        }
    }

    /// Stable code for logs. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "property-empty",
            Self::Type { .. } => "property-type",
            Self::Unknown { .. } => "property-unknown",
            Self::NoSuchIndex { .. } => "property-index",
            Self::Undecodable { .. } => "extension-undecodable",
            Self::Argument { .. } => "view-argument",
            Self::Order { .. } => "view-order",
            Self::Fetch { .. } => "view-fetch",
        }
    }
}
