//! Putting certificates on record that were made elsewhere: by this CA where its store does not know
//! it, or by another CA.
//!
//! A certificate of this CA takes its serial number, for ever, as if it had been given out here. One of
//! another CA does not: that number belongs to its issuer, and whoever asks by serial number does not
//! find it.

use exeunt_types::{
    Disposition, EventKind, EventSeq, NewCertificate, NewRequest, RequestFlags, RequestId,
    RequestType, StatusCode, UnixMillis,
};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::audit::{AuditEntry, write_entry};
use crate::current::Current;
use crate::error::During as _;
use crate::journey::{end, insert_certificate, insert_request};
use crate::reader::{corrupt, rows, sql_limit};
use crate::row::{Why, read, read_id, sql_int};
use crate::writer::{About, Tx};
use crate::{Pending, Store, StoreError};

/// Columns: the request that the serial number was given out for, the certificate that has it, whether
/// the number was given up.
const BY_SERIAL: &str = "SELECT serial.request, certificate.raw, abandoned_serial.at IS NOT NULL
     FROM serial
     LEFT JOIN certificate
         ON certificate.request = serial.request AND certificate.serial = serial.serial
     LEFT JOIN abandoned_serial ON abandoned_serial.serial = serial.serial
     WHERE serial.serial = ?1";
const BY_HASH: &str = "SELECT request FROM foreign_certificate WHERE hash = ?1";
const WAITING: &str = "SELECT id, raw FROM request WHERE disposition = 9 ORDER BY id DESC LIMIT ?1";

/// Who made an imported certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportOrigin {
    /// This CA.
    Own,
    /// Another one. SHA-256 of the certificate's DER tells whether it is on record already.
    Foreign([u8; 32]),
}

/// A certificate that was made elsewhere, to be put on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewImport {
    /// The certificate and what was read from it.
    pub certificate: NewCertificate,
    /// Who made it.
    pub origin: ImportOrigin,
    /// The request that waits for it; none makes a row of its own.
    pub request: Option<RequestId>,
    /// Who imports it: requester and caller of a row of its own.
    pub importer: String,
    /// What the row says of it.
    pub message: String,
    /// When.
    pub at: UnixMillis,
}

/// What became of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Import {
    /// It is on record now.
    Done {
        /// Its row.
        request: RequestId,
        /// State of that row.
        disposition: Disposition,
        /// The event that tells of it.
        event: EventSeq,
    },
    /// Nothing was changed.
    Obstacle(ImportObstacle),
}

/// Why a certificate is not put on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportObstacle {
    /// It is on record already, under this request.
    Present(RequestId),
    /// Another certificate of this CA has its serial number, or is being made with it.
    SerialUsed(RequestId),
    /// Its serial number was given up and counts as revoked.
    SerialAbandoned(RequestId),
    /// The request that was meant does not wait.
    NotWaiting(RequestId),
}

impl Store {
    /// Puts a certificate on record: row, certificate, serial number, event and audit entry in one
    /// commit. The object of `by` becomes the request. Does not wait for it.
    ///
    /// # Errors
    ///
    /// The write was not even queued; the others come from [`Pending::wait`]. Nothing was written.
    pub fn start_import(
        &self,
        import: NewImport,
        mut by: AuditEntry,
    ) -> Result<Pending<Import>, StoreError> {
        let key = import.certificate.key.name();
        self.start_write(move |tx| {
            if let Some(obstacle) = obstacle(tx.conn(), &import)? {
                return Ok(Import::Obstacle(obstacle));
            }
            let disposition = match import.origin {
                ImportOrigin::Own => Disposition::Issued,
                ImportOrigin::Foreign(_) => Disposition::Foreign,
            };
            let (request, event) = match import.request {
                None => row(tx, &import, disposition)?,
                Some(request) => {
                    if Current::read(tx, request)?.disposition != Disposition::Pending {
                        return Ok(Import::Obstacle(ImportObstacle::NotWaiting(request)));
                    }
                    let (kind, was) = (EventKind::CERT_IMPORTED, Disposition::Pending);
                    let state = (disposition, StatusCode::OK, import.message.as_str());
                    (request, end(tx, request, was, kind, state, import.at)?)
                }
            };
            write_certificate(tx, &import, &key, request, event)?;
            by.object = format!("request:{request}");
            write_entry(tx, &by)?;
            Ok(Import::Done { request, disposition, event })
        })
    }

    /// Why that certificate would not be put on record now; nothing if it would.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when what stands there cannot be read.
    pub fn import_obstacle(
        &self,
        import: &NewImport,
    ) -> Result<Option<ImportObstacle>, StoreError> {
        self.inner.readers.read("looking for a certificate", |conn| obstacle(conn, import))
    }

    /// Requests that wait, with their octets, newest first; at most `limit` and
    /// [`crate::ROWS_MAX`]. In a large store this reads past all that are newer than the oldest one
    /// that waits.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when one cannot be read.
    pub fn waiting_requests(&self, limit: usize) -> Result<Vec<(RequestId, Vec<u8>)>, StoreError> {
        let waiting = usize::try_from(self.counts()?.pending).unwrap_or(usize::MAX);
        // With as many as there are, the search ends at the oldest and not at the first row.
        let limit = limit.min(waiting);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let action = "reading requests that wait";
        let found = self.inner.readers.read(action, |conn| {
            rows(conn, action, WAITING, [sql_limit(limit)], |row| {
                Ok((read_id(row, 0)?, read(row, 1)?))
            })
        })?;
        let found: Result<Vec<_>, Why> = found.into_iter().collect();
        found.map_err(corrupt("a request that waits"))
    }
}

/// What stands in the way, as far as it does not depend on a request that waits.
fn obstacle(conn: &Connection, import: &NewImport) -> Result<Option<ImportObstacle>, StoreError> {
    let action = "looking for a certificate";
    match import.origin {
        ImportOrigin::Own => {
            let serial = import.certificate.serial;
            let found = conn
                .prepare_cached(BY_SERIAL)
                .and_then(|mut it| {
                    it.query_row([serial.as_be_bytes()], |row| Ok(read_taken(row))).optional()
                })
                .during(action)?;
            let Some(found) = found else { return Ok(None) };
            let (request, raw, abandoned) =
                found.map_err(corrupt(format!("serial number {serial}")))?;
            Ok(Some(match raw {
                Some(raw) if raw == import.certificate.raw => ImportObstacle::Present(request),
                _ if abandoned => ImportObstacle::SerialAbandoned(request),
                _ => ImportObstacle::SerialUsed(request),
            }))
        }
        ImportOrigin::Foreign(hash) => {
            let found = conn
                .prepare_cached(BY_HASH)
                .and_then(|mut it| it.query_row([hash], |row| Ok(read_id(row, 0))).optional())
                .during(action)?;
            let found = found.transpose().map_err(corrupt("an imported certificate"))?;
            Ok(found.map(ImportObstacle::Present))
        }
    }
}

fn read_taken(row: &Row<'_>) -> Result<(RequestId, Option<Vec<u8>>, bool), Why> {
    Ok((read_id(row, 0)?, read(row, 1)?, read(row, 2)?))
}

/// A row of its own: there was no request.
fn row(
    tx: &mut Tx<'_>,
    import: &NewImport,
    disposition: Disposition,
) -> Result<(RequestId, EventSeq), StoreError> {
    let NewImport { certificate, importer, message, at, .. } = import;
    let request = NewRequest {
        raw: Vec::new(),
        request_type: RequestType::Pkcs10,
        requester: importer.clone(),
        caller: importer.clone(),
        template: String::new(),
        attributes: Vec::new(),
        subject: certificate.subject.clone(),
        flags: RequestFlags::default(),
        old_certificate: None,
        submitted: *at,
    };
    let (status, message) = (StatusCode::OK, message.as_str());
    let request = insert_request(tx, &request, "", (disposition, status, message), Some(*at))?;
    let about = About { request, disposition, status, message, revocation: None };
    let event = tx.append(EventKind::CERT_IMPORTED, *at, Some(about), None)?;
    Ok((request, event))
}

fn write_certificate(
    tx: &Tx<'_>,
    import: &NewImport,
    key: &str,
    request: RequestId,
    event: EventSeq,
) -> Result<(), StoreError> {
    let action = "recording a certificate";
    let NewImport { certificate, origin, at, .. } = import;
    insert_certificate(tx, request, certificate, key, (event, *at))?;
    let serial = certificate.serial.as_be_bytes();
    match origin {
        ImportOrigin::Own => tx.execute(
            action,
            "INSERT INTO serial (serial, request) VALUES (?1, ?2)",
            (serial, sql_int(request.0)),
        )?,
        ImportOrigin::Foreign(hash) => tx.execute(
            action,
            "INSERT INTO foreign_certificate (hash, request) VALUES (?1, ?2)",
            (hash, sql_int(request.0)),
        )?,
    };
    Ok(())
}
