//! Look-ups: rows of the store as the API's types, converted by hand.

use std::error::Error;

use exeunt_api::{
    Approval, CertificateDetail, CertificatePage, CertificateRow, CertificateSummary, CrlPage,
    CrlSummary, Disposition, OfficerExtension, PAGE_ROWS_DEFAULT, RequestAttribute, RequestDetail,
    RequestPage, RequestSummary, Revocation, SubmitAnswer,
};
use exeunt_engine::{Engine, Retrieved};
use exeunt_types::{
    CertificateKey, CertificateRecord, CertificateSort, CrlLine, CrlNumber, CrlRecord,
    ListedCertificate, NewCertificate, NewRequest, RequestFlags, RequestId, RequestRecord,
    RequestType, Serial, StatusCode, hexadecimal,
};

use crate::answer::{Answer, json, pem, rfc3339};
use crate::fault::Fault;
use crate::filter::{CertificateQuery, RequestQuery};
use crate::officer::ListOfRun;
use crate::query::PageQuery;
use crate::{handler::Edge, relying, submit};

const OK: hyper::StatusCode = hyper::StatusCode::OK;

pub(crate) fn request_id(text: &str) -> Result<RequestId, Fault> {
    text.parse()
        .map(RequestId)
        .map_err(|_| Fault::id_invalid("request-id-invalid", "a request id is a number"))
}

pub(crate) fn serial(text: &str) -> Result<Serial, Fault> {
    let detail = "a serial number is 1 to 20 octets in hexadecimal";
    Serial::from_hex(text).map_err(|_| Fault::id_invalid("serial-invalid", detail))
}

pub(crate) fn requests(engine: &Engine, query: &RequestQuery) -> Result<Answer, Fault> {
    let (requests, next) = some_requests(engine, query, query.after, page_rows(query.limit))?;
    let next_before = next.filter(|_| query.descending).map(|it| it.0);
    let next = next.map(|it| it.to_string());
    Ok(json(OK, &RequestPage { requests, next_before, next }))
}

/// Rows of requests after a place, and the place to go on after.
pub(crate) fn some_requests(
    engine: &Engine,
    query: &RequestQuery,
    after: Option<RequestId>,
    limit: usize,
) -> Result<(Vec<RequestSummary>, Option<RequestId>), Fault> {
    let found = engine.store().find_requests(&query.filter, query.descending, after, limit);
    let found = found.map_err(|err| unread(err.code(), &err))?;
    Ok((found.rows.into_iter().map(|row| split_request(row).0).collect(), found.next))
}

pub(crate) fn request(engine: &Engine, id: RequestId) -> Result<Answer, Fault> {
    let Some(row) = engine.store().request(id).map_err(|err| unread(err.code(), &err))? else {
        return Err(Fault::not_found("request-not-found", format!("there is no request {id}")));
    };
    let key_archived =
        engine.store().archived_key(id).map_err(|err| unread(err.code(), &err))?.is_some();
    let approvals = engine.store().approvals(id).map_err(|err| unread(err.code(), &err))?;
    let approval =
        |it: exeunt_types::Approval| Approval { manager: it.manager, at: rfc3339(it.at) };
    let approvals = approvals.into_iter().map(approval).collect();
    let revocation = row.revocation.as_ref().map(self::revocation);
    let officer_extensions = row.officer_extensions.iter().map(officer_extension).collect();
    // What is around a request has labels of its own (RFC 7468, sections 8 and 9).
    let (format, label) = match row.request.request_type {
        RequestType::Pkcs10 => ("pkcs10", "CERTIFICATE REQUEST"),
        RequestType::Pkcs7 => ("pkcs7", "PKCS7"),
        RequestType::Cmc => ("cmc", "CMS"),
    };
    let on_behalf = row.request.flags.contains(RequestFlags::ENROLL_ON_BEHALF_OF);
    let renewed = row.request.old_certificate.as_deref();
    let renewed_certificate = renewed.map(|der| pem("CERTIFICATE", der));
    let (summary, attributes, raw) = split_request(row);
    let attributes =
        attributes.into_iter().map(|(name, value)| RequestAttribute { name, value }).collect();
    // An imported certificate has none.
    let is_there = !raw.is_empty();
    let request = if is_there { pem(label, &raw) } else { String::new() };
    let format = if is_there { format } else { "" };
    let detail = RequestDetail {
        summary,
        format: format.to_owned(),
        on_behalf,
        key_archived,
        renewed_certificate,
        attributes,
        officer_extensions,
        approvals,
        revocation,
        request,
    };
    Ok(json(OK, &detail))
}

/// Who has made a request, if it is there.
pub(crate) fn caller_of_request(engine: &Engine, id: RequestId) -> Result<Option<String>, Fault> {
    let row = engine.store().request(id).map_err(|err| unread(err.code(), &err))?;
    Ok(row.map(|it| it.request.caller))
}

/// Who has made the request for a certificate, if it is there.
pub(crate) fn caller_of_certificate(
    engine: &Engine,
    serial: &Serial,
) -> Result<Option<String>, Fault> {
    let found = engine.store().certificate(serial).map_err(|err| unread(err.code(), &err))?;
    let Some(certificate) = found else { return Ok(None) };
    caller_of_request(engine, certificate.request)
}

pub(crate) fn certificates(engine: &Engine, query: &CertificateQuery) -> Result<Answer, Fault> {
    let limit = page_rows(query.limit);
    let (certificates, next) = some_certificates(engine, query, query.after, limit)?;
    let newest_first = query.descending && query.sort == CertificateSort::Request;
    let next_before = next.filter(|_| newest_first).map(|it| it.request.0);
    let next = next.map(|it| it.to_string());
    Ok(json(OK, &CertificatePage { certificates, next_before, next }))
}

/// Rows of certificates after a place, and the place to go on after.
pub(crate) fn some_certificates(
    engine: &Engine,
    query: &CertificateQuery,
    after: Option<CertificateKey>,
    limit: usize,
) -> Result<(Vec<CertificateRow>, Option<CertificateKey>), Fault> {
    let order = (query.sort, query.descending);
    let found = engine.store().find_certificates(&query.filter, order, after, limit);
    let found = found.map_err(|err| unread(err.code(), &err))?;
    let row = |row: ListedCertificate| CertificateRow {
        disposition: wire_disposition(row.disposition),
        ca_key: row.record.certificate.ca_key,
        revocation: row.revocation.as_ref().map(revocation),
        summary: split_certificate(row.record).0,
    };
    Ok((found.rows.into_iter().map(row).collect(), found.next))
}

fn page_rows(limit: Option<u64>) -> usize {
    let limit = limit.unwrap_or(u64::from(PAGE_ROWS_DEFAULT));
    usize::try_from(limit).unwrap_or(usize::MAX)
}

pub(crate) fn certificate(engine: &Engine, serial: &Serial) -> Result<Answer, Fault> {
    let Some(row) = engine.store().certificate(serial).map_err(|err| unread(err.code(), &err))?
    else {
        let detail = format!("there is no certificate {serial}");
        return Err(Fault::not_found("certificate-not-found", detail));
    };
    let request = engine.store().request(row.request).map_err(|err| unread(err.code(), &err))?;
    let disposition = request.as_ref().map(|it| wire_disposition(it.disposition));
    let revocation = request.and_then(|it| it.revocation).map(|it| self::revocation(&it));
    let (summary, raw) = split_certificate(row);
    let certificate = pem("CERTIFICATE", &raw);
    Ok(json(OK, &CertificateDetail { summary, disposition, revocation, certificate }))
}

/// How a request stands.
pub(crate) fn state(engine: &Engine, id: RequestId) -> Result<exeunt_types::Disposition, Fault> {
    let found = engine.store().request(id).map_err(|err| unread(err.code(), &err))?;
    let gone = || Fault::not_found("request-not-found", format!("there is no request {id}"));
    found.map(|it| it.disposition).ok_or_else(gone)
}

/// What became of a request, as whoever made it is told.
pub(crate) fn retrieved(retrieved: Retrieved) -> Answer {
    retrieved_with(retrieved, None)
}

/// The same, with the code of a denial where it is known.
pub(crate) fn retrieved_with(retrieved: Retrieved, denied: Option<String>) -> Answer {
    use exeunt_types::Disposition as State;
    let Retrieved { record, certificate, event: _ } = retrieved;
    let state = record.disposition;
    let status = match state {
        State::Pending | State::Active => hyper::StatusCode::ACCEPTED,
        State::Denied => hyper::StatusCode::FORBIDDEN,
        _ => OK,
    };
    let mut answer =
        SubmitAnswer { disposition: wire_disposition(state), ..submit::bare(record.id) };
    if let Some(row) = certificate {
        let NewCertificate { serial, raw, subject, not_before, not_after, .. } = row.certificate;
        answer.serial = Some(serial.to_string());
        answer.certificate = Some(pem("CERTIFICATE", &raw));
        answer.subject = Some(subject);
        answer.not_before = Some(rfc3339(not_before));
        answer.not_after = Some(rfc3339(not_after));
    } else {
        answer.message = Some(record.message);
        answer.status_code = Some(status_code(record.status)).filter(|_| state != State::Pending);
        answer.code = denied.filter(|_| state == State::Denied);
    }
    json(status, &answer)
}

pub(crate) fn crls(engine: &Engine, page: &PageQuery) -> Result<Answer, Fault> {
    let before = page.before.map(CrlNumber);
    let found = engine.store().crls(before, page.limit).map_err(|err| unread(err.code(), &err))?;
    let next_before = full(page, found.len()).and_then(|()| found.last().map(|it| it.number.0));
    Ok(json(OK, &crl_page(engine, &found, next_before)))
}

/// The lists with one number.
pub(crate) fn crls_of(engine: &Engine, number: u64) -> Result<Answer, Fault> {
    Ok(json(OK, &crl_page(engine, &numbered(engine, number)?, None)))
}

/// One list in DER.
pub(crate) fn crl_der(edge: &Edge, number: u64, which: ListOfRun) -> Result<Answer, Fault> {
    let mut found = numbered(&edge.engine, number)?;
    found.retain(|it| which.may_be(it.line));
    let record = found.into_iter().max_by_key(|it| it.line.key_index);
    let record = record.ok_or_else(|| no_crl(number, which.kind.word()))?;
    relying::list(edge, &record)
}

pub(crate) fn crl_number(text: &str) -> Result<u64, Fault> {
    let detail = "the number of a revocation list is a number";
    text.parse().map_err(|_| Fault::id_invalid("crl-number-invalid", detail))
}

fn numbered(engine: &Engine, number: u64) -> Result<Vec<CrlRecord>, Fault> {
    // Those with the same number come along.
    let before = Some(CrlNumber(number.saturating_add(1)));
    let mut found = engine.store().crls(before, 1).map_err(|err| unread(err.code(), &err))?;
    found.retain(|it| it.number.0 == number);
    if found.is_empty() { Err(no_crl(number, "")) } else { Ok(found) }
}

fn no_crl(number: u64, kind: &str) -> Fault {
    let blank = if kind.is_empty() { "" } else { " " };
    Fault::not_found("crl-not-found", format!("there is no {kind}{blank}revocation list {number}"))
}

pub(crate) fn crl_page(
    engine: &Engine,
    records: &[CrlRecord],
    next_before: Option<u64>,
) -> CrlPage {
    let crls = records.iter().map(|it| crl(it, engine.has_whole_file(it))).collect();
    CrlPage { crls, next_before }
}

fn crl(record: &CrlRecord, file: bool) -> CrlSummary {
    let CrlRecord {
        line: CrlLine { kind, key_index, partition },
        number,
        min_base,
        shadow,
        this_update,
        next_update,
        this_publish,
        next_publish,
        entries,
        length,
        sha256,
    } = *record;
    CrlSummary {
        number: number.0,
        kind: kind.word().to_owned(),
        key_index,
        partition,
        min_base: min_base.map(|it| it.0),
        shadow,
        this_update: rfc3339(this_update),
        next_update: rfc3339(next_update),
        this_publish: rfc3339(this_publish),
        next_publish: rfc3339(next_publish),
        entries,
        length,
        sha256: hexadecimal(&sha256),
        file,
    }
}

pub(crate) fn revocation(it: &exeunt_types::Revocation) -> Revocation {
    Revocation {
        reason: it.reason.map(|it| it.word().to_owned()),
        reason_code: it.reason_code(),
        ordered: rfc3339(it.ran),
        effective: rfc3339(it.effective),
    }
}

fn officer_extension(it: &exeunt_types::OfficerExtension) -> OfficerExtension {
    let exeunt_types::OfficerExtension { oid, flags, value } = it;
    OfficerExtension {
        oid: oid.clone(),
        critical: flags & exeunt_types::OfficerExtension::CRITICAL != 0,
        disabled: flags & exeunt_types::OfficerExtension::DISABLED != 0,
        value: hexadecimal(value),
    }
}

/// An HRESULT as text.
pub(crate) fn status_code(status: StatusCode) -> String {
    format!("{:#010x}", status.0)
}

/// A page that is full may have a next one.
fn full(page: &PageQuery, rows: usize) -> Option<()> {
    (page.limit <= rows).then_some(())
}

/// The store did not answer. Its error's type is its own business.
fn unread(code: &'static str, err: &(dyn Error + 'static)) -> Fault {
    tracing::error!(code, error = err, "a look-up failed");
    Fault::store(code)
}

/// What lists show, the attributes, and the request in DER.
fn split_request(row: RequestRecord) -> (RequestSummary, Vec<(String, String)>, Vec<u8>) {
    let RequestRecord {
        id,
        request,
        disposition,
        status,
        message,
        resolved,
        officer_extensions: _,
        revocation: _,
        publish_expired: _,
        serial,
    } = row;
    let NewRequest {
        raw,
        request_type: _,
        requester,
        caller,
        template,
        attributes,
        subject,
        flags: _,
        old_certificate: _,
        submitted,
    } = request;
    let summary = RequestSummary {
        id: id.0,
        disposition: wire_disposition(disposition),
        status_code: status_code(status),
        message,
        requester,
        caller,
        template,
        subject,
        submitted: rfc3339(submitted),
        resolved: resolved.map(rfc3339),
        serial: serial.map(|it| it.to_string()),
    };
    (summary, attributes, raw)
}

/// What lists show, and the certificate in DER.
fn split_certificate(row: CertificateRecord) -> (CertificateSummary, Vec<u8>) {
    let CertificateRecord { request, certificate, template, issued, event, template_flags: _ } =
        row;
    let NewCertificate {
        serial,
        raw,
        subject,
        subject_alternative_names,
        not_before,
        not_after,
        ca_key: _,
        crl_partition: _,
        key,
    } = certificate;
    let summary = CertificateSummary {
        serial: serial.to_string(),
        request_id: request.0,
        subject,
        subject_alternative_names,
        template,
        key_type: key.name(),
        not_before: rfc3339(not_before),
        not_after: rfc3339(not_after),
        issued: rfc3339(issued),
        event: event.0,
    };
    (summary, raw)
}

pub(crate) fn wire_disposition(disposition: exeunt_types::Disposition) -> Disposition {
    match disposition {
        exeunt_types::Disposition::Active => Disposition::Active,
        exeunt_types::Disposition::Pending => Disposition::Pending,
        exeunt_types::Disposition::Foreign => Disposition::Foreign,
        exeunt_types::Disposition::Issued => Disposition::Issued,
        exeunt_types::Disposition::Revoked => Disposition::Revoked,
        exeunt_types::Disposition::Error => Disposition::Failed,
        exeunt_types::Disposition::Denied => Disposition::Denied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disposition_has_one_word_everywhere() {
        for it in exeunt_types::Disposition::ALL {
            assert_eq!(wire_disposition(it).word(), it.word());
        }
    }

    #[test]
    fn an_hresult_has_eight_digits() {
        assert_eq!(status_code(StatusCode::OK), "0x00000000");
        assert_eq!(status_code(StatusCode::ENROLL_DENIED), "0x80094011");
    }
}
