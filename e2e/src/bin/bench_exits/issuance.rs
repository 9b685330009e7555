//! What modules cost issuance: certificates per second over HTTP with 0, 1, 4 and 10 modules that do
//! nothing, each told of everything.

use std::fs;
use std::time::Duration;

use exeunt_e2e::ca::Ca;
use exeunt_e2e::load;
use exeunt_e2e::measure::{crypto_bound, median, requests};

use crate::{quiet_program, rate};

const COUNTS: [u32; 4] = [0, 1, 4, 10];
/// Connections of the load generator, as in the benchmark of issuance.
pub(crate) const CLIENTS: usize = 64;
const WARM_UP: Duration = Duration::from_secs(1);

pub(crate) fn run(time: Duration, rounds: usize, cores: usize) {
    println!(
        "\nissuance over HTTP, {CLIENTS} clients on the same cores, {} s for each case",
        time.as_secs()
    );
    let mut figures = COUNTS.map(|count| (count, Vec::new()));
    // Removed at the end only: a file system that has just lost much is slow for a while.
    let mut homes = Vec::new();
    for round in 0..rounds {
        // Every second round goes backwards, so that a machine that grows tired blames nobody.
        let order: Vec<usize> = if round % 2 == 0 {
            (0..COUNTS.len()).collect()
        } else {
            (0..COUNTS.len()).rev().collect()
        };
        for index in order {
            let (count, rates) = &mut figures[index];
            let before = crypto_bound(cores);
            let (per_second, home) = measure(*count, time);
            let bound = f64::midpoint(before, crypto_bound(cores));
            rates.push((per_second, per_second / bound));
            homes.push(home);
        }
    }
    println!(
        "{:>8} {:>10} {:>9} {:>8} {:>14}",
        "modules", "cert/s", "of bound", "ratio", "cost of each"
    );
    let none = figures[0].1.clone();
    for (count, rates) in &figures {
        // Of the bound of the same moment, so that a neighbour on the machine costs no module.
        let ratios: Vec<f64> =
            rates.iter().zip(&none).map(|((_, ours), (_, none))| ours / none).collect();
        let each = ratios.iter().map(|it| (1.0 - it) / f64::from((*count).max(1))).collect();
        println!(
            "{count:8} {:10.0} {:9.3} {:8.3} {:12.2} %",
            median(rates.iter().map(|it| it.0).collect()),
            median(rates.iter().map(|it| it.1).collect()),
            median(ratios),
            100.0 * median(each)
        );
    }
}

fn measure(count: u32, time: Duration) -> (f64, Ca) {
    let ca = Ca::init(&[]);
    let modules: Vec<String> = (0..count)
        .map(|it| {
            format!(
                "[[exit]]\nname = \"quiet-{it}\"\ncommand = ['{}']\n",
                quiet_program().display()
            )
        })
        .collect();
    with_modules(&ca, &modules.concat());
    let requests = requests(&ca);
    let server = ca.serve();
    let measured = load::run(server.address(), &ca.token(), &requests, CLIENTS, WARM_UP, time)
        .expect("answers");
    // What the modules have not heard yet is not part of the figure.
    server.kill();
    let count = u64::try_from(measured.latencies.len()).expect("BUG: fewer than 2^64");
    (rate(count, time), ca)
}

/// The fresh configuration with these modules in the place of its own.
pub(crate) fn with_modules(ca: &Ca, modules: &str) {
    let path = ca.home().join("exeunt.toml");
    let config = fs::read_to_string(&path).expect("a configuration");
    let end = config.find("[[exit]]").expect("the module of a fresh configuration");
    fs::write(&path, format!("{}{modules}", &config[..end])).expect("writing the configuration");
}
