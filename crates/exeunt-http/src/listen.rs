//! The doors: the Unix socket in the CA's home, and TCP with or without TLS.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt::PeerPidfd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixSocket, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use crate::auth::Peer;
use crate::connection;
use crate::error::HttpError;
use crate::handler::Edge;
use crate::refusal::{self, Refused};
use crate::settings::RefusedFn;
use crate::tls::client::{self, Guard, HandshakeRefusal};
use crate::tls::{DoorTls, Shaken};

/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: u32 = 1024;

/// Pause after an accept that failed for want of file descriptors, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections of users to the Unix sockets who are nobody's, which have to be told so; one more is closed
/// without a word. They have room of their own, so that no user of the machine locks a principal out.
pub const STRANGERS_AT_SOCKET_MAX: usize = 16;

/// Shortest time between two lines in the log about those who were turned away at the socket.
const TURNED_AWAY_PAUSE: Duration = Duration::from_mins(1);

/// A door for one kind of connection.
pub(crate) struct Door {
    pub(crate) edge: Arc<Edge>,
    /// One permit for every connection; all of them are back when the last one has ended.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) closing: watch::Receiver<bool>,
}

impl Door {
    /// Lets in whoever comes by TCP, until told to close.
    pub(crate) async fn keep_tcp(mut self, listener: TcpListener, tls: Option<Arc<DoorTls>>) {
        while let Some((permit, (stream, address))) = self.next(|| listener.accept()).await {
            let (edge, closing, tls) = (Arc::clone(&self.edge), self.closing.clone(), tls.clone());
            tokio::spawn(async move {
                let _permit = permit;
                serve_tcp((stream, address), tls, edge, closing).await;
            });
        }
    }

    /// Lets in whoever comes by the Unix socket, until told to close.
    pub(crate) async fn keep_unix(mut self, listener: UnixListener, refused: Option<RefusedFn>) {
        let (room, edge) = (Arc::clone(&self.room), Arc::clone(&self.edge));
        let strangers = Arc::new(Semaphore::new(STRANGERS_AT_SOCKET_MAX));
        let mut turned_away = TurnedAway::default();
        loop {
            let next = async {
                // Whoever is refused is gone before there is a permit for it: a module that comes
                // again and again takes no room from the operator.
                let (stream, peer) = loop {
                    let (stream, _) = accepted(|| listener.accept()).await;
                    match unix_peer(&stream, refused.as_deref()) {
                        Ok(peer) => break (stream, peer),
                        Err(pid) => {
                            turned_away.note(pid, Instant::now());
                            let edge = Arc::clone(&edge);
                            let refused = turned_away_at(pid);
                            tokio::spawn(async move { refusal::note(&edge, refused).await });
                        }
                    }
                };
                let permit = if edge.gate.knows(&peer) {
                    Some(Arc::clone(&room).acquire_owned().await.ok()?)
                } else {
                    Arc::clone(&strangers).try_acquire_owned().ok()
                };
                Some((permit, stream, peer))
            };
            let next = tokio::select! {
                biased;
                () = connection::closed(&mut self.closing) => None,
                next = next => next,
            };
            let Some((permit, stream, peer)) = next else { return };
            let (edge, closing) = (Arc::clone(&self.edge), self.closing.clone());
            let Some(permit) = permit else {
                let (place, what) = (peer.to_string(), "the socket".to_owned());
                let refused = Refused { who: None, place, what, code: "peer-not-allowed" };
                tokio::spawn(async move { refusal::note(&edge, refused).await });
                continue;
            };
            tokio::spawn(async move {
                let _permit = permit;
                connection::serve(stream, (peer, None), edge, closing).await;
            });
        }
    }

    /// The next connection and its permit; none when the door closes. Without a free permit nobody
    /// is accepted, and the kernel lets them wait.
    async fn next<T, F>(&mut self, accept: impl Fn() -> F) -> Option<(OwnedSemaphorePermit, T)>
    where
        F: Future<Output = io::Result<T>>,
    {
        let room = Arc::clone(&self.room);
        let next = async {
            let permit = room.acquire_owned().await.ok()?;
            Some((permit, accepted(&accept).await))
        };
        tokio::select! {
            biased;
            () = connection::closed(&mut self.closing) => None,
            next = next => next,
        }
    }
}

/// The next connection, whatever fails until then.
async fn accepted<T, F>(accept: impl Fn() -> F) -> T
where
    F: Future<Output = io::Result<T>>,
{
    loop {
        match accept().await {
            Ok(stream) => return stream,
            Err(err) => {
                tracing::warn!(error = %err, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Who was turned away at the socket since the last word about it.
#[derive(Debug, Default)]
struct TurnedAway {
    count: u64,
    told: Option<Instant>,
}

impl TurnedAway {
    /// Counts one, and says so if nothing was said for a while. Gives the count that was said.
    fn note(&mut self, pid: Option<u32>, now: Instant) -> Option<u64> {
        self.count += 1;
        if self.told.is_some_and(|it| now.duration_since(it) < TURNED_AWAY_PAUSE) {
            return None;
        }
        let count = std::mem::take(&mut self.count);
        self.told = Some(now);
        tracing::warn!(pid, count, "an exit module came to the socket and was turned away");
        Some(count)
    }
}

async fn serve_tcp(
    (stream, address): (TcpStream, SocketAddr),
    tls: Option<Arc<DoorTls>>,
    edge: Arc<Edge>,
    closing: watch::Receiver<bool>,
) {
    // Answers are small and whole; waiting for more to send would only delay them.
    if let Err(err) = stream.set_nodelay(true) {
        tracing::debug!(error = %err, "a connection ended early");
        return;
    }
    // A client that stops reading what it asked for holds its place no longer than one that stops
    // writing.
    let read_ms = u32::try_from(edge.limits.read.as_millis()).unwrap_or(u32::MAX);
    if let Err(err) = rustix::net::sockopt::set_tcp_user_timeout(&stream, read_ms) {
        tracing::debug!(error = %err, "no time limit for writing");
    }
    let Some(tls) = tls else {
        return connection::serve(stream, (Peer::tcp(address), None), edge, closing).await;
    };
    let shaken = tokio::time::timeout(edge.limits.handshake, tls.accept(stream)).await;
    let (stream, config) = match shaken {
        Ok(Ok(Shaken::Done(stream, config))) => (stream, config),
        Ok(Ok(Shaken::Plain)) => return tracing::debug!("plain HTTP came where TLS is spoken"),
        Ok(Err(err)) => {
            tracing::debug!(error = client::told(&err), "a TLS handshake failed");
            if let Some(refusal) = HandshakeRefusal::of(&err) {
                let code = refusal.code();
                let (what, place) = ("a TLS handshake".to_owned(), Peer::tcp(address).to_string());
                refusal::note(&edge, Refused { who: None, place, what, code }).await;
            }
            return;
        }
        Err(_) => return tracing::debug!("a TLS handshake took too long"),
    };
    let (_, session) = stream.get_ref();
    let guard = match session.peer_certificates() {
        Some([shown, others @ ..]) => Some(Guard::of(&edge, (shown, others), (tls, config)).await),
        _ => None,
    };
    let certificate = guard.as_ref().and_then(Guard::shown);
    let peer = Peer::tcp(address).with_certificate(certificate);
    connection::serve(stream, (peer, guard), edge, closing).await;
}

/// An exit module at the socket, for the audit trail.
fn turned_away_at(pid: Option<u32>) -> Refused {
    let place = pid.map_or("a process that is gone".to_owned(), |it| format!("process {it}"));
    let (who, what) = (Some("exit-module".to_owned()), "the socket".to_owned());
    Refused { who, place, what, code: "peer-not-allowed" }
}

/// Who connected, or the number of a process that is to be turned away.
fn unix_peer(
    stream: &UnixStream,
    refused: Option<&(dyn Fn(u32) -> bool + Send + Sync)>,
) -> Result<Peer, Option<u32>> {
    Ok(match stream.peer_cred() {
        Ok(cred) => {
            // Modules run as the server's own user. Of another one nothing is known by how it is
            // confined: it may well be a service, or in a container.
            let own = [0, rustix::process::geteuid().as_raw()];
            if let Some(refused) = refused.filter(|_| own.contains(&cred.uid())) {
                let pid = cred.pid().and_then(|it| u32::try_from(it).ok());
                // The process is looked up by its number, and then must still have it.
                if pid.is_none_or(refused) || !is_alive(stream) {
                    return Err(pid);
                }
            }
            Peer::Local(Some(cred.uid()))
        }
        Err(err) => {
            tracing::warn!(error = %err, "the user behind a connection is unknown");
            Peer::Local(None)
        }
    })
}

/// Whether the process that connected lives, and so no other one has got its number. A system that
/// cannot tell (before Linux 6.5) counts as one where it does.
fn is_alive(stream: &UnixStream) -> bool {
    match getsockopt(stream, PeerPidfd) {
        Ok(process) => {
            // It becomes readable when the process ends.
            let mut ended = [PollFd::new(&process, PollFlags::IN)];
            matches!(poll(&mut ended, Some(&Timespec::default())), Ok(0))
        }
        Err(err) => err == Errno::ENOPROTOOPT,
    }
}

/// The socket's file, removed when dropped if it is still ours.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode: another server may have put its own there since.
    identity: (u64, u64),
}

impl SocketFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|it| (it.dev(), it.ino()) == self.identity) {
            // Left behind, it is found stale by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens a Unix socket with a mode. Call it inside the runtime.
///
/// A file that nobody listens on is what a killed server left, and is replaced. The mode is set
/// between bind and listen: before it is right, nobody can connect.
pub(crate) fn open_unix(path: &Path, mode: u32) -> Result<(UnixListener, SocketFile), HttpError> {
    let failed =
        |source: io::Error| HttpError::Socket { path: path.to_owned(), source: source.into() };
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => return Err(HttpError::SocketInUse { path: path.to_owned() }),
        Err(err) if err.kind() == io::ErrorKind::NotFound => {}
        Err(err) if err.kind() == io::ErrorKind::ConnectionRefused => {
            if !fs::symlink_metadata(path).map_err(failed)?.file_type().is_socket() {
                return Err(failed(io::Error::other("something that is no socket is there")));
            }
            fs::remove_file(path).map_err(failed)?;
        }
        Err(err) => return Err(failed(err)),
    }
    let socket = UnixSocket::new_stream().map_err(failed)?;
    socket.bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
    let metadata = fs::symlink_metadata(path).map_err(failed)?;
    let file = SocketFile { path: path.to_owned(), identity: (metadata.dev(), metadata.ino()) };
    let listener = socket.listen(BACKLOG).map_err(failed)?;
    Ok((listener, file))
}

/// Opens the TCP door. Call it inside the runtime.
pub(crate) fn open_tcp(address: SocketAddr) -> Result<TcpListener, HttpError> {
    let failed = |source: io::Error| HttpError::Listen { address, source: source.into() };
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4(),
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6(),
    }
    .map_err(failed)?;
    // Connections of the last run that linger in TIME_WAIT must not keep the address.
    socket.set_reuseaddr(true).map_err(failed)?;
    socket.bind(address).map_err(failed)?;
    socket.listen(BACKLOG).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn those_who_are_turned_away_fill_no_log() {
        let (mut turned_away, start) = (TurnedAway::default(), Instant::now());
        let told = [0, 1, 59, 60, 61, 300]
            .map(|s| turned_away.note(Some(7), start + Duration::from_secs(s)));
        assert_eq!(told, [Some(1), None, None, Some(3), None, Some(2)]);
    }

    // Another process may have the number by then: here any, since all are found to be good.
    #[tokio::test]
    async fn a_process_that_is_gone_is_turned_away_whoever_has_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("door")).unwrap();
        let connect = "import socket, sys\n\
                       door = socket.socket(socket.AF_UNIX)\n\
                       door.connect(sys.argv[1])\n\
                       print('in', flush=True)\n\
                       sys.stdin.read()";
        let mut child = Command::new("python3")
            .args(["-c", connect])
            .arg(folder.path().join("door"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = child.stdout.take().unwrap();
        said.read_exact(&mut [0; 2]).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let pid = child.id();
        assert!(unix_peer(&stream, Some(&|_| false)).is_ok());
        assert_eq!(unix_peer(&stream, Some(&move |it| it == pid)).unwrap_err(), Some(pid));
        let knows = getsockopt(&stream, PeerPidfd).is_ok();
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(unix_peer(&stream, Some(&|_| false)).is_err(), knows);
    }
}
