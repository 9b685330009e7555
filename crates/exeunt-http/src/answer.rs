//! Answers: JSON, PEM and moments as text.

use exeunt_api::PROBLEM_MEDIA_TYPE;
use exeunt_types::UnixMillis;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use jiff::SignedDuration;
use jiff::civil::DateTime;
use pem_rfc7468::LineEnding;
use serde::Serialize;

use crate::fault::Fault;
use crate::reply::Reply;

/// What goes out.
pub(crate) type Answer = Response<Reply>;

/// An answer with a body in JSON.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    answer(status, "application/json", body)
}

/// A fault as a problem document.
pub(crate) fn problem(fault: &Fault) -> Answer {
    let mut answer = answer(fault.status, PROBLEM_MEDIA_TYPE, &fault.problem());
    if let Some((name, value)) = &fault.header {
        let value = HeaderValue::from_str(value).expect("BUG: our words are plain");
        answer.headers_mut().insert(*name, value);
    }
    answer
}

/// JSON that is at hand as text.
pub(crate) fn json_text(text: &'static str) -> Answer {
    of_bytes(StatusCode::OK, "application/json", Bytes::from_static(text.as_bytes()))
}

fn answer(status: StatusCode, media_type: &'static str, body: &impl Serialize) -> Answer {
    let bytes =
        serde_json::to_vec(body).expect("BUG: wire types have text keys and finite numbers");
    of_bytes(status, media_type, Bytes::from(bytes))
}

fn of_bytes(status: StatusCode, media_type: &'static str, bytes: Bytes) -> Answer {
    let mut answer = Response::new(Reply::whole(bytes));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    // Rows change, and nobody in between should keep them.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// PEM armour, lines of 64 characters ended by newlines (RFC 7468, section 2).
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    pem_rfc7468::encode_string(label, LineEnding::LF, der)
        .expect("BUG: a label of ours is valid and a row is no gigabyte")
}

/// A moment as RFC 3339 text in UTC, with milliseconds where there are any; the years 0 to 9999.
///
/// For whoever fills in the wire types that this crate does not fill in itself.
#[must_use]
pub fn rfc3339(moment: UnixMillis) -> String {
    // The civil type, because certificates without an end say 9999-12-31T23:59:59Z, which is past
    // the last jiff::Timestamp.
    const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    const FIRST: DateTime = DateTime::constant(0, 1, 1, 0, 0, 0, 0);
    let civil = EPOCH.saturating_add(SignedDuration::from_millis(moment.0)).max(FIRST);
    format!("{civil}Z")
}

/// A moment that is written as RFC 3339 text.
///
/// For whoever reads what is typed before it is sent.
#[must_use]
pub fn from_rfc3339(text: &str) -> Option<UnixMillis> {
    text.parse::<jiff::Timestamp>().ok().map(|it| UnixMillis(it.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected values: `date -u -d @SECONDS +%FT%TZ`.
    #[test]
    fn a_moment_is_rfc_3339_in_utc() {
        let check = |millis, text: &str| assert_eq!(rfc3339(UnixMillis(millis)), text);
        check(0, "1970-01-01T00:00:00Z");
        check(1_795_246_745_000, "2026-11-21T07:39:05Z");
        check(1_795_246_745_120, "2026-11-21T07:39:05.12Z");
        check(253_402_300_799_000, "9999-12-31T23:59:59Z");
        check(-1, "1969-12-31T23:59:59.999Z");
        check(i64::MIN, "0000-01-01T00:00:00Z");
        check(i64::MAX, "9999-12-31T23:59:59.999999999Z");
    }
}
