//! A `RabbitMQ` server with TLS, and the Python client `pika` to look into it.
//!
//! Its node, its files and its port mapper (epmd) are its own, so that one of the machine and those of
//! other tests do not know of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value as Json, json};

use crate::authority::{Authority, Flaw};
use crate::process::{Process, STOP_LIMIT, free_port, listens, run, wait_for};
use crate::python::{ask, base64, octets, text};

/// Where Debian has the programs. Those on PATH change the user before they call these.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// The user that may do everything, in every virtual host.
pub const USER: &str = "exeunt";

/// The user that may publish to the exchange `exeunt` and do nothing else.
pub const PUBLISHER: &str = "publisher";

/// The user that may do nothing.
pub const MUTE: &str = "mute";

/// The password of each of them.
pub const PASSWORD: &str = "correct-horse-42";

/// Largest message that it takes, in octets.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// A message in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its routing key.
    pub routing_key: String,
    /// Its properties by name, those that it has: `message_id`, `content_type`, `headers` and so on.
    pub properties: Json,
    /// Its content.
    pub body: Vec<u8>,
}

impl Message {
    /// The property `message_id`.
    pub fn id(&self) -> String {
        text(&self.properties["message_id"])
    }
}

/// The running server.
#[derive(Debug)]
pub struct RabbitMq {
    // The server ends before the mapper of its ports does.
    process: Process,
    _mapper: Process,
    node: Node,
    folder: tempfile::TempDir,
    authority: Authority,
    /// How many are left.
    vhosts: AtomicUsize,
}

/// What its programs are told of it.
#[derive(Clone, Debug)]
struct Node {
    name: String,
    port: u16,
    port_tls: u16,
    port_of_nodes: u16,
    port_of_mapper: u16,
}

impl RabbitMq {
    /// Starts one with so many virtual hosts: one for each test that shares it, as each takes the
    /// server some time to start. Its certificate may have a flaw.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start(flaw: Flaw, vhosts: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let authority = Authority::new(&folder.path().join("tls"));
        let server = authority.server(flaw);
        let port = free_port();
        let node = Node {
            name: format!("testbed{port}@localhost"),
            port,
            port_tls: free_port(),
            port_of_nodes: free_port(),
            port_of_mapper: free_port(),
        };
        let file = |name: &str| folder.path().join(name);
        let (ca, definitions) = (authority.certificate(), file("definitions.json"));
        let settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\nlisteners.ssl.1 = 127.0.0.1:{}\n\
             ssl_options.cacertfile = {}\nssl_options.certfile = {}\nssl_options.keyfile = {}\n\
             ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = false\n\
             auth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL\n\
             ssl_cert_login_from = common_name\nload_definitions = {}\n\
             disk_free_limit.absolute = 1MB\nmax_message_size = {MESSAGE_BYTES_MAX}\n",
            node.port,
            node.port_tls,
            ca.display(),
            server.certificate.display(),
            server.key.display(),
            definitions.display(),
        );
        fs::write(file("rabbitmq.conf"), settings).expect("settings");
        fs::write(file("plugins"), "[rabbitmq_auth_mechanism_ssl].\n").expect("a list of plugins");
        fs::write(definitions, self::definitions(vhosts).to_string()).expect("definitions");
        let mut mapper = Command::new("epmd");
        mapper.args(["-address", "127.0.0.1", "-port", &node.port_of_mapper.to_string()]);
        let mut mapper = Process::start(&mut mapper, &file("epmd.log"));
        mapper.wait_for_port(node.port_of_mapper);
        let process = launch(&node, folder.path());
        let vhosts = AtomicUsize::new(vhosts);
        Self { process, _mapper: mapper, node, folder, authority, vhosts }
    }

    /// Where it is: `amqps://localhost:PORT`.
    pub fn url(&self) -> String {
        format!("amqps://localhost:{}", self.node.port_tls)
    }

    /// Its port on 127.0.0.1 without TLS.
    pub fn port(&self) -> u16 {
        self.node.port
    }

    /// Certificate to trust, PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.authority.certificate()
    }

    /// The authority, for certificates of clients. Who shows one may be whom its common name says.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A virtual host that no other test has.
    ///
    /// # Panics
    ///
    /// When all are given away.
    pub fn vhost(&self) -> String {
        let left = self.vhosts.fetch_sub(1, Ordering::Relaxed);
        let number = left.checked_sub(1).expect("a virtual host that is left");
        format!("t{number}")
    }

    /// Makes the durable topic exchange `exeunt` and a durable queue `exeunt` that is bound to it with
    /// the key `binding`, `#` for everything; `arguments` are those of the queue, such as
    /// `x-max-length`.
    ///
    /// # Panics
    ///
    /// When they cannot be made.
    pub fn make_queue(&self, vhost: &str, binding: &str, arguments: &Json) {
        self.ask(&json!({
            "do": "make", "vhost": vhost, "binding": binding, "arguments": arguments,
        }));
    }

    /// Publishes as another writer, so often.
    ///
    /// # Panics
    ///
    /// When it is not taken.
    pub fn publish(&self, vhost: &str, routing_key: &str, body: &[u8], count: usize) {
        self.ask(&json!({
            "do": "publish", "vhost": vhost, "routing_key": routing_key, "body": base64(body),
            "count": count,
        }));
    }

    /// Takes everything out of the queue `exeunt`, in order.
    ///
    /// # Panics
    ///
    /// When it cannot be read.
    pub fn take(&self, vhost: &str) -> Vec<Message> {
        let found = self.ask(&json!({ "do": "take", "vhost": vhost }));
        let message = |it: &Json| Message {
            routing_key: text(&it["routing_key"]),
            properties: it["properties"].clone(),
            body: octets(&it["body"]),
        };
        found.as_array().into_iter().flatten().map(message).collect()
    }

    /// How many messages wait in the queue `exeunt`; nothing where there is no such queue.
    ///
    /// # Panics
    ///
    /// When the server does not say.
    pub fn waiting(&self, vhost: &str) -> Option<u64> {
        self.ask(&json!({ "do": "count", "vhost": vhost })).as_u64()
    }

    /// Runs `rabbitmqctl`.
    ///
    /// # Panics
    ///
    /// When it fails, with what it said.
    pub fn control(&self, words: &[&str]) -> String {
        let mut command = self.node.command("rabbitmqctl", self.folder.path());
        String::from_utf8(run(command.args(words))).expect("a text")
    }

    /// Kills it as a failing power supply does. What it has confirmed stays.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub fn kill(&mut self) {
        self.process.kill();
        // What is waited for is a script; the server itself takes a moment to be gone.
        wait_for("the end of the server", STOP_LIMIT, || !listens(self.node.port));
    }

    /// Starts it again after [`RabbitMq::kill`], at the same ports.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn restart(&mut self) {
        self.kill();
        self.process = launch(&self.node, self.folder.path());
    }

    /// The process, to suspend it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn ask(&self, told: &Json) -> Json {
        let mut told = told.clone();
        told["port"] = json!(self.node.port);
        told["user"] = json!(USER);
        told["password"] = json!(PASSWORD);
        ask("rabbitmq_client.py", &told)
    }
}

impl Node {
    fn command(&self, program: &str, folder: &Path) -> Command {
        let mut command = Command::new(Path::new(PROGRAMS).join(program));
        let file = |name: &str| folder.join(name);
        command
            .env("HOME", folder)
            .env("RABBITMQ_CONF_ENV_FILE", file("no-such-file"))
            .env("RABBITMQ_NODENAME", &self.name)
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", self.port_of_nodes.to_string())
            .env("RABBITMQ_MNESIA_BASE", file("mnesia"))
            .env("RABBITMQ_LOG_BASE", file("log"))
            .env("RABBITMQ_CONFIG_FILE", file("rabbitmq"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", file("plugins"))
            .env("RABBITMQ_PID_FILE", file("pid"))
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", self.port_of_mapper.to_string())
            // Nobody outside may talk to the node.
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1",
            );
        command
    }
}

/// Users, virtual hosts and rights, as `rabbitmqctl export_definitions` writes them.
fn definitions(vhosts: usize) -> Json {
    let users =
        [USER, PUBLISHER, MUTE].map(|it| json!({ "name": it, "password": PASSWORD, "tags": "" }));
    let vhosts: Vec<String> = (0..vhosts).map(|it| format!("t{it}")).collect();
    let right = |user: &str, vhost: &str, configure: &str, write: &str, read: &str| json!({ "user": user, "vhost": vhost, "configure": configure, "write": write, "read": read });
    let rights: Vec<Json> = vhosts
        .iter()
        .flat_map(|vhost| {
            [
                right(USER, vhost, ".*", ".*", ".*"),
                right(PUBLISHER, vhost, "^$", "^exeunt$", "^$"),
                right(MUTE, vhost, "^$", "^$", "^$"),
            ]
        })
        .collect();
    let vhosts: Vec<Json> = vhosts.iter().map(|it| json!({ "name": it })).collect();
    json!({ "users": users, "vhosts": vhosts, "permissions": rights })
}

/// What it says when it lets clients in, which is a moment after it listens.
const READY: &str = "completed with";

fn launch(node: &Node, folder: &Path) -> Process {
    let log = folder.join("server.log");
    let times = || fs::read_to_string(&log).unwrap_or_default().matches(READY).count();
    let before = times();
    let mut command = node.command("rabbitmq-server", folder);
    let mut process = Process::start(&mut command, &log);
    process.wait_until(|| before < times() && listens(node.port) && listens(node.port_tls));
    process
}
