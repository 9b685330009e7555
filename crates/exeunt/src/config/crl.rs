//! `[crl]`, checked.

use std::time::Duration;

use exeunt_engine::{CRL_PARTITIONS_MAX, CrlSettings, example_address};
use exeunt_x509::{CRL_URI_COUNT_MAX, GeneralName};

use super::file::CrlTable;
use super::{ConfigError, value_error};

/// Shortest time between two lists, in seconds: relying parties need some of it to fetch one.
const PERIOD_S_MIN: u64 = 60;
/// Longest time between two lists, and longest overlap, in seconds: ten years, for a root that is
/// kept off the network.
const PERIOD_S_MAX: u64 = 315_360_000;
/// Widest allowance for wrong clocks, in seconds: a day.
const CLOCK_SKEW_S_MAX: u64 = 86_400;

/// How revocation lists are made, and whether the server makes them by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlConfig {
    /// How they are made.
    pub settings: CrlSettings,
    /// Whether the server makes them when they are due.
    pub publish: bool,
}

pub fn checked(table: CrlTable) -> Result<CrlConfig, ConfigError> {
    let CrlTable {
        publish,
        period_s,
        delta_period_s,
        overlap_s,
        delta_overlap_s,
        clock_skew_s,
        partitions,
        freshest,
        issuing_distribution_point,
    } = table;
    let within = |key: &str, value: u64, least: u64, most: u64| {
        if (least..=most).contains(&value) {
            return Ok(Duration::from_secs(value));
        }
        Err(value_error(format!("crl.{key}"), format!("must be {least} to {most}")))
    };
    let period = within("period_s", period_s, PERIOD_S_MIN, PERIOD_S_MAX)?;
    let delta_period = delta_period_s
        .map(|it| within("delta_period_s", it, PERIOD_S_MIN, PERIOD_S_MAX))
        .transpose()?;
    if delta_period.is_some_and(|it| period <= it) {
        let reason = "must be shorter than period_s: a delta is between two complete lists";
        return Err(value_error("crl.delta_period_s", reason));
    }
    let overlap = overlap_s.map(|it| within("overlap_s", it, 0, PERIOD_S_MAX)).transpose()?;
    let delta_overlap =
        delta_overlap_s.map(|it| within("delta_overlap_s", it, 0, PERIOD_S_MAX)).transpose()?;
    let clock_skew = within("clock_skew_s", clock_skew_s, 0, CLOCK_SKEW_S_MAX)?;
    if !(1..=CRL_PARTITIONS_MAX).contains(&partitions) {
        let reason = format!("must be 1 to {CRL_PARTITIONS_MAX}");
        return Err(value_error("crl.partitions", reason));
    }
    addresses("crl.freshest", &freshest)?;
    addresses("crl.issuing_distribution_point", &issuing_distribution_point)?;
    let settings = CrlSettings {
        period,
        delta_period,
        overlap,
        delta_overlap,
        clock_skew,
        partitions,
        freshest_crl: freshest,
        issuing_distribution_point,
        ..CrlSettings::default()
    };
    Ok(CrlConfig { settings, publish })
}

/// What verifiers are to fetch is at HTTP or LDAP, as in certificates.
fn addresses(key: &str, uris: &[String]) -> Result<(), ConfigError> {
    if CRL_URI_COUNT_MAX < uris.len() {
        return Err(value_error(key, format!("has more than {CRL_URI_COUNT_MAX} addresses")));
    }
    for uri in uris {
        // What stands in a list in the place of its tokens is plain.
        GeneralName::Uri(example_address(uri))
            .check()
            .map_err(|err| value_error(key, crate::failure::chain(&err)))?;
        let scheme = uri.split_once("://").map_or("", |(scheme, _)| scheme);
        if !["http", "ldap"].iter().any(|it| it.eq_ignore_ascii_case(scheme)) {
            let reason = format!("{uri:?} starts with neither http:// nor ldap://");
            return Err(value_error(key, reason));
        }
    }
    Ok(())
}
