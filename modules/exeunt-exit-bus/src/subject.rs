//! Subjects and routing keys: the operator's pattern, and what a stream or a binding has to take
//! because of it. Both have words with dots between, and `*` for one of them.

use exeunt_module_kit::Event;
use exeunt_publication::pattern::{Pattern, Place};

/// The operator's pattern of subjects, such as `exeunt.{ca}.{event}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subjects {
    pattern: Pattern,
    filter: String,
}

impl Subjects {
    /// Reads a pattern from the setting of that name.
    ///
    /// # Errors
    ///
    /// One line for the operator.
    pub fn named(setting: &str, text: &str) -> Result<Self, String> {
        let pattern =
            Pattern::parse(text, Place::Subject).map_err(|why| format!("{setting}: {why}"))?;
        if text.starts_with('{') {
            return Err(format!(
                "{setting} {text:?} has to begin with a text, so that no requester chooses where it goes"
            ));
        }
        let tokens = text.split('.').map(|it| if it.contains('{') { "*" } else { it });
        let filter = tokens.collect::<Vec<&str>>().join(".");
        Ok(Self { pattern, filter })
    }

    /// The subject of an event.
    ///
    /// # Errors
    ///
    /// One line for the operator: the event has not what the pattern asks for.
    pub fn expand(&self, event: &Event) -> Result<String, String> {
        self.pattern.expand(event)
    }

    /// What matches every subject of the pattern, and as little else as can be said: tokens with
    /// fields become `*`.
    pub fn filter(&self) -> &str {
        &self.filter
    }
}

/// Whether everything that `wanted` matches is matched by `filter`; both may have wild tokens.
pub fn covers(filter: &str, wanted: &str) -> bool {
    let mut wanted = wanted.split('.');
    for token in filter.split('.') {
        match (token, wanted.next()) {
            (">", Some(_)) => return true,
            ("*", Some(it)) if it != ">" => (),
            (text, Some(it)) if text == it => (),
            _ => return false,
        }
    }
    wanted.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use exeunt_module_kit::{Properties, Value, testing::issued_event};

    #[test]
    fn whatever_somebody_says_is_one_token() {
        let subjects = Subjects::named("subject", "t.{template}").unwrap();
        for said in ["a.b", ">", "*", "a b", "$SYS", "ü", "a\r\nPUB x", "", &"x".repeat(999)] {
            let mut event = issued_event(9, &[1]);
            event.certificate = Properties::from_iter([
                ("CertificateTemplate", Value::String(said.to_owned())),
                ("SerialNumber", Value::String("4009".to_owned())),
            ]);
            let subject = subjects.expand(&event).unwrap();
            let (_, token) = subject.split_once('.').unwrap();
            let plain = |it: u8| it.is_ascii_graphic() && !b".*>$".contains(&it);
            assert!(!token.is_empty() && token.len() < 256, "{subject}");
            assert!(token.bytes().all(plain), "{subject}");
        }
    }

    #[test]
    fn a_pattern_that_is_none_is_refused() {
        for text in ["", "a..b", "a.>", "a.*", "$JS.a", "a b", "a.{cn}", "{ca}.a"] {
            let err = Subjects::named("subject", text).unwrap_err();
            assert!(err.starts_with("subject"), "{err}");
        }
    }

    #[test]
    fn a_filter_covers_what_it_matches() {
        let subjects = Subjects::named("subject", "exeunt.{ca}.x-{event}").unwrap();
        let filter = subjects.filter();
        assert_eq!(filter, "exeunt.*.*");
        for wide in [">", "exeunt.>", "exeunt.*.*", "*.*.*", "exeunt.*.>"] {
            assert!(covers(wide, filter), "{wide}");
        }
        for other in ["exeunt.*", "exeunt.a.*", "exeunt.*.*.*", "other.>", "exeunt.*.*.>"] {
            assert!(!covers(other, filter), "{other}");
        }
        assert!(!covers("a.*", "a.>"));
    }
}
