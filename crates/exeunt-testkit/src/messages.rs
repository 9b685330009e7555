//! Messages around requests, by strangers: signed by OpenSSL, with contents by pyasn1.

use std::path::{Path, PathBuf};

use crate::tools;

/// Python that knows the words of CMC; whoever wants a message appends an expression in them.
pub const CMC_PY: &str = include_str!("cmc.py");

/// What a PKCS #7 renewal holds: any octets.
pub const DATA: &str = "pkcs7-data";
/// What a full PKI request holds (RFC 5272, section 3.2.1).
pub const PKI_DATA: &str = "1.3.6.1.5.5.7.12.2";

/// Somebody who signs: a certificate in PEM, and its key.
#[derive(Clone, Debug)]
pub struct MessageSigner {
    /// File of the certificate.
    pub certificate: PathBuf,
    /// File of the key.
    pub key: PathBuf,
}

/// What an expression in the words of [`CMC_PY`] gives.
///
/// # Panics
///
/// If it gives nothing.
pub fn cmc(expression: &str) -> Vec<u8> {
    let script = format!("{CMC_PY}\nsys.stdout.buffer.write({expression})\n");
    tools::run_ok(tools::python(), ["-c", &script], b"")
}

/// `openssl cms -sign` over those octets by all of these, in DER.
///
/// # Panics
///
/// If openssl does not sign.
pub fn sign(content: &[u8], content_type: &str, signers: &[&MessageSigner]) -> Vec<u8> {
    let args = ["cms", "-sign", "-binary", "-nodetach", "-md", "sha256", "-outform", "DER"];
    let mut args: Vec<PathBuf> = args.map(PathBuf::from).into();
    args.extend(["-econtent_type".into(), content_type.into()]);
    for MessageSigner { certificate, key } in signers {
        args.extend(["-signer".into(), certificate.clone(), "-inkey".into(), key.clone()]);
    }
    tools::run_ok(tools::openssl(), args, content)
}

/// What is in a message that somebody with a certificate under that one signed, by openssl.
///
/// # Errors
///
/// What openssl said.
pub fn verified(message: &[u8], ca: &Path) -> Result<Vec<u8>, String> {
    let args = ["cms", "-verify", "-binary", "-inform", "DER", "-purpose", "any", "-CAfile"];
    let args = args.map(PathBuf::from).into_iter().chain([ca.to_owned()]);
    let output = tools::run(tools::openssl(), args, message);
    if output.status.success() { Ok(output.stdout) } else { Err(tools::words(&output)) }
}
