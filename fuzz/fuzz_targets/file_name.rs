//! Names that modules make of events: the operator's pattern on the first line, the requester's
//! common name after it; as a file, as the key of an object, as a subject of a bus.
#![no_main]

use exeunt_module_kit::{Value, testing::issued_event};
use exeunt_publication::pattern::{NAME_BYTES_MAX, Pattern, Place, sanitized};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pattern, common_name) = text.split_once('\n').unwrap_or(("{subject_cn}.pem", text));
    let mut event = issued_event(9, b"");
    event.certificate.push("CommonName", Value::String(common_name.to_owned()));
    let expand = |place| Pattern::parse(pattern, place).ok()?.expand(&event).ok();
    let safe = |it: &str| !it.contains(['/', '\0', '\n']) && it != "." && it != "..";
    assert!(safe(&sanitized(common_name, Place::FileName)));
    if let Some(name) = expand(Place::FileName) {
        assert!(safe(&name) && !name.starts_with('.') && !name.is_empty(), "{name:?}");
        assert!(name.len() <= NAME_BYTES_MAX);
    }
    if let Some(key) = expand(Place::ObjectKey) {
        assert!(key.split('/').all(|it| safe(it) && !it.is_empty()), "{key:?}");
        assert_eq!(key.matches('/').count(), pattern.matches('/').count(), "{key:?}");
    }
    if let Some(subject) = expand(Place::Subject) {
        assert!(subject.split('.').all(|it| !it.is_empty()), "{subject:?}");
        assert!(!subject.contains([' ', '*', '>', '\r', '\n']), "{subject:?}");
        assert_eq!(subject.matches('.').count(), pattern.matches('.').count(), "{subject:?}");
    }
});
