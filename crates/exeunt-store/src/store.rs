//! The handle that everybody else holds.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;

use exeunt_types::{AuditCategories, UnixMillis};

use crate::audit::chain::read_trail;
use crate::checkpoint::{Checkpointer, checkpoint};
use crate::log::Head;
use crate::lookup::last_event;
use crate::queue::{Pending, Queue};
use crate::reader::Readers;
use crate::watch::Watch;
use crate::writer::{Trouble, Tx, Writer};
use crate::{StoreError, file, schema};

/// A store that is open. Clones are cheap and mean the same store; it closes with the last of them.
///
/// Writes block until they are durable: synced to disk, not merely handed to the system.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) readers: Readers,
    pub(crate) head: Arc<Head>,
    store_id: String,
    writing: Option<Writing>,
}

/// What only a store that was opened for writing has.
struct Writing {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
    filter: Arc<AtomicU8>,
    trouble: Arc<Trouble>,
    /// Keeps other processes out until everything above is gone.
    _lock: file::Lock,
}

impl Store {
    /// Creates an empty store. `store_id` comes from the caller's randomness and tells stores apart.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] when there is a file of that name. After an error no file is left.
    pub fn create(path: &Path, store_id: [u8; 8], now: UnixMillis) -> Result<(), StoreError> {
        file::create(path, store_id, now)
    }

    /// Opens a store for writing and brings an older schema up to date. Never creates one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`], [`StoreError::NotOurs`], [`StoreError::Newer`],
    /// [`StoreError::Damaged`], [`StoreError::InUse`], [`StoreError::ReadOnly`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        file::recognise(path)?;
        let lock = file::lock(path)?;
        let mut conn = file::writer(path)?;
        // What a crash left in the log goes into the file, once it is sure that the two fit.
        schema::version(&conn)?;
        file::check_length(path, &conn)?;
        checkpoint(&conn, "PRAGMA wal_checkpoint(TRUNCATE)")?;
        schema::migrate(&mut conn)?;
        let store_id = schema::check(&conn)?;
        let head = Arc::new(Head::at(last_event(&conn)?));
        let trail = read_trail(&conn, &store_id)?;
        let readers = Readers::open(path)?;
        let watch = Watch::start(path)?;
        let checkpointer = Checkpointer::start(path, &mut conn)?;

        let queue = Arc::new(Queue::new());
        let trouble = Arc::new(Trouble::default());
        let filter = Arc::new(AtomicU8::new(trail.filter.0));
        let writer = Writer {
            checkpointer,
            conn,
            watch,
            head: Arc::clone(&head),
            trail,
            filter: Arc::clone(&filter),
            trouble: Arc::clone(&trouble),
            failed: None,
        };
        let thread_queue = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(&thread_queue))
            .map_err(|err| StoreError::io("starting a thread", err))?;
        let writing = Some(Writing { queue, thread: Some(thread), filter, trouble, _lock: lock });
        Ok(Self { inner: Arc::new(Inner { readers, head, store_id, writing }) })
    }

    /// Opens a store for reading only, beside whoever writes. Every write is refused with
    /// [`StoreError::ReadOnly`].
    ///
    /// # Errors
    ///
    /// As [`Store::open`], but never [`StoreError::InUse`], and [`StoreError::Older`] where that would
    /// migrate.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        file::recognise(path)?;
        let readers = Readers::open(path)?;
        let (store_id, head) = readers.read("opening the store", |conn| {
            schema::require_current(conn)?;
            Ok((schema::check(conn)?, Arc::new(Head::at(last_event(conn)?))))
        })?;
        Ok(Self { inner: Arc::new(Inner { readers, head, store_id, writing: None }) })
    }

    /// What tells this store from others: 16 hexadecimal digits, the same for ever.
    pub fn store_id(&self) -> &str {
        &self.inner.store_id
    }

    /// Code of the error that the last write of all failed with, where the file was to blame; none as
    /// soon as something is written again.
    pub fn trouble(&self) -> Option<&'static str> {
        self.inner.writing.as_ref().and_then(|it| it.trouble.get())
    }

    /// What the audit trail has been written by, at the last commit.
    pub(crate) fn trail_filter(&self) -> AuditCategories {
        let filter = self.inner.writing.as_ref().map(|it| it.filter.load(Ordering::Relaxed));
        AuditCategories(filter.unwrap_or_default())
    }

    /// Has `act` run by the writer; returns when it is durable.
    pub(crate) fn write<T, F>(&self, act: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.start_write(act)?.wait()
    }

    /// Has `act` run by the writer, and does not wait for it.
    pub(crate) fn start_write<T, F>(&self, act: F) -> Result<Pending<T>, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        match &self.inner.writing {
            Some(writing) => writing.queue.start(act),
            None => Err(StoreError::ReadOnly),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Store").field("store_id", &self.inner.store_id).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The writer's connection must be the last one: it then empties and removes the log.
        self.readers.close();
        if let Some(writing) = &mut self.writing {
            writing.queue.close();
            if let Some(thread) = writing.thread.take() {
                // A panic over there was reported by its hook; there is nothing to add.
                let _ = thread.join();
            }
        }
    }
}
