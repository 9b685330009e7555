//! The question to the policy about a request that was admitted.

use exeunt_types::OfficerExtension;

use super::{Admitted, Entry};
use crate::policy::Asked;

impl Admitted {
    /// What officers set, which a new request has none of, or the CA itself.
    pub(super) fn officers(&self) -> &[OfficerExtension] {
        match &self.entry {
            Entry::New => &[],
            Entry::Again { from, .. } => &from.extensions,
            Entry::Own { extensions, .. } => extensions,
        }
    }

    /// The question to the policy.
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked {
            request: &self.request,
            attributes: &self.attributes,
            template: self.template.as_deref(),
            caller: &self.caller,
            on_behalf_of: self.enrolment.on_behalf_of.as_deref(),
            renewed: self.enrolment.renewed.as_ref(),
            signatures: &self.enrolment.signatures,
            approvals: &self.approvals,
            officers: self.officers(),
            new_request: matches!(self.entry, Entry::New),
            now: self.now,
        }
    }
}
