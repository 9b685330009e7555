//! Name properties: the whole subject and its parts.

use exeunt_module::{Properties, Value, view::ALIASES};
use exeunt_x509::Name;

use super::push_text;

/// Puts the whole name in, as text and DER, and its parts.
///
/// Several values of one part are joined by a line feed, as the original does, in the order of the
/// text; of several countries the first one stands, because the original never joins them. Where
/// the bytes could not be read, `text` says what there is to say.
pub(super) fn push(properties: &mut Properties, text: &str, read: Option<&Name>) {
    push_text(properties, "DistinguishedName", text);
    let parsed = if read.is_none() { Name::parse(text).ok() } else { None };
    if let Some(name) = read.filter(|it| !it.is_empty()) {
        properties.push("RawName", Value::Binary(name.der().to_owned()));
    }
    let Some(name) = read.or(parsed.as_ref()) else { return };
    let mut parts: Vec<(&'static str, String)> = Vec::new();
    for (oid, value) in name.attributes().rev() {
        let Some((_, part)) = ALIASES.iter().find(|(alias, _)| *alias == oid) else { continue };
        match parts.iter_mut().find(|(it, _)| it == part) {
            Some(("Country", _)) => (),
            Some((_, text)) => {
                text.push('\n');
                text.push_str(value);
            }
            None => parts.push((part, value.to_owned())),
        }
    }
    for (part, text) in parts {
        properties.push(part, Value::String(text));
    }
}
