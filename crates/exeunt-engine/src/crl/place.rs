//! Where the lists of a line are, as they and the certificates in their scope say it.

use exeunt_types::{CrlKind, CrlLine};

use super::CrlSettings;
use crate::address::Tokens;

/// What an address has that is different for each part.
const PARTITION_TOKEN: &str = "<CRLPartitionIndex>";

/// Whether an address is different for each part of the lists.
pub(crate) fn names_part(address: &str) -> bool {
    address.contains(PARTITION_TOKEN)
}

/// A configured address as it may stand in a certificate or a list: with something in the place of its
/// tokens.
#[must_use]
pub fn example_address(address: &str) -> String {
    Tokens { partition: 1, ..Tokens::default() }.expand(address)
}

/// The addresses in a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// Those of its issuing distribution point.
    pub(super) own: Vec<String>,
    pub(super) freshest: Vec<String>,
    pub(super) published: Vec<String>,
}

impl Places {
    /// Those of a line, whose newest certificate has that index. `is_cut` says whether there are parts,
    /// of which this line is one: then it must say which, or it would be taken for the whole. Verifiers
    /// compare what it says with what their certificate says.
    pub(super) fn new(
        settings: &CrlSettings,
        distribution_points: &[String],
        line: CrlLine,
        certificate_index: u16,
        is_cut: bool,
    ) -> Self {
        let CrlLine { kind, key_index, partition } = line;
        let tokens = Tokens { certificate_index, key_index, delta: false, partition };
        let delta = Tokens { delta: true, ..tokens };
        let all = |tokens: Tokens, addresses: &[String]| -> Vec<String> {
            addresses.iter().map(|it| tokens.expand(it)).collect()
        };
        let point = &settings.issuing_distribution_point;
        // A delta is for the same certificates as its base, in the same words (RFC 5280, section 5.2.4).
        let own = if is_cut {
            // What is the same for all parts is the place of what was issued before there were any.
            let said = point.iter().chain(distribution_points);
            let said = said.filter(|it| partition == 0 || names_part(it));
            let mut own: Vec<String> = Vec::new();
            for address in said.map(|it| tokens.expand(it)) {
                if !own.contains(&address) {
                    own.push(address);
                }
            }
            own
        } else {
            all(tokens, point)
        };
        let has_freshest = kind == CrlKind::Base && settings.has_deltas();
        let freshest = if has_freshest { all(delta, &settings.freshest_crl) } else { Vec::new() };
        let published_as = if kind == CrlKind::Delta { delta } else { tokens };
        Self { own, freshest, published: all(published_as, &settings.published_locations) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|it| (*it).to_owned()).collect()
    }

    fn places(kind: CrlKind, partition: u32, is_cut: bool) -> Places {
        let settings = CrlSettings {
            delta_period: Some(Duration::from_hours(1)),
            freshest_crl: texts(&["http://a/ca%8<CRLPartitionIndex>%9.crl"]),
            issuing_distribution_point: texts(&["http://old/ca.crl"]),
            published_locations: texts(&["ldap:///CN=ca%4%9"]),
            ..CrlSettings::default()
        };
        let points = texts(&["http://a/ca%8<CRLPartitionIndex>%9.crl", "http://old/ca.crl"]);
        let line = CrlLine { kind, key_index: 1, partition };
        Places::new(&settings, &points, line, 2, is_cut)
    }

    #[test]
    fn a_whole_list_says_what_is_configured() {
        let found = places(CrlKind::Base, 0, false);
        assert_eq!(found.own, ["http://old/ca.crl"]);
        assert_eq!(found.freshest, ["http://a/ca(1)+.crl"]);
        assert_eq!(found.published, ["ldap:///CN=ca(2)"]);
        let delta = places(CrlKind::Delta, 0, false);
        assert_eq!(delta.published, ["ldap:///CN=ca(2)+"]);
        assert_eq!((delta.own, delta.freshest), (found.own, Vec::new()));
    }

    #[test]
    fn a_part_says_what_its_certificates_say_and_its_delta_says_the_same() {
        for kind in [CrlKind::Base, CrlKind::Delta] {
            assert_eq!(places(kind, 7, true).own, ["http://a/ca(1)_Partition00007.crl"]);
            // What was issued before there were parts names one of these, or none.
            assert_eq!(places(kind, 0, true).own, ["http://old/ca.crl", "http://a/ca(1).crl"]);
        }
        let freshest = places(CrlKind::Base, 7, true).freshest;
        assert_eq!(freshest, ["http://a/ca(1)_Partition00007+.crl"]);
    }
}
