//! Answers in CMS: certificates alone, and full PKI responses (RFC 5272, section 4).

use exeunt_keys::{KeyError, SignError};
use exeunt_types::{RequestId, RequestType};
use exeunt_x509::{
    BuildError, CmcFailure, CmcStatus, FullResponse, SignerIdentifier, build_certs_only,
    build_full_response, parse_submission,
};

use crate::engine::Engine;
use crate::enroll::MessageRefusal;
use crate::error::{Blame, SubmitError};
use crate::journey::{Outcome, Submitted};

/// When whoever has to wait for an officer is told to ask again, in seconds.
const ASK_AGAIN_S: i64 = 3600;

/// Why there is no full PKI response. Whatever was decided is recorded all the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// No randomness for a nonce.
    #[error("no randomness for a nonce")]
    Entropy {
        /// What the generator said.
        source: KeyError,
    },
    /// The response could not be built.
    #[error("building the response failed")]
    Build {
        /// What the builder said.
        source: BuildError,
    },
    /// The CA's key did not sign.
    #[error("signing the response failed")]
    Sign {
        /// What the key's keeper said.
        source: SignError,
    },
}

impl ResponseError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Entropy { .. } => "cmc-entropy",
            Self::Build { .. } => "cmc-build",
            Self::Sign { .. } => "cmc-sign",
        }
    }

    /// Whose move it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Entropy { .. } | Self::Sign { .. } => Blame::Operator,
            Self::Build { .. } => Blame::Us,
        }
    }
}

/// An answer in CMS, DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CmsResponse {
    /// The certificate and the one that this CA issues with, and no signature.
    CertsOnly(Vec<u8>),
    /// A full PKI response, signed by the CA.
    Full(Vec<u8>),
}

impl Engine {
    /// The certificate of a result and the one that this CA issues with, in a "certs-only" message;
    /// none where there is no certificate.
    #[must_use]
    pub fn certs_only(&self, result: &Result<Submitted, SubmitError>) -> Option<Vec<u8>> {
        let certificate = issued(result)?;
        let ca = self.ca.issuing(self.clock.now().unix_seconds());
        Some(build_certs_only(&[certificate, ca.issuer().der()]))
    }

    /// What CMC has for the answer to what was sent: certificates alone to who sent a PKCS#10 or
    /// PKCS#7 and is issued one, a full response to everybody else (RFC 5272, section 4).
    ///
    /// # Errors
    ///
    /// As [`Engine::full_response`].
    pub fn cms_response(
        &self,
        sent: &[u8],
        result: &Result<Submitted, SubmitError>,
    ) -> Result<CmsResponse, ResponseError> {
        let is_cmc = parse_submission(sent).is_ok_and(|it| it.request_type() == RequestType::Cmc);
        match self.certs_only(result) {
            Some(message) if !is_cmc => Ok(CmsResponse::CertsOnly(message)),
            _ => self.full_response(sent, result).map(CmsResponse::Full),
        }
    }

    /// The full PKI response to what was sent, DER, signed by the CA. `sent` is echoed from, as far as
    /// it can be read.
    ///
    /// # Errors
    ///
    /// [`ResponseError`]: the result stands, and the requester has to be told of it in another way.
    pub fn full_response(
        &self,
        sent: &[u8],
        result: &Result<Submitted, SubmitError>,
    ) -> Result<Vec<u8>, ResponseError> {
        let ca = self.ca.issuing(self.clock.now().unix_seconds());
        let nonce =
            self.entropy.serial_octets().map_err(|source| ResponseError::Entropy { source })?;
        let until = self.clock.now().unix_seconds().saturating_add(ASK_AGAIN_S);
        let row = result.as_ref().ok().map(|it| it.request);
        let token = row.map(|RequestId(number)| number.to_string()).unwrap_or_default();
        let (status, text) = match result {
            Ok(submitted) => told(&submitted.outcome, token.as_bytes(), until),
            Err(err) => {
                let text = format!("{}: {}", err.code(), err.public_message());
                (CmcStatus::Failed(failure(err)), text)
            }
        };
        let submitted = parse_submission(sent).ok();
        let bare = FullResponse {
            status,
            text: None,
            body_part: &[],
            transaction_id: None,
            recipient_nonce: None,
            sender_nonce: None,
            data_return: None,
        };
        let echo = submitted.as_ref().map_or(bare, |it| FullResponse::to(it, status));
        let response = FullResponse { text: Some(&text), sender_nonce: Some(&nonce), ..echo };
        let certificates: Vec<&[u8]> =
            issued(result).into_iter().chain([ca.issuer().der()]).collect();
        let signer = SignerIdentifier::KeyIdentifier(ca.issuer().key_identifier().to_vec());
        let unsigned = build_full_response(&response, signer, ca.key().scheme(), &certificates)
            .map_err(|source| ResponseError::Build { source })?;
        let signature = ca
            .key()
            .sign(unsigned.bytes_to_sign())
            .map_err(|source| ResponseError::Sign { source })?;
        Ok(unsigned.assemble(&signature))
    }
}

fn issued(result: &Result<Submitted, SubmitError>) -> Option<&[u8]> {
    match result.as_ref().map(|it| &it.outcome) {
        Ok(Outcome::Issued { certificate, .. }) => Some(certificate),
        _ => None,
    }
}

/// Status and text of a decision.
fn told<'a>(outcome: &Outcome, token: &'a [u8], until: i64) -> (CmcStatus<'a>, String) {
    match outcome {
        Outcome::Issued { .. } => (CmcStatus::Success, "issued".to_owned()),
        Outcome::Pending { message } => (CmcStatus::Pending { token, until }, message.clone()),
        Outcome::Denied { code, message, .. } => {
            let failure = match *code {
                "caller-not-local" | "on-behalf-not-allowed" => CmcFailure::BadIdentity,
                "archived-key-required" => CmcFailure::MustArchiveKeys,
                _ => CmcFailure::BadRequest,
            };
            (CmcStatus::Failed(failure), format!("{code}: {message}"))
        }
    }
}

/// The nearest of the reasons that RFC 5272 has.
fn failure(err: &SubmitError) -> CmcFailure {
    match err {
        SubmitError::BadSignature { .. } => CmcFailure::PopFailed,
        SubmitError::Message { refusal, .. } => match refusal {
            MessageRefusal::BadSignature => CmcFailure::BadMessageCheck,
            MessageRefusal::Contradiction
            | MessageRefusal::RequesterTooLong
            | MessageRefusal::ControlsUnsigned => CmcFailure::BadRequest,
            _ => CmcFailure::BadIdentity,
        },
        SubmitError::Unreadable { source } => match source.code() {
            "request-message-digest" => CmcFailure::BadMessageCheck,
            "request-message-signature-unsupported"
            | "request-message-signature-mismatch"
            | "request-signature-unsupported"
            | "request-signature-mismatch"
            | "request-key-unsupported"
            | "request-key-too-small" => CmcFailure::BadAlgorithm,
            _ => CmcFailure::BadRequest,
        },
        _ if err.blame() == Blame::Requester => CmcFailure::BadRequest,
        _ => CmcFailure::InternalCaError,
    }
}
