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
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of 32 octets.
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384, MGF1 with SHA-384 and a salt of 48 octets.
    RsaPssSha384,
    /// RSASSA-PSS with SHA-512, MGF1 with SHA-512 and a salt of 64 octets.
    RsaPssSha512,
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

impl SignatureScheme {
    /// Every scheme.
    pub const ALL: [Self; 13] = [
        Self::RsaPkcs1Sha256,
        Self::RsaPkcs1Sha384,
        Self::RsaPkcs1Sha512,
        Self::RsaPssSha256,
        Self::RsaPssSha384,
        Self::RsaPssSha512,
        Self::EcdsaSha256,
        Self::EcdsaSha384,
        Self::EcdsaSha512,
        Self::Ed25519,
        Self::MlDsa44,
        Self::MlDsa65,
        Self::MlDsa87,
    ];

    /// Name for people and settings, for example `rsa-pss-sha256`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RsaPkcs1Sha256 => "rsa-pkcs1-sha256",
            Self::RsaPkcs1Sha384 => "rsa-pkcs1-sha384",
            Self::RsaPkcs1Sha512 => "rsa-pkcs1-sha512",
            Self::RsaPssSha256 => "rsa-pss-sha256",
            Self::RsaPssSha384 => "rsa-pss-sha384",
            Self::RsaPssSha512 => "rsa-pss-sha512",
            Self::EcdsaSha256 => "ecdsa-sha256",
            Self::EcdsaSha384 => "ecdsa-sha384",
            Self::EcdsaSha512 => "ecdsa-sha512",
            Self::Ed25519 => "ed25519",
            Self::MlDsa44 => "ml-dsa-44",
            Self::MlDsa65 => "ml-dsa-65",
            Self::MlDsa87 => "ml-dsa-87",
        }
    }

    /// Whether keys of that algorithm can sign with this scheme.
    ///
    /// ECDSA takes any of its hashes with any of its curves (RFC 5480, section 4).
    #[must_use]
    pub fn fits(self, key: KeyAlgorithm) -> bool {
        use KeyAlgorithm as Key;
        match self {
            Self::RsaPkcs1Sha256
            | Self::RsaPkcs1Sha384
            | Self::RsaPkcs1Sha512
            | Self::RsaPssSha256
            | Self::RsaPssSha384
            | Self::RsaPssSha512 => matches!(key, Key::Rsa { .. }),
            Self::EcdsaSha256 | Self::EcdsaSha384 | Self::EcdsaSha512 => {
                matches!(key, Key::EcdsaP256 | Key::EcdsaP384 | Key::EcdsaP521)
            }
            Self::Ed25519 => key == Key::Ed25519,
            Self::MlDsa44 => key == Key::MlDsa44,
            Self::MlDsa65 => key == Key::MlDsa65,
            Self::MlDsa87 => key == Key::MlDsa87,
        }
    }
}
