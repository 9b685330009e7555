//! Step 8: where each exit module is in the log, who may move it, and the shelf of exceptions.

use exeunt_types::{EventSeq, ExitName, StartAt, SubjectKey, UnixMillis};
use rusqlite::Row;

use crate::reader::rows;
use crate::row::{Why, read, read_id, read_seq, read_time, read_unsigned, sql_int};
use crate::writer::Tx;
use crate::{Store, StoreError};

/// Longest [`Held::last_error`] that is kept, in octets; the rest is cut off.
pub const LAST_ERROR_OCTETS_MAX: usize = 2000;

/// The right to move a cursor, until it runs out or somebody else has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "settle under the lease, or let it run out"]
pub struct Lease {
    /// Who has it.
    pub holder: String,
    /// Fencing token: grows with every new lease, so an old one is recognised.
    pub token: u64,
    /// When it runs out.
    pub until: UnixMillis,
}

/// What became of some events, written in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// The cursor's new place.
    pub cursor: Option<EventSeq>,
    /// Events to put on the shelf, or to change there.
    pub hold: Vec<Held>,
    /// Events to take off the shelf.
    pub release: Vec<EventSeq>,
}

/// An event on a module's shelf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The event.
    pub seq: EventSeq,
    /// What it is about.
    pub subject: SubjectKey,
    /// Attempts so far.
    pub attempts: u32,
    /// What it waits for.
    pub state: HeldState,
    /// What the last attempt said; empty if there was none.
    pub last_error: String,
    /// When it came onto the shelf.
    pub first_held: UnixMillis,
}

/// What a held event waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldState {
    /// The next attempt.
    Retry {
        /// Not before.
        at: UnixMillis,
    },
    /// An earlier held event of its subject.
    Wait,
    /// An operator.
    Parked,
}

/// A row of the shelf, as far as it can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldRow {
    /// It can.
    Held(Held),
    /// It cannot; [`Store::quarantine`] moves it aside.
    Corrupt {
        /// The event.
        seq: EventSeq,
        /// What is wrong.
        why: String,
    },
}

/// A cursor, for status displays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorRow {
    /// The module, as its configuration names it; kept as text, since a newer version may allow more.
    pub exit: String,
    /// Every event up to here is settled or held.
    pub position: EventSeq,
    /// Who leads it, if anybody ever did.
    pub holder: Option<String>,
    /// End of that lease.
    pub until: UnixMillis,
}

/// A held row that was moved aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedRow {
    /// The module.
    pub exit: String,
    /// The event.
    pub seq: EventSeq,
    /// When it was moved.
    pub at: UnixMillis,
    /// What was wrong.
    pub why: String,
    /// The row as text, `column=value` with SQL literals.
    pub row: String,
}

impl Store {
    /// The cursor of a module; made at `start` when the module is new.
    ///
    /// # Errors
    ///
    /// [`StoreError::CursorMove`] when `start` lies beyond the last event.
    pub fn open_cursor(&self, exit: &ExitName, start: StartAt) -> Result<EventSeq, StoreError> {
        let exit = exit.clone();
        self.write(move |tx| {
            if let Some(position) = position(tx, &exit)? {
                return Ok(position);
            }
            let position = match start {
                StartAt::Head => tx.head(),
                StartAt::After(seq) if seq <= tx.head() => seq,
                StartAt::After(seq) => {
                    return Err(StoreError::CursorMove { from: tx.head(), to: seq });
                }
            };
            tx.execute(
                "making a cursor",
                "INSERT INTO cursor (exit, position, lease_token, lease_holder, lease_until)
                 VALUES (?1, ?2, 0, '', 0)",
                (exit.as_str(), sql_int(position.0)),
            )?;
            Ok(position)
        })
    }

    /// Takes or renews the lease of a module's cursor.
    ///
    /// A holder whose lease still runs keeps its token; everybody else gets a new one.
    ///
    /// # Errors
    ///
    /// [`StoreError::LeaseHeld`] while another holder's lease runs, [`StoreError::NoCursor`].
    pub fn lease(
        &self,
        exit: &ExitName,
        holder: &str,
        now: UnixMillis,
        until: UnixMillis,
    ) -> Result<Lease, StoreError> {
        let (exit, holder) = (exit.clone(), holder.to_owned());
        self.write(move |tx| {
            let old = current_lease(tx, &exit)?;
            let runs = now < old.until;
            let token = match (runs, old.holder == holder) {
                (true, true) => old.token,
                (true, false) => {
                    return Err(StoreError::LeaseHeld { holder: old.holder, until: old.until });
                }
                (false, _) => old.token + 1,
            };
            tx.execute(
                "taking a lease",
                "UPDATE cursor SET lease_token = ?2, lease_holder = ?3, lease_until = ?4
                 WHERE exit = ?1",
                (exit.as_str(), sql_int(token), &holder, until.0),
            )?;
            Ok(Lease { holder: holder.clone(), token, until })
        })
    }

    /// Writes down what became of events, all of it or nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::LeaseLost`] when the lease is not the newest, [`StoreError::CursorMove`] when
    /// the cursor would go back or past the last event, or an event that is not there would be held.
    pub fn settle(
        &self,
        exit: &ExitName,
        lease: &Lease,
        settlement: Settlement,
    ) -> Result<(), StoreError> {
        let (exit, token) = (exit.clone(), lease.token);
        self.write(move |tx| {
            check_token(tx, &exit, token)?;
            if let Some(to) = settlement.cursor {
                let from =
                    position(tx, &exit)?.ok_or_else(|| StoreError::NoCursor(exit.clone()))?;
                if to < from || tx.head() < to {
                    return Err(StoreError::CursorMove { from, to });
                }
                tx.execute(
                    "moving a cursor",
                    "UPDATE cursor SET position = ?2 WHERE exit = ?1",
                    (exit.as_str(), sql_int(to.0)),
                )?;
            }
            for seq in &settlement.release {
                tx.execute(
                    "releasing an event",
                    "DELETE FROM held WHERE exit = ?1 AND seq = ?2",
                    (exit.as_str(), sql_int(seq.0)),
                )?;
            }
            let from = tx.head();
            for held in &settlement.hold {
                if held.seq == EventSeq(0) || from < held.seq {
                    return Err(StoreError::CursorMove { from, to: held.seq });
                }
                hold(tx, &exit, held)?;
            }
            Ok(())
        })
    }

    /// The shelf of a module, in the order of the log.
    ///
    /// # Errors
    ///
    /// The shelf itself cannot be read; a single bad row is [`HeldRow::Corrupt`].
    pub fn held(&self, exit: &ExitName) -> Result<Vec<HeldRow>, StoreError> {
        self.held_first(exit, usize::MAX)
    }

    /// The first `limit` rows of a module's shelf, in the order of the log.
    ///
    /// # Errors
    ///
    /// As [`Store::held`].
    pub fn held_first(&self, exit: &ExitName, limit: usize) -> Result<Vec<HeldRow>, StoreError> {
        let action = "reading the shelf";
        let sql = "SELECT seq, request, attempts, state, retry_at, first_held, last_error
                   FROM held WHERE exit = ?1 ORDER BY seq LIMIT ?2";
        let params = (exit.as_str(), i64::try_from(limit).unwrap_or(i64::MAX));
        self.inner.readers.read(action, |conn| {
            rows(conn, action, sql, params, |row| match read_held(row) {
                Ok(held) => HeldRow::Held(held),
                Err(why) => HeldRow::Corrupt { seq: read_seq(row, 0).unwrap_or(EventSeq(0)), why },
            })
        })
    }

    /// Moves a row of the shelf that cannot be read to the quarantine, as text. `true` when there
    /// was one to move.
    ///
    /// # Errors
    ///
    /// The row is still where it was.
    pub fn quarantine(
        &self,
        exit: &ExitName,
        seq: EventSeq,
        why: &str,
        at: UnixMillis,
    ) -> Result<bool, StoreError> {
        let (exit, why) = (exit.clone(), cut(why).to_owned());
        self.write(move |tx| {
            let action = "moving a row to the quarantine";
            tx.execute(
                action,
                "INSERT OR REPLACE INTO quarantine (exit, seq, at, why, row)
                 SELECT exit, seq, ?3, ?4,
                        'request=' || quote(request) || ' attempts=' || quote(attempts) ||
                        ' state=' || quote(state) || ' retry_at=' || quote(retry_at) ||
                        ' first_held=' || quote(first_held) || ' last_error=' || quote(last_error)
                 FROM held WHERE exit = ?1 AND seq = ?2",
                (exit.as_str(), sql_int(seq.0), at.0, &why),
            )?;
            let moved = tx.execute(
                action,
                "DELETE FROM held WHERE exit = ?1 AND seq = ?2",
                (exit.as_str(), sql_int(seq.0)),
            )?;
            Ok(moved == 1)
        })
    }

    /// What is in the quarantine.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn quarantined(&self) -> Result<Vec<QuarantinedRow>, StoreError> {
        let action = "reading the quarantine";
        let sql = "SELECT exit, seq, at, why, row FROM quarantine ORDER BY exit, seq";
        self.all(action, sql, "a row of the quarantine", |row| {
            Ok(QuarantinedRow {
                exit: read(row, 0)?,
                seq: read_seq(row, 1)?,
                at: read_time(row, 2)?,
                why: read(row, 3)?,
                row: read(row, 4)?,
            })
        })
    }

    /// All cursors, by name, also those of modules that are no longer configured.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub fn cursors(&self) -> Result<Vec<CursorRow>, StoreError> {
        let action = "reading cursors";
        let sql = "SELECT exit, position, lease_holder, lease_until FROM cursor ORDER BY exit";
        self.all(action, sql, "a cursor", |row| {
            Ok(CursorRow {
                exit: read(row, 0)?,
                position: read_seq(row, 1)?,
                holder: Some(read::<String>(row, 2)?).filter(|it| !it.is_empty()),
                until: read_time(row, 3)?,
            })
        })
    }

    fn all<T>(
        &self,
        action: &'static str,
        sql: &str,
        noun: &str,
        read: fn(&Row<'_>) -> Result<T, Why>,
    ) -> Result<Vec<T>, StoreError> {
        let found = self.inner.readers.read(action, |conn| rows(conn, action, sql, [], read))?;
        let read: Result<Vec<T>, Why> = found.into_iter().collect();
        read.map_err(crate::reader::corrupt(noun))
    }
}

fn position(tx: &Tx<'_>, exit: &ExitName) -> Result<Option<EventSeq>, StoreError> {
    let sql = "SELECT position FROM cursor WHERE exit = ?1";
    tx.query_one("reading a cursor", sql, [exit.as_str()], |row| Ok(read_seq(row, 0)))?
        .transpose()
        .map_err(crate::reader::corrupt(format!("cursor of {exit}")))
}

fn current_lease(tx: &Tx<'_>, exit: &ExitName) -> Result<Lease, StoreError> {
    let sql = "SELECT lease_holder, lease_token, lease_until FROM cursor WHERE exit = ?1";
    let found = tx.query_one("reading a lease", sql, [exit.as_str()], |row| {
        let lease = || {
            let token = read_unsigned(row, 1)?;
            Ok(Lease { holder: read(row, 0)?, token, until: read_time(row, 2)? })
        };
        Ok(lease())
    })?;
    found
        .ok_or_else(|| StoreError::NoCursor(exit.clone()))?
        .map_err(crate::reader::corrupt(format!("cursor of {exit}")))
}

fn check_token(tx: &Tx<'_>, exit: &ExitName, token: u64) -> Result<(), StoreError> {
    if current_lease(tx, exit)?.token == token {
        Ok(())
    } else {
        Err(StoreError::LeaseLost(exit.clone()))
    }
}

fn hold(tx: &Tx<'_>, exit: &ExitName, held: &Held) -> Result<(), StoreError> {
    let request = match held.subject {
        SubjectKey::Request(id) => Some(sql_int(id.0)),
        SubjectKey::Server => None,
    };
    let (state, retry_at) = match held.state {
        HeldState::Retry { at } => (0, Some(at.0)),
        HeldState::Wait => (1, None),
        HeldState::Parked => (2, None),
    };
    tx.execute(
        "holding an event",
        "INSERT OR REPLACE INTO held
             (exit, seq, request, attempts, state, retry_at, first_held, last_error)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        (
            exit.as_str(),
            sql_int(held.seq.0),
            request,
            held.attempts,
            state,
            retry_at,
            held.first_held.0,
            cut(&held.last_error),
        ),
    )?;
    Ok(())
}

fn read_held(row: &Row<'_>) -> Result<Held, Why> {
    let subject = match read::<Option<i64>>(row, 1)? {
        Some(_) => read_id(row, 1).map(SubjectKey::Request)?,
        None => SubjectKey::Server,
    };
    let state = match read::<i64>(row, 3)? {
        0 => HeldState::Retry { at: read_time(row, 4)? },
        1 => HeldState::Wait,
        2 => HeldState::Parked,
        other => return Err(format!("unknown state {other}")),
    };
    Ok(Held {
        seq: read_seq(row, 0)?,
        subject,
        attempts: read(row, 2)?,
        state,
        last_error: read(row, 6)?,
        first_held: read_time(row, 5)?,
    })
}

/// As much of the text as is kept.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LAST_ERROR_OCTETS_MAX)]
}
