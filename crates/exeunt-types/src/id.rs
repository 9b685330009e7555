//! A type per id, so that no two of them can be mixed up.

use std::fmt;

/// Row number of a request; 1 and up, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Place of an event in the log: 1 and up, in commit order, gap-free but for the numbers that a restored
/// store leaves out. 0 is "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventSeq(pub u64);

impl EventSeq {
    /// The next place in the log.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for EventSeq {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// What an event is about. Events with the same key reach a module in order; a held one holds back
/// the later ones of its key and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SubjectKey {
    /// A request, and the certificate that came of it.
    Request(RequestId),
    /// The server itself: start, stop, heartbeat.
    Server,
    /// The revocation lists.
    Crl,
    /// The CA's own certificates and keys.
    Ca,
}

impl fmt::Display for SubjectKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(request) => write!(out, "request:{request}"),
            Self::Server => out.write_str("server"),
            Self::Crl => out.write_str("crl"),
            Self::Ca => out.write_str("ca"),
        }
    }
}

/// Name of a configured exit module: 1 to 64 characters of `a-z`, `0-9` and `-`, starting with a
/// letter. It is a key in the store and a part of log lines, so it is kept plain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExitName(String);

/// Why a text is not an [`ExitName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("module name {0:?} is not 1 to 64 characters of a-z, 0-9 and '-', starting with a letter")]
pub struct ExitNameError(String);

impl ExitName {
    /// Longest name, in characters.
    pub const LENGTH_MAX: usize = 64;

    /// Checks and keeps a name.
    ///
    /// # Errors
    ///
    /// [`ExitNameError`] shows the text and the rule.
    pub fn parse(text: &str) -> Result<Self, ExitNameError> {
        let plain = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
        let starts_well = text.starts_with(|it: char| it.is_ascii_lowercase());
        if starts_well && text.len() <= Self::LENGTH_MAX && text.chars().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ExitNameError(text.chars().take(Self::LENGTH_MAX).collect()))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExitName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_name_is_plain_text() {
        for good in ["a", "file", "file-2", &"x".repeat(64)] {
            assert_eq!(ExitName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "1a", "File", "a b", "a/b", "ä", &"x".repeat(65)] {
            assert!(ExitName::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
