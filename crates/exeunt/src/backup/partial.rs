//! The folder beside a backup or a home in which it is made, and what a crash leaves of it.
//!
//! It bears the name of what is made with `.partial` behind. A lock in it tells one that is worked on from
//! one that was left behind; the latter is removed by the next run for the same name.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::not_written;
use crate::failure::Failure;

/// The file that shows a folder to be one of ours, and is locked while it is worked on.
const LOCK: &str = "exeunt-partial.lock";

/// Permission bits with which the group or everybody can write.
const WRITTEN_BY_OTHERS: u32 = 0o022;

/// Unfinished work. It is removed when this is dropped.
#[derive(Debug)]
pub struct Partial {
    folder: PathBuf,
    lock: Option<File>,
}

impl Partial {
    /// Makes the folder for what will be at `target`.
    ///
    /// # Errors
    ///
    /// `partial-busy`: somebody else is making the same. `partial-in-the-way`: there is something of that
    /// name which is not ours. `backup-not-written`.
    pub fn beside(target: &Path) -> Result<Self, Failure> {
        let mut name = target.as_os_str().to_owned();
        name.push(".partial");
        let folder = PathBuf::from(name);
        let shown = folder.clone();
        let failed = |err: io::Error| not_written(&shown, &err);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => (),
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => check_ours(&folder)?,
            Err(err) => return Err(failed(err)),
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(folder.join(LOCK)).map_err(failed)?;
        if lock.try_lock().is_err() {
            let message = format!("somebody is at work in {}", folder.display());
            return Err(Failure::new("partial-busy", message).hint("wait until that has ended"));
        }
        let partial = Self { folder, lock: Some(lock) };
        for entry in fs::read_dir(&partial.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name() != LOCK {
                remove(&entry.path()).map_err(failed)?;
            }
        }
        Ok(partial)
    }

    /// A place in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Gives what is at `name` its name, over nothing but an empty folder, and makes the name durable.
    ///
    /// # Errors
    ///
    /// There is something at `target`; the file system refused.
    pub fn publish(&self, name: &str, target: &Path) -> io::Result<()> {
        let from = self.path(name);
        let is_empty_folder =
            target.is_dir() && fs::read_dir(target).is_ok_and(|mut it| it.next().is_none());
        if is_empty_folder {
            // Fails where it is not empty any more.
            fs::rename(&from, target)?;
        } else {
            match renameat_with(CWD, &from, CWD, target, RenameFlags::NOREPLACE) {
                Ok(()) => (),
                // A file system that cannot promise it.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if !target.exists() => {
                    fs::rename(&from, target)?;
                }
                Err(err) => return Err(err.into()),
            }
        }
        sync_folder(around(target))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // The lock last: a folder without it would not be known as ours.
        if let Ok(entries) = fs::read_dir(&self.folder) {
            for entry in entries.filter_map(Result::ok).filter(|it| it.file_name() != LOCK) {
                let _ = remove(&entry.path());
            }
        }
        let _ = fs::remove_file(self.folder.join(LOCK));
        let _ = fs::remove_dir(&self.folder);
        self.lock = None;
    }
}

/// A folder that a crash left behind has a lock in it, or nothing. In one of somebody else's, or one that
/// they can write into, they could put another thing in the place of what is made there.
fn check_ours(folder: &Path) -> Result<(), Failure> {
    let is_our_folder = fs::symlink_metadata(folder).is_ok_and(|it| {
        let is_ours = it.uid() == rustix::process::geteuid().as_raw();
        it.is_dir() && is_ours && it.mode() & WRITTEN_BY_OTHERS == 0
    });
    let is_empty = || fs::read_dir(folder).is_ok_and(|mut it| it.next().is_none());
    if is_our_folder && (folder.join(LOCK).is_file() || is_empty()) {
        return Ok(());
    }
    let message = format!("{} is in the way", folder.display());
    Err(Failure::new("partial-in-the-way", message).hint("look what it is, and move it away"))
}

fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

/// The folder that something is in.
pub fn around(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the names in a folder durable.
///
/// # Errors
///
/// What the file system said.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_a_crash_left_behind_is_removed_and_what_is_not_ours_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("ca.backup");
        let left = folder.path().join("ca.backup.partial");
        let partial = Partial::beside(&target).unwrap();
        fs::write(partial.path("half"), "half").unwrap();
        let busy = Partial::beside(&target).unwrap_err();
        assert_eq!(busy.code, "partial-busy");
        drop(partial);
        assert!(!left.exists());
        // As a process that was killed leaves it: the lock ends, the files stay.
        fs::create_dir_all(left.join("home")).unwrap();
        fs::write(left.join("half"), "half").unwrap();
        let lock = left.join(LOCK);
        assert_eq!(Partial::beside(&target).unwrap_err().code, "partial-in-the-way");
        fs::write(&lock, "").unwrap();
        let partial = Partial::beside(&target).unwrap();
        assert!(!left.join("home").exists() && !left.join("half").exists());
        drop(partial);
        assert!(!left.exists());
    }

    #[test]
    fn a_folder_that_somebody_else_could_write_into_is_not_worked_in() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("ca.backup");
        let left = folder.path().join("ca.backup.partial");
        fs::create_dir(&left).unwrap();
        for with_lock in [false, true] {
            if with_lock {
                fs::write(left.join(LOCK), "").unwrap();
            }
            for (mode, is_ours) in [(0o777, false), (0o720, false), (0o700, true)] {
                fs::set_permissions(&left, fs::Permissions::from_mode(mode)).unwrap();
                let checked = check_ours(&left);
                assert_eq!(checked.is_ok(), is_ours, "{mode:o}");
            }
        }
        drop(Partial::beside(&target).unwrap());
    }

    #[test]
    fn nothing_is_overwritten_but_an_empty_folder() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("home");
        let partial = Partial::beside(&target).unwrap();
        fs::create_dir(partial.path("home")).unwrap();
        fs::write(partial.path("home/file"), "").unwrap();
        fs::create_dir(&target).unwrap();
        fs::write(target.join("other"), "").unwrap();
        assert!(partial.publish("home", &target).is_err());
        fs::remove_file(target.join("other")).unwrap();
        partial.publish("home", &target).unwrap();
        assert!(target.join("file").exists());
    }
}
