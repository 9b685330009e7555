//! A load generator: many connections kept alive on one thread, no more work than needed, so that
//! it leaves the cores to the server that it measures.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::wire;

/// What a run gave: how long each counted submission took.
#[derive(Debug, Default)]
pub struct Measured {
    /// From the first byte of a request to the last byte of its answer.
    pub latencies: Vec<Duration>,
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let start = Instant::now() + warm_up;
        let end = start + time;
        let mut tasks = JoinSet::new();
        for index in 0..clients {
            let message = wire::submission(address, token, &requests[index % requests.len()]);
            tasks.spawn(client(address, message, start, end));
        }
        let mut measured = Measured::default();
        while let Some(ended) = tasks.join_next().await {
            measured.latencies.extend(ended.map_err(io::Error::other)??);
        }
        Ok(measured)
    })
}

async fn client(
    address: SocketAddr,
    message: Vec<u8>,
    start: Instant,
    end: Instant,
) -> io::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut latencies = Vec::new();
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        let sent = Instant::now();
        if end <= sent {
            return Ok(latencies);
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
        if start <= sent && now <= end {
            latencies.push(now - sent);
        }
    }
}
