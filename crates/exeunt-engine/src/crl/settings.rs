//! How revocation lists are made, and which shall be made now.

use std::time::Duration;

use exeunt_types::{CrlKind, UnixMillis};

use super::place::names_part;

/// Most parts that lists can be cut into: each run makes a file, or two with deltas, for each part.
pub const CRL_PARTITIONS_MAX: u32 = 256;

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
    /// Into how many parts the lists of the current key are cut: 1 to [`CRL_PARTITIONS_MAX`]; 1 leaves
    /// them whole. Each new certificate belongs to one of them, drawn by lot, for its life.
    pub partitions: u32,
    /// Where deltas are found, for bases to say; an empty list leaves the extension out. These
    /// addresses, and those below, may have the original's tokens: `%4`, `%8`, `%9` and
    /// `<CRLPartitionIndex>`.
    pub freshest_crl: Vec<String>,
    /// Where lists are found, for themselves to say; an empty list leaves the extension out. Parts say
    /// in any case what their certificates say.
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
            partitions: 1,
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

    /// Whether new certificates belong to parts.
    #[must_use]
    pub fn has_partitions(&self) -> bool {
        1 < self.partitions
    }

    /// The part that a new certificate belongs to, by the random octets that its serial number is made
    /// of: 0 where lists are whole.
    pub(crate) fn draw_partition(&self, random: [u8; 16]) -> u32 {
        if !self.has_partitions() {
            return 0;
        }
        let [.., a, b, c, d] = random;
        // The parts differ in size by less than one in ten million.
        1 + u32::from_be_bytes([a, b, c, d]) % self.partitions
    }

    /// Whether certificates and lists find each other. `distribution_points` is where certificates say
    /// their list is.
    ///
    /// # Errors
    ///
    /// Which rule the settings break.
    pub fn check(&self, distribution_points: &[String]) -> Result<(), &'static str> {
        if !(1..=CRL_PARTITIONS_MAX).contains(&self.partitions) {
            return Err("lists have 1 to 256 parts");
        }
        if !self.has_partitions() {
            return Ok(());
        }
        if distribution_points.is_empty() || !distribution_points.iter().all(|it| names_part(it)) {
            return Err("lists have parts, and an address of crl_distribution_points has no \
                        <CRLPartitionIndex>");
        }
        if self.has_deltas() && !self.freshest_crl.iter().all(|it| names_part(it)) {
            return Err("lists have parts, and an address of freshest has no <CRLPartitionIndex>");
        }
        Ok(())
    }

    /// The same where certificates belong to parts from before, also if new ones do not.
    pub(crate) fn check_older_parts(&self, points: &[String]) -> Result<(), &'static str> {
        if !points.iter().chain(&self.issuing_distribution_point).any(|it| names_part(it)) {
            return Err("certificates belong to parts of the lists, and no address of \
                        crl_distribution_points or issuing_distribution_point has \
                        <CRLPartitionIndex>");
        }
        if self.has_deltas() && !self.freshest_crl.iter().all(|it| names_part(it)) {
            return Err(
                "certificates belong to parts of the lists, and an address of freshest has \
                        no <CRLPartitionIndex>",
            );
        }
        Ok(())
    }

    pub(super) fn period_of(&self, kind: CrlKind) -> Duration {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(partitions: u32) -> CrlSettings {
        CrlSettings { partitions, ..CrlSettings::default() }
    }

    #[test]
    fn a_certificate_belongs_to_one_of_the_parts_and_to_none_where_lists_are_whole() {
        let mut found = [0; 4];
        for lot in 0..=255 {
            let mut random = [7; 16];
            random[15] = lot;
            assert_eq!(settings(1).draw_partition(random), 0);
            found[settings(4).draw_partition(random) as usize - 1] += 1;
        }
        assert_eq!(found, [64; 4]);
        assert_eq!(settings(256).draw_partition([0xff; 16]), 256);
    }

    #[test]
    fn parts_need_addresses_that_tell_them_apart() {
        let part = ["http://a/ca<CRLPartitionIndex>.crl".to_owned()];
        let whole = "http://a/ca.crl".to_owned();
        let code = |settings: &CrlSettings, points: &[String]| settings.check(points).is_ok();
        assert!(code(&settings(1), &[]) && code(&settings(2), &part));
        for bad in [vec![], vec![whole.clone()], vec![part[0].clone(), whole.clone()]] {
            assert!(!code(&settings(2), &bad), "{bad:?}");
        }
        assert!(!code(&settings(0), &part) && !code(&settings(257), &part));
        let freshest_crl = vec![whole];
        let off = CrlSettings { freshest_crl, ..settings(2) };
        assert!(code(&off, &part));
        let on = CrlSettings { delta_period: Some(Duration::from_hours(1)), ..off };
        assert!(!code(&on, &part));
    }
}
