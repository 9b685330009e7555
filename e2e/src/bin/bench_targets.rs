//! The benchmark of targets that fail: how fast the CA issues while what a module publishes to refuses,
//! keeps silent or is slow.
//!
//! `cargo xtask bench targets` runs it. Every figure is of a fresh CA with the one module, over HTTP from
//! 64 connections on the same cores, as in the benchmark of issuance; a proxy between module and
//! target is the network. Each round goes through all states of a target, so that what is compared was
//! measured seconds apart.

use std::fs;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use exeunt_e2e::ca::Ca;
use exeunt_e2e::measure::{TICKS_PER_SECOND, children, median, ticks, ticks_if_there};
use exeunt_e2e::targets::{Kind, PROGRAM, Target, write_program};
use exeunt_e2e::{load, wire};
use exeunt_testbed::proxy::{Fault, Proxy};
use exeunt_testkit::requests::openssl_request;
use exeunt_x509::parse_request;

/// Options of the benchmark.
#[derive(Debug, Parser)]
struct Options {
    /// Milliseconds that each figure is measured, after half a second of warm-up
    #[arg(long, default_value_t = 1500)]
    milliseconds: u64,
    /// Rounds; medians are quoted
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these targets
    #[arg(long, value_enum)]
    only: Vec<Kind>,
}

/// One for each shipped module.
const KINDS: [Kind; 9] = [
    Kind::Openldap,
    Kind::File,
    Kind::Mail,
    Kind::Webhook,
    Kind::Nats,
    Kind::Sql,
    Kind::Object,
    Kind::Syslog,
    Kind::Command,
];

/// How a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is no module.
    Absent,
    /// It takes what comes.
    Well,
    /// Nobody listens; a file stands where the folder was; the program says "try again".
    Refusing,
    /// Connections are accepted, and nothing is ever answered; the program does not end.
    Silent,
    /// Everything takes [`DELAY`] each way; the program takes it once.
    Slow,
}

const STATES: [State; 5] =
    [State::Absent, State::Well, State::Refusing, State::Silent, State::Slow];

/// What waits of a slow target are like.
const DELAY: Duration = Duration::from_millis(100);

/// What a ratio is to be at least.
const GOAL: f64 = 0.95;

/// Connections of the load generator, as in the benchmark of issuance.
const CLIENTS: usize = 64;
const WARM_UP: Duration = Duration::from_millis(500);

/// Hosts that certificates are for, and people in the directory: nobody shall have so many that a limit
/// is reached.
const HOSTS: usize = 500;

fn main() {
    let Options { milliseconds, rounds, only } = Options::parse();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let time = Duration::from_millis(milliseconds);
    println!(
        "issuance over HTTP while a target fails, {cores} cores, {CLIENTS} clients, {rounds} rounds of \
         {milliseconds} ms, medians"
    );
    println!("certificates per second, and ratios within a round");
    println!(
        "{:<9} {:>8} {:>8} | {:>23} | {:>23}",
        "", "", "", "to no module", "to a target that is well"
    );
    println!(
        "{:<9} {:>8} {:>8} | {:>7} {:>7} {:>7} | {:>7} {:>7} {:>7}",
        "target", "absent", "well", "refuse", "silent", "slow", "refuse", "silent", "slow"
    );
    let names: Vec<String> = (0..HOSTS).map(|it| format!("h{it}.example.test")).collect();
    let requests = requests(&names);
    let mut all = Vec::new();
    let mut processor_time = Vec::new();
    // Removed at the end only: a file system that has just lost much is slow for a while.
    let mut homes = Vec::new();
    for kind in KINDS.into_iter().filter(|it| only.is_empty() || only.contains(it)) {
        let Some(mut bench) = Bench::start(kind, &names) else { continue };
        if homes.is_empty() {
            // The very first one pays for what everybody needs to be in memory.
            homes.extend(bench.issued(State::Absent, &requests, time).map(|it| it.2));
        }
        let (mut figures, mut times): (Vec<Row>, Vec<Row>) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let (mut row, mut time_row): (Row, Row) = ([None; 5], [None; 5]);
            for step in 0..STATES.len() {
                // Every second round goes backwards.
                let place = if round % 2 == 0 { step } else { STATES.len() - 1 - step };
                if let Some((rate, cpu, ca)) = bench.issued(STATES[place], &requests, time) {
                    (row[place], time_row[place]) = (Some(rate), Some(cpu));
                    homes.push(ca);
                }
            }
            figures.push(row);
            times.push(time_row);
        }
        processor_time.push((kind.word(), times));
        print_row(&kind.word(), &figures);
        all.extend(figures);
    }
    if only.len() != 1 {
        print_row("all", &all);
    }
    println!("\nprocessor time of the server and its module for each certificate, microseconds");
    println!(
        "{:<9} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "target", "absent", "well", "refuse", "silent", "slow"
    );
    for (name, times) in processor_time {
        print!("{name:<9}");
        for place in 0..STATES.len() {
            print!(" {:>8}", whole(of(&times, place)));
        }
        println!();
    }
}

/// A figure for each of [`STATES`], where it could be had.
type Row = [Option<f64>; STATES.len()];

fn of(rounds: &[Row], place: usize) -> Option<f64> {
    let values: Vec<f64> = rounds.iter().filter_map(|it| it[place]).collect();
    (!values.is_empty()).then(|| median(values))
}

fn whole(it: Option<f64>) -> String {
    it.map_or("-".to_owned(), |it| format!("{it:.0}"))
}

/// The medians of some rounds.
fn print_row(name: &str, rounds: &[Row]) {
    let ratio = |place: usize, to: usize| -> Option<f64> {
        let ratio = |it: &Row| Some(it[place]? / it[to]?);
        let values: Vec<f64> = rounds.iter().filter_map(ratio).collect();
        (!values.is_empty()).then(|| median(values))
    };
    let short = |it: Option<f64>| match it {
        None => "-".to_owned(),
        Some(it) if it < GOAL => format!("{it:.3}!"),
        Some(it) => format!("{it:.3}"),
    };
    print!("{name:<9} {:>8} {:>8}", whole(of(rounds, 0)), whole(of(rounds, 1)));
    for to in 0..2 {
        print!(" |");
        for place in 2..STATES.len() {
            print!(" {:>7}", short(ratio(place, to)));
        }
    }
    println!();
}

/// A target, and the way to it.
struct Bench {
    kind: Kind,
    target: Target,
    proxy: Option<Proxy>,
}

impl Bench {
    fn start(kind: Kind, people: &[String]) -> Option<Self> {
        let target = kind.start(people)?;
        let proxy = target.port().map(Proxy::to_port);
        let bench = Self { kind, target, proxy };
        if kind == Kind::Sql {
            let ca = ca();
            let server = ca.serve();
            bench.target.add_to(&ca, "measured", bench.target.port());
            ca.ok(&["exit", "install", "measured", "--yes"]);
            server.stop();
        }
        Some(bench)
    }

    /// Certificates per second of a fresh CA while the target is so, and microseconds of processor time
    /// for each; nothing where it cannot be.
    fn issued(
        &mut self,
        state: State,
        requests: &[Vec<u8>],
        time: Duration,
    ) -> Option<(f64, f64, Ca)> {
        let ca = ca();
        let server = ca.serve();
        if state != State::Absent {
            if !self.set(State::Well) {
                return None;
            }
            let port = self.proxy.as_ref().map(Proxy::port);
            self.target.add_to(&ca, "measured", port);
            if !self.set(state) {
                return None;
            }
        }
        let (address, token) = (server.address(), ca.token());
        let messages = requests.iter().map(|it| wire::submission(address, &token, it)).collect();
        let pid = server.pid();
        let spent = std::thread::spawn(move || {
            std::thread::sleep(WARM_UP);
            let before = ticks_of_all(pid);
            std::thread::sleep(time);
            // A process that has gone for good in between takes its time along, but for the server's own.
            ticks_of_all(pid).saturating_sub(before)
        });
        let count = load::ask_for(address, &Rc::new(messages), CLIENTS, 1, (WARM_UP, time));
        let count = count.expect("certificates");
        let spent = spent.join().expect("BUG: it only reads") * 1000 / TICKS_PER_SECOND;
        // What the module has not heard yet is not part of the figure.
        server.kill();
        let cpu_us = 1e6 / rate(count, Duration::from_millis(spent));
        Some((rate(count, time), cpu_us, ca))
    }

    /// Makes the target so; whether it can be.
    fn set(&mut self, state: State) -> bool {
        if let Some(proxy) = &mut self.proxy {
            proxy.set(match state {
                State::Absent | State::Well => Fault::Nothing,
                State::Refusing => Fault::Refuse,
                State::Silent => Fault::Silence,
                State::Slow => Fault::Delay(DELAY),
            });
            return true;
        }
        match (&self.target, state) {
            (Target::File(folder), State::Well | State::Refusing) => {
                let published = folder.path().join("published");
                let aside = folder.path().join(format!("aside-{}", fastrand::u64(..)));
                if published.exists() {
                    fs::rename(&published, aside).expect("the folder out of the way");
                }
                if state == State::Refusing {
                    fs::write(&published, "no folder").expect("a file");
                }
                true
            }
            // A folder that keeps silent or is slow is one of the network, which cannot be had here.
            (Target::File(_), _) => false,
            (Target::Command(folder), state) => {
                let does = match state {
                    State::Absent | State::Well => "exit 0",
                    State::Refusing => "exit 75",
                    State::Silent => "exec sleep 600",
                    State::Slow => "exec sleep 0.1",
                };
                write_program(&folder.path().join(PROGRAM), does);
                true
            }
            _ => unreachable!("BUG: {:?} has a port", self.kind),
        }
    }
}

/// Ticks of a process and of those that it has started.
fn ticks_of_all(pid: u32) -> u64 {
    ticks(pid) + children(pid).into_iter().filter_map(ticks_if_there).sum::<u64>()
}

/// A CA whose own module is off.
fn ca() -> Ca {
    let ca = Ca::init(&[]);
    ca.configure("module = \"file\"", "module = \"file\"\nenabled = false");
    ca
}

/// Requests, each for another host.
fn requests(names: &[String]) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    let make = |host: &String| {
        let path = openssl_request("ec:P-256", &format!("/CN={host}"), &[host], folder.path());
        let pem = fs::read(path).expect("a request");
        parse_request(&pem).expect("a request").der().to_vec()
    };
    names.iter().map(make).collect()
}

/// How many per second.
#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
