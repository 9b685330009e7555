//! The only SQL in Exeunt: requests, certificates, the event log, cursors, the held shelf.
//!
//! One `SQLite` file in the CA's home, one writer thread that commits for many callers at once, a few
//! read connections. The store decides nothing and calls nobody. Enter at [`Store`].

mod checkpoint;
mod error;
mod file;
mod journey;
mod log;
mod lookup;
mod queue;
mod reader;
mod row;
mod schema;
mod shelf;
mod store;
mod watch;
mod writer;

pub use error::{Cause, StoreError};
pub use log::LoggedEvent;
pub use lookup::Counts;
pub use queue::{BATCH_MAX, Pending, QUEUE_MAX};
pub use reader::{READERS_MAX, ROWS_MAX};
pub use schema::{APPLICATION_ID, SCHEMA_VERSION};
pub use shelf::{
    CursorRow, Held, HeldRow, HeldState, LAST_ERROR_OCTETS_MAX, Lease, QuarantinedRow, Settlement,
};
pub use store::Store;
