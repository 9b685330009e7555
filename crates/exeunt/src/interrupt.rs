//! Ctrl-C in the middle of long work: what is under way is finished, and no more is begun. A second one
//! waits for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::Failure;

/// Exit status of what ends by SIGINT, as shells write it: 128 and the signal's number.
const STATUS_INTERRUPTED: i32 = 130;

/// Whether somebody has asked to stop, by SIGINT or SIGTERM.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes these signals over for this process.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub fn listen() -> Result<Self, Failure> {
        let failed = |err: std::io::Error| Failure::from_error("signals", &err);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
        let (mut interrupt, mut terminate) = {
            use tokio::signal::unix::{SignalKind, signal};
            let _inside = runtime.enter();
            (
                signal(SignalKind::interrupt()).map_err(failed)?,
                signal(SignalKind::terminate()).map_err(failed)?,
            )
        };
        let asked = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&asked);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    loop {
                        tokio::select! {
                            _ = interrupt.recv() => {}
                            _ = terminate.recv() => {}
                        }
                        if noted.swap(true, Ordering::SeqCst) {
                            end();
                        }
                        eprintln!("exeunt: stopping after what is under way");
                    }
                });
            })
            .map_err(failed)?;
        Ok(Self(asked))
    }

    /// Whether to begin nothing more.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Somebody does not want to wait. What the server was asked to do it does or does not, as a whole.
#[expect(clippy::exit, clippy::disallowed_methods, reason = "main waits, perhaps for ever")]
fn end() {
    std::process::exit(STATUS_INTERRUPTED);
}
