//! Checkpoints of the audit trail: signed texts out of files that anybody may have changed.
#![no_main]

use exeunt_engine::Checkpoint;
use exeunt_x509::{SIGNED_TEXT_BYTES_MAX, parse_signed_text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match parse_signed_text(data) {
        Ok(signed) => {
            assert!(data.len() <= SIGNED_TEXT_BYTES_MAX);
            assert!(!signed.signed_bytes().is_empty());
            // What is signed is never the text itself, which a stranger may have chosen.
            assert_ne!(signed.signed_bytes(), signed.text().as_bytes());
            read(signed.text());
        }
        Err(err) => assert!(!err.to_string().contains('\n'), "{err}"),
    }
    if let Ok(text) = std::str::from_utf8(data) {
        read(text);
    }
    // Nobody's key signed it.
    assert!(Checkpoint::verify(data, "0", &[]).is_err());
});

fn read(text: &str) {
    if let Some(checkpoint) = Checkpoint::from_text(text) {
        assert_eq!(checkpoint.text(), text, "one checkpoint has one text");
    }
}
