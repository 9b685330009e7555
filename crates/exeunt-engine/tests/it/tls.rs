//! The certificate of the CA's own server, and certificates that clients of TLS show.

use std::time::Duration;

use exeunt_engine::{
    ClientCertificate, ClientCertificateError, RevokeOrder, ServerCertificate,
    ServerCertificateSettings, Which,
};
use exeunt_policy::UsageName;
use exeunt_testkit::foreign;
use exeunt_types::{
    Disposition, EventKind, KeyAlgorithm, RevocationReason, Serial, StatusCode, UnixMillis,
};
use exeunt_x509::{Certificate, GeneralName, encode_pem, parse_certificate};

use crate::support::{
    Ca, DAY_S, HOUR_S, Habit, House, TestKey, officer, plain_request, request, root, template,
};

fn settings() -> ServerCertificateSettings {
    ServerCertificateSettings {
        names: vec![
            GeneralName::Dns("ca.example".to_owned()),
            GeneralName::Ip([192, 0, 2, 1].into()),
        ],
        validity: Duration::from_hours(24 * 90),
        key: KeyAlgorithm::EcdsaP256,
    }
}

fn end(made: &ServerCertificate) -> Certificate {
    parse_certificate(&made.chain[0]).unwrap()
}

#[test]
fn the_server_gets_a_certificate_that_goes_the_way_of_all() {
    let ca = House::new().open();
    let made = ca.engine.certify_server(&settings()).unwrap();
    assert_eq!(made.chain.len(), 1);
    let pem = encode_pem("CERTIFICATE", &made.chain[0]);
    foreign::openssl_verify(&pem, &ca.root_pem()).unwrap();
    foreign::certtool_verify(&pem, &ca.root_pem()).unwrap();
    foreign::pkilint(&pem).unwrap();
    let text = foreign::openssl_text(&pem);
    for part in [
        "CN = ca.example",
        "DNS:ca.example, IP Address:192.0.2.1",
        "TLS Web Server Authentication",
        "Digital Signature",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains("TLS Web Client"), "{text}");
    let key = made.key_pem().unwrap();
    let public = foreign::openssl_public_key(&key, None).unwrap();
    assert_eq!(public, end(&made).spki_der());
    assert!(!format!("{made:?}").contains("PRIVATE"), "{made:?}");

    let told = ca.last_event();
    assert_eq!(told.kind, EventKind::CERT_ISSUED);
    let row = ca.row(told.request.unwrap().id);
    assert_eq!((row.disposition, row.status), (Disposition::Issued, StatusCode::OK));
    assert_eq!(row.request.caller, "exeunt:server");
    assert_eq!(ca.counts(), (1, 1, 1));
}

#[test]
fn another_one_is_due_when_two_thirds_of_its_time_are_over() {
    let ca = House::new().open();
    let now = ca.clock.seconds();
    let made = ca.engine.certify_server(&settings()).unwrap();
    // Its last second is one before ninety days are over.
    assert_eq!(made.not_after.unix_seconds(), now + 90 * DAY_S - 1);
    let off = made.renew.unix_seconds() - (now + 60 * DAY_S);
    assert!(off.abs() <= 1, "{off} s off");
    assert_eq!(end(&made).not_before(), now - 600);
}

#[test]
fn nothing_is_renewed_into_the_end_of_the_ca() {
    let mut house = House::new();
    let now = house.clock.seconds();
    house.certificate = root(&house.key, now - HOUR_S, now + 30 * DAY_S);
    let ca = house.open();
    let made = ca.engine.certify_server(&settings()).unwrap();
    assert_eq!(made.not_after.unix_seconds(), now + 30 * DAY_S);
    assert_eq!(made.renew, made.not_after);
    ca.clock.set(now + 30 * DAY_S);
    let err = ca.engine.certify_server(&settings()).unwrap_err();
    assert_eq!(err.to_string(), "the certificate of this CA is at its end");
    ca.clock.set(now + 31 * DAY_S);
    ca.engine.certify_server(&settings()).unwrap_err();
    assert_eq!(ca.counts().0, 1);
}

#[test]
fn a_key_that_does_not_sign_leaves_the_server_with_what_it_has() {
    let ca = House::new().open();
    let made = ca.engine.certify_server(&settings()).unwrap();
    ca.key.shall(Habit::Fail);
    let err = ca.engine.certify_server(&settings()).unwrap_err();
    assert_eq!(err.code(), "tls-own-certificate");
    assert!(ca.engine.server_stands(&made).unwrap());
    ca.key.shall(Habit::Sign);
    let next = ca.engine.certify_server(&settings()).unwrap();
    assert_ne!(end(&made).spki_der(), end(&next).spki_der());
    // The one before is left to run out.
    assert!(ca.engine.server_stands(&made).unwrap());
    revoke(&ca, made.serial, RevocationReason::Superseded, None);
    assert!(!ca.engine.server_stands(&made).unwrap());
    assert!(ca.engine.server_stands(&next).unwrap());
}

fn revoke(ca: &Ca, serial: Serial, reason: RevocationReason, effective: Option<UnixMillis>) {
    let order = RevokeOrder::Revoke { reason, effective };
    ca.engine.revoke(Which::Serial(serial), order, &officer()).unwrap();
}

#[track_caller]
fn code(result: Result<impl std::fmt::Debug, ClientCertificateError>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn a_client_stands_until_its_certificate_is_revoked_or_over() {
    let ca = House::new().open();
    let issued = ca.issue(plain_request());
    let client = ca.engine.client_certificate(&issued.der).unwrap();
    assert_eq!((client.serial, client.subject.as_str()), (Some(issued.serial), "CN=host.example"));
    assert_eq!(client.sha256, exeunt_keys::sha256(&issued.der));
    let standing = ca.engine.client_standing(&client).unwrap();
    assert!(ca.engine.still_stands(&standing));

    // Whatever is revoked, it is looked up again; and this one is still good.
    let other = ca.issue(&request("ec:P-256", "/CN=other.example", &["other.example"]));
    assert!(ca.engine.still_stands(&standing));
    revoke(&ca, other.serial, RevocationReason::Superseded, None);
    assert!(!ca.engine.still_stands(&standing));
    let standing = ca.engine.client_standing(&client).unwrap();
    assert!(ca.engine.still_stands(&standing));

    // On hold, and free again.
    revoke(&ca, issued.serial, RevocationReason::CertificateHold, None);
    assert!(!ca.engine.still_stands(&standing));
    assert_eq!(code(ca.engine.client_standing(&client)), "client-certificate-revoked");
    ca.engine.revoke(Which::Serial(issued.serial), RevokeOrder::Release, &officer()).unwrap();
    ca.engine.client_standing(&client).unwrap();

    // Revoked from tomorrow on.
    let tomorrow = UnixMillis::from_unix_seconds(ca.clock.seconds() + DAY_S);
    revoke(&ca, issued.serial, RevocationReason::CessationOfOperation, Some(tomorrow));
    let standing = ca.engine.client_standing(&client).unwrap();
    ca.clock.set(tomorrow.unix_seconds() - 1);
    assert!(ca.engine.still_stands(&standing));
    ca.clock.set(tomorrow.unix_seconds());
    assert!(!ca.engine.still_stands(&standing));
    assert_eq!(code(ca.engine.client_standing(&client)), "client-certificate-revoked");
}

#[test]
fn a_client_whose_time_is_over_or_still_to_come_does_not_stand() {
    let ca = House::new().open();
    let issued = ca.issue(plain_request());
    let client = ca.engine.client_certificate(&issued.der).unwrap();
    let standing = ca.engine.client_standing(&client).unwrap();
    let read = parse_certificate(&issued.der).unwrap();
    for (now, stands) in [
        (read.not_before() - 1, false),
        (read.not_before(), true),
        (read.not_after(), true),
        (read.not_after() + 1, false),
    ] {
        ca.clock.set(now);
        assert_eq!(ca.engine.client_standing(&client).is_ok(), stands, "{now}");
    }
    assert!(!ca.engine.still_stands(&standing));
    assert_eq!(code(ca.engine.client_standing(&client)), "client-certificate-not-valid");
}

#[test]
fn what_this_ca_signed_and_does_not_know_is_refused_and_what_others_signed_is_theirs() {
    let key = TestKey::new(KeyAlgorithm::EcdsaP256);
    let ca = House::with_key(key.clone()).open();
    // The same name and the same key, and a store that is not this one's: a restored backup, say.
    let forgotten = House::with_key(key).open().issue(plain_request());
    assert_eq!(code(ca.engine.client_certificate(&forgotten.der)), "client-certificate-unknown");
    // The same name and another key: anybody may call their CA so.
    let foreign = House::new().open().issue(plain_request());
    let client = ca.engine.client_certificate(&foreign.der).unwrap();
    assert_eq!(client.serial, None);
    ca.engine.client_standing(&client).unwrap();
}

#[test]
fn a_certificate_of_a_client_must_say_that_it_is_one() {
    let mut house = House::new();
    house.templates[0].extended_key_usage = vec![UsageName::parse("serverAuth").unwrap()];
    house
        .templates
        .push(exeunt_policy::Template { extended_key_usage: Vec::new(), ..template("anything") });
    let ca = house.open();
    let server = ca.issue(plain_request());
    let attributes = vec![("CertificateTemplate".to_owned(), "anything".to_owned())];
    let submission =
        exeunt_engine::Submission { attributes, ..crate::support::submission(plain_request()) };
    let anything = ca.issued(ca.engine.submit(submission));
    for der in [&server.der, &anything.der] {
        assert_eq!(code(ca.engine.client_certificate(der)), "client-certificate-purpose");
        assert_eq!(code(ClientCertificate::check_purpose(der)), "client-certificate-purpose");
    }
    assert_eq!(code(ca.engine.client_certificate(b"no")), "client-certificate-unreadable");
}
