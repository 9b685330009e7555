//! Why a module was told of an event, or was not: every rule, in the order in which they apply.
//!
//! The rules are today's. Which ones held when the event was read is not recorded; where settings
//! were changed since, the audit log says when.

use std::sync::Arc;

use exeunt_module::exit_event;
use exeunt_store::{CursorRow, Held, HeldState, LoggedEvent};
use exeunt_types::{EventSeq, UnixMillis};

use crate::{filter, settings::ExitSettings, snapshot::Snapshots};

/// One rule, and whether it lets the event through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What is looked at.
    pub rule: &'static str,
    /// Whether it lets the event through.
    pub answer: Answer,
    /// What was found; empty where the rule says it all.
    pub because: String,
}

/// Whether a rule lets an event through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It will, by itself.
    NotYet,
    /// Nobody can say before the module has started.
    Unknown,
}

/// The last rule of every explanation: where the event stands.
const SETTLED: &str = "the event has been settled";

/// What is known of a module's place.
pub(crate) struct Known<'a> {
    pub(crate) settings: &'a Arc<ExitSettings>,
    /// What the module asked for at its last hello; `None` before the first.
    pub(crate) mask: Option<u32>,
    /// The cursor in memory: ahead of the stored one by events that are no business of the module.
    pub(crate) position: EventSeq,
    pub(crate) row: Option<&'a CursorRow>,
    pub(crate) held: Option<&'a Held>,
    /// Who has dropped it from the shelf, and why.
    pub(crate) dropped: Option<&'a str>,
}

/// Every rule about this event; the last one says where it stands.
pub(crate) fn explain(
    known: &Known<'_>,
    logged: &LoggedEvent,
    snapshots: &Snapshots,
    now: UnixMillis,
) -> Vec<Rule> {
    let Known { settings, mask, position, row, held, dropped } = known;
    let seq = logged.seq;
    let word = logged.kind.word();
    let mut rules = Vec::new();
    let mut rule = |rule, answer, because| {
        rules.push(Rule { rule, answer, because });
        answer != Answer::No
    };
    let yes_or_no = |holds| if holds { Answer::Yes } else { Answer::No };

    // 1. The operator's settings.
    let disabled = "it is disabled; its events wait in the log";
    let why = if settings.enabled { "" } else { disabled };
    rule("the module is enabled", yes_or_no(settings.enabled), why.to_owned());
    let started = row.map_or(EventSeq(0), |it| it.started);
    let again = row.and_then(|it| it.replay).is_some_and(|it| *position < seq && seq <= it.to);
    let mut passes = rule(
        "the event is not older than the module's start",
        yes_or_no(started < seq || again),
        format!("the module began after event {started}; this is event {seq}"),
    );
    if let Some(events) = settings.events {
        passes &= rule(
            "the configuration's list of events names it",
            yes_or_no(logged.kind.is_in(events)),
            format!("the list is {}; this is {word}", words(events)),
        );
    }

    // 2. The module's own wish.
    passes &= match mask {
        Some(mask) => rule(
            "the module asked for such events",
            yes_or_no(logged.kind.is_in(*mask)),
            format!("it asks for {}; this is {word}", words(*mask)),
        ),
        None => rule(
            "the module asked for such events",
            Answer::Unknown,
            "it has not said yet what it asks for".to_owned(),
        ),
    };

    // 3. The expression.
    if let Some(expression) = &settings.filter {
        let event = snapshots.event(logged, 1, false, now);
        let (holds, because) = match expression.holds(&event) {
            filter::Verdict::Yes => (true, format!("{} is true", expression.text())),
            filter::Verdict::No => (false, format!("{} is not true", expression.text())),
            filter::Verdict::Failed(why) => {
                (true, format!("{} failed ({why}), so the event is told", expression.text()))
            }
        };
        passes &= rule("the expression in `where` is true", yes_or_no(holds), because);
    }

    // 4. Where it stands.
    let (what, answer, because) = match held.map(|it| (&it.state, it)) {
        Some((HeldState::Parked, it)) => {
            let after = attempts(it.attempts);
            (SETTLED, Answer::No, format!("it is parked after {after}: {}", it.last_error))
        }
        Some((HeldState::Retry { .. }, it)) => {
            // One that failed because the target is away is no attempt.
            let failed = match it.attempts {
                0 => String::new(),
                some => format!("{} failed, ", attempts(some)),
            };
            let because = format!("{failed}it is told again: {}", it.last_error);
            (SETTLED, Answer::NotYet, because)
        }
        Some((HeldState::Wait, _)) => {
            let because = "it waits behind an earlier event of its subject".to_owned();
            (SETTLED, Answer::NotYet, because)
        }
        None if *position < seq => {
            let what = if passes { "it has been told" } else { "it has been passed over" };
            (what, Answer::NotYet, format!("the module is at event {position}"))
        }
        None if passes => {
            let because = match dropped {
                Some(dropped) => format!("it was dropped by {dropped}"),
                None if mask.is_none() => {
                    "the module accepted or skipped it, or had not asked for it".to_owned()
                }
                None => "the module accepted or skipped it".to_owned(),
            };
            (SETTLED, Answer::Yes, because)
        }
        None => (SETTLED, Answer::Yes, "it was passed over".to_owned()),
    };
    rule(what, answer, because);
    rules
}

/// A number of attempts in words.
fn attempts(count: u32) -> String {
    if count == 1 { "1 attempt".to_owned() } else { format!("{count} attempts") }
}

/// The events of a mask in words.
fn words(mask: u32) -> String {
    let known: Vec<&str> = exit_event::WORDS
        .iter()
        .filter_map(|(bit, word)| (mask & bit != 0).then_some(*word))
        .collect();
    match known.as_slice() {
        [] => "nothing".to_owned(),
        _ => known.join(", "),
    }
}
