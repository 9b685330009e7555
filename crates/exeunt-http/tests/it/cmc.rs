//! Requests in messages, and answers in them: `POST /cmc`, and `Accept` at `/v1/requests`.

use std::path::PathBuf;

use exeunt_api::{
    CERTS_ONLY_MEDIA_TYPE, CMC_RESPONSE_MEDIA_TYPE, CMS_MEDIA_TYPE, Disposition, RequestDetail,
    SubmitAnswer,
};
use exeunt_testkit::messages::{DATA, MessageSigner, PKI_DATA, cmc, sign, verified};
use exeunt_testkit::requests::openssl_key;
use reqwest::blocking::Response;

use crate::ca::{Ca, Http, problem};

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |it| it.to_str().unwrap())
}

fn ask(http: &Http, path: &str, accept: &str, body: &[u8]) -> Response {
    let request = http.client.post(format!("{}{path}", http.base)).header("accept", accept);
    http.send(request.header("content-type", CMS_MEDIA_TYPE).body(body.to_vec()))
}

fn root(ca: &Ca) -> PathBuf {
    let path = ca.home.path().join("root.pem");
    let pem = exeunt_x509::encode_pem("CERTIFICATE", ca.engine.certificate_der());
    std::fs::write(&path, pem).unwrap();
    path
}

/// What pyasn1 reads in a full response that openssl has verified, its first control.
#[track_caller]
fn status_info(ca: &Ca, response: Response) -> String {
    assert_eq!(
        (response.status().as_u16(), header(&response, "content-type")),
        (200, CMC_RESPONSE_MEDIA_TYPE)
    );
    assert_eq!(header(&response, "cache-control"), "no-store");
    let content = verified(&response.bytes().unwrap(), &root(ca)).unwrap();
    let file = ca.home.path().join("content.der");
    std::fs::write(&file, content).unwrap();
    let lines = cmc(&format!("response(read({:?}))", file.to_str().unwrap()));
    String::from_utf8(lines).unwrap().lines().next().unwrap().to_owned()
}

/// A full request that nobody signed, around one of openssl's.
fn full_request(ca: &Ca, subject: &str) -> Vec<u8> {
    let pem = ca.home.path().join("request.pem");
    std::fs::write(&pem, ca.request(subject, &[])).unwrap();
    let der = format!(
        "__import__('ssl').PEM_cert_to_DER_cert(open({:?}).read().replace('CERTIFICATE REQUEST', 'CERTIFICATE'))",
        pem.to_str().unwrap()
    );
    let data = format!("pki_data([control(2, CMC + '5', integer(7))], [tcr(1, {der})])");
    cmc(&format!("signed_data('{PKI_DATA}', {data}, [no_signature('{PKI_DATA}', {data})])"))
}

#[test]
fn cmc_is_answered_with_cmc() {
    let ca = Ca::start();
    let http = ca.remote();
    let message = full_request(&ca, "/CN=host.example");
    let response = ask(&http, "/cmc", "*/*", &message);
    assert_eq!(
        (header(&response, "exeunt-request"), header(&response, "exeunt-disposition")),
        ("1", "issued")
    );
    assert_eq!(status_info(&ca, response), "1 25 success 1 issued");
    let detail: RequestDetail = http.get("/v1/requests/1").json().unwrap();
    assert!(detail.request.starts_with("-----BEGIN CMS-----\n"), "{}", detail.request);

    let held = ask(&http, "/cmc?template=held", "*/*", &message);
    assert_eq!(header(&held, "exeunt-disposition"), "pending");
    assert!(status_info(&ca, held).starts_with("1 25 pending 1 taken under submission 32 "));
    let refused = ask(&http, "/cmc?template=nonsense", "*/*", &message);
    assert_eq!(
        (header(&refused, "exeunt-request"), header(&refused, "exeunt-disposition")),
        ("3", "denied")
    );
    assert!(status_info(&ca, refused).contains(" template-unknown: "));
    let failed = ask(&http, "/cmc", "*/*", b"hello");
    assert_eq!(
        (header(&failed, "exeunt-request"), header(&failed, "exeunt-disposition")),
        ("", "failed")
    );
    assert!(status_info(&ca, failed).starts_with("1 25 failed 0 request-not-pem: "));
}

#[test]
fn who_asks_in_json_is_answered_in_json_whatever_he_sent() {
    let ca = Ca::start();
    let http = ca.local();
    let message = full_request(&ca, "/CN=host.example");
    let answer: SubmitAnswer = ask(&http, "/v1/requests", "*/*", &message).json().unwrap();
    assert_eq!(answer.disposition, Disposition::Issued);
    let response = ask(&http, "/v1/requests", CMC_RESPONSE_MEDIA_TYPE, &message);
    assert_eq!(status_info(&ca, response), "1 25 success 1 issued");
}

#[test]
fn a_certificate_alone_comes_in_pkcs7() {
    let ca = Ca::start();
    let http = ca.local();
    let request = ca.request("/CN=host.example", &[]);
    for (path, accept) in
        [("/v1/requests", CERTS_ONLY_MEDIA_TYPE), ("/cmc", "*/*"), ("/v1/requests", CMS_MEDIA_TYPE)]
    {
        let response = ask(&http, path, accept, &request);
        assert_eq!(header(&response, "content-type"), CERTS_ONLY_MEDIA_TYPE);
        assert_eq!(header(&response, "exeunt-disposition"), "issued");
        let der = response.bytes().unwrap();
        let root = ca.engine.certificate_der();
        assert!(der.windows(root.len()).any(|it| it == root));
    }
    // Where there is no certificate there is nothing to put into one.
    let held = ask(&http, "/v1/requests?template=held", CERTS_ONLY_MEDIA_TYPE, &request);
    assert_eq!(held.status(), 202);
    assert_eq!(held.json::<SubmitAnswer>().unwrap().disposition, Disposition::Pending);
    problem(ask(&http, "/v1/requests", CERTS_ONLY_MEDIA_TYPE, b"hello"), 400, "request-not-pem");
    // In CMC there is.
    let held = ask(&http, "/cmc?template=held", "*/*", &request);
    assert!(status_info(&ca, held).starts_with("1 25 pending 0 taken under submission "));
}

#[test]
fn a_signer_who_is_not_believed_is_a_problem_with_a_row() {
    let ca = Ca::start();
    let http = ca.local();
    // A certificate of nobody.
    let signer = MessageSigner {
        certificate: ca.home.path().join("nobody.pem"),
        key: openssl_key("ec:P-256"),
    };
    let (key, out) = (signer.key.to_str().unwrap(), signer.certificate.to_str().unwrap());
    let args = ["req", "-x509", "-new", "-subj", "/CN=host.example", "-key", key, "-out", out];
    exeunt_testkit::tools::run_ok(exeunt_testkit::tools::openssl(), args, b"");
    let (_, request) =
        super::api::pem_der(&String::from_utf8(ca.request("/CN=host.example", &[])).unwrap());
    let message = sign(&request, DATA, &[&signer]);
    let found = problem(http.post("/v1/requests", message.clone()), 400, "request-signer-unknown");
    assert_eq!(found.request_id, Some(1));
    let answer = ask(&http, "/cmc", "*/*", &message);
    let told = status_info(&ca, answer);
    assert!(told.starts_with("1 25 failed 0 request-signer-unknown: "), "{told}");
    assert!(told.ends_with(" badIdentity"), "{told}");
    let detail: RequestDetail = http.get("/v1/requests/2").json().unwrap();
    assert_eq!(detail.summary.disposition, Disposition::Failed);
    assert!(detail.request.starts_with("-----BEGIN PKCS7-----\n"), "{}", detail.request);
}

#[test]
fn the_door_of_cmc_asks_who_is_there() {
    let ca = Ca::start();
    let mut http = ca.remote();
    problem(http.get("/cmc"), 405, "method-not-allowed");
    http.token = None;
    problem(http.post("/cmc", "hello"), 401, "unauthorized");
}

#[test]
fn an_answer_that_cannot_be_signed_is_a_problem_and_the_decision_stands() {
    let ca = Ca::start();
    let http = ca.local();
    let message = full_request(&ca, "/CN=host.example");
    ca.key.break_after(1);
    let found = problem(ask(&http, "/cmc", "*/*", &message), 503, "cmc-sign");
    assert_eq!(found.request_id, Some(1));
    let answer: SubmitAnswer = http.post("/v1/requests/1/retrieve", "").json().unwrap();
    assert_eq!(answer.disposition, Disposition::Issued);
}
