//! An event as a `CloudEvent`, version 1.0, with data that needs no knowledge of the contract.
//!
//! Bus and webhook send the same: whoever reads the one reads the other. The same event gives the
//! same `CloudEvent` at every attempt.

use std::fmt::Write as _;

use exeunt_module_kit::{Event, Extension, Properties, exit_event};
use serde_json::{Map, Value as Json, json};

/// Version of the specification, as its attribute `specversion` says it.
pub const SPEC_VERSION: &str = "1.0";

/// Media type of one event in the structured mode (`CloudEvents` JSON format, section 3).
pub const STRUCTURED: &str = "application/cloudevents+json";

/// Media type of several events in an array (`CloudEvents` JSON format, section 4).
pub const BATCHED: &str = "application/cloudevents-batch+json";

/// Media type of the data.
pub const DATA: &str = "application/json";

/// Before the event's word in the attribute `type`.
const TYPE_START: &str = "exeunt.";

/// Digits of the attribute `sequence`: as many as the largest place in an event log has, so that the
/// order of the texts is that of the numbers (`CloudEvents` extension `sequence`).
const SEQUENCE_DIGITS: usize = 20;

/// An event as a `CloudEvent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvent {
    /// Its attributes by name: `specversion`, `id`, `source`, `type`, `subject`, `time`,
    /// `datacontenttype` and the extension `sequence`.
    pub attributes: [(&'static str, String); 8],
    /// What it says: `event`, `ca`, `seq`, `context`, `request`, `certificate`, `attributes`,
    /// `extensions` and `detail`.
    pub data: Json,
}

impl CloudEvent {
    /// Makes one of an event. `source` is a URI reference that names the CA: see [`source()`].
    #[must_use]
    pub fn new(event: &Event, source: &str) -> Self {
        let attributes = [
            ("specversion", SPEC_VERSION.to_owned()),
            ("id", event.id.clone()),
            ("source", source.to_owned()),
            ("type", format!("{TYPE_START}{}", word(event.event))),
            ("subject", event.subject.clone()),
            ("time", event.time.clone()),
            ("datacontenttype", DATA.to_owned()),
            ("sequence", format!("{:0SEQUENCE_DIGITS$}", event.seq)),
        ];
        Self { attributes, data: data(event) }
    }

    /// Attributes and data in one object: the structured mode.
    #[must_use]
    pub fn structured(&self) -> Json {
        let mut object: Map<String, Json> = self
            .attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Json::String(value.clone())))
            .collect();
        object.insert("data".to_owned(), self.data.clone());
        Json::Object(object)
    }
}

/// The attribute `source` where the operator names none: `/exeunt/` and the CA's sanitised name, with
/// everything percent-encoded that is not unreserved (RFC 3986, section 2.3).
#[must_use]
pub fn source(ca: &str) -> String {
    let mut source = "/exeunt/".to_owned();
    for byte in ca.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            source.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            write!(source, "%{byte:02X}").ok();
        }
    }
    source
}

/// The event's word; its number where this version knows none.
#[must_use]
pub fn word(event: u32) -> String {
    match exit_event::word(event) {
        "unknown" => format!("event-{event:#x}"),
        word => word.to_owned(),
    }
}

fn data(event: &Event) -> Json {
    let attributes: Vec<Json> = event
        .attributes
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    let extensions: Map<String, Json> = event
        .extensions
        .iter()
        .map(|(oid, extension)| (oid.to_owned(), of_extension(extension)))
        .collect();
    json!({
        "event": word(event.event),
        "ca": event.system.string("SanitizedCAName").ok(),
        "seq": event.seq,
        "context": event.context,
        "request": plain(&event.request),
        "certificate": plain(&event.certificate),
        "attributes": attributes,
        "extensions": extensions,
        "detail": plain(&event.detail),
    })
}

fn of_extension(extension: &Extension) -> Json {
    // The contract writes the octets as base64, and so does this.
    let mut object = serde_json::to_value(extension).unwrap_or_default();
    object["critical"] = (extension.flags & Extension::CRITICAL != 0).into();
    object["disabled"] = (extension.flags & Extension::DISABLED != 0).into();
    object
}

/// Properties by name: numbers as numbers, dates and texts as texts, octets as base64. Where a name
/// stands twice the first counts, as it does for whoever reads the property.
fn plain(properties: &Properties) -> Json {
    let mut object = Map::new();
    for (name, value) in properties.iter() {
        let plain = match serde_json::to_value(value) {
            // One member, named after the type.
            Ok(Json::Object(typed)) => typed.into_iter().next().map(|(_, it)| it),
            _ => None,
        };
        if !object.contains_key(name) {
            object.insert(name.to_owned(), plain.unwrap_or_default());
        }
    }
    Json::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use exeunt_module_kit::{Value, testing::issued_event};

    #[test]
    fn an_event_says_what_it_is_and_everything_that_can_be_read_in_plain_json() {
        let mut event = issued_event(9, &[1, 2, 3]);
        let extension = Extension { flags: 0x2_0001, value: vec![0x30, 0] };
        event.extensions.push("2.5.29.17", extension);
        event.detail.push("Number", Value::Long(-7));
        let json = CloudEvent::new(&event, &source("Test CA")).structured();
        assert_eq!(json["specversion"], "1.0");
        assert_eq!(json["id"], "00000000000000000000000000000001-9");
        assert_eq!(json["source"], "/exeunt/Test%20CA");
        assert_eq!(json["type"], "exeunt.issued");
        assert_eq!(json["subject"], "request:9");
        assert_eq!(json["time"], "2026-11-21T07:00:00.000Z");
        assert_eq!(json["sequence"], "00000000000000000009");
        let data = &json["data"];
        assert_eq!(data["request"]["RequestID"], 9);
        assert_eq!(data["certificate"]["RawCertificate"], "AQID");
        assert_eq!(data["certificate"]["NotAfter"], "2027-11-21T07:00:00Z");
        assert_eq!(data["attributes"][0]["value"], "WebServer");
        assert_eq!(data["detail"]["Number"], -7);
        let of_name = &data["extensions"]["2.5.29.17"];
        assert_eq!((&of_name["value"], &of_name["critical"]), (&json!("MAA="), &json!(true)));
        assert_eq!(of_name["disabled"], false);
    }

    #[test]
    fn a_later_attempt_says_the_same() {
        let event = issued_event(9, &[1]);
        let again = Event { attempt: 7, ..event.clone() };
        assert_eq!(CloudEvent::new(&event, "/x"), CloudEvent::new(&again, "/x"));
    }

    #[test]
    fn an_event_that_this_version_does_not_know_has_its_number() {
        let event = Event { event: 1 << 30, ..issued_event(9, &[1]) };
        assert_eq!(CloudEvent::new(&event, "/x").attributes[3].1, "exeunt.event-0x40000000");
    }
}
