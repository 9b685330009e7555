//! Revocation lists at the targets of modules that publish: our own, and what others put there.
#![no_main]

use exeunt_publication::{
    certificate::Certificate,
    list::{RevocationList, Standing, compare},
};
use libfuzzer_sys::fuzz_target;

/// A CA's certificate, so that the way to the signature is walked.
const CA: &[u8] = include_bytes!("../../modules/exeunt-exit-file/tests/it/data/older.der");

fuzz_target!(|data: &[u8]| {
    let Ok(list) = RevocationList::from_der(data) else { return };
    assert_eq!(list.der(), data);
    assert_eq!(list.is_delta(), list.base().is_some());
    let ca = Certificate::from_der(CA).expect("the certificate is one");
    // Nobody here has its key.
    assert!(list.verify(&ca).is_err());
    assert_eq!(compare(Some(data), &list, &ca, 0), Standing::Same);
    let other = [data, b"x"].concat();
    assert!(!compare(Some(&other), &list, &ca, 0).is_write());
});
