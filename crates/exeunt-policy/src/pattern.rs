//! Texts with places that are filled in from what is known of a request: `{CommonName}`,
//! `{RequesterName}`.

use exeunt_engine::Asked;
use exeunt_x509::{GeneralName, Name};

use crate::escape::escape;
use crate::property::NameProperty;

/// Longest text of a pattern, in octets.
pub const PATTERN_BYTES_MAX: usize = 512;
/// Most places in one pattern.
pub const PATTERN_PLACES_MAX: usize = 8;

/// A text with places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Source),
}

/// Where a place takes its value from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// A part of the requested subject, as far as the template takes it.
    Name(&'static NameProperty),
    /// The whole of it.
    DistinguishedName,
    /// For whom the certificate is.
    RequesterName,
    /// The same after its first colon: `alice` of `token:alice`.
    RequesterShortName,
    /// Who handed the request in.
    CallerName,
    /// A requested alternative name of a kind.
    Dns,
    Email,
    Ip,
    Uri,
    Upn,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// A brace without its other half.
    #[error("a brace in {0:?} has no other half; write {{{{ or }}}} for the character itself")]
    Brace(String),
    /// A place that nothing is known for.
    #[error(
        "nothing is known of {0:?}; for example: CommonName, OrgUnit, 2.5.4.3, RequesterName, \
         RequesterShortName, CallerName, dns, email, ip, uri, upn"
    )]
    Unknown(String),
    /// Longer than [`PATTERN_BYTES_MAX`], or with more places than [`PATTERN_PLACES_MAX`].
    #[error("it is longer than 512 octets or has more than 8 places")]
    TooLong,
    /// Nothing at all.
    #[error("it is empty")]
    Empty,
}

/// What a pattern is filled in from.
pub(crate) struct Known<'a> {
    pub(crate) asked: &'a Asked<'a>,
    /// The requested subject, as far as the template takes it.
    pub(crate) subject: &'a Name,
    /// The requested alternative names, as far as the template takes them.
    pub(crate) names: &'a [GeneralName],
}

impl Pattern {
    /// Reads a pattern: any text, with names of properties in braces. A brace itself is written twice.
    ///
    /// # Errors
    ///
    /// [`PatternError`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if PATTERN_BYTES_MAX < text.len() {
            return Err(PatternError::TooLong);
        }
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        let brace = || PatternError::Brace(text.to_owned());
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let from = &rest[at..];
            if let Some(after) = from.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = from.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else {
                let (word, after) =
                    from.strip_prefix('{').and_then(|it| it.split_once('}')).ok_or_else(brace)?;
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                let source =
                    Source::find(word).ok_or_else(|| PatternError::Unknown(word.into()))?;
                parts.push(Part::Place(source));
                rest = after;
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        let places = parts.iter().filter(|it| matches!(it, Part::Place(_))).count();
        if PATTERN_PLACES_MAX < places {
            return Err(PatternError::TooLong);
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The texts that it makes: one, where it has no place or more than one, of which each takes its
    /// first value; where it has one place, one text for each value. None where a place has no value.
    pub(crate) fn fill(&self, known: &Known<'_>) -> Vec<String> {
        self.filled(|source| source.values(known))
    }

    /// The same for a pattern that is the text of a distinguished name: what is filled in is a value in it,
    /// whatever characters it has, but for [`Source::DistinguishedName`], which is such a text.
    pub(crate) fn fill_name(&self, known: &Known<'_>) -> Vec<String> {
        self.filled(|source| {
            let values = source.values(known);
            match source {
                Source::DistinguishedName => values,
                _ => values.iter().map(|it| escape(it)).collect(),
            }
        })
    }

    fn filled(&self, values: impl Fn(Source) -> Vec<String>) -> Vec<String> {
        let mut places = self.parts.iter().filter_map(|it| match it {
            Part::Place(source) => Some(values(*source)),
            Part::Text(_) => None,
        });
        let (first, second) = (places.next(), places.next());
        match (first, second) {
            (None, _) => vec![self.join(|_| String::new())],
            (Some(values), None) => {
                values.into_iter().map(|value| self.join(|_| value.clone())).collect()
            }
            (Some(first), Some(second)) => {
                let all = [first, second].into_iter().chain(places);
                let firsts: Option<Vec<String>> = all.map(|it| it.into_iter().next()).collect();
                let Some(firsts) = firsts else { return Vec::new() };
                vec![self.join(|at| firsts[at].clone())]
            }
        }
    }

    fn join(&self, value: impl Fn(usize) -> String) -> String {
        let (mut text, mut place) = (String::new(), 0);
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Place(_) => {
                    text.push_str(&value(place));
                    place += 1;
                }
            }
        }
        text
    }
}

impl Source {
    fn find(word: &str) -> Option<Self> {
        let special = [
            ("DistinguishedName", Self::DistinguishedName),
            ("RequesterName", Self::RequesterName),
            ("RequesterShortName", Self::RequesterShortName),
            ("CallerName", Self::CallerName),
            ("dns", Self::Dns),
            ("email", Self::Email),
            ("ip", Self::Ip),
            ("uri", Self::Uri),
            ("upn", Self::Upn),
        ];
        let found = special.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        found.map(|(_, it)| it).or_else(|| NameProperty::find(word).map(Self::Name))
    }

    fn values(self, known: &Known<'_>) -> Vec<String> {
        let Known { asked, subject, names } = known;
        let requester = asked.on_behalf_of.unwrap_or(&asked.caller.name);
        let one = |text: &str| {
            if text.is_empty() { Vec::new() } else { vec![text.to_owned()] }
        };
        let of_kind = |pick: &dyn Fn(&GeneralName) -> Option<String>| {
            names.iter().filter_map(pick).collect::<Vec<_>>()
        };
        match self {
            Self::Name(property) => subject
                .attributes()
                .filter(|(oid, _)| oid == property.oid)
                .map(|(_, value)| value.to_owned())
                .collect(),
            Self::DistinguishedName => one(&subject.to_string()),
            Self::RequesterName => one(requester),
            Self::RequesterShortName => {
                one(requester.split_once(':').map_or(requester, |(_, short)| short))
            }
            Self::CallerName => one(&asked.caller.name),
            Self::Dns => of_kind(&|it| match it {
                GeneralName::Dns(name) => Some(name.clone()),
                _ => None,
            }),
            Self::Email => of_kind(&|it| match it {
                GeneralName::Email(name) => Some(name.clone()),
                _ => None,
            }),
            Self::Uri => of_kind(&|it| match it {
                GeneralName::Uri(name) => Some(name.clone()),
                _ => None,
            }),
            Self::Ip => of_kind(&|it| match it {
                GeneralName::Ip(address) => Some(address.to_string()),
                _ => None,
            }),
            Self::Upn => of_kind(&GeneralName::user_principal_name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_text_with_known_places() {
        for good in ["a", "{CN}", "a{CommonName}b{RequesterName}", "{{}}", "{2.5.4.11}", "{dns}"] {
            assert_eq!(Pattern::parse(good).unwrap().text(), good);
        }
        let many = "{CN}".repeat(9);
        for bad in ["", "{", "}", "{CN", "CN}", "{}", "{Nothing}", "{Subject.CN}", "{{CN}", &many] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
