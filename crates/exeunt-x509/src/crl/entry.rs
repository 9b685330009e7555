//! One entry of a revocation list: writing and reading.

use super::{CrlBuildError, CrlError};
use crate::extension::RawExtension;
use crate::oid;
use crate::time::{
    read_generalized_time, read_time_of_its_year, write_generalized_time, write_time,
};
use crate::tlv::{ENUMERATED, INTEGER, NotDer, OCTET_STRING, SEQUENCE, Tlv};
use crate::write::Writer;
use const_oid::ObjectIdentifier;
use exeunt_types::{RevocationReason, Serial};

/// Most extensions of one entry that are read; RFC 5280 knows three.
const ENTRY_EXTENSION_COUNT_MAX: usize = 8;

/// Code of `removeFromCRL` (RFC 5280, section 5.3.1).
const REMOVE_FROM_CRL: u8 = 8;

/// A revoked certificate in a list, or in a delta one that is no longer revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokedEntry {
    /// Serial number of the certificate.
    pub serial: Serial,
    /// From when on it counts as revoked, in Unix seconds.
    pub revoked: i64,
    /// Why. None is a release from hold, which only deltas tell: it is written as `removeFromCRL`.
    /// `Unspecified` is written as no reason (RFC 5280, section 5.3.1), and so is `RemoveFromCrl`,
    /// because verifiers would take the certificate for released.
    pub reason: Option<RevocationReason>,
    /// Since when the key is known or suspected to be in other hands, in Unix seconds.
    pub invalid_since: Option<i64>,
}

impl RevokedEntry {
    /// Appends the DER of the entry. After an error what was appended is worth nothing.
    pub(super) fn write(self, out: &mut Writer) -> Result<(), CrlBuildError> {
        let Self { serial, revoked, reason, invalid_since } = self;
        let code = match reason {
            None => Some(REMOVE_FROM_CRL),
            Some(RevocationReason::Unspecified | RevocationReason::RemoveFromCrl) => None,
            Some(other) => Some(other.code()),
        };
        let mut unwritten = None;
        out.nest(SEQUENCE, |it| {
            it.element(INTEGER, serial.as_be_bytes());
            if write_time(it, revoked).is_none() {
                unwritten = Some(revoked);
            }
            if code.is_none() && invalid_since.is_none() {
                return;
            }
            it.nest(SEQUENCE, |it| {
                if let Some(code) = code {
                    extension(it, &oid::REASON_CODE, |it| it.element(ENUMERATED, &[code]));
                }
                if let Some(since) = invalid_since {
                    extension(it, &oid::INVALIDITY_DATE, |it| {
                        if write_generalized_time(it, since).is_none() {
                            unwritten = Some(since);
                        }
                    });
                }
            });
        });
        unwritten.map_or(Ok(()), |unix_seconds| Err(CrlBuildError::Time { unix_seconds }))
    }

    /// Reads one entry; `delta` says whether releases may stand here.
    pub(super) fn read(entry: &Tlv<'_>, delta: bool) -> Result<Self, CrlError> {
        let mut fields = entry.children();
        let serial = fields.expect(INTEGER, "an entry has no serial number")?.value;
        let serial = Serial::from_be_bytes(serial).map_err(|err| CrlError::Unsupported {
            part: "serial number of an entry",
            source: Some(err.into()),
        })?;
        let revoked = read_time_of_its_year(&fields.next()?)?;
        let mut reason = None;
        let mut invalid_since = None;
        if let Some(list) = fields.optional(SEQUENCE)? {
            let mut list = list.children();
            let mut count = 0;
            while count == 0 || !list.is_empty() {
                count += 1;
                if ENTRY_EXTENSION_COUNT_MAX < count {
                    return Err(CrlError::Unsupported {
                        part: "number of extensions of an entry",
                        source: None,
                    });
                }
                let extension = RawExtension::read(&mut list)?;
                let again = match extension.oid {
                    oid::REASON_CODE => {
                        reason.replace(read_reason(extension.value, delta)?).is_some()
                    }
                    oid::INVALIDITY_DATE => {
                        let time = read_generalized_time(&Tlv::read(extension.value)?)?;
                        invalid_since.replace(time).is_some()
                    }
                    _ if extension.is_critical() => {
                        return Err(CrlError::Unsupported {
                            part: "critical extension of an entry",
                            source: None,
                        });
                    }
                    _ => false,
                };
                if again {
                    return Err(NotDer("an extension of an entry occurs twice").into());
                }
                if extension.critical == Some(&[0]) {
                    return Err(NotDer("an entry encodes the default of not being critical").into());
                }
            }
        }
        fields.finish("something follows the extensions of an entry")?;
        let reason = reason.unwrap_or(Some(RevocationReason::Unspecified));
        Ok(Self { serial, revoked, reason, invalid_since })
    }
}

/// A reason as it stands in a list; none is a release.
fn read_reason(der: &[u8], delta: bool) -> Result<Option<RevocationReason>, CrlError> {
    let code = Tlv::read_as(der, ENUMERATED, "reason is not an enumerated number")?.value;
    match *code {
        [REMOVE_FROM_CRL] if delta => Ok(None),
        [REMOVE_FROM_CRL] => Err(NotDer("a release is in a complete list").into()),
        [code] => match RevocationReason::from_code(code.into()) {
            Some(reason) => Ok(Some(reason)),
            None => Err(CrlError::Unsupported { part: "reason of an entry", source: None }),
        },
        _ => Err(NotDer("reason is not one octet").into()),
    }
}

/// An extension of an entry, none of which is critical.
fn extension(out: &mut Writer, oid: &ObjectIdentifier, value: impl FnOnce(&mut Writer)) {
    out.nest(SEQUENCE, |it| {
        it.oid(oid);
        it.nest(OCTET_STRING, value);
    });
}

/// How long the entries of a list are, and how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrlLengths {
    /// How many.
    pub entries: u64,
    /// All of them together, in octets of DER.
    pub octets: u64,
}
