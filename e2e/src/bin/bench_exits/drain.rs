//! How fast the backlog of an outage drains, as a multiple of the issuance that made it.
//!
//! The outage: a server issues over HTTP while its only module is not there. The end of it: the
//! same log under a dispatcher in this process, which the module is there for. Nothing is issued
//! meanwhile. Beside it stands what the engine alone issues in the same minute, without HTTP.

use std::time::{Duration, Instant};

use exeunt_e2e::ca::Ca;
use exeunt_e2e::inside::Inside;
use exeunt_e2e::load;
use exeunt_e2e::measure::{TICKS_PER_SECOND, median, requests, ticks};

use crate::issuance::{CLIENTS, with_modules};
use crate::{quiet, rate, told};

/// Certificates that the engine issues for comparison.
const ENGINE_ISSUES: usize = 10_000;

/// One round.
#[derive(Clone, Copy, Debug)]
struct Figure {
    http: f64,
    engine: f64,
    /// Events per second through the module.
    drain: f64,
    /// Events per second where the module wants none of them: reading the log and nothing else.
    passed: f64,
    /// Processor time for each event: the dispatcher's, and the module's.
    dispatcher: Duration,
    module: Duration,
}

pub(crate) fn run(events: usize, rounds: usize) {
    println!("\nthe backlog of an outage: {events} events for one module that does nothing");
    let mut homes = Vec::new();
    let mut figures = Vec::new();
    for _ in 0..rounds {
        let (figure, home) = measure(events);
        figures.push(figure);
        homes.push(home);
    }
    let of = |value: fn(&Figure) -> f64| median(figures.iter().map(value).collect());
    println!("{:52} {:>10}", "", "per second");
    println!("{:52} {:10.0}", "issued over HTTP while the module was away", of(|it| it.http));
    println!("{:52} {:10.0}", "issued by the engine alone, 64 in flight", of(|it| it.engine));
    println!("{:52} {:10.0}", "drained through the module", of(|it| it.drain));
    println!("{:52} {:10.0}", "passed over for a module that wants none", of(|it| it.passed));
    println!("drained, of what HTTP issued:       {:6.2} times", of(|it| it.drain / it.http));
    println!("drained, of what the engine issued: {:6.2} times", of(|it| it.drain / it.engine));
    println!(
        "processor time for each event: {:.0} us in the dispatcher, {:.0} us in the module",
        of(|it| it.dispatcher.as_secs_f64() * 1e6),
        of(|it| it.module.as_secs_f64() * 1e6),
    );
}

fn measure(events: usize) -> (Figure, Ca) {
    let ca = Ca::init(&[]);
    with_modules(&ca, "[[exit]]\nname = \"quiet\"\ncommand = [\"/nonexistent/module\"]\n");
    let requests = requests(&ca);

    // 1. The outage.
    let server = ca.serve();
    let took = load::issue(server.address(), &ca.token(), &requests, CLIENTS, events);
    let http = rate(u64::try_from(events).expect("BUG: fewer than 2^64"), took.expect("answers"));
    server.stop();

    // 2. The drain.
    let inside = Inside::open(&ca);
    let before = ticks(std::process::id());
    let dispatcher = inside.dispatcher(vec![quiet(&ca, "quiet")]);
    let (told, time) = told(&dispatcher);
    let own = ticks(std::process::id()) - before;
    let pid = dispatcher.status()[0].pid.expect("a process");
    let module = ticks(pid);
    let _ = dispatcher.stop(crate::PATIENCE);
    let drain = rate(told, time);

    // 3. The same log for a module that wants nothing: what reading alone takes.
    let mut deaf = quiet(&ca, "deaf");
    deaf.events = Some(0);
    let begun = Instant::now();
    let dispatcher = inside.dispatcher(vec![deaf]);
    while dispatcher.status()[0].lag != 0 {
        assert!(begun.elapsed() < crate::PATIENCE, "the log was not read in time");
        std::thread::sleep(crate::POLL);
    }
    let passed = rate(inside.store.head().0, begun.elapsed());
    let _ = dispatcher.stop(crate::PATIENCE);

    // 4. The engine alone.
    let took = inside.issue(&requests, ENGINE_ISSUES);
    let engine = rate(u64::try_from(ENGINE_ISSUES).expect("BUG: fewer than 2^64"), took);

    let each = |ticks: u64| {
        let time = Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND);
        time / u32::try_from(told.max(1)).expect("BUG: fewer than 2^32")
    };
    let (dispatcher, module) = (each(own), each(module));
    (Figure { http, engine, drain, passed, dispatcher, module }, ca)
}
