//! A serial number is signed once, whatever the random source gives.

use std::sync::atomic::Ordering;

use exeunt_types::Serial;

use crate::support::{Habit, House, ScriptedEntropy, check_fault_of_the_house, plain_request};

const FIRST: [u8; 16] = [0x51; 16];
const SECOND: [u8; 16] = [0x52; 16];

#[test]
fn a_serial_that_was_used_is_drawn_again() {
    let ca = House::new().open();
    ca.entropy.next(&[FIRST, FIRST, SECOND]);
    assert_eq!(ca.issue(plain_request()).serial, Serial::from_random(FIRST));
    assert_eq!(ca.issue(plain_request()).serial, Serial::from_random(SECOND));
    assert_eq!(ca.entropy.drawn.load(Ordering::SeqCst), 3);
    assert_eq!(ca.counts(), (2, 2, 2));
}

#[test]
fn an_abandoned_serial_is_never_signed_again() {
    let ca = House::new().open();
    ca.entropy.next(&[FIRST, FIRST, SECOND]);
    ca.key.shall(Habit::Fail);
    check_fault_of_the_house(&ca.submit(plain_request()).unwrap_err(), "issue-sign");
    ca.key.shall(Habit::Sign);
    assert_eq!(ca.issue(plain_request()).serial, Serial::from_random(SECOND));
    let abandoned = ca.engine.store().abandoned_serials(None, 10).unwrap();
    assert_eq!(abandoned.len(), 1);
    assert_eq!(abandoned[0].serial, Serial::from_random(FIRST));
}

#[test]
fn a_random_source_that_repeats_itself_ends_issuance() {
    let entropy = ScriptedEntropy::stuck_at(FIRST);
    let house = House { entropy, ..House::new() };
    let ca = house.open();
    ca.issue(plain_request());
    let signed = ca.key.asked.load(Ordering::SeqCst);
    for _ in 0..3 {
        let err = ca.submit(plain_request()).unwrap_err();
        check_fault_of_the_house(&err, "store-duplicate-serial");
    }
    assert_eq!(ca.counts(), (1, 1, 1));
    assert_eq!(ca.key.asked.load(Ordering::SeqCst), signed);
    // One draw for the first certificate, and exactly two for each of the others.
    assert_eq!(ca.entropy.drawn.load(Ordering::SeqCst), 7);
}

#[test]
fn random_octets_of_any_kind_become_a_positive_serial_of_sixteen_octets() {
    let ca = House::new().open();
    ca.entropy.next(&[[0; 16], [0xff; 16], [0x80; 16]]);
    for _ in 0..3 {
        let serial = ca.issue(plain_request()).serial;
        assert_eq!(serial.as_be_bytes().len(), 16);
        assert!(serial.as_be_bytes()[0] < 0x80);
    }
}
