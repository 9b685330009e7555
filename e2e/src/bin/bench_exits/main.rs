//! The benchmark of exit modules: what they cost, how fast they are told, what a backlog takes.
//!
//! `cargo xtask bench exits` runs it. Every ratio is within one run: what is divided was measured
//! minutes apart at most, in rounds that all cases go through in turn.

mod drain;
mod held_back;
mod issuance;
mod tiers;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use exeunt_dispatch::{Dispatcher, ExitSettings};
use exeunt_e2e::ca::Ca;
use exeunt_e2e::{inside, program};

/// Options of the benchmark.
#[derive(Debug, Parser)]
struct Options {
    /// Measure as the published figures were: longer, and with the large backlogs
    #[arg(long)]
    long: bool,
    /// Rounds; medians are quoted
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these parts
    #[arg(long, value_enum)]
    only: Vec<Part>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Events per second through 1, 4 and 16 modules of each tier.
    Tiers,
    /// What 1, 4 and 10 modules cost issuance.
    Issuance,
    /// How fast the backlog of an outage drains.
    Drain,
    /// What the server takes while a backlog is held back.
    Memory,
}

fn main() {
    let Options { long, rounds, only } = Options::parse();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!("exit modules on {cores} cores, {rounds} rounds, medians");
    let wanted = |part| only.is_empty() || only.contains(&part);
    if wanted(Part::Tiers) {
        tiers::run(if long { 20_000 } else { 4_000 }, rounds);
    }
    if wanted(Part::Issuance) {
        issuance::run(Duration::from_secs(if long { 8 } else { 4 }), rounds, cores);
    }
    if wanted(Part::Drain) {
        drain::run(if long { 100_000 } else { 20_000 }, rounds);
    }
    if wanted(Part::Memory) {
        held_back::run(if long { 1_000_000 } else { 100_000 });
    }
}

/// A module of the process tier that does nothing.
fn quiet(ca: &Ca, name: &str) -> ExitSettings {
    inside::exit(ca, name, quiet_program(), &[])
}

fn quiet_program() -> PathBuf {
    program::built("quiet-module")
}

/// Longest that a backlog may take to drain before the benchmark gives up.
const PATIENCE: Duration = Duration::from_mins(20);
/// How often the dispatcher is asked how it stands: it costs a look-up for each module.
const POLL: Duration = Duration::from_millis(5);

/// Waits until every module has heard the whole log, and says how many events were told in how
/// much time. The clock starts when the last module has settled its first window, so that starting
/// processes is not measured.
fn told(dispatcher: &Dispatcher) -> (u64, Duration) {
    let begun = Instant::now();
    let accepted = || dispatcher.status().iter().map(|it| it.accepted).sum::<u64>();
    let mut from = None;
    loop {
        let status = dispatcher.status();
        if from.is_none() && status.iter().all(|it| it.accepted != 0) {
            from = Some((accepted(), Instant::now()));
        }
        if let Some((before, since)) = from
            && status.iter().all(|it| it.lag == 0)
        {
            return (accepted() - before, since.elapsed());
        }
        assert!(begun.elapsed() < PATIENCE, "not told in time: {status:#?}");
        std::thread::sleep(POLL);
    }
}

/// How many per second.
#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
