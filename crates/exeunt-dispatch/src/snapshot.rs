//! The read-only view: turns a row of the event log into the event that a module reads.
//!
//! A module that hears late reads what was true then. Disposition, status, message and revocation are
//! in the event's own row; attributes and officers' extensions are those of its time; when the
//! processing ended follows from the event itself where it tells of that end. The rest follows from
//! the request and the certificate, which never change. Two things are read as they are when the event
//! is made: whether an expired certificate stays in revocation lists (`PublishExpiredCertInCRL`), and
//! the lists themselves. What was made once is kept for a while, because several modules read the same
//! event. What a name means stands in `exeunt_module::view`.

mod cache;
mod certificate;
mod extension;
mod lists;
mod name;
mod request;
mod system;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use exeunt_module::{Event, Properties, Value};
use exeunt_store::{LoggedEvent, Store};
use exeunt_types::{
    CertificateRecord, Disposition, EventKind, EventSeq, RequestFlags, RequestRecord, SubjectKey,
    UnixMillis,
};
use exeunt_x509::{
    Certificate, CertificationRequest, SignedLayer, Signer, parse_certificate, parse_submission,
};

use crate::settings::{CaFacts, ListFacts};
use cache::Cache;
use lists::Lists;
pub use system::CaProperties;
use system::System;

/// Makes the events of one CA for one module.
#[derive(Clone, Debug)]
pub(crate) struct Snapshots {
    store_id: String,
    system: System,
    lists: Option<Lists>,
    /// Shared by the modules.
    cache: Arc<Mutex<Cache>>,
}

impl Snapshots {
    /// Prepares what is the same from event to event. `store_id` makes event ids unique among CAs.
    /// What modules read of themselves is empty: see [`Self::of_module`].
    pub(crate) fn new(store_id: String, facts: &CaFacts) -> Self {
        Self { store_id, system: System::new(facts), lists: None, cache: Arc::default() }
    }

    /// The same for a CA that makes revocation lists.
    pub(crate) fn with_lists(self, store: Store, facts: &ListFacts) -> Self {
        let ListFacts { folder, deltas } = facts;
        let owners = self.system.list_owners();
        Self {
            lists: Some(Lists { store, folder: folder.clone(), deltas: *deltas, owners }),
            ..self
        }
    }

    /// The same for one module, which reads of itself where its settings lie.
    pub(crate) fn of_module(&self, name: &str) -> Self {
        Self { system: self.system.of_module(name), ..self.clone() }
    }

    /// What can be read of the CA at that time: the original's context 0.
    pub(crate) fn system(&self, at: UnixMillis) -> &Arc<Properties> {
        self.system.at(at)
    }

    /// The same with the revocation lists that hold `now`, which is later for an event told late.
    fn system_with_lists(&self, at: UnixMillis, now: UnixMillis) -> Arc<Properties> {
        let mut system = Arc::clone(self.system(at));
        if let Some(lists) = &self.lists {
            lists.push(Arc::make_mut(&mut system), now);
        }
        system
    }

    /// What answers a question for that name under context 0. Lists are read only for those who ask.
    pub(crate) fn system_for(&self, name: &str, now: UnixMillis) -> Arc<Properties> {
        if Lists::has(name) {
            self.system_with_lists(now, now)
        } else {
            Arc::clone(self.system(now))
        }
    }

    /// The event as the module reads it at attempt number `attempt`, 1 and up. A `lean` one comes
    /// without the request's bytes, which the module fetches when it needs them.
    pub(crate) fn event(
        &self,
        logged: &LoggedEvent,
        attempt: u32,
        lean: bool,
        now: UnixMillis,
    ) -> Event {
        let mut event = Event::clone(&self.made(logged));
        event.attempt = attempt;
        event.system = match logged.kind {
            EventKind::CRL_ISSUED if !lean => self.system_with_lists(logged.at, now),
            _ => Arc::clone(self.system(logged.at)),
        };
        if !lean
            && let Some(record) = &logged.request
            && !is_without_request(record)
        {
            event.request.push("RawRequest", Value::Binary(record.request.raw.clone()));
        }
        event
    }

    /// The event of what the CA holds now, which is in no log. The CA is described as it is now.
    pub(crate) fn of_now(&self, held: &LoggedEvent, lean: bool, now: UnixMillis) -> Event {
        let mut event = self.make(held);
        event.id = format!("reconcile-{}", held.seq);
        event.attempt = 1;
        event.system = match held.kind {
            EventKind::CRL_ISSUED if !lean => self.system_with_lists(now, now),
            _ => Arc::clone(self.system(now)),
        };
        if !lean
            && let Some(record) = &held.request
            && !is_without_request(record)
        {
            event.request.push("RawRequest", Value::Binary(record.request.raw.clone()));
        }
        event
    }

    /// What tells of each of the CA's own certificates, whose hashes are given in their order.
    pub(crate) fn own_certificates(&self, hashes: &[[u8; 32]]) -> Vec<Vec<(String, String)>> {
        self.system.own_certificates(hashes)
    }

    /// Makes an event that will be asked for soon.
    pub(crate) fn make_ready(&self, logged: &LoggedEvent) {
        let _ = self.made(logged);
    }

    /// What is the same for every module and attempt.
    fn made(&self, logged: &LoggedEvent) -> Arc<Event> {
        let known = self.cache().event(logged.seq);
        known.unwrap_or_else(|| {
            let made = Arc::new(self.make(logged));
            self.cache().keep(Arc::clone(&made));
            made
        })
    }

    /// What a panic elsewhere may have left half done costs an event's second making at most.
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self, logged: &LoggedEvent) -> Event {
        let LoggedEvent { seq, kind, subject, at, state, request, certificate, detail, corrupt: _ } =
            logged;
        // A pending request that was issued since has a certificate now, but had none then.
        let is_over = state.as_ref().is_none_or(|it| is_resolved(it.disposition));
        let certificate = certificate.as_ref().filter(|_| is_over);
        let (read_request, signers) = match request {
            Some(it) if !is_without_request(it) => read_request(*seq, it),
            _ => (None, Vec::new()),
        };
        let read_certificate =
            certificate.and_then(|it| read_certificate(*seq, &it.certificate.raw));
        let mut request_properties = request
            .as_ref()
            .map(|it| {
                let resolved = resolved(*kind, *at, it, certificate).filter(|_| is_over);
                let read = read_request.as_ref();
                request::properties(it, state.as_ref(), resolved, (read, &signers))
            })
            .unwrap_or_default();
        if let Some(part) = certificate.map(|it| it.certificate.crl_partition).filter(|it| 0 < *it)
        {
            request_properties.push("CRLPartitionIndex", long(u64::from(part)));
        }
        Event {
            id: event_id(&self.store_id, *seq),
            seq: seq.0,
            event: kind.bit(),
            context: match subject {
                SubjectKey::Request(request) => request.0,
                SubjectKey::Server | SubjectKey::Crl | SubjectKey::Ca => 0,
            },
            subject: subject.to_string(),
            time: milliseconds(*at),
            attempt: 0,
            request: request_properties,
            certificate: certificate
                .map(|it| {
                    let mut made = certificate::properties(it, read_certificate.as_ref());
                    if has_archived_key(request.as_ref()) {
                        made.push("KeyArchived", Value::Long(1));
                    }
                    made
                })
                .unwrap_or_default(),
            attributes: request
                .as_ref()
                .map(|it| it.request.attributes.clone())
                .unwrap_or_default(),
            extensions: if *kind == EventKind::CERT_IMPORTED
                || request.as_ref().is_some_and(is_without_request)
            {
                extension::imported(read_certificate.as_ref())
            } else {
                extension::extensions(
                    certificate.is_some(),
                    read_certificate.as_ref(),
                    read_request.as_ref(),
                    request.as_ref().map_or(&[][..], |it| &it.officer_extensions),
                )
            },
            system: Arc::default(),
            detail: detail
                .iter()
                .map(|(name, value)| (name.clone(), Value::String(value.clone())))
                .collect(),
        }
    }
}

/// What the engine once read can be read again; should it not be, the event is told without. With it
/// come the certificates of those who signed around it, where the engine has believed them.
fn read_request(
    seq: EventSeq,
    record: &RequestRecord,
) -> (Option<CertificationRequest>, Vec<Certificate>) {
    let read = parse_submission(&record.request.raw).and_then(|submitted| {
        // The engine sets a flag for each who signed with a certificate, and only then.
        let believed = record.request.flags != RequestFlags::default();
        let layers = submitted.layers().iter().filter(|_| believed);
        let signers = layers.flat_map(SignedLayer::signers).filter_map(Signer::certificate);
        let signers = signers.cloned().collect();
        Ok((submitted.into_requested()?, signers))
    });
    match read {
        Ok((request, signers)) => (Some(request), signers),
        Err(err) => {
            tracing::warn!(event = %seq, %err, "request of an event cannot be read, told without");
            (None, Vec::new())
        }
    }
}

fn read_certificate(seq: EventSeq, raw: &[u8]) -> Option<Certificate> {
    parse_certificate(raw)
        .inspect_err(|err| {
            tracing::warn!(event = %seq, %err, "certificate of an event cannot be read, told without");
        })
        .ok()
}

/// Whether the private key came with the request and is archived.
fn has_archived_key(request: Option<&RequestRecord>) -> bool {
    let archived = RequestFlags::VALID_ENCRYPTED_KEY_HASH;
    request.is_some_and(|it| it.request.flags.contains(archived))
}

/// Whether its certificate was imported without a request that had asked for it.
fn is_without_request(record: &RequestRecord) -> bool {
    record.request.raw.is_empty()
}

/// When the processing that the event is about ended. A request that was denied or failed can be taken
/// up again: its row then tells of another end than the event.
fn resolved(
    kind: EventKind,
    at: UnixMillis,
    request: &RequestRecord,
    certificate: Option<&CertificateRecord>,
) -> Option<UnixMillis> {
    match kind {
        EventKind::CERT_DENIED | EventKind::REQUEST_FAILED => Some(at),
        EventKind::CERT_ISSUED => Some(certificate.map_or(at, |it| it.issued)),
        _ => request.resolved,
    }
}

/// The id of an event: the same at every attempt, on every node, for every module.
fn event_id(store_id: &str, seq: EventSeq) -> String {
    format!("{store_id}-{seq}")
}

fn is_resolved(disposition: Disposition) -> bool {
    !matches!(disposition, Disposition::Active | Disposition::Pending)
}

/// A number as the original's 32-bit long. A CA that ever passes two thousand million requests
/// reads the largest number here and the right one in the event's context.
fn long(number: u64) -> Value {
    Value::Long(i32::try_from(number).unwrap_or(i32::MAX))
}

/// An empty text is a property without a value: the original reports it as empty.
fn push_text(properties: &mut Properties, name: &'static str, text: &str) {
    if !text.is_empty() {
        properties.push(name, Value::String(text.to_owned()));
    }
}

/// RFC 3339 in UTC with milliseconds.
fn milliseconds(moment: UnixMillis) -> String {
    timestamp(moment).map_or_else(String::new, |it| format!("{it:.3}"))
}

/// RFC 3339 in UTC with whole seconds, as certificates count.
fn seconds(moment: UnixMillis) -> String {
    timestamp(moment).map_or_else(String::new, |it| format!("{it:.0}"))
}

/// `None` lies outside the years -9999 to 9999, which no clock of ours produces.
fn timestamp(moment: UnixMillis) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(moment.0).ok()
}

#[cfg(test)]
mod tests;
