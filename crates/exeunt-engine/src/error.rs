//! Why a submission ended without a certificate and without a decision.

use exeunt_store::StoreError;
use exeunt_types::RequestId;

use crate::AttributeError;
use crate::archive::ArchiveRefusal;
use crate::enroll::MessageRefusal;

/// Whose move it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The request is not acceptable and never will be.
    Requester,
    /// The CA's operator must do something: disk, certificate, configuration.
    Operator,
    /// Ours: a fault in Exeunt.
    Us,
}

/// Why a submission was not decided, or its decision not carried out.
///
/// A refusal by the policy is no error but an [`crate::Outcome`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The bytes are no acceptable request. Nothing was recorded.
    #[error("request is not acceptable")]
    Unreadable {
        /// What is wrong, for the requester.
        source: exeunt_x509::SubmissionError,
    },

    /// An attribute is not acceptable. Nothing was recorded.
    #[error("attributes are not acceptable")]
    Attributes {
        /// What is wrong, for the requester.
        source: AttributeError,
    },

    /// An attribute beside a signed message says otherwise than the message. Nothing was recorded.
    #[error("attribute {} says otherwise than the signed message", excerpt(name))]
    AttributeSigned {
        /// Its name.
        name: String,
    },

    /// Two different templates were named. Nothing was recorded.
    #[error("two templates are named, {} and {}", excerpt(option), excerpt(attribute))]
    TemplateConflict {
        /// The one asked for directly.
        option: String,
        /// The one in the attribute `CertificateTemplate`.
        attribute: String,
    },

    /// The signature of the request does not verify: the caller does not hold the key. A row says so.
    #[error("signature of request {request} does not verify")]
    BadSignature {
        /// Row of the request.
        request: RequestId,
    },

    /// What was signed around the request is not believed. A row says so.
    #[error("the message around request {request} is not believed: {refusal}")]
    Message {
        /// Row of the request.
        request: RequestId,
        /// Why.
        refusal: MessageRefusal,
    },

    /// The CA's own certificate is not valid now.
    #[error("the certificate of this CA is not valid now")]
    CaNotValid,

    /// The certificate could not be built from the plan.
    #[error("building the certificate failed")]
    Build {
        /// What the builder said.
        source: exeunt_x509::BuildError,
    },

    /// What an officer set breaks a rule. The request waits as before.
    #[error("with what officers set, the certificate would break a rule: {findings}")]
    OfficerLint {
        /// Which ones, in one line.
        findings: String,
    },

    /// The private key that came with the request cannot be archived. A row says so, without the key.
    #[error("the private key of request {request} is not archived: {refusal}")]
    Key {
        /// Row of the request.
        request: RequestId,
        /// Why.
        refusal: ArchiveRefusal,
    },

    /// A limit of issuance is reached. The request waits as before.
    #[error("{message}")]
    RateLimited {
        /// The request.
        request: RequestId,
        /// What is limited, and when there will be room.
        message: String,
    },

    /// Whoever approves asked for it, and the template does not take that.
    #[error("request {request} is not approved by whoever asked for it")]
    OwnApproval {
        /// The request.
        request: RequestId,
    },

    /// The same manager approves a second time, where others have to.
    #[error("the same manager has approved request {request} already; it waits for others")]
    ApprovedAlready {
        /// The request.
        request: RequestId,
    },

    /// The policy could not decide, and is configured to fail requests then. A row says so.
    #[error("the policy did not decide about request {request}: {message}")]
    Policy {
        /// Row of the request.
        request: RequestId,
        /// What happened to the policy, in one line.
        message: String,
    },

    /// The caller submitted the same before, with the same idempotency key: what became of that is the
    /// answer.
    #[error("the same was submitted before, as request {request}")]
    Repeated {
        /// The request.
        request: RequestId,
        /// Why it was denied, if it was.
        denied: Option<String>,
    },

    /// The caller's idempotency key stands for something else.
    #[error("the idempotency key was used for another request")]
    KeyReused,

    /// No randomness for a serial number.
    #[error("no randomness for a serial number")]
    Entropy {
        /// What the generator said.
        source: exeunt_keys::KeyError,
    },

    /// No signature came back. The serial is spent and counts as revoked; a row says so.
    #[error("signing the certificate of request {request} failed")]
    Sign {
        /// Row of the request.
        request: RequestId,
        /// What the key's keeper said.
        source: exeunt_keys::SignError,
    },

    /// A step panicked: a fault in Exeunt, or in a policy. The other submissions go on.
    #[error("a step panicked: {words}")]
    Panicked {
        /// What the panic said, as far as it is text.
        words: String,
    },

    /// The store refused or lost a write.
    #[error("{action} failed")]
    Store {
        /// What was being done, as a gerund.
        action: &'static str,
        /// What the store said.
        source: StoreError,
    },
}

impl SubmitError {
    /// Stable code for logs, API bodies and scripts. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { source } => source.code(),
            Self::Attributes { source } => source.code(),
            Self::TemplateConflict { .. } => "template-conflict",
            Self::AttributeSigned { .. } => "attribute-signed",
            Self::BadSignature { .. } => "request-bad-signature",
            Self::Message { refusal, .. } => refusal.code(),
            Self::CaNotValid => "ca-not-valid",
            Self::Build { .. } => "issue-build",
            Self::OfficerLint { .. } => "officer-lint",
            Self::Key { refusal, .. } => refusal.code(),
            Self::RateLimited { .. } => "rate-limited",
            Self::OwnApproval { .. } => "approval-own",
            Self::ApprovedAlready { .. } => "approval-twice",
            Self::Policy { .. } => "policy-failed",
            Self::Repeated { .. } => "idempotency-key-in-flight",
            Self::KeyReused => "idempotency-key-reused",
            Self::Entropy { .. } => "issue-entropy",
            Self::Sign { .. } => "issue-sign",
            Self::Panicked { .. } => "internal",
            Self::Store { source, .. } => source.code(),
        }
    }

    /// Whose move it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Unreadable { .. }
            | Self::Attributes { .. }
            | Self::AttributeSigned { .. }
            | Self::TemplateConflict { .. }
            | Self::BadSignature { .. }
            | Self::Message { .. }
            | Self::OfficerLint { .. }
            | Self::RateLimited { .. }
            | Self::OwnApproval { .. }
            | Self::ApprovedAlready { .. }
            | Self::Repeated { .. }
            | Self::KeyReused => Blame::Requester,
            Self::Key { refusal, .. } => refusal.blame(),
            Self::CaNotValid | Self::Policy { .. } | Self::Entropy { .. } | Self::Sign { .. } => {
                Blame::Operator
            }
            Self::Store { source, .. } => blame_of_store(source),
            Self::Build { .. } | Self::Panicked { .. } => Blame::Us,
        }
    }

    /// What an outsider may read. Faults of the house collapse to one sentence.
    #[must_use]
    pub fn public_message(&self) -> String {
        match self {
            Self::Unreadable { source } => source.to_string(),
            Self::Attributes { source } => source.to_string(),
            Self::Message { refusal, .. } => refusal.to_string(),
            Self::Key { refusal, .. } => refusal.to_string(),
            Self::AttributeSigned { .. }
            | Self::TemplateConflict { .. }
            | Self::BadSignature { .. }
            | Self::OfficerLint { .. }
            | Self::RateLimited { .. }
            | Self::OwnApproval { .. }
            | Self::ApprovedAlready { .. }
            | Self::Repeated { .. }
            | Self::KeyReused => self.to_string(),
            Self::CaNotValid
            | Self::Build { .. }
            | Self::Policy { .. }
            | Self::Entropy { .. }
            | Self::Sign { .. }
            | Self::Panicked { .. }
            | Self::Store { .. } => "the CA is unable to issue at the moment".to_owned(),
        }
    }

    /// Row of the request, where one was recorded.
    #[must_use]
    pub fn request(&self) -> Option<RequestId> {
        match self {
            Self::BadSignature { request }
            | Self::Message { request, .. }
            | Self::Key { request, .. }
            | Self::Policy { request, .. }
            | Self::Sign { request, .. } => Some(*request),
            _ => None,
        }
    }
}

/// Files, disks and randomness are the operator's; what we asked of the store is ours.
pub(crate) fn blame_of_store(err: &StoreError) -> Blame {
    match err {
        StoreError::Sql { .. }
        | StoreError::NoIntent(_)
        | StoreError::NoCursor(_)
        | StoreError::CursorMove { .. } => Blame::Us,
        _ => Blame::Operator,
    }
}

/// Longest piece of a requester's text in a message, in characters.
const EXCERPT_CHARS_MAX: usize = 64;

/// The text in quotes, cut, without characters that break lines or deceive readers.
pub(crate) fn excerpt(text: &str) -> String {
    let cut: String = text.chars().take(EXCERPT_CHARS_MAX).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("{cut:?}{dots}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_full_disk_is_the_operators_and_a_wrong_question_is_ours() {
        let blame = |source| SubmitError::Store { action: "recording", source }.blame();
        let cause = Arc::new(std::io::Error::other("no such table"));
        for (source, expected) in [
            (StoreError::Full, Blame::Operator),
            (StoreError::Busy, Blame::Operator),
            (StoreError::Io { action: "writing", source: cause.clone() }, Blame::Operator),
            (StoreError::Sql { action: "writing", source: cause }, Blame::Us),
            (StoreError::NoIntent(RequestId(7)), Blame::Us),
        ] {
            assert_eq!(blame(source.clone()), expected, "{source}");
        }
    }
}
