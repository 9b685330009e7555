//! Reading a revocation list: what is needed to judge it, and its entries one after the other.

use super::entry::RevokedEntry;
use super::extensions::{
    read_ca_version, read_crl_number, read_issuing_distribution_point, read_uris,
};
use super::{CRL_BYTES_MAX, CaVersion, CrlError, IssuingDistributionPoint};
use crate::algorithm::{explain_unknown_scheme, scheme_from_der};
use crate::extension::{EXTENSION_COUNT_MAX, RawExtension};
use crate::lint::extensions::read_authority_key_identifier;
use crate::name::Name;
use crate::oid;
use crate::time::read_time_of_its_year;
use crate::tlv::{
    BIT_STRING, CONTEXT_CONSTRUCTED, Cursor, INTEGER, NotDer, SEQUENCE, Tlv, check_der,
};
use const_oid::ObjectIdentifier;
use exeunt_types::{CrlNumber, SignatureScheme};

/// A revocation list as it was read. Its signature has not been verified.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Crl<'a> {
    /// The exact bytes that are signed.
    pub tbs_der: &'a [u8],
    /// How it is signed.
    pub scheme: SignatureScheme,
    /// The signature: DER for ECDSA, plain octets otherwise.
    pub signature: &'a [u8],
    /// Who signed it.
    pub issuer: Name,
    /// When it was true, in Unix seconds.
    pub this_update: i64,
    /// When there will be a newer one at the latest, in Unix seconds.
    pub next_update: i64,
    /// Its number.
    pub number: CrlNumber,
    /// For a delta, the base that it builds on.
    pub base: Option<CrlNumber>,
    /// Key identifier of the issuer's certificate.
    pub authority_key_identifier: Option<&'a [u8]>,
    /// Which part of the CA's revocations it covers; none is all of them.
    pub issuing_distribution_point: Option<IssuingDistributionPoint>,
    /// Where the delta to this base is; empty for nowhere.
    pub freshest_crl: Vec<String>,
    /// Microsoft's `Next CRL Publish`, in Unix seconds.
    pub next_publish: Option<i64>,
    /// Microsoft's `CA Version`.
    pub ca_version: Option<CaVersion>,
    /// Microsoft's `Published CRL Locations`; empty for none.
    pub published_locations: Vec<String>,
    /// How many entries it has.
    pub entry_count: u64,
    entries: Cursor<'a>,
}

impl<'a> Crl<'a> {
    /// The entries, in the order of the list.
    #[must_use]
    pub fn entries(&self) -> CrlEntries<'a> {
        CrlEntries { entries: self.entries, is_delta: self.base.is_some() }
    }
}

/// Entries of a list, one after the other.
#[derive(Clone, Debug)]
pub struct CrlEntries<'a> {
    entries: Cursor<'a>,
    is_delta: bool,
}

impl Iterator for CrlEntries<'_> {
    type Item = RevokedEntry;

    fn next(&mut self) -> Option<RevokedEntry> {
        if self.entries.is_empty() {
            return None;
        }
        let entry = read_entry(&mut self.entries, self.is_delta);
        Some(entry.expect("BUG: parse_crl has read every entry"))
    }
}

/// Reads a version 2 list in DER, which must be all that `der` holds, and every entry of it.
///
/// # Errors
///
/// [`CrlError`]. A list without a number or a next update, which RFC 5280 wants, is malformed.
pub fn parse_crl(der: &[u8]) -> Result<Crl<'_>, CrlError> {
    if u64::try_from(der.len()).is_ok_and(|it| CRL_BYTES_MAX < it) {
        return Err(CrlError::TooLarge);
    }
    check_der(der)?;
    let mut outer = Tlv::read_as(der, SEQUENCE, "it is not a sequence")?.children();
    let tbs = outer.expect(SEQUENCE, "the signed part is missing")?;
    let algorithm = outer.expect(SEQUENCE, "signature algorithm is missing")?;
    let signature = outer.expect(BIT_STRING, "signature is missing")?.bit_string_octets()?;
    outer.finish("something follows the signature")?;

    let mut fields = tbs.children();
    let version = fields.expect(INTEGER, "list is not of version 2")?.value;
    if version != [1] {
        return Err(NotDer("list is not of version 2").into());
    }
    let signed_algorithm = fields.expect(SEQUENCE, "signed signature algorithm is missing")?;
    if signed_algorithm.whole != algorithm.whole {
        return Err(NotDer("the two signature algorithms differ").into());
    }
    let scheme = scheme_from_der(algorithm.whole).ok_or_else(|| CrlError::Unsupported {
        part: "signature algorithm",
        source: Some(explain_unknown_scheme(algorithm.whole).into()),
    })?;
    let issuer = fields.expect(SEQUENCE, "issuer is missing")?.whole;
    let issuer = Name::from_der(issuer)
        .map_err(|err| CrlError::Unsupported { part: "issuer", source: Some(err.into()) })?;
    if issuer.is_empty() {
        return Err(NotDer("issuer is empty").into());
    }
    let this_update = read_time_of_its_year(&fields.next()?)?;
    let next_update = read_time_of_its_year(&fields.next()?)
        .map_err(|NotDer(_)| NotDer("next update is missing or invalid"))?;
    if next_update <= this_update {
        return Err(NotDer("next update is not after this update").into());
    }
    let entries = match fields.optional(SEQUENCE)? {
        None => Cursor::new(&[]),
        Some(list) if list.value.is_empty() => {
            return Err(NotDer("a list of entries is there, but empty").into());
        }
        Some(list) => list.children(),
    };
    let extensions = fields.expect(CONTEXT_CONSTRUCTED, "extensions are missing")?.value;
    let extensions = Extensions::read(extensions)?;
    fields.finish("something follows the extensions")?;

    let number = extensions.value(&oid::CRL_NUMBER).map(read_crl_number).transpose()?;
    let base = extensions.value(&oid::DELTA_CRL_INDICATOR).map(read_crl_number).transpose()?;
    let number = number.ok_or(NotDer("list has no number"))?;
    if base.is_some_and(|base| number < base) {
        return Err(NotDer("base of a delta is newer than the delta").into());
    }
    let authority_key_identifier = extensions
        .value(&oid::AUTHORITY_KEY_IDENTIFIER)
        .map(read_authority_key_identifier)
        .transpose()?
        .flatten();
    let next_publish =
        extensions.value(&oid::NEXT_PUBLISH).map(|der| read_time_of_its_year(&Tlv::read(der)?));
    let uris = |oid| extensions.value(oid).map(read_uris).transpose();
    let mut crl = Crl {
        tbs_der: tbs.whole,
        scheme,
        signature,
        issuer,
        this_update,
        next_update,
        number,
        base,
        authority_key_identifier,
        issuing_distribution_point: extensions
            .value(&oid::ISSUING_DISTRIBUTION_POINT)
            .map(read_issuing_distribution_point)
            .transpose()?,
        freshest_crl: uris(&oid::FRESHEST_CRL)?.unwrap_or_default(),
        next_publish: next_publish.transpose()?,
        ca_version: extensions.value(&oid::CA_VERSION).map(read_ca_version).transpose()?,
        published_locations: uris(&oid::PUBLISHED_LOCATIONS)?.unwrap_or_default(),
        entry_count: 0,
        entries,
    };
    let mut unread = entries;
    while !unread.is_empty() {
        read_entry(&mut unread, base.is_some())?;
        crl.entry_count += 1;
    }
    Ok(crl)
}

fn read_entry(entries: &mut Cursor<'_>, is_delta: bool) -> Result<RevokedEntry, CrlError> {
    RevokedEntry::read(&entries.expect(SEQUENCE, "an entry is not a sequence")?, is_delta)
}

/// Extensions of the list itself, each at most once.
struct Extensions<'a>(Vec<RawExtension<'a>>);

impl<'a> Extensions<'a> {
    /// What must be critical: who overlooks it takes the list for more than it is.
    const CRITICAL: [ObjectIdentifier; 2] =
        [oid::DELTA_CRL_INDICATOR, oid::ISSUING_DISTRIBUTION_POINT];

    fn read(der: &'a [u8]) -> Result<Self, CrlError> {
        let list = Tlv::read_as(der, SEQUENCE, "extensions are not a sequence")?;
        let mut list = list.children();
        let mut read: Vec<RawExtension<'a>> = Vec::with_capacity(8);
        while !list.is_empty() {
            if read.len() == EXTENSION_COUNT_MAX {
                return Err(NotDer("more than 64 extensions").into());
            }
            let extension = RawExtension::read(&mut list)?;
            let RawExtension { oid, critical, value } = extension;
            check_der(value)?;
            if read.iter().any(|it| it.oid == oid) {
                return Err(NotDer("an extension occurs twice").into());
            }
            if critical.is_some_and(|it| it == [0]) {
                return Err(NotDer("an extension encodes the default of not being critical").into());
            }
            let must = Self::CRITICAL.contains(&oid);
            if must && !extension.is_critical() {
                return Err(NotDer("an extension is not critical although it must be").into());
            }
            if !must && extension.is_critical() {
                return Err(CrlError::Unsupported { part: "critical extension", source: None });
            }
            read.push(extension);
        }
        Ok(Self(read))
    }

    fn value(&self, oid: &ObjectIdentifier) -> Option<&'a [u8]> {
        self.0.iter().find(|it| it.oid == *oid).map(|it| it.value)
    }
}
