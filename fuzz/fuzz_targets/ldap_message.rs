//! What a server of LDAP sends: bytes on their way to a library that believes every length.
#![no_main]

use exeunt_exit_directory::{ANSWER_BYTES_MAX, NESTING_MAX, check_messages};
use libfuzzer_sys::fuzz_target;

/// The tag, the content and the rest of a part in BER with a length that has an end; `None` where there
/// is no whole one.
fn part(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = octets.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (u64::from(first), rest),
        0x81..=0x88 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (octets.iter().fold(0, |sum, it| sum << 8 | u64::from(*it)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((tag, content, rest))
}

/// Whether these are whole parts, none nested too deep.
fn is_sound(mut octets: &[u8], depth: usize) -> bool {
    while !octets.is_empty() {
        let Some((tag, content, rest)) = part(octets) else { return false };
        let may_begin = depth != 0 || tag == 0x30;
        let may_hold = |content| depth < NESTING_MAX && is_sound(content, depth + 1);
        if !may_begin || tag & 0x20 != 0 && !may_hold(content) {
            return false;
        }
        octets = rest;
    }
    true
}

fuzz_target!(|data: &[u8]| {
    // The first octet says how the rest is cut.
    let Some((cut, message)) = data.split_first() else { return };
    let at_once = check_messages(message, message.len().max(1));
    assert_eq!(check_messages(message, usize::from(*cut).max(1)), at_once);
    // What is sound passes; nothing here is long enough to be too large.
    assert!((message.len() as u64) < ANSWER_BYTES_MAX);
    if is_sound(message, 0) {
        assert_eq!(at_once, Ok(()));
    }
    // What has passed is sound as far as it has come: its end may be missing, and nothing else. So
    // of each message that is there as a whole, every part is.
    if at_once.is_ok() {
        let mut rest = message;
        while let Some((_, _, next)) = part(rest) {
            let whole = &rest[..rest.len() - next.len()];
            assert!(is_sound(whole, 0), "{whole:02x?}");
            rest = next;
        }
    }
});
