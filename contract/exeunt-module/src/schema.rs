//! The messages of the conversation as one JSON schema (draft 2020-12), made from the types.
//!
//! What serde does by hand is described by hand here. The schema says what a peer of this version
//! writes; what a reader passes over (other members, types of properties and outcomes of later
//! versions) is for the document to say.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value as Json, json};

use crate::{
    CallError, Event, Extension, Extensions, Initialize, Initialized, Outcome, PROTOCOL_VERSION,
    Properties, Value,
    call_back::{Asked, Found},
    maintain::{Compared, Install, InstallReport, Reconcile, ReconcileEnd, Test, TestReport},
    manage::{Configure, GetProperty, ManageModule, SetProperty, SettingType},
    message::method,
    policy::{Ruling, VerifyRequest},
};

/// Largest id of a call: 2^53 - 1, which every JSON reader keeps exactly.
const ID_MAX: u64 = (1 << 53) - 1;

/// The schema. Each message has a definition of its own; the whole is any of them.
#[must_use]
pub fn protocol() -> Json {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut messages = Map::new();

    // The host's calls, and the module's answer to each.
    let nothing = || json!({"type": "object"});
    let event = reference::<Event>(&mut generator);
    let notify = json!({
        "type": "object", "properties": {"event": event}, "required": ["event"],
    });
    let initialized = reference::<Initialized>(&mut generator);
    let managed = reference::<ManageModule>(&mut generator);
    let property = json!({"anyOf": [reference::<Value>(&mut generator), {"type": "null"}]});
    let null = json!({"type": "null"});
    let compared = reference::<Compared>(&mut generator);
    let calls = [
        (method::INITIALIZE, reference::<Initialize>(&mut generator), initialized),
        (method::GET_DESCRIPTION, nothing(), json!({"type": "string"})),
        (method::NOTIFY, notify, reference::<Outcome>(&mut generator)),
        (
            method::VERIFY_REQUEST,
            reference::<VerifyRequest>(&mut generator),
            reference::<Ruling>(&mut generator),
        ),
        (method::TEST, reference::<Test>(&mut generator), reference::<TestReport>(&mut generator)),
        (
            method::INSTALL,
            reference::<Install>(&mut generator),
            reference::<InstallReport>(&mut generator),
        ),
        (method::RECONCILE, reference::<Reconcile>(&mut generator), compared.clone()),
        (method::RECONCILE_END, reference::<ReconcileEnd>(&mut generator), compared),
        (method::SHUTDOWN, nothing(), null.clone()),
        (method::GET_MANAGE_MODULE, nothing(), managed),
        (method::GET_PROPERTY, reference::<GetProperty>(&mut generator), property),
        (method::SET_PROPERTY, reference::<SetProperty>(&mut generator), null.clone()),
        (method::CONFIGURE, reference::<Configure>(&mut generator), null),
    ];
    for (method, params, result) in calls {
        messages.insert(format!("{method}Call"), call(method, &params));
        messages.insert(format!("{method}Answer"), answer(&mut generator, &result));
    }

    // The module's call-backs, and the host's answer to each.
    let asked = reference::<Asked>(&mut generator);
    let value = reference::<Value>(&mut generator);
    let text = json!({
        "type": "object", "properties": {"string": {"type": "string"}}, "required": ["string"],
    });
    let call_backs = [
        ("GetRequestProperty", value.clone()),
        ("GetRequestAttribute", text),
        ("GetCertificateProperty", value),
        ("GetCertificateExtension", reference::<Extension>(&mut generator)),
    ];
    for (method, result) in call_backs {
        messages.insert(format!("{method}CallBack"), call(method, &asked));
        messages.insert(format!("{method}Found"), answer(&mut generator, &result));
    }

    // What cannot be read is answered without an id.
    let error = reference::<CallError>(&mut generator);
    let unread = json!({
        "type": "object",
        "properties": {"jsonrpc": {"const": "2.0"}, "id": {"type": "null"}, "error": error},
        "required": ["jsonrpc", "id", "error"],
    });
    messages.insert("UnreadAnswer".to_owned(), unread);

    // Of use to whoever checks a call-back's answer without knowing the question.
    reference::<Found>(&mut generator);
    let any: Vec<Json> =
        messages.keys().map(|it| json!({"$ref": format!("#/$defs/{it}")})).collect();
    let mut definitions = generator.take_definitions(true);
    definitions.append(&mut messages);
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("The conversation of an Exeunt exit module, protocol {PROTOCOL_VERSION}"),
        "description": "One line is one message. Members that are not described are passed over.",
        "anyOf": any,
        "$defs": definitions,
    });
    plain(&mut schema);
    schema
}

/// The schema of a type, by its name among the definitions.
fn reference<T: JsonSchema>(generator: &mut SchemaGenerator) -> Json {
    generator.subschema_for::<T>().to_value()
}

fn call(method: &str, params: &Json) -> Json {
    json!({
        "type": "object",
        "properties": {
            "jsonrpc": {"const": "2.0"},
            "id": {"type": "integer", "minimum": 0, "maximum": ID_MAX},
            "method": {"const": method},
            "params": params,
        },
        "required": ["jsonrpc", "id", "method", "params"],
    })
}

fn answer(generator: &mut SchemaGenerator, result: &Json) -> Json {
    json!({
        "type": "object",
        "properties": {
            "jsonrpc": {"const": "2.0"},
            "id": {"type": "integer", "minimum": 0, "maximum": ID_MAX},
            "result": result,
            "error": reference::<CallError>(generator),
        },
        "required": ["jsonrpc", "id"],
        "oneOf": [{"required": ["result"]}, {"required": ["error"]}],
    })
}

/// Takes out what only Rust understands: links in descriptions, and formats that are no formats.
fn plain(schema: &mut Json) {
    match schema {
        Json::Object(members) => {
            match members.get("format").and_then(Json::as_str) {
                Some("uint32") => {
                    members.insert("maximum".to_owned(), json!(u32::MAX));
                    members.remove("format");
                }
                Some("uint64" | "int64" | "int32") => {
                    members.remove("format");
                }
                _ => (),
            }
            if let Some(Json::String(text)) = members.get_mut("description") {
                *text = without_links(text);
            }
            members.values_mut().for_each(plain);
        }
        Json::Array(items) => items.iter_mut().for_each(plain),
        _ => (),
    }
}

/// The text of a comment in one line, with names in place of links to them.
fn without_links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[`") {
        out.push_str(before);
        let Some((name, tail)) = after.split_once("`]") else {
            rest = after;
            continue;
        };
        out.extend(["`", name.rsplit("::").next().unwrap_or(name), "`"]);
        let target = tail.strip_prefix('(').and_then(|it| it.split_once(')'));
        rest = target.map_or(tail, |it| it.1);
    }
    out.push_str(rest);
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Bytes in JSON.
pub(crate) struct Base64;

impl JsonSchema for Base64 {
    fn schema_name() -> Cow<'static, str> {
        "Base64".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Bytes as base64 with padding (RFC 4648, section 4)",
            "type": "string",
            "contentEncoding": "base64",
            "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
        })
    }
}

impl JsonSchema for Value {
    fn schema_name() -> Cow<'static, str> {
        "Property".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let binary = generator.subschema_for::<Base64>();
        json_schema!({
            "description": "A property's value: one member, named after its type",
            "oneOf": [
                {
                    "type": "object",
                    "properties": {
                        "long": {"type": "integer", "minimum": i32::MIN, "maximum": i32::MAX},
                    },
                    "required": ["long"],
                },
                {
                    "type": "object",
                    "properties": {"date": {"type": "string", "format": "date-time", "pattern": "Z$"}},
                    "required": ["date"],
                },
                {
                    "type": "object",
                    "properties": {"binary": binary},
                    "required": ["binary"],
                },
                {
                    "type": "object",
                    "properties": {"string": {"type": "string"}},
                    "required": ["string"],
                },
            ],
        })
    }
}

impl JsonSchema for Properties {
    fn schema_name() -> Cow<'static, str> {
        "Properties".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Properties by name; names compare without regard to case",
            "type": "object",
            "additionalProperties": generator.subschema_for::<Value>(),
        })
    }
}

impl JsonSchema for Extensions {
    fn schema_name() -> Cow<'static, str> {
        "Extensions".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Extensions by OID in dotted form",
            "type": "object",
            "propertyNames": {"pattern": "^[0-9]+(\\.[0-9]+)+$"},
            "additionalProperties": generator.subschema_for::<Extension>(),
        })
    }
}

impl JsonSchema for Outcome {
    fn schema_name() -> Cow<'static, str> {
        "Outcome".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What became of one attempt to deliver an event. Null counts as left out",
            "type": "object",
            "properties": {
                "outcome": {"enum": ["accept", "skip", "retry", "park"]},
                "after_ms": {
                    "description": "With retry: earliest moment that makes sense, in ms from now",
                    "type": ["integer", "null"],
                    "minimum": 0,
                },
                "target": {
                    "description": "With retry: true where the target is down for every event",
                    "type": ["boolean", "null"],
                },
                "reason": {
                    "description": "With retry and park: why, in one line for the operator",
                    "type": ["string", "null"],
                },
            },
            "required": ["outcome"],
        })
    }
}

impl JsonSchema for Found {
    fn schema_name() -> Cow<'static, str> {
        "Found".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What the host answers to a call-back: an extension or a property",
            "anyOf": [
                generator.subschema_for::<Extension>(),
                generator.subschema_for::<Value>(),
            ],
        })
    }
}

impl JsonSchema for SettingType {
    fn schema_name() -> Cow<'static, str> {
        "SettingType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What a setting holds, in JSON's terms",
            "enum": ["string", "long", "boolean", "list", "object"],
        })
    }
}
