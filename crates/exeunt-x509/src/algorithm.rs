//! Algorithm identifiers and public keys: between their DER and the nouns of `exeunt-types`.
//!
//! Only form is checked here. Whether a point lies on its curve shows when a signature is verified.

mod pss;

use crate::oid;
use crate::tlv::{BIT_STRING, Cursor, INTEGER, NULL, NotDer, OID, SEQUENCE, Tlv};
use aws_lc_rs::digest;
use const_oid::ObjectIdentifier;
use exeunt_types::{KeyAlgorithm, SignatureScheme};
use pss::{NotPss, PSS_SHA256, PSS_SHA384, PSS_SHA512};

/// Smallest RSA modulus, in bits (NIST SP 800-131A revision 2, section 3).
pub const RSA_BITS_MIN: u32 = 2048;
/// Largest RSA modulus, in bits: the largest that common verifiers take.
pub const RSA_BITS_MAX: u32 = 8192;
/// Longest RSA public exponent, in bits (FIPS 186-5, section 5.1).
pub const RSA_EXPONENT_BITS_MAX: u32 = 256;

/// Why a `SubjectPublicKeyInfo` is not one that can be certified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not the structure of RFC 5280, section 4.1.2.7.
    #[error("public key is malformed: {what}")]
    Malformed {
        /// Which rule it broke.
        what: &'static str,
    },
    /// A kind of key that is not known here.
    #[error("public keys of type {algorithm} are not supported")]
    Unsupported {
        /// Object identifier of the key type or of the curve, dotted.
        algorithm: String,
    },
    /// An RSA modulus below [`RSA_BITS_MIN`].
    #[error("RSA key has {bits} bits, at least 2048 needed")]
    TooSmall {
        /// Its modulus length.
        bits: u32,
    },
    /// An RSA modulus above [`RSA_BITS_MAX`].
    #[error("RSA key has {bits} bits, at most 8192 allowed")]
    TooLarge {
        /// Its modulus length.
        bits: u32,
    },
}

impl From<NotDer> for KeyError {
    fn from(NotDer(what): NotDer) -> Self {
        Self::Malformed { what }
    }
}

impl KeyError {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "key-malformed",
            Self::Unsupported { .. } => "key-unsupported",
            Self::TooSmall { .. } => "key-too-small",
            Self::TooLarge { .. } => "key-too-large",
        }
    }
}

/// Reads algorithm and size of the key in a DER `SubjectPublicKeyInfo`, and checks its form.
///
/// # Errors
///
/// [`KeyError`] tells a broken key from one that is only not wanted.
pub fn key_algorithm(spki_der: &[u8]) -> Result<KeyAlgorithm, KeyError> {
    let (algorithm, key) = split_spki(spki_der)?;
    let mut algorithm = algorithm.children();
    let kind = algorithm.expect(OID, "key type is missing")?.oid()?;
    let fixed = |algorithm: Cursor<'_>, name, octets| {
        algorithm.finish("key type has parameters where none are allowed")?;
        if key.len() == octets {
            Ok(name)
        } else {
            Err(KeyError::Malformed { what: "key has the wrong length for its type" })
        }
    };
    match kind {
        oid::RSA_ENCRYPTION => {
            let null = algorithm.expect(NULL, "RSA key type lacks its NULL parameters")?;
            if !null.value.is_empty() {
                return Err(KeyError::Malformed { what: "NULL has contents" });
            }
            algorithm.finish("RSA key type has more than NULL parameters")?;
            rsa_key(key)
        }
        oid::EC_PUBLIC_KEY => {
            let curve = algorithm.expect(OID, "EC key does not name its curve")?.oid()?;
            let (name, field_octets) = match curve {
                oid::P256 => (KeyAlgorithm::EcdsaP256, 32),
                oid::P384 => (KeyAlgorithm::EcdsaP384, 48),
                oid::P521 => (KeyAlgorithm::EcdsaP521, 66),
                other => return Err(KeyError::Unsupported { algorithm: other.to_string() }),
            };
            // SEC 1, section 2.3.3: 04, then both coordinates.
            if key.first() != Some(&0x04) {
                return Err(KeyError::Malformed { what: "EC point is not uncompressed" });
            }
            fixed(algorithm, name, 1 + 2 * field_octets)
        }
        oid::ED25519 => fixed(algorithm, KeyAlgorithm::Ed25519, 32),
        // FIPS 204, table 2.
        oid::ML_DSA_44 => fixed(algorithm, KeyAlgorithm::MlDsa44, 1312),
        oid::ML_DSA_65 => fixed(algorithm, KeyAlgorithm::MlDsa65, 1952),
        oid::ML_DSA_87 => fixed(algorithm, KeyAlgorithm::MlDsa87, 2592),
        other => Err(KeyError::Unsupported { algorithm: other.to_string() }),
    }
}

/// The parts of a `SubjectPublicKeyInfo` (RFC 5280, section 4.1.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKeyParts<'a> {
    /// Type of the key.
    pub algorithm: ObjectIdentifier,
    /// DER of the type's parameters, if it has any.
    pub parameters: Option<&'a [u8]>,
    /// The key itself: contents of the bit string.
    pub key: &'a [u8],
}

/// Takes a DER `SubjectPublicKeyInfo` apart, of whatever type the key is.
///
/// # Errors
///
/// [`KeyError::Malformed`] if the bytes are no `SubjectPublicKeyInfo`.
pub fn public_key_parts(spki_der: &[u8]) -> Result<PublicKeyParts<'_>, KeyError> {
    let (algorithm, key) = split_spki(spki_der)?;
    let mut fields = algorithm.children();
    let algorithm = fields.expect(OID, "key type is missing")?.oid()?;
    let parameters = if fields.is_empty() { None } else { Some(fields.next()?.whole) };
    fields.finish("key type has more than one parameter")?;
    Ok(PublicKeyParts { algorithm, parameters, key })
}

/// SHA-1 over the bits of the public key: method 1 of RFC 5280, section 4.2.1.2.
///
/// It names a key and secures nothing, which is why SHA-1 is good enough.
///
/// # Errors
///
/// [`KeyError::Malformed`] if the bytes are no `SubjectPublicKeyInfo`.
pub fn key_identifier(spki_der: &[u8]) -> Result<[u8; 20], KeyError> {
    let (_, key) = split_spki(spki_der)?;
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, key);
    Ok(digest.as_ref().try_into().expect("BUG: SHA-1 has 20 octets"))
}

/// `AlgorithmIdentifier` and the octets of the key.
fn split_spki(spki_der: &[u8]) -> Result<(Tlv<'_>, &[u8]), NotDer> {
    let mut spki = Tlv::read_as(spki_der, SEQUENCE, "public key is not a sequence")?.children();
    let algorithm = spki.expect(SEQUENCE, "key type is missing")?;
    let key = spki.expect(BIT_STRING, "key bits are missing")?.bit_string_octets()?;
    spki.finish("something follows the key bits")?;
    Ok((algorithm, key))
}

fn rsa_key(key: &[u8]) -> Result<KeyAlgorithm, KeyError> {
    let malformed = |what| Err(KeyError::Malformed { what });
    let mut fields = Tlv::read_as(key, SEQUENCE, "RSA key is not a sequence")?.children();
    let modulus = fields.expect(INTEGER, "RSA modulus is missing")?.value;
    let exponent = fields.expect(INTEGER, "RSA exponent is missing")?.value;
    fields.finish("something follows the RSA exponent")?;
    let (Some(bits), Some(exponent_bits)) = (positive_bits(modulus), positive_bits(exponent))
    else {
        return malformed("RSA modulus or exponent is not a positive integer in its shortest form");
    };
    let odd = |number: &[u8]| number.last().is_some_and(|it| it & 1 == 1);
    if !odd(modulus) {
        return malformed("RSA modulus is even");
    }
    if !odd(exponent) || !(2..=RSA_EXPONENT_BITS_MAX).contains(&exponent_bits) {
        return malformed("RSA exponent is even, 1 or too long");
    }
    match bits {
        ..RSA_BITS_MIN => Err(KeyError::TooSmall { bits }),
        RSA_BITS_MIN..=RSA_BITS_MAX => Ok(KeyAlgorithm::Rsa { bits }),
        _ => Err(KeyError::TooLarge { bits }),
    }
}

/// Length in bits of a positive DER integer; `None` if it is not one.
fn positive_bits(value: &[u8]) -> Option<u32> {
    let magnitude = match value {
        [] | [0] | [0, 0x00..=0x7f, ..] | [0x80..=0xff, ..] => return None,
        [0, magnitude @ ..] | magnitude => magnitude,
    };
    let octets = u32::try_from(magnitude.len()).ok()?;
    Some(octets.checked_mul(8)? - magnitude.first()?.leading_zeros())
}

/// DER of every scheme's `AlgorithmIdentifier`: RFC 5758 (ECDSA, no parameters), RFC 4055 (RSA,
/// NULL; for PSS the hash), RFC 8410 (Ed25519, no parameters), RFC 9881 (ML-DSA, no parameters).
#[rustfmt::skip]
pub(crate) const SCHEMES: [(SignatureScheme, &[u8]); 13] = [
    (SignatureScheme::EcdsaSha256, &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]),
    (SignatureScheme::EcdsaSha384, &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3]),
    (SignatureScheme::EcdsaSha512, &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4]),
    (SignatureScheme::RsaPkcs1Sha256, &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 11, 5, 0]),
    (SignatureScheme::RsaPkcs1Sha384, &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 12, 5, 0]),
    (SignatureScheme::RsaPkcs1Sha512, &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 13, 5, 0]),
    (SignatureScheme::RsaPssSha256, &PSS_SHA256),
    (SignatureScheme::RsaPssSha384, &PSS_SHA384),
    (SignatureScheme::RsaPssSha512, &PSS_SHA512),
    (SignatureScheme::Ed25519, &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70]),
    (SignatureScheme::MlDsa44, &[0x30, 11, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 0x11]),
    (SignatureScheme::MlDsa65, &[0x30, 11, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 0x12]),
    (SignatureScheme::MlDsa87, &[0x30, 11, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 0x13]),
];

/// DER of the scheme's `AlgorithmIdentifier`.
pub(crate) fn scheme_der(scheme: SignatureScheme) -> &'static [u8] {
    SCHEMES
        .iter()
        .find_map(|(known, der)| (*known == scheme).then_some(*der))
        .expect("BUG: the table holds every scheme")
}

/// The scheme that an `AlgorithmIdentifier` names. Only RSASSA-PSS has more than one form.
pub(crate) fn scheme_from_der(der: &[u8]) -> Option<SignatureScheme> {
    SCHEMES
        .iter()
        .find_map(|(scheme, known)| (*known == der).then_some(*scheme))
        .or_else(|| pss::read(der).ok())
}

/// Why [`scheme_from_der`] did not know the identifier, for people.
pub(crate) fn explain_unknown_scheme(der: &[u8]) -> String {
    let first_oid = || -> Result<ObjectIdentifier, NotDer> {
        let mut fields = Tlv::read_as(der, SEQUENCE, "")?.children();
        fields.expect(OID, "")?.oid()
    };
    match first_oid() {
        Err(_) => "it does not name an algorithm".to_owned(),
        Ok(oid::MD5_WITH_RSA) => "MD5 is broken".to_owned(),
        Ok(oid::SHA1_WITH_RSA | oid::ECDSA_WITH_SHA1) => {
            "SHA-1 is broken, use SHA-256 or longer".to_owned()
        }
        Ok(oid::RSA_PSS) => match pss::read(der) {
            Ok(scheme) => format!("{} is known", scheme.name()),
            Err(NotPss(why)) => why.to_owned(),
        },
        Ok(other) if SCHEMES.iter().any(|(_, known)| known[4..].starts_with(other.as_bytes())) => {
            format!("{other} has wrong parameters")
        }
        Ok(other) => format!("{other} is not known here"),
    }
}

/// Whether keys of that algorithm sign with that scheme.
pub(crate) fn scheme_fits_key(scheme: SignatureScheme, key: KeyAlgorithm) -> bool {
    scheme.fits(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::Writer;

    /// A `SubjectPublicKeyInfo` whose algorithm identifier has these elements.
    fn spki(algorithm: &[&[u8]], key: &[u8]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.nest(SEQUENCE, |it| {
            it.nest(SEQUENCE, |it| algorithm.iter().for_each(|part| it.raw(part)));
            it.bit_string(key);
        });
        writer.into_bytes()
    }

    fn oid_der(oid: &ObjectIdentifier) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.oid(oid);
        writer.into_bytes()
    }

    fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
        let mut key = Writer::default();
        key.nest(SEQUENCE, |it| {
            it.element(INTEGER, modulus);
            it.element(INTEGER, exponent);
        });
        spki(&[&oid_der(&oid::RSA_ENCRYPTION), &[5, 0]], &key.into_bytes())
    }

    /// A positive odd number of that many bits, with its sign octet where one is needed.
    fn modulus(bits: usize) -> Vec<u8> {
        let mut octets = vec![0xff; bits.div_ceil(8)];
        octets[0] = u8::try_from(0xff_u32 >> (octets.len() * 8 - bits)).unwrap();
        if octets[0] & 0x80 != 0 {
            octets.insert(0, 0);
        }
        octets
    }

    #[track_caller]
    fn check(spki: &[u8], expected: &str) {
        let actual = match key_algorithm(spki) {
            Ok(key) => key.name(),
            Err(err) => err.to_string(),
        };
        assert_eq!(actual, expected);
    }

    #[test]
    fn an_rsa_key_has_2048_to_8192_bits_and_an_odd_exponent() {
        let exponent = [1, 0, 1];
        check(&rsa(&modulus(2047), &exponent), "RSA key has 2047 bits, at least 2048 needed");
        check(&rsa(&modulus(2048), &exponent), "rsa-2048");
        check(&rsa(&modulus(2049), &exponent), "rsa-2049");
        check(&rsa(&modulus(8192), &exponent), "rsa-8192");
        check(&rsa(&modulus(8193), &exponent), "RSA key has 8193 bits, at most 8192 allowed");
        check(&rsa(&modulus(2048), &[3]), "rsa-2048");
        let bad = "public key is malformed: RSA exponent is even, 1 or too long";
        check(&rsa(&modulus(2048), &[1]), bad);
        check(&rsa(&modulus(2048), &[4]), bad);
        check(&rsa(&modulus(2048), &[1; 32]), "rsa-2048");
        check(&rsa(&modulus(2048), &[3; 33]), bad);
        let mut even = modulus(2048);
        *even.last_mut().unwrap() = 0xfe;
        check(&rsa(&even, &exponent), "public key is malformed: RSA modulus is even");
        let not_positive = "public key is malformed: RSA modulus or exponent is not a positive \
                            integer in its shortest form";
        check(&rsa(&modulus(2048)[1..], &exponent), not_positive);
        check(&rsa(&modulus(2048), &[0, 3]), not_positive);
    }

    #[test]
    fn a_key_has_the_length_of_its_type_and_no_foreign_parameters() {
        let (ec, p256, ed25519) =
            (oid_der(&oid::EC_PUBLIC_KEY), oid_der(&oid::P256), oid_der(&oid::ED25519));
        let point = |octets| [&[4][..], &vec![7; octets]].concat();
        let wrong_length = "public key is malformed: key has the wrong length for its type";
        check(&spki(&[&ec, &p256], &point(64)), "ecdsa-p256");
        check(&spki(&[&ec, &p256], &point(63)), wrong_length);
        let compressed = [&[2][..], &[7; 32]].concat();
        check(
            &spki(&[&ec, &p256], &compressed),
            "public key is malformed: EC point is not uncompressed",
        );
        check(&spki(&[&ec, &oid_der(&oid::P384)], &point(96)), "ecdsa-p384");
        check(&spki(&[&ec, &oid_der(&oid::P521)], &point(132)), "ecdsa-p521");
        let k256 = oid_der(&ObjectIdentifier::new_unwrap("1.3.132.0.10"));
        check(
            &spki(&[&ec, &k256], &point(64)),
            "public keys of type 1.3.132.0.10 are not supported",
        );
        check(&spki(&[&ec], &point(64)), "public key is malformed: EC key does not name its curve");
        check(&spki(&[&ed25519], &[1; 32]), "ed25519");
        check(&spki(&[&ed25519], &[1; 33]), wrong_length);
        check(
            &spki(&[&ed25519, &[5, 0]], &[1; 32]),
            "public key is malformed: key type has parameters where none are allowed",
        );
        for (oid, octets, name) in [
            (oid::ML_DSA_44, 1312, "ml-dsa-44"),
            (oid::ML_DSA_65, 1952, "ml-dsa-65"),
            (oid::ML_DSA_87, 2592, "ml-dsa-87"),
        ] {
            check(&spki(&[&oid_der(&oid)], &vec![1; octets]), name);
            check(&spki(&[&oid_der(&oid)], &vec![1; octets + 1]), wrong_length);
        }
    }

    #[test]
    fn every_scheme_has_its_own_identifier_that_reads_back() {
        let dotted = [
            "1.2.840.10045.4.3.2",
            "1.2.840.10045.4.3.3",
            "1.2.840.10045.4.3.4",
            "1.2.840.113549.1.1.11",
            "1.2.840.113549.1.1.12",
            "1.2.840.113549.1.1.13",
            "1.2.840.113549.1.1.10",
            "1.2.840.113549.1.1.10",
            "1.2.840.113549.1.1.10",
            "1.3.101.112",
            "2.16.840.1.101.3.4.3.17",
            "2.16.840.1.101.3.4.3.18",
            "2.16.840.1.101.3.4.3.19",
        ];
        for ((scheme, der), dotted) in SCHEMES.into_iter().zip(dotted) {
            assert_eq!(crate::tlv::check_der(der), Ok(()));
            let oid = Tlv::read(der).unwrap().children().next().unwrap().oid().unwrap();
            assert_eq!(oid.to_string(), dotted);
            assert_eq!(scheme_from_der(der), Some(scheme));
            assert_eq!(scheme_der(scheme), der);
        }
    }

    #[test]
    fn no_scheme_is_without_identifier() {
        for scheme in SignatureScheme::ALL {
            assert_eq!(scheme_from_der(scheme_der(scheme)), Some(scheme));
        }
    }

    #[test]
    fn an_unknown_scheme_is_explained() {
        let identifier = |oid: ObjectIdentifier, parameters: &[u8]| {
            let mut writer = Writer::default();
            writer.nest(SEQUENCE, |it| {
                it.oid(&oid);
                it.raw(parameters);
            });
            explain_unknown_scheme(&writer.into_bytes())
        };
        assert!(identifier(oid::SHA1_WITH_RSA, &[5, 0]).starts_with("SHA-1"));
        assert!(identifier(oid::RSA_PSS, &[0x30, 0]).starts_with("RSA-PSS"));
        assert_eq!(identifier(oid::ED25519, &[5, 0]), "1.3.101.112 has wrong parameters");
        assert_eq!(explain_unknown_scheme(&[]), "it does not name an algorithm");
    }
}
