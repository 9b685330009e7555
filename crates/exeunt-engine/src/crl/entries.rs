//! Which revocations stand in a list. Pure; the rules are the original's (MS-CSRA, section
//! 3.1.4.1.6).

use exeunt_types::{CrlKind, RevokedCertificate, UnixMillis};
use exeunt_x509::RevokedEntry;

use crate::revoke::counts;

/// What decides whether a revocation stands in a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct EntryRules {
    pub(super) kind: CrlKind,
    /// When the list is made.
    pub(super) now: UnixMillis,
    /// When the one before it was made; none if it is the first one.
    pub(super) last_publish: Option<UnixMillis>,
}

impl EntryRules {
    /// The entry that tells of a revocation; none if the list is silent about it.
    ///
    /// A certificate that ran out stands in one more list, so that nobody misses that it had been
    /// revoked (RFC 5280, section 3.3).
    pub(super) fn entry(&self, revoked: &RevokedCertificate) -> Option<RevokedEntry> {
        let RevokedCertificate { request: _, serial, revocation, not_after, publish_expired } =
            *revoked;
        let is_release = revocation.reason.is_none();
        if is_release && self.kind == CrlKind::Base || !counts(&revocation, self.now) {
            return None;
        }
        // The last second of validity counts whole.
        let ran_out = not_after.filter(|it| it.plus(LAST_SECOND) < self.now);
        let was_told = ran_out.is_some_and(|at| self.last_publish.is_some_and(|last| at < last));
        if was_told && !publish_expired {
            return None;
        }
        let revoked = revocation.effective.unix_seconds();
        Some(RevokedEntry { serial, revoked, reason: revocation.reason, invalid_since: None })
    }
}

/// What is left of the second that `notAfter` names (RFC 5280, section 4.1.2.5).
const LAST_SECOND: std::time::Duration = std::time::Duration::from_millis(999);

#[cfg(test)]
mod tests {
    use exeunt_types::{RequestId, Revocation, RevocationReason as Reason, Serial};

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_790_000_000_500);
    const LAST: UnixMillis = UnixMillis(1_789_000_000_000);

    fn rules(kind: CrlKind) -> EntryRules {
        EntryRules { kind, now: NOW, last_publish: Some(LAST) }
    }

    fn revoked(reason: Option<Reason>) -> RevokedCertificate {
        let at = UnixMillis(1_789_500_000_000);
        RevokedCertificate {
            request: RequestId(7),
            serial: Serial::from_random([7; 16]),
            revocation: Revocation { reason, ran: at, effective: at },
            not_after: Some(UnixMillis(1_800_000_000_000)),
            publish_expired: false,
        }
    }

    #[test]
    fn a_revoked_certificate_stands_in_both_lists_with_date_and_reason() {
        for kind in [CrlKind::Base, CrlKind::Delta] {
            for reason in Reason::ALL {
                let entry = rules(kind).entry(&revoked(Some(reason))).unwrap();
                assert_eq!(entry.serial, Serial::from_random([7; 16]));
                assert_eq!(entry.revoked, 1_789_500_000);
                assert_eq!(entry.reason, Some(reason));
                assert_eq!(entry.invalid_since, None);
            }
        }
    }

    #[test]
    fn a_release_stands_in_a_delta_and_not_in_a_base() {
        assert_eq!(rules(CrlKind::Base).entry(&revoked(None)), None);
        assert_eq!(rules(CrlKind::Delta).entry(&revoked(None)).unwrap().reason, None);
    }

    #[test]
    fn a_revocation_that_lies_ahead_waits_for_its_day() {
        for (effective, stands) in [(NOW.0 - 1, true), (NOW.0, true), (NOW.0 + 1, false)] {
            let mut ahead = revoked(Some(Reason::Superseded));
            ahead.revocation.effective = UnixMillis(effective);
            for kind in [CrlKind::Base, CrlKind::Delta] {
                assert_eq!(rules(kind).entry(&ahead).is_some(), stands, "{effective}");
            }
        }
    }

    #[test]
    fn a_revocation_that_counted_at_once_does_so_where_the_clock_went_back() {
        let ahead = UnixMillis(NOW.0 + 60_000);
        for (ran, stands) in [(ahead, true), (UnixMillis(NOW.0 + 1), false)] {
            let mut revoked = revoked(Some(Reason::KeyCompromise));
            revoked.revocation = Revocation { ran, effective: ahead, ..revoked.revocation };
            for kind in [CrlKind::Base, CrlKind::Delta] {
                assert_eq!(rules(kind).entry(&revoked).is_some(), stands, "{ran:?}");
            }
        }
    }

    #[test]
    fn an_expired_certificate_leaves_after_one_more_list() {
        let stands = |not_after, publish_expired| {
            let mut expired = revoked(Some(Reason::KeyCompromise));
            expired.not_after = Some(UnixMillis(not_after));
            expired.publish_expired = publish_expired;
            rules(CrlKind::Base).entry(&expired).is_some()
        };
        // It ran out since the last list: this is the one more.
        assert!(stands(LAST.0, false));
        assert!(stands(LAST.0 + 1_000, false));
        // It had run out when the last one was made.
        assert!(!stands(LAST.0 - 1_000, false));
        assert!(stands(LAST.0 - 1_000, true));
        // It is in its last second.
        assert!(stands(1_790_000_000_000, false));
    }

    #[test]
    fn the_first_list_names_expired_certificates_too() {
        let mut expired = revoked(Some(Reason::KeyCompromise));
        expired.not_after = Some(UnixMillis(1_000));
        let first = EntryRules { last_publish: None, ..rules(CrlKind::Base) };
        assert!(first.entry(&expired).is_some());
        assert!(rules(CrlKind::Base).entry(&expired).is_none());
    }

    #[test]
    fn a_serial_whose_certificate_nobody_has_never_leaves() {
        let mut abandoned = revoked(Some(Reason::Unspecified));
        abandoned.not_after = None;
        assert!(rules(CrlKind::Base).entry(&abandoned).is_some());
    }
}
