//! The parts that the server puts together, in the caller's process and without its doors.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use exeunt_dispatch::{CaCertificateFacts, CaFacts, Dispatcher, ExitSettings, RetrySchedule};
use exeunt_engine::{
    Caller, Clock, Door, Engine, Entropy, Outcome, Parts, Publication, Submission,
};
use exeunt_host::{HostLimits, ModuleCommand};
use exeunt_keys::{KeyError, Passphrase, SoftwareKey, random_bytes};
use exeunt_policy::{NameKind, Template, TemplatePolicy, UsageName};
use exeunt_store::Store;
use exeunt_types::{EventSeq, ExitName, Roles, Serial, StartAt, UnixMillis};
use exeunt_x509::{KeyUsage, parse_certificate};

use crate::ca::Ca;

/// Threads that call the engine at most; each hands over its share of the submissions at once, as
/// the server's workers do.
pub const THREADS_MAX: usize = 16;

/// An engine on the store of a CA whose server does not run.
#[derive(Debug)]
pub struct Inside {
    /// Steps 0 to 5.
    pub engine: Engine,
    /// The CA's store.
    pub store: Store,
    facts: CaFacts,
}

impl Inside {
    /// Opens key, certificate and store of a home.
    ///
    /// # Panics
    ///
    /// When one of them cannot be had.
    pub fn open(ca: &Ca) -> Self {
        let home = ca.home();
        let read = |name: &str| fs::read_to_string(home.join(name)).expect("a file of the home");
        let passphrase =
            Passphrase::new(read("secrets/passphrase").trim_end()).expect("a passphrase");
        let key = SoftwareKey::from_encrypted_pem(&read("secrets/ca.key.pem"), &passphrase)
            .expect("a key");
        let certificate = parse_certificate(ca.certificate().as_bytes()).expect("a certificate");
        let store = Store::open(&home.join("exeunt.db")).expect("a store");
        let parts = Parts {
            name: "Bench".to_owned(),
            store: store.clone(),
            policy: Box::new(policy()),
            clock: Box::new(Now),
            entropy: Box::new(Random),
            check_signatures: false,
            crls: exeunt_engine::CrlSettings::default(),
            crl_folder: home.join("crls"),
            ocsp: exeunt_engine::OcspSettings::default(),
        };
        let der = certificate.der().to_vec();
        let entry = exeunt_engine::CaEntry { certificate: der, key: Some(Box::new(key)) };
        let engine = Engine::new(parts, vec![entry], &Publication::default()).expect("an engine");
        let facts = CaFacts {
            name: "Bench".to_owned(),
            machine_dns_name: "bench".to_owned(),
            root: true,
            certificates: vec![CaCertificateFacts {
                der: certificate.der().to_vec(),
                key_index: 0,
            }],
            lists: None,
        };
        Self { engine, store, facts }
    }

    /// A dispatcher with these modules.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn dispatcher(&self, exits: Vec<ExitSettings>) -> Dispatcher {
        Dispatcher::start(self.store.clone(), exits, &self.facts, Arc::new(now), Arc::new(|| 0))
            .expect("a dispatcher")
    }

    /// Issues for so many of the requests at once; the serial numbers of the certificates.
    ///
    /// # Panics
    ///
    /// When one of them gets no certificate.
    pub fn issue_at_once(&self, requests: &[Vec<u8>], first: usize, count: usize) -> Vec<Serial> {
        let submission = |place: usize| Submission {
            request: requests[(first + place) % requests.len()].clone(),
            attributes: Vec::new(),
            template: None,
            caller: Caller::new("bench", Door::Local, Roles::ENROLLEE),
            key: None,
        };
        let results = self.engine.submit_all((0..count).map(submission).collect());
        let serial = |outcome| match outcome {
            Outcome::Issued { serial, .. } => serial,
            other => panic!("no certificate but {other:?}"),
        };
        results.into_iter().map(|it| serial(it.expect("a decision").outcome)).collect()
    }

    /// Issues `count` certificates or a few more with 64 in flight; how long that took.
    pub fn issue(&self, requests: &[Vec<u8>], count: usize) -> Duration {
        const AT_ONCE: usize = 4;
        let (begun, next) = (Instant::now(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for index in 0..THREADS_MAX {
                let next = &next;
                scope.spawn(move || {
                    while next.fetch_add(AT_ONCE, Ordering::Relaxed) < count {
                        self.issue_at_once(requests, index, AT_ONCE);
                    }
                });
            }
        });
        begun.elapsed()
    }
}

/// A module from the first event on, as a fresh configuration has it.
///
/// # Panics
///
/// When that is no name of a module.
pub fn exit(ca: &Ca, name: &str, program: PathBuf, args: &[&str]) -> ExitSettings {
    ExitSettings {
        name: ExitName::parse(name).expect("a plain name"),
        enabled: true,
        command: ModuleCommand {
            program,
            args: args.iter().map(Into::into).collect(),
            env: Vec::new(),
            working_directory: ca.home(),
            confine: None,
        },
        limits: HostLimits::default(),
        retry: RetrySchedule::default(),
        start_at: StartAt::After(EventSeq(0)),
        events: None,
        filter: None,
        before_reply: false,
        settings: serde_json::Map::new(),
    }
}

#[derive(Debug)]
struct Now;

impl Clock for Now {
    fn now(&self) -> UnixMillis {
        now()
    }
}

fn now() -> UnixMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixMillis(
        i64::try_from(since.expect("after 1970").as_millis()).expect("BUG: before 292 million"),
    )
}

#[derive(Debug)]
struct Random;

impl Entropy for Random {
    fn serial_octets(&self) -> Result<[u8; 16], KeyError> {
        Ok(Serial::octets_by_time(Now.now(), random_bytes::<16>()?))
    }
}

/// The template of a fresh configuration.
fn policy() -> TemplatePolicy {
    let template = Template {
        validity: Duration::from_hours(24 * 90),
        backdate: Duration::from_mins(10),
        key_usage: KeyUsage::DIGITAL_SIGNATURE | KeyUsage::KEY_ENCIPHERMENT,
        extended_key_usage: UsageName::parse("serverAuth").into_iter().collect(),
        subject_allowed: vec!["2.5.4.3".to_owned(), "2.5.4.10".to_owned()],
        names_allowed: vec![NameKind::Dns],
        dns_from_common_name: true,
        ..Template::new("tls-server")
    };
    TemplatePolicy::new(vec![template], None).expect("a policy")
}
