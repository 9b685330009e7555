//! Revoking and releasing many certificates: each with its own judgement, event and audit entry, and
//! with the waiting for the disk shared.

use exeunt_store::{Expected, Pending, RevokeChange};
use exeunt_types::{
    Disposition, EventSeq, RequestId, RequestRecord, Revocation, RevocationReason, Serial,
    UnixMillis,
};

use crate::engine::Engine;
use crate::officer::{audit_entry, refused};
use crate::officer_error::{OfficerError, REVOCABLE};
use crate::policy::Caller;
use crate::revoke::{
    RevokeOrder, Revoked, Which, action, counts, detail, judge, result_of, with_states,
};

/// What became of one of many certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BulkOutcome {
    /// It was changed; durable when the caller reads this.
    Changed(Revoked),
    /// It is so already: revoked for good before, or not on hold any more. Nothing was changed and
    /// nobody is told.
    Already {
        /// The request that it came from.
        request: RequestId,
        /// Its serial number.
        serial: Serial,
    },
}

/// A change that is on its way to the disk.
struct Changing {
    which: Which,
    request: RequestId,
    serial: Serial,
    was: (Disposition, Option<Revocation>),
    change: RevokeChange,
    at: UnixMillis,
    pending: Pending<Option<EventSeq>>,
}

enum Begun {
    Changing(Box<Changing>),
    Already(RequestId, Serial),
}

impl Engine {
    /// Carries one order out for several certificates, with the outcomes in their order.
    ///
    /// Unlike [`Engine::revoke`] it leaves alone what is so already, so that an order which was cut off
    /// in the middle can be given again: to revoke passes over what is revoked for good, to put on hold
    /// over what is on hold, to release over what is issued. A revocation that would come to count later
    /// than the one that is ordered is not so already: it is brought forward.
    pub fn revoke_all(
        &self,
        certificates: &[Which],
        order: RevokeOrder,
        by: &Caller,
    ) -> Vec<Result<BulkOutcome, OfficerError>> {
        let begun: Vec<_> =
            certificates.iter().map(|which| self.begin_change(*which, order, by)).collect();
        begun.into_iter().map(|it| self.finish_change(it?, order, by)).collect()
    }

    fn begin_change(
        &self,
        which: Which,
        order: RevokeOrder,
        by: &Caller,
    ) -> Result<Begun, OfficerError> {
        let row = self.row_of(which)?;
        by.check_scope(&row, &[])?;
        let (request, was) = (row.id, (row.disposition, row.revocation));
        let unknown = || OfficerError::CertificateUnknown(which);
        let at = self.clock.now();
        if is_so(&row, order, at) {
            return Ok(Begun::Already(request, row.serial.ok_or_else(unknown)?));
        }
        let change = judge((request, row.disposition, row.revocation), order, at)?;
        let serial = row.serial.ok_or_else(unknown)?;
        let audit = audit_entry(at, by, action(change), request, detail(serial, change));
        let audit = with_states(audit, change, (row.disposition, row.revocation), at);
        let message = format!("Revoked by {}", by.name);
        let pending = self
            .store
            .start_revoke(request, Expected::of(&row), change, at, message, audit)
            .map_err(|source| refused(source, REVOCABLE, "changing the revocation"))?;
        let changing = Changing { which, request, serial, was, change, at, pending };
        Ok(Begun::Changing(Box::new(changing)))
    }

    fn finish_change(
        &self,
        begun: Begun,
        order: RevokeOrder,
        by: &Caller,
    ) -> Result<BulkOutcome, OfficerError> {
        let changing = match begun {
            Begun::Already(request, serial) => return Ok(BulkOutcome::Already { request, serial }),
            Begun::Changing(changing) => *changing,
        };
        let Changing { which, request, serial, was, change, at, pending } = changing;
        let result = pending.wait();
        // Also where it failed: whether it was written may not be known then.
        self.ocsp.forget(&serial);
        match result.map_err(|source| refused(source, REVOCABLE, "changing the revocation")) {
            Ok(event) => {
                let (disposition, revocation) = result_of(change, was, at);
                let revoked = Revoked { request, serial, disposition, revocation, event };
                Ok(BulkOutcome::Changed(revoked))
            }
            // The same certificate twice in one order, or another officer.
            Err(OfficerError::ChangedMeanwhile(_)) => {
                let row = self.row_of(which)?;
                if is_so(&row, order, self.clock.now()) {
                    return Ok(BulkOutcome::Already { request, serial });
                }
                self.revoke(which, order, by).map(BulkOutcome::Changed)
            }
            Err(err) => Err(err),
        }
    }
}

/// Whether the order finds nothing to do.
fn is_so(row: &RequestRecord, order: RevokeOrder, now: UnixMillis) -> bool {
    let hold = RevocationReason::CertificateHold;
    let present = row.revocation.filter(|_| row.disposition == Disposition::Revoked);
    let on_hold = present.is_some_and(|it| it.reason == Some(hold));
    match order {
        RevokeOrder::Revoke { reason, effective } => {
            let wanted = effective.unwrap_or(now);
            let in_time = present.is_some_and(|it| counts(&it, now) || it.effective <= wanted);
            in_time && on_hold == (reason == hold)
        }
        RevokeOrder::Release => row.disposition == Disposition::Issued,
        RevokeOrder::PublishExpired(stays) => row.publish_expired == stays,
    }
}
