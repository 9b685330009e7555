//! The threads that submissions run on.
//!
//! A job belongs to its worker, not to the connection that brought it: when the client hangs up,
//! the job runs to its end all the same. A worker takes all jobs that wait, up to [`BATCH_MAX`]:
//! where many come at once, they share its waiting for the disk.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Stack of a worker, in bytes. Reserved, not used: memory is touched only as deep as calls go.
const STACK_BYTES: usize = 1024 * 1024;

/// Jobs that one worker takes at once at most.
pub(crate) const BATCH_MAX: usize = 16;

/// As many jobs as may be in flight are in flight.
#[derive(Debug)]
pub(crate) struct Busy;

/// A fixed number of threads and one bounded queue. Dropping it lets the threads end after the jobs
/// in hand.
pub(crate) struct Workers<J> {
    floor: Arc<Floor<J>>,
}

struct Floor<J> {
    state: Mutex<State<J>>,
    /// Does the work of a batch.
    act: Box<dyn Fn(Vec<J>) + Send + Sync>,
    /// The last job of a closed queue ended.
    quiet: Condvar,
    in_flight_max: usize,
}

struct State<J> {
    queue: VecDeque<J>,
    /// Jobs in the queue and in hand.
    in_flight: usize,
    /// Workers that sleep, the last one to fall asleep at the end: it is woken first, because its
    /// stack is still in the processor's cache.
    asleep: Vec<Thread>,
    closed: bool,
}

impl<J: Send + 'static> Workers<J> {
    /// Starts `threads` workers that take at most `in_flight_max` jobs at a time.
    pub(crate) fn start(
        threads: usize,
        in_flight_max: usize,
        act: impl Fn(Vec<J>) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let state = State {
            queue: VecDeque::with_capacity(in_flight_max),
            in_flight: 0,
            asleep: Vec::with_capacity(threads),
            closed: false,
        };
        let floor = Arc::new(Floor {
            state: Mutex::new(state),
            act: Box::new(act),
            quiet: Condvar::new(),
            in_flight_max,
        });
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
    pub(crate) fn run(&self, job: J) -> Result<(), Busy> {
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

impl<J> Drop for Workers<J> {
    fn drop(&mut self) {
        let mut state = self.floor.lock();
        state.closed = true;
        state.asleep.drain(..).for_each(|it| it.unpark());
    }
}

impl<J> Floor<J> {
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        // Jobs run outside the lock, so a poisoned one still guards whole values.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let own = std::thread::current();
        let mut state = self.lock();
        loop {
            let count = state.queue.len().min(BATCH_MAX);
            if count != 0 {
                let batch: Vec<J> = state.queue.drain(..count).collect();
                drop(state);
                // What the jobs owned is gone with them; what they shared guards itself.
                let acted = catch_unwind(AssertUnwindSafe(|| (self.act)(batch)));
                if let Err(panic) = acted {
                    tracing::error!(code = "internal", "a worker panicked: {}", words(&*panic));
                }
                state = self.lock();
                state.in_flight -= count;
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

    type Task = Box<dyn FnOnce() + Send>;

    fn workers(in_flight_max: usize) -> Workers<Task> {
        let run_all = |batch: Vec<Task>| batch.into_iter().for_each(|task| task());
        Workers::start(1, in_flight_max, run_all).unwrap()
    }

    fn task(act: impl FnOnce() + Send + 'static) -> Task {
        Box::new(act)
    }

    #[test]
    fn a_panic_ends_the_batch_and_not_the_worker() {
        let workers = workers(4);
        let (begun, has_begun) = mpsc::channel();
        workers
            .run(task(move || {
                begun.send(()).unwrap();
                panic!("on purpose")
            }))
            .unwrap();
        // Not in the batch that panics.
        has_begun.recv_timeout(LONG).unwrap();
        let (sender, receiver) = mpsc::channel();
        workers.run(task(move || sender.send(7).unwrap())).unwrap();
        assert_eq!(receiver.recv_timeout(LONG), Ok(7));
        assert_eq!(workers.stop(LONG), 0);
    }

    #[test]
    fn one_job_more_than_the_limit_is_refused() {
        let workers = workers(2);
        let (release, gate) = mpsc::channel::<()>();
        workers.run(task(move || assert!(gate.recv().is_err()))).unwrap();
        workers.run(task(|| ())).unwrap();
        assert!(workers.run(task(|| ())).is_err());
        drop(release);
        assert_eq!(workers.stop(LONG), 0);
        assert!(workers.run(task(|| ())).is_err(), "a stopped queue took a job");
    }

    #[test]
    fn what_waits_is_taken_together_and_no_more_than_a_batch() {
        let (sender, batches) = mpsc::channel();
        let (release, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let act = move |batch: Vec<u32>| {
            sender.send(batch).unwrap();
            let _ = gate.lock().unwrap().recv();
        };
        let workers = Workers::start(1, 100, act).unwrap();
        workers.run(0).unwrap();
        assert_eq!(batches.recv_timeout(LONG), Ok(vec![0]));
        (1..=20).for_each(|number| workers.run(number).unwrap());
        drop(release);
        assert_eq!(batches.recv_timeout(LONG), Ok((1..=16).collect()));
        assert_eq!(batches.recv_timeout(LONG), Ok((17..=20).collect()));
        assert_eq!(workers.stop(LONG), 0);
    }

    #[test]
    fn stopping_waits_for_the_jobs_in_flight_and_no_longer_than_told() {
        let workers = workers(4);
        let (release, gate) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        let (done, finished) = mpsc::channel();
        workers
            .run(task(move || {
                begun.send(()).unwrap();
                assert!(gate.recv().is_err());
                done.send(()).unwrap();
            }))
            .unwrap();
        has_begun.recv_timeout(LONG).unwrap();
        workers.run(task(|| ())).unwrap();
        assert_eq!(workers.stop(Duration::from_millis(10)), 2);
        drop(release);
        assert_eq!(finished.recv_timeout(LONG), Ok(()), "the job in hand was cancelled");
        assert_eq!(workers.stop(LONG), 0);
    }
}
