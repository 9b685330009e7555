//! Signed messages (CMS `SignedData`, RFC 5652): taking them apart, and finding who signed.
//!
//! No signature is verified here: what was signed, how and with which key is handed out. Only the
//! message digest is compared, because that takes no key. How messages are made is in `build`; what
//! a request inside of one means is the business of `cmc`.

pub(crate) mod bag;
pub(crate) mod ber;
pub(crate) mod build;
pub(crate) mod data;
pub(crate) mod enveloped;
mod signer;
mod strip;

use crate::tlv::{
    CONTEXT_CONSTRUCTED, Cursor, INTEGER, NotDer, OCTET_STRING, OID, SEQUENCE, SET, Tlv, check_der,
};
use const_oid::ObjectIdentifier;

pub(crate) use build::UnsignedMessage;
pub(crate) use signer::{ARCHIVED_KEY, RawSigner, ResolveError};
pub use signer::{DigestAlgorithm, Signer, SignerIdentifier, SignerKey};
pub(crate) use strip::without_archived_key;

/// Most certificates in one message: the longest chain is much shorter.
pub const MESSAGE_CERTIFICATE_COUNT_MAX: usize = 32;
/// Most signatures on one message. The original's own clients make one or two.
pub const SIGNER_COUNT_MAX: usize = 8;
/// Most signed attributes of one signer. OpenSSL writes four.
pub const SIGNED_ATTRIBUTE_COUNT_MAX: usize = 32;

/// `id-data`: octets of no stated type (RFC 5652, section 4).
pub(crate) const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
/// `id-signedData` (RFC 5652, section 5.1).
pub(crate) const SIGNED_DATA: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// `id-contentType` (RFC 5652, section 11.1).
pub(crate) const CONTENT_TYPE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
/// `id-messageDigest` (RFC 5652, section 11.2).
pub(crate) const MESSAGE_DIGEST: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");

/// Octet of length that says "until the end mark": BER, never DER.
const INDEFINITE_LENGTH: u8 = 0x80;
/// An OCTET STRING in pieces: BER, never DER.
const OCTET_STRING_IN_PIECES: u8 = OCTET_STRING | 0x20;

/// Why a signed message cannot be read.
#[derive(Debug)]
pub(crate) enum CmsError {
    /// Indefinite lengths or strings in pieces.
    Ber,
    /// Some other kind of message.
    ContentType(ObjectIdentifier),
    /// A rule of the structure, or of DER.
    Malformed(&'static str),
    /// A list is longer than its limit.
    TooMany { what: &'static str, max: usize },
    /// The algorithms of a signer.
    Algorithm(String),
    /// The digest that a signer wrote down is not the content's.
    Digest,
}

impl From<NotDer> for CmsError {
    fn from(NotDer(what): NotDer) -> Self {
        Self::Malformed(what)
    }
}

/// `SignedData` where it stands. Elements whose order does not matter need not be sorted: only what
/// is signed must be DER, and Windows keeps its signers in an order of its own.
#[derive(Debug)]
pub(crate) struct SignedData<'a> {
    /// What the content is.
    pub(crate) content_type: ObjectIdentifier,
    /// The content itself.
    pub(crate) content: &'a [u8],
    /// Whatever stands among the certificates and is an X.509 certificate by its tag.
    pub(crate) certificates: Vec<&'a [u8]>,
    pub(crate) signers: Vec<RawSigner<'a>>,
}

impl<'a> SignedData<'a> {
    /// Takes a `ContentInfo` apart that holds signed data.
    pub(crate) fn read(content_info: &'a [u8]) -> Result<Self, CmsError> {
        // One look is enough: whoever writes indefinite lengths writes the outermost one so.
        if content_info.get(1) == Some(&INDEFINITE_LENGTH) {
            return Err(CmsError::Ber);
        }
        let mut info =
            Tlv::read_as(content_info, SEQUENCE, "message is not a sequence")?.children();
        let kind = info.expect(OID, "message does not say what it is")?.oid()?;
        if kind != SIGNED_DATA {
            return Err(CmsError::ContentType(kind));
        }
        let explicit = info.expect(CONTEXT_CONSTRUCTED, "message has no content")?;
        info.finish("something follows the message")?;
        if explicit.value.get(1) == Some(&INDEFINITE_LENGTH) {
            return Err(CmsError::Ber);
        }
        let signed = Tlv::read_as(explicit.value, SEQUENCE, "signed data is not a sequence")?;
        Self::read_fields(signed.children())
    }

    fn read_fields(mut fields: Cursor<'a>) -> Result<Self, CmsError> {
        let version = fields.expect(INTEGER, "version of the signed data is missing")?;
        // RFC 5652, section 5.1: 1, 3, 4 or 5; PKCS #7 had 1 as well.
        if !matches!(version.value, [1 | 3 | 4 | 5]) {
            return Err(CmsError::Malformed("signed data has an unknown version"));
        }
        // The signers name their algorithms again, so these are only held to be well-formed.
        let mut digests = fields.expect(SET, "digest algorithms are missing")?.children();
        while !digests.is_empty() {
            check_der(digests.expect(SEQUENCE, "a digest algorithm is not a sequence")?.whole)?;
        }
        let mut content = fields.expect(SEQUENCE, "signed content is missing")?.children();
        let content_type = content.expect(OID, "signed content has no type")?.oid()?;
        let octets = content.expect(CONTEXT_CONSTRUCTED, "signed content is not in the message")?;
        content.finish("something follows the signed content")?;
        if octets.value.first() == Some(&OCTET_STRING_IN_PIECES) {
            return Err(CmsError::Ber);
        }
        let content =
            Tlv::read_as(octets.value, OCTET_STRING, "signed content is not an octet string")?
                .value;
        let certificates = match fields.optional(CONTEXT_CONSTRUCTED)? {
            None => Vec::new(),
            Some(set) => read_certificates(set.children())?,
        };
        // Revocation lists may come along; nobody asks them.
        fields.optional(CONTEXT_CONSTRUCTED + 1)?;
        let mut infos = fields.expect(SET, "signers are missing")?.children();
        fields.finish("something follows the signers")?;
        let mut signers = Vec::new();
        while !infos.is_empty() {
            if signers.len() == SIGNER_COUNT_MAX {
                return Err(CmsError::TooMany { what: "signers", max: SIGNER_COUNT_MAX });
            }
            let info = infos.expect(SEQUENCE, "a signer is not a sequence")?;
            signers.push(RawSigner::read(info, content_type, content)?);
        }
        Ok(Self { content_type, content, certificates, signers })
    }
}

/// `CertificateSet`. Attribute certificates and the like are passed over: no signer can be one.
fn read_certificates(mut set: Cursor<'_>) -> Result<Vec<&[u8]>, CmsError> {
    let mut certificates = Vec::new();
    let mut count = 0;
    while !set.is_empty() {
        count += 1;
        if MESSAGE_CERTIFICATE_COUNT_MAX < count {
            let (what, max) = ("certificates", MESSAGE_CERTIFICATE_COUNT_MAX);
            return Err(CmsError::TooMany { what, max });
        }
        let choice = set.next()?;
        if choice.tag == SEQUENCE {
            certificates.push(choice.whole);
        }
    }
    Ok(certificates)
}
