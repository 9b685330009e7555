//! A web server in another language that takes what is posted to it, checks signatures by itself and
//! answers as the test says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::authority::{Authority, Flaw, Identity, fingerprint};
use crate::process::{Process, free_port, wait_for};
use crate::python::{self, base64, lines, octets, replace, text};

/// How the server is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// What is wrong with its certificate.
    pub flaw: Flaw,
    /// Whether a client has to show a certificate of the authority.
    pub client_certificates: bool,
    /// Key of the signatures, as octets; where there is none, no signature can be good.
    pub secret: Vec<u8>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { tls: true, flaw: Flaw::Nothing, client_certificates: false, secret: Vec::new() }
    }
}

/// What the server answers to a request.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Status of HTTP; 0 counts as 200.
    pub status: u16,
    /// Headers, such as `Retry-After` or `Location`.
    pub headers: Vec<(String, String)>,
    /// Body of the answer.
    pub body: String,
    /// How long the answer takes.
    pub delay: Duration,
    /// Whether the connection breaks in the middle of the answer.
    pub cut: bool,
}

impl Answer {
    /// An answer that is no more than its status.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// The same with a header more.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn json(&self) -> Json {
        json!({
            "status": if self.status == 0 { 200 } else { self.status },
            "headers": self.headers,
            "body": self.body,
            "delay_ms": u64::try_from(self.delay.as_millis()).unwrap_or(u64::MAX),
            "cut": self.cut,
        })
    }
}

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Method of HTTP.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers in their order, the names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Common name of the client's certificate.
    pub client: Option<String>,
    /// `none`, `good`, or `bad: ` and why.
    pub signature: String,
    /// The status that was answered.
    pub status: u16,
}

impl Received {
    /// The first header of that name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|(it, value)| (it == name).then_some(value.as_str()))
    }
}

/// The running server.
#[derive(Debug)]
pub struct Receiver {
    process: Process,
    folder: tempfile::TempDir,
    authority: Authority,
    told: Json,
    port: u16,
    answers: u32,
}

impl Receiver {
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
            "certificate": setup.tls.then(|| server.certificate.clone()),
            "key": server.key,
            "clients": setup.client_certificates.then(|| authority.certificate()),
            "secret": base64(&setup.secret),
            "log": folder.path().join("received"),
            "answers": folder.path(),
            "id_header": "webhook-id",
            "timestamp_header": "webhook-timestamp",
            "signature_header": "webhook-signature",
        });
        replace(&folder.path().join("always.json"), &Answer::default().json());
        let mut process =
            Process::start(&mut python::script("receiver.py", &told), &folder.path().join("log"));
        process.wait_for_port(port);
        Self { process, folder, authority, told, port, answers: 0 }
    }

    /// Where it is: `https://localhost:PORT`, or `http://` where it speaks no TLS.
    pub fn url(&self) -> String {
        let scheme = if self.told["certificate"].is_null() { "http" } else { "https" };
        format!("{scheme}://localhost:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Certificate to trust, PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.authority.certificate()
    }

    /// SHA-256 of the certificate that it shows.
    ///
    /// # Panics
    ///
    /// When it shows none.
    pub fn fingerprint(&self) -> String {
        let certificate = self.told["certificate"].as_str().expect("a server with TLS");
        fingerprint(Path::new(certificate))
    }

    /// A certificate that it takes from a client.
    pub fn client(&self, common_name: &str) -> Identity {
        self.authority.client(common_name)
    }

    /// From now on this is answered, once no answer of [`Receiver::answer_next`] waits.
    pub fn answer_always(&mut self, answer: &Answer) {
        replace(&self.folder.path().join("always.json"), &answer.json());
    }

    /// The answer to the next request; several are taken in their order.
    pub fn answer_next(&mut self, answer: &Answer) {
        self.answers += 1;
        let name = format!("next-{:09}.json", self.answers);
        replace(&self.folder.path().join(name), &answer.json());
    }

    /// What has come so far, in order.
    pub fn received(&self) -> Vec<Received> {
        lines(&self.folder.path().join("received")).iter().map(received).collect()
    }

    /// Waits until so many requests have come, and gives all.
    ///
    /// # Panics
    ///
    /// When they do not come within `limit`.
    pub fn wait_for(&self, count: usize, limit: Duration) -> Vec<Received> {
        wait_for("requests", limit, || count <= self.received().len());
        self.received()
    }

    /// Kills it as a failing power supply does. What it has received stays.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`Receiver::kill`], at the same port.
    pub fn restart(&mut self) {
        self.process.kill();
        let log = self.folder.path().join("log");
        self.process = Process::start(&mut python::script("receiver.py", &self.told), &log);
        self.process.wait_for_port(self.port);
    }

    /// The process, to suspend it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn received(line: &Json) -> Received {
    let headers = line["headers"].as_array().into_iter().flatten();
    Received {
        method: text(&line["method"]),
        path: text(&line["path"]),
        headers: headers.map(|it| (text(&it[0]), text(&it[1]))).collect(),
        body: octets(&line["body"]),
        client: line["client"].as_str().map(str::to_owned),
        signature: text(&line["signature"]),
        status: line["status"].as_u64().and_then(|it| u16::try_from(it).ok()).unwrap_or_default(),
    }
}
