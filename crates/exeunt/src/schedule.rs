//! Making revocation lists when they are due, as long as the server runs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use exeunt_engine::{CrlError, Engine};
use exeunt_types::UnixMillis;

use crate::clock::now;
use crate::failure::{Failure, chain};

/// Longest sleep: lists that an operator made, and a clock that was put right, are seen after it.
const LOOK: Duration = Duration::from_mins(1);
/// Pause after a run that failed: the original's.
const RETRY_PAUSE: Duration = Duration::from_mins(10);
/// Times that a failed run is tried again after that pause: the original's `CRLAttemptRepublish`.
const RETRIES_MAX: u32 = 10;
/// Pause after that. The original waits for the next run that is due anyway, but its lists are made by
/// then and only not published; here there is none, and the last one runs out.
const LONG_PAUSE: Duration = Duration::from_hours(1);
/// How often a stop looks whether the run in hand has ended.
const STOP_POLL: Duration = Duration::from_millis(10);

/// The thread that makes lists.
#[derive(Debug)]
pub struct Schedule {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
    publishes: bool,
}

impl Schedule {
    /// Whether it makes lists, and not only looks after them.
    pub fn publishes(&self) -> bool {
        self.publishes
    }

    /// Makes no more lists, and waits for the one in hand, but no longer than `grace`. What is broken
    /// off then leaves a skipped number.
    pub fn stop(self, grace: Duration) {
        let Self { stop, thread, publishes: _ } = self;
        drop(stop);
        let deadline = Instant::now() + grace;
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(STOP_POLL);
        }
        if !thread.is_finished() {
            tracing::warn!("stopped in the middle of making revocation lists");
        }
    }
}

/// Starts the thread: it makes what is due now, and from then on what comes due. The first list of
/// all, which is short, is there when this returns. Without `publish` it makes none, and only looks
/// whether the operator's run out.
///
/// # Errors
///
/// The system gives no thread.
pub fn keep(engine: &Arc<Engine>, publish: bool) -> Result<Schedule, Failure> {
    let (stop, stopped) = mpsc::channel::<()>();
    let engine = Arc::clone(engine);
    let mut failed = 0;
    let mut pause = Duration::ZERO;
    if publish && engine.current_crls().is_ok_and(|it| it.is_empty()) {
        pause = guarded_look(&engine, publish, &mut failed);
    }
    let keep = move || {
        while stopped.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Timeout) {
            pause = guarded_look(&engine, publish, &mut failed);
        }
    };
    let thread = std::thread::Builder::new().name("crl".to_owned()).spawn(keep);
    let thread = thread.map_err(|err| Failure::from_error("threads-unavailable", &err))?;
    Ok(Schedule { stop, thread, publishes: publish })
}

/// A panic, of a token's library most likely, must not end the making of lists.
fn guarded_look(engine: &Engine, publish: bool, failed: &mut u32) -> Duration {
    let at = now();
    match catch_unwind(AssertUnwindSafe(|| {
        let pause = if publish { look(engine, failed, at) } else { LOOK };
        // After the attempt: what was late and is made needs no alarm.
        note_overdue(engine);
        pause
    })) {
        Ok(pause) => pause,
        Err(panic) => {
            let words = panic.downcast_ref::<&str>().map(|it| (*it).to_owned());
            let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
            let reason = format!("internal: a step panicked: {}", words.unwrap_or_default());
            tracing::error!(code = "internal", "no revocation list was made: {reason}");
            if let Err(err) = engine.store().crl_failed(&[("Reason".to_owned(), reason)], at) {
                tracing::error!(code = err.code(), "writing that down failed: {err}");
            }
            *failed = failed.saturating_add(1);
            after_failures(*failed)
        }
    }
}

/// Tells the modules of lists that ran out, once for each.
fn note_overdue(engine: &Engine) {
    match engine.note_overdue_crls() {
        Ok(None) => (),
        Ok(Some(_)) => {
            tracing::error!(code = "crl-overdue", "revocation lists ran out without newer ones");
        }
        Err(err) => {
            tracing::error!(
                code = err.code(),
                "whether lists ran out is not known: {}",
                chain(&err)
            );
        }
    }
}

/// Makes what is due, and says after how long to look again.
fn look(engine: &Engine, failed: &mut u32, at: UnixMillis) -> Duration {
    let due = match engine.crls_due(at) {
        Ok(due) => due,
        Err(err) => {
            tracing::error!(code = err.code(), "what lists are due is not known: {}", chain(&err));
            return LOOK;
        }
    };
    if !due.is_empty()
        && let Err(err) = engine.publish_due_crls()
    {
        tracing::error!(code = err.code(), "no revocation list was made: {}", chain(&err));
        if let Err(err) = engine.note_crl_failure(&err) {
            tracing::error!(code = err.code(), "writing that down failed: {err}");
        }
        *failed = failed.saturating_add(1);
        let pause = after_failures(*failed);
        if !matches!(err, CrlError::SomeKeys { .. }) {
            return pause;
        }
        // A key that is away for days must not make the lists of the others late.
        return pause.min(to_first(next_moments(engine).into_iter(), at).unwrap_or(pause));
    }
    *failed = 0;
    until_next(next_moments(engine).into_iter(), at)
}

fn next_moments(engine: &Engine) -> Vec<UnixMillis> {
    let current = engine.current_crls().unwrap_or_default();
    current.iter().map(|it| it.next_publish).collect()
}

/// The pause after so many failed runs in a row.
fn after_failures(failed: u32) -> Duration {
    if failed <= RETRIES_MAX { RETRY_PAUSE } else { LONG_PAUSE }
}

/// The time to the first of the moments that lies ahead. What lies behind is of lists that are no longer
/// made.
fn until_next(moments: impl Iterator<Item = UnixMillis>, at: UnixMillis) -> Duration {
    to_first(moments, at).map_or(LOOK, |it| it.min(LOOK))
}

/// The same without an end.
fn to_first(moments: impl Iterator<Item = UnixMillis>, at: UnixMillis) -> Option<Duration> {
    let next = moments.filter(|it| at < *it).min();
    next.map(|next| Duration::from_millis(next.0.abs_diff(at.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_run_is_tried_again_ten_times_and_then_every_hour() {
        for failed in 1..=10 {
            assert_eq!(after_failures(failed), Duration::from_mins(10));
        }
        for failed in [11, 12, u32::MAX] {
            assert_eq!(after_failures(failed), Duration::from_hours(1));
        }
    }

    #[test]
    fn a_list_that_is_no_longer_made_makes_nothing_spin() {
        let next = |moments: &[i64]| {
            until_next(moments.iter().map(|it| UnixMillis(*it)), UnixMillis(10_000))
        };
        assert_eq!(next(&[9_000]), LOOK);
        assert_eq!(next(&[10_000, i64::MIN]), LOOK);
        assert_eq!(next(&[9_000, 17_000, 30_000]), Duration::from_secs(7));
        assert_eq!(next(&[i64::MAX]), LOOK);
        assert_eq!(next(&[]), LOOK);
        let far = to_first([9_000, 310_000].map(UnixMillis).into_iter(), UnixMillis(10_000));
        assert_eq!(far, Some(Duration::from_mins(5)));
    }
}
