//! Why the directory did not do something, and what follows from it.

use std::time::Duration;

use exeunt_module_kit::Outcome;
use exeunt_publication::outcome;
use ldap3::LdapResult;

use crate::result_code::{self, Then};

/// Longest text of a server in a reason, in characters.
const SAID_CHARS_MAX: usize = 200;

/// Why the directory did not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// No server can be reached, or none lets us in; every server's reason.
    #[error("no server: {0}")]
    Connect(String),
    /// The connection broke off, or what came over it is no LDAP.
    #[error("{doing}: the connection broke off: {reason}")]
    Lost {
        /// What was being done.
        doing: String,
        /// What the library says.
        reason: String,
    },
    /// An operation took too long.
    #[error("{doing}: no answer within {within:?}")]
    Timeout {
        /// What was being done.
        doing: String,
        /// How long it could take.
        within: Duration,
    },
    /// The server answered, and not with success.
    #[error("{doing}: {name} ({code}){said}")]
    Answer {
        /// What was being done.
        doing: String,
        /// Result code of LDAP.
        code: u32,
        /// Its name.
        name: &'static str,
        /// What the server says beside it, after a colon; or nothing.
        said: String,
    },
    /// The server refuses a write for lack of rights or because of its schema, and this process has
    /// not seen one of its kind succeed.
    #[error("{refusal}; nothing of this kind could be written yet")]
    NeverWritten {
        /// What was being done and what the server said.
        refusal: String,
        /// Result code of LDAP.
        code: u32,
    },
    /// No time is left in this delivery.
    #[error("{doing}: no time was left before the deadline")]
    Deadline {
        /// What was to be done.
        doing: String,
    },
}

impl DirectoryError {
    /// Stable code for logs. Never renamed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Connect(_) => "directory-connect",
            Self::Lost { .. } => "directory-lost",
            Self::Timeout { .. } => "directory-timeout",
            Self::Answer { .. } => "directory-answer",
            Self::NeverWritten { .. } => "directory-never-written",
            Self::Deadline { .. } => "directory-deadline",
        }
    }

    /// What follows from it.
    pub fn then(&self) -> Then {
        match self {
            // An operator who forgot the rights mends it once for all events.
            Self::Connect(_) | Self::Deadline { .. } | Self::NeverWritten { .. } => Then::Later,
            Self::Lost { .. } | Self::Timeout { .. } => Then::Elsewhere,
            Self::Answer { code, .. } => result_code::find(*code).then,
        }
    }

    /// The result code of LDAP, where there is one.
    pub fn result_code(&self) -> Option<u32> {
        match self {
            Self::Answer { code, .. } | Self::NeverWritten { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether one of several values in a write may be the cause.
    pub fn may_be_of_one_value(&self) -> bool {
        self.then() == Then::Park || matches!(self, Self::NeverWritten { .. })
    }

    /// The outcome for an event that nothing more is done for in this delivery.
    pub fn outcome(&self) -> Outcome {
        let reason = format!("{}: {self}", self.code());
        match self.then() {
            Then::Park => outcome::park(reason),
            // Whatever the event, it would be told the same.
            Then::Elsewhere | Then::Later => outcome::target_retry(reason),
            // Who looks again and finds the same is in a race, which passes.
            Then::Look => outcome::retry(reason),
        }
    }
}

/// A server's answer that is no success.
pub fn refusal(doing: &str, result: &LdapResult) -> DirectoryError {
    let text = outcome::line(result.text.trim_end_matches('\0'));
    let said: String = text.chars().take(SAID_CHARS_MAX).collect();
    let said = if said.is_empty() { said } else { format!(": {said}") };
    let name = result_code::find(result.rc).name;
    DirectoryError::Answer { doing: doing.to_owned(), code: result.rc, name, said }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_words_are_one_line_in_a_reason() {
        let result = LdapResult {
            rc: 49,
            matched: String::new(),
            text: "80090308: LdapErr\r\n data 52e, v1db1\0".to_owned(),
            refs: Vec::new(),
            ctrls: Vec::new(),
        };
        let err = refusal("logging in", &result);
        assert_eq!(
            err.to_string(),
            "logging in: invalidCredentials (49): 80090308: LdapErr   data 52e, v1db1"
        );
        assert!(matches!(err.outcome(), Outcome::TargetDown { .. }));
    }
}
