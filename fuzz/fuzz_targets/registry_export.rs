//! Exports of a Windows registry, as a person finds them.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// The one file, and not its crate, which is the whole program.
#[path = "../../crates/exeunt/src/settings_import/registry.rs"]
mod registry;

use registry::{EXPORT_VALUES_MAX, Registry};

fuzz_target!(|data: &[u8]| {
    let Ok(registry) = Registry::parse(data) else { return };
    assert!(registry.0.values().map(|it| it.values.len()).sum::<usize>() <= EXPORT_VALUES_MAX);
    for (lower, key) in &registry.0 {
        assert_eq!(*lower, key.path.to_ascii_lowercase());
        for (name, (written, value)) in &key.values {
            assert_eq!(key.value(written), Some(value), "{name}");
            assert!(!value.to_string().is_empty());
        }
    }
});
