//! A proxy on loopback that does to a connection what networks do: refuses, keeps silent, is slow,
//! cuts off.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::process::{STOP_LIMIT, free_port, listen, listens, wait_for};

/// Bytes that are passed on at once; each such chunk is delayed by [`Fault::Delay`].
pub const CHUNK_BYTES: usize = 16 * 1024;

/// What happens to connections, those that are open included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Everything is passed on.
    Nothing,
    /// Nobody listens, and what was connected is closed: the server is down.
    Refuse,
    /// Connections are accepted and nothing is passed on, in either direction.
    Silence,
    /// Each chunk waits so long, in either direction.
    Delay(Duration),
    /// A connection is closed after so many bytes from the client, counted from the moment that the
    /// fault was set; the last of them do reach the server.
    CutToServer(u64),
    /// As [`Fault::CutToServer`], after so many bytes from the server.
    CutToClient(u64),
}

/// A proxy between a client and a server; dropped, it closes everything.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    acceptor: Option<Acceptor>,
}

#[derive(Debug)]
struct Acceptor {
    thread: JoinHandle<()>,
    ends: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
    connections: AtomicU64,
    cuts: AtomicU64,
}

#[derive(Debug)]
struct State {
    fault: Fault,
    /// Counts up whenever a fault is set, so that a pump sees that its count of bytes is old.
    generation: u64,
    /// Both ends of each connection, to close them from outside.
    open: Vec<(u64, TcpStream)>,
}

impl Proxy {
    /// A proxy to a port of the loopback address.
    ///
    /// # Panics
    ///
    /// When it gets no port.
    pub fn to_port(port: u16) -> Self {
        Self::new(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// A proxy to a server.
    ///
    /// # Panics
    ///
    /// When it gets no port.
    pub fn new(server: SocketAddr) -> Self {
        let state = State { fault: Fault::Nothing, generation: 0, open: Vec::new() };
        let shared = Shared {
            server,
            state: Mutex::new(state),
            changed: Condvar::new(),
            connections: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
        };
        let mut proxy = Self { port: free_port(), shared: Arc::new(shared), acceptor: None };
        proxy.listen();
        proxy
    }

    /// Port of 127.0.0.1 that clients connect to; it stays the same.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connections that clients have made so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Connections that were closed in the middle of something by [`Fault::CutToServer`] or
    /// [`Fault::CutToClient`] so far: the proof that such a fault has happened.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Relaxed)
    }

    /// From now on this happens, to open connections too.
    ///
    /// # Panics
    ///
    /// When somebody else goes on listening at the port after [`Fault::Refuse`], or it cannot be had
    /// again.
    pub fn set(&mut self, fault: Fault) {
        {
            let mut state = self.shared.lock();
            state.fault = fault;
            state.generation += 1;
        }
        self.shared.changed.notify_all();
        if fault == Fault::Refuse {
            self.close();
            // As in `listen`: for a moment, a program that is about to start has a copy.
            wait_for("nobody listens", STOP_LIMIT, || !listens(self.port));
        } else if self.acceptor.is_none() {
            self.listen();
        }
    }

    /// Closes every open connection, once.
    pub fn cut(&self) {
        for (_, stream) in self.shared.lock().open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Who waits for the end of a silence or a delay sees that its connection is gone.
        self.shared.changed.notify_all();
    }

    fn listen(&mut self) {
        let listener = listen(self.port);
        let (shared, ends) = (self.shared.clone(), Arc::new(AtomicBool::new(false)));
        let told = ends.clone();
        let thread = thread::spawn(move || accept(&listener, &shared, &told));
        self.acceptor = Some(Acceptor { thread, ends });
    }

    fn close(&mut self) {
        if let Some(Acceptor { thread, ends }) = self.acceptor.take() {
            ends.store(true, Ordering::SeqCst);
            // Nothing else wakes a thread that waits for a connection.
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
            let _ = thread.join();
        }
        self.cut();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.close();
        self.shared.lock().generation += 1;
        self.shared.changed.notify_all();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, ends: &AtomicBool) {
    for client in listener.incoming() {
        if ends.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        let number = shared.connections.fetch_add(1, Ordering::Relaxed);
        let shared = shared.clone();
        thread::spawn(move || connect(number, &client, &shared));
    }
}

/// Serves one connection until both directions have ended.
fn connect(number: u64, client: &TcpStream, shared: &Shared) {
    let Ok(server) = TcpStream::connect(shared.server) else {
        let _ = client.shutdown(Shutdown::Both);
        return;
    };
    for stream in [client, &server] {
        let _ = stream.set_nodelay(true);
        if let Ok(handle) = stream.try_clone() {
            shared.lock().open.push((number, handle));
        }
    }
    thread::scope(|scope| {
        scope.spawn(|| pump(client, &server, Direction::ToServer, number, shared));
        pump(&server, client, Direction::ToClient, number, shared);
    });
    shared.lock().open.retain(|(it, _)| *it != number);
}

#[derive(Clone, Copy)]
enum Direction {
    ToServer,
    ToClient,
}

/// Passes one direction on; closes both when it was cut, else only what it has read to its end.
fn pump(
    mut from: &TcpStream,
    mut to: &TcpStream,
    direction: Direction,
    number: u64,
    shared: &Shared,
) {
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut generation, mut passed) = (0, 0);
    loop {
        let Ok(count @ 1..) = from.read(&mut chunk) else {
            let _ = to.shutdown(Shutdown::Write);
            return;
        };
        let Some(now) = shared.admit(direction, number, &mut generation, &mut passed, count) else {
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
            return;
        };
        let sent = to.write_all(&chunk[..now]);
        if now < count {
            shared.cuts.fetch_add(1, Ordering::Relaxed);
        }
        if now < count || sent.is_err() {
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
            return;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a chunk may go on; says how many of its bytes may, nothing when the connection is
    /// closed.
    fn admit(
        &self,
        direction: Direction,
        number: u64,
        generation: &mut u64,
        passed: &mut u64,
        count: usize,
    ) -> Option<usize> {
        let begun = Instant::now();
        let mut state = self.lock();
        loop {
            if !state.open.iter().any(|(it, _)| *it == number) {
                return None;
            }
            if state.generation != *generation {
                (*generation, *passed) = (state.generation, 0);
            }
            let limit = match (state.fault, direction) {
                (Fault::Refuse, _) => return None,
                (Fault::Silence, _) => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                (Fault::Delay(delay), _) if begun.elapsed() < delay => {
                    let left = delay.saturating_sub(begun.elapsed());
                    let waited = self.changed.wait_timeout(state, left);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                    continue;
                }
                (Fault::CutToServer(limit), Direction::ToServer)
                | (Fault::CutToClient(limit), Direction::ToClient) => limit,
                _ => u64::MAX,
            };
            let left = usize::try_from(limit.saturating_sub(*passed)).unwrap_or(usize::MAX);
            let now = count.min(left);
            *passed += now as u64;
            return Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that gives back what it is told, behind a proxy.
    fn echo() -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
            }
        });
        Proxy::to_port(port)
    }

    fn client(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Sends a word and reads as much.
    fn ask(mut stream: &TcpStream) -> std::io::Result<[u8; 5]> {
        stream.write_all(b"hello")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }

    #[test]
    fn without_a_fault_everything_passes() {
        let proxy = echo();
        let stream = client(&proxy);
        assert_eq!(&ask(&stream).unwrap(), b"hello");
        assert_eq!(&ask(&stream).unwrap(), b"hello");
        assert_eq!(proxy.connections(), 1);
    }

    #[test]
    fn a_refusing_proxy_comes_back_at_the_same_port() {
        let mut proxy = echo();
        let stream = client(&proxy);
        ask(&stream).unwrap();
        proxy.set(Fault::Refuse);
        assert!(ask(&stream).is_err());
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).is_err());
        proxy.set(Fault::Nothing);
        ask(&client(&proxy)).unwrap();
    }

    #[test]
    fn silence_ends_with_the_fault() {
        let mut proxy = echo();
        let stream = client(&proxy);
        ask(&stream).unwrap();
        proxy.set(Fault::Silence);
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(ask(&stream).is_err());
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        proxy.set(Fault::Nothing);
        let mut answer = [0; 5];
        (&stream).read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
    }

    #[test]
    fn a_delay_is_waited_in_both_directions() {
        let mut proxy = echo();
        let stream = client(&proxy);
        ask(&stream).unwrap();
        proxy.set(Fault::Delay(Duration::from_millis(30)));
        let begun = Instant::now();
        ask(&stream).unwrap();
        assert!(Duration::from_millis(60) <= begun.elapsed());
    }

    #[test]
    fn a_cut_lets_so_many_bytes_pass() {
        let mut proxy = echo();
        let stream = client(&proxy);
        ask(&stream).unwrap();
        proxy.set(Fault::CutToClient(3));
        (&stream).write_all(b"hello").unwrap();
        let mut rest = Vec::new();
        // The rest may end in order or with a reset; what came before is what counts.
        let _ = (&stream).read_to_end(&mut rest);
        assert_eq!((&rest[..], proxy.cuts()), (&b"hel"[..], 1));
        proxy.set(Fault::CutToServer(2));
        let stream = client(&proxy);
        let _ = (&stream).write_all(b"hello");
        let mut rest = Vec::new();
        let _ = (&stream).read_to_end(&mut rest);
        assert!(rest.len() <= 2, "{rest:?}");
        proxy.set(Fault::Nothing);
        ask(&client(&proxy)).unwrap();
    }
}
