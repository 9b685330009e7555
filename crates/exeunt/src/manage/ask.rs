//! What a module says of its own settings, asked in a process of its own.

use exeunt_api::{KnownSetting, KnownSettings};
use exeunt_host::{HostLimits, ManageAnswer, ManageCall, StartError, manage};
use exeunt_module::manage::{CMM_READONLY, Configure, SettingInfo};

use super::{ManageError, Manager, found};
use crate::config::{Config, ExitConfig};
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
            ManageAnswer::Refuses(why) => Err(ManageError::SettingsRefused(why)),
            _ => Err(ManageError::SettingsUnknown),
        }
    }

    /// Asks a module whether it could work with its settings. What keeps it from answering is a note
    /// and no hindrance: the module may not be installed yet.
    pub(super) fn ask_whether_it_fits(
        &self,
        config: &Config,
        exit: &ExitConfig,
    ) -> Result<Vec<String>, ManageError> {
        let command = self.launcher.command(config, exit);
        let configure =
            Configure { settings: self.launcher.told_settings(exit), flags: CMM_READONLY };
        match ask(&command, exit, ManageCall::Configure(configure)) {
            Ok(ManageAnswer::Refuses(why)) => Err(ManageError::SettingsRefused(why)),
            Ok(_) => Ok(Vec::new()),
            Err(err) => {
                let why = chain(&err);
                Ok(vec![format!("the module could not be asked about its settings: {why}")])
            }
        }
    }
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
