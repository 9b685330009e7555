//! An object store that speaks S3 (moto, which honours `If-Match` and `If-None-Match` of puts), and
//! Amazon's Python library to look into it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::authority::{Authority, Flaw, fingerprint};
use crate::process::{Process, free_port};
use crate::python::{self, ask, base64, octets, replace, text};

/// Id of the key that the server knows.
pub const ACCESS_KEY: &str = "AKIATESTBED000000001";

/// The key.
pub const SECRET_KEY: &str = "correct/horse+42correct/horse+42correct/";

/// The region that it says it is in.
pub const REGION: &str = "us-east-1";

/// How the server is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// What is wrong with its certificate.
    pub flaw: Flaw,
    /// Whether everybody may read.
    pub public: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { tls: true, flaw: Flaw::Nothing, public: true }
    }
}

/// What the server does; by default what it is asked to.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// Code with which every write is refused: `SlowDown` (503), `InternalError` (500),
    /// `QuotaExceeded` (507), others with 403.
    pub refuse: Option<String>,
    /// Whether reading is refused with that code as well.
    pub refuse_reads: bool,
    /// Whether a write is confirmed and nothing is kept.
    pub forgets: bool,
    /// How long everything takes.
    pub delay: Duration,
    /// Whether every listing begins anew, wherever it was to go on.
    pub lists_anew: bool,
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its content.
    pub body: Vec<u8>,
    /// Its `Content-Type`.
    pub content_type: String,
    /// Its `ETag`, with quotation marks.
    pub etag: String,
    /// Its own metadata (`x-amz-meta-`).
    pub metadata: BTreeMap<String, String>,
}

/// The running server.
#[derive(Debug)]
pub struct S3 {
    process: Process,
    folder: tempfile::TempDir,
    authority: Authority,
    told: Json,
    port: u16,
}

impl S3 {
    /// Starts one without a bucket.
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
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            "public": setup.public,
            "journal": folder.path().join("journal"),
            "behaviour": folder.path().join("behaviour"),
        });
        replace(&folder.path().join("behaviour"), &json!({}));
        let mut process =
            Process::start(&mut python::script("s3.py", &told), &folder.path().join("log"));
        process.wait_for_port(port);
        Self { process, folder, authority, told, port }
    }

    /// Where it is: `https://localhost:PORT`, or `http://` where it speaks no TLS. Buckets are in the
    /// path.
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

    /// From now on it behaves so.
    pub fn behave(&mut self, behaviour: &Behaviour) {
        let delay_ms = u64::try_from(behaviour.delay.as_millis()).unwrap_or(u64::MAX);
        let behaviour = json!({
            "refuse": behaviour.refuse, "refuse_reads": behaviour.refuse_reads, "forgets": behaviour.forgets,
            "delay_ms": delay_ms, "lists_anew": behaviour.lists_anew,
        });
        replace(&self.folder.path().join("behaviour"), &behaviour);
    }

    /// Makes a bucket.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn make_bucket(&self, bucket: &str) {
        self.expect(&json!({"do": "make-bucket", "bucket": bucket}));
    }

    /// Keys of all objects in a bucket, with the `ETag` of each.
    ///
    /// # Panics
    ///
    /// When they cannot be listed.
    pub fn list(&self, bucket: &str) -> BTreeMap<String, String> {
        let found = self.expect(&json!({"do": "list", "bucket": bucket}));
        let found = found.as_object().into_iter().flatten();
        found.map(|(key, etag)| (key.clone(), text(etag))).collect()
    }

    /// All objects in a bucket, by their keys.
    ///
    /// # Panics
    ///
    /// When they cannot be read.
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        let found = self.expect(&json!({"do": "read", "bucket": bucket}));
        let found = found.as_object().into_iter().flatten();
        found.map(|(key, body)| (key.clone(), octets(body))).collect()
    }

    /// An object; nothing where there is none.
    ///
    /// # Panics
    ///
    /// When the server says something else.
    pub fn get(&self, bucket: &str, key: &str) -> Option<Object> {
        let told = json!({"do": "get", "bucket": bucket, "key": key});
        let found = match self.ask(&told) {
            Ok(found) => found,
            Err(code) if code == "NoSuchKey" => return None,
            Err(code) => panic!("{told}: {code}"),
        };
        let metadata = found["metadata"].as_object().into_iter().flatten();
        Some(Object {
            body: octets(&found["body"]),
            content_type: text(&found["type"]),
            etag: text(&found["etag"]),
            metadata: metadata.map(|(name, value)| (name.clone(), text(value))).collect(),
        })
    }

    /// Writes as another writer, on a condition if there is one: (`IfMatch`, `ETag`) or
    /// (`IfNoneMatch`, `*`). Gives the new `ETag`, or the code of the refusal.
    ///
    /// # Errors
    ///
    /// The server's code, such as `PreconditionFailed`.
    pub fn put(
        &self,
        bucket: &str,
        key: &str,
        body: &[u8],
        condition: Option<(&str, &str)>,
    ) -> Result<String, String> {
        let mut told = json!({"do": "put", "bucket": bucket, "key": key, "body": base64(body)});
        if let Some((name, value)) = condition {
            told[name] = json!(value);
        }
        self.ask(&told).map(|it| text(&it))
    }

    /// Writes so many zeros as another writer.
    ///
    /// # Panics
    ///
    /// When they are not taken.
    pub fn put_zeros(&self, bucket: &str, key: &str, count: usize) {
        let zero = base64(&[0]);
        let told = json!({"do": "put", "bucket": bucket, "key": key, "body": zero, "times": count});
        self.expect(&told);
    }

    /// Deletes as another writer.
    ///
    /// # Panics
    ///
    /// When it cannot be deleted.
    pub fn delete(&self, bucket: &str, key: &str) {
        self.expect(&json!({"do": "delete", "bucket": bucket, "key": key}));
    }

    /// Kills it as a failing power supply does. What it has confirmed stays.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`S3::kill`], at the same port.
    pub fn restart(&mut self) {
        self.process.kill();
        let log = self.folder.path().join("log");
        self.process = Process::start(&mut python::script("s3.py", &self.told), &log);
        self.process.wait_for_port(self.port);
    }

    /// Starts it again with another certificate.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start_again_with(&mut self, flaw: Flaw) {
        let server = self.authority.server(flaw);
        self.told["certificate"] = json!(server.certificate);
        self.told["key"] = json!(server.key);
        self.restart();
    }

    /// The process, to suspend it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn expect(&self, told: &Json) -> Json {
        self.ask(told).unwrap_or_else(|code| panic!("{told}: {code}"))
    }

    fn ask(&self, told: &Json) -> Result<Json, String> {
        let mut told = told.clone();
        told["url"] = json!(self.url());
        told["ca"] = json!((!self.told["certificate"].is_null()).then(|| self.ca_file()));
        told["region"] = json!(REGION);
        told["access_key"] = json!(ACCESS_KEY);
        told["secret_key"] = json!(SECRET_KEY);
        let mut answer = ask("s3_client.py", &told);
        match answer.get("error") {
            None => Ok(answer["ok"].take()),
            Some(code) => Err(text(code)),
        }
    }
}
