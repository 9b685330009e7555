//! The circuit breaker: tells a dead target from a poisoned event.
//!
//! One event that fails is the event's fault and goes on the shelf. Many in a row are the target's
//! fault, and so is a single one of which the module says that. Then one event at a time is tried, so
//! that an outage moves dozens of events to the shelf and not a million. Poison is still passed,
//! slowly.

use std::time::Duration;

use exeunt_types::UnixMillis;

use crate::{place::Verdict, settings::RetrySchedule};

/// Failures in a row, without an accepted event between them, that open the breaker.
///
/// Well above a handful of poisoned events, well below a window's worth of backlog per second.
pub const BREAKER_FAILURES: u32 = 20;

/// Pauses between two probes of an open breaker; nothing is ever given up here.
const PROBES: RetrySchedule = RetrySchedule {
    first: Duration::from_secs(1),
    factor: 2,
    longest: Duration::from_mins(1),
    attempts_max: u32::MAX,
};

/// What the breaker allows now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowance {
    /// Whole windows.
    Window,
    /// One event, to see whether the target is back.
    Probe,
    /// Nothing until then.
    Nothing {
        /// Moment of the next probe.
        until: UnixMillis,
    },
}

/// Counts failures in a row and spaces the probes.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    failed_in_batch: bool,
    probes: u32,
    until: UnixMillis,
}

impl Breaker {
    /// Whether the target is taken to be down.
    pub(crate) fn is_open(&self) -> bool {
        BREAKER_FAILURES <= self.failures
    }

    /// What may be told at `now`.
    pub(crate) fn allows(&self, now: UnixMillis) -> Allowance {
        if !self.is_open() {
            Allowance::Window
        } else if self.until <= now {
            Allowance::Probe
        } else {
            Allowance::Nothing { until: self.until }
        }
    }

    /// What became of an event says something of the target, or nothing.
    pub(crate) fn learn(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Accept => self.accepted(),
            Verdict::TargetDown { .. } => self.target_down(),
            Verdict::Fail { .. } | Verdict::GiveUp(_) => self.failed(),
            // What the module parks it has looked at: the target is not dead.
            Verdict::Skip | Verdict::Park(_) | Verdict::Again => (),
        }
    }

    /// An event was accepted: the target lives.
    fn accepted(&mut self) {
        *self = Self::default();
    }

    /// An event failed, by its answer or by the end of the process that had it alone.
    ///
    /// An event that is skipped is not counted either way: it says nothing of the target.
    fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.failed_in_batch = true;
    }

    /// The module says that the target is down: it need not be found out.
    fn target_down(&mut self) {
        self.failures = self.failures.saturating_add(1).max(BREAKER_FAILURES);
        self.failed_in_batch = true;
    }

    /// The outcomes of one batch are counted; plans the next probe if the breaker is open.
    pub(crate) fn batch_ends(&mut self, now: UnixMillis, random: u64) {
        if std::mem::take(&mut self.failed_in_batch) && self.is_open() {
            self.probes = self.probes.saturating_add(1);
            self.until = now.plus(PROBES.pause(self.probes, random));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &mut Breaker, times: u32, now: UnixMillis) {
        (0..times).for_each(|_| breaker.failed());
        breaker.batch_ends(now, 0);
    }

    #[test]
    fn nineteen_failures_are_poison_and_twenty_an_outage() {
        let mut breaker = Breaker::default();
        fail(&mut breaker, 19, UnixMillis(0));
        assert_eq!(breaker.allows(UnixMillis(0)), Allowance::Window);
        fail(&mut breaker, 1, UnixMillis(0));
        assert_eq!(breaker.allows(UnixMillis(0)), Allowance::Nothing { until: UnixMillis(500) });
        assert_eq!(breaker.allows(UnixMillis(500)), Allowance::Probe);
    }

    #[test]
    fn the_pause_grows_per_probe_up_to_a_minute() {
        let mut breaker = Breaker::default();
        fail(&mut breaker, 64, UnixMillis(0));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let Allowance::Nothing { until } = breaker.allows(UnixMillis(0)) else {
                panic!("the breaker is closed");
            };
            pauses.push(until.0);
            fail(&mut breaker, 1, UnixMillis(0));
        }
        // Half of 1, 2, 4, 8, 16, 32, 60, 60 seconds: the lowest draw.
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    }

    #[test]
    fn one_accepted_event_closes_it() {
        let mut breaker = Breaker::default();
        fail(&mut breaker, 40, UnixMillis(0));
        breaker.accepted();
        breaker.batch_ends(UnixMillis(0), 0);
        assert_eq!(breaker.allows(UnixMillis(0)), Allowance::Window);
        fail(&mut breaker, 19, UnixMillis(0));
        assert_eq!(breaker.allows(UnixMillis(0)), Allowance::Window);
    }

    #[test]
    fn a_target_that_is_said_to_be_down_opens_it_at_once() {
        let mut breaker = Breaker::default();
        breaker.target_down();
        breaker.batch_ends(UnixMillis(0), 0);
        assert_eq!(breaker.allows(UnixMillis(0)), Allowance::Nothing { until: UnixMillis(500) });
        assert_eq!(breaker.allows(UnixMillis(500)), Allowance::Probe);
        breaker.accepted();
        assert_eq!(breaker.allows(UnixMillis(0)), Allowance::Window);
    }

    #[test]
    fn a_skipped_probe_is_followed_by_another_at_once() {
        let mut breaker = Breaker::default();
        fail(&mut breaker, 20, UnixMillis(0));
        breaker.batch_ends(UnixMillis(500), 0);
        assert_eq!(breaker.allows(UnixMillis(500)), Allowance::Probe);
    }
}
