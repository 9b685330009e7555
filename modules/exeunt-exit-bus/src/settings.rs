//! What the operator says: which protocol, and for NATS servers, stream, subjects, and who the module is
//! there. What AMQP alone has is in `amqp::settings`.

use std::{path::PathBuf, time::Duration};

use async_nats::ServerAddr;
use exeunt_module_kit::manage::{SettingInfo, SettingType};
use exeunt_publication::{
    settings::Reader,
    time::TIMEOUT_S_MAX,
    tls::{self, Tls},
};

use crate::{
    amqp::settings::{self as amqp, Amqp},
    subject::Subjects,
};

/// The stream where nothing is said.
const STREAM_DEFAULT: &str = "EXEUNT";

/// The subjects where nothing is said.
const SUBJECT_DEFAULT: &str = "exeunt.{ca}.{event}";

/// Most servers that are tried one after the other.
pub const SERVERS_MAX: usize = 16;

/// Longest name of a stream, in octets: it becomes the name of a folder.
pub const STREAM_NAME_BYTES_MAX: usize = 255;

/// How long a batch may take where nothing is said, in seconds. The deadline of the host cuts it.
const TIMEOUT_DEFAULT_S: u64 = 10;

/// How long a stream that is made here recognises an event that comes again, in seconds: a day, so
/// that an outage over night leaves no event twice.
const DUPLICATE_WINDOW_DEFAULT_S: u64 = 24 * 60 * 60;

/// Longest such time, in seconds: thirty days. The server keeps every id of it in memory.
const DUPLICATE_WINDOW_MAX_S: u64 = 30 * 24 * 60 * 60;

/// Most copies of a stream that a cluster of NATS keeps.
const REPLICAS_MAX: u64 = 5;

/// How an event stands in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything in the body, as one JSON object.
    Structured,
    /// Attributes in headers, the data in the body.
    Binary,
}

/// Whether TLS is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// After the server's greeting, and nothing is said without.
    Required,
    /// Before the server's greeting.
    First,
    /// Not unless the server demands it.
    Off,
}

/// Who the module is for the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// Nobody, or whom the client certificate names.
    None,
    /// A user with a password.
    User { user: String, password_file: PathBuf },
    /// A token.
    Token { token_file: PathBuf },
    /// The seed of an nkey.
    Nkey { nkey_file: PathBuf },
    /// A JWT and its nkey, as `nsc` writes them.
    Credentials { credentials_file: PathBuf },
}

/// The settings, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How an event stands in a message.
    pub mode: Mode,
    /// The attribute `source`; made of the CA's name where it is left out.
    pub source: Option<String>,
    /// Whether TLS is spoken.
    pub tls_mode: TlsMode,
    /// Whom to trust, and what to show.
    pub tls: Tls,
    /// How long a batch may take.
    pub timeout: Duration,
    /// What the bus speaks, and what there is of it alone.
    pub bus: Bus,
}

/// What a bus speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bus {
    /// NATS with `JetStream`.
    Nats(Nats),
    /// AMQP 0-9-1.
    Amqp(Amqp),
}

/// The settings that NATS alone has, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nats {
    /// Where to connect to; tried in order.
    pub servers: Vec<ServerAddr>,
    /// Name of the stream.
    pub stream: String,
    /// Subjects of the messages.
    pub subject: Subjects,
    /// Who the module is.
    pub account: Account,
    /// Start of the subjects on which the server answers.
    pub inbox_prefix: Option<String>,
    /// How long a stream that is made here recognises an event that comes again.
    pub duplicate_window: Duration,
    /// How many copies a stream that is made here has.
    pub replicas: usize,
}

impl Settings {
    /// Reads the settings as the operator wrote them.
    ///
    /// # Errors
    ///
    /// One line for the operator that names the setting.
    pub fn read(written: &serde_json::Map<String, serde_json::Value>) -> Result<Self, String> {
        let mut reader = Reader::new(written);
        let is_amqp = match reader.text("protocol")? {
            None | Some("nats") => false,
            Some("amqp") => true,
            Some("kafka") => {
                return Err("protocol \"kafka\" is not spoken by this version; there are \
                            \"nats\" and \"amqp\""
                    .to_owned());
            }
            Some(other) => {
                return Err(format!(
                    "protocol {other:?} is unknown; there are \"nats\" and \"amqp\""
                ));
            }
        };
        let mode = reader
            .choice("mode", &[("structured", Mode::Structured), ("binary", Mode::Binary)])?
            .unwrap_or(Mode::Structured);
        let source = reader.text("source")?.map(str::to_owned);
        if source.as_ref().is_some_and(|it| !it.bytes().all(|it| it.is_ascii_graphic())) {
            return Err("source has to be a URI, in ASCII and without blanks".to_owned());
        }
        let modes =
            [("required", TlsMode::Required), ("first", TlsMode::First), ("off", TlsMode::Off)];
        let tls_mode = reader.choice("tls", &modes)?.unwrap_or(TlsMode::Required);
        if is_amqp && tls_mode == TlsMode::First {
            return Err("tls \"first\" is for NATS: in AMQP TLS always comes first".to_owned());
        }
        let tls = Tls::read(&mut reader)?;
        if tls_mode == TlsMode::Off && tls.is_set() {
            return Err("tls is \"off\", and yet something is said about certificates".to_owned());
        }
        let timeout = reader
            .seconds("timeout_s", 1..=TIMEOUT_S_MAX)?
            .unwrap_or(Duration::from_secs(TIMEOUT_DEFAULT_S));
        let bus = if is_amqp {
            Bus::Amqp(Amqp::read(&mut reader, tls_mode, &tls)?)
        } else {
            Bus::Nats(Nats::read(&mut reader)?)
        };
        reader.finish()?;
        Ok(Self { mode, source, tls_mode, tls, timeout, bus })
    }
}

impl Nats {
    fn read(reader: &mut Reader<'_>) -> Result<Self, String> {
        let servers = servers(reader)?;
        let stream = reader.text("stream")?.unwrap_or(STREAM_DEFAULT);
        if STREAM_NAME_BYTES_MAX < stream.len()
            || !stream.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_'))
        {
            return Err(format!("stream {stream:?} has to be letters, digits, - and _"));
        }
        let subject = reader.text("subject")?.unwrap_or(SUBJECT_DEFAULT);
        let subject = Subjects::named("subject", subject)?;
        let account = account(reader)?;
        let inbox_prefix = reader.text("inbox_prefix")?.map(str::to_owned);
        if let Some(prefix) = &inbox_prefix
            && (Subjects::named("inbox_prefix", prefix).is_err() || prefix.contains('{'))
        {
            return Err(format!("inbox_prefix {prefix:?} is no subject"));
        }
        let duplicate_window = reader
            .seconds("duplicate_window_s", 1..=DUPLICATE_WINDOW_MAX_S)?
            .unwrap_or(Duration::from_secs(DUPLICATE_WINDOW_DEFAULT_S));
        let replicas = reader.number("replicas", 1..=REPLICAS_MAX)?.unwrap_or(1);
        let replicas = usize::try_from(replicas).unwrap_or(1);
        Ok(Self {
            servers,
            stream: stream.to_owned(),
            subject,
            account,
            inbox_prefix,
            duplicate_window,
            replicas,
        })
    }
}

fn servers(reader: &mut Reader<'_>) -> Result<Vec<ServerAddr>, String> {
    let Some(servers) = reader.texts("servers")?.filter(|it| !it.is_empty()) else {
        return Err("servers is missing: say where the bus is, nats://host:4222".to_owned());
    };
    if SERVERS_MAX < servers.len() {
        return Err(format!("servers has more than {SERVERS_MAX} entries"));
    }
    servers
        .into_iter()
        .map(|text| {
            // Not shown: a password may stand before it.
            if text.contains('@') {
                return Err(
                    "servers: say user and password_file, and no @ in an address".to_owned()
                );
            }
            let refused = || format!("servers: {text:?} is no address like nats://host:4222");
            let server: ServerAddr = text.parse().map_err(|_| refused())?;
            let known = matches!(server.scheme(), "nats" | "tls") && !server.host().is_empty();
            known.then_some(server).ok_or_else(refused)
        })
        .collect()
}

fn account(reader: &mut Reader<'_>) -> Result<Account, String> {
    let user = reader.text("user")?.map(str::to_owned);
    let mut file = |name| Ok::<_, String>(reader.text(name)?.map(PathBuf::from));
    let (password, token) = (file("password_file")?, file("token_file")?);
    let (nkey, credentials) = (file("nkey_file")?, file("credentials_file")?);
    match (user, password, token, nkey, credentials) {
        (None, None, None, None, None) => Ok(Account::None),
        (Some(user), Some(password_file), None, None, None) => {
            Ok(Account::User { user, password_file })
        }
        (None, None, Some(token_file), None, None) => Ok(Account::Token { token_file }),
        (None, None, None, Some(nkey_file), None) => Ok(Account::Nkey { nkey_file }),
        (None, None, None, None, Some(credentials_file)) => {
            Ok(Account::Credentials { credentials_file })
        }
        _ => Err("say one of user with password_file, token_file, nkey_file and credentials_file"
            .to_owned()),
    }
}

/// Whether a setting is AMQP's alone.
pub fn is_of_amqp(name: &str) -> bool {
    amqp::known().iter().any(|it| it.name == name)
}

/// What can be set, for whoever asks before setting it.
pub fn known() -> Vec<SettingInfo> {
    let info = SettingInfo::new;
    let text = |name: &str, description: &str, default: Option<&str>| {
        info(name, SettingType::String, description, default.map(Into::into))
    };
    let number = |name: &str, description: &str, default: u64| {
        info(name, SettingType::Long, description, Some(default.into()))
    };
    let servers = SettingInfo {
        required: true,
        ..info("servers", SettingType::List, "servers, tried in order: nats://host:4222", None)
    };
    let mut known = vec![
        text("protocol", "\"nats\" or \"amqp\"", Some("nats")),
        servers,
        text("stream", "name of the stream", Some(STREAM_DEFAULT)),
        text("subject", "subjects, with the fields of file names", Some(SUBJECT_DEFAULT)),
        text("mode", "CloudEvents \"structured\" or \"binary\"", Some("structured")),
        text("source", "the attribute source; made of the CA's name where it is left out", None),
        text("tls", "\"required\", \"first\" (before the greeting) or \"off\"", Some("required")),
        text("user", "name of the account", None),
        text("password_file", "its password, in a file readable by its owner alone", None),
        text("token_file", "token, in a file readable by its owner alone", None),
        text("nkey_file", "seed of an nkey, in a file readable by its owner alone", None),
        text("credentials_file", "JWT and nkey as nsc writes them, readable likewise", None),
        text("inbox_prefix", "start of the subjects on which the server answers", None),
        number("timeout_s", "how long a batch may take", TIMEOUT_DEFAULT_S),
        number(
            "duplicate_window_s",
            "for a stream that is made: how long it recognises an event that comes again",
            DUPLICATE_WINDOW_DEFAULT_S,
        ),
        number("replicas", "for a stream that is made: how many copies it has", 1),
    ];
    known.extend(amqp::known());
    known.extend(tls::known());
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(settings: &serde_json::Value) -> Result<Settings, String> {
        Settings::read(settings.as_object().unwrap())
    }

    #[test]
    fn servers_are_all_that_is_needed_and_tls_is_on() {
        let settings = read(&json!({"servers": "nats://bus.example"})).unwrap();
        assert_eq!((settings.tls_mode, settings.mode), (TlsMode::Required, Mode::Structured));
        let Bus::Nats(nats) = settings.bus else { panic!("it is NATS") };
        assert_eq!((nats.servers.len(), nats.stream.as_str()), (1, "EXEUNT"));
        assert_eq!(nats.account, Account::None);
    }

    #[test]
    fn every_known_setting_is_read_and_its_default_is_what_counts_without_it() {
        let amqp: Vec<String> = amqp::known().into_iter().map(|it| it.name).collect();
        let of_both = json!([
            "protocol",
            "servers",
            "mode",
            "source",
            "tls",
            "timeout_s",
            "user",
            "password_file",
            "ca_file",
            "server_certificate_sha256",
            "client_certificate_file",
            "client_key_file"
        ]);
        let of_both = of_both.as_array().unwrap();
        for (mut written, is_mine) in [
            (json!({"servers": ["nats://bus.example"]}), false),
            (
                json!({"protocol": "amqp", "servers": ["amqps://bus.example"],
                    "user": "a", "password_file": "b"}),
                true,
            ),
        ] {
            let bare = read(&written).unwrap();
            let known: Vec<SettingInfo> = known()
                .into_iter()
                .filter(|it| {
                    of_both.contains(&json!(it.name)) || amqp.contains(&it.name) == is_mine
                })
                .collect();
            for info in &known {
                if let Some(default) = &info.default
                    && info.name != "protocol"
                {
                    written[&info.name] = default.clone();
                }
            }
            assert_eq!(read(&written).unwrap(), bare);
            written["nothing"] = json!(1);
            let err = read(&written).unwrap_err();
            for info in known {
                assert!(err.contains(&info.name), "{} is not in {err}", info.name);
            }
        }
    }

    #[test]
    fn what_amqp_does_not_have_is_refused_by_name() {
        let client = json!({"client_certificate_file": "c", "client_key_file": "k"});
        let base = json!({"protocol": "amqp", "servers": "amqps://a", "user": "u",
            "password_file": "p"});
        let with = |base: &serde_json::Value, more: &serde_json::Value| {
            let mut settings = base.clone();
            settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            settings.as_object_mut().unwrap().retain(|_, it| !it.is_null());
            settings
        };
        let nobody = json!({"user": null, "password_file": null});
        let Bus::Amqp(amqp) = read(&with(&with(&base, &client), &nobody)).unwrap().bus else {
            panic!("it is AMQP")
        };
        assert_eq!(amqp.account, amqp::Account::Certificate);
        assert_eq!((amqp.servers[0].host.as_str(), amqp.servers[0].port), ("a", 5671));
        let six = read(&with(&base, &json!({"servers": "amqps://[::1]:1"}))).unwrap();
        let Bus::Amqp(six) = six.bus else { panic!("it is AMQP") };
        assert_eq!((six.servers[0].host.as_str(), six.servers[0].port), ("::1", 1));
        for (more, said) in [
            (json!({"servers": []}), "servers is missing"),
            (json!({"servers": "nats://a"}), "is no address like amqps://"),
            (json!({"servers": "amqps://"}), "is no address like amqps://"),
            (json!({"servers": "amqps://a:0"}), "is no address like amqps://"),
            (json!({"servers": "amqps://a:b"}), "is no address like amqps://"),
            (json!({"servers": "amqps://::1"}), "is no address like amqps://"),
            (json!({"servers": "amqps://a b"}), "is no address like amqps://"),
            (json!({"servers": "amqps://me:secret@a"}), "no @ in an address"),
            (json!({"servers": "amqps://a/vhost"}), "say vhost"),
            (json!({"servers": "amqp://a"}), "is without TLS"),
            (json!({"tls": "off"}), "is with TLS, and tls is"),
            (json!({"tls": "first"}), "tls \"first\" is for NATS"),
            (json!({"vhost": "a b"}), "vhost \"a b\" has to be"),
            (json!({"exchange": "a b"}), "exchange \"a b\" has to be"),
            (json!({"queue": "a'b"}), "queue \"a'b\" has to be"),
            (json!({"queue_type": "stream"}), "queue_type has to be"),
            (json!({"routing_key": "a.#"}), "# stands in bindings"),
            (json!({"routing_key": "a.*"}), "routing_key: pattern"),
            (json!({"heartbeat_s": 0}), "heartbeat_s has to be"),
            (json!({"password_file": null}), "user and password_file go together"),
            (nobody.clone(), "say user with password_file, or client_certificate_file"),
            (json!({"stream": "A"}), "there is no setting \"stream\""),
        ] {
            let err = read(&with(&base, &more)).unwrap_err();
            assert!(err.contains(said) && !err.contains("secret"), "{err}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (more, said) in [
            (json!({"servers": []}), "servers is missing"),
            (json!({"servers": "http://a"}), "is no address like nats://"),
            (json!({"servers": "ws://a"}), "is no address like nats://"),
            (json!({"servers": "nats://me:secret@a"}), "no @ in an address"),
            (json!({"exchange": "a"}), "there is no setting \"exchange\""),
            (json!({"protocol": "kafka"}), "protocol \"kafka\" is not spoken"),
            (json!({"protocol": "x"}), "protocol \"x\" is unknown"),
            (json!({"stream": "a.b"}), "stream \"a.b\" has to be"),
            (json!({"stream": "a/b"}), "stream \"a/b\" has to be"),
            (json!({"subject": ">"}), "subject: pattern"),
            (json!({"source": "a b"}), "source has to be a URI"),
            (json!({"tls": "off", "ca_file": "a"}), "tls is \"off\", and yet"),
            (json!({"user": "a"}), "say one of user with password_file"),
            (json!({"user": "a", "token_file": "b"}), "say one of user with password_file"),
            (json!({"token_file": "a", "nkey_file": "b"}), "say one of user"),
            (json!({"inbox_prefix": "a.>"}), "inbox_prefix \"a.>\" is no subject"),
            (json!({"timeout_s": 0}), "timeout_s has to be"),
        ] {
            let mut settings = json!({"servers": "nats://a"});
            settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let err = read(&settings).unwrap_err();
            assert!(err.contains(said) && !err.contains("secret"), "{err}");
        }
    }

    #[test]
    fn the_manual_names_every_setting() {
        let manual = include_str!("../../../docs/manual/bus-module.md");
        for info in known() {
            assert!(manual.contains(&format!("`{}`", info.name)), "{}", info.name);
        }
    }
}
