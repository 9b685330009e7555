//! Revocation lists: their numbers and rows.

use std::collections::BTreeSet;

use exeunt_types::{CrlKind, CrlLine, CrlNumber, CrlRecord, EventKind, SubjectKey};

use exeunt_store::{PartitionRow, RevokeChange};

use crate::support::{
    Place, assert_refused, assert_whole, at, by, certificate, change, deeds, intent, request,
};

/// A list whose octets nobody has.
fn crl(kind: CrlKind, key_index: u16, partition: u32, number: u64) -> CrlRecord {
    let time = i64::try_from(number).unwrap() * 100;
    CrlRecord {
        line: CrlLine { kind, key_index, partition },
        number: CrlNumber(number),
        min_base: (kind == CrlKind::Delta).then_some(CrlNumber(number - 1)),
        shadow: false,
        this_update: at(time - 10),
        next_update: at(time + 250),
        this_publish: at(time),
        next_publish: at(time + 200),
        entries: number * 3,
        length: number * 1000,
        sha256: [u8::try_from(number).unwrap(); 32],
    }
}

pub fn base(number: u64) -> CrlRecord {
    crl(CrlKind::Base, 0, 0, number)
}

#[test]
fn the_number_of_lists_never_goes_backwards_also_after_reopening() {
    let place = Place::new();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let store = place.open();
        seen.extend((0..3).map(|_| store.next_crl_number().unwrap().0));
    }
    assert_eq!(seen, (1..=9).collect::<Vec<_>>());
    // A number that came from elsewhere counts, and a smaller one takes nothing back.
    let store = place.open();
    store.record_crls(vec![base(20)], at(1), None).unwrap();
    store.record_crls(vec![crl(CrlKind::Base, 1, 0, 5)], at(1), None).unwrap();
    drop(store);
    assert_eq!(place.open().next_crl_number().unwrap(), CrlNumber(21));
    assert_whole(&place.path);
}

#[test]
fn numbers_that_a_restored_store_does_not_know_are_skipped() {
    let place = Place::new();
    let store = place.open();
    store.next_crl_number().unwrap();
    assert_eq!(store.skip_crl_numbers(CrlNumber(1)).unwrap(), None);
    assert_eq!(store.crl_numbers_skipped().unwrap(), None);
    assert_eq!(store.skip_crl_numbers(CrlNumber(7)).unwrap(), Some(CrlNumber(1)));
    assert_eq!(store.skip_crl_numbers(CrlNumber(7)).unwrap(), None);
    drop(store);
    let store = place.open();
    assert_eq!(store.crl_numbers_skipped().unwrap(), Some(CrlNumber(7)));
    assert_eq!(store.next_crl_number().unwrap(), CrlNumber(8));
}

#[test]
fn no_number_is_given_to_two() {
    let place = Place::new();
    let store = place.open();
    let numbers: Vec<_> = std::thread::scope(|scope| {
        let draw = || (0..10).map(|_| store.next_crl_number().unwrap()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(draw)).collect();
        threads.into_iter().flat_map(|it| it.join().unwrap()).collect()
    });
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 160);
    assert_eq!(numbers.iter().max(), Some(&CrlNumber(160)));
}

#[test]
fn the_lists_of_a_run_are_recorded_with_one_event() {
    let place = Place::new();
    let store = place.open();
    let made = vec![base(2), crl(CrlKind::Delta, 0, 0, 2)];
    let seq = store.record_crls(made.clone(), at(5), Some(by("publish"))).unwrap();
    let event = store.event(seq).unwrap().unwrap();
    assert_eq!((event.kind, event.subject), (EventKind::CRL_ISSUED, SubjectKey::Crl));
    assert_eq!((event.at, event.state, event.request), (at(5), None, None));
    let detail = [("Number", "2"), ("Lists", "2")];
    assert_eq!(event.detail, detail.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(deeds(&store)[0].entry, by("publish"));
    store.record_crls(vec![base(3)], at(6), None).unwrap();
    assert_eq!(deeds(&store).len(), 1);
    drop(store);
    let store = place.open();
    assert_eq!(store.current_crls().unwrap(), [base(3), made[1].clone()]);
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn a_list_that_is_there_already_leaves_nothing_of_its_run() {
    let place = Place::new();
    let store = place.open();
    store.record_crls(vec![base(1)], at(5), None).unwrap();
    let again = vec![crl(CrlKind::Base, 1, 0, 9), base(1)];
    assert_refused(&place, "store-sql", || store.record_crls(again, at(5), Some(by("publish"))));
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn the_current_lists_are_the_newest_of_each_kind_key_and_part() {
    let place = Place::new();
    let store = place.open();
    assert_eq!(store.current_crls().unwrap(), []);
    let delta = CrlKind::Delta;
    store.record_crls(vec![base(1), crl(delta, 0, 0, 1)], at(1), None).unwrap();
    let other = crl(CrlKind::Base, 1, 0, 3);
    let part = crl(CrlKind::Base, 0, 7, 3);
    store.record_crls(vec![base(3), other.clone(), part.clone()], at(2), None).unwrap();
    // Recorded late: it is not the newest for that.
    store.record_crls(vec![base(2)], at(3), None).unwrap();
    let current = store.current_crls().unwrap();
    assert_eq!(current, [base(3), part, other, crl(delta, 0, 0, 1)]);
    for it in &current {
        assert_eq!(store.current_crl(it.line).unwrap().as_ref(), Some(it));
    }
    assert_eq!(store.current_crl(crl(delta, 1, 0, 1).line).unwrap(), None);
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn pages_of_lists_are_newest_first_and_cut_no_number_apart() {
    let place = Place::new();
    let store = place.open();
    for number in 1..=4 {
        let run = vec![base(number), crl(CrlKind::Delta, 0, 0, number)];
        store.record_crls(run, at(1), None).unwrap();
    }
    let page = |before: Option<u64>, limit| -> Vec<_> {
        let page = store.crls(before.map(CrlNumber), limit).unwrap();
        page.into_iter().map(|it| (it.number.0, it.line.kind.word())).collect()
    };
    let pair = |number| [(number, "base"), (number, "delta")];
    assert_eq!(page(None, 0), []);
    assert_eq!(page(None, 1), pair(4));
    assert_eq!(page(None, 2), pair(4));
    assert_eq!(page(None, 3), [pair(4), pair(3)].concat());
    assert_eq!(page(Some(3), 4), [pair(2), pair(1)].concat());
    assert_eq!(page(Some(3), usize::MAX), [pair(2), pair(1)].concat());
    assert_eq!(page(Some(1), 9), []);
}

#[test]
fn bases_are_found_until_their_next_update() {
    let place = Place::new();
    let store = place.open();
    for number in 1..=4 {
        let run = vec![base(number), crl(CrlKind::Delta, 0, 0, number)];
        store.record_crls(run, at(1), None).unwrap();
    }
    store.record_crls(vec![crl(CrlKind::Base, 1, 0, 9)], at(1), None).unwrap();
    // They end at 350, 450, 550 and 650.
    for (now, expected) in [(450, &[2, 3, 4][..]), (451, &[3, 4]), (651, &[])] {
        let found = store.unexpired_bases(0, 0, at(now)).unwrap();
        assert_eq!(found.iter().map(|it| it.number.0).collect::<Vec<_>>(), expected, "at {now}");
        assert!(found.iter().all(|it| it.line.kind == CrlKind::Base));
    }
    assert_eq!(store.unexpired_bases(0, 1, at(0)).unwrap(), []);
}

#[test]
fn what_ran_out_is_forgotten_but_for_the_newest_and_what_a_delta_builds_on() {
    let place = Place::new();
    let store = place.open();
    // They end at 350, 450, 550 and 650.
    for number in 1..=4 {
        let delta = crl(CrlKind::Delta, 0, 0, number);
        let part = crl(CrlKind::Base, 0, 1, number);
        store.record_crls(vec![base(number), delta, part], at(1), None).unwrap();
    }
    store.record_crls(vec![crl(CrlKind::Base, 1, 0, 1)], at(1), None).unwrap();
    let pruned = |before| -> Vec<String> {
        let pruned = store.prune_crls(at(before)).unwrap();
        pruned.iter().map(exeunt_types::CrlRecord::file_name).collect()
    };
    assert_eq!(pruned(350), [""; 0]);
    // The delta of 2 still counts and builds on 1, and so on.
    assert_eq!(pruned(351), ["1-0-1-base.crl", "1-0-0-delta.crl"]);
    assert_eq!(pruned(351), [""; 0]);
    assert_eq!(pruned(550), ["1-0-0-base.crl", "2-0-1-base.crl", "2-0-0-delta.crl"]);
    assert_eq!(pruned(551), ["2-0-0-base.crl", "3-0-1-base.crl", "3-0-0-delta.crl"]);
    // The newest delta builds on 3, and there is no newer list of the other key.
    assert_eq!(pruned(100_000), [""; 0]);
    let left = store.crls(None, 99).unwrap();
    let left: Vec<_> = left.iter().map(exeunt_types::CrlRecord::file_name).collect();
    let expected =
        ["4-0-0-base.crl", "4-0-1-base.crl", "4-0-0-delta.crl", "3-0-0-base.crl", "1-1-0-base.crl"];
    assert_eq!(left, expected);
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn a_list_that_ran_out_is_told_once() {
    let place = Place::new();
    let store = place.open();
    let delta = crl(CrlKind::Delta, 0, 0, 1);
    store.record_crls(vec![base(1), delta.clone()], at(1), None).unwrap();
    store.record_crls(vec![crl(CrlKind::Base, 0, 0, 2)], at(1), None).unwrap();
    let lines = vec![base(1).line, delta.line, crl(CrlKind::Base, 7, 0, 1).line];
    let told = |now| store.note_overdue_crls(lines.clone(), at(now)).unwrap();
    // The delta ends at 350, the newest base at 450.
    assert_eq!(told(350), None);
    let first = store.event(told(351).unwrap()).unwrap().unwrap();
    assert_eq!((first.kind, first.at), (EventKind::CRL_PUBLICATION_FAILED, at(351)));
    let detail = |it: &exeunt_store::LoggedEvent, name: &str| {
        it.detail.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    };
    assert_eq!(detail(&first, "Number").as_deref(), Some("1"));
    assert_eq!(detail(&first, "Lists").as_deref(), Some("1"));
    assert!(detail(&first, "Reason").unwrap().starts_with("crl-overdue: "));
    assert_eq!(told(352), None);
    let second = store.event(told(451).unwrap()).unwrap().unwrap();
    assert_eq!(detail(&second, "Number").as_deref(), Some("2"));
    drop(store);
    assert_eq!(place.open().note_overdue_crls(lines, at(999)).unwrap(), None);
}

#[test]
fn a_part_is_known_from_its_first_intent_until_its_last_certificate_runs_out() {
    let place = Place::new();
    let store = place.open();
    let issue = |number: u64, part: u32, not_after: i64| {
        let mut intent = intent(number);
        (intent.crl_partition, intent.not_after) = (part, at(not_after));
        let id = store.admit_intend(request(number), intent).unwrap();
        let mut certificate = certificate(number);
        (certificate.crl_partition, certificate.not_after) = (part, at(not_after));
        store.record(id, certificate, at(2000)).unwrap();
        id
    };
    issue(1, 0, 9000);
    let kept = issue(2, 3, 5000);
    issue(3, 1, 5000);
    issue(4, 1, 7000);
    issue(5, 1, 6000);
    let row =
        |partition, not_after| PartitionRow { key_index: 0, partition, not_after: at(not_after) };
    assert_eq!(store.crl_partitions().unwrap(), [row(1, 7000), row(3, 5000)]);
    // What stays in lists after its validity keeps its part for ever.
    change(&store, kept, RevokeChange::PublishExpired(true), 70).unwrap();
    assert_eq!(store.crl_partitions().unwrap(), [row(1, 7000), row(3, i64::MAX)]);
}

#[test]
fn a_list_that_could_not_be_published_is_an_event() {
    let place = Place::new();
    let store = place.open();
    let detail = [("Reason".to_owned(), "no space left".to_owned())];
    let seq = store.crl_failed(&detail, at(5)).unwrap();
    let event = store.event(seq).unwrap().unwrap();
    assert_eq!((event.kind, event.subject), (EventKind::CRL_PUBLICATION_FAILED, SubjectKey::Crl));
    assert_eq!((event.at, event.detail.as_slice()), (at(5), &detail[..]));
}

#[test]
fn a_list_of_a_later_version_is_refused_by_name() {
    let place = Place::new();
    let store = place.open();
    store.record_crls(vec![base(1)], at(1), None).unwrap();
    place.meddle("UPDATE crl SET kind = 2");
    let err = store.current_crls().unwrap_err();
    assert_eq!(err.to_string(), "a revocation list cannot be read: unknown kind 2");
}
