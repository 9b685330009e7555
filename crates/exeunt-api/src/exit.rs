//! Exit modules: how each of them stands in the event log.

mod maintenance;
mod manage;

pub use maintenance::{
    MaintenanceFault, MaintenanceKind, MaintenanceOrder, MaintenanceRun, MaintenanceState,
    MaintenanceStatus, TargetCheck, TargetFinding,
};
pub use manage::{
    Deliveries, Delivery, ExitChanged, ExitRemoved, ExitSettings, ExitStart, ExplainedEvent,
    ExplainedRule, Explanation, KnownSetting, KnownSettings, NewExit, Reloaded, ReplayOrder,
    RuleAnswer, SettingsMap, ShelfOrder,
};

use serde::{Deserialize, Serialize};

/// What a module's process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ExitState {
    /// Its process is being started or has not answered the greeting yet.
    Starting,
    /// It takes events.
    Running,
    /// It is told nothing for now: its target seems dead, or it waits for something else.
    Waiting,
    /// Its process cannot be started. It is tried again; its events wait in the log.
    Down,
    /// It is configured but switched off; its backlog is kept.
    Disabled,
    /// It was stopped with the server.
    Stopped,
    /// A word from a newer server.
    #[serde(other)]
    Unknown,
}

impl ExitState {
    /// The word, as JSON carries it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Down => "down",
            Self::Disabled => "disabled",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
        }
    }
}

/// How an exit module stands. Counters count since the server's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExitStatus {
    /// Configured name.
    pub name: String,
    /// What its process is doing.
    pub state: ExitState,
    /// Whether it is switched on.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Why it is waiting or down, one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When it is tried again if it is waiting or down, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Number of its process, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// What the module says of itself; empty until it has greeted.
    pub description: String,
    /// Words of the events that it is told; none while that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<String>>,
    /// What keeps its process from the rest of the machine, in words; empty where nothing runs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub isolation: String,
    /// Every event up to this place is settled or on the shelf.
    pub cursor: u64,
    /// Last place in the event log.
    pub head: u64,
    /// Events after the cursor.
    pub lag: u64,
    /// Events that are neither settled nor parked: those after the cursor, those that are tried again,
    /// and those that wait behind another one.
    #[serde(default)]
    pub undelivered: u64,
    /// Age of the oldest event that is neither accepted nor parked, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_unsettled_s: Option<u64>,
    /// The replay that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
    /// Events on the shelf that will be tried again.
    pub held_retry: u64,
    /// Events on the shelf that wait, untried, behind another one of their subject.
    #[serde(default)]
    pub held_behind: u64,
    /// Events on the shelf that wait for an operator.
    pub held_parked: u64,
    /// Events that the module accepted.
    pub accepted: u64,
    /// Events that the module skipped.
    #[serde(default)]
    pub skipped: u64,
    /// Deliveries that failed, by the module's answer or by the end of its process.
    #[serde(default)]
    pub retried: u64,
    /// Deliveries that were tried.
    pub attempts: u64,
    /// Times the process ended or was killed while it had events in hand.
    #[serde(default)]
    pub faults: u64,
    /// Times the module's process was started.
    pub starts: u64,
    /// Last failure, one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Moment of the last failure, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error_at: Option<String>,
    /// When it accepted an event for the first time after that, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mended_at: Option<String>,
    /// The newest comparison of its target with the CA since the server's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconciled: Option<MaintenanceStatus>,
}

/// Events that are told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Replay {
    /// Last event that is told again.
    pub to: u64,
    /// Where the cursor jumps afterwards: what comes after this event is told for the first time.
    pub resume_at: u64,
}

fn yes() -> bool {
    true
}

/// Answer of `GET /v1/exits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExitList {
    /// The modules in the order of the configuration.
    pub exits: Vec<ExitStatus>,
}

/// Answer of `GET /v1/exits/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExitDetail {
    /// The module as lists show it.
    #[serde(flatten)]
    pub status: ExitStatus,
    /// Its shelf, oldest event first, at most [`crate::PAGE_ROWS_MAX`] rows.
    pub held: Vec<HeldEvent>,
}

/// Why an event is on the shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum HeldState {
    /// It will be tried again.
    Retry,
    /// It waits for an operator.
    Parked,
    /// It was not tried: an earlier event of the same subject is held.
    Behind,
    /// A word from a newer server.
    #[serde(other)]
    Unknown,
}

impl HeldState {
    /// The word, as JSON carries it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Parked => "parked",
            Self::Behind => "behind",
            Self::Unknown => "unknown",
        }
    }
}

/// An event on a module's shelf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HeldEvent {
    /// Place in the event log.
    pub event: u64,
    /// Kind of the event, for example `issued`.
    pub kind: String,
    /// What the event is about, for example `request:7`.
    pub subject: String,
    /// Why it is here.
    pub state: HeldState,
    /// Deliveries that were tried, without those at which the module said that its target is down: these
    /// do not bring the event nearer to being parked.
    pub attempts: u32,
    /// Moment of the next attempt, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<String>,
    /// Why the last attempt failed, one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When it happened, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// When it came onto the shelf, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since: Option<String>,
    /// Who asked for the certificate, if it is about a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<String>,
    /// Subject of the certificate, or as it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_subject: Option<String>,
    /// Serial number of the certificate, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_from_a_newer_server_is_not_an_error() {
        let text = r#"{"event":3,"kind":"issued","subject":"request:7","state":"frozen",
                       "attempts":2,"temperature":-40}"#;
        let held: HeldEvent = serde_json::from_str(text).unwrap();
        assert_eq!(held.state, HeldState::Unknown);
        assert_eq!(serde_json::from_str::<ExitState>(r#""molten""#).unwrap(), ExitState::Unknown);
    }

    #[test]
    fn a_word_is_what_json_carries() {
        use ExitState::{Disabled, Down, Running, Starting, Stopped, Waiting};
        for it in [Starting, Running, Waiting, Down, Disabled, Stopped] {
            assert_eq!(serde_json::to_value(it).unwrap(), it.word());
        }
        for it in [HeldState::Retry, HeldState::Parked, HeldState::Behind] {
            assert_eq!(serde_json::to_value(it).unwrap(), it.word());
        }
    }

    #[test]
    fn a_status_from_an_older_server_is_read() {
        let text = r#"{"name":"file","state":"running","description":"","cursor":4,"head":9,"lag":5,
                       "held_retry":0,"held_parked":0,"accepted":4,"attempts":4,"starts":1}"#;
        let status: ExitStatus = serde_json::from_str(text).unwrap();
        assert_eq!((status.pid, status.why, status.skipped), (None, None, 0));
        assert!(status.enabled);
    }

    #[test]
    fn a_detail_is_the_summary_and_more() {
        let status = ExitStatus {
            name: "file".to_owned(),
            state: ExitState::Down,
            enabled: true,
            why: Some("the program does not exist".to_owned()),
            until: None,
            pid: Some(17),
            description: String::new(),
            events: Some(vec!["issued".to_owned()]),
            isolation: String::new(),
            cursor: 4,
            head: 9,
            lag: 5,
            undelivered: 5,
            oldest_unsettled_s: None,
            replay: Some(Replay { to: 3, resume_at: 4 }),
            held_retry: 0,
            held_behind: 0,
            held_parked: 0,
            accepted: 4,
            skipped: 0,
            retried: 0,
            attempts: 4,
            faults: 0,
            starts: 1,
            last_error: None,
            last_error_at: None,
            mended_at: None,
            reconciled: None,
        };
        let text = serde_json::to_string(&ExitDetail { status: status.clone(), held: Vec::new() });
        assert_eq!(serde_json::from_str::<ExitStatus>(&text.unwrap()).unwrap(), status);
    }
}
