//! Servers and clients that are written in Python, run with the packages of `cargo xtask test-tools`.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD};
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
    STANDARD.decode(member.as_str().expect("a text")).expect("base64")
}

/// Base64 with padding, as the scripts read it.
pub(crate) fn base64(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

/// A text member; empty where it is null or missing.
pub(crate) fn text(member: &Json) -> String {
    member.as_str().unwrap_or_default().to_owned()
}
