//! Renewals: whether, for which names, and when.

use exeunt_types::StatusCode;
use exeunt_x509::time_text;

use super::{Case, Ruling};
use crate::template::Renewal;

/// Whether the template renews, and whether the names are those of the old certificate.
pub(super) fn rule(case: &mut Case<'_>) -> Ruling {
    let Some(renewed) = case.asked.renewed else {
        return Ruling::NotApplied("the request renews no certificate");
    };
    match case.template.renewal {
        Renewal::AnyNames => case.pass(|| "a renewal may have any names".to_owned()),
        Renewal::Refuse => Ruling::refuse(
            "renewal-not-allowed",
            StatusCode::ENROLL_DENIED,
            format!("template {} does not renew certificates", case.template.name),
        ),
        Renewal::SameNames => {
            let known = renewed.subject_alternative_names();
            let same = case.draft.subject.matches(renewed.subject())
                && case.draft.names.iter().all(|it| known.contains(it));
            if same {
                return case.pass(|| "the names are those of the renewed certificate".to_owned());
            }
            Ruling::refuse(
                "renewal-names-differ",
                StatusCode::BAD_REQUEST_SUBJECT,
                format!(
                    "template {} renews certificates with the names that they have, and the request \
                     asks for others",
                    case.template.name
                ),
            )
        }
    }
}

/// Whether the old certificate is near enough to its end.
pub(super) fn window(case: &mut Case<'_>) -> Ruling {
    let (Some(renewed), Some(window)) = (case.asked.renewed, case.template.renewal_window) else {
        return Ruling::NotApplied("the request renews nothing, or may do so at any time");
    };
    let window_s = i64::try_from(window.as_secs()).unwrap_or(i64::MAX);
    let from = renewed.not_after().saturating_sub(window_s);
    if from <= case.asked.now.unix_seconds() {
        return case.pass(|| format!("renewal is possible since {}", time_text(from)));
    }
    Ruling::refuse(
        "renewal-too-early",
        StatusCode::ENROLL_DENIED,
        format!(
            "template {} renews this certificate from {} on; come again then",
            case.template.name,
            time_text(from)
        ),
    )
}
