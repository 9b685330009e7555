//! What can go wrong with keys, signatures and the files that hold secrets.

use std::{error::Error, io, path::PathBuf};

use exeunt_types::{KeyAlgorithm, SignatureScheme};

use crate::stream::ReadError;

/// A foreign error, for the chain only.
pub(crate) type Source = Box<dyn Error + Send + Sync>;

/// Why a key or a secret could not be made, read or written.
///
/// No variant carries secret material, and no source does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The random source gave nothing. Nothing that needs a key can go on.
    #[error("no randomness to be had")]
    Random,

    /// The cryptographic module did not make a key pair.
    #[error("generating a key pair failed")]
    Generate {
        /// What the module said.
        source: Source,
    },

    /// The key or its encryption is of a kind that Exeunt does not handle.
    #[error("{what} is not supported")]
    Unsupported {
        /// The unsupported thing, as a noun phrase.
        what: String,
    },

    /// The passphrase does not open the key, or the encrypted octets were damaged: an encryption
    /// without a checksum cannot tell the two apart.
    #[error("the passphrase does not open the key")]
    WrongPassphrase,

    /// The passphrase is empty, too long, not text, or of more than one line.
    #[error("the passphrase is not usable: {reason}")]
    PassphraseUnusable {
        /// The broken rule, as a clause.
        reason: &'static str,
    },

    /// The text holds a private key that nobody encrypted.
    #[error("the private key is not encrypted")]
    NotEncrypted,

    /// The octets are no key: wrong PEM, wrong DER, or numbers that do not fit each other.
    #[error("the key is malformed")]
    Malformed {
        /// What the parser said.
        source: Source,
    },

    /// The key could not be turned into octets.
    #[error("encoding the key failed")]
    Encode {
        /// What the encoder said.
        source: Source,
    },

    /// There is no such file.
    #[error("{} does not exist", path.display())]
    FileMissing {
        /// The file asked for.
        path: PathBuf,
    },

    /// There is such a file already, and a secret is never overwritten.
    #[error("{} exists already", path.display())]
    FileExists {
        /// The file to be made.
        path: PathBuf,
    },

    /// The group or everybody may read or write the file.
    #[error("{} is open to others (mode {mode:04o})", path.display())]
    FileReadableByOthers {
        /// The file asked for.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },

    /// The path is a symbolic link to a file of another user.
    #[error("{} is a link to a file of user {owner}", path.display())]
    FileOfAnother {
        /// The link.
        path: PathBuf,
        /// Numeric id of the owner of what the link leads to.
        owner: u32,
    },

    /// A directory, a device, a pipe or the like.
    #[error("{} is not a regular file", path.display())]
    FileNotRegular {
        /// What was asked for.
        path: PathBuf,
    },

    /// Longer than [`SECRET_BYTES_MAX`](crate::secret_file::SECRET_BYTES_MAX).
    #[error("{} is too large for a secret", path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
    },

    /// The operating system refused.
    #[error("{action} {} failed", path.display())]
    FileIo {
        /// What was being done, as a gerund.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl KeyError {
    /// Stable code for logs and answers. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Random => "key-random",
            Self::Generate { .. } => "key-generate",
            Self::Unsupported { .. } => "key-unsupported",
            Self::WrongPassphrase => "key-wrong-passphrase",
            Self::PassphraseUnusable { .. } => "key-passphrase-unusable",
            Self::NotEncrypted => "key-not-encrypted",
            Self::Malformed { .. } => "key-malformed",
            Self::Encode { .. } => "key-encode",
            Self::FileMissing { .. } => "key-file-missing",
            Self::FileExists { .. } => "key-file-exists",
            Self::FileReadableByOthers { .. } => "key-file-readable-by-others",
            Self::FileOfAnother { .. } => "key-file-of-another",
            Self::FileNotRegular { .. } => "key-file-not-regular",
            Self::FileTooLarge { .. } => "key-file-too-large",
            Self::FileIo { .. } => "key-file-io",
        }
    }

    /// A command that would help the operator, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::FileReadableByOthers { path, .. } => {
                Some(format!("chmod 600 {}", shell_word(&path.to_string_lossy())))
            }
            Self::FileExists { .. } => {
                Some("choose another name: a secret is never written over".to_owned())
            }
            Self::NotEncrypted => {
                Some("openssl pkcs8 -topk8 -scrypt -in PLAIN.pem -out ENCRYPTED.pem".to_owned())
            }
            _ => None,
        }
    }
}

/// Quotes what a shell would otherwise take apart, so that the hint can be pasted.
fn shell_word(text: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "/._-+:@%,".contains(it);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Why no signature was made. None exists after any of these.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The cryptographic module refused or failed.
    #[error("signing with a key of type {} failed", algorithm.name())]
    Module {
        /// Algorithm of the key.
        algorithm: KeyAlgorithm,
        /// What the module said.
        source: Source,
    },

    /// The token with the key does not answer, or is not plugged in. It is looked for again at the
    /// next signature.
    #[error("the {token} is missing or does not answer")]
    TokenMissing {
        /// Which one.
        token: String,
        /// What is known about it.
        source: Source,
    },

    /// The token with the key asked for the PIN again and did not take it. It is not tried again
    /// before the key is opened anew.
    #[error("the {token} does not take its PIN any more")]
    TokenPin {
        /// Which one.
        token: String,
        /// What is known about it.
        source: Source,
    },

    /// What was to be signed could not be read to its end.
    #[error("reading what is to be signed failed")]
    Read {
        /// What the reader said.
        source: io::Error,
    },

    /// The key takes the message as a whole, and it is longer than
    /// [`WHOLE_MESSAGE_BYTES_MAX`](crate::WHOLE_MESSAGE_BYTES_MAX).
    #[error("what is to be signed is too long to be signed as a whole")]
    TooLong,
}

impl From<ReadError> for SignError {
    fn from(err: ReadError) -> Self {
        match err {
            ReadError::TooLong => Self::TooLong,
            ReadError::Io(source) => Self::Read { source },
        }
    }
}

impl SignError {
    /// Stable code for logs and answers. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Module { .. } => "sign-module",
            Self::TokenMissing { .. } => "sign-token-missing",
            Self::TokenPin { .. } => "sign-token-pin",
            Self::Read { .. } => "sign-read",
            Self::TooLong => "sign-too-long",
        }
    }
}

/// Why a signature was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The key cannot sign with that scheme, or its size is outside what Exeunt verifies.
    #[error("a key of type {} does not go with {}", key.name(), scheme.name())]
    Unsupported {
        /// Algorithm that the caller named.
        key: KeyAlgorithm,
        /// Scheme that the caller named.
        scheme: SignatureScheme,
    },

    /// The octets are no public key of the algorithm that the caller named.
    #[error("the public key is malformed")]
    PublicKey,

    /// The signature is not that of the message under the key.
    #[error("the signature is not valid")]
    Signature,

    /// The message could not be read to its end.
    #[error("reading what was signed failed: {kind}")]
    Read {
        /// What the reader said.
        kind: io::ErrorKind,
    },

    /// The scheme takes the message as a whole, and it is longer than
    /// [`WHOLE_MESSAGE_BYTES_MAX`](crate::WHOLE_MESSAGE_BYTES_MAX).
    #[error("what was signed is too long to be verified as a whole")]
    TooLong,
}

impl From<ReadError> for VerifyError {
    fn from(err: ReadError) -> Self {
        match err {
            ReadError::TooLong => Self::TooLong,
            ReadError::Io(source) => Self::Read { kind: source.kind() },
        }
    }
}

impl VerifyError {
    /// Stable code for logs and answers. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unsupported { .. } => "verify-unsupported",
            Self::PublicKey => "verify-public-key",
            Self::Signature => "verify-signature",
            Self::Read { .. } => "verify-read",
            Self::TooLong => "verify-too-long",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_is_a_command_that_a_shell_takes_as_one_path() {
        let hint = |path: &str| {
            KeyError::FileReadableByOthers { path: path.into(), mode: 0o644 }.hint().unwrap()
        };
        assert_eq!(hint("/var/lib/ca/ca.key"), "chmod 600 /var/lib/ca/ca.key");
        assert_eq!(hint("/tmp/it's; rm"), r"chmod 600 '/tmp/it'\''s; rm'");
    }
}
