//! OCSP (RFC 6960, and its lightweight profile, RFC 5019): reading what clients ask, and making the
//! answer.
//!
//! An answer is made like a certificate: `build_ocsp_response_data` gives the bytes to be signed,
//! `assemble_ocsp_response` the whole. What cannot be answered is refused without a signature.

pub(crate) mod request;
pub(crate) mod response;

use crate::tlv::NotDer;
use const_oid::ObjectIdentifier;

/// Largest request, in octets. One with a nonce has about 120; room for a signature and a chain.
pub const OCSP_REQUEST_BYTES_MAX: usize = 65_536;
/// Most certificates that one request may ask for. Clients ask for one (RFC 5019, section 2.1.1).
pub const OCSP_REQUEST_COUNT_MAX: usize = 100;
/// Longest nonce, in octets; the shortest has one (RFC 9654, section 2.1).
pub const OCSP_NONCE_BYTES_MAX: usize = 128;

/// Why a request is not answered. The client hears `malformedRequest` in every case (RFC 6960,
/// section 2.3); the difference is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OcspRequestError {
    /// More than [`OCSP_REQUEST_BYTES_MAX`].
    #[error("OCSP request is larger than 65536 octets")]
    TooLarge,
    /// More than [`OCSP_REQUEST_COUNT_MAX`].
    #[error("OCSP request asks for more than 100 certificates")]
    TooMany,
    /// Not DER, or not the structure of RFC 6960.
    #[error("OCSP request is malformed: {what}")]
    Malformed {
        /// Which rule it broke.
        what: &'static str,
    },
    /// An extension that must be understood and is not.
    #[error("OCSP request has unknown critical extension {oid}")]
    CriticalExtension {
        /// Its type.
        oid: ObjectIdentifier,
    },
}

impl OcspRequestError {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "ocsp-request-too-large",
            Self::TooMany => "ocsp-request-too-many",
            Self::Malformed { .. } => "ocsp-request-malformed",
            Self::CriticalExtension { .. } => "ocsp-request-critical-extension",
        }
    }
}

impl From<NotDer> for OcspRequestError {
    fn from(NotDer(what): NotDer) -> Self {
        Self::Malformed { what }
    }
}

/// Why an answer cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OcspBuildError {
    /// A time before 1970 or after 9999.
    #[error("time {unix_seconds} cannot be written in an OCSP response")]
    Time {
        /// The time, in Unix seconds.
        unix_seconds: i64,
    },
    /// The fields break a rule of RFC 6960.
    #[error("OCSP response cannot be made: {rule}")]
    Invalid {
        /// Which rule.
        rule: &'static str,
    },
}

impl OcspBuildError {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Time { .. } => "ocsp-build-time",
            Self::Invalid { .. } => "ocsp-build-invalid",
        }
    }
}
