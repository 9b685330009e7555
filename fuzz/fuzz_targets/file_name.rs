//! File names that the module `file` makes: the operator's pattern on the first line, the
//! requester's common name after it.
#![no_main]

use exeunt_module_kit::{Value, testing::issued_event};
use libfuzzer_sys::fuzz_target;

/// The one file, because its crate offers only the whole module.
#[path = "../../modules/exeunt-exit-file/src/name.rs"]
mod name;

use name::{NAME_BYTES_MAX, Pattern, sanitized};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pattern, common_name) = text.split_once('\n').unwrap_or(("{subject_cn}.pem", text));
    let safe = |it: &str| !it.contains(['/', '\0', '\n']) && it != "." && it != "..";
    assert!(safe(&sanitized(common_name)));
    let Ok(pattern) = Pattern::parse(pattern) else { return };
    let mut event = issued_event(9, b"");
    event.certificate.push("CommonName", Value::String(common_name.to_owned()));
    if let Ok(name) = pattern.expand(&event) {
        assert!(safe(&name) && !name.starts_with('.') && !name.is_empty(), "{name:?}");
        assert!(name.len() <= NAME_BYTES_MAX);
    }
});
