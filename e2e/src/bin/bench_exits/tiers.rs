//! Events per second through modules that do nothing, in each tier.
//!
//! The log is filled before; then so many modules are told all of it at once. The dispatcher runs
//! in this process, with nothing else to do.

use std::path::{Path, PathBuf};
use std::process::Command;

use exeunt_dispatch::ExitSettings;
use exeunt_e2e::ca::Ca;
use exeunt_e2e::inside::{self, Inside};
use exeunt_e2e::measure::{median, requests};
use exeunt_e2e::program;

use crate::{quiet, rate, told};

/// How many modules there are at once.
const COUNTS: [usize; 3] = [1, 4, 16];

/// The class that `quiet.cpp` has.
const CLASS: &str = "Exeunt.Bench.Quiet";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tier {
    Process,
    Library,
}

/// Figures of one case: a tier and a number of modules.
type Figures = Vec<((Tier, usize), Vec<f64>)>;

pub(crate) fn run(events: usize, rounds: usize) {
    println!("\ntiers: a backlog of {events} events told to modules that do nothing");
    let ca = Ca::init(&[]);
    let library = match compile(ca.scratch()) {
        Ok(library) => Some(library),
        Err(why) => {
            println!("the library tier is not measured: {why}");
            None
        }
    };
    let inside = Inside::open(&ca);
    let _ = inside.issue(&requests(&ca), events);
    let tiers: &[Tier] =
        if library.is_some() { &[Tier::Process, Tier::Library] } else { &[Tier::Process] };
    let cases = COUNTS.into_iter().flat_map(|count| tiers.iter().map(move |it| (*it, count)));
    let mut figures: Figures = cases.map(|case| (case, Vec::new())).collect();
    for round in 0..rounds {
        for ((tier, count), figures) in &mut figures {
            let exit = |index: usize| {
                let name = format!("{tier:?}-{count}-{round}-{index}").to_lowercase();
                match (&library, *tier) {
                    (Some(library), Tier::Library) => in_library(&ca, &name, library),
                    _ => quiet(&ca, &name),
                }
            };
            let dispatcher = inside.dispatcher((0..*count).map(exit).collect());
            let (count, time) = told(&dispatcher);
            let _ = dispatcher.stop(crate::PATIENCE);
            figures.push(rate(count, time));
        }
    }
    print(&figures);
}

fn print(figures: &Figures) {
    println!("{:10} {:>8} {:>12} {:>14} {:>8}", "tier", "modules", "events/s", "each", "ratio");
    for ((tier, count), rates) in figures {
        let process = figures.iter().find(|(case, _)| *case == (Tier::Process, *count));
        let process = &process.expect("BUG: every count has its process tier").1;
        let ratios = rates.iter().zip(process).map(|(a, b)| a / b).collect();
        let each = u32::try_from(*count).expect("BUG: a few modules");
        let all = median(rates.clone());
        println!(
            "{:10} {count:8} {all:12.0} {:14.0} {:8.3}",
            format!("{tier:?}").to_lowercase(),
            all / f64::from(each),
            median(ratios),
        );
    }
}

/// The module in C++, compiled for the machine it runs on, and the runner for it.
fn compile(folder: &Path) -> Result<PathBuf, String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = folder.join("libquiet.so");
    let output = Command::new("c++")
        .args(["-std=c++17", "-O2", "-fPIC", "-shared", "-I"])
        .arg(here.join("../contract/exeunt-com/include"))
        .arg(here.join("src/bin/bench_exits/quiet.cpp"))
        .arg("-o")
        .arg(&library)
        .output()
        .map_err(|err| format!("c++: {err}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(library)
}

fn in_library(ca: &Ca, name: &str, library: &Path) -> ExitSettings {
    let library = library.to_str().expect("a path in UTF-8");
    let args = ["--library", library, "--class", CLASS];
    inside::exit(ca, name, program::built("exeunt-runner"), &args)
}
