//! What each path answers.

use exeunt_api::{
    CaDescription, CertificateDetail, CertificatePage, Disposition, ExitDetail, ExitList, Health,
    HeldState, RequestDetail, RequestPage, SubmitAnswer,
};
use exeunt_testkit::foreign::openssl_verify;
use exeunt_types::RequestId;

use crate::ca::{Ca, problem};

#[test]
fn a_submission_is_answered_with_its_certificate() {
    let ca = Ca::start();
    let http = ca.local();
    let response = http.post("/v1/requests", ca.request("/CN=host.example", &["host.example"]));
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    let answer: SubmitAnswer = response.json().unwrap();
    assert_eq!((answer.request_id, answer.disposition), (1, Disposition::Issued));
    assert_eq!(answer.subject.as_deref(), Some("CN=host.example"));
    assert!(answer.not_before.unwrap() < answer.not_after.unwrap());

    let described: CaDescription = http.get("/v1/ca").json().unwrap();
    assert_eq!(described.name, "edge");
    let [own] = &described.certificates[..] else { panic!("{:?}", described.certificates) };
    assert_eq!((own.index, own.key_index, own.suffix.as_str()), (0, 0, ""));
    assert_eq!((own.cert_state.as_str(), own.crl_state.as_str()), ("valid", "valid"));
    assert_eq!(own.certificate, described.certificate);
    let certificate = answer.certificate.unwrap();
    openssl_verify(&certificate, &described.certificate).unwrap();

    let serial = answer.serial.unwrap();
    let detail: CertificateDetail = http.get(&format!("/v1/certificates/{serial}")).json().unwrap();
    assert_eq!((detail.certificate, detail.summary.request_id), (certificate, 1));
    assert_eq!(detail.summary.subject_alternative_names, "dns:host.example");
    assert_eq!(detail.summary.key_type, "ecdsa-p256");

    let detail: RequestDetail = http.get("/v1/requests/1").json().unwrap();
    assert_eq!(detail.summary.serial, Some(serial));
    assert_eq!(detail.summary.disposition, Disposition::Issued);
    assert_eq!(detail.summary.template, "tls-server");
    assert!(detail.summary.caller.starts_with("local:"), "{}", detail.summary.caller);
}

#[test]
fn a_request_may_be_der_and_carry_attributes_in_query_and_headers() {
    let ca = Ca::start();
    let http = ca.remote();
    let pem = String::from_utf8(ca.request("/CN=host.example", &[])).unwrap();
    let (_, der) = pem_der(&pem);
    let url = format!("{}/v1/requests?template=tls-server&attribute=CertFile:yes", http.base);
    let request = http
        .client
        .post(url)
        .header("content-type", "application/pkcs10")
        .header("Exeunt-Attribute", "Cost-Centre: 4711")
        .header("Exeunt-Attribute", "san:dns=ignored.example")
        .body(der);
    let answer: SubmitAnswer = http.send(request).json().unwrap();
    assert_eq!(answer.disposition, Disposition::Issued);

    let detail: RequestDetail = http.get("/v1/requests/1").json().unwrap();
    let attributes: Vec<_> =
        detail.attributes.iter().map(|it| (it.name.as_str(), it.value.as_str())).collect();
    assert_eq!(
        attributes,
        [("CertFile", "yes"), ("CostCentre", "4711"), ("san", "dns=ignored.example")]
    );
    assert_eq!(detail.summary.caller, "token:tests");
    assert_eq!(pem_der(&detail.request), pem_der(&pem));
}

/// Label and bytes, read by another implementation than the one that wrote them.
pub fn pem_der(pem: &str) -> (String, Vec<u8>) {
    use tokio_rustls::rustls::pki_types::{CertificateSigningRequestDer, pem::PemObject};
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap();
    (pem.lines().next().unwrap().to_owned(), der.to_vec())
}

#[test]
fn a_held_request_is_pending_and_a_refused_one_is_denied() {
    let ca = Ca::start();
    let http = ca.local();
    let request = ca.request("/CN=host.example", &[]);
    let response = http.post("/v1/requests?template=held", request.clone());
    assert_eq!(response.status(), 202);
    let answer: SubmitAnswer = response.json().unwrap();
    assert_eq!(answer.disposition, Disposition::Pending);
    assert!(answer.message.is_some() && answer.certificate.is_none());

    let response = http.post("/v1/requests?template=nonsense", request);
    assert_eq!(response.status(), 403);
    assert_eq!(response.headers()["content-type"], "application/json");
    let answer: SubmitAnswer = response.json().unwrap();
    assert_eq!(answer.disposition, Disposition::Denied);
    assert_eq!(answer.code.as_deref(), Some("template-unknown"));
    // CERTSRV_E_UNSUPPORTED_CERT_TYPE.
    assert_eq!(answer.status_code.as_deref(), Some("0x80094800"));
    assert!(answer.message.unwrap().contains("nonsense"));
}

#[test]
fn what_is_no_request_is_a_problem_of_the_requester() {
    let ca = Ca::start();
    let http = ca.local();
    let refused = |body: &str| http.post("/v1/requests", body.to_owned());
    assert_eq!(refused("no request").status(), 400);
    problem(refused(""), 400, "request-empty");
    problem(http.post("/v1/requests?tempalte=x", "x"), 400, "query-invalid");
    let long = format!("/v1/requests?attribute=a:{}", "b".repeat(8_193));
    problem(http.post(&long, "x"), 414, "url-too-long");

    let url = format!("{}/v1/requests", http.base);
    let many = (0..2).fold(http.client.post(&url).body("x"), |request, it| {
        request.header("Exeunt-Attribute", format!("n{it}:{}", "v".repeat(20_000)))
    });
    problem(http.send(many), 400, "attribute-too-large");

    // What `curl -d @request.pem` makes of a file.
    let request = ca.request("/CN=host.example", &[]);
    let flat: Vec<u8> = request.into_iter().filter(|it| *it != b'\n').collect();
    let form = "application/x-www-form-urlencoded";
    let sent = http.send(http.client.post(&url).header("content-type", form).body(flat));
    assert_eq!(sent.status(), 400);
    let hint = sent.json::<exeunt_api::Problem>().unwrap().hint;
    assert!(hint.unwrap().contains("--data-binary"));
    assert!(ca.engine.store().request(RequestId(1)).unwrap().is_none(), "a row was written");
}

#[test]
fn lists_come_in_pages_newest_first() {
    let ca = Ca::start();
    let http = ca.local();
    let request = ca.request("/CN=host.example", &[]);
    for _ in 0..5 {
        assert_eq!(http.post("/v1/requests", request.clone()).status(), 200);
    }
    let mut path = "/v1/requests?limit=2".to_owned();
    let mut seen = Vec::new();
    loop {
        let page: RequestPage = http.get(&path).json().unwrap();
        seen.extend(page.requests.iter().map(|it| it.id));
        let Some(before) = page.next_before else { break };
        path = format!("/v1/requests?limit=2&before={before}");
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
    let page: CertificatePage = http.get("/v1/certificates?before=3").json().unwrap();
    let seen: Vec<_> = page.certificates.iter().map(|it| it.summary.request_id).collect();
    assert_eq!((seen, page.next_before), (vec![2, 1], None));

    problem(http.get("/v1/requests?limit=1001"), 400, "query-invalid");
    problem(http.get("/v1/requests/6"), 404, "request-not-found");
    problem(http.get("/v1/requests/six"), 400, "request-id-invalid");
    problem(http.get("/v1/certificates/4a"), 404, "certificate-not-found");
    problem(http.get("/v1/certificates/xyz"), 400, "serial-invalid");
}

#[test]
fn exit_modules_are_told_of_as_the_dispatcher_tells() {
    let ca = Ca::start();
    let http = ca.local();
    let list: ExitList = http.get("/v1/exits").json().unwrap();
    let names: Vec<_> = list.exits.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["file", "mail"]);
    let detail: ExitDetail = http.get("/v1/exits/mail").json().unwrap();
    assert_eq!((detail.status.held_parked, detail.held.len()), (1, 2));
    assert_eq!(detail.held[0].state, HeldState::Parked);
    problem(http.get("/v1/exits/nobody"), 404, "exit-not-found");
}

#[test]
fn unknown_paths_and_wrong_methods_are_problems() {
    let ca = Ca::start();
    let http = ca.local();
    for path in ["/", "/v1", "/v1/", "/v2/ca", "/v1/nothing", "/v1/requests/", "/v1/requests/1/2"] {
        problem(http.get(path), 404, "path-unknown");
    }
    problem(http.get("/v1/ca?x=y"), 400, "query-invalid");
    let send = |method: reqwest::Method, path: &str| {
        http.send(http.client.request(method, format!("{}{path}", http.base)))
    };
    let response = send(reqwest::Method::DELETE, "/v1/requests");
    assert_eq!(response.headers()["allow"], "GET, HEAD, POST");
    problem(response, 405, "method-not-allowed");
    problem(send(reqwest::Method::POST, "/v1/requests/1"), 405, "method-not-allowed");
    problem(send(reqwest::Method::OPTIONS, "/v1/health"), 405, "method-not-allowed");
    let head = send(reqwest::Method::HEAD, "/v1/health");
    assert_eq!((head.status().as_u16(), head.text().unwrap().as_str()), (200, ""));
}

#[test]
fn health_needs_no_token() {
    let ca = Ca::start();
    let mut http = ca.remote();
    http.token = None;
    let health: Health = http.get("/v1/health").json().unwrap();
    assert_eq!(
        (health.status.as_str(), health.version.as_str()),
        ("ok", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn the_document_that_is_served_is_the_one_that_is_committed() {
    let ca = Ca::start();
    let committed: serde_json::Value =
        serde_json::from_str(include_str!("../../../../docs/openapi.json")).unwrap();
    let served: serde_json::Value = ca.remote().get("/v1/openapi.json").json().unwrap();
    assert_eq!(served, committed);
    // Each row of the table is there, and nothing else.
    let mut documented = 0;
    for endpoint in exeunt_http::ENDPOINTS {
        let path = endpoint.path.replace("{+", "{");
        let operation = &committed["paths"][&path][endpoint.method.to_lowercase()];
        assert_eq!(operation["operationId"], endpoint.operation.id(), "{path}");
        documented += 1;
    }
    let paths = committed["paths"].as_object().unwrap();
    let all: usize = paths.values().map(|it| it.as_object().unwrap().len()).sum();
    assert_eq!(all, documented);
}
