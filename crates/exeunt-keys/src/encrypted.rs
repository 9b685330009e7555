//! The envelope of keys at rest: encrypted PKCS#8 (RFC 5958) under PBES2 (RFC 8018).
//!
//! Writes one form only, scrypt with AES-256-CBC; reads what `openssl` writes as well, within
//! limits that a hostile file cannot move. Knows nothing of what is inside.

use der::{
    Decode as _, EncodePem as _,
    asn1::{OctetString, OctetStringRef},
};
use pkcs8::{
    AlgorithmIdentifierRef, EncryptedPrivateKeyInfoOwned, LineEnding, PrivateKeyInfoRef,
    pkcs5::{
        self,
        pbes2::{self, Kdf, Salt, ScryptParams},
    },
};
use zeroize::Zeroizing;

use crate::{KeyError, Passphrase, random_bytes};

/// Label of an encrypted key in PEM (RFC 7468, section 11).
const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// scrypt's N, as written. With r = 8 it takes 16 MiB, half of what `openssl` allows itself.
const SCRYPT_COST: u64 = 1 << 14;

/// scrypt's r, as written.
const SCRYPT_BLOCK_SIZE: u16 = 8;

/// scrypt's p, as written.
const SCRYPT_LANES: u16 = 1;

/// Most memory that scrypt may take to open a key, in octets (128 · N · r).
///
/// Eight times what [`SoftwareKey::to_encrypted_pem`](crate::SoftwareKey::to_encrypted_pem) asks
/// for.
pub const SCRYPT_MEMORY_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Most lanes (p) that scrypt may run to open a key; they cost time one after the other.
pub const SCRYPT_LANES_MAX: u16 = 16;

/// Most rounds of PBKDF2 to open a key: ten million, which RFC 8018, section 4.2, names for
/// especially critical keys.
pub const PBKDF2_ITERATIONS_MAX: u32 = 10_000_000;

/// Puts the DER of a `PrivateKeyInfo` under `passphrase`, with fresh salt and IV.
pub(crate) fn seal(private_key: &[u8], passphrase: &Passphrase) -> Result<String, KeyError> {
    let encode = |source: der::Error| KeyError::Encode { source: source.into() };
    let params = pbes2::Parameters {
        kdf: Kdf::Scrypt(ScryptParams {
            salt: Salt::new(random_bytes::<16>()?).map_err(encode)?,
            cost_parameter: SCRYPT_COST,
            block_size: SCRYPT_BLOCK_SIZE,
            parallelization: SCRYPT_LANES,
            key_length: None,
        }),
        encryption: pbes2::EncryptionScheme::Aes256Cbc { iv: random_bytes::<16>()? },
    };
    let encrypted = params
        .encrypt(passphrase.expose(), private_key)
        .map_err(|source| KeyError::Encode { source: source.into() })?;
    EncryptedPrivateKeyInfoOwned {
        encryption_algorithm: params.into(),
        encrypted_data: OctetString::new(encrypted).map_err(encode)?,
    }
    .to_pem(LineEnding::LF)
    .map_err(encode)
}

/// `EncryptedPrivateKeyInfo` of RFC 5958, section 3, with the algorithm not looked into yet: the
/// library's own type cannot tell a foreign algorithm from broken DER.
#[derive(der::Sequence)]
struct Envelope<'a> {
    encryption_algorithm: AlgorithmIdentifierRef<'a>,
    encrypted_data: &'a OctetStringRef,
}

/// Opens the envelope and gives the DER of the `PrivateKeyInfo` in it, known to parse as one.
pub(crate) fn open(pem: &str, passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let malformed = |source: der::Error| match source.kind() {
        // How the library says that it knows no such cipher, derivation function or PRF.
        der::ErrorKind::OidUnknown { oid } => {
            KeyError::Unsupported { what: format!("password encryption with {oid}") }
        }
        _ => KeyError::Malformed { source: source.into() },
    };
    // 1. The outside: text, label, envelope. What fails here is no matter of the passphrase.
    let (label, document) = pkcs8::SecretDocument::from_pem(pem).map_err(malformed)?;
    match label {
        ENCRYPTED_LABEL => (),
        // The traditional forms never come this far when encrypted: their header lines are not PEM
        // by RFC 7468.
        "PRIVATE KEY" | "EC PRIVATE KEY" | "RSA PRIVATE KEY" => return Err(KeyError::NotEncrypted),
        other => return Err(KeyError::Unsupported { what: format!("PEM labelled {other:?}") }),
    }
    let envelope = Envelope::from_der(document.as_bytes()).map_err(malformed)?;
    let scheme = envelope.encryption_algorithm;
    if scheme.oid != pbes2::PBES2_OID {
        let what = format!("password encryption with {}, before PBES2", scheme.oid);
        return Err(KeyError::Unsupported { what });
    }
    let params = scheme.parameters.ok_or_else(|| malformed(der::ErrorKind::Failed.into()))?;
    let params = pbes2::Parameters::try_from(params).map_err(malformed)?;
    check_limits(&params.kdf)?;

    // 2. The inside. CBC has no checksum: a wrong passphrase shows as bad padding or, once in
    // 256 times, as octets that are no PKCS#8.
    let mut buffer = Zeroizing::new(envelope.encrypted_data.as_bytes().to_vec());
    let len = match params.decrypt_in_place(passphrase.expose(), &mut buffer) {
        Ok(plain) => plain.len(),
        Err(pkcs5::Error::DecryptFailed) => return Err(KeyError::WrongPassphrase),
        Err(pkcs5::Error::UnsupportedAlgorithm { oid }) => {
            return Err(KeyError::Unsupported { what: format!("password encryption with {oid}") });
        }
        Err(source) => return Err(KeyError::Malformed { source: source.into() }),
    };
    buffer.truncate(len);
    match PrivateKeyInfoRef::from_der(&buffer) {
        Ok(_) => Ok(buffer),
        Err(_) => Err(KeyError::WrongPassphrase),
    }
}

/// Refuses parameters that would eat memory or time, before either is spent.
fn check_limits(kdf: &Kdf) -> Result<(), KeyError> {
    let unsupported = |what: &str| Err(KeyError::Unsupported { what: what.to_owned() });
    match kdf {
        Kdf::Scrypt(params) => {
            let memory = params
                .cost_parameter
                .checked_mul(u64::from(params.block_size))
                .and_then(|it| it.checked_mul(128));
            // RFC 7914, section 2: N is a power of two above 1. The library takes a logarithm unasked.
            let sound = params.cost_parameter.is_power_of_two()
                && params.cost_parameter != 1
                && params.block_size != 0
                && params.parallelization != 0;
            if !sound {
                return unsupported("scrypt with senseless parameters");
            }
            if memory.is_none_or(|it| SCRYPT_MEMORY_BYTES_MAX < it)
                || SCRYPT_LANES_MAX < params.parallelization
            {
                return unsupported("scrypt with parameters that large");
            }
        }
        Kdf::Pbkdf2(params) => {
            if PBKDF2_ITERATIONS_MAX < params.iteration_count {
                return unsupported("PBKDF2 with that many rounds");
            }
        }
        _ => return unsupported("the key derivation function"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pkcs8::pkcs5::pbes2::{Pbkdf2Params, Pbkdf2Prf};

    use super::*;

    /// An envelope as a stranger may write it: sound DER, any parameters, nothing inside.
    fn envelope(kdf: Kdf) -> String {
        let encryption = pbes2::EncryptionScheme::Aes256Cbc { iv: [0; 16] };
        EncryptedPrivateKeyInfoOwned {
            encryption_algorithm: pbes2::Parameters { kdf, encryption }.into(),
            encrypted_data: OctetString::new(vec![0; 48]).unwrap(),
        }
        .to_pem(LineEnding::LF)
        .unwrap()
    }

    fn scrypt(cost_parameter: u64, block_size: u16, parallelization: u16) -> Kdf {
        let salt = Salt::new([0; 16]).unwrap();
        let key_length = None;
        Kdf::Scrypt(ScryptParams { salt, cost_parameter, block_size, parallelization, key_length })
    }

    fn pbkdf2(iteration_count: u32) -> Kdf {
        let salt = Salt::new([0; 16]).unwrap();
        let prf = Pbkdf2Prf::HmacWithSha256;
        Kdf::Pbkdf2(Pbkdf2Params { salt, iteration_count, key_length: None, prf })
    }

    fn code_of(kdf: Kdf) -> &'static str {
        open(&envelope(kdf), &Passphrase::new("sesame").unwrap()).unwrap_err().code()
    }

    #[test]
    fn a_hostile_file_gets_neither_memory_nor_time() {
        for kdf in [
            scrypt(1 << 18, 8, 1),
            scrypt(1 << 40, 8, 1),
            scrypt(1 << 63, u16::MAX, u16::MAX),
            scrypt(2, u16::MAX, u16::MAX),
            scrypt(1 << 14, 8, SCRYPT_LANES_MAX + 1),
            pbkdf2(PBKDF2_ITERATIONS_MAX + 1),
            pbkdf2(u32::MAX),
        ] {
            assert_eq!(code_of(kdf.clone()), "key-unsupported", "{kdf:?}");
        }
    }

    #[test]
    fn senseless_parameters_are_refused_before_the_library_meets_them() {
        for kdf in [
            scrypt(0, 8, 1),
            scrypt(1, 8, 1),
            scrypt((1 << 14) + 1, 8, 1),
            scrypt(1 << 14, 0, 1),
            scrypt(1 << 14, 8, 0),
        ] {
            assert_eq!(code_of(kdf.clone()), "key-unsupported", "{kdf:?}");
        }
    }

    #[test]
    fn the_largest_scrypt_that_is_allowed_is_tried() {
        let cost = SCRYPT_MEMORY_BYTES_MAX / (128 * 8);
        assert_eq!(code_of(scrypt(cost, 8, 1)), "key-wrong-passphrase");
        assert_eq!(code_of(pbkdf2(1)), "key-wrong-passphrase");
    }
}
