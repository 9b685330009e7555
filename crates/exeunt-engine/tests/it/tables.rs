//! The original's tables of what a request goes through, row by row: what each operation does in each
//! state, which event and audit entry it leaves, and whether the policy is asked. What is not allowed
//! leaves everything as it was.

use std::sync::{Arc, Mutex};

use exeunt_engine::{
    Asked, BulkOutcome, CaEntry, CrlOrder, Decision, Engine, ImportOrder, OcspSettings,
    OfficerError, Outcome, Parts, Policy, Publication, RevokeOrder, Which,
};
use exeunt_policy::TemplatePolicy;
use exeunt_store::Store;
use exeunt_types::{
    Disposition, EventKind, OfficerExtension, RequestId, RevocationReason as Reason, StatusCode,
    SubjectKey,
};
use tempfile::TempDir;

use crate::support::{House, create_store, der_of, officer, plain_request, submission, template};

/// What the policy says next, and whether each question was about a new request.
#[derive(Clone, Debug)]
struct Says(Arc<Mutex<(&'static str, Vec<bool>)>>);

impl Says {
    fn next(&self, word: &'static str) {
        self.0.lock().unwrap().0 = word;
    }

    fn asked(&self) -> Vec<bool> {
        std::mem::take(&mut self.0.lock().unwrap().1)
    }
}

/// Says what it is told to; what it issues is what the real policy plans.
#[derive(Debug)]
struct Scripted {
    says: Says,
    real: TemplatePolicy,
}

impl Policy for Scripted {
    fn decide(&self, asked: &Asked<'_>) -> Decision {
        let word = {
            let mut says = self.says.0.lock().unwrap();
            says.1.push(asked.new_request);
            says.0
        };
        let template = "tls".to_owned();
        match word {
            "hold" => Decision::Hold { template, message: "it waits".to_owned() },
            "refuse" => Decision::Refuse {
                template,
                code: "caller-not-local",
                status: StatusCode::ENROLL_DENIED,
                message: "no".to_owned(),
            },
            _ => self.real.decide(asked),
        }
    }
}

/// A CA whose policy is told what to say, beside one with the same key and another store.
struct Office {
    engine: Engine,
    says: Says,
    house: House,
    other: House,
    _folder: TempDir,
}

impl Office {
    fn new() -> Self {
        let (house, other) = (House::new(), House::new());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("office.db");
        create_store(&path);
        let says = Says(Arc::new(Mutex::new(("issue", Vec::new()))));
        let real = TemplatePolicy::new(vec![template("tls")], Some("tls".to_owned())).unwrap();
        let parts = Parts {
            name: "Test CA".to_owned(),
            store: Store::open(&path).unwrap(),
            policy: Box::new(Scripted { says: says.clone(), real }),
            clock: Box::new(house.clock.clone()),
            entropy: Box::new(house.entropy.clone()),
            check_signatures: true,
            crls: house.crls.clone(),
            crl_folder: folder.path().join("crls"),
            ocsp: OcspSettings::default(),
        };
        let key = Some(Box::new(house.key.clone()) as Box<_>);
        let entry = CaEntry { certificate: house.certificate.clone(), key };
        let engine = Engine::new(parts, vec![entry], &Publication::default()).unwrap();
        Self { engine, says, house, other, _folder: folder }
    }

    fn submit(&self, word: &'static str) -> RequestId {
        self.says.next(word);
        self.engine.submit(submission(plain_request())).unwrap().request
    }

    fn revoke(&self, id: RequestId, reason: Reason) {
        self.engine.revoke(Which::Request(id), revoke(reason), &officer()).unwrap();
    }

    /// A request in that state.
    fn request(&self, state: &str) -> RequestId {
        match state {
            "pending" => self.submit("hold"),
            "denied" => self.submit("refuse"),
            "failed" => {
                let mut forged = der_of(plain_request());
                *forged.last_mut().unwrap() ^= 1;
                self.engine.submit(submission(&forged)).unwrap_err().request().unwrap()
            }
            "foreign" => {
                let certificate = self.other.open().issue(plain_request()).der;
                let order = ImportOrder { allow_foreign: true, ..ImportOrder::default() };
                let mut results = self.engine.import_all(&[certificate], order, &officer());
                results.remove(0).unwrap().request.unwrap()
            }
            // That it had waited tells whether fetching it is an event.
            _ => {
                let id = self.submit("hold");
                self.says.next("issue");
                self.engine.approve(id, &officer()).unwrap();
                match state {
                    "held" => self.revoke(id, Reason::CertificateHold),
                    "revoked" => self.revoke(id, Reason::KeyCompromise),
                    _ => assert_eq!(state, "issued"),
                }
                id
            }
        }
    }

    /// The operation; the original's number of a refusal.
    fn operate(&self, operation: &str, id: RequestId) -> Result<(), u32> {
        let by = officer();
        let number = |err: OfficerError| err.hresult().map_or(0, |it| it.0);
        let order = |order| self.engine.revoke(Which::Request(id), order, &by).map(drop);
        let extension = OfficerExtension { oid: "1.2.3".to_owned(), flags: 0, value: vec![5, 0] };
        let done = match operation {
            "approve" => {
                self.says.next("issue");
                self.engine.approve(id, &by).map(drop)
            }
            "deny" => self.engine.deny(id, &by, None).map(drop),
            "attributes" => self.engine.set_attributes(id, "a:b", &by).map(drop),
            "extension" => self.engine.set_extension(id, extension, &by),
            "retrieve" => self.engine.retrieve(id).map(drop),
            "revoke" => order(revoke(Reason::Superseded)),
            "hold" => order(revoke(Reason::CertificateHold)),
            "release" => order(RevokeOrder::Release),
            "stay" => order(RevokeOrder::PublishExpired(true)),
            "revoke of many" => {
                let order = revoke(Reason::Superseded);
                let results = self.engine.revoke_all(&[Which::Request(id)], order, &by);
                results.into_iter().next().unwrap().map(|it| {
                    assert!(matches!(it, BulkOutcome::Changed(_) | BulkOutcome::Already { .. }));
                })
            }
            "import" => {
                let made = self.house.open().issue(plain_request()).der;
                let order = ImportOrder { existing_row: true, ..ImportOrder::default() };
                let result = self.engine.import_all(&[made], order, &by).remove(0);
                let number = |err: exeunt_engine::ImportError| err.hresult().unwrap().0;
                return result.map(|it| assert_eq!(it.request, Some(id))).map_err(number);
            }
            _ => {
                let word = operation.strip_prefix("resubmit, ").unwrap();
                self.says
                    .next(["issue", "hold", "refuse"].into_iter().find(|it| *it == word).unwrap());
                self.engine.resubmit(id, &by).map(drop)
            }
        };
        done.map_err(number)
    }

    /// What the operation does, in words: the row's state, the event, the audit entry, and a star where
    /// the policy was asked; or the original's number of a refusal.
    fn cell(&self, operation: &str, state: &str) -> String {
        let id = self.request(state);
        let store = self.engine.store();
        let read = || (store.request(id).unwrap().unwrap(), store.head(), self.audits());
        let (row, head, audits) = read();
        self.says.asked();
        let result = self.operate(operation, id);
        let asked = self.says.asked();
        let (now, new_head, new_audits) = read();
        if let Err(number) = result {
            assert_eq!((&now, new_head, &new_audits), (&row, head, &audits), "{operation} {state}");
            assert!(asked.is_empty());
            return format!("{number:08x}");
        }
        let code = now.disposition.code();
        let event = match new_head.0 - head.0 {
            0 => "-",
            1 => {
                let event = store.event(new_head).unwrap().unwrap();
                assert_eq!(event.subject, SubjectKey::Request(id));
                let told = event.state.unwrap();
                assert_eq!((told.disposition, told.status), (now.disposition, now.status));
                assert_eq!((told.message, told.revocation), (now.message, now.revocation));
                event.kind.word()
            }
            more => panic!("{more} events"),
        };
        let audit = match new_audits.strip_prefix(&audits[..]).unwrap() {
            [] => "-".to_owned(),
            [entry] => {
                let [actor, action, object] = entry.split(' ').collect::<Vec<_>>()[..] else {
                    panic!("{entry}")
                };
                assert_eq!((actor, object), ("local:0", format!("request:{id}").as_str()));
                action.to_owned()
            }
            more => panic!("{more:?}"),
        };
        let star = match asked[..] {
            [] => "",
            [new_request] => {
                assert!(!new_request, "{operation} {state}");
                " *"
            }
            _ => panic!("the policy was asked {} times", asked.len()),
        };
        format!("{code} {event} {audit}{star}")
    }

    /// Actor, action and object of every entry.
    fn audits(&self) -> Vec<String> {
        let rows = crate::support::deeds(self.engine.store());
        let entry =
            |it: exeunt_store::AuditEntry| format!("{} {} {}", it.actor, it.action, it.object);
        rows.into_iter().map(entry).collect()
    }
}

fn revoke(reason: Reason) -> RevokeOrder {
    RevokeOrder::Revoke { reason, effective: None }
}

/// `CERTSRV_E_BAD_REQUESTSTATUS`.
const STATE: &str = "80094003";
/// `ERROR_INVALID_DATA`.
const DATA: &str = "8007000d";
/// `CRYPT_E_NO_MATCH`.
const MATCH: &str = "80092009";

const STATES: [&str; 7] = ["pending", "issued", "held", "revoked", "denied", "failed", "foreign"];

/// MS-CSRA, sections 3.1.4.1.3 to 3.1.4.1.8 and 3.1.4.1.26, and what Windows tells of the events. The
/// numbers are the original's dispositions.
#[rustfmt::skip]
const TRANSITIONS: [(&str, [&str; 7]); 14] = [
    ("approve", ["20 issued request-approve *", STATE, STATE, STATE, STATE, STATE, STATE]),
    ("resubmit, issue",
        ["20 issued request-resubmit *", STATE, STATE, STATE, "20 issued request-resubmit *", STATE, STATE]),
    ("resubmit, hold",
        ["9 pending request-resubmit *", STATE, STATE, STATE, "9 pending request-resubmit *", STATE, STATE]),
    ("resubmit, refuse",
        ["31 denied request-resubmit *", STATE, STATE, STATE, "31 denied request-resubmit *", STATE, STATE]),
    ("deny", ["31 denied request-deny", STATE, STATE, STATE, STATE, STATE, STATE]),
    ("attributes", ["9 - request-attributes", STATE, STATE, STATE, STATE, STATE, STATE]),
    ("extension", ["9 - request-extension", STATE, STATE, STATE, STATE, STATE, STATE]),
    ("revoke", [DATA, "21 revoked certificate-revoke", "21 revoked certificate-revoke",
        "21 revoked certificate-revoke", DATA, DATA, DATA]),
    ("hold", [DATA, "21 revoked certificate-revoke", "21 revoked certificate-revoke", DATA, DATA, DATA, DATA]),
    ("release", [DATA, DATA, "20 unrevoked certificate-release", DATA, DATA, DATA, DATA]),
    ("stay", [DATA, "20 - certificate-publish-expired", "21 - certificate-publish-expired",
        "21 - certificate-publish-expired", DATA, DATA, DATA]),
    // An order for many passes over what is so already.
    ("revoke of many", [DATA, "21 revoked certificate-revoke", "21 revoked certificate-revoke", "21 - -",
        DATA, DATA, DATA]),
    ("retrieve", ["9 - -", "20 retrieve-pending -", "21 - -", "21 - -", "31 - -", "30 - -", "12 - -"]),
    // Put under the row that waits for it.
    ("import", ["20 imported certificate-import", MATCH, MATCH, MATCH, MATCH, MATCH, MATCH]),
];

#[test]
fn each_operation_does_in_each_state_what_the_original_does() {
    for (operation, cells) in TRANSITIONS {
        let office = Office::new();
        let found = STATES.map(|state| office.cell(operation, state));
        assert_eq!(found, cells, "{operation}");
    }
}

/// The rows 8a to 8d of a new request: the original's number of its state and of its result, and the
/// event. No officer has done anything.
#[test]
fn a_new_request_ends_in_one_of_four_states() {
    let office = Office::new();
    for (state, disposition, status, kind) in [
        ("issue", 20, StatusCode::OK, EventKind::CERT_ISSUED),
        ("hold", 9, StatusCode::OK, EventKind::CERT_PENDING),
        ("refuse", 31, StatusCode::ENROLL_DENIED, EventKind::CERT_DENIED),
        ("failed", 30, StatusCode::BAD_SIGNATURE, EventKind::REQUEST_FAILED),
    ] {
        office.says.asked();
        let id = match state {
            "failed" => office.request(state),
            word => office
                .submit(["issue", "hold", "refuse"].into_iter().find(|it| *it == word).unwrap()),
        };
        let store = office.engine.store();
        let row = store.request(id).unwrap().unwrap();
        assert_eq!((row.disposition.code(), row.status), (disposition, status), "{state}");
        assert_eq!(row.resolved.is_some(), row.disposition != Disposition::Pending);
        let event = store.event(store.head()).unwrap().unwrap();
        assert_eq!((event.kind, event.subject), (kind, SubjectKey::Request(id)));
        assert_eq!(event.seq.0, id.0, "one event of each");
        // What nobody has signed is not put before the policy.
        let expected: &[bool] = if state == "failed" { &[] } else { &[true] };
        assert_eq!(office.says.asked(), expected, "{state}");
    }
    assert!(office.audits().is_empty());
}

#[test]
fn a_refusal_by_an_officer_has_the_originals_number() {
    let office = Office::new();
    let id = office.request("pending");
    office.operate("deny", id).unwrap();
    let row = office.engine.store().request(id).unwrap().unwrap();
    assert_eq!((row.status.0, row.message.as_str()), (0x8009_4014, "Denied by local:0"));
}

#[test]
fn an_import_makes_a_row_of_the_importers_and_lists_make_none() {
    let office = Office::new();
    let store = office.engine.store();
    let certificates =
        [&office.house, &office.other].map(|it| it.open().issue(plain_request()).der);
    let order = ImportOrder { allow_foreign: true, ..ImportOrder::default() };
    let results = office.engine.import_all(&certificates, order, &officer());
    for (result, disposition) in results.into_iter().zip([20, 12]) {
        let result = result.unwrap();
        let row = store.request(result.request.unwrap()).unwrap().unwrap();
        assert_eq!(row.disposition.code(), disposition);
        assert_eq!(
            (row.request.requester, row.request.caller),
            ("local:0".into(), "local:0".into())
        );
        let event = store.event(result.event.unwrap()).unwrap().unwrap();
        assert_eq!(event.kind, EventKind::CERT_IMPORTED);
    }
    assert!(office.says.asked().is_empty());
    let imports = [1, 2].map(|id| format!("local:0 certificate-import request:{id}"));
    assert_eq!(office.audits(), imports);

    let rows = store.counts().unwrap().requests;
    let base = CrlOrder { base: true, ..CrlOrder::default() };
    office.engine.publish_crls(base, Some(&officer())).unwrap();
    let event = store.event(store.head()).unwrap().unwrap();
    assert_eq!((event.kind, event.subject), (EventKind::CRL_ISSUED, SubjectKey::Crl));
    assert_eq!(store.counts().unwrap().requests, rows);
    let audits = office.audits();
    assert!(audits.len() == 3 && audits[2].starts_with("local:0 crl-publish "), "{audits:?}");
    // By itself it is nobody's order.
    office.engine.publish_crls(base, None).unwrap();
    assert_eq!(office.audits().len(), 3);
}

/// The one who approves is not the one who asked, and a certificate comes of it all the same.
#[test]
fn what_was_resubmitted_again_and_again_is_told_each_time() {
    let office = Office::new();
    let id = office.request("denied");
    for word in ["hold", "refuse", "refuse", "hold"] {
        office.operate(&format!("resubmit, {word}"), id).unwrap();
    }
    office.says.next("issue");
    let outcome = office.engine.approve(id, &officer()).unwrap().outcome;
    assert!(matches!(outcome, Outcome::Issued { .. }));
    let events = office.engine.store().events_after(exeunt_types::EventSeq(0), 10).unwrap();
    let words: Vec<_> = events.iter().map(|it| it.kind.word()).collect();
    assert_eq!(words, ["denied", "pending", "denied", "denied", "pending", "issued"]);
}
