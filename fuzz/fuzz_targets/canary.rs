//! Broken on purpose: fails on eight bytes that chance alone would not produce. `cargo xtask fuzz`
//! runs it first; if the fault is not found, coverage does not guide the fuzzer and no other run
//! means anything.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some((head, rest)) = data.split_first_chunk()
        && u32::from_be_bytes(*head) == 0x6578_6575
        && let Some((tail, _)) = rest.split_first_chunk()
        && u32::from_be_bytes(*tail) == 0x6e74_2337
    {
        panic!("the canary was found");
    }
});
