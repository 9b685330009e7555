//! Wiring: puts store, key, policy, engine, dispatcher and doors together, and takes them down.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::time::{Duration, Instant};

use exeunt_api::Reloaded;
use exeunt_dispatch::{CaCertificateFacts, CaFacts, Dispatcher, ListFacts};
use exeunt_engine::{CaEntry, Engine, EngineError, ServerCertificateSettings};
use exeunt_host::confine;
use exeunt_http::{
    Access, BeforeReply, HttpError, HttpSettings, Limits, NoPeople, Principals, ReadKeyFn, Server,
    Tls,
};
use exeunt_keys::{KeyError, secret_file, sha256};
use exeunt_policy::{SwitchPolicy, TemplatePolicy};
use exeunt_store::Store;
use exeunt_types::EventKind;

use crate::audit::{self, Keeper};
use crate::clock::{SystemClock, SystemEntropy, now};
use crate::config::{Config, check_listen, names_of_doors};
use crate::failure::{Failure, chain};
use crate::home::Home;
use crate::launch::Launcher;
use crate::manage::{BY_SIGNAL, ManageError, Manager, SharedDispatcher, principals_at_start};
use crate::own;
use crate::policy::PolicyKeeper;
use crate::schedule::{self, Schedule};
use crate::warn::Warner;

/// How often somebody who waits for revocation lists looks.
const LISTS_POLL: Duration = Duration::from_millis(10);

/// How long a stop waits for requests and deliveries in hand.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// How long a stop waits for modules that have events to hear, the shutdown among them.
const TELL_GRACE: Duration = Duration::from_secs(5);
/// How often a stop looks whether the modules have heard everything.
const SETTLE_POLL: Duration = Duration::from_millis(10);
/// Longest pause between two looks at the log for the heartbeat.
const HEARTBEAT_LOOK: Duration = Duration::from_secs(1);

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    engine: Arc<Engine>,
    dispatcher: SharedDispatcher,
    manager: Arc<Manager>,
    http: Server,
    /// Dropped to end the thread that has targets compared.
    comparisons: mpsc::Sender<()>,
    /// Dropped to end the thread that writes heartbeats, if there is one.
    heartbeat: Option<mpsc::Sender<()>>,
    /// Signs the audit trail.
    keeper: Keeper,
    /// Makes revocation lists when they are due, if that is wanted.
    schedule: Schedule,
    /// Tells modules of certificates that run out soon, if that is wanted.
    warner: Option<Warner>,
}

/// Starts everything, or nothing.
///
/// # Errors
///
/// The first part that does not start, with what to do about it.
pub fn start(home: &Home, config: Config, listen: Option<SocketAddr>) -> Result<Running, Failure> {
    let listen = listen.or(config.listen);
    if let Some(address) = listen {
        check_listen(address, config.tls.is_some())
            .map_err(|err| Failure::from_error(err.code(), &err).hint("listen on 127.0.0.1"))?;
    }
    let access = Access::new(principals_of(&config)?);
    let store = open_store(home)?;
    for warning in own::warnings_of(&config, &own::read_certificates(home, &config)?) {
        tracing::warn!(code = "ca-addresses", "{warning}");
    }
    for warning in config.templates.iter().filter_map(crate::config::warn_of) {
        tracing::warn!(code = "dangerous-options", "{warning}");
    }
    let entries = own::open_entries(home, &config)?;
    let switch = policy_of(&config)?;
    let engine = build_engine(home, &config, store, entries, switch.clone())?;
    let facts = ca_facts(home, &config, &engine);
    let new = engine.take_up_certificates().map_err(|err| engine_failure(&err))?;
    for index in new.into_iter().filter(|it| 0 < *it) {
        tracing::info!(index, "the CA has a new certificate of its own");
    }
    audit::begin(home, &engine, &config)?;
    for known in principals_at_start(&access.current()) {
        let written = engine.store().audit(known);
        written.map_err(|err| Failure::from_error(err.code(), &err))?;
    }
    engine.recover().map_err(|err| engine_failure(&err))?;
    own::cross_certify(home, &engine);
    let engine = Arc::new(engine);
    let confine::Support { landlock, seccomp } = confine::support();
    if landlock.is_none() || !seccomp {
        tracing::warn!(?landlock, seccomp, "this system confines modules less than it should");
    }
    let launcher = Launcher::new(home)?;
    let policy = PolicyKeeper::new(switch, facts.clone(), engine.store(), &launcher);
    if let Err(error) = policy.install(&config) {
        // Requests are held or failed meanwhile, as it is configured; nothing is issued.
        tracing::error!(code = "policy-not-started", error, "the policy module does not start");
    }
    let exits = config.exits.iter().map(|exit| {
        if let Err(err) = launcher.prepare(exit) {
            let error = chain(&err);
            tracing::error!(code = err.code(), module = %exit.name, error, "it will not run");
        }
        launcher.settings(&config, exit)
    });
    let exits = exits.collect();
    let dispatcher = Dispatcher::start(
        engine.store().clone(),
        exits,
        &facts,
        Arc::new(now),
        Arc::new(crate::clock::jitter),
    )
    .map_err(|err| Failure::from_error(err.code(), &err))?;
    let dispatcher: SharedDispatcher = Arc::new(RwLock::new(Some(dispatcher)));
    let doors = config.tcp_doors(listen);
    let own_certificate = own_certificate(&config, listen);
    let settings = HttpSettings {
        socket: home.socket_path(),
        peer_socket: config.peer_socket.clone(),
        doors,
        own_certificate,
        read_key: read_key(),
        access: Arc::clone(&access),
        people: Arc::new(NoPeople),
        limits: Limits::default(),
        before_reply: Some(before_reply(&dispatcher, config.before_reply)),
        // Whoever is gone by now has nothing to say any more.
        refused_process: Some(Arc::new(|pid| confine::is_confined(pid).unwrap_or(true))),
        now: Arc::new(now),
    };
    let silence = config.heartbeat;
    let (crl, trail) = (config.crl.clone(), config.audit);
    let expiry = config.expiry.clone();
    let holder = facts.machine_dns_name;
    let manager =
        Manager::new(home, launcher, &dispatcher, engine.store(), &access, holder, config);
    let manager = Arc::new(manager.with_policy(policy));
    let people: Arc<Manager> = Arc::clone(&manager);
    let settings = HttpSettings { people, ..settings };
    let exits = Arc::clone(&manager);
    let http =
        Server::start(settings, Arc::clone(&engine), exits).map_err(|err| http_failure(&err))?;
    log_server_event(&engine, EventKind::STARTUP);
    let heartbeat = silence.map(|silence| beat(&engine, silence)).transpose()?;
    let comparisons = crate::maintain::start(&manager)?;
    let keeper = Keeper::start(home, &engine, trail)?;
    let schedule = schedule::keep(&engine, crl.publish)?;
    let warner = (!expiry.is_empty()).then(|| Warner::start(&engine, expiry)).transpose()?;
    Ok(Running {
        engine,
        dispatcher,
        manager,
        http,
        comparisons,
        heartbeat,
        keeper,
        schedule,
        warner,
    })
}

/// What the edge refused, and what helps.
pub fn http_failure(err: &HttpError) -> Failure {
    // What is wrong with the file of a key, is said as of every other one.
    if let Some(key) = std::error::Error::source(err).and_then(|it| it.downcast_ref::<KeyError>()) {
        return key.into();
    }
    let failure = Failure::from_error(err.code(), err);
    match err.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// How private keys of TLS are read: as every secret, from a file that is nobody else's to read.
pub fn read_key() -> ReadKeyFn {
    Arc::new(|path| Ok(secret_file::read(path)?))
}

/// How the CA certifies its own server; none where no door shows that.
fn own_certificate(
    config: &Config,
    listen: Option<SocketAddr>,
) -> Option<ServerCertificateSettings> {
    let doors = config.tcp_doors(listen);
    let addresses: Vec<SocketAddr> =
        doors.iter().filter(|it| it.tls == Some(Tls::Own)).map(|it| it.address).collect();
    if addresses.is_empty() {
        return None;
    }
    let mut settings = config.own_certificate.clone();
    if settings.names.is_empty() {
        settings.names = names_of_doors(&machine_name(), &addresses);
    }
    Some(settings)
}

/// A module's refusal at the start, or at a reload that nobody asked for over HTTP.
fn refused(error: &ManageError) -> Failure {
    Failure::from_error(error.code(), error).hint(error.hint("NAME"))
}

fn before_reply(dispatcher: &SharedDispatcher, limit: Duration) -> BeforeReply {
    let dispatcher = Arc::clone(dispatcher);
    let told = move |event| {
        let dispatcher = dispatcher.read().unwrap_or_else(PoisonError::into_inner);
        dispatcher.as_ref().is_none_or(|it| it.told(event, Duration::ZERO))
    };
    BeforeReply { told: Arc::new(told), limit }
}

/// Writes a heartbeat whenever nothing was logged for `silence`, until the sender is dropped.
fn beat(engine: &Arc<Engine>, silence: Duration) -> Result<mpsc::Sender<()>, Failure> {
    let (sender, stop) = mpsc::channel::<()>();
    let engine = Arc::clone(engine);
    let look = silence.min(HEARTBEAT_LOOK);
    let beat = move || {
        let mut head = engine.store().head();
        let mut since = Instant::now();
        while stop.recv_timeout(look) == Err(mpsc::RecvTimeoutError::Timeout) {
            if engine.store().head() == head {
                if since.elapsed() < silence {
                    continue;
                }
                log_server_event(&engine, EventKind::HEARTBEAT);
            }
            head = engine.store().head();
            since = Instant::now();
        }
    };
    let thread = std::thread::Builder::new().name("heartbeat".to_owned()).spawn(beat);
    thread.map_err(|err| Failure::from_error("threads-unavailable", &err))?;
    Ok(sender)
}

impl Running {
    /// Waits until the CA has made its first revocation lists, where it makes any by itself; `limit` at
    /// the longest.
    pub fn await_lists(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let has_none = || self.engine.current_crls().is_ok_and(|it| it.is_empty());
        while self.schedule.publishes() && has_none() && Instant::now() < until {
            std::thread::sleep(LISTS_POLL);
        }
    }

    /// Where HTTP listens, if it does.
    pub fn address(&self) -> Option<SocketAddr> {
        self.http.address()
    }

    /// All places where it does.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.http.addresses()
    }

    /// What reads the configuration again, as SIGHUP asks for. Fails when it is not a good one, or the
    /// server has stopped; everything goes on as before then.
    pub fn reload(&self) -> impl Fn() -> Result<Reloaded, Failure> + Send + 'static {
        let manager = Arc::downgrade(&self.manager);
        let reload_tls = self.http.reload_tls();
        move || {
            let manager = manager.upgrade().ok_or_else(|| refused(&ManageError::Stopping))?;
            let mut told = manager.reload(BY_SIGNAL).map_err(|err| refused(&err))?;
            told.failed.extend(reload_tls().failed);
            Ok(told)
        }
    }

    /// Stops: no new requests, those in hand are finished, then the modules.
    pub fn stop(self) {
        let Self {
            engine,
            dispatcher,
            manager,
            http,
            comparisons,
            heartbeat,
            keeper,
            schedule,
            warner,
        } = self;
        http.stop(STOP_GRACE);
        manager.stop_maintenance(STOP_GRACE);
        drop((manager, comparisons, heartbeat));
        if let Some(warner) = warner {
            warner.stop();
        }
        schedule.stop(STOP_GRACE);
        log_server_event(&engine, EventKind::SHUTDOWN);
        keeper.stop(STOP_GRACE);
        let taken = dispatcher.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(dispatcher) = taken else { return };
        tell_the_rest(&dispatcher, Instant::now() + TELL_GRACE);
        if !dispatcher.stop(STOP_GRACE) {
            tracing::warn!(
                "a module was still busy and was killed; it is told again at the next start"
            );
        }
    }
}

/// Gives the modules that work the time to hear of the shutdown, as they do in the original. What is
/// not told by the deadline is told at the next start.
fn tell_the_rest(dispatcher: &Dispatcher, deadline: Instant) {
    let behind = |it: exeunt_dispatch::ExitStatus| {
        matches!(it.state, exeunt_dispatch::ExitState::Running) && 0 < it.lag
    };
    while Instant::now() < deadline && dispatcher.status().into_iter().any(behind) {
        std::thread::sleep(SETTLE_POLL);
    }
}

fn log_server_event(engine: &Engine, kind: EventKind) {
    if let Err(err) = engine.store().append_server_event(kind, now()) {
        tracing::error!(kind = kind.word(), error = %err, "writing a server event failed");
    }
}

fn open_store(home: &Home) -> Result<Store, Failure> {
    let path = home.store_path();
    Store::open(&path).map_err(|err| {
        let failure = Failure::from_error(err.code(), &err);
        match err.code() {
            "store-in-use" => failure.hint("stop the other server of this home first"),
            "store-missing" | "store-damaged" | "store-not-ours" => failure
                .hint(format!("restore {} from your backup; do not start anew, or serial numbers and issued certificates are forgotten", path.display())),
            "store-newer" => failure.hint("use the version of exeunt that wrote it, or a newer one"),
            _ => failure,
        }
    })
}

fn build_engine(
    home: &Home,
    config: &Config,
    store: Store,
    entries: Vec<CaEntry>,
    policy: SwitchPolicy,
) -> Result<Engine, Failure> {
    let key_archival = config.key_archival.settings()?;
    Engine::new(
        exeunt_engine::Parts {
            name: config.name.clone(),
            store,
            policy: Box::new(policy),
            clock: Box::new(SystemClock),
            entropy: Box::new(SystemEntropy),
            check_signatures: config.check_signatures,
            crls: config.crl.settings.clone(),
            crl_folder: home.crl_folder(),
            ocsp: config.ocsp.clone(),
        },
        entries,
        &config.publication,
    )
    .and_then(|it| it.with_key_archival(key_archival))
    .inspect(|it| it.warn_of_agents(now()))
    .map_err(|err| engine_failure(&err))
}

/// The templates, in the place of the active policy.
fn policy_of(config: &Config) -> Result<SwitchPolicy, Failure> {
    let policy = TemplatePolicy::new(config.templates.clone(), config.default_template.clone())
        .map_err(|err| Failure::from_error("config-invalid", &err))?;
    Ok(SwitchPolicy::new(Arc::new(policy)))
}

/// What the engine refused at a start, and what helps.
pub fn engine_failure(err: &EngineError) -> Failure {
    let failure = Failure::from_error(err.code(), err);
    match err.code() {
        "ca-key-mismatch" => {
            failure.hint("look at [ca], [key] and [[renewal]] in exeunt.toml: which key is whose")
        }
        "ca-publication-invalid" => failure.hint("look at [publication] in exeunt.toml"),
        "ca-certificate-changed" | "ca-certificate-removed" => failure
            .hint("the CA's certificates are never exchanged, moved or taken out: put the old one back, from your backup")
            .hint("a new one comes after them: exeunt ca renew, exeunt ca install"),
        _ => failure,
    }
}

/// Only digests of the tokens stay in memory.
pub fn read_tokens(config: &Config) -> Result<Vec<(String, [u8; 32])>, Failure> {
    let read = |(name, path): (&String, &PathBuf)| {
        let bytes = secret_file::read(path)?;
        let token = bytes.trim_ascii();
        if token.len() < TOKEN_BYTES_MIN {
            let message = format!(
                "the token in {} is shorter than {TOKEN_BYTES_MIN} characters",
                path.display()
            );
            return Err(Failure::new("token-too-short", message));
        }
        Ok((name.clone(), sha256(token)))
    };
    config.token_files.iter().map(read).collect()
}

/// Who may do what, as the configuration and the files of tokens say.
///
/// # Errors
///
/// A file that cannot be read, or a token that is another one's.
pub fn principals_of(config: &Config) -> Result<Principals, Failure> {
    let tokens = read_tokens(config)?;
    Principals::new(config.principals.clone(), tokens, config.role_separation).map_err(|err| {
        Failure::from_error(err.code(), &err).hint("look at [[principal]] in exeunt.toml")
    })
}

/// Shortest bearer token: 128 bits in hexadecimal.
const TOKEN_BYTES_MIN: usize = 32;

fn ca_facts(home: &Home, config: &Config, engine: &Engine) -> CaFacts {
    CaFacts {
        name: config.name.clone(),
        machine_dns_name: machine_name(),
        root: engine.is_root(),
        certificates: engine
            .ca()
            .certificates()
            .iter()
            .map(|it| CaCertificateFacts {
                der: it.issuer().der().to_vec(),
                key_index: it.key_index(),
            })
            .collect(),
        lists: Some(ListFacts {
            folder: home.crl_folder(),
            deltas: config.crl.settings.has_deltas(),
        }),
    }
}

fn machine_name() -> String {
    let uname = rustix::system::uname();
    uname.nodename().to_string_lossy().into_owned()
}
