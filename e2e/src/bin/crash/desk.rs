//! Who decides on requests that wait: approves, denies, takes up again, changes and fetches, by the command
//! line, until the server is gone. Requests stay on the desk from life to life.

use std::collections::BTreeMap;

use exeunt_e2e::ca::Ca;
use exeunt_types::Disposition;
use exeunt_x509::parse_certificate;
use fastrand::Rng;
use serde_json::Value;

use super::tally::{About, Answer, Deed, Tally, order};
use super::truth::Rows;

/// Template whose requests wait.
pub(crate) const HELD: &str = "held";

/// Requests on the desk before the oldest ones are left alone.
const OPEN_MAX: usize = 12;

/// An extension that nobody knows.
const OID: &str = "1.2.3.4";

/// A request, as far as it is known for sure; what was under way is none.
#[derive(Debug)]
struct Held {
    state: Option<Disposition>,
    attribute: Option<String>,
    extension: Option<Vec<u8>>,
}

/// All requests that wait or waited.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    requests: BTreeMap<u64, Held>,
    words: u32,
}

impl Desk {
    /// Acts until the server is gone.
    pub(crate) fn act(&mut self, ca: &Ca, request: &str, tally: &Tally, mut rng: Rng) {
        while self.act_once(ca, request, tally, &mut rng) {}
    }

    fn act_once(&mut self, ca: &Ca, request: &str, tally: &Tally, rng: &mut Rng) -> bool {
        let last = self.requests.keys().next_back().copied().unwrap_or_default();
        let open = self.requests.keys().rev().take(OPEN_MAX);
        let open: Vec<u64> = open.copied().collect();
        let id = match rng.usize(..open.len() + 3) {
            place if place < open.len() => open[place],
            _ => return self.submit(ca, request, tally, last),
        };
        match (self.requests[&id].state, rng.u8(..6)) {
            (Some(Disposition::Pending), 0) => self.attribute(ca, id, tally),
            (Some(Disposition::Pending), 1) => self.extension(ca, id, tally, rng),
            (Some(Disposition::Pending), 2) => self.decide(ca, id, tally, Deed::Approve),
            (Some(Disposition::Pending), 3 | 4) => self.decide(ca, id, tally, Deed::Deny),
            (Some(Disposition::Pending | Disposition::Denied), _) => {
                self.decide(ca, id, tally, Deed::Resubmit)
            }
            _ => self.retrieve(ca, id, tally),
        }
    }

    /// Hands in a request that waits.
    fn submit(&mut self, ca: &Ca, request: &str, tally: &Tally, last: u64) -> bool {
        let Answer::Done(asked) = order(ca, &["submit", request, "--template", HELD], &[]) else {
            return false;
        };
        assert_eq!(asked["disposition"], "pending", "{asked}");
        let id = asked["request_id"].as_u64().expect("a number");
        assert!(last < id, "request {id} came after request {last}");
        tally.done(Deed::Submit, About::Request(id));
        let state = Some(Disposition::Pending);
        self.requests.insert(id, Held { state, attribute: None, extension: None });
        true
    }

    fn held(&mut self, id: u64) -> &mut Held {
        self.requests.get_mut(&id).expect("BUG: it is on the desk")
    }

    fn attribute(&mut self, ca: &Ca, id: u64, tally: &Tally) -> bool {
        self.words += 1;
        let word = format!("word {}", self.words);
        tally.tried(Deed::SetAttribute, About::Request(id));
        self.held(id).attribute = None;
        let args = ["request", "set-attribute", &id.to_string(), &format!("Crash:{word}")];
        let Answer::Done(_) = order(ca, &args, &[]) else { return false };
        tally.confirmed(Deed::SetAttribute, About::Request(id));
        self.held(id).attribute = Some(word);
        true
    }

    fn extension(&mut self, ca: &Ca, id: u64, tally: &Tally, rng: &mut Rng) -> bool {
        // A UTF8String of two letters.
        let value = vec![0x0c, 0x02, rng.u8(b'a'..=b'z'), rng.u8(b'a'..=b'z')];
        let hex = format!("0c02{:02x}{:02x}", value[2], value[3]);
        tally.tried(Deed::SetExtension, About::Request(id));
        self.held(id).extension = None;
        let args = ["request", "set-extension", &id.to_string(), OID, "--value", &hex];
        let Answer::Done(_) = order(ca, &args, &[]) else { return false };
        tally.confirmed(Deed::SetExtension, About::Request(id));
        self.held(id).extension = Some(value);
        true
    }

    fn decide(&mut self, ca: &Ca, id: u64, tally: &Tally, deed: Deed) -> bool {
        let (word, state) = match deed {
            Deed::Approve => ("approve", Disposition::Issued),
            Deed::Deny => ("deny", Disposition::Denied),
            // An officer who takes a request up again has looked at it: it is held no more.
            _ => ("resubmit", Disposition::Issued),
        };
        tally.tried(deed, About::Request(id));
        self.held(id).state = None;
        let Answer::Done(answer) = order(ca, &["request", word, &id.to_string()], &[]) else {
            return false;
        };
        assert_eq!(read_state(&answer), state, "{word}: {answer}");
        tally.confirmed(deed, About::Request(id));
        self.held(id).state = Some(state);
        true
    }

    /// Fetches what became of it, which settles what was not known.
    fn retrieve(&mut self, ca: &Ca, id: u64, tally: &Tally) -> bool {
        tally.tried(Deed::Retrieve, About::Request(id));
        let Answer::Done(answer) = order(ca, &["request", "retrieve", &id.to_string()], &[]) else {
            return false;
        };
        let state = read_state(&answer);
        let known = self.requests[&id].state;
        assert!(known.is_none_or(|it| it == state), "request {id}: {answer}");
        if state == Disposition::Issued {
            tally.confirmed(Deed::Retrieve, About::Request(id));
        }
        self.held(id).state = Some(state);
        true
    }

    /// What was confirmed is so in the store.
    pub(crate) fn check(&self, rows: &Rows) {
        for (id, held) in &self.requests {
            let row = rows.request(*id);
            assert!(held.state.is_none_or(|it| it == row.disposition), "request {id}: {held:?}");
            if let Some(word) = &held.attribute {
                let pair = ("Crash".to_owned(), word.clone());
                assert!(row.request.attributes.contains(&pair), "request {id} lacks {pair:?}");
            }
            if let Some(value) = &held.extension {
                let set = &row.officer_extensions;
                let is_set = set.iter().any(|it| it.oid == OID && it.value == *value);
                assert!(is_set, "request {id} lacks {value:?}: {set:?}");
            }
            if row.disposition == Disposition::Issued {
                let serial = row.serial.expect("a serial");
                let certificate = parse_certificate(rows.pem(&serial).as_bytes()).expect("one");
                for set in &row.officer_extensions {
                    let has = certificate.extensions().iter().any(|it| it.value == set.value);
                    assert!(has, "certificate {serial} lacks {set:?}");
                }
            }
        }
    }
}

fn read_state(answer: &Value) -> Disposition {
    match answer["disposition"].as_str() {
        Some("pending") => Disposition::Pending,
        Some("issued") => Disposition::Issued,
        Some("denied") => Disposition::Denied,
        _ => panic!("what is that: {answer}"),
    }
}
