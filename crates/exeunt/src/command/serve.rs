//! `exeunt serve`: runs until SIGTERM or Ctrl-C, and reads its configuration again on SIGHUP.

use crate::cli::Serve;
use crate::failure::Failure;
use crate::home::Home;
use crate::{output, server};

pub fn run(options: &Serve) -> Result<u8, Failure> {
    let signals = Signals::listen()?;
    let home = Home::at(&options.home)?;
    let config = home.config()?;
    let running = server::start(&home, config, options.listen)?;
    match running.address() {
        Some(address) => output::line(&format!("listening on {address}"))?,
        None => output::line(&format!("listening on {}", home.socket_path().display()))?,
    }
    tracing::info!(home = %home.path().display(), "serving");
    signals.obey(&running);
    tracing::info!("stopping");
    running.stop();
    Ok(0)
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    /// SIGTERM or SIGINT: to stop.
    Stop,
    /// SIGHUP: to read the configuration again.
    Reload,
}

/// SIGTERM, SIGINT and SIGHUP. Listening starts before the server does, so that no signal is missed.
#[derive(Debug)]
pub struct Signals {
    received: std::sync::mpsc::Receiver<Signal>,
}

impl Signals {
    /// Takes over the signals for this process.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub fn listen() -> Result<Self, Failure> {
        let failed = |err: std::io::Error| Failure::from_error("signals", &err);
        let (send, received) = std::sync::mpsc::channel();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
        let (mut interrupt, mut terminate, mut hangup) = {
            use tokio::signal::unix::{SignalKind, signal};
            let _inside = runtime.enter();
            (
                signal(SignalKind::interrupt()).map_err(failed)?,
                signal(SignalKind::terminate()).map_err(failed)?,
                signal(SignalKind::hangup()).map_err(failed)?,
            )
        };
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    loop {
                        let signal = tokio::select! {
                            _ = interrupt.recv() => Signal::Stop,
                            _ = terminate.recv() => Signal::Stop,
                            _ = hangup.recv() => Signal::Reload,
                        };
                        if send.send(signal).is_err() {
                            return;
                        }
                    }
                });
            })
            .map_err(failed)?;
        Ok(Self { received })
    }

    /// Returns when the server is to stop, and reads the configuration again until then.
    pub fn obey(&self, running: &server::Running) {
        while self.wait() == Signal::Reload {
            // What came of it is in the log, where whoever sent the signal looks.
            if let Err(failure) = running.reload() {
                tracing::error!(code = failure.code, "nothing was taken up: {}", failure.message);
            }
        }
    }

    /// Blocks until one of them comes.
    fn wait(&self) -> Signal {
        // Without the thread that listens there would be no way to stop in order.
        self.received.recv().unwrap_or(Signal::Stop)
    }
}
