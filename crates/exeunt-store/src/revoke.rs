//! Changing what the row of a request says of its certificate's revocation.

use exeunt_types::{
    Disposition, EventKind, EventSeq, RequestId, RequestRecord, Revocation, RevocationReason,
    UnixMillis,
};

use crate::audit::{AuditEntry, write_entry};
use crate::current::Current;
use crate::row::sql_int;
use crate::writer::Tx;
use crate::{Pending, Store, StoreError};

/// A change of a revocation. Which state allows which, the engine knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeChange {
    /// Revokes it, or revokes it again: why, and from when on it counts.
    Revoke(RevocationReason, UnixMillis),
    /// Takes a revocation back. What is kept of it says so: no reason, and both times that of the
    /// release.
    Release,
    /// Whether it stays in revocation lists after its validity; tells nobody.
    PublishExpired(bool),
}

/// What the caller read of a request before it decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its state.
    pub disposition: Disposition,
    /// The revocation of its certificate.
    pub revocation: Option<Revocation>,
}

impl Expected {
    /// That of a row.
    #[must_use]
    pub fn of(record: &RequestRecord) -> Self {
        Self { disposition: record.disposition, revocation: record.revocation }
    }
}

impl Store {
    /// Changes the revocation of a request's certificate: the row, the event and the audit entry in
    /// one commit. There is no event of [`RevokeChange::PublishExpired`], which leaves the message
    /// as it is, too.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRequest`]; [`StoreError::ChangedMeanwhile`] when the request is not as
    /// `expected`; [`StoreError::WrongState`] when there is no certificate to revoke, or no
    /// revocation to take back. Nothing was written.
    pub fn revoke(
        &self,
        request: RequestId,
        expected: Expected,
        change: RevokeChange,
        at: UnixMillis,
        message: String,
        by: AuditEntry,
    ) -> Result<Option<EventSeq>, StoreError> {
        self.start_revoke(request, expected, change, at, message, by)?.wait()
    }

    /// [`Store::revoke`] without the waiting, for callers with several certificates in hand.
    ///
    /// # Errors
    ///
    /// The write was not even queued; the others come from [`Pending::wait`].
    pub fn start_revoke(
        &self,
        request: RequestId,
        expected: Expected,
        change: RevokeChange,
        at: UnixMillis,
        message: String,
        by: AuditEntry,
    ) -> Result<Pending<Option<EventSeq>>, StoreError> {
        self.start_write(move |tx| {
            let current = Current::read(tx, request)?;
            let Current { disposition, revocation, .. } = current;
            if expected != (Expected { disposition, revocation }) {
                return Err(StoreError::ChangedMeanwhile(request));
            }
            let seq = match change {
                RevokeChange::Revoke(reason, effective) => {
                    let revocation = Revocation { reason: Some(reason), ran: at, effective };
                    Some(set(tx, current, Disposition::Revoked, revocation, &message)?)
                }
                RevokeChange::Release => {
                    let revocation = Revocation { reason: None, ran: at, effective: at };
                    Some(set(tx, current, Disposition::Issued, revocation, &message)?)
                }
                RevokeChange::PublishExpired(stays) => {
                    publish_expired(tx, request, stays)?;
                    None
                }
            };
            write_entry(tx, &by)?;
            Ok(seq)
        })
    }
}

/// The new revocation, the new state, the event.
fn set(
    tx: &mut Tx<'_>,
    mut current: Current,
    to: Disposition,
    revocation: Revocation,
    message: &str,
) -> Result<EventSeq, StoreError> {
    let request = sql_int(current.request.0);
    let was = current.disposition;
    current.disposition = to;
    message.clone_into(&mut current.message);
    current.revocation = Some(revocation);
    let is_revoked = to == Disposition::Revoked;
    let kind = if is_revoked { EventKind::CERT_REVOKED } else { EventKind::CERT_UNREVOKED };
    let seq = tx.append(kind, revocation.ran, Some(current.about()), None)?;
    let Revocation { ran, effective, reason: _ } = revocation;
    let times = (request, ran.0, effective.0, revocation.reason_code(), sql_int(seq.0));
    let changed = if is_revoked {
        tx.execute(
            "revoking a certificate",
            "INSERT INTO revocation (request, ran, effective, reason, event, revoked, not_after,
                                     ca_key, crl_partition, serial)
             SELECT request, ?2, ?3, ?4, ?5, 1, not_after, ca_key, crl_partition, serial
             FROM certificate WHERE request = ?1
             ON CONFLICT (request) DO UPDATE SET
                 ran = excluded.ran, effective = excluded.effective, reason = excluded.reason,
                 event = excluded.event, revoked = 1",
            times,
        )?
    } else {
        tx.execute(
            "releasing a certificate",
            "UPDATE revocation SET ran = ?2, effective = ?3, reason = ?4, event = ?5, revoked = 0
             WHERE request = ?1 AND revoked = 1",
            times,
        )?
    };
    if changed != 1 {
        return Err(StoreError::WrongState { request: current.request, disposition: was });
    }
    tx.execute(
        "revoking a certificate",
        "UPDATE request SET disposition = ?2, message = ?3 WHERE id = ?1",
        (request, to.code(), message),
    )?;
    tx.count_move(Some(was), to);
    Ok(seq)
}

fn publish_expired(tx: &Tx<'_>, request: RequestId, stays: bool) -> Result<(), StoreError> {
    tx.execute(
        "keeping an expired certificate in the lists",
        "INSERT INTO request_extra (request, publish_expired) VALUES (?1, ?2)
         ON CONFLICT (request) DO UPDATE SET publish_expired = excluded.publish_expired",
        (sql_int(request.0), stays),
    )?;
    if stays {
        // Its list is made for ever, then.
        tx.execute(
            "keeping an expired certificate in the lists",
            "UPDATE crl_partition SET not_after = ?2
             WHERE (ca_key, crl_partition) =
                   (SELECT ca_key, crl_partition FROM certificate WHERE request = ?1)",
            (sql_int(request.0), i64::MAX),
        )?;
    }
    Ok(())
}
