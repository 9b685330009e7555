//! What the operator says where the bus speaks AMQP.

use std::{path::PathBuf, time::Duration};

use exeunt_module_kit::manage::{SettingInfo, SettingType};
use exeunt_publication::{settings::Reader, tls::Tls};
use rustls::pki_types::ServerName;

use crate::{
    settings::{SERVERS_MAX, TlsMode},
    subject::Subjects,
};

/// The exchange where nothing is said.
const EXCHANGE_DEFAULT: &str = "exeunt";

/// The routing keys where nothing is said.
const ROUTING_KEY_DEFAULT: &str = "exeunt.{ca}.{event}";

/// The virtual host where nothing is said.
const VHOST_DEFAULT: &str = "/";

/// Longest name of anything, and longest routing key, in octets: a short string of AMQP 0-9-1
/// (section 4.2.5.3).
pub const NAME_BYTES_MAX: usize = 255;

/// The port where none is said (IANA, service `amqp`).
const PORT: u16 = 5672;

/// Likewise with TLS (IANA, service `amqps`).
const PORT_TLS: u16 = 5671;

/// How often both sides say at least that they are there where nothing is said, in seconds.
const HEARTBEAT_DEFAULT_S: u16 = 20;

/// Longest such time, in seconds.
const HEARTBEAT_MAX_S: u16 = 600;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Who the module is for the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// A user with a password: SASL PLAIN.
    User { user: String, password_file: PathBuf },
    /// Whom the client certificate names: SASL EXTERNAL.
    Certificate,
}

/// The settings that AMQP alone has, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amqp {
    /// Where to connect to; tried in order.
    pub servers: Vec<Server>,
    /// The virtual host.
    pub vhost: String,
    /// The exchange that the messages are given to.
    pub exchange: String,
    /// Routing keys of the messages.
    pub routing_key: Subjects,
    /// The queue that `exeunt exit install` makes and binds, and `exeunt exit test` looks for.
    pub queue: Option<String>,
    /// What kind of queue is made.
    pub queue_type: &'static str,
    /// Who the module is.
    pub account: Account,
    /// How often both sides say at least that they are there.
    pub heartbeat: Duration,
}

impl Amqp {
    /// Reads what is AMQP's alone.
    ///
    /// # Errors
    ///
    /// One line for the operator that names the setting.
    pub fn read(reader: &mut Reader<'_>, tls_mode: TlsMode, tls: &Tls) -> Result<Self, String> {
        let servers = servers(reader, tls_mode)?;
        let vhost = reader.text("vhost")?.unwrap_or(VHOST_DEFAULT);
        if NAME_BYTES_MAX < vhost.len()
            || !vhost.bytes().all(|it| it.is_ascii_graphic() && it != b'\'')
        {
            return Err(format!("vhost {vhost:?} has to be ASCII, without blanks and quotes"));
        }
        let exchange = name("exchange", reader.text("exchange")?.unwrap_or(EXCHANGE_DEFAULT))?;
        let routing_key = reader.text("routing_key")?.unwrap_or(ROUTING_KEY_DEFAULT);
        if routing_key.contains('#') {
            return Err(format!("routing_key {routing_key:?}: # stands in bindings only"));
        }
        let routing_key = Subjects::named("routing_key", routing_key)?;
        let queue = reader.text("queue")?.map(|it| name("queue", it)).transpose()?;
        let queue_type = reader
            .choice("queue_type", &[("quorum", "quorum"), ("classic", "classic")])?
            .unwrap_or("quorum");
        let account = account(reader, tls)?;
        let heartbeat = reader
            .seconds("heartbeat_s", 1..=HEARTBEAT_MAX_S.into())?
            .unwrap_or(Duration::from_secs(HEARTBEAT_DEFAULT_S.into()));
        Ok(Self {
            servers,
            vhost: vhost.to_owned(),
            exchange,
            routing_key,
            queue,
            queue_type,
            account,
            heartbeat,
        })
    }
}

/// The name of an exchange or a queue, of the characters that AMQP 0-9-1 names (domains
/// `exchange-name` and `queue-name`).
fn name(setting: &str, text: &str) -> Result<String, String> {
    let plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'.' | b':');
    if text.len() <= NAME_BYTES_MAX && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err(format!("{setting} {text:?} has to be letters, digits, -, _, . and :"))
}

fn servers(reader: &mut Reader<'_>, tls_mode: TlsMode) -> Result<Vec<Server>, String> {
    let Some(servers) = reader.texts("servers")?.filter(|it| !it.is_empty()) else {
        return Err("servers is missing: say where the bus is, amqps://host:5671".to_owned());
    };
    if SERVERS_MAX < servers.len() {
        return Err(format!("servers has more than {SERVERS_MAX} entries"));
    }
    servers.into_iter().map(|text| server(text, tls_mode)).collect()
}

fn server(text: &str, tls_mode: TlsMode) -> Result<Server, String> {
    // Not shown: a password may stand before it.
    if text.contains('@') {
        return Err("servers: say user and password_file, and no @ in an address".to_owned());
    }
    let refused = || format!("servers: {text:?} is no address like amqps://host:5671");
    let (scheme, rest) = text.split_once("://").ok_or_else(refused)?;
    if rest.contains(['/', '?', '#']) {
        return Err(format!("servers: {text:?}: say vhost and the like as settings of their own"));
    }
    let port = match (scheme, tls_mode) {
        ("amqps", TlsMode::Off) => {
            return Err(format!("servers: {text:?} is with TLS, and tls is \"off\""));
        }
        ("amqps", _) => PORT_TLS,
        ("amqp", TlsMode::Off) => PORT,
        ("amqp", _) => {
            return Err(format!(
                "servers: {text:?} is without TLS: say amqps://, or tls = \"off\" as well"
            ));
        }
        _ => return Err(refused()),
    };
    // An address of IPv6 stands in brackets, as it has colons of its own.
    let (host, port) = match rest.strip_prefix('[').and_then(|it| it.split_once(']')) {
        Some((host, "")) => (host, Some(port)),
        Some((host, after)) => (host, after.strip_prefix(':').and_then(|it| it.parse().ok())),
        None => match rest.split_once(':') {
            None => (rest, Some(port)),
            Some((host, port)) => (host, port.parse().ok()),
        },
    };
    let host_is_one = ServerName::try_from(host).is_ok();
    let port = port.filter(|it| *it != 0 && host_is_one).ok_or_else(refused)?;
    Ok(Server { host: host.to_owned(), port })
}

fn account(reader: &mut Reader<'_>, tls: &Tls) -> Result<Account, String> {
    let user = reader.text("user")?.map(str::to_owned);
    let password = reader.text("password_file")?.map(PathBuf::from);
    match (user, password) {
        (Some(user), Some(password_file)) => Ok(Account::User { user, password_file }),
        (None, None) if tls.client.is_some() => Ok(Account::Certificate),
        (None, None) => Err("say user with password_file, or client_certificate_file with \
                             client_key_file to be who the certificate names"
            .to_owned()),
        _ => Err("user and password_file go together".to_owned()),
    }
}

/// What can be set for AMQP alone.
pub fn known() -> Vec<SettingInfo> {
    let info = |name: &str, kind, description: &str, default| SettingInfo {
        name: name.to_owned(),
        kind,
        description: description.to_owned(),
        default,
        required: false,
    };
    let text = |name: &str, description: &str, default: Option<&str>| {
        info(name, SettingType::String, description, default.map(Into::into))
    };
    vec![
        text("vhost", "amqp: the virtual host", Some(VHOST_DEFAULT)),
        text("exchange", "amqp: name of the exchange", Some(EXCHANGE_DEFAULT)),
        text("routing_key", "amqp: routing keys, with fields", Some(ROUTING_KEY_DEFAULT)),
        text("queue", "amqp: a queue that is made and bound, and looked for", None),
        text("queue_type", "amqp: its kind, \"quorum\" or \"classic\"", Some("quorum")),
        info(
            "heartbeat_s",
            SettingType::Long,
            "amqp: how often both sides say at least that they are there",
            Some(HEARTBEAT_DEFAULT_S.into()),
        ),
    ]
}
