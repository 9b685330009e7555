//! The conversation with a server.
//!
//! A connection that was lost is not mended in the background: what was under way then is told again,
//! over a new one.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use exeunt_publication::{outcome, secret::Secret};
use lapin::{
    AsyncTcpStream, Channel, ConnectionProperties, ErrorKind,
    auth::AuthProvider,
    options::ConfirmSelectOptions,
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{LongString, ShortString},
    uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo},
};
use tokio::time;

use crate::{
    amqp::{
        settings::{Account, Amqp, Server},
        socket::{Plug, Socket, runtime},
    },
    settings::Settings,
};

/// How long one server is tried at most, so that the next one has its turn.
const CONNECT_WITHIN_MAX: Duration = Duration::from_secs(5);

/// How long the server may take to say goodbye.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// Reply code of an end that is no failure (AMQP 0-9-1, constant `reply-success`).
const REPLY_SUCCESS: u16 = 200;

/// Why the server did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It refused, and closed the channel (AMQP 0-9-1, "soft errors").
    Refused { why: Refusal, said: String },
    /// It refused and hung up, or the connection was lost.
    Lost(String),
    /// It said nothing in time.
    Late(String),
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 403, `access-refused`: a right is missing.
    Access,
    /// 404, `not-found`: what is named is not there.
    Missing,
    /// 406, `precondition-failed`: what was sent is not as it has to be.
    Precondition,
    /// Anything else.
    Other,
}

impl Trouble {
    /// What an error of the library says.
    pub fn of(err: &lapin::Error) -> Self {
        let said = outcome::line(&outcome::chain(err));
        match err.kind() {
            ErrorKind::ProtocolError(err) => match err.kind() {
                AMQPErrorKind::Soft(soft) => {
                    let why = match soft {
                        AMQPSoftError::ACCESSREFUSED => Refusal::Access,
                        AMQPSoftError::NOTFOUND => Refusal::Missing,
                        AMQPSoftError::PRECONDITIONFAILED => Refusal::Precondition,
                        _ => Refusal::Other,
                    };
                    Self::Refused { why, said: outcome::line(err.get_message().as_str()) }
                }
                AMQPErrorKind::Hard(_) => Self::Lost(outcome::line(err.get_message().as_str())),
            },
            _ => Self::Lost(format!("the connection was lost: {said}")),
        }
    }

    /// For the operator.
    pub fn said(&self) -> &str {
        match self {
            Self::Refused { said, .. } | Self::Lost(said) | Self::Late(said) => said,
        }
    }
}

/// A connection to one of the servers, with a channel on which messages are confirmed.
#[derive(Debug)]
pub struct Connection {
    conversation: lapin::Connection,
    channel: Channel,
    server: String,
    // The last one to be dropped, as it ends the conversation.
    _plug: Plug,
}

impl Connection {
    /// Connects to the first server that answers and lets the module in.
    ///
    /// # Errors
    ///
    /// One line for the operator, with what each server said.
    pub async fn open(
        settings: &Settings,
        amqp: &Amqp,
        module: &str,
        within: Duration,
    ) -> Result<Self, String> {
        let tries = u32::try_from(amqp.servers.len()).unwrap_or(u32::MAX).max(1);
        let each = CONNECT_WITHIN_MAX.min(within / tries);
        let mut said = Vec::new();
        for server in &amqp.servers {
            let until = Instant::now() + each;
            let opened = Self::to(server, settings, amqp, module, until);
            let why = match time::timeout_at(until.into(), opened).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(why)) => why,
                Err(_) => "no answer in time".to_owned(),
            };
            said.push(format!("connecting to {}:{}: {why}", server.host, server.port));
        }
        Err(said.join("; "))
    }

    async fn to(
        server: &Server,
        settings: &Settings,
        amqp: &Amqp,
        module: &str,
        until: Instant,
    ) -> Result<Self, String> {
        let login = Login::read(&amqp.account)?;
        let (socket, plug) = Socket::connect(settings, server, until).await?;
        let socket = Mutex::new(Some(socket));
        let uri = AMQPUri {
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username: String::new(), password: String::new() },
                host: server.host.clone(),
                port: server.port,
            },
            vhost: amqp.vhost.clone(),
            query: AMQPQueryString {
                heartbeat: Some(u16::try_from(amqp.heartbeat.as_secs()).unwrap_or(u16::MAX)),
                ..AMQPQueryString::default()
            },
        };
        let properties = ConnectionProperties::default()
            .with_connection_name(format!("exeunt {module}").into())
            .with_auth_provider(login);
        let connect = async move |_, _| {
            // It is asked for a stream once, as it mends nothing.
            let socket = socket.lock().unwrap_or_else(PoisonError::into_inner).take();
            let socket = socket.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
            Ok(AsyncTcpStream::Plain(socket))
        };
        let refused = |err: lapin::Error| Trouble::of(&err).said().to_owned();
        let conversation = lapin::Connection::connector(uri, runtime(), connect, properties)
            .await
            .map_err(refused)?;
        let channel = opened(&conversation).await.map_err(|it| it.said().to_owned())?;
        let server = format!("{}:{}", server.host, server.port);
        Ok(Self { conversation, channel, server, _plug: plug })
    }

    /// Whether it may be used again.
    pub fn is_sound(&self) -> bool {
        self.conversation.status().connected() && self.channel.status().connected()
    }

    /// Whether the server takes nothing because of an alarm (`connection.blocked`).
    pub fn is_blocked(&self) -> bool {
        self.conversation.status().blocked()
    }

    /// Where the server is.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The channel; a new one where the server has closed the last.
    ///
    /// # Errors
    ///
    /// There is none to be had.
    pub async fn channel(&mut self, deadline: Instant) -> Result<Channel, Trouble> {
        if !self.channel.status().connected() {
            self.channel = in_time(deadline, opened(&self.conversation)).await?;
        }
        Ok(self.channel.clone())
    }

    /// Says goodbye, so that the server has nothing to complain of in its log.
    pub async fn close(self) {
        let goodbye = self.conversation.close(REPLY_SUCCESS, ShortString::default());
        let _ = time::timeout(GOODBYE_WITHIN, goodbye).await;
    }
}

async fn opened(conversation: &lapin::Connection) -> Result<Channel, Trouble> {
    let channel = conversation.create_channel().await.map_err(|err| Trouble::of(&err))?;
    let confirm = channel.confirm_select(ConfirmSelectOptions::default());
    confirm.await.map_err(|err| Trouble::of(&err))?;
    Ok(channel)
}

/// What comes of it, if it comes until the deadline.
///
/// # Errors
///
/// Its own, or that it took too long.
pub async fn in_time<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let late = || Trouble::Late("the server has not answered in time".to_owned());
    time::timeout_at(deadline.into(), work).await.unwrap_or_else(|_| Err(late()))
}

/// Says who the module is.
struct Login {
    mechanism: &'static str,
    /// The user and the password.
    user: Option<(String, Secret)>,
}

impl Login {
    fn read(account: &Account) -> Result<Self, String> {
        Ok(match account {
            Account::Certificate => Self { mechanism: "EXTERNAL", user: None },
            Account::User { user, password_file } => {
                let password = Secret::read("password_file", password_file)?;
                password.text("password_file")?;
                Self { mechanism: "PLAIN", user: Some((user.clone(), password)) }
            }
        })
    }
}

impl AuthProvider for Login {
    fn mechanism(&self) -> ShortString {
        self.mechanism.into()
    }

    fn auth_starter(&self) -> Result<LongString, String> {
        let Some((user, password)) = &self.user else {
            return Ok(LongString::default());
        };
        // RFC 4616, section 2.
        let said = [b"\0", user.as_bytes(), b"\0", password.bytes()].concat();
        Ok(said.into())
    }
}
