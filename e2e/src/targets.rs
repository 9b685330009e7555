//! Real servers that modules publish to, for benchmarks: what has to be in each before the first event,
//! and the settings of the module.
//!
//! The port is the caller's to choose, because a proxy may stand before the server.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use exeunt_testbed::authority::Flaw;
use exeunt_testbed::nats::{self, Nats};
use exeunt_testbed::openldap::{self, OpenLdap};
use exeunt_testbed::postgres::{self, Postgres};
use exeunt_testbed::process::{Process, free_port};
use exeunt_testbed::rabbitmq::{self, RabbitMq};
use exeunt_testbed::receiver::{self, Receiver};
use exeunt_testbed::s3::{self, S3};
use exeunt_testbed::samba::{self, ActiveDirectory};
use exeunt_testbed::smtp::{self, Smtp};
use tempfile::TempDir;

use crate::ca::Ca;

/// A kind of target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// `OpenLDAP`, over TLS
    Openldap,
    /// Samba as an Active Directory domain controller, over TLS
    Samba,
    /// A folder of files
    File,
    /// A mail server, over TLS, with a password
    Mail,
    /// A web server, over TLS, with signatures
    Webhook,
    /// NATS with `JetStream`, over TLS
    Nats,
    /// `RabbitMQ`, over TLS
    Amqp,
    /// `PostgreSQL`, over TLS
    Sql,
    /// An S3-compatible bucket, over TLS
    Object,
    /// rsyslog, over TCP
    Syslog,
    /// A program that is run for each event
    Command,
}

/// A target that is there.
#[derive(Debug)]
pub enum Target {
    /// `OpenLDAP`.
    OpenLdap(OpenLdap),
    /// Samba.
    Samba(ActiveDirectory),
    /// A folder, below this one.
    File(TempDir),
    /// A mail server.
    Mail(Smtp),
    /// A web server.
    Webhook(Receiver),
    /// NATS.
    Nats(Nats),
    /// `RabbitMQ`, and the virtual host.
    Amqp(RabbitMq, String),
    /// `PostgreSQL`.
    Sql(Postgres),
    /// A bucket.
    Object(S3),
    /// rsyslog.
    Syslog(Rsyslog),
    /// Programs, in this folder.
    Command(TempDir),
}

/// The stream of NATS, and the subjects in it.
pub const STREAM: &str = "EXEUNT";

/// The bucket.
pub const BUCKET: &str = "pki";

/// Key of the webhook's signatures, and its base64 by `base64`(1).
const SECRET: &[u8] = b"twenty-four octets or so";
const SECRET_BASE64: &str = "dHdlbnR5LWZvdXIgb2N0ZXRzIG9yIHNv";

/// Name of the program of [`Target::Command`].
pub const PROGRAM: &str = "told";

impl Kind {
    /// The word for it on the command line.
    ///
    /// # Panics
    ///
    /// Never: every kind has one.
    pub fn word(self) -> String {
        self.to_possible_value().expect("BUG: every kind has a word").get_name().to_owned()
    }

    /// Starts the server, with nothing in it but people of these names; nothing where the system does
    /// not let it.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start(self, people: &[String]) -> Option<Target> {
        let folder = || TempDir::new().expect("a folder");
        Some(match self {
            Self::Openldap => {
                let server = OpenLdap::start();
                server.add_persons(people.iter().map(String::as_str));
                Target::OpenLdap(server)
            }
            Self::Samba => {
                let server = ActiveDirectory::start()?;
                server.add_persons(people.iter().map(String::as_str));
                Target::Samba(server)
            }
            Self::File => Target::File(folder()),
            Self::Mail => {
                let security = smtp::Security::Tls;
                Target::Mail(Smtp::start(&smtp::Setup { security, ..smtp::Setup::default() }))
            }
            Self::Webhook => {
                let secret = SECRET.to_vec();
                let setup = receiver::Setup { secret, ..receiver::Setup::default() };
                Target::Webhook(Receiver::start(&setup))
            }
            Self::Nats => {
                let server = Nats::start(&nats::Setup::default());
                server.make_stream(STREAM, &["exeunt.>"], -1);
                Target::Nats(server)
            }
            Self::Amqp => {
                let server = RabbitMq::start(Flaw::Nothing, 1);
                let vhost = server.vhost();
                server.make_queue(&vhost, "#", &serde_json::json!({}));
                Target::Amqp(server, vhost)
            }
            Self::Sql => Target::Sql(Postgres::start(Flaw::Nothing)),
            Self::Object => {
                let server = S3::start(&s3::Setup::default());
                server.make_bucket(BUCKET);
                Target::Object(server)
            }
            Self::Syslog => Target::Syslog(Rsyslog::start()),
            Self::Command => {
                let folder = folder();
                let program = folder.path().join(PROGRAM);
                write_program(&program, "exit 0");
                Target::Command(folder)
            }
        })
    }
}

impl Target {
    /// The module that publishes there.
    pub fn module(&self) -> &'static str {
        match self {
            Self::OpenLdap(_) | Self::Samba(_) => "directory",
            Self::File(_) => "file",
            Self::Mail(_) => "mail",
            Self::Webhook(_) => "webhook",
            Self::Nats(_) | Self::Amqp(..) => "bus",
            Self::Sql(_) => "sql",
            Self::Object(_) => "object",
            Self::Syslog(_) => "syslog",
            Self::Command(_) => "command",
        }
    }

    /// The server's port on 127.0.0.1, if it is one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::OpenLdap(server) => Some(server.tls_port()),
            Self::Samba(server) => Some(server.tls_port()),
            Self::Mail(server) => Some(server.port()),
            Self::Webhook(server) => Some(server.port()),
            Self::Nats(server) => Some(server.port()),
            Self::Amqp(server, _) => Some(amqp_port(server)),
            Self::Sql(server) => Some(server.port()),
            Self::Object(server) => Some(server.port()),
            Self::Syslog(server) => Some(server.port()),
            Self::File(_) | Self::Command(_) => None,
        }
    }

    /// Adds the module `name` to a server, told of certificates alone, with the target at that port;
    /// and makes what the module wants to be there.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub fn add_to(&self, ca: &Ca, name: &str, port: Option<u16>) {
        let settings = self.settings(ca, port.unwrap_or_default());
        ca.add_exit(&[name, "--events", "issued", "--use", self.module()], &settings);
    }

    /// The module's settings, as `--set` takes them.
    fn settings(&self, ca: &Ca, port: u16) -> Vec<String> {
        let path = |name: &str, path: PathBuf| format!("{name}={}", path.display());
        let text = |name: &str, value: &str| format!("{name}={value}");
        let password = |file: PathBuf| {
            let password = fs::read_to_string(file).expect("the password");
            text("password_file", &ca.secret("password", &password))
        };
        match self {
            Self::OpenLdap(server) => {
                let people = openldap::PEOPLE;
                vec![
                    format!("servers=ldaps://localhost:{port}"),
                    path("ca_file", server.authority().certificate()),
                    text("bind_dn", openldap::PUBLISHER),
                    password(server.password_file()),
                    format!(
                        "users={{ publish = \"always\", bases = [\"{people}\"], \
                         filters = [\"(uid={{cn}})\"] }}"
                    ),
                ]
            }
            Self::Samba(server) => {
                let people = samba::USERS;
                vec![
                    format!("servers=ldaps://localhost:{port}"),
                    path("ca_file", server.authority().certificate()),
                    text("bind_dn", samba::PUBLISHER),
                    password(server.password_file()),
                    format!(
                        "users={{ publish = \"always\", bases = [\"{people}\"], \
                         filters = [\"(sAMAccountName={{cn}})\"] }}"
                    ),
                ]
            }
            Self::File(folder) => vec![path("directory", folder.path().join("published"))],
            Self::Mail(server) => vec![
                text("server", "localhost"),
                format!("port={port}"),
                text("security", "tls"),
                path("ca_file", server.ca_file()),
                text("user", smtp::USER),
                text("password_file", &ca.secret("password", smtp::PASSWORD)),
                text("from", "ca@example.test"),
                text("to", "ops@example.test"),
                text("EventFilter", "1"),
            ],
            Self::Webhook(server) => vec![
                format!("url=https://localhost:{port}/hook"),
                path("ca_file", server.ca_file()),
                text("secret_file", &ca.secret("key", SECRET_BASE64)),
                text("allow_networks", "127.0.0.1"),
            ],
            Self::Nats(server) => vec![
                format!("servers=tls://localhost:{port}"),
                path("ca_file", server.ca_file()),
                text("user", nats::USER),
                text("password_file", &ca.secret("password", nats::PASSWORD)),
            ],
            Self::Amqp(server, vhost) => vec![
                text("protocol", "amqp"),
                format!("servers=amqps://localhost:{port}"),
                path("ca_file", server.ca_file()),
                text("vhost", vhost),
                text("user", rabbitmq::USER),
                text("password_file", &ca.secret("password", rabbitmq::PASSWORD)),
            ],
            Self::Sql(server) => vec![
                text("host", "localhost"),
                format!("port={port}"),
                text("database", postgres::DATABASE),
                text("user", postgres::USER),
                text("password_file", &ca.secret("password", postgres::PASSWORD)),
                path("ca_file", server.ca_file()),
            ],
            Self::Object(server) => vec![
                format!("endpoint=https://localhost:{port}"),
                path("ca_file", server.ca_file()),
                text("bucket", BUCKET),
                text("access_key_file", &ca.secret("id", s3::ACCESS_KEY)),
                text("secret_key_file", &ca.secret("key", s3::SECRET_KEY)),
            ],
            Self::Syslog(_) => {
                vec![format!("server=127.0.0.1:{port}"), text("transport", "tcp")]
            }
            Self::Command(folder) => {
                vec![format!("program=[\"{}\"]", folder.path().join(PROGRAM).display())]
            }
        }
    }
}

/// The port for TLS of `RabbitMQ`.
///
/// # Panics
///
/// Never: its address ends with it.
pub fn amqp_port(server: &RabbitMq) -> u16 {
    let url = server.url();
    url.rsplit_once(':').and_then(|it| it.1.parse().ok()).expect("BUG: amqps://localhost:PORT")
}

/// Writes a shell script, in the place of what was there.
///
/// # Panics
///
/// When it cannot be written.
pub fn write_program(path: &Path, does: &str) {
    // By another name first: a program that runs cannot be written.
    let beside = path.with_extension("new");
    fs::write(&beside, format!("#!/bin/sh\n{does}\n")).expect("a program");
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).expect("its mode");
    fs::rename(beside, path).expect("the program in its place");
}

/// rsyslog that writes messages down as they came.
#[derive(Debug)]
pub struct Rsyslog {
    folder: TempDir,
    port: u16,
    _process: Process,
}

impl Rsyslog {
    fn start() -> Self {
        let folder = TempDir::new().expect("a folder for the server");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let port = free_port();
        let settings = format!(
            "global(workDirectory=\"{}\" maxMessageSize=\"64k\")\n\
             module(load=\"imptcp\")\n\
             input(type=\"imptcp\" address=\"127.0.0.1\" port=\"{port}\")\n\
             template(name=\"raw\" type=\"string\" string=\"%rawmsg%\\n\")\n\
             action(type=\"omfile\" file=\"{}\" template=\"raw\")\n",
            folder.path().display(),
            path("received"),
        );
        fs::write(path("rsyslog.conf"), settings).expect("the settings");
        // The PATH of users leaves it out.
        let program = "/usr/sbin/rsyslogd";
        let program = if Path::new(program).exists() { program } else { "rsyslogd" };
        let mut command = Command::new(program);
        command.args(["-n", "-f", &path("rsyslog.conf"), "-i", &path("pid")]);
        let mut process = Process::start(&mut command, &folder.path().join("log"));
        process.wait_for_port(port);
        Self { folder, port, _process: process }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has written down, a line for each message.
    pub fn received(&self) -> String {
        let octets = fs::read(self.folder.path().join("received")).unwrap_or_default();
        String::from_utf8_lossy(&octets).into_owned()
    }
}
