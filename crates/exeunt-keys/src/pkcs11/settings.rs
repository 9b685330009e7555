//! Where a key in a token is: module, token, key, and where its PIN comes from.

use std::{env, fmt, path::PathBuf};

use zeroize::Zeroizing;

use super::TokenError;
use crate::secret_file;

/// Longest PIN, in octets of UTF-8; the tokens in use take 4 to 255.
pub const PIN_BYTES_MAX: usize = 255;

/// Where a key in a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// The library of the token's maker, or of `SoftHSM`. Never searched for: a path.
    pub module: PathBuf,
    /// The token.
    pub token: TokenName,
    /// The key in it.
    pub key: KeyName,
    /// Where the PIN of the token's user comes from.
    pub pin: PinSource,
}

/// What a token is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenName {
    /// Its label, without the blanks that fill it up to 32 octets.
    Label(String),
    /// The serial number that its maker gave it.
    Serial(String),
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(f, "token labelled {label:?}"),
            Self::Serial(serial) => write!(f, "token of serial number {serial:?}"),
        }
    }
}

/// What a private key in a token is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyName {
    /// `CKA_LABEL`.
    Label(String),
    /// `CKA_ID`.
    Id(Vec<u8>),
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(f, "private key labelled {label:?}"),
            Self::Id(id) => write!(f, "private key of id {}", exeunt_types::hexadecimal(id)),
        }
    }
}

/// Where a PIN comes from. Holds no secret itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinSource {
    /// A file of one line that nobody but its owner can read, see [`secret_file::read`].
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
}

impl PinSource {
    pub(super) fn read(&self) -> Result<Pin, TokenError> {
        match self {
            Self::File(path) => {
                let bytes =
                    secret_file::read(path).map_err(|source| TokenError::PinFile { source })?;
                Pin::from_file_content(&bytes)
            }
            Self::Variable(name) => match env::var(name) {
                Ok(text) => Pin::new(Zeroizing::new(text)),
                Err(env::VarError::NotPresent) => {
                    Err(TokenError::PinMissing { variable: name.clone() })
                }
                Err(env::VarError::NotUnicode(_)) => {
                    Err(TokenError::PinUnusable { reason: "it is not UTF-8" })
                }
            },
        }
    }
}

/// A PIN, wiped when dropped.
pub(super) struct Pin(Zeroizing<String>);

impl Pin {
    fn new(text: Zeroizing<String>) -> Result<Self, TokenError> {
        let unusable = |reason| Err(TokenError::PinUnusable { reason });
        match text.len() {
            0 => return unusable("it is empty"),
            len if PIN_BYTES_MAX < len => return unusable("it is too long"),
            _ => (),
        }
        if text.contains(['\n', '\r', '\0']) {
            return unusable("it has more than one line");
        }
        Ok(Self(text))
    }

    /// One line ending at the end does not count.
    fn from_file_content(bytes: &[u8]) -> Result<Self, TokenError> {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Ok(text) = str::from_utf8(line) else {
            return Err(TokenError::PinUnusable { reason: "it is not UTF-8" });
        };
        Self::new(Zeroizing::new(text.to_owned()))
    }

    /// For the module; wiped when dropped, like this.
    pub(super) fn for_module(&self) -> cryptoki::types::AuthPin {
        // A copy of exactly its length: turning it into the other type leaves nothing behind.
        self.0.as_str().to_owned().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_single_line_of_text_is_no_pin() {
        let long = vec![b'1'; PIN_BYTES_MAX + 1];
        for bytes in [&b""[..], b"\n", b"12\n34", b"12\0", b"\xff", &long] {
            let err = Pin::from_file_content(bytes).err().map(|it| it.code());
            assert_eq!(err, Some("token-pin-unusable"));
        }
        assert!(Pin::from_file_content(&long[1..]).is_ok());
        assert!(Pin::from_file_content(b"1234\r\n").is_ok_and(|it| it.0.as_str() == "1234"));
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let source = PinSource::Variable("EXEUNT_TEST_NO_SUCH_VARIABLE".to_owned());
        let err = source.read().err().map(|it| it.to_string()).unwrap_or_default();
        assert_eq!(err, "the variable EXEUNT_TEST_NO_SUCH_VARIABLE for the PIN is not set");
    }
}
