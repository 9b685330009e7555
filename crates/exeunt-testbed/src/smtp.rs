//! A mail server (aiosmtpd) that keeps what it takes, with STARTTLS or TLS and authentication.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::authority::{Authority, Flaw};
use crate::process::{Process, free_port, wait_for};
use crate::python::{self, lines, replace, text};

/// The user that the server knows.
pub const USER: &str = "ca@example.test";

/// The user's password.
pub const PASSWORD: &str = "correct horse 42";

/// How connections are secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    None,
    /// By STARTTLS, which the server insists on (RFC 3207).
    StartTls,
    /// TLS from the first octet (RFC 8314).
    Tls,
}

/// How the server is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// How connections are secured.
    pub security: Security,
    /// Whether the user has to log in.
    pub authentication: bool,
    /// What is wrong with its certificate.
    pub flaw: Flaw,
    /// Largest message that it takes, in octets; it announces it (RFC 1870).
    pub size_max: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            security: Security::StartTls,
            authentication: true,
            flaw: Flaw::Nothing,
            size_max: 10 * 1024 * 1024,
        }
    }
}

/// What the server does with mail; by default it takes all of it at once.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// Answers to MAIL, RCPT and DATA (to its end), instead of taking it: `("DATA", "452 4.3.1 full")`.
    pub answers: Vec<(&'static str, String)>,
    /// Recipients that are refused with 550; others of the same message are not.
    pub refused: Vec<String>,
    /// Words that a message is refused for, with 554 at its end.
    pub spam: Vec<String>,
    /// Whether each pair of sender and recipient is put off with 451 the first time.
    pub greylist: bool,
    /// How long each of these commands takes.
    pub delay: Duration,
    /// The command at which the connection breaks: MAIL, RCPT, DATA (nothing is kept), or ANSWER (the
    /// message is kept and the client does not hear of it).
    pub cut_at: Option<&'static str>,
}

impl Behaviour {
    /// A full disk: 452 at the end of each message (RFC 3463, X.3.1).
    pub fn full() -> Self {
        let answer = "452 4.3.1 insufficient system storage".to_owned();
        Self { answers: vec![("DATA", answer)], ..Self::default() }
    }

    /// Another answer to one command.
    pub fn answer(command: &'static str, answer: &str) -> Self {
        Self { answers: vec![(command, answer.to_owned())], ..Self::default() }
    }

    fn json(&self) -> Json {
        let answers: serde_json::Map<String, Json> =
            self.answers.iter().map(|(at, answer)| ((*at).to_owned(), json!(answer))).collect();
        json!({
            "answers": answers,
            "refused": self.refused,
            "spam": self.spam,
            "greylist": self.greylist,
            "delay_ms": u64::try_from(self.delay.as_millis()).unwrap_or(u64::MAX),
            "cut_at": self.cut_at,
        })
    }
}

/// A message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Sender of the envelope.
    pub from: String,
    /// Recipients of the envelope that were not refused.
    pub to: Vec<String>,
    /// Version of TLS that it came over.
    pub tls: Option<String>,
    /// Who had logged in.
    pub user: Option<String>,
    /// What the client called itself.
    pub helo: String,
    /// The message as it came, headers and body.
    pub text: String,
}

/// The running server.
#[derive(Debug)]
pub struct Smtp {
    process: Process,
    folder: tempfile::TempDir,
    authority: Authority,
    told: Json,
    port: u16,
}

impl Smtp {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start(setup: &Setup) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let authority = Authority::new(&folder.path().join("tls"));
        let server = authority.server(setup.flaw);
        let port = free_port();
        let told = json!({
            "port": port,
            "security": match setup.security {
                Security::None => "none",
                Security::StartTls => "starttls",
                Security::Tls => "tls",
            },
            "certificate": server.certificate,
            "key": server.key,
            "user": if setup.authentication { USER } else { "" },
            "password": PASSWORD,
            "size_max": setup.size_max,
            "inbox": folder.path().join("inbox"),
            "behaviour": folder.path().join("behaviour"),
        });
        replace(&folder.path().join("behaviour"), &Behaviour::default().json());
        let mut process =
            Process::start(&mut python::script("smtp.py", &told), &folder.path().join("log"));
        process.wait_for_port(port);
        Self { process, folder, authority, told, port }
    }

    /// Its port on 127.0.0.1, whose name is `localhost`.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Certificate to trust, PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.authority.certificate()
    }

    /// From now on it behaves so, on open connections as well.
    pub fn behave(&mut self, behaviour: &Behaviour) {
        replace(&self.folder.path().join("behaviour"), &behaviour.json());
    }

    /// What was taken so far, in order.
    pub fn inbox(&self) -> Vec<Mail> {
        lines(&self.folder.path().join("inbox")).iter().map(mail).collect()
    }

    /// Waits until so many messages were taken, and gives all.
    ///
    /// # Panics
    ///
    /// When they do not come within `limit`.
    pub fn wait_for(&self, count: usize, limit: Duration) -> Vec<Mail> {
        wait_for("mail", limit, || count <= self.inbox().len());
        self.inbox()
    }

    /// Kills it as a failing power supply does. Its inbox stays.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`Smtp::kill`], at the same port.
    pub fn restart(&mut self) {
        self.process.kill();
        let log = self.folder.path().join("log");
        self.process = Process::start(&mut python::script("smtp.py", &self.told), &log);
        self.process.wait_for_port(self.port);
    }

    /// The process, to suspend it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn mail(line: &Json) -> Mail {
    let to = line["to"].as_array().into_iter().flatten();
    Mail {
        from: text(&line["from"]),
        to: to.map(text).collect(),
        tls: line["tls"].as_str().map(str::to_owned),
        user: line["user"].as_str().map(str::to_owned),
        helo: text(&line["helo"]),
        text: text(&line["text"]),
    }
}
