//! The folder: the only place that touches the disk.
//!
//! The folder is opened once for a batch, and every name in it is looked up relative to the open
//! folder, without following links: nothing that happens to the path in the meantime, and no name,
//! leads out of it. The path itself is the operator's and may go through links.

use std::{
    ffi::CStr,
    fs::{DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::{fd::OwnedFd, unix::fs::DirBuilderExt as _},
    path::Path,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags},
    io::Errno,
};

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

    /// Looks at what stands under a name.
    pub fn find(&self, name: &str) -> io::Result<Found> {
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
        File::from(file).take(FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
        let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
        Ok(if FILE_BYTES_MAX < length { Found::Foreign } else { Found::File(content) })
    }

    /// Writes a file under a temporary name. It is complete, and may not be on the disk yet.
    pub fn stage(&self, temporary: &str, content: &[u8], mode: u32) -> io::Result<File> {
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
        let written = file
            .write_all(content)
            .and_then(|()| Ok(rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?));
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

    /// Removes a file.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Makes the names durable.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    /// Removes the files whose names have this start and this end.
    pub fn remove_leftovers(&self, start: &str, end: &str) -> io::Result<()> {
        let is_leftover = |name: &CStr| {
            let name = name.to_bytes();
            name.starts_with(start.as_bytes()) && name.ends_with(end.as_bytes())
        };
        // The names first: removing while reading may pass over some.
        let mut leftovers = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            if is_leftover(entry.file_name()) {
                leftovers.push(entry.file_name().to_owned());
            }
        }
        for name in leftovers {
            match rustix::fs::unlinkat(&self.0, &name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => (),
                Err(err) => return Err(err.into()),
            }
        }
        Ok(())
    }
}
