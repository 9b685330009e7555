//! The benchmark of large stores: issuance with many rows in the store, as a ratio to issuance with none.
//!
//! `cargo xtask bench rows` runs it. The rows are written by an example of `exeunt-store`; the engine
//! issues in this process, without HTTP and without modules.

use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::Parser;
use exeunt_e2e::ca::Ca;
use exeunt_e2e::inside::{Inside, THREADS_MAX};
use exeunt_e2e::measure::{TICKS_PER_SECOND, median, requests, ticks};
use exeunt_e2e::program;

/// Options of the benchmark.
#[derive(Debug, Parser)]
struct Options {
    /// Certificates in the large store; one takes about 1.4 kB in the folder of temporary files
    #[arg(long, default_value_t = 200_000)]
    rows: u64,
    /// Seconds that each store is measured in a round, after a second of warm-up
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Rounds; medians are quoted
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// What a round gave of one store.
#[derive(Clone, Copy, Debug)]
struct Figure {
    per_second: f64,
    /// Processor time of each certificate, in seconds.
    cpu: f64,
    p50: Duration,
    p99: Duration,
}

const WARM_UP: Duration = Duration::from_secs(1);
/// Submissions that a thread hands over at once: 64 in flight, as the server's workers do.
const AT_ONCE: usize = 64 / THREADS_MAX;

fn main() {
    let Options { rows, seconds, rounds } = Options::parse();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!("issuance on {cores} cores with {rows} rows, {rounds} rounds of {seconds} s, medians");
    let large = Ca::init(&[]);
    let requests = requests(&large);
    fill(&large, &requests, rows);
    let time = Duration::from_secs(seconds);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    // Removed at the end: a file system that loses large files is slow for a while.
    let mut homes = Vec::new();
    for round in 0..rounds {
        let none = Ca::init(&[]);
        let mut of_large = || with.push(measure(&large, &requests, time));
        let mut of_none = || without.push(measure(&none, &requests, time));
        if round % 2 == 0 {
            of_none();
            of_large();
        } else {
            of_large();
            of_none();
        }
        homes.push(none);
    }
    println!("{:16} {:>10} {:>9} {:>9} {:>9}", "store", "cert/s", "cpu us", "p50 ms", "p99 ms");
    line("empty", &without);
    line("with the rows", &with);
    let ratio = |of: fn(&Figure, &Figure) -> f64| {
        median(with.iter().zip(&without).map(|(with, without)| of(with, without)).collect())
    };
    println!("ratio of certificates per second  {:.3}", ratio(|a, b| a.per_second / b.per_second));
    println!("ratio of processor time           {:.3}", ratio(|a, b| a.cpu / b.cpu));
}

fn line(name: &str, figures: &[Figure]) {
    let of = |it: fn(&Figure) -> f64| median(figures.iter().map(it).collect());
    println!(
        "{name:16} {:10.0} {:9.1} {:9.2} {:9.2}",
        of(|it| it.per_second),
        of(|it| it.cpu * 1e6),
        of(|it| it.p50.as_secs_f64() * 1e3),
        of(|it| it.p99.as_secs_f64() * 1e3)
    );
}

/// Copies of one certificate, with other numbers.
fn fill(ca: &Ca, requests: &[Vec<u8>], rows: u64) {
    Inside::open(ca).issue_at_once(requests, 0, 1);
    let filled = Command::new(program::built("examples/fill"))
        .arg(ca.home().join("exeunt.db"))
        .arg(rows.to_string())
        .status()
        .expect("the filler starts");
    assert!(filled.success(), "the store was not filled");
}

fn measure(ca: &Ca, requests: &[Vec<u8>], time: Duration) -> Figure {
    let inside = Inside::open(ca);
    let latencies = Mutex::new(Vec::new());
    let start = Instant::now() + WARM_UP;
    let end = start + time;
    let own = std::process::id();
    let cpu = std::thread::scope(|scope| {
        for index in 0..THREADS_MAX {
            let (inside, latencies) = (&inside, &latencies);
            scope.spawn(move || {
                let mut counted = Vec::new();
                loop {
                    let sent = Instant::now();
                    if end <= sent {
                        break;
                    }
                    inside.issue_at_once(requests, index, AT_ONCE);
                    let done = Instant::now();
                    if start <= sent && done <= end {
                        counted.push(done - sent);
                    }
                }
                latencies.lock().expect("BUG: nobody panics with it").extend(counted);
            });
        }
        std::thread::sleep(WARM_UP);
        let before = ticks(own);
        std::thread::sleep(time);
        Duration::from_millis((ticks(own) - before) * 1000 / TICKS_PER_SECOND)
    });
    let log = fs::metadata(ca.home().join("exeunt.db-wal")).map_or(0, |it| it.len());
    assert!(log < 1 << 30, "nobody empties the log: it has {log} octets");
    let mut latencies = latencies.into_inner().expect("BUG: nobody panics with it");
    latencies.sort_unstable();
    let at = |share: usize| latencies[(latencies.len() - 1) * share / 100];
    let count = u32::try_from(latencies.len() * AT_ONCE).expect("BUG: fewer than 2^32");
    Figure {
        per_second: f64::from(count) / time.as_secs_f64(),
        cpu: cpu.as_secs_f64() / f64::from(count),
        p50: at(50),
        p99: at(99),
    }
}
