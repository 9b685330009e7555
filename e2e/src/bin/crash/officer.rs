//! The officer of the crash test: revokes what clients received, releases it, keeps it in lists and has
//! lists made, by the command line, until the server is gone; and what was confirmed is looked for.

use std::collections::BTreeMap;
use std::fs;

use exeunt_e2e::ca::Ca;
use exeunt_store::Store;
use exeunt_types::{CrlKind, CrlNumber, Disposition, Serial};
use exeunt_x509::parse_crl;
use fastrand::Rng;

use super::PAGE;
use super::clients::Received;
use super::tally::{About, Answer, Deed, Tally, order};
use super::truth::Rows;

/// What was confirmed. What was under way when the server died may have happened or not: the next
/// confirmation for the same thing settles it.
#[derive(Debug, Default)]
pub(crate) struct Officer {
    certificates: BTreeMap<Serial, Option<Disposition>>,
    stays: BTreeMap<Serial, Option<bool>>,
    /// The last complete lists that were confirmed, and what was known for sure when they were ordered.
    listed: Option<(CrlNumber, BTreeMap<Serial, Disposition>)>,
    number: u64,
}

impl Officer {
    /// Acts until the server is gone.
    pub(crate) fn act(&mut self, ca: &Ca, received: &Received, tally: &Tally, mut rng: Rng) {
        loop {
            let choice = rng.u8(..8);
            let some = received.any(&mut rng);
            let went_on = match (choice, some) {
                (0, _) | (_, None) => self.publish(ca, tally, rng.u8(..4) == 0),
                (1, Some(serial)) => self.keep(ca, tally, serial, rng.bool()),
                (choice, Some(serial)) => self.revoke(ca, tally, serial, choice),
            };
            if !went_on {
                return;
            }
        }
    }

    fn publish(&mut self, ca: &Ca, tally: &Tally, delta: bool) -> bool {
        let known: BTreeMap<Serial, Disposition> =
            self.certificates.iter().filter_map(|(serial, it)| Some((*serial, (*it)?))).collect();
        let args: &[&str] =
            if delta { &["crl", "publish", "--delta"] } else { &["crl", "publish"] };
        // A delta needs a complete list, which a young server may not have made.
        let made = match order(ca, args, &["crl-no-base"]) {
            Answer::Done(made) => made,
            Answer::Refused => return true,
            Answer::Gone => return false,
        };
        let number = made["crls"][0]["number"].as_u64().expect("a number");
        assert!(self.number < number, "list {number} came after list {}", self.number);
        self.number = number;
        tally.done(Deed::PublishLists, About::Object(format!("crl:{number}")));
        if !delta {
            self.listed = Some((CrlNumber(number), known));
        }
        true
    }

    /// Says whether it stays in lists after its validity.
    fn keep(&mut self, ca: &Ca, tally: &Tally, serial: Serial, stays: bool) -> bool {
        let about = About::Certificate(serial);
        tally.tried(Deed::PublishExpired, about.clone());
        self.stays.insert(serial, None);
        let word = if stays { "on" } else { "off" };
        let name = serial.to_string();
        let Answer::Done(_) = order(ca, &["cert", "publish-expired", &name, word], &[]) else {
            return false;
        };
        tally.confirmed(Deed::PublishExpired, about);
        self.stays.insert(serial, Some(stays));
        true
    }

    fn revoke(&mut self, ca: &Ca, tally: &Tally, serial: Serial, choice: u8) -> bool {
        let name = serial.to_string();
        let before = self.certificates.insert(serial, None).flatten();
        let revoke = |reason| vec!["cert", "revoke", &name, "--reason", reason];
        let (args, deed, after) = match choice {
            2..=4 => (revoke("superseded"), Deed::Revoke, Disposition::Revoked),
            5 => (vec!["cert", "unrevoke", &name], Deed::Release, Disposition::Issued),
            _ => (revoke("certificate-hold"), Deed::Revoke, Disposition::Revoked),
        };
        let about = About::Certificate(serial);
        tally.tried(deed, about.clone());
        match order(ca, &args, &["hold-of-revoked", "not-on-hold"]) {
            Answer::Done(_) => {
                tally.confirmed(deed, about);
                self.certificates.insert(serial, Some(after));
            }
            // It is as it was; if that was known, it still is.
            Answer::Refused => {
                self.certificates.insert(serial, before);
            }
            Answer::Gone => return false,
        }
        true
    }

    /// What was confirmed is so in the store, and the lists that were made are there, in order, and
    /// true of what was confirmed before.
    pub(crate) fn check(&self, ca: &Ca, store: &Store, rows: &Rows) {
        for (serial, expected) in &self.certificates {
            let row = rows.of(serial);
            if let Some(expected) = expected {
                assert_eq!(row.disposition, *expected, "certificate {serial}");
            }
        }
        for (serial, stays) in &self.stays {
            if let Some(stays) = stays {
                assert_eq!(rows.of(serial).publish_expired, *stays, "certificate {serial}");
            }
        }
        let mut named = Vec::new();
        let mut before: Option<CrlNumber> = None;
        loop {
            let page = store.crls(before, PAGE).expect("revocation lists");
            let Some(last) = page.last() else { break };
            for record in &page {
                assert!(before.is_none_or(|it| record.number < it), "{record:?} is out of order");
                let path = ca.home().join("crls").join(record.file_name());
                let octets = fs::read(&path).expect("the list's file");
                let length = octets.len() as u64;
                assert_eq!(length, record.length, "{} is cut", path.display());
                let is_listed = self.listed.as_ref().is_some_and(|it| it.0 == record.number);
                if is_listed && record.line.kind == CrlKind::Base {
                    let parsed = parse_crl(&octets).expect("a list");
                    named.extend(parsed.entries().map(|it| it.serial));
                }
            }
            before = Some(last.number);
        }
        for (serial, state) in self.listed.iter().flat_map(|it| &it.1) {
            let is_named = named.contains(serial);
            assert_eq!(is_named, *state == Disposition::Revoked, "{serial} in {:?}", self.number);
        }
    }
}
