//! What an error of the file system means for an event: whether it is about its file, or about all.

use std::io;

use exeunt_module_kit::Outcome;
use exeunt_publication::outcome::{retry, target_retry};
use rustix::io::Errno;

/// A file cannot be written now: for its own sake, or because none can.
pub fn not_written(name: &str, err: &io::Error) -> Outcome {
    let why = format!("writing {name}: {err}");
    if is_folders_fault(err) { target_retry(why) } else { retry(why) }
}

/// A file cannot be read now: likewise.
pub fn not_read(name: &str, err: &io::Error) -> Outcome {
    let why = format!("reading {name}: {err}");
    if keeps_all_from_being_read(err) { target_retry(why) } else { retry(why) }
}

/// Whether an error of reading is about the folder. That one file is closed to us says nothing of others.
pub fn keeps_all_from_being_read(err: &io::Error) -> bool {
    is_folders_fault(err) && err.kind() != io::ErrorKind::PermissionDenied
}

/// Whether an error is about the folder, so that other files fare no better: it has gone or is closed,
/// its file system is full, read-only, broken or away.
pub fn is_folders_fault(err: &io::Error) -> bool {
    let kinds = [
        io::ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::ReadOnlyFilesystem,
        io::ErrorKind::StorageFull,
        io::ErrorKind::QuotaExceeded,
        io::ErrorKind::StaleNetworkFileHandle,
        io::ErrorKind::HostUnreachable,
        io::ErrorKind::NotConnected,
        io::ErrorKind::TimedOut,
    ];
    kinds.contains(&err.kind()) || err.raw_os_error() == Some(Errno::IO.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_away_parks_nothing_and_one_file_that_is_closed_may() {
        let speaks_of_all = |outcome: &Outcome| matches!(outcome, Outcome::TargetDown { .. });
        for (errno, writing, reading) in [
            (Errno::STALE, true, true),
            (Errno::IO, true, true),
            (Errno::TIMEDOUT, true, true),
            (Errno::NOSPC, true, true),
            (Errno::ACCESS, true, false),
            (Errno::NAMETOOLONG, false, false),
            (Errno::NOTDIR, false, false),
        ] {
            let err = errno.into();
            assert_eq!(speaks_of_all(&not_written("a.cer", &err)), writing, "{errno}");
            assert_eq!(speaks_of_all(&not_read("a.cer", &err)), reading, "{errno}");
        }
    }
}
