//! Why a dispatcher did not start.

use exeunt_store::StoreError;
use exeunt_types::ExitName;

/// Why a dispatcher did not start. No thread of it is left running.
///
/// What goes wrong later is no error of anybody's call: it is in the log and in
/// [`ExitStatus`](crate::ExitStatus).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DispatchError {
    /// Two modules have one name. The operator renames one.
    #[error("module {0} is configured twice")]
    Duplicate(ExitName),

    /// The store did not give a module its cursor.
    #[error("opening the cursor of module {name} failed")]
    Store {
        /// The module.
        name: ExitName,
        /// What the store said.
        source: StoreError,
    },

    /// The operating system gave no thread.
    #[error("starting a thread for module {name} failed")]
    Thread {
        /// The module.
        name: ExitName,
        /// What the operating system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl DispatchError {
    /// Stable code for logs, metrics and API bodies. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Duplicate(_) => "dispatch-duplicate",
            Self::Store { .. } => "dispatch-store",
            Self::Thread { .. } => "dispatch-thread",
        }
    }
}
