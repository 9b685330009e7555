//! Full PKI responses (RFC 5272, section 4.2): what became of a request that came in CMC.

use super::SubmittedRequest;
use crate::cms::SignerIdentifier;
use crate::cms::build::UnsignedMessage;
use crate::tbs::BuildError;
use crate::time::write_generalized_time;
use crate::tlv::{INTEGER, OCTET_STRING, SEQUENCE, SET, UTF8_STRING};
use crate::write::Writer;
use const_oid::ObjectIdentifier;
use exeunt_types::SignatureScheme;

/// `id-cct-PKIResponse` (RFC 5272, section 3.2.2).
const PKI_RESPONSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.12.3");
const STATUS_INFO_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.7.25");
const DATA_RETURN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.7.4");
const TRANSACTION_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.7.5");
const SENDER_NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.7.6");
const RECIPIENT_NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.7.7");

/// Why a request failed: `CMCFailInfo` (RFC 5272, section 6.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CmcFailure {
    /// Unknown or unsupported algorithm (0).
    BadAlgorithm,
    /// A signature or digest does not verify (1).
    BadMessageCheck,
    /// Not permitted or not supported (2).
    BadRequest,
    /// The time in the message is off (3).
    BadTime,
    /// No certificate matches what was referred to (4).
    BadCertificateId,
    /// An extension that was asked for is not supported (5).
    UnsupportedExtension,
    /// The private key must be archived (6).
    MustArchiveKeys,
    /// Who asks is not known or not proven (7).
    BadIdentity,
    /// Possession of the key has to be proven (8).
    PopRequired,
    /// Possession of the key was not proven (9).
    PopFailed,
    /// The key was used before and must not be again (10).
    NoKeyReuse,
    /// Our fault (11).
    InternalCaError,
    /// Not now (12).
    TryLater,
    /// The authenticated data does not verify (13).
    AuthDataFail,
}

impl CmcFailure {
    fn number(self) -> u8 {
        match self {
            Self::BadAlgorithm => 0,
            Self::BadMessageCheck => 1,
            Self::BadRequest => 2,
            Self::BadTime => 3,
            Self::BadCertificateId => 4,
            Self::UnsupportedExtension => 5,
            Self::MustArchiveKeys => 6,
            Self::BadIdentity => 7,
            Self::PopRequired => 8,
            Self::PopFailed => 9,
            Self::NoKeyReuse => 10,
            Self::InternalCaError => 11,
            Self::TryLater => 12,
            Self::AuthDataFail => 13,
        }
    }
}

/// What became of a request: `CMCStatus` with what belongs to it (RFC 5272, section 6.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CmcStatus<'a> {
    /// Issued (0); the certificate stands among those of the message.
    Success,
    /// Refused or failed (2).
    Failed(CmcFailure),
    /// Waits for a decision (3).
    Pending {
        /// Names the request when it is asked for again.
        token: &'a [u8],
        /// When to ask again, in Unix seconds.
        until: i64,
    },
}

/// What a full PKI response says. [`FullResponse::to`] takes what has to be echoed from a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullResponse<'a> {
    /// What became of the request.
    pub status: CmcStatus<'a>,
    /// One line about it for people.
    pub text: Option<&'a str>,
    /// [`SubmittedRequest::body_part`]; empty means the message as a whole.
    pub body_part: &'a [u32],
    /// [`SubmittedRequest::transaction_id`].
    pub transaction_id: Option<&'a [u8]>,
    /// The requester's nonce: [`SubmittedRequest::sender_nonce`].
    pub recipient_nonce: Option<&'a [u8]>,
    /// Our own nonce: random octets, if any.
    pub sender_nonce: Option<&'a [u8]>,
    /// [`SubmittedRequest::data_return`].
    pub data_return: Option<&'a [u8]>,
}

impl<'a> FullResponse<'a> {
    /// The answer to a request, without text and without a nonce of ours.
    #[must_use]
    pub fn to(request: &'a SubmittedRequest, status: CmcStatus<'a>) -> Self {
        Self {
            status,
            text: None,
            body_part: request.body_part(),
            transaction_id: request.transaction_id(),
            recipient_nonce: request.sender_nonce(),
            sender_nonce: None,
            data_return: request.data_return(),
        }
    }
}

/// Builds a full PKI response that the key of the certificate which `signer` names has to sign.
///
/// `certificates` (DER) go along: the issued one, and those of the chain and of the signer.
///
/// # Errors
///
/// [`BuildError::Time`] if [`CmcStatus::Pending`] lasts until a time that has no encoding.
pub fn build_full_response(
    response: &FullResponse<'_>,
    signer: SignerIdentifier,
    scheme: SignatureScheme,
    certificates: &[&[u8]],
) -> Result<UnsignedMessage, BuildError> {
    let content = build_content(response)?;
    Ok(UnsignedMessage::new(PKI_RESPONSE, content, signer, scheme, certificates))
}

/// `PKIResponse`: controls, no nested messages, no others.
fn build_content(response: &FullResponse<'_>) -> Result<Vec<u8>, BuildError> {
    let FullResponse {
        status,
        text,
        body_part,
        transaction_id,
        recipient_nonce,
        sender_nonce,
        data_return,
    } = *response;
    let status_info = build_status_info(status, text, body_part)?;
    let mut writer = Writer::default();
    writer.nest(SEQUENCE, |it| {
        it.nest(SEQUENCE, |it| {
            let mut id = 0;
            let mut control = |kind: &ObjectIdentifier, tag: u8, value: &[u8]| {
                id += 1;
                it.nest(SEQUENCE, |it| {
                    it.integer_u64(id);
                    it.oid(kind);
                    it.nest(SET, |it| it.element(tag, value));
                });
            };
            control(&STATUS_INFO_V2, SEQUENCE, &status_info);
            for (kind, tag, value) in [
                (TRANSACTION_ID, INTEGER, transaction_id),
                (SENDER_NONCE, OCTET_STRING, sender_nonce),
                (RECIPIENT_NONCE, OCTET_STRING, recipient_nonce),
                (DATA_RETURN, OCTET_STRING, data_return),
            ] {
                if let Some(value) = value {
                    control(&kind, tag, value);
                }
            }
        });
        it.element(SEQUENCE, &[]);
        it.element(SEQUENCE, &[]);
    });
    Ok(writer.into_bytes())
}

/// Contents of `CMCStatusInfoV2` (RFC 5272, section 6.1.1).
fn build_status_info(
    status: CmcStatus<'_>,
    text: Option<&str>,
    body_part: &[u32],
) -> Result<Vec<u8>, BuildError> {
    let mut writer = Writer::default();
    writer.integer_u8(match status {
        CmcStatus::Success => 0,
        CmcStatus::Failed(_) => 2,
        CmcStatus::Pending { .. } => 3,
    });
    writer.nest(SEQUENCE, |it| match body_part {
        // RFC 5272, section 3.2.2: 0 is the message that is answered, as a whole.
        [] => it.integer_u8(0),
        [id] => it.integer_u64((*id).into()),
        path => it.nest(SEQUENCE, |it| path.iter().for_each(|&id| it.integer_u64(id.into()))),
    });
    if let Some(text) = text {
        writer.element(UTF8_STRING, text.as_bytes());
    }
    match status {
        CmcStatus::Success => {}
        CmcStatus::Failed(failure) => writer.integer_u8(failure.number()),
        CmcStatus::Pending { token, until } => {
            let mut time = Writer::default();
            write_generalized_time(&mut time, until)
                .ok_or(BuildError::Time { unix_seconds: until })?;
            let time = time.into_bytes();
            writer.nest(SEQUENCE, |it| {
                it.octet_string(token);
                it.raw(&time);
            });
        }
    }
    Ok(writer.into_bytes())
}
