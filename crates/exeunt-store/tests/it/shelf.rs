//! Cursors, leases, the held shelf, the quarantine.

use exeunt_store::{
    Held, HeldRow, HeldState, LAST_ERROR_OCTETS_MAX, Lease, Settlement, Store, StoreError,
};
use exeunt_types::{EventSeq, RequestId, StartAt, SubjectKey};

use crate::support::{Place, assert_whole, at, exit, issue_all};

/// A store with five events, and the lease of the module "file" whose cursor is at the start.
fn five(place: &Place) -> (Store, Lease) {
    let store = place.open();
    issue_all(&store, 1..=5);
    store.open_cursor(&exit("file"), StartAt::After(EventSeq(0))).unwrap();
    let lease = store.lease(&exit("file"), "one", at(0), at(100)).unwrap();
    (store, lease)
}

fn held(seq: u64, state: HeldState) -> Held {
    Held {
        seq: EventSeq(seq),
        subject: SubjectKey::Request(RequestId(seq)),
        attempts: 3,
        state,
        last_error: "no route to host".to_owned(),
        first_held: at(77),
    }
}

fn to(cursor: u64) -> Settlement {
    Settlement { cursor: Some(EventSeq(cursor)), ..Settlement::default() }
}

#[test]
fn a_new_cursor_starts_where_it_is_told_and_then_stays() {
    let place = Place::new();
    let (store, _) = five(&place);
    let open = |name: &str, start| store.open_cursor(&exit(name), start);
    assert_eq!(open("head", StartAt::Head).unwrap(), EventSeq(5));
    assert_eq!(open("two", StartAt::After(EventSeq(2))).unwrap(), EventSeq(2));
    assert_eq!(open("two", StartAt::Head).unwrap(), EventSeq(2));
    let beyond = open("beyond", StartAt::After(EventSeq(6))).unwrap_err();
    assert_eq!(beyond.code(), "store-cursor-move");
    let cursors = store.cursors().unwrap();
    let seen: Vec<_> = cursors.iter().map(|it| (it.exit.as_str(), it.position.0)).collect();
    assert_eq!(seen, [("file", 0), ("head", 5), ("two", 2)]);
    assert_eq!(cursors[0].holder.as_deref(), Some("one"));
    assert_eq!(cursors[1].holder, None);
}

#[test]
fn a_lease_keeps_others_out_until_it_runs_out() {
    let place = Place::new();
    let (store, first) = five(&place);
    let file = exit("file");
    let refused = store.lease(&file, "two", at(99), at(200)).unwrap_err();
    assert!(
        matches!(&refused, StoreError::LeaseHeld { holder, until } if holder == "one" && *until == at(100))
    );
    let renewed = store.lease(&file, "one", at(50), at(150)).unwrap();
    assert_eq!((renewed.token, renewed.until), (first.token, at(150)));
    let taken = store.lease(&file, "two", at(150), at(250)).unwrap();
    assert!(first.token < taken.token);
    let lost = store.settle(&file, &renewed, to(1)).unwrap_err();
    assert!(matches!(lost, StoreError::LeaseLost(it) if it == file));
    store.settle(&file, &taken, to(1)).unwrap();
    let none = store.lease(&exit("nobody"), "one", at(0), at(1)).unwrap_err();
    assert_eq!(none.code(), "store-no-cursor");
}

#[test]
fn an_expired_lease_comes_back_with_a_new_token_even_to_its_holder() {
    let place = Place::new();
    let (store, first) = five(&place);
    let again = store.lease(&exit("file"), "one", at(100), at(200)).unwrap();
    assert!(first.token < again.token);
}

#[test]
fn a_cursor_goes_forward_only_and_never_past_the_log() {
    let place = Place::new();
    let (store, lease) = five(&place);
    let file = exit("file");
    store.settle(&file, &lease, to(3)).unwrap();
    store.settle(&file, &lease, to(3)).unwrap();
    for wrong in [2, 6] {
        let err = store.settle(&file, &lease, to(wrong)).unwrap_err();
        assert!(
            matches!(err, StoreError::CursorMove { from, to } if from.0 == 3 && to.0 == wrong),
            "{err}"
        );
    }
    assert_eq!(store.open_cursor(&file, StartAt::Head).unwrap(), EventSeq(3));
}

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
