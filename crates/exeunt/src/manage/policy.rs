//! The policy module while the server runs: what it is, and what changes about it.

use std::sync::PoisonError;

use exeunt_api::Reloaded;

use super::Manager;
use crate::config::{Config, POLICY_NAME};
use crate::policy::PolicyKeeper;

impl Manager {
    /// The same, with a policy to manage.
    pub fn with_policy(self, policy: PolicyKeeper) -> Self {
        Self { policy: Some(policy), ..self }
    }

    /// In a reload: exchanges the policy where the file says another one.
    pub(super) fn take_up_policy(&self, config: &Config, told: &mut Reloaded) {
        let Some(policy) = &self.policy else { return };
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
        if let Err(why) = policy.install(config) {
            told.not_started.push(format!("{POLICY_NAME}: {why}"));
        }
    }
}
