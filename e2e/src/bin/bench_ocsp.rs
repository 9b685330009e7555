//! The benchmark of OCSP: answers per second over HTTP, as a ratio to a server that answers everything
//! with the same octets; and answers that have to be signed first.
//!
//! `cargo xtask bench ocsp` runs it. Every round begins with a server that was just started: each
//! serial number is asked for once, which signs; then the same questions are asked again and again.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Parser;
use exeunt_e2e::ca::Ca;
use exeunt_e2e::inside::Inside;
use exeunt_e2e::measure::{TICKS_PER_SECOND, median, requests, ticks};
use exeunt_e2e::{load, program};
use exeunt_keys::{SigningKey as _, SoftwareKey};
use exeunt_testkit::tools;
use exeunt_types::{KeyAlgorithm, Serial};
use exeunt_x509::encode_pem;

/// Options of the benchmark.
#[derive(Debug, Parser)]
struct Options {
    /// Certificates that are asked for
    #[arg(long, default_value_t = 20_000)]
    certificates: usize,
    /// Connections
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Seconds that each case is measured in a round, after half a second of warm-up
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Rounds; medians are quoted
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// Messages of HTTP.
type Messages = Rc<Vec<Vec<u8>>>;

/// How fast something was, and what it took of the server's processor time.
#[derive(Clone, Copy, Debug)]
struct Figure {
    per_second: f64,
    cpu: f64,
}

/// One line of the table: the figures of the CA and of the other server, round by round.
#[derive(Debug, Default)]
struct Case {
    ours: Vec<Figure>,
    bare: Vec<Figure>,
}

const WARM_UP: Duration = Duration::from_millis(500);
/// No refusal is as long (RFC 6960, section 4.2.1), and no answer that is signed is shorter.
const ANSWER_BYTES_MIN: usize = 100;

fn main() {
    let Options { certificates, clients, seconds, rounds } = Options::parse();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!(
        "OCSP on {cores} cores, {certificates} certificates, {clients} clients, {rounds} rounds of \
         {seconds} s, medians"
    );
    let ca = Ca::init(&[]);
    // Its files would be written while we measure.
    ca.configure("module = \"file\"", "module = \"file\"\nenabled = false");
    let serials = issue(&ca, certificates);
    let questions = questions(&ca, &serials);

    let (mut get, mut post) = (Case::default(), Case::default());
    let (mut fresh, mut bounds): (Vec<Figure>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut octets = 0;
    for _ in 0..rounds {
        let server = ca.serve();
        octets = check(&ca, server.address(), serials[0]);
        let bare = Constant::start(octets);
        let message = |address: SocketAddr, form: fn(SocketAddr, &[u8]) -> Vec<u8>| {
            Rc::new(questions.iter().map(|it| form(address, it)).collect::<Vec<_>>())
        };

        bounds.push(signatures_per_second(cores));
        let messages = message(server.address(), post_message);
        let before = ticks(server.pid());
        let took = load::ask_each(server.address(), &messages, clients, ANSWER_BYTES_MIN)
            .expect("answers");
        fresh.push(figure(certificates, took, ticks(server.pid()) - before));

        for (form, case) in
            [(get_message as fn(SocketAddr, &[u8]) -> Vec<u8>, &mut get), (post_message, &mut post)]
        {
            let time = Duration::from_secs(seconds);
            let measured = |address: SocketAddr, pid: u32| {
                measure(address, pid, &message(address, form), clients, time)
            };
            case.bare.push(measured(bare.address, bare.child.id()));
            case.ours.push(measured(server.address(), server.pid()));
        }
        server.stop();
    }
    report(octets, (&get, &post), (&fresh, &bounds));
}

fn report(octets: usize, (get, post): (&Case, &Case), (fresh, bounds): (&[Figure], &[f64])) {
    println!("an answer has {octets} octets");
    println!("{:32} {:>10} {:>9} {:>7}", "case", "answers/s", "cpu us", "ratio");
    for (name, case) in [("GET", get), ("POST", post)] {
        line(&format!("{name}, the same octets always"), &case.bare, None);
        let ratios = case.ours.iter().zip(&case.bare).map(|(a, b)| a.per_second / b.per_second);
        line(&format!("{name}, OCSP, kept answers"), &case.ours, Some(median(ratios.collect())));
    }
    let ratios = fresh.iter().zip(bounds).map(|(it, bound)| it.per_second / bound);
    line("POST, OCSP, signed each time", fresh, Some(median(ratios.collect())));
    println!("{:32} {:10.0}", "P-256 signatures, all cores", median(bounds.to_vec()));
    for (name, case) in [("GET", get), ("POST", post)] {
        let ratios = case.ours.iter().zip(&case.bare).map(|(a, b)| b.cpu / a.cpu);
        println!("{name}, ratio of processor time: {:.3}", median(ratios.collect()));
    }
}

fn line(name: &str, figures: &[Figure], ratio: Option<f64>) {
    let of = |it: fn(&Figure) -> f64| median(figures.iter().map(it).collect());
    let ratio = ratio.map(|it| format!("{it:7.3}")).unwrap_or_default();
    let cpu = of(|it| it.cpu) * 1e6;
    println!("{name:32} {:10.0} {cpu:9.1} {ratio}", of(|it| it.per_second));
}

fn issue(ca: &Ca, count: usize) -> Vec<Serial> {
    const AT_ONCE: usize = 256;
    let inside = Inside::open(ca);
    let requests = requests(ca);
    let mut serials = Vec::with_capacity(count);
    while serials.len() < count {
        let left = AT_ONCE.min(count - serials.len());
        serials.extend(inside.issue_at_once(&requests, serials.len(), left));
    }
    serials
}

/// A question for each certificate: openssl writes the first, and the others differ in the serial
/// number.
fn questions(ca: &Ca, serials: &[Serial]) -> Vec<Vec<u8>> {
    let path = ca.scratch().join("question.der");
    let first = serials[0];
    let made = openssl(ca, first).arg("-reqout").arg(&path).status().expect("openssl runs");
    assert!(made.success(), "openssl wrote no question");
    let question = fs::read(path).expect("a question");
    let octets = first.as_be_bytes();
    let place = question.windows(octets.len()).position(|it| it == octets);
    let place = place.expect("its serial number");
    let other = |serial: &Serial| {
        let mut other = question.clone();
        other[place..place + octets.len()].copy_from_slice(serial.as_be_bytes());
        other
    };
    serials.iter().map(other).collect()
}

/// `openssl ocsp` in the manner of RFC 5019, for one certificate.
fn openssl(ca: &Ca, serial: Serial) -> Command {
    let root = ca.home().join("ca.cert.pem");
    let mut command = Command::new(tools::openssl());
    command.arg("ocsp").arg("-issuer").arg(&root).arg("-CAfile").arg(&root);
    command.args(["-no_nonce", "-serial", &format!("0x{serial}")]);
    command
}

/// A stranger believes the answer; its length.
fn check(ca: &Ca, address: SocketAddr, serial: Serial) -> usize {
    let path = ca.scratch().join("answer.der");
    let mut command = openssl(ca, serial);
    command.args(["-url", &format!("http://{address}/ocsp"), "-respout"]).arg(&path);
    let told = command.output().expect("openssl runs");
    let said = [told.stdout, told.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("Response verify OK") && said.contains(": good"), "openssl: {said}");
    fs::read(path).expect("an answer").len()
}

fn post_message(address: SocketAddr, question: &[u8]) -> Vec<u8> {
    let length = question.len();
    let head = format!(
        "POST /ocsp HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/ocsp-request\r\n\
         content-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), question].concat()
}

/// As RFC 6960, appendix A.1, writes it: base64, and that in percent.
fn get_message(address: SocketAddr, question: &[u8]) -> Vec<u8> {
    let armoured = encode_pem("X", question);
    let base64: String = armoured.lines().filter(|it| !it.starts_with('-')).collect();
    let path = base64.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("GET /ocsp/{path} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes()
}

fn measure(
    address: SocketAddr,
    pid: u32,
    messages: &Messages,
    clients: usize,
    time: Duration,
) -> Figure {
    let before = ticks(pid);
    let begun = Instant::now();
    let least = ANSWER_BYTES_MIN;
    let count = load::ask_for(address, messages, clients, least, (WARM_UP, time)).expect("answers");
    // Also what the warm-up took, at the same rate.
    let whole = begun.elapsed();
    let Figure { per_second, .. } = figure(count, time, 0);
    let cpu = seconds(ticks(pid) - before) / (per_second * whole.as_secs_f64());
    Figure { per_second, cpu }
}

fn figure(count: usize, took: Duration, ticks: u64) -> Figure {
    let count = f64::from(u32::try_from(count).expect("BUG: fewer than 2^32"));
    Figure { per_second: count / took.as_secs_f64(), cpu: seconds(ticks) / count }
}

fn seconds(ticks: u64) -> f64 {
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND).as_secs_f64()
}

/// What signing alone would allow.
fn signatures_per_second(cores: usize) -> f64 {
    const TIME: Duration = Duration::from_millis(300);
    let key = SoftwareKey::generate(KeyAlgorithm::EcdsaP256).expect("a key");
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < TIME {
        std::hint::black_box(key.sign(&[7; 200]).expect("a signature"));
        count += 1;
    }
    let cores = f64::from(u32::try_from(cores).expect("BUG: few cores"));
    figure(count, begun.elapsed(), 0).per_second * cores
}

/// The server that always answers the same; killed in the end.
struct Constant {
    child: Child,
    address: SocketAddr,
}

impl Constant {
    fn start(octets: usize) -> Self {
        let started = Command::new(program::built("examples/constant"))
            .arg(octets.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = started.expect("the server starts");
        let address = listens(&mut child).expect("it listens");
        Self { child, address }
    }
}

fn listens(child: &mut Child) -> io::Result<SocketAddr> {
    let mut line = String::new();
    let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
    BufReader::new(stdout).read_line(&mut line)?;
    let address = line.trim_end().strip_prefix("listening on ");
    address.and_then(|it| it.parse().ok()).ok_or_else(|| io::Error::other("no address"))
}

impl Drop for Constant {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
