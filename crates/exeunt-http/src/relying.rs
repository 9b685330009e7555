//! What relying parties fetch: revocation lists. Nobody has to say who he is. The CA's certificates are in
//! `own.rs`.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use exeunt_api::CRL_MEDIA_TYPE;
use exeunt_types::{CrlKind, CrlLine, CrlRecord, UnixMillis};
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, EXPIRES, HeaderMap, HeaderName, HeaderValue,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use hyper::{Response, StatusCode};

use crate::answer::Answer;
use crate::fault::Fault;
use crate::handler::{Edge, blocking};
use crate::reply::Reply;

/// How long a list may be kept that should have been replaced already, in seconds: as long as a
/// failed run waits before it is tried again.
const LATE_LIST_S: i64 = 600;

/// Which list a file's name means: `ca.crl`, `ca+.crl`, for later keys `ca(1).crl`, `ca(1)+.crl`, and for
/// parts `ca_Partition00003.crl`, as the original's `CRLNameSuffix`, `CRLPartitionIndex` and
/// `DeltaCRLAllowed` make them, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListName(pub(crate) CrlLine);

impl ListName {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        // What clients may write in place of the characters of a path's segment (RFC 3986, 2.1).
        let name = ["%2B", "%2b"].iter().fold(name.to_owned(), |it, code| it.replace(code, "+"));
        let name = name.replace("%28", "(").replace("%29", ")");
        let stem = name.strip_prefix("ca")?.strip_suffix(".crl")?;
        let (stem, kind) = match stem.strip_suffix('+') {
            Some(stem) => (stem, CrlKind::Delta),
            None => (stem, CrlKind::Base),
        };
        let (stem, partition) = match stem.split_once("_Partition") {
            // Five digits, and the whole has none.
            Some((stem, digits)) if digits.len() == 5 => (stem, number(digits, true)?),
            Some(_) => return None,
            None => (stem, 0),
        };
        if stem.is_empty() {
            return Some(Self(CrlLine { kind, key_index: 0, partition }));
        }
        let digits = stem.strip_prefix('(')?.strip_suffix(')')?;
        let key_index = u16::try_from(number(digits, false)?).ok()?;
        Some(Self(CrlLine { kind, key_index, partition }))
    }
}

/// A number that is not 0, of which there is one text: no sign, and no zero before it, unless it is
/// filled up with them.
fn number(digits: &str, filled: bool) -> Option<u32> {
    let is_plain = digits.bytes().all(|it| it.is_ascii_digit());
    let is_plain = is_plain && (filled || !digits.starts_with('0'));
    digits.parse().ok().filter(|it| is_plain && *it != 0)
}

/// `GET /crl/{name}`: the newest list of that name.
pub(crate) async fn newest_list(
    edge: &Arc<Edge>,
    name: ListName,
    headers: &HeaderMap,
) -> Result<Answer, Fault> {
    let ListName(line) = name;
    let found = blocking(edge, &edge.rooms.relying, move |edge| {
        let found = edge.engine.current_crl(line).map_err(|err| {
            tracing::error!(code = err.code(), error = %err, "a revocation list was not looked up");
            Fault::store(err.code())
        })?;
        let record = found.ok_or_else(Fault::no_list)?;
        let file = open(edge, &record)?;
        Ok((record, file))
    });
    let (record, file) = found.await??;
    let tags = Tags::of(&record, (edge.now)());
    if tags.matches(headers) {
        return Ok(tags.not_modified());
    }
    Ok(tags.answer(CRL_MEDIA_TYPE, Reply::file(file, record.length)))
}

/// `GET /v1/crls/{number}/{kind}`: one list, whether it is the newest or not.
pub(crate) fn list(edge: &Edge, record: &CrlRecord) -> Result<Answer, Fault> {
    let file = open(edge, record)?;
    let tags = Tags { cache_s: 0, ..Tags::of(record, UnixMillis(i64::MAX)) };
    Ok(tags.answer(CRL_MEDIA_TYPE, Reply::file(file, record.length)))
}

fn open(edge: &Edge, record: &CrlRecord) -> Result<File, Fault> {
    let path = edge.engine.crl_file(record);
    let opened = File::open(&path).and_then(|file| {
        if file.metadata()?.len() == record.length {
            return Ok(file);
        }
        Err(io::Error::other("it has not the length that it was made with"))
    });
    opened.map_err(|err| {
        let path = path.display();
        tracing::error!(code = "crl-file-missing", error = %err, "{path} cannot be handed out");
        Fault::list_file(record.number.0)
    })
}

/// What lets somebody keep a thing, and ask later whether it is still the same.
pub(crate) struct Tags {
    /// Strong entity tag, in its quotes.
    pub(crate) tag: HeaderValue,
    /// When it was made.
    pub(crate) modified: Option<SystemTime>,
    /// When it ends.
    pub(crate) expires: Option<SystemTime>,
    /// How long it may be kept, in seconds; not at all for 0.
    pub(crate) cache_s: i64,
}

impl Tags {
    fn of(record: &CrlRecord, now: UnixMillis) -> Self {
        let millis = u64::try_from(record.this_publish.0).unwrap_or_default();
        Self {
            tag: tag(&record.sha256),
            modified: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(millis)),
            expires: None,
            cache_s: cache_s(record, now),
        }
    }

    /// Whether the client has it already. Dates count only where no tags are named (RFC 9110, section
    /// 13.2.2).
    pub(crate) fn matches(&self, headers: &HeaderMap) -> bool {
        let mut tags = headers.get_all(IF_NONE_MATCH).iter().peekable();
        if tags.peek().is_some() {
            let own = self.tag.as_bytes();
            let is_own = |it: &[u8]| {
                let it = it.trim_ascii();
                // The comparison is the weak one (RFC 9110, section 13.1.2).
                it == b"*" || it.strip_prefix(b"W/").unwrap_or(it) == own
            };
            return tags.any(|it| it.as_bytes().split(|it| *it == b',').any(is_own));
        }
        let since = headers.get(IF_MODIFIED_SINCE).and_then(|it| it.to_str().ok());
        let Some(since) = since.and_then(|it| httpdate::parse_http_date(it).ok()) else {
            return false;
        };
        // Dates of HTTP have no fractions.
        let whole =
            |it: SystemTime| it.duration_since(SystemTime::UNIX_EPOCH).map(|it| it.as_secs());
        match (self.modified.map(whole), whole(since)) {
            (Some(Ok(modified)), Ok(since)) => modified <= since,
            _ => false,
        }
    }

    pub(crate) fn not_modified(&self) -> Answer {
        let mut answer = Response::new(Reply::whole(Bytes::new()));
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        self.put(answer.headers_mut());
        answer
    }

    pub(crate) fn answer(&self, media_type: &'static str, body: Reply) -> Answer {
        let mut answer = Response::new(body);
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        self.put(headers);
        answer
    }

    fn put(&self, headers: &mut HeaderMap) {
        // These, the media type, and what the library adds.
        headers.reserve(8);
        let mut text = |name: HeaderName, text: String| {
            let value = HeaderValue::try_from(text).expect("BUG: dates and numbers are plain");
            headers.insert(name, value);
        };
        if let Some(modified) = self.modified {
            text(LAST_MODIFIED, httpdate::fmt_http_date(modified));
        }
        if let Some(expires) = self.expires {
            text(EXPIRES, httpdate::fmt_http_date(expires));
        }
        // The words of RFC 5019, section 6.2.
        let cache_s = self.cache_s;
        let cache = match cache_s {
            0 => "no-store".to_owned(),
            _ => format!("public, max-age={cache_s}, no-transform, must-revalidate"),
        };
        text(CACHE_CONTROL, cache);
        headers.insert(ETAG, self.tag.clone());
    }
}

pub(crate) fn tag(sha256: &[u8]) -> HeaderValue {
    let mut tag = String::with_capacity(2 * sha256.len() + 2);
    tag.push('"');
    exeunt_types::push_hexadecimal(&mut tag, sha256);
    tag.push('"');
    HeaderValue::try_from(tag).expect("BUG: hexadecimal digits are plain")
}

/// Until the next list is due, and never past the end of this one.
fn cache_s(record: &CrlRecord, now: UnixMillis) -> i64 {
    let until = |it: UnixMillis| it.0.saturating_sub(now.0).div_euclid(1000);
    let (due, end) = (until(record.next_publish), until(record.next_update));
    // Zero says to ask each time; 1 is the shortest that is not "never keep it".
    if 0 < due { due.min(end).max(1) } else { LATE_LIST_S.min(end).max(1) }
}

#[cfg(test)]
mod tests {
    use exeunt_types::CrlNumber;

    use super::*;

    #[test]
    fn a_list_has_one_name() {
        use CrlKind::{Base, Delta};
        let check = |name: &str, expected: Option<(CrlKind, u16, u32)>| {
            let found = ListName::parse(name);
            let found = found.map(|ListName(it)| (it.kind, it.key_index, it.partition));
            assert_eq!(found, expected, "{name}");
        };
        check("ca.crl", Some((Base, 0, 0)));
        check("ca+.crl", Some((Delta, 0, 0)));
        check("ca%2B.crl", Some((Delta, 0, 0)));
        check("ca(1).crl", Some((Base, 1, 0)));
        check("ca%2812%29+.crl", Some((Delta, 12, 0)));
        check("ca_Partition00003.crl", Some((Base, 0, 3)));
        check("ca(1)_Partition00256+.crl", Some((Delta, 1, 256)));
        for bad in ["", "ca", "ca.crt", "ca(0).crl", "ca(01).crl", "ca(+1).crl", "ca().crl"] {
            check(bad, None);
        }
        for bad in ["ca(65536).crl", "ca++.crl", "../ca.crl", "ca+(1).crl", "CA.crl", "ca(1.crl"] {
            check(bad, None);
        }
        for bad in ["0", "00000", "3", "000003", "+0003", "00003(1)", "00001_Partition00001"] {
            check(&format!("ca_Partition{bad}.crl"), None);
        }
        check("ca_Partition00003(1).crl", None);
    }

    fn record() -> CrlRecord {
        CrlRecord {
            line: CrlLine { kind: CrlKind::Base, key_index: 0, partition: 0 },
            number: CrlNumber(1),
            min_base: None,
            shadow: false,
            this_update: UnixMillis(0),
            next_update: UnixMillis(2_000_000),
            // 1970-01-01T00:01:40.5Z.
            this_publish: UnixMillis(100_500),
            next_publish: UnixMillis(1_000_000),
            entries: 0,
            length: 1,
            sha256: [0xab; 32],
        }
    }

    #[test]
    fn a_list_is_kept_until_the_next_one_and_never_past_its_end() {
        let check = |now_s: i64, expected| {
            assert_eq!(cache_s(&record(), UnixMillis(now_s * 1000)), expected, "{now_s}");
        };
        check(100, 900);
        check(999, 1);
        // The next one is late.
        check(1000, 600);
        check(1500, 500);
        check(1999, 1);
        check(9999, 1);
    }

    #[test]
    fn whoever_has_it_already_is_told_so() {
        let tags = Tags::of(&record(), UnixMillis(200_000));
        let own = format!("\"{}\"", "ab".repeat(32));
        let check = |fields: &[(HeaderName, &str)], expected: bool| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(name, value.parse().unwrap());
            }
            assert_eq!(tags.matches(&headers), expected, "{fields:?}");
        };
        check(&[], false);
        check(&[(IF_NONE_MATCH, &own)], true);
        check(&[(IF_NONE_MATCH, "*")], true);
        check(&[(IF_NONE_MATCH, &format!("\"x\", W/{own}"))], true);
        check(&[(IF_NONE_MATCH, "\"x\"")], false);
        // The three forms of RFC 9110, section 5.6.7.
        check(&[(IF_MODIFIED_SINCE, "Thu, 01 Jan 1970 00:01:40 GMT")], true);
        check(&[(IF_MODIFIED_SINCE, "Thursday, 01-Jan-70 00:01:40 GMT")], true);
        check(&[(IF_MODIFIED_SINCE, "Thu Jan  1 00:01:40 1970")], true);
        check(&[(IF_MODIFIED_SINCE, "Thu, 01 Jan 1970 00:01:39 GMT")], false);
        check(&[(IF_MODIFIED_SINCE, "yesterday")], false);
        // A tag that differs outweighs a date that does not.
        let late = (IF_MODIFIED_SINCE, "Thu, 01 Jan 2026 00:00:00 GMT");
        check(&[(IF_NONE_MATCH, "\"x\""), late], false);
    }
}
