//! What the audit trail costs issuance: certificates per second with everything written, as a ratio to the
//! same with nothing left in the filter that issuance writes.
//!
//! `cargo xtask bench audit` runs it. Two CAs, which differ in the filter only, issue in turns; the ratio is
//! taken within each turn, and the median is quoted. With the trail, a checkpoint is signed after each turn.

use clap::Parser;
use exeunt_e2e::ca::Ca;
use exeunt_e2e::inside::Inside;
use exeunt_e2e::measure::{crypto_bound, median, requests};
use exeunt_engine::CheckpointFile;
use exeunt_types::{AuditCategories, UnixMillis};

/// What the issue that asked for the trail wants.
const TARGET: f64 = 0.95;

/// Options of the benchmark.
#[derive(Debug, Parser)]
struct Options {
    /// Certificates in each half of a turn
    #[arg(long, default_value_t = 5_000)]
    certificates: usize,
    /// Turns; medians are quoted
    #[arg(long, default_value_t = 11)]
    rounds: usize,
}

/// A CA with a filter.
struct Side {
    ca: Ca,
    inside: Inside,
    requests: Vec<Vec<u8>>,
    is_audited: bool,
}

impl Side {
    fn open(is_audited: bool) -> Self {
        let ca = Ca::init(&[]);
        let requests = requests(&ca);
        let inside = Inside::open(&ca);
        let without = AuditCategories(AuditCategories::ALL.0 & !AuditCategories::REQUESTS.0);
        let filter = if is_audited { AuditCategories::ALL } else { without };
        inside.store.audit_start(UnixMillis(0), "bench", filter, "").expect("a start");
        Self { ca, inside, requests, is_audited }
    }

    /// Certificates per second.
    fn issue(&self, certificates: usize) -> f64 {
        let before = self.inside.store.counts().expect("counts").certificates;
        let took = self.inside.issue(&self.requests, certificates);
        if self.is_audited {
            let file = CheckpointFile::at(&self.ca.home().join("audit/checkpoints"));
            self.inside.engine.checkpoint_audit(&file).expect("a checkpoint");
        }
        let issued = self.inside.store.counts().expect("counts").certificates - before;
        let issued = f64::from(u32::try_from(issued).expect("BUG: fewer than 2^32"));
        issued / took.as_secs_f64()
    }
}

fn main() {
    let Options { certificates, rounds } = Options::parse();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!(
        "{rounds} turns of {certificates} certificates with and without the trail, {cores} cores"
    );
    let sides = [Side::open(true), Side::open(false)];
    for side in &sides {
        // The first ones make files grow and caches warm.
        side.issue(certificates.min(1_000));
    }
    let (mut ratios, mut with, mut without, mut bounds) = (vec![], vec![], vec![], vec![]);
    for round in 0..rounds {
        // Every second turn begins with the other one.
        let [audited, plain] = &sides;
        let (on, off) = if round % 2 == 0 {
            let on = audited.issue(certificates);
            (on, plain.issue(certificates))
        } else {
            let off = plain.issue(certificates);
            (audited.issue(certificates), off)
        };
        ratios.push(on / off);
        with.push(on);
        without.push(off);
        bounds.push(crypto_bound(cores));
    }
    let rows = sides[0].inside.store.audit_head().expect("the trail").number;
    println!("with the trail     {:8.0} cert/s, {rows} rows", median(with));
    println!("without            {:8.0} cert/s", median(without));
    println!("cryptography alone {:8.0} cert/s", median(bounds));
    let ratio = median(ratios);
    println!("ratio {ratio:.3}, target {TARGET}");
}
