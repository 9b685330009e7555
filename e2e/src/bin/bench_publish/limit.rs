//! The same writes by somebody who does nothing else.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use exeunt_testbed::process::run;
use exeunt_testkit::tools;
use serde_json::Value;

/// Octets of one write in Python: about those of a certificate.
const OCTETS: usize = 600;

/// Runs the loop of that name in `limit.py`; how long it took by its own clock, without its start.
pub fn python(name: &str, about: &Value) -> Duration {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/bench_publish/limit.py");
    let mut command = Command::new(tools::test_tools().join("venv/bin/python3"));
    command.arg("-B").arg(script).args([name, &about.to_string(), &OCTETS.to_string()]);
    let said = String::from_utf8(run(&mut command)).expect("text");
    Duration::from_secs_f64(said.trim().parse().expect("seconds"))
}

/// A certificate in DER that nobody of ours has made.
pub fn certificate() -> Vec<u8> {
    let key = exeunt_testkit::requests::openssl_key("ec:P-256");
    let key = key.to_str().expect("a path in UTF-8");
    let words = ["req", "-x509", "-new", "-key", key, "-subj", "/CN=limit", "-outform", "DER"];
    tools::run_ok(tools::openssl(), words, b"")
}

/// Base64 with padding.
pub fn base64(octets: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(octets)
}
