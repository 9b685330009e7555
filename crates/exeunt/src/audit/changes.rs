//! What changed between two texts of the configuration, for the audit trail: key, before, after.

use std::collections::{BTreeMap, BTreeSet};

use exeunt_store::AuditEntry;
use exeunt_types::UnixMillis;
use toml::Value;

/// Most keys that are named one by one; of more, only how many there are.
const CHANGES_MAX: usize = 256;
/// Beginnings of the keys that say who may do what.
const ACCESS: [&str; 3] = ["principal.", "server.token_files", "server.role_separation"];
/// What stands for a value that may be a secret: settings are a module's own business.
const HIDDEN: &str = "(not shown)";

/// A row for each key that differs.
pub fn rows(old: &str, new: &str, actor: &str, at: UnixMillis) -> Vec<AuditEntry> {
    let (old, new) = (flat(old), flat(new));
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed: Vec<&String> = keys
        .into_iter()
        .filter(|it| old.get(*it) != new.get(*it))
        // Who may do what has rows of its own.
        .filter(|it| !ACCESS.iter().any(|access| it.starts_with(access)))
        .collect();
    let row = |key: &str| {
        let is_template = key.starts_with("template.");
        let action = if is_template { "template-update" } else { "config-change" };
        AuditEntry::new(at, actor, action, key)
    };
    let shown = |key: &str, values: &BTreeMap<String, String>| {
        let value = values.get(key)?;
        Some(if key.contains(".settings.") { HIDDEN.to_owned() } else { value.clone() })
    };
    let mut rows: Vec<AuditEntry> = changed
        .iter()
        .take(CHANGES_MAX)
        .map(|key| row(key).change(shown(key, &old), shown(key, &new)))
        .collect();
    if CHANGES_MAX < changed.len() {
        let more = changed.len() - CHANGES_MAX;
        rows.push(row("exeunt.toml").detail(format!("and {more} further keys")));
    }
    rows
}

/// Every value by its key as a path; tables of an array go by their name.
fn flat(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    // A text that is no configuration any more has no keys: all of the other one are new.
    if let Ok(table) = text.parse::<toml::Table>() {
        spread("", &Value::Table(table), &mut found);
    }
    found
}

fn spread(key: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match value {
        Value::Table(table) => {
            for (name, value) in table {
                spread(&below(name), value, found);
            }
        }
        Value::Array(tables) if tables.iter().any(Value::is_table) => {
            for (at, value) in tables.iter().enumerate() {
                let name = value.get("name").and_then(Value::as_str);
                let name = name.map_or_else(|| at.to_string(), str::to_owned);
                spread(&below(&name), value, found);
            }
        }
        other => {
            found.insert(key.to_owned(), other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_differs_is_a_row_with_what_was_and_what_is() {
        let old = r#"
            [server]
            listen = "127.0.0.1:1"
            [[exit]]
            name = "mail"
            enabled = true
            settings = { password = "one" }
            [[exit]]
            name = "gone"
        "#;
        let new = r#"
            [server]
            listen = "127.0.0.1:2"
            heartbeat_s = 5
            [[exit]]
            name = "mail"
            enabled = true
            settings = { password = "two" }
            [[principal]]
            name = "olga"
            [template.web]
            validity_s = 60
        "#;
        let rows = rows(old, new, "olga", UnixMillis(7));
        let told: Vec<_> = rows
            .iter()
            .map(|it| {
                (it.action.as_str(), it.object.as_str(), it.before.as_deref(), it.after.as_deref())
            })
            .collect();
        assert_eq!(
            told,
            [
                ("config-change", "exit.gone.name", Some("\"gone\""), None),
                ("config-change", "exit.mail.settings.password", Some(HIDDEN), Some(HIDDEN)),
                ("config-change", "server.heartbeat_s", None, Some("5")),
                (
                    "config-change",
                    "server.listen",
                    Some("\"127.0.0.1:1\""),
                    Some("\"127.0.0.1:2\"")
                ),
                ("template-update", "template.web.validity_s", None, Some("60")),
            ]
        );
        assert_eq!(super::rows(old, old, "olga", UnixMillis(7)), []);
    }
}
