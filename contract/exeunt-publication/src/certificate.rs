//! A certificate as a publisher needs it: whose it is, by whom, for how long, and under which names.
//!
//! Bytes in, facts out. Whether somebody should trust it is not asked here, only whether a given CA
//! has signed it.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use der::{
    Decode as _, Encode as _, Reader as _, SliceReader,
    asn1::{ObjectIdentifier, OctetStringRef, Utf8StringRef},
    oid::db::rfc5280,
};
use x509_cert::{
    ext::pkix::{AuthorityKeyIdentifier, BasicConstraints, name::GeneralName},
    name::Name,
};

use crate::signed::{NotVerified, Signed};

/// Largest certificate, in bytes: what the server issues and takes in at most.
pub const CERTIFICATE_BYTES_MAX: usize = 64 * 1024;

/// `szOID_NT_PRINCIPAL_NAME`, the user principal name among the alternative names.
const USER_PRINCIPAL_NAME: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.20.2.3");

/// Why bytes are not a certificate that can be worked with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// More than [`CERTIFICATE_BYTES_MAX`].
    #[error("the certificate is larger than 64 KiB")]
    TooLarge,
    /// Not DER, or not the structure of RFC 5280.
    #[error("the certificate cannot be decoded")]
    Malformed(#[source] der::Error),
}

impl CertificateError {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "publication-certificate-too-large",
            Self::Malformed(_) => "publication-certificate-malformed",
        }
    }
}

/// Why a certificate or a revocation list is not one of a given CA.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssuerError {
    /// Another name, or another key by its identifier: it is somebody else's.
    #[error("it was issued by another CA")]
    Other,
    /// The names fit, and the signature is not by this key over these bytes.
    #[error("its signature is not one of this CA")]
    Signature,
    /// The names fit, and the signature cannot be verified here.
    #[error("the algorithm of its signature is not known here: {0}")]
    Algorithm(String),
}

impl IssuerError {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Other => "publication-issuer-other",
            Self::Signature => "publication-issuer-signature",
            Self::Algorithm(_) => "publication-issuer-algorithm",
        }
    }
}

impl From<NotVerified> for IssuerError {
    fn from(err: NotVerified) -> Self {
        match err {
            NotVerified::Algorithm(what) => Self::Algorithm(what),
            NotVerified::Signature => Self::Signature,
        }
    }
}

/// A decoded certificate with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    serial: String,
    issuer: Vec<u8>,
    issuer_text: String,
    subject: Vec<u8>,
    subject_text: String,
    common_name: Option<String>,
    not_before: i64,
    not_after: i64,
    spki: Vec<u8>,
    subject_key_identifier: Option<Vec<u8>>,
    authority_key_identifier: Option<Vec<u8>>,
    is_ca: bool,
    user_principal_names: Vec<String>,
    emails: Vec<String>,
    dns_names: Vec<String>,
}

impl Certificate {
    /// Decodes a certificate in DER. Alternative names of kinds that are not known here are passed
    /// over.
    ///
    /// # Errors
    ///
    /// [`CertificateError`]: too large, or no certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if CERTIFICATE_BYTES_MAX < der.len() {
            return Err(CertificateError::TooLarge);
        }
        Self::decode(der).map_err(CertificateError::Malformed)
    }

    fn decode(der: &[u8]) -> der::Result<Self> {
        let decoded = x509_cert::Certificate::from_der(der)?;
        Signed::split(der)?;
        let tbs = decoded.tbs_certificate();
        let extension = |oid: ObjectIdentifier| {
            let mut all = tbs.extensions().into_iter().flatten();
            all.find(|it| it.extn_id == oid).map(|it| it.extn_value.as_bytes())
        };
        let key_identifier = extension(rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER)
            .map(<&OctetStringRef>::from_der)
            .transpose()?;
        let authority = extension(rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER)
            .map(AuthorityKeyIdentifier::from_der)
            .transpose()?;
        let constraints = extension(rfc5280::ID_CE_BASIC_CONSTRAINTS)
            .map(BasicConstraints::from_der)
            .transpose()?;
        let names = match extension(rfc5280::ID_CE_SUBJECT_ALT_NAME) {
            Some(value) => general_names(value)?,
            None => Vec::new(),
        };
        let mut it = Self {
            der: der.to_vec(),
            serial: serial_text(tbs.serial_number().as_bytes()),
            issuer: tbs.issuer().to_der()?,
            issuer_text: tbs.issuer().to_string(),
            subject: tbs.subject().to_der()?,
            subject_text: tbs.subject().to_string(),
            common_name: common_name(tbs.subject()),
            not_before: seconds(tbs.validity().not_before),
            not_after: seconds(tbs.validity().not_after),
            spki: tbs.subject_public_key_info().to_der()?,
            subject_key_identifier: key_identifier.map(|it| it.as_bytes().to_vec()),
            authority_key_identifier: authority
                .and_then(|it| it.key_identifier)
                .map(|it| it.as_bytes().to_vec()),
            is_ca: constraints.is_some_and(|it| it.ca),
            user_principal_names: Vec::new(),
            emails: Vec::new(),
            dns_names: Vec::new(),
        };
        for name in names {
            match name {
                GeneralName::Rfc822Name(name) => it.emails.push(name.to_string()),
                GeneralName::DnsName(name) => it.dns_names.push(name.to_string()),
                GeneralName::OtherName(name) if name.type_id == USER_PRINCIPAL_NAME => {
                    if let Ok(name) = name.value.decode_as::<Utf8StringRef<'_>>() {
                        it.user_principal_names.push(name.as_str().to_owned());
                    }
                }
                _ => (),
            }
        }
        Ok(it)
    }

    /// The certificate itself, in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Serial number, in lower-case hexadecimal, as the property `SerialNumber` has it.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// Issuer's name, in DER.
    #[must_use]
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// Issuer's name as text (RFC 4514).
    #[must_use]
    pub fn issuer_text(&self) -> &str {
        &self.issuer_text
    }

    /// Subject's name, in DER.
    #[must_use]
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// Subject's name as text (RFC 4514); empty where it has none.
    #[must_use]
    pub fn subject_text(&self) -> &str {
        &self.subject_text
    }

    /// The last common name of the subject.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// First second of its validity, in Unix seconds.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// Last second of its validity, in Unix seconds.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Whether its validity was over before `now`, in Unix seconds.
    #[must_use]
    pub fn expired_at(&self, now: i64) -> bool {
        self.not_after < now
    }

    /// Subject key identifier.
    #[must_use]
    pub fn subject_key_identifier(&self) -> Option<&[u8]> {
        self.subject_key_identifier.as_deref()
    }

    /// Key identifier of the issuer.
    #[must_use]
    pub fn authority_key_identifier(&self) -> Option<&[u8]> {
        self.authority_key_identifier.as_deref()
    }

    /// Whether it says of itself that it is a CA's.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.is_ca
    }

    /// User principal names among the alternative names.
    #[must_use]
    pub fn user_principal_names(&self) -> &[String] {
        &self.user_principal_names
    }

    /// Mail addresses among the alternative names.
    #[must_use]
    pub fn emails(&self) -> &[String] {
        &self.emails
    }

    /// DNS names among the alternative names.
    #[must_use]
    pub fn dns_names(&self) -> &[String] {
        &self.dns_names
    }

    /// SHA-1 of the whole certificate, the original's `CertificateHash`: it names, and secures
    /// nothing.
    #[must_use]
    pub fn sha1(&self) -> [u8; 20] {
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &self.der);
        digest.as_ref().try_into().expect("BUG: SHA-1 has 20 octets")
    }

    /// SHA-256 of the whole certificate.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        let digest = digest::digest(&digest::SHA256, &self.der);
        digest.as_ref().try_into().expect("BUG: SHA-256 has 32 octets")
    }

    /// Whether `ca` signed this: by name, by key identifier where both have one, and by signature.
    ///
    /// # Errors
    ///
    /// [`IssuerError::Other`] is the ordinary "no"; the others look like this CA's and are not
    /// proven to be.
    pub fn issued_by(&self, ca: &Self) -> Result<(), IssuerError> {
        ca.check_identity(&self.issuer, self.authority_key_identifier())?;
        let signed = Signed::split(&self.der).map_err(|_| IssuerError::Signature)?;
        Ok(signed.verify(&ca.spki)?)
    }

    /// Whether this is the CA that something names as its issuer.
    pub(crate) fn check_identity(
        &self,
        issuer: &[u8],
        key_identifier: Option<&[u8]>,
    ) -> Result<(), IssuerError> {
        let other_key = match (key_identifier, self.subject_key_identifier()) {
            (Some(theirs), Some(ours)) => theirs != ours,
            _ => false,
        };
        if issuer != self.subject || other_key { Err(IssuerError::Other) } else { Ok(()) }
    }

    /// DER of the `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.spki
    }
}

/// Bytes in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        write!(out, "{byte:02x}").expect("BUG: writing to memory does not fail");
        out
    })
}

/// Unix seconds; what DER can say ends in 9999.
pub(crate) fn seconds(time: x509_cert::time::Time) -> i64 {
    i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}

/// The contents of an INTEGER without the octet that only keeps it positive.
fn serial_text(octets: &[u8]) -> String {
    match octets {
        [0, rest @ ..] if !rest.is_empty() => hex(rest),
        all => hex(all),
    }
}

fn common_name(name: &Name) -> Option<String> {
    let name = name.common_name().ok().flatten()?;
    Some(name.value().into_owned())
}

/// Those general names that are known.
pub(crate) fn general_names(value: &[u8]) -> der::Result<Vec<GeneralName>> {
    let mut outer = SliceReader::new(value)?;
    let names = outer.sequence(|it| -> der::Result<_> {
        let mut names = Vec::new();
        while !it.is_finished() {
            let one = it.tlv_bytes()?;
            names.extend(GeneralName::from_der(one).ok());
        }
        Ok(names)
    })?;
    outer.finish()?;
    Ok(names)
}
