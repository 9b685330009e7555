//! Revoking, revoking again, releasing.

use exeunt_store::{Expected, RevokeChange};
use exeunt_types::{
    Disposition, EventKind, EventSeq, RequestId, Revocation, RevocationReason as Reason,
};

use crate::support::{
    Place, assert_refused, assert_whole, at, by, change, deeds, intent, issue, issue_all, pend,
    request,
};

fn revocation(reason: Option<Reason>, ran: i64, effective: i64) -> Revocation {
    Revocation { reason, ran: at(ran), effective: at(effective) }
}

#[test]
fn a_revocation_is_in_the_row_the_event_the_audit_and_the_counts() {
    let place = Place::new();
    let store = place.open();
    issue_all(&store, 1..=3);
    let id = RequestId(2);
    let revoke = RevokeChange::Revoke(Reason::KeyCompromise, at(-500));
    let seq = change(&store, id, revoke, 100).unwrap().unwrap();
    let expected = Some(revocation(Some(Reason::KeyCompromise), 100, -500));
    let row = store.request(id).unwrap().unwrap();
    assert_eq!((row.disposition, row.revocation), (Disposition::Revoked, expected));
    assert_eq!((row.message.as_str(), row.resolved), ("changed at 100", Some(at(2000))));
    let event = store.event(seq).unwrap().unwrap();
    assert_eq!((event.kind, event.at), (EventKind::CERT_REVOKED, at(100)));
    let state = event.state.unwrap();
    assert_eq!((state.disposition, state.revocation), (Disposition::Revoked, expected));
    assert_eq!(state.message, "changed at 100");
    assert!(event.certificate.is_some());
    assert_eq!(deeds(&store)[0].entry, by("revoke"));
    let counts = store.counts().unwrap();
    assert_eq!((counts.issued, counts.revoked, counts.certificates), (2, 1, 3));
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn a_hold_ends_and_what_was_of_it_stays_readable() {
    let place = Place::new();
    let store = place.open();
    let (id, _) = issue(&store, 1);
    let hold = RevokeChange::Revoke(Reason::CertificateHold, at(100));
    change(&store, id, hold, 100).unwrap();
    let seq = change(&store, id, RevokeChange::Release, 200).unwrap().unwrap();
    let released = Some(revocation(None, 200, 200));
    let row = store.request(id).unwrap().unwrap();
    assert_eq!((row.disposition, row.revocation), (Disposition::Issued, released));
    let event = store.event(seq).unwrap().unwrap();
    assert_eq!(event.kind, EventKind::CERT_UNREVOKED);
    let state = event.state.unwrap();
    assert_eq!((state.disposition, state.revocation), (Disposition::Issued, released));
    // And it can be revoked again, for good.
    change(&store, id, RevokeChange::Revoke(Reason::Superseded, at(300)), 300).unwrap();
    let row = store.request(id).unwrap().unwrap();
    assert_eq!(row.revocation, Some(revocation(Some(Reason::Superseded), 300, 300)));
    let counts = store.counts().unwrap();
    assert_eq!((counts.issued, counts.revoked), (0, 1));
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn an_event_that_is_read_late_shows_the_revocation_as_it_was() {
    let place = Place::new();
    let store = place.open();
    let (id, issued) = issue(&store, 1);
    let mut told = vec![(issued, None)];
    let changes = [
        (RevokeChange::Revoke(Reason::CertificateHold, at(1)), Some(Reason::CertificateHold), 1),
        (RevokeChange::Release, None, 200),
        (RevokeChange::Revoke(Reason::Unspecified, at(900)), Some(Reason::Unspecified), 900),
        (RevokeChange::Revoke(Reason::KeyCompromise, at(7)), Some(Reason::KeyCompromise), 7),
    ];
    for (when, (it, reason, effective)) in (1..).zip(changes) {
        let seq = change(&store, id, it, when * 100).unwrap().unwrap();
        told.push((seq, Some(revocation(reason, when * 100, effective))));
    }
    drop(store);
    let store = place.open();
    for (seq, expected) in told {
        let event = store.event(seq).unwrap().unwrap();
        assert_eq!(event.state.unwrap().revocation, expected, "event {seq}");
        assert_eq!(event.corrupt, None);
    }
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn staying_in_the_lists_is_audited_and_tells_nobody() {
    let place = Place::new();
    let store = place.open();
    let (id, _) = issue(&store, 1);
    let before = store.request(id).unwrap().unwrap();
    for stays in [true, true, false, true] {
        assert_eq!(change(&store, id, RevokeChange::PublishExpired(stays), 9).unwrap(), None);
        let row = store.request(id).unwrap().unwrap();
        assert_eq!(row.publish_expired, stays);
        assert_eq!((row.disposition, &row.message), (before.disposition, &before.message));
    }
    assert_eq!(store.head(), EventSeq(1));
    assert_eq!(deeds(&store).len(), 4);
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn whoever_decided_upon_another_state_is_refused() {
    let place = Place::new();
    let store = place.open();
    let (id, _) = issue(&store, 1);
    let seen = Expected::of(&store.request(id).unwrap().unwrap());
    change(&store, id, RevokeChange::Revoke(Reason::CertificateHold, at(1)), 1).unwrap();
    let held = Expected::of(&store.request(id).unwrap().unwrap());
    change(&store, id, RevokeChange::Revoke(Reason::CertificateHold, at(1)), 2).unwrap();
    let revoke = RevokeChange::Revoke(Reason::Superseded, at(3));
    for expected in [seen, held] {
        for it in [revoke, RevokeChange::Release, RevokeChange::PublishExpired(true)] {
            assert_refused(&place, "store-changed-meanwhile", || {
                store.revoke(id, expected, it, at(3), String::new(), by("revoke"))
            });
        }
    }
    assert_refused(&place, "store-no-request", || {
        store.revoke(RequestId(99), seen, revoke, at(3), String::new(), by("revoke"))
    });
}

#[test]
fn what_has_no_certificate_is_not_revoked_and_what_is_not_revoked_is_not_released() {
    let place = Place::new();
    let store = place.open();
    let (waiting, _) = pend(&store, 1);
    let active = store.admit_intend(request(2), intent(2)).unwrap();
    let (issued, _) = issue(&store, 3);
    let (released, _) = issue(&store, 4);
    change(&store, released, RevokeChange::Revoke(Reason::CertificateHold, at(1)), 1).unwrap();
    change(&store, released, RevokeChange::Release, 2).unwrap();
    for id in [waiting, active] {
        let revoke = RevokeChange::Revoke(Reason::Superseded, at(3));
        assert_refused(&place, "store-wrong-state", || change(&store, id, revoke, 3));
    }
    for id in [waiting, active, issued, released] {
        let release = RevokeChange::Release;
        assert_refused(&place, "store-wrong-state", || change(&store, id, release, 3));
    }
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn of_many_who_revoke_the_same_at_once_one_does() {
    let place = Place::new();
    let store = place.open();
    let (id, _) = issue(&store, 1);
    let expected = Expected::of(&store.request(id).unwrap().unwrap());
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|when| {
                let store = &store;
                let it = RevokeChange::Revoke(Reason::Superseded, at(when));
                scope.spawn(move || {
                    store.revoke(id, expected, it, at(when), String::new(), by("revoke"))
                })
            })
            .collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|it| it.is_ok()).count(), 1);
    assert_eq!(store.head(), EventSeq(2));
    assert_eq!(deeds(&store).len(), 1);
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn a_revocation_that_cannot_be_read_is_named() {
    let place = Place::new();
    let store = place.open();
    let (id, _) = issue(&store, 1);
    let seq = change(&store, id, RevokeChange::Revoke(Reason::Superseded, at(1)), 1).unwrap();
    place.meddle("UPDATE revocation SET reason = 7; UPDATE event SET revoked_reason = 7");
    let err = store.request(id).unwrap_err();
    assert_eq!(err.to_string(), "request 1 cannot be read: unknown revocation reason 7");
    let event = store.event(seq.unwrap()).unwrap().unwrap();
    assert_eq!(event.corrupt.unwrap(), "unknown revocation reason 7");
    let err = store.read_revoked(|it| it.revoked(0, 0, None, &mut |_| true)).unwrap_err();
    assert_eq!(err.code(), "store-corrupt-row");
}
