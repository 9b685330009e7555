//! Certificates at the targets of modules that publish: our own, and those of other CAs.
#![no_main]

use exeunt_publication::certificate::{Certificate, IssuerError};
use libfuzzer_sys::fuzz_target;

/// A certificate of a known key.
const CA: &[u8] = include_bytes!("../../modules/exeunt-exit-file/tests/it/data/older.der");

fuzz_target!(|data: &[u8]| {
    let Ok(certificate) = Certificate::from_der(data) else { return };
    assert_eq!(certificate.der(), data);
    assert!(certificate.serial().bytes().all(|it| it.is_ascii_hexdigit()));
    // Whether it has signed itself is asked of every algorithm that it names.
    let _ = certificate.issued_by(&certificate);
    let ca = Certificate::from_der(CA).expect("the certificate is one");
    if data != CA {
        assert_ne!(ca.issued_by(&certificate), Err(IssuerError::Algorithm(String::new())));
    }
});
