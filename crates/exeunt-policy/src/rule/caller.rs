//! Who may ask: by door, by name and group, on behalf of others, and who has to sign.

use exeunt_engine::is_like;
use exeunt_types::StatusCode;

use super::{Case, Ruling, excerpt};
use crate::template::{Callers, OnBehalf};

/// Whether callers may come from elsewhere.
pub(super) fn door(case: &mut Case<'_>) -> Ruling {
    let door = case.asked.caller.door;
    match case.template.callers {
        Callers::Authenticated => case.pass(|| "callers may come by every door".to_owned()),
        Callers::Local if door.is_on_this_machine() => {
            case.pass(|| "the caller is on the CA's own machine".to_owned())
        }
        Callers::Local => Ruling::refuse(
            "caller-not-local",
            StatusCode::ENROLL_DENIED,
            format!("template {} is for callers on the CA's own machine", case.template.name),
        ),
    }
}

/// Whether the caller is one of those who are named, or in one of the groups.
pub(super) fn requester(case: &mut Case<'_>) -> Ruling {
    let template = case.template;
    if template.requesters.is_empty() && template.groups.is_empty() {
        return Ruling::NotApplied("the template names neither requesters nor groups");
    }
    let caller = case.asked.caller;
    if let Some(pattern) = template.requesters.iter().find(|it| is_like(it, &caller.name)) {
        return case.pass(|| format!("{} is one of {pattern}", caller.name));
    }
    if let Some(group) = template.groups.iter().find(|it| caller.groups.contains(it)) {
        return case.pass(|| format!("{} is in group {group}", caller.name));
    }
    Ruling::refuse(
        "requester-not-allowed",
        StatusCode::ENROLL_DENIED,
        format!("template {} is not for {}", template.name, excerpt(&caller.name)),
    )
}

/// Whether an agent may ask for somebody else.
pub(super) fn on_behalf(case: &mut Case<'_>) -> Ruling {
    match (case.asked.on_behalf_of, case.template.on_behalf) {
        (None, _) => Ruling::NotApplied("nobody asks on behalf of another"),
        (Some(name), OnBehalf::Allow) => case.pass(|| format!("an agent may ask for {name}")),
        (Some(_), OnBehalf::Refuse) => Ruling::refuse(
            "on-behalf-not-allowed",
            StatusCode::ENROLL_DENIED,
            format!("template {} is not for those who ask on behalf of others", case.template.name),
        ),
    }
}

/// Whether enough people have signed around the request, with certificates for that.
pub(super) fn signatures(case: &mut Case<'_>) -> Ruling {
    let Some(rule) = &case.template.signatures else {
        return Ruling::NotApplied("the template wants no signatures around the request");
    };
    let counts = |signer: &&exeunt_x509::Certificate| {
        let (purposes, policies) = (signer.extended_key_usages(), signer.policies());
        rule.purposes.iter().all(|it| purposes.contains(it))
            && rule.policies.iter().all(|it| policies.contains(it))
    };
    let count = case.asked.signatures.iter().filter(counts).count();
    let message = || format!("{count} of {} signatures around the request", rule.count);
    if rule.count <= count {
        return case.pass(message);
    }
    Ruling::refuse(
        "signatures-missing",
        StatusCode::SIGNATURE_COUNT,
        format!("template {} wants more signatures: {}", case.template.name, message()),
    )
}
