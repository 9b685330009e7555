//! A module's settings as a library can read them, and where the original would keep them.

use std::fmt::Write as _;

use exeunt_module::{Properties, Value, view::SETTING_PREFIX};

use crate::library::Kind;

/// Name of the system property that says where the original would keep the module's settings.
pub(crate) const MODULE_REGISTRY_LOCATION: &str = "ModuleRegistryLocation";

/// The settings as system properties `Setting.<name>`, in their order. A setting that is null has no
/// value.
pub(crate) fn properties(settings: &serde_json::Map<String, serde_json::Value>) -> Properties {
    let valued = settings.iter().filter_map(|(name, value)| Some((name, value_of(value)?)));
    valued.map(|(name, value)| (format!("{SETTING_PREFIX}{name}"), value)).collect()
}

/// A setting as a property: a text as it is, a whole number of 32 bits and a truth value as a long, a
/// list as its entries with line feeds in between, everything else as its JSON.
pub(crate) fn value_of(setting: &serde_json::Value) -> Option<Value> {
    use serde_json::Value as Json;
    let value = match setting {
        Json::Null => return None,
        Json::Bool(it) => Value::Long(i32::from(*it)),
        Json::String(text) => Value::String(text.clone()),
        Json::Number(number) => match number.as_i64().and_then(|it| i32::try_from(it).ok()) {
            Some(it) => Value::Long(it),
            None => Value::String(number.to_string()),
        },
        Json::Array(entries) => {
            let lines: Vec<String> = entries
                .iter()
                .map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned))
                .collect();
            Value::String(lines.join("\n"))
        }
        Json::Object(_) => Value::String(setting.to_string()),
    };
    Some(value)
}

/// Where the original keeps the settings of a module, below `HKEY_LOCAL_MACHINE`. Nothing is there;
/// it is a name that modules build on.
pub(crate) fn registry_location(ca: &str, kind: Kind, class: &str) -> String {
    const ALL: &str = r"SYSTEM\CurrentControlSet\Services\CertSvc\Configuration";
    let (ca, modules) = (
        sanitized(ca),
        match kind {
            Kind::Exit => "ExitModules",
            Kind::Policy => "PolicyModules",
        },
    );
    format!(r"{ALL}\{ca}\{modules}\{class}")
}

/// A CA's name in characters that paths and directories bear ([MS-WCCE] 3.1.1.4.1.1): each other unit
/// of UTF-16 becomes an exclamation mark and four hexadecimal digits.
fn sanitized(name: &str) -> String {
    const REPLACED: &str = "!\"#%&'()*+,/:;<=>?[\\]^`{|}";
    let mut out = String::new();
    for unit in name.encode_utf16() {
        match char::from_u32(u32::from(unit)) {
            Some(it) if (' '..'\u{7f}').contains(&it) && !REPLACED.contains(it) => out.push(it),
            _ => write!(out, "!{unit:04x}").expect("BUG: writing to a String cannot fail"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(setting: &serde_json::Value, expected: impl Into<Option<Value>>) {
        assert_eq!(value_of(setting), expected.into(), "{setting}");
    }

    #[test]
    fn a_setting_is_a_long_or_a_text() {
        let text = |it: &str| Some(Value::String(it.to_owned()));
        check(&json!("a folder"), text("a folder"));
        check(&json!(25), Some(Value::Long(25)));
        check(&json!(-1), Some(Value::Long(-1)));
        check(&json!(4_000_000_000_u64), text("4000000000"));
        check(&json!(0.5), text("0.5"));
        check(&json!(true), Some(Value::Long(1)));
        check(&json!(false), Some(Value::Long(0)));
        check(&json!(["a", "b c", 3]), text("a\nb c\n3"));
        check(&json!([]), text(""));
        check(&json!({"a": 1}), text("{\"a\":1}"));
        check(&json!(null), None);
    }

    #[test]
    fn a_registry_location_has_the_sanitized_name_of_the_ca() {
        let location = registry_location("Zürich & Söhne", Kind::Exit, "Example.Exit");
        let expected = r"SYSTEM\CurrentControlSet\Services\CertSvc\Configuration\Z!00fcrich !0026 S!00f6hne\ExitModules\Example.Exit";
        assert_eq!(location, expected);
        let location = registry_location("CA", Kind::Policy, "Example.Policy");
        assert!(
            location.ends_with(r"\Configuration\CA\PolicyModules\Example.Policy"),
            "{location}"
        );
    }
}
