//! A CA that was renewed: whose key is which, what a start makes of other certificates than before, and
//! keys that vouch for each other.

use std::path::PathBuf;

use exeunt_engine::{CaProfile, EngineError, Publication, Renewal, renewed_root};
use exeunt_keys::random_bytes;
use exeunt_store::Store;
use exeunt_testkit::foreign::{openssl_text, pkilint};
use exeunt_testkit::tools;
use exeunt_types::{
    EventKind, EventSeq, KeyAlgorithm, RequestFlags, Serial, SubjectKey, UnixMillis,
};
use exeunt_x509::{CaVersion, Name, encode_pem, parse_certificate};

use crate::crls::{BASE, publish};
use crate::support::{Ca, DAY_S, HOUR_S, Habit, House, TestKey, plain_request};

/// A root certificate of the house's name, as a renewal makes it.
fn renewed(house: &House, key: &TestKey, index: u16, key_index: u16) -> Vec<u8> {
    let now = house.clock.seconds();
    renewed_for(house, key, (index, key_index), (now - HOUR_S, now + 7300 * DAY_S))
}

/// The same, for that time.
pub fn renewed_for(
    house: &House,
    key: &TestKey,
    (index, key_index): (u16, u16),
    (not_before, not_after): (i64, i64),
) -> Vec<u8> {
    let profile = CaProfile {
        subject: Name::parse("CN=Test Root,O=Exeunt,C=DE").unwrap(),
        not_before: UnixMillis::from_unix_seconds(not_before),
        not_after: UnixMillis::from_unix_seconds(not_after),
    };
    let version = CaVersion { certificate_index: index, key_index };
    let renewal = Renewal { version, previous: Some(&house.certificate) };
    renewed_root(key, &profile, Serial::from_random(random_bytes().unwrap()), renewal).unwrap()
}

/// A house that had its key renewed, then its certificate.
pub fn house_with(keys: &[Option<TestKey>]) -> House {
    let mut house = House::new();
    let (mut key, mut key_index) = (house.key.clone(), 0);
    for (index, new) in (1..).zip(keys) {
        if let Some(new) = new {
            (key, key_index) = (new.clone(), index);
        }
        let certificate = renewed(&house, &key, index, key_index);
        house.renewals.push((certificate, new.clone()));
    }
    house
}

pub fn new_key() -> TestKey {
    TestKey::new(KeyAlgorithm::EcdsaP256)
}

fn pem(der: &[u8]) -> String {
    encode_pem("CERTIFICATE", der)
}

/// `openssl verify` with one trusted certificate and others to find a way by.
fn openssl_path(leaf: &str, trusted: &str, between: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let words = "verify -x509_strict -no-CApath -no-CAstore -CAfile";
    let mut args: Vec<PathBuf> = words.split(' ').map(PathBuf::from).collect();
    args.push(file("trusted", trusted));
    if !between.is_empty() {
        args.extend(["-untrusted".into(), file("between", between)]);
    }
    args.push(file("leaf", leaf));
    let output = tools::run(tools::openssl(), args, &[]);
    let said = [output.stdout, output.stderr].concat();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8(said).unwrap()) }
}

#[test]
fn each_certificate_knows_whose_key_it_has_and_the_newest_one_with_it_owns_the_lists() {
    // The original's example: new, reuse, reuse, new, reuse, new, reuse.
    let house =
        house_with(&[Some(new_key()), None, None, Some(new_key()), None, Some(new_key()), None]);
    let ca = house.open();
    let list = ca.engine.ca();
    let indexes: Vec<_> =
        list.certificates().iter().map(|it| (it.index(), it.key_index())).collect();
    assert_eq!(indexes, [(0, 0), (1, 1), (2, 1), (3, 1), (4, 4), (5, 4), (6, 6), (7, 6)]);
    let owners: Vec<_> = list.owners().map(|it| it.index()).collect();
    assert_eq!(owners, [0, 3, 5, 7]);
    assert_eq!(list.current().index(), 7);
    let extension = |index: usize| {
        let own = parse_certificate(list.certificates()[index].issuer().der()).unwrap();
        own.extensions().iter().find(|it| it.oid.to_string() == "1.3.6.1.4.1.311.21.1").cloned()
    };
    // Low 16 bits the certificate, high 16 bits the key: 4 * 65536 + 5.
    assert_eq!(extension(5).unwrap().value, [2, 3, 4, 0, 5]);
    // The newest one issues, and the row says by which key.
    let issued = ca.issue(plain_request());
    let record = ca.engine.store().certificate(&issued.serial).unwrap().unwrap();
    assert_eq!(record.certificate.ca_key, 6);
}

#[test]
fn a_start_with_another_past_is_refused() {
    let folder_of = |house: &House| house.folder.path().join("store.db");
    let start = |house: &House| -> Result<Vec<u16>, EngineError> {
        let store = Store::open(&folder_of(house)).unwrap();
        house.try_open(store, Box::new(house.entropy.clone())).unwrap().take_up_certificates()
    };
    let mut house = house_with(&[None, Some(new_key())]);
    crate::support::create_store(&folder_of(&house));
    assert_eq!(start(&house).unwrap(), [0, 1, 2]);
    assert_eq!(start(&house).unwrap(), [0; 0]);

    let whole = house.renewals.clone();
    let last = house.renewals.pop().unwrap();
    assert_eq!(start(&house).unwrap_err().code(), "ca-certificate-removed");
    // Another one in its place.
    let other = renewed(&house, last.1.as_ref().unwrap(), 2, 2);
    house.renewals.push((other, last.1.clone()));
    let err = start(&house).unwrap_err();
    assert_eq!(err.to_string(), "certificate 2 of the CA is not the one that it was");
    // Another order.
    house.renewals = vec![whole[1].clone(), (whole[0].0.clone(), Some(house.key.clone()))];
    assert_eq!(start(&house).unwrap_err().code(), "ca-certificate-changed");
    // And nothing of all that was written down.
    house.renewals = whole;
    assert_eq!(start(&house).unwrap(), [0; 0]);
    let later = renewed(&house, last.1.as_ref().unwrap(), 3, 2);
    house.renewals.push((later, None));
    assert_eq!(start(&house).unwrap(), [3]);
}

#[test]
fn modules_hear_of_every_certificate_but_the_first() {
    let house = house_with(&[None, Some(new_key())]);
    let ca = house.open();
    ca.engine.take_up_certificates().unwrap();
    let events = ca.engine.store().events_after(EventSeq(0), 10).unwrap();
    let told: Vec<_> = events.iter().map(|it| (it.kind, it.subject)).collect();
    assert_eq!(told, [(EventKind::CA_CERT_ISSUED, SubjectKey::Ca); 2]);
    let detail = |index: usize, name: &str| {
        let found = events[index].detail.iter().find(|(it, _)| it == name);
        found.unwrap().1.clone()
    };
    assert_eq!((detail(0, "CertSuffix"), detail(0, "CRLIndex")), ("(1)".into(), "0".into()));
    assert_eq!((detail(1, "CertIndex"), detail(1, "CRLIndex")), ("2".into(), "2".into()));
    let audit = crate::support::deeds(ca.engine.store());
    let objects: Vec<_> = audit.into_iter().map(|it| it.object).collect();
    assert_eq!(objects, ["ca:0", "ca:1", "ca:2"]);
}

#[test]
fn keys_of_a_root_vouch_for_each_other_and_openssl_finds_the_way() {
    let mut house = House::new();
    let old_leaf = house.open().issue(plain_request()).pem;
    let key = TestKey::new(KeyAlgorithm::EcdsaP384);
    house.renewals.push((renewed(&house, &house.key, 1, 0), None));
    house.renewals.push((renewed(&house, &key, 2, 2), Some(key)));
    let ca = house.open();
    ca.engine.take_up_certificates().unwrap();
    ca.engine.cross_certify().unwrap();
    let crosses = ca.engine.cross_certificates();
    let names: Vec<_> = crosses.iter().map(|it| it.suffix()).collect();
    assert_eq!(names, ["(1-2)", "(2-1)"]);
    let [old_signs_new, new_signs_old] = [&crosses[0].der, &crosses[1].der].map(|it| pem(it));

    let new_leaf = ca.issue(plain_request()).pem;
    let root = |index: u16| pem(ca.engine.ca().by_index(index).unwrap().issuer().der());
    // Whoever trusts a root believes what that root's key signed.
    openssl_path(&old_leaf, &root(0), "").unwrap();
    openssl_path(&old_leaf, &root(1), "").unwrap();
    openssl_path(&new_leaf, &root(2), "").unwrap();
    // What the other key signed takes the right cross certificate.
    openssl_path(&new_leaf, &root(0), "").unwrap_err();
    openssl_path(&new_leaf, &root(0), &new_signs_old).unwrap_err();
    openssl_path(&new_leaf, &root(0), &old_signs_new).unwrap();
    openssl_path(&new_leaf, &root(1), &old_signs_new).unwrap();
    openssl_path(&old_leaf, &root(2), "").unwrap_err();
    openssl_path(&old_leaf, &root(2), &new_signs_old).unwrap();
    for each in [&old_signs_new, &new_signs_old] {
        pkilint(each).unwrap();
    }

    // They are on record, under the key that signed them, as what they are.
    let rows: Vec<_> = ca.engine.store().requests(None, 10).unwrap();
    let on_record: Vec<_> =
        rows.iter().filter(|it| it.request.flags == RequestFlags::CA_CROSS_CERT).collect();
    assert_eq!(on_record.len(), 2);
    let keys: Vec<_> = crosses
        .iter()
        .map(|it| {
            let serial = parse_certificate(&it.der).unwrap().serial();
            let record = ca.engine.store().certificate(&serial).unwrap().unwrap();
            assert_eq!(record.template, "cross-ca");
            record.certificate.ca_key
        })
        .collect();
    assert_eq!(keys, [0, 2]);

    // Another start finds them.
    let before = ca.counts();
    drop(ca);
    let ca = house.open();
    assert_eq!(ca.engine.take_up_certificates().unwrap(), [0; 0]);
    ca.engine.cross_certify().unwrap();
    assert_eq!(ca.engine.cross_certificates(), crosses);
    assert_eq!(ca.counts(), before);
}

#[test]
fn a_key_that_has_expired_vouches_for_nobody() {
    let house = house_with(&[Some(new_key())]);
    // The first certificate of the house is valid for ten years, the second one for twenty.
    house.clock.set(house.clock.seconds() + 3651 * DAY_S);
    let ca = house.open();
    ca.engine.cross_certify().unwrap();
    assert_eq!(ca.engine.cross_certificates(), []);
    assert_eq!(ca.counts(), (0, 0, 0));
}

#[test]
fn a_key_that_is_away_keeps_no_others_from_vouching() {
    let house = house_with(&[Some(new_key()), Some(new_key())]);
    house.key.shall(Habit::Fail);
    let ca = house.open();
    assert!(ca.engine.cross_certify().is_err());
    let names = |ca: &Ca| -> Vec<_> {
        ca.engine.cross_certificates().iter().map(|it| it.suffix()).collect()
    };
    assert_eq!(names(&ca), ["(1-2)", "(2-1)"]);
    house.key.shall(Habit::Sign);
    ca.engine.cross_certify().unwrap();
    assert_eq!(names(&ca), ["(0-1)", "(1-0)", "(1-2)", "(2-1)"]);
}

#[test]
fn addresses_name_the_files_of_the_certificate_and_key_that_sign() {
    let mut house = house_with(&[None, Some(new_key()), None]);
    house.publication = Publication {
        crl_distribution_points: vec!["http://pki.test/ca%8%9.crl".to_owned()],
        ca_issuers: vec!["http://pki.test/ca%4.crt".to_owned()],
        ocsp: Vec::new(),
    };
    let ca = house.open();
    ca.engine.cross_certify().unwrap();
    let leaf = openssl_text(&ca.issue(plain_request()).pem);
    for address in ["URI:http://pki.test/ca(2).crl", "URI:http://pki.test/ca(3).crt"] {
        assert!(leaf.contains(address), "{leaf}");
    }
    // What the old key signed points to the old key's list.
    let crosses = ca.engine.cross_certificates();
    let by_old = openssl_text(&pem(&crosses[0].der));
    for address in ["URI:http://pki.test/ca.crl", "URI:http://pki.test/ca(1).crt"] {
        assert!(by_old.contains(address), "{by_old}");
    }
}

#[test]
fn a_certificate_whose_time_is_still_to_come_holds_nothing_up() {
    for new in [None, Some(new_key())] {
        let mut house = House::new();
        let (now, later) = (house.clock.seconds(), house.clock.seconds() + 30 * DAY_S);
        let key = new.clone().unwrap_or_else(|| house.key.clone());
        let key_index = u16::from(new.is_some());
        let second = renewed_for(&house, &key, (1, key_index), (later, now + 7300 * DAY_S));
        house.renewals.push((second.clone(), new));
        let ca = house.open();
        ca.engine.cross_certify().unwrap();
        let issued = ca.issue(plain_request());
        openssl_path(&issued.pem, &pem(&house.certificate), "").unwrap();
        let made = publish(&ca, BASE);
        assert_eq!(made.iter().map(|it| it.line.key_index).collect::<Vec<_>>(), [0]);
        assert!(made[0].this_update.unix_seconds() <= now);
        assert!(ca.engine.crls_due(UnixMillis::from_unix_seconds(now)).unwrap().is_empty());

        // From then on it issues, and its key has its lists.
        house.clock.set(later + HOUR_S);
        let issued = ca.issue(plain_request());
        let record = ca.engine.store().certificate(&issued.serial).unwrap().unwrap();
        assert_eq!(record.certificate.ca_key, key_index);
        let keys: Vec<_> = publish(&ca, BASE).iter().map(|it| it.line.key_index).collect();
        assert_eq!(keys, if key_index == 0 { vec![0] } else { vec![0, 1] });
    }
}
