//! The only SQL in Exeunt: requests, certificates, the event log, cursors, the held shelf,
//! the audit trail.
//!
//! One `SQLite` file in the CA's home, one writer thread that commits for many callers at once, a few
//! read connections. The store decides nothing and calls nobody. Enter at [`Store`].

mod along;
mod archived_key;
mod audit;
mod backup;
mod ca;
mod checkpoint;
mod crl;
mod current;
mod cursor;
mod error;
mod expiry;
mod file;
mod idempotency;
mod import;
mod journey;
mod list;
mod log;
mod lookup;
mod officer;
mod queue;
mod reader;
mod resume;
mod revoke;
mod revoked;
mod row;
mod schema;
mod serial;
mod shelf;
mod store;
mod watch;
mod writer;

pub use along::Along;
pub use archived_key::{KeyThere, NoKey, RECOVERY_REASON_OCTETS_MAX, RecoveredBlob};
pub use audit::chain::{AUDIT_CHAIN_TAG, ChainHead};
pub use audit::check::{AUDIT_LOOK_AHEAD_ROWS, ChainFault, Checked, check_chain};
pub use audit::checkpoint::AuditCheckpoint;
pub use audit::query::AuditPage;
pub use audit::witness::{AUDIT_CONTRADICTIONS_MAX, Contradiction, Witness};
pub use audit::{
    AUDIT_DETAIL_OCTETS_MAX, AUDIT_NAME_OCTETS_MAX, AUDIT_STATE_OCTETS_MAX, AuditEntry, AuditRow,
};
pub use backup::{
    COPY_LOG_OCTETS_MAX, CRL_NUMBERS_LEFT_OUT, CRL_NUMBERS_LEFT_OUT_PER_S, Contents,
    EVENTS_LEFT_OUT, EVENTS_LEFT_OUT_PER_S, REQUEST_ID_MAX, REQUESTS_LEFT_OUT,
    REQUESTS_LEFT_OUT_PER_S, Restored,
};
pub use ca::{CrossRow, NewCaCertificate};
pub use crl::PartitionRow;
pub use cursor::{CursorRow, Lease, Removed, Replay};
pub use error::{Cause, StoreError};
pub use expiry::{EXPIRY_STEP_MAX, ExpiryStep};
pub use idempotency::{IDEMPOTENCY_KEPT, IDEMPOTENCY_REQUESTS_MAX};
pub use import::{Import, ImportObstacle, ImportOrigin, NewImport};
pub use list::SCAN_ROWS_MAX;
pub use log::{DETAIL_OCTETS_MAX, DETAIL_PAIRS_MAX, LoggedEvent};
pub use lookup::Counts;
pub use queue::{BATCH_MAX, Pending, QUEUE_MAX};
pub use reader::{READERS_MAX, ROWS_MAX};
pub use resume::AsRead;
pub use revoke::{Expected, RevokeChange};
pub use revoked::{RevokedView, Since};
pub use schema::{APPLICATION_ID, SCHEMA_VERSION};
pub use serial::SerialStatus;
pub use shelf::{
    Announcement, Held, HeldRow, HeldState, LAST_ERROR_OCTETS_MAX, QuarantinedRow, Settlement,
};
pub use store::Store;
