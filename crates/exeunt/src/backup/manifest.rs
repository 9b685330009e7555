//! The first entry of a backup: what it is, of what moment, and what else is in it.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

/// Version of the format that is written, and the last one that is read.
pub const BACKUP_FORMAT: u32 = 1;
/// Largest manifest that is read, in bytes: names of [`BACKUP_PARTS_MAX`] files fit.
pub const MANIFEST_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Most files in a backup: the lists of a CA with thousands of parts, and some more.
pub const BACKUP_PARTS_MAX: usize = 65_536;

/// Name of the manifest in the archive.
pub const MANIFEST: &str = "manifest.json";
/// Bits of a file's mode that a backup keeps.
const MODE_MASK: u32 = 0o755;

/// What a backup is and holds. Members of later versions are passed over, unless [`BACKUP_FORMAT`] grew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format.
    pub format: u32,
    /// Version of the program that wrote it.
    pub program: String,
    /// Name of the CA.
    pub ca: String,
    /// The moment that the store is of, RFC 3339.
    pub taken: String,
    /// The same in milliseconds since 1970.
    pub taken_unix_ms: i64,
    /// What tells the store from others.
    pub store_id: String,
    /// Version of the store's schema.
    pub schema: i64,
    /// The last event of its log.
    pub last_event: u64,
    /// Its last request.
    pub last_request: u64,
    /// The last number of a revocation list.
    pub crl_number: u64,
    /// Certificates that were issued.
    pub certificates: u64,
    /// Whether private keys and tokens are in it, as far as they are files of the home.
    pub keys: bool,
    /// What the configuration names and what is not in it.
    pub left_out: Vec<LeftOut>,
    /// The files, in the order in which they follow.
    pub parts: Vec<Part>,
}

/// A file that is not in the backup.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeftOut {
    /// As the configuration names it.
    pub path: String,
    /// Why.
    pub why: String,
}

/// A file of the home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Relative to the home, with slashes.
    pub path: String,
    /// In bytes.
    pub length: u64,
    /// Hexadecimal.
    pub sha256: String,
    /// Permission bits.
    pub mode: u32,
}

impl Part {
    /// Permission bits that it gets, whatever a backup says.
    pub fn safe_mode(&self) -> u32 {
        (self.mode & MODE_MASK) | 0o600
    }
}

/// Whether a path of a part leads into the home and nowhere else.
pub fn is_plain(path: &str) -> bool {
    !path.is_empty()
        && !path.contains('\0')
        && Path::new(path).components().all(|it| matches!(it, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_stays_in_the_home() {
        for good in ["exeunt.toml", "secrets/ca.key.pem", "crls/1-0-0-base.crl"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", "/etc/passwd", "../x", "a/../../b", "./x", "a\0b"] {
            assert!(!is_plain(bad), "{bad}");
        }
    }

    #[test]
    fn nobody_else_gets_to_write_what_is_restored() {
        let part = |mode| Part { path: String::new(), length: 0, sha256: String::new(), mode };
        assert_eq!(part(0o4777).safe_mode(), 0o755);
        assert_eq!(part(0o600).safe_mode(), 0o600);
        assert_eq!(part(0).safe_mode(), 0o600);
    }
}
