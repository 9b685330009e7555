//! What an operator can order of a module. The module's own worker carries it out, under its lease,
//! so that nobody else ever moves a cursor or touches a shelf.

use std::sync::mpsc::SyncSender;

use exeunt_types::EventSeq;

use crate::error::DispatchError;

/// An order of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Tell these held or parked events once more, now; all of them where the list is empty.
    Retry(Vec<EventSeq>),
    /// Take these events off the shelf untold, for good.
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
    pub(crate) answer: SyncSender<Result<Done, DispatchError>>,
}
