//! Telling modules of certificates that run out soon, as long as the server runs.

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use exeunt_engine::Engine;

use crate::failure::{Failure, chain};

/// How often it is looked what has come within a distance. Distances are days, and a look that finds
/// nothing costs a commit for each of them.
const LOOK: Duration = Duration::from_mins(10);
/// Pause between two steps where there is much to tell: others have the writer to themselves for as
/// long as a step takes, or longer.
const STEP_PAUSE: Duration = Duration::from_millis(20);

/// The thread that tells.
#[derive(Debug)]
pub struct Warner {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Warner {
    /// Starts it; `nearest_first` are the distances, in days.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start(engine: &Arc<Engine>, nearest_first: Vec<u32>) -> Result<Self, Failure> {
        let (sender, stopped) = mpsc::channel::<()>();
        let engine = Arc::clone(engine);
        let tell = move || {
            let mut pause = Duration::ZERO;
            while stopped.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Timeout) {
                pause = match engine.tell_expiring(&nearest_first) {
                    Ok(step) if step.more => STEP_PAUSE,
                    Ok(_) => LOOK,
                    Err(err) => {
                        let code = err.code();
                        tracing::error!(code, "what runs out was not told: {}", chain(&err));
                        LOOK
                    }
                };
            }
        };
        let thread = std::thread::Builder::new().name("expiry".to_owned()).spawn(tell);
        let thread = thread.map_err(|err| Failure::from_error("threads-unavailable", &err))?;
        Ok(Self { stop: sender, thread })
    }

    /// Ends with the step in hand.
    pub fn stop(self) {
        let Self { stop, thread } = self;
        drop(stop);
        if thread.join().is_err() {
            tracing::error!(code = "internal", "telling what runs out panicked");
        }
    }
}
