//! `exeunt serve`: runs until SIGTERM or Ctrl-C.

use crate::cli::Serve;
use crate::failure::Failure;
use crate::home::Home;
use crate::{output, server};

pub fn run(options: &Serve) -> Result<u8, Failure> {
    let stop = StopSignal::listen()?;
    let home = Home::at(&options.home)?;
    let config = home.config()?;
    let running = server::start(&home, config, options.listen)?;
    match running.address() {
        Some(address) => output::line(&format!("listening on {address}"))?,
        None => output::line(&format!("listening on {}", home.socket_path().display()))?,
    }
    tracing::info!(home = %home.path().display(), "serving");
    stop.wait();
    tracing::info!("stopping");
    running.stop();
    Ok(0)
}

/// SIGTERM or SIGINT. Listening starts before the server does, so that no signal is missed.
#[derive(Debug)]
pub struct StopSignal {
    received: std::sync::mpsc::Receiver<()>,
}

impl StopSignal {
    /// Takes over both signals for this process.
    ///
    /// # Errors
    ///
    /// When the operating system refuses.
    pub fn listen() -> Result<Self, Failure> {
        let failed = |err: std::io::Error| Failure::from_error("signals", &err);
        let (send, received) = std::sync::mpsc::channel();
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
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    loop {
                        tokio::select! {
                            _ = interrupt.recv() => {}
                            _ = terminate.recv() => {}
                        }
                        if send.send(()).is_err() {
                            return;
                        }
                    }
                });
            })
            .map_err(failed)?;
        Ok(Self { received })
    }

    /// Blocks until one of them comes.
    pub fn wait(&self) {
        // The sender lives as long as its thread, so an error cannot be told from a signal.
        let _ = self.received.recv();
    }
}
