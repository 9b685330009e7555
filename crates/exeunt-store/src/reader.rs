//! The few connections that read. They never wait for the writer, nor it for them.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

use rusqlite::{Connection, Params, Row};

use crate::error::During as _;
use crate::queue::locked;
use crate::row::Why;
use crate::{StoreError, file};

/// Reads at the same time; further ones wait for one of these to end.
pub const READERS_MAX: usize = 4;

/// Rows that one call returns at most, whatever limit it was asked for.
pub const ROWS_MAX: usize = 4096;

pub(crate) struct Readers {
    path: PathBuf,
    state: Mutex<State>,
    returned: Condvar,
}

struct State {
    idle: Vec<Connection>,
    /// How many are open, idle or not.
    open: usize,
}

impl Readers {
    /// Opens the first connection, so that a file which cannot be read is noticed now.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let state = State { idle: vec![file::reader(path)?], open: 1 };
        Ok(Self { path: path.to_owned(), state: Mutex::new(state), returned: Condvar::new() })
    }

    /// Closes what is idle.
    pub(crate) fn close(&self) {
        let mut state = locked(&self.state);
        state.open -= state.idle.len();
        state.idle.clear();
    }

    /// Runs `read` in one read transaction: all its queries see the same moment.
    pub(crate) fn read<T>(
        &self,
        action: &'static str,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let conn = self.borrow()?;
        // Given back when the transaction is over, also by a panic.
        let loan = Loan { conn: Some(conn), readers: self };
        let conn = loan.conn.as_ref().expect("BUG: a loan has its connection until it is dropped");
        let transaction = conn.unchecked_transaction().during(action)?;
        let result = read(conn);
        // Nothing was written; ending a read transaction releases its place in the log.
        transaction.rollback().during(action)?;
        result
    }

    fn borrow(&self) -> Result<Connection, StoreError> {
        let mut state = locked(&self.state);
        loop {
            if let Some(conn) = state.idle.pop() {
                return Ok(conn);
            }
            if state.open < READERS_MAX {
                state.open += 1;
                drop(state);
                return file::reader(&self.path).inspect_err(|_| self.give_back(None));
            }
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, conn: Option<Connection>) {
        let mut state = locked(&self.state);
        match conn {
            Some(conn) => state.idle.push(conn),
            None => state.open -= 1,
        }
        drop(state);
        self.returned.notify_one();
    }
}

struct Loan<'a> {
    conn: Option<Connection>,
    readers: &'a Readers,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.readers.give_back(self.conn.take());
    }
}

/// All rows of a query, each as `read` makes it.
pub(crate) fn rows<T>(
    conn: &Connection,
    action: &'static str,
    sql: &str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> T,
) -> Result<Vec<T>, StoreError> {
    let mut statement = conn.prepare_cached(sql).during(action)?;
    let mut found = statement.query(params).during(action)?;
    let mut rows = Vec::new();
    while let Some(row) = found.next().during(action)? {
        rows.push(read(row));
    }
    Ok(rows)
}

/// A limit as SQL wants it, at most [`ROWS_MAX`].
pub(crate) fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit.min(ROWS_MAX)).unwrap_or(i64::MAX)
}

/// Gives what is wrong with a row the name of the row.
pub(crate) fn corrupt(row: impl std::fmt::Display) -> impl FnOnce(Why) -> StoreError {
    move |why| StoreError::CorruptRow { row: row.to_string(), why }
}
