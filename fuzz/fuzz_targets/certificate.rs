//! Certificates: the operator's files, and what a parent CA sends back.
#![no_main]

use exeunt_x509::{Issuer, certificates_in, lint_tbs, many_certificates_in, parse_certificate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(found) = certificates_in(data) {
        assert!(!found.is_empty() && found.iter().all(|it| it.len() <= data.len()));
    }
    if let Ok(found) = many_certificates_in(data) {
        assert!(found.iter().map(Vec::len).sum::<usize>() <= data.len());
    }
    let Ok(certificate) = parse_certificate(data) else { return };
    assert!(certificate.der().len() <= data.len());
    let issuer = Issuer::from_certificate(certificate.der()).ok();
    let _ = lint_tbs(certificate.tbs_der(), None);
    let _ = lint_tbs(certificate.tbs_der(), issuer.as_ref());
});
