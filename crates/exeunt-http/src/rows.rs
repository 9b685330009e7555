//! Look-ups: rows of the store as the API's types, converted by hand.

use std::error::Error;

use exeunt_api::{
    CertificateDetail, CertificatePage, CertificateSummary, Disposition, RequestAttribute,
    RequestDetail, RequestPage, RequestSummary,
};
use exeunt_engine::Engine;
use exeunt_types::{
    CertificateRecord, NewCertificate, NewRequest, RequestId, RequestRecord, Serial, StatusCode,
};

use crate::answer::{Answer, json, pem, rfc3339};
use crate::fault::Fault;
use crate::query::PageQuery;

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

pub(crate) fn requests(engine: &Engine, page: &PageQuery) -> Result<Answer, Fault> {
    let before = page.before.map(RequestId);
    let rows =
        engine.store().requests(before, page.limit).map_err(|err| unread(err.code(), &err))?;
    let next_before = full(page, rows.len()).and_then(|()| rows.last().map(|it| it.id.0));
    let requests = rows.into_iter().map(|row| split_request(row).0).collect();
    Ok(json(OK, &RequestPage { requests, next_before }))
}

pub(crate) fn request(engine: &Engine, id: RequestId) -> Result<Answer, Fault> {
    let Some(row) = engine.store().request(id).map_err(|err| unread(err.code(), &err))? else {
        return Err(Fault::not_found("request-not-found", format!("there is no request {id}")));
    };
    let (summary, attributes, raw) = split_request(row);
    let attributes =
        attributes.into_iter().map(|(name, value)| RequestAttribute { name, value }).collect();
    let request = pem("CERTIFICATE REQUEST", &raw);
    Ok(json(OK, &RequestDetail { summary, attributes, request }))
}

pub(crate) fn certificates(engine: &Engine, page: &PageQuery) -> Result<Answer, Fault> {
    let before = page.before.map(RequestId);
    let rows =
        engine.store().certificates(before, page.limit).map_err(|err| unread(err.code(), &err))?;
    let next_before = full(page, rows.len()).and_then(|()| rows.last().map(|it| it.request.0));
    let certificates = rows.into_iter().map(|row| split_certificate(row).0).collect();
    Ok(json(OK, &CertificatePage { certificates, next_before }))
}

pub(crate) fn certificate(engine: &Engine, serial: &Serial) -> Result<Answer, Fault> {
    let Some(row) = engine.store().certificate(serial).map_err(|err| unread(err.code(), &err))?
    else {
        let detail = format!("there is no certificate {serial}");
        return Err(Fault::not_found("certificate-not-found", detail));
    };
    let (summary, raw) = split_certificate(row);
    Ok(json(OK, &CertificateDetail { summary, certificate: pem("CERTIFICATE", &raw) }))
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
    let CertificateRecord { request, certificate, template, issued, event } = row;
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

fn wire_disposition(disposition: exeunt_types::Disposition) -> Disposition {
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
