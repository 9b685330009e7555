//! Why a dispatcher did not start, or an order was not carried out.

use exeunt_store::StoreError;
use exeunt_types::{EventSeq, ExitName};

/// Why a dispatcher did not start, or an order was not carried out. No thread is left running that
/// was not there before.
///
/// What goes wrong later is no error of anybody's call: it is in the log and in
/// [`ExitStatus`](crate::ExitStatus).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DispatchError {
    /// Two modules have one name. The operator renames one.
    #[error("module {0} is configured twice")]
    Duplicate(ExitName),

    /// The module is to begin at an event that is not there yet. The operator names an earlier one,
    /// or none.
    #[error("there is no event {event} yet; the newest is {newest}")]
    NoSuchStart {
        /// The first event that the module was to be told.
        event: EventSeq,
        /// The last one of the log.
        newest: EventSeq,
    },

    /// The store did not give a module its place and its shelf.
    #[error("reading the place of module {name} failed")]
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

    /// The operating system gave no thread for what all modules share.
    #[error("starting the thread that keeps the leases failed")]
    Keeper {
        /// What the operating system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// There is no module of that name.
    #[error("there is no module {0}")]
    Unknown(ExitName),

    /// The module has no worker to carry the order out. The operator enables it first.
    #[error("module {0} is disabled")]
    Disabled(ExitName),

    /// The order names an event that is not held.
    #[error("event {seq} of module {name} is neither parked nor held")]
    NotHeld {
        /// The module.
        name: ExitName,
        /// The event.
        seq: EventSeq,
    },

    /// The order would drop an event that the cursor has not passed, so that it would come again.
    #[error("event {seq} of module {name} lies ahead of its cursor: a replay is under way")]
    Ahead {
        /// The module.
        name: ExitName,
        /// The event.
        seq: EventSeq,
    },

    /// The worker was busy with the module for longer than an order waits. The order was given up.
    #[error("module {0} is busy with its events; nothing was done")]
    Busy(ExitName),

    /// The module was changed or removed before the order was carried out.
    #[error("module {0} was changed or removed meanwhile; nothing was done")]
    Changed(ExitName),

    /// The store refused it, or failed.
    #[error("module {name}: {source}")]
    Order {
        /// The module.
        name: ExitName,
        /// What the store said.
        source: StoreError,
    },
}

impl DispatchError {
    /// Stable code for logs, metrics and API bodies. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Duplicate(_) => "dispatch-duplicate",
            Self::NoSuchStart { .. } => "order-invalid",
            Self::Store { .. } => "dispatch-store",
            Self::Thread { .. } | Self::Keeper { .. } => "dispatch-thread",
            Self::Unknown(_) => "exit-unknown",
            Self::Disabled(_) => "exit-disabled",
            Self::NotHeld { .. } => "exit-not-held",
            Self::Ahead { .. } => "exit-ahead",
            Self::Busy(_) => "exit-busy",
            Self::Changed(_) => "exit-changed",
            Self::Order { source, .. } => source.code(),
        }
    }
}
