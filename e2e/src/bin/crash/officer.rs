//! The officer of the crash test: approves, denies, revokes, releases and has lists made, by the
//! command line, until the server is gone; and what was confirmed to that officer is looked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::sync::Mutex;

use exeunt_e2e::ca::{Ca, text};
use exeunt_store::Store;
use exeunt_types::{CrlKind, CrlNumber, Disposition, RequestId, RevocationReason, Serial};
use exeunt_x509::parse_crl;
use fastrand::Rng;
use serde_json::Value;

use super::{PAGE, Received};

/// Template whose requests wait.
pub(crate) const HELD: &str = "held";

/// What was confirmed. What was under way when the server died may have happened or not: the next
/// confirmation for the same thing settles it.
#[derive(Debug, Default)]
pub(crate) struct Confirmed {
    certificates: BTreeMap<Serial, Option<Disposition>>,
    requests: BTreeMap<u64, Option<Disposition>>,
    lists: u64,
    count: usize,
}

impl Confirmed {
    /// Acts until the server is gone.
    pub(crate) fn act(&mut self, ca: &Ca, request: &str, received: &Mutex<Received>, mut rng: Rng) {
        loop {
            let went_on = match rng.u8(..8) {
                0 => self.publish(ca),
                1 | 2 => self.decide(ca, request, rng.bool()),
                choice => match any(received, &mut rng) {
                    Some(serial) => self.revoke(ca, serial, choice),
                    None => true,
                },
            };
            if !went_on {
                return;
            }
        }
    }

    fn publish(&mut self, ca: &Ca) -> bool {
        let Some(made) = order(ca, &["crl", "publish"]) else { return false };
        let number = made["crls"][0]["number"].as_u64().expect("a number");
        assert!(self.lists < number, "list {number} came after list {}", self.lists);
        self.lists = number;
        self.count += 1;
        true
    }

    /// Hands in a request that waits, and decides on it.
    fn decide(&mut self, ca: &Ca, request: &str, approve: bool) -> bool {
        let output = ca.run(&["submit", request, "--template", HELD, "--json"]);
        let Ok(asked) = serde_json::from_slice::<Value>(&output.stdout) else { return false };
        let id = asked["request_id"].as_u64().expect("a number");
        self.requests.insert(id, None);
        let word = if approve { "approve" } else { "deny" };
        let Some(_) = order(ca, &["request", word, &id.to_string()]) else { return false };
        let state = if approve { Disposition::Issued } else { Disposition::Denied };
        self.requests.insert(id, Some(state));
        self.count += 1;
        true
    }

    fn revoke(&mut self, ca: &Ca, serial: Serial, choice: u8) -> bool {
        let name = serial.to_string();
        let before = self.certificates.insert(serial, None).flatten();
        let (args, after) = match choice {
            3 | 4 => {
                (vec!["cert", "revoke", &name, "--reason", "superseded"], Disposition::Revoked)
            }
            5 => (vec!["cert", "unrevoke", &name], Disposition::Issued),
            _ => (
                vec!["cert", "revoke", &name, "--reason", "certificate-hold"],
                Disposition::Revoked,
            ),
        };
        let output = ca.run(&[&args[..], &["--json"]].concat());
        let refused = text(&output.stderr);
        let refused = ["hold-of-revoked", "not-on-hold"].iter().any(|it| refused.contains(it));
        match (output.status.success(), refused) {
            (true, _) => self.certificates.insert(serial, Some(after)),
            // It is as it was; if that was known, it still is.
            (false, true) => self.certificates.insert(serial, before),
            (false, false) => return false,
        };
        self.count += 1;
        true
    }

    /// What was confirmed is so in the store, and the lists that were made are there and in order.
    pub(crate) fn check(&self, ca: &Ca, store: &Store) -> usize {
        for (id, expected) in &self.requests {
            let row = store.request(RequestId(*id)).expect("a request").expect("its row");
            if let Some(expected) = expected {
                assert_eq!(row.disposition, *expected, "request {id}");
            }
        }
        for (serial, expected) in &self.certificates {
            let row = store.certificate(serial).expect("a certificate").expect("its row");
            let row = store.request(row.request).expect("a request").expect("its row");
            if let Some(expected) = expected {
                assert_eq!(row.disposition, *expected, "certificate {serial}");
            }
        }
        let mut before: Option<CrlNumber> = None;
        loop {
            let page = store.crls(before, PAGE).expect("revocation lists");
            let Some(last) = page.last() else { break };
            for record in &page {
                assert!(before.is_none_or(|it| record.number < it), "{record:?} is out of order");
                let path = ca.home().join("crls").join(record.file_name());
                let octets = fs::metadata(&path).expect("the list's file").len();
                assert_eq!(octets, record.length, "{} is cut", path.display());
            }
            before = Some(last.number);
        }
        self.count
    }
}

/// One of the certificates that clients have.
fn any(received: &Mutex<Received>, rng: &mut Rng) -> Option<Serial> {
    let received = received.lock().expect("BUG: no client panics");
    received.keys().nth(rng.usize(..received.len().max(1))).copied()
}

/// Orders something with `--json`; none when the server is gone.
fn order(ca: &Ca, args: &[&str]) -> Option<Value> {
    let output = ca.run(&[args, &["--json"]].concat());
    if !output.status.success() {
        return None;
    }
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// A list that is made now names what is revoked, and openssl takes it.
pub(crate) fn newest_list_is_true(ca: &Ca, store: &Store, abandoned: &BTreeSet<Serial>) {
    let current = store.current_crls().expect("revocation lists");
    let edition = current.iter().find(|it| it.line.kind == CrlKind::Base).expect("a base");
    let path = ca.home().join("crls").join(edition.file_name());
    let octets = fs::read(&path).expect("the list's file");
    let parsed = parse_crl(&octets).expect("a list");
    let named: BTreeMap<Serial, Option<RevocationReason>> =
        parsed.entries().map(|it| (it.serial, it.reason)).collect();
    let mut expected: BTreeMap<_, _> =
        abandoned.iter().map(|it| (*it, Some(RevocationReason::Unspecified))).collect();
    let mut before = None;
    loop {
        let page = store.requests(before, PAGE).expect("requests");
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        for row in page.iter().filter(|it| it.disposition == Disposition::Revoked) {
            let reason = row.revocation.expect("a revocation").reason;
            expected.insert(row.serial.expect("a serial"), reason);
        }
    }
    assert_eq!(named, expected, "list {} against the rows", edition.number);
    let root = ca.scratch().join("root.pem");
    fs::write(&root, ca.certificate()).expect("a file");
    let mut openssl = Command::new("openssl");
    let openssl = openssl.args(["crl", "-inform", "DER", "-noout", "-in"]).arg(&path);
    let told = openssl.arg("-CAfile").arg(&root).output().expect("openssl runs");
    assert!(text(&told.stderr).contains("verify OK"), "openssl: {}", text(&told.stderr));
}
