//! Submissions that are repeated with a key are made once.

use std::time::Duration;

use exeunt_api::{
    CERTS_ONLY_MEDIA_TYPE, Disposition, IDEMPOTENCY_KEY_HEADER, RequestPage, SubmitAnswer,
};
use reqwest::blocking::Response;

use crate::ca::{Ca, Http, Wanted, eventually, problem};

fn submit(http: &Http, query: &str, key: &str, request: &[u8]) -> Response {
    let url = format!("{}/v1/requests{query}", http.base);
    let builder = http.client.post(url).header(IDEMPOTENCY_KEY_HEADER, key);
    http.send(builder.body(request.to_vec()))
}

fn rows(ca: &Ca) -> usize {
    ca.local().get("/v1/requests").json::<RequestPage>().unwrap().requests.len()
}

#[test]
fn the_same_key_with_the_same_request_gets_the_same_answer() {
    let ca = Ca::start();
    let http = ca.remote();
    let request = ca.request("/CN=host.example", &["host.example"]);
    for (place, (query, status)) in
        [("", 200), ("?template=held", 202), ("?template=nothing", 403)].into_iter().enumerate()
    {
        let key = format!("\"key-{place}\"");
        let first = submit(&http, query, &key, &request);
        assert_eq!(first.status(), status);
        let (kind, first) = (first.headers()["content-type"].clone(), first.text().unwrap());
        for again in [key.as_str(), key.trim_matches('"')] {
            let again = submit(&http, query, again, &request);
            assert_eq!(
                (again.status().as_u16(), &again.headers()["content-type"]),
                (status, &kind)
            );
            assert_eq!(again.text().unwrap(), first);
        }
        assert_eq!(rows(&ca), place + 1);
    }
    // Without a key each is one of its own.
    http.post("/v1/requests", request.clone());
    http.post("/v1/requests", request);
    assert_eq!(rows(&ca), 5);
}

#[test]
fn a_key_stands_for_one_request_of_one_caller() {
    let ca = Ca::start();
    let http = ca.remote();
    let request = ca.request("/CN=host.example", &[]);
    assert_eq!(submit(&http, "", "k", &request).status(), 200);
    let other = ca.request("/CN=other.example", &[]);
    problem(submit(&http, "", "k", &other), 422, "idempotency-key-reused");
    for query in ["?template=held", "?template=tls-server", "?attribute=a:b"] {
        problem(submit(&http, query, "k", &request), 422, "idempotency-key-reused");
    }
    for bad in ["", "a b", "\"k", &"x".repeat(129)] {
        problem(submit(&http, "", bad, &request), 400, "idempotency-key-invalid");
    }
    assert_eq!(rows(&ca), 1);
    // Somebody else may have had the same idea.
    let answer: SubmitAnswer = submit(&ca.local(), "", "k", &request).json().unwrap();
    assert_eq!((answer.request_id, answer.disposition), (2, Disposition::Issued));
}

#[test]
fn those_that_come_at_once_get_one_certificate() {
    const CLIENTS: usize = 6;
    let (ca, gate) = Ca::start_gated(Wanted::default());
    let request = ca.request("/CN=host.example", &[]);
    let answers: Vec<String> = std::thread::scope(|scope| {
        let send = || submit(&ca.remote(), "", "k", &request).text().unwrap();
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(send)).collect();
        // Before any of them is decided; a batch comes to the policy one by one.
        gate.wait();
        gate.open();
        clients.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|it| *it == answers[0]), "{answers:?}");
    let answer: SubmitAnswer = serde_json::from_str(&answers[0]).unwrap();
    assert_eq!(answer.disposition, Disposition::Issued);
    assert_eq!(rows(&ca), 1);
}

#[test]
fn whoever_asks_again_while_the_first_is_in_work_waits_for_it() {
    let mut wanted = Wanted::default();
    wanted.limits.read = Duration::from_secs(3);
    let ca = Ca::start_as(wanted);
    let request = ca.request("/CN=host.example", &[]);
    std::thread::scope(|scope| {
        let held = ca.key.hold();
        let asked = ca.key.asked();
        let first = scope.spawn(|| submit(&ca.remote(), "", "k", &request).text().unwrap());
        eventually("the first at the key", || (asked < ca.key.asked()).then_some(()));
        let response = submit(&ca.remote(), "", "k", &request);
        assert_eq!(response.headers()["retry-after"], "1");
        let in_flight = problem(response, 409, "idempotency-key-in-flight");
        assert_eq!(in_flight.request_id, Some(1));
        drop(held);
        let first = first.join().unwrap();
        assert_eq!(submit(&ca.remote(), "", "k", &request).text().unwrap(), first);
    });
    assert_eq!(rows(&ca), 1);
}

#[test]
fn one_that_failed_gives_its_key_back() {
    let ca = Ca::start();
    let http = ca.remote();
    let request = ca.request("/CN=host.example", &[]);
    ca.key.break_after(0);
    problem(submit(&http, "", "k", &request), 503, "issue-sign");
    ca.key.break_after(usize::MAX >> 1);
    let issued: SubmitAnswer = submit(&http, "", "k", &request).json().unwrap();
    assert_eq!((issued.request_id, issued.disposition), (2, Disposition::Issued));
    let again: SubmitAnswer = submit(&http, "", "k", &request).json().unwrap();
    assert_eq!(again, issued);
}

#[test]
fn an_answer_in_cms_is_repeated_in_cms_and_a_decision_since_then_is_told() {
    let ca = Ca::start();
    let http = ca.remote();
    let request = ca.request("/CN=host.example", &[]);
    let asked = |query: &str, key: &str| {
        let url = format!("{}/v1/requests{query}", http.base);
        let builder = http.client.post(url).header(IDEMPOTENCY_KEY_HEADER, key);
        http.send(builder.header("accept", CERTS_ONLY_MEDIA_TYPE).body(request.clone()))
    };
    let first = asked("", "k");
    assert_eq!(first.headers()["content-type"], CERTS_ONLY_MEDIA_TYPE);
    let first = first.bytes().unwrap();
    let again = asked("", "k");
    assert_eq!(again.headers()["exeunt-request"], "1");
    assert_eq!(again.bytes().unwrap(), first);

    assert_eq!(submit(&http, "?template=held", "later", &request).status(), 202);
    assert_eq!(ca.local().post("/v1/requests/2/approve", "").status(), 200);
    let issued: SubmitAnswer = submit(&http, "?template=held", "later", &request).json().unwrap();
    assert_eq!((issued.request_id, issued.disposition), (2, Disposition::Issued));
    assert!(issued.certificate.is_some());
}
