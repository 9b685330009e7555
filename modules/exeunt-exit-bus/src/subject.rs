//! Subjects: the operator's pattern, filled in with what is in an event.

use exeunt_module_kit::Event;
use exeunt_publication::cloudevent;

/// Longest token of a subject that is filled in, in octets. NATS advises subjects below 256 octets.
pub const TOKEN_BYTES_MAX: usize = 64;

/// Longest pattern, in octets: with tokens filled in, subjects stay below the 4096 octets that a
/// server takes for a line of its protocol.
pub const PATTERN_BYTES_MAX: usize = 256;

/// What a pattern can be filled in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Ca,
    Event,
    Template,
    Subject,
    Seq,
}

const FIELDS: [(&str, Field); 5] = [
    ("ca", Field::Ca),
    ("event", Field::Event),
    ("template", Field::Template),
    ("subject", Field::Subject),
    ("seq", Field::Seq),
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Text(String),
    Field(Field),
}

/// A pattern of subjects: tokens with dots between them, each a text or one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Token>);

impl Pattern {
    /// Reads a pattern such as `exeunt.{ca}.{event}`.
    ///
    /// # Errors
    ///
    /// One line for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused = |why: &str| Err(format!("subject {text:?} {why}"));
        if PATTERN_BYTES_MAX < text.len() {
            return refused(&format!("is longer than {PATTERN_BYTES_MAX} octets"));
        }
        let mut tokens = Vec::new();
        for token in text.split('.') {
            if let Some(name) = token.strip_prefix('{').and_then(|it| it.strip_suffix('}')) {
                let Some((_, field)) = FIELDS.iter().find(|(it, _)| *it == name) else {
                    return refused(&format!(
                        "has {token}; there are {{ca}}, {{event}}, {{template}}, {{subject}} and {{seq}}"
                    ));
                };
                tokens.push(Token::Field(*field));
            } else if !token.is_empty() && token.bytes().all(plain) {
                tokens.push(Token::Text(token.to_owned()));
            } else {
                return refused(
                    "has to be tokens with dots between them: letters, digits, - and _, or a field",
                );
            }
        }
        if matches!(tokens.first(), Some(Token::Field(_))) {
            return refused("has to begin with a text, so that no requester chooses where it goes");
        }
        Ok(Self(tokens))
    }

    /// The subject of an event. `ca` is the name of the CA where the event has none.
    pub fn expand(&self, event: &Event, ca: &str) -> String {
        let tokens: Vec<String> = self
            .0
            .iter()
            .map(|token| match token {
                Token::Text(text) => text.clone(),
                Token::Field(field) => sanitized(&filled(*field, event, ca)),
            })
            .collect();
        tokens.join(".")
    }

    /// What every subject of the pattern matches, and as little else as can be said: fields become
    /// `*`.
    pub fn filter(&self) -> String {
        let tokens: Vec<&str> = self
            .0
            .iter()
            .map(|token| match token {
                Token::Text(text) => text.as_str(),
                Token::Field(_) => "*",
            })
            .collect();
        tokens.join(".")
    }
}

fn filled(field: Field, event: &Event, ca: &str) -> String {
    match field {
        Field::Ca => event.system.string("SanitizedCAName").unwrap_or(ca).to_owned(),
        Field::Event => cloudevent::word(event.event),
        Field::Template => {
            event.certificate.string("CertificateTemplate").unwrap_or_default().to_owned()
        }
        Field::Subject => event.subject.clone(),
        Field::Seq => event.seq.to_string(),
    }
}

/// Whether an octet may stand in a token as it is. Dots divide, `*` and `>` are wild, `$` begins what
/// belongs to the server.
fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// One token out of whatever somebody said: other octets become `_`, and nothing becomes one `_`.
fn sanitized(text: &str) -> String {
    let token: String = text
        .bytes()
        .take(TOKEN_BYTES_MAX)
        .map(|it| if plain(it) { char::from(it) } else { '_' })
        .collect();
    if token.is_empty() { "_".to_owned() } else { token }
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

    fn expand(pattern: &str, event: &Event) -> String {
        Pattern::parse(pattern).unwrap().expand(event, "the CA")
    }

    #[test]
    fn a_pattern_is_filled_in() {
        let event = issued_event(9, &[1]);
        assert_eq!(expand("exeunt.{ca}.{event}", &event), "exeunt.Test_CA.issued");
        assert_eq!(expand("a.{template}.{subject}.{seq}", &event), "a.WebServer.request_9.9");
    }

    #[test]
    fn whatever_somebody_says_is_one_token() {
        for said in ["a.b", ">", "*", "a b", "$SYS", "ü", "a\r\nPUB x", "", &"x".repeat(999)] {
            let mut event = issued_event(9, &[1]);
            event.certificate =
                Properties::from_iter([("CertificateTemplate", Value::String(said.to_owned()))]);
            let subject = expand("t.{template}", &event);
            let (_, token) = subject.split_once('.').unwrap();
            assert!(!token.is_empty() && token.len() <= TOKEN_BYTES_MAX, "{subject}");
            assert!(token.bytes().all(plain), "{subject}");
        }
    }

    #[test]
    fn a_pattern_that_is_none_is_refused() {
        for (text, said) in [
            ("", "has to be tokens"),
            ("a..b", "has to be tokens"),
            ("a.>", "has to be tokens"),
            ("a.*", "has to be tokens"),
            ("$JS.a", "has to be tokens"),
            ("a b", "has to be tokens"),
            ("a.x{ca}", "has to be tokens"),
            ("a.{cn}", "has {cn}; there are {ca}"),
            ("{ca}.a", "has to begin with a text"),
            (&"a".repeat(PATTERN_BYTES_MAX + 1), "is longer"),
        ] {
            let err = Pattern::parse(text).unwrap_err();
            assert!(err.starts_with("subject ") && err.contains(said), "{err}");
        }
    }

    #[test]
    fn a_filter_covers_what_it_matches() {
        let filter = Pattern::parse("exeunt.{ca}.{event}").unwrap().filter();
        assert_eq!(filter, "exeunt.*.*");
        for wide in [">", "exeunt.>", "exeunt.*.*", "*.*.*", "exeunt.*.>"] {
            assert!(covers(wide, &filter), "{wide}");
        }
        for other in ["exeunt.*", "exeunt.a.*", "exeunt.*.*.*", "other.>", "exeunt.*.*.>"] {
            assert!(!covers(other, &filter), "{other}");
        }
        assert!(!covers("a.*", "a.>"));
    }
}
