//! The subject: what is taken from the request, and what the template makes of it.

use exeunt_types::StatusCode;
use exeunt_x509::Name;

use super::{Case, Ruling, excerpt};
use crate::escape::escape;
use crate::pattern::Known;
use crate::property::NameProperty;
use crate::template::{Others, SubjectPart};

const BAD_SUBJECT: StatusCode = StatusCode::BAD_REQUEST_SUBJECT;

/// Parts of the subject in request attributes, where the template lets requesters give them so.
pub(super) fn from_attributes(case: &mut Case<'_>) -> Ruling {
    if !case.template.dangerous.subject_from_attributes {
        return Ruling::NotApplied("the subject is not taken from request attributes");
    }
    let given: Vec<(&str, &str)> = case
        .asked
        .attributes
        .iter()
        .filter_map(|(name, value)| Some((NameProperty::find(name)?.oid, value.as_str())))
        .collect();
    if given.is_empty() {
        return Ruling::NotApplied("no request attribute is a part of the subject");
    }
    let mut rdns: Vec<String> = Vec::new();
    for (oid, value) in &given {
        rdns.extend(value.split('\n').map(|it| format!("{oid}={}", escape(it))));
    }
    // What is given so takes the place of what the request has of its type.
    let kept = case.draft.subject.filtered(|oid| given.iter().all(|(it, _)| *it != oid));
    let kept = kept.map(|it| it.to_string()).unwrap_or_default();
    if !kept.is_empty() {
        rdns.push(kept);
    }
    match Name::parse(&rdns.join(",")) {
        Ok(subject) => {
            let note = format!("subject_from_attributes: {}", excerpt(&subject.to_string()));
            case.draft.subject = subject;
            case.draft.notes.push(note.clone());
            case.pass(|| note)
        }
        Err(err) => Ruling::refuse(
            "attribute-subject-invalid",
            BAD_SUBJECT,
            format!("the subject in the request attributes cannot be built: {err}"),
        ),
    }
}

/// Whether the template takes every part of the requested subject.
pub(super) fn from_request(case: &mut Case<'_>) -> Ruling {
    let allowed = &case.template.subject_allowed;
    let takes = |oid: &str| allowed.iter().any(|it| it == oid);
    let others: Vec<String> =
        case.draft.subject.attributes().map(|(oid, _)| oid).filter(|it| !takes(it)).collect();
    let Some(first) = others.first() else {
        return case.pass(|| "the template takes every part of the requested subject".to_owned());
    };
    match case.template.subject.others {
        Others::Refuse => Ruling::refuse(
            "subject-not-allowed",
            BAD_SUBJECT,
            format!(
                "template {} does not take subject attribute {first} from the request",
                case.template.name
            ),
        ),
        Others::Ignore => match case.draft.subject.filtered(takes) {
            Ok(subject) => {
                case.draft.subject = subject;
                case.pass(|| format!("left out of the subject: {}", others.join(", ")))
            }
            Err(err) => Ruling::refuse(
                "subject-not-built",
                BAD_SUBJECT,
                format!("the subject cannot be taken from the request: {err}"),
            ),
        },
    }
}

/// The subject that the template makes, in its order.
pub(super) fn build(case: &mut Case<'_>) -> Ruling {
    let rule = &case.template.subject;
    if !rule.build.is_empty() {
        let names = taken_names(case);
        let known = Known { asked: case.asked, subject: &case.draft.subject, names: &names };
        let mut rdns = Vec::new();
        for parts in &rule.build {
            rdns.extend(rdn_texts(parts, &known, &rule.separator));
        }
        match Name::parse(&rdns.join(",")) {
            Ok(subject) => case.draft.subject = subject,
            Err(err) => {
                let name = &case.template.name;
                let message = format!("the subject of template {name} cannot be built: {err}");
                return Ruling::refuse("subject-not-built", BAD_SUBJECT, message);
            }
        }
    }
    if rule.original_lengths
        && let Some((property, len)) = too_long(&case.draft.subject)
    {
        let (name, max) = (property.name, property.length_max);
        return Ruling::refuse(
            "subject-too-long",
            BAD_SUBJECT,
            format!("{name} has {len} characters, and at most {max} are allowed"),
        );
    }
    if rule.build.is_empty() {
        return Ruling::NotApplied("the subject is what the request asks for");
    }
    case.pass(|| format!("the subject is {}", case.draft.subject))
}

/// Names that patterns can be filled from: those that the template takes.
fn taken_names(case: &Case<'_>) -> Vec<exeunt_x509::GeneralName> {
    let names = case.asked.request.subject_alternative_names();
    names.iter().filter(|it| super::name::takes(case.template, it)).cloned().collect()
}

/// The RDNs of an entry as text: one for each value where it is one attribute, one where it is several.
fn rdn_texts(parts: &[SubjectPart], known: &Known<'_>, separator: &str) -> Vec<String> {
    let values = |part: &SubjectPart| -> Vec<String> {
        let filled = part.value.fill(known);
        let split = filled.iter().flat_map(|it| it.split(separator));
        split.filter(|it| !it.is_empty()).map(|it| format!("{}={}", part.oid, escape(it))).collect()
    };
    match parts {
        [part] => values(part),
        parts => {
            let firsts: Option<Vec<String>> =
                parts.iter().map(|it| values(it).into_iter().next()).collect();
            firsts.map(|it| it.join("+")).into_iter().collect()
        }
    }
}

/// The first part that is longer than the original lets it be.
fn too_long(subject: &Name) -> Option<(&'static NameProperty, usize)> {
    subject.attributes().find_map(|(oid, value)| {
        let property = NameProperty::by_oid(&oid)?;
        let len = value.chars().count();
        (property.length_max < len).then_some((property, len))
    })
}
