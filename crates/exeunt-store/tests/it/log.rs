//! The event log: order, gaps, waiting, corrupt rows.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use exeunt_store::{DETAIL_OCTETS_MAX, DETAIL_PAIRS_MAX};
use exeunt_types::{Disposition, EventKind, EventSeq, RequestId, SubjectKey};

use crate::support::{DEADLINE, Place, assert_whole, at, certificate, intent, issue, request};

#[test]
fn the_log_has_no_gaps_and_readers_see_it_grow_in_order_under_64_threads() {
    const THREADS: u64 = 64;
    const EACH: u64 = 20;
    let place = Place::new();
    let store = place.open();
    let ready = Barrier::new(65);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, ready) = (&store, &ready);
            scope.spawn(move || {
                ready.wait();
                for number in 0..EACH {
                    let (_, seq) = issue(store, thread * EACH + number);
                    assert!(seq <= store.head(), "answered before it was published");
                }
            });
        }
        ready.wait();
        let mut last = EventSeq(0);
        while last.0 < THREADS * EACH {
            let head = store.wait_past(last, DEADLINE);
            assert!(last < head, "the log stands still at {last}");
            for event in store.events_after(last, 100).unwrap() {
                assert_eq!(event.seq, last.next());
                assert_eq!(event.corrupt, None);
                assert_eq!(event.certificate.unwrap().event, event.seq);
                last = event.seq;
            }
        }
    });
    assert_eq!(store.head(), EventSeq(THREADS * EACH));
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn an_event_tells_what_was_true_then() {
    let place = Place::new();
    let store = place.open();
    let (id, seq) = issue(&store, 1);
    // As a later version will do it; today nothing changes an issued request.
    place.meddle("UPDATE request SET disposition = 21, message = 'Revoked'");
    let event = store.event(seq).unwrap().unwrap();
    assert_eq!(event.kind, EventKind::CERT_ISSUED);
    assert_eq!(event.state.unwrap().disposition, Disposition::Issued);
    assert_eq!(event.certificate.unwrap().certificate, certificate(1));
    let today = event.request.unwrap();
    assert_eq!((today.id, today.disposition), (id, Disposition::Revoked));
    assert_eq!(today.request, request(1));
}

#[test]
fn an_event_from_before_the_certificate_does_not_show_it() {
    let place = Place::new();
    let store = place.open();
    let (_, seq) = issue(&store, 1);
    place.meddle(
        "INSERT INTO event VALUES (2, 1, 0, 1, 20, 0, '', NULL, NULL, NULL, NULL); UPDATE certificate SET event = 2",
    );
    assert_eq!(store.event(seq).unwrap().unwrap().certificate, None);
    assert!(store.event(seq.next()).unwrap().unwrap().certificate.is_some());
}

#[test]
fn unknown_event_bits_are_kept() {
    let place = Place::new();
    let store = place.open();
    let kind = EventKind::from_bit(0x8000_0000);
    let seq = store.append_server_event(kind, at(1)).unwrap();
    assert_eq!(store.event(seq).unwrap().unwrap().kind, kind);
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn an_event_of_the_server_keeps_its_detail() {
    let place = Place::new();
    let store = place.open();
    let detail = [pair("Module", "file"), pair("Event", "17"), pair("Reason", "a: b\n\\n\nc")];
    let parked = store.append_event(EventKind::DELIVERY_PARKED, at(1), &detail).unwrap();
    let plain = store.append_event(EventKind::HEARTBEAT, at(2), &[]).unwrap();
    let (_, issued) = issue(&store, 1);
    drop(store);
    let store = place.open();
    let event = store.event(parked).unwrap().unwrap();
    assert_eq!((event.kind, event.subject), (EventKind::DELIVERY_PARKED, SubjectKey::Server));
    assert_eq!((event.detail.as_slice(), event.corrupt), (detail.as_slice(), None));
    for seq in [plain, issued] {
        assert_eq!(store.event(seq).unwrap().unwrap().detail, []);
    }
}

#[test]
fn a_detail_is_bounded() {
    let place = Place::new();
    let store = place.open();
    let many = vec![pair("n", &"ä".repeat(DETAIL_OCTETS_MAX)); DETAIL_PAIRS_MAX + 1];
    let seq = store.append_event(EventKind::DELIVERY_PARKED, at(1), &many).unwrap();
    let kept = store.event(seq).unwrap().unwrap().detail;
    assert_eq!(kept.len(), DETAIL_PAIRS_MAX);
    assert!(kept[0].1.ends_with("ä…") && kept[0].1.len() <= DETAIL_OCTETS_MAX);
}

#[test]
fn a_detail_that_cannot_be_read_leaves_the_rest_of_its_event() {
    let place = Place::new();
    let store = place.open();
    let seq = store.append_event(EventKind::HEARTBEAT, at(1), &[]).unwrap();
    place.meddle("UPDATE event SET detail = 'no colon'");
    let event = store.event(seq).unwrap().unwrap();
    assert_eq!((event.kind, event.at, event.detail), (EventKind::HEARTBEAT, at(1), Vec::new()));
    assert!(event.corrupt.unwrap().contains("no colon"));
}

#[test]
fn the_events_of_a_request_are_found_in_order_and_no_others() {
    let place = Place::new();
    let store = place.open();
    issue(&store, 1);
    let (id, first) = issue(&store, 2);
    store.append_server_event(EventKind::STARTUP, at(1)).unwrap();
    issue(&store, 3);
    // As a later version will write it.
    place.meddle("INSERT INTO event VALUES (5, 8, 9, 2, 21, 0, 'Revoked', NULL, 1, 9, 8)");
    let events = store.events_of_request(id, 10).unwrap();
    let seqs: Vec<_> = events.iter().map(|it| it.seq).collect();
    assert_eq!(seqs, [first, EventSeq(5)]);
    assert!(events.iter().all(|it| it.certificate.is_some() && it.corrupt.is_none()));
    assert_eq!(events[1].kind, EventKind::CERT_REVOKED);
    let one = store.events_of_request(id, 1).unwrap();
    assert_eq!(one, events[..1]);
    assert_eq!(store.events_of_request(RequestId(99), 10).unwrap(), []);
    assert_eq!(store.events_of_request(RequestId(u64::MAX), 10).unwrap(), []);
}

#[test]
fn a_corrupt_row_does_not_stop_the_log() {
    let place = Place::new();
    let store = place.open();
    for number in 1..=5 {
        issue(&store, number);
    }
    place.meddle(
        "UPDATE event SET disposition = 77 WHERE seq = 1;
         UPDATE request SET attributes = 'no colon' WHERE id = 2;
         UPDATE certificate SET serial = x'00' WHERE request = 3;
         DELETE FROM request WHERE id = 4;",
    );
    let events = store.events_after(EventSeq(0), 10).unwrap();
    let seqs: Vec<_> = events.iter().map(|it| it.seq.0).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5]);
    for event in &events[..4] {
        assert!(event.corrupt.is_some(), "{event:?}");
        assert_eq!(event.subject, SubjectKey::Request(RequestId(event.seq.0)));
    }
    assert_eq!(events[4].corrupt, None);
    // What can be read is there.
    assert!(events[2].state.is_some());
}

#[test]
fn waiting_ends_with_the_next_event_or_with_the_time() {
    let place = Place::new();
    let store = place.open();
    assert_eq!(store.wait_past(EventSeq(0), Duration::from_millis(1)), EventSeq(0));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| store.wait_past(EventSeq(0), DEADLINE));
        issue(&store, 1);
        assert_eq!(waiter.join().unwrap(), EventSeq(1));
    });
    assert!(begun.elapsed() < DEADLINE);
}

#[test]
fn an_admission_is_no_event() {
    let place = Place::new();
    let store = place.open();
    store.admit_intend(request(1), intent(1)).unwrap();
    assert_eq!(store.events_after(EventSeq(0), 10).unwrap(), []);
    assert_eq!(store.event(EventSeq(0)).unwrap(), None);
    assert_eq!(store.event(EventSeq(1)).unwrap(), None);
}
