//! TLS as foreign clients see it: versions, the server's own certificate and its renewal, reloading.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use exeunt_api::{CaDescription, SubmitAnswer};
use exeunt_engine::{RevokeOrder, ServerCertificateSettings, Which};
use exeunt_http::{Clients, HttpSettings, Server, TcpDoor, Tls, TlsFiles};
use exeunt_keys::secret_file;
use exeunt_testkit::requests::openssl_key;
use exeunt_testkit::tools;
use exeunt_types::{KeyAlgorithm, RevocationReason, Serial, UnixMillis};
use exeunt_x509::{Certificate, GeneralName, parse_certificate};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::ca::{Ca, PATIENCE, TOKEN, Wanted, eventually};
use crate::exits::TwoExits;

const DAY: Duration = Duration::from_hours(24);

/// How the tests' CA certifies its server.
pub fn own_certificate(key: KeyAlgorithm) -> ServerCertificateSettings {
    let names =
        vec![GeneralName::Dns("localhost".to_owned()), GeneralName::Ip([127, 0, 0, 1].into())];
    ServerCertificateSettings { names, validity: 90 * DAY, key }
}

/// A CA with these doors on the loopback.
pub fn ca_with(doors: Vec<(Option<Tls>, Clients)>) -> Ca {
    let (mut ca, gate) = Ca::closed();
    gate.open();
    serve_with(&mut ca, doors, |_| {});
    ca
}

/// Starts the server of a CA with these doors.
pub fn serve_with(
    ca: &mut Ca,
    doors: Vec<(Option<Tls>, Clients)>,
    change: impl FnOnce(&mut HttpSettings),
) {
    let mut settings = ca.settings(Wanted::default());
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    settings.doors =
        doors.into_iter().map(|(tls, clients)| TcpDoor { address, tls, clients }).collect();
    settings.own_certificate = Some(own_certificate(KeyAlgorithm::EcdsaP256));
    change(&mut settings);
    let server = Server::start(settings, Arc::clone(&ca.engine), Arc::new(TwoExits)).unwrap();
    ca.server = Some(server);
}

/// The CA's certificate as a file.
pub fn root(ca: &Ca) -> PathBuf {
    let described: CaDescription = ca.local().get("/v1/ca").json().unwrap();
    let path = ca.home.path().join("root.pem");
    fs::write(&path, described.certificate).unwrap();
    path
}

/// The port of a door.
pub fn port(ca: &Ca, door: usize) -> u16 {
    ca.server.as_ref().unwrap().addresses()[door].port()
}

/// `openssl s_client` at a door, which hangs up after the handshake. What it said is on both outputs.
pub fn s_client(ca: &Ca, door: usize, options: &[&str]) -> (bool, String) {
    let root = root(ca);
    let connect = format!("127.0.0.1:{}", port(ca, door));
    let mut args = vec!["s_client", "-connect", &connect, "-servername", "localhost"];
    args.extend(["-CAfile", root.to_str().unwrap(), "-verify_return_error"]);
    args.extend(["-verify_hostname", "localhost"]);
    args.extend(options);
    let Output { status, stdout, stderr } = tools::run(tools::openssl(), args, b"");
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    (status.success(), said)
}

/// A connection of TLS that is kept, and HTTP on it.
pub struct Kept(StreamOwned<ClientConnection, TcpStream>);

impl Kept {
    pub fn open(ca: &Ca, door: usize) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(root(ca)).unwrap()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        let tcp = TcpStream::connect(("127.0.0.1", port(ca, door))).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut kept = Self(StreamOwned::new(tls, tcp));
        kept.ask();
        kept
    }

    /// Asks for something that needs the token.
    #[track_caller]
    pub fn ask(&mut self) {
        let ask = format!(
            "GET /v1/ca HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
        );
        self.0.write_all(ask.as_bytes()).unwrap();
        let (mut answer, mut piece) = (Vec::new(), [0; 16 * 1024]);
        while !answer.ends_with(b"}") {
            let count = self.0.read(&mut piece).unwrap();
            assert_ne!(count, 0, "the connection was closed");
            answer.extend_from_slice(&piece[..count]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    }
}

/// The certificate that a door shows, whatever it is worth; none where no handshake succeeds.
pub fn shown(ca: &Ca, door: usize) -> Option<Certificate> {
    const ASK: &str = "import socket, ssl, sys\n\
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\n\
        context.check_hostname = False\n\
        context.verify_mode = ssl.CERT_NONE\n\
        with socket.create_connection(('127.0.0.1', int(sys.argv[1])), 20) as tcp:\n\
        \x20   with context.wrap_socket(tcp) as tls:\n\
        \x20       print(ssl.DER_cert_to_PEM_cert(tls.getpeercert(True)))\n";
    let port = port(ca, door).to_string();
    let Output { status, stdout, .. } = tools::run(tools::python(), ["-c", ASK, &port], b"");
    let pem = status.success().then_some(stdout)?;
    let der = CertificateDer::from_pem_slice(&pem).unwrap();
    Some(parse_certificate(&der).unwrap())
}

fn own() -> Vec<(Option<Tls>, Clients)> {
    vec![(Some(Tls::Own), Clients::Refuse)]
}

fn rows_of_server(ca: &Ca) -> usize {
    let rows: serde_json::Value = ca.local().get("/v1/requests").json().unwrap();
    let rows = rows["requests"].as_array().unwrap().clone();
    rows.iter().filter(|it| it["caller"] == "exeunt:server").count()
}

#[test]
fn openssl_believes_the_certificate_that_the_ca_issues_to_its_server() {
    for key in [
        KeyAlgorithm::EcdsaP256,
        KeyAlgorithm::EcdsaP384,
        KeyAlgorithm::Ed25519,
        KeyAlgorithm::Rsa { bits: 2048 },
    ] {
        let (mut ca, gate) = Ca::closed();
        gate.open();
        serve_with(&mut ca, own(), |it| it.own_certificate = Some(own_certificate(key)));
        for (option, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            let (good, said) = s_client(&ca, 0, &[option, "-alpn", "h2,http/1.1"]);
            assert!(good && said.contains("Verify return code: 0 (ok)"), "{key:?} {said}");
            assert!(said.contains(&format!("New, {version}")), "{said}");
            assert!(said.contains("ALPN protocol: http/1.1"), "{said}");
        }
        assert_eq!(rows_of_server(&ca), 1);
        let shown = shown(&ca, 0).unwrap();
        let row = ca.engine.store().certificate(&shown.serial()).unwrap().unwrap();
        assert_eq!(row.certificate.raw, shown.der());
        assert_eq!(row.template, "own-server");
    }
}

#[test]
fn nothing_older_than_tls_1_2_comes_in() {
    let ca = ca_with(own());
    for option in ["-tls1", "-tls1_1"] {
        let (good, said) = s_client(&ca, 0, &[option, "-cipher", "ALL:@SECLEVEL=0"]);
        // A client as old as that says no more than that it was refused (alerts 40 and 70).
        assert!(!good && said.contains("SSL alert number"), "{said}");
    }
}

#[test]
fn curl_and_python_come_in_by_tls() {
    let ca = ca_with(own());
    let root = root(&ca);
    let url = format!("https://localhost:{}/v1/ca", port(&ca, 0));
    let bearer = format!("Authorization: Bearer {TOKEN}");
    for version in ["--tlsv1.2", "--tlsv1.3"] {
        let args = [version, "--silent", "--fail", "--max-time", "20", "--header", &bearer];
        let args = [&args[..], &["--cacert", root.to_str().unwrap(), &url]].concat();
        let told = tools::run_ok("curl".as_ref(), args, b"");
        let told: CaDescription = serde_json::from_slice(&told).unwrap();
        assert_eq!(told.name, "edge");
    }
    let ask = "import ssl, sys, urllib.request as http\n\
        context = ssl.create_default_context(cafile=sys.argv[1])\n\
        request = http.Request(sys.argv[2], headers={'Authorization': sys.argv[3]})\n\
        print(http.urlopen(request, context=context, timeout=20).status)\n";
    let args = ["-c", ask, root.to_str().unwrap(), &url, &format!("Bearer {TOKEN}")];
    assert_eq!(tools::run_ok(tools::python(), args, b""), b"200\n");
}

#[test]
fn the_servers_certificate_is_renewed_in_time_and_no_connection_is_dropped() {
    let ca = ca_with(own());
    let mut kept = Kept::open(&ca, 0);
    let first = shown(&ca, 0).unwrap();
    // A day before two thirds of ninety are over, and a day after.
    ca.clock.move_to(59 * DAY);
    kept.ask();
    // Longer than the pause between two looks: a renewal that is not due must not happen in one.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(shown(&ca, 0).unwrap().serial(), first.serial(), "renewed too early");
    ca.clock.move_to(61 * DAY);
    let second =
        eventually("the renewal", || shown(&ca, 0).filter(|it| it.serial() != first.serial()));
    assert!(first.not_after() + 50 * 86_400 < second.not_after());
    assert_ne!(first.spki_der(), second.spki_der(), "the key is the old one");
    kept.ask();
    assert_eq!(rows_of_server(&ca), 2);
    // The old one was left to run out.
    assert!(status_of(&ca, first.serial()).is_none());
}

/// Whether a certificate is revoked, and why.
fn status_of(ca: &Ca, serial: Serial) -> Option<RevocationReason> {
    let row = ca.engine.store().certificate(&serial).unwrap().unwrap();
    let row = ca.engine.store().request(row.request).unwrap().unwrap();
    row.revocation.and_then(|it| it.reason)
}

#[test]
fn a_ca_that_cannot_renew_keeps_the_old_certificate_as_long_as_it_holds() {
    let ca = ca_with(own());
    let first = shown(&ca, 0).unwrap();
    ca.key.break_after(0);
    let asked = ca.key.asked();
    ca.clock.move_to(61 * DAY);
    eventually("an attempt", || (asked < ca.key.asked()).then_some(()));
    assert_eq!(shown(&ca, 0).unwrap().serial(), first.serial());
    ca.clock.move_to(91 * DAY);
    eventually("its end", || shown(&ca, 0).is_none().then_some(()));
    // The other door is open, and when the key is back TLS is.
    assert_eq!(ca.local().get("/v1/health").status(), 200);
    ca.key.break_after(1000);
    ca.clock.move_to(92 * DAY);
    let second = eventually("another one", || shown(&ca, 0));
    assert_ne!(first.serial(), second.serial());
}

#[test]
fn a_start_without_the_key_opens_the_doors_and_tls_follows() {
    let (mut ca, gate) = Ca::closed();
    gate.open();
    ca.key.break_after(0);
    serve_with(&mut ca, own(), |_| {});
    assert_eq!(ca.local().get("/v1/health").status(), 200);
    assert!(shown(&ca, 0).is_none());
    ca.key.break_after(1000);
    ca.clock.move_to(Duration::from_mins(2));
    eventually("a certificate", || shown(&ca, 0));
}

#[test]
fn a_certificate_of_the_server_that_begins_later_is_replaced_when_the_clock_is_put_back() {
    let (mut ca, gate) = Ca::closed();
    gate.open();
    ca.clock.move_to(30 * DAY);
    serve_with(&mut ca, own(), |_| {});
    let early = shown(&ca, 0).unwrap().serial();
    ca.clock.move_to(Duration::ZERO);
    eventually("another certificate", || shown(&ca, 0).filter(|it| it.serial() != early));
    let (good, said) = s_client(&ca, 0, &[]);
    assert!(good, "{said}");
    assert_eq!(rows_of_server(&ca), 2, "more than one was made");
}

#[test]
fn a_certificate_of_the_server_that_is_revoked_is_replaced_at_once() {
    let ca = ca_with(own());
    let first = shown(&ca, 0).unwrap();
    revoke(&ca, first.serial(), RevocationReason::KeyCompromise);
    let second =
        eventually("another one", || shown(&ca, 0).filter(|it| it.serial() != first.serial()));
    assert_ne!(first.spki_der(), second.spki_der());
}

/// Revokes a certificate, as an officer would.
pub fn revoke(ca: &Ca, serial: Serial, reason: RevocationReason) {
    let by =
        exeunt_engine::Caller::new("local:0", exeunt_engine::Door::Local, exeunt_types::Roles::ALL);
    let order = RevokeOrder::Revoke { reason, effective: None };
    ca.engine.revoke(Which::Serial(serial), order, &by).unwrap();
}

/// Another certificate for localhost, in files that a door reads.
fn certify(ca: &Ca, files: &TlsFiles) {
    let request = ca.request("/CN=localhost", &["localhost", "IP:127.0.0.1"]);
    let answer: SubmitAnswer = ca.local().post("/v1/requests", request).json().unwrap();
    fs::write(&files.certificate, answer.certificate.unwrap()).unwrap();
    let _ = fs::remove_file(&files.key);
    let key = fs::read(openssl_key("ec:P-256")).unwrap();
    secret_file::write_new(&files.key, &key).unwrap();
}

#[test]
fn files_are_read_again_for_new_connections_and_bad_ones_are_refused() {
    let mut ca = Ca::start();
    let files = TlsFiles {
        certificate: ca.home.path().join("tls.pem"),
        key: ca.home.path().join("tls.key"),
    };
    certify(&ca, &files);
    ca.server.take().unwrap().stop(PATIENCE);
    serve_with(&mut ca, vec![(Some(Tls::Files(files.clone())), Clients::Refuse)], |_| {});
    let mut kept = Kept::open(&ca, 0);
    let reload = ca.server.as_ref().unwrap().reload_tls();
    let first = shown(&ca, 0).unwrap().serial();

    certify(&ca, &files);
    assert_eq!(shown(&ca, 0).unwrap().serial(), first, "nobody asked for it");
    let told = reload();
    assert_eq!((told.read.len(), told.failed.len()), (1, 0));
    let second = shown(&ca, 0).unwrap().serial();
    assert_ne!(first, second);
    kept.ask();

    let other = fs::read(openssl_key("ec:P-384")).unwrap();
    let good = fs::read(&files.certificate).unwrap();
    let spoil: [(&str, &dyn Fn()); 4] = [
        ("KeyMismatch", &|| {
            fs::remove_file(&files.key).unwrap();
            secret_file::write_new(&files.key, &other).unwrap();
        }),
        ("open to others", &|| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            fs::set_permissions(&files.key, mode).unwrap();
        }),
        ("no certificate", &|| fs::write(&files.certificate, "nothing").unwrap()),
        ("No such file", &|| fs::remove_file(&files.certificate).unwrap()),
    ];
    for (why, spoil) in spoil {
        spoil();
        let told = reload();
        assert_eq!((told.read.len(), told.failed.len()), (0, 1), "{why}");
        let said = &told.failed[0];
        assert!(said.contains(why) && said.contains("keeps what it had"), "{why}: {said}");
        assert_eq!(shown(&ca, 0).unwrap().serial(), second);
        kept.ask();
    }
    fs::write(&files.certificate, good).unwrap();
    certify(&ca, &files);
    // By then it has run out, on the edge's clock.
    ca.clock.move_to(100 * DAY);
    let told = reload();
    assert!(told.failed[0].contains("is valid from"), "{:?}", told.failed);
    ca.clock.move_to(Duration::ZERO);
    assert!(reload().failed.is_empty());
    assert_ne!(shown(&ca, 0).unwrap().serial(), second);
    kept.ask();
}

#[test]
fn handshakes_that_go_nowhere_hold_the_others_up_for_their_time_only() {
    let (mut ca, gate) = Ca::closed();
    gate.open();
    serve_with(&mut ca, own(), |it| {
        it.limits.handshakes = 1;
        it.limits.handshake = Duration::from_secs(2);
    });
    let idle = TcpStream::connect(("127.0.0.1", port(&ca, 0))).unwrap();
    // Waits in its own time, and is in when the first one's is over.
    eventually("room for another", || shown(&ca, 0));
    drop(idle);
}

#[test]
fn what_a_given_certificate_says_is_looked_at_before_it_counts() {
    let ca = Ca::start();
    let files = TlsFiles {
        certificate: ca.home.path().join("tls.pem"),
        key: ca.home.path().join("tls.key"),
    };
    certify(&ca, &files);
    let read_key = ca.settings(Wanted::default()).read_key;
    let now = exeunt_engine::Clock::now(&ca.clock);
    let check = |now| exeunt_http::check_tls_files(&files, &read_key, now).unwrap();
    assert_eq!(check(now), Vec::<String>::new());
    let late = UnixMillis(now.0 + 100 * 86_400_000);
    assert!(check(late)[0].contains("is valid from"));
    let request = ca.request("/CN=only-a-name", &[]);
    let http = ca.local();
    let answer: SubmitAnswer =
        http.post("/v1/requests?template=tls-client", request).json().unwrap();
    fs::write(&files.certificate, answer.certificate.unwrap()).unwrap();
    let said = check(now);
    assert!(said.is_empty() || said[0].contains("no alternative name"), "{said:?}");
}
