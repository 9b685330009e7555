//! Step 8: moving a cursor, and the shelf of events that are not settled yet.

use exeunt_types::{EventKind, EventSeq, ExitName, SubjectKey, UnixMillis};
use rusqlite::Row;

use crate::cursor::{Place, checked_place, end_replay};
use crate::log::detail_text;
use crate::reader::{corrupt, rows};
use crate::row::{Why, read, read_id, read_seq, read_time, sql_int};
use crate::writer::Tx;
use crate::{Lease, Store, StoreError};

/// Longest [`Held::last_error`] that is kept, in octets; the rest is cut off.
pub const LAST_ERROR_OCTETS_MAX: usize = 2000;

/// What became of some events, written in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// The cursor's new place.
    pub cursor: Option<EventSeq>,
    /// Events to put on the shelf, or to change there.
    pub hold: Vec<Held>,
    /// Events to take off the shelf.
    pub release: Vec<EventSeq>,
    /// Events about the server that tell of this settlement; appended in the same transaction.
    pub announce: Vec<Announcement>,
}

/// An event about the server, to be appended with what it tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// What happened.
    pub kind: EventKind,
    /// When.
    pub at: UnixMillis,
    /// What it says, as name and value; cut as [`Store::append_event`] does.
    pub detail: Vec<(String, String)>,
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
    /// Writes down what became of events, all of it or nothing; returns where the cursor stands now.
    ///
    /// That is not always where it was sent: when it reaches the last event of a replay, the replay
    /// ends in the same transaction, and the cursor stands where it stood before the replay.
    ///
    /// # Errors
    ///
    /// [`StoreError::LeaseLost`] when the lease is not the newest, [`StoreError::CursorMove`] when
    /// the cursor would go back, past the last event or past the end of a replay, or an event that
    /// is not there would be held.
    pub fn settle(
        &self,
        exit: &ExitName,
        lease: &Lease,
        settlement: Settlement,
    ) -> Result<EventSeq, StoreError> {
        let (exit, token) = (exit.clone(), lease.token);
        self.write(move |tx| {
            let Place { mut position, replay, .. } = checked_place(tx, &exit, token)?;
            if let Some(to) = settlement.cursor {
                let last = replay.map_or(tx.head(), |it| it.to);
                if to < position || last < to {
                    return Err(StoreError::CursorMove { from: position, to });
                }
                position = match replay {
                    Some(replay) if to == replay.to => end_replay(tx, &exit, replay)?,
                    _ => {
                        tx.execute(
                            "moving a cursor",
                            "UPDATE cursor SET position = ?2 WHERE exit = ?1",
                            (exit.as_str(), sql_int(to.0)),
                        )?;
                        to
                    }
                };
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
            for announcement in &settlement.announce {
                let detail = detail_text(&announcement.detail);
                tx.append(announcement.kind, announcement.at, None, detail.as_deref())?;
            }
            Ok(position)
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
        let found = self.inner.readers.read(action, |conn| {
            rows(conn, action, sql, [], |row| {
                Ok(QuarantinedRow {
                    exit: read(row, 0)?,
                    seq: read_seq(row, 1)?,
                    at: read_time(row, 2)?,
                    why: read(row, 3)?,
                    row: read(row, 4)?,
                })
            })
        })?;
        let read: Result<Vec<_>, Why> = found.into_iter().collect();
        read.map_err(corrupt("a row of the quarantine"))
    }
}

/// Subjects that are no request, in the column of requests, which count from 1. None is the server.
const SUBJECT_CRL: i64 = -1;
const SUBJECT_CA: i64 = -2;

fn hold(tx: &Tx<'_>, exit: &ExitName, held: &Held) -> Result<(), StoreError> {
    let request = match held.subject {
        SubjectKey::Request(id) => Some(sql_int(id.0)),
        SubjectKey::Server => None,
        SubjectKey::Crl => Some(SUBJECT_CRL),
        SubjectKey::Ca => Some(SUBJECT_CA),
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
        Some(SUBJECT_CRL) => SubjectKey::Crl,
        Some(SUBJECT_CA) => SubjectKey::Ca,
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
