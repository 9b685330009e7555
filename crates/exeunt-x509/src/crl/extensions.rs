//! Extensions of a revocation list (RFC 5280, section 5.2): writing and reading.

use super::{CRL_URI_COUNT_MAX, CaVersion, CrlError, CrlScope, IssuingDistributionPoint};
use crate::extension::Extension;
use crate::general_name::check_uri;
use crate::lint::extensions::read_distribution_points;
use crate::oid;
use crate::tlv::{CONTEXT_CONSTRUCTED, CONTEXT_PRIMITIVE, INTEGER, NotDer, SEQUENCE, Tlv};
use const_oid::ObjectIdentifier;
use exeunt_types::CrlNumber;

/// Longest CRL number that verifiers must take, in octets (RFC 5280, section 5.2.3).
const NUMBER_OCTETS_MAX: usize = 20;

/// Context-specific numbers in `IssuingDistributionPoint`.
const ONLY_USER_CERTIFICATES: u8 = CONTEXT_PRIMITIVE + 1;
const ONLY_CA_CERTIFICATES: u8 = CONTEXT_PRIMITIVE + 2;

pub(super) fn crl_number(number: CrlNumber) -> Extension {
    Extension::new(oid::CRL_NUMBER, false, 11, |it| it.integer_u64(number.0))
}

/// Critical, because a verifier that takes a delta for a whole list misses most of it.
pub(super) fn delta_indicator(base: CrlNumber) -> Extension {
    Extension::new(oid::DELTA_CRL_INDICATOR, true, 11, |it| it.integer_u64(base.0))
}

pub(super) fn ca_version(version: CaVersion) -> Extension {
    let number = u64::from(version.key_index) << 16 | u64::from(version.certificate_index);
    Extension::new(oid::CA_VERSION, false, 7, |it| it.integer_u64(number))
}

/// The syntax of `cRLDistributionPoints` under another name.
pub(super) fn distribution_points(oid: ObjectIdentifier, uris: &[String]) -> Extension {
    Extension { oid, ..Extension::crl_distribution_points(uris) }
}

pub(super) fn issuing_distribution_point(point: &IssuingDistributionPoint) -> Extension {
    let IssuingDistributionPoint { uris, scope } = point;
    let capacity = 64 * uris.len() + 8;
    Extension::new(oid::ISSUING_DISTRIBUTION_POINT, true, capacity, |it| {
        it.nest(SEQUENCE, |it| {
            if !uris.is_empty() {
                // distributionPoint [0], fullName [0], uniformResourceIdentifier [6].
                it.nest(CONTEXT_CONSTRUCTED, |it| {
                    it.nest(CONTEXT_CONSTRUCTED, |it| {
                        for uri in uris {
                            it.element(CONTEXT_PRIMITIVE + 6, uri.as_bytes());
                        }
                    });
                });
            }
            match scope {
                CrlScope::All => (),
                CrlScope::UserCertificates => it.element(ONLY_USER_CERTIFICATES, &[0xff]),
                CrlScope::CaCertificates => it.element(ONLY_CA_CERTIFICATES, &[0xff]),
            }
        });
    })
}

pub(super) fn read_crl_number(der: &[u8]) -> Result<CrlNumber, CrlError> {
    let octets = Tlv::read_as(der, INTEGER, "number of the list is not an integer")?.value;
    if octets.first().is_none_or(|it| it & 0x80 != 0) || NUMBER_OCTETS_MAX < octets.len() {
        return Err(NotDer("number of the list is negative or longer than 20 octets").into());
    }
    read_u64(octets).map(CrlNumber).ok_or(CrlError::Unsupported { part: "number", source: None })
}

pub(super) fn read_ca_version(der: &[u8]) -> Result<CaVersion, CrlError> {
    let octets = Tlv::read_as(der, INTEGER, "CA version is not an integer")?.value;
    let number = match octets {
        [0x80..=0xff, ..] => None,
        _ => read_u64(octets).and_then(|it| u32::try_from(it).ok()),
    };
    let number = number.ok_or(NotDer("CA version is negative or too large"))?;
    let [key_high, key_low, high, low] = number.to_be_bytes();
    Ok(CaVersion {
        certificate_index: u16::from_be_bytes([high, low]),
        key_index: u16::from_be_bytes([key_high, key_low]),
    })
}

/// An integer that is not negative; `None` if it is larger than a `u64`.
fn read_u64(octets: &[u8]) -> Option<u64> {
    let octets = octets.strip_prefix(&[0]).unwrap_or(octets);
    if 8 < octets.len() {
        return None;
    }
    Some(octets.iter().fold(0, |number, &octet| number << 8 | u64::from(octet)))
}

pub(super) fn read_uris(der: &[u8]) -> Result<Vec<String>, CrlError> {
    owned_uris(&read_distribution_points(der)?)
}

pub(super) fn read_issuing_distribution_point(
    der: &[u8],
) -> Result<IssuingDistributionPoint, CrlError> {
    let unsupported = |part| Err(CrlError::Unsupported { part, source: None });
    let mut fields = Tlv::read_as(der, SEQUENCE, "it is not a sequence")?.children();
    if fields.is_empty() {
        return Err(NotDer("issuing distribution point is empty").into());
    }
    let mut uris = Vec::new();
    if let Some(name) = fields.optional(CONTEXT_CONSTRUCTED)? {
        let full = Tlv::read(name.value)?;
        if full.tag != CONTEXT_CONSTRUCTED {
            return unsupported("issuing distribution point's relative name");
        }
        let mut names = full.children();
        while uris.is_empty() || !names.is_empty() {
            let name = names.next()?;
            if name.tag != CONTEXT_PRIMITIVE + 6 {
                return unsupported("issuing distribution point's kind of name");
            }
            uris.push(name.value);
        }
    }
    let uris = owned_uris(&uris)?;
    let mut flag = |tag| match fields.optional(tag)?.map(|it| it.value) {
        None => Ok(false),
        Some([0xff]) => Ok(true),
        Some(_) => Err(NotDer("a flag of the issuing distribution point is not TRUE")),
    };
    let scope = match (flag(ONLY_USER_CERTIFICATES)?, flag(ONLY_CA_CERTIFICATES)?) {
        (false, false) => CrlScope::All,
        (true, false) => CrlScope::UserCertificates,
        (false, true) => CrlScope::CaCertificates,
        (true, true) => return Err(NotDer("the list contains nothing at all").into()),
    };
    // Lists of some reasons only, of other issuers, of attribute certificates.
    if !fields.is_empty() {
        return unsupported("issuing distribution point's restriction");
    }
    Ok(IssuingDistributionPoint { uris, scope })
}

fn owned_uris(uris: &[&[u8]]) -> Result<Vec<String>, CrlError> {
    if CRL_URI_COUNT_MAX < uris.len() {
        return Err(CrlError::Unsupported { part: "number of URIs", source: None });
    }
    let owned = |uri: &&[u8]| match str::from_utf8(uri) {
        Ok(text) if check_uri(text).is_ok() => Ok(text.to_owned()),
        _ => Err(NotDer("a URI is not one").into()),
    };
    uris.iter().map(owned).collect()
}
