//! The objects of a key pair in a token: making them, and telling the public key from them.

use cryptoki::{
    mechanism::{Mechanism, MechanismType},
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::Session,
    types::Ulong,
};
use exeunt_types::{KeyAlgorithm, SignatureScheme, hexadecimal};

use super::{KeyName, TokenError, TokenName, encode, token};
use crate::{RSA_BITS_MAX, RSA_BITS_MIN};

/// 65537 (FIPS 186-5, section 5.1).
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

/// Octets of a `CKA_ID` that we draw: enough to be nobody else's.
pub(super) const ID_BYTES: usize = 16;

// CKA_EC_PARAMS of the curves: the DER of their names (RFC 5480, section 2.1.1).
const P256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x22";
const P521: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x23";

/// The names that tokens have for the curve of Ed25519: RFC 8410's, PKCS #11's version 3.0, and an
/// older one from before both.
const ED25519: [&[u8]; 3] = [
    b"\x06\x03\x2b\x65\x70",
    b"\x13\x0cedwards25519",
    b"\x06\x0a\x2b\x06\x01\x04\x01\xda\x47\x0f\x01",
];

/// What a token must be able to do for keys of that algorithm to be made in it.
pub(super) fn generation(
    algorithm: KeyAlgorithm,
) -> Result<(MechanismType, &'static str), TokenError> {
    match algorithm {
        KeyAlgorithm::Rsa { .. } => {
            Ok((MechanismType::RSA_PKCS_KEY_PAIR_GEN, "CKM_RSA_PKCS_KEY_PAIR_GEN"))
        }
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::EcdsaP521 => {
            Ok((MechanismType::ECC_KEY_PAIR_GEN, "CKM_EC_KEY_PAIR_GEN"))
        }
        KeyAlgorithm::Ed25519 => {
            Ok((MechanismType::ECC_EDWARDS_KEY_PAIR_GEN, "CKM_EC_EDWARDS_KEY_PAIR_GEN"))
        }
        KeyAlgorithm::MlDsa44 | KeyAlgorithm::MlDsa65 | KeyAlgorithm::MlDsa87 => Err(no_ml_dsa()),
    }
}

/// What a token must be able to do to sign so.
pub(super) fn signing(
    scheme: SignatureScheme,
) -> Result<(MechanismType, &'static str), TokenError> {
    use SignatureScheme as Scheme;
    match scheme {
        Scheme::RsaPkcs1Sha256 | Scheme::RsaPkcs1Sha384 | Scheme::RsaPkcs1Sha512 => {
            Ok((MechanismType::RSA_PKCS, "CKM_RSA_PKCS"))
        }
        Scheme::RsaPssSha256 | Scheme::RsaPssSha384 | Scheme::RsaPssSha512 => {
            Ok((MechanismType::RSA_PKCS_PSS, "CKM_RSA_PKCS_PSS"))
        }
        Scheme::EcdsaSha256 | Scheme::EcdsaSha384 | Scheme::EcdsaSha512 => {
            Ok((MechanismType::ECDSA, "CKM_ECDSA"))
        }
        Scheme::Ed25519 => Ok((MechanismType::EDDSA, "CKM_EDDSA")),
        Scheme::MlDsa44 | Scheme::MlDsa65 | Scheme::MlDsa87 => Err(no_ml_dsa()),
    }
}

fn no_ml_dsa() -> TokenError {
    TokenError::Unsupported { what: "signing by CKM_ML_DSA in a token".to_owned() }
}

/// Makes a key pair that never leaves the token.
pub(super) fn generate(
    session: &Session,
    token: &TokenName,
    name: &KeyName,
    random_id: [u8; ID_BYTES],
    algorithm: KeyAlgorithm,
) -> Result<(), TokenError> {
    let (label, id) = match name {
        KeyName::Label(label) => (label.as_bytes().to_vec(), random_id.to_vec()),
        KeyName::Id(id) => (hexadecimal(id).into_bytes(), id.clone()),
    };
    let both = [Attribute::Token(true), Attribute::Label(label), Attribute::Id(id)];
    let mut public = both.to_vec();
    public.extend([Attribute::Verify(true)]);
    let mut private = both.to_vec();
    private.extend([
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
    ]);
    let failed = |err| TokenError::of(token, "making a key pair", err);
    let make = |mechanism: &Mechanism<'_>, more: Vec<Attribute>| {
        let public = [public.clone(), more].concat();
        session.generate_key_pair(mechanism, &public, &private).map(|_| ())
    };
    let on_curve = |params: &[u8]| {
        make(&Mechanism::EccKeyPairGen, vec![Attribute::EcParams(params.to_vec())]).map_err(failed)
    };
    match algorithm {
        KeyAlgorithm::Rsa { bits } => {
            let more = vec![
                Attribute::ModulusBits(Ulong::from(u64::from(bits))),
                Attribute::PublicExponent(RSA_EXPONENT.to_vec()),
            ];
            make(&Mechanism::RsaPkcsKeyPairGen, more).map_err(failed)
        }
        KeyAlgorithm::EcdsaP256 => on_curve(P256),
        KeyAlgorithm::EcdsaP384 => on_curve(P384),
        KeyAlgorithm::EcdsaP521 => on_curve(P521),
        KeyAlgorithm::Ed25519 => {
            let make = |params: &[u8]| {
                make(&Mechanism::EccEdwardsKeyPairGen, vec![Attribute::EcParams(params.to_vec())])
            };
            // Tokens know one of the names and refuse the others with any error at all.
            make(ED25519[0])
                .or_else(|_| make(ED25519[1]))
                .or_else(|_| make(ED25519[2]))
                .map_err(failed)
        }
        KeyAlgorithm::MlDsa44 | KeyAlgorithm::MlDsa65 | KeyAlgorithm::MlDsa87 => Err(no_ml_dsa()),
    }
}

/// Algorithm and DER `SubjectPublicKeyInfo` of the key pair that `private` is a half of.
pub(super) fn public_key(
    session: &Session,
    token: &TokenName,
    name: &KeyName,
    private: ObjectHandle,
) -> Result<(KeyAlgorithm, Vec<u8>), TokenError> {
    let unknown = || TokenError::PublicKey { token: token.clone(), key: name.clone() };
    let read = Attributes::read(session, token, private)?;
    if read.always_authenticate {
        let what = format!("a key that wants its PIN for each signature ({name})");
        return Err(TokenError::Unsupported { what });
    }
    if read.sign == Some(false) {
        return Err(TokenError::Unsupported { what: format!("signing with the {name}") });
    }

    // 1. Private keys tell much of their public half, most of all those of RSA.
    if let Some(found) = read.public_key(None)? {
        return Ok(found);
    }
    // 2. The object of the public half has the same id, or where there is none the same label.
    let same = match (&read.id, name) {
        (Some(id), _) if !id.is_empty() => Attribute::Id(id.clone()),
        (_, name) => token::attribute(name),
    };
    for public in token::objects(session, token, ObjectClass::PUBLIC_KEY, &same)? {
        let public = Attributes::read(session, token, public)?;
        if let Some(found) = read.public_key(Some(&public))? {
            return Ok(found);
        }
    }
    Err(unknown())
}

/// What an object tells of itself; much may be missing.
#[derive(Default)]
struct Attributes {
    key_type: Option<KeyType>,
    id: Option<Vec<u8>>,
    modulus: Option<Vec<u8>>,
    exponent: Option<Vec<u8>>,
    curve: Option<Vec<u8>>,
    point: Option<Vec<u8>>,
    sign: Option<bool>,
    always_authenticate: bool,
}

impl Attributes {
    fn read(
        session: &Session,
        token: &TokenName,
        object: ObjectHandle,
    ) -> Result<Self, TokenError> {
        let wanted = [
            AttributeType::KeyType,
            AttributeType::Id,
            AttributeType::Modulus,
            AttributeType::PublicExponent,
            AttributeType::EcParams,
            AttributeType::EcPoint,
            AttributeType::Sign,
            AttributeType::AlwaysAuthenticate,
        ];
        let mut read = Self::default();
        for kind in wanted {
            // One at a time: asked for several, some tokens refuse all for the sake of one. What
            // a token does not want to tell counts as missing.
            let found = match session.get_attributes(object, &[kind]) {
                Ok(found) => found,
                Err(err) => match TokenError::of(token, "reading the key's attributes", err) {
                    lost @ TokenError::Lost { .. } => return Err(lost),
                    _ => continue,
                },
            };
            for attribute in found {
                match attribute {
                    Attribute::KeyType(it) => read.key_type = Some(it),
                    Attribute::Id(it) => read.id = Some(it),
                    Attribute::Modulus(it) => read.modulus = Some(it),
                    Attribute::PublicExponent(it) => read.exponent = Some(it),
                    Attribute::EcParams(it) => read.curve = Some(it),
                    Attribute::EcPoint(it) => read.point = Some(it),
                    Attribute::Sign(it) => read.sign = Some(it),
                    Attribute::AlwaysAuthenticate(it) => read.always_authenticate = it,
                    _ => (),
                }
            }
        }
        Ok(read)
    }

    /// The public key of this private one, as far as the two tell together.
    fn public_key(
        &self,
        public: Option<&Self>,
    ) -> Result<Option<(KeyAlgorithm, Vec<u8>)>, TokenError> {
        let unsupported = |what: String| Err(TokenError::Unsupported { what });
        let public = public.unwrap_or(self);
        match self.key_type {
            Some(KeyType::RSA) => {
                let (Some(modulus), Some(exponent)) = (&public.modulus, &public.exponent) else {
                    return Ok(None);
                };
                let Some(bits) = encode::modulus_bits(modulus) else { return Ok(None) };
                if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
                    return unsupported(format!("an RSA key of {bits} bits"));
                }
                let spki = encode::rsa_spki(modulus, exponent).ok();
                Ok(spki.map(|it| (KeyAlgorithm::Rsa { bits }, it)))
            }
            Some(KeyType::EC | KeyType::EC_EDWARDS) => {
                let (Some(curve), Some(point)) =
                    (self.curve.as_ref().or(public.curve.as_ref()), &public.point)
                else {
                    return Ok(None);
                };
                let algorithm = match curve.as_slice() {
                    P256 => KeyAlgorithm::EcdsaP256,
                    P384 => KeyAlgorithm::EcdsaP384,
                    P521 => KeyAlgorithm::EcdsaP521,
                    other if ED25519.contains(&other) => KeyAlgorithm::Ed25519,
                    other => {
                        return unsupported(format!(
                            "the curve with the parameters {}",
                            hexadecimal(other)
                        ));
                    }
                };
                Ok(encode::curve_spki(algorithm, point).map(|it| (algorithm, it)))
            }
            Some(KeyType::ML_DSA) => Err(no_ml_dsa()),
            Some(other) => unsupported(format!("a key of type {other}")),
            None => Ok(None),
        }
    }
}
