//! What a text can name: properties by the names of the original's columns, as people read them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use exeunt_module::view::{View, ViewError};
use exeunt_module_kit::{Event, Value};

/// Longest value that goes into a text, in characters. What is longer is cut, and says so.
pub const VALUE_CHARS_MAX: usize = 16 * 1024;

/// Characters of a line of base64.
const BASE64_LINE_CHARS: usize = 64;

/// The property of an event with that name: `Request.RequesterName`, `SerialNumber`,
/// `Attribute.Owner`, `Detail.Reason`, `SanitizedCAName`.
///
/// # Errors
///
/// As the contract's view says: [`ViewError::Empty`] for one without a value, [`ViewError::Unknown`]
/// for a name that nobody knows.
pub fn named(event: &Event, name: &str) -> Result<Value, ViewError> {
    let view = View::of(event);
    if let Some(plain) = after_prefix(name, "Request.") {
        return Ok(view.request_property(plain, None)?.into_owned());
    }
    if let Some(plain) = after_prefix(name, "Attribute.") {
        return Ok(Value::String(view.request_attribute(plain)?.to_owned()));
    }
    let own = match view.certificate_property(name, None) {
        Ok(value) => return Ok(value.into_owned()),
        Err(err) => err,
    };
    match View::of_system(&event.system).certificate_property(name, None) {
        Ok(value) => return Ok(value.into_owned()),
        Err(ViewError::Unknown { .. }) => (),
        Err(_) => return Err(own),
    }
    match own {
        // A name that only a request has, without the prefix.
        ViewError::Unknown { .. } => Ok(view.request_property(name, None)?.into_owned()),
        other => Err(other),
    }
}

/// Whether a name can mean anything. What an event's detail holds is known to the event alone.
pub fn is_known(name: &str) -> bool {
    let asked = Event { context: 1, ..Event::default() };
    !matches!(named(&asked, name), Err(ViewError::Unknown { .. } | ViewError::Argument { .. }))
}

/// The value as people read it, in as many lines as it has.
pub fn printed(name: &str, value: &Value) -> String {
    match value {
        // An HRESULT is looked up in hexadecimal.
        Value::Long(number) if ends_with_name(name, "StatusCode") => format!("0x{number:08x}"),
        Value::Long(number) => number.to_string(),
        Value::Date(text) => date(text),
        Value::Binary(octets) => binary(name, octets),
        Value::String(text) => clean(text),
    }
}

/// `2026-11-21T07:00:00.123Z` as `2026-11-21 07:00:00 UTC`.
pub fn date(text: &str) -> String {
    match text.strip_suffix('Z').and_then(|it| it.split_once('T')) {
        Some((day, time)) => {
            let seconds = time.split_once('.').map_or(time, |(it, _)| it);
            clean(&format!("{day} {seconds} UTC"))
        }
        None => clean(text),
    }
}

fn binary(name: &str, octets: &[u8]) -> String {
    let label = if ends_with_name(name, "Certificate") {
        Some("CERTIFICATE")
    } else if ends_with_name(name, "CRL") {
        Some("X509 CRL")
    } else {
        None
    };
    let armoured = label.and_then(|label| {
        pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, octets).ok()
    });
    armoured.map_or_else(
        || {
            let text = STANDARD.encode(octets);
            let lines: Vec<&str> = text
                .as_bytes()
                .chunks(BASE64_LINE_CHARS)
                .map(|it| std::str::from_utf8(it).unwrap_or_default())
                .collect();
            bounded(&lines.join("\n"))
        },
        |it| it.trim_end().to_owned(),
    )
}

/// Whether the name is that one, also with something before it or an index behind it.
fn ends_with_name(name: &str, end: &str) -> bool {
    let plain = name.split_once('.').filter(|(_, it)| it.bytes().all(|it| it.is_ascii_digit()));
    let plain = plain.map_or(name, |(it, _)| it);
    let start = plain.len().saturating_sub(end.len());
    plain.get(start..).is_some_and(|it| it.eq_ignore_ascii_case(end))
}

/// What comes after a prefix in any ASCII case.
pub fn after_prefix<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let start = name.get(..prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then(|| &name[prefix.len()..])
}

/// A requester's words, fit for the body of a mail: without control characters but for line feeds and
/// tabs, and without those that turn the direction of what follows.
pub fn clean(text: &str) -> String {
    let kept = text.replace("\r\n", "\n").replace('\r', "\n");
    let kept: String =
        kept.chars().filter(|it| !is_hidden(*it) || matches!(it, '\n' | '\t')).collect();
    bounded(&kept)
}

/// The same in one line of bounded length, for a header or a list.
pub fn one_line(text: &str, chars_max: usize) -> String {
    let blanks: String = text
        .chars()
        .map(|it| if it.is_whitespace() || it.is_control() { ' ' } else { it })
        .filter(|it| !is_hidden(*it))
        .collect();
    let words: Vec<&str> = blanks.split(' ').filter(|it| !it.is_empty()).collect();
    let line = words.join(" ");
    if line.chars().count() <= chars_max {
        return line;
    }
    let mut cut: String = line.chars().take(chars_max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

fn bounded(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{} […]", &text[..end]),
    }
}

/// Control characters, and those of Unicode that change the direction or cannot be seen.
fn is_hidden(it: char) -> bool {
    it.is_control()
        || matches!(it, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use exeunt_module_kit::Properties;
    use std::sync::Arc;

    fn event() -> Event {
        let mut event = Event { context: 9, ..Event::default() };
        event.request.push("RequesterName", Value::String("EXAMPLE\\alice".to_owned()));
        event.request.push("StatusCode", Value::Long(0x8009_4012_u32.cast_signed()));
        event.request.push("CommonName", Value::String("asked".to_owned()));
        event.certificate.push("CommonName", Value::String("given".to_owned()));
        event.certificate.push("NotAfter", Value::Date("2027-11-21T07:00:00Z".to_owned()));
        event.certificate.push("RawCertificate", Value::Binary(vec![0x30, 0]));
        event.attributes.push(("Owner".to_owned(), "Bob\r\nBcc: x".to_owned()));
        event.detail.push("Reason", Value::String("disk full".to_owned()));
        let mut system = Properties::default();
        system.push("SanitizedCAName", Value::String("Example CA".to_owned()));
        event.system = Arc::new(system);
        event
    }

    #[test]
    fn names_are_those_of_the_original_s_columns() {
        for (name, expected) in [
            ("Request.RequesterName", "EXAMPLE\\alice"),
            ("request.requestername", "EXAMPLE\\alice"),
            ("RequesterName", "EXAMPLE\\alice"),
            ("Request.StatusCode", "0x80094012"),
            ("Request.CommonName", "asked"),
            ("CommonName", "given"),
            ("CN", "given"),
            ("NotAfter", "2027-11-21 07:00:00 UTC"),
            ("RawCertificate", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----"),
            ("SanitizedCAName", "Example CA"),
            ("Attribute.Owner", "Bob\nBcc: x"),
            ("Detail.Reason", "disk full"),
        ] {
            let value = named(&event(), name).unwrap();
            assert_eq!(printed(name, &value), expected, "{name}");
        }
    }

    #[test]
    fn a_name_without_a_value_is_empty_and_one_that_nobody_knows_is_unknown() {
        for name in ["UPN", "Request.EMail", "SerialNumber", "MachineDNSName", "Attribute.None"] {
            assert!(matches!(named(&event(), name), Err(ViewError::Empty { .. })), "{name}");
            assert!(is_known(name), "{name}");
        }
        for name in ["Request.Nonsense", "Nonsense", ""] {
            assert!(named(&event(), name).is_err());
            assert!(!is_known(name), "{name:?}");
        }
    }

    #[test]
    fn words_of_a_requester_are_cleaned_and_bounded() {
        assert_eq!(clean("a\r\nb\rc\u{202e}d\0\te"), "a\nb\ncd\te");
        assert_eq!(one_line("  a\r\n b\u{2028}c\u{202e} ", 99), "a b c");
        assert_eq!(one_line("abcdef", 4), "abc…");
        let long = "ä".repeat(VALUE_CHARS_MAX + 1);
        assert!(clean(&long).ends_with(" […]") && clean(&long).chars().count() < long.len());
    }
}
