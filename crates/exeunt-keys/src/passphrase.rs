//! The word that opens a key at rest.

use std::fmt;

use zeroize::Zeroizing;

use crate::{KeyError, random_bytes};

/// A passphrase: one line of text, 1 to [`Self::BYTES_MAX`] octets, wiped when dropped.
///
/// Its `Debug` shows nothing of it.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Longest passphrase, in octets of UTF-8: what `openssl` reads from a file as one line
    /// (`APP_PASS_LEN` in its sources).
    pub const BYTES_MAX: usize = 1024;

    /// Letters and digits that no reader confuses; 32 of them, so that each carries five bits.
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

    /// Takes a passphrase that somebody typed or configured.
    ///
    /// # Errors
    ///
    /// [`KeyError::PassphraseUnusable`] if it is empty, too long or of more than one line.
    pub fn new(text: impl Into<String>) -> Result<Self, KeyError> {
        let text = Zeroizing::new(text.into());
        let unusable = |reason| Err(KeyError::PassphraseUnusable { reason });
        match text.len() {
            0 => return unusable("it is empty"),
            len if Self::BYTES_MAX < len => return unusable("it is too long"),
            _ => (),
        }
        // Every tool that takes a passphrase from a file reads one line of it.
        if text.contains(['\n', '\r', '\0']) {
            return unusable("it has more than one line");
        }
        Ok(Self(text))
    }

    /// Takes the content of a passphrase file; one line ending at its end does not count.
    ///
    /// # Errors
    ///
    /// [`KeyError::PassphraseUnusable`] as [`Self::new`], or if the octets are not UTF-8.
    pub fn from_file_content(bytes: &[u8]) -> Result<Self, KeyError> {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Ok(text) = str::from_utf8(line) else {
            return Err(KeyError::PassphraseUnusable { reason: "it is not UTF-8" });
        };
        Self::new(text)
    }

    /// Draws a passphrase of 160 random bits: eight groups of four letters or digits.
    ///
    /// # Errors
    ///
    /// [`KeyError::Random`] if there is no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let random = Zeroizing::new(random_bytes::<32>()?);
        // Sized beforehand: a string that grows leaves its beginnings behind in freed memory.
        let mut text = Zeroizing::new(String::with_capacity(2 * random.len()));
        for (at, byte) in random.iter().enumerate() {
            if at % 4 == 0 && at != 0 {
                text.push('-');
            }
            text.push(char::from(Self::ALPHABET[usize::from(byte % 32)]));
        }
        Ok(Self(text))
    }

    /// The text itself, for the file or the terminal that has to get it. Never log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_passphrase_is_printable_and_never_the_same() {
        let one = Passphrase::generate().unwrap();
        let two = Passphrase::generate().unwrap();
        assert_ne!(one.expose(), two.expose());
        let groups: Vec<&str> = one.expose().split('-').collect();
        assert_eq!(groups.len(), 8);
        assert!(groups.iter().all(|it| it.len() == 4));
        assert!(one.expose().bytes().all(|it| it == b'-' || it.is_ascii_alphanumeric()));
    }

    #[test]
    fn the_alphabet_has_no_letter_twice() {
        let letters: std::collections::BTreeSet<u8> =
            Passphrase::ALPHABET.iter().copied().collect();
        assert_eq!(letters.len(), 32);
    }

    #[test]
    fn debug_shows_nothing_of_it() {
        let passphrase = Passphrase::new("open sesame").unwrap();
        assert_eq!(format!("{passphrase:?}"), "Passphrase(..)");
    }

    #[test]
    fn a_file_may_end_its_line_in_any_way() {
        for bytes in [&b"sesame"[..], b"sesame\n", b"sesame\r\n"] {
            assert_eq!(Passphrase::from_file_content(bytes).unwrap().expose(), "sesame");
        }
    }

    #[test]
    fn what_is_no_single_line_of_text_is_refused() {
        let long = vec![b'x'; Passphrase::BYTES_MAX + 1];
        for bytes in [&b""[..], b"\n", b"two\nlines", b"nul\0", b"\xff", &long] {
            let err = Passphrase::from_file_content(bytes).unwrap_err();
            assert_eq!(err.code(), "key-passphrase-unusable");
        }
        assert!(Passphrase::from_file_content(&long[1..]).is_ok());
    }
}
