//! How the modules stand, in the API's words: dispatcher, store and configuration on one side, the
//! edge on the other.

use exeunt_api::{
    Delivery, ExitState, ExitStatus, ExplainedEvent, ExplainedRule, HeldEvent, HeldState, Replay,
    RuleAnswer,
};
use exeunt_dispatch::{Answer, Delivered, Rule};
use exeunt_http::rfc3339;
use exeunt_store::{HeldRow, LoggedEvent, Store};
use exeunt_types::EventKind;

use crate::config::ExitConfig;
use crate::launch::isolation;

/// Longest text of a rule or a reason that is shown, in characters: one line stays one line.
const TEXT_CHARS_MAX: usize = 2000;

/// A module's numbers; `exit` is how it is configured.
pub fn status(it: exeunt_dispatch::ExitStatus, exit: Option<&ExitConfig>) -> ExitStatus {
    let exeunt_dispatch::ExitStatus {
        name,
        description,
        state,
        mask,
        replay,
        pid,
        cursor,
        head,
        lag,
        oldest_unsettled_age,
        held_retry,
        held_behind,
        held_parked,
        accepted,
        skipped,
        retried,
        attempts,
        faults,
        starts,
        last_error,
        last_error_at,
        mended_at,
    } = it;
    let enabled = !matches!(state, exeunt_dispatch::ExitState::Disabled);
    let (state, pause) = match state {
        exeunt_dispatch::ExitState::Starting => (ExitState::Starting, None),
        exeunt_dispatch::ExitState::Running => (ExitState::Running, None),
        exeunt_dispatch::ExitState::Waiting { until, why } => {
            (ExitState::Waiting, Some((until, why)))
        }
        exeunt_dispatch::ExitState::Down { until, why } => (ExitState::Down, Some((until, why))),
        exeunt_dispatch::ExitState::Stopped => (ExitState::Stopped, None),
        exeunt_dispatch::ExitState::Disabled => (ExitState::Disabled, None),
    };
    let (until, why) = pause.unzip();
    let count = |it: usize| u64::try_from(it).unwrap_or(u64::MAX);
    let allowed = exit.and_then(|it| it.events);
    ExitStatus {
        name: name.to_string(),
        state,
        enabled,
        why,
        until: until.map(rfc3339),
        pid,
        description,
        events: match (mask, allowed) {
            (None, None) => None,
            (mask, allowed) => Some(words(mask.unwrap_or(u32::MAX) & allowed.unwrap_or(u32::MAX))),
        },
        isolation: exit.map(isolation).unwrap_or_default(),
        cursor: cursor.0,
        head: head.0,
        lag,
        undelivered: lag + count(held_retry) + count(held_behind),
        oldest_unsettled_s: oldest_unsettled_age.map(|age| age.as_secs()),
        replay: replay.map(|(to, resume_at)| Replay { to: to.0, resume_at: resume_at.0 }),
        held_retry: count(held_retry),
        held_behind: count(held_behind),
        held_parked: count(held_parked),
        accepted,
        skipped,
        retried,
        attempts,
        faults,
        starts,
        last_error,
        last_error_at: last_error_at.map(rfc3339),
        mended_at: mended_at.map(rfc3339),
        reconciled: None,
    }
}

/// The events of a mask. Bits that nobody knows stand as one number at the end.
pub fn words(mask: u32) -> Vec<String> {
    let known = EventKind::ALL.iter().filter(|it| it.is_in(mask));
    let rest = EventKind::ALL.iter().fold(mask, |rest, it| rest & !it.bit());
    known.map(|it| it.word().to_owned()).chain((rest != 0).then(|| format!("{rest:#x}"))).collect()
}

/// A row of a shelf.
pub fn held_event(store: &Store, row: HeldRow) -> HeldEvent {
    let (seq, subject, state, attempts, next_attempt, last_error, since) = match row {
        HeldRow::Held(held) => {
            let (state, next) = match held.state {
                exeunt_store::HeldState::Retry { at } => (HeldState::Retry, Some(rfc3339(at))),
                exeunt_store::HeldState::Wait => (HeldState::Behind, None),
                exeunt_store::HeldState::Parked => (HeldState::Parked, None),
            };
            let error = Some(held.last_error).filter(|it| !it.is_empty());
            let since = Some(rfc3339(held.first_held));
            (held.seq, held.subject.to_string(), state, held.attempts, next, error, since)
        }
        HeldRow::Corrupt { seq, why } => {
            (seq, String::new(), HeldState::Parked, 0, None, Some(why), None)
        }
    };
    let logged = store.event(seq).ok().flatten();
    let kind = logged.as_ref().map_or("unknown", |it| it.kind.word()).to_owned();
    let at = logged.as_ref().map(|it| rfc3339(it.at));
    let (request, certificate) = logged.map(|it| (it.request, it.certificate)).unwrap_or_default();
    let name = match (&certificate, &request) {
        (Some(it), _) => it.certificate.subject.clone(),
        (None, Some(it)) => it.request.subject.clone(),
        (None, None) => String::new(),
    };
    HeldEvent {
        event: seq.0,
        kind,
        subject,
        state,
        attempts,
        next_attempt,
        last_error,
        at,
        held_since: since,
        requester: request.map(|it| it.request.requester),
        certificate_subject: Some(name).filter(|it| !it.is_empty()),
        serial: certificate.map(|it| it.certificate.serial.to_string()),
    }
}

/// One attempt.
pub fn delivery(it: Delivered) -> Delivery {
    let Delivered { number, seq, kind, subject, attempt, outcome, again, reason, at, took } = it;
    Delivery {
        number,
        event: seq.0,
        kind: kind.word().to_owned(),
        subject,
        attempt,
        outcome: outcome.to_owned(),
        reason,
        at: rfc3339(at),
        took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        retry_ms: again.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
    }
}

/// One event and its rules.
pub fn explained(event: &LoggedEvent, rules: Vec<Rule>) -> ExplainedEvent {
    let rule = |Rule { rule, answer, because }| ExplainedRule {
        rule: str::to_owned(rule),
        holds: matches!(answer, Answer::Yes | Answer::Unknown),
        answer: match answer {
            Answer::Yes => RuleAnswer::Yes,
            Answer::No => RuleAnswer::No,
            Answer::NotYet => RuleAnswer::NotYet,
            Answer::Unknown => RuleAnswer::Unknown,
        },
        because: because.chars().take(TEXT_CHARS_MAX).collect(),
    };
    ExplainedEvent {
        event: event.seq.0,
        kind: event.kind.word().to_owned(),
        at: rfc3339(event.at),
        rules: rules.into_iter().map(rule).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_words_and_what_is_left_of_it() {
        assert_eq!(words(0x1 | 0x4), ["issued", "denied"]);
        assert_eq!(words(0x8000_0001), ["issued", "0x80000000"]);
        assert!(words(0).is_empty());
    }
}
