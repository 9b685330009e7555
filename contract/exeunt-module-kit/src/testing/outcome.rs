//! What became of an event, for a test that expects one outcome: its reason, or a panic that says what
//! came instead.

use exeunt_module::Outcome;

/// The reason of a retry that counts against the event: it is parked after so many.
///
/// # Panics
///
/// At any other outcome.
#[track_caller]
pub fn retried(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Retry { reason, .. } => reason,
        other => panic!("{other:?} is no retry of this event"),
    }
}

/// The reason of a retry that counts against no event: the target is of use to none.
///
/// # Panics
///
/// At any other outcome.
#[track_caller]
pub fn target_down(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::TargetDown { reason, .. } => reason,
        other => panic!("{other:?} does not say that the target is down"),
    }
}

/// Why an event was parked.
///
/// # Panics
///
/// At any other outcome.
#[track_caller]
pub fn parked(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Park { reason } => reason,
        other => panic!("{other:?} is not parked"),
    }
}

/// The reason of any outcome that has one.
///
/// # Panics
///
/// Where the event was accepted or skipped.
#[track_caller]
pub fn reason(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Retry { reason, .. }
        | Outcome::TargetDown { reason, .. }
        | Outcome::Park { reason } => reason,
        other => panic!("{other:?} has no reason"),
    }
}
