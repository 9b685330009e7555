//! What is in the tables in the end.

use std::fs;
use std::process::Command;
use std::thread;

use exeunt_module_kit::{Event, Outcome, Value, exit_event, testing::parked};
use exeunt_testbed::authority::Authority;
use exeunt_testbed::process::run;
use serde_json::json;

use crate::bed::{Bed, Mould, deliver};

/// Certificates of the large test.
const COUNT: u64 = 3000;

#[test]
fn thousands_of_events_in_any_order_and_told_twice_end_as_what_is_true() {
    let bed = Bed::new();
    bed.server.sql(
        "INSERT INTO inventory.certificate (ca, sha256, serial, event_seq, changed_at) \
         VALUES ('Another CA', 'aa', '01', 999999, now()); \
         CREATE TABLE inventory.of_another_writer AS SELECT 1 AS n",
    );
    let mould = Mould::new();
    let mut events: Vec<Event> = (1..=COUNT).map(|it| mould.issued(it, it)).collect();
    events.extend((1..=COUNT).filter(|it| it % 5 == 0).map(|it| mould.revoked(COUNT + it, it, 1)));
    events.extend((1..=COUNT).filter(|it| it % 50 == 0).map(|it| {
        // Put on hold, and released: the release is the newer one.
        let mut event = mould.issued(3 * COUNT + it, it);
        event.event = exit_event::CERT_UNREVOKED;
        event
    }));
    let mut disorder = events.clone();
    fastrand::Rng::with_seed(6).shuffle(&mut disorder);
    let mut host = bed.host(bed.server.port(), &json!({}));
    deliver(&mut host, &disorder);
    let changed = bed.server.sql("SELECT max(changed_at) FROM inventory.certificate");
    deliver(&mut host, &events[..1000]);
    assert_eq!(bed.server.sql("SELECT max(changed_at) FROM inventory.certificate"), changed);

    let mut wanted: Vec<String> = (1..=COUNT)
        .map(|it| {
            let state = if it % 5 == 0 && it % 50 != 0 { "revoked" } else { "issued" };
            format!("{}|{state}", mould.serial(it))
        })
        .collect();
    wanted.push("01|".to_owned());
    wanted.sort();
    let mut found = bed.states();
    found.sort();
    assert_eq!(found, wanted);
    let valid = bed.server.sql("SELECT count(*) FROM inventory.valid_now");
    assert_eq!(valid, (COUNT - COUNT / 5 + COUNT / 50).to_string());
    assert_eq!(bed.server.sql("SELECT n FROM inventory.of_another_writer"), "1");
    let requests = "SELECT count(*) FROM inventory.request WHERE state = 'revoked'";
    assert_eq!(bed.server.sql(requests), (COUNT / 5 - COUNT / 50).to_string());
}

#[test]
fn a_row_says_what_openssl_says_of_the_certificate() {
    let bed = Bed::new();
    let mould = Mould::new();
    let mut host = bed.host(bed.server.port(), &json!({"store_der": true}));
    let mut event = mould.revoked(7, 12, 4);
    let hostile = "'); DROP TABLE inventory.certificate; --\0\n\"{}";
    event.request.set("RequesterName", Some(Value::String(hostile.to_owned())));
    assert_eq!(host.notify(&event).unwrap(), Outcome::Accept);
    let ask =
        |columns: &str| bed.server.sql(&format!("SELECT {columns} FROM inventory.certificate"));
    let file = bed.folder.path().join("it.der");
    fs::write(&file, mould.der(12)).unwrap();
    let openssl = |words: &[&str]| {
        let mut openssl = Command::new("openssl");
        let said =
            run(openssl.args(["x509", "-inform", "DER", "-noout", "-in"]).arg(&file).args(words));
        let said = String::from_utf8(said).unwrap();
        said.split_once('=').unwrap().1.trim().replace(':', "").to_lowercase()
    };
    assert_eq!(ask("sha256"), openssl(&["-fingerprint", "-sha256"]));
    assert_eq!(ask("sha1"), openssl(&["-fingerprint", "-sha1"]));
    assert_eq!(ask("serial"), openssl(&["-serial"]));
    assert_eq!(ask("encode(sha256(der), 'hex')"), openssl(&["-fingerprint", "-sha256"]));
    assert_eq!(
        ask("subject, common_name, issuer"),
        "CN=www.example.com|www.example.com|CN=Testbed CA,O=Exeunt tests"
    );
    assert_eq!(ask("dns_names[1], dns_names[2]"), "www.example.com|*.example.com");
    assert_eq!(
        ask("not_before AT TIME ZONE 'UTC', not_after AT TIME ZONE 'UTC'"),
        "2020-01-01 00:00:00|2049-12-31 23:59:59"
    );
    assert_eq!(
        ask("state, revocation_reason, revoked_at AT TIME ZONE 'UTC'"),
        "revoked|4|2026-11-22 08:00:00"
    );
    assert_eq!(ask("template, request_id, event_seq, is_ca"), "WebServer|12|7|f");
    let requester = hostile.replace('\0', "\u{fffd}");
    assert_eq!(ask("requester"), requester);
}

#[test]
fn a_request_is_kept_without_a_certificate_and_finds_its_own_later() {
    let bed = Bed::new();
    let mould = Mould::new();
    let mut host = bed.host(bed.server.port(), &json!({}));
    let mut pending = mould.issued(1, 5);
    pending.event = exit_event::CERT_PENDING;
    pending.certificate = exeunt_module_kit::Properties::default();
    pending.request.set("Disposition", Some(Value::Long(9)));
    let mut denied = pending.clone();
    (denied.seq, denied.context, denied.event) = (2, 6, exit_event::CERT_DENIED);
    denied.request.set("Disposition", Some(Value::Long(31)));
    deliver(&mut host, &[pending.clone(), denied]);
    let ask = || {
        bed.server.sql(
            "SELECT r.request_id, r.state, c.serial IS NOT NULL FROM inventory.request AS r \
             LEFT JOIN inventory.certificate AS c ON (c.ca, c.sha256) = (r.ca, r.certificate_sha256) \
             ORDER BY 1",
        )
    };
    assert_eq!(ask(), "5|pending|f\n6|denied|f");
    deliver(&mut host, &[mould.issued(3, 5), pending]);
    assert_eq!(ask(), "5|issued|t\n6|denied|f");
    let start = Event { event: exit_event::STARTUP, seq: 9, ..Event::default() };
    assert_eq!(host.notify(&start).unwrap(), Outcome::Skip);
    let mut broken = mould.issued(10, 7);
    broken.certificate.set("RawCertificate", Some(Value::Binary(b"nothing".to_vec())));
    assert!(parked(&host.notify(&broken).unwrap()).contains("decoded"));
}

#[test]
fn two_writers_of_the_same_events_do_each_other_no_harm() {
    let bed = Bed::new();
    let mould = Mould::new();
    let mut events: Vec<Event> = (1..=400).map(|it| mould.issued(it, it)).collect();
    events.extend((1..=400).map(|it| mould.revoked(1000 + it, it, 6)));
    thread::scope(|scope| {
        for seed in 0..3 {
            let mut events = events.clone();
            let bed = &bed;
            scope.spawn(move || {
                fastrand::Rng::with_seed(seed).shuffle(&mut events);
                let mut host = bed.host(bed.server.port(), &json!({}));
                deliver(&mut host, &events);
            });
        }
    });
    let wanted: Vec<String> = (1..=400).map(|it| format!("{}|held", mould.serial(it))).collect();
    assert_eq!(bed.states(), wanted);
}

/// A list that `openssl` made, with this number.
fn list(authority: &Authority, number: u32) -> Vec<u8> {
    let ca = authority.certificate();
    let folder = ca.parent().expect("its folder");
    let at = |name: &str| folder.join(name).display().to_string();
    fs::write(folder.join("crlnumber"), format!("{number:08X}\n")).expect("a file");
    let settings = format!(
        "[ca]\ndefault_ca=it\n[it]\ndatabase={}\ncertificate={}\nprivate_key={}\n\
         default_md=sha256\ncrlnumber={}\ncrl_extensions=more\n\
         [more]\nauthorityKeyIdentifier=keyid\n",
        at("index.txt"),
        ca.display(),
        at("ca.key"),
        at("crlnumber"),
    );
    fs::write(folder.join("crl.cnf"), settings).expect("a file");
    let mut openssl = Command::new("openssl");
    openssl.args(["ca", "-gencrl", "-crldays", "7", "-config"]).arg(folder.join("crl.cnf"));
    let pem = run(&mut openssl);
    pem_rfc7468::decode_vec(&pem).expect("PEM").1
}

#[test]
fn of_revocation_lists_the_newest_stays_and_a_foreign_one_is_refused() {
    let bed = Bed::new();
    let authority = Authority::new(&bed.folder.path().join("ca"));
    let (_, ca) = pem_rfc7468::decode_vec(&fs::read(authority.certificate()).unwrap()).unwrap();
    let told = |seq: u64, list: &[u8]| {
        let mut event = Event { seq, event: exit_event::CRL_ISSUED, ..Event::default() };
        event.system = std::sync::Arc::new(exeunt_module_kit::Properties::from_iter([
            ("CertCount", Value::Long(1)),
            ("RawCACertificate", Value::Binary(ca.clone())),
            ("RawCRL", Value::Binary(list.to_vec())),
        ]));
        event
    };
    let (old, new) = (list(&authority, 9), list(&authority, 10));
    let mut host = bed.host(bed.server.port(), &json!({}));
    let ask =
        || bed.server.sql("SELECT number, is_delta, part, size_bytes, sha256 FROM inventory.crl");
    assert_eq!(host.notify(&told(1, &new)).unwrap(), Outcome::Accept);
    let found = ask();
    assert!(found.starts_with(&format!("10|f|0|{}|", new.len())), "{found}");
    assert_eq!(host.notify(&told(2, &old)).unwrap(), Outcome::Accept);
    assert_eq!(ask(), found);
    let impostor = Authority::new(&bed.folder.path().join("impostor"));
    let outcome = host.notify(&told(3, &list(&impostor, 11))).unwrap();
    let reason = parked(&outcome);
    assert!(reason.contains("none of the CA's keys"), "{reason}");
    assert_eq!(ask(), found);
}
