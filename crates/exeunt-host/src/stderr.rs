//! A module's standard error, line by line into our log: cut, rate-limited, never in the way.

use std::{
    io::{self, PipeWriter, Read},
    process::ChildStderr,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use tracing::dispatcher;

use crate::{HostLimits, error::printable, pipes};

/// Octets taken from the pipe at once: what a Linux pipe holds.
const READ_BYTES: usize = 64 << 10;

/// Octets still read after the module's end. A process that has left the group may keep the pipe
/// open and write for ever.
const LEFTOVER_BYTES_MAX: usize = 1 << 20;

/// Over which the rate of lines is counted.
const RATE_PERIOD: Duration = Duration::from_secs(1);

/// The thread that reads one module's standard error.
#[derive(Debug)]
pub(crate) struct StderrLog {
    /// Dropped to tell the thread that the module has ended.
    ended: Option<PipeWriter>,
    thread: Option<JoinHandle<Option<String>>>,
}

impl StderrLog {
    /// Starts reading. Lines go to `tracing`, target "module", with the module's name.
    pub(crate) fn start(
        stderr: ChildStderr,
        module: &str,
        limits: &HostLimits,
    ) -> io::Result<Self> {
        pipes::set_nonblocking(&stderr)?;
        let (ending, ended) = io::pipe()?;
        let mut lines = Lines::new(module, limits);
        // A subscriber that is set for one thread only (a test's) counts for this thread as well.
        let log = dispatcher::get_default(Clone::clone);
        let thread = thread::Builder::new().name(format!("stderr-{module}")).spawn(move || {
            dispatcher::with_default(&log, || read_all(stderr, &ending, &mut lines));
            lines.last
        })?;
        Ok(Self { ended: Some(ended), thread: Some(thread) })
    }

    /// Reads what is left and ends the thread. Gives the last line that was not blank.
    ///
    /// To be called when the module is dead. Does not wait for the pipe's end, which may never come.
    pub(crate) fn finish(&mut self) -> Option<String> {
        drop(self.ended.take());
        self.thread.take()?.join().ok().flatten()
    }
}

impl Drop for StderrLog {
    fn drop(&mut self) {
        self.finish();
    }
}

fn read_all(mut stderr: ChildStderr, ending: &io::PipeReader, lines: &mut Lines) {
    let mut bytes = vec![0; READ_BYTES];
    let mut leftover_bytes = 0;
    let mut alive = true;
    while leftover_bytes < LEFTOVER_BYTES_MAX {
        if alive {
            let timeout = lines
                .due()
                .map(|it| Timespec::try_from(it).expect("BUG: a second fits in a timespec"));
            let mut fds = [
                PollFd::new(&stderr, PollFlags::IN),
                PollFd::from_borrowed_fd(std::os::fd::AsFd::as_fd(ending), PollFlags::IN),
            ];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => alive = fds[1].revents().is_empty(),
                Err(_) => break,
            }
        }
        lines.tick(Instant::now());
        match stderr.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => {
                lines.take(&bytes[..count]);
                if !alive {
                    leftover_bytes += count;
                }
            }
            Err(err) if err.kind() == io::ErrorKind::WouldBlock && alive => (),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => (),
            Err(_) => break,
        }
    }
    lines.finish();
}

/// Cuts octets into lines and decides which of them are logged.
struct Lines {
    module: String,
    line_bytes_max: usize,
    logged_max: u32,
    line: Vec<u8>,
    is_cut: bool,
    last: Option<String>,
    period_start: Instant,
    logged: u32,
    dropped: u64,
}

impl Lines {
    fn new(module: &str, limits: &HostLimits) -> Self {
        Self {
            module: module.to_owned(),
            line_bytes_max: limits.stderr_line_bytes_max,
            logged_max: limits.stderr_lines_per_second_max,
            line: Vec::new(),
            is_cut: false,
            last: None,
            period_start: Instant::now(),
            logged: 0,
            dropped: 0,
        }
    }

    /// When the number of dropped lines is to be told, from now.
    fn due(&self) -> Option<Duration> {
        (self.dropped != 0).then(|| RATE_PERIOD.saturating_sub(self.period_start.elapsed()))
    }

    fn tick(&mut self, now: Instant) {
        if RATE_PERIOD <= now.duration_since(self.period_start) {
            self.tell_dropped();
            self.period_start = now;
            self.logged = 0;
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|it| *it == b'\n') {
            let (text, ends) = match piece {
                [text @ .., b'\n'] => (text, true),
                text => (text, false),
            };
            let room = self.line_bytes_max.saturating_sub(self.line.len());
            self.is_cut |= room < text.len();
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let text = self.line.trim_ascii_end();
        // What is dropped is not made a string either: a flood costs a copy and no more. But the
        // last words of a flooding module are still its last words.
        if !text.is_empty() {
            if self.logged < self.logged_max {
                let mut line: String =
                    String::from_utf8_lossy(text).chars().map(printable).collect();
                if self.is_cut {
                    line.push('…');
                }
                tracing::info!(target: "module", module = %self.module, "{line}");
                self.logged += 1;
                self.last = Some(line);
            } else {
                self.dropped += 1;
                let line = self.last.get_or_insert_default();
                line.clear();
                line.extend(String::from_utf8_lossy(text).chars().map(printable));
            }
        }
        self.line.clear();
        self.is_cut = false;
    }

    fn tell_dropped(&mut self) {
        if self.dropped != 0 {
            let Self { module, dropped, .. } = self;
            tracing::warn!(target: "module", %module, dropped, "lines of standard error dropped");
            self.dropped = 0;
        }
    }

    /// The end: what has no newline is a line too.
    fn finish(&mut self) {
        self.end_line();
        self.tell_dropped();
    }
}
