//! When nothing can be written, nothing is issued.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::thread;

use exeunt_store::Store;
use exeunt_types::{Disposition, RequestId};

use crate::support::{DAY_S, Habit, House, check_fault_of_the_house, create_store, plain_request};

#[test]
fn with_a_read_only_store_nothing_is_issued() {
    let house = House::new();
    let path = house.folder.path().join("store.db");
    create_store(&path);
    let signed = house.key.asked.load(Ordering::SeqCst);
    let ca = house.open_with(Store::open_read_only(&path).unwrap());
    for _ in 0..2 {
        check_fault_of_the_house(&ca.submit(plain_request()).unwrap_err(), "store-read-only");
    }
    // Not even a refusal is answered as if it had been recorded.
    let mut bad = crate::support::der_of(plain_request());
    *bad.last_mut().unwrap() ^= 1;
    check_fault_of_the_house(&ca.submit(&bad).unwrap_err(), "store-read-only");
    assert_eq!(ca.engine.recover().unwrap_err().code(), "store-read-only");
    assert_eq!(ca.key.asked.load(Ordering::SeqCst), signed);
    assert_eq!(ca.counts(), (0, 0, 0));
}

#[test]
fn a_store_that_vanishes_ends_issuance() {
    let house = House::new();
    let ca = house.open();
    ca.issue(plain_request());
    let signed = ca.key.asked.load(Ordering::SeqCst);
    fs::remove_file(house.folder.path().join("store.db")).unwrap();
    for _ in 0..2 {
        check_fault_of_the_house(&ca.submit(plain_request()).unwrap_err(), "store-missing");
    }
    assert_eq!(ca.key.asked.load(Ordering::SeqCst), signed);
}

/// It vanishes while the key works: the signature exists, and nobody gets to see it.
#[test]
fn a_certificate_that_cannot_be_recorded_is_not_shown() {
    let house = House::new();
    let ca = house.open();
    ca.issue(plain_request());
    let path = house.folder.path().join("store.db");
    ca.key.meanwhile(Box::new(move || fs::remove_file(&path).unwrap()));
    let signed = ca.key.asked.load(Ordering::SeqCst);
    check_fault_of_the_house(&ca.submit(plain_request()).unwrap_err(), "store-missing");
    assert_eq!(ca.key.asked.load(Ordering::SeqCst), signed + 1);
}

/// The worst of both: the key fails, and that cannot be written down. Recovery has the intent.
#[test]
fn a_failed_signature_that_cannot_be_written_down_is_reported_all_the_same() {
    let house = House::new();
    let ca = house.open();
    let path = house.folder.path().join("store.db");
    ca.key.shall(Habit::Fail);
    ca.key.meanwhile(Box::new(move || fs::remove_file(&path).unwrap()));
    let err = ca.submit(plain_request()).unwrap_err();
    check_fault_of_the_house(&err, "issue-sign");
    assert_eq!(err.request(), Some(RequestId(1)));
}

const CHILD: &str = "EXEUNT_TEST_ENGINE_DISK";

#[test]
fn disk_full_or_clock_jumped_signing_stops_before_an_event_can_be_lost() {
    check_clock();
    let folder = tempfile::tempdir().unwrap();
    let allowed = Command::new("unshare").args(["-Urm", "true"]).status();
    if !allowed.is_ok_and(|it| it.success()) {
        println!("not tested: this system does not allow unshare");
        return;
    }
    let output = Command::new("unshare")
        .args(["-Urm", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "disk::full_disk_child", "--nocapture"])
        .env(CHILD, folder.path())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    assert!(output.status.success(), "{}", said.concat());
}

/// A clock that left the CA's own life: the key is not asked, and nothing happens untold.
fn check_clock() {
    let house = House::new();
    let ca = house.open();
    ca.issue(plain_request());
    let (today, signed) = (house.clock.seconds(), ca.key.asked.load(Ordering::SeqCst));
    for jump in [-400, 4000] {
        house.clock.set(today + jump * DAY_S);
        check_fault_of_the_house(&ca.submit(plain_request()).unwrap_err(), "ca-not-valid");
    }
    assert_eq!(ca.key.asked.load(Ordering::SeqCst), signed);
    house.clock.set(today);
    ca.issue(plain_request());
    let counts = ca.engine.store().counts().unwrap();
    assert_eq!((counts.certificates, counts.events, counts.active), (2, 2, 0));
}

fn mount_two_megabytes(folder: &Path) {
    let args = ["-t", "tmpfs", "-o", "size=2m", "none"];
    assert!(Command::new("mount").args(args).arg(folder).status().unwrap().success());
}

/// Not a test by itself: it runs with mounts of its own.
#[test]
fn full_disk_child() {
    let Some(folder) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    plain_request();
    mount_two_megabytes(&folder);
    let path = folder.join("store.db");
    create_store(&path);
    let ballast = folder.join("ballast");
    fs::write(&ballast, vec![0; 1_000_000]).unwrap();

    let house = House::new();
    let ca = house.open_with(Store::open(&path).unwrap());
    let mut issued = Vec::new();
    let mut failed = 0;
    for _ in 0..400 {
        let answers: Vec<_> = thread::scope(|scope| {
            let clients: Vec<_> =
                (0..4).map(|_| scope.spawn(|| ca.submit(plain_request()))).collect();
            clients.into_iter().map(|it| it.join().unwrap()).collect()
        });
        for answer in answers {
            match answer {
                Ok(submitted) => issued.push(submitted.request),
                Err(err) => {
                    check_fault_of_the_house(&err, "store-full");
                    // Whoever asks how the CA is hears it, too, unless a smaller write fitted since.
                    assert!(matches!(ca.engine.trouble(), Some("store-full") | None));
                    failed += 1;
                }
            }
        }
        if 8 < failed {
            break;
        }
    }
    assert!(8 < failed, "the disk never became full");

    let certificates = |ca: &crate::support::Ca| {
        let mut found = Vec::new();
        let mut before: Option<RequestId> = None;
        loop {
            let page = ca.engine.store().certificates(before, 100).unwrap();
            let Some(last) = page.last() else { return found };
            before = Some(last.request);
            found.extend(page.iter().map(|it| it.request));
        }
    };
    issued.sort_unstable();
    let mut found = certificates(&ca);
    found.sort_unstable();
    assert_eq!(found, issued, "what was answered and what is there differ");

    // An operator made room: the same CA goes on.
    fs::remove_file(&ballast).unwrap();
    issued.push(ca.issue(plain_request()).request);
    drop(ca);
    // What was signed and could not be recorded is found at the next start, once.
    let ca = house.open_with(Store::open(&path).unwrap());
    let abandoned = ca.engine.recover().unwrap().abandoned;
    for intent in &abandoned {
        assert_eq!(ca.row(intent.request).disposition, Disposition::Error);
        assert_eq!(ca.engine.store().certificate(&intent.serial).unwrap(), None);
    }
    assert!(ca.engine.recover().unwrap().abandoned.is_empty());
    assert_eq!(certificates(&ca).len(), issued.len());
    let counts = ca.engine.store().counts().unwrap();
    assert_eq!((counts.active, counts.failed), (0, abandoned.len() as u64));
    assert_eq!(counts.events, counts.requests);
}
