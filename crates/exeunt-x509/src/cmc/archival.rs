//! Private keys that clients send along for the CA to archive (MS-WCCE, section 3.1.1.4.3.6): reading them
//! out of a message, and making such a message.

use super::controls::ADD_ATTRIBUTES;
use super::{PKI_DATA, RawLayer, SubmissionError};
use crate::cms::build::{UnsignedMessage, attribute};
use crate::cms::{ARCHIVED_KEY, RawSigner, SignerIdentifier};
use crate::oid;
use crate::tlv::{CONTEXT_CONSTRUCTED, SEQUENCE, SET};
use crate::write::Writer;
use aws_lc_rs::digest;
use exeunt_types::SignatureScheme;

/// A private key that came with a request, encrypted to the CA's exchange certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroughtKey {
    envelope: Vec<u8>,
    hash: Option<Vec<u8>>,
}

impl BroughtKey {
    /// The encrypted message, DER: a `ContentInfo`, which [`crate::parse_envelope`] reads.
    #[must_use]
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }

    /// Whether somebody signed the hash of this very message; none where nobody signed any. SHA-1, as
    /// the original's clients use it, or SHA-2; the length says which.
    #[must_use]
    pub fn has_good_hash(&self) -> Option<bool> {
        let hash = self.hash.as_deref()?;
        let algorithm = match hash.len() {
            20 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            32 => &digest::SHA256,
            48 => &digest::SHA384,
            64 => &digest::SHA512,
            _ => return Some(false),
        };
        Some(digest::digest(algorithm, &self.envelope).as_ref() == hash)
    }
}

/// The key in the outermost layer, and whether anybody signed a hash of one. The hash may be in any layer:
/// an agent signs around what the requester did.
pub(super) fn find(layers: &[RawLayer<'_>]) -> Result<(Option<BroughtKey>, bool), SubmissionError> {
    let malformed = |what| SubmissionError::Malformed { what };
    let (mut key, mut hash) = (None, None);
    for (depth, layer) in layers.iter().enumerate() {
        for signer in &layer.signers {
            let Some(found) = signer.archived_key() else { continue };
            if depth != 0 {
                return Err(malformed("a private key is not in the outermost message"));
            }
            if key.replace(found).is_some() {
                return Err(malformed("it brings more than one private key"));
            }
        }
        let of_signers = layer.signers.iter().filter_map(RawSigner::encrypted_key_hash);
        for found in of_signers.chain(layer.controls.encrypted_key_hash.as_deref()) {
            if *hash.get_or_insert(found) != found {
                return Err(malformed("it has two hashes of a private key"));
            }
        }
    }
    let hash = hash.map(<[u8]>::to_vec);
    let has_hash = hash.is_some();
    Ok((key.map(|it| BroughtKey { envelope: it.to_vec(), hash }), has_hash))
}

/// Builds a full CMC request around a PKCS #10 (DER) that brings its private key along, as the original's
/// clients do. The key that `signer` names has to sign it: that of the request.
///
/// `envelope` is the private key, encrypted to the CA's exchange certificate:
/// [`Envelope::to_der`](crate::Envelope::to_der). Its hash is what is signed.
pub fn build_archival_request(
    request: &[u8],
    envelope: &[u8],
    signer: SignerIdentifier,
    scheme: SignatureScheme,
) -> UnsignedMessage {
    const REQUEST: u8 = 1;
    const CONTROL: u8 = 2;
    let hash = digest::digest(&digest::SHA256, envelope);
    let hash = attribute(&oid::ENCRYPTED_KEY_HASH, |it| it.octet_string(hash.as_ref()));
    let mut content = Writer::default();
    content.nest(SEQUENCE, |it| {
        it.nest(SEQUENCE, |it| {
            it.nest(SEQUENCE, |it| {
                it.integer_u8(CONTROL);
                it.oid(&ADD_ATTRIBUTES);
                it.nest(SET, |it| {
                    it.nest(SEQUENCE, |it| {
                        // This message, and of its parts the request.
                        it.integer_u8(0);
                        it.nest(SEQUENCE, |it| it.integer_u8(REQUEST));
                        it.element(SET, &hash);
                    });
                });
            });
        });
        it.nest(SEQUENCE, |it| {
            it.nest(CONTEXT_CONSTRUCTED, |it| {
                it.integer_u8(REQUEST);
                it.raw(request);
            });
        });
        it.element(SEQUENCE, &[]);
        it.element(SEQUENCE, &[]);
    });
    UnsignedMessage::new(PKI_DATA, content.into_bytes(), signer, scheme, &[])
        .with_unsigned(&ARCHIVED_KEY, envelope)
}
