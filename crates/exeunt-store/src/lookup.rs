//! Look-ups for people: one row by its key, pages newest first, counts.

use std::sync::LazyLock;

use exeunt_types::{
    AbandonedSerial, CertificateRecord, Disposition, EventSeq, RequestId, RequestRecord, Serial,
    UnixMillis,
};
use rusqlite::{Connection, OptionalExtension as _};

use crate::error::During as _;
use crate::reader::{corrupt, rows, sql_limit};
use crate::row::{
    CERTIFICATE_COLUMNS, REQUEST_COLUMNS, read, read_certificate, read_id, read_request,
    read_serial, read_time, sql_int,
};
use crate::{Store, StoreError};

const FROM_CERTIFICATE: &str = "FROM certificate JOIN request ON request.id = certificate.request";

/// The second parameter is the event that the request is read for.
pub(crate) static REQUEST_BY_ID: LazyLock<String> = LazyLock::new(|| {
    let from = from_request("AND older.after < ?2");
    format!("SELECT {REQUEST_COLUMNS} {from} WHERE request.id = ?1")
});
static REQUESTS_BEFORE: LazyLock<String> = LazyLock::new(|| {
    let from = from_request("");
    format!(
        "SELECT {REQUEST_COLUMNS} {from} WHERE request.id < ?1
         ORDER BY request.id DESC LIMIT ?2"
    )
});
pub(crate) static CERTIFICATE_BY_REQUEST: LazyLock<String> = LazyLock::new(|| {
    format!("SELECT {CERTIFICATE_COLUMNS} {FROM_CERTIFICATE} WHERE certificate.request = ?1")
});
static CERTIFICATES_BEFORE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {CERTIFICATE_COLUMNS} {FROM_CERTIFICATE} WHERE certificate.request < ?1
         ORDER BY certificate.request DESC LIMIT ?2"
    )
});

/// `request` with all that has its number, and of its amendments the newest that `which` allows.
fn from_request(which: &str) -> String {
    format!(
        "FROM request
         LEFT JOIN certificate ON certificate.request = request.id
         LEFT JOIN request_extra ON request_extra.request = request.id
         LEFT JOIN revocation ON revocation.request = request.id
         LEFT JOIN amendment ON amendment.request = request.id AND amendment.after =
             (SELECT max(older.after) FROM amendment AS older
              WHERE older.request = request.id {which})"
    )
}

/// How many there are of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests, whatever became of them.
    pub requests: u64,
    /// Requests being processed at this moment.
    pub active: u64,
    /// Requests that wait for an officer.
    pub pending: u64,
    /// Imported certificates of other CAs.
    pub foreign: u64,
    /// Requests whose certificate was issued and is not revoked.
    pub issued: u64,
    /// Requests whose certificate was revoked.
    pub revoked: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests that were refused.
    pub denied: u64,
    /// Certificates, revoked or not.
    pub certificates: u64,
    /// Serial numbers that were given up.
    pub abandoned_serials: u64,
    /// Events.
    pub events: u64,
}

impl Store {
    /// Requests, newest first, those before `before` only; at most `limit` and
    /// [`crate::ROWS_MAX`].
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] names a row that cannot be read.
    pub fn requests(
        &self,
        before: Option<RequestId>,
        limit: usize,
    ) -> Result<Vec<RequestRecord>, StoreError> {
        let action = "reading requests";
        let params = (before_key(before), sql_limit(limit));
        let found = self.inner.readers.read(action, |conn| {
            rows(conn, action, &REQUESTS_BEFORE, params, |row| {
                read_request(row, 0).map_err(|why| name_row("request", read_id(row, 0), why))
            })
        })?;
        found.into_iter().collect()
    }

    /// One request.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when it cannot be read.
    pub fn request(&self, id: RequestId) -> Result<Option<RequestRecord>, StoreError> {
        self.inner.readers.read("reading a request", |conn| request_by_id(conn, id, None))
    }

    /// Certificates, newest request first, those of requests before `before` only; at most
    /// `limit` and [`crate::ROWS_MAX`].
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] names a row that cannot be read.
    pub fn certificates(
        &self,
        before: Option<RequestId>,
        limit: usize,
    ) -> Result<Vec<CertificateRecord>, StoreError> {
        let action = "reading certificates";
        let params = (before_key(before), sql_limit(limit));
        let found = self.inner.readers.read(action, |conn| {
            rows(conn, action, &CERTIFICATES_BEFORE, params, |row| {
                read_certificate(row, 0)
                    .map_err(|why| name_row("certificate of request", read_id(row, 0), why))
            })
        })?;
        found.into_iter().collect()
    }

    /// The certificate with that serial.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when it cannot be read.
    pub fn certificate(&self, serial: &Serial) -> Result<Option<CertificateRecord>, StoreError> {
        let action = "reading a certificate";
        self.inner.readers.read(action, |conn| {
            let request = conn
                .prepare_cached("SELECT request FROM serial WHERE serial = ?1")
                .and_then(|mut it| {
                    it.query_row([serial.as_be_bytes()], |row| Ok(read_id(row, 0))).optional()
                })
                .during(action)?;
            let Some(request) = request else { return Ok(None) };
            let request = request.map_err(corrupt(format!("serial number {serial}")))?;
            // An abandoned serial has a request and no certificate.
            let found = certificate_by_request(conn, request)?;
            Ok(found.filter(|it| it.certificate.serial == *serial))
        })
    }

    /// The certificate that came of that request.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when it cannot be read.
    pub fn certificate_of(&self, id: RequestId) -> Result<Option<CertificateRecord>, StoreError> {
        self.inner.readers.read("reading a certificate", |conn| certificate_by_request(conn, id))
    }

    /// Serial numbers that were given up and count as revoked, in the order of the numbers, those
    /// after `after` only; at most `limit` and [`crate::ROWS_MAX`].
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when one cannot be read.
    pub fn abandoned_serials(
        &self,
        after: Option<&Serial>,
        limit: usize,
    ) -> Result<Vec<AbandonedSerial>, StoreError> {
        let action = "reading abandoned serial numbers";
        let sql = "SELECT serial, request, at, not_after, ca_key, crl_partition
                   FROM abandoned_serial
                   WHERE serial > ?1 ORDER BY serial LIMIT ?2";
        let params = (after.map_or(&[][..], Serial::as_be_bytes), sql_limit(limit));
        let found = self.inner.readers.read(action, |conn| {
            rows(conn, action, sql, params, |row| {
                Ok(AbandonedSerial {
                    serial: read_serial(row, 0)?,
                    request: read_id(row, 1)?,
                    at: read_time(row, 2)?,
                    not_after: read::<Option<i64>>(row, 3)?.map(UnixMillis),
                    ca_key: read(row, 4)?,
                    crl_partition: read(row, 5)?,
                })
            })
        })?;
        let rows: Result<Vec<_>, _> = found.into_iter().collect();
        rows.map_err(corrupt("an abandoned serial number"))
    }

    /// How many there are of what. Takes the same time in large stores as in small ones.
    ///
    /// # Errors
    ///
    /// The counts cannot be read.
    pub fn counts(&self) -> Result<Counts, StoreError> {
        let action = "counting";
        let mut counts = Counts::default();
        self.inner.readers.read(action, |conn| {
            let sql = "SELECT disposition, requests FROM tally";
            let tally = rows(conn, action, sql, [], |row| {
                Ok((row.get::<_, i32>(0)?, row.get::<_, i64>(1)?))
            })?;
            for row in tally {
                let (disposition, requests) = row.during(action)?;
                let requests = u64::try_from(requests).unwrap_or(0);
                counts.requests += requests;
                match Disposition::from_code(disposition) {
                    Some(Disposition::Active) => counts.active = requests,
                    Some(Disposition::Pending) => counts.pending = requests,
                    Some(Disposition::Foreign) => counts.foreign = requests,
                    Some(Disposition::Issued) => counts.issued = requests,
                    Some(Disposition::Revoked) => counts.revoked = requests,
                    Some(Disposition::Error) => counts.failed = requests,
                    Some(Disposition::Denied) => counts.denied = requests,
                    // From a newer version; it counts as a request.
                    None => (),
                }
            }
            counts.certificates = counts.issued + counts.revoked;
            let count = |sql: &str| {
                let number = conn.query_row(sql, [], |row| row.get::<_, i64>(0)).during(action)?;
                Ok::<u64, StoreError>(u64::try_from(number).unwrap_or(0))
            };
            counts.abandoned_serials = count("SELECT count(*) FROM abandoned_serial")?;
            // The log loses nothing, and has no gap but the one that a restore leaves.
            counts.events = last_event(conn)?.0;
            Ok(counts)
        })
    }
}

/// The request, as it was when `event` was committed as far as officers change it, or as it is.
pub(crate) fn request_by_id(
    conn: &Connection,
    id: RequestId,
    event: Option<EventSeq>,
) -> Result<Option<RequestRecord>, StoreError> {
    let params = [sql_int(id.0), event.map_or(i64::MAX, |it| sql_int(it.0))];
    let found = conn
        .prepare_cached(&REQUEST_BY_ID)
        .and_then(|mut it| it.query_row(params, |row| Ok(read_request(row, 0))).optional())
        .during("reading a request")?;
    found.transpose().map_err(corrupt(format!("request {id}")))
}

pub(crate) fn certificate_by_request(
    conn: &Connection,
    id: RequestId,
) -> Result<Option<CertificateRecord>, StoreError> {
    let found = conn
        .prepare_cached(&CERTIFICATE_BY_REQUEST)
        .and_then(|mut it| {
            it.query_row([sql_int(id.0)], |row| Ok(read_certificate(row, 0))).optional()
        })
        .during("reading a certificate")?;
    found.transpose().map_err(corrupt(format!("certificate of request {id}")))
}

/// The last event of the log as it is in the file.
pub(crate) fn last_event(conn: &Connection) -> Result<EventSeq, StoreError> {
    let last: Option<i64> = conn
        .query_row("SELECT max(seq) FROM event", [], |row| row.get(0))
        .during("reading the end of the log")?;
    Ok(EventSeq(last.unwrap_or(0).unsigned_abs()))
}

fn before_key(before: Option<RequestId>) -> i64 {
    before.map_or(i64::MAX, |id| sql_int(id.0))
}

fn name_row(noun: &str, id: Result<RequestId, String>, why: String) -> StoreError {
    let row = id.map_or_else(|_| noun.to_owned(), |id| format!("{noun} {id}"));
    StoreError::CorruptRow { row, why }
}
