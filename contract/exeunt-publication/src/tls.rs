//! Whom a module trusts over TLS, and what it shows of itself.
//!
//! The settings are the same for every module: [`known`] lists them, [`Tls::read`] reads them. What
//! comes of them is a configuration of rustls, for whatever library the module talks with.

use std::{fmt, path::PathBuf, sync::Arc};

use ::aws_lc_rs::digest::{SHA256, digest};
use exeunt_module_kit::manage::{SettingInfo, SettingType};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
};

use crate::{secret::Secret, settings::Reader};

/// Most fingerprints in `server_certificate_sha256`.
pub const PINS_MAX: usize = 16;

/// Octets of a fingerprint: SHA-256.
const PIN_BYTES: usize = 32;

/// What the operator says about TLS, checked but for the files, which are read by
/// [`Tls::client_config`]: they may change while the module runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// CA certificates (PEM) to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of the certificates that the server may show. Where there are some, nothing else is
    /// asked of the certificate: not its issuer, its name or its dates.
    pub pins: Vec<[u8; PIN_BYTES]>,
    /// Certificate (PEM, its chain after it) to show to the server, and its key (PEM, readable by its
    /// owner alone).
    pub client: Option<(PathBuf, PathBuf)>,
}

/// The settings, for [`ManageModule`](exeunt_module_kit::manage::ManageModule).
#[must_use]
pub fn known() -> Vec<SettingInfo> {
    let info =
        |name: &str, kind, description: &str| SettingInfo::new(name, kind, description, None);
    let text = SettingType::String;
    vec![
        info("ca_file", text, "CA certificates (PEM) to trust instead of the system's"),
        info(
            "server_certificate_sha256",
            SettingType::List,
            "fingerprints of the certificates that the server may show; nothing else is asked then",
        ),
        info("client_certificate_file", text, "certificate (PEM) to show to the server"),
        info("client_key_file", text, "its key (PEM), readable by its owner alone"),
    ]
}

impl Tls {
    /// Reads `ca_file`, `server_certificate_sha256`, `client_certificate_file` and `client_key_file`.
    ///
    /// # Errors
    ///
    /// One line that names the setting.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, String> {
        let ca_file = reader.text("ca_file")?.map(PathBuf::from);
        let pins = reader.texts("server_certificate_sha256")?.unwrap_or_default();
        if PINS_MAX < pins.len() {
            return Err(format!("server_certificate_sha256 has more than {PINS_MAX} entries"));
        }
        let pins = pins.into_iter().map(pin).collect::<Result<Vec<_>, _>>()?;
        if ca_file.is_some() && !pins.is_empty() {
            return Err("ca_file and server_certificate_sha256 do not go together: a pinned \
                        certificate is trusted whoever signed it"
                .to_owned());
        }
        let certificate = reader.text("client_certificate_file")?.map(PathBuf::from);
        let key = reader.text("client_key_file")?.map(PathBuf::from);
        let client = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                return Err("client_certificate_file and client_key_file go together".to_owned());
            }
        };
        Ok(Self { ca_file, pins, client })
    }

    /// Whether anything is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self != Self::default()
    }

    /// Whether a certificate (DER) is one of [`Tls::pins`], for libraries that make their own
    /// configuration of TLS.
    #[must_use]
    pub fn is_pinned(&self, certificate: &[u8]) -> bool {
        let found = digest(&SHA256, certificate);
        self.pins.iter().any(|it| it == found.as_ref())
    }

    /// Makes the configuration: TLS 1.2 and 1.3, cryptography by aws-lc-rs.
    ///
    /// # Errors
    ///
    /// One line that names the setting and the file, or says that the system trusts nobody.
    pub fn client_config(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = self.verifier(&provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|err| format!("TLS: {err}"))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let Some((certificate, key)) = &self.client else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates("client_certificate_file", certificate)?;
        let secret = Secret::read("client_key_file", key)?;
        let parsed = PrivateKeyDer::from_pem_slice(secret.bytes())
            .map_err(|err| format!("client_key_file: {}: {err}", key.display()))?;
        builder
            .with_client_auth_cert(chain, parsed)
            .map_err(|err| format!("client_key_file: {}: {err}", key.display()))
    }

    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, String> {
        if !self.pins.is_empty() {
            let provider = Arc::clone(provider);
            return Ok(Arc::new(Pinned { pins: self.pins.clone(), provider }));
        }
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.ca_file {
            for certificate in certificates("ca_file", path)? {
                roots
                    .add(certificate)
                    .map_err(|err| format!("ca_file: {}: {err}", path.display()))?;
            }
        } else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err("the system has no CA certificates to trust; set ca_file".to_owned());
            }
        }
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map(|it| -> Arc<dyn ServerCertVerifier> { it })
            .map_err(|err| format!("TLS: {err}"))
    }
}

fn certificates(setting: &str, path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, String> {
    let refused = |why: String| format!("{setting}: {}: {why}", path.display());
    let content = std::fs::read(path).map_err(|err| refused(err.to_string()))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&content)
        .collect::<Result<_, _>>()
        .map_err(|err| refused(err.to_string()))?;
    if found.is_empty() {
        return Err(refused("no certificate (PEM) is in it".to_owned()));
    }
    Ok(found)
}

/// A fingerprint as `openssl x509 -fingerprint -sha256` writes it, or without the colons.
fn pin(text: &str) -> Result<[u8; PIN_BYTES], String> {
    let refused = || {
        format!("server_certificate_sha256 {text:?} is no SHA-256 of a certificate in hexadecimal")
    };
    let digits: Vec<u8> = text
        .chars()
        .filter(|it| *it != ':')
        .map(|it| it.to_digit(16).and_then(|it| u8::try_from(it).ok()))
        .collect::<Option<_>>()
        .ok_or_else(refused)?;
    let octets: Vec<u8> = digits.chunks_exact(2).map(|it| it[0] << 4 | it[1]).collect();
    if digits.len() != 2 * PIN_BYTES {
        return Err(refused());
    }
    octets.try_into().map_err(|_| refused())
}

/// Trusts certificates by their fingerprints. The server still proves that it has the key.
struct Pinned {
    pins: Vec<[u8; PIN_BYTES]>,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Pinned {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Pinned").field("pins", &self.pins.len()).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = digest(&SHA256, end_entity);
        if self.pins.iter().any(|it| it == found.as_ref()) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(settings: &serde_json::Value) -> Result<Tls, String> {
        let written = settings.as_object().unwrap();
        let mut reader = Reader::new(written);
        let tls = Tls::read(&mut reader)?;
        reader.finish()?;
        Ok(tls)
    }

    #[test]
    fn every_known_setting_is_read() {
        let names: Vec<String> = known().into_iter().map(|it| it.name).collect();
        let all = json!({
            "server_certificate_sha256": ["00".repeat(32)],
            "client_certificate_file": "c.pem", "client_key_file": "k.pem",
        });
        let tls = read(&all).unwrap();
        assert!(tls.is_set() && tls.pins == [[0; 32]] && tls.client.is_some());
        assert!(all.as_object().unwrap().keys().all(|it| names.contains(it)));
        assert!(read(&json!({"ca_file": "a.pem"})).unwrap().is_set());
        assert!(!read(&json!({})).unwrap().is_set());
    }

    #[test]
    fn a_fingerprint_is_taken_with_and_without_colons() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        for text in [plain, colons] {
            assert_eq!(pin(&text), Ok([0xab; 32]));
        }
        for text in ["", "ab", &"ab".repeat(33), &"xy".repeat(32), &"é".repeat(32)] {
            assert!(pin(text).unwrap_err().contains("is no SHA-256"), "{text}");
        }
    }

    #[test]
    fn a_certificate_is_pinned_by_its_sha_256() {
        // FIPS 180-2, appendix B.1: the digest of "abc".
        let pin = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let tls = read(&json!({"server_certificate_sha256": pin})).unwrap();
        assert!(tls.is_pinned(b"abc") && !tls.is_pinned(b"abd"));
        assert!(!Tls::default().is_pinned(b"abc"));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let err = read(&json!({"ca_file": "a", "server_certificate_sha256": "00".repeat(32)}));
        assert!(err.unwrap_err().contains("do not go together"));
        let err = read(&json!({"client_key_file": "a"}));
        assert!(err.unwrap_err().contains("go together"));
        let err = read(&json!({"ca_file": "/nowhere/ca.pem"})).unwrap().client_config();
        assert!(err.unwrap_err().starts_with("ca_file: /nowhere/ca.pem: "));
    }
}
