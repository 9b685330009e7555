//! A started module, a real directory, and what has to be in it in the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use exeunt_exit_directory::DirectoryExit;
pub use exeunt_module_kit::testing::reason;
use exeunt_module_kit::{
    Event, Initialize, Outcome, Properties, Value, exit_event,
    testing::{Host, issued_event},
};
use exeunt_testbed::{
    openldap::{OpenLdap, PEOPLE, PUBLISHER},
    process::POLL,
};
use serde_json::{Value as Json, json};

use crate::minted::{DAY, Leaf, TestCa};

/// How long a test waits for what has to come.
pub const LIMIT: Duration = Duration::from_mins(5);

/// `CT_FLAG_PUBLISH_TO_DS`.
pub const PUBLISH_TO_DS: i32 = 8;

/// What is now for the tests: Unix seconds.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Settings that work with a server, at another address perhaps.
pub fn settings(server: &OpenLdap, url: &str) -> Json {
    json!({
        "servers": [url],
        "ca_file": server.authority().certificate(),
        "bind_dn": PUBLISHER,
        "password_file": server.password_file(),
        "connect_timeout_s": 15,
        "timeout_s": 15,
        "return_after_s": 1,
        "users": {"bases": [PEOPLE], "remove_revoked": true},
    })
}

/// The same with other members.
pub fn with(mut settings: Json, more: &Json) -> Json {
    for (name, value) in more.as_object().unwrap() {
        match (&mut settings[name], value) {
            (Json::Object(there), Json::Object(more)) => there.extend(more.clone()),
            (there, value) => *there = value.clone(),
        }
    }
    settings
}

/// A module that was greeted.
pub fn started(settings: &Json) -> Host {
    let mut host = Host::in_memory(DirectoryExit::default()).unwrap();
    host.initialize(settings).unwrap();
    host
}

/// A module with another deadline.
pub fn started_within(settings: &Json, deadline_ms: u64) -> Host {
    let mut host = Host::in_memory(DirectoryExit::default()).unwrap();
    host.initialize_with(Initialize {
        protocol: 1,
        config: "Test CA".to_owned(),
        module: "under-test".to_owned(),
        settings: settings.as_object().unwrap().clone(),
        window: 64,
        deadline_ms,
        ..Initialize::default()
    })
    .unwrap();
    host
}

/// A certificate for a name that is good for another 90 days.
pub fn certificate(ca: &TestCa, name: &str, serial: u32) -> Vec<u8> {
    ca.issue(&Leaf { name, serial, not_before: now() - DAY, not_after: now() + 90 * DAY })
}

/// An event about somebody's certificate of a template that asks for publication.
pub fn told(event: u32, seq: u64, requester: &str, der: &[u8], ca: &TestCa) -> Event {
    let text = |it: &str| Value::String(it.to_owned());
    let mut told = issued_event(seq, der);
    told.event = event;
    told.request.set("RequesterName", Some(text(requester)));
    told.certificate.set("CertificateTemplate", Some(text("User")));
    told.certificate.set("EnrollmentFlags", Some(Value::Long(PUBLISH_TO_DS)));
    told.system = Arc::new(Properties::from_iter([
        ("CertCount", Value::Long(1)),
        ("RawCACertificate", Value::Binary(ca.der.clone())),
    ]));
    told
}

pub fn issued(seq: u64, requester: &str, der: &[u8], ca: &TestCa) -> Event {
    told(exit_event::CERT_ISSUED, seq, requester, der, ca)
}

/// Delivers as the server does: what is to be retried comes again, in order, until nothing is left.
pub fn deliver(host: &mut Host, events: &[Event]) -> Vec<Outcome> {
    let deadline = Instant::now() + LIMIT;
    let mut outcomes: Vec<Option<Outcome>> = vec![None; events.len()];
    loop {
        let open: Vec<usize> = (0..events.len()).filter(|it| outcomes[*it].is_none()).collect();
        if open.is_empty() {
            return outcomes.into_iter().flatten().collect();
        }
        assert!(Instant::now() < deadline, "{} events are left", open.len());
        let batch: Vec<Event> = open.iter().map(|it| events[*it].clone()).collect();
        for (index, outcome) in open.into_iter().zip(host.notify_all(&batch).unwrap()) {
            match outcome.unwrap() {
                Outcome::Retry { .. } | Outcome::TargetDown { .. } => (),
                other => outcomes[index] = Some(other),
            }
        }
        thread::sleep(POLL);
    }
}

/// Delivers once.
pub fn tell(host: &mut Host, events: &[Event]) -> Vec<Outcome> {
    host.notify_all(events).unwrap().into_iter().map(Result::unwrap).collect()
}

/// Certificates by account.
pub type Holdings = BTreeMap<String, BTreeSet<Vec<u8>>>;

/// A certificate for each of these serial numbers, for people in turn: the events, and what people hold
/// in the end.
pub fn for_people(ca: &TestCa, names: &[String], serials: Range<u32>) -> (Vec<Event>, Holdings) {
    let mut held = Holdings::new();
    let mut events = Vec::new();
    for serial in serials {
        let name = &names[serial as usize % names.len()];
        let der = certificate(ca, name, serial);
        events.push(issued(u64::from(serial), name, &der, ca));
        held.entry(name.clone()).or_default().insert(der);
    }
    (events, held)
}

/// What the people in the directory hold, as `ldapsearch` tells it.
pub fn holdings(server: &OpenLdap) -> Holdings {
    let text = server.search(PEOPLE, "one", &["(userCertificate=*)", "userCertificate"]);
    let mut all = Holdings::new();
    for entry in text.split("\n\n").filter(|it| !it.trim().is_empty()) {
        let account = entry.trim().strip_prefix("dn: uid=").unwrap().split(',').next().unwrap();
        let values = entry.lines().filter_map(|it| it.strip_prefix("userCertificate;binary:: "));
        let values = values.map(|it| STANDARD.decode(it).unwrap()).collect();
        all.insert(account.to_owned(), values);
    }
    all
}

/// All that the directory holds but for certificates.
pub fn rest(server: &OpenLdap) -> Vec<String> {
    let kept = |entry: &String| {
        let lines = entry.lines().filter(|it| !it.starts_with("userCertificate"));
        lines.collect::<Vec<_>>().join("\n")
    };
    server.contents().iter().map(kept).collect()
}

/// Puts a value on an object as somebody else would.
pub fn ldif_value(change: &str, account: &str, der: &[u8]) -> String {
    format!(
        "dn: uid={account},{PEOPLE}\nchangetype: modify\n{change}: userCertificate;binary\n\
         userCertificate;binary:: {}\n\n",
        STANDARD.encode(der)
    )
}

/// What people hold is what was told, and no more; says whose is not.
#[track_caller]
pub fn assert_holdings(server: &OpenLdap, mut expected: Holdings) {
    expected.retain(|_, held| !held.is_empty());
    let found = holdings(server);
    let accounts = found.keys().chain(expected.keys());
    let differing: BTreeSet<&String> =
        accounts.filter(|it| found.get(*it) != expected.get(*it)).collect();
    assert!(differing.is_empty(), "not as told: {differing:?}");
}
