//! Several servers, a full one, and one that ends idle connections.

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
        Holdings, assert_holdings, certificate, deliver, for_people, holdings, issued, reason,
        settings, started, tell, with,
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
        for_people(&self.ca, &self.names, from..from + count)
    }
}

#[test]
fn a_full_server_holds_events_back_until_there_is_room() {
    let mut bed = Bed::with(Settings { size_bytes_max: 400 * 1024, ..Settings::default() });
    let mut host = started(&settings(&bed.server, &bed.url()));
    let (events, expected) = bed.events(2, 600);
    let outcomes = tell(&mut host, &events);
    let full = outcomes.iter().find(|it| **it != Outcome::Accept).expect("it is full");
    assert!(matches!(full, Outcome::Retry { .. } | Outcome::TargetDown { .. }), "{full:?}");
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
        // The end of the connection has to reach the module.
        thread::sleep(Duration::from_millis(100));
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
        assert!(matches!(outcome, Outcome::TargetDown { .. }), "{base}: {outcome:?}");
        let expected = format!("directory-no-base: users.bases: {base:?} is not there");
        assert!(reason(&outcome).starts_with(&expected), "{outcome:?}");
    }
    let mut host = started(&settings(&server, &server.tls_url()));
    assert_eq!(tell(&mut host, &[event()]), [Outcome::Accept]);
}
