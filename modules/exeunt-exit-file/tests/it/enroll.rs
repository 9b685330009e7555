//! What the CA publishes of itself: its certificates and its lists, made by openssl.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use exeunt_exit_file::FileExit;
use exeunt_module_kit::{
    Event, Outcome, Properties, Value, exit_event,
    testing::{Host, issued_event},
};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::{
    assert_down, assert_retry, module, names,
    openssl::{Ca, Wanted, p256},
    reason,
};

/// A folder with a started module that publishes everything.
pub struct Fixture {
    pub home: TempDir,
    pub host: Host,
}

impl Fixture {
    pub fn new(settings: &Json) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut host = Host::in_memory(FileExit::default()).unwrap();
        host.initialize(&everything(home.path(), settings)).unwrap();
        Self { home, host }
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join("published").join(name)
    }

    pub fn names(&self) -> Vec<String> {
        names(&self.home.path().join("published"))
    }

    pub fn notify(&mut self, event: &Event) -> Outcome {
        self.host.notify(event).unwrap()
    }
}

pub fn everything(home: &Path, more: &Json) -> Json {
    let mut settings = json!({
        "directory": home.join("published"), "ca_certificates": true, "lists": true,
        "format": "der", "pattern": "{serial}.cer",
    });
    for (name, value) in more.as_object().unwrap() {
        settings[name] = value.clone();
    }
    settings
}

/// A delta list, where there is one.
type Delta<'a> = Option<&'a [u8]>;

/// What the server says of a CA with these certificates, oldest first, each with its lists: a base,
/// and a delta where there is one.
pub fn about(cas: &[(&Ca, Option<&[u8]>, Delta<'_>)]) -> Properties {
    let text = |text: &str| Value::String(text.to_owned());
    let mut it = Properties::from_iter([
        ("SanitizedCAName", text("Roof!002f1")),
        ("SanitizedShortName", text("Roof!002f1")),
        ("MachineDNSName", text("ca.example")),
        ("CertCount", Value::Long(i32::try_from(cas.len()).unwrap())),
    ]);
    for (index, (ca, base, delta)) in cas.iter().enumerate() {
        let newest = index + 1 == cas.len();
        let name = |plain: &str| if newest { plain.to_owned() } else { format!("{plain}.{index}") };
        let suffix = if index == 0 { String::new() } else { format!("({index})") };
        it.push(name("RawCACertificate"), Value::Binary(ca.certificate.der().to_vec()));
        it.push(name("CertSuffix"), text(&suffix));
        it.push(name("CRLSuffix"), text(&suffix));
        it.push(name("CRLState"), Value::Long(3));
        for (raw, list) in [("RawCRL", base), ("RawDeltaCRL", delta)] {
            if let Some(list) = list {
                it.push(name(raw), Value::Binary(list.to_vec()));
            }
        }
    }
    it
}

pub fn told(seq: u64, event: u32, system: Properties) -> Event {
    Event {
        event,
        context: 0,
        subject: "crl:0".to_owned(),
        request: Properties::default(),
        certificate: Properties::default(),
        attributes: Vec::new(),
        system: Arc::new(system),
        ..issued_event(seq, b"")
    }
}

pub fn lists(seq: u64, ca: &Ca, base: &[u8], delta: Option<&[u8]>) -> Event {
    told(seq, exit_event::CRL_ISSUED, about(&[(ca, Some(base), delta)]))
}

pub fn base(ca: &Ca, number: u64) -> Vec<u8> {
    ca.list(Wanted { number, ..Wanted::default() })
}

fn verify_by_openssl(list: &Path, ca: &Path) {
    let verify = Command::new("openssl")
        .args(["crl", "-inform", "DER", "-noout", "-in"])
        .arg(list)
        .arg("-CAfile")
        .arg(ca)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verify.stderr);
    assert!(verify.status.success() && said.contains("verify OK"), "{said}");
}

#[test]
fn certificates_and_lists_of_the_ca_get_the_originals_names() {
    let mut it = Fixture::new(&json!({"mode": "0640"}));
    let (old, new) = (p256("Roof"), p256("Roof"));
    let (old_base, new_base) = (base(&old, 5), base(&new, 6));
    let delta = new.list(Wanted { number: 7, base: Some(6), ..Wanted::default() });
    let event = told(
        1,
        exit_event::CRL_ISSUED,
        about(&[(&old, Some(&old_base), None), (&new, Some(&new_base), Some(&delta))]),
    );
    assert_eq!(it.notify(&event), Outcome::Accept);
    let expected = [
        "Roof!002f1(1)+.crl",
        "Roof!002f1(1).crl",
        "Roof!002f1.crl",
        "ca.example_Roof!002f1(1).crt",
        "ca.example_Roof!002f1.crt",
    ];
    assert_eq!(it.names(), expected);
    assert_eq!(fs::read(it.path("Roof!002f1(1)+.crl")).unwrap(), delta);
    for (list, ca) in [("Roof!002f1", ""), ("Roof!002f1(1)", "(1)"), ("Roof!002f1(1)+", "(1)")] {
        let pem = it.home.path().join("ca.pem");
        let convert = Command::new("openssl")
            .args(["x509", "-inform", "DER", "-in"])
            .arg(it.path(&format!("ca.example_Roof!002f1{ca}.crt")))
            .arg("-out")
            .arg(&pem)
            .status();
        assert!(convert.unwrap().success());
        verify_by_openssl(&it.path(&format!("{list}.crl")), &pem);
    }
    // Again nothing changes, and a start has no lists to tell of.
    let before = fs::metadata(it.path("Roof!002f1.crl")).unwrap().modified().unwrap();
    assert_eq!(it.notify(&event), Outcome::Accept);
    assert_eq!(fs::metadata(it.path("Roof!002f1.crl")).unwrap().modified().unwrap(), before);
    let start = told(2, exit_event::STARTUP, about(&[(&old, None, None)]));
    assert_eq!(it.notify(&start), Outcome::Accept);
    assert_eq!(it.names(), expected);
}

#[test]
fn certificates_crls_and_ca_certificates_are_switched_separately_for_each_target() {
    let ca = p256("Roof");
    let list = base(&ca, 5);
    let delta = ca.list(Wanted { number: 6, base: Some(5), ..Wanted::default() });
    let event = lists(1, &ca, &list, Some(&delta));
    for (settings, expected) in [
        (json!({"lists": false}), &["ca.example_Roof!002f1.crt"][..]),
        (json!({"ca_certificates": false, "delta_lists": false}), &["Roof!002f1.crl"]),
        (
            json!({"ca_certificates": false, "list_name": "%7%9.crl", "certificates": "never"}),
            &["Roof!002f1+.crl", "Roof!002f1.crl"],
        ),
    ] {
        let mut it = Fixture::new(&settings);
        assert_eq!(it.notify(&event), Outcome::Accept);
        assert_eq!(it.names(), expected, "{settings}");
    }
    let mut host = Host::in_memory(FileExit::default()).unwrap();
    assert!(host.initialize(&json!({"directory": "x", "certificates": "never"})).is_err());
}

#[test]
fn the_number_of_a_list_never_goes_backwards() {
    let mut it = Fixture::new(&json!({"ca_certificates": false}));
    let ca = p256("Roof");
    let (older, newer) = (base(&ca, 5), base(&ca, 6));
    let file = it.path("Roof!002f1.crl");
    assert_eq!(it.notify(&lists(1, &ca, &newer, None)), Outcome::Accept);
    assert_eq!(it.notify(&lists(2, &ca, &older, None)), Outcome::Skip);
    assert_eq!(fs::read(&file).unwrap(), newer);
    let newest = base(&ca, 7);
    assert_eq!(it.notify(&lists(3, &ca, &newest, None)), Outcome::Accept);
    assert_eq!(fs::read(&file).unwrap(), newest);
    // One whose time is over serves nobody.
    let times = Some(("20250101000000Z", "20250201000000Z"));
    let late = ca.list(Wanted { number: 8, times, ..Wanted::default() });
    assert_eq!(it.notify(&lists(4, &ca, &late, None)), Outcome::Skip);
    assert_eq!(it.names(), ["Roof!002f1.crl"]);
}

#[test]
fn what_is_not_this_cas_is_left_alone() {
    let ca = p256("Roof");
    let other = p256("Roof");
    let event = lists(1, &ca, &base(&ca, 5), None);
    let mut forged = base(&ca, 9);
    let last = forged.len() - 1;
    forged[last] ^= 1;
    for (content, why) in [
        (b"precious".to_vec(), "what is there is no revocation list"),
        (Vec::new(), "an empty file is there"),
        (base(&other, 1), "a revocation list of another CA is there"),
        (forged, "the signature of what is there is not this CA's"),
    ] {
        let mut it = Fixture::new(&json!({"ca_certificates": false}));
        fs::write(it.path("Roof!002f1.crl"), &content).unwrap();
        let outcome = it.notify(&event);
        assert_eq!(reason(&outcome), format!("Roof!002f1.crl is left alone: {why}"));
        assert!(matches!(outcome, Outcome::Park { .. }));
        assert_eq!(fs::read(it.path("Roof!002f1.crl")).unwrap(), content);
        assert_eq!(it.names().len(), 1);
    }
    let mut it = Fixture::new(&json!({"lists": false}));
    fs::write(it.path("ca.example_Roof!002f1.crt"), other.certificate.der()).unwrap();
    let expected = "ca.example_Roof!002f1.crt is left alone: the certificate of another CA, or of \
                    another key, is there";
    assert_eq!(reason(&it.notify(&event)), expected);
}

#[test]
fn a_list_that_this_ca_has_not_signed_is_not_published() {
    let mut it = Fixture::new(&json!({"ca_certificates": false}));
    let ca = p256("Roof");
    let mut forged = base(&ca, 5);
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let outcome = it.notify(&lists(1, &ca, &forged, None));
    assert_eq!(reason(&outcome), "revocation list 5: its signature is not one of this CA");
    let others = base(&p256("Roof"), 5);
    let outcome = it.notify(&lists(2, &ca, &others, None));
    assert_eq!(reason(&outcome), "revocation list 5: it was issued by another CA");
    assert!(it.names().is_empty());
}

#[test]
fn names_that_do_not_tell_lists_apart_are_parked_before_anything_is_written() {
    let ca = p256("Roof");
    let delta = ca.list(Wanted { number: 6, base: Some(5), ..Wanted::default() });
    let mut it = Fixture::new(&json!({"list_name": "%3.crl", "ca_certificates": false}));
    let outcome = it.notify(&lists(1, &ca, &base(&ca, 5), Some(&delta)));
    assert!(reason(&outcome).ends_with("lacks a token that tells them apart"), "{outcome:?}");
    assert!(it.names().is_empty());
}

#[test]
fn large_lists_and_parts_are_read_from_their_files() {
    let mut it = Fixture::new(&json!({"ca_certificates": false}));
    let ca = p256("Roof");
    let address = |part| format!("http://pki/ca_Partition{part:05}.crl");
    let part = |number, at: u32| {
        ca.list(Wanted { number, address: Some(&address(at)), ..Wanted::default() })
    };
    let put = |name: &str, list: &[u8]| {
        let path = it.home.path().join(name);
        fs::write(&path, list).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (whole, one, two) = (base(&ca, 5), part(6, 1), part(7, 2));
    let paths = [put("5", &whole), put("6", &one), put("7", &two)];
    let mut system = about(&[(&ca, None, None)]);
    system.push("CRLFile", Value::String(paths[0].clone()));
    system.push("CRLPartitionFiles", Value::String(paths[1..].join("\n")));
    assert_eq!(it.notify(&told(1, exit_event::CRL_ISSUED, system)), Outcome::Accept);
    let expected =
        ["Roof!002f1.crl", "Roof!002f1_Partition00001.crl", "Roof!002f1_Partition00002.crl"];
    assert_eq!(it.names(), expected);
    assert_eq!(fs::read(it.path(expected[2])).unwrap(), two);
    // A file that has gone was replaced by the next list, whose event follows.
    let mut system = about(&[(&ca, None, None)]);
    system.push("CRLFile", Value::String("/nowhere/5".to_owned()));
    let outcome = it.notify(&told(2, exit_event::CRL_ISSUED, system));
    assert_retry(&outcome, "reading /nowhere/5: No such file");
}

#[test]
fn another_writers_newer_list_is_never_lost() {
    let ca = p256("Roof");
    let newest = base(&ca, 100);
    let ours: Vec<Vec<u8>> = (1..=12).map(|number| base(&ca, number)).collect();
    for _ in 0..8 {
        let mut it = Fixture::new(&json!({"ca_certificates": false}));
        let (folder, theirs) = (it.home.path().join("published"), newest.clone());
        let go = Arc::new(AtomicBool::new(false));
        let writer = {
            let go = Arc::clone(&go);
            thread::spawn(move || {
                while !go.load(Ordering::Acquire) {
                    thread::yield_now();
                }
                fs::write(folder.join(".theirs"), theirs).unwrap();
                fs::rename(folder.join(".theirs"), folder.join("Roof!002f1.crl")).unwrap();
            })
        };
        for (seq, list) in (1..).zip(&ours) {
            if seq == 3 {
                go.store(true, Ordering::Release);
            }
            let outcome = it.notify(&lists(seq, &ca, list, None));
            let fine = matches!(outcome, Outcome::Accept | Outcome::Skip | Outcome::Retry { .. });
            assert!(fine, "{outcome:?}");
        }
        writer.join().unwrap();
        assert_eq!(fs::read(it.path("Roof!002f1.crl")).unwrap(), newest);
        assert_eq!(it.names(), ["Roof!002f1.crl"]);
    }
}

/// A module whose folder is on a file system of its own; `None` where nobody may mount.
fn mounted(home: &Path, script: &str) -> Option<Host> {
    let may_mount = Command::new("unshare").args(["-rm", "true"]).status();
    if !may_mount.is_ok_and(|it| it.success()) {
        eprintln!("this system lets nobody mount: not tested");
        return None;
    }
    fs::create_dir(home.join("published")).unwrap();
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &format!("{script} && exec \"$0\"")]);
    command.arg(module()).current_dir(home);
    Some(Host::spawn(command).unwrap())
}

#[test]
fn a_list_that_finds_no_room_leaves_the_one_before_it() {
    let home = tempfile::tempdir().unwrap();
    // Two pages: a list, and another one beside it for as long as it is not whole.
    let Some(mut host) = mounted(home.path(), "mount -t tmpfs -o size=8k none published") else {
        return;
    };
    let settings =
        json!({"directory": "published", "lists": true, "pattern": "{serial}", "format": "der"});
    host.initialize(&settings).unwrap();
    let ca = p256("Roof");
    assert_eq!(host.notify(&lists(1, &ca, &base(&ca, 5), None)).unwrap(), Outcome::Accept);
    assert_eq!(host.notify(&lists(2, &ca, &base(&ca, 6), None)).unwrap(), Outcome::Accept);
    let certificate = ca.issue("/CN=x", "authorityKeyIdentifier=keyid");
    assert_eq!(host.notify(&issued_event(3, &certificate)).unwrap(), Outcome::Accept);
    let full = host.notify(&lists(4, &ca, &base(&ca, 7), None)).unwrap();
    assert_down(&full, "writing Roof!002f1.crl: No space left on device");
    // The one before it is there, and said to be newer than this.
    assert_eq!(host.notify(&lists(5, &ca, &base(&ca, 5), None)).unwrap(), Outcome::Skip);
    host.shutdown().unwrap();
}

#[test]
fn a_folder_that_can_only_be_read_is_retried() {
    let home = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs none published && mount -o remount,ro published";
    let Some(mut host) = mounted(home.path(), script) else { return };
    host.initialize(&json!({"directory": "published", "lists": true})).unwrap();
    let ca = p256("Roof");
    let outcome = host.notify(&lists(1, &ca, &base(&ca, 5), None)).unwrap();
    assert_down(&outcome, "writing Roof!002f1.crl: Read-only file system");
    host.shutdown().unwrap();
}
