//! Real processes, mostly nasty ones. Every one is a few lines of Python on top of a decent module.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod call_backs;
mod confine;
mod deliver;
mod end;
mod hello;
mod maintain;
mod manage;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, LazyLock, Mutex},
    thread,
    time::{Duration, Instant},
};

use exeunt_host::{BatchReport, Delivery, HostLimits, ModuleCommand, ModuleProcess, StartError};
use exeunt_module::{Event, Initialize, Outcome, PROTOCOL_VERSION, exit_event};
use tempfile::TempDir;

/// A module that does everything right. A test puts its own functions between this and `MAIN`.
const DECENT: &str = r#"
import json, os, signal, subprocess, sys, time

def send(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()

def answer(call, result):
    send({"jsonrpc": "2.0", "id": call["id"], "result": result})

def refuse(call, code, message):
    send({"jsonrpc": "2.0", "id": call["id"], "error": {"code": code, "message": message}})

def accept(call):
    answer(call, {"outcome": "accept"})

def seq(call):
    return call["params"]["event"]["seq"]

def greet(call, **other):
    answer(call, {"protocol": 1, "features": [], "event_mask": 0x2f, "window": 16, **other})

def initialize(call):
    greet(call)

def describe(call):
    answer(call, "a decent module")

def notify(call):
    accept(call)

def shutdown(call):
    answer(call, None)
    sys.exit(0)
"#;

const MAIN: &str = r#"
METHODS = {"Initialize": initialize, "GetDescription": describe, "Notify": notify, "Shutdown": shutdown}
for line in sys.stdin:
    call = json.loads(line)
    METHODS[call["method"]](call)
"#;

/// How long a test waits for something that is sure to happen.
const PATIENCE: Duration = Duration::from_mins(1);

/// A folder with a module in it.
struct Stage {
    directory: TempDir,
    command: ModuleCommand,
    limits: HostLimits,
    hello: Initialize,
}

impl Stage {
    /// A decent module, but for what `own` redefines.
    fn new(own: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("module.py");
        fs::write(&script, format!("{DECENT}\n{own}\n{MAIN}")).unwrap();
        let command = ModuleCommand {
            program: interpreter(),
            // Isolated: the tests measure seconds, and site packages take some of them.
            args: vec!["-I".into(), "-S".into(), script.into()],
            env: Vec::new(),
            working_directory: directory.path().to_owned(),
            confine: None,
        };
        let hello = Initialize {
            protocol: PROTOCOL_VERSION,
            config: "Test CA".to_owned(),
            module: "nasty".to_owned(),
            role: None,
            window: 64,
            deadline_ms: 30_000,
            partial: false,
            ..Initialize::default()
        };
        // The machine may be slow: only tests that wait for a limit make it short.
        let limits = HostLimits {
            hello: Duration::from_mins(1),
            event: Duration::from_mins(1),
            shutdown: Duration::from_mins(1),
            // They yield to nobody here: a loaded machine would starve them.
            nice: 0,
            ..HostLimits::default()
        };
        Self { directory, command, limits, hello }
    }

    fn event_limit_ms(mut self, limit_ms: u64) -> Self {
        self.limits.event = Duration::from_millis(limit_ms);
        self
    }

    fn try_start(&self) -> Result<ModuleProcess, StartError> {
        ModuleProcess::start(&self.command, &self.limits, &self.hello)
    }

    #[track_caller]
    fn start(&self) -> ModuleProcess {
        self.try_start().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// The interpreter itself: `python3` may be a script that looks for one and adds to its environment.
fn interpreter() -> PathBuf {
    static INTERPRETER: LazyLock<PathBuf> = LazyLock::new(|| {
        let tell = ["-I", "-S", "-c", "import sys; print(sys.executable)"];
        let output = Command::new("python3").args(tell).output().unwrap();
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    });
    INTERPRETER.clone()
}

/// Events with these places in the log, small.
fn events(seqs: impl IntoIterator<Item = u64>) -> Vec<Event> {
    let event = |seq| Event {
        id: format!("store-{seq}"),
        seq,
        event: exit_event::CERT_ISSUED,
        context: seq,
        subject: format!("request:{seq}"),
        time: "2026-01-01T00:00:00.000Z".to_owned(),
        attempt: 1,
        ..Event::default()
    };
    seqs.into_iter().map(event).collect()
}

/// One character for each event: accept, skip, retry, park, Failed, or `-` for no answer.
fn letters(report: &BatchReport) -> String {
    let letter = |it: &Delivery| match it {
        Delivery::Answered(Outcome::Accept) => 'a',
        Delivery::Answered(Outcome::Skip) => 's',
        Delivery::Answered(Outcome::Retry { .. }) => 'r',
        Delivery::Answered(Outcome::Park { .. }) => 'p',
        Delivery::Answered(_) => '?',
        Delivery::Failed(_) => 'F',
        Delivery::Unanswered => '-',
    };
    report.outcomes.iter().map(letter).collect()
}

#[track_caller]
fn check_alive(report: &BatchReport, expected: &str) {
    assert_eq!(report.fault, None);
    assert!(report.alive);
    assert_eq!(letters(report), expected);
}

/// Checks a fault by its code and the beginning of its line, and that nothing is left over.
#[track_caller]
fn check_fault(
    process: &ModuleProcess,
    report: &BatchReport,
    expected: &str,
    code: &str,
    text: &str,
) {
    assert_eq!(letters(report), expected);
    assert!(!report.alive);
    let fault = report.fault.as_ref().unwrap();
    assert_eq!(fault.code(), code);
    let line = fault.to_string();
    assert!(line.starts_with(text), "{line}");
    assert!(!line.contains('\n'), "{line}");
    assert!(is_reaped(process.pid()), "a zombie stays");
}

/// Whether there is no such process, not even a zombie.
fn is_reaped(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

/// Whether that process no longer runs. It is not our child: somebody else reaps it, sometime.
fn is_dead(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

#[track_caller]
fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_there() {
        assert!(Instant::now() < deadline, "{what} did not come");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The process number that a module wrote into a file.
#[track_caller]
fn pid_in(path: &Path) -> u32 {
    let mut pid = None;
    wait_for("a process number", || {
        pid = fs::read_to_string(path).ok().and_then(|it| it.strip_suffix('\n')?.parse().ok());
        pid.is_some()
    });
    pid.unwrap()
}

/// What went to the log while a closure ran.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn capture<T>(run: impl FnOnce() -> T) -> (T, String) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || writer.clone())
            .finish();
        let result = tracing::subscriber::with_default(subscriber, run);
        let bytes = log.0.lock().unwrap().clone();
        (result, String::from_utf8(bytes).unwrap())
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
