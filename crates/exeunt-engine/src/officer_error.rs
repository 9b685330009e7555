//! Why an officer's operation was not carried out.

use exeunt_store::StoreError;
use exeunt_types::{Disposition, RequestId, StatusCode};

use crate::AttributeError;
use crate::error::{Blame, SubmitError, blame_of_store, excerpt};
use crate::officer::REASON_BYTES_MAX;
use crate::officer_extension::ExtensionRefusal;
use crate::revoke::Which;

/// Why an officer's operation was not carried out. Nothing was changed, unless it is
/// [`OfficerError::Submit`], whose own words say what was recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfficerError {
    /// There is no such request.
    #[error("there is no request {0}")]
    RequestUnknown(RequestId),

    /// A certificate manager is limited to others.
    #[error("this certificate manager does not decide about request {0}")]
    Restricted(RequestId),

    /// There is no such certificate.
    #[error("there is no certificate with {0}")]
    CertificateUnknown(Which),

    /// The request is not in a state that allows it.
    #[error("request {request} is {}; this is possible while it is {}", disposition.word(), words(allowed))]
    WrongState {
        /// The request.
        request: RequestId,
        /// Its state.
        disposition: Disposition,
        /// The states in which it would have been possible.
        allowed: &'static [Disposition],
    },

    /// Only a certificate on hold can be released.
    #[error("the certificate of request {0} is not on hold")]
    NotOnHold(RequestId),

    /// A certificate that was revoked for good cannot be put on hold.
    #[error("the certificate of request {0} is revoked and cannot be put on hold")]
    HoldOfRevoked(RequestId),

    /// A date that cannot stand in a revocation list.
    #[error("the date of a revocation lies between 1970 and 9999")]
    EffectiveDate,

    /// Attributes that are not acceptable.
    #[error("attributes are not acceptable")]
    Attributes {
        /// What is wrong.
        source: AttributeError,
    },

    /// An extension that an officer may not set, or that is none.
    #[error("extension {} is not acceptable", excerpt(oid))]
    Extension {
        /// Its object identifier, as it was given.
        oid: String,
        /// What is wrong.
        source: ExtensionRefusal,
    },

    /// A reason that is too long, or has characters that break a line or deceive its reader.
    #[error("the reason is longer than {REASON_BYTES_MAX} octets or not plain text")]
    Reason,

    /// Somebody else changed the request at the same time, twice in a row.
    #[error("somebody else is changing request {0}")]
    ChangedMeanwhile(RequestId),

    /// The journey of a request that was taken up again ended without a decision.
    #[error("taking up the request again failed")]
    Submit {
        /// Why.
        source: SubmitError,
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

/// `ERROR_INVALID_DATA` as an HRESULT: what the original answers when the state forbids a revocation.
const INVALID_DATA: StatusCode = StatusCode(0x8007_000d);
/// `E_INVALIDARG`.
const INVALID_ARGUMENT: StatusCode = StatusCode(0x8007_0057);
/// `CERTSRV_E_RESTRICTEDOFFICER`: a restricted officer asked for what is outside of the limits.
const RESTRICTED_OFFICER: StatusCode = StatusCode(0x8009_4009);
/// `CERTSRV_E_PROPERTY_EMPTY`: there is no such row.
const PROPERTY_EMPTY: StatusCode = StatusCode(0x8009_4004);

impl OfficerError {
    /// Stable code for logs, API bodies and scripts. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::RequestUnknown(_) => "request-unknown",
            Self::Restricted(_) => "manager-restricted",
            Self::CertificateUnknown(_) => "certificate-unknown",
            Self::WrongState { .. } => "wrong-state",
            Self::NotOnHold(_) => "not-on-hold",
            Self::HoldOfRevoked(_) => "hold-of-revoked",
            Self::EffectiveDate => "revocation-date-invalid",
            Self::Attributes { source } => source.code(),
            Self::Extension { source, .. } => source.code(),
            Self::Reason => "reason-invalid",
            Self::ChangedMeanwhile(_) => "changed-meanwhile",
            Self::Submit { source } => source.code(),
            Self::Store { source, .. } => source.code(),
        }
    }

    /// The number that the original answers with, where it has one.
    #[must_use]
    pub fn hresult(&self) -> Option<StatusCode> {
        match self {
            Self::RequestUnknown(_) => Some(PROPERTY_EMPTY),
            Self::Restricted(_) => Some(RESTRICTED_OFFICER),
            Self::CertificateUnknown(_) | Self::EffectiveDate | Self::Extension { .. } => {
                Some(INVALID_ARGUMENT)
            }
            Self::NotOnHold(_) | Self::HoldOfRevoked(_) => Some(INVALID_DATA),
            Self::WrongState { allowed, .. } if *allowed == REVOCABLE => Some(INVALID_DATA),
            Self::WrongState { .. } => Some(StatusCode::BAD_REQUEST_STATUS),
            _ => None,
        }
    }

    /// Whose move it is. What an officer asked for and cannot have is the requester's.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Submit { source } => source.blame(),
            Self::Store { source, .. } => blame_of_store(source),
            _ => Blame::Requester,
        }
    }

    /// What the caller may read. Faults of the house collapse to one sentence.
    #[must_use]
    pub fn public_message(&self) -> String {
        match self {
            Self::Attributes { source } => source.to_string(),
            Self::Extension { source, .. } => format!("{self}: {source}"),
            Self::Submit { source } => source.public_message(),
            Self::Store { .. } => "the CA is unable to do this at the moment".to_owned(),
            _ => self.to_string(),
        }
    }
}

/// States in which a certificate can be revoked, or revoked anew.
pub(crate) const REVOCABLE: &[Disposition] = &[Disposition::Issued, Disposition::Revoked];

fn words(allowed: &[Disposition]) -> String {
    let words: Vec<&str> = allowed.iter().map(|it| it.word()).collect();
    words.join(" or ")
}
