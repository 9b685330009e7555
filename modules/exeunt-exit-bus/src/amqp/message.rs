//! What is sent for an event: properties and body.

use exeunt_module_kit::Event;
use exeunt_publication::cloudevent::{self, CloudEvent};
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::{amqp::settings::NAME_BYTES_MAX, settings::Mode};

/// Before an attribute's name in a header, in the binary mode (AMQP protocol binding for `CloudEvents`,
/// section 3.1.3.1). That binding is of AMQP 1.0; `RabbitMQ` makes headers of AMQP 0-9-1 its application
/// properties and the other way round.
const ATTRIBUTE_START: &str = "cloudEvents_";

/// The delivery mode of a message that is kept on the disk (AMQP 0-9-1, class `basic`).
const PERSISTENT: u8 = 2;

/// A message that is ready to be sent.
#[derive(Clone, Debug)]
pub struct Message {
    /// By what its consumers, and its sender when it comes back, know it.
    pub id: String,
    pub properties: BasicProperties,
    pub body: Vec<u8>,
}

/// The message that the module of this name sends of an event.
///
/// # Errors
///
/// One line for the operator: the event cannot be said so.
pub fn of(event: &Event, module: &str, source: &str, mode: Mode) -> Result<Message, String> {
    let cloud_event = CloudEvent::new(event, source);
    let kind = cloud_event.attributes.iter().find(|(name, _)| *name == "type");
    let kind = kind.map_or("", |(_, value)| value);
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_message_id(short("the event's id", &event.id)?)
        .with_type(short("the event's type", kind)?)
        .with_app_id(short("the module's name", module)?);
    let (properties, body) = match mode {
        Mode::Structured => {
            let properties = properties.with_content_type(cloudevent::STRUCTURED.into());
            (properties, cloud_event.structured().to_string())
        }
        Mode::Binary => {
            let mut headers = FieldTable::default();
            for (name, value) in &cloud_event.attributes {
                if *name != "datacontenttype" {
                    let name = short("an attribute", &format!("{ATTRIBUTE_START}{name}"))?;
                    headers.insert(name, AMQPValue::LongString(value.as_str().into()));
                }
            }
            let properties =
                properties.with_content_type(cloudevent::DATA.into()).with_headers(headers);
            (properties, cloud_event.data.to_string())
        }
    };
    Ok(Message { id: event.id.clone(), properties, body: body.into_bytes() })
}

/// A text as AMQP takes it where it has to be short.
///
/// # Errors
///
/// It is too long.
pub fn short(what: &str, text: &str) -> Result<ShortString, String> {
    ShortString::try_new(text)
        .map_err(|_| format!("{what} is longer than the {NAME_BYTES_MAX} octets that AMQP allows"))
}
