//! What went wrong elsewhere and does not here: `docs/failures.md` names the tests.

use std::{
    collections::{BTreeMap, HashMap},
    env,
    path::Path,
    process::Command,
    sync::{Arc, mpsc},
};

use exeunt_dispatch::ExitState;
use exeunt_host::ModuleCommand;
use exeunt_store::{READERS_MAX, Store};

use super::*;

#[test]
fn a_module_that_panics_does_not_end_the_worker_that_called_it() {
    let stage = Stage::new();
    stage.deny(20);
    // An exception that nobody catches ends the interpreter, as a panic ends a module in Rust.
    let own = "def notify(call):\n    \
                   if seq(call) in (3, 7): raise RuntimeError('it was not foreseen')\n    \
                   accept(call)";
    let mut settings = stage.module("hasty", own);
    settings.retry.attempts_max = 2;
    let dispatcher = stage.start(vec![settings]);
    let status = status_when(&dispatcher, |it| it.accepted == 18 && it.held_parked == 2);
    assert!(4 <= status.faults && 4 < status.starts, "{status:?}");
    // The same worker, long after: it tells on.
    stage.deny(1);
    let status = status_when(&dispatcher, |it| it.lag == 0 && 19 <= it.accepted);
    assert_eq!(status.state, ExitState::Running);
    assert!(dispatcher.stop(PATIENCE));
}

#[test]
fn two_instances_of_one_module_have_state_order_and_filter_of_their_own() {
    let stage = Stage::new();
    stage.deny(10);
    stage.miss_a_list(3);
    let (_, issued) = stage.issue(1);
    // One script, twice. Which target is closed is the only difference.
    let own = "def notify(call):\n    \
                   open_ = there_is(os.path.basename(HEARD) + '.open')\n    \
                   accept(call) if open_ else retry(call)";
    let all = stage.module("north", own);
    let only_issued = ExitSettings { events: Some(0x1), ..stage.module("south", own) };
    stage.touch("south.heard.open");
    let dispatcher = stage.start(vec![all, only_issued]);
    let stands =
        |name: &str| dispatcher.status().into_iter().find(|it| it.name == named(name)).unwrap();
    // South is done with the one event that it may hear, while North has not settled any.
    until(|| stands("south").accepted == 1 && stands("south").lag == 0);
    until(|| stands("north").held_retry == 12 && stands("north").held_behind == 2);
    assert_eq!(stage.heard_seqs("south"), [issued.0]);
    assert!(stage.store.held(&named("south")).unwrap().is_empty());

    stage.touch("north.heard.open");
    until(|| stands("north").accepted == 14);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(stage.heard_seqs("south"), [issued.0]);
    let mut of_the_lists = stage.heard_seqs("north");
    of_the_lists.retain(|it| (11..=13).contains(it));
    of_the_lists.dedup();
    assert_eq!(of_the_lists, [11, 12, 13]);
}

#[test]
fn concurrent_deliveries_of_one_module_share_no_events_state() {
    let stage = Stage::new();
    let issued: BTreeMap<u64, (u64, String)> = (1..=20)
        .map(|serial: u8| {
            let (request, seq) = stage.issue(serial);
            (seq.0, (request.0, format!("4a{serial:02x}")))
        })
        .collect();
    // It waits until it has the whole window in hand, then answers from its end; every second one
    // has to be told again.
    let own = "WINDOW, WAITING = 20, []\n\
               def notify(call):\n    \
                   it = event(call)\n    \
                   with open(os.path.join(FOLDER, 'read'), 'a') as out:\n        \
                       serial = it['certificate']['SerialNumber']['string']\n        \
                       line = [it['seq'], it['context'], serial, it['id'], it['attempt']]\n        \
                       out.write(json.dumps(line) + '\\n')\n    \
                   if it['attempt'] != 1: return accept(call)\n    \
                   WAITING.append(call)\n    \
                   if len(WAITING) == 20:\n        \
                       for one in reversed(WAITING): retry(one) if seq(one) % 2 else accept(one)";
    let dispatcher = stage.start(vec![stage.module("juggler", own)]);
    let status = all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!((status.accepted, status.retried, status.attempts), (20, 10, 30));
    let text = fs::read_to_string(stage.path("read")).unwrap();
    let mut attempts: HashMap<u64, u32> = HashMap::new();
    for line in text.lines() {
        let (seq, context, serial, id, attempt): (u64, u64, String, String, u32) =
            serde_json::from_str(line).unwrap();
        assert_eq!((context, serial), issued[&seq], "event {seq}");
        assert_eq!(id, format!("5a5a5a5a5a5a5a5a-{seq}"));
        let told = attempts.entry(seq).or_default();
        *told += 1;
        assert_eq!(attempt, *told, "event {seq}");
    }
    assert!(issued.keys().all(|it| attempts[it] == 1 + u32::from(it % 2 == 1)), "{attempts:?}");
}

#[test]
fn a_module_that_is_disabled_keeps_its_backlog_one_that_is_removed_drops_it_only_when_told_to() {
    let stage = Stage::new();
    let clerk = named("clerk");
    let poison = "def notify(call):\n    accept(call) if seq(call) != 1 else retry(call, 60000)";
    stage.deny(2);
    let dispatcher = stage.start(vec![stage.module("clerk", poison)]);
    status_when(&dispatcher, |it| it.accepted == 1 && it.held_retry == 1);

    // Disabled: what is new waits in the log, what is held waits on the shelf.
    dispatcher.replace(ExitSettings { enabled: false, ..stage.module("clerk", poison) }).unwrap();
    stage.deny(3);
    status_when(&dispatcher, |it| it.state == ExitState::Disabled && it.lag == 3);
    assert_eq!(stage.store.held(&clerk).unwrap().len(), 1);

    // Removed, and not told to drop: one of its name finds all of it.
    dispatcher.remove(&clerk).unwrap();
    assert_eq!(stage.store.held(&clerk).unwrap().len(), 1);
    assert_eq!(stage.stored_cursor("clerk"), 2);
    dispatcher.add(stage.module("clerk", poison)).unwrap();
    let status = status_when(&dispatcher, |it| it.lag == 0 && it.accepted == 3);
    assert_eq!(status.held_retry, 1);

    // Told to drop it: the shelf and the place are gone, and one of its name is a new module.
    dispatcher.remove(&clerk).unwrap();
    stage.deny(4);
    stage.store.remove_cursor(&clerk, &facts().machine_dns_name, stage.now()).unwrap();
    assert!(stage.store.held(&clerk).unwrap().is_empty());
    let anew = ExitSettings { start_at: StartAt::Head, ..stage.module("clerk", "") };
    dispatcher.add(anew).unwrap();
    stage.deny(1);
    all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(stage.heard_seqs("clerk"), [1, 2, 3, 4, 5, 10]);
}

#[test]
fn a_target_added_after_months_is_filled_from_the_log_while_the_ca_goes_on_issuing() {
    let stage = Stage::new();
    for serial in 1..=60 {
        stage.issue(serial);
    }
    stage.later(200 * 24 * 3600);
    let dispatcher = stage.start(vec![stage.module("old", "")]);
    dispatcher.add(stage.module("new", "")).unwrap();
    for serial in 61..=120 {
        // Each is durable before the next begins, whoever is being filled.
        stage.issue(serial);
    }
    until(|| stage.heard("new").len() == 120 && stage.heard("old").len() == 120);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(stage.heard_seqs("new"), (1..=120).collect::<Vec<_>>());
    assert!(stage.heard("new").iter().all(|it| it.attempt == 1 && it.event == 1));
}

#[test]
fn a_slow_module_does_not_use_up_the_stores_connections() {
    let stage = Stage::new();
    stage.deny(3);
    let slow = "def notify(call):\n    \
                    while not there_is('open'): time.sleep(0.02)\n    \
                    accept(call)";
    // More of them than there are connections, and each has events in hand.
    let names: Vec<String> = (0..READERS_MAX + 2).map(|it| format!("slow-{it}")).collect();
    let dispatcher = stage.start(names.iter().map(|it| stage.module(it, slow)).collect());
    until(|| names.iter().all(|it| !stage.heard(it).is_empty()));

    // All connections at once are there for others, again and again, and so is the writer.
    let (done, ended) = mpsc::channel();
    for _ in 0..READERS_MAX {
        let (store, done) = (stage.store.clone(), done.clone());
        thread::spawn(move || {
            for _ in 0..50 {
                assert_eq!(store.requests(None, 10).unwrap().len(), 3);
            }
            done.send(()).unwrap();
        });
    }
    for _ in 0..READERS_MAX {
        ended.recv_timeout(PATIENCE).expect("a reader waits for a module");
    }
    stage.issue(1);
    assert_eq!(stage.store.head(), EventSeq(4));
    assert!(names.iter().all(|it| stage.heard(it).len() == 1), "they were not that slow");

    stage.touch("open");
    until(|| dispatcher.status().iter().all(|it| it.lag == 0));
    assert!(dispatcher.stop(PATIENCE));
}

#[test]
fn a_clock_that_jumps_loses_no_event() {
    let stage = Stage::new();
    let own = "def notify(call):\n    accept(call) if there_is('open') else retry(call)";
    let dispatcher = stage.start(vec![stage.module("patient", own)]);
    let year = 365 * 24 * 3600;
    let mut count = 0;
    for jump in [year, -2 * year, 3600, -3600] {
        // Few enough that nobody takes the target to be dead, however often they fail.
        stage.deny(2);
        count += 2;
        status_when(&dispatcher, |it| it.lag == 0 && it.held_retry == count);
        stage.later(jump);
    }
    stage.touch("open");
    // What waited for a moment that the clock went back before is not due for a year. It is there,
    // and an operator can have it told.
    dispatcher.order(&named("patient"), exeunt_dispatch::Order::Retry(Vec::new())).unwrap();
    let status = all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(status.accepted, 8);
    let mut heard = stage.heard_seqs("patient");
    heard.sort_unstable();
    heard.dedup();
    assert_eq!(heard, (1..=8).collect::<Vec<_>>());
}

/// How many events the killed module of [`KILLED`] takes at once, which is how many may be told twice.
const WINDOW: usize = 4;
/// The test that runs itself again as the server, and the variables by which that self knows when to
/// be killed, and where.
const KILLED: (&str, &str, &str) = (
    "failures::killed_between_commit_and_read_send_and_answer_answer_and_cursor_nothing_is_lost_\
     repeats_are_bounded_and_bear_the_same_id",
    "EXEUNT_TEST_MOMENT",
    "EXEUNT_TEST_FOLDER",
);

/// The parent runs this test binary again, as the server, which is killed at each moment of a
/// delivery. What is left in the file goes on under a second server.
#[test]
fn killed_between_commit_and_read_send_and_answer_answer_and_cursor_nothing_is_lost_repeats_are_bounded_and_bear_the_same_id()
 {
    if let (Some(moment), Some(folder)) = (env::var_os(KILLED.1), env::var_os(KILLED.2)) {
        be_the_killed_server(moment.to_str().unwrap(), Path::new(&folder));
    }
    // Where the second server begins: at the first event of the window that was in hand.
    for (moment, first, repeated) in [("commit", 1, 0), ("send", 5, 2), ("answer", 5, 4)] {
        let stage = Stage::new();
        let Stage { folder, store, offset } = stage;
        drop(store);
        let status = Command::new(env::current_exe().unwrap())
            .args(["--exact", KILLED.0, "--nocapture"])
            .env(KILLED.1, moment)
            .env(KILLED.2, folder.path())
            .status()
            .unwrap();
        assert!(!status.success(), "{moment}: the server was not killed");

        let store = Store::open(&folder.path().join("ca.db")).unwrap();
        let stage = Stage { folder, store, offset };
        assert_eq!(stage.store.head(), EventSeq(12), "{moment}");
        let before = stage.heard("victim");
        let dispatcher = stage.start(vec![stage.module("victim", "VERSION = 2")]);
        all_told(&dispatcher);
        assert!(dispatcher.stop(PATIENCE));
        let after: Vec<_> =
            stage.heard("victim").into_iter().filter(|it| it.version == 2).collect();
        let seqs: Vec<u64> = after.iter().map(|it| it.seq).collect();
        assert_eq!(seqs, (first..=12).collect::<Vec<_>>(), "{moment}");
        let again: Vec<_> =
            after.iter().filter(|it| before.iter().any(|old| old.seq == it.seq)).collect();
        assert!(again.len() == repeated && repeated <= WINDOW, "{moment}: {again:?}");
        for it in again {
            assert!(before.iter().any(|old| (old.seq, &old.id) == (it.seq, &it.id)), "{moment}");
        }
        assert!(stage.store.held(&named("victim")).unwrap().is_empty(), "{moment}");
    }
}

/// Commits twelve events and tells of them, until the moment.
fn be_the_killed_server(moment: &str, folder: &Path) -> ! {
    let store = Store::open(&folder.join("ca.db")).unwrap();
    // The folder is the parent's; it is not ours to remove.
    let stage = Stage { folder: tempfile::tempdir().unwrap(), store, offset: Arc::default() };
    let kill = match moment {
        "commit" => "",
        "send" => {
            "def notify(call):\n    \
                 if seq(call) == 6: os.kill(os.getppid(), signal.SIGKILL), die()\n    \
                 accept(call)"
        }
        // Nobody can write while it has the file, so no cursor moves between its last answer and
        // the end.
        "answer" => {
            "def notify(call):\n    \
                 global LOCK\n    \
                 import sqlite3\n    \
                 if seq(call) == 5:\n        \
                     LOCK = sqlite3.connect(os.path.join(FOLDER, 'ca.db'), isolation_level=None)\n        \
                     LOCK.execute('BEGIN IMMEDIATE')\n    \
                 accept(call)\n    \
                 if seq(call) == 8: os.kill(os.getppid(), signal.SIGKILL), die()"
        }
        _ => panic!("no such moment: {moment}"),
    };
    let own = format!("WINDOW = {WINDOW}\n{kill}");
    let mut settings = stage.module("victim", &own);
    let count = settings.command.args.len();
    settings.command.args[count - 2] = folder.into();
    settings.command.args[count - 1] = folder.join("victim.heard").into();
    if moment == "commit" {
        let program = folder.join("not-there");
        settings.command = ModuleCommand { program, ..settings.command };
    }
    stage.deny(12);
    let dispatcher = stage.start(vec![settings]);
    if moment == "commit" {
        status_when(&dispatcher, |it| matches!(it.state, ExitState::Down { .. }));
        std::process::abort();
    }
    thread::sleep(PATIENCE);
    panic!("nobody killed it")
}
