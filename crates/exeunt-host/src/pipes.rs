//! Standard input and output of a module, both at once: no full pipe can block us.
//!
//! Neither is ever read or written in blocking mode. [`Pipes::step`] waits for whichever is ready
//! first, so a module that answers while we still write is read, and one that does neither is left
//! at the deadline.

use std::{
    io::{self, Read, Write},
    ops::Range,
    os::fd::AsFd,
    process::{ChildStdin, ChildStdout},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
};

/// Octets taken from the pipe at once: what a Linux pipe holds.
const READ_BYTES: usize = 64 << 10;

/// Longest wait of one step. After each the caller looks whether the process is still there: its
/// end is not the end of its standard output while a child of it keeps that open.
const STEP_MAX: Duration = Duration::from_millis(50);

/// Room that the buffer of outgoing lines keeps from one batch to the next.
const OUTGOING_KEPT_BYTES_MAX: usize = 4 << 20;

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Octets have moved, in one direction at least.
    Move,
    /// Nothing happened for a while.
    Wait,
    /// The pipe is at its end, and everything that was in it has been read.
    End,
}

/// The two pipes of a conversation.
#[derive(Debug)]
pub(crate) struct Pipes {
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    outgoing: Vec<u8>,
    /// Of `outgoing`.
    written: usize,
    /// Of everything.
    sent_bytes: u64,
    incoming: LineBuffer,
    chunk: Vec<u8>,
    is_closing: bool,
    is_draining: bool,
}

impl Pipes {
    pub(crate) fn new(
        stdin: ChildStdin,
        stdout: ChildStdout,
        line_bytes_max: usize,
    ) -> io::Result<Self> {
        set_nonblocking(&stdin)?;
        set_nonblocking(&stdout)?;
        Ok(Self {
            stdin: Some(stdin),
            stdout,
            outgoing: Vec::new(),
            written: 0,
            sent_bytes: 0,
            incoming: LineBuffer::new(line_bytes_max),
            chunk: vec![0; READ_BYTES],
            is_closing: false,
            is_draining: false,
        })
    }

    /// Where lines to send are appended. They go out with the following steps.
    pub(crate) fn outgoing(&mut self) -> &mut Vec<u8> {
        &mut self.outgoing
    }

    /// Octets written to the module so far.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// What [`Self::sent_bytes`] will be when everything appended so far has been written.
    pub(crate) fn appended_bytes(&self) -> u64 {
        self.sent_bytes + self.waiting_bytes() as u64
    }

    /// Octets appended and not yet written.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.outgoing.len() - self.written
    }

    /// Writes what the pipe takes without waiting, and reads nothing.
    pub(crate) fn write_now(&mut self) -> io::Result<()> {
        if self.is_draining { Ok(()) } else { self.write() }
    }

    /// Closes the module's standard input as soon as everything has been sent.
    pub(crate) fn close_when_flushed(&mut self) {
        self.is_closing = true;
        self.settle_written();
    }

    /// Nothing more will come, for the process has ended: read what is left and wait for nothing.
    pub(crate) fn drain(&mut self) {
        self.is_draining = true;
    }

    /// The next whole line that has been read, without its newline.
    pub(crate) fn next_line(&mut self) -> Result<Option<&[u8]>, LineTooLong> {
        self.incoming.next_line()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// Waits until something can be read or written, `until` at the latest, and does it.
    pub(crate) fn step(&mut self, until: Instant) -> io::Result<Step> {
        self.step_of(until, true)
    }

    /// The same without reading, as long as there is something to write and somebody to read it.
    pub(crate) fn step_writing(&mut self, until: Instant) -> io::Result<Step> {
        let can_write = self.stdin.is_some() && !self.outgoing.is_empty() && !self.is_draining;
        self.step_of(until, !can_write)
    }

    fn step_of(&mut self, until: Instant, reads: bool) -> io::Result<Step> {
        let wait_max = if self.is_draining { Duration::ZERO } else { STEP_MAX };
        let wait = until.saturating_duration_since(Instant::now()).min(wait_max);
        let (readable, writable) = self.poll(wait, reads)?;
        if writable {
            self.write()?;
        }
        if readable {
            match self.stdout.read(&mut self.chunk) {
                Ok(0) => return Ok(Step::End),
                Ok(count) => self.incoming.push(&self.chunk[..count]),
                Err(err) if is_not_now(&err) => return Ok(Step::Wait),
                Err(err) => return Err(err),
            }
        }
        Ok(match (readable || writable, self.is_draining) {
            (true, _) => Step::Move,
            (false, true) => Step::End,
            (false, false) => Step::Wait,
        })
    }

    fn poll(&self, wait: Duration, reads: bool) -> io::Result<(bool, bool)> {
        let timeout = Timespec::try_from(wait).expect("BUG: STEP_MAX fits in a timespec");
        let stdin = self.stdin.as_ref().filter(|_| !self.outgoing.is_empty() && !self.is_draining);
        let stdout = PollFd::new(&self.stdout, PollFlags::IN);
        let mut both;
        let mut one;
        let fds: &mut [PollFd<'_>] = match stdin.map(|it| PollFd::new(it, PollFlags::OUT)) {
            Some(stdin) if reads => {
                both = [stdin, stdout];
                &mut both
            }
            Some(stdin) => {
                one = [stdin];
                &mut one
            }
            None => {
                one = [stdout];
                &mut one
            }
        };
        let writes = stdin.is_some();
        let is_ready = |it: &PollFd<'_>| !it.revents().is_empty();
        match poll(fds, Some(&timeout)) {
            Ok(_) => Ok((
                reads && fds.last().is_some_and(is_ready),
                writes && fds.first().is_some_and(is_ready),
            )),
            Err(Errno::INTR) => Ok((false, false)),
            Err(err) => Err(err.into()),
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        while self.written < self.outgoing.len() {
            match stdin.write(&self.outgoing[self.written..]) {
                Ok(count) => {
                    self.written += count;
                    self.sent_bytes += count as u64;
                }
                Err(err) if is_not_now(&err) => {
                    self.forget_written();
                    return Ok(());
                }
                // Nobody reads any more. What the module has said until now still counts.
                Err(err) if err.kind() == io::ErrorKind::BrokenPipe => {
                    self.is_draining = true;
                    return Ok(());
                }
                Err(err) => return Err(err),
            }
        }
        self.outgoing.clear();
        self.outgoing.shrink_to(OUTGOING_KEPT_BYTES_MAX);
        self.written = 0;
        self.settle_written();
        Ok(())
    }

    /// Answers may be appended for as long as a batch lasts: what is written must not pile up.
    fn forget_written(&mut self) {
        if OUTGOING_KEPT_BYTES_MAX <= self.written {
            self.outgoing.drain(..self.written);
            self.written = 0;
        }
    }

    fn settle_written(&mut self) {
        if self.is_closing && self.outgoing.is_empty() {
            self.stdin = None;
        }
    }
}

fn is_not_now(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Makes our end of a pipe return instead of wait. The module's end is not touched by it.
pub(crate) fn set_nonblocking(pipe: impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(&pipe)?;
    Ok(fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?)
}

/// A line is longer than allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LineTooLong;

/// Octets on one side, lines on the other. Holds one line and one chunk at most.
#[derive(Debug)]
struct LineBuffer {
    bytes: Vec<u8>,
    /// Where the next line starts; everything before it has been handed out.
    start: usize,
    /// Up to where there is no newline, so that a long line is searched once.
    searched: usize,
    line_bytes_max: usize,
}

impl LineBuffer {
    fn new(line_bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, searched: 0, line_bytes_max }
    }

    fn push(&mut self, chunk: &[u8]) {
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(chunk);
    }

    fn next_line(&mut self) -> Result<Option<&[u8]>, LineTooLong> {
        let found = self.bytes[self.searched..].iter().position(|it| *it == b'\n');
        let end = found.map_or(self.bytes.len(), |it| self.searched + it);
        let line: Range<usize> = self.start..end;
        self.searched = end;
        if self.line_bytes_max < line.len() {
            return Err(LineTooLong);
        }
        if found.is_none() {
            return Ok(None);
        }
        self.start = end + 1;
        self.searched = self.start;
        Ok(Some(&self.bytes[line]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_as_they_went_in_however_they_were_cut() {
        let text = b"one\n\ntwo\r\nthree and more\nrest";
        for size in 1..=text.len() {
            let mut buffer = LineBuffer::new(20);
            let mut lines = Vec::new();
            for chunk in text.chunks(size) {
                buffer.push(chunk);
                while let Some(line) = buffer.next_line().unwrap() {
                    lines.push(String::from_utf8(line.to_vec()).unwrap());
                }
            }
            assert_eq!(lines, ["one", "", "two\r", "three and more"], "chunks of {size}");
        }
    }

    #[test]
    fn a_line_is_as_long_as_the_limit_and_no_longer() {
        let mut buffer = LineBuffer::new(4);
        buffer.push(b"1234\n12");
        assert_eq!(buffer.next_line(), Ok(Some(&b"1234"[..])));
        assert_eq!(buffer.next_line(), Ok(None));
        buffer.push(b"34");
        assert_eq!(buffer.next_line(), Ok(None));
        buffer.push(b"5");
        assert_eq!(buffer.next_line(), Err(LineTooLong));
        let mut buffer = LineBuffer::new(4);
        buffer.push(b"12345\n");
        assert_eq!(buffer.next_line(), Err(LineTooLong));
    }
}
