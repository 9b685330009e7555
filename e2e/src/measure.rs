//! What the benchmarks share: requests, medians, and what the kernel says of a process.

use std::fs;
use std::time::{Duration, Instant};

use exeunt_keys::{SigningKey as _, SoftwareKey, verify};
use exeunt_types::{KeyAlgorithm, SignatureScheme};
use exeunt_x509::parse_request;

use crate::ca::Ca;

/// The middle one.
///
/// # Panics
///
/// When there is none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// P-256 requests of openssl, in DER.
///
/// # Panics
///
/// When openssl makes none.
pub fn requests(ca: &Ca) -> Vec<Vec<u8>> {
    let make = |index: u32| {
        let host = format!("host-{index}.example.test");
        let path = exeunt_testkit::requests::openssl_request(
            "ec:P-256",
            &format!("/O=Example/CN={host}"),
            &[&host],
            ca.scratch(),
        );
        let pem = fs::read(path).expect("a request");
        parse_request(&pem).expect("a request").der().to_vec()
    };
    (0..16).map(make).collect()
}

/// How long [`crypto_bound`] takes.
const BOUND_TIME: Duration = Duration::from_millis(600);

/// One verification and one signature on one core, times the cores: certificates per second that
/// cryptography alone would allow at this moment.
///
/// # Panics
///
/// When the key does not work.
pub fn crypto_bound(cores: usize) -> f64 {
    let key = SoftwareKey::generate(KeyAlgorithm::EcdsaP256).expect("a key");
    let message = [7; 400];
    let signature = key.sign(&message).expect("a signature");
    let started = Instant::now();
    let mut count = 0_u32;
    while started.elapsed() < BOUND_TIME {
        for _ in 0..50 {
            let scheme = SignatureScheme::EcdsaSha256;
            verify(key.public_key_der(), KeyAlgorithm::EcdsaP256, scheme, &message, &signature)
                .expect("a good signature");
            std::hint::black_box(key.sign(&message).expect("a signature"));
        }
        count += 50;
    }
    let cores = f64::from(u32::try_from(cores).expect("BUG: few cores"));
    f64::from(count) / started.elapsed().as_secs_f64() * cores
}

/// User and system time of a process in clock ticks: fields 14 and 15 of its `stat` (proc(5)).
///
/// # Panics
///
/// When there is no such process.
pub fn ticks(pid: u32) -> u64 {
    ticks_if_there(pid).expect("the process is there")
}

/// [`ticks`], where the process may be gone.
pub fn ticks_if_there(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in parentheses, may contain blanks.
    let after_name = stat.rsplit_once(')')?.1;
    let field = |index: usize| -> Option<u64> {
        after_name.split_whitespace().nth(index - 3)?.parse().ok()
    };
    Some(field(14)? + field(15)?)
}

/// Processes that a process has started and that are there.
///
/// # Panics
///
/// When there is no such process.
pub fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    let lists =
        threads.flatten().filter_map(|it| fs::read_to_string(it.path().join("children")).ok());
    let lists: Vec<String> = lists.collect();
    lists.iter().flat_map(|it| it.split_whitespace()).filter_map(|it| it.parse().ok()).collect()
}

/// `sysconf(_SC_CLK_TCK)`, which is 100 on every Linux.
pub const TICKS_PER_SECOND: u64 = 100;

/// Memory of a process in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// What it has in memory now: `VmRSS`.
    pub resident: u64,
    /// The most it ever had: `VmHWM`.
    pub most: u64,
    /// Of the present memory, what is not backed by a file: `RssAnon`.
    pub own: u64,
}

/// What a process has in memory, as its `status` says (proc(5)).
///
/// # Panics
///
/// When there is no such process.
pub fn memory(pid: u32) -> Memory {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|it| it.strip_prefix(name)).expect("a field");
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("a number")
    };
    Memory { resident: field("VmRSS"), most: field("VmHWM"), own: field("RssAnon") }
}
