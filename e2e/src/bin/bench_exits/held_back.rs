//! What the server has in memory while a backlog is held back: by a module that is not there, by
//! one that fails every event, and by one that fails most and so fills its shelf.

use std::time::{Duration, Instant};

use exeunt_e2e::ca::{Ca, Served};
use exeunt_e2e::load;
use exeunt_e2e::measure::{Memory, memory, requests};

use crate::issuance::{CLIENTS, with_modules};
use crate::quiet_program;

/// How often the memory is looked at while the backlog grows.
const STEPS: usize = 10;
/// How long a shelf may take to come to rest.
const SETTLED_WITHIN: Duration = Duration::from_mins(10);

/// Name of the case, and its module.
fn cases() -> [(&'static str, String); 4] {
    let quiet = |answer: &str| {
        // Long pauses, so that what is on the shelf stays there for as long as this takes.
        format!(
            "[[exit]]\nname = \"quiet\"\ncommand = ['{}']\nretry_first_s = 3600\n\
             [exit.settings]\nanswer = \"{answer}\"\n",
            quiet_program().display()
        )
    };
    let down = "[[exit]]\nname = \"quiet\"\ncommand = [\"/nonexistent/module\"]\n".to_owned();
    [
        ("accepts all", quiet("accept")),
        ("down", down),
        ("retries all", quiet("retry")),
        ("retries nine of ten", quiet("retry-most")),
    ]
}

pub(crate) fn run(events: usize) {
    println!("\nmemory of the server while {events} certificates are issued over HTTP, MiB");
    println!(
        "{:20} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>8}",
        "the module", "start", "1/10", "5/10", "10/10", "most", "backlog", "shelf"
    );
    for (name, module) in cases() {
        let ca = Ca::init(&[]);
        with_modules(&ca, &module);
        let requests = requests(&ca);
        let server = ca.serve();
        let look = || memory(server.pid());
        let mut seen = vec![look()];
        for _ in 0..STEPS {
            load::issue(server.address(), &ca.token(), &requests, CLIENTS, events / STEPS)
                .expect("answers");
            seen.push(look());
        }
        let (lag, held) = at_rest(&ca);
        let last = look();
        println!(
            "{name:20} {:8.1} {:8.1} {:8.1} {:8.1} {:8.1} {lag:9} {held:8}",
            mib(seen[0]),
            mib(seen[1]),
            mib(seen[STEPS / 2]),
            mib(seen[STEPS]),
            mib(Memory { resident: last.most, ..last }),
        );
        end(server);
    }
}

#[expect(clippy::cast_precision_loss, reason = "memory in KiB is far below 2^52")]
fn mib(memory: Memory) -> f64 {
    memory.resident as f64 / 1024.0
}

/// Events behind the cursor and on the shelf, once they stay the same for two seconds.
fn at_rest(ca: &Ca) -> (u64, u64) {
    const QUIET: Duration = Duration::from_secs(2);
    let begun = Instant::now();
    let mut last = (stands(ca), Instant::now());
    while last.1.elapsed() < QUIET && begun.elapsed() < SETTLED_WITHIN {
        std::thread::sleep(Duration::from_millis(200));
        let now = stands(ca);
        if now != last.0 {
            last = (now, Instant::now());
        }
    }
    last.0
}

fn stands(ca: &Ca) -> (u64, u64) {
    let status = ca.ok(&["exit", "list", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let quiet = &status["exits"][0];
    let number = |name: &str| quiet[name].as_u64().unwrap_or(0);
    let held = number("held_retry") + number("held_behind") + number("held_parked");
    (number("lag"), held)
}

/// The server is killed: what its modules have not heard is not to be waited for.
fn end(server: Served) {
    server.kill();
}
