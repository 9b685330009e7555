//! How callers hand their writes to the writer thread, and how they are answered.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

use crate::StoreError;
use crate::writer::Tx;

/// Writes that may wait at once. Callers block, so this is a bound on their threads; beyond it the
/// store answers [`StoreError::Busy`].
pub const QUEUE_MAX: usize = 16_384;

/// Writes that share one commit at most. It bounds how long the first of them waits for the last.
pub const BATCH_MAX: usize = 512;

/// One write, as the writer thread sees it.
pub(crate) trait Job: Send {
    /// Does the work inside the open transaction. Runs again when the batch had to be rolled back.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError>;

    /// Tells the caller: what [`Job::run`] made, or the failure. After the commit, and only once.
    fn answer(&mut self, failure: Option<StoreError>);
}

/// A queue with many callers and one writer.
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

struct State {
    jobs: VecDeque<Box<dyn Job>>,
    open: bool,
    /// Whether the writer sleeps; waking one that does not would be a system call for nothing.
    writer_waits: bool,
}

impl Queue {
    pub(crate) fn new() -> Self {
        let state = State { jobs: VecDeque::new(), open: true, writer_waits: false };
        Self { state: Mutex::new(state), arrived: Condvar::new() }
    }

    /// Has `act` run in the next transaction. [`Pending::wait`] tells when that is durable.
    pub(crate) fn start<T, F>(&self, act: F) -> Result<Pending<T>, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let slot = Arc::new(Slot { answer: Mutex::new(None), caller: std::thread::current() });
        let job = Work { act, value: None, reply: Reply(Some(Arc::clone(&slot))) };
        self.push(Box::new(job))?;
        Ok(Pending { slot, not_send: PhantomData })
    }

    fn push(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        let mut state = locked(&self.state);
        if !state.open {
            return Err(StoreError::Closed);
        }
        if QUEUE_MAX <= state.jobs.len() {
            return Err(StoreError::Busy);
        }
        state.jobs.push_back(job);
        let wake = std::mem::take(&mut state.writer_waits);
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Moves what waits into `batch`, at most [`BATCH_MAX`]; sleeps until there is something.
    /// `false` when the queue is closed and empty.
    pub(crate) fn take(&self, batch: &mut Vec<Box<dyn Job>>) -> bool {
        let mut state = locked(&self.state);
        loop {
            if !state.jobs.is_empty() {
                let count = state.jobs.len().min(BATCH_MAX);
                batch.extend(state.jobs.drain(..count));
                return true;
            }
            if !state.open {
                return false;
            }
            state.writer_waits = true;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Refuses further writes; what waits is still done.
    pub(crate) fn close(&self) {
        locked(&self.state).open = false;
        self.arrived.notify_one();
    }

    /// Refuses further writes, and answers those that wait with [`StoreError::Closed`].
    pub(crate) fn abort(&self) {
        let mut state = locked(&self.state);
        state.open = false;
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        drop(jobs);
    }
}

/// A write on its way. Only the thread that started it can wait for it, because that is the thread
/// that the writer wakes; the compiler sees to it. Dropping it does not take the write back.
#[must_use = "a write is no fact before it was waited for"]
pub struct Pending<T> {
    slot: Arc<Slot<T>>,
    not_send: PhantomData<*const ()>,
}

impl<T> Pending<T> {
    /// Blocks until the write is durable, or has failed.
    ///
    /// # Errors
    ///
    /// Those of the method that started it.
    pub fn wait(self) -> Result<T, StoreError> {
        loop {
            // Parking may end for no reason, so the slot decides.
            if let Some(answer) = locked(&self.slot.answer).take() {
                return answer;
            }
            std::thread::park();
        }
    }
}

impl<T> std::fmt::Debug for Pending<T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Pending")
    }
}

/// Where a caller waits for its answer.
struct Slot<T> {
    answer: Mutex<Option<Result<T, StoreError>>>,
    caller: Thread,
}

/// The writer's end of a slot. A job that is dropped unanswered, because the writer died, still wakes
/// its caller.
struct Reply<T>(Option<Arc<Slot<T>>>);

impl<T> Reply<T> {
    fn send(&mut self, answer: Result<T, StoreError>) {
        if let Some(slot) = self.0.take() {
            *locked(&slot.answer) = Some(answer);
            slot.caller.unpark();
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.send(Err(StoreError::Closed));
    }
}

struct Work<T, F> {
    act: F,
    value: Option<T>,
    reply: Reply<T>,
}

impl<T, F> Job for Work<T, F>
where
    T: Send,
    F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.value = Some((self.act)(tx)?);
        Ok(())
    }

    fn answer(&mut self, failure: Option<StoreError>) {
        let answer = match failure {
            Some(failure) => Err(failure),
            None => self.value.take().ok_or(StoreError::Closed),
        };
        self.reply.send(answer);
    }
}

/// Locks, whatever happened to an earlier holder: every critical section here leaves the data whole.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Job for Nothing {
        fn run(&mut self, _: &mut Tx<'_>) -> Result<(), StoreError> {
            Ok(())
        }
        fn answer(&mut self, _: Option<StoreError>) {}
    }

    #[test]
    fn a_full_queue_is_busy_and_a_batch_is_bounded() {
        let queue = Queue::new();
        for _ in 0..QUEUE_MAX {
            queue.push(Box::new(Nothing)).unwrap();
        }
        assert!(matches!(queue.push(Box::new(Nothing)), Err(StoreError::Busy)));
        let mut batch = Vec::new();
        assert!(queue.take(&mut batch));
        assert_eq!(batch.len(), BATCH_MAX);
        queue.push(Box::new(Nothing)).unwrap();
    }

    #[test]
    fn a_closed_queue_is_emptied_and_takes_nothing_more() {
        let queue = Queue::new();
        queue.push(Box::new(Nothing)).unwrap();
        queue.close();
        assert!(matches!(queue.push(Box::new(Nothing)), Err(StoreError::Closed)));
        let mut batch = Vec::new();
        assert!(queue.take(&mut batch));
        batch.clear();
        assert!(!queue.take(&mut batch));
    }

    #[test]
    fn callers_are_woken_when_the_writer_dies() {
        let queue = Queue::new();
        std::thread::scope(|scope| {
            let caller = scope.spawn(|| queue.start(|_| Ok(())).and_then(Pending::wait));
            let mut batch = Vec::new();
            assert!(queue.take(&mut batch));
            drop(batch);
            assert!(matches!(caller.join().unwrap(), Err(StoreError::Closed)));
            let waiting = scope.spawn(|| queue.start(|_| Ok(())).and_then(Pending::wait));
            while !waiting.is_finished() {
                queue.abort();
                std::thread::yield_now();
            }
            assert!(matches!(waiting.join().unwrap(), Err(StoreError::Closed)));
        });
    }
}
