//! Importing certificates, and orders about many of them.

use exeunt_api::{
    BULK_COUNT_MAX, BulkAnswer, BulkOutcome, BulkResult, CertificateDetail, Disposition,
    IMPORT_BYTES_MAX, IMPORT_COUNT_MAX, ImportAnswer, RequestDetail, Revoked, SubmitAnswer,
};
use exeunt_types::EventSeq;
use serde_json::{Value, json};

use crate::ca::{Ca, Http, problem};

const IMPORT: &str = "/v1/certificates";
const REVOKE: &str = "/v1/certificates/revoke";
const RELEASE: &str = "/v1/certificates/unrevoke";

/// An issued certificate: its serial number, and itself in PEM.
fn issued(ca: &Ca) -> (String, String) {
    let request = ca.request("/CN=host.example", &["host.example"]);
    let answer: SubmitAnswer = ca.local().post("/v1/requests", request).json().unwrap();
    (answer.serial.unwrap(), answer.certificate.unwrap())
}

fn import(http: &Http, order: &Value) -> Vec<BulkResult> {
    let answer = http.post(IMPORT, order.to_string());
    assert_eq!(answer.status(), 200);
    answer.json::<ImportAnswer>().unwrap().results
}

fn change(http: &Http, path: &str, order: &Value) -> Vec<BulkResult> {
    let answer = http.post(path, order.to_string());
    assert_eq!(answer.status(), 200);
    answer.json::<BulkAnswer>().unwrap().results
}

/// In words: the outcome, or the code and the original's number of a refusal.
fn words(results: &[BulkResult]) -> Vec<String> {
    let word = |it: &BulkResult| match &it.code {
        None => format!("{:?}", it.outcome).to_lowercase(),
        Some(code) => {
            assert_eq!(it.outcome, BulkOutcome::Refused);
            assert!(it.message.as_ref().is_some_and(|it| !it.is_empty()), "{it:?}");
            format!("{code} {}", it.status_code.clone().unwrap_or_default())
        }
    };
    results.iter().map(word).collect()
}

#[test]
fn whoever_is_not_at_the_cas_own_machine_imports_and_revokes_nothing() {
    let ca = Ca::start();
    let (serial, pem) = issued(&ca);
    let (remote, head) = (ca.remote(), ca.engine.store().head());
    let serials = json!({"serials": [serial]});
    let expired = format!("/v1/certificates/{serial}/publish-expired");
    for (path, body) in [
        (IMPORT, json!({"certificates": [pem], "allow_foreign": true})),
        (REVOKE, serials.clone()),
        (RELEASE, serials),
        (expired.as_str(), json!({"publish_expired": true})),
    ] {
        // Also where the body would not do: nothing is read of it.
        for body in [body.to_string(), "x".to_owned(), String::new()] {
            problem(remote.post(path, body), 403, "role-missing");
        }
    }
    for path in [REVOKE, RELEASE, &expired] {
        problem(ca.local().get(path), 405, "method-not-allowed");
        problem(ca.local().post(&format!("{path}?all"), "{}"), 400, "query-invalid");
    }
    problem(ca.local().post("/v1/certificates?format=csv", "{}"), 400, "query-invalid");
    assert_eq!(ca.engine.store().head(), head);
}

#[test]
fn bodies_that_do_not_do_are_refused_and_change_nothing() {
    let ca = Ca::start();
    let (serial, pem) = issued(&ca);
    let (local, head) = (ca.local(), ca.engine.store().head());
    for path in [IMPORT, REVOKE, RELEASE] {
        for body in
            ["", "x", "[]", "{}", "null", r#"{"serials": "5c"}"#, r#"{"certificates": [1]}"#]
        {
            problem(
                local.post(path, body),
                400,
                if body.is_empty() && path != IMPORT { "request-empty" } else { "body-invalid" },
            );
        }
    }
    let unknown = json!({"certificates": [pem], "allow_foregin": true});
    problem(local.post(IMPORT, unknown.to_string()), 400, "body-invalid");
    problem(local.post(IMPORT, r#"{"certificates": []}"#), 400, "order-invalid");
    let many = json!({"certificates": vec!["x"; IMPORT_COUNT_MAX + 1]});
    problem(local.post(IMPORT, many.to_string()), 400, "order-invalid");
    let large = json!({"certificates": ["x".repeat(IMPORT_BYTES_MAX)]});
    problem(local.post(IMPORT, large.to_string()), 413, "import-too-large");
    let most = json!({"certificates": vec!["x"; IMPORT_COUNT_MAX]});
    assert_eq!(import(&local, &most).len(), IMPORT_COUNT_MAX);

    for path in [REVOKE, RELEASE] {
        problem(local.post(path, r#"{"serials": []}"#), 400, "order-invalid");
        let many = json!({"serials": vec![&serial; BULK_COUNT_MAX + 1]});
        problem(local.post(path, many.to_string()), 400, "order-invalid");
        // One that is no number: the others are left alone, too.
        let bad = json!({"serials": [serial, "0x5c"]});
        problem(local.post(path, bad.to_string()), 400, "serial-invalid");
    }
    for (name, value) in [("reason", "theft"), ("effective", "tomorrow")] {
        let bad = json!({"serials": [serial], name: value});
        problem(local.post(REVOKE, bad.to_string()), 400, "order-invalid");
        problem(local.post(RELEASE, bad.to_string()), 400, "body-invalid");
    }
    let expired = format!("/v1/certificates/{serial}/publish-expired");
    for body in ["{}", r#"{"publish_expired": 1}"#, r#"{"publish_expired": true, "x": 1}"#] {
        problem(local.post(&expired, body), 400, "body-invalid");
    }
    let order = r#"{"publish_expired": true}"#;
    let nowhere = local.post("/v1/certificates/7fff/publish-expired", order);
    problem(nowhere, 404, "certificate-not-found");
    problem(local.post("/v1/certificates/xyz/publish-expired", order), 400, "serial-invalid");
    assert_eq!(ca.engine.store().head(), head);
}

#[test]
fn certificates_are_imported_each_with_its_own_outcome() {
    let (ca, other) = (Ca::start(), Ca::start());
    let (local, (_, own), (serial, foreign)) = (ca.local(), issued(&ca), issued(&other));
    let two = format!("{foreign}{own}");
    let certificates = json!([own, foreign, "x", "", two]);
    let exists = "import-exists 0x80071392";
    let bad = "certificate-malformed 0x8007000d";
    let results = import(&local, &json!({"certificates": certificates}));
    let expected = [exists, "import-foreign 0x800b0107", bad, bad, bad];
    assert_eq!(words(&results), expected);

    let dry = json!({"certificates": [foreign], "allow_foreign": true, "dry_run": true});
    let would = &import(&local, &dry)[0];
    assert_eq!((would.outcome, would.request_id, would.event), (BulkOutcome::Foreign, None, None));
    let head = ca.engine.store().head();
    let order = json!({"certificates": certificates, "allow_foreign": true});
    let results = import(&local, &order);
    assert_eq!(words(&results), [exists, "foreign", bad, bad, bad]);
    let imported = &results[1];
    assert_eq!(imported.serial.as_ref(), Some(&serial));
    assert_eq!(imported.subject.as_deref(), Some("CN=host.example"));
    assert_eq!(imported.event, Some(head.0 + 1));
    assert_eq!(ca.engine.store().head(), EventSeq(head.0 + 1));
    let row: RequestDetail =
        local.get(&format!("/v1/requests/{}", imported.request_id.unwrap())).json().unwrap();
    assert_eq!(row.summary.disposition, Disposition::Foreign);
    // There was no request.
    assert_eq!((row.format.as_str(), row.request.as_str()), ("", ""));
    problem(local.get(&format!("/v1/certificates/{serial}")), 404, "certificate-not-found");
    let waits = json!({"certificates": [foreign], "allow_foreign": true, "existing_row": true});
    assert_eq!(words(&import(&local, &waits)), ["import-not-awaited 0x80092009"]);
}

#[test]
fn many_are_revoked_and_released_each_with_its_own_outcome() {
    let ca = Ca::start();
    let local = ca.local();
    let serials: Vec<String> = (0..3).map(|_| issued(&ca).0).collect();
    let [a, b, c] = [0, 1, 2].map(|at| serials[at].clone());
    let hold = json!({"serials": [a, b], "reason": "certificate-hold"});
    assert_eq!(words(&change(&local, REVOKE, &hold)), ["revoked", "revoked"]);
    assert_eq!(words(&change(&local, REVOKE, &hold)), ["already", "already"]);
    let mixed = json!({"serials": [a.to_uppercase(), c, "7fff", a], "reason": "superseded"});
    let results = change(&local, REVOKE, &mixed);
    let unknown = "certificate-unknown 0x80070057";
    assert_eq!(words(&results), ["revoked", "revoked", unknown, "already"]);
    assert_eq!(results[0].serial.as_ref(), Some(&a));
    assert!(results[0].event < results[1].event && results[3].event.is_none());
    let release = json!({"serials": [a, b]});
    let results = change(&local, RELEASE, &release);
    assert_eq!(words(&results), ["not-on-hold 0x8007000d", "released"]);
    assert_eq!(words(&change(&local, RELEASE, &release))[1], "already");

    let shown: CertificateDetail = local.get(&format!("/v1/certificates/{a}")).json().unwrap();
    assert_eq!(shown.revocation.unwrap().reason.as_deref(), Some("superseded"));
    // No more than a word for who asks about one.
    let head = ca.engine.store().head();
    for stays in [true, false] {
        let order = json!({"publish_expired": stays}).to_string();
        let changed = local.post(&format!("/v1/certificates/{a}/publish-expired"), order);
        let changed: Revoked = changed.json().unwrap();
        assert_eq!((changed.disposition, changed.event), (Disposition::Revoked, None));
        let row = ca.engine.store().request(exeunt_types::RequestId(changed.request_id));
        assert_eq!(row.unwrap().unwrap().publish_expired, stays);
    }
    assert_eq!(ca.engine.store().head(), head);
}
