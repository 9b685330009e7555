//! Private keys that are kept for the day on which they are lost: how they are encrypted, what the store
//! holds of them, and who asks for one back.

use crate::{RequestId, UnixMillis};

/// How the key of a message's content is encrypted to a recipient's RSA key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyTransport {
    /// RSAES-PKCS1-v1_5 (RFC 8017, section 7.2): what the original's clients use.
    RsaPkcs1,
    /// RSAES-OAEP (RFC 8017, section 7.1) with SHA-1.
    RsaOaepSha1,
    /// RSAES-OAEP with SHA-256.
    RsaOaepSha256,
    /// RSAES-OAEP with SHA-384.
    RsaOaepSha384,
    /// RSAES-OAEP with SHA-512.
    RsaOaepSha512,
}

/// How the content of a message is encrypted: AES in cipher block chaining (RFC 3565).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentCipher {
    /// With a key of 128 bits.
    Aes128Cbc,
    /// With a key of 192 bits.
    Aes192Cbc,
    /// With a key of 256 bits.
    Aes256Cbc,
}

impl ContentCipher {
    /// Length of its key in octets.
    #[must_use]
    pub fn key_octets(self) -> usize {
        match self {
            Self::Aes128Cbc => 16,
            Self::Aes192Cbc => 24,
            Self::Aes256Cbc => 32,
        }
    }
}

/// A subscriber's private key as the store keeps it. The CA cannot open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedKey {
    /// SHA-1 of each certificate of a recovery agent that it is encrypted to, in hexadecimal.
    pub agents: Vec<String>,
    /// CMS `EnvelopedData` around a PKCS #8, DER.
    pub blob: Vec<u8>,
}

/// An archived key with where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedKeyRecord {
    /// The request that brought it.
    pub request: RequestId,
    /// When it was archived.
    pub at: UnixMillis,
    /// The key.
    pub key: ArchivedKey,
}

/// Somebody asks for a key back, and somebody else agrees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecovery {
    /// Its number; 1 and up.
    pub id: u64,
    /// The request whose key is wanted.
    pub request: RequestId,
    /// Why, in the words of who asks.
    pub reason: String,
    /// Who asked.
    pub asked_by: String,
    /// When.
    pub asked: UnixMillis,
    /// After this moment it is worth nothing.
    pub expires: UnixMillis,
    /// Who agreed, and when.
    pub approved: Option<(String, UnixMillis)>,
    /// When the key was fetched last.
    pub fetched: Option<UnixMillis>,
}

/// Why a recovery does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryRefusal {
    /// There is none with that number.
    Unknown,
    /// Its time is over.
    Expired,
    /// Who agrees is who asked.
    SamePerson,
    /// Somebody agreed already.
    AlreadyApproved,
    /// Nobody has agreed yet.
    NotApproved,
    /// Who fetches neither asked nor agreed.
    Stranger,
}
