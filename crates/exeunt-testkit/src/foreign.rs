//! Second opinions on certificates, revocation lists, keys and signatures.
//!
//! `Ok` means accepted; an `Err` holds what the tool said. Everything is handed over as PEM,
//! except bare keys and signatures. OpenSSL 3.0 and `GnuTLS` 3.7 know no ML-DSA: what is signed
//! with it is judged by pyca/cryptography.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{python, tools};

/// Verifies a certificate with `openssl verify -x509_strict`.
///
/// `ca_pem` holds every CA certificate of the chain, the root among them; the root's own
/// signature is checked as well.
pub fn openssl_verify(cert_pem: &str, ca_pem: &str) -> Result<(), String> {
    let files = Files::new([("cert.pem", cert_pem), ("ca.pem", ca_pem)]);
    let mut args = words("verify -x509_strict -check_ss_sig -no-CApath -no-CAstore -CAfile");
    args.extend([files.path("ca.pem"), files.path("cert.pem")]);
    let output = tools::run(tools::openssl(), args, b"");
    if output.status.success() { Ok(()) } else { Err(tools::words(&output)) }
}

/// Verifies a certificate with `certtool --verify`, profile medium.
///
/// `cert_pem` may hold intermediates after the certificate. `GnuTLS` does not check the signature of
/// a trusted certificate itself.
pub fn certtool_verify(cert_pem: &str, ca_pem: &str) -> Result<(), String> {
    let files = Files::new([("ca.pem", ca_pem)]);
    let mut args = words("--verify --verify-profile medium --load-ca-certificate");
    args.push(files.path("ca.pem"));
    let output = tools::run(tools::certtool(), args, cert_pem.as_bytes());
    if output.status.success() { Ok(()) } else { Err(tools::words(&output)) }
}

/// Verifies a server's certificate with NSS, by its library for PKIX paths.
///
/// `between_pem` may hold one CA certificate between the two, or nothing.
pub fn nss_verify(cert_pem: &str, ca_pem: &str, between_pem: &str) -> Result<(), String> {
    let files = Files::new([("cert", cert_pem), ("ca", ca_pem), ("between", between_pem)]);
    let mut args = words("-pp -u 1 -a");
    args.push(files.path("cert"));
    if !between_pem.is_empty() {
        args.extend(["-a".into(), files.path("between")]);
    }
    args.extend(["-t".into(), "-a".into(), files.path("ca")]);
    let output = tools::run(tools::vfychain(), args, b"");
    let said = tools::words(&output);
    if output.status.success() && said.contains("Chain is good!") { Ok(()) } else { Err(said) }
}

/// A certificate as `openssl x509 -text` prints it.
///
/// # Panics
///
/// If openssl cannot read it.
pub fn openssl_text(cert_pem: &str) -> String {
    openssl_filter("x509 -noout -text", cert_pem)
}

/// A revocation list as `openssl crl -text` prints it.
///
/// # Panics
///
/// If openssl cannot read it.
pub fn openssl_crl_text(crl_pem: &str) -> String {
    openssl_filter("crl -noout -text", crl_pem)
}

/// A request as `openssl req -text` prints it, after its signature was found valid.
///
/// # Panics
///
/// If openssl cannot read it or refuses its signature.
pub fn openssl_request_text(request_pem: &str) -> String {
    openssl_filter("req -noout -verify -text", request_pem)
}

/// Verifies the signature of a revocation list with `openssl crl -CAfile`.
pub fn openssl_crl_verify(crl_pem: &str, ca_pem: &str) -> Result<(), String> {
    let files = Files::new([("crl.pem", crl_pem), ("ca.pem", ca_pem)]);
    let mut args = words("crl -noout -no-CApath -no-CAstore -CAfile");
    args.extend([files.path("ca.pem"), "-in".into(), files.path("crl.pem")]);
    let output = tools::run(tools::openssl(), args, b"");
    // OpenSSL 3.0 exits with 0 in either case.
    let said = tools::words(&output);
    if output.status.success() && said.contains("verify OK") { Ok(()) } else { Err(said) }
}

/// Verifies a certificate against a revocation list of its issuer, with `openssl verify -crl_check`.
///
/// A revoked certificate is an `Err` that says "certificate revoked".
pub fn openssl_verify_with_crl(cert_pem: &str, ca_pem: &str, crl_pem: &str) -> Result<(), String> {
    let files = Files::new([("cert.pem", cert_pem), ("ca.pem", ca_pem), ("crl.pem", crl_pem)]);
    let mut args = words("verify -x509_strict -no-CApath -no-CAstore -crl_check -CAfile");
    args.extend([files.path("ca.pem"), "-CRLfile".into(), files.path("crl.pem")]);
    args.push(files.path("cert.pem"));
    let output = tools::run(tools::openssl(), args, b"");
    if output.status.success() { Ok(()) } else { Err(tools::words(&output)) }
}

/// Lints one certificate, revocation list or OCSP response with pkilint against RFC 5280 and RFC
/// 6960.
///
/// An `Err` has one line for each finding of WARNING or worse. A start of Python costs some
/// 0.3 s: where there are several documents, use [`pkilint_many`].
pub fn pkilint(pem: &str) -> Result<(), String> {
    pkilint_many([("document", pem)])
}

/// Lints many documents in one Python process, as [`pkilint`] does.
///
/// Each document is a name, which begins the lines of its findings, and its PEM.
pub fn pkilint_many<'a>(
    documents: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), String> {
    let documents: Vec<Value> =
        documents.into_iter().map(|(name, pem)| json!({ "name": name, "pem": pem })).collect();
    let findings = python::call("lint", &json!({ "documents": documents }))?;
    let lines: Vec<&str> = findings
        .as_array()
        .expect("BUG: foreign.py gives a list of findings")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
}

/// Verifies an ML-DSA signature, with an empty context, with pyca/cryptography.
pub fn ml_dsa_verify(spki_der: &[u8], message: &[u8], signature: &[u8]) -> Result<(), String> {
    let argument = json!({
        "spki": python::encode(spki_der),
        "message": python::encode(message),
        "signature": python::encode(signature),
    });
    python::call("ml_dsa_verify", &argument).map(drop)
}

/// A signature that pyca/cryptography made with a key of its own.
pub struct ForeignSignature {
    /// DER `SubjectPublicKeyInfo` of the key.
    pub spki_der: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}

/// Signs `message` with a new ML-DSA key; `parameter_set` is 44, 65 or 87.
///
/// # Panics
///
/// If there is no such parameter set.
pub fn ml_dsa_sign(parameter_set: u8, message: &[u8]) -> ForeignSignature {
    let argument = json!({ "parameter_set": parameter_set, "message": python::encode(message) });
    let answer = python::call("ml_dsa_sign", &argument).expect("BUG: nothing to refuse");
    ForeignSignature {
        spki_der: python::decode(&answer["spki"]),
        signature: python::decode(&answer["signature"]),
    }
}

/// Verifies names and signature of a certificate against its issuer's with pyca/cryptography,
/// which knows every algorithm that Exeunt signs with.
pub fn python_issued_by(cert_pem: &str, issuer_pem: &str) -> Result<(), String> {
    let argument = json!({ "certificate": cert_pem, "issuer": issuer_pem });
    python::call("issued_by", &argument).map(drop)
}

/// Verifies name and signature of a revocation list against its issuer's certificate with
/// pyca/cryptography.
pub fn python_crl_issued_by(crl_pem: &str, issuer_pem: &str) -> Result<(), String> {
    python::call("crl_issued_by", &json!({ "crl": crl_pem, "issuer": issuer_pem })).map(drop)
}

/// Opens a private key in PEM with pyca/cryptography and gives the DER `SubjectPublicKeyInfo` of
/// its public half.
pub fn python_public_key(pem: &str, passphrase: Option<&str>) -> Result<Vec<u8>, String> {
    let argument = json!({ "pem": pem, "passphrase": passphrase });
    python::call("public_key", &argument).map(|it| python::decode(&it))
}

/// Opens a private key in PEM with `openssl pkey` and gives the DER `SubjectPublicKeyInfo` of its
/// public half.
pub fn openssl_public_key(pem: &str, passphrase: Option<&str>) -> Result<Vec<u8>, String> {
    let line = format!("{}\n", passphrase.unwrap_or_default());
    let files = Files::new([("key.pem", pem), ("passphrase", &line)]);
    let mut args = words("pkey -pubout -outform DER -in");
    args.push(files.path("key.pem"));
    // Named even if there is none: openssl would ask at the terminal.
    args.push("-passin".into());
    args.push(format!("file:{}", files.path("passphrase").display()).into());
    let output = tools::run(tools::openssl(), args, b"");
    if output.status.success() { Ok(output.stdout) } else { Err(tools::words(&output)) }
}

fn openssl_filter(command: &str, input: &str) -> String {
    let stdout = tools::run_ok(tools::openssl(), words(command), input.as_bytes());
    String::from_utf8_lossy(&stdout).into_owned()
}

fn words(command: &str) -> Vec<PathBuf> {
    command.split(' ').map(PathBuf::from).collect()
}

/// Texts as files of a folder that goes when this goes.
struct Files(TempDir);

impl Files {
    fn new<const N: usize>(files: [(&str, &str); N]) -> Self {
        let folder = TempDir::new().expect("no folder for temporary files");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("no room for temporary files");
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
