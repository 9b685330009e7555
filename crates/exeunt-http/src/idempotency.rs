//! The header `Idempotency-Key` of a submission (draft-ietf-httpapi-idempotency-key-header): whoever was told
//! nothing may ask again with the same key, and gets what the first time came to.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use exeunt_api::{IDEMPOTENCY_KEY_HEADER, is_idempotency_key};
use exeunt_engine::{Outcome, Retrieved, Submitted};
use exeunt_types::{Disposition, RequestId};
use hyper::header::HeaderMap;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::cms::{self, Wanted};
use crate::fault::Fault;
use crate::handler::{Edge, look_up};
use crate::rows;

/// How often a repeated submission looks whether the first one has come to an end.
const POLL: Duration = Duration::from_millis(20);

/// The key of the header, if it is there: as a string of structured fields (RFC 9651, section 3.3.3), or
/// the same without its quotes.
///
/// # Errors
///
/// A [`Fault`] when it is there twice, empty, too long, or has other characters.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY_HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim_matches(' ');
    let quoted = text.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    let key = quoted.unwrap_or(text);
    if values.next().is_none() && is_idempotency_key(key) {
        Ok(Some(key.to_owned()))
    } else {
        Err(Fault::idempotency_key())
    }
}

/// SHA-256 of what is asked for, each part with its length before it.
pub(crate) fn digest(
    template: Option<&str>,
    attributes: &[(String, String)],
    request: &[u8],
) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    let mut add = |part: &[u8]| {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    };
    add(request);
    // One that is named and empty is not one that is not named.
    if let Some(template) = template {
        add(template.as_bytes());
    }
    add(b"");
    for (name, value) in attributes {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    let mut octets = [0; 32];
    octets.copy_from_slice(context.finish().as_ref());
    octets
}

/// What was submitted before, and the form in which it is wanted now.
pub(crate) struct Repeated {
    pub(crate) request: RequestId,
    /// Why it was denied, if it was.
    pub(crate) denied: Option<String>,
    pub(crate) wanted: Wanted,
    /// What was sent, where an answer repeats parts of it.
    pub(crate) sent: Vec<u8>,
}

/// The answer to a submission that was made before: what has become of it, once that is known.
pub(crate) async fn answer(edge: &Arc<Edge>, repeated: Repeated) -> Result<Answer, Fault> {
    let Repeated { request, denied, wanted, sent } = repeated;
    let until = Instant::now() + edge.limits.read;
    // Fetching it is an event where somebody waited for it: it is fetched once.
    loop {
        let state = move |edge: &Edge| rows::state(&edge.engine, request);
        match look_up(edge, state).await? {
            Disposition::Active if Instant::now() < until => tokio::time::sleep(POLL).await,
            // The one that failed has given its key back.
            Disposition::Active | Disposition::Error => {
                return Err(Fault::idempotency_in_flight(request));
            }
            _ => break,
        }
    }
    let fetch = move |edge: &Edge| edge.engine.retrieve(request).map_err(|it| Fault::officer(&it));
    let retrieved = look_up(edge, fetch).await?;
    if wanted.is_cms() {
        let result = Ok(submitted(&retrieved));
        let answer = move |edge: &Edge| Ok(cms::answer(&edge.engine, wanted, &sent, &result));
        if let Some(answer) = look_up(edge, answer).await? {
            return answer;
        }
    }
    Ok(rows::retrieved_with(retrieved, denied))
}

/// The same as whoever came first was told.
fn submitted(retrieved: &Retrieved) -> Submitted {
    let Retrieved { record, certificate, event: _ } = retrieved;
    let message = record.message.clone();
    let outcome = match (record.disposition, certificate) {
        (Disposition::Denied, _) => {
            Outcome::Denied { code: "request-denied", status: record.status, message }
        }
        (_, Some(row)) => Outcome::Issued {
            serial: row.certificate.serial,
            certificate: row.certificate.raw.clone(),
            subject: row.certificate.subject.clone(),
            not_before: row.certificate.not_before,
            not_after: row.certificate.not_after,
            event: row.event,
        },
        _ => Outcome::Pending { message },
    };
    Submitted { request: record.id, outcome }
}

#[cfg(test)]
mod tests {
    use exeunt_api::IDEMPOTENCY_KEY_BYTES_MAX;

    use super::*;

    const BAD: &str = "idempotency-key-invalid";

    #[track_caller]
    fn check(values: &[&str], expected: Result<Option<&str>, &'static str>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY_HEADER, value.parse().unwrap());
        }
        let found = key(&headers).map_err(|it| it.code);
        let expected = expected.map(|it| it.map(str::to_owned));
        assert_eq!(found, expected, "{values:?}");
    }

    #[test]
    fn a_key_is_plain_text_of_bounded_length() {
        check(&[], Ok(None));
        let example = "8e03978e-40d5-43dd-bc93-6894a57f9324";
        check(&[&format!("\"{example}\"")], Ok(Some(example)));
        check(&[example], Ok(Some(example)));
        let longest = "x".repeat(IDEMPOTENCY_KEY_BYTES_MAX);
        check(&[&longest], Ok(Some(&longest)));
        for bad in ["", "\"\"", "\"", "a b", "\"a\\\"b\"", "\"a", "a\u{7f}", &format!("{longest}x")]
        {
            if bad.parse::<hyper::header::HeaderValue>().is_ok() {
                check(&[bad], Err(BAD));
            }
        }
        check(&["a", "a"], Err(BAD));
    }

    #[test]
    fn what_is_asked_for_is_told_apart_however_it_is_cut() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let all = [
            digest(None, &[], b"request"),
            digest(None, &[], b"request2"),
            digest(Some(""), &[], b"request"),
            digest(Some("a"), &[], b"request"),
            digest(None, &[pair("a", "b")], b"request"),
            digest(None, &[pair("ab", "")], b"request"),
            digest(None, &[pair("a", "b"), pair("c", "d")], b"request"),
        ];
        for (at, it) in all.iter().enumerate() {
            assert!(!all[..at].contains(it), "{at}");
        }
    }
}
