//! The module under the kit's host, against a real object store, read back by Amazon's own client.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod maintaining;
#[path = "../../../../contract/exeunt-publication/tests/it/openssl.rs"]
mod openssl;
mod trouble;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use exeunt_exit_object::ObjectExit;
use exeunt_module_kit::{
    Event, Outcome, Properties, Value, exit_event,
    testing::{Host, issued_event, parked, retried, target_down},
};
use exeunt_testbed::{
    process::POLL,
    s3::{ACCESS_KEY, Behaviour, S3, SECRET_KEY, Setup},
};
use openssl::{Ca, Wanted, p256};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

const BUCKET: &str = "pki";

/// A server with a bucket, a CA, and the module's settings for both.
struct Fixture {
    server: S3,
    ca: Ca,
    settings: Json,
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let server = S3::start(&Setup::default());
        server.make_bucket(BUCKET);
        Self::on(server)
    }

    fn on(server: S3) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = json!({
            "endpoint": server.url(), "ca_file": server.ca_file(), "bucket": BUCKET,
            "access_key_file": secret(&folder, "id", ACCESS_KEY),
            "secret_key_file": secret(&folder, "key", SECRET_KEY), "timeout_s": 18,
        });
        Self { server, ca: p256("Test Root"), settings, folder }
    }

    fn host(&self) -> Host {
        start(&self.settings)
    }

    /// What the CA says of itself, with its lists.
    fn system(&self, lists: &[(&str, Vec<u8>)]) -> Arc<Properties> {
        let mut system = Properties::from_iter([
            ("SanitizedCAName", Value::String("Test Root".to_owned())),
            ("CertCount", Value::Long(1)),
            ("RawCACertificate", Value::Binary(self.ca.certificate.der().to_vec())),
            ("CertSuffix", Value::String(String::new())),
            ("CRLSuffix", Value::String(String::new())),
            ("CRLState", Value::Long(3)),
        ]);
        for (name, der) in lists {
            system.push((*name).to_owned(), Value::Binary(der.clone()));
        }
        Arc::new(system)
    }

    fn crl_issued(&self, seq: u64, lists: &[(&str, Vec<u8>)]) -> Event {
        Event {
            id: format!("00000000000000000000000000000001-{seq}"),
            seq,
            event: exit_event::CRL_ISSUED,
            subject: "crl:0".to_owned(),
            system: self.system(lists),
            ..Event::default()
        }
    }

    fn base(&self, number: u64) -> (&'static str, Vec<u8>) {
        ("RawCRL", self.ca.list(Wanted { number, ..Wanted::default() }))
    }

    fn issued(&self, seqs: std::ops::Range<u64>, der: &[u8]) -> Vec<Event> {
        let system = self.system(&[]);
        seqs.map(|seq| Event { system: Arc::clone(&system), ..issued_event(seq, der) }).collect()
    }

    fn leaf(&self) -> Vec<u8> {
        self.ca.issue("/CN=www.example.com", "authorityKeyIdentifier=keyid")
    }

    fn get(&self, key: &str) -> Vec<u8> {
        self.server.get(BUCKET, key).unwrap_or_else(|| panic!("there is no {key}")).body
    }
}

fn secret(folder: &TempDir, name: &str, content: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn with(settings: &Json, more: &Json) -> Json {
    let mut settings = settings.clone();
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    settings
}

fn start(settings: &Json) -> Host {
    let mut host = Host::in_memory(ObjectExit::default()).unwrap();
    host.initialize(settings).unwrap();
    host
}

fn notify_all(host: &mut Host, events: &[Event]) -> Vec<Outcome> {
    host.notify_all(events).unwrap().into_iter().map(Result::unwrap).collect()
}

#[track_caller]
fn assert_accepted(outcomes: &[Outcome]) {
    let other = outcomes.iter().find(|it| **it != Outcome::Accept);
    assert_eq!(other, None);
}

/// How long a server may take to be back.
const BACK_WITHIN: Duration = Duration::from_mins(2);

/// Delivers as the host does, again and again until nothing is to be retried.
fn deliver(host: &mut Host, events: &[Event]) {
    let mut left = events.to_vec();
    let deadline = Instant::now() + BACK_WITHIN;
    while Instant::now() < deadline {
        let outcomes = notify_all(host, &left);
        let held = left.into_iter().zip(outcomes);
        left = held
            .filter_map(|(event, outcome)| match outcome {
                Outcome::Retry { .. } | Outcome::TargetDown { .. } => Some(event),
                Outcome::Accept | Outcome::Skip => None,
                other => panic!("{other:?}"),
            })
            .collect();
        if left.is_empty() {
            return;
        }
        thread::sleep(POLL);
    }
    panic!("{} events were not accepted", left.len());
}

#[test]
fn thousands_of_certificates_are_objects_that_another_client_reads() {
    let it = Fixture::new();
    let leaf = it.leaf();
    let events = it.issued(1..2001, &leaf);
    // The other client reads here; the other tests have the module read back as well.
    let mut host = start(&with(&it.settings, &json!({"read_back": false})));
    assert_accepted(&notify_all(&mut host, &events));
    let listed = it.server.list(BUCKET);
    assert_eq!(listed.len(), 2000);
    // The same events again change nothing: each object keeps its tag.
    assert_accepted(&notify_all(&mut host, &events[..100]));
    assert_eq!(it.server.list(BUCKET), listed);
    let key = format!("certificates/40{:030x}.cer", 7);
    let object = it.server.get(BUCKET, &key).unwrap();
    assert_eq!((object.body, object.content_type.as_str()), (leaf, "application/pkix-cert"));
}

#[test]
fn the_cas_certificates_and_lists_stand_under_the_names_of_its_addresses() {
    let it = Fixture::new();
    let mut host = it.host();
    let delta = it.ca.list(Wanted { number: 8, base: Some(7), ..Wanted::default() });
    let address = "http://ca.example/crl/Test%20Root_Partition00003.crl";
    let part = it.ca.list(Wanted { number: 7, address: Some(address), ..Wanted::default() });
    let file = it.folder.path().join("part.crl");
    fs::write(&file, &part).unwrap();
    let lists = [it.base(7), ("RawDeltaCRL", delta.clone())];
    let mut event = it.crl_issued(1, &lists);
    let path = Value::String(file.display().to_string());
    Arc::make_mut(&mut event.system).push("CRLPartitionFiles", path);
    assert_eq!(host.notify(&event).unwrap(), Outcome::Accept);
    let keys: Vec<String> = it.server.list(BUCKET).into_keys().collect();
    assert_eq!(
        keys,
        [
            "ca/Test Root.crt",
            "crl/Test Root+.crl",
            "crl/Test Root.crl",
            "crl/Test Root_Partition00003.crl"
        ]
    );
    assert_eq!(it.get("ca/Test Root.crt"), it.ca.certificate.der());
    assert_eq!(it.get("crl/Test Root.crl"), lists[0].1);
    assert_eq!(it.get("crl/Test Root+.crl"), delta);
    assert_eq!(it.get("crl/Test Root_Partition00003.crl"), part);
    let object = it.server.get(BUCKET, "crl/Test Root.crl").unwrap();
    assert_eq!(object.content_type, "application/pkix-crl");
}

#[test]
fn a_number_never_goes_backwards() {
    let it = Fixture::new();
    let settings = with(&it.settings, &json!({"ca_certificates": false, "prefix": "a/b"}));
    let mut host = start(&settings);
    for (number, outcome) in
        [(7, Outcome::Accept), (6, Outcome::Skip), (9, Outcome::Accept), (8, Outcome::Skip)]
    {
        let event = it.crl_issued(number, &[it.base(number)]);
        assert_eq!(host.notify(&event).unwrap(), outcome, "{number}");
    }
    let there = it.get("a/b/crl/Test Root.crl");
    let list = exeunt_publication::list::RevocationList::from_der(there).unwrap();
    assert_eq!(list.number().as_u64(), Some(9));
}

#[test]
fn two_modules_and_a_stranger_at_the_same_key_leave_the_newest_list() {
    let mut it = Fixture::new();
    let settings = with(&it.settings, &json!({"ca_certificates": false}));
    let lists: Vec<_> = (1..13).map(|number| it.base(number)).collect();
    // Slow enough for one to write between the look and the write of the other.
    it.server.behave(&Behaviour { delay: Duration::from_millis(30), ..Behaviour::default() });
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (it, lists, settings) = (&it, &lists, &settings);
            scope.spawn(move || {
                let mut host = start(settings);
                for (index, list) in lists.iter().enumerate().filter(|(it, _)| it % 2 == half) {
                    deliver(&mut host, &[it.crl_issued(index as u64, std::slice::from_ref(list))]);
                }
            });
        }
    });
    assert_eq!(it.get("crl/Test Root.crl"), lists[11].1);
    // Somebody writes older ones over what is there meanwhile, as a copy of the CA would.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut host = start(&settings);
            deliver(&mut host, &[it.crl_issued(98, &[lists[10].clone()])]);
        });
        for (_, list) in &lists[..3] {
            it.server.put(BUCKET, "crl/Test Root.crl", list, None).unwrap();
        }
    });
    let mut host = start(&settings);
    deliver(&mut host, &[it.crl_issued(99, &[lists[11].clone()])]);
    assert_eq!(it.get("crl/Test Root.crl"), lists[11].1);
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let it = Fixture::new();
    let other = p256("Test Root");
    let theirs = other.list(Wanted { number: 1, ..Wanted::default() });
    let mut host = it.host();
    let events = it.issued(5..6, &it.leaf());
    let key = format!("certificates/40{:030x}.cer", 5);
    for (key, octets) in [
        ("crl/Test Root.crl", theirs.as_slice()),
        ("ca/Test Root.crt", b"a chain of somebody's"),
        (&key, b"notes"),
    ] {
        it.server.put(BUCKET, key, octets, None).unwrap();
    }
    let outcome = host.notify(&it.crl_issued(1, &[it.base(7)])).unwrap();
    assert!(parked(&outcome).contains("left alone"), "{outcome:?}");
    let outcome = host.notify(&events[0]).unwrap();
    assert!(parked(&outcome).contains("no certificate of this CA"), "{outcome:?}");
    assert_eq!(it.get("crl/Test Root.crl"), theirs);
    assert_eq!(it.get("ca/Test Root.crt"), b"a chain of somebody's");
    assert_eq!(it.get(&key), b"notes");
}

#[test]
fn what_is_larger_than_any_certificate_is_not_even_read_under_its_key() {
    let it = Fixture::new();
    let key = format!("certificates/40{:030x}.cer", 5);
    it.server.put_zeros(BUCKET, &key, 1 << 18);
    let outcomes = notify_all(&mut it.host(), &it.issued(5..7, &it.leaf()));
    assert!(parked(&outcomes[0]).contains("too large to be ours"), "{outcomes:?}");
    assert_eq!(outcomes[1], Outcome::Accept);
    assert_eq!(it.get(&key), vec![0; 1 << 18]);
}

#[test]
fn under_one_key_the_younger_certificate_stays() {
    let it = Fixture::new();
    let settings = json!({"certificate_key": "hosts/{subject_cn}.pem", "format": "pem"});
    let mut host = start(&with(&it.settings, &settings));
    let old = it.ca.issue_expired("/CN=www.example.com", "0a");
    let new = it.leaf();
    for der in [&old, &new, &old, &new] {
        deliver(&mut host, &it.issued(1..2, der));
    }
    let (_, der) = pem(&it.get("hosts/www.example.com.pem"));
    assert_eq!(der, new);
}

fn pem(octets: &[u8]) -> (String, Vec<u8>) {
    let (label, der) = pem_rfc7468::decode_vec(octets).unwrap();
    (label.to_owned(), der)
}
