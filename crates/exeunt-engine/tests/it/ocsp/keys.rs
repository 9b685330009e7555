//! Answers of a CA that was renewed: each key speaks for what it has signed. And answers that are kept.

use exeunt_engine::{OCSP_KEPT_REQUEST_BYTES_MAX, OcspSettings};
use exeunt_types::{RevocationReason as Reason, Serial};
use exeunt_x509::{OcspRefusal, encode_pem};

use super::{Client, house, refusal, responders, revoke};
use crate::renewal::{house_with, new_key, renewed_for};
use crate::support::{Ca, DAY_S, Habit, House, plain_request};

/// A client that knows this certificate of the CA.
fn client_of(ca: &Ca, index: u16) -> Client {
    let certificate = ca.engine.ca().by_index(index).unwrap().issuer().der();
    let mut client = Client::new(ca);
    client.issuer = client.write("root.pem", encode_pem("CERTIFICATE", certificate).as_bytes());
    client
}

/// The first word of what openssl reads.
#[track_caller]
fn word(client: &Client, ca: &Ca, serial: Serial) -> String {
    client.status(ca, serial).split(' ').next().unwrap().to_owned()
}

/// A CA with a new key and then that key once more, and a certificate by each of the two keys.
fn renewed_with(habit: Habit) -> (Ca, [Serial; 2]) {
    let mut house = house_with(&[Some(new_key()), None]);
    let renewals = std::mem::take(&mut house.renewals);
    let before = house.open();
    let old = before.issue(plain_request()).serial;
    drop(before);
    house.renewals = renewals;
    let ca = house.open();
    let new = ca.issue(plain_request()).serial;
    house.key.shall(habit);
    (ca, [old, new])
}

#[test]
fn each_key_answers_by_a_responder_of_its_own_for_what_it_has_signed() {
    let (ca, [old, new]) = renewed_with(Habit::Sign);
    let [first, second, third] = [0, 1, 2].map(|it| client_of(&ca, it));
    assert_eq!(word(&first, &ca, old), "good");
    assert_eq!(word(&second, &ca, new), "good");
    // Who knows the newer certificate of the same key asks with the same hashes.
    assert_eq!(word(&third, &ca, new), "good");
    assert_eq!(word(&first, &ca, new), "unknown");
    assert_eq!(word(&second, &ca, old), "unknown");
    let keys: Vec<_> = responders(&ca).iter().map(|it| it.certificate.ca_key).collect();
    assert_eq!(keys, [0, 1]);
    assert_eq!(ca.engine.ca().current().key_index(), 1);

    revoke(&ca, old, Reason::Superseded);
    assert_eq!(word(&first, &ca, old), "revoked");
    assert_eq!(word(&second, &ca, old), "unknown");
    assert_eq!(word(&second, &ca, new), "good");

    // One responder cannot speak for both keys.
    let path = first.folder.path().join("request.der").display().to_string();
    let words = format!(
        "ocsp -no_nonce -issuer ROOT -serial 0x{old} -issuer {} -serial 0x{new} -reqout {path}",
        second.issuer
    );
    assert!(first.openssl(&words).0);
    let answer = ca.engine.answer_ocsp(&std::fs::read(&path).unwrap());
    let response = first.write("response.der", &answer.der);
    let text = first.openssl(&format!("ocsp -respin {response} -noverify -resp_text")).1;
    let words: Vec<_> =
        text.lines().filter_map(|it| it.trim().strip_prefix("Cert Status: ")).collect();
    assert_eq!(words, ["revoked", "unknown"]);
}

#[test]
fn a_certificate_of_the_same_key_that_is_not_valid_yet_or_no_more_holds_no_answer_up() {
    for (begin, end) in [(30, 7300), (-30, -1)] {
        let mut house = house();
        let now = house.clock.seconds();
        let times = (now + begin * DAY_S, now + end * DAY_S);
        let second = renewed_for(&house, &house.key, (1, 0), times);
        house.renewals.push((second, None));
        let ca = house.open();
        let serial = ca.issue(plain_request()).serial;
        assert_eq!(word(&client_of(&ca, 0), &ca, serial), "good");
    }
}

#[test]
fn a_key_out_of_reach_holds_up_no_other() {
    let (ca, [old, new]) = renewed_with(Habit::Fail);
    let [first, second] = [0, 1].map(|it| client_of(&ca, it));
    let later = ca.engine.answer_ocsp(&first.ask(&[old], "-no_nonce"));
    assert_eq!(refusal(&later), Some(OcspRefusal::TryLater));
    assert_eq!(word(&second, &ca, new), "good");
}

#[test]
fn a_responder_of_an_older_key_that_is_revoked_answers_no_more() {
    let (ca, [old, new]) = renewed_with(Habit::Sign);
    let [first, second] = [0, 1].map(|it| client_of(&ca, it));
    let asked = first.ask(&[old], "-no_nonce");
    let before = ca.engine.answer_ocsp(&asked);
    assert_eq!(word(&second, &ca, new), "good");
    revoke(&ca, responders(&ca)[0].certificate.serial, Reason::KeyCompromise);
    assert_ne!(ca.engine.answer_ocsp(&asked), before);
    assert_eq!(word(&first, &ca, old), "good");
    let keys: Vec<_> = responders(&ca).iter().map(|it| it.certificate.ca_key).collect();
    assert_eq!(keys, [0, 1, 0]);
}

#[test]
fn what_is_kept_is_at_hand_until_it_is_not_true_any_more() {
    let ca = house().open();
    let issued = ca.issue(plain_request());
    let client = Client::new(&ca);
    let request = client.ask(&[issued.serial], "-no_nonce");
    assert!(request.len() < OCSP_KEPT_REQUEST_BYTES_MAX);
    assert_eq!(ca.engine.kept_ocsp_answer(&request), None);
    let answer = ca.engine.answer_ocsp(&request);
    assert_eq!(ca.engine.kept_ocsp_answer(&request), Some(answer));
    revoke(&ca, issued.serial, Reason::Superseded);
    assert_eq!(ca.engine.kept_ocsp_answer(&request), None);
    // With a nonce, of several, of unknown ones, and of no request at all nothing is kept.
    let unknown = Serial::from_random([9; 16]);
    for request in [
        client.ask(&[issued.serial], ""),
        client.ask(&[issued.serial, unknown], "-no_nonce"),
        client.ask(&[unknown], "-no_nonce"),
        b"GET / HTTP/1.1".to_vec(),
        vec![0x30; 70_000],
    ] {
        let _ = ca.engine.answer_ocsp(&request);
        assert_eq!(ca.engine.kept_ocsp_answer(&request), None);
    }
    let off = House { ocsp: OcspSettings { enabled: false, ..OcspSettings::default() }, ..house() };
    assert_eq!(off.open().engine.kept_ocsp_answer(&request), None);
}
