//! What an operator can order of a module. The module's own worker carries it out, under its lease,
//! so that nobody else ever moves a cursor or touches a shelf.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
        mpsc::SyncSender,
    },
};

use exeunt_types::EventSeq;

use crate::error::DispatchError;

/// An order of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Tell these events of the shelf once more, now, parked or held for a retry; all of them where
    /// the list is empty.
    Retry(Vec<EventSeq>),
    /// Take these events off the shelf untold, for good: parked, held for a retry, or waiting behind
    /// another; all of them where the list is empty.
    Drop(Vec<EventSeq>),
    /// Tell everything from `from` to `to` again, then go on where the module stands now.
    Replay {
        /// First event.
        from: EventSeq,
        /// Last event; settled already.
        to: EventSeq,
    },
    /// End a replay before its last event and go on where the module stood.
    CancelReplay,
}

impl fmt::Display for Order {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, events) = match self {
            Self::Retry(events) => ("tell again", events),
            Self::Drop(events) => ("drop", events),
            Self::Replay { from, to } => return write!(out, "replay events {from} to {to}"),
            Self::CancelReplay => return out.write_str("end the replay"),
        };
        match events.as_slice() {
            [] => write!(out, "{verb} all held events"),
            [event] => write!(out, "{verb} event {event}"),
            events => {
                let numbers: Vec<String> = events.iter().map(ToString::to_string).collect();
                write!(out, "{verb} events {}", numbers.join(", "))
            }
        }
    }
}

/// What an order did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// How many events it concerned.
    pub events: u64,
}

/// An order under way, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Ordered {
    pub(crate) order: Order,
    pub(crate) claim: Claim,
    pub(crate) answer: SyncSender<Result<Done, DispatchError>>,
}

/// Who has an order in hand: it is carried out or given up, never both.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claim(Arc<AtomicU8>);

impl Claim {
    const FREE: u8 = 0;
    const TAKEN: u8 = 1;
    const GIVEN_UP: u8 = 2;

    /// The worker begins; not if the order was given up.
    pub(crate) fn take(&self) -> bool {
        self.change(Self::FREE, Self::TAKEN)
    }

    /// The worker could not do it now and comes back to it.
    pub(crate) fn put_back(&self) {
        self.change(Self::TAKEN, Self::FREE);
    }

    /// Whoever gave the order waits no longer; not if the worker has begun.
    pub(crate) fn give_up(&self) -> bool {
        self.change(Self::FREE, Self::GIVEN_UP)
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_reads_as_words() {
        let events = |numbers: &[u64]| numbers.iter().copied().map(EventSeq).collect();
        for (order, words) in [
            (Order::Retry(events(&[])), "tell again all held events"),
            (Order::Retry(events(&[7])), "tell again event 7"),
            (Order::Drop(events(&[16, 17])), "drop events 16, 17"),
            (Order::Replay { from: EventSeq(3), to: EventSeq(6) }, "replay events 3 to 6"),
            (Order::CancelReplay, "end the replay"),
        ] {
            assert_eq!(order.to_string(), words);
        }
    }
}
