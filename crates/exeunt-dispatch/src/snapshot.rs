//! The read-only view: turns a row of the event log into the event that a module reads.
//!
//! What can change after the event (disposition, status, message) is taken from the event's own
//! row, so that a module that hears late still reads what was true then.

use std::{fmt::Write as _, sync::Arc};

use exeunt_module::{Event, Extensions, Properties, Value};
use exeunt_store::LoggedEvent;
use exeunt_types::{
    CertificateRecord, Disposition, EventSeq, EventState, RequestRecord, SubjectKey, UnixMillis,
};

use crate::settings::CaFacts;

/// Attributes of a distinguished name that are also properties of their own: the type as RFC 4514
/// text has it, and the original's name of the property.
const NAME_PARTS: [(&str, &str); 9] = [
    ("CN", "CommonName"),
    ("C", "Country"),
    ("O", "Organization"),
    ("OU", "OrgUnit"),
    ("L", "Locality"),
    ("ST", "State"),
    ("DC", "DomainComponent"),
    ("EMAIL", "EMail"),
    ("E", "EMail"),
];

/// Makes the events of one CA.
#[derive(Clone, Debug)]
pub(crate) struct Snapshots {
    store_id: String,
    system: Arc<Properties>,
}

impl Snapshots {
    /// Prepares what is the same from event to event. `store_id` makes event ids unique among CAs.
    pub(crate) fn new(store_id: String, facts: &CaFacts) -> Self {
        Self { store_id, system: Arc::new(system_properties(facts)) }
    }

    /// The event as the module reads it at attempt number `attempt`, 1 and up.
    pub(crate) fn event(&self, logged: &LoggedEvent, attempt: u32) -> Event {
        let request = logged.request.as_ref();
        let state = logged.state.as_ref();
        // A pending request that was issued since has a certificate now, but had none then.
        let resolved = state.is_none_or(|it| is_resolved(it.disposition));
        let certificate = logged.certificate.as_ref().filter(|_| resolved);
        Event {
            id: event_id(&self.store_id, logged.seq),
            seq: logged.seq.0,
            event: logged.kind.bit(),
            context: match logged.subject {
                SubjectKey::Request(request) => request.0,
                SubjectKey::Server => 0,
            },
            subject: logged.subject.to_string(),
            time: milliseconds(logged.at),
            attempt,
            request: request.map(|it| request_properties(it, state)).unwrap_or_default(),
            certificate: certificate.map(certificate_properties).unwrap_or_default(),
            attributes: request.map(|it| it.request.attributes.clone()).unwrap_or_default(),
            // The log does not carry extensions yet; the contract's field for them is ready.
            extensions: Extensions::default(),
            detail: Properties::default(),
            system: Arc::clone(&self.system),
        }
    }
}

/// The id of an event: the same at every attempt, on every node, for every module.
fn event_id(store_id: &str, seq: EventSeq) -> String {
    format!("{store_id}-{seq}")
}

fn is_resolved(disposition: Disposition) -> bool {
    !matches!(disposition, Disposition::Active | Disposition::Pending)
}

fn request_properties(record: &RequestRecord, state: Option<&EventState>) -> Properties {
    let RequestRecord { id, request, disposition, status, message, resolved, serial: _ } = record;
    let (disposition, status, message) = match state {
        Some(EventState { disposition, status, message }) => (disposition, status, message),
        None => (disposition, status, message),
    };
    let mut properties = Properties::with_capacity(24);
    properties.push("RequestID", long(id.0));
    properties.push("RequestType", Value::Long(request.request_type.code()));
    properties.push("StatusCode", Value::Long(status.0.cast_signed()));
    properties.push("Disposition", Value::Long(disposition.code()));
    push_text(&mut properties, "DispositionMessage", message);
    properties.push("SubmittedWhen", Value::Date(milliseconds(request.submitted)));
    if let Some(resolved) = resolved.filter(|_| is_resolved(*disposition)) {
        properties.push("ResolvedWhen", Value::Date(milliseconds(resolved)));
    }
    push_text(&mut properties, "RequesterName", &request.requester);
    push_text(&mut properties, "CallerName", &request.caller);
    push_text(&mut properties, "RequestAttributes", &attribute_lines(&request.attributes));
    push_name(&mut properties, &request.subject);
    properties.push("RawRequest", Value::Binary(request.raw.clone()));
    properties
}

fn certificate_properties(record: &CertificateRecord) -> Properties {
    let CertificateRecord { request, certificate, template, issued: _, event: _ } = record;
    let mut properties = Properties::with_capacity(20);
    properties.push("RequestID", long(request.0));
    properties.push("RawCertificate", Value::Binary(certificate.raw.clone()));
    push_text(&mut properties, "CertificateTemplate", template);
    properties.push("SerialNumber", Value::String(certificate.serial.to_string()));
    properties.push("NotBefore", Value::Date(seconds(certificate.not_before)));
    properties.push("NotAfter", Value::Date(seconds(certificate.not_after)));
    properties.push("PublicKeyLength", long(u64::from(certificate.key.public_key_bits())));
    push_name(&mut properties, &certificate.subject);
    properties
}

fn system_properties(facts: &CaFacts) -> Properties {
    let CaFacts { name, machine_dns_name, root, certificate } = facts;
    let mut properties = Properties::with_capacity(5);
    properties.push("SanitizedCAName", Value::String(sanitized(name)));
    properties.push("MachineDNSName", Value::String(machine_dns_name.clone()));
    // The original's ENUM_STANDALONE_ROOTCA and ENUM_STANDALONE_SUBCA: no directory behind it.
    properties.push("CAType", Value::Long(if *root { 3 } else { 4 }));
    properties.push("CertCount", Value::Long(1));
    properties.push("RawCACertificate", Value::Binary(certificate.clone()));
    properties
}

/// A row number as the original's 32-bit long. A CA that ever passes two thousand million requests
/// reads the largest number here and the right one in the event's context.
fn long(number: u64) -> Value {
    Value::Long(i32::try_from(number).unwrap_or(i32::MAX))
}

/// An empty text is a property without a value: the original reports it as empty.
fn push_text(properties: &mut Properties, name: &'static str, text: &str) {
    if !text.is_empty() {
        properties.push(name, Value::String(text.to_owned()));
    }
}

/// The whole distinguished name and its parts; several values of one part are joined by a line
/// feed, as the original does.
fn push_name(properties: &mut Properties, subject: &str) {
    push_text(properties, "DistinguishedName", subject);
    let mut parts: Vec<(&'static str, String)> = Vec::new();
    for (kind, value) in name_attributes(subject) {
        let Some((_, name)) = NAME_PARTS.iter().find(|(it, _)| kind.eq_ignore_ascii_case(it))
        else {
            continue;
        };
        match parts.iter_mut().find(|(it, _)| it == name) {
            Some((_, text)) => {
                text.push('\n');
                text.push_str(&value);
            }
            None => parts.push((name, value)),
        }
    }
    for (name, text) in parts {
        properties.push(name, Value::String(text));
    }
}

/// Types and values of an RFC 4514 text, in its order. Values in `#hex` form are left out: they
/// are not text.
fn name_attributes(subject: &str) -> Vec<(&str, String)> {
    split_unescaped(subject)
        .filter_map(|it| it.split_once('='))
        .filter(|(_, value)| !value.starts_with('#'))
        .map(|(kind, value)| (kind.trim(), unescaped(value)))
        .collect()
}

/// Splits at the commas and plus signs that are not escaped (RFC 4514, section 2).
fn split_unescaped(subject: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    subject.split(move |it: char| {
        let separates = !escaped && matches!(it, ',' | '+');
        escaped = !escaped && it == '\\';
        separates
    })
}

/// Takes the escapes of RFC 4514, section 3, out of a value: `\,` and the like, and `\C3\BC`.
fn unescaped(value: &str) -> String {
    if !value.contains('\\') {
        return value.to_owned();
    }
    let hex = |it: u8| char::from(it).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let mut octets = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'\\', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                octets.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                rest = after;
            }
            (b'\\', [next, after @ ..]) => {
                octets.push(*next);
                rest = after;
            }
            _ => octets.push(*first),
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}

fn attribute_lines(attributes: &[(String, String)]) -> String {
    attributes.iter().flat_map(|(name, value)| [name, ":", value, "\n"]).collect()
}

/// The CA's name with every character that is not safe in a file or directory name written as `!`
/// and the four hexadecimal digits of its UTF-16 unit ([MS-WCCE], section 3.1.1.4.1.1).
fn sanitized(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for unit in name.encode_utf16() {
        match u8::try_from(unit) {
            Ok(it @ 0x20..=0x7e) if !br##"!"#%&'()*+,/:;<=>?[\]^`{|}"##.contains(&it) => {
                out.push(char::from(it));
            }
            _ => write!(out, "!{unit:04x}").expect("BUG: writing to a String cannot fail"),
        }
    }
    out
}

/// RFC 3339 in UTC with milliseconds.
fn milliseconds(moment: UnixMillis) -> String {
    timestamp(moment).map_or_else(String::new, |it| format!("{it:.3}"))
}

/// RFC 3339 in UTC with whole seconds, as certificates count.
fn seconds(moment: UnixMillis) -> String {
    timestamp(moment).map_or_else(String::new, |it| format!("{it:.0}"))
}

/// `None` lies outside the years -9999 to 9999, which no clock of ours produces.
fn timestamp(moment: UnixMillis) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(moment.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use exeunt_types::{
        EventKind, KeyAlgorithm, NewCertificate, NewRequest, RequestId, RequestType, Serial,
        StatusCode,
    };
    use expect_test::{Expect, expect};

    fn facts() -> CaFacts {
        CaFacts {
            name: "Example & Söhne / CA 1".to_owned(),
            machine_dns_name: "ca.example.org".to_owned(),
            root: true,
            certificate: vec![0x30, 0x00],
        }
    }

    /// Request 7, issued at 2025-01-01T00:00:02.5Z.
    fn issued() -> LoggedEvent {
        let at = UnixMillis(1_735_689_602_500);
        let serial = Serial::from_be_bytes(&[0x4a, 0x01]).unwrap();
        LoggedEvent {
            seq: EventSeq(9),
            kind: EventKind::CERT_ISSUED,
            subject: SubjectKey::Request(RequestId(7)),
            at,
            state: Some(EventState {
                disposition: Disposition::Issued,
                status: StatusCode::OK,
                message: "issued".to_owned(),
            }),
            request: Some(RequestRecord {
                id: RequestId(7),
                request: NewRequest {
                    raw: vec![0x30, 0x01],
                    request_type: RequestType::Pkcs10,
                    requester: "alice".to_owned(),
                    caller: "ra".to_owned(),
                    template: "tls".to_owned(),
                    attributes: vec![
                        ("CertificateTemplate".to_owned(), "tls".to_owned()),
                        ("cdc".to_owned(), "dc1".to_owned()),
                    ],
                    subject: "CN=www.example.org".to_owned(),
                    submitted: UnixMillis(1_735_689_600_000),
                },
                disposition: Disposition::Revoked,
                status: StatusCode::FAIL,
                message: "revoked since".to_owned(),
                resolved: Some(at),
                serial: Some(serial),
            }),
            certificate: Some(CertificateRecord {
                request: RequestId(7),
                certificate: NewCertificate {
                    serial,
                    raw: vec![0x30, 0x02],
                    subject: "CN=www.example.org,OU=a,OU=b,O=x\\, y".to_owned(),
                    subject_alternative_names: String::new(),
                    not_before: UnixMillis(1_735_689_600_000),
                    not_after: UnixMillis(1_743_465_599_000),
                    key: KeyAlgorithm::EcdsaP256,
                },
                template: "tls".to_owned(),
                issued: at,
                event: EventSeq(9),
            }),
            detail: Vec::new(),
            corrupt: None,
        }
    }

    #[track_caller]
    fn check(logged: &LoggedEvent, expect: &Expect) {
        let event = Snapshots::new("store".to_owned(), &facts()).event(logged, 3);
        let mut text = format!(
            "{} {} {:#x} {} {} {} {}\n",
            event.id,
            event.seq,
            event.event,
            event.context,
            event.subject,
            event.time,
            event.attempt
        );
        for (title, properties) in
            [("request", &event.request), ("certificate", &event.certificate)]
        {
            for (name, value) in properties.iter() {
                writeln!(text, "{title} {name} {value:?}").unwrap();
            }
        }
        for (name, value) in &event.attributes {
            writeln!(text, "attribute {name} {value}").unwrap();
        }
        expect.assert_eq(&text);
    }

    #[test]
    fn a_module_that_hears_late_reads_what_was_true_then() {
        check(
            &issued(),
            &expect![[r#"
            store-9 9 0x1 7 request:7 2025-01-01T00:00:02.500Z 3
            request RequestID Long(7)
            request RequestType Long(256)
            request StatusCode Long(0)
            request Disposition Long(20)
            request DispositionMessage String("issued")
            request SubmittedWhen Date("2025-01-01T00:00:00.000Z")
            request ResolvedWhen Date("2025-01-01T00:00:02.500Z")
            request RequesterName String("alice")
            request CallerName String("ra")
            request RequestAttributes String("CertificateTemplate:tls\ncdc:dc1\n")
            request DistinguishedName String("CN=www.example.org")
            request CommonName String("www.example.org")
            request RawRequest Binary([48, 1])
            certificate RequestID Long(7)
            certificate RawCertificate Binary([48, 2])
            certificate CertificateTemplate String("tls")
            certificate SerialNumber String("4a01")
            certificate NotBefore Date("2025-01-01T00:00:00Z")
            certificate NotAfter Date("2025-03-31T23:59:59Z")
            certificate PublicKeyLength Long(256)
            certificate DistinguishedName String("CN=www.example.org,OU=a,OU=b,O=x\\, y")
            certificate CommonName String("www.example.org")
            certificate OrgUnit String("a\nb")
            certificate Organization String("x, y")
            attribute CertificateTemplate tls
            attribute cdc dc1
        "#]],
        );
    }

    #[test]
    fn a_pending_request_has_no_certificate_even_if_it_has_one_now() {
        let mut logged = issued();
        logged.kind = EventKind::CERT_PENDING;
        logged.state = Some(EventState {
            disposition: Disposition::Pending,
            status: StatusCode::OK,
            message: "taken under submission".to_owned(),
        });
        let event = Snapshots::new("store".to_owned(), &facts()).event(&logged, 1);
        assert!(event.certificate.is_empty());
        assert_eq!(event.request.long("Disposition").unwrap(), 9);
        assert!(event.request.date("ResolvedWhen").is_err());
    }

    #[test]
    fn an_event_of_the_server_has_context_zero_and_an_unknown_kind_keeps_its_bit() {
        let logged = LoggedEvent {
            kind: EventKind::from_bit(0x4000_0000),
            subject: SubjectKey::Server,
            state: None,
            request: None,
            certificate: None,
            ..issued()
        };
        check(
            &logged,
            &expect![[r"
            store-9 9 0x40000000 0 server 2025-01-01T00:00:02.500Z 3
        "]],
        );
    }

    #[test]
    fn a_ca_name_is_sanitised_by_the_originals_rule() {
        let system = system_properties(&facts());
        assert_eq!(system.string("sanitizedcaname").unwrap(), "Example !0026 S!00f6hne !002f CA 1");
        assert_eq!(system.long("CAType").unwrap(), 3);
        assert_eq!(sanitized("a-b_c.d@e$~ "), "a-b_c.d@e$~ ");
        assert_eq!(sanitized("\u{1f511}"), "!d83d!dd11");
        assert_eq!(sanitized("\u{7f}"), "!007f");
    }

    #[test]
    fn a_name_comes_apart_by_the_rules_of_rfc_4514() {
        // The examples of RFC 4514, section 4.
        let of = |text| {
            let mut properties = Properties::default();
            push_name(&mut properties, text);
            properties
        };
        let steve = of("UID=jsmith,DC=example,DC=net");
        assert_eq!(steve.string("DomainComponent").unwrap(), "example\nnet");
        let smith = of("OU=Sales+CN=J.  Smith,DC=example,DC=net");
        assert_eq!(smith.string("CommonName").unwrap(), "J.  Smith");
        assert_eq!(smith.string("OrgUnit").unwrap(), "Sales");
        let quoted = of(r#"CN=James \"Jim\" Smith\, III,DC=example,DC=net"#);
        assert_eq!(quoted.string("CommonName").unwrap(), r#"James "Jim" Smith, III"#);
        let control = of(r"CN=Before\0dAfter,DC=example,DC=net");
        assert_eq!(control.string("CommonName").unwrap(), "Before\rAfter");
        assert_eq!(of(r"CN=Lu\C4\8Di\C4\87").string("CommonName").unwrap(), "Lučić");
        assert!(of("1.3.6.1.4.1.1466.0=#04024869").string("CommonName").is_err());
        assert!(of("").is_empty());
        assert_eq!(of("CN=\\").string("CommonName").unwrap(), "\\");
    }
}
