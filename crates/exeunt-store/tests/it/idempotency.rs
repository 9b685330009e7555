//! Keys of submissions that may be repeated.

use exeunt_store::{Along, IDEMPOTENCY_KEPT, IDEMPOTENCY_REQUESTS_MAX, Store, StoreError};
use exeunt_types::{
    IdempotencyKey, KnownKey, NewKey, RequestId, Resolution, StatusCode, UnixMillis,
};

use crate::support::{Place, assert_refused, at, certificate, intent, request};

fn key(caller: &str, key: &str, asked: u8, at: UnixMillis) -> Along {
    let key = IdempotencyKey { key: key.to_owned(), asked: [asked; 32] };
    let key = NewKey { caller: caller.to_owned(), key, denied: None, at };
    Along { key: Some(key), ..Along::default() }
}

fn admit(store: &Store, number: u64, along: Along) -> Result<RequestId, StoreError> {
    store.start_admit_intend_along(request(number), intent(number), along)?.wait()
}

fn known(store: &Store, key: &str, now: UnixMillis) -> Option<RequestId> {
    store.idempotency_key("alice", key, now).unwrap().map(|it| it.request)
}

#[test]
fn a_key_comes_with_its_request_or_not_at_all() {
    let place = Place::new();
    let store = place.open();
    let first = admit(&store, 1, key("alice", "k", 1, at(1000))).unwrap();
    let asked = [1; 32];
    let expected = KnownKey { request: first, asked, denied: None };
    assert_eq!(store.idempotency_key("alice", "k", at(2000)).unwrap(), Some(expected.clone()));
    for other in [("bob", "k"), ("alice", "K"), ("alice", "")] {
        assert_eq!(store.idempotency_key(other.0, other.1, at(2000)).unwrap(), None);
    }
    for (asked, same) in [(1, true), (2, false)] {
        let again = || admit(&store, 2, key("alice", "k", asked, at(2000)));
        assert_refused(&place, "idempotency-key-reused", again);
        let Err(StoreError::KeyTaken { known, same: found }) = again() else { panic!() };
        assert_eq!((*known, found), (expected.clone(), same));
    }
    assert_ne!(admit(&store, 2, key("bob", "k", 2, at(2000))).unwrap(), first);
}

#[test]
fn a_request_that_came_to_nothing_gives_its_key_back() {
    let place = Place::new();
    let store = place.open();
    let signed = admit(&store, 1, key("alice", "signed", 1, at(1000))).unwrap();
    store.record(signed, certificate(1), at(1000)).unwrap();
    let failed = admit(&store, 2, key("alice", "failed", 1, at(1000))).unwrap();
    store.abandon(failed, StatusCode::FAIL, "no signature", at(1000)).unwrap();
    admit(&store, 3, key("alice", "interrupted", 1, at(1000))).unwrap();
    let deny = Resolution::Deny { status: StatusCode::FAIL, message: "no".to_owned() };
    let mut along = key("alice", "denied", 1, at(1000));
    along.key.as_mut().unwrap().denied = Some("because".to_owned());
    let denied = store.start_admit_resolve_along(request(4), deny, along).unwrap().wait().unwrap();
    drop(store);

    let store = place.open();
    assert_eq!(store.recover(at(2000)).unwrap().len(), 1);
    assert_eq!(known(&store, "signed", at(2000)), Some(signed));
    assert_eq!(known(&store, "failed", at(2000)), None);
    assert_eq!(known(&store, "interrupted", at(2000)), None);
    let found = store.idempotency_key("alice", "denied", at(2000)).unwrap().unwrap();
    assert_eq!((found.request, found.denied.as_deref()), (denied, Some("because")));
}

#[test]
fn a_key_is_kept_for_its_time_and_for_so_many_requests() {
    let place = Place::new();
    let store = place.open();
    let first = admit(&store, 1, key("alice", "k", 1, at(0))).unwrap();
    let end = at(0).plus(IDEMPOTENCY_KEPT);
    let before = UnixMillis(end.0 - 1);
    assert_eq!(known(&store, "k", before), Some(first));
    assert!(admit(&store, 2, key("alice", "k", 1, before)).is_err());
    assert_eq!(known(&store, "k", end), None);
    let second = admit(&store, 2, key("alice", "k", 2, end)).unwrap();
    assert_eq!(known(&store, "k", end), Some(second));

    // As if so many had come since.
    drop(store);
    let far = second.0 + IDEMPOTENCY_REQUESTS_MAX - 1;
    place.meddle(&format!(
        "INSERT INTO request SELECT {far}, disposition, status, resolved, submitted, request_type,
             message, requester, caller, template, subject, attributes, raw, pended
         FROM request WHERE id = {second}"
    ));
    let store = place.open();
    let last = admit(&store, 3, key("alice", "last", 1, end)).unwrap();
    assert_eq!(last.0 - second.0, IDEMPOTENCY_REQUESTS_MAX);
    assert_eq!(known(&store, "k", end), None);
    assert_eq!(known(&store, "last", end), Some(last));
}
