//! Lists with a filter, against a filter that is too simple to be wrong.

use exeunt_store::{RevokeChange, SCAN_ROWS_MAX, Store};
use exeunt_types::{
    CertificateFilter, CertificateKey, CertificateSort, Disposition, Found, KeyAlgorithm,
    ListedCertificate, NewCertificate, NewIntent, NewRequest, RequestFilter, RequestId,
    RequestRecord, Resolution, Revocation, RevocationReason, Serial, SerialPrefix, Span,
    StatusCode, TextFilter, UnixMillis,
};
use proptest::prelude::*;

use crate::support::{Place, at, certificate, change, intent, issue_all, request};

/// Texts that rows and filters share, so that filters hit and miss.
const WORDS: [&str; 5] = ["", "alpha", "Alpha-B", "be%ta_", "ÄLPHA"];
const KEYS: [KeyAlgorithm; 4] = [
    KeyAlgorithm::Rsa { bits: 2048 },
    KeyAlgorithm::Rsa { bits: 4096 },
    KeyAlgorithm::EcdsaP256,
    KeyAlgorithm::Ed25519,
];

/// What one row is made of: numbers out of which everything about it follows.
#[derive(Clone, Debug)]
struct Seed {
    becomes: u8,
    word: usize,
    other: usize,
    first: u8,
    time: i64,
}

fn seeds() -> impl Strategy<Value = Vec<Seed>> {
    let seed = (0_u8..6, 0..WORDS.len(), 0..WORDS.len(), 0_u8..4, 0_i64..6);
    let seed = seed.prop_map(|(becomes, word, other, first, time)| Seed {
        becomes,
        word,
        other,
        first,
        time,
    });
    prop::collection::vec(seed, 1..24)
}

fn numbered(first: u8, number: u64) -> Serial {
    let mut octets = vec![[0x10, 0x1f, 0x7f, 0xf0][usize::from(first)], 0xab, 0xcd, 0xe0];
    octets.extend_from_slice(&number.to_be_bytes());
    if 0x80 <= octets[0] {
        octets.insert(0, 0);
    }
    Serial::from_be_bytes(&octets).unwrap()
}

fn fill(store: &Store, seeds: &[Seed]) {
    for (number, seed) in (1_u64..).zip(seeds) {
        let Seed { becomes, word, other, first, time } = *seed;
        let new = NewRequest {
            requester: WORDS[word].to_owned(),
            caller: WORDS[other].to_owned(),
            template: WORDS[other].to_owned(),
            subject: format!("CN={}", WORDS[word]),
            submitted: at(time),
            ..request(number)
        };
        let message = || "because".to_owned();
        match becomes {
            0 => {
                store.admit_resolve(new, Resolution::Pend { message: message() }).unwrap();
                continue;
            }
            1 => {
                let status = StatusCode(u32::from(first));
                let denied = Resolution::Deny { status, message: message() };
                store.admit_resolve(new, denied).unwrap();
                continue;
            }
            _ => (),
        }
        let serial = numbered(first, number);
        let id = store.admit_intend(new, NewIntent { serial, ..intent(number) }).unwrap();
        let made = NewCertificate {
            serial,
            subject: format!("O={}", WORDS[other]),
            subject_alternative_names: format!("dns:{}", WORDS[word]),
            not_before: at(time - 3),
            not_after: at(7 - time),
            ca_key: u16::from(first % 2),
            key: KEYS[usize::from(first)],
            ..certificate(number)
        };
        store.record(id, made, at(time + 1)).unwrap();
        if becomes == 4 || becomes == 5 {
            let reason = RevocationReason::CertificateHold;
            change(store, id, RevokeChange::Revoke(reason, at(time)), time).unwrap();
        }
        if becomes == 5 {
            change(store, id, RevokeChange::Release, time + 1).unwrap();
        }
    }
}

fn text_filter() -> impl Strategy<Value = Option<TextFilter>> {
    let is = prop::sample::select(&WORDS[..]).prop_map(|it| TextFilter::Is(it.to_owned()));
    let parts = ["alpha", "ALPHA-b", "%", "_", "pha", "Ä", "=", "zz"];
    let contains =
        prop::sample::select(parts.to_vec()).prop_map(|it| TextFilter::Contains(it.to_owned()));
    prop_oneof![6 => Just(None), 1 => is.prop_map(Some), 2 => contains.prop_map(Some)]
}

fn span(most: i64) -> impl Strategy<Value = Span<i64>> {
    let end = move || prop::option::weighted(0.15, -1..most);
    (end(), end()).prop_map(|(from, to)| Span { from, to })
}

fn serial_filter() -> impl Strategy<Value = Option<SerialPrefix>> {
    let digits =
        ["1", "10", "1f", "7F", "f0", "00f0", "10abcde0", "10abcde", "f0abcde00000", "7fabcdef"];
    let prefix =
        prop::sample::select(digits.to_vec()).prop_map(|it| SerialPrefix::parse(it).unwrap());
    prop::option::weighted(0.2, prefix)
}

fn dispositions() -> impl Strategy<Value = Vec<Disposition>> {
    prop_oneof![
        4 => Just(Vec::new()),
        1 => prop::sample::subsequence(Disposition::ALL.to_vec(), 1..3),
    ]
}

fn times(span: Span<i64>) -> Span<UnixMillis> {
    Span { from: span.from.map(UnixMillis), to: span.to.map(UnixMillis) }
}

fn ids(span: Span<i64>) -> Span<RequestId> {
    let id = |it: i64| RequestId(it.unsigned_abs());
    Span { from: span.from.map(id), to: span.to.map(id) }
}

fn request_filter() -> impl Strategy<Value = RequestFilter> {
    let texts = (text_filter(), text_filter(), text_filter(), text_filter());
    let status = prop::option::weighted(0.1, (0_u32..4).prop_map(StatusCode));
    (texts, dispositions(), serial_filter(), status, span(24), span(8), span(8)).prop_map(
        |(texts, dispositions, serial, status, numbers, submitted, resolved)| {
            let (requester, caller, template, subject) = texts;
            RequestFilter {
                ids: ids(numbers),
                dispositions,
                requester,
                caller,
                template,
                subject,
                serial,
                status,
                submitted: times(submitted),
                resolved: times(resolved),
            }
        },
    )
}

fn certificate_filter() -> impl Strategy<Value = CertificateFilter> {
    let texts = (text_filter(), text_filter(), text_filter(), text_filter());
    let reasons = vec![RevocationReason::CertificateHold, RevocationReason::Superseded];
    let reason = prop::option::weighted(0.1, prop::sample::select(reasons));
    let keys = ["rsa", "rsa-2048", "ecdsa", "ed25519", "rs", "rsa-"].map(str::to_owned).to_vec();
    let key = prop::option::weighted(0.2, prop::sample::select(keys));
    let ca_key = prop::option::weighted(0.1, 0_u16..3);
    let spans = (span(24), span(8), span(8), span(8));
    (texts, dispositions(), serial_filter(), reason, key, ca_key, spans).prop_map(
        |(texts, dispositions, serial, reason, key, ca_key, spans)| {
            let (subject, names, requester, template) = texts;
            let (numbers, issued, not_before, not_after) = spans;
            CertificateFilter {
                requests: ids(numbers),
                dispositions,
                reason,
                serial,
                subject,
                names,
                requester,
                template,
                key,
                ca_key,
                issued: times(issued),
                not_before: times(not_before),
                not_after: times(not_after),
            }
        },
    )
}

fn in_span<T: PartialOrd>(value: &T, span: &Span<T>) -> bool {
    span.from.as_ref().is_none_or(|it| it <= value) && span.to.as_ref().is_none_or(|it| value <= it)
}

fn is(filter: Option<&TextFilter>, value: &str) -> bool {
    match filter {
        None => true,
        Some(TextFilter::Is(text)) => value == text,
        Some(TextFilter::Contains(text)) => {
            value.to_ascii_lowercase().contains(&text.to_ascii_lowercase())
        }
    }
}

fn starts(filter: Option<&SerialPrefix>, serial: Option<Serial>) -> bool {
    let Some(filter) = filter else { return true };
    let digits = serial.map(|it| it.to_string()).unwrap_or_default();
    digits.starts_with(filter.as_str())
        || digits.strip_prefix("00").is_some_and(|it| it.starts_with(filter.as_str()))
}

fn meets_request(it: &RequestRecord, filter: &RequestFilter) -> bool {
    in_span(&it.id, &filter.ids)
        && (filter.dispositions.is_empty() || filter.dispositions.contains(&it.disposition))
        && is(filter.requester.as_ref(), &it.request.requester)
        && is(filter.caller.as_ref(), &it.request.caller)
        && is(filter.template.as_ref(), &it.request.template)
        && is(filter.subject.as_ref(), &it.request.subject)
        && starts(filter.serial.as_ref(), it.serial)
        && filter.status.is_none_or(|status| it.status == status)
        && in_span(&it.request.submitted, &filter.submitted)
        && (filter.resolved.is_open()
            || it.resolved.is_some_and(|at| in_span(&at, &filter.resolved)))
}

fn meets_certificate(it: &ListedCertificate, requester: &str, filter: &CertificateFilter) -> bool {
    let made = &it.record.certificate;
    let revoked = it.disposition == Disposition::Revoked;
    let reason = it.revocation.filter(|_| revoked).and_then(|it| it.reason);
    let key = made.key.name();
    in_span(&it.record.request, &filter.requests)
        && (filter.dispositions.is_empty() || filter.dispositions.contains(&it.disposition))
        && (filter.reason.is_none() || reason == filter.reason)
        && starts(filter.serial.as_ref(), Some(made.serial))
        && is(filter.subject.as_ref(), &made.subject)
        && is(filter.names.as_ref(), &made.subject_alternative_names)
        && is(filter.requester.as_ref(), requester)
        && is(filter.template.as_ref(), &it.record.template)
        && filter.key.as_ref().is_none_or(|it| key == *it || key.starts_with(&format!("{it}-")))
        && filter.ca_key.is_none_or(|it| made.ca_key == it)
        && in_span(&it.record.issued, &filter.issued)
        && in_span(&made.not_before, &filter.not_before)
        && in_span(&made.not_after, &filter.not_after)
}

/// All pages, one after the other, each of `limit` rows at most.
fn all<T, K: Copy>(mut page: impl FnMut(Option<K>) -> Found<T, K>, limit: usize) -> Vec<T> {
    let (mut rows, mut after) = (Vec::new(), None);
    // More pages than there are rows.
    for _ in 0..99 {
        let found = page(after);
        assert!(found.rows.len() <= limit);
        rows.extend(found.rows);
        after = found.next;
        if after.is_none() {
            return rows;
        }
    }
    panic!("no end after {} rows", rows.len());
}

fn every_request(store: &Store) -> Vec<RequestRecord> {
    store.requests(None, 999).unwrap()
}

fn every_certificate(store: &Store) -> Vec<(ListedCertificate, String)> {
    let listed = |record: exeunt_types::CertificateRecord| {
        let row = store.request(record.request).unwrap().unwrap();
        let (disposition, revocation) = (row.disposition, row.revocation);
        (ListedCertificate { record, disposition, revocation }, row.request.requester)
    };
    store.certificates(None, 999).unwrap().into_iter().map(listed).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_list_is_what_meets_the_filter_in_order_whatever_the_page(
        seeds in seeds(),
        of_requests in prop::collection::vec((request_filter(), any::<bool>(), 1_usize..9), 24),
        of_certificates in
            prop::collection::vec((certificate_filter(), any::<[bool; 2]>(), 1_usize..9), 24),
    ) {
        let place = Place::new();
        let store = place.open();
        fill(&store, &seeds);

        let requests = every_request(&store);
        for (filter, descending, limit) in of_requests {
            let page = |after| store.find_requests(&filter, descending, after, limit).unwrap();
            let mut expected: Vec<_> =
                requests.iter().filter(|it| meets_request(it, &filter)).cloned().collect();
            if !descending {
                expected.reverse();
            }
            prop_assert_eq!(all(page, limit), expected, "{:?}", filter);
        }

        let certificates = every_certificate(&store);
        for (filter, [by_time, descending], limit) in of_certificates {
            let sort = if by_time { CertificateSort::NotAfter } else { CertificateSort::Request };
            let page = |after: Option<CertificateKey>| {
                store.find_certificates(&filter, (sort, descending), after, limit).unwrap()
            };
            let mut expected: Vec<ListedCertificate> = certificates
                .iter()
                .filter(|(it, requester)| meets_certificate(it, requester, &filter))
                .map(|(it, _)| it.clone())
                .collect();
            expected.sort_by_key(|it| {
                let not_after = if by_time { it.record.certificate.not_after } else { at(0) };
                (not_after, it.record.request)
            });
            if descending {
                expected.reverse();
            }
            prop_assert_eq!(all(page, limit), expected, "{:?}", filter);
        }
    }
}

#[test]
fn a_page_looks_at_so_many_rows_and_says_where_it_stopped() {
    let place = Place::new();
    let store = place.open();
    issue_all(&store, 1..=2);
    // Refused requests, written by hand because there are many.
    let more = 2 * SCAN_ROWS_MAX;
    place.meddle(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < {more})
         INSERT INTO request
         SELECT i, 31, 0, 1, 1, 256, '', 'r', 'c', 't', 'CN=x', '', x'3000', 0 FROM n;"
    ));
    let filter = RequestFilter {
        subject: Some(TextFilter::Is("CN=host1".to_owned())),
        ..RequestFilter::default()
    };
    let newest = store.find_requests(&filter, true, None, 10).unwrap();
    assert_eq!((newest.rows.len(), newest.next), (0, Some(RequestId(more as u64 / 2 + 1))));
    let rest = store.find_requests(&filter, true, newest.next, 10).unwrap();
    let found: Vec<_> = rest.rows.iter().map(|it| it.id).collect();
    assert_eq!((found, rest.next), (vec![RequestId(1)], Some(RequestId(1))));
    let end = store.find_requests(&filter, true, rest.next, 10).unwrap();
    assert_eq!((end.rows.len(), end.next), (0, None));
}

#[test]
fn a_long_prefix_of_a_serial_number_is_found_wherever_the_certificate_is() {
    let place = Place::new();
    let store = place.open();
    issue_all(&store, 1..=3);
    let more = 2 * SCAN_ROWS_MAX;
    place.meddle(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 4 UNION ALL SELECT i + 1 FROM n WHERE i < {more})
         INSERT INTO request
         SELECT i, 31, 0, 1, 1, 256, '', 'r', 'c', 't', 'CN=x', '', x'3000', 0 FROM n;"
    ));
    let serial = store.certificate_of(RequestId(2)).unwrap().unwrap().certificate.serial;
    let serial = Some(SerialPrefix::parse(&serial.to_string()).unwrap());
    let filter = RequestFilter { serial: serial.clone(), ..RequestFilter::default() };
    let found = store.find_requests(&filter, true, None, 10).unwrap();
    assert_eq!((found.rows.len(), found.rows[0].id, found.next), (1, RequestId(2), None));
    let filter = CertificateFilter { serial, ..CertificateFilter::default() };
    let order = (CertificateSort::NotAfter, false);
    let found = store.find_certificates(&filter, order, None, 10).unwrap();
    assert_eq!((found.rows.len(), found.rows[0].record.request), (1, RequestId(2)));
}

#[test]
fn what_was_released_has_no_reason_any_more() {
    let place = Place::new();
    let store = place.open();
    issue_all(&store, 1..=1);
    let hold = RevocationReason::CertificateHold;
    change(&store, RequestId(1), RevokeChange::Revoke(hold, at(1)), 1).unwrap();
    let filter = CertificateFilter { reason: Some(hold), ..CertificateFilter::default() };
    let order = (CertificateSort::Request, true);
    let listed = store.find_certificates(&filter, order, None, 1).unwrap().rows.remove(0);
    let revocation = Revocation { reason: Some(hold), ran: at(1), effective: at(1) };
    assert_eq!((listed.disposition, listed.revocation), (Disposition::Revoked, Some(revocation)));
    change(&store, RequestId(1), RevokeChange::Release, 2).unwrap();
    assert_eq!(store.find_certificates(&filter, order, None, 1).unwrap().rows, []);
}
