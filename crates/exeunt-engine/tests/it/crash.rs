//! Keys that fail, lie or take the process with them, and what recovery makes of it.

use std::error::Error as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use exeunt_engine::{Blame, Recovered};
use exeunt_store::Store;
use exeunt_types::{Disposition, EventKind, RequestId, Serial, StatusCode};

use crate::support::{
    Ca, Habit, House, check_fault_of_the_house, create_store, plain_request, submission,
};

const SERIAL: [u8; 16] = [0x47; 16];

/// Nothing was issued; the serial is spent for ever, and can never become a certificate.
#[track_caller]
fn check_abandoned(ca: &Ca, request: RequestId, status: StatusCode) {
    ca.check_end(request, (Disposition::Error, status, EventKind::REQUEST_FAILED));
    let store = ca.engine.store();
    let serial = Serial::from_random(SERIAL);
    let abandoned = store.abandoned_serials(None, 10).unwrap();
    assert_eq!(abandoned.iter().map(|it| it.serial).collect::<Vec<_>>(), [serial]);
    assert_eq!(abandoned[0].request, request);
    assert_eq!(store.certificate(&serial).unwrap(), None);
    assert_eq!(ca.counts(), (1, 0, 1));
    // A random source that gives it once more does not bring it back.
    ca.entropy.next(&[SERIAL]);
    let issued = ca.issue(plain_request());
    assert_ne!(issued.serial, serial);
    assert_eq!(ca.counts(), (2, 1, 2));
}

#[test]
fn a_key_that_fails_spends_the_serial_and_fails_the_request() {
    let ca = House::new().open();
    ca.entropy.next(&[SERIAL]);
    ca.key.shall(Habit::Fail);
    let err = ca.submit(plain_request()).unwrap_err();
    check_fault_of_the_house(&err, "issue-sign");
    assert!(err.source().unwrap().source().unwrap().to_string().contains("slot 7"));
    let request = err.request().unwrap();
    assert!(!ca.row(request).message.contains("slot"), "{}", ca.row(request).message);
    ca.key.shall(Habit::Sign);
    assert_eq!(ca.engine.recover().unwrap(), Recovered::default());
    check_abandoned(&ca, request, StatusCode::FAIL);
}

/// A faulty module must not make the CA publish a certificate that nobody can verify, nor hand out
/// a signature that may betray the key.
#[test]
fn a_signature_that_does_not_verify_is_never_recorded() {
    let ca = House::new().open();
    ca.entropy.next(&[SERIAL]);
    ca.key.shall(Habit::Lie);
    let err = ca.submit(plain_request()).unwrap_err();
    check_fault_of_the_house(&err, "issue-sign");
    ca.key.shall(Habit::Sign);
    check_abandoned(&ca, err.request().unwrap(), StatusCode::FAIL);
}

#[test]
fn a_panic_of_the_key_spends_the_serial_and_fails_the_request() {
    let ca = House::new().open();
    ca.entropy.next(&[SERIAL]);
    ca.key.shall(Habit::Panic);
    let err = ca.submit(plain_request()).unwrap_err();
    assert_eq!((err.code(), err.blame()), ("internal", Blame::Us));
    assert_eq!(err.public_message(), "the CA is unable to issue at the moment");
    ca.key.shall(Habit::Sign);
    assert_eq!(ca.engine.recover().unwrap(), Recovered::default());
    // Others are not hindered by what became of their neighbour.
    check_abandoned(&ca, RequestId(1), StatusCode::FAIL);
}

const CHILD: &str = "EXEUNT_TEST_ABORTED_STORE";

/// Not a test by itself: the process that dies in step 4.
#[test]
fn aborted_child() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let ca = House::new().open_with(Store::open(Path::new(&path)).unwrap());
    ca.entropy.next(&[SERIAL]);
    ca.key.shall(Habit::Abort);
    drop(ca.submit(plain_request()));
    unreachable!("the process lives");
}

#[test]
fn a_process_that_dies_while_signing_leaves_an_intent_that_recovery_abandons_once() {
    let house = House::new();
    let path = house.folder.path().join("store.db");
    create_store(&path);
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::aborted_child", "--nocapture"])
        .env(CHILD, &path)
        .current_dir(house.folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert_eq!(child.status.code(), None, "it was to die by a signal: {said}");

    let ca = house.open();
    let row = ca.row(RequestId(1));
    assert_eq!(row.disposition, Disposition::Active);
    assert_eq!(row.request.subject, "CN=host.example");
    assert_eq!(ca.counts(), (1, 0, 0));
    let abandoned = ca.engine.recover().unwrap().abandoned;
    assert_eq!(abandoned.len(), 1);
    assert_eq!(abandoned[0].serial, Serial::from_random(SERIAL));
    let before = ca.counts();
    assert_eq!(ca.engine.recover().unwrap(), Recovered::default());
    assert_eq!(ca.counts(), before);
    check_abandoned(&ca, RequestId(1), StatusCode::SERVER_SUSPENDED);
}

/// While it signs, no transaction is open: others get their certificates meanwhile.
#[test]
fn a_slow_key_holds_nobody_else_back_in_the_store() {
    let house = House::new();
    let ca = house.open();
    ca.key.shall(Habit::Fail);
    // A second engine over the same store, with a key that works.
    let other = House { folder: Arc::clone(&house.folder), ..House::new() };
    let neighbour = other.open_with(ca.engine.store().clone());
    let asked = ca.key.asked.load(Ordering::SeqCst);
    ca.key.meanwhile(Box::new(move || {
        neighbour.engine.submit(submission(plain_request())).unwrap();
    }));
    let err = ca.submit(plain_request()).unwrap_err();
    assert_eq!(ca.key.asked.load(Ordering::SeqCst), asked + 1);
    assert_eq!(err.request(), Some(RequestId(1)));
    assert_eq!(ca.row(RequestId(2)).disposition, Disposition::Issued);
}
