//! Distinguished names (RFC 4514), as far as it takes to say whether one is below another.

use std::fmt;

/// The relative names of a distinguished name, each in one spelling: escapes resolved but for those
/// that keep parts apart, without blanks around, in lower case. `None` where it is no name.
///
/// Two spellings of one name may still differ here (an OID for a name's type, several values in
/// another order). Then a name counts as somewhere else, which is the safe side.
pub fn parts(name: &str) -> Option<Vec<String>> {
    if name.trim().is_empty() {
        return Some(Vec::new());
    }
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut octets = name.bytes();
    // Length up to which nothing is trimmed, because an escape stands there.
    let mut kept = 0;
    loop {
        match octets.next() {
            Some(b'\\') => {
                let octet = match octets.next()? {
                    high if high.is_ascii_hexdigit() => hex(high)? << 4 | hex(octets.next()?)?,
                    special => special,
                };
                // A separator that is a part of a value stays told from one.
                if matches!(octet, b',' | b'+' | b'=' | b'\\') {
                    part.push(b'\\');
                }
                part.push(octet);
                kept = part.len();
            }
            Some(separator @ (b'=' | b'+')) => {
                trim_end(&mut part, kept);
                part.push(separator);
                kept = part.len();
            }
            Some(b' ') if part.len() == kept && matches!(part.last(), None | Some(b'=' | b'+')) => {
            }
            Some(b',') | None if part.is_empty() => return None,
            end @ (Some(b',') | None) => {
                trim_end(&mut part, kept);
                let text = String::from_utf8(std::mem::take(&mut part)).ok()?;
                if !text.contains('=') {
                    return None;
                }
                parts.push(text.to_lowercase());
                kept = 0;
                if end.is_none() {
                    return Some(parts);
                }
            }
            Some(other) => part.push(other),
        }
    }
}

fn trim_end(part: &mut Vec<u8>, kept: usize) {
    while kept < part.len() && part.last() == Some(&b' ') {
        part.pop();
    }
}

fn hex(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

/// A name or a filter for people: in quotes, as it is, but for control characters. Its backslashes are
/// escapes already.
pub fn quoted(text: &str) -> impl fmt::Display + '_ {
    struct Quoted<'a>(&'a str);
    impl fmt::Display for Quoted<'_> {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            let blank = |it: char| if it.is_control() { ' ' } else { it };
            write!(out, "\"{}\"", self.0.chars().map(blank).collect::<String>())
        }
    }
    Quoted(text)
}

/// Whether a name is a base or below it.
pub fn is_inside(name: &str, base: &str) -> bool {
    match (parts(name), parts(base)) {
        (Some(name), Some(base)) => name.ends_with(&base),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever a server calls an object: it is taken apart or refused.
        #[test]
        fn any_text_is_taken_apart_or_refused(text in "[a-z=,+ \\\\0-9#\"]{0,20}|\\PC{0,40}") {
            if let Some(parts) = parts(&text) {
                prop_assert!(parts.iter().all(|it| it.contains('=')));
                prop_assert!(is_inside(&text, &text));
            }
        }
    }

    #[test]
    fn a_name_is_shown_with_the_escapes_that_it_has() {
        assert_eq!(quoted("CN=Test\\, CA").to_string(), "\"CN=Test\\, CA\"");
        assert_eq!(quoted("CN=a\nb").to_string(), "\"CN=a b\"");
    }

    #[test]
    fn a_name_is_inside_what_it_ends_with_in_any_spelling() {
        let base = "ou=People, DC=Example,dc=com";
        for name in [
            "uid=alice,ou=people,dc=example,dc=com",
            "CN=Smith\\, Alice,OU=Staff , OU = People,DC=example,DC=com",
            "ou=People,dc=example,dc=com",
            "cn=a\\2cb,ou=P\\65ople,dc=example,dc=com",
        ] {
            assert!(is_inside(name, base), "{name}");
        }
    }

    #[test]
    fn a_name_that_only_looks_so_is_not_inside() {
        let base = "ou=people,dc=example,dc=com";
        for name in [
            "dc=example,dc=com",
            "uid=alice,ou=mypeople,dc=example,dc=com",
            "uid=alice\\,ou=people\\,dc=example\\,dc=com",
            "uid=alice,xou=people,dc=example,dc=com",
            "uid=alice\\,ou=people,dc=example,dc=com",
            "uid=alice,,ou=people,dc=example,dc=com",
            "alice",
            "uid=alice\\",
        ] {
            assert!(!is_inside(name, base), "{name}");
        }
    }
}
