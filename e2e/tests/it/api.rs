//! The HTTP API against its own document, by a foreign client that reads nothing but the document:
//! schemathesis makes requests, good and bad ones, of every endpoint, and judges the answers.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use exeunt_e2e::ca::{Ca, text};
use exeunt_testkit::tools;

use super::issuing::request;

/// What every answer is held against.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,unsupported_method,allow_header_conformance";

/// Requests of each endpoint beside those that the document suggests. A run takes some twenty seconds.
const EXAMPLES: &str = "5";

/// Where a client that knows no Unix sockets comes to one.
struct Bridge {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Bridge {
    fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let closed = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&closed);
        let thread = std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                let server = UnixStream::connect(&socket).unwrap();
                carry(&client, &server);
            }
        });
        Self { address, closed, thread: Some(thread) }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        // Wakes the thread.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Both ways, until one of the two has enough.
fn carry(client: &TcpStream, server: &UnixStream) {
    let (mut from_client, mut to_client) =
        (client.try_clone().unwrap(), client.try_clone().unwrap());
    let (mut from_server, mut to_server) =
        (server.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    std::thread::spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
}

/// A CA with some of everything, and the parts of paths under which it is found.
fn inhabited() -> (Ca, String) {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    let file = request(&ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    for _ in 0..3 {
        ca.ok(&["submit", &file]);
    }
    ca.ok(&["crl", "publish"]);
    let list = ca.ok(&["cert", "list", "--json"]);
    server.stop();
    let page: serde_json::Value = serde_json::from_str(&list).unwrap();
    let serial = page["certificates"][0]["serial"].as_str().unwrap().to_owned();
    let parts = format!(
        "[parameters]\n\"path.id\" = 1\n\"path.number\" = 1\n\"path.list\" = \"base\"\n\
         \"path.serial\" = \"{serial}\"\n\"query.wait_s\" = 0\n\
         [[operations]]\ninclude-path = \"/crl/{{name}}\"\n\
         parameters = {{ \"path.name\" = \"ca.crl\" }}\n\
         [[operations]]\ninclude-path = \"/ca/{{name}}\"\n\
         parameters = {{ \"path.name\" = \"ca.crt\" }}\n"
    );
    (ca, parts)
}

/// Has schemathesis ask for everything. Says what it found, which is nothing in the end.
fn judge(ca: &Ca, name: &str, parts: &str, (address, extra): (SocketAddr, &[&str])) {
    let folder = ca.scratch().join(name);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("parts.toml"), parts).unwrap();
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let output = Command::new(tools::python().with_file_name("schemathesis"))
        .current_dir(&folder)
        .args(["--config-file", "parts.toml", "run"])
        .arg(document)
        .args(["--url", &format!("http://{address}"), "--max-examples", EXAMPLES])
        .args(["--phases", "coverage,fuzzing", "--seed", "1", "--continue-on-failure"])
        .args(["--checks", CHECKS])
        // A busy machine is no finding.
        .args(["--request-timeout", "60", "--suppress-health-check", "too_slow"])
        .args(extra)
        .output()
        .unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", text(&output.stderr));
    assert!(said.contains("passed"), "{said}");
}

/// Runs the judge by TCP, with the token of a file.
fn judge_by_token(ca: &Ca, name: &str, parts: &str, token_file: &Path) {
    let server = ca.serve();
    let token = std::fs::read_to_string(token_file).unwrap();
    let header = format!("Authorization: Bearer {}", token.trim());
    // It would try wrong tokens, and be closed out as one who guesses.
    let extra = ["--header", &header, "--generation-with-security-parameters", "false"];
    judge(ca, name, parts, (server.address(), &extra));
    server.stop();
}

#[test]
fn a_foreign_client_finds_the_document_true_as_an_enrollee_and_reader() {
    let (ca, parts) = inhabited();
    judge_by_token(&ca, "token", &parts, &ca.home().join("secrets/admin.token"));
}

#[test]
fn a_foreign_client_finds_the_document_true_as_a_certificate_manager() {
    let (ca, parts) = inhabited();
    ca.configure_more("[[principal]]\nname = \"olga\"\nroles = [\"certificate-manager\"]\n");
    let server = ca.serve();
    let token = ca.scratch().join("olga.token");
    ca.ok(&["token", "add", "olga", "--out", token.to_str().unwrap()]);
    server.stop();
    judge_by_token(&ca, "manager", &parts, &token);
}

#[test]
fn a_foreign_client_with_every_right_finds_the_document_true() {
    let (ca, parts) = inhabited();
    let server = ca.serve();
    let bridge = Bridge::to(ca.home().join("exeunt.sock"));
    judge(&ca, "local", &parts, (bridge.address, &[]));
    drop(bridge);
    server.stop();
}

#[test]
fn a_key_makes_one_certificate_although_the_server_is_killed() {
    let ca = Ca::init(&[]);
    let file = request(&ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    for round in 0..6_u64 {
        let key = format!("key-{round}");
        let submit = ["submit", &file, "--json", "--idempotency-key", &key];
        let server = ca.serve();
        let mut first = ca.command(&submit);
        let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Before, while and after it is made: it takes some ten milliseconds.
        std::thread::sleep(Duration::from_millis(12 * round));
        server.kill();
        first.wait().unwrap();

        let server = ca.serve();
        let issued = ca.ok(&submit);
        assert_eq!(ca.ok(&submit), issued);
        let issued: serde_json::Value = serde_json::from_str(&issued).unwrap();
        assert_eq!(issued["disposition"], "issued");
        let list = ca.ok(&["cert", "list", "--json", "--limit", "1000"]);
        let page: serde_json::Value = serde_json::from_str(&list).unwrap();
        let certificates = page["certificates"].as_array().unwrap();
        assert_eq!(certificates.len() as u64, round + 1, "round {round}: {list}");
        server.stop();
    }
    let server = ca.serve();
    let refused = ca.run(&["submit", &file, "--attribute", "a:b", "--idempotency-key", "key-0"]);
    assert!(text(&refused.stderr).contains("error[idempotency-key-reused]"));
    server.stop();
}
