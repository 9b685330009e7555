//! Outcomes with their reasons, made from what went wrong.

use std::{error::Error, time::Duration};

use exeunt_module_kit::Outcome;

/// Longest reason, in characters. A reason is one line for the operator; a server that answers with a
/// page is cut.
pub const REASON_CHARS_MAX: usize = 500;

/// Not now; the host says when.
#[must_use]
pub fn retry(reason: impl AsRef<str>) -> Outcome {
    Outcome::Retry { after_ms: None, reason: line(reason.as_ref()) }
}

/// Not now, and not before `after`.
#[must_use]
pub fn retry_after(after: Duration, reason: impl AsRef<str>) -> Outcome {
    let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
    Outcome::Retry { after_ms: Some(after_ms), reason: line(reason.as_ref()) }
}

/// Not now, because the target can be neither reached nor used by anybody: no connection, no trust, no
/// login, no room, shutting down. However often that is said of an event, it is not parked for it. What
/// the target says of this one event is a [`retry`].
#[must_use]
pub fn target_retry(reason: impl AsRef<str>) -> Outcome {
    Outcome::TargetDown { after_ms: None, reason: line(reason.as_ref()) }
}

/// As [`target_retry`], and not before `after`.
#[must_use]
pub fn target_retry_after(after: Duration, reason: impl AsRef<str>) -> Outcome {
    let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
    Outcome::TargetDown { after_ms: Some(after_ms), reason: line(reason.as_ref()) }
}

/// Of no use until somebody has looked at it.
#[must_use]
pub fn park(reason: impl AsRef<str>) -> Outcome {
    Outcome::Park { reason: line(reason.as_ref()) }
}

/// One line of bounded length out of whatever a server said: control characters become blanks.
#[must_use]
pub fn line(text: &str) -> String {
    let blank = |it: char| if it.is_control() { ' ' } else { it };
    text.trim().chars().map(blank).take(REASON_CHARS_MAX).collect()
}

/// An error with its causes, one clause after the other.
#[must_use]
pub fn chain(err: &dyn Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        let said = err.to_string();
        // Some libraries repeat the cause in their own words.
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = err.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_of_bounded_length() {
        let said = format!("  550 no such\r\n550 user {}\0", "x".repeat(REASON_CHARS_MAX));
        let Outcome::Park { reason } = park(&said) else { panic!("it is parked") };
        assert_eq!(reason.chars().count(), REASON_CHARS_MAX);
        assert!(reason.starts_with("550 no such  550 user x") && !reason.contains('\n'));
    }

    #[test]
    fn a_chain_says_every_cause_once() {
        #[derive(Debug)]
        struct Outer(std::io::Error, &'static str);
        impl std::fmt::Display for Outer {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str(self.1)
            }
        }
        impl Error for Outer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let cause = || std::io::Error::other("refused");
        assert_eq!(chain(&Outer(cause(), "connecting")), "connecting: refused");
        assert_eq!(chain(&Outer(cause(), "connecting: refused")), "connecting: refused");
    }
}
