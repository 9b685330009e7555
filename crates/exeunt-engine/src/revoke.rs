//! Revoking certificates: what is allowed in which state, row by row as in the original, and the
//! carrying out.

use std::fmt;

use exeunt_store::{AuditEntry, Expected, RevokeChange};
use exeunt_types::{
    Disposition, EventSeq, RequestId, RequestRecord, Revocation, RevocationReason, Serial,
    UnixMillis,
};

use crate::engine::Engine;
use crate::officer::{ATTEMPTS_MAX, audit_entry, refused};
use crate::officer_error::{OfficerError, REVOCABLE};
use crate::policy::Caller;

/// The last moment that a revocation list can write: 9999-12-31T23:59:59Z (RFC 5280, section 5.1.2.6).
const DATE_MAX: UnixMillis = UnixMillis(253_402_300_799_999);

/// Which certificate is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// That with this serial number.
    Serial(Serial),
    /// That of this request.
    Request(RequestId),
}

impl fmt::Display for Which {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial(serial) => write!(out, "serial number {serial}"),
            Self::Request(request) => write!(out, "request number {request}"),
        }
    }
}

/// What shall become of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeOrder {
    /// It counts as revoked.
    Revoke {
        /// Why.
        reason: RevocationReason,
        /// From when on, also in the past or in the future; none means now.
        effective: Option<UnixMillis>,
    },
    /// Its hold ends.
    Release,
    /// Whether it stays in lists after its validity; nothing else changes.
    PublishExpired(bool),
}

/// What became of a certificate; durable when the caller reads this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The request that it came from.
    pub request: RequestId,
    /// Its serial number.
    pub serial: Serial,
    /// State of the request now.
    pub disposition: Disposition,
    /// Its revocation now; after a release one without a reason.
    pub revocation: Option<Revocation>,
    /// The event that tells of it; none where only [`RevokeOrder::PublishExpired`] was set.
    pub event: Option<EventSeq>,
}

impl Engine {
    /// Revokes a certificate, revokes it anew, ends its hold, or says whether it stays in lists.
    ///
    /// # Errors
    ///
    /// [`OfficerError`]; nothing was changed.
    pub fn revoke(
        &self,
        which: Which,
        order: RevokeOrder,
        by: &Caller,
    ) -> Result<Revoked, OfficerError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let row = self.row_of(which)?;
            match self.change(&row, order, by) {
                Err(OfficerError::ChangedMeanwhile(_)) if attempts < ATTEMPTS_MAX => (),
                result => return result,
            }
        }
    }

    /// Changes the row, if it is still as it was read.
    fn change(
        &self,
        row: &RequestRecord,
        order: RevokeOrder,
        by: &Caller,
    ) -> Result<Revoked, OfficerError> {
        let request = row.id;
        by.check_scope(row, &[])?;
        let now = self.clock.now();
        let change = judge((request, row.disposition, row.revocation), order, now)?;
        let serial = row.serial.ok_or(OfficerError::CertificateUnknown(Which::Request(request)))?;
        let audit = audit_entry(now, by, action(change), request, detail(serial, change));
        let audit = with_states(audit, change, (row.disposition, row.revocation), now);
        // The original says so after a release, too.
        let message = format!("Revoked by {}", by.name);
        let result = self.store.revoke(request, Expected::of(row), change, now, message, audit);
        // Also where it failed: whether it was written may not be known then.
        self.ocsp.forget(&serial);
        let event =
            result.map_err(|source| refused(source, REVOCABLE, "changing the revocation"))?;
        let was = (row.disposition, row.revocation);
        let (disposition, revocation) = result_of(change, was, now);
        Ok(Revoked { request, serial, disposition, revocation, event })
    }

    pub(crate) fn row_of(&self, which: Which) -> Result<RequestRecord, OfficerError> {
        let reading = |source| OfficerError::Store { action: "reading the certificate", source };
        let request = match which {
            Which::Request(request) => request,
            Which::Serial(serial) => {
                let found = self.store.certificate(&serial).map_err(reading)?;
                found.ok_or(OfficerError::CertificateUnknown(which))?.request
            }
        };
        let row = self.store.request(request).map_err(reading)?;
        row.ok_or(OfficerError::RequestUnknown(request))
    }
}

/// State and revocation after a change.
pub(crate) fn result_of(
    change: RevokeChange,
    was: (Disposition, Option<Revocation>),
    now: UnixMillis,
) -> (Disposition, Option<Revocation>) {
    match change {
        RevokeChange::Revoke(reason, effective) => {
            let revocation = Revocation { reason: Some(reason), ran: now, effective };
            (Disposition::Revoked, Some(revocation))
        }
        RevokeChange::Release => {
            let released = Revocation { reason: None, ran: now, effective: now };
            (Disposition::Issued, Some(released))
        }
        RevokeChange::PublishExpired(_) => was,
    }
}

/// What the revocation was and is, for the audit trail. Staying in the lists is no revocation.
pub(crate) fn with_states(
    audit: AuditEntry,
    change: RevokeChange,
    was: (Disposition, Option<Revocation>),
    now: UnixMillis,
) -> AuditEntry {
    if matches!(change, RevokeChange::PublishExpired(_)) {
        return audit;
    }
    let state = |(disposition, revocation): (Disposition, Option<Revocation>)| {
        let reason = revocation.filter(|_| disposition == Disposition::Revoked);
        let reason = reason.and_then(|it| it.reason).map(|it| format!(", {}", it.word()));
        Some(format!("{}{}", disposition.word(), reason.unwrap_or_default()))
    };
    audit.change(state(was), state(result_of(change, was, now)))
}

/// Word of the audit trail.
pub(crate) fn action(change: RevokeChange) -> &'static str {
    match change {
        RevokeChange::Revoke(..) => "certificate-revoke",
        RevokeChange::Release => "certificate-release",
        RevokeChange::PublishExpired(_) => "certificate-publish-expired",
    }
}

pub(crate) fn detail(serial: Serial, change: RevokeChange) -> String {
    match change {
        RevokeChange::Revoke(reason, effective) => {
            format!("serial {serial}, {}, effective {}", reason.word(), effective.0)
        }
        RevokeChange::Release => format!("serial {serial}"),
        RevokeChange::PublishExpired(stays) => format!("serial {serial}, {stays}"),
    }
}

/// Whether a revocation counts at that moment. One that counted when it was ordered does so for ever,
/// also where the clock was put back since.
pub(crate) fn counts(revocation: &Revocation, now: UnixMillis) -> bool {
    revocation.effective <= now.max(revocation.ran)
}

/// What a revocation would change, if the state allows it.
pub(crate) fn judge(
    row: (RequestId, Disposition, Option<Revocation>),
    order: RevokeOrder,
    now: UnixMillis,
) -> Result<RevokeChange, OfficerError> {
    let (request, disposition, revocation) = row;
    if !REVOCABLE.contains(&disposition) {
        return Err(OfficerError::WrongState { request, disposition, allowed: REVOCABLE });
    }
    // What a release leaves stays in the row: the disposition says whether it is revoked.
    let present = revocation.filter(|_| disposition == Disposition::Revoked);
    let reason = present.and_then(|it| it.reason);
    let hold = RevocationReason::CertificateHold;
    match order {
        RevokeOrder::Revoke { reason: new, effective } => {
            if new == hold && reason.is_some_and(|it| it != hold) {
                return Err(OfficerError::HoldOfRevoked(request));
            }
            let effective = effective.unwrap_or(now);
            if !(UnixMillis(0)..=DATE_MAX).contains(&effective) {
                return Err(OfficerError::EffectiveDate);
            }
            // A later date would take it off the lists until then: a release, which only a hold has,
            // and which is told.
            let since = present.filter(|it| counts(it, now)).map(|it| it.effective);
            let effective = since.map_or(effective, |it| it.min(effective));
            Ok(RevokeChange::Revoke(new, effective))
        }
        RevokeOrder::Release if reason == Some(hold) => Ok(RevokeChange::Release),
        RevokeOrder::Release => Err(OfficerError::NotOnHold(request)),
        RevokeOrder::PublishExpired(stays) => Ok(RevokeChange::PublishExpired(stays)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RevocationReason as Reason;

    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

    fn revocation(reason: Option<Reason>) -> Revocation {
        Revocation { reason, ran: UnixMillis(1), effective: UnixMillis(1) }
    }

    fn ask(
        disposition: Disposition,
        revocation: impl Into<Option<Revocation>>,
        order: RevokeOrder,
    ) -> Result<RevokeChange, &'static str> {
        judge((RequestId(7), disposition, revocation.into()), order, NOW).map_err(|err| err.code())
    }

    fn revoke(reason: Reason) -> RevokeOrder {
        RevokeOrder::Revoke { reason, effective: None }
    }

    // The rows of MS-CSRA, section 3.1.4.1.8, one test each.

    #[test]
    fn an_issued_certificate_is_revoked_for_any_reason() {
        for reason in Reason::ALL {
            let expected = Ok(RevokeChange::Revoke(reason, NOW));
            assert_eq!(ask(Disposition::Issued, None, revoke(reason)), expected);
            // One that was released is as good as one that was never on hold.
            assert_eq!(ask(Disposition::Issued, revocation(None), revoke(reason)), expected);
        }
    }

    #[test]
    fn a_revoked_certificate_is_revoked_anew_for_any_reason_but_hold() {
        for old in Reason::ALL.into_iter().filter(|it| *it != Reason::CertificateHold) {
            for new in Reason::ALL.into_iter().filter(|it| *it != Reason::CertificateHold) {
                let answer = ask(Disposition::Revoked, revocation(Some(old)), revoke(new));
                assert_eq!(answer, Ok(RevokeChange::Revoke(new, UnixMillis(1))));
            }
        }
    }

    #[test]
    fn a_revoked_certificate_is_not_put_on_hold() {
        for old in Reason::ALL.into_iter().filter(|it| *it != Reason::CertificateHold) {
            let order = revoke(Reason::CertificateHold);
            let answer = ask(Disposition::Revoked, revocation(Some(old)), order);
            assert_eq!(answer, Err("hold-of-revoked"));
        }
    }

    #[test]
    fn a_certificate_on_hold_is_revoked_for_any_reason_hold_among_them() {
        for new in Reason::ALL {
            let held = revocation(Some(Reason::CertificateHold));
            let answer = ask(Disposition::Revoked, held, revoke(new));
            assert_eq!(answer, Ok(RevokeChange::Revoke(new, UnixMillis(1))));
        }
    }

    #[test]
    fn a_revocation_that_counts_is_not_put_off() {
        let at = |offset| UnixMillis(NOW.0 + offset);
        let changed = |ran, effective, to| {
            let present = [Reason::KeyCompromise, Reason::CertificateHold].map(|reason| {
                let present = Revocation { reason: Some(reason), ran, effective };
                let order = RevokeOrder::Revoke { reason: Reason::Superseded, effective: Some(to) };
                ask(Disposition::Revoked, present, order)
            });
            assert_eq!(present[0], present[1]);
            match present[0] {
                Ok(RevokeChange::Revoke(Reason::Superseded, effective)) => effective,
                other => panic!("{other:?}"),
            }
        };
        for to in [at(1), DATE_MAX] {
            assert_eq!(changed(at(-9), at(-9), to), at(-9));
            assert_eq!(changed(at(-9), NOW, to), NOW);
            // The clock was put back since.
            assert_eq!(changed(at(9), at(9), to), at(9).min(to));
            // It did not count yet.
            assert_eq!(changed(at(-9), at(1), to), to);
        }
        assert_eq!(changed(at(-9), at(-9), at(-10)), at(-10), "it may be dated back");
        // What a release left in the row does not count.
        let order = RevokeOrder::Revoke { reason: Reason::Superseded, effective: Some(DATE_MAX) };
        let answer = ask(Disposition::Issued, revocation(None), order);
        assert_eq!(answer, Ok(RevokeChange::Revoke(Reason::Superseded, DATE_MAX)));
    }

    #[test]
    fn a_certificate_on_hold_is_released() {
        let held = revocation(Some(Reason::CertificateHold));
        let answer = ask(Disposition::Revoked, held, RevokeOrder::Release);
        assert_eq!(answer, Ok(RevokeChange::Release));
    }

    #[test]
    fn what_is_not_on_hold_is_not_released() {
        let release =
            |disposition, it: Option<Revocation>| ask(disposition, it, RevokeOrder::Release);
        assert_eq!(release(Disposition::Issued, None), Err("not-on-hold"));
        assert_eq!(release(Disposition::Issued, Some(revocation(None))), Err("not-on-hold"));
        for old in Reason::ALL.into_iter().filter(|it| *it != Reason::CertificateHold) {
            assert_eq!(
                release(Disposition::Revoked, Some(revocation(Some(old)))),
                Err("not-on-hold")
            );
        }
    }

    #[test]
    fn staying_in_lists_is_said_of_issued_and_of_revoked_certificates() {
        for stays in [false, true] {
            let order = RevokeOrder::PublishExpired(stays);
            let expected = Ok(RevokeChange::PublishExpired(stays));
            assert_eq!(ask(Disposition::Issued, None, order), expected);
            let revoked = revocation(Some(Reason::KeyCompromise));
            assert_eq!(ask(Disposition::Revoked, revoked, order), expected);
        }
    }

    #[test]
    fn what_is_neither_issued_nor_revoked_is_left_alone() {
        for disposition in Disposition::ALL.into_iter().filter(|it| !REVOCABLE.contains(it)) {
            for order in [
                revoke(Reason::Unspecified),
                RevokeOrder::Release,
                RevokeOrder::PublishExpired(true),
            ] {
                assert_eq!(ask(disposition, None, order), Err("wrong-state"));
            }
        }
    }

    #[test]
    fn a_revocation_may_count_from_the_past_or_the_future_on_but_not_from_nowhere() {
        let at = |effective| {
            let order =
                RevokeOrder::Revoke { reason: Reason::Superseded, effective: Some(effective) };
            ask(Disposition::Issued, None, order)
        };
        for effective in [UnixMillis(0), UnixMillis(NOW.0 + 1), DATE_MAX] {
            assert_eq!(at(effective), Ok(RevokeChange::Revoke(Reason::Superseded, effective)));
        }
        for effective in [UnixMillis(-1), UnixMillis(DATE_MAX.0 + 1)] {
            assert_eq!(at(effective), Err("revocation-date-invalid"));
        }
    }
}
