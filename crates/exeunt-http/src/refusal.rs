//! Those who were refused, in the audit trail.
//!
//! Each refusal is an entry, before its answer. Who is refused again and again must not fill the disk:
//! what goes beyond a number in a minute is counted, and the count is an entry at the end of the minute.
//! Strangers have a number of their own, so that they hide nobody whom the CA knows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::connection::closed;
use crate::handler::{Edge, blocking};

/// Refusals of one caller or address that are written one by one in a minute.
pub const REFUSALS_OF_ONE_MAX: u64 = 20;
/// Refusals that are written one by one in a minute: of strangers, and of those whom the CA knows.
pub const REFUSALS_WRITTEN_MAX: u64 = 120;
/// Callers or addresses that are counted apart in a minute; further ones are counted together.
pub const REFUSED_APART_MAX: usize = 64;

const MINUTE: Duration = Duration::from_mins(1);
/// How often is looked whether a minute has ended.
const LOOK: Duration = Duration::from_secs(1);
/// Who they are that are counted together.
const OTHERS: &str = "others";

/// Somebody who was refused.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// Who, where that is known: a caller's name and means.
    pub(crate) who: Option<String>,
    /// From where: an address, or the user at a Unix socket.
    pub(crate) place: String,
    /// What was asked for: method and path.
    pub(crate) what: String,
    /// The code of the answer.
    pub(crate) code: &'static str,
}

/// What was refused in this minute.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    strangers: Mutex<Minute>,
    known: Mutex<Minute>,
}

#[derive(Debug, Default)]
struct Minute {
    began: Option<Instant>,
    written: u64,
    by: BTreeMap<String, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    written: u64,
    more: u64,
}

impl Minute {
    /// Counts one; whether it is written.
    fn count(&mut self, source: &str, now: Instant) -> bool {
        self.began.get_or_insert(now);
        let is_apart = self.by.contains_key(source) || self.by.len() < REFUSED_APART_MAX;
        let source = if is_apart { source } else { OTHERS };
        let count = self.by.entry(source.to_owned()).or_default();
        let is_written = self.written < REFUSALS_WRITTEN_MAX && count.written < REFUSALS_OF_ONE_MAX;
        if is_written {
            self.written += 1;
            count.written += 1;
        } else {
            count.more += 1;
        }
        is_written
    }

    /// Those who were refused more often than was written, where the minute has ended.
    fn end(&mut self, now: Option<Instant>) -> Vec<(String, u64)> {
        let has_ended = match (self.began, now) {
            (Some(began), Some(now)) => MINUTE <= now.saturating_duration_since(began),
            (began, None) => began.is_some(),
            (None, _) => false,
        };
        if !has_ended {
            return Vec::new();
        }
        let by = std::mem::take(self).by;
        by.into_iter().filter(|(_, it)| 0 < it.more).map(|(who, it)| (who, it.more)).collect()
    }
}

impl Refusals {
    /// Those of the last minute who are still to be written; of this one, too, where no time is given.
    fn due(&self, now: Option<Instant>) -> Vec<(String, u64)> {
        let mut due = lock(&self.strangers).end(now);
        due.extend(lock(&self.known).end(now));
        due
    }
}

fn lock(minute: &Mutex<Minute>) -> MutexGuard<'_, Minute> {
    // A half counted refusal is no reason to count none.
    minute.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a refusal into the audit trail, or counts it. Where it cannot be written, the log says so:
/// the answer is no in any case.
pub(crate) async fn note(edge: &Arc<Edge>, refused: Refused) {
    let Refused { who, place, what, code } = refused;
    let minute = if who.is_some() { &edge.refusals.known } else { &edge.refusals.strangers };
    let source = who.clone().unwrap_or_else(|| format!("unknown at {place}"));
    tracing::info!(code, who = source, place, what, "refused");
    if lock(minute).count(&source, Instant::now()) {
        write(edge, source, what, format!("{code}, from {place}")).await;
    }
}

/// Writes the counts of the minutes that end, until the server closes.
pub(crate) async fn keep_counts(edge: Arc<Edge>, mut closing: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => write_counts(&edge, Some(Instant::now())).await,
            () = closed(&mut closing) => return,
        }
    }
}

/// Writes the counts of the minutes that have ended; without a time, of all.
pub(crate) async fn write_counts(edge: &Arc<Edge>, now: Option<Instant>) {
    for (who, more) in edge.refusals.due(now) {
        let detail = format!("and {more} more in this minute");
        write(edge, who, "more".to_owned(), detail).await;
    }
}

async fn write(edge: &Arc<Edge>, who: String, what: String, detail: String) {
    let act = move |edge: &Edge| edge.engine.note_refusal(who, what, detail);
    let written = match blocking(edge, &edge.rooms.refusal, act).await {
        Ok(Ok(_)) => return,
        Ok(Err(err)) => crate::submit::chain(&err),
        Err(fault) => fault.code.to_owned(),
    };
    tracing::error!(code = "audit-refusal", "a refusal is not in the audit trail: {written}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guesser_fills_no_disk_and_is_counted() {
        let (mut minute, start) = (Minute::default(), Instant::now());
        let written = (0..1000).filter(|_| minute.count("192.0.2.1", start)).count();
        assert_eq!(u64::try_from(written).unwrap(), REFUSALS_OF_ONE_MAX);
        assert!(minute.count("192.0.2.2", start), "another one went down with the guesser");
        assert_eq!(minute.end(Some(start + Duration::from_secs(59))), []);
        let more = vec![("192.0.2.1".to_owned(), 1000 - REFUSALS_OF_ONE_MAX)];
        assert_eq!(minute.end(Some(start + MINUTE)), more);
        assert_eq!(minute.end(Some(start + 2 * MINUTE)), []);
        assert!(minute.count("192.0.2.1", start + MINUTE));
        assert_eq!(minute.end(None), [], "nobody was left out");
    }

    #[test]
    fn a_crowd_fills_no_disk_and_no_memory() {
        let (mut minute, now) = (Minute::default(), Instant::now());
        let written = (0..10_000).filter(|it| minute.count(&format!("10.0.0.{it}"), now)).count();
        assert!(u64::try_from(written).unwrap() <= REFUSALS_WRITTEN_MAX);
        assert!(minute.by.len() <= REFUSED_APART_MAX + 1);
        let more: u64 = minute.end(None).iter().map(|(_, more)| more).sum();
        assert_eq!(more + u64::try_from(written).unwrap(), 10_000, "somebody was not counted");
    }
}
