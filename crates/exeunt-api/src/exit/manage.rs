//! Exit modules as an operator manages them: added, set, switched, told again, removed.
//!
//! All of it is answered on the Unix socket only.

use serde::{Deserialize, Serialize};

use crate::{ExitDetail, ExitState};

/// The module's own settings, as JSON has them.
pub type SettingsMap = serde_json::Map<String, serde_json::Value>;

/// Body of `POST /v1/exits`: a module that is not there yet. Exactly one of `module`, `command` and
/// `library` (with `class`) is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewExit {
    /// Its name.
    pub name: String,
    /// One of the modules inside the server's program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// A program and its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// A library with classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<String>,
    /// The class in the library, by name or by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Where it begins; the head when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<ExitStart>,
    /// Words of the events that it is told at most; all that it asks for when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<String>>,
    /// Condition that an event must meet.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Whether an answer waits until it has been told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub before_reply: bool,
    /// Its own settings.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub settings: SettingsMap,
}

/// Where a module begins: `"head"`, `"first"`, or after the event of a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum ExitStart {
    /// After this event.
    After(u64),
    /// `head` or `first`.
    Word(String),
}

/// Answer to whatever changes a module or its events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExitChanged {
    /// The module.
    pub name: String,
    /// How many events were concerned.
    #[serde(default)]
    pub events: u64,
    /// How the module stands after a change of its own; none where only its events were concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ExitState>,
    /// What the operator should know besides, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Body of `POST /v1/exits/{name}/retry` and `…/drop`. Either `all` or `events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ShelfOrder {
    /// Numbers of events on the shelf.
    #[serde(default)]
    pub events: Vec<u64>,
    /// All of them: to retry, what is held or parked; to drop, what is parked.
    #[serde(default)]
    pub all: bool,
    /// Why they are dropped; needed for that, and not taken for a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Body of `POST /v1/exits/{name}/replay`. Either `cancel` or both numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReplayOrder {
    /// First event to tell again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Last event to tell again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// Ends the replay that is under way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel: bool,
}

/// Answer of `GET /v1/exits/{name}/settings`, and body of the `PUT`, which replaces them all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ExitSettings {
    /// The settings.
    pub settings: SettingsMap,
}

/// Answer of `GET /v1/exits/{name}/settings/known`: what the module says of its settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KnownSettings {
    /// In the order of the module.
    pub settings: Vec<KnownSetting>,
}

/// One setting that a module knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KnownSetting {
    /// Its name.
    pub name: String,
    /// string, long, boolean, list or object.
    #[serde(rename = "type")]
    pub kind: String,
    /// One line.
    pub description: String,
    /// What counts where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
    /// Whether the module refuses to start without it.
    #[serde(default)]
    pub required: bool,
}

/// Answer of `GET /v1/exits/{name}/deliveries`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Deliveries {
    /// Oldest first, at most [`crate::PAGE_ROWS_MAX`]. The server remembers the last thousand or so.
    pub deliveries: Vec<Delivery>,
    /// What `after` has to be in order to hear what comes next.
    pub next_after: u64,
}

/// One attempt to tell a module an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Delivery {
    /// Number of the attempt among all of this module since the server's start.
    pub number: u64,
    /// Place in the event log.
    pub event: u64,
    /// Kind of the event, for example `issued`.
    pub kind: String,
    /// What the event is about, for example `request:7`.
    pub subject: String,
    /// 1 for the first time that the module was told.
    pub attempt: u32,
    /// What came of it: `accepted`, `skipped`, `failed` where it is told again, `parked`, or
    /// `unanswered`.
    pub outcome: String,
    /// What the module or the server said about it, one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When it was over, RFC 3339.
    pub at: String,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// How long after that it is told again, in milliseconds, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<u64>,
}

/// Answer of `GET /v1/exits/{name}/explain?request=N`: why the module is told of a request, or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explanation {
    /// The module.
    pub name: String,
    /// The request.
    pub request: u64,
    /// Its events, oldest first.
    pub events: Vec<ExplainedEvent>,
}

/// One event and the rules that decide about it, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExplainedEvent {
    /// Place in the event log.
    pub event: u64,
    /// Kind of the event.
    pub kind: String,
    /// When it happened, RFC 3339.
    pub at: String,
    /// The rules.
    pub rules: Vec<ExplainedRule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExplainedRule {
    /// What is asked, in words; the last one is the verdict.
    pub rule: String,
    /// Whether the event gets past it.
    pub answer: RuleAnswer,
    /// Whether nothing is known that keeps the event from getting past it, in one bit.
    pub holds: bool,
    /// Why; empty where the rule says it all.
    pub because: String,
}

/// Whether an event gets past a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RuleAnswer {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It will, by itself.
    NotYet,
    /// Nobody can say before the module has started.
    Unknown,
}

/// Answer of `DELETE /v1/exits/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExitRemoved {
    /// How the module stood before.
    #[serde(flatten)]
    pub before: ExitDetail,
    /// Whether its place and its shelf were dropped.
    pub backlog_dropped: bool,
}

/// Answer of `POST /v1/reload`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reloaded {
    /// Modules that are new.
    pub added: Vec<String>,
    /// Modules that go on with other settings.
    pub changed: Vec<String>,
    /// Modules that are gone; their place is kept.
    pub removed: Vec<String>,
    /// Modules that could not be changed, each with why.
    pub failed: Vec<String>,
    /// Keys that have changed and count after a restart only.
    pub needs_restart: Vec<String>,
    /// What else has changed and counts from now on: `principals`, `audit.filter`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_up: Vec<String>,
    /// New and changed modules that do not start, each with why. They are tried again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_started: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_word_or_a_number() {
        let read = |text: &str| serde_json::from_str::<ExitStart>(text).unwrap();
        assert_eq!(read("7"), ExitStart::After(7));
        assert_eq!(read("\"head\""), ExitStart::Word("head".to_owned()));
    }

    #[test]
    fn a_new_module_has_no_member_that_nobody_knows() {
        let read = serde_json::from_str::<NewExit>;
        let new = read(r#"{"name":"mail","command":["mail"],"where":"true"}"#).unwrap();
        assert_eq!(new.filter.as_deref(), Some("true"));
        assert!(read(r#"{"name":"mail","comand":["mail"]}"#).is_err());
    }
}
