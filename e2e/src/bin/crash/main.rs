//! The crash test: certificates are issued under load, an officer approves, denies and revokes, and lists
//! are made, while the server is killed with SIGKILL at random moments and started again. Then everything
//! that was promised is looked for.
//!
//! `cargo xtask crash --trials N [--seed S]` runs it. The seed is printed first; it fixes the
//! moments, not the interleaving of threads, so a failure may take some runs to come back.

mod officer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use clap::Parser;
use exeunt_e2e::ca::{Ca, Served, wait_for};
use exeunt_e2e::{program, record, wire};
use exeunt_store::Store;
use exeunt_testkit::{foreign, requests};
use exeunt_types::{Disposition, EventKind, EventSeq, RequestId, Serial, UnixMillis};
use fastrand::Rng;
use officer::Confirmed;

/// Options of the crash test.
#[derive(Debug, Parser)]
struct Options {
    /// How often the server is killed
    #[arg(long, default_value_t = 200)]
    trials: u32,

    /// Fixes the moments of the kills; random if not given
    #[arg(long)]
    seed: Option<u64>,
}

/// Clients that submit at the same time.
const CLIENTS: usize = 8;
/// Trials between two full checks.
const CHECK_EVERY: u32 = 50;
/// Longest life of a server under load.
const LIFE_MS_MAX: u64 = 250;
/// Rows that a look-up takes at a time.
const PAGE: usize = 1000;

/// A certificate as a client received it.
type Received = BTreeMap<Serial, String>;

fn main() {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("crash: {} trials, seed {seed}", options.trials);
    let mut rng = Rng::with_seed(seed);
    let ca = Ca::init(&[]);
    let heard = ca.scratch().join("heard");
    ca.configure_more(&format!(
        "[[exit]]\nname = \"record\"\ncommand = ['{}']\nretry_first_s = 1\n\
         [exit.settings]\nfile = '{}'",
        program::built("record-module").display(),
        heard.display()
    ));
    ca.configure_more(&format!(
        "[[template]]\nname = \"{}\"\nissue = \"hold\"\n{}",
        officer::HELD,
        "validity_days = 90\nkey_usage = [\"digitalSignature\"]\nsubject_from_request = [\"CN\"]\nsan_from_request = [\"dns\"]"
    ));
    let pool = request_pool(&ca);
    let waiting = ca.scratch().join("waiting.pem");
    std::fs::write(&waiting, &pool[1]).expect("a file");
    let waiting = waiting.to_str().expect("a plain path").to_owned();
    let received = Mutex::new(Received::new());
    let mut confirmed = Confirmed::default();
    for trial in 1..=options.trials {
        one_trial(&ca, (&pool, &waiting), (&received, &mut confirmed), &mut rng);
        if trial % CHECK_EVERY == 0 || trial == options.trials {
            let received = received.lock().expect("BUG: no client panics");
            let checked = check(&ca, &heard, &received, &confirmed);
            println!("crash: {trial} kills survived: {checked}");
        }
    }
    println!("crash: every promise kept");
}

/// Requests made by somebody else's tool.
fn request_pool(ca: &Ca) -> Vec<Vec<u8>> {
    let make = |index: u32| {
        let host = format!("host-{index}.example.test");
        let key = if index.is_multiple_of(4) { "rsa:2048" } else { "ec:P-256" };
        let path = requests::openssl_request(key, &format!("/CN={host}"), &[&host], ca.scratch());
        std::fs::read(path).expect("a request")
    };
    (0..8).map(make).collect()
}

/// Starts, loads, kills.
fn one_trial(
    ca: &Ca,
    (pool, waiting): (&[Vec<u8>], &str),
    (received, confirmed): (&Mutex<Received>, &mut Confirmed),
    rng: &mut Rng,
) {
    let server = ca.serve();
    let token = ca.token();
    // Most lives are long enough for load; some end while the server is still recovering.
    let life = Duration::from_millis(match rng.u8(..10) {
        0 | 1 => rng.u64(..15),
        _ => rng.u64(15..LIFE_MS_MAX),
    });
    let kill_module_first = rng.u8(..8) == 0;
    let officer = Rng::with_seed(rng.u64(..));
    let seeds: Vec<u64> = (0..CLIENTS).map(|_| rng.u64(..)).collect();
    std::thread::scope(|scope| {
        for seed in seeds {
            let (server, token) = (&server, &token);
            scope.spawn(move || client(server, token, pool, received, seed));
        }
        scope.spawn(move || confirmed.act(ca, waiting, received, officer));
        if kill_module_first {
            std::thread::sleep(life / 2);
            kill_modules(&server);
            std::thread::sleep(life / 2);
        } else {
            std::thread::sleep(life);
        }
        kill_now(&server);
    });
}

/// SIGKILL, while clients still hold the server.
fn kill_now(server: &Served) {
    let pid = server.pid().to_string();
    let sent = std::process::Command::new("kill").args(["-KILL", &pid]).status();
    assert!(sent.expect("running kill").success(), "the server ended by itself");
}

/// A module may die as well; there may be none at that moment.
fn kill_modules(server: &Served) {
    let pid = server.pid().to_string();
    let _ = std::process::Command::new("pkill").args(["-KILL", "-P", &pid]).status();
}

/// Submits until the server is gone. What it received counts from the moment the answer is whole.
fn client(server: &Served, token: &str, pool: &[Vec<u8>], received: &Mutex<Received>, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let Ok(mut connection) = wire::Connection::open(server.address(), token) else { return };
    loop {
        let request = &pool[rng.usize(..pool.len())];
        let Ok(answer) = connection.submit(request) else { return };
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let answer: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        let text = |name: &str| answer[name].as_str().expect("a text").to_owned();
        let serial = Serial::from_hex(&text("serial")).expect("a serial");
        let before =
            received.lock().expect("BUG: no client panics").insert(serial, text("certificate"));
        assert!(before.is_none(), "serial {serial} was handed out twice");
    }
}

/// Starts once more, waits until everything is told, stops in order, and reads everything back.
fn check(ca: &Ca, heard: &Path, received: &Received, confirmed: &Confirmed) -> String {
    let server = ca.serve();
    ca.ok(&["crl", "publish"]);
    wait_for("every event to be accepted", || {
        let list: serde_json::Value =
            serde_json::from_str(&ca.ok(&["exit", "list", "--json"])).expect("JSON");
        let exits = list["exits"].as_array().expect("a list");
        let done = |it: &serde_json::Value| {
            assert_eq!(it["held_parked"], 0, "an event was parked: {it}");
            it["lag"] == 0 && it["held_retry"] == 0
        };
        exits.iter().all(done).then_some(())
    });
    server.stop();

    let store = Store::open(&ca.home().join("exeunt.db")).expect("the store opens");
    let left = store.recover(UnixMillis(0)).expect("recovery");
    assert!(left.is_empty(), "intents without a certificate were left: {left:?}");
    let issued = issued(&store);
    for (serial, certificate) in received {
        let stored = issued.get(serial).unwrap_or_else(|| panic!("{serial} is not in the store"));
        assert_eq!(stored, certificate, "{serial} is another certificate in the store");
    }
    for (serial, certificate) in &issued {
        let path = ca.published().join(format!("{serial}.pem"));
        let published = std::fs::read_to_string(&path)
            .unwrap_or_else(|err| panic!("{} is not published: {err}", path.display()));
        assert_eq!(&published, certificate, "{serial} is published wrongly");
    }
    let abandoned = abandoned(&store);
    assert!(abandoned.iter().all(|it| !issued.contains_key(it)), "a serial lives twice");
    let requests = all_requests_are_settled(&store);
    assert_eq!(requests.certificates, issued.len(), "a request ended without an outcome");
    // A resubmission that was broken off is no failure: the request is what it was before.
    assert!(requests.failed <= abandoned.len(), "a request failed without a serial");
    let orders = confirmed.check(ca, &store);
    officer::newest_list_is_true(ca, &store, &abandoned);
    let repeats = every_event_was_heard(&store, heard);
    foreign_tools_agree(ca, &issued);
    format!(
        "{} received, {} issued, {} abandoned, {orders} orders, {} events, {repeats} told \
         again",
        received.len(),
        issued.len(),
        abandoned.len(),
        store.head()
    )
}

fn issued(store: &Store) -> Received {
    let mut issued = Received::new();
    let mut before = None;
    loop {
        let page = store.certificates(before, PAGE).expect("certificates");
        let Some(last) = page.last() else { return issued };
        before = Some(last.request);
        for row in page {
            let pem = exeunt_x509::encode_pem("CERTIFICATE", &row.certificate.raw);
            let twice = issued.insert(row.certificate.serial, pem);
            assert!(twice.is_none(), "serial {} is in the store twice", row.certificate.serial);
        }
    }
}

fn abandoned(store: &Store) -> BTreeSet<Serial> {
    let mut abandoned = BTreeSet::new();
    loop {
        let page = store.abandoned_serials(abandoned.last(), PAGE).expect("abandoned serials");
        if page.is_empty() {
            return abandoned;
        }
        abandoned.extend(page.into_iter().map(|it| it.serial));
    }
}

/// What became of the requests.
#[derive(Default)]
struct Settled {
    certificates: usize,
    failed: usize,
}

fn all_requests_are_settled(store: &Store) -> Settled {
    let mut count = Settled::default();
    let mut before: Option<RequestId> = None;
    loop {
        let page = store.requests(before, PAGE).expect("requests");
        let Some(last) = page.last() else { return count };
        before = Some(last.id);
        for row in page {
            match row.disposition {
                Disposition::Issued | Disposition::Revoked => count.certificates += 1,
                Disposition::Error => count.failed += 1,
                Disposition::Pending | Disposition::Denied => (),
                other => panic!("request {} is {}", row.id, other.word()),
            }
        }
    }
}

/// Every event, in order for each request; repeats only of the same event.
fn every_event_was_heard(store: &Store, heard: &Path) -> usize {
    let heard = record::read(heard).expect("the record");
    let mut ids: BTreeMap<u64, String> = BTreeMap::new();
    let mut last_of_subject: BTreeMap<String, u64> = BTreeMap::new();
    let mut repeats = 0;
    for it in &heard {
        if let Some(id) = ids.get(&it.seq) {
            assert_eq!(id, &it.id, "event {} came back under another id", it.seq);
            repeats += 1;
        } else {
            let last = last_of_subject.insert(it.subject.clone(), it.seq);
            assert!(last < Some(it.seq), "{} was told out of order: {it:?}", it.subject);
            ids.insert(it.seq, it.id.clone());
        }
    }
    let distinct: BTreeSet<&String> = ids.values().collect();
    assert_eq!(distinct.len(), ids.len(), "two events have one id");
    let mut place = EventSeq(0);
    loop {
        let events = store.events_after(place, PAGE).expect("the event log");
        if events.is_empty() {
            break;
        }
        for event in events {
            assert_eq!(event.seq, place.next(), "the event log has a gap");
            place = event.seq;
            assert!(
                ids.contains_key(&place.0),
                "event {place} ({}) was not heard",
                event.kind.word()
            );
            if event.kind == EventKind::REQUEST_FAILED {
                assert!(event.request.is_some(), "event {place} has lost its request");
            }
        }
    }
    assert_eq!(ids.len() as u64, place.0, "the module heard of events that are not in the log");
    repeats
}

/// A few certificates, verified by strangers.
fn foreign_tools_agree(ca: &Ca, issued: &Received) {
    let root = ca.certificate();
    for certificate in issued.values().step_by(issued.len().div_ceil(3).max(1)) {
        foreign::openssl_verify(certificate, &root).expect("openssl");
        foreign::certtool_verify(certificate, &root).expect("certtool");
    }
}
