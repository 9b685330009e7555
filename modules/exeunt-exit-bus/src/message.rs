//! What is sent for an event: headers and body.

use std::fmt::Write as _;

use async_nats::jetstream::message::PublishMessage;
use exeunt_module_kit::Event;
use exeunt_publication::cloudevent::{self, CloudEvent};

use crate::settings::Mode;

/// Before an attribute's name in a header, in the binary mode (NATS protocol binding for `CloudEvents`,
/// section 3.1).
const ATTRIBUTE_START: &str = "ce-";

/// The media type in both modes.
const CONTENT_TYPE: &str = "content-type";

/// The message that the module of this name sends of an event. The server recognises it by
/// [`message_id`], and takes it into `stream` or not at all.
pub fn of(event: &Event, module: &str, source: &str, mode: Mode, stream: &str) -> PublishMessage {
    let cloud_event = CloudEvent::new(event, source);
    let id = message_id(event, module);
    let message = PublishMessage::build().message_id(id).expected_stream(stream);
    match mode {
        Mode::Structured => message
            .header(CONTENT_TYPE, cloudevent::STRUCTURED)
            .payload(cloud_event.structured().to_string().into()),
        Mode::Binary => {
            let data = cloud_event.data.to_string();
            cloud_event
                .attributes
                .iter()
                .fold(message, |message, (name, value)| match *name {
                    "datacontenttype" => message.header(CONTENT_TYPE, value.as_str()),
                    name => message
                        .header(format!("{ATTRIBUTE_START}{name}").as_str(), &*escaped(value)),
                })
                .payload(data.into())
        }
    }
}

/// By what the server knows a message that comes again. A stream knows ids whatever their subjects, so
/// the module's name is in it: two modules that tell one stream of the same event both stand there.
fn message_id(event: &Event, module: &str) -> String {
    format!("{}.{}", event.id, escaped(module))
}

/// How long the body of an event's message is, in octets.
pub fn body_length(event: &Event, source: &str, mode: Mode) -> usize {
    let cloud_event = CloudEvent::new(event, source);
    match mode {
        Mode::Structured => cloud_event.structured().to_string().len(),
        Mode::Binary => cloud_event.data.to_string().len(),
    }
}

/// The value of an attribute as a header takes it: what is not printable ASCII, quotes and `%` are
/// percent-encoded (NATS protocol binding for `CloudEvents`, section 3.1.3.2).
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'!'..=b'~' if byte != b'%' && byte != b'"' => escaped.push(char::from(byte)),
            // Writing to a text cannot fail.
            _ => write!(escaped, "%{byte:02X}").unwrap_or_default(),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_no_second_line_whatever_an_attribute_says() {
        assert_eq!(escaped("/exeunt/CA"), "/exeunt/CA");
        assert_eq!(escaped("a b%\"\r\nx: ü"), "a%20b%25%22%0D%0Ax:%20%C3%BC");
    }
}
