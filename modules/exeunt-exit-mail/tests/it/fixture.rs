//! A module, what it is told, and how its mails are read.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use exeunt_exit_mail::MailExit;
use exeunt_module_kit::{
    Event, Outcome,
    testing::{Host, issued_event},
};
use exeunt_testbed::smtp::{Mail, PASSWORD, Smtp, USER};
use serde_json::{Value as Json, json};

/// Longest that a test waits for its mails.
pub const LIMIT: Duration = Duration::from_mins(3);

/// Pause between two rounds of [`Told::deliver`], as a host has one.
const ROUND: Duration = Duration::from_millis(50);

/// A module that was greeted.
pub struct Told {
    host: Host,
    _folder: tempfile::TempDir,
}

/// The password as the operator keeps it.
pub fn password_file(password: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    fs::write(&path, format!("{password}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    folder
}

/// Settings for a server at a port, with more of them or others.
pub fn settings(server: &Smtp, port: u16, folder: &tempfile::TempDir, more: &Json) -> Json {
    let mut settings = json!({
        "server": "localhost", "port": port, "ca_file": server.ca_file(),
        "user": USER, "password_file": folder.path().join("password"), "hello": "ca.example.test",
        "timeout_s": 15, "from": "Certificate Services <ca@example.test>",
        "to": "ops@example.test", "events": ["issued"],
    });
    let object = settings.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
    settings
}

impl Told {
    /// Greets a module with settings for a server, and more of them or others; null takes one out.
    pub fn with(server: &Smtp, port: u16, more: &Json) -> Self {
        let folder = password_file(PASSWORD);
        let mut host = Host::in_memory(MailExit::default()).unwrap();
        host.initialize(&settings(server, port, &folder, more)).unwrap();
        Self { host, _folder: folder }
    }

    /// One event, once.
    pub fn tell(&mut self, event: &Event) -> Outcome {
        self.host.notify(event).unwrap()
    }

    /// Many events, each once.
    pub fn tell_all(&mut self, events: &[Event]) -> Vec<Outcome> {
        self.host.notify_all(events).unwrap().into_iter().map(Result::unwrap).collect()
    }

    /// Tells each event until it is accepted, as a host does, and calls `between` after each round with
    /// how many are left.
    pub fn deliver(&mut self, events: &[Event], mut between: impl FnMut(usize)) {
        let deadline = Instant::now() + LIMIT;
        let mut left = events.to_vec();
        while !left.is_empty() {
            let outcomes = self.tell_all(&left);
            let mut outcomes = outcomes.iter();
            left.retain(|event| match outcomes.next().unwrap() {
                Outcome::Accept => false,
                Outcome::Retry { reason, .. } | Outcome::TargetDown { reason, .. } => {
                    assert!(Instant::now() < deadline, "{} is late: {reason}", event.id);
                    true
                }
                other => panic!("{}: {other:?}", event.id),
            });
            between(left.len());
            std::thread::sleep(ROUND);
        }
    }

    /// Says farewell.
    pub fn end(self) {
        self.host.shutdown().unwrap();
    }
}

/// Events of issued certificates.
pub fn issued(count: u64) -> Vec<Event> {
    (1..=count).map(|seq| issued_event(seq, &[0x30, 0])).collect()
}

/// What Python's parser says about mails.
pub fn judged(mails: &[Mail]) -> Vec<Json> {
    let texts: Vec<&str> = mails.iter().map(|it| it.text.as_str()).collect();
    let mut python = Command::new("python3")
        .arg("-B")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/judge.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = python.stdin.take().unwrap();
    let input = serde_json::to_vec(&texts).unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "the judge failed");
    let judged: Vec<Json> = serde_json::from_slice(&output.stdout).unwrap();
    for mail in &judged {
        assert_eq!(mail["defects"], json!([]), "{mail}");
        assert_eq!(mail["bare"], 0, "{mail}");
        assert!(mail["longest_line"].as_u64().unwrap() <= 998, "{mail}");
        assert_eq!((&mail["automatic"], &mail["dated"]), (&json!("auto-generated"), &json!(true)));
    }
    judged
}

/// The ids of the events that single mails are about, by the header, in order.
pub fn event_ids(judged: &[Json]) -> Vec<String> {
    let id = |it: &Json| it["event"].as_str().unwrap().split(' ').next().unwrap().to_owned();
    judged.iter().map(id).collect()
}
