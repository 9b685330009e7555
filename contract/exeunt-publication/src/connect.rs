//! A TCP connection to a name, in a bounded time, for modules that run on tokio.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use crate::{outcome, resolver::ADDRESSES_MAX};

/// Connects to a host, which may be an address, until that moment. Of its addresses at most
/// [`ADDRESSES_MAX`] are tried.
///
/// # Errors
///
/// One line for the operator: what the system says of the name or of each address.
pub async fn connect(host: &str, port: u16, until: Instant) -> Result<TcpStream, String> {
    let looked_up = timeout(left(until), lookup_host((host, port))).await;
    let found = looked_up.map_err(|_| format!("resolving {host} took too long"))?;
    let found = found.map_err(|err| outcome::chain(&err))?;
    let addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
    let stream = first(&addresses, until).await?;
    stream.set_nodelay(true).map_err(|err| outcome::chain(&err))?;
    Ok(stream)
}

/// Tries one address after the other. Each has its part of what is left of the time, so that one that
/// says nothing does not keep the next from its turn.
async fn first(addresses: &[SocketAddr], until: Instant) -> Result<TcpStream, String> {
    let mut failed = Vec::new();
    for (address, turns) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let within = left(until) / u32::try_from(turns).unwrap_or(u32::MAX);
        match timeout(within, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(err)) => failed.push(format!("{address}: {err}")),
            Err(_) => failed.push(format!("{address}: no answer in time")),
        }
    }
    Err(failed.join("; "))
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;
    use exeunt_testbed::silent::Silent;
    use std::net::TcpListener;

    #[tokio::test]
    async fn an_address_that_is_silent_leaves_time_for_the_next_one() {
        let (silent, good) = (Silent::start(), TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = [silent.address(), good.local_addr().unwrap()];
        let stream = first(&addresses, Instant::now() + Duration::from_secs(2)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addresses[1]);
    }

    #[tokio::test]
    async fn a_refusal_names_the_address_and_silence_ends_in_time() {
        let silent = Silent::start().address();
        let soon = Instant::now() + Duration::from_millis(200);
        let why = first(&[silent], soon).await.unwrap_err();
        assert!(why.starts_with(&format!("{silent}: ")), "{why}");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let later = Instant::now() + Duration::from_secs(20);
        let why = connect("127.0.0.1", port, later).await.unwrap_err();
        assert!(why.starts_with(&format!("127.0.0.1:{port}: Connection refused")), "{why}");
    }
}
