//! The loop of one module: wait for work, read, deliver, settle. Steps 6 to 8 of the journey.

mod orders;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use exeunt_host::BatchReport;
use exeunt_module::call_back::CALL_BACKS;
use exeunt_store::{
    Announcement, HeldRow, HeldState, Lease, LoggedEvent, Settlement, Store, StoreError,
};
use exeunt_types::{EventKind, EventSeq, ExitName, SubjectKey, UnixMillis};

use crate::{
    breaker::{Allowance, Breaker},
    call_back::Answers,
    delivered::Delivered,
    module::Module,
    place::{Batch, Judgement, Place, Rules, Verdict, Wanted},
    settings::{ExitSettings, RetrySchedule},
    shared::{Clock, Random, Seat, Stop},
    shelf::Shelf,
    snapshot::Snapshots,
    status::ExitState,
};

/// How long a lease lasts unless it is renewed; a node that died is replaced after that.
pub const LEASE: Duration = Duration::from_secs(30);

/// Longest sleep of an idle module: then it looks after its process and the order to stop.
const IDLE_MAX: Duration = Duration::from_millis(250);

/// Pause before somebody else's lease is asked for again.
const LEASE_PAUSE: Duration = Duration::from_secs(1);

/// Pauses between two tries of a store that fails.
const STORE: RetrySchedule = RetrySchedule {
    first: Duration::from_millis(100),
    factor: 2,
    longest: Duration::from_secs(5),
    attempts_max: u32::MAX,
};

/// Fewest events that are made ready while a module works on others.
const READY_EVENTS_MIN: usize = 16;

/// Priority of the module threads, between issuance (0) and the modules' processes (19 unless
/// configured): the processor goes to issuance first, and what is late here is not lost.
pub(crate) const NICE: i32 = 15;

/// Tells one module of everything it asks for.
pub(crate) struct Worker {
    store: Store,
    settings: Arc<ExitSettings>,
    snapshots: Snapshots,
    clock: Clock,
    random: Random,
    holder: String,
    stop: Arc<Stop>,
    seat: Arc<Seat>,
    module: Module,
    breaker: Breaker,
    place: Option<Place>,
    /// What the process can take at once, as of its last hello.
    window: usize,
    /// Events that are still told one at a time after the process ended with events in hand: a
    /// whole window from the last such end.
    careful: usize,
    /// The log ends before its head; seen once it may have grown in between, twice it is damaged.
    is_short: bool,
    store_failures: u32,
}

/// What a worker is made of.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) settings: Arc<ExitSettings>,
    pub(crate) snapshots: Snapshots,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) holder: String,
    pub(crate) config: String,
    pub(crate) stop: Arc<Stop>,
    pub(crate) seat: Arc<Seat>,
}

impl Worker {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { store, settings, snapshots, clock, random, holder, config, stop, seat } = parts;
        let starts = seat.numbers().status.starts;
        let module =
            Module::new(Arc::clone(&settings), config, store.clone(), snapshots.clone(), starts);
        Self {
            store,
            settings,
            snapshots,
            clock,
            random,
            holder,
            stop,
            seat,
            module,
            breaker: Breaker::default(),
            place: None,
            window: 1,
            careful: 0,
            is_short: false,
            store_failures: 0,
        }
    }

    /// Works until the order to stop.
    pub(crate) fn run(mut self) {
        // On Linux this is the priority of the calling thread alone.
        if let Err(err) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!(module = %self.name(), %err, "no such priority");
        }
        while !self.stop.is_given() {
            // A fault of ours must not silence the module: everything but the store is made anew.
            match catch_unwind(AssertUnwindSafe(|| self.turn())) {
                Ok(Ok(())) => self.store_failures = 0,
                Ok(Err(err)) => self.recover(&err),
                Err(_) => {
                    tracing::error!(module = %self.name(), "BUG: delivery panicked, starting over");
                    self.module.stop();
                    self.leave();
                    self.stop.wait(LEASE_PAUSE);
                }
            }
        }
        self.finish();
    }

    /// One round. It sleeps where there is nothing to do.
    fn turn(&mut self) -> Result<(), StoreError> {
        // 1. The lease: without it nothing is told.
        if self.seat.lease().is_none() || self.place.is_none() {
            self.take_place()?;
        }

        // 2. What the operator has ordered.
        self.carry_out_orders()?;
        if self.place.is_none() {
            return Ok(());
        }

        // 3. The target: while it is mended nothing is told, and a dead one is only probed.
        let now = (self.clock)();
        if self.seat.pause.is_wanted() {
            self.rest(now);
            return Ok(());
        }
        let allowance = self.breaker.allows(now);
        if let Allowance::Nothing { until } = allowance {
            self.wait_until(until, now);
            return Ok(());
        }

        // 4. The process.
        let (mask, window, lean) = match self.module.ready(now, &*self.random) {
            Ok(process) => {
                (process.event_mask(), process.window(), process.has_feature(CALL_BACKS))
            }
            Err(down) => {
                let until = down.until;
                self.report_trouble(
                    ExitState::Down { until, why: down.why.clone() },
                    down.why,
                    now,
                );
                self.wait_until(until, now);
                return Ok(());
            }
        };
        // The hello may have taken its time: a module that is to go is told nothing more.
        if self.stop.is_given() {
            return Ok(());
        }
        self.window = window;
        let is_probe = allowance == Allowance::Probe;
        let limit = if is_probe || self.careful != 0 { 1 } else { window };

        // 6. Read.
        self.seat.numbers().status.mask = Some(mask);
        let settings = Arc::clone(&self.settings);
        let mask = mask & settings.events.unwrap_or(u32::MAX);
        let wanted = Wanted { mask, filter: settings.filter.as_ref(), lean };
        let batch = self.read(&wanted, limit, now)?;
        if batch.is_silent() {
            return self.idle(&batch, is_probe, now);
        }

        // 7. Deliver. Foreign code; no transaction is open.
        let began = Instant::now();
        let report = self.deliver(&batch, mask);

        // 8. Settle.
        self.settle(batch, &report, began.elapsed())
    }

    /// Takes the lease, then the cursor and the shelf, which are ours from then on.
    fn take_place(&mut self) -> Result<(), StoreError> {
        self.place = None;
        let now = (self.clock)();
        let name = self.name().clone();
        let lease = match self.store.lease(&name, &self.holder, now, now.plus(LEASE)) {
            // Somebody removed it under us; the configuration says where to start.
            Err(StoreError::NoCursor(_)) if !self.stop.is_given() => {
                self.store.open_cursor(&name, self.settings.start_at)?;
                self.store.lease(&name, &self.holder, now, now.plus(LEASE))?
            }
            lease => lease?,
        };
        // After the lease: before it, somebody else may still have moved it.
        let row = self.store.cursor(&name)?.ok_or_else(|| StoreError::NoCursor(name.clone()))?;
        self.seat.set_lease(Some(lease));

        let mut rows = Vec::new();
        for row in self.store.held(&name)? {
            match row {
                HeldRow::Held(held) => rows.push(held),
                HeldRow::Corrupt { seq, why } => {
                    tracing::error!(
                        module = %name, event = %seq, why,
                        "held event cannot be read and was put into quarantine",
                    );
                    self.store.quarantine(&name, seq, &why, now)?;
                }
            }
        }
        self.seat.numbers().status.replay = row.replay.map(|it| (it.to, it.resume_at));
        let replay_to = row.replay.map(|it| it.to);
        self.place = Some(Place::new(row.position, replay_to, Shelf::new(rows)));
        self.publish();
        Ok(())
    }

    /// Step 6: a window of events after the cursor, and the held ones that are due.
    fn read(
        &mut self,
        wanted: &Wanted<'_>,
        limit: usize,
        now: UnixMillis,
    ) -> Result<Batch, StoreError> {
        let place = self.place.as_mut().expect("BUG: the turn took the place");
        let wants = place.wants(limit);
        if wants != 0 {
            place.take_up(self.store.events_after(place.read_to(), wants)?);
        }
        let mut due = Vec::new();
        for seq in place.due(now, limit) {
            due.push((seq, held_event(&self.store, seq)?));
        }
        Ok(place.plan(due, wanted, limit, now, &self.snapshots))
    }

    /// Step 7: tells the module, and notices when that ended its process.
    fn deliver(&mut self, batch: &Batch, mask: u32) -> BatchReport {
        self.publish_state(ExitState::Running);
        let now = (self.clock)();
        let mut report = match self.module.ready(now, &*self.random) {
            Ok(process) if !batch.events.is_empty() => {
                let answers = Answers::new(&self.store, &self.snapshots).at(now);
                let place = self.place.as_ref().expect("BUG: the turn took the place");
                let upcoming = place.upcoming(batch, mask);
                thread::scope(|scope| {
                    // The next batch is made while the module works on this one. For a few events
                    // a thread costs more than it gains.
                    if READY_EVENTS_MIN <= upcoming.len() {
                        scope
                            .spawn(|| upcoming.iter().for_each(|it| self.snapshots.make_ready(it)));
                    }
                    process.deliver_with(&batch.events, &answers)
                })
            }
            // Nothing to tell, or nobody: then all of it is unanswered, and nobody is blamed.
            ready => {
                let alive = ready.is_ok();
                BatchReport { outcomes: Vec::new(), alive, fault: None }
            }
        };
        self.module.take_back(&mut report, (self.clock)());
        if let Some(fault) = &report.fault {
            self.module.ended(fault);
            // Until it has said hello again it is not running, however long that takes.
            self.publish_state(ExitState::Starting);
            // We killed it ourselves: whoever has no answer yet is not to blame.
            if self.stop.is_abandoned() {
                report.fault = None;
            }
        }
        report
    }

    /// Step 8: cursor, failures and released events in one transaction, then in memory.
    fn settle(
        &mut self,
        batch: Batch,
        report: &BatchReport,
        took: Duration,
    ) -> Result<(), StoreError> {
        let now = (self.clock)();
        if let Some(why) = &batch.unfiltered {
            let text = format!("the expression in `where` failed, so the event was told: {why}");
            tracing::warn!(module = %self.name(), why, "expression failed, event is told");
            self.seat.numbers().status.fails(text, now);
        }
        for held in batch.unreadable() {
            tracing::error!(
                module = %self.name(), event = %held.seq, why = held.last_error,
                "event cannot be read and was parked",
            );
        }
        let told = batch.events.len();
        let facts: Vec<_> = batch.told().collect();
        let quiet = batch.quiet.clone();
        let place = self.place.as_ref().expect("BUG: the turn took the place");
        let rules = Rules {
            schedule: &self.settings.retry,
            now,
            random: &*self.random,
            is_probe: self.breaker.is_open(),
        };
        let mut judgement = place.judge(batch, report, &rules);
        self.announce_parked(&mut judgement.settlement, &quiet, now);
        if !judgement.is_empty() {
            self.write(&judgement.settlement)?;
        }

        // 1. The process answered, or the culprit is looked for.
        if judgement.interrupted {
            self.careful = self.window;
        } else {
            self.careful = self.careful.saturating_sub(told);
        }
        if judgement.verdicts.iter().any(|(_, it)| *it != Verdict::Again) {
            self.module.answered();
        }

        // 2. The breaker and the numbers.
        {
            let mut numbers = self.seat.numbers();
            let status = &mut numbers.status;
            status.attempts += u64::try_from(told).unwrap_or(u64::MAX);
            status.faults += u64::from(report.fault.is_some());
            if let Some(fault) = &report.fault {
                status.fails(fault.to_string(), now);
            }
            for (seq, verdict) in &judgement.verdicts {
                self.breaker.learn(verdict);
                match verdict {
                    Verdict::Accept => status.accepts(now),
                    Verdict::Skip => status.skipped += 1,
                    Verdict::Again => (),
                    Verdict::Fail { why, .. }
                    | Verdict::TargetDown { why, .. }
                    | Verdict::GiveUp(why)
                    | Verdict::Park(why) => {
                        let module = &self.settings.name;
                        if let Verdict::Fail { again, .. } | Verdict::TargetDown { again, .. } =
                            verdict
                        {
                            let retry_in_ms = again.0.saturating_sub(now.0);
                            tracing::warn!(%module, event = %seq, retry_in_ms, why, "event failed");
                        } else {
                            tracing::warn!(%module, event = %seq, why, "event parked");
                        }
                        status.retried += 1;
                        status.fails(why.clone(), now);
                    }
                }
            }
        }
        self.breaker.batch_ends(now, (self.random)());
        self.remember(&facts, &judgement, now, took);
        let place = self.place.as_mut().expect("BUG: the turn took the place");
        place.apply(judgement);
        let jumps = place.replay_ends();
        self.publish();
        if jumps {
            self.end_replay(now)?;
        }
        Ok(())
    }

    /// An event that goes on the shelf for an operator is an event itself, in the same transaction.
    /// That of a parked announcement is not announced again.
    fn announce_parked(&self, settlement: &mut Settlement, quiet: &[EventSeq], at: UnixMillis) {
        let parked = settlement.hold.iter().filter(|it| it.state == HeldState::Parked);
        let loud = parked.filter(|it| !quiet.contains(&it.seq));
        settlement.announce = loud
            .map(|held| Announcement {
                kind: EventKind::DELIVERY_PARKED,
                at,
                detail: vec![
                    ("Module".to_owned(), self.name().to_string()),
                    ("Event".to_owned(), held.seq.to_string()),
                    ("Reason".to_owned(), held.last_error.clone()),
                ],
            })
            .collect();
    }

    /// Keeps what was told for those who follow the module.
    fn remember(
        &self,
        facts: &[(EventSeq, EventKind, SubjectKey, u32)],
        judgement: &Judgement,
        at: UnixMillis,
        took: Duration,
    ) {
        let mut ring = self.seat.ring();
        for ((seq, kind, subject, attempt), (_, verdict)) in facts.iter().zip(&judgement.verdicts) {
            let (outcome, reason, again) = match verdict {
                Verdict::Accept => ("accepted", String::new(), None),
                Verdict::Skip => ("skipped", String::new(), None),
                Verdict::Fail { why, again } | Verdict::TargetDown { why, again } => {
                    ("failed", why.clone(), Some(between(at, *again)))
                }
                Verdict::GiveUp(why) | Verdict::Park(why) => ("parked", why.clone(), None),
                Verdict::Again => ("unanswered", String::new(), None),
            };
            ring.push(Delivered {
                number: 0,
                seq: *seq,
                kind: *kind,
                subject: subject.to_string(),
                attempt: *attempt,
                outcome,
                again,
                reason,
                at,
                took,
            });
        }
    }

    /// The last event of a replay is settled: the store's cursor has jumped ahead with it, or does
    /// so now; where it stands is read again.
    fn end_replay(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        self.save(now, true)?;
        tracing::info!(module = %self.name(), "the replay is over");
        self.place = None;
        Ok(())
    }

    /// Writes a settlement, however long the store is unable to. What the module has done is done;
    /// telling it again because our disk is full would do it twice.
    fn write(&mut self, settlement: &Settlement) -> Result<(), StoreError> {
        let mut failures = 0;
        loop {
            let name = &self.settings.name;
            let Some(lease) = self.seat.lease() else {
                return Err(StoreError::LeaseLost(name.clone()));
            };
            let Err(err) = self.store.settle(name, &lease, settlement.clone()) else {
                return Ok(());
            };
            if !may_pass(&err) {
                return Err(err);
            }
            failures += 1;
            let pause = STORE.pause(failures, (self.random)());
            if failures == 1 {
                tracing::error!(module = %name, code = err.code(), %err, "settling failed, trying on");
            }
            let now = (self.clock)();
            let until = now.plus(pause);
            let why = format!("settling failed: {err}");
            self.report_trouble(ExitState::Waiting { until, why: why.clone() }, why, now);
            if self.stop.wait(pause) {
                return Err(err);
            }
        }
    }

    /// Nothing to tell: passes what is not the module's business, then sleeps until something
    /// happens.
    fn idle(&mut self, batch: &Batch, is_probe: bool, now: UnixMillis) -> Result<(), StoreError> {
        self.module.attend(now);
        let place = self.place.as_mut().expect("BUG: the turn took the place");
        let before = place.cursor();
        place.pass(batch, now);
        if place.replay_ends() {
            return self.end_replay(now);
        }
        let (cursor, read_to) = (place.cursor(), place.read_to());
        let is_full = place.shelf.is_full();
        let next_due = place.shelf.next_due();
        self.save(now, false)?;
        if is_full {
            let until = now.plus(IDLE_MAX);
            let why = "the shelf is full".to_owned();
            self.report_trouble(ExitState::Waiting { until, why: why.clone() }, why, now);
        } else if let (true, Some(until)) = (is_probe, next_due) {
            // The target is down, and what would be tried next is not due yet.
            let why = self.seat.numbers().status.last_error.clone().unwrap_or_default();
            self.publish_state(ExitState::Waiting { until, why });
        } else if self.module.process().is_none() {
            // It ended while it had nothing to do.
            self.publish_state(ExitState::Starting);
        } else {
            self.publish_state(ExitState::Running);
        }
        self.publish();
        if before != cursor {
            self.is_short = false;
            return Ok(());
        }
        let pause = next_due.map_or(IDLE_MAX, |it| between(now, it).min(IDLE_MAX));
        let was_short = std::mem::replace(&mut self.is_short, read_to < self.store.head());
        if is_full || was_short && self.is_short {
            self.stop.wait(pause.max(Duration::from_millis(1)));
        } else {
            self.store.wait_past(read_to, pause);
        }
        Ok(())
    }

    /// Writes the cursor where only events outside the mask have moved it.
    fn save(&mut self, now: UnixMillis, at_once: bool) -> Result<(), StoreError> {
        let place = self.place.as_ref().expect("BUG: the turn took the place");
        if let Some(cursor) = place.unsaved(now, at_once) {
            let settlement = Settlement { cursor: Some(cursor), ..Settlement::default() };
            self.write(&settlement)?;
            self.place.as_mut().expect("BUG: looked at above").saved(cursor);
        }
        Ok(())
    }

    /// The store failed or the lease is elsewhere: nothing in memory can be relied on.
    fn recover(&mut self, err: &StoreError) {
        self.leave();
        let now = (self.clock)();
        let pause = match err {
            StoreError::LeaseLost(_) => {
                tracing::warn!(module = %self.name(), "lease was lost, delivery stops until it is back");
                LEASE_PAUSE
            }
            StoreError::LeaseHeld { .. } => LEASE_PAUSE,
            _ => {
                self.store_failures = self.store_failures.saturating_add(1);
                if self.store_failures == 1 {
                    tracing::error!(
                        module = %self.name(), code = err.code(), %err, "store failed, delivery waits",
                    );
                }
                STORE.pause(self.store_failures, (self.random)())
            }
        };
        let until = now.plus(pause);
        let why = err.to_string();
        self.report_trouble(ExitState::Waiting { until, why: why.clone() }, why, now);
        self.stop.wait(pause);
    }

    fn leave(&mut self) {
        self.place = None;
        self.seat.set_lease(None);
    }

    /// The order to stop: nothing is in hand any more.
    fn finish(mut self) {
        let now = (self.clock)();
        if self.place.is_some()
            && self.seat.lease().is_some()
            && let Err(err) = self.save(now, true)
        {
            tracing::debug!(module = %self.name(), %err, "the last place was not written");
        }
        self.module.stop();
        let lease = self.seat.lease();
        // Out of the seat first, so that nobody renews it meanwhile.
        self.seat.set_lease(None);
        if let Some(lease) = lease {
            // Given back, so that a successor need not wait for its end.
            if let Err(err) = self.store.release_lease(self.name(), &lease) {
                tracing::debug!(module = %self.name(), %err, "the lease was not given back");
            }
        }
        self.seat.close_orders();
        self.publish();
        self.publish_state(ExitState::Stopped);
    }

    /// Stops the process, for as long as somebody else has the target in hand.
    fn rest(&mut self, now: UnixMillis) {
        self.module.stop();
        let why = "its target is being mended".to_owned();
        self.publish_state(ExitState::Waiting { until: now.plus(IDLE_MAX), why });
        self.seat.pause.rests();
        self.stop.wait(IDLE_MAX);
    }

    fn wait_until(&self, until: UnixMillis, now: UnixMillis) {
        let why = {
            let numbers = self.seat.numbers();
            numbers.status.last_error.clone().unwrap_or_default()
        };
        if !matches!(self.seat.numbers().status.state, ExitState::Down { .. }) {
            self.publish_state(ExitState::Waiting { until, why });
        }
        self.stop.wait(between(now, until).min(IDLE_MAX));
    }

    fn report_trouble(&self, state: ExitState, why: String, now: UnixMillis) {
        let mut numbers = self.seat.numbers();
        let status = &mut numbers.status;
        if status.state != state {
            status.fails(why, now);
            status.state = state;
        }
        status.pid = self.module.process().map(exeunt_host::ModuleProcess::pid);
        status.starts = self.module.starts();
    }

    fn publish_state(&self, state: ExitState) {
        let mut numbers = self.seat.numbers();
        let status = &mut numbers.status;
        status.pid = None;
        if let Some(process) = self.module.process() {
            status.pid = Some(process.pid());
            if status.description != process.description() {
                process.description().clone_into(&mut status.description);
            }
        }
        status.starts = self.module.starts();
        status.state = state;
    }

    fn publish(&self) {
        let Some(place) = &self.place else { return };
        let mut numbers = self.seat.numbers();
        numbers.oldest_retry = place.shelf.oldest_retry();
        let status = &mut numbers.status;
        status.cursor = place.cursor();
        status.held_retry = place.shelf.retries();
        status.held_behind = place.shelf.behind();
        status.held_parked = place.shelf.parked();
        drop(numbers);
        self.seat.has_moved();
    }

    fn name(&self) -> &ExitName {
        &self.settings.name
    }
}

/// A held event's row, or why it cannot be read.
fn held_event(store: &Store, seq: EventSeq) -> Result<Result<LoggedEvent, String>, StoreError> {
    Ok(match store.event(seq)? {
        Some(LoggedEvent { corrupt: Some(why), .. }) => Err(why),
        Some(logged) => Ok(logged),
        None => Err("the event is not in the log".to_owned()),
    })
}

/// Whether the same settlement can succeed later.
fn may_pass(err: &StoreError) -> bool {
    !matches!(
        err,
        StoreError::LeaseLost(_)
            | StoreError::LeaseHeld { .. }
            | StoreError::NoCursor(_)
            | StoreError::CursorMove { .. }
    )
}

/// Renews a lease that is a third over, so that two renewals may fail before it is lost.
pub(crate) fn renew(store: &Store, seat: &Seat, holder: &str, now: UnixMillis) {
    let Some(old) = seat.lease() else { return };
    if LEASE * 2 / 3 < between(now, old.until) {
        return;
    }
    match store.lease(&seat.name, holder, now, now.plus(LEASE)) {
        Ok(new) if new.token == old.token => seat.renew_lease(&old, Some(new)),
        Ok(_) | Err(StoreError::LeaseHeld { .. } | StoreError::LeaseLost(_)) => {
            seat.renew_lease(&old, None::<Lease>);
        }
        Err(err) => {
            tracing::warn!(module = %seat.name, code = err.code(), %err, "renewing the lease failed");
        }
    }
}

/// From `now` to `then`; nothing if that is over.
pub(crate) fn between(now: UnixMillis, then: UnixMillis) -> Duration {
    Duration::from_millis(u64::try_from(then.0.saturating_sub(now.0)).unwrap_or(0))
}
