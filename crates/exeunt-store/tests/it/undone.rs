//! Revocations that somebody took back in the database, past the program.

use std::collections::BTreeMap;

use exeunt_store::{
    AuditEntry, ChainHead, Contradiction, Expected, RevokeChange, Store, check_chain,
};
use exeunt_types::{AuditCategories, RequestId, RevocationReason};

use crate::support::{Place, at, issue};

/// Certificates of requests 1 to 3: the second revoked, the third on hold and released again.
fn revoked() -> Place {
    let place = Place::new();
    let store = place.open();
    store.audit_start(at(1), "exeunt:server", AuditCategories::ALL, "").unwrap();
    for number in 1..=3 {
        issue(&store, number);
    }
    let revoke = |reason| RevokeChange::Revoke(reason, at(5));
    change(&store, 2, "certificate-revoke", revoke(RevocationReason::KeyCompromise));
    change(&store, 3, "certificate-revoke", revoke(RevocationReason::CertificateHold));
    change(&store, 3, "certificate-release", RevokeChange::Release);
    place
}

fn change(store: &Store, number: u64, action: &str, change: RevokeChange) {
    let expected = Expected::of(&store.request(RequestId(number)).unwrap().unwrap());
    let entry = AuditEntry::new(at(6), "olga", action, format!("request:{number}"));
    let message = "changed".to_owned();
    store.revoke(RequestId(number), expected, change, at(6), message, entry).unwrap();
}

#[track_caller]
fn check(sql: &str, expected: &[Contradiction]) {
    let place = revoked();
    place.meddle(sql);
    let store = Store::open_read_only(&place.path).unwrap();
    let mut witness = store.audit_witness().unwrap();
    let rows = store.audit_after(0, 100).unwrap().into_iter().map(Ok);
    let start = ChainHead::start(store.store_id());
    let checked = check_chain(start, rows, &BTreeMap::new(), |it| witness.hear(it));
    assert_eq!(checked.unwrap().fault, None);
    assert_eq!(witness.finish().unwrap(), expected, "{sql}");
}

#[test]
fn a_revocation_that_somebody_took_back_in_the_database_is_found() {
    let gone = [Contradiction::RevocationGone(RequestId(2))];
    check("SELECT 1", &[]);
    check("DELETE FROM revocation WHERE request = 2", &gone);
    check("UPDATE revocation SET revoked = 0 WHERE request = 2", &gone);
    // Lists would name another certificate.
    check("UPDATE revocation SET serial = x'05' WHERE request = 2", &gone);
    // An event before the trail, or one that is still to come, is no excuse.
    for event in ["0", "1", "1000000"] {
        check(
            &format!("UPDATE revocation SET revoked = 0, event = {event} WHERE request = 2"),
            &gone,
        );
    }
    let forged = [Contradiction::RevocationUnaudited(RequestId(1))];
    for event in ["0", "1", "1000000"] {
        check(
            &format!("UPDATE revocation SET request = 1, event = {event} WHERE request = 3"),
            &forged,
        );
    }
    // What was released is not missed.
    check("UPDATE revocation SET serial = x'05' WHERE request = 3", &[]);
}
