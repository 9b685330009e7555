//! What the threads of a dispatcher share: the order to stop, the leases, the numbers.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use exeunt_store::{CursorRow, HeldRow, HeldState, Lease};
use exeunt_types::{EventSeq, ExitName, UnixMillis};

use crate::{
    delivered::Ring,
    order::Ordered,
    status::{ExitState, ExitStatus},
};

/// Time of day, given by whoever starts the dispatcher.
pub type Clock = std::sync::Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// Random numbers for jitter, given by whoever starts the dispatcher.
pub type Random = std::sync::Arc<dyn Fn() -> u64 + Send + Sync>;

/// The order to stop, given once.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    order: Mutex<(Order, Nudged)>,
    given: Condvar,
}

/// Whether somebody wants the worker to look up from its pause.
type Nudged = bool;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    #[default]
    Run,
    /// Finish the batch in hand, then stop.
    Finish,
    /// The processes have been killed: what has no answer is nobody's fault.
    Abandon,
}

impl Stop {
    /// Orders everybody to finish what is in hand and to stop.
    pub(crate) fn finish(&self) {
        self.give(Order::Finish);
    }

    /// Says that unanswered events are to be left as they are.
    pub(crate) fn abandon(&self) {
        self.give(Order::Abandon);
    }

    fn give(&self, order: Order) {
        let mut current = locked(&self.order);
        current.0 = order.max(current.0);
        self.given.notify_all();
    }

    /// Ends the pause that somebody is in, or the next one.
    pub(crate) fn nudge(&self) {
        locked(&self.order).1 = true;
        self.given.notify_all();
    }

    /// Whether the order was given.
    pub(crate) fn is_given(&self) -> bool {
        locked(&self.order).0 != Order::Run
    }

    /// Whether the processes were killed for it.
    pub(crate) fn is_abandoned(&self) -> bool {
        locked(&self.order).0 == Order::Abandon
    }

    /// Waits for the order or a nudge, `pause` at the longest; whether the order was given.
    pub(crate) fn wait(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut order = locked(&self.order);
        while order.0 == Order::Run {
            if std::mem::take(&mut order.1) {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            order = self.given.wait_timeout(order, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// What one module's worker shares with the dispatcher.
#[derive(Debug)]
pub(crate) struct Seat {
    /// The module.
    pub(crate) name: ExitName,
    lease: Mutex<Option<Lease>>,
    numbers: Mutex<Numbers>,
    /// The cursor has moved.
    moved: Condvar,
    /// `None` once the worker has left.
    orders: Mutex<Option<VecDeque<Ordered>>>,
    /// Of the module: its next worker goes on with it.
    ring: Arc<Mutex<Ring>>,
    /// Of the module as well.
    pub(crate) pause: Arc<Pause>,
}

/// While a module's target is mended, its own process does not run.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    wanted: AtomicBool,
    resting: AtomicBool,
}

impl Pause {
    /// Whether the process is to rest from now on.
    pub(crate) fn want(&self, wanted: bool) {
        // What the last worker said of the last pause says nothing of this one.
        self.resting.store(false, Ordering::SeqCst);
        self.wanted.store(wanted, Ordering::SeqCst);
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst)
    }

    /// The worker says that there is no process.
    pub(crate) fn rests(&self) {
        self.resting.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_resting(&self) -> bool {
        self.resting.load(Ordering::SeqCst)
    }
}

/// What is published of a module, and what the oldest unsettled event is looked up by.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    pub(crate) status: ExitStatus,
    pub(crate) oldest_retry: Option<EventSeq>,
}

impl Seat {
    pub(crate) fn new(name: ExitName, cursor: EventSeq) -> Self {
        let status = ExitStatus::new(name.clone(), cursor);
        let numbers = Numbers { status, oldest_retry: None };
        Self {
            name,
            lease: Mutex::new(None),
            numbers: Mutex::new(numbers),
            moved: Condvar::new(),
            orders: Mutex::new(Some(VecDeque::new())),
            ring: Arc::default(),
            pause: Arc::default(),
        }
    }

    /// Shows what the store has of the module: for one without a worker nobody else would, and for
    /// the others until their worker has the lease.
    pub(crate) fn showing(mut self, row: &CursorRow, held: &[HeldRow]) -> Self {
        let Numbers { status, oldest_retry } =
            self.numbers.get_mut().unwrap_or_else(PoisonError::into_inner);
        status.replay = row.replay.map(|it| (it.to, it.resume_at));
        for row in held {
            match row {
                HeldRow::Held(it) => match it.state {
                    HeldState::Retry { .. } => {
                        status.held_retry += 1;
                        let oldest = oldest_retry.map_or(it.seq, |oldest| oldest.min(it.seq));
                        *oldest_retry = Some(oldest);
                    }
                    HeldState::Wait => status.held_behind += 1,
                    HeldState::Parked => status.held_parked += 1,
                },
                // The next worker puts it into quarantine; until then it is an operator's.
                HeldRow::Corrupt { .. } => status.held_parked += 1,
            }
        }
        self
    }

    /// Goes on with what another seat of the module remembers and has counted.
    pub(crate) fn succeeding(mut self, before: &Self) -> Self {
        self.ring = Arc::clone(&before.ring);
        self.pause = Arc::clone(&before.pause);
        let old = before.numbers().status.clone();
        let status = &mut self.numbers.get_mut().unwrap_or_else(PoisonError::into_inner).status;
        *status = ExitStatus {
            accepted: old.accepted,
            skipped: old.skipped,
            retried: old.retried,
            attempts: old.attempts,
            faults: old.faults,
            starts: old.starts,
            last_error: old.last_error,
            last_error_at: old.last_error_at,
            mended_at: old.mended_at,
            ..status.clone()
        };
        self
    }

    /// The lease in hand; `None` when there is none or it was lost.
    pub(crate) fn lease(&self) -> Option<Lease> {
        locked(&self.lease).clone()
    }

    /// Puts the lease that was just taken, or that there is none.
    pub(crate) fn set_lease(&self, lease: Option<Lease>) {
        *locked(&self.lease) = lease;
    }

    /// Puts what a renewal of `old` brought, unless the worker has another one by now.
    pub(crate) fn renew_lease(&self, old: &Lease, new: Option<Lease>) {
        let mut lease = locked(&self.lease);
        if lease.as_ref() == Some(old) {
            *lease = new;
        }
    }

    /// The numbers, to read or to change.
    pub(crate) fn numbers(&self) -> MutexGuard<'_, Numbers> {
        locked(&self.numbers)
    }

    /// Whether the module takes new events as they come: it runs, and hears no old ones again.
    pub(crate) fn is_prompt(&self) -> bool {
        let Numbers { status, .. } = &*locked(&self.numbers);
        status.replay.is_none() && matches!(status.state, ExitState::Starting | ExitState::Running)
    }

    /// Tells those who wait in [`Self::wait_past`] that the cursor has moved.
    pub(crate) fn has_moved(&self) {
        self.moved.notify_all();
    }

    /// Waits until the cursor is at `seq` or beyond, or until then; whether it is.
    pub(crate) fn wait_past(&self, seq: EventSeq, until: Instant) -> bool {
        let mut numbers = locked(&self.numbers);
        while numbers.status.cursor < seq {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            numbers =
                self.moved.wait_timeout(numbers, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Puts an order into the worker's hands; whether there is a worker to carry it out.
    pub(crate) fn order(&self, ordered: Ordered) -> bool {
        let mut orders = locked(&self.orders);
        let there = orders.is_some();
        if let Some(orders) = &mut *orders {
            orders.push_back(ordered);
        }
        there
    }

    /// The next order that was given, if any.
    pub(crate) fn next_order(&self) -> Option<Ordered> {
        locked(&self.orders).as_mut()?.pop_front()
    }

    /// The worker leaves: whoever waits for an order learns it by the end of the channel.
    pub(crate) fn close_orders(&self) {
        *locked(&self.orders) = None;
    }

    /// What was told lately.
    pub(crate) fn ring(&self) -> MutexGuard<'_, Ring> {
        locked(&self.ring)
    }
}

/// A panic elsewhere leaves these values whole: each is written in one assignment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
