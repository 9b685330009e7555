//! What an operator orders: try again, drop, tell again from the log.

use exeunt_dispatch::{Done, Order};
use exeunt_types::EventKind;

use super::*;

/// Parks what it is told of until the file `open` is there.
const PARKS: &str = r#"
def notify(call):
    if there_is("open") or event(call)["event"] & 0x4 == 0:
        accept(call)
    else:
        answer(call, {"outcome": "park", "reason": "closed"})
"#;

fn done(events: u64) -> Done {
    Done { events }
}

#[test]
fn a_parked_event_that_is_retried_is_told_once_more_and_then_settled() {
    let stage = Stage::new();
    stage.deny(3);
    let dispatcher = stage.start(vec![stage.module("clerk", PARKS)]);
    status_when(&dispatcher, |it| it.held_parked == 3);
    let clerk = named("clerk");

    // One of them, while the target is still closed: parked again.
    let retried = dispatcher.order(&clerk, Order::Retry(vec![EventSeq(2)])).unwrap();
    assert_eq!(retried, done(1));
    until(|| stage.heard("clerk").iter().filter(|it| it.seq == 2).count() == 2);
    status_when(&dispatcher, |it| it.held_parked == 3);

    stage.touch("open");
    assert_eq!(dispatcher.order(&clerk, Order::Retry(Vec::new())).unwrap(), done(3));
    status_when(&dispatcher, |it| it.held_parked == 0 && it.held_retry == 0);
    let attempts: Vec<u32> = stage.heard("clerk").iter().map(|it| it.attempt).collect();
    assert_eq!(attempts.iter().filter(|it| **it == 3).count(), 1, "event 2 was tried three times");
}

#[test]
fn a_dropped_event_is_never_told_and_lets_those_behind_it_pass() {
    let stage = Stage::new();
    let own = r#"
def notify(call):
    if seq(call) == 1:
        answer(call, {"outcome": "park", "reason": "no"})
    else:
        accept(call)
"#;
    stage.miss_a_list(3);
    let dispatcher = stage.start(vec![stage.module("clerk", own)]);
    status_when(&dispatcher, |it| it.held_parked == 1 && it.held_behind == 2);
    let dropped = dispatcher.order(&named("clerk"), Order::Drop(vec![EventSeq(1)])).unwrap();
    assert_eq!(dropped, done(1));
    until(|| stage.heard_seqs("clerk").contains(&3));
    let told_first = stage.heard_seqs("clerk").iter().filter(|it| **it == 1).count();
    assert_eq!(told_first, 1);
    let shelf = stage.store.held(&named("clerk")).unwrap();
    until(|| all_told(&dispatcher).held_parked == 0);
    assert!(shelf.len() <= 2, "{shelf:?}");
}

#[test]
fn an_order_about_an_event_that_is_not_held_changes_nothing() {
    let stage = Stage::new();
    stage.deny(2);
    let dispatcher = stage.start(vec![stage.module("clerk", PARKS)]);
    status_when(&dispatcher, |it| it.held_parked == 2);
    let clerk = named("clerk");
    for order in
        [Order::Retry(vec![EventSeq(1), EventSeq(9)]), Order::Drop(vec![EventSeq(1), EventSeq(9)])]
    {
        assert_eq!(dispatcher.order(&clerk, order).unwrap_err().code(), "exit-not-held");
    }
    assert_eq!(stage.store.held(&clerk).unwrap().len(), 2);
    let nobody = dispatcher.order(&named("nobody"), Order::CancelReplay).unwrap_err();
    assert_eq!(nobody.code(), "exit-unknown");
}

#[test]
fn parking_an_event_is_an_event_itself_and_parking_that_one_is_not() {
    let stage = Stage::new();
    stage.deny(1);
    let own = r#"
MASK = 0xffffffff
def notify(call):
    answer(call, {"outcome": "park", "reason": "never again"})
"#;
    let dispatcher = stage.start(vec![stage.module("clerk", own)]);
    // The module parks the announcement as well.
    status_when(&dispatcher, |it| it.held_parked == 2 && it.lag == 0);
    let announced = stage.store.event(EventSeq(2)).unwrap().unwrap();
    assert_eq!(announced.kind, EventKind::DELIVERY_PARKED);
    let says = [("Module", "clerk"), ("Event", "1"), ("Reason", "never again")];
    let says = says.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(announced.detail, says);
    assert_eq!(stage.store.head(), EventSeq(2));
}

#[test]
fn a_replay_tells_the_range_again_in_order_and_goes_on_where_it_was() {
    let stage = Stage::new();
    stage.deny(10);
    let dispatcher = stage.start(vec![stage.module("clerk", "")]);
    status_when(&dispatcher, |it| it.cursor == EventSeq(10));
    let replay = Order::Replay { from: EventSeq(3), to: EventSeq(6) };
    assert_eq!(dispatcher.order(&named("clerk"), replay).unwrap(), done(4));
    stage.deny(2);
    until(|| stage.heard("clerk").len() == 16);
    let status = status_when(&dispatcher, |it| it.cursor == EventSeq(12) && it.replay.is_none());
    assert_eq!(status.lag, 0);
    let expected: Vec<u64> = (1..=10).chain(3..=6).chain(11..=12).collect();
    assert_eq!(stage.heard_seqs("clerk"), expected);
}

#[test]
fn a_replay_survives_the_end_of_the_server() {
    let stage = Stage::new();
    stage.deny(5);
    let own = r#"
def notify(call):
    if there_is("slow"):
        time.sleep(0.2)
    accept(call)
WINDOW = 1
"#;
    let module = stage.module("clerk", own);
    let dispatcher = stage.start(vec![module.clone()]);
    status_when(&dispatcher, |it| it.cursor == EventSeq(5));
    stage.touch("slow");
    let replay = Order::Replay { from: EventSeq(1), to: EventSeq(4) };
    dispatcher.order(&named("clerk"), replay).unwrap();
    until(|| stage.heard("clerk").len() == 6);
    drop(dispatcher);

    stage.deny(1);
    let dispatcher = stage.start(vec![module]);
    status_when(&dispatcher, |it| it.cursor == EventSeq(6) && it.replay.is_none());
    let heard = stage.heard_seqs("clerk");
    for seq in 1..=4 {
        let times = heard.iter().filter(|it| **it == seq).count();
        assert!((2..=3).contains(&times), "event {seq} was told {times} times: {heard:?}");
    }
    assert_eq!(heard.iter().filter(|it| **it == 5).count(), 1, "{heard:?}");
    assert_eq!(heard.last(), Some(&6));
}

#[test]
fn an_event_ahead_of_the_cursor_is_not_dropped_since_it_would_come_again() {
    let stage = Stage::new();
    stage.deny(4);
    let own = r#"
WINDOW = 1
def notify(call):
    if seq(call) == 4:
        answer(call, {"outcome": "park", "reason": "no"})
        return
    if there_is("slow"):
        while there_is("slow"):
            time.sleep(0.02)
    accept(call)
"#;
    let dispatcher = stage.start(vec![stage.module("clerk", own)]);
    status_when(&dispatcher, |it| it.held_parked == 1 && it.lag == 0);
    stage.touch("slow");
    let clerk = named("clerk");
    let replay = Order::Replay { from: EventSeq(1), to: EventSeq(4) };
    dispatcher.order(&clerk, replay).unwrap();
    assert!(status_when(&dispatcher, |_| true).replay.is_some(), "shown before it is answered");
    let order = || dispatcher.order(&clerk, Order::Drop(vec![EventSeq(4)]));
    let refused = thread::scope(|scope| {
        let refused = scope.spawn(order);
        // The order waits for the end of the event in hand.
        until(|| stage.heard("clerk").len() == 5);
        fs::remove_file(stage.path("slow")).unwrap();
        refused.join().unwrap()
    });
    // Either the replay was under way, or it was over by then and the event is dropped for good.
    match refused {
        Err(err) => assert_eq!(err.code(), "exit-ahead"),
        Ok(dropped) => assert_eq!(dropped, done(1)),
    }
    status_when(&dispatcher, |it| it.replay.is_none() && it.lag == 0);
    if stage.store.held(&clerk).unwrap().len() == 1 {
        assert_eq!(order().unwrap(), done(1));
    }
    stage.deny(1);
    all_told(&dispatcher);
    assert_eq!(stage.heard_seqs("clerk").iter().filter(|it| **it == 4).count(), 1);
}

#[test]
fn an_order_that_nobody_waits_for_any_more_is_not_carried_out() {
    let stage = Stage::new();
    let own = r#"
WINDOW = 1
def notify(call):
    if seq(call) == 1:
        answer(call, {"outcome": "park", "reason": "no"})
        return
    while seq(call) == 3 and not there_is("open"):
        time.sleep(0.02)
    accept(call)
"#;
    stage.deny(1);
    let dispatcher = stage.start(vec![stage.module("clerk", own)]);
    // Event 2 tells of the parking.
    status_when(&dispatcher, |it| it.held_parked == 1 && it.lag == 0);
    stage.deny(1);
    until(|| stage.heard_seqs("clerk").contains(&3));
    let clerk = named("clerk");
    let busy = dispatcher.order(&clerk, Order::Drop(vec![EventSeq(1)])).unwrap_err();
    assert_eq!(busy.code(), "exit-busy");
    stage.touch("open");
    all_told(&dispatcher);
    assert_eq!(stage.store.held(&clerk).unwrap().len(), 1);
}

#[test]
fn an_order_to_a_module_that_is_changed_meanwhile_is_answered() {
    let stage = Stage::new();
    stage.deny(1);
    let own = r#"
def notify(call):
    while not there_is("open"):
        time.sleep(0.02)
    accept(call)
"#;
    let module = stage.module("clerk", own);
    let dispatcher = stage.start(vec![module.clone()]);
    until(|| stage.heard("clerk").len() == 1);
    let answer = thread::scope(|scope| {
        let order = scope.spawn(|| dispatcher.order(&named("clerk"), Order::Retry(Vec::new())));
        let change = scope.spawn(|| dispatcher.replace(module));
        // Both wait for the event in hand; which of them comes first is nobody's business.
        thread::sleep(Duration::from_millis(50));
        stage.touch("open");
        change.join().unwrap().unwrap();
        order.join().unwrap()
    });
    match answer {
        Ok(retried) => assert_eq!(retried, done(0)),
        Err(err) => assert_eq!(err.code(), "exit-changed"),
    }
}

#[test]
fn a_replay_of_what_no_mask_wants_ends_as_well() {
    let stage = Stage::new();
    stage.deny(5);
    let dispatcher = stage.start(vec![stage.module("clerk", "MASK = 0x1")]);
    status_when(&dispatcher, |it| it.cursor == EventSeq(5));
    let replay = Order::Replay { from: EventSeq(1), to: EventSeq(5) };
    dispatcher.order(&named("clerk"), replay).unwrap();
    status_when(&dispatcher, |it| it.cursor == EventSeq(5) && it.replay.is_none());
    assert_eq!(stage.heard_seqs("clerk"), [0; 0]);
}

#[test]
fn a_replay_beyond_what_was_told_or_on_top_of_another_is_refused() {
    let stage = Stage::new();
    stage.deny(3);
    let own = r#"
def notify(call):
    while there_is("stop"):
        time.sleep(0.02)
    accept(call)
WINDOW = 1
"#;
    let dispatcher = stage.start(vec![stage.module("clerk", own)]);
    status_when(&dispatcher, |it| it.cursor == EventSeq(3));
    let clerk = named("clerk");
    let replay = |from, to| Order::Replay { from: EventSeq(from), to: EventSeq(to) };
    for (from, to) in [(0, 2), (3, 2), (1, 4)] {
        let refused = dispatcher.order(&clerk, replay(from, to)).unwrap_err();
        assert_eq!(refused.code(), "store-replay-range", "{from} to {to}");
    }
    assert_eq!(status_when(&dispatcher, |_| true).cursor, EventSeq(3));
}
