//! The CA's own certificate: a self-signed root, or the request of a subordinate.

use exeunt_keys::{SignError, SigningKey};
use exeunt_types::{Serial, UnixMillis};
use exeunt_x509::{
    BuildError, CaVersion, CertificateFields, Extension, Finding, KeyUsage, Name,
    assemble_certificate, assemble_request, build_request_info, build_tbs, certificate_hash,
    key_identifier, lint_tbs,
};

/// What a CA certificate says.
#[derive(Clone, Debug)]
pub struct CaProfile {
    /// The CA's subject; not empty.
    pub subject: Name,
    /// First second of validity.
    pub not_before: UnixMillis,
    /// Last second of validity.
    pub not_after: UnixMillis,
}

/// Which certificate of its CA one is.
#[derive(Clone, Copy, Debug)]
pub struct Renewal<'a> {
    /// Index of the certificate and of its key.
    pub version: CaVersion,
    /// The certificate that it renews, DER; none for the first one.
    pub previous: Option<&'a [u8]>,
}

impl Renewal<'_> {
    /// The CA's first certificate.
    pub const FIRST: Self =
        Self { version: CaVersion { certificate_index: 0, key_index: 0 }, previous: None };

    fn extensions(&self) -> impl Iterator<Item = Extension> {
        let previous = self.previous.map(|it| Extension::previous_ca_hash(&certificate_hash(it)));
        [Extension::ca_version(self.version)].into_iter().chain(previous)
    }
}

/// Why a CA certificate or request could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The parts do not make a certificate.
    #[error("building the CA certificate failed")]
    Build {
        /// What the builder said.
        source: BuildError,
    },
    /// The certificate would break a rule.
    #[error("the CA certificate would break a rule: {}", .0.iter().map(|it| it.message.as_str()).collect::<Vec<_>>().join("; "))]
    Lint(Vec<Finding>),
    /// The key did not sign.
    #[error("signing the CA certificate failed")]
    Sign {
        /// What the key's keeper said.
        source: SignError,
    },
}

impl AuthorityError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Build { .. } => "ca-build",
            Self::Lint(_) => "ca-lint",
            Self::Sign { .. } => "ca-sign",
        }
    }
}

/// Makes the first self-signed root certificate of a CA, DER.
///
/// # Errors
///
/// As [`renewed_root`].
pub fn self_signed_root(
    key: &dyn SigningKey,
    profile: &CaProfile,
    serial: Serial,
) -> Result<Vec<u8>, AuthorityError> {
    renewed_root(key, profile, serial, Renewal::FIRST)
}

/// Makes any self-signed root certificate of a CA, DER.
///
/// # Errors
///
/// [`AuthorityError`]; nothing was signed unless it is [`AuthorityError::Sign`].
pub fn renewed_root(
    key: &dyn SigningKey,
    profile: &CaProfile,
    serial: Serial,
    renewal: Renewal<'_>,
) -> Result<Vec<u8>, AuthorityError> {
    let tbs = root_tbs(key, profile, serial, renewal)
        .map_err(|source| AuthorityError::Build { source })?;
    lint_tbs(&tbs, None).map_err(AuthorityError::Lint)?;
    let signature = key.sign(&tbs).map_err(|source| AuthorityError::Sign { source })?;
    Ok(assemble_certificate(&tbs, key.scheme(), &signature))
}

fn root_tbs(
    key: &dyn SigningKey,
    profile: &CaProfile,
    serial: Serial,
    renewal: Renewal<'_>,
) -> Result<Vec<u8>, BuildError> {
    let mut extensions = ca_extensions(key)?;
    let own = key_identifier(key.public_key_der()).map_err(public_key)?;
    extensions.push(Extension::authority_key_identifier(&own));
    extensions.extend(renewal.extensions());
    build_tbs(&CertificateFields {
        serial,
        scheme: key.scheme(),
        issuer: &profile.subject,
        subject: &profile.subject,
        not_before: profile.not_before.unix_seconds(),
        not_after: profile.not_after.unix_seconds(),
        spki_der: key.public_key_der(),
        extensions: &extensions,
    })
}

/// Makes the first PKCS#10 request of a subordinate CA, DER, for the parent CA to sign.
///
/// # Errors
///
/// As [`renewed_root`].
pub fn ca_request(key: &dyn SigningKey, subject: &Name) -> Result<Vec<u8>, AuthorityError> {
    renewal_request(key, subject, Renewal::FIRST)
}

/// Makes any PKCS#10 request of a subordinate CA, DER. What it asks to be written about the renewal is
/// for the parent to grant.
///
/// # Errors
///
/// As [`renewed_root`].
pub fn renewal_request(
    key: &dyn SigningKey,
    subject: &Name,
    renewal: Renewal<'_>,
) -> Result<Vec<u8>, AuthorityError> {
    let extensions = ca_extensions(key).map(|mut it| {
        it.extend(renewal.extensions());
        it
    });
    let info = extensions
        .and_then(|extensions| build_request_info(subject, key.public_key_der(), &extensions))
        .map_err(|source| AuthorityError::Build { source })?;
    let signature = key.sign(&info).map_err(|source| AuthorityError::Sign { source })?;
    Ok(assemble_request(&info, key.scheme(), &signature))
}

fn ca_extensions(key: &dyn SigningKey) -> Result<Vec<Extension>, BuildError> {
    let usage = KeyUsage::DIGITAL_SIGNATURE | KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN;
    Ok(vec![
        Extension::basic_constraints(true, None),
        Extension::key_usage(usage),
        Extension::subject_key_identifier(key.public_key_der()).map_err(public_key)?,
    ])
}

fn public_key(source: exeunt_x509::KeyError) -> BuildError {
    BuildError::PublicKey { source: source.into() }
}
