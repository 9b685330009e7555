//! Cases of issuance over HTTP that are measured in turns, each as a ratio to the first of its round.

use std::time::{Duration, Instant};

use crate::load::{self, Way};
use crate::measure::{TICKS_PER_SECOND, median, ticks};

/// Before anything is counted: files grow and caches get warm.
const WARM_UP: Duration = Duration::from_secs(1);

/// A way to certificates that is measured.
#[derive(Debug)]
pub struct Case<'a> {
    /// What the table calls it.
    pub name: &'a str,
    /// What its ratio to the first case is to be.
    pub target: f64,
    /// How its clients come.
    pub way: Way,
    /// Process number of its server.
    pub pid: u32,
}

/// What one run of a case gave.
#[derive(Clone, Copy, Debug)]
struct Figure {
    per_second: f64,
    /// Processor time of the server for each certificate, in microseconds.
    cpu: f64,
    /// In milliseconds.
    p50: f64,
    /// In milliseconds.
    p99: f64,
}

/// Measures the cases in turns, round by round, and prints the medians.
///
/// # Panics
///
/// When a server gives anything but certificates, or there is no case or no round.
pub fn run(
    cases: &[Case<'_>],
    requests: &[Vec<u8>],
    clients: usize,
    time: Duration,
    rounds: usize,
) {
    let mut figures = vec![Vec::with_capacity(rounds); cases.len()];
    for _ in 0..rounds {
        for (case, figures) in cases.iter().zip(&mut figures) {
            figures.push(measure(case, requests, clients, time));
        }
    }
    report(cases, &figures);
}

fn measure(case: &Case<'_>, requests: &[Vec<u8>], clients: usize, time: Duration) -> Figure {
    let before = ticks(case.pid);
    let begun = Instant::now();
    let measured = load::run_by(&case.way, requests, clients, WARM_UP, time).expect("certificates");
    let whole = begun.elapsed();
    let taken = Duration::from_millis((ticks(case.pid) - before) * 1000 / TICKS_PER_SECOND);
    let mut latencies = measured.latencies;
    latencies.sort_unstable();
    let at = |share: usize| latencies[(latencies.len() - 1) * share / 100].as_secs_f64() * 1e3;
    let count = f64::from(u32::try_from(latencies.len()).expect("BUG: fewer than 2^32"));
    let per_second = count / time.as_secs_f64();
    // Also what the warm-up took, at the same rate.
    let cpu = taken.as_secs_f64() * 1e6 / (per_second * whole.as_secs_f64());
    Figure { per_second, cpu, p50: at(50), p99: at(99) }
}

fn report(cases: &[Case<'_>], figures: &[Vec<Figure>]) {
    println!(
        "{:32} {:>8} {:>7} {:>7} {:>8} {:>8} {:>8}",
        "case", "cert/s", "ratio", "target", "cpu us", "p50 ms", "p99 ms"
    );
    let first = &figures[0];
    for (Case { name, target, .. }, own) in cases.iter().zip(figures) {
        let of = |it: fn(&Figure) -> f64| median(own.iter().map(it).collect());
        let ratios = own.iter().zip(first).map(|(a, b)| a.per_second / b.per_second);
        println!(
            "{name:32} {:8.0} {:7.3} {target:7.2} {:8.1} {:8.2} {:8.2}",
            of(|it| it.per_second),
            median(ratios.collect()),
            of(|it| it.cpu),
            of(|it| it.p50),
            of(|it| it.p99),
        );
    }
}
