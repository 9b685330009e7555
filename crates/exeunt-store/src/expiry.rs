//! Telling modules of certificates before they run out, once for each distance.
//!
//! Certificates are walked in the order of `notAfter`, and how far the walk has come for a distance is
//! written in the same commit as the events: what is told is told once, whatever happens in between.

use exeunt_types::{Disposition, EventKind, RequestId, UnixMillis};

use crate::current::Current;
use crate::log::detail_text;
use crate::reader::{corrupt, rows};
use crate::row::{read_id, read_time, sql_int};
use crate::writer::Tx;
use crate::{Store, StoreError};

/// Certificates that one step looks at. They are a few milliseconds of the writer, whom everybody
/// else waits for.
pub const EXPIRY_STEP_MAX: usize = 256;

/// A day, in milliseconds.
const DAY_MILLIS: i64 = 86_400_000;

/// How far the clock may be put back for nothing to be told twice; a clock that was wrong by more has
/// told of certificates whose time had not come, and passed over others.
const CLOCK_BACK_MILLIS_MAX: i64 = DAY_MILLIS;

/// Name of the value that says the distance, in an event's detail.
const DISTANCE: &str = "ExpiresWithinDays";

/// The index leads to them; nothing else is read of those that are left out.
const RUNNING_OUT: &str = "SELECT certificate.request, certificate.not_after, certificate.issued
     FROM certificate
     WHERE certificate.not_after = ?1 AND certificate.request > ?2
     ORDER BY certificate.request LIMIT ?3";
const RUNNING_OUT_LATER: &str = "SELECT certificate.request, certificate.not_after,
            certificate.issued
     FROM certificate
     WHERE certificate.not_after > ?1 AND certificate.not_after <= ?2
     ORDER BY certificate.not_after, certificate.request LIMIT ?3";

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpiryStep {
    /// Events that were written.
    pub told: usize,
    /// Whether there may be more to tell at this moment.
    pub more: bool,
}

/// Place in the order of `notAfter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    not_after: i64,
    request: i64,
}

impl Place {
    /// After everything with that `notAfter`.
    fn end_of(not_after: i64) -> Self {
        Self { not_after, request: i64::MAX }
    }
}

impl Store {
    /// Tells of certificates that run out within `days`, those first that run out first, and
    /// [`EXPIRY_STEP_MAX`] at most. Call it until it says that there is no more.
    ///
    /// What runs out within `nearer` days is left to that distance; 0 leaves out what has run out. So
    /// is what is revoked, and a certificate that was issued within the distance: whoever got it knows.
    /// A certificate that appears behind the place where the walk is, is not told of. A clock that is
    /// put back by more than a day takes the walk back with it.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] names a row that cannot be read. Nothing was told.
    pub fn tell_expiring(
        &self,
        days: u32,
        nearer: u32,
        now: UnixMillis,
    ) -> Result<ExpiryStep, StoreError> {
        self.write(move |tx| step(tx, days, nearer, now))
    }
}

fn step(
    tx: &mut Tx<'_>,
    days: u32,
    nearer: u32,
    now: UnixMillis,
) -> Result<ExpiryStep, StoreError> {
    let action = "looking for certificates that run out";
    let distance = millis(days);
    let until = now.0.saturating_add(distance);
    let told = tx.query_one(
        action,
        "SELECT not_after, request FROM expiry WHERE days = ?1",
        [days],
        |row| Ok(Place { not_after: row.get(0)?, request: row.get(1)? }),
    )?;
    // The walk went by a clock that was far ahead. What it has passed over is told when its time comes.
    let farthest = Place::end_of(until.saturating_add(CLOCK_BACK_MILLIS_MAX));
    let was_ahead = told.is_some_and(|it| farthest < it);
    let told = if was_ahead { Some(Place::end_of(until)) } else { told };
    let least = Place::end_of(now.0.saturating_add(millis(nearer)));
    let from = told.map_or(least, |it| it.max(least));
    let found = running_out(tx, from, until)?;
    let mut events = 0;
    for (request, not_after, issued) in &found {
        // One that was issued within the distance was never farther from its end.
        if issued.0 < not_after.0.saturating_sub(distance) {
            events += usize::from(tell(tx, *request, days, now)?);
        }
    }
    let more = EXPIRY_STEP_MAX <= found.len();
    let reached = match found.last() {
        Some((request, not_after, _)) if more => {
            Place { not_after: not_after.0, request: sql_int(request.0) }
        }
        _ => Place::end_of(until),
    };
    // The clock may have been put back a little: what was told stays told.
    if was_ahead || told.is_none_or(|told| told < reached) {
        tx.execute(
            action,
            "INSERT INTO expiry (days, not_after, request) VALUES (?1, ?2, ?3)
             ON CONFLICT (days) DO UPDATE SET not_after = ?2, request = ?3",
            (days, reached.not_after, reached.request),
        )?;
    }
    Ok(ExpiryStep { told: events, more })
}

type Found = (RequestId, UnixMillis, UnixMillis);

/// Certificates after a place up to a `notAfter`, at most [`EXPIRY_STEP_MAX`].
fn running_out(tx: &Tx<'_>, from: Place, until: i64) -> Result<Vec<Found>, StoreError> {
    let action = "looking for certificates that run out";
    let read =
        |row: &rusqlite::Row<'_>| Ok((read_id(row, 0)?, read_time(row, 1)?, read_time(row, 2)?));
    let left = |found: usize| i64::try_from(EXPIRY_STEP_MAX - found).unwrap_or(0);
    let mut found = Vec::new();
    if from.not_after <= until {
        let params = (from.not_after, from.request, left(0));
        found = rows(tx.conn(), action, RUNNING_OUT, params, read)?;
    }
    let params = (from.not_after, until, left(found.len()));
    found.extend(rows(tx.conn(), action, RUNNING_OUT_LATER, params, read)?);
    let found: Result<Vec<Found>, String> = found.into_iter().collect();
    found.map_err(corrupt("a certificate"))
}

/// Writes the event, if the certificate is not revoked.
fn tell(
    tx: &mut Tx<'_>,
    request: RequestId,
    days: u32,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    let current = Current::read(tx, request)?;
    if current.disposition == Disposition::Revoked {
        return Ok(false);
    }
    let detail = detail_text(&[(DISTANCE.to_owned(), days.to_string())]);
    tx.append(EventKind::CERT_EXPIRING, now, Some(current.about()), detail.as_deref())?;
    Ok(true)
}

fn millis(days: u32) -> i64 {
    i64::from(days) * DAY_MILLIS
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn a_step_reads_what_runs_out_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        Store::create(&path, [0; 8], UnixMillis(0)).unwrap();
        let conn = Connection::open(&path).unwrap();
        for (sql, search) in [
            (RUNNING_OUT, "(not_after=? AND rowid>?)"),
            (RUNNING_OUT_LATER, "(not_after>? AND not_after<?)"),
        ] {
            let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let steps = statement.query_map((0, 0, 0), |row| row.get(3)).unwrap();
            let steps: Vec<String> = steps.map(Result::unwrap).collect();
            let search = format!("SEARCH certificate USING INDEX certificate_not_after {search}");
            assert_eq!(steps, [search]);
        }
    }
}
