//! What the event log can say.

use crate::{Disposition, EventSeq, Revocation, StatusCode, SubjectKey};

/// Kind of an event: one bit of a module's event mask.
///
/// The first nine are the original's `EXITEVENT_*` constants; Exeunt's own start at 0x10000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKind(u32);

impl EventKind {
    /// `EXITEVENT_CERTISSUED`: a certificate was issued.
    pub const CERT_ISSUED: Self = Self(0x001);
    /// `EXITEVENT_CERTPENDING`: a request waits for a decision.
    pub const CERT_PENDING: Self = Self(0x002);
    /// `EXITEVENT_CERTDENIED`: a request was refused.
    pub const CERT_DENIED: Self = Self(0x004);
    /// `EXITEVENT_CERTREVOKED`: a certificate was revoked.
    pub const CERT_REVOKED: Self = Self(0x008);
    /// `EXITEVENT_CERTRETRIEVEPENDING`: a formerly pending certificate was fetched.
    pub const CERT_RETRIEVE_PENDING: Self = Self(0x010);
    /// `EXITEVENT_CRLISSUED`: revocation lists were issued.
    pub const CRL_ISSUED: Self = Self(0x020);
    /// `EXITEVENT_SHUTDOWN`: the server stops.
    pub const SHUTDOWN: Self = Self(0x040);
    /// `EXITEVENT_STARTUP`: the server has started.
    pub const STARTUP: Self = Self(0x080);
    /// `EXITEVENT_CERTIMPORTED`: a certificate was imported.
    pub const CERT_IMPORTED: Self = Self(0x200);
    /// Exeunt's own: a certificate that was on hold is valid again.
    pub const CERT_UNREVOKED: Self = Self(0x0001_0000);
    /// Exeunt's own: processing a request failed (disposition 30), also when recovery found it so.
    pub const REQUEST_FAILED: Self = Self(0x0002_0000);
    /// Exeunt's own: a certificate runs out soon.
    pub const CERT_EXPIRING: Self = Self(0x0004_0000);
    /// Exeunt's own: the CA has a new certificate of its own.
    pub const CA_CERT_ISSUED: Self = Self(0x0008_0000);
    /// Exeunt's own: a revocation list could not be published.
    pub const CRL_PUBLICATION_FAILED: Self = Self(0x0010_0000);
    /// Exeunt's own: a module's event was parked and waits for an operator.
    pub const DELIVERY_PARKED: Self = Self(0x0020_0000);
    /// Exeunt's own: the server is alive.
    pub const HEARTBEAT: Self = Self(0x0040_0000);
    /// Exeunt's own: the store was restored from a copy; events before this one may be lost.
    pub const RESTORED: Self = Self(0x0080_0000);

    /// All kinds that this version knows, by bit.
    pub const ALL: &[Self] = &[
        Self::CERT_ISSUED,
        Self::CERT_PENDING,
        Self::CERT_DENIED,
        Self::CERT_REVOKED,
        Self::CERT_RETRIEVE_PENDING,
        Self::CRL_ISSUED,
        Self::SHUTDOWN,
        Self::STARTUP,
        Self::CERT_IMPORTED,
        Self::CERT_UNREVOKED,
        Self::REQUEST_FAILED,
        Self::CERT_EXPIRING,
        Self::CA_CERT_ISSUED,
        Self::CRL_PUBLICATION_FAILED,
        Self::DELIVERY_PARKED,
        Self::HEARTBEAT,
        Self::RESTORED,
    ];

    /// The kind with that bit. Unknown bits are kept: the row may come from a newer version.
    #[must_use]
    pub fn from_bit(bit: u32) -> Self {
        Self(bit)
    }

    /// What an event of this kind is about when it names no request.
    #[must_use]
    pub fn subject(self) -> SubjectKey {
        match self {
            Self::CRL_ISSUED | Self::CRL_PUBLICATION_FAILED => SubjectKey::Crl,
            Self::CA_CERT_ISSUED => SubjectKey::Ca,
            _ => SubjectKey::Server,
        }
    }

    /// The bit, as masks carry it.
    #[must_use]
    pub fn bit(self) -> u32 {
        self.0
    }

    /// Whether `mask` asks for this kind.
    #[must_use]
    pub fn is_in(self, mask: u32) -> bool {
        mask & self.0 != 0
    }

    /// Name for people; unknown kinds are "unknown".
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::CERT_ISSUED => "issued",
            Self::CERT_PENDING => "pending",
            Self::CERT_DENIED => "denied",
            Self::CERT_REVOKED => "revoked",
            Self::CERT_RETRIEVE_PENDING => "retrieve-pending",
            Self::CRL_ISSUED => "crl-issued",
            Self::SHUTDOWN => "shutdown",
            Self::STARTUP => "startup",
            Self::CERT_IMPORTED => "imported",
            Self::CERT_UNREVOKED => "unrevoked",
            Self::REQUEST_FAILED => "request-failed",
            Self::CERT_EXPIRING => "expiring",
            Self::CA_CERT_ISSUED => "ca-cert-issued",
            Self::CRL_PUBLICATION_FAILED => "crl-publication-failed",
            Self::DELIVERY_PARKED => "delivery-parked",
            Self::HEARTBEAT => "heartbeat",
            Self::RESTORED => "restored",
            _ => "unknown",
        }
    }

    /// The kind with that [`EventKind::word`]; "unknown" is none.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|it| it.word() == word)
    }
}

/// The part of a request that can change after the event, as it was when the event was committed.
///
/// It is kept in the event's row: a module that hears late still reads what was true then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventState {
    /// State of the request.
    pub disposition: Disposition,
    /// Result of its processing.
    pub status: StatusCode,
    /// One line about it, for people.
    pub message: String,
    /// The revocation of its certificate, where there is or was one.
    pub revocation: Option<Revocation>,
}

/// Where a module's cursor starts when the store has none for it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// Only events from now on.
    Head,
    /// Everything after this place; [`EventSeq`] 0 means from the first event on.
    After(EventSeq),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_kind_is_one_bit_with_a_word_of_its_own() {
        let mut before = 0;
        for kind in EventKind::ALL {
            assert_eq!(kind.bit().count_ones(), 1, "{kind:?}");
            assert!(before < kind.bit(), "{kind:?} is not in order");
            before = kind.bit();
            assert_eq!(EventKind::from_word(kind.word()), Some(*kind), "{kind:?}");
        }
        for none in ["unknown", "", "Issued", "issued "] {
            assert_eq!(EventKind::from_word(none), None, "{none:?}");
        }
    }

    #[test]
    fn the_bits_are_those_of_the_contract() {
        let own = [
            ("unrevoked", 0x1_0000),
            ("request-failed", 0x2_0000),
            ("expiring", 0x4_0000),
            ("ca-cert-issued", 0x8_0000),
            ("crl-publication-failed", 0x10_0000),
            ("delivery-parked", 0x20_0000),
            ("heartbeat", 0x40_0000),
            ("restored", 0x80_0000),
        ];
        for (word, bit) in own {
            assert_eq!(EventKind::from_word(word).map(EventKind::bit), Some(bit), "{word}");
        }
    }
}
