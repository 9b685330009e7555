//! Making revocation lists: one base, and one delta where deltas are on, for each CA key and each part.
//! Enter at [`Engine::publish_crls`]. Who makes them when is the caller's business; `due.rs` says which
//! there are and what is due, `plan.rs` what each will be.
//!
//! A number is drawn; the entries of all lists are written to a nameless file; each list is signed,
//! verified and put into the folder; then they become facts, with their event. A crash before that
//! leaves a skipped number and files that recovery removes. What nobody needs any more is removed last.

mod due;
mod entries;
mod error;
mod file;
mod place;
mod plan;
mod settings;
mod times;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use exeunt_keys::{Message, verify_message};
use exeunt_store::{AuditEntry, RevokedView, StoreError};
use exeunt_types::{CrlLine, CrlNumber, CrlRecord, UnixMillis};
use exeunt_x509::{
    CaVersion, CrlBuildError, CrlFields, CrlLengths, CrlScope, CrlWriter, IssuingDistributionPoint,
    RevokedEntry, TbsFrame, frame_crl, frame_tbs,
};

use crate::ca::CaCertificate;
use crate::engine::Engine;
use crate::policy::Caller;
pub use error::CrlError;
pub use file::CRL_KEPT;
use file::{Scratch, Unrecorded};
use place::Places;
pub use place::example_address;
use plan::Plan;
pub use settings::{CRL_PARTITIONS_MAX, CrlOrder, CrlSettings};
use times::CrlTimes;

/// What is remembered from run to run.
#[derive(Debug, Default)]
pub(crate) struct CrlRuns {
    /// Runs in a row that failed and were noted.
    failed: u32,
}

/// A list without a signature.
struct Written {
    plan: Plan,
    /// Where its entries begin in the file without a name.
    at: u64,
    lengths: CrlLengths,
    frame: TbsFrame,
}

impl Engine {
    /// Makes the lists that are ordered, bases first. They are durable, and may be shown, when this
    /// returns; an event tells of them. One run at a time: another caller waits.
    ///
    /// # Errors
    ///
    /// [`CrlError`]; nothing was published, but a number may be skipped. With [`CrlError::SomeKeys`] the
    /// lists of the other keys are published.
    pub fn publish_crls(
        &self,
        order: CrlOrder,
        by: Option<&Caller>,
    ) -> Result<Vec<CrlRecord>, CrlError> {
        let mut runs = self.crl_runs.lock().unwrap_or_else(PoisonError::into_inner);
        self.make_crls(&mut runs, order, by, self.clock.now())
    }

    /// Makes what is due, as nobody ordered it. What another run has made meanwhile is due no more.
    ///
    /// # Errors
    ///
    /// As [`Engine::publish_crls`].
    pub fn publish_due_crls(&self) -> Result<Vec<CrlRecord>, CrlError> {
        let mut runs = self.crl_runs.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let due = self.crls_due(now)?;
        if due.is_empty() {
            return Ok(Vec::new());
        }
        self.make_crls(&mut runs, due, None, now)
    }

    fn make_crls(
        &self,
        runs: &mut CrlRuns,
        order: CrlOrder,
        by: Option<&Caller>,
        now: UnixMillis,
    ) -> Result<Vec<CrlRecord>, CrlError> {
        let kinds = self.kinds(order, now)?;
        let plans = self.plan_crls(&kinds, order, now)?;
        // Nobody else draws one, and all lists of a run have the same.
        let Some(Plan { number, .. }) = plans.first().copied() else { return Ok(Vec::new()) };

        // All of a run tell of the same moment. No foreign code runs while the store is read.
        let mut scratch = Scratch::new(&self.crl_folder, number)?;
        let written: Result<Vec<Written>, CrlError> = self
            .store
            .read_revoked(|view| {
                Ok(plans.iter().map(|it| self.write_tbs(view, *it, &mut scratch)).collect())
            })
            .map_err(store(Some(number), "reading revocations"))?;
        let mut unrecorded = Unrecorded::new(&self.crl_folder, number);
        let mut records = Vec::with_capacity(plans.len());
        let mut silent: BTreeMap<u16, CrlError> = BTreeMap::new();
        for written in written? {
            let key = written.plan.line.key_index;
            // A delta without its base would be worth nothing.
            if silent.contains_key(&key) {
                continue;
            }
            match self.sign_crl(written, &mut scratch, &mut unrecorded) {
                Ok(record) => records.push(record),
                Err(err @ (CrlError::Sign { .. } | CrlError::Signature { .. })) => {
                    // What it has signed in this run goes with what it has not.
                    unrecorded.drop_files(records.extract_if(.., |it| it.line.key_index == key));
                    silent.insert(key, err);
                }
                Err(err) => return Err(err),
            }
        }
        // One key that is away must not let the lists of all others run out.
        let keys: Vec<u16> = silent.keys().copied().collect();
        let silent = silent.into_values().next();
        if records.is_empty() {
            return silent.map_or(Ok(records), Err);
        }
        unrecorded.sync()?;

        // From here on the files stay: whether this was recorded is not known when it fails, and
        // recovery looks.
        unrecorded.keep();
        let audit = by.map(|by| published(by, &records, now));
        self.store
            .record_crls(records.clone(), now, audit)
            .map_err(store(Some(number), "recording the revocation lists"))?;
        if silent.is_none() {
            runs.failed = 0;
        }
        for CrlRecord { line, number, entries, .. } in &records {
            let CrlLine { kind, key_index: key, partition } = *line;
            tracing::info!(
                number = number.0,
                kind = kind.word(),
                key,
                partition,
                entries,
                "CRL published"
            );
        }
        self.prune_crls(now);
        match silent {
            None => Ok(records),
            Some(source) => Err(CrlError::SomeKeys { number, keys, source: Box::new(source) }),
        }
    }

    /// The file with the DER of a list.
    #[must_use]
    pub fn crl_file(&self, record: &CrlRecord) -> PathBuf {
        self.crl_folder.join(record.file_name())
    }

    /// Whether the file of a list is there, as far as its length shows.
    #[must_use]
    pub fn has_whole_file(&self, record: &CrlRecord) -> bool {
        let metadata = std::fs::metadata(self.crl_file(record));
        metadata.is_ok_and(|it| it.is_file() && it.len() == record.length)
    }

    /// The certificate that the lists of a key belong to: the newest one with it.
    fn crl_owner(&self, key_index: u16) -> &Arc<CaCertificate> {
        self.ca.owner(key_index).unwrap_or_else(|| self.ca.current())
    }

    /// Makes what is to be signed, in one pass over the revocations.
    fn write_tbs(
        &self,
        view: &RevokedView<'_>,
        plan: Plan,
        scratch: &mut Scratch,
    ) -> Result<Written, CrlError> {
        let Plan { line, number, min_base, times, .. } = plan;
        let owner = self.crl_owner(line.key_index);
        let issuer = owner.issuer();
        let points = &self.crl_distribution_points;
        let Places { own, freshest, published } =
            Places::new(&self.crls, points, line, owner.index(), plan.is_cut);
        if plan.is_cut && own.is_empty() {
            return Err(CrlError::PartWithoutAddress { number, partition: line.partition });
        }
        let point = IssuingDistributionPoint { uris: own, scope: CrlScope::All };
        let fields = CrlFields {
            scheme: owner.key().scheme(),
            issuer: issuer.name(),
            this_update: times.this_update.unix_seconds(),
            next_update: times.next_update.unix_seconds(),
            number,
            base: min_base,
            authority_key_identifier: issuer.key_identifier(),
            issuing_distribution_point: Some(&point).filter(|it| !it.uris.is_empty()),
            freshest_crl: &freshest,
            next_publish: Some(times.next_publish.unix_seconds()),
            ca_version: Some(CaVersion {
                certificate_index: owner.index(),
                key_index: line.key_index,
            }),
            published_locations: &published,
        };
        let build = |source| CrlError::Build { number, source };
        let mut writer = CrlWriter::new(scratch.writer(), min_base.is_some());
        if !plan.shadow {
            each_entry(view, &plan, &mut |entry| writer.entry(entry))?;
        }
        let lengths = writer.finish().map_err(build)?;
        let at = scratch.end(lengths.octets);
        let frame = frame_tbs(&fields, lengths).map_err(build)?;
        Ok(Written { plan, at, lengths, frame })
    }

    /// Signs a list, checks the signature, and gives the list its name.
    fn sign_crl(
        &self,
        written: Written,
        scratch: &mut Scratch,
        unrecorded: &mut Unrecorded,
    ) -> Result<CrlRecord, CrlError> {
        let Written { plan, at, lengths, frame: tbs } = written;
        let Plan { line, number, min_base, shadow, times, .. } = plan;
        let entries = (at, lengths.octets);
        let owner = self.crl_owner(line.key_index);
        let scheme = owner.key().scheme();
        let sign = |source| CrlError::Sign { number, source };
        // Read and hashed once for the signature and its check.
        let message = Message::read(scheme, &mut scratch.reader(entries, &tbs)?);
        let message = message.map_err(|err| sign(err.into()))?;
        let signature = owner.key().sign_message(&message).map_err(sign)?;
        let (spki, key) = (owner.issuer().spki_der(), owner.issuer().key());
        verify_message(spki, key, &message, &signature)
            .map_err(|source| CrlError::Signature { number, source })?;
        drop(message);
        let CrlTimes { this_update, next_update, this_publish, next_publish } = times;
        let mut record = CrlRecord {
            line,
            number,
            min_base,
            shadow,
            this_update,
            next_update,
            this_publish,
            next_publish,
            entries: lengths.entries,
            length: 0,
            sha256: [0; 32],
        };
        let frame = frame_crl(tbs.length, scheme, &signature);
        let name = record.file_name();
        (record.length, record.sha256) =
            unrecorded.put(&name, &frame, &mut scratch.reader(entries, &tbs)?)?;
        Ok(record)
    }
}

/// One pass over the entries of a list.
fn each_entry(
    view: &RevokedView<'_>,
    plan: &Plan,
    act: &mut dyn FnMut(&RevokedEntry) -> Result<(), CrlBuildError>,
) -> Result<(), CrlError> {
    let Plan { line: CrlLine { key_index, partition, .. }, number, since, rules, .. } = *plan;
    let mut result = Ok(());
    view.revoked(key_index, partition, since, &mut |revoked| {
        result = rules.entry(&revoked).map_or(Ok(()), |it| act(&it));
        result.is_ok()
    })
    .map_err(store(Some(number), "reading revocations"))?;
    result.map_err(|source| CrlError::Build { number, source })
}

fn store(number: Option<CrlNumber>, action: &'static str) -> impl Fn(StoreError) -> CrlError {
    move |source| CrlError::Store { number, action, source }
}

/// That somebody had lists made, for the audit trail.
fn published(by: &Caller, records: &[CrlRecord], at: UnixMillis) -> AuditEntry {
    let kinds: Vec<&str> = records.iter().map(|it| it.line.kind.word()).collect();
    let number = records.first().map(|it| it.number.to_string());
    let object = format!("crl:{}", number.unwrap_or_default());
    AuditEntry::new(at, by.actor(), "crl-publish", object).detail(kinds.join(", "))
}
