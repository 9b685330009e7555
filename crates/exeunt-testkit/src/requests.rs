//! Keys and PKCS#10 requests made by strangers: OpenSSL, and pyca/cryptography for ML-DSA.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::{python, tools};

/// A private key made by `openssl genpkey`, unencrypted PEM, made once for all tests.
///
/// `key` is `ec:P-256`, `rsa:2048` (or another curve or size) or `ed25519`. Two that differ only
/// in what follows a `#`, as in `rsa:2048#two`, are two keys.
///
/// # Panics
///
/// If openssl does not know such a key.
pub fn openssl_key(key: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tools::test_tools().join("keys");
        fs::create_dir_all(&folder).expect("no folder for test keys");
        folder
    });
    let name: String =
        key.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '-' }).collect();
    let path = folder.join(format!("{name}.pem"));
    if path.exists() {
        return path;
    }

    let kind = key.split_once('#').map_or(key, |(kind, _)| kind);
    let args = match kind.split_once(':') {
        Some(("ec", curve)) => format!("-algorithm EC -pkeyopt ec_paramgen_curve:{curve}"),
        Some(("rsa", bits)) => format!("-algorithm RSA -pkeyopt rsa_keygen_bits:{bits}"),
        None if kind == "ed25519" => "-algorithm ED25519".to_owned(),
        _ => panic!("openssl_key: {key:?} is not ec:CURVE, rsa:BITS or ed25519"),
    };
    let args = ["genpkey"].into_iter().chain(args.split(' '));
    let pem = tools::run_ok(tools::openssl(), args, b"");
    // Several test processes may want the same key at once: the first one wins, whole, because
    // it may have used its key already.
    let file = NamedTempFile::new_in(folder).expect("no room for test keys");
    fs::write(file.path(), pem).expect("no room for test keys");
    if let Err(err) = file.persist_noclobber(&path) {
        assert!(path.exists(), "a test key cannot be kept: {err}");
    }
    path
}

/// A PKCS#10 request in PEM, made by `openssl req`, as a new file in `dir`.
///
/// `key` is as in [`openssl_key`], and keys are shared by all requests that name the same one;
/// `ml-dsa:44`, `ml-dsa:65` or `ml-dsa:87` is made by pyca/cryptography with a new key each time,
/// which is written beside the request with the extension `key`. `subject` is as
/// `openssl req -subj` takes it, for example `/C=DE/CN=host`. Each `san` is a DNS name, or has
/// its kind before it: `IP:192.0.2.1`, `email:a@b.example`, `URI:…`.
///
/// # Panics
///
/// If no request comes of it.
pub fn openssl_request(key: &str, subject: &str, san: &[&str], dir: &Path) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let path = dir.join(format!("request-{}.pem", NEXT.fetch_add(1, Ordering::Relaxed)));
    if let Some(parameter_set) = key.strip_prefix("ml-dsa:") {
        ml_dsa_request(parameter_set, subject, san, &path);
        return path;
    }
    let mut args: Vec<PathBuf> =
        ["req", "-new", "-utf8", "-batch", "-key"].map(PathBuf::from).into();
    args.extend([openssl_key(key), "-subj".into(), subject.into(), "-out".into(), path.clone()]);
    if !san.is_empty() {
        let names: Vec<String> =
            san_pairs(san).map(|(kind, value)| format!("{kind}:{value}")).collect();
        args.extend(["-addext".into(), format!("subjectAltName={}", names.join(",")).into()]);
    }
    tools::run_ok(tools::openssl(), args, b"");
    path
}

fn ml_dsa_request(parameter_set: &str, subject: &str, san: &[&str], path: &Path) {
    let parameter_set: u8 = parameter_set.parse().expect("ml-dsa: is followed by 44, 65 or 87");
    let subject: Vec<(&str, &str)> = subject
        .split('/')
        .skip(1)
        .map(|it| it.split_once('=').expect("a subject is a sequence of /TYPE=VALUE"))
        .collect();
    let san: Vec<(&str, &str)> = san_pairs(san).collect();
    let argument = json!({ "parameter_set": parameter_set, "subject": subject, "san": san });
    let answer = python::call("ml_dsa_request", &argument).expect("BUG: nothing to refuse");
    let text = |value: &Value| value.as_str().expect("BUG: foreign.py gives PEM").to_owned();
    fs::write(path, text(&answer["request"])).expect("no room for a request");
    fs::write(path.with_extension("key"), text(&answer["key"])).expect("no room for a key");
}

fn san_pairs<'a>(san: &'a [&'a str]) -> impl Iterator<Item = (&'a str, &'a str)> {
    san.iter().map(|it| it.split_once(':').unwrap_or(("DNS", it)))
}
