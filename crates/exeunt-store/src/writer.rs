//! The one thread that writes. It takes all writes that wait, runs them in one transaction, commits,
//! and answers all: one fsync serves many callers (group commit).
//!
//! It does not linger for more: while one commit is being made durable the next batch gathers by
//! itself.

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use exeunt_types::{
    Disposition, EventKind, EventSeq, RequestId, Revocation, StatusCode, UnixMillis,
};
use rusqlite::{Connection, OptionalExtension as _, Params};

use crate::audit::chain::Trail;
use crate::checkpoint::Checkpointer;
use crate::error::During as _;
use crate::log::Head;
use crate::queue::{Job, Queue, locked};
use crate::row::sql_int;
use crate::watch::Watch;
use crate::{StoreError, file};

/// An open transaction, as a job sees it.
pub(crate) struct Tx<'a> {
    conn: &'a Connection,
    /// Last event of the log, with those of this transaction.
    head: u64,
    tally: Tally,
    /// The end of the audit trail, with the rows of this transaction. In a cell, so that whoever only
    /// needs to write a row beside what it does can share the transaction.
    pub(crate) trail: Cell<Trail>,
}

/// The request that an event is about, as it is at that moment.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) request: RequestId,
    pub(crate) disposition: Disposition,
    pub(crate) status: StatusCode,
    pub(crate) message: &'a str,
    pub(crate) revocation: Option<Revocation>,
}

/// By how much this transaction changes the number of requests per disposition.
type Tally = [i64; DISPOSITIONS.len()];

const DISPOSITIONS: [Disposition; 7] = Disposition::ALL;

impl Tx<'_> {
    /// Runs a statement that changes rows; returns how many.
    pub(crate) fn execute(
        &self,
        action: &'static str,
        sql: &'static str,
        params: impl Params,
    ) -> Result<usize, StoreError> {
        self.conn.prepare_cached(sql).and_then(|mut it| it.execute(params)).during(action)
    }

    /// The first row of a query, if there is one.
    pub(crate) fn query_one<T>(
        &self,
        action: &'static str,
        sql: &'static str,
        params: impl Params,
        read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = self.conn.prepare_cached(sql).during(action)?;
        statement.query_row(params, read).optional().during(action)
    }

    /// The connection, for queries of many rows.
    pub(crate) fn conn(&self) -> &Connection {
        self.conn
    }

    /// Row number that the last insertion got.
    pub(crate) fn last_id(&self) -> u64 {
        self.conn.last_insert_rowid().unsigned_abs()
    }

    /// The last event of the log, with those of this transaction.
    pub(crate) fn head(&self) -> EventSeq {
        EventSeq(self.head)
    }

    /// Appends an event; the numbers are given here and nowhere else, so they have no gaps.
    pub(crate) fn append(
        &mut self,
        kind: EventKind,
        at: UnixMillis,
        about: Option<About<'_>>,
        detail: Option<&str>,
    ) -> Result<EventSeq, StoreError> {
        let seq = self.head + 1;
        let revocation = about.and_then(|it| it.revocation);
        self.execute(
            "appending an event",
            "INSERT INTO event (seq, kind, at, request, disposition, status, message, detail,
                                revoked_reason, revoked_ran, revoked_effective)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            (
                sql_int(seq),
                kind.bit(),
                at.0,
                about.map(|it| sql_int(it.request.0)),
                about.map(|it| it.disposition.code()),
                about.map(|it| it.status.0),
                about.map(|it| it.message),
                detail,
                revocation.map(|it| it.reason_code()),
                revocation.map(|it| it.ran.0),
                revocation.map(|it| it.effective.0),
            ),
        )?;
        self.head = seq;
        Ok(EventSeq(seq))
    }

    /// Leaves event numbers out: the next one is that many further on.
    pub(crate) fn leave_out(&mut self, events: u64) {
        self.head = self.head.saturating_add(events);
    }

    /// Notes that a request came into `to`, out of `from` unless it is new.
    pub(crate) fn count_move(&mut self, from: Option<Disposition>, to: Disposition) {
        for (disposition, delta) in DISPOSITIONS.iter().zip(&mut self.tally) {
            *delta += i64::from(*disposition == to) - i64::from(Some(*disposition) == from);
        }
    }

    fn write_tally(&self) -> Result<(), StoreError> {
        for (disposition, delta) in DISPOSITIONS.iter().zip(self.tally) {
            if delta != 0 {
                self.execute(
                    "counting requests",
                    "INSERT INTO tally (disposition, requests) VALUES (?1, ?2)
                     ON CONFLICT (disposition) DO UPDATE SET requests = requests + excluded.requests",
                    (disposition.code(), delta),
                )?;
            }
        }
        Ok(())
    }
}

/// Code of what the last commit failed with; none where it did not.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Mutex<Option<&'static str>>);

impl Trouble {
    fn set(&self, code: Option<&'static str>) {
        *locked(&self.0) = code;
    }

    pub(crate) fn get(&self) -> Option<&'static str> {
        *locked(&self.0)
    }
}

/// What the writer thread owns.
pub(crate) struct Writer {
    // Before the connection, which must be the last one to close.
    pub(crate) checkpointer: Checkpointer,
    pub(crate) conn: Connection,
    pub(crate) watch: Watch,
    pub(crate) head: Arc<Head>,
    /// The end of the audit trail as it was committed.
    pub(crate) trail: Trail,
    /// The filter of the audit trail, for callers who would prepare what nobody writes.
    pub(crate) filter: Arc<AtomicU8>,
    /// Code of what the last commit failed with, for whoever asks.
    pub(crate) trouble: Arc<Trouble>,
    /// Why nothing is written any more.
    pub(crate) failed: Option<StoreError>,
}

impl Writer {
    /// Serves the queue until it is closed.
    pub(crate) fn run(mut self, queue: &Queue) {
        /// Ends the waiting of callers when the thread ends, also by a panic.
        struct Farewell<'a>(&'a Queue);
        impl Drop for Farewell<'_> {
            fn drop(&mut self) {
                self.0.abort();
            }
        }
        let _farewell = Farewell(queue);
        let mut batch = Vec::new();
        while queue.take(&mut batch) {
            self.serve(&mut batch);
            batch.clear();
            self.checkpointer.after_batch(&self.conn);
        }
        self.part();
    }

    /// Has the closing connection empty the log into the file, unless that was tampered with.
    fn part(&mut self) {
        if self.failed.is_none()
            && self.watch.check().is_ok()
            && let Err(err) = file::checkpoint_on_close(&self.conn, true)
        {
            tracing::warn!(code = err.code(), error = %err, "the log is left behind");
        }
    }

    /// Commits a batch and answers its jobs.
    fn serve(&mut self, batch: &mut [Box<dyn Job>]) {
        let outcome = match &self.failed {
            Some(failed) => Err(failed.clone()),
            None => self.commit_batch(batch).inspect_err(|err| {
                if err.is_final() {
                    self.failed = Some(err.clone());
                }
                // Once: whoever writes from now on is told by the answer.
                if self.failed.is_some() {
                    tracing::error!(code = err.code(), error = %err, "store stops writing");
                }
            }),
        };
        self.trouble.set(match &outcome {
            Err(err) => Some(err.code()),
            // What the file itself refuses a caller is no fault of his.
            Ok(culprits) => culprits
                .iter()
                .flatten()
                .find(|it| matches!(it, StoreError::Sql { .. }))
                .map(StoreError::code),
        });
        match outcome {
            Ok(culprits) => {
                for (job, culprit) in batch.iter_mut().zip(culprits) {
                    job.answer(culprit);
                }
            }
            Err(err) => {
                for job in batch {
                    job.answer(Some(err.clone()));
                }
            }
        }
    }

    /// One transaction for the batch. Returns per job why it is not part of it; on `Err` none is.
    fn commit_batch(
        &mut self,
        batch: &mut [Box<dyn Job>],
    ) -> Result<Vec<Option<StoreError>>, StoreError> {
        self.watch.check()?;
        let committed = self.transact(batch);
        if committed.is_err() {
            self.roll_back();
        }
        let (head, trail, culprits) = committed?;
        // Asked again, because what was deleted in between took the commit with it. Now nothing
        // has been answered yet. Where there is no answer, whether the batch is durable is unknown:
        // it is not claimed, and nothing is numbered after it.
        if let Err(err) = self.watch.check() {
            self.failed = Some(err.clone());
            return Err(err);
        }
        self.trail = trail;
        self.filter.store(trail.filter.0, Ordering::Relaxed);
        self.head.publish(head);
        Ok(culprits)
    }

    fn transact(
        &mut self,
        batch: &mut [Box<dyn Job>],
    ) -> Result<(EventSeq, Trail, Vec<Option<StoreError>>), StoreError> {
        self.statement("BEGIN IMMEDIATE")?;
        let mut tx = Tx {
            conn: &self.conn,
            head: self.head.get().0,
            tally: Tally::default(),
            trail: Cell::new(self.trail),
        };
        let mut culprits = vec![None; batch.len()];
        if let Err(err) = batch.iter_mut().try_for_each(|job| job.run(&mut tx)) {
            if err.is_of_the_file() {
                return Err(err);
            }
            // Somebody is to blame: from the beginning, with a savepoint around each, so that the
            // others still share this commit.
            self.statement("ROLLBACK")?;
            self.statement("BEGIN IMMEDIATE")?;
            tx.head = self.head.get().0;
            tx.tally = Tally::default();
            tx.trail.set(self.trail);
            for (job, culprit) in batch.iter_mut().zip(&mut culprits) {
                *culprit = self.run_apart(job.as_mut(), &mut tx)?;
            }
        }
        tx.write_tally()?;
        let (head, trail) = (tx.head(), tx.trail.get());
        self.statement("COMMIT")?;
        Ok((head, trail, culprits))
    }

    /// Runs a job so that its failure undoes itself only; returns that failure.
    fn run_apart(
        &self,
        job: &mut dyn Job,
        tx: &mut Tx<'_>,
    ) -> Result<Option<StoreError>, StoreError> {
        let before = (tx.head, tx.tally, tx.trail.get());
        self.statement("SAVEPOINT job")?;
        let failure = match job.run(tx) {
            Ok(()) => None,
            Err(err) if err.is_of_the_file() => return Err(err),
            Err(err) => {
                (tx.head, tx.tally) = (before.0, before.1);
                tx.trail.set(before.2);
                self.statement("ROLLBACK TO job")?;
                Some(err)
            }
        };
        self.statement("RELEASE job")?;
        Ok(failure)
    }

    fn roll_back(&self) {
        // `SQLite` itself rolls back after most failures of the file.
        if !self.conn.is_autocommit()
            && let Err(err) = self.statement("ROLLBACK")
        {
            tracing::error!(code = err.code(), error = %err, "rolling back failed");
        }
    }

    fn statement(&self, sql: &'static str) -> Result<(), StoreError> {
        let done = self.conn.prepare_cached(sql).and_then(|mut it| it.execute([]));
        done.map(|_| ()).during("committing")
    }
}
