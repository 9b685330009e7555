//! `[key_archival]`, `[[recovery_agent]]` and what templates say of keys, checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use exeunt_engine::{
    ArchiveRule, EngineError, KeyArchivalSettings, RECOVERY_AGENTS_MAX, RecoveryAgent,
};
use exeunt_types::UnixMillis;

use super::file::{KeyArchivalTable, RecoveryAgentTable, TemplateTable};
use super::{ConfigError, value_error};
use crate::failure::Failure;

/// Largest certificate of a recovery agent that is read, in bytes of PEM.
const AGENT_BYTES_MAX: u64 = 256 * 1024;

/// How keys are archived, as far as the configuration says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyArchivalConfig {
    /// Files with the recovery agents' certificates.
    pub agents: Vec<PathBuf>,
    /// To how many of them each key is encrypted.
    pub agents_used: usize,
    /// Templates that archive keys.
    pub templates: BTreeMap<String, ArchiveRule>,
}

impl KeyArchivalConfig {
    /// Reads the agents' certificates.
    ///
    /// # Errors
    ///
    /// A file that cannot be read.
    pub fn settings(&self) -> Result<KeyArchivalSettings, Failure> {
        let Self { agents, agents_used, templates } = self;
        let agents = agents.iter().map(|it| read(it)).collect::<Result<Vec<_>, _>>()?;
        let (agents_used, templates) = (*agents_used, templates.clone());
        Ok(KeyArchivalSettings { agents, agents_used, templates })
    }
}

/// Reads and checks the agents' certificates; gives a warning for each that ends soon or has ended.
///
/// # Errors
///
/// A certificate that cannot be read or does not do.
pub fn warnings(config: &KeyArchivalConfig, now: UnixMillis) -> Result<Vec<String>, Failure> {
    let agents = config.settings()?.check().map_err(|rule| {
        let err = EngineError::KeyArchival { rule };
        Failure::from_error(err.code(), &err).hint("look at [[recovery_agent]] in exeunt.toml")
    })?;
    let warning = |it: &RecoveryAgent| {
        let subject = it.certificate().subject();
        match (it.is_valid(now), it.ends_soon(now)) {
            (false, _) => Some(format!("the certificate of recovery agent {subject} is not valid")),
            (true, true) => Some(format!("the certificate of recovery agent {subject} ends soon")),
            (true, false) => None,
        }
    };
    Ok(agents.iter().filter_map(warning).collect())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |why: String| {
        let message = format!("the recovery agent's certificate {}: {why}", path.display());
        Failure::new("recovery-agent-unreadable", message)
            .hint("look at [[recovery_agent]] in exeunt.toml")
    };
    let size = std::fs::metadata(path).map_err(|err| unreadable(err.to_string()))?.len();
    if AGENT_BYTES_MAX < size {
        return Err(unreadable("it is too large to be one".to_owned()));
    }
    std::fs::read(path).map_err(|err| unreadable(err.to_string()))
}

pub fn checked(
    table: &KeyArchivalTable,
    agents: Vec<RecoveryAgentTable>,
    templates: BTreeMap<String, ArchiveRule>,
    home: &Path,
) -> Result<KeyArchivalConfig, ConfigError> {
    let agents: Vec<PathBuf> = agents.into_iter().map(|it| home.join(it.certificate)).collect();
    if RECOVERY_AGENTS_MAX < agents.len() {
        let reason = format!("there may be {RECOVERY_AGENTS_MAX}");
        return Err(value_error("recovery_agent", reason));
    }
    // All of them, as long as nothing else is said.
    let agents_used = table.agents_used.unwrap_or(agents.len());
    if agents_used < usize::from(!agents.is_empty()) || agents.len() < agents_used {
        let reason = format!("must be 1 to the number of recovery agents, {}", agents.len());
        return Err(value_error("key_archival.agents_used", reason));
    }
    if let (Some((name, _)), true) = (templates.first_key_value(), agents.is_empty()) {
        let reason = "there is no [[recovery_agent]] that keys could be encrypted to";
        return Err(value_error(format!("template {name:?}: archive_key"), reason));
    }
    Ok(KeyArchivalConfig { agents, agents_used, templates })
}

/// What templates say of keys, those left out that refuse them.
pub fn rules(templates: &[TemplateTable]) -> Result<BTreeMap<String, ArchiveRule>, ConfigError> {
    let mut rules = BTreeMap::new();
    for table in templates {
        let rule = match table.archive_key.as_str() {
            "require" => ArchiveRule::Require,
            "allow" => ArchiveRule::Allow,
            "refuse" => continue,
            other => {
                let reason = format!("{other:?} is not known; for example: require, allow, refuse");
                return Err(value_error(format!("template {:?}: archive_key", table.name), reason));
            }
        };
        rules.insert(table.name.clone(), rule);
    }
    Ok(rules)
}
