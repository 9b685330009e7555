//! The benchmark of issuance, as a ratio to what the processor can do.
//!
//! `cargo xtask bench issue` runs it. Every figure stands beside the crypto bound of the same
//! moment: one P-256 verification and one P-256 signature, times the cores. A certificate counts
//! when it is durable together with its event; the load generator shares the cores.

use std::fs;
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use exeunt_dispatch::ExitSettings;
use exeunt_e2e::ca::Ca;
use exeunt_e2e::inside::{self, Inside, THREADS_MAX};
use exeunt_e2e::measure::{TICKS_PER_SECOND, crypto_bound, median, requests, ticks};
use exeunt_e2e::{load, program};

/// Options of the benchmark.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Issuance: in the engine, over HTTP, and with a module that is down or slow
    Issue {
        /// Seconds that each case is measured, after a second of warm-up
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// Rounds; medians are quoted
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Only cases whose name contains this
        #[arg(long)]
        only: Option<String>,
    },
}

/// Where the requests go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Engine,
    Http,
}

/// What stands behind the dispatcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Module {
    /// The shipped file module.
    File,
    /// A program that is not there.
    Down,
    /// A module that takes a tenth of a second for each event.
    Slow,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
struct Case {
    name: &'static str,
    path: Path,
    module: Module,
    clients: usize,
}

const CASES: [Case; 8] = [
    Case { name: "engine, 1 client", path: Path::Engine, module: Module::File, clients: 1 },
    Case { name: "engine, 8 clients", path: Path::Engine, module: Module::File, clients: 8 },
    Case { name: "engine, 64 clients", path: Path::Engine, module: Module::File, clients: 64 },
    Case { name: "http, 1 client", path: Path::Http, module: Module::File, clients: 1 },
    Case { name: "http, 8 clients", path: Path::Http, module: Module::File, clients: 8 },
    Case { name: "http, 64 clients", path: Path::Http, module: Module::File, clients: 64 },
    Case { name: "http, 64, module down", path: Path::Http, module: Module::Down, clients: 64 },
    Case { name: "http, 64, module slow", path: Path::Http, module: Module::Slow, clients: 64 },
];

/// What one run of a case gave.
#[derive(Clone, Copy, Debug)]
struct Figure {
    per_second: f64,
    bound: f64,
    /// Processor time of the server's process for each certificate, without its modules.
    cpu: Duration,
    p50: Duration,
    p99: Duration,
}

const WARM_UP: Duration = Duration::from_secs(1);

fn main() {
    let Options { what: What::Issue { seconds, rounds, only } } = Options::parse();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!("issuance on {cores} cores, {rounds} rounds of {seconds} s, medians");
    let cases: Vec<Case> = CASES
        .into_iter()
        .filter(|it| only.as_deref().is_none_or(|only| it.name.contains(only)))
        .collect();
    let mut figures: Vec<Vec<Figure>> = vec![Vec::new(); cases.len()];
    // Removed at the end only: a file system that has just lost a hundred thousand files is slow at
    // making new ones, and the next case would pay for it.
    let mut homes = Vec::new();
    // Round by round, so that all cases see the machine's good and bad minutes alike.
    for _ in 0..rounds {
        for (case, figures) in cases.iter().zip(&mut figures) {
            let (figure, home) = run(*case, Duration::from_secs(seconds), cores);
            figures.push(figure);
            homes.push(home);
        }
    }
    println!(
        "{:24} {:>10} {:>10} {:>7} {:>9} {:>9} {:>9}",
        "case", "cert/s", "bound/s", "ratio", "cpu us", "p50 ms", "p99 ms"
    );
    for (case, figures) in cases.iter().zip(&figures) {
        let figure = |of: fn(&Figure) -> f64| median(figures.iter().map(of).collect());
        println!(
            "{:24} {:10.0} {:10.0} {:7.3} {:9.1} {:9.2} {:9.2}",
            case.name,
            figure(|it| it.per_second),
            figure(|it| it.bound),
            figure(|it| it.per_second / it.bound),
            figure(|it| it.cpu.as_secs_f64() * 1e6),
            figure(|it| it.p50.as_secs_f64() * 1e3),
            figure(|it| it.p99.as_secs_f64() * 1e3),
        );
    }
    compare(&cases, &figures);
}

/// What a module that is down or slow costs: ratio to the same round's figure with a good one.
fn compare(cases: &[Case], figures: &[Vec<Figure>]) {
    let position = |name: &str| cases.iter().position(|it| it.name == name);
    let Some(good) = position("http, 64 clients") else { return };
    for name in ["http, 64, module down", "http, 64, module slow"] {
        let Some(other) = position(name) else { continue };
        let share = |it: &Figure| it.per_second / it.bound;
        let ratios = figures[other].iter().zip(&figures[good]).map(|(a, b)| share(a) / share(b));
        println!("{name}: {:.3} of the figure with a working module", median(ratios.collect()));
    }
}

fn run(case: Case, time: Duration, cores: usize) -> (Figure, Ca) {
    let before = crypto_bound(cores);
    let ca = Ca::init(&[]);
    configure(&ca, case.module);
    let requests = requests(&ca);
    let (mut latencies, cpu) = match case.path {
        Path::Engine => in_engine(&ca, case, &requests, time),
        Path::Http => over_http(&ca, case, &requests, time),
    };
    let after = crypto_bound(cores);
    latencies.sort_unstable();
    let at = |share: usize| latencies[(latencies.len() - 1) * share / 100];
    let count = u32::try_from(latencies.len()).expect("BUG: fewer than 2^32");
    let figure = Figure {
        per_second: f64::from(count) / time.as_secs_f64(),
        bound: f64::midpoint(before, after),
        cpu: cpu / count,
        p50: at(50),
        p99: at(99),
    };
    (figure, ca)
}

fn configure(ca: &Ca, module: Module) {
    match module {
        Module::File => {}
        Module::Down => ca.configure("module = \"file\"", "command = [\"/nonexistent/module\"]"),
        Module::Slow => {
            let command = format!("command = ['{}']", program::built("record-module").display());
            ca.configure("module = \"file\"", &command);
            let path = ca.home().join("exeunt.toml");
            let config = fs::read_to_string(&path).expect("a configuration");
            let end = config.find("[exit.settings]").expect("settings of the module");
            let settings = format!(
                "[exit.settings]\nfile = '{}'\ndelay_ms = 100\n",
                ca.scratch().join("heard").display()
            );
            fs::write(&path, format!("{}{settings}", &config[..end])).expect("a configuration");
        }
    }
}

/// Processor time that a process takes while the case is counted.
fn processor_time(pid: u32, time: Duration) -> JoinHandle<Duration> {
    std::thread::spawn(move || {
        std::thread::sleep(WARM_UP);
        let before = ticks(pid);
        std::thread::sleep(time);
        Duration::from_millis((ticks(pid) - before) * 1000 / TICKS_PER_SECOND)
    })
}

/// Keeps as many submissions in flight as the case has clients, and counts after the warm-up.
fn in_threads<S: FnMut(usize)>(
    case: Case,
    time: Duration,
    submitter: impl Fn(usize) -> S + Sync,
) -> Vec<Duration> {
    let latencies = Mutex::new(Vec::new());
    let start = Instant::now() + WARM_UP;
    let end = start + time;
    let at_once = case.clients.div_ceil(THREADS_MAX);
    std::thread::scope(|scope| {
        for index in 0..case.clients / at_once {
            let (latencies, submitter) = (&latencies, &submitter);
            scope.spawn(move || {
                let mut submit = submitter(index);
                let mut own = Vec::new();
                loop {
                    let sent = Instant::now();
                    if end <= sent {
                        break;
                    }
                    submit(at_once);
                    let now = Instant::now();
                    if start <= sent && now <= end {
                        own.extend(std::iter::repeat_n(now - sent, at_once));
                    }
                }
                latencies.lock().expect("BUG: no submitter panics here").extend(own);
            });
        }
    });
    latencies.into_inner().expect("BUG: no submitter panics here")
}

fn over_http(
    ca: &Ca,
    case: Case,
    requests: &[Vec<u8>],
    time: Duration,
) -> (Vec<Duration>, Duration) {
    let server = ca.serve();
    let token = ca.token();
    let cpu = processor_time(server.pid(), time);
    let measured = load::run(server.address(), &token, requests, case.clients, WARM_UP, time)
        .expect("answers");
    let cpu = cpu.join().expect("BUG: it only reads");
    // The backlog of the module is not part of the figure.
    server.kill();
    (measured.latencies, cpu)
}

/// The same parts that the server puts together, without its doors.
fn in_engine(
    ca: &Ca,
    case: Case,
    requests: &[Vec<u8>],
    time: Duration,
) -> (Vec<Duration>, Duration) {
    let inside = Inside::open(ca);
    let dispatcher = inside.dispatcher(vec![file_module(ca)]);
    let cpu = processor_time(std::process::id(), time);
    let latencies = in_threads(case, time, |index| {
        let inside = &inside;
        move |count: usize| {
            inside.issue_at_once(requests, index, count);
        }
    });
    let cpu = cpu.join().expect("BUG: it only reads");
    let _ = dispatcher.stop(Duration::ZERO);
    (latencies, cpu)
}

fn file_module(ca: &Ca) -> ExitSettings {
    let mut module = inside::exit(ca, "file", program::built("exeunt"), &["run-module", "file"]);
    module.settings.insert("directory".to_owned(), "published".into());
    module
}
