//! The way to the directory: one connection to one of the servers, and what is known of it.
//!
//! Enter at [`Directory::session`], which gives a [`Session`] that many operations can use at the same
//! time. Where a server fails, the next one is asked; the preferred one comes back after a while.

use std::{fmt, sync::Arc, time::Duration};

use exeunt_publication::{outcome, secret::Secret};
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, StdStream};
use tokio::{
    runtime::{Builder, Runtime},
    task::{JoinHandle, yield_now},
    time::{Instant, timeout_at},
};

use crate::{
    error::{DirectoryError, refusal},
    facts::{self, Facts},
    result_code::Then,
    session::Session,
    settings::{ConnectionSettings, Login},
    transport::{self, Refused},
    written::Written,
};

/// How often the event loop is let run before an idle connection counts as open: the system is asked,
/// the end is read, passed on and read again, and the task ends.
const LOOKS_FOR_END: usize = 16;

/// The directory: its servers, and the connection to one of them.
pub struct Directory {
    settings: ConnectionSettings,
    runtime: Runtime,
    current: Option<Current>,
    /// For each server, until when it comes after the others.
    avoided: Vec<Option<Instant>>,
    /// For each server, what is known of it.
    facts: Vec<Option<Arc<Facts>>>,
    written: Written,
}

struct Current {
    ldap: Ldap,
    facts: Arc<Facts>,
    server: usize,
    driver: JoinHandle<()>,
    refused: Refused,
}

impl fmt::Debug for Directory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.current.as_ref().map(|it| it.server);
        out.debug_struct("Directory").field("server", &server).finish_non_exhaustive()
    }
}

impl Directory {
    /// Prepares the way. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// One line for the operator: the files of TLS or the password cannot be used.
    pub fn new(settings: ConnectionSettings) -> Result<Self, String> {
        settings.tls.client_config()?;
        if let Login::Simple { password_file, .. } = &settings.login {
            Secret::read("password_file", password_file)?.text("password_file")?;
        }
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|err| format!("the system gives no event loop: {err}"))?;
        let servers = settings.servers.len();
        let facts = vec![None; servers];
        let (avoided, written) = (vec![None; servers], Written::default());
        Ok(Self { settings, runtime, current: None, avoided, facts, written })
    }

    /// Runs something that waits for the directory.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// A moment so long from now.
    pub fn until(within: Duration) -> Instant {
        Instant::now() + within
    }

    /// The connection, or a new one, to be used until a moment.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Connect`].
    pub fn session(&mut self, until: Instant) -> Result<Session, DirectoryError> {
        let now = Instant::now();
        if self.current.is_some() {
            // A server ends what is idle for long, which says nothing against it. The loop is let
            // run so that it is noticed before anything is sent.
            self.runtime.block_on(async {
                for _ in 0..LOOKS_FOR_END {
                    yield_now().await;
                }
            });
        }
        if let Some(current) = &self.current {
            // A better one may be back. An attempt is made once in a while, with the old connection
            // at hand.
            let before = 0..current.server;
            let better = before.clone().find(|it| self.avoided[*it].is_none_or(|it| it <= now));
            if current.driver.is_finished() {
                self.discard();
            } else if let Some(better) = better
                && let Err(reason) = self.connect(better, until)
            {
                eprintln!("{}: {reason}", self.settings.servers[better]);
            }
        }
        if self.current.is_none() {
            self.connect_any(until)?;
        }
        let current = self.current.as_ref().expect("BUG: connected just now");
        Ok(Session {
            ldap: current.ldap.clone(),
            facts: Arc::clone(&current.facts),
            refused: Arc::clone(&current.refused),
            server: self.settings.servers[current.server].to_string(),
            timeout: self.settings.timeout,
            until,
            written: self.written.clone(),
        })
    }

    /// Gives the connection up, because it did not work: its server comes after the others for a
    /// while.
    pub fn give_up(&mut self) {
        if let Some(current) = &self.current {
            self.avoided[current.server] = Some(Instant::now() + self.settings.return_after);
        }
        self.discard();
    }

    /// Says farewell.
    pub fn close(&mut self) {
        if let Some(mut current) = self.current.take() {
            let within = Instant::now() + Duration::from_secs(1);
            self.runtime.block_on(async {
                // It is a courtesy; the server notices anyway.
                timeout_at(within, current.ldap.unbind()).await.ok();
            });
            current.driver.abort();
        }
    }

    /// Runs one thing over the connection, and once more over another one where that may help.
    ///
    /// # Errors
    ///
    /// What the second attempt said.
    pub fn run<T>(
        &mut self,
        until: Instant,
        work: &impl AsyncFn(&Session) -> Result<T, DirectoryError>,
    ) -> Result<T, DirectoryError> {
        let mut again = true;
        loop {
            let session = self.session(until)?;
            match self.wait(work(&session)) {
                Err(err) if err.then() == Then::Elsewhere => {
                    self.give_up();
                    if !again {
                        return Err(err);
                    }
                    again = false;
                }
                other => return other,
            }
        }
    }

    fn discard(&mut self) {
        if let Some(current) = self.current.take() {
            current.driver.abort();
        }
    }

    fn connect_any(&mut self, until: Instant) -> Result<(), DirectoryError> {
        let now = Instant::now();
        let mut order: Vec<usize> = (0..self.settings.servers.len()).collect();
        // Those that failed lately come last, the one that is due first before the others.
        order.sort_by_key(|it| self.avoided[*it].filter(|it| now < *it));
        let mut reasons = Vec::new();
        for server in order {
            match self.connect(server, until) {
                Ok(()) => return Ok(()),
                Err(reason) => reasons.push(format!("{}: {reason}", self.settings.servers[server])),
            }
        }
        Err(DirectoryError::Connect(reasons.join("; ")))
    }

    /// Makes the connection to a server the current one, or leaves everything as it was.
    fn connect(&mut self, server: usize, until: Instant) -> Result<(), String> {
        let within = until.min(Instant::now() + self.settings.connect_timeout);
        let known = self.facts[server].clone();
        let settings = &self.settings;
        let opened = self.runtime.block_on(async {
            match timeout_at(within, open(settings, server, known, within)).await {
                Ok(opened) => opened,
                Err(_) => Err("it did not answer in time".to_owned()),
            }
        });
        match opened {
            Ok(current) => {
                self.avoided[server] = None;
                self.facts[server] = Some(Arc::clone(&current.facts));
                self.discard();
                self.current = Some(current);
                Ok(())
            }
            Err(reason) => {
                self.avoided[server] = Some(Instant::now() + self.settings.return_after);
                Err(reason)
            }
        }
    }
}

/// Aborts a task that nobody has taken over.
struct AbortOnDrop(Option<JoinHandle<()>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Connects, logs in, and asks what kind of server it is. The files of TLS and the password are read
/// anew, because they may have been changed.
async fn open(
    settings: &ConnectionSettings,
    server: usize,
    known: Option<Arc<Facts>>,
    until: Instant,
) -> Result<Current, String> {
    let url = &settings.servers[server];
    let refused = Refused::default();
    let (end, passing) = transport::connect(settings, url, Arc::clone(&refused), until).await?;
    let options = LdapConnSettings::new().set_std_stream(StdStream::Unix(end));
    // The library is told that this is a Unix socket, which it is.
    let (connection, mut ldap) = LdapConnAsync::with_settings(options, "ldapi:///")
        .await
        .map_err(|err| outcome::chain(&err))?;
    let mut driver = AbortOnDrop(Some(tokio::spawn(async move {
        // Whoever waits for an answer learns that none comes.
        tokio::join!(async { connection.drive().await.ok() }, passing);
    })));
    let facts = log_in(settings, &mut ldap, known)
        .await
        .map_err(|why| refused.get().map_or(why, |it| (*it).to_owned()))?;
    let driver = driver.0.take().expect("BUG: nobody else takes it");
    Ok(Current { ldap, facts, server, driver, refused })
}

/// Logs in, and asks what kind of server it is.
async fn log_in(
    settings: &ConnectionSettings,
    ldap: &mut Ldap,
    known: Option<Arc<Facts>>,
) -> Result<Arc<Facts>, String> {
    let result = match &settings.login {
        Login::Anonymous => None,
        Login::Simple { name, password_file } => {
            let password = Secret::read("password_file", password_file)?;
            Some(ldap.simple_bind(name, password.text("password_file")?).await)
        }
        Login::External => Some(ldap.sasl_external_bind().await),
    };
    if let Some(result) = result {
        let result = result.map_err(|err| format!("logging in: {}", outcome::chain(&err)))?;
        if result.rc != 0 {
            return Err(refusal("logging in", &result).to_string());
        }
    }
    match known {
        Some(facts) => Ok(facts),
        None => facts::ask(ldap, settings.binary).await.map(Arc::new),
    }
}
