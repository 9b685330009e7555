//! The folder: the only place that touches the disk.
//!
//! The folder is opened once for a batch, and every name in it is looked up relative to the open
//! folder, without following links: nothing that happens to the path in the meantime, and no name,
//! leads out of it. The path itself is the operator's and may go through links.

use std::{
    fs::{DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::{fd::OwnedFd, unix::fs::DirBuilderExt as _},
    path::Path,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps},
    io::Errno,
};

use crate::swap;

/// Largest file that is read for a comparison, in bytes: a certificate of 64 KiB in PEM and some
/// text around it. What is larger is no certificate.
const FILE_BYTES_MAX: u64 = 128 * 1024;

/// Permissions of a folder that the module makes.
const FOLDER_MODE: u32 = 0o755;

/// An open folder.
#[derive(Debug)]
pub struct Folder(OwnedFd);

/// What stands under a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A file with this content.
    File(Vec<u8>),
    /// Something that this module has not put there: a link, a folder, a file that is too large.
    Foreign,
}

/// What stands under the name of a link.
#[derive(Debug, PartialEq, Eq)]
pub enum Link {
    /// Nothing.
    Nothing,
    /// A link to this name in the same folder, and when it was made.
    To(String, Stamp),
    /// Something else, or a link that leads out of the folder.
    Foreign,
}

/// The time of a link, which says what it leads to: seconds of a certificate's start, and in the
/// nanoseconds the number of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Unix seconds.
    pub seconds: i64,
    /// Less than a second.
    pub nanoseconds: u32,
}

/// Who may do what with a file.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Permissions.
    pub mode: u32,
    /// Group, where it is not the process's own.
    pub group: Option<u32>,
}

impl Folder {
    /// Makes the folder if it is missing, but never the folder around it: where that is missing, a
    /// disk is more likely not mounted.
    pub fn create(path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(FOLDER_MODE).create(path) {
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(err) => Err(err),
            // A file is not safer than the folder that it is in.
            Ok(()) => match path.parent() {
                Some(around) if around != Path::new("") => Self::open(around)?.sync(),
                _ => Self::open(Path::new("."))?.sync(),
            },
        }
    }

    /// Opens the folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Looks at what stands under a name, of the size of a certificate.
    pub fn find(&self, name: &str) -> io::Result<Found> {
        self.find_up_to(name, FILE_BYTES_MAX)
    }

    /// Looks at what stands under a name. A file that is larger is nothing of ours.
    pub fn find_up_to(&self, name: &str, bytes_max: u64) -> io::Result<Found> {
        // Not to block on a pipe that somebody put there.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            // A link, and a socket.
            Err(Errno::LOOP | Errno::NXIO) => return Ok(Found::Foreign),
            Err(err) => return Err(err.into()),
        };
        let stat = rustix::fs::fstat(&file)?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Ok(Found::Foreign);
        }
        let mut content = Vec::new();
        File::from(file).take(bytes_max + 1).read_to_end(&mut content)?;
        let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
        Ok(if bytes_max < length { Found::Foreign } else { Found::File(content) })
    }

    /// Writes a file under a temporary name. It is complete, and may not be on the disk yet.
    pub fn stage(&self, temporary: &str, content: &[u8], access: Access) -> io::Result<File> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || rustix::fs::openat(&self.0, temporary, flags, Mode::RUSR | Mode::WUSR);
        let file = match create() {
            // Ours, from an attempt that broke off: nobody else has such a name.
            Err(Errno::EXIST) => {
                self.remove(temporary)?;
                create()?
            }
            other => other?,
        };
        let mut file = File::from(file);
        let written = file.write_all(content).and_then(|()| {
            if let Some(group) = access.group {
                rustix::fs::fchown(&file, None, Some(Gid::from_raw(group)))?;
            }
            Ok(rustix::fs::fchmod(&file, Mode::from_raw_mode(access.mode))?)
        });
        match written {
            Ok(()) => Ok(file),
            Err(err) => {
                // The first error is the one to tell; leftovers are removed at the next start.
                self.remove(temporary).ok();
                Err(err)
            }
        }
    }

    /// Gives a staged file its name, and takes the name from the file that had it.
    pub fn publish(&self, temporary: &str, name: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, temporary, &self.0, name)?)
    }

    /// Gives a staged file its name, where the name still has what was seen under it. Gives back
    /// whether it had: where somebody else was faster, theirs stands there still.
    ///
    /// `swap_start` is the beginning of the name that the staged file has while it changes places with
    /// another one: see [`swap`] for what is left of it after a crash.
    pub fn replace(
        &self,
        temporary: &str,
        name: &str,
        seen: &Found,
        swap_start: &str,
    ) -> io::Result<bool> {
        let take = || {
            let flags = RenameFlags::NOREPLACE;
            rustix::fs::renameat_with(&self.0, temporary, &self.0, name, flags)
        };
        let old = match seen {
            Found::Nothing => match take() {
                Ok(()) => return Ok(true),
                Err(Errno::EXIST) => return Ok(false),
                // A file system that does not know how.
                Err(Errno::INVAL | Errno::NOSYS) => {
                    return self.replace_plainly(temporary, name, seen);
                }
                Err(err) => return Err(err.into()),
            },
            Found::File(old) => old,
            Found::Foreign => return Ok(false),
        };
        // From here on a crash may leave somebody else's file under the name that ours had.
        // (Where a name is too long to be told by another one, that one is removed at the next start.)
        let swap = swap::name(swap_start, self.inode(temporary)?, name);
        let swap = swap.unwrap_or_else(|| temporary.to_owned());
        self.publish(temporary, &swap)?;
        let back = || self.publish(&swap, temporary);
        match self.exchange(&swap, name) {
            Ok(()) => (),
            Err(Errno::NOENT) => return back().map(|()| false),
            Err(Errno::INVAL | Errno::NOSYS) => {
                back()?;
                return self.replace_plainly(temporary, name, seen);
            }
            Err(err) => {
                back()?;
                return Err(err.into());
            }
        }
        let length = u64::try_from(old.len()).unwrap_or(u64::MAX);
        match self.find_up_to(&swap, length) {
            Ok(Found::File(displaced)) if displaced == *old => {
                self.remove(&swap)?;
                Ok(true)
            }
            // Somebody's newer file, or one that cannot be read: back with it.
            displaced => {
                self.exchange(&swap, name)?;
                back()?;
                displaced.map(|_| false)
            }
        }
    }

    /// Has two files take each other's place.
    pub fn exchange(&self, one: &str, other: &str) -> rustix::io::Result<()> {
        rustix::fs::renameat_with(&self.0, one, &self.0, other, RenameFlags::EXCHANGE)
    }

    /// The number of what stands under a name, as long as it exists.
    pub fn inode(&self, name: &str) -> io::Result<u64> {
        Ok(rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?.st_ino)
    }

    /// As [`Self::replace`], with a gap between looking and renaming.
    fn replace_plainly(&self, temporary: &str, name: &str, seen: &Found) -> io::Result<bool> {
        let bytes_max = match seen {
            Found::File(old) => u64::try_from(old.len()).unwrap_or(u64::MAX),
            Found::Nothing | Found::Foreign => 0,
        };
        if self.find_up_to(name, bytes_max)? != *seen {
            return Ok(false);
        }
        self.publish(temporary, name)?;
        Ok(true)
    }

    /// Looks at the link under a name.
    pub fn link(&self, name: &str) -> io::Result<Link> {
        match rustix::fs::readlinkat(&self.0, name, Vec::new()) {
            Ok(target) => Ok(match target.into_string() {
                Ok(target) if !target.contains('/') && target != "." && target != ".." => {
                    let stat = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
                    Link::To(target, Stamp { seconds: stat.st_mtime, nanoseconds })
                }
                _ => Link::Foreign,
            }),
            Err(Errno::NOENT) => Ok(Link::Nothing),
            // No link.
            Err(Errno::INVAL) => Ok(Link::Foreign),
            Err(err) => Err(err.into()),
        }
    }

    /// Makes a link under a temporary name; [`Self::publish`] gives it its own.
    pub fn stage_link(&self, temporary: &str, target: &str, stamp: Stamp) -> io::Result<()> {
        let create = || rustix::fs::symlinkat(target, &self.0, temporary);
        match create() {
            Err(Errno::EXIST) => {
                self.remove(temporary)?;
                create()?;
            }
            other => other?,
        }
        let time = Timespec { tv_sec: stamp.seconds, tv_nsec: stamp.nanoseconds.into() };
        let times = Timestamps { last_access: time, last_modification: time };
        // A file system whose links have no time of their own: then the order is that of the serials.
        match rustix::fs::utimensat(&self.0, temporary, &times, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(()) | Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => Ok(()),
            Err(err) => Err(err.into()),
        }
    }

    /// Names of everything in the folder that is not hidden and is UTF-8, in order.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().to_str()
                && !name.starts_with('.')
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Whether this process may make files here.
    pub fn is_writable(&self) -> io::Result<()> {
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        // By the identity that files are made with, and a file system that is read-only says no.
        Ok(rustix::fs::accessat(&self.0, ".", access, AtFlags::EACCESS)?)
    }

    /// Free room, in bytes and in files, for those who are not root.
    pub fn room(&self) -> io::Result<(u64, u64)> {
        let stat = rustix::fs::fstatvfs(&self.0)?;
        // A file system without a limit of files says 0 of 0.
        let files = if stat.f_files == 0 { u64::MAX } else { stat.f_favail };
        Ok((stat.f_bavail.saturating_mul(stat.f_frsize), files))
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Makes the names durable.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    /// Names with this start and this end.
    pub fn leftovers(&self, start: &str, end: &str) -> io::Result<Vec<String>> {
        let mut leftovers = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().to_str()
                && name.starts_with(start)
                && name.ends_with(end)
            {
                leftovers.push(name.to_owned());
            }
        }
        Ok(leftovers)
    }

    /// Removes a file that may have gone.
    pub fn remove_if_there(&self, name: &str) -> io::Result<()> {
        match self.remove(name) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_somebody_put_there_after_the_look_is_there_still() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::open(home.path()).unwrap();
        let path = |name: &str| home.path().join(name);
        let access = Access { mode: 0o644, group: None };
        let seen = Found::File(b"seen".to_vec());
        for (seen, there) in [
            (&seen, Some(&b"other"[..])),
            (&seen, Some(b"seen and more")),
            (&seen, None),
            (&Found::Nothing, Some(b"other")),
            (&Found::Foreign, Some(b"other")),
        ] {
            fs::remove_file(path("name")).ok();
            if let Some(content) = there {
                fs::write(path("name"), content).unwrap();
            }
            folder.stage("ours", b"ours", access).unwrap();
            for replace in [Folder::replace_with_a_gap, |it: &Folder, seen: &Found| {
                it.replace("ours", "name", seen, ".start.")
            }] {
                assert!(!replace(&folder, seen).unwrap(), "{seen:?} {there:?}");
                assert_eq!(fs::read(path("name")).ok().as_deref(), there);
                assert_eq!(fs::read(path("ours")).unwrap(), b"ours");
                assert_eq!(folder.leftovers(".start.", "").unwrap(), Vec::<String>::new());
            }
            folder.remove("ours").unwrap();
        }
        // And where nobody did, ours is.
        for name in ["name", &"x".repeat(NAME_BYTES)] {
            fs::write(path(name), "seen").unwrap();
            folder.stage("ours", b"ours", access).unwrap();
            assert!(folder.replace("ours", name, &seen, ".start.").unwrap());
            assert_eq!(fs::read(path(name)).unwrap(), b"ours");
            assert!(folder.leftovers(".start.", "").unwrap().is_empty() && !path("ours").exists());
        }
    }

    /// Longest name of a file, which leaves no room for another one made of it.
    const NAME_BYTES: usize = 255;

    impl Folder {
        fn replace_with_a_gap(&self, seen: &Found) -> io::Result<bool> {
            match seen {
                Found::Foreign => Ok(false),
                seen => self.replace_plainly("ours", "name", seen),
            }
        }
    }
}
