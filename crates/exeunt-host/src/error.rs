//! Why a module process did not start, and why one had to end.

use std::{fmt, io, time::Duration};

/// Longest excerpt of foreign text in an error, in characters: one line of a log stays one line.
pub const EXCERPT_CHARS_MAX: usize = 120;

/// Longest piece of a module's last line in an error, in characters. It is the line's end that is
/// kept: after the path of a program comes what was wrong with it.
pub const LAST_WORDS_CHARS_MAX: usize = 300;

/// Why a module process did not start. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no such program. The operator corrects the path or installs the module.
    #[error("program {program} does not exist")]
    Missing {
        /// The program as looked for.
        program: String,
    },

    /// The program is there, but the operating system does not run it.
    #[error("program {program} cannot be executed: {reason}")]
    NotExecutable {
        /// The program as looked for.
        program: String,
        /// What is wrong, one clause.
        reason: String,
    },

    /// The rules that the module is to run under could not be applied, so it does not run.
    #[error("module cannot be confined: {reason}")]
    Confinement {
        /// What is wrong, one clause.
        reason: String,
    },

    /// The process ended before it had said hello.
    #[error("module ended during its hello ({status}){}", LastWords(last_words.as_deref()))]
    Exited {
        /// How it ended, for example "exit status: 1".
        status: String,
        /// Last line it wrote to standard error.
        last_words: Option<String>,
    },

    /// The process closed its standard input or output during the hello, but did not end.
    #[error("module closed its standard input or output during its hello")]
    Closed,

    /// No hello in time. The process was killed.
    #[error("module did not say hello within {} ms", .limit.as_millis())]
    HelloTimeout {
        /// The limit, [`HostLimits::hello`](crate::HostLimits::hello).
        limit: Duration,
    },

    /// What came is not the answer to a hello. The process was killed.
    #[error("module answered its hello with something else: {excerpt}")]
    HelloGarbage {
        /// The beginning of what came.
        excerpt: String,
    },

    /// The module speaks another version of the protocol. The process was killed.
    #[error("module speaks protocol {theirs}, this server speaks protocol {ours}")]
    Version {
        /// Version that the server offered.
        ours: u32,
        /// Version that the module answered with.
        theirs: u32,
    },

    /// The module answered `Initialize` with an error: its settings, mostly. The process was killed.
    #[error("module refused to start: {message}")]
    Refused {
        /// The module's own words.
        message: String,
    },

    /// The operating system failed us.
    #[error("{action} failed")]
    Io {
        /// What we were doing, as a gerund.
        action: &'static str,
        /// What the operating system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StartError {
    pub(crate) fn io(action: &'static str, source: impl Into<io::Error>) -> Self {
        Self::Io { action, source: source.into().into() }
    }

    /// Stable code for logs, metrics and API bodies. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "module-missing",
            Self::NotExecutable { .. } => "module-not-executable",
            Self::Confinement { .. } => "module-confinement",
            Self::Exited { .. } => "module-exited",
            Self::Closed => "module-closed",
            Self::HelloTimeout { .. } => "module-hello-timeout",
            Self::HelloGarbage { .. } => "module-hello-garbage",
            Self::Version { .. } => "module-version",
            Self::Refused { .. } => "module-refused",
            Self::Io { .. } => "module-io",
        }
    }
}

/// Why a running module process is no more. Its whole process group is dead and it is reaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The process ended by itself, or somebody else killed it.
    #[error("module ended ({status}){}", LastWords(last_words.as_deref()))]
    Exited {
        /// How it ended, for example "exit status: 1" or "signal: 9 (SIGKILL)".
        status: String,
        /// Last line it wrote to standard error.
        last_words: Option<String>,
    },

    /// The oldest event had no answer in time.
    #[error("module did not answer within {} ms", .limit.as_millis())]
    Deadline {
        /// The limit, [`HostLimits::event`](crate::HostLimits::event).
        limit: Duration,
    },

    /// It asks and does not read the answers.
    #[error("module did not read its answers for {} ms", .limit.as_millis())]
    Unread {
        /// The limit, [`HostLimits::event`](crate::HostLimits::event).
        limit: Duration,
    },

    /// A line on standard output is not JSON-RPC.
    #[error("module wrote something else than JSON-RPC: {excerpt}")]
    Garbage {
        /// The beginning of that line.
        excerpt: String,
    },

    /// A line on standard output does not end.
    #[error("module wrote a line longer than {limit_bytes} octets")]
    LineTooLong {
        /// The limit, [`HostLimits::line_bytes_max`](crate::HostLimits::line_bytes_max).
        limit_bytes: usize,
    },

    /// The process closed its standard input or output, but did not end.
    #[error("module closed its standard input or output")]
    Closed,

    /// The operating system failed us.
    #[error("talking to the module failed: {message}")]
    Io {
        /// What the operating system said.
        message: String,
    },
}

impl Fault {
    /// Stable code for logs, metrics and API bodies. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Exited { .. } => "module-exited",
            Self::Deadline { .. } => "module-deadline",
            Self::Unread { .. } => "module-unread",
            Self::Garbage { .. } => "module-garbage",
            Self::LineTooLong { .. } => "module-line-too-long",
            Self::Closed => "module-closed",
            Self::Io { .. } => "module-io",
        }
    }
}

/// The end of a clause that quotes the module's last line on standard error.
struct LastWords<'a>(Option<&'a str>);

impl fmt::Display for LastWords<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(line) => write!(out, ", last words: {}", line_end(line, LAST_WORDS_CHARS_MAX)),
            None => Ok(()),
        }
    }
}

/// The beginning of foreign bytes, fit for one line of a log.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    // A character has at most four octets, so the rest cannot matter.
    let bytes = &bytes[..bytes.len().min(4 * EXCERPT_CHARS_MAX + 4)];
    one_line(&String::from_utf8_lossy(bytes), EXCERPT_CHARS_MAX)
}

/// The beginning of foreign text, as one line of at most `chars_max` characters and an ellipsis.
pub(crate) fn one_line(text: &str, chars_max: usize) -> String {
    let mut chars = text.chars().map(printable);
    let mut out: String = chars.by_ref().take(chars_max).collect();
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

/// The end of foreign text, as one line of an ellipsis and at most `chars_max` characters.
fn line_end(text: &str, chars_max: usize) -> String {
    let end = text.char_indices().rev().take(chars_max).last().map_or(0, |(at, _)| at);
    let cut = if end == 0 { "" } else { "…" };
    cut.chars().chain(text[end..].chars().map(printable)).collect()
}

/// Keeps foreign text from moving the cursor, ending the line or colouring the log.
pub(crate) fn printable(it: char) -> char {
    if it.is_control() && it != '\t' { char::REPLACEMENT_CHARACTER } else { it }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_harmless() {
        assert_eq!(excerpt(b"plain"), "plain");
        assert_eq!(excerpt(b"a\x1b[31mb\r\n\xff"), "a\u{fffd}[31mb\u{fffd}\u{fffd}\u{fffd}");
        let long = excerpt("ü".repeat(1000).as_bytes());
        assert_eq!(long.chars().count(), EXCERPT_CHARS_MAX + 1);
        assert!(long.ends_with("ü…"));
    }

    #[test]
    fn of_long_last_words_the_end_is_kept() {
        let path = "/srv/modules/".repeat(40);
        let last_words = Some(format!("sh: cannot open '{path}issued.py': No such file"));
        let fault = Fault::Exited { status: "exit status: 2".into(), last_words };
        let says = fault.to_string();
        assert!(says.ends_with("/srv/modules/issued.py': No such file"), "{says}");
        assert!(says.starts_with("module ended (exit status: 2), last words: …"), "{says}");
        assert_eq!(line_end("ü".repeat(300).as_str(), 300), "ü".repeat(300));
        assert_eq!(line_end("aüb", 2), "…üb");
        assert_eq!(line_end("", 2), "");
    }

    #[test]
    fn faults_are_one_clause() {
        let exited =
            Fault::Exited { status: "exit status: 1".into(), last_words: Some("a\nb".into()) };
        assert_eq!(exited.to_string(), "module ended (exit status: 1), last words: a\u{fffd}b");
        let deadline = Fault::Deadline { limit: Duration::from_millis(250) };
        assert_eq!(deadline.to_string(), "module did not answer within 250 ms");
    }
}
