//! Who brings certificates in that were made elsewhere, with the CA's key or by another CA, and revokes and
//! releases many of them at once, by file and by filter, until the server is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use exeunt_e2e::ca::Ca;
use exeunt_keys::{Passphrase, SigningKey, SoftwareKey};
use exeunt_types::{Disposition, EventKind, Serial, UnixMillis};
use exeunt_x509::{
    CertificateFields, Name, assemble_certificate, build_tbs, encode_pem, parse_certificate,
};
use fastrand::Rng;
use serde_json::Value;

use super::now;
use super::tally::{About, Answer, Deed, Tally, order};
use super::truth::{Rows, Written};

/// Most certificates of a batch. More than the server takes at a time in a bulk order, of which there
/// are 128.
const BATCH_MAX: usize = 150;
/// Batches that are worked on at the same time.
const OPEN_MAX: usize = 4;
/// A day, in seconds.
const DAY_S: i64 = 86_400;
/// Words of the reasons for bulk orders.
const REASONS: [&str; 3] = ["superseded", "key-compromise", "certificate-hold"];

/// A certificate that was made elsewhere.
#[derive(Debug)]
struct Made {
    pem: String,
    foreign: bool,
    /// Last second of its validity.
    not_after: i64,
    /// Whether it is on record; none where that is not known.
    imported: Option<bool>,
    /// When that was known first.
    known: Option<UnixMillis>,
    /// Whether it is revoked; none where that is not known.
    revoked: Option<bool>,
    /// Whether somebody has ever ordered that.
    touched: bool,
}

/// Everything that was brought in, or was to be.
#[derive(Debug)]
pub(crate) struct Registrar {
    own: SoftwareKey,
    foreign: SoftwareKey,
    root: Vec<u8>,
    batches: Vec<BTreeMap<Serial, Made>>,
}

impl Registrar {
    pub(crate) fn of(ca: &Ca, stranger: &Ca) -> Self {
        let root = ca.certificate().into_bytes();
        Self { own: key(ca), foreign: key(stranger), root, batches: Vec::new() }
    }

    /// Acts until the server is gone.
    pub(crate) fn act(&mut self, ca: &Ca, tally: &Tally, mut rng: Rng) {
        loop {
            let first = self.batches.len().saturating_sub(OPEN_MAX);
            let place = match rng.usize(..=self.batches.len() - first) {
                0 => self.make(&mut rng),
                place => first + place - 1,
            };
            let unsettled = self.batches[place].values().any(|it| it.imported != Some(true));
            let went_on = match rng.u8(..4) {
                0 | 1 if unsettled => self.import(ca, place, tally),
                0..=2 => self.revoke(ca, place, tally, &mut rng),
                _ => self.release(ca, place, tally, &mut rng),
            };
            if !went_on {
                return;
            }
        }
    }

    /// Makes a batch; its place.
    fn make(&mut self, rng: &mut Rng) -> usize {
        let batch = self.batches.len();
        let count = if rng.u8(..6) == 0 { BATCH_MAX } else { rng.usize(1..20) };
        let root = parse_certificate(&self.root).expect("a root");
        let other = Name::parse("CN=Another CA").expect("a name");
        let mut all = BTreeMap::new();
        for number in 0..count {
            let foreign = rng.u8(..8) == 0;
            // Some come within the last day of their validity while the test runs.
            let soon = now().unix_seconds() + DAY_S + rng.i64(2..30);
            let not_after = if rng.bool() { soon } else { soon + 60 * DAY_S };
            let (key, issuer) =
                if foreign { (&self.foreign, &other) } else { (&self.own, root.subject()) };
            let mut octets = [0; 16];
            rng.fill(&mut octets);
            let serial = Serial::from_random(octets);
            let tbs = build_tbs(&CertificateFields {
                serial,
                scheme: key.scheme(),
                issuer,
                subject: &Name::parse(&format!("CN=batch-{batch}-{number}")).expect("a name"),
                not_before: root.not_before(),
                not_after,
                spki_der: key.public_key_der(),
                extensions: &[],
            });
            let tbs = tbs.expect("a certificate");
            let signature = key.sign(&tbs).expect("a signature");
            let der = assemble_certificate(&tbs, key.scheme(), &signature);
            let pem = encode_pem("CERTIFICATE", &der);
            let (imported, revoked) = (Some(false), Some(false));
            let known = None;
            let made = Made { pem, foreign, not_after, imported, known, revoked, touched: false };
            all.insert(serial, made);
        }
        self.batches.push(all);
        batch
    }

    fn import(&mut self, ca: &Ca, place: usize, tally: &Tally) -> bool {
        let batch = &mut self.batches[place];
        let pems: Vec<&str> = batch.values().map(|it| it.pem.as_str()).collect();
        let file = put(ca, "import.pem", &pems.concat());
        for (serial, it) in batch.iter_mut() {
            tally.tried(Deed::Import, About::Certificate(*serial));
            it.imported = it.imported.filter(|it| *it);
        }
        let args = ["cert", "import", &file, "--allow-foreign"];
        let answer = match order(ca, &args, &["import-partitioned"]) {
            Answer::Done(answer) => answer,
            Answer::Refused => return true,
            Answer::Gone => return false,
        };
        let results = answer["results"].as_array().expect("a list");
        assert_eq!(results.len(), batch.len(), "{answer}");
        // In the order of the file, which is that of the batch.
        for (result, (serial, it)) in results.iter().zip(batch) {
            let was = it.imported;
            match (result["outcome"].as_str(), result["code"].as_str()) {
                (Some(outcome @ ("imported" | "foreign")), _) => {
                    assert_eq!(outcome == "foreign", it.foreign, "{result}");
                    assert_ne!(was, Some(true), "{serial} was imported twice");
                    tally.confirmed(Deed::Import, About::Certificate(*serial));
                    it.imported = Some(true);
                }
                (_, Some("import-exists")) => {
                    tally.found(Deed::Import, About::Certificate(*serial));
                    it.imported = Some(true);
                }
                // Refused as a whole, so that nothing is known of what was under way.
                (_, Some("import-partitioned")) => continue,
                _ => panic!("{result}"),
            }
            it.known.get_or_insert_with(now);
        }
        true
    }

    /// Some of a batch in a file, or all of it by a filter.
    fn which(&self, ca: &Ca, place: usize, rng: &mut Rng) -> (Vec<String>, BTreeSet<Serial>) {
        let batch = &self.batches[place];
        let some: Vec<_> = batch.iter().filter(|_| rng.bool()).collect();
        // One alone is no bulk order.
        if some.len() < 2 || rng.bool() {
            let filter = format!("subject=CN=batch-{place}-");
            return (vec!["--where".to_owned(), filter], batch.keys().copied().collect());
        }
        let pems: Vec<&str> = some.iter().map(|(_, it)| it.pem.as_str()).collect();
        let file = put(ca, "bulk.pem", &pems.concat());
        (vec!["--file".to_owned(), file], some.iter().map(|(serial, _)| **serial).collect())
    }

    fn revoke(&mut self, ca: &Ca, place: usize, tally: &Tally, rng: &mut Rng) -> bool {
        let (which, meant) = self.which(ca, place, rng);
        let reason = REASONS[rng.usize(..REASONS.len())];
        let mut args = vec!["cert", "revoke", "--reason", reason, "--yes", "--limit", "1000"];
        args.extend(which.iter().map(String::as_str));
        self.bulk(ca, place, tally, (&args, &meant), Deed::Revoke)
    }

    fn release(&mut self, ca: &Ca, place: usize, tally: &Tally, rng: &mut Rng) -> bool {
        let (which, meant) = self.which(ca, place, rng);
        let mut args = vec!["cert", "unrevoke", "--yes", "--limit", "1000"];
        args.extend(which.iter().map(String::as_str));
        self.bulk(ca, place, tally, (&args, &meant), Deed::Release)
    }

    fn bulk(
        &mut self,
        ca: &Ca,
        place: usize,
        tally: &Tally,
        (args, meant): (&[&str], &BTreeSet<Serial>),
        deed: Deed,
    ) -> bool {
        let batch = &mut self.batches[place];
        let mut before = BTreeMap::new();
        for serial in meant {
            let it = batch.get_mut(serial).expect("BUG: it is of the batch");
            tally.tried(deed, About::Certificate(*serial));
            before.insert(*serial, it.revoked.take());
            it.touched = true;
        }
        let Answer::Done(answer) = order(ca, args, &[]) else { return false };
        let (outcome, after) = match deed {
            Deed::Revoke => ("revoked", true),
            _ => ("released", false),
        };
        let changed: BTreeSet<Serial> = answer["results"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|it| it["outcome"] == outcome)
            .map(serial_of)
            .collect();
        assert!(changed.is_subset(meant), "{answer}");
        for serial in meant {
            let it = batch.get_mut(serial).expect("BUG: it is of the batch");
            if changed.contains(serial) {
                tally.confirmed(deed, About::Certificate(*serial));
                it.revoked = Some(after);
                assert!(!it.foreign, "{serial} is another CA's");
                continue;
            }
            // What is ours and not revoked is meant, whatever the reason.
            let is_left_out = deed == Deed::Revoke
                && !it.foreign
                && (before[serial], it.imported) == (Some(false), Some(true));
            assert!(!is_left_out, "{serial} was left out: {answer}");
            it.revoked = before[serial];
        }
        true
    }

    /// Certificates that modules must have heard of before they run out, when a server was started at
    /// that time: on record before they came within the last day, and never revoked since.
    fn must_be_told<'a>(
        &'a self,
        rows: &'a Rows,
        started: UnixMillis,
    ) -> impl Iterator<Item = u64> + 'a {
        let due = move |it: &Made| {
            let within = UnixMillis::from_unix_seconds(it.not_after - DAY_S);
            !it.touched && it.known.is_some_and(|it| it < within) && within < started
        };
        let due = self.batches.iter().flatten().filter(move |(_, it)| due(it));
        due.map(|(serial, _)| rows.of(serial).id.0)
    }

    /// Whether they were told of; no more may be missing some time after the start.
    pub(crate) fn all_told(&self, rows: &Rows, written: &Written, started: UnixMillis) -> bool {
        self.must_be_told(rows, started).all(|it| !written.expiring(it).is_empty())
    }

    /// What was confirmed is so in the store, and what was not is whole or not there. How many are
    /// there, and how many of them were told of before they run out.
    pub(crate) fn check(&self, rows: &Rows, written: &Written) -> (usize, usize) {
        let (mut there, mut told) = (0, 0);
        for (serial, it) in self.batches.iter().flatten() {
            let Some(row) = rows.find(serial) else {
                assert_ne!(it.imported, Some(true), "{serial} is not there");
                continue;
            };
            there += 1;
            assert_ne!(it.imported, Some(false), "{serial} is there");
            assert_eq!(rows.pem(serial), it.pem, "{serial}");
            let events = |kind| written.events(kind, row.id.0);
            assert_eq!(events(EventKind::CERT_IMPORTED), 1, "{serial}");
            let expected = match it.revoked {
                _ if it.foreign => Some(Disposition::Foreign),
                Some(true) => Some(Disposition::Revoked),
                Some(false) => Some(Disposition::Issued),
                None => None,
            };
            assert!(expected.is_none_or(|it| it == row.disposition), "{serial}: {it:?}");
            let days = written.expiring(row.id.0);
            assert!(days.len() <= 1, "{serial} was told of at {days:?}");
            told += days.len();
        }
        (there, told)
    }
}

fn serial_of(result: &Value) -> Serial {
    Serial::from_hex(result["serial"].as_str().expect("a text")).expect("a serial")
}

fn key(ca: &Ca) -> SoftwareKey {
    let read = |name: &str| fs::read_to_string(ca.home().join(name)).expect("a file of the home");
    let passphrase = Passphrase::new(read("secrets/passphrase").trim_end()).expect("a passphrase");
    SoftwareKey::from_encrypted_pem(&read("secrets/ca.key.pem"), &passphrase).expect("a key")
}

fn put(ca: &Ca, name: &str, text: &str) -> String {
    let path = ca.scratch().join(name);
    fs::write(&path, text).expect("a file");
    path.to_str().expect("a plain path").to_owned()
}
