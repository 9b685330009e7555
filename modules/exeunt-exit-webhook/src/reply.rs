//! What an answer, or none, means for what was sent.
//!
//! The principle: what speaks against one event parks that event; what speaks against the sender, the
//! server or the way between them is tried again, because it would meet every other event as well.

use std::time::{Duration, SystemTime};

use reqwest::{
    StatusCode,
    header::{DATE, HeaderMap, LOCATION, RETRY_AFTER},
};

use crate::{quoted::Secrets, retry_after};

/// What became of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The server has it.
    Accept,
    /// The server will never take this one, which says nothing about others.
    Refuse {
        /// Why.
        reason: String,
    },
    /// The server does not take it now.
    NotNow {
        /// When the server wants to be asked again.
        after: Option<Duration>,
        /// Whether another event would fare the same.
        everybody: bool,
        /// Why.
        reason: String,
    },
}

impl Reply {
    /// Nothing can be sent at all.
    pub fn nothing_can_be_sent(reason: impl Into<String>) -> Self {
        Self::NotNow { after: None, everybody: true, reason: reason.into() }
    }

    /// Whether another event would fare the same, so that it need not be tried.
    pub fn stops(&self) -> bool {
        matches!(self, Self::NotNow { everybody: true, .. })
    }
}

/// What the head of an answer means. `said` is the start of its body, which proves nothing and helps
/// the operator, but for `secrets`. `now` is this machine's time.
pub fn of_answer(
    status: StatusCode,
    headers: &HeaderMap,
    said: &[u8],
    secrets: &Secrets,
    now: SystemTime,
) -> Reply {
    let text = |name| headers.get(name).and_then(|it| it.to_str().ok());
    // Both clocks are the server's then, and a wrong one of ours does no harm.
    let date = text(DATE).and_then(|it| httpdate::parse_http_date(it).ok());
    let after = text(RETRY_AFTER).and_then(|it| retry_after::parse(it, date.unwrap_or(now)));
    let reason = |more: String| format!("the server answered {status}{more}");
    match status.as_u16() {
        200..=299 => Reply::Accept,
        // It says where the server is, or that it is being worked on, and nothing about the event.
        300..=399 => {
            let to = text(LOCATION).map(|it| secrets.quoted(it));
            let to = to.map_or(String::new(), |it| format!(" (to {it})"));
            let reason = reason(format!("{to}; redirects are not followed, so set the final url"));
            Reply::NotNow { after, everybody: true, reason }
        }
        // Neither says anything about the event: a token has expired, a key was not taken over.
        401 | 403 | 407 => {
            let reason =
                reason("; look at token_file, secret_file and client_certificate_file".to_owned());
            Reply::NotNow { after, everybody: true, reason }
        }
        // Too late, too early (RFC 8470), too many (RFC 6585).
        code @ (408 | 425 | 429) => {
            Reply::NotNow { after, everybody: code == 429, reason: reason(body(said, secrets)) }
        }
        400..=499 => Reply::Refuse { reason: reason(body(said, secrets)) },
        code @ 500..=599 => {
            // A gateway without a server behind it, overload, a full disk (RFC 4918). A plain 500 may be
            // about this event alone.
            let everybody = after.is_some() || matches!(code, 502..=504 | 507);
            Reply::NotNow { after, everybody, reason: reason(body(said, secrets)) }
        }
        _ => {
            let reason = reason(", which is no answer".to_owned());
            Reply::NotNow { after, everybody: true, reason }
        }
    }
}

fn body(said: &[u8], secrets: &Secrets) -> String {
    let said = String::from_utf8_lossy(said);
    let said = said.trim();
    if said.is_empty() { String::new() } else { format!(", and said {}", secrets.quoted(said)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;
    use std::time::UNIX_EPOCH;

    fn of(status: u16, headers: &[(&'static str, &'static str)], said: &str) -> Reply {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        let status = StatusCode::from_u16(status).unwrap();
        of_answer(status, &headers, said.as_bytes(), &Secrets::default(), UNIX_EPOCH)
    }

    fn word(reply: &Reply) -> &'static str {
        match reply {
            Reply::Accept => "accept",
            Reply::Refuse { .. } => "park",
            Reply::NotNow { .. } => "retry",
        }
    }

    #[test]
    fn every_status_has_its_outcome() {
        for status in 100..=999 {
            let expected = match status {
                200..=299 => "accept",
                401 | 403 | 407 | 408 | 425 | 429 => "retry",
                400..=499 => "park",
                _ => "retry",
            };
            assert_eq!(word(&of(status, &[], "")), expected, "{status}");
        }
    }

    #[test]
    fn what_a_server_says_of_all_events_is_told_from_what_it_says_of_one() {
        for (status, stops) in [
            (301, true),
            (400, false),
            (401, true),
            (408, false),
            (413, false),
            (422, false),
            (429, true),
            (500, false),
            (502, true),
            (503, true),
            (507, true),
        ] {
            assert_eq!(of(status, &[], "").stops(), stops, "{status}");
        }
        assert!(of(500, &[("retry-after", "5")], "").stops());
    }

    #[test]
    fn a_date_to_come_back_at_is_counted_by_the_servers_own_clock() {
        let headers = [
            ("retry-after", "Sat, 21 Nov 2026 07:02:00 GMT"),
            ("date", "Sat, 21 Nov 2026 07:01:00 GMT"),
        ];
        let Reply::NotNow { after, .. } = of(503, &headers, "") else { panic!("not now") };
        assert_eq!(after, Some(Duration::from_mins(1)));
        let Reply::NotNow { after, .. } = of(503, &[("retry-after", "x")], "") else {
            panic!("no")
        };
        assert_eq!(after, None);
    }

    #[test]
    fn what_a_server_says_is_cut_and_does_nothing_to_a_terminal() {
        let said = format!("no\u{1b}[31m {}", "x".repeat(500));
        let Reply::Refuse { reason } = of(422, &[], &said) else { panic!("refused") };
        assert!(reason.contains("422") && reason.contains("no\\u{1b}[31m xxx"), "{reason}");
        assert!(reason.chars().count() < 250 && !reason.contains('\u{1b}'), "{reason}");
        let to = [("location", "http://169.254.169.254/latest")];
        let Reply::NotNow { reason, .. } = of(302, &to, "") else { panic!("not now") };
        assert!(reason.contains("169.254.169.254") && reason.contains("not followed"), "{reason}");
    }
}
