//! Requests in any format that a client may send: PKCS #10 alone, in a PKCS #7 message signed with
//! the certificate that it renews, or in CMC (RFC 5272), where one may ask on behalf of another.
//!
//! [`parse_submission`] recognises the format by its content and takes everything off that is
//! around the PKCS #10 request, layer by layer. Answers in CMC are made in `response`. Signatures
//! are handed out, not verified, and whom to believe is not decided here.

mod archival;
mod controls;
mod error;
mod response;

use crate::certificate::Certificate;
use crate::cms::ber::to_der;
use crate::cms::{CmsError, DATA, RawSigner, SignedData, Signer, without_archived_key};
use crate::extension::Extension;
use crate::pem::decode_pem_or_der;
use crate::request::{CertificationRequest, RequestError, parse_request};
use crate::tlv::{CONTEXT_CONSTRUCTED, NotDer, OID, SEQUENCE, Tlv};
use const_oid::ObjectIdentifier;
use controls::{Body, Controls, PkiData, RENEWAL_CERTIFICATE};
use exeunt_types::RequestType;

pub use archival::{BroughtKey, build_archival_request};
pub use controls::{CONTROL_COUNT_MAX, ECHO_BYTES_MAX, LAYER_ATTRIBUTE_COUNT_MAX};
pub use error::SubmissionError;
pub use response::{CmcFailure, CmcStatus, FullResponse, build_full_response};

/// Largest request in any format, in octets of DER: a PKCS #10 of the largest size, and as much
/// again for signatures and certificates around it.
pub const SUBMISSION_BYTES_MAX: usize = 131_072;
/// The same in PEM, in octets: base64 with line ends, and room for text before it.
pub const SUBMISSION_PEM_BYTES_MAX: usize = 2 * SUBMISSION_BYTES_MAX;
/// Most signed messages inside of each other: the requester's, his agent's, and one to spare.
pub const SIGNED_LAYER_COUNT_MAX: usize = 3;

/// How a message in BER begins: a sequence without a length, and the type of the message.
const BER_MESSAGE: [u8; 3] = [SEQUENCE, 0x80, OID];

/// `id-cct-PKIData` (RFC 5272, section 3.2.1).
const PKI_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.12.2");

/// PEM labels of a request. What is inside decides its format, not the label: Windows writes
/// "NEW CERTIFICATE REQUEST" around CMC as well.
const LABELS: [&str; 5] =
    ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST", "PKCS7", "CMS", "PKCS #7 SIGNED DATA"];

/// One signed message around a request. All in it, other layers and the request included, is
/// covered by each of its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedLayer {
    signers: Vec<Signer>,
    certificates: Vec<Vec<u8>>,
    enrollment_attributes: Vec<(String, String)>,
    extensions: Vec<Extension>,
}

impl SignedLayer {
    /// The signatures that are to be verified, in the order of the message. Empty if the layer is
    /// "signed" by the no-signature mechanism alone: it proves nothing then.
    #[must_use]
    pub fn signers(&self) -> &[Signer] {
        &self.signers
    }

    /// All certificates in the message, as they came: for building chains.
    #[must_use]
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// Name and value of the enrolment attributes in the layer's controls: the word of the signers,
    /// and of nobody where there are none.
    #[must_use]
    pub fn enrollment_attributes(&self) -> &[(String, String)] {
        &self.enrollment_attributes
    }

    /// Extensions that the layer's controls add to the request, no type twice; whose word they are,
    /// see [`Self::enrollment_attributes`].
    #[must_use]
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }
}

/// A request in whatever format it came, well-formed. Its signatures have still to be verified:
/// that of the PKCS #10 and those of every layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmittedRequest {
    der: Vec<u8>,
    request_type: RequestType,
    request: CertificationRequest,
    layers: Vec<SignedLayer>,
    body_part: Vec<u32>,
    transaction_id: Option<Vec<u8>>,
    sender_nonce: Option<Vec<u8>>,
    data_return: Option<Vec<u8>>,
    renewal_certificate: Option<Vec<u8>>,
    /// How many layers, from the outermost in, are around the innermost claim of renewal.
    layers_around_renewal: usize,
    brought_key: Option<BroughtKey>,
    has_key_hash: bool,
}

impl SubmittedRequest {
    /// All that was sent, armour taken off; in DER, also where it came in BER. Only a private key that
    /// came along is not in it: see [`Self::brought_key`].
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The private key that came along for the CA to archive, encrypted: among the attributes of the
    /// outermost message that are not signed (MS-WCCE, section 2.2.2.7.8).
    #[must_use]
    pub fn brought_key(&self) -> Option<&BroughtKey> {
        self.brought_key.as_ref()
    }

    /// Whether somebody signed that a private key comes along. Where [`Self::brought_key`] is none then, it
    /// was lost on the way; or this is what was kept of a request.
    #[must_use]
    pub fn has_key_hash(&self) -> bool {
        self.has_key_hash
    }

    /// Format of the outermost layer. A simple CMC request is a PKCS #10 and nothing else.
    #[must_use]
    pub fn request_type(&self) -> RequestType {
        self.request_type
    }

    /// The PKCS #10 request inside.
    #[must_use]
    pub fn request(&self) -> &CertificationRequest {
        &self.request
    }

    /// The signed messages around it, outermost first; none around a plain PKCS #10. One without a
    /// signature is never around one with.
    #[must_use]
    pub fn layers(&self) -> &[SignedLayer] {
        &self.layers
    }

    /// What is asked for in the end: the PKCS #10, with the extensions that the layers add, from the
    /// innermost out. The caller has to know that somebody stands for each layer that adds any.
    ///
    /// # Errors
    ///
    /// [`SubmissionError::Request`] if there are too many of them, or names that are none.
    pub fn into_requested(self) -> Result<CertificationRequest, SubmissionError> {
        if self.layers.is_empty() {
            return Ok(self.request);
        }
        let added = self.layers.iter().rev().flat_map(SignedLayer::extensions);
        Ok(self.request.with_extensions(added)?)
    }

    /// Number of the request in the CMC message, and if messages are nested, of those that hold it:
    /// outermost first. Empty where there is no CMC.
    #[must_use]
    pub fn body_part(&self) -> &[u32] {
        &self.body_part
    }

    /// Contents of the outermost message's transaction number, an INTEGER; to be echoed.
    #[must_use]
    pub fn transaction_id(&self) -> Option<&[u8]> {
        self.transaction_id.as_deref()
    }

    /// The outermost message's nonce; to be echoed as the recipient's.
    #[must_use]
    pub fn sender_nonce(&self) -> Option<&[u8]> {
        self.sender_nonce.as_deref()
    }

    /// What the sender of the outermost message wants back unchanged.
    #[must_use]
    pub fn data_return(&self) -> Option<&[u8]> {
        self.data_return.as_deref()
    }

    /// DER of the certificate that the request says it renews: in the attributes of the PKCS #10 or
    /// in the controls of a layer, which agree.
    ///
    /// The claim is proven by one of [`Self::renewal_signers`] whose signature was verified, and by
    /// nothing else. The original's PKCS #7 renewals may go without the claim: their signer's
    /// certificate is the one.
    #[must_use]
    pub fn renewal_certificate(&self) -> Option<&[u8]> {
        self.renewal_certificate.as_deref()
    }

    /// Those who signed the claim of [`Self::renewal_certificate`] with the certificate that it
    /// names. Empty without a claim.
    ///
    /// Who signed with that certificate inside of the message that claims is not among them:
    /// another may have put the claim around what they signed.
    pub fn renewal_signers(&self) -> impl Iterator<Item = &Signer> {
        let claim = self.renewal_certificate();
        let signers =
            self.layers.iter().take(self.layers_around_renewal).flat_map(SignedLayer::signers);
        signers.filter(move |it| claim.is_some() && it.certificate().map(Certificate::der) == claim)
    }

    /// The enrolment attributes that somebody stands for: those of the PKCS #10, then from the
    /// innermost layer out its controls' and its signers'. A later one overwrites an earlier one of
    /// the same name.
    ///
    /// `is_verified` is asked once of every signer, and says whether the signature was verified and
    /// its key is one to be believed. A layer counts if one of its signers is; one that nobody
    /// signed, if the layer around it counts. A signer's own attributes count with that signer. The
    /// signature of the PKCS #10 is the caller's to verify as well.
    ///
    /// One that only some may set, such as `RequesterName`, must be read from the layer or the
    /// signer who may instead.
    pub fn enrollment_attributes_verified(
        &self,
        mut is_verified: impl FnMut(&Signer) -> bool,
    ) -> Vec<&(String, String)> {
        // From the outermost in, since a signature covers what is inside.
        let mut of_layers = Vec::with_capacity(self.layers.len());
        let mut counts = false;
        for layer in &self.layers {
            let verified: Vec<_> = layer.signers.iter().filter(|it| is_verified(it)).collect();
            counts = if layer.signers.is_empty() { counts } else { !verified.is_empty() };
            let controls = if counts { layer.enrollment_attributes() } else { &[] };
            let of_signers = verified.into_iter().flat_map(Signer::enrollment_attributes);
            of_layers.push(controls.iter().chain(of_signers).collect::<Vec<_>>());
        }
        let of_layers = of_layers.into_iter().rev().flatten();
        self.request.enrollment_attributes().iter().chain(of_layers).collect()
    }
}

/// Reads a request in any format, in DER or PEM. Nothing is repaired, and nothing is skipped that
/// could change what is asked for.
///
/// The outermost message may be BER where lengths and strings are concerned, and is DER afterwards;
/// inside of it BER is refused by name.
///
/// # Errors
///
/// [`SubmissionError`]: always the requester's fault, and the message says which.
pub fn parse_submission(input: &[u8]) -> Result<SubmittedRequest, SubmissionError> {
    if SUBMISSION_PEM_BYTES_MAX < input.len() {
        return Err(SubmissionError::TooLarge);
    }
    let der = decode_pem_or_der(input, &LABELS).map_err(RequestError::NotPem)?;
    let der = if der.starts_with(&BER_MESSAGE) { to_der(&der)?.into() } else { der };
    if SUBMISSION_BYTES_MAX < der.len() {
        return Err(SubmissionError::TooLarge);
    }

    // Take the layers off.
    let mut raw_layers = Vec::new();
    let mut body_part = Vec::new();
    let mut request_type = RequestType::Pkcs10;
    let mut rest: &[u8] = &der;
    while is_content_info(rest)? {
        if raw_layers.len() == SIGNED_LAYER_COUNT_MAX {
            let (what, max) = ("signed messages inside of each other", SIGNED_LAYER_COUNT_MAX);
            return Err(SubmissionError::TooMany { what, max });
        }
        let signed = SignedData::read(rest)?;
        if signed.signers.is_empty() {
            return Err(SubmissionError::NoSigner);
        }
        let (kind, controls) = match signed.content_type {
            DATA => {
                rest = signed.content;
                (RequestType::Pkcs7, Controls::default())
            }
            PKI_DATA => {
                let PkiData { controls, body_part: part, body } = PkiData::read(signed.content)?;
                body_part.push(part);
                rest = match body {
                    Body::Request(der) | Body::Message(der) => der,
                };
                if matches!(body, Body::Message(_)) != is_content_info(rest)? {
                    let what = "a part of it is not of the type that its place says";
                    return Err(SubmissionError::Malformed { what });
                }
                (RequestType::Cmc, controls)
            }
            content_type => return Err(SubmissionError::ContentType { content_type }),
        };
        if raw_layers.is_empty() {
            request_type = kind;
        }
        raw_layers.push(RawLayer {
            certificates: signed.certificates,
            signers: signed.signers,
            controls,
        });
    }
    let request = parse_request(rest)?;

    // The key is the outermost signer's; its hash may be signed by whoever made the request.
    let (brought_key, has_key_hash) = archival::find(&raw_layers)?;
    let kept = match &brought_key {
        Some(_) => without_archived_key(&der)?,
        None => Vec::new(),
    };

    // Now that the request is known, the signers that use its key are, too.
    let mut echo = None;
    let mut renewed = renewal_certificate(&request)?;
    let mut layers_around_renewal = if renewed.is_some() { raw_layers.len() } else { 0 };
    let mut layers = Vec::with_capacity(raw_layers.len());
    for RawLayer { certificates, signers, controls } in raw_layers {
        let Controls {
            echo: found,
            enrollment_attributes,
            extensions,
            renewal_certificate,
            encrypted_key_hash: _,
        } = controls;
        echo.get_or_insert(found);
        if let Some(other) = renewal_certificate {
            if *renewed.get_or_insert_with(|| other.clone()) != other {
                return Err(SubmissionError::Malformed { what: "it renews two certificates" });
            }
            layers_around_renewal = layers_around_renewal.max(layers.len() + 1);
        }
        layers.push(SignedLayer {
            signers: resolve(signers, &certificates, &request)?,
            certificates: certificates.into_iter().map(<[u8]>::to_vec).collect(),
            enrollment_attributes,
            extensions,
        });
    }
    // What nobody signed could be put around a message that somebody else signed, and add to it.
    let mut from_unsigned = layers.iter().skip_while(|it| !it.signers.is_empty());
    if from_unsigned.any(|it| !it.signers.is_empty()) {
        return Err(SubmissionError::UnsignedAround);
    }
    let echo = echo.unwrap_or_default();
    Ok(SubmittedRequest {
        request_type,
        request,
        layers,
        body_part,
        transaction_id: echo.transaction_id,
        sender_nonce: echo.sender_nonce,
        data_return: echo.data_return,
        renewal_certificate: renewed,
        layers_around_renewal,
        der: if brought_key.is_some() { kept } else { der.into_owned() },
        brought_key,
        has_key_hash,
    })
}

/// A signed message before its signers are resolved.
struct RawLayer<'a> {
    certificates: Vec<&'a [u8]>,
    signers: Vec<RawSigner<'a>>,
    controls: Controls,
}

/// Whether that is a message: it starts with its type, where a PKCS #10 starts with a sequence.
fn is_content_info(der: &[u8]) -> Result<bool, SubmissionError> {
    // PEM inside of a message would be taken for a request otherwise.
    if der.first() != Some(&SEQUENCE) {
        return Err(SubmissionError::Malformed { what: "its content is not a request" });
    }
    if der.starts_with(&BER_MESSAGE) {
        return Err(CmsError::Ber.into());
    }
    // What cannot be read at all is left to the reader of requests, which says it best.
    let first = Tlv::read_as(der, SEQUENCE, "").and_then(|it| it.children().next());
    Ok(first.is_ok_and(|it| it.tag == OID))
}

/// The certificate that the attributes of a PKCS #10 say is renewed. The rest of them was read with
/// the request, which left this one out: alone it proves nothing.
fn renewal_certificate(request: &CertificationRequest) -> Result<Option<Vec<u8>>, SubmissionError> {
    const NOT_ONE: &str = "it does not hold one certificate";
    let invalid = |NotDer(what)| RequestError::AttributeInvalid { oid: RENEWAL_CERTIFICATE, what };
    let mut fields = Tlv::read(request.info_der())?.children();
    while !fields.is_empty() {
        let field = fields.next()?;
        if field.tag != CONTEXT_CONSTRUCTED {
            continue;
        }
        let mut attributes = field.children();
        while !attributes.is_empty() {
            let mut attribute = attributes.next()?.children();
            if attribute.next()?.oid()? == RENEWAL_CERTIFICATE {
                let mut values = attribute.next()?.children();
                let value = values.expect(SEQUENCE, NOT_ONE).map_err(invalid)?;
                values.finish(NOT_ONE).map_err(invalid)?;
                return Ok(Some(value.whole.to_owned()));
            }
        }
    }
    Ok(None)
}

fn resolve(
    signers: Vec<RawSigner<'_>>,
    certificates: &[&[u8]],
    request: &CertificationRequest,
) -> Result<Vec<Signer>, SubmissionError> {
    let mut resolved = Vec::with_capacity(signers.len());
    for signer in signers {
        resolved.extend(signer.resolve(certificates, request)?);
    }
    Ok(resolved)
}
