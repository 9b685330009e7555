//! Files that vanish, disks that are full or read-only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use exeunt_store::Store;

use crate::support::{
    Place, STORE_ID, assert_whole, at, certificate, intent, issue, issue_all, request, serial,
};

/// Does `harm` to a store at work; nothing written afterwards may be acknowledged.
#[track_caller]
fn check_harm(code: &str, harm: impl FnOnce(&Place)) {
    let place = Place::new();
    let store = place.open();
    let id = store.admit_intend(request(1), intent(1)).unwrap();
    issue(&store, 2);
    harm(&place);
    let head = store.head();
    let failed = store.record(id, certificate(1), at(3)).unwrap_err();
    assert_eq!(failed.code(), code, "{failed}");
    // It stays so, also for other callers.
    let later = store.clone().admit_intend(request(3), intent(3)).unwrap_err();
    assert_eq!(later.code(), code, "{later}");
    assert_eq!(store.head(), head);
}

#[test]
fn a_file_truncated_under_a_server_is_still_refused_after_it_stopped() {
    let place = Place::new();
    issue_all(&place.open(), 1..=50);
    let store = place.open();
    issue(&store, 51);
    let file = fs::OpenOptions::new().write(true).open(&place.path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 4096 / 2 * 4096).unwrap();
    // Nobody wrote, so nobody has noticed yet.
    drop(store);
    assert_eq!(Store::open(&place.path).unwrap_err().code(), "store-damaged");
}

fn log_of(place: &Place) -> PathBuf {
    place.folder.path().join("store.db-wal")
}

#[test]
fn a_deleted_file_stops_the_writer() {
    check_harm("store-missing", |place| fs::remove_file(&place.path).unwrap());
}

#[test]
fn a_deleted_log_stops_the_writer() {
    check_harm("store-missing", |place| fs::remove_file(log_of(place)).unwrap());
}

#[test]
fn a_replaced_file_stops_the_writer() {
    check_harm("store-damaged", |place| {
        let copy = place.folder.path().join("copy");
        fs::copy(&place.path, &copy).unwrap();
        fs::rename(&copy, &place.path).unwrap();
    });
}

#[test]
fn a_truncated_file_stops_the_writer() {
    check_harm("store-damaged", |place| truncate(&place.path));
}

#[test]
fn a_truncated_log_stops_the_writer() {
    check_harm("store-damaged", |place| truncate(&log_of(place)));
}

fn truncate(path: &Path) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
}

#[test]
fn a_store_that_failed_leaves_the_files_of_its_successor_alone() {
    let place = Place::new();
    let store = place.open();
    issue(&store, 1);
    let other = Place::new();
    issue(&other.open(), 2);
    fs::rename(&other.path, &place.path).unwrap();
    fs::write(log_of(&place), "the successor's log").unwrap();
    assert!(store.admit_intend(request(3), intent(3)).is_err());
    drop(store);
    assert_eq!(fs::read_to_string(log_of(&place)).unwrap(), "the successor's log");
}

const CHILD: &str = "EXEUNT_TEST_DISK";

/// Runs a function of this file in a process with mounts of its own; `folder` is where it mounts.
fn run_with_own_mounts(child: &str) {
    let folder = tempfile::tempdir().unwrap();
    let status = |program: &[&str]| {
        Command::new(program[0])
            .args(&program[1..])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", child, "--nocapture"])
            .env(CHILD, folder.path())
            .output()
    };
    let allowed = Command::new("unshare").args(["-Urm", "true"]).status();
    if !allowed.is_ok_and(|it| it.success()) {
        println!("not tested: this system does not allow unshare");
        return;
    }
    let output = status(&["unshare", "-Urm", "--"]).unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn child_folder() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

fn mount(arguments: &[&str], folder: &Path) {
    let done = Command::new("mount").args(arguments).arg(folder).status().unwrap();
    assert!(done.success(), "mount {arguments:?}");
}

#[test]
fn a_full_disk_refuses_the_batch_and_later_ones_may_succeed() {
    run_with_own_mounts("faults::full_disk_child");
}

#[test]
fn full_disk_child() {
    let Some(folder) = child_folder() else { return };
    mount(&["-t", "tmpfs", "-o", "size=2m", "none"], &folder);
    let path = folder.join("store.db");
    Store::create(&path, STORE_ID, at(0)).unwrap();
    let ballast = folder.join("ballast");
    fs::write(&ballast, vec![0; 1_000_000]).unwrap();
    let store = Store::open(&path).unwrap();
    let mut issued = Vec::new();
    let mut failed = 0;
    // Several callers at once, so that batches with more than one job fail.
    for round in 0..400_u64 {
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|client| {
                    let store = &store;
                    scope.spawn(move || {
                        let number = round * 4 + client;
                        let id = store.admit_intend(request(number), intent(number))?;
                        store.record(id, certificate(number), at(1))?;
                        Ok::<_, exeunt_store::StoreError>((id, number))
                    })
                })
                .collect();
            for client in clients {
                match client.join().unwrap() {
                    Ok(done) => issued.push(done),
                    Err(err) => {
                        assert_eq!(err.code(), "store-full", "{err:?}");
                        failed += 1;
                    }
                }
            }
        });
        if 8 < failed {
            break;
        }
    }
    assert!(8 < failed, "the disk never became full");
    let head = store.head();
    fs::remove_file(&ballast).unwrap();
    // An operator made room: the same store goes on, and no number was skipped.
    let (_, seq) = issue(&store, 1_000_000);
    assert_eq!(seq, head.next());
    for (id, number) in &issued {
        assert_eq!(store.certificate(&serial(*number)).unwrap().unwrap().request, *id);
    }
    store.recover(at(5)).unwrap();
    drop(store);
    assert_whole(&path);
}

#[test]
fn a_read_only_disk_is_named() {
    run_with_own_mounts("faults::read_only_child");
}

#[test]
fn read_only_child() {
    let Some(folder) = child_folder() else { return };
    mount(&["-t", "tmpfs", "-o", "size=2m", "none"], &folder);
    let path = folder.join("store.db");
    Store::create(&path, STORE_ID, at(0)).unwrap();
    issue(&Store::open(&path).unwrap(), 1);
    mount(&["-o", "remount,ro"], &folder);
    assert_eq!(Store::open(&path).unwrap_err().code(), "store-read-only");
    let other = folder.join("other.db");
    assert_eq!(Store::create(&other, STORE_ID, at(0)).unwrap_err().code(), "store-read-only");
}
