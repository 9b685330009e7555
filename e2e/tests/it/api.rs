//! The HTTP API against its own document, by a foreign client that reads nothing but the document:
//! schemathesis makes requests, good and bad ones, of every endpoint, and judges the answers.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use exeunt_e2e::ca::{Ca, text};
use exeunt_testkit::tools;

use super::issuing::request;

/// What every answer is held against.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,unsupported_method,allow_header_conformance";

/// Requests of each endpoint beside those that the document suggests. A run takes some ten seconds.
const EXAMPLES: &str = "8";

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
        .args(extra)
        .output()
        .unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", text(&output.stderr));
    assert!(said.contains("passed"), "{said}");
}

#[test]
fn a_foreign_client_finds_the_document_true_by_tcp_with_a_token() {
    let (ca, parts) = inhabited();
    let server = ca.serve();
    let token = format!("Authorization: Bearer {}", ca.token());
    // Here who asks without the token, or with a wrong one, is turned away everywhere.
    let checks = format!("{CHECKS},ignored_auth");
    let extra = ["--header", token.as_str(), "--checks", checks.as_str()];
    judge(&ca, "token", &parts, (server.address(), &extra));
    server.stop();
}

#[test]
fn a_foreign_client_with_every_right_finds_the_document_true() {
    let (ca, parts) = inhabited();
    let server = ca.serve();
    let bridge = Bridge::to(ca.home().join("exeunt.sock"));
    judge(&ca, "local", &parts, (bridge.address, &["--checks", CHECKS]));
    drop(bridge);
    server.stop();
}
