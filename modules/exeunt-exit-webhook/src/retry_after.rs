//! When a server wants to be asked again: the header `Retry-After` (RFC 9110, section 10.2.3).

use std::time::{Duration, SystemTime};

/// Longest wait that a server is granted. One that says a year has a fault, and the operator should
/// not have to find out why nothing comes.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// How long to wait, counted from `now`, at most [`RETRY_AFTER_MAX`]; `None` where the text is neither
/// a number of seconds nor a date of HTTP. `now` is best what the server itself calls so.
pub fn parse(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim_matches([' ', '\t']);
    let wait = if !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit()) {
        // More digits than a number holds are a very long time.
        text.parse().map_or(Duration::MAX, Duration::from_secs)
    } else {
        // A moment that has passed means now.
        httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::UNIX_EPOCH;

    /// 2026-11-21 07:00:00 UTC, by `date -d … +%s`.
    const NOW: u64 = 1_795_244_400;

    fn at(text: &str) -> Option<u64> {
        parse(text, UNIX_EPOCH + Duration::from_secs(NOW)).map(|it| it.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_read_and_bounded() {
        assert_eq!(at("0"), Some(0));
        assert_eq!(at(" 120 "), Some(120));
        assert_eq!(at("86400"), Some(3600));
        assert_eq!(at("99999999999999999999999999"), Some(3600));
        assert_eq!(at("Sat, 21 Nov 2026 07:02:00 GMT"), Some(120));
        assert_eq!(at("Saturday, 21-Nov-26 07:02:00 GMT"), Some(120));
        assert_eq!(at("Sat Nov 21 07:02:00 2026"), Some(120));
        assert_eq!(at("Sat, 21 Nov 2026 06:00:00 GMT"), Some(0));
        assert_eq!(at("Mon, 21 Nov 2050 06:00:00 GMT"), Some(3600));
    }

    #[test]
    fn what_is_neither_is_nothing() {
        for text in ["", " ", "-1", "+5", "1.5", "soon", "5 s", "Sat, 32 Nov 2026 07:02:00 GMT"] {
            assert_eq!(at(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_bounded(text in "\\PC{0,40}|[0-9]{1,30}", now: u32) {
            let wait = parse(&text, UNIX_EPOCH + Duration::from_secs(now.into()));
            prop_assert!(wait.is_none_or(|it| it <= RETRY_AFTER_MAX));
        }

        #[test]
        fn a_date_and_the_seconds_until_it_mean_the_same(wait in 0_u64..10_000, now: u32) {
            let now = UNIX_EPOCH + Duration::from_secs(now.into());
            let date = httpdate::fmt_http_date(now + Duration::from_secs(wait));
            prop_assert_eq!(parse(&date, now), parse(&wait.to_string(), now));
        }
    }
}
