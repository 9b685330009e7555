//! The module under the kit's host, on real folders.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crash;
mod enroll;
/// The CA that the library of the shipped modules is tried with.
#[path = "../../../../contract/exeunt-publication/tests/it/openssl.rs"]
mod openssl;
mod upkeep;

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use exeunt_exit_file::FileExit;
use exeunt_module_kit::{
    Event, Outcome, Properties, Value, exit_event,
    testing::{Host, HostError, issued_event, reason},
};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// Three certificates for www.example.com by one CA, made with openssl. The first is valid from
/// 2026-01-01, the two others from the same second of 2026-06-01.
const OLDER: &[u8] = include_bytes!("data/older.der");
const NEWER: &[u8] = include_bytes!("data/newer.der");
const TWIN: &[u8] = include_bytes!("data/twin.der");

/// A folder with a started module.
struct Fixture {
    home: TempDir,
    host: Host,
}

impl Fixture {
    fn new(settings: &Json) -> Self {
        let home = tempfile::tempdir().unwrap();
        let host = start(home.path(), settings);
        Self { home, host }
    }

    fn directory(&self) -> PathBuf {
        self.home.path().join("published")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    fn names(&self) -> Vec<String> {
        names(&self.directory())
    }

    fn notify(&mut self, event: &Event) -> Outcome {
        self.host.notify(event).unwrap()
    }
}

fn with_directory(home: &Path, settings: &Json) -> Json {
    let mut settings = settings.clone();
    settings["directory"] = json!(home.join("published"));
    settings
}

fn start(home: &Path, settings: &Json) -> Host {
    let mut host = Host::in_memory(FileExit::default()).unwrap();
    let initialized = host.initialize(&with_directory(home, settings)).unwrap();
    assert_eq!(initialized.event_mask, exit_event::CERT_ISSUED);
    host
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn event_for(seq: u64, common_name: &str, der: &[u8]) -> Event {
    let mut event = issued_event(seq, der);
    event.certificate = Properties::from_iter([
        ("SerialNumber", Value::String(format!("40{seq:02x}"))),
        ("CommonName", Value::String(common_name.to_owned())),
        ("RawCertificate", Value::Binary(der.to_vec())),
    ]);
    event
}

fn by_name() -> Json {
    json!({"pattern": "{subject_cn}.der", "format": "der"})
}

/// What openssl makes of a file in PEM.
fn der_by_openssl(path: &Path) -> Vec<u8> {
    let output = Command::new("openssl")
        .args(["x509", "-outform", "DER", "-in"])
        .arg(path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[track_caller]
fn assert_retry(outcome: &Outcome, start: &str) {
    assert!(matches!(outcome, Outcome::Retry { after_ms: None, .. }), "{outcome:?}");
    assert!(reason(outcome).starts_with(start), "{outcome:?}");
}

/// As [`assert_retry`], where nothing can be written at all.
#[track_caller]
fn assert_down(outcome: &Outcome, start: &str) {
    assert!(matches!(outcome, Outcome::TargetDown { after_ms: None, .. }), "{outcome:?}");
    assert!(reason(outcome).starts_with(start), "{outcome:?}");
}

#[test]
fn a_certificate_becomes_a_file_that_openssl_reads() {
    let mut it = Fixture::new(&json!({}));
    assert_eq!(it.notify(&event_for(9, "x", OLDER)), Outcome::Accept);
    assert_eq!(it.names(), ["4009.pem"]);
    assert_eq!(der_by_openssl(&it.path("4009.pem")), OLDER);
    assert_eq!(fs::metadata(it.path("4009.pem")).unwrap().mode() & 0o7777, 0o644);
    it.host.shutdown().unwrap();
}

#[test]
fn format_and_permissions_are_as_set() {
    let settings = json!({"format": "der", "pattern": "{request_id}.cer", "mode": "0440"});
    let mut it = Fixture::new(&settings);
    assert_eq!(it.notify(&event_for(9, "x", OLDER)), Outcome::Accept);
    assert_eq!(fs::read(it.path("9.cer")).unwrap(), OLDER);
    assert_eq!(fs::metadata(it.path("9.cer")).unwrap().mode() & 0o7777, 0o440);
}

#[test]
fn other_events_are_skipped() {
    let mut it = Fixture::new(&json!({}));
    for kind in [exit_event::CERT_REVOKED, exit_event::CRL_ISSUED, exit_event::STARTUP, 1 << 30] {
        let event = Event { event: kind, ..event_for(9, "x", OLDER) };
        assert_eq!(it.notify(&event), Outcome::Skip);
    }
    assert!(it.names().is_empty());
}

#[test]
fn the_same_event_again_changes_nothing() {
    let mut it = Fixture::new(&json!({}));
    let event = event_for(9, "x", OLDER);
    assert_eq!(it.notify(&event), Outcome::Accept);
    let before = fs::metadata(it.path("4009.pem")).unwrap();
    let again = Event { attempt: 2, ..event.clone() };
    assert_eq!(it.notify(&again), Outcome::Accept);
    // Also by a later process, and twice in one batch.
    it.host.shutdown().unwrap();
    it.host = start(it.home.path(), &json!({}));
    let outcomes = it.host.notify_all(&[event, again]).unwrap();
    assert_eq!(outcomes, vec![Ok(Outcome::Accept); 2]);
    let after = fs::metadata(it.path("4009.pem")).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    assert_eq!(it.names(), ["4009.pem"]);
}

#[test]
fn the_younger_certificate_stays_in_whatever_order_they_come() {
    let all = [OLDER, NEWER, TWIN];
    // Of those that start in the same second, the one with the greater serial number by openssl.
    let winner = TWIN;
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let events = order.map(|index| {
            event_for(u64::try_from(index).unwrap() + 1, "www.example.com", all[index])
        });
        // One by one, and all at once.
        let mut single = Fixture::new(&by_name());
        for event in &events {
            let outcome = single.notify(event);
            assert!(matches!(outcome, Outcome::Accept | Outcome::Skip), "{outcome:?}");
        }
        let mut batch = Fixture::new(&by_name());
        for outcome in batch.host.notify_all(&events).unwrap() {
            assert!(matches!(outcome, Ok(Outcome::Accept | Outcome::Skip)), "{outcome:?}");
        }
        for it in [single, batch] {
            assert_eq!(it.names(), ["www.example.com.der"], "{order:?}");
            assert_eq!(fs::read(it.path("www.example.com.der")).unwrap(), winner, "{order:?}");
        }
    }
}

#[test]
fn an_older_certificate_is_skipped_where_a_younger_one_is() {
    let mut it = Fixture::new(&by_name());
    assert_eq!(it.notify(&event_for(2, "www", NEWER)), Outcome::Accept);
    assert_eq!(it.notify(&event_for(1, "www", OLDER)), Outcome::Skip);
    assert_eq!(fs::read(it.path("www.der")).unwrap(), NEWER);
}

#[test]
fn a_certificate_of_another_ca_is_left_alone_be_it_older_or_younger() {
    let theirs = openssl::p256("Roof");
    let (older, younger) = (theirs.issue_expired("/CN=www", "0ABC"), theirs.issue("/CN=www", ""));
    for other in [&older, &younger] {
        let mut it = Fixture::new(&by_name());
        fs::write(it.path("www.der"), other).unwrap();
        let outcome = it.notify(&event_for(1, "www", NEWER));
        let expected = "www.der is there and is a certificate of another CA; it was left alone";
        assert_eq!(reason(&outcome), expected);
        assert_eq!(fs::read(it.path("www.der")).unwrap(), *other);

        // A link of theirs to one of theirs neither.
        let mut it = Fixture::new(&json!({"latest": "www.cer"}));
        fs::write(it.path("theirs.pem"), other).unwrap();
        symlink("theirs.pem", it.path("www.cer")).unwrap();
        let outcome = it.notify(&event_for(1, "www", NEWER));
        assert!(
            reason(&outcome).starts_with("www.cer is there and is no link to a certificate of")
        );
        assert_eq!(fs::read_link(it.path("www.cer")).unwrap(), Path::new("theirs.pem"));
    }
}

#[test]
fn a_changed_format_is_taken_over() {
    let pattern = "{subject_cn}";
    let mut it = Fixture::new(&json!({"pattern": pattern}));
    assert_eq!(it.notify(&event_for(1, "www", NEWER)), Outcome::Accept);
    it.host.shutdown().unwrap();
    it.host = start(it.home.path(), &json!({"pattern": pattern, "format": "der"}));
    assert_eq!(it.notify(&event_for(1, "www", NEWER)), Outcome::Accept);
    assert_eq!(fs::read(it.path("www")).unwrap(), NEWER);
}

/// The original's module takes the file's name from the request attribute `CertFile` where the
/// operator lets it. Here no attribute names a file, whatever the pattern.
#[test]
fn a_requester_cannot_choose_a_path_outside_what_the_template_allows() {
    for pattern in ["{serial}.pem", "{request_id}.pem", "{subject_cn}.pem", "{template}.pem"] {
        let mut it = Fixture::new(&json!({"pattern": pattern}));
        let around = names(it.home.path());
        let elsewhere = it.home.path().join("elsewhere.cer").to_str().unwrap().to_owned();
        for (seq, place) in (1..).zip([elsewhere.as_str(), "../up.cer", "sub/down.cer", "plain"]) {
            let mut event = event_for(seq, &format!("host{seq}"), OLDER);
            let wishes = ["CertFile", "certfile", "directory", "pattern", "Template"];
            event.attributes = wishes.map(|it| (it.to_owned(), place.to_owned())).to_vec();
            assert_eq!(it.notify(&event), Outcome::Accept, "{pattern} {place}");
        }
        assert_eq!(names(it.home.path()), around, "{pattern}");
        let written = it.names();
        assert!(
            !written.is_empty() && !written.iter().any(|it| it.contains("plain")),
            "{written:?}"
        );
        assert!(written.iter().all(|name| it.path(name).is_file()), "{written:?}");
    }
}

#[test]
fn hostile_names_stay_in_the_folder() {
    let long = "x".repeat(300);
    let hostile = [
        "../../etc/passwd",
        "/etc/passwd",
        "a/b",
        "a\0b",
        "\u{202e}fdp.exe",
        &long,
        ".",
        "..",
        "",
        ".exeunt.under-test.x.tmp",
        "-rf",
        "\n",
        "..\\..\\x",
        "COM1",
        "😀",
    ];
    let mut it = Fixture::new(&json!({"pattern": "{subject_cn}", "format": "der"}));
    let around = names(it.home.path());
    for (index, common_name) in hostile.iter().enumerate() {
        let event = event_for(u64::try_from(index).unwrap(), common_name, OLDER);
        assert_eq!(it.notify(&event), Outcome::Accept, "{common_name:?}");
    }
    assert_eq!(names(it.home.path()), around);
    let written = it.names();
    assert_eq!(written.len(), hostile.len(), "{written:?}");
    for name in written {
        let plain = |it: u8| matches!(it, b' '..=b'~') && !b"/\\\"'`*?<>|&;()[]{}#%".contains(&it);
        assert!(name.bytes().all(plain), "{name:?}");
        assert!(!name.starts_with('.') && name.len() <= 255, "{name:?}");
        assert_eq!(fs::read(it.path(&name)).unwrap(), OLDER);
    }
}

#[test]
fn what_is_there_and_is_no_certificate_is_left_alone() {
    let mut it = Fixture::new(&by_name());
    let outside = it.home.path().join("outside");
    fs::write(&outside, OLDER).unwrap();
    fs::write(it.path("text.der"), "precious").unwrap();
    fs::write(it.path("large.der"), vec![b'x'; 1 << 20]).unwrap();
    fs::create_dir(it.path("folder.der")).unwrap();
    symlink(&outside, it.path("link.der")).unwrap();
    symlink("/nowhere", it.path("dangling.der")).unwrap();
    let made = Command::new("mkfifo").arg(it.path("pipe.der")).status().unwrap();
    assert!(made.success());
    let before = it.names();
    for (index, name) in ["text", "large", "folder", "link", "dangling", "pipe"].iter().enumerate()
    {
        let outcome = it.notify(&event_for(u64::try_from(index).unwrap(), name, NEWER));
        assert!(matches!(outcome, Outcome::Park { .. }), "{name}: {outcome:?}");
        let expected = format!("{name}.der is there and is no certificate; it was left alone");
        assert_eq!(reason(&outcome), expected);
    }
    assert_eq!(it.names(), before);
    assert_eq!(fs::read(&outside).unwrap(), OLDER);
    assert_eq!(fs::read(it.path("text.der")).unwrap(), b"precious");
}

#[test]
fn what_cannot_become_a_file_is_parked() {
    let mut it = Fixture::new(&json!({}));
    let outcome = it.notify(&event_for(1, "x", b"no certificate"));
    assert_eq!(outcome, Outcome::Park { reason: "the certificate cannot be decoded".to_owned() });
    let mut event = event_for(2, "x", OLDER);
    event.certificate = Properties::default();
    let outcome = it.notify(&event);
    assert_eq!(outcome, Outcome::Park { reason: "property RawCertificate is empty".to_owned() });
    event.certificate.push("RawCertificate", Value::Binary(OLDER.to_vec()));
    let outcome = it.notify(&event);
    assert_eq!(outcome, Outcome::Park { reason: "property SerialNumber is empty".to_owned() });
    assert!(it.names().is_empty());
}

#[test]
fn a_folder_that_has_gone_is_retried_until_it_is_back() {
    let mut it = Fixture::new(&json!({}));
    let event = event_for(1, "x", OLDER);
    fs::remove_dir(it.directory()).unwrap();
    assert_down(&it.notify(&event), "opening ");
    fs::create_dir(it.directory()).unwrap();
    assert_eq!(it.notify(&event), Outcome::Accept);
    assert_eq!(it.names(), ["4001.pem"]);
}

#[test]
fn a_folder_that_takes_no_files_is_retried() {
    // Not even root can make a file there.
    let mut host = Host::in_memory(FileExit::default()).unwrap();
    host.initialize(&json!({"directory": "/proc"})).unwrap();
    assert_down(&host.notify(&event_for(1, "x", OLDER)).unwrap(), "writing 4001.pem: ");
}

#[test]
fn a_full_disk_is_retried_until_there_is_room() {
    // A file system of two pages, in a mount namespace of the module's own.
    let may_mount = Command::new("unshare").args(["-rm", "true"]).status();
    if !may_mount.is_ok_and(|it| it.success()) {
        eprintln!("this system lets nobody mount: not tested");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("published")).unwrap();
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs -o size=8k none published && echo $$ > pid && exec \"$0\"";
    command.args(["-rm", "sh", "-c", script]);
    command.arg(module()).current_dir(home.path());
    let mut host = Host::spawn(command).unwrap();
    host.initialize(&json!({"directory": "published", "pattern": "{subject_cn}"})).unwrap();
    for seq in 1..=2 {
        let event = event_for(seq, &seq.to_string(), OLDER);
        assert_eq!(host.notify(&event).unwrap(), Outcome::Accept);
    }
    let events = [event_for(3, "3", OLDER), event_for(4, "1", OLDER)];
    let outcomes = host.notify_all(&events).unwrap();
    assert_down(outcomes[0].as_ref().unwrap(), "writing 3: No space left on device");
    assert_eq!(outcomes[1], Ok(Outcome::Accept));
    // The folder as the module sees it: nothing half is left, and there is no room for it either.
    let pid = fs::read_to_string(home.path().join("pid")).unwrap();
    let inside = Path::new("/proc").join(pid.trim()).join("root");
    let published = inside.join(home.path().strip_prefix("/").unwrap()).join("published");
    assert_eq!(names(&published), ["1", "2"]);
    let other = fs::write(published.join("other"), OLDER).unwrap_err();
    assert_eq!(other.kind(), std::io::ErrorKind::StorageFull);
    fs::remove_file(published.join("other")).unwrap();
    assert_down(&host.notify(&events[0]).unwrap(), "writing 3: No space left on device");
    // Until there is room.
    fs::remove_file(published.join("2")).unwrap();
    assert_eq!(host.notify(&events[0]).unwrap(), Outcome::Accept);
    assert_eq!(names(&published), ["1", "3"]);
    assert_eq!(der_by_openssl(&published.join("3")), OLDER);
    host.shutdown().unwrap();
}

#[test]
fn leftovers_of_a_crash_are_removed_at_the_start() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("published");
    fs::create_dir(&directory).unwrap();
    let kept = [".exeunt.other.1-1.1.tmp", ".exeunt.under-test-2.1-1.1.tmp", ".hidden", "a.tmp"];
    for name in kept.iter().copied().chain([".exeunt.under-test.1-1.1.tmp"]) {
        fs::write(directory.join(name), "half").unwrap();
    }
    start(home.path(), &json!({})).shutdown().unwrap();
    assert_eq!(names(&directory), kept);
}

#[test]
fn a_leftover_of_the_same_event_is_no_hindrance() {
    let mut it = Fixture::new(&json!({}));
    let event = event_for(1, "x", OLDER);
    let leftover = format!(".exeunt.under-test.{}.1.tmp", event.id);
    fs::write(it.path(&leftover), "half").unwrap();
    assert_eq!(it.notify(&event), Outcome::Accept);
    assert_eq!(it.names(), ["4001.pem"]);
    // Not even one that leads elsewhere.
    let outside = it.home.path().join("outside");
    fs::write(&outside, "precious").unwrap();
    let event = event_for(2, "x", OLDER);
    symlink(&outside, it.path(&format!(".exeunt.under-test.{}.2.tmp", event.id))).unwrap();
    assert_eq!(it.notify(&event), Outcome::Accept);
    assert_eq!(it.names(), ["4001.pem", "4002.pem"]);
    assert_eq!(fs::read(&outside).unwrap(), b"precious");
}

#[test]
fn the_folder_is_made_but_not_the_one_around_it() {
    let it = Fixture::new(&json!({}));
    assert_eq!(fs::metadata(it.directory()).unwrap().permissions().mode() & 0o700, 0o700);
    let mut host = Host::in_memory(FileExit::default()).unwrap();
    let missing = it.home.path().join("a/b");
    let Err(HostError::Refuse(refusal)) = host.initialize(&json!({"directory": missing})) else {
        panic!("the folder was accepted")
    };
    let expected = format!(
        "directory {} cannot be made: No such file or directory (os error 2)",
        missing.display()
    );
    assert_eq!(refusal.message, expected);
    fs::write(it.home.path().join("file"), "").unwrap();
    let settings = json!({"directory": it.home.path().join("file")});
    assert!(matches!(host.initialize(&settings), Err(HostError::Refuse(_))));
    assert!(matches!(host.initialize(&json!({})), Err(HostError::Refuse(_))));
}

#[test]
fn a_link_to_a_folder_may_be_configured() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("real")).unwrap();
    symlink("real", home.path().join("published")).unwrap();
    let mut host = start(home.path(), &json!({}));
    assert_eq!(host.notify(&event_for(1, "x", OLDER)).unwrap(), Outcome::Accept);
    assert_eq!(names(&home.path().join("real")), ["4001.pem"]);
}

/// The module as a program. Examples are built before the tests, beside the folder of this binary.
fn module() -> OsString {
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().parent().unwrap().join("examples/file").into_os_string()
}
