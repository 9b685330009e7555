//! `[expiry]`, checked.

use exeunt_engine::{EXPIRY_DAYS_MAX, EXPIRY_DISTANCES_MAX};

use super::file::ExpiryTable;
use super::{ConfigError, value_error};

/// The distances, the nearest first.
pub fn checked(table: ExpiryTable) -> Result<Vec<u32>, ConfigError> {
    let ExpiryTable { mut warn_days } = table;
    let wrong = |reason: String| Err(value_error("expiry.warn_days", reason));
    if EXPIRY_DISTANCES_MAX < warn_days.len() {
        return wrong(format!("has more than {EXPIRY_DISTANCES_MAX} distances"));
    }
    if !warn_days.iter().all(|it| (1..=EXPIRY_DAYS_MAX).contains(it)) {
        return wrong(format!("each must be 1 to {EXPIRY_DAYS_MAX}"));
    }
    warn_days.sort_unstable();
    if warn_days.windows(2).any(|it| it[0] == it[1]) {
        return wrong("a distance stands there twice".to_owned());
    }
    Ok(warn_days)
}
