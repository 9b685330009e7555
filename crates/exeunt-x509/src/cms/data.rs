//! A signed text: octets of no stated type, with one signature, whose signer is known to whoever reads
//! it. What the text means is nobody's business here.

use super::signer::RawSigner;
use super::{CmsError, DATA, SignedData, SignerIdentifier, UnsignedMessage};
use exeunt_types::SignatureScheme;

/// Longest message that is read, in octets: the largest key's signature, and a text of a page.
pub const SIGNED_TEXT_BYTES_MAX: usize = 64 * 1024;

/// Why a signed text cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("signed text is malformed: {what}")]
pub struct SignedTextError {
    /// What was found.
    what: String,
}

impl SignedTextError {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }

    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "signed-text-malformed"
    }
}

impl From<CmsError> for SignedTextError {
    fn from(err: CmsError) -> Self {
        Self::new(match err {
            CmsError::Ber => "it is not DER".to_owned(),
            CmsError::ContentType(oid) => format!("it is a message of type {oid}"),
            CmsError::Malformed(what) => what.to_owned(),
            CmsError::TooMany { what, max } => format!("it has more than {max} {what}"),
            CmsError::Algorithm(what) => what,
            CmsError::Digest => "its digest is not the text's".to_owned(),
        })
    }
}

/// Prepares a text to be signed, as CMS `SignedData` over `id-data` with signed attributes (RFC 5652).
/// What is signed is a SET, so that it can be taken for no certificate and no revocation list, which
/// are SEQUENCEs. No certificates go along.
pub fn build_signed_text(
    text: &str,
    signer: SignerIdentifier,
    scheme: SignatureScheme,
) -> UnsignedMessage {
    UnsignedMessage::new(DATA, text.as_bytes().to_vec(), signer, scheme, &[])
}

/// A text with a signature that has still to be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedText {
    text: String,
    signer: SignerIdentifier,
    scheme: SignatureScheme,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

impl SignedText {
    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How the message names the certificate of its signer.
    #[must_use]
    pub fn signer(&self) -> &SignerIdentifier {
        &self.signer
    }

    /// How it is signed.
    #[must_use]
    pub fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    /// The exact octets that are signed.
    #[must_use]
    pub fn signed_bytes(&self) -> &[u8] {
        &self.signed
    }

    /// The signature.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// Reads a signed text, DER, with exactly one signer and signed attributes. The digest is compared; the
/// signature is the caller's to verify.
///
/// # Errors
///
/// [`SignedTextError`].
pub fn parse_signed_text(der: &[u8]) -> Result<SignedText, SignedTextError> {
    if SIGNED_TEXT_BYTES_MAX < der.len() {
        return Err(SignedTextError::new("it is too long"));
    }
    let message = SignedData::read(der)?;
    if message.content_type != DATA {
        return Err(CmsError::ContentType(message.content_type).into());
    }
    let text = std::str::from_utf8(message.content);
    let text = text.map_err(|_| SignedTextError::new("its content is not text"))?.to_owned();
    let [RawSigner::Signed { identifier, scheme, signed, signature, .. }] =
        message.signers.as_slice()
    else {
        return Err(SignedTextError::new("it has not exactly one signature"));
    };
    // Without signed attributes the text itself would be signed, which may be anything.
    if signed == message.content {
        return Err(SignedTextError::new("its signer has no signed attributes"));
    }
    Ok(SignedText {
        text,
        signer: identifier.clone(),
        scheme: *scheme,
        signed: signed.clone(),
        signature: signature.to_vec(),
    })
}
