//! `[audit]`, checked.

use std::time::Duration;

use exeunt_types::AuditCategories;

use super::file::AuditTable;
use super::{ConfigError, value_error};

/// Longest pause between two checkpoints while there are new rows, in seconds: an hour.
const CHECKPOINT_S_MAX: u64 = 3600;
/// Most rows between two checkpoints.
const CHECKPOINT_ROWS_MAX: u64 = 1_000_000;

/// What is written into the audit trail, and how often it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// Categories that are written.
    pub filter: AuditCategories,
    /// New rows are signed after that time,
    pub checkpoint: Duration,
    /// or when there are so many.
    pub checkpoint_rows: u64,
}

/// Checks the table.
///
/// # Errors
///
/// The first value that does not do.
pub fn checked(table: &AuditTable) -> Result<AuditConfig, ConfigError> {
    let AuditTable { filter, checkpoint_s, checkpoint_rows } = table;
    let mut categories = AuditCategories(0);
    for word in filter.iter().flatten() {
        let category = AuditCategories::from_word(word).ok_or_else(|| {
            let words: Vec<&str> = AuditCategories::WORDS.iter().map(|(it, _)| *it).collect();
            value_error("audit.filter", format!("{word:?} is none of {}", words.join(", ")))
        })?;
        categories = categories.with(category);
    }
    if !(1..=CHECKPOINT_S_MAX).contains(checkpoint_s) {
        let reason = format!("must be 1 to {CHECKPOINT_S_MAX}");
        return Err(value_error("audit.checkpoint_s", reason));
    }
    if !(1..=CHECKPOINT_ROWS_MAX).contains(checkpoint_rows) {
        let reason = format!("must be 1 to {CHECKPOINT_ROWS_MAX}");
        return Err(value_error("audit.checkpoint_rows", reason));
    }
    Ok(AuditConfig {
        filter: if filter.is_some() { categories } else { AuditCategories::ALL },
        checkpoint: Duration::from_secs(*checkpoint_s),
        checkpoint_rows: *checkpoint_rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<AuditConfig, String> {
        checked(&toml::from_str(text).unwrap()).map_err(|err| err.to_string())
    }

    #[test]
    fn everything_is_written_unless_something_is_left_out() {
        assert_eq!(of("").unwrap().filter, AuditCategories::ALL);
        assert_eq!(of("filter = []").unwrap().filter, AuditCategories(0));
        let some = of("filter = [\"requests\", \"security\"]").unwrap();
        assert_eq!(some.filter, AuditCategories(0x14));
        assert_eq!((some.checkpoint.as_secs(), some.checkpoint_rows), (60, 10_000));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key() {
        for (text, words) in [
            ("filter = [\"request\"]", "audit.filter: \"request\" is none of service, backup"),
            ("checkpoint_s = 0", "audit.checkpoint_s: must be 1 to 3600"),
            ("checkpoint_s = 3601", "audit.checkpoint_s: must be 1 to 3600"),
            ("checkpoint_rows = 0", "audit.checkpoint_rows: must be 1 to 1000000"),
        ] {
            assert!(of(text).unwrap_err().starts_with(words), "{text}");
        }
    }
}
