//! Building certificates: the part that is signed, and the whole around it.

use crate::algorithm::scheme_der;
use crate::extension::{EXTENSION_COUNT_MAX, Extension};
use crate::name::Name;
use crate::request::assemble;
use crate::time::write_time;
use crate::tlv::{CONTEXT_CONSTRUCTED, INTEGER, SEQUENCE, Tlv};
use crate::write::Writer;
use exeunt_types::{Serial, SignatureScheme};

/// Everything that goes into a certificate.
#[derive(Clone, Copy, Debug)]
pub struct CertificateFields<'a> {
    /// Serial number.
    pub serial: Serial,
    /// How the issuer will sign.
    pub scheme: SignatureScheme,
    /// Subject of the issuer's certificate, byte for byte.
    pub issuer: &'a Name,
    /// Whom the certificate is for.
    pub subject: &'a Name,
    /// First second of validity, in Unix seconds.
    pub not_before: i64,
    /// Last second of validity, in Unix seconds.
    pub not_after: i64,
    /// DER of the subject's public key: `SubjectPublicKeyInfo`.
    pub spki_der: &'a [u8],
    /// Extensions in the order they shall stand in.
    pub extensions: &'a [Extension],
}

/// Why a certificate or request cannot be built at all. What can be built and should not is the
/// lint's business.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A time before 1970 or after 9999.
    #[error("validity time {unix_seconds} cannot be written in a certificate")]
    Time {
        /// The time, in Unix seconds.
        unix_seconds: i64,
    },
    /// The public key is not a `SubjectPublicKeyInfo`.
    #[error("public key cannot be put in")]
    PublicKey {
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// More than [`EXTENSION_COUNT_MAX`].
    #[error("more than 64 extensions")]
    TooManyExtensions,
}

impl BuildError {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Time { .. } => "build-time",
            Self::PublicKey { .. } => "build-public-key",
            Self::TooManyExtensions => "build-too-many-extensions",
        }
    }
}

/// Builds the `TBSCertificate`, version 3 (RFC 5280, section 4.1.2).
///
/// # Errors
///
/// [`BuildError`]: the fields have no encoding.
pub fn build_tbs(fields: &CertificateFields<'_>) -> Result<Vec<u8>, BuildError> {
    let CertificateFields {
        serial,
        scheme,
        issuer,
        subject,
        not_before,
        not_after,
        spki_der,
        extensions,
    } = *fields;
    if EXTENSION_COUNT_MAX < extensions.len() {
        return Err(BuildError::TooManyExtensions);
    }
    Tlv::read_as(spki_der, SEQUENCE, "public key is not a sequence")
        .map_err(|source| BuildError::PublicKey { source: source.into() })?;
    let mut validity = Writer::with_capacity(34);
    for unix_seconds in [not_before, not_after] {
        write_time(&mut validity, unix_seconds).ok_or(BuildError::Time { unix_seconds })?;
    }
    let validity = validity.into_bytes();

    let extension_bytes: usize = extensions.iter().map(|it| it.value.len() + 20).sum();
    let capacity =
        128 + issuer.der().len() + subject.der().len() + spki_der.len() + extension_bytes;
    let mut writer = Writer::with_capacity(capacity);
    writer.nest(SEQUENCE, |it| {
        // Version 3 is written as 2.
        it.nest(CONTEXT_CONSTRUCTED, |it| it.integer_u8(2));
        it.element(INTEGER, serial.as_be_bytes());
        it.raw(scheme_der(scheme));
        it.raw(issuer.der());
        it.element(SEQUENCE, &validity);
        it.raw(subject.der());
        it.raw(spki_der);
        if !extensions.is_empty() {
            it.nest(CONTEXT_CONSTRUCTED + 3, |it| {
                it.nest(SEQUENCE, |it| extensions.iter().for_each(|each| each.write(it)));
            });
        }
    });
    Ok(writer.into_bytes())
}

/// Puts a signature to what [`build_tbs`] made. `scheme` is the one in there.
#[must_use]
pub fn assemble_certificate(tbs: &[u8], scheme: SignatureScheme, signature: &[u8]) -> Vec<u8> {
    assemble(tbs, scheme, signature)
}
