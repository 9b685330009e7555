//! Subject alternative names: what is taken from the request, what the template adds.

use exeunt_types::StatusCode;
use exeunt_x509::{GeneralName, SAN_COUNT_MAX};

use super::{Case, Ruling, excerpt};
use crate::attribute;
use crate::pattern::Known;
use crate::template::{Holder, NameKind, Others, SID_URI_PREFIX, Template};

const BAD_SUBJECT: StatusCode = StatusCode::BAD_REQUEST_SUBJECT;

/// Whether a template takes a name from a request. A URI that names an account is one only where the
/// template takes security identifiers too.
pub(super) fn takes(template: &Template, name: &GeneralName) -> bool {
    let allowed = NameKind::of(name).is_some_and(|kind| template.names_allowed.contains(&kind));
    allowed && may_name_account(template, name)
}

/// Whether a name is no account's, or the template takes security identifiers.
fn may_name_account(template: &Template, name: &GeneralName) -> bool {
    let is_sid = matches!(name, GeneralName::Uri(uri)
        if uri.get(..SID_URI_PREFIX.len()).is_some_and(|it| it.eq_ignore_ascii_case(SID_URI_PREFIX)));
    !is_sid || template.sid.from_request
}

/// Whether the template takes every requested name.
pub(super) fn from_request(case: &mut Case<'_>) -> Ruling {
    let requested = case.asked.request.subject_alternative_names();
    let (taken, others): (Vec<&GeneralName>, Vec<&GeneralName>) =
        requested.iter().partition(|it| takes(case.template, it));
    case.draft.requested = taken.into_iter().cloned().collect();
    case.draft.names.clone_from(&case.draft.requested);
    if let Some(first) = others.first()
        && case.template.names.others == Others::Refuse
    {
        return Ruling::refuse(
            "san-not-allowed",
            BAD_SUBJECT,
            format!(
                "template {} does not take subject alternative name {} from the request",
                case.template.name,
                excerpt(&first.to_string())
            ),
        );
    }
    if requested.is_empty() && case.template.dns_from_common_name {
        let host = case.draft.subject.common_name().map(|it| GeneralName::Dns(it.to_owned()));
        case.draft.names = host.into_iter().filter(|it| it.check().is_ok()).collect();
    }
    let (taken, left_out) = (case.draft.requested.len(), others.len());
    case.pass(|| format!("{taken} requested names are taken, {left_out} are left out"))
}

/// Names in the attribute `SAN`, where the template lets requesters give them so.
pub(super) fn from_attributes(case: &mut Case<'_>) -> Ruling {
    if !case.template.dangerous.san_from_attributes {
        return Ruling::NotApplied("alternative names are not taken from request attributes");
    }
    let Some(text) = case.attribute("SAN") else {
        return Ruling::NotApplied("the request has no attribute SAN");
    };
    match attribute::alternative_names(text) {
        Ok(names) => {
            // Whatever else is taken from attributes, an account is named where the template says so.
            if let Some(first) = names.iter().find(|it| !may_name_account(case.template, it)) {
                let message = format!(
                    "template {} does not take subject alternative name {} from attributes",
                    case.template.name,
                    excerpt(&first.to_string())
                );
                return Ruling::refuse("san-not-allowed", BAD_SUBJECT, message);
            }
            let note = format!("san_from_attributes: {}", excerpt(text));
            for name in names {
                case.add(name);
            }
            if SAN_COUNT_MAX < case.draft.names.len() {
                let message = format!("a certificate has at most {SAN_COUNT_MAX} names");
                return Ruling::refuse("attribute-san-invalid", BAD_SUBJECT, message);
            }
            case.draft.notes.push(note.clone());
            case.pass(|| note)
        }
        Err(message) => Ruling::refuse("attribute-san-invalid", BAD_SUBJECT, message),
    }
}

/// Names that the template adds.
pub(super) fn build(case: &mut Case<'_>) -> Ruling {
    let entries = &case.template.names.add;
    if entries.is_empty() {
        return Ruling::NotApplied("the template adds no alternative names");
    }
    let mut made = Vec::new();
    {
        let known =
            Known { asked: case.asked, subject: &case.draft.subject, names: &case.draft.requested };
        for entry in entries {
            let texts = match entry.kind {
                NameKind::Directory => entry.value.fill_name(&known),
                _ => entry.value.fill(&known),
            };
            for text in texts {
                match entry.kind.make(&text) {
                    Ok(name) => made.push(name),
                    Err(why) => {
                        let name = &case.template.name;
                        return Ruling::refuse(
                            "san-not-built",
                            BAD_SUBJECT,
                            format!("a name of template {name} cannot be built: {}", excerpt(&why)),
                        );
                    }
                }
            }
        }
    }
    let count = made.len();
    for name in made {
        case.add(name);
    }
    if SAN_COUNT_MAX < case.draft.names.len() {
        let message = format!("a certificate has at most {SAN_COUNT_MAX} alternative names");
        return Ruling::refuse("san-not-built", BAD_SUBJECT, message);
    }
    case.pass(|| format!("{count} names are added"))
}

/// Whether there is a name of each kind that the template wants.
pub(super) fn required(case: &mut Case<'_>) -> Ruling {
    let kinds = &case.template.names.required;
    if kinds.is_empty() {
        return Ruling::NotApplied("the template wants no alternative names");
    }
    let has = |kind: &NameKind| case.draft.names.iter().any(|it| NameKind::of(it) == Some(*kind));
    match kinds.iter().find(|it| !has(it)) {
        None => case.pass(|| "there is a name of each kind that the template wants".to_owned()),
        Some(kind) => Ruling::refuse(
            "san-missing",
            BAD_SUBJECT,
            format!(
                "template {} wants a subject alternative name of kind {}",
                case.template.name,
                kind.word()
            ),
        ),
    }
}

/// Whether anything says whose certificate it is; a CA needs a subject.
pub(super) fn nameless(case: &mut Case<'_>) -> Ruling {
    let subject = &case.draft.subject;
    if subject.is_empty() && case.draft.names.is_empty() {
        let message = "the request has neither a subject nor a subject alternative name";
        return Ruling::refuse("request-nameless", BAD_SUBJECT, message);
    }
    // RFC 5280, section 4.1.2.6: certificates that it issues have to name it.
    if subject.is_empty() && matches!(case.template.holder, Holder::Ca { .. }) {
        let message = "the request of a CA needs a subject";
        return Ruling::refuse("request-nameless", BAD_SUBJECT, message);
    }
    case.pass(|| "the certificate names its holder".to_owned())
}

impl Case<'_> {
    /// Adds a name that is not there yet.
    fn add(&mut self, name: GeneralName) {
        if !self.draft.names.contains(&name) {
            self.draft.names.push(name);
        }
    }
}
