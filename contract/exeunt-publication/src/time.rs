//! How late it is, and how much time there is: the deadline of an event bounds everything.

use std::time::{Duration, SystemTime};

/// What a module may do with the network in a greeting that names no deadline.
pub const WITHOUT_DEADLINE: Duration = Duration::from_secs(20);

/// How long a call may take where the operator says nothing.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// Longest time for a call that can be set, in seconds. The deadline of an event is the tighter bound.
pub const TIMEOUT_S_MAX: u64 = 600;

/// Now, in Unix seconds; 0 where the machine's clock stands before 1970.
#[must_use]
pub fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// How long a batch may be with its target, where the host waits `deadline_ms` for it: a fifth is left
/// for what is not the network, the pipe and a processor that is busy.
#[must_use]
pub fn budget(deadline_ms: u64) -> Duration {
    match deadline_ms {
        0 => WITHOUT_DEADLINE,
        deadline_ms => Duration::from_millis(deadline_ms) * 4 / 5,
    }
}

/// How long one call may take: what the operator says in `timeout_s`, or [`TIMEOUT_DEFAULT`] as far as
/// there is so much.
///
/// # Errors
///
/// The operator asked for more than there is.
pub fn timeout_within(timeout: Option<Duration>, budget: Duration) -> Result<Duration, String> {
    match timeout {
        None => Ok(TIMEOUT_DEFAULT.min(budget)),
        Some(it) if it <= budget => Ok(it),
        Some(it) => Err(format!(
            "timeout_s is {}, and has to leave a fifth of the module's deadline_s: at most {}",
            it.as_secs(),
            budget.as_secs()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_leaves_a_fifth_of_the_deadline_or_is_refused_with_the_bound() {
        let seconds = Duration::from_secs;
        assert_eq!(budget(30_000), seconds(24));
        assert_eq!(budget(0), WITHOUT_DEADLINE);
        assert_eq!(timeout_within(None, seconds(24)), Ok(TIMEOUT_DEFAULT));
        assert_eq!(timeout_within(None, seconds(4)), Ok(seconds(4)));
        assert_eq!(timeout_within(Some(seconds(24)), seconds(24)), Ok(seconds(24)));
        let err = timeout_within(Some(seconds(25)), seconds(24)).unwrap_err();
        assert!(err.contains("timeout_s is 25") && err.contains("at most 24"), "{err}");
    }

    #[test]
    fn now_is_after_this_was_written() {
        // 2026-11-01 00:00:00 UTC, by `date -d … +%s`.
        assert!(1_793_491_200 < unix_now());
    }
}
