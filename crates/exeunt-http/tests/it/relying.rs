//! What relying parties fetch, without a token.

use std::fs;
use std::io::Write as _;

use exeunt_api::CrlPage;
use reqwest::Method;
use reqwest::blocking::Response;

use crate::ca::{Ca, Http, problem};

/// Somebody from anywhere.
fn stranger(ca: &Ca) -> Http {
    Http { token: None, ..ca.remote() }
}

fn asked(http: &Http, method: Method, path: &str, header: Option<(&str, &str)>) -> Response {
    let mut request = http.client.request(method, format!("{}{path}", http.base));
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    http.send(request)
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers()[name].to_str().unwrap()
}

#[test]
fn a_list_that_is_not_there_yet_is_missing_and_says_so() {
    let ca = Ca::start();
    for http in [stranger(&ca), ca.local()] {
        for path in ["/crl/ca.crl", "/crl/ca+.crl", "/crl/ca(1).crl"] {
            let problem = problem(http.get(path), 404, "crl-not-published");
            assert!(problem.hint.unwrap().contains("exeunt crl publish"));
        }
    }
}

#[test]
fn the_newest_list_is_for_everybody() {
    let ca = Ca::start();
    let made: CrlPage = ca.local().post("/v1/crls", "").json().unwrap();
    let made = &made.crls[0];
    for http in [stranger(&ca), ca.local()] {
        let list = http.get("/crl/ca.crl");
        assert_eq!(list.status(), 200);
        assert_eq!(header(&list, "content-type"), "application/pkix-crl");
        assert_eq!(header(&list, "content-length"), made.length.to_string());
        assert_eq!(header(&list, "etag"), format!("\"{}\"", made.sha256));
        assert!(list.headers().contains_key("last-modified"));
        let cache = header(&list, "cache-control").to_owned();
        let age = cache.strip_prefix("public, max-age=").unwrap().split(',').next().unwrap();
        let age: u64 = age.parse().unwrap();
        // The period is a week, and the list was made this minute.
        assert!((604_700..=604_800).contains(&age), "{cache}");
        let octets = list.bytes().unwrap();
        assert_eq!(u64::try_from(octets.len()).unwrap(), made.length);
        let file = ca.home.path().join("fetched.crl");
        fs::write(&file, &octets).unwrap();
        let described: exeunt_api::CaDescription = ca.local().get("/v1/ca").json().unwrap();
        let root = ca.home.path().join("root.pem");
        fs::write(&root, described.certificate).unwrap();
        let args = ["crl", "-inform", "DER", "-noout", "-verify", "-in", file.to_str().unwrap()];
        let args = [&args[..], &["-CAfile", root.to_str().unwrap()]].concat();
        exeunt_testkit::tools::run_ok(exeunt_testkit::tools::openssl(), args, b"");
    }
    ca.local().post("/v1/crls", "");
    let newer = stranger(&ca).get("/crl/ca.crl");
    assert_ne!(header(&newer, "etag"), format!("\"{}\"", made.sha256));
}

#[test]
fn whoever_has_the_list_is_told_that_it_is_the_same() {
    let ca = Ca::start();
    ca.local().post("/v1/crls", "");
    let http = stranger(&ca);
    let first = http.get("/crl/ca.crl");
    let (tag, made) = (header(&first, "etag"), header(&first, "last-modified"));
    let ask = |name, value| asked(&http, Method::GET, "/crl/ca.crl", Some((name, value)));
    for same in [ask("if-none-match", tag), ask("if-modified-since", made)] {
        assert_eq!(same.status(), 304);
        assert_eq!(header(&same, "etag"), tag);
        assert!(same.headers().contains_key("cache-control"));
        assert!(same.bytes().unwrap().is_empty());
    }
    assert_eq!(ask("if-none-match", "\"other\"").status(), 200);
    assert_eq!(ask("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT").status(), 200);
}

#[test]
fn head_tells_of_the_list_without_sending_it_and_nothing_else_is_allowed() {
    let ca = Ca::start();
    let made: CrlPage = ca.local().post("/v1/crls", "").json().unwrap();
    let http = stranger(&ca);
    for path in ["/crl/ca.crl", "/ca/ca.crt", "/ca/ca(0).crt", "/ca/current.crt"] {
        let head = asked(&http, Method::HEAD, path, None);
        let get = http.get(path);
        assert_eq!(head.status(), 200);
        for name in ["content-length", "content-type", "etag", "cache-control"] {
            assert_eq!(header(&head, name), header(&get, name), "{path}");
        }
        assert!(head.bytes().unwrap().is_empty());
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            let refused = asked(&http, method, path, None);
            assert_eq!(header(&refused, "allow"), "GET, HEAD");
            problem(refused, 405, "method-not-allowed");
        }
    }
    assert_eq!(made.crls.len(), 1);
}

#[test]
fn the_cas_certificate_is_for_everybody() {
    let ca = Ca::start();
    let http = stranger(&ca);
    let answer = http.get("/ca/ca.crt");
    assert_eq!(header(&answer, "content-type"), "application/pkix-cert");
    let tag = header(&answer, "etag").to_owned();
    assert_eq!(answer.bytes().unwrap(), ca.engine.certificate_der());
    let same = asked(&http, Method::GET, "/ca/ca.crt", Some(("if-none-match", &tag)));
    assert_eq!(same.status(), 304);
}

#[test]
fn what_is_beside_the_public_paths_needs_a_token() {
    let ca = Ca::start();
    let http = stranger(&ca);
    for path in
        ["/crl", "/crl/", "/crl/other.crl", "/crl/../v1/ca", "/crls", "/ca", "/ca/", "/v1/crls"]
    {
        problem(http.get(path), 401, "unauthorized");
    }
}

#[test]
fn a_damaged_list_does_not_come_at_all() {
    let ca = Ca::start();
    let made: CrlPage = ca.local().post("/v1/crls", "").json().unwrap();
    let record = ca.engine.current_crls().unwrap().remove(0);
    assert_eq!(record.number.0, made.crls[0].number);
    let path = ca.engine.crl_file(&record);
    let mut permissions = fs::metadata(&path).unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "it is removed with its folder")]
    permissions.set_readonly(false);
    fs::set_permissions(&path, permissions).unwrap();
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"!").unwrap();
    problem(stranger(&ca).get("/crl/ca.crl"), 503, "crl-file-missing");
    fs::remove_file(&path).unwrap();
    problem(stranger(&ca).get("/crl/ca.crl"), 503, "crl-file-missing");
    // The next list makes it good again.
    ca.local().post("/v1/crls", "");
    assert_eq!(stranger(&ca).get("/crl/ca.crl").status(), 200);
}
