//! The server is down, slow, full, refusing, killed, cut off, or not the right one.

use std::{
    fs,
    sync::{Arc, mpsc::channel},
    thread,
    time::{Duration, Instant},
};

use exeunt_module_kit::{Outcome, Value};
use exeunt_testbed::{
    authority::Flaw,
    proxy::{Fault, Proxy},
    s3::Behaviour,
};
use serde_json::json;

use crate::{
    BUCKET, Fixture, Wanted, assert_accepted, deliver, notify_all, parked, retried, secret, start,
    target_down, with,
};

#[test]
fn while_the_server_is_down_events_are_retried_and_later_they_are_there() {
    let mut it = Fixture::new();
    let mut host = it.host();
    let events = it.issued(1..21, &it.leaf());
    assert_accepted(&notify_all(&mut host, &events[..10]));
    it.server.kill();
    let begun = Instant::now();
    for (event, outcome) in events[10..].iter().zip(notify_all(&mut host, &events[10..])) {
        // In words of our own: the same at every attempt.
        let reason = target_down(&outcome);
        let key = format!("certificates/40{:030x}.cer", event.seq);
        assert!(reason.starts_with(&format!("writing {key}: the server cannot be reached: ")));
        assert!(!reason.contains("performing") && !reason.contains(" in "), "{reason}");
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
    it.server.restart();
    deliver(&mut host, &events);
    assert_eq!(it.server.list(BUCKET).len(), 20);
}

#[test]
fn a_server_that_is_killed_in_the_middle_has_everything_in_the_end() {
    let mut it = Fixture::new();
    let events = it.issued(1..201, &it.leaf());
    // Slow enough for the looks below to see it in the middle.
    it.server.behave(&Behaviour { delay: Duration::from_millis(10), ..Behaviour::default() });
    let mut host = it.host();
    let told = events.clone();
    let (go, gone) = channel();
    let delivery = thread::spawn(move || {
        let (first, last) = told.split_at(180);
        for events in first.chunks(30) {
            deliver(&mut host, events);
        }
        // It is not over before the server was killed.
        gone.recv().unwrap();
        deliver(&mut host, last);
    });
    let mut kills = 0;
    while kills < 2 && !delivery.is_finished() {
        let stored = it.server.list(BUCKET).len();
        if 30 * (kills + 1) < stored {
            it.server.kill();
            it.server.restart();
            kills += 1;
        }
    }
    // Where it has failed nobody hears it.
    let _ = go.send(());
    delivery.join().unwrap();
    assert_eq!(it.server.list(BUCKET).len(), events.len());
}

#[test]
fn a_slow_server_is_waited_for_and_one_that_says_nothing_is_not() {
    let mut it = Fixture::new();
    let mut proxy = Proxy::to_port(it.server.port());
    let endpoint = format!("https://localhost:{}", proxy.port());
    let settings = with(&it.settings, &json!({ "endpoint": endpoint }));
    let within = |seconds: u64| with(&settings, &json!({ "timeout_s": seconds }));
    // Far more than it takes, also on a slow machine.
    let (mut patient, mut host) = (start(&within(20)), start(&within(2)));
    it.server.behave(&Behaviour { delay: Duration::from_millis(300), ..Behaviour::default() });
    let events = it.issued(1..21, &it.leaf());
    assert_accepted(&notify_all(&mut patient, &events[..10]));
    it.server.behave(&Behaviour::default());
    // So that there is a connection on which nothing is said.
    deliver(&mut host, &events[10..11]);
    proxy.set(Fault::Silence);
    let begun = Instant::now();
    target_down(&notify_all(&mut host, &events[11..12])[0]);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    proxy.set(Fault::Nothing);
    proxy.cut();
    deliver(&mut host, &events);
    assert_eq!(it.server.list(BUCKET).len(), 20);
}

#[test]
fn what_is_cut_off_is_whole_in_the_end() {
    let it = Fixture::new();
    let mut proxy = Proxy::to_port(it.server.port());
    let endpoint = format!("https://localhost:{}", proxy.port());
    let mut host = start(&with(&it.settings, &json!({ "endpoint": endpoint })));
    let faults = [
        Fault::CutToServer(200),
        Fault::CutToServer(600),
        Fault::CutToServer(1000),
        Fault::CutToServer(1400),
        Fault::CutToClient(200),
        Fault::CutToClient(500),
        Fault::CutToClient(800),
        Fault::CutToClient(1100),
    ];
    let mut put_off = 0;
    let mut newest = Vec::new();
    // A new list each time, so that there is something to write.
    for (number, fault) in (7..).zip(faults) {
        let lists = [it.base(number)];
        let event = it.crl_issued(number, &lists);
        proxy.cut();
        proxy.set(fault);
        put_off += usize::from(host.notify(&event).unwrap() != Outcome::Accept);
        proxy.set(Fault::Nothing);
        deliver(&mut host, &[event]);
        newest = lists[0].1.clone();
        assert_eq!(it.get("crl/Test Root.crl"), newest);
    }
    assert!(6 <= proxy.cuts() && 6 <= put_off, "{} were cut off, {put_off} put off", proxy.cuts());
    assert_eq!(it.get("crl/Test Root.crl"), newest);
    assert_eq!(it.get("ca/Test Root.crt"), it.ca.certificate.der());
}

#[test]
fn a_full_or_refusing_server_is_told_again_and_the_reason_is_its_own() {
    let mut it = Fixture::new();
    let mut host = it.host();
    let events = it.issued(1..2, &it.leaf());
    let key = format!("certificates/40{:030x}.cer", 1);
    for (code, said) in [
        ("AccessDenied", "403 AccessDenied; look at what the key may do"),
        ("QuotaExceeded", "507 QuotaExceeded"),
        ("SlowDown", "503 SlowDown"),
        ("InternalError", "500 InternalError"),
    ] {
        let refuse = Some(code.to_owned());
        it.server.behave(&Behaviour { refuse, ..Behaviour::default() });
        let outcome = notify_all(&mut host, &events).remove(0);
        assert_eq!(target_down(&outcome), format!("writing {key}: the server answers {said}"));
    }
    assert!(it.server.list(BUCKET).is_empty());
    it.server.behave(&Behaviour::default());
    deliver(&mut host, &events);
    assert_eq!(it.server.list(BUCKET).len(), 1);
}

#[test]
fn a_server_that_confirms_and_keeps_nothing_is_found_out() {
    let mut it = Fixture::new();
    let mut host = it.host();
    let mut events = it.issued(1..4, &it.leaf());
    let lists = [it.base(7)];
    events.push(it.crl_issued(4, &lists));
    it.server.behave(&Behaviour { forgets: true, ..Behaviour::default() });
    for outcome in notify_all(&mut host, &events) {
        assert!(target_down(&outcome).contains("confirmed"), "{outcome:?}");
    }
    assert!(it.server.list(BUCKET).is_empty());
    it.server.behave(&Behaviour::default());
    deliver(&mut host, &events);
    assert_eq!(it.server.list(BUCKET).len(), 5);
    // One that keeps what was there before, and says that the new one is.
    it.server.behave(&Behaviour { forgets: true, ..Behaviour::default() });
    let newer = [it.base(8)];
    let event = it.crl_issued(5, &newer);
    assert!(target_down(&host.notify(&event).unwrap()).contains("confirmed"));
    assert_eq!(it.get("crl/Test Root.crl"), lists[0].1);
    it.server.behave(&Behaviour::default());
    deliver(&mut host, &[event]);
    assert_eq!(it.get("crl/Test Root.crl"), newer[0].1);
}

#[test]
fn a_list_that_has_expired_or_is_older_than_what_is_there_is_passed_over() {
    let it = Fixture::new();
    let mut host = it.host();
    let expired = it.ca.list(Wanted {
        number: 9,
        times: Some(("20200101000000Z", "20200201000000Z")),
        ..Wanted::default()
    });
    deliver(&mut host, &[it.crl_issued(1, &[("RawCRL", expired.clone())])]);
    assert_eq!(it.server.get(BUCKET, "crl/Test Root.crl"), None);
    let seventh = it.base(7);
    deliver(&mut host, &[it.crl_issued(2, std::slice::from_ref(&seventh))]);
    let written = it.server.get(BUCKET, "crl/Test Root.crl").unwrap();
    for late in [expired, it.base(6).1] {
        let outcome = host.notify(&it.crl_issued(3, &[("RawCRL", late)])).unwrap();
        // The CA's certificate of the same event is there.
        assert_eq!(outcome, Outcome::Accept);
        assert_eq!(it.server.get(BUCKET, "crl/Test Root.crl").unwrap(), written);
    }
}

#[test]
fn a_wrong_key_or_bucket_is_said_and_a_new_key_is_taken_without_a_restart() {
    let it = Fixture::new();
    let events = it.issued(1..2, &it.leaf());
    let outcome = start(&with(&it.settings, &json!({"bucket": "nowhere"}))).notify(&events[0]);
    assert!(target_down(&outcome.unwrap()).contains("NoSuchBucket"));
    let wrong = secret(&it.folder, "wrong", "not/the/key");
    let mut host = start(&with(&it.settings, &json!({ "secret_key_file": wrong })));
    let outcome = notify_all(&mut host, &events).remove(0);
    let reason = target_down(&outcome);
    assert!(reason.contains("SignatureDoesNotMatch") && !reason.contains("not/the"), "{reason}");
    secret(&it.folder, "wrong", exeunt_testbed::s3::SECRET_KEY);
    deliver(&mut host, &events);
}

#[test]
fn a_list_whose_file_cannot_be_read_now_is_told_again_and_the_others_are_there() {
    let it = Fixture::new();
    let mut host = it.host();
    let file = it.folder.path().join("part.crl");
    let whole = it.base(7);
    let mut event = it.crl_issued(1, std::slice::from_ref(&whole));
    let path = Value::String(file.display().to_string());
    Arc::make_mut(&mut event.system).push("CRLPartitionFiles", path);
    // It is not there, as between two lists, and then it is there and cannot be read.
    for broken in [false, true] {
        if broken {
            fs::create_dir(&file).unwrap();
        }
        let outcome = host.notify(&event).unwrap();
        assert!(retried(&outcome).contains("part.crl: "), "{outcome:?}");
        assert_eq!(it.get("crl/Test Root.crl"), whole.1);
        assert_eq!(it.server.get(BUCKET, "crl/Test Root_Partition00003.crl"), None);
    }
    fs::remove_dir(&file).unwrap();
    let address = "http://ca.example/crl/Test%20Root_Partition00003.crl";
    let part = it.ca.list(Wanted { number: 7, address: Some(address), ..Wanted::default() });
    fs::write(&file, &part).unwrap();
    assert_eq!(host.notify(&event).unwrap(), Outcome::Accept);
    assert_eq!(it.get("crl/Test Root_Partition00003.crl"), part);
    // What no list can be is of no use at any time.
    fs::File::create(&file).unwrap().set_len((1 << 30) + 1).unwrap();
    let outcome = host.notify(&event).unwrap();
    assert!(parked(&outcome).contains("larger than 1 GiB"), "{outcome:?}");
}

#[test]
fn only_a_server_with_the_right_certificate_is_talked_to() {
    for flaw in [Flaw::OtherName, Flaw::OtherAuthority, Flaw::Expired] {
        let mut it = Fixture::new();
        it.server.start_again_with(flaw);
        let outcome = it.host().notify(&it.issued(1..2, &it.leaf())[0]).unwrap();
        let reason = target_down(&outcome);
        assert!(reason.contains("certificate"), "{flaw:?}: {reason}");
        // It is that alone: with this very certificate pinned, the object is there.
        let mut settings =
            with(&it.settings, &json!({"server_certificate_sha256": [it.server.fingerprint()]}));
        settings.as_object_mut().unwrap().remove("ca_file");
        let event = &it.issued(2..3, &it.leaf())[0];
        assert_eq!(start(&settings).notify(event).unwrap(), Outcome::Accept, "{flaw:?}");
        it.server.start_again_with(Flaw::Nothing);
        assert_eq!(it.server.list(BUCKET).len(), 1, "{flaw:?}");
    }
}
