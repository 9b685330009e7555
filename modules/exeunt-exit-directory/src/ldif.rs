//! What would be written, as a text that a directory's own tools take (LDIF, RFC 2849).

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::ca_objects::Attribute;

/// Most characters of a line; longer ones are folded.
const LINE_CHARS_MAX: usize = 76;

/// A text in LDIF, record by record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ldif(String);

impl Ldif {
    /// An object that is made.
    pub fn add(&mut self, dn: &str, attributes: &[Attribute]) {
        self.line("dn", dn.as_bytes());
        self.line("changetype", b"add");
        for (name, values) in attributes {
            for value in values {
                self.line(name, value);
            }
        }
        self.0.push('\n');
    }

    /// Values that come in and values that leave.
    pub fn modify(&mut self, dn: &str, changes: &[(&str, &Attribute)]) {
        self.line("dn", dn.as_bytes());
        self.line("changetype", b"modify");
        for (verb, (name, values)) in changes {
            self.line(verb, name.as_bytes());
            for value in values {
                self.line(name, value);
            }
            self.0.push_str("-\n");
        }
        self.0.push('\n');
    }

    /// The text; none where nothing is in it. It begins without a version, which Samba's tools do not
    /// take and others do not need.
    pub fn into_text(self) -> Option<String> {
        if self.0.is_empty() { None } else { Some(self.0) }
    }

    fn line(&mut self, name: &str, value: &[u8]) {
        let line = match std::str::from_utf8(value) {
            Ok(text) if is_safe(text) => format!("{name}: {text}"),
            _ => format!("{name}:: {}", STANDARD.encode(value)),
        };
        // It is ASCII alone, so that a line may be cut anywhere.
        let mut most = LINE_CHARS_MAX;
        let mut rest = line.as_str();
        while most < rest.len() {
            let (first, after) = rest.split_at(most);
            self.0.push_str(first);
            self.0.push_str("\n ");
            rest = after;
            // The blank counts.
            most = LINE_CHARS_MAX - 1;
        }
        self.0.push_str(rest);
        self.0.push('\n');
    }
}

/// `SAFE-STRING` of RFC 2849; one that ends with a blank is written in base64 as the RFC advises.
fn is_safe(text: &str) -> bool {
    let may_begin = !text.starts_with([' ', ':', '<']);
    let plain = text.bytes().all(|it| it.is_ascii() && !matches!(it, 0 | b'\n' | b'\r'));
    may_begin && plain && !text.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &str, value: &[u8]) -> String {
        let mut ldif = Ldif::default();
        ldif.line(name, value);
        ldif.0
    }

    #[test]
    fn what_is_no_safe_string_is_in_base64() {
        assert_eq!(written("cn", b"Test CA"), "cn: Test CA\n");
        assert_eq!(written("cn", b""), "cn: \n");
        for value in [" a", ":a", "<a", "a ", "a\nb", "\u{fc}"] {
            assert!(written("cn", value.as_bytes()).starts_with("cn:: "), "{value:?}");
        }
        assert_eq!(written("cn", "\u{fc}".as_bytes()), "cn:: w7w=\n");
    }

    #[test]
    fn long_lines_are_folded_and_unfold_to_the_same() {
        let value = "x".repeat(300);
        let text = written("cn", value.as_bytes());
        assert!(text.lines().all(|it| it.len() <= LINE_CHARS_MAX));
        assert_eq!(text.replace("\n ", ""), format!("cn: {value}\n"));
    }
}
