//! The way to the server, and what the server says unasked.
//!
//! A connection that was lost is not mended in the background: what was under way then is told again,
//! over a new one. So nothing can be confirmed that nobody waits for.

use std::{
    future::IntoFuture as _,
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{
    Client, ConnectOptions, Event as Notice,
    jetstream::{
        self, Context, ErrorCode,
        context::{ContextBuilder, PublishAckFuture, PublishError, PublishErrorKind},
        message::PublishMessage,
        publish::PublishAck,
    },
};
use exeunt_publication::{outcome, secret::Secret};
use tokio::{sync::watch, time};

use crate::settings::{Account, Nats, Settings, TlsMode};

/// Most refusals that are kept of one connection. There is one for each subject at most, but for a
/// server that does not stop.
const REFUSALS_MAX: usize = 64;

/// How long one server is tried at most, so that the next one has its turn.
const CONNECT_WITHIN_MAX: Duration = Duration::from_secs(5);

/// How often a connection that says nothing is tried.
const PING_EVERY: Duration = Duration::from_secs(20);

/// What may be under way at once: more than any window of the contract.
const IN_FLIGHT_MAX: usize = 8192;

/// Before the subject in what the server says when something may not be published.
const MAY_NOT_PUBLISH: &str = "Permissions Violation for Publish to";

/// Likewise for answers, which come by a subscription.
const MAY_NOT_LISTEN: &str = "Permissions Violation for Subscription to";

/// Why a message was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may go well later, or when somebody has mended the server.
    Later(String),
    /// Another stream takes the subject than the one that the message names. It may go well when
    /// somebody has mended that.
    OtherStream(String),
    /// This message never will.
    Never(String),
}

/// What the server has said about the connection.
#[derive(Clone, Debug, Default)]
struct Notices {
    /// Why the connection is gone.
    lost: Option<String>,
    /// The last thing it complained of; often the reason that it hangs up.
    last: Option<String>,
    /// What it does not allow.
    refusals: Vec<String>,
}

impl Notices {
    fn add(&mut self, notice: &Notice) {
        match notice {
            Notice::Disconnected | Notice::Closed if self.lost.is_none() => {
                let why = self.last.as_deref().unwrap_or("the server hung up");
                self.lost = Some(format!("the connection was lost: {why}"));
            }
            Notice::ServerError(err) => {
                let said = outcome::line(&err.to_string());
                let refusal = said.contains(MAY_NOT_PUBLISH) || said.contains(MAY_NOT_LISTEN);
                if refusal && self.refusals.len() < REFUSALS_MAX {
                    self.refusals.push(said);
                } else if !refusal {
                    self.last = Some(said);
                }
            }
            _ => (),
        }
    }

    /// Why no answer to a message for that subject will come.
    fn against(&self, subject: &str) -> Option<String> {
        let quoted = format!("\"{subject}\"");
        self.refusals
            .iter()
            .find_map(|said| {
                if said.contains(MAY_NOT_LISTEN) {
                    Some(format!("{said}: the account needs the right to subscribe to it"))
                } else if said.contains(&quoted) {
                    Some(format!("{said}: the account needs the right to publish to it"))
                } else {
                    None
                }
            })
            .or_else(|| self.lost.clone())
    }
}

/// A connection to one of the servers.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    jetstream: Context,
    notices: watch::Receiver<Notices>,
    stream: String,
}

/// A message that was sent, and its answer that comes.
pub struct Sent {
    subject: String,
    answer: PublishAckFuture,
}

impl Connection {
    /// Connects to the first server that answers and lets the module in.
    ///
    /// # Errors
    ///
    /// One line for the operator.
    pub async fn open(
        settings: &Settings,
        nats: &Nats,
        module: &str,
        within: Duration,
    ) -> Result<Self, String> {
        let (sender, notices) = watch::channel(Notices::default());
        let sender = Arc::new(sender);
        let tries = u32::try_from(nats.servers.len()).unwrap_or(u32::MAX).saturating_add(1);
        let mut options = ConnectOptions::new()
            .name(format!("exeunt {module}"))
            .connection_timeout(CONNECT_WITHIN_MAX.min(within / tries))
            .ping_interval(PING_EVERY)
            .no_echo()
            // What the operator wrote counts, in its order, and nothing that a server adds.
            .ignore_discovered_servers()
            .retain_servers_order()
            .reconnect_delay_callback(|_| Duration::ZERO)
            .max_reconnects(nats.servers.len())
            .event_callback(move |notice| {
                sender.send_modify(|it| it.add(&notice));
                async {}
            });
        if settings.tls_mode != TlsMode::Off {
            options = options.require_tls(true).tls_client_config(settings.tls.client_config()?);
        }
        if settings.tls_mode == TlsMode::First {
            options = options.tls_first();
        }
        if let Some(prefix) = &nats.inbox_prefix {
            options = options.custom_inbox_prefix(prefix);
        }
        options = authenticated(options, &nats.account)?;
        let servers = named(nats);
        let client = match time::timeout(within, options.connect(&nats.servers)).await {
            Ok(Ok(client)) => client,
            Ok(Err(err)) => {
                return Err(format!("connecting to {servers}: {}", outcome::chain(&err)));
            }
            Err(_) => return Err(format!("connecting to {servers}: no answer in time")),
        };
        let jetstream = ContextBuilder::new()
            .timeout(within)
            .max_ack_inflight(IN_FLIGHT_MAX)
            .build(client.clone());
        Ok(Self { client, jetstream, notices, stream: nats.stream.clone() })
    }

    /// Whether it may be used again: it stands, and the server has refused nothing on it. What was
    /// refused may be allowed by now, and only a new connection finds out.
    pub fn is_sound(&self) -> bool {
        let notices = self.notices.borrow();
        notices.lost.is_none() && notices.refusals.is_empty()
    }

    /// Asks about streams, and makes them.
    pub fn jetstream(&self) -> &jetstream::Context {
        &self.jetstream
    }

    /// Who answers: name, version and address.
    pub fn server(&self) -> String {
        let info = self.client.server_info();
        format!("{} {} at {}:{}", info.server_name, info.version, info.host, info.port)
    }

    /// Largest message that the server takes, in octets.
    pub fn max_payload(&self) -> usize {
        self.client.max_payload()
    }

    /// What comes of a question on that subject, unless the server does not allow it or hangs up: it
    /// answers such a question with a word to the connection, and its asker would wait in vain.
    ///
    /// # Errors
    ///
    /// The right that is missing, or that the connection was lost.
    pub async fn unless_refused<T>(
        &self,
        subject: &str,
        answer: impl Future<Output = T>,
    ) -> Result<T, String> {
        let mut answer = std::pin::pin!(answer);
        let mut notices = self.notices.clone();
        notices.mark_changed();
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return Ok(answer),
                changed = notices.changed() => {
                    let why = match changed {
                        Ok(()) => notices.borrow_and_update().against(subject),
                        Err(_) => Some("the connection has ended".to_owned()),
                    };
                    if let Some(why) = why {
                        return Err(why);
                    }
                }
            }
        }
    }

    /// Hands a message to the connection. It is on its way, and not there.
    ///
    /// # Errors
    ///
    /// It cannot be sent.
    pub async fn send(
        &self,
        subject: String,
        message: PublishMessage,
        deadline: Instant,
    ) -> Result<Sent, Failure> {
        if let Some(why) = self.notices.borrow().against(&subject) {
            return Err(Failure::Later(why));
        }
        let send = self.jetstream.send_publish(subject.clone(), message);
        match time::timeout_at(deadline.into(), send).await {
            Ok(Ok(answer)) => Ok(Sent { subject, answer }),
            Ok(Err(err)) => Err(failure(&err, &subject)),
            Err(_) => Err(Failure::Later("the message could not be sent in time".to_owned())),
        }
    }

    /// Waits until the server has said that a message is in the stream.
    ///
    /// # Errors
    ///
    /// It said something else, or nothing until the deadline.
    pub async fn confirmed(&self, sent: Sent, deadline: Instant) -> Result<(), Failure> {
        let ack = self.answer(sent, deadline).await?;
        if ack.stream == self.stream {
            Ok(())
        } else {
            let text = format!("stream {:?} has taken it, and not {:?}", ack.stream, self.stream);
            Err(Failure::Later(text))
        }
    }

    async fn answer(&self, sent: Sent, deadline: Instant) -> Result<PublishAck, Failure> {
        let Sent { subject, answer } = sent;
        let answer = self.unless_refused(&subject, answer.into_future());
        match time::timeout_at(deadline.into(), answer).await {
            Ok(Ok(ack)) => ack.map_err(|err| failure(&err, &subject)),
            Ok(Err(why)) => Err(Failure::Later(why)),
            Err(_) => Err(Failure::Later("the server has not confirmed in time".to_owned())),
        }
    }
}

fn authenticated(options: ConnectOptions, account: &Account) -> Result<ConnectOptions, String> {
    Ok(match account {
        Account::None => options,
        Account::User { user, password_file } => {
            let password = Secret::read("password_file", password_file)?;
            options.user_and_password(user.clone(), password.text("password_file")?.to_owned())
        }
        Account::Token { token_file } => {
            let token = Secret::read("token_file", token_file)?;
            options.token(token.text("token_file")?.to_owned())
        }
        Account::Nkey { nkey_file } => {
            let seed = Secret::read("nkey_file", nkey_file)?;
            options.nkey(seed.text("nkey_file")?.trim().to_owned())
        }
        Account::Credentials { credentials_file } => {
            let refused =
                |why: &str| format!("credentials_file: {}: {why}", credentials_file.display());
            let content = Secret::read("credentials_file", credentials_file)?;
            let text =
                std::str::from_utf8(content.bytes()).map_err(|_| refused("it is no text"))?;
            // The library's words may hold what is in the file.
            options
                .credentials(text)
                .map_err(|_| refused("it has no JWT and seed of nsc's form"))?
        }
    })
}

fn named(nats: &Nats) -> String {
    let servers: Vec<String> =
        nats.servers.iter().map(|it| format!("{}:{}", it.host(), it.port())).collect();
    servers.join(", ")
}

fn failure(err: &PublishError, subject: &str) -> Failure {
    let of_server = std::error::Error::source(err)
        .and_then(|it| it.downcast_ref::<jetstream::Error>().cloned());
    let said = of_server.as_ref().map_or_else(|| outcome::chain(err), ToString::to_string);
    match (err.kind(), of_server.map(|it| it.error_code())) {
        // The server has no listener for the subject.
        (PublishErrorKind::StreamNotFound, _) => Failure::Later(format!(
            "no stream takes {subject:?}, or JetStream is off; `exeunt exit install` makes the stream"
        )),
        (PublishErrorKind::MaxPayloadExceeded, _) => {
            Failure::Never(format!("the message is larger than the server allows: {said}"))
        }
        (
            _,
            Some(
                ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM
                | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM,
            ),
        ) => Failure::Never(format!("the message is larger than the stream allows: {said}")),
        (_, Some(ErrorCode::STREAM_NOT_MATCH)) => Failure::OtherStream(format!(
            "another stream than the one that is set takes {subject:?}: {said}"
        )),
        (_, Some(_)) => Failure::Later(format!("the server refused {subject:?}: {said}")),
        (PublishErrorKind::TimedOut, _) => {
            Failure::Later("the server has not confirmed in time".to_owned())
        }
        _ => Failure::Later(format!("publishing to {subject:?}: {said}")),
    }
}
