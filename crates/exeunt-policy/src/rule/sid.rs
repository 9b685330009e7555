//! The security identifier of a directory's account.

use exeunt_engine::is_like;
use exeunt_types::{OfficerExtension, StatusCode};
use exeunt_x509::Extension;

use super::{Case, Ruling};

/// The identifier that the configuration has for the requester, or else that of the request, where it may
/// say one.
pub(super) fn rule(case: &mut Case<'_>) -> Ruling {
    let rule = &case.template.sid;
    if !rule.from_request && rule.by_requester.is_empty() {
        return Ruling::NotApplied("the template has no security identifiers");
    }
    let requester = case.requester();
    // The name itself comes before patterns, and of these the longest: a table has no order.
    let fits = rule.by_requester.iter().filter(|(it, _)| is_like(it, requester));
    let known = fits.max_by_key(|(it, _)| (it == requester, it.len()));
    let of_request =
        || case.asked.request.extensions().iter().find_map(Extension::read_security_identifier);
    let sid = match known {
        Some((_, sid)) => Some(sid.clone()),
        None => of_request().filter(|_| rule.from_request),
    };
    let Some(sid) = sid else {
        if rule.required {
            return Ruling::refuse(
                "sid-missing",
                StatusCode::BAD_REQUEST_SUBJECT,
                format!("template {} knows no security identifier", case.template.name),
            );
        }
        return Ruling::NotApplied("there is no security identifier for the requester");
    };
    match Extension::security_identifier(&sid) {
        Ok(Extension { oid, critical: _, value }) => {
            let extension = OfficerExtension { oid: oid.to_string(), flags: 0, value };
            case.draft.extensions.push(extension);
            case.pass(|| format!("the security identifier is {sid}"))
        }
        Err(err) => Ruling::refuse("sid-missing", StatusCode::BAD_REQUEST_SUBJECT, err.to_string()),
    }
}
