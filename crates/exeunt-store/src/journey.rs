//! Steps 0, 3 and 5 of the journey, what happens when it ends early, and recovery.

use exeunt_types::{
    Disposition, EventKind, EventSeq, Intent, NewCertificate, NewIntent, NewRequest, RequestId,
    Resolution, Serial, StatusCode, UnixMillis,
};

use crate::row::{self, encode_attributes, read_id, read_serial, sql_int};
use crate::writer::Tx;
use crate::{Pending, Store, StoreError};

/// What a request's message says after its certificate was recorded; the original's word.
const ISSUED: &str = "Issued";
/// What a request's message says when recovery ended it.
const INTERRUPTED: &str = "the server stopped while the certificate was being made";

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
        let attributes = encode_attributes(&request.attributes);
        self.start_write(move |tx| {
            let state = (Disposition::Active, StatusCode::OK, "");
            let id = insert_request(tx, &request, &attributes, state, None)?;
            reserve(tx, id, intent.serial)?;
            tx.execute(
                "writing an intent",
                "INSERT INTO intent (request, serial, tbs) VALUES (?1, ?2, ?3)",
                (sql_int(id.0), intent.serial.as_be_bytes(), &intent.tbs),
            )?;
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
        let attributes = encode_attributes(&request.attributes);
        let at = request.submitted;
        let (kind, disposition, status, message, resolved) = match resolution {
            Resolution::Pend { message } => {
                (EventKind::CERT_PENDING, Disposition::Pending, StatusCode::OK, message, None)
            }
            Resolution::Deny { status, message } => {
                (EventKind::CERT_DENIED, Disposition::Denied, status, message, Some(at))
            }
            Resolution::Fail { status, message } => {
                (EventKind::REQUEST_FAILED, Disposition::Error, status, message, Some(at))
            }
        };
        self.start_write(move |tx| {
            let state = (disposition, status, message.as_str());
            let id = insert_request(tx, &request, &attributes, state, resolved)?;
            tx.append(kind, at, Some((id, disposition, status, &message)), None)?;
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
        self.start_write(move |tx| {
            let serial = certificate.serial.as_be_bytes();
            let removed = tx.execute(
                "taking an intent",
                "DELETE FROM intent WHERE request = ?1 AND serial = ?2",
                (sql_int(request.0), serial),
            )?;
            if removed != 1 {
                return Err(StoreError::NoIntent(request));
            }
            let state = (Disposition::Issued, StatusCode::OK, ISSUED);
            let seq = end(tx, request, EventKind::CERT_ISSUED, state, at)?;
            tx.execute(
                "recording a certificate",
                "INSERT INTO certificate (request, event, issued, not_before, not_after, serial,
                                          key, subject, sans, raw)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                (
                    sql_int(request.0),
                    sql_int(seq.0),
                    at.0,
                    certificate.not_before.0,
                    certificate.not_after.0,
                    serial,
                    &key,
                    &certificate.subject,
                    &certificate.subject_alternative_names,
                    &certificate.raw,
                ),
            )?;
            Ok(seq)
        })
    }

    /// Gives up an intent: its serial counts as revoked from now on, the request has failed.
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
    ) -> Result<EventSeq, StoreError> {
        let message = message.to_owned();
        self.write(move |tx| {
            let found = tx.query_one(
                "reading an intent",
                "SELECT serial FROM intent WHERE request = ?1",
                [sql_int(request.0)],
                |row| Ok(read_serial(row, 0)),
            )?;
            let serial = found
                .ok_or(StoreError::NoIntent(request))?
                .map_err(|why| corrupt_intent(&request, why))?;
            give_up(tx, request, serial, (Disposition::Error, status, &message), at)
        })
    }

    /// Ends what an earlier run left unfinished: abandons every intent and fails every active
    /// request that has none. Called once at the start, before anything is admitted. Returns the
    /// intents, oldest first.
    ///
    /// # Errors
    ///
    /// Nothing was changed; the server must not start.
    pub fn recover(&self, at: UnixMillis) -> Result<Vec<Intent>, StoreError> {
        self.write(move |tx| {
            let state = (Disposition::Error, StatusCode::SERVER_SUSPENDED, INTERRUPTED);
            let intents = intents(tx)?;
            for intent in &intents {
                give_up(tx, intent.request, intent.serial, state, at)?;
            }
            for request in active_without_intent(tx, intents.len())? {
                tracing::warn!(%request, "request was active without an intent");
                end(tx, request, EventKind::REQUEST_FAILED, state, at)?;
            }
            Ok(intents)
        })
    }
}

/// A state as the writer stores it: disposition, status, message.
type State<'a> = (Disposition, StatusCode, &'a str);

fn insert_request(
    tx: &mut Tx<'_>,
    request: &NewRequest,
    attributes: &str,
    (disposition, status, message): State<'_>,
    resolved: Option<UnixMillis>,
) -> Result<RequestId, StoreError> {
    tx.execute(
        "writing a request",
        "INSERT INTO request (disposition, status, resolved, submitted, request_type, message,
                              requester, caller, template, subject, attributes, raw)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
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
        ),
    )?;
    tx.count_move(None, disposition);
    Ok(RequestId(tx.last_id()))
}

/// Notes that the serial is given out, for ever.
fn reserve(tx: &Tx<'_>, request: RequestId, serial: Serial) -> Result<(), StoreError> {
    let inserted = tx.execute(
        "reserving a serial number",
        "INSERT INTO serial (serial, request) VALUES (?1, ?2) ON CONFLICT (serial) DO NOTHING",
        (serial.as_be_bytes(), sql_int(request.0)),
    )?;
    if inserted == 1 { Ok(()) } else { Err(StoreError::DuplicateSerial(serial)) }
}

/// Ends the processing of an active request: its final state and the event.
fn end(
    tx: &mut Tx<'_>,
    request: RequestId,
    kind: EventKind,
    (disposition, status, message): State<'_>,
    at: UnixMillis,
) -> Result<EventSeq, StoreError> {
    let changed = tx.execute(
        "ending a request",
        "UPDATE request SET disposition = ?2, status = ?3, message = ?4, resolved = ?5
         WHERE id = ?1 AND disposition = 8",
        (sql_int(request.0), disposition.code(), status.0, message, at.0),
    )?;
    if changed != 1 {
        let why = "it has an intent and is not active".to_owned();
        return Err(StoreError::CorruptRow { row: format!("request {request}"), why });
    }
    tx.count_move(Some(Disposition::Active), disposition);
    tx.append(kind, at, Some((request, disposition, status, message)), None)
}

fn give_up(
    tx: &mut Tx<'_>,
    request: RequestId,
    serial: Serial,
    state: State<'_>,
    at: UnixMillis,
) -> Result<EventSeq, StoreError> {
    let action = "abandoning an intent";
    tx.execute(action, "DELETE FROM intent WHERE request = ?1", [sql_int(request.0)])?;
    tx.execute(
        action,
        "INSERT INTO abandoned_serial (serial, request, at) VALUES (?1, ?2, ?3)",
        (serial.as_be_bytes(), sql_int(request.0), at.0),
    )?;
    end(tx, request, EventKind::REQUEST_FAILED, state, at)
}

fn intents(tx: &Tx<'_>) -> Result<Vec<Intent>, StoreError> {
    let action = "reading intents";
    let sql = "SELECT request, serial, tbs FROM intent ORDER BY request";
    let failed = |err| StoreError::from_sqlite(action, err);
    let mut statement = tx.conn().prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut intents = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let intent = || {
            let request = read_id(row, 0)?;
            Ok(Intent { request, serial: read_serial(row, 1)?, tbs: row::read(row, 2)? })
        };
        intents.push(intent().map_err(|why| corrupt_intent(&"?", why))?);
    }
    Ok(intents)
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

fn corrupt_intent(request: &dyn std::fmt::Display, why: String) -> StoreError {
    StoreError::CorruptRow { row: format!("intent of request {request}"), why }
}
