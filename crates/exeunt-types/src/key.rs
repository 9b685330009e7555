//! Public-key algorithms and signature schemes that Exeunt knows.

/// Algorithm and size of a key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// RSA with a modulus of that many bits.
    Rsa {
        /// Modulus length.
        bits: u32,
    },
    /// ECDSA on NIST P-256.
    EcdsaP256,
    /// ECDSA on NIST P-384.
    EcdsaP384,
    /// ECDSA on NIST P-521.
    EcdsaP521,
    /// Ed25519, RFC 8032.
    Ed25519,
    /// ML-DSA-44, FIPS 204.
    MlDsa44,
    /// ML-DSA-65, FIPS 204.
    MlDsa65,
    /// ML-DSA-87, FIPS 204.
    MlDsa87,
}

impl KeyAlgorithm {
    /// What `exeunt init --key-type` accepts, in the order of its help.
    pub const KEY_TYPES: [Self; 10] = [
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::EcdsaP521,
        Self::Rsa { bits: 2048 },
        Self::Rsa { bits: 3072 },
        Self::Rsa { bits: 4096 },
        Self::Ed25519,
        Self::MlDsa44,
        Self::MlDsa65,
        Self::MlDsa87,
    ];

    /// Name as the command line writes it, for example `rsa-2048`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Rsa { bits } => format!("rsa-{bits}"),
            Self::EcdsaP256 => "ecdsa-p256".to_owned(),
            Self::EcdsaP384 => "ecdsa-p384".to_owned(),
            Self::EcdsaP521 => "ecdsa-p521".to_owned(),
            Self::Ed25519 => "ed25519".to_owned(),
            Self::MlDsa44 => "ml-dsa-44".to_owned(),
            Self::MlDsa65 => "ml-dsa-65".to_owned(),
            Self::MlDsa87 => "ml-dsa-87".to_owned(),
        }
    }

    /// The scheme that keys of this algorithm sign with here: the hash that fits the key's strength.
    #[must_use]
    pub fn default_scheme(self) -> SignatureScheme {
        match self {
            Self::Rsa { .. } => SignatureScheme::RsaPkcs1Sha256,
            Self::EcdsaP256 => SignatureScheme::EcdsaSha256,
            Self::EcdsaP384 => SignatureScheme::EcdsaSha384,
            Self::EcdsaP521 => SignatureScheme::EcdsaSha512,
            Self::Ed25519 => SignatureScheme::Ed25519,
            Self::MlDsa44 => SignatureScheme::MlDsa44,
            Self::MlDsa65 => SignatureScheme::MlDsa65,
            Self::MlDsa87 => SignatureScheme::MlDsa87,
        }
    }

    /// Length of the public key in bits, as the original's `PublicKeyLength` counts it.
    #[must_use]
    pub fn public_key_bits(self) -> u32 {
        match self {
            Self::Rsa { bits } => bits,
            Self::EcdsaP256 | Self::Ed25519 => 256,
            Self::EcdsaP384 => 384,
            Self::EcdsaP521 => 521,
            // FIPS 204, table 2: 1312, 1952 and 2592 octets.
            Self::MlDsa44 => 1312 * 8,
            Self::MlDsa65 => 1952 * 8,
            Self::MlDsa87 => 2592 * 8,
        }
    }
}

/// How bytes are signed: algorithm and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureScheme {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RsaPkcs1Sha512,
    /// ECDSA with SHA-256.
    EcdsaSha256,
    /// ECDSA with SHA-384.
    EcdsaSha384,
    /// ECDSA with SHA-512.
    EcdsaSha512,
    /// Ed25519.
    Ed25519,
    /// ML-DSA-44 with an empty context.
    MlDsa44,
    /// ML-DSA-65 with an empty context.
    MlDsa65,
    /// ML-DSA-87 with an empty context.
    MlDsa87,
}
