//! What the operator says: where to, how, and under which names.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use exeunt_module_kit::{
    exit_event,
    manage::{SettingInfo, SettingType},
};
use exeunt_publication::{
    settings::Reader,
    time::{TIMEOUT_DEFAULT, TIMEOUT_S_MAX},
    tls::{self, Tls},
};
use serde_json::{Map, Value as Json};

use crate::message::{APP_NAME_MAX, HOSTNAME_MAX, LENGTH_MIN};

/// The number that RFC 5612 keeps for examples in documentation.
pub const ENTERPRISE_NUMBER_EXAMPLE: u32 = 32_473;

/// Where the system listens for its own programs.
const LOCAL_PATH: &str = "/dev/log";

/// Longest message where nothing is said: what receivers should take, over TLS and elsewhere
/// (RFC 5425, section 4.3.1; RFC 5424, section 6.1).
const LENGTH_DEFAULT: usize = 8192;
/// The same over UDP (RFC 5426, section 3.2, for networks whose size of a packet nobody knows).
const LENGTH_DEFAULT_UDP: usize = 2048;
/// Longest message at all: what fits into a datagram over IPv4.
const LENGTH_MAX: usize = 65_000;

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TLS (RFC 5425).
    Tls,
    /// TCP, each message with its length before it (RFC 6587, section 3.4.1).
    Tcp,
    /// UDP (RFC 5426).
    Udp,
    /// Datagrams to a socket of this machine.
    Unix,
}

/// When a message counts as accepted, over TLS and TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// When the server has read all of a batch to its end and closed the connection.
    Close,
    /// The same, with the farewell of TLS, which only a living server can say.
    Farewell,
    /// When it is written to the connection, which is kept.
    Written,
}

/// RFC 5424, section 6.2.1, table 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(u8);

impl Facility {
    /// Their words, as everybody's configuration has them, with their numbers.
    const WORDS: [(&str, u8); 20] = [
        ("kern", 0),
        ("user", 1),
        ("mail", 2),
        ("daemon", 3),
        ("auth", 4),
        ("syslog", 5),
        ("lpr", 6),
        ("news", 7),
        ("uucp", 8),
        ("cron", 9),
        ("authpriv", 10),
        ("ftp", 11),
        ("local0", 16),
        ("local1", 17),
        ("local2", 18),
        ("local3", 19),
        ("local4", 20),
        ("local5", 21),
        ("local6", 22),
        ("local7", 23),
    ];

    /// Security and authorization, for the eyes of administrators.
    const AUTHPRIV: Self = Self(10);

    /// Its number.
    pub fn number(self) -> u8 {
        self.0
    }

    fn words() -> Vec<(&'static str, Self)> {
        Self::WORDS.iter().map(|(word, number)| (*word, Self(*number))).collect()
    }
}

/// RFC 5424, section 6.2.1, table 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// 0
    Emerg,
    /// 1
    Alert,
    /// 2
    Crit,
    /// 3
    Err,
    /// 4
    Warning,
    /// 5
    Notice,
    /// 6
    Info,
    /// 7
    Debug,
}

impl Severity {
    const WORDS: [(&str, Self); 8] = [
        ("emerg", Self::Emerg),
        ("alert", Self::Alert),
        ("crit", Self::Crit),
        ("err", Self::Err),
        ("warning", Self::Warning),
        ("notice", Self::Notice),
        ("info", Self::Info),
        ("debug", Self::Debug),
    ];

    /// Its number.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// The settings, checked but for the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How messages travel.
    pub transport: Transport,
    /// Name or address of the server; empty for a local socket.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The local socket.
    pub path: PathBuf,
    /// When a message counts as accepted.
    pub confirm: Confirm,
    /// How long connecting, writing and closing may take together.
    pub timeout: Option<Duration>,
    /// Facility of all events but those of the next.
    pub facility: Facility,
    /// Facilities by the event's word.
    pub facilities: BTreeMap<String, Facility>,
    /// Severities by the event's word, where they are not ours.
    pub severities: BTreeMap<String, Severity>,
    /// `APP-NAME`.
    pub app_name: String,
    /// `HOSTNAME`; `None` takes what the CA calls its machine.
    pub hostname: Option<String>,
    /// Private enterprise number in the name of the structured data.
    pub enterprise_number: u32,
    /// Longest message, in octets.
    pub length_max: usize,
    /// Whom to trust, and what to show.
    pub tls: Tls,
}

impl Settings {
    /// Reads the settings as the operator wrote them.
    ///
    /// # Errors
    ///
    /// One line for the operator that names the setting.
    pub fn read(written: &Map<String, Json>) -> Result<Self, String> {
        let mut reader = Reader::new(written);
        let transports = [
            ("tls", Transport::Tls),
            ("tcp", Transport::Tcp),
            ("udp", Transport::Udp),
            ("unix", Transport::Unix),
        ];
        let transport = reader.choice("transport", &transports)?.unwrap_or(Transport::Tls);
        let (server, path) = (reader.text("server")?, reader.text("path")?);
        let (host, port) = match (transport, server, path) {
            (Transport::Unix, None, _) => (String::new(), 0),
            (Transport::Unix, Some(_), _) => {
                return Err("server and transport \"unix\" do not go together".to_owned());
            }
            (_, _, Some(_)) => return Err("path is for transport \"unix\" alone".to_owned()),
            (_, None, None) => return Err("server is missing: say where messages go".to_owned()),
            (_, Some(server), None) => host_and_port(server, transport)?,
        };
        let confirms = [
            ("close", Confirm::Close),
            ("farewell", Confirm::Farewell),
            ("written", Confirm::Written),
        ];
        let stream = matches!(transport, Transport::Tls | Transport::Tcp);
        let confirm = reader.choice("confirm", &confirms)?;
        if confirm.is_some() && !stream {
            return Err("confirm is for transports \"tls\" and \"tcp\" alone".to_owned());
        }
        if confirm == Some(Confirm::Farewell) && transport != Transport::Tls {
            return Err("confirm \"farewell\" is for transport \"tls\" alone".to_owned());
        }
        let facility = reader.choice("facility", &Facility::words())?;
        let facilities = by_event(&mut reader, "facilities", &Facility::words())?;
        let severities = by_event(&mut reader, "severities", &Severity::WORDS)?;
        let number = reader.number("enterprise_number", 1..=u32::MAX.into())?;
        let length_default =
            if transport == Transport::Udp { LENGTH_DEFAULT_UDP } else { LENGTH_DEFAULT };
        let bound = |it: usize| u64::try_from(it).unwrap_or(u64::MAX);
        let length = reader.number("length_max", bound(LENGTH_MIN)..=bound(LENGTH_MAX))?;
        let settings = Self {
            transport,
            host,
            port,
            path: PathBuf::from(path.unwrap_or(LOCAL_PATH)),
            confirm: confirm.unwrap_or(Confirm::Close),
            timeout: reader.seconds("timeout_s", 1..=TIMEOUT_S_MAX)?,
            facility: facility.unwrap_or(Facility::AUTHPRIV),
            facilities,
            severities,
            app_name: field(&mut reader, "app_name", APP_NAME_MAX)?
                .unwrap_or_else(|| "exeunt".to_owned()),
            hostname: field(&mut reader, "hostname", HOSTNAME_MAX)?,
            enterprise_number: number
                .and_then(|it| u32::try_from(it).ok())
                .unwrap_or(ENTERPRISE_NUMBER_EXAMPLE),
            length_max: length.and_then(|it| usize::try_from(it).ok()).unwrap_or(length_default),
            tls: Tls::read(&mut reader)?,
        };
        reader.finish()?;
        if settings.tls.is_set() && transport != Transport::Tls {
            return Err("settings of TLS are for transport \"tls\" alone".to_owned());
        }
        Ok(settings)
    }

    /// Whether a server has to say farewell.
    pub fn farewell(&self) -> bool {
        self.confirm == Confirm::Farewell
    }

    /// Where messages go, for people.
    pub fn place(&self) -> String {
        let (host, port) = (&self.host, self.port);
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        match self.transport {
            Transport::Tls => format!("{host}:{port} (TLS)"),
            Transport::Tcp => format!("{host}:{port} (TCP)"),
            Transport::Udp => format!("{host}:{port} (UDP)"),
            Transport::Unix => self.path.display().to_string(),
        }
    }
}

/// What can be set, for whoever asks before setting it.
pub fn known() -> Vec<SettingInfo> {
    let info = SettingInfo::new;
    let (text, number) = (SettingType::String, SettingType::Long);
    let table = SettingType::Object;
    let mut known = vec![
        info("transport", text, "\"tls\", \"tcp\", \"udp\" or \"unix\"", Some("tls".into())),
        info("server", text, "name or address of the server, and perhaps :port", None),
        info("path", text, "socket of the transport \"unix\"", Some(LOCAL_PATH.into())),
        info(
            "confirm",
            text,
            "accepted when the server has read to the end: \"close\", \"farewell\"; or when \"written\"",
            Some("close".into()),
        ),
        info(
            "timeout_s",
            number,
            "how long a batch may take, in seconds",
            Some(TIMEOUT_DEFAULT.as_secs().into()),
        ),
        info("facility", text, "facility of all events", Some("authpriv".into())),
        info("facilities", table, "facilities of single events, by their words", None),
        info("severities", table, "severities of single events, by their words", None),
        info("app_name", text, "APP-NAME", Some("exeunt".into())),
        info("hostname", text, "HOSTNAME; else what the CA calls its machine", None),
        info(
            "enterprise_number",
            number,
            "your private enterprise number; the default is one for examples",
            Some(ENTERPRISE_NUMBER_EXAMPLE.into()),
        ),
        info(
            "length_max",
            number,
            "longest message, in octets; over UDP 2048",
            Some(LENGTH_DEFAULT.into()),
        ),
    ];
    known.extend(tls::known());
    known
}

fn host_and_port(server: &str, transport: Transport) -> Result<(String, u16), String> {
    let refused = || format!("server {server:?} is no name or address, with :port or without");
    let default = match transport {
        // RFC 5425, section 4.1.
        Transport::Tls => 6514,
        // No port is registered for TCP; everybody uses that of UDP (RFC 5426, section 3.3).
        Transport::Tcp | Transport::Udp | Transport::Unix => 514,
    };
    let (host, port) = if let Some(rest) = server.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(refused)?;
        (host, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some("")))
    } else if server.matches(':').count() == 1 {
        server.split_once(':').map(|(host, port)| (host, Some(port))).ok_or_else(refused)?
    } else {
        (server, Some(""))
    };
    let port = match port {
        Some("") if !server.ends_with(':') => default,
        Some(text) => text.parse().ok().filter(|it| *it != 0).ok_or_else(refused)?,
        None => return Err(refused()),
    };
    let good = |it: u8| it.is_ascii_alphanumeric() || b"-._:%".contains(&it);
    if host.is_empty() || HOSTNAME_MAX < host.len() || !host.bytes().all(good) {
        return Err(refused());
    }
    Ok((host.to_owned(), port))
}

/// A table from words of events to one of a few words.
fn by_event<T: Clone>(
    reader: &mut Reader<'_>,
    setting: &str,
    words: &[(&str, T)],
) -> Result<BTreeMap<String, T>, String> {
    let mut found = BTreeMap::new();
    let Some(mut table) = reader.table(setting)? else { return Ok(found) };
    for (_, word) in exit_event::WORDS {
        if let Some(it) = table.choice(word, words)? {
            found.insert(word.to_owned(), it);
        }
    }
    table.finish()?;
    Ok(found)
}

/// A field of the header: visible ASCII.
fn field(reader: &mut Reader<'_>, setting: &str, most: usize) -> Result<Option<String>, String> {
    let text = reader.text(setting)?;
    if let Some(text) = text
        && (most < text.len() || !text.bytes().all(|it| it.is_ascii_graphic()))
    {
        return Err(format!("{setting} has to be at most {most} visible characters of ASCII"));
    }
    Ok(text.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(settings: &Json) -> Result<Settings, String> {
        Settings::read(settings.as_object().unwrap())
    }

    #[test]
    fn servers_have_the_port_of_their_transport() {
        for (transport, server, host, port) in [
            ("tls", "log.example.com", "log.example.com", 6514),
            ("tcp", "log.example.com", "log.example.com", 514),
            ("udp", "192.0.2.1:5514", "192.0.2.1", 5514),
            ("tls", "[2001:db8::1]:7000", "2001:db8::1", 7000),
            ("tls", "[2001:db8::1]", "2001:db8::1", 6514),
            ("tls", "2001:db8::1", "2001:db8::1", 6514),
        ] {
            let it = read(&json!({"transport": transport, "server": server})).unwrap();
            assert_eq!((it.host.as_str(), it.port), (host, port));
        }
        let it = read(&json!({"transport": "unix"})).unwrap();
        assert_eq!(it.place(), "/dev/log");
        let udp = read(&json!({"transport": "udp", "server": "a"})).unwrap();
        assert_eq!((udp.length_max, it.length_max), (2048, 8192));
    }

    #[test]
    fn every_known_setting_is_read() {
        let values = json!({
            "transport": "tls", "server": "log.example.com", "confirm": "written", "timeout_s": 5,
            "facility": "local7", "facilities": {"issued": "auth"},
            "severities": {"crl-publication-failed": "emerg"}, "app_name": "ca",
            "hostname": "ca.example.com", "enterprise_number": 1, "length_max": 480, "ca_file": "a",
        });
        let it = read(&values).unwrap();
        assert_eq!((it.confirm, it.length_max), (Confirm::Written, 480));
        assert_eq!(it.timeout, Some(Duration::from_secs(5)));
        let names: Vec<String> = known().into_iter().map(|it| it.name).collect();
        assert!(values.as_object().unwrap().keys().all(|it| names.contains(it)), "{names:?}");
        assert_eq!(Facility::WORDS.len(), 20);
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        for (settings, said) in [
            (json!({}), "server is missing"),
            (json!({"server": ""}), "server has to be"),
            (json!({"server": "a:"}), "no name or address"),
            (json!({"server": "a:0"}), "no name or address"),
            (json!({"server": "a:65536"}), "no name or address"),
            (json!({"server": "[::1"}), "no name or address"),
            (json!({"server": "[::1]x"}), "no name or address"),
            (json!({"server": "a b"}), "no name or address"),
            (json!({"server": "a", "transport": "relp"}), "transport has to be"),
            (json!({"server": "a", "transport": "unix"}), "do not go together"),
            (json!({"server": "a", "path": "/dev/log"}), "\"unix\" alone"),
            (json!({"server": "a", "transport": "udp", "confirm": "close"}), "confirm is for"),
            (json!({"server": "a", "transport": "tcp", "ca_file": "a"}), "settings of TLS"),
            (json!({"server": "a", "transport": "tcp", "confirm": "farewell"}), "\"tls\" alone"),
            (json!({"server": "a", "facility": "clock"}), "facility has to be"),
            (json!({"server": "a", "severities": {"issud": "info"}}), "severities.issud"),
            (json!({"server": "a", "severities": {"issued": "loud"}}), "severities.issued"),
            (json!({"server": "a", "app_name": "a b"}), "app_name has to be"),
            (json!({"server": "a", "length_max": 479}), "length_max has to be"),
            (json!({"server": "a", "enterprise_number": 0}), "enterprise_number has to be"),
        ] {
            let err = read(&settings).unwrap_err();
            assert!(err.contains(said), "{settings}: {err}");
        }
    }
}
