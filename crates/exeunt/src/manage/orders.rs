//! Orders about single events: tell again, give up, tell from an earlier place.

use exeunt_api::{ExitChanged, ReplayOrder, ShelfOrder};
use exeunt_dispatch::{Done, Order};
use exeunt_store::{HeldRow, HeldState};
use exeunt_types::{EventSeq, ExitName};

use super::{ManageError, Manager};

/// Longest reason for giving an event up, in characters: one line.
const REASON_CHARS_MAX: usize = 1000;

/// Whether a row waits for an operator. One that cannot be read does.
pub fn is_parked(row: &HeldRow) -> bool {
    match row {
        HeldRow::Held(held) => matches!(held.state, HeldState::Parked),
        HeldRow::Corrupt { .. } => true,
    }
}

impl Manager {
    pub(super) fn retry(
        &self,
        actor: &str,
        name: &str,
        order: &ShelfOrder,
    ) -> Result<ExitChanged, ManageError> {
        let exit = self.running(name)?;
        if order.reason.is_some() {
            return Err(ManageError::Order("a retry takes no reason"));
        }
        let events = which(order)?.unwrap_or_default();
        let detail = shown(&events);
        self.order(actor, "exit-retry", &exit.name, detail, Order::Retry(events))
    }

    pub(super) fn drop_parked(
        &self,
        actor: &str,
        name: &str,
        order: &ShelfOrder,
    ) -> Result<ExitChanged, ManageError> {
        let exit = self.running(name)?;
        let reason = order.reason.as_deref().unwrap_or_default().trim();
        if reason.is_empty() || REASON_CHARS_MAX < reason.chars().count() {
            return Err(ManageError::Order(
                "dropping events needs a reason of at most 1000 characters",
            ));
        }
        let events = if let Some(events) = which(order)? {
            events
        } else {
            let parked = self.store.held(&exit.name)?;
            let parked = parked.into_iter().filter_map(|it| match it {
                HeldRow::Held(held) if matches!(held.state, HeldState::Parked) => Some(held.seq),
                _ => None,
            });
            parked.collect()
        };
        if events.is_empty() {
            return Ok(ExitChanged { name: name.to_owned(), ..ExitChanged::default() });
        }
        let detail = format!("{}: {reason}", shown(&events));
        self.order(actor, "exit-drop", &exit.name, detail, Order::Drop(events))
    }

    pub(super) fn replay(
        &self,
        actor: &str,
        name: &str,
        order: &ReplayOrder,
    ) -> Result<ExitChanged, ManageError> {
        let exit = self.running(name)?;
        let (detail, order) = match *order {
            ReplayOrder { from: None, to: None, cancel: true } => {
                ("cancel".to_owned(), Order::CancelReplay)
            }
            ReplayOrder { from: Some(from), to: Some(to), cancel: false } => {
                if from == 0 || to < from {
                    return Err(ManageError::Order(
                        "a replay goes from an event, 1 or later, to that one or a later one",
                    ));
                }
                let order = Order::Replay { from: EventSeq(from), to: EventSeq(to) };
                (format!("events {from} to {to}"), order)
            }
            _ => return Err(ManageError::Order("a replay has a first and a last event")),
        };
        self.order(actor, "exit-replay", &exit.name, detail, order)
    }

    fn order(
        &self,
        actor: &str,
        action: &str,
        name: &ExitName,
        detail: String,
        order: Order,
    ) -> Result<ExitChanged, ManageError> {
        self.audit(actor, action, name.as_str(), detail)?;
        let done = self.dispatch(|it| Ok(it.order(name, order)?));
        let Done { events } =
            done.inspect_err(|err| self.failed(actor, action, name.as_str(), err))?;
        Ok(ExitChanged { name: name.to_string(), events, notes: Vec::new() })
    }
}

/// The events that are named; `None` for all of them.
fn which(order: &ShelfOrder) -> Result<Option<Vec<EventSeq>>, ManageError> {
    match (order.all, order.events.as_slice()) {
        (true, []) => Ok(None),
        (false, events @ [_, ..]) => Ok(Some(events.iter().copied().map(EventSeq).collect())),
        (true, _) => Err(ManageError::Order("either all events or those that are named")),
        (false, []) => Err(ManageError::Order("no event is named")),
    }
}

fn shown(events: &[EventSeq]) -> String {
    if events.is_empty() {
        return "all".to_owned();
    }
    let numbers: Vec<String> = events.iter().map(ToString::to_string).collect();
    format!("events {}", numbers.join(", "))
}
