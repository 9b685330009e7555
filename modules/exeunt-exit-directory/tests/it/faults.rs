//! What goes wrong with a server or on the way to it, the same for `OpenLDAP` and for Samba: nothing
//! is lost, nothing else is touched, and each fault is proven to have happened.

use std::{
    sync::mpsc::sync_channel,
    thread,
    time::{Duration, Instant},
};

use exeunt_module_kit::Outcome;
use exeunt_testbed::{authority::Flaw, process::wait_for, proxy::Fault};
use serde_json::json;

use crate::{
    authority::Authority,
    bed::{Bed, all_accept, all_down},
    fixture::{Holdings, LIMIT, certificate, deliver, reason, started, started_within, tell, with},
    minted::TestCa,
    target::{Domain, Open, Target, object_settings, stranger},
};

suite!([
    a_server_that_is_down_holds_events_back_and_parks_none,
    a_silent_server_costs_no_more_than_the_deadline,
    a_slow_network_makes_it_slow_and_nothing_else,
    answers_and_questions_that_are_cut_off_anywhere_lose_nothing,
    a_server_that_is_killed_in_the_middle_of_writes_has_everything_in_the_end,
    another_writer_at_the_same_time_loses_nothing_and_neither_do_we,
    a_wrong_certificate_is_told_nothing,
    who_may_not_write_waits_and_parks_nothing,
    a_server_that_fails_in_every_way_holds_the_newest_list_in_the_end,
]);

fn a_server_that_is_down_holds_events_back_and_parks_none(bed: &mut Bed<impl Target>) {
    let (events, mut expected) = bed.events(2, 100);
    let mut host = started(&bed.settings());
    bed.proxy.set(Fault::Refuse);
    let outcomes = tell(&mut host, &events);
    all_down(&outcomes);
    assert!(reason(&outcomes[0]).starts_with("directory-connect: "), "{outcomes:?}");
    assert!(reason(&outcomes[0]).contains("Connection refused"), "{outcomes:?}");
    bed.proxy.set(Fault::Nothing);
    all_accept(&deliver(&mut host, &events));
    // Down again while a connection is there.
    bed.target.kill();
    let (more, held) = bed.events(1000, 50);
    all_down(&tell(&mut host, &more));
    bed.target.start_again();
    all_accept(&deliver(&mut host, &more));
    for (name, held) in held {
        expected.entry(name).or_default().extend(held);
    }
    bed.assert_end(&expected);
}

fn a_silent_server_costs_no_more_than_the_deadline(bed: &mut Bed<impl Target>) {
    let (events, expected) = bed.events(2, 64);
    let waiting = with(bed.settings(), &json!({"connect_timeout_s": 100, "timeout_s": 100}));
    let mut host = started_within(&waiting, 2_000);
    all_accept(&deliver(&mut host, &events[..1]));
    bed.proxy.set(Fault::Silence);
    for _ in 0..2 {
        let begun = Instant::now();
        let outcomes = tell(&mut host, &events[1..2]);
        // The module stops at four fifths, and not before: it has waited. Without that it would wait
        // for a hundred seconds.
        let took = begun.elapsed();
        let within = Duration::from_secs(1)..Duration::from_secs(20);
        assert!(within.contains(&took), "{took:?}");
        all_down(&outcomes);
        assert!(reason(&outcomes[0]).ends_with("it did not answer in time"), "{outcomes:?}");
    }
    bed.proxy.set(Fault::Nothing);
    // The server hears nothing more of a connection that was given up, but holds everything.
    all_accept(&deliver(&mut host, &events));
    bed.assert_end(&expected);
}

fn a_slow_network_makes_it_slow_and_nothing_else(bed: &mut Bed<impl Target>) {
    let (events, expected) = bed.events(2, 60);
    let mut host = started(&bed.settings());
    all_accept(&tell(&mut host, &events[..1]));
    let delay = Duration::from_millis(60);
    bed.proxy.set(Fault::Delay(delay));
    let begun = Instant::now();
    all_accept(&tell(&mut host, &events[1..]));
    // It searches, writes and reads back: three ways there and back.
    assert!(6 * delay <= begun.elapsed(), "{:?}", begun.elapsed());
    bed.assert_end(&expected);
}

fn answers_and_questions_that_are_cut_off_anywhere_lose_nothing(bed: &mut Bed<impl Target>) {
    let (events, expected) = bed.events(2, 120);
    let mut host = started(&bed.settings());
    for (round, events) in (0_u64..).zip(events.chunks(20)) {
        let bytes = 1500 + 2500 * round;
        let fault = match round % 2 {
            0 => Fault::CutToClient(bytes),
            _ => Fault::CutToServer(bytes),
        };
        let before = bed.proxy.cuts();
        bed.proxy.set(fault);
        tell(&mut host, events);
        assert!(before < bed.proxy.cuts(), "{fault:?} did not happen");
        bed.proxy.set(Fault::Nothing);
        bed.proxy.cut();
    }
    all_accept(&deliver(&mut host, &events));
    bed.assert_end(&expected);
}

fn a_server_that_is_killed_in_the_middle_of_writes_has_everything_in_the_end(
    bed: &mut Bed<impl Target>,
) {
    let (events, expected) = bed.events(2, 600);
    let mut host = started(&bed.settings());
    let (first, last) = events.split_at(560);
    // Handed over when those before are there.
    let (hand, handed) = sync_channel(0);
    thread::scope(|scope| {
        let host = &mut host;
        scope.spawn(move || handed.iter().for_each(|it| all_accept(&deliver(host, it))));
        for (held, part) in [0, 280].into_iter().zip(first.chunks(280)) {
            hand.send(part).unwrap();
            // Somewhere in the middle: when some more have come.
            wait_for("some more", LIMIT, || held + 20 < bed.held());
            bed.target.kill();
            bed.target.start_again();
            let kept = bed.held();
            assert!(held < kept && kept < events.len(), "{kept} of {}", events.len());
        }
        hand.send(last).unwrap();
        drop(hand);
    });
    bed.assert_end(&expected);
}

fn another_writer_at_the_same_time_loses_nothing_and_neither_do_we(bed: &mut Bed<impl Target>) {
    let (events, mut expected) = bed.events(2, 400);
    let other = TestCa::new("Others");
    let theirs: Vec<(String, Vec<u8>)> = (0..50_u32)
        .map(|it| {
            let name = bed.names[it as usize % bed.names.len()].clone();
            (name.clone(), certificate(&other, &name, it + 2))
        })
        .collect();
    let mut host = started(&bed.settings());
    // Handed over part by part: ours are on their way whenever theirs come and go.
    let (hand, handed) = sync_channel(0);
    let mut ours = events.chunks(40);
    thread::scope(|scope| {
        let host = &mut host;
        scope.spawn(move || handed.iter().for_each(|it| all_accept(&deliver(host, it))));
        for part in theirs.chunks(10) {
            let all: Vec<_> =
                part.iter().map(|(name, der)| ("add", name.as_str(), der.as_slice())).collect();
            hand.send(ours.next().unwrap()).unwrap();
            bed.target.write_as_another(&all);
            // Half of them leave again.
            let half: Vec<_> =
                all.iter().step_by(2).map(|(_, name, der)| ("delete", *name, *der)).collect();
            hand.send(ours.next().unwrap()).unwrap();
            bed.target.write_as_another(&half);
        }
        drop(hand);
    });
    for (index, (name, der)) in theirs.into_iter().enumerate() {
        if index % 2 == 1 {
            expected.entry(name).or_default().insert(der);
        }
    }
    bed.assert_end(&expected);
}

fn a_wrong_certificate_is_told_nothing(bed: &mut Bed<impl Target>) {
    let (events, expected) = bed.events(2, 1);
    let refused = |settings: &serde_json::Value, what: &str| {
        let start_tls = json!({"servers": [bed.target.plain_url()], "start_tls": true});
        for settings in [settings.clone(), with(settings.clone(), &start_tls)] {
            let outcomes = tell(&mut started(&settings), &events);
            all_down(&outcomes);
            assert!(reason(&outcomes[0]).contains("certificate"), "{what}: {outcomes:?}");
        }
    };
    let (_folder, other) = stranger();
    refused(&with(bed.settings(), &json!({"ca_file": other.certificate()})), "another authority");
    for flaw in [Flaw::OtherName, Flaw::Expired] {
        bed.target.start_again_with(flaw);
        refused(&bed.settings(), &format!("{flaw:?}"));
    }
    assert_eq!(bed.held(), 0);
    bed.target.start_again_with(Flaw::Nothing);
    all_accept(&deliver(&mut started(&bed.settings()), &events));
    bed.assert_end(&expected);
}

fn who_may_not_write_waits_and_parks_nothing(bed: &mut Bed<impl Target>) {
    let (events, _) = bed.events(2, 3);
    let mut host = started(&with(bed.settings(), &json!({"bind_dn": bed.target.reader()})));
    let outcomes = tell(&mut host, &events);
    for (event, outcome) in events.iter().zip(&outcomes) {
        assert!(
            matches!(outcome, Outcome::Retry { .. } | Outcome::TargetDown { .. }),
            "{outcome:?}"
        );
        let dn = bed.target.dn(event.request.string("RequesterName").unwrap());
        let expected =
            format!("directory-never-written: changing \"{dn}\": insufficientAccessRights (50)");
        assert!(reason(outcome).starts_with(&expected), "{outcome:?}");
    }
    bed.assert_end(&Holdings::new());
}

fn a_server_that_fails_in_every_way_holds_the_newest_list_in_the_end(bed: &mut Bed<impl Target>) {
    let ca = Authority::new("Test CA");
    let quick = json!({
        "connect_timeout_s": 2, "timeout_s": 2,
        // A place of its own in a directory that others use too.
        "objects": {"machine_short_name": "ca9"},
    });
    let settings = with(object_settings(&bed.target, &bed.url()), &quick);
    let cdp = format!("CN=Test CA,CN=ca9,CN=CDP,{}", bed.target.pki());
    let lists = || bed.target.values(&cdp, "certificateRevocationList");
    let mut host = started(&settings);
    let first = ca.lists_issued(1, &ca.list(1), None);
    assert_eq!(deliver(&mut host, &[first]), [Outcome::Accept]);
    let mut number = 1;
    let mut next = |host: &mut exeunt_module_kit::testing::Host| {
        number += 1;
        let list = ca.list(number);
        (tell(host, &[ca.lists_issued(number, &list, None)]).remove(0), list)
    };
    let faults = [
        (Fault::Refuse, "Connection refused"),
        (Fault::Silence, "did not answer in time"),
        (Fault::CutToServer(500), "directory-"),
        (Fault::CutToClient(60), "directory-"),
    ];
    for (fault, said) in faults {
        bed.proxy.set(fault);
        let cuts = bed.proxy.cuts();
        let (outcome, list) = next(&mut host);
        assert!(matches!(outcome, Outcome::TargetDown { .. }), "{fault:?}: {outcome:?}");
        assert!(reason(&outcome).contains(said), "{fault:?}: {outcome:?}");
        let cutting = matches!(fault, Fault::CutToServer(_) | Fault::CutToClient(_));
        assert_eq!(cuts < bed.proxy.cuts(), cutting, "{fault:?}");
        bed.proxy.set(Fault::Nothing);
        let told = ca.lists_issued(99, &list, None);
        assert_eq!(deliver(&mut host, &[told]), [Outcome::Accept], "{fault:?}");
        assert_eq!(lists(), [list], "{fault:?}");
    }
    // Slow is not broken, for one that has the time.
    let patient = json!({"connect_timeout_s": 20, "timeout_s": 20});
    let mut host = started(&with(settings.clone(), &patient));
    assert_eq!(next(&mut host).0, Outcome::Accept);
    let delay = Duration::from_millis(50);
    bed.proxy.set(Fault::Delay(delay));
    let begun = Instant::now();
    let (outcome, _) = next(&mut host);
    assert_eq!(outcome, Outcome::Accept);
    assert!(6 * delay <= begun.elapsed(), "{:?}", begun.elapsed());
    // Killed when it has a list and its answer is still on the way, and started again.
    let newest = ca.list(50);
    let told = [ca.lists_issued(50, &newest, None)];
    bed.proxy.set(Fault::Delay(Duration::from_secs(1)));
    thread::scope(|scope| {
        let telling = scope.spawn(|| deliver(&mut host, &told));
        let begun = [newest.clone()];
        wait_for("the list in the directory", LIMIT, || lists() == begun);
        assert!(!telling.is_finished(), "its answer came too early");
        bed.target.kill();
        bed.target.start_again();
        bed.proxy.set(Fault::Nothing);
        assert_eq!(telling.join().unwrap(), [Outcome::Accept]);
    });
    assert_eq!(lists(), [newest]);
    // With another certificate nothing is written, and nothing is lost.
    let fresh = ca.list(51);
    let told = [ca.lists_issued(51, &fresh, None)];
    let (_folder, other) = stranger();
    let mistaken = with(settings.clone(), &json!({"ca_file": other.certificate()}));
    let outcomes = tell(&mut started(&mistaken), &told);
    all_down(&outcomes);
    assert!(reason(&outcomes[0]).contains("certificate"), "{outcomes:?}");
    assert_eq!(deliver(&mut host, &told), [Outcome::Accept]);
    assert_eq!(lists(), [fresh]);
    // Nothing else was touched.
    let after = bed.target.rest(&bed.names);
    let new: Vec<&String> = after.iter().filter(|it| !bed.before.contains(it)).collect();
    assert!(new.iter().all(|it| it.to_lowercase().contains("cn=cdp,")), "{new:#?}");
    assert!(bed.before.iter().all(|it| after.contains(it)));
}
