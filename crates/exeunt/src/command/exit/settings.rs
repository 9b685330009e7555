//! `exeunt exit settings get|set|list`.

pub mod pairs;

use exeunt_api::{ExitChanged, ExitSettings, ExitState, KnownSetting, KnownSettings};
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
        let value = pairs::find(&settings, key).ok_or_else(|| not_set(name, key))?;
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
    let new = pairs::parse(pairs)?;
    pairs::check_apart(&new, unset)?;
    let client = ApiClient::open(door)?;
    let path = format!("{}/settings", path(name)?);
    let ExitSettings { mut settings } = client.get(&path, &[])?;
    for key in unset {
        pairs::take_out(&mut settings, key).ok_or_else(|| not_set(name, key))?;
    }
    for it in new {
        it.put(&mut settings)?;
    }
    let body = ExitSettings { settings };
    let changed: ExitChanged = client.change(Method::PUT, &path, &[], Some(&body))?;
    told(&changed, json, &are_set(name, changed.state))
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

    #[test]
    fn a_change_of_settings_says_what_came_of_it() {
        let text = |state| are_set("mail", Some(state));
        assert_eq!(text(ExitState::Running), "The module mail goes on with the new settings.");
        assert!(text(ExitState::Down).contains("does not start"));
        assert!(text(ExitState::Disabled).contains("count when it is enabled"));
        assert!(text(ExitState::Starting).contains("still starting"));
    }
}
