//! A connection to the server: TLS by rustls, a log-in, and statements.
//!
//! The library is asynchronous. It runs on the thread of whoever calls, for as long as the call takes.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use exeunt_publication::secret::Secret;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::JoinHandle,
};
use tokio_postgres::{
    Client, Config, Error, Socket, Statement,
    config::SslMode,
    tls::{ChannelBinding, MakeTlsConnect, NoTls, TlsConnect, TlsStream},
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use crate::{settings::Settings, verdict};

/// What the server's own lists of connections call the module.
const APPLICATION_NAME: &str = "exeunt-exit-sql";

/// What a session has set before its first statement. A role whose commits are not waited for would
/// have the module accept what a power failure takes away.
const SESSION: &str = "SELECT set_config('synchronous_commit', 'on', false) \
                       WHERE current_setting('synchronous_commit') = 'off'; \
                       SET TimeZone = 'UTC'";

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A file that the settings name cannot be used.
    #[error("{0}")]
    Settings(String),
    /// The server cannot be reached, is not the one that is trusted, or refuses.
    #[error("connecting to {place}: {}", verdict::words(.source))]
    Server {
        /// Where it should be.
        place: String,
        /// What went wrong.
        source: Error,
    },
}

impl ConnectError {
    /// Stable code for logs and answers.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Settings(_) => "sql-settings",
            Self::Server { .. } => "sql-connect",
        }
    }

    /// What it means for the events that wait. Files are mended as roles are.
    pub fn verdict(&self) -> verdict::Verdict {
        match self {
            Self::Settings(_) => verdict::Verdict::Mend,
            Self::Server { source, .. } => verdict::of(source),
        }
    }
}

/// A connection that is logged in.
#[derive(Debug)]
pub struct Session {
    /// What takes statements.
    pub client: Client,
    /// What moves the connection while the runtime runs.
    mover: JoinHandle<()>,
    /// Statements that the server has parsed, by their text: a few for each table.
    prepared: HashMap<String, Statement>,
}

impl Session {
    /// Connects and logs in.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub async fn open(settings: &Settings) -> Result<Self, ConnectError> {
        let mut config = Config::new();
        config.user(&settings.user).dbname(&settings.database).port(settings.port);
        config.application_name(APPLICATION_NAME).connect_timeout(settings.connect_timeout);
        config.tcp_user_timeout(settings.timeout);
        if let Some(path) = &settings.password_file {
            let password = Secret::read("password_file", path).map_err(ConnectError::Settings)?;
            config.password(password.text("password_file").map_err(ConnectError::Settings)?);
        }
        let refused = |source| ConnectError::Server { place: settings.place(), source };
        let (client, mover) = if settings.over_socket() {
            config.host_path(&settings.host).ssl_mode(SslMode::Disable);
            let (client, connection) = config.connect(NoTls).await.map_err(refused)?;
            (client, keep_moving(connection))
        } else {
            config.host(&settings.host).ssl_mode(SslMode::Require);
            let trust = settings.tls.client_config().map_err(ConnectError::Settings)?;
            let tls = MakeTls(TlsConnector::from(Arc::new(trust)));
            let (client, connection) = config.connect(tls).await.map_err(refused)?;
            (client, keep_moving(connection))
        };
        // The server gives up when we do.
        let limit = format!("; SET statement_timeout = {}", settings.timeout.as_millis());
        client.batch_execute(&format!("{SESSION}{limit}")).await.map_err(refused)?;
        Ok(Self { client, mover, prepared: HashMap::new() })
    }

    /// A statement, parsed by the server once.
    ///
    /// # Errors
    ///
    /// What the server says of it.
    pub async fn prepared(&mut self, text: String) -> Result<Statement, Error> {
        if let Some(statement) = self.prepared.get(&text) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(&text).await?;
        self.prepared.insert(text, statement.clone());
        Ok(statement)
    }

    /// Closes it whatever is under way.
    pub async fn abort(self) {
        self.mover.abort();
        // It ends with the news that it was aborted.
        self.mover.await.ok();
    }
}

/// What ends the connection is told to whoever waits for an answer.
fn keep_moving(
    connection: impl Future<Output = Result<(), Error>> + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        connection.await.ok();
    })
}

/// Makes TLS for a host.
struct MakeTls(TlsConnector);

impl MakeTlsConnect<Socket> for MakeTls {
    type Stream = Secured;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<Handshake> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Handshake { connector: self.0.clone(), name })
    }
}

/// A handshake that is about to begin.
struct Handshake {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Secured;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Secured>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move { self.connector.connect(self.name, socket).await.map(Secured) })
    }
}

/// A connection over TLS.
struct Secured(tokio_rustls::client::TlsStream<Socket>);

impl fmt::Debug for Secured {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secured(..)")
    }
}

impl TlsStream for Secured {
    fn channel_binding(&self) -> ChannelBinding {
        // The server's certificate was verified against what the operator trusts.
        ChannelBinding::none()
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
