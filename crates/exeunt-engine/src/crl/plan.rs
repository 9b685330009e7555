//! What each list of a run will be, apart from its entries.

use std::time::Duration;

use exeunt_store::Since;
use exeunt_types::{CrlKind, CrlLine, CrlNumber, CrlRecord, UnixMillis};

use super::due::Pair;
use super::entries::EntryRules;
use super::times::{CrlTimes, minus};
use super::{CrlError, CrlOrder, store};
use crate::engine::Engine;

/// Longest time between the moment that a revocation names and its commit. A delta looks back so much
/// further than its base was made, also where clocks are trusted to the second.
const COMMIT_MAX: Duration = Duration::from_mins(1);

/// One list that is about to be made.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) line: CrlLine,
    /// Whether it is one of several parts.
    pub(super) is_cut: bool,
    pub(super) number: CrlNumber,
    pub(super) min_base: Option<CrlNumber>,
    /// For a delta: from where on it tells what changed.
    pub(super) since: Option<Since>,
    /// The last, empty delta after deltas were switched off.
    pub(super) shadow: bool,
    pub(super) times: CrlTimes,
    pub(super) rules: EntryRules,
}

impl Engine {
    /// Which kinds of lists an order means, bases first.
    pub(super) fn kinds(&self, order: CrlOrder, now: UnixMillis) -> Result<Vec<CrlKind>, CrlError> {
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

    /// The plans of a run; draws the number.
    pub(super) fn plan_crls(
        &self,
        kinds: &[CrlKind],
        order: CrlOrder,
        now: UnixMillis,
    ) -> Result<Vec<Plan>, CrlError> {
        let current = self.current_crls()?;
        let pairs = self.crl_pairs(&current, now)?;
        let makes_bases = kinds.contains(&CrlKind::Base);
        let mut bases = Vec::with_capacity(pairs.len());
        for Pair { key_index, partition, .. } in &pairs {
            let unexpired = self
                .store
                .unexpired_bases(*key_index, *partition, now)
                .map_err(store(None, "reading the revocation lists"))?;
            bases.push(delta_base(&unexpired, now).cloned());
        }
        if !makes_bases && bases.iter().all(Option::is_none) {
            return Err(CrlError::NoBase);
        }
        let number =
            self.store.next_crl_number().map_err(store(None, "numbering the revocation list"))?;
        let mut plans = Vec::with_capacity(2 * pairs.len());
        for &kind in kinds {
            // The date is for what was named: a delta that comes along keeps its own pace.
            let comes_along = kind == CrlKind::Delta && !order.delta;
            let next_publish = order.next_publish.filter(|_| !comes_along);
            for (pair, base) in pairs.iter().zip(&bases) {
                let plan = self.plan(*pair, kind, number, (&current, now), next_publish);
                match kind {
                    CrlKind::Base => {
                        plans.push(plan);
                        if self.needs_shadow(*pair, &current) {
                            plans.push(shadow(plan));
                        }
                    }
                    // A part that is new has no base yet, and is made when one is.
                    CrlKind::Delta if base.is_none() && !makes_bases => (),
                    CrlKind::Delta => plans.push(delta(plan, base.as_ref())),
                }
            }
        }
        // Bases first, whatever comes along.
        plans.sort_by_key(|it| it.line.kind);
        Ok(plans)
    }

    fn plan(
        &self,
        pair: Pair,
        kind: CrlKind,
        number: CrlNumber,
        (current, now): (&[CrlRecord], UnixMillis),
        next_publish: Option<UnixMillis>,
    ) -> Plan {
        // Of the first certificate with the key: the lists are for what was issued under it, too.
        let ca_not_before = self.ca.key_not_before(pair.key_index).unwrap_or_default();
        let ca_not_before = UnixMillis::from_unix_seconds(ca_not_before);
        let times = CrlTimes::new(&self.crls, kind, now, next_publish, ca_not_before);
        let last_publish = pair.newest(current, CrlKind::Base).map(|it| it.this_publish);
        Plan {
            line: pair.line(kind),
            is_cut: pair.is_cut,
            number,
            min_base: None,
            since: None,
            shadow: false,
            times,
            rules: EntryRules { kind, now, last_publish },
        }
    }
}

/// The base that a delta builds on, of those that still count, oldest first: the newest one that has
/// had the time to come to everybody, or else the oldest, which serves all (MS-CSRA, section
/// 3.1.4.1.6, `CRLPropagationComplete`). A base that was made to last for years does not make each
/// delta for years as long as itself.
fn delta_base(unexpired: &[CrlRecord], now: UnixMillis) -> Option<&CrlRecord> {
    let has_arrived = |it: &&CrlRecord| {
        // Overlap and allowance for slow clocks, as they were when it was made.
        let grace = it.next_update.0.saturating_sub(it.next_publish.0);
        it.this_publish.0.saturating_add(grace) <= now.0
    };
    unexpired.iter().rev().find(has_arrived).or_else(|| unexpired.first())
}

/// A delta on that base. The first delta of all comes together with its base.
fn delta(plan: Plan, base: Option<&CrlRecord>) -> Plan {
    let (min_base, its) =
        base.map_or((plan.number, plan.times), |it| (it.number, CrlTimes::of(it)));
    let at = its.this_update.min(minus(its.this_publish, COMMIT_MAX));
    Plan { min_base: Some(min_base), since: Some(Since { at, base: min_base }), ..plan }
}

/// The shadow of a base: what changed since that very base, which is nothing, for as long as it counts.
/// Whoever holds an older base is told by its number that it needs this one, which names no deltas.
fn shadow(base: Plan) -> Plan {
    let line = CrlLine { kind: CrlKind::Delta, ..base.line };
    Plan { line, min_base: Some(base.number), shadow: true, ..base }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(number: u64, this_publish: i64, next_publish: i64) -> CrlRecord {
        CrlRecord {
            line: CrlLine { kind: CrlKind::Base, key_index: 0, partition: 0 },
            number: CrlNumber(number),
            min_base: None,
            shadow: false,
            this_update: UnixMillis(this_publish),
            // An overlap of 100.
            next_update: UnixMillis(next_publish + 100),
            this_publish: UnixMillis(this_publish),
            next_publish: UnixMillis(next_publish),
            entries: 0,
            length: 1,
            sha256: [0; 32],
        }
    }

    #[test]
    fn a_delta_builds_on_the_newest_base_that_has_come_to_everybody() {
        let number =
            |bases: &[CrlRecord], now| delta_base(bases, UnixMillis(now)).map(|it| it.number.0);
        assert_eq!(number(&[], 0), None);
        let bases = [base(1, 0, 1000), base(2, 500, 1500), base(3, 900, 1900)];
        // None has; the oldest serves all.
        assert_eq!(number(&bases, 99), Some(1));
        for (now, expected) in [(100, 1), (599, 1), (600, 2), (999, 2), (1000, 3)] {
            assert_eq!(number(&bases, now), Some(expected), "{now}");
        }
        // One for ten years does not hold the others back.
        let far_off = [base(1, 0, 1_000_000), base(2, 500, 1500)];
        assert_eq!(number(&far_off, 600), Some(2));
        // Made while the clock was ahead.
        assert_eq!(number(&[base(1, 0, 1000), base(2, 5000, 6000)], 600), Some(1));
    }
}
