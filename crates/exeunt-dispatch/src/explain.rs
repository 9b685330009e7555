//! Why a module was told of an event, or was not: every rule, in the order in which they apply.
//!
//! The rules are today's. Which ones held when the event was read is not recorded; where settings
//! were changed since, the audit log says when.

use std::sync::Arc;

use exeunt_module::exit_event;
use exeunt_store::{CursorRow, Held, HeldState, LoggedEvent};
use exeunt_types::EventSeq;

use crate::{filter, settings::ExitSettings, snapshot::Snapshots};

/// One rule, and whether it lets the event through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What is looked at.
    pub rule: &'static str,
    /// Whether it lets the event through.
    pub holds: bool,
    /// What was found.
    pub because: String,
}

/// What is known of a module's place.
pub(crate) struct Known<'a> {
    pub(crate) settings: &'a Arc<ExitSettings>,
    /// What the module asked for at its last hello; `None` before the first.
    pub(crate) mask: Option<u32>,
    /// The cursor in memory: ahead of the stored one by events that are no business of the module.
    pub(crate) position: EventSeq,
    pub(crate) row: Option<&'a CursorRow>,
    pub(crate) held: Option<&'a Held>,
}

/// Every rule about this event; the last one says where it stands.
pub(crate) fn explain(known: &Known<'_>, logged: &LoggedEvent, snapshots: &Snapshots) -> Vec<Rule> {
    let Known { settings, mask, position, row, held } = known;
    let seq = logged.seq;
    let word = logged.kind.word();
    let mut rules = Vec::new();
    let mut rule = |rule, holds, because| {
        rules.push(Rule { rule, holds, because });
        holds
    };

    // 1. The operator's settings.
    let mut passes = rule(
        "the module is enabled",
        settings.enabled,
        if settings.enabled { "it is" } else { "it is disabled; its events wait in the log" }
            .to_owned(),
    );
    let started = row.map_or(EventSeq(0), |it| it.started);
    let again = row.and_then(|it| it.replay).is_some_and(|it| *position < seq && seq <= it.to);
    passes &= rule(
        "the event is not older than the module's start",
        started < seq || again,
        format!("the module began after event {started}; this is event {seq}"),
    );
    if let Some(events) = settings.events {
        passes &= rule(
            "the configuration's list of events names it",
            logged.kind.is_in(events),
            format!("the list is {}; this is {word}", words(events)),
        );
    }

    // 2. The module's own wish.
    passes &= match mask {
        Some(mask) => rule(
            "the module asked for such events",
            logged.kind.is_in(*mask),
            format!("its mask is {}; this is {word}", words(*mask)),
        ),
        None => rule(
            "the module asked for such events",
            true,
            "it has not said yet what it asks for".to_owned(),
        ),
    };

    // 3. The expression.
    if let Some(expression) = &settings.filter {
        let event = snapshots.event(logged, 1, false);
        let (holds, because) = match expression.holds(&event) {
            filter::Verdict::Yes => (true, format!("{} is true", expression.text())),
            filter::Verdict::No => (false, format!("{} is not true", expression.text())),
            filter::Verdict::Failed(why) => {
                (true, format!("{} failed ({why}), so the event is told", expression.text()))
            }
        };
        passes &= rule("the expression in `where` is true", holds, because);
    }

    // 4. Where it stands.
    let (told, because) = match held.map(|it| (&it.state, it)) {
        Some((HeldState::Parked, it)) => {
            (false, format!("it is parked after {} attempts: {}", it.attempts, it.last_error))
        }
        Some((HeldState::Retry { .. }, it)) => {
            (false, format!("{} attempts failed, it is told again: {}", it.attempts, it.last_error))
        }
        Some((HeldState::Wait, _)) => {
            (false, "it waits behind an earlier event of its subject".to_owned())
        }
        None if *position < seq => {
            (false, format!("the module is at event {position} and has not reached it"))
        }
        None if passes => (
            true,
            "the module accepted or skipped it, unless an operator has dropped it".to_owned(),
        ),
        None => (false, "it was passed over".to_owned()),
    };
    rule("the event has been settled", told, because);
    rules
}

/// The events of a mask in words.
fn words(mask: u32) -> String {
    let known: Vec<&str> = exit_event::WORDS
        .iter()
        .filter_map(|(bit, word)| (mask & bit != 0).then_some(*word))
        .collect();
    match known.as_slice() {
        [] => "empty".to_owned(),
        _ => known.join(","),
    }
}
