//! The octets of an event: the `CloudEvent` that all modules send, and what a web server gets
//! beside.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use exeunt_module_kit::{Event, Value};
use exeunt_publication::cloudevent::CloudEvent;
use serde_json::{Map, Value as Json};

/// Properties of the CA that mean something on its own machine alone: paths.
const LOCAL: [&str; 4] = ["CRLFile", "DeltaCRLFile", "CRLPartitionFiles", "ModuleRegistryLocation"];

/// The request as it came. It is large, and most receivers have no use for it.
pub const RAW_REQUEST: &str = "RawRequest";

/// What the operator says about the content, the same for every event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// `source`: the CA, as a URI reference.
    pub source: String,
    /// `dataschema`, if the operator has one.
    pub dataschema: Option<String>,
    /// Whether the properties of the CA are in the data.
    pub system: bool,
}

impl Frame {
    /// The octets of an event: the same at every attempt. `raw_request` is put in where it is given,
    /// and left out otherwise.
    pub fn encode(&self, event: &Event, raw_request: Option<&[u8]>) -> Vec<u8> {
        let mut json = CloudEvent::new(event, &self.source).structured();
        if let Some(schema) = &self.dataschema {
            json["dataschema"] = schema.as_str().into();
        }
        if let Some(request) = json["data"]["request"].as_object_mut() {
            request.retain(|name, _| !name.eq_ignore_ascii_case(RAW_REQUEST));
            if let Some(der) = raw_request {
                request.insert(RAW_REQUEST.to_owned(), STANDARD.encode(der).into());
            }
        }
        if self.system {
            json["data"]["system"] = Json::Object(system(event));
        }
        // Its text, because writing that cannot fail.
        json.to_string().into_bytes()
    }
}

fn system(event: &Event) -> Map<String, Json> {
    let told = event.system.iter().filter(|(name, _)| {
        !LOCAL.iter().any(|it| {
            // `CRLFile.2` is the path of another list.
            let start = name.split('.').next().unwrap_or_default();
            it.eq_ignore_ascii_case(start)
        })
    });
    told.map(|(name, value)| {
        let plain = match value {
            Value::Long(number) => (*number).into(),
            Value::Date(text) | Value::String(text) => text.as_str().into(),
            Value::Binary(octets) => STANDARD.encode(octets).into(),
        };
        (name.to_owned(), plain)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use exeunt_module_kit::{Properties, testing::issued_event};
    use serde_json::json;
    use std::sync::Arc;

    fn frame() -> Frame {
        Frame { source: "/exeunt/Test".to_owned(), dataschema: None, system: true }
    }

    fn encoded(frame: &Frame, event: &Event, raw_request: Option<&[u8]>) -> Json {
        serde_json::from_slice(&frame.encode(event, raw_request)).unwrap()
    }

    fn event() -> Event {
        let mut event = issued_event(7, &[0x30, 0x00]);
        event.request.push(RAW_REQUEST, Value::Binary(vec![0x30]));
        event.system = Arc::new(Properties::from_iter([
            ("SanitizedCAName", Value::String("Example CA".to_owned())),
            ("RawCRL", Value::Binary(vec![0x30, 0x00])),
            ("CertCount", Value::Long(2)),
            ("crlfile", Value::String("/var/lib/exeunt/crls/ca.crl".to_owned())),
            ("DeltaCRLFile.1", Value::String("/var/lib/exeunt/crls/ca+.crl".to_owned())),
        ]));
        event
    }

    #[test]
    fn the_ca_is_told_of_without_the_paths_of_its_machine() {
        let json = encoded(&frame(), &event(), None);
        assert_eq!(json["source"], "/exeunt/Test");
        let system = json!({"SanitizedCAName": "Example CA", "RawCRL": "MAA=", "CertCount": 2});
        assert_eq!(json["data"]["system"], system);
        let without = Frame { system: false, ..frame() };
        assert_eq!(encoded(&without, &event(), None)["data"]["system"], Json::Null);
    }

    #[test]
    fn the_raw_request_is_there_where_it_is_given_and_not_otherwise() {
        let json = encoded(&frame(), &event(), None);
        assert_eq!(json["data"]["request"][RAW_REQUEST], Json::Null);
        assert_eq!(json["dataschema"], Json::Null);
        let schema = Frame { dataschema: Some("https://example.com/s".to_owned()), ..frame() };
        let json = encoded(&schema, &event(), Some(&[0x31]));
        assert_eq!(json["data"]["request"][RAW_REQUEST], "MQ==");
        assert_eq!(json["dataschema"], "https://example.com/s");
    }

    #[test]
    fn another_attempt_is_the_same_octets() {
        let again = Event { attempt: 9, ..event() };
        assert_eq!(frame().encode(&event(), None), frame().encode(&again, None));
    }
}
