//! The crash test: the whole life of certificates under load, while the server is killed with SIGKILL at
//! random moments and started again. Then everything that was promised is looked for.
//!
//! Clients submit ([`clients`]), an officer revokes and has lists made ([`officer`]), another decides on
//! requests that wait ([`desk`]), others come by TCP and are held to rules ([`clerk`]), a third imports
//! certificates and revokes many at once ([`registrar`]), and somebody takes backups and renews the CA's
//! certificate ([`keeper`]). What they order and what is confirmed to them is counted ([`tally`]) and held
//! against what the store says ([`truth`]). After each kill the audit trail has to be whole.
//!
//! `cargo xtask crash --trials N [--seed S]` runs it. The seed is printed first; it fixes the
//! moments, not the interleaving of threads, so a failure may take some runs to come back.

mod clerk;
mod clients;
mod desk;
mod keeper;
mod officer;
mod registrar;
mod tally;
mod truth;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use clerk::Clerk;
use clients::{Pool, Received};
use desk::{Desk, HELD};
use exeunt_e2e::ca::{Ca, Served, wait_for};
use exeunt_e2e::program;
use exeunt_store::Store;
use exeunt_testkit::requests;
use exeunt_types::UnixMillis;
use fastrand::Rng;
use keeper::Keeper;
use officer::Officer;
use registrar::Registrar;
use tally::{About, Deed, Tally};
use truth::{Rows, Written};

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
/// Trials of a run in which everything happens at least once.
const LONG_RUN: u32 = 150;
/// Longest life of most servers under load.
const LIFE_MS_MAX: u64 = 250;
/// Longest life of the others.
const LONG_LIFE_MS_MAX: u64 = 1000;
/// Trials from one server that lives until everything has been done, also on a slow machine, to the next.
const PATIENT_EVERY: u32 = 20;
/// Life of such a one: a server makes an RSA key before it archives the first key.
const PATIENT_LIFE: Duration = Duration::from_secs(4);
/// Further trials after the last one, where something was never done: each life is longer, up to
/// eight times as long.
const FURTHER_TRIALS_MAX: u32 = 30;
/// Rows that a look-up takes at a time.
const PAGE: usize = 1000;

/// Everybody who wants something of the CA, and what they know.
struct Cast {
    ca: Ca,
    heard: PathBuf,
    pool: Pool,
    waiting: String,
    received: Received,
    tally: Tally,
    officer: Officer,
    desk: Desk,
    clerk: Clerk,
    registrar: Registrar,
    keeper: Keeper,
}

fn main() {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("crash: {} trials, seed {seed}", options.trials);
    let mut rng = Rng::with_seed(seed);
    let mut cast = Cast::make();
    for trial in 1..=options.trials {
        // What is imported has no part: so it comes to an end for the last quarter.
        if trial == options.trials * 3 / 4 {
            cast.ca.configure("[crl]", "[crl]\npartitions = 2");
        }
        cast.one_trial(&mut rng, (trial % PATIENT_EVERY == 0).then_some(PATIENT_LIFE));
        if trial % CHECK_EVERY == 0 || trial == options.trials {
            let checked = cast.check();
            println!("crash: {trial} kills survived: {checked}");
        }
    }
    // A slow machine, or an unlucky seed.
    let lacks = |cast: &Cast| LONG_RUN <= options.trials && cast.never_confirmed().is_some();
    let mut further = 0;
    while lacks(&cast) && further < FURTHER_TRIALS_MAX {
        further += 1;
        println!("crash: {:?} was never confirmed, going on", cast.never_confirmed());
        cast.one_trial(&mut rng, Some(PATIENT_LIFE * (1 + further).min(8)));
    }
    if 0 < further {
        println!("crash: {further} further kills survived: {}", cast.check());
    }
    println!("crash: confirmed: {:?}", cast.confirmed());
    assert!(!lacks(&cast), "what was never confirmed was not tried");
    println!("crash: every promise kept");
}

impl Cast {
    fn make() -> Self {
        let ca = Ca::init(&[]);
        let heard = ca.scratch().join("heard");
        configure(&ca, &heard);
        let pool = Pool::make(&ca);
        let host = "host.example.test";
        let waiting =
            requests::openssl_request("ec:P-256", &format!("/CN={host}"), &[host], ca.scratch());
        let clerk = Clerk::make(&ca);
        let stranger = Ca::init(&[]);
        Self {
            clerk,
            heard,
            pool,
            waiting: waiting.to_str().expect("a plain path").to_owned(),
            received: Received::default(),
            tally: Tally::default(),
            officer: Officer::default(),
            desk: Desk::default(),
            registrar: Registrar::of(&ca, &stranger),
            keeper: Keeper::default(),
            ca,
        }
    }

    /// How often each deed was confirmed.
    fn confirmed(&self) -> Vec<(Deed, u32)> {
        let counts = self.tally.now();
        let of = |deed: Deed| counts.iter().filter(move |(it, _)| it.0 == deed);
        let sum = |deed| of(deed).map(|(_, count)| count.confirmed).sum();
        Deed::ALL.into_iter().map(|deed| (deed, sum(deed))).collect()
    }

    fn never_confirmed(&self) -> Option<Deed> {
        self.confirmed().into_iter().find_map(|(deed, count)| (count == 0).then_some(deed))
    }

    /// Starts, loads, kills; with a life that is long enough for everything, or any.
    fn one_trial(&mut self, rng: &mut Rng, patience: Option<Duration>) {
        let Self {
            ca,
            pool,
            waiting,
            received,
            tally,
            officer,
            desk,
            clerk,
            registrar,
            keeper,
            ..
        } = self;
        let server = ca.serve();
        let token = ca.token();
        // Most lives are long enough for load; some end while the server is still recovering, and some go
        // on until there is much to lose.
        let any = Duration::from_millis(match rng.u8(..10) {
            0 | 1 => rng.u64(..15),
            2 => rng.u64(LIFE_MS_MAX..LONG_LIFE_MS_MAX),
            _ => rng.u64(15..LIFE_MS_MAX),
        });
        let life = patience.unwrap_or(any);
        let kill_module_first = rng.u8(..8) == 0;
        let [first, second, third, fourth, fifth] = [(); 5].map(|()| Rng::with_seed(rng.u64(..)));
        let seeds: Vec<u64> = (0..CLIENTS).map(|_| rng.u64(..)).collect();
        let (ca, pool, received, tally) = (&*ca, &*pool, &*received, &*tally);
        std::thread::scope(|scope| {
            for seed in seeds {
                let (server, token) = (&server, &token);
                scope.spawn(move || received.submit(server, token, pool, seed));
            }
            scope.spawn(move || officer.act(ca, received, tally, first));
            scope.spawn(move || desk.act(ca, waiting, tally, second));
            let by_tcp = (&server, Duration::from_millis(LIFE_MS_MAX) <= life);
            scope.spawn(move || clerk.act(ca, by_tcp, tally, fifth));
            scope.spawn(move || registrar.act(ca, tally, third));
            scope.spawn(move || keeper.act(ca, received, patience.is_some(), tally, fourth));
            if kill_module_first {
                std::thread::sleep(life / 2);
                kill_modules(&server);
                std::thread::sleep(life / 2);
            } else {
                std::thread::sleep(life);
            }
            kill_now(&server);
        });
        drop(server);
        // As it lies there: with what the log of the store has, and perhaps without the last checkpoint.
        ca.ok(&["audit", "verify"]);
    }

    /// Starts once more, waits until everything is told, stops in order, and reads everything back.
    fn check(&mut self) -> String {
        let Self { ca, heard, pool, received, tally, .. } = self;
        let started = now();
        let server = ca.serve();
        let made: serde_json::Value =
            serde_json::from_str(&ca.ok(&["crl", "publish", "--json"])).expect("JSON");
        tally.done(Deed::PublishLists, About::Object(format!("crl:{}", made["crls"][0]["number"])));
        let path = ca.home().join("exeunt.db");
        wait_for("certificates that run out to be told of", || {
            let store = Store::open_read_only(&path).expect("the store opens");
            let (rows, written) = (Rows::read(&store), Written::read(&store));
            self.registrar.all_told(&rows, &written, started).then_some(())
        });
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

        let store = Store::open(&path).expect("the store opens");
        let left = store.recover(UnixMillis(0)).expect("recovery");
        assert!(left.is_empty(), "intents without a certificate were left: {left:?}");
        let rows = Rows::read(&store);
        let written = Written::read(&store);
        rows.are_settled(&written);
        rows.are_published(ca, &written);
        written.are_whole();
        let counts = tally.now();
        written.have_confirmed(&counts, &rows);
        written.have_nothing_else(&counts, &rows);
        let repeats = truth::every_event_was_heard(&store, heard);
        let received = received.check(pool, &rows);
        self.officer.check(ca, &store, &rows);
        self.desk.check(&rows);
        self.clerk.check(&store, &rows, &written);
        let (imported, told) = self.registrar.check(&rows, &written);
        let certificates = self.keeper.check_renewals(&store, &written);
        let roots: Vec<String> = (0..certificates).map(|index| root(ca, index)).collect();
        let lists = rows.newest_lists_are_true(ca, &store, &roots);
        rows.please_strangers(&roots, &written);
        let (issued, abandoned) = rows.counts();
        let head = store.head();
        drop(store);
        let backups = self.keeper.check_backups(ca);
        let orders: u32 = counts.values().map(|it| it.confirmed).sum();
        format!(
            "{received} received, {imported} imported, {told} told before they run out, {issued} \
             on record, {abandoned} abandoned, {orders} orders, {head} events, {repeats} told \
             again, {certificates} CA certificates, {lists} lists, {backups} backups"
        )
    }
}

/// A policy module that agrees with the templates, an exit module that writes down what it hears, a template
/// whose requests wait, deltas, and addresses that lists in parts need.
fn configure(ca: &Ca, heard: &Path) {
    ca.configure_more(&format!(
        "[[exit]]\nname = \"record\"\ncommand = ['{}']\nretry_first_s = 1\n\
         [exit.settings]\nfile = '{}'",
        program::built("record-module").display(),
        heard.display()
    ));
    ca.configure_more(&format!(
        "[[template]]\nname = \"{HELD}\"\nissue = \"hold\"\nvalidity_days = 90\n\
         key_usage = [\"digitalSignature\"]\nsubject_from_request = [\"CN\"]\n\
         san_from_request = [\"dns\"]"
    ));
    ca.configure_more(clients::TEMPLATES);
    let module = program::built("quiet-policy").display().to_string();
    ca.configure("[policy]", &format!("[policy]\ncommand = [{module:?}]\nchain = true"));
    ca.configure("[crl]", "[crl]\ndelta_period_s = 86400");
    let point = "http://pki.example/crl/ca%8<CRLPartitionIndex>%9.crl";
    ca.configure("crl_distribution_points = []", &format!("crl_distribution_points = [{point:?}]"));
}

/// A certificate of the CA, PEM.
fn root(ca: &Ca, index: usize) -> String {
    let name = match index {
        0 => "ca.cert.pem".to_owned(),
        _ => format!("ca({index}).cert.pem"),
    };
    std::fs::read_to_string(ca.home().join(name)).expect("a certificate of the CA")
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    UnixMillis(i64::try_from(since.as_millis()).expect("BUG: before 292 million"))
}

/// SIGKILL, while clients still hold the server.
fn kill_now(server: &Served) {
    let pid = server.pid().to_string();
    let sent = std::process::Command::new("kill").args(["-KILL", &pid]).status();
    assert!(sent.expect("running kill").success(), "the server ended by itself");
}

/// Exit modules may die as well; there may be none at that moment. The policy stays: what it does not
/// decide about would wait.
fn kill_modules(server: &Served) {
    let pid = server.pid().to_string();
    let args = ["-KILL", "-P", &pid, "-f", "record-module|run-module"];
    let _ = std::process::Command::new("pkill").args(args).status();
}
