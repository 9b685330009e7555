//! The audit trail.

use exeunt_store::{
    AUDIT_DETAIL_OCTETS_MAX, AUDIT_NAME_OCTETS_MAX, AuditEntry, AuditRow, ROWS_MAX, Store,
};

use crate::support::{Place, assert_whole, at};

fn entry(number: i64) -> AuditEntry {
    AuditEntry::new(at(number), "root (unix socket)", "exit-replay", "file")
        .detail(format!("from {number}\nto the end"))
}

#[test]
fn what_was_audited_is_read_back_in_order() {
    let place = Place::new();
    let store = place.open();
    for number in 1..=3 {
        assert_eq!(store.audit(entry(number)).unwrap(), number.unsigned_abs());
    }
    drop(store);
    let store = place.open();
    assert_eq!(store.audit(entry(4)).unwrap(), 4);
    let row = |id: u64| (id, entry(id.cast_signed()), 10_025, 0);
    let read = |after, limit| -> Vec<_> {
        let rows = store.audit_after(after, limit).unwrap().into_iter();
        rows.map(|AuditRow { id, entry, event, also, .. }| (id, entry, event, also)).collect()
    };
    assert_eq!(read(0, ROWS_MAX), [1, 2, 3, 4].map(row));
    assert_eq!(read(1, 2), [2, 3].map(row));
    assert_eq!(read(4, 10), []);
    assert_eq!(read(u64::MAX, 10), []);
    // No event: modules hear of certificates, not of people.
    assert_eq!(store.counts().unwrap().events, 0);
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn long_texts_are_cut_and_show_it() {
    let place = Place::new();
    let store = place.open();
    let long = "x".repeat(AUDIT_DETAIL_OCTETS_MAX + 1);
    store.audit(AuditEntry::new(at(1), &long, &long, &long).detail(long.clone())).unwrap();
    let rows = store.audit_after(0, 1).unwrap();
    let kept = &rows[0].entry;
    for name in [&kept.actor, &kept.action, &kept.object] {
        assert_eq!(name.len(), AUDIT_NAME_OCTETS_MAX);
        assert!(name.ends_with("x…"));
    }
    assert_eq!(kept.detail.len(), AUDIT_DETAIL_OCTETS_MAX);
}

#[test]
fn a_store_that_is_only_read_audits_nothing() {
    let place = Place::new();
    let reader = Store::open_read_only(&place.path).unwrap();
    assert_eq!(reader.audit(entry(1)).unwrap_err().code(), "store-read-only");
}
