//! The targets: a real server each, how the module is told of it, and the same writes by others.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use exeunt_e2e::ca::Ca;
use exeunt_testbed::nats::{self, Nats};
use exeunt_testbed::openldap::{OpenLdap, PEOPLE, PUBLISHER};
use exeunt_testbed::postgres::{self, Postgres};
use exeunt_testbed::receiver::{self, Receiver};
use exeunt_testbed::s3::{self, S3};
use exeunt_testbed::smtp::{self, Smtp};
use serde_json::json;
use tempfile::TempDir;

use crate::limit;

/// A target by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A folder of files.
    File,
    /// `OpenLDAP`, over TLS.
    Directory,
    /// A mail server, over TLS, with a password.
    Mail,
    /// A web server, over TLS, with signatures.
    Webhook,
    /// NATS with `JetStream`, over TLS.
    Bus,
    /// `PostgreSQL`, over TLS.
    Sql,
    /// An S3-compatible bucket, over TLS.
    Object,
}

/// What the benchmark needs of a target.
pub trait Target {
    /// The module that publishes there.
    fn module(&self) -> &'static str;
    /// Its settings, as `--set` takes them.
    fn settings(&self, ca: &Ca) -> Vec<String>;
    /// Whether something has to be made before the first event.
    fn has_to_be_installed(&self) -> bool {
        false
    }
    /// Looks whether everything is there.
    fn check(&mut self, count: usize);
    /// How long so many of the same writes take without us.
    fn limit(&mut self, count: usize) -> Duration;
    /// By whom those were made.
    fn limit_by(&self) -> &'static str;
}

/// Name of the host that the certificate is for.
pub fn host(index: usize) -> String {
    format!("host-{index}.example.test")
}

impl Kind {
    /// How many times as many certificates it takes to measure it.
    pub fn factor(self) -> usize {
        match self {
            Self::File | Self::Bus | Self::Sql => 10,
            // A person has one, and the others take hundreds in a second.
            Self::Directory | Self::Mail | Self::Webhook | Self::Object => 1,
        }
    }

    /// Starts the server, with nothing in it.
    pub fn start(self, count: usize) -> Box<dyn Target> {
        match self {
            Self::File => Box::new(Folder(TempDir::new().expect("a folder"))),
            Self::Directory => {
                let server = OpenLdap::start();
                let of_limit = (0..count).map(|it| format!("limit-{it}"));
                let names: Vec<String> = (0..count).map(host).chain(of_limit).collect();
                server.add_persons(names.iter().map(String::as_str));
                Box::new(server)
            }
            Self::Mail => {
                let security = smtp::Security::Tls;
                Box::new(Smtp::start(&smtp::Setup { security, ..smtp::Setup::default() }))
            }
            Self::Webhook => {
                let secret = SECRET.to_vec();
                Box::new(Receiver::start(&receiver::Setup { secret, ..receiver::Setup::default() }))
            }
            Self::Bus => {
                let server = Nats::start(&nats::Setup::default());
                server.make_stream(STREAM, &["exeunt.>"], -1);
                Box::new(server)
            }
            Self::Sql => Box::new(Postgres::start(exeunt_testbed::authority::Flaw::Nothing)),
            Self::Object => {
                let server = S3::start(&s3::Setup::default());
                server.make_bucket(BUCKET);
                Box::new(server)
            }
        }
    }
}

const STREAM: &str = "EXEUNT";
const BUCKET: &str = "pki";

/// Key of the webhook's signatures, and its base64 by `base64`(1).
const SECRET: &[u8] = b"twenty-four octets or so";
const SECRET_BASE64: &str = "dHdlbnR5LWZvdXIgb2N0ZXRzIG9yIHNv";

/// A file of the CA's owner alone.
fn secret(ca: &Ca, name: &str, content: &str) -> String {
    let path = ca.scratch().join(name);
    fs::write(&path, content).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
    path.display().to_string()
}

fn setting(name: &str, value: impl std::fmt::Display) -> String {
    format!("{name}={value}")
}

/// The folder of the module `file`.
struct Folder(TempDir);

impl Target for Folder {
    fn module(&self) -> &'static str {
        "file"
    }

    fn settings(&self, _ca: &Ca) -> Vec<String> {
        vec![setting("directory", self.0.path().join("published").display())]
    }

    fn check(&mut self, count: usize) {
        let there = fs::read_dir(self.0.path().join("published")).expect("the folder").count();
        assert_eq!(there, count);
    }

    fn limit(&mut self, count: usize) -> Duration {
        limit::python("file", &json!({"folder": self.0.path(), "count": count}))
    }

    fn limit_by(&self) -> &'static str {
        "write, fsync and rename in Python"
    }
}

impl Target for OpenLdap {
    fn module(&self) -> &'static str {
        "directory"
    }

    fn settings(&self, ca: &Ca) -> Vec<String> {
        let password = fs::read_to_string(self.password_file()).expect("the password");
        let users = format!(
            "{{ publish = \"always\", bases = [\"{PEOPLE}\"], filters = [\"(uid={{cn}})\"] }}"
        );
        vec![
            setting("servers", self.tls_url()),
            setting("ca_file", self.authority().certificate().display()),
            setting("bind_dn", PUBLISHER),
            setting("password_file", secret(ca, "password", &password)),
            setting("users", users),
        ]
    }

    fn check(&mut self, count: usize) {
        let last = format!("uid={},{PEOPLE}", host(count - 1));
        assert_eq!(self.values(&last, "userCertificate;binary").len(), 1);
    }

    fn limit(&mut self, count: usize) -> Duration {
        let value = limit::base64(&limit::certificate());
        let change = |it| {
            format!(
                "dn: uid=limit-{it},{PEOPLE}\nchangetype: modify\nadd: userCertificate;binary\n\
                 userCertificate;binary:: {value}\n"
            )
        };
        let ldif = (0..count).map(change).collect::<Vec<_>>().join("\n");
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), ldif).expect("the changes");
        let begun = Instant::now();
        let mut command = self.tool("ldapmodify", PUBLISHER);
        exeunt_testbed::process::run(command.arg("-f").arg(file.path()));
        begun.elapsed()
    }

    fn limit_by(&self) -> &'static str {
        "ldapmodify, which neither looks for the object nor reads back"
    }
}

impl Target for Smtp {
    fn module(&self) -> &'static str {
        "mail"
    }

    fn settings(&self, ca: &Ca) -> Vec<String> {
        vec![
            setting("server", "localhost"),
            setting("port", self.port()),
            setting("security", "tls"),
            setting("ca_file", self.ca_file().display()),
            setting("user", smtp::USER),
            setting("password_file", secret(ca, "password", smtp::PASSWORD)),
            setting("from", "ca@example.test"),
            setting("to", "ops@example.test"),
            setting("EventFilter", 1),
        ]
    }

    fn check(&mut self, count: usize) {
        assert_eq!(self.inbox().len(), count);
    }

    fn limit(&mut self, count: usize) -> Duration {
        let about = json!({
            "port": self.port(), "ca_file": self.ca_file(), "user": smtp::USER,
            "password": smtp::PASSWORD, "count": count,
        });
        limit::python("mail", &about)
    }

    fn limit_by(&self) -> &'static str {
        "smtplib of Python, one connection"
    }
}

impl Target for Receiver {
    fn module(&self) -> &'static str {
        "webhook"
    }

    fn settings(&self, ca: &Ca) -> Vec<String> {
        vec![
            setting("url", format!("{}/hook", self.url())),
            setting("ca_file", self.ca_file().display()),
            setting("secret_file", secret(ca, "key", SECRET_BASE64)),
            setting("allow_networks", "127.0.0.1"),
        ]
    }

    fn check(&mut self, count: usize) {
        assert_eq!(self.received().len(), count);
    }

    fn limit(&mut self, count: usize) -> Duration {
        let about = json!({"port": self.port(), "ca_file": self.ca_file(), "count": count});
        limit::python("webhook", &about)
    }

    fn limit_by(&self) -> &'static str {
        "http.client of Python, four connections, no signature"
    }
}

impl Target for Nats {
    fn module(&self) -> &'static str {
        "bus"
    }

    fn settings(&self, ca: &Ca) -> Vec<String> {
        vec![
            setting("servers", self.url()),
            setting("ca_file", self.ca_file().display()),
            setting("user", nats::USER),
            setting("password_file", secret(ca, "password", nats::PASSWORD)),
        ]
    }

    fn check(&mut self, count: usize) {
        assert_eq!(self.messages(STREAM).len(), count);
    }

    fn limit(&mut self, count: usize) -> Duration {
        let about = json!({
            "url": self.url(), "ca_file": self.ca_file(), "user": nats::USER,
            "password": nats::PASSWORD, "count": count,
        });
        limit::python("bus", &about)
    }

    fn limit_by(&self) -> &'static str {
        "nats-py, 64 publishes in flight"
    }
}

impl Target for Postgres {
    fn module(&self) -> &'static str {
        "sql"
    }

    fn settings(&self, ca: &Ca) -> Vec<String> {
        vec![
            setting("host", "localhost"),
            setting("port", self.port()),
            setting("database", postgres::DATABASE),
            setting("user", postgres::USER),
            setting("password_file", secret(ca, "password", postgres::PASSWORD)),
            setting("ca_file", self.ca_file().display()),
        ]
    }

    fn has_to_be_installed(&self) -> bool {
        true
    }

    fn check(&mut self, count: usize) {
        assert_eq!(self.sql("SELECT count(*) FROM exeunt.certificate"), count.to_string());
    }

    fn limit(&mut self, count: usize) -> Duration {
        // The rows that the module has written, as the server's own tool writes them down.
        let rows = self.dump("exeunt.certificate", 64);
        self.sql("TRUNCATE exeunt.certificate");
        let begun = Instant::now();
        self.run_script(&rows);
        let took = begun.elapsed();
        self.check(count);
        took
    }

    fn limit_by(&self) -> &'static str {
        "psql with what pg_dump wrote, 64 rows a statement"
    }
}

impl Target for S3 {
    fn module(&self) -> &'static str {
        "object"
    }

    fn settings(&self, ca: &Ca) -> Vec<String> {
        vec![
            setting("endpoint", self.url()),
            setting("ca_file", self.ca_file().display()),
            setting("bucket", BUCKET),
            setting("access_key_file", secret(ca, "id", s3::ACCESS_KEY)),
            setting("secret_key_file", secret(ca, "key", s3::SECRET_KEY)),
        ]
    }

    fn check(&mut self, count: usize) {
        let there = self.list(BUCKET);
        assert_eq!(there.keys().filter(|it| it.starts_with("certificates/")).count(), count);
    }

    fn limit(&mut self, count: usize) -> Duration {
        let about = json!({
            "url": self.url(), "ca_file": self.ca_file(), "access_key": s3::ACCESS_KEY,
            "secret_key": s3::SECRET_KEY, "region": s3::REGION, "bucket": BUCKET, "count": count,
        });
        limit::python("object", &about)
    }

    fn limit_by(&self) -> &'static str {
        "boto3, one connection, without reading back"
    }
}
