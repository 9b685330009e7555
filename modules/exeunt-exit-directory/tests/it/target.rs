//! The two servers that the same faults are tried with: what a test has to know of either.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use exeunt_testbed::{
    authority::{Authority, Flaw},
    openldap::{self, OpenLdap},
    samba::{self, ActiveDirectory},
};
use serde_json::{Value as Json, json};

use crate::fixture::{self, Holdings, with};

/// What somebody else writes: `add` or `delete`, whose value, and which.
pub type Foreign<'a> = (&'static str, &'a str, &'a [u8]);

/// A directory with people.
pub trait Target: Sync {
    /// Settings that work with it, at another address perhaps.
    fn settings(&self, url: &str) -> Json;
    /// Where LDAPS is.
    fn tls_port(&self) -> u16;
    /// `ldap://…`, which takes `StartTLS`.
    fn plain_url(&self) -> String;
    /// Makes people.
    fn add_persons(&self, names: &[String]);
    /// The name of a person's object.
    fn dn(&self, account: &str) -> String;
    /// What these people hold, as the server's own tools tell it.
    fn holdings(&self, names: &[String]) -> Holdings;
    /// Everything else that the directory holds.
    fn rest(&self, names: &[String]) -> Vec<String>;
    /// Sets an attribute of a person's object.
    fn set(&self, account: &str, attribute: &str, value: &str);
    /// An attribute that holds a principal name.
    fn principal_name(&self) -> &'static str;
    /// Puts values on people's objects as somebody else would, over the network.
    fn write_as_another(&self, changes: &[Foreign<'_>]);
    /// An account that may only read.
    fn reader(&self) -> &'static str;
    /// The container of a CA's objects, empty for a name that nobody has used.
    fn pki(&self) -> &'static str;
    /// Values of an attribute, by the server's own tools.
    fn values(&self, dn: &str, attribute: &str) -> Vec<Vec<u8>>;
    /// Kills it at once.
    fn kill(&self);
    /// Starts it again.
    fn start_again(&self);
    /// Starts it again with another certificate.
    fn start_again_with(&self, flaw: Flaw);
}

/// `OpenLDAP`, for one test alone.
pub struct Open(RwLock<OpenLdap>);

impl Open {
    pub fn start() -> Self {
        Self(RwLock::new(OpenLdap::start()))
    }

    fn server(&self) -> RwLockReadGuard<'_, OpenLdap> {
        self.0.read().unwrap()
    }
}

impl Target for Open {
    fn settings(&self, url: &str) -> Json {
        fixture::settings(&self.server(), url)
    }

    fn tls_port(&self) -> u16 {
        self.server().tls_port()
    }

    fn plain_url(&self) -> String {
        self.server().url()
    }

    fn add_persons(&self, names: &[String]) {
        self.server().add_persons(names.iter().map(String::as_str));
    }

    fn dn(&self, account: &str) -> String {
        format!("uid={account},{}", openldap::PEOPLE)
    }

    fn holdings(&self, names: &[String]) -> Holdings {
        let mut all = fixture::holdings(&self.server());
        all.retain(|name, _| names.contains(name));
        all
    }

    fn rest(&self, _names: &[String]) -> Vec<String> {
        fixture::rest(&self.server())
    }

    fn write_as_another(&self, changes: &[Foreign<'_>]) {
        let ldif: Vec<String> =
            changes.iter().map(|it| fixture::ldif_value(it.0, it.1, it.2)).collect();
        self.server().admin_ldif(&ldif.concat());
    }

    fn set(&self, account: &str, attribute: &str, value: &str) {
        let change = replacement(&self.dn(account), attribute, value);
        self.server().admin_ldif(&change);
    }

    /// Its schema has none of its own.
    fn principal_name(&self) -> &'static str {
        "description"
    }

    fn reader(&self) -> &'static str {
        openldap::READER
    }

    fn pki(&self) -> &'static str {
        openldap::PKI
    }

    fn values(&self, dn: &str, attribute: &str) -> Vec<Vec<u8>> {
        self.server().values(dn, &format!("{attribute};binary"))
    }

    fn kill(&self) {
        self.0.write().unwrap().kill();
    }

    fn start_again(&self) {
        self.0.write().unwrap().start_again();
    }

    fn start_again_with(&self, flaw: Flaw) {
        self.0.write().unwrap().start_again_with(flaw);
    }
}

/// The domain controller, which all tests of a process have in common: one after the other. It ends
/// with the last one that waits for it.
pub struct Domain {
    // Ends before the next one's turn comes.
    server: Arc<RwLock<ActiveDirectory>>,
    _turn: MutexGuard<'static, ()>,
}

static SHARED: Mutex<Weak<RwLock<ActiveDirectory>>> = Mutex::new(Weak::new());
static TURN: Mutex<()> = Mutex::new(());

impl Domain {
    /// Waits for its turn; nothing where this system can have no domain controller and somebody has
    /// said so.
    pub fn start() -> Option<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let running = match shared.upgrade() {
            Some(running) => running,
            None => Arc::new(RwLock::new(ActiveDirectory::start()?)),
        };
        *shared = Arc::downgrade(&running);
        drop(shared);
        // A test that failed may have left it killed; the next one says so soon enough.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Self { server: running, _turn: turn })
    }

    /// The server itself.
    pub fn server(&self) -> RwLockReadGuard<'_, ActiveDirectory> {
        self.server.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn with(&self, work: impl FnOnce(&mut ActiveDirectory)) {
        work(&mut self.server.write().unwrap_or_else(PoisonError::into_inner));
    }
}

fn replacement(dn: &str, attribute: &str, value: &str) -> String {
    let value = STANDARD.encode(value);
    format!("dn: {dn}\nchangetype: modify\nreplace: {attribute}\n{attribute}:: {value}\n\n")
}

/// Settings that work with a domain.
pub fn domain_settings(server: &ActiveDirectory, url: &str) -> Json {
    json!({
        "servers": [url],
        "ca_file": server.authority().certificate(),
        "bind_dn": samba::PUBLISHER,
        "password_file": server.password_file(),
        "connect_timeout_s": 15,
        "timeout_s": 15,
        "return_after_s": 1,
        "users": {"remove_revoked": true},
    })
}

/// Certificates in what `ldbsearch` prints, by account.
fn held(text: &str) -> Holdings {
    let mut all = Holdings::new();
    for entry in text.split("\n\n") {
        let lines = || entry.lines();
        let Some(name) = lines().find_map(|it| it.strip_prefix("sAMAccountName: ")) else {
            continue;
        };
        let values = lines().filter_map(|it| it.strip_prefix("userCertificate:: "));
        let values: BTreeSet<Vec<u8>> = values.map(|it| STANDARD.decode(it).unwrap()).collect();
        if !values.is_empty() {
            all.insert(name.to_owned(), values);
        }
    }
    all
}

impl Target for Domain {
    fn settings(&self, url: &str) -> Json {
        domain_settings(&self.server(), url)
    }

    fn tls_port(&self) -> u16 {
        self.server().tls_port()
    }

    fn plain_url(&self) -> String {
        self.server().url()
    }

    fn add_persons(&self, names: &[String]) {
        self.server().add_persons(names.iter().map(String::as_str));
    }

    fn dn(&self, account: &str) -> String {
        format!("CN={account},{}", samba::USERS)
    }

    fn holdings(&self, names: &[String]) -> Holdings {
        let words = ["(userCertificate=*)", "sAMAccountName", "userCertificate"];
        let mut all = held(&self.server().search(samba::USERS, "one", &words));
        all.retain(|name, _| names.contains(name));
        all
    }

    /// The domain and the forest's configuration, but for these people's certificates.
    fn rest(&self, names: &[String]) -> Vec<String> {
        let ours = |entry: &String| {
            entry
                .lines()
                .find_map(|it| it.strip_prefix("sAMAccountName: "))
                .is_some_and(|it| names.iter().any(|name| name == it))
        };
        let server = self.server();
        let all = [samba::DOMAIN, samba::CONFIGURATION].map(|it| server.contents(it));
        let rest = |entry: String| {
            if !ours(&entry) {
                return entry;
            }
            let lines = entry.lines().filter(|it| !it.starts_with("userCertificate:"));
            lines.collect::<Vec<_>>().join("\n")
        };
        all.into_iter().flatten().map(rest).collect()
    }

    fn write_as_another(&self, changes: &[Foreign<'_>]) {
        let change = |(verb, account, der): &Foreign<'_>| {
            format!(
                "dn: {}\nchangetype: modify\n{verb}: userCertificate\nuserCertificate:: {}\n\n",
                self.dn(account),
                STANDARD.encode(der)
            )
        };
        let ldif: String = changes.iter().map(change).collect();
        self.server().try_ldif(samba::ADMIN, &ldif).unwrap();
    }

    fn set(&self, account: &str, attribute: &str, value: &str) {
        self.server().ldif(&replacement(&self.dn(account), attribute, value));
    }

    fn principal_name(&self) -> &'static str {
        "userPrincipalName"
    }

    fn reader(&self) -> &'static str {
        samba::READER
    }

    fn pki(&self) -> &'static str {
        samba::PKI
    }

    fn values(&self, dn: &str, attribute: &str) -> Vec<Vec<u8>> {
        domain_values(&self.server(), dn, attribute)
    }

    fn kill(&self) {
        self.with(ActiveDirectory::kill);
    }

    fn start_again(&self) {
        self.with(ActiveDirectory::start_again);
    }

    fn start_again_with(&self, flaw: Flaw) {
        self.with(|it| it.start_again_with(flaw));
    }
}

/// Values of an attribute, as Samba's own tool reads them from its files.
pub fn domain_values(server: &ActiveDirectory, dn: &str, attribute: &str) -> Vec<Vec<u8>> {
    let text = server.search(dn, "base", &[attribute]);
    let start = format!("{attribute}:: ");
    let lines = text.lines().filter_map(|it| it.strip_prefix(&start));
    let mut values: Vec<Vec<u8>> = lines.map(|it| STANDARD.decode(it).unwrap()).collect();
    values.sort();
    values
}

/// Settings for the CA's objects, and nothing for holders.
pub fn object_settings(target: &impl Target, url: &str) -> Json {
    let more = json!({
        "users": {"publish": "never"},
        "objects": {"container": target.pki(), "make": "parents"},
    });
    with(target.settings(url), &more)
}

/// An authority that issued none of the server's certificates.
pub fn stranger() -> (tempfile::TempDir, Authority) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(&folder.path().join("tls"));
    (folder, authority)
}
