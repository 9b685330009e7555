//! Random lives of certificates against a model of a few lines: states, events, refusals and what the
//! revocation lists say. The model knows the rules of the original's tables and nothing of the code.

use std::collections::BTreeMap;
use std::time::Duration;

use exeunt_engine::{CrlOrder, CrlSettings, Outcome, RevokeOrder, Which};
use exeunt_policy::Issuance;
use exeunt_types::{
    CrlKind, Disposition, EventKind, EventSeq, RequestId, RevocationReason as Reason, Serial,
    UnixMillis,
};
use exeunt_x509::parse_crl;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::{Ca, House, officer, plain_request, submission, template};

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
}

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
    state: Disposition,
    was_pending: bool,
    /// Reason and moment, while it is revoked.
    revoked: Option<(Reason, UnixMillis)>,
}

struct Model {
    ca: Ca,
    requests: Vec<Known>,
    /// Kind and request of every event, in order.
    events: Vec<(EventKind, Option<RequestId>)>,
    lists: u64,
    has_base: bool,
}

impl Model {
    fn new() -> Self {
        let held = exeunt_policy::Template { issuance: Issuance::Hold, ..template("held") };
        let day = Duration::from_hours(24);
        let crls = CrlSettings { period: day, delta_period: Some(day), ..CrlSettings::default() };
        let ca = House { templates: vec![template("tls"), held], crls, ..House::new() }.open();
        Self { ca, requests: Vec::new(), events: Vec::new(), lists: 0, has_base: false }
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
        self.requests.push(Known { id, serial, state, was_pending, revoked: None });
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
        self.check_lists();
    }

    /// What a verifier who has the newest base and the newest delta takes for revoked.
    fn check_lists(&self) {
        let engine = &self.ca.engine;
        let read = |kind| {
            let current = engine.current_crls().unwrap();
            let record = current.into_iter().find(|it| it.line.kind == kind)?;
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
