//! All modules of one CA: starts their workers, tells how they stand, stops them.

use std::{
    collections::HashSet,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use exeunt_store::Store;
use exeunt_types::{EventSeq, UnixMillis};

use crate::{
    error::DispatchError,
    settings::{CaFacts, ExitSettings},
    shared::{Clock, Numbers, Random, Seat, Stop},
    snapshot::Snapshots,
    status::ExitStatus,
    worker::{self, Parts, Worker},
};

/// How often the leases are looked at; [`LEASE`](crate::LEASE) is much longer.
const LEASES_EVERY: Duration = Duration::from_secs(1);

/// Time for the workers to write what they know after their processes were killed.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// How often a stopping dispatcher looks whether its workers have ended.
const STOP_POLL: Duration = Duration::from_millis(5);

/// Delivers the events of one store to its exit modules, one thread for each.
///
/// Dropping it kills the module processes; [`Dispatcher::stop`] lets them finish.
#[derive(Debug)]
#[must_use = "a dispatcher delivers until it is stopped or dropped"]
pub struct Dispatcher {
    store: Store,
    clock: ClockHandle,
    stop: Arc<Stop>,
    seats: Vec<Arc<Seat>>,
    threads: Vec<JoinHandle<()>>,
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
    #[expect(clippy::needless_pass_by_value, reason = "given away for good, like the clock")]
    pub fn start(
        store: Store,
        exits: Vec<ExitSettings>,
        facts: &CaFacts,
        clock: Clock,
        random: Random,
    ) -> Result<Self, DispatchError> {
        // 1. Cursors, before anything runs.
        let mut names = HashSet::new();
        let mut seats = Vec::with_capacity(exits.len());
        for exit in &exits {
            if !names.insert(exit.name.clone()) {
                return Err(DispatchError::Duplicate(exit.name.clone()));
            }
            let cursor = store
                .open_cursor(&exit.name, exit.start_at)
                .map_err(|source| DispatchError::Store { name: exit.name.clone(), source })?;
            seats.push(Arc::new(Seat::new(exit.name.clone(), cursor)));
        }

        // 2. Threads. When one cannot be had, dropping the dispatcher ends the others.
        let snapshots = Snapshots::new(store.store_id().to_owned(), facts);
        let stop = Arc::new(Stop::default());
        let clock = ClockHandle(clock);
        let mut dispatcher = Self { store, clock, stop, seats, threads: Vec::new() };
        for (settings, seat) in exits.into_iter().zip(dispatcher.seats.clone()) {
            let name = settings.name.clone();
            let worker = Worker::new(Parts {
                store: dispatcher.store.clone(),
                settings: Arc::new(settings),
                snapshots: snapshots.clone(),
                clock: Arc::clone(&dispatcher.clock.0),
                random: Arc::clone(&random),
                holder: facts.machine_dns_name.clone(),
                config: facts.name.clone(),
                stop: Arc::clone(&dispatcher.stop),
                seat,
            });
            let thread = thread::Builder::new()
                .name(format!("exit-{name}"))
                .spawn(move || worker.run())
                .map_err(|err| DispatchError::Thread { name, source: err.into() })?;
            dispatcher.threads.push(thread);
        }
        if let Some(first) = dispatcher.seats.first() {
            let name = first.name.clone();
            let keeper = dispatcher.lease_keeper(facts.machine_dns_name.clone());
            let thread = thread::Builder::new()
                .name("exit-leases".to_owned())
                .spawn(keeper)
                .map_err(|err| DispatchError::Thread { name, source: err.into() })?;
            dispatcher.threads.push(thread);
        }
        Ok(dispatcher)
    }

    /// Renews the leases, also of modules that take their time for a batch.
    fn lease_keeper(&self, holder: String) -> impl FnOnce() + Send + 'static {
        let (store, clock, stop) =
            (self.store.clone(), Arc::clone(&self.clock.0), Arc::clone(&self.stop));
        let seats = self.seats.clone();
        move || {
            // After the order to stop there may still be batches in hand.
            loop {
                let is_stopping = stop.wait(LEASES_EVERY);
                for seat in &seats {
                    worker::renew(&store, seat, &holder, clock());
                }
                if is_stopping {
                    if seats.iter().all(|it| it.lease().is_none()) {
                        break;
                    }
                    thread::sleep(STOP_POLL);
                }
            }
        }
    }

    /// How each module stands, in the order of the configuration.
    pub fn status(&self) -> Vec<ExitStatus> {
        let now = (self.clock.0)();
        self.seats.iter().map(|seat| self.status_of(seat, now)).collect()
    }

    fn status_of(&self, seat: &Seat, now: UnixMillis) -> ExitStatus {
        let Numbers { mut status, oldest_retry } = seat.numbers().clone();
        status.head = self.store.head().max(status.cursor);
        status.lag = status.head.0 - status.cursor.0;
        let unread = (status.lag != 0).then(|| status.cursor.next());
        let oldest = [oldest_retry, unread].into_iter().flatten().min();
        status.oldest_unsettled_age = oldest.and_then(|seq| self.age(seq, now));
        status
    }

    /// Age of an event; `None` if it cannot be read just now.
    fn age(&self, seq: EventSeq, now: UnixMillis) -> Option<Duration> {
        let logged = self.store.event(seq).ok().flatten()?;
        Some(worker::between(logged.at, now))
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
        self.stop.finish();
        let in_time = self.wait_for_threads(deadline);
        if !in_time {
            self.stop.abandon();
            for seat in &self.seats {
                let pid = seat.numbers().status.pid;
                kill_group(pid);
            }
            if !self.wait_for_threads(STOP_GRACE) {
                // They are in a hello or wait for the store. Both end by themselves, and the
                // processes end with the end of their standard input.
                tracing::warn!("module threads are still busy and were left behind");
            }
        }
        for thread in self.threads.drain(..).filter(JoinHandle::is_finished) {
            // Workers catch their panics; there is nothing to add.
            let _ = thread.join();
        }
        in_time
    }

    fn wait_for_threads(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        loop {
            if self.threads.iter().all(JoinHandle::is_finished) {
                return true;
            }
            if until <= Instant::now() {
                return false;
            }
            thread::sleep(STOP_POLL);
        }
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.stop_within(Duration::ZERO);
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

/// A clock in a structure that can be shown.
struct ClockHandle(Clock);

impl std::fmt::Debug for ClockHandle {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Clock")
    }
}
