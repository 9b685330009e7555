//! Lists with a filter, a page at a time.
//!
//! A page is found in two steps: keys in order, each with whether it meets the filter, and then the
//! rows of those that do. Few columns have an index, because each would cost every certificate a page
//! write; so a page looks at [`SCAN_ROWS_MAX`] rows at most and says where it stopped. Nobody holds a
//! reader for longer than that, however rare what is looked for.

use std::fmt::Write as _;

use exeunt_types::{
    CertificateFilter, CertificateKey, CertificateSort, Disposition, Found, ListedCertificate,
    RequestFilter, RequestId, RequestRecord, SerialPrefix, Span, TextFilter, UnixMillis,
};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use crate::error::During as _;
use crate::lookup::{certificate_by_request, request_by_id};
use crate::reader::{ROWS_MAX, corrupt};
use crate::row::{read_code, read_id, read_revocation, read_time, sql_int};
use crate::{Store, StoreError};

/// Rows that one page looks at to find those that meet its filter. Tens of milliseconds with the file
/// in memory; from a slow disk, where each row is a page to read, seconds.
pub const SCAN_ROWS_MAX: usize = 16_384;

/// Shortest prefix of a serial number, in digits, that is looked up in the index of serial numbers. The
/// first ten digits say the time of issuance, so that fewer than these may mean many, and a prefix with
/// too many is not looked up there.
const SERIAL_DIGITS_MIN: usize = 8;
/// Most numbers with the same prefix that are taken from that index; beyond, the rows are looked at.
const SERIAL_MATCHES_MAX: usize = 256;

/// What a filter on requests joins; what is not asked for, `SQLite` leaves out.
const FROM_REQUEST: &str = "FROM request
     LEFT JOIN certificate ON certificate.request = request.id
     LEFT JOIN amendment ON amendment.request = request.id AND amendment.after =
         (SELECT max(older.after) FROM amendment AS older WHERE older.request = request.id)";
/// The same of certificates. A cross join keeps the order: certificates first.
const FROM_CERTIFICATE: &str = "FROM certificate
     CROSS JOIN request ON request.id = certificate.request
     LEFT JOIN revocation ON revocation.request = certificate.request";

const STATE_OF_CERTIFICATE: &str = "SELECT request.disposition, reason, ran, effective
     FROM request LEFT JOIN revocation ON revocation.request = request.id WHERE request.id = ?1";

impl Store {
    /// Requests that meet a filter, newest first or, if not `descending`, oldest first; those after
    /// the place `after` in that order only, and at most `limit` and [`crate::ROWS_MAX`].
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] names a row that cannot be read.
    pub fn find_requests(
        &self,
        filter: &RequestFilter,
        descending: bool,
        after: Option<RequestId>,
        limit: usize,
    ) -> Result<Found<RequestRecord, RequestId>, StoreError> {
        let action = "looking for requests";
        self.inner.readers.read(action, |conn| {
            let mut query = Query::default();
            query.requests(filter, serial_matches(conn, filter.serial.as_ref())?);
            query.span("request.id", filter.ids.from.map(id_key), filter.ids.to.map(id_key));
            if let Some(after) = after {
                query.after_id("request.id", descending, after);
            }
            let order = format!("request.id {}", direction(descending));
            let sql = query.sql("request.id, 0", FROM_REQUEST, "", &order);
            let mut found = Found { rows: Vec::new(), next: None };
            scan(conn, action, (&sql, &query.values), limit, &mut 0, &mut found)?;
            let row = |(id, _): &(RequestId, UnixMillis)| {
                let row = request_by_id(conn, *id, None)?;
                row.ok_or_else(|| missing("request", *id))
            };
            let rows: Result<_, _> = found.rows.iter().map(row).collect();
            Ok(Found { rows: rows?, next: found.next.map(|(id, _)| id) })
        })
    }

    /// Certificates that meet a filter, in an order; those after the place `after` in that order
    /// only, and at most `limit` and [`crate::ROWS_MAX`].
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] names a row that cannot be read.
    pub fn find_certificates(
        &self,
        filter: &CertificateFilter,
        (sort, descending): (CertificateSort, bool),
        after: Option<CertificateKey>,
        limit: usize,
    ) -> Result<Found<ListedCertificate, CertificateKey>, StoreError> {
        let action = "looking for certificates";
        self.inner.readers.read(action, |conn| {
            let mut query = Query::default();
            query.certificates(filter, serial_matches(conn, filter.serial.as_ref())?);
            let direction = direction(descending);
            let ids = &filter.requests;
            let (first, last) = (ids.from.map(id_key), ids.to.map(id_key));
            let valid = &filter.not_after;
            let mut legs = vec![String::new()];
            // What the order goes by ends the walk; the other is a condition like any.
            let order = match sort {
                CertificateSort::Request => {
                    query.span("certificate.request", first, last);
                    query.times("certificate.not_after", valid);
                    if let Some(after) = after {
                        query.after_id("certificate.request", descending, after.request);
                    }
                    format!("certificate.request {direction}")
                }
                CertificateSort::NotAfter => {
                    query.span_of("certificate.request", first, last);
                    legs = by_not_after(valid, descending, after);
                    format!("certificate.not_after {direction}, certificate.request {direction}")
                }
            };
            let keys = "certificate.request, certificate.not_after";
            let mut found = Found { rows: Vec::new(), next: None };
            let mut looked_at = 0;
            for leg in legs {
                if found.next.is_none() {
                    let sql = query.sql(keys, FROM_CERTIFICATE, &leg, &order);
                    scan(conn, action, (&sql, &query.values), limit, &mut looked_at, &mut found)?;
                }
            }
            let rows: Result<_, _> =
                found.rows.iter().map(|(id, _)| listed(conn, action, *id)).collect();
            let next = found.next.map(|(request, not_after)| CertificateKey { request, not_after });
            Ok(Found { rows: rows?, next })
        })
    }
}

/// Keys in order and whether each meets the filter, in the making.
#[derive(Default)]
struct Query {
    /// Where the walk goes: conditions on what the order goes by.
    walk: Vec<String>,
    /// What a row must meet.
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Query {
    fn requests(&mut self, filter: &RequestFilter, serials: Option<Vec<i64>>) {
        let RequestFilter {
            ids: _,
            dispositions,
            requester,
            caller,
            template,
            subject,
            serial,
            status,
            submitted,
            resolved,
        } = filter;
        self.dispositions(dispositions);
        self.text("request.requester", requester.as_ref());
        self.text("request.caller", caller.as_ref());
        self.text("ifnull(amendment.template, request.template)", template.as_ref());
        self.text("request.subject", subject.as_ref());
        self.serial("request.id", serial.as_ref(), serials);
        if let Some(status) = status {
            self.equal("request.status", i64::from(status.0));
        }
        self.times("request.submitted", submitted);
        self.times("request.resolved", resolved);
    }

    fn certificates(&mut self, filter: &CertificateFilter, serials: Option<Vec<i64>>) {
        let CertificateFilter {
            requests: _,
            dispositions,
            reason,
            serial,
            subject,
            names,
            requester,
            template,
            key,
            ca_key,
            issued,
            not_before,
            not_after: _,
        } = filter;
        self.dispositions(dispositions);
        if let Some(reason) = reason {
            self.equal("revocation.revoked", 1);
            self.equal("revocation.reason", i64::from(reason.code()));
        }
        self.text("certificate.subject", subject.as_ref());
        self.text("certificate.sans", names.as_ref());
        self.text("request.requester", requester.as_ref());
        self.text("request.template", template.as_ref());
        if let Some(key) = key {
            let name = self.bind(Value::Text(key.clone()));
            let family = self.bind(Value::Text(format!("{key}-")));
            self.conditions.push(format!(
                "(certificate.key = {name}
                  OR substr(certificate.key, 1, length({family})) = {family})"
            ));
        }
        if let Some(ca_key) = ca_key {
            self.equal("certificate.ca_key", i64::from(*ca_key));
            // The key of another CA has no index here.
            let foreign = Disposition::Foreign.code();
            self.conditions.push(format!("request.disposition <> {foreign}"));
        }
        self.times("certificate.issued", issued);
        self.times("certificate.not_before", not_before);
        // Last, because it may be the dearest.
        self.serial("certificate.request", serial.as_ref(), serials);
    }

    fn dispositions(&mut self, dispositions: &[Disposition]) {
        if !dispositions.is_empty() {
            // Few words of a closed set, so that their numbers may stand in the text.
            let codes: Vec<String> = dispositions.iter().map(|it| it.code().to_string()).collect();
            self.conditions.push(format!("request.disposition IN ({})", codes.join(", ")));
        }
    }

    fn text(&mut self, column: &str, filter: Option<&TextFilter>) {
        match filter {
            None => (),
            Some(TextFilter::Is(text)) => {
                let text = self.bind(Value::Text(text.clone()));
                self.conditions.push(format!("{column} = {text}"));
            }
            Some(TextFilter::Contains(text)) => {
                // Both sides are folded by ASCII alone, as the function of `SQLite` does.
                let text = self.bind(Value::Text(text.to_ascii_lowercase()));
                self.conditions.push(format!("0 < instr(lower({column}), {text})"));
            }
        }
    }

    /// By the requests that the index has named, or by looking at each number.
    fn serial(&mut self, id: &str, prefix: Option<&SerialPrefix>, matches: Option<Vec<i64>>) {
        let Some(prefix) = prefix else { return };
        if let Some(requests) = matches {
            let requests: Vec<String> = requests.iter().map(ToString::to_string).collect();
            self.walk.push(format!("{id} IN ({})", requests.join(", ")));
        }
        let digits = self.bind(Value::Text(prefix.as_str().to_owned()));
        let padded = self.bind(Value::Text(format!("00{}", prefix.as_str())));
        let starts = |text: &str| {
            format!("substr(lower(hex(certificate.serial)), 1, length({text})) = {text}")
        };
        self.conditions.push(format!("({} OR {})", starts(&digits), starts(&padded)));
    }

    fn times(&mut self, column: &str, span: &Span<UnixMillis>) {
        self.span_of(column, span.from.map(|it| it.0), span.to.map(|it| it.0));
    }

    fn equal(&mut self, column: &str, value: i64) {
        let value = self.bind(Value::Integer(value));
        self.conditions.push(format!("{column} = {value}"));
    }

    /// A condition like any.
    fn span_of(&mut self, column: &str, from: Option<i64>, to: Option<i64>) {
        for (value, sign) in [(from, ">="), (to, "<=")] {
            if let Some(value) = value {
                let value = self.bind(Value::Integer(value));
                self.conditions.push(format!("{column} {sign} {value}"));
            }
        }
    }

    /// A condition that bounds the walk.
    fn span(&mut self, column: &str, from: Option<i64>, to: Option<i64>) {
        for (value, sign) in [(from, ">="), (to, "<=")] {
            if let Some(value) = value {
                let value = self.bind(Value::Integer(value));
                self.walk.push(format!("{column} {sign} {value}"));
            }
        }
    }

    fn after_id(&mut self, column: &str, descending: bool, after: RequestId) {
        let value = self.bind(Value::Integer(id_key(after)));
        self.walk.push(format!("{column} {} {value}", sign(descending)));
    }

    fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }

    /// `leg` is a further condition that bounds the walk, or empty.
    fn sql(&self, keys: &str, from: &str, leg: &str, order: &str) -> String {
        let all = |conditions: &[String]| {
            if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") }
        };
        // A CASE stops at the first condition that is not met; a row that an empty column leaves
        // undecided does not meet it.
        let mut sql =
            format!("SELECT {keys}, CASE WHEN {} THEN 1 ELSE 0 END", all(&self.conditions));
        let and = if leg.is_empty() { "" } else { " AND " };
        let walk = all(&self.walk);
        write!(sql, " {from} WHERE {walk}{and}{leg} ORDER BY {order} LIMIT {SCAN_ROWS_MAX}")
            .expect("BUG: writing to a String cannot fail");
        sql
    }
}

/// Place of a row: its request, and its `notAfter` where the order goes by that.
type Key = (RequestId, UnixMillis);

/// Walks in the order of `notAfter`. After a place there are two: the rest of those with the same, and the
/// others. One comparison of pairs would begin anew with the first of those with the same, and an import
/// may bring a million of them.
fn by_not_after(
    span: &Span<UnixMillis>,
    descending: bool,
    after: Option<CertificateKey>,
) -> Vec<String> {
    let within = |column: &str| {
        let from = span.from.unwrap_or(UnixMillis(i64::MIN)).0;
        let to = span.to.unwrap_or(UnixMillis(i64::MAX)).0;
        format!("{column} BETWEEN {from} AND {to}")
    };
    let column = "certificate.not_after";
    let Some(CertificateKey { request, not_after: UnixMillis(at) }) = after else {
        return vec![within(column)];
    };
    let (sign, request) = (sign(descending), id_key(request));
    // The plus keeps the planner from searching by the span.
    let same = within(&format!("+{column}"));
    vec![
        format!("{column} = {at} AND certificate.request {sign} {request} AND {same}"),
        format!("{column} {sign} {at} AND {}", within(column)),
    ]
}

/// Walks until `limit` rows have met the filter, or [`SCAN_ROWS_MAX`] were looked at.
fn scan(
    conn: &Connection,
    action: &'static str,
    (sql, values): (&str, &[Value]),
    limit: usize,
    looked_at: &mut usize,
    found: &mut Found<Key, Key>,
) -> Result<(), StoreError> {
    let limit = limit.min(ROWS_MAX);
    if limit == 0 {
        return Ok(());
    }
    // Not kept prepared: there are more texts than the cache has places, and each comes once.
    let mut statement = conn.prepare(sql).during(action)?;
    let mut rows = statement.query(params_from_iter(values)).during(action)?;
    while let Some(row) = rows.next().during(action)? {
        let key = read_key(row).map_err(corrupt("the key of a row"))?;
        *looked_at += 1;
        if row.get::<_, bool>(2).during(action)? {
            found.rows.push(key);
        }
        if found.rows.len() == limit || SCAN_ROWS_MAX <= *looked_at {
            found.next = Some(key);
            break;
        }
    }
    Ok(())
}

fn read_key(row: &Row<'_>) -> Result<Key, String> {
    Ok((read_id(row, 0)?, read_time(row, 1)?))
}

fn listed(
    conn: &Connection,
    action: &'static str,
    id: RequestId,
) -> Result<ListedCertificate, StoreError> {
    let record =
        certificate_by_request(conn, id)?.ok_or_else(|| missing("certificate of request", id))?;
    let mut statement = conn.prepare_cached(STATE_OF_CERTIFICATE).during(action)?;
    let state = |row: &Row<'_>| {
        let disposition = read_code(row, 0, Disposition::from_code, "disposition")?;
        Ok((disposition, read_revocation(row, 1)?))
    };
    let state = statement.query_row([sql_int(id.0)], |row| Ok(state(row))).during(action)?;
    let (disposition, revocation) = state.map_err(corrupt(format!("request {id}")))?;
    Ok(ListedCertificate { record, disposition, revocation })
}

/// The requests that numbers with a prefix were given to, if the prefix is long and they are few.
fn serial_matches(
    conn: &Connection,
    prefix: Option<&SerialPrefix>,
) -> Result<Option<Vec<i64>>, StoreError> {
    let action = "looking for serial numbers";
    let Some(prefix) = prefix.filter(|it| SERIAL_DIGITS_MIN <= it.as_str().len()) else {
        return Ok(None);
    };
    let sql = "SELECT request FROM serial WHERE serial >= ?1 AND serial < ?2 LIMIT ?3";
    let mut statement = conn.prepare_cached(sql).during(action)?;
    let mut requests = Vec::new();
    let most = i64::try_from(SERIAL_MATCHES_MAX + 1).unwrap_or(i64::MAX);
    for digits in [prefix.as_str().to_owned(), format!("00{}", prefix.as_str())] {
        let (from, to) = octets_between(&digits);
        let mut rows = statement.query((from, to, most)).during(action)?;
        while let Some(row) = rows.next().during(action)? {
            requests.push(row.get(0).during(action)?);
        }
    }
    // Numbers of other CAs do not stand in the index.
    let sql = "SELECT request FROM foreign_certificate LIMIT ?1";
    let mut statement = conn.prepare_cached(sql).during(action)?;
    let mut rows = statement.query([most]).during(action)?;
    while let Some(row) = rows.next().during(action)? {
        requests.push(row.get(0).during(action)?);
    }
    Ok(Some(requests).filter(|it| it.len() <= SERIAL_MATCHES_MAX))
}

/// From which octets on the digits lead a number, and from which on they no longer do. A half octet at
/// the end is left off: what comes of it too much, the filter takes away.
fn octets_between(digits: &str) -> (Vec<u8>, Vec<u8>) {
    let value = |it: u8| char::from(it).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let octet = |pair: &[u8]| Some(value(pair[0])? << 4 | value(pair[1])?);
    let from: Vec<u8> = digits.as_bytes().chunks_exact(2).filter_map(octet).collect();
    let mut to = from.clone();
    while to.pop_if(|it| *it == u8::MAX).is_some() {}
    if let Some(last) = to.last_mut() {
        *last += 1;
    } else {
        // No number begins with as many full octets as there can be.
        to = vec![u8::MAX; exeunt_types::Serial::OCTETS_MAX + 1];
    }
    (from, to)
}

fn missing(noun: &str, id: RequestId) -> StoreError {
    StoreError::CorruptRow { row: format!("{noun} {id}"), why: "it is missing".to_owned() }
}

fn id_key(id: RequestId) -> i64 {
    sql_int(id.0)
}

fn direction(descending: bool) -> &'static str {
    if descending { "DESC" } else { "ASC" }
}

fn sign(descending: bool) -> &'static str {
    if descending { "<" } else { ">" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(conn: &Connection, query: &Query, keys: &str, from: &str, leg: &str) -> Vec<String> {
        let order = match from {
            FROM_REQUEST => "request.id DESC",
            _ => "certificate.not_after DESC, certificate.request DESC",
        };
        let sql = format!("EXPLAIN QUERY PLAN {}", query.sql(keys, from, leg, order));
        let mut statement = conn.prepare(&sql).unwrap();
        let values = params_from_iter(query.values.clone());
        let steps = statement.query_map(values, |row| row.get(3)).unwrap();
        steps.map(Result::unwrap).collect()
    }

    #[test]
    fn a_walk_follows_an_index_sorts_nothing_and_joins_what_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        Store::create(&path, [0; 8], UnixMillis(0)).unwrap();
        let conn = Connection::open(&path).unwrap();

        let mut query = Query::default();
        query.requests(&RequestFilter::default(), None);
        query.after_id("request.id", true, RequestId(7));
        assert_eq!(
            plan(&conn, &query, "request.id, 0", FROM_REQUEST, ""),
            ["SEARCH request USING INTEGER PRIMARY KEY (rowid<?)"]
        );

        let mut query = Query::default();
        let filter = CertificateFilter { ca_key: Some(1), ..CertificateFilter::default() };
        query.certificates(&filter, None);
        let keys = "certificate.request, certificate.not_after";
        let key = CertificateKey { request: RequestId(7), not_after: UnixMillis(9) };
        let span = Span { from: Some(UnixMillis(1)), to: Some(UnixMillis(10)) };
        let mut legs = by_not_after(&span, true, Some(key));
        legs.extend(by_not_after(&Span::default(), true, None));
        let request = "SEARCH request USING INTEGER PRIMARY KEY (rowid=?)";
        for (leg, search) in legs.iter().zip([
            "(not_after=? AND rowid<?)",
            "(not_after>? AND not_after<?)",
            "(not_after>? AND not_after<?)",
        ]) {
            let steps = plan(&conn, &query, keys, FROM_CERTIFICATE, leg);
            let search = format!("SEARCH certificate USING INDEX certificate_not_after {search}");
            assert_eq!(steps, [search, request.to_owned()], "{leg}");
        }
    }

    #[test]
    fn octets_between_hold_every_number_with_those_digits() {
        let to_full = vec![0xff; 21];
        for (digits, from, to) in [
            ("5c0f", vec![0x5c, 0x0f], vec![0x5c, 0x10]),
            ("5c0fa", vec![0x5c, 0x0f], vec![0x5c, 0x10]),
            ("5cff", vec![0x5c, 0xff], vec![0x5d]),
            ("ffff", vec![0xff, 0xff], to_full),
        ] {
            assert_eq!(octets_between(digits), (from, to), "{digits}");
        }
    }
}
