//! A module of the configuration under the check: its program, its settings, and a folder in the
//! place of its own.
//!
//! What its settings name by a relative path is made in that folder and removed with it. Where they
//! lead to a server, the check writes there what is made up, so that it has to be confirmed.

use std::fs;
use std::path::{Component, Path};

use exeunt_conformance::ModuleUnderTest;
use serde_json::Value as Json;

use super::{from_home, load, run_module};
use crate::command::confirm::{Question, ask};
use crate::config::{ExitConfig, ModuleConfig};
use crate::failure::Failure;
use crate::home::Home;

/// Largest file of the module's folder that is copied for the check, in octets: more than any
/// password, key or list of trusted certificates has.
const COPIED_BYTES_MAX: u64 = 4 << 20;

/// Settings of the modules inside this program that say where they write to.
const PLACES: [&str; 12] = [
    "server",
    "servers",
    "host",
    "port",
    "url",
    "endpoint",
    "bucket",
    "database",
    "schema",
    "directory",
    "path",
    "program",
];

/// The module, and the folder that it is checked in, which lives as long as that.
///
/// # Errors
///
/// There is none of that name, or nobody agrees to what it will write.
pub fn prepare(
    home: &Home,
    name: &str,
    is_confirmed: bool,
) -> Result<(ModuleUnderTest, tempfile::TempDir), Failure> {
    let config = home.config()?;
    let exit = config.exits.iter().find(|it| it.name.as_str() == name).ok_or_else(|| {
        let names: Vec<&str> = config.exits.iter().map(|it| it.name.as_str()).collect();
        Failure::new("exit-not-in-file", format!("there is no exit module {name:?}"))
            .hint(format!("exeunt.toml has: {}", names.join(", ")))
    })?;
    if !is_confirmed && !stays_inside(exit) {
        let place = home.path().display();
        ask(Question {
            consequence: &format!(
                "The module {name} will be told of certificates and lists that never existed, and \
                 does with them what it always does, in {}.",
                target(exit)
            ),
            words: "Check it there?",
            refused: "not checked",
            hints: &[format!(
                "to try its target without writing, while the server runs: exeunt exit test {name} \
                 --home {place}"
            )],
        })?;
    }
    let (program, args) = match &exit.module {
        ModuleConfig::Shipped(name) => run_module(name)?,
        ModuleConfig::Library { path, class } => load(path, class)?,
        ModuleConfig::Command(words) => (
            from_home(home, &words[0], true),
            words[1..].iter().map(|it| from_home(home, it, false)).collect(),
        ),
    };
    let failed = |err: std::io::Error| Failure::from_error("exit-folder", &err);
    let scratch = tempfile::tempdir().map_err(failed)?;
    let mut settings = exit.settings.clone();
    if let (ModuleConfig::Shipped(module), Some(Json::Array(words))) =
        (&exit.module, settings.get_mut("program"))
        && module == "command"
    {
        for (place, word) in words.iter_mut().enumerate() {
            let found = word.as_str().map(|it| from_home(home, it, place == 0));
            if let Some(found) = found.and_then(|it| it.into_string().ok()) {
                *word = found.into();
            }
        }
    }
    for (_, value) in &mut settings {
        bring_files(value, &exit.working_directory, scratch.path()).map_err(failed)?;
    }
    let directory = Some(scratch.path().to_owned());
    Ok((ModuleUnderTest { program, args, settings, directory }, scratch))
}

/// Whether everything that it writes is in the folder of the check.
fn stays_inside(exit: &ExitConfig) -> bool {
    let is_file = matches!(&exit.module, ModuleConfig::Shipped(it) if it == "file");
    let folder = exit.settings.get("directory").and_then(Json::as_str);
    is_file && folder.is_some_and(|it| is_below(Path::new(it)))
}

/// Whether a path leads from a folder to somewhere below it.
fn is_below(path: &Path) -> bool {
    path.components().all(|it| matches!(it, Component::Normal(_) | Component::CurDir))
}

/// Where the module writes to, as far as the settings of ours say; a stranger's may hold secrets.
fn target(exit: &ExitConfig) -> String {
    let settings = &exit.settings;
    let places: Vec<String> = PLACES
        .iter()
        .filter_map(|name| Some(format!("{name} {}", shown(settings.get(*name)?))))
        .collect();
    match &exit.module {
        ModuleConfig::Shipped(_) if !places.is_empty() => places.join(", "),
        module => format!("the target of {module}"),
    }
}

/// A place without what may be a secret: the path and the question of a URL.
fn shown(value: &Json) -> String {
    match value {
        Json::String(text) => match text.split_once("://") {
            Some((scheme, rest)) => {
                let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
                format!("{scheme}://{}", host.rsplit('@').next().unwrap_or_default())
            }
            None => text.clone(),
        },
        Json::Array(many) => many.iter().map(shown).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Copies a file of the module's folder that a setting names, as it is found from the folder of the
/// check; one outside of it is named by its whole path instead.
fn bring_files(value: &mut Json, from: &Path, to: &Path) -> std::io::Result<()> {
    match value {
        Json::String(text) => {
            let name = Path::new(text.as_str());
            let source = from.join(name);
            let is_named = !text.is_empty() && name.is_relative();
            let Ok(meta) = fs::metadata(&source) else { return Ok(()) };
            if !is_named || !meta.is_file() || COPIED_BYTES_MAX < meta.len() {
                return Ok(());
            }
            if is_below(name) {
                let copy = to.join(name);
                fs::create_dir_all(copy.parent().unwrap_or(to))?;
                // With the permissions that it has, which a module may look at.
                fs::copy(&source, copy).map_err(|err| {
                    let why = format!("copying {} for the check: {err}", source.display());
                    std::io::Error::new(err.kind(), why)
                })?;
            } else if let Some(path) = source.to_str() {
                path.clone_into(text);
            }
            Ok(())
        }
        Json::Array(many) => many.iter_mut().try_for_each(|it| bring_files(it, from, to)),
        Json::Object(members) => {
            members.iter_mut().try_for_each(|(_, it)| bring_files(it, from, to))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_that_settings_name_come_along_and_nothing_else_does() {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (home.path().join("modules/mail"), home.path().join("scratch"));
        fs::create_dir_all(from.join("keys")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("keys/password"), "secret").unwrap();
        fs::write(from.join("other"), "").unwrap();
        fs::write(home.path().join("trusted.pem"), "pem").unwrap();
        let outside = from.join("../../trusted.pem");
        let mut settings = json!({
            "password_file": "keys/password", "directory": "keys", "to": ["nobody", ""],
            "tls": {"ca_file": "../../trusted.pem"},
        });
        bring_files(&mut settings, &from, &to).unwrap();
        assert_eq!(settings["password_file"], "keys/password");
        assert_eq!(settings["tls"]["ca_file"], outside.to_str().unwrap());
        assert_eq!(fs::read_to_string(to.join("keys/password")).unwrap(), "secret");
        assert!(!to.join("other").exists());

        // What cannot be copied is named; the folder of that name stands in the way.
        fs::remove_dir_all(to.join("keys")).unwrap();
        fs::create_dir_all(to.join("keys/password")).unwrap();
        let err = bring_files(&mut settings, &from, &to).unwrap_err();
        let named = format!("copying {} for the check: ", from.join("keys/password").display());
        assert!(err.to_string().starts_with(&named), "{err}");
    }

    #[test]
    fn a_target_is_named_without_what_may_be_a_secret() {
        assert_eq!(shown(&json!("https://user:word@x.example/hook?token=1")), "https://x.example");
        assert_eq!(shown(&json!(["ldaps://a", "ldaps://b:636"])), "ldaps://a ldaps://b:636");
        assert_eq!(shown(&json!(25)), "25");
    }
}
