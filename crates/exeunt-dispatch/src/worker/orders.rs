//! Carries out what an operator has ordered, between two batches.

use exeunt_store::{Held, HeldState, Settlement, StoreError};
use exeunt_types::EventSeq;

use super::Worker;
use crate::{
    breaker::Breaker,
    error::DispatchError,
    order::{Done, Order, Ordered},
};

impl Worker {
    /// Carries out what was ordered; whether the place has to be looked at anew.
    pub(super) fn carry_out_orders(&mut self) -> Result<bool, StoreError> {
        while let Some(Ordered { order, answer }) = self.seat.next_order() {
            let done = self.carry_out(&order);
            let moved = matches!(order, Order::Replay { .. } | Order::CancelReplay);
            // Who has ordered it may have stopped waiting.
            match done {
                Ok(events) => {
                    tracing::info!(module = %self.name(), ?order, events, "order carried out");
                    let _ = answer.send(Ok(Done { events }));
                    if moved {
                        self.place = None;
                        return Ok(true);
                    }
                }
                Err(Trouble::Order(err)) => _ = answer.send(Err(err)),
                Err(Trouble::Store(source)) => {
                    let name = self.name().clone();
                    if is_refusal(&source) {
                        let _ = answer.send(Err(DispatchError::Order { name, source }));
                    } else {
                        // The store failed, or the lease is elsewhere: it is ordered again when
                        // that is over.
                        self.seat.order(Ordered { order, answer });
                        return Err(source);
                    }
                }
            }
        }
        Ok(false)
    }

    fn carry_out(&mut self, order: &Order) -> Result<u64, Trouble> {
        match order {
            Order::Retry(events) => self.retry(events),
            Order::Drop(events) => self.drop_held(events),
            Order::Replay { from, to } => {
                let now = (self.clock)();
                self.save(now, true)?;
                let lease = self.lease_in_hand()?;
                self.store.start_replay(self.name(), &lease, *from, *to)?;
                Ok(to.0 - from.0 + 1)
            }
            Order::CancelReplay => {
                let lease = self.lease_in_hand()?;
                self.store.cancel_replay(self.name(), &lease)?;
                Ok(0)
            }
        }
    }

    /// Held events become due now, however often they have failed; the next failure of a parked one
    /// parks it again.
    fn retry(&mut self, events: &[EventSeq]) -> Result<u64, Trouble> {
        let at = (self.clock)();
        let rows = self.held_rows(events)?;
        let due = |it: Held| Held { state: HeldState::Retry { at }, ..it };
        let hold: Vec<Held> =
            rows.into_iter().filter(|it| it.state != HeldState::Wait).map(due).collect();
        let count = hold.len();
        self.change_shelf(Settlement { hold, ..Settlement::default() })?;
        // The operator has a reason to think that the target is back.
        self.breaker = Breaker::default();
        self.module.try_at_once();
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }

    fn drop_held(&mut self, events: &[EventSeq]) -> Result<u64, Trouble> {
        let release: Vec<EventSeq> = self.held_rows(events)?.into_iter().map(|it| it.seq).collect();
        let count = release.len();
        self.change_shelf(Settlement { release, ..Settlement::default() })?;
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }

    /// The held events of that list, or all of them; nothing where one is not held.
    fn held_rows(&self, events: &[EventSeq]) -> Result<Vec<Held>, Trouble> {
        let place = self.place.as_ref().expect("BUG: the turn took the place");
        if events.is_empty() {
            return Ok(place.shelf.iter().cloned().collect());
        }
        let held = |seq: &EventSeq| {
            place.shelf.held(*seq).cloned().ok_or_else(|| {
                Trouble::Order(DispatchError::NotHeld { name: self.name().clone(), seq: *seq })
            })
        };
        events.iter().map(held).collect()
    }

    /// Changes the shelf in the store, then in memory.
    fn change_shelf(&mut self, settlement: Settlement) -> Result<(), Trouble> {
        if settlement.hold.is_empty() && settlement.release.is_empty() {
            return Ok(());
        }
        let lease = self.lease_in_hand()?;
        self.store.settle(self.name(), &lease, settlement.clone())?;
        let place = self.place.as_mut().expect("BUG: the turn took the place");
        for seq in settlement.release {
            place.shelf.take(seq);
        }
        for held in settlement.hold {
            place.shelf.put(held);
        }
        self.publish();
        Ok(())
    }

    fn lease_in_hand(&self) -> Result<exeunt_store::Lease, StoreError> {
        self.seat.lease().ok_or_else(|| StoreError::LeaseLost(self.name().clone()))
    }
}

/// Why an order was not carried out.
enum Trouble {
    /// It cannot be.
    Order(DispatchError),
    /// The store refused, or failed.
    Store(StoreError),
}

impl From<StoreError> for Trouble {
    fn from(err: StoreError) -> Self {
        Self::Store(err)
    }
}

/// Whether the store will say the same at every try.
fn is_refusal(err: &StoreError) -> bool {
    matches!(
        err,
        StoreError::ReplayRuns { .. }
            | StoreError::ReplayRange { .. }
            | StoreError::CursorMove { .. }
    )
}
