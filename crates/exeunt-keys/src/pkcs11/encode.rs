//! Between what tokens give and what X.509 carries: public keys, and signatures of ECDSA.

use aws_lc_rs::digest::Digest;
use der::{
    Decode as _, Encode as _, Sequence,
    asn1::{BitStringRef, OctetStringRef, UintRef},
};
use exeunt_types::{KeyAlgorithm, SignatureScheme};
use pkcs8::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::verify::{RSA_ENCRYPTION, SPKI_HEADERS};

/// `RSAPublicKey` of RFC 8017, appendix A.1.1.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
}

/// `Ecdsa-Sig-Value` of RFC 3279, section 2.2.3.
#[derive(Sequence)]
struct EcdsaSignature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// `SubjectPublicKeyInfo` of an RSA key, from `CKA_MODULUS` and `CKA_PUBLIC_EXPONENT`.
pub(super) fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> der::Result<Vec<u8>> {
    let key =
        RsaPublicKey { modulus: UintRef::new(modulus)?, public_exponent: UintRef::new(exponent)? }
            .to_der()?;
    SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef {
            oid: RSA_ENCRYPTION,
            parameters: Some(der::AnyRef::NULL),
        },
        subject_public_key: BitStringRef::from_bytes(&key)?,
    }
    .to_der()
}

/// Length in bits of a modulus.
pub(super) fn modulus_bits(modulus: &[u8]) -> Option<u32> {
    let start = modulus.iter().position(|it| *it != 0)?;
    let magnitude = &modulus[start..];
    let octets = u32::try_from(magnitude.len()).ok()?;
    Some(octets.checked_mul(8)? - magnitude[0].leading_zeros())
}

/// `SubjectPublicKeyInfo` of a key on a curve, from `CKA_EC_POINT`: by the standard a DER octet
/// string; some tokens leave that off, as does the standard for Edwards curves from version 3.0 on.
pub(super) fn curve_spki(algorithm: KeyAlgorithm, point: &[u8]) -> Option<Vec<u8>> {
    let (_, header, len) = *SPKI_HEADERS.iter().find(|(key, _, _)| *key == algorithm)?;
    let octets = if point.len() == len {
        point
    } else {
        <&OctetStringRef>::from_der(point).ok()?.as_bytes()
    };
    let spki = [header, octets].concat();
    (octets.len() == len).then_some(spki)
}

/// The DER of an ECDSA signature that a token gave as r and s, one after the other.
pub(super) fn ecdsa_signature(raw: &[u8]) -> der::Result<Vec<u8>> {
    let (r, s) = raw.split_at(raw.len() / 2);
    EcdsaSignature { r: UintRef::new(r)?, s: UintRef::new(s)? }.to_der()
}

/// `DigestInfo` of RFC 8017, section 9.2, which a token pads and no more.
pub(super) fn digest_info(scheme: SignatureScheme, digest: &Digest) -> Vec<u8> {
    // Everything before the digest, as note 1 there gives it.
    let prefix: &[u8] = match scheme {
        SignatureScheme::RsaPkcs1Sha512 => {
            b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40"
        }
        SignatureScheme::RsaPkcs1Sha384 => {
            b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30"
        }
        _ => b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
    };
    [prefix, digest.as_ref()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_its_highest_bit_set_stays_positive() {
        // SEQUENCE of INTEGER 00 80 and INTEGER 01.
        assert_eq!(ecdsa_signature(&[0x80, 1]).unwrap(), [0x30, 7, 2, 2, 0, 0x80, 2, 1, 1]);
        // Zeros in front are not a number's.
        assert_eq!(ecdsa_signature(&[0, 5, 0, 1]).unwrap(), [0x30, 6, 2, 1, 5, 2, 1, 1]);
    }

    #[test]
    fn a_point_is_taken_with_and_without_its_octet_string() {
        let point = [&[4][..], &[7; 64]].concat();
        let wrapped = [&[4, 65][..], &point].concat();
        let spki = curve_spki(KeyAlgorithm::EcdsaP256, &point).unwrap();
        assert_eq!(curve_spki(KeyAlgorithm::EcdsaP256, &wrapped).unwrap(), spki);
        assert_eq!(curve_spki(KeyAlgorithm::EcdsaP256, &point[1..]), None);
        assert_eq!(curve_spki(KeyAlgorithm::EcdsaP384, &point), None);
    }

    #[test]
    fn the_bits_of_a_modulus_begin_with_its_first_one() {
        assert_eq!(modulus_bits(&[0, 0x80, 0]), Some(16));
        assert_eq!(modulus_bits(&[1, 0]), Some(9));
        assert_eq!(modulus_bits(&[0, 0]), None);
    }
}
