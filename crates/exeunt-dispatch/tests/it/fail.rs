//! Events that fail: retries, order per subject, parking, poison.

use exeunt_dispatch::{ExitState, ExitStatus};
use exeunt_store::{HeldRow, HeldState};

use crate::{PATIENCE, Stage, all_told, status_when, until};

#[test]
fn a_failed_event_is_told_again_under_the_same_id() {
    let stage = Stage::new();
    stage.deny(3);
    let third_time = "def notify(call):\n    \
                          accept(call) if seq(call) != 2 or event(call)['attempt'] == 3 else retry(call)";
    let dispatcher = stage.start(vec![stage.module("shy", third_time)]);
    let status = all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    let heard: Vec<_> = stage.heard("shy").into_iter().map(|it| (it.id, it.attempt)).collect();
    let id = |seq| format!("5a5a5a5a5a5a5a5a-{seq}");
    // The neighbours do not wait.
    assert_eq!(heard, [(id(1), 1), (id(2), 1), (id(3), 1), (id(2), 2), (id(2), 3)]);
    assert_eq!((status.accepted, status.retried), (3, 2));
    assert_eq!(status.last_error.as_deref(), Some("busy"));
    assert!(stage.store.held(&status.name).unwrap().is_empty());
}

#[test]
fn an_error_answer_is_a_retry_and_a_skip_is_settled() {
    let stage = Stage::new();
    stage.deny(2);
    let own = "def notify(call):\n    \
                   if seq(call) == 1: answer(call, {'outcome': 'skip'})\n    \
                   elif event(call)['attempt'] == 1: refuse(call, 'no disk')\n    \
                   elif event(call)['attempt'] == 2: answer(call, {'outcome': 'perhaps'})\n    \
                   else: accept(call)";
    let dispatcher = stage.start(vec![stage.module("rude", own)]);
    let status = all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(stage.heard_seqs("rude"), [1, 2, 2, 2]);
    assert_eq!((status.accepted, status.skipped, status.retried), (1, 1, 2));
    assert_eq!(status.starts, 1);
}

#[test]
fn a_module_can_ask_for_a_longer_pause_up_to_the_longest() {
    let stage = Stage::new();
    stage.deny(2);
    // The second wish, an hour, is cut to the longest pause of the schedule: 2 s.
    let own = "def notify(call):\n    \
                   wish = 1200 if seq(call) == 1 else 3600000\n    \
                   retry(call, wish) if event(call)['attempt'] == 1 else accept(call)";
    let dispatcher = stage.start(vec![stage.module("wisher", own)]);
    all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    let heard = stage.heard("wisher");
    let pause = |seq| {
        let times: Vec<f64> = heard.iter().filter(|it| it.seq == seq).map(|it| it.time).collect();
        times[1] - times[0]
    };
    assert_eq!(heard.len(), 4);
    assert!(1.15 <= pause(1) && pause(1) < pause(2), "{} {}", pause(1), pause(2));
    assert!(1.95 <= pause(2), "{}", pause(2));
}

#[test]
fn later_events_of_a_subject_wait_behind_a_failed_one_and_follow_in_order() {
    let stage = Stage::new();
    // 1 to 3 and 14 to 16 are of one subject, the others of ten different ones.
    stage.miss_a_list(3);
    stage.deny(10);
    stage.miss_a_list(3);
    let own = "def notify(call):\n    \
                   accept(call) if seq(call) != 1 or there_is('open') else retry(call)";
    let dispatcher = stage.start(vec![stage.module("strict", own)]);
    let status = status_when(&dispatcher, |it| it.lag == 0 && it.accepted == 10);
    assert_eq!((status.held_retry, status.held_behind, status.held_parked), (1, 5, 0));
    assert_eq!(stage.stored_cursor("strict"), 16);
    stage.touch("open");
    all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    let mut heard = stage.heard_seqs("strict");
    heard.dedup();
    heard.retain(|it| *it != 1 && !(4..=13).contains(it));
    assert_eq!(heard, [2, 3, 14, 15, 16]);
}

#[test]
fn two_events_of_a_subject_are_never_in_one_window() {
    let stage = Stage::new();
    stage.miss_a_list(20);
    // It answers a window from its end: an overtaking would show.
    let own = "def notify(call):\n    \
                   retry(call) if event(call)['attempt'] == 1 else accept(call)";
    let dispatcher = stage.start(vec![stage.module("ordered", own)]);
    all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    let expected: Vec<(u64, u32)> = (1..=20).flat_map(|it| [(it, 1), (it, 2)]).collect();
    let heard: Vec<_> = stage.heard("ordered").iter().map(|it| (it.seq, it.attempt)).collect();
    assert_eq!(heard, expected);
}

#[test]
fn an_event_that_fails_too_often_is_parked_and_stays() {
    let stage = Stage::new();
    stage.miss_a_list(1);
    stage.deny(5);
    stage.miss_a_list(2);
    let own = "def notify(call):\n    accept(call) if seq(call) != 1 else retry(call)";
    let mut settings = stage.module("parker", own);
    settings.retry.attempts_max = 3;
    let name = settings.name.clone();
    let dispatcher = stage.start(vec![settings.clone()]);
    let status = status_when(&dispatcher, |it| it.held_parked == 1 && it.lag == 0);
    assert_eq!((status.held_retry, status.held_behind, status.accepted), (0, 2, 5));
    assert_eq!(status.oldest_unsettled_age, None);
    assert!(dispatcher.stop(PATIENCE));

    // It is there after the next start as well, and nothing of its subject is told.
    let dispatcher = stage.start(vec![settings]);
    stage.deny(1);
    // Event 9 says that event 1 was parked.
    until(|| stage.heard_seqs("parker").last() == Some(&10));
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(stage.heard_seqs("parker").iter().filter(|it| **it == 1).count(), 3);
    let held: Vec<_> = stage
        .store
        .held(&name)
        .unwrap()
        .into_iter()
        .map(|row| match row {
            HeldRow::Held(it) => (it.seq.0, it.attempts, it.state, it.last_error),
            HeldRow::Corrupt { seq, why } => panic!("{seq}: {why}"),
        })
        .collect();
    let wait = |seq| (seq, 0, HeldState::Wait, String::new());
    assert_eq!(held, [(1, 3, HeldState::Parked, "busy".to_owned()), wait(7), wait(8)]);
}

#[test]
fn a_module_can_park_an_event_itself() {
    let stage = Stage::new();
    stage.deny(2);
    let own = "def notify(call):\n    \
                   accept(call) if seq(call) != 1 else answer(call, {'outcome': 'park', 'reason': 'odd'})";
    let dispatcher = stage.start(vec![stage.module("judge", own)]);
    let status = status_when(&dispatcher, |it| it.held_parked == 1 && it.accepted == 1);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(status.last_error.as_deref(), Some("odd"));
    assert_eq!(stage.heard_seqs("judge"), [1, 2]);
}

#[test]
fn eleven_poisoned_events_at_the_head_do_not_hold_back_the_rest() {
    let stage = Stage::new();
    stage.deny(40);
    let own = "def notify(call):\n    die() if seq(call) <= 11 else accept(call)";
    let mut settings = stage.module("victim", own);
    settings.retry.attempts_max = 2;
    let dispatcher = stage.start(vec![settings]);
    let shelf = |it: &ExitStatus| (it.held_retry, it.held_parked);
    let status =
        status_when(&dispatcher, |it| it.accepted == 29 && shelf(it) == (0, 11) && it.lag == 0);
    assert!(dispatcher.stop(PATIENCE));
    assert!(status.last_error.unwrap().contains("SIGKILL"));
    // Not one of the good ones had to be told again after it was answered.
    let good = stage.heard_seqs("victim").into_iter().filter(|it| 11 < *it).count();
    assert_eq!(good, 29);
}

#[test]
fn the_poison_is_found_in_a_window_and_the_others_are_not_blamed() {
    let stage = Stage::new();
    stage.deny(30);
    let own = "def notify(call):\n    die() if seq(call) == 10 else accept(call)";
    let mut settings = stage.module("victim", own);
    settings.retry.first = PATIENCE;
    settings.retry.longest = PATIENCE;
    let name = settings.name.clone();
    let dispatcher = stage.start(vec![settings]);
    let status = status_when(&dispatcher, |it| it.accepted == 29);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!((status.held_retry, status.faults, status.starts), (1, 2, 3));
    let heard: Vec<_> = stage.heard("victim").iter().map(|it| (it.seq, it.attempt)).collect();
    let mut expected: Vec<(u64, u32)> = (1..=9).map(|it| (it, 1)).collect();
    // Once in company, once alone. Those behind it were in the window, but it never came to them.
    expected.extend([(10, 1), (10, 2)]);
    expected.extend((11..=30).map(|it| (it, 2)));
    assert_eq!(heard, expected);
    let held = stage.store.held(&name).unwrap();
    assert!(
        matches!(&held[..], [HeldRow::Held(it)] if it.seq.0 == 10 && it.attempts == 1
            && it.last_error.contains("SIGKILL")),
        "{held:?}"
    );
}

#[test]
fn an_event_that_never_gets_an_answer_is_found_like_poison() {
    let stage = Stage::new();
    stage.deny(6);
    let own = "def notify(call):\n    time.sleep(1000) if seq(call) == 3 else accept(call)";
    let mut settings = stage.module("sleeper", own);
    settings.limits.event = std::time::Duration::from_secs(5);
    settings.retry.attempts_max = 1;
    let dispatcher = stage.start(vec![settings]);
    let status = status_when(&dispatcher, |it| it.accepted == 5 && it.held_parked == 1);
    assert_eq!(status.last_error.as_deref(), Some("module did not answer within 5000 ms"));
    drop(dispatcher);
}

#[test]
fn an_event_answered_before_the_end_of_the_process_is_settled() {
    let stage = Stage::new();
    stage.deny(5);
    // It answers the whole window backwards, and ends without an answer to the first.
    let own = "WAITING = []\n\
               def notify(call):\n    \
                   WAITING.append(call)\n    \
                   if len(WAITING) == 5:\n        \
                       [accept(it) for it in reversed(WAITING[1:])]\n        \
                       die()\n    \
                   if event(call)['attempt'] != 1: accept(call)";
    let dispatcher = stage.start(vec![stage.module("backwards", own)]);
    all_told(&dispatcher);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(stage.heard_seqs("backwards"), [1, 2, 3, 4, 5, 1]);
}

#[test]
fn a_module_whose_process_is_being_started_again_is_not_running() {
    let stage = Stage::new();
    stage.deny(1);
    let own = r#"
if there_is("died"):
    while not there_is("open"):
        time.sleep(0.02)

def notify(call):
    if there_is("died"):
        accept(call)
    else:
        open(os.path.join(FOLDER, "died"), "w").close()
        die()
"#;
    let dispatcher = stage.start(vec![stage.module("clerk", own)]);
    let status = status_when(&dispatcher, |it| it.faults == 1);
    assert_eq!((status.state, status.pid), (ExitState::Starting, None));
    stage.touch("open");
    let status = all_told(&dispatcher);
    assert_eq!((status.state, status.starts), (ExitState::Running, 2));
    assert!(status.pid.is_some());
}

#[test]
fn an_alarm_that_waits_for_its_target_holds_back_no_later_alarm() {
    let stage = Stage::new();
    stage.serve(4);
    let own = "def notify(call):\n    \
                   if seq(call) == 1: retry(call, 3600000)\n    \
                   else: accept(call)";
    let dispatcher = stage.start(vec![stage.module("bell", own)]);
    let status = status_when(&dispatcher, |it| it.accepted == 3 && it.lag == 0);
    assert_eq!((status.held_behind, status.held_retry), (0, 1));
    assert!(dispatcher.stop(PATIENCE));
}

#[test]
fn an_alarm_that_is_parked_holds_back_no_later_alarm() {
    let stage = Stage::new();
    stage.serve(2);
    let own = "def notify(call):\n    \
                   if seq(call) == 1: answer(call, {'outcome': 'park', 'reason': 'no such list'})\n    \
                   else: accept(call)";
    let dispatcher = stage.start(vec![stage.module("bell", own)]);
    let status = status_when(&dispatcher, |it| it.accepted == 1 && it.held_parked == 1);
    assert_eq!((status.held_behind, status.held_retry), (0, 0));
    stage.serve(1);
    let status = status_when(&dispatcher, |it| it.accepted == 2 && it.lag == 0);
    assert_eq!(status.held_behind, 0);
    assert!(dispatcher.stop(PATIENCE));
    assert_eq!(stage.heard_seqs("bell").iter().filter(|it| **it == 1).count(), 1);
}
