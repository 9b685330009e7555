//! When a template issues, and until when its certificates are valid.

use exeunt_types::{StatusCode, UnixMillis};
use exeunt_x509::time_text;

use super::{Case, Ruling};
use crate::attribute;

/// Whether the template still issues.
pub(super) fn template_window(case: &mut Case<'_>) -> Ruling {
    let Some(until) = case.template.valid_until else {
        return Ruling::NotApplied("the template issues without an end");
    };
    let text = time_text(until.unix_seconds());
    if case.asked.now < until {
        return case.pass(|| format!("the template issues until {text}"));
    }
    Ruling::refuse(
        "template-ended",
        StatusCode::UNSUPPORTED_CERT_TYPE,
        format!("template {} has issued nothing since {text}", case.template.name),
    )
}

/// The end of validity in request attributes, where the template lets requesters give it so. It is never
/// later than without.
pub(super) fn rule(case: &mut Case<'_>) -> Ruling {
    let now = case.asked.now;
    // Nothing is valid that ends before it begins.
    if let Some(from) = case.template.valid_from
        && now.plus(case.template.validity) <= from
    {
        let text = time_text(from.unix_seconds());
        return Ruling::refuse(
            "template-not-begun",
            StatusCode::UNSUPPORTED_CERT_TYPE,
            format!("template {} makes certificates that begin at {text}", case.template.name),
        );
    }
    if !case.template.dangerous.end_date_from_attributes {
        return case.pass(|| "the validity is that of the template".to_owned());
    }
    let end = match attribute::end_of_validity(case.asked.attributes, now) {
        Ok(None) => {
            return Ruling::NotApplied("no request attribute says when the validity ends");
        }
        Ok(Some(end)) if end <= now => {
            let message = "the validity in the request attributes ends in the past";
            return Ruling::refuse("attribute-date-invalid", StatusCode::FAIL, message);
        }
        Ok(Some(end)) => end,
        Err(message) => {
            return Ruling::refuse("attribute-date-invalid", StatusCode::FAIL, message);
        }
    };
    let note = format!("end_date_from_attributes: {}", time_text(end.unix_seconds()));
    let earlier = |it: UnixMillis| it.min(end);
    case.draft.not_after = Some(case.draft.not_after.map_or(end, earlier));
    case.draft.notes.push(note.clone());
    case.pass(|| note)
}
