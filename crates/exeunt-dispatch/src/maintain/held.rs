//! What the CA holds now, as the events that would tell of it, a portion at a time.
//!
//! These events are in no log. Their numbers count from 1 in each run, and a module asks about them
//! by these.

use std::collections::VecDeque;

use exeunt_host::CallBacks;
use exeunt_module::{
    CallError, Event,
    call_back::Query,
    maintain::{Difference, EVENTS_MAX, Finding},
    view::View,
};
use exeunt_store::{LoggedEvent, Store, StoreError};
use exeunt_types::{
    CertificateFilter, CertificateKey, CertificateSort, Disposition, EventKind, EventSeq,
    EventState, ListedCertificate, SubjectKey, UnixMillis,
};

use super::Told;
use crate::{call_back::Answers, filter::Verdict, snapshot::Snapshots};

/// Most octets of the events of a portion, as they are sent: half of the longest line, so that the
/// one event more that is only seen to be too many has room.
const PORTION_BYTES_MAX: usize = exeunt_module::LINE_BYTES_MAX / 2;

/// Longest event that is sent: a line, less what stands around it.
const EVENT_BYTES_MAX: usize = exeunt_module::LINE_BYTES_MAX - 1024;

/// Rows that are read at a time.
const PAGE_ROWS: usize = 256;

/// Newest certificates among which a sample is looked for that the module would be told of.
const SAMPLE_ROWS_MAX: usize = 64;

/// The states of a request whose certificate is this CA's.
const OURS: [Disposition; 2] = [Disposition::Issued, Disposition::Revoked];

/// Some of what the CA holds.
#[derive(Debug, Default)]
pub(super) struct Portion {
    /// As they are sent.
    pub(super) events: Vec<Event>,
    /// What they were made from, in the same order.
    rows: Vec<LoggedEvent>,
    /// What cannot be sent.
    pub(super) unsent: Vec<Finding>,
    /// Things of the CA that were looked at, those among them that the module is not told of.
    pub(super) looked_at: u64,
    bytes: usize,
}

/// Walks through what the CA holds: its own certificates, its lists, and then every certificate.
#[derive(Debug)]
pub(super) struct Held<'a> {
    store: &'a Store,
    snapshots: &'a Snapshots,
    told: Told<'a>,
    now: UnixMillis,
    /// The number that was given last.
    seq: u64,
    /// Read and not handed out yet.
    waiting: VecDeque<Candidates>,
    after: Option<CertificateKey>,
    /// Nothing more can be read.
    is_read: bool,
}

/// What could be told of one thing: the first that the module would hear is.
type Candidates = Vec<LoggedEvent>;

impl<'a> Held<'a> {
    pub(super) fn new(
        store: &'a Store,
        snapshots: &'a Snapshots,
        told: Told<'a>,
        now: UnixMillis,
    ) -> Self {
        let waiting = VecDeque::new();
        Self { store, snapshots, told, now, seq: 0, waiting, after: None, is_read: false }
    }

    /// How many things the CA holds. Some are added while it is walked through.
    pub(super) fn total(&mut self) -> Result<u64, StoreError> {
        self.waiting = self.own()?.into();
        let own = u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        Ok(self.store.counts()?.certificates.saturating_add(own))
    }

    /// One of each kind, the newest that the module would be told of.
    pub(super) fn samples(&mut self) -> Result<Portion, StoreError> {
        let mut portion = Portion::default();
        for disposition in OURS {
            let filter =
                CertificateFilter { dispositions: vec![disposition], ..Default::default() };
            let order = (CertificateSort::Request, true);
            let found = self.store.find_certificates(&filter, order, None, SAMPLE_ROWS_MAX)?;
            for row in found.rows {
                let Some(candidates) = self.of_certificate(&row)? else { continue };
                if self.put(&candidates, &mut portion) {
                    break;
                }
            }
        }
        for candidates in self.own()?.into_iter().rev() {
            // Of several certificates of the CA's own the newest says enough.
            let kind = candidates.first().map(|it| it.kind);
            if portion.rows.iter().all(|it| Some(it.kind) != kind) {
                self.put(&candidates, &mut portion);
            }
        }
        Ok(portion)
    }

    /// The next events, or none where there are no more. One may be empty.
    pub(super) fn next_portion(&mut self) -> Result<Option<Portion>, StoreError> {
        let mut portion = Portion::default();
        loop {
            if self.waiting.is_empty() {
                self.read()?;
            }
            let Some(candidates) = self.waiting.pop_front() else {
                // Of rows that a page has only looked at nothing comes, but there may be more.
                return Ok((portion.looked_at != 0 || !self.is_read).then_some(portion));
            };
            let before = (portion.events.len(), portion.bytes);
            self.put(&candidates, &mut portion);
            if PORTION_BYTES_MAX < portion.bytes && before.0 != 0 {
                // It goes with the next one.
                if before.0 < portion.events.len() {
                    portion.events.pop();
                    portion.rows.pop();
                    portion.looked_at -= 1;
                    self.waiting.push_front(candidates);
                }
                return Ok(Some(portion));
            }
            if portion.events.len() == EVENTS_MAX || PORTION_BYTES_MAX < portion.bytes {
                return Ok(Some(portion));
            }
            if portion.looked_at >= PAGE_ROWS as u64 {
                return Ok(Some(portion));
            }
        }
    }

    fn read(&mut self) -> Result<(), StoreError> {
        if self.is_read {
            return Ok(());
        }
        let filter = CertificateFilter { dispositions: OURS.to_vec(), ..Default::default() };
        let order = (CertificateSort::Request, false);
        let found = self.store.find_certificates(&filter, order, self.after, PAGE_ROWS)?;
        for row in &found.rows {
            self.waiting.extend(self.of_certificate(row)?);
        }
        self.is_read = found.next.is_none();
        self.after = found.next;
        Ok(())
    }

    /// Puts what the module would be told into the portion; whether there is something.
    fn put(&mut self, candidates: &Candidates, portion: &mut Portion) -> bool {
        portion.looked_at += 1;
        let seq = self.seq + 1;
        let found = candidates.iter().find_map(|row| {
            if !self.is_told_of(row) {
                return None;
            }
            let row = LoggedEvent { seq: EventSeq(seq), ..row.clone() };
            let event = self.snapshots.of_now(&row, self.told.lean, self.now);
            match self.told.filter.map(|it| it.holds(&event)) {
                Some(Verdict::No) => None,
                // As at a delivery: an expression that fails keeps nothing from the module.
                Some(Verdict::Failed(_) | Verdict::Yes) | None => Some((row, event)),
            }
        });
        let Some((row, event)) = found else { return false };
        self.seq = seq;
        let bytes = serde_json::to_vec(&event).map_or(0, |it| it.len());
        if EVENT_BYTES_MAX < bytes {
            let error = format!("its event has {bytes} octets, more than fits a line");
            let finding = Finding::new(Difference::Unknown, event.subject, "");
            portion.unsent.push(Finding { error: Some(error), ..finding });
            return true;
        }
        // What is kept for call-backs counts as well.
        let kept = row.request.as_ref().map_or(0, |it| it.request.raw.len());
        portion.bytes += bytes + kept;
        portion.events.push(event);
        portion.rows.push(row);
        true
    }

    /// An imported certificate is told of as such, and compared as an issued one.
    fn is_told_of(&self, row: &LoggedEvent) -> bool {
        let is_imported = row.request.as_ref().is_some_and(|it| it.request.raw.is_empty());
        let kind = match row.kind {
            EventKind::CERT_ISSUED if is_imported => EventKind::CERT_IMPORTED,
            kind => kind,
        };
        kind.is_in(self.told.mask)
    }

    /// The CA's own certificates and, in one event, its lists.
    fn own(&self) -> Result<Vec<Candidates>, StoreError> {
        let hashes = self.store.ca_certificates()?;
        let server = |kind: EventKind, detail| LoggedEvent {
            seq: EventSeq(0),
            kind,
            subject: kind.subject(),
            at: self.now,
            state: None,
            request: None,
            certificate: None,
            detail,
            corrupt: None,
        };
        let details = self.snapshots.own_certificates(&hashes).into_iter();
        let mut own: Vec<Candidates> =
            details.map(|it| vec![server(EventKind::CA_CERT_ISSUED, it)]).collect();
        if !self.store.current_crls()?.is_empty() {
            own.push(vec![server(EventKind::CRL_ISSUED, Vec::new())]);
        }
        Ok(own)
    }

    /// What could be told of a certificate: how it is now, and for a module that is never told of a
    /// revocation, that it was issued.
    fn of_certificate(&self, row: &ListedCertificate) -> Result<Option<Candidates>, StoreError> {
        let ListedCertificate { record, disposition, revocation } = row;
        let Some(request) = self.store.request(record.request)? else { return Ok(None) };
        let (status, message) = (request.status, request.message.clone());
        let state = |disposition, revocation| EventState {
            disposition,
            status,
            message: message.clone(),
            revocation,
        };
        let event = |kind, at, state, request| LoggedEvent {
            seq: EventSeq(0),
            kind,
            subject: SubjectKey::Request(record.request),
            at,
            state: Some(state),
            request: Some(request),
            certificate: Some(record.clone()),
            detail: Vec::new(),
            corrupt: None,
        };
        let mut candidates = Vec::new();
        let mut issued = request.clone();
        let mut known = *revocation;
        if *disposition == Disposition::Revoked {
            let at = revocation.as_ref().map_or(record.issued, |it| it.ran);
            let state = state(Disposition::Revoked, *revocation);
            candidates.push(event(EventKind::CERT_REVOKED, at, state, request));
            issued.disposition = Disposition::Issued;
            issued.revocation = None;
            known = None;
        }
        let state = state(Disposition::Issued, known);
        candidates.push(event(EventKind::CERT_ISSUED, record.issued, state, issued));
        Ok(Some(candidates))
    }
}

/// Answers what a module asks about the events of a portion, and about the CA.
pub(super) struct HeldAnswers<'a> {
    answers: &'a Answers<'a>,
    portion: &'a Portion,
}

impl<'a> HeldAnswers<'a> {
    pub(super) fn new(answers: &'a Answers<'a>, portion: &'a Portion) -> Self {
        Self { answers, portion }
    }
}

impl CallBacks for HeldAnswers<'_> {
    fn answer(&self, query: &Query) -> Result<serde_json::Value, CallError> {
        let seq = query.asked().seq;
        let Some(row) = self.portion.rows.iter().find(|it| it.seq.0 == seq) else {
            return self.answers.answer(query);
        };
        let event = self.answers.of_now(row, query);
        let found = View::of(&event).answer(query)?;
        serde_json::to_value(&found)
            .map_err(|err| CallError::new(CallError::INTERNAL, err.to_string()))
    }
}
