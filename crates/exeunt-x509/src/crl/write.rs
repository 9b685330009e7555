//! Making a revocation list: the part that is signed, piece by piece, and the frame around it.

use super::entry::{CrlLengths, RevokedEntry};
use super::extensions::{
    ca_version, crl_number, delta_indicator, distribution_points, issuing_distribution_point,
};
use super::{
    CRL_BYTES_MAX, CRL_URI_COUNT_MAX, CaVersion, CrlBuildError, CrlScope, IssuingDistributionPoint,
};
use crate::algorithm::scheme_der;
use crate::extension::Extension;
use crate::general_name::check_uri;
use crate::name::Name;
use crate::oid;
use crate::time::write_time;
use crate::tlv::{CONTEXT_CONSTRUCTED, SEQUENCE};
use crate::write::Writer;
use exeunt_types::{CrlNumber, SignatureScheme};
use std::io;

/// Everything in a revocation list but its entries.
#[derive(Clone, Copy, Debug)]
pub struct CrlFields<'a> {
    /// How the issuer will sign.
    pub scheme: SignatureScheme,
    /// Subject of the issuer's certificate, byte for byte.
    pub issuer: &'a Name,
    /// When the list was true, in Unix seconds.
    pub this_update: i64,
    /// When there will be a newer one at the latest, in Unix seconds.
    pub next_update: i64,
    /// Number of the list.
    pub number: CrlNumber,
    /// For a delta, the base that it builds on: critical `deltaCRLIndicator`.
    pub base: Option<CrlNumber>,
    /// Key identifier of the issuer's certificate.
    pub authority_key_identifier: &'a [u8],
    /// Which part of the CA's revocations it covers; none is all of them.
    pub issuing_distribution_point: Option<&'a IssuingDistributionPoint>,
    /// Where the delta to this base is; empty for none. A delta has none (RFC 5280, section 5.2.6).
    pub freshest_crl: &'a [String],
    /// When the next list will be there, in Unix seconds: Microsoft's `Next CRL Publish`.
    pub next_publish: Option<i64>,
    /// Which certificate and key of the CA it belongs to.
    pub ca_version: Option<CaVersion>,
    /// Where it is published: Microsoft's `Published CRL Locations`; empty for none.
    pub published_locations: &'a [String],
}

impl CrlFields<'_> {
    /// What a list keeps to that is of use to anybody.
    fn check(&self) -> Result<(), CrlBuildError> {
        let rule = |rule| Err(CrlBuildError::Invalid { rule });
        if self.issuer.is_empty() {
            return rule("issuer is empty");
        }
        if self.next_update <= self.this_update {
            return rule("next update is not after this update");
        }
        if self.base.is_some_and(|base| self.number < base) {
            return rule("base of a delta is newer than the delta");
        }
        if self.base.is_some() && !self.freshest_crl.is_empty() {
            return rule("a delta names a fresher list");
        }
        if self.authority_key_identifier.is_empty() {
            return rule("authority key identifier is empty");
        }
        let point = self.issuing_distribution_point;
        if point.is_some_and(|it| it.uris.is_empty() && it.scope == CrlScope::All) {
            return rule("issuing distribution point is empty");
        }
        let point_uris = point.map_or(&[][..], |it| &it.uris);
        for uris in [point_uris, self.freshest_crl, self.published_locations] {
            if CRL_URI_COUNT_MAX < uris.len() {
                return rule("an extension has more than 32 URIs");
            }
            if uris.iter().any(|it| check_uri(it).is_err()) {
                return rule("an extension has a URI that is none");
            }
        }
        Ok(())
    }

    /// What stands before the entries, without the outer header.
    fn head(&self) -> Result<Vec<u8>, CrlBuildError> {
        let mut head = Writer::with_capacity(64 + self.issuer.der().len());
        // Version 2 is written as 1.
        head.integer_u8(1);
        head.raw(scheme_der(self.scheme));
        head.raw(self.issuer.der());
        for unix_seconds in [self.this_update, self.next_update] {
            write_time(&mut head, unix_seconds).ok_or(CrlBuildError::Time { unix_seconds })?;
        }
        Ok(head.into_bytes())
    }

    /// What stands behind the entries.
    fn tail(&self) -> Result<Vec<u8>, CrlBuildError> {
        let mut extensions =
            vec![Extension::authority_key_identifier(self.authority_key_identifier)];
        extensions.extend(self.ca_version.map(ca_version));
        extensions.push(crl_number(self.number));
        extensions.extend(self.base.map(delta_indicator));
        extensions.extend(self.issuing_distribution_point.map(issuing_distribution_point));
        if let Some(unix_seconds) = self.next_publish {
            let mut time = Writer::with_capacity(17);
            write_time(&mut time, unix_seconds).ok_or(CrlBuildError::Time { unix_seconds })?;
            let time = time.into_bytes();
            extensions.push(Extension::new(oid::NEXT_PUBLISH, false, 17, |it| it.raw(&time)));
        }
        for (oid, uris) in [
            (oid::FRESHEST_CRL, self.freshest_crl),
            (oid::PUBLISHED_LOCATIONS, self.published_locations),
        ] {
            if !uris.is_empty() {
                extensions.push(distribution_points(oid, uris));
            }
        }
        let mut tail = Writer::with_capacity(256);
        tail.nest(CONTEXT_CONSTRUCTED, |it| {
            it.nest(SEQUENCE, |it| extensions.iter().for_each(|each| each.write(it)));
        });
        Ok(tail.into_bytes())
    }
}

/// Writes a `TBSCertList` (RFC 5280, section 5.1.2): the second pass over the entries.
///
/// Every entry is one small write, so `W` should collect them, as `BufWriter` does. The order of
/// the entries stays as it is given.
#[derive(Debug)]
#[must_use = "without `finish` the list has no end"]
pub struct CrlWriter<W> {
    out: W,
    is_delta: bool,
    expected: CrlLengths,
    written: CrlLengths,
    tail: Vec<u8>,
    tbs_length: u64,
}

impl<W: io::Write> CrlWriter<W> {
    /// Writes what stands before the entries. `lengths` is what the first pass found.
    ///
    /// # Errors
    ///
    /// [`CrlBuildError::Invalid`] and [`CrlBuildError::Time`] before anything is written;
    /// [`CrlBuildError::TooLarge`]; [`CrlBuildError::Write`].
    pub fn start(
        fields: &CrlFields<'_>,
        lengths: CrlLengths,
        out: W,
    ) -> Result<Self, CrlBuildError> {
        fields.check()?;
        let (head, tail) = (fields.head()?, fields.tail()?);
        // Without entries there is no list of them either (RFC 5280, section 5.1.2.6).
        let list =
            if lengths.entries() == 0 { Vec::new() } else { header(SEQUENCE, lengths.octets()) };
        let inside = length(&head) + length(&list) + lengths.octets() + length(&tail);
        let outer = header(SEQUENCE, inside);
        let tbs_length = length(&outer) + inside;
        if CRL_BYTES_MAX < tbs_length {
            return Err(CrlBuildError::TooLarge);
        }
        let mut writer = Self {
            out,
            is_delta: fields.base.is_some(),
            expected: lengths,
            written: CrlLengths::default(),
            tail,
            tbs_length,
        };
        writer.write(&[outer, head, list].concat())?;
        Ok(writer)
    }

    /// Writes the next entry.
    ///
    /// # Errors
    ///
    /// [`CrlBuildError::ReleaseInBase`], [`CrlBuildError::Time`], [`CrlBuildError::Write`], and
    /// [`CrlBuildError::EntriesChanged`] as soon as there is more than was measured.
    pub fn entry(&mut self, entry: &RevokedEntry) -> Result<(), CrlBuildError> {
        if entry.reason.is_none() && !self.is_delta {
            return Err(CrlBuildError::ReleaseInBase { serial: entry.serial });
        }
        let der = entry.to_der()?;
        self.written.count(&der);
        if self.expected.octets() < self.written.octets() {
            return Err(CrlBuildError::EntriesChanged);
        }
        self.write(&der)
    }

    /// Length of the whole `TBSCertList`, in octets.
    #[must_use]
    pub fn tbs_length(&self) -> u64 {
        self.tbs_length
    }

    /// Writes what stands behind the entries, flushes, and gives the length of the `TBSCertList` in
    /// octets.
    ///
    /// # Errors
    ///
    /// [`CrlBuildError::EntriesChanged`] if number or length of the entries is not what was
    /// measured; [`CrlBuildError::Write`].
    pub fn finish(mut self) -> Result<u64, CrlBuildError> {
        if self.written != self.expected {
            return Err(CrlBuildError::EntriesChanged);
        }
        let tail = std::mem::take(&mut self.tail);
        self.write(&tail)?;
        self.out.flush().map_err(|source| CrlBuildError::Write { source: source.into() })?;
        Ok(self.tbs_length)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CrlBuildError> {
        self.out.write_all(bytes).map_err(|source| CrlBuildError::Write { source: source.into() })
    }
}

/// What makes a `CertificateList` of a signed `TBSCertList`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlFrame {
    /// Stands before the `TBSCertList`.
    pub head: Vec<u8>,
    /// Stands behind it: algorithm and signature.
    pub tail: Vec<u8>,
}

/// The frame for a `TBSCertList` of `tbs_length` octets. `scheme` is the one in there.
#[must_use]
pub fn frame_crl(tbs_length: u64, scheme: SignatureScheme, signature: &[u8]) -> CrlFrame {
    let mut tail = Writer::with_capacity(signature.len() + 32);
    tail.raw(scheme_der(scheme));
    tail.bit_string(signature);
    let tail = tail.into_bytes();
    CrlFrame { head: header(SEQUENCE, tbs_length + length(&tail)), tail }
}

fn header(tag: u8, len: u64) -> Vec<u8> {
    let mut writer = Writer::with_capacity(10);
    writer.header(tag, len);
    writer.into_bytes()
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("BUG: nothing in memory has more than 2^64 octets")
}
