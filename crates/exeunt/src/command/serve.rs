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
    let lines: Vec<String> =
        running.addresses().iter().map(|it| format!("listening on {it}")).collect();
    if lines.is_empty() {
        output::line(&format!("listening on {}", home.socket_path().display()))?;
    } else {
        // At once: whoever waits for the first line may not wait for more.
        output::line(&lines.join("\n"))?;
    }
    tracing::info!(home = %home.path().display(), "serving");
    let obeyed = signals.obey(&running);
    tracing::info!("stopping");
    running.stop();
    obeyed.map(|()| 0)
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

    /// Returns when the server is to stop. Until then the configuration is read again as asked for,
    /// on a thread of its own: that may wait for modules, and a stop does not.
    ///
    /// # Errors
    ///
    /// When the operating system gives no thread.
    pub fn obey(&self, running: &server::Running) -> Result<(), Failure> {
        let reload = running.reload();
        self.obey_with(move || {
            // What came of it is in the log, where whoever sent the signal looks.
            if let Err(failure) = reload() {
                tracing::error!(code = failure.code, "nothing was taken up: {}", failure.message);
            }
        })
    }

    fn obey_with(&self, reload: impl Fn() + Send + 'static) -> Result<(), Failure> {
        // One may wait while one is under way: it sees whatever the ones after it would.
        let (ask, asked) = std::sync::mpsc::sync_channel::<()>(1);
        std::thread::Builder::new()
            .name("reload".to_owned())
            .spawn(move || asked.iter().for_each(|()| reload()))
            .map_err(|err| Failure::from_error("threads-unavailable", &err))?;
        while self.wait() == Signal::Reload {
            // A full channel remembers it already.
            let _ = ask.try_send(());
        }
        Ok(())
    }

    /// Blocks until one of them comes.
    fn wait(&self) -> Signal {
        // Without the thread that listens there would be no way to stop in order.
        self.received.recv().unwrap_or(Signal::Stop)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_reload_that_hangs_keeps_nobody_from_stopping() {
        let (send, received) = mpsc::channel();
        let (begun, begins) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        let signals = Signals { received };
        let obeying = std::thread::spawn(move || {
            signals.obey_with(move || {
                begun.send(()).unwrap();
                let _ = ends.recv();
            })
        });
        send.send(Signal::Reload).unwrap();
        begins.recv_timeout(PATIENCE).unwrap();
        // Those that come meanwhile are one.
        for _ in 0..3 {
            send.send(Signal::Reload).unwrap();
        }
        send.send(Signal::Stop).unwrap();
        let deadline = std::time::Instant::now() + PATIENCE;
        while !obeying.is_finished() {
            assert!(std::time::Instant::now() < deadline, "the reload held up the stop");
            std::thread::sleep(Duration::from_millis(1));
        }
        obeying.join().unwrap().unwrap();
        drop(end);
        begins.recv_timeout(PATIENCE).unwrap();
        assert!(begins.recv_timeout(PATIENCE).is_err(), "one was remembered more than once");
    }
}
