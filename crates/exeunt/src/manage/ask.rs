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
                Err(ManageError::SettingsRefused { why, known: Vec::new() })
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
                    Ok(ManageAnswer::Settings(settings)) => settings.iter().map(marked).collect(),
                    _ => Vec::new(),
                };
                Err(ManageError::SettingsRefused { why, known })
            }
            Ok(_) => Ok(None),
            Err(err) => Ok(Some(chain(&err))),
        }
    }
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
