//! What the operator says, in our names or in the original's.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use exeunt_module_kit::{
    exit_event,
    manage::{SettingInfo, SettingType},
};
use exeunt_publication::{secret::Secret, settings::Reader, tls::Tls};
use lettre::message::Mailbox;
use serde_json::{Map, Value as Json};

use crate::{
    levels::{self, Level, Levels, Rules, TEMPLATES_MAX},
    recipient::{self, AllowList},
    template::Templates,
};

/// Longest wait for one answer of the server where nothing is said, in seconds.
const TIMEOUT_S_DEFAULT: u64 = 10;

/// Longest such wait, in seconds: as long as RFC 5321, section 4.5.3.2.6, lets the end of a mail take.
const TIMEOUT_S_MAX: u64 = 600;

/// Connections at the same time where nothing is said.
const CONNECTIONS_DEFAULT: u64 = 2;

/// Most connections at the same time.
pub const CONNECTIONS_MAX: u64 = 16;

/// Most events of a digest where nothing is said.
const DIGEST_EVENTS_DEFAULT: u64 = 100;

/// Most events of a digest.
pub const DIGEST_EVENTS_MAX: u64 = 1000;

/// Longest wait of a digest, in seconds: half of the longest deadline of an event, which has to be
/// twice as long.
const DIGEST_S_MAX: u64 = 1800;

/// How the connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// In the clear at first, and TLS before anything is said that matters. Without it nothing is.
    StartTls,
    /// TLS from the first octet.
    Tls,
    /// Not at all, because the operator says so.
    Nothing,
}

impl Security {
    /// The usual port (RFC 8314, section 3.3; RFC 5321, section 4.5.4.2).
    fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Tls => 465,
            Self::Nothing => 25,
        }
    }
}

/// What happens to an event that nobody can be written to about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nobody {
    /// It is passed over, with a line in the log.
    Skip,
    /// It is parked.
    Park,
}

/// What happens to a mail one of whose recipients the server refuses for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedRecipient {
    /// Nobody gets it, and the event is parked.
    Park,
    /// The others get it.
    LeaveOut,
}

/// Several events in one mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Least time between two digests.
    pub every: Duration,
    /// Most events of one mail, 2 and up.
    pub events_max: usize,
}

/// The server, and how it is spoken with.
#[derive(Clone, Debug)]
pub struct Server {
    /// Name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is secured.
    pub security: Security,
    /// Whom to trust.
    pub tls: Tls,
    /// How we name ourselves; `None` for the name of the machine.
    pub hello: Option<String>,
    /// User, and the file with the password.
    pub login: Option<(String, PathBuf)>,
    /// Longest wait for one answer.
    pub timeout: Duration,
}

/// The settings, checked.
#[derive(Debug)]
pub struct Settings {
    /// The server.
    pub server: Server,
    /// Most connections at the same time.
    pub connections: usize,
    /// The events that are mailed about.
    pub events: u32,
    /// Where requesters may be written to.
    pub requester_domains: AllowList,
    /// Who is written to where nobody else can be.
    pub fallback_to: Vec<Mailbox>,
    /// What happens where nobody can be.
    pub nobody: Nobody,
    /// What happens to a mail with a recipient that is refused.
    pub refused_recipient: RefusedRecipient,
    /// Whether several events go into one mail.
    pub digest: Option<Digest>,
    /// What is sent for each event.
    pub rules: Rules,
    /// The texts of the rules.
    pub templates: Templates,
}

/// Settings at the top, beside those of every level, the events and the templates.
const TOP: [&str; 18] = [
    "server",
    "port",
    "security",
    "hello",
    "user",
    "password_file",
    "timeout_s",
    "connections",
    "events",
    "requester_domains",
    "fallback_to",
    "nobody",
    "refused_recipients",
    "digest_s",
    "digest_events_max",
    "templates",
    "EventFilter",
    "SMTPAuthenticate",
];

/// The original's names for settings of ours.
const ALIASES: [(&str, &str); 1] = [("smtpserver", "server")];

impl Settings {
    /// Reads the settings as the operator wrote them.
    ///
    /// # Errors
    ///
    /// One line for the operator that names the setting.
    pub fn read(written: &Map<String, Json>) -> Result<Self, String> {
        let written = in_our_names(written)?;
        let mut reader = Reader::new(&written);
        let server = server(&mut reader)?;
        let allowed = reader.texts("requester_domains")?.unwrap_or_default();
        let allowed =
            AllowList::read(&allowed).map_err(|why| format!("requester_domains: {why}"))?;
        let fallback_to = reader.texts("fallback_to")?.unwrap_or_default();
        let fallback_to = fallback_to
            .into_iter()
            .map(recipient::mailbox)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|why| format!("fallback_to: {why}"))?;
        let nobody = reader.choice("nobody", &[("skip", Nobody::Skip), ("park", Nobody::Park)])?;
        let refused = reader.choice(
            "refused_recipients",
            &[("park", RefusedRecipient::Park), ("leave-out", RefusedRecipient::LeaveOut)],
        )?;
        let connections =
            reader.number("connections", 1..=CONNECTIONS_MAX)?.unwrap_or(CONNECTIONS_DEFAULT);
        let digest = digest(&mut reader)?;
        let said = events(&mut reader)?;
        let levels = levels(&mut reader)?;
        reader.finish()?;

        let events = match said {
            Some(events) => events,
            None => levels.named_events(),
        };
        if events == 0 {
            return Err("events is missing: say which events to mail about".to_owned());
        }
        let mut templates = Templates::new();
        let rules = levels.rules(events, &allowed, &mut templates)?;
        Ok(Self {
            server,
            connections: usize::try_from(connections).unwrap_or(1),
            events,
            requester_domains: allowed,
            fallback_to,
            nobody: nobody.unwrap_or(Nobody::Skip),
            refused_recipient: refused.unwrap_or(RefusedRecipient::Park),
            digest,
            rules,
            templates,
        })
    }

    /// Checks what can be checked without the server: files, and the time that there is.
    ///
    /// # Errors
    ///
    /// One line for the operator that names the setting.
    pub fn check_surroundings(&self, deadline: Duration) -> Result<(), String> {
        if let Some((_, path)) = &self.server.login {
            Secret::read("password_file", path)?.text("password_file")?;
        }
        if self.server.security != Security::Nothing {
            // What is made of it is not what speaks later; it reads the same files.
            self.server.tls.client_config().map(drop)?;
        }
        if let Some(digest) = &self.digest
            && deadline / 2 < digest.every
        {
            return Err(format!(
                "digest_s is {}, and an event that waits so long is late: deadline_s of the [[exit]] \
                 has to be at least {}",
                digest.every.as_secs(),
                digest.every.as_secs() * 2
            ));
        }
        Ok(())
    }
}

fn server(reader: &mut Reader<'_>) -> Result<Server, String> {
    let host = reader.required("server", "say where the mail server is")?.to_owned();
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    if !is_address && !recipient::is_domain(&host) {
        return Err(format!("server {host:?} is neither a host name nor an address"));
    }
    let security = reader
        .choice(
            "security",
            &[
                ("starttls", Security::StartTls),
                ("tls", Security::Tls),
                ("none", Security::Nothing),
            ],
        )?
        .unwrap_or(Security::StartTls);
    let port = reader.number("port", 1..=u64::from(u16::MAX))?;
    let port = port.and_then(|it| u16::try_from(it).ok()).unwrap_or_else(|| security.port());
    let tls = Tls::read(reader)?;
    if tls.client.is_some() {
        return Err(
            "client_certificate_file: a mail server is not shown a certificate; use user and \
                    password_file"
                .to_owned(),
        );
    }
    if security == Security::Nothing && tls.is_set() {
        return Err(
            "security is \"none\", and so nothing is asked of the server's certificate; take \
                    ca_file and server_certificate_sha256 out"
                .to_owned(),
        );
    }
    let hello = reader.text("hello")?.map(str::to_owned);
    if let Some(name) = hello.as_deref().filter(|it| !recipient::is_domain(it)) {
        return Err(format!("hello {name:?} is no host name"));
    }
    let user = reader.text("user")?.map(str::to_owned);
    if user.as_deref().is_some_and(|it| it.chars().any(char::is_control)) {
        return Err("user has a control character in it".to_owned());
    }
    let password_file = reader.text("password_file")?.map(PathBuf::from);
    let login = match (user, password_file) {
        (Some(user), Some(file)) => Some((user, file)),
        (None, None) => None,
        _ => return Err("user and password_file go together".to_owned()),
    };
    if security == Security::Nothing && login.is_some() {
        return Err(
            "security is \"none\", and a password is not sent over a line that others can \
                    read; take user and password_file out, or set security"
                .to_owned(),
        );
    }
    match (reader.number("SMTPAuthenticate", 0..=2)?, &login) {
        (Some(0), Some(_)) => {
            return Err("SMTPAuthenticate is 0, which is without a user".to_owned());
        }
        (Some(1), None) => {
            return Err("SMTPAuthenticate is 1: set user and password_file".to_owned());
        }
        (Some(2), _) => {
            return Err(
                "SMTPAuthenticate is 2, which is NTLM and not spoken here: set 1 with user \
                        and password_file, or 0"
                    .to_owned(),
            );
        }
        _ => (),
    }
    let timeout = reader.seconds("timeout_s", 1..=TIMEOUT_S_MAX)?;
    let timeout = timeout.unwrap_or(Duration::from_secs(TIMEOUT_S_DEFAULT));
    Ok(Server { host, port, security, tls, hello, login, timeout })
}

fn digest(reader: &mut Reader<'_>) -> Result<Option<Digest>, String> {
    let every = reader.seconds("digest_s", 0..=DIGEST_S_MAX)?;
    let events_max = reader.number("digest_events_max", 2..=DIGEST_EVENTS_MAX)?;
    if every.is_none() && events_max.is_some() {
        return Err("digest_events_max needs digest_s".to_owned());
    }
    let events_max = events_max.unwrap_or(DIGEST_EVENTS_DEFAULT);
    let events_max = usize::try_from(events_max).unwrap_or(usize::MAX);
    Ok(every.map(|every| Digest { every, events_max }))
}

/// `events`, a list of words, or the original's `EventFilter`, a sum of bits. `None` where neither is
/// said.
fn events(reader: &mut Reader<'_>) -> Result<Option<u32>, String> {
    let bits = reader.number("EventFilter", 0..=u64::from(u32::MAX))?;
    let words = reader.texts("events")?;
    match (bits, words) {
        (Some(_), Some(_)) => Err("events and EventFilter do not go together".to_owned()),
        (Some(bits), None) => {
            let bits = u32::try_from(bits).unwrap_or(0);
            let unknown = bits & !exit_event::ALL;
            if unknown != 0 {
                return Err(format!("EventFilter has {unknown:#x} in it, which is no event"));
            }
            Ok(Some(bits))
        }
        (None, Some(words)) => words
            .into_iter()
            .try_fold(0, |mask, word| {
                let bit = exit_event::from_word(word);
                bit.map(|bit| mask | bit)
                    .ok_or_else(|| format!("events: there is no event {word:?}"))
            })
            .map(Some),
        (None, None) => Ok(None),
    }
}

fn levels(reader: &mut Reader<'_>) -> Result<Levels, String> {
    let mut levels = Levels { top: Level::read(reader)?, ..Levels::default() };
    levels.events = of_events(reader)?;
    let Some(mut templates) = reader.table("templates")? else { return Ok(levels) };
    let names: Vec<&str> = templates.names().collect();
    if TEMPLATES_MAX < names.len() {
        return Err(format!("templates has more than {TEMPLATES_MAX} entries"));
    }
    for name in names {
        let Some(mut template) = templates.table(name)? else { continue };
        let events = of_events(&mut template)?;
        template.finish()?;
        if levels.templates.insert(name.to_lowercase(), events).is_some() {
            return Err(format!("templates has {name:?} twice, in different cases"));
        }
    }
    templates.finish()?;
    Ok(levels)
}

fn of_events(reader: &mut Reader<'_>) -> Result<HashMap<u32, Level>, String> {
    let mut events = HashMap::new();
    for (bit, word) in exit_event::WORDS {
        if let Some(mut table) = reader.table(word)? {
            events.insert(bit, Level::read(&mut table)?);
            table.finish()?;
        }
    }
    Ok(events)
}

/// The same settings under the names that the rest knows: the original writes `SMTPServer`, `From` and
/// `CRLIssued` for `server`, `from` and `crl-issued`.
fn in_our_names(written: &Map<String, Json>) -> Result<Map<String, Json>, String> {
    let words: Vec<&str> = exit_event::WORDS.iter().map(|(_, word)| *word).collect();
    let tls = exeunt_publication::tls::known();
    let mut top: Vec<&str> = TOP.to_vec();
    top.extend(levels::NAMES);
    top.extend(&words);
    top.extend(tls.iter().map(|it| it.name.as_str()));

    let mut settings = renamed(written, &top)?;
    rename_events(&mut settings, &words)?;
    if let Some(Json::Object(templates)) = settings.get_mut("templates") {
        for template in templates.values_mut().filter_map(Json::as_object_mut) {
            *template = renamed(template, &words)?;
            rename_events(template, &words)?;
        }
    }
    Ok(settings)
}

fn rename_events(table: &mut Map<String, Json>, words: &[&str]) -> Result<(), String> {
    for word in words {
        if let Some(Json::Object(level)) = table.get_mut(*word) {
            *level = renamed(level, &levels::NAMES)?;
        }
    }
    Ok(())
}

/// Names that differ in case, hyphens and underscores alone are the same. One that is not known stays
/// as it is, for the reader to refuse.
fn renamed(written: &Map<String, Json>, names: &[&str]) -> Result<Map<String, Json>, String> {
    let mut settings = Map::new();
    for (name, value) in written {
        let plain = plain(name);
        let alias = ALIASES.iter().find_map(|(theirs, ours)| (*theirs == plain).then_some(*ours));
        let known = alias.or_else(|| names.iter().copied().find(|it| self::plain(it) == plain));
        let known = known.filter(|it| names.contains(it)).unwrap_or(name);
        if settings.insert(known.to_owned(), value.clone()).is_some() {
            return Err(format!("{name:?} is there twice, once as {known:?}"));
        }
    }
    Ok(settings)
}

fn plain(name: &str) -> String {
    name.chars().filter(|it| !matches!(it, '-' | '_')).map(|it| it.to_ascii_lowercase()).collect()
}

/// What can be set, for whoever asks before setting it.
pub fn known() -> Vec<SettingInfo> {
    use SettingType::{Boolean, List, Long, Object, String as Text};
    let info = SettingInfo::new;
    let mut known = vec![
        info("server", Text, "host name or address of the mail server (SMTPServer)", None)
            .required(),
        info("port", Long, "its port; by default 587, 465 with \"tls\", 25 with \"none\"", None),
        info(
            "security",
            Text,
            "\"starttls\", \"tls\" from the start, or \"none\"",
            Some("starttls".into()),
        ),
    ];
    known.extend(
        exeunt_publication::tls::known().into_iter().filter(|it| !it.name.starts_with("client_")),
    );
    known.extend([
        info("hello", Text, "own host name for EHLO; by default the machine's", None),
        info("user", Text, "user to authenticate as, by PLAIN or LOGIN", None),
        info("password_file", Text, "file with the password, readable by its owner alone", None),
        info("SMTPAuthenticate", Long, "the original's: 0 without a user, 1 with one", None),
        info(
            "timeout_s",
            Long,
            "longest wait for one answer, in seconds",
            Some(TIMEOUT_S_DEFAULT.into()),
        ),
        info(
            "connections",
            Long,
            "most connections at the same time",
            Some(CONNECTIONS_DEFAULT.into()),
        ),
        info("events", List, "events to mail about; by default those with a table here", None),
        info("EventFilter", Long, "the same as a sum of the original's bits", None),
        info("from", Text, "sender", None),
        info("reply_to", Text, "who is to be answered", None),
        info("to", List, "recipients; {requester} and {property} in braces are filled in", None),
        info("cc", List, "recipients of a copy", None),
        info("bcc", List, "recipients of a copy that nobody sees", None),
        info("requester_domains", List, "domains in which requesters may be written to", None),
        info("fallback_to", List, "recipients where nobody else can be written to", None),
        info(
            "nobody",
            Text,
            "\"skip\" or \"park\" an event that nobody can be written to about",
            Some("skip".into()),
        ),
        info(
            "refused_recipients",
            Text,
            "\"park\" the mail of a recipient that the server refuses, or \"leave-out\" the recipient",
            Some("park".into()),
        ),
        info("subject", Text, "template of the subject", None),
        info("text", Text, "template of the body", None),
        info("html", Text, "template of the body in HTML, beside text", None),
        info("attach", Text, "the certificate goes along: \"none\", \"pem\", \"der\"", Some("none".into())),
        info("send", Boolean, "false sends nothing", Some(true.into())),
        info("TitleFormat", List, "the original's subject, with %1", None),
        info("TitleArg", List, "its arguments", None),
        info("BodyFormat", List, "the original's body, with %1", None),
        info("BodyArg", List, "its arguments", None),
        info("digest_s", Long, "least time between two mails with several events, in seconds", None),
        info("digest_events_max", Long, "most events of one; by default 100", None),
    ]);
    known.extend(
        exit_event::WORDS
            .iter()
            .map(|(_, word)| info(word, Object, "what is different for this event", None)),
    );
    known.push(info("templates", Object, "what is different for certificate templates", None));
    known
}

/// Looks at one setting alone, beside those that no set of settings may lack.
///
/// # Errors
///
/// One line for the operator: why it cannot be.
pub fn check_alone(name: &str, value: &Json) -> Result<(), String> {
    let mut written = Map::from_iter(
        [
            ("server", "mail.example.com"),
            ("from", "ca@example.com"),
            ("to", "ca@example.com"),
            ("events", "issued"),
            ("requester_domains", "example.com"),
        ]
        .map(|(name, value)| (name.to_owned(), Json::from(value))),
    );
    let companion = |name: &str| match name {
        "user" => Some(("password_file", Json::from("password"))),
        "passwordfile" => Some(("user", Json::from("user"))),
        "smtpauthenticate" if *value == 1 => Some(("user", Json::from("user"))),
        "html" => Some(("text", Json::from("text"))),
        "digesteventsmax" => Some(("digest_s", Json::from(1))),
        _ => None,
    };
    if let Some((other, value)) = companion(&plain(name)) {
        written.insert(other.to_owned(), value);
    }
    if plain(name) == "smtpauthenticate" && *value == 1 {
        written.insert("password_file".to_owned(), "password".into());
    }
    // Formats name arguments that are said elsewhere.
    for (format, arguments) in [("titleformat", "TitleArg"), ("bodyformat", "BodyArg")] {
        if plain(name) == format {
            written.insert(arguments.to_owned(), vec!["SerialNumber"; 99].into());
        }
    }
    // What is looked at may be one of these under another name.
    let renamed = renamed(&Map::from_iter([(name.to_owned(), value.clone())]), &all_names())?;
    if renamed.contains_key("EventFilter") {
        written.remove("events");
    }
    written.extend(renamed);
    Settings::read(&written).map(drop)
}

fn all_names() -> Vec<&'static str> {
    TOP.iter().copied().chain(levels::NAMES).collect()
}

#[cfg(test)]
mod tests;
