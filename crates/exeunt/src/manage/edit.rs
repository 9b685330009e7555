//! Edits of `exeunt.toml` as text: what nobody asked to change stays as it is, comments too.
//!
//! Pure: a text in, a text out. Whether the new text is a good configuration is not known here.

use exeunt_api::{ExitStart, NewExit, NewToken, SettingsMap};
use serde_json::Value as Json;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use crate::config::own_folder;

/// Why a text was not edited.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// It is not TOML.
    #[error("exeunt.toml is not TOML")]
    Syntax(#[source] Box<toml_edit::TomlError>),
    /// It is TOML in a form that is not edited.
    #[error(
        "exeunt.toml is not written with [[exit]], [[principal]] and [[principal.token]] tables"
    )]
    Form,
    /// The same of the CA's certificates.
    #[error("the renewals in exeunt.toml are not written as [[renewal]] tables")]
    Renewals,
    /// There is no principal of that name.
    #[error("exeunt.toml has no [[principal]] with the name {0:?}")]
    NoPrincipal(String),
    /// A principal has no token of that name.
    #[error("principal {principal:?} has no token {token:?} in exeunt.toml")]
    NoToken {
        /// The principal.
        principal: String,
        /// The token.
        token: String,
    },
    /// A principal has a token of that name already.
    #[error("principal {principal:?} has a token {token:?} already")]
    TokenExists {
        /// The principal.
        principal: String,
        /// The token.
        token: String,
    },
    /// There is no table with that name.
    #[error("exeunt.toml has no [[exit]] with the name {0:?}")]
    Missing(String),
    /// There is a table with that name already.
    #[error("exeunt.toml has an [[exit]] with the name {0:?} already")]
    Exists(String),
    /// A value that TOML cannot hold.
    #[error("the setting {key:?} cannot be {what}")]
    Value {
        /// The setting.
        key: String,
        /// What it would be.
        what: &'static str,
    },
}

/// The text with another module at the end of the list.
///
/// # Errors
///
/// [`EditError`]; as for all of these.
pub fn add(text: &str, new: &NewExit) -> Result<String, EditError> {
    let NewExit {
        name,
        module,
        command,
        library,
        class,
        start_at,
        events,
        filter,
        before_reply,
        settings,
    } = new;
    let mut document = parse(text)?;
    let exits = exits(&mut document)?;
    if place(exits, name).is_some() {
        return Err(EditError::Exists(name.clone()));
    }
    let mut table = Table::new();
    table.decor_mut().set_prefix(if text.trim().is_empty() { "" } else { "\n" });
    let mut put = |key: &str, value: Value| {
        table.insert(key, Item::Value(value));
    };
    put("name", name.into());
    for (key, text) in [("module", module), ("library", library), ("class", class)] {
        if let Some(text) = text {
            put(key, text.into());
        }
    }
    if let Some(words) = command {
        put("command", list(words));
    }
    let start = match start_at {
        Some(ExitStart::After(seq)) => i64::try_from(*seq).unwrap_or(i64::MAX).into(),
        Some(ExitStart::Word(word)) => word.into(),
        None => "head".into(),
    };
    put("start_at", start);
    if let Some(words) = events {
        put("events", list(words));
    }
    if let Some(filter) = filter {
        put("where", filter.into());
    }
    if *before_reply {
        put("before_reply", true.into());
    }
    put("working_directory", own_folder(name).into());
    if !settings.is_empty() {
        let mut of_module = Table::new();
        for (key, json) in settings {
            of_module.insert(key, Item::Value(value(key, json)?));
        }
        table.insert("settings", Item::Table(of_module));
    }
    exits.push(table);
    Ok(document.to_string())
}

/// The text with another certificate of the CA, and what is said of its key if that is a new one.
pub fn add_renewal(
    text: &str,
    certificate: &str,
    key: &[(&'static str, String)],
) -> Result<String, EditError> {
    let mut document = parse(text)?;
    let renewals =
        document.entry("renewal").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let renewals = renewals.as_array_of_tables_mut().ok_or(EditError::Renewals)?;
    let mut table = Table::new();
    table.decor_mut().set_prefix("\n");
    table.insert("certificate", Item::Value(certificate.into()));
    if !key.is_empty() {
        let mut of_key = Table::new();
        for (name, value) in key {
            of_key.insert(name, Item::Value(value.into()));
        }
        table.insert("key", Item::Table(of_key));
    }
    renewals.push(table);
    Ok(document.to_string())
}

/// The text with other keys of `[policy]`; null takes one out.
pub fn set_policy(text: &str, keys: &SettingsMap) -> Result<String, EditError> {
    let mut document = parse(text)?;
    let table = document.entry("policy").or_insert_with(|| Item::Table(Table::new()));
    let table = table.as_table_like_mut().ok_or(EditError::Form)?;
    for (key, json) in keys {
        match json {
            Json::Null => drop(table.remove(key)),
            json => set(table, key, value(key, json)?),
        }
    }
    Ok(document.to_string())
}

/// The text with other settings of the policy module. Only what differs is touched.
pub fn set_policy_settings(
    text: &str,
    old: &SettingsMap,
    new: &SettingsMap,
) -> Result<String, EditError> {
    let mut document = parse(text)?;
    let table = document.entry("policy").or_insert_with(|| Item::Table(Table::new()));
    let table = table.as_table_like_mut().ok_or(EditError::Form)?;
    if new.is_empty() {
        // Settings without a module are refused, also when there are none of them.
        table.remove("settings");
    } else {
        put_settings(table, old, new)?;
    }
    Ok(document.to_string())
}

/// The text with another token of a principal, at the end of its table.
pub fn add_token(text: &str, principal: &str, new: &NewToken) -> Result<String, EditError> {
    let NewToken { name, sha256, expires, scope, from } = new;
    let mut document = parse(text)?;
    let tokens = tokens_of(&mut document, principal)?;
    if place(tokens, name).is_some() {
        let (principal, token) = (principal.to_owned(), name.clone());
        return Err(EditError::TokenExists { principal, token });
    }
    let mut table = Table::new();
    table.decor_mut().set_prefix("\n");
    let mut put = |key: &str, value: Value| {
        table.insert(key, Item::Value(value));
    };
    put("name", name.into());
    put("sha256", sha256.into());
    if let Some(expires) = expires {
        put("expires", expires.into());
    }
    if let Some(scope) = scope {
        put("scope", list(scope));
    }
    if !from.is_empty() {
        put("from", list(from));
    }
    tokens.push(table);
    Ok(document.to_string())
}

/// The text without a token of a principal.
pub fn remove_token(text: &str, principal: &str, name: &str) -> Result<String, EditError> {
    let mut document = parse(text)?;
    let tokens = tokens_of(&mut document, principal)?;
    let missing = || EditError::NoToken { principal: principal.to_owned(), token: name.to_owned() };
    let at = place(tokens, name).ok_or_else(missing)?;
    tokens.remove(at);
    Ok(document.to_string())
}

/// The `[[principal.token]]` of a principal.
fn tokens_of<'a>(
    document: &'a mut DocumentMut,
    principal: &str,
) -> Result<&'a mut ArrayOfTables, EditError> {
    let missing = || EditError::NoPrincipal(principal.to_owned());
    let principals = document.get_mut("principal").ok_or_else(missing)?;
    let principals = principals.as_array_of_tables_mut().ok_or(EditError::Form)?;
    let at = place(principals, principal).ok_or_else(missing)?;
    let owner = principals.get_mut(at).ok_or_else(missing)?;
    let tokens = owner.entry("token").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    tokens.as_array_of_tables_mut().ok_or(EditError::Form)
}

/// The text without a module and the comment right above it. A comment further up, behind a blank
/// line, is about more than this one, and stays.
pub fn remove(text: &str, name: &str) -> Result<String, EditError> {
    let mut document = parse(text)?;
    let exits = exits(&mut document)?;
    let at = place(exits, name).ok_or_else(|| EditError::Missing(name.to_owned()))?;
    let table = exits.get(at);
    let above = table.and_then(|it| it.decor().prefix()?.as_str()).unwrap_or_default();
    let stays = above.rfind("\n\n").map_or("", |end| &above[..=end]);
    let stays = (!stays.trim().is_empty()).then(|| stays.to_owned());
    let position = table.and_then(Table::position);
    exits.remove(at);
    if let Some(stays) = stays {
        let below = next(document.as_table(), position);
        if let Some(below) = below.and_then(|it| at_place(document.as_table_mut(), it)) {
            let old = below.decor().prefix().and_then(|it| it.as_str()).unwrap_or_default();
            let both = stays + old;
            below.decor_mut().set_prefix(both);
        } else {
            let both = stays + document.trailing().as_str().unwrap_or_default();
            document.set_trailing(both);
        }
    }
    Ok(document.to_string())
}

/// The text with a module switched on or off.
pub fn switch(text: &str, name: &str, on: bool) -> Result<String, EditError> {
    let mut document = parse(text)?;
    set(find(&mut document, name)?, "enabled", on.into());
    Ok(document.to_string())
}

/// The text with other settings of a module. Only what differs is touched.
pub fn set_settings(
    text: &str,
    name: &str,
    old: &SettingsMap,
    new: &SettingsMap,
) -> Result<String, EditError> {
    let mut document = parse(text)?;
    put_settings(find(&mut document, name)?, old, new)?;
    Ok(document.to_string())
}

/// Other settings in the table of a module.
fn put_settings(
    table: &mut dyn TableLike,
    old: &SettingsMap,
    new: &SettingsMap,
) -> Result<(), EditError> {
    if !table.contains_key("settings") {
        table.insert("settings", Item::Table(Table::new()));
    }
    let of_module =
        table.get_mut("settings").and_then(Item::as_table_like_mut).ok_or(EditError::Form)?;
    put_differing(of_module, old, new)
}

/// The keys that differ. A table that is there stays, with its comments, and what is in it is compared.
fn put_differing(
    table: &mut dyn TableLike,
    old: &SettingsMap,
    new: &SettingsMap,
) -> Result<(), EditError> {
    for key in old.keys().filter(|it| !new.contains_key(*it)) {
        table.remove(key);
    }
    for (key, json) in new.iter().filter(|(key, json)| old.get(*key) != Some(json)) {
        let inner = table.get_mut(key).and_then(Item::as_table_like_mut);
        match (inner, old.get(key), json) {
            (Some(inner), Some(Json::Object(old)), Json::Object(new)) => {
                put_differing(inner, old, new)?;
            }
            _ => set(table, key, value(key, json)?),
        }
    }
    Ok(())
}

fn parse(text: &str) -> Result<DocumentMut, EditError> {
    text.parse().map_err(|err| EditError::Syntax(Box::new(err)))
}

fn exits(document: &mut DocumentMut) -> Result<&mut ArrayOfTables, EditError> {
    let item = document.entry("exit").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    item.as_array_of_tables_mut().ok_or(EditError::Form)
}

fn place(exits: &ArrayOfTables, name: &str) -> Option<usize> {
    exits.iter().position(|it| it.get("name").and_then(Item::as_str) == Some(name))
}

/// The tables in a table, and in its lists of tables.
fn tables(of: &Table) -> impl Iterator<Item = &Table> {
    of.iter().flat_map(|(_, item)| match item {
        Item::Table(it) => vec![it],
        Item::ArrayOfTables(it) => it.iter().collect(),
        _ => Vec::new(),
    })
}

/// The place of the table that follows in the text.
fn next(of: &Table, after: Option<isize>) -> Option<isize> {
    let places = tables(of).flat_map(|it| {
        let own = it.position().filter(|own| !it.is_implicit() && after < Some(*own));
        own.into_iter().chain(next(it, after))
    });
    places.min()
}

/// The table with a heading at a place of the text.
fn at_place(of: &mut Table, place: isize) -> Option<&mut Table> {
    let of: Vec<&mut Table> = of
        .iter_mut()
        .flat_map(|(_, item)| match item {
            Item::Table(it) => vec![it],
            Item::ArrayOfTables(it) => it.iter_mut().collect(),
            _ => Vec::new(),
        })
        .collect();
    of.into_iter().find_map(|it| {
        if it.position() == Some(place) && !it.is_implicit() {
            return Some(it);
        }
        at_place(it, place)
    })
}

fn find<'a>(document: &'a mut DocumentMut, name: &str) -> Result<&'a mut Table, EditError> {
    let exits = exits(document)?;
    let at = place(exits, name);
    at.and_then(|at| exits.get_mut(at)).ok_or_else(|| EditError::Missing(name.to_owned()))
}

/// Sets a key and keeps what stands around the old value, such as a comment behind it.
fn set(table: &mut dyn TableLike, key: &str, mut value: Value) {
    match table.get_mut(key) {
        Some(Item::Value(old)) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        _ => {
            table.insert(key, Item::Value(value));
        }
    }
}

fn list(words: &[String]) -> Value {
    Value::Array(words.iter().map(String::as_str).collect::<Array>())
}

fn value(key: &str, json: &Json) -> Result<Value, EditError> {
    let cannot = |what| EditError::Value { key: key.to_owned(), what };
    Ok(match json {
        Json::Null => return Err(cannot("null: leave it out")),
        Json::Bool(it) => (*it).into(),
        Json::Number(it) => match (it.as_i64(), it.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(float)) if !it.is_u64() => float.into(),
            _ => return Err(cannot("a number of more than 63 bits")),
        },
        Json::String(it) => it.into(),
        Json::Array(it) => {
            let values: Result<Vec<Value>, _> = it.iter().map(|it| value(key, it)).collect();
            Value::Array(values?.into_iter().collect())
        }
        Json::Object(it) => {
            let mut table = InlineTable::new();
            for (name, json) in it {
                table.insert(name, value(key, json)?);
            }
            Value::InlineTable(table)
        }
    })
}

#[cfg(test)]
mod tests;
