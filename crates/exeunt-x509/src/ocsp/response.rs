//! Making an OCSP response (RFC 6960, section 4.2).

use super::request::CertId;
use super::{OCSP_NONCE_BYTES_MAX, OCSP_REQUEST_COUNT_MAX, OcspBuildError};
use crate::algorithm::scheme_der;
use crate::extension::Extension;
use crate::oid;
use crate::time::write_generalized_time;
use crate::tlv::{CONTEXT_CONSTRUCTED, CONTEXT_PRIMITIVE, ENUMERATED, OCTET_STRING, SEQUENCE};
use crate::write::Writer;
use exeunt_types::{RevocationReason, SignatureScheme};

/// Octets of an ordinary answer for one certificate.
const SINGLE_RESPONSE_BYTES: usize = 160;

/// Everything in an answer that is signed.
#[derive(Clone, Copy, Debug)]
pub struct OcspFields<'a> {
    /// Who answers: SHA-1 over the bits of the responder's public key, as `key_identifier` gives it.
    pub responder_key_hash: [u8; 20],
    /// When the answer was signed, in Unix seconds.
    pub produced_at: i64,
    /// One for each certificate that was asked for, 1 to 100.
    pub responses: &'a [SingleResponse<'a>],
    /// The nonce of the request; none if it had none or the answer is made in advance.
    pub nonce: Option<&'a [u8]>,
}

/// What is answered for one certificate.
#[derive(Clone, Copy, Debug)]
pub struct SingleResponse<'a> {
    /// Which certificate, as the client named it.
    pub certificate: CertId<'a>,
    /// How it is with it.
    pub status: CertStatus,
    /// When that was known to be true, in Unix seconds.
    pub this_update: i64,
    /// When there will be newer knowledge, in Unix seconds; none is "at any time". RFC 5019, section
    /// 2.2.4, wants one.
    pub next_update: Option<i64>,
}

/// How it is with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertStatus {
    /// Not revoked.
    Good,
    /// Revoked, perhaps only held.
    Revoked {
        /// From when on, in Unix seconds.
        at: i64,
        /// Why. `Unspecified` and `RemoveFromCrl` are not said: the one says nothing, the other has
        /// no meaning outside of delta lists.
        reason: RevocationReason,
    },
    /// This responder does not know it.
    Unknown,
}

/// Builds the `ResponseData`, version 1 (RFC 6960, section 4.2.1).
///
/// # Errors
///
/// [`OcspBuildError`]: the fields have no encoding or break a rule.
pub fn build_ocsp_response_data(fields: &OcspFields<'_>) -> Result<Vec<u8>, OcspBuildError> {
    let OcspFields { responder_key_hash, produced_at, responses, nonce } = *fields;
    let rule = |rule| Err(OcspBuildError::Invalid { rule });
    if responses.is_empty() || OCSP_REQUEST_COUNT_MAX < responses.len() {
        return rule("it answers for no certificate or for more than 100");
    }
    if responses.iter().any(|it| it.next_update.is_some_and(|next| next <= it.this_update)) {
        return rule("next update is not after this update");
    }
    if nonce.is_some_and(|it| it.is_empty() || OCSP_NONCE_BYTES_MAX < it.len()) {
        return rule("nonce has not 1 to 128 octets");
    }
    let mut writer = Writer::with_capacity(SINGLE_RESPONSE_BYTES * (responses.len() + 1));
    let mut times = Ok(());
    writer.nest(SEQUENCE, |it| {
        // Version 1 is the default, and so not written. responderID is byKey.
        it.nest(CONTEXT_CONSTRUCTED + 2, |it| it.octet_string(&responder_key_hash));
        times = write_time(it, produced_at).and_then(|()| {
            let mut times = Ok(());
            it.nest(SEQUENCE, |it| times = responses.iter().try_for_each(|each| each.write(it)));
            times
        });
        if let Some(nonce) = nonce {
            let capacity = nonce.len() + 3;
            let extension = Extension::new(oid::OCSP_NONCE, false, capacity, |it| {
                it.octet_string(nonce);
            });
            it.nest(CONTEXT_CONSTRUCTED + 1, |it| it.nest(SEQUENCE, |it| extension.write(it)));
        }
    });
    times.map(|()| writer.into_bytes())
}

impl SingleResponse<'_> {
    fn write(&self, writer: &mut Writer) -> Result<(), OcspBuildError> {
        let Self { certificate, status, this_update, next_update } = *self;
        let mut times = Ok(());
        writer.nest(SEQUENCE, |it| {
            it.raw(certificate.der());
            times = status.write(it).and_then(|()| write_time(it, this_update));
            if let (Ok(()), Some(next_update)) = (&times, next_update) {
                it.nest(CONTEXT_CONSTRUCTED, |it| times = write_time(it, next_update));
            }
        });
        times
    }
}

impl CertStatus {
    fn write(self, writer: &mut Writer) -> Result<(), OcspBuildError> {
        // A choice of NULL, RevokedInfo and NULL, each under its own implicit tag.
        let mut times = Ok(());
        match self {
            Self::Good => writer.element(CONTEXT_PRIMITIVE, &[]),
            Self::Revoked { at, reason } => writer.nest(CONTEXT_CONSTRUCTED + 1, |it| {
                times = write_time(it, at);
                if !matches!(
                    reason,
                    RevocationReason::Unspecified | RevocationReason::RemoveFromCrl
                ) {
                    it.nest(CONTEXT_CONSTRUCTED, |it| it.element(ENUMERATED, &[reason.code()]));
                }
            }),
            Self::Unknown => writer.element(CONTEXT_PRIMITIVE + 2, &[]),
        }
        times
    }
}

fn write_time(writer: &mut Writer, unix_seconds: i64) -> Result<(), OcspBuildError> {
    write_generalized_time(writer, unix_seconds).ok_or(OcspBuildError::Time { unix_seconds })
}

/// Puts a signature to what [`build_ocsp_response_data`] made, and the whole into an `OCSPResponse`.
/// `certificates` are in DER: that of a responder to whom the CA has delegated, or none.
#[must_use]
pub fn assemble_ocsp_response(
    response_data: &[u8],
    scheme: SignatureScheme,
    signature: &[u8],
    certificates: &[&[u8]],
) -> Vec<u8> {
    let certificate_bytes: usize = certificates.iter().map(|it| it.len()).sum();
    let capacity = response_data.len() + signature.len() + certificate_bytes + 96;
    let mut writer = Writer::with_capacity(capacity);
    writer.nest(SEQUENCE, |it| {
        it.element(ENUMERATED, &[0]);
        it.nest(CONTEXT_CONSTRUCTED, |it| {
            it.nest(SEQUENCE, |it| {
                it.oid(&oid::OCSP_BASIC);
                it.nest(OCTET_STRING, |it| {
                    it.nest(SEQUENCE, |it| {
                        it.raw(response_data);
                        it.raw(scheme_der(scheme));
                        it.bit_string(signature);
                        if !certificates.is_empty() {
                            it.nest(CONTEXT_CONSTRUCTED, |it| {
                                it.element(SEQUENCE, &certificates.concat());
                            });
                        }
                    });
                });
            });
        });
    });
    writer.into_bytes()
}

/// Why a client gets no answer (RFC 6960, section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OcspRefusal {
    /// The request is no request.
    MalformedRequest,
    /// Something is broken here.
    InternalError,
    /// Not now.
    TryLater,
    /// This responder does not speak for that issuer (RFC 5019, section 2.2.3).
    Unauthorized,
}

/// The whole `OCSPResponse` of a refusal, which nobody signs.
#[must_use]
pub fn refuse_ocsp(refusal: OcspRefusal) -> [u8; 5] {
    let status = match refusal {
        OcspRefusal::MalformedRequest => 1,
        OcspRefusal::InternalError => 2,
        OcspRefusal::TryLater => 3,
        OcspRefusal::Unauthorized => 6,
    };
    [SEQUENCE, 3, ENUMERATED, 1, status]
}
