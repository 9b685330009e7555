//! Resubmission: a request that has a row is processed again.

use exeunt_store::{AsRead, Pending, Store};
use exeunt_types::{
    Disposition, EventKind, EventSeq, OfficerExtension, RequestId, RequestRecord, Resolution,
    StatusCode,
};

use crate::support::{
    Place, as_read, assert_refused, assert_whole, at, by, certificate, intent, issue, pend,
    request, serial,
};

fn resume(store: &Store, id: RequestId, number: u64) -> Result<(), exeunt_store::StoreError> {
    resume_as(store, id, as_read(store, id), number)
}

fn resume_as(
    store: &Store,
    id: RequestId,
    from: AsRead,
    number: u64,
) -> Result<(), exeunt_store::StoreError> {
    let template = "Resumed".to_owned();
    store
        .start_resume_intend(
            id,
            from,
            template,
            intent(number),
            by("approve"),
            exeunt_store::Along::default(),
        )
        .and_then(Pending::wait)
}

fn resolve(
    store: &Store,
    id: RequestId,
    resolution: Resolution,
) -> Result<EventSeq, exeunt_store::StoreError> {
    resolve_as(store, id, as_read(store, id), resolution)
}

fn resolve_as(
    store: &Store,
    id: RequestId,
    from: AsRead,
    resolution: Resolution,
) -> Result<EventSeq, exeunt_store::StoreError> {
    let template = "Resumed".to_owned();
    store
        .start_resume_resolve(
            id,
            from,
            template,
            (resolution, at(3000)),
            by("approve"),
            exeunt_store::Along::default(),
        )
        .and_then(Pending::wait)
}

fn record(store: &Store, id: RequestId) -> RequestRecord {
    store.request(id).unwrap().unwrap()
}

fn deny(store: &Store, number: u64) -> RequestId {
    let status = StatusCode::ENROLL_DENIED;
    let resolution = Resolution::Deny { status, message: "no".to_owned() };
    store.admit_resolve(request(number), resolution).unwrap()
}

#[test]
fn a_request_that_waited_is_issued_under_its_number() {
    let place = Place::new();
    let store = place.open();
    let (id, _) = pend(&store, 1);
    resume(&store, id, 1).unwrap();
    assert_eq!(record(&store, id).disposition, Disposition::Active);
    assert_eq!(store.head(), EventSeq(1), "being processed is no event");
    let seq = store.record(id, certificate(1), at(4000)).unwrap();
    let row = record(&store, id);
    assert_eq!((row.disposition, row.serial), (Disposition::Issued, Some(serial(1))));
    assert_eq!((row.request.template.as_str(), row.resolved), ("Resumed", Some(at(4000))));
    let events = store.events_of_request(id, 10).unwrap();
    let kinds: Vec<_> = events.iter().map(|it| (it.seq, it.kind)).collect();
    assert_eq!(kinds, [(EventSeq(1), EventKind::CERT_PENDING), (seq, EventKind::CERT_ISSUED)]);
    let counts = store.counts().unwrap();
    assert_eq!((counts.requests, counts.issued, counts.pending), (1, 1, 0));
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn a_request_that_is_processed_again_may_end_without_a_certificate() {
    let place = Place::new();
    let store = place.open();
    let status = StatusCode::KEY_LENGTH;
    let message = || "because".to_owned();
    let cases = [
        (Resolution::Pend { message: message() }, EventKind::CERT_PENDING, Disposition::Pending),
        (
            Resolution::Deny { status, message: message() },
            EventKind::CERT_DENIED,
            Disposition::Denied,
        ),
        (
            Resolution::Fail { status, message: message() },
            EventKind::REQUEST_FAILED,
            Disposition::Error,
        ),
    ];
    for (number, (resolution, kind, disposition)) in (1..).zip(cases) {
        for id in [pend(&store, number).0, deny(&store, number)] {
            let seq = resolve(&store, id, resolution.clone()).unwrap();
            let row = record(&store, id);
            let waits = disposition == Disposition::Pending;
            assert_eq!((row.disposition, row.message.as_str()), (disposition, "because"));
            assert_eq!(row.status, if waits { StatusCode::OK } else { status });
            assert_eq!(row.resolved, (!waits).then_some(at(3000)));
            assert_eq!(row.request.template, "Resumed");
            let event = store.event(seq).unwrap().unwrap();
            assert_eq!((event.kind, event.at), (kind, at(3000)));
            assert_eq!(event.state.unwrap().disposition, disposition);
        }
    }
    let counts = store.counts().unwrap();
    assert_eq!((counts.pending, counts.denied, counts.failed), (2, 2, 2));
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn only_a_request_in_the_state_that_was_read_is_processed_again() {
    let place = Place::new();
    let store = place.open();
    let (issued, _) = issue(&store, 1);
    let active = store.admit_intend(request(2), intent(2)).unwrap();
    let (waiting, _) = pend(&store, 3);
    let denied = deny(&store, 4);
    let message = String::new;
    for id in [issued, active, denied] {
        let waited = || AsRead { disposition: Disposition::Pending, ..as_read(&store, id) };
        assert_refused(&place, "store-wrong-state", || resume_as(&store, id, waited(), 9));
        let pending = Resolution::Pend { message: message() };
        assert_refused(&place, "store-wrong-state", || resolve_as(&store, id, waited(), pending));
    }
    assert_refused(&place, "store-no-request", || resume(&store, RequestId(99), 9));
    let pending = Resolution::Pend { message: message() };
    assert_refused(&place, "store-no-request", || resolve(&store, RequestId(99), pending));
    // A serial number that was given out, even to the same request.
    assert_refused(&place, "store-duplicate-serial", || resume(&store, waiting, 1));
    let waited = as_read(&store, waiting);
    resume(&store, waiting, 9).unwrap();
    assert_refused(&place, "store-wrong-state", || resume_as(&store, waiting, waited, 10));
}

#[test]
fn what_was_amended_since_it_was_read_is_not_decided_upon() {
    let place = Place::new();
    let store = place.open();
    let (id, _) = pend(&store, 1);
    let extension = |value| OfficerExtension { oid: "1.2.3".to_owned(), flags: 0, value };
    let attribute = || vec![("note".to_owned(), "new".to_owned())];
    // The second amendment takes the place of the first one: there was no event in between.
    for change in 0..3 {
        let seen = as_read(&store, id);
        match change {
            0 => store.set_extension(id, extension(vec![5, 0]), by("set")).unwrap(),
            1 => store.set_extension(id, extension(vec![5]), by("set")).unwrap(),
            _ => store.set_attributes(id, attribute(), by("set")).unwrap(),
        }
        let code = "store-changed-meanwhile";
        assert_refused(&place, code, || resume_as(&store, id, seen.clone(), 9));
        let pending = Resolution::Pend { message: String::new() };
        assert_refused(&place, code, || resolve_as(&store, id, seen, pending));
    }
    resume(&store, id, 9).unwrap();
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn an_event_that_is_read_late_shows_the_template_of_then() {
    let place = Place::new();
    let store = place.open();
    let (id, first) = pend(&store, 1);
    let (other, _) = pend(&store, 2);
    // What was put back has never been.
    resume(&store, id, 7).unwrap();
    store.abandon(id, StatusCode::FAIL, "the key is gone", at(9)).unwrap();
    assert_eq!(record(&store, id).request.template, "WebServer");
    store.set_attributes(id, vec![("a".to_owned(), "3".to_owned())], by("set")).unwrap();
    assert_eq!(record(&store, id).request.template, "WebServer");
    let second = resolve(&store, id, Resolution::Pend { message: String::new() }).unwrap();
    let third = store
        .start_resume_resolve(
            id,
            as_read(&store, id),
            "Other".to_owned(),
            (Resolution::Pend { message: String::new() }, at(4000)),
            by("approve"),
            exeunt_store::Along::default(),
        )
        .and_then(Pending::wait)
        .unwrap();
    resume(&store, other, 8).unwrap();
    let issued = store.record(other, certificate(8), at(5000)).unwrap();
    drop(store);

    let store = place.open();
    let template = |seq| store.event(seq).unwrap().unwrap().request.unwrap().request.template;
    assert_eq!([first, second, third].map(template), ["WebServer", "Resumed", "Other"]);
    assert_eq!([EventSeq(2), issued].map(template), ["WebServer", "Resumed"]);
    let first = store.event(first).unwrap().unwrap().request.unwrap();
    assert_eq!(first.request.attributes, request(1).attributes);
    assert_eq!(record(&store, id).request.template, "Other");
    assert_eq!(store.certificate_of(other).unwrap().unwrap().template, "Resumed");
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn the_tally_and_the_serial_fall_with_a_resubmission_that_cannot_be_written() {
    let place = Place::new();
    let store = place.open();
    let (id, _) = pend(&store, 1);
    place.meddle(
        "CREATE TRIGGER no_intent BEFORE INSERT ON intent BEGIN SELECT RAISE(ABORT, 'no'); END;
         CREATE TRIGGER no_event BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'no'); END;",
    );
    assert_refused(&place, "store-sql", || resume(&store, id, 1));
    let denied = Resolution::Deny { status: StatusCode::FAIL, message: String::new() };
    assert_refused(&place, "store-sql", || resolve(&store, id, denied));
    place.meddle("DROP TRIGGER no_intent; DROP TRIGGER no_event;");
    resume(&store, id, 1).unwrap();
}

#[test]
fn recovery_puts_an_interrupted_resubmission_back_to_its_state() {
    let place = Place::new();
    let store = place.open();
    let (waiting, _) = pend(&store, 1);
    let denied = deny(&store, 2);
    let before = [record(&store, waiting), record(&store, denied)];
    resume(&store, waiting, 1).unwrap();
    resume(&store, denied, 2).unwrap();
    let new = store.admit_intend(request(3), intent(3)).unwrap();
    let head = store.head();
    drop(store);

    let store = place.open();
    let recovered = store.recover(at(50)).unwrap();
    let requests: Vec<_> = recovered.iter().map(|it| it.request).collect();
    assert_eq!(requests, [waiting, denied, new]);
    assert_eq!([record(&store, waiting), record(&store, denied)], before);
    // The one event is that of the request which was new.
    let events = store.events_after(head, 10).unwrap();
    let told: Vec<_> = events.iter().map(|it| (it.kind, it.request.as_ref().unwrap().id)).collect();
    assert_eq!(told, [(EventKind::REQUEST_FAILED, new)]);
    let abandoned = store.abandoned_serials(None, 10).unwrap();
    let abandoned: Vec<_> = abandoned.iter().map(|it| (it.serial, it.not_after, it.at)).collect();
    let expected = [1, 2, 3].map(|it| (serial(it), Some(at(5000)), at(50)));
    assert_eq!(abandoned, expected);
    // And it can be tried again, with another serial number.
    assert_refused(&place, "store-duplicate-serial", || resume(&store, waiting, 1));
    resume(&store, waiting, 11).unwrap();
    store.record(waiting, certificate(11), at(60)).unwrap();
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn a_resubmission_that_could_not_be_signed_is_what_it_was_before() {
    let place = Place::new();
    let store = place.open();
    let (id, _) = pend(&store, 1);
    let before = record(&store, id);
    resume(&store, id, 1).unwrap();
    assert_eq!(store.abandon(id, StatusCode::FAIL, "the key is gone", at(9)).unwrap(), None);
    assert_eq!(record(&store, id), before);
    assert_eq!(store.head(), EventSeq(1));
    assert_eq!(store.counts().unwrap().abandoned_serials, 1);
    // An officer goes on as if nothing had been.
    store.deny(id, "no".to_owned(), StatusCode::ADMIN_DENIED, at(10), by("deny")).unwrap();
    drop(store);
    assert_whole(&place.path);
}
