//! Dead targets: the breaker.

use exeunt_dispatch::{BREAKER_FAILURES, ExitState};

use std::time::Duration;

use crate::{PATIENCE, Stage, all_told, status_when};

/// Accepts while the target is up; the window is small, so that little is told at once.
const FRAGILE: &str = "WINDOW = 8\n\
                       def notify(call):\n    accept(call) if there_is('up') else retry(call)";

#[test]
fn a_dead_target_moves_dozens_of_events_to_the_shelf_and_not_the_whole_log() {
    let stage = Stage::new();
    stage.deny(600);
    let dispatcher = stage.start(vec![stage.module("fragile", FRAGILE)]);
    let failures = u64::from(BREAKER_FAILURES);
    let status = status_when(&dispatcher, |it| {
        matches!(it.state, ExitState::Waiting { .. }) && failures + 3 <= it.retried
    });
    let ExitState::Waiting { why, .. } = &status.state else { panic!("{status:?}") };
    assert!(why.contains("busy"), "{why}");
    // Three windows of eight at the most, and then one event per probe.
    assert!(status.cursor.0 < 40, "{status:?}");
    assert!(560 < status.lag, "{status:?}");
    stage.touch("up");
    let status = all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(status.accepted, 600);
}

#[test]
fn more_poison_than_opens_the_breaker_is_passed_all_the_same() {
    let stage = Stage::new();
    stage.deny(60);
    let own = "WINDOW = 4\n\
               def notify(call):\n    accept(call) if 21 < seq(call) else retry(call)";
    // The poison comes back once a second, and takes no more than every second probe. Sooner, on a
    // busy machine, it would fill the windows before the breaker opens, and each probe waits twice
    // as long as the one before.
    let mut module = stage.module("poisoned", own);
    module.retry.first = Duration::from_secs(2);
    let dispatcher = stage.start(vec![module]);
    status_when(&dispatcher, |it| it.accepted == 39 && it.held_retry == 21 && it.lag == 0);
    drop(dispatcher);
}
