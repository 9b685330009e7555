//! Random lives of certificates against a model of a few lines: states, events, refusals and what the
//! revocation lists say. The model knows the rules of the original's tables and nothing of the code.

use std::collections::BTreeMap;
use std::time::Duration;

use exeunt_engine::{
    BulkOutcome, CrlOrder, CrlSettings, ImportOrder, Imported, Outcome, RevokeOrder, Which,
};
use exeunt_policy::Issuance;
use exeunt_store::Store;
use exeunt_types::{
    CrlKind, Disposition, EventKind, EventSeq, KeyAlgorithm, RequestId, RevocationReason as Reason,
    Serial, UnixMillis,
};
use exeunt_x509::parse_crl;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::crl_lines;
use crate::support::{
    Ca, House, Issued, TestKey, create_store, officer, plain_request, submission, template,
};

/// What is done, to the request of that place where there is one.
#[derive(Clone, Debug)]
enum Step {
    Issue,
    Pend,
    Approve(usize),
    Resubmit(usize),
    Deny(usize),
    /// The last number: minutes from now on when it counts.
    Revoke(usize, Reason, i64),
    Release(usize),
    Fetch(usize),
    Publish(CrlKind),
    Wait(i64),
    /// Of what the CA has made before with its first key, and its store has never seen; one with the key
    /// of a request that waits is put under it, if the flag says so.
    Import(usize, bool),
    /// Of another CA; the flag allows it.
    ImportForeign(usize, bool),
    /// One order for many: a reason, or a release.
    Bulk(Vec<usize>, Option<Reason>),
}

/// Certificates of either kind that there are to be imported.
const IMPORTS: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    let place = 0_usize..8;
    let reason = select(Reason::ALL.to_vec());
    prop_oneof![
        3 => Just(Step::Issue),
        3 => Just(Step::Pend),
        2 => place.clone().prop_map(Step::Approve),
        1 => place.clone().prop_map(Step::Resubmit),
        1 => place.clone().prop_map(Step::Deny),
        4 => (place.clone(), reason, select(vec![-60_i64, 0, 0, 0, 30]))
            .prop_map(|(place, reason, from)| Step::Revoke(place, reason, from)),
        2 => (place.clone(), Just(Reason::CertificateHold), Just(0))
            .prop_map(|(place, reason, from)| Step::Revoke(place, reason, from)),
        3 => place.clone().prop_map(Step::Release),
        2 => (0..IMPORTS, any::<bool>()).prop_map(|(it, row)| Step::Import(it, row)),
        1 => (0..IMPORTS, any::<bool>()).prop_map(|(it, allow)| Step::ImportForeign(it, allow)),
        2 => (vec(place.clone(), 1..5), proptest::option::of(select(Reason::ALL.to_vec())))
            .prop_map(|(places, reason)| Step::Bulk(places, reason)),
        1 => place.prop_map(Step::Fetch),
        2 => Just(Step::Publish(CrlKind::Base)),
        3 => Just(Step::Publish(CrlKind::Delta)),
        2 => (1_i64..90).prop_map(Step::Wait),
    ]
}

/// What the model knows of a request.
#[derive(Debug)]
struct Known {
    id: RequestId,
    serial: Option<Serial>,
    /// Index of the CA's key that has signed its certificate.
    key: u16,
    state: Disposition,
    was_pending: bool,
    /// Reason and moment, while it is revoked.
    revoked: Option<(Reason, UnixMillis)>,
}

/// Index of the key that issues; the one before has signed what is imported.
const NEWEST_KEY: u16 = 1;

struct Model {
    ca: Ca,
    requests: Vec<Known>,
    /// Kind and request of every event, in order.
    events: Vec<(EventKind, Option<RequestId>)>,
    lists: u64,
    has_base: bool,
    own: Vec<Issued>,
    foreign: Vec<Issued>,
    /// SHA-256 is not the model's: the places of those that were imported.
    imported: Vec<usize>,
    imported_foreign: Vec<usize>,
}

impl Model {
    fn new() -> Self {
        let held = exeunt_policy::Template { issuance: Issuance::Hold, ..template("held") };
        let day = Duration::from_hours(24);
        let crls = CrlSettings { period: day, delta_period: Some(day), ..CrlSettings::default() };
        let (mut house, other) = (House::new(), House::new());
        let made = |house: &House| {
            let ca = house.open();
            (0..IMPORTS).map(|_| ca.issue(plain_request())).collect()
        };
        let (own, foreign) = (made(&house), made(&other));
        // Since then the store was lost, and the CA has a new key.
        let key = TestKey::new(KeyAlgorithm::EcdsaP256);
        crl_lines::renew(&mut house, Some(&key), 3000);
        let path = house.folder.path().join("other.db");
        create_store(&path);
        house = House { templates: vec![template("tls"), held], crls, ..house };
        let ca = house.open_with(Store::open(&path).unwrap());
        Self {
            ca,
            requests: Vec::new(),
            events: Vec::new(),
            lists: 0,
            has_base: false,
            own,
            foreign,
            imported: Vec::new(),
            imported_foreign: Vec::new(),
        }
    }

    fn now(&self) -> UnixMillis {
        UnixMillis::from_unix_seconds(self.ca.clock.seconds())
    }

    fn told(&mut self, kind: EventKind, id: Option<RequestId>) {
        self.events.push((kind, id));
    }

    fn submit(&mut self, template: &str) {
        let asked = exeunt_engine::Submission {
            template: Some(template.to_owned()),
            ..submission(plain_request())
        };
        let submitted = self.ca.engine.submit(asked).unwrap();
        let (state, kind, serial) = match submitted.outcome {
            Outcome::Issued { serial, .. } => {
                (Disposition::Issued, EventKind::CERT_ISSUED, Some(serial))
            }
            Outcome::Pending { .. } => (Disposition::Pending, EventKind::CERT_PENDING, None),
            Outcome::Denied { message, .. } => panic!("denied: {message}"),
        };
        let was_pending = template == "held";
        assert_eq!(state == Disposition::Pending, was_pending);
        let id = submitted.request;
        self.requests.push(Known {
            id,
            serial,
            key: NEWEST_KEY,
            state,
            was_pending,
            revoked: None,
        });
        self.told(kind, Some(id));
    }

    fn decide(&mut self, place: usize, allowed: &[Disposition], approve: bool) {
        let Some(known) = self.requests.get_mut(place) else { return };
        let by = officer();
        let result = if approve {
            self.ca.engine.approve(known.id, &by)
        } else {
            self.ca.engine.resubmit(known.id, &by)
        };
        if !allowed.contains(&known.state) {
            assert_eq!(result.unwrap_err().code(), "wrong-state", "{known:?}");
            return;
        }
        let Outcome::Issued { serial, .. } = result.unwrap().outcome else {
            panic!("{known:?} should be issued");
        };
        (known.state, known.serial) = (Disposition::Issued, Some(serial));
        let id = known.id;
        self.told(EventKind::CERT_ISSUED, Some(id));
    }

    fn import(&mut self, at: usize, existing_row: bool) {
        let order = ImportOrder { existing_row, ..ImportOrder::default() };
        let der = self.own[at].der.clone();
        let result = self.ca.engine.import_all(&[der], order, &officer()).pop().unwrap();
        // All requests have the same key: the first one that waits is meant.
        let waits = self.requests.iter().position(|it| it.state == Disposition::Pending);
        let expected = match waits {
            None if existing_row => Some("import-not-awaited"),
            _ if self.imported.contains(&at) => Some("import-exists"),
            _ => None,
        };
        if let Some(code) = expected {
            assert_eq!(result.unwrap_err().code(), code, "{at} {existing_row}");
            return;
        }
        self.imported.push(at);
        let Imported { serial, disposition, request, .. } = result.unwrap();
        assert_eq!((serial, disposition), (self.own[at].serial, Disposition::Issued));
        let id = request.unwrap();
        match waits.filter(|_| existing_row) {
            Some(place) => {
                let known = &mut self.requests[place];
                assert_eq!(known.id, id);
                (known.state, known.serial, known.key) = (disposition, Some(serial), 0);
            }
            None => self.requests.push(Known {
                id,
                serial: Some(serial),
                key: 0,
                state: disposition,
                was_pending: false,
                revoked: None,
            }),
        }
        self.told(EventKind::CERT_IMPORTED, Some(id));
    }

    fn import_foreign(&mut self, at: usize, allow_foreign: bool) {
        let order = ImportOrder { allow_foreign, ..ImportOrder::default() };
        let der = self.foreign[at].der.clone();
        let result = self.ca.engine.import_all(&[der], order, &officer()).pop().unwrap();
        let expected = match () {
            () if !allow_foreign => Some("import-foreign"),
            () if self.imported_foreign.contains(&at) => Some("import-exists"),
            () => None,
        };
        if let Some(code) = expected {
            assert_eq!(result.unwrap_err().code(), code);
            return;
        }
        self.imported_foreign.push(at);
        let id = result.unwrap().request.unwrap();
        let (serial, state) = (Some(self.foreign[at].serial), Disposition::Foreign);
        self.requests.push(Known { id, serial, key: 0, state, was_pending: false, revoked: None });
        self.told(EventKind::CERT_IMPORTED, Some(id));
    }

    /// What becomes of each, in its order; one may be named twice.
    fn bulk(&mut self, places: &[usize], reason: Option<Reason>) {
        let now = self.now();
        let places: Vec<usize> =
            places.iter().copied().filter(|it| *it < self.requests.len()).collect();
        let which: Vec<_> = places.iter().map(|it| Which::Request(self.requests[*it].id)).collect();
        let order = match reason {
            Some(reason) => RevokeOrder::Revoke { reason, effective: None },
            None => RevokeOrder::Release,
        };
        let results = self.ca.engine.revoke_all(&which, order, &officer());
        assert_eq!(results.len(), places.len());
        let mut told = Vec::new();
        for (place, result) in places.into_iter().zip(results) {
            let known = &mut self.requests[place];
            let result = match &result {
                Ok(BulkOutcome::Changed(it)) => {
                    told.push((it.event.unwrap(), known.id));
                    "changed"
                }
                Ok(BulkOutcome::Already { .. }) => "already",
                Err(err) => err.code(),
            };
            let hold = Reason::CertificateHold;
            let counts = known.revoked.is_some_and(|(_, from)| from <= now);
            let on_hold = known.revoked.is_some_and(|(it, _)| it == hold);
            let expected = match (known.state, reason) {
                (Disposition::Issued, None) => "already",
                (Disposition::Revoked, None) if on_hold => "changed",
                (Disposition::Revoked, None) => "not-on-hold",
                (Disposition::Revoked, Some(new)) if on_hold != (new == hold) => {
                    if on_hold {
                        "changed"
                    } else {
                        "hold-of-revoked"
                    }
                }
                (Disposition::Revoked, Some(_)) if counts => "already",
                (Disposition::Issued | Disposition::Revoked, Some(_)) => "changed",
                _ => "wrong-state",
            };
            assert_eq!(result, expected, "{known:?} {reason:?}");
            if expected != "changed" {
                continue;
            }
            match reason {
                None => (known.state, known.revoked) = (Disposition::Issued, None),
                Some(new) => {
                    let since = known.revoked.filter(|_| counts).map_or(now, |(_, from)| from);
                    (known.state, known.revoked) = (Disposition::Revoked, Some((new, since)));
                }
            }
        }
        let kind = match reason {
            Some(_) => EventKind::CERT_REVOKED,
            None => EventKind::CERT_UNREVOKED,
        };
        // One that was named twice may have gone after the others.
        told.sort_unstable();
        for (_, id) in told {
            self.told(kind, Some(id));
        }
    }

    fn deny(&mut self, place: usize) {
        let Some(known) = self.requests.get_mut(place) else { return };
        let result = self.ca.engine.deny(known.id, &officer(), None);
        if known.state != Disposition::Pending {
            assert_eq!(result.unwrap_err().code(), "wrong-state", "{known:?}");
            return;
        }
        result.unwrap();
        known.state = Disposition::Denied;
        let id = known.id;
        self.told(EventKind::CERT_DENIED, Some(id));
    }

    fn revoke(&mut self, place: usize, reason: Reason, minutes: i64) {
        let now = self.now();
        let Some(known) = self.requests.get_mut(place) else { return };
        let effective = UnixMillis(now.0 + minutes * 60_000);
        let order = RevokeOrder::Revoke { reason, effective: Some(effective) };
        let result = self.ca.engine.revoke(Which::Request(known.id), order, &officer());
        let hold = Reason::CertificateHold;
        let expected = match (known.state, known.revoked) {
            (Disposition::Revoked, Some((old, _))) if old != hold && reason == hold => {
                Some("hold-of-revoked")
            }
            (Disposition::Issued | Disposition::Revoked, _) => None,
            _ => Some("wrong-state"),
        };
        if let Some(code) = expected {
            assert_eq!(result.unwrap_err().code(), code, "{known:?}");
            return;
        }
        result.unwrap();
        // What counts is not put off.
        let since = known.revoked.map(|(_, from)| from).filter(|from| *from <= now);
        let effective = since.map_or(effective, |it| it.min(effective));
        (known.state, known.revoked) = (Disposition::Revoked, Some((reason, effective)));
        let id = known.id;
        self.told(EventKind::CERT_REVOKED, Some(id));
    }

    fn release(&mut self, place: usize) {
        let Some(known) = self.requests.get_mut(place) else { return };
        let result =
            self.ca.engine.revoke(Which::Request(known.id), RevokeOrder::Release, &officer());
        let on_hold = known.revoked.is_some_and(|(reason, _)| reason == Reason::CertificateHold);
        match known.state {
            Disposition::Revoked if on_hold => {
                result.unwrap();
                (known.state, known.revoked) = (Disposition::Issued, None);
                let id = known.id;
                self.told(EventKind::CERT_UNREVOKED, Some(id));
            }
            Disposition::Revoked | Disposition::Issued => {
                assert_eq!(result.unwrap_err().code(), "not-on-hold", "{known:?}");
            }
            _ => assert_eq!(result.unwrap_err().code(), "wrong-state", "{known:?}"),
        }
    }

    fn fetch(&mut self, place: usize) {
        let Some(known) = self.requests.get(place) else { return };
        let found = self.ca.engine.retrieve(known.id).unwrap();
        assert_eq!(found.record.disposition, known.state);
        if known.was_pending && known.state == Disposition::Issued {
            let id = known.id;
            self.told(EventKind::CERT_RETRIEVE_PENDING, Some(id));
        }
    }

    fn publish(&mut self, kind: CrlKind) {
        let order = CrlOrder {
            base: kind == CrlKind::Base,
            delta: kind == CrlKind::Delta,
            next_publish: None,
        };
        let result = self.ca.engine.publish_crls(order, None);
        if kind == CrlKind::Delta && !self.has_base {
            assert_eq!(result.unwrap_err().code(), "crl-no-base");
            return;
        }
        let made = result.unwrap();
        self.lists += 1;
        self.has_base = true;
        self.told(EventKind::CRL_ISSUED, None);
        assert!(made.iter().all(|it| it.number.0 == self.lists), "{made:?}");
        (0..=NEWEST_KEY).for_each(|key| self.check_lists(key));
    }

    /// What a verifier who has the newest base and the newest delta takes for revoked.
    fn check_lists(&self, key: u16) {
        let engine = &self.ca.engine;
        let read = |kind| {
            let mut current = engine.current_crls().unwrap().into_iter();
            let record = current.find(|it| (it.line.kind, it.line.key_index) == (kind, key))?;
            Some((std::fs::read(engine.crl_file(&record)).unwrap(), record))
        };
        let (base, base_record) = read(CrlKind::Base).unwrap();
        let mut found = BTreeMap::new();
        for entry in parse_crl(&base).unwrap().entries() {
            found.insert(entry.serial, entry.reason.expect("a base releases nothing"));
        }
        let (delta, delta_record) = read(CrlKind::Delta).unwrap();
        assert!(delta_record.min_base.unwrap() <= base_record.number);
        for entry in parse_crl(&delta).unwrap().entries() {
            match entry.reason {
                None => drop(found.remove(&entry.serial)),
                Some(reason) => drop(found.insert(entry.serial, reason)),
            }
        }
        let now = self.now();
        let written = |reason| match reason {
            // As verifiers read it; in a list 8 would mean a release.
            Reason::RemoveFromCrl => Reason::Unspecified,
            reason => reason,
        };
        let expected: BTreeMap<_, _> = self
            .requests
            .iter()
            .filter(|it| it.key == key)
            .filter_map(|it| it.serial.zip(it.revoked))
            .filter(|(_, (_, effective))| *effective <= now)
            .map(|(serial, (reason, _))| (serial, written(reason)))
            .collect();
        assert_eq!(found, expected);
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Issue => self.submit("tls"),
            Step::Pend => self.submit("held"),
            Step::Approve(place) => self.decide(place, &[Disposition::Pending], true),
            Step::Resubmit(place) => {
                self.decide(place, &[Disposition::Pending, Disposition::Denied], false);
            }
            Step::Deny(place) => self.deny(place),
            Step::Revoke(place, reason, minutes) => self.revoke(place, reason, minutes),
            Step::Release(place) => self.release(place),
            Step::Fetch(place) => self.fetch(place),
            Step::Publish(kind) => self.publish(kind),
            Step::Import(at, existing_row) => self.import(at, existing_row),
            Step::ImportForeign(at, allow) => self.import_foreign(at, allow),
            Step::Bulk(ref places, reason) => self.bulk(places, reason),
            Step::Wait(minutes) => self.ca.clock.set(self.ca.clock.seconds() + minutes * 60),
        }
        for known in &self.requests {
            let row = self.ca.row(known.id);
            assert_eq!((row.disposition, row.serial), (known.state, known.serial), "{known:?}");
            let reason = row.revocation.and_then(|it| it.reason);
            assert_eq!(reason, known.revoked.map(|(reason, _)| reason), "{known:?}");
            let from = row.revocation.filter(|it| it.reason.is_some()).map(|it| it.effective);
            assert_eq!(from, known.revoked.map(|(_, from)| from), "{known:?}");
        }
    }

    fn check_events(&self) {
        let log = self.ca.engine.store().events_after(EventSeq(0), 1000).unwrap();
        let told: Vec<_> =
            log.iter().map(|it| (it.kind, it.request.as_ref().map(|it| it.id))).collect();
        assert_eq!(told, self.events);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_officers_do_in_whatever_order_states_events_and_lists_agree(
        steps in vec(step(), 1..40),
    ) {
        let mut model = Model::new();
        for step in &steps {
            model.take(step);
        }
        // A list made now must know what came to count since the last one.
        model.publish(CrlKind::Base);
        model.publish(CrlKind::Delta);
        model.check_events();
    }
}
