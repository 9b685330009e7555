//! A server as a child process in a process group of its own, which ends with its handle.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How long a server may take until it answers; far above what any needs on a busy machine.
pub const START_LIMIT: Duration = Duration::from_mins(3);

/// How long a server may take to end when it is asked to.
pub const STOP_LIMIT: Duration = Duration::from_secs(20);

/// How long a port is waited for.
const BIND_LIMIT: Duration = Duration::from_secs(20);

/// How often a state that is awaited is looked at.
pub const POLL: Duration = Duration::from_millis(10);

/// Bytes of a server's log that a panic shows, from its end.
const LOG_SHOWN_BYTES: usize = 4096;

/// A running server; dropped, it and everything that it started is killed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    watchdog: Child,
}

/// Waits for the end of its input, which comes with the end of the test's process, and kills a group.
const WATCHDOG: &str = "read -r never; kill -s KILL -- -$1";

impl Process {
    /// Starts a command in a process group of its own; what it says goes to the end of the file `log`.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = File::options().create(true).append(true).open(log).expect("a log file");
        let errors = file.try_clone().expect("the log file once more");
        let child =
            command.stdin(Stdio::null()).stdout(file).stderr(errors).process_group(0).spawn();
        let child = child.unwrap_or_else(|err| panic!("{name} does not start: {err}"));
        // A test that is killed itself drops nothing.
        let mut sh = Command::new("sh");
        sh.args(["-c", WATCHDOG, "sh", &child.id().to_string()]).stdin(Stdio::piped());
        sh.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let watchdog = sh.spawn().unwrap_or_else(|err| panic!("sh does not start: {err}"));
        Self { name, child, log: log.to_owned(), watchdog }
    }

    /// The number of the process, which is that of its group as well.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` says yes.
    ///
    /// # Panics
    ///
    /// With the end of its log, when the process ends before that or [`START_LIMIT`] passes.
    pub fn wait_until(&mut self, mut ready: impl FnMut() -> bool) {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if ready() {
                return;
            }
            if let Some(status) = self.ended() {
                panic!("{} ended with {status}: {}", self.name, self.log_end());
            }
            assert!(Instant::now() < deadline, "{} is not ready: {}", self.name, self.log_end());
            thread::sleep(POLL);
        }
    }

    /// Waits until something listens at the port of the loopback address.
    ///
    /// # Panics
    ///
    /// As [`Process::wait_until`].
    pub fn wait_for_port(&mut self, port: u16) {
        self.wait_until(|| listens(port));
    }

    /// Its status when it has ended.
    ///
    /// # Panics
    ///
    /// When the system does not say.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of a child")
    }

    /// Asks the group to end and waits; what is left after [`STOP_LIMIT`] is killed.
    pub fn stop(&mut self) {
        if self.ended().is_none() {
            self.signal(Signal::TERM);
            let deadline = Instant::now() + STOP_LIMIT;
            while self.ended().is_none() && Instant::now() < deadline {
                thread::sleep(POLL);
            }
        }
        self.kill();
    }

    /// Kills the group at once, as when the power fails.
    pub fn kill(&mut self) {
        // The group may outlive its first process, so it is told even when that one has ended.
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// Stops the group's clock: connections are accepted by the system and nothing answers.
    ///
    /// # Panics
    ///
    /// When the first process of the group goes on regardless.
    pub fn suspend(&self) {
        self.signal(Signal::STOP);
        wait_for("a suspended server", STOP_LIMIT, || self.is_suspended());
    }

    /// Whether no thread of the first process runs; the signal takes a moment to reach them all.
    fn is_suspended(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        threads.into_iter().flatten().flatten().all(|it| {
            let state = fs::read_to_string(it.path().join("stat")).unwrap_or_default();
            // The name stands in brackets, and may have some of its own (proc(5)).
            state.rsplit_once(") ").is_none_or(|(_, it)| it.starts_with('T'))
        })
    }

    /// Lets a suspended group go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// The end of what it said.
    pub fn log_end(&self) -> String {
        let said = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&said[said.len().saturating_sub(LOG_SHOWN_BYTES)..]).into_owned()
    }

    fn signal(&self, signal: Signal) {
        let number = i32::try_from(self.child.id()).expect("BUG: the kernel's numbers are an i32");
        if let Some(group) = Pid::from_raw(number) {
            // It fails when nobody is left in the group, which is what was wished.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
    }
}

/// Whether something accepts connections at the port of the loopback address.
pub fn listens(port: u16) -> bool {
    TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok()
}

/// A port of the loopback address that nobody listens at, and that this process has not been given
/// before.
///
/// It is below those that the system gives to outgoing connections, so that none of these takes it
/// before the server does.
///
/// # Panics
///
/// When all are taken.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run at the same time begin at different places.
    let start = std::process::id().wrapping_mul(97) % u32::from(COUNT);
    let start = u16::try_from(start).expect("BUG: below COUNT");
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (start + step) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

/// Listens at a port of the loopback address. It may be in use for a moment: a program that another
/// thread is about to start has a copy of whatever was open, until it runs.
///
/// # Panics
///
/// When it is in use for longer.
pub(crate) fn listen(port: u16) -> TcpListener {
    let deadline = Instant::now() + BIND_LIMIT;
    loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return listener,
            Err(err) => assert!(Instant::now() < deadline, "port {port}: {err}"),
        }
        thread::sleep(POLL);
    }
}

/// Runs a tool to its end and gives what it wrote to its standard output.
///
/// # Panics
///
/// When it cannot be started or fails, with what it said.
pub fn run(command: &mut Command) -> Vec<u8> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|err| panic!("{name} does not start: {err}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} failed with {}: {said}", output.status);
    output.stdout
}

/// Runs a tool to its end with `input` as its standard input; what it writes is dropped, so that none
/// waits for somebody to read it.
///
/// # Errors
///
/// What the tool says, when it fails.
///
/// # Panics
///
/// When it cannot be started.
pub(crate) fn feed(command: &mut Command, input: &str) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|err| panic!("{name} does not start: {err}"));
    let mut pipe = child.stdin.take().expect("BUG: piped above");
    // The tool may refuse before it has read everything.
    let _ = pipe.write_all(input.as_bytes());
    drop(pipe);
    let output = child.wait_with_output().unwrap_or_else(|err| panic!("waiting for {name}: {err}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}

/// Waits until something is true.
///
/// # Panics
///
/// When it is not within `limit`; `what` names it.
pub fn wait_for(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_started_ends_with_its_handle() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut process =
            Process::start(Command::new("sh").args(["-c", "sleep 1000 & echo $!; wait"]), &log);
        let read = || fs::read_to_string(&log).unwrap();
        process.wait_until(|| read().ends_with('\n'));
        let grandchild = PathBuf::from(format!("/proc/{}/cmdline", read().trim()));
        assert!(grandchild.exists());
        drop(process);
        // A killed process whose parent is gone may be left for a moment, without a command line.
        wait_for("the grandchild ends", STOP_LIMIT, || {
            fs::read(&grandchild).is_ok_and(|it| it.is_empty()) || !grandchild.exists()
        });
    }

    #[test]
    fn a_server_ends_with_a_test_that_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut process =
            Process::start(Command::new("sleep").arg("1000"), &folder.path().join("log"));
        assert!(process.ended().is_none());
        // What the system does for a process that ends.
        drop(process.watchdog.stdin.take());
        wait_for("the server ends", STOP_LIMIT, || process.ended().is_some());
    }

    #[test]
    fn ports_are_given_once() {
        let ports: Vec<u16> = (0..20).map(|_| free_port()).collect();
        let mut once = ports.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), ports.len());
    }

    #[test]
    fn a_server_that_ends_at_once_is_told_with_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let told = std::panic::catch_unwind(|| {
            let mut command = Command::new("sh");
            Process::start(command.args(["-c", "echo no such disk; exit 3"]), &log)
                .wait_until(|| false);
        });
        let told = *told.unwrap_err().downcast::<String>().unwrap();
        assert!(told.contains("no such disk"), "{told}");
    }
}
