//! Reading an OCSP request (RFC 6960, section 4.1).

use super::{
    OCSP_NONCE_BYTES_MAX, OCSP_REQUEST_BYTES_MAX, OCSP_REQUEST_COUNT_MAX, OcspRequestError,
};
use crate::extension::{EXTENSION_COUNT_MAX, RawExtension};
use crate::oid;
use crate::tlv::{
    BIT_STRING, CONTEXT_CONSTRUCTED, INTEGER, NULL, NotDer, OCTET_STRING, OID, SEQUENCE, Tlv,
    check_der,
};
use aws_lc_rs::digest;
use exeunt_types::Serial;

/// What a client asks. Who it is, and a signature of its own, are not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OcspRequest<'a> {
    /// For which certificates: 1 to [`OCSP_REQUEST_COUNT_MAX`].
    pub certificates: Vec<CertId<'a>>,
    /// Octets that the answer must repeat, 1 to [`OCSP_NONCE_BYTES_MAX`] of them.
    pub nonce: Option<&'a [u8]>,
}

/// How a client names a certificate: by hashes of its issuer, and its serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertId<'a> {
    der: &'a [u8],
    hash: Option<Hash>,
    issuer_name_hash: &'a [u8],
    issuer_key_hash: &'a [u8],
    serial: Option<Serial>,
}

/// A hash that names an issuer. It secures nothing, which is why SHA-1 is good enough, and RFC
/// 5019, section 2.1.1, wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha1,
    Sha256,
}

impl Hash {
    fn of(self, bytes: &[u8]) -> digest::Digest {
        match self {
            Self::Sha1 => digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes),
            Self::Sha256 => digest::digest(&digest::SHA256, bytes),
        }
    }
}

impl<'a> CertId<'a> {
    /// Whether the certificate is of that issuer: the DER of its name as the certificate has it, and
    /// the bits of its public key without the header of the bit string. A hash that is not known
    /// here names nobody.
    #[must_use]
    pub fn matches(&self, issuer_name_der: &[u8], issuer_key_bits: &[u8]) -> bool {
        self.hash.is_some_and(|hash| {
            hash.of(issuer_name_der).as_ref() == self.issuer_name_hash
                && hash.of(issuer_key_bits).as_ref() == self.issuer_key_hash
        })
    }

    /// Serial number of the certificate; none if no certificate of ours could have it.
    #[must_use]
    pub fn serial(&self) -> Option<Serial> {
        self.serial
    }

    /// The `CertID` as the client wrote it, which the answer repeats.
    #[must_use]
    pub fn der(&self) -> &'a [u8] {
        self.der
    }

    fn read(cert_id: &Tlv<'a>) -> Result<Self, NotDer> {
        let mut fields = cert_id.children();
        let mut algorithm =
            fields.expect(SEQUENCE, "hash algorithm of a certificate is missing")?.children();
        let hash = algorithm.expect(OID, "hash algorithm is not named")?.oid()?;
        let hash = match hash {
            oid::SHA1 => Some(Hash::Sha1),
            oid::SHA256 => Some(Hash::Sha256),
            _ => None,
        };
        // Both forms are in use (RFC 5754, section 2). Of an unknown hash anything may be there.
        if hash.is_some() {
            algorithm.optional(NULL)?;
            algorithm.finish("hash algorithm has parameters")?;
        }
        let issuer_name_hash =
            fields.expect(OCTET_STRING, "hash of the issuer's name is missing")?;
        let issuer_key_hash = fields.expect(OCTET_STRING, "hash of the issuer's key is missing")?;
        let serial = fields.expect(INTEGER, "serial number is missing")?.value;
        fields.finish("something follows the serial number")?;
        Ok(Self {
            der: cert_id.whole,
            hash,
            issuer_name_hash: issuer_name_hash.value,
            issuer_key_hash: issuer_key_hash.value,
            serial: Serial::from_be_bytes(serial).ok(),
        })
    }
}

/// Reads a request in DER, which must be all that `der` holds.
///
/// # Errors
///
/// [`OcspRequestError`]; all of them are answered with `malformedRequest`.
pub fn parse_ocsp_request(der: &[u8]) -> Result<OcspRequest<'_>, OcspRequestError> {
    if OCSP_REQUEST_BYTES_MAX < der.len() {
        return Err(OcspRequestError::TooLarge);
    }
    check_der(der)?;
    let mut outer = Tlv::read_as(der, SEQUENCE, "it is not a sequence")?.children();
    let mut fields = outer.expect(SEQUENCE, "TBSRequest is missing")?.children();
    if let Some(signature) = outer.optional(CONTEXT_CONSTRUCTED)? {
        check_signature(signature.value)?;
    }
    outer.finish("something follows the signature")?;

    if let Some(version) = fields.optional(CONTEXT_CONSTRUCTED)? {
        // The default need not be there, but RFC 6960 does not demand DER of a request.
        let version = Tlv::read_as(version.value, INTEGER, "version is not an integer")?;
        if version.value != [0] {
            return Err(NotDer("version is not 1").into());
        }
    }
    if let Some(name) = fields.optional(CONTEXT_CONSTRUCTED + 1)? {
        Tlv::read(name.value)?;
    }
    let mut list = fields.expect(SEQUENCE, "list of requests is missing")?.children();
    let mut certificates = Vec::with_capacity(1);
    while certificates.is_empty() || !list.is_empty() {
        if certificates.len() == OCSP_REQUEST_COUNT_MAX {
            return Err(OcspRequestError::TooMany);
        }
        let mut request = list.expect(SEQUENCE, "a request is missing or no sequence")?.children();
        certificates.push(CertId::read(&request.expect(SEQUENCE, "a request names nothing")?)?);
        if let Some(extensions) = request.optional(CONTEXT_CONSTRUCTED)? {
            for extension in read_extensions(extensions.value)? {
                refuse_if_critical(&extension)?;
            }
        }
        request.finish("something follows in a request")?;
    }
    let mut nonce = None;
    if let Some(extensions) = fields.optional(CONTEXT_CONSTRUCTED + 2)? {
        for extension in read_extensions(extensions.value)? {
            if extension.oid == oid::OCSP_NONCE {
                nonce = Some(read_nonce(extension.value)?);
            } else {
                refuse_if_critical(&extension)?;
            }
        }
    }
    fields.finish("something follows the extensions")?;
    Ok(OcspRequest { certificates, nonce })
}

/// Form only: who signs a request gets the same answer as everybody.
fn check_signature(der: &[u8]) -> Result<(), NotDer> {
    let mut fields = Tlv::read_as(der, SEQUENCE, "signature is not a sequence")?.children();
    fields.expect(SEQUENCE, "signature has no algorithm")?;
    fields.expect(BIT_STRING, "signature has no bits")?;
    if let Some(certificates) = fields.optional(CONTEXT_CONSTRUCTED)? {
        Tlv::read_as(certificates.value, SEQUENCE, "certificates are not a sequence")?;
    }
    fields.finish("something follows the certificates")
}

fn read_extensions(der: &[u8]) -> Result<Vec<RawExtension<'_>>, NotDer> {
    let list = Tlv::read_as(der, SEQUENCE, "extensions are not a sequence")?;
    let mut list = list.children();
    let mut extensions: Vec<RawExtension<'_>> = Vec::new();
    while !list.is_empty() {
        if extensions.len() == EXTENSION_COUNT_MAX {
            return Err(NotDer("more than 64 extensions"));
        }
        let extension = RawExtension::read(&mut list)?;
        if extensions.iter().any(|it| it.oid == extension.oid) {
            return Err(NotDer("an extension occurs twice"));
        }
        extensions.push(extension);
    }
    Ok(extensions)
}

fn refuse_if_critical(extension: &RawExtension<'_>) -> Result<(), OcspRequestError> {
    if extension.is_critical() {
        return Err(OcspRequestError::CriticalExtension { oid: extension.oid });
    }
    Ok(())
}

fn read_nonce(der: &[u8]) -> Result<&[u8], NotDer> {
    let nonce = Tlv::read_as(der, OCTET_STRING, "nonce is not an octet string")?.value;
    if nonce.is_empty() || OCSP_NONCE_BYTES_MAX < nonce.len() {
        return Err(NotDer("nonce has not 1 to 128 octets"));
    }
    Ok(nonce)
}
