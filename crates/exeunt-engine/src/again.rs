//! Requests that are taken up again: who asked for one, and who approves it now.

use exeunt_types::{Approval, Asker, RequestRecord, Roles, UnixMillis};

use crate::enroll::choose_template;
use crate::error::SubmitError;
use crate::policy::{ApprovalRule, Caller, Door, Policy};

/// What `by` adds to the approvals of a request: nothing, where as many as are needed are known already,
/// which happens when the certificate could not be made then.
pub(crate) fn approved_by(
    known: &[Approval],
    record: &RequestRecord,
    by: &Caller,
    now: UnixMillis,
    policy: &dyn Policy,
) -> Result<Option<Approval>, SubmitError> {
    let named = choose_template(None, &record.request.attributes)?;
    let template = named.as_deref().or(Some(record.request.template.as_str()));
    let ApprovalRule { needed, own } = policy.approval_rule(template.filter(|it| !it.is_empty()));
    let request = record.id;
    if !own && [&record.request.caller, &record.request.requester].contains(&&by.name) {
        return Err(SubmitError::OwnApproval { request });
    }
    if known.iter().any(|it| it.manager == by.name) {
        if known.len() < needed {
            return Err(SubmitError::ApprovedAlready { request });
        }
        return Ok(None);
    }
    Ok(Some(Approval { manager: by.name.clone(), at: now }))
}

/// Who asked for a request that is taken up again. Where that was not noted, the door is the one by which
/// the officer came in.
pub(crate) fn asked_by(name: String, asker: Option<Asker>, by: &Caller) -> Caller {
    let Some(Asker { door, roles, groups }) = asker else {
        return Caller::new(name, by.door, Roles::ENROLLEE);
    };
    // A door that only another version knows is the least trusted one.
    let door = Door::from_word(&door).unwrap_or(Door::Remote);
    Caller { groups, ..Caller::new(name, door, roles) }
}
