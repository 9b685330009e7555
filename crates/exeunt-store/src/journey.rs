//! Steps 0, 3 and 5 of the journey, what happens when it ends early, and recovery.

use exeunt_types::{
    Disposition, EventKind, EventSeq, Intent, NewCertificate, NewIntent, NewRequest, RequestFlags,
    RequestId, Resolution, StatusCode, UnixMillis,
};
use rusqlite::Row;

use crate::along::{Along, forget_old_uses, give_back};
use crate::audit::outcome;
use crate::reader::{corrupt, rows};
use crate::row::{Why, encode_attributes, read, read_code, read_id, read_serial, sql_int};
use crate::writer::{About, Tx};
use crate::{Pending, Store, StoreError, idempotency};

/// What a request's message says after its certificate was recorded; the original's word.
const ISSUED: &str = "Issued";
/// What a request's message says when recovery ended it.
const INTERRUPTED: &str = "the server stopped while the certificate was being made";

/// Columns as [`read_leftover`] expects them.
const INTENTS: &str = "SELECT request, serial, tbs, not_after, ca_key, was, was_template,
            crl_partition
     FROM intent ORDER BY request";
const INTENT: &str = "SELECT request, serial, tbs, not_after, ca_key, was, was_template,
            crl_partition
     FROM intent WHERE request = ?1";

impl Store {
    /// Steps 0 and 3 in one commit: the request, being processed, and what is about to be signed.
    ///
    /// # Errors
    ///
    /// [`StoreError::DuplicateSerial`] when the serial was ever given out before; draw another. All
    /// others: nothing was written.
    pub fn admit_intend(
        &self,
        request: NewRequest,
        intent: NewIntent,
    ) -> Result<RequestId, StoreError> {
        self.start_admit_intend(request, intent)?.wait()
    }

    /// [`Store::admit_intend`] without the waiting, for callers with several requests in hand.
    ///
    /// # Errors
    ///
    /// The write was not even queued; the others come from [`Pending::wait`].
    pub fn start_admit_intend(
        &self,
        request: NewRequest,
        intent: NewIntent,
    ) -> Result<Pending<RequestId>, StoreError> {
        self.start_admit_intend_along(request, intent, Along::default())
    }

    /// [`Store::start_admit_intend`] with what goes along.
    ///
    /// # Errors
    ///
    /// As [`Store::start_admit_intend`]; [`StoreError::RateLimited`] from [`Pending::wait`].
    pub fn start_admit_intend_along(
        &self,
        request: NewRequest,
        intent: NewIntent,
        along: Along,
    ) -> Result<Pending<RequestId>, StoreError> {
        let attributes = encode_attributes(&request.attributes);
        self.start_write(move |tx| {
            let state = (Disposition::Active, StatusCode::OK, "");
            let id = insert_request(tx, &request, &attributes, state, None)?;
            write_intent(tx, id, &intent, None)?;
            along.write(tx, id)?;
            Ok(id)
        })
    }

    /// Step 0 for a request that gets no certificate now: the request in its state, and the event.
    ///
    /// # Errors
    ///
    /// Nothing was written.
    pub fn admit_resolve(
        &self,
        request: NewRequest,
        resolution: Resolution,
    ) -> Result<RequestId, StoreError> {
        self.start_admit_resolve(request, resolution)?.wait()
    }

    /// [`Store::admit_resolve`] without the waiting, for callers with several requests in hand.
    ///
    /// # Errors
    ///
    /// The write was not even queued; the others come from [`Pending::wait`].
    pub fn start_admit_resolve(
        &self,
        request: NewRequest,
        resolution: Resolution,
    ) -> Result<Pending<RequestId>, StoreError> {
        self.start_admit_resolve_along(request, resolution, Along::default())
    }

    /// [`Store::start_admit_resolve`] with what goes along.
    ///
    /// # Errors
    ///
    /// As [`Store::start_admit_resolve`].
    pub fn start_admit_resolve_along(
        &self,
        request: NewRequest,
        resolution: Resolution,
        along: Along,
    ) -> Result<Pending<RequestId>, StoreError> {
        let attributes = encode_attributes(&request.attributes);
        let at = request.submitted;
        self.start_write(move |tx| {
            let (kind, state) = resolved(&resolution);
            let (disposition, status, message) = state;
            let id = insert_request(tx, &request, &attributes, state, ended(disposition, at))?;
            along.write(tx, id)?;
            let about = About { request: id, disposition, status, message, revocation: None };
            tx.append(kind, at, Some(about), None)?;
            outcome::write_resolved(tx, id, None, state, at)?;
            Ok(id)
        })
    }

    /// Step 5: the certificate, the request's new state and the event in one commit. When this
    /// returns they are durable, and the certificate may be shown.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoIntent`] when the request has no intent with this serial. After any other
    /// error the intent is still there; the certificate must not be shown.
    pub fn record(
        &self,
        request: RequestId,
        certificate: NewCertificate,
        at: UnixMillis,
    ) -> Result<EventSeq, StoreError> {
        self.start_record(request, certificate, at)?.wait()
    }

    /// [`Store::record`] without the waiting, for callers with several certificates in hand.
    ///
    /// # Errors
    ///
    /// The write was not even queued; the others come from [`Pending::wait`].
    pub fn start_record(
        &self,
        request: RequestId,
        certificate: NewCertificate,
        at: UnixMillis,
    ) -> Result<Pending<EventSeq>, StoreError> {
        let key = certificate.key.name();
        // Not on the thread that everybody waits for.
        let mut proof =
            outcome::is_written(self.trail_filter()).then(|| outcome::proof(&certificate));
        self.start_write(move |tx| {
            let serial = certificate.serial.as_be_bytes();
            let taken = tx.query_one(
                "taking an intent",
                "DELETE FROM intent WHERE request = ?1 AND serial = ?2 RETURNING was",
                (sql_int(request.0), serial),
                |row| row.get::<_, Option<i32>>(0),
            )?;
            let was = taken.ok_or(StoreError::NoIntent(request))?;
            let state = (Disposition::Issued, StatusCode::OK, ISSUED);
            let seq = end(tx, request, Disposition::Active, EventKind::CERT_ISSUED, state, at)?;
            insert_certificate(tx, request, &certificate, &key, (seq, at))?;
            let was = was.and_then(Disposition::from_code);
            let proof = || proof.get_or_insert_with(|| outcome::proof(&certificate)).clone();
            outcome::write_issued(tx, request, was, proof, at)?;
            Ok(seq)
        })
    }

    /// Gives up an intent: its serial counts as revoked from now on. A new request has failed, which
    /// is an event; one that was processed again is what it was before, which is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoIntent`] when there is none. After any other error it is still there, and
    /// recovery will give it up at the next start.
    pub fn abandon(
        &self,
        request: RequestId,
        status: StatusCode,
        message: &str,
        at: UnixMillis,
    ) -> Result<Option<EventSeq>, StoreError> {
        let message = message.to_owned();
        self.write(move |tx| {
            let found = tx.query_one("reading an intent", INTENT, [sql_int(request.0)], |row| {
                Ok(read_leftover(row))
            })?;
            let leftover = found
                .ok_or(StoreError::NoIntent(request))?
                .map_err(corrupt(format!("intent of request {request}")))?;
            give_up(tx, &leftover, (Disposition::Error, status, &message), at)
        })
    }

    /// Ends what an earlier run left unfinished: abandons every intent and fails every active
    /// request that has none. Called once at the start, before anything is admitted. Returns the
    /// intents, oldest first.
    ///
    /// A request that was processed again is put back into the state that it had, without an event.
    ///
    /// # Errors
    ///
    /// Nothing was changed; the server must not start.
    pub fn recover(&self, at: UnixMillis) -> Result<Vec<Intent>, StoreError> {
        self.write(move |tx| {
            let state = (Disposition::Error, StatusCode::SERVER_SUSPENDED, INTERRUPTED);
            let leftovers = leftovers(tx)?;
            forget_old_uses(tx, at)?;
            for leftover in &leftovers {
                give_up(tx, leftover, state, at)?;
            }
            for request in active_without_intent(tx, leftovers.len())? {
                tracing::warn!(%request, "request was active without an intent");
                idempotency::forget(tx, request)?;
                end(tx, request, Disposition::Active, EventKind::REQUEST_FAILED, state, at)?;
                outcome::write_resolved(tx, request, None, state, at)?;
            }
            Ok(leftovers.into_iter().map(|it| it.intent).collect())
        })
    }
}

/// A state as the writer stores it: disposition, status, message.
pub(crate) type State<'a> = (Disposition, StatusCode, &'a str);

/// The event that tells of a resolution, and the request's state after it.
pub(crate) fn resolved(resolution: &Resolution) -> (EventKind, State<'_>) {
    match resolution {
        Resolution::Pend { message } => {
            (EventKind::CERT_PENDING, (Disposition::Pending, StatusCode::OK, message))
        }
        Resolution::Deny { status, message } => {
            (EventKind::CERT_DENIED, (Disposition::Denied, *status, message))
        }
        Resolution::Fail { status, message } => {
            (EventKind::REQUEST_FAILED, (Disposition::Error, *status, message))
        }
    }
}

/// The end of processing, where the state is one.
fn ended(disposition: Disposition, at: UnixMillis) -> Option<UnixMillis> {
    (!matches!(disposition, Disposition::Active | Disposition::Pending)).then_some(at)
}

/// A certificate's row. `key` is the name of its key's algorithm; the event is the one that tells of it.
pub(crate) fn insert_certificate(
    tx: &Tx<'_>,
    request: RequestId,
    certificate: &NewCertificate,
    key: &str,
    (event, at): (EventSeq, UnixMillis),
) -> Result<(), StoreError> {
    tx.execute(
        "recording a certificate",
        "INSERT INTO certificate (request, event, issued, not_before, not_after, serial,
                                  key, subject, sans, raw, ca_key, crl_partition)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        (
            sql_int(request.0),
            sql_int(event.0),
            at.0,
            certificate.not_before.0,
            certificate.not_after.0,
            certificate.serial.as_be_bytes(),
            key,
            &certificate.subject,
            &certificate.subject_alternative_names,
            &certificate.raw,
            certificate.ca_key,
            certificate.crl_partition,
        ),
    )?;
    Ok(())
}

pub(crate) fn insert_request(
    tx: &mut Tx<'_>,
    request: &NewRequest,
    attributes: &str,
    (disposition, status, message): State<'_>,
    resolved: Option<UnixMillis>,
) -> Result<RequestId, StoreError> {
    tx.execute(
        "writing a request",
        "INSERT INTO request (disposition, status, resolved, submitted, request_type, message,
                              requester, caller, template, subject, attributes, raw, pended)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        (
            disposition.code(),
            status.0,
            resolved.map(|it| it.0),
            request.submitted.0,
            request.request_type.code(),
            message,
            &request.requester,
            &request.caller,
            &request.template,
            &request.subject,
            attributes,
            &request.raw,
            disposition == Disposition::Pending,
        ),
    )?;
    tx.count_move(None, disposition);
    let id = RequestId(tx.last_id());
    // Few have any of it, and the others must not pay for it.
    if request.flags != RequestFlags::default() || request.old_certificate.is_some() {
        tx.execute(
            "writing a request",
            "INSERT INTO request_extra (request, flags, old_certificate) VALUES (?1, ?2, ?3)",
            (sql_int(id.0), request.flags.0, &request.old_certificate),
        )?;
    }
    Ok(id)
}

/// Notes what is about to be signed, and that its serial is given out, for ever. `was` is what a
/// request that is processed again was before: its disposition and template.
pub(crate) fn write_intent(
    tx: &Tx<'_>,
    request: RequestId,
    intent: &NewIntent,
    was: Option<(Disposition, &str)>,
) -> Result<(), StoreError> {
    let serial = intent.serial.as_be_bytes();
    let inserted = tx.execute(
        "reserving a serial number",
        "INSERT INTO serial (serial, request) VALUES (?1, ?2) ON CONFLICT (serial) DO NOTHING",
        (serial, sql_int(request.0)),
    )?;
    if inserted != 1 {
        return Err(StoreError::DuplicateSerial(intent.serial));
    }
    tx.execute(
        "writing an intent",
        "INSERT INTO intent (request, serial, tbs, not_after, ca_key, was, was_template, crl_partition)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        (
            sql_int(request.0),
            serial,
            &intent.tbs,
            intent.not_after.0,
            intent.ca_key,
            was.map(|(disposition, _)| disposition.code()),
            was.map(|(_, template)| template),
            intent.crl_partition,
        ),
    )?;
    if intent.crl_partition == 0 {
        return Ok(());
    }
    // Its list is made until the last certificate of the part has run out.
    tx.execute(
        "noting the part of a revocation list",
        "INSERT INTO crl_partition (ca_key, crl_partition, not_after) VALUES (?1, ?2, ?3)
         ON CONFLICT (ca_key, crl_partition) DO UPDATE SET not_after = excluded.not_after
             WHERE not_after < excluded.not_after",
        (intent.ca_key, intent.crl_partition, intent.not_after.0),
    )?;
    Ok(())
}

/// Brings a request that is in the state `from` into another, with its event. It has no revocation:
/// those who have one are the business of another module.
pub(crate) fn end(
    tx: &mut Tx<'_>,
    request: RequestId,
    from: Disposition,
    kind: EventKind,
    (disposition, status, message): State<'_>,
    at: UnixMillis,
) -> Result<EventSeq, StoreError> {
    let changed = tx.execute(
        "ending a request",
        "UPDATE request SET disposition = ?2, status = ?3, message = ?4, resolved = ?5
         WHERE id = ?1 AND disposition = ?6",
        (
            sql_int(request.0),
            disposition.code(),
            status.0,
            message,
            ended(disposition, at).map(|it| it.0),
            from.code(),
        ),
    )?;
    if changed != 1 {
        let why = format!("it is not {}", from.word());
        return Err(StoreError::CorruptRow { row: format!("request {request}"), why });
    }
    tx.count_move(Some(from), disposition);
    let about = About { request, disposition, status, message, revocation: None };
    tx.append(kind, at, Some(about), None)
}

/// An intent, with all that giving it up needs.
struct Leftover {
    intent: Intent,
    not_after: Option<i64>,
    ca_key: u16,
    crl_partition: u32,
    was: Option<(Disposition, String)>,
}

fn give_up(
    tx: &mut Tx<'_>,
    leftover: &Leftover,
    state: State<'_>,
    at: UnixMillis,
) -> Result<Option<EventSeq>, StoreError> {
    let action = "abandoning an intent";
    let Leftover { intent, not_after, ca_key, crl_partition, was } = leftover;
    let Intent { request, serial, tbs: _ } = intent;
    tx.execute(action, "DELETE FROM intent WHERE request = ?1", [sql_int(request.0)])?;
    give_back(tx, *request)?;
    tx.execute(
        action,
        "INSERT INTO abandoned_serial (serial, request, at, not_after, ca_key, crl_partition, after)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (
            serial.as_be_bytes(),
            sql_int(request.0),
            at.0,
            not_after,
            ca_key,
            crl_partition,
            sql_int(tx.head().0),
        ),
    )?;
    if let Some((was, template)) = was {
        put_back(tx, *request, *was, template)?;
        let state = (Disposition::Error, state.1, state.2);
        outcome::write_resolved(tx, *request, Some(*was), state, at)?;
        return Ok(None);
    }
    idempotency::forget(tx, *request)?;
    let seq = end(tx, *request, Disposition::Active, EventKind::REQUEST_FAILED, state, at)?;
    outcome::write_resolved(tx, *request, None, state, at)?;
    Ok(Some(seq))
}

/// Undoes the beginning of a resubmission, which had changed nothing but these two. No officer has
/// amended the request since, because it was active: the newest amendment is that of the beginning.
fn put_back(
    tx: &mut Tx<'_>,
    request: RequestId,
    was: Disposition,
    template: &str,
) -> Result<(), StoreError> {
    let changed = tx.execute(
        "putting a request back",
        "UPDATE request SET disposition = ?2, template = ?3 WHERE id = ?1 AND disposition = 8",
        (sql_int(request.0), was.code(), template),
    )?;
    if changed != 1 {
        let why = "it has an intent and is not active".to_owned();
        return Err(StoreError::CorruptRow { row: format!("request {request}"), why });
    }
    tx.execute(
        "putting a request back",
        "UPDATE amendment SET template = ?2
         WHERE request = ?1
           AND after = (SELECT max(after) FROM amendment WHERE request = ?1)",
        (sql_int(request.0), template),
    )?;
    tx.count_move(Some(Disposition::Active), was);
    Ok(())
}

fn leftovers(tx: &Tx<'_>) -> Result<Vec<Leftover>, StoreError> {
    let action = "reading intents";
    let sql = INTENTS;
    let found =
        rows(tx.conn(), action, sql, [], |row| read_leftover(row).map_err(corrupt("an intent")))?;
    found.into_iter().collect()
}

/// Reads the columns of [`INTENTS`].
fn read_leftover(row: &Row<'_>) -> Result<Leftover, Why> {
    let request = read_id(row, 0)?;
    let was = match read::<Option<i32>>(row, 5)? {
        None => None,
        Some(_) => Some((read_code(row, 5, Disposition::from_code, "disposition")?, read(row, 6)?)),
    };
    Ok(Leftover {
        intent: Intent { request, serial: read_serial(row, 1)?, tbs: read(row, 2)? },
        not_after: read(row, 3)?,
        ca_key: read(row, 4)?,
        crl_partition: read(row, 7)?,
        was,
    })
}

/// The scan of all requests is only made when the tally says that there is something to find.
fn active_without_intent(tx: &Tx<'_>, abandoned: usize) -> Result<Vec<RequestId>, StoreError> {
    let action = "looking for active requests";
    let counted =
        tx.query_one(action, "SELECT requests FROM tally WHERE disposition = 8", [], |row| {
            row.get::<_, i64>(0)
        })?;
    let abandoned = i64::try_from(abandoned).unwrap_or(i64::MAX);
    // The tally does not know yet what this transaction abandoned.
    if counted.unwrap_or(0) == abandoned {
        return Ok(Vec::new());
    }
    let failed = |err| StoreError::from_sqlite(action, err);
    let sql = "SELECT id FROM request WHERE disposition = 8 ORDER BY id";
    let mut statement = tx.conn().prepare(sql).map_err(failed)?;
    let ids = statement.query_map([], |row| row.get::<_, i64>(0)).map_err(failed)?;
    ids.map(|id| id.map(|id| RequestId(id.unsigned_abs())).map_err(failed)).collect()
}
