//! Why something was not done to a module.

use std::path::PathBuf;

use exeunt_dispatch::DispatchError;
use exeunt_http::{Refusal, RefusalKind};
use exeunt_store::StoreError;
use exeunt_types::ExitName;

use super::edit::EditError;
use crate::config::ConfigError;
use crate::failure::chain;

/// Why something was not done to a module. Nothing is changed then, unless the variant says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManageError {
    /// No running module has that name.
    #[error("no exit module is called {0:?}")]
    Unknown(String),
    /// No principal has that name.
    #[error("no principal is called {0:?}")]
    UnknownPrincipal(String),
    /// A principal has no token of that name.
    #[error("principal {principal:?} has no token {token:?}")]
    UnknownToken {
        /// The principal.
        principal: String,
        /// The token.
        token: String,
    },
    /// Tokens in files cannot be read, or do not go together with the principals.
    #[error("who may do what cannot be read: {0}")]
    Principals(String),
    /// There is no such request.
    #[error("there is no request {0}")]
    UnknownRequest(u64),
    /// The name of a new module is taken.
    #[error("there is an exit module called {0} already")]
    Exists(ExitName),
    /// The configuration was edited by hand, and the module is not in it any more.
    #[error("the running module {0:?} is not in exeunt.toml any more")]
    NotInFile(String),
    /// The configuration cannot be edited as it stands, or not like that.
    #[error(transparent)]
    Edit(EditError),
    /// With the edit it would not be a good configuration, or it is none before.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The configuration cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Somebody else has changed the configuration while the change was under way.
    #[error("{} was changed meanwhile by somebody else", .0.display())]
    ChangedMeanwhile(PathBuf),
    /// A folder of the module cannot be made.
    #[error("the folder {} cannot be made", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The program that loads libraries is not there.
    #[error("{} is not there, and it loads the libraries of modules", .0.display())]
    RunnerMissing(PathBuf),
    /// An order that cannot be, as it is given.
    #[error("{what}")]
    Order {
        /// What is wrong with it.
        what: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// The module says that these settings cannot be.
    #[error("the module refuses the settings: {why}")]
    SettingsRefused {
        /// The module's own words.
        why: String,
        /// Those of the settings that it knows whose names may help, those that it needs marked; empty where
        /// it does not say.
        known: Vec<String>,
        /// Its name among the modules inside this program, where it is one.
        shipped: Option<String>,
    },
    /// The module does not start with settings that it had nothing against when it was asked.
    #[error("the module does not start with the settings, and the old ones are put back: {0}")]
    SettingsNotStarted(String),
    /// The module cannot tell its settings.
    #[error("the module does not say which settings it knows")]
    SettingsUnknown,
    /// The module could not be asked.
    #[error("the module cannot be asked")]
    Ask {
        /// Code of the reason.
        code: &'static str,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The dispatcher did not do it.
    #[error(transparent)]
    Dispatch(#[from] DispatchError),
    /// The store did not write or read it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The module is removed, but its place and its shelf are still there.
    #[error("the module {name} is removed, but its backlog could not be dropped")]
    BacklogKept {
        /// The module.
        name: ExitName,
        /// What the store said.
        source: StoreError,
    },
    /// The module's target is being looked after.
    #[error("the target of module {0} is being looked after")]
    MaintenanceRuns(ExitName),
    /// Nobody has looked after the module's target since the server's start.
    #[error("the target of module {0} was not looked after since the server's start")]
    NotMaintained(String),
    /// The server is on its way down.
    #[error("the server is stopping")]
    Stopping,
}

impl From<EditError> for ManageError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Missing(name) => Self::NotInFile(name),
            EditError::NoPrincipal(name) => Self::UnknownPrincipal(name),
            EditError::NoToken { principal, token } => Self::UnknownToken { principal, token },
            error => Self::Edit(error),
        }
    }
}

impl ManageError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "exit-not-found",
            Self::UnknownPrincipal(_) => "principal-not-found",
            Self::UnknownToken { .. } => "token-not-found",
            Self::Edit(EditError::TokenExists { .. }) => "token-exists",
            Self::Principals(_) => "principals-unreadable",
            Self::UnknownRequest(_) => "request-not-found",
            Self::Exists(_) | Self::Edit(EditError::Exists(_)) => "exit-exists",
            Self::NotInFile(_) => "exit-not-in-file",
            Self::Edit(EditError::Value { .. }) => "setting-not-toml",
            Self::Edit(_) => "config-not-editable",
            Self::Config(err) => err.code(),
            Self::Write { .. } => "config-not-written",
            Self::ChangedMeanwhile(_) => "config-changed-meanwhile",
            Self::Folder { .. } => "exit-folder",
            Self::RunnerMissing(_) => "module-runner-missing",
            Self::Order { .. } => "order-invalid",
            Self::SettingsRefused { .. } | Self::SettingsNotStarted(_) => "settings-refused",
            Self::SettingsUnknown => "settings-unknown",
            Self::Ask { code, .. } => code,
            Self::Dispatch(err) => err.code(),
            Self::Store(err) => err.code(),
            Self::BacklogKept { .. } => "backlog-kept",
            Self::MaintenanceRuns(_) => "maintenance-runs",
            Self::NotMaintained(_) => "maintenance-none",
            Self::Stopping => "server-stopping",
        }
    }

    /// What to do about it. `module` is the one that it was about, in words for a command line.
    pub fn hint(&self, module: &str) -> String {
        let hint = match self {
            Self::Unknown(_) => "see what there is: exeunt exit list",
            Self::UnknownPrincipal(_) | Self::UnknownToken { .. } => {
                "see who there is: exeunt principal list"
            }
            Self::Edit(EditError::TokenExists { .. }) => {
                "choose another name, or take that one away first: exeunt token remove"
            }
            Self::Principals(_) => "look at [server] token_files in exeunt.toml",
            Self::UnknownRequest(_) => "see what there is: exeunt request list",
            Self::Exists(_) | Self::Edit(EditError::Exists(_)) => {
                return format!(
                    "choose another name, or change that one: exeunt exit settings set {module}"
                );
            }
            Self::NotInFile(_) => "have the server read its configuration again: exeunt reload",
            Self::Edit(EditError::Value { .. }) => {
                "a setting is a text, a number, true or false, a list or a table"
            }
            Self::Edit(_) => "edit exeunt.toml by hand, then: exeunt reload",
            Self::Config(err) if err.is_about_filter() => {
                "what an expression may say is in docs/manual/filters.md"
            }
            Self::Config(_) => "every key is explained in docs/manual/configuration.md",
            Self::Write { .. } | Self::Folder { .. } => {
                "look at the owner and the mode of the CA's home"
            }
            Self::ChangedMeanwhile(_) => "run it again",
            Self::RunnerMissing(_) => "install exeunt-runner beside exeunt",
            Self::Order { hint, .. } => hint,
            Self::SettingsRefused { known, shipped, .. } => {
                let knows = format!("it knows: {}", known.join(", "));
                return match (known.is_empty(), shipped) {
                    (true, None) => "look into the module's own manual".to_owned(),
                    (true, Some(it)) => format!("its settings: docs/manual/{it}-module.md"),
                    (false, None) => knows,
                    (false, Some(it)) => format!("{knows}; see docs/manual/{it}-module.md"),
                };
            }
            Self::SettingsUnknown => "look into the module's own manual",
            Self::SettingsNotStarted(_) => {
                return format!("see what it is set to: exeunt exit settings get {module}");
            }
            Self::Dispatch(DispatchError::Disabled(_)) => {
                return format!("switch it on first: exeunt exit enable {module}");
            }
            Self::Dispatch(DispatchError::NotHeld { .. }) => {
                return format!("see what is on its shelf: exeunt exit status {module}");
            }
            Self::Dispatch(DispatchError::Ahead { .. }) => {
                return format!("end the replay first: exeunt exit replay {module} --cancel");
            }
            Self::Dispatch(DispatchError::Busy(_) | DispatchError::Changed(_)) => {
                return format!("order it again; how it stands: exeunt exit status {module}");
            }
            Self::Dispatch(DispatchError::Order { source: StoreError::ReplayRuns(_), .. }) => {
                return format!("end that one first: exeunt exit replay {module} --cancel");
            }
            Self::Dispatch(DispatchError::Order {
                source: StoreError::ReplayRange { position, .. },
                ..
            }) => {
                return format!(
                    "{module} was told up to event {position}: give --to {position} or less"
                );
            }
            Self::Dispatch(DispatchError::NoSuchStart { .. }) => {
                "leave --from-event out for what comes from now on"
            }
            Self::Ask { .. } => {
                return format!("see how it stands: exeunt exit status {module}");
            }
            Self::BacklogKept { .. } => {
                "add it again under its name, then remove it with --drop-backlog"
            }
            Self::Dispatch(_) | Self::Store(_) => {
                "the CA's administrator finds the reason in the server's log"
            }
            Self::MaintenanceRuns(_) => {
                return format!("wait, or end it: exeunt exit reconcile {module} --cancel");
            }
            Self::NotMaintained(_) => return format!("try it: exeunt exit test {module}"),
            Self::Stopping => "try again when it runs",
        };
        hint.to_owned()
    }

    /// As the edge tells it. Whoever manages modules is the operator, who may read everything.
    pub fn refusal(self, module: &str) -> Refusal {
        Refusal {
            kind: self.kind(),
            code: self.code(),
            detail: chain(&self),
            hint: self.hint(module),
        }
    }

    fn kind(&self) -> RefusalKind {
        match self {
            Self::Unknown(_)
            | Self::UnknownRequest(_)
            | Self::UnknownPrincipal(_)
            | Self::UnknownToken { .. }
            | Self::SettingsUnknown
            | Self::NotMaintained(_)
            | Self::Dispatch(DispatchError::Unknown(_)) => RefusalKind::Missing,
            Self::Exists(_)
            | Self::NotInFile(_)
            | Self::ChangedMeanwhile(_)
            | Self::MaintenanceRuns(_)
            | Self::Edit(EditError::Exists(_) | EditError::Form | EditError::TokenExists { .. })
            | Self::Dispatch(
                DispatchError::Disabled(_)
                | DispatchError::NotHeld { .. }
                | DispatchError::Ahead { .. }
                | DispatchError::Busy(_)
                | DispatchError::Changed(_)
                | DispatchError::Duplicate(_)
                | DispatchError::Order { source: StoreError::ReplayRuns(_), .. },
            ) => RefusalKind::Conflict,
            Self::Edit(_)
            | Self::Config(_)
            | Self::Order { .. }
            | Self::SettingsRefused { .. }
            | Self::SettingsNotStarted(_)
            | Self::Dispatch(DispatchError::NoSuchStart { .. }) => RefusalKind::Invalid,
            Self::Principals(_)
            | Self::Write { .. }
            | Self::Folder { .. }
            | Self::RunnerMissing(_)
            | Self::Ask { .. }
            | Self::Dispatch(_)
            | Self::Store(_)
            | Self::BacklogKept { .. }
            | Self::Stopping => RefusalKind::Unable,
        }
    }
}
