//! Request attributes, by the original's rules: lines of `Name:Value`.

use exeunt_x509::is_deceptive;

/// Longest attribute text accepted, in bytes: the original's column `RequestAttributes`.
pub const ATTRIBUTE_TEXT_BYTES_MAX: usize = 32_768;
/// Longest attribute name, in bytes after clean-up: the original's column `AttributeName`.
const NAME_BYTES_MAX: usize = 254;
/// Longest attribute value, in bytes: the original's column `AttributeValue`.
const VALUE_BYTES_MAX: usize = 8192;
/// Most attributes on one request.
pub const ATTRIBUTE_COUNT_MAX: usize = 128;

/// Why attribute text is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttributeError {
    /// Longer than [`ATTRIBUTE_TEXT_BYTES_MAX`] as a whole.
    #[error("attributes are {0} bytes long, at most {ATTRIBUTE_TEXT_BYTES_MAX} allowed")]
    TextTooLong(usize),
    /// A name is too long.
    #[error("attribute name of {0} bytes, at most {NAME_BYTES_MAX} allowed")]
    NameTooLong(usize),
    /// A value is too long.
    #[error("value of attribute {name} is {len} bytes long, at most {VALUE_BYTES_MAX} allowed")]
    ValueTooLong {
        /// Name of the attribute.
        name: String,
        /// Length of its value.
        len: usize,
    },
    /// Too many of them.
    #[error("more than {ATTRIBUTE_COUNT_MAX} attributes")]
    TooMany,
    /// A character that could forge a second line in a log or a file, or deceive its reader.
    #[error("attribute {0:?} contains a control character or one that turns the writing")]
    Character(String),
}

impl AttributeError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TextTooLong(_)
            | Self::NameTooLong(_)
            | Self::ValueTooLong { .. }
            | Self::TooMany => "attribute-too-large",
            Self::Character(_) => "attribute-invalid",
        }
    }
}

/// Parses lines of `Name:Value`.
///
/// As in the original (MS-WCCE 3.2.1.4.2.1.2): lines are split at newlines; a line without a colon
/// or with an empty name or value is left out; blanks and hyphens in the name are dropped; blanks
/// around the value are trimmed; names compare without case and a later line wins.
///
/// # Errors
///
/// [`AttributeError`] when a limit is passed or a control character occurs; nothing is cut short.
pub fn parse_attributes(text: &str) -> Result<Vec<(String, String)>, AttributeError> {
    if ATTRIBUTE_TEXT_BYTES_MAX < text.len() {
        return Err(AttributeError::TextTooLong(text.len()));
    }
    let mut attributes: Vec<(String, String)> = Vec::new();
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let Some((name, value)) = line.split_once(':') else { continue };
        set(&mut attributes, name, value)?;
    }
    Ok(attributes)
}

/// Puts those inside a request and those given beside it together, by the same rules as lines:
/// those beside come later and overwrite, as a later `SetAttributes` does in the original.
pub(crate) fn merge_attributes(
    inside: &[(String, String)],
    beside: &[(String, String)],
) -> Result<Vec<(String, String)>, AttributeError> {
    let mut attributes = Vec::with_capacity(inside.len().min(ATTRIBUTE_COUNT_MAX) + beside.len());
    for (name, value) in inside.iter().chain(beside) {
        set(&mut attributes, name, value)?;
    }
    Ok(attributes)
}

fn set(
    attributes: &mut Vec<(String, String)>,
    name: &str,
    value: &str,
) -> Result<(), AttributeError> {
    let name: String = name.chars().filter(|it| !matches!(it, ' ' | '\t' | '-')).collect();
    let value = value.trim_matches([' ', '\t']);
    if name.is_empty() || value.is_empty() {
        return Ok(());
    }
    check(&name, value)?;
    match attributes.iter().position(|(known, _)| known.eq_ignore_ascii_case(&name)) {
        Some(index) => value.clone_into(&mut attributes[index].1),
        None if attributes.len() == ATTRIBUTE_COUNT_MAX => return Err(AttributeError::TooMany),
        None => attributes.push((name, value.to_owned())),
    }
    Ok(())
}

/// Checks limits and characters of one attribute.
pub(crate) fn check(name: &str, value: &str) -> Result<(), AttributeError> {
    if NAME_BYTES_MAX < name.len() {
        return Err(AttributeError::NameTooLong(name.len()));
    }
    // The same as of attributes inside a request (`parse_request`).
    if name.contains(is_deceptive) || value.contains(is_deceptive) {
        let name = name.chars().filter(|it| !is_deceptive(*it)).collect();
        return Err(AttributeError::Character(name));
    }
    if VALUE_BYTES_MAX < value.len() {
        return Err(AttributeError::ValueTooLong { name: name.to_owned(), len: value.len() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check_text(text: &str, expect: &Expect) {
        let actual = match parse_attributes(text) {
            Ok(list) => list
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
                .join("|"),
            Err(err) => format!("{}: {err}", err.code()),
        };
        expect.assert_eq(&actual);
    }

    // The expected values are the rules of MS-WCCE 3.2.1.4.2.1.2 worked out by hand.
    #[test]
    fn attribute_lines_follow_the_originals_rules() {
        check_text("CertificateTemplate:WebServer\n", &expect!["CertificateTemplate=WebServer"]);
        check_text("a:1\r\nb:2", &expect!["a=1|b=2"]);
        check_text("no colon\n:empty name\nempty value:\nx:y", &expect!["x=y"]);
        check_text("Cert - File:  inner  blanks kept  ", &expect!["CertFile=inner  blanks kept"]);
        check_text("san:dns=a:b", &expect!["san=dns=a:b"]);
        check_text("Name:1\nNAME:2", &expect!["Name=2"]);
        check_text("", &expect![""]);
    }

    #[test]
    fn attributes_beyond_a_limit_are_refused_and_not_cut() {
        check_text(
            &"x".repeat(40_000),
            &expect!["attribute-too-large: attributes are 40000 bytes long, at most 32768 allowed"],
        );
        check_text(
            &format!("{}:v", "n".repeat(255)),
            &expect!["attribute-too-large: attribute name of 255 bytes, at most 254 allowed"],
        );
        check_text(
            &format!("n:{}", "v".repeat(8193)),
            &expect![
                "attribute-too-large: value of attribute n is 8193 bytes long, at most 8192 allowed"
            ],
        );
        let many: Vec<String> = (0..=ATTRIBUTE_COUNT_MAX).map(|it| format!("n{it}:v")).collect();
        check_text(&many.join("\n"), &expect!["attribute-too-large: more than 128 attributes"]);
    }

    #[test]
    fn a_character_that_deceives_in_an_attribute_is_refused() {
        let refused = expect![[
            r#"attribute-invalid: attribute "n" contains a control character or one that turns the writing"#
        ]];
        for text in ["n:a\0b", "n\x1b:b", "n:a\u{202e}b", "\u{2066}n:b", "n:a\u{2028}b", "n:\u{85}"]
        {
            check_text(text, &refused);
        }
        check_text("n:\u{5d0}\u{e4}\u{200d}", &expect!["n=\u{5d0}\u{e4}\u{200d}"]);
    }
}
