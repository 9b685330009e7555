//! Name properties: the whole subject and its parts.

use exeunt_module::{Properties, Value, view::name_parts};
use exeunt_x509::Name;

use super::push_text;

/// Puts the whole name in, as text and DER, and its parts.
///
/// Where the bytes could not be read, `text` says what there is to say.
pub(super) fn push(properties: &mut Properties, text: &str, read: Option<&Name>) {
    push_text(properties, "DistinguishedName", text);
    let parsed = if read.is_none() { Name::parse(text).ok() } else { None };
    if let Some(name) = read.filter(|it| !it.is_empty()) {
        properties.push("RawName", Value::Binary(name.der().to_owned()));
    }
    let Some(name) = read.or(parsed.as_ref()) else { return };
    for (part, text) in name_parts(name.attributes().rev()) {
        properties.push(part, Value::String(text));
    }
}
