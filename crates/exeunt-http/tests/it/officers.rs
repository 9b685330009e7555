//! What officers order: deciding, revoking, publishing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use exeunt_api::{
    CertificateDetail, CrlPage, Denied, Disposition, RequestDetail, Revoked, SubmitAnswer,
};
use exeunt_http::BeforeReply;
use exeunt_testkit::foreign::openssl_verify;
use exeunt_types::{EventKind, EventSeq, RequestId, UnixMillis};
use reqwest::blocking::Response;

use crate::ca::{Ca, Http, Wanted, eventually, problem};

fn put(http: &Http, path: &str, body: &'static str) -> Response {
    http.send(http.client.put(format!("{}{path}", http.base)).body(body))
}

/// A request that waits; its number.
fn held(ca: &Ca) -> u64 {
    let request = ca.request("/CN=host.example", &[]);
    let answer: SubmitAnswer =
        ca.local().post("/v1/requests?template=held", request).json().unwrap();
    assert_eq!(answer.disposition, Disposition::Pending);
    answer.request_id
}

/// An issued certificate; its serial number.
fn issued(ca: &Ca) -> String {
    let request = ca.request("/CN=host.example", &[]);
    let answer: SubmitAnswer = ca.local().post("/v1/requests", request).json().unwrap();
    answer.serial.unwrap()
}

#[test]
fn a_held_request_is_approved_and_then_fetched_by_whoever_may_read() {
    let ca = Ca::start();
    let (local, remote) = (ca.local(), ca.remote());
    let id = held(&ca);
    let fetched = remote.post(&format!("/v1/requests/{id}/retrieve"), "");
    assert_eq!(fetched.status(), 202);
    let fetched: SubmitAnswer = fetched.json().unwrap();
    assert_eq!((fetched.disposition, fetched.certificate), (Disposition::Pending, None));

    let approved = local.post(&format!("/v1/requests/{id}/approve"), "");
    assert_eq!(approved.status(), 200);
    let approved: SubmitAnswer = approved.json().unwrap();
    assert_eq!((approved.request_id, approved.disposition), (id, Disposition::Issued));
    let described: exeunt_api::CaDescription = local.get("/v1/ca").json().unwrap();
    openssl_verify(approved.certificate.as_deref().unwrap(), &described.certificate).unwrap();

    let fetched: SubmitAnswer =
        remote.post(&format!("/v1/requests/{id}/retrieve"), "").json().unwrap();
    assert_eq!(fetched.disposition, Disposition::Issued);
    assert_eq!(fetched.certificate, approved.certificate);
    problem(local.post(&format!("/v1/requests/{id}/approve"), ""), 409, "wrong-state");
    problem(local.post("/v1/requests/99/approve", ""), 404, "request-not-found");
    problem(remote.post("/v1/requests/99/retrieve", ""), 404, "request-not-found");
}

#[test]
fn a_denied_request_says_why_and_can_be_submitted_again() {
    let ca = Ca::start();
    let local = ca.local();
    let id = held(&ca);
    let body = r#"{"reason": "no such host"}"#;
    let denied: Denied = local.post(&format!("/v1/requests/{id}/deny"), body).json().unwrap();
    assert_eq!((denied.request_id, denied.disposition), (id, Disposition::Denied));
    let row: RequestDetail = local.get(&format!("/v1/requests/{id}")).json().unwrap();
    assert_eq!(row.summary.disposition, Disposition::Denied);
    assert!(row.summary.message.contains("no such host"), "{}", row.summary.message);
    // CERTSRV_E_ADMIN_DENIED_REQUEST.
    assert_eq!(row.summary.status_code, "0x80094014");
    let fetched = ca.remote().post(&format!("/v1/requests/{id}/retrieve"), "");
    assert_eq!(fetched.status(), 403);

    let again = local.post(&format!("/v1/requests/{id}/resubmit"), "");
    let again: SubmitAnswer = again.json().unwrap();
    assert_eq!(again.disposition, Disposition::Issued);
    // Without a body there is no reason.
    let id = held(&ca);
    assert_eq!(local.post(&format!("/v1/requests/{id}/deny"), "").status(), 200);
}

#[test]
fn a_pending_request_gets_other_attributes_and_extensions() {
    let ca = Ca::start();
    let local = ca.local();
    let id = held(&ca);
    let path = format!("/v1/requests/{id}/attributes");
    let row = put(&local, &path, r#"{"attributes": ["CostCentre:4711", "Ticket: 7"]}"#);
    let row: RequestDetail = row.json().unwrap();
    let attributes: Vec<_> =
        row.attributes.iter().map(|it| (it.name.as_str(), it.value.as_str())).collect();
    assert_eq!(attributes, [("CostCentre", "4711"), ("Ticket", "7")]);
    problem(put(&local, &path, r#"{"attributes": []}"#), 400, "order-invalid");
    problem(put(&local, &path, r#"{"attributes": ["a:b\nc:d"]}"#), 400, "attribute-invalid");
    problem(put(&local, &path, r#"{"attribute": "a:b"}"#), 400, "body-invalid");

    let path = format!("/v1/requests/{id}/extensions/1.2.3.4");
    let row = put(&local, &path, r#"{"value": "0c026869", "critical": true}"#);
    let row: RequestDetail = row.json().unwrap();
    let extension = &row.officer_extensions[0];
    assert_eq!((extension.oid.as_str(), extension.value.as_str()), ("1.2.3.4", "0c026869"));
    assert!(extension.critical && !extension.disabled);
    problem(put(&local, &path, r#"{"value": "0c0"}"#), 400, "order-invalid");

    // Hardly anybody knows it: whoever must understand it would refuse the certificate.
    let refused =
        problem(local.post(&format!("/v1/requests/{id}/approve"), ""), 400, "officer-lint");
    assert!(refused.hint.unwrap().contains("set-extension"));
    assert_eq!(put(&local, &path, r#"{"value": "0c026869"}"#).status(), 200);
    let approved: SubmitAnswer =
        local.post(&format!("/v1/requests/{id}/approve"), "").json().unwrap();
    let text = exeunt_testkit::tools::run_ok(
        exeunt_testkit::tools::openssl(),
        ["x509", "-noout", "-text"],
        approved.certificate.unwrap().as_bytes(),
    );
    let text = String::from_utf8_lossy(text.as_ref()).into_owned();
    assert!(text.contains("1.2.3.4:"), "{text}");
}

#[test]
fn a_certificate_is_revoked_revoked_anew_held_and_released() {
    let ca = Ca::start();
    let local = ca.local();
    let serial = issued(&ca);
    let path = format!("/v1/certificates/{serial}");
    let order = |what: &str, body: &'static str| local.post(&format!("{path}/{what}"), body);
    let shown = || -> CertificateDetail { local.get(&path).json().unwrap() };
    assert_eq!(shown().disposition, Some(Disposition::Issued));
    assert_eq!(shown().revocation, None);
    problem(order("unrevoke", ""), 409, "not-on-hold");

    let held = order("revoke", r#"{"reason": "certificate-hold"}"#);
    let held: Revoked = held.json().unwrap();
    assert_eq!((held.serial.as_str(), held.disposition), (&*serial, Disposition::Revoked));
    let revocation = shown().revocation.unwrap();
    assert_eq!(
        (revocation.reason.as_deref(), revocation.reason_code),
        (Some("certificate-hold"), 6)
    );
    assert_eq!(Some(revocation), held.revocation);

    let released: Revoked = order("unrevoke", "").json().unwrap();
    assert_eq!(released.disposition, Disposition::Issued);
    let revocation = released.revocation.unwrap();
    assert_eq!((revocation.reason, revocation.reason_code), (None, 0xFFFF_FFFF));

    let later = r#"{"reason": "superseded", "effective": "2040-01-01T00:00:00+01:00"}"#;
    let revoked: Revoked = order("revoke", later).json().unwrap();
    assert_eq!(revoked.revocation.unwrap().effective, "2039-12-31T23:00:00Z");
    assert_eq!(order("revoke", "").status(), 200);
    assert_eq!(shown().revocation.unwrap().reason.as_deref(), Some("unspecified"));
    problem(order("revoke", r#"{"reason": "certificate-hold"}"#), 409, "hold-of-revoked");
    problem(order("revoke", r#"{"reason": "theft"}"#), 400, "order-invalid");
    problem(order("revoke", r#"{"effective": "yesterday"}"#), 400, "order-invalid");
    problem(local.post("/v1/certificates/7fff/revoke", ""), 404, "certificate-not-found");

    let row: RequestDetail = local.get("/v1/requests/1").json().unwrap();
    assert_eq!(row.summary.disposition, Disposition::Revoked);
    assert_eq!(row.revocation.unwrap().reason.as_deref(), Some("unspecified"));
}

#[test]
fn whoever_is_no_officer_orders_nothing() {
    let ca = Ca::start();
    let remote = ca.remote();
    let (id, serial) = (held(&ca), issued(&ca));
    for path in [
        format!("/v1/requests/{id}/approve"),
        format!("/v1/requests/{id}/deny"),
        format!("/v1/requests/{id}/resubmit"),
        format!("/v1/certificates/{serial}/revoke"),
        format!("/v1/certificates/{serial}/unrevoke"),
        "/v1/crls".to_owned(),
    ] {
        problem(remote.post(&path, ""), 403, "role-missing");
    }
    let put = |path: &str| put(&remote, &format!("/v1/requests/{id}/{path}"), "{}");
    problem(put("attributes"), 403, "role-missing");
    problem(put("extensions/1.2.3"), 403, "role-missing");
    problem(remote.get(&format!("/v1/requests/{id}/approve")), 405, "method-not-allowed");
}

#[test]
fn approvals_that_hang_hold_up_nobody_who_needs_no_key() {
    let (ca, gate) = Ca::start_gated(Wanted::default());
    gate.pass(3);
    let (waits, other, serial) = (held(&ca), held(&ca), issued(&ca));
    (0..3).for_each(|_| gate.wait());
    let (local, remote) = (ca.local(), ca.remote());
    std::thread::scope(|scope| {
        // More than there is room for.
        let approvals: Vec<_> = (0..6)
            .map(|_| {
                let local = &local;
                scope.spawn(move || local.post(&format!("/v1/requests/{waits}/approve"), ""))
            })
            .collect();
        (0..4).for_each(|_| gate.wait());
        for _ in 0..8 {
            let fetched = remote.post(&format!("/v1/requests/{waits}/retrieve"), "");
            assert_eq!(fetched.status(), 202);
        }
        let attributes = format!("/v1/requests/{other}/attributes");
        assert_eq!(put(&local, &attributes, r#"{"attributes": ["a:b"]}"#).status(), 200);
        assert_eq!(local.post(&format!("/v1/requests/{other}/deny"), "").status(), 200);
        let hold = r#"{"reason": "certificate-hold"}"#;
        let certificate = format!("/v1/certificates/{serial}");
        assert_eq!(local.post(&format!("{certificate}/revoke"), hold).status(), 200);
        assert_eq!(local.post(&format!("{certificate}/unrevoke"), "").status(), 200);
        assert_eq!(local.get("/v1/exits").status(), 200);
        gate.open();
        let answers = approvals.into_iter().map(|it| it.join().unwrap().status().as_u16());
        let mut answers: Vec<u16> = answers.collect();
        answers.sort_unstable();
        assert_eq!(answers, [200, 409, 409, 409, 409, 409]);
    });
}

#[test]
fn lists_that_wait_for_the_key_hold_up_no_revocation() {
    let ca = Ca::start();
    let serial = issued(&ca);
    let (local, remote) = (ca.local(), ca.remote());
    let before = ca.key.asked();
    let hold = ca.key.hold();
    std::thread::scope(|scope| {
        let made: Vec<_> =
            (0..6).map(|_| scope.spawn(|| ca.local().post("/v1/crls", "").status())).collect();
        eventually("a list at the key", || (before < ca.key.asked()).then_some(()));
        let path = format!("/v1/certificates/{serial}/revoke");
        assert_eq!(local.post(&path, "").status(), 200);
        assert_eq!(local.get("/v1/exits").status(), 200);
        assert_eq!(remote.post("/v1/requests/1/retrieve", "").status(), 200);
        drop(hold);
        assert!(made.into_iter().all(|it| it.join().unwrap() == 200));
    });
}

#[test]
fn a_refusal_waits_for_its_own_event_and_not_for_those_of_others() {
    let asked: Arc<Mutex<Vec<EventSeq>>> = Arc::default();
    let told = {
        let asked = Arc::clone(&asked);
        move |event| {
            let mut asked = asked.lock().unwrap();
            asked.push(event);
            // The first question is whether everything was told.
            1 < asked.len()
        }
    };
    let before_reply = Some(BeforeReply { told: Arc::new(told), limit: Duration::from_secs(5) });
    let ca = Ca::start_as(Wanted { before_reply, ..Wanted::default() });
    let local = ca.local();
    let id = held(&ca);
    let template = r#"{"attributes": ["CertificateTemplate:none-of-that-name"]}"#;
    assert_eq!(put(&local, &format!("/v1/requests/{id}/attributes"), template).status(), 200);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                ca.engine.store().append_server_event(EventKind::HEARTBEAT, UnixMillis(0)).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        for _ in 0..10 {
            asked.lock().unwrap().clear();
            let refused = local.post(&format!("/v1/requests/{id}/resubmit"), "");
            assert_eq!(refused.status(), 403);
            let events = ca.engine.store().events_of_request(RequestId(id), 100).unwrap();
            assert_eq!(asked.lock().unwrap()[1..], [events.last().unwrap().seq]);
        }
        for _ in 0..10 {
            let request = ca.request("/CN=host.example", &[]);
            asked.lock().unwrap().clear();
            let answer = local.post("/v1/requests?template=none-of-that-name", request);
            let refused: SubmitAnswer = answer.json().unwrap();
            let id = RequestId(refused.request_id);
            let events = ca.engine.store().events_of_request(id, 100).unwrap();
            assert_eq!(asked.lock().unwrap()[1..], [events[0].seq]);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    // Where nothing came of it there is nothing to wait for.
    asked.lock().unwrap().clear();
    problem(local.post(&format!("/v1/requests/{id}/approve"), ""), 409, "wrong-state");
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn lists_are_made_and_listed() {
    let ca = Ca::start();
    let (local, remote) = (ca.local(), ca.remote());
    let none: CrlPage = remote.get("/v1/crls").json().unwrap();
    assert!(none.crls.is_empty());
    let next = r#"{"next": "2030-01-01T00:00:00Z"}"#;
    let made: CrlPage = local.post("/v1/crls", next).json().unwrap();
    let [first] = &made.crls[..] else { panic!("{made:?}") };
    assert_eq!((first.kind.as_str(), first.key_index, first.entries), ("base", 0, 0));
    assert_eq!(first.next_publish, "2030-01-01T00:00:00Z");
    let made: CrlPage = local.post("/v1/crls", "").json().unwrap();
    assert_eq!(made.crls[0].number, first.number + 1);

    let page: CrlPage = remote.get("/v1/crls?limit=1").json().unwrap();
    assert_eq!(
        (page.crls.as_slice(), page.next_before),
        (&made.crls[..], Some(made.crls[0].number))
    );
    let page: CrlPage =
        remote.get(&format!("/v1/crls?before={}", made.crls[0].number)).json().unwrap();
    assert_eq!((&page.crls[0], page.next_before), (first, None));
    let one: CrlPage = remote.get(&format!("/v1/crls/{}", first.number)).json().unwrap();
    assert_eq!(&one.crls[0], first);
    let der = remote.get(&format!("/v1/crls/{}/base", first.number));
    assert_eq!(der.headers()["content-type"], "application/pkix-crl");
    assert_eq!(der.bytes().unwrap().len() as u64, first.length);

    problem(remote.get("/v1/crls/99"), 404, "crl-not-found");
    problem(remote.get(&format!("/v1/crls/{}/delta", first.number)), 404, "crl-not-found");
    problem(remote.get("/v1/crls/one"), 400, "crl-number-invalid");
    problem(remote.get("/v1/crls/1/complete"), 404, "path-unknown");
    problem(local.post("/v1/crls", r#"{"delta": true}"#), 409, "crl-deltas-off");
    problem(
        local.post("/v1/crls", r#"{"next": "2001-01-01T00:00:00Z"}"#),
        409,
        "crl-next-publish-past",
    );
    problem(local.post("/v1/crls", r#"{"next": "soon"}"#), 400, "order-invalid");
}
