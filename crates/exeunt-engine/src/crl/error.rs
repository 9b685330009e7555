//! Why no revocation list was made.

use std::io;
use std::path::PathBuf;

use exeunt_keys::{SignError, VerifyError};
use exeunt_store::StoreError;
use exeunt_types::CrlNumber;

use crate::error::{Blame, blame_of_store};

/// Why no revocation list was made or found. Nothing was published, but for [`CrlError::SomeKeys`]; where
/// a number is named, it is skipped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CrlError {
    /// Neither a base nor a delta was asked for.
    #[error("neither a base nor a delta is asked for")]
    NothingOrdered,

    /// Bases are switched off: their period is zero.
    #[error("revocation lists are switched off")]
    Off,

    /// Deltas are switched off.
    #[error("delta lists are switched off")]
    DeltasOff,

    /// A delta was asked for, and there is no base that still counts.
    #[error("there is no base that a delta could build on")]
    NoBase,

    /// The next list would be due before this one is made.
    #[error("the date of the next list is not in the future")]
    NextPublishPast,

    /// The list cannot be built.
    #[error("building revocation list {number} failed")]
    Build {
        /// Its number.
        number: CrlNumber,
        /// What the builder said.
        source: exeunt_x509::CrlBuildError,
    },

    /// Certificates belong to a part of the lists, and no configured address tells parts apart.
    #[error("part {partition} of revocation list {number} has no address of its own")]
    PartWithoutAddress {
        /// Its number.
        number: CrlNumber,
        /// The part.
        partition: u32,
    },

    /// The key did not sign.
    #[error("signing revocation list {number} failed")]
    Sign {
        /// Its number.
        number: CrlNumber,
        /// What the key's keeper said.
        source: SignError,
    },

    /// The key signed, and the signature does not verify.
    #[error("the signature of revocation list {number} does not verify")]
    Signature {
        /// Its number.
        number: CrlNumber,
        /// What is wrong with it.
        source: VerifyError,
    },

    /// Some keys did not sign. Those that did have their lists, which are published.
    #[error("revocation list {number} was made without the lists of {}", named(keys))]
    SomeKeys {
        /// Its number.
        number: CrlNumber,
        /// Indexes of the keys that did not sign.
        keys: Vec<u16>,
        /// Why the first of them did not.
        source: Box<CrlError>,
    },

    /// A file could not be written or read.
    #[error("{action} {} failed", path.display())]
    File {
        /// Number of the list, where it has one already.
        number: Option<CrlNumber>,
        /// What was being done, as a gerund.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// The store refused or lost a write.
    #[error("{action} failed")]
    Store {
        /// Number of the list, where it has one already.
        number: Option<CrlNumber>,
        /// What was being done, as a gerund.
        action: &'static str,
        /// What the store said.
        source: StoreError,
    },
}

impl CrlError {
    /// Stable code for logs, API bodies and scripts. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NothingOrdered => "crl-nothing-ordered",
            Self::Off => "crl-off",
            Self::DeltasOff => "crl-deltas-off",
            Self::NoBase => "crl-no-base",
            Self::NextPublishPast => "crl-next-publish-past",
            Self::Build { source, .. } => source.code(),
            Self::PartWithoutAddress { .. } => "crl-part-without-address",
            Self::Sign { .. } => "crl-sign",
            Self::Signature { .. } => "crl-signature",
            Self::SomeKeys { .. } => "crl-some-keys",
            Self::File { .. } => "crl-file",
            Self::Store { source, .. } => source.code(),
        }
    }

    /// Number of the list that was not made, if it had got one.
    #[must_use]
    pub fn number(&self) -> Option<CrlNumber> {
        match self {
            Self::Build { number, .. }
            | Self::PartWithoutAddress { number, .. }
            | Self::Sign { number, .. }
            | Self::SomeKeys { number, .. }
            | Self::Signature { number, .. } => Some(*number),
            Self::File { number, .. } | Self::Store { number, .. } => *number,
            _ => None,
        }
    }

    /// Whose move it is. What somebody asked for and cannot have is the requester's.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::NothingOrdered
            | Self::Off
            | Self::DeltasOff
            | Self::NoBase
            | Self::NextPublishPast => Blame::Requester,
            Self::PartWithoutAddress { .. }
            | Self::Sign { .. }
            | Self::Signature { .. }
            | Self::SomeKeys { .. }
            | Self::File { .. } => Blame::Operator,
            Self::Build { .. } => Blame::Us,
            Self::Store { source, .. } => blame_of_store(source),
        }
    }

    /// What the caller may read. Faults of the house collapse to one sentence.
    #[must_use]
    pub fn public_message(&self) -> String {
        match self.blame() {
            _ if matches!(self, Self::SomeKeys { .. }) => self.to_string(),
            Blame::Requester => self.to_string(),
            Blame::Operator | Blame::Us => {
                "the CA is unable to publish a revocation list at the moment".to_owned()
            }
        }
    }
}

fn named(keys: &[u16]) -> String {
    let numbers: Vec<String> = keys.iter().map(ToString::to_string).collect();
    format!("key{} {}", if keys.len() == 1 { "" } else { "s" }, numbers.join(", "))
}
