//! Maintaining a module's target: whether it can be reached, what has to be there before the first
//! event, and whether it holds what the CA holds.
//!
//! The host asks in a process of its own, greeted with the role [`ROLE`], the module's settings and
//! call-backs about the CA. Such a process is told of no event. The one that is told may be running:
//! the host stops it before it has anything mended ([`Reconcile::mend`]), and not otherwise.

use serde::{Deserialize, Serialize};

use crate::Event;

/// The role of a process that maintains, in [`Initialize::role`](crate::Initialize::role).
pub const ROLE: &str = "maintain";

/// What a module says that has nothing to look after, when it is greeted with the [`ROLE`].
pub const NO_TARGET: &str = "this module has no target to look after";

/// Most events of one `Test` or `Reconcile`.
pub const EVENTS_MAX: usize = 256;

/// Parameters of `Test`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Test {
    /// Events of the past, as examples of what the module would do. Nothing may be done with them.
    #[serde(default)]
    pub samples: Vec<Event>,
}

/// The answer to `Test`: nothing was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TestReport {
    /// What was tried, in order: connecting, authenticating, rights, schema.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// What would be written for each of the samples, a line each.
    #[serde(default)]
    pub would_write: Vec<String>,
}

/// One thing that was tried or done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// What was tried, in a few words: `connect to ldaps://dc1.example`.
    pub what: String,
    /// How it went.
    pub result: CheckResult,
    /// One line for the operator: what was found, or what is wrong and what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

impl Check {
    /// It is as it should be.
    #[must_use]
    pub fn passed(what: impl Into<String>, text: impl Into<String>) -> Self {
        Self { what: what.into(), result: CheckResult::Passed, text: text.into() }
    }

    /// The module can work, and somebody should look at it.
    #[must_use]
    pub fn warning(what: impl Into<String>, text: impl Into<String>) -> Self {
        Self { what: what.into(), result: CheckResult::Warning, text: text.into() }
    }

    /// The module cannot work so.
    #[must_use]
    pub fn failed(what: impl Into<String>, text: impl Into<String>) -> Self {
        Self { what: what.into(), result: CheckResult::Failed, text: text.into() }
    }
}

/// How something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum CheckResult {
    /// It is as it should be.
    Passed,
    /// The module can work, and somebody should look at it.
    Warning,
    /// The module cannot work so.
    Failed,
}

/// Parameters of `Install`: make what has to be in the target before the first event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Install {
    /// Whether to make it. Where not, the module says what it would make, and gives it as a text to
    /// be applied by hand where the target has such texts (LDIF, SQL).
    #[serde(default)]
    pub apply: bool,
}

/// The answer to `Install`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InstallReport {
    /// What was made, was there already, or would be made, in order.
    #[serde(default)]
    pub steps: Vec<Check>,
    /// The same as a text to be applied by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
}

/// Parameters of `Reconcile`: compare the target with what the CA holds about these subjects now.
///
/// The host calls it until everything was compared, and then [`ReconcileEnd`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reconcile {
    /// What the CA holds, each as the event that would be told if it had just happened: `issued` or
    /// `revoked` for a certificate (the first also where it has expired), `ca-cert-issued` for each
    /// of the CA's own, one `crl-issued` for all its lists. At most [`EVENTS_MAX`].
    #[serde(default)]
    pub events: Vec<Event>,
    /// Whether to mend what differs.
    #[serde(default)]
    pub mend: bool,
}

/// Parameters of `ReconcileEnd`: the target may hold no more of ours than what was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReconcileEnd {
    /// Whether to take out what is ours and should not be there.
    #[serde(default)]
    pub mend: bool,
}

/// The answer to `Reconcile` and `ReconcileEnd`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Compared {
    /// How many things are as they should be, or do not concern the module.
    pub good: u64,
    /// What is not.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Of `ReconcileEnd`: there is more, so that it has to be called again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// One thing in the target that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// What is wrong with it.
    pub difference: Difference,
    /// Where it is, or would be: a path, a distinguished name with its attribute, a key.
    pub place: String,
    /// What is meant: a serial number, the number of a list. One line for the operator.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Whether it was mended just now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mended: bool,
    /// Why it could not be mended, or not be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Finding {
    /// A difference that nothing was done about.
    #[must_use]
    pub fn new(difference: Difference, place: impl Into<String>, text: impl Into<String>) -> Self {
        let (place, text) = (place.into(), text.into());
        Self { difference, place, text, mended: false, error: None }
    }

    /// Says what came of mending it.
    #[must_use]
    pub fn mended(mut self, result: Result<(), String>) -> Self {
        match result {
            Ok(()) => self.mended = true,
            Err(why) => self.error = Some(why),
        }
        self
    }
}

/// What is wrong with a thing in the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Difference {
    /// It should be there and is not.
    Missing,
    /// Another state of it is there than the CA's.
    Stale,
    /// It is ours and should not be there (any more).
    Surplus,
    /// Something that is not ours stands in its place; it was left alone.
    Foreign,
    /// It could not be compared; [`Finding::error`] says why.
    Unknown,
}

impl Difference {
    /// The word for it, as it stands in the message.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Stale => "stale",
            Self::Surplus => "surplus",
            Self::Foreign => "foreign",
            Self::Unknown => "unknown",
        }
    }
}
