//! Filters and names with `{words}` in them, which an event's properties are put in for.
//!
//! What is put in is escaped for the place where it stands, so that nobody's name becomes a piece of
//! a filter (RFC 4515) or of a distinguished name (RFC 4514).

use std::fmt;

use exeunt_module_kit::Event;
use exeunt_publication::{
    certificate::Certificate,
    url::{escape_dn_value, escape_filter_value},
};

/// Most characters of a value that is put in. A name in a certificate has 64 (RFC 5280, appendix
/// A.1), a mail address 254.
pub const WORD_CHARS_MAX: usize = 256;

/// What can stand between braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The requester's name as the CA knows it.
    Requester,
    /// The same without `DOMAIN\` before it and `@domain` after it.
    Account,
    /// The user principal name in the certificate.
    Upn,
    /// The mail address in the certificate: among the alternative names, or in the subject.
    Mail,
    /// The common name in the certificate.
    CommonName,
    /// The first DNS name in the certificate.
    Dns,
    /// The whole subject. It stands alone, and for a distinguished name only.
    Subject,
}

const WORDS: [(&str, Word); 7] = [
    ("requester", Word::Requester),
    ("account", Word::Account),
    ("upn", Word::Upn),
    ("mail", Word::Mail),
    ("cn", Word::CommonName),
    ("dns", Word::Dns),
    ("subject", Word::Subject),
];

impl fmt::Display for Word {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = WORDS.iter().find_map(|(name, it)| (it == self).then_some(*name));
        write!(out, "{{{}}}", name.unwrap_or_default())
    }
}

impl Word {
    /// What an event and its certificate say for it; `None` where they say nothing, or nothing that
    /// is one line.
    fn value(self, event: &Event, certificate: &Certificate) -> Option<String> {
        let requester = || event.request.string("RequesterName").ok();
        let value = match self {
            Self::Requester => requester()?,
            Self::Account => account(requester()?),
            Self::Upn => certificate.user_principal_names().first()?,
            Self::Mail => match certificate.emails().first() {
                Some(mail) => mail,
                None => event.certificate.string("EMail").ok()?,
            },
            Self::CommonName => certificate.common_name()?,
            Self::Dns => certificate.dns_names().first()?,
            Self::Subject => certificate.subject_text(),
        };
        fits(self, value).then(|| value.to_owned())
    }
}

/// Whether a value is one line of bounded length.
fn fits(word: Word, value: &str) -> bool {
    let most = if word == Word::Subject { 8 * WORD_CHARS_MAX } else { WORD_CHARS_MAX };
    (1..=most).contains(&value.chars().count()) && !value.chars().any(char::is_control)
}

/// `alice` of `EXAMPLE\alice` and of `alice@example.com`.
fn account(requester: &str) -> &str {
    let name = requester.rsplit_once('\\').map_or(requester, |(_, name)| name);
    name.split_once('@').map_or(name, |(name, _)| name)
}

/// What a template makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A search filter.
    Filter,
    /// A distinguished name.
    Name,
}

/// A filter or a name with words in it, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    kind: Kind,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Word(Word),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// One clause for the operator: what about it cannot be.
    pub fn parse(text: &str, kind: Kind) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) =
                after.split_once('}').ok_or_else(|| format!("{text:?} has a brace without end"))?;
            let word =
                WORDS.iter().find(|(it, _)| *it == name).map(|it| it.1).ok_or_else(|| {
                    let known: Vec<String> =
                        WORDS.iter().map(|it| format!("{{{}}}", it.0)).collect();
                    format!("{text:?}: there is no {{{name}}}; there are {}", known.join(", "))
                })?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Word(word));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        let words = || parts.iter().filter(|it| matches!(it, Part::Word(_)));
        if words().next().is_none() {
            return Err(format!(
                "{text:?} has no word in braces: it would mean one object for all"
            ));
        }
        let whole = words().any(|it| *it == Part::Word(Word::Subject));
        if whole && (parts.len() != 1 || kind != Kind::Name) {
            return Err(format!("{text:?}: {{subject}} is a whole name and stands alone"));
        }
        let template = Self { kind, parts };
        if kind == Kind::Filter {
            let tried = template.filled(|_| Some("x".to_owned())).unwrap_or_default();
            ldap3::parse_filter(&tried)
                .map_err(|()| format!("{text:?} is no filter (RFC 4515)"))?;
        }
        Ok(template)
    }

    /// The filter or name for an event.
    ///
    /// # Errors
    ///
    /// The word that the event has nothing for.
    pub fn fill(&self, event: &Event, certificate: &Certificate) -> Result<String, Word> {
        self.filled(|word| word.value(event, certificate))
    }

    fn filled(&self, value: impl Fn(Word) -> Option<String>) -> Result<String, Word> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(it) => text.push_str(it),
                Part::Word(word) => {
                    let value = value(*word).ok_or(*word)?;
                    match (self.kind, word) {
                        (_, Word::Subject) => text.push_str(&value),
                        (Kind::Filter, _) => text.push_str(&escape_filter_value(&value)),
                        (Kind::Name, _) => text.push_str(&escape_dn_value(&value)),
                    }
                }
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The template with the same value for every word.
    fn filled(template: &str, kind: Kind, value: &str) -> String {
        let template = Template::parse(template, kind).unwrap();
        template.filled(|_| Some(value.to_owned())).unwrap()
    }

    #[test]
    fn an_account_is_found_in_every_way_of_writing_it() {
        for name in ["alice", "EXAMPLE\\alice", "alice@example.com", "EXAMPLE\\alice@example.com"] {
            assert_eq!(account(name), "alice", "{name}");
        }
        assert_eq!(account("@example.com"), "");
        assert_eq!(account("HOST1$"), "HOST1$");
    }

    #[test]
    fn what_is_no_short_line_is_not_put_in() {
        assert!(fits(Word::Account, "alice"));
        assert!(!fits(Word::Account, ""));
        assert!(!fits(Word::Account, "a\nb"));
        assert!(!fits(Word::Account, &"a".repeat(WORD_CHARS_MAX + 1)));
        assert!(fits(Word::Subject, &"a".repeat(WORD_CHARS_MAX + 1)));
    }

    #[test]
    fn what_stands_in_a_filter_and_in_a_name_is_escaped_for_it() {
        assert_eq!(
            filled("(uid={account})", Kind::Filter, "*)(uid=root"),
            r"(uid=\2a\29\28uid=root)"
        );
        assert_eq!(
            filled("uid={account},dc=example", Kind::Name, "a,dc=evil"),
            r"uid=a\,dc\=evil,dc=example"
        );
        let template = Template::parse("(mail={mail})", Kind::Filter).unwrap();
        assert_eq!(template.filled(|_| None), Err(Word::Mail));
    }

    #[test]
    fn a_template_that_cannot_be_is_refused() {
        for (text, kind, said) in [
            ("(uid={account}", Kind::Filter, "no filter"),
            ("(uid={acount})", Kind::Filter, "there is no {acount}; there are {requester}"),
            ("(uid=alice)", Kind::Filter, "no word"),
            ("(uid={account)", Kind::Filter, "brace without end"),
            ("cn={subject},dc=example", Kind::Name, "stands alone"),
            ("{subject}", Kind::Filter, "stands alone"),
        ] {
            let err = Template::parse(text, kind).unwrap_err();
            assert!(err.contains(said), "{text}: {err}");
        }
        Template::parse("{subject}", Kind::Name).unwrap();
    }

    proptest! {
        /// The value of the one assertion, as a server reads it, is what was put in: nothing of it
        /// has become a part of the filter.
        #[test]
        fn whatever_is_put_in_stays_one_value(value in "[\\x00\\\\()*&|!=a-z ]{1,12}|\\PC{1,40}") {
            let filter = filled("(&(objectClass=a)(uid={requester}))", Kind::Filter, &value);
            let expected = format!("(&(objectClass=a)(uid={}))", hexadecimal(&value));
            prop_assert_eq!(
                ldap3::parse_filter(&filter).unwrap(),
                ldap3::parse_filter(expected).unwrap()
            );
        }

        #[test]
        fn whatever_is_put_in_stays_one_part_of_a_name(value in "[,+\"\\\\<>;=# a-z]{1,12}|\\PC{1,40}") {
            let name = filled("uid={requester},dc=example", Kind::Name, &value);
            let parts = crate::name::parts(&name).unwrap();
            prop_assert_eq!(parts.len(), 2, "{}", name);
            prop_assert_eq!(&parts[1], "dc=example");
            prop_assert!(!parts[0].contains('+') || value.contains('+'));
        }
    }

    /// Every octet as `\xx`, which RFC 4515 allows for any.
    fn hexadecimal(value: &str) -> String {
        value
            .bytes()
            .flat_map(|it| [r"\".to_owned(), exeunt_publication::certificate::hex(&[it])])
            .collect()
    }
}
