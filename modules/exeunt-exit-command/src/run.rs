//! Starts a program, feeds it, and sees it end: within its time, and with all that it started.

use std::{
    io::{self, Read, Write as _},
    os::{fd::AsFd as _, unix::process::CommandExt as _, unix::process::ExitStatusExt as _},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// Longest last line that is kept as the reason of an outcome, in bytes.
pub const LINE_BYTES_MAX: usize = 500;

/// Most pipes that programs of earlier events may have left open in processes that escaped their
/// group. Each holds a thread.
pub const STUCK_PIPES_MAX: usize = 32;

/// First and longest pause between two looks at a program that should end. There is no way to wait
/// for a process with a deadline but to look.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
const LOOK_AGAIN_LONGEST: Duration = Duration::from_millis(20);

/// How long a program's standard error is read after its end. What it wrote is in the pipe by then.
const DRAIN: Duration = Duration::from_millis(500);

/// How long the end of a killed program is waited for. Longer than that it hangs in the kernel.
const REAP_WAIT_MAX: Duration = Duration::from_millis(300);

/// What is to be run.
#[derive(Debug)]
pub struct Order<'a> {
    /// The program and its arguments; not empty.
    pub program: &'a [String],
    /// Variables that the operator adds.
    pub extra: &'a [(String, String)],
    /// Variables of the event.
    pub environment: Vec<(&'static str, String)>,
    /// Its standard input.
    pub input: Vec<u8>,
    /// How long it may take.
    pub time: Duration,
}

/// How a program ended.
#[derive(Debug)]
pub enum Ending {
    /// By itself, with that status.
    Exited(i32),
    /// By a signal that we did not send.
    Killed(i32),
    /// It took too long, and it and its group were killed.
    TimedOut,
    /// There was no program.
    NotStarted(io::Error),
    /// It was not started, because [`STUCK_PIPES_MAX`] pipes are held already.
    TooManyStuck,
}

/// A program that is over.
#[derive(Debug)]
pub struct Finished {
    /// How.
    pub ending: Ending,
    /// The last line of its standard error that is not empty; may be empty.
    pub last_line: String,
}

/// Runs one program after the other.
#[derive(Debug, Default)]
pub struct Runner {
    /// Every thread at a pipe holds one.
    pipes: Arc<()>,
}

impl Runner {
    /// Runs a program and waits for its end.
    ///
    /// The program leads a process group of its own. When it has ended, or its time is over,
    /// everything in that group is killed; only a process that made itself a session of its own
    /// lives on. Its output goes to our standard error, since our standard output is the host's.
    pub fn run(&self, order: Order<'_>) -> Finished {
        let unstarted = |ending| Finished { ending, last_line: String::new() };
        if STUCK_PIPES_MAX < Arc::strong_count(&self.pipes) {
            return unstarted(Ending::TooManyStuck);
        }
        let deadline = Instant::now() + order.time;
        let mut child = match start(&order) {
            Ok(child) => child,
            Err(err) => return unstarted(Ending::NotStarted(err)),
        };
        let last_line = Arc::new(Mutex::new(LastLine::default()));
        let (done, drained) = channel();
        if let Err(err) = self.attend(&mut child, order.input, &last_line, done) {
            end(child, Instant::now());
            return unstarted(Ending::NotStarted(err));
        }
        let ending = end(child, deadline);
        // It runs out where a process that escaped holds the pipe; the line is what came until now.
        drained.recv_timeout(DRAIN).ok();
        let last_line = last_line.lock().unwrap_or_else(PoisonError::into_inner).text();
        Finished { ending, last_line }
    }

    /// Puts a thread at each pipe of a program.
    fn attend(
        &self,
        child: &mut Child,
        input: Vec<u8>,
        last_line: &Arc<Mutex<LastLine>>,
        done: Sender<()>,
    ) -> io::Result<()> {
        if let Some(mut stdin) = child.stdin.take() {
            let pipe = Arc::clone(&self.pipes);
            thread::Builder::new().name("program-input".to_owned()).spawn(move || {
                // A program need not read what it is given.
                stdin.write_all(&input).ok();
                drop((stdin, pipe));
            })?;
        }
        if let Some(stderr) = child.stderr.take() {
            let (pipe, last_line) = (Arc::clone(&self.pipes), Arc::clone(last_line));
            thread::Builder::new().name("program-errors".to_owned()).spawn(move || {
                forward(stderr, &last_line);
                drop(pipe);
                // Nobody waits any more where the program's time was over long ago.
                done.send(()).ok();
            })?;
        }
        Ok(())
    }
}

fn start(order: &Order<'_>) -> io::Result<Child> {
    let (program, arguments) =
        order.program.split_first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    Command::new(program)
        .args(arguments)
        .envs(order.extra.iter().map(|(name, value)| (name, value)))
        .envs(order.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(io::stderr().as_fd().try_clone_to_owned()?)
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

/// Waits for the program, and kills what is left of its group before it is reaped: until then nobody
/// else can get the group's number.
fn end(mut child: Child, deadline: Instant) -> Ending {
    let pid = Pid::from_child(&child);
    let in_time = wait_until(pid, deadline);
    // It fails where nothing is left.
    kill_process_group(pid, Signal::KILL).ok();
    let reaped_by = Instant::now() + REAP_WAIT_MAX;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if Instant::now() < reaped_by => thread::sleep(LOOK_AGAIN),
            Ok(None) => {
                thread::spawn(move || child.wait());
                break None;
            }
            Err(_) => break None,
        }
    };
    match status {
        Some(status) if in_time => ending_of(status),
        _ => Ending::TimedOut,
    }
}

fn ending_of(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exited(code),
        (None, signal) => Ending::Killed(signal.unwrap_or_default()),
    }
}

/// Whether the program has ended before the deadline. Does not reap it.
fn wait_until(pid: Pid, deadline: Instant) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let mut pause = LOOK_AGAIN;
    loop {
        match waitid(WaitId::Pid(pid), options) {
            Ok(None) | Err(rustix::io::Errno::INTR) => (),
            // An error says that somebody has reaped it in our place.
            Ok(Some(_)) | Err(_) => return true,
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(LOOK_AGAIN_LONGEST);
    }
}

/// Hands a program's standard error on to ours, and keeps its last line.
fn forward(mut stderr: ChildStderr, last_line: &Mutex<LastLine>) {
    let mut piece = [0; 4096];
    loop {
        match stderr.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => {
                let piece = &piece[..count];
                io::stderr().write_all(piece).ok();
                last_line.lock().unwrap_or_else(PoisonError::into_inner).take(piece);
            }
            Err(err) if err.kind() == io::ErrorKind::Interrupted => (),
            Err(_) => break,
        }
    }
}

/// The last line of a stream that is not blank.
#[derive(Debug, Default)]
struct LastLine {
    /// What came since the last line feed.
    open: Vec<u8>,
    /// The last whole line.
    whole: Vec<u8>,
}

impl LastLine {
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                if !self.open.trim_ascii().is_empty() {
                    std::mem::swap(&mut self.whole, &mut self.open);
                }
                self.open.clear();
            } else if self.open.len() < LINE_BYTES_MAX {
                self.open.push(*byte);
            }
        }
    }

    fn text(&self) -> String {
        let line = if self.open.trim_ascii().is_empty() { &self.whole } else { &self.open };
        let text = String::from_utf8_lossy(line.trim_ascii());
        text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_last_that_says_something() {
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"one\ntwo\n", "two"),
            (b"one\ntwo", "two"),
            (b"one\n \n\n", "one"),
            (b"one\n  ", "one"),
            (b"a\tb\x1b[1m\r\n", "a b [1m"),
            (b"\xff\n", "\u{fffd}"),
        ] {
            let mut line = LastLine::default();
            // However it is cut.
            bytes.chunks(2).for_each(|it| line.take(it));
            assert_eq!(line.text(), expected);
        }
        let mut line = LastLine::default();
        line.take(&vec![b'x'; 100_000]);
        assert_eq!(line.text().len(), LINE_BYTES_MAX);
    }
}
