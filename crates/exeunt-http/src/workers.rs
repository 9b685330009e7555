//! The threads that submissions run on.
//!
//! A job belongs to its worker, not to the connection that brought it: when the client hangs up,
//! the job runs to its end all the same.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Stack of a worker, in bytes. Reserved, not used: memory is touched only as deep as calls go.
const STACK_BYTES: usize = 1024 * 1024;

type Job = Box<dyn FnOnce() + Send>;

/// As many jobs as may be in flight are in flight.
#[derive(Debug)]
pub(crate) struct Busy;

/// A fixed number of threads and one bounded queue. Dropping it lets the threads end after the jobs
/// in hand.
pub(crate) struct Workers {
    floor: Arc<Floor>,
}

struct Floor {
    state: Mutex<State>,
    /// The last job of a closed queue ended.
    quiet: Condvar,
    in_flight_max: usize,
}

struct State {
    queue: VecDeque<Job>,
    /// Jobs in the queue and in hand.
    in_flight: usize,
    /// Workers that sleep, the last one to fall asleep at the end: it is woken first, because its
    /// stack is still in the processor's cache.
    asleep: Vec<Thread>,
    closed: bool,
}

impl Workers {
    /// Starts `threads` workers that take at most `in_flight_max` jobs at a time.
    pub(crate) fn start(threads: usize, in_flight_max: usize) -> io::Result<Self> {
        let state = State {
            queue: VecDeque::with_capacity(in_flight_max),
            in_flight: 0,
            asleep: Vec::with_capacity(threads),
            closed: false,
        };
        let floor =
            Arc::new(Floor { state: Mutex::new(state), quiet: Condvar::new(), in_flight_max });
        let workers = Self { floor };
        for number in 0..threads {
            let floor = Arc::clone(&workers.floor);
            std::thread::Builder::new()
                .name(format!("submit-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || floor.work())?;
        }
        Ok(workers)
    }

    /// Hands a job to the next free worker.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Busy> {
        let job = Box::new(job);
        let mut state = self.floor.lock();
        if state.closed || self.floor.in_flight_max <= state.in_flight {
            return Err(Busy);
        }
        state.in_flight += 1;
        state.queue.push_back(job);
        let sleeper = state.asleep.pop();
        drop(state);
        if let Some(sleeper) = sleeper {
            sleeper.unpark();
        }
        Ok(())
    }

    /// Takes no more jobs and waits until the last one has ended, at most for `grace`. Returns how
    /// many had not ended by then; those in hand go on, those in the queue are dropped.
    pub(crate) fn stop(&self, grace: Duration) -> usize {
        let deadline = Instant::now() + grace;
        let mut state = self.floor.lock();
        state.closed = true;
        state.asleep.drain(..).for_each(|it| it.unpark());
        while 0 < state.in_flight {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.floor.quiet.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let late = state.in_flight;
        state.in_flight -= state.queue.len();
        state.queue.clear();
        late
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let mut state = self.floor.lock();
        state.closed = true;
        state.asleep.drain(..).for_each(|it| it.unpark());
    }
}

impl Floor {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Jobs run outside the lock, so a poisoned one still guards whole values.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let own = std::thread::current();
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                // What the job owned is gone with it; what it shared guards itself.
                if let Err(panic) = catch_unwind(AssertUnwindSafe(job)) {
                    tracing::error!(code = "internal", "a worker panicked: {}", words(&*panic));
                }
                state = self.lock();
                state.in_flight -= 1;
                if state.closed && state.in_flight == 0 {
                    self.quiet.notify_all();
                }
            } else if state.closed {
                return;
            } else {
                state.asleep.push(own.clone());
                drop(state);
                std::thread::park();
                state = self.lock();
                // Parking may end for no reason, and then the name still stands in the list.
                state.asleep.retain(|it| it.id() != own.id());
            }
        }
    }
}

/// What a panic said, as far as it is text.
pub(crate) fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn a_panic_ends_the_job_and_not_the_worker() {
        let workers = Workers::start(1, 4).unwrap();
        workers.run(|| panic!("on purpose")).unwrap();
        let (sender, receiver) = mpsc::channel();
        workers.run(move || sender.send(7).unwrap()).unwrap();
        assert_eq!(receiver.recv_timeout(LONG), Ok(7));
        assert_eq!(workers.stop(LONG), 0);
    }

    #[test]
    fn one_job_more_than_the_limit_is_refused() {
        let workers = Workers::start(1, 2).unwrap();
        let (release, gate) = mpsc::channel::<()>();
        workers.run(move || assert!(gate.recv().is_err())).unwrap();
        workers.run(|| ()).unwrap();
        assert!(workers.run(|| ()).is_err());
        drop(release);
        assert_eq!(workers.stop(LONG), 0);
        assert!(workers.run(|| ()).is_err(), "a stopped queue took a job");
    }

    #[test]
    fn stopping_waits_for_the_jobs_in_flight_and_no_longer_than_told() {
        let workers = Workers::start(1, 4).unwrap();
        let (release, gate) = mpsc::channel::<()>();
        let (done, finished) = mpsc::channel();
        workers
            .run(move || {
                assert!(gate.recv().is_err());
                done.send(()).unwrap();
            })
            .unwrap();
        workers.run(|| ()).unwrap();
        assert_eq!(workers.stop(Duration::from_millis(10)), 2);
        drop(release);
        assert_eq!(finished.recv_timeout(LONG), Ok(()), "the job in hand was cancelled");
        assert_eq!(workers.stop(LONG), 0);
    }
}
