//! Properties of the request.

use exeunt_module::{Properties, Value};
use exeunt_types::{EventState, NewRequest, RequestFlags, RequestRecord, UnixMillis};
use exeunt_x509::{Certificate, CertificationRequest, ObjectIdentifier};

use super::{long, milliseconds, name, push_text};

/// Everything but `RawRequest`, which not every module gets with the event. `resolved` is when the
/// processing that the event is about ended, `read` is what the request's bytes say, where they could
/// be read, and `signers` are the certificates of those who signed around it.
pub(super) fn properties(
    record: &RequestRecord,
    state: Option<&EventState>,
    resolved: Option<UnixMillis>,
    (read, signers): (Option<&CertificationRequest>, &[Certificate]),
) -> Properties {
    let RequestRecord {
        id,
        request,
        disposition,
        status,
        message,
        resolved: _,
        officer_extensions: _,
        revocation,
        publish_expired,
        serial: _,
    } = record;
    let NewRequest {
        raw,
        request_type,
        requester,
        caller,
        template,
        attributes,
        subject,
        flags,
        old_certificate,
        submitted,
    } = request;
    let (disposition, status, message, revocation) = match state {
        Some(EventState { disposition, status, message, revocation }) => {
            (disposition, status, message, revocation)
        }
        None => (disposition, status, message, revocation),
    };
    let mut properties = Properties::with_capacity(24);
    properties.push("RequestID", long(id.0));
    // A certificate that was imported may have come without a request.
    if !raw.is_empty() {
        properties.push("RequestType", Value::Long(request_type.code()));
    }
    properties.push("RequestFlags", Value::Long(flags.0.cast_signed()));
    properties.push("StatusCode", Value::Long(status.0.cast_signed()));
    properties.push("Disposition", Value::Long(disposition.code()));
    push_text(&mut properties, "DispositionMessage", message);
    properties.push("SubmittedWhen", Value::Date(milliseconds(*submitted)));
    if let Some(resolved) = resolved {
        properties.push("ResolvedWhen", Value::Date(milliseconds(resolved)));
    }
    if let Some(revocation) = revocation {
        properties.push("RevokedWhen", Value::Date(milliseconds(revocation.ran)));
        properties.push("RevokedEffectiveWhen", Value::Date(milliseconds(revocation.effective)));
        properties.push("RevokedReason", Value::Long(revocation.reason_code().cast_signed()));
    }
    // As it is now: the log does not keep what it was.
    if *publish_expired {
        properties.push("PublishExpiredCertInCRL", Value::Long(1));
    }
    if let Some(old) = old_certificate {
        properties.push("RawOldCertificate", Value::Binary(old.clone()));
    }
    if flags.contains(RequestFlags::ENROLL_ON_BEHALF_OF) {
        properties.push("Officer", Value::Long(1));
    }
    push_text(&mut properties, "SignerPolicies", &lines(signers, Certificate::policies));
    let purposes = lines(signers, Certificate::extended_key_usages);
    push_text(&mut properties, "SignerApplicationPolicies", &purposes);
    push_text(&mut properties, "RequesterName", requester);
    push_text(&mut properties, "CallerName", caller);
    push_text(&mut properties, "CertificateTemplate", template);
    push_text(&mut properties, "RequestAttributes", &attribute_lines(attributes));
    name::push(&mut properties, subject, read.map(CertificationRequest::subject));
    properties
}

/// What all of them say, each once, a line each.
fn lines(signers: &[Certificate], of: fn(&Certificate) -> Vec<ObjectIdentifier>) -> String {
    let mut all: Vec<ObjectIdentifier> = Vec::new();
    for oid in signers.iter().flat_map(of) {
        if !all.contains(&oid) {
            all.push(oid);
        }
    }
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn attribute_lines(attributes: &[(String, String)]) -> String {
    attributes.iter().flat_map(|(name, value)| [name, ":", value, "\n"]).collect()
}
