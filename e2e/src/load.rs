//! A load generator: many connections kept alive on one thread, no more work than needed, so that
//! it leaves the cores to the server that it measures.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

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
    let start = Instant::now() + warm_up;
    submit(address, token, requests, clients, &Goal::Between(start, start + time))
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
    let begun = Instant::now();
    submit(address, token, requests, clients, &Goal::Left(Rc::new(Cell::new(count))))?;
    Ok(begun.elapsed())
}

fn submit(
    address: SocketAddr,
    token: &str,
    requests: &[Vec<u8>],
    clients: usize,
    goal: &Goal,
) -> io::Result<Measured> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        let mut tasks = JoinSet::new();
        for index in 0..clients {
            let message = wire::submission(address, token, &requests[index % requests.len()]);
            tasks.spawn_local(client(address, message, goal.clone()));
        }
        let mut measured = Measured::default();
        while let Some(ended) = tasks.join_next().await {
            measured.latencies.extend(ended.map_err(io::Error::other)??);
        }
        Ok(measured)
    })
}

async fn client(address: SocketAddr, message: Vec<u8>, goal: Goal) -> io::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut latencies = Vec::new();
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        let sent = Instant::now();
        match &goal {
            Goal::Between(_, end) if *end <= sent => return Ok(latencies),
            Goal::Between(..) => {}
            Goal::Left(left) => match left.get().checked_sub(1) {
                None => return Ok(latencies),
                Some(less) => left.set(less),
            },
        }
        stream.write_all(&message).await?;
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
        if let Goal::Between(start, end) = goal
            && start <= sent
            && now <= end
        {
            latencies.push(now - sent);
        }
    }
}
