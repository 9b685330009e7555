//! The lint: the last reader before a signature, so it reads anything.
#![no_main]

use exeunt_x509::lint_tbs;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(findings) = lint_tbs(data, None) {
        assert!(!findings.is_empty(), "a refusal without a reason");
    }
});
