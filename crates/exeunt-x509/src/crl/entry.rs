//! One entry of a revocation list: writing, measuring, reading.

use super::{CRL_BYTES_MAX, CrlBuildError, CrlError};
use crate::extension::{Extension, RawExtension};
use crate::oid;
use crate::time::{
    read_generalized_time, read_time_of_its_year, write_generalized_time, write_time,
};
use crate::tlv::{ENUMERATED, INTEGER, NotDer, SEQUENCE, Tlv};
use crate::write::Writer;
use exeunt_types::{RevocationReason, Serial};

/// Most extensions of one entry that are read; RFC 5280 knows three.
const ENTRY_EXTENSION_COUNT_MAX: usize = 8;

/// Octets of an ordinary entry, a long serial number and a reason in it.
const ENTRY_BYTES: usize = 64;

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
    /// DER of the entry.
    pub(super) fn to_der(self) -> Result<Vec<u8>, CrlBuildError> {
        let Self { serial, revoked, reason, invalid_since } = self;
        let mut extensions = Vec::new();
        let code = match reason {
            None => Some(REMOVE_FROM_CRL),
            Some(RevocationReason::Unspecified | RevocationReason::RemoveFromCrl) => None,
            Some(other) => Some(other.code()),
        };
        if let Some(code) = code {
            extensions.push(Extension::new(oid::REASON_CODE, false, 3, |it| {
                it.element(ENUMERATED, &[code]);
            }));
        }
        if let Some(unix_seconds) = invalid_since {
            let mut time = Writer::with_capacity(17);
            write_generalized_time(&mut time, unix_seconds)
                .ok_or(CrlBuildError::Time { unix_seconds })?;
            let time = time.into_bytes();
            extensions.push(Extension::new(oid::INVALIDITY_DATE, false, 17, |it| it.raw(&time)));
        }
        let mut writer = Writer::with_capacity(ENTRY_BYTES);
        let mut written = Some(());
        writer.nest(SEQUENCE, |it| {
            it.element(INTEGER, serial.as_be_bytes());
            written = write_time(it, revoked);
            if !extensions.is_empty() {
                it.nest(SEQUENCE, |it| extensions.iter().for_each(|each| each.write(it)));
            }
        });
        written.ok_or(CrlBuildError::Time { unix_seconds: revoked })?;
        Ok(writer.into_bytes())
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

/// How long the entries of a list will be, and how many there are: the first pass over them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrlLengths {
    entries: u64,
    octets: u64,
}

impl CrlLengths {
    /// Adds an entry.
    ///
    /// # Errors
    ///
    /// [`CrlBuildError::Time`], and [`CrlBuildError::TooLarge`] as soon as that is certain.
    pub fn add(&mut self, entry: &RevokedEntry) -> Result<(), CrlBuildError> {
        self.count(&entry.to_der()?);
        if CRL_BYTES_MAX < self.octets { Err(CrlBuildError::TooLarge) } else { Ok(()) }
    }

    /// Counts an entry that is encoded already.
    pub(super) fn count(&mut self, der: &[u8]) {
        self.entries += 1;
        self.octets += u64::try_from(der.len()).expect("BUG: an entry has few octets");
    }

    /// How many entries were added.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Length of all of them together, in octets of DER.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.octets
    }
}
