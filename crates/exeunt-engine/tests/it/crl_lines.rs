//! Lists of several keys and parts, and what becomes of lists in the long run.

use std::fs;
use std::time::Duration;

use exeunt_engine::{
    CaProfile, CrlOrder, CrlSettings, EngineError, Publication, Renewal, RevokeOrder, Which,
    renewed_root,
};
use exeunt_keys::random_bytes;
use exeunt_store::Store;
use exeunt_testkit::foreign::{openssl_crl_verify, openssl_text, pkilint};
use exeunt_testkit::tools;
use exeunt_types::{
    CrlKind, CrlNumber, CrlRecord, KeyAlgorithm, RevocationReason as Reason, Serial, UnixMillis,
};
use exeunt_x509::{CRL_PEM_LABEL, CaVersion, Name, encode_pem, parse_crl};

use crate::crls::{BASE, DELTA, publish};
use crate::support::{
    Ca, DAY_S, HOUR_S, House, Issued, TestKey, create_store, officer, plain_request, root,
};

/// Where certificates and lists say that lists are.
const POINT: &str = "http://crl.example/ca%8<CRLPartitionIndex>%9.crl";

pub(crate) fn house(partitions: u32) -> House {
    let crls = CrlSettings {
        delta_period: Some(Duration::from_hours(24)),
        freshest_crl: vec![POINT.to_owned()],
        partitions,
        ..CrlSettings::default()
    };
    let publication =
        Publication { crl_distribution_points: vec![POINT.to_owned()], ..Publication::default() };
    House { publication, crls, ..House::new() }
}

/// Renews the CA's certificate for so many days; with a new key, or the one of the first.
pub(crate) fn renew(house: &mut House, key: Option<&TestKey>, days: i64) {
    let now = house.clock.seconds();
    let profile = CaProfile {
        subject: Name::parse("CN=Test Root,O=Exeunt,C=DE").unwrap(),
        not_before: UnixMillis::from_unix_seconds(now - HOUR_S),
        not_after: UnixMillis::from_unix_seconds(now + days * DAY_S),
    };
    let certificate_index = u16::try_from(house.renewals.len()).unwrap() + 1;
    let key_index = if key.is_some() { certificate_index } else { 0 };
    let version = CaVersion { certificate_index, key_index };
    let renewal = Renewal { version, previous: Some(&house.certificate) };
    let serial = Serial::from_random(random_bytes().unwrap());
    let signer = key.unwrap_or(&house.key);
    let certificate = renewed_root(signer, &profile, serial, renewal).unwrap();
    house.renewals.push((certificate, key.cloned()));
}

fn revoke(ca: &Ca, issued: &Issued, reason: Reason) {
    let order = RevokeOrder::Revoke { reason, effective: None };
    ca.engine.revoke(Which::Serial(issued.serial), order, &officer()).unwrap();
}

fn wait(ca: &Ca, seconds: i64) {
    ca.clock.set(ca.clock.seconds() + seconds);
}

fn der(ca: &Ca, record: &CrlRecord) -> Vec<u8> {
    fs::read(ca.engine.crl_file(record)).unwrap()
}

fn crl_pem(ca: &Ca, record: &CrlRecord) -> String {
    encode_pem(CRL_PEM_LABEL, &der(ca, record))
}

fn serials(ca: &Ca, record: &CrlRecord) -> Vec<Serial> {
    parse_crl(&der(ca, record)).unwrap().entries().map(|it| it.serial).collect()
}

fn points(ca: &Ca, record: &CrlRecord) -> Vec<String> {
    let der = der(ca, record);
    parse_crl(&der).unwrap().issuing_distribution_point.map(|it| it.uris).unwrap_or_default()
}

/// Kind, key and part of each.
fn lines(records: &[CrlRecord]) -> Vec<(CrlKind, u16, u32)> {
    records.iter().map(|it| (it.line.kind, it.line.key_index, it.line.partition)).collect()
}

fn root_of(ca: &Ca, index: u16) -> String {
    encode_pem("CERTIFICATE", ca.engine.ca().by_index(index).unwrap().issuer().der())
}

/// What openssl thinks of a certificate at the CA's time, with all of the CA's roots and these lists.
pub(crate) fn judged(ca: &Ca, issued: &Issued, lists: &[&CrlRecord]) -> &'static str {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let words = "verify -x509_strict -no-CApath -no-CAstore -crl_check -use_deltas -attime";
    let mut args: Vec<String> = words.split(' ').map(str::to_owned).collect();
    args.extend([ca.clock.seconds().to_string(), "-CAfile".to_owned()]);
    let all = ca.engine.ca().certificates();
    let roots: Vec<_> = all.iter().map(|it| encode_pem("CERTIFICATE", it.issuer().der())).collect();
    args.push(write("roots.pem", &roots.concat()));
    for (at, list) in lists.iter().enumerate() {
        args.extend(["-CRLfile".to_owned(), write(&format!("{at}.crl"), &crl_pem(ca, list))]);
    }
    args.push(write("leaf.pem", &issued.pem));
    let output = tools::run(tools::openssl(), args, b"");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    match () {
        () if output.status.success() => "good",
        () if said.contains("certificate revoked") => "revoked",
        () if said.to_lowercase().contains("different crl scope") => "other scope",
        () => panic!("{said}"),
    }
}

#[test]
fn each_key_signs_lists_of_its_own_certificates_with_one_number_for_all() {
    let mut house = house(1);
    let ca = house.open();
    let old = [(); 3].map(|()| ca.issue(plain_request()));
    assert_eq!(lines(&publish(&ca, BASE)), [(CrlKind::Base, 0, 0), (CrlKind::Delta, 0, 0)]);
    drop(ca);

    let key = TestKey::new(KeyAlgorithm::Rsa { bits: 2048 });
    renew(&mut house, Some(&key), 7300);
    let ca = house.open();
    // The new key has no list yet.
    let now = UnixMillis::from_unix_seconds(ca.clock.seconds());
    assert_eq!(ca.engine.crls_due(now).unwrap(), CrlOrder { delta: true, ..BASE });
    let new = [(); 3].map(|()| ca.issue(plain_request()));
    assert!(openssl_text(&new[0].pem).contains("URI:http://crl.example/ca(1).crl"));
    wait(&ca, HOUR_S);
    revoke(&ca, &old[0], Reason::KeyCompromise);
    revoke(&ca, &new[0], Reason::KeyCompromise);
    let made = publish(&ca, BASE);
    let four = [(CrlKind::Base, 0, 0), (CrlKind::Base, 1, 0)];
    let four = [&four[..], &four.map(|(_, key, part)| (CrlKind::Delta, key, part))].concat();
    assert_eq!(lines(&made), four);
    assert!(made.iter().all(|it| it.number == CrlNumber(2)));
    for (record, root) in made.iter().zip([0, 1, 0, 1]) {
        openssl_crl_verify(&crl_pem(&ca, record), &root_of(&ca, root)).unwrap();
        openssl_crl_verify(&crl_pem(&ca, record), &root_of(&ca, 1 - root)).unwrap_err();
        pkilint(&crl_pem(&ca, record)).unwrap();
        let der = der(&ca, record);
        let version = CaVersion { certificate_index: root, key_index: root };
        assert_eq!(parse_crl(&der).unwrap().ca_version, Some(version));
    }
    assert_eq!(serials(&ca, &made[0]), [old[0].serial]);
    assert_eq!(serials(&ca, &made[1]), [new[0].serial]);
    let freshest = parse_crl(&der(&ca, &made[1])).unwrap().freshest_crl;
    assert_eq!(freshest, ["http://crl.example/ca(1)+.crl"]);

    wait(&ca, HOUR_S);
    revoke(&ca, &old[1], Reason::CertificateHold);
    revoke(&ca, &new[1], Reason::Superseded);
    let deltas = publish(&ca, DELTA);
    assert_eq!(lines(&deltas), four[2..]);
    let lists = [&made[0], &made[1], &deltas[0], &deltas[1]];
    for of_key in [&old, &new] {
        let found: Vec<_> = of_key.iter().map(|it| judged(&ca, it, &lists)).collect();
        assert_eq!(found, ["revoked", "revoked", "good"]);
    }
}

#[test]
fn one_list_serves_all_certificates_of_a_key_and_says_the_newest() {
    let mut house = house(1);
    let ca = house.open();
    let old = ca.issue(plain_request());
    drop(ca);
    renew(&mut house, None, 7300);
    let ca = house.open();
    let new = ca.issue(plain_request());
    revoke(&ca, &old, Reason::Superseded);
    let made = publish(&ca, BASE);
    assert_eq!(lines(&made), [(CrlKind::Base, 0, 0), (CrlKind::Delta, 0, 0)]);
    for root in [0, 1] {
        openssl_crl_verify(&crl_pem(&ca, &made[0]), &root_of(&ca, root)).unwrap();
    }
    let version = CaVersion { certificate_index: 1, key_index: 0 };
    assert_eq!(parse_crl(&der(&ca, &made[0])).unwrap().ca_version, Some(version));
    let lists = [&made[0], &made[1]];
    assert_eq!([judged(&ca, &old, &lists), judged(&ca, &new, &lists)], ["revoked", "good"]);
}

#[test]
fn an_old_key_signs_lists_until_its_last_certificate_has_run_out() {
    let mut house = house(1);
    let now = house.clock.seconds();
    house.certificate = root(&house.key, now - HOUR_S, now + 5 * DAY_S);
    renew(&mut house, None, 10);
    let key = TestKey::new(KeyAlgorithm::EcdsaP256);
    renew(&mut house, Some(&key), 7300);
    let ca = house.open();
    let keys = |ca: &Ca| -> Vec<u16> {
        let made = publish(ca, BASE);
        made.iter().filter(|it| it.min_base.is_none()).map(|it| it.line.key_index).collect()
    };
    assert_eq!(keys(&ca), [0, 2]);
    wait(&ca, 9 * DAY_S);
    assert_eq!(keys(&ca), [0, 2]);
    wait(&ca, 2 * DAY_S);
    assert_eq!(keys(&ca), [2]);
    // Nobody misses the lists of the other one.
    wait(&ca, DAY_S / 2);
    let now = UnixMillis::from_unix_seconds(ca.clock.seconds());
    assert!(ca.engine.crls_due(now).unwrap().is_empty());
    assert_eq!(ca.engine.note_overdue_crls().unwrap(), None);
}

/// Random octets of serial numbers that are different, with the lots for parts in them.
fn lots(lots: &[u8]) -> Vec<[u8; 16]> {
    let octets = |&lot: &u8| {
        let mut octets: [u8; 16] = random_bytes().unwrap();
        octets[12..].copy_from_slice(&[0, 0, 0, lot]);
        octets
    };
    lots.iter().map(octets).collect()
}

#[test]
fn a_part_has_its_own_certificates_and_openssl_takes_its_list_for_no_others() {
    // Before there are parts.
    let mut house = house(1);
    let ca = house.open();
    let whole = ca.issue(plain_request());
    drop(ca);
    house.crls.partitions = 3;
    let ca = house.open();
    ca.entropy.next(&lots(&[0, 0, 1, 2]));
    let [first, held, second, third] = [(); 4].map(|()| ca.issue(plain_request()));
    for (issued, address) in [
        (&whole, "URI:http://crl.example/ca.crl"),
        (&first, "URI:http://crl.example/ca_Partition00001.crl"),
        (&third, "URI:http://crl.example/ca_Partition00003.crl"),
    ] {
        assert!(openssl_text(&issued.pem).contains(address), "{address}");
        pkilint(&issued.pem).unwrap();
    }
    for gone in [&whole, &first, &second] {
        revoke(&ca, gone, Reason::KeyCompromise);
    }
    let made = publish(&ca, BASE);
    let bases = [0, 1, 2, 3].map(|part| (CrlKind::Base, 0, part));
    assert_eq!(lines(&made[..4]), bases);
    assert_eq!(made.len(), 8);
    for (record, expected) in
        made.iter().zip([vec![whole.serial], vec![first.serial], vec![second.serial], vec![]])
    {
        assert_eq!(serials(&ca, record), expected);
        openssl_crl_verify(&crl_pem(&ca, record), &ca.root_pem()).unwrap();
        pkilint(&crl_pem(&ca, record)).unwrap();
    }
    assert_eq!(points(&ca, &made[0]), ["http://crl.example/ca.crl"]);
    assert_eq!(points(&ca, &made[2]), ["http://crl.example/ca_Partition00002.crl"]);
    assert_eq!(points(&ca, &made[6]), points(&ca, &made[2]));
    let freshest = parse_crl(&der(&ca, &made[3])).unwrap().freshest_crl;
    assert_eq!(freshest, ["http://crl.example/ca_Partition00003+.crl"]);

    let all: Vec<&CrlRecord> = made.iter().collect();
    for (issued, expected) in [
        (&whole, "revoked"),
        (&first, "revoked"),
        (&held, "good"),
        (&second, "revoked"),
        (&third, "good"),
    ] {
        assert_eq!(judged(&ca, issued, &all), expected);
    }
    // The list of another part says nothing about it.
    assert_eq!(judged(&ca, &first, &[&made[3], &made[7]]), "other scope");
    assert_eq!(judged(&ca, &first, &[&made[0], &made[4]]), "other scope");

    wait(&ca, HOUR_S);
    revoke(&ca, &held, Reason::CertificateHold);
    revoke(&ca, &third, Reason::Superseded);
    let deltas = publish(&ca, DELTA);
    assert_eq!(deltas.len(), 4);
    let mut lists: Vec<&CrlRecord> = made[..4].iter().chain(&deltas).collect();
    assert_eq!([&held, &third].map(|it| judged(&ca, it, &lists)), ["revoked"; 2]);
    wait(&ca, HOUR_S);
    ca.engine.revoke(Which::Serial(held.serial), RevokeOrder::Release, &officer()).unwrap();
    let deltas = publish(&ca, DELTA);
    lists.truncate(4);
    lists.extend(&deltas);
    assert_eq!([&held, &third].map(|it| judged(&ca, it, &lists)), ["good", "revoked"]);
}

#[test]
fn a_serial_that_was_given_up_stands_in_the_list_of_its_part() {
    let ca = house(2).open();
    let octets = lots(&[1]);
    ca.entropy.next(&octets);
    ca.key.shall(crate::support::Habit::Fail);
    ca.submit(plain_request()).unwrap_err();
    ca.key.shall(crate::support::Habit::Sign);
    let made = publish(&ca, BASE);
    let found: Vec<_> = made[..3].iter().map(|it| serials(&ca, it)).collect();
    assert_eq!(found, [vec![], vec![], vec![Serial::from_random(octets[0])]]);
}

#[test]
fn parts_come_at_once_and_go_one_list_after_their_last_certificate() {
    let mut house = house(3);
    house.crls.delta_period = None;
    let ca = house.open();
    ca.entropy.next(&lots(&[2]));
    let issued = ca.issue(plain_request());
    revoke(&ca, &issued, Reason::Superseded);
    let parts = |ca: &Ca| lines(&publish(ca, BASE)).iter().map(|it| it.2).collect::<Vec<_>>();
    assert_eq!(parts(&ca), [0, 1, 2, 3]);
    drop(ca);
    house.crls.partitions = 5;
    let ca = house.open();
    let now = UnixMillis::from_unix_seconds(ca.clock.seconds());
    assert_eq!(ca.engine.crls_due(now).unwrap(), BASE);
    assert_eq!(parts(&ca), [0, 1, 2, 3, 4, 5]);
    drop(ca);
    // Only one of them has a certificate.
    house.crls.partitions = 1;
    let ca = house.open();
    let issued = ca.issue(plain_request());
    assert!(openssl_text(&issued.pem).contains("URI:http://crl.example/ca.crl"));
    assert_eq!(parts(&ca), [0, 3]);
    assert_eq!(points(&ca, &ca.engine.current_crls().unwrap()[0]), ["http://crl.example/ca.crl"]);
    wait(&ca, 91 * DAY_S);
    assert_eq!(parts(&ca), [0, 3]);
    assert_eq!(parts(&ca), [0]);
    // Whole again, and nothing says otherwise.
    assert_eq!(points(&ca, &ca.engine.current_crls().unwrap()[0]), [""; 0]);
}

#[test]
fn parts_without_addresses_of_their_own_are_refused() {
    let mut bad = house(3);
    bad.publication.crl_distribution_points = vec!["http://crl.example/ca.crl".to_owned()];
    create_store(&bad.folder.path().join("store.db"));
    let store = Store::open(&bad.folder.path().join("store.db")).unwrap();
    let err: EngineError = bad.try_open(store, Box::new(bad.entropy.clone())).unwrap_err();
    assert_eq!(err.code(), "ca-crl-invalid");

    let mut house = house(2);
    let ca = house.open();
    ca.issue(plain_request());
    drop(ca);
    house.crls.partitions = 1;
    // Certificates are in parts still: their lists would have no place, and no others would be made.
    let try_open = |house: &House| {
        let store = Store::open(&house.folder.path().join("store.db")).unwrap();
        house.try_open(store, Box::new(house.entropy.clone())).map(|_| ())
    };
    house.crls.issuing_distribution_point = vec![POINT.to_owned()];
    house.publication.crl_distribution_points.clear();
    try_open(&house).unwrap();
    house.crls.issuing_distribution_point.clear();
    assert_eq!(try_open(&house).unwrap_err().code(), "ca-crl-invalid");
    house.publication.crl_distribution_points = vec![POINT.to_owned()];
    house.crls.freshest_crl = vec!["http://crl.example/ca+.crl".to_owned()];
    assert_eq!(try_open(&house).unwrap_err().code(), "ca-crl-invalid");
    house.clock.set(house.clock.seconds() + 365 * DAY_S);
    try_open(&house).unwrap();
}

#[test]
fn deltas_end_with_an_empty_one_on_a_base_that_names_none() {
    let mut house = house(1);
    let ca = house.open();
    let issued = ca.issue(plain_request());
    publish(&ca, BASE);
    wait(&ca, HOUR_S);
    revoke(&ca, &issued, Reason::KeyCompromise);
    publish(&ca, DELTA);
    drop(ca);

    house.crls.delta_period = None;
    let ca = house.open();
    let now = || UnixMillis::from_unix_seconds(ca.clock.seconds());
    assert_eq!(ca.engine.crls_due(now()).unwrap(), BASE);
    let made = ca.engine.publish_due_crls().unwrap();
    let [base, shadow] = made.as_slice() else { panic!("{made:?}") };
    assert_eq!((base.entries, base.shadow), (1, false));
    assert_eq!((shadow.line.kind, shadow.entries, shadow.shadow), (CrlKind::Delta, 0, true));
    assert_eq!((shadow.number, shadow.min_base), (base.number, Some(base.number)));
    assert_eq!(shadow.next_update, base.next_update);
    assert!(parse_crl(&der(&ca, base)).unwrap().freshest_crl.is_empty());
    openssl_crl_verify(&crl_pem(&ca, shadow), &ca.root_pem()).unwrap();
    assert_eq!(judged(&ca, &issued, &[base, shadow]), "revoked");
    // Once.
    assert!(ca.engine.crls_due(now()).unwrap().is_empty());
    assert_eq!(publish(&ca, BASE).len(), 1);
    assert!(ca.engine.current_crls().unwrap()[1].shadow);
}

#[test]
fn a_list_that_nobody_needs_any_more_is_removed_with_its_file() {
    let house = house(1);
    let ca = house.open();
    let files = || {
        let found = fs::read_dir(house.folder.path().join("crls")).unwrap();
        let mut names: Vec<_> =
            found.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    // One for a year, and one a day after it.
    let next_publish = Some(UnixMillis::from_unix_seconds(ca.clock.seconds() + 365 * DAY_S));
    publish(&ca, CrlOrder { next_publish, ..BASE });
    wait(&ca, DAY_S);
    publish(&ca, BASE);
    wait(&ca, DAY_S);
    // The long one does not make deltas long.
    assert_eq!(publish(&ca, DELTA)[0].min_base, Some(CrlNumber(2)));
    assert_eq!(files().len(), 5);
    // Kept for 30 days after they ran out.
    wait(&ca, 30 * DAY_S);
    publish(&ca, BASE);
    // The first delta is gone.
    assert_eq!(files().len(), 6);
    wait(&ca, 30 * DAY_S);
    publish(&ca, BASE);
    let left = ["1-0-0-base.crl", "4-0-0-base.crl", "4-0-0-delta.crl", "5-0-0-base.crl"];
    assert_eq!(files()[..4], left);
    assert_eq!(files()[4..], ["5-0-0-delta.crl"]);
    let known: Vec<_> = ca.engine.store().crls(None, 99).unwrap();
    let mut known: Vec<_> = known.iter().map(CrlRecord::file_name).collect();
    known.sort();
    assert_eq!(known, files());
    // However late: the newest stay.
    wait(&ca, 1000 * DAY_S);
    ca.engine.publish_crls(BASE, None).unwrap();
    let kept = ["5-0-0-base.crl", "6-0-0-base.crl", "6-0-0-delta.crl"];
    assert_eq!(files().iter().filter(|it| !kept.contains(&it.as_str())).count(), 0);
}

#[test]
fn a_list_that_ran_out_is_told_once_and_again_when_the_next_one_does() {
    let ca = house(2).open();
    publish(&ca, BASE);
    assert_eq!(ca.engine.note_overdue_crls().unwrap(), None);
    wait(&ca, 3 * DAY_S);
    // Of a delta and its parts: three lists.
    assert!(ca.engine.note_overdue_crls().unwrap().is_some());
    let event = ca.last_event();
    assert_eq!(event.kind.word(), "crl-publication-failed");
    assert!(event.detail.contains(&("Lists".to_owned(), "3".to_owned())), "{:?}", event.detail);
    assert_eq!(ca.engine.note_overdue_crls().unwrap(), None);
    publish(&ca, BASE);
    assert_eq!(ca.engine.note_overdue_crls().unwrap(), None);
    wait(&ca, 9 * DAY_S);
    assert!(ca.engine.note_overdue_crls().unwrap().is_some());
    assert!(ca.last_event().detail.contains(&("Lists".to_owned(), "6".to_owned())));
}
