//! The benchmark of revocation lists: how long a large one takes, against what its octets cost alone, and
//! how much memory.
//!
//! `cargo xtask bench crl` runs it. The revocations are written into the store of a fresh CA by
//! Python; the list is made by the engine in this process, as the server makes it.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Parser;
use exeunt_e2e::ca::Ca;
use exeunt_e2e::inside::Inside;
use exeunt_e2e::measure::{median, memory};
use exeunt_engine::CrlOrder;
use exeunt_testkit::tools;

/// Options of the benchmark.
#[derive(Debug, Parser)]
struct Options {
    /// Revoked certificates in the list
    #[arg(long, default_value_t = 1_000_000)]
    entries: u64,
    /// Rounds; medians are quoted
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// Writes revocations with serial numbers of 16 octets, each for a different reason.
const REVOKE: &str = r"
import random, sqlite3, sys
path, entries = sys.argv[1], int(sys.argv[2])
reasons = [0, 1, 3, 4, 5, 6]
database = sqlite3.connect(path)
database.executemany(
    'INSERT INTO revocation (request, ran, effective, reason, revoked, event, not_after,'
    ' ca_key, crl_partition, serial)'
    ' VALUES (?, 1700000000000, 1700000000000, ?, 1, 0, 4000000000000, 0, 0, ?)',
    ((place, reasons[place % 6], bytes([0x40 | random.getrandbits(6)]) + random.randbytes(15))
     for place in range(1, entries + 1)))
database.commit()
";

fn main() {
    let Options { entries, rounds } = Options::parse();
    let ca = Ca::init(&[]);
    let store = ca.home().join("exeunt.db");
    let written = Command::new(tools::python())
        .args(["-c", REVOKE])
        .arg(&store)
        .arg(entries.to_string())
        .status()
        .expect("Python runs");
    assert!(written.success(), "Python could not write revocations");
    let inside = Inside::open(&ca);
    let own = std::process::id();
    let before = memory(own);

    println!("a revocation list of {entries} entries, {rounds} rounds, medians");
    let (mut made, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut length, mut most) = (0, 0);
    for _ in 0..rounds {
        let begun = Instant::now();
        let order = CrlOrder { base: true, ..CrlOrder::default() };
        let lists = inside.engine.publish_crls(order, None).expect("a list");
        let list = begun.elapsed();
        let record = lists.first().expect("a base");
        assert_eq!(record.entries, entries);
        length = record.length;
        // The comparison holds the whole list; what making it took is what the first round took.
        if most == 0 {
            most = memory(own).most;
        }
        let path = inside.engine.crl_file(record);
        let octets = hash_and_write(&path, ca.scratch()).expect("a copy");
        made.push(list.as_secs_f64());
        bare.push(octets.as_secs_f64());
        ratios.push(list.as_secs_f64() / octets.as_secs_f64());
        check(&path, &ca);
    }
    println!("octets of the list                     {length:>12}");
    println!("made, signed, checked, recorded        {:>12.3} s", median(made));
    println!("its octets hashed and written          {:>12.3} s", median(bare));
    println!("ratio                                  {:>12.2}", median(ratios));
    println!(
        "memory before, and the most, MiB       {:>6.1}{:>6.1}",
        mib(before.resident),
        mib(most)
    );
}

/// What nobody can do without: SHA-256 of so many octets, and a durable file with them.
fn hash_and_write(list: &Path, folder: &Path) -> io::Result<Duration> {
    let mut octets = Vec::new();
    File::open(list)?.read_to_end(&mut octets)?;
    let begun = Instant::now();
    let digest = exeunt_keys::sha256(&octets);
    let path = folder.join("copy");
    let mut file = File::create(&path)?;
    file.write_all(&octets)?;
    file.sync_all()?;
    let took = begun.elapsed();
    assert_ne!(digest, [0; 32]);
    fs::remove_file(path)?;
    Ok(took)
}

/// A stranger finds the signature good.
fn check(list: &Path, ca: &Ca) {
    let root = ca.scratch().join("root.pem");
    fs::write(&root, ca.certificate()).expect("a file");
    let mut openssl = Command::new("openssl");
    let openssl = openssl.args(["crl", "-inform", "DER", "-noout", "-in"]).arg(list);
    let told = openssl.arg("-CAfile").arg(&root).output().expect("openssl runs");
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.status.success() && said.contains("verify OK"), "openssl: {said}");
}

/// kB as MiB.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
