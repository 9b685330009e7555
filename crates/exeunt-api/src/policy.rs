//! The active policy.

use serde::{Deserialize, Serialize};

use crate::SettingsMap;

/// Path of the policy.
pub const POLICY_PATH: &str = "/v1/policy";

/// The active policy, and how its module does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PolicyStatus {
    /// What decides: `templates`, or the module's command or library.
    pub module: String,
    /// Whether the templates have a say: they decide alone, or first.
    pub templates: bool,
    /// Whether the module can only be stricter than the templates.
    pub chain: bool,
    /// Whether the module is only asked, and the templates decide.
    pub audit: bool,
    /// What becomes of a request that the module does not decide about: `pend` or `fail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<String>,
    /// How long one request may take, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_s: Option<u64>,
    /// What the module calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Number of its process, if one runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Why it does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<String>,
    /// What it is kept from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<String>,
    /// How often it was started.
    pub starts: u64,
    /// How many requests it has ruled on since the server or the configuration was started.
    pub rulings: u64,
    /// How many requests it gave no ruling on.
    pub failures: u64,
}

/// What is to change about the policy module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PolicyOrder {
    /// Keys of `[policy]` in `exeunt.toml` and their new values, for example `chain` and `true`; null
    /// takes a key out. The module's own settings are no such key.
    #[serde(default)]
    pub keys: SettingsMap,
    /// The module's own settings, all of them; left out, they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<SettingsMap>,
}

/// The policy module's own settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PolicySettings {
    /// Each by its name.
    pub settings: SettingsMap,
}
