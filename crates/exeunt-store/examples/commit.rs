//! Measures certificates per second: `admit_intend` and `record` at realistic sizes, by 1, 8 and 64
//! threads. Arguments: seconds per round, folder for the store (a temporary one by default).

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use exeunt_store::Store;
use exeunt_types::{
    KeyAlgorithm, NewCertificate, NewIntent, NewRequest, RequestType, Serial, UnixMillis,
};

const THREADS: [usize; 3] = [1, 8, 64];
const REQUEST_OCTETS: usize = 400;
const TBS_OCTETS: usize = 600;
const CERTIFICATE_OCTETS: usize = 700;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().map_or(Ok(5), |it| it.parse())?;
    let folder = match arguments.next() {
        Some(parent) => tempfile::tempdir_in(PathBuf::from(parent))?,
        None => tempfile::tempdir()?,
    };
    let path = folder.path().join("store.db");
    Store::create(&path, [1; 8], UnixMillis(0))?;
    let store = Store::open(&path)?;
    let next = AtomicU64::new(1);
    for threads in THREADS {
        round(&store, &next, threads, Duration::from_secs(seconds))?;
    }
    let size = std::fs::metadata(&path)?.len() / 1_000_000;
    let log = std::fs::metadata(folder.path().join("store.db-wal"))?.len() / 1_000_000;
    println!("{} certificates, file {size} MB, log {log} MB", store.counts()?.certificates);
    Ok(())
}

fn round(
    store: &Store,
    next: &AtomicU64,
    threads: usize,
    length: Duration,
) -> Result<(), Box<dyn Error>> {
    let stop = AtomicBool::new(false);
    let done = AtomicU64::new(0);
    let slowest = AtomicU64::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let started = Instant::now();
                        one(store, next.fetch_add(1, Ordering::Relaxed))?;
                        let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                        slowest.fetch_max(took, Ordering::Relaxed);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok::<(), exeunt_store::StoreError>(())
                })
            })
            .collect();
        std::thread::sleep(length);
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().try_for_each(|client| client.join().expect("BUG: a client panicked"))
    })?;
    let elapsed = begun.elapsed();
    let done = u128::from(done.into_inner());
    println!(
        "{threads:3} threads: {:6} certificates/s, mean {:6} us, slowest {:7} us",
        done * 1_000_000 / elapsed.as_micros(),
        elapsed.as_micros() * threads as u128 / done.max(1),
        slowest.into_inner(),
    );
    Ok(())
}

fn one(store: &Store, number: u64) -> Result<(), exeunt_store::StoreError> {
    let at = UnixMillis(1_800_000_000_000);
    // SplitMix64, so that serials land at random places of the index as real ones do.
    let mix = |seed: u64| {
        let mut bits = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    let random = (u128::from(mix(number)) << 64 | u128::from(mix(!number))).to_be_bytes();
    let serial = Serial::from_random(random);
    let request = NewRequest {
        raw: vec![0x30; REQUEST_OCTETS],
        request_type: RequestType::Pkcs10,
        requester: "alice@example.org".to_owned(),
        caller: "alice@example.org".to_owned(),
        template: "WebServer".to_owned(),
        attributes: vec![("CertificateTemplate".to_owned(), "WebServer".to_owned())],
        subject: format!("CN=host{number}.example.org,O=Example"),
        flags: exeunt_types::RequestFlags::default(),
        old_certificate: None,
        submitted: at,
    };
    let intent = NewIntent {
        serial,
        tbs: vec![0x30; TBS_OCTETS],
        not_after: at,
        ca_key: 0,
        crl_partition: 0,
    };
    let id = store.admit_intend(request, intent)?;
    let certificate = NewCertificate {
        serial,
        raw: vec![0x30; CERTIFICATE_OCTETS],
        subject: format!("CN=host{number}.example.org,O=Example"),
        subject_alternative_names: format!("dns:host{number}.example.org"),
        not_before: at,
        not_after: at,
        ca_key: 0,
        crl_partition: 0,
        key: KeyAlgorithm::EcdsaP256,
    };
    store.record(id, certificate, at)?;
    Ok(())
}
