//! Making signed messages: bags of certificates that nobody signs, and messages to be signed
//! elsewhere.

use super::signer::{write_digest, write_identifier};
use super::{CONTENT_TYPE, DATA, DigestAlgorithm, MESSAGE_DIGEST, SIGNED_DATA, SignerIdentifier};
use crate::algorithm::scheme_der;
use crate::oid;
use crate::tlv::{CONTEXT_CONSTRUCTED, NULL, SEQUENCE, SET};
use crate::write::Writer;
use const_oid::ObjectIdentifier;
use exeunt_types::SignatureScheme;

/// Builds a message of certificates and nothing else: a "certs-only" response (RFC 5272, section
/// 4.1), which is also what a `.p7b` file holds.
///
/// `certificates` are DER. They come out in the order of their octets, as DER wants a set to be: a
/// reader finds the leaf by its issuer, not by its place.
#[must_use]
pub fn build_certs_only<C: AsRef<[u8]>>(certificates: &[C]) -> Vec<u8> {
    // RFC 5652, section 5.1: version 1, because nothing in it is newer than that.
    content_info(1, None, &DATA, None, certificates, |_| {})
}

/// A message that waits for its one signature.
///
/// What is to be signed is [`Self::bytes_to_sign`]; [`Self::assemble`] takes the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a message is worth nothing before it is signed and assembled"]
pub struct UnsignedMessage {
    content_type: ObjectIdentifier,
    content: Vec<u8>,
    signer: SignerIdentifier,
    scheme: SignatureScheme,
    /// A SET OF, as it is signed.
    attributes: Vec<u8>,
    certificates: Vec<Vec<u8>>,
    /// An `Attribute` that goes along without being signed, DER; or nothing.
    unsigned: Vec<u8>,
}

impl UnsignedMessage {
    /// Prepares `content` to be signed by the key of the certificate that `signer` names, with
    /// `certificates` (DER) to go along.
    pub(crate) fn new(
        content_type: ObjectIdentifier,
        content: Vec<u8>,
        signer: SignerIdentifier,
        scheme: SignatureScheme,
        certificates: &[&[u8]],
    ) -> Self {
        let digest = DigestAlgorithm::of_scheme(scheme).digest(&content);
        let mut attributes = [
            attribute(&CONTENT_TYPE, |it| it.oid(&content_type)),
            attribute(&MESSAGE_DIGEST, |it| it.octet_string(&digest)),
        ];
        attributes.sort();
        let mut set = Writer::default();
        set.element(SET, &attributes.concat());
        let attributes = set.into_bytes();
        let certificates = certificates.iter().map(|&it| it.to_vec()).collect();
        let unsigned = Vec::new();
        Self { content_type, content, signer, scheme, attributes, certificates, unsigned }
    }

    /// The same with one attribute that is not signed; `value` is DER.
    pub(crate) fn with_unsigned(self, kind: &ObjectIdentifier, value: &[u8]) -> Self {
        Self { unsigned: attribute(kind, |it| it.raw(value)), ..self }
    }

    /// The exact bytes to sign: DER of the signed attributes (RFC 5652, section 5.4).
    #[must_use]
    pub fn bytes_to_sign(&self) -> &[u8] {
        &self.attributes
    }

    /// How they are to be signed.
    #[must_use]
    pub fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    /// The whole message with its signature in it, DER.
    #[must_use]
    pub fn assemble(self, signature: &[u8]) -> Vec<u8> {
        let Self { content_type, content, signer, scheme, attributes, certificates, unsigned } =
            self;
        let digest = DigestAlgorithm::of_scheme(scheme);
        // RFC 5652, sections 5.1 and 5.3.
        let signer_version = match signer {
            SignerIdentifier::IssuerAndSerial { .. } => 1,
            SignerIdentifier::KeyIdentifier(_) => 3,
        };
        let version = if content_type == DATA { signer_version } else { 3 };
        let mut implicit = attributes;
        implicit[0] = CONTEXT_CONSTRUCTED;
        let (content, certificates) = (Some(content.as_slice()), &certificates);
        content_info(version, Some(digest), &content_type, content, certificates, |it| {
            it.nest(SEQUENCE, |it| {
                it.integer_u8(signer_version);
                write_identifier(it, &signer);
                write_digest(it, digest);
                it.raw(&implicit);
                write_signature_algorithm(it, scheme);
                it.octet_string(signature);
                if !unsigned.is_empty() {
                    it.element(CONTEXT_CONSTRUCTED + 1, &unsigned);
                }
            });
        })
    }
}

/// `ContentInfo` around `SignedData`.
fn content_info<C: AsRef<[u8]>>(
    version: u8,
    digest: Option<DigestAlgorithm>,
    content_type: &ObjectIdentifier,
    content: Option<&[u8]>,
    certificates: &[C],
    signers: impl FnOnce(&mut Writer),
) -> Vec<u8> {
    let mut certificates: Vec<&[u8]> = certificates.iter().map(AsRef::as_ref).collect();
    certificates.sort_unstable();
    certificates.dedup();
    let mut writer = Writer::default();
    writer.nest(SEQUENCE, |it| {
        it.oid(&SIGNED_DATA);
        it.nest(CONTEXT_CONSTRUCTED, |it| {
            it.nest(SEQUENCE, |it| {
                it.integer_u8(version);
                it.nest(SET, |it| {
                    if let Some(digest) = digest {
                        write_digest(it, digest);
                    }
                });
                it.nest(SEQUENCE, |it| {
                    it.oid(content_type);
                    if let Some(content) = content {
                        it.nest(CONTEXT_CONSTRUCTED, |it| it.octet_string(content));
                    }
                });
                if !certificates.is_empty() {
                    it.nest(CONTEXT_CONSTRUCTED, |it| {
                        for each in &certificates {
                            it.raw(each);
                        }
                    });
                }
                it.nest(SET, signers);
            });
        });
    });
    writer.into_bytes()
}

/// `Attribute` with one value.
pub(crate) fn attribute(kind: &ObjectIdentifier, value: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.nest(SEQUENCE, |it| {
        it.oid(kind);
        it.nest(SET, value);
    });
    writer.into_bytes()
}

/// For RSA the key's algorithm is named, which every reader must take (RFC 3370, section 3.2), and
/// the digest's stands beside it.
fn write_signature_algorithm(writer: &mut Writer, scheme: SignatureScheme) {
    use SignatureScheme as Scheme;
    match scheme {
        Scheme::RsaPkcs1Sha256 | Scheme::RsaPkcs1Sha384 | Scheme::RsaPkcs1Sha512 => {
            writer.nest(SEQUENCE, |it| {
                it.oid(&oid::RSA_ENCRYPTION);
                it.element(NULL, &[]);
            });
        }
        _ => writer.raw(scheme_der(scheme)),
    }
}
