//! Extensions: what they look like, and constructors for those of RFC 5280 that are issued here.

use crate::algorithm::{KeyError, key_identifier};
use crate::crl::CaVersion;
use crate::general_name::GeneralName;
use crate::oid;
use crate::tlv::{
    BIT_STRING, CONTEXT_CONSTRUCTED, CONTEXT_PRIMITIVE, Cursor, NULL, NotDer, OCTET_STRING, OID,
    SEQUENCE, Tlv,
};
use crate::write::Writer;
use const_oid::ObjectIdentifier;
use std::ops::{BitOr, BitOrAssign};

/// Most extensions in one request or certificate. The original adds about a dozen.
pub const EXTENSION_COUNT_MAX: usize = 64;

/// One extension (RFC 5280, section 4.1.2.9).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Extension {
    /// What kind it is.
    pub oid: ObjectIdentifier,
    /// Whether a verifier that does not know it must refuse the certificate.
    pub critical: bool,
    /// DER of its value, without the octet string around it.
    pub value: Vec<u8>,
}

impl Extension {
    /// `subjectKeyIdentifier` of the key in that `SubjectPublicKeyInfo`, by method 1; not critical.
    ///
    /// # Errors
    ///
    /// As [`key_identifier`].
    pub fn subject_key_identifier(spki_der: &[u8]) -> Result<Self, KeyError> {
        let identifier = key_identifier(spki_der)?;
        Ok(Self::new(oid::SUBJECT_KEY_IDENTIFIER, false, 22, |it| it.octet_string(&identifier)))
    }

    /// `authorityKeyIdentifier` with the issuer's key identifier alone; not critical.
    #[must_use]
    pub fn authority_key_identifier(key_identifier: &[u8]) -> Self {
        let len = key_identifier.len() + 4;
        Self::new(oid::AUTHORITY_KEY_IDENTIFIER, false, len, |it| {
            it.nest(SEQUENCE, |it| it.element(CONTEXT_PRIMITIVE, key_identifier));
        })
    }

    /// `keyUsage`; critical, as RFC 5280 wants it.
    #[must_use]
    pub fn key_usage(usage: KeyUsage) -> Self {
        // Bit 0 is the top bit of the first octet; trailing zero bits are left out (X.690, 11.2.2).
        let [first, second] = usage.0.reverse_bits().to_be_bytes();
        let octets: &[u8] = match (first, second) {
            (0, 0) => &[],
            (first, 0) => &[first],
            (first, second) => &[first, second],
        };
        let unused = octets.last().map_or(0, |last| last.trailing_zeros());
        let unused = u8::try_from(unused).expect("BUG: an octet has eight bits");
        Self::new(oid::KEY_USAGE, true, 5, |it| {
            it.element(BIT_STRING, &[&[unused][..], octets].concat());
        })
    }

    /// `extKeyUsage`; not critical.
    #[must_use]
    pub fn extended_key_usage(purposes: &[ObjectIdentifier]) -> Self {
        Self::new(oid::EXTENDED_KEY_USAGE, false, 12 * purposes.len() + 4, |it| {
            it.nest(SEQUENCE, |it| purposes.iter().for_each(|purpose| it.oid(purpose)));
        })
    }

    /// `subjectAltName`; must be critical where the subject is empty.
    #[must_use]
    pub fn subject_alternative_name(names: &[GeneralName], critical: bool) -> Self {
        Self::new(oid::SUBJECT_ALTERNATIVE_NAME, critical, 32 * names.len() + 4, |it| {
            it.nest(SEQUENCE, |it| names.iter().for_each(|name| name.write(it)));
        })
    }

    /// `basicConstraints`; critical. `path_len` is how many CAs may stand below this one.
    #[must_use]
    pub fn basic_constraints(ca: bool, path_len: Option<u8>) -> Self {
        Self::new(oid::BASIC_CONSTRAINTS, true, 10, |it| {
            it.nest(SEQUENCE, |it| {
                if ca {
                    it.boolean_true();
                }
                if let Some(path_len) = path_len {
                    it.integer_u8(path_len);
                }
            });
        })
    }

    /// `cRLDistributionPoints`: one point per URI; not critical.
    #[must_use]
    pub fn crl_distribution_points(uris: &[String]) -> Self {
        Self::new(oid::CRL_DISTRIBUTION_POINTS, false, 64 * uris.len() + 4, |it| {
            it.nest(SEQUENCE, |it| {
                for uri in uris {
                    it.nest(SEQUENCE, |point| {
                        // distributionPoint [0], fullName [0], uniformResourceIdentifier [6].
                        point.nest(CONTEXT_CONSTRUCTED, |it| {
                            it.nest(CONTEXT_CONSTRUCTED, |it| {
                                it.element(CONTEXT_PRIMITIVE + 6, uri.as_bytes());
                            });
                        });
                    });
                }
            });
        })
    }

    /// `authorityInfoAccess`: where the issuer's certificate and its OCSP responder are; not
    /// critical.
    #[must_use]
    pub fn authority_information_access(ca_issuers: &[String], ocsp: &[String]) -> Self {
        let len = 64 * (ca_issuers.len() + ocsp.len()) + 4;
        Self::new(oid::AUTHORITY_INFORMATION_ACCESS, false, len, |it| {
            it.nest(SEQUENCE, |it| {
                for (method, uris) in
                    [(oid::ACCESS_OCSP, ocsp), (oid::ACCESS_CA_ISSUERS, ca_issuers)]
                {
                    for uri in uris {
                        it.nest(SEQUENCE, |it| {
                            it.oid(&method);
                            it.element(CONTEXT_PRIMITIVE + 6, uri.as_bytes());
                        });
                    }
                }
            });
        })
    }

    /// `extKeyUsage` of a certificate that answers for its issuer by OCSP, and does nothing else
    /// (RFC 6960, section 4.2.2.2); not critical.
    #[must_use]
    pub fn ocsp_signing() -> Self {
        Self::extended_key_usage(&[oid::OCSP_SIGNING])
    }

    /// `id-pkix-ocsp-nocheck`: nobody is to ask whether this responder's certificate is revoked
    /// (RFC 6960, section 4.2.2.2.1); not critical. Such a certificate should be short-lived.
    #[must_use]
    pub fn ocsp_no_check() -> Self {
        Self::new(oid::OCSP_NO_CHECK, false, 2, |it| it.element(NULL, &[]))
    }

    /// Microsoft's `CA Version`: which certificate and key of its CA this one is (MS-CSRA, section
    /// 3.1.4.1.6); not critical.
    #[must_use]
    pub fn ca_version(version: CaVersion) -> Self {
        let CaVersion { certificate_index, key_index } = version;
        let number = u64::from(key_index) << 16 | u64::from(certificate_index);
        Self::new(oid::CA_VERSION, false, 7, |it| it.integer_u64(number))
    }

    /// Microsoft's `Previous CA Certificate Hash`: [`certificate_hash`] of the CA certificate that
    /// this one renews; not critical.
    ///
    /// [`certificate_hash`]: crate::certificate_hash
    #[must_use]
    pub fn previous_ca_hash(hash: &[u8; 20]) -> Self {
        Self::new(oid::PREVIOUS_CA_HASH, false, 22, |it| it.octet_string(hash))
    }

    pub(crate) fn new(
        oid: ObjectIdentifier,
        critical: bool,
        capacity: usize,
        value: impl FnOnce(&mut Writer),
    ) -> Self {
        let mut writer = Writer::with_capacity(capacity);
        value(&mut writer);
        Self { oid, critical, value: writer.into_bytes() }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.nest(SEQUENCE, |it| {
            it.oid(&self.oid);
            if self.critical {
                it.boolean_true();
            }
            it.octet_string(&self.value);
        });
    }
}

/// What a key may be used for (RFC 5280, section 4.2.1.3). Combine with `|`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyUsage(u16);

impl KeyUsage {
    /// `digitalSignature` (bit 0).
    pub const DIGITAL_SIGNATURE: Self = Self(1);
    /// `contentCommitment`, formerly `nonRepudiation` (bit 1).
    pub const CONTENT_COMMITMENT: Self = Self(1 << 1);
    /// `keyEncipherment` (bit 2).
    pub const KEY_ENCIPHERMENT: Self = Self(1 << 2);
    /// `dataEncipherment` (bit 3).
    pub const DATA_ENCIPHERMENT: Self = Self(1 << 3);
    /// `keyAgreement` (bit 4).
    pub const KEY_AGREEMENT: Self = Self(1 << 4);
    /// `keyCertSign` (bit 5).
    pub const KEY_CERT_SIGN: Self = Self(1 << 5);
    /// `cRLSign` (bit 6).
    pub const CRL_SIGN: Self = Self(1 << 6);
    /// `encipherOnly` (bit 7).
    pub const ENCIPHER_ONLY: Self = Self(1 << 7);
    /// `decipherOnly` (bit 8).
    pub const DECIPHER_ONLY: Self = Self(1 << 8);

    /// Every usage with its name, in the order of the bits.
    pub const NAMES: [(&'static str, Self); 9] = [
        ("digital_signature", Self::DIGITAL_SIGNATURE),
        ("content_commitment", Self::CONTENT_COMMITMENT),
        ("key_encipherment", Self::KEY_ENCIPHERMENT),
        ("data_encipherment", Self::DATA_ENCIPHERMENT),
        ("key_agreement", Self::KEY_AGREEMENT),
        ("key_cert_sign", Self::KEY_CERT_SIGN),
        ("crl_sign", Self::CRL_SIGN),
        ("encipher_only", Self::ENCIPHER_ONLY),
        ("decipher_only", Self::DECIPHER_ONLY),
    ];

    /// The usage with that name. Case, hyphens and underscores do not matter: `key_cert_sign`,
    /// `key-cert-sign` and `keyCertSign` are the same. `non_repudiation` is known too.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let plain = |name: &str| name.replace(['-', '_'], "").to_ascii_lowercase();
        let wanted = plain(name);
        if wanted == "nonrepudiation" {
            return Some(Self::CONTENT_COMMITMENT);
        }
        Self::NAMES.iter().find_map(|(known, usage)| (plain(known) == wanted).then_some(*usage))
    }

    /// Whether no usage is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every usage of `other` is in it.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any usage of `other` is in it.
    #[must_use]
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Reads the value of a `keyUsage` extension.
    pub(crate) fn read(der: &[u8]) -> Result<Self, NotDer> {
        let bits = Tlv::read_as(der, BIT_STRING, "key usage is not a bit string")?;
        let (first, second) = match bits.value {
            [0] => (0, 0),
            [_, first] => (*first, 0),
            [_, first, second] if 7 <= second.trailing_zeros() => (*first, *second),
            _ => return Err(NotDer("key usage has unknown bits")),
        };
        Ok(Self(u16::from_be_bytes([first, second]).reverse_bits()))
    }
}

impl BitOr for KeyUsage {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for KeyUsage {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// An extension as it stands in the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawExtension<'a> {
    pub(crate) oid: ObjectIdentifier,
    /// Contents of the BOOLEAN, if it is there.
    pub(crate) critical: Option<&'a [u8]>,
    pub(crate) value: &'a [u8],
}

impl<'a> RawExtension<'a> {
    /// Takes the next extension.
    pub(crate) fn read(extensions: &mut Cursor<'a>) -> Result<Self, NotDer> {
        let mut fields = extensions.expect(SEQUENCE, "an extension is not a sequence")?.children();
        let oid = fields.expect(OID, "an extension has no object identifier")?.oid()?;
        let critical = fields.optional(crate::tlv::BOOLEAN)?.map(|it| it.value);
        let value = fields.expect(OCTET_STRING, "an extension has no value")?.value;
        fields.finish("an extension has more than three fields")?;
        Ok(Self { oid, critical, value })
    }

    pub(crate) fn is_critical(&self) -> bool {
        self.critical.is_some_and(|it| it != [0])
    }

    /// The owned form; an encoded default is refused.
    pub(crate) fn to_extension(self) -> Result<Extension, NotDer> {
        if self.critical.is_some_and(|it| it != [0xff]) {
            return Err(NotDer("criticality FALSE is encoded although it is the default"));
        }
        Ok(Extension {
            oid: self.oid,
            critical: self.critical.is_some(),
            value: self.value.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_usage_is_encoded_without_trailing_zero_bits() {
        use KeyUsage as U;
        for (usage, value) in [
            (U::default(), &[3, 1, 0][..]),
            (U::DIGITAL_SIGNATURE, &[3, 2, 7, 0x80]),
            (U::DIGITAL_SIGNATURE | U::KEY_ENCIPHERMENT, &[3, 2, 5, 0xa0]),
            (U::KEY_CERT_SIGN | U::CRL_SIGN, &[3, 2, 1, 0x06]),
            (U::KEY_AGREEMENT | U::ENCIPHER_ONLY, &[3, 2, 0, 0x09]),
            (U::KEY_AGREEMENT | U::DECIPHER_ONLY, &[3, 3, 7, 0x08, 0x80]),
        ] {
            assert_eq!(Extension::key_usage(usage).value, value, "{usage:?}");
            assert_eq!(U::read(value), Ok(usage));
        }
        assert!(U::read(&[3, 3, 6, 0, 0x40]).is_err());
        assert!(U::read(&[3, 4, 0, 0, 0, 1]).is_err());
    }

    #[test]
    fn a_key_usage_is_found_by_any_spelling_of_its_name() {
        for (name, usage) in KeyUsage::NAMES {
            assert_eq!(KeyUsage::from_name(name), Some(usage));
            assert_eq!(KeyUsage::from_name(&name.replace('_', "-").to_uppercase()), Some(usage));
        }
        assert_eq!(KeyUsage::from_name("keyCertSign"), Some(KeyUsage::KEY_CERT_SIGN));
        assert_eq!(KeyUsage::from_name("cRLSign"), Some(KeyUsage::CRL_SIGN));
        assert_eq!(KeyUsage::from_name("nonRepudiation"), Some(KeyUsage::CONTENT_COMMITMENT));
        assert_eq!(KeyUsage::from_name("sign"), None);
    }

    #[test]
    fn a_ca_version_is_two_numbers_in_one() {
        let value = |certificate_index, key_index| {
            Extension::ca_version(CaVersion { certificate_index, key_index }).value
        };
        assert_eq!(value(0, 0), [2, 1, 0]);
        assert_eq!(value(3, 1), [2, 3, 1, 0, 3]);
        assert_eq!(value(0xffff, 0xffff), [2, 5, 0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(Extension::previous_ca_hash(&[7; 20]).value[..3], [4, 20, 7]);
    }

    #[test]
    fn basic_constraints_never_encode_a_default() {
        assert_eq!(Extension::basic_constraints(false, None).value, [0x30, 0]);
        assert_eq!(Extension::basic_constraints(true, None).value, [0x30, 3, 1, 1, 0xff]);
        assert_eq!(
            Extension::basic_constraints(true, Some(0)).value,
            [0x30, 6, 1, 1, 0xff, 2, 1, 0]
        );
        let wide = Extension::basic_constraints(true, Some(200));
        assert_eq!(wide.value, [0x30, 7, 1, 1, 0xff, 2, 2, 0, 200]);
    }
}
