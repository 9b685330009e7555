//! Extensions that are taken from the request.

use exeunt_types::{OfficerExtension, StatusCode};
use exeunt_x509::{Extension, KeyUsage, ObjectIdentifier, key_usage_in};

use super::{Case, Ruling};

/// What has rules of its own, or is the CA's.
const NEVER: [ObjectIdentifier; 7] = [
    ObjectIdentifier::new_unwrap("2.5.29.14"),
    ObjectIdentifier::new_unwrap("2.5.29.17"),
    ObjectIdentifier::new_unwrap("2.5.29.19"),
    ObjectIdentifier::new_unwrap("2.5.29.31"),
    ObjectIdentifier::new_unwrap("2.5.29.35"),
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.1"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.25.2"),
];
/// `keyUsage` (RFC 5280, section 4.2.1.3).
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
/// Longest value that is taken, in octets: the original's column `ExtensionRawValue`.
const VALUE_BYTES_MAX: usize = 4096;

/// The extensions of the request that the template takes; the others are left out, as in the original,
/// where they come in disabled.
pub(super) fn rule(case: &mut Case<'_>) -> Ruling {
    let (allowed, all) =
        (&case.template.extensions_allowed, case.template.dangerous.all_request_extensions);
    if allowed.is_empty() && !all {
        return Ruling::NotApplied("the template takes no extensions from the request");
    }
    let (mut taken, mut beyond) = (Vec::new(), Vec::new());
    for Extension { oid, critical, value } in case.asked.request.extensions() {
        let is_allowed = allowed.contains(oid);
        if NEVER.contains(oid) || !(is_allowed || all) {
            continue;
        }
        if VALUE_BYTES_MAX < value.len() {
            return Ruling::refuse(
                "request-extension-too-large",
                StatusCode::FAIL,
                format!("extension {oid} of the request is longer than {VALUE_BYTES_MAX} octets"),
            );
        }
        if *oid == KEY_USAGE && makes_ca(value, case.template.key_usage) {
            return Ruling::refuse(
                "request-key-usage-of-ca",
                StatusCode::FAIL,
                "the request asks for keyCertSign or cRLSign, which the template does not give",
            );
        }
        taken.push(oid.to_string());
        if !is_allowed {
            beyond.push(oid.to_string());
        }
        let flags = if *critical { OfficerExtension::CRITICAL } else { 0 };
        let extension = OfficerExtension { oid: oid.to_string(), flags, value: value.clone() };
        case.draft.extensions.push(extension);
    }
    if !beyond.is_empty() {
        case.draft.notes.push(format!("all_request_extensions: {}", beyond.join(", ")));
    }
    if taken.is_empty() {
        return Ruling::NotApplied("the request has no extension that the template takes");
    }
    case.pass(|| format!("taken from the request: {}", taken.join(", ")))
}

/// Whether somebody with that key usage could sign in the name of a CA, and the template has said nothing of
/// it. What cannot be read is the lints' to find.
fn makes_ca(value: &[u8], planned: KeyUsage) -> bool {
    let Some(usage) = key_usage_in(value) else { return false };
    let adds = |bit| usage.contains(bit) && !planned.contains(bit);
    adds(KeyUsage::KEY_CERT_SIGN) || adds(KeyUsage::CRL_SIGN)
}
