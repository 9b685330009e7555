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
            return Err(refused("a retry takes no reason", "leave the reason out"));
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
            let what = "dropping events needs a reason of at most 1000 characters";
            return Err(refused(what, "say why in one line: --reason TEXT"));
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
                    let what = format!("there are no events from {from} to {to}");
                    let hint = "events count from 1 on; --to is the event of --from or a later one";
                    return Err(ManageError::Order { what, hint });
                }
                let order = Order::Replay { from: EventSeq(from), to: EventSeq(to) };
                (format!("events {from} to {to}"), order)
            }
            _ => {
                let hint = "give --from and --to, or --cancel";
                return Err(refused("a replay has a first and a last event", hint));
            }
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
        Ok(ExitChanged { name: name.to_string(), events, ..ExitChanged::default() })
    }
}

/// The events that are named; `None` for all of them.
fn which(order: &ShelfOrder) -> Result<Option<Vec<EventSeq>>, ManageError> {
    match (order.all, order.events.as_slice()) {
        (true, []) => Ok(None),
        (false, events @ [_, ..]) => Ok(Some(events.iter().copied().map(EventSeq).collect())),
        (true, _) => {
            Err(refused("either all events or those that are named", "leave one of them out"))
        }
        (false, []) => Err(refused("no event is named", "name the events, or say --all")),
    }
}

fn refused(what: &str, hint: &'static str) -> ManageError {
    ManageError::Order { what: what.to_owned(), hint }
}

fn shown(events: &[EventSeq]) -> String {
    if events.is_empty() {
        return "all".to_owned();
    }
    let numbers: Vec<String> = events.iter().map(ToString::to_string).collect();
    format!("events {}", numbers.join(", "))
}
