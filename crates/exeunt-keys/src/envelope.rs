//! Private keys in encrypted messages: sealing one for those who may open it, and opening one that was
//! sealed for a key of ours. In which messages they travel is not known here.
//!
//! What is sealed is a PKCS #8; what is opened may also be the `PRIVATEKEYBLOB` of the original's clients.
//! Neither leaves this crate as octets.

use std::fmt;

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512,
    OaepPrivateDecryptingKey, OaepPublicEncryptingKey, Pkcs1PrivateDecryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey,
};
use exeunt_types::{ContentCipher, KeyAlgorithm, KeyTransport};
use zeroize::Zeroizing;

use crate::{KeyError, SigningKey as _, SoftwareKey, private_blob, random_bytes, verify};

/// Octets of a block of AES.
const BLOCK_OCTETS: usize = 16;
/// How contents are sealed here.
const CIPHER: ContentCipher = ContentCipher::Aes256Cbc;
/// How their keys are sealed here.
const TRANSPORT: KeyTransport = KeyTransport::RsaOaepSha256;

/// An encrypted private key, and the key that opens it until it is dropped.
///
/// Its `Debug` shows nothing of either.
pub struct SealedKey {
    content_key: Zeroizing<[u8; 32]>,
    iv: [u8; BLOCK_OCTETS],
    content: Vec<u8>,
}

impl SealedKey {
    /// How the content is encrypted.
    #[must_use]
    pub fn cipher(&self) -> ContentCipher {
        CIPHER
    }

    /// What begins the chain of blocks.
    #[must_use]
    pub fn iv(&self) -> [u8; BLOCK_OCTETS] {
        self.iv
    }

    /// The encrypted private key.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// The content's key, encrypted to an RSA key (DER `SubjectPublicKeyInfo`), and how.
    ///
    /// # Errors
    ///
    /// [`KeyError::Unsupported`] if that is no RSA key that can be encrypted to.
    pub fn wrap_for(&self, spki_der: &[u8]) -> Result<(KeyTransport, Vec<u8>), KeyError> {
        let wrap = || -> Result<Vec<u8>, Unspecified> {
            let key = PublicEncryptingKey::from_der(spki_der).map_err(|_rejected| Unspecified)?;
            let key = OaepPublicEncryptingKey::new(key)?;
            let mut wrapped = vec![0; key.ciphertext_size()];
            let algorithm = &OAEP_SHA256_MGF1SHA256;
            let len = key.encrypt(algorithm, &self.content_key[..], &mut wrapped, None)?.len();
            wrapped.truncate(len);
            Ok(wrapped)
        };
        let what = || "encrypting to a key that is not RSA with 2048 to 8192 bits".to_owned();
        wrap()
            .map(|it| (TRANSPORT, it))
            .map_err(|_unspecified| KeyError::Unsupported { what: what() })
    }
}

impl fmt::Debug for SealedKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SealedKey(..)")
    }
}

impl SoftwareKey {
    /// Encrypts the private key with a fresh key of AES-256, for archiving.
    ///
    /// # Errors
    ///
    /// [`KeyError::Random`], [`KeyError::Encode`].
    pub fn seal(&self) -> Result<SealedKey, KeyError> {
        let content_key = Zeroizing::new(random_bytes::<32>()?);
        let iv = random_bytes::<BLOCK_OCTETS>()?;
        let pkcs8 = self.to_pkcs8()?;
        // Room for the padding: a buffer that grows leaves its beginnings behind in freed memory.
        let mut content = Zeroizing::new(Vec::with_capacity(pkcs8.len() + BLOCK_OCTETS));
        content.extend_from_slice(&pkcs8);
        let encrypted = UnboundCipherKey::new(&AES_256, &content_key[..])
            .and_then(PaddedBlockEncryptingKey::cbc_pkcs7)
            .and_then(|key| {
                let start = EncryptionContext::Iv128(FixedLength::from(&iv));
                key.less_safe_encrypt(&mut *content, start)
            });
        encrypted.map_err(|source| KeyError::Encode { source: source.into() })?;
        Ok(SealedKey { content_key, iv, content: std::mem::take(&mut *content) })
    }

    /// A key that opens what was sealed for this one.
    ///
    /// # Errors
    ///
    /// [`KeyError::Unsupported`] if it is no RSA key.
    pub fn opener(&self) -> Result<OpeningKey, KeyError> {
        let KeyAlgorithm::Rsa { .. } = self.algorithm() else {
            let what = format!("opening with a key of type {}", self.algorithm().name());
            return Err(KeyError::Unsupported { what });
        };
        let key = PrivateDecryptingKey::from_pkcs8(&self.to_pkcs8()?)
            .map_err(|source| KeyError::Malformed { source: source.into() })?;
        Ok(OpeningKey(key))
    }
}

/// What an encrypted message says of its content, for one of its recipients.
#[derive(Clone, Copy, Debug)]
pub struct Sealed<'a> {
    /// How the content's key is encrypted.
    pub transport: KeyTransport,
    /// The content's key, encrypted.
    pub encrypted_key: &'a [u8],
    /// How the content is encrypted.
    pub cipher: ContentCipher,
    /// What begins the chain of blocks.
    pub iv: &'a [u8; BLOCK_OCTETS],
    /// The encrypted content.
    pub content: &'a [u8],
}

/// An RSA key that opens what was encrypted to it. The module wipes it when it is dropped.
pub struct OpeningKey(PrivateDecryptingKey);

impl OpeningKey {
    /// Opens a private key that was sealed for this one; none where anything is wrong.
    ///
    /// It never says what. Who could tell a bad padding of the key from one of the content, or from a
    /// content that is no key, could have us decrypt what they caught (Bleichenbacher 1998, Vaudenay
    /// 2002). Where the content's key cannot be decrypted the work goes on with a random one (RFC 3218,
    /// section 2.3.2).
    #[must_use]
    pub fn open(&self, sealed: &Sealed<'_>) -> Option<SoftwareKey> {
        let content_key = self.content_key(sealed).ok()?;
        let content = decrypt(&content_key, sealed).ok()?;
        read_private_key(&content).filter(is_whole)
    }

    /// The content's key, or a random one.
    fn content_key(&self, sealed: &Sealed<'_>) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let wanted = sealed.cipher.key_octets();
        let random = Zeroizing::new(random_bytes::<32>().map_err(|_random| Unspecified)?);
        let mut opened = Zeroizing::new(vec![0; self.0.key_size_bytes()]);
        let key = self.0.clone();
        let encrypted = sealed.encrypted_key;
        let len = match sealed.transport {
            KeyTransport::RsaPkcs1 => Pkcs1PrivateDecryptingKey::new(key)?
                .decrypt(encrypted, &mut opened)
                .map(|it| it.len()),
            KeyTransport::RsaOaepSha1
            | KeyTransport::RsaOaepSha256
            | KeyTransport::RsaOaepSha384
            | KeyTransport::RsaOaepSha512 => {
                let algorithm = match sealed.transport {
                    KeyTransport::RsaOaepSha256 => &OAEP_SHA256_MGF1SHA256,
                    KeyTransport::RsaOaepSha384 => &OAEP_SHA384_MGF1SHA384,
                    KeyTransport::RsaOaepSha512 => &OAEP_SHA512_MGF1SHA512,
                    _ => &OAEP_SHA1_MGF1SHA1,
                };
                OaepPrivateDecryptingKey::new(key)?
                    .decrypt(algorithm, encrypted, &mut opened, None)
                    .map(|it| it.len())
            }
        };
        let is_good = len.is_ok_and(|it| it == wanted);
        let chosen: &[u8] = if is_good { &opened } else { &random[..] };
        Ok(Zeroizing::new(chosen[..wanted].to_vec()))
    }
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("OpeningKey(..)")
    }
}

fn decrypt(key: &[u8], sealed: &Sealed<'_>) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    let algorithm = match sealed.cipher {
        ContentCipher::Aes128Cbc => &AES_128,
        ContentCipher::Aes192Cbc => &AES_192,
        ContentCipher::Aes256Cbc => &AES_256,
    };
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(algorithm, key)?)?;
    let mut content = Zeroizing::new(sealed.content.to_vec());
    let start = DecryptionContext::Iv128(FixedLength::from(sealed.iv));
    let len = key.decrypt(&mut content, start)?.len();
    content.truncate(len);
    Ok(content)
}

fn read_private_key(octets: &[u8]) -> Option<SoftwareKey> {
    let pkcs8 = match private_blob::to_pkcs8(octets) {
        Some(pkcs8) => pkcs8,
        None => Zeroizing::new(octets.to_vec()),
    };
    SoftwareKey::from_pkcs8(&pkcs8).ok()
}

/// Whether the private half does what the public half expects of it. An archive of keys that do not work
/// would be found out on the day on which one is needed.
fn is_whole(key: &SoftwareKey) -> bool {
    const TRIED: &[u8] = b"is this key whole?";
    let signature = key.sign(TRIED);
    let verifies = |signature: Vec<u8>| {
        verify(key.public_key_der(), key.algorithm(), key.scheme(), TRIED, &signature).is_ok()
    };
    signature.is_ok_and(verifies)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rsa() -> SoftwareKey {
        SoftwareKey::generate(KeyAlgorithm::Rsa { bits: 2048 }).unwrap()
    }

    #[test]
    fn a_sealed_key_of_every_kind_is_opened_by_its_recipient_and_by_nobody_else() {
        let (recipient, other) = (rsa(), rsa());
        let kinds = KeyAlgorithm::KEY_TYPES.into_iter();
        // The larger ones of RSA take their time to make.
        for kind in kinds.filter(|it| !matches!(it, KeyAlgorithm::Rsa { bits } if *bits > 2048)) {
            let key = SoftwareKey::generate(kind).unwrap();
            let sealed = key.seal().unwrap();
            let (transport, encrypted_key) = sealed.wrap_for(recipient.public_key_der()).unwrap();
            let of_message = Sealed {
                transport,
                encrypted_key: &encrypted_key,
                cipher: sealed.cipher(),
                iv: &sealed.iv(),
                content: sealed.content(),
            };
            let opened = recipient.opener().unwrap().open(&of_message).unwrap();
            assert_eq!(opened.public_key_der(), key.public_key_der());
            assert!(other.opener().unwrap().open(&of_message).is_none());
        }
    }

    #[test]
    fn whatever_is_changed_opens_nothing() {
        let recipient = rsa();
        let opener = recipient.opener().unwrap();
        let sealed = SoftwareKey::generate(KeyAlgorithm::EcdsaP256).unwrap().seal().unwrap();
        let (transport, encrypted_key) = sealed.wrap_for(recipient.public_key_der()).unwrap();
        let good = Sealed {
            transport,
            encrypted_key: &encrypted_key,
            cipher: sealed.cipher(),
            iv: &sealed.iv(),
            content: sealed.content(),
        };
        assert!(opener.open(&good).is_some());
        let last = &sealed.content()[..sealed.content().len() - BLOCK_OCTETS];
        for bad in [
            Sealed { transport: KeyTransport::RsaPkcs1, ..good },
            Sealed { transport: KeyTransport::RsaOaepSha1, ..good },
            Sealed { cipher: ContentCipher::Aes128Cbc, ..good },
            Sealed { iv: &[0; BLOCK_OCTETS], ..good },
            Sealed { encrypted_key: &[0; 256], ..good },
            Sealed { encrypted_key: &[], ..good },
            Sealed { content: last, ..good },
            Sealed { content: &[0; 160], ..good },
        ] {
            assert!(opener.open(&bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_key_that_is_not_rsa_neither_opens_nor_is_sealed_for() {
        let key = SoftwareKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        assert_eq!(key.opener().unwrap_err().code(), "key-unsupported");
        let sealed = key.seal().unwrap();
        assert_eq!(sealed.wrap_for(key.public_key_der()).unwrap_err().code(), "key-unsupported");
    }

    #[test]
    fn debug_shows_nothing_of_a_sealed_key() {
        let sealed = SoftwareKey::generate(KeyAlgorithm::EcdsaP256).unwrap().seal().unwrap();
        assert_eq!(format!("{sealed:?}"), "SealedKey(..)");
        assert_eq!(format!("{:?}", rsa().opener().unwrap()), "OpeningKey(..)");
    }
}
