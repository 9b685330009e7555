//! What became of requests, in the audit trail: one row for each certificate, refusal, wait and failure,
//! in the transaction of the event.

use exeunt_types::{
    ACTION_DENIED, ACTION_FAILED, ACTION_ISSUED, ACTION_PENDING, AuditCategories, Disposition,
    EVENT_RECEIVED, NewCertificate, RequestId, StatusCode, UnixMillis,
};

use super::{AuditEntry, write_with};
use crate::StoreError;
use crate::row::{read, sql_int};
use crate::writer::Tx;

/// What an issued certificate is known by: its serial number and the hash of its octets. Whoever
/// exchanges a certificate in the store has to exchange this as well.
pub(crate) fn proof(certificate: &NewCertificate) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &certificate.raw);
    let mut text = format!("serial {}, sha256 ", certificate.serial);
    exeunt_types::push_hexadecimal(&mut text, digest.as_ref());
    text
}

/// Whether outcomes are written at all, so that nobody prepares what nobody reads.
pub(crate) fn is_written(filter: AuditCategories) -> bool {
    filter.writes(AuditCategories::REQUESTS)
}

/// A certificate was recorded. `was` is what a request that was processed again was before.
pub(crate) fn write_issued(
    tx: &Tx<'_>,
    request: RequestId,
    was: Option<Disposition>,
    proof: impl FnOnce() -> String,
    at: UnixMillis,
) -> Result<(), StoreError> {
    if !is_written(tx.trail.get().filter) {
        return Ok(());
    }
    write_of_row(tx, request, ACTION_ISSUED, was, proof(), at)
}

/// A request ended without a certificate, or waits. `was` is what it was before; new ones were nothing.
pub(crate) fn write_resolved(
    tx: &Tx<'_>,
    request: RequestId,
    was: Option<Disposition>,
    (disposition, status, message): (Disposition, StatusCode, &str),
    at: UnixMillis,
) -> Result<(), StoreError> {
    if !is_written(tx.trail.get().filter) {
        return Ok(());
    }
    let action = match disposition {
        Disposition::Pending => ACTION_PENDING,
        Disposition::Denied => ACTION_DENIED,
        _ => ACTION_FAILED,
    };
    let proof = format!("status {:#010x}, {message}", status.0);
    write_of_row(tx, request, action, was, proof, at)
}

/// What the row says of the request comes from the request's own.
fn write_of_row(
    tx: &Tx<'_>,
    request: RequestId,
    action: &'static str,
    was: Option<Disposition>,
    proof: String,
    at: UnixMillis,
) -> Result<(), StoreError> {
    let sql = "SELECT caller, requester, template FROM request WHERE id = ?1";
    let found = tx.query_one("reading a request", sql, [sql_int(request.0)], |row| {
        Ok((read::<String>(row, 0), read::<String>(row, 1), read::<String>(row, 2)))
    })?;
    let (caller, requester, template) = found.ok_or(StoreError::NoRequest(request))?;
    let [caller, requester, template] =
        [caller, requester, template].map(Result::unwrap_or_default);
    let mut detail = proof;
    if !template.is_empty() {
        detail.push_str(", template ");
        detail.push_str(&template);
    }
    if requester != caller {
        detail.push_str(", requester ");
        detail.push_str(&requester);
    }
    let after = match action {
        ACTION_ISSUED => Disposition::Issued,
        ACTION_PENDING => Disposition::Pending,
        ACTION_DENIED => Disposition::Denied,
        _ => Disposition::Error,
    };
    let entry = AuditEntry::new(at, caller, action, format!("request:{request}"))
        .detail(detail)
        .change(was.map(|it| it.word().to_owned()), Some(after.word().to_owned()));
    let also = if was.is_none() { EVENT_RECEIVED } else { 0 };
    write_with(tx, entry, also).map(|_| ())
}
