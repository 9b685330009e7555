//! Making revocation lists when they are due, as long as the server runs.

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use exeunt_engine::Engine;
use exeunt_types::UnixMillis;

use crate::clock::now;
use crate::failure::{Failure, chain};

/// Longest sleep: lists that an operator made, and a clock that was put right, are seen after it.
const LOOK: Duration = Duration::from_mins(1);
/// Pause after a run that failed: the original's.
const RETRY_PAUSE: Duration = Duration::from_mins(10);
/// Times that a failed run is tried again before the next one that was due anyway: the original's
/// `CRLAttemptRepublish`.
const RETRIES_MAX: u32 = 10;
/// How often a stop looks whether the run in hand has ended.
const STOP_POLL: Duration = Duration::from_millis(10);

/// The thread that makes lists.
#[derive(Debug)]
pub struct Schedule {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Schedule {
    /// Makes no more lists, and waits for the one in hand, but no longer than `grace`. What is broken
    /// off then leaves a skipped number.
    pub fn stop(self, grace: Duration) {
        let Self { stop, thread } = self;
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
/// all, which is short, is there when this returns.
///
/// # Errors
///
/// The system gives no thread.
pub fn keep(engine: &Arc<Engine>, period: Duration) -> Result<Schedule, Failure> {
    let (stop, stopped) = mpsc::channel::<()>();
    let engine = Arc::clone(engine);
    let mut tries = Tries::new(period);
    let mut pause = Duration::ZERO;
    if engine.current_crls().is_ok_and(|it| it.is_empty()) {
        pause = look(&engine, &mut tries, now());
    }
    let keep = move || {
        while stopped.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Timeout) {
            pause = look(&engine, &mut tries, now());
        }
    };
    let thread = std::thread::Builder::new().name("crl".to_owned()).spawn(keep);
    let thread = thread.map_err(|err| Failure::from_error("threads-unavailable", &err))?;
    Ok(Schedule { stop, thread })
}

/// Makes what is due, and says after how long to look again.
fn look(engine: &Engine, tries: &mut Tries, at: UnixMillis) -> Duration {
    if let Some(pause) = tries.pause(at) {
        return pause.min(LOOK);
    }
    let due = match engine.crls_due(at) {
        Ok(due) => due,
        Err(err) => {
            tracing::error!(code = err.code(), "what lists are due is not known: {}", chain(&err));
            return LOOK;
        }
    };
    if !due.is_empty() {
        match engine.publish_crls(due, None) {
            Ok(_) => tries.succeeded(),
            Err(err) => {
                tracing::error!(code = err.code(), "no revocation list was made: {}", chain(&err));
                if let Err(err) = engine.note_crl_failure(&err) {
                    tracing::error!(code = err.code(), "writing that down failed: {err}");
                }
                tries.failed(at);
                return until(tries.not_before, at).min(LOOK);
            }
        }
    }
    let next = engine.current_crls().ok().and_then(|it| it.iter().map(|it| it.next_publish).min());
    next.map_or(LOOK, |next| until(next, at).min(LOOK))
}

/// From one moment to another; at least a moment, so that nothing spins.
fn until(then: UnixMillis, at: UnixMillis) -> Duration {
    let millis = then.0.saturating_sub(at.0).max(1);
    Duration::from_millis(millis.unsigned_abs())
}

/// How often it failed, and when to try again.
#[derive(Debug)]
struct Tries {
    period: Duration,
    failed: u32,
    not_before: UnixMillis,
}

impl Tries {
    fn new(period: Duration) -> Self {
        Self { period, failed: 0, not_before: UnixMillis(i64::MIN) }
    }

    /// How long to wait still. A pause that is longer than any can be is of a clock that went back.
    fn pause(&self, at: UnixMillis) -> Option<Duration> {
        let longest = self.period.max(RETRY_PAUSE);
        (at < self.not_before).then(|| until(self.not_before, at)).filter(|it| *it <= longest)
    }

    fn succeeded(&mut self) {
        *self = Self::new(self.period);
    }

    fn failed(&mut self, at: UnixMillis) {
        if self.failed < RETRIES_MAX {
            self.failed += 1;
            self.not_before = at.plus(RETRY_PAUSE);
        } else {
            self.failed = 0;
            self.not_before = at.plus(self.period.max(RETRY_PAUSE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_run_is_tried_again_ten_times_and_then_waits_for_the_next_period() {
        let day = Duration::from_hours(24);
        let mut tries = Tries::new(day);
        let mut at = UnixMillis(1_000);
        for round in 0..2 {
            for attempt in 0..10 {
                tries.failed(at);
                assert_eq!(tries.not_before, at.plus(RETRY_PAUSE), "{round} {attempt}");
                at = tries.not_before;
            }
            tries.failed(at);
            assert_eq!(tries.not_before, at.plus(day));
            at = tries.not_before;
        }
        tries.failed(at);
        assert_eq!(tries.pause(at), Some(RETRY_PAUSE));
        assert_eq!(tries.pause(at.plus(RETRY_PAUSE)), None);
        assert_eq!(tries.pause(UnixMillis(0)), None, "the clock went back");
        tries.succeeded();
        assert_eq!((tries.pause(at), tries.failed), (None, 0));
    }

    #[test]
    fn a_clock_that_went_back_makes_nothing_spin() {
        assert_eq!(until(UnixMillis(5), UnixMillis(9)), Duration::from_millis(1));
        assert_eq!(until(UnixMillis(i64::MIN), UnixMillis(0)), Duration::from_millis(1));
        assert_eq!(until(UnixMillis(9_000), UnixMillis(2_000)), Duration::from_secs(7));
    }
}
