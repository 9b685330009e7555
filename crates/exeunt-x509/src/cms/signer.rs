//! One signer of a message: who, how, and the exact bytes that were signed.

use super::{CONTENT_TYPE, CmsError, DATA, MESSAGE_DIGEST, SIGNED_ATTRIBUTE_COUNT_MAX};
use crate::algorithm::{explain_unknown_scheme, key_identifier, scheme_fits_key, scheme_from_der};
use crate::certificate::{Certificate, CertificateError, RawTbs, parse_certificate};
use crate::name::Name;
use crate::oid;
use crate::request::{CertificationRequest, read_pair};
use crate::tlv::{
    CONTEXT_CONSTRUCTED, CONTEXT_PRIMITIVE, Cursor, INTEGER, NULL, NotDer, OCTET_STRING, OID,
    SEQUENCE, SET, Tlv, check_der,
};
use crate::write::Writer;
use aws_lc_rs::digest;
use const_oid::ObjectIdentifier;
use exeunt_types::{KeyAlgorithm, SignatureScheme};

/// `id-alg-noSignature` (RFC 5272, appendix C.1; RFC 6402, section 2.2).
const NO_SIGNATURE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.6.2");
/// ECDSA where the digest is a parameter (RFC 5758 names the arc); older Windows writes it.
const ECDSA_WITH_SPECIFIED: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3");
/// `szOID_ARCHIVED_KEY_ATTR` (MS-WCCE, section 2.2.2.7.8): the private key of a request, encrypted.
pub(crate) const ARCHIVED_KEY: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.21.13");
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const MD5: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.2.5");

/// Algorithm of a message digest (RFC 5754, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DigestAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl DigestAlgorithm {
    const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// The one that goes with a signature scheme: its own, or SHA-512 where the scheme digests by
    /// itself (RFC 8419, section 3; RFC 9882, section 3.3).
    #[must_use]
    pub fn of_scheme(scheme: SignatureScheme) -> Self {
        Self::named_by(scheme).unwrap_or(Self::Sha512)
    }

    /// The digest in a scheme's name, if the scheme does not digest by itself.
    fn named_by(scheme: SignatureScheme) -> Option<Self> {
        use SignatureScheme as Scheme;
        match scheme {
            Scheme::EcdsaSha256 | Scheme::RsaPkcs1Sha256 | Scheme::RsaPssSha256 => {
                Some(Self::Sha256)
            }
            Scheme::EcdsaSha384 | Scheme::RsaPkcs1Sha384 | Scheme::RsaPssSha384 => {
                Some(Self::Sha384)
            }
            Scheme::EcdsaSha512 | Scheme::RsaPkcs1Sha512 | Scheme::RsaPssSha512 => {
                Some(Self::Sha512)
            }
            Scheme::Ed25519 | Scheme::MlDsa44 | Scheme::MlDsa65 | Scheme::MlDsa87 => None,
        }
    }

    /// Digest of those bytes.
    #[must_use]
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }

    pub(super) fn oid(self) -> ObjectIdentifier {
        ObjectIdentifier::new_unwrap(match self {
            Self::Sha256 => "2.16.840.1.101.3.4.2.1",
            Self::Sha384 => "2.16.840.1.101.3.4.2.2",
            Self::Sha512 => "2.16.840.1.101.3.4.2.3",
        })
    }

    /// Reads an `AlgorithmIdentifier`, whose parameters are absent or NULL (RFC 5754, section 2).
    fn read(identifier: &Tlv<'_>) -> Result<Self, CmsError> {
        let mut fields = identifier.children();
        let oid = fields.expect(OID, "digest algorithm has no type")?.oid()?;
        fields.optional(NULL)?;
        fields.finish("digest algorithm has parameters")?;
        Self::ALL.into_iter().find(|it| it.oid() == oid).ok_or_else(|| {
            CmsError::Algorithm(match oid {
                SHA1 => "SHA-1 is broken, use SHA-256 or longer".to_owned(),
                MD5 => "MD5 is broken".to_owned(),
                other => format!("digest {other} is not known here"),
            })
        })
    }
}

/// How a message names the certificate of a signer (RFC 5652, section 5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignerIdentifier {
    /// By who issued it and its number.
    IssuerAndSerial {
        /// The certificate's issuer.
        issuer: Name,
        /// Contents of the serial number's INTEGER: big-endian, with a zero octet in front where
        /// the top bit is set.
        serial: Vec<u8>,
    },
    /// By the identifier of its key.
    KeyIdentifier(Vec<u8>),
}

impl SignerIdentifier {
    /// The usual one: issuer and serial number.
    #[must_use]
    pub fn of(certificate: &Certificate) -> Self {
        let serial = certificate.serial().as_be_bytes().to_vec();
        Self::IssuerAndSerial { issuer: certificate.issuer().clone(), serial }
    }

    pub(super) fn read(tlv: &Tlv<'_>) -> Result<Self, CmsError> {
        if tlv.tag == CONTEXT_PRIMITIVE {
            return Ok(Self::KeyIdentifier(tlv.value.to_owned()));
        }
        let mut fields = tlv.children();
        let issuer = fields.expect(SEQUENCE, "a signer has no issuer")?;
        let serial = fields.expect(INTEGER, "a signer has no serial number")?.value.to_owned();
        fields.finish("something follows the serial number of a signer")?;
        let issuer = Name::from_der(issuer.whole)
            .map_err(|_| CmsError::Malformed("issuer of a signer is not a name"))?;
        Ok(Self::IssuerAndSerial { issuer, serial })
    }

    /// Whether this names the certificate in `der`; one that cannot be read is not the one.
    #[must_use]
    pub fn names(&self, der: &[u8]) -> bool {
        let matches = || -> Result<bool, NotDer> {
            let mut outer = Tlv::read_as(der, SEQUENCE, "")?.children();
            let tbs = RawTbs::read(outer.expect(SEQUENCE, "")?.whole)?;
            Ok(match self {
                Self::IssuerAndSerial { issuer, serial } => {
                    tbs.serial == serial
                        && (tbs.issuer == issuer.der()
                            || Name::from_der(tbs.issuer).is_ok_and(|it| it.matches(issuer)))
                }
                Self::KeyIdentifier(wanted) => {
                    let named = tbs.extension(&oid::SUBJECT_KEY_IDENTIFIER).map(|it| it.value);
                    same_key(wanted, named, tbs.spki)
                }
            })
        };
        matches().unwrap_or(false)
    }
}

/// Whether `wanted` is the key identifier in an extension's value, or where there is none, the one
/// that is made of the key.
fn same_key(wanted: &[u8], named: Option<&[u8]>, spki: &[u8]) -> bool {
    match named {
        Some(value) => Tlv::read_as(value, OCTET_STRING, "").is_ok_and(|it| it.value == wanted),
        None => key_identifier(spki).is_ok_and(|it| it == wanted),
    }
}

/// Whose key it is that a signature is to be verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignerKey {
    /// That of a certificate which came with the message. Whether it is to be trusted is not known
    /// here.
    Certificate(Box<Certificate>),
    /// The very key that the request is for: the signature proves its possession and nothing else.
    Request,
    /// That of a certificate which did not come with the message.
    Elsewhere,
}

/// A signature on a message that has still to be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    pub(super) identifier: SignerIdentifier,
    pub(super) key: SignerKey,
    pub(super) digest: DigestAlgorithm,
    pub(super) scheme: SignatureScheme,
    pub(super) signed: Vec<u8>,
    pub(super) signature: Vec<u8>,
    pub(super) enrollment_attributes: Vec<(String, String)>,
}

impl Signer {
    /// How the message names the signer's certificate.
    #[must_use]
    pub fn identifier(&self) -> &SignerIdentifier {
        &self.identifier
    }

    /// Whose key verifies the signature.
    #[must_use]
    pub fn key(&self) -> &SignerKey {
        &self.key
    }

    /// The certificate of the signer, if it came with the message.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        match &self.key {
            SignerKey::Certificate(certificate) => Some(certificate),
            SignerKey::Request | SignerKey::Elsewhere => None,
        }
    }

    /// Algorithm of the message digest, which was compared already.
    #[must_use]
    pub fn digest(&self) -> DigestAlgorithm {
        self.digest
    }

    /// How it is signed. Fits [`Self::key`], unless that is [`SignerKey::Elsewhere`].
    #[must_use]
    pub fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    /// The exact bytes that are signed: DER of the signed attributes as a SET OF, or the content
    /// itself where there are none.
    #[must_use]
    pub fn signed_bytes(&self) -> &[u8] {
        &self.signed
    }

    /// The signature: DER for ECDSA, plain octets otherwise.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Name and value of the enrolment attributes among the signed attributes: what this signer,
    /// and no other, says.
    #[must_use]
    pub fn enrollment_attributes(&self) -> &[(String, String)] {
        &self.enrollment_attributes
    }
}

/// A `SignerInfo` where it stands, with its message digest compared.
#[derive(Debug)]
pub(crate) enum RawSigner<'a> {
    /// Signed, with everything but the key known.
    Signed {
        identifier: SignerIdentifier,
        digest: DigestAlgorithm,
        scheme: SignatureScheme,
        signed: Vec<u8>,
        signature: &'a [u8],
        enrollment_attributes: Vec<(String, String)>,
        /// Hash of the encrypted private key that came along, as far as the signer says.
        encrypted_key_hash: Option<&'a [u8]>,
        /// The encrypted private key itself, among what is not signed.
        archived_key: Option<&'a [u8]>,
    },
    /// The no-signature mechanism: it proves nothing, so nothing of it is kept. Its digest is not
    /// compared either: it may be SHA-1, and RFC 6402 advises to ignore it.
    Unsigned,
}

impl<'a> RawSigner<'a> {
    pub(super) fn read(
        info: Tlv<'a>,
        content_type: ObjectIdentifier,
        content: &'a [u8],
    ) -> Result<Self, CmsError> {
        check_der(info.whole)?;
        let mut fields = info.children();
        let version = fields.expect(INTEGER, "version of a signer is missing")?;
        if !matches!(version.value, [1 | 3]) {
            return Err(CmsError::Malformed("a signer has an unknown version"));
        }
        let identifier = fields.next()?;
        if !matches!(identifier.tag, SEQUENCE | CONTEXT_PRIMITIVE) {
            return Err(CmsError::Malformed("a signer is not named"));
        }
        let digest = fields.expect(SEQUENCE, "digest algorithm of a signer is missing")?;
        let attributes = fields.optional(CONTEXT_CONSTRUCTED)?;
        let algorithm = fields.expect(SEQUENCE, "signature algorithm of a signer is missing")?;
        let signature = fields.expect(OCTET_STRING, "signature of a signer is missing")?.value;
        // What is not signed says nothing that could be relied on. A private key stands there all the
        // same: its hash is what is signed.
        let archived_key = match fields.optional(CONTEXT_CONSTRUCTED + 1)? {
            None => None,
            Some(attributes) => find_archived_key(attributes.children())?,
        };
        fields.finish("something follows the signature of a signer")?;

        if algorithm.children().expect(OID, "signature algorithm has no type")?.oid()?
            == NO_SIGNATURE
        {
            if archived_key.is_some() {
                return Err(CmsError::Malformed("a private key came with no signature"));
            }
            return Ok(Self::Unsigned);
        }
        let digest = DigestAlgorithm::read(&digest)?;
        let scheme = read_scheme(&algorithm, digest)?;
        let identifier = SignerIdentifier::read(&identifier)?;
        let (signed, enrollment_attributes, encrypted_key_hash) = match attributes {
            Some(attributes) => {
                let found = SignedAttributes::read(attributes.children())?;
                if found.content_type != Some(content_type) {
                    return Err(CmsError::Malformed("a signer signed another type of content"));
                }
                if found.message_digest != Some(&digest.digest(content)) {
                    return Err(CmsError::Digest);
                }
                // RFC 5652, section 5.4: signed as a SET OF, whatever tag it has in the message.
                let mut signed = attributes.whole.to_vec();
                signed[0] = SET;
                (signed, found.enrollment, found.encrypted_key_hash)
            }
            // RFC 5652, section 5.3: only plain data may do without. That content cannot be taken
            // for signed attributes, because a request starts as a SEQUENCE and those as a SET.
            None if content_type == DATA => (content.to_vec(), Vec::new(), None),
            None => return Err(CmsError::Malformed("a signer has no signed attributes")),
        };
        Ok(Self::Signed {
            identifier,
            digest,
            scheme,
            signed,
            signature,
            enrollment_attributes,
            encrypted_key_hash,
            archived_key,
        })
    }

    /// The encrypted private key that came with the signature.
    pub(crate) fn archived_key(&self) -> Option<&'a [u8]> {
        match self {
            Self::Signed { archived_key, .. } => *archived_key,
            Self::Unsigned => None,
        }
    }

    /// What the signer says that the hash of an encrypted private key is.
    pub(crate) fn encrypted_key_hash(&self) -> Option<&'a [u8]> {
        match self {
            Self::Signed { encrypted_key_hash, .. } => *encrypted_key_hash,
            Self::Unsigned => None,
        }
    }

    /// Finds the key among the certificates and in the request; `None` where nobody signed.
    pub(crate) fn resolve(
        self,
        certificates: &[&[u8]],
        request: &CertificationRequest,
    ) -> Result<Option<Signer>, ResolveError> {
        let Self::Signed {
            identifier,
            digest,
            scheme,
            signed,
            signature,
            enrollment_attributes,
            encrypted_key_hash: _,
            archived_key: _,
        } = self
        else {
            return Ok(None);
        };
        // The certificate first: it says more about the same key than the request does.
        let key = match certificates.iter().find(|it| identifier.names(it)) {
            Some(der) => {
                let certificate = parse_certificate(der).map_err(ResolveError::Certificate)?;
                check_fit(scheme, certificate.key())?;
                SignerKey::Certificate(Box::new(certificate))
            }
            None if is_key_of(&identifier, request) => {
                check_fit(scheme, request.key())?;
                SignerKey::Request
            }
            None => SignerKey::Elsewhere,
        };
        let signature = signature.to_owned();
        Ok(Some(Signer {
            identifier,
            key,
            digest,
            scheme,
            signed,
            signature,
            enrollment_attributes,
        }))
    }
}

/// Why the key of a signer cannot be worked with.
#[derive(Debug)]
pub(crate) enum ResolveError {
    Certificate(CertificateError),
    Mismatch(KeyAlgorithm),
}

fn check_fit(scheme: SignatureScheme, key: KeyAlgorithm) -> Result<(), ResolveError> {
    if scheme_fits_key(scheme, key) { Ok(()) } else { Err(ResolveError::Mismatch(key)) }
}

/// Whether the request is for the key that is named. Windows signs new requests so.
fn is_key_of(identifier: &SignerIdentifier, request: &CertificationRequest) -> bool {
    let SignerIdentifier::KeyIdentifier(wanted) = identifier else { return false };
    let named = request.extensions().iter().find(|it| it.oid == oid::SUBJECT_KEY_IDENTIFIER);
    same_key(wanted, named.map(|it| it.value.as_slice()), request.spki_der())
        || same_key(wanted, None, request.spki_der())
}

/// The scheme of a signature: named as a whole, or by the key's algorithm beside the digest's (RFC
/// 3370, section 3.2; Windows does the same for ECDSA).
fn read_scheme(identifier: &Tlv<'_>, digest: DigestAlgorithm) -> Result<SignatureScheme, CmsError> {
    use {DigestAlgorithm as Digest, SignatureScheme as Scheme};
    let contradiction =
        || CmsError::Algorithm("it digests otherwise than the signer says".to_owned());
    if let Some(scheme) = scheme_from_der(identifier.whole) {
        let agree = Digest::named_by(scheme).is_none_or(|it| it == digest);
        return if agree { Ok(scheme) } else { Err(contradiction()) };
    }
    let rsa = match digest {
        Digest::Sha256 => Scheme::RsaPkcs1Sha256,
        Digest::Sha384 => Scheme::RsaPkcs1Sha384,
        Digest::Sha512 => Scheme::RsaPkcs1Sha512,
    };
    let ecdsa = match digest {
        Digest::Sha256 => Scheme::EcdsaSha256,
        Digest::Sha384 => Scheme::EcdsaSha384,
        Digest::Sha512 => Scheme::EcdsaSha512,
    };
    let mut fields = identifier.children();
    let kind = fields.expect(OID, "signature algorithm has no type")?.oid()?;
    let scheme = match kind {
        oid::RSA_ENCRYPTION => rsa,
        oid::EC_PUBLIC_KEY => ecdsa,
        ECDSA_WITH_SPECIFIED => {
            let specified = fields.expect(SEQUENCE, "ECDSA does not specify its digest")?;
            if DigestAlgorithm::read(&specified)? != digest {
                return Err(contradiction());
            }
            ecdsa
        }
        _ => return Err(CmsError::Algorithm(explain_unknown_scheme(identifier.whole))),
    };
    fields.optional(NULL)?;
    fields.finish("signature algorithm has parameters where none are allowed")?;
    Ok(scheme)
}

/// What of the signed attributes matters here. Others, such as the time of signing, are claims of
/// the signer that nothing depends on.
#[derive(Default)]
struct SignedAttributes<'a> {
    content_type: Option<ObjectIdentifier>,
    message_digest: Option<&'a [u8]>,
    enrollment: Vec<(String, String)>,
    encrypted_key_hash: Option<&'a [u8]>,
}

impl<'a> SignedAttributes<'a> {
    fn read(mut attributes: Cursor<'a>) -> Result<Self, CmsError> {
        let mut found = Self::default();
        let mut seen: Vec<ObjectIdentifier> = Vec::new();
        let mut previous: &[u8] = &[];
        while !attributes.is_empty() {
            if seen.len() == SIGNED_ATTRIBUTE_COUNT_MAX {
                let (what, max) = ("signed attributes", SIGNED_ATTRIBUTE_COUNT_MAX);
                return Err(CmsError::TooMany { what, max });
            }
            let attribute = attributes.expect(SEQUENCE, "a signed attribute is not a sequence")?;
            // The implicit tag hides from the general check that this is a SET OF.
            if attribute.whole < previous {
                return Err(CmsError::Malformed("signed attributes are not in ascending order"));
            }
            previous = attribute.whole;
            let mut fields = attribute.children();
            let oid = fields.expect(OID, "a signed attribute has no type")?.oid()?;
            let values = fields.expect(SET, "a signed attribute has no values")?.children();
            fields.finish("a signed attribute has more than type and values")?;
            if seen.contains(&oid) && oid != oid::ENROLLMENT_NAME_VALUE_PAIR {
                return Err(CmsError::Malformed("a signed attribute occurs twice"));
            }
            seen.push(oid);
            found.keep(oid, values)?;
        }
        Ok(found)
    }

    fn keep(&mut self, oid: ObjectIdentifier, mut values: Cursor<'a>) -> Result<(), CmsError> {
        const ONE: &str = "a signed attribute has more than one value";
        match oid {
            CONTENT_TYPE => {
                let value = values.expect(OID, "signed content type is not an identifier")?;
                values.finish(ONE)?;
                self.content_type = Some(value.oid()?);
            }
            MESSAGE_DIGEST => {
                let value = values.expect(OCTET_STRING, "message digest is not an octet string")?;
                values.finish(ONE)?;
                self.message_digest = Some(value.value);
            }
            oid::ENCRYPTED_KEY_HASH => {
                let value = values.expect(OCTET_STRING, "hash of a key is not an octet string")?;
                values.finish(ONE)?;
                self.encrypted_key_hash = Some(value.value);
            }
            oid::ENROLLMENT_NAME_VALUE_PAIR => {
                while !values.is_empty() {
                    self.enrollment.push(read_pair(&values.next()?)?);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The one attribute, among those that are not signed, that matters here.
fn find_archived_key(mut attributes: Cursor<'_>) -> Result<Option<&[u8]>, CmsError> {
    const ONE: &str = "a signer brings more than one private key";
    let mut found = None;
    while !attributes.is_empty() {
        let attribute = attributes.expect(SEQUENCE, "an attribute is not a sequence")?;
        let mut fields = attribute.children();
        if fields.expect(OID, "an attribute has no type")?.oid()? != ARCHIVED_KEY {
            continue;
        }
        let mut values = fields.expect(SET, "an attribute has no values")?.children();
        let value = values.expect(SEQUENCE, "a private key is not an encrypted message")?;
        values.finish(ONE)?;
        if found.replace(value.whole).is_some() {
            return Err(CmsError::Malformed(ONE));
        }
    }
    Ok(found)
}

/// Writes the `AlgorithmIdentifier` of a digest, without parameters (RFC 5754, section 2).
pub(super) fn write_digest(writer: &mut Writer, digest: DigestAlgorithm) {
    writer.nest(SEQUENCE, |it| it.oid(&digest.oid()));
}

/// Writes the name of a signer's certificate.
pub(super) fn write_identifier(writer: &mut Writer, identifier: &SignerIdentifier) {
    match identifier {
        SignerIdentifier::IssuerAndSerial { issuer, serial } => writer.nest(SEQUENCE, |it| {
            it.raw(issuer.der());
            it.element(INTEGER, serial);
        }),
        SignerIdentifier::KeyIdentifier(identifier) => {
            writer.element(CONTEXT_PRIMITIVE, identifier);
        }
    }
}
