//! The held shelf and the quarantine.

use exeunt_store::{Announcement, Held, HeldRow, HeldState, LAST_ERROR_OCTETS_MAX, Settlement};
use exeunt_types::{EventKind, EventSeq, StartAt, SubjectKey};

use crate::support::{Place, assert_whole, at, exit, five, held, to};

#[test]
fn the_shelf_holds_and_releases_together_with_the_cursor() {
    let place = Place::new();
    let (store, lease) = five(&place);
    let file = exit("file");
    let rows = [
        held(1, HeldState::Retry { at: at(500) }),
        held(2, HeldState::Wait),
        Held { subject: SubjectKey::Server, ..held(4, HeldState::Parked) },
    ];
    let hold = Settlement { hold: rows.to_vec(), ..to(4) };
    store.settle(&file, &lease, hold).unwrap();
    assert_eq!(store.held(&file).unwrap(), rows.clone().map(HeldRow::Held));
    assert_eq!(store.held(&exit("other")).unwrap(), []);

    let parked = Held { attempts: 4, ..held(1, HeldState::Parked) };
    let change = Settlement {
        hold: vec![parked.clone()],
        release: vec![EventSeq(2)],
        ..Settlement::default()
    };
    store.settle(&file, &lease, change).unwrap();
    let left = [HeldRow::Held(parked), HeldRow::Held(rows[2].clone())];
    assert_eq!(store.held(&file).unwrap(), left);
    drop(store);

    let store = place.open();
    assert_eq!(store.held(&file).unwrap(), left);
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn a_settlement_is_written_as_a_whole_or_not_at_all() {
    let place = Place::new();
    let (store, lease) = five(&place);
    let file = exit("file");
    // There is no event 99 to hold.
    let bad = [held(1, HeldState::Wait), held(99, HeldState::Wait)];
    let refused = store.settle(&file, &lease, Settlement { hold: bad.to_vec(), ..to(4) });
    assert_eq!(refused.unwrap_err().code(), "store-cursor-move");
    assert_eq!(store.held(&file).unwrap(), []);
    assert_eq!(store.open_cursor(&file, StartAt::Head).unwrap(), EventSeq(0));
}

#[test]
fn what_a_settlement_announces_is_in_the_log_with_it_or_not_at_all() {
    let place = Place::new();
    let (store, lease) = five(&place);
    let file = exit("file");
    let detail = vec![("Event".to_owned(), "1".to_owned())];
    let kind = EventKind::DELIVERY_PARKED;
    let announce = vec![Announcement { kind, at: at(900), detail: detail.clone() }];
    let head = store.head();

    let bad = vec![held(99, HeldState::Parked)];
    let refused = Settlement { hold: bad, announce: announce.clone(), ..to(4) };
    store.settle(&file, &lease, refused).unwrap_err();
    assert_eq!(store.head(), head);

    let hold = vec![held(1, HeldState::Parked)];
    store.settle(&file, &lease, Settlement { hold, announce, ..to(4) }).unwrap();
    let logged = store.event(head.next()).unwrap().unwrap();
    assert_eq!((logged.kind, logged.at, logged.detail), (kind, at(900), detail));
    assert_eq!(store.head(), head.next());
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn a_long_error_text_is_cut_between_two_characters() {
    let place = Place::new();
    let (store, lease) = five(&place);
    let long = Held { last_error: "ä€".repeat(1000), ..held(1, HeldState::Wait) };
    let hold = Settlement { hold: vec![long], ..Settlement::default() };
    store.settle(&exit("file"), &lease, hold).unwrap();
    let rows = store.held(&exit("file")).unwrap();
    let [HeldRow::Held(kept)] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!(kept.last_error, "ä€".repeat(LAST_ERROR_OCTETS_MAX / 5));
}

#[test]
fn a_corrupt_held_row_is_shown_and_moved_aside_once() {
    let place = Place::new();
    let (store, lease) = five(&place);
    let file = exit("file");
    let rows = [1, 2, 3].map(|seq| held(seq, HeldState::Wait));
    store.settle(&file, &lease, Settlement { hold: rows.to_vec(), ..to(3) }).unwrap();
    place.meddle(
        "UPDATE held SET state = 99 WHERE seq = 1;
         UPDATE held SET attempts = -1 WHERE seq = 2;",
    );
    let shelf = store.held(&file).unwrap();
    assert!(matches!(&shelf[0], HeldRow::Corrupt { seq, why }
        if seq.0 == 1 && why.contains("99")));
    assert!(matches!(&shelf[1], HeldRow::Corrupt { seq, .. } if seq.0 == 2));
    assert_eq!(shelf[2], HeldRow::Held(rows[2].clone()));

    assert!(store.quarantine(&file, EventSeq(1), "unknown state 99", at(9)).unwrap());
    assert!(!store.quarantine(&file, EventSeq(1), "unknown state 99", at(10)).unwrap());
    assert_eq!(store.held(&file).unwrap().len(), 2);
    let aside = store.quarantined().unwrap();
    assert_eq!(aside.len(), 1);
    assert_eq!((aside[0].exit.as_str(), aside[0].seq, aside[0].at), ("file", EventSeq(1), at(9)));
    assert_eq!(
        aside[0].row,
        "request=1 attempts=3 state=99 retry_at=NULL first_held=77 last_error='no route to host'"
    );
}
