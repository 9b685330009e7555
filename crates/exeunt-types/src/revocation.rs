//! Revoking a certificate: reasons, and what a request's row says of it.

use crate::UnixMillis;

/// Why a certificate was revoked: the reason codes of RFC 5280, section 5.3.1, that the original
/// accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RevocationReason {
    /// 0: no reason is given.
    Unspecified,
    /// 1: the subject's private key is, or may be, in other hands.
    KeyCompromise,
    /// 2: the same of a CA's key.
    CaCompromise,
    /// 3: the subject's name or other facts have changed.
    AffiliationChanged,
    /// 4: another certificate takes its place.
    Superseded,
    /// 5: it is no longer needed.
    CessationOfOperation,
    /// 6: on hold; the one reason that can be taken back.
    CertificateHold,
    /// 8: accepted as the original does. In delta lists the same code ends a hold.
    RemoveFromCrl,
}

impl RevocationReason {
    /// All of them, by code.
    pub const ALL: [Self; 8] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::RemoveFromCrl,
    ];

    /// Number in the extension `reasonCode` (RFC 5280, section 5.3.1).
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::CertificateHold => 6,
            Self::RemoveFromCrl => 8,
        }
    }

    /// The reason with that [`Self::code`].
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|it| u32::from(it.code()) == code)
    }

    /// Name for people, for example `key-compromise`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::CaCompromise => "ca-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::CertificateHold => "certificate-hold",
            Self::RemoveFromCrl => "remove-from-crl",
        }
    }

    /// The reason with that [`Self::word`].
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.word() == word)
    }
}

/// What the row of a request says of its certificate's revocation.
///
/// It stays after a release from hold, as in the original: whether the certificate *is* revoked, the
/// disposition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Why; none after a release from hold.
    pub reason: Option<RevocationReason>,
    /// When the command ran: `RevokedWhen`.
    pub ran: UnixMillis,
    /// From when on it counts, perhaps in the future: `RevokedEffectiveWhen`, the `revocationDate` of
    /// revocation lists.
    pub effective: UnixMillis,
}

impl Revocation {
    /// `RevokedReason` after a release from hold.
    pub const RELEASED: u32 = 0xFFFF_FFFF;

    /// The number in `RevokedReason`.
    #[must_use]
    pub fn reason_code(&self) -> u32 {
        self.reason.map_or(Self::RELEASED, |it| u32::from(it.code()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_reads_back_by_code_and_by_word() {
        for reason in RevocationReason::ALL {
            assert_eq!(RevocationReason::from_code(u32::from(reason.code())), Some(reason));
            assert_eq!(RevocationReason::from_word(reason.word()), Some(reason));
        }
        // RFC 5280 leaves 7 unused; 9 and 10 the original does not accept.
        for none in [7, 9, 10, u32::MAX] {
            assert_eq!(RevocationReason::from_code(none), None, "{none}");
        }
        assert_eq!(RevocationReason::from_word("hold"), None);
    }

    #[test]
    fn a_release_from_hold_has_the_originals_number() {
        let released = Revocation { reason: None, ran: UnixMillis(1), effective: UnixMillis(1) };
        assert_eq!(released.reason_code().cast_signed(), -1);
    }
}
