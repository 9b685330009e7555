//! A NATS server with streams, and another client that reads back what is in its streams.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use exeunt_testbed::process::{Process, free_port, run};
use serde_json::{Value as Json, json};

/// A server on loopback with a folder of its own.
pub struct Server {
    process: Process,
    folder: PathBuf,
    pub port: u16,
    /// What the other client has to say to get in.
    pub foreign: Vec<String>,
}

/// A message as the other client finds it.
#[derive(Debug)]
pub struct Stored {
    pub subject: String,
    pub headers: Json,
    pub body: String,
}

impl Stored {
    /// The id by which the server knows one that comes again.
    pub fn message_id(&self) -> &str {
        self.headers["nats-msg-id"].as_str().unwrap()
    }

    /// The id of the event that the module `under-test` told of.
    pub fn event_id(&self) -> &str {
        self.message_id().strip_suffix(".under-test").unwrap()
    }
}

impl Server {
    /// Starts a server; `more` is put into its configuration.
    pub fn start(folder: &Path, more: &str) -> Self {
        fs::create_dir_all(folder).unwrap();
        let port = free_port();
        Self::configure(folder, port, more);
        let process = Self::process(folder, port);
        Self { process, folder: folder.to_owned(), port, foreign: Vec::new() }
    }

    fn configure(folder: &Path, port: u16, more: &str) {
        let store = folder.join("store");
        let text = format!(
            "listen: \"127.0.0.1:{port}\"\njetstream: {{ store_dir: {:?} }}\n{more}\n",
            store.display().to_string()
        );
        fs::write(folder.join("nats.conf"), text).unwrap();
    }

    fn process(folder: &Path, port: u16) -> Process {
        // Debian puts it where only root looks.
        let program = ["/usr/sbin/nats-server", "/usr/local/bin/nats-server"]
            .into_iter()
            .find(|it| Path::new(it).exists())
            .unwrap_or("nats-server");
        let mut command = Command::new(program);
        command.arg("-c").arg(folder.join("nats.conf"));
        let mut process = Process::start(&mut command, &folder.join("log"));
        process.wait_for_port(port);
        process
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    pub fn suspend(&self) {
        self.process.suspend();
    }

    pub fn resume(&self) {
        self.process.resume();
    }

    pub fn start_again(&mut self) {
        self.process = Self::process(&self.folder, self.port);
    }

    /// Gives the running server another configuration, as an operator does.
    pub fn reload(&self, more: &str) {
        Self::configure(&self.folder, self.port, more);
        run(Command::new("kill").args(["-s", "HUP", &self.process.id().to_string()]));
    }

    pub fn address(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    fn client(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("python3");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/client.py"));
        command.arg(self.port.to_string()).args(&self.foreign).args(arguments);
        String::from_utf8(run(&mut command)).unwrap()
    }

    /// Makes a stream as the other client does; `more` is put into its configuration.
    pub fn make_stream(&self, name: &str, subjects: &[&str], more: &Json) {
        let mut config = json!({
            "name": name, "subjects": subjects, "storage": "file", "retention": "limits",
            "discard": "new", "num_replicas": 1, "duplicate_window": 3_600_000_000_000_u64,
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let subject = format!("$JS.API.STREAM.CREATE.{name}");
        let answer = self.client(&["request", &subject, &config.to_string()]);
        let answer: Json = serde_json::from_str(&answer).unwrap();
        assert!(answer.get("error").is_none(), "{answer}");
    }

    /// Changes a stream as the other client does.
    pub fn change_stream(&self, name: &str, change: &Json) {
        let mut config = self.stream(name)["config"].clone();
        config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let subject = format!("$JS.API.STREAM.UPDATE.{name}");
        let answer = self.client(&["request", &subject, &config.to_string()]);
        let answer: Json = serde_json::from_str(&answer).unwrap();
        assert!(answer.get("error").is_none(), "{answer}");
    }

    /// What the server says about a stream.
    pub fn stream(&self, name: &str) -> Json {
        let answer = self.client(&["request", &format!("$JS.API.STREAM.INFO.{name}"), ""]);
        serde_json::from_str(&answer).unwrap()
    }

    /// Everything in a stream, oldest first.
    pub fn read(&self, stream: &str) -> Vec<Stored> {
        self.client(&["read", stream])
            .lines()
            .map(|line| {
                let mut line: Json = serde_json::from_str(line).unwrap();
                Stored {
                    subject: line["subject"].as_str().unwrap().to_owned(),
                    headers: line["headers"].take(),
                    body: line["body"].as_str().unwrap().to_owned(),
                }
            })
            .collect()
    }

    /// Publishes as a stranger, into the same stream.
    pub fn publish(&self, subject: &str, count: usize) {
        self.client(&["publish", subject, &count.to_string()]);
    }
}
