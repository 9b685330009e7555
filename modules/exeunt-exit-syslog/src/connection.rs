//! Ways to a server: TLS, TCP, UDP and the socket of this machine, each with a time limit.
//!
//! Syslog has no acknowledgement. Over a stream there is something as good: whoever closes a connection
//! after having been told that nothing more comes has read everything before. [`Connection::close`]
//! waits for that.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream, UdpSocket},
    os::unix::net::UnixDatagram,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use exeunt_publication::{outcome::chain, resolver::turns};
use rustix::net::sockopt;
use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};

/// When the system looks whether the other side of a silent connection is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How long to wait, beyond twice the way there, for the news that a server was gone before it had
/// read: it comes right behind the end of the connection.
const GRACE: Duration = Duration::from_millis(5);

/// Longest such wait.
const GRACE_MAX: Duration = Duration::from_millis(500);

/// How often it is looked for such news.
const GRACE_STEP: Duration = Duration::from_millis(1);

/// Tries one address after the other.
fn first<T>(
    addresses: &[SocketAddr],
    until: Instant,
    mut open: impl FnMut(SocketAddr, Duration) -> io::Result<T>,
) -> Result<T, String> {
    let mut failed = Vec::new();
    for (address, within) in turns(addresses, until) {
        match left(until).and_then(|_| open(address, within)) {
            Ok(it) => return Ok(it),
            Err(err) => failed.push(format!("connecting to {address}: {err}")),
        }
    }
    Err(failed.join("; "))
}

/// A connection over TCP, with TLS in it or without.
pub struct Connection {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// How long the way there and back takes.
    round_trip: Duration,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Connection").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects, and greets over TLS where there is a configuration of it.
    ///
    /// # Errors
    ///
    /// One line: what failed, and where.
    pub fn open(
        host: &str,
        addresses: &[SocketAddr],
        tls: Option<Arc<ClientConfig>>,
        until: Instant,
    ) -> Result<Self, String> {
        let mut round_trip = Duration::ZERO;
        let socket = first(addresses, until, |address, within| {
            let begun = Instant::now();
            let socket = TcpStream::connect_timeout(&address, within)?;
            round_trip = begun.elapsed();
            socket.set_nodelay(true)?;
            sockopt::set_socket_keepalive(&socket, true)?;
            sockopt::set_tcp_keepidle(&socket, KEEP_ALIVE)?;
            sockopt::set_tcp_keepintvl(&socket, KEEP_ALIVE / 4)?;
            // What is written and never taken breaks the connection.
            let within = u32::try_from(left(until)?.as_millis()).unwrap_or(u32::MAX);
            sockopt::set_tcp_user_timeout(&socket, within)?;
            Ok(socket)
        })?;
        let Some(config) = tls else { return Ok(Self { socket, tls: None, round_trip }) };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("{host} is no name that a certificate could have"))?;
        let mut tls =
            ClientConnection::new(config, name).map_err(|err| format!("TLS: {}", chain(&err)))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut Timed { socket: &socket, until })
                .map_err(|err| format!("TLS with {host}: {}", said(&err)))?;
        }
        Ok(Self { socket, tls: Some(Box::new(tls)), round_trip })
    }

    /// What was agreed on, for people.
    pub fn protocol(&self) -> &'static str {
        match self.tls.as_ref().and_then(|it| it.protocol_version()) {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(_) => "TLS 1.2",
            None => "TCP",
        }
    }

    /// Writes everything.
    ///
    /// # Errors
    ///
    /// The connection broke, or nothing was taken in time.
    pub fn write(&mut self, octets: &[u8], until: Instant) -> io::Result<()> {
        let mut timed = Timed { socket: &self.socket, until };
        match &mut self.tls {
            None => timed.write_all(octets),
            Some(tls) => {
                let mut stream = rustls::Stream::new(tls.as_mut(), &mut timed);
                stream.write_all(octets)?;
                stream.flush()
            }
        }
    }

    /// The connection, unless the server has closed it or it has broken. What the server says is
    /// passed over: syslog has no answers.
    pub fn still_open(mut self) -> Option<Self> {
        self.socket.set_nonblocking(true).ok()?;
        match self.look() {
            Ok(()) => (),
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => (),
            Err(_) => return None,
        }
        self.socket.set_nonblocking(false).ok()?;
        Some(self)
    }

    /// Reads what is there, up to an error: that nothing is there is one.
    fn look(&mut self) -> io::Result<()> {
        let mut octets = [0; 1024];
        let mut raw = &self.socket;
        // A server that never stops talking is not listened to for ever.
        for _ in 0..64 {
            let read = match &mut self.tls {
                None => raw.read(&mut octets)?,
                Some(tls) => {
                    let read = tls.read_tls(&mut raw)?;
                    let state = tls.process_new_packets().map_err(io::Error::other)?;
                    if state.peer_has_closed() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    let mut words = tls.reader();
                    while words.read(&mut octets).is_ok_and(|it| it != 0) {}
                    read
                }
            };
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Says that nothing more comes, and waits until the server has read everything and closed as
    /// well; where a `farewell` is asked for, with that of TLS, which nobody else can say.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::TimedOut`]: the server did not close in time;
    /// [`io::ErrorKind::UnexpectedEof`]: it closed without the farewell; others: it was gone before
    /// it had read.
    pub fn close(self, farewell: bool, until: Instant) -> io::Result<()> {
        let mut it = self;
        // 1. An end that comes before it was asked for is no answer: it is waited for, as long as the
        //    news of what was written needs to come back.
        let grace = (it.round_trip * 2 + GRACE).min(GRACE_MAX);
        let begun = Instant::now();
        while begun.elapsed() < grace {
            it = it.still_open().ok_or(io::ErrorKind::ConnectionAborted)?;
            thread::sleep(GRACE_STEP);
        }
        // 2. Say that nothing more comes, and read to the end.
        let mut timed = Timed { socket: &it.socket, until };
        if let Some(tls) = &mut it.tls {
            tls.send_close_notify();
            while tls.wants_write() {
                tls.write_tls(&mut timed)?;
            }
        }
        it.socket.shutdown(Shutdown::Write)?;
        let mut octets = [0; 1024];
        loop {
            let read = match &mut it.tls {
                None => timed.read(&mut octets),
                Some(tls) => rustls::Stream::new(tls.as_mut(), &mut timed).read(&mut octets),
            };
            match read {
                Ok(0) => break,
                Ok(_) => (),
                // The end without the farewell of TLS (RFC 5425, section 4.4): it may be the system that
                // says so of a process that was killed, or somebody on the way.
                Err(err) if err.kind() == io::ErrorKind::UnexpectedEof && !farewell => break,
                Err(err) => return Err(err),
            }
            // Each read has what is left; one that always brings something has to end as well.
            left(until)?;
        }
        // 3. A server that closed before it had read sends a reset right behind, for what it gets then.
        let begun = Instant::now();
        while begun.elapsed() < grace {
            if let Some(err) = it.socket.take_error()? {
                return Err(err);
            }
            thread::sleep(GRACE_STEP);
        }
        Ok(())
    }
}

/// A socket all of whose operations end at a moment.
struct Timed<'a> {
    socket: &'a TcpStream,
    until: Instant,
}

impl Read for Timed<'_> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(left(self.until)?))?;
        self.socket.read(octets).map_err(in_time)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(left(self.until)?))?;
        self.socket.write(octets).map_err(in_time)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is left until a moment.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// The system calls a time limit of a socket a lack of patience.
fn in_time(err: io::Error) -> io::Error {
    match err.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => err,
    }
}

/// What went wrong, in words.
pub fn said(err: &io::Error) -> String {
    match err.kind() {
        io::ErrorKind::TimedOut => "nothing happened in time".to_owned(),
        io::ErrorKind::UnexpectedEof => "the server has closed the connection".to_owned(),
        _ => chain(err),
    }
}

/// Sends datagrams.
#[derive(Debug)]
pub enum Datagrams {
    /// To a server.
    Udp(UdpSocket),
    /// To a socket of this machine.
    Unix(UnixDatagram),
}

impl Datagrams {
    /// A socket that sends to a server.
    ///
    /// # Errors
    ///
    /// One line: what failed, and where.
    pub fn udp(addresses: &[SocketAddr], within: Duration) -> Result<Self, String> {
        first(addresses, Instant::now() + within, |address, _| {
            let any: SocketAddr = match address {
                SocketAddr::V4(_) => ([0; 4], 0).into(),
                SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
            };
            let socket = UdpSocket::bind(any)?;
            socket.set_write_timeout(Some(within))?;
            socket.connect(address)?;
            Ok(Self::Udp(socket))
        })
    }

    /// A socket that sends to another one of this machine.
    ///
    /// # Errors
    ///
    /// One line: what failed, and where.
    pub fn unix(path: &Path, within: Duration) -> Result<Self, String> {
        let open = || {
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(within))?;
            socket.connect(path)?;
            Ok(Self::Unix(socket))
        };
        open().map_err(|err: io::Error| format!("connecting to {}: {err}", path.display()))
    }

    /// Sends one.
    ///
    /// # Errors
    ///
    /// The system did not take it.
    pub fn send(&self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(octets),
            Self::Unix(socket) => socket.send(octets),
        }
        .map(drop)
        .map_err(in_time)
    }

    /// What has come back: that nobody listens.
    ///
    /// # Errors
    ///
    /// That.
    pub fn heard(&self) -> io::Result<()> {
        let heard = match self {
            Self::Udp(socket) => socket.take_error()?,
            Self::Unix(socket) => socket.take_error()?,
        };
        heard.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exeunt_testbed::silent::Silent;
    use std::net::TcpListener;

    #[test]
    fn an_address_that_is_silent_leaves_time_for_the_next_one() {
        let (silent, good) = (Silent::start(), TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = [silent.address(), good.local_addr().unwrap()];
        let until = Instant::now() + Duration::from_secs(2);
        let connection = Connection::open("localhost", &addresses, None, until).unwrap();
        assert_eq!(connection.socket.peer_addr().unwrap(), addresses[1]);
    }
}
