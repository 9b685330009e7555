//! What a module was told lately: kept in memory for whoever follows it.

use std::{collections::VecDeque, time::Duration};

use exeunt_types::{EventKind, EventSeq, UnixMillis};

/// Most deliveries that are remembered for each module; older ones are forgotten.
pub const DELIVERED_MAX: usize = 1024;

/// One event told to a module, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Number of the delivery since the server's start: 1 and up, without gaps.
    pub number: u64,
    /// The event.
    pub seq: EventSeq,
    /// What happened.
    pub kind: EventKind,
    /// What it is about, as modules read it: `request:9`.
    pub subject: String,
    /// 1 at the first delivery of this event.
    pub attempt: u32,
    /// `accepted`, `skipped`, `failed` where it is told again, `parked` where it waits for an
    /// operator from now on, or `unanswered` where the process ended.
    pub outcome: &'static str,
    /// How long after `at` it is told again, where it failed.
    pub again: Option<Duration>,
    /// Why, where it failed or was parked.
    pub reason: String,
    /// When its batch was settled.
    pub at: UnixMillis,
    /// How long its batch took.
    pub took: Duration,
}

/// The last deliveries of one module.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    last: u64,
    kept: VecDeque<Delivered>,
}

impl Ring {
    /// Remembers a delivery and gives it its number.
    pub(crate) fn push(&mut self, mut delivered: Delivered) {
        self.last += 1;
        delivered.number = self.last;
        if self.kept.len() == DELIVERED_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(delivered);
    }

    /// Up to `limit` deliveries after that number, oldest first.
    pub(crate) fn after(&self, number: u64, limit: usize) -> Vec<Delivered> {
        self.kept.iter().filter(|it| number < it.number).take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(seq: u64) -> Delivered {
        Delivered {
            number: 0,
            seq: EventSeq(seq),
            kind: EventKind::STARTUP,
            subject: "server".to_owned(),
            attempt: 1,
            outcome: "accepted",
            again: None,
            reason: String::new(),
            at: UnixMillis(0),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn the_oldest_deliveries_are_forgotten_and_numbers_go_on() {
        let mut ring = Ring::default();
        let count = u64::try_from(DELIVERED_MAX).unwrap() + 3;
        (1..=count).for_each(|it| ring.push(delivered(it)));
        let all = ring.after(0, usize::MAX);
        assert_eq!(all.len(), DELIVERED_MAX);
        assert_eq!((all[0].number, all[0].seq), (4, EventSeq(4)));
        let last: Vec<u64> = ring.after(count - 2, 10).iter().map(|it| it.number).collect();
        assert_eq!(last, [count - 1, count]);
        assert_eq!(ring.after(0, 1)[0].number, 4);
    }
}
