//! Reading certificates: our own, and the issuer's that we sign under.

use crate::algorithm::{key_algorithm, key_identifier, scheme_from_der};
use crate::extension::{EXTENSION_COUNT_MAX, Extension, KeyUsage, RawExtension};
use crate::general_name::GeneralName;
use crate::name::Name;
use crate::oid;
use crate::pem::decode_pem_or_der;
use crate::time::read_time;
use crate::tlv::{
    BIT_STRING, BOOLEAN, CONTEXT_CONSTRUCTED, CONTEXT_PRIMITIVE, INTEGER, NotDer, OCTET_STRING,
    SEQUENCE, Tlv, check_der,
};
use aws_lc_rs::digest;
use exeunt_types::{KeyAlgorithm, Serial, SignatureScheme};

/// Largest certificate, in octets of DER; PEM may have twice that.
pub const CERTIFICATE_BYTES_MAX: usize = 65_536;

const LABELS: [&str; 2] = ["CERTIFICATE", "X509 CERTIFICATE"];

/// Why bytes are not a certificate that can be worked with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// More than [`CERTIFICATE_BYTES_MAX`] octets.
    #[error("certificate is larger than 65536 octets")]
    TooLarge,
    /// Neither DER nor PEM, or not the structure of RFC 5280.
    #[error("certificate is malformed")]
    Malformed {
        /// Which rule it broke.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A serial, name, key or signature algorithm that is not handled here.
    #[error("{part} of the certificate is not supported")]
    Unsupported {
        /// Which part.
        part: &'static str,
        /// Why, where there is more to say.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The certificate is good, but not one of a certificate authority.
    #[error("certificate is not one of a certificate authority: {why}")]
    NotCa {
        /// One clause.
        why: &'static str,
    },
}

impl CertificateError {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "certificate-too-large",
            Self::Malformed { .. } => "certificate-malformed",
            Self::Unsupported { .. } => "certificate-unsupported",
            Self::NotCa { .. } => "certificate-not-ca",
        }
    }
}

impl From<NotDer> for CertificateError {
    fn from(source: NotDer) -> Self {
        Self::Malformed { source: source.into() }
    }
}

fn unsupported(
    part: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> CertificateError {
    CertificateError::Unsupported { part, source: Some(Box::new(source)) }
}

/// The fields of a `TBSCertificate` where they stand, not judged yet.
#[derive(Debug)]
pub(crate) struct RawTbs<'a> {
    /// Contents of the version's INTEGER, if it is there.
    pub(crate) version: Option<&'a [u8]>,
    pub(crate) serial: &'a [u8],
    pub(crate) algorithm: Tlv<'a>,
    pub(crate) issuer: &'a [u8],
    pub(crate) not_before: Tlv<'a>,
    pub(crate) not_after: Tlv<'a>,
    pub(crate) subject: &'a [u8],
    pub(crate) spki: &'a [u8],
    /// Whether one of the obsolete unique identifiers is there.
    pub(crate) unique_id: bool,
    pub(crate) extensions: Vec<RawExtension<'a>>,
}

impl<'a> RawTbs<'a> {
    /// Takes the structure apart. Whether all of it is DER is for the caller to have checked.
    pub(crate) fn read(tbs: &'a [u8]) -> Result<Self, NotDer> {
        let mut fields =
            Tlv::read_as(tbs, SEQUENCE, "TBSCertificate is not a sequence")?.children();
        let version = match fields.optional(CONTEXT_CONSTRUCTED)? {
            None => None,
            Some(explicit) => {
                Some(Tlv::read_as(explicit.value, INTEGER, "version is not an integer")?.value)
            }
        };
        let serial = fields.expect(INTEGER, "serial number is missing")?.value;
        let algorithm = fields.expect(SEQUENCE, "signature algorithm is missing")?;
        let issuer = fields.expect(SEQUENCE, "issuer is missing")?.whole;
        let mut validity = fields.expect(SEQUENCE, "validity is missing")?.children();
        let (not_before, not_after) = (validity.next()?, validity.next()?);
        validity.finish("validity has more than two times")?;
        let subject = fields.expect(SEQUENCE, "subject is missing")?.whole;
        let spki = fields.expect(SEQUENCE, "public key is missing")?.whole;
        let issuer_id = fields.optional(CONTEXT_PRIMITIVE + 1)?;
        let subject_id = fields.optional(CONTEXT_PRIMITIVE + 2)?;
        let mut extensions = Vec::new();
        if let Some(explicit) = fields.optional(CONTEXT_CONSTRUCTED + 3)? {
            let list = Tlv::read_as(explicit.value, SEQUENCE, "extensions are not a sequence")?;
            let mut list = list.children();
            extensions.reserve(12);
            while !list.is_empty() {
                if extensions.len() == EXTENSION_COUNT_MAX {
                    return Err(NotDer("more than 64 extensions"));
                }
                extensions.push(RawExtension::read(&mut list)?);
            }
        }
        fields.finish("something follows the extensions")?;
        let unique_id = issuer_id.is_some() || subject_id.is_some();
        Ok(Self {
            version,
            serial,
            algorithm,
            issuer,
            not_before,
            not_after,
            subject,
            spki,
            unique_id,
            extensions,
        })
    }

    pub(crate) fn extension(&self, oid: &const_oid::ObjectIdentifier) -> Option<&RawExtension<'a>> {
        self.extensions.iter().find(|it| it.oid == *oid)
    }
}

/// Value of a `basicConstraints` extension, with what lints want to know of its encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BasicConstraints {
    pub(crate) ca: bool,
    /// Numbers above 255 count as 255: no chain is that long.
    pub(crate) path_len: Option<u8>,
    /// Whether cA FALSE was written out.
    pub(crate) default_encoded: bool,
}

impl BasicConstraints {
    pub(crate) fn read(der: &[u8]) -> Result<Self, NotDer> {
        let mut fields = Tlv::read_as(der, SEQUENCE, "it is not a sequence")?.children();
        let ca = fields.optional(BOOLEAN)?.map(|it| it.value != [0]);
        let path_len = match fields.optional(INTEGER)?.map(|it| it.value) {
            None => None,
            Some([0x80..=0xff, ..]) => return Err(NotDer("path length is negative")),
            Some([number] | [0, number]) => Some(*number),
            Some(_) => Some(u8::MAX),
        };
        fields.finish("something follows the path length")?;
        Ok(Self { ca: ca == Some(true), path_len, default_encoded: ca == Some(false) })
    }
}

/// A certificate as it was read. Its signature has not been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    tbs: std::ops::Range<usize>,
    spki_der: Vec<u8>,
    signature: Vec<u8>,
    serial: Serial,
    scheme: SignatureScheme,
    issuer: Name,
    subject: Name,
    not_before: i64,
    not_after: i64,
    key: KeyAlgorithm,
    subject_alternative_names: Vec<GeneralName>,
    extensions: Vec<Extension>,
}

impl Certificate {
    /// The whole certificate.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The exact bytes that are signed.
    #[must_use]
    pub fn tbs_der(&self) -> &[u8] {
        &self.der[self.tbs.clone()]
    }

    /// How it is signed.
    #[must_use]
    pub fn scheme(&self) -> SignatureScheme {
        self.scheme
    }

    /// The signature: DER for ECDSA, plain octets otherwise.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Serial number.
    #[must_use]
    pub fn serial(&self) -> Serial {
        self.serial
    }

    /// Who signed it.
    #[must_use]
    pub fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// Whom it is for.
    #[must_use]
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// First second of validity, in Unix seconds.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// Last second of validity, in Unix seconds.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// DER of the public key.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// Algorithm and size of the public key.
    #[must_use]
    pub fn key(&self) -> KeyAlgorithm {
        self.key
    }

    /// Subject alternative names; empty if there are none.
    #[must_use]
    pub fn subject_alternative_names(&self) -> &[GeneralName] {
        &self.subject_alternative_names
    }

    /// All extensions, in order.
    #[must_use]
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// The subject key identifier, or one made by method 1 if there is none.
    ///
    /// # Errors
    ///
    /// [`CertificateError::Malformed`] if the extension is no octet string.
    pub fn key_identifier(&self) -> Result<Vec<u8>, CertificateError> {
        match self.extensions.iter().find(|it| it.oid == oid::SUBJECT_KEY_IDENTIFIER) {
            Some(found) => read_key_identifier(&found.value),
            None => made_key_identifier(&self.spki_der),
        }
    }
}

/// SHA-1 over a whole certificate: its hash in the original's database, and the "thumbprint" of many
/// tools.
///
/// It names a certificate and secures nothing, which is why SHA-1 is good enough.
#[must_use]
pub fn certificate_hash(der: &[u8]) -> [u8; 20] {
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der);
    digest.as_ref().try_into().expect("BUG: SHA-1 has 20 octets")
}

fn read_key_identifier(value: &[u8]) -> Result<Vec<u8>, CertificateError> {
    let identifier = Tlv::read_as(value, OCTET_STRING, "key identifier is no octet string")?;
    Ok(identifier.value.to_owned())
}

fn made_key_identifier(spki: &[u8]) -> Result<Vec<u8>, CertificateError> {
    let identifier = key_identifier(spki).map_err(|err| unsupported("public key", err))?;
    Ok(identifier.to_vec())
}

/// Reads a version 3 certificate in DER or PEM.
///
/// # Errors
///
/// [`CertificateError`]; serials of more than 20 octets are among what is not supported.
pub fn parse_certificate(input: &[u8]) -> Result<Certificate, CertificateError> {
    if 2 * CERTIFICATE_BYTES_MAX < input.len() {
        return Err(CertificateError::TooLarge);
    }
    let der = decode_pem_or_der(input, &LABELS)
        .map_err(|err| CertificateError::Malformed { source: err.into() })?;
    let parts = Parts::read(&der)?;
    let serial =
        Serial::from_be_bytes(parts.tbs.serial).map_err(|err| unsupported("serial number", err))?;
    let alternative_names = parts.tbs.extension(&oid::SUBJECT_ALTERNATIVE_NAME);
    let subject_alternative_names = match alternative_names {
        None => Vec::new(),
        Some(found) => GeneralName::read_all(found.value)
            .map_err(|err| unsupported("subject alternative name", err))?,
    };
    let extensions: Result<_, _> =
        parts.tbs.extensions.iter().map(|it| it.to_extension()).collect();
    let start = parts.tbs_der.as_ptr().addr() - der.as_ptr().addr();
    Ok(Certificate {
        tbs: start..start + parts.tbs_der.len(),
        spki_der: parts.tbs.spki.to_owned(),
        signature: parts.signature.to_owned(),
        serial,
        scheme: parts.scheme,
        issuer: parts.issuer,
        subject: parts.subject,
        not_before: parts.not_before,
        not_after: parts.not_after,
        key: parts.key,
        subject_alternative_names,
        extensions: extensions?,
        der: der.into_owned(),
    })
}

/// What every reader of certificates wants.
struct Parts<'a> {
    tbs_der: &'a [u8],
    tbs: RawTbs<'a>,
    scheme: SignatureScheme,
    signature: &'a [u8],
    issuer: Name,
    subject: Name,
    not_before: i64,
    not_after: i64,
    key: KeyAlgorithm,
}

impl<'a> Parts<'a> {
    fn read(der: &'a [u8]) -> Result<Self, CertificateError> {
        if CERTIFICATE_BYTES_MAX < der.len() {
            return Err(CertificateError::TooLarge);
        }
        check_der(der)?;
        let mut outer = Tlv::read_as(der, SEQUENCE, "certificate is not a sequence")?.children();
        let tbs_der = outer.expect(SEQUENCE, "TBSCertificate is missing")?.whole;
        let algorithm = outer.expect(SEQUENCE, "signature algorithm is missing")?;
        let signature = outer.expect(BIT_STRING, "signature is missing")?.bit_string_octets()?;
        outer.finish("something follows the signature")?;
        let tbs = RawTbs::read(tbs_der)?;
        if tbs.version != Some(&[2]) {
            return Err(CertificateError::Unsupported { part: "version", source: None });
        }
        if tbs.algorithm.whole != algorithm.whole {
            return Err(NotDer("inner and outer signature algorithm differ").into());
        }
        for (position, extension) in tbs.extensions.iter().enumerate() {
            check_der(extension.value)?;
            if tbs.extensions[..position].iter().any(|it| it.oid == extension.oid) {
                return Err(NotDer("an extension occurs twice").into());
            }
        }
        let scheme = scheme_from_der(algorithm.whole)
            .ok_or(CertificateError::Unsupported { part: "signature algorithm", source: None })?;
        Ok(Self {
            issuer: Name::from_der(tbs.issuer).map_err(|err| unsupported("issuer", err))?,
            subject: Name::from_der(tbs.subject).map_err(|err| unsupported("subject", err))?,
            not_before: read_time(&tbs.not_before)?.unix_seconds,
            not_after: read_time(&tbs.not_after)?.unix_seconds,
            key: key_algorithm(tbs.spki).map_err(|err| unsupported("public key", err))?,
            tbs_der,
            scheme,
            signature,
            tbs,
        })
    }
}

/// The certificate of the authority that signs, read once and used for every certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    der: Vec<u8>,
    name: Name,
    key_identifier: Vec<u8>,
    key: KeyAlgorithm,
    spki_der: Vec<u8>,
    not_before: i64,
    not_after: i64,
    path_len: Option<u8>,
    self_issued: bool,
}

impl Issuer {
    /// Reads the DER of a CA certificate.
    ///
    /// # Errors
    ///
    /// [`CertificateError::NotCa`] if it may not sign certificates; the others as for any
    /// certificate.
    pub fn from_certificate(der: &[u8]) -> Result<Self, CertificateError> {
        let parts = Parts::read(der)?;
        let not_ca = |why| Err(CertificateError::NotCa { why });
        let constraints = match parts.tbs.extension(&oid::BASIC_CONSTRAINTS) {
            None => return not_ca("it has no basic constraints"),
            Some(found) => BasicConstraints::read(found.value)?,
        };
        if !constraints.ca {
            return not_ca("its basic constraints say so");
        }
        if let Some(found) = parts.tbs.extension(&oid::KEY_USAGE)
            && !KeyUsage::read(found.value)?.contains(KeyUsage::KEY_CERT_SIGN)
        {
            return not_ca("its key usage does not allow signing certificates");
        }
        if parts.subject.is_empty() {
            return not_ca("it has no subject");
        }
        let key_identifier = match parts.tbs.extension(&oid::SUBJECT_KEY_IDENTIFIER) {
            Some(found) => read_key_identifier(found.value)?,
            None => made_key_identifier(parts.tbs.spki)?,
        };
        Ok(Self {
            der: der.to_owned(),
            self_issued: parts.subject.matches(&parts.issuer),
            name: parts.subject,
            key_identifier,
            key: parts.key,
            spki_der: parts.tbs.spki.to_owned(),
            not_before: parts.not_before,
            not_after: parts.not_after,
            path_len: constraints.path_len,
        })
    }

    /// Its subject, which is the issuer of what it signs.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its subject key identifier, or one made by method 1 if the certificate has none.
    #[must_use]
    pub fn key_identifier(&self) -> &[u8] {
        &self.key_identifier
    }

    /// Algorithm and size of its key.
    #[must_use]
    pub fn key(&self) -> KeyAlgorithm {
        self.key
    }

    /// DER of its public key.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
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

    /// How many CAs may stand below it; `None` is no limit.
    #[must_use]
    pub fn path_len(&self) -> Option<u8> {
        self.path_len
    }

    /// Whether subject and issuer are the same name (RFC 5280, section 3.2): so it is with a root,
    /// and with a certificate that passes from a CA's old key to its new one.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.self_issued
    }

    /// The certificate itself.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}
