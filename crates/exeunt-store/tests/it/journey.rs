//! Admission, recording, abandoning, recovery.

use exeunt_store::{Store, StoreError};
use exeunt_types::{
    Disposition, EventKind, EventSeq, Intent, RequestId, Resolution, StatusCode, SubjectKey,
};

use crate::support::{Place, assert_whole, at, certificate, intent, issue, request, serial};

fn state(store: &Store, id: RequestId) -> (Disposition, StatusCode, String) {
    let record = store.request(id).unwrap().unwrap();
    (record.disposition, record.status, record.message)
}

#[test]
fn an_admitted_request_is_active_and_tells_nobody() {
    let place = Place::new();
    let store = place.open();
    let id = store.admit_intend(request(1), intent(1)).unwrap();
    assert_eq!(id, RequestId(1));
    let record = store.request(id).unwrap().unwrap();
    assert_eq!(record.request, request(1));
    assert_eq!(record.disposition, Disposition::Active);
    assert_eq!((record.resolved, record.serial), (None, None));
    assert_eq!(store.head(), EventSeq(0));
    assert_eq!(store.certificate(&serial(1)).unwrap(), None);
}

#[test]
fn recording_makes_certificate_state_and_event_at_once() {
    let place = Place::new();
    let store = place.open();
    let (id, seq) = issue(&store, 7);
    assert_eq!((seq, store.head()), (EventSeq(1), EventSeq(1)));
    let record = store.request(id).unwrap().unwrap();
    assert_eq!(record.disposition, Disposition::Issued);
    assert_eq!((record.resolved, record.serial), (Some(at(2000)), Some(serial(7))));
    let found = store.certificate(&serial(7)).unwrap().unwrap();
    assert_eq!(found.certificate, certificate(7));
    assert_eq!((found.request, found.event, found.issued), (id, seq, at(2000)));
    assert_eq!(found.template, "WebServer");
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn a_certificate_is_recorded_once_and_only_for_its_intent() {
    let place = Place::new();
    let store = place.open();
    let (id, _) = issue(&store, 1);
    let again = store.record(id, certificate(1), at(3000)).unwrap_err();
    assert!(matches!(again, StoreError::NoIntent(it) if it == id));
    let other = store.admit_intend(request(2), intent(2)).unwrap();
    let swapped = store.record(other, certificate(3), at(3000)).unwrap_err();
    assert_eq!(swapped.code(), "store-no-intent");
    let unknown = store.record(RequestId(99), certificate(4), at(3000)).unwrap_err();
    assert_eq!(unknown.code(), "store-no-intent");
    // None of this took anything away.
    store.record(other, certificate(2), at(3000)).unwrap();
    assert_eq!(store.head(), EventSeq(2));
}

#[test]
fn a_serial_is_never_given_out_twice() {
    let place = Place::new();
    let store = place.open();
    issue(&store, 1);
    store.admit_intend(request(2), intent(2)).unwrap();
    let third = store.admit_intend(request(3), intent(3)).unwrap();
    store.abandon(third, StatusCode::FAIL, "the key is gone", at(10)).unwrap();
    for used in [1, 2, 3] {
        let err = store.admit_intend(request(4), intent(used)).unwrap_err();
        assert!(matches!(err, StoreError::DuplicateSerial(it) if it == serial(used)), "{err}");
    }
    // The refused requests left no rows behind.
    assert_eq!(store.counts().unwrap().requests, 3);
    assert_eq!(store.admit_intend(request(4), intent(4)).unwrap(), RequestId(4));
}

#[test]
fn an_abandoned_serial_counts_as_revoked_for_ever() {
    let place = Place::new();
    let store = place.open();
    let id = store.admit_intend(request(1), intent(1)).unwrap();
    let seq = store.abandon(id, StatusCode::FAIL, "the key is gone", at(10)).unwrap().unwrap();
    assert_eq!(
        state(&store, id),
        (Disposition::Error, StatusCode::FAIL, "the key is gone".to_owned())
    );
    let abandoned = store.abandoned_serials(None, 10).unwrap();
    assert_eq!(abandoned.len(), 1);
    assert_eq!(
        (abandoned[0].serial, abandoned[0].request, abandoned[0].at),
        (serial(1), id, at(10))
    );
    assert_eq!(store.certificate(&serial(1)).unwrap(), None);
    let event = store.event(seq).unwrap().unwrap();
    assert_eq!(event.kind, EventKind::REQUEST_FAILED);
    let late = store.record(id, certificate(1), at(11)).unwrap_err();
    assert_eq!(late.code(), "store-no-intent");
    let twice = store.abandon(id, StatusCode::FAIL, "", at(12)).unwrap_err();
    assert_eq!(twice.code(), "store-no-intent");
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn a_resolved_request_has_its_state_and_its_event() {
    let place = Place::new();
    let store = place.open();
    let message = || "because".to_owned();
    let status = StatusCode::ENROLL_DENIED;
    let cases = [
        (Resolution::Pend { message: message() }, EventKind::CERT_PENDING, Disposition::Pending),
        (
            Resolution::Deny { status, message: message() },
            EventKind::CERT_DENIED,
            Disposition::Denied,
        ),
        (
            Resolution::Fail { status, message: message() },
            EventKind::REQUEST_FAILED,
            Disposition::Error,
        ),
    ];
    for (number, (resolution, kind, disposition)) in (1..).zip(cases) {
        let id = store.admit_resolve(request(number), resolution).unwrap();
        let record = store.request(id).unwrap().unwrap();
        assert_eq!((record.disposition, record.message.as_str()), (disposition, "because"));
        let waits = disposition == Disposition::Pending;
        assert_eq!(record.status, if waits { StatusCode::OK } else { status });
        assert_eq!(record.resolved, (!waits).then_some(at(1000)));
        let event = store.event(EventSeq(number)).unwrap().unwrap();
        assert_eq!(
            (event.kind, event.subject, event.at),
            (kind, SubjectKey::Request(id), at(1000))
        );
        assert_eq!(event.state.unwrap().disposition, disposition);
        assert_eq!(event.certificate, None);
    }
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn recovery_abandons_what_was_unfinished_and_leaves_the_rest() {
    let place = Place::new();
    let store = place.open();
    issue(&store, 1);
    let second = store.admit_intend(request(2), intent(2)).unwrap();
    let third = store.admit_intend(request(3), intent(3)).unwrap();
    let pending = Resolution::Pend { message: String::new() };
    let fourth = store.admit_resolve(request(4), pending).unwrap();
    drop(store);

    let store = place.open();
    let recovered = store.recover(at(50)).unwrap();
    let expected = |request, number| Intent {
        request,
        serial: serial(number),
        tbs: format!("tbs of {number}").into_bytes(),
    };
    assert_eq!(recovered, [expected(second, 2), expected(third, 3)]);
    assert_eq!(state(&store, RequestId(1)).0, Disposition::Issued);
    assert_eq!(state(&store, fourth).0, Disposition::Pending);
    for id in [second, third] {
        let (disposition, status, _) = state(&store, id);
        assert_eq!((disposition, status), (Disposition::Error, StatusCode::SERVER_SUSPENDED));
    }
    let kinds: Vec<_> = store.events_after(EventSeq(2), 10).unwrap();
    assert!(kinds.iter().all(|it| it.kind == EventKind::REQUEST_FAILED && it.at == at(50)));
    assert_eq!(store.counts().unwrap().abandoned_serials, 2);
    assert_eq!(store.recover(at(60)).unwrap(), []);
    assert_eq!(store.head(), EventSeq(4));
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn recovery_fails_an_active_request_that_lost_its_intent() {
    let place = Place::new();
    let store = place.open();
    store.admit_intend(request(1), intent(1)).unwrap();
    let second = store.admit_intend(request(2), intent(2)).unwrap();
    drop(store);
    place.meddle("DELETE FROM intent WHERE request = 2");
    let store = place.open();
    assert_eq!(store.recover(at(50)).unwrap().len(), 1);
    assert_eq!(state(&store, second).0, Disposition::Error);
    assert_eq!(store.head(), EventSeq(2));
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn starting_and_stopping_are_events_about_the_server() {
    let place = Place::new();
    let store = place.open();
    let seq = store.append_server_event(EventKind::STARTUP, at(5)).unwrap();
    let event = store.event(seq).unwrap().unwrap();
    assert_eq!((event.kind, event.subject), (EventKind::STARTUP, SubjectKey::Server));
    assert_eq!((event.state, event.request, event.corrupt), (None, None, None));
}
