//! An event as a message of syslog: RFC 5424. Of the same event, the same octets at every attempt.

use std::fmt::Write as _;

use exeunt_module_kit::{Event, Properties, Value, exit_event};

use crate::settings::{Facility, Settings, Severity};

/// Longest host name and application name, in characters (RFC 5424, section 6).
pub const HOSTNAME_MAX: usize = 255;
/// As [`HOSTNAME_MAX`].
pub const APP_NAME_MAX: usize = 48;

/// Shortest limit of a message, in octets: what every receiver takes (RFC 5424, section 6.1). Header,
/// id and number fit in it, whatever the names are.
pub const LENGTH_MIN: usize = 480;

/// Most characters of a value, from the first try to the last: what a message has room for decides.
const VALUE_CHARS: [usize; 4] = [1024, 256, 64, 16];

/// What stands for a value that there is none of (RFC 5424, section 6).
const NIL: &str = "-";

/// Before a text in UTF-8 (RFC 5424, section 6.4).
const BOM: &str = "\u{feff}";

/// Who was told what, unless the operator says otherwise.
pub fn severity(event: u32) -> Severity {
    match event {
        exit_event::HEARTBEAT => Severity::Debug,
        exit_event::CERT_ISSUED
        | exit_event::CERT_RETRIEVE_PENDING
        | exit_event::CRL_ISSUED
        | exit_event::CERT_IMPORTED => Severity::Info,
        exit_event::CERT_DENIED | exit_event::CERT_EXPIRING | exit_event::RESTORED => {
            Severity::Warning
        }
        exit_event::REQUEST_FAILED | exit_event::DELIVERY_PARKED => Severity::Err,
        exit_event::CRL_PUBLICATION_FAILED => Severity::Crit,
        _ => Severity::Notice,
    }
}

/// The message, at most as long as the settings allow, without any framing.
pub fn message(settings: &Settings, event: &Event) -> Vec<u8> {
    message_within(settings, event, settings.length_max)
}

/// The message in at most so many octets, no fewer than [`LENGTH_MIN`].
pub fn message_within(settings: &Settings, event: &Event, length_max: usize) -> Vec<u8> {
    let word = exit_event::word(event.event);
    let facility = settings.facilities.get(word).copied().unwrap_or(settings.facility);
    let severity = settings.severities.get(word).copied().unwrap_or_else(|| severity(event.event));
    let header = header(settings, event, word, facility, severity);
    let room = length_max.saturating_sub(header.len());
    // 1. As much of each value as fits. What does not fit even so is left out but for the id.
    let elements = VALUE_CHARS
        .iter()
        .map(|chars| element(settings, event, *chars, true))
        .find(|it| it.len() <= room)
        .unwrap_or_else(|| element(settings, event, 0, false));
    let mut message = header + &elements;
    // 2. The words for people, cut where the room ends.
    let said = sentence(event, word);
    let said = if said.is_ascii() { said } else { format!("{BOM}{said}") };
    let room = length_max.saturating_sub(message.len() + 1);
    let said = cut(&said, room);
    if !said.is_empty() && said != BOM {
        message.push(' ');
        message.push_str(said);
    }
    message.into_bytes()
}

/// Up to the structured data, with a blank at its end.
fn header(
    settings: &Settings,
    event: &Event,
    word: &str,
    facility: Facility,
    severity: Severity,
) -> String {
    let priority = facility.number() * 8 + severity.number();
    let host = match &settings.hostname {
        Some(name) => name.clone(),
        None => event.system.string("MachineDNSName").map(visible).unwrap_or_default(),
    };
    let host = cut(&host, HOSTNAME_MAX);
    let host = if host.is_empty() { NIL } else { host };
    let time = if is_timestamp(&event.time) { &event.time } else { NIL };
    // No process: what is told again is the same message.
    format!("<{priority}>1 {time} {host} {} {NIL} {word} ", settings.app_name)
}

/// What a header field may hold: visible ASCII.
fn visible(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).collect()
}

/// RFC 3339 as RFC 5424, section 6.2.3, wants it; the contract's own texts are.
fn is_timestamp(text: &str) -> bool {
    let shape = text.bytes().map(|it| if it.is_ascii_digit() { b'0' } else { it });
    let shape: Vec<u8> = shape.collect();
    let Some(fraction) = shape.strip_prefix(b"0000-00-00T00:00:00") else { return false };
    let fraction = fraction.strip_suffix(b"Z").unwrap_or(b"x");
    match fraction {
        [] => true,
        [b'.', digits @ ..] => {
            (1..=6).contains(&digits.len()) && digits.iter().all(|it| *it == b'0')
        }
        _ => false,
    }
}

/// The element `exeunt@NUMBER`: everything that a receiver looks for, by name.
fn element(settings: &Settings, event: &Event, chars: usize, everything: bool) -> String {
    let mut element = format!("[exeunt@{}", settings.enterprise_number);
    parameter(&mut element, "id", &event.id, 64);
    if everything {
        parameter(&mut element, "seq", &event.seq.to_string(), chars);
        parameter(&mut element, "subject", &event.subject, chars);
        for (name, properties, property) in [
            ("ca", Part::System, "SanitizedCAName"),
            ("request", Part::Request, "RequestID"),
            ("requester", Part::Request, "RequesterName"),
            ("caller", Part::Request, "CallerName"),
            ("disposition", Part::Request, "Disposition"),
            ("status", Part::Request, "StatusCode"),
            ("reason", Part::Request, "RevokedReason"),
            ("template", Part::Certificate, "CertificateTemplate"),
            ("serial", Part::Certificate, "SerialNumber"),
            ("notBefore", Part::Certificate, "NotBefore"),
            ("notAfter", Part::Certificate, "NotAfter"),
            ("sha1", Part::Certificate, "CertificateHash"),
            ("dn", Part::Certificate, "DistinguishedName"),
            ("requestedDn", Part::Request, "DistinguishedName"),
            ("message", Part::Request, "DispositionMessage"),
        ] {
            if let Some(text) = text_of(properties.of(event), property) {
                parameter(&mut element, name, &text, chars);
            }
        }
        for (name, value) in event.detail.iter() {
            if let Some(text) = text(value) {
                parameter(&mut element, &format!("detail{}", word_of(name)), &text, chars);
            }
        }
    }
    element.push(']');
    element
}

/// Where a parameter is read.
enum Part {
    Request,
    Certificate,
    System,
}

impl Part {
    fn of(self, event: &Event) -> &Properties {
        match self {
            Self::Request => &event.request,
            Self::Certificate => &event.certificate,
            Self::System => &event.system,
        }
    }
}

fn text_of(properties: &Properties, name: &str) -> Option<String> {
    properties.property(name).ok().and_then(text)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Long(number) => Some(number.to_string()),
        Value::Date(text) | Value::String(text) => Some(text.clone()),
        Value::Binary(_) => None,
    }
}

/// What a name of a parameter may hold, at most as long as it may be with something before it
/// (RFC 5424, section 6.3.3: 32 characters).
fn word_of(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).take(26).collect()
}

/// ` NAME="VALUE"`, with what has to be escaped escaped (RFC 5424, section 6.3.3). Line feeds and other
/// control characters become their pictures: a value stays on the line that it is on.
fn parameter(element: &mut String, name: &str, value: &str, chars: usize) {
    // Writing to a text cannot fail.
    write!(element, " {name}=\"").ok();
    for it in shortened(value, chars) {
        if matches!(it, '"' | '\\' | ']') {
            element.push('\\');
        }
        element.push(it);
    }
    element.push('"');
}

/// So many characters at most, an ellipsis being the last one of a longer text.
fn shortened(text: &str, chars: usize) -> impl Iterator<Item = char> {
    let longer = chars < text.chars().count();
    let kept = if longer { chars.saturating_sub(1) } else { chars };
    text.chars().map(pictured).take(kept).chain(longer.then_some('…'))
}

/// A control character as its picture (Unicode, block Control Pictures).
fn pictured(it: char) -> char {
    match it {
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(it)).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        // Others of C1, and what ends a line or turns it around in a terminal.
        '\u{80}'..='\u{9f}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}' => '\u{fffd}',
        it => it,
    }
}

/// What happened, for people.
fn sentence(event: &Event, word: &str) -> String {
    let request = text_of(&event.request, "RequestID");
    let requester = text_of(&event.request, "RequesterName");
    let serial = text_of(&event.certificate, "SerialNumber");
    let name = text_of(&event.certificate, "DistinguishedName")
        .or_else(|| text_of(&event.certificate, "CommonName"))
        .or_else(|| text_of(&event.request, "DistinguishedName"));
    let mut said = word.to_owned();
    for (before, value) in [
        (": certificate ", serial),
        (", request ", request),
        (" of ", requester),
        (", subject ", name),
        (": ", text_of(&event.request, "DispositionMessage")),
        (": ", text_of(&event.detail, "Reason")),
    ] {
        if let Some(value) = value {
            said.push_str(before);
            said.extend(shortened(&value, VALUE_CHARS[1]));
        }
    }
    said
}

/// The start of a text, at most so many octets, with no character cut in two.
fn cut(text: &str, octets: usize) -> &str {
    text.get(..text.floor_char_boundary(octets)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use exeunt_module_kit::testing::issued_event;
    use proptest::prelude::*;
    use serde_json::json;
    use std::sync::Arc;

    fn settings(more: &serde_json::Value) -> Settings {
        let mut settings = json!({"server": "log.example.com", "hostname": "ca.example.com"});
        for (name, value) in more.as_object().unwrap() {
            settings[name] = value.clone();
        }
        Settings::read(settings.as_object().unwrap()).unwrap()
    }

    fn text_of_message(settings: &Settings, event: &Event) -> String {
        String::from_utf8(message(settings, event)).unwrap()
    }

    #[test]
    fn an_event_is_one_message() {
        let event = issued_event(7, b"x");
        assert_eq!(
            text_of_message(&settings(&json!({})), &event),
            "<86>1 2026-11-21T07:00:00.000Z ca.example.com exeunt - issued \
             [exeunt@32473 id=\"00000000000000000000000000000001-7\" seq=\"7\" subject=\"request:7\" \
             ca=\"Test CA\" request=\"7\" requester=\"test\" disposition=\"20\" status=\"0\" \
             template=\"WebServer\" serial=\"40000000000000000000000000000007\" \
             notBefore=\"2026-11-21T07:00:00Z\" notAfter=\"2027-11-21T07:00:00Z\"] \
             issued: certificate 40000000000000000000000000000007, request 7 of test, subject \
             www.example.com"
        );
        let again = Event { attempt: 5, ..event.clone() };
        let settings = settings(&json!({}));
        assert_eq!(message(&settings, &event), message(&settings, &again));
    }

    #[test]
    fn facility_and_severity_are_those_of_the_settings() {
        let more = json!({
            "facility": "local0", "facilities": {"denied": "auth"},
            "severities": {"issued": "debug"}, "enterprise_number": 64_512,
        });
        let settings = settings(&more);
        let of = |event| {
            let event = Event { event, ..issued_event(1, b"x") };
            text_of_message(&settings, &event)
        };
        assert!(of(exit_event::CERT_ISSUED).starts_with("<135>1 "));
        assert!(of(exit_event::CERT_DENIED).starts_with("<36>1 "));
        assert!(of(exit_event::CERT_REVOKED).starts_with("<133>1 "));
        assert!(of(exit_event::CERT_ISSUED).contains("[exeunt@64512 "));
    }

    #[test]
    fn what_a_requester_writes_ends_no_value_and_no_line() {
        let mut event = issued_event(1, b"x");
        let evil = "a\"]b\\\n<0>1 - - - - - - fake\u{0}\u{9b}\u{202e}é";
        event.request.set("RequesterName", Some(Value::String(evil.to_owned())));
        let text = text_of_message(&settings(&json!({})), &event);
        assert!(
            text.contains("requester=\"a\\\"\\]b\\\\␊<0>1 - - - - - - fake␀\u{fffd}\u{fffd}é\"")
        );
        assert!(!text.contains(|it: char| it.is_control()), "{text}");
        // Words that are not ASCII say so.
        assert!(text.contains("] \u{feff}issued: "), "{text}");
    }

    #[test]
    fn without_a_name_there_is_a_hyphen() {
        let settings = Settings { hostname: None, ..settings(&json!({})) };
        let mut event = Event { time: "yesterday".to_owned(), ..issued_event(1, b"x") };
        assert!(text_of_message(&settings, &event).starts_with("<86>1 - - exeunt - issued ["));
        let name = Value::String("ca .example.com".to_owned());
        event.system = Arc::new(Properties::from_iter([("MachineDNSName", name)]));
        assert!(text_of_message(&settings, &event).starts_with("<86>1 - ca.example.com exeunt "));
    }

    #[test]
    fn only_timestamps_are_timestamps() {
        for good in
            ["2026-11-21T07:00:00Z", "2026-11-21T07:00:00.123Z", "2026-11-21T07:00:00.123456Z"]
        {
            assert!(is_timestamp(good), "{good}");
        }
        for bad in [
            "",
            "2026-11-21",
            "2026-11-21T07:00:00",
            "2026-11-21T07:00:00.Z",
            "2026-11-21T07:00:00.1234567Z",
            "2026-11-21T07:00:00 Z",
        ] {
            assert!(!is_timestamp(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_message_is_longer_than_allowed_and_every_one_has_its_id(
            length_max in LENGTH_MIN..3000_usize,
            requester in "\\PC{0,600}",
            name in any::<String>(),
            host in "[!-~]{1,255}",
            seq: u64,
        ) {
            let settings = Settings {
                length_max,
                hostname: Some(host),
                app_name: "x".repeat(APP_NAME_MAX),
                ..settings(&json!({"enterprise_number": u32::MAX}))
            };
            let mut event = issued_event(seq, b"x");
            event.event = exit_event::CRL_PUBLICATION_FAILED;
            event.request.set("RequesterName", Some(Value::String(requester)));
            event.certificate.push("DistinguishedName", Value::String(name));
            let message = message(&settings, &event);
            prop_assert!(message.len() <= length_max);
            let text = String::from_utf8(message).unwrap();
            let id = format!("[exeunt@4294967295 id=\"{}\"", event.id);
            prop_assert!(text.contains(&id), "{}", text);
        }
    }
}
