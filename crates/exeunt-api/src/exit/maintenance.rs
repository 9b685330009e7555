//! Looking after the target of an exit module: tried, prepared, compared with the CA.
//!
//! It takes as long as the target does. So it is ordered, and then asked how far it is.

use serde::{Deserialize, Serialize};

/// What is done for a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum MaintenanceKind {
    /// Connect, authenticate, look; write nothing.
    Test,
    /// Make what has to be there before the first event.
    Install,
    /// Compare it with what the CA holds.
    Reconcile,
}

/// Body of `POST /v1/exits/{name}/maintenance`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MaintenanceOrder {
    /// What is done.
    pub kind: MaintenanceKind,
    /// Whether it changes the target: makes what is to be installed, mends what differs. A test
    /// changes nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub apply: bool,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum MaintenanceState {
    /// It is under way.
    Running,
    /// It came to its end.
    Done,
    /// It did not; `error` says why.
    Failed,
    /// Somebody ended it, or the server stopped.
    Cancelled,
}

impl MaintenanceState {
    /// The word, as JSON carries it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The numbers of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MaintenanceStatus {
    /// Number of the run since the server's start.
    pub number: u64,
    /// What is done.
    pub kind: MaintenanceKind,
    /// Whether it changes the target.
    pub apply: bool,
    /// Who has ordered it; `schedule` where the configuration did.
    pub by: String,
    /// How far it is.
    pub state: MaintenanceState,
    /// When it began, RFC 3339.
    pub started: String,
    /// When it ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Things of the CA that were compared.
    #[serde(default)]
    pub compared: u64,
    /// Things of the CA that are compared in all, as counted at the beginning.
    #[serde(default)]
    pub total: u64,
    /// Things in the target that are as they should be.
    #[serde(default)]
    pub good: u64,
    /// Things that are not.
    #[serde(default)]
    pub differences: u64,
    /// Those of them that were mended.
    #[serde(default)]
    pub mended: u64,
    /// Checks and steps that failed.
    #[serde(default)]
    pub failed_checks: u64,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<MaintenanceFault>,
}

impl MaintenanceStatus {
    /// Whether it came to its end and nothing is left that is not as it should be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.state == MaintenanceState::Done
            && self.failed_checks == 0
            && self.differences == self.mended
    }
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MaintenanceFault {
    /// Stable code.
    pub code: String,
    /// One clause for people.
    pub detail: String,
    /// What to do about it.
    pub hint: String,
}

/// Answer about `/v1/exits/{name}/maintenance`: the newest run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MaintenanceRun {
    /// The module.
    pub name: String,
    /// Its numbers.
    #[serde(flatten)]
    pub status: MaintenanceStatus,
    /// Of a test, what was tried; of an installation, what was made or would be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<TargetCheck>,
    /// Of a test, what would be written for events of the past, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub would_write: Vec<String>,
    /// Of an installation, what can be applied by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// What is not as it should be, after the place that was asked for; at most
    /// [`crate::PAGE_ROWS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<TargetFinding>,
    /// What `after` has to be in order to hear of the next findings.
    #[serde(default)]
    pub next_after: u64,
    /// Findings that were counted and not kept.
    #[serde(default)]
    pub findings_left_out: u64,
}

/// One thing that was tried or made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TargetCheck {
    /// What.
    pub what: String,
    /// passed, warning or failed.
    pub result: String,
    /// What was found, or what is wrong and what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// One thing in a target that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TargetFinding {
    /// missing, stale, surplus, foreign or unknown.
    pub difference: String,
    /// Where it is, or would be.
    pub place: String,
    /// What is meant.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Whether it was mended.
    #[serde(default)]
    pub mended: bool,
    /// Why not, or why it could not be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
