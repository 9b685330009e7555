//! Keeping the audit trail while the server runs: a checkpoint whenever one is due, and trying again where
//! the store could not write.

mod changes;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use exeunt_engine::{CheckpointFile, Engine, TrailError};
use exeunt_keys::sha256;
use exeunt_store::{AuditEntry, Store};
use exeunt_types::{ACTION_STOP, AuditCategories, hexadecimal};

use crate::clock::now;
use crate::config::{AuditConfig, Config};
use crate::failure::{Failure, chain};
use crate::home::Home;

/// Who the server is where it does something by itself.
pub const SERVER: &str = "exeunt:server";
/// How often is looked whether a checkpoint is due.
const LOOK: Duration = Duration::from_secs(1);
/// Pause after a checkpoint that could not be made: the key may be in a token that is away.
const RETRY_PAUSE: Duration = Duration::from_secs(10);
/// How often a stop looks whether the checkpoint in hand is made.
const STOP_POLL: Duration = Duration::from_millis(10);

/// The thread that makes checkpoints.
#[derive(Debug)]
pub struct Keeper {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

/// Refuses a trail that is not the one that its last checkpoint knows, notes the start, and signs that.
///
/// # Errors
///
/// The server must not start.
pub fn begin(home: &Home, engine: &Engine, config: &Config) -> Result<(), Failure> {
    engine.check_trail(&home.checkpoints()).map_err(|err| trail_failure(&err))?;
    let failed = |err: exeunt_store::StoreError| Failure::from_error(err.code(), &err);
    let text = Config::read(&home.config_path());
    let text = text.map_err(|err| Failure::from_error(err.code(), &err))?;
    let detail = format!("exeunt {}, {}", env!("CARGO_PKG_VERSION"), configuration(&text));
    let store = engine.store();
    store.audit_start(now(), SERVER, config.audit.filter, &detail).map_err(failed)?;
    // At once: a trail that a server has written and that has no checkpoint was robbed of it.
    checkpoint(engine, &home.checkpoints());
    Ok(())
}

/// What the trail says of a configuration: its hash.
pub fn configuration(text: &str) -> String {
    format!("configuration sha256 {}", hexadecimal(&sha256(text.as_bytes())))
}

/// What a start refuses, with what helps.
pub fn trail_failure(err: &TrailError) -> Failure {
    let failure = Failure::from_error(err.code(), err);
    if !err.is_contradiction() {
        return failure;
    }
    failure
        .hint("somebody has changed the store or the file of checkpoints, or the store is an older copy: look at it with exeunt audit verify")
        .hint("a backup is brought back with exeunt restore, which knows of the trail")
        .hint("to go on all the same, and have the trail say so: exeunt audit accept --reason WHY")
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start(home: &Home, engine: &Arc<Engine>, config: AuditConfig) -> Result<Self, Failure> {
        let (stop, stopped) = mpsc::channel::<()>();
        let (engine, file) = (Arc::clone(engine), home.checkpoints());
        let keep = move || {
            let mut pause = Duration::ZERO;
            let mut last = None;
            while stopped.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Timeout) {
                write_again(engine.store());
                pause = LOOK;
                if is_due(engine.store(), &config, last) {
                    pause = if checkpoint(&engine, &file) { LOOK } else { RETRY_PAUSE };
                    last = Some(Instant::now());
                }
            }
            note_stop(engine.store());
            checkpoint(&engine, &file);
        };
        let thread = std::thread::Builder::new().name("audit".to_owned()).spawn(keep);
        let thread = thread.map_err(|err| Failure::from_error("threads-unavailable", &err))?;
        Ok(Self { stop, thread })
    }

    /// Notes the stop and makes the last checkpoint; waits for it no longer than `grace`.
    pub fn stop(self, grace: Duration) {
        let Self { stop, thread } = self;
        drop(stop);
        let deadline = Instant::now() + grace;
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(STOP_POLL);
        }
        if !thread.is_finished() {
            tracing::warn!("stopped without a last checkpoint of the audit trail");
        }
    }
}

/// Whether there are rows that no checkpoint speaks of, and they are many or old enough.
fn is_due(store: &Store, config: &AuditConfig, last: Option<Instant>) -> bool {
    let rows = match (store.audit_head(), store.last_audit_checkpoint()) {
        (Ok(head), Ok(known)) => head.number.saturating_sub(known),
        // It is tried, and says why it cannot.
        _ => return last.is_none_or(|it| RETRY_PAUSE <= it.elapsed()),
    };
    let is_old = last.is_none_or(|it| config.checkpoint <= it.elapsed());
    0 < rows && (is_old || config.checkpoint_rows <= rows)
}

/// Makes a checkpoint; whether that went well. A panic, of a token's library most likely, must not end
/// the making of checkpoints.
fn checkpoint(engine: &Engine, file: &CheckpointFile) -> bool {
    let made = catch_unwind(AssertUnwindSafe(|| engine.checkpoint_audit(file)));
    match made {
        Ok(Ok(None)) => true,
        Ok(Ok(Some(made))) => {
            let (row, sha256) = (made.head.number, hexadecimal(&made.head.hash));
            tracing::info!(row, sha256, "a checkpoint of the audit trail");
            true
        }
        Ok(Err(err)) => {
            tracing::error!(code = err.code(), "no checkpoint of the audit trail: {}", chain(&err));
            false
        }
        Err(_panic) => {
            tracing::error!(code = "internal", "no checkpoint of the audit trail: a step panicked");
            false
        }
    }
}

/// Where the last write failed, nobody may be writing any more: finds out whether it would work again,
/// and has the trail say for how long it did not.
fn write_again(store: &Store) {
    let Some(code) = store.trouble() else { return };
    let entry =
        AuditEntry::new(now(), SERVER, "audit-resumed", "audit").detail(format!("after {code}"));
    if store.audit(entry).is_ok() {
        tracing::info!(code, "the audit trail is written again");
    }
}

fn note_stop(store: &Store) {
    if let Err(err) = store.audit(AuditEntry::new(now(), SERVER, ACTION_STOP, "audit")) {
        tracing::error!(code = err.code(), error = %err, "the stop is not in the audit trail");
    }
}

/// Notes that the configuration was read again: its hash, each key that differs from what was read
/// before, and another filter, which counts from then on.
///
/// # Errors
///
/// Not all of it was written; nothing must be taken up.
pub fn reloaded(
    store: &Store,
    actor: &str,
    (old, new): (&str, &str),
    (was, is): (AuditCategories, AuditCategories),
) -> Result<(), exeunt_store::StoreError> {
    let at = now();
    let reload = AuditEntry::new(at, actor, "reload", "exeunt.toml").detail(configuration(new));
    store.audit(reload)?;
    for row in changes::rows(old, new, actor, at) {
        store.audit(row)?;
    }
    if was == is { Ok(()) } else { store.audit_filter(at, actor, is) }
}
