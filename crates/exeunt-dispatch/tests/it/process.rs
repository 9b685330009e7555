//! Processes that do not start, end, are replaced, or have to be stopped.

use std::{fs, time::Duration};

use exeunt_dispatch::ExitState;
use exeunt_store::HeldRow;

use crate::{PATIENCE, Stage, all_told, interpreter, status_when, until};

/// A module that cannot be started is down with this reason, and nothing is held.
#[track_caller]
fn check_down(own: &str, hello: Duration, reason: &str) {
    let stage = Stage::new();
    stage.deny(3);
    let mut settings = stage.module("ill", own);
    settings.limits.hello = hello;
    let name = settings.name.clone();
    let dispatcher = stage.start(vec![settings]);
    let status = status_when(&dispatcher, |it| {
        matches!(&it.state, ExitState::Down { why, .. } if why.contains(reason)) && 2 <= it.starts
    });
    assert_eq!((status.cursor.0, status.lag, status.pid), (0, 3, None));
    assert!(status.last_error.unwrap().contains(reason));
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(stage.stored_cursor("ill"), 0);
    assert!(stage.store.held(&name).unwrap().is_empty());

    // Once it is well, nothing is missing.
    let dispatcher = stage.start(vec![stage.module("ill", "")]);
    all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(stage.heard_seqs("ill"), [1, 2, 3]);
}

#[test]
fn a_module_that_ends_at_its_hello_holds_nothing() {
    check_down("sys.exit(3)", PATIENCE, "module ended during its hello (exit status: 3)");
}

#[test]
fn a_module_that_never_says_hello_holds_nothing() {
    check_down("time.sleep(1000)", Duration::from_millis(300), "did not say hello within 300 ms");
}

#[test]
fn a_module_that_refuses_holds_nothing() {
    let own = "def initialize(call):\n    refuse(call, 'no folder is set')";
    check_down(own, PATIENCE, "module refused to start: no folder is set");
}

#[test]
fn a_module_that_is_installed_later_catches_up_by_itself() {
    let stage = Stage::new();
    stage.deny(3);
    let mut settings = stage.module("late", "");
    settings.command.program = stage.path("python");
    let dispatcher = stage.start(vec![settings]);
    let status = status_when(&dispatcher, |it| matches!(it.state, ExitState::Down { .. }));
    assert!(status.last_error.unwrap().ends_with("python does not exist"));
    std::os::unix::fs::symlink(interpreter(), stage.path("python")).unwrap();
    all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(stage.heard_seqs("late"), [1, 2, 3]);
}

#[test]
fn a_process_that_was_killed_while_idle_is_started_again() {
    let stage = Stage::new();
    stage.deny(1);
    let dispatcher = stage.start(vec![stage.module("phoenix", "")]);
    let pid = status_when(&dispatcher, |it| it.accepted == 1 && it.lag == 0).pid.unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    status_when(&dispatcher, |it| it.starts == 2 && it.state == ExitState::Running);
    stage.deny(1);
    let status = status_when(&dispatcher, |it| it.accepted == 2);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(stage.heard_seqs("phoenix"), [1, 2]);
    assert_eq!((status.faults, status.held_retry), (0, 0));
}

#[test]
fn a_replaced_executable_takes_over_without_loss_or_repetition() {
    let stage = Stage::new();
    stage.deny(10);
    let settings = stage.module("module", "");
    let dispatcher = stage.start(vec![settings]);
    status_when(&dispatcher, |it| it.accepted == 10);
    // As installers do it: a new file, moved over the old one.
    let text = fs::read_to_string(stage.path("module.py")).unwrap();
    fs::write(stage.path("new.py"), text.replace("VERSION = 1", "VERSION = 2")).unwrap();
    fs::rename(stage.path("new.py"), stage.path("module.py")).unwrap();
    let mut count = 10;
    while stage.heard("module").last().unwrap().version == 1 {
        stage.deny(1);
        count += 1;
        until(|| stage.heard("module").len() == count);
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    let count = u64::try_from(count).unwrap();
    assert_eq!(stage.heard_seqs("module"), (1..=count).collect::<Vec<_>>());
    assert_eq!((status.starts, status.faults), (2, 0));
}

#[test]
fn stopping_finishes_the_batch_in_hand() {
    let stage = Stage::new();
    stage.deny(3);
    let own = "def notify(call):\n    time.sleep(0.3)\n    accept(call)";
    let dispatcher = stage.start(vec![stage.module("slow", own)]);
    until(|| !stage.heard("slow").is_empty());
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(stage.heard_seqs("slow"), [1, 2, 3]);
    assert_eq!(stage.stored_cursor("slow"), 3);
}

#[test]
fn a_stop_that_has_to_kill_blames_nobody() {
    let stage = Stage::new();
    stage.deny(1);
    let settings = stage.module("hanging", "def notify(call):\n    time.sleep(1000)");
    let name = settings.name.clone();
    let dispatcher = stage.start(vec![settings]);
    until(|| !stage.heard("hanging").is_empty());
    assert!(!dispatcher.stop(Duration::from_millis(100)));
    assert!(stage.store.held(&name).unwrap().is_empty());
    assert_eq!(stage.stored_cursor("hanging"), 0);

    let dispatcher = stage.start(vec![stage.module("hanging", "")]);
    all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(stage.heard_seqs("hanging"), [1, 1]);
    let rows: Vec<HeldRow> = stage.store.held(&name).unwrap();
    assert!(rows.is_empty());
}

#[test]
fn no_process_outlives_a_dropped_dispatcher() {
    let stage = Stage::new();
    stage.deny(1);
    let dispatcher = stage.start(vec![stage.module("orphan", "")]);
    let pid = status_when(&dispatcher, |it| it.accepted == 1).pid.unwrap();
    drop(dispatcher);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}
