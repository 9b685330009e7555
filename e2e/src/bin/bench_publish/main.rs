//! The benchmark of publishing: certificates per second into each target, as a ratio to the same
//! writes by somebody who does nothing else.
//!
//! `cargo xtask bench publish` runs it. A CA issues certificates, and then the module is told of all of
//! them in one go. The clock runs from the order to the last accepted event. Beside it, in the same round and on the same server, the same number of writes is made by
//! the server's own tool where it has one, and by a loop in Python where it has none.

mod limit;
mod target;

use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum as _};
use exeunt_e2e::ca::Ca;
use exeunt_e2e::measure::median;
use exeunt_e2e::{load, wire};
use exeunt_testkit::requests::openssl_request;
use exeunt_x509::parse_request;
use serde_json::{Value, json};

use target::{Kind, Target};

/// Options of the benchmark.
#[derive(Debug, Parser)]
struct Options {
    /// Certificates of one round; ten times as many for targets that take thousands in a second
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// Rounds; medians are quoted
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these targets
    #[arg(long, value_enum)]
    only: Vec<Kind>,
}

/// What a ratio is to be at least.
const GOAL: f64 = 0.5;

/// Longest that a module may take for all of a round.
const PATIENCE: Duration = Duration::from_mins(5);

/// How often the server is asked how the module stands: a command is started each time.
const POLL: Duration = Duration::from_millis(50);

fn main() {
    let Options { count, rounds, only } = Options::parse();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!("publishing on {cores} cores, {count} certificates, {rounds} rounds, medians");
    println!("{:<10} {:>12} {:>12} {:>7}  limit by", "target", "module /s", "limit /s", "ratio");
    let requests = requests(count);
    let wanted = |kind: &Kind| only.is_empty() || only.contains(kind);
    for kind in Kind::value_variants().iter().copied().filter(wanted) {
        let (mut module, mut limit, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let mut by = "";
        let count = count * kind.factor();
        for _ in 0..rounds {
            let mut target = kind.start(count);
            let published = publish(target.as_mut(), &requests, count);
            let written = rate(count, target.limit(count));
            by = target.limit_by();
            module.push(published);
            limit.push(written);
            ratios.push(published / written);
        }
        let ratio = median(ratios);
        let verdict = if ratio < GOAL { "  (below the goal)" } else { "" };
        println!(
            "{:<10} {:>12.0} {:>12.0} {ratio:>7.2}  {by}{verdict}",
            kind.to_possible_value().expect("BUG: every kind has a word").get_name(),
            median(module),
            median(limit),
        );
    }
}

/// Certificates per second that the module publishes of a log that is there.
fn publish(target: &mut dyn Target, requests: &[Vec<u8>], count: usize) -> f64 {
    let ca = Ca::init(&[]);
    // Its files would be written while we measure.
    ca.configure("module = \"file\"", "module = \"file\"\nenabled = false");
    let server = ca.serve();
    let (address, token) = (server.address(), ca.token());
    let messages = requests.iter().cycle().take(count);
    let messages = messages.map(|it| wire::submission(address, &token, it)).collect();
    load::ask_each(address, &Rc::new(messages), 16, 1).expect("certificates");

    let settings = target.settings(&ca);
    let mut add = vec!["exit", "add", "measured", "--events", "issued", "--use", target.module()];
    for setting in &settings {
        add.extend(["--set", setting]);
    }
    ca.ok(&add);
    if target.has_to_be_installed() {
        ca.ok(&["exit", "install", "measured", "--yes"]);
    }
    let status = || -> Value {
        let status = ca.ok(&["exit", "status", "measured", "--json"]);
        serde_json::from_str(&status).expect("JSON")
    };
    let head = status()["head"].to_string();
    let begun = Instant::now();
    ca.ok(&["exit", "replay", "measured", "--from", "1", "--to", &head]);
    loop {
        let now = status();
        let took = begun.elapsed();
        assert_eq!((&now["held_parked"], &now["held_retry"]), (&json!(0), &json!(0)), "{now}");
        if now["accepted"].as_u64() == u64::try_from(count).ok() {
            server.stop();
            target.check(count);
            return rate(count, took);
        }
        assert!(took < PATIENCE, "{} of {count} after {PATIENCE:?}", now["accepted"]);
        std::thread::sleep(POLL);
    }
}

/// Requests, each for another host.
fn requests(count: usize) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    let make = |index: usize| {
        let host = target::host(index);
        let path = openssl_request("ec:P-256", &format!("/CN={host}"), &[&host], folder.path());
        let pem = std::fs::read(path).expect("a request");
        parse_request(&pem).expect("a request").der().to_vec()
    };
    (0..count).map(make).collect()
}

/// How many per second.
#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
