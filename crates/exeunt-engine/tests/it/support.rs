//! What the tests share: a CA in a temporary folder, its seams moved by hand, and requests.

pub mod requests;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime};

use exeunt_engine::{
    Blame, CaEntry, CaProfile, Caller, Clock, CrlSettings, Door, Engine, EngineError, Entropy,
    OcspSettings, Outcome, Parts, Publication, Submission, SubmitError, Submitted,
    self_signed_root,
};
use exeunt_keys::{KeyError, Message, SignError, SigningKey, SoftwareKey, random_bytes, verify};
use exeunt_policy::{Callers, NameKind, Template, TemplatePolicy, UsageName};
use exeunt_store::{LoggedEvent, Store};
use exeunt_testkit::requests::openssl_request;
use exeunt_types::{
    Disposition, EventKind, EventSeq, KeyAlgorithm, RequestId, RequestRecord, Roles, Serial,
    SignatureScheme, StatusCode, UnixMillis,
};
use exeunt_x509::{Certificate, KeyUsage, Name, decode_pem_or_der, encode_pem, parse_certificate};
use tempfile::TempDir;

pub const HOUR_S: i64 = 3600;
pub const DAY_S: i64 = 24 * HOUR_S;

/// A clock that stands until it is moved.
#[derive(Clone, Debug)]
pub struct HandClock(Arc<AtomicI64>);

impl HandClock {
    pub fn at(unix_seconds: i64) -> Self {
        Self(Arc::new(AtomicI64::new(unix_seconds)))
    }

    /// At the real time, because verifiers ask the system.
    pub fn today() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Self::at(i64::try_from(since.as_secs()).unwrap())
    }

    pub fn set(&self, unix_seconds: i64) {
        self.0.store(unix_seconds, Ordering::SeqCst);
    }

    pub fn seconds(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Clock for HandClock {
    fn now(&self) -> UnixMillis {
        UnixMillis::from_unix_seconds(self.seconds())
    }
}

/// Draws from a script; where it ends, or without one, from the system.
#[derive(Clone, Debug, Default)]
pub struct ScriptedEntropy {
    script: Arc<Mutex<Vec<[u8; 16]>>>,
    stuck_at: Option<[u8; 16]>,
    pub drawn: Arc<AtomicU64>,
}

impl ScriptedEntropy {
    /// Gives the same for ever.
    pub fn stuck_at(octets: [u8; 16]) -> Self {
        Self { stuck_at: Some(octets), ..Self::default() }
    }

    /// What the next draws give, first come first.
    pub fn next(&self, octets: &[[u8; 16]]) {
        *self.script.lock().unwrap() = octets.iter().rev().copied().collect();
    }
}

impl Entropy for ScriptedEntropy {
    fn serial_octets(&self) -> Result<[u8; 16], KeyError> {
        self.drawn.fetch_add(1, Ordering::SeqCst);
        if let Some(octets) = self.stuck_at {
            return Ok(octets);
        }
        self.script.lock().unwrap().pop().map_or_else(random_bytes, Ok)
    }
}

/// A random source that is broken.
#[derive(Debug)]
pub struct NoEntropy;

impl Entropy for NoEntropy {
    fn serial_octets(&self) -> Result<[u8; 16], KeyError> {
        Err(KeyError::Random)
    }
}

/// What a key does when it is asked to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    Sign,
    Fail,
    Panic,
    Abort,
    /// Gives a signature of something else.
    Lie,
}

/// What happens elsewhere while a key works.
type Meanwhile = Box<dyn FnOnce() + Send>;

/// A real key that can be told to misbehave.
#[derive(Clone)]
pub struct TestKey {
    real: Arc<SoftwareKey>,
    habit: Arc<Mutex<Habit>>,
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
    pub asked: Arc<AtomicU64>,
}

impl fmt::Debug for TestKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.real.fmt(out)
    }
}

impl TestKey {
    pub fn new(algorithm: KeyAlgorithm) -> Self {
        Self::around(SoftwareKey::generate(algorithm).unwrap())
    }

    pub fn around(real: SoftwareKey) -> Self {
        Self {
            real: Arc::new(real),
            habit: Arc::new(Mutex::new(Habit::Sign)),
            meanwhile: Arc::default(),
            asked: Arc::default(),
        }
    }

    pub fn shall(&self, habit: Habit) {
        *self.habit.lock().unwrap() = habit;
    }

    /// Does this when it is asked to sign the next time, before it signs.
    pub fn meanwhile(&self, act: Meanwhile) {
        *self.meanwhile.lock().unwrap() = Some(act);
    }
}

impl SigningKey for TestKey {
    fn algorithm(&self) -> KeyAlgorithm {
        self.real.algorithm()
    }

    fn scheme(&self) -> SignatureScheme {
        self.real.scheme()
    }

    fn public_key_der(&self) -> &[u8] {
        self.real.public_key_der()
    }

    fn sign(&self, tbs: &[u8]) -> Result<Vec<u8>, SignError> {
        if self.is_honest()? { self.real.sign(tbs) } else { self.real.sign(b"something else") }
    }

    fn sign_message(&self, message: &Message) -> Result<Vec<u8>, SignError> {
        if self.is_honest()? {
            self.real.sign_message(message)
        } else {
            self.real.sign(b"something else")
        }
    }
}

impl TestKey {
    /// What comes before each signature. Whether it is one of what was asked for.
    fn is_honest(&self) -> Result<bool, SignError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(act) = meanwhile {
            act();
        }
        let habit = *self.habit.lock().unwrap();
        match habit {
            Habit::Sign => Ok(true),
            Habit::Fail => Err(SignError::Module {
                algorithm: self.algorithm(),
                source: "the token in slot 7 was pulled out".into(),
            }),
            Habit::Panic => panic!("the key panics, as it was told to"),
            Habit::Abort => std::process::abort(),
            Habit::Lie => Ok(false),
        }
    }
}

/// What a CA is made of, before it is opened.
pub struct House {
    pub folder: Arc<TempDir>,
    pub key: TestKey,
    pub clock: HandClock,
    pub entropy: ScriptedEntropy,
    pub certificate: Vec<u8>,
    /// Certificates after the first one, each with its key where that is a new one.
    pub renewals: Vec<(Vec<u8>, Option<TestKey>)>,
    pub templates: Vec<Template>,
    pub default_template: Option<String>,
    pub publication: Publication,
    pub crls: CrlSettings,
    /// In the house's own folder, if none is named.
    pub crl_folder: Option<PathBuf>,
    pub ocsp: OcspSettings,
}

impl House {
    /// A root of ten years with a P-256 key, an hour old.
    pub fn new() -> Self {
        Self::with_key(TestKey::new(KeyAlgorithm::EcdsaP256))
    }

    pub fn with_key(key: TestKey) -> Self {
        let clock = HandClock::today();
        let certificate = root(&key, clock.seconds() - HOUR_S, clock.seconds() + 3650 * DAY_S);
        Self {
            folder: Arc::new(tempfile::tempdir().unwrap()),
            key,
            clock,
            entropy: ScriptedEntropy::default(),
            certificate,
            renewals: Vec::new(),
            templates: vec![template("tls")],
            default_template: Some("tls".to_owned()),
            publication: Publication::default(),
            crls: CrlSettings::default(),
            crl_folder: None,
            ocsp: OcspSettings::default(),
        }
    }

    /// The CA with its store in the house's own folder, made if it is not there.
    pub fn open(&self) -> Ca {
        let path = self.folder.path().join("store.db");
        if !path.exists() {
            create_store(&path);
        }
        self.open_with(Store::open(&path).unwrap())
    }

    pub fn open_with(&self, store: Store) -> Ca {
        let engine = self.try_open(store, Box::new(self.entropy.clone())).unwrap();
        Ca {
            engine,
            key: self.key.clone(),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            _folder: Arc::clone(&self.folder),
        }
    }

    pub fn try_open(&self, store: Store, entropy: Box<dyn Entropy>) -> Result<Engine, EngineError> {
        let policy =
            TemplatePolicy::new(self.templates.clone(), self.default_template.clone()).unwrap();
        let parts = Parts {
            name: "Test CA".to_owned(),
            store,
            policy: Box::new(policy),
            clock: Box::new(self.clock.clone()),
            entropy,
            check_signatures: true,
            crls: self.crls.clone(),
            crl_folder: self.crl_folder.clone().unwrap_or_else(|| self.folder.path().join("crls")),
            ocsp: self.ocsp.clone(),
        };
        let certificate = self.certificate.clone();
        let entry = CaEntry { certificate, key: Some(Box::new(self.key.clone())) };
        let renewals = self.renewals.iter().map(|(certificate, key)| CaEntry {
            certificate: certificate.clone(),
            key: key.clone().map(|it| Box::new(it) as Box<dyn SigningKey>),
        });
        let entries = [entry].into_iter().chain(renewals).collect();
        Engine::new(parts, entries, &self.publication)
    }
}

pub fn create_store(path: &Path) {
    Store::create(path, random_bytes().unwrap(), UnixMillis(0)).unwrap();
}

pub fn root(key: &TestKey, not_before: i64, not_after: i64) -> Vec<u8> {
    let profile = CaProfile {
        subject: Name::parse("CN=Test Root,O=Exeunt,C=DE").unwrap(),
        not_before: UnixMillis::from_unix_seconds(not_before),
        not_after: UnixMillis::from_unix_seconds(not_after),
    };
    self_signed_root(key, &profile, Serial::from_random(random_bytes().unwrap())).unwrap()
}

/// Takes the usual names from anybody, for 90 days, ten minutes back.
pub fn template(name: &str) -> Template {
    Template {
        validity: Duration::from_hours(24 * 90),
        key_usage: KeyUsage::DIGITAL_SIGNATURE | KeyUsage::KEY_ENCIPHERMENT,
        extended_key_usage: vec![
            UsageName::parse("serverAuth").unwrap(),
            UsageName::parse("clientAuth").unwrap(),
        ],
        // CN, O, OU, L, ST, C.
        subject_allowed: ["3", "10", "11", "7", "8", "6"].map(|it| format!("2.5.4.{it}")).into(),
        names_allowed: vec![NameKind::Dns, NameKind::Ip, NameKind::Email, NameKind::Uri],
        dns_from_common_name: true,
        callers: Callers::Authenticated,
        ..Template::new(name)
    }
}

/// A CA at work.
pub struct Ca {
    pub engine: Engine,
    pub key: TestKey,
    pub clock: HandClock,
    pub entropy: ScriptedEntropy,
    /// Goes after the engine, which holds files in it.
    _folder: Arc<TempDir>,
}

/// An issued certificate in all its forms.
pub struct Issued {
    pub request: RequestId,
    pub serial: Serial,
    pub der: Vec<u8>,
    pub pem: String,
    pub event: EventSeq,
}

impl Ca {
    /// The same with its engine set up further.
    pub fn with_engine(self, change: impl FnOnce(Engine) -> Engine) -> Self {
        Self { engine: change(self.engine), ..self }
    }

    pub fn submit(&self, request: &[u8]) -> Result<Submitted, SubmitError> {
        self.engine.submit(submission(request))
    }

    /// Submits what must become a certificate, and checks what is true of every one.
    #[track_caller]
    pub fn issue(&self, request: &[u8]) -> Issued {
        self.issued(self.submit(request))
    }

    #[track_caller]
    pub fn issued(&self, result: Result<Submitted, SubmitError>) -> Issued {
        let Submitted { request, outcome } = result.unwrap();
        let Outcome::Issued { serial, certificate, event, .. } = outcome else {
            panic!("request {request} was not issued: {outcome:?}");
        };
        self.check_certificate(&certificate);
        let store = self.engine.store();
        let record = store.certificate(&serial).unwrap().unwrap();
        assert_eq!(record.certificate.raw, certificate);
        assert_eq!((record.request, record.event), (request, event));
        let row = self.row(request);
        assert_eq!((row.disposition, row.status), (Disposition::Issued, StatusCode::OK));
        assert_eq!(self.event(event).kind, EventKind::CERT_ISSUED);
        let pem = encode_pem("CERTIFICATE", &certificate);
        Issued { request, serial, der: certificate, pem, event }
    }

    /// Our own verification of a certificate that this CA issued.
    #[track_caller]
    pub fn check_certificate(&self, der: &[u8]) -> Certificate {
        let found = parse_certificate(der).unwrap();
        let root = self.engine.ca().issuing(self.clock.seconds()).issuer().der();
        let root = parse_certificate(root).unwrap();
        let signed = (found.tbs_der(), found.signature());
        verify(root.spki_der(), root.key(), found.scheme(), signed.0, signed.1).unwrap();
        assert_eq!(found.issuer(), root.subject());
        assert!(root.not_before() <= found.not_before());
        assert!(found.not_after() <= root.not_after());
        found
    }

    pub fn row(&self, id: RequestId) -> RequestRecord {
        self.engine.store().request(id).unwrap().unwrap()
    }

    pub fn event(&self, seq: EventSeq) -> LoggedEvent {
        self.engine.store().event(seq).unwrap().unwrap()
    }

    pub fn last_event(&self) -> LoggedEvent {
        self.event(self.engine.store().head())
    }

    pub fn root_pem(&self) -> String {
        encode_pem("CERTIFICATE", self.engine.certificate_der())
    }

    /// Number of requests, certificates and events.
    pub fn counts(&self) -> (u64, u64, u64) {
        let counts = self.engine.store().counts().unwrap();
        (counts.requests, counts.certificates, counts.events)
    }

    /// Checks the last row and the last event against what became of a request.
    #[track_caller]
    pub fn check_end(&self, id: RequestId, end: (Disposition, StatusCode, EventKind)) {
        let (disposition, status, kind) = end;
        let row = self.row(id);
        assert_eq!((row.disposition, row.status), (disposition, status));
        let event = self.last_event();
        assert_eq!(event.kind, kind);
        assert_eq!(event.request.map(|it| it.id), Some(id));
        let state = event.state.unwrap();
        assert_eq!((state.disposition, state.status), (disposition, status));
        assert_eq!((event.certificate, row.serial), (None, None));
        assert_eq!(self.engine.store().certificate_of(id).unwrap(), None);
    }
}

pub fn submission(request: &[u8]) -> Submission {
    Submission {
        request: request.to_vec(),
        attributes: Vec::new(),
        template: None,
        caller: Caller::new("local:1000", Door::Local, Roles::ENROLLEE),
        key: None,
    }
}

/// A request by openssl, as the PEM it writes.
pub fn request(key: &str, subject: &str, san: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    fs::read(openssl_request(key, subject, san, folder.path())).unwrap()
}

/// An ordinary request, made once.
pub fn plain_request() -> &'static [u8] {
    static MADE: LazyLock<Vec<u8>> =
        LazyLock::new(|| request("ec:P-256", "/CN=host.example", &["host.example"]));
    &MADE
}

/// The DER of a request in PEM.
pub fn der_of(pem: &[u8]) -> Vec<u8> {
    decode_pem_or_der(pem, &["CERTIFICATE REQUEST"]).unwrap().into_owned()
}

/// An outsider must not learn from a fault of the house what is inside.
#[track_caller]
pub fn check_fault_of_the_house(err: &SubmitError, code: &str) {
    assert_eq!(err.code(), code, "{err:?}");
    assert_eq!(err.blame(), Blame::Operator);
    assert_eq!(err.public_message(), "the CA is unable to issue at the moment");
}

/// An officer at the socket.
pub fn officer() -> Caller {
    Caller::new("local:0", Door::Local, Roles::ALL)
}

impl Ca {
    /// Kinds of all events, oldest first.
    pub fn kinds(&self) -> Vec<&'static str> {
        let events = self.engine.store().events_after(EventSeq(0), 1000).unwrap();
        events.iter().map(|it| it.kind.word()).collect()
    }

    /// What people did, as the audit trail has it, each entry as `actor action object detail`.
    pub fn audited(&self) -> Vec<String> {
        let rows = deeds(self.engine.store());
        let line = |it: exeunt_store::AuditEntry| {
            format!("{} {} {} {}", it.actor, it.action, it.object, it.detail).trim().to_owned()
        };
        rows.into_iter().map(line).collect()
    }
}

/// What people did, without what became of requests and of lists by itself.
pub fn deeds(store: &exeunt_store::Store) -> Vec<exeunt_store::AuditEntry> {
    let by_itself =
        ["request-issued", "request-pending", "request-denied", "request-failed", "crl-issue"];
    let rows = store.audit_after(0, exeunt_store::ROWS_MAX).unwrap().into_iter();
    rows.map(|it| it.entry).filter(|it| !by_itself.contains(&it.action.as_str())).collect()
}
