//! When a revocation list counts, and when the next one is due. Pure; the rules are the original's
//! (MS-CSRA, section 3.1.4.1.6).

use std::time::Duration;

use exeunt_types::{CrlKind, CrlRecord, UnixMillis};

use super::CrlSettings;

/// Longest overlap that is taken where none is configured (MS-CSRA, section 3.1.4.1.6).
const OVERLAP_MAX: Duration = Duration::from_hours(12);

/// The times of one list. Those in the list itself are whole seconds, as it writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CrlTimes {
    pub(super) this_update: UnixMillis,
    pub(super) next_update: UnixMillis,
    pub(super) this_publish: UnixMillis,
    pub(super) next_publish: UnixMillis,
}

impl CrlTimes {
    /// Times of a list made `now`. `next_publish` is the operator's word for this once; none is the
    /// period from now on. The list does not begin before the CA's certificate: the
    /// first one with its key.
    pub(super) fn new(
        settings: &CrlSettings,
        kind: CrlKind,
        now: UnixMillis,
        next_publish: Option<UnixMillis>,
        ca_not_before: UnixMillis,
    ) -> Self {
        let skew = settings.clock_skew;
        let next_publish = next_publish.unwrap_or_else(|| now.plus(settings.period_of(kind)));
        let this_update = minus(now, skew).max(ca_not_before);
        Self {
            this_update: whole_second(this_update),
            next_update: whole_second(next_publish.plus(overlap(settings, kind)).plus(skew)),
            this_publish: now,
            next_publish: whole_second(next_publish),
        }
    }

    /// Those of a list that was made.
    pub(super) fn of(record: &CrlRecord) -> Self {
        let CrlRecord { this_update, next_update, this_publish, next_publish, .. } = *record;
        Self { this_update, next_update, this_publish, next_publish }
    }
}

/// For how long a list still counts after the next one was due, apart from the allowance for slow
/// clocks.
fn overlap(settings: &CrlSettings, kind: CrlKind) -> Duration {
    let (configured, wanted) = match kind {
        CrlKind::Base => (settings.overlap, settings.period / 10),
        CrlKind::Delta => (settings.delta_overlap, settings.period_of(kind)),
    };
    let at_least = settings.clock_skew.saturating_mul(3) / 2;
    // The period of a base bounds that of deltas, too.
    let by_rule = || wanted.min(OVERLAP_MAX).max(at_least).min(settings.period);
    configured.unwrap_or_else(by_rule)
}

fn whole_second(at: UnixMillis) -> UnixMillis {
    UnixMillis::from_unix_seconds(at.unix_seconds())
}

/// The moment so much before.
pub(super) fn minus(at: UnixMillis, duration: Duration) -> UnixMillis {
    UnixMillis(at.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60;
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    /// 2026-09-21T14:13:20Z.
    const NOW_S: i64 = 1_790_000_000;

    fn duration(seconds: i64) -> Duration {
        Duration::from_secs(u64::try_from(seconds).unwrap())
    }

    fn settings(period: i64, skew: i64) -> CrlSettings {
        CrlSettings {
            period: duration(period),
            clock_skew: duration(skew),
            ..CrlSettings::default()
        }
    }

    fn times(settings: &CrlSettings, kind: CrlKind) -> CrlTimes {
        CrlTimes::new(settings, kind, UnixMillis(NOW_S * 1000), None, UnixMillis(0))
    }

    /// Seconds from now to `nextUpdate`.
    fn counts_for(settings: &CrlSettings, kind: CrlKind) -> i64 {
        times(settings, kind).next_update.unix_seconds() - NOW_S
    }

    #[test]
    fn a_list_begins_before_now_by_the_allowance_for_slow_clocks() {
        let found = times(&settings(7 * DAY, 10 * MINUTE), CrlKind::Base);
        assert_eq!(found.this_update, UnixMillis(1_789_999_400_000));
        assert_eq!(found.this_publish, UnixMillis(1_790_000_000_000));
    }

    #[test]
    fn a_list_does_not_begin_before_the_certificate_of_the_ca() {
        let born = UnixMillis((NOW_S - 60) * 1000);
        let of = settings(7 * DAY, 10 * MINUTE);
        let now = UnixMillis(NOW_S * 1000);
        let found = CrlTimes::new(&of, CrlKind::Base, now, None, born);
        assert_eq!(found.this_update, born);
        // Nothing else moves with it.
        assert_eq!(found.next_update, times(&of, CrlKind::Base).next_update);
    }

    #[test]
    fn the_next_list_is_due_after_the_period() {
        let mut of = settings(7 * DAY, 10 * MINUTE);
        of.delta_period = Some(duration(DAY));
        // 1,790,000,000 + 604,800, and + 86,400.
        assert_eq!(times(&of, CrlKind::Base).next_publish, UnixMillis(1_790_604_800_000));
        assert_eq!(times(&of, CrlKind::Delta).next_publish, UnixMillis(1_790_086_400_000));
    }

    /// The original's weekly list counts for 7 days, 12 hours and 10 minutes from now on.
    #[test]
    fn the_overlap_of_a_base_is_twelve_hours_at_most() {
        // 10 % of 168 h is 16.8 h, more than 12 h.
        let found = counts_for(&settings(7 * DAY, 10 * MINUTE), CrlKind::Base);
        assert_eq!(found, 7 * DAY + 12 * HOUR + 10 * MINUTE);
    }

    #[test]
    fn the_overlap_of_a_base_is_a_tenth_of_its_period() {
        // 10 % of 24 h is 2 h 24 min.
        let found = counts_for(&settings(DAY, 10 * MINUTE), CrlKind::Base);
        assert_eq!(found, DAY + 144 * MINUTE + 10 * MINUTE);
    }

    #[test]
    fn the_overlap_of_a_base_is_at_least_one_and_a_half_allowances() {
        // 10 % of 1 h is 6 min, less than 15 min.
        let found = counts_for(&settings(HOUR, 10 * MINUTE), CrlKind::Base);
        assert_eq!(found, HOUR + 15 * MINUTE + 10 * MINUTE);
    }

    #[test]
    fn the_overlap_of_a_base_is_its_period_at_most() {
        // 15 min would be more than the period of 5 min.
        let found = counts_for(&settings(5 * MINUTE, 10 * MINUTE), CrlKind::Base);
        assert_eq!(found, 5 * MINUTE + 5 * MINUTE + 10 * MINUTE);
    }

    #[test]
    fn the_overlap_of_a_delta_is_its_period() {
        let mut of = settings(7 * DAY, 10 * MINUTE);
        of.delta_period = Some(duration(2 * HOUR));
        assert_eq!(counts_for(&of, CrlKind::Delta), 2 * HOUR + 2 * HOUR + 10 * MINUTE);
    }

    #[test]
    fn the_overlap_of_a_delta_is_twelve_hours_at_most() {
        let mut of = settings(7 * DAY, 10 * MINUTE);
        of.delta_period = Some(duration(DAY));
        assert_eq!(counts_for(&of, CrlKind::Delta), DAY + 12 * HOUR + 10 * MINUTE);
    }

    #[test]
    fn the_overlap_of_a_delta_is_at_least_one_and_a_half_allowances() {
        let mut of = settings(7 * DAY, 10 * MINUTE);
        of.delta_period = Some(duration(5 * MINUTE));
        assert_eq!(counts_for(&of, CrlKind::Delta), 5 * MINUTE + 15 * MINUTE + 10 * MINUTE);
    }

    #[test]
    fn the_overlap_of_a_delta_is_the_period_of_the_base_at_most() {
        let mut of = settings(10 * MINUTE, 10 * MINUTE);
        of.delta_period = Some(duration(5 * MINUTE));
        // 15 min by the allowance, 10 min by the base.
        assert_eq!(counts_for(&of, CrlKind::Delta), 5 * MINUTE + 10 * MINUTE + 10 * MINUTE);
    }

    #[test]
    fn a_configured_overlap_stands_in_for_the_rule() {
        let mut of = settings(7 * DAY, 10 * MINUTE);
        of.delta_period = Some(duration(DAY));
        of.overlap = Some(duration(3 * DAY));
        of.delta_overlap = Some(duration(0));
        assert_eq!(counts_for(&of, CrlKind::Base), 10 * DAY + 10 * MINUTE);
        assert_eq!(counts_for(&of, CrlKind::Delta), DAY + 10 * MINUTE);
    }

    #[test]
    fn the_operators_date_stands_in_for_the_period() {
        let of = settings(7 * DAY, 10 * MINUTE);
        let at = UnixMillis((NOW_S + 30 * DAY) * 1000);
        let now = UnixMillis(NOW_S * 1000);
        let found = CrlTimes::new(&of, CrlKind::Base, now, Some(at), UnixMillis(0));
        assert_eq!(found.next_publish, at);
        let counts_for = found.next_update.unix_seconds() - NOW_S;
        assert_eq!(counts_for, 30 * DAY + 12 * HOUR + 10 * MINUTE);
    }

    #[test]
    fn what_stands_in_a_list_is_whole_seconds() {
        let of = settings(DAY, 10 * MINUTE);
        let now = UnixMillis(NOW_S * 1000 + 999);
        let found = CrlTimes::new(&of, CrlKind::Base, now, None, UnixMillis(0));
        for at in [found.this_update, found.next_update, found.next_publish] {
            assert_eq!(at.0 % 1000, 0);
        }
        assert_eq!(found.this_publish, now);
    }
}
