//! A running server: doors, runtime, workers; its start and its end.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use exeunt_engine::Engine;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::auth::Gate;
use crate::error::HttpError;
use crate::exits::Exits;
use crate::handler::Edge;
use crate::listen::{Door, SocketFile, open_tcp, open_unix};
use crate::refusal::{self, Refusals};
use crate::rooms::Rooms;
use crate::settings::{HttpSettings, TcpDoor};
use crate::submit;
use crate::tls::own::{self, Shown};
use crate::tls::{Doors, Means, TlsReloaded};
use crate::workers::Workers;

/// Most threads of the runtime. They only move bytes, a sixth of what a submission costs; below
/// that it has one for two cores. On two cores one thread costs 6 % less a request than two.
const RUNTIME_THREADS_MAX: usize = 4;

/// Mode of the socket in the CA's home: the server's own user.
const OWN_SOCKET_MODE: u32 = 0o600;
/// Mode of the socket for users of principals: everybody connects, and who is nobody's user is refused.
const PEER_SOCKET_MODE: u32 = 0o666;

/// A running server. Dropped without [`Server::stop`] it closes at once; jobs in hand still end.
pub struct Server {
    runtime: Runtime,
    edge: Arc<Edge>,
    closing: watch::Sender<bool>,
    /// The tasks that accept; they own the listeners.
    doors: Vec<JoinHandle<()>>,
    /// The doors' permits, and how many there are of them.
    rooms: Vec<(Arc<Semaphore>, u32)>,
    addresses: Vec<SocketAddr>,
    /// The Unix sockets.
    sockets: Vec<SocketFile>,
    /// Dropped to end the thread that keeps the server's own certificate, if there is one.
    keeper: Option<mpsc::Sender<()>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Server")
            .field("addresses", &self.addresses)
            .field("sockets", &self.sockets)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the doors and returns when they are open. Brings its own runtime, so that the caller
    /// stays synchronous; not to be called inside another one.
    ///
    /// # Errors
    ///
    /// [`HttpError`]; nothing is left open then.
    pub fn start(
        settings: HttpSettings,
        engine: Arc<Engine>,
        exits: Arc<dyn Exits>,
    ) -> Result<Self, HttpError> {
        let HttpSettings {
            socket,
            peer_socket,
            doors: wanted,
            own_certificate,
            read_key,
            access,
            people,
            limits,
            before_reply,
            refused_process,
            now,
        } = settings;
        for door in &wanted {
            let address = door.address;
            if door.tls.is_none() && !address.ip().is_loopback() {
                return Err(HttpError::PlainHttp { address });
            }
            if !access.current().has_remote() {
                tracing::warn!(%address, "no token and no client certificate is configured: nobody can come in by TCP");
            }
        }
        let shown = own_certificate.as_ref().map(|_| Arc::<Shown>::default());
        let means = Means {
            engine: Arc::clone(&engine),
            now: Arc::clone(&now),
            read_key,
            own: shown.clone(),
        };
        let mut tls = Doors::new(means);
        let securities =
            wanted.iter().map(|it| tls.add(it, &limits)).collect::<Result<Vec<_>, _>>()?;
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(cores.div_ceil(2).min(RUNTIME_THREADS_MAX))
            .max_blocking_threads(Rooms::THREADS)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(|err| threads("starting the runtime", err))?;
        let worker_engine = Arc::clone(&engine);
        let act = move |batch| submit::carry_out(&worker_engine, batch);
        let workers = Workers::start(limits.workers, limits.submissions_in_flight, act)
            .map_err(|err| threads("starting the workers", err))?;

        let inside = runtime.enter();
        let mut tcp = Vec::new();
        for (TcpDoor { address, .. }, tls) in wanted.iter().zip(securities) {
            let listener = open_tcp(*address)?;
            let address = listener
                .local_addr()
                .map_err(|err| HttpError::Listen { address: *address, source: err.into() })?;
            tcp.push((listener, address, tls));
        }
        let addresses = tcp.iter().map(|(_, address, _)| *address).collect();
        let (unix, file) = open_unix(&socket, OWN_SOCKET_MODE)?;
        let peers = peer_socket.map(|it| open_unix(&it, PEER_SOCKET_MODE)).transpose()?;

        // Made when the doors are ours, so that no start in vain leaves a certificate behind.
        let keeper = match (own_certificate, &shown) {
            (Some(settings), Some(shown)) => Some(own::keep(&engine, settings, &now, shown)?),
            _ => None,
        };

        let own_uid = rustix::process::geteuid().as_raw();
        let (connections, local) = (limits.connections, limits.local_connections);
        let (closing, closed) = watch::channel(false);
        let edge = Arc::new(Edge {
            engine,
            exits,
            people,
            gate: Gate::new(access, own_uid),
            refusals: Refusals::default(),
            limits,
            workers,
            before_reply,
            rooms: Rooms::new(),
            tls,
            now,
            closing: closed.clone(),
        });
        let mut rooms = Vec::new();
        let mut door = |count: u32| {
            let room = Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(usize::MAX >> 3)));
            rooms.push((Arc::clone(&room), count));
            Door { edge: Arc::clone(&edge), room, closing: closed.clone() }
        };
        let mut doors = Vec::new();
        let mut sockets = Vec::new();
        // Each has room of its own: a crowd of others never locks the operator out.
        for (listener, file) in [(unix, file)].into_iter().chain(peers) {
            tracing::info!(socket = %file.path().display(), "listening");
            let refused = refused_process.clone();
            doors.push(runtime.spawn(door(local).keep_unix(listener, refused)));
            sockets.push(file);
        }
        runtime.spawn(refusal::keep_counts(Arc::clone(&edge), closed.clone()));
        for (listener, address, tls) in tcp {
            let secure = tls.is_some();
            doors.push(runtime.spawn(door(connections).keep_tcp(listener, tls)));
            tracing::info!(%address, tls = secure, "listening");
        }
        drop(inside);
        Ok(Self { runtime, edge, closing, doors, rooms, addresses, sockets, keeper })
    }

    /// Where the first TCP door is, with the port that was taken for 0.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.addresses.first().copied()
    }

    /// Where the TCP doors are, in their order.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What reads the files of the doors' certificates again. New connections get what is new; a door
    /// whose files are not good keeps what it has.
    pub fn reload_tls(&self) -> impl Fn() -> TlsReloaded + Send + 'static {
        let edge = Arc::downgrade(&self.edge);
        move || edge.upgrade().map(|it| it.tls.reload()).unwrap_or_default()
    }

    /// Takes nothing new, answers what is in hand and returns when all of it is done, or after
    /// `grace`. A signing that is still in flight then goes on in its thread as long as the process
    /// lives, and recovery knows it.
    pub fn stop(self, grace: Duration) {
        let Self { runtime, edge, closing, doors, rooms, addresses: _, sockets, keeper } = self;
        drop(keeper);
        let deadline = Instant::now() + grace;
        closing.send_replace(true);
        // Nobody who comes from now on should find the door and wait behind it.
        drop(sockets);
        let empty = runtime.block_on(async {
            let all = async {
                for door in doors {
                    // Its end closes the listener: the address is free when this returns.
                    if let Err(err) = door.await {
                        tracing::error!(code = "internal", error = %err, "a door broke");
                    }
                }
                for (room, count) in &rooms {
                    // A closed semaphore would mean an empty room as well.
                    let _ = room.acquire_many(*count).await;
                }
                refusal::write_counts(&edge, None).await;
            };
            tokio::time::timeout(grace, all).await.is_ok()
        });
        let late = edge.workers.stop(deadline.saturating_duration_since(Instant::now()));
        if !empty || 0 < late {
            tracing::warn!(submissions = late, "stopped before all connections had ended");
        }
        runtime.shutdown_background();
    }
}

fn threads(action: &'static str, err: std::io::Error) -> HttpError {
    HttpError::Threads { action, source: err.into() }
}
