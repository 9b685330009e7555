//! Damaged rows, lost leases, killed servers.

use std::fmt::Write as _;

use std::{
    fmt,
    sync::{LazyLock, Mutex},
    time::Duration,
};

use exeunt_dispatch::{ExitState, ExitStatus, LEASE};
use exeunt_store::{HeldRow, HeldState};
use exeunt_types::EventSeq;
use tracing::{Event, Level, Metadata, Subscriber, field, span};

use crate::{PATIENCE, Stage, all_told, damage, status_when, until};

/// What the whole test program logged as an error, a line each.
static ERRORS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Listens to the errors of every thread.
struct Ears;

impl Subscriber for Ears {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = String::new();
        event.record(&mut |field: &field::Field, value: &dyn fmt::Debug| {
            write!(line, "{field}={value:?} ").unwrap();
        });
        ERRORS.lock().unwrap().push(line);
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Errors about one module; nobody else in this program may use its name.
fn errors_about(module: &str) -> Vec<String> {
    static LISTENING: LazyLock<()> =
        LazyLock::new(|| tracing::subscriber::set_global_default(Ears).unwrap());
    LazyLock::force(&LISTENING);
    let wanted = format!("module={module} ");
    ERRORS.lock().unwrap().iter().filter(|it| it.contains(&wanted)).cloned().collect()
}

#[test]
fn a_corrupt_or_empty_held_record_is_quarantined_loudly_once() {
    assert_eq!(errors_about("ledger"), [""; 0]);
    let stage = Stage::new();
    stage.deny(5);
    let settings = stage.module("ledger", "def notify(call):\n    retry(call)");
    let name = settings.name.clone();
    let dispatcher = stage.start(vec![settings]);
    status_when(&dispatcher, |it| it.held_retry == 5);
    drop(dispatcher);
    damage(&stage, "UPDATE held SET state = 99 WHERE seq = 2");
    damage(
        &stage,
        "UPDATE held SET attempts = 0, retry_at = NULL, first_held = 0, last_error = '' WHERE seq = 4",
    );

    for _ in 0..3 {
        let dispatcher = stage.start(vec![stage.module("ledger", "")]);
        stage.deny(1);
        let status = all_told(&dispatcher);
        assert_eq!(status.held_parked, 0);
        assert!(dispatcher.stop(PATIENCE));
    }
    let aside = stage.store.quarantined().unwrap();
    let aside: Vec<_> = aside.iter().map(|it| (it.exit.as_str(), it.seq.0)).collect();
    assert_eq!(aside, [("ledger", 2), ("ledger", 4)]);
    assert!(stage.store.held(&name).unwrap().is_empty());
    let errors = errors_about("ledger");
    assert_eq!(errors.len(), 2, "once each: {errors:#?}");
    assert!(errors[0].contains("event=2 ") && errors[0].contains("99"), "{errors:#?}");
    assert!(errors[1].contains("event=4 "), "{errors:#?}");
}

#[test]
fn an_event_that_cannot_be_read_is_parked_and_the_others_pass() {
    let stage = Stage::new();
    stage.deny(5);
    damage(&stage, "UPDATE event SET disposition = 77 WHERE seq = 3");
    let settings = stage.module("decent", "");
    let name = settings.name.clone();
    let dispatcher = stage.start(vec![settings]);
    let status = all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(stage.heard_seqs("decent"), [1, 2, 4, 5]);
    assert_eq!((status.held_parked, status.retried), (1, 0));
    let held = stage.store.held(&name).unwrap();
    assert!(
        matches!(&held[..], [HeldRow::Held(it)] if it.state == HeldState::Parked
            && it.seq == EventSeq(3) && it.attempts == 0 && it.last_error.contains("77")),
        "{held:?}"
    );
}

#[test]
fn a_held_event_whose_row_was_damaged_since_is_parked() {
    let stage = Stage::new();
    stage.deny(2);
    let dispatcher =
        stage.start(vec![stage.module("decent", "def notify(call):\n    retry(call)")]);
    status_when(&dispatcher, |it| it.held_retry == 2);
    drop(dispatcher);
    damage(&stage, "UPDATE event SET disposition = 77 WHERE seq = 1");
    let dispatcher = stage.start(vec![stage.module("decent", "")]);
    let shelf = |it: &ExitStatus| (it.held_retry, it.held_parked);
    status_when(&dispatcher, |it| it.accepted == 1 && shelf(it) == (0, 1));
    assert!(dispatcher.stop(PATIENCE));
}

#[test]
fn nothing_is_told_without_the_lease() {
    let stage = Stage::new();
    stage.deny(2);
    let settings = stage.module("decent", "");
    let name = settings.name.clone();
    let dispatcher = stage.start(vec![settings]);
    status_when(&dispatcher, |it| it.accepted == 2);

    // Another node, whose clock says that our lease is over, takes the place for an hour.
    let elsewhere = |seconds: u64| stage.now().plus(Duration::from_secs(seconds));
    let until = elsewhere(2 * 3600);
    let _lease = stage.store.lease(&name, "other", elsewhere(3600), until).unwrap();
    stage.deny(3);
    let is_waiting = |it: &ExitStatus| matches!(&it.state, ExitState::Waiting { why, .. } if why.contains("leased to other"));
    status_when(&dispatcher, is_waiting);
    let before = stage.heard("decent").len();
    assert!(before <= 5);
    stage.deny(1);
    status_when(&dispatcher, |it| is_waiting(it) && it.lag != 0);
    assert_eq!(stage.heard("decent").len(), before);

    // The hour is over.
    stage.later(3 * 3600);
    all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    let mut heard = stage.heard_seqs("decent");
    heard.sort_unstable();
    heard.dedup();
    assert_eq!(heard, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_lease_outlasts_a_slow_batch() {
    let stage = Stage::new();
    stage.deny(1);
    let own = "def notify(call):\n    \
                   while not there_is('done'): time.sleep(0.02)\n    \
                   accept(call)";
    let dispatcher = stage.start(vec![stage.module("slow", own)]);
    until(|| !stage.heard("slow").is_empty());
    let lease_until = || stage.store.cursors().unwrap()[0].until;
    let first = lease_until();
    // A third of the lease later it is renewed, although the module is still busy.
    stage.later(i64::try_from(LEASE.as_secs()).unwrap() / 2);
    until(|| first < lease_until());
    stage.touch("done");
    let status = all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!((status.accepted, stage.heard("slow").len()), (1, 1));
}
