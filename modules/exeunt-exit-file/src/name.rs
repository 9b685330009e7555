//! File names, made of a pattern by the operator and of values by requesters.
//!
//! Values are hostile until they are sanitised. After it they hold none of the characters that a
//! path, a shell or a terminal gives a meaning, and different values stay different.

use std::fmt::Write as _;

use exeunt_module_kit::Event;

/// Longest file name, in bytes: `NAME_MAX` of Linux.
pub const NAME_BYTES_MAX: usize = 255;

/// Longest sanitised value that is kept whole, in characters. A common name has at most 64
/// (X.520, ub-common-name), and some of them may take five.
pub const VALUE_CHARS_MAX: usize = 96;

/// Longest serial number, in hexadecimal digits: 20 octets (RFC 5280, section 4.1.2.2).
const SERIAL_DIGITS_MAX: usize = 40;

/// What stands before the serial number that is added to a value. Sanitising writes four
/// hexadecimal digits after every `!`, so no value can hold it.
const MARK: &str = "!-";

/// How files are named: text with fields in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Serial,
    RequestId,
    SubjectCn,
    Template,
}

impl Field {
    fn from_word(word: &str) -> Option<Self> {
        match word {
            "serial" => Some(Self::Serial),
            "request_id" => Some(Self::RequestId),
            "subject_cn" => Some(Self::SubjectCn),
            "template" => Some(Self::Template),
            _ => None,
        }
    }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// One line for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || NAME_BYTES_MAX < text.len() {
            return Err(format!("pattern has to have 1 to {NAME_BYTES_MAX} bytes"));
        }
        if text.starts_with('.') {
            return Err("pattern starts with a dot: such files are hidden".to_owned());
        }
        if text.contains('/') || text.chars().any(char::is_control) {
            return Err(
                "pattern holds a slash or a control character: it names a file, no path".to_owned()
            );
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, braced) = rest.split_at(at);
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let (word, after) = braced
                .strip_prefix('{')
                .and_then(|it| it.split_once('}'))
                .ok_or("pattern holds a brace without its partner")?;
            let field = Field::from_word(word).ok_or_else(|| {
                format!(
                    "pattern: there is no field {{{word}}}; there are {{serial}}, {{request_id}}, \
                     {{subject_cn}} and {{template}}"
                )
            })?;
            pieces.push(Piece::Field(field));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// The file name of an event's certificate.
    ///
    /// # Errors
    ///
    /// One line for the operator: the event cannot be named by this pattern, now or later.
    pub fn expand(&self, event: &Event) -> Result<String, String> {
        let serial = serial_of(event)?;
        let text = |name: &str| event.certificate.string(name).unwrap_or_default();
        let mut name = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => name.push_str(text),
                Piece::Field(Field::Serial) => name.push_str(serial),
                Piece::Field(Field::RequestId) => name.push_str(&request_id_of(event)?),
                Piece::Field(Field::SubjectCn) => name.push_str(&value(text("CommonName"), serial)),
                Piece::Field(Field::Template) => {
                    name.push_str(&value(text("CertificateTemplate"), serial));
                }
            }
        }
        // Of these only the length can happen; the others are the promise of this module, kept
        // where nobody has to trust the lines above.
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
            return Err(format!("file name {name:?} is not safe"));
        }
        if NAME_BYTES_MAX < name.len() {
            return Err(format!(
                "a file name of {} bytes is longer than the allowed {NAME_BYTES_MAX}",
                name.len()
            ));
        }
        Ok(name)
    }
}

fn serial_of(event: &Event) -> Result<&str, String> {
    let serial = event.certificate.string("SerialNumber").map_err(|err| err.to_string())?;
    let hex = serial.bytes().all(|it| it.is_ascii_hexdigit());
    if serial.is_empty() || SERIAL_DIGITS_MAX < serial.len() || !hex {
        return Err("property SerialNumber is no serial number".to_owned());
    }
    Ok(serial)
}

/// The context, and not the property: that one is a number of 32 bits, and a full one would give
/// many certificates one name.
fn request_id_of(event: &Event) -> Result<String, String> {
    match event.context {
        0 => Err("the event is about no request".to_owned()),
        id => Ok(id.to_string()),
    }
}

/// A value as a part of a file name.
///
/// One that is too long is cut, and one that is empty has nothing to say: both are followed by the
/// serial number, so that nobody can choose a long name that meets another's after the cut.
fn value(text: &str, serial: &str) -> String {
    let mut value = String::new();
    for (index, unit) in text.encode_utf16().enumerate() {
        let start = value.len();
        sanitize(&mut value, unit, index == 0);
        if VALUE_CHARS_MAX < value.len() {
            value.truncate(start);
            return value + MARK + serial;
        }
    }
    if value.is_empty() { value + MARK + serial } else { value }
}

/// Any text as a part of a temporary file's name, cut without further ado.
pub fn sanitized(text: &str) -> String {
    let mut out = String::new();
    text.encode_utf16().for_each(|unit| {
        if out.len() < VALUE_CHARS_MAX {
            sanitize(&mut out, unit, true);
        }
    });
    out
}

/// Appends one UTF-16 unit: as it is, or as `!` and four hexadecimal digits where it is one of those
/// that the original allows in no name (`[MS-WCCE]`, section 3.1.1.4.1.1). Ours alone: the dot where
/// `dots` says so, because a leading one hides a file or names a folder.
fn sanitize(out: &mut String, unit: u16, dots: bool) {
    match u8::try_from(unit).map(char::from) {
        Ok('.') if dots => out.push_str("!002e"),
        Ok(it @ ' '..='~') if !"!\"#%&'()*+,/:;<=>?[\\]^`{|}".contains(it) => out.push(it),
        _ => write!(out, "!{unit:04x}").expect("BUG: writing to memory does not fail"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exeunt_module_kit::{Properties, Value, testing::issued_event};
    use expect_test::{Expect, expect};

    fn expand(pattern: &str, common_name: &str) -> Result<String, String> {
        let mut event = issued_event(9, b"");
        event.certificate = Properties::from_iter([
            ("SerialNumber", Value::String("40ab".to_owned())),
            ("CommonName", Value::String(common_name.to_owned())),
            ("CertificateTemplate", Value::String("Web Server".to_owned())),
        ]);
        Pattern::parse(pattern)?.expand(&event)
    }

    #[track_caller]
    fn check(pattern: &str, common_name: &str, expect: &Expect) {
        expect
            .assert_eq(&expand(pattern, common_name).unwrap_or_else(|err| format!("error: {err}")));
    }

    #[test]
    fn fields_are_filled_in() {
        check("{serial}.pem", "", &expect!["40ab.pem"]);
        check("{request_id}-{template}.der", "", &expect!["9-Web Server.der"]);
        check("ä {subject_cn}", "www.example.com", &expect!["ä www.example.com"]);
        check("latest.pem", "x", &expect!["latest.pem"]);
    }

    #[test]
    fn hostile_names_become_harmless() {
        check(
            "{subject_cn}.pem",
            "../../etc/passwd",
            &expect!["!002e.!002f..!002fetc!002fpasswd.pem"],
        );
        check("{subject_cn}.pem", "a/b", &expect!["a!002fb.pem"]);
        check("{subject_cn}.pem", "a\0b\nc", &expect!["a!0000b!000ac.pem"]);
        check("{subject_cn}.pem", "\u{202e}moc.elpmaxe", &expect!["!202emoc.elpmaxe.pem"]);
        check("{subject_cn}.pem", "ü😀", &expect!["!00fc!d83d!de00.pem"]);
        check("{subject_cn}.pem", "*.example.com", &expect!["!002a.example.com.pem"]);
        check(
            "{subject_cn}.pem",
            "$(reboot)`x`;|",
            &expect!["$!0028reboot!0029!0060x!0060!003b!007c.pem"],
        );
        check("{subject_cn}", ".", &expect!["!002e"]);
        check("{subject_cn}", "..", &expect!["!002e."]);
        check("{subject_cn}", ".bashrc", &expect!["!002ebashrc"]);
        check("{subject_cn}", "", &expect!["!-40ab"]);
        check("{subject_cn}", "!0041", &expect!["!00210041"]);
    }

    #[test]
    fn a_long_name_is_cut_and_told_apart_by_its_serial() {
        let whole = "x".repeat(VALUE_CHARS_MAX);
        assert_eq!(expand("{subject_cn}", &whole).unwrap(), whole);
        assert_eq!(expand("{subject_cn}", &"x".repeat(300)).unwrap(), whole + "!-40ab");
        // The cut never leaves half of an escaped character.
        let mixed = "x".repeat(VALUE_CHARS_MAX - 2) + "//";
        assert_eq!(
            expand("{subject_cn}", &mixed).unwrap(),
            "x".repeat(VALUE_CHARS_MAX - 2) + "!-40ab"
        );
        assert_eq!(
            expand("{subject_cn}{subject_cn}{subject_cn}", &"x".repeat(90)).unwrap_err(),
            "a file name of 270 bytes is longer than the allowed 255"
        );
    }

    #[test]
    fn a_pattern_names_a_file_and_no_path() {
        for (pattern, expect) in [
            ("", expect!["error: pattern has to have 1 to 255 bytes"]),
            ("{serial", expect!["error: pattern holds a brace without its partner"]),
            ("serial}", expect!["error: pattern holds a brace without its partner"]),
            ("../{serial}", expect!["error: pattern starts with a dot: such files are hidden"]),
            (
                "a/{serial}",
                expect![
                    "error: pattern holds a slash or a control character: it names a file, no path"
                ],
            ),
            (
                "{Serial}",
                expect![
                    "error: pattern: there is no field {Serial}; there are {serial}, {request_id}, {subject_cn} and {template}"
                ],
            ),
        ] {
            check(pattern, "x", &expect);
        }
    }

    #[test]
    fn a_serial_number_is_hexadecimal() {
        for bad in ["", "../x", "40 ab", &"a".repeat(41)] {
            let mut event = issued_event(9, b"");
            event.certificate =
                Properties::from_iter([("SerialNumber", Value::String(bad.to_owned()))]);
            let pattern = Pattern::parse("{serial}").unwrap();
            assert_eq!(
                pattern.expand(&event).unwrap_err(),
                "property SerialNumber is no serial number"
            );
        }
    }
}
