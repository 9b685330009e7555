//! Queries of lists: filters, order, place and format. What contradicts itself, or is not known, is
//! refused: a filter that was misspelt must not find everything.

use std::time::Duration;

use exeunt_api::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use exeunt_types::{
    AuditQuery, CertificateFilter, CertificateKey, CertificateSort, Disposition, FilterError,
    KeyAlgorithm, RequestFilter, RequestId, RevocationReason, SerialPrefix, Span, StatusCode,
    TextFilter, UnixMillis,
};

use crate::endpoint::{AUDIT_QUERY, CERTIFICATE_QUERY, Parameter, REQUEST_QUERY};
use crate::fault::Fault;
use crate::query::Keys;

/// How rows go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A page as one JSON document.
    Page,
    /// All rows as CSV, as many pages as there are.
    Csv,
    /// The same, a JSON object for each line.
    JsonLines,
}

/// Which rows of a list, in which order, from where on, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListQuery<F, S, K> {
    pub(crate) filter: F,
    pub(crate) sort: S,
    pub(crate) descending: bool,
    pub(crate) after: Option<K>,
    /// Most rows; none for all that there are.
    pub(crate) limit: Option<u64>,
    pub(crate) format: Format,
}

pub(crate) type RequestQuery = ListQuery<RequestFilter, (), RequestId>;
pub(crate) type CertificateQuery = ListQuery<CertificateFilter, CertificateSort, CertificateKey>;

impl RequestQuery {
    pub(crate) fn parse(query: &str, now: UnixMillis) -> Result<Self, Fault> {
        let keys = Keys::parse(query, &names(REQUEST_QUERY))?;
        let filter = RequestFilter {
            ids: ids(&keys)?,
            dispositions: states(&keys, &Disposition::ALL)?,
            requester: text(&keys, "requester", "requester_is")?,
            caller: text(&keys, "caller", "caller_is")?,
            template: exact(&keys, "template"),
            subject: text(&keys, "subject", "subject_is")?,
            serial: serial(&keys)?,
            status: status(&keys)?,
            submitted: times(&keys, ["submitted_from", "submitted_to"], (now, Side::Past))?,
            resolved: times(&keys, ["resolved_from", "resolved_to"], (now, Side::Past))?,
        };
        filter.check().map_err(|err| refused(&err))?;
        if !matches!(keys.value("sort"), None | Some("id")) {
            return Err(Fault::filter("sort: requests are sorted by id".to_owned()));
        }
        let descending = order(&keys)?.unwrap_or(keys.value("sort").is_none());
        let after = match (before(&keys, descending)?, keys.number("after")?) {
            (Some(before), _) => Some(before),
            (None, after) => after.map(RequestId),
        };
        let format = format(&keys)?;
        Ok(Self { filter, sort: (), descending, after, limit: limit(&keys, format)?, format })
    }
}

impl CertificateQuery {
    pub(crate) fn parse(query: &str, now: UnixMillis) -> Result<Self, Fault> {
        let keys = Keys::parse(query, &names(CERTIFICATE_QUERY))?;
        let mut not_after = times(&keys, ["not_after_from", "not_after_to"], (now, Side::Future))?;
        if let Some(within) = keys.value("expiring_within") {
            if !not_after.is_open() {
                let words = "expiring_within and not_after_… say the same: give one";
                return Err(Fault::filter(words.to_owned()));
            }
            let within = duration(within).ok_or_else(|| {
                Fault::filter("expiring_within: a time like 30d, 12h, 90m".to_owned())
            })?;
            not_after = Span { from: Some(now), to: Some(now.plus(within)) };
        }
        let with_certificate = [Disposition::Issued, Disposition::Revoked, Disposition::Foreign];
        let filter = CertificateFilter {
            requests: ids(&keys)?,
            dispositions: states(&keys, &with_certificate)?,
            reason: reason(&keys)?,
            serial: serial(&keys)?,
            subject: text(&keys, "subject", "subject_is")?,
            names: text(&keys, "san", "san_is")?,
            requester: text(&keys, "requester", "requester_is")?,
            template: exact(&keys, "template"),
            key: key(&keys)?,
            ca_key: keys
                .number("ca_key")?
                .map(|it| u16::try_from(it).map_err(|_| Fault::filter("ca_key: 0 to 65535".into())))
                .transpose()?,
            issued: times(&keys, ["issued_from", "issued_to"], (now, Side::Past))?,
            not_before: times(&keys, ["not_before_from", "not_before_to"], (now, Side::Past))?,
            not_after,
        };
        filter.check().map_err(|err| refused(&err))?;
        let sort = match keys.value("sort") {
            Some("id") => CertificateSort::Request,
            Some("not-after") => CertificateSort::NotAfter,
            Some(_) => {
                let words = "sort: certificates are sorted by id or not-after";
                return Err(Fault::filter(words.to_owned()));
            }
            // Who asks by the end of validity gets what ends first, and by the index.
            None if filter.not_after.is_open() => CertificateSort::Request,
            None => CertificateSort::NotAfter,
        };
        let newest_first = keys.value("sort").is_none() && sort == CertificateSort::Request;
        let descending = order(&keys)?.unwrap_or(newest_first);
        let by_id = descending && sort == CertificateSort::Request;
        let after = match (before(&keys, by_id)?, keys.value("after")) {
            // The order goes by the request alone.
            (Some(request), _) => Some(CertificateKey { request, not_after: UnixMillis(0) }),
            (None, Some(text)) => Some(text.parse().map_err(|_| {
                Fault::filter("after: copy it from 'next' of the page before".to_owned())
            })?),
            (None, None) => None,
        };
        let format = format(&keys)?;
        Ok(Self { filter, sort, descending, after, limit: limit(&keys, format)?, format })
    }
}

fn names<const N: usize>(parameters: &[Parameter; N]) -> [&'static str; N] {
    parameters.each_ref().map(|it| it.name)
}

/// Where a time without a sign lies.
#[derive(Clone, Copy)]
enum Side {
    Past,
    Future,
}

fn refused(err: &FilterError) -> Fault {
    Fault::filter(err.to_string())
}

fn ids(keys: &Keys) -> Result<Span<RequestId>, Fault> {
    let from = keys.number("id_from")?.map(RequestId);
    Ok(Span { from, to: keys.number("id_to")?.map(RequestId) })
}

fn states(keys: &Keys, known: &[Disposition]) -> Result<Vec<Disposition>, Fault> {
    let Some(words) = keys.value("state") else { return Ok(Vec::new()) };
    let state = |word: &str| {
        let found = Disposition::from_word(word).filter(|it| known.contains(it));
        found.ok_or_else(|| {
            let known: Vec<&str> = known.iter().map(|it| it.word()).collect();
            Fault::filter(format!("state: one or more of {}", known.join(",")))
        })
    };
    words.split(',').map(state).collect()
}

fn reason(keys: &Keys) -> Result<Option<RevocationReason>, Fault> {
    let Some(word) = keys.value("reason") else { return Ok(None) };
    let found = RevocationReason::from_word(word);
    found.map(Some).ok_or_else(|| {
        let known = RevocationReason::ALL.map(RevocationReason::word);
        Fault::filter(format!("reason: one of {}", known.join(", ")))
    })
}

fn text(keys: &Keys, contains: &str, is: &str) -> Result<Option<TextFilter>, Fault> {
    match (keys.value(contains), keys.value(is)) {
        (Some(_), Some(_)) => Err(Fault::filter(format!("{contains} and {is} are two: give one"))),
        (Some(text), None) => Ok(Some(TextFilter::Contains(text.to_owned()))),
        (None, Some(text)) => Ok(Some(TextFilter::Is(text.to_owned()))),
        (None, None) => Ok(None),
    }
}

fn exact(keys: &Keys, key: &str) -> Option<TextFilter> {
    keys.value(key).map(|it| TextFilter::Is(it.to_owned()))
}

fn serial(keys: &Keys) -> Result<Option<SerialPrefix>, Fault> {
    keys.value("serial").map(SerialPrefix::parse).transpose().map_err(|err| refused(&err))
}

fn status(keys: &Keys) -> Result<Option<StatusCode>, Fault> {
    let Some(text) = keys.value("status_code") else { return Ok(None) };
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let wrong = |_| Fault::filter("status_code: a number like 0x80094011".to_owned());
    number.map(|it| Some(StatusCode(it))).map_err(wrong)
}

/// A name of an algorithm, or the family before the dash.
fn key(keys: &Keys) -> Result<Option<String>, Fault> {
    let Some(text) = keys.value("key") else { return Ok(None) };
    let family = format!("{text}-");
    let known = |it: KeyAlgorithm| it.name() == text || it.name().starts_with(&family);
    let rsa = text.strip_prefix("rsa-").is_some_and(|it| it.parse::<u32>().is_ok());
    if rsa || KeyAlgorithm::KEY_TYPES.into_iter().any(known) {
        return Ok(Some(text.to_owned()));
    }
    let names = KeyAlgorithm::KEY_TYPES.map(KeyAlgorithm::name).join(", ");
    Err(Fault::filter(format!("key: rsa, ecdsa, ml-dsa, or one of {names}")))
}

fn times(
    keys: &Keys,
    [from, to]: [&str; 2],
    at: (UnixMillis, Side),
) -> Result<Span<UnixMillis>, Fault> {
    let end = |key| keys.value(key).map(|it| moment(it, key, at)).transpose();
    Ok(Span { from: end(from)?, to: end(to)? })
}

/// A moment: RFC 3339, or a time from now like `30d`; with a sign it lies behind (`-`) or ahead (`+`).
fn moment(text: &str, key: &str, (now, side): (UnixMillis, Side)) -> Result<UnixMillis, Fault> {
    let (ahead, time) = match text.as_bytes().first() {
        Some(b'-') => (false, &text[1..]),
        // A plus in a query is a blank when it is not escaped.
        Some(b'+' | b' ') => (true, &text[1..]),
        _ => (matches!(side, Side::Future), text),
    };
    if let Some(duration) = duration(time) {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let behind = UnixMillis(now.0.saturating_sub(millis));
        return Ok(if ahead { now.plus(duration) } else { behind });
    }
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    parsed.map(|it| UnixMillis(it.as_millisecond())).map_err(|_| {
        Fault::filter(format!("{key}: a moment like 2026-12-01T00:00:00Z, or a time like 30d"))
    })
}

/// A number with its unit: seconds, minutes, hours, days or weeks.
fn duration(text: &str) -> Option<Duration> {
    let unit = match text.as_bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3_600,
        b'd' => 86_400,
        b'w' => 604_800,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    let number: u32 = digits.parse().ok().filter(|_| !digits.starts_with('+'))?;
    Some(Duration::from_secs(u64::from(number) * unit))
}

/// Whether it goes down, if that is said.
fn order(keys: &Keys) -> Result<Option<bool>, Fault> {
    match keys.value("order") {
        None => Ok(None),
        Some("asc") => Ok(Some(false)),
        Some("desc") => Ok(Some(true)),
        Some(_) => Err(Fault::filter("order: asc or desc".to_owned())),
    }
}

/// `before` is the older name of `after`, in the order that was the only one.
fn before(keys: &Keys, newest_first: bool) -> Result<Option<RequestId>, Fault> {
    let before = keys.number("before")?.map(RequestId);
    if before.is_some() && keys.value("after").is_some() {
        return Err(Fault::filter("before and after are two: give one".to_owned()));
    }
    if before.is_some() && !newest_first {
        let words = "before: for lists with the newest first; in any other order give after";
        return Err(Fault::filter(words.to_owned()));
    }
    Ok(before)
}

fn format(keys: &Keys) -> Result<Format, Fault> {
    match keys.value("format") {
        None | Some("json") => Ok(Format::Page),
        Some("csv") => Ok(Format::Csv),
        Some("jsonl") => Ok(Format::JsonLines),
        Some(_) => Err(Fault::filter("format: json, jsonl or csv".to_owned())),
    }
}

/// A page has a limit; what goes out row by row needs none.
fn limit(keys: &Keys, format: Format) -> Result<Option<u64>, Fault> {
    let limit = keys.number("limit")?;
    let default = (format == Format::Page).then_some(u64::from(PAGE_ROWS_DEFAULT));
    let most = if format == Format::Page { u64::from(PAGE_ROWS_MAX) } else { u64::MAX };
    if limit.is_some_and(|it| it == 0 || most < it) {
        return Err(Fault::query(match format {
            Format::Page => format!("limit is 1 to {PAGE_ROWS_MAX}"),
            _ => "limit is at least 1".to_owned(),
        }));
    }
    Ok(limit.or(default))
}

/// Which rows of the audit trail; the newest first where nothing else is said.
pub(crate) fn audit_query(query: &str, now: UnixMillis) -> Result<AuditQuery, Fault> {
    let keys = Keys::parse(query, &names(AUDIT_QUERY))?;
    let Span { from: since, to: until } = times(&keys, ["since", "until"], (now, Side::Past))?;
    let event = keys.number("event")?.map(u32::try_from).transpose();
    let limit = limit(&keys, Format::Page)?.unwrap_or_default();
    Ok(AuditQuery {
        actor: keys.value("actor").map(str::to_owned),
        action: keys.value("action").map(str::to_owned),
        object: keys.value("object").map(str::to_owned),
        event: event.map_err(|_| Fault::query("event is not a number in range".to_owned()))?,
        since,
        until,
        descending: order(&keys)?.unwrap_or(true),
        after: keys.number("after")?,
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21T17:00:00Z.
    const NOW: UnixMillis = UnixMillis(1_795_280_400_000);
    const DAY: i64 = 86_400_000;

    fn requests(query: &str) -> Result<RequestQuery, String> {
        RequestQuery::parse(query, NOW).map_err(|it| it.problem().detail)
    }

    fn certificates(query: &str) -> Result<CertificateQuery, String> {
        CertificateQuery::parse(query, NOW).map_err(|it| it.problem().detail)
    }

    #[test]
    fn nothing_means_everything_newest_first() {
        let all = requests("").unwrap();
        assert_eq!(all.filter, RequestFilter::default());
        assert_eq!((all.descending, all.after, all.limit), (true, None, Some(100)));
        let all = certificates("before=7&limit=1000").unwrap();
        assert_eq!((all.sort, all.descending), (CertificateSort::Request, true));
        assert_eq!(all.after.map(|it| it.request), Some(RequestId(7)));
        assert_eq!(certificates("format=csv").unwrap().limit, None);
    }

    #[test]
    fn every_column_has_its_filter() {
        let query = "id_from=2&id_to=9&state=issued,denied&requester=bob&caller_is=eve&template=web\
                     &subject=host&serial=5C&status_code=0x80094011&submitted_from=7d\
                     &submitted_to=2026-11-21T17:00:00Z&resolved_from=12h&sort=id";
        let found = requests(query).unwrap();
        let expected = RequestFilter {
            ids: Span { from: Some(RequestId(2)), to: Some(RequestId(9)) },
            dispositions: vec![Disposition::Issued, Disposition::Denied],
            requester: Some(TextFilter::Contains("bob".to_owned())),
            caller: Some(TextFilter::Is("eve".to_owned())),
            template: Some(TextFilter::Is("web".to_owned())),
            subject: Some(TextFilter::Contains("host".to_owned())),
            serial: Some(SerialPrefix::parse("5c").unwrap()),
            status: Some(StatusCode::ENROLL_DENIED),
            submitted: Span { from: Some(UnixMillis(NOW.0 - 7 * DAY)), to: Some(NOW) },
            resolved: Span { from: Some(UnixMillis(NOW.0 - DAY / 2)), to: None },
        };
        assert_eq!((found.filter, found.descending), (expected, false));

        let query = "state=revoked&reason=superseded&san=host&key=rsa&ca_key=1&issued_from=4w\
                     &not_before_to=-1d&not_after_from=%2B1d&not_after_to=30d&order=desc";
        let found = certificates(query).unwrap();
        let filter = found.filter;
        assert_eq!(filter.reason, Some(RevocationReason::Superseded));
        assert_eq!((filter.key.as_deref(), filter.ca_key), (Some("rsa"), Some(1)));
        assert_eq!(filter.issued.from, Some(UnixMillis(NOW.0 - 28 * DAY)));
        assert_eq!(filter.not_before.to, Some(UnixMillis(NOW.0 - DAY)));
        let ahead = |days| Some(UnixMillis(NOW.0 + days * DAY));
        assert_eq!(filter.not_after, Span { from: ahead(1), to: ahead(30) });
        assert_eq!((found.sort, found.descending), (CertificateSort::NotAfter, true));
    }

    #[test]
    fn what_expires_soon_comes_soonest_first() {
        let found = certificates("expiring_within=30d").unwrap();
        let end = UnixMillis(NOW.0 + 30 * DAY);
        assert_eq!(found.filter.not_after, Span { from: Some(NOW), to: Some(end) });
        assert_eq!((found.sort, found.descending), (CertificateSort::NotAfter, false));
        let found = certificates("expiring_within=30d&sort=id&after=7.1").unwrap();
        assert_eq!((found.sort, found.descending), (CertificateSort::Request, false));
        assert_eq!(found.after.map(|it| it.request), Some(RequestId(7)));
    }

    #[test]
    fn what_is_unknown_or_contradicts_itself_is_refused_by_name() {
        for (query, words) in [
            ("tempalte=x", "\"tempalte\" is not known; this path takes after"),
            ("state=isued", "state: one or more of active,pending,"),
            ("id_from=9&id_to=2", "id: the end lies before the beginning"),
            ("subject=a&subject_is=b", "subject and subject_is are two: give one"),
            ("subject=", "subject: the text is empty"),
            ("serial=5g", "serial: not 1 to 40 hexadecimal digits"),
            ("status_code=x", "status_code: a number like 0x80094011"),
            ("submitted_from=yesterday", "submitted_from: a moment like "),
            ("submitted_from=1y", "submitted_from: a moment like "),
            ("sort=subject", "sort: requests are sorted by id"),
            ("order=down", "order: asc or desc"),
            ("before=1&after=2", "before and after are two: give one"),
            ("before=1&sort=id", "before: for lists with the newest first"),
            ("limit=1001", "limit is 1 to 1000"),
            ("format=csv&limit=0", "limit is at least 1"),
            ("format=xml", "format: json, jsonl or csv"),
        ] {
            let refused = requests(query).unwrap_err();
            assert!(refused.starts_with(words), "{query}: {refused}");
        }
        for (query, words) in [
            ("state=denied", "state: one or more of issued,revoked,foreign"),
            ("state=issued&reason=superseded", "reason: only revoked certificates have one"),
            ("reason=theft", "reason: one of unspecified"),
            ("expiring_within=30d&not_after_to=1d", "expiring_within and not_after"),
            ("expiring_within=-30d", "expiring_within: a time like"),
            ("key=dsa", "key: rsa, ecdsa, ml-dsa, or one of "),
            ("ca_key=65536", "ca_key: 0 to 65535"),
            ("after=7", "after: copy it from 'next'"),
            ("expiring_within=1d&before=7", "before: for lists with the newest first"),
            ("sort=subject", "sort: certificates are sorted by id or not-after"),
            ("id_from=1&id_from=2", "id_from occurs twice"),
        ] {
            let refused = certificates(query).unwrap_err();
            assert!(refused.starts_with(words), "{query}: {refused}");
        }
    }
}
