//! The way to the directory: one connection to one of the servers, and what is known of it.
//!
//! Enter at [`Directory::session`], which gives a [`Session`] that many operations can use at the same
//! time. Where a server fails, the next one is asked; the preferred one comes back after a while.

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use exeunt_module_kit::Outcome;
use exeunt_publication::{outcome, secret::Secret};
use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Mod, Scope, SearchEntry,
    SearchOptions,
    controls::{Assertion, RawControl},
};
use tokio::{
    runtime::{Builder, Runtime},
    task::{JoinHandle, yield_now},
    time::{Instant, timeout_at},
};

use crate::{
    result_code::{self, Then},
    settings::{ConnectionSettings, Login},
    written::{NEW_OBJECT, Written},
};

/// The capability by which a server says that it is Active Directory
/// (`LDAP_CAP_ACTIVE_DIRECTORY_OID`, MS-ADTS 3.1.1.3.4.3.1).
const ACTIVE_DIRECTORY: &str = "1.2.840.113556.1.4.800";

/// Syntaxes that are transferred with `;binary` only: certificate, certificate list and certificate
/// pair (RFC 4523, section 2).
const BINARY_SYNTAXES: [&str; 3] = [
    "1.3.6.1.4.1.1466.115.121.1.8",
    "1.3.6.1.4.1.1466.115.121.1.9",
    "1.3.6.1.4.1.1466.115.121.1.10",
];

/// How often the event loop is let run before an idle connection counts as open: the system is asked,
/// the end is read, and the task ends.
const LOOKS_FOR_END: usize = 4;

/// Longest text of a server in a reason, in characters.
const SAID_CHARS_MAX: usize = 200;

/// Why the directory did not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// No server can be reached, or none lets us in; every server's reason.
    #[error("no server: {0}")]
    Connect(String),
    /// The connection broke off, or what came over it is no LDAP.
    #[error("{doing}: the connection broke off: {reason}")]
    Lost {
        /// What was being done.
        doing: String,
        /// What the library says.
        reason: String,
    },
    /// An operation took too long.
    #[error("{doing}: no answer within {within:?}")]
    Timeout {
        /// What was being done.
        doing: String,
        /// How long it could take.
        within: Duration,
    },
    /// The server answered, and not with success.
    #[error("{doing}: {name} ({code}){said}")]
    Answer {
        /// What was being done.
        doing: String,
        /// Result code of LDAP.
        code: u32,
        /// Its name.
        name: &'static str,
        /// What the server says beside it, after a colon; or nothing.
        said: String,
    },
    /// The server refuses a write for lack of rights or because of its schema, and this process has
    /// not seen one of its kind succeed.
    #[error("{refusal}; nothing of this kind could be written yet")]
    NeverWritten {
        /// What was being done and what the server said.
        refusal: String,
        /// Result code of LDAP.
        code: u32,
    },
    /// No time is left in this delivery.
    #[error("{doing}: no time was left before the deadline")]
    Deadline {
        /// What was to be done.
        doing: String,
    },
}

impl DirectoryError {
    /// Stable code for logs. Never renamed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Connect(_) => "directory-connect",
            Self::Lost { .. } => "directory-lost",
            Self::Timeout { .. } => "directory-timeout",
            Self::Answer { .. } => "directory-answer",
            Self::NeverWritten { .. } => "directory-never-written",
            Self::Deadline { .. } => "directory-deadline",
        }
    }

    /// What follows from it.
    pub fn then(&self) -> Then {
        match self {
            // An operator who forgot the rights mends it once for all events.
            Self::Connect(_) | Self::Deadline { .. } | Self::NeverWritten { .. } => Then::Later,
            Self::Lost { .. } | Self::Timeout { .. } => Then::Elsewhere,
            Self::Answer { code, .. } => result_code::find(*code).then,
        }
    }

    /// The result code of LDAP, where there is one.
    pub fn result_code(&self) -> Option<u32> {
        match self {
            Self::Answer { code, .. } | Self::NeverWritten { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether one of several values in a write may be the cause.
    pub fn may_be_of_one_value(&self) -> bool {
        self.then() == Then::Park || matches!(self, Self::NeverWritten { .. })
    }

    /// The outcome for an event that nothing more is done for in this delivery.
    pub fn outcome(&self) -> Outcome {
        let reason = format!("{}: {self}", self.code());
        match self.then() {
            Then::Park => outcome::park(reason),
            // Who looks again and finds the same is in a race, which passes.
            Then::Elsewhere | Then::Later | Then::Look => outcome::retry(reason),
        }
    }
}

/// What is known of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether it is Active Directory.
    pub is_active_directory: bool,
    /// `;binary` behind the names of attributes that hold certificates, or nothing.
    pub binary: &'static str,
    /// Where its objects are: the default naming context of Active Directory, or the only one.
    pub default_base: Option<String>,
    /// Where Active Directory has its configuration.
    pub configuration: Option<String>,
    /// The domain at the root of Active Directory's forest.
    pub root_domain: Option<String>,
    /// All naming contexts.
    pub naming_contexts: Vec<String>,
    /// Controls that it knows, by OID.
    pub controls: Vec<String>,
}

/// The directory: its servers, and the connection to one of them.
pub struct Directory {
    settings: ConnectionSettings,
    runtime: Runtime,
    current: Option<Current>,
    /// For each server, until when it comes after the others.
    avoided: Vec<Option<Instant>>,
    /// For each server, what is known of it.
    facts: Vec<Option<Arc<Facts>>>,
    written: Written,
}

struct Current {
    ldap: Ldap,
    facts: Arc<Facts>,
    server: usize,
    driver: JoinHandle<()>,
}

impl fmt::Debug for Directory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.current.as_ref().map(|it| it.server);
        out.debug_struct("Directory").field("server", &server).finish_non_exhaustive()
    }
}

impl Directory {
    /// Prepares the way. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// One line for the operator: the files of TLS or the password cannot be used.
    pub fn new(settings: ConnectionSettings) -> Result<Self, String> {
        settings.tls.client_config()?;
        if let Login::Simple { password_file, .. } = &settings.login {
            Secret::read("password_file", password_file)?.text("password_file")?;
        }
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|err| format!("the system gives no event loop: {err}"))?;
        let servers = settings.servers.len();
        let facts = vec![None; servers];
        let (avoided, written) = (vec![None; servers], Written::default());
        Ok(Self { settings, runtime, current: None, avoided, facts, written })
    }

    /// Runs something that waits for the directory.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// A moment so long from now.
    pub fn until(within: Duration) -> Instant {
        Instant::now() + within
    }

    /// The connection, or a new one, to be used until a moment.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Connect`].
    pub fn session(&mut self, until: Instant) -> Result<Session, DirectoryError> {
        let now = Instant::now();
        if self.current.is_some() {
            // A server ends what is idle for long, which says nothing against it. The loop is let
            // run so that it is noticed before anything is sent.
            self.runtime.block_on(async {
                for _ in 0..LOOKS_FOR_END {
                    yield_now().await;
                }
            });
        }
        if let Some(current) = &self.current {
            // A better one may be back. An attempt is made once in a while, with the old connection
            // at hand.
            let before = 0..current.server;
            let better = before.clone().find(|it| self.avoided[*it].is_none_or(|it| it <= now));
            if current.driver.is_finished() {
                self.discard();
            } else if let Some(better) = better
                && let Err(reason) = self.connect(better, until)
            {
                eprintln!("{}: {reason}", self.settings.servers[better]);
            }
        }
        if self.current.is_none() {
            self.connect_any(until)?;
        }
        let current = self.current.as_ref().expect("BUG: connected just now");
        Ok(Session {
            ldap: current.ldap.clone(),
            facts: Arc::clone(&current.facts),
            server: self.settings.servers[current.server].to_string(),
            timeout: self.settings.timeout,
            until,
            written: self.written.clone(),
        })
    }

    /// Gives the connection up, because it did not work: its server comes after the others for a
    /// while.
    pub fn give_up(&mut self) {
        if let Some(current) = &self.current {
            self.avoided[current.server] = Some(Instant::now() + self.settings.return_after);
        }
        self.discard();
    }

    /// Says farewell.
    pub fn close(&mut self) {
        if let Some(mut current) = self.current.take() {
            let within = Instant::now() + Duration::from_secs(1);
            self.runtime.block_on(async {
                // It is a courtesy; the server notices anyway.
                timeout_at(within, current.ldap.unbind()).await.ok();
            });
            current.driver.abort();
        }
    }

    /// Runs one thing over the connection, and once more over another one where that may help.
    ///
    /// # Errors
    ///
    /// What the second attempt said.
    pub fn run<T>(
        &mut self,
        until: Instant,
        work: &impl AsyncFn(&Session) -> Result<T, DirectoryError>,
    ) -> Result<T, DirectoryError> {
        let mut again = true;
        loop {
            let session = self.session(until)?;
            match self.wait(work(&session)) {
                Err(err) if err.then() == Then::Elsewhere => {
                    self.give_up();
                    if !again {
                        return Err(err);
                    }
                    again = false;
                }
                other => return other,
            }
        }
    }

    fn discard(&mut self) {
        if let Some(current) = self.current.take() {
            current.driver.abort();
        }
    }

    fn connect_any(&mut self, until: Instant) -> Result<(), DirectoryError> {
        let now = Instant::now();
        let mut order: Vec<usize> = (0..self.settings.servers.len()).collect();
        // Those that failed lately come last, the one that is due first before the others.
        order.sort_by_key(|it| self.avoided[*it].filter(|it| now < *it));
        let mut reasons = Vec::new();
        for server in order {
            match self.connect(server, until) {
                Ok(()) => return Ok(()),
                Err(reason) => reasons.push(format!("{}: {reason}", self.settings.servers[server])),
            }
        }
        Err(DirectoryError::Connect(reasons.join("; ")))
    }

    /// Makes the connection to a server the current one, or leaves everything as it was.
    fn connect(&mut self, server: usize, until: Instant) -> Result<(), String> {
        let within = until.min(Instant::now() + self.settings.connect_timeout);
        let known = self.facts[server].clone();
        let settings = &self.settings;
        let opened = self.runtime.block_on(async {
            match timeout_at(within, open(settings, server, known)).await {
                Ok(opened) => opened,
                Err(_) => Err("it did not answer in time".to_owned()),
            }
        });
        match opened {
            Ok(current) => {
                self.avoided[server] = None;
                self.facts[server] = Some(Arc::clone(&current.facts));
                self.discard();
                self.current = Some(current);
                Ok(())
            }
            Err(reason) => {
                self.avoided[server] = Some(Instant::now() + self.settings.return_after);
                Err(reason)
            }
        }
    }
}

/// Aborts a task that nobody has taken over.
struct AbortOnDrop(Option<JoinHandle<()>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Connects, logs in, and asks what kind of server it is. The files of TLS and the password are read
/// anew, because they may have been changed.
async fn open(
    settings: &ConnectionSettings,
    server: usize,
    known: Option<Arc<Facts>>,
) -> Result<Current, String> {
    let url = &settings.servers[server];
    let mut options = LdapConnSettings::new();
    if url.scheme() == "ldaps" || url.scheme() == "ldap" && settings.start_tls {
        options = options
            .set_config(Arc::new(settings.tls.client_config()?))
            .set_starttls(url.scheme() == "ldap");
    }
    let (connection, mut ldap) = LdapConnAsync::from_url_with_settings(options, url)
        .await
        .map_err(|err| outcome::chain(&err))?;
    let mut driver = AbortOnDrop(Some(tokio::spawn(async move {
        // Whoever waits for an answer learns that none comes.
        connection.drive().await.ok();
    })));
    let result = match &settings.login {
        Login::Anonymous => None,
        Login::Simple { name, password_file } => {
            let password = Secret::read("password_file", password_file)?;
            Some(ldap.simple_bind(name, password.text("password_file")?).await)
        }
        Login::External => Some(ldap.sasl_external_bind().await),
    };
    if let Some(result) = result {
        let result = result.map_err(|err| format!("logging in: {}", outcome::chain(&err)))?;
        if result.rc != 0 {
            return Err(refusal("logging in", &result).to_string());
        }
    }
    let facts = match known {
        Some(facts) => facts,
        None => Arc::new(ask_facts(&mut ldap, settings.binary).await?),
    };
    let driver = driver.0.take().expect("BUG: nobody else takes it");
    Ok(Current { ldap, facts, server, driver })
}

/// Reads the root DSE (RFC 4512, section 5.1), and the schema where it is asked for.
async fn ask_facts(ldap: &mut Ldap, binary: Option<bool>) -> Result<Facts, String> {
    let asked = [
        "namingContexts",
        "defaultNamingContext",
        "configurationNamingContext",
        "rootDomainNamingContext",
        "subschemaSubentry",
        "supportedCapabilities",
        "supportedControl",
    ];
    let all = "(objectClass=*)";
    let root = read_one(ldap, "", all, &asked).await?;
    let texts = |name: &str| root.as_ref().map(|it| it.texts(name)).unwrap_or_default();
    let first = |name: &str| texts(name).into_iter().next();
    let is_active_directory =
        texts("supportedCapabilities").iter().any(|it| it == ACTIVE_DIRECTORY);
    let naming_contexts = texts("namingContexts");
    let only = match &naming_contexts[..] {
        [one] => Some(one.clone()),
        _ => None,
    };
    let binary = match (binary, first("subschemaSubentry")) {
        (Some(binary), _) => binary,
        (None, _) if is_active_directory => false,
        // RFC 4523, section 2.1: values of these syntaxes are transferred with it.
        (None, None) => true,
        (None, Some(schema)) => {
            match read_one(ldap, &schema, "(objectClass=subschema)", &["attributeTypes"]).await? {
                Some(schema) => wants_binary(&schema.texts("attributeTypes")),
                None => true,
            }
        }
    };
    Ok(Facts {
        is_active_directory,
        binary: if binary { ";binary" } else { "" },
        default_base: first("defaultNamingContext").or(only),
        configuration: first("configurationNamingContext"),
        root_domain: first("rootDomainNamingContext"),
        naming_contexts,
        controls: texts("supportedControl"),
    })
}

/// An object, or `None` where the server does not show it.
async fn read_one(
    ldap: &mut Ldap,
    name: &str,
    filter: &str,
    attributes: &[&str],
) -> Result<Option<Entry>, String> {
    let found = ldap.search(name, Scope::Base, filter, attributes).await;
    let found = found.map_err(|err| format!("asking for its kind: {}", outcome::chain(&err)))?;
    // A server that hides it answers with an error, which says nothing about what it can do.
    let entry = found.0.into_iter().find(|it| !it.is_ref() && !it.is_intermediate());
    Ok(entry.map(Entry::new))
}

/// Whether the schema has `userCertificate` in a syntax of its own and not as plain octets.
fn wants_binary(types: &[String]) -> bool {
    let of_users = |it: &&String| {
        it.split(|it: char| it.is_whitespace() || "()'".contains(it))
            .any(|it| it.eq_ignore_ascii_case("userCertificate"))
    };
    let Some(definition) = types.iter().find(of_users) else { return true };
    let mut words = definition.split_whitespace().skip_while(|it| *it != "SYNTAX").skip(1);
    // A length in braces may follow the syntax.
    let syntax = words.next().unwrap_or_default().split('{').next().unwrap_or_default();
    BINARY_SYNTAXES.contains(&syntax.trim_matches('\''))
}

/// A connection in use: whoever has it may do several things at the same time.
#[derive(Clone, Debug)]
pub struct Session {
    ldap: Ldap,
    /// What is known of the server.
    pub facts: Arc<Facts>,
    /// Its address, for people.
    pub server: String,
    timeout: Duration,
    until: Instant,
    written: Written,
}

/// An object as a search gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its distinguished name, as the server writes it.
    pub name: String,
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Entry {
    fn new(found: ldap3::ResultEntry) -> Self {
        let SearchEntry { dn, attrs, bin_attrs } = SearchEntry::construct(found);
        let mut attributes: Vec<(String, Vec<Vec<u8>>)> = bin_attrs.into_iter().collect();
        for (name, values) in attrs {
            let values = values.into_iter().map(String::into_bytes);
            // The library puts what is no text aside, and so may tear one attribute apart.
            match attributes.iter_mut().find(|(it, _)| *it == name) {
                Some((_, there)) => there.extend(values),
                None => attributes.push((name, values.collect())),
            }
        }
        Self { name: dn, attributes }
    }

    /// The values of an attribute, with or without `;binary`.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let named = move |it: &str| {
            let bare = it.split_once(';').filter(|it| it.1.eq_ignore_ascii_case("binary"));
            bare.map_or(it, |it| it.0).eq_ignore_ascii_case(name)
        };
        self.attributes
            .iter()
            .filter(move |(it, _)| named(it))
            .flat_map(|(_, values)| values.iter().map(Vec::as_slice))
    }

    /// The values of an attribute that are texts.
    pub fn texts(&self, name: &str) -> Vec<String> {
        self.values(name).filter_map(|it| String::from_utf8(it.to_vec()).ok()).collect()
    }

    /// Whether the server gave a part of an attribute's values only, as Active Directory does where
    /// there are more than 1,500 (MS-ADTS 3.1.1.3.1.3.3).
    pub fn is_partial(&self, name: &str) -> bool {
        self.attributes.iter().any(|(it, _)| {
            let (bare, options) = it.split_once(';').unwrap_or((it, ""));
            bare.eq_ignore_ascii_case(name) && options.to_ascii_lowercase().contains("range=")
        })
    }
}

/// A change of one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These values come in, beside those that are there.
    Add(String, Vec<Vec<u8>>),
    /// These values leave; no values means all of them.
    Delete(String, Vec<Vec<u8>>),
    /// These values in the place of whatever is there. For attributes that are one's own.
    Replace(String, Vec<Vec<u8>>),
}

impl Change {
    /// The attribute, as the server wants it.
    fn attribute(&self) -> &str {
        let (Self::Add(name, _) | Self::Delete(name, _) | Self::Replace(name, _)) = self;
        name
    }
}

impl Session {
    /// The name of an attribute that holds certificates or revocation lists, as this server wants it
    /// in requests.
    pub fn attribute(&self, name: &str) -> String {
        format!("{name}{}", self.facts.binary)
    }

    /// What is below a place and fits a filter: at most `most` objects, and no error if there are
    /// more.
    ///
    /// # Errors
    ///
    /// As the variants of [`DirectoryError`] say; a place that is not there is one.
    pub async fn search(
        &self,
        base: &str,
        scope: Scope,
        filter: &str,
        attributes: &[&str],
        most: usize,
    ) -> Result<Vec<Entry>, DirectoryError> {
        let doing = || format!("searching {base:?} for {filter:?}");
        let mut ldap = self.ldap.clone();
        let seconds = i32::try_from(self.timeout.as_secs()).unwrap_or(i32::MAX);
        let options =
            SearchOptions::new().sizelimit(i32::try_from(most).unwrap_or(0)).timelimit(seconds);
        let found = self
            .timed(doing, async {
                ldap.with_search_options(options).search(base, scope, filter, attributes).await
            })
            .await?;
        let ldap3::SearchResult(entries, result) = found;
        // 4 is sizeLimitExceeded: as many as were asked for have come.
        if result.rc != 0 && result.rc != 4 {
            return Err(refusal(&doing(), &result));
        }
        let entries = entries.into_iter().filter(|it| !it.is_ref() && !it.is_intermediate());
        Ok(entries.map(Entry::new).collect())
    }

    /// One object, or `None` where it is not there.
    ///
    /// # Errors
    ///
    /// As the variants of [`DirectoryError`] say.
    pub async fn read(
        &self,
        name: &str,
        attributes: &[&str],
    ) -> Result<Option<Entry>, DirectoryError> {
        match self.search(name, Scope::Base, "(objectClass=*)", attributes, 1).await {
            Ok(found) => Ok(found.into_iter().next()),
            // noSuchObject.
            Err(DirectoryError::Answer { code: 32, .. }) => Ok(None),
            Err(err) => Err(err),
        }
    }

    /// Changes an object: all of it or nothing.
    ///
    /// # Errors
    ///
    /// As the variants of [`DirectoryError`] say.
    pub async fn modify(&self, name: &str, changes: Vec<Change>) -> Result<(), DirectoryError> {
        self.modify_with(name, Vec::new(), changes).await
    }

    /// Changes an object if a filter holds for it at that moment (RFC 4528).
    ///
    /// # Errors
    ///
    /// As the variants of [`DirectoryError`] say.
    pub async fn modify_if(
        &self,
        name: &str,
        filter: &str,
        changes: Vec<Change>,
    ) -> Result<(), DirectoryError> {
        let mut assertion = Assertion::new(filter);
        assertion.crit = true;
        self.modify_with(name, vec![assertion], changes).await
    }

    async fn modify_with(
        &self,
        name: &str,
        controls: Vec<RawControl>,
        changes: Vec<Change>,
    ) -> Result<(), DirectoryError> {
        let doing = || format!("changing {name:?}");
        let values = HashSet::<Vec<u8>>::from_iter;
        let kinds: Vec<String> = changes.iter().map(|it| it.attribute().to_owned()).collect();
        let changes = changes
            .into_iter()
            .map(|it| match it {
                Change::Add(name, it) => Mod::Add(name.into_bytes(), values(it)),
                Change::Delete(name, it) => Mod::Delete(name.into_bytes(), values(it)),
                Change::Replace(name, it) => Mod::Replace(name.into_bytes(), values(it)),
            })
            .collect();
        let mut ldap = self.ldap.clone();
        if !controls.is_empty() {
            ldap.with_controls(controls);
        }
        let result = self.timed(doing, ldap.modify(name, changes)).await?;
        self.written.judge(&kinds, done(&doing(), &result))
    }

    /// Makes an object.
    ///
    /// # Errors
    ///
    /// As the variants of [`DirectoryError`] say.
    pub async fn add(
        &self,
        name: &str,
        attributes: Vec<(String, Vec<Vec<u8>>)>,
    ) -> Result<(), DirectoryError> {
        let doing = || format!("making {name:?}");
        let attributes = attributes
            .into_iter()
            .map(|(name, values)| (name.into_bytes(), values.into_iter().collect()))
            .collect();
        let mut ldap = self.ldap.clone();
        let result = self.timed(doing, ldap.add(name, attributes)).await?;
        self.written.judge(&[NEW_OBJECT], done(&doing(), &result))
    }

    /// Waits for an operation, and not beyond what is left.
    async fn timed<T>(
        &self,
        doing: impl Fn() -> String,
        operation: impl Future<Output = ldap3::result::Result<T>>,
    ) -> Result<T, DirectoryError> {
        let now = Instant::now();
        let end = self.until.min(now + self.timeout);
        if end <= now {
            return Err(DirectoryError::Deadline { doing: doing() });
        }
        match timeout_at(end, operation).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(LdapError::LdapResult { result })) => Err(refusal(&doing(), &result)),
            Ok(Err(err)) => {
                Err(DirectoryError::Lost { doing: doing(), reason: outcome::chain(&err) })
            }
            Err(_) => Err(DirectoryError::Timeout { doing: doing(), within: end - now }),
        }
    }
}

fn done(doing: &str, result: &LdapResult) -> Result<(), DirectoryError> {
    if result.rc == 0 { Ok(()) } else { Err(refusal(doing, result)) }
}

/// A server's answer that is no success.
fn refusal(doing: &str, result: &LdapResult) -> DirectoryError {
    let text = outcome::line(result.text.trim_end_matches('\0'));
    let said: String = text.chars().take(SAID_CHARS_MAX).collect();
    let said = if said.is_empty() { said } else { format!(": {said}") };
    let name = result_code::find(result.rc).name;
    DirectoryError::Answer { doing: doing.to_owned(), code: result.rc, name, said }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_says_whether_values_are_transferred_as_binary() {
        let of_openldap = "( 2.5.4.36 NAME 'userCertificate' DESC 'RFC2256: X.509 user certificate, \
                           use ;binary' EQUALITY certificateExactMatch SYNTAX \
                           1.3.6.1.4.1.1466.115.121.1.8 )";
        let of_octets = "( 2.5.4.36 NAME ( 'userCertificate' 'uc' ) SYNTAX \
                         '1.3.6.1.4.1.1466.115.121.1.40{32768}' )";
        let other = "( 2.16.840.1.113730.3.1.40 NAME 'userSMIMECertificate' SYNTAX \
                     1.3.6.1.4.1.1466.115.121.1.5 )";
        let types = |it: &[&str]| it.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        assert!(wants_binary(&types(&[other, of_openldap])));
        assert!(!wants_binary(&types(&[other, of_octets])));
        assert!(wants_binary(&types(&[other])));
    }

    #[test]
    fn an_attribute_is_found_with_and_without_its_option() {
        let attributes =
            |it: &[&str]| it.iter().map(|&it| (it.to_owned(), vec![vec![7]])).collect();
        let entry = |it: &[&str]| Entry { name: "cn=a".to_owned(), attributes: attributes(it) };
        assert_eq!(entry(&["userCertificate;binary"]).values("usercertificate").count(), 1);
        assert_eq!(entry(&["userCertificate", "cn"]).values("userCertificate").count(), 1);
        let partial = entry(&["userCertificate;range=0-1499"]);
        assert_eq!(partial.values("userCertificate").count(), 0);
        assert!(partial.is_partial("userCertificate"));
        assert!(!entry(&["userCertificate;binary"]).is_partial("userCertificate"));
    }

    #[test]
    fn a_servers_words_are_one_line_in_a_reason() {
        let result = LdapResult {
            rc: 49,
            matched: String::new(),
            text: "80090308: LdapErr\r\n data 52e, v1db1\0".to_owned(),
            refs: Vec::new(),
            ctrls: Vec::new(),
        };
        let err = refusal("logging in", &result);
        assert_eq!(
            err.to_string(),
            "logging in: invalidCredentials (49): 80090308: LdapErr   data 52e, v1db1"
        );
        assert!(matches!(err.outcome(), Outcome::Retry { .. }));
    }
}
