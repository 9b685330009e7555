//! The benchmark of issuance over TLS: with a token, and with a certificate of the client, each as a
//! ratio to plain HTTP with a token in the same round.
//!
//! `cargo xtask bench tls` runs it. One server has three doors; the cases take turns at them, on
//! connections that are kept alive, so that handshakes are not what is measured: those have a line of
//! their own. The load generator shares the cores, and does its half of TLS on them.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use exeunt_e2e::ca::{Ca, hexadecimal};
use exeunt_e2e::cases::{self, Case};
use exeunt_e2e::load::{self, Way};
use exeunt_e2e::measure::requests;
use exeunt_keys::sha256;
use exeunt_testkit::requests::{openssl_key, openssl_request};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Options of the benchmark.
#[derive(Debug, Parser)]
struct Options {
    /// Connections
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Seconds that each case is measured in a round, after a second of warm-up
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Rounds; medians are quoted
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// Names, and what the two ratios are to be.
const CASES: [(&str, f64); 3] =
    [("plain HTTP, token", 1.0), ("TLS, token", 0.9), ("TLS, client certificate", 0.85)];

fn main() {
    let Options { clients, seconds, rounds } = Options::parse();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!(
        "issuance over TLS on {cores} cores, {clients} clients, {rounds} rounds of {seconds} s, medians"
    );
    let ca = Ca::init(&[]);
    // Its files would be written while we measure.
    ca.configure("module = \"file\"", "module = \"file\"\nenabled = false");
    ca.configure_more(DOORS);
    let certificate = client_certificate(&ca);
    let hash = hexadecimal(&sha256(&certificate));
    ca.configure_more(&format!(
        "[[principal]]\nname = \"bench\"\nroles = [\"enrollee\"]\ncertificate_sha256 = [\"{hash}\"]"
    ));
    let server = ca.serve_doors(&[], 2);
    let token = Some(ca.token());
    let ways = [
        Way { address: server.address(), token: token.clone(), tls: None },
        Way { address: server.door(0), token, tls: Some(config(&ca, None)) },
        Way { address: server.door(1), token: None, tls: Some(config(&ca, Some(certificate))) },
    ];
    let requests = requests(&ca);
    let cases = CASES.iter().zip(ways.clone()).map(|((name, target), way)| Case {
        name,
        target: *target,
        way,
        pid: server.pid(),
    });
    let cases: Vec<_> = cases.collect();
    cases::run(&cases, &requests, clients, Duration::from_secs(seconds), rounds);
    for (way, (name, _)) in ways.iter().zip(CASES) {
        let per_second = connections_per_second(way, &requests);
        println!(
            "{name}: {per_second:.0} new connections/s with a certificate each, one at a time"
        );
    }
    server.stop();
}

const DOORS: &str = r#"
[[template]]
name = "bench-client"
validity_days = 1
key_usage = ["digitalSignature"]
extended_key_usage = ["clientAuth"]
subject_from_request = ["CN"]
issue = "at-once"
callers = "local"

[[door]]
listen = "127.0.0.1:0"
tls = "own"

[[door]]
listen = "127.0.0.1:0"
tls = "own"
client_certificates = "require"
"#;

/// One after the other: a connection, a certificate over it, and its end.
fn connections_per_second(way: &Way, requests: &[Vec<u8>]) -> f64 {
    const TIME: Duration = Duration::from_secs(1);
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < TIME {
        load::issue_by(way, requests, 1, 1).expect("a certificate");
        count += 1;
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}

/// A certificate for the key of the tests, from the CA itself; DER.
fn client_certificate(ca: &Ca) -> Vec<u8> {
    let server = ca.serve_doors(&[], 2);
    let request = openssl_request("ec:P-256", "/CN=bench", &[], ca.scratch());
    let request = request.to_str().expect("a path");
    let pem = ca.ok(&["submit", request, "--template", "bench-client"]);
    server.stop();
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate").to_vec()
}

fn config(ca: &Ca, certificate: Option<Vec<u8>>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(ca.certificate().as_bytes()).expect("a certificate");
    roots.add(root).expect("a root");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let Some(certificate) = certificate else { return Arc::new(builder.with_no_client_auth()) };
    let key = fs::read(openssl_key("ec:P-256")).expect("a key");
    let key = PrivateKeyDer::from_pem_slice(&key).expect("a key");
    let chain = vec![CertificateDer::from(certificate)];
    Arc::new(builder.with_client_auth_cert(chain, key).expect("they belong together"))
}
