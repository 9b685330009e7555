//! Moves the write-ahead log into the database file without making the writer wait.
//!
//! A thread of its own copies the bulk (`PASSIVE`) while the writer goes on appending. Since the
//! writer never pauses, such a checkpoint alone never reaches the end of the log, and the log would grow
//! for ever. So when the bulk is done the writer copies the short rest between two batches, after
//! which `SQLite` starts the log from the beginning.

use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use crate::error::During as _;
use crate::queue::locked;
use crate::{StoreError, file};

/// Length of the log, in pages of 4 KiB, from which on it is moved. Pages that are written again and
/// again (the end of each table) are then copied once per 64 MiB of log.
const LOG_PAGES: i32 = 16_384;
/// How much longer the log gets before the next attempt, when readers kept it from being restarted.
const LOG_PAGES_MORE: i32 = 4096;
/// How long the writer waits for readers that still use the log; they read for about a millisecond.
const RESTART_PATIENCE: Duration = Duration::from_millis(5);

/// The writer's end.
pub(crate) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Length of the log after the last commit, told by a hook of the writer's connection.
    log_pages: Arc<AtomicI32>,
    next_at: i32,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Wanted,
    BulkDone,
    Stop,
}

impl Checkpointer {
    /// Starts the thread and counts the commits of `writer`.
    pub(crate) fn start(path: &Path, writer: &mut Connection) -> Result<Self, StoreError> {
        let conn = file::checkpointer(path)?;
        let log_pages = Arc::new(AtomicI32::new(0));
        let hook_pages = Arc::clone(&log_pages);
        writer
            .wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
                hook_pages.store(pages, Ordering::Relaxed);
                Ok(())
            }))
            .during("preparing the writer")?;
        let shared = Arc::new(Shared { state: Mutex::new(State::Idle), changed: Condvar::new() });
        let thread_shared = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || thread_shared.run(&conn))
            .map_err(|err| StoreError::io("starting a thread", err))?;
        Ok(Self { shared, thread: Some(thread), log_pages, next_at: LOG_PAGES })
    }

    /// Called by the writer between two batches.
    pub(crate) fn after_batch(&mut self, writer: &Connection) {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages < self.next_at {
            return;
        }
        let mut state = locked(&self.shared.state);
        match *state {
            State::Idle => {
                *state = State::Wanted;
                drop(state);
                self.shared.changed.notify_one();
            }
            State::BulkDone => {
                *state = State::Idle;
                drop(state);
                self.next_at = match restart(writer) {
                    Ok(true) => LOG_PAGES,
                    Ok(false) => pages.saturating_add(LOG_PAGES_MORE),
                    Err(err) => {
                        tracing::warn!(code = err.code(), error = %err, "checkpoint failed");
                        pages.saturating_add(LOG_PAGES_MORE)
                    }
                };
            }
            State::Wanted | State::Stop => (),
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        *locked(&self.shared.state) = State::Stop;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic over there was reported by its hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, conn: &Connection) {
        let mut state = locked(&self.state);
        loop {
            match *state {
                State::Stop => return,
                State::Wanted => {
                    drop(state);
                    if let Err(err) = checkpoint(conn, "PRAGMA wal_checkpoint(PASSIVE)") {
                        tracing::warn!(code = err.code(), error = %err, "checkpoint failed");
                    }
                    state = locked(&self.state);
                    if *state == State::Wanted {
                        *state = State::BulkDone;
                    }
                }
                State::Idle | State::BulkDone => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

/// Copies the rest of the log and has it begin anew; `false` when readers still use it.
fn restart(writer: &Connection) -> Result<bool, StoreError> {
    let action = "restarting the log";
    writer.busy_timeout(RESTART_PATIENCE).during(action)?;
    let done = checkpoint(writer, "PRAGMA wal_checkpoint(RESTART)");
    writer.busy_timeout(file::BUSY_TIMEOUT).during(action)?;
    done
}

/// Runs one checkpoint; `false` when it had to stop early because of readers.
pub(crate) fn checkpoint(conn: &Connection, sql: &'static str) -> Result<bool, StoreError> {
    conn.query_row(sql, [], |row| row.get::<_, i64>(0))
        .map(|busy| busy == 0)
        .during("checkpointing")
}
