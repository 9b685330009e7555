//! A started module, a real web server, and what has to be true in the end.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use exeunt_exit_webhook::WebhookExit;
use exeunt_module_kit::{
    Event, Outcome,
    testing::{Host, issued_event},
};
use exeunt_testbed::receiver::{Received, Receiver, Setup};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// The key of the signatures, and its base64 by `base64`(1).
pub const SECRET: &[u8] = b"twenty-four octets or so";
pub const SECRET_BASE64: &str = "dHdlbnR5LWZvdXIgb2N0ZXRzIG9yIHNv";

/// Another key.
pub const OTHER_BASE64: &str = "d2hzZWMgd2hzZWMgd2hzZWMgd2hzZWMgd2hzZWM=";

/// How long a test waits for what has to come.
pub const LIMIT: Duration = Duration::from_mins(2);

/// A server, and settings of a module that knows it.
pub struct Fixture {
    pub receiver: Receiver,
    pub folder: TempDir,
}

impl Fixture {
    pub fn new() -> Self {
        Self::with(&Setup { secret: SECRET.to_vec(), ..Setup::default() })
    }

    pub fn with(setup: &Setup) -> Self {
        let it = Self { receiver: Receiver::start(setup), folder: tempfile::tempdir().unwrap() };
        it.secret("secret", SECRET_BASE64);
        it
    }

    /// Writes a file that only its owner reads.
    pub fn secret(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Settings that work, and those of the test.
    pub fn settings(&self, port: u16, more: &Json) -> Json {
        let mut settings = json!({
            "url": format!("https://localhost:{port}/hook"),
            "allow_networks": ["127.0.0.1"],
            "ca_file": self.receiver.ca_file(),
            "secret_file": self.folder.path().join("secret"),
            "timeout_s": 20,
        });
        for (name, value) in more.as_object().unwrap() {
            settings[name] = value.clone();
        }
        settings
    }

    /// A module that talks to the server.
    pub fn host(&self, more: &Json) -> Host {
        self.host_at(self.receiver.port(), more)
    }

    /// A module that talks to a port, such as a proxy's.
    pub fn host_at(&self, port: u16, more: &Json) -> Host {
        let mut host = Host::in_memory(WebhookExit::default()).unwrap();
        host.initialize(&self.settings(port, more)).unwrap();
        host
    }

    /// Fails unless the server has answered each event with 200 at least once, and every signature
    /// was good.
    pub fn assert_has(&self, events: &[Event]) {
        let received = self.receiver.received();
        for it in &received {
            assert_eq!(it.signature, "good", "{it:?}");
        }
        let wanted: BTreeSet<&str> = events.iter().map(|it| it.id.as_str()).collect();
        let taken: Vec<&Received> = received.iter().filter(|it| it.status == 200).collect();
        let ids: Vec<String> = taken.iter().flat_map(|it| ids(it)).collect();
        let there: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
        assert_eq!(there, wanted);
    }
}

/// The ids of the events in a request.
pub fn ids(request: &Received) -> Vec<String> {
    let body: Json = serde_json::from_slice(&request.body).unwrap();
    let id = |it: &Json| it["id"].as_str().unwrap().to_owned();
    match &body {
        Json::Array(events) => events.iter().map(id).collect(),
        event => vec![id(event)],
    }
}

/// Events about so many certificates.
pub fn events(count: u64) -> Vec<Event> {
    (1..=count).map(|it| issued_event(it, &[0x30, 0x00])).collect()
}

/// Delivers as the server does: what is to be retried comes again, with the next attempt. Says how
/// many answers were `retry`.
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

/// The event is to be told again, and it counts: this event is in trouble, and others may not be. Says
/// when.
#[track_caller]
pub fn assert_retry(outcome: &Outcome, said: &str) -> Option<u64> {
    let Outcome::Retry { after_ms, reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains(said), "{reason}");
    *after_ms
}

/// As [`assert_retry`], where no event could be taken, so that nothing counts.
#[track_caller]
pub fn assert_down(outcome: &Outcome, said: &str) -> Option<u64> {
    let Outcome::TargetDown { after_ms, reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains(said), "{reason}");
    *after_ms
}

#[track_caller]
pub fn assert_park(outcome: &Outcome, said: &str) {
    let Outcome::Park { reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains(said), "{reason}");
}

/// What the reference implementation reads in the requests: id, source, type and subject of each event.
pub fn read_by_the_sdk(requests: &[Received]) -> Vec<[String; 4]> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new(here.join("../../target/test-tools/venv/bin/python3"))
        .arg("-B")
        .arg(here.join("tests/it/read_events.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines: Vec<String> = requests
        .iter()
        .map(|it| {
            let body = String::from_utf8(it.body.clone()).unwrap();
            json!({"content_type": it.header("content-type"), "body": body}).to_string()
        })
        .collect();
    // It reads everything before it writes much: a pipe holds the rest of the answers.
    let writer = std::thread::spawn(move || stdin.write_all(lines.join("\n").as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
}
