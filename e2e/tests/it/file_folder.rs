//! The folder of the file module while it is told: made anew, made later, mounted over, full, read-only.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use exeunt_e2e::ca::{Ca, text, wait_for};
use exeunt_e2e::load;
use serde_json::Value as Json;

use super::issuing::request;

/// Has so many certificates issued.
fn issue(ca: &Ca, address: SocketAddr, count: usize) {
    let file = request(ca, "ec:P-256", "/CN=www.example.test", &["www.example.test"]);
    load::issue(address, &ca.token(), &[fs::read(file).unwrap()], 4, count).unwrap();
}

fn status(ca: &Ca) -> Json {
    serde_json::from_str(&ca.ok(&["exit", "status", "file", "--json"])).unwrap()
}

/// Names of certificates in the folder.
fn certificates(folder: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = names.filter_map(|it| it.file_name().into_string().ok());
    let is_certificate = |it: &String| Path::new(it).extension().is_some_and(|it| it == "pem");
    names.filter(|it| is_certificate(it) && !it.starts_with('.')).collect()
}

fn wait_for_certificates(folder: &Path, count: usize) {
    wait_for(&format!("{count} certificates in {}", folder.display()), || {
        (certificates(folder).len() == count).then_some(())
    });
}

#[test]
fn a_folder_that_is_made_anew_is_published_into_by_itself() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    issue(&ca, server.address(), 2);
    wait_for_certificates(&ca.published(), 2);
    let before = wait_for("all told", || Some(status(&ca)).filter(|it| it["lag"] == 0));
    fs::remove_dir_all(ca.published()).unwrap();
    fs::create_dir(ca.published()).unwrap();
    issue(&ca, server.address(), 3);
    wait_for_certificates(&ca.published(), 3);
    // The first attempt found the other folder closed, and is not held against the event.
    let after = wait_for("all told", || Some(status(&ca)).filter(|it| it["lag"] == 0));
    assert_eq!(after["retried"], before["retried"], "{after:#}");
    assert_eq!(after["held_retry"], 0, "{after:#}");
    if after["isolation"].as_str().unwrap().starts_with("files") {
        assert_eq!(after["starts"], before["starts"].as_u64().unwrap() + 1, "{after:#}");
    }
    server.stop();
}

#[test]
fn a_folder_that_comes_late_is_published_into_by_itself() {
    // In the second case the module would have to make it where nothing is open to it.
    for is_beside in [false, true] {
        let ca = Ca::init(&[]);
        let place = if is_beside { "beside" } else { "home/late/published" };
        let folder = ca.home().parent().unwrap().join(place);
        ca.configure("directory = \"published\"", &format!("directory = {folder:?}"));
        let server = ca.serve();
        issue(&ca, server.address(), 1);
        let down = wait_for("the module to be down", || {
            Some(status(&ca)).filter(|it| it["state"] == "down")
        });
        let why = down["why"].as_str().unwrap();
        assert!(why.contains("cannot be made"), "{why}");
        let is_confined = down["isolation"].as_str().unwrap().starts_with("files");
        if is_confined && is_beside {
            for words in ["this module is confined: in ", "the setting `writable` opens more"] {
                assert!(why.contains(words), "{why}");
            }
            assert!(why.contains(folder.to_str().unwrap()), "{why}");
        }
        fs::create_dir_all(&folder).unwrap();
        wait_for_certificates(&folder, 1);
        server.stop();
    }
}

/// Runs a command where the server's mounts are.
fn mount(server: u32, words: &[&str]) {
    let pid = server.to_string();
    let mut command = Command::new("nsenter");
    command.args(["--target", &pid, "--user", "--mount", "--preserve-credentials"]);
    let output = command.args(words).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The folder as the server sees it.
fn seen_by(server: u32, folder: &Path) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{server}/root"));
    root.join(folder.strip_prefix("/").unwrap())
}

#[test]
fn a_disk_that_is_mounted_over_the_folder_full_and_read_only_has_everything_in_the_end() {
    let may_mount = Command::new("unshare").args(["-rm", "true"]).status();
    if !may_mount.is_ok_and(|it| it.success()) {
        eprintln!("this system lets nobody mount: not tested");
        return;
    }
    let ca = Ca::init(&[]);
    let server = ca.serve_by(&["unshare", "-rm"]);
    let (pid, published) = (server.pid(), ca.published());
    let folder = published.to_str().unwrap();
    issue(&ca, server.address(), 2);
    wait_for_certificates(&published, 2);

    // 1. A disk comes over the folder. It has no room for what follows.
    mount(pid, &["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder]);
    let disk = seen_by(pid, &published);
    assert!(certificates(&disk).is_empty());
    fs::write(disk.join("notes.txt"), "somebody's").unwrap();
    issue(&ca, server.address(), 40);
    wait_for("a full disk", || {
        let status = status(&ca);
        status["last_error"].as_str().filter(|it| it.contains("No space left")).map(drop)
    });
    let there = certificates(&disk).len();
    assert!(0 < there && there < 40, "{there}");

    // 2. There is room, but nobody may write.
    mount(pid, &["mount", "-o", "remount,ro,size=16m", folder]);
    wait_for("a disk that can only be read", || {
        let status = status(&ca);
        status["last_error"].as_str().filter(|it| it.contains("Read-only")).map(drop)
    });
    assert_eq!(certificates(&disk).len(), there);

    // 3. All is well: what waited comes by itself, and what was written before the disk came is
    //    found missing.
    mount(pid, &["mount", "-o", "remount,rw", folder]);
    wait_for_certificates(&disk, 40);
    assert_eq!(status(&ca)["held_parked"], 0);
    ca.ok(&["crl", "publish"]);
    wait_for("the list", || disk.join("Test Root.crl").exists().then_some(()));
    let looked = ca.run(&["exit", "reconcile", "file"]);
    assert!(text(&looked.stdout).contains("2 not"), "{}", text(&looked.stdout));
    ca.ok(&["exit", "reconcile", "file", "--mend"]);
    assert_eq!(certificates(&disk).len(), 42);
    assert!(certificates(&published).is_subset(&certificates(&disk)));
    assert_eq!(fs::read(disk.join("notes.txt")).unwrap(), b"somebody's");
    server.stop();
}
