//! Resubmission: steps 0, 3 and 5 of the journey for a request that has a row already.

use exeunt_types::{
    Approval, Disposition, EventSeq, NewIntent, OfficerExtension, RequestId, RequestRecord,
    Resolution, UnixMillis,
};

use crate::along::{Along, approvals, forget_approvals};
use crate::audit::{AuditEntry, outcome, write_entry};
use crate::current::Current;
use crate::journey::{end, resolved, write_intent};
use crate::officer::Amended;
use crate::row::sql_int;
use crate::writer::Tx;
use crate::{Pending, Store, StoreError};

/// What the caller read of a request before it decided upon it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsRead {
    /// Its state.
    pub disposition: Disposition,
    /// Its attributes.
    pub attributes: Vec<(String, String)>,
    /// What officers set.
    pub extensions: Vec<OfficerExtension>,
    /// Who has approved it.
    pub approvals: Vec<Approval>,
}

impl AsRead {
    /// That of a row, and of its approvals, which were read first.
    #[must_use]
    pub fn of(record: &RequestRecord, approvals: Vec<Approval>) -> Self {
        Self {
            disposition: record.disposition,
            attributes: record.request.attributes.clone(),
            extensions: record.officer_extensions.clone(),
            approvals,
        }
    }
}

impl Store {
    /// Steps 0 and 3 for a request that is still as it was read: it is processed again, under
    /// `template`, and this is about to be signed. [`Store::record`] and [`Store::abandon`] go on as
    /// for a new one, but what is abandoned is again what it was before.
    ///
    /// While it is active, its status, message and end of processing are still those it had. The
    /// audit entry is in the same commit.
    ///
    /// # Errors
    ///
    /// The write was not even queued. From [`Pending::wait`] come [`StoreError::NoRequest`],
    /// [`StoreError::WrongState`] when its state is another, [`StoreError::ChangedMeanwhile`] when
    /// an officer has amended or approved it, [`StoreError::RateLimited`], and
    /// [`StoreError::DuplicateSerial`] as from
    /// [`Store::admit_intend`]; nothing was written then.
    pub fn start_resume_intend(
        &self,
        request: RequestId,
        from: AsRead,
        template: String,
        intent: NewIntent,
        by: AuditEntry,
        along: Along,
    ) -> Result<Pending<()>, StoreError> {
        self.start_write(move |tx| {
            let was = take_up(tx, request, &from, &template)?;
            write_intent(tx, request, &intent, Some((was.disposition, &was.template)))?;
            tx.execute(
                "resuming a request",
                "UPDATE request SET disposition = ?2, template = ?3 WHERE id = ?1",
                (sql_int(request.0), Disposition::Active.code(), &template),
            )?;
            tx.count_move(Some(was.disposition), Disposition::Active);
            along.write(tx, request)?;
            write_entry(tx, &by)?;
            Ok(())
        })
    }

    /// A request that is still as it was read was processed again, under `template`, and gets no
    /// certificate now: its new state, the event and the audit entry.
    ///
    /// # Errors
    ///
    /// The write was not even queued. From [`Pending::wait`] come [`StoreError::NoRequest`],
    /// [`StoreError::WrongState`] and [`StoreError::ChangedMeanwhile`] as from
    /// [`Store::start_resume_intend`]; nothing was written then.
    pub fn start_resume_resolve(
        &self,
        request: RequestId,
        from: AsRead,
        template: String,
        (resolution, at): (Resolution, UnixMillis),
        by: AuditEntry,
        along: Along,
    ) -> Result<Pending<EventSeq>, StoreError> {
        self.start_write(move |tx| {
            let was = take_up(tx, request, &from, &template)?;
            let (kind, state) = resolved(&resolution);
            note(tx, request, &template, state.0)?;
            along.write(tx, request)?;
            if state.0 != Disposition::Pending {
                forget_approvals(tx, request)?;
            }
            let seq = end(tx, request, was.disposition, kind, state, at)?;
            write_entry(tx, &by)?;
            outcome::write_resolved(tx, request, Some(was.disposition), state, at)?;
            Ok(seq)
        })
    }
}

/// What the request was, if that is what the caller has decided upon. Where the template becomes
/// another, it is noted under which one the events of before were told.
fn take_up(
    tx: &Tx<'_>,
    request: RequestId,
    from: &AsRead,
    template: &str,
) -> Result<Current, StoreError> {
    let was = Current::read_in(tx, request, &[from.disposition])?;
    let amended = Amended::read(tx, request)?;
    if approvals(tx.conn(), request)? != from.approvals {
        return Err(StoreError::ChangedMeanwhile(request));
    }
    if amended.attributes != from.attributes || amended.extensions != from.extensions {
        return Err(StoreError::ChangedMeanwhile(request));
    }
    if was.template != template {
        tx.execute(
            "amending a request",
            "INSERT OR IGNORE INTO amendment (request, after, attributes, extensions, template)
             SELECT id, 0, attributes, '', template FROM request WHERE id = ?1",
            [sql_int(request.0)],
        )?;
        Amended { template: template.to_owned(), ..amended }.write(tx, request)?;
    }
    Ok(was)
}

/// What a resolution changes beyond the state: the template, and that the request waited once.
fn note(
    tx: &Tx<'_>,
    request: RequestId,
    template: &str,
    disposition: Disposition,
) -> Result<(), StoreError> {
    tx.execute(
        "resuming a request",
        "UPDATE request SET template = ?2, pended = max(pended, ?3) WHERE id = ?1",
        (sql_int(request.0), template, disposition == Disposition::Pending),
    )?;
    Ok(())
}
