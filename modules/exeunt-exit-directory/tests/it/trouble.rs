//! Servers that are down, slow, full, or end in the middle of a write.

use std::{
    thread,
    time::{Duration, Instant},
};

use exeunt_module_kit::{Event, Outcome};
use exeunt_testbed::{
    openldap::{OpenLdap, Settings},
    proxy::{Fault, Proxy},
};
use serde_json::json;

use crate::{
    fixture::{
        Holdings, assert_holdings, certificate, deliver, holdings, issued, ldif_value, reason,
        rest, settings, started, started_within, tell, with,
    },
    minted::TestCa,
};

/// A directory with people, behind a proxy.
struct Bed {
    server: OpenLdap,
    proxy: Proxy,
    ca: TestCa,
    names: Vec<String>,
}

impl Bed {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let server = OpenLdap::start_with(settings);
        let names: Vec<String> = (0..50).map(|it| format!("user{it}")).collect();
        server.add_persons(names.iter().map(String::as_str));
        let proxy = Proxy::to_port(server.tls_port());
        Self { server, proxy, ca: TestCa::new("Ours"), names }
    }

    fn url(&self) -> String {
        format!("ldaps://localhost:{}", self.proxy.port())
    }

    fn events(&self, from: u32, count: u32) -> (Vec<Event>, Holdings) {
        let mut held = Holdings::new();
        let mut events = Vec::new();
        for serial in from..from + count {
            let name = &self.names[serial as usize % self.names.len()];
            let der = certificate(&self.ca, name, serial);
            events.push(issued(u64::from(serial), name, &der, &self.ca));
            held.entry(name.clone()).or_default().insert(der);
        }
        (events, held)
    }
}

fn all_wait(outcomes: &[Outcome]) {
    for outcome in outcomes {
        assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
    }
}

#[test]
fn a_server_that_is_down_holds_events_back_and_parks_none() {
    let mut bed = Bed::new();
    let (events, expected) = bed.events(2, 200);
    let mut host = started(&settings(&bed.server, &bed.url()));
    bed.proxy.set(Fault::Refuse);
    all_wait(&tell(&mut host, &events[..100]));
    bed.proxy.set(Fault::Nothing);
    let outcomes = deliver(&mut host, &events);
    assert!(outcomes.iter().all(|it| *it == Outcome::Accept));
    // Down again while a connection is there.
    bed.server.stop();
    let (more, held) = bed.events(1000, 50);
    all_wait(&tell(&mut host, &more));
    bed.server.start_again();
    deliver(&mut host, &more);
    let mut all = expected;
    for (name, held) in held {
        all.entry(name).or_default().extend(held);
    }
    assert_holdings(&bed.server, all);
}

#[test]
fn a_silent_server_costs_no_more_than_the_deadline() {
    let mut bed = Bed::new();
    let (events, _) = bed.events(2, 64);
    let waiting = with(
        settings(&bed.server, &bed.url()),
        &json!({"connect_timeout_s": 100, "timeout_s": 100}),
    );
    let mut host = started_within(&waiting, 2_000);
    assert_eq!(tell(&mut host, &events[..1]), [Outcome::Accept]);
    bed.proxy.set(Fault::Silence);
    for _ in 0..2 {
        let begun = Instant::now();
        let outcomes = tell(&mut host, &events[1..2]);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        all_wait(&outcomes);
    }
    bed.proxy.set(Fault::Nothing);
    deliver(&mut host, &events);
    // The server hears nothing more of a connection that was given up, but holds everything.
    assert_eq!(holdings(&bed.server).len(), bed.names.len());
}

#[test]
fn answers_and_questions_that_are_cut_off_anywhere_lose_nothing() {
    let mut bed = Bed::new();
    let before = rest(&bed.server);
    let (events, expected) = bed.events(2, 120);
    let mut host = started(&settings(&bed.server, &bed.url()));
    for (round, events) in events.chunks(20).enumerate() {
        let bytes = 1500 + 4700 * u64::try_from(round).unwrap();
        let fault = match round % 2 {
            0 => Fault::CutToClient(bytes),
            _ => Fault::CutToServer(bytes),
        };
        bed.proxy.set(fault);
        tell(&mut host, events);
        bed.proxy.set(Fault::Nothing);
        bed.proxy.cut();
    }
    for outcome in deliver(&mut host, &events) {
        assert_eq!(outcome, Outcome::Accept);
    }
    assert_holdings(&bed.server, expected);
    assert_eq!(rest(&bed.server), before);
}

#[test]
fn a_slow_network_makes_it_slow_and_nothing_else() {
    let mut bed = Bed::new();
    let (events, expected) = bed.events(2, 60);
    bed.proxy.set(Fault::Delay(Duration::from_millis(40)));
    let mut host = started(&settings(&bed.server, &bed.url()));
    for outcome in deliver(&mut host, &events) {
        assert_eq!(outcome, Outcome::Accept);
    }
    assert_holdings(&bed.server, expected);
}

#[test]
fn a_server_that_is_killed_in_the_middle_of_writes_has_everything_in_the_end() {
    let mut bed = Bed::new();
    let (events, expected) = bed.events(2, 600);
    let mut host = started(&settings(&bed.server, &bed.url()));
    let mut outcomes = Vec::new();
    thread::scope(|scope| {
        let (host, events) = (&mut host, &events);
        let told = scope.spawn(move || deliver(host, events));
        for _ in 0..3 {
            // Somewhere in the middle: when some more have come.
            let held =
                holdings(&bed.server).values().map(std::collections::BTreeSet::len).sum::<usize>();
            let enough = || {
                let now: usize =
                    holdings(&bed.server).values().map(std::collections::BTreeSet::len).sum();
                held + 20 < now || told.is_finished()
            };
            exeunt_testbed::process::wait_for("some more", crate::fixture::LIMIT, enough);
            bed.server.kill();
            bed.server.start_again();
        }
        outcomes = told.join().unwrap();
    });
    assert!(outcomes.iter().all(|it| *it == Outcome::Accept));
    assert_holdings(&bed.server, expected);
}

#[test]
fn a_full_server_holds_events_back_until_there_is_room() {
    let mut bed = Bed::with(Settings { size_bytes_max: 400 * 1024, ..Settings::default() });
    let mut host = started(&settings(&bed.server, &bed.url()));
    let (events, expected) = bed.events(2, 600);
    let outcomes = tell(&mut host, &events);
    let full = outcomes.iter().find(|it| **it != Outcome::Accept).expect("it is full");
    assert!(matches!(full, Outcome::Retry { .. }), "{full:?}");
    assert!(reason(full).starts_with("directory-answer: "), "{full:?}");
    for (event, outcome) in events.iter().zip(&outcomes) {
        if *outcome == Outcome::Accept {
            let name = event.request.string("RequesterName").unwrap();
            let der = event.certificate.binary("RawCertificate").unwrap();
            assert!(holdings_of(&bed.server, name).contains(&der.to_vec()));
        }
    }
    assert!(holdings(&bed.server).iter().all(|(name, held)| held.is_subset(&expected[name])));
    bed.server.start_again_larger(64 << 20);
    assert!(deliver(&mut host, &events).iter().all(|it| *it == Outcome::Accept));
    assert_holdings(&bed.server, expected);
}

fn holdings_of(server: &OpenLdap, name: &str) -> Vec<Vec<u8>> {
    server.values(
        &format!("uid={name},{}", exeunt_testbed::openldap::PEOPLE),
        "userCertificate;binary",
    )
}

#[test]
fn another_writer_at_the_same_time_loses_nothing_and_neither_do_we() {
    let bed = Bed::new();
    let (events, mut expected) = bed.events(2, 500);
    let other = TestCa::new("Others");
    let theirs: Vec<(String, Vec<u8>)> = (0..100_u32)
        .map(|it| {
            let name = bed.names[it as usize % bed.names.len()].clone();
            (name.clone(), certificate(&other, &name, it + 2))
        })
        .collect();
    let mut host = started(&settings(&bed.server, &bed.url()));
    thread::scope(|scope| {
        scope.spawn(|| {
            for part in theirs.chunks(10) {
                let ldif: Vec<String> =
                    part.iter().map(|(name, der)| ldif_value("add", name, der)).collect();
                bed.server.admin_ldif(&ldif.concat());
                // Half of them leave again.
                let ldif: Vec<String> = part
                    .iter()
                    .step_by(2)
                    .map(|(name, der)| ldif_value("delete", name, der))
                    .collect();
                bed.server.admin_ldif(&ldif.concat());
            }
        });
        for outcome in deliver(&mut host, &events) {
            assert_eq!(outcome, Outcome::Accept);
        }
    });
    for (index, (name, der)) in theirs.into_iter().enumerate() {
        if index % 2 == 1 {
            expected.entry(name).or_default().insert(der);
        }
    }
    assert_holdings(&bed.server, expected);
}

#[test]
fn the_next_server_is_asked_while_the_first_is_down_and_the_first_again_when_it_is_back() {
    let mut bed = Bed::new();
    let second = Proxy::to_port(bed.server.tls_port());
    let both = json!({"servers": [bed.url(), format!("ldaps://localhost:{}", second.port())]});
    let mut host = started(&with(settings(&bed.server, &bed.url()), &both));
    let (events, expected) = bed.events(2, 40);
    assert_eq!(tell(&mut host, &events[..1]), [Outcome::Accept]);
    assert_eq!((bed.proxy.connections(), second.connections()), (1, 0));
    bed.proxy.set(Fault::Refuse);
    // The very delivery that finds the first one gone goes to the second one.
    for outcome in tell(&mut host, &events[1..20]) {
        assert_eq!(outcome, Outcome::Accept);
    }
    assert_eq!(second.connections(), 1);
    bed.proxy.set(Fault::Nothing);
    let deadline = Instant::now() + crate::fixture::LIMIT;
    let before = bed.proxy.connections();
    while bed.proxy.connections() == before {
        assert!(Instant::now() < deadline, "the first server is not asked again");
        deliver(&mut host, &events[20..21]);
    }
    for outcome in deliver(&mut host, &events) {
        assert_eq!(outcome, Outcome::Accept);
    }
    assert_holdings(&bed.server, expected);
}

#[test]
fn a_connection_that_was_ended_while_it_was_idle_is_nothing_against_its_server() {
    let bed = Bed::new();
    let second = Proxy::to_port(bed.server.tls_port());
    let both = json!({"servers": [bed.url(), format!("ldaps://localhost:{}", second.port())]});
    let mut host = started(&with(settings(&bed.server, &bed.url()), &both));
    let (events, expected) = bed.events(2, 5);
    for event in &events {
        assert_eq!(tell(&mut host, std::slice::from_ref(event)), [Outcome::Accept]);
        bed.proxy.cut();
    }
    assert_eq!((bed.proxy.connections(), second.connections()), (5, 0));
    assert_holdings(&bed.server, expected);
}

#[test]
fn a_base_that_is_not_there_parks_nothing_and_is_named() {
    let server = OpenLdap::start();
    server.add_persons(["alice"]);
    let ca = TestCa::new("Ours");
    let event = || issued(1, "alice", &certificate(&ca, "alice", 2), &ca);
    for base in ["ou=poeple,dc=example,dc=test", "dc=elsewhere", "people"] {
        let wrong = json!({"users": {"bases": [base]}});
        let mut host = started(&with(settings(&server, &server.tls_url()), &wrong));
        let outcome = tell(&mut host, &[event()]).remove(0);
        assert!(matches!(outcome, Outcome::Retry { .. }), "{base}: {outcome:?}");
        let expected = format!("directory-no-base: users.bases: {base:?} is not there");
        assert!(reason(&outcome).starts_with(&expected), "{outcome:?}");
    }
    let mut host = started(&settings(&server, &server.tls_url()));
    assert_eq!(tell(&mut host, &[event()]), [Outcome::Accept]);
}
