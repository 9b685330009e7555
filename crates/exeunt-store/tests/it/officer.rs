//! What officers do to requests that wait.

use exeunt_store::{Pending, RevokeChange, Store};
use exeunt_types::{
    Disposition, EventKind, EventSeq, NewRequest, OfficerExtension, RequestFlags, RequestId,
    Resolution, RevocationReason, StatusCode,
};

use crate::support::{
    Place, as_read, assert_refused, assert_whole, at, by, certificate, change, deeds, intent,
    issue, pend, request,
};

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn extension(oid: &str, flags: u16, value: &[u8]) -> OfficerExtension {
    OfficerExtension { oid: oid.to_owned(), flags, value: value.to_vec() }
}

fn deny(store: &Store, id: RequestId) -> Result<EventSeq, exeunt_store::StoreError> {
    let message = "denied by olga".to_owned();
    store.deny(id, message, StatusCode::ADMIN_DENIED, at(3000), by("deny"))
}

/// The rest of the journey of a request that waits.
fn issue_after_all(store: &Store, id: RequestId, number: u64) -> EventSeq {
    store
        .start_resume_intend(
            id,
            as_read(store, id),
            "Resumed".to_owned(),
            intent(number),
            by("approve"),
            exeunt_store::Along::default(),
        )
        .and_then(Pending::wait)
        .unwrap();
    store.record(id, certificate(number), at(4000)).unwrap()
}

#[test]
fn an_officer_refuses_a_request_that_waits() {
    let place = Place::new();
    let store = place.open();
    let (id, _) = pend(&store, 1);
    let seq = deny(&store, id).unwrap();
    let row = store.request(id).unwrap().unwrap();
    assert_eq!((row.disposition, row.status), (Disposition::Denied, StatusCode::ADMIN_DENIED));
    assert_eq!((row.message.as_str(), row.resolved), ("denied by olga", Some(at(3000))));
    let event = store.event(seq).unwrap().unwrap();
    assert_eq!((event.kind, event.at), (EventKind::CERT_DENIED, at(3000)));
    assert_eq!(event.state.unwrap().disposition, Disposition::Denied);
    let audited = deeds(&store);
    assert_eq!(audited.len(), 1);
    assert_eq!(audited[0].entry, by("deny"));
    let counts = store.counts().unwrap();
    assert_eq!((counts.pending, counts.denied, counts.requests), (0, 1, 1));
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn officers_decide_only_what_waits() {
    let place = Place::new();
    let store = place.open();
    let (issued, _) = issue(&store, 1);
    let active = store.admit_intend(request(2), intent(2)).unwrap();
    let (denied, _) = pend(&store, 3);
    deny(&store, denied).unwrap();
    for (id, code) in [
        (issued, "store-wrong-state"),
        (active, "store-wrong-state"),
        (denied, "store-wrong-state"),
        (RequestId(99), "store-no-request"),
        (RequestId(u64::MAX), "store-no-request"),
    ] {
        assert_refused(&place, code, || deny(&store, id));
        let attributes = vec![pair("a", "b")];
        assert_refused(&place, code, || store.set_attributes(id, attributes, by("set")));
        let set = extension("1.2.3", 0, &[]);
        assert_refused(&place, code, || store.set_extension(id, set, by("set")));
    }
}

#[test]
fn what_cannot_be_audited_is_not_done() {
    let place = Place::new();
    let store = place.open();
    let (id, _) = pend(&store, 1);
    let (issued, _) = issue(&store, 2);
    place.meddle(
        "CREATE TRIGGER no_audit BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    assert_refused(&place, "store-sql", || deny(&store, id));
    let attributes = vec![pair("a", "b")];
    assert_refused(&place, "store-sql", || store.set_attributes(id, attributes, by("set")));
    let set = extension("1.2.3", 0, &[]);
    assert_refused(&place, "store-sql", || store.set_extension(id, set, by("set")));
    for it in [
        RevokeChange::Revoke(RevocationReason::Superseded, at(1)),
        RevokeChange::PublishExpired(true),
    ] {
        assert_refused(&place, "store-sql", || change(&store, issued, it, 5));
    }
    assert_refused(&place, "store-sql", || {
        store.record_crls(Vec::new(), at(1), Some(by("publish")))
    });
    // The counts are those of the rows, and the log has no gap where the event would have been.
    place.meddle("DROP TRIGGER no_audit");
    deny(&store, id).unwrap();
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn an_attribute_that_is_set_replaces_the_one_of_its_name_and_keeps_the_others() {
    let place = Place::new();
    let store = place.open();
    let (id, _) = pend(&store, 1);
    assert_eq!(request(1).attributes, [pair("a", "1:2"), pair("b", "")]);
    let set = |attributes: Vec<_>| store.set_attributes(id, attributes, by("set")).unwrap();
    set(vec![pair("B", "two"), pair("c", "three\nlines\\")]);
    set(vec![pair("C", "3")]);
    let row = store.request(id).unwrap().unwrap();
    assert_eq!(row.request.attributes, [pair("a", "1:2"), pair("b", "two"), pair("c", "3")]);
    assert_eq!(row.disposition, Disposition::Pending);
    assert_eq!(store.head(), EventSeq(1), "nobody is told");
    assert_eq!(deeds(&store).len(), 2);
    // Pages show the same as the single row.
    assert_eq!(store.requests(None, 10).unwrap(), [row]);
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn an_extension_that_is_set_replaces_the_one_of_its_name_and_keeps_the_others() {
    let place = Place::new();
    let store = place.open();
    let (id, _) = pend(&store, 1);
    let set = |it: &OfficerExtension| store.set_extension(id, it.clone(), by("set")).unwrap();
    let first = extension("2.5.29.17", OfficerExtension::CRITICAL, &[0x30, 0x00]);
    let second = extension("1.3.6.1.4.1.311.21.7", 0xff00, &[]);
    let third = extension("2.5.29.17", OfficerExtension::DISABLED, &[0x00, 0xff, 0x0a]);
    set(&first);
    set(&second);
    let row = store.request(id).unwrap().unwrap();
    assert_eq!(row.officer_extensions, [first, second.clone()]);
    set(&third);
    drop(store);
    let store = place.open();
    let row = store.request(id).unwrap().unwrap();
    assert_eq!(row.officer_extensions, [third, second]);
    // What else can be changed is not touched by it.
    assert_eq!(row.request, request(1));
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn an_event_that_is_read_late_shows_attributes_as_they_were() {
    let place = Place::new();
    let store = place.open();
    let (id, pending) = pend(&store, 1);
    let set = |value| store.set_attributes(id, vec![pair("b", value)], by("set")).unwrap();
    // Twice without an event in between, and an event of somebody else before the third time.
    set("one");
    set("two");
    let again = store
        .start_resume_resolve(
            id,
            as_read(&store, id),
            "Resumed".to_owned(),
            (Resolution::Pend { message: String::new() }, at(2500)),
            by("approve"),
            exeunt_store::Along::default(),
        )
        .and_then(Pending::wait)
        .unwrap();
    issue(&store, 2);
    set("three");
    store.set_extension(id, extension("1.2.3", 0, &[5]), by("set")).unwrap();
    let issued = issue_after_all(&store, id, 1);
    drop(store);

    let store = place.open();
    let seen = |seq| {
        let event = store.event(seq).unwrap().unwrap();
        assert_eq!(event.corrupt, None);
        let row = event.request.unwrap();
        (row.request.attributes[1].1.clone(), row.officer_extensions.len())
    };
    assert_eq!(seen(pending), (String::new(), 0));
    assert_eq!(seen(again), ("two".to_owned(), 0));
    assert_eq!(seen(issued), ("three".to_owned(), 1));
    let of_request = store.events_of_request(id, 10).unwrap();
    let values: Vec<_> = of_request
        .iter()
        .map(|it| it.request.as_ref().unwrap().request.attributes[1].1.as_str())
        .collect();
    assert_eq!(values, ["", "two", "three"]);
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn fetching_tells_each_time_of_what_once_waited_and_never_of_the_rest() {
    let place = Place::new();
    let store = place.open();
    let (direct, _) = issue(&store, 1);
    let (id, _) = pend(&store, 2);
    let retrieve = |id, when| store.retrieve(id, at(when)).unwrap();
    let before = place.dump();
    assert_eq!(retrieve(direct, 10), None);
    assert_eq!(retrieve(id, 10), None, "it still waits");
    let unknown = store.retrieve(RequestId(99), at(10)).unwrap_err();
    assert_eq!(unknown.code(), "store-no-request");
    assert_eq!(place.dump(), before);

    let issued = issue_after_all(&store, id, 2);
    for turn in 1..=2 {
        let seq = retrieve(id, 10 + turn).unwrap();
        let event = store.event(seq).unwrap().unwrap();
        assert_eq!(event.kind, EventKind::CERT_RETRIEVE_PENDING);
        assert_eq!(event.at, at(10 + turn));
        let state = event.state.unwrap();
        assert_eq!((state.disposition, state.message.as_str()), (Disposition::Issued, "Issued"));
        assert_eq!(event.certificate.unwrap().event, issued);
    }
    // One that is revoked is not handed out; one that was released is, and its event says so.
    let hold = RevokeChange::Revoke(RevocationReason::CertificateHold, at(20));
    change(&store, id, hold, 20).unwrap();
    assert_eq!(retrieve(id, 21), None);
    change(&store, id, RevokeChange::Release, 22).unwrap();
    let seq = retrieve(id, 23).unwrap();
    let revocation = store.event(seq).unwrap().unwrap().state.unwrap().revocation.unwrap();
    assert_eq!((revocation.reason, revocation.ran), (None, at(22)));
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn what_a_resubmission_left_waiting_has_waited() {
    let place = Place::new();
    let store = place.open();
    let status = StatusCode::ENROLL_DENIED;
    let denied = Resolution::Deny { status, message: String::new() };
    let id = store.admit_resolve(request(1), denied).unwrap();
    let pending = Resolution::Pend { message: String::new() };
    store
        .start_resume_resolve(
            id,
            as_read(&store, id),
            String::new(),
            (pending, at(1)),
            by("resubmit"),
            exeunt_store::Along::default(),
        )
        .and_then(Pending::wait)
        .unwrap();
    issue_after_all(&store, id, 1);
    assert!(store.retrieve(id, at(5)).unwrap().is_some());
}

#[test]
fn what_is_special_about_a_request_is_kept() {
    let place = Place::new();
    let store = place.open();
    let renewal = NewRequest {
        flags: RequestFlags::RENEWAL.with(RequestFlags::ENROLL_ON_BEHALF_OF),
        old_certificate: Some(vec![0x30, 0x00, 0xff]),
        ..request(1)
    };
    let issued = store.admit_intend(renewal.clone(), intent(1)).unwrap();
    store.record(issued, certificate(1), at(5)).unwrap();
    let pending = Resolution::Pend { message: String::new() };
    let waiting = store.admit_resolve(renewal.clone(), pending).unwrap();
    issue(&store, 2);
    for id in [issued, waiting] {
        assert_eq!(store.request(id).unwrap().unwrap().request, renewal);
    }
    change(&store, issued, RevokeChange::PublishExpired(true), 9).unwrap();
    let row = store.request(issued).unwrap().unwrap();
    assert_eq!((row.request, row.publish_expired), (renewal, true));
    drop(store);
    // The plain request has no row there.
    let conn = rusqlite::Connection::open(&place.path).unwrap();
    let rows = conn.query_row("SELECT count(*) FROM request_extra", [], |row| row.get::<_, i64>(0));
    assert_eq!(rows.unwrap(), 2);
    assert_whole(&place.path);
}

#[test]
fn a_certificate_keeps_its_key_and_its_part_of_the_lists() {
    let place = Place::new();
    let store = place.open();
    let id = store.admit_intend(request(1), intent(1)).unwrap();
    let mut certificate = certificate(1);
    (certificate.ca_key, certificate.crl_partition) = (u16::MAX, u32::MAX);
    store.record(id, certificate.clone(), at(5)).unwrap();
    assert_eq!(store.certificate_of(id).unwrap().unwrap().certificate, certificate);
}
