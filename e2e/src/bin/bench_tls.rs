//! The benchmark of issuance over TLS: with a token, and with a certificate of the client, each as a
//! ratio to plain HTTP with a token in the same round.
//!
//! `cargo xtask bench tls` runs it. One server has three doors; the cases take turns at them, on
//! connections that are kept alive, so that handshakes are not what is measured: those have a line of
//! their own. The load generator shares the cores, and does its half of TLS on them.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use exeunt_e2e::ca::{Ca, Served};
use exeunt_e2e::load::{self, Way};
use exeunt_e2e::measure::{TICKS_PER_SECOND, median, requests, ticks};
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

/// What one run of a case gave.
#[derive(Clone, Copy, Debug)]
struct Figure {
    per_second: f64,
    /// Processor time of the server for each certificate, in microseconds.
    cpu: f64,
    /// In milliseconds.
    p50: f64,
    /// In milliseconds.
    p99: f64,
}

const WARM_UP: Duration = Duration::from_secs(1);
const NAMES: [&str; 3] = ["plain HTTP, token", "TLS, token", "TLS, client certificate"];
/// What the two ratios are to be.
const TARGETS: [f64; 3] = [1.0, 0.9, 0.85];

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
    let hash = sha256(&certificate).iter().fold(String::new(), |mut text, octet| {
        write!(text, "{octet:02x}").expect("BUG: a text takes all");
        text
    });
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
    let mut figures: [Vec<Figure>; 3] = Default::default();
    for _ in 0..rounds {
        for (way, figures) in ways.iter().zip(&mut figures) {
            figures.push(measure(&server, way, &requests, clients, Duration::from_secs(seconds)));
        }
    }
    report(&figures);
    for (way, name) in ways.iter().zip(NAMES) {
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

fn report(figures: &[Vec<Figure>; 3]) {
    println!(
        "{:26} {:>8} {:>7} {:>7} {:>8} {:>8} {:>8}",
        "case", "cert/s", "ratio", "target", "cpu us", "p50 ms", "p99 ms"
    );
    let [plain, ..] = figures;
    for ((name, own), target) in NAMES.iter().zip(figures).zip(TARGETS) {
        let of = |it: fn(&Figure) -> f64| median(own.iter().map(it).collect());
        let ratios = own.iter().zip(plain).map(|(a, b)| a.per_second / b.per_second);
        println!(
            "{name:26} {:8.0} {:7.3} {target:7.2} {:8.1} {:8.2} {:8.2}",
            of(|it| it.per_second),
            median(ratios.collect()),
            of(|it| it.cpu),
            of(|it| it.p50),
            of(|it| it.p99),
        );
    }
}

fn measure(
    server: &Served,
    way: &Way,
    requests: &[Vec<u8>],
    clients: usize,
    time: Duration,
) -> Figure {
    let before = ticks(server.pid());
    let begun = Instant::now();
    let measured = load::run_by(way, requests, clients, WARM_UP, time).expect("certificates");
    let whole = begun.elapsed();
    let taken = Duration::from_millis((ticks(server.pid()) - before) * 1000 / TICKS_PER_SECOND);
    let mut latencies = measured.latencies;
    latencies.sort_unstable();
    let at = |share: usize| latencies[(latencies.len() - 1) * share / 100].as_secs_f64() * 1e3;
    let count = f64::from(u32::try_from(latencies.len()).expect("BUG: fewer than 2^32"));
    let per_second = count / time.as_secs_f64();
    // Also what the warm-up took, at the same rate.
    let cpu = taken.as_secs_f64() * 1e6 / (per_second * whole.as_secs_f64());
    Figure { per_second, cpu, p50: at(50), p99: at(99) }
}

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
