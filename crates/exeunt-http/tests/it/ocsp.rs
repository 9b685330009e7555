//! OCSP over HTTP: `openssl ocsp` asks, and judges what it is told.

use std::fs;
use std::io::{Read as _, Write as _};
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use exeunt_api::{OCSP_REQUEST_BYTES_MAX, SubmitAnswer};
use exeunt_testkit::tools;
use exeunt_x509::{OcspRefusal, refuse_ocsp};
use reqwest::Method;
use reqwest::blocking::Response;

use crate::ca::{Ca, Http, Raw, eventually, problem};

/// Somebody from anywhere.
fn stranger(ca: &Ca) -> Http {
    Http { token: None, ..ca.remote() }
}

/// An issued certificate; its serial number.
fn issued(ca: &Ca) -> String {
    let request = ca.request("/CN=host.example", &[]);
    let answer: SubmitAnswer = ca.local().post("/v1/requests", request).json().unwrap();
    answer.serial.unwrap()
}

/// Runs `openssl ocsp` about a certificate of the CA; what it says, and the file it writes.
fn openssl(ca: &Ca, serial: &str, words: &str) -> String {
    let described: exeunt_api::CaDescription = ca.local().get("/v1/ca").json().unwrap();
    let root = ca.home.path().join("root.pem");
    fs::write(&root, described.certificate).unwrap();
    let root = root.display();
    let line = format!("ocsp -issuer {root} -CAfile {root} -serial 0x{serial} {words}");
    let output = tools::run(tools::openssl(), line.split_whitespace(), b"");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

/// A request about a certificate, DER.
fn request(ca: &Ca, serial: &str, options: &str) -> Vec<u8> {
    let file = ca.home.path().join("request.der");
    openssl(ca, serial, &format!("{options} -reqout {}", file.display()));
    fs::read(file).unwrap()
}

/// What openssl reads of an answer.
fn status(ca: &Ca, serial: &str, answer: Response) -> String {
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "content-type"), "application/ocsp-response");
    let file = ca.home.path().join("answer.der");
    fs::write(&file, answer.bytes().unwrap()).unwrap();
    let said = openssl(ca, serial, &format!("-no_nonce -respin {}", file.display()));
    assert!(said.contains("Response verify OK"), "{said}");
    let about = format!("0x{serial}: ");
    let line = said.lines().find_map(|it| it.strip_prefix(&about)).unwrap();
    line.to_owned()
}

/// The path that asks, with everything in percent that may be.
fn path(request: &[u8]) -> String {
    let encoded = STANDARD.encode(request);
    let encoded = encoded.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
    format!("/ocsp/{encoded}")
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers()[name].to_str().unwrap()
}

fn revoke(ca: &Ca, serial: &str) {
    let path = format!("/v1/certificates/{serial}/revoke");
    assert_eq!(ca.local().post(&path, "").status(), 200);
}

fn ask_again(http: &Http, path: &str, name: &str, value: &str) -> Response {
    let request = http.client.request(Method::GET, format!("{}{path}", http.base));
    http.send(request.header(name, value))
}

#[test]
fn everybody_may_ask_and_hears_of_a_revocation_at_once() {
    let ca = Ca::start();
    let serial = issued(&ca);
    let asked = request(&ca, &serial, "-no_nonce");
    for http in [stranger(&ca), ca.local()] {
        assert_eq!(status(&ca, &serial, http.post("/ocsp", asked.clone())), "good");
        assert_eq!(status(&ca, &serial, http.post("/ocsp/", asked.clone())), "good");
        assert_eq!(status(&ca, &serial, http.get(&path(&asked))), "good");
        let raw = format!("/ocsp/{}", STANDARD.encode(&asked));
        assert_eq!(status(&ca, &serial, http.get(&raw)), "good");
    }
    revoke(&ca, &serial);
    let http = stranger(&ca);
    assert_eq!(status(&ca, &serial, http.post("/ocsp", asked.clone())), "revoked");
    assert_eq!(status(&ca, &serial, http.get(&path(&asked))), "revoked");
    assert_eq!(status(&ca, "7fff", http.post("/ocsp", request(&ca, "7fff", ""))), "unknown");
}

#[test]
fn openssl_asks_by_itself() {
    let ca = Ca::start();
    let serial = issued(&ca);
    let said = openssl(&ca, &serial, &format!("-url http://{}/ocsp", ca.address()));
    assert!(said.contains(&format!("0x{serial}: good")), "{said}");
    assert!(!said.contains("no nonce"), "{said}");
}

#[test]
fn what_was_asked_in_a_path_may_be_kept_until_it_ends() {
    let ca = Ca::start();
    let serial = issued(&ca);
    let http = stranger(&ca);
    let path = path(&request(&ca, &serial, "-no_nonce"));
    let first = http.get(&path);
    let cache = header(&first, "cache-control").to_owned();
    let age = cache.strip_prefix("public, max-age=").unwrap();
    let age: u64 = age.strip_suffix(", no-transform, must-revalidate").unwrap().parse().unwrap();
    // Four hours, asked this minute.
    assert!((14_340..=14_400).contains(&age), "{cache}");
    let seconds = |name| {
        let date = httpdate::parse_http_date(header(&first, name)).unwrap();
        date.duration_since(UNIX_EPOCH).unwrap().as_secs()
    };
    assert_eq!(seconds("expires") - seconds("last-modified"), 4 * 3600);
    let tag = header(&first, "etag").to_owned();
    let length = header(&first, "content-length").to_owned();
    let same = ask_again(&http, &path, "if-none-match", &tag);
    assert_eq!(same.status(), 304);
    assert_eq!(header(&same, "etag"), tag);
    assert!(same.bytes().unwrap().is_empty());
    let head = http.send(http.client.head(format!("{}{path}", http.base)));
    assert_eq!((header(&head, "etag"), header(&head, "content-length")), (&*tag, &*length));
    // A date says nothing: the next answer may be of the same second.
    let made = header(&first, "last-modified").to_owned();
    revoke(&ca, &serial);
    let anew = ask_again(&http, &path, "if-modified-since", &made);
    assert_ne!(header(&anew, "etag"), tag);
    assert_eq!(status(&ca, &serial, anew), "revoked");
    assert_eq!(ask_again(&http, &path, "if-none-match", &tag).status(), 200);
}

#[test]
fn what_is_for_one_client_or_soon_over_is_not_kept() {
    let ca = Ca::start();
    let serial = issued(&ca);
    let http = stranger(&ca);
    let plain = request(&ca, &serial, "-no_nonce");
    let unknown = request(&ca, "7fff", "-no_nonce");
    for answer in [
        http.post("/ocsp", plain),
        http.get(&path(&request(&ca, &serial, "-nonce"))),
        http.get(&path(&unknown)),
        http.get("/ocsp/MAA="),
    ] {
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "cache-control"), "no-store");
        assert!(!answer.headers().contains_key("etag"));
    }
}

#[test]
fn what_is_no_request_is_refused_in_the_words_of_ocsp() {
    let ca = Ca::start();
    let http = stranger(&ca);
    let malformed = refuse_ocsp(OcspRefusal::MalformedRequest);
    for answer in [
        http.post("/ocsp", ""),
        http.post("/ocsp", "hello"),
        http.get("/ocsp/hello"),
        http.get("/ocsp/%%%"),
        http.get("/ocsp/MAA=/more"),
        http.post("/ocsp", vec![0x30; OCSP_REQUEST_BYTES_MAX]),
    ] {
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "content-type"), "application/ocsp-response");
        assert_eq!(answer.bytes().unwrap(), &malformed[..]);
    }
    let stranger = request(&Ca::start(), "1234", "");
    let refused = http.post("/ocsp", stranger).bytes().unwrap();
    assert_eq!(refused, &refuse_ocsp(OcspRefusal::Unauthorized)[..]);
}

#[test]
fn what_does_not_arrive_as_http_is_a_problem() {
    let ca = Ca::start();
    let http = stranger(&ca);
    let body = vec![0x30; OCSP_REQUEST_BYTES_MAX + 1];
    problem(http.post("/ocsp", body), 413, "ocsp-request-too-large");
    problem(http.get(&format!("/ocsp/{}", "M".repeat(10_000))), 414, "url-too-long");
    problem(http.post("/ocsp?a=b", "x"), 400, "query-invalid");
    for path in ["/ocsp", "/ocsp/"] {
        let refused = http.get(path);
        assert_eq!(header(&refused, "allow"), "POST");
        problem(refused, 405, "method-not-allowed");
    }
    let refused = http.post("/ocsp/MAA=", "");
    assert_eq!(header(&refused, "allow"), "GET, HEAD");
    problem(refused, 405, "method-not-allowed");
    problem(http.get("/ocspx"), 401, "unauthorized");
}

#[test]
fn one_too_many_is_told_to_try_later_and_nothing_else_waits() {
    // As `OCSP_IN_FLIGHT_MAX` has it.
    const IN_FLIGHT_MAX: usize = 256;
    let ca = Ca::start();
    let serial = issued(&ca);
    ca.local().post("/v1/crls", "");
    let asked = request(&ca, &serial, "-no_nonce");
    // Nobody can answer before the responder has its certificate.
    let hold = ca.key.hold();
    let mut clients: Vec<_> = (0..=IN_FLIGHT_MAX).map(|_| ca.raw()).collect();
    for client in &mut clients {
        let length = asked.len();
        client.write(&format!(
            "POST /ocsp HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        ));
        client.0.write_all(&asked).unwrap();
        client.0.set_nonblocking(true).unwrap();
    }
    let has_answer = |it: &Raw| it.0.peek(&mut [0]).is_ok_and(|count| count == 1);
    let at = eventually("an answer", || clients.iter().position(has_answer));
    let body = |mut client: Raw| {
        client.0.set_nonblocking(false).unwrap();
        let mut answer = Vec::new();
        client.0.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
        let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
        answer.split_off(end + 4)
    };
    let late = body(clients.remove(at));
    assert_eq!(late, refuse_ocsp(OcspRefusal::TryLater));
    let http = stranger(&ca);
    assert_eq!(http.get("/crl/ca.crl").status(), 200);
    assert_eq!(http.get("/ca/ca.crt").status(), 200);
    assert_eq!(ca.remote().get("/v1/certificates").status(), 200);
    revoke(&ca, &serial);
    assert!(!clients.iter().any(has_answer));
    drop(hold);
    let answers: Vec<_> = clients.into_iter().map(body).collect();
    assert!(answers.iter().all(|it| it.len() > late.len()));
    assert_eq!(status(&ca, &serial, http.post("/ocsp", asked)), "revoked");
}
