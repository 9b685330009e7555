//! The benchmark of publishing: certificates per second into each target, as a ratio to the same
//! writes by somebody who does nothing else.
//!
//! `cargo xtask bench publish` runs it. A CA issues certificates; then the module is told of all of
//! them in one go, and the clock runs from the order to the last accepted event. Beside it, in turns
//! and on the same server, the octets that the module has written are written again by the server's own
//! load tool, or by a loop in Python where it has none: as many, over as many connections.

mod limit;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Parser;
use exeunt_e2e::ca::Ca;
use exeunt_e2e::measure::{TICKS_PER_SECOND, children, median, ticks};
use exeunt_e2e::targets::{Kind, Target};
use exeunt_e2e::{load, wire};
use exeunt_testkit::requests::openssl_request;
use exeunt_x509::parse_request;
use serde_json::Value;

use limit::Limit;

/// Options of the benchmark.
#[derive(Debug, Parser)]
struct Options {
    /// Certificates of one round; some times as many for targets that take thousands in a second
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// Rounds; medians are quoted
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these targets
    #[arg(long, value_enum)]
    only: Vec<Kind>,
}

const KINDS: [Kind; 10] = [
    Kind::Openldap,
    Kind::Samba,
    Kind::File,
    Kind::Mail,
    Kind::Webhook,
    Kind::Nats,
    Kind::Amqp,
    Kind::Sql,
    Kind::Object,
    Kind::Syslog,
];

/// What a ratio is to be at least.
const GOAL: f64 = 0.5;

/// Longest that a module may take for all of a round.
const PATIENCE: Duration = Duration::from_mins(5);

/// How often the server is asked how the module stands.
const POLL: Duration = Duration::from_millis(10);

/// Milliseconds of a tick.
const TICK_MS: u64 = 1000 / TICKS_PER_SECOND;

/// Connections over which certificates are asked for.
const CLIENTS: usize = 16;

fn main() {
    let Options { count, rounds, only } = Options::parse();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!("publishing on {cores} cores, {rounds} rounds in turns, medians");
    println!(
        "{:<9} {:>6} {:>6} {:>5} {:>8} {:>8} {:>6} {:>11} {:>7} {:>7}  limit by",
        "target",
        "number",
        "octets",
        "conns",
        "module/s",
        "limit/s",
        "ratio",
        "least-most",
        "CA us",
        "mod us"
    );
    let names: Vec<String> = (0..count).map(|it| format!("h{it}.example.test")).collect();
    let requests = requests(&names);
    for kind in KINDS.into_iter().filter(|it| only.is_empty() || only.contains(it)) {
        let word = kind.word();
        let Some(target) = kind.start(&names) else {
            println!("{word:<9} not measured: the system does not allow namespaces");
            continue;
        };
        let (limit, turns) = measure(&target, &requests, number(kind, count), rounds);
        let of = |it: fn(&Turn) -> f64| turns.iter().map(it).collect::<Vec<f64>>();
        let ratios = of(|it| it.module / it.limit);
        let least = ratios.iter().copied().fold(f64::MAX, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        let ratio = median(ratios);
        println!(
            "{word:<9} {:>6} {:>6} {:>5} {:>8.0} {:>8.0} {ratio:>6.2} {:>11} {:>7.0} {:>7.0}  {}{}",
            limit.count,
            limit.octets,
            limit.connections,
            median(of(|it| it.module)),
            median(of(|it| it.limit)),
            format!("{least:.2}-{most:.2}"),
            median(of(|it| it.server_us)),
            median(of(|it| it.module_us)),
            limit.by,
            if ratio < GOAL { " (BELOW THE GOAL)" } else { "" },
        );
    }
}

/// What one round gave.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// Certificates per second by the module.
    module: f64,
    /// Per second by the other.
    limit: f64,
    /// Processor time of the CA's server for each certificate, in microseconds.
    server_us: f64,
    /// The same of the module's process.
    module_us: f64,
}

/// How many certificates it takes to measure it.
fn number(kind: Kind, count: usize) -> usize {
    match kind {
        Kind::Nats | Kind::Amqp | Kind::Sql | Kind::Syslog => count * 10,
        Kind::File => count * 3,
        Kind::Samba => count / 2,
        // A person has one, and the others take hundreds in a second.
        _ => count,
    }
}

/// For each round, how many a second the module and the other have written.
fn measure(
    target: &Target,
    requests: &[Vec<u8>],
    count: usize,
    rounds: usize,
) -> (Limit, Vec<Turn>) {
    let ca = Ca::init(&[]);
    // Its files would be written while we measure.
    ca.configure("module = \"file\"", "module = \"file\"\nenabled = false");
    let server = ca.serve();
    let (address, token) = (server.address(), ca.token());
    // The log of all rounds first: nothing is issued while something is measured.
    let mut ends = vec![Told::head(&ca)];
    for _ in 0..rounds {
        let messages = requests.iter().cycle().take(count);
        let messages = messages.map(|it| wire::submission(address, &token, it)).collect();
        load::ask_each(address, &Rc::new(messages), CLIENTS, 1).expect("certificates");
        ends.push(Told::head(&ca));
    }
    target.add_to(&ca, Told::NAME, target.port());
    if matches!(target, Target::Sql(_)) {
        ca.ok(&["exit", "install", Told::NAME, "--yes"]);
    }
    let told = Told::new(&ca);
    let module = |round: usize| {
        let module = children(server.pid());
        let module = *module.first().expect("the module's process");
        let before = (ticks(server.pid()), ticks(module));
        let took = told.round(ends[round] + 1, ends[round + 1], count);
        let us = |from, to: u64| 1e6 / rate(count, Duration::from_millis((to - from) * TICK_MS));
        let after = (ticks(server.pid()), ticks(module));
        (rate(count, took), us(before.0, after.0), us(before.1, after.1))
    };
    // What the first round has written is what is written again in every round.
    let first = module(0);
    let limit = Limit::of(target);
    assert_eq!(limit.count, count, "not everything is there");
    let again = |round: usize| {
        limit.clear(target);
        rate(count, limit.run(target, round))
    };
    let turn = |(module, server_us, module_us), limit| Turn { module, limit, server_us, module_us };
    let mut turns = vec![turn(first, again(0))];
    for round in 1..rounds {
        // Every second one the other way round.
        let early = (round % 2 == 1).then(|| again(round));
        limit.clear(target);
        let ours = module(round);
        turns.push(turn(ours, early.unwrap_or_else(|| again(round))));
    }
    server.stop();
    (limit, turns)
}

/// Has events told to the module again, and waits for it.
struct Told {
    home: PathBuf,
}

impl Told {
    /// Name of the module.
    const NAME: &'static str = "measured";

    fn new(ca: &Ca) -> Self {
        Self { home: ca.home() }
    }

    /// A new connection, because the server ends idle ones.
    fn door(&self) -> wire::Local {
        wire::Local::open(&self.home).expect("the socket")
    }

    /// The last event of the log, as the module of a fresh CA is shown with.
    fn head(ca: &Ca) -> u64 {
        Self::status(&mut Self::new(ca).door(), "file")["head"].as_u64().expect("a number")
    }

    fn status(door: &mut wire::Local, name: &str) -> Value {
        let answer = door.ask("GET", &format!("/v1/exits/{name}"), "");
        serde_json::from_slice(&answer.expect("an answer").body).expect("JSON")
    }

    /// How long the module took for the certificates of these events.
    fn round(&self, from: u64, to: u64, count: usize) -> Duration {
        let accepted = |it: &Value| it["accepted"].as_u64().expect("a number");
        let mut door = self.door();
        let wanted =
            accepted(&Self::status(&mut door, Self::NAME)) + u64::try_from(count).expect("few");
        let begun = Instant::now();
        let path = format!("/v1/exits/{}/replay", Self::NAME);
        let answer = door.ask("POST", &path, &format!("{{\"from\":{from},\"to\":{to}}}"));
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        loop {
            let now = Self::status(&mut door, Self::NAME);
            let took = begun.elapsed();
            assert_eq!(now["held_parked"].as_u64(), Some(0), "{now}");
            if wanted <= accepted(&now) {
                return took;
            }
            assert!(took < PATIENCE, "{now}");
            std::thread::sleep(POLL);
        }
    }
}

/// Requests, each for another host.
fn requests(names: &[String]) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    let make = |host: &String| {
        let path = openssl_request("ec:P-256", &format!("/CN={host}"), &[host], folder.path());
        let pem = std::fs::read(path).expect("a request");
        parse_request(&pem).expect("a request").der().to_vec()
    };
    names.iter().map(make).collect()
}

/// How many per second.
#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
