//! Receivers of syslog messages, and what has to be true in the end.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use exeunt_exit_syslog::SyslogExit;
use exeunt_module_kit::{
    Event, Outcome,
    testing::{Host, issued_event, target_down},
};
use exeunt_testbed::{
    authority::{Authority, Flaw, fingerprint},
    process::{Process, free_port, wait_for},
};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// How long a test waits for what has to come.
pub const LIMIT: Duration = Duration::from_mins(2);

/// A receiver in Python, over TLS or TCP.
pub struct Receiver {
    pub folder: TempDir,
    pub authority: Authority,
    pub port: u16,
    told: Json,
    process: Process,
}

impl Receiver {
    /// Starts one; with a flaw, over TLS.
    pub fn start(tls: Option<Flaw>, client_certificates: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(&folder.path().join("tls"));
        let identity = authority.server(tls.unwrap_or(Flaw::Nothing));
        let port = free_port();
        let told = json!({
            "port": port,
            "certificate": tls.map(|_| identity.certificate.clone()),
            "key": identity.key,
            "clients": client_certificates.then(|| authority.certificate()),
            "log": folder.path().join("received"),
            "behaviour": folder.path().join("behaviour"),
        });
        fs::write(folder.path().join("behaviour"), "well").unwrap();
        let process = run(&told, folder.path(), port);
        Self { folder, authority, port, told, process }
    }

    /// SHA-256 of the certificate that it shows.
    pub fn fingerprint(&self) -> String {
        fingerprint(Path::new(self.told["certificate"].as_str().unwrap()))
    }

    /// What it does from the next connection on.
    pub fn behave(&self, how: &str) {
        fs::write(self.folder.path().join("behaviour"), how).unwrap();
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    pub fn restart(&mut self) {
        self.process.kill();
        self.process = run(&self.told, self.folder.path(), self.port);
    }

    pub fn received(&self) -> Vec<Json> {
        lines(&self.folder.path().join("received"))
    }

    pub fn settings(&self, port: u16, more: &Json) -> Json {
        let tls = !self.told["certificate"].is_null();
        let mut settings = json!({
            "transport": if tls { "tls" } else { "tcp" },
            "server": format!("localhost:{port}"),
            "hostname": "ca.example.test",
            "timeout_s": 20,
        });
        if tls {
            settings["ca_file"] = json!(self.authority.certificate());
        }
        for (name, value) in more.as_object().unwrap() {
            settings[name] = value.clone();
        }
        settings
    }

    pub fn host(&self, more: &Json) -> Host {
        self.host_at(self.port, more)
    }

    pub fn host_at(&self, port: u16, more: &Json) -> Host {
        host(&self.settings(port, more))
    }
}

fn run(told: &Json, folder: &Path, port: u16) -> Process {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/receiver.py");
    let mut command = Command::new("python3");
    command.arg("-B").arg(script).arg(told.to_string());
    let mut process = Process::start(&mut command, &folder.join("log"));
    process.wait_for_port(port);
    process
}

/// A started module.
pub fn host(settings: &Json) -> Host {
    let mut host = Host::in_memory(SyslogExit::default()).unwrap();
    host.initialize(settings).unwrap();
    host
}

/// The whole lines of JSON in a file; none where it is not there yet.
pub fn lines(path: &PathBuf) -> Vec<Json> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|it| serde_json::from_str(it).unwrap_or_else(|_| panic!("{it}"))).collect()
}

/// Waits until each event is there, and fails where another one is.
pub fn assert_has(events: &[Event], mut received: impl FnMut() -> Vec<Json>) {
    let wanted: BTreeSet<String> = events.iter().map(|it| it.id.clone()).collect();
    let mut there = || -> BTreeSet<String> {
        let id =
            |it: &Json| it["values"]["id"].as_str().unwrap_or_else(|| panic!("{it}")).to_owned();
        received().iter().map(id).collect()
    };
    wait_for("every message", LIMIT, || wanted.len() <= there().len());
    assert_eq!(there(), wanted);
}

/// Events about so many certificates.
pub fn events(count: u64) -> Vec<Event> {
    (1..=count).map(|it| issued_event(it, &[0x30, 0x00])).collect()
}

/// Delivers as the server does: what is to be retried comes again. Says how many answers were `retry`.
pub fn deliver(host: &mut Host, events: &[Event]) -> usize {
    let deadline = Instant::now() + LIMIT;
    let mut left = events.to_vec();
    let mut retried = 0;
    while !left.is_empty() {
        assert!(Instant::now() < deadline, "{} events are left", left.len());
        let outcomes = host.notify_all(&left).unwrap();
        let mut again = Vec::new();
        for (mut event, outcome) in left.into_iter().zip(outcomes) {
            match outcome.unwrap() {
                Outcome::Accept => (),
                Outcome::Retry { .. } | Outcome::TargetDown { .. } => {
                    event.attempt += 1;
                    again.push(event);
                }
                other => panic!("{}: {other:?}", event.id),
            }
        }
        retried += again.len();
        left = again;
    }
    retried
}

/// Nothing counts: what goes wrong with a receiver is never about one message, so that the module has no
/// outcome by which an attempt of an event's own is spent.
#[track_caller]
pub fn assert_down(outcome: &Outcome, said: &str) {
    let reason = target_down(outcome);
    assert!(reason.contains(said), "{reason}");
}
