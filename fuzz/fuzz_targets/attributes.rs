//! Request attributes: lines of `Name:Value` from requesters.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// The one file, and not its crate, which would bring a database and a key store into this build.
#[expect(dead_code, reason = "only the parser is driven")]
#[path = "../../crates/exeunt-engine/src/attributes.rs"]
mod attributes;

use attributes::{ATTRIBUTE_COUNT_MAX, parse_attributes};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(attributes) = parse_attributes(text) else { return };
    assert!(attributes.len() <= ATTRIBUTE_COUNT_MAX);
    // What was accepted can be written down as lines and read back.
    let lines: String =
        attributes.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    assert_eq!(
        parse_attributes(&lines).expect("accepted attributes are accepted again"),
        attributes
    );
});
