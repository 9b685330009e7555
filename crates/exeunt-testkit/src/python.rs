//! One call, one Python process: a JSON request on its standard input, a JSON answer back.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;

use crate::tools;

/// What Python runs. Handed over as an argument, so that no test depends on where files lie.
const SCRIPT: &str = include_str!("foreign.py");

/// Calls function `name` of the script with one JSON object.
///
/// The script answers `{"ok": …}` or `{"refused": "…"}`; only what it foresees is a refusal.
pub(crate) fn call(name: &str, argument: &Value) -> Result<Value, String> {
    let input = argument.to_string();
    let stdout = tools::run_ok(tools::python(), ["-c", SCRIPT, name], input.as_bytes());
    let mut answer: Value = serde_json::from_slice(&stdout)
        .unwrap_or_else(|err| panic!("foreign.py answered no JSON: {err}"));
    match answer.get("refused").and_then(Value::as_str) {
        Some(reason) => Err(reason.to_owned()),
        None => Ok(answer["ok"].take()),
    }
}

/// Octets as they travel in JSON.
pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// Octets as they came in JSON.
pub(crate) fn decode(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("BUG: foreign.py gives octets as text");
    BASE64_STANDARD.decode(text).expect("BUG: foreign.py gives base64")
}
