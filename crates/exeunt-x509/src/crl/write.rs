//! Making a revocation list: its entries, one by one, and the two frames around them.

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

/// Octets of entries that are written at a time.
const PIECE_BYTES: usize = 64 * 1024;
/// Octets of the longest entry, roundly: a serial number of 20 octets, three times, two extensions.
const ENTRY_BYTES_MAX: usize = 128;

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

/// Writes the entries of a list, one after the other, in the order in which they are given.
///
/// They come first: what stands before them says how long they are. [`frame_tbs`] makes it.
#[derive(Debug)]
#[must_use = "without `finish` the last entries are not written"]
pub struct CrlWriter<W> {
    out: W,
    is_delta: bool,
    lengths: CrlLengths,
    /// What was not handed to `out` yet.
    pending: Writer,
}

impl<W: io::Write> CrlWriter<W> {
    /// Begins; `is_delta` says whether releases from hold may stand here. `out` is written to in
    /// pieces of 64 KiB.
    pub fn new(out: W, is_delta: bool) -> Self {
        let pending = Writer::with_capacity(PIECE_BYTES + ENTRY_BYTES_MAX);
        Self { out, is_delta, lengths: CrlLengths::default(), pending }
    }

    /// Writes the next entry.
    ///
    /// # Errors
    ///
    /// [`CrlBuildError::ReleaseInBase`], [`CrlBuildError::Time`], [`CrlBuildError::Write`], and
    /// [`CrlBuildError::TooLarge`] as soon as that is certain. The list is lost then.
    pub fn entry(&mut self, entry: &RevokedEntry) -> Result<(), CrlBuildError> {
        if entry.reason.is_none() && !self.is_delta {
            return Err(CrlBuildError::ReleaseInBase { serial: entry.serial });
        }
        let before = length(self.pending.as_bytes());
        entry.write(&mut self.pending)?;
        self.lengths.entries += 1;
        self.lengths.octets += length(self.pending.as_bytes()) - before;
        if CRL_BYTES_MAX < self.lengths.octets {
            return Err(CrlBuildError::TooLarge);
        }
        if PIECE_BYTES <= self.pending.as_bytes().len() { self.hand_over() } else { Ok(()) }
    }

    /// Writes what is left, flushes, and gives the lengths of all.
    ///
    /// # Errors
    ///
    /// [`CrlBuildError::Write`].
    pub fn finish(mut self) -> Result<CrlLengths, CrlBuildError> {
        self.hand_over()?;
        self.out.flush().map_err(|source| CrlBuildError::Write { source: source.into() })?;
        Ok(self.lengths)
    }

    fn hand_over(&mut self) -> Result<(), CrlBuildError> {
        let written = self.out.write_all(self.pending.as_bytes());
        self.pending.clear();
        written.map_err(|source| CrlBuildError::Write { source: source.into() })
    }
}

/// What makes a `TBSCertList` (RFC 5280, section 5.1.2) of its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TbsFrame {
    /// Stands before the entries.
    pub head: Vec<u8>,
    /// Stands behind them.
    pub tail: Vec<u8>,
    /// Length of the whole `TBSCertList`, in octets.
    pub length: u64,
}

/// The frame for entries of those `lengths`, which [`CrlWriter::finish`] gave.
///
/// # Errors
///
/// [`CrlBuildError::Invalid`], [`CrlBuildError::Time`], [`CrlBuildError::TooLarge`].
pub fn frame_tbs(fields: &CrlFields<'_>, lengths: CrlLengths) -> Result<TbsFrame, CrlBuildError> {
    fields.check()?;
    let (head, tail) = (fields.head()?, fields.tail()?);
    // Without entries there is no list of them either (RFC 5280, section 5.1.2.6).
    let list = if lengths.entries == 0 { Vec::new() } else { header(SEQUENCE, lengths.octets) };
    let inside = length(&head) + length(&list) + lengths.octets + length(&tail);
    let outer = header(SEQUENCE, inside);
    let tbs_length = length(&outer) + inside;
    if CRL_BYTES_MAX < tbs_length {
        return Err(CrlBuildError::TooLarge);
    }
    Ok(TbsFrame { head: [outer, head, list].concat(), tail, length: tbs_length })
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
