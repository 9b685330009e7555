//! What an error of the database means for an event.
//!
//! What the event itself says and no server of this kind can keep parks it. What speaks against the
//! server, the way to it, the role or the tables is tried again for as long as it takes, because it would
//! meet every other event as well. What somebody's own constraint, trigger or narrower column refuses is
//! tried again too, as often as the exit allows: each of them can be mended.

use std::time::Duration;

use exeunt_module_kit::Outcome;
use exeunt_publication::outcome;
use tokio_postgres::Error;

/// How soon something is worth another try that a person has to mend first.
pub const AFTER_MENDING: Duration = Duration::from_mins(1);

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes by itself, and another event may well be taken.
    Passing,
    /// The server can be used by nobody now, and that passes by itself.
    Away,
    /// Somebody has to mend the server, the role or the tables; no event is taken until then.
    Mend,
    /// Somebody's constraint, trigger or column does not take this event, and others perhaps.
    Refused,
    /// The server does not take this event, whenever it is told.
    Event,
}

impl Verdict {
    /// Whether it may be about one event of many.
    pub fn is_of_one(self) -> bool {
        matches!(self, Self::Refused | Self::Event)
    }
}

/// SQLSTATEs (`PostgreSQL`, appendix A): the longest beginning that fits decides.
const STATES: &[(&str, Verdict)] = &[
    // The connection.
    ("08", Verdict::Away),
    // Feature not supported.
    ("0A", Verdict::Mend),
    // A value too long, out of range or of another form: the tables as they are made have columns without
    // lengths, and are given what they can read, so that it is somebody's trigger or column that says so.
    ("22", Verdict::Refused),
    // A date, or a character that the database's encoding does not have: that is the event's own.
    ("22007", Verdict::Event),
    ("22008", Verdict::Event),
    ("22021", Verdict::Event),
    ("22P05", Verdict::Event),
    // A constraint that somebody added: the tables as they are made have none but their keys.
    ("23", Verdict::Refused),
    // A standby takes nothing. It may become the primary.
    ("25006", Verdict::Away),
    // The statement that was prepared is no more.
    ("26", Verdict::Passing),
    // No such database or schema; the log-in was refused.
    ("28", Verdict::Mend),
    ("3D", Verdict::Mend),
    ("3F", Verdict::Mend),
    // Serialization and deadlock.
    ("40", Verdict::Passing),
    // Syntax error, insufficient privilege, no such table or column.
    ("42", Verdict::Mend),
    // The check of a view that somebody put in the table's place.
    ("44", Verdict::Refused),
    // Resources: the disk is full (53100), memory, connections.
    ("53", Verdict::Away),
    // A limit of a row or an index, which the event's own values exceed.
    ("54", Verdict::Event),
    // A lock; something is in use.
    ("55", Verdict::Passing),
    // Shutdown, crash, start (57P01 to 57P03); a single statement was cancelled (57014); the database
    // was dropped (57P04).
    ("57", Verdict::Away),
    ("57014", Verdict::Passing),
    ("57P04", Verdict::Mend),
    // Input and output of the server; its configuration.
    ("58", Verdict::Away),
    ("F0", Verdict::Mend),
    // A function of somebody's trigger.
    ("P0", Verdict::Refused),
];

/// Judges a SQLSTATE. One that is not listed may pass.
pub fn of_state(state: &str) -> Verdict {
    let fits = STATES.iter().filter(|(start, _)| state.starts_with(start));
    fits.max_by_key(|(start, _)| start.len()).map_or(Verdict::Passing, |(_, verdict)| *verdict)
}

/// Judges an error. One without a SQLSTATE is about the connection.
pub fn of(err: &Error) -> Verdict {
    err.code().map_or(Verdict::Away, |it| of_state(it.code()))
}

/// Whether an error ends the connection: one without a SQLSTATE, after which nobody knows its state, or
/// one by which the server takes its leave. One that no longer knows the statements that were prepared on
/// it, as behind a pool that resets its sessions, is of no use either. Nor is one to a standby: the name may
/// lead to the primary by now, and only a new connection gets there.
pub fn is_end_of_connection(err: &Error) -> bool {
    const STARTS: [&str; 4] = ["08", "25006", "26", "57P"];
    err.code().is_none_or(|it| STARTS.iter().any(|start| it.code().starts_with(start)))
}

/// An error in one line, without the row that the server may show beside it.
pub fn words(err: &Error) -> String {
    match err.as_db_error() {
        Some(said) => format!("{} (SQLSTATE {})", said.message(), said.code().code()),
        None => outcome::chain(err),
    }
}

/// The outcome of an event that a verdict is about.
pub fn outcome(verdict: Verdict, reason: &str) -> Outcome {
    match verdict {
        Verdict::Passing => outcome::retry(reason),
        Verdict::Away => outcome::target_retry(reason),
        Verdict::Mend => outcome::target_retry_after(AFTER_MENDING, reason),
        Verdict::Refused => outcome::retry_after(AFTER_MENDING, reason),
        Verdict::Event => outcome::park(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_server_can_keep_parks_an_event() {
        for (state, verdict) in [
            ("53100", Verdict::Away),    // disk_full
            ("57P01", Verdict::Away),    // admin_shutdown
            ("25006", Verdict::Away),    // read_only_sql_transaction
            ("08006", Verdict::Away),    // connection_failure
            ("57014", Verdict::Passing), // query_canceled
            ("40001", Verdict::Passing), // serialization_failure
            ("40P01", Verdict::Passing), // deadlock_detected
            ("55P03", Verdict::Passing), // lock_not_available
            ("XX000", Verdict::Passing), // internal_error
            ("42P01", Verdict::Mend),    // undefined_table
            ("42501", Verdict::Mend),    // insufficient_privilege
            ("28P01", Verdict::Mend),    // invalid_password
            ("3D000", Verdict::Mend),    // invalid_catalog_name
            ("57P04", Verdict::Mend),    // database_dropped
            ("23514", Verdict::Refused), // check_violation
            ("P0001", Verdict::Refused), // raise_exception
            ("22001", Verdict::Refused), // string_data_right_truncation
            ("22012", Verdict::Refused), // division_by_zero
            ("22P02", Verdict::Refused), // invalid_text_representation
            ("22007", Verdict::Event),   // invalid_datetime_format
            ("22008", Verdict::Event),   // datetime_field_overflow
            ("22021", Verdict::Event),   // character_not_in_repertoire
            ("22P05", Verdict::Event),   // untranslatable_character
            ("54000", Verdict::Event),   // program_limit_exceeded
        ] {
            assert_eq!(of_state(state), verdict, "{state}");
            let parks = matches!(outcome(verdict, "why"), Outcome::Park { .. });
            assert_eq!(parks, verdict == Verdict::Event, "{state}");
        }
    }
}
