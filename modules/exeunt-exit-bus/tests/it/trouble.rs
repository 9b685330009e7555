//! The server is down, slow, full, killed, cut off; others write as well.

use std::{
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};

use exeunt_module_kit::{Event, Outcome, Value, testing::issued_event};
use exeunt_testbed::{
    process::wait_for,
    proxy::{Fault, Proxy},
};
use serde_json::json;

use crate::{
    Fixture, assert_accepted, assert_once, deliver, events, notify_all, plain, retried, start,
    target_down, with,
};

/// How long a part of a story may take.
const SOON: Duration = Duration::from_mins(1);

#[test]
fn while_the_server_is_down_events_are_retried_at_once_and_later_they_are_there() {
    let mut it = Fixture::new();
    let mut host = it.host();
    assert_accepted(&notify_all(&mut host, &events(1..11)));
    it.server.kill();
    for _ in 0..3 {
        let begun = Instant::now();
        for outcome in notify_all(&mut host, &events(11..21)) {
            let why = target_down(&outcome);
            assert!(why.contains("connection was lost") || why.contains("connecting to"), "{why}");
        }
        assert!(begun.elapsed() < Duration::from_secs(15));
    }
    it.server.start_again();
    deliver(&mut host, &events(1..21));
    assert_once(&it.server.read("EXEUNT"), &events(1..21));
}

#[test]
fn a_server_that_is_killed_in_the_middle_has_every_event_once_in_the_end() {
    let mut it = Fixture::new();
    let events = events(1..3001);
    // Slow enough for the looks below to see it in the middle.
    let mut proxy = Proxy::to_port(it.server.port);
    proxy.set(Fault::Delay(Duration::from_millis(30)));
    let mut host = start(&plain(&format!("nats://127.0.0.1:{}", proxy.port())));
    let told = events.clone();
    let (go, may_end) = channel();
    let delivery = thread::spawn(move || {
        let (most, rest) = told.split_at(2950);
        for events in most.chunks(50) {
            deliver(&mut host, events);
        }
        // However long the looks take, it is not over before the last of them.
        may_end.recv().unwrap();
        deliver(&mut host, rest);
        host.shutdown().unwrap();
    });
    for kills in 0..2 {
        // A different moment each time: after so much was taken since the last one.
        wait_for("a moment in the middle", SOON, || {
            let stored = it.server.stream("EXEUNT")["state"]["messages"].as_u64().unwrap_or(0);
            delivery.is_finished() || 400 * (kills + 1) < stored
        });
        assert!(!delivery.is_finished(), "the delivery failed");
        it.server.kill();
        it.server.start_again();
    }
    go.send(()).unwrap();
    delivery.join().unwrap();
    assert_once(&it.server.read("EXEUNT"), &events);
}

#[test]
fn a_slow_server_is_waited_for_and_one_that_says_nothing_is_not() {
    let it = Fixture::new();
    let mut proxy = Proxy::to_port(it.server.port);
    let address = format!("nats://127.0.0.1:{}", proxy.port());
    let within = |seconds: u64| with(&plain(&address), &json!({ "timeout_s": seconds }));
    // Far more than it takes, also on a slow machine.
    let (mut patient, mut host) = (start(&within(20)), start(&within(2)));
    proxy.set(Fault::Delay(Duration::from_millis(100)));
    assert_accepted(&notify_all(&mut patient, &events(1..100)));
    proxy.set(Fault::Nothing);
    // So that there is a connection on which nothing is said.
    deliver(&mut host, &events(100..101));
    proxy.set(Fault::Silence);
    let begun = Instant::now();
    for outcome in notify_all(&mut host, &events(101..201)) {
        // Those of a second batch wait for a new connection.
        let why = target_down(&outcome);
        assert!(why.contains("not confirmed in time") || why.contains("timed out"), "{why}");
    }
    // The connection is given up as well; the next one is not answered either.
    let outcome = notify_all(&mut host, &events(101..102)).remove(0);
    assert!(target_down(&outcome).starts_with("connecting to "), "{outcome:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    proxy.set(Fault::Nothing);
    deliver(&mut host, &events(101..201));
    // What the server answered while nobody heard it was taken and is not there twice.
    assert_once(&it.server.read("EXEUNT"), &events(1..201));
}

#[test]
fn a_server_that_stands_still_is_given_up_in_time() {
    let it = Fixture::new();
    let mut host = start(&with(&it.settings, &json!({"timeout_s": 1})));
    deliver(&mut host, &events(1..2));
    it.server.suspend();
    let begun = Instant::now();
    target_down(&notify_all(&mut host, &events(2..3))[0]);
    target_down(&notify_all(&mut host, &events(2..3))[0]);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    it.server.resume();
    deliver(&mut host, &events(2..3));
    assert_once(&it.server.read("EXEUNT"), &events(1..3));
}

#[test]
fn an_answer_that_is_cut_off_makes_nothing_double_and_nothing_lost() {
    let it = Fixture::new();
    let mut proxy = Proxy::to_port(it.server.port);
    let address = format!("nats://127.0.0.1:{}", proxy.port());
    let mut host = start(&plain(&address));
    assert_accepted(&notify_all(&mut host, &events(1..2)));
    let mut seq = 2;
    for fault in
        [1, 700, 5000].into_iter().flat_map(|it| [Fault::CutToClient(it), Fault::CutToServer(it)])
    {
        proxy.set(fault);
        let events = events(seq..seq + 100);
        let outcomes = notify_all(&mut host, &events);
        assert!(outcomes.iter().any(|it| *it != Outcome::Accept), "{fault:?}");
        proxy.set(Fault::Nothing);
        deliver(&mut host, &events);
        seq += 100;
    }
    assert_once(&it.server.read("EXEUNT"), &events(1..seq));
}

#[test]
fn a_full_stream_takes_the_rest_when_there_is_room() {
    let it = Fixture::with_stream(&json!({"max_msgs": 30}));
    let mut host = it.host();
    let outcomes = notify_all(&mut host, &events(1..51));
    assert_accepted(&outcomes[..30]);
    for outcome in &outcomes[30..] {
        assert!(target_down(outcome).contains("maximum messages exceeded"), "{outcome:?}");
    }
    it.server.change_stream("EXEUNT", &json!({"max_msgs": 1000}));
    deliver(&mut host, &events(1..51));
    assert_once(&it.server.read("EXEUNT"), &events(1..51));
}

#[test]
fn what_is_too_large_is_parked_and_stops_nothing_else() {
    let it = Fixture::with_stream(&json!({"max_msg_size": 50_000}));
    let mut host = it.host();
    let mut events = events(1..5);
    for (place, size) in [(1, 60_000), (2, 2_000_000)] {
        events[place].detail.push("Large", Value::Binary(vec![7; size]));
    }
    let outcomes = notify_all(&mut host, &events);
    let park = |outcome: &Outcome| match outcome {
        Outcome::Park { reason } => reason.clone(),
        other => panic!("{other:?} is not parked"),
    };
    assert!(park(&outcomes[1]).contains("larger than the stream allows"), "{outcomes:?}");
    assert!(park(&outcomes[2]).contains("larger than the server allows"), "{outcomes:?}");
    assert_accepted(&[outcomes[0].clone(), outcomes[3].clone()]);
    let stored = it.server.read("EXEUNT");
    assert_eq!(stored.len(), 2);
}

#[test]
fn what_others_publish_into_the_same_stream_stays_as_it_is() {
    let it = Fixture::new();
    // Slow enough for the others to come in between.
    let mut proxy = Proxy::to_port(it.server.port);
    proxy.set(Fault::Delay(Duration::from_millis(30)));
    let mut host = start(&plain(&format!("nats://127.0.0.1:{}", proxy.port())));
    let told = events(1..1001);
    let (go, may_end) = channel();
    let delivery = thread::spawn(move || {
        let (most, rest) = told.split_at(980);
        for events in most.chunks(20) {
            deliver(&mut host, events);
        }
        // However long the others take to begin, it is not over before they have ended.
        may_end.recv().unwrap();
        deliver(&mut host, rest);
    });
    wait_for("our first messages", SOON, || {
        it.server.stream("EXEUNT")["state"]["messages"].as_u64().is_some_and(|it| 40 < it)
    });
    it.server.publish("exeunt.stranger.word", 300);
    go.send(()).unwrap();
    delivery.join().unwrap();
    let all = it.server.read("EXEUNT");
    let is_theirs: Vec<bool> = all.iter().map(|it| it.subject == "exeunt.stranger.word").collect();
    let turns = is_theirs.windows(2).filter(|it| it[0] != it[1]).count();
    assert!(1 < turns, "one was after the other");
    let (theirs, ours): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|it| it.subject == "exeunt.stranger.word");
    assert_eq!(theirs.len(), 300);
    assert!(theirs.iter().all(|it| it.body == "a stranger's"));
    assert_once(&ours, &events(1..1001));
}

#[test]
fn another_stream_than_the_one_that_was_meant_takes_nothing() {
    let it = Fixture::without_stream();
    it.server.make_stream("OTHER", &["exeunt.>"], &json!({}));
    let mut host = it.host();
    let outcome = notify_all(&mut host, &events(1..2)).remove(0);
    assert!(retried(&outcome).contains("another stream"), "{outcome:?}");
    assert_eq!(it.server.stream("OTHER")["state"]["messages"], 0);
}

#[test]
fn the_next_server_is_taken_where_the_first_one_is_down() {
    let it = Fixture::new();
    let mut down = Proxy::to_port(it.server.port);
    down.set(Fault::Refuse);
    let servers = json!([format!("nats://127.0.0.1:{}", down.port()), it.server.address()]);
    let mut host = start(&with(&it.settings, &json!({ "servers": servers })));
    let event: Event = issued_event(1, &[1]);
    assert_eq!(host.notify(&event).unwrap(), Outcome::Accept);
}
