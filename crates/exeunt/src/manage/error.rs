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
    /// An order that names neither what it is about nor that it is about everything, or both.
    #[error("{0}")]
    Order(&'static str),
    /// The module says that these settings cannot be.
    #[error("the module refuses the settings: {0}")]
    SettingsRefused(String),
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
    /// The server is on its way down.
    #[error("the server is stopping")]
    Stopping,
}

impl From<EditError> for ManageError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Missing(name) => Self::NotInFile(name),
            error => Self::Edit(error),
        }
    }
}

impl ManageError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "exit-not-found",
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
            Self::Order(_) => "order-invalid",
            Self::SettingsRefused(_) => "settings-refused",
            Self::SettingsUnknown => "settings-unknown",
            Self::Ask { code, .. } => code,
            Self::Dispatch(err) => err.code(),
            Self::Store(err) => err.code(),
            Self::BacklogKept { .. } => "backlog-kept",
            Self::Stopping => "server-stopping",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "see what there is: exeunt exit list",
            Self::UnknownRequest(_) => "see what there is: exeunt request list",
            Self::Exists(_) | Self::Edit(EditError::Exists(_)) => {
                "choose another name, or change that one: exeunt exit settings set NAME"
            }
            Self::NotInFile(_) => "have the server read its configuration again: exeunt reload",
            Self::Edit(EditError::Value { .. }) => {
                "a setting is a text, a number, true or false, a list or a table"
            }
            Self::Edit(_) => "edit exeunt.toml by hand, then: exeunt reload",
            Self::Config(_) => "every key is explained in docs/manual/configuration.md",
            Self::Write { .. } | Self::Folder { .. } => {
                "look at the owner and the mode of the CA's home"
            }
            Self::ChangedMeanwhile(_) => "run it again",
            Self::RunnerMissing(_) => "install exeunt-runner beside exeunt",
            Self::Order(_) => "name the events, or say --all",
            Self::SettingsRefused(_) => "see what it knows: exeunt exit settings list NAME",
            Self::SettingsUnknown => "look into the module's own manual",
            Self::Dispatch(DispatchError::Disabled(_)) => {
                "switch it on first: exeunt exit enable NAME"
            }
            Self::Dispatch(DispatchError::NotHeld { .. }) => {
                "see what is parked: exeunt exit parked list NAME"
            }
            Self::Dispatch(DispatchError::Busy(_) | DispatchError::Changed(_)) => {
                "order it again; how it stands: exeunt exit status NAME"
            }
            Self::Ask { .. } => "see how it stands: exeunt exit status NAME",
            Self::BacklogKept { .. } => {
                "add it again under its name, then remove it with --drop-backlog"
            }
            Self::Dispatch(_) | Self::Store(_) => {
                "the CA's administrator finds the reason in the server's log"
            }
            Self::Stopping => "try again when it runs",
        }
    }

    fn kind(&self) -> RefusalKind {
        match self {
            Self::Unknown(_)
            | Self::UnknownRequest(_)
            | Self::SettingsUnknown
            | Self::Dispatch(DispatchError::Unknown(_)) => RefusalKind::Missing,
            Self::Exists(_)
            | Self::NotInFile(_)
            | Self::ChangedMeanwhile(_)
            | Self::Edit(EditError::Exists(_) | EditError::Form)
            | Self::Dispatch(
                DispatchError::Disabled(_)
                | DispatchError::NotHeld { .. }
                | DispatchError::Busy(_)
                | DispatchError::Changed(_)
                | DispatchError::Duplicate(_),
            ) => RefusalKind::Conflict,
            Self::Edit(_) | Self::Config(_) | Self::Order(_) | Self::SettingsRefused(_) => {
                RefusalKind::Invalid
            }
            Self::Write { .. }
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

impl From<ManageError> for Refusal {
    /// Whoever manages modules is the operator, who may read everything.
    fn from(error: ManageError) -> Self {
        Self {
            kind: error.kind(),
            code: error.code(),
            detail: chain(&error),
            hint: error.hint().to_owned(),
        }
    }
}
