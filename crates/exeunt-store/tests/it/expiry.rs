//! Events before certificates run out.

use exeunt_store::{EXPIRY_STEP_MAX, RevokeChange, Store};
use exeunt_types::{
    EventKind, EventSeq, NewCertificate, RequestId, RevocationReason, SubjectKey, UnixMillis,
};

use crate::support::{Place, at, certificate, change, intent, request};

const DAY: i64 = 86_400_000;
const ID: fn(u64) -> RequestId = RequestId;

/// A certificate that is valid to the end of that day, issued at day `issued`.
fn issue(store: &Store, number: u64, issued: i64, end: i64) {
    let id = store.admit_intend(request(number), intent(number)).unwrap();
    let made = NewCertificate { not_after: at(end * DAY), ..certificate(number) };
    store.record(id, made, at(issued * DAY)).unwrap();
}

/// All steps of one distance; how many events they wrote.
fn tell(store: &Store, days: u32, nearer: u32, now: i64) -> usize {
    let mut told = 0;
    loop {
        let step = store.tell_expiring(days, nearer, at(now * DAY)).unwrap();
        told += step.told;
        if !step.more {
            return told;
        }
    }
}

/// Of which requests the log tells that they run out, and at which distance.
fn told(store: &Store) -> Vec<(u64, String)> {
    let events = store.events_after(EventSeq(0), 4096).unwrap();
    let mut told = Vec::new();
    for event in events.iter().filter(|it| it.kind == EventKind::CERT_EXPIRING) {
        let SubjectKey::Request(id) = event.subject else { panic!("{event:?}") };
        let [(name, value)] = event.detail.as_slice() else { panic!("{event:?}") };
        assert_eq!(name, "ExpiresWithinDays");
        assert!(event.certificate.is_some() && event.state.is_some(), "{event:?}");
        told.push((id.0, value.clone()));
    }
    told
}

#[test]
fn each_distance_is_told_once_also_over_restarts_and_when_the_clock_goes_back_a_little() {
    let place = Place::new();
    let mut store = place.open();
    issue(&store, 1, 0, 90);
    for day in 50..100 {
        // A day back now and then.
        let day = if day % 7 == 0 { day - 1 } else { day };
        for (days, nearer) in [(30, 7), (7, 1), (1, 0)] {
            tell(&store, days, nearer, day);
        }
        // Also on the day after each event.
        if day % 10 == 1 {
            drop(store);
            store = place.open();
        }
    }
    let expected = [(1, "30".to_owned()), (1, "7".to_owned()), (1, "1".to_owned())];
    assert_eq!(told(&store), expected);
    let at = |seq| store.event(seq).unwrap().unwrap().at;
    assert_eq!(at(EventSeq(2)), UnixMillis(60 * DAY));
}

#[test]
fn after_a_long_stop_the_nearest_distance_is_told_and_nothing_of_what_has_run_out() {
    let place = Place::new();
    let store = place.open();
    issue(&store, 1, 0, 99);
    issue(&store, 2, 0, 101);
    issue(&store, 3, 0, 105);
    issue(&store, 4, 0, 120);
    assert_eq!(tell(&store, 30, 7, 10), 0);
    for (days, nearer) in [(30, 7), (7, 1), (1, 0)] {
        tell(&store, days, nearer, 100);
    }
    let expected = [(4, "30"), (3, "7"), (2, "1")].map(|(id, it)| (id, it.to_owned()));
    assert_eq!(told(&store), expected);
}

#[test]
fn what_is_revoked_or_was_issued_within_the_distance_is_not_told() {
    let place = Place::new();
    let store = place.open();
    issue(&store, 1, 0, 50);
    issue(&store, 2, 0, 50);
    // Ten days of validity were never farther than thirty days from their end.
    issue(&store, 3, 40, 50);
    change(&store, ID(1), RevokeChange::Revoke(RevocationReason::Superseded, at(1)), 1).unwrap();
    assert_eq!(tell(&store, 30, 7, 41), 1);
    assert_eq!(told(&store), [(2, "30".to_owned())]);
    // But of the distances that it crosses, it is.
    assert_eq!(tell(&store, 7, 1, 44), 2);
}

#[test]
fn many_at_once_are_told_step_by_step_and_none_twice() {
    let place = Place::new();
    let store = place.open();
    let many = 3 * EXPIRY_STEP_MAX as u64 + 5;
    store.admit_intend(request(1), intent(1)).unwrap();
    // All end in the same second; written by hand because there are many.
    place.meddle(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i <= {many})
         INSERT INTO request
         SELECT i, 20, 0, 1, 1, 256, '', 'r', 'c', 't', 'CN=x', '', x'3000', 0 FROM n;
         INSERT INTO certificate (request, event, issued, not_before, not_after, serial, key,
                                  subject, sans, raw)
         SELECT id, 0, 0, 0, 50 * {DAY}, x'7f', 'ed25519', '', '', x'3000' FROM request
         WHERE id > 1;"
    ));
    let mut steps = 0;
    loop {
        let step = store.tell_expiring(30, 7, at(30 * DAY)).unwrap();
        assert!(step.told <= EXPIRY_STEP_MAX);
        steps += 1;
        if !step.more {
            break;
        }
    }
    assert_eq!(steps, 4);
    let events = store.events_after(EventSeq(0), 4096).unwrap();
    let mut subjects: Vec<_> = events.iter().map(|it| it.subject).collect();
    subjects.dedup();
    assert_eq!(subjects.len() as u64, many);
}

/// A clock that was far ahead for a while must not leave modules untold for years.
#[test]
fn what_a_clock_far_ahead_has_passed_is_told_when_its_time_comes() {
    let place = Place::new();
    let store = place.open();
    issue(&store, 1, 0, 90);
    issue(&store, 2, 0, 400);
    issue(&store, 3, 0, 3_700);
    // The machine woke up ten years ahead, and was put right.
    assert_eq!(tell(&store, 30, 7, 3_672), 1);
    assert_eq!(tell(&store, 30, 7, 10), 0);
    let mut told_at = Vec::new();
    for day in 11..450 {
        if 0 < tell(&store, 30, 7, day) {
            told_at.push(day);
        }
    }
    assert_eq!(told_at, [60, 370]);
    // A clock that goes back by hours tells nothing twice.
    assert_eq!(tell(&store, 30, 7, 448), 0);
    let expected = [3, 1, 2].map(|id| (id, "30".to_owned()));
    assert_eq!(told(&store), expected);
}
