//! The ordinary case: order, masks, cursors, snapshots.

use std::fs;

use exeunt_dispatch::ExitState;
use exeunt_types::{EventKind, EventSeq, StartAt};

use crate::{PATIENCE, Stage, all_told, status_when, until};

#[test]
fn every_event_is_told_once_and_in_order() {
    let stage = Stage::new();
    stage.deny(300);
    let dispatcher = stage.start(vec![stage.module("decent", "")]);
    let status = all_told(&dispatcher);
    assert_eq!(stage.heard_seqs("decent"), (1..=300).collect::<Vec<_>>());
    assert_eq!((status.accepted, status.attempts, status.starts), (300, 300, 1));
    assert_eq!(status.state, ExitState::Running);
    assert_eq!(status.description, "a decent module");
    assert_eq!(status.oldest_unsettled_age, None);
    stage.deny(1);
    until(|| stage.heard("decent").len() == 301);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(stage.stored_cursor("decent"), 301);
    assert_eq!(stage.heard("decent")[300].id, "5a5a5a5a5a5a5a5a-301");
}

#[test]
fn a_second_run_goes_on_where_the_first_stopped() {
    let stage = Stage::new();
    stage.deny(10);
    let dispatcher = stage.start(vec![stage.module("decent", "")]);
    all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    stage.deny(10);
    let dispatcher = stage.start(vec![stage.module("decent", "")]);
    all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(stage.heard_seqs("decent"), (1..=20).collect::<Vec<_>>());
}

#[test]
fn events_outside_the_mask_are_passed_and_never_told() {
    let stage = Stage::new();
    stage.deny(700);
    let (_, issued) = stage.issue(1);
    stage.deny(700);
    let dispatcher = stage.start(vec![stage.module("picky", "MASK = 0x1")]);
    let status = all_told(&dispatcher);
    assert_eq!(stage.heard_seqs("picky"), [issued.0]);
    assert_eq!((status.attempts, status.skipped), (1, 0));
    // Without anything to tell, the place is written all the same.
    until(|| stage.stored_cursor("picky") == 1401);
    assert!(dispatcher.stop(PATIENCE));
}

#[test]
fn a_module_that_wants_nothing_is_told_nothing() {
    let stage = Stage::new();
    stage.deny(20);
    let dispatcher = stage.start(vec![stage.module("deaf", "MASK = 0")]);
    all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(stage.stored_cursor("deaf"), 20);
    assert!(stage.heard("deaf").is_empty());
}

#[test]
fn a_new_module_starts_at_the_head_or_where_it_is_told_to() {
    let stage = Stage::new();
    stage.deny(50);
    let mut late = stage.module("late", "");
    late.start_at = StartAt::Head;
    let mut middle = stage.module("middle", "");
    middle.start_at = StartAt::After(EventSeq(30));
    let dispatcher = stage.start(vec![late, middle]);
    // Issuance goes on meanwhile.
    stage.deny(50);
    until(|| stage.heard("late").len() == 50 && stage.heard("middle").len() == 70);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(stage.heard_seqs("late"), (51..=100).collect::<Vec<_>>());
    assert_eq!(stage.heard_seqs("middle"), (31..=100).collect::<Vec<_>>());
}

#[test]
fn an_event_kind_from_a_newer_or_older_version_is_kept_not_a_panic() {
    let stage = Stage::new();
    // Two bits of versions to come, and what no version ever was: none, and several at once.
    for bit in [0x4000_0000, 0x2000_0000, 0, 0x4000_0001] {
        stage.store.append_server_event(EventKind::from_bit(bit), stage.now()).unwrap();
    }
    let futurist = stage.module("futurist", "MASK = 0x40000000");
    let dispatcher = stage.start(vec![futurist, stage.module("all", "")]);
    until(|| dispatcher.status().iter().all(|it| it.lag == 0 && it.held_retry == 0));
    let starts: Vec<u64> = dispatcher.status().iter().map(|it| it.starts).collect();
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(starts, [1, 1]);
    let heard = |name| stage.heard(name).iter().map(|it| it.event).collect::<Vec<_>>();
    assert_eq!(heard("futurist"), [0x4000_0000, 0x4000_0001]);
    assert!(heard("all").starts_with(&[0x4000_0000, 0x2000_0000]), "{:?}", heard("all"));
    let kept: Vec<u32> = stage
        .store
        .events_after(EventSeq(0), 10)
        .unwrap()
        .into_iter()
        .map(|it| it.kind.bit())
        .collect();
    assert_eq!(kept, [0x4000_0000, 0x2000_0000, 0, 0x4000_0001]);
}

#[test]
fn a_module_reads_the_request_and_the_certificate() {
    let stage = Stage::new();
    let (request, _) = stage.issue(7);
    let keep = "def notify(call):\n    \
                    json.dump(event(call), open(os.path.join(FOLDER, 'event.json'), 'w'))\n    \
                    accept(call)";
    let dispatcher = stage.start(vec![stage.module("reader", keep)]);
    all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    let text = fs::read_to_string(stage.path("event.json")).unwrap();
    let event: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(event["context"], request.0);
    assert_eq!(event["subject"], format!("request:{request}"));
    assert_eq!(event["request"]["Disposition"]["long"], 20);
    assert_eq!(event["request"]["RawRequest"]["binary"], "MAIFAA==");
    assert_eq!(event["certificate"]["SerialNumber"]["string"], "4a07");
    assert_eq!(event["certificate"]["RawCertificate"]["binary"], "MAMCAQU=");
    assert_eq!(event["certificate"]["CommonName"]["string"], "www.example.org");
    assert_eq!(event["attributes"][0][0], "cdc");
    assert_eq!(event["system"]["SanitizedCAName"]["string"], "Test CA");
    assert_eq!(event["system"]["RawCACertificate"]["binary"], "MAMCAQE=");
}

#[test]
fn the_same_name_twice_is_refused() {
    let stage = Stage::new();
    let exits = vec![stage.module("twin", ""), stage.module("twin", "")];
    let clock = stage.clock();
    let random = std::sync::Arc::new(|| 0);
    let err = exeunt_dispatch::Dispatcher::start(
        stage.store.clone(),
        exits,
        &crate::facts(),
        clock,
        random,
    )
    .unwrap_err();
    assert_eq!(err.code(), "dispatch-duplicate");
    assert_eq!(err.to_string(), "module twin is configured twice");
}

#[test]
fn the_age_of_the_oldest_unsettled_event_is_told() {
    let stage = Stage::new();
    stage.deny(1);
    stage.later(90);
    let dispatcher = stage.start(vec![stage.module("busy", "def notify(call):\n    retry(call)")]);
    let status = status_when(&dispatcher, |it| it.held_retry == 1);
    let age = status.oldest_unsettled_age.unwrap().as_secs();
    assert!((90..90 + PATIENCE.as_secs()).contains(&age), "{age}");
    drop(dispatcher);
}
