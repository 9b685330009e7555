//! The CA's own certificates.

use exeunt_store::{AuditEntry, CrossRow, NewCaCertificate, ROWS_MAX};
use exeunt_types::{EventKind, EventSeq, RequestId, SubjectKey};

use crate::support::{Place, assert_whole, at};

fn new(index: u16, tell: Option<&str>) -> NewCaCertificate {
    NewCaCertificate {
        index,
        sha256: [u8::try_from(index).unwrap(); 32],
        tell: tell.map(|it| vec![("CertSuffix".to_owned(), it.to_owned())]),
        by: AuditEntry::new(at(1), "exeunt:ca", "ca-certificate", format!("ca:{index}")),
    }
}

#[test]
fn the_history_of_the_cas_certificates_is_kept_with_its_events() {
    let place = Place::new();
    let store = place.open();
    assert_eq!(store.ca_certificates().unwrap(), Vec::<[u8; 32]>::new());
    store.add_ca_certificates(vec![new(0, None)], at(1)).unwrap();
    store.add_ca_certificates(vec![new(1, Some("(1)")), new(2, Some("(2)"))], at(2)).unwrap();
    drop(store);
    let store = place.open();
    assert_eq!(store.ca_certificates().unwrap(), [[0; 32], [1; 32], [2; 32]]);
    let events = store.events_after(EventSeq(0), 10).unwrap();
    let told: Vec<_> = events.iter().map(|it| (it.kind, it.subject, &it.detail[0].1)).collect();
    let kind = EventKind::CA_CERT_ISSUED;
    assert_eq!(
        told,
        [(kind, SubjectKey::Ca, &"(1)".to_owned()), (kind, SubjectKey::Ca, &"(2)".to_owned()),]
    );
    assert_eq!(store.audit_after(0, ROWS_MAX).unwrap().len(), 3);
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn a_place_that_is_taken_is_not_given_to_another_certificate() {
    let place = Place::new();
    let store = place.open();
    store.add_ca_certificates(vec![new(0, None)], at(1)).unwrap();
    assert!(store.add_ca_certificates(vec![new(1, Some("(1)")), new(0, None)], at(2)).is_err());
    // All or nothing.
    assert_eq!(store.ca_certificates().unwrap(), [[0; 32]]);
    assert_eq!(store.counts().unwrap().events, 0);
}

#[test]
fn a_gap_in_the_history_is_noticed() {
    let place = Place::new();
    let store = place.open();
    store.add_ca_certificates(vec![new(1, None)], at(1)).unwrap();
    assert_eq!(store.ca_certificates().unwrap_err().code(), "store-corrupt-row");
}

#[test]
fn a_cross_certificate_that_is_made_again_takes_the_place_of_the_first() {
    let place = Place::new();
    let store = place.open();
    assert_eq!(store.ca_cross_certificates().unwrap(), []);
    let row = |signer, subject, request| CrossRow { signer, subject, request: RequestId(request) };
    for each in [row(1, 0, 4), row(0, 1, 3), row(1, 0, 5)] {
        store.add_ca_cross_certificate(each).unwrap();
    }
    drop(store);
    assert_eq!(place.open().ca_cross_certificates().unwrap(), [row(0, 1, 3), row(1, 0, 5)]);
}
