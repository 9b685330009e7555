//! Imported certificates: their rows, events and serial numbers, and what stands in the way.

use exeunt_store::{Import, ImportObstacle, ImportOrigin, NewImport, SerialStatus, Store};
use exeunt_types::{
    Disposition, EventKind, RequestId, RevocationReason as Reason, Serial, StatusCode,
};

use crate::support::{
    Place, assert_whole, at, by, certificate, change, deeds, intent, issue, issue_all, pend,
    request, serial,
};
use exeunt_store::RevokeChange;

fn own(number: u64) -> NewImport {
    NewImport {
        certificate: certificate(number),
        origin: ImportOrigin::Own,
        request: None,
        importer: "olga".to_owned(),
        message: "imported".to_owned(),
        at: at(3000),
    }
}

fn foreign(number: u64) -> NewImport {
    let hash = [u8::try_from(number).unwrap(); 32];
    NewImport { origin: ImportOrigin::Foreign(hash), ..own(number) }
}

#[expect(clippy::needless_pass_by_value, reason = "callers have no other use for it")]
fn import(store: &Store, import: NewImport) -> Import {
    let asked = store.import_obstacle(&import).unwrap();
    let done = store.start_import(import.clone(), by("import")).unwrap().wait().unwrap();
    // The question beforehand and the deed agree, but for a request that waits.
    match &done {
        Import::Obstacle(ImportObstacle::NotWaiting(_)) | Import::Done { .. } => {
            assert_eq!(asked, None);
        }
        Import::Obstacle(obstacle) => assert_eq!(asked.as_ref(), Some(obstacle)),
    }
    done
}

#[track_caller]
fn done(result: &Import) -> RequestId {
    let Import::Done { request, .. } = result else { panic!("{result:?}") };
    *request
}

#[test]
fn a_certificate_of_this_ca_is_on_record_as_if_it_had_been_issued_here() {
    let place = Place::new();
    let store = place.open();
    issue(&store, 1);
    let result = import(&store, own(7));
    let id = done(&result);
    let row = store.request(id).unwrap().unwrap();
    assert_eq!((row.disposition, row.status), (Disposition::Issued, StatusCode::OK));
    assert_eq!((row.request.requester.as_str(), row.request.caller.as_str()), ("olga", "olga"));
    assert_eq!((row.request.raw.as_slice(), row.request.submitted), (&[][..], at(3000)));
    assert_eq!((row.message.as_str(), row.resolved), ("imported", Some(at(3000))));
    assert_eq!(row.serial, Some(serial(7)));
    let found = store.certificate(&serial(7)).unwrap().unwrap();
    assert_eq!((found.request, found.certificate), (id, certificate(7)));
    let event = store.event(store.head()).unwrap().unwrap();
    assert_eq!((event.kind, event.at), (EventKind::CERT_IMPORTED, at(3000)));
    assert_eq!(event.state.unwrap().disposition, Disposition::Issued);
    assert_eq!(event.certificate.map(|it| it.certificate.serial), Some(serial(7)));
    let audited = deeds(&store);
    let lines: Vec<_> = audited.iter().map(|it| (&*it.entry.action, &*it.entry.object)).collect();
    assert_eq!(lines, [("import", "request:2")]);
    assert_eq!(store.serial_status(&serial(7)).unwrap(), SerialStatus::Issued);
    change(&store, id, RevokeChange::Revoke(Reason::KeyCompromise, at(4000)), 4000).unwrap();
    let mut listed = Vec::new();
    let list = |it: &exeunt_store::RevokedView<'_>| {
        it.revoked(0, 0, None, &mut |it| {
            listed.push(it.serial);
            true
        })
    };
    store.read_revoked(list).unwrap();
    assert_eq!(listed, [serial(7)]);
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn an_imported_serial_number_is_never_given_out_again() {
    let place = Place::new();
    let store = place.open();
    import(&store, own(7));
    let err = store.admit_intend(request(7), intent(7)).unwrap_err();
    assert_eq!(err.code(), "store-duplicate-serial");
}

#[test]
fn what_is_on_record_is_not_imported_again() {
    let place = Place::new();
    let store = place.open();
    let (issued, _) = issue(&store, 1);
    assert_eq!(import(&store, own(1)), Import::Obstacle(ImportObstacle::Present(issued)));
    let id = done(&import(&store, own(7)));
    assert_eq!(import(&store, own(7)), Import::Obstacle(ImportObstacle::Present(id)));
    let id = done(&import(&store, foreign(8)));
    assert_eq!(import(&store, foreign(8)), Import::Obstacle(ImportObstacle::Present(id)));
    // Twice in one commit.
    let pending = [(); 2].map(|()| store.start_import(own(9), by("import")).unwrap());
    let [first, second] = pending.map(|it| it.wait().unwrap());
    assert_eq!(second, Import::Obstacle(ImportObstacle::Present(done(&first))));
    assert_eq!(deeds(&store).len(), 3, "refusals change nothing");
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn a_serial_number_that_is_taken_or_was_given_up_is_not_imported() {
    let place = Place::new();
    let store = place.open();
    let (issued, _) = issue(&store, 1);
    let mut other = own(1);
    other.certificate.raw = b"another one".to_vec();
    assert_eq!(import(&store, other), Import::Obstacle(ImportObstacle::SerialUsed(issued)));
    let making = store.admit_intend(request(2), intent(2)).unwrap();
    assert_eq!(import(&store, own(2)), Import::Obstacle(ImportObstacle::SerialUsed(making)));
    store.abandon(making, StatusCode::FAIL, "no", at(5)).unwrap();
    let abandoned = ImportObstacle::SerialAbandoned(making);
    assert_eq!(import(&store, own(2)), Import::Obstacle(abandoned));
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn a_certificate_of_another_ca_takes_no_serial_number_from_ours() {
    let place = Place::new();
    let store = place.open();
    let id = done(&import(&store, foreign(7)));
    let row = store.request(id).unwrap().unwrap();
    assert_eq!((row.disposition, row.serial), (Disposition::Foreign, Some(serial(7))));
    assert_eq!(store.serial_status(&serial(7)).unwrap(), SerialStatus::Unknown);
    assert_eq!(store.certificate(&serial(7)).unwrap(), None);
    assert_eq!(store.certificate_of(id).unwrap().unwrap().certificate, certificate(7));
    // The same number may be one of ours.
    let (ours, _) = issue(&store, 7);
    assert_eq!(store.certificate(&serial(7)).unwrap().unwrap().request, ours);
    let mut other = foreign(7);
    other.origin = ImportOrigin::Foreign([0xee; 32]);
    done(&import(&store, other));
    let counts = store.counts().unwrap();
    assert_eq!((counts.foreign, counts.issued, counts.certificates), (2, 1, 1));
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn a_request_that_waits_gets_the_certificate() {
    let place = Place::new();
    let store = place.open();
    issue_all(&store, 1..=3);
    let (first, _) = pend(&store, 4);
    let (second, _) = pend(&store, 5);
    let waiting = store.waiting_requests(10).unwrap();
    let ids: Vec<_> = waiting.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [second, first]);
    assert_eq!(waiting[0].1, request(5).raw);
    assert_eq!(store.waiting_requests(1).unwrap().len(), 1);
    let import_for = |id| import(&store, NewImport { request: Some(id), ..own(5) });
    assert_eq!(done(&import_for(second)), second);
    let row = store.request(second).unwrap().unwrap();
    assert_eq!((row.disposition, row.request), (Disposition::Issued, request(5)));
    assert_eq!((row.serial, row.resolved), (Some(serial(5)), Some(at(3000))));
    let event = store.event(store.head()).unwrap().unwrap();
    assert_eq!(event.kind, EventKind::CERT_IMPORTED);
    // It waits no more.
    let other = NewImport { request: Some(second), ..own(6) };
    assert_eq!(import(&store, other), Import::Obstacle(ImportObstacle::NotWaiting(second)));
    assert_eq!(store.waiting_requests(10).unwrap().len(), 1);
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn a_serial_number_may_have_a_leading_zero_where_its_der_does() {
    let place = Place::new();
    let store = place.open();
    let mut import_of = own(7);
    import_of.certificate.serial = Serial::from_be_bytes(&[0, 0x80]).unwrap();
    let id = done(&import(&store, import_of.clone()));
    let found = store.certificate(&import_of.certificate.serial).unwrap().unwrap();
    assert_eq!(found.request, id);
}
