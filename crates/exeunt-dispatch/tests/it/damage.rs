//! Damaged rows, lost leases, killed servers.

use std::{env, path::Path, process::Command, thread, time::Duration};

use exeunt_dispatch::{Dispatcher, ExitState, ExitStatus, LEASE};
use exeunt_store::{HeldRow, HeldState, Store};
use exeunt_types::{EventSeq, UnixMillis};

use crate::{PATIENCE, Stage, all_told, damage, facts, status_when, until};

#[test]
fn a_held_row_that_cannot_be_read_is_put_aside_once_and_the_rest_goes_on() {
    let stage = Stage::new();
    stage.deny(4);
    let settings = stage.module("decent", "def notify(call):\n    retry(call)");
    let name = settings.name.clone();
    let dispatcher = stage.start(vec![settings]);
    status_when(&dispatcher, |it| it.held_retry == 4);
    drop(dispatcher);
    damage(&stage, "UPDATE held SET state = 99 WHERE seq = 2");

    for _ in 0..2 {
        let dispatcher = stage.start(vec![stage.module("decent", "")]);
        stage.deny(1);
        let status = all_told(&dispatcher);
        assert_eq!(status.held_parked, 0);
        assert!(dispatcher.stop(PATIENCE));
    }
    let quarantined = stage.store.quarantined().unwrap();
    assert_eq!(quarantined.len(), 1);
    assert_eq!((quarantined[0].seq, quarantined[0].exit.as_str()), (EventSeq(2), "decent"));
    assert!(stage.store.held(&name).unwrap().is_empty());
}

#[test]
fn an_event_that_cannot_be_read_is_parked_and_the_others_pass() {
    let stage = Stage::new();
    stage.deny(5);
    damage(&stage, "UPDATE event SET disposition = 77 WHERE seq = 3");
    let settings = stage.module("decent", "");
    let name = settings.name.clone();
    let dispatcher = stage.start(vec![settings]);
    let status = all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(stage.heard_seqs("decent"), [1, 2, 4, 5]);
    assert_eq!((status.held_parked, status.retried), (1, 0));
    let held = stage.store.held(&name).unwrap();
    assert!(
        matches!(&held[..], [HeldRow::Held(it)] if it.state == HeldState::Parked
            && it.seq == EventSeq(3) && it.attempts == 0 && it.last_error.contains("77")),
        "{held:?}"
    );
}

#[test]
fn a_held_event_whose_row_was_damaged_since_is_parked() {
    let stage = Stage::new();
    stage.deny(2);
    let dispatcher =
        stage.start(vec![stage.module("decent", "def notify(call):\n    retry(call)")]);
    status_when(&dispatcher, |it| it.held_retry == 2);
    drop(dispatcher);
    damage(&stage, "UPDATE event SET disposition = 77 WHERE seq = 1");
    let dispatcher = stage.start(vec![stage.module("decent", "")]);
    let status = status_when(&dispatcher, |it| it.accepted == 1 && it.held_parked == 1);
    assert_eq!(status.held_retry, 0);
    assert!(dispatcher.stop(PATIENCE));
}

#[test]
fn nothing_is_told_without_the_lease() {
    let stage = Stage::new();
    stage.deny(2);
    let settings = stage.module("decent", "");
    let name = settings.name.clone();
    let dispatcher = stage.start(vec![settings]);
    status_when(&dispatcher, |it| it.accepted == 2);

    // Another node, whose clock says that our lease is over, takes the place for an hour.
    let elsewhere = |seconds: u64| stage.now().plus(Duration::from_secs(seconds));
    let until = elsewhere(2 * 3600);
    let _lease = stage.store.lease(&name, "other", elsewhere(3600), until).unwrap();
    stage.deny(3);
    let is_waiting = |it: &ExitStatus| matches!(&it.state, ExitState::Waiting { why, .. } if why.contains("leased to other"));
    status_when(&dispatcher, is_waiting);
    let before = stage.heard("decent").len();
    assert!(before <= 5);
    stage.deny(1);
    status_when(&dispatcher, |it| is_waiting(it) && it.lag != 0);
    assert_eq!(stage.heard("decent").len(), before);

    // The hour is over.
    stage.later(3 * 3600);
    all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    let mut heard = stage.heard_seqs("decent");
    heard.sort_unstable();
    heard.dedup();
    assert_eq!(heard, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_lease_outlasts_a_slow_batch() {
    let stage = Stage::new();
    stage.deny(1);
    let own = "def notify(call):\n    \
                   while not there_is('done'): time.sleep(0.02)\n    \
                   accept(call)";
    let dispatcher = stage.start(vec![stage.module("slow", own)]);
    until(|| !stage.heard("slow").is_empty());
    let lease_until = || stage.store.cursors().unwrap()[0].until;
    let first = lease_until();
    // A third of the lease later it is renewed, although the module is still busy.
    stage.later(i64::try_from(LEASE.as_secs()).unwrap() / 2);
    until(|| first < lease_until());
    stage.touch("done");
    let status = all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!((status.accepted, stage.heard("slow").len()), (1, 1));
}

/// The name of [`a_server_that_is_killed_while_a_module_works_loses_nothing`] and the variable by
/// which its other self knows what to do.
const CHILD: (&str, &str) =
    ("damage::a_server_that_is_killed_while_a_module_works_loses_nothing", "EXEUNT_TEST_CHILD");

/// The parent runs this test binary again, as the server. The module kills that server while it
/// has event 5 in hand: delivered, acted upon, not settled.
#[test]
fn a_server_that_is_killed_while_a_module_works_loses_nothing() {
    if let Some(folder) = env::var_os(CHILD.1) {
        be_the_server(Path::new(&folder));
        return;
    }
    let stage = Stage::new();
    stage.deny(12);
    let Stage { folder, store, offset } = stage;
    drop(store);
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", CHILD.0, "--nocapture"])
        .env(CHILD.1, folder.path())
        .status()
        .unwrap();
    assert!(!status.success(), "the server was not killed");

    let store = Store::open(&folder.path().join("ca.db")).unwrap();
    let stage = Stage { folder, store, offset };
    let before = stage.heard("killer");
    assert_eq!(before.last().unwrap().seq, 5);
    let dispatcher = stage.start(vec![stage.module("killer", "VERSION = 2")]);
    all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    let after: Vec<_> = stage.heard("killer").into_iter().filter(|it| it.version == 2).collect();
    let seqs: Vec<u64> = after.iter().map(|it| it.seq).collect();
    // From the last settled place on, the fifth in any case, with the id it had before.
    assert_eq!(seqs, (seqs[0]..=12).collect::<Vec<_>>());
    assert!(seqs[0] <= 5);
    let again = after.iter().find(|it| it.seq == 5).unwrap();
    assert_eq!(again.id, before.last().unwrap().id);
}

fn be_the_server(folder: &Path) {
    // The folder is the parent's; it is not ours to remove.
    let store = Store::open(&folder.join("ca.db")).unwrap();
    let stage =
        Stage { folder: tempfile::tempdir().unwrap(), store, offset: std::sync::Arc::default() };
    let own = "def notify(call):\n    \
                   if seq(call) == 5: os.kill(os.getppid(), signal.SIGKILL), die()\n    \
                   accept(call)";
    let mut settings = stage.module("killer", own);
    let heard = settings.command.args.last_mut().unwrap();
    *heard = folder.join("killer.heard").into();
    let random = std::sync::Arc::new(|| 0);
    let _dispatcher =
        Dispatcher::start(stage.store.clone(), vec![settings], &facts(), stage.clock(), random)
            .unwrap();
    thread::sleep(PATIENCE);
    let _: UnixMillis = stage.now();
}
