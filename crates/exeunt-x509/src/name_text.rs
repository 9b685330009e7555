//! The text form of distinguished names, RFC 4514: the most specific RDN stands first, which is
//! the reverse of the DER.

use crate::name::{AttributeType, Name, NameAttribute, NameError, read_string};
use crate::tlv::{Tlv, UTF8_STRING, check_der};
use const_oid::ObjectIdentifier;
use std::fmt::{self, Write as _};

/// What a backslash may stand before (RFC 4514, section 3).
const ESCAPABLE: &str = " \"#+,;<=>\\";
/// What must be escaped wherever it stands.
const SPECIAL: &str = "\"+,;<>\\";

impl Name {
    /// Reads a name such as `CN=Example Root,O=Acme,C=DE`.
    ///
    /// RFC 4514 with blanks tolerated around types, values and separators. Keywords are those of
    /// the RFC and a few more (`E`, `SERIALNUMBER`, `GN`, `SN`, …); anything else is written as a
    /// dotted object identifier. Values become UTF-8 strings unless the type demands another;
    /// bounds are checked. An empty text is the empty name.
    ///
    /// # Errors
    ///
    /// [`NameError`] says what is wrong, with the attribute.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let mut attributes = Vec::new();
        if !text.trim().is_empty() {
            let mut rest = text;
            let mut joined = false;
            loop {
                let (mut attribute, after) = parse_attribute(rest)?;
                attribute.joined = joined;
                attributes.push(attribute);
                let mut after = after.chars();
                match after.next() {
                    None => break,
                    separator => joined = separator == Some('+'),
                }
                rest = after.as_str();
            }
        }
        let mut rdns: Vec<&[NameAttribute]> = attributes.chunk_by(|_, next| next.joined).collect();
        rdns.reverse();
        Self::build(&rdns.concat())
    }
}

/// One `type=value`, and the text from the separator on.
fn parse_attribute(text: &str) -> Result<(NameAttribute, &str), NameError> {
    let Some((keyword, rest)) = text.split_once('=') else {
        return Err(NameError::Syntax { what: "an attribute has no '='" });
    };
    let keyword = keyword.trim();
    let (oid, tag) = if let Some(known) = AttributeType::by_keyword(keyword) {
        (known.oid, known.tag)
    } else {
        let dotted = keyword.strip_prefix("OID.").unwrap_or(keyword);
        let oid = ObjectIdentifier::new(dotted)
            .map_err(|_| NameError::UnknownType { keyword: keyword.chars().take(64).collect() })?;
        (oid, AttributeType::by_oid(&oid).map_or(UTF8_STRING, |it| it.tag))
    };
    let rest = rest.trim_start_matches(' ');
    if let Some(hex) = rest.strip_prefix('#') {
        let end = hex.find([',', '+']).unwrap_or(hex.len());
        let der = decode_hex(hex[..end].trim_end_matches(' '))?;
        check_der(&der)?;
        let string = Tlv::read(&der)?;
        let value = read_string(&string, &oid)?;
        return Ok((encodable(oid, string.tag, value), &hex[end..]));
    }
    let (value, rest) = parse_value(rest)?;
    Ok((NameAttribute { oid, tag, value, joined: false }, rest))
}

/// Values are written as UTF-8; those in a type of two octets or of Latin-1 become a UTF-8 string.
fn encodable(oid: ObjectIdentifier, tag: u8, value: String) -> NameAttribute {
    let tag = match tag {
        crate::tlv::BMP_STRING | crate::tlv::TELETEX_STRING => UTF8_STRING,
        tag => tag,
    };
    NameAttribute { oid, tag, value, joined: false }
}

/// An escaped value, and the text from the separator on.
fn parse_value(text: &str) -> Result<(String, &str), NameError> {
    const NOT_ESCAPED: NameError =
        NameError::Syntax { what: "one of \" ; < > in a value is not escaped by a backslash" };
    let bytes = text.as_bytes();
    let mut value = Vec::with_capacity(bytes.len());
    // Blanks at the end count only if they are escaped.
    let mut kept = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b',' | b'+' => break,
            b'"' | b';' | b'<' | b'>' => return Err(NOT_ESCAPED),
            b'\\' => {
                let (unescaped, taken) = unescape(&bytes[at + 1..])?;
                value.push(unescaped);
                kept = value.len();
                at += 1 + taken;
            }
            b' ' => {
                value.push(b' ');
                at += 1;
            }
            other => {
                value.push(other);
                kept = value.len();
                at += 1;
            }
        }
    }
    value.truncate(kept);
    let value = String::from_utf8(value)
        .map_err(|_| NameError::Syntax { what: "escaped octets are not UTF-8" })?;
    Ok((value, &text[at..]))
}

/// The octet that follows a backslash, and how many octets said it.
fn unescape(bytes: &[u8]) -> Result<(u8, usize), NameError> {
    match bytes {
        [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            Ok((hex_value(*high) << 4 | hex_value(*low), 2))
        }
        [byte, ..] if ESCAPABLE.as_bytes().contains(byte) => Ok((*byte, 1)),
        _ => Err(NameError::Syntax { what: "a backslash stands before what needs none" }),
    }
}

fn decode_hex(text: &str) -> Result<Vec<u8>, NameError> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(NameError::Syntax { what: "a value after '#' is not hexadecimal" });
    }
    Ok(digits.chunks_exact(2).map(|it| hex_value(it[0]) << 4 | hex_value(it[1])).collect())
}

/// Value of a digit that was checked to be hexadecimal.
fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

impl fmt::Display for Name {
    /// RFC 4514 with keywords where there is one; the value of another type is written in full
    /// text too, which [`Name::parse`] reads back.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, rdn) in self.rdns().rev().enumerate() {
            if 0 < position {
                out.write_char(',')?;
            }
            for (position, attribute) in rdn.iter().enumerate() {
                if 0 < position {
                    out.write_char('+')?;
                }
                match AttributeType::by_oid(&attribute.oid) {
                    Some(known) => out.write_str(known.keyword)?,
                    None => write!(out, "{}", attribute.oid)?,
                }
                out.write_char('=')?;
                write_escaped(out, &attribute.value)?;
            }
        }
        Ok(())
    }
}

fn write_escaped(out: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    let last = value.char_indices().next_back().map_or(0, |(at, _)| at);
    for (at, character) in value.char_indices() {
        let at_an_end =
            (at == 0 && matches!(character, ' ' | '#')) || (at == last && character == ' ');
        if at_an_end || SPECIAL.contains(character) {
            out.write_char('\\')?;
        }
        out.write_char(character)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(text: &str, expect: &Expect) {
        let actual = match Name::parse(text) {
            Err(err) => format!("error: {err}"),
            Ok(name) => {
                let again = Name::parse(&name.to_string()).unwrap();
                assert_eq!(again.der(), name.der(), "the text of {text:?} does not read back");
                name.to_string()
            }
        };
        expect.assert_eq(&actual);
    }

    #[test]
    fn the_text_is_the_reverse_of_the_der() {
        let name = Name::parse("CN=Example Root,O=Acme,C=DE").unwrap();
        let attributes: Vec<_> = name.attributes().collect();
        assert_eq!(
            attributes,
            [
                ("2.5.4.6".to_owned(), "DE"),
                ("2.5.4.10".to_owned(), "Acme"),
                ("2.5.4.3".to_owned(), "Example Root")
            ]
        );
        // Country is a PrintableString, the others are UTF-8.
        assert_eq!(
            name.der(),
            b"\x30\x33\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02DE\
              \x31\x0d\x30\x0b\x06\x03\x55\x04\x0a\x0c\x04Acme\
              \x31\x15\x30\x13\x06\x03\x55\x04\x03\x0c\x0cExample Root"
        );
        assert_eq!(name.common_name(), Some("Example Root"));
        assert_eq!(name.to_string(), "CN=Example Root,O=Acme,C=DE");
    }

    #[test]
    fn text_is_read_and_written_by_the_rules_of_rfc_4514() {
        check("", &expect![""]);
        check(" cn = a , o = b ", &expect!["CN=a,O=b"]);
        check(
            r"CN=James \22Jim\22 Smith\, III,DC=example,DC=net",
            &expect![[r#"CN=James \"Jim\" Smith\, III,DC=example,DC=net"#]],
        );
        check("OU=Sales+CN=J.  Smith,DC=example", &expect!["OU=Sales+CN=J.  Smith,DC=example"]);
        check(r"CN=Lu\C4\8Di\C4\87", &expect!["CN=Lučić"]);
        check("1.3.6.1.4.1.1466.0=#0C024869", &expect!["1.3.6.1.4.1.1466.0=Hi"]);
        check(r"CN=\ a\ ", &expect![r"CN=\ a\ "]);
        check(r"CN=\#a#b=c", &expect![r"CN=\#a#b=c"]);
        check("2.5.4.3=a", &expect!["CN=a"]);
        check("OID.2.5.4.3=a", &expect!["CN=a"]);
        check("E=a@example.org,S=Hessen", &expect!["E=a@example.org,ST=Hessen"]);
        check("CN=Ω,C=GR", &expect!["CN=Ω,C=GR"]);
    }

    #[test]
    fn a_bad_text_says_what_is_wrong() {
        let syntax = "error: name is not written like \"CN=Example,O=Acme,C=DE\": ";
        let long = "x".repeat(65);
        for (text, expected) in [
            ("CN", format!("{syntax}an attribute has no '='")),
            ("CN=a,", format!("{syntax}an attribute has no '='")),
            (
                "CN=a;O=b",
                format!("{syntax}one of \" ; < > in a value is not escaped by a backslash"),
            ),
            (
                "CN=\"a\"",
                format!("{syntax}one of \" ; < > in a value is not escaped by a backslash"),
            ),
            (r"CN=a\x", format!("{syntax}a backslash stands before what needs none")),
            (r"CN=a\", format!("{syntax}a backslash stands before what needs none")),
            (r"CN=\FF", format!("{syntax}escaped octets are not UTF-8")),
            ("CN=#0", format!("{syntax}a value after '#' is not hexadecimal")),
            ("CN=#0500", "error: CN is not a valid string of a type that it may have".to_owned()),
            ("CN=", "error: CN has 0 characters, 1 to 64 allowed".to_owned()),
            ("foo=a", "error: name has unknown attribute type \"foo\"".to_owned()),
            ("/C=DE/CN=a", "error: name has unknown attribute type \"/C\"".to_owned()),
            ("C=DEU", "error: C has 3 characters, 2 to 2 allowed".to_owned()),
            ("C=D_", "error: C is not a valid string of a type that it may have".to_owned()),
            ("C=D", "error: C has 1 characters, 2 to 2 allowed".to_owned()),
            (
                "E=ä@example.org",
                "error: E is not a valid string of a type that it may have".to_owned(),
            ),
            (r"CN=a\00b", "error: CN contains the forbidden character U+0000".to_owned()),
            (&format!("CN={long}"), "error: CN has 65 characters, 1 to 64 allowed".to_owned()),
            (&format!("O={long}"), "error: O has 65 characters, 1 to 64 allowed".to_owned()),
            ("CN=a+CN=b", "error: name is malformed: an RDN repeats a type".to_owned()),
        ] {
            let actual =
                Name::parse(text).map_or_else(|err| format!("error: {err}"), |it| it.to_string());
            assert_eq!(actual, expected, "{text:?}");
        }
        // Characters count, not octets.
        assert!(Name::parse(&format!("CN={}", "ä".repeat(64))).is_ok());
    }
}
