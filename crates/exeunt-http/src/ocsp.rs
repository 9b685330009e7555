//! OCSP over HTTP (RFC 6960, appendix A.1; RFC 5019, sections 5 and 6). Nobody has to say who he is.
//!
//! What a request means is the engine's business. A request that arrived as HTTP is answered 200
//! with an `OCSPResponse`, which may be a refusal.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine as _};
use exeunt_api::{OCSP_REQUEST_BYTES_MAX, OCSP_RESPONSE_MEDIA_TYPE};
use exeunt_engine::OcspAnswer;
use exeunt_types::UnixMillis;
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, IF_NONE_MATCH};
use percent_encoding::percent_decode_str;

use crate::answer::Answer;
use crate::body;
use crate::fault::Fault;
use crate::handler::{Edge, with_permit};
use crate::relying::{Tags, tag};
use crate::reply::Reply;

/// The `OCSPResponse` with the status `tryLater` (RFC 6960, section 4.2.1).
const TRY_LATER: [u8; 5] = [0x30, 3, 0x0a, 1, 3];

/// Clients differ in whether they keep the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `POST /ocsp`. Whatever the media type says, the body is a request or it is malformed.
pub(crate) async fn post(edge: &Arc<Edge>, body: Incoming) -> Result<Answer, Fault> {
    let too_large = Fault::ocsp_too_large;
    let request =
        body::read_within(body, edge.limits.read, OCSP_REQUEST_BYTES_MAX, too_large).await?;
    let answer = ask(edge, request).await?;
    Ok(plain(answer.der))
}

/// `GET /ocsp/{request}`, which others may keep the answer of.
pub(crate) async fn get(
    edge: &Arc<Edge>,
    encoded: &str,
    headers: &HeaderMap,
) -> Result<Answer, Fault> {
    // What is no base64 is no request, and the engine says so.
    let request = decoded(encoded).unwrap_or_default();
    let answer = ask(edge, request).await?;
    let Some(tags) = tags(&answer, (edge.now)()) else { return Ok(plain(answer.der)) };
    // By the tag alone: within one second there may be two answers, and dates have no fractions.
    if headers.contains_key(IF_NONE_MATCH) && tags.matches(headers) {
        return Ok(tags.not_modified());
    }
    Ok(tags.answer(OCSP_RESPONSE_MEDIA_TYPE, Reply::whole(Bytes::from(answer.der))))
}

async fn ask(edge: &Arc<Edge>, request: Vec<u8>) -> Result<OcspAnswer, Fault> {
    // Here and at once: it is in memory, and handing it to another thread and back would cost four
    // times as much as the answer. That the room is full is nothing to it.
    if let Some(answer) = edge.engine.kept_ocsp_answer(&request) {
        return Ok(answer);
    }
    let Some(in_flight) = edge.rooms.ocsp_queue.try_enter() else {
        // Not louder: whoever can fill the room could fill the log as well.
        tracing::debug!(code = "server-busy", "as many OCSP requests as it takes are in flight");
        return Ok(OcspAnswer::refusal(&TRY_LATER, (edge.now)()));
    };
    let permit = edge.rooms.ocsp.enter().await?;
    with_permit(edge, (in_flight, permit), move |edge| edge.engine.answer_ocsp(&request)).await
}

/// The octets of a request in a path, as clients write them: `/`, `+` and `=` as they are or in
/// percent, with a slash too many where the address in the certificate ended in one.
fn decoded(encoded: &str) -> Option<Vec<u8>> {
    // As long as it can become, at once: octets come one at a time and do not say how many.
    let mut text = Vec::with_capacity(encoded.len());
    text.extend(percent_decode_str(encoded));
    // No request begins with that: it would be 0xFC and not a SEQUENCE.
    let start = text.iter().position(|it| *it != b'/')?;
    BASE64.decode(&text[start..]).ok()
}

/// How long others may keep the answer, if they may.
fn tags(answer: &OcspAnswer, now: UnixMillis) -> Option<Tags> {
    let OcspAnswer { sha256, this_update, next_update, cacheable, .. } = answer;
    let next_update = next_update.filter(|_| *cacheable)?;
    let cache_s = next_update.0.saturating_sub(now.0).div_euclid(1000);
    (0 < cache_s).then(|| Tags {
        tag: tag(sha256),
        modified: Some(moment(*this_update)),
        expires: Some(moment(next_update)),
        cache_s,
    })
}

fn moment(at: UnixMillis) -> SystemTime {
    let millis = u64::try_from(at.0).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

/// An answer for this client and nobody else.
fn plain(der: Vec<u8>) -> Answer {
    let mut answer = Response::new(Reply::whole(Bytes::from(der)));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(OCSP_RESPONSE_MEDIA_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use exeunt_x509::{OcspRefusal, refuse_ocsp};

    use super::*;

    // Expected values: `printf TEXT | base64 -d`.
    #[test]
    fn a_request_in_a_path_is_read_however_it_is_written() {
        let check = |encoded: &str, expected: Option<&[u8]>| {
            assert_eq!(decoded(encoded).as_deref(), expected, "{encoded}");
        };
        let octets = &[0x30, 0xff, 0xef, 0xbf][..];
        for same in ["MP/vvw==", "MP/vvw", "MP%2fvvw%3D%3D", "/MP/vvw==", "//MP%2Fvvw"] {
            check(same, Some(octets));
        }
        check("MPvv%2Bw%3D%3D", Some(&[0x30, 0xfb, 0xef, 0xfb]));
        check("MPvv+w==", Some(&[0x30, 0xfb, 0xef, 0xfb]));
        for bad in ["", "/", "M", "MP vvw==", "MP%vvw", "MP-vvw", "MPvvw===", "MPvv\u{e4}"] {
            check(bad, None);
        }
    }

    #[test]
    fn trying_later_is_said_in_the_words_of_ocsp() {
        assert_eq!(TRY_LATER, refuse_ocsp(OcspRefusal::TryLater));
    }

    #[test]
    fn the_edge_reads_as_much_as_the_parser() {
        assert_eq!(OCSP_REQUEST_BYTES_MAX, exeunt_x509::OCSP_REQUEST_BYTES_MAX);
    }

    #[test]
    fn an_answer_is_kept_until_it_ends_and_only_where_that_is_allowed() {
        let check = |next_update: Option<i64>, cacheable: bool, expected: Option<i64>| {
            let answer = OcspAnswer {
                der: vec![0x30, 0],
                this_update: UnixMillis(1_000_000),
                next_update: next_update.map(UnixMillis),
                cacheable,
                sha256: [0; 32],
            };
            let found = tags(&answer, UnixMillis(1_100_500)).map(|it| it.cache_s);
            assert_eq!(found, expected, "{next_update:?}, {cacheable}");
        };
        check(Some(1_200_000), true, Some(99));
        check(Some(1_101_500), true, Some(1));
        check(Some(1_101_499), true, None);
        check(Some(1_000_500), true, None);
        check(Some(1_200_000), false, None);
        check(None, true, None);
    }
}
