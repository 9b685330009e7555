//! Making revocation lists: one base, and one delta where deltas are on, for each CA key. Enter at
//! [`Engine::publish_crls`]. Who makes them when is the caller's business; [`Engine::crls_due`] says
//! what is due.
//!
//! A number is drawn; the lists are written to nameless files, signed, verified and put into the
//! folder; then they become facts, with their event. A crash before that leaves a skipped number and
//! files that recovery removes.

mod entries;
mod error;
mod file;
mod times;

use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Duration;

use exeunt_keys::verify_reader;
use exeunt_store::{AuditEntry, RevokedView, Since, StoreError};
use exeunt_types::{CrlKind, CrlLine, CrlNumber, CrlRecord, EventSeq, UnixMillis};
use exeunt_x509::{
    CaVersion, CrlBuildError, CrlFields, CrlLengths, CrlScope, CrlWriter, IssuingDistributionPoint,
    RevokedEntry, TbsFrame, frame_crl, frame_tbs,
};

use crate::engine::Engine;
use crate::policy::Caller;
use entries::EntryRules;
pub use error::CrlError;
use file::{Scratch, Unrecorded};
use times::{CrlTimes, minus};

/// Index of the only CA key so far.
const KEY_INDEX: u16 = 0;
/// The only part of the lists so far: they are whole.
const PARTITION: u32 = 0;

/// Longest time between the moment that a revocation names and its commit. A delta looks back so much
/// further than its base was made, also where clocks are trusted to the second.
const COMMIT_MAX: Duration = Duration::from_mins(1);

/// How revocation lists are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlSettings {
    /// Time from one base to the next; zero switches them off.
    pub period: Duration,
    /// Time from one delta to the next; none, or zero, switches them off.
    pub delta_period: Option<Duration>,
    /// For how long a base still counts when the next one is due; none goes by the original's rule:
    /// a tenth of the period, 12 hours at most, one and a half clock skews at least.
    pub overlap: Option<Duration>,
    /// The same of deltas; none goes by the original's rule: the delta's period, 12 hours at most, one
    /// and a half clock skews at least, the base's period at most.
    pub delta_overlap: Option<Duration>,
    /// By how much clocks of verifiers may be wrong: lists begin so much earlier and end so much later.
    pub clock_skew: Duration,
    /// Where deltas are found, for bases to say; an empty list leaves the extension out.
    pub freshest_crl: Vec<String>,
    /// Where lists are found, for themselves to say; an empty list leaves the extension out.
    pub issuing_distribution_point: Vec<String>,
    /// Where lists are published, Microsoft's `Published CRL Locations`; an empty list leaves the
    /// extension out.
    pub published_locations: Vec<String>,
}

impl Default for CrlSettings {
    /// A base each week, no deltas, clocks wrong by ten minutes: the original's numbers.
    fn default() -> Self {
        Self {
            period: Duration::from_hours(7 * 24),
            delta_period: None,
            overlap: None,
            delta_overlap: None,
            clock_skew: Duration::from_mins(10),
            freshest_crl: Vec::new(),
            issuing_distribution_point: Vec::new(),
            published_locations: Vec::new(),
        }
    }
}

impl CrlSettings {
    /// Whether bases are made as time goes by.
    #[must_use]
    pub fn has_bases(&self) -> bool {
        !self.period.is_zero()
    }

    /// Whether deltas are made.
    #[must_use]
    pub fn has_deltas(&self) -> bool {
        self.delta_period.is_some_and(|it| !it.is_zero())
    }

    fn period_of(&self, kind: CrlKind) -> Duration {
        match kind {
            CrlKind::Base => self.period,
            CrlKind::Delta => self.delta_period.unwrap_or_default(),
        }
    }
}

/// Which lists shall be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrlOrder {
    /// Complete lists; where deltas are on, they come along.
    pub base: bool,
    /// Deltas.
    pub delta: bool,
    /// When the next ones of what is named here are due; none is after the configured period.
    pub next_publish: Option<UnixMillis>,
}

impl CrlOrder {
    /// Whether nothing is ordered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.base && !self.delta
    }
}

/// What is remembered from run to run.
#[derive(Debug, Default)]
pub(crate) struct CrlRuns {
    /// Runs in a row that failed and were noted.
    failed: u32,
}

/// One list that is about to be made.
#[derive(Clone, Copy)]
struct Plan {
    line: CrlLine,
    number: CrlNumber,
    min_base: Option<CrlNumber>,
    /// For a delta: from where on it tells what changed.
    since: Option<Since>,
    times: CrlTimes,
    rules: EntryRules,
}

/// A list without a signature: its entries are in a file without a name.
struct Written {
    plan: Plan,
    entries: Scratch,
    lengths: CrlLengths,
    frame: TbsFrame,
}

impl Engine {
    /// Makes the lists that are ordered, bases first. They are durable, and may be shown, when this
    /// returns; an event tells of them. One run at a time: another caller waits.
    ///
    /// # Errors
    ///
    /// [`CrlError`]; nothing was published, but a number may be skipped.
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
        let written: Result<Vec<Written>, CrlError> = self
            .store
            .read_revoked(|view| Ok(plans.iter().map(|it| self.write_tbs(view, *it)).collect()))
            .map_err(store(Some(number), "reading revocations"))?;
        let mut unrecorded = Unrecorded::new(&self.crl_folder, number);
        let mut records = Vec::with_capacity(plans.len());
        for written in written? {
            records.push(self.sign_crl(written, &mut unrecorded)?);
        }
        unrecorded.sync()?;

        // From here on the files stay: whether this was recorded is not known when it fails, and
        // recovery looks.
        unrecorded.keep();
        let audit = by.map(|by| published(by, &records, now));
        self.store
            .record_crls(records.clone(), now, audit)
            .map_err(store(Some(number), "recording the revocation lists"))?;
        runs.failed = 0;
        for CrlRecord { line, number, entries, .. } in &records {
            tracing::info!(number = number.0, kind = line.kind.word(), entries, "CRL published");
        }
        Ok(records)
    }

    /// What is due at that moment: lists that were never made, those whose time has come, those that
    /// were made while the clock was ahead, and those whose file is gone or has another length.
    ///
    /// # Errors
    ///
    /// [`CrlError::Store`].
    pub fn crls_due(&self, now: UnixMillis) -> Result<CrlOrder, CrlError> {
        let current = self.current_crls()?;
        let due = |kind| {
            let newest = current.iter().find(|it| it.line == line(kind));
            newest.is_none_or(|it| {
                it.next_publish <= now || now < it.this_publish || !self.has_whole_file(it)
            })
        };
        let base = self.crls.has_bases() && due(CrlKind::Base);
        let is_base = |it: &&CrlRecord| it.line == line(CrlKind::Base);
        let has_base = current.iter().find(is_base).is_some_and(|it| now <= it.next_update);
        let delta = self.crls.has_deltas() && (base || has_base && due(CrlKind::Delta));
        Ok(CrlOrder { base, delta, next_publish: None })
    }

    /// The newest list of each line.
    ///
    /// # Errors
    ///
    /// [`CrlError::Store`].
    pub fn current_crls(&self) -> Result<Vec<CrlRecord>, CrlError> {
        self.store.current_crls().map_err(store(None, "reading the revocation lists"))
    }

    /// The file with the DER of a list.
    #[must_use]
    pub fn crl_file(&self, record: &CrlRecord) -> PathBuf {
        self.crl_folder.join(record.file_name())
    }

    /// Whether the file of a list is there, as far as its length shows.
    fn has_whole_file(&self, record: &CrlRecord) -> bool {
        let metadata = std::fs::metadata(self.crl_file(record));
        metadata.is_ok_and(|it| it.is_file() && it.len() == record.length)
    }

    /// Tells the modules that no list could be made: why, which number it would have had, and how
    /// many attempts in a row have failed.
    ///
    /// # Errors
    ///
    /// Nothing was written, and nobody is told.
    pub fn note_crl_failure(&self, error: &CrlError) -> Result<EventSeq, StoreError> {
        let mut runs = self.crl_runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.failed = runs.failed.saturating_add(1);
        let mut detail = vec![("Reason".to_owned(), format!("{}: {error}", error.code()))];
        detail.extend(error.number().map(|it| ("Number".to_owned(), it.to_string())));
        detail.push(("Attempt".to_owned(), runs.failed.to_string()));
        self.store.crl_failed(&detail, self.clock.now())
    }

    /// Which kinds of lists an order means, bases first.
    fn kinds(&self, order: CrlOrder, now: UnixMillis) -> Result<Vec<CrlKind>, CrlError> {
        let CrlOrder { base, delta, next_publish } = order;
        let has_deltas = self.crls.has_deltas();
        if order.is_empty() {
            return Err(CrlError::NothingOrdered);
        }
        if next_publish.is_some_and(|it| it <= now) {
            return Err(CrlError::NextPublishPast);
        }
        // Without a period nobody knows when the next one is due, but for the operator.
        if base && !self.crls.has_bases() && next_publish.is_none() {
            return Err(CrlError::Off);
        }
        if delta && !has_deltas {
            return Err(CrlError::DeltasOff);
        }
        let bases = base.then_some(CrlKind::Base);
        let deltas = has_deltas.then_some(CrlKind::Delta);
        Ok(bases.into_iter().chain(deltas).collect())
    }

    /// What each list will be, apart from its entries; draws the number.
    fn plan_crls(
        &self,
        kinds: &[CrlKind],
        order: CrlOrder,
        now: UnixMillis,
    ) -> Result<Vec<Plan>, CrlError> {
        let current = self.current_crls()?;
        let last_base = current.iter().find(|it| it.line == line(CrlKind::Base));
        let last_publish = last_base.map(|it| it.this_publish);
        let unexpired = self
            .store
            .unexpired_bases(KEY_INDEX, PARTITION, now)
            .map_err(store(None, "reading the revocation lists"))?;
        if unexpired.is_empty() && !kinds.contains(&CrlKind::Base) {
            return Err(CrlError::NoBase);
        }
        let number =
            self.store.next_crl_number().map_err(store(None, "numbering the revocation list"))?;
        let ca_not_before = UnixMillis::from_unix_seconds(self.ca.current().issuer().not_before());
        let plan = |&kind: &CrlKind| {
            // The date is for what was named: a delta that comes along keeps its own pace.
            let comes_along = kind == CrlKind::Delta && !order.delta;
            let next_publish = order.next_publish.filter(|_| !comes_along);
            let times = CrlTimes::new(&self.crls, kind, now, next_publish, ca_not_before);
            let rules = EntryRules { kind, now, last_publish };
            let plan = Plan { line: line(kind), number, min_base: None, since: None, times, rules };
            match kind {
                CrlKind::Base => plan,
                CrlKind::Delta => {
                    // Verifiers may hold any base that still counts, and the oldest one serves all.
                    // The first delta of all comes together with its base.
                    let (min_base, its) = unexpired
                        .first()
                        .map_or((number, times), |it| (it.number, CrlTimes::of(it)));
                    let at = its.this_update.min(minus(its.this_publish, COMMIT_MAX));
                    let since = Some(Since { at, base: min_base });
                    Plan { min_base: Some(min_base), since, ..plan }
                }
            }
        };
        Ok(kinds.iter().map(plan).collect())
    }

    /// Makes what is to be signed, in one pass over the revocations.
    fn write_tbs(&self, view: &RevokedView<'_>, plan: Plan) -> Result<Written, CrlError> {
        let Plan { number, min_base, times, .. } = plan;
        let point = IssuingDistributionPoint {
            uris: self.crls.issuing_distribution_point.clone(),
            scope: CrlScope::All,
        };
        let freshest_crl = match plan.line.kind {
            CrlKind::Base if self.crls.has_deltas() => self.crls.freshest_crl.as_slice(),
            CrlKind::Base | CrlKind::Delta => &[],
        };
        let fields = CrlFields {
            scheme: self.ca.current().key().scheme(),
            issuer: self.ca.current().issuer().name(),
            this_update: times.this_update.unix_seconds(),
            next_update: times.next_update.unix_seconds(),
            number,
            base: min_base,
            authority_key_identifier: self.ca.current().issuer().key_identifier(),
            issuing_distribution_point: Some(&point).filter(|it| !it.uris.is_empty()),
            freshest_crl,
            next_publish: Some(times.next_publish.unix_seconds()),
            ca_version: Some(CaVersion { certificate_index: 0, key_index: plan.line.key_index }),
            published_locations: &self.crls.published_locations,
        };
        let mut entries = Scratch::new(&self.crl_folder, number)?;
        let build = |source| CrlError::Build { number, source };
        let mut writer = CrlWriter::new(entries.writer(), min_base.is_some());
        each_entry(view, &plan, &mut |entry| writer.entry(entry))?;
        let lengths = writer.finish().map_err(build)?;
        let frame = frame_tbs(&fields, lengths).map_err(build)?;
        Ok(Written { plan, entries, lengths, frame })
    }

    /// Signs a list, checks the signature, and gives the list its name.
    fn sign_crl(
        &self,
        written: Written,
        unrecorded: &mut Unrecorded,
    ) -> Result<CrlRecord, CrlError> {
        let Written { plan, mut entries, lengths, frame: tbs } = written;
        let Plan { line, number, min_base, times, .. } = plan;
        let ca = self.ca.current();
        let scheme = ca.key().scheme();
        let signature = ca
            .key()
            .sign_reader(&mut entries.reader(&tbs)?)
            .map_err(|source| CrlError::Sign { number, source })?;
        let (spki, key) = (ca.issuer().spki_der(), ca.issuer().key());
        verify_reader(spki, key, scheme, &mut entries.reader(&tbs)?, &signature)
            .map_err(|source| CrlError::Signature { number, source })?;
        let CrlTimes { this_update, next_update, this_publish, next_publish } = times;
        let mut record = CrlRecord {
            line,
            number,
            min_base,
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
            unrecorded.put(&name, &frame, &mut entries.reader(&tbs)?)?;
        Ok(record)
    }
}

/// The line of a kind. There is one key so far, and lists are whole.
fn line(kind: CrlKind) -> CrlLine {
    CrlLine { kind, key_index: KEY_INDEX, partition: PARTITION }
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
    AuditEntry {
        at,
        actor: by.name.clone(),
        action: "crl-publish".to_owned(),
        object: format!("crl:{}", number.unwrap_or_default()),
        detail: kinds.join(", "),
    }
}
