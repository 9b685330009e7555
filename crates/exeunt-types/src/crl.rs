//! Revocation lists: numbers, kinds, and what the store keeps of one.

use std::fmt;

use crate::{RequestId, Revocation, Serial, UnixMillis};

/// Number of a CRL (RFC 5280, section 5.2.3): 1 and up. One series for base and delta lists of all
/// keys, as in the original; it never goes backwards, and no number is given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CrlNumber(pub u64);

impl fmt::Display for CrlNumber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Whether a CRL is complete or tells what changed since one that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CrlKind {
    /// All revoked certificates.
    Base,
    /// What changed since a base (RFC 5280, section 5.2.4).
    Delta,
}

impl CrlKind {
    /// Name for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Delta => "delta",
        }
    }
}

/// Which list a CRL is an edition of: its kind, the CA key that signs it, and its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CrlLine {
    /// Base or delta.
    pub kind: CrlKind,
    /// Index of the CA key: that of the first CA certificate with the key, 0 for the first one.
    pub key_index: u16,
    /// Part of a partitioned list; 0 where lists are whole.
    pub partition: u32,
}

/// A CRL that was made. Its octets are a file of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlRecord {
    /// Which list it is an edition of.
    pub line: CrlLine,
    /// Its number.
    pub number: CrlNumber,
    /// For a delta, the base that it builds on.
    pub min_base: Option<CrlNumber>,
    /// Whether it is the empty delta that is made once after deltas were switched off, so that whoever
    /// looks for one finds none that ran out.
    pub shadow: bool,
    /// `thisUpdate`.
    pub this_update: UnixMillis,
    /// `nextUpdate`.
    pub next_update: UnixMillis,
    /// When it was made; `thisUpdate` lies before it by the allowance for slow clocks.
    pub this_publish: UnixMillis,
    /// When the next one is due; `nextUpdate` lies after it by the overlap.
    pub next_publish: UnixMillis,
    /// Revoked certificates in it.
    pub entries: u64,
    /// Length of its DER, in octets.
    pub length: u64,
    /// SHA-256 of its DER.
    pub sha256: [u8; 32],
}

impl CrlRecord {
    /// Name of the file with its DER, in the folder of revocation lists.
    #[must_use]
    pub fn file_name(&self) -> String {
        let Self { line: CrlLine { kind, key_index, partition }, number, .. } = self;
        format!("{number}-{key_index}-{partition}-{}.crl", kind.word())
    }
}

/// A certificate that was revoked at some time, as the maker of lists reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// The request that it came from.
    pub request: RequestId,
    /// Its serial number.
    pub serial: Serial,
    /// Why and when; a reason of none is a release from hold.
    pub revocation: Revocation,
    /// Last second of its validity; none where it is not known, as for a serial that was given up by an
    /// early version.
    pub not_after: Option<UnixMillis>,
    /// Whether it stays in lists after its validity: `PublishExpiredCertInCRL`.
    pub publish_expired: bool,
}
