//! What networks and receivers do: in the end, every event is there.

use std::{fs, os::unix::net::UnixDatagram, time::Duration};

use exeunt_module_kit::{Outcome, Value};
use exeunt_testbed::{
    authority::Flaw,
    process::{free_port, wait_for},
    proxy::{Fault, Proxy},
};
use serde_json::json;

use crate::fixture::{LIMIT, Receiver, assert_down, assert_has, deliver, events, host};

#[test]
fn thousands_of_events_arrive_over_each_stream() {
    for tls in [Some(Flaw::Nothing), None] {
        for confirm in ["close", "farewell", "written"] {
            if tls.is_none() && confirm == "farewell" {
                continue;
            }
            let it = Receiver::start(tls, false);
            let proxy = Proxy::to_port(it.port);
            let mut host = it.host_at(proxy.port(), &json!({"confirm": confirm}));
            let events = events(if confirm == "close" { 2000 } else { 700 });
            assert_eq!(deliver(&mut host, &events), 0);
            host.shutdown().unwrap();
            assert_has(&events, || it.received());
            assert_eq!(it.received().len(), events.len(), "each came once");
            if confirm == "written" {
                assert_eq!(proxy.connections(), 1);
            }
            let first = &it.received()[0];
            assert_eq!(first["host"], "ca.example.test");
            assert_eq!(first["text"].as_str().unwrap().split(':').next(), Some("issued"));
        }
    }
}

#[test]
fn what_requesters_write_arrives_as_they_wrote_it_but_for_what_ends_lines() {
    let it = Receiver::start(Some(Flaw::Nothing), false);
    let mut host = it.host(&json!({}));
    let mut event = events(1).remove(0);
    let name = "quote \" bracket ] backslash \\ line \n é 漢";
    event.request.set("RequesterName", Some(Value::String(name.to_owned())));
    assert_eq!(host.notify(&event).unwrap(), Outcome::Accept);
    let received = it.received().remove(0);
    assert_eq!(received["values"]["requester"], name.replace('\n', "␊"));
    assert!(received["text"].as_str().unwrap().starts_with("\u{feff}issued: "));
}

#[test]
fn a_receiver_that_was_down_has_every_event_in_the_end() {
    let mut it = Receiver::start(Some(Flaw::Nothing), false);
    for (index, confirm) in ["close", "written"].into_iter().enumerate() {
        let mut host = it.host(&json!({"confirm": confirm}));
        let mut events = events(200);
        for event in &mut events {
            event.id = format!("{index}-{}", event.id);
        }
        assert_eq!(deliver(&mut host, &events[..50]), 0);
        // What is only written may be lost with a receiver that is killed before it has read.
        wait_for("the first messages", LIMIT, || index * 200 + 50 <= it.received().len());
        it.kill();
        for outcome in host.notify_all(&events[50..100]).unwrap() {
            assert_down(&outcome.unwrap(), "connecting to 127.0.0.1");
        }
        it.restart();
        deliver(&mut host, &events[50..]);
        let mine = format!("{index}-");
        assert_has(&events, || {
            let mut received = it.received();
            received.retain(|it| it["values"]["id"].as_str().unwrap().starts_with(&mine));
            received
        });
    }
}

#[test]
fn over_tls_a_receiver_that_is_killed_in_the_middle_has_every_event_in_the_end() {
    let mut it = Receiver::start(Some(Flaw::Nothing), false);
    let mut host = it.host(&json!({"confirm": "farewell"}));
    let events = events(2500);
    let all = events.clone();
    let delivery = std::thread::spawn(move || deliver(&mut host, &all));
    for count in [1, 600] {
        wait_for("messages", LIMIT, || count <= it.received().len());
        it.restart();
    }
    assert!(0 < delivery.join().unwrap(), "it was killed while nothing was sent");
    assert_has(&events, || it.received());
}

#[test]
fn what_a_receiver_did_not_read_is_not_accepted() {
    let it = Receiver::start(None, false);
    let mut host = it.host(&json!({"timeout_s": 1}));
    let events = events(3);
    // One that does not talk to us, as by a list of those who may.
    it.behave("close at once");
    for _ in 0..20 {
        assert_down(&host.notify(&events[0]).unwrap(), "");
    }
    assert!(it.received().is_empty());
    // One that reads and never says so.
    it.behave("never close");
    assert_down(&host.notify(&events[0]).unwrap(), "confirm = \"written\"");
    // One that leaves without a farewell, as a process that is killed before it has written down.
    let tls = Receiver::start(Some(Flaw::Nothing), false);
    tls.behave("no farewell");
    let outcome = tls.host(&json!({"confirm": "farewell"})).notify(&events[0]).unwrap();
    assert_down(&outcome, "without the farewell of TLS");
    // One that ends in the middle.
    it.behave("die after one");
    assert_down(&host.notify(&events[1]).unwrap(), "did not confirm");
    it.behave("well");
    deliver(&mut host, &events);
    assert_has(&events, || it.received());
}

#[test]
fn networks_that_are_slow_silent_or_cut_off_lose_nothing() {
    let it = Receiver::start(Some(Flaw::Nothing), false);
    let mut proxy = Proxy::to_port(it.port);
    let mut host = it.host_at(proxy.port(), &json!({"confirm": "farewell"}));
    let mut hasty = it.host_at(proxy.port(), &json!({"timeout_s": 1}));
    let events = events(140);
    proxy.set(Fault::Delay(Duration::from_millis(20)));
    assert_eq!(deliver(&mut host, &events[..20]), 0);
    proxy.set(Fault::Silence);
    assert_down(&hasty.notify(&events[20]).unwrap(), "in time");
    let mut retried = 0;
    for (index, cut) in [0, 40, 400, 1000, 3000, 6000].into_iter().enumerate() {
        let mut part = events[20 + index * 20..40 + index * 20].to_vec();
        for fault in [Fault::CutToServer(cut), Fault::CutToClient(cut)] {
            proxy.set(fault);
            // What is accepted does not come again.
            let outcomes = host.notify_all(&part).unwrap();
            let mut outcomes = outcomes.iter();
            part.retain(|_| *outcomes.next().unwrap() != Ok(Outcome::Accept));
            retried += part.len();
        }
        proxy.set(Fault::Nothing);
        deliver(&mut host, &part);
    }
    assert!(100 < retried, "{retried}");
    assert_has(&events, || it.received());
}

#[test]
fn a_receiver_with_a_wrong_certificate_is_told_nothing() {
    for flaw in [Flaw::OtherName, Flaw::OtherAuthority, Flaw::Expired] {
        let it = Receiver::start(Some(flaw), false);
        assert_down(&it.host(&json!({})).notify(&events(1)[0]).unwrap(), "certificate");
        let pinned = |pin: &str| {
            let mut settings = it.settings(it.port, &json!({"server_certificate_sha256": [pin]}));
            settings.as_object_mut().unwrap().remove("ca_file");
            host(&settings).notify(&events(1)[0]).unwrap()
        };
        assert_down(&pinned(&"00".repeat(32)), "certificate");
        assert!(it.received().is_empty(), "{flaw:?}");
        // It is that alone: with this very certificate pinned, the message is there.
        assert_eq!(pinned(&it.fingerprint()), Outcome::Accept, "{flaw:?}");
        assert_has(&events(1), || it.received());
    }
}

#[test]
fn a_client_certificate_is_shown() {
    let it = Receiver::start(Some(Flaw::Nothing), true);
    let client = it.authority.client("ca.example.test");
    let more =
        json!({"client_certificate_file": client.certificate, "client_key_file": client.key});
    let events = events(1);
    // Without it nothing is accepted, in TLS 1.3 neither, where the refusal comes late.
    for confirm in ["close", "written"] {
        let mut host = it.host(&json!({"confirm": confirm}));
        if confirm == "close" {
            assert_down(&host.notify(&events[0]).unwrap(), "");
        }
        assert!(it.received().is_empty());
    }
    assert_eq!(it.host(&more).notify(&events[0]).unwrap(), Outcome::Accept);
    assert_has(&events, || it.received());
}

#[test]
fn datagrams_that_nobody_takes_are_tried_again() {
    let mut nobody = host(&json!({
        "transport": "udp", "server": format!("127.0.0.1:{}", free_port()), "hostname": "a",
    }));
    // The system may hear of the refusal a moment after the last one was sent.
    wait_for("a refusal of all", LIMIT, || {
        let outcomes = nobody.notify_all(&events(20)).unwrap().into_iter().map(Result::unwrap);
        let refused: Vec<_> = outcomes.filter(|it| *it != Outcome::Accept).collect();
        for outcome in &refused {
            assert_down(outcome, "refused");
        }
        refused.len() == 20
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let settings = json!({"transport": "unix", "path": path, "timeout_s": 1, "hostname": "a"});
    let mut local = host(&settings);
    assert_down(&local.notify(&events(1)[0]).unwrap(), "No such file");
    // One that does not read: what the system has no room for is tried again, and comes once.
    let socket = UnixDatagram::bind(&path).unwrap();
    let room = fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap();
    let events = events(room.trim().parse::<u64>().unwrap() + 50);
    let outcomes = local.notify_all(&events).unwrap();
    let taken = outcomes.iter().filter(|it| **it == Ok(Outcome::Accept)).count();
    assert!(0 < taken && taken < events.len(), "{taken}");
    for outcome in outcomes.into_iter().map(Result::unwrap).filter(|it| *it != Outcome::Accept) {
        assert_down(&outcome, "");
    }
    socket.set_nonblocking(true).unwrap();
    let mut octets = [0; 10_000];
    let mut read = 0;
    while let Ok(count) = socket.recv(&mut octets) {
        assert!(octets[..count].starts_with(b"<86>1 "));
        read += 1;
    }
    assert_eq!(read, taken);
    fs::remove_file(&path).unwrap();
}

#[test]
fn a_message_that_is_too_long_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut host = host(&json!({
        "transport": "unix", "path": path, "length_max": 480, "hostname": "a",
    }));
    let mut event = events(1).remove(0);
    let name = Value::String("x".repeat(5000));
    event.certificate.push("DistinguishedName", name);
    assert_eq!(host.notify(&event).unwrap(), Outcome::Accept);
    let mut octets = [0; 10_000];
    assert!(socket.recv(&mut octets).unwrap() <= 480);
}
