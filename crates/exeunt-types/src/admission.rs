//! What is written beside a request on its way: who asked and by which door, approvals, limits of
//! issuance, flags of the template.

use std::time::Duration;

use crate::{Roles, UnixMillis};

/// Who asked, as far as a policy may ask for it again when the request is taken up later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The door that they came in by, one word.
    pub door: String,
    /// What they might do.
    pub roles: Roles,
    /// Groups that they were in.
    pub groups: Vec<String>,
}

/// A certificate manager's approval of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Who approved, by the name that they have however they come in.
    pub manager: String,
    /// When.
    pub at: UnixMillis,
}

/// Something for the audit trail about a request that may not have a number yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditNote {
    /// When.
    pub at: UnixMillis,
    /// Who.
    pub actor: String,
    /// What, as a word like `dangerous-option-used`.
    pub action: String,
    /// The rest, for people. Never a secret.
    pub detail: String,
}

/// So many certificates in so long a time, and no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// What is counted together, for example `template tls-server`. Limits of one scope count the same
    /// certificates.
    pub scope: String,
    /// Most certificates in a window.
    pub certificates: u32,
    /// Length of the window, which ends now.
    pub window: Duration,
}

/// The flags of a template, with the original's bits (MS-CRTD, sections 2.4, 2.26 and 2.27).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TemplateFlags {
    /// `msPKI-Enrollment-Flag`.
    pub enrollment: u32,
    /// `flags`.
    pub general: u32,
    /// `msPKI-Private-Key-Flag`.
    pub private_key: u32,
}
