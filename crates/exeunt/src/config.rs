//! The configuration: `exeunt.toml` as it is written, and the settings that it makes.
//!
//! The file's types know serde and stop here. [`Config`] is valid as a whole; whoever holds one
//! need not check again.

mod archive;
mod audit;
mod crl;
mod door;
mod exit;
mod expiry;
mod file;
mod key;
mod ocsp;
mod policy;
mod principal;
mod renewal;
mod template;
mod template_file;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use exeunt_engine::{OcspSettings, Publication, ServerCertificateSettings};
use exeunt_http::{Principal, PrincipalError, Principals, TcpDoor, Tls};
use exeunt_policy::{Template, TemplatePolicy, TemplatePolicyError};
use exeunt_types::ExitNameError;

pub use archive::{KeyArchivalConfig, warnings as key_archival_warnings};
pub use audit::AuditConfig;
pub use crl::CrlConfig;
pub use door::names_of_doors;
pub use exit::{ExitConfig, ModuleConfig, ReconcileConfig, file_of_word, own_folder};
use file::File;
pub use file::KeyTable;
pub use key::{KeyConfig, PassphraseSource, SchemeConfig};
pub use policy::{POLICY_NAME, PolicyConfig};
pub use renewal::{RENEWAL_COUNT_MAX, RenewalConfig};
pub use template_file::{check_templates, warn_of};

/// Largest configuration file, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 1024 * 1024;
/// Most exit modules.
pub const EXIT_COUNT_MAX: usize = 64;
/// Longest that an answer waits for modules, in seconds.
const BEFORE_REPLY_S_MAX: u64 = 60;
/// How long an answer waits for modules where nothing is said, in seconds.
const BEFORE_REPLY_S_DEFAULT: u64 = 5;
/// Longest pause between two heartbeats, in seconds: a day.
const HEARTBEAT_S_MAX: u64 = 86_400;

/// Settings of one CA, checked as a whole. Paths are absolute.
#[derive(Debug)]
pub struct Config {
    /// The CA's name.
    pub name: String,
    /// Its certificate, PEM.
    pub certificate: PathBuf,
    /// Where its private key is.
    pub key: KeyConfig,
    /// Its further certificates, in the order in which they were installed.
    pub renewals: Vec<RenewalConfig>,
    /// Whether each signature is verified before its certificate is recorded.
    pub check_signatures: bool,
    /// Where HTTP listens, if it does.
    pub listen: Option<SocketAddr>,
    /// Which certificate the listener shows; plain HTTP without.
    pub tls: Option<Tls>,
    /// Further listeners.
    pub doors: Vec<TcpDoor>,
    /// How the server's own certificate is made; without names, those of the doors.
    pub own_certificate: ServerCertificateSettings,
    /// Bearer tokens by name, each in a file of its own.
    pub token_files: BTreeMap<String, PathBuf>,
    /// Who is known, beside those with tokens in files.
    pub principals: Vec<Principal>,
    /// Whether nobody may have two roles of the administration.
    pub role_separation: bool,
    /// Where the Unix socket is for users of principals, if there is one.
    pub peer_socket: Option<PathBuf>,
    /// Longest that an answer waits for modules that are told before it.
    pub before_reply: Duration,
    /// Silence in the log after which a heartbeat is written, if any is.
    pub heartbeat: Option<Duration>,
    /// Addresses that go into certificates.
    pub publication: Publication,
    /// How revocation lists are made.
    pub crl: CrlConfig,
    /// How OCSP is answered.
    pub ocsp: OcspSettings,
    /// How many days before they run out modules are told of certificates, the nearest first.
    pub expiry: Vec<u32>,
    /// How subscribers' keys are archived.
    pub key_archival: KeyArchivalConfig,
    /// What is written into the audit trail, and how often it is signed.
    pub audit: AuditConfig,
    /// The templates, checked.
    pub templates: Vec<Template>,
    /// Template of a request that names none.
    pub default_template: Option<String>,
    /// The policy module, if there is one; else the templates decide alone.
    pub policy: Option<PolicyConfig>,
    /// The exit modules, in the file's order.
    pub exits: Vec<ExitConfig>,
}

/// Why a configuration is refused. The first thing wrong, with the key it is about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is too large to be a configuration.
    #[error("{0} is larger than {CONFIG_BYTES_MAX} bytes")]
    TooLarge(PathBuf),
    /// Not TOML, an unknown key, a wrong type.
    #[error("line {line}: {reason}")]
    Syntax {
        /// Line of the file, from 1 on.
        line: usize,
        /// What the parser said, on one line.
        reason: String,
    },
    /// A value that does not do.
    #[error("{key}: {reason}")]
    Value {
        /// The key, as a path.
        key: String,
        /// What is wrong with its value.
        reason: String,
    },
    /// A template, or the list of them.
    #[error(transparent)]
    Templates(#[from] TemplatePolicyError),
    /// A principal has two roles that role separation keeps apart.
    #[error(transparent)]
    Separation(PrincipalError),
    /// The name of an exit module.
    #[error(transparent)]
    ExitName(#[from] ExitNameError),
}

impl ConfigError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                "config-missing"
            }
            Self::Read { .. } => "config-unreadable",
            Self::TooLarge(_) => "config-too-large",
            Self::Syntax { .. } => "config-syntax",
            Self::Separation(err) => err.code(),
            Self::Value { .. } | Self::Templates(_) | Self::ExitName(_) => "config-invalid",
        }
    }

    /// Whether it is about the expression of a module.
    pub fn is_about_filter(&self) -> bool {
        matches!(self, Self::Value { key, .. } if key.ends_with(": where"))
    }
}

fn value_error(key: impl Into<String>, reason: impl Into<String>) -> ConfigError {
    ConfigError::Value { key: key.into(), reason: reason.into() }
}

fn syntax_error(text: &str, error: &toml::de::Error) -> ConfigError {
    let start = error.span().map_or(0, |it| it.start).min(text.len());
    let line = text.as_bytes()[..start].split(|it| *it == b'\n').count();
    ConfigError::Syntax { line, reason: error.message().replace('\n', ", ") }
}

impl Config {
    /// Reads and checks a configuration. Relative paths in it are relative to `home`.
    ///
    /// # Errors
    ///
    /// The first thing wrong, with the key it is about.
    pub fn load(path: &Path, home: &Path) -> Result<Self, ConfigError> {
        Self::from_toml(&Self::read(path)?, home)
    }

    /// Reads the text of a configuration, if it is not too large to be one.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Read`], [`ConfigError::TooLarge`].
    pub fn read(path: &Path) -> Result<String, ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let size = std::fs::metadata(path).map_err(read)?.len();
        if CONFIG_BYTES_MAX < size {
            return Err(ConfigError::TooLarge(path.to_owned()));
        }
        std::fs::read_to_string(path).map_err(read)
    }

    /// Checks the text of a configuration.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn from_toml(text: &str, home: &Path) -> Result<Self, ConfigError> {
        let File {
            ca,
            key,
            renewal,
            server,
            principal,
            tls: own_certificate,
            door: doors,
            publication,
            crl,
            ocsp,
            expiry,
            audit,
            key_archival,
            recovery_agent,
            policy,
            template,
            exit,
        } = toml::from_str(text).map_err(|err| syntax_error(text, &err))?;
        if ca.name.is_empty() || 64 < ca.name.chars().count() || ca.name.contains(char::is_control)
        {
            return Err(value_error("ca.name", "must be 1 to 64 characters without controls"));
        }
        let tls = door::of_server(&server, home)?;
        if let Some(address) = server.listen {
            check_listen(address, tls.is_some())?;
        }
        let principals =
            principal.into_iter().map(principal::checked).collect::<Result<Vec<_>, _>>()?;
        Principals::new(principals.clone(), Vec::new(), server.role_separation)
            .map_err(principal::together)?;
        let archive_rules = archive::rules(&template)?;
        let templates =
            template.into_iter().map(template::checked).collect::<Result<Vec<_>, _>>()?;
        TemplatePolicy::new(templates.clone(), policy.default_template.clone())?;
        let exits =
            exit.into_iter().map(|it| exit::checked(it, home)).collect::<Result<Vec<_>, _>>()?;
        exit::check_all(&exits)?;
        let crl = crl::checked(crl)?;
        crl.settings
            .check(&publication.crl_distribution_points)
            .map_err(|rule| value_error("crl.partitions", rule))?;
        let ocsp = ocsp::checked(&ocsp)?;
        let expiry = expiry::checked(expiry)?;
        let audit = audit::checked(&audit)?;
        let key_archival = archive::checked(&key_archival, recovery_agent, archive_rules, home)?;
        let before_reply_s = server.before_reply_s.unwrap_or(BEFORE_REPLY_S_DEFAULT);
        if before_reply_s == 0 || BEFORE_REPLY_S_MAX < before_reply_s {
            let reason = format!("must be 1 to {BEFORE_REPLY_S_MAX}");
            return Err(value_error("server.before_reply_s", reason));
        }
        if HEARTBEAT_S_MAX < server.heartbeat_s {
            let reason = format!("must be 0, for none, to {HEARTBEAT_S_MAX}");
            return Err(value_error("server.heartbeat_s", reason));
        }
        Ok(Self {
            name: ca.name,
            certificate: home.join(ca.certificate),
            key: KeyConfig::checked("key", &key, home)?,
            renewals: renewal::checked(renewal, home)?,
            check_signatures: key.check_signatures,
            listen: server.listen,
            tls,
            doors: door::checked(doors, home)?,
            own_certificate: door::own(own_certificate)?,
            token_files: server
                .token_files
                .into_iter()
                .map(|(name, file)| (name, home.join(file)))
                .collect(),
            principals,
            role_separation: server.role_separation,
            peer_socket: server.peer_socket.map(|it| home.join(it)),
            before_reply: Duration::from_secs(before_reply_s),
            heartbeat: Some(Duration::from_secs(server.heartbeat_s)).filter(|it| !it.is_zero()),
            publication: Publication {
                crl_distribution_points: publication.crl_distribution_points,
                ca_issuers: publication.ca_issuers,
                ocsp: publication.ocsp,
            },
            crl,
            ocsp,
            expiry,
            audit,
            key_archival,
            templates,
            policy: policy::checked(&policy, home)?,
            default_template: policy.default_template,
            exits,
        })
    }
}

impl Config {
    /// The keys outside of `[[exit]]` and of what says who may do what, in which two configurations
    /// differ. They count after a restart only.
    pub fn differing_keys(&self, other: &Self) -> Vec<&'static str> {
        let Self {
            name,
            certificate,
            key,
            renewals,
            check_signatures,
            listen,
            tls,
            doors,
            own_certificate,
            // They count at once.
            token_files: _,
            principals: _,
            role_separation: _,
            peer_socket,
            before_reply,
            heartbeat,
            publication,
            crl,
            ocsp,
            expiry,
            audit,
            key_archival,
            templates,
            default_template,
            // They count at once.
            policy: _,
            exits: _,
        } = self;
        let same = [
            ("ca.name", *name == other.name),
            ("ca.certificate", *certificate == other.certificate),
            ("key", *key == other.key),
            ("renewal", *renewals == other.renewals),
            ("key.check_signatures", *check_signatures == other.check_signatures),
            ("server.listen", *listen == other.listen),
            ("server.tls", *tls == other.tls),
            ("server.peer_socket", *peer_socket == other.peer_socket),
            ("door", *doors == other.doors),
            ("tls", *own_certificate == other.own_certificate),
            ("server.before_reply_s", *before_reply == other.before_reply),
            ("server.heartbeat_s", *heartbeat == other.heartbeat),
            ("publication", *publication == other.publication),
            ("crl", *crl == other.crl),
            ("ocsp", *ocsp == other.ocsp),
            ("expiry", *expiry == other.expiry),
            // The filter counts at once.
            ("audit", AuditConfig { filter: other.audit.filter, ..*audit } == other.audit),
            ("key_archival", *key_archival == other.key_archival),
            ("template", *templates == other.templates),
            ("policy.default_template", *default_template == other.default_template),
        ];
        same.into_iter().filter(|(_, same)| !same).map(|(key, _)| key).collect()
    }
}

/// Plain HTTP carries the token in the clear, so it stays on this machine.
///
/// # Errors
///
/// [`ConfigError::Value`] for plain HTTP on any other address.
pub fn check_listen(address: SocketAddr, tls: bool) -> Result<(), ConfigError> {
    if tls || address.ip().is_loopback() {
        return Ok(());
    }
    let reason = format!(
        "{address} is not a loopback address, and without TLS the token would cross the \
         network in the clear"
    );
    Err(value_error("server.listen", reason))
}

#[cfg(test)]
mod mutation;
#[cfg(test)]
mod tests;
