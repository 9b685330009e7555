//! Filters of events: an expression, judged on an event that has much and on one that has nothing.
#![no_main]

use exeunt_dispatch::{FILTER_BYTES_MAX, Filter, Verdict};
use exeunt_module_kit::{Event, Extension, Extensions, testing::issued_event};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let filter = match Filter::parse(text) {
        Ok(filter) => filter,
        Err(err) => {
            assert!(!err.to_string().contains('\n'), "{err}");
            return;
        }
    };
    assert!(text.len() <= FILTER_BYTES_MAX);
    assert_eq!(filter.text(), text);
    let mut extensions = Extensions::default();
    extensions.push("2.5.29.17", Extension { flags: Extension::CRITICAL, value: Vec::new() });
    let event = Event { extensions, ..issued_event(9, b"0\0") };
    for event in [event, Event::default()] {
        if let Verdict::Failed(why) = filter.holds(&event) {
            assert!(!why.contains('\n'), "{why}");
        }
    }
});
