//! Checking signatures. Every request passes here, so the common case does nothing needless.

use std::io;

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use der::Decode as _;
use exeunt_types::{KeyAlgorithm, SignatureScheme};
use pkcs8::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use crate::VerifyError;
use crate::message::{Message, Taken};

/// Shortest RSA modulus whose signatures are verified, in bits.
pub const RSA_BITS_MIN: u32 = 2048;

/// Longest RSA modulus whose signatures are verified, in bits; a longer one is a way to burn time.
pub const RSA_BITS_MAX: u32 = 8192;

/// `rsaEncryption` (RFC 8017, appendix C).
pub(crate) const RSA_ENCRYPTION: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

// Everything of a SubjectPublicKeyInfo before the octets of the key, which never varies for one
// algorithm: RFC 5480 (uncompressed points), RFC 8410, RFC 9881.
const P256_HEADER: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
    \x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
const P384_HEADER: &[u8] = b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
    \x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00";
const P521_HEADER: &[u8] = b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
    \x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00";
const ED25519_HEADER: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
const ML_DSA_44_HEADER: &[u8] = b"\x30\x82\x05\x32\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\
    \x04\x03\x11\x03\x82\x05\x21\x00";
const ML_DSA_65_HEADER: &[u8] = b"\x30\x82\x07\xb2\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\
    \x04\x03\x12\x03\x82\x07\xa1\x00";
const ML_DSA_87_HEADER: &[u8] = b"\x30\x82\x0a\x32\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\
    \x04\x03\x13\x03\x82\x0a\x21\x00";

/// Keys whose `SubjectPublicKeyInfo` is a header and so many octets.
pub(crate) const SPKI_HEADERS: [(KeyAlgorithm, &[u8], usize); 7] = [
    (KeyAlgorithm::EcdsaP256, P256_HEADER, 65),
    (KeyAlgorithm::EcdsaP384, P384_HEADER, 97),
    (KeyAlgorithm::EcdsaP521, P521_HEADER, 133),
    (KeyAlgorithm::Ed25519, ED25519_HEADER, 32),
    (KeyAlgorithm::MlDsa44, ML_DSA_44_HEADER, 1312),
    (KeyAlgorithm::MlDsa65, ML_DSA_65_HEADER, 1952),
    (KeyAlgorithm::MlDsa87, ML_DSA_87_HEADER, 2592),
];

/// First octet of a point with both coordinates (SEC 1, section 2.3.3).
const UNCOMPRESSED_POINT: u8 = 0x04;

/// Checks `signature` over `message` with the public key `spki_der`, a DER `SubjectPublicKeyInfo`.
///
/// `key` is the algorithm that the caller read in `spki_der`; that it fits is checked, except for
/// the exact number of bits of an RSA modulus. `signature` comes as X.509 carries it: a DER
/// `Ecdsa-Sig-Value` for ECDSA, raw octets otherwise. Points of elliptic curves must be
/// uncompressed, the one form that RFC 5480, section 2.2, requires of everybody.
///
/// # Errors
///
/// [`VerifyError`]; whatever the variant, the signature is worth nothing.
pub fn verify(
    spki_der: &[u8],
    key: KeyAlgorithm,
    scheme: SignatureScheme,
    message: &[u8],
    signature: &[u8],
) -> Result<(), VerifyError> {
    public_key(spki_der, key, scheme)?
        .verify(message, signature)
        .map_err(|_| VerifyError::Signature)
}

/// Checks `signature` over what `message` gives to its end, as [`verify`] does octets in memory.
///
/// It is hashed as it comes, 64 KiB at a time. Under Ed25519 and ML-DSA, which take the message
/// itself, it is held whole, up to [`WHOLE_MESSAGE_BYTES_MAX`](crate::WHOLE_MESSAGE_BYTES_MAX).
///
/// # Errors
///
/// [`VerifyError`]; whatever the variant, the signature is worth nothing.
pub fn verify_reader(
    spki_der: &[u8],
    key: KeyAlgorithm,
    scheme: SignatureScheme,
    message: &mut dyn io::Read,
    signature: &[u8],
) -> Result<(), VerifyError> {
    verify_message(spki_der, key, &Message::read(scheme, message)?, signature)
}

/// Checks `signature` over what was read of a message, by the scheme that it was read for.
///
/// # Errors
///
/// [`VerifyError`]; whatever the variant, the signature is worth nothing.
pub fn verify_message(
    spki_der: &[u8],
    key: KeyAlgorithm,
    message: &Message,
    signature: &[u8],
) -> Result<(), VerifyError> {
    let public_key = public_key(spki_der, key, message.scheme)?;
    let verified = match &message.taken {
        Taken::Hash(digest) => public_key.verify_digest(digest, signature),
        Taken::Whole(octets) => public_key.verify(octets, signature),
    };
    verified.map_err(|_| VerifyError::Signature)
}

/// The key as the module takes it, together with the scheme.
fn public_key(
    spki_der: &[u8],
    key: KeyAlgorithm,
    scheme: SignatureScheme,
) -> Result<UnparsedPublicKey<&[u8]>, VerifyError> {
    let Some(algorithm) = algorithm(key, scheme) else {
        return Err(VerifyError::Unsupported { key, scheme });
    };
    let octets = public_key_octets(spki_der, key).ok_or(VerifyError::PublicKey)?;
    Ok(UnparsedPublicKey::new(algorithm, octets))
}

/// The module's name for a pair of key and scheme; `None` if they do not go together.
fn algorithm(
    key: KeyAlgorithm,
    scheme: SignatureScheme,
) -> Option<&'static dyn VerificationAlgorithm> {
    use KeyAlgorithm as Key;
    use SignatureScheme as Scheme;
    Some(match (key, scheme) {
        (Key::EcdsaP256, Scheme::EcdsaSha256) => &signature::ECDSA_P256_SHA256_ASN1,
        (Key::EcdsaP256, Scheme::EcdsaSha384) => &signature::ECDSA_P256_SHA384_ASN1,
        (Key::EcdsaP256, Scheme::EcdsaSha512) => &signature::ECDSA_P256_SHA512_ASN1,
        (Key::EcdsaP384, Scheme::EcdsaSha256) => &signature::ECDSA_P384_SHA256_ASN1,
        (Key::EcdsaP384, Scheme::EcdsaSha384) => &signature::ECDSA_P384_SHA384_ASN1,
        (Key::EcdsaP384, Scheme::EcdsaSha512) => &signature::ECDSA_P384_SHA512_ASN1,
        (Key::EcdsaP521, Scheme::EcdsaSha256) => &signature::ECDSA_P521_SHA256_ASN1,
        (Key::EcdsaP521, Scheme::EcdsaSha384) => &signature::ECDSA_P521_SHA384_ASN1,
        (Key::EcdsaP521, Scheme::EcdsaSha512) => &signature::ECDSA_P521_SHA512_ASN1,
        (Key::Rsa { bits }, _) if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) => return None,
        (Key::Rsa { .. }, Scheme::RsaPkcs1Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (Key::Rsa { .. }, Scheme::RsaPkcs1Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (Key::Rsa { .. }, Scheme::RsaPkcs1Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
        // With a salt as long as the hash, which the module insists on.
        (Key::Rsa { .. }, Scheme::RsaPssSha256) => &signature::RSA_PSS_2048_8192_SHA256,
        (Key::Rsa { .. }, Scheme::RsaPssSha384) => &signature::RSA_PSS_2048_8192_SHA384,
        (Key::Rsa { .. }, Scheme::RsaPssSha512) => &signature::RSA_PSS_2048_8192_SHA512,
        (Key::Ed25519, Scheme::Ed25519) => &signature::ED25519,
        (Key::MlDsa44, Scheme::MlDsa44) => &signature::ML_DSA_44,
        (Key::MlDsa65, Scheme::MlDsa65) => &signature::ML_DSA_65,
        (Key::MlDsa87, Scheme::MlDsa87) => &signature::ML_DSA_87,
        _ => return None,
    })
}

/// The octets in the bit string of a `SubjectPublicKeyInfo`; `None` if it is not one of `key`.
///
/// They are handed to the module instead of the whole, because it overlooks octets that follow the
/// structure and takes forms of a key that X.509 does not have.
fn public_key_octets(spki_der: &[u8], key: KeyAlgorithm) -> Option<&[u8]> {
    if matches!(key, KeyAlgorithm::Rsa { .. }) {
        let spki = SubjectPublicKeyInfoRef::from_der(spki_der).ok()?;
        // RFC 3279, section 2.3.1: the parameters are NULL and are there.
        let fits = spki.algorithm.oid == RSA_ENCRYPTION
            && spki.algorithm.parameters.is_some_and(der::AnyRef::is_null);
        return if fits { spki.subject_public_key.as_bytes() } else { None };
    }
    let (_, header, len) = *SPKI_HEADERS.iter().find(|(it, _, _)| *it == key)?;
    let octets = spki_der.strip_prefix(header).filter(|it| it.len() == len)?;
    let is_point =
        matches!(key, KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::EcdsaP521);
    // The module also takes the hybrid form (06, 07), which RFC 5480 forbids.
    (!is_point || octets.first() == Some(&UNCOMPRESSED_POINT)).then_some(octets)
}
