//! Look-ups for people.

use exeunt_store::{Counts, RevokeChange, SerialStatus};
use exeunt_types::{RequestId, Resolution, Revocation, RevocationReason, StatusCode};

use crate::support::{Place, at, change, intent, issue_all, request, serial};

#[test]
fn pages_are_newest_first_and_continue_where_the_last_one_ended() {
    let place = Place::new();
    let store = place.open();
    issue_all(&store, 1..=5);
    let requests = |before, limit| -> Vec<u64> {
        let page = store.requests(before, limit).unwrap();
        page.into_iter().map(|it| it.id.0).collect()
    };
    assert_eq!(requests(None, 2), [5, 4]);
    assert_eq!(requests(Some(RequestId(4)), 2), [3, 2]);
    assert_eq!(requests(Some(RequestId(2)), 2), [1]);
    assert_eq!(requests(Some(RequestId(1)), 2), []);
    assert_eq!(requests(None, usize::MAX), [5, 4, 3, 2, 1]);
    let page = store.certificates(Some(RequestId(3)), 9).unwrap();
    let serials: Vec<_> = page.into_iter().map(|it| it.certificate.serial).collect();
    assert_eq!(serials, [serial(2), serial(1)]);
}

#[test]
fn what_does_not_exist_is_not_found() {
    let place = Place::new();
    let store = place.open();
    store.admit_intend(request(1), intent(1)).unwrap();
    assert_eq!(store.request(RequestId(2)).unwrap(), None);
    assert_eq!(store.request(RequestId(u64::MAX)).unwrap(), None);
    assert_eq!(store.certificate_of(RequestId(1)).unwrap(), None);
    assert_eq!(store.certificate(&serial(2)).unwrap(), None);
}

#[test]
fn counts_are_kept_without_counting() {
    let place = Place::new();
    let store = place.open();
    assert_eq!(store.counts().unwrap(), Counts::default());
    issue_all(&store, 1..=3);
    let status = StatusCode::FAIL;
    let message = String::new;
    let denied = Resolution::Deny { status, message: message() };
    store.admit_resolve(request(4), denied).unwrap();
    store.admit_resolve(request(5), Resolution::Pend { message: message() }).unwrap();
    let sixth = store.admit_intend(request(6), intent(6)).unwrap();
    store.abandon(sixth, status, "", at(1)).unwrap();
    store.admit_intend(request(7), intent(7)).unwrap();
    let expected = Counts {
        requests: 7,
        active: 1,
        pending: 1,
        foreign: 0,
        issued: 3,
        revoked: 0,
        failed: 1,
        denied: 1,
        certificates: 3,
        abandoned_serials: 1,
        events: 6,
    };
    assert_eq!(store.counts().unwrap(), expected);
    drop(store);
    assert_eq!(place.open().counts().unwrap(), expected);
}

#[test]
fn a_corrupt_row_is_named_and_the_others_can_be_read() {
    let place = Place::new();
    let store = place.open();
    issue_all(&store, 1..=3);
    place.meddle("UPDATE request SET request_type = 5 WHERE id = 2");
    let err = store.request(RequestId(2)).unwrap_err();
    assert_eq!(err.code(), "store-corrupt-row");
    assert_eq!(err.to_string(), "request 2 cannot be read: unknown request type 5");
    assert_eq!(store.requests(None, 9).unwrap_err().to_string(), err.to_string());
    assert!(store.request(RequestId(3)).unwrap().is_some());
}

#[test]
fn a_serial_number_is_unknown_until_its_certificate_is_a_fact_and_then_follows_it() {
    let place = Place::new();
    let store = place.open();
    let status = |number| store.serial_status(&serial(number)).unwrap();
    issue_all(&store, 1..=1);
    assert_eq!((status(1), status(9)), (SerialStatus::Issued, SerialStatus::Unknown));

    let first = RequestId(1);
    let hold = RevocationReason::CertificateHold;
    change(&store, first, RevokeChange::Revoke(hold, at(900)), 100).unwrap();
    let revocation = Revocation { reason: Some(hold), ran: at(100), effective: at(900) };
    assert_eq!(status(1), SerialStatus::Revoked(revocation));
    change(&store, first, RevokeChange::Release, 200).unwrap();
    assert_eq!(status(1), SerialStatus::Issued);

    // What is being signed is no certificate yet; what was given up never becomes one.
    let second = store.admit_intend(request(2), intent(2)).unwrap();
    assert_eq!(status(2), SerialStatus::Unknown);
    store.abandon(second, StatusCode::FAIL, "", at(300)).unwrap();
    assert_eq!(status(2), SerialStatus::Abandoned { at: at(300) });
    assert_eq!(status(1), SerialStatus::Issued);
}
