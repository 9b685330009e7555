//! What the key may be used for.

use exeunt_types::{KeyAlgorithm, StatusCode};
use exeunt_x509::KeyUsage;

use super::{Case, Ruling, excerpt};
use crate::attribute;

/// The usages of the template that the key can do.
pub(super) fn key_usage(case: &mut Case<'_>) -> Ruling {
    let key = case.asked.request.key();
    let usage = fitting_usage(case.template.key_usage, key);
    if usage != KeyUsage::default() {
        case.draft.key_usage = usage;
        return case.pass(|| {
            let names = KeyUsage::NAMES.into_iter().filter(|(_, it)| usage.contains(*it));
            let names: Vec<&str> = names.map(|(name, _)| name).collect();
            format!("the key is for {}", names.join(", "))
        });
    }
    Ruling::refuse(
        "key-unsuitable",
        // The original's word for a key that does not meet what the template demands of it.
        StatusCode::KEY_LENGTH,
        format!(
            "template {} is for nothing that a key of type {} can do",
            case.template.name,
            key.name()
        ),
    )
}

/// Extended key usages in a request attribute, where the template lets requesters give them so.
pub(super) fn extended(case: &mut Case<'_>) -> Ruling {
    if !case.template.dangerous.eku_from_attributes {
        return case.pass(|| "extended key usages are those of the template".to_owned());
    }
    let Some(text) = case.attribute("CertificateUsage") else {
        return Ruling::NotApplied("the request has no attribute CertificateUsage");
    };
    match attribute::purposes(text) {
        Ok(purposes) => {
            let note = format!("eku_from_attributes: {}", excerpt(text));
            case.draft.extended_key_usage = purposes;
            case.draft.notes.push(note.clone());
            case.pass(|| note)
        }
        Err(message) => Ruling::refuse("attribute-usage-invalid", StatusCode::FAIL, message),
    }
}

/// `keyEncipherment` makes sense for RSA alone (RFC 8813, RFC 8410, RFC 9881 forbid it for the
/// others); the template names it once for all keys.
fn fitting_usage(usage: KeyUsage, key: KeyAlgorithm) -> KeyUsage {
    let enciphers = KeyUsage::KEY_ENCIPHERMENT | KeyUsage::DATA_ENCIPHERMENT;
    let rsa = matches!(key, KeyAlgorithm::Rsa { .. });
    let fits = |it: KeyUsage| usage.contains(it) && (rsa || !enciphers.contains(it));
    let fitting = KeyUsage::NAMES.into_iter().map(|(_, it)| it).filter(|it| fits(*it));
    fitting.fold(KeyUsage::default(), |all, it| all | it)
}
