//! The configuration: `exeunt.toml` as it is written, and the settings that it makes.
//!
//! The file's types know serde and stop here. [`Config`] is valid as a whole; whoever holds one
//! need not check again.

mod file;
mod template;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use exeunt_dispatch::RetrySchedule;
use exeunt_engine::Publication;
use exeunt_policy::{Template, TemplatePolicy, TemplatePolicyError};
use exeunt_types::{EventSeq, ExitName, ExitNameError, StartAt};

use file::{ExitTable, File, StartWord};

/// Largest configuration file, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 1024 * 1024;
/// Most exit modules.
pub const EXIT_COUNT_MAX: usize = 64;
/// Longest deadline for one event, in seconds.
const DEADLINE_S_MAX: u64 = 3600;

/// Settings of one CA, checked as a whole. Paths are absolute.
#[derive(Debug)]
pub struct Config {
    /// The CA's name.
    pub name: String,
    /// Its certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key: encrypted PKCS#8 in PEM.
    pub key: PathBuf,
    /// Where the key's passphrase comes from.
    pub passphrase: PassphraseSource,
    /// Whether each signature is verified before its certificate is recorded.
    pub check_signatures: bool,
    /// Where HTTP listens, if it does.
    pub listen: Option<SocketAddr>,
    /// Certificate chain and key of the listener, PEM; plain HTTP without.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Bearer tokens by name, each in a file of its own.
    pub token_files: BTreeMap<String, PathBuf>,
    /// Addresses that go into certificates.
    pub publication: Publication,
    /// The templates, checked.
    pub templates: Vec<Template>,
    /// Template of a request that names none.
    pub default_template: Option<String>,
    /// The exit modules, in the file's order.
    pub exits: Vec<ExitConfig>,
}

/// Where the passphrase of the CA's key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassphraseSource {
    /// A file that only its owner can read.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
}

/// One exit module.
#[derive(Clone, Debug)]
pub struct ExitConfig {
    /// Its name.
    pub name: ExitName,
    /// What runs.
    pub module: ModuleConfig,
    /// Where a module that is new to the store begins.
    pub start_at: StartAt,
    /// How long it may take for one event.
    pub deadline: Duration,
    /// Most events that are under way at once.
    pub window: u32,
    /// When a failed delivery is tried again.
    pub retry: RetrySchedule,
    /// The module's own settings, passed on as they are.
    pub settings: serde_json::Map<String, serde_json::Value>,
}

/// What runs as a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleConfig {
    /// One of the modules inside this program.
    Shipped(String),
    /// A program with its arguments.
    Command(Vec<String>),
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
            Self::Value { .. } | Self::Templates(_) | Self::ExitName(_) => "config-invalid",
        }
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
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let size = std::fs::metadata(path).map_err(read)?.len();
        if CONFIG_BYTES_MAX < size {
            return Err(ConfigError::TooLarge(path.to_owned()));
        }
        Self::from_toml(&std::fs::read_to_string(path).map_err(read)?, home)
    }

    /// Checks the text of a configuration.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn from_toml(text: &str, home: &Path) -> Result<Self, ConfigError> {
        let File { ca, key, server, publication, policy, template, exit } =
            toml::from_str(text).map_err(|err| syntax_error(text, &err))?;
        if ca.name.is_empty() || 64 < ca.name.chars().count() || ca.name.contains(char::is_control)
        {
            return Err(value_error("ca.name", "must be 1 to 64 characters without controls"));
        }
        let passphrase = match (key.passphrase_file, key.passphrase_env) {
            (Some(file), None) => PassphraseSource::File(home.join(file)),
            (None, Some(name)) => PassphraseSource::Environment(name),
            _ => {
                let reason = "give exactly one of passphrase_file and passphrase_env";
                return Err(value_error("key", reason));
            }
        };
        let tls = match (server.tls_certificate, server.tls_key) {
            (Some(certificate), Some(key)) => Some((home.join(certificate), home.join(key))),
            (None, None) => None,
            _ => return Err(value_error("server", "tls_certificate and tls_key go together")),
        };
        if let Some(address) = server.listen {
            check_listen(address, tls.is_some())?;
        }
        let templates =
            template.into_iter().map(template::checked).collect::<Result<Vec<_>, _>>()?;
        TemplatePolicy::new(templates.clone(), policy.default_template.clone())?;
        let exits = exit.into_iter().map(exit_config).collect::<Result<Vec<_>, _>>()?;
        check_exits(&exits)?;
        Ok(Self {
            name: ca.name,
            certificate: home.join(ca.certificate),
            key: home.join(key.file),
            passphrase,
            check_signatures: key.check_signatures,
            listen: server.listen,
            tls,
            token_files: server
                .token_files
                .into_iter()
                .map(|(name, file)| (name, home.join(file)))
                .collect(),
            publication: Publication {
                crl_distribution_points: publication.crl_distribution_points,
                ca_issuers: publication.ca_issuers,
                ocsp: publication.ocsp,
            },
            templates,
            default_template: policy.default_template,
            exits,
        })
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
        "{address} is not a loopback address, and without tls_certificate and tls_key the token \
         would cross the network in the clear"
    );
    Err(value_error("server.listen", reason))
}

fn exit_config(table: ExitTable) -> Result<ExitConfig, ConfigError> {
    let ExitTable {
        name,
        module,
        command,
        start_at,
        deadline_s,
        window,
        retry_first_s,
        retry_longest_s,
        retry_attempts_max,
        settings,
    } = table;
    let key = |field: &str| format!("exit {name:?}: {field}");
    let module = match (module, command) {
        (Some(module), None) => {
            if !crate::command::run_module::SHIPPED.contains(&module.as_str()) {
                let known = crate::command::run_module::SHIPPED.join(", ");
                let reason = format!("there is no module {module:?}; there are: {known}");
                return Err(value_error(key("module"), reason));
            }
            ModuleConfig::Shipped(module)
        }
        (None, Some(command)) if !command.is_empty() => ModuleConfig::Command(command),
        _ => {
            let reason = "give exactly one of module and command (a list, the program first)";
            return Err(value_error(key("module"), reason));
        }
    };
    if deadline_s == 0 || DEADLINE_S_MAX < deadline_s {
        return Err(value_error(key("deadline_s"), format!("must be 1 to {DEADLINE_S_MAX}")));
    }
    if window == 0 || exeunt_module::WINDOW_MAX < window {
        let reason = format!("must be 1 to {}", exeunt_module::WINDOW_MAX);
        return Err(value_error(key("window"), reason));
    }
    if retry_first_s == 0 || retry_longest_s < retry_first_s || retry_attempts_max == 0 {
        let reason = "retry_first_s must be at least 1 and at most retry_longest_s, and \
                      retry_attempts_max at least 1";
        return Err(value_error(key("retry"), reason));
    }
    let start_at = match start_at {
        StartWord::Word(word) if word == "head" => StartAt::Head,
        StartWord::Word(word) if word == "first" => StartAt::After(EventSeq(0)),
        StartWord::After(place) => StartAt::After(EventSeq(place)),
        StartWord::Word(_) => {
            let reason = "must be \"head\", \"first\" or the number of an event";
            return Err(value_error(key("start_at"), reason));
        }
    };
    Ok(ExitConfig {
        name: ExitName::parse(&name)?,
        module,
        start_at,
        deadline: Duration::from_secs(deadline_s),
        window,
        retry: RetrySchedule {
            first: Duration::from_secs(retry_first_s),
            longest: Duration::from_secs(retry_longest_s),
            attempts_max: retry_attempts_max,
            ..RetrySchedule::default()
        },
        settings,
    })
}

fn check_exits(exits: &[ExitConfig]) -> Result<(), ConfigError> {
    if EXIT_COUNT_MAX < exits.len() {
        return Err(value_error("exit", format!("more than {EXIT_COUNT_MAX} modules")));
    }
    for (index, exit) in exits.iter().enumerate() {
        if exits[..index].iter().any(|it| it.name == exit.name) {
            return Err(value_error("exit", format!("the name {} is there twice", exit.name)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
