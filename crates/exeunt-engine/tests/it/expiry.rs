//! Modules are told before certificates run out, by the engine's clock.

use exeunt_engine::{RevokeOrder, Which};
use exeunt_types::{EventKind, RevocationReason};

use crate::support::{House, officer, plain_request};

const DAY_S: i64 = 86_400;
const NEAREST_FIRST: [u32; 3] = [1, 7, 30];

#[test]
fn a_certificate_is_told_of_at_each_distance_as_the_clock_goes_by() {
    let house = House::new();
    let mut ca = house.open();
    // Ninety days, ten minutes back.
    let issued = ca.issue(plain_request());
    let start = ca.clock.seconds();
    let mut told = Vec::new();
    for day in 0..95 {
        // One who looks at noon, and stops in between.
        ca.clock.set(start + day * DAY_S + DAY_S / 2);
        let step = ca.engine.tell_expiring(&NEAREST_FIRST).unwrap();
        assert!(!step.more);
        if step.told == 1 {
            let event = ca.last_event();
            assert_eq!(event.kind, EventKind::CERT_EXPIRING);
            let certificate = event.certificate.unwrap().certificate;
            assert_eq!(certificate.serial, issued.serial);
            told.push((day, event.detail[0].1.clone()));
        }
        if day % 20 == 0 {
            drop(ca);
            ca = house.open();
        }
    }
    // The last second is ten minutes before the ninetieth day; noon is the half before.
    let expected = [(60, "30"), (83, "7"), (89, "1")].map(|(day, it)| (day, it.to_owned()));
    assert_eq!(told, expected);
}

#[test]
fn one_on_hold_is_not_told_of_until_its_hold_ends_at_a_nearer_distance() {
    let ca = House::new().open();
    let issued = ca.issue(plain_request());
    let start = ca.clock.seconds();
    let ask = |order| ca.engine.revoke(Which::Request(issued.request), order, &officer()).unwrap();
    let hold = RevocationReason::CertificateHold;
    ask(RevokeOrder::Revoke { reason: hold, effective: None });
    ca.clock.set(start + 70 * DAY_S);
    assert_eq!(ca.engine.tell_expiring(&NEAREST_FIRST).unwrap().told, 0);
    ask(RevokeOrder::Release);
    ca.clock.set(start + 75 * DAY_S);
    assert_eq!(ca.engine.tell_expiring(&NEAREST_FIRST).unwrap().told, 0);
    ca.clock.set(start + 84 * DAY_S);
    assert_eq!(ca.engine.tell_expiring(&NEAREST_FIRST).unwrap().told, 1);
}
