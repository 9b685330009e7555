//! What an error of the database means for an event.
//!
//! What speaks against the event parks it; what speaks against the server, the way to it, the role or
//! the tables is tried again, because it passes or is mended without touching the event.

use std::time::Duration;

use exeunt_module_kit::Outcome;
use exeunt_publication::outcome;
use tokio_postgres::Error;

/// How soon something is worth another try that a person has to mend first.
pub const AFTER_MENDING: Duration = Duration::from_mins(1);

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes by itself.
    Passing,
    /// Somebody has to mend the server, the role or the tables; the event is all right.
    Mend,
    /// The server does not take this event, whenever it is told.
    Event,
}

/// SQLSTATEs (`PostgreSQL`, appendix A): the longest beginning that fits decides.
const STATES: &[(&str, Verdict)] = &[
    // Feature not supported, invalid statement, syntax error, insufficient privilege, no such table.
    ("0A", Verdict::Mend),
    ("26", Verdict::Passing),
    ("42", Verdict::Mend),
    // No such database or schema; the log-in was refused.
    ("28", Verdict::Mend),
    ("3D", Verdict::Mend),
    ("3F", Verdict::Mend),
    // A standby takes nothing. It may become the primary.
    ("25006", Verdict::Passing),
    // What the event says does not fit: a value, a constraint that somebody added, a limit of a row
    // or an index, an exception of a trigger.
    ("22", Verdict::Event),
    ("23", Verdict::Event),
    ("44", Verdict::Event),
    ("54", Verdict::Event),
    ("P0", Verdict::Event),
    // Connection, deadlock and serialization, resources (53100: the disk is full), locks, shutdown and
    // cancellation, input and output of the server.
    ("08", Verdict::Passing),
    ("40", Verdict::Passing),
    ("53", Verdict::Passing),
    ("55", Verdict::Passing),
    ("57", Verdict::Passing),
    ("58", Verdict::Passing),
];

/// Judges a SQLSTATE. One that is not listed may pass.
pub fn of_state(state: &str) -> Verdict {
    let fits = STATES.iter().filter(|(start, _)| state.starts_with(start));
    fits.max_by_key(|(start, _)| start.len()).map_or(Verdict::Passing, |(_, verdict)| *verdict)
}

/// Judges an error. One without a SQLSTATE is about the connection.
pub fn of(err: &Error) -> Verdict {
    err.code().map_or(Verdict::Passing, |it| of_state(it.code()))
}

/// Whether an error ends the connection: one without a SQLSTATE, after which nobody knows its state, or
/// one by which the server takes its leave.
pub fn is_end_of_connection(err: &Error) -> bool {
    err.code().is_none_or(|it| it.code().starts_with("08") || it.code().starts_with("57P"))
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
        Verdict::Mend => outcome::retry_after(AFTER_MENDING, reason),
        Verdict::Event => outcome::park(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_event_itself_says_parks_it() {
        for (state, verdict) in [
            ("53100", Verdict::Passing), // disk_full
            ("57P01", Verdict::Passing), // admin_shutdown
            ("57014", Verdict::Passing), // query_canceled
            ("40P01", Verdict::Passing), // deadlock_detected
            ("25006", Verdict::Passing), // read_only_sql_transaction
            ("XX000", Verdict::Passing), // internal_error
            ("42P01", Verdict::Mend),    // undefined_table
            ("42501", Verdict::Mend),    // insufficient_privilege
            ("28P01", Verdict::Mend),    // invalid_password
            ("3D000", Verdict::Mend),    // invalid_catalog_name
            ("23514", Verdict::Event),   // check_violation
            ("22007", Verdict::Event),   // invalid_datetime_format
            ("P0001", Verdict::Event),   // raise_exception
        ] {
            assert_eq!(of_state(state), verdict, "{state}");
        }
    }
}
