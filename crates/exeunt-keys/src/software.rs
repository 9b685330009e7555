//! Keys in this process's memory, and their encoding at rest.

use std::fmt;

use aws_lc_rs::{
    encoding::AsDer as _,
    error::{KeyRejected, Unspecified},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, PqdsaKeyPair,
        PqdsaSigningAlgorithm, RsaKeyPair, RsaSignatureEncoding,
    },
};
use der::Decode as _;
use exeunt_types::{KeyAlgorithm, SignatureScheme};
use pkcs8::{LineEnding, ObjectIdentifier, PrivateKeyInfoRef, SecretDocument};
use zeroize::Zeroizing;

use crate::{
    KeyError, Passphrase, SignError, SigningKey, encrypted,
    error::Source,
    message::{Message, Taken},
    verify::RSA_ENCRYPTION,
};

// RFC 5480, section 2.1.1; RFC 8410, section 3; RFC 9881, section 2.
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const SECP521R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const ML_DSA_44: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17");
const ML_DSA_65: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");
const ML_DSA_87: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19");

/// A key pair in memory. The cryptographic module wipes the private half when it is dropped.
///
/// Its `Debug` shows the algorithm only.
pub struct SoftwareKey {
    pair: Pair,
    algorithm: KeyAlgorithm,
    scheme: SignatureScheme,
    public_key_der: Vec<u8>,
}

/// The module's key pairs, one type for each family.
enum Pair {
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
    MlDsa(PqdsaKeyPair),
}

impl SoftwareKey {
    /// Makes a new key pair. RSA with 4096 bits may take seconds.
    ///
    /// # Errors
    ///
    /// [`KeyError::Unsupported`] for an RSA size other than 2048, 3072 and 4096 bits;
    /// [`KeyError::Generate`] if the module fails.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        let pair = match algorithm {
            KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::EcdsaP521 => {
                EcdsaKeyPair::generate(ecdsa(algorithm)).map(Pair::Ecdsa)
            }
            KeyAlgorithm::Rsa { bits } => {
                let size = match bits {
                    2048 => KeySize::Rsa2048,
                    3072 => KeySize::Rsa3072,
                    4096 => KeySize::Rsa4096,
                    _ => {
                        let what = format!("generating an RSA key of {bits} bits");
                        return Err(KeyError::Unsupported { what });
                    }
                };
                RsaKeyPair::generate(size).map(Pair::Rsa)
            }
            KeyAlgorithm::Ed25519 => Ed25519KeyPair::generate().map(Pair::Ed25519),
            KeyAlgorithm::MlDsa44 | KeyAlgorithm::MlDsa65 | KeyAlgorithm::MlDsa87 => {
                PqdsaKeyPair::generate(ml_dsa(algorithm)).map(Pair::MlDsa)
            }
        };
        let generate = |source: Unspecified| KeyError::Generate { source: source.into() };
        let pair = pair.map_err(generate)?;
        let public_key_der = pair.public_key_der().map_err(generate)?;
        Ok(Self { pair, algorithm, scheme: algorithm.default_scheme(), public_key_der })
    }

    /// Makes the key sign with another scheme than [`KeyAlgorithm::default_scheme`].
    ///
    /// An RSA key takes PKCS #1 v1.5 or PSS with any hash; every other key has one scheme only. The
    /// scheme is not kept with the key at rest: whoever opens the key chooses it.
    ///
    /// # Errors
    ///
    /// [`KeyError::Unsupported`] if the key cannot sign so.
    pub fn with_scheme(mut self, scheme: SignatureScheme) -> Result<Self, KeyError> {
        check_scheme(self.algorithm, scheme).map_err(|what| KeyError::Unsupported { what })?;
        self.scheme = scheme;
        Ok(self)
    }

    /// Encrypts the key for the disk: PEM of an encrypted PKCS#8 under PBES2, scrypt
    /// (N = 16384, r = 8, p = 1, 16 MiB) and AES-256-CBC, with salt and IV drawn anew.
    ///
    /// `openssl pkey` reads it within its default memory limit.
    ///
    /// # Errors
    ///
    /// [`KeyError::Random`] or [`KeyError::Encode`].
    pub fn to_encrypted_pem(&self, passphrase: &Passphrase) -> Result<String, KeyError> {
        encrypted::seal(&self.to_pkcs8()?, passphrase)
    }

    /// Reads what [`Self::to_encrypted_pem`] wrote, or what `openssl pkcs8 -topk8` did.
    ///
    /// The encryption has no checksum, and Ed25519 and ML-DSA keys at rest are bare seeds: octets
    /// damaged on disk can come back as another key. A caller that knows the public key compares.
    ///
    /// # Errors
    ///
    /// [`KeyError::WrongPassphrase`], [`KeyError::NotEncrypted`], [`KeyError::Unsupported`] for a
    /// foreign algorithm or parameters beyond the limits, [`KeyError::Malformed`] otherwise.
    pub fn from_encrypted_pem(pem: &str, passphrase: &Passphrase) -> Result<Self, KeyError> {
        Self::from_pkcs8(&encrypted::open(pem, passphrase)?)
    }

    /// Reads what [`Self::to_pem`] wrote. Not for the key of a CA.
    ///
    /// # Errors
    ///
    /// [`KeyError::Malformed`], [`KeyError::Unsupported`].
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let malformed = |source: Source| KeyError::Malformed { source };
        let (label, document) =
            SecretDocument::from_pem(pem).map_err(|source| malformed(source.into()))?;
        if label != "PRIVATE KEY" {
            return Err(malformed(format!("it is a {label}, not a PRIVATE KEY").into()));
        }
        Self::from_pkcs8(document.as_bytes())
    }

    /// Writes the key without encryption, PEM of a PKCS#8. Not for the key of a CA.
    ///
    /// # Errors
    ///
    /// [`KeyError::Encode`].
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        SecretDocument::try_from(self.to_pkcs8()?.as_slice())
            .and_then(|it| it.to_pem("PRIVATE KEY", LineEnding::LF))
            .map_err(|source| KeyError::Encode { source: source.into() })
    }

    /// PKCS#8 version 1 throughout: `openssl` 3.0 does not read version 2.
    pub(crate) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let octets = match &self.pair {
            Pair::Ecdsa(pair) => pair.to_pkcs8v1().map(|it| it.as_ref().to_vec()),
            Pair::Rsa(pair) => pair.as_der().map(|it| it.as_ref().to_vec()),
            Pair::Ed25519(pair) => pair.to_pkcs8v1().map(|it| it.as_ref().to_vec()),
            // The seed form of RFC 9881, section 6.
            Pair::MlDsa(pair) => pair.to_pkcs8v1().map(|it| it.as_ref().to_vec()),
        };
        octets.map(Zeroizing::new).map_err(|source| KeyError::Encode { source: source.into() })
    }

    pub(crate) fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let malformed = |source: Source| KeyError::Malformed { source };
        let rejected = |source: KeyRejected| malformed(source.into());
        let info = PrivateKeyInfoRef::from_der(pkcs8).map_err(|source| malformed(source.into()))?;
        let (algorithm, pair) = match info.algorithm.oid {
            EC_PUBLIC_KEY => {
                let curve = info.algorithm.parameters_oid().map_err(|it| malformed(it.into()))?;
                let algorithm = match curve {
                    SECP256R1 => KeyAlgorithm::EcdsaP256,
                    SECP384R1 => KeyAlgorithm::EcdsaP384,
                    SECP521R1 => KeyAlgorithm::EcdsaP521,
                    other => {
                        let what = format!("the elliptic curve {other}");
                        return Err(KeyError::Unsupported { what });
                    }
                };
                let pair = EcdsaKeyPair::from_pkcs8(ecdsa(algorithm), pkcs8).map_err(rejected)?;
                (algorithm, Pair::Ecdsa(pair))
            }
            RSA_ENCRYPTION => {
                let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(rejected)?;
                let bits = u32::try_from(pair.public_modulus_len() * 8)
                    .expect("BUG: the module refuses a modulus above 8192 bits");
                (KeyAlgorithm::Rsa { bits }, Pair::Rsa(pair))
            }
            ED25519 => {
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(rejected)?;
                (KeyAlgorithm::Ed25519, Pair::Ed25519(pair))
            }
            oid @ (ML_DSA_44 | ML_DSA_65 | ML_DSA_87) => {
                let algorithm = match oid {
                    ML_DSA_44 => KeyAlgorithm::MlDsa44,
                    ML_DSA_65 => KeyAlgorithm::MlDsa65,
                    _ => KeyAlgorithm::MlDsa87,
                };
                let pair = PqdsaKeyPair::from_pkcs8(ml_dsa(algorithm), pkcs8).map_err(rejected)?;
                (algorithm, Pair::MlDsa(pair))
            }
            other => {
                let what = format!("a private key of algorithm {other}");
                return Err(KeyError::Unsupported { what });
            }
        };
        let public_key_der = pair.public_key_der().map_err(|it| malformed(it.into()))?;
        Ok(Self { pair, algorithm, scheme: algorithm.default_scheme(), public_key_der })
    }
}

impl SigningKey for SoftwareKey {
    fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    fn public_key_der(&self) -> &[u8] {
        &self.public_key_der
    }

    fn sign(&self, tbs: &[u8]) -> Result<Vec<u8>, SignError> {
        // The module draws its own randomness and ignores the source that its interface asks for.
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Ecdsa(pair) => pair.sign(&random, tbs).map(|it| it.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(rsa(self.scheme), &random, tbs, &mut signature).map(|()| signature)
            }
            Pair::Ed25519(pair) => pair.try_sign(tbs).map(|it| it.as_ref().to_vec()),
            Pair::MlDsa(pair) => {
                let mut signature = vec![0; pair.algorithm().signature_len()];
                pair.sign(tbs, &mut signature).map(|_| signature)
            }
        };
        signature.map_err(|source| self.failed(source))
    }

    fn sign_message(&self, message: &Message) -> Result<Vec<u8>, SignError> {
        let digest = match &message.taken {
            _ if message.scheme != self.scheme => return Err(self.failed(Unspecified)),
            Taken::Whole(octets) => return self.sign(octets),
            Taken::Hash(digest) => digest,
        };
        let signature = match &self.pair {
            Pair::Ecdsa(pair) => pair.sign_digest(digest).map(|it| it.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(rsa(self.scheme), digest, &mut signature).map(|()| signature)
            }
            // Their schemes have no hash.
            Pair::Ed25519(_) | Pair::MlDsa(_) => Err(Unspecified),
        };
        signature.map_err(|source| self.failed(source))
    }
}

impl SoftwareKey {
    fn failed(&self, source: Unspecified) -> SignError {
        SignError::Module { algorithm: self.algorithm, source: source.into() }
    }
}

impl fmt::Debug for SoftwareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl Pair {
    fn public_key_der(&self) -> Result<Vec<u8>, Unspecified> {
        Ok(match self {
            Self::Ecdsa(pair) => pair.public_key().as_der()?.as_ref().to_vec(),
            Self::Rsa(pair) => pair.public_key().as_der()?.as_ref().to_vec(),
            Self::Ed25519(pair) => pair.public_key().as_der()?.as_ref().to_vec(),
            Self::MlDsa(pair) => pair.public_key().as_der()?.as_ref().to_vec(),
        })
    }
}

/// Refuses a scheme that keys of that algorithm do not sign with here; says as a noun phrase what
/// is not supported.
pub(crate) fn check_scheme(algorithm: KeyAlgorithm, scheme: SignatureScheme) -> Result<(), String> {
    let is_rsa = matches!(algorithm, KeyAlgorithm::Rsa { .. });
    if scheme == algorithm.default_scheme() || (is_rsa && scheme.fits(algorithm)) {
        return Ok(());
    }
    Err(format!("signing by {} with a key of type {}", scheme.name(), algorithm.name()))
}

/// The module's name for a scheme of RSA.
fn rsa(scheme: SignatureScheme) -> &'static RsaSignatureEncoding {
    match scheme {
        SignatureScheme::RsaPkcs1Sha384 => &signature::RSA_PKCS1_SHA384,
        SignatureScheme::RsaPkcs1Sha512 => &signature::RSA_PKCS1_SHA512,
        SignatureScheme::RsaPssSha256 => &signature::RSA_PSS_SHA256,
        SignatureScheme::RsaPssSha384 => &signature::RSA_PSS_SHA384,
        SignatureScheme::RsaPssSha512 => &signature::RSA_PSS_SHA512,
        _ => &signature::RSA_PKCS1_SHA256,
    }
}

/// The module's name for a curve with the hash of [`KeyAlgorithm::default_scheme`].
fn ecdsa(algorithm: KeyAlgorithm) -> &'static EcdsaSigningAlgorithm {
    match algorithm {
        KeyAlgorithm::EcdsaP384 => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
        KeyAlgorithm::EcdsaP521 => &signature::ECDSA_P521_SHA512_ASN1_SIGNING,
        _ => &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
    }
}

/// The module's name for a parameter set of ML-DSA.
fn ml_dsa(algorithm: KeyAlgorithm) -> &'static PqdsaSigningAlgorithm {
    match algorithm {
        KeyAlgorithm::MlDsa65 => &signature::ML_DSA_65_SIGNING,
        KeyAlgorithm::MlDsa87 => &signature::ML_DSA_87_SIGNING,
        _ => &signature::ML_DSA_44_SIGNING,
    }
}
