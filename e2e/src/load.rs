//! A load generator: many connections kept alive on one thread, no more work than needed, so that
//! it leaves the cores to the server that it measures.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::wire;

/// What a run gave: how long each counted submission took.
#[derive(Debug, Default)]
pub struct Measured {
    /// From the first byte of a request to the last byte of its answer.
    pub latencies: Vec<Duration>,
}

/// When a client stops, and what it counts.
#[derive(Clone, Debug)]
enum Goal {
    /// Counts what begins and ends between these moments; the end of them is the end.
    Between(Instant, Instant),
    /// Ends when all clients together have submitted so many more.
    Left(Rc<Cell<usize>>),
}

impl Goal {
    /// The moment at which another one is sent, if one is.
    fn another(&self) -> Option<Instant> {
        let now = Instant::now();
        match self {
            Self::Between(_, end) => (now < *end).then_some(now),
            Self::Left(left) => {
                left.set(left.get().checked_sub(1)?);
                Some(now)
            }
        }
    }

    /// Whether what was sent and answered then is one of those that are counted.
    fn counts(&self, sent: Instant, answered: Instant) -> bool {
        match self {
            Self::Between(start, end) => *start <= sent && answered <= *end,
            Self::Left(_) => false,
        }
    }
}

/// How clients come to a server.
#[derive(Clone, Debug)]
pub struct Way {
    /// Where it listens.
    pub address: SocketAddr,
    /// What goes with each request; nothing where a certificate says enough.
    pub token: Option<String>,
    /// How TLS is spoken, if it is; the server is `localhost`.
    pub tls: Option<Arc<ClientConfig>>,
}

impl Way {
    /// Plain HTTP with a token.
    pub fn plain(address: SocketAddr, token: &str) -> Self {
        Self { address, token: Some(token.to_owned()), tls: None }
    }
}

/// Submits from `clients` connections at once, and counts what ends after the warm-up.
///
/// # Errors
///
/// The first connection that fails, or the first answer that is not a certificate.
pub fn run(
    address: SocketAddr,
    token: &str,
    requests: &[Vec<u8>],
    clients: usize,
    warm_up: Duration,
    time: Duration,
) -> io::Result<Measured> {
    run_by(&Way::plain(address, token), requests, clients, warm_up, time)
}

/// [`run`] by any way.
///
/// # Errors
///
/// As [`run`].
pub fn run_by(
    way: &Way,
    requests: &[Vec<u8>],
    clients: usize,
    warm_up: Duration,
    time: Duration,
) -> io::Result<Measured> {
    let start = Instant::now() + warm_up;
    submit(way, requests, clients, &Goal::Between(start, start + time))
}

/// Submits `count` requests from `clients` connections at once; how long that took.
///
/// # Errors
///
/// As [`run`].
pub fn issue(
    address: SocketAddr,
    token: &str,
    requests: &[Vec<u8>],
    clients: usize,
    count: usize,
) -> io::Result<Duration> {
    issue_by(&Way::plain(address, token), requests, clients, count)
}

/// [`issue`] by any way.
///
/// # Errors
///
/// As [`run`].
pub fn issue_by(
    way: &Way,
    requests: &[Vec<u8>],
    clients: usize,
    count: usize,
) -> io::Result<Duration> {
    let begun = Instant::now();
    submit(way, requests, clients, &Goal::Left(Rc::new(Cell::new(count))))?;
    Ok(begun.elapsed())
}

fn submit(way: &Way, requests: &[Vec<u8>], clients: usize, goal: &Goal) -> io::Result<Measured> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        let mut tasks = JoinSet::new();
        for index in 0..clients {
            let request = &requests[index % requests.len()];
            let message = wire::submission_by(way.address, way.token.as_deref(), request);
            tasks.spawn_local(client(way.clone(), message, goal.clone()));
        }
        let mut measured = Measured::default();
        while let Some(ended) = tasks.join_next().await {
            measured.latencies.extend(ended.map_err(io::Error::other)??);
        }
        Ok(measured)
    })
}

/// Sends these messages from `clients` connections at once, each of them once; how long that took.
///
/// # Errors
///
/// The first connection that fails, or the first answer that is not 200 with `least` octets or more.
pub fn ask_each(
    address: SocketAddr,
    messages: &Rc<Vec<Vec<u8>>>,
    clients: usize,
    least: usize,
) -> io::Result<Duration> {
    let begun = Instant::now();
    let goal = Goal::Left(Rc::new(Cell::new(messages.len())));
    ask(address, messages, clients, least, &goal)?;
    Ok(begun.elapsed())
}

/// Sends these messages in turn from `clients` connections at once; how many were answered in `time`
/// after the warm-up.
///
/// # Errors
///
/// As [`ask_each`].
pub fn ask_for(
    address: SocketAddr,
    messages: &Rc<Vec<Vec<u8>>>,
    clients: usize,
    least: usize,
    (warm_up, time): (Duration, Duration),
) -> io::Result<usize> {
    let start = Instant::now() + warm_up;
    ask(address, messages, clients, least, &Goal::Between(start, start + time))
}

fn ask(
    address: SocketAddr,
    messages: &Rc<Vec<Vec<u8>>>,
    clients: usize,
    least: usize,
    goal: &Goal,
) -> io::Result<usize> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        let mut tasks = JoinSet::new();
        let next = Rc::new(Cell::new(0));
        for _ in 0..clients {
            let (messages, next) = (Rc::clone(messages), Rc::clone(&next));
            tasks.spawn_local(asker(address, messages, next, least, goal.clone()));
        }
        let mut count = 0;
        while let Some(ended) = tasks.join_next().await {
            count += ended.map_err(io::Error::other)??;
        }
        Ok(count)
    })
}

/// How many of its questions count.
async fn asker(
    address: SocketAddr,
    messages: Rc<Vec<Vec<u8>>>,
    next: Rc<Cell<usize>>,
    least: usize,
    goal: Goal,
) -> io::Result<usize> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut count = 0;
    let mut buffer = Vec::with_capacity(16 * 1024);
    while let Some(sent) = goal.another() {
        let place = next.replace(next.get() + 1);
        stream.write_all(&messages[place % messages.len()]).await?;
        buffer.clear();
        let head = loop {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(head) = wire::parse_head(&buffer)?
                && head.start + head.length <= buffer.len()
            {
                break head;
            }
        };
        if head.status != 200 || head.length < least {
            return Err(io::Error::other(String::from_utf8_lossy(&buffer).into_owned()));
        }
        count += usize::from(goal.counts(sent, Instant::now()));
    }
    Ok(count)
}

async fn client(way: Way, message: Vec<u8>, goal: Goal) -> io::Result<Vec<Duration>> {
    let stream = TcpStream::connect(way.address).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = way.tls else { return converse(stream, message, goal).await };
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls).connect(name, stream).await?;
    converse(stream, message, goal).await
}

async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    message: Vec<u8>,
    goal: Goal,
) -> io::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let mut buffer = Vec::with_capacity(16 * 1024);
    while let Some(sent) = goal.another() {
        stream.write_all(&message).await?;
        stream.flush().await?;
        buffer.clear();
        let answer = loop {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(answer) = wire::parse(&buffer)? {
                break answer;
            }
        };
        if answer.status != 200 {
            return Err(io::Error::other(String::from_utf8_lossy(&answer.body).into_owned()));
        }
        let now = Instant::now();
        if goal.counts(sent, now) {
            latencies.push(now - sent);
        }
    }
    Ok(latencies)
}
