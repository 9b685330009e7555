//! How a module stands: what operators and metrics read.

use std::time::Duration;

use exeunt_types::{EventSeq, ExitName, UnixMillis};

/// What a module is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitState {
    /// Its process has not said hello yet.
    Starting,
    /// It takes events.
    Running,
    /// Its process may run, but it is told nothing for now: its target seems dead, its lease is
    /// elsewhere, its shelf is full, or the store fails.
    Waiting {
        /// When it is tried again.
        until: UnixMillis,
        /// Why, in one line.
        why: String,
    },
    /// Its process cannot be started. Its events wait in the log.
    Down {
        /// When it is started again.
        until: UnixMillis,
        /// Why, in one line.
        why: String,
    },
    /// It was stopped with the server.
    Stopped,
    /// The operator has disabled it. Its events wait in the log.
    Disabled,
}

impl ExitState {
    /// One lower-case word for people and for JSON.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting { .. } => "waiting",
            Self::Down { .. } => "down",
            Self::Stopped => "stopped",
            Self::Disabled => "disabled",
        }
    }
}

/// How a module stands. Counters count since the dispatcher's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitStatus {
    /// Configured name.
    pub name: ExitName,
    /// What the module says of itself; empty until its first hello.
    pub description: String,
    /// What it is doing.
    pub state: ExitState,
    /// Events that the module asked for at its last hello; `None` before the first.
    pub mask: Option<u32>,
    /// While events are told again: the last of them, and where it goes on afterwards.
    pub replay: Option<(EventSeq, EventSeq)>,
    /// Number of its process, while there is one.
    pub pid: Option<u32>,
    /// Every event up to here is settled or on the shelf.
    pub cursor: EventSeq,
    /// Last place in the event log.
    pub head: EventSeq,
    /// Events after the cursor.
    pub lag: u64,
    /// Age of the oldest event that the module still has to hear without an operator's help: after
    /// the cursor, or failed and to be tried again.
    pub oldest_unsettled_age: Option<Duration>,
    /// Events on the shelf that will be tried again.
    pub held_retry: usize,
    /// Events on the shelf that wait, untried, behind another one of their subject.
    pub held_behind: usize,
    /// Events on the shelf that wait for an operator.
    pub held_parked: usize,
    /// Events that were accepted.
    pub accepted: u64,
    /// Events that the module skipped.
    pub skipped: u64,
    /// Attempts that failed, by the module's answer or by the end of its process.
    pub retried: u64,
    /// Events told; an event counts as often as it was told.
    pub attempts: u64,
    /// Times the process ended or was killed while it had a batch.
    pub faults: u64,
    /// Times a start of the process was tried.
    pub starts: u64,
    /// Last failure, in one line.
    pub last_error: Option<String>,
    /// Moment of the last failure.
    pub last_error_at: Option<UnixMillis>,
    /// When the module accepted an event for the first time after that; `None` until then.
    pub mended_at: Option<UnixMillis>,
}

impl ExitStatus {
    /// Something failed.
    pub(crate) fn fails(&mut self, why: String, at: UnixMillis) {
        self.last_error = Some(why);
        self.last_error_at = Some(at);
        self.mended_at = None;
    }

    /// An event was accepted.
    pub(crate) fn accepts(&mut self, at: UnixMillis) {
        self.accepted += 1;
        if self.last_error.is_some() {
            self.mended_at.get_or_insert(at);
        }
    }

    pub(crate) fn new(name: ExitName, cursor: EventSeq) -> Self {
        Self {
            name,
            description: String::new(),
            state: ExitState::Starting,
            mask: None,
            replay: None,
            pid: None,
            cursor,
            head: cursor,
            lag: 0,
            oldest_unsettled_age: None,
            held_retry: 0,
            held_behind: 0,
            held_parked: 0,
            accepted: 0,
            skipped: 0,
            retried: 0,
            attempts: 0,
            faults: 0,
            starts: 0,
            last_error: None,
            last_error_at: None,
            mended_at: None,
        }
    }
}
