//! The active policy of a running server: the templates, or a module in front of them.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use exeunt_dispatch::{CaFacts, CaProperties};
use exeunt_engine::Policy;
use exeunt_host::HostLimits;
use exeunt_policy::{
    ModuleFacts, ModulePolicy, ModuleSettings, Observation, SwitchPolicy, Witness,
};
use exeunt_store::{AuditEntry, Store};
use exeunt_types::UnixMillis;
use exeunt_x509::parse_certificate;

use crate::clock::now;
use crate::config::{Config, POLICY_NAME, PolicyConfig};
use crate::launch::Launcher;

/// Priority of a policy module: that of the server, for somebody waits for it.
const NICE: i32 = 0;
/// What the audit trail calls what a dry run saw.
const DRY_RUN: &str = "policy-dry-run";

/// Keeps the active policy.
pub struct PolicyKeeper {
    switch: SwitchPolicy,
    templates: Arc<dyn Policy>,
    facts: CaFacts,
    store: Store,
    launcher: Launcher,
    module: RwLock<Option<Arc<ModulePolicy>>>,
}

impl fmt::Debug for PolicyKeeper {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("PolicyKeeper").field("module", &self.module()).finish_non_exhaustive()
    }
}

impl PolicyKeeper {
    /// Of an engine whose policy is `switch`, with the templates in it.
    pub fn new(switch: SwitchPolicy, facts: CaFacts, store: &Store, launcher: &Launcher) -> Self {
        Self {
            templates: switch.active(),
            switch,
            facts,
            store: store.clone(),
            launcher: launcher.clone(),
            module: RwLock::default(),
        }
    }

    /// Makes what the configuration says the active policy, and starts its module. One that does not
    /// start is active all the same: nothing is issued without it.
    ///
    /// # Errors
    ///
    /// Why the module does not start, in one line.
    pub fn install(&self, config: &Config) -> Result<(), String> {
        let Some(policy) = &config.policy else {
            self.switch.exchange(Arc::clone(&self.templates));
            self.module.write().unwrap_or_else(PoisonError::into_inner).take();
            return Ok(());
        };
        let prepared = self.launcher.prepare(&policy.runs);
        let module = Arc::new(self.module_of(config, policy));
        self.switch.exchange(Arc::clone(&module) as Arc<dyn Policy>);
        *self.module.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&module));
        prepared.map_err(|err| err.to_string())?;
        module.start(now())
    }

    /// Starts the module that a configuration names and stops it again, beside the active one.
    ///
    /// # Errors
    ///
    /// Why it does not start, in one line.
    pub fn try_start(&self, config: &Config, policy: &PolicyConfig) -> Result<(), String> {
        self.module_of(config, policy).start(now())
    }

    /// The module, where there is one.
    pub fn module(&self) -> Option<Arc<ModulePolicy>> {
        self.module.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn module_of(&self, config: &Config, policy: &PolicyConfig) -> ModulePolicy {
        let PolicyConfig { runs, chain, on_failure, audit, validity, backdate } = policy;
        let settings = ModuleSettings {
            name: POLICY_NAME.to_owned(),
            command: self.launcher.command(config, runs),
            limits: HostLimits {
                event: runs.deadline,
                window_max: 1,
                nice: NICE,
                ..HostLimits::default()
            },
            deadline: runs.deadline,
            settings: self.launcher.told_settings(runs),
            chain: *chain,
            on_failure: *on_failure,
            audit: *audit,
            validity: *validity,
            backdate: *backdate,
        };
        let system = CaProperties::new(&self.facts, POLICY_NAME);
        let facts = ModuleFacts {
            config: self.facts.name.clone(),
            system: Arc::new(move |moment| system.at(moment)),
            validities: validities(&self.facts),
        };
        ModulePolicy::new(settings, facts, Arc::clone(&self.templates), witness(&self.store))
    }
}

/// First and last moment of each of the CA's certificates.
fn validities(facts: &CaFacts) -> Vec<(UnixMillis, UnixMillis)> {
    let read = facts.certificates.iter().filter_map(|it| parse_certificate(&it.der).ok());
    read.map(|it| {
        let last = it.not_after().saturating_mul(1000).saturating_add(999);
        (UnixMillis::from_unix_seconds(it.not_before()), UnixMillis(last))
    })
    .collect()
}

/// Writes what a dry run saw into the audit trail.
fn witness(store: &Store) -> Witness {
    let store = store.clone();
    Arc::new(move |seen: &Observation| {
        let Observation { at, caller, subject, what } = seen;
        let entry = AuditEntry::new(*at, caller.clone(), DRY_RUN, POLICY_NAME)
            .detail(format!("{subject}: {what}"));
        if let Err(err) = store.audit(entry) {
            tracing::error!(error = %err, "writing what a dry run saw failed");
        }
    })
}
