//! Whom a certificate manager may decide about, and what the audit trail says of those who were
//! refused.
//!
//! Which roles a caller has, is found out at the door. Here is what a door cannot know: the row that an
//! order is about.

use exeunt_store::AuditEntry;
use exeunt_types::RequestRecord;

use crate::engine::Engine;
use crate::enroll::choose_template;
use crate::officer_error::OfficerError;
use crate::policy::Caller;

/// What a certificate manager is limited to: the original's restrictions of officers.
///
/// Both lists hold texts in which `*` stands for any characters. An empty one is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManagerScope {
    /// Templates of requests and certificates.
    pub templates: Vec<String>,
    /// For whom they are, as rows name them: `token:web-*`.
    pub requesters: Vec<String>,
}

impl ManagerScope {
    fn has_template(&self, template: &str) -> bool {
        self.templates.is_empty() || self.templates.iter().any(|it| is_like(it, template))
    }

    fn has_requester(&self, requester: &str) -> bool {
        self.requesters.is_empty() || self.requesters.iter().any(|it| is_like(it, requester))
    }
}

impl Caller {
    /// Refuses a certificate manager what is outside of their limits: `row`, were its attributes
    /// `attributes`.
    ///
    /// # Errors
    ///
    /// [`OfficerError::Restricted`].
    pub(crate) fn check_scope(
        &self,
        row: &RequestRecord,
        attributes: &[(String, String)],
    ) -> Result<(), OfficerError> {
        let Some(scope) = &self.scope else { return Ok(()) };
        // The template of the last decision, and the one that would be taken now.
        let named = choose_template(None, attributes).ok().flatten();
        let template = &row.request.template;
        let templates =
            [Some(template).filter(|it| !it.is_empty() || named.is_none()), named.as_ref()];
        let is_inside = scope.has_requester(&row.request.requester)
            && templates.into_iter().flatten().all(|it| scope.has_template(it));
        if is_inside { Ok(()) } else { Err(OfficerError::Restricted(row.id)) }
    }
}

impl Engine {
    /// Writes into the audit trail that somebody was refused; gives the entry's number.
    ///
    /// `actor` is who, as far as that is known, `object` what was asked for, `detail` why not.
    ///
    /// # Errors
    ///
    /// [`OfficerError::Store`].
    pub fn note_refusal(
        &self,
        actor: String,
        object: String,
        detail: String,
    ) -> Result<u64, OfficerError> {
        let entry =
            AuditEntry::new(self.clock.now(), actor, "access-refused", object).detail(detail);
        let action = "writing the audit trail";
        self.store.audit(entry).map_err(|source| OfficerError::Store { action, source })
    }
}

/// Whether a text is as a pattern has it, in which `*` stands for any characters.
#[must_use]
pub fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        // The earliest place leaves most for those that follow.
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text) in [
            ("", ""),
            ("a", "a"),
            ("*", ""),
            ("*", "anything"),
            ("token:web-*", "token:web-1"),
            ("*-web", "token-web"),
            ("a*b*c", "abc"),
            ("a*b*c", "axxbxbxc"),
            ("*ab*ab", "abab"),
            ("ä*ü", "äöü"),
        ] {
            assert!(is_like(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("a", ""),
            ("a", "ab"),
            ("token:web-*", "token:mail-1"),
            ("a*a", "a"),
            ("*ab*ab", "ab"),
            ("a*b*c", "acb"),
            ("a?", "ab"),
        ] {
            assert!(!is_like(pattern, text), "{pattern} {text}");
        }
    }
}
