//! What the operator says: where to, in which mode, with which proofs.

use std::{path::PathBuf, time::Duration};

use exeunt_module_kit::{
    Initialize,
    manage::{SettingInfo, SettingType},
};
use exeunt_publication::{
    cloudevent,
    settings::Reader,
    time::{TIMEOUT_DEFAULT, TIMEOUT_S_MAX},
    tls::{self, Tls},
};
use serde_json::{Map, Value as Json};
use url::{Host, Url};

use crate::{address::Allowed, cloud_event::Frame};

/// Events of one call in the batched mode where nothing is said: a full window of the host.
const BATCH_DEFAULT: usize = 64;

/// Most events of one call in the batched mode.
pub const BATCH_MAX: usize = 1000;

/// Calls at the same time where nothing is said.
const CONNECTIONS_DEFAULT: usize = 8;

/// Most calls at the same time, each on a connection of its own.
pub const CONNECTIONS_MAX: usize = 32;

/// Longest URL, in octets: what any server takes (RFC 9110, section 4.1).
const URL_BYTES_MAX: usize = 8000;

/// Longest source, schema and origin, in octets.
const NAME_BYTES_MAX: usize = 2000;

/// How many events go into one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One (`application/cloudevents+json`).
    Structured,
    /// An array of them (`application/cloudevents-batch+json`).
    Batched,
}

/// The settings, checked but for the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where events go.
    pub url: Url,
    /// How many of them in one call.
    pub mode: Mode,
    /// Most events of one call in the batched mode.
    pub batch_max: usize,
    /// Most calls at the same time.
    pub connections: usize,
    /// How long one call may take; `None` leaves it to the deadline.
    pub timeout: Option<Duration>,
    /// File with the keys of signatures.
    pub secret_file: Option<PathBuf>,
    /// File with the bearer token.
    pub token_file: Option<PathBuf>,
    /// What is talked to beside public addresses.
    pub allowed: Allowed,
    /// `source` of events; `None` makes it from the CA's name.
    pub source: Option<String>,
    /// `dataschema` of events.
    pub dataschema: Option<String>,
    /// Whether the properties of the CA are told of.
    pub system: bool,
    /// Whether the request is told of as it came.
    pub raw_request: bool,
    /// What the module calls itself where it asks for leave to send.
    pub origin: Option<String>,
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
        let url = url(reader.required("url", "say where events go")?)?;
        let networks = reader.texts("allow_networks")?.unwrap_or_default();
        let allowed = Allowed::parse(&networks)?;
        let address = match url.host() {
            Some(Host::Ipv4(it)) => Some(it.into()),
            Some(Host::Ipv6(it)) => Some(it.into()),
            _ => None,
        };
        if let Some(word) = address.and_then(|it| allowed.refuse(it)) {
            return Err(format!(
                "url: its address is {word}; where that is meant, name it in allow_networks"
            ));
        }
        let modes = [("structured", Mode::Structured), ("batched", Mode::Batched)];
        let count = |it: Option<u64>, default: usize| {
            it.and_then(|it| usize::try_from(it).ok()).unwrap_or(default)
        };
        let most = |it: usize| 1..=u64::try_from(it).unwrap_or(u64::MAX);
        let settings = Self {
            url,
            mode: reader.choice("mode", &modes)?.unwrap_or(Mode::Structured),
            batch_max: count(reader.number("batch_max", most(BATCH_MAX))?, BATCH_DEFAULT),
            connections: count(
                reader.number("connections", most(CONNECTIONS_MAX))?,
                CONNECTIONS_DEFAULT,
            ),
            timeout: reader.seconds("timeout_s", 1..=TIMEOUT_S_MAX)?,
            secret_file: reader.text("secret_file")?.map(PathBuf::from),
            token_file: reader.text("token_file")?.map(PathBuf::from),
            allowed,
            source: name(&mut reader, "source")?,
            dataschema: name(&mut reader, "dataschema")?,
            system: reader.boolean("system")?.unwrap_or(true),
            raw_request: reader.boolean("raw_request")?.unwrap_or(false),
            origin: name(&mut reader, "origin")?,
            tls: Tls::read(&mut reader)?,
        };
        reader.finish()?;
        Ok(settings)
    }

    /// What is the same in all events.
    pub fn frame(&self, hello: &Initialize) -> Frame {
        Frame {
            source: self.source.clone().unwrap_or_else(|| cloudevent::source(&hello.config)),
            dataschema: self.dataschema.clone(),
            system: self.system,
        }
    }

    /// Scheme, host and port of the URL. Its path may be a secret, so this is what is shown.
    pub fn server(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

/// What can be set, for whoever asks before setting it.
pub fn known() -> Vec<SettingInfo> {
    let info = SettingInfo::new;
    let text = SettingType::String;
    let number = SettingType::Long;
    let flag = SettingType::Boolean;
    let mut known = vec![
        info("url", text, "where events go: https://…", None).required(),
        info(
            "mode",
            text,
            "\"structured\": an event a call; \"batched\": an array of them",
            Some("structured".into()),
        ),
        info(
            "batch_max",
            number,
            "most events of one call in the batched mode",
            Some(BATCH_DEFAULT.into()),
        ),
        info(
            "connections",
            number,
            "most calls at the same time",
            Some(CONNECTIONS_DEFAULT.into()),
        ),
        info(
            "timeout_s",
            number,
            "how long one call may take, in seconds",
            Some(TIMEOUT_DEFAULT.as_secs().into()),
        ),
        info("secret_file", text, "file with the keys of signatures, one a line", None),
        info("token_file", text, "file with a bearer token", None),
        info(
            "allow_networks",
            SettingType::List,
            "what is talked to beside public addresses: 10.1.0.0/16",
            None,
        ),
        info(
            "source",
            text,
            "attribute source of the events; else /exeunt/ and the CA's name",
            None,
        ),
        info("dataschema", text, "attribute dataschema of the events", None),
        info("system", flag, "tell the properties of the CA with every event", Some(true.into())),
        info("raw_request", flag, "tell the request as it came", Some(false.into())),
        info("origin", text, "the sender's name where it asks for leave to send", None),
    ];
    known.extend(tls::known());
    known
}

fn url(text: &str) -> Result<Url, String> {
    let refused = |why: &str| format!("url {why}");
    if URL_BYTES_MAX < text.len() {
        return Err(refused("is too long"));
    }
    let url = Url::parse(text)
        .map_err(|err| format!("url is no address such as https://host/path: {err}"))?;
    if url.scheme() != "https" || url.host().is_none() {
        return Err(refused("has to begin with https:// and a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("may hold no name and no password; use token_file"));
    }
    if url.fragment().is_some() {
        return Err(refused("may hold no fragment, which no server would see"));
    }
    Ok(url)
}

/// A text that can be a URI reference or a host: visible ASCII.
fn name(reader: &mut Reader<'_>, setting: &str) -> Result<Option<String>, String> {
    let text = reader.text(setting)?;
    if let Some(text) = text
        && (NAME_BYTES_MAX < text.len() || !text.bytes().all(|it| it.is_ascii_graphic()))
    {
        return Err(format!(
            "{setting} has to be at most {NAME_BYTES_MAX} visible characters of ASCII, without blanks"
        ));
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
    fn a_url_is_enough() {
        let it = read(&json!({"url": "https://hook.example.com:8443/secret/path"})).unwrap();
        assert_eq!((it.mode, it.batch_max, it.connections), (Mode::Structured, 64, 8));
        assert_eq!(it.server(), "https://hook.example.com:8443");
        let hello = Initialize { config: "Test CA".to_owned(), ..Initialize::default() };
        assert_eq!(it.frame(&hello).source, "/exeunt/Test%20CA");
        assert_eq!(it.timeout, None);
    }

    #[test]
    fn every_known_setting_is_read() {
        let values = json!({
            "url": "https://127.0.0.1/", "mode": "batched", "batch_max": 100, "connections": 2,
            "timeout_s": 5, "secret_file": "s", "token_file": "t", "allow_networks": ["127.0.0.0/8"],
            "source": "https://ca.example.com/", "dataschema": "https://ca.example.com/schema",
            "system": false, "raw_request": true, "origin": "ca.example.com", "ca_file": "ca.pem",
            "client_certificate_file": "c.pem", "client_key_file": "k.pem",
        });
        let it = read(&values).unwrap();
        assert_eq!((it.mode, it.batch_max, it.connections), (Mode::Batched, 100, 2));
        assert_eq!(it.timeout, Some(Duration::from_secs(5)));
        let names: Vec<String> = known().into_iter().map(|it| it.name).collect();
        assert!(values.as_object().unwrap().keys().all(|it| names.contains(it)), "{names:?}");
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        for (settings, said) in [
            (json!({}), "url is missing"),
            (json!({"url": "hook"}), "url is no address"),
            (json!({"url": "http://example.com"}), "https://"),
            (json!({"url": "https://user:pass@example.com"}), "no password"),
            (json!({"url": "https://example.com/#x"}), "no fragment"),
            (json!({"url": "https://127.0.0.1/"}), "its address is loopback"),
            (json!({"url": "https://[::ffff:10.0.0.1]/"}), "its address is private"),
            (json!({"url": "https://2130706433/"}), "its address is loopback"),
            (json!({"url": "https://0x7f.1/"}), "its address is loopback"),
            (json!({"url": "https://example.com", "mode": "binary"}), "mode has to be"),
            (json!({"url": "https://example.com", "batch_max": 0}), "batch_max has to be"),
            (json!({"url": "https://example.com", "connections": 33}), "connections has to be"),
            (json!({"url": "https://example.com", "source": "a b"}), "source has to be"),
            (json!({"url": "https://example.com", "origin": "a\nb"}), "origin has to be"),
            (json!({"url": "https://example.com", "token": "t"}), "no setting \"token\""),
            (json!({"url": "https://example.com", "allow_networks": ["x"]}), "allow_networks"),
        ] {
            let err = read(&settings).unwrap_err();
            assert!(err.contains(said), "{settings}: {err}");
        }
    }
}
