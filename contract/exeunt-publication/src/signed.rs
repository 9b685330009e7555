//! What certificates and revocation lists have in common: a signature around exact bytes.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use der::{
    Decode as _, Reader as _, SliceReader, Tag, TagNumber,
    asn1::{AnyRef, BitStringRef, ObjectIdentifier},
    oid::db::{rfc5912, rfc8410},
};

/// ML-DSA, FIPS 204 and RFC 9881, by the last number of its identifiers.
const ML_DSA_44: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17");
const ML_DSA_65: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");
const ML_DSA_87: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19");

/// Why a signature says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotVerified {
    /// The algorithm, or its use with this key, is not known here.
    Algorithm(String),
    /// It is of another key, or over other bytes.
    Signature,
}

/// `SEQUENCE { to be signed, algorithm, signature }` (RFC 5280, sections 4.1.1 and 5.1.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signed<'a> {
    /// The signed bytes, with their header.
    pub(crate) tbs: &'a [u8],
    /// The `AlgorithmIdentifier`, with its header.
    pub(crate) algorithm: &'a [u8],
    /// The signature's octets.
    pub(crate) signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// Takes the three parts; everything has to be used up.
    pub(crate) fn split(der: &'a [u8]) -> der::Result<Self> {
        let mut outer = SliceReader::new(der)?;
        let parts = outer.sequence(|it| -> der::Result<_> {
            let tbs = it.tlv_bytes()?;
            let algorithm = it.tlv_bytes()?;
            let signature: BitStringRef<'a> = it.decode()?;
            let signature = signature.as_bytes().ok_or(Tag::BitString.value_error())?;
            Ok(Self { tbs, algorithm, signature })
        })?;
        outer.finish()?;
        Ok(parts)
    }

    /// Verifies the signature by the key in a DER `SubjectPublicKeyInfo`.
    pub(crate) fn verify(&self, spki: &[u8]) -> Result<(), NotVerified> {
        let algorithm = algorithm(self.algorithm, spki)?;
        let key = key_octets(spki).map_err(|_| unknown("the key is malformed"))?;
        UnparsedPublicKey::new(algorithm, key)
            .verify(self.tbs, self.signature)
            .map_err(|_| NotVerified::Signature)
    }
}

fn unknown(what: impl Into<String>) -> NotVerified {
    NotVerified::Algorithm(what.into())
}

/// The algorithm by its identifier and, for ECDSA, by the curve of the key.
fn algorithm(
    identifier: &[u8],
    spki: &[u8],
) -> Result<&'static dyn VerificationAlgorithm, NotVerified> {
    let (oid, parameters) = identifier_parts(identifier).map_err(|_| unknown("it is malformed"))?;
    Ok(match oid {
        rfc5912::SHA_256_WITH_RSA_ENCRYPTION => &signature::RSA_PKCS1_2048_8192_SHA256,
        rfc5912::SHA_384_WITH_RSA_ENCRYPTION => &signature::RSA_PKCS1_2048_8192_SHA384,
        rfc5912::SHA_512_WITH_RSA_ENCRYPTION => &signature::RSA_PKCS1_2048_8192_SHA512,
        // Lists of old CAs, which a publisher finds at its targets.
        rfc5912::SHA_1_WITH_RSA_ENCRYPTION => {
            &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY
        }
        rfc5912::ID_RSASSA_PSS => match parameters.and_then(|it| pss_hash(it).ok()) {
            Some(rfc5912::ID_SHA_256) => &signature::RSA_PSS_2048_8192_SHA256,
            Some(rfc5912::ID_SHA_384) => &signature::RSA_PSS_2048_8192_SHA384,
            Some(rfc5912::ID_SHA_512) => &signature::RSA_PSS_2048_8192_SHA512,
            _ => return Err(unknown("RSA-PSS with another hash than SHA-256, SHA-384, SHA-512")),
        },
        rfc5912::ECDSA_WITH_SHA_256 | rfc5912::ECDSA_WITH_SHA_384 | rfc5912::ECDSA_WITH_SHA_512 => {
            return ecdsa(oid, spki);
        }
        rfc8410::ID_ED_25519 => &signature::ED25519,
        ML_DSA_44 => &signature::ML_DSA_44,
        ML_DSA_65 => &signature::ML_DSA_65,
        ML_DSA_87 => &signature::ML_DSA_87,
        other => return Err(unknown(other.to_string())),
    })
}

fn ecdsa(
    oid: ObjectIdentifier,
    spki: &[u8],
) -> Result<&'static dyn VerificationAlgorithm, NotVerified> {
    use rfc5912::{
        ECDSA_WITH_SHA_256 as SHA256, ECDSA_WITH_SHA_384 as SHA384, ECDSA_WITH_SHA_512 as SHA512,
        SECP_256_R_1 as P256, SECP_384_R_1 as P384, SECP_521_R_1 as P521,
    };
    let curve = spki_algorithm(spki)
        .and_then(|it| Ok(identifier_parts(it)?.1))
        .ok()
        .flatten()
        .and_then(|it| it.decode_as::<ObjectIdentifier>().ok())
        .ok_or_else(|| unknown("the key's curve is not named"))?;
    Ok(match (curve, oid) {
        (P256, SHA256) => &signature::ECDSA_P256_SHA256_ASN1,
        (P256, SHA384) => &signature::ECDSA_P256_SHA384_ASN1,
        (P256, SHA512) => &signature::ECDSA_P256_SHA512_ASN1,
        (P384, SHA256) => &signature::ECDSA_P384_SHA256_ASN1,
        (P384, SHA384) => &signature::ECDSA_P384_SHA384_ASN1,
        (P384, SHA512) => &signature::ECDSA_P384_SHA512_ASN1,
        (P521, SHA256) => &signature::ECDSA_P521_SHA256_ASN1,
        (P521, SHA384) => &signature::ECDSA_P521_SHA384_ASN1,
        (P521, SHA512) => &signature::ECDSA_P521_SHA512_ASN1,
        (curve, _) => return Err(unknown(format!("{oid} with the curve {curve}"))),
    })
}

/// Identifier and parameters of an `AlgorithmIdentifier`.
fn identifier_parts(der: &[u8]) -> der::Result<(ObjectIdentifier, Option<AnyRef<'_>>)> {
    let mut outer = SliceReader::new(der)?;
    let parts = outer.sequence(|it| -> der::Result<_> {
        let oid = it.decode()?;
        let parameters = if it.is_finished() { None } else { Some(it.decode()?) };
        Ok((oid, parameters))
    })?;
    outer.finish()?;
    Ok(parts)
}

/// The hash that RSASSA-PSS parameters name (RFC 4055, section 3.1). Salt, mask and trailer show
/// in the verification: there they are those that belong to the hash.
fn pss_hash(parameters: AnyRef<'_>) -> der::Result<ObjectIdentifier> {
    parameters.sequence(|it| -> der::Result<_> {
        let hash = it.tlv_bytes()?;
        // The mask, salt and trailer.
        while !it.is_finished() {
            it.tlv_bytes()?;
        }
        let hash = AnyRef::from_der(hash)?;
        let first = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };
        der::Tagged::tag(&hash).assert_eq(first)?;
        Ok(identifier_parts(hash.value())?.0)
    })
}

fn spki_algorithm(spki: &[u8]) -> der::Result<&[u8]> {
    Ok(spki_parts(spki)?.0)
}

fn key_octets(spki: &[u8]) -> der::Result<&[u8]> {
    Ok(spki_parts(spki)?.1)
}

fn spki_parts(spki: &[u8]) -> der::Result<(&[u8], &[u8])> {
    let mut outer = SliceReader::new(spki)?;
    let parts = outer.sequence(|it| -> der::Result<_> {
        let algorithm = it.tlv_bytes()?;
        let key: BitStringRef<'_> = it.decode()?;
        Ok((algorithm, key.as_bytes().ok_or(Tag::BitString.value_error())?))
    })?;
    outer.finish()?;
    Ok(parts)
}
