//! Servers and clients that are written in Python, run with the packages of `cargo xtask test-tools`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

use crate::process::run;

/// The command that runs one of the scripts in the folder `python` of this crate, with what it is
/// told.
///
/// # Panics
///
/// When the tools of the tests are not installed.
pub(crate) fn script(name: &str, told: &Json) -> Command {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python: PathBuf = here.join("../../target/test-tools/venv/bin/python3");
    assert!(python.exists(), "{} is missing: run `cargo xtask test-tools`", python.display());
    let mut command = Command::new(python);
    // Nothing is written beside the sources.
    command.arg("-B").arg(here.join("python").join(name)).arg(told.to_string());
    command
}

/// Runs a script to its end and reads what it writes.
///
/// # Panics
///
/// When it fails, with what it said.
pub(crate) fn ask(name: &str, told: &Json) -> Json {
    let said = run(&mut script(name, told));
    serde_json::from_slice(&said).unwrap_or_else(|err| panic!("{name} wrote no JSON: {err}"))
}

/// The whole lines of a file of JSON lines; none where the file is not there yet.
///
/// # Panics
///
/// When a line is no JSON.
pub(crate) fn lines(path: &Path) -> Vec<Json> {
    let content = std::fs::read(path).unwrap_or_default();
    let whole = content.iter().rposition(|it| *it == b'\n').map_or(0, |at| at + 1);
    content[..whole]
        .split(|it| *it == b'\n')
        .filter(|it| !it.is_empty())
        .map(|it| serde_json::from_slice(it).expect("a line of JSON"))
        .collect()
}

/// Replaces a file that a server reads at any moment.
///
/// # Panics
///
/// When the disk does not take it.
pub(crate) fn replace(path: &Path, content: &Json) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, content.to_string()).expect("a file for the server");
    std::fs::rename(&beside, path).expect("the file in its place");
}

/// Octets of a member that is base64 with padding, as the scripts write it.
///
/// # Panics
///
/// When it is something else.
pub(crate) fn octets(member: &Json) -> Vec<u8> {
    let text = member.as_str().expect("a text");
    let sextet = |it: u8| match it {
        b'A'..=b'Z' => it - b'A',
        b'a'..=b'z' => it - b'a' + 26,
        b'0'..=b'9' => it - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("{text:?} is no base64"),
    };
    let mut octets = Vec::with_capacity(text.len() / 4 * 3);
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = four.iter().fold(0u32, |bits, it| bits << 6 | u32::from(sextet(*it)));
        // As many octets as the sextets fill.
        let bits = (bits << (6 * (4 - four.len()))).to_be_bytes();
        octets.extend_from_slice(&bits[1..four.len()]);
    }
    octets
}

/// Base64 with padding, as the scripts read it.
pub(crate) fn base64(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    for three in octets.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, it| bits << 8 | u32::from(*it));
        let bits = bits << (8 * (3 - three.len()));
        for place in 0..4 {
            let sextet = bits >> (18 - 6 * place) & 0x3f;
            let digit = ALPHABET[usize::try_from(sextet).unwrap_or_default()];
            text.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// A text member; empty where it is null or missing.
pub(crate) fn text(member: &Json) -> String {
    member.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        // The vectors of RFC 4648, section 10.
        for (plain, encoded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(plain.as_bytes()), encoded);
            assert_eq!(octets(&encoded.into()), plain.as_bytes());
        }
    }
}
