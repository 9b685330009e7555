//! Patterns of templates and of limits, and texts of strangers that are held against them.
#![no_main]

use exeunt_engine::is_like;
use exeunt_policy::{PATTERN_BYTES_MAX, Pattern};
use exeunt_x509::is_sid;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(pattern) = Pattern::parse(text) {
        assert!(text.len() <= PATTERN_BYTES_MAX);
        assert_eq!(pattern.text(), text);
    }
    if is_sid(text) {
        assert!(text.is_ascii() && text.starts_with("S-1-"));
    }
    let Some((pattern, text)) = text.split_once('\n') else { return };
    if pattern.len() + text.len() <= 512 {
        assert_eq!(is_like(pattern, text), is_like_by_table(pattern, text), "{pattern:?} {text:?}");
    }
});

/// The same by dynamic programming, which is slow and plain.
fn is_like_by_table(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for it in pattern {
        let mut next = vec![false; text.len() + 1];
        if it == '*' {
            let mut any = false;
            for at in 0..=text.len() {
                any |= row[at];
                next[at] = any;
            }
        } else {
            for at in 0..text.len() {
                next[at + 1] = row[at] && text[at] == it;
            }
        }
        row = next;
    }
    row[text.len()]
}
