//! What the operator says: the way to the servers, whom to log in as, and what to publish for whom.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use exeunt_module_kit::manage::{SettingInfo, SettingType};
use exeunt_publication::{
    settings::Reader,
    tls::{self, Tls},
};
use serde_json::{Map, Value as Json, json};
use url::Url;

use crate::{
    ca_settings::ObjectSettings,
    words::{Kind, Template},
};

/// Most servers of one directory.
pub const SERVERS_MAX: usize = 16;

/// Most places under which an object is looked for.
pub const BASES_MAX: usize = 16;

/// Most filters that are tried for one certificate.
pub const FILTERS_MAX: usize = 8;

/// Most certificates on one object, where nothing is said. Active Directory takes some 1,200 values
/// of such an attribute.
pub const VALUES_MAX_DEFAULT: u64 = 100;

/// Seconds for the way to a server, where nothing is said.
const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// Seconds for one operation, where nothing is said.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// Seconds until a server that failed is tried again before the others, where nothing is said.
const RETURN_AFTER_DEFAULT: Duration = Duration::from_mins(1);

/// The settings, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The way to the directory.
    pub connection: ConnectionSettings,
    /// Certificates of people and computers.
    pub users: UserSettings,
    /// The CA's own objects.
    pub objects: ObjectSettings,
}

/// The way to the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// Servers, the preferred one first.
    pub servers: Vec<Url>,
    /// Whether `ldap://` turns to TLS before anything else is said.
    pub start_tls: bool,
    /// Whom to trust, and what to show.
    pub tls: Tls,
    /// How to log in.
    pub login: Login,
    /// Longest way to a server, with TLS and the login.
    pub connect_timeout: Duration,
    /// Longest operation.
    pub timeout: Duration,
    /// How long a server that failed comes after the others.
    pub return_after: Duration,
    /// Whether attributes with certificates are transferred with `;binary` (RFC 4522); `None` finds
    /// it out.
    pub binary: Option<bool>,
}

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// As nobody.
    Anonymous,
    /// By name and password, over TLS only.
    Simple {
        /// Distinguished name; Active Directory also takes `user@domain`.
        name: String,
        /// File with the password, read at every login.
        password_file: PathBuf,
    },
    /// SASL EXTERNAL: by the client certificate, or over a Unix socket by the user's number.
    External,
}

/// Which certificates are published for their holders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishUsers {
    /// Those whose template asks for it (`CT_FLAG_PUBLISH_TO_DS`).
    Template,
    /// All.
    Always,
    /// None.
    Never,
}

/// What happens where an object holds as many certificates as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The event waits for a person.
    Park,
    /// The oldest one of this CA's leaves.
    ReplaceOldest,
}

/// What happens where the holder of a certificate has no object, or nothing to find it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenMissing {
    /// The event waits for a person.
    Park,
    /// The certificate is not published.
    Skip,
}

/// Certificates of people and computers.
#[derive(Clone, Debug, PartialEq)]
pub struct UserSettings {
    /// For templates that are not named in `templates`.
    pub default: Holder,
    /// For templates by name.
    pub templates: BTreeMap<String, Holder>,
    /// Whether this CA's certificates leave an object that is written a day after they have expired
    /// (`EXITPUB_REMOVEOLDCERTS`).
    pub remove_expired: bool,
    /// Whether a certificate leaves when it is revoked.
    pub remove_revoked: bool,
    /// Most certificates of one object.
    pub values_max: usize,
    /// What happens there.
    pub when_full: WhenFull,
}

/// Which certificates are published, and how their holder is found.
#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    /// Which.
    pub publish: PublishUsers,
    /// Where the object has to be; none means the directory's own default.
    pub bases: Vec<String>,
    /// How it is found.
    pub find: Find,
    /// What happens where there is none.
    pub when_missing: WhenMissing,
}

/// How the object of a certificate's holder is found.
#[derive(Clone, Debug, PartialEq)]
pub enum Find {
    /// By the directory's kind: `sAMAccountName` in Active Directory, `uid` elsewhere.
    Account,
    /// By the first of these filters that the event has all words for.
    Filters(Vec<Template>),
    /// By name.
    Name(Template),
}

impl Settings {
    /// Reads the settings as the operator wrote them.
    ///
    /// # Errors
    ///
    /// One line for the operator that names the setting.
    pub fn read(written: &Map<String, Json>) -> Result<Self, String> {
        let mut reader = Reader::new(written);
        let connection = ConnectionSettings::read(&mut reader)?;
        let users = UserSettings::read(&mut reader)?;
        let objects = ObjectSettings::read(&mut reader)?;
        reader.finish()?;
        Ok(Self { connection, users, objects })
    }
}

/// Tries one setting by itself, with others that go with it.
///
/// # Errors
///
/// One line for the operator: it goes with none.
pub fn try_one(name: &str, value: &Json) -> Result<(), String> {
    let client = json!({"client_certificate_file": "x", "client_key_file": "x"});
    let password = json!({"bind_dn": "x", "password_file": "x"});
    let ways = [
        (json!({"servers": ["ldaps://x"]}), vec![&password, &client]),
        (json!({"servers": ["ldap://x"], "start_tls": true}), vec![&password]),
        (json!({"servers": ["ldaps://x"], "authentication": "external"}), vec![&client]),
        (json!({"servers": ["ldaps://x"], "authentication": "anonymous"}), vec![]),
    ];
    let mut first = None;
    for (server, more) in &ways {
        let mut written = Map::new();
        for members in [server].into_iter().chain(more.iter().copied()) {
            written.extend(
                members.as_object().into_iter().flatten().map(|(n, v)| (n.clone(), v.clone())),
            );
        }
        written.insert(name.to_owned(), value.clone());
        match Settings::read(&written) {
            Ok(_) => return Ok(()),
            Err(why) => first = first.or(Some(why)),
        }
    }
    first.map_or(Ok(()), Err)
}

impl ConnectionSettings {
    fn read(reader: &mut Reader<'_>) -> Result<Self, String> {
        let servers = reader.texts("servers")?.unwrap_or_default();
        if servers.is_empty() || SERVERS_MAX < servers.len() {
            return Err(format!(
                "servers: name 1 to {SERVERS_MAX}, as \"ldaps://dc1.example.com\""
            ));
        }
        let servers = servers.into_iter().map(server).collect::<Result<Vec<_>, _>>()?;
        let start_tls = reader.boolean("start_tls")?.unwrap_or(false);
        let allow_plain = reader.boolean("allow_plain")?.unwrap_or(false);
        let tls = Tls::read(reader)?;
        let plain = servers.iter().find(|it| it.scheme() == "ldap").filter(|_| !start_tls);
        if let Some(plain) = plain
            && !allow_plain
        {
            return Err(format!(
                "servers: {plain} is not protected: write ldaps://, or set start_tls, or allow_plain"
            ));
        }
        if start_tls && servers.iter().all(|it| it.scheme() != "ldap") {
            return Err("start_tls goes with ldap:// alone; ldaps:// begins with TLS".to_owned());
        }
        let name = reader.text("bind_dn")?;
        let password_file = reader.text("password_file")?.map(PathBuf::from);
        let words = [("simple", 0), ("external", 1), ("gssapi", 2), ("anonymous", 3)];
        let login = match (reader.choice("authentication", &words)?, name, password_file) {
            (None | Some(0), Some(name), Some(password_file)) => {
                if let Some(plain) = plain {
                    return Err(format!(
                        "servers: a password does not go to {plain}, which is not protected"
                    ));
                }
                Login::Simple { name: name.to_owned(), password_file }
            }
            (Some(1), None, None) => {
                if tls.client.is_none() && servers.iter().any(|it| it.scheme() != "ldapi") {
                    return Err("client_certificate_file is missing: authentication \"external\" \
                                shows it"
                        .to_owned());
                }
                Login::External
            }
            (Some(2), ..) => {
                return Err(
                    "authentication \"gssapi\" is not built in: use \"simple\" over TLS, or \
                            \"external\" with a client certificate"
                        .to_owned(),
                );
            }
            (Some(3), None, None) => Login::Anonymous,
            (None, None, None) => {
                return Err("bind_dn and password_file are missing: say who logs in, or set \
                            authentication to \"external\" or \"anonymous\""
                    .to_owned());
            }
            (None | Some(0), ..) => {
                return Err("bind_dn and password_file go together".to_owned());
            }
            _ => {
                return Err(
                    "bind_dn and password_file go with authentication \"simple\" alone".to_owned()
                );
            }
        };
        let binary = [("auto", None), ("yes", Some(true)), ("no", Some(false))];
        Ok(Self {
            servers,
            start_tls,
            tls,
            login,
            connect_timeout: reader
                .seconds("connect_timeout_s", 1..=300)?
                .unwrap_or(CONNECT_TIMEOUT_DEFAULT),
            timeout: reader.seconds("timeout_s", 1..=300)?.unwrap_or(TIMEOUT_DEFAULT),
            return_after: reader
                .seconds("return_after_s", 1..=86_400)?
                .unwrap_or(RETURN_AFTER_DEFAULT),
            binary: reader.choice("binary", &binary)?.flatten(),
        })
    }
}

/// A server is a scheme, a host and perhaps a port.
fn server(text: &str) -> Result<Url, String> {
    let refused = |why: &str| Err(format!("servers: {text:?} {why}"));
    let Ok(url) = Url::parse(text) else { return refused("is no address") };
    if !["ldap", "ldaps", "ldapi"].contains(&url.scheme()) {
        return refused("does not begin with ldaps://, ldap:// or ldapi://");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return refused("has no host");
    }
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if !bare || !url.username().is_empty() || url.password().is_some() {
        return refused("has more than a host and a port");
    }
    Ok(url)
}

impl UserSettings {
    /// Reads the table `users`, which may be left out.
    ///
    /// # Errors
    ///
    /// One line that names the setting.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, String> {
        let nothing = Map::new();
        let mut table = match reader.table("users")? {
            Some(table) => table,
            None => Reader::new(&nothing),
        };
        let default = Holder {
            publish: PublishUsers::Template,
            bases: Vec::new(),
            find: Find::Account,
            when_missing: WhenMissing::Park,
        };
        let default = default.read(&mut table)?;
        let mut templates = BTreeMap::new();
        if let Some(mut named) = table.table("templates")? {
            let names: Vec<&str> = named.names().collect();
            for name in names {
                if let Some(mut one) = named.table(name)? {
                    templates.insert(name.to_owned(), default.clone().read(&mut one)?);
                    one.finish()?;
                }
            }
            named.finish()?;
        }
        let values_max = table.number("values_max", 1..=1000)?.unwrap_or(VALUES_MAX_DEFAULT);
        let full = [("park", WhenFull::Park), ("replace-oldest", WhenFull::ReplaceOldest)];
        let users = Self {
            default,
            templates,
            remove_expired: table.boolean("remove_expired")?.unwrap_or(false),
            remove_revoked: table.boolean("remove_revoked")?.unwrap_or(false),
            values_max: usize::try_from(values_max).unwrap_or(usize::MAX),
            when_full: table.choice("when_full", &full)?.unwrap_or(WhenFull::Park),
        };
        table.finish()?;
        Ok(users)
    }

    /// What holds for certificates of a template.
    pub fn holder(&self, template: Option<&str>) -> &Holder {
        template.and_then(|it| self.templates.get(it)).unwrap_or(&self.default)
    }

    /// Whether anything is ever written for anybody.
    pub fn is_on(&self) -> bool {
        self.templates.values().chain([&self.default]).any(|it| it.publish != PublishUsers::Never)
    }
}

impl Holder {
    /// What is written in a table, and what stands here for the rest.
    fn read(self, reader: &mut Reader<'_>) -> Result<Self, String> {
        let words = [
            ("template", PublishUsers::Template),
            ("always", PublishUsers::Always),
            ("never", PublishUsers::Never),
        ];
        let publish = reader.choice("publish", &words)?.unwrap_or(self.publish);
        let bases = match reader.texts("bases")? {
            Some(bases) if BASES_MAX < bases.len() => {
                return Err(format!("{} has more than {BASES_MAX} entries", reader.named("bases")));
            }
            Some(bases) => bases.into_iter().map(str::to_owned).collect(),
            None => self.bases,
        };
        let at =
            |reader: &Reader<'_>, name: &str, err: String| format!("{}: {err}", reader.named(name));
        let filters = reader.texts("filters")?;
        let find = match (reader.text("dn")?, filters) {
            (Some(_), Some(_)) => {
                return Err(format!("{} and filters do not go together", reader.named("dn")));
            }
            (Some(name), None) => {
                Find::Name(Template::parse(name, Kind::Name).map_err(|err| at(reader, "dn", err))?)
            }
            (None, Some(filters)) if (1..=FILTERS_MAX).contains(&filters.len()) => Find::Filters(
                filters
                    .into_iter()
                    .map(|it| Template::parse(it, Kind::Filter))
                    .collect::<Result<_, _>>()
                    .map_err(|err| at(reader, "filters", err))?,
            ),
            (None, Some(_)) => {
                return Err(format!("{} has 1 to {FILTERS_MAX} entries", reader.named("filters")));
            }
            (None, None) => self.find,
        };
        let missing = [("park", WhenMissing::Park), ("skip", WhenMissing::Skip)];
        let when_missing = reader.choice("when_missing", &missing)?.unwrap_or(self.when_missing);
        Ok(Self { publish, bases, find, when_missing })
    }
}

/// What can be set, for whoever asks before setting it.
pub fn known() -> Vec<SettingInfo> {
    let info = SettingInfo::new;
    let (text, list, long, boolean) =
        (SettingType::String, SettingType::List, SettingType::Long, SettingType::Boolean);
    let seconds = |it: Duration| Some(Json::from(it.as_secs()));
    let mut known = vec![
        SettingInfo {
            required: true,
            ..info(
                "servers",
                list,
                "ldaps://host, ldap://host or ldapi://path, preferred first",
                None,
            )
        },
        info("start_tls", boolean, "ldap:// turns to TLS", Some(false.into())),
        info("allow_plain", boolean, "ldap:// without TLS is allowed", Some(false.into())),
        info(
            "authentication",
            text,
            "\"simple\", \"external\" or \"anonymous\"",
            Some("simple".into()),
        ),
        info("bind_dn", text, "who logs in", None),
        info("password_file", text, "file with the password, readable by its owner alone", None),
        info(
            "connect_timeout_s",
            long,
            "longest way to a server, in seconds",
            seconds(CONNECT_TIMEOUT_DEFAULT),
        ),
        info("timeout_s", long, "longest operation, in seconds", seconds(TIMEOUT_DEFAULT)),
        info(
            "return_after_s",
            long,
            "how long a server that failed comes after the others, in seconds",
            seconds(RETURN_AFTER_DEFAULT),
        ),
        info(
            "binary",
            text,
            "\"yes\" or \"no\": attributes are transferred with ;binary; \"auto\" finds it out",
            Some("auto".into()),
        ),
        info("users", SettingType::Object, "certificates of people and computers", None),
    ];
    known.extend(tls::known());
    known.extend(ObjectSettings::known());
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_setting_can_be_tried_by_itself_and_no_other() {
        let values = json!({
            "servers": ["ldap://a"], "start_tls": true, "allow_plain": true,
            "authentication": "external", "bind_dn": "cn=a", "password_file": "p",
            "connect_timeout_s": 5, "timeout_s": 5, "return_after_s": 5, "binary": "yes",
            "users": {"remove_expired": true}, "ca_file": "ca.pem",
            "server_certificate_sha256": ["00".repeat(32)], "client_certificate_file": "c",
            "client_key_file": "k", "objects": {},
        });
        for SettingInfo { name, .. } in known() {
            try_one(&name, &values[&name]).unwrap();
        }
        assert!(try_one("authentication", &json!("anonymous")).is_ok());
        assert!(try_one("pasword_file", &json!("p")).unwrap_err().contains("pasword_file"));
        assert!(try_one("timeout_s", &json!("long")).unwrap_err().starts_with("timeout_s"));
        assert!(try_one("servers", &json!(["http://a"])).unwrap_err().starts_with("servers"));
    }
}
