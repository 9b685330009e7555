//! Who comes in, and by which door.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;

use exeunt_api::{Disposition, RequestDetail, SubmitAnswer};
use exeunt_http::{HttpError, NoExits, Server, Tls, TlsFiles};
use exeunt_testkit::requests::openssl_key;

use crate::ca::{Ca, Http, PATIENCE, TOKEN, Wanted, client, problem};

#[test]
fn tcp_needs_a_token_and_the_token_names_the_caller() {
    let ca = Ca::start();
    let mut http = ca.remote();
    let request = ca.request("/CN=host.example", &[]);
    for bad in [None, Some("wrong"), Some(""), Some(&TOKEN[1..])] {
        http.token = bad.map(str::to_owned);
        for path in ["/v1/ca", "/v1/requests", "/v1/nothing"] {
            let response = http.get(path);
            assert_eq!(response.headers()["www-authenticate"], r#"Bearer realm="exeunt""#);
            let problem = problem(response, 401, "unauthorized");
            assert!(problem.hint.unwrap().contains("Bearer"));
        }
        problem(http.post("/v1/requests", request.clone()), 401, "unauthorized");
    }
    http.token = Some(TOKEN.to_owned());
    let answer: SubmitAnswer = http.post("/v1/requests", request).json().unwrap();
    assert_eq!((answer.disposition, answer.request_id), (Disposition::Issued, 1));
    let row: RequestDetail = http.get("/v1/requests/1").json().unwrap();
    assert_eq!(row.summary.caller, "token:tests");
}

#[test]
fn plain_http_is_refused_off_the_loopback_and_allowed_with_tls() {
    let (ca, _gate) = Ca::closed();
    let listen = Some(([0, 0, 0, 0], 0).into());
    let settings = ca.settings(Wanted { listen, ..Wanted::default() });
    let err = Server::start(settings.clone(), Arc::clone(&ca.engine), Arc::new(NoExits));
    let err = err.unwrap_err();
    assert_eq!(err.code(), "http-plain-off-loopback");
    assert!(err.hint().unwrap().contains("127.0.0.1"));
    assert!(!ca.socket().exists(), "a door was left open");

    // Whose certificate it is does not matter: nobody connects.
    let other = Ca::start();
    let mut settings = settings;
    settings.doors[0].tls = Some(Tls::Files(certify(&other)));
    Server::start(settings, ca.engine, Arc::new(NoExits)).unwrap().stop(PATIENCE);
}

/// A server certificate for localhost from the CA itself; the files stay in its home.
fn certify(ca: &Ca) -> TlsFiles {
    let request = ca.request("/CN=localhost", &["localhost", "IP:127.0.0.1"]);
    let answer: SubmitAnswer = ca.local().post("/v1/requests", request).json().unwrap();
    let certificate = ca.home.path().join("tls.pem");
    fs::write(&certificate, answer.certificate.unwrap()).unwrap();
    TlsFiles { certificate, key: openssl_key("ec:P-256") }
}

#[test]
fn https_serves_with_the_configured_certificate() {
    let mut ca = Ca::start();
    let tls = Some(certify(&ca));
    let described: exeunt_api::CaDescription = ca.local().get("/v1/ca").json().unwrap();
    ca.server.take().unwrap().stop(PATIENCE);
    ca.serve(Wanted { tls, ..Wanted::default() });

    let root = reqwest::Certificate::from_pem(described.certificate.as_bytes()).unwrap();
    let client = client().tls_certs_only([root]).build().unwrap();
    let base = format!("https://localhost:{}", ca.address().port());
    let http = Http { client, base, token: Some(TOKEN.to_owned()) };
    let answer: SubmitAnswer =
        http.post("/v1/requests", ca.request("/CN=host.example", &[])).json().unwrap();
    assert_eq!(answer.disposition, Disposition::Issued);

    let plain = reqwest::blocking::get(format!("http://{}/v1/health", ca.address())).unwrap();
    problem(plain, 400, "tls-required");
}

#[test]
fn files_that_are_no_certificate_and_key_are_named() {
    let (ca, _gate) = Ca::closed();
    let empty = ca.home.path().join("empty.pem");
    fs::write(&empty, "nothing here\n").unwrap();
    let missing = ca.home.path().join("missing.pem");
    let key = openssl_key("ec:P-256");
    for (certificate, key) in [(&empty, &key), (&missing, &key), (&key, &key)] {
        let tls = Some(TlsFiles { certificate: certificate.clone(), key: key.clone() });
        let settings = ca.settings(Wanted { tls, ..Wanted::default() });
        let err = Server::start(settings, Arc::clone(&ca.engine), Arc::new(NoExits));
        let err = err.unwrap_err();
        assert_eq!(err.code(), "tls-unusable");
        assert!(matches!(err, HttpError::Tls { path, .. } if path == *certificate));
    }
}

#[test]
fn the_socket_is_its_owners_alone_and_goes_with_the_server() {
    let mut ca = Ca::start();
    let metadata = fs::symlink_metadata(ca.socket()).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    ca.server.take().unwrap().stop(PATIENCE);
    assert!(!ca.socket().exists());
}

#[test]
fn a_socket_that_nobody_listens_on_is_replaced_and_a_living_one_is_not() {
    let (mut ca, gate) = Ca::closed();
    gate.open();
    // What a killed server leaves: the listener is closed, the file stays.
    drop(std::os::unix::net::UnixListener::bind(ca.socket()).unwrap());
    ca.serve(Wanted::default());
    assert_eq!(ca.local().get("/v1/health").status(), 200);

    let settings = ca.settings(Wanted::default());
    let second = Server::start(settings.clone(), Arc::clone(&ca.engine), Arc::new(NoExits));
    assert_eq!(second.unwrap_err().code(), "socket-in-use");
    assert_eq!(ca.local().get("/v1/health").status(), 200, "the first lost its socket");

    ca.server.take().unwrap().stop(PATIENCE);
    fs::write(ca.socket(), "somebody's notes").unwrap();
    let third = Server::start(settings, Arc::clone(&ca.engine), Arc::new(NoExits));
    assert_eq!(third.unwrap_err().code(), "socket-unusable");
    assert_eq!(fs::read_to_string(ca.socket()).unwrap(), "somebody's notes");
}

#[test]
fn another_user_is_refused_at_the_socket_even_with_access_to_the_file() {
    // Only root can become somebody else; elsewhere the rule is tested as a function.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let ca = Ca::start();
    let open = fs::Permissions::from_mode;
    fs::set_permissions(ca.home.path(), open(0o755)).unwrap();
    fs::set_permissions(ca.socket(), open(0o666)).unwrap();
    let output = Command::new("curl")
        .args(["--silent", "--max-time", "20", "--unix-socket"])
        .arg(ca.socket())
        .arg("http://exeunt/v1/ca")
        .uid(65_534)
        .output()
        .expect("curl is missing");
    let problem: exeunt_api::Problem = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((problem.status, problem.code.as_str()), (403, "peer-not-allowed"));
}

#[test]
fn a_full_house_on_tcp_waits_and_never_locks_the_operator_out() {
    const ASK: &str = "GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut wanted = Wanted::default();
    wanted.limits.connections = 2;
    let ca = Ca::start_as(wanted);
    let crowd: Vec<_> = (0..2)
        .map(|_| {
            let mut raw = ca.raw();
            raw.write(ASK);
            // An answer shows that the connection was accepted.
            assert_eq!(raw.0.peek(&mut [0]).unwrap(), 1);
            raw
        })
        .collect();
    assert_eq!(ca.local().get("/v1/health").status(), 200);

    let mut late = ca.raw();
    late.write(ASK);
    // Each answer at the other door comes from the threads that would have let it in: on a slow
    // machine they take longer, as it would.
    for _ in 0..20 {
        assert_eq!(ca.local().get("/v1/health").status(), 200);
    }
    late.0.set_nonblocking(true).unwrap();
    let early = late.0.peek(&mut [0]).map_err(|it| it.kind());
    assert_eq!(early, Err(std::io::ErrorKind::WouldBlock), "one more than the limit was let in");
    late.0.set_nonblocking(false).unwrap();
    drop(crowd);
    assert_eq!(late.0.peek(&mut [0]).unwrap(), 1);
}
