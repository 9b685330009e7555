//! Revocation lists under foreign eyes, step by step in the life of certificates.

use std::fs;
use std::time::Duration;

use exeunt_engine::{CrlOrder, CrlSettings, RevokeOrder, Which};
use exeunt_keys::sha256;
use exeunt_testkit::foreign::{
    openssl_crl_text, openssl_crl_verify, pkilint_many, python_crl_issued_by,
};
use exeunt_types::{
    CrlKind, CrlNumber, CrlRecord, EventKind, KeyAlgorithm, RevocationReason as Reason, Serial,
    SubjectKey, UnixMillis,
};
use exeunt_x509::{CRL_PEM_LABEL, encode_pem, parse_crl};

use crate::crl_lines::judged;
use crate::support::{
    Ca, DAY_S, HOUR_S, Habit, House, Issued, TestKey, officer, plain_request, root,
};

pub const BASE: CrlOrder = CrlOrder { base: true, delta: false, next_publish: None };
pub const DELTA: CrlOrder = CrlOrder { base: false, delta: true, next_publish: None };

/// Weekly bases, daily deltas, and every address that a list can name.
pub fn house() -> House {
    let crls = CrlSettings {
        delta_period: Some(Duration::from_hours(24)),
        freshest_crl: vec!["http://crl.example/root+.crl".to_owned()],
        published_locations: vec![
            "ldap://crl.example/cn=root?certificateRevocationList".to_owned(),
        ],
        ..CrlSettings::default()
    };
    House { crls, ..House::new() }
}

/// Has a list made and checks that what is on record is what is in the file.
#[track_caller]
pub fn publish(ca: &Ca, order: CrlOrder) -> Vec<CrlRecord> {
    let records = ca.engine.publish_crls(order, Some(&officer())).unwrap();
    for record in &records {
        let der = fs::read(ca.engine.crl_file(record)).unwrap();
        assert_eq!(record.length, u64::try_from(der.len()).unwrap());
        assert_eq!(record.sha256, sha256(&der));
        let crl = parse_crl(&der).unwrap();
        assert_eq!((crl.number, crl.base), (record.number, record.min_base));
        assert_eq!(record.min_base.is_some(), record.line.kind == CrlKind::Delta);
        assert_eq!(crl.this_update, record.this_update.unix_seconds());
        assert_eq!(crl.next_update, record.next_update.unix_seconds());
        assert_eq!(crl.next_publish, Some(record.next_publish.unix_seconds()));
        assert_eq!(u64::try_from(crl.entries().count()).unwrap(), record.entries);
    }
    let event = ca.last_event();
    assert_eq!((event.kind, event.subject), (EventKind::CRL_ISSUED, SubjectKey::Crl));
    records
}

/// The list in PEM.
fn pem(ca: &Ca, record: &CrlRecord) -> String {
    encode_pem(CRL_PEM_LABEL, &fs::read(ca.engine.crl_file(record)).unwrap())
}

/// Serial numbers and reasons in a list; no reason is a release.
fn entries(ca: &Ca, record: &CrlRecord) -> Vec<(Serial, Option<Reason>)> {
    let der = fs::read(ca.engine.crl_file(record)).unwrap();
    let crl = parse_crl(&der).unwrap();
    crl.entries().map(|it| (it.serial, it.reason)).collect()
}

fn revoke(ca: &Ca, issued: &Issued, reason: Reason) {
    let order = RevokeOrder::Revoke { reason, effective: None };
    ca.engine.revoke(Which::Serial(issued.serial), order, &officer()).unwrap();
}

fn release(ca: &Ca, issued: &Issued) {
    ca.engine.revoke(Which::Serial(issued.serial), RevokeOrder::Release, &officer()).unwrap();
}

/// Whether openssl takes the certificate, at the CA's time, with these lists.
#[track_caller]
fn accepted(ca: &Ca, issued: &Issued, lists: &[&CrlRecord]) -> bool {
    match judged(ca, issued, lists) {
        "good" => true,
        "revoked" => false,
        other => panic!("{other}"),
    }
}

fn wait(ca: &Ca, seconds: i64) {
    ca.clock.set(ca.clock.seconds() + seconds);
}

#[test]
fn openssl_follows_a_hold_its_release_and_a_revocation_through_bases_and_deltas() {
    let ca = house().open();
    let [held, gone, good] = [(); 3].map(|()| ca.issue(plain_request()));
    let first = publish(&ca, BASE);
    let [base, delta] = first.as_slice() else { panic!("{first:?}") };
    for it in [&held, &gone, &good] {
        assert!(accepted(&ca, it, &[base]));
        assert!(accepted(&ca, it, &[base, delta]));
    }

    wait(&ca, HOUR_S);
    revoke(&ca, &held, Reason::CertificateHold);
    revoke(&ca, &gone, Reason::KeyCompromise);
    let second = publish(&ca, DELTA);
    let [delta] = second.as_slice() else { panic!("{second:?}") };
    assert_eq!((delta.number, delta.min_base), (CrlNumber(2), Some(CrlNumber(1))));
    let both =
        [(held.serial, Some(Reason::CertificateHold)), (gone.serial, Some(Reason::KeyCompromise))];
    assert_eq!(entries(&ca, delta), both);
    assert!(!accepted(&ca, &held, &[base, delta]));
    assert!(!accepted(&ca, &gone, &[base, delta]));
    assert!(accepted(&ca, &good, &[base, delta]));
    assert!(accepted(&ca, &held, &[base]), "the base cannot know it");

    wait(&ca, HOUR_S);
    let third = publish(&ca, BASE);
    let [full, delta] = third.as_slice() else { panic!("{third:?}") };
    assert_eq!(entries(&ca, full), both);
    assert!(!accepted(&ca, &held, &[full]));
    // Who still has the old base learns the same from the delta of the same number.
    assert!(!accepted(&ca, &held, &[base, delta]));
    assert!(!accepted(&ca, &gone, &[base, delta]));

    wait(&ca, HOUR_S);
    release(&ca, &held);
    let fourth = publish(&ca, DELTA);
    let [delta] = fourth.as_slice() else { panic!("{fourth:?}") };
    let told = [(gone.serial, Some(Reason::KeyCompromise)), (held.serial, None)];
    assert_eq!(entries(&ca, delta), told);
    for known in [base, full] {
        assert!(accepted(&ca, &held, &[known, delta]));
        assert!(!accepted(&ca, &gone, &[known, delta]));
        assert!(accepted(&ca, &good, &[known, delta]));
    }

    wait(&ca, HOUR_S);
    let fifth = publish(&ca, BASE);
    let [last, delta] = fifth.as_slice() else { panic!("{fifth:?}") };
    assert_eq!(entries(&ca, last), [both[1]]);
    assert!(accepted(&ca, &held, &[last]) && accepted(&ca, &held, &[last, delta]));
    assert!(!accepted(&ca, &gone, &[last]));
    let issued = "issued issued issued crl-issued revoked revoked crl-issued crl-issued unrevoked \
                  crl-issued crl-issued";
    assert_eq!(ca.kinds().join(" "), issued);

    // Strangers on all of them.
    let all: Vec<CrlRecord> = [first, second, third, fourth, fifth].concat();
    let mut documents = Vec::new();
    for record in &all {
        let pem = pem(&ca, record);
        openssl_crl_verify(&pem, &ca.root_pem()).unwrap();
        documents.push((record.file_name(), pem));
    }
    let documents = documents.iter().map(|(name, pem)| (name.as_str(), pem.as_str()));
    pkilint_many(documents).unwrap_or_else(|findings| panic!("{findings}"));
    let text = openssl_crl_text(&pem(&ca, &all[0]));
    for words in ["root+.crl", "X509v3 CRL Number: \n                1\n", "1.3.6.1.4.1.311.21.4"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn every_kind_of_key_signs_lists() {
    for algorithm in KeyAlgorithm::KEY_TYPES {
        let house = House { crls: house().crls, ..House::with_key(TestKey::new(algorithm)) };
        let ca = house.open();
        let issued = ca.issue(plain_request());
        revoke(&ca, &issued, Reason::Superseded);
        for record in publish(&ca, BASE) {
            assert_eq!(record.entries, 1);
            python_crl_issued_by(&pem(&ca, &record), &ca.root_pem()).unwrap();
        }
    }
}

#[test]
fn a_delta_serves_whoever_has_a_base_that_still_counts() {
    let ca = house().open();
    let [first, second] = [(); 2].map(|()| ca.issue(plain_request()));
    let old = publish(&ca, BASE).remove(0);
    wait(&ca, HOUR_S);
    revoke(&ca, &first, Reason::Superseded);
    // Longer than the allowance for slow clocks, in which a delta repeats what its base knows.
    wait(&ca, HOUR_S);
    let new = publish(&ca, BASE).remove(0);
    wait(&ca, HOUR_S);
    revoke(&ca, &second, Reason::Superseded);
    let delta = publish(&ca, DELTA).remove(0);
    assert_eq!(delta.min_base, Some(old.number));
    for base in [&old, &new] {
        for gone in [&first, &second] {
            assert!(!accepted(&ca, gone, &[base, &delta]));
        }
    }
    // When the old one has run out, deltas become short again.
    ca.clock.set(old.next_update.unix_seconds() + 1);
    let delta = publish(&ca, DELTA).remove(0);
    assert_eq!(delta.min_base, Some(new.number));
    assert_eq!(entries(&ca, &delta), [(second.serial, Some(Reason::Superseded))]);
}

#[test]
fn the_lists_of_a_run_share_a_number_and_no_two_runs_do() {
    let ca = house().open();
    let numbers = |records: &[CrlRecord]| -> Vec<_> {
        records.iter().map(|it| (it.line.kind.word(), it.number.0)).collect()
    };
    assert_eq!(numbers(&publish(&ca, BASE)), [("base", 1), ("delta", 1)]);
    assert_eq!(numbers(&publish(&ca, DELTA)), [("delta", 2)]);
    let both = CrlOrder { delta: true, ..BASE };
    assert_eq!(numbers(&publish(&ca, both)), [("base", 3), ("delta", 3)]);
    let current = ca.engine.current_crls().unwrap();
    assert_eq!(numbers(&current), [("base", 3), ("delta", 3)]);
    assert_eq!(ca.audited()[1], "local:0 crl-publish crl:2 delta");
    // Nobody ordered it: nobody is named.
    ca.engine.publish_crls(BASE, None).unwrap();
    assert_eq!(ca.audited().len(), 3);
    let detail = ca.last_event().detail;
    assert!(detail.contains(&("Number".to_owned(), "4".to_owned())), "{detail:?}");
}

#[test]
fn an_order_that_makes_no_sense_makes_no_list() {
    let ca = house().open();
    let code = |ca: &Ca, order| ca.engine.publish_crls(order, None).unwrap_err().code();
    assert_eq!(code(&ca, CrlOrder::default()), "crl-nothing-ordered");
    assert_eq!(code(&ca, DELTA), "crl-no-base");
    let at = |seconds| Some(UnixMillis::from_unix_seconds(ca.clock.seconds() + seconds));
    assert_eq!(code(&ca, CrlOrder { next_publish: at(0), ..BASE }), "crl-next-publish-past");

    let without = House { crls: CrlSettings::default(), ..House::new() }.open();
    assert_eq!(code(&without, DELTA), "crl-deltas-off");
    assert_eq!(publish(&without, BASE).len(), 1);

    let crls = CrlSettings { period: Duration::ZERO, ..CrlSettings::default() };
    let off = House { crls, ..House::new() }.open();
    assert_eq!(code(&off, BASE), "crl-off");
    // But for the operator who says when the next one comes.
    let record = publish(&off, CrlOrder { next_publish: at(DAY_S), ..BASE }).remove(0);
    assert_eq!(Some(record.next_publish), at(DAY_S));
    // No number was drawn for what was refused.
    assert_eq!(record.number, CrlNumber(1));
}

/// Or deltas would stop for as long as the operator gave the base.
#[test]
fn a_delta_that_comes_along_keeps_its_own_pace() {
    let ca = house().open();
    let now = ca.clock.seconds();
    let at = |days| UnixMillis::from_unix_seconds(now + days * DAY_S);
    let next = |order| publish(&ca, order).iter().map(|it| it.next_publish).collect::<Vec<_>>();
    let base = CrlOrder { next_publish: Some(at(30)), ..BASE };
    assert_eq!(next(base), [at(30), at(1)]);
    assert_eq!(next(CrlOrder { delta: true, ..base }), [at(30), at(30)]);
    assert_eq!(next(CrlOrder { next_publish: Some(at(2)), ..DELTA }), [at(2)]);
}

/// A revocation names a moment and is committed a little later: between them a list may be made.
#[test]
fn a_delta_looks_back_further_than_its_base_even_where_clocks_are_trusted() {
    let crls = CrlSettings { clock_skew: Duration::ZERO, ..house().crls };
    let ca = House { crls, ..House::new() }.open();
    let issued = ca.issue(plain_request());
    revoke(&ca, &issued, Reason::Superseded);
    wait(&ca, 59);
    let records = publish(&ca, BASE);
    assert_eq!(records[0].this_update, records[0].this_publish);
    assert_eq!(records.iter().map(|it| it.entries).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(publish(&ca, DELTA)[0].entries, 1);
}

#[test]
fn a_delta_tells_what_was_revoked_after_the_clock_was_put_back() {
    let ca = house().open();
    let issued = ca.issue(plain_request());
    let base = publish(&ca, BASE);
    wait(&ca, -HOUR_S);
    revoke(&ca, &issued, Reason::KeyCompromise);
    let delta = publish(&ca, DELTA);
    assert_eq!(delta[0].min_base, Some(base[0].number));
    assert_eq!(entries(&ca, &delta[0]), [(issued.serial, Some(Reason::KeyCompromise))]);
}

#[test]
fn lists_are_due_when_there_is_none_and_when_their_time_has_come() {
    let ca = house().open();
    let now = || UnixMillis::from_unix_seconds(ca.clock.seconds());
    let due = |at| ca.engine.crls_due(at).unwrap();
    assert_eq!(due(now()), CrlOrder { delta: true, ..BASE });
    let first = publish(&ca, BASE);
    assert_eq!(due(now()), CrlOrder::default());
    assert!(due(now()).is_empty());
    assert_eq!(due(UnixMillis(first[1].next_publish.0 - 1)), CrlOrder::default());
    assert_eq!(due(first[1].next_publish), DELTA);
    assert_eq!(due(first[0].next_publish), CrlOrder { delta: true, ..BASE });

    let crls = CrlSettings { period: Duration::ZERO, ..house().crls };
    let off = House { crls, ..House::new() }.open();
    assert!(off.engine.crls_due(now()).unwrap().is_empty());
    // A base that the operator had made is enough for deltas, as long as it counts.
    let next_publish = Some(UnixMillis::from_unix_seconds(off.clock.seconds() + DAY_S));
    let records = publish(&off, CrlOrder { next_publish, ..BASE });
    assert_eq!(off.engine.crls_due(records[1].next_publish).unwrap(), DELTA);
    let after = UnixMillis(records[0].next_update.0 + 1);
    assert!(off.engine.crls_due(after).unwrap().is_empty());
    let without = House::new().open();
    assert_eq!(without.engine.crls_due(now()).unwrap(), BASE);
}

#[test]
fn lists_are_due_whose_file_is_gone_or_whose_clock_was_ahead() {
    let ca = house().open();
    let due = || {
        let now = UnixMillis::from_unix_seconds(ca.clock.seconds());
        ca.engine.crls_due(now).unwrap()
    };
    let both = CrlOrder { delta: true, ..BASE };
    let records = publish(&ca, BASE);
    assert_eq!(due(), CrlOrder::default());
    fs::write(ca.engine.crl_file(&records[1]), b"").unwrap();
    assert_eq!(due(), DELTA);
    fs::remove_file(ca.engine.crl_file(&records[0])).unwrap();
    assert_eq!(due(), both);
    ca.engine.publish_due_crls().unwrap();
    assert_eq!(due(), CrlOrder::default());

    // Else it would seem fresh for a year.
    wait(&ca, 365 * DAY_S);
    publish(&ca, BASE);
    wait(&ca, -365 * DAY_S);
    assert_eq!(due(), both);
    ca.engine.publish_due_crls().unwrap();
    assert_eq!(due(), CrlOrder::default());
}

#[test]
fn a_list_begins_with_the_ca_at_the_earliest() {
    let mut house = house();
    let born = house.clock.seconds() - 60;
    house.certificate = root(&house.key, born, born + 3650 * DAY_S);
    let ca = house.open();
    let record = publish(&ca, BASE).remove(0);
    assert_eq!(record.this_update.unix_seconds(), born);
}

#[test]
fn a_revocation_that_lies_ahead_stands_in_lists_from_its_day_on() {
    let ca = house().open();
    let issued = ca.issue(plain_request());
    publish(&ca, BASE);
    wait(&ca, HOUR_S);
    let effective = Some(UnixMillis::from_unix_seconds(ca.clock.seconds() + DAY_S));
    let order = RevokeOrder::Revoke { reason: Reason::CessationOfOperation, effective };
    ca.engine.revoke(Which::Request(issued.request), order, &officer()).unwrap();
    let count = |order| publish(&ca, order).iter().map(|it| it.entries).collect::<Vec<_>>();
    assert_eq!(count(BASE), [0, 0]);
    wait(&ca, DAY_S - 1);
    assert_eq!(count(DELTA), [0]);
    wait(&ca, 1);
    assert_eq!(count(DELTA), [1]);
    assert_eq!(count(BASE), [1, 1]);
    let record = ca.engine.current_crls().unwrap().remove(0);
    assert!(!accepted(&ca, &issued, &[&record]));
}

#[test]
fn what_ran_out_stands_in_one_more_list_or_for_ever() {
    let ca = House::new().open();
    let [short, kept] = [(); 2].map(|()| ca.issue(plain_request()));
    for it in [&short, &kept] {
        revoke(&ca, it, Reason::KeyCompromise);
    }
    let stays = RevokeOrder::PublishExpired(true);
    ca.engine.revoke(Which::Serial(kept.serial), stays, &officer()).unwrap();
    let listed = || {
        let record = publish(&ca, BASE).remove(0);
        entries(&ca, &record).into_iter().map(|it| it.0).collect::<Vec<_>>()
    };
    assert_eq!(listed(), [short.serial, kept.serial]);
    wait(&ca, 91 * DAY_S);
    assert_eq!(listed(), [short.serial, kept.serial]);
    wait(&ca, DAY_S);
    assert_eq!(listed(), [kept.serial]);
    wait(&ca, 1000 * DAY_S);
    assert_eq!(listed(), [kept.serial]);
}

/// A signature may be out for it.
#[test]
fn a_serial_that_was_given_up_counts_as_revoked() {
    let ca = house().open();
    publish(&ca, BASE);
    wait(&ca, HOUR_S);
    ca.entropy.next(&[[0x47; 16]]);
    ca.key.shall(Habit::Fail);
    ca.submit(plain_request()).unwrap_err();
    ca.key.shall(Habit::Sign);
    let expected = [(Serial::from_random([0x47; 16]), Some(Reason::Unspecified))];
    for order in [DELTA, BASE] {
        for record in publish(&ca, order) {
            assert_eq!(entries(&ca, &record), expected);
        }
    }
}

#[test]
fn a_list_says_where_it_is_found() {
    let mut house = house();
    let uri = "http://crl.example/root.crl";
    house.publication.crl_distribution_points = vec![uri.to_owned()];
    house.crls.issuing_distribution_point = vec![uri.to_owned()];
    let ca = house.open();
    let issued = ca.issue(plain_request());
    let records = publish(&ca, BASE);
    let text = openssl_crl_text(&pem(&ca, &records[0]));
    assert!(text.contains("Issuing Distribution Point: critical"), "{text}");
    assert!(accepted(&ca, &issued, &[&records[0], &records[1]]));
    revoke(&ca, &issued, Reason::AffiliationChanged);
    let delta = publish(&ca, DELTA).remove(0);
    assert!(!accepted(&ca, &issued, &[&records[0], &delta]));
}

#[test]
fn addresses_that_verifiers_cannot_use_are_refused_at_the_start() {
    for place in 0..3 {
        let mut house = house();
        let uris = match place {
            0 => &mut house.crls.freshest_crl,
            1 => &mut house.crls.issuing_distribution_point,
            _ => &mut house.crls.published_locations,
        };
        *uris = vec!["crl example".to_owned()];
        let path = house.folder.path().join("store.db");
        crate::support::create_store(&path);
        let store = exeunt_store::Store::open(&path).unwrap();
        let err = house.try_open(store, Box::new(house.entropy.clone())).unwrap_err();
        assert_eq!(err.code(), "ca-publication-invalid");
    }
}
