//! Cursors, leases, replay, removal.

use exeunt_store::{
    CursorRow, Held, HeldRow, HeldState, Lease, Removed, Replay, Settlement, Store, StoreError,
};
use exeunt_types::{EventKind, EventSeq, StartAt, SubjectKey};

use crate::support::{Place, assert_whole, at, exit, five, held, issue, to};

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
fn a_cursor_remembers_where_it_was_made() {
    let place = Place::new();
    let (store, lease) = five(&place);
    store.open_cursor(&exit("two"), StartAt::After(EventSeq(2))).unwrap();
    let two = store.lease(&exit("two"), "one", at(0), at(100)).unwrap();
    store.settle(&exit("two"), &two, to(4)).unwrap();
    store.settle(&exit("file"), &lease, to(3)).unwrap();
    let expected = |name: &str, started, position| CursorRow {
        exit: name.to_owned(),
        position: EventSeq(position),
        started: EventSeq(started),
        replay: None,
        holder: Some("one".to_owned()),
        until: at(100),
    };
    let rows = [expected("file", 0, 3), expected("two", 2, 4)];
    assert_eq!(store.cursors().unwrap(), rows);
    assert_eq!(store.cursor(&exit("two")).unwrap().as_ref(), Some(&rows[1]));
    assert_eq!(store.cursor(&exit("nobody")).unwrap(), None);
}

#[test]
fn a_lease_that_was_given_back_is_free_at_once_and_worth_nothing() {
    let place = Place::new();
    let (store, first) = five(&place);
    let file = exit("file");
    store.release_lease(&file, &first).unwrap();
    let old = store.settle(&file, &first, to(1)).unwrap_err();
    assert_eq!(old.code(), "store-lease-lost");
    assert_eq!(store.release_lease(&file, &first).unwrap_err().code(), "store-lease-lost");
    let second = store.lease(&file, "two", at(1), at(50)).unwrap();
    assert!(first.token < second.token);
    store.settle(&file, &second, to(1)).unwrap();
    // Whoever was first cannot give back what is no longer theirs.
    assert_eq!(store.release_lease(&file, &first).unwrap_err().code(), "store-lease-lost");
    assert_eq!(store.lease(&file, "one", at(2), at(9)).unwrap_err().code(), "store-lease-held");
    let nobody = store.release_lease(&exit("nobody"), &first).unwrap_err();
    assert_eq!(nobody.code(), "store-no-cursor");
}

/// Position of the module "file", and the replay that runs, as (to, resume at).
fn place_of(store: &Store) -> (u64, Option<(u64, u64)>) {
    let row = store.cursor(&exit("file")).unwrap().unwrap();
    (row.position.0, row.replay.map(|Replay { to, resume_at }| (to.0, resume_at.0)))
}

fn replay(store: &Store, lease: &Lease, from: u64, to: u64) -> Result<EventSeq, StoreError> {
    store.start_replay(&exit("file"), lease, EventSeq(from), EventSeq(to))
}

#[test]
fn a_replay_tells_its_range_again_and_then_goes_on_where_it_was() {
    let place = Place::new();
    let (store, lease) = five(&place);
    let file = exit("file");
    store.settle(&file, &lease, to(5)).unwrap();
    assert_eq!(replay(&store, &lease, 2, 4).unwrap(), EventSeq(1));
    assert_eq!(place_of(&store), (1, Some((4, 5))));
    assert_eq!(store.open_cursor(&file, StartAt::Head).unwrap(), EventSeq(1));
    assert_eq!(store.settle(&file, &lease, to(3)).unwrap(), EventSeq(3));
    assert_eq!(place_of(&store), (3, Some((4, 5))));
    // The log grows meanwhile.
    issue(&store, 6);
    assert_eq!(store.settle(&file, &lease, to(4)).unwrap(), EventSeq(5));
    assert_eq!(place_of(&store), (5, None));
    assert_eq!(store.settle(&file, &lease, to(6)).unwrap(), EventSeq(6));
    let nothing = Settlement::default();
    assert_eq!(store.settle(&file, &lease, nothing).unwrap(), EventSeq(6));
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn a_replay_of_one_event_and_of_all_is_possible() {
    let place = Place::new();
    let (store, lease) = five(&place);
    let file = exit("file");
    store.settle(&file, &lease, to(5)).unwrap();
    for (from, end) in [(1, 5), (3, 3), (5, 5), (1, 1)] {
        assert_eq!(replay(&store, &lease, from, end).unwrap(), EventSeq(from - 1));
        assert_eq!(store.settle(&file, &lease, to(end)).unwrap(), EventSeq(5));
        assert_eq!(place_of(&store), (5, None));
    }
}

#[test]
fn a_replay_goes_neither_back_nor_past_its_end() {
    let place = Place::new();
    let (store, lease) = five(&place);
    let file = exit("file");
    store.settle(&file, &lease, to(5)).unwrap();
    replay(&store, &lease, 3, 4).unwrap();
    for wrong in [1, 5, 6] {
        let err = store.settle(&file, &lease, to(wrong)).unwrap_err();
        assert!(matches!(err, StoreError::CursorMove { from, .. } if from == EventSeq(2)), "{err}");
    }
    assert_eq!(place_of(&store), (2, Some((4, 5))));
}

#[test]
fn a_range_that_is_empty_or_not_told_yet_is_not_replayed() {
    let place = Place::new();
    let (store, lease) = five(&place);
    let file = exit("file");
    // Nothing was told: there is no range at all.
    assert_eq!(replay(&store, &lease, 1, 1).unwrap_err().code(), "store-replay-range");
    store.settle(&file, &lease, to(4)).unwrap();
    for (from, end) in [(0, 0), (0, 3), (3, 2), (4, 5), (1, u64::MAX), (u64::MAX, u64::MAX)] {
        let err = replay(&store, &lease, from, end).unwrap_err();
        assert!(
            matches!(err, StoreError::ReplayRange { from: first, to, position }
                if (first.0, to.0, position.0) == (from, end, 4)),
            "{err}"
        );
    }
    assert_eq!(place_of(&store), (4, None));
    replay(&store, &lease, 1, 2).unwrap();
    let second = replay(&store, &lease, 1, 1).unwrap_err();
    assert_eq!(second.code(), "store-replay-runs");
    assert_eq!(place_of(&store), (0, Some((2, 4))));
}

#[test]
fn a_cancelled_replay_goes_on_where_the_cursor_was() {
    let place = Place::new();
    let (store, lease) = five(&place);
    let file = exit("file");
    store.settle(&file, &lease, to(5)).unwrap();
    replay(&store, &lease, 1, 4).unwrap();
    store.settle(&file, &lease, to(2)).unwrap();
    assert_eq!(store.cancel_replay(&file, &lease).unwrap(), EventSeq(5));
    assert_eq!(place_of(&store), (5, None));
    // Twice is once.
    assert_eq!(store.cancel_replay(&file, &lease).unwrap(), EventSeq(5));
}

#[test]
fn a_replay_is_ordered_under_the_newest_lease_only() {
    let place = Place::new();
    let (store, old) = five(&place);
    let file = exit("file");
    store.settle(&file, &old, to(5)).unwrap();
    let new = store.lease(&file, "two", at(100), at(200)).unwrap();
    assert_eq!(replay(&store, &old, 1, 2).unwrap_err().code(), "store-lease-lost");
    replay(&store, &new, 1, 2).unwrap();
    assert_eq!(store.cancel_replay(&file, &old).unwrap_err().code(), "store-lease-lost");
    assert_eq!(place_of(&store), (0, Some((2, 5))));
}

#[test]
fn a_replay_outlives_its_server_and_its_lease() {
    let place = Place::new();
    let (store, lease) = five(&place);
    let file = exit("file");
    store.settle(&file, &lease, to(5)).unwrap();
    replay(&store, &lease, 1, 3).unwrap();
    drop(store);
    let store = place.open();
    assert_eq!(place_of(&store), (0, Some((3, 5))));
    let next = store.lease(&file, "two", at(100), at(200)).unwrap();
    assert_eq!(store.settle(&file, &next, to(3)).unwrap(), EventSeq(5));
}

#[test]
fn the_shelf_stays_as_it_is_during_a_replay() {
    let place = Place::new();
    let (store, lease) = five(&place);
    let file = exit("file");
    let parked = [2, 4].map(|seq| held(seq, HeldState::Parked));
    store.settle(&file, &lease, Settlement { hold: parked.to_vec(), ..to(5) }).unwrap();
    replay(&store, &lease, 1, 5).unwrap();
    assert_eq!(store.held(&file).unwrap(), parked.clone().map(HeldRow::Held));
    // What fails again is held again, also by the settlement that ends the replay.
    let again = held(5, HeldState::Retry { at: at(9) });
    let end = Settlement { hold: vec![again.clone()], ..to(5) };
    assert_eq!(store.settle(&file, &lease, end).unwrap(), EventSeq(5));
    let [two, four] = parked;
    assert_eq!(store.held(&file).unwrap(), [two, four, again].map(HeldRow::Held));
}

#[test]
fn a_settlement_that_is_refused_does_not_end_the_replay() {
    let place = Place::new();
    let (store, lease) = five(&place);
    let file = exit("file");
    store.settle(&file, &lease, to(5)).unwrap();
    replay(&store, &lease, 1, 3).unwrap();
    let bad = Settlement { hold: vec![held(99, HeldState::Wait)], ..to(3) };
    assert_eq!(store.settle(&file, &lease, bad).unwrap_err().code(), "store-cursor-move");
    assert_eq!(place_of(&store), (0, Some((3, 5))));
}

#[test]
fn half_a_replay_is_named_and_moves_nothing() {
    let place = Place::new();
    let (store, lease) = five(&place);
    place.meddle("UPDATE cursor SET replay_to = 3");
    let err = store.cursor(&exit("file")).unwrap_err();
    assert_eq!(err.code(), "store-corrupt-row");
    assert!(err.to_string().contains("cursor of file"), "{err}");
    assert_eq!(store.cursors().unwrap_err().to_string(), err.to_string());
    let refused = store.settle(&exit("file"), &lease, to(1)).unwrap_err();
    assert_eq!(refused.code(), "store-corrupt-row");
}

#[test]
fn a_removed_cursor_takes_its_shelf_and_nothing_else() {
    let place = Place::new();
    let (store, lease) = five(&place);
    let (file, other) = (exit("file"), exit("other"));
    store.open_cursor(&other, StartAt::Head).unwrap();
    let others = store.lease(&other, "one", at(0), at(100)).unwrap();
    let rows = [
        held(1, HeldState::Retry { at: at(500) }),
        held(2, HeldState::Parked),
        Held { subject: SubjectKey::Server, ..held(3, HeldState::Parked) },
        held(4, HeldState::Wait),
    ];
    store.settle(&file, &lease, Settlement { hold: rows.to_vec(), ..to(5) }).unwrap();
    let kept = held(5, HeldState::Parked);
    let hold = Settlement { hold: vec![kept.clone()], ..Settlement::default() };
    store.settle(&other, &others, hold).unwrap();
    assert!(store.quarantine(&file, EventSeq(4), "test", at(1)).unwrap());

    let removed = store.remove_cursor(&file, "one", at(1)).unwrap();
    assert_eq!(removed, Removed { held: 3, parked: 2 });
    assert_eq!(store.cursor(&file).unwrap(), None);
    assert_eq!(store.held(&file).unwrap(), []);
    assert_eq!(store.quarantined().unwrap(), []);
    assert_eq!(store.held(&other).unwrap(), [HeldRow::Held(kept)]);
    assert_eq!(store.remove_cursor(&file, "one", at(1)).unwrap_err().code(), "store-no-cursor");
    assert_eq!(store.head(), EventSeq(5));
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn a_cursor_is_not_removed_under_somebody_elses_lease() {
    let place = Place::new();
    let (store, lease) = five(&place);
    let file = exit("file");
    let refused = store.remove_cursor(&file, "two", at(99)).unwrap_err();
    assert!(
        matches!(&refused, StoreError::LeaseHeld { holder, until } if holder == "one" && *until == at(100))
    );
    store.settle(&file, &lease, to(1)).unwrap();
    store.remove_cursor(&file, "two", at(100)).unwrap();
}

#[test]
fn a_lease_of_a_removed_cursor_is_worth_nothing_for_its_successor() {
    let place = Place::new();
    let (store, old) = five(&place);
    let file = exit("file");
    store.remove_cursor(&file, "one", at(1)).unwrap();
    let gone = store.settle(&file, &old, to(1)).unwrap_err();
    assert_eq!(gone.code(), "store-no-cursor");
    drop(store);
    let store = place.open();
    store.open_cursor(&file, StartAt::After(EventSeq(0))).unwrap();
    let new = store.lease(&file, "one", at(1), at(100)).unwrap();
    assert!(old.token < new.token);
    assert_eq!(store.settle(&file, &old, to(1)).unwrap_err().code(), "store-lease-lost");
    store.settle(&file, &new, to(1)).unwrap();
}

#[test]
fn an_event_that_comes_during_a_replay_is_told_after_it() {
    let place = Place::new();
    let (store, lease) = five(&place);
    let file = exit("file");
    store.settle(&file, &lease, to(5)).unwrap();
    replay(&store, &lease, 1, 5).unwrap();
    let seq = store.append_server_event(EventKind::HEARTBEAT, at(1)).unwrap();
    let position = store.settle(&file, &lease, to(5)).unwrap();
    let next = store.events_after(position, 10).unwrap();
    assert_eq!(next.iter().map(|it| it.seq).collect::<Vec<_>>(), [seq]);
}
