//! The store's file: creating it, recognising it, locking it, opening connections to it.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use exeunt_types::UnixMillis;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::During as _;
use crate::watch::with_suffix;
use crate::{APPLICATION_ID, StoreError, schema};

/// Page cache of the writer: holds the upper levels of every tree and the leaves that are filled now.
/// Deliberately not more: after a commit that moved cells between pages, `SQLite` walks the whole
/// table of its cache, and what is not in this one is in the system's.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
/// Page cache of the other connections; `SQLite` empties it after each foreign commit anyway.
const READER_CACHE_KIB: i64 = 4 * 1024;
/// How long to wait for a foreign program (a backup, a shell) that has the file locked.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The files are for the server's user alone: requests are nobody else's business, and whoever can
/// open a file can lock it. `SQLite` gives its log the mode of the database.
const FILE_MODE: u32 = 0o600;
/// How long a lock is waited for. A server that was killed while it started a module leaves a child
/// that holds the lock until it has become the module, which takes a moment on a busy machine.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// Statements kept prepared per connection; there are fewer texts than that.
const STATEMENTS_MAX: usize = 64;

/// Length of the header, and where in it our number is (file format of `SQLite`, section 1.3).
const HEADER_OCTETS: usize = 100;
const HEADER_MAGIC: &[u8] = b"SQLite format 3\0";
const HEADER_APPLICATION_ID: std::ops::Range<usize> = 68..72;

/// Creates the file with its schema; refuses when anything is there already.
pub(crate) fn create(path: &Path, store_id: [u8; 8], now: UnixMillis) -> Result<(), StoreError> {
    match OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path) {
        Ok(_) => (),
        Err(err) if err.kind() == ErrorKind::AlreadyExists => {
            return Err(StoreError::Exists { path: path.to_owned() });
        }
        Err(err) => return Err(StoreError::io("creating the store", err)),
    }
    let made = fill(path, store_id, now);
    if made.is_err() {
        // The file is ours since create_new, and useless; a failure to remove it changes nothing.
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(with_suffix(path, suffix));
        }
    }
    made
}

fn fill(path: &Path, store_id: [u8; 8], now: UnixMillis) -> Result<(), StoreError> {
    let mut conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, READER_CACHE_KIB)?;
    checkpoint_on_close(&conn, true)?;
    schema::create(&mut conn, store_id, now)?;
    conn.close().map_err(|(_, err)| StoreError::from_sqlite("closing the new store", err))?;
    // The name must survive a power cut as well as the contents do.
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|err| StoreError::io("creating the store", err))
}

/// Reads the file's header and refuses what is not one of ours, before `SQLite` touches it.
pub(crate) fn recognise(path: &Path) -> Result<(), StoreError> {
    let mut header = [0; HEADER_OCTETS];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    match read {
        Ok(()) => (),
        Err(err) if err.kind() == ErrorKind::NotFound => {
            return Err(StoreError::Missing { path: path.to_owned() });
        }
        Err(err) if err.kind() == ErrorKind::UnexpectedEof => {
            let what = format!("{} is too short to be a store", path.display());
            return Err(StoreError::Damaged { what });
        }
        Err(err) => return Err(StoreError::io("opening the store", err)),
    }
    let ours = header.starts_with(HEADER_MAGIC)
        && header[HEADER_APPLICATION_ID] == APPLICATION_ID.to_be_bytes();
    if ours { Ok(()) } else { Err(StoreError::NotOurs { path: path.to_owned() }) }
}

/// Checks that the file was not cut off at its end.
///
/// `SQLite` itself refuses such a file only when the log is empty; otherwise it would fill up with
/// zeros what the log does not hold. A checkpoint that was interrupted leaves a short file too,
/// but then the log has all that is missing.
pub(crate) fn check_length(path: &Path, conn: &Connection) -> Result<(), StoreError> {
    let action = "measuring the store";
    let pragma = |name| {
        let number = conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        number.map(i64::unsigned_abs).during(action)
    };
    let (page_octets, pages) = (pragma("page_size")?.max(1), pragma("page_count")?);
    let size_octets = std::fs::metadata(path).map_err(|err| StoreError::io(action, err))?.len();
    let whole_pages = size_octets / page_octets;
    if pages <= whole_pages {
        return Ok(());
    }
    let in_log = pages_in_log(&with_suffix(path, "-wal"), page_octets)
        .map_err(|err| StoreError::io(action, err))?;
    if (whole_pages + 1..=pages).all(|page| in_log.contains(&page)) {
        return Ok(());
    }
    let what = format!("{} has {whole_pages} of {pages} pages", path.display());
    Err(StoreError::Damaged { what })
}

/// Numbers of the pages that the log holds (file format of `SQLite`, section 4.1).
fn pages_in_log(path: &Path, page_octets: u64) -> std::io::Result<HashSet<u64>> {
    const LOG_HEADER_OCTETS: u64 = 32;
    const FRAME_HEADER_OCTETS: u64 = 24;
    let mut pages = HashSet::new();
    let log = match File::open(path) {
        Ok(log) => log,
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(pages),
        Err(err) => return Err(err),
    };
    let size_octets = log.metadata()?.len();
    let mut salt = [0; 8];
    let mut at = LOG_HEADER_OCTETS;
    if at <= size_octets {
        log.read_exact_at(&mut salt, 16)?;
    }
    while at + FRAME_HEADER_OCTETS + page_octets <= size_octets {
        let mut header = [0; 16];
        log.read_exact_at(&mut header, at)?;
        // Frames after the end of the log are left over from its previous round, with other salts.
        if header[8..] != salt {
            break;
        }
        let page = header[..4].iter().fold(0, |number, octet| number << 8 | u64::from(*octet));
        pages.insert(page);
        at += FRAME_HEADER_OCTETS + page_octets;
    }
    Ok(pages)
}

/// The right to write, which only one process can have. It ends with this value or the process.
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child process that is being started at this moment has inherited
        // the file, and with it the lock, until it runs its own program.
        let _ = self.0.unlock();
    }
}

/// Takes the lock.
pub(crate) fn lock(path: &Path) -> Result<Lock, StoreError> {
    let lock_path = with_suffix(path, ".lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(lock_path)
        .map_err(|err| StoreError::io("locking the store", err))?;
    let tries = LOCK_PATIENCE.as_millis() / LOCK_PAUSE.as_millis();
    for _ in 0..tries {
        match file.try_lock() {
            Ok(()) => return Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(err)) => return Err(StoreError::io("locking the store", err)),
        }
    }
    Err(StoreError::InUse { path: path.to_owned() })
}

/// The connection that writes.
pub(crate) fn writer(path: &Path) -> Result<Connection, StoreError> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, WRITER_CACHE_KIB)?;
    let action = "preparing the writer";
    // Checkpoints are made when we say so, see `checkpoint`.
    conn.pragma_update(None, "wal_autocheckpoint", 0).during(action)?;
    Ok(conn)
}

/// Whether the connection, when it is the last to close, empties the log into the file. Not before
/// the file was found whole: holes would be filled with zeros, and the damage would look whole.
pub(crate) fn checkpoint_on_close(conn: &Connection, wanted: bool) -> Result<(), StoreError> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !wanted)
        .map(|_| ())
        .during("preparing the writer")
}

/// A connection that moves the log into the file.
pub(crate) fn checkpointer(path: &Path) -> Result<Connection, StoreError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, READER_CACHE_KIB)
}

/// A connection that reads.
pub(crate) fn reader(path: &Path) -> Result<Connection, StoreError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, READER_CACHE_KIB)
}

fn connect(path: &Path, access: OpenFlags, cache_kib: i64) -> Result<Connection, StoreError> {
    let action = "opening the store";
    // No shared use of a connection, so no mutex in it; never SQLITE_OPEN_CREATE.
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).during(action)?;
    // Before anything reads the schema, which is more than a page: where that fails, closing would
    // empty the log into a file that is not whole.
    checkpoint_on_close(&conn, false)?;
    conn.busy_timeout(BUSY_TIMEOUT).during(action)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // A negative size is in KiB.
    conn.pragma_update(None, "cache_size", -cache_kib).during(action)?;
    // The references in the schema are kept by the one writer, which never writes a row before the
    // one it speaks of; looking each up again would cost a tenth of its time. A test checks them.
    conn.pragma_update(None, "foreign_keys", false).during(action)?;
    // Without it, a look-up whose parameter could decide the plan is planned anew each time it runs.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).during(action)?;
    // Deliberately no mmap_size: a file truncated under us would kill the process with SIGBUS.
    conn.pragma_update(None, "synchronous", "full").during(action)?;
    Ok(conn)
}
