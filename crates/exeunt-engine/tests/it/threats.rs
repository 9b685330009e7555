//! What those can reach who have more than a requester: the database's administrator above all.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use exeunt_engine::{KeyArchivalSettings, OfficerError, Outcome, Submission, Submitted};
use exeunt_policy::Issuance;
use exeunt_testkit::tools;
use exeunt_types::{Disposition, RequestId, StatusCode};

use crate::support::{
    Ca, DAY_S, House, der_of, officer, plain_request, request, root, submission, template,
};

fn house() -> House {
    let mut house = House::new();
    let mut held = template("held");
    held.issuance = Issuance::Hold;
    house.templates = vec![template("tls"), held];
    house
}

#[track_caller]
fn waiting(ca: &Ca) -> RequestId {
    let asked = Submission { template: Some("held".to_owned()), ..submission(plain_request()) };
    let Submitted { request, outcome } = ca.engine.submit(asked).unwrap();
    assert!(matches!(outcome, Outcome::Pending { .. }));
    request
}

/// Somebody else's hands in the database, by another program.
fn meddle(house: &House, sql: &str) {
    let script = "import sqlite3, sys\nsqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";
    let path = house.folder.path().join("store.db");
    tools::run_ok(tools::python(), ["-c", script, path.to_str().unwrap(), sql], b"");
}

fn hex(octets: &[u8]) -> String {
    let mut digits = String::new();
    for octet in octets {
        write!(digits, "{octet:02x}").unwrap();
    }
    digits
}

/// A request that waits, with another one put in its place in the database, which an officer approves
/// after a new start.
fn approve_exchanged(der: &[u8]) -> (Ca, Result<Submitted, OfficerError>) {
    let house = house();
    let ca = house.open();
    let id = waiting(&ca);
    drop(ca);
    meddle(&house, &format!("UPDATE request SET raw = x'{}' WHERE id = {}", hex(der), id.0));
    let ca = house.open();
    let result = ca.engine.approve(id, &officer());
    (ca, result)
}

#[test]
fn a_request_that_was_exchanged_in_the_database_goes_the_whole_way_again() {
    // One with a key that its maker does not have.
    let mut forged = der_of(plain_request());
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let (ca, result) = approve_exchanged(&forged);
    let err = result.unwrap_err();
    assert_eq!(err.code(), "request-bad-signature", "{err}");
    assert_eq!(ca.row(RequestId(1)).disposition, Disposition::Error);
    assert_eq!(ca.row(RequestId(1)).status, StatusCode::BAD_SIGNATURE);

    // One for what the template does not give.
    let greedy = der_of(&request("ec:P-256", "/CN=host.example/title=Board", &[]));
    let (ca, result) = approve_exchanged(&greedy);
    let outcome = result.unwrap().outcome;
    assert!(matches!(outcome, Outcome::Denied { .. }), "{outcome:?}");
    assert_eq!(ca.row(RequestId(1)).disposition, Disposition::Denied);

    // What the template gives is issued to whoever made it: the officer has to look.
    let (_, result) = approve_exchanged(&der_of(&request("ec:P-256", "/CN=other.example", &[])));
    assert!(matches!(result.unwrap().outcome, Outcome::Issued { .. }));
}

#[test]
fn a_state_that_was_written_into_the_database_makes_no_certificate() {
    let house = house();
    let ca = house.open();
    let id = waiting(&ca);
    drop(ca);
    for state in [Disposition::Issued, Disposition::Active] {
        let sql = format!("UPDATE request SET disposition = {} WHERE id = {}", state.code(), id.0);
        meddle(&house, &sql);
        let ca = house.open();
        ca.engine.recover().unwrap();
        let (_, certificates, _) = ca.counts();
        assert_eq!(certificates, 0, "{state:?}");
        assert_eq!(ca.engine.store().certificate_of(id).unwrap(), None);
    }
}

/// A CA with key archival.
fn with_archival(house: &House) -> Ca {
    let agents = tempfile::tempdir().unwrap();
    let path = |name: &str| agents.path().join(name).to_str().unwrap().to_owned();
    let (key, certificate) = (path("key"), path("pem"));
    let new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=kra"];
    let usage = ["-addext", "extendedKeyUsage=1.3.6.1.4.1.311.21.6"];
    let files = ["-keyout", &key, "-out", &certificate];
    tools::run_ok(tools::openssl(), [&new[..], &usage[..], &files[..]].concat(), b"");
    let settings = KeyArchivalSettings {
        agents: vec![std::fs::read(&certificate).unwrap()],
        agents_used: 1,
        templates: BTreeMap::new(),
    };
    house.open().with_engine(|it| it.with_key_archival(settings).unwrap())
}

#[test]
fn whoever_asks_the_ca_for_many_exchange_certificates_gets_one() {
    let ca = Arc::new(with_archival(&house()));
    let ask =
        |ca: Arc<Ca>| std::thread::spawn(move || ca.engine.exchange_certificate().unwrap().der);
    let threads: Vec<_> = (0..16).map(|_| ask(Arc::clone(&ca))).collect();
    let given: Vec<_> = threads.into_iter().map(|it| it.join().unwrap()).collect();
    assert!(given.iter().all(|it| *it == given[0]));
    assert_eq!(ca.counts().1, 1, "one signature for all of them");
}

#[test]
fn on_the_last_day_of_a_ca_strangers_make_it_sign_no_more_than_before() {
    let mut house = house();
    let now = house.clock.seconds();
    house.certificate = root(&house.key, now - DAY_S, now + DAY_S / 2);
    let ca = with_archival(&house);
    for _ in 0..3 {
        ca.engine.exchange_certificate().unwrap();
    }
    assert_eq!(ca.counts().1, 1);
}
