//! The seam to private keys: signing, verifying, keys at rest, and the files that hold secrets.
//!
//! Enter at [`SigningKey`], which the engine holds, or at its implementations: [`SoftwareKey`] in
//! this process's memory, [`Pkcs11Key`] in a token. Nothing here knows what a certificate is. The crate draws its own randomness, because
//! a caller who could supply it could also spoil it.

mod absent;
mod encrypted;
mod envelope;
mod error;
mod message;
mod passphrase;
mod pkcs11;
mod private_blob;
mod sealed;
pub mod secret_file;
mod software;
mod stream;
mod verify;

use std::{fmt, io};

use exeunt_types::{KeyAlgorithm, SignatureScheme};

pub use absent::AbsentKey;
pub use encrypted::{PBKDF2_ITERATIONS_MAX, SCRYPT_LANES_MAX, SCRYPT_MEMORY_BYTES_MAX};
pub use envelope::{OpeningKey, Sealed, SealedKey};
pub use error::{KeyError, SignError, VerifyError};
pub use message::Message;
pub use passphrase::Passphrase;
pub use pkcs11::{
    KeyName, PIN_BYTES_MAX, PinSource, Pkcs11Key, RESTART_PAUSE, SESSIONS_IDLE_MAX, TokenError,
    TokenName, TokenSettings, TriesLeft,
};
pub use sealed::{
    OpeningReader, SEALED_LOG_N, SEALED_LOG_N_MAX, SEALED_MAGIC, SealedError, SealingWriter,
};
pub use software::SoftwareKey;
pub use stream::{ReadError, WHOLE_MESSAGE_BYTES_MAX};
pub use verify::{RSA_BITS_MAX, RSA_BITS_MIN, verify, verify_message, verify_reader};

/// A private key that can be used but never seen.
///
/// The engine holds `&dyn SigningKey` and cannot tell software from hardware. There is
/// deliberately no way to read, export or clone private material through this trait. An
/// implementation may block; call it from a worker thread and never inside a transaction.
pub trait SigningKey: fmt::Debug + Send + Sync {
    /// Algorithm and size of the key pair; fixed for the key's lifetime.
    fn algorithm(&self) -> KeyAlgorithm;

    /// Scheme of every signature that this key makes; fixed for the key's lifetime.
    fn scheme(&self) -> SignatureScheme;

    /// DER `SubjectPublicKeyInfo` (RFC 5280, section 4.1.2.7).
    fn public_key_der(&self) -> &[u8];

    /// Signs the DER octets of a `TBSCertificate`, `TBSCertList` or the like.
    ///
    /// `tbs` is *not* pre-hashed: the implementation hashes as [`Self::scheme`] demands. The
    /// result is what X.509 puts into the signature's bit string: a DER `Ecdsa-Sig-Value`
    /// (RFC 3279, section 2.2.3) for ECDSA, raw octets for every other scheme.
    ///
    /// # Errors
    ///
    /// [`SignError`]: no signature exists.
    fn sign(&self, tbs: &[u8]) -> Result<Vec<u8>, SignError>;

    /// Signs what was read of a message, as [`Self::sign`] does octets in memory. So a long revocation list is
    /// never in memory.
    ///
    /// # Errors
    ///
    /// As [`Self::sign`]; [`SignError::Module`] for a message that was read for another scheme.
    fn sign_message(&self, message: &Message) -> Result<Vec<u8>, SignError>;

    /// Signs what `tbs` gives to its end: [`Message::read`] and [`Self::sign_message`].
    ///
    /// # Errors
    ///
    /// [`SignError::Read`] if the reader fails, [`SignError::TooLong`] for a message that would
    /// have to be held and is longer than that, otherwise as [`Self::sign`].
    fn sign_reader(&self, tbs: &mut dyn io::Read) -> Result<Vec<u8>, SignError> {
        self.sign_message(&Message::read(self.scheme(), tbs)?)
    }
}

/// Draws `N` octets from the operating system's random source by way of the module's generator.
///
/// # Errors
///
/// [`KeyError::Random`] if the source gives nothing.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeyError::Random)?;
    Ok(bytes)
}

/// SHA-256 of `bytes` (FIPS 180-4).
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes)
        .as_ref()
        .try_into()
        .expect("BUG: SHA-256 gives 32 octets")
}

/// SHA-256 of what `message` gives to its end, of which 64 KiB are held at a time.
///
/// # Errors
///
/// What the reader said.
pub fn sha256_reader(message: &mut dyn io::Read) -> io::Result<[u8; 32]> {
    let digest = stream::hash(&aws_lc_rs::digest::SHA256, message)?;
    Ok(digest.as_ref().try_into().expect("BUG: SHA-256 gives 32 octets"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_abc_is_the_published_one() {
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let hex = sha256(b"abc").iter().fold(String::new(), |hex, it| hex + &format!("{it:02x}"));
        assert_eq!(hex, expected);
        assert_eq!(sha256_reader(&mut &b"abc"[..]).unwrap(), sha256(b"abc"));
    }

    #[test]
    fn random_bytes_differ_from_call_to_call() {
        assert_ne!(random_bytes::<16>().unwrap(), random_bytes::<16>().unwrap());
    }
}
