//! A NATS server with `JetStream` and TLS, and the Python client of NATS to look into it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value as Json, json};

use crate::authority::{Authority, Flaw};
use crate::process::{Process, free_port};
use crate::python::{ask, base64, octets, text};

/// The user that the server knows.
pub const USER: &str = "exeunt";

/// The user's password, or the token.
pub const PASSWORD: &str = "correct-horse-42";

/// How clients say who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// By [`USER`] and [`PASSWORD`].
    User,
    /// By [`PASSWORD`] as a token.
    Token,
}

/// How the server is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// How clients say who they are.
    pub login: Login,
    /// What is wrong with its certificate.
    pub flaw: Flaw,
    /// Whether a client has to show a certificate of the authority.
    pub client_certificates: bool,
    /// How many octets all streams together may keep: a disk that fills.
    pub store_bytes_max: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            login: Login::User,
            flaw: Flaw::Nothing,
            client_certificates: false,
            store_bytes_max: 1024 * 1024 * 1024,
        }
    }
}

/// A message in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its place in the stream, 1 and up.
    pub seq: u64,
    /// Its subject.
    pub subject: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its content.
    pub data: Vec<u8>,
}

impl Message {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|(it, value)| (it == name).then_some(value.as_str()))
    }
}

/// The running server.
#[derive(Debug)]
pub struct Nats {
    process: Process,
    folder: tempfile::TempDir,
    authority: Authority,
    login: Login,
    port: u16,
}

impl Nats {
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
        let verify = if setup.client_certificates {
            format!("ca_file: {}, verify: true", json!(authority.certificate()))
        } else {
            String::new()
        };
        let login = match setup.login {
            Login::User => format!("user: {}, password: {}", json!(USER), json!(PASSWORD)),
            Login::Token => format!("token: {}", json!(PASSWORD)),
        };
        let settings = format!(
            "listen: \"127.0.0.1:{port}\"\nserver_name: testbed\n\
             tls {{ cert_file: {}, key_file: {}, {verify} }}\n\
             authorization {{ {login} }}\n\
             jetstream {{ store_dir: {}, max_memory_store: 16MB, max_file_store: {} }}\n",
            json!(server.certificate),
            json!(server.key),
            json!(folder.path().join("store")),
            setup.store_bytes_max,
        );
        fs::write(folder.path().join("nats.conf"), settings).expect("settings");
        let process = launch(&folder, port);
        Self { process, folder, authority, login: setup.login, port }
    }

    /// Where it is: `tls://localhost:PORT`.
    pub fn url(&self) -> String {
        format!("tls://localhost:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Certificate to trust, PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.authority.certificate()
    }

    /// The authority, for certificates of clients.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Makes a stream that refuses what is beyond `messages_max` (-1: no limit), with a window for
    /// duplicates of two minutes.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn make_stream(&self, stream: &str, subjects: &[&str], messages_max: i64) {
        self.ask(&json!({
            "do": "make", "stream": stream, "subjects": subjects, "max_msgs": messages_max,
            "duplicate_window_s": 120,
        }));
    }

    /// Deletes a stream.
    ///
    /// # Panics
    ///
    /// When it cannot be deleted.
    pub fn delete_stream(&self, stream: &str) {
        self.ask(&json!({"do": "delete", "stream": stream}));
    }

    /// Publishes as another writer.
    ///
    /// # Panics
    ///
    /// When it is not taken.
    pub fn publish(&self, subject: &str, headers: &[(&str, &str)], data: &[u8]) {
        let headers: serde_json::Map<String, Json> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        self.ask(&json!({
            "do": "publish", "subject": subject, "headers": headers, "data": base64(data),
        }));
    }

    /// Everything in a stream, in order.
    ///
    /// # Panics
    ///
    /// When it cannot be read.
    pub fn messages(&self, stream: &str) -> Vec<Message> {
        let found = self.ask(&json!({"do": "read", "stream": stream}));
        found.as_array().into_iter().flatten().map(message).collect()
    }

    /// Kills it as a failing power supply does. What it has confirmed stays.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`Nats::kill`], at the same port.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = launch(&self.folder, self.port);
    }

    /// The process, to suspend it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn ask(&self, told: &Json) -> Json {
        let mut told = told.clone();
        told["url"] = json!(self.url());
        told["ca"] = json!(self.ca_file());
        told["credentials"] = match self.login {
            Login::User => json!({"user": USER, "password": PASSWORD}),
            Login::Token => json!({"token": PASSWORD}),
        };
        ask("nats_client.py", &told)
    }
}

fn launch(folder: &tempfile::TempDir, port: u16) -> Process {
    // Debian puts it where only root looks.
    let program = ["/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"]
        .into_iter()
        .find(|it| fs::exists(it).unwrap_or_default())
        .unwrap_or("nats-server");
    let mut command = Command::new(program);
    command.arg("--config").arg(folder.path().join("nats.conf"));
    let mut process = Process::start(&mut command, &folder.path().join("log"));
    process.wait_for_port(port);
    process
}

fn message(found: &Json) -> Message {
    let headers = found["headers"].as_object().into_iter().flatten();
    Message {
        seq: found["seq"].as_u64().unwrap_or_default(),
        subject: text(&found["subject"]),
        headers: headers.map(|(name, value)| (name.clone(), text(value))).collect(),
        data: octets(&found["data"]),
    }
}
