//! `exeunt exit settings get|set|list`.

use exeunt_api::{ExitChanged, ExitSettings, ExitState, KnownSetting, KnownSettings, SettingsMap};
use reqwest::Method;
use serde_json::Value as Json;

use super::{path, told};
use crate::cli::{Door, Named, Settings};
use crate::client::ApiClient;
use crate::failure::{Failure, plain};
use crate::output;

pub fn run(command: Settings) -> Result<(), Failure> {
    match command {
        Settings::Get { name, key, json, door } => get(&name, key.as_deref(), json, &door),
        Settings::Set { name, settings, unset, json, door } => {
            set(&name, &settings, &unset, json, &door)
        }
        Settings::List(options) => list(&options),
    }
}

fn get(name: &str, key: Option<&str>, json: bool, door: &Door) -> Result<(), Failure> {
    let path = format!("{}/settings", path(name)?);
    let ExitSettings { settings } = ApiClient::open(door)?.get(&path, &[])?;
    if let Some(key) = key {
        let value = settings.get(key).ok_or_else(|| not_set(name, key))?;
        return if json { output::json(value) } else { output::line(&plain(&shown(value))) };
    }
    if json {
        return output::json(&settings);
    }
    if settings.is_empty() {
        return output::line(&format!("The module {name} has no settings of its own."));
    }
    let rows = settings.iter().map(|(key, value)| vec![key.clone(), shown(value)]).collect();
    output::table(&["SETTING", "VALUE"], rows)
}

fn set(
    name: &str,
    pairs: &[String],
    unset: &[String],
    json: bool,
    door: &Door,
) -> Result<(), Failure> {
    let new = parse_all(pairs)?;
    check_apart(&new, unset)?;
    let client = ApiClient::open(door)?;
    let path = format!("{}/settings", path(name)?);
    let ExitSettings { mut settings } = client.get(&path, &[])?;
    for key in unset {
        settings.remove(key).ok_or_else(|| not_set(name, key))?;
    }
    settings.extend(new);
    let body = ExitSettings { settings };
    let changed: ExitChanged = client.change(Method::PUT, &path, &[], Some(&body))?;
    told(&changed, json, &are_set(name, changed.state))
}

/// Refuses to set and leave out the same setting.
pub fn check_apart(new: &SettingsMap, unset: &[String]) -> Result<(), Failure> {
    let Some(key) = unset.iter().find(|it| new.contains_key(*it)) else { return Ok(()) };
    Err(Failure::usage("usage-setting", format!("{key:?} is to be set and left out"))
        .hint("give it a value, or --unset it"))
}

/// What a change of settings came to, in words.
fn are_set(name: &str, state: Option<ExitState>) -> String {
    let changed = format!("The settings of {name} are changed");
    match state {
        Some(ExitState::Down) => format!("{changed}, but it does not start with them."),
        Some(ExitState::Disabled) => {
            format!("{changed}; it is disabled, and they count when it is enabled.")
        }
        Some(ExitState::Starting) => {
            format!("{changed}, and it is still starting: exeunt exit status {name}")
        }
        _ => format!("The module {name} goes on with the new settings."),
    }
}

fn not_set(name: &str, key: &str) -> Failure {
    Failure::new("setting-not-set", format!("{name} has no setting {key:?}"))
        .hint(format!("see what it is set to: exeunt exit settings get {name}"))
}

fn list(options: &Named) -> Result<(), Failure> {
    let path = format!("{}/settings/known", path(&options.name)?);
    let known: KnownSettings = ApiClient::open(&options.door)?.get(&path, &[])?;
    if options.json {
        return output::json(&known);
    }
    if known.settings.is_empty() {
        return output::line(&format!("The module {} knows no settings.", options.name));
    }
    let row = |it: KnownSetting| {
        let default = match (it.required, it.default) {
            (true, _) => "(required)".to_owned(),
            (false, default) => default.as_ref().map(shown).unwrap_or_default(),
        };
        vec![it.name, it.kind, default, it.description]
    };
    let rows = known.settings.into_iter().map(row).collect();
    output::table(&["SETTING", "TYPE", "DEFAULT", "DESCRIPTION"], rows)
}

/// `KEY=VALUE` words. A key that comes twice has the last value.
pub fn parse_all(pairs: &[String]) -> Result<SettingsMap, Failure> {
    let parse = |pair: &String| {
        let wrong = || {
            Failure::usage("usage-setting", format!("{pair:?} is not KEY=VALUE"))
                .hint("for example port=25, to=ca@example.test or 'list=[1, 2]'")
        };
        let (key, text) = pair.split_once('=').ok_or_else(wrong)?;
        if key.is_empty() {
            return Err(wrong());
        }
        if is_broken(text) {
            let message = format!("{text:?} begins like a list or a table, and is none");
            return Err(Failure::usage("usage-setting", message)
                .hint(format!("where it is meant as a text: '{key}=\"…\"'")));
        }
        Ok((key.to_owned(), value(text)))
    };
    pairs.iter().map(parse).collect()
}

/// TOML if it reads as such, else the text as it is. A moment is a text: JSON has none.
fn value(text: &str) -> Json {
    let Ok(value) = text.parse::<toml::Value>() else { return text.into() };
    json(value).unwrap_or_else(|| text.into())
}

/// Whether somebody wrote a list or a table and made a mistake in it. A pattern such as
/// `{serial}.pem` is neither.
fn is_broken(text: &str) -> bool {
    let is_table = |rest: &str| {
        rest.find('=').is_some_and(|equals| rest.find('}').is_none_or(|end| equals < end))
    };
    let begins = text.starts_with('[') || text.strip_prefix('{').is_some_and(is_table);
    begins && text.parse::<toml::Value>().is_err()
}

fn json(value: toml::Value) -> Option<Json> {
    Some(match value {
        toml::Value::String(it) => it.into(),
        toml::Value::Integer(it) => it.into(),
        // JSON has neither infinity nor NaN.
        toml::Value::Float(it) => Json::Number(serde_json::Number::from_f64(it)?),
        toml::Value::Boolean(it) => it.into(),
        toml::Value::Datetime(it) => it.to_string().into(),
        toml::Value::Array(it) => Json::Array(it.into_iter().map(json).collect::<Option<_>>()?),
        toml::Value::Table(it) => {
            let members = it.into_iter().map(|(key, it)| Some((key, json(it)?)));
            Json::Object(members.collect::<Option<_>>()?)
        }
    })
}

/// A text without quotes, everything else as JSON.
pub fn shown(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_toml_and_text_where_it_is_none() {
        let check = |text: &str, expected: Json| assert_eq!(value(text), expected, "{text}");
        check("25", json!(25));
        check("-1.5", json!(-1.5));
        check("true", json!(true));
        check("[1, \"a\"]", json!([1, "a"]));
        check("{ a = 1 }", json!({"a": 1}));
        check("\"25\"", json!("25"));
        check("ca@example.test", json!("ca@example.test"));
        check("{serial}.pem", json!("{serial}.pem"));
        check("2026-11-21", json!("2026-11-21"));
        check("nan", json!("nan"));
        check("", json!(""));
        check("a = 1", json!("a = 1"));
        check("1\n[exit]", json!("1\n[exit]"));
    }

    #[test]
    fn a_list_with_a_mistake_in_it_is_no_text() {
        for bad in ["a=[1,2", "a=[x]", "a={ b = 1", "a={b=}"] {
            assert_eq!(parse_all(&[bad.to_owned()]).unwrap_err().code, "usage-setting", "{bad}");
        }
        for good in ["a=[1, 2]", "a={b = 1}", "a={serial}.pem", "a={subject_cn}={serial}"] {
            assert!(parse_all(&[good.to_owned()]).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_change_of_settings_says_what_came_of_it() {
        let text = |state| are_set("mail", Some(state));
        assert_eq!(text(ExitState::Running), "The module mail goes on with the new settings.");
        assert!(text(ExitState::Down).contains("does not start"));
        assert!(text(ExitState::Disabled).contains("count when it is enabled"));
        assert!(text(ExitState::Starting).contains("still starting"));
    }

    #[test]
    fn a_pair_needs_a_key() {
        let parse = |text: &str| parse_all(&[text.to_owned()]);
        assert_eq!(parse("a=b=c").unwrap()["a"], "b=c");
        assert_eq!(parse("a=").unwrap()["a"], "");
        for bad in ["a", "=b", ""] {
            assert_eq!(parse(bad).unwrap_err().code, "usage-setting", "{bad:?}");
        }
    }
}
