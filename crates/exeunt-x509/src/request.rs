//! Certification requests, PKCS #10 (RFC 2986): reading what requesters send, and making our own.
//!
//! The signature is handed out, not verified: that takes cryptography, which lives elsewhere.

use crate::algorithm::{
    KeyError, explain_unknown_scheme, key_algorithm, scheme_der, scheme_fits_key, scheme_from_der,
};
use crate::extension::{EXTENSION_COUNT_MAX, Extension, RawExtension};
use crate::general_name::{GeneralName, GeneralNameError};
use crate::name::{Name, NameError, decode_string, is_deceptive};
use crate::oid;
use crate::pem::{PemError, decode_pem_or_der};
use crate::tbs::BuildError;
use crate::tlv::{
    BIT_STRING, CONTEXT_CONSTRUCTED, Cursor, INTEGER, NotDer, OID, SEQUENCE, SET, Tlv, check_der,
};
use crate::write::Writer;
use const_oid::ObjectIdentifier;
use exeunt_types::{KeyAlgorithm, SignatureScheme};
use std::ops::Range;

/// Largest request, in octets of DER. One with an ML-DSA-87 key and 100 names has about 15,000.
pub const REQUEST_BYTES_MAX: usize = 65_536;
/// Largest request in PEM, in octets: base64 with line ends, and room for text before it.
pub const REQUEST_PEM_BYTES_MAX: usize = 2 * REQUEST_BYTES_MAX;
/// Most attributes in one request.
pub const ATTRIBUTE_COUNT_MAX: usize = 64;
/// Longest name of an enrolment attribute, in characters: what the original's database keeps.
pub const ENROLLMENT_NAME_LENGTH_MAX: usize = 254;
/// Longest value of an enrolment attribute, in octets: what the original's database keeps.
pub const ENROLLMENT_VALUE_BYTES_MAX: usize = 8192;

/// PEM labels of a request; the second is what Windows and old OpenSSL write.
const LABELS: [&str; 2] = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];

/// Why a request cannot be processed. Every message is for the requester to read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// More than [`REQUEST_BYTES_MAX`] octets of DER or [`REQUEST_PEM_BYTES_MAX`] of PEM.
    #[error("request is larger than 65536 octets")]
    TooLarge,
    /// Neither DER nor PEM with the right label.
    #[error("{0}")]
    NotPem(PemError),
    /// Not DER, or cut off, or nested too deep, or followed by something.
    #[error("request is not valid DER: {what}")]
    NotDer {
        /// Which rule it broke.
        what: &'static str,
    },
    /// DER, but not a certification request.
    #[error("request is not a PKCS #10 certification request: {what}")]
    Malformed {
        /// Which rule it broke.
        what: &'static str,
    },
    /// The public key is of a kind that is not certified here.
    #[error("{0}")]
    KeyUnsupported(KeyError),
    /// The RSA key is too small.
    #[error("{0}")]
    KeyTooSmall(KeyError),
    /// The public key is broken or too large.
    #[error("{0}")]
    KeyInvalid(KeyError),
    /// The signature algorithm is broken, unknown or wrongly parametrised.
    #[error("signature algorithm of the request is not accepted: {why}")]
    SignatureUnsupported {
        /// One clause.
        why: String,
    },
    /// The signature algorithm is good, but not for this key.
    #[error("signature algorithm of the request does not fit its {key} key", key = key.name())]
    SignatureMismatch {
        /// The key in the request.
        key: KeyAlgorithm,
    },
    /// The subject is not acceptable.
    #[error("subject of the request is not accepted: {0}")]
    NameInvalid(NameError),
    /// The subject alternative names are not acceptable.
    #[error("alternative names of the request are not accepted: {0}")]
    SanInvalid(GeneralNameError),
    /// An attribute is malformed.
    #[error("attribute {oid} of the request is malformed: {what}")]
    AttributeInvalid {
        /// Its type.
        oid: ObjectIdentifier,
        /// Which rule it broke.
        what: &'static str,
    },
    /// An attribute that may stand there once stands there twice.
    #[error("attribute {oid} occurs twice in the request")]
    AttributeDuplicate {
        /// Its type.
        oid: ObjectIdentifier,
    },
    /// A requested extension is malformed.
    #[error("extension {oid} of the request is malformed: {what}")]
    ExtensionInvalid {
        /// Its type.
        oid: ObjectIdentifier,
        /// Which rule it broke.
        what: &'static str,
    },
    /// An extension is asked for twice.
    #[error("extension {oid} occurs twice in the request")]
    ExtensionDuplicate {
        /// Its type.
        oid: ObjectIdentifier,
    },
    /// A list is longer than its limit.
    #[error("request has more than {max} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        max: usize,
    },
}

impl RequestError {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "request-too-large",
            Self::NotPem(_) => "request-not-pem",
            Self::NotDer { .. } => "request-not-der",
            Self::Malformed { .. } => "request-malformed",
            Self::KeyUnsupported(_) => "request-key-unsupported",
            Self::KeyTooSmall(_) => "request-key-too-small",
            Self::KeyInvalid(_) => "request-key-invalid",
            Self::SignatureUnsupported { .. } => "request-signature-unsupported",
            Self::SignatureMismatch { .. } => "request-signature-mismatch",
            Self::NameInvalid(_) => "request-name-invalid",
            Self::SanInvalid(_) => "request-san-invalid",
            Self::AttributeInvalid { .. } => "request-attribute-invalid",
            Self::AttributeDuplicate { .. } => "request-attribute-duplicate",
            Self::ExtensionInvalid { .. } => "request-extension-invalid",
            Self::ExtensionDuplicate { .. } => "request-extension-duplicate",
            Self::TooMany { .. } => "request-too-many",
        }
    }
}

impl From<NotDer> for RequestError {
    fn from(NotDer(what): NotDer) -> Self {
        Self::Malformed { what }
    }
}

/// A request that is well-formed. Its signature has still to be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificationRequest {
    der: Vec<u8>,
    info: Range<usize>,
    spki: Range<usize>,
    signature: Range<usize>,
    scheme: SignatureScheme,
    key: KeyAlgorithm,
    subject: Name,
    subject_alternative_names: Vec<GeneralName>,
    extensions: Vec<Extension>,
    enrollment_attributes: Vec<(String, String)>,
}

impl CertificationRequest {
    /// The whole request.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The exact bytes that are signed: `CertificationRequestInfo`.
    #[must_use]
    pub fn info_der(&self) -> &[u8] {
        &self.der[self.info.clone()]
    }

    /// How it is signed; fits [`Self::key`].
    #[must_use]
    pub fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    /// The signature: DER for ECDSA, plain octets otherwise.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.der[self.signature.clone()]
    }

    /// DER of the public key: `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.der[self.spki.clone()]
    }

    /// Algorithm and size of the public key.
    #[must_use]
    pub fn key(&self) -> KeyAlgorithm {
        self.key
    }

    /// The subject as requested; may be empty.
    #[must_use]
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// The alternative names as requested; empty if there are none.
    #[must_use]
    pub fn subject_alternative_names(&self) -> &[GeneralName] {
        &self.subject_alternative_names
    }

    /// Everything asked for by extension request attributes, in order, no type twice.
    #[must_use]
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// Name and value of Microsoft's enrolment attributes, in order.
    #[must_use]
    pub fn enrollment_attributes(&self) -> &[(String, String)] {
        &self.enrollment_attributes
    }

    /// The same request asking for these extensions as well, each in place of the one of its type.
    /// The bytes stay what they are: who adds has to stand for it elsewhere.
    pub(crate) fn with_extensions<'a>(
        mut self,
        added: impl IntoIterator<Item = &'a Extension>,
    ) -> Result<Self, RequestError> {
        let mut wishes = Wishes { extensions: self.extensions, ..Wishes::default() };
        for extension in added {
            match wishes.extensions.iter().position(|it| it.oid == extension.oid) {
                Some(place) => wishes.extensions[place].clone_from(extension),
                None if wishes.extensions.len() == EXTENSION_COUNT_MAX => {
                    return Err(too_many("extensions", EXTENSION_COUNT_MAX));
                }
                None => wishes.extensions.push(extension.clone()),
            }
        }
        self.subject_alternative_names = wishes.alternative_names()?;
        self.extensions = wishes.extensions;
        Ok(self)
    }
}

/// Reads a request in DER or PEM. Nothing is repaired and nothing is skipped.
///
/// # Errors
///
/// [`RequestError`]: always the requester's fault, and the message says which.
pub fn parse_request(input: &[u8]) -> Result<CertificationRequest, RequestError> {
    if REQUEST_PEM_BYTES_MAX < input.len() {
        return Err(RequestError::TooLarge);
    }
    let der = decode_pem_or_der(input, &LABELS).map_err(RequestError::NotPem)?;
    if REQUEST_BYTES_MAX < der.len() {
        return Err(RequestError::TooLarge);
    }
    check_der(&der).map_err(|NotDer(what)| RequestError::NotDer { what })?;

    let mut outer = Tlv::read_as(&der, SEQUENCE, "it is not a sequence")?.children();
    let info = outer.expect(SEQUENCE, "request info is missing")?;
    let algorithm = outer.expect(SEQUENCE, "signature algorithm is missing")?;
    let signature = outer.expect(BIT_STRING, "signature is missing")?.bit_string_octets()?;
    outer.finish("something follows the signature")?;

    let mut fields = info.children();
    if fields.expect(INTEGER, "version is missing")?.value != [0] {
        return Err(RequestError::Malformed { what: "version is not 1" });
    }
    let subject = fields.expect(SEQUENCE, "subject is missing")?;
    let subject = Name::from_der(subject.whole).map_err(RequestError::NameInvalid)?;
    subject.check_bounds().map_err(RequestError::NameInvalid)?;
    let spki = fields.expect(SEQUENCE, "public key is missing")?;
    let key = key_algorithm(spki.whole).map_err(|err| match err {
        KeyError::Unsupported { .. } => RequestError::KeyUnsupported(err),
        KeyError::TooSmall { .. } => RequestError::KeyTooSmall(err),
        _ => RequestError::KeyInvalid(err),
    })?;
    let scheme = scheme_from_der(algorithm.whole).ok_or_else(|| {
        RequestError::SignatureUnsupported { why: explain_unknown_scheme(algorithm.whole) }
    })?;
    if !scheme_fits_key(scheme, key) {
        return Err(RequestError::SignatureMismatch { key });
    }
    let mut wishes = Wishes::default();
    // RFC 2986 demands the attributes, even empty; requests of old software go without.
    if let Some(attributes) = fields.optional(CONTEXT_CONSTRUCTED)? {
        wishes.read(attributes.children())?;
    }
    fields.finish("something follows the attributes")?;

    let subject_alternative_names = wishes.alternative_names()?;
    Ok(CertificationRequest {
        info: range_in(&der, info.whole),
        spki: range_in(&der, spki.whole),
        signature: range_in(&der, signature),
        scheme,
        key,
        subject,
        subject_alternative_names,
        extensions: wishes.extensions,
        enrollment_attributes: wishes.enrollment,
        der: der.into_owned(),
    })
}

/// Where `part`, a slice of `whole`, lies in it.
fn range_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

/// What the attributes ask for.
#[derive(Default)]
struct Wishes {
    seen: Vec<ObjectIdentifier>,
    extensions: Vec<Extension>,
    enrollment: Vec<(String, String)>,
}

impl Wishes {
    fn read(&mut self, mut attributes: Cursor<'_>) -> Result<(), RequestError> {
        let mut previous: &[u8] = &[];
        let mut count = 0;
        while !attributes.is_empty() {
            count += 1;
            if ATTRIBUTE_COUNT_MAX < count {
                return Err(too_many("attributes", ATTRIBUTE_COUNT_MAX));
            }
            let attribute = attributes.expect(SEQUENCE, "an attribute is not a sequence")?;
            // The implicit tag hides from the general check that this is a SET OF.
            if attribute.whole < previous {
                let what = "members of a set are not in ascending order";
                return Err(RequestError::NotDer { what });
            }
            previous = attribute.whole;
            self.read_attribute(attribute)?;
        }
        Ok(())
    }

    fn read_attribute(&mut self, attribute: Tlv<'_>) -> Result<(), RequestError> {
        let mut fields = attribute.children();
        let oid = fields.expect(OID, "an attribute has no type")?.oid()?;
        let invalid = |NotDer(what)| RequestError::AttributeInvalid { oid, what };
        let mut values = fields.expect(SET, "it has no set of values").map_err(invalid)?.children();
        fields.finish("it has more than type and values").map_err(invalid)?;
        // Windows writes one enrolment attribute per pair, so these alone may repeat.
        if oid == oid::ENROLLMENT_NAME_VALUE_PAIR {
            while !values.is_empty() {
                let pair = values.next().and_then(|it| read_pair(&it)).map_err(invalid)?;
                self.enrollment.push(pair);
            }
            return Ok(());
        }
        if self.seen.contains(&oid) {
            return Err(RequestError::AttributeDuplicate { oid });
        }
        self.seen.push(oid);
        let value = values.next().map_err(invalid)?;
        if oid == oid::EXTENSION_REQUEST || oid == oid::MICROSOFT_EXTENSIONS {
            values.finish("it has more than one value").map_err(invalid)?;
            if value.tag != SEQUENCE {
                return Err(invalid(NotDer("its value is not a sequence of extensions")));
            }
            self.read_extensions(value.children())?;
        }
        Ok(())
    }

    fn read_extensions(&mut self, mut extensions: Cursor<'_>) -> Result<(), RequestError> {
        while !extensions.is_empty() {
            if self.extensions.len() == EXTENSION_COUNT_MAX {
                return Err(too_many("extensions", EXTENSION_COUNT_MAX));
            }
            let raw = RawExtension::read(&mut extensions)?;
            let oid = raw.oid;
            if self.extensions.iter().any(|it| it.oid == oid) {
                return Err(RequestError::ExtensionDuplicate { oid });
            }
            let extension = check_der(raw.value)
                .and_then(|()| raw.to_extension())
                .map_err(|NotDer(what)| RequestError::ExtensionInvalid { oid, what })?;
            self.extensions.push(extension);
        }
        Ok(())
    }

    fn alternative_names(&self) -> Result<Vec<GeneralName>, RequestError> {
        match self.extensions.iter().find(|it| it.oid == oid::SUBJECT_ALTERNATIVE_NAME) {
            None => Ok(Vec::new()),
            Some(found) => GeneralName::read_all(&found.value).map_err(RequestError::SanInvalid),
        }
    }
}

fn too_many(what: &'static str, max: usize) -> RequestError {
    RequestError::TooMany { what, max }
}

/// `EnrollmentNameValuePair`: two strings (MS-WCCE, section 2.2.2.7.10).
pub(crate) fn read_pair(pair: &Tlv<'_>) -> Result<(String, String), NotDer> {
    let text = |tlv| decode_string(&tlv).ok_or(NotDer("a name or value is not a plain string"));
    if pair.tag != SEQUENCE {
        return Err(NotDer("its value is not a pair"));
    }
    let mut fields = pair.children();
    let (name, value) = (text(fields.next()?)?, text(fields.next()?)?);
    fields.finish("its value is not a pair")?;
    check_pair(&name, &value)?;
    Ok((name, value))
}

/// What any enrolment attribute has to keep, however it came.
pub(crate) fn check_pair(name: &str, value: &str) -> Result<(), NotDer> {
    if name.contains(is_deceptive) || value.contains(is_deceptive) {
        return Err(NotDer("a name or value is not a plain string"));
    }
    if name.is_empty()
        || ENROLLMENT_NAME_LENGTH_MAX < name.chars().count()
        || ENROLLMENT_VALUE_BYTES_MAX < value.len()
    {
        return Err(NotDer("a name or value is too long or empty"));
    }
    Ok(())
}

/// Builds the part of a request that is signed.
///
/// # Errors
///
/// [`BuildError::PublicKey`] if `spki_der` is not a key, [`BuildError::TooManyExtensions`].
pub fn build_request_info(
    subject: &Name,
    spki_der: &[u8],
    extensions: &[Extension],
) -> Result<Vec<u8>, BuildError> {
    key_algorithm(spki_der).map_err(|source| BuildError::PublicKey { source: source.into() })?;
    if EXTENSION_COUNT_MAX < extensions.len() {
        return Err(BuildError::TooManyExtensions);
    }
    let mut writer = Writer::with_capacity(256 + subject.der().len() + spki_der.len());
    writer.nest(SEQUENCE, |it| {
        it.integer_u8(0);
        it.raw(subject.der());
        it.raw(spki_der);
        it.nest(CONTEXT_CONSTRUCTED, |it| {
            if extensions.is_empty() {
                return;
            }
            it.nest(SEQUENCE, |it| {
                it.oid(&oid::EXTENSION_REQUEST);
                it.nest(SET, |it| {
                    it.nest(SEQUENCE, |it| extensions.iter().for_each(|each| each.write(it)));
                });
            });
        });
    });
    Ok(writer.into_bytes())
}

/// Puts a signature to what [`build_request_info`] made.
#[must_use]
pub fn assemble_request(info: &[u8], scheme: SignatureScheme, signature: &[u8]) -> Vec<u8> {
    assemble(info, scheme, signature)
}

/// Signed bytes, algorithm, signature: the frame that requests and certificates share.
pub(crate) fn assemble(signed: &[u8], scheme: SignatureScheme, signature: &[u8]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(signed.len() + signature.len() + 40);
    writer.nest(SEQUENCE, |it| {
        it.raw(signed);
        it.raw(scheme_der(scheme));
        it.bit_string(signature);
    });
    writer.into_bytes()
}
