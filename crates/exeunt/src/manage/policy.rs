//! The policy module while the server runs: what it is, and what changes about it.

use std::sync::PoisonError;

use exeunt_api::{PolicyOrder, PolicySettings, PolicyStatus, Reloaded};
use exeunt_http::Refusal;
use exeunt_policy::{ModuleStatus, OnFailure};

use super::file::ConfigFile;
use super::{ManageError, Manager, edit};
use crate::config::{Config, POLICY_NAME, PolicyConfig};
use crate::launch::isolation;
use crate::policy::PolicyKeeper;

/// Keys of `[policy]` that are not changed here: the template counts at a start alone, and settings
/// have an order of their own.
const NOT_HERE: [&str; 2] = ["default_template", "settings"];

impl Manager {
    /// The same, with a policy to manage.
    pub fn with_policy(self, policy: PolicyKeeper) -> Self {
        Self { policy: Some(policy), ..self }
    }

    /// In a reload: exchanges the policy where the file says another one.
    pub(super) fn take_up_policy(&self, config: &Config, told: &mut Reloaded) {
        let mut running = self.running.write().unwrap_or_else(PoisonError::into_inner);
        if running.policy == config.policy {
            return;
        }
        let list = match (&running.policy, &config.policy) {
            (None, _) => &mut told.added,
            (Some(_), None) => &mut told.removed,
            (Some(_), Some(_)) => &mut told.changed,
        };
        list.push(POLICY_NAME.to_owned());
        running.policy.clone_from(&config.policy);
        drop(running);
        if let Some(why) = self.install_policy(config) {
            told.not_started.push(format!("{POLICY_NAME}: {why}"));
        }
    }

    /// Exchanges the policy; gives why its module does not start, where that is so.
    fn install_policy(&self, config: &Config) -> Option<String> {
        self.policy.as_ref().and_then(|it| it.install(config).err())
    }

    pub(super) fn policy_status(&self) -> PolicyStatus {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        let Some(PolicyConfig { runs, chain, on_failure, audit, .. }) = &running.policy else {
            let module = "templates".to_owned();
            return PolicyStatus { module, templates: true, ..PolicyStatus::default() };
        };
        let status = self.policy.as_ref().and_then(PolicyKeeper::module).map(|it| it.status());
        let ModuleStatus { pid, description, starts, rulings, failures, down } =
            status.unwrap_or_default();
        let on_failure = match on_failure {
            OnFailure::Pend => "pend",
            OnFailure::Fail => "fail",
        };
        PolicyStatus {
            module: runs.module.to_string(),
            templates: *chain || *audit,
            chain: *chain,
            audit: *audit,
            on_failure: Some(on_failure.to_owned()),
            deadline_s: Some(runs.deadline.as_secs()),
            description: Some(description).filter(|it| !it.is_empty()),
            pid,
            down,
            isolation: Some(isolation(runs)),
            starts,
            rulings,
            failures,
        }
    }

    pub(super) fn settings_of_policy(&self) -> Result<PolicySettings, Refusal> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        let policy = running.policy.as_ref().ok_or_else(Refusal::no_policy)?;
        Ok(PolicySettings { settings: policy.runs.settings.clone() })
    }

    /// Whether another module, or one with other settings, starts at all.
    fn try_policy(&self, config: &Config, policy: &PolicyConfig) -> Result<(), ManageError> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        let runs_already = running.policy.as_ref().is_some_and(|it| it.runs == policy.runs);
        drop(running);
        match &self.policy {
            Some(keeper) if !runs_already => {
                keeper.try_start(config, policy).map_err(|why| ManageError::Order {
                    what: format!("the policy module does not start: {why}"),
                    hint: "nothing was changed; what it needs to know comes along: exeunt policy set \
                           --setting KEY=VALUE",
                })
            }
            _ => Ok(()),
        }
    }

    /// Edits `[policy]`, and has it count.
    pub(super) fn alter_policy(
        &self,
        actor: &str,
        order: &PolicyOrder,
    ) -> Result<PolicyStatus, ManageError> {
        const ACTION: &str = "policy-change";
        let _change = self.lock_changes();
        if let Some(key) = order.keys.keys().find(|it| NOT_HERE.contains(&it.as_str())) {
            return Err(ManageError::Order {
                what: format!("the key {key:?} of [policy] is not changed like this"),
                hint: "edit exeunt.toml by hand, or see: exeunt policy settings",
            });
        }
        let file = ConfigFile::read(&self.home)?;
        let mut text = edit::set_policy(&file.text, &order.keys)?;
        if let Some(settings) = &order.settings {
            let old = file.config.policy.as_ref().map(|it| it.runs.settings.clone());
            text = edit::set_policy_settings(&text, &old.unwrap_or_default(), settings)?;
        }
        let config = file.check(&text)?;
        if let Some(policy) = &config.policy {
            self.launcher.prepare(&policy.runs)?;
            self.try_policy(&config, policy)?;
        }
        // The names of settings alone: among the values may be secrets.
        let keys = order.keys.iter().map(|(key, value)| format!("{key} = {value}"));
        let names = order.settings.iter().flat_map(|it| it.keys().cloned());
        let names: Vec<String> = keys.chain(names).collect();
        self.audit(actor, ACTION, POLICY_NAME, names.join(", "))?;
        self.replace(&file, &text, actor, (ACTION, POLICY_NAME))?;
        let mut running = self.running.write().unwrap_or_else(PoisonError::into_inner);
        running.policy.clone_from(&config.policy);
        drop(running);
        // One that does not start is shown as such; nothing is issued without it.
        if let Some(why) = self.install_policy(&config) {
            tracing::error!(code = "policy-not-started", error = why, "the policy does not start");
        }
        Ok(self.policy_status())
    }
}
