//! PEM armour.
#![no_main]

use exeunt_x509::{decode_pem_or_der, encode_pem};
use libfuzzer_sys::fuzz_target;

const LABELS: &[&str] = &["CERTIFICATE", "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];

fuzz_target!(|data: &[u8]| {
    let Ok(der) = decode_pem_or_der(data, LABELS) else { return };
    let pem = encode_pem("CERTIFICATE", &der);
    let again = decode_pem_or_der(pem.as_bytes(), LABELS).expect("our own PEM is PEM");
    assert_eq!(again, der);
});
