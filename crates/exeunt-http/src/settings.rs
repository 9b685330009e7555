//! What a server is started with.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use exeunt_engine::ServerCertificateSettings;
use exeunt_types::UnixMillis;
use zeroize::Zeroizing;

use crate::exits::BeforeReply;
use crate::people::People;
use crate::principal::Access;

/// What a server is started with. Already checked as configuration; the rest is checked at start.
#[derive(Clone)]
pub struct HttpSettings {
    /// Where the Unix socket is made: the door for the server's own user and root.
    pub socket: PathBuf,
    /// Where another Unix socket is made: the door for users whom principals name. None leaves it out.
    pub peer_socket: Option<PathBuf>,
    /// The TCP doors; none leaves the socket alone.
    pub doors: Vec<TcpDoor>,
    /// How the CA certifies its own server, where a door shows that.
    pub own_certificate: Option<ServerCertificateSettings>,
    /// How private keys of the doors are read.
    pub read_key: ReadKeyFn,
    /// Who may come in, and by what.
    pub access: Arc<Access>,
    /// Who keeps the principals.
    pub people: Arc<dyn People>,
    /// How much of everything.
    pub limits: Limits,
    /// What answers to submissions wait for, if for anything.
    pub before_reply: Option<BeforeReply>,
    /// Whether a process, by its number, must not use the Unix socket although it runs as the
    /// server's own user: an exit module. It is turned away without an answer.
    pub refused_process: Option<RefusedFn>,
    /// The time, by which copies of revocation lists grow old.
    pub now: NowFn,
}

/// How [`HttpSettings::refused_process`] is asked, once for each connection. It must not wait.
pub type RefusedFn = Arc<dyn Fn(u32) -> bool + Send + Sync>;

/// How [`HttpSettings::read_key`] is asked: for the octets of a file that nobody else can read.
pub type ReadKeyFn = Arc<dyn Fn(&Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> + Send + Sync>;

/// Why the file of a private key was not read.
pub type KeyFileError = Box<dyn std::error::Error + Send + Sync>;

/// How [`HttpSettings::now`] is asked.
pub type NowFn = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

impl fmt::Debug for HttpSettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            socket,
            peer_socket,
            doors,
            own_certificate,
            read_key: _,
            access,
            people: _,
            limits,
            before_reply,
            refused_process,
            now: _,
        } = self;
        out.debug_struct("HttpSettings")
            .field("socket", socket)
            .field("peer_socket", peer_socket)
            .field("doors", doors)
            .field("own_certificate", own_certificate)
            .field("access", access)
            .field("limits", limits)
            .field("before_reply", before_reply)
            .field("refused_process", &refused_process.is_some())
            .finish_non_exhaustive()
    }
}

/// A door for TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpDoor {
    /// Its address. Port 0 takes any free one.
    pub address: SocketAddr,
    /// Which certificate it shows. Without one it speaks plain HTTP, which only a loopback address
    /// may.
    pub tls: Option<Tls>,
    /// Whether clients show certificates as well. A door without TLS refuses them.
    pub clients: Clients,
}

/// Which certificate a door shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// The one that the CA issues to its own server.
    Own,
    /// One from files.
    Files(TlsFiles),
}

/// Whether the clients of a door show certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// They are not asked for one.
    Refuse,
    /// They may.
    Ask(ClientTrust),
    /// They must.
    Require(ClientTrust),
}

/// Whose certificates are taken from clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTrust {
    /// Certificates of the CAs that clients' ones come from, PEM; none for this CA itself.
    pub ca: Option<PathBuf>,
    /// Revocation lists of those CAs, PEM or DER. If there are any, each certificate must be of a CA
    /// that has one, and one that is not over.
    pub crls: Vec<PathBuf>,
}

/// Files of a TLS server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate and its chain, PEM, the server's own first.
    pub certificate: PathBuf,
    /// Its private key, PEM: PKCS#8, PKCS#1 or SEC 1, not encrypted.
    pub key: PathBuf,
}

/// How much of everything. The default is what the constants say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open TCP connections of each door; the next one waits until one closes.
    pub connections: u32,
    /// Open connections to the Unix socket. Counted apart, so that a crowd on TCP never locks the
    /// operator out.
    pub local_connections: u32,
    /// Submissions that run or wait for a worker; the next one is answered 503.
    pub submissions_in_flight: usize,
    /// Worker threads that submissions run on.
    pub workers: usize,
    /// Time to read the head of a request, also how long a connection may idle; and again to read
    /// its body.
    pub read: Duration,
    /// Time for a TLS handshake.
    pub handshake: Duration,
    /// TLS handshakes at the same time, at each door; the next one waits, in its own time.
    pub handshakes: usize,
}

impl Limits {
    /// Default of [`Limits::connections`]: far above what two cores can serve, far below the usual
    /// 65,536 file descriptors.
    pub const CONNECTIONS: u32 = 1024;
    /// Default of [`Limits::local_connections`].
    pub const LOCAL_CONNECTIONS: u32 = 128;
    /// Default of [`Limits::submissions_in_flight`]: as many as the workers can hold at once, so that
    /// none waits for more than one other.
    pub const SUBMISSIONS_IN_FLIGHT: usize = 256;
    /// Default of [`Limits::workers`]. Workers sleep in group commits most of the time; with few of
    /// them a burst is shared out in batches, and a batch wakes its worker once.
    pub const WORKERS: usize = 16;
    /// Default of [`Limits::read`].
    pub const READ: Duration = Duration::from_secs(30);
    /// Default of [`Limits::handshake`].
    pub const HANDSHAKE: Duration = Duration::from_secs(10);
    /// Default of [`Limits::handshakes`]: a quarter of the connections, so that those who begin and do
    /// not go on leave room to those who are in.
    pub const HANDSHAKES: usize = 256;
    /// Longest head of a request, in bytes, the request line included; longer ones are answered 431.
    pub const HEAD_BYTES_MAX: usize = 64 * 1024;
    /// Longest path and query, in bytes; longer ones are answered 414. The attributes of a request
    /// may be 32 kB (the original's column) and are then sent as headers.
    pub const URL_BYTES_MAX: usize = 8 * 1024;
    /// What is read and thrown away of a body that is too large, in bytes beyond what its path takes, so
    /// that the sender gets to read the answer instead of a reset connection.
    pub const DRAIN_BYTES_MAX: usize = 1024 * 1024;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: Self::CONNECTIONS,
            local_connections: Self::LOCAL_CONNECTIONS,
            submissions_in_flight: Self::SUBMISSIONS_IN_FLIGHT,
            workers: Self::WORKERS,
            read: Self::READ,
            handshake: Self::HANDSHAKE,
            handshakes: Self::HANDSHAKES,
        }
    }
}
