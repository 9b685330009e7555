//! Backups: taken beside a server at full speed, read, restored, refused, and cut off in the middle.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use exeunt_e2e::ca::{Ca, text, wait_for};
use exeunt_e2e::wire::Connection;
use exeunt_e2e::{measure, program, record};
use exeunt_store::{SerialStatus, Store};
use exeunt_testkit::{foreign, tools};
use exeunt_types::{EventSeq, Serial};
use exeunt_x509::encode_pem;
use serde_json::Value;

use super::issuing::request;

/// `restored`, one of Exeunt's own events.
const RESTORED: u32 = 0x80_0000;

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A file with a passphrase for backups.
fn word(ca: &Ca, word: &str) -> PathBuf {
    let file = ca.scratch().join(format!("{}.word", word.replace(' ', "-")));
    fs::write(&file, word).unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    file
}

fn json(ca: &Ca, args: &[&str]) -> Value {
    serde_json::from_str(&ca.ok(&[args, &["--json"]].concat())).unwrap()
}

/// The code with which a command is refused.
#[track_caller]
fn refusal(ca: &Ca, args: &[&str]) -> String {
    let output = ca.run(args);
    assert!(!output.status.success(), "{args:?} succeeded");
    let message = text(&output.stderr);
    let code = message.split_once("error[").and_then(|(_, rest)| rest.split_once(']'));
    code.unwrap_or_else(|| panic!("no code in {message:?}")).0.to_owned()
}

/// Puts the home away, as if its machine were gone, and restores it from a backup. What opens the key
/// comes back by hand, as it must.
fn lose_and_restore(ca: &Ca, backup: &Path, word: &Path) -> Value {
    let away = ca.scratch().join("original");
    fs::rename(ca.home(), &away).unwrap();
    let report = json(ca, &["restore", path(backup), "--passphrase-file", path(word)]);
    assert_eq!(report["missing"], serde_json::json!(["secrets/passphrase"]));
    fs::copy(away.join("secrets/passphrase"), ca.home().join("secrets/passphrase")).unwrap();
    report
}

fn issue(ca: &Ca, name: &str) -> String {
    let out = ca.scratch().join(format!("{name}.pem"));
    let file = request(ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    ca.ok(&["submit", &file, "--out", path(&out)]);
    fs::read_to_string(out).unwrap()
}

/// Ends the threads that look at it, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_backup_under_load_holds_everything_that_was_answered_before_it_began() {
    let ca = Ca::init(&[]);
    let (module, heard) = (program::built("record-module"), ca.scratch().join("heard"));
    ca.configure_more(&format!(
        "[[exit]]\nname = \"record\"\ncommand = [{:?}]\n[exit.settings]\nfile = {:?}",
        path(&module),
        path(&heard)
    ));
    let (backup, word) = (ca.scratch().join("ca.backup"), word(&ca, "another word"));
    let requests = measure::requests(&ca);
    let server = ca.serve();
    let token = ca.token();

    let stop = AtomicBool::new(false);
    let answered = Mutex::new(Vec::<Serial>::new());
    let count = || answered.lock().unwrap_or_else(PoisonError::into_inner).len();
    let (before, after) = std::thread::scope(|scope| {
        let ends = Stop(&stop);
        for first in 0..8 {
            let (requests, stop, answered, token) = (&requests, &stop, &answered, &token);
            let address = server.address();
            scope.spawn(move || {
                let mut connection = Connection::open(address, token).unwrap();
                for request in requests.iter().cycle().skip(first) {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let answer = connection.submit(request).unwrap();
                    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
                    let serial = Serial::from_hex(answer["serial"].as_str().unwrap()).unwrap();
                    answered.lock().unwrap().push(serial);
                }
            });
        }
        wait_for("some certificates", || (100 < count()).then_some(()));
        let before = count();
        let backed_up = ca.run(&["backup", path(&backup), "--passphrase-file", path(&word)]);
        let after = count();
        drop(ends);
        assert!(backed_up.status.success(), "{}", text(&backed_up.stderr));
        (before, after)
    });
    assert!(before < after, "nothing was issued while the backup was taken");
    let answered = answered.into_inner().unwrap();

    let manifest = json(&ca, &["verify-backup", path(&backup), "--passphrase-file", path(&word)]);
    let last_number = json(&ca, &["crl", "publish"])["crls"][0]["number"].as_u64().unwrap();
    let last_event = Store::open_read_only(&ca.home().join("exeunt.db")).unwrap().head();
    // The module hears of what the backup will not know.
    wait_for("the module to hear everything", || {
        let all = record::read(&heard).unwrap();
        all.iter().any(|it| EventSeq(it.seq) == last_event).then_some(())
    });
    server.kill();

    let report = lose_and_restore(&ca, &backup, &word);
    assert_eq!(report["backup"], manifest);
    let store = Store::open_read_only(&ca.home().join("exeunt.db")).unwrap();
    for serial in &answered[..before] {
        assert_eq!(store.serial_status(serial).unwrap(), SerialStatus::Issued, "{serial}");
    }
    let mut audit = Vec::new();
    loop {
        let page = store.audit_after(audit.len() as u64, 1000).unwrap();
        if page.is_empty() {
            break;
        }
        audit.extend(page.into_iter().map(|it| it.entry.action));
    }
    // The end of the backup is not in the backup.
    assert_eq!(audit.iter().filter(|it| *it == "backup-start").count(), 1);
    assert!(!audit.contains(&"backup-end".to_owned()), "{audit:?}");
    assert!(audit.ends_with(&["restore-start".to_owned(), "restore-end".to_owned()]));
    let known = store.head();
    drop(store);

    let server = ca.serve();
    let certificate = issue(&ca, "after");
    let number = json(&ca, &["crl", "publish"])["crls"][0]["number"].as_u64().unwrap();
    assert!(last_number < number, "{number} after {last_number}");
    let folder = ca.home().join("crls");
    let list = fs::read(folder.join(format!("{number}-0-0-base.crl"))).unwrap();
    let list = encode_pem("X509 CRL", &list);
    foreign::openssl_crl_verify(&list, &ca.certificate()).unwrap();
    foreign::openssl_verify_with_crl(&certificate, &ca.certificate(), &list).unwrap();

    // No event after the restore has the name of one before it, and the module hears of the restore.
    let all = wait_for("the module to hear of the restore", || {
        let all = record::read(&heard).unwrap();
        let since = all.iter().position(|it| it.event == RESTORED)?;
        (since + 1 < all.len()).then_some((all, since))
    });
    let (all, since) = all;
    assert_eq!(EventSeq(all[since].seq), known);
    for new in &all[since..] {
        assert!(last_event < EventSeq(new.seq), "{new:?}");
        assert!(all[..since].iter().all(|it| it.id != new.id), "{new:?}");
    }
    // What it is told again bears the name that it had.
    let mut names: Vec<_> = all.iter().map(|it| (&it.id, it.seq, it.event, &it.subject)).collect();
    names.sort();
    names.dedup();
    assert!(names.windows(2).all(|it| it[0].0 != it[1].0), "one name for two events");
    server.stop();
}

#[test]
fn what_is_no_whole_backup_restores_nothing_and_leaves_nothing() {
    let ca = Ca::init(&[]);
    let (word, other) = (word(&ca, "one word"), word(&ca, "another word"));
    let backup = ca.scratch().join("ca.backup");
    let plain = ca.scratch().join("plain.backup");
    // No server runs: the command writes the audit trail itself.
    ca.ok(&["backup", path(&backup), "--passphrase-file", path(&word)]);
    ca.ok(&["backup", path(&plain), "--no-keys"]);
    assert_eq!(refusal(&ca, &["backup", path(&plain), "--no-keys"]), "backup-exists");
    let without = ca.scratch().join("without.backup");
    assert_eq!(refusal(&ca, &["backup", path(&without)]), "backup-passphrase-missing");

    let target = ca.scratch().join("restored");
    let restore = |file: &Path, word: Option<&Path>| {
        let mut args = vec!["restore", path(file), "--home", path(&target)];
        args.extend(word.iter().flat_map(|it| ["--passphrase-file", path(it)]));
        let code = refusal(&ca, &args);
        args[0] = "verify-backup";
        args.drain(2..4);
        assert_eq!(refusal(&ca, &args), code);
        assert!(!target.exists() && !ca.scratch().join("restored.partial").exists());
        code
    };
    assert_eq!(restore(&backup, None), "backup-passphrase-missing");
    assert_eq!(restore(&backup, Some(&other)), "sealed-wrong-passphrase");
    let changed = ca.scratch().join("changed.backup");
    let change = |file: &Path, change: &dyn Fn(&mut Vec<u8>)| {
        let mut octets = fs::read(file).unwrap();
        change(&mut octets);
        fs::write(&changed, octets).unwrap();
    };
    for file in [&backup, &plain] {
        let length = fs::metadata(file).unwrap().len();
        let middle = usize::try_from(length / 2).unwrap();
        change(file, &|it| it[middle] ^= 1);
        assert_eq!(restore(&changed, Some(&word)), "backup-damaged");
        change(file, &|it| it.truncate(middle));
        assert_eq!(restore(&changed, Some(&word)), "backup-damaged");
    }
    change(&backup, &|it| it.truncate(it.len() - 1));
    assert_eq!(restore(&changed, Some(&word)), "backup-damaged");
    // What is in it says that it is of a later version.
    change(&plain, &|it| {
        let place = it.windows(11).position(|it| it == b"\"format\": 1").unwrap();
        it[place + 10] = b'2';
    });
    assert_eq!(restore(&changed, None), "backup-newer");
    change(&plain, &|it| it.truncate(0));
    assert_eq!(restore(&changed, None), "backup-not-ours");
    assert_eq!(restore(&ca.home().join("exeunt.toml"), None), "backup-not-ours");
    let missing = ca.scratch().join("none");
    assert_eq!(restore(&missing, None), "backup-not-read");
    let into_a_home = ["restore", path(&plain)];
    assert_eq!(refusal(&ca, &into_a_home), "restore-not-empty");

    // The one without keys holds none, and says what is to be put back.
    let octets = fs::read(&plain).unwrap();
    let holds = |text: &str| octets.windows(text.len()).any(|it| it == text.as_bytes());
    assert!(holds("BEGIN CERTIFICATE") && !holds("PRIVATE KEY") && !holds(&ca.token()));
    fs::create_dir(&target).unwrap();
    let report = json(&ca, &["restore", path(&plain), "--home", path(&target)]);
    let expected = ["secrets/admin.token", "secrets/ca.key.pem", "secrets/passphrase"];
    assert_eq!(report["missing"], serde_json::json!(expected));
}

/// What a parent of openssl's makes of the request of a subordinate CA: the certificate, and its own.
fn signed(ca: &Ca, request: &str) -> String {
    let file = |name: &str| path(&ca.scratch().join(name)).to_owned();
    let (key, root, out) = (file("parent.key"), file("parent.pem"), file("signed.pem"));
    if !Path::new(&root).exists() {
        let made =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let more = ["-keyout", &key, "-out", &root, "-subj", "/CN=parent", "-days", "3650"];
        let more = more.into_iter().chain(["-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
        tools::run_ok(tools::openssl(), made.into_iter().chain(more), b"");
    }
    let extensions = file("extensions.cnf");
    let text = "basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n\
                keyUsage=critical,keyCertSign,cRLSign\nauthorityKeyIdentifier=keyid\n";
    fs::write(&extensions, text).unwrap();
    let request = path(&ca.home().join(request)).to_owned();
    let args = ["x509", "-req", "-in", &request, "-CA", &root, "-CAkey", &key, "-days", "365"];
    let more = ["-extfile", &extensions, "-out", &out];
    tools::run_ok(tools::openssl(), args.into_iter().chain(more), b"");
    let bag = file("bag.pem");
    fs::write(&bag, fs::read_to_string(out).unwrap() + &fs::read_to_string(root).unwrap()).unwrap();
    bag
}

#[test]
fn a_backup_holds_every_state_of_a_subordinate_and_of_its_renewal() {
    let ca = Ca::init(&["--kind", "subordinate", "--subject", "CN=Test Sub"]);
    let word = word(&ca, "one word");
    let mut trial = 0;
    // Takes a backup, loses everything but the words that open keys, and goes on with what was restored.
    let mut lose = |ca: &Ca, words: &[&str]| {
        trial += 1;
        let backup = ca.scratch().join(format!("{trial}.backup"));
        ca.ok(&["backup", path(&backup), "--passphrase-file", path(&word)]);
        let shown = json(ca, &["ca", "show"]);
        let away = ca.scratch().join(format!("original-{trial}"));
        fs::rename(ca.home(), &away).unwrap();
        // As a shell completes the name of a folder.
        fs::create_dir(ca.home()).unwrap();
        let home = format!("{}/", path(&ca.home()));
        let restore = ["restore", path(&backup), "--passphrase-file", path(&word), "--home", &home];
        let report = json(ca, &restore);
        let missing: Vec<&str> =
            report["missing"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        assert_eq!(missing, words);
        for word in words.iter().filter(|it| away.join(it).exists()) {
            fs::copy(away.join(word), ca.home().join(word)).unwrap();
        }
        assert_eq!(json(ca, &["ca", "show"]), shown);
    };
    let first = "secrets/passphrase";

    // It waits for its first certificate.
    lose(&ca, &["ca.cert.pem", first]);
    ca.ok(&["ca", "install", &signed(&ca, "ca.csr.pem")]);
    let server = ca.serve();
    issue(&ca, "one");
    server.stop();

    // It waits for the certificate of a new key.
    ca.ok(&["ca", "renew", "--new-key"]);
    let second = "secrets/ca(1).passphrase";
    lose(&ca, &[second, first]);
    let server = ca.serve();
    issue(&ca, "two");
    ca.ok(&["ca", "install", &signed(&ca, "ca(1).csr.pem")]);
    server.stop();

    // It has it, but has not been started with it.
    lose(&ca, &[second, first]);
    let server = ca.serve();
    for index in ["0", "1"] {
        let chain = ca.ok(&["ca", "export-chain", "--index", index]);
        assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2, "{index}");
    }
    let leaf = issue(&ca, "three");
    foreign::openssl_verify(&leaf, &ca.ok(&["ca", "export-chain"])).unwrap();
    server.stop();

    // It waits for one more with the same key.
    ca.ok(&["ca", "renew"]);
    lose(&ca, &[second, first]);
    ca.ok(&["ca", "install", &signed(&ca, "ca(2).csr.pem")]);
    ca.serve().stop();
    let shown = json(&ca, &["ca", "show"]);
    let keys: Vec<_> = shown.as_array().unwrap().iter().map(|it| it["key_index"].clone()).collect();
    assert_eq!(keys, [0, 1, 1]);
}

#[test]
fn a_root_with_a_new_key_is_restored_with_the_lists_of_both_and_vouches_for_itself_again() {
    let ca = Ca::init(&[]);
    let word = word(&ca, "one word");
    let server = ca.serve();
    let leaf = issue(&ca, "old");
    server.stop();
    ca.ok(&["ca", "renew", "--new-key"]);
    let server = ca.serve();
    ca.ok(&["crl", "publish"]);
    let backup = ca.scratch().join("ca.backup");
    ca.ok(&["backup", path(&backup), "--passphrase-file", path(&word)]);
    server.kill();
    let away = ca.scratch().join("original");
    fs::rename(ca.home(), &away).unwrap();
    ca.ok(&["restore", path(&backup), "--passphrase-file", path(&word)]);
    for word in ["secrets/passphrase", "secrets/ca(1).passphrase"] {
        fs::copy(away.join(word), ca.home().join(word)).unwrap();
    }

    let server = ca.serve();
    for name in ["ca(0-1).cert.pem", "ca(1-0).cert.pem"] {
        let again = wait_for(name, || fs::read(ca.home().join(name)).ok());
        assert_eq!(again, fs::read(away.join(name)).unwrap(), "{name}");
    }
    let numbers = |folder: &Path| -> Vec<u64> {
        let names = fs::read_dir(folder.join("crls")).unwrap();
        let names = names.map(|it| it.unwrap().file_name().into_string().unwrap());
        names.map(|it| it.split('-').next().unwrap().parse().unwrap()).collect()
    };
    let before = numbers(&away);
    ca.ok(&["crl", "publish"]);
    let new: Vec<u64> = numbers(&ca.home()).into_iter().filter(|it| !before.contains(it)).collect();
    // One run, a list for each key, beyond every number of before.
    assert_eq!(new.len(), 2);
    assert!(before.iter().max() < new.iter().min(), "{before:?} {new:?}");
    let list = fs::read(ca.home().join(format!("crls/{}-0-0-base.crl", new[0]))).unwrap();
    let list = encode_pem("X509 CRL", &list);
    foreign::openssl_verify_with_crl(&leaf, &ca.certificate(), &list).unwrap();
    server.stop();
}

/// Starts a command, and kills it after a while.
fn kill_after(ca: &Ca, args: &[&str], delay: Duration) {
    let mut child = ca.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Not a wait for a state: any moment will do.
    std::thread::sleep(delay);
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn killed_in_the_middle_there_is_a_whole_backup_or_none_and_a_whole_home_or_none() {
    const TRIALS: u32 = 6;
    let ca = Ca::init(&[]);
    let word = word(&ca, "one word");
    let backup = ca.scratch().join("ca.backup");
    let server = ca.serve();
    issue(&ca, "one");
    let out = path(&backup);
    let backup_args = ["backup", out, "--passphrase-file", path(&word)];
    let verify_args = ["verify-backup", out, "--passphrase-file", path(&word)];
    for trial in 0..TRIALS {
        kill_after(&ca, &backup_args, Duration::from_millis(40 * u64::from(trial * trial)));
        if backup.exists() {
            ca.ok(&verify_args);
            fs::remove_file(&backup).unwrap();
        }
    }
    ca.ok(&backup_args);
    ca.ok(&verify_args);
    assert!(!ca.scratch().join("ca.backup.partial").exists(), "something was left behind");
    server.stop();

    let target = ca.scratch().join("restored");
    let restore_args = ["restore", out, "--home", path(&target), "--passphrase-file", path(&word)];
    for trial in 0..TRIALS {
        kill_after(&ca, &restore_args, Duration::from_millis(40 * u64::from(trial * trial)));
        if target.exists() {
            Store::inspect(&target.join("exeunt.db")).unwrap();
            assert!(target.join("exeunt.toml").exists());
            fs::remove_dir_all(&target).unwrap();
        }
    }
    ca.ok(&restore_args);
    assert!(!ca.scratch().join("restored.partial").exists(), "something was left behind");
    let events = Store::open_read_only(&target.join("exeunt.db")).unwrap().head();
    assert!(1_000_000_000 < events.0);
}
