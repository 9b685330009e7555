//! Who takes backups and renews the CA's certificate while the server runs, and is killed sometimes.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use exeunt_e2e::ca::{Ca, text};
use exeunt_store::Store;
use exeunt_types::{EventKind, Serial};
use fastrand::Rng;

use super::clients::Received;
use super::tally::{About, Counts, Deed, Tally};
use super::truth::{Rows, Written};

/// Renewals of a run: each new key has lists and a responder of its own, which every start looks after.
const RENEWALS_MAX: usize = 6;

/// What was confirmed before a backup began.
#[derive(Debug)]
struct Before {
    counts: Counts,
    received: Vec<Serial>,
}

/// A backup that was begun; with what it must have, if it was confirmed.
#[derive(Debug)]
struct Backup {
    file: PathBuf,
    has: Option<Before>,
}

#[derive(Debug, Default)]
pub(crate) struct Keeper {
    backups: Vec<Backup>,
    count: usize,
    /// Renewals that were begun, and that were confirmed.
    renewals: (usize, usize),
}

impl Keeper {
    /// Sometimes takes a backup, and always where there is time for it; sometimes renews the CA's
    /// certificate.
    pub(crate) fn act(
        &mut self,
        ca: &Ca,
        received: &Received,
        has_time: bool,
        tally: &Tally,
        mut rng: Rng,
    ) {
        match rng.u8(..24) {
            0 if self.renewals.0 < RENEWALS_MAX => self.renew(ca, &mut rng),
            choice if has_time || (1..=4).contains(&choice) => {
                self.back_up(ca, received, tally, &mut rng);
            }
            _ => (),
        }
    }

    fn back_up(&mut self, ca: &Ca, received: &Received, tally: &Tally, rng: &mut Rng) {
        // Each name serves twice if nothing came of it, as somebody who tries again would do it.
        let file = ca.scratch().join(format!("ca-{}.backup", self.count));
        if file.exists() {
            self.count += 1;
            return;
        }
        let before = Before { counts: tally.now(), received: received.serials() };
        let name = file.to_str().expect("a plain path");
        let about = About::Object(format!("file:{name}"));
        tally.tried(Deed::BackupStart, about.clone());
        tally.tried(Deed::BackupEnd, about.clone());
        let is_done = killed_sometimes(ca, &["backup", name, "--no-keys"], rng, 60);
        if is_done {
            tally.confirmed(Deed::BackupStart, about.clone());
            tally.confirmed(Deed::BackupEnd, about);
        }
        self.backups.retain(|it| it.file != file);
        self.backups.push(Backup { file, has: is_done.then_some(before) });
    }

    fn renew(&mut self, ca: &Ca, rng: &mut Rng) {
        self.renewals.0 += 1;
        let args: &[&str] =
            if rng.bool() { &["ca", "renew", "--new-key"] } else { &["ca", "renew"] };
        if killed_sometimes(ca, args, rng, 30) {
            self.renewals.1 += 1;
        }
    }

    /// The CA has the certificates that were confirmed, and told of each; how many it has.
    pub(crate) fn check_renewals(&self, store: &Store, written: &Written) -> usize {
        let known = store.ca_certificates().expect("the CA's certificates").len();
        let (tried, confirmed) = self.renewals;
        assert!((1 + confirmed..=1 + tried).contains(&known), "{known} of {:?}", self.renewals);
        let told = written.of_server(EventKind::CA_CERT_ISSUED);
        assert_eq!(told as usize, known - 1, "events of the CA's certificates");
        let audited = written.audited("ca-certificate");
        assert_eq!(audited as usize, known, "audit rows of the CA's certificates");
        known
    }

    /// What has the name of a backup is one; the last one that was confirmed can be restored and has
    /// everything that was confirmed before. How many there were.
    pub(crate) fn check_backups(&mut self, ca: &Ca) -> usize {
        let mut whole = 0;
        let backups = std::mem::take(&mut self.backups);
        let last = backups.iter().rposition(|it| it.has.is_some());
        for (place, Backup { file, has }) in backups.iter().enumerate() {
            if !file.exists() {
                assert!(has.is_none(), "{} is gone", file.display());
                continue;
            }
            let name = file.to_str().expect("a plain path");
            ca.ok(&["verify-backup", name]);
            whole += 1;
            if let Some(before) = has.as_ref().filter(|_| Some(place) == last) {
                restore(ca, name, before);
            }
            fs::remove_file(file).expect("a file goes");
            self.count += 1;
        }
        whole
    }
}

fn restore(ca: &Ca, file: &str, before: &Before) {
    let other = Ca::bare();
    other.ok(&["restore", file]);
    let secrets = other.home().join("secrets");
    fs::create_dir_all(&secrets).expect("a folder");
    for entry in fs::read_dir(ca.home().join("secrets")).expect("a folder") {
        let entry = entry.expect("a file");
        fs::copy(entry.path(), secrets.join(entry.file_name())).expect("a copy");
    }
    // It starts, and is told to stop; its modules would write where the first one's do.
    let config = other.home().join("exeunt.toml");
    let words = fs::read_to_string(&config).expect("a configuration");
    let without = words.split("[[exit]]").next().expect("BUG: a split has a first part");
    let renewals = words.find("[[renewal]]").map_or("", |place| &words[place..]);
    fs::write(&config, format!("{without}\n{renewals}")).expect("a configuration");
    other.serve().stop();
    let store = Store::open(&other.home().join("exeunt.db")).expect("the restored store");
    let written = Written::read(&store);
    let rows = Rows::read(&store).without_placeholder(&written);
    for serial in &before.received {
        rows.of(serial);
    }
    written.have_confirmed(&before.counts, &rows);
    written.are_whole();
    rows.are_settled(&written);
}

/// Runs a command, and kills it after some time in one of three times. Whether it was confirmed.
fn killed_sometimes(ca: &Ca, args: &[&str], rng: &mut Rng, longest_ms: u64) -> bool {
    let mut command = ca.command(args);
    let mut child =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starting exeunt");
    if rng.u8(..3) == 0 {
        std::thread::sleep(Duration::from_millis(rng.u64(..longest_ms)));
        child.kill().expect("BUG: it was not waited for");
    }
    let mut said = Vec::new();
    child.stderr.take().expect("BUG: it is piped").read_to_end(&mut said).expect("a pipe");
    let status = child.wait().expect("a process");
    let said = text(&said);
    // Where the server dies, the beginning or the end of a backup cannot be noted.
    let expected = ["server-unreachable", "server-not-running", "server-answer"];
    let is_expected = said.is_empty() || expected.iter().any(|it| said.contains(it));
    assert!(status.success() || is_expected, "{args:?}: {status}: {said}");
    status.success()
}
