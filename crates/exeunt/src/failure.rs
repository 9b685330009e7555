//! A failed command: what happened, a stable code, and what to do about it.

use std::error::Error;
use std::fmt::Write as _;

use exeunt_keys::{KeyError, TokenError};
use exeunt_x509::is_deceptive;

/// Exit status of a command that was refused or failed.
pub const STATUS_FAILED: u8 = 1;
/// Exit status of a command whose options do not make sense.
pub const STATUS_USAGE: u8 = 2;
/// Exit status of a submission that waits for an officer.
pub const STATUS_PENDING: u8 = 3;

/// A failed command. Rendered as one line, and a line for each hint.
#[derive(Debug)]
pub struct Failure {
    /// What programs branch on; kebab-case, never renamed.
    pub code: String,
    /// What happened, and to what.
    pub message: String,
    /// Commands or facts that help, best first.
    pub hints: Vec<String>,
    /// Exit status of the process.
    pub status: u8,
}

impl Failure {
    /// A failure with a code and a message.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { code, message, hints: Vec::new(), status: STATUS_FAILED }
    }

    /// A failure whose message is an error with all its causes.
    pub fn from_error(code: impl Into<String>, error: &dyn Error) -> Self {
        Self::new(code, chain(error))
    }

    /// The options do not make sense.
    pub fn usage(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status: STATUS_USAGE, ..Self::new(code, message) }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Text for standard error; readable without colour. Control characters are shown as escapes,
    /// so that nothing that came from outside can play with a terminal.
    pub fn render(&self) -> String {
        let mut out = format!("exeunt: error[{}]: {}\n", self.code, plain(&self.message));
        for hint in &self.hints {
            writeln!(out, "exeunt: hint: {}", plain(hint))
                .expect("BUG: writing to a String cannot fail");
        }
        out
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self::from(&error)
    }
}

impl From<&KeyError> for Failure {
    fn from(error: &KeyError) -> Self {
        let failure = Self::from_error(error.code(), error);
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        let failure = Self::from_error(error.code(), &error);
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// An error and its causes, each link once, on one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(link) = cause {
        let link_text = link.to_string();
        // A transparent error shows its cause as itself.
        if !text.ends_with(&link_text) {
            text.push_str(": ");
            text.push_str(&link_text);
        }
        cause = link.source();
    }
    text
}

/// Text in which characters that could break a line or deceive its reader are written as escapes.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for it in text.chars() {
        if is_deceptive(it) { out.extend(it.escape_default()) } else { out.push(it) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_failure_is_one_line_with_its_code_and_then_hints() {
        let failure = Failure::new("store-missing", "the store is\ngone").hint("look for it");
        expect![[r"
            exeunt: error[store-missing]: the store is\ngone
            exeunt: hint: look for it
        "]]
        .assert_eq(&failure.render());
        assert_eq!(plain("a\u{202e}b\u{1b}[2Jü"), r"a\u{202e}b\u{1b}[2Jü");
    }
}
