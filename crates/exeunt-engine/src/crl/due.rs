//! Which lists there are, which are due, and which ran out.

use exeunt_store::{PartitionRow, StoreError};
use exeunt_types::{CrlKind, CrlLine, CrlRecord, EventSeq, UnixMillis};

use super::{CrlError, CrlOrder, store};
use crate::engine::Engine;

/// A base and its delta: those of a CA key, or of a part of its certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) key_index: u16,
    pub(super) partition: u32,
    /// Whether the key has parts.
    pub(super) is_cut: bool,
}

impl Pair {
    pub(super) fn line(self, kind: CrlKind) -> CrlLine {
        CrlLine { kind, key_index: self.key_index, partition: self.partition }
    }

    /// The newest list of a kind.
    pub(super) fn newest(self, current: &[CrlRecord], kind: CrlKind) -> Option<&CrlRecord> {
        current.iter().find(|it| it.line == self.line(kind))
    }
}

impl Engine {
    /// All lists that are made, by key and part: those of each CA key from the begin of its first
    /// certificate until its last one runs out, and of each part until a list was made after its last certificate ran out.
    pub(super) fn crl_pairs(
        &self,
        current: &[CrlRecord],
        now: UnixMillis,
    ) -> Result<Vec<Pair>, CrlError> {
        let rows = self
            .store
            .crl_partitions()
            .map_err(store(None, "reading the parts of the revocation lists"))?;
        let newest = self.ca.current().key_index();
        let begins = |key| self.ca.key_not_before(key).unwrap_or_default();
        let has_begun = |key| begins(key) <= now.unix_seconds();
        let any_has_begun = self.ca.owners().any(|it| has_begun(it.key_index()));
        let mut pairs = Vec::new();
        for owner in self.ca.owners() {
            let key_index = owner.key_index();
            let ends = self.ca.key_not_after(key_index).unwrap_or_default();
            if key_index != newest && ends < now.unix_seconds() {
                continue;
            }
            // A list cannot begin before its key. Where the clock is before all of them, it is wrong.
            if any_has_begun && !has_begun(key_index) {
                continue;
            }
            let configured = if key_index == newest && self.crls.has_partitions() {
                self.crls.partitions
            } else {
                0
            };
            let pair = |partition| Pair { key_index, partition, is_cut: true };
            let is_alive = |it: &&PartitionRow| {
                // RFC 5280, section 3.3: one more list after the certificates ran out.
                let last = pair(it.partition).newest(current, CrlKind::Base);
                last.is_none_or(|last| last.this_publish <= it.not_after) || now <= it.not_after
            };
            let older = rows.iter().filter(|it| it.key_index == key_index);
            let older = older.filter(|it| configured < it.partition).filter(is_alive);
            let parts = (1..=configured).chain(older.map(|it| it.partition)).map(pair);
            let before = pairs.len();
            pairs.push(Pair { is_cut: false, ..pair(0) });
            pairs.extend(parts);
            pairs[before].is_cut = before + 1 < pairs.len();
        }
        Ok(pairs)
    }

    /// What is due at that moment: lists that were never made, those whose time has come, those that
    /// were made while the clock was ahead, those whose file is gone or has another length; and the
    /// last ones after deltas were switched off.
    ///
    /// # Errors
    ///
    /// [`CrlError::Store`].
    pub fn crls_due(&self, now: UnixMillis) -> Result<CrlOrder, CrlError> {
        let current = self.current_crls()?;
        let pairs = self.crl_pairs(&current, now)?;
        let due = |pair: &Pair, kind| {
            pair.newest(&current, kind).is_none_or(|it| {
                it.next_publish <= now || now < it.this_publish || !self.has_whole_file(it)
            })
        };
        let base = self.crls.has_bases()
            && pairs.iter().any(|it| due(it, CrlKind::Base) || self.needs_shadow(*it, &current));
        let delta_is_due = |it: &Pair| {
            let base = it.newest(&current, CrlKind::Base);
            base.is_some_and(|base| now <= base.next_update) && due(it, CrlKind::Delta)
        };
        let delta = self.crls.has_deltas() && (base || pairs.iter().any(delta_is_due));
        Ok(CrlOrder { base, delta, next_publish: None })
    }

    /// Whether deltas were switched off, and the last, empty one is still to come.
    pub(super) fn needs_shadow(&self, pair: Pair, current: &[CrlRecord]) -> bool {
        let last = pair.newest(current, CrlKind::Delta);
        !self.crls.has_deltas() && last.is_some_and(|it| !it.shadow)
    }

    /// The newest list of each line.
    ///
    /// # Errors
    ///
    /// [`CrlError::Store`].
    pub fn current_crls(&self) -> Result<Vec<CrlRecord>, CrlError> {
        self.store.current_crls().map_err(store(None, "reading the revocation lists"))
    }

    /// The newest list of one line.
    ///
    /// # Errors
    ///
    /// [`CrlError::Store`].
    pub fn current_crl(&self, line: CrlLine) -> Result<Option<CrlRecord>, CrlError> {
        self.store.current_crl(line).map_err(store(None, "reading the revocation lists"))
    }

    /// Tells the modules of lists that ran out without a newer one, once for each list; `None` where
    /// there is nothing to tell.
    ///
    /// # Errors
    ///
    /// [`CrlError::Store`]; nobody is told.
    pub fn note_overdue_crls(&self) -> Result<Option<EventSeq>, CrlError> {
        let now = self.clock.now();
        let current = self.current_crls()?;
        let kinds = [Some(CrlKind::Base), Some(CrlKind::Delta).filter(|_| self.crls.has_deltas())];
        let ran_out = |pair: &Pair| {
            kinds
                .into_iter()
                .flatten()
                .filter_map(|kind| pair.newest(&current, kind))
                .filter(|it| it.next_update < now)
                .map(|it| it.line)
                .collect::<Vec<_>>()
        };
        let lines: Vec<CrlLine> = self.crl_pairs(&current, now)?.iter().flat_map(ran_out).collect();
        if lines.is_empty() {
            return Ok(None);
        }
        let noted = self.store.note_overdue_crls(lines, now);
        noted.map_err(store(None, "noting that a revocation list ran out"))
    }

    /// Tells the modules that no list could be made: why, which number it would have had, and how
    /// many attempts in a row have failed.
    ///
    /// # Errors
    ///
    /// Nothing was written, and nobody is told.
    pub fn note_crl_failure(&self, error: &CrlError) -> Result<EventSeq, StoreError> {
        let mut runs = self.crl_runs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        runs.failed = runs.failed.saturating_add(1);
        let mut detail = vec![("Reason".to_owned(), format!("{}: {error}", error.code()))];
        detail.extend(error.number().map(|it| ("Number".to_owned(), it.to_string())));
        detail.push(("Attempt".to_owned(), runs.failed.to_string()));
        self.store.crl_failed(&detail, self.clock.now())
    }
}
