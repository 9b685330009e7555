//! Answers by OCSP under foreign eyes: `openssl ocsp` asks, and judges what it is told.

mod keys;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use exeunt_engine::{EngineError, OCSP_VALIDITY_MAX, OcspAnswer, OcspSettings, RevokeOrder, Which};
use exeunt_keys::SoftwareKey;
use exeunt_store::Store;
use exeunt_testkit::{foreign, tools};
use exeunt_types::{
    CertificateRecord, Disposition, EventKind, KeyAlgorithm, RevocationReason as Reason, Serial,
    SignatureScheme, UnixMillis,
};
use exeunt_x509::{OcspRefusal, encode_pem, parse_certificate, parse_request, refuse_ocsp};
use tempfile::TempDir;

use crate::support::{
    Ca, DAY_S, HOUR_S, Habit, HandClock, House, Issued, TestKey, create_store, officer,
    plain_request, root,
};

/// 2027-01-01T00:00:00Z.
const START: i64 = 1_798_761_600;
const MINUTE_S: i64 = 60;

/// A root from 2026 to 2036, seen at the beginning of 2027.
pub fn house() -> House {
    house_of(TestKey::new(KeyAlgorithm::EcdsaP256), START + 3650 * DAY_S)
}

fn house_of(key: TestKey, not_after: i64) -> House {
    let certificate = root(&key, START - 365 * DAY_S, not_after);
    House { clock: HandClock::at(START), certificate, ..House::with_key(key) }
}

fn wait(ca: &Ca, seconds: i64) {
    ca.clock.set(ca.clock.seconds() + seconds);
}

fn revoke(ca: &Ca, serial: Serial, reason: Reason) {
    let order = RevokeOrder::Revoke { reason, effective: None };
    ca.engine.revoke(Which::Serial(serial), order, &officer()).unwrap();
}

/// The responders' certificates, oldest first.
fn responders(ca: &Ca) -> Vec<CertificateRecord> {
    let mut found = ca.engine.store().certificates(None, 1000).unwrap();
    found.retain(|it| it.template == "ocsp-responder");
    found.reverse();
    found
}

/// Somebody who asks by way of openssl.
pub struct Client {
    folder: TempDir,
    issuer: String,
}

impl Client {
    pub fn new(ca: &Ca) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut client = Self { folder, issuer: String::new() };
        client.issuer = client.write("root.pem", ca.root_pem().as_bytes());
        client
    }

    fn write(&self, name: &str, octets: &[u8]) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, octets).unwrap();
        path.display().to_string()
    }

    fn openssl(&self, words: &str) -> (bool, String) {
        let args = words.split_whitespace().map(|it| it.replace("ROOT", &self.issuer));
        let output = tools::run(tools::openssl(), args, b"");
        let said = [output.stderr, output.stdout].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    /// A request for these serial numbers.
    pub fn ask(&self, serials: &[Serial], options: &str) -> Vec<u8> {
        let path = self.folder.path().join("request.der");
        let named = named(serials);
        let words = format!("ocsp -issuer ROOT {options} {named} -reqout {}", path.display());
        let (success, said) = self.openssl(&words);
        assert!(success, "{said}");
        fs::read(path).unwrap()
    }

    /// What openssl reads of an answer at the CA's time: a line for each certificate, without its
    /// number.
    #[track_caller]
    fn read(&self, ca: &Ca, serials: &[Serial], answer: &OcspAnswer) -> Vec<String> {
        let path = self.write("response.der", &answer.der);
        let words = format!(
            "ocsp -respin {path} -CAfile ROOT -issuer ROOT -no_nonce -attime {} \
             -validity_period 3153600000 {}",
            ca.clock.seconds(),
            named(serials)
        );
        let (_, said) = self.openssl(&words);
        let said = said.replace("\n\t", " ");
        let lines = said.strip_prefix("Response verify OK\n");
        let lines = lines.unwrap_or_else(|| panic!("{said}")).lines();
        lines.map(|it| it.split_once(": ").unwrap().1.to_owned()).collect()
    }

    /// Asks for one certificate without a nonce.
    #[track_caller]
    fn status(&self, ca: &Ca, serial: Serial) -> String {
        let answer = ca.engine.answer_ocsp(&self.ask(&[serial], "-no_nonce"));
        self.read(ca, &[serial], &answer).concat()
    }
}

fn named(serials: &[Serial]) -> String {
    serials.iter().map(|it| format!("-serial 0x{it}")).collect::<Vec<_>>().join(" ")
}

fn refusal(answer: &OcspAnswer) -> Option<OcspRefusal> {
    let known = [
        OcspRefusal::MalformedRequest,
        OcspRefusal::InternalError,
        OcspRefusal::TryLater,
        OcspRefusal::Unauthorized,
    ];
    let found = known.into_iter().find(|it| refuse_ocsp(*it)[..] == answer.der)?;
    assert_eq!((answer.next_update, answer.cacheable), (None, false));
    Some(found)
}

#[test]
fn openssl_follows_a_hold_its_release_and_a_revocation_without_delay() {
    let ca = house().open();
    let issued = ca.issue(plain_request());
    let client = Client::new(&ca);
    let good = |from: &str, to: &str| {
        format!("good This Update: Jan  1 {from} 2027 GMT Next Update: Jan  1 {to} 2027 GMT")
    };
    let revoked = |at: &str, until: &str, reason: &str| {
        format!(
            "revoked This Update: Jan  1 {at} 2027 GMT Next Update: Jan  1 {until} 2027 GMT \
             Reason: {reason} Revocation Time: Jan  1 {at} 2027 GMT"
        )
    };
    assert_eq!(client.status(&ca, issued.serial), good("00:00:00", "04:00:00"));

    wait(&ca, 60);
    revoke(&ca, issued.serial, Reason::CertificateHold);
    let held = revoked("00:01:00", "04:01:00", "certificateHold");
    assert_eq!(client.status(&ca, issued.serial), held);

    wait(&ca, 60);
    let release = RevokeOrder::Release;
    ca.engine.revoke(Which::Serial(issued.serial), release, &officer()).unwrap();
    assert_eq!(client.status(&ca, issued.serial), good("00:02:00", "04:02:00"));

    wait(&ca, 60);
    revoke(&ca, issued.serial, Reason::KeyCompromise);
    let gone = revoked("00:03:00", "04:03:00", "keyCompromise");
    assert_eq!(client.status(&ca, issued.serial), gone);

    // What was never issued is not good.
    let unknown = client.ask(&[Serial::from_random([9; 16])], "-no_nonce");
    let unknown = ca.engine.answer_ocsp(&unknown);
    let said = client.read(&ca, &[Serial::from_random([9; 16])], &unknown).concat();
    let times = "This Update: Jan  1 00:03:00 2027 GMT Next Update: Jan  1 00:04:00 2027 GMT";
    assert_eq!(said, format!("unknown {times}"));
    assert!(!unknown.cacheable);
}

#[test]
fn keys_of_every_kind_answer_and_are_believed() {
    let plain = |algorithm| SoftwareKey::generate(algorithm).unwrap();
    let rsa = plain(KeyAlgorithm::Rsa { bits: 3072 });
    let pss = plain(KeyAlgorithm::Rsa { bits: 2048 });
    for (key, text) in [
        (plain(KeyAlgorithm::EcdsaP384), "ecdsa-with-SHA384"),
        (rsa, "sha256WithRSAEncryption"),
        (pss.with_scheme(SignatureScheme::RsaPssSha256).unwrap(), "rsassaPss"),
        (plain(KeyAlgorithm::Ed25519), "ED25519"),
    ] {
        // GnuTLS and pkilint have no clock but the system's.
        let ca = House::with_key(TestKey::around(key)).open();
        let issued = ca.issue(plain_request());
        let client = Client::new(&ca);
        let answer = ca.engine.answer_ocsp(&client.ask(&[issued.serial], "-no_nonce"));
        let said = client.read(&ca, &[issued.serial], &answer).concat();
        assert!(said.starts_with("good "), "{said}");
        let path = client.write("response.der", &answer.der);
        let (_, said) = client.openssl(&format!("ocsp -respin {path} -noverify -resp_text"));
        assert!(said.contains(&format!("Signature Algorithm: {text}")), "{text}: {said}");
        let pem = encode_pem("OCSP RESPONSE", &answer.der);
        let certificate = responders(&ca).remove(0).certificate.raw;
        let certificate = encode_pem("CERTIFICATE", &certificate);
        let documents = [("answer", pem.as_str()), ("responder", certificate.as_str())];
        assert_eq!(foreign::pkilint_many(documents), Ok(()));

        let ocsptool = tools::certtool().with_file_name("ocsptool");
        let args = ["--verify-response", "--load-trust", &client.issuer, "--load-response", &path];
        let said = tools::run(&ocsptool, args, b"").stdout;
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("Verifying OCSP Response: Success"), "{text}: {said}");
    }
}

#[test]
fn a_key_that_openssl_does_not_know_answers_in_a_form_that_it_reads() {
    let ca = house_of(TestKey::new(KeyAlgorithm::MlDsa65), START + 3650 * DAY_S).open();
    let issued = ca.issue(plain_request());
    let client = Client::new(&ca);
    let answer = ca.engine.answer_ocsp(&client.ask(&[issued.serial], ""));
    let path = client.write("response.der", &answer.der);
    let (_, said) = client.openssl(&format!("ocsp -respin {path} -noverify -resp_text"));
    // id-ml-dsa-65 (RFC 9881, section 2).
    for line in ["Cert Status: good", "Signature Algorithm: 2.16.840.1.101.3.4.3.18"] {
        assert!(said.contains(line), "{said}");
    }
}

#[test]
fn the_next_answer_after_a_revocation_says_so_whatever_is_answered_at_that_moment() {
    let ca = house().open();
    let client = Client::new(&ca);
    let certificates: Vec<Issued> = (0..8).map(|_| ca.issue(plain_request())).collect();
    for Issued { serial, .. } in certificates {
        let request = client.ask(&[serial], "-no_nonce");
        let done = AtomicBool::new(false);
        let answer = thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        assert_eq!(refusal(&ca.engine.answer_ocsp(&request)), None);
                    }
                });
            }
            revoke(&ca, serial, Reason::Superseded);
            let first = ca.engine.answer_ocsp(&request);
            done.store(true, Ordering::SeqCst);
            first
        });
        for answer in [answer, ca.engine.answer_ocsp(&request)] {
            let said = client.read(&ca, &[serial], &answer).concat();
            assert!(said.starts_with("revoked "), "{said}");
        }
    }
    assert_eq!(responders(&ca).len(), 1);
}

#[test]
fn a_revocation_in_the_future_is_good_until_then_and_not_a_second_longer() {
    let ca = house().open();
    let issued = ca.issue(plain_request());
    let client = Client::new(&ca);
    let effective = UnixMillis::from_unix_seconds(START + HOUR_S);
    let order = RevokeOrder::Revoke { reason: Reason::Superseded, effective: Some(effective) };
    ca.engine.revoke(Which::Serial(issued.serial), order, &officer()).unwrap();
    let request = client.ask(&[issued.serial], "-no_nonce");
    for seconds in [0, HOUR_S - 1] {
        ca.clock.set(START + seconds);
        let answer = ca.engine.answer_ocsp(&request);
        assert_eq!(answer.next_update, Some(effective));
        let said = client.read(&ca, &[issued.serial], &answer).concat();
        assert!(said.starts_with("good ") && said.ends_with("Jan  1 01:00:00 2027 GMT"), "{said}");
    }
    ca.clock.set(START + HOUR_S);
    let said = client.status(&ca, issued.serial);
    let end = "Reason: superseded Revocation Time: Jan  1 01:00:00 2027 GMT";
    assert!(said.starts_with("revoked ") && said.ends_with(end), "{said}");
}

#[test]
fn a_nonce_is_repeated_in_an_answer_of_its_own() {
    let ca = house().open();
    let issued = ca.issue(plain_request());
    let client = Client::new(&ca);
    let kept = client.ask(&[issued.serial], "-no_nonce");
    let first = ca.engine.answer_ocsp(&kept);
    assert!(first.cacheable);
    assert_eq!(ca.engine.answer_ocsp(&kept), first);

    let request = client.ask(&[issued.serial], "");
    let answer = ca.engine.answer_ocsp(&request);
    assert!(!answer.cacheable && answer.next_update == first.next_update);
    // An ECDSA signature is another one each time.
    assert_ne!(ca.engine.answer_ocsp(&request).der, answer.der);
    let asked = client.folder.path().join("request.der").display().to_string();
    let judge = |answer: &OcspAnswer| {
        let path = client.write("response.der", &answer.der);
        let words = format!("ocsp -respin {path} -reqin {asked} -CAfile ROOT -issuer ROOT");
        client.openssl(&format!("{words} -attime {START}")).1
    };
    assert_eq!(judge(&answer), "Response verify OK\n");
    assert!(judge(&first).contains("WARNING: no nonce in response"));
    client.ask(&[issued.serial], "");
    assert!(judge(&answer).contains("Nonce Verify error"));

    // By SHA-256 the issuer has another name: the answer repeats it.
    let other = ca.engine.answer_ocsp(&client.ask(&[issued.serial], "-no_nonce -sha256"));
    assert_ne!(other.der, first.der);
    assert!(ca.engine.answer_ocsp(&kept).der == first.der && other.cacheable);
}

#[test]
fn an_answer_is_given_again_while_half_of_its_time_is_left() {
    let ca = house().open();
    let issued = ca.issue(plain_request());
    let request = Client::new(&ca).ask(&[issued.serial], "-no_nonce");
    let first = ca.engine.answer_ocsp(&request);
    let time = |seconds| UnixMillis::from_unix_seconds(START + seconds);
    assert_eq!((first.this_update, first.next_update), (time(0), Some(time(4 * HOUR_S))));
    ca.clock.set(START + 2 * HOUR_S - 1);
    assert_eq!(ca.engine.answer_ocsp(&request), first);
    ca.clock.set(START + 2 * HOUR_S);
    let second = ca.engine.answer_ocsp(&request);
    assert_eq!(second.this_update, time(2 * HOUR_S));
    // A clock that goes back has no use for answers of the future.
    ca.clock.set(START + HOUR_S);
    assert_eq!(ca.engine.answer_ocsp(&request).this_update, time(HOUR_S));
}

#[test]
fn several_certificates_are_answered_together() {
    let ca = house().open();
    let client = Client::new(&ca);
    let [good, revoked] = [(); 2].map(|()| ca.issue(plain_request()).serial);
    let unknown = Serial::from_random([9; 16]);
    // The key fails once: the serial number that was drawn for it counts as revoked.
    let spent = [7; 16];
    ca.entropy.next(&[spent]);
    ca.key.shall(Habit::Fail);
    ca.submit(plain_request()).unwrap_err();
    ca.key.shall(Habit::Sign);
    revoke(&ca, revoked, Reason::Unspecified);
    let asked = [good, revoked, unknown, Serial::from_random(spent)];
    let answer = ca.engine.answer_ocsp(&client.ask(&asked, "-no_nonce"));
    let said = client.read(&ca, &asked, &answer);
    let words: Vec<_> = said.iter().map(|it| it.split(' ').next().unwrap()).collect();
    assert_eq!(words, ["good", "revoked", "unknown", "revoked"]);
    assert!(!answer.cacheable);
    let answer = ca.engine.answer_ocsp(&client.ask(&asked[..2], "-no_nonce"));
    assert!(answer.cacheable);
}

#[test]
fn for_other_authorities_nobody_speaks_here() {
    let ca = house().open();
    let other = house().open();
    let (client, stranger) = (Client::new(&ca), Client::new(&other));
    let [own, foreign] = [&ca, &other].map(|it| it.issue(plain_request()).serial);
    // Of the same name, but by another key.
    let asked = stranger.ask(&[foreign], "-no_nonce");
    assert_eq!(refusal(&ca.engine.answer_ocsp(&asked)), Some(OcspRefusal::Unauthorized));
    assert_eq!(responders(&ca).len(), 0);
    // Not even of a serial number that is known here.
    let asked = stranger.ask(&[own], "-no_nonce");
    assert_eq!(refusal(&ca.engine.answer_ocsp(&asked)), Some(OcspRefusal::Unauthorized));
    // Along with one of this CA it is unknown.
    let path = client.folder.path().join("request.der").display().to_string();
    let words = format!(
        "ocsp -no_nonce -issuer ROOT -serial 0x{own} -issuer {} -serial 0x{own} -reqout {path}",
        stranger.issuer
    );
    assert!(client.openssl(&words).0);
    let answer = ca.engine.answer_ocsp(&fs::read(&path).unwrap());
    let response = client.write("response.der", &answer.der);
    let text = client.openssl(&format!("ocsp -respin {response} -noverify -resp_text")).1;
    let words: Vec<_> =
        text.lines().filter_map(|it| it.trim().strip_prefix("Cert Status: ")).collect();
    assert_eq!(words, ["good", "unknown"]);
}

#[test]
fn what_is_no_request_is_told_so_and_where_ocsp_is_off_nobody_answers() {
    let ca = house().open();
    let issued = ca.issue(plain_request());
    let request = Client::new(&ca).ask(&[issued.serial], "");
    let malformed = Some(OcspRefusal::MalformedRequest);
    let long = vec![0x30; 70_000];
    for octets in [&[][..], b"GET / HTTP/1.1", &[0x30, 0], &request[1..], &long] {
        assert_eq!(refusal(&ca.engine.answer_ocsp(octets)), malformed);
    }
    assert_eq!(ca.counts().0, 1);
    let off = House { ocsp: OcspSettings { enabled: false, ..OcspSettings::default() }, ..house() };
    let off = off.open();
    let answer = off.engine.answer_ocsp(&request);
    assert_eq!(refusal(&answer), Some(OcspRefusal::Unauthorized));
}

#[test]
fn the_responder_has_a_row_a_certificate_and_an_event_like_everybody() {
    let ca = house().open();
    let issued = ca.issue(plain_request());
    let _ = ca.engine.answer_ocsp(&Client::new(&ca).ask(&[issued.serial], ""));
    let found = responders(&ca).remove(0);
    assert_eq!(ca.counts(), (2, 2, 2));
    let event = ca.last_event();
    assert_eq!((event.kind, event.seq), (EventKind::CERT_ISSUED, found.event));
    let row = ca.row(found.request);
    assert_eq!(row.disposition, Disposition::Issued);
    let asked = &row.request;
    assert_eq!((asked.requester.as_str(), asked.caller.as_str()), ("exeunt:ocsp", "exeunt:ocsp"));
    assert_eq!(asked.template, "ocsp-responder");
    assert_eq!(asked.subject, "CN=OCSP responder of Test Root");
    let certificate = ca.check_certificate(&found.certificate.raw);
    assert_eq!(parse_request(&asked.raw).unwrap().spki_der(), certificate.spki_der());
    assert_eq!(certificate.not_before(), START - 10 * MINUTE_S);
    assert_eq!(certificate.not_after(), START + 14 * DAY_S - 1);
    let pem = encode_pem("CERTIFICATE", &found.certificate.raw);
    let text = foreign::openssl_text(&pem);
    for line in ["OCSP Signing", "OCSP No Check", "Digital Signature", "CA:FALSE"] {
        assert!(text.lines().any(|it| it.trim().starts_with(line)), "{line}: {text}");
    }
}

#[test]
fn the_responder_is_renewed_when_a_third_of_its_life_is_left() {
    let ca = house().open();
    let issued = ca.issue(plain_request());
    let client = Client::new(&ca);
    let request = client.ask(&[issued.serial], "");
    let good = |count| {
        let answer = ca.engine.answer_ocsp(&request);
        let said = client.read(&ca, &[issued.serial], &answer).concat();
        assert!(said.starts_with("good "), "{said}");
        assert_eq!(responders(&ca).len(), count);
        answer
    };
    good(1);
    let third = 14 * DAY_S / 3;
    ca.clock.set(START + 2 * third - MINUTE_S);
    good(1);
    // It cannot be renewed: the old one goes on, and is not asked of the key again for a minute.
    ca.clock.set(START + 2 * third + MINUTE_S);
    ca.key.shall(Habit::Fail);
    for _ in 0..3 {
        good(1);
    }
    assert_eq!(ca.counts().0, 3);
    // Answers do not outlive it.
    ca.clock.set(START + 14 * DAY_S - HOUR_S);
    let end = UnixMillis::from_unix_seconds(START + 14 * DAY_S - 1);
    assert_eq!(good(1).next_update, Some(end));
    assert_eq!(ca.counts().0, 4);
    // Nor does anybody answer after it, until the key is back and a minute is over.
    ca.clock.set(START + 14 * DAY_S);
    let later = Some(OcspRefusal::TryLater);
    assert_eq!(refusal(&ca.engine.answer_ocsp(&request)), later);
    ca.key.shall(Habit::Panic);
    assert_eq!(refusal(&ca.engine.answer_ocsp(&request)), later);
    assert_eq!(ca.counts().0, 5);
    ca.key.shall(Habit::Sign);
    wait(&ca, MINUTE_S - 1);
    assert_eq!(refusal(&ca.engine.answer_ocsp(&request)), later);
    wait(&ca, 1);
    good(2);
    good(2);
    let keys: Vec<_> = responders(&ca)
        .iter()
        .map(|it| parse_certificate(&it.certificate.raw).unwrap().spki_der().to_vec())
        .collect();
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn many_who_ask_at_once_make_one_responder() {
    let ca = house().open();
    let issued = ca.issue(plain_request());
    let request = Client::new(&ca).ask(&[issued.serial], "");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(refusal(&ca.engine.answer_ocsp(&request)), None));
        }
    });
    assert_eq!(responders(&ca).len(), 1);
}

#[test]
fn a_responder_that_is_revoked_answers_no_more() {
    let ca = house().open();
    let issued = ca.issue(plain_request());
    let client = Client::new(&ca);
    let request = client.ask(&[issued.serial], "-no_nonce");
    let first = ca.engine.answer_ocsp(&request);
    let serial = responders(&ca)[0].certificate.serial;
    revoke(&ca, serial, Reason::KeyCompromise);
    let second = ca.engine.answer_ocsp(&request);
    assert_ne!(first.der, second.der);
    assert!(client.read(&ca, &[issued.serial], &second).concat().starts_with("good "));
    assert_eq!(responders(&ca).len(), 2);
    assert!(client.status(&ca, serial).starts_with("revoked "));
}

#[test]
fn at_the_end_of_the_ca_its_responder_ends_with_it() {
    let key = TestKey::new(KeyAlgorithm::EcdsaP256);
    let ca = house_of(key, START + 9 * DAY_S).open();
    let issued = ca.issue(plain_request());
    let request = Client::new(&ca).ask(&[issued.serial], "");
    let end = UnixMillis::from_unix_seconds(START + 9 * DAY_S);
    for seconds in [0, 8 * DAY_S, 9 * DAY_S - 2] {
        ca.clock.set(START + seconds);
        let answer = ca.engine.answer_ocsp(&request);
        let next_update = UnixMillis::from_unix_seconds(START + seconds + 4 * HOUR_S).min(end);
        assert_eq!((refusal(&answer), answer.next_update), (None, Some(next_update)));
    }
    assert_eq!(responders(&ca).len(), 1);
    for seconds in [9 * DAY_S, 10 * DAY_S] {
        ca.clock.set(START + seconds);
        let answer = ca.engine.answer_ocsp(&request);
        assert_eq!(refusal(&answer), Some(OcspRefusal::TryLater));
    }
}

#[test]
fn validities_out_of_bounds_are_refused_at_the_start() {
    let minute = Duration::from_mins(1);
    for (validity, responder_validity, accepted) in [
        (minute, 60 * minute, true),
        (Duration::from_secs(59), 60 * minute, false),
        (minute, 59 * minute, false),
        (OCSP_VALIDITY_MAX, OCSP_VALIDITY_MAX, true),
        (OCSP_VALIDITY_MAX + minute, OCSP_VALIDITY_MAX, false),
        (minute, OCSP_VALIDITY_MAX + minute, false),
    ] {
        let house =
            House { ocsp: OcspSettings { enabled: true, validity, responder_validity }, ..house() };
        let path = house.folder.path().join("store.db");
        create_store(&path);
        let opened = house.try_open(Store::open(&path).unwrap(), Box::new(house.entropy.clone()));
        let code = opened.as_ref().err().map(EngineError::code);
        assert_eq!(code, (!accepted).then_some("ca-ocsp-invalid"));
    }
}
