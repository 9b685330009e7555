//! Orders about single events: tell again, give up, tell from an earlier place.

use exeunt_api::{ExitChanged, ReplayOrder, ShelfOrder};
use exeunt_dispatch::{Done, Order};
use exeunt_store::{AuditEntry, HeldRow, HeldState, Store, StoreError};
use exeunt_types::{EventSeq, ExitName};

use super::{ManageError, Manager};

/// Longest reason for giving an event up, in characters: one line.
const REASON_CHARS_MAX: usize = 1000;

/// Most entries of the audit trail that are read to learn who has dropped an event.
const AUDIT_ROWS_MAX: usize = 100_000;

/// Entries of the audit trail that are read at a time.
const AUDIT_PAGE_ROWS: usize = 1000;

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

/// Who has dropped an event from a module's shelf, and why, where somebody has and nobody had it told
/// again since; by the audit trail, of which the first [`AUDIT_ROWS_MAX`] entries about the module are looked at.
pub fn dropped(
    store: &Store,
    name: &ExitName,
    seq: EventSeq,
) -> Result<Option<String>, StoreError> {
    let mut found = Dropped::default();
    let mut after = 0;
    for _ in 0..AUDIT_ROWS_MAX / AUDIT_PAGE_ROWS {
        let page = store.audit_of_object(name.as_str(), after, AUDIT_PAGE_ROWS)?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for row in &page {
            found.hear(&row.entry, seq);
        }
    }
    Ok(found.by)
}

/// What the audit trail says of one event, read from its beginning.
#[derive(Debug, Default)]
struct Dropped {
    /// Who and why.
    by: Option<String>,
    /// What was true before the last drop, should that one fail.
    before: Option<String>,
}

impl Dropped {
    fn hear(&mut self, entry: &AuditEntry, seq: EventSeq) {
        let AuditEntry { actor, action, detail, .. } = entry;
        let Some(events) = detail.strip_prefix("events ") else {
            if action == "exit-drop-failed" {
                self.by = self.before.take();
            }
            return;
        };
        match action.as_str() {
            "exit-drop" => {
                let Some((numbers, reason)) = events.split_once(": ") else { return };
                if numbers.split(", ").any(|it| it == seq.to_string()) {
                    self.before = self.by.replace(format!("{actor}: {reason}"));
                }
            }
            "exit-replay" => {
                let ends = events.split_once(" to ");
                let ends = ends.and_then(|(it, to)| Some((it.parse().ok()?, to.parse().ok()?)));
                if ends.is_some_and(|(from, to)| (from..=to).contains(&seq.0)) {
                    self.by = None;
                }
            }
            _ => (),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use exeunt_types::UnixMillis;

    #[test]
    fn the_audit_trail_knows_who_has_dropped_an_event() {
        let entry = |action: &str, detail: &str| {
            AuditEntry::new(UnixMillis(0), "local:0", action, "flaky").detail(detail)
        };
        let drop = || entry("exit-drop", "events 7, 16: obsolete: no such host");
        let by = Some("local:0: obsolete: no such host");
        let table = [
            (vec![drop()], by),
            (vec![entry("exit-drop", "events 17, 161: x")], None),
            (vec![entry("exit-retry", "events 16")], None),
            (vec![drop(), entry("exit-drop-failed", "the store is full")], None),
            (vec![drop(), entry("exit-replay", "events 3 to 16")], None),
            (vec![drop(), entry("exit-replay", "events 17 to 20")], by),
            (vec![drop(), entry("exit-replay", "cancel")], by),
        ];
        for (entries, expected) in table {
            let mut found = Dropped::default();
            for entry in &entries {
                found.hear(entry, EventSeq(16));
            }
            assert_eq!(found.by.as_deref(), expected, "{entries:?}");
        }
    }
}
