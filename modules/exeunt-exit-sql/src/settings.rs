//! What the operator says: where the database is, as whom, and what is kept.

use std::{path::PathBuf, time::Duration};

use exeunt_module_kit::manage::{SettingInfo, SettingType};
use exeunt_publication::{
    settings::Reader,
    time::TIMEOUT_S_MAX,
    tls::{self, Tls},
};
use serde_json::{Map, Value as Json};

/// Port of `PostgreSQL` where none is set (registered with IANA).
const PORT_DEFAULT: u16 = 5432;

/// Schema of the tables where none is set.
const SCHEMA_DEFAULT: &str = "exeunt";

/// Seconds that connecting may take where nothing is said.
const CONNECT_TIMEOUT_S_DEFAULT: u64 = 10;

/// Seconds that a batch may take where nothing is said: below the 30 s that the host waits by default.
const TIMEOUT_S_DEFAULT: u64 = 20;

/// Longest name of a schema, in octets: `NAMEDATALEN` of `PostgreSQL` less one.
pub const SCHEMA_BYTES_MAX: usize = 63;

/// The settings, checked but for the files that they name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name or address of the server, or the folder of its socket where it starts with a slash.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Name of the database.
    pub database: String,
    /// The role to log in as.
    pub user: String,
    /// File with its password.
    pub password_file: Option<PathBuf>,
    /// Schema of the tables: lower-case letters, digits and underscores.
    pub schema: String,
    /// Whether certificates and lists themselves are kept.
    pub store_der: bool,
    /// Whether rows are read back before an event is accepted.
    pub read_back: bool,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a batch may take.
    pub timeout: Duration,
    /// Trust and the client's certificate.
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
        let seconds = |reader: &mut Reader<'_>, name, default| {
            let said = reader.seconds(name, 1..=TIMEOUT_S_MAX)?;
            Ok::<_, String>(said.unwrap_or(Duration::from_secs(default)))
        };
        let port = reader.number("port", 1..=u64::from(u16::MAX))?;
        let settings = Self {
            host: reader.required("host", "say where the database is")?.to_owned(),
            port: port.and_then(|it| u16::try_from(it).ok()).unwrap_or(PORT_DEFAULT),
            database: reader.required("database", "say which one to write into")?.to_owned(),
            user: reader.required("user", "say as whom to log in")?.to_owned(),
            password_file: reader.text("password_file")?.map(PathBuf::from),
            schema: reader.text("schema")?.unwrap_or(SCHEMA_DEFAULT).to_owned(),
            store_der: reader.boolean("store_der")?.unwrap_or(false),
            read_back: reader.boolean("read_back")?.unwrap_or(true),
            connect_timeout: seconds(&mut reader, "connect_timeout_s", CONNECT_TIMEOUT_S_DEFAULT)?,
            timeout: seconds(&mut reader, "timeout_s", TIMEOUT_S_DEFAULT)?,
            tls: Tls::read(&mut reader)?,
        };
        reader.finish()?;
        for (name, value) in
            [("host", &settings.host), ("database", &settings.database), ("user", &settings.user)]
        {
            if value.chars().any(char::is_control) {
                return Err(format!("{name} has a control character in it"));
            }
        }
        // It becomes a part of statements, so that nothing is taken that would have to be quoted.
        let plain = |it: u8| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'_');
        let schema = settings.schema.as_bytes();
        if SCHEMA_BYTES_MAX < schema.len()
            || !schema.iter().copied().all(plain)
            || schema[0].is_ascii_digit()
            || schema.starts_with(b"pg_")
        {
            return Err(format!(
                "schema {:?}: it has to be lower-case letters, digits and underscores, at most \
                 {SCHEMA_BYTES_MAX}, and to start with neither a digit nor pg_",
                settings.schema
            ));
        }
        if settings.over_socket() && settings.tls.is_set() {
            return Err("host is a folder with a socket: there is no TLS over it".to_owned());
        }
        Ok(settings)
    }

    /// Whether the server is on this machine and is reached without a network.
    pub fn over_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Where the server is, for people.
    pub fn place(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.database)
    }
}

/// What can be set, for whoever asks before setting it.
pub fn known() -> Vec<SettingInfo> {
    let info = SettingInfo::new;
    let (text, number) = (SettingType::String, SettingType::Long);
    let host = "name of the server, or the folder of its socket";
    let mut known = vec![
        info("host", text, host, None).required(),
        info("port", number, "its port", Some(PORT_DEFAULT.into())),
        info("database", text, "name of the database", None).required(),
        info("user", text, "role to log in as", None).required(),
        info("password_file", text, "file with its password, readable by its owner alone", None),
        info("schema", text, "schema of the tables", Some(SCHEMA_DEFAULT.into())),
        info(
            "store_der",
            SettingType::Boolean,
            "keep certificates and lists too",
            Some(false.into()),
        ),
        info(
            "read_back",
            SettingType::Boolean,
            "read rows back before an event is accepted",
            Some(true.into()),
        ),
        info(
            "connect_timeout_s",
            number,
            "how long connecting may take, in seconds",
            Some(CONNECT_TIMEOUT_S_DEFAULT.into()),
        ),
        info(
            "timeout_s",
            number,
            "how long writing a batch may take, in seconds",
            Some(TIMEOUT_S_DEFAULT.into()),
        ),
    ];
    known.extend(tls::known());
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(more: &Json) -> Result<Settings, String> {
        let mut settings = json!({"host": "db.example.com", "database": "pki", "user": "ca"});
        for (name, value) in more.as_object().unwrap() {
            settings[name] = value.clone();
        }
        Settings::read(settings.as_object().unwrap())
    }

    #[test]
    fn three_settings_are_needed_and_the_defaults_are_what_is_told_of() {
        let bare = read(&json!({})).unwrap();
        assert_eq!(bare.place(), "db.example.com:5432/pki");
        let defaults = known().into_iter().filter_map(|it| Some((it.name, it.default?)));
        assert_eq!(read(&Json::Object(defaults.collect())).unwrap(), bare);
        for missing in ["host", "database", "user"] {
            let err = read(&json!({missing: ""})).unwrap_err();
            assert!(err.starts_with(missing), "{err}");
        }
    }

    #[test]
    fn a_schema_is_a_plain_word() {
        assert_eq!(read(&json!({"schema": "ca_2"})).unwrap().schema, "ca_2");
        let long = "s".repeat(SCHEMA_BYTES_MAX + 1);
        for schema in ["Ca", "2ca", "a b", "a\"; DROP", "pg_mine", "é", &long] {
            let err = read(&json!({"schema": schema})).unwrap_err();
            assert!(err.starts_with("schema "), "{err}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let err = read(&json!({"host": "/run/postgresql", "ca_file": "/ca.pem"})).unwrap_err();
        assert!(err.contains("no TLS"), "{err}");
        assert!(read(&json!({"host": "a\nb"})).unwrap_err().contains("control character"));
        assert!(read(&json!({"pasword_file": "a"})).unwrap_err().contains("pasword_file"));
    }
}
