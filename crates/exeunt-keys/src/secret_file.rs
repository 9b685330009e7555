//! Files that hold a secret: keys, passphrases, tokens.
//!
//! Written once and never over another; read only if nobody else can.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use zeroize::Zeroizing;

use crate::KeyError;

/// Largest secret that is written or read, in octets. An encrypted RSA key of 8192 bits takes a
/// tenth of it.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;

/// Permission bits of a secret: its owner reads and writes, nobody else does anything.
const SECRET_MODE: u32 = 0o600;

/// Bits that let the group or everybody read or write.
const OTHERS_MASK: u32 = 0o066;

/// Writes `bytes` to a new file at `path`, mode 0600, and returns once disk and directory have it.
///
/// What could not be written to the end is removed again.
///
/// # Errors
///
/// [`KeyError::FileExists`], [`KeyError::FileTooLarge`] or [`KeyError::FileIo`].
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    if SECRET_BYTES_MAX < bytes.len() {
        return Err(KeyError::FileTooLarge { path: path.to_owned() });
    }
    // The mode is given at creation: there is no moment at which others could open the file.
    let mut file =
        match OpenOptions::new().write(true).create_new(true).mode(SECRET_MODE).open(path) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {
                return Err(KeyError::FileExists { path: path.to_owned() });
            }
            Err(source) => return Err(failure("creating", path)(source)),
        };
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(source) = written.and_then(|()| sync_directory_of(path)) {
        // Half a secret is none. If this fails too, the first failure is the one to tell.
        let _ = std::fs::remove_file(path);
        return Err(failure("writing", path)(source));
    }
    Ok(())
}

/// Reads the secret at `path`, if it is a regular file that only its owner can read or write.
///
/// A symbolic link is followed if what it leads to belongs to the user of this process or to
/// root. The checks are made on the opened file, so nobody can swap it in between.
///
/// # Errors
///
/// [`KeyError::FileMissing`], [`KeyError::FileReadableByOthers`] (with a hint),
/// [`KeyError::FileOfAnother`], [`KeyError::FileNotRegular`], [`KeyError::FileTooLarge`] or
/// [`KeyError::FileIo`].
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let (file, is_link) = open(path)?;
    let metadata = file.metadata().map_err(failure("reading", path))?;
    if !metadata.is_file() {
        return Err(KeyError::FileNotRegular { path: path.to_owned() });
    }
    let owner = metadata.uid();
    if is_link && owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(KeyError::FileOfAnother { path: path.to_owned(), owner });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS_MASK != 0 {
        return Err(KeyError::FileReadableByOthers { path: path.to_owned(), mode });
    }

    // Room for one octet more than allowed shows a file that is too large, and a buffer that
    // never grows leaves no copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 1));
    let limit = u64::try_from(SECRET_BYTES_MAX).expect("BUG: 64 KiB fit in 64 bits") + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(failure("reading", path))?;
    if SECRET_BYTES_MAX < bytes.len() {
        return Err(KeyError::FileTooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}

/// Opens `path` and says whether it was a symbolic link.
fn open(path: &Path) -> Result<(File, bool), KeyError> {
    // Not blocking, or a named pipe would hold us until somebody writes into it.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let (opened, is_link) = match rustix::fs::open(path, flags | OFlags::NOFOLLOW, Mode::empty()) {
        Err(Errno::LOOP) => (rustix::fs::open(path, flags, Mode::empty()), true),
        opened => (opened, false),
    };
    match opened {
        Ok(file) => Ok((File::from(file), is_link)),
        Err(Errno::NOENT) => Err(KeyError::FileMissing { path: path.to_owned() }),
        // What an open of a socket says.
        Err(Errno::NXIO) => Err(KeyError::FileNotRegular { path: path.to_owned() }),
        Err(errno) => Err(failure("opening", path)(errno.into())),
    }
}

/// Makes the name of a new file durable, not only its content.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

fn failure(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    move |source| KeyError::FileIo { action, path: path.to_owned(), source }
}
