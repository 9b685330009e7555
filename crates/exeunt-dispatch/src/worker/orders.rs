//! Carries out what an operator has ordered, between two batches.

use exeunt_store::{Held, HeldState, Settlement, StoreError};
use exeunt_types::EventSeq;

use super::{Worker, may_pass};
use crate::{
    breaker::Breaker,
    error::DispatchError,
    order::{Done, Order},
    place::Place,
};

impl Worker {
    /// Carries out what was ordered and not given up since.
    pub(super) fn carry_out_orders(&mut self) -> Result<(), StoreError> {
        while let Some(ordered) = self.seat.next_order() {
            if !ordered.claim.take() {
                continue;
            }
            let done = self.carry_out(&ordered.order);
            let answer = match done {
                Ok(events) => {
                    tracing::info!(module = %self.name(), order = %ordered.order, events, "order carried out");
                    Ok(Done { events })
                }
                Err(Trouble::Order(err)) => Err(err),
                Err(Trouble::Store(source)) if is_refusal(&source) => {
                    Err(DispatchError::Order { name: self.name().clone(), source })
                }
                // The store failed, or the lease is elsewhere: once more when that is over.
                Err(Trouble::Store(source)) => {
                    ordered.claim.put_back();
                    self.seat.order(ordered);
                    return Err(source);
                }
            };
            // Who has ordered it may have gone.
            let _ = ordered.answer.send(answer);
        }
        Ok(())
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
                self.look_anew()?;
                Ok(to.0 - from.0 + 1)
            }
            Order::CancelReplay => {
                let lease = self.lease_in_hand()?;
                self.store.cancel_replay(self.name(), &lease)?;
                self.look_anew()?;
                Ok(0)
            }
        }
    }

    /// The store's cursor was moved: where the module stands is read again, and shown, before the
    /// order is answered. What fails here is not the order's.
    fn look_anew(&mut self) -> Result<(), StoreError> {
        self.place = None;
        self.take_place().or_else(|err| if may_pass(&err) { Ok(()) } else { Err(err) })
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
        // What the cursor has not passed would be read from the log once more.
        let cursor = self.place.as_ref().map_or(EventSeq(0), Place::cursor);
        if let Some(seq) = release.iter().find(|it| cursor < **it) {
            let name = self.name().clone();
            return Err(Trouble::Order(DispatchError::Ahead { name, seq: *seq }));
        }
        let count = release.len();
        self.change_shelf(Settlement { release, ..Settlement::default() })?;
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }

    /// The held events of that list, or all of them; nothing where one is not held.
    fn held_rows(&self, events: &[EventSeq]) -> Result<Vec<Held>, Trouble> {
        let Some(place) = &self.place else { return Err(self.no_place()) };
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
        let Some(place) = &mut self.place else { return Err(self.no_place()) };
        place.take_off(settlement.release);
        for held in settlement.hold {
            place.change(held);
        }
        self.publish();
        Ok(())
    }

    /// Only after an order whose effect could not be read back: the lease is asked for again.
    fn no_place(&self) -> Trouble {
        Trouble::Store(StoreError::LeaseLost(self.name().clone()))
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
