//! One module's place in the event log, in memory: what is settled, what is held, what comes next.
//!
//! Pure: it plans a batch, judges what became of it, and is told when the judgement is durable. The
//! store, the clock and the process belong to the worker. It lives as long as the lease.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    time::Duration,
};

use exeunt_host::{BatchReport, Delivery};
use exeunt_module::{Event, Outcome};
use exeunt_store::{Held, HeldState, LAST_ERROR_OCTETS_MAX, LoggedEvent, Settlement};
use exeunt_types::{EventKind, EventSeq, SubjectKey, UnixMillis};

use crate::{
    filter::{self, Filter},
    settings::RetrySchedule,
    shelf::Shelf,
    snapshot::Snapshots,
};

/// Events outside the mask that are passed before the cursor's new place is written.
pub(crate) const SILENT_EVENTS_MAX: u64 = 1_000;

/// Longest time for which the place of the cursor among such events is kept in memory alone. After
/// a crash they are passed again, which no module can notice.
pub(crate) const SILENT_TIME_MAX: Duration = Duration::from_secs(1);

/// Events read from the log at a time.
const READ_EVENTS: usize = 256;

/// Where the target is down, an event pauses as after so many failures at most, two minutes or so: the
/// breaker spaces the probes, and what waits is to go on soon after the target is back.
const DOWN_PAUSE_MAX: u32 = 4;

/// Where a module stands.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// Every event up to here is settled or on the shelf.
    cursor: EventSeq,
    /// The cursor as the store has it; behind by events outside the mask at most.
    stored: EventSeq,
    unsaved_since: Option<UnixMillis>,
    /// Last event of a replay: from there the cursor jumps ahead, in the store.
    replay_to: Option<EventSeq>,
    /// The module's held events.
    pub(crate) shelf: Shelf,
    /// Events after the cursor that have been read and are not settled.
    log: VecDeque<LoggedEvent>,
    /// Events after the cursor that are settled, while one before them has no answer yet.
    ahead: BTreeSet<EventSeq>,
    /// Times an event was told without an answer that it could be blamed for.
    retold: HashMap<EventSeq, u32>,
    /// Held events that ended the process when they were told alone, and those that found the target
    /// down while it served others. They are never told in company again: one might be the cause
    /// of what the others seem to suffer from.
    suspects: HashSet<EventSeq>,
    /// How many events the module has accepted here.
    accepted: u64,
    /// Held events whose last attempt found the target down, with [`Self::accepted`] after it.
    found_down: HashMap<EventSeq, u64>,
    held_was_last: bool,
    suspect_was_last: bool,
}

/// What is to be told at once, and what was found beside it.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// For the module; at most one of each subject, so that a failure never overtakes.
    pub(crate) events: Vec<Event>,
    told: Vec<Told>,
    /// Events that go on the shelf untold: they wait behind another, or cannot be read.
    aside: Vec<Held>,
    /// Held events that the module no longer asks for.
    release: Vec<EventSeq>,
    /// Those of them all that tell of a parked event themselves.
    pub(crate) quiet: Vec<EventSeq>,
    /// Why the operator's expression could not be applied to events that are told for that reason.
    pub(crate) unfiltered: Option<String>,
    /// The last event that was looked at.
    passes_to: EventSeq,
}

/// What the module is to hear of.
pub(crate) struct Wanted<'a> {
    /// What it asked for, less what the operator does not let it hear of.
    pub(crate) mask: u32,
    /// The operator's expression.
    pub(crate) filter: Option<&'a Filter>,
    /// Whether it fetches what is large by itself.
    pub(crate) lean: bool,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    seq: EventSeq,
    kind: EventKind,
    subject: SubjectKey,
    on_shelf: bool,
}

impl Batch {
    /// Whether only events outside the mask were found.
    pub(crate) fn is_silent(&self) -> bool {
        self.events.is_empty() && self.aside.is_empty() && self.release.is_empty()
    }

    /// Number, kind, subject and attempt of each event that is told, in order.
    pub(crate) fn told(&self) -> impl Iterator<Item = (EventSeq, EventKind, SubjectKey, u32)> {
        let attempts = self.events.iter().map(|it| it.attempt);
        self.told.iter().zip(attempts).map(|(it, attempt)| (it.seq, it.kind, it.subject, attempt))
    }

    /// The reasons why events of this batch cannot be read.
    pub(crate) fn unreadable(&self) -> impl Iterator<Item = &Held> {
        self.aside.iter().filter(|it| it.state == HeldState::Parked)
    }
}

/// How failures are treated: the schedule, the moment, and one random number per failure.
pub(crate) struct Rules<'a> {
    pub(crate) schedule: &'a RetrySchedule,
    pub(crate) now: UnixMillis,
    pub(crate) random: &'a dyn Fn() -> u64,
    /// Whether the breaker is open: whatever fails now says nothing of itself.
    pub(crate) is_probe: bool,
}

impl Rules<'_> {
    /// When an event that has failed so often is told again. The module's wish lengthens the pause
    /// and never shortens it, as the contract says.
    fn after(&self, failures: u32, wish: Duration) -> UnixMillis {
        let pause = self.schedule.pause(failures, (self.random)());
        self.now.plus(pause.max(wish.min(self.schedule.longest)))
    }
}

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Settled.
    Accept,
    /// Settled: not this module's business.
    Skip,
    /// On the shelf, with the reason and the moment of the next attempt.
    Fail { why: String, again: UnixMillis },
    /// The same, but it is not the event's fault, as the module says and nothing contradicts.
    TargetDown { why: String, again: UnixMillis },
    /// It failed for the last time: on the shelf for an operator, with the reason.
    GiveUp(String),
    /// On the shelf for an operator, by the module's own wish, with the reason.
    Park(String),
    /// Not blamed; told again.
    Again,
}

/// A batch, judged. Nothing of it is true before the settlement is durable.
#[derive(Debug)]
pub(crate) struct Judgement {
    /// For the store.
    pub(crate) settlement: Settlement,
    /// For the breaker and the numbers: one per event, in order.
    pub(crate) verdicts: Vec<(EventSeq, Verdict)>,
    /// Whether the process ended with events that had no answer.
    pub(crate) interrupted: bool,
    cursor: EventSeq,
    suspects: Vec<EventSeq>,
    /// Events of which the module said that the target is down.
    found_down: Vec<EventSeq>,
    held_was_last: bool,
    suspect_was_last: bool,
}

impl Judgement {
    /// Whether the store has anything to write.
    pub(crate) fn is_empty(&self) -> bool {
        let Settlement { cursor, hold, release, announce: _ } = &self.settlement;
        cursor.is_none() && hold.is_empty() && release.is_empty()
    }
}

impl Place {
    /// The place of a module whose cursor and shelf were just read.
    pub(crate) fn new(cursor: EventSeq, replay_to: Option<EventSeq>, shelf: Shelf) -> Self {
        Self { cursor, stored: cursor, replay_to, shelf, ..Self::default() }
    }

    /// Whether the last event of a replay was reached, so that the store's cursor has to jump or
    /// has done so.
    pub(crate) fn replay_ends(&self) -> bool {
        self.replay_to.is_some_and(|it| it <= self.cursor)
    }

    /// Every event up to here is settled or on the shelf.
    pub(crate) fn cursor(&self) -> EventSeq {
        self.cursor
    }

    /// The last event that was read.
    pub(crate) fn read_to(&self) -> EventSeq {
        self.log.back().map_or(self.cursor, |it| it.seq)
    }

    /// How many more events to read so that a batch of `limit` can be planned, and the next one made
    /// ready meanwhile; 0 if there are enough. More than one is read at a time even if the module
    /// takes one at a time.
    pub(crate) fn wants(&self, limit: usize) -> usize {
        let enough = limit * 2;
        if self.shelf.is_full() || enough <= self.log.len() {
            return 0;
        }
        enough.max(READ_EVENTS) - self.log.len()
    }

    /// Events of the log beyond those in `batch` that will be told next, as many as it has.
    pub(crate) fn upcoming(&self, batch: &Batch, mask: u32) -> Vec<&LoggedEvent> {
        let beyond = self.log.iter().filter(|it| batch.passes_to < it.seq && it.kind.is_in(mask));
        beyond.take(batch.events.len()).collect()
    }

    /// Takes up events that follow [`Self::read_to`].
    pub(crate) fn take_up(&mut self, events: Vec<LoggedEvent>) {
        self.log.extend(events);
    }

    /// Which held events to tell with the next batch of at most `limit`.
    ///
    /// They get half of a window while there are new events, or every second turn where one event
    /// is told at a time, so that neither starves the other. Suspects get every second turn in any
    /// case, because each of them takes a whole one.
    pub(crate) fn due(&self, now: UnixMillis, limit: usize) -> Vec<EventSeq> {
        // A full shelf takes no new event, so there is nothing to share with.
        let is_shared = !self.log.is_empty() && !self.shelf.is_full();
        let share = match limit {
            _ if !is_shared => limit,
            1 => usize::from(!self.held_was_last),
            _ => limit / 2,
        };
        let mut due = self.shelf.due(now, share);
        let is_others_turn = is_shared && self.suspect_was_last;
        match due.first() {
            Some(first) if !is_others_turn && self.suspects.contains(first) => due.truncate(1),
            _ => due.retain(|it| !self.suspects.contains(it)),
        }
        due
    }

    /// Step 6: the next batch of at most `limit` events, from the held events in `due` and from the
    /// log. `due` has for each its row, or why that cannot be read.
    pub(crate) fn plan(
        &self,
        due: Vec<(EventSeq, Result<LoggedEvent, String>)>,
        wanted: &Wanted<'_>,
        limit: usize,
        now: UnixMillis,
        snapshots: &Snapshots,
    ) -> Batch {
        let mut batch = Batch { passes_to: self.cursor, ..Batch::default() };
        let rows = due.iter().filter_map(|(_, row)| row.as_ref().ok()).chain(&self.log);
        let announces = |it: &&LoggedEvent| it.kind == EventKind::DELIVERY_PARKED;
        batch.quiet = rows.filter(announces).map(|it| it.seq).collect();
        // Whether it is told: an event outside the filter is none of this module's business.
        let tell = |batch: &mut Batch, logged: &LoggedEvent, on_shelf| {
            let LoggedEvent { seq, kind, subject, .. } = *logged;
            if !kind.is_in(wanted.mask) {
                return false;
            }
            let attempt = self.attempts(seq) + self.retold(seq) + 1;
            let event = snapshots.event(logged, attempt, wanted.lean, now);
            match wanted.filter.map(|it| it.holds(&event)) {
                Some(filter::Verdict::No) => return false,
                // An expression that fails must not cost anybody an event.
                Some(filter::Verdict::Failed(why)) => batch.unfiltered = Some(why),
                Some(filter::Verdict::Yes) | None => (),
            }
            batch.events.push(event);
            batch.told.push(Told { seq, kind, subject, on_shelf });
            true
        };

        // 1. Held events. They are fronts of different subjects.
        let mut is_alone = false;
        for (seq, row) in due {
            match row {
                Ok(logged) if tell(&mut batch, &logged, true) => {
                    is_alone |= self.suspects.contains(&seq);
                }
                Ok(_) => batch.release.push(seq),
                Err(why) => {
                    let held = self.shelf.held(seq).cloned();
                    let parked =
                        |it| Held { state: HeldState::Parked, last_error: text(why), ..it };
                    batch.aside.extend(held.map(parked));
                }
            }
        }
        if is_alone || self.shelf.is_full() {
            return batch;
        }

        // 2. The log. The first event of a subject that is in this batch ends it: told together,
        // the second could be accepted although the first failed.
        let mut subjects: HashSet<SubjectKey> = HashSet::new();
        for logged in &self.log {
            let LoggedEvent { seq, subject, .. } = *logged;
            if self.replay_to.is_some_and(|it| it < seq) {
                break;
            }
            if self.ahead.contains(&seq) || self.shelf.held(seq).is_some() {
                // Settled or held already.
            } else if logged.corrupt.is_none() && !logged.kind.is_in(wanted.mask) {
                // Not this module's business.
            } else if self.shelf.holds(subject) {
                batch.aside.push(untold(logged, HeldState::Wait, String::new(), now));
            } else if batch.events.len() == limit || subjects.contains(&subject) {
                break;
            } else if let Some(why) = &logged.corrupt {
                subjects.insert(subject);
                batch.aside.push(untold(logged, HeldState::Parked, text(why.clone()), now));
            } else if tell(&mut batch, logged, false) {
                subjects.insert(subject);
            }
            batch.passes_to = seq;
        }
        batch
    }

    /// Step 8, first half: decides what becomes of each event of a batch.
    pub(crate) fn judge(&self, batch: Batch, report: &BatchReport, rules: &Rules<'_>) -> Judgement {
        let is_alone = batch.told.len() == 1;
        let mut hold = Vec::new();
        let mut release = batch.release;
        let mut verdicts = Vec::with_capacity(batch.told.len());
        let (mut suspects, mut found_down) = (Vec::new(), Vec::new());
        let mut cursor = batch.passes_to;
        let mut interrupted = false;

        // 1. Answers.
        for (index, told) in batch.told.iter().enumerate() {
            let delivery = report.outcomes.get(index).unwrap_or(&Delivery::Unanswered);
            let verdict = match (delivery, &report.fault) {
                (Delivery::Answered(Outcome::Accept), _) => Verdict::Accept,
                (Delivery::Answered(Outcome::Skip), _) => Verdict::Skip,
                (Delivery::Answered(Outcome::Park { reason }), _) => {
                    hold.push(self.failed(*told, HeldState::Parked, reason, rules));
                    Verdict::Park(reason.clone())
                }
                (Delivery::Answered(Outcome::Retry { after_ms, reason }), _) => {
                    let wish = after_ms.map_or(Duration::ZERO, Duration::from_millis);
                    self.retry(*told, wish, reason, rules, &mut hold)
                }
                (Delivery::Answered(Outcome::TargetDown { after_ms, reason }), _) => {
                    let wish = after_ms.map_or(Duration::ZERO, Duration::from_millis);
                    found_down.push(told.seq);
                    let serves_others = !rules.is_probe && self.serves_others(told.seq);
                    if serves_others {
                        suspects.push(told.seq);
                    }
                    if serves_others && is_alone {
                        self.retry(*told, wish, reason, rules, &mut hold)
                    } else {
                        self.postpone(*told, wish, reason, rules, &mut hold)
                    }
                }
                (Delivery::Answered(_), _) => {
                    let why = "answer not understood";
                    self.retry(*told, Duration::ZERO, why, rules, &mut hold)
                }
                (Delivery::Failed(why), _) => {
                    self.retry(*told, Duration::ZERO, why, rules, &mut hold)
                }
                // It was alone when the process ended: it is the culprit, as far as can be known.
                (Delivery::Unanswered, Some(fault)) if is_alone => {
                    interrupted = true;
                    suspects.push(told.seq);
                    self.retry(*told, Duration::ZERO, &fault.to_string(), rules, &mut hold)
                }
                (Delivery::Unanswered, fault) => {
                    interrupted |= fault.is_some();
                    if !told.on_shelf {
                        cursor = cursor.min(EventSeq(told.seq.0.saturating_sub(1)));
                    }
                    Verdict::Again
                }
            };
            if matches!(verdict, Verdict::Accept | Verdict::Skip) && told.on_shelf {
                release.push(told.seq);
            }
            verdicts.push((told.seq, verdict));
        }

        // 2. What was put aside beyond an event without an answer is found again.
        hold.extend(batch.aside.into_iter().filter(|it| it.seq <= cursor));

        let cursor = cursor.max(self.cursor);
        let settlement = Settlement {
            cursor: Some(cursor).filter(|it| self.stored < *it),
            hold,
            release,
            ..Settlement::default()
        };
        let held_was_last = batch.told.iter().any(|it| it.on_shelf);
        let suspect_was_last = batch.told.iter().any(|it| self.suspects.contains(&it.seq));
        Judgement {
            settlement,
            verdicts,
            interrupted,
            cursor,
            suspects,
            found_down,
            held_was_last,
            suspect_was_last,
        }
    }

    /// Step 8, second half: the settlement is durable.
    pub(crate) fn apply(&mut self, judgement: Judgement) {
        let Judgement {
            settlement,
            verdicts,
            interrupted: _,
            cursor,
            suspects,
            found_down,
            held_was_last,
            suspect_was_last,
        } = judgement;
        let Settlement { cursor: stored, hold, release, announce: _ } = settlement;
        self.take_off(release);
        for held in hold {
            self.shelf.put(held);
        }
        self.suspects.extend(suspects);
        let accepts = verdicts.iter().filter(|(_, it)| *it == Verdict::Accept).count();
        self.accepted += u64::try_from(accepts).unwrap_or(0);
        for (seq, verdict) in verdicts {
            self.found_down.remove(&seq);
            match verdict {
                Verdict::Accept | Verdict::Skip => {
                    self.retold.remove(&seq);
                    self.suspects.remove(&seq);
                    self.ahead.insert(seq);
                }
                Verdict::Again | Verdict::TargetDown { .. } => {
                    *self.retold.entry(seq).or_default() += 1;
                }
                Verdict::Fail { .. } | Verdict::GiveUp(_) | Verdict::Park(_) => (),
            }
        }
        self.found_down.extend(found_down.into_iter().map(|it| (it, self.accepted)));
        self.held_was_last = held_was_last;
        self.suspect_was_last = suspect_was_last;
        self.move_to(cursor);
        if let Some(stored) = stored {
            self.stored = stored;
            self.unsaved_since = None;
        }
    }

    /// An operator has changed an event on the shelf, in the store: what is held against it counts no
    /// more.
    pub(crate) fn change(&mut self, held: Held) {
        self.suspects.remove(&held.seq);
        self.found_down.remove(&held.seq);
        self.shelf.put(held);
    }

    /// Events are off the shelf, in the store: nothing more is known of them.
    pub(crate) fn take_off(&mut self, events: Vec<EventSeq>) {
        for seq in events {
            self.shelf.take(seq);
            self.retold.remove(&seq);
            self.suspects.remove(&seq);
            self.found_down.remove(&seq);
        }
    }

    /// Passes the events outside the mask that a silent batch found, in memory alone.
    pub(crate) fn pass(&mut self, batch: &Batch, now: UnixMillis) {
        if self.cursor < batch.passes_to {
            self.move_to(batch.passes_to);
            self.unsaved_since.get_or_insert(now);
        }
    }

    /// The place to write, if it is time, or at once.
    pub(crate) fn unsaved(&self, now: UnixMillis, at_once: bool) -> Option<EventSeq> {
        let since = self.unsaved_since?;
        let is_time = at_once
            || since.plus(SILENT_TIME_MAX) <= now
            || SILENT_EVENTS_MAX <= self.cursor.0 - self.stored.0;
        is_time.then_some(self.cursor)
    }

    /// The place was written.
    pub(crate) fn saved(&mut self, cursor: EventSeq) {
        self.stored = cursor;
        self.unsaved_since = None;
    }

    fn move_to(&mut self, cursor: EventSeq) {
        self.cursor = cursor;
        while self.log.front().is_some_and(|it| it.seq <= cursor) {
            self.log.pop_front();
        }
        self.ahead.retain(|it| cursor < *it);
    }

    fn attempts(&self, seq: EventSeq) -> u32 {
        self.shelf.held(seq).map_or(0, |it| it.attempts)
    }

    fn retold(&self, seq: EventSeq) -> u32 {
        self.retold.get(&seq).copied().unwrap_or(0)
    }

    /// It failed by itself: later, or for the last time.
    fn retry(
        &self,
        told: Told,
        wish: Duration,
        why: &str,
        rules: &Rules<'_>,
        hold: &mut Vec<Held>,
    ) -> Verdict {
        let failures = self.attempts(told.seq).saturating_add(1);
        if rules.schedule.attempts_max <= failures {
            hold.push(self.failed(told, HeldState::Parked, why, rules));
            return Verdict::GiveUp(why.to_owned());
        }
        let again = rules.after(failures, wish);
        hold.push(self.failed(told, HeldState::Retry { at: again }, why, rules));
        Verdict::Fail { why: why.to_owned(), again }
    }

    /// The target is down: later, and it counts for nothing. Others are tried meanwhile, because this
    /// one goes to the end of those that are due.
    fn postpone(
        &self,
        told: Told,
        wish: Duration,
        why: &str,
        rules: &Rules<'_>,
        hold: &mut Vec<Held>,
    ) -> Verdict {
        let attempts = self.attempts(told.seq);
        let again = rules.after(attempts.clamp(1, DOWN_PAUSE_MAX), wish);
        let failed = self.failed(told, HeldState::Retry { at: again }, why, rules);
        hold.push(Held { attempts, ..failed });
        Verdict::TargetDown { why: why.to_owned(), again }
    }

    /// Whether the module has accepted an event since this one found the target down.
    fn serves_others(&self, seq: EventSeq) -> bool {
        self.found_down.get(&seq).is_some_and(|it| *it < self.accepted)
    }

    fn failed(&self, told: Told, state: HeldState, why: &str, rules: &Rules<'_>) -> Held {
        Held {
            seq: told.seq,
            subject: told.subject,
            attempts: self.attempts(told.seq).saturating_add(1),
            state,
            last_error: text(why.to_owned()),
            first_held: self.shelf.held(told.seq).map_or(rules.now, |it| it.first_held),
        }
    }
}

fn untold(logged: &LoggedEvent, state: HeldState, why: String, now: UnixMillis) -> Held {
    Held {
        seq: logged.seq,
        subject: logged.subject,
        attempts: 0,
        state,
        last_error: why,
        first_held: now,
    }
}

/// A reason, cut to what the store keeps.
fn text(mut why: String) -> String {
    why.truncate(why.floor_char_boundary(LAST_ERROR_OCTETS_MAX));
    why
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use exeunt_store::{Held, HeldState};
    use exeunt_types::{EventKind, RequestId, SubjectKey};

    use super::*;
    use crate::shelf::SHELF_EVENTS_MAX;

    fn held(seq: u64) -> Held {
        Held {
            seq: EventSeq(seq),
            subject: SubjectKey::Request(RequestId(seq)),
            attempts: 1,
            state: HeldState::Retry { at: UnixMillis(0) },
            last_error: String::new(),
            first_held: UnixMillis(0),
        }
    }

    fn logged(seq: u64) -> LoggedEvent {
        LoggedEvent {
            seq: EventSeq(seq),
            kind: EventKind::CERT_ISSUED,
            subject: SubjectKey::Server,
            at: UnixMillis(0),
            state: None,
            request: None,
            certificate: None,
            detail: Vec::new(),
            corrupt: None,
        }
    }

    #[test]
    fn suspects_that_are_all_due_leave_every_second_turn_to_the_others() {
        let mut place = Place::new(EventSeq(9), None, Shelf::new((1..=9).map(held)));
        place.suspects = (1..=8).map(EventSeq).collect();
        let now = UnixMillis(1);
        assert_eq!(place.due(now, 100), [EventSeq(1)]);
        place.take_up(vec![logged(10)]);
        assert_eq!(place.due(now, 100), [EventSeq(1)]);
        place.suspect_was_last = true;
        assert_eq!(place.due(now, 100), [EventSeq(9)]);
        // Nobody else is there.
        place.log.clear();
        assert_eq!(place.due(now, 100), [EventSeq(1)]);
    }

    #[test]
    fn of_an_event_that_is_off_the_shelf_nothing_is_kept() {
        let mut place = Place::new(EventSeq(1), None, Shelf::new([held(1)]));
        place.suspects.insert(EventSeq(1));
        place.retold.insert(EventSeq(1), 3);
        place.found_down.insert(EventSeq(1), 0);
        place.take_off(vec![EventSeq(1)]);
        assert!(place.shelf.held(EventSeq(1)).is_none() && place.suspects.is_empty());
        assert!(place.retold.is_empty() && place.found_down.is_empty());
    }

    #[test]
    fn a_full_shelf_is_told_on_although_new_events_wait() {
        let full = u64::try_from(SHELF_EVENTS_MAX).unwrap();
        let mut place = Place::new(EventSeq(full), None, Shelf::new((1..=full).map(held)));
        place.take_up(vec![logged(full + 1)]);
        // One at a time, and the last one told was a held one: the turn of the new event, which a
        // full shelf does not let in.
        place.held_was_last = true;
        assert_eq!(place.due(UnixMillis(1), 1), [EventSeq(1)]);
    }
}
