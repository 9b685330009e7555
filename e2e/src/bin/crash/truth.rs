//! What a store says: rows, events, the audit trail and revocation lists, and whether they agree with each
//! other and with what was confirmed.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;
use std::path::Path;

use exeunt_e2e::ca::Ca;
use exeunt_e2e::record;
use exeunt_store::{ChainHead, Store, check_chain};
use exeunt_testkit::foreign;
use exeunt_types::{
    AbandonedSerial, CertificateRecord, CrlKind, CrlLine, CrlRecord, Disposition, EventKind,
    EventSeq, RequestId, RequestRecord, RevocationReason, Serial,
};
use exeunt_x509::{encode_pem, parse_crl};

use super::PAGE;
use super::tally::{About, Counts, Deed};

/// All requests and certificates.
#[derive(Debug)]
pub(crate) struct Rows {
    requests: BTreeMap<u64, RequestRecord>,
    certificates: BTreeMap<Serial, CertificateRecord>,
    abandoned: Vec<AbandonedSerial>,
}

impl Rows {
    pub(crate) fn read(store: &Store) -> Self {
        let mut requests = BTreeMap::new();
        let mut before: Option<RequestId> = None;
        loop {
            let page = store.requests(before, PAGE).expect("requests");
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            requests.extend(page.into_iter().map(|it| (it.id.0, it)));
        }
        let mut certificates = BTreeMap::new();
        let mut before = None;
        loop {
            let page = store.certificates(before, PAGE).expect("certificates");
            let Some(last) = page.last() else { break };
            before = Some(last.request);
            for row in page {
                let serial = row.certificate.serial;
                let twice = certificates.insert(serial, row);
                assert!(twice.is_none(), "serial {serial} is in the store twice");
            }
        }
        let mut abandoned: Vec<AbandonedSerial> = Vec::new();
        loop {
            let after = abandoned.last().map(|it| it.serial);
            let page = store.abandoned_serials(after.as_ref(), PAGE).expect("abandoned serials");
            if page.is_empty() {
                break;
            }
            abandoned.extend(page);
        }
        let lives_twice = abandoned.iter().any(|it| certificates.contains_key(&it.serial));
        assert!(!lives_twice, "a serial lives twice");
        Self { requests, certificates, abandoned }
    }

    /// The row of a certificate that must be there.
    pub(crate) fn of(&self, serial: &Serial) -> &RequestRecord {
        self.find(serial).unwrap_or_else(|| panic!("{serial} is not in the store"))
    }

    pub(crate) fn find(&self, serial: &Serial) -> Option<&RequestRecord> {
        self.certificates.get(serial).map(|it| self.request(it.request.0))
    }

    pub(crate) fn request(&self, id: u64) -> &RequestRecord {
        self.requests.get(&id).unwrap_or_else(|| panic!("request {id} is not in the store"))
    }

    /// Requests of a template that have a certificate.
    pub(crate) fn issued_by(&self, template: &str) -> Vec<u64> {
        let has = |it: &&RequestRecord| it.request.template == template && it.serial.is_some();
        self.requests.values().filter(has).map(|it| it.id.0).collect()
    }

    /// The certificate, which must be there.
    pub(crate) fn pem(&self, serial: &Serial) -> String {
        let found = self.certificates.get(serial);
        let found = found.unwrap_or_else(|| panic!("{serial} is not in the store"));
        encode_pem("CERTIFICATE", &found.certificate.raw)
    }

    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.certificates.len(), self.abandoned.len())
    }

    /// Every request has come to an end or waits, and has a certificate where it says so.
    pub(crate) fn are_settled(&self, written: &Written) {
        let (mut certificates, mut failed) = (0, 0);
        for row in self.requests.values() {
            let last = written.last_state.get(&row.id.0);
            assert_eq!(last, Some(&row.disposition), "request {} against its events", row.id);
            match row.disposition {
                Disposition::Issued | Disposition::Revoked | Disposition::Foreign => {
                    certificates += 1;
                    let kinds = [EventKind::CERT_ISSUED, EventKind::CERT_IMPORTED];
                    let told = kinds.map(|it| written.events(it, row.id.0));
                    assert!(matches!(told, [1, 0] | [0, 1]), "request {}: {told:?}", row.id);
                }
                Disposition::Error => failed += 1,
                Disposition::Pending | Disposition::Denied => (),
                Disposition::Active => panic!("request {} has no end", row.id),
            }
        }
        assert_eq!(certificates, self.certificates.len(), "a request ended without an outcome");
        // A resubmission that was broken off is no failure: the request is what it was before.
        assert!(failed <= self.abandoned.len(), "a request failed without a serial");
    }

    /// Leaves out the row that says why a restored store has left out numbers: the only one without an
    /// event.
    pub(crate) fn without_placeholder(mut self, written: &Written) -> Self {
        let count = self.requests.len();
        self.requests.retain(|id, row| {
            row.disposition != Disposition::Error || written.last_state.contains_key(id)
        });
        assert_eq!(self.requests.len() + 1, count, "rows without an event");
        self
    }

    /// What was issued here is published by the file module.
    pub(crate) fn are_published(&self, ca: &Ca, written: &Written) {
        for (serial, row) in &self.certificates {
            if written.events(EventKind::CERT_ISSUED, row.request.0) == 0 {
                continue;
            }
            let path = ca.published().join(format!("{serial}.pem"));
            let published = fs::read_to_string(&path)
                .unwrap_or_else(|err| panic!("{} is not published: {err}", path.display()));
            assert_eq!(published, self.pem(serial), "{serial} is published wrongly");
        }
    }

    /// A few certificates that were issued here, verified by strangers.
    pub(crate) fn please_strangers(&self, roots: &[String], written: &Written) {
        let own =
            |it: &&CertificateRecord| 0 < written.events(EventKind::CERT_ISSUED, it.request.0);
        let count = self.certificates.len();
        // Cross certificates and those of responders among them, by chance.
        for row in self.certificates.values().filter(own).step_by(count.div_ceil(4).max(1)) {
            let certificate = encode_pem("CERTIFICATE", &row.certificate.raw);
            let root = &roots[usize::from(row.certificate.ca_key)];
            foreign::openssl_verify(&certificate, root).expect("openssl");
            foreign::certtool_verify(&certificate, root).expect("certtool");
        }
    }

    /// What lists of each key and part must name, and why.
    fn revoked(&self) -> BTreeMap<(u16, u32), BTreeMap<Serial, Option<RevocationReason>>> {
        let mut revoked: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for it in &self.abandoned {
            let list = revoked.entry((it.ca_key, it.crl_partition)).or_default();
            list.insert(it.serial, Some(RevocationReason::Unspecified));
        }
        for (serial, row) in &self.certificates {
            let request = self.request(row.request.0);
            if request.disposition == Disposition::Revoked {
                let line = (row.certificate.ca_key, row.certificate.crl_partition);
                let reason = request.revocation.expect("a revocation").reason;
                revoked.entry(line).or_default().insert(*serial, reason);
            }
        }
        revoked
    }

    /// The newest lists of every key and part, made a moment ago, name what is revoked and nothing
    /// else; so do their deltas with their bases; and openssl takes them. How many there are.
    pub(crate) fn newest_lists_are_true(&self, ca: &Ca, store: &Store, roots: &[String]) -> usize {
        let current = store.current_crls().expect("revocation lists");
        let mut expected = self.revoked();
        let bases: Vec<_> = current.iter().filter(|it| it.line.kind == CrlKind::Base).collect();
        for edition in &bases {
            let CrlLine { key_index, partition, .. } = edition.line;
            let revoked = expected.remove(&(key_index, partition)).unwrap_or_default();
            let octets = read(ca, edition);
            assert_eq!(named(&octets), revoked, "{edition:?} against the rows");
            let pem = encode_pem("X509 CRL", &octets);
            foreign::openssl_crl_verify(&pem, &roots[usize::from(key_index)]).expect("openssl");
            let line = CrlLine { kind: CrlKind::Delta, ..edition.line };
            if let Some(delta) = current.iter().find(|it| it.line == line) {
                assert_eq!(with_base(ca, store, delta), revoked, "{delta:?} against the rows");
            }
        }
        assert!(expected.is_empty(), "no list names {expected:?}");
        bases.len()
    }
}

fn read(ca: &Ca, edition: &CrlRecord) -> Vec<u8> {
    fs::read(ca.home().join("crls").join(edition.file_name())).expect("the list's file")
}

fn named(octets: &[u8]) -> BTreeMap<Serial, Option<RevocationReason>> {
    let parsed = parse_crl(octets).expect("a list");
    parsed.entries().map(|it| (it.serial, it.reason)).collect()
}

/// What somebody believes who has a delta and the base that it builds on.
fn with_base(
    ca: &Ca,
    store: &Store,
    delta: &CrlRecord,
) -> BTreeMap<Serial, Option<RevocationReason>> {
    let line = CrlLine { kind: CrlKind::Base, ..delta.line };
    let number = delta.min_base.expect("a delta builds on something");
    let records = store.crls(Some(number_after(number)), PAGE).expect("revocation lists");
    let base = records.iter().find(|it| it.line == line && it.number == number);
    let mut believed = named(&read(ca, base.expect("the base of a delta")));
    for (serial, reason) in named(&read(ca, delta)) {
        match reason {
            None => believed.remove(&serial),
            reason => believed.insert(serial, reason),
        };
    }
    believed
}

fn number_after(number: exeunt_types::CrlNumber) -> exeunt_types::CrlNumber {
    exeunt_types::CrlNumber(number.0 + 1)
}

/// The audit trail and the event log, counted.
#[derive(Debug, Default)]
pub(crate) struct Written {
    audit: BTreeMap<(String, String), u32>,
    events: BTreeMap<(EventKind, u64), u32>,
    expiring: BTreeMap<u64, Vec<String>>,
    last_state: BTreeMap<u64, Disposition>,
    /// Events that are about no request.
    of_server: BTreeMap<EventKind, u32>,
}

impl Written {
    pub(crate) fn read(store: &Store) -> Self {
        let mut written = Self::default();
        let mut head = ChainHead::start(store.store_id());
        loop {
            let page = store.audit_after(head.number, PAGE).expect("the audit trail");
            if page.is_empty() {
                break;
            }
            let rows = page.iter().cloned().map(Ok::<_, Infallible>);
            let Ok(checked) = check_chain(head, rows, &BTreeMap::new(), |_| Ok(()));
            assert_eq!(checked.fault, None, "the audit trail");
            head = checked.head;
            for row in page {
                *written.audit.entry((row.entry.action, row.entry.object)).or_default() += 1;
            }
        }
        let mut place = EventSeq(0);
        loop {
            let page = store.events_after(place, PAGE).expect("the event log");
            let Some(last) = page.last() else { return written.without_refusals() };
            place = last.seq;
            for event in page {
                assert_eq!(event.corrupt, None, "event {}", event.seq);
                let Some(request) = event.request else {
                    *written.of_server.entry(event.kind).or_default() += 1;
                    continue;
                };
                let id = request.id.0;
                *written.events.entry((event.kind, id)).or_default() += 1;
                let state = event.state.expect("the state of a request");
                written.last_state.insert(id, state.disposition);
                if event.kind == EventKind::CERT_EXPIRING {
                    let days = event.detail.into_iter().map(|(_, days)| days);
                    written.expiring.entry(id).or_default().extend(days);
                }
            }
        }
    }

    /// What the policy refuses is no order of an officer, and each has its row.
    fn without_refusals(mut self) -> Self {
        let Self { audit, events, .. } = &mut self;
        let is_refused =
            |id: u64| audit.contains_key(&("request-denied".to_owned(), format!("request:{id}")));
        events.retain(|(kind, id), _| *kind != EventKind::CERT_DENIED || !is_refused(*id));
        self
    }

    /// How many events of a kind a request has.
    pub(crate) fn events(&self, kind: EventKind, request: u64) -> u32 {
        self.events.get(&(kind, request)).copied().unwrap_or_default()
    }

    pub(crate) fn of_server(&self, kind: EventKind) -> u32 {
        self.of_server.get(&kind).copied().unwrap_or_default()
    }

    /// How many audit rows with that word there are.
    pub(crate) fn audited(&self, action: &str) -> u32 {
        self.audit.iter().filter(|(it, _)| it.0 == action).map(|(_, count)| count).sum()
    }

    /// How many audit rows with that word a request has.
    pub(crate) fn audited_of(&self, action: &str, request: u64) -> u32 {
        let about = (action.to_owned(), format!("request:{request}"));
        self.audit.get(&about).copied().unwrap_or_default()
    }

    /// Distances at which modules were told of a certificate that runs out, in days.
    pub(crate) fn expiring(&self, request: u64) -> &[String] {
        self.expiring.get(&request).map_or(&[], Vec::as_slice)
    }

    /// Whatever was confirmed has its audit rows and its events.
    pub(crate) fn have_confirmed(&self, counts: &Counts, rows: &Rows) {
        for ((deed, about), count) in counts {
            if count.confirmed == 0 {
                continue;
            }
            let (object, request) = resolved(about, rows).expect("what was confirmed is there");
            if let Some(action) = deed.audited() {
                let found = self.audit.get(&(action.to_owned(), object.clone()));
                let found = found.copied().unwrap_or_default();
                assert!(count.confirmed <= found, "{action} {object}: {found} rows of {count:?}");
            }
            if let (Some(kind), Some(id)) = (deed.told(), request) {
                let found = self.events(kind, id);
                assert!(count.confirmed <= found, "{kind:?} of {id}: {found} events of {count:?}");
            }
        }
    }

    /// Nothing was written that nobody has ordered, nor more often.
    pub(crate) fn have_nothing_else(&self, counts: &Counts, rows: &Rows) {
        let mut audits: BTreeMap<(&str, String), u32> = BTreeMap::new();
        let mut events: BTreeMap<(EventKind, u64), u32> = BTreeMap::new();
        for ((deed, about), count) in counts {
            let Some((object, request)) = resolved(about, rows) else { continue };
            // It is refused the second time.
            let tried = if *deed == Deed::Import { 1 } else { count.tried };
            if let Some(action) = deed.audited() {
                *audits.entry((action, object)).or_default() += tried;
            }
            if let (Some(kind), Some(id)) = (deed.told(), request) {
                *events.entry((kind, id)).or_default() += tried;
            }
        }
        for deed in Deed::ALL {
            // Numbers of lists are known from answers only.
            let Some(action) = deed.audited().filter(|_| deed != Deed::PublishLists) else {
                continue;
            };
            for ((_, object), found) in self.audit.iter().filter(|(it, _)| it.0 == action) {
                let tried = audits.get(&(action, object.clone())).copied().unwrap_or_default();
                assert!(*found <= tried, "{action} {object}: {found} rows, ordered {tried} times");
            }
            // Issued is most without an order.
            let kind = deed.told().filter(|_| !matches!(deed, Deed::Approve | Deed::Resubmit));
            for ((_, id), found) in self.events.iter().filter(|(it, _)| Some(it.0) == kind) {
                let tried = events.get(&(it_kind(kind), *id)).copied().unwrap_or_default();
                assert!(*found <= tried, "{kind:?} of {id}: {found} events, ordered {tried} times");
            }
        }
    }

    /// What is one commit is there as a whole.
    pub(crate) fn are_whole(&self) {
        for deed in Deed::ALL.into_iter().filter(|it| it.is_one_commit()) {
            let (Some(action), Some(kind)) = (deed.audited(), deed.told()) else { continue };
            let audited: BTreeMap<String, u32> = self
                .audit
                .iter()
                .filter(|(it, _)| it.0 == action)
                .map(|((_, object), count)| (object.clone(), *count))
                .collect();
            let told: BTreeMap<String, u32> = self
                .events
                .iter()
                .filter(|(it, _)| it.0 == kind)
                .map(|((_, id), count)| (format!("request:{id}"), *count))
                .collect();
            assert_eq!(audited, told, "{action} in the audit trail, and the events");
        }
    }
}

fn it_kind(kind: Option<EventKind>) -> EventKind {
    kind.expect("BUG: it was compared")
}

/// The object of the audit row, and the request, if the store has it.
fn resolved(about: &About, rows: &Rows) -> Option<(String, Option<u64>)> {
    let id = match about {
        About::Object(object) => return Some((object.clone(), None)),
        About::Request(id) => *id,
        About::Certificate(serial) => rows.find(serial)?.id.0,
    };
    Some((format!("request:{id}"), Some(id)))
}

/// Every event was heard as it stands in the log, in order for each request; repeats only of the same
/// event. How many came more than once.
pub(crate) fn every_event_was_heard(store: &Store, heard: &Path) -> usize {
    let heard = record::read(heard).expect("the record");
    let mut first: BTreeMap<u64, &record::Heard> = BTreeMap::new();
    let mut last_of_subject: BTreeMap<&str, u64> = BTreeMap::new();
    let mut repeats = 0;
    for it in &heard {
        if let Some(before) = first.get(&it.seq) {
            assert_eq!(*before, it, "event {} came back as another", it.seq);
            repeats += 1;
        } else {
            let last = last_of_subject.insert(&it.subject, it.seq);
            assert!(last < Some(it.seq), "{} was told out of order: {it:?}", it.subject);
            first.insert(it.seq, it);
        }
    }
    let distinct: BTreeSet<&String> = first.values().map(|it| &it.id).collect();
    assert_eq!(distinct.len(), first.len(), "two events have one id");
    let mut place = EventSeq(0);
    loop {
        let events = store.events_after(place, PAGE).expect("the event log");
        if events.is_empty() {
            break;
        }
        for event in events {
            assert_eq!(event.seq, place.next(), "the event log has a gap");
            place = event.seq;
            let word = event.kind.word();
            let told = first.get(&place.0);
            let told = told.unwrap_or_else(|| panic!("event {place} ({word}) was not heard"));
            let subject = event.subject.to_string();
            let logged = (event.kind.bit(), subject.as_str());
            assert_eq!((told.event, told.subject.as_str()), logged, "event {place} ({word})");
            if event.kind == EventKind::REQUEST_FAILED {
                assert!(event.request.is_some(), "event {place} has lost its request");
            }
        }
    }
    assert_eq!(first.len() as u64, place.0, "the module heard of events that are not in the log");
    repeats
}
