//! Resubmission: steps 0, 3 and 5 of the journey for a request that has a row already.

use exeunt_types::{Disposition, EventSeq, NewIntent, RequestId, Resolution, UnixMillis};

use crate::current::Current;
use crate::journey::{end, resolved, write_intent};
use crate::row::sql_int;
use crate::writer::Tx;
use crate::{Pending, Store, StoreError};

impl Store {
    /// Steps 0 and 3 for a request that is in one of the states `from`: it is processed again, under
    /// `template`, and this is about to be signed. [`Store::record`] and [`Store::abandon`] go on as
    /// for a new one, but what is abandoned is again what it was before.
    ///
    /// While it is active, its status, message and end of processing are still those it had.
    ///
    /// # Errors
    ///
    /// The write was not even queued. From [`Pending::wait`] come [`StoreError::NoRequest`],
    /// [`StoreError::WrongState`], and [`StoreError::DuplicateSerial`] as from
    /// [`Store::admit_intend`]; nothing was written then.
    pub fn start_resume_intend(
        &self,
        request: RequestId,
        from: &'static [Disposition],
        template: String,
        intent: NewIntent,
    ) -> Result<Pending<()>, StoreError> {
        self.start_write(move |tx| {
            let was = Current::read_in(tx, request, from)?;
            write_intent(tx, request, &intent, Some((was.disposition, &was.template)))?;
            tx.execute(
                "resuming a request",
                "UPDATE request SET disposition = ?2, template = ?3 WHERE id = ?1",
                (sql_int(request.0), Disposition::Active.code(), &template),
            )?;
            tx.count_move(Some(was.disposition), Disposition::Active);
            Ok(())
        })
    }

    /// A request that is in one of the states `from` was processed again, under `template`, and gets
    /// no certificate now: its new state, and the event.
    ///
    /// # Errors
    ///
    /// The write was not even queued. From [`Pending::wait`] come [`StoreError::NoRequest`] and
    /// [`StoreError::WrongState`]; nothing was written then.
    pub fn start_resume_resolve(
        &self,
        request: RequestId,
        from: &'static [Disposition],
        template: String,
        resolution: Resolution,
        at: UnixMillis,
    ) -> Result<Pending<EventSeq>, StoreError> {
        self.start_write(move |tx| {
            let was = Current::read_in(tx, request, from)?;
            let (kind, state) = resolved(&resolution);
            note(tx, request, &template, state.0)?;
            end(tx, request, was.disposition, kind, state, at)
        })
    }
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
