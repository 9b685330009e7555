//! A CA with an edge in front of it, and clients for it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use exeunt_api::Problem;
use exeunt_engine::{
    Asked, CaProfile, Clock, Decision, Engine, Entropy, Parts, Policy, Publication,
    self_signed_root,
};
use exeunt_http::{
    Access, BeforeReply, Clients, HttpSettings, Limits, NoPeople, NowFn, Principal, Principals,
    Server, TcpDoor, Tls, TlsFiles, token_digest,
};
use exeunt_keys::{KeyError, Message, SignError, SigningKey, SoftwareKey, random_bytes};
use exeunt_policy::{Callers, Issuance, NameKind, Template, TemplatePolicy, UsageName};
use exeunt_store::Store;
use exeunt_testkit::requests::openssl_request;
use exeunt_types::{KeyAlgorithm, Serial, SignatureScheme, UnixMillis};
use exeunt_x509::{KeyUsage, Name};
use reqwest::blocking::{Client, ClientBuilder, RequestBuilder, Response};

use crate::exits::TwoExits;

/// The token that the test server knows.
pub const TOKEN: &str = "a-token-of-the-tests";

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The system's clock, and how far a test has moved it, in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct SystemClock(Arc<AtomicI64>);

impl SystemClock {
    /// Moves it forward from where it was when the test began.
    pub fn move_to(&self, ahead: Duration) {
        self.0.store(i64::try_from(ahead.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        UnixMillis(i64::try_from(since.as_millis()).unwrap() + self.0.load(Ordering::SeqCst))
    }
}

#[derive(Debug)]
struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn serial_octets(&self) -> Result<[u8; 16], KeyError> {
        random_bytes()
    }
}

/// The built-in policy behind a gate: tells who is in, and lets nobody out before it is opened.
/// A request for the template `panic` panics.
#[derive(Debug)]
struct GatedPolicy {
    policy: TemplatePolicy,
    entered: Sender<()>,
    gate: Mutex<Receiver<()>>,
}

impl Policy for GatedPolicy {
    fn decide(&self, asked: &Asked<'_>) -> Decision {
        assert_ne!(asked.template, Some("panic"), "a policy that panics on purpose");
        // A test that does not listen does not care.
        let _ = self.entered.send(());
        // Open when the other end is dropped; one message lets one through.
        let _ = self.gate.lock().unwrap().recv();
        self.policy.decide(asked)
    }
}

/// The CA's key, which hangs as long as a test holds [`KeyDoor::hold`], as a token may.
#[derive(Debug)]
struct DoorKey {
    key: SoftwareKey,
    door: Arc<KeyDoor>,
}

impl SigningKey for DoorKey {
    fn algorithm(&self) -> KeyAlgorithm {
        self.key.algorithm()
    }

    fn scheme(&self) -> SignatureScheme {
        self.key.scheme()
    }

    fn public_key_der(&self) -> &[u8] {
        self.key.public_key_der()
    }

    fn sign(&self, tbs: &[u8]) -> Result<Vec<u8>, SignError> {
        self.pass()?;
        self.key.sign(tbs)
    }

    fn sign_message(&self, message: &Message) -> Result<Vec<u8>, SignError> {
        self.pass()?;
        self.key.sign_message(message)
    }
}

impl DoorKey {
    fn pass(&self) -> Result<(), SignError> {
        let asked = self.door.asked.fetch_add(1, Ordering::Relaxed);
        let _open = self.door.open.lock();
        if self.door.whole.load(Ordering::Relaxed) <= asked {
            let source = "the token was pulled out".into();
            return Err(SignError::Module { algorithm: self.algorithm(), source });
        }
        Ok(())
    }
}

/// In front of the CA's key.
#[derive(Debug)]
pub struct KeyDoor {
    asked: AtomicUsize,
    /// How many signatures it makes before it breaks.
    whole: AtomicUsize,
    open: Mutex<()>,
}

impl Default for KeyDoor {
    fn default() -> Self {
        let whole = AtomicUsize::new(usize::MAX);
        Self { asked: AtomicUsize::default(), whole, open: Mutex::default() }
    }
}

impl KeyDoor {
    /// Lets no signature be made until the guard is dropped.
    pub fn hold(&self) -> MutexGuard<'_, ()> {
        self.open.lock().unwrap()
    }

    /// Lets so many more signatures be made, and none after them.
    pub fn break_after(&self, more: usize) {
        self.whole.store(self.asked() + more, Ordering::Relaxed);
    }

    /// How many signatures were asked for.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// The gate of a CA that was started with one.
pub struct Gate {
    entered: Receiver<()>,
    open: Sender<()>,
}

impl Gate {
    /// Returns when a submission has come as far as the policy.
    pub fn wait(&self) {
        self.entered.recv_timeout(PATIENCE).expect("no submission came to the policy");
    }

    /// Lets so many through.
    pub fn pass(&self, count: usize) {
        (0..count).for_each(|_| self.open.send(()).unwrap());
    }

    /// Lets everybody through from now on.
    pub fn open(self) {
        drop(self.open);
    }
}

/// A CA, its edge and its home.
pub struct Ca {
    pub engine: Arc<Engine>,
    pub server: Option<Server>,
    pub home: tempfile::TempDir,
    pub key: Arc<KeyDoor>,
    pub clock: SystemClock,
}

/// What a test changes about its server.
pub struct Wanted {
    pub listen: Option<SocketAddr>,
    pub tls: Option<TlsFiles>,
    pub limits: Limits,
    pub before_reply: Option<BeforeReply>,
    pub people: Vec<Principal>,
    pub role_separation: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        let limits = Limits { workers: 8, ..Limits::default() };
        Self {
            listen: Some(([127, 0, 0, 1], 0).into()),
            tls: None,
            limits,
            before_reply: None,
            people: Vec::new(),
            role_separation: false,
        }
    }
}

impl Ca {
    pub fn start() -> Self {
        Self::start_as(Wanted::default())
    }

    pub fn start_as(wanted: Wanted) -> Self {
        let (mut ca, gate) = Self::closed();
        gate.open();
        ca.serve(wanted);
        ca
    }

    pub fn start_gated(wanted: Wanted) -> (Self, Gate) {
        let (mut ca, gate) = Self::closed();
        ca.serve(wanted);
        (ca, gate)
    }

    /// A CA without a server.
    pub fn closed() -> (Self, Gate) {
        let home = tempfile::tempdir().unwrap();
        let clock = SystemClock::default();
        let now = clock.now();
        let file = home.path().join("exeunt.db");
        Store::create(&file, [7; 8], now).unwrap();
        let key = SoftwareKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let profile = CaProfile {
            subject: Name::parse("CN=Edge Test CA").unwrap(),
            not_before: UnixMillis(now.0 - 60_000),
            not_after: now.plus(Duration::from_hours(24 * 400)),
        };
        let certificate = self_signed_root(&key, &profile, Serial::from_random([1; 16])).unwrap();
        let door = Arc::<KeyDoor>::default();
        let (entered, is_in) = channel();
        let (open, gate) = channel();
        let policy = TemplatePolicy::new(
            vec![
                template("tls-server", Issuance::AtOnce),
                template("held", Issuance::Hold),
                Template {
                    extended_key_usage: vec![UsageName::parse("clientAuth").unwrap()],
                    ..template("tls-client", Issuance::AtOnce)
                },
                Template {
                    extended_key_usage: Vec::new(),
                    ..template("for-anything", Issuance::AtOnce)
                },
            ],
            Some("tls-server".to_owned()),
        )
        .unwrap();
        let parts = Parts {
            name: "edge".to_owned(),
            store: Store::open(&file).unwrap(),
            policy: Box::new(GatedPolicy { policy, entered, gate: Mutex::new(gate) }),
            clock: Box::new(clock.clone()),
            entropy: Box::new(SystemEntropy),
            check_signatures: false,
            crls: exeunt_engine::CrlSettings::default(),
            crl_folder: home.path().join("crls"),
            ocsp: exeunt_engine::OcspSettings::default(),
        };
        let key = Box::new(DoorKey { key, door: Arc::clone(&door) });
        let entry = exeunt_engine::CaEntry { certificate, key: Some(key) };
        let engine = Engine::new(parts, vec![entry], &Publication::default()).unwrap();
        engine.recover().unwrap();
        let ca = Self { engine: Arc::new(engine), server: None, home, key: door, clock };
        (ca, Gate { entered: is_in, open })
    }

    /// The time, as the edge asks for it.
    fn now(&self) -> NowFn {
        let clock = self.clock.clone();
        Arc::new(move || clock.now())
    }

    pub fn settings(&self, wanted: Wanted) -> HttpSettings {
        let Wanted { listen, tls, limits, before_reply, people, role_separation } = wanted;
        let tokens = vec![
            ("other".to_owned(), token_digest("another")),
            ("tests".to_owned(), token_digest(TOKEN)),
        ];
        let access = Principals::new(people, tokens, role_separation).unwrap();
        HttpSettings {
            socket: self.socket(),
            doors: listen
                .map(|address| TcpDoor {
                    address,
                    tls: tls.map(Tls::Files),
                    clients: Clients::Refuse,
                })
                .into_iter()
                .collect(),
            own_certificate: None,
            read_key: Arc::new(|path| Ok(exeunt_keys::secret_file::read(path)?)),
            peer_socket: None,
            access: Access::new(access),
            people: Arc::new(NoPeople),
            limits,
            before_reply,
            refused_process: None,
            now: self.now(),
        }
    }

    pub fn serve(&mut self, wanted: Wanted) {
        let settings = self.settings(wanted);
        let server = Server::start(settings, Arc::clone(&self.engine), Arc::new(TwoExits)).unwrap();
        self.server = Some(server);
    }

    pub fn socket(&self) -> PathBuf {
        self.home.path().join("exeunt.sock")
    }

    pub fn address(&self) -> SocketAddr {
        self.server.as_ref().unwrap().address().unwrap()
    }

    /// A request in PEM, made by openssl.
    pub fn request(&self, subject: &str, san: &[&str]) -> Vec<u8> {
        std::fs::read(openssl_request("ec:P-256", subject, san, self.home.path())).unwrap()
    }

    /// A client of the Unix socket.
    pub fn local(&self) -> Http {
        let client = client().unix_socket(self.socket()).build().unwrap();
        Http { client, base: "http://exeunt".to_owned(), token: None }
    }

    /// A client of the TCP door.
    pub fn remote(&self) -> Http {
        let base = format!("http://{}", self.address());
        Http { client: client().build().unwrap(), base, token: Some(TOKEN.to_owned()) }
    }

    /// A bare connection to the TCP door.
    pub fn raw(&self) -> Raw {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Raw(stream)
    }
}

pub fn client() -> ClientBuilder {
    Client::builder().no_proxy().timeout(PATIENCE)
}

/// An HTTP client with one server and perhaps a token.
pub struct Http {
    pub client: Client,
    pub base: String,
    pub token: Option<String>,
}

impl Http {
    pub fn get(&self, path: &str) -> Response {
        self.send(self.client.get(format!("{}{path}", self.base)))
    }

    pub fn post(&self, path: &str, body: impl Into<reqwest::blocking::Body>) -> Response {
        self.send(self.client.post(format!("{}{path}", self.base)).body(body))
    }

    pub fn send(&self, request: RequestBuilder) -> Response {
        match &self.token {
            Some(token) => request.bearer_auth(token).send().unwrap(),
            None => request.send().unwrap(),
        }
    }
}

/// A bare connection.
pub struct Raw(pub TcpStream);

impl Raw {
    pub fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// All that comes until the server closes.
    pub fn read_to_end(&mut self) -> String {
        let mut octets = Vec::new();
        self.0.read_to_end(&mut octets).unwrap();
        String::from_utf8(octets).unwrap()
    }
}

/// Asserts that an answer is a problem with that status and code, and gives it.
#[track_caller]
pub fn problem(response: Response, status: u16, code: &str) -> Problem {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let actual = response.status().as_u16();
    let problem: Problem = response.json().unwrap();
    assert_eq!((actual, problem.status, problem.code.as_str()), (status, status, code));
    assert_eq!(problem.kind, "about:blank");
    problem
}

/// Asks until the answer is there.
pub fn eventually<T>(what: &str, ask: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn template(name: &str, issuance: Issuance) -> Template {
    Template {
        validity: Duration::from_hours(24 * 90),
        backdate: Duration::from_mins(5),
        key_usage: KeyUsage::DIGITAL_SIGNATURE,
        extended_key_usage: vec![UsageName::parse("serverAuth").unwrap()],
        subject_allowed: vec!["2.5.4.3".to_owned()],
        names_allowed: vec![NameKind::Dns, NameKind::Ip],
        dns_from_common_name: true,
        issuance,
        callers: Callers::Authenticated,
        ..Template::new(name)
    }
}
