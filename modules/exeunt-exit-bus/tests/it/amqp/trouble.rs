//! The server is down, slow, full, killed, cut off.

use std::{
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};

use exeunt_module_kit::{Outcome, Value};
use exeunt_testbed::{
    authority::Flaw,
    process::wait_for,
    proxy::{Fault, Proxy},
    rabbitmq::{MESSAGE_BYTES_MAX, PASSWORD, RabbitMq, USER},
};
use serde_json::{Value as Json, json};

use super::{Fixture, assert_there};
use crate::{assert_accepted, deliver, events, notify_all, secret, start, target_down, with};

/// How long a server may take to see that there is room again.
const SOON: Duration = Duration::from_mins(1);

/// A server of one's own, with exchange and queue, and settings for it.
fn own(folder: &tempfile::TempDir) -> (RabbitMq, String, Json) {
    let server = RabbitMq::start(Flaw::Nothing, 1);
    let vhost = server.vhost();
    // Of a quorum queue nobody is told at once how much is in it.
    server.make_queue(&vhost, "#", &json!({"x-queue-type": "classic"}));
    let settings = json!({
        "protocol": "amqp", "servers": server.url(), "ca_file": server.ca_file(), "vhost": vhost,
        "user": USER, "password_file": secret(folder.path(), "password", PASSWORD), "timeout_s": 3,
    });
    (server, vhost, settings)
}

#[test]
fn a_server_that_is_killed_in_the_middle_has_every_event_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, vhost, settings) = own(&folder);
    let told = events(1..3001);
    let delivered = told.clone();
    // Of a batch that is late for being confirmed by a busy server, everything would stand there again.
    let mut host = start(&with(&settings, &json!({"timeout_s": 18})));
    let (go, may_end) = channel();
    let delivery = thread::spawn(move || {
        let (most, rest) = delivered.split_at(2950);
        for events in most.chunks(50) {
            deliver(&mut host, events);
        }
        // However long the looks take, it is not over before the last of them.
        may_end.recv().unwrap();
        deliver(&mut host, rest);
        host.shutdown().unwrap();
    });
    for enough in [300, 1500] {
        wait_for("a moment in the middle", SOON, || {
            delivery.is_finished() || server.waiting(&vhost).is_some_and(|it| enough < it)
        });
        assert!(!delivery.is_finished(), "the delivery failed");
        server.kill();
        server.restart();
    }
    go.send(()).unwrap();
    delivery.join().unwrap();
    let again = assert_there(&server.take(&vhost), &told);
    // Not more than what was under way when it was killed.
    assert!(again <= 100, "{again}");
}

#[test]
fn a_server_that_is_down_stands_still_or_raises_an_alarm_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, vhost, settings) = own(&folder);
    let mut host = start(&settings);
    deliver(&mut host, &events(1..11));

    server.control(&["set_vm_memory_high_watermark", "0.0000001"]);
    // Before the alarm is raised and the module has heard of it, they are taken or merely late.
    wait_for("the alarm", SOON, || {
        let outcome = notify_all(&mut host, &events(11..21)).remove(0);
        outcome != Outcome::Accept && target_down(&outcome).contains("an alarm of memory or disk")
    });
    server.control(&["set_vm_memory_high_watermark", "0.6"]);
    deliver(&mut host, &events(11..21));

    server.process().suspend();
    for _ in 0..2 {
        let begun = Instant::now();
        target_down(&notify_all(&mut host, &events(21..22))[0]);
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    }
    server.process().resume();
    deliver(&mut host, &events(21..31));

    server.kill();
    for _ in 0..2 {
        let begun = Instant::now();
        for outcome in notify_all(&mut host, &events(31..41)) {
            let why = target_down(&outcome);
            assert!(why.contains("connection was lost") || why.contains("connecting to"), "{why}");
        }
        assert!(begun.elapsed() < Duration::from_secs(15));
    }
    server.restart();
    deliver(&mut host, &events(31..41));
    assert_there(&server.take(&vhost), &events(1..41));
}

#[test]
fn a_slow_server_is_waited_for_and_one_that_says_nothing_is_not() {
    let it = Fixture::new();
    let mut proxy = Proxy::to_port(it.port());
    let within = |seconds: u64| with(&it.plain(proxy.port()), &json!({ "timeout_s": seconds }));
    // Far more than it takes, also on a slow machine.
    let (mut patient, mut host) = (start(&within(20)), start(&within(2)));
    proxy.set(Fault::Delay(Duration::from_millis(100)));
    assert_accepted(&notify_all(&mut patient, &events(1..100)));
    proxy.set(Fault::Nothing);
    // So that there is a connection on which nothing is said.
    deliver(&mut host, &events(100..101));
    proxy.set(Fault::Silence);
    let begun = Instant::now();
    for outcome in notify_all(&mut host, &events(101..111)) {
        let why = target_down(&outcome);
        assert!(
            why.contains("not confirmed in time") || why.contains("no answer in time"),
            "{why}"
        );
    }
    let outcome = notify_all(&mut host, &events(101..102)).remove(0);
    assert!(target_down(&outcome).contains("no answer in time"), "{outcome:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    proxy.set(Fault::Nothing);
    deliver(&mut host, &events(101..111));
    assert_there(&it.found(), &events(1..111));
}

#[test]
fn a_connection_on_which_nothing_is_told_for_long_is_kept_by_heartbeats() {
    let it = Fixture::new();
    let proxy = Proxy::to_port(it.port());
    let mut host = start(&with(&it.plain(proxy.port()), &json!({"heartbeat_s": 5})));
    assert_accepted(&notify_all(&mut host, &events(1..2)));
    // RabbitMQ ends what says nothing for two to three times that time, and so does the module.
    thread::sleep(Duration::from_secs(18));
    assert_accepted(&notify_all(&mut host, &events(2..3)));
    assert_eq!(proxy.connections(), 1);
    assert_eq!(assert_there(&it.found(), &events(1..3)), 0);
}

#[test]
fn an_answer_that_is_cut_off_loses_nothing() {
    let it = Fixture::new();
    let mut proxy = Proxy::to_port(it.port());
    let mut host = start(&it.plain(proxy.port()));
    assert_accepted(&notify_all(&mut host, &events(1..2)));
    let mut seq = 2;
    for fault in
        [1, 30, 5000].into_iter().flat_map(|it| [Fault::CutToClient(it), Fault::CutToServer(it)])
    {
        proxy.set(fault);
        let told = events(seq..seq + 500);
        let outcomes = notify_all(&mut host, &told);
        let cut = outcomes.iter().any(|it| *it != Outcome::Accept);
        // The server may say more with fewer words than that.
        assert!(cut || fault == Fault::CutToClient(5000), "{fault:?}");
        proxy.set(Fault::Nothing);
        proxy.cut();
        deliver(&mut host, &told);
        seq += 500;
    }
    assert_there(&it.found(), &events(1..seq));
}

#[test]
fn a_full_queue_takes_the_rest_when_there_is_room() {
    let it = Fixture::bare();
    let limit = json!({"x-max-length": 30, "x-overflow": "reject-publish"});
    it.make_queue(&it.vhost, "#", &limit);
    let mut host = it.host();
    let told = events(1..81);
    let outcomes = notify_all(&mut host, &told);
    let (taken, left): (Vec<_>, Vec<_>) =
        told.iter().zip(outcomes).partition(|(_, outcome)| *outcome == Outcome::Accept);
    assert!(30 <= taken.len() && !left.is_empty(), "{} were taken", taken.len());
    for (_, outcome) in &left {
        assert!(target_down(outcome).contains("a queue is full"), "{outcome:?}");
    }
    let mut found = it.found();
    let left: Vec<_> = left.into_iter().map(|(event, _)| event.clone()).collect();
    for left in left.chunks(25) {
        deliver(&mut host, left);
        found.extend(it.found());
    }
    assert_there(&found, &told);
}

#[test]
fn what_is_too_large_is_parked_and_stops_nothing_else() {
    let it = Fixture::new();
    let mut host = it.host();
    let mut told = events(1..21);
    for place in [1, 7] {
        told[place].detail.push("Large", Value::Binary(vec![7; MESSAGE_BYTES_MAX]));
    }
    let outcomes = notify_all(&mut host, &told);
    for place in [7, 1] {
        told.remove(place);
    }
    let (parked, taken): (Vec<_>, Vec<_>) =
        outcomes.into_iter().partition(|it| matches!(it, Outcome::Park { .. }));
    assert_eq!(parked.len(), 2);
    for outcome in &parked {
        let Outcome::Park { reason } = outcome else { panic!("it is parked") };
        assert!(reason.contains("larger than configured max size"), "{reason}");
    }
    assert_accepted(&taken);
    assert_there(&it.found(), &told);
}

#[test]
fn the_next_server_is_taken_where_the_first_one_is_down_or_silent() {
    let it = Fixture::new();
    let (mut dead, mut silent) = (Proxy::to_port(it.port()), Proxy::to_port(it.port()));
    dead.set(Fault::Refuse);
    silent.set(Fault::Silence);
    let port = |port: u16| format!("amqp://127.0.0.1:{port}");
    let servers = [dead.port(), silent.port(), it.port()].map(port);
    // Each has its share of the time, and the last one has to make do with it.
    let host_of = |servers: &[String]| {
        start(&with(&it.plain(it.port()), &json!({ "servers": servers, "timeout_s": 18 })))
    };
    let mut host = host_of(&servers);
    assert_accepted(&notify_all(&mut host, &events(1..2)));
    let servers = [dead.port(), silent.port()].map(port);
    let mut host = host_of(&servers);
    let outcome = notify_all(&mut host, &events(2..3)).remove(0);
    let why = target_down(&outcome);
    assert!(why.contains("refused") && why.contains("no answer in time"), "{why}");
}
