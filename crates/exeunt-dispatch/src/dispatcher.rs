//! All modules of one CA: starts their workers, takes modules up and lets them go while it runs,
//! passes orders on, tells how they stand, stops them.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use exeunt_store::{HeldRow, LoggedEvent, Store, StoreError};
use exeunt_types::{EventSeq, ExitName, UnixMillis};

use crate::{
    delivered::Delivered,
    error::DispatchError,
    explain::{self, Known, Rule},
    maintain::Maintainer,
    order::{Claim, Done, Order, Ordered},
    settings::{CaFacts, ExitSettings},
    shared::{Clock, Numbers, Random, Seat, Stop},
    snapshot::Snapshots,
    status::{ExitState, ExitStatus},
    worker::{self, Parts, Worker},
};

/// How often the leases are looked at; [`LEASE`](crate::LEASE) is much longer.
const LEASES_EVERY: Duration = Duration::from_secs(1);

/// Time for the workers to write what they know after their processes were killed.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// How often a stopping dispatcher looks whether its workers have ended.
const STOP_POLL: Duration = Duration::from_millis(5);

/// Time for a module that is removed or changed to finish the batch in hand; then its process is
/// killed, and what it has not answered is told again by its successor.
const LEAVE_GRACE: Duration = Duration::from_secs(10);

/// Time for an order to be begun; then it is given up, and its giver told that the module is busy.
pub const ORDER_WAIT_MAX: Duration = Duration::from_secs(10);

/// How often an order that was begun late is looked after.
const ORDER_POLL: Duration = Duration::from_millis(100);

/// Delivers the events of one store to its exit modules, one thread for each.
///
/// Dropping it kills the module processes; [`Dispatcher::stop`] lets them finish.
#[derive(Debug)]
#[must_use = "a dispatcher delivers until it is stopped or dropped"]
pub struct Dispatcher {
    common: Arc<Common>,
    /// Ends the keeper of the leases.
    stop: Arc<Stop>,
    keeper: Option<JoinHandle<()>>,
}

/// What every module of the CA shares.
#[derive(Debug)]
struct Common {
    store: Store,
    snapshots: Snapshots,
    clock: ClockHandle,
    random: RandomHandle,
    holder: String,
    config: String,
    members: Mutex<Vec<Arc<Member>>>,
    /// Taken by whoever adds, changes or removes a module, for as long as that takes.
    changes: Mutex<()>,
}

/// One module, and its worker while it is enabled.
#[derive(Debug)]
struct Member {
    settings: Arc<ExitSettings>,
    seat: Arc<Seat>,
    stop: Arc<Stop>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Dispatcher {
    /// Opens the cursors of `exits`, then starts to deliver. When this returns, a module that
    /// starts at the head hears every event that is committed from now on.
    ///
    /// `clock` gives the time of day and `random` any 64 bits, for jitter alone.
    ///
    /// # Errors
    ///
    /// See [`DispatchError`]. A module that cannot be started is none: see [`Self::status`].
    pub fn start(
        store: Store,
        exits: Vec<ExitSettings>,
        facts: &CaFacts,
        clock: Clock,
        random: Random,
    ) -> Result<Self, DispatchError> {
        let mut snapshots = Snapshots::new(store.store_id().to_owned(), facts);
        if let Some(lists) = &facts.lists {
            snapshots = snapshots.with_lists(store.clone(), lists);
        }
        let common = Arc::new(Common {
            snapshots,
            store,
            clock: ClockHandle(clock),
            random: RandomHandle(random),
            holder: facts.machine_dns_name.clone(),
            config: facts.name.clone(),
            members: Mutex::default(),
            changes: Mutex::default(),
        });

        // 1. Cursors, before anything runs.
        let mut members = Vec::with_capacity(exits.len());
        for exit in exits {
            if members.iter().any(|it: &Arc<Member>| it.settings.name == exit.name) {
                return Err(DispatchError::Duplicate(exit.name));
            }
            members.push(common.seat(exit, None)?);
        }

        // 2. Threads. When one cannot be had, dropping the dispatcher ends the others.
        let stop = Arc::new(Stop::default());
        let mut dispatcher = Self { common: Arc::clone(&common), stop, keeper: None };
        for member in members {
            common.set_to_work(&member)?;
            locked(&common.members).push(member);
        }
        let keeper = lease_keeper(Arc::clone(&common), Arc::clone(&dispatcher.stop));
        let thread = thread::Builder::new().name("exit-leases".to_owned()).spawn(keeper);
        dispatcher.keeper =
            Some(thread.map_err(|err| DispatchError::Keeper { source: err.into() })?);
        Ok(dispatcher)
    }

    /// Takes up another module. It hears every event that is committed from now on, and as many
    /// earlier ones as its settings say; issuance goes on.
    ///
    /// # Errors
    ///
    /// [`DispatchError::Duplicate`] where the name is taken; see there for the others.
    pub fn add(&self, settings: ExitSettings) -> Result<(), DispatchError> {
        let _change = locked(&self.common.changes);
        if self.common.member(&settings.name).is_ok() {
            return Err(DispatchError::Duplicate(settings.name));
        }
        let member = self.common.seat(settings, None)?;
        self.common.set_to_work(&member)?;
        locked(&self.common.members).push(member);
        Ok(())
    }

    /// Lets a module finish the batch in hand and goes on with other settings. Its place and its
    /// shelf stay and nothing is lost. As after every new start, events that it has answered behind
    /// one that it has not may come again.
    ///
    /// # Errors
    ///
    /// [`DispatchError::Unknown`]; see there for the others. The module goes on as before then.
    pub fn replace(&self, settings: ExitSettings) -> Result<(), DispatchError> {
        let _change = locked(&self.common.changes);
        let old = self.common.member(&settings.name)?;
        self.common.dismiss(&old);
        let put = |new: Arc<Member>| {
            for member in locked(&self.common.members).iter_mut() {
                if Arc::ptr_eq(member, &old) {
                    *member = Arc::clone(&new);
                }
            }
        };
        let hire = |settings| {
            let new = self.common.seat(settings, Some(&old))?;
            self.common.set_to_work(&new).map(|()| new)
        };
        match hire(settings) {
            Ok(new) => {
                put(new);
                Ok(())
            }
            Err(err) => {
                // As before, if that can be had; the log says if not, and so does the status.
                match hire(ExitSettings::clone(&old.settings)) {
                    Ok(again) => put(again),
                    Err(err) => {
                        tracing::error!(module = %old.settings.name, %err, "module stopped");
                    }
                }
                Err(err)
            }
        }
    }

    /// Lets a module finish the batch in hand and stops it. Its place and its shelf stay in the
    /// store until somebody removes them there.
    ///
    /// # Errors
    ///
    /// [`DispatchError::Unknown`].
    pub fn remove(&self, name: &ExitName) -> Result<(), DispatchError> {
        let _change = locked(&self.common.changes);
        let member = self.common.member(name)?;
        locked(&self.common.members).retain(|it| !Arc::ptr_eq(it, &member));
        self.common.dismiss(&member);
        Ok(())
    }

    /// Gives an order and waits until the module's worker has carried it out, for
    /// [`ORDER_WAIT_MAX`] at the longest. What is answered with an error was not done.
    ///
    /// # Errors
    ///
    /// [`DispatchError::Unknown`], [`DispatchError::Disabled`], [`DispatchError::NotHeld`],
    /// [`DispatchError::Ahead`], [`DispatchError::Busy`], [`DispatchError::Changed`], or what the
    /// store says.
    pub fn order(&self, name: &ExitName, order: Order) -> Result<Done, DispatchError> {
        let member = self.common.member(name)?;
        if !member.settings.enabled {
            return Err(DispatchError::Disabled(name.clone()));
        }
        let (answer, answered) = mpsc::sync_channel(1);
        let claim = Claim::default();
        if !member.seat.order(Ordered { order, claim: claim.clone(), answer }) {
            return Err(DispatchError::Changed(name.clone()));
        }
        member.stop.nudge();
        let mut wait = ORDER_WAIT_MAX;
        loop {
            match answered.recv_timeout(wait) {
                Ok(done) => return done,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(DispatchError::Changed(name.clone()));
                }
                Err(RecvTimeoutError::Timeout) if claim.give_up() => {
                    return Err(DispatchError::Busy(name.clone()));
                }
                // The worker has begun: its answer is a few writes away.
                Err(RecvTimeoutError::Timeout) => wait = ORDER_POLL,
            }
        }
    }

    /// Waits until every module with `before_reply` has had its first attempt at that event, or at
    /// one that it stands behind; `limit` at the longest. Whether they all had. A module that does
    /// not run, whose target seems dead, or that is told old events again keeps nobody waiting.
    #[must_use = "whether everybody was told is worth a number"]
    pub fn told(&self, seq: EventSeq, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let waits = |it: &Arc<Member>| {
            it.settings.enabled && it.settings.before_reply && it.seat.is_prompt()
        };
        let members: Vec<_> =
            locked(&self.common.members).iter().filter(|it| waits(it)).cloned().collect();
        members.iter().all(|it| it.seat.wait_past(seq, until))
    }

    /// Who looks after a module's target, with the settings that it has now. What it does needs the
    /// dispatcher no more.
    ///
    /// # Errors
    ///
    /// [`DispatchError::Unknown`].
    pub fn maintainer(&self, name: &ExitName) -> Result<Maintainer, DispatchError> {
        let member = self.common.member(name)?;
        let common = Arc::clone(&self.common);
        let module = name.clone();
        // Its settings may be changed meanwhile, and another one be its worker then.
        let worker = move || {
            common.member(&module).is_ok_and(|it| {
                it.stop.nudge();
                it.is_at_work()
            })
        };
        Ok(Maintainer {
            store: self.common.store.clone(),
            settings: Arc::clone(&member.settings),
            snapshots: self.common.snapshots.of_module(name.as_str()),
            clock: Arc::clone(&self.common.clock.0),
            config: self.common.config.clone(),
            seat: Arc::clone(&member.seat),
            worker: Arc::new(worker),
        })
    }

    /// How each module stands, in the order in which they were added.
    pub fn status(&self) -> Vec<ExitStatus> {
        let now = (self.common.clock.0)();
        let members = locked(&self.common.members).clone();
        members.iter().map(|member| self.status_of(member, now)).collect()
    }

    fn status_of(&self, member: &Member, now: UnixMillis) -> ExitStatus {
        let Numbers { mut status, oldest_retry } = member.seat.numbers().clone();
        if !member.settings.enabled {
            status.state = ExitState::Disabled;
        }
        status.head = self.common.store.head().max(status.cursor);
        status.lag = status.head.0 - status.cursor.0;
        let unread = (status.lag != 0).then(|| status.cursor.next());
        let oldest = [oldest_retry, unread].into_iter().flatten().min();
        status.oldest_unsettled_age = oldest.and_then(|seq| self.age(seq, now));
        status
    }

    /// Age of an event; `None` if it cannot be read just now.
    fn age(&self, seq: EventSeq, now: UnixMillis) -> Option<Duration> {
        let logged = self.common.store.event(seq).ok().flatten()?;
        Some(worker::between(logged.at, now))
    }

    /// What a module was told since the server's start, after delivery number `after`, oldest
    /// first; only the last [`DELIVERED_MAX`](crate::DELIVERED_MAX) are known.
    ///
    /// # Errors
    ///
    /// [`DispatchError::Unknown`].
    pub fn deliveries(
        &self,
        name: &ExitName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Delivered>, DispatchError> {
        Ok(self.common.member(name)?.seat.ring().after(after, limit))
    }

    /// Why the module was told of this event, or was not: every rule, as of now. `dropped` says who
    /// has dropped it from the module's shelf, and why, where somebody has.
    ///
    /// # Errors
    ///
    /// [`DispatchError::Unknown`], or what the store says.
    pub fn explain(
        &self,
        name: &ExitName,
        event: &LoggedEvent,
        dropped: Option<&str>,
    ) -> Result<Vec<Rule>, DispatchError> {
        let member = self.common.member(name)?;
        let store = &self.common.store;
        let failed = |source| DispatchError::Order { name: name.clone(), source };
        let row = store.cursor(name).map_err(failed)?;
        let held = store.held(name).map_err(failed)?.into_iter().find_map(|it| match it {
            HeldRow::Held(held) if held.seq == event.seq => Some(held),
            _ => None,
        });
        let (mask, position) = {
            let numbers = member.seat.numbers();
            (numbers.status.mask, numbers.status.cursor)
        };
        let known = Known {
            settings: &member.settings,
            mask,
            position,
            row: row.as_ref(),
            held: held.as_ref(),
            dropped,
        };
        let now = (self.common.clock.0)();
        Ok(explain::explain(&known, event, &self.common.snapshots, now))
    }

    /// Lets every module finish the batch in hand, settles it and stops the processes.
    ///
    /// After `deadline` the processes that are still busy are killed; what they have not answered
    /// is told again by the next dispatcher. Returns whether no kill was needed. It takes little
    /// longer than `deadline`.
    #[must_use = "whether everybody finished is worth a line in the log"]
    pub fn stop(mut self, deadline: Duration) -> bool {
        self.stop_within(deadline)
    }

    fn stop_within(&mut self, deadline: Duration) -> bool {
        let members = std::mem::take(&mut *locked(&self.common.members));
        let in_time = dismiss_all(&members, deadline);
        self.stop.finish();
        if let Some(keeper) = self.keeper.take() {
            // It looks at its order once a pause, which the order ends.
            let _ = keeper.join();
        }
        in_time
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        if self.keeper.is_some() || !locked(&self.common.members).is_empty() {
            self.stop_within(Duration::ZERO);
        }
    }
}

impl Common {
    fn member(&self, name: &ExitName) -> Result<Arc<Member>, DispatchError> {
        let members = locked(&self.members);
        let member = members.iter().find(|it| it.settings.name == *name);
        member.cloned().ok_or_else(|| DispatchError::Unknown(name.clone()))
    }

    /// A module with its cursor, not at work yet; perhaps in the place of `before`.
    fn seat(
        &self,
        settings: ExitSettings,
        before: Option<&Member>,
    ) -> Result<Arc<Member>, DispatchError> {
        let name = settings.name.clone();
        let failed = |source| DispatchError::Store { name: name.clone(), source };
        let cursor = match self.store.open_cursor(&name, settings.start_at) {
            Err(StoreError::CursorMove { from: newest, to }) => {
                return Err(DispatchError::NoSuchStart { event: to.next(), newest });
            }
            cursor => cursor.map_err(failed)?,
        };
        let row = self.store.cursor(&name).map_err(failed)?;
        let held = self.store.held(&name).map_err(failed)?;
        let seat = Seat::new(name.clone(), cursor);
        let seat = match &row {
            Some(row) => seat.showing(row, &held),
            None => seat,
        };
        let seat = match before {
            Some(before) => seat.succeeding(&before.seat),
            None => seat,
        };
        Ok(Arc::new(Member {
            settings: Arc::new(settings),
            seat: Arc::new(seat),
            stop: Arc::default(),
            thread: Mutex::default(),
        }))
    }

    /// Lets a worker finish the batch in hand, for [`LEAVE_GRACE`] at the longest, and makes sure
    /// that it settles nothing afterwards.
    fn dismiss(&self, member: &Arc<Member>) {
        if dismiss_all(std::slice::from_ref(member), LEAVE_GRACE) {
            return;
        }
        let name = &member.settings.name;
        tracing::warn!(
            module = %name,
            "module was still busy and was killed; what it had in hand is told again",
        );
        // A worker that was left behind must not use a lease that its successor takes over.
        let lease = member.seat.lease();
        member.seat.set_lease(None);
        if let Some(lease) = lease
            && let Err(err) = self.store.release_lease(name, &lease)
        {
            tracing::warn!(module = %name, %err, "the lease was not given back and runs out");
        }
    }

    /// Starts the worker of an enabled module.
    fn set_to_work(&self, member: &Member) -> Result<(), DispatchError> {
        if !member.settings.enabled {
            return Ok(());
        }
        let name = member.settings.name.clone();
        let worker = Worker::new(Parts {
            store: self.store.clone(),
            settings: Arc::clone(&member.settings),
            snapshots: self.snapshots.of_module(name.as_str()),
            clock: Arc::clone(&self.clock.0),
            random: Arc::clone(&self.random.0),
            holder: self.holder.clone(),
            config: self.config.clone(),
            stop: Arc::clone(&member.stop),
            seat: Arc::clone(&member.seat),
        });
        let thread = thread::Builder::new()
            .name(format!("exit-{name}"))
            .spawn(move || worker.run())
            .map_err(|err| DispatchError::Thread { name, source: err.into() })?;
        *locked(&member.thread) = Some(thread);
        Ok(())
    }
}

impl Member {
    fn is_at_work(&self) -> bool {
        locked(&self.thread).as_ref().is_some_and(|it| !it.is_finished())
    }
}

/// Stops the workers of these modules; whether no process had to be killed for it.
fn dismiss_all(members: &[Arc<Member>], grace: Duration) -> bool {
    for member in members {
        member.stop.finish();
    }
    let in_time = wait_for(members, grace);
    if !in_time {
        for member in members.iter().filter(|it| it.is_at_work()) {
            member.stop.abandon();
            let pid = member.seat.numbers().status.pid;
            kill_group(pid);
        }
        if !wait_for(members, STOP_GRACE) {
            // They are in a hello or wait for the store. Both end by themselves, and the
            // processes end with the end of their standard input.
            tracing::warn!("module threads are still busy and were left behind");
        }
    }
    for member in members {
        let mut thread = locked(&member.thread);
        if let Some(thread) = thread.take_if(|it| it.is_finished()) {
            // Workers catch their panics; there is nothing to add.
            let _ = thread.join();
        }
    }
    in_time
}

fn wait_for(members: &[Arc<Member>], limit: Duration) -> bool {
    let until = Instant::now() + limit;
    loop {
        if !members.iter().any(|it| it.is_at_work()) {
            return true;
        }
        if until <= Instant::now() {
            return false;
        }
        thread::sleep(STOP_POLL);
    }
}

/// Renews the leases, also of modules that take their time for a batch and of those that leave.
fn lease_keeper(common: Arc<Common>, stop: Arc<Stop>) -> impl FnOnce() + Send + 'static {
    move || {
        let mut kept: Vec<Arc<Member>> = Vec::new();
        loop {
            let is_stopping = stop.wait(LEASES_EVERY);
            for member in locked(&common.members).iter() {
                if !kept.iter().any(|it| Arc::ptr_eq(it, member)) {
                    kept.push(Arc::clone(member));
                }
            }
            kept.retain(|it| it.is_at_work());
            for member in &kept {
                worker::renew(&common.store, &member.seat, &common.holder, (common.clock.0)());
            }
            if is_stopping {
                break;
            }
        }
    }
}

/// Kills a module's process group. The host reaps it only from its worker's thread, which is busy
/// with it, so the number cannot mean somebody else by now, but for the blink of an eye.
fn kill_group(pid: Option<u32>) {
    let pid = pid.and_then(|it| i32::try_from(it).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended in between; that is what we want.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

/// A panic elsewhere leaves these values whole: each is written in one assignment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A clock in a structure that can be shown.
struct ClockHandle(Clock);

impl std::fmt::Debug for ClockHandle {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Clock")
    }
}

/// A source of random numbers in a structure that can be shown.
struct RandomHandle(Random);

impl std::fmt::Debug for RandomHandle {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Random")
    }
}
