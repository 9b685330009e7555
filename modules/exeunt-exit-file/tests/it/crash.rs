//! Ends in the middle of the work: what is left, and what the next start makes of it.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use exeunt_module_kit::{Event, Outcome, testing::Host};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::{Value as Json, json};

use crate::{
    NEWER, OLDER, TWIN, by_name,
    enroll::{base, everything, lists},
    event_for, module, names,
    openssl::p256,
    start, with_directory,
};

const LIST: &str = "Roof!002f1.crl";

/// Puts a folder into the state that a crash leaves at one of the steps of a replacement.
struct Crash<'a> {
    /// What had the name when it was looked at, or came to have it just before the swap.
    displaced: &'a [u8],
    ours: &'a [u8],
    /// How often the two have changed places.
    swaps: u32,
    /// What somebody wrote there after that; empty for a name that they removed.
    after: Option<&'a [u8]>,
}

impl Crash<'_> {
    fn leave(&self, folder: &Path, name: &str) {
        let path = folder.join(name);
        fs::write(&path, self.displaced).unwrap();
        let staged = folder.join("staged");
        fs::write(&staged, self.ours).unwrap();
        let inode = fs::metadata(&staged).unwrap().ino();
        let hidden = folder.join(format!(".exeunt.under-test.{inode:x}.{name}.swap"));
        fs::rename(&staged, &hidden).unwrap();
        for _ in 0..self.swaps {
            renameat_with(CWD, &hidden, CWD, &path, RenameFlags::EXCHANGE).unwrap();
        }
        match self.after {
            Some([]) => fs::remove_file(&path).unwrap(),
            Some(content) => {
                fs::write(folder.join("theirs"), content).unwrap();
                fs::rename(folder.join("theirs"), &path).unwrap();
            }
            None => (),
        }
    }
}

/// What is to be left after the start and after the event was told again, and its outcome.
type Then<'a> = (&'a [u8], &'a [u8], fn(&Outcome) -> bool);

/// Starts a module after a crash, and tells it of the event again.
fn check(crash: &Crash<'_>, name: &str, settings: &Json, event: &Event, then: Then<'_>) {
    let (started, told, outcome) = then;
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("published");
    fs::create_dir(&folder).unwrap();
    crash.leave(&folder, name);
    let mut host = Host::in_memory(exeunt_exit_file::FileExit::default()).unwrap();
    let mut settings = settings.clone();
    settings["directory"] = json!(folder);
    host.initialize(&settings).unwrap();
    assert_eq!(names(&folder), [name]);
    assert_eq!(fs::read(folder.join(name)).unwrap(), started);
    let answer = host.notify(event).unwrap();
    assert!(outcome(&answer), "{answer:?}");
    assert_eq!(names(&folder), [name]);
    assert_eq!(fs::read(folder.join(name)).unwrap(), told);
    host.shutdown().unwrap();
}

const ACCEPT: fn(&Outcome) -> bool = |it| *it == Outcome::Accept;
const SKIP: fn(&Outcome) -> bool = |it| *it == Outcome::Skip;
const PARK: fn(&Outcome) -> bool = |it| matches!(it, Outcome::Park { .. });

#[test]
fn a_replacement_of_a_list_that_was_cut_off_at_any_step_is_healed() {
    let ca = p256("Roof");
    let (old, ours, newer) = (base(&ca, 5), base(&ca, 6), base(&ca, 100));
    let others = base(&p256("Roof"), 1);
    let settings = everything(Path::new(""), &json!({"ca_certificates": false}));
    let event = lists(1, &ca, &ours, None);
    let at = |displaced, swaps, after| Crash { displaced, ours: &ours, swaps, after };
    let check = |crash: &Crash<'_>, then| check(crash, LIST, &settings, &event, then);
    // Before the swap, after it, and after the way back.
    check(&at(&old, 0, None), (&old, &ours, ACCEPT));
    check(&at(&old, 1, None), (&ours, &ours, ACCEPT));
    check(&at(&newer, 2, None), (&newer, &newer, SKIP));
    // What somebody put there just before the swap goes back, be it newer or not of this CA at all.
    check(&at(&newer, 1, None), (&newer, &newer, SKIP));
    check(&at(b"precious", 1, None), (b"precious", b"precious", PARK));
    check(&at(&others, 1, None), (&others, &others, PARK));
    check(&at(b"", 1, None), (b"", b"", PARK));
    // What somebody has put there since stays, and if they took it away, what was there is back.
    check(&at(&old, 1, Some(&newer)), (&newer, &newer, SKIP));
    check(&at(&old, 1, Some(b"theirs")), (b"theirs", b"theirs", PARK));
    check(&at(&newer, 1, Some(b"")), (&newer, &newer, SKIP));
}

#[test]
fn a_replacement_of_a_certificate_that_was_cut_off_at_any_step_is_healed() {
    // The twin starts in the same second and has the greater serial number.
    let event = event_for(1, "www", NEWER);
    let at = |displaced, swaps| Crash { displaced, ours: NEWER, swaps, after: None };
    let check = |crash: &Crash<'_>, then| check(crash, "www.der", &by_name(), &event, then);
    check(&at(OLDER, 0), (OLDER, NEWER, ACCEPT));
    check(&at(OLDER, 1), (NEWER, NEWER, ACCEPT));
    check(&at(TWIN, 1), (TWIN, TWIN, SKIP));
    check(&at(TWIN, 2), (TWIN, TWIN, SKIP));
    check(&at(b"precious", 1), (b"precious", b"precious", PARK));
    // One of another CA, although older, is not the module's to take away.
    let other = p256("Roof").issue_expired("/CN=www", "0ABC");
    check(&at(&other, 1), (&other, &other, PARK));
}

#[test]
fn what_is_named_like_a_replacement_and_is_none_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("published");
    fs::create_dir(&folder).unwrap();
    let kept = [".exeunt.other.1.x.swap", ".exeunt.under-test.no number.x.swap", ".x.swap"];
    for name in kept {
        fs::write(folder.join(name), "precious").unwrap();
    }
    start(home.path(), &json!({})).shutdown().unwrap();
    assert_eq!(names(&folder), kept);
}

/// How often a process is killed, at most: until enough of them were in the middle of a batch.
const KILLS_MAX: u32 = 300;
const KILLS_IN_THE_MIDDLE: u32 = 8;

/// Kills processes after ever other times. `look` says after each whether it was in the middle of its
/// work, and fails where something is half there.
fn kill_in_the_middle(settings: &Json, batch: &[Event], mut look: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_mins(2);
    let mut in_the_middle = 0;
    let mut lines = Vec::new();
    for event in batch {
        exeunt_module::line::write_notify(&mut lines, 100 + event.seq, event).unwrap();
    }
    for kill in 0..KILLS_MAX {
        let mut host = Host::spawn(Command::new(module())).unwrap();
        host.initialize(settings).unwrap();
        host.send_lines(&lines).unwrap();
        // No state is awaited: it is killed whatever it does, by and by later for slow machines.
        let kill_us = u64::from(kill) * 397 % (20_000 + 200 * u64::from(kill));
        thread::sleep(Duration::from_micros(kill_us));
        drop(host);
        in_the_middle += u32::from(look());
        if KILLS_IN_THE_MIDDLE <= in_the_middle {
            return;
        }
        assert!(Instant::now() < until, "after {kill} kills {in_the_middle} were in the middle");
    }
    panic!("{in_the_middle} of {KILLS_MAX} kills were in the middle");
}

#[test]
fn a_module_killed_in_the_middle_of_writing_leaves_whole_files_and_its_successor_the_rest() {
    let home = tempfile::tempdir().unwrap();
    let settings = with_directory(home.path(), &json!({"format": "der"}));
    let folder = home.path().join("published");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("notes.txt"), "somebody's").unwrap();
    let events: Vec<Event> = (1..=64).map(|seq| event_for(seq, "x", OLDER)).collect();
    kill_in_the_middle(&settings, &events, || {
        let (mut whole, mut staged) = (0, 0);
        for name in names(&folder).into_iter().filter(|it| it != "notes.txt") {
            if name.starts_with('.') {
                staged += 1;
                continue;
            }
            assert_eq!(fs::read(folder.join(&name)).unwrap(), OLDER, "{name} is not whole");
            // The next one is to have something to do.
            fs::remove_file(folder.join(&name)).unwrap();
            whole += 1;
        }
        (1..64).contains(&(whole + staged)) || 0 < staged
    });
    let mut host = Host::spawn(Command::new(module())).unwrap();
    host.initialize(&settings).unwrap();
    assert_eq!(host.notify_all(&events).unwrap(), vec![Ok(Outcome::Accept); 64]);
    host.shutdown().unwrap();
    let mut expected: Vec<String> = (1..=64).map(|seq| format!("40{seq:02x}.pem")).collect();
    expected.push("notes.txt".to_owned());
    assert_eq!(names(&folder), expected);
    assert_eq!(fs::read(folder.join("notes.txt")).unwrap(), b"somebody's");
}

#[test]
fn a_module_killed_while_it_replaces_a_list_leaves_a_whole_one_whose_number_never_falls() {
    let home = tempfile::tempdir().unwrap();
    let settings = everything(home.path(), &json!({"ca_certificates": false}));
    let folder = home.path().join("published");
    let ca = p256("Roof");
    let all: Vec<Vec<u8>> = (1..=24).map(|number| base(&ca, number)).collect();
    let events: Vec<Event> =
        (1..).zip(&all).map(|(seq, list)| lists(seq, &ca, list, None)).collect();
    let mut before = 0;
    kill_in_the_middle(&settings, &events, || {
        let Ok(content) = fs::read(folder.join(LIST)) else { return false };
        let at = all.iter().position(|it| *it == content).expect("a whole list");
        assert!(before <= at, "{at} after {before}");
        let has_risen = before < at;
        before = at;
        if at + 1 == all.len() {
            // All of it was done: from the first one again.
            fs::remove_file(folder.join(LIST)).unwrap();
            before = 0;
            return false;
        }
        has_risen
    });
    let mut host = Host::spawn(Command::new(module())).unwrap();
    host.initialize(&settings).unwrap();
    let last = host.notify_all(&events).unwrap().pop();
    assert_eq!(last, Some(Ok(Outcome::Accept)));
    host.shutdown().unwrap();
    assert_eq!(names(&folder), [LIST]);
    assert_eq!(fs::read(folder.join(LIST)).unwrap(), all[23]);
}
