//! What the maker of revocation lists reads.

use exeunt_store::{RevokeChange, Since, Store};
use exeunt_types::{
    CrlNumber, RequestId, Revocation, RevocationReason as Reason, RevokedCertificate, StatusCode,
    UnixMillis,
};

use crate::support::{Place, at, certificate, change, intent, issue, issue_all, request, serial};

fn all(
    store: &Store,
    key: u16,
    partition: u32,
    since: Option<UnixMillis>,
) -> Vec<RevokedCertificate> {
    // On a base that is not on record: by the time alone.
    let since = since.map(|at| Since { at, base: CrlNumber(99) });
    let mut found = Vec::new();
    each(store, key, partition, since, &mut |it| {
        found.push(it);
        true
    });
    found
}

fn each(
    store: &Store,
    key: u16,
    partition: u32,
    since: Option<Since>,
    act: &mut dyn FnMut(RevokedCertificate) -> bool,
) {
    store.read_revoked(|view| view.revoked(key, partition, since, act)).unwrap();
}

fn numbers(found: &[RevokedCertificate]) -> Vec<u64> {
    found.iter().map(|it| it.request.0).collect()
}

fn revoke(store: &Store, number: u64, reason: Reason, ran: i64) {
    change(store, RequestId(number), RevokeChange::Revoke(reason, at(ran)), ran).unwrap();
}

/// A certificate of a key and a part of its lists.
fn issue_for(store: &Store, number: u64, key: u16, partition: u32) {
    let id = store.admit_intend(request(number), intent(number)).unwrap();
    let mut certificate = certificate(number);
    (certificate.ca_key, certificate.crl_partition) = (key, partition);
    store.record(id, certificate, at(2000)).unwrap();
}

/// A serial number that is given up.
fn abandon(store: &Store, number: u64, key: u16, when: i64) -> RequestId {
    abandon_of(store, number, (key, 0), when)
}

fn abandon_of(store: &Store, number: u64, (key, part): (u16, u32), when: i64) -> RequestId {
    let mut intent = intent(number);
    (intent.ca_key, intent.crl_partition) = (key, part);
    let id = store.admit_intend(request(number), intent).unwrap();
    store.abandon(id, StatusCode::FAIL, "", at(when)).unwrap();
    id
}

#[test]
fn a_base_list_has_what_is_revoked_now_and_the_abandoned_serials_after_it() {
    let place = Place::new();
    let store = place.open();
    issue_all(&store, 1..=5);
    let given_up = [abandon(&store, 7, 0, 40), abandon(&store, 6, 0, 50)];
    revoke(&store, 4, Reason::KeyCompromise, 10);
    revoke(&store, 2, Reason::CertificateHold, 20);
    revoke(&store, 3, Reason::CertificateHold, 30);
    change(&store, RequestId(2), RevokeChange::Release, 60).unwrap();
    change(&store, RequestId(4), RevokeChange::PublishExpired(true), 70).unwrap();
    let row = |request, number, reason, ran, publish_expired| RevokedCertificate {
        request,
        serial: serial(number),
        revocation: Revocation { reason: Some(reason), ran: at(ran), effective: at(ran) },
        not_after: Some(at(5000)),
        publish_expired,
    };
    let expected = [
        row(RequestId(3), 3, Reason::CertificateHold, 30, false),
        row(RequestId(4), 4, Reason::KeyCompromise, 10, true),
        // In the order of their serial numbers.
        row(given_up[1], 6, Reason::Unspecified, 50, false),
        row(given_up[0], 7, Reason::Unspecified, 40, false),
    ];
    assert_eq!(all(&store, 0, 0, None), expected);
}

#[test]
fn a_delta_list_has_what_changed_since() {
    let place = Place::new();
    let store = place.open();
    issue_all(&store, 1..=6);
    revoke(&store, 1, Reason::KeyCompromise, 99);
    revoke(&store, 2, Reason::KeyCompromise, 100);
    revoke(&store, 3, Reason::CertificateHold, 50);
    revoke(&store, 4, Reason::CertificateHold, 120);
    // Long before, for a time to come; and now, for a time long ago.
    let later = RevokeChange::Revoke(Reason::Superseded, at(130));
    change(&store, RequestId(5), later, 60).unwrap();
    let earlier = RevokeChange::Revoke(Reason::Superseded, at(10));
    change(&store, RequestId(6), earlier, 110).unwrap();
    change(&store, RequestId(3), RevokeChange::Release, 105).unwrap();
    abandon(&store, 7, 0, 99);
    let given_up = abandon(&store, 8, 0, 100);
    let found = all(&store, 0, 0, Some(at(100)));
    // By the time of the command, then what began to count, then what was given up.
    assert_eq!(numbers(&found), [2, 3, 6, 4, 5, given_up.0]);
    assert_eq!(found[1].revocation.reason, None, "a release is told");
    assert_eq!(found[1].revocation.ran, at(105));
    // Each once, although both its times may lie in the range.
    assert_eq!(numbers(&all(&store, 0, 0, Some(at(0)))), [5, 1, 2, 3, 6, 4, 7, 8]);
}

#[test]
fn a_delta_list_has_what_was_told_after_its_base_whatever_the_clock_said() {
    let place = Place::new();
    let store = place.open();
    issue_all(&store, 1..=5);
    revoke(&store, 1, Reason::KeyCompromise, 1000);
    revoke(&store, 2, Reason::CertificateHold, 1000);
    abandon(&store, 6, 0, 1000);
    issue(&store, 7);
    let number = store.next_crl_number().unwrap();
    // The clock is put back while the base is made, and after it.
    revoke(&store, 3, Reason::KeyCompromise, 50);
    store.record_crls(vec![crate::crl::base(number.0)], at(2000), None).unwrap();
    change(&store, RequestId(2), RevokeChange::Release, 60).unwrap();
    revoke(&store, 4, Reason::Superseded, 40);
    revoke(&store, 5, Reason::Superseded, 3000);
    let given_up = abandon(&store, 8, 0, 30);
    let found = |base| {
        let since = Since { at: at(2000), base: CrlNumber(base) };
        let mut found = Vec::new();
        each(&store, 0, 0, Some(since), &mut |it| {
            found.push(it.request.0);
            true
        });
        found
    };
    assert_eq!(found(number.0), [5, 3, 2, 4, given_up.0]);
    assert_eq!(found(99), [5]);
}

#[test]
fn a_list_has_its_own_key_and_part_only() {
    let place = Place::new();
    let store = place.open();
    for (number, key, partition) in [(1, 0, 0), (2, 1, 0), (3, 0, 1), (4, 1, 1)] {
        issue_for(&store, number, key, partition);
        revoke(&store, number, Reason::Superseded, 10);
    }
    abandon(&store, 5, 0, 10);
    abandon(&store, 6, 1, 10);
    abandon_of(&store, 7, (0, 1), 10);
    for since in [None, Some(at(10))] {
        for (key, partition, expected) in
            [(0, 0, &[1, 5][..]), (1, 0, &[2, 6]), (0, 1, &[3, 7]), (1, 1, &[4]), (2, 0, &[])]
        {
            let found = all(&store, key, partition, since);
            assert_eq!(numbers(&found), expected, "key {key}, part {partition}");
        }
    }
}

#[test]
fn reading_ends_when_the_reader_has_enough() {
    let place = Place::new();
    let store = place.open();
    issue_all(&store, 1..=5);
    for number in 1..=5 {
        revoke(&store, number, Reason::Superseded, 10);
    }
    abandon(&store, 6, 0, 10);
    for since in [None, Some(at(0))] {
        let mut calls = 0;
        let since = since.map(|at| Since { at, base: CrlNumber(99) });
        each(&store, 0, 0, since, &mut |_| {
            calls += 1;
            calls < 3
        });
        assert_eq!(calls, 3);
    }
}

#[test]
fn what_happens_meanwhile_is_not_in_a_list_that_has_begun() {
    let place = Place::new();
    let store = place.open();
    issue_all(&store, 1..=3);
    revoke(&store, 1, Reason::Superseded, 10);
    revoke(&store, 2, Reason::CertificateHold, 10);
    let mut found = Vec::new();
    each(&store, 0, 0, None, &mut |it| {
        if it.request == RequestId(1) {
            revoke(&store, 3, Reason::Superseded, 20);
            change(&store, RequestId(2), RevokeChange::Release, 20).unwrap();
        }
        found.push(it.request.0);
        true
    });
    assert_eq!(found, [1, 2]);
    assert_eq!(numbers(&all(&store, 0, 0, None)), [1, 3]);
}

#[test]
fn two_passes_over_one_view_read_the_same() {
    let place = Place::new();
    let store = place.open();
    issue_all(&store, 1..=3);
    revoke(&store, 1, Reason::Superseded, 10);
    let passes = store.read_revoked(|view| {
        let pass = || {
            let mut found = Vec::new();
            view.revoked(0, 0, None, &mut |it| {
                found.push(it);
                true
            })?;
            Ok(found)
        };
        let first = pass()?;
        revoke(&store, 2, Reason::Superseded, 20);
        issue(&store, 4);
        Ok([first, pass()?])
    });
    let [first, second] = passes.unwrap();
    assert_eq!(first, second);
    assert_eq!(numbers(&first), [1]);
    assert_eq!(numbers(&all(&store, 0, 0, None)), [1, 2]);
}
