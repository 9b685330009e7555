//! Notices when somebody deletes, replaces or shortens the store's files under the running server.
//!
//! `SQLite` would go on writing into an unlinked file and report success. A stat costs a
//! microsecond, a commit hundreds of them.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::StoreError;

/// The files of one store and what they looked like last time.
#[derive(Debug)]
pub(crate) struct Watch {
    db: Watched,
    wal: Watched,
}

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    seen: Option<Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    device: u64,
    inode: u64,
    size_bytes: u64,
}

impl Watch {
    /// Starts watching; the database file must be there, the log appears with the first commit.
    pub(crate) fn start(path: &Path) -> Result<Self, StoreError> {
        let mut watch = Self {
            db: Watched { path: path.to_owned(), seen: None },
            wal: Watched { path: with_suffix(path, "-wal"), seen: None },
        };
        watch.db.check(true)?;
        watch.wal.check(false)?;
        Ok(watch)
    }

    /// Compares both files with what they were.
    pub(crate) fn check(&mut self) -> Result<(), StoreError> {
        self.db.check(true)?;
        self.wal.check(self.wal.seen.is_some())
    }
}

impl Watched {
    fn check(&mut self, required: bool) -> Result<(), StoreError> {
        let now = match std::fs::metadata(&self.path) {
            Ok(metadata) => Seen::from(&metadata),
            Err(err) if err.kind() == ErrorKind::NotFound => {
                return if required {
                    Err(StoreError::Missing { path: self.path.clone() })
                } else {
                    Ok(())
                };
            }
            Err(err) => return Err(StoreError::io("looking at the store's files", err)),
        };
        if let Some(before) = self.seen {
            if (before.device, before.inode) != (now.device, now.inode) {
                return Err(self.damaged("was replaced"));
            }
            // Neither file ever shrinks while the store is open: nothing vacuums, and the log is
            // restarted in place.
            if now.size_bytes < before.size_bytes {
                return Err(self.damaged("was truncated"));
            }
        }
        self.seen = Some(now);
        Ok(())
    }

    fn damaged(&self, what: &str) -> StoreError {
        StoreError::Damaged { what: format!("{} {what}", self.path.display()) }
    }
}

impl From<&Metadata> for Seen {
    fn from(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), size_bytes: metadata.len() }
    }
}

/// `path` with `suffix` appended to its last component.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
