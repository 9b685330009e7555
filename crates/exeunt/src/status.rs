//! How the modules stand, in the API's words: dispatcher and store on one side, the edge on the
//! other.

use std::sync::{Arc, PoisonError, RwLock};

use exeunt_api::{ExitState, ExitStatus, HeldEvent, HeldState};
use exeunt_dispatch::Dispatcher;
use exeunt_http::{ExitsSource, rfc3339};
use exeunt_store::{HeldRow, Store};
use exeunt_types::ExitName;

/// The dispatcher while the server runs; nothing once it has stopped.
pub type SharedDispatcher = Arc<RwLock<Option<Dispatcher>>>;

/// Where the edge reads how the modules stand.
pub fn source(dispatcher: &SharedDispatcher, store: &Store) -> ExitsSource {
    let dispatcher = Arc::clone(dispatcher);
    let store = store.clone();
    ExitsSource {
        statuses: Arc::new(move || {
            let dispatcher = dispatcher.read().unwrap_or_else(PoisonError::into_inner);
            let statuses = dispatcher.as_ref().map(Dispatcher::status).unwrap_or_default();
            statuses.into_iter().map(status).collect()
        }),
        held: Arc::new(move |name, rows_max| held(&store, name, rows_max)),
    }
}

fn status(it: exeunt_dispatch::ExitStatus) -> ExitStatus {
    let exeunt_dispatch::ExitStatus {
        name,
        description,
        state,
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
    } = it;
    let (state, pause) = match state {
        exeunt_dispatch::ExitState::Starting => (ExitState::Starting, None),
        exeunt_dispatch::ExitState::Running => (ExitState::Running, None),
        exeunt_dispatch::ExitState::Waiting { until, why } => {
            (ExitState::Waiting, Some((until, why)))
        }
        exeunt_dispatch::ExitState::Down { until, why } => (ExitState::Down, Some((until, why))),
        exeunt_dispatch::ExitState::Stopped => (ExitState::Stopped, None),
    };
    let (until, why) = pause.unzip();
    let count = |it: usize| u64::try_from(it).unwrap_or(u64::MAX);
    ExitStatus {
        name: name.to_string(),
        state,
        why,
        until: until.map(rfc3339),
        pid,
        description,
        cursor: cursor.0,
        head: head.0,
        lag,
        oldest_unsettled_s: oldest_unsettled_age.map(|age| age.as_secs()),
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
    }
}

/// A shelf that cannot be read shows as empty here, and as an error in the log.
fn held(store: &Store, name: &str, rows_max: usize) -> Vec<HeldEvent> {
    let Ok(name) = ExitName::parse(name) else { return Vec::new() };
    match store.held_first(&name, rows_max) {
        Ok(rows) => rows.into_iter().map(|row| held_event(store, row)).collect(),
        Err(err) => {
            tracing::error!(module = %name, error = %err, "reading the shelf failed");
            Vec::new()
        }
    }
}

fn held_event(store: &Store, row: HeldRow) -> HeldEvent {
    let (seq, subject, state, attempts, next_attempt, last_error) = match row {
        HeldRow::Held(held) => {
            let (state, next) = match held.state {
                exeunt_store::HeldState::Retry { at } => (HeldState::Retry, Some(rfc3339(at))),
                exeunt_store::HeldState::Wait => (HeldState::Behind, None),
                exeunt_store::HeldState::Parked => (HeldState::Parked, None),
            };
            let error = Some(held.last_error).filter(|it| !it.is_empty());
            (held.seq, held.subject.to_string(), state, held.attempts, next, error)
        }
        HeldRow::Corrupt { seq, why } => {
            (seq, String::new(), HeldState::Parked, 0, None, Some(why))
        }
    };
    let kind = match store.event(seq) {
        Ok(Some(event)) => event.kind.word().to_owned(),
        _ => "unknown".to_owned(),
    };
    HeldEvent { event: seq.0, kind, subject, state, attempts, next_attempt, last_error }
}
