//! Revocation lists, version 2 (RFC 5280, section 5): a maker that holds one entry at a time, and a
//! reader.
//!
//! A list is made from the inside: `CrlWriter` writes the entries and measures them, `frame_tbs` gives
//! what stands before and after them in the `TBSCertList`. Once that is signed, `frame_crl` gives what
//! stands around it. DER writes lengths first, and a list may be far larger than memory is.

pub(crate) mod entry;
mod extensions;
pub(crate) mod read;
pub(crate) mod write;

use crate::tlv::NotDer;
use exeunt_types::Serial;

/// Largest list, in octets of DER: some 25 million entries.
pub const CRL_BYTES_MAX: u64 = 1 << 30;
/// Most URIs in one extension of a list. The original's lists have four.
pub const CRL_URI_COUNT_MAX: usize = 32;
/// PEM label of a revocation list (RFC 7468, section 7).
pub const CRL_PEM_LABEL: &str = "X509 CRL";

/// Which certificate and key of the CA a list belongs to: Microsoft's `CA Version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaVersion {
    /// Index of the CA certificate: 0 for the first one, one more with each renewal.
    pub certificate_index: u16,
    /// Index of the CA key: that of the first certificate with the key.
    pub key_index: u16,
}

/// Which certificates a list speaks of (RFC 5280, section 5.2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CrlScope {
    /// All that the CA issued.
    #[default]
    All,
    /// Only those of end entities.
    UserCertificates,
    /// Only those of CAs.
    CaCertificates,
}

/// Which part of a CA's revocations a list covers: `issuingDistributionPoint` (RFC 5280, section
/// 5.2.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuingDistributionPoint {
    /// Where this list is fetched, as certificates in its scope name it. A verifier takes the list
    /// only for certificates that name one of these; none is the same as any.
    pub uris: Vec<String>,
    /// What it contains.
    pub scope: CrlScope,
}

/// Why a list cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CrlBuildError {
    /// A time before 1970 or after 9999.
    #[error("time {unix_seconds} cannot be written in a revocation list")]
    Time {
        /// The time, in Unix seconds.
        unix_seconds: i64,
    },
    /// The fields break a rule of RFC 5280; such a list would be of no use to anybody.
    #[error("revocation list cannot be made: {rule}")]
    Invalid {
        /// Which rule.
        rule: &'static str,
    },
    /// More than [`CRL_BYTES_MAX`].
    #[error("revocation list would be larger than 1 GiB")]
    TooLarge,
    /// A release from hold in a list that is not a delta.
    #[error("release of {serial} is in a complete revocation list")]
    ReleaseInBase {
        /// Whose release.
        serial: Serial,
    },
    /// What was given to write to failed.
    #[error("writing the revocation list failed")]
    Write {
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CrlBuildError {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Time { .. } => "crl-build-time",
            Self::Invalid { .. } => "crl-build-invalid",
            Self::TooLarge => "crl-build-too-large",
            Self::ReleaseInBase { .. } => "crl-build-release-in-base",
            Self::Write { .. } => "crl-build-write",
        }
    }
}

/// Why bytes are not a revocation list that can be worked with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CrlError {
    /// More than [`CRL_BYTES_MAX`].
    #[error("revocation list is larger than 1 GiB")]
    TooLarge,
    /// Not DER, or not the structure of RFC 5280.
    #[error("revocation list is malformed")]
    Malformed {
        /// Which rule it broke.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Well-formed, but with something in it that is not handled here.
    #[error("{part} of the revocation list is not supported")]
    Unsupported {
        /// Which part.
        part: &'static str,
        /// Why, where there is more to say.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl CrlError {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "crl-too-large",
            Self::Malformed { .. } => "crl-malformed",
            Self::Unsupported { .. } => "crl-unsupported",
        }
    }
}

impl From<NotDer> for CrlError {
    fn from(source: NotDer) -> Self {
        Self::Malformed { source: source.into() }
    }
}
