//! Keeps the conversation with the host out of the library's reach.

use std::{fs::File, io};

use rustix::{
    fs::{Mode, OFlags},
    io::fcntl_dupfd_cloexec,
    stdio::{dup2_stdin, dup2_stdout, stderr, stdin, stdout},
};

/// First descriptor that the conversation may move to; those below are the standard ones.
const FIRST: i32 = 3;

/// Moves standard input and output to descriptors of their own, which no child process inherits. In
/// their places come an empty input, and standard error.
pub(crate) fn take() -> io::Result<(File, File)> {
    let reader = fcntl_dupfd_cloexec(stdin(), FIRST)?;
    let writer = fcntl_dupfd_cloexec(stdout(), FIRST)?;
    let nothing = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    dup2_stdin(&nothing)?;
    dup2_stdout(stderr())?;
    Ok((File::from(reader), File::from(writer)))
}
