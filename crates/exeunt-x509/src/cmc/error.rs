//! Why a request in any format cannot be processed.

use crate::certificate::CertificateError;
use crate::cms::{CmsError, ResolveError};
use crate::request::RequestError;
use crate::tlv::NotDer;
use const_oid::ObjectIdentifier;
use exeunt_types::KeyAlgorithm;

/// Why a request cannot be processed, in whatever format it came. Every message is for the
/// requester to read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmissionError {
    /// The PKCS #10 request itself, with its own codes; also armour that cannot be taken off.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// More than [`SUBMISSION_BYTES_MAX`](crate::SUBMISSION_BYTES_MAX) octets of DER, or twice that
    /// of PEM.
    #[error("request is larger than 131072 octets")]
    TooLarge,
    /// A message inside of another is not DER, although it may be BER.
    #[error("message inside of another is BER with indefinite lengths, DER is needed")]
    Ber,
    /// A message of a type that is not taken: enveloped, authenticated, a response.
    #[error("messages of type {content_type} are not taken, only signed data around a request")]
    ContentType {
        /// Its type.
        content_type: ObjectIdentifier,
    },
    /// Not the structure of RFC 5652 or RFC 5272.
    #[error("message around the request is malformed: {what}")]
    Malformed {
        /// Which rule it broke.
        what: &'static str,
    },
    /// Nobody signed the message, not even by the no-signature mechanism.
    #[error("message around the request has no signer")]
    NoSigner,
    /// A message that nobody signed around one that somebody did: whoever caught the inner one could
    /// have put it there, with attributes of their own.
    #[error("message that nobody signed is around one that somebody signed")]
    UnsignedAround,
    /// None, or more than one request in one message.
    #[error("message holds {count} requests, exactly one is needed")]
    RequestCount {
        /// How many there are, nested messages included.
        count: usize,
    },
    /// A request of a kind that is not taken.
    #[error("requests of the kind {kind} are not taken, only PKCS #10")]
    RequestKind {
        /// `CRMF`, or what the message calls other kinds.
        kind: String,
    },
    /// A control, or an attribute that one adds, that is not known to be harmless.
    #[error("control {name} is not supported")]
    ControlUnsupported {
        /// Its name in RFC 5272, or its object identifier.
        name: String,
    },
    /// A control is malformed.
    #[error("control {name} is malformed: {what}")]
    ControlInvalid {
        /// Its name in RFC 5272, or its object identifier.
        name: String,
        /// Which rule it broke.
        what: &'static str,
    },
    /// The algorithms of a signer are broken, unknown or contradict each other.
    #[error("signature algorithm of the message is not accepted: {why}")]
    SignatureUnsupported {
        /// One clause.
        why: String,
    },
    /// The signature algorithm is good, but not for the signer's key.
    #[error("signature algorithm of the message does not fit the {key} key of its signer", key = key.name())]
    SignatureMismatch {
        /// The key of the signer.
        key: KeyAlgorithm,
    },
    /// The message was changed after it was signed.
    #[error("message around the request is not what its signer signed")]
    DigestMismatch,
    /// The certificate of a signer cannot be worked with.
    #[error("certificate of the message's signer is not accepted")]
    SignerCertificate {
        /// What is wrong with it.
        source: Box<CertificateError>,
    },
    /// A list is longer than its limit.
    #[error("message around the request has more than {max} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        max: usize,
    },
}

impl SubmissionError {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Request(err) => err.code(),
            Self::TooLarge => "request-too-large",
            Self::Ber => "request-message-ber",
            Self::ContentType { .. } => "request-message-type",
            Self::Malformed { .. } => "request-message-malformed",
            Self::NoSigner => "request-message-no-signer",
            Self::UnsignedAround => "request-message-unsigned-around",
            Self::RequestCount { .. } => "request-count",
            Self::RequestKind { .. } => "request-kind",
            Self::ControlUnsupported { .. } => "request-control-unsupported",
            Self::ControlInvalid { .. } => "request-control-invalid",
            Self::SignatureUnsupported { .. } => "request-message-signature-unsupported",
            Self::SignatureMismatch { .. } => "request-message-signature-mismatch",
            Self::DigestMismatch => "request-message-digest",
            Self::SignerCertificate { .. } => "request-signer-certificate",
            Self::TooMany { .. } => "request-too-many",
        }
    }
}

impl From<NotDer> for SubmissionError {
    fn from(NotDer(what): NotDer) -> Self {
        Self::Malformed { what }
    }
}

impl From<CmsError> for SubmissionError {
    fn from(err: CmsError) -> Self {
        match err {
            CmsError::Ber => Self::Ber,
            CmsError::ContentType(content_type) => Self::ContentType { content_type },
            CmsError::Malformed(what) => Self::Malformed { what },
            CmsError::TooMany { what, max } => Self::TooMany { what, max },
            CmsError::Algorithm(why) => Self::SignatureUnsupported { why },
            CmsError::Digest => Self::DigestMismatch,
        }
    }
}

impl From<ResolveError> for SubmissionError {
    fn from(err: ResolveError) -> Self {
        match err {
            ResolveError::Certificate(source) => {
                Self::SignerCertificate { source: Box::new(source) }
            }
            ResolveError::Mismatch(key) => Self::SignatureMismatch { key },
        }
    }
}
