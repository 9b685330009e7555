//! Why the store refused, in the terms a caller branches on.

use std::path::PathBuf;
use std::sync::Arc;

use exeunt_types::{Disposition, EventSeq, ExitName, KnownKey, RequestId, Serial, UnixMillis};
use rusqlite::ErrorCode;

/// A foreign error behind a [`StoreError`]. Shared, because one failed commit answers many callers.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why the store refused or could not do something. Whatever it is: nothing was half done.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is already something where a store was to be created.
    #[error("{} exists already", path.display())]
    Exists {
        /// What exists.
        path: PathBuf,
    },
    /// A file of the store is not there, or no longer there.
    #[error("{} is missing", path.display())]
    Missing {
        /// What is missing.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{} is not a store of Exeunt", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer version of Exeunt.
    #[error("store has schema version {found}, this program knows versions up to {known}")]
    Newer {
        /// Version of the file.
        found: i64,
        /// [`crate::SCHEMA_VERSION`].
        known: i64,
    },
    /// The file was written by an older version of Exeunt, and was to be opened for reading only.
    /// Opening it for writing migrates it.
    #[error("store has schema version {found} and must be brought to {known} first")]
    Older {
        /// Version of the file.
        found: i64,
        /// [`crate::SCHEMA_VERSION`].
        known: i64,
    },
    /// The file is damaged. The writer refuses everything until the store is opened anew.
    #[error("store is damaged: {what}")]
    Damaged {
        /// What was found.
        what: String,
    },
    /// One row cannot be read; the others can.
    #[error("{row} cannot be read: {why}")]
    CorruptRow {
        /// Which one, for example `request 7`.
        row: String,
        /// What is wrong with it.
        why: String,
    },
    /// Another process has the store open for writing.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// A copy took so long that the log grew beyond [`crate::COPY_LOG_OCTETS_MAX`]; there is none.
    #[error("copying the store took too long beside its writer")]
    CopyTooSlow,
    /// No space left. Nothing was written; later writes may succeed.
    #[error("no space left for the store")]
    Full,
    /// The file or its disk cannot be written.
    #[error("store is read-only")]
    ReadOnly,
    /// The disk failed.
    #[error("{action} failed")]
    Io {
        /// What was being done, as a gerund.
        action: &'static str,
        /// What the system said.
        source: Cause,
    },
    /// The serial number was given out before, be it to a certificate, an intent or an abandoned one.
    #[error("serial number {0} was used before")]
    DuplicateSerial(Serial),
    /// There is no such intent: it was recorded or abandoned, or never made.
    #[error("request {0} has no such intent")]
    NoIntent(RequestId),
    /// The module has no cursor: it was never opened.
    #[error("module {0} has no cursor")]
    NoCursor(ExitName),
    /// Somebody else leads this module's cursor.
    #[error("cursor is leased to {holder}")]
    LeaseHeld {
        /// Who.
        holder: String,
        /// End of that lease, unless it is renewed.
        until: UnixMillis,
    },
    /// The lease was taken over; whoever still holds it must stop.
    #[error("lease of module {0} was lost")]
    LeaseLost(ExitName),
    /// The cursor would go back, past the last event, or past the end of a replay; or an event past
    /// the last one would be held.
    #[error("no move from event {from} to {to}")]
    CursorMove {
        /// Where it stands.
        from: EventSeq,
        /// Where it was asked to go.
        to: EventSeq,
    },
    /// A replay runs already; it ends by itself or is cancelled.
    #[error("module {0} has a replay already")]
    ReplayRuns(ExitName),
    /// There is no such range, or not all of it was told yet.
    #[error("no replay of events {from} to {to}, told up to {position}")]
    ReplayRange {
        /// First event that was to be told again.
        from: EventSeq,
        /// The last one.
        to: EventSeq,
        /// Where the cursor stands.
        position: EventSeq,
    },
    /// There is no such request.
    #[error("there is no request {0}")]
    NoRequest(RequestId),
    /// The request is in a state that does not allow it.
    #[error("request {request} is {}", disposition.word())]
    WrongState {
        /// Which one.
        request: RequestId,
        /// Its state.
        disposition: Disposition,
    },
    /// The request is no longer what the caller decided upon. Read it again and decide anew.
    #[error("request {0} was changed by somebody else meanwhile")]
    ChangedMeanwhile(RequestId),
    /// As many certificates were issued in the window of a limit as it allows.
    #[error("there are {certificates} certificates of {scope} already, the limit of its window")]
    RateLimited {
        /// What is counted together.
        scope: String,
        /// How many are allowed.
        certificates: u32,
        /// When there will be room for one again.
        again: UnixMillis,
    },
    /// That manager has approved the request already.
    #[error("{manager} has approved request {request} already")]
    ApprovedAlready {
        /// Which request.
        request: RequestId,
        /// Who.
        manager: String,
    },
    /// The caller's idempotency key stands for another request already. Nothing was written.
    #[error("the idempotency key stands for request {} already", known.request)]
    KeyTaken {
        /// Which one.
        known: Box<KnownKey>,
        /// Whether the same was asked for.
        same: bool,
    },
    /// Too many writes wait, or a foreign program holds the file locked. Try again later.
    #[error("store is busy")]
    Busy,
    /// The writer has stopped.
    #[error("store is closed")]
    Closed,
    /// `SQLite` refused for a reason that is our fault.
    #[error("{action} was refused by the database")]
    Sql {
        /// What was being done, as a gerund.
        action: &'static str,
        /// What `SQLite` said.
        source: Cause,
    },
}

/// `SQLITE_IOERR_FSYNC` and `SQLITE_IOERR_DIR_FSYNC`.
const FSYNC_FAILED: [i32; 2] = [1034, 1290];
/// `SQLITE_IOERR_SHMSIZE`: the shared index could not grow, which is how a full disk shows there.
const SHARED_INDEX_CANNOT_GROW: i32 = 4874;

impl StoreError {
    /// Stable code for logs, metrics and API bodies; never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Exists { .. } => "store-exists",
            Self::Missing { .. } => "store-missing",
            Self::NotOurs { .. } => "store-not-ours",
            Self::Newer { .. } => "store-newer",
            Self::Older { .. } => "store-older",
            Self::Damaged { .. } => "store-damaged",
            Self::CorruptRow { .. } => "store-corrupt-row",
            Self::InUse { .. } => "store-in-use",
            Self::CopyTooSlow => "store-copy-too-slow",
            Self::Full => "store-full",
            Self::ReadOnly => "store-read-only",
            Self::Io { .. } => "store-io",
            Self::DuplicateSerial(_) => "store-duplicate-serial",
            Self::NoIntent(_) => "store-no-intent",
            Self::NoCursor(_) => "store-no-cursor",
            Self::LeaseHeld { .. } => "store-lease-held",
            Self::LeaseLost(_) => "store-lease-lost",
            Self::CursorMove { .. } => "store-cursor-move",
            Self::ReplayRuns(_) => "store-replay-runs",
            Self::ReplayRange { .. } => "store-replay-range",
            Self::NoRequest(_) => "store-no-request",
            Self::WrongState { .. } => "store-wrong-state",
            Self::ChangedMeanwhile(_) => "store-changed-meanwhile",
            Self::RateLimited { .. } => "rate-limited",
            Self::ApprovedAlready { .. } => "approval-twice",
            Self::KeyTaken { .. } => "idempotency-key-reused",
            Self::Busy => "store-busy",
            Self::Closed => "store-closed",
            Self::Sql { .. } => "store-sql",
        }
    }

    /// Sorts what `SQLite` said. `action` is a gerund.
    pub(crate) fn from_sqlite(action: &'static str, err: rusqlite::Error) -> Self {
        let Some(code) = err.sqlite_error().copied() else {
            return Self::Sql { action, source: Arc::new(err) };
        };
        match code.code {
            ErrorCode::DiskFull => Self::Full,
            ErrorCode::SystemIoFailure if code.extended_code == SHARED_INDEX_CANNOT_GROW => {
                Self::Full
            }
            ErrorCode::ReadOnly => Self::ReadOnly,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                Self::Damaged { what: format!("{action}: {err}") }
            }
            ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::OutOfMemory => {
                Self::Io { action, source: Arc::new(err) }
            }
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
            _ => Self::Sql { action, source: Arc::new(err) },
        }
    }

    pub(crate) fn io(action: &'static str, err: std::io::Error) -> Self {
        match err.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            std::io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            _ => Self::Io { action, source: Arc::new(err) },
        }
    }

    /// Whether the fault is the file's and not one job's: the whole batch fails with it.
    pub(crate) fn is_of_the_file(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. }
                | Self::Damaged { .. }
                | Self::Full
                | Self::ReadOnly
                | Self::Io { .. }
                | Self::Busy
        )
    }

    /// Whether the writer must not go on after this.
    ///
    /// A failed fsync belongs here: the kernel may have dropped the pages and report success the
    /// next time, so nothing that is asked afterwards could be believed.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Damaged { .. } => true,
            Self::Io { source, .. } => source
                .downcast_ref::<rusqlite::Error>()
                .and_then(rusqlite::Error::sqlite_error)
                .is_some_and(|code| FSYNC_FAILED.contains(&code.extended_code)),
            _ => false,
        }
    }
}

/// Gives a `rusqlite` result the action it belongs to.
pub(crate) trait During<T> {
    fn during(self, action: &'static str) -> Result<T, StoreError>;
}

impl<T> During<T> for Result<T, rusqlite::Error> {
    fn during(self, action: &'static str) -> Result<T, StoreError> {
        self.map_err(|err| StoreError::from_sqlite(action, err))
    }
}
