//! Where each exit module is in the log, who may move it, and going back for a while (replay).

use exeunt_types::{EventSeq, ExitName, StartAt, UnixMillis};
use rusqlite::Row;

use crate::reader::{corrupt, rows};
use crate::row::{Why, read, read_seq, read_time, read_unsigned, sql_int};
use crate::writer::Tx;
use crate::{Store, StoreError};

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

/// A cursor as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorRow {
    /// The module, as its configuration names it; kept as text, since a newer version may allow more.
    pub exit: String,
    /// Every event up to here is settled or held; during a replay, up to here it was told again.
    pub position: EventSeq,
    /// Position at which it was made; 0 also for cursors of schema version 1, which did not note it.
    pub started: EventSeq,
    /// The replay that runs, if one does.
    pub replay: Option<Replay>,
    /// Who leads it, if anybody ever did.
    pub holder: Option<String>,
    /// End of that lease; 0 when it was given back.
    pub until: UnixMillis,
}

/// A replay: a cursor that was set back, so that events are told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The last event that is told again.
    pub to: EventSeq,
    /// Where the cursor goes on after it.
    pub resume_at: EventSeq,
}

/// What went with a cursor that was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Events on its shelf, those parked among them.
    pub held: u64,
    /// Those of them that waited for an operator.
    pub parked: u64,
}

/// Columns of [`read_cursor`], in its order.
const CURSORS: &str =
    "SELECT exit, position, lease_holder, lease_until, started, replay_to, resume_at
     FROM cursor ORDER BY exit";
const CURSOR: &str =
    "SELECT exit, position, lease_holder, lease_until, started, replay_to, resume_at
     FROM cursor WHERE exit = ?1";

impl Store {
    /// The cursor of a module; made at `start` when the module is new.
    ///
    /// # Errors
    ///
    /// [`StoreError::CursorMove`] when `start` lies beyond the last event.
    pub fn open_cursor(&self, exit: &ExitName, start: StartAt) -> Result<EventSeq, StoreError> {
        let exit = exit.clone();
        self.write(move |tx| {
            match place(tx, &exit) {
                Ok(place) => return Ok(place.position),
                Err(StoreError::NoCursor(_)) => (),
                Err(err) => return Err(err),
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
                "INSERT INTO cursor (exit, position, lease_token, lease_holder, lease_until, started)
                 SELECT ?1, ?2, lease_floor, '', 0, ?2 FROM meta WHERE id = 1",
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

    /// Gives a lease back before its end, so that whoever comes next need not wait for that. Nobody
    /// can settle under it any more, not even its holder.
    ///
    /// # Errors
    ///
    /// [`StoreError::LeaseLost`] when it is not the newest, [`StoreError::NoCursor`]. Nobody needs
    /// to wait in either case.
    pub fn release_lease(&self, exit: &ExitName, lease: &Lease) -> Result<(), StoreError> {
        let (exit, token) = (exit.clone(), lease.token);
        self.write(move |tx| {
            checked_place(tx, &exit, token)?;
            // The next token, so that this one is worth nothing from now on.
            tx.execute(
                "giving a lease back",
                "UPDATE cursor SET lease_token = lease_token + 1, lease_until = 0 WHERE exit = ?1",
                [exit.as_str()],
            )?;
            Ok(())
        })
    }

    /// Sets a cursor back so that the events `from` to `to` are told again; returns the new
    /// position, the one before `from`.
    ///
    /// The cursor then moves forward as always, but not past `to`. The [`Store::settle`] that brings
    /// it there ends the replay: the cursor goes on where it was. The shelf stays as it is.
    ///
    /// # Errors
    ///
    /// [`StoreError::ReplayRuns`] while one runs; [`StoreError::ReplayRange`] when the range is
    /// empty, begins with 0, or ends after the cursor: what was not told yet needs no replay.
    /// [`StoreError::LeaseLost`], [`StoreError::NoCursor`].
    pub fn start_replay(
        &self,
        exit: &ExitName,
        lease: &Lease,
        from: EventSeq,
        to: EventSeq,
    ) -> Result<EventSeq, StoreError> {
        let (exit, token) = (exit.clone(), lease.token);
        self.write(move |tx| {
            let Place { position, replay, .. } = checked_place(tx, &exit, token)?;
            if replay.is_some() {
                return Err(StoreError::ReplayRuns(exit.clone()));
            }
            let before = from.0.checked_sub(1).filter(|_| from <= to && to <= position);
            let Some(before) = before.map(EventSeq) else {
                return Err(StoreError::ReplayRange { from, to, position });
            };
            tx.execute(
                "starting a replay",
                "UPDATE cursor SET position = ?2, replay_to = ?3, resume_at = position
                 WHERE exit = ?1",
                (exit.as_str(), sql_int(before.0), sql_int(to.0)),
            )?;
            Ok(before)
        })
    }

    /// Ends a replay wherever it is; returns where the cursor stands now, which is where it stood
    /// before the replay. Changes nothing when none runs.
    ///
    /// # Errors
    ///
    /// [`StoreError::LeaseLost`], [`StoreError::NoCursor`].
    pub fn cancel_replay(&self, exit: &ExitName, lease: &Lease) -> Result<EventSeq, StoreError> {
        let (exit, token) = (exit.clone(), lease.token);
        self.write(move |tx| {
            let Place { position, replay, .. } = checked_place(tx, &exit, token)?;
            match replay {
                Some(replay) => end_replay(tx, &exit, replay),
                None => Ok(position),
            }
        })
    }

    /// Forgets a module: its cursor, its shelf and its rows in the quarantine.
    ///
    /// # Errors
    ///
    /// [`StoreError::LeaseHeld`] while the lease of another than `holder` runs,
    /// [`StoreError::NoCursor`].
    pub fn remove_cursor(
        &self,
        exit: &ExitName,
        holder: &str,
        now: UnixMillis,
    ) -> Result<Removed, StoreError> {
        let (exit, holder) = (exit.clone(), holder.to_owned());
        self.write(move |tx| {
            let lease = current_lease(tx, &exit)?;
            if now < lease.until && lease.holder != holder {
                return Err(StoreError::LeaseHeld { holder: lease.holder, until: lease.until });
            }
            let action = "removing a cursor";
            let sql = "DELETE FROM held WHERE exit = ?1 AND state = 2";
            let parked = tx.execute(action, sql, [exit.as_str()])?;
            let others = tx.execute(action, "DELETE FROM held WHERE exit = ?1", [exit.as_str()])?;
            tx.execute(action, "DELETE FROM quarantine WHERE exit = ?1", [exit.as_str()])?;
            tx.execute(action, "DELETE FROM cursor WHERE exit = ?1", [exit.as_str()])?;
            tx.execute(
                action,
                "UPDATE meta SET lease_floor = max(lease_floor, ?1) WHERE id = 1",
                [sql_int(lease.token)],
            )?;
            let parked = u64::try_from(parked).unwrap_or(u64::MAX);
            let others = u64::try_from(others).unwrap_or(u64::MAX);
            Ok(Removed { held: parked.saturating_add(others), parked })
        })
    }

    /// All cursors, by name, also those of modules that are no longer configured.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when one cannot be read.
    pub fn cursors(&self) -> Result<Vec<CursorRow>, StoreError> {
        let action = "reading cursors";
        let found = self.inner.readers.read(action, |conn| {
            rows(conn, action, CURSORS, [], |row| {
                read_cursor(row).map_err(|why| name_row(read(row, 0), why))
            })
        })?;
        found.into_iter().collect()
    }

    /// The cursor of one module, if it has one.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when it cannot be read.
    pub fn cursor(&self, exit: &ExitName) -> Result<Option<CursorRow>, StoreError> {
        let action = "reading a cursor";
        let found = self
            .inner
            .readers
            .read(action, |conn| rows(conn, action, CURSOR, [exit.as_str()], read_cursor))?;
        found.into_iter().next().transpose().map_err(corrupt(format!("cursor of {exit}")))
    }
}

/// Where a cursor stands, as the writer needs it.
pub(crate) struct Place {
    pub(crate) position: EventSeq,
    pub(crate) replay: Option<Replay>,
    /// Of the newest lease.
    token: u64,
}

/// The cursor's place, for whoever holds the newest lease.
pub(crate) fn checked_place(tx: &Tx<'_>, exit: &ExitName, token: u64) -> Result<Place, StoreError> {
    let place = place(tx, exit)?;
    if place.token == token { Ok(place) } else { Err(StoreError::LeaseLost(exit.clone())) }
}

/// Puts the cursor where it stood before the replay; returns that place.
pub(crate) fn end_replay(
    tx: &Tx<'_>,
    exit: &ExitName,
    replay: Replay,
) -> Result<EventSeq, StoreError> {
    tx.execute(
        "ending a replay",
        "UPDATE cursor SET position = resume_at, replay_to = NULL, resume_at = NULL
         WHERE exit = ?1",
        [exit.as_str()],
    )?;
    Ok(replay.resume_at)
}

fn place(tx: &Tx<'_>, exit: &ExitName) -> Result<Place, StoreError> {
    let sql = "SELECT position, lease_token, replay_to, resume_at FROM cursor WHERE exit = ?1";
    let found = tx.query_one("reading a cursor", sql, [exit.as_str()], |row| {
        let place = || {
            let (position, token) = (read_seq(row, 0)?, read_unsigned(row, 1)?);
            Ok(Place { position, replay: read_replay(row, 2)?, token })
        };
        Ok(place())
    })?;
    found
        .ok_or_else(|| StoreError::NoCursor(exit.clone()))?
        .map_err(corrupt(format!("cursor of {exit}")))
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
        .map_err(corrupt(format!("cursor of {exit}")))
}

fn read_cursor(row: &Row<'_>) -> Result<CursorRow, Why> {
    Ok(CursorRow {
        exit: read(row, 0)?,
        position: read_seq(row, 1)?,
        started: read_seq(row, 4)?,
        replay: read_replay(row, 5)?,
        holder: Some(read::<String>(row, 2)?).filter(|it| !it.is_empty()),
        until: read_time(row, 3)?,
    })
}

/// Two columns, of which the first is `at`: `replay_to` and `resume_at`.
fn read_replay(row: &Row<'_>, at: usize) -> Result<Option<Replay>, Why> {
    match (read::<Option<i64>>(row, at)?, read::<Option<i64>>(row, at + 1)?) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            Ok(Some(Replay { to: read_seq(row, at)?, resume_at: read_seq(row, at + 1)? }))
        }
        _ => Err("half a replay".to_owned()),
    }
}

fn name_row(exit: Result<String, Why>, why: Why) -> StoreError {
    let row = exit.map_or_else(|_| "a cursor".to_owned(), |exit| format!("cursor of {exit}"));
    StoreError::CorruptRow { row, why }
}
