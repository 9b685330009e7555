//! Certificates that clients show: per door, and what becomes of those that do not count any more.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use std::io::{BufRead as _, BufReader, Write as _};

use exeunt_api::{CrlPage, SubmitAnswer};
use exeunt_engine::{Caller, Door, RevokeOrder, Which};
use exeunt_http::{ClientTrust, Clients, Tls};
use exeunt_testkit::requests::openssl_key;
use exeunt_testkit::tools;
use exeunt_types::{RevocationReason, Roles, Serial};

use crate::ca::{Ca, TOKEN, eventually};
use crate::tls::{ca_with, port, revoke, root, s_client};

const DAY: Duration = Duration::from_hours(24);
const ASK: usize = 0;
const REQUIRE: usize = 1;
const REFUSE: usize = 2;

/// A CA with a door that asks, one that requires, and one that refuses.
fn three_doors() -> Ca {
    let trust = ClientTrust::default;
    ca_with(vec![
        (Some(Tls::Own), Clients::Ask(trust())),
        (Some(Tls::Own), Clients::Require(trust())),
        (Some(Tls::Own), Clients::Refuse),
    ])
}

/// A certificate of a template for the key of the tests, and its serial number.
fn client(ca: &Ca, template: &str) -> (PathBuf, Serial) {
    let request = ca.request("/CN=client.example", &[]);
    let path = format!("/v1/requests?template={template}");
    let answer: SubmitAnswer = ca.local().post(&path, request).json().unwrap();
    let serial = Serial::from_hex(answer.serial.as_deref().unwrap()).unwrap();
    let file = ca.home.path().join(format!("{serial}.pem"));
    fs::write(&file, answer.certificate.unwrap()).unwrap();
    (file, serial)
}

/// What curl is told at a door: status and body, or why there is none.
fn curl(
    ca: &Ca,
    door: usize,
    certificate: Option<&PathBuf>,
    token: bool,
) -> Result<(u16, String), i32> {
    let root = root(ca);
    let url = format!("https://localhost:{}/v1/ca", port(ca, door));
    let key = openssl_key("ec:P-256");
    let mut command = Command::new("curl");
    command.args(["--silent", "--max-time", "20", "--write-out", "\n%{http_code}"]);
    command.arg("--cacert").arg(root).arg(url);
    if let Some(certificate) = certificate {
        command.arg("--cert").arg(certificate).arg("--key").arg(key);
    }
    if token {
        command.args(["--header", &format!("Authorization: Bearer {TOKEN}")]);
    }
    let output = command.output().expect("curl is missing");
    if !output.status.success() {
        return Err(output.status.code().unwrap());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    Ok((status.parse().unwrap(), body.to_owned()))
}

#[track_caller]
fn refused(told: Result<(u16, String), i32>, status: u16, code: &str) {
    let (actual, body) = told.unwrap();
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((actual, body["code"].as_str().unwrap()), (status, code));
    assert!(body["hint"].is_string());
}

/// curl's words for a handshake that the server broke off: 35 is an error of TLS while connecting, 56
/// and 55 while receiving and sending, which is where TLS 1.3 tells.
#[track_caller]
fn broken_off(told: Result<(u16, String), i32>) {
    let status = told.unwrap_err();
    assert!([35, 55, 56].contains(&status), "curl ended with {status}");
}

#[test]
fn each_door_has_its_own_mind_about_certificates_of_clients() {
    let ca = three_doors();
    let (good, _) = client(&ca, "tls-client");
    for door in [ASK, REFUSE] {
        assert_eq!(curl(&ca, door, None, true).unwrap().0, 200);
        refused(curl(&ca, door, None, false), 401, "unauthorized");
    }
    broken_off(curl(&ca, REQUIRE, None, true));
    // Where it is not asked for, it is not sent.
    for door in [ASK, REQUIRE, REFUSE] {
        assert_eq!(curl(&ca, door, Some(&good), true).unwrap().0, 200);
    }
    // As long as it is nobody's, it gives no rights.
    for door in [ASK, REQUIRE] {
        assert_eq!(curl(&ca, door, Some(&good), false).unwrap().0, 401);
    }
}

#[test]
fn only_certificates_for_clients_of_the_right_ca_and_time_come_in() {
    let ca = three_doors();
    let other = Ca::start();
    for (bad, why) in [
        (client(&ca, "tls-server").0, "for servers"),
        (client(&ca, "for-anything").0, "no purpose"),
        (client(&other, "tls-client").0, "of another CA"),
    ] {
        for door in [ASK, REQUIRE] {
            for version in ["-tls1_2", "-tls1_3"] {
                let (cert, key) = (bad.to_str().unwrap(), openssl_key("ec:P-256"));
                let key = key.to_str().unwrap();
                let (_, said) =
                    s_client(&ca, door, &[version, "-cert", cert, "-key", key, "-ign_eof"]);
                assert!(said.contains("SSL alert number"), "{why}: {said}");
            }
            broken_off(curl(&ca, door, Some(&bad), true));
        }
        assert_eq!(curl(&ca, REFUSE, Some(&bad), true).unwrap().0, 200, "{why}");
    }
    let (good, _) = client(&ca, "tls-client");
    assert_eq!(curl(&ca, REQUIRE, Some(&good), true).unwrap().0, 200);
    // The server's certificate is renewed then, and is of the future for curl.
    ca.clock.move_to(Duration::from_hours(24 * 59));
    assert_eq!(curl(&ca, REQUIRE, Some(&good), true).unwrap().0, 200);
}

#[test]
fn who_is_refused_in_the_handshake_stands_in_the_audit_trail() {
    let ca = three_doors();
    let other = Ca::start();
    let (late, _) = client(&ca, "tls-client");
    broken_off(curl(&ca, REQUIRE, None, true));
    broken_off(curl(&ca, ASK, Some(&client(&ca, "tls-server").0), true));
    broken_off(curl(&ca, ASK, Some(&client(&other, "tls-client").0), true));
    ca.clock.move_to(91 * DAY);
    let (cert, key) = (late.to_str().unwrap(), openssl_key("ec:P-256"));
    s_client(&ca, REQUIRE, &["-cert", cert, "-key", key.to_str().unwrap(), "-ign_eof"]);
    let refused = || {
        let trail = ca.engine.store().audit_after(0, 1000).unwrap();
        let refused =
            trail.into_iter().map(|it| it.entry).filter(|it| it.action == "access-refused");
        refused.map(|it| format!("{} {} {}", it.actor, it.object, it.detail)).collect::<Vec<_>>()
    };
    // The client may hear of it first.
    let refused = eventually("the last entry", || Some(refused()).filter(|it| it.len() == 4));
    let expected = ["missing", "purpose", "not-trusted", "not-valid"].map(|why| {
        let code = format!("client-certificate-{why}");
        format!("unknown at 127.0.0.1 a TLS handshake {code}, from 127.0.0.1")
    });
    assert_eq!(refused, expected);
}

/// A client in Python that asks again and again on one connection.
struct Python {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Python {
    fn open(ca: &Ca, door: usize, certificate: &PathBuf) -> Self {
        const ASK: &str = "import http.client, ssl, sys\n\
            _, port, certificate, key, token = sys.argv\n\
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\n\
            context.check_hostname = False\n\
            context.verify_mode = ssl.CERT_NONE\n\
            context.load_cert_chain(certificate, key)\n\
            http = http.client.HTTPSConnection('localhost', int(port), context=context, timeout=20)\n\
            http.connect()\n\
            sock = http.sock\n\
            for line in sys.stdin:\n\
            \x20   http.request('GET', '/v1/ca', headers={'Authorization': 'Bearer ' + token})\n\
            \x20   answer = http.getresponse()\n\
            \x20   body = answer.read().decode()\n\
            \x20   same = http.sock is sock\n\
            \x20   print(answer.status, same, body.replace('\\n', ' '), flush=True)\n";
        let mut child = Command::new(tools::python())
            .args(["-c", ASK, &port(ca, door).to_string()])
            .arg(certificate)
            .arg(openssl_key("ec:P-256"))
            .arg(TOKEN)
            .stderr(Stdio::null())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    fn ask(&mut self) -> String {
        self.input.write_all(b"\n").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_revoked_certificate_is_refused_at_once_also_on_a_connection_that_stands() {
    let ca = three_doors();
    let (certificate, serial) = client(&ca, "tls-client");
    for door in [ASK, REQUIRE] {
        let mut kept = Python::open(&ca, door, &certificate);
        for _ in 0..3 {
            let told = kept.ask();
            assert!(told.starts_with("200 True"), "{told}");
        }
        // Another one's end is none of its business.
        revoke(&ca, client(&ca, "tls-client").1, RevocationReason::Superseded);
        assert!(kept.ask().starts_with("200 True"));

        revoke(&ca, serial, RevocationReason::CertificateHold);
        let told = kept.ask();
        assert!(told.starts_with("403") && told.contains("client-certificate-revoked"), "{told}");
        refused(curl(&ca, door, Some(&certificate), true), 403, "client-certificate-revoked");
        let by = Caller::new("local:0", Door::Local, Roles::ALL);
        ca.engine.revoke(Which::Serial(serial), RevokeOrder::Release, &by).unwrap();
        assert_eq!(curl(&ca, door, Some(&certificate), true).unwrap().0, 200);
    }
    revoke(&ca, serial, RevocationReason::KeyCompromise);
    refused(curl(&ca, ASK, Some(&certificate), true), 403, "client-certificate-revoked");
    let trail = ca.engine.store().audit_after(0, 1000).unwrap();
    let told: Vec<_> = trail.iter().filter(|it| it.entry.action == "access-refused").collect();
    assert_eq!(told.len(), 5, "{told:?}");
    for told in told {
        assert_eq!(told.entry.actor, format!("certificate {serial} of CN=client.example"));
        assert_eq!(told.entry.object, "GET /v1/ca");
        assert!(told.entry.detail.starts_with("client-certificate-revoked, from 127.0.0.1"));
    }
    // Without it, the token counts.
    assert_eq!(curl(&ca, ASK, None, true).unwrap().0, 200);
}

#[test]
fn a_certificate_that_runs_out_is_refused_also_on_a_connection_that_stands() {
    let ca = three_doors();
    let (certificate, _) = client(&ca, "tls-client");
    let mut kept = Python::open(&ca, REQUIRE, &certificate);
    assert!(kept.ask().starts_with("200 True"));
    ca.clock.move_to(91 * DAY);
    let told = kept.ask();
    assert!(told.starts_with("403") && told.contains("client-certificate-not-valid"), "{told}");
    drop(kept);
    let mut late = Python::open(&ca, REQUIRE, &certificate);
    assert_eq!(late.ask(), "", "a handshake with a certificate that is over");
}

#[test]
fn no_session_is_resumed_where_clients_show_certificates() {
    let ca = three_doors();
    let (certificate, _) = client(&ca, "tls-client");
    let (cert, key) = (certificate.to_str().unwrap(), openssl_key("ec:P-256"));
    let session = ca.home.path().join("session.pem");
    let session = session.to_str().unwrap();
    for (door, resumes) in [(ASK, false), (REQUIRE, false), (REFUSE, true)] {
        for version in ["-tls1_2", "-tls1_3"] {
            let _ = fs::remove_file(session);
            let own = ["-cert", cert, "-key", key.to_str().unwrap(), version];
            // Reads on after the handshake, when TLS 1.3 gives what resumes.
            let input = b"GET /v1/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            let connect = format!("127.0.0.1:{}", port(&ca, door));
            let args = [
                "s_client",
                "-connect",
                &connect,
                "-servername",
                "localhost",
                "-sess_out",
                session,
                "-ign_eof",
            ];
            tools::run(tools::openssl(), [&args[..], &own].concat(), input);
            let said = if fs::exists(session).unwrap() {
                s_client(&ca, door, &[&own[..], &["-sess_in", session]].concat()).1
            } else {
                String::new()
            };
            assert_eq!(said.contains("Reused, TLS"), resumes, "{door} {version} {said}");
        }
    }
}

#[test]
fn clients_of_another_ca_come_in_where_its_certificate_is_given_and_its_list_counts() {
    let other = Ca::start();
    let (good, serial_of_good) = client(&other, "tls-client");
    let (bad, serial) = client(&other, "tls-client");
    revoke(&other, serial, RevocationReason::Superseded);
    let _: CrlPage = other.local().post("/v1/crls", "").json().unwrap();
    let list = other.home.path().join("other.crl");
    fs::write(&list, other.remote().get("/crl/ca.crl").bytes().unwrap()).unwrap();
    let pem = other.home.path().join("other.crl.pem");
    let args =
        ["crl", "-inform", "DER", "-in", list.to_str().unwrap(), "-out", pem.to_str().unwrap()];
    tools::run_ok(tools::openssl(), args, b"");

    let with = |crls: Vec<PathBuf>| Clients::Require(ClientTrust { ca: Some(root(&other)), crls });
    let ca = ca_with(vec![
        (Some(Tls::Own), with(Vec::new())),
        (Some(Tls::Own), with(vec![list.clone()])),
        (Some(Tls::Own), with(vec![pem])),
    ]);
    let (own, _) = client(&ca, "tls-client");
    for door in 0..3 {
        assert_eq!(curl(&ca, door, Some(&good), true).unwrap().0, 200);
        // This CA's own are not meant there.
        broken_off(curl(&ca, door, Some(&own), true));
    }
    assert_eq!(curl(&ca, 0, Some(&bad), true).unwrap().0, 200, "nobody said that it is revoked");
    broken_off(curl(&ca, 1, Some(&bad), true));
    broken_off(curl(&ca, 2, Some(&bad), true));
    // The next list counts as soon as it is read, and one that cannot be read takes nothing away.
    let reload = ca.server.as_ref().unwrap().reload_tls();
    revoke(&other, serial_of_good, RevocationReason::Superseded);
    let _: CrlPage = other.local().post("/v1/crls", "").json().unwrap();
    let good_list = fs::read(&list).unwrap();
    fs::write(&list, other.remote().get("/crl/ca.crl").bytes().unwrap()).unwrap();
    assert_eq!(curl(&ca, 1, Some(&good), true).unwrap().0, 200, "nobody asked for it");
    let (mut kept, mut kept_without_list) =
        (Python::open(&ca, 1, &good), Python::open(&ca, 0, &good));
    assert!(kept.ask().starts_with("200 True"));
    assert!(kept_without_list.ask().starts_with("200 True"));
    assert!(reload().failed.is_empty());
    broken_off(curl(&ca, 1, Some(&good), true));
    // Also on a connection that stands.
    let told = kept.ask();
    assert!(told.starts_with("403") && told.contains("client-certificate-revoked"), "{told}");
    assert!(kept_without_list.ask().starts_with("200 True"));
    fs::write(&list, "nothing").unwrap();
    assert!(reload().failed[0].contains("no revocation list"));
    broken_off(curl(&ca, 1, Some(&good), true));
    fs::write(&list, good_list).unwrap();
    assert!(reload().failed.is_empty());
    assert_eq!(curl(&ca, 1, Some(&good), true).unwrap().0, 200);
    // A list that is over says nothing any more: a week and its overlap.
    ca.clock.move_to(20 * DAY);
    assert_eq!(curl(&ca, 0, Some(&good), true).unwrap().0, 200);
    broken_off(curl(&ca, 1, Some(&good), true));
}
