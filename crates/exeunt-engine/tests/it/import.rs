//! Imported certificates, with the real store, and many certificates revoked at once.

use exeunt_engine::{BulkOutcome, ImportError, ImportOrder, Imported, RevokeOrder, Which};
use exeunt_store::{SerialStatus, Store};
use exeunt_testkit::foreign;
use exeunt_types::{
    Disposition, EventKind, RequestId, RevocationReason as Reason, Serial, StatusCode, UnixMillis,
};
use exeunt_x509::encode_pem;
use tempfile::TempDir;

use crate::crl_lines;
use crate::support::{
    Ca, House, Issued, create_store, officer, plain_request, request, submission,
};

const OWN: ImportOrder = ImportOrder { allow_foreign: false, existing_row: false, dry_run: false };
const FOREIGN: ImportOrder = ImportOrder { allow_foreign: true, ..OWN };
const AWAITED: ImportOrder = ImportOrder { existing_row: true, ..OWN };

/// The same CA with an empty store, as after a restore of an old backup.
fn forgetful(house: &House, folder: &TempDir) -> Ca {
    let path = folder.path().join("other.db");
    create_store(&path);
    house.open_with(Store::open(&path).unwrap())
}

fn import(
    ca: &Ca,
    order: ImportOrder,
    certificates: &[&[u8]],
) -> Vec<Result<Imported, ImportError>> {
    let certificates: Vec<Vec<u8>> = certificates.iter().map(|it| it.to_vec()).collect();
    ca.engine.import_all(&certificates, order, &officer())
}

fn one(ca: &Ca, order: ImportOrder, certificate: &[u8]) -> Result<Imported, ImportError> {
    import(ca, order, &[certificate]).pop().unwrap()
}

#[track_caller]
fn refused(result: Result<Imported, ImportError>, code: &str, hresult: u32) {
    let err = result.unwrap_err();
    assert_eq!((err.code(), err.hresult()), (code, Some(StatusCode(hresult))), "{err:?}");
}

#[test]
fn what_the_ca_has_forgotten_comes_back_and_can_be_revoked() {
    let (house, folder) = (House::new(), tempfile::tempdir().unwrap());
    let issued: Vec<Issued> = {
        let ca = house.open();
        [plain_request(), plain_request()].map(|it| ca.issue(it)).into()
    };
    let ca = forgetful(&house, &folder);
    let results = import(&ca, OWN, &[&issued[0].der, issued[1].pem.as_bytes()]);
    for (number, (result, issued)) in (1..).zip(results.into_iter().zip(&issued)) {
        let Imported { serial, subject, disposition, request, event } = result.unwrap();
        assert_eq!((serial, disposition), (issued.serial, Disposition::Issued));
        assert_eq!((subject.as_str(), request), ("CN=host.example", Some(RequestId(number))));
        assert_eq!(ca.event(event.unwrap()).kind, EventKind::CERT_IMPORTED);
        let row = ca.row(RequestId(number));
        assert_eq!(row.message, "Issued; imported by local:0");
        let found = ca.engine.store().certificate(&serial).unwrap().unwrap().certificate;
        assert_eq!(found.raw, issued.der);
        assert_eq!(found.subject_alternative_names, "dns:host.example");
    }
    let audited = ca.audited();
    let line = |it: &Issued, id| {
        format!("local:0 certificate-import request:{id} serial {}, issued by this CA", it.serial)
    };
    assert_eq!(audited, [line(&issued[0], 1), line(&issued[1], 2)]);

    let order = RevokeOrder::Revoke { reason: Reason::KeyCompromise, effective: None };
    ca.engine.revoke(Which::Serial(issued[0].serial), order, &officer()).unwrap();
    let list = exeunt_engine::CrlOrder { base: true, ..exeunt_engine::CrlOrder::default() };
    let made = ca.engine.publish_crls(list, Some(&officer())).unwrap();
    let crl = std::fs::read(house.folder.path().join("crls").join(made[0].file_name())).unwrap();
    let crl = encode_pem("X509 CRL", &crl);
    foreign::openssl_crl_verify(&crl, &ca.root_pem()).unwrap();
    foreign::openssl_verify_with_crl(&issued[1].pem, &ca.root_pem(), &crl).unwrap();
    let err = foreign::openssl_verify_with_crl(&issued[0].pem, &ca.root_pem(), &crl).unwrap_err();
    assert!(err.contains("certificate revoked"), "{err}");
}

#[test]
fn what_is_known_already_is_refused() {
    let ca = House::new().open();
    let issued = ca.issue(plain_request());
    refused(one(&ca, OWN, &issued.der), "import-exists", 0x8007_1392);
    refused(one(&ca, OWN, ca.engine.certificate_der()), "import-exists", 0x8007_1392);
    let dry = ImportOrder { dry_run: true, ..OWN };
    refused(one(&ca, dry, &issued.der), "import-exists", 0x8007_1392);
    assert_eq!(ca.counts(), (1, 1, 1));
}

#[test]
fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let (house, folder) = (House::new(), tempfile::tempdir().unwrap());
    let issued = house.open().issue(plain_request());
    let ca = forgetful(&house, &folder);
    let would = one(&ca, ImportOrder { dry_run: true, ..OWN }, &issued.der).unwrap();
    assert_eq!((would.disposition, would.request), (Disposition::Issued, None));
    assert_eq!(would.event, None);
    assert_eq!((ca.counts(), ca.audited().len()), ((0, 0, 0), 0));
    assert_eq!(ca.engine.store().serial_status(&issued.serial).unwrap(), SerialStatus::Unknown);
}

#[test]
fn another_ca_is_foreign_also_if_it_has_the_same_name() {
    // The roots of all houses have one name.
    let other = House::new().open().issue(plain_request());
    let ca = House::new().open();
    refused(one(&ca, OWN, &other.der), "import-foreign", 0x800b_0107);
    let imported = one(&ca, FOREIGN, &other.der).unwrap();
    assert_eq!(imported.disposition, Disposition::Foreign);
    let id = imported.request.unwrap();
    let row = ca.row(id);
    assert_eq!(row.disposition.code(), 12);
    assert_eq!(row.message, "Issued by another CA; imported by local:0");
    refused(one(&ca, FOREIGN, &other.der), "import-exists", 0x8007_1392);
    // It is nobody's to revoke here, and no list and no answer knows it.
    let order = RevokeOrder::Revoke { reason: Reason::Unspecified, effective: None };
    let err = ca.engine.revoke(Which::Request(id), order, &officer()).unwrap_err();
    assert_eq!((err.code(), err.hresult()), ("wrong-state", Some(StatusCode(0x8007_000d))));
    let err = ca.engine.revoke(Which::Serial(other.serial), order, &officer()).unwrap_err();
    assert_eq!(err.code(), "certificate-unknown");
    assert_eq!(ca.engine.store().serial_status(&other.serial).unwrap(), SerialStatus::Unknown);
}

#[test]
fn what_is_no_certificate_is_refused_and_the_others_go_on() {
    let (house, folder) = (House::new(), tempfile::tempdir().unwrap());
    let issued = house.open().issue(plain_request());
    let ca = forgetful(&house, &folder);
    let cut = &issued.der[..issued.der.len() - 1];
    let mut forged = issued.der.clone();
    *forged.last_mut().unwrap() ^= 1;
    let results = import(&ca, OWN, &[b"hello", cut, &forged, &issued.der, &[]]);
    let codes: Vec<_> =
        results.iter().map(|it| it.as_ref().map_or_else(ImportError::code, |_| "done")).collect();
    let bad = "certificate-malformed";
    // A signature that does not verify may still be one of another CA with our name.
    assert_eq!(codes, [bad, bad, "import-foreign", "done", bad]);
    refused(one(&ca, OWN, cut), bad, 0x8007_000d);
}

#[test]
fn a_certificate_that_has_run_out_is_imported_as_well() {
    let (house, folder) = (House::new(), tempfile::tempdir().unwrap());
    let issued = house.open().issue(plain_request());
    house.clock.set(house.clock.seconds() + 400 * crate::support::DAY_S);
    let ca = forgetful(&house, &folder);
    assert_eq!(one(&ca, OWN, &issued.der).unwrap().disposition, Disposition::Issued);
}

#[test]
fn a_serial_number_that_was_given_up_stays_so() {
    let (house, folder) = (House::new(), tempfile::tempdir().unwrap());
    let number = [0x41; 16];
    house.entropy.next(&[number]);
    let issued = house.open().issue(plain_request());
    let ca = forgetful(&house, &folder);
    ca.entropy.next(&[number]);
    ca.key.shall(crate::support::Habit::Fail);
    ca.submit(plain_request()).unwrap_err();
    ca.key.shall(crate::support::Habit::Sign);
    refused(one(&ca, OWN, &issued.der), "import-serial-abandoned", 0x8007_1392);
    assert!(matches!(
        ca.engine.store().serial_status(&Serial::from_random(number)).unwrap(),
        SerialStatus::Abandoned { .. }
    ));
}

#[test]
fn a_request_that_waits_gets_the_certificate_with_its_key() {
    let mut house = House::new();
    let folder = tempfile::tempdir().unwrap();
    let (asked, other) =
        (request("ec:P-384", "/CN=a.example", &[]), request("rsa:2048", "/CN=b.example", &[]));
    let (issued, stranger) = {
        let ca = house.open();
        (ca.issue(&asked), ca.issue(plain_request()))
    };
    house.templates[0].issuance = exeunt_policy::Issuance::Hold;
    let ca = forgetful(&house, &folder);
    for waits in [&other, &asked] {
        ca.engine.submit(submission(waits)).unwrap();
    }
    refused(one(&ca, AWAITED, &stranger.der), "import-not-awaited", 0x8009_2009);
    let dry = ImportOrder { dry_run: true, ..AWAITED };
    assert_eq!(one(&ca, dry, &issued.der).unwrap().request, Some(RequestId(2)));
    let imported = one(&ca, AWAITED, &issued.der).unwrap();
    assert_eq!(imported.request, Some(RequestId(2)));
    let row = ca.row(RequestId(2));
    assert_eq!((row.disposition, row.serial), (Disposition::Issued, Some(issued.serial)));
    assert!(!row.request.raw.is_empty());
    assert_eq!(ca.kinds(), ["pending", "pending", "imported"]);
    assert_eq!(ca.row(RequestId(1)).disposition, Disposition::Pending);
    refused(one(&ca, AWAITED, &issued.der), "import-not-awaited", 0x8009_2009);
}

fn revoke(reason: Reason) -> RevokeOrder {
    RevokeOrder::Revoke { reason, effective: None }
}

/// In words: changed, already so, or the code of a refusal.
fn revoke_all(ca: &Ca, which: &[Which], order: RevokeOrder) -> Vec<String> {
    let results = ca.engine.revoke_all(which, order, &officer());
    let word = |it: &Result<BulkOutcome, exeunt_engine::OfficerError>| match it {
        Ok(BulkOutcome::Changed(it)) => it.disposition.word().to_owned(),
        Ok(BulkOutcome::Already { .. }) => "already".to_owned(),
        Err(err) => err.code().to_owned(),
    };
    results.iter().map(word).collect()
}

#[test]
fn many_certificates_are_revoked_each_with_its_own_outcome() {
    let ca = House::new().open();
    let issued: Vec<_> = (0..4).map(|_| ca.issue(plain_request())).collect();
    let of = |at: usize| Which::Serial(issued[at].serial);
    ca.engine.revoke(of(1), revoke(Reason::Superseded), &officer()).unwrap();
    ca.engine.revoke(of(2), revoke(Reason::CertificateHold), &officer()).unwrap();
    let foreign = House::new().open().issue(plain_request());
    let foreign = one(&ca, FOREIGN, &foreign.der).unwrap().request.unwrap();
    let head = ca.engine.store().head();
    let which = [
        of(0),
        of(1),
        of(2),
        of(0),
        Which::Serial(Serial::from_random([1; 16])),
        Which::Request(RequestId(99)),
        Which::Request(foreign),
        Which::Request(issued[3].request),
    ];
    let words = revoke_all(&ca, &which, revoke(Reason::KeyCompromise));
    let unknown = "certificate-unknown";
    let expected = [
        "revoked",
        "already",
        "revoked",
        "already",
        unknown,
        "request-unknown",
        "wrong-state",
        "revoked",
    ];
    assert_eq!(words, expected);
    // Each has its own event and audit entry.
    let told = ca.engine.store().events_after(head, 100).unwrap();
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|it| it.kind == EventKind::CERT_REVOKED));
    let audited = ca.audited();
    assert_eq!(audited.iter().filter(|it| it.contains("certificate-revoke ")).count(), 5);
    // A second run finds nothing left to do.
    let words = revoke_all(&ca, &which, revoke(Reason::KeyCompromise));
    assert_eq!(words.iter().filter(|it| *it == "already").count(), 5, "{words:?}");
    let revocation = ca.row(issued[1].request).revocation.unwrap();
    assert_eq!(revocation.reason, Some(Reason::Superseded), "it keeps its reason");
}

#[test]
fn many_holds_are_released() {
    let ca = House::new().open();
    let issued: Vec<_> = (0..3).map(|_| ca.issue(plain_request())).collect();
    let which: Vec<_> = issued.iter().map(|it| Which::Serial(it.serial)).collect();
    let hold = revoke(Reason::CertificateHold);
    assert_eq!(revoke_all(&ca, &which[..2], hold), ["revoked", "revoked"]);
    assert_eq!(revoke_all(&ca, &which[1..], hold), ["already", "revoked"]);
    ca.engine.revoke(which[2], revoke(Reason::KeyCompromise), &officer()).unwrap();
    let words = revoke_all(&ca, &which, RevokeOrder::Release);
    assert_eq!(words, ["issued", "issued", "not-on-hold"]);
    let words = revoke_all(&ca, &which, RevokeOrder::Release);
    assert_eq!(words, ["already", "already", "not-on-hold"]);
}

#[test]
fn a_revocation_that_does_not_count_yet_is_brought_forward_by_an_order_for_many() {
    let ca = House::new().open();
    let issued: Vec<_> = (0..2).map(|_| ca.issue(plain_request())).collect();
    let which: Vec<_> = issued.iter().map(|it| Which::Serial(it.serial)).collect();
    let now = UnixMillis::from_unix_seconds(ca.clock.seconds());
    let at = |days: i64| UnixMillis(now.0 + days * 86_400_000);
    let dated = |reason, days| RevokeOrder::Revoke { reason, effective: Some(at(days)) };
    assert_eq!(revoke_all(&ca, &which[..1], dated(Reason::Superseded, 30)), ["revoked"]);
    // Later than it is dated: nothing to do. Sooner: for both.
    assert_eq!(revoke_all(&ca, &which[..1], dated(Reason::Superseded, 31)), ["already"]);
    assert_eq!(revoke_all(&ca, &which, revoke(Reason::KeyCompromise)), ["revoked", "revoked"]);
    for it in &issued {
        let revocation = ca.row(it.request).revocation.unwrap();
        assert_eq!(revocation.reason, Some(Reason::KeyCompromise));
        assert_eq!(revocation.effective, now);
    }
    ca.clock.set(ca.clock.seconds() + 60);
    for order in [revoke(Reason::Superseded), dated(Reason::Superseded, -1)] {
        assert_eq!(revoke_all(&ca, &which, order), ["already", "already"]);
    }
}

#[test]
fn nothing_is_imported_while_lists_are_in_parts() {
    let (house, folder) = (House::new(), tempfile::tempdir().unwrap());
    let issued = house.open().issue(plain_request());
    let foreign = House::new().open().issue(plain_request());
    let house = House { key: house.key, certificate: house.certificate, ..crl_lines::house(3) };
    let ca = forgetful(&house, &folder);
    for order in [OWN, FOREIGN, AWAITED, ImportOrder { dry_run: true, ..OWN }] {
        for certificate in [&issued.der, &foreign.der] {
            refused(one(&ca, order, certificate), "import-partitioned", 0x8000_4001);
        }
    }
    assert_eq!((ca.counts(), ca.audited().len()), ((0, 0, 0), 0));
}

/// Its number belongs to its issuer: whatever is asked by number means this CA's own.
#[test]
fn a_foreign_certificate_with_a_number_of_ours_is_never_taken_for_ours() {
    let number = [0x51; 16];
    let (house, other) = (House::new(), House::new());
    other.entropy.next(&[number]);
    let foreign = other.open().issue(plain_request());
    let ca = house.open();
    let row = one(&ca, FOREIGN, &foreign.der).unwrap().request.unwrap();
    let status = |ca: &Ca| ca.engine.store().serial_status(&foreign.serial).unwrap();
    assert_eq!(status(&ca), SerialStatus::Unknown);
    // The number is free for this CA, before and after.
    ca.entropy.next(&[number]);
    let own = ca.issue(plain_request());
    assert_eq!(own.serial, foreign.serial);
    let found = ca.engine.store().certificate(&own.serial).unwrap().unwrap();
    assert_eq!((found.request, &found.certificate.raw), (own.request, &own.der));
    assert_eq!(status(&ca), SerialStatus::Issued);

    for order in [revoke(Reason::Unspecified), RevokeOrder::Release] {
        let err = ca.engine.revoke(Which::Request(row), order, &officer()).unwrap_err();
        assert_eq!(err.code(), "wrong-state");
    }
    assert_eq!(status(&ca), SerialStatus::Issued);
    ca.engine.revoke(Which::Serial(own.serial), revoke(Reason::Superseded), &officer()).unwrap();
    assert_eq!(ca.row(row).disposition, Disposition::Foreign);
    assert_eq!(ca.row(own.request).disposition, Disposition::Revoked);
    // Nor is its row one that officers decide upon; whoever fetches it gets it.
    for result in [ca.engine.approve(row, &officer()), ca.engine.resubmit(row, &officer())] {
        assert_eq!(result.unwrap_err().code(), "wrong-state");
    }
    assert_eq!(ca.engine.deny(row, &officer(), None).unwrap_err().code(), "wrong-state");
    let fetched = ca.engine.retrieve(row).unwrap();
    assert_eq!(fetched.certificate.unwrap().certificate.raw, foreign.der);
    assert_eq!(fetched.event, None);
    // By the key of this CA are its own certificates alone.
    let filter = exeunt_types::CertificateFilter { ca_key: Some(0), ..Default::default() };
    let order = (exeunt_types::CertificateSort::Request, false);
    let found = ca.engine.store().find_certificates(&filter, order, None, 10).unwrap();
    let found: Vec<_> = found.rows.iter().map(|it| it.record.request).collect();
    assert_eq!(found, [own.request]);
}

/// Its revocation would stand in the whole list, and whoever looks where the certificate says would
/// never see it.
#[test]
fn a_certificate_that_names_its_part_is_not_imported_into_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut house = crl_lines::house(1);
    let whole = house.open().issue(plain_request());
    house.crls.partitions = 3;
    let part = house.open().issue(plain_request());
    house.crls.partitions = 1;
    let ca = forgetful(&house, &folder);
    refused(one(&ca, OWN, &part.der), "import-partitioned", 0x8000_4001);
    assert_eq!(one(&ca, OWN, &whole.der).unwrap().disposition, Disposition::Issued);
    // What another CA means by its names is its own affair.
    let stranger = crl_lines::house(3).open().issue(plain_request());
    assert_eq!(one(&ca, FOREIGN, &stranger.der).unwrap().disposition, Disposition::Foreign);
}
