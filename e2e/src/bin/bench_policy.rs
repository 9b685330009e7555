//! The benchmark of issuance with a policy module: a process that has everything issued, after the
//! templates and alone, each as a ratio to the templates alone in the same round.
//!
//! `cargo xtask bench policy` runs it. Each case has a server of its own, and only one is asked at a time.

use std::time::Duration;

use clap::Parser;
use exeunt_e2e::ca::{Ca, Served};
use exeunt_e2e::cases::{self, Case};
use exeunt_e2e::load::Way;
use exeunt_e2e::measure::requests;
use exeunt_e2e::program::built;

/// Options of the benchmark.
#[derive(Debug, Parser)]
struct Options {
    /// Connections
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Seconds that each case is measured in a round, after a second of warm-up
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Rounds; medians are quoted
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// Names, whether the templates decide first, and what the ratio is to be.
const CASES: [(&str, Option<bool>, f64); 3] = [
    ("templates", None, 1.0),
    ("templates, then a module", Some(true), 0.6),
    ("a module alone", Some(false), 0.6),
];

fn main() {
    let Options { clients, seconds, rounds } = Options::parse();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!(
        "issuance with a policy module on {cores} cores, {clients} clients, {rounds} rounds of \
         {seconds} s, medians"
    );
    let sides: Vec<(Ca, Served)> = CASES.iter().map(|(_, chain, _)| serve(*chain)).collect();
    let cases: Vec<Case<'_>> = CASES
        .iter()
        .zip(&sides)
        .map(|((name, _, target), (ca, server))| Case {
            name,
            target: *target,
            way: Way::plain(server.address(), &ca.token()),
            pid: server.pid(),
        })
        .collect();
    let requests = requests(&sides[0].0);
    cases::run(&cases, &requests, clients, Duration::from_secs(seconds), rounds);
    for (_, server) in sides {
        server.stop();
    }
}

fn serve(chain: Option<bool>) -> (Ca, Served) {
    let ca = Ca::init(&[]);
    // Its files would be written while we measure.
    ca.configure("module = \"file\"", "module = \"file\"\nenabled = false");
    if let Some(chain) = chain {
        let module = built("quiet-policy").display().to_string();
        ca.configure("[policy]", &format!("[policy]\ncommand = [{module:?}]\nchain = {chain}"));
    }
    let server = ca.serve();
    (ca, server)
}
