//! TLS of the whole program: the server's own certificate, doors for certificates of clients, reloads.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use exeunt_e2e::ca::{Ca, Served, text, wait_for};
use exeunt_testkit::requests::openssl_key;
use exeunt_testkit::tools;

use super::issuing::request;

/// A template for clients, a door that asks them for certificates, and one that requires them.
const DOORS: &str = r#"
[[template]]
name = "tls-client"
validity_days = 30
key_usage = ["digitalSignature"]
extended_key_usage = ["clientAuth"]
subject_from_request = ["CN"]
issue = "at-once"
callers = "local"

[[door]]
listen = "127.0.0.1:0"
tls = "own"
client_certificates = "ask"

[[door]]
listen = "127.0.0.1:0"
tls = "own"
client_certificates = "require"
"#;

/// Who is asked for at a door, as curl is told: status and body, or curl's own number.
fn curl(ca: &Ca, port: u16, more: &[&str]) -> Result<(u16, String), i32> {
    let output = Command::new("curl")
        .args(["--silent", "--max-time", "30", "--write-out", "\n%{http_code}"])
        .arg("--cacert")
        .arg(ca.home().join("ca.cert.pem"))
        .args(more)
        .arg(format!("https://localhost:{port}/v1/ca"))
        .output()
        .expect("curl is missing");
    if !output.status.success() {
        return Err(output.status.code().unwrap());
    }
    let said = text(&output.stdout);
    let (body, status) = said.rsplit_once('\n').unwrap();
    Ok((status.parse().unwrap(), body.to_owned()))
}

fn bearer(ca: &Ca) -> String {
    format!("Authorization: Bearer {}", ca.token())
}

/// A client in Python with one connection, which says the certificate that it was shown.
struct Kept {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Kept {
    fn open(ca: &Ca, port: u16) -> Self {
        const ASK: &str = "import hashlib, http.client, ssl, sys\n\
            _, port, root, token = sys.argv\n\
            context = ssl.create_default_context(cafile=root)\n\
            http = http.client.HTTPSConnection('localhost', int(port), context=context, timeout=30)\n\
            http.connect()\n\
            sock = http.sock\n\
            shown = hashlib.sha256(sock.getpeercert(True)).hexdigest()\n\
            for line in sys.stdin:\n\
            \x20   http.request('GET', '/v1/ca', headers={'Authorization': 'Bearer ' + token})\n\
            \x20   answer = http.getresponse()\n\
            \x20   answer.read()\n\
            \x20   print(answer.status, http.sock is sock, shown, flush=True)\n";
        let mut child = Command::new(tools::python())
            .args(["-c", ASK, &port.to_string()])
            .arg(ca.home().join("ca.cert.pem"))
            .arg(ca.token())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    /// The certificate that it was shown, if it is answered as before.
    #[track_caller]
    fn ask(&mut self) -> String {
        self.input.write_all(b"\n").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let shown = line.trim_end().strip_prefix("200 True ");
        shown.unwrap_or_else(|| panic!("the connection said {line:?}")).to_owned()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate for the tests' key; the file, and its serial number.
fn client_certificate(ca: &Ca) -> (PathBuf, String) {
    let file = request(ca, "ec:P-256", "/CN=alice", &[]);
    let out = ca.scratch().join("client.pem");
    let args = ["submit", &file, "--template", "tls-client", "--out", out.to_str().unwrap()];
    ca.ok(&args);
    let args = ["x509", "-noout", "-serial", "-in", out.to_str().unwrap()];
    let said = text(&tools::run_ok(tools::openssl(), args, b""));
    (out, said.trim().strip_prefix("serial=").unwrap().to_owned())
}

#[test]
fn a_server_that_certifies_itself_needs_two_words_of_configuration() {
    let ca = Ca::init(&[]);
    ca.configure("[server]", "[server]\ntls = \"own\"");
    assert!(ca.ok(&["config", "check"]).contains("certificate of its own"));
    let server = ca.serve();
    let url = format!("https://127.0.0.1:{}", server.address().port());
    let (root, token) = (ca.home().join("ca.cert.pem"), ca.home().join("secrets/admin.token"));
    let door = ["--server", &url, "--token-file", token.to_str().unwrap()];
    let door = [&door[..], &["--ca-file", root.to_str().unwrap()]].concat();
    let told = ca.ok(&[&["request", "list"][..], &door].concat());
    assert!(told.contains("exeunt:server") || told.contains("own-server"), "{told}");
    for version in ["--tlsv1.2", "--tlsv1.3"] {
        let more = [version, "--tls-max", &version[6..], "--header", &bearer(&ca)];
        assert_eq!(curl(&ca, server.address().port(), &more).unwrap().0, 200);
    }
    // Nothing of it is on the disk.
    for entry in
        fs::read_dir(ca.home()).unwrap().chain(fs::read_dir(ca.home().join("secrets")).unwrap())
    {
        let path = entry.unwrap().path();
        if path.is_file() {
            let octets = fs::read(&path).unwrap();
            assert!(!has(&octets, b"BEGIN PRIVATE KEY"), "{}", path.display());
        }
    }
    server.stop();
}

fn has(octets: &[u8], wanted: &[u8]) -> bool {
    octets.windows(wanted.len()).any(|it| it == wanted)
}

#[test]
fn a_revoked_client_is_out_at_once_and_the_doors_say_who_may_come() {
    let ca = Ca::init(&[]);
    ca.configure_more(DOORS);
    let server = ca.serve_doors(&[], 2);
    let (certificate, serial) = client_certificate(&ca);
    let key = openssl_key("ec:P-256");
    let own = ["--cert", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()]
        .map(str::to_owned);
    let bearer = bearer(&ca);
    let token = ["--header".to_owned(), bearer];
    let ask = |door: usize, more: &[&[String]]| {
        let more: Vec<&str> = more.iter().flat_map(|it| it.iter()).map(String::as_str).collect();
        curl(&ca, server.door(door).port(), &more)
    };
    assert_eq!(ask(0, &[&token]).unwrap().0, 200);
    assert!(ask(1, &[&token]).is_err(), "who has no certificate came in");
    for door in 0..2 {
        assert_eq!(ask(door, &[&token, &own]).unwrap().0, 200);
        // Nobody is known by it yet.
        assert_eq!(ask(door, &[&own]).unwrap().0, 401);
    }
    ca.ok(&["cert", "revoke", &serial, "--reason", "key-compromise"]);
    for door in 0..2 {
        let (status, body) = ask(door, &[&token, &own]).unwrap();
        assert!(status == 403 && body.contains("client-certificate-revoked"), "{body}");
    }
    assert_eq!(ask(0, &[&token]).unwrap().0, 200);
    server.stop();
}

#[test]
fn a_principal_submits_with_a_certificate_and_no_token_until_it_is_revoked() {
    let ca = Ca::init(&[]);
    ca.configure_more(DOORS);
    let server = ca.serve_doors(&[], 2);
    let (certificate, serial) = client_certificate(&ca);
    let path = certificate.to_str().unwrap();
    let digest = ["x509", "-noout", "-fingerprint", "-sha256", "-in", path];
    let digest = text(&tools::run_ok(tools::openssl(), digest, b""));
    let digest = digest.trim().split_once('=').unwrap().1.replace(':', "").to_lowercase();
    ca.configure_more(&format!(
        "[[principal]]\nname = \"alice\"\nroles = [\"enrollee\", \"reader\"]\n\
         certificate_sha256 = [\"{digest}\"]"
    ));
    ca.ok(&["reload"]);
    let file = request(&ca, "ec:P-384", "/CN=web.example.test", &[]);
    let submit = |door: usize| {
        let output = Command::new("curl")
            .args(["--silent", "--max-time", "30", "--cacert"])
            .arg(ca.home().join("ca.cert.pem"))
            .args(["--cert", path, "--key"])
            .arg(openssl_key("ec:P-256"))
            .args(["--data-binary", &format!("@{file}")])
            .args(["--header", "content-type: application/pkcs10"])
            .arg(format!("https://localhost:{}/v1/requests", server.door(door).port()))
            .output()
            .expect("curl is missing");
        text(&output.stdout)
    };
    for door in 0..2 {
        let told = submit(door);
        assert!(told.contains("\"issued\"") && told.contains("BEGIN CERTIFICATE"), "{told}");
    }
    let url = format!("https://localhost:{}", server.door(1).port());
    let (root, key) = (ca.home().join("ca.cert.pem"), openssl_key("ec:P-256"));
    let own = ["--client-cert", path, "--client-key", key.to_str().unwrap()];
    let elsewhere = [&["--server", &url, "--ca-file", root.to_str().unwrap()], &own[..]].concat();
    let list = [&["request", "list", "--caller", "principal:alice"], &elsewhere[..]].concat();
    assert!(ca.ok(&list).contains("web.example.test"));
    ca.ok(&["cert", "revoke", &serial, "--reason", "key-compromise"]);
    for door in 0..2 {
        assert!(submit(door).contains("client-certificate-revoked"));
    }
    let refused = ca.run(&list);
    assert!(text(&refused.stderr).contains("error[client-certificate-revoked]"));
    server.stop();
}

/// A certificate and a key for the listener, in the CA's home.
fn certify(ca: &Ca, key: &str) {
    let file = request(ca, key, "/CN=localhost", &["localhost", "IP:127.0.0.1"]);
    let out = ca.home().join("tls.pem");
    let _ = fs::remove_file(&out);
    ca.ok(&["submit", &file, "--out", out.to_str().unwrap()]);
    put_key(ca, &openssl_key(key));
}

fn put_key(ca: &Ca, from: &Path) {
    let key = ca.home().join("tls.key");
    fs::write(&key, fs::read(from).unwrap()).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&key, mode).unwrap();
}

#[test]
fn a_reload_takes_up_new_files_for_new_connections_and_refuses_bad_ones() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    certify(&ca, "ec:P-256");
    server.stop();
    ca.configure("[server]", "[server]\ntls_certificate = \"tls.pem\"\ntls_key = \"tls.key\"");
    let server = ca.serve();
    let port = server.address().port();
    let mut first = Kept::open(&ca, port);
    let old = first.ask();

    certify(&ca, "ec:P-384");
    ca.ok(&["reload"]);
    let mut second = Kept::open(&ca, port);
    let new = second.ask();
    assert_ne!(old, new);
    assert_eq!(first.ask(), old);

    put_key(&ca, &openssl_key("ec:P-256"));
    let refused = ca.run(&["reload"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("tls.pem") && said.contains("keeps what it had"), "{said}");
    let check = ca.run(&["config", "check"]);
    assert!(text(&check.stderr).contains("error[tls-unusable]"), "{}", text(&check.stderr));
    assert_eq!(Kept::open(&ca, port).ask(), new);

    certify(&ca, "ec:P-256");
    hang_up(&server);
    wait_for("the reload by a signal", || (Kept::open(&ca, port).ask() != new).then_some(()));
    assert_eq!((first.ask(), second.ask()), (old, new));
    server.stop();
}

fn hang_up(server: &Served) {
    let pid = server.pid().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
}
