//! An address that says nothing, as behind a firewall that drops what it does not like.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

/// More than the system's queue of one takes.
const CALLERS: usize = 4;

/// How long a caller waits in vain.
const WAIT: Duration = Duration::from_millis(50);

/// A queue that is full, so that the system answers nobody else.
#[derive(Debug)]
pub struct Silent {
    address: SocketAddr,
    _listener: TcpListener,
    _callers: Vec<io::Result<TcpStream>>,
}

impl Silent {
    /// On loopback, at a port of its own.
    ///
    /// # Panics
    ///
    /// Where the system still answers.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        rustix::net::listen(&listener, 0).expect("a queue of one");
        let address = listener.local_addr().expect("a socket has an address");
        let callers: Vec<_> =
            (0..CALLERS).map(|_| TcpStream::connect_timeout(&address, WAIT)).collect();
        assert!(callers.iter().any(Result::is_err), "{address} is not silent");
        Self { address, _listener: listener, _callers: callers }
    }

    /// Where nobody answers.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
