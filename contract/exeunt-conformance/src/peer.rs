//! The module's process, seen from outside: lines in, lines out, and always an end.
//!
//! Nothing here waits without a deadline. Writing happens on a thread of its own, because a module
//! that does not read would otherwise stop the check.

use std::{
    ffi::OsString,
    io::{self, BufRead as _, BufReader, Read, Write as _},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use exeunt_module::LINE_BYTES_MAX;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// Variables that the module inherits: those that the server leaves it, so that a module that needs
/// another one is found out here.
const INHERITED_VARIABLES: [&str; 3] = ["PATH", "LANG", "TZ"];

/// How much of the module's standard error is kept, in bytes from its start.
const STDERR_BYTES_MAX: usize = 4096;

/// Most lines of the module that wait to be looked at; then the module waits.
const LINES_AHEAD_MAX: usize = 1024;

/// How long a killed process may take to be gone.
const REAP_WAIT_MAX: Duration = Duration::from_secs(2);

/// Pause between two looks at a process that should be ending.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub file: OsString,
    pub args: Vec<OsString>,
    pub directory: Option<PathBuf>,
}

/// What the module wrote, with the moment when it was read.
pub(crate) enum Said {
    Line(Vec<u8>, Instant),
    /// A line longer than the contract allows; nothing after it can be understood.
    TooLong,
}

/// Why nothing came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Not within the deadline.
    Late,
    /// Standard output is closed.
    Ended,
    /// The module said that it could not read a line, and which one is not to be told.
    Unread,
}

/// A running module. Dropping it kills its process group.
pub(crate) struct Peer {
    child: Child,
    /// `None` after hanging up.
    to_module: Option<Sender<Vec<u8>>>,
    from_module: Receiver<Said>,
    stderr: Arc<Mutex<Vec<u8>>>,
    /// Whether it was reaped; its number may belong to somebody else then.
    ended: bool,
}

impl Peer {
    pub(crate) fn start(program: &Program) -> io::Result<Self> {
        let mut command = Command::new(&program.file);
        command.args(&program.args).env_clear();
        for name in INHERITED_VARIABLES {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some(directory) = &program.directory {
            command.current_dir(directory);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own, so that what the module starts ends with it.
        command.process_group(0);
        let mut child = command.spawn()?;
        let stdin = child.stdin.take().expect("BUG: standard input was piped");
        let stdout = child.stdout.take().expect("BUG: standard output was piped");
        let errors = child.stderr.take().expect("BUG: standard error was piped");

        let (to_module, outgoing) = channel();
        thread::spawn(move || write_lines(stdin, &outgoing));
        let (sender, from_module) = sync_channel(LINES_AHEAD_MAX);
        thread::spawn(move || read_lines(stdout, |said| sender.send(said).is_ok()));
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&stderr);
        thread::spawn(move || keep_start(errors, &kept));
        Ok(Self { child, to_module: Some(to_module), from_module, stderr, ended: false })
    }

    /// Writes bytes as they are. A module that does not read them is found out by its silence.
    pub(crate) fn send(&self, bytes: Vec<u8>) {
        if let Some(to_module) = &self.to_module {
            to_module.send(bytes).ok();
        }
    }

    /// Closes the module's standard input once everything is written.
    pub(crate) fn hang_up(&mut self) {
        self.to_module = None;
    }

    /// The module's next line.
    pub(crate) fn next(&self, deadline: Instant) -> Result<Said, Silence> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.from_module.recv_timeout(left).map_err(|err| match err {
            RecvTimeoutError::Timeout => Silence::Late,
            RecvTimeoutError::Disconnected => Silence::Ended,
        })
    }

    /// Waits until the process has ended by itself; `None` if it has not by then.
    pub(crate) fn wait(&mut self, deadline: Instant) -> Option<ExitStatus> {
        while !self.has_exited() {
            if deadline <= Instant::now() {
                return None;
            }
            thread::sleep(LOOK_AGAIN);
        }
        self.kill_group();
        self.ended = true;
        self.child.wait().ok()
    }

    /// Whether the process has ended. Does not reap it: as long as it is there, be it as a zombie,
    /// nobody else can get the number of its group.
    fn has_exited(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(Pid::from_child(&self.child)), options) {
            Ok(status) => status.is_some(),
            Err(err) => err != rustix::io::Errno::INTR,
        }
    }

    fn kill_group(&self) {
        // Fails only where nobody is left in it.
        kill_process_group(Pid::from_child(&self.child), Signal::KILL).ok();
    }

    /// The start of what the module wrote to standard error.
    pub(crate) fn stderr(&self) -> String {
        let kept = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).into_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.to_module = None;
        if self.ended {
            return;
        }
        self.kill_group();
        // A process that hangs in the kernel is left to the system.
        self.wait(Instant::now() + REAP_WAIT_MAX);
    }
}

fn write_lines(mut stdin: ChildStdin, outgoing: &Receiver<Vec<u8>>) {
    while let Ok(bytes) = outgoing.recv() {
        if stdin.write_all(&bytes).and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

fn read_lines(stdout: impl Read, mut hand_over: impl FnMut(Said) -> bool) {
    let mut reader = BufReader::new(stdout);
    // One byte more for the line feed and one to tell a line that is too long.
    let allowed = u64::try_from(LINE_BYTES_MAX + 2).unwrap_or(u64::MAX);
    loop {
        let mut line = Vec::new();
        match (&mut reader).take(allowed).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => (),
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if LINE_BYTES_MAX < line.len() {
            hand_over(Said::TooLong);
            // The rest is swallowed, so that the module does not hang at writing.
            io::copy(&mut reader, &mut io::sink()).ok();
            return;
        }
        if !hand_over(Said::Line(line, Instant::now())) {
            return;
        }
    }
}

fn keep_start(mut errors: impl Read, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = errors.read(&mut buffer) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = STDERR_BYTES_MAX - kept.len().min(STDERR_BYTES_MAX);
        kept.extend_from_slice(&buffer[..length.min(room)]);
    }
}
