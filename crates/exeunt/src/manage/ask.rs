//! What a module says of its own settings, asked in a process of its own.

use exeunt_api::{KnownSetting, KnownSettings};
use exeunt_host::{HostLimits, ManageAnswer, ManageCall, StartError, manage};
use exeunt_module::manage::{CMM_READONLY, Configure, SettingInfo};

use super::{ManageError, Manager, found};
use crate::config::{Config, ExitConfig, ModuleConfig};
use crate::failure::chain;

impl Manager {
    /// The settings that a module knows.
    pub(super) fn ask_for_settings(&self, name: &str) -> Result<KnownSettings, ManageError> {
        let exit = self.running(name)?;
        let command = {
            let running = self.running.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            let exit = found(&running, name)?;
            self.launcher.prepare(exit)?;
            self.launcher.command(&running, exit)
        };
        let answer = ask(&command, &exit, ManageCall::GetManageModule)
            .map_err(|err| ManageError::Ask { code: err.code(), source: Box::new(err) })?;
        match answer {
            ManageAnswer::Settings(settings) => {
                Ok(KnownSettings { settings: settings.into_iter().map(known).collect() })
            }
            ManageAnswer::Refuses(why) => {
                let shipped = shipped(&exit);
                Err(ManageError::SettingsRefused { why, known: Vec::new(), shipped })
            }
            _ => Err(ManageError::SettingsUnknown),
        }
    }

    /// Asks a module whether it could work with its settings. What keeps it from answering is given back
    /// and no hindrance: the module may not be installed yet.
    pub(super) fn ask_whether_it_fits(
        &self,
        config: &Config,
        exit: &ExitConfig,
    ) -> Result<Option<String>, ManageError> {
        // Its runner would say so as if the settings were at fault.
        if let ModuleConfig::Library { path, .. } = &exit.module
            && !path.exists()
        {
            return Ok(Some(format!("library {} does not exist", path.display())));
        }
        let command = self.launcher.command(config, exit);
        let configure =
            Configure { settings: self.launcher.told_settings(exit), flags: CMM_READONLY };
        match ask(&command, exit, ManageCall::Configure(configure)) {
            Ok(ManageAnswer::Refuses(why)) => {
                // In a process of its own: one that cannot say it has answered all the same.
                let known = match ask(&command, exit, ManageCall::GetManageModule) {
                    Ok(ManageAnswer::Settings(settings)) => of_use(&settings, exit.settings.keys()),
                    _ => Vec::new(),
                };
                let known = unless_said(known, &why);
                let shipped = shipped(exit);
                Err(ManageError::SettingsRefused { why, known, shipped })
            }
            Ok(_) => Ok(None),
            Err(err) => Ok(Some(chain(&err))),
        }
    }
}

/// Most names that are told where all those that were given are known.
const KNOWN_TOLD_MAX: usize = 8;

/// The names that may help who wrote these: all of them where one of these is none, those like it first;
/// otherwise those that are few, or needed and missing.
fn of_use<'a>(known: &[SettingInfo], given: impl Iterator<Item = &'a String>) -> Vec<String> {
    let given: Vec<&String> = given.collect();
    let mut known: Vec<&SettingInfo> = known.iter().collect();
    let is_known = |name: &str| known.iter().any(|it| it.name == name);
    if let Some(unknown) = given.iter().find(|it| !is_known(it)) {
        known.sort_by_key(|it| std::cmp::Reverse(likeness(&it.name, unknown)));
    } else if KNOWN_TOLD_MAX < known.len() {
        known.retain(|it| it.required && !given.contains(&&it.name));
    }
    known.into_iter().map(marked).collect()
}

/// Most names that are told where the module has told all of them itself.
const SAID_TOLD_MAX: usize = 3;

/// The first of the names, where the module's own words hold all of them.
fn unless_said(mut known: Vec<String>, why: &str) -> Vec<String> {
    let said = |it: &String| it.split(' ').next().is_some_and(|name| why.contains(name));
    if SAID_TOLD_MAX < known.len() && known.iter().all(said) {
        known.truncate(SAID_TOLD_MAX);
        known.push("…".to_owned());
    }
    known
}

/// The name of a module that is inside this program.
fn shipped(exit: &ExitConfig) -> Option<String> {
    match &exit.module {
        ModuleConfig::Shipped(name) => Some(name.clone()),
        _ => None,
    }
}

/// How many characters two names have in common at their start and at their end.
fn likeness(one: &str, other: &str) -> usize {
    let same = |pair: &(char, char)| pair.0 == pair.1;
    let start = one.chars().zip(other.chars()).take_while(same).count();
    start + one.chars().rev().zip(other.chars().rev()).take_while(same).count()
}

/// The name of a setting, and whether the module needs it.
fn marked(it: &SettingInfo) -> String {
    if it.required { format!("{} (required)", it.name) } else { it.name.clone() }
}

fn ask(
    command: &exeunt_host::ModuleCommand,
    exit: &ExitConfig,
    call: ManageCall,
) -> Result<ManageAnswer, StartError> {
    let mut answers = manage(command, &HostLimits::default(), exit.name.as_str(), &[call])?;
    Ok(answers.pop().unwrap_or(ManageAnswer::NotManaged))
}

fn known(it: SettingInfo) -> KnownSetting {
    let SettingInfo { name, kind, description, default, required } = it;
    KnownSetting { name, kind: kind.word().to_owned(), description, default, required }
}

#[cfg(test)]
mod tests {
    use exeunt_module::manage::SettingType;

    use super::*;

    #[test]
    fn names_are_told_where_one_is_unknown_and_those_like_it_first() {
        let names = [
            "server",
            "port",
            "security",
            "ca_file",
            "user",
            "from",
            "to",
            "cc",
            "bcc",
            "timeout_s",
        ];
        let info = |name: &&str| SettingInfo {
            name: (*name).to_owned(),
            kind: SettingType::String,
            description: String::new(),
            default: None,
            required: *name == "from",
        };
        let known: Vec<SettingInfo> = names.iter().map(info).collect();
        let told = |given: &[&str]| {
            let given: Vec<String> = given.iter().map(|it| (*it).to_owned()).collect();
            of_use(&known, given.iter())
        };
        let unknown = told(&["server", "tiemout_s"]);
        assert_eq!((unknown.len(), unknown[0].as_str()), (names.len(), "timeout_s"));
        assert_eq!(told(&["server", "port"]), ["from (required)"]);
        assert_eq!(told(&["server", "from"]), [""; 0]);
    }
}
