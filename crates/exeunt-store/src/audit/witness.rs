//! What the rest of the store says of the trail: every certificate and every revocation has its row, every
//! row of a certificate has the very certificate, and what was revoked and not released is revoked.
//!
//! A trail whose end was cut off, and that nobody has signed yet, is whole by itself. The certificates
//! whose rows are gone tell.

use std::collections::BTreeMap;
use std::fmt;

use exeunt_types::{
    ACTION_FILTER, ACTION_ISSUED, ACTION_START, AuditCategories, EventSeq, RequestId,
};

use super::{AuditRow, outcome, query};
use crate::lookup::certificate_by_request;
use crate::reader::{corrupt, rows, sql_limit};
use crate::row::{Why, read, read_id, read_seq, sql_int};
use crate::{ROWS_MAX, Store, StoreError};

/// Most contradictions that are named; there may be more.
pub const AUDIT_CONTRADICTIONS_MAX: usize = 100;

/// Requests in one piece of a set.
const PIECE: u64 = 64 * 64;

/// The rest of the store says something else than the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Contradiction {
    /// There is a certificate, and no row says that it was issued or imported.
    CertificateUnaudited(RequestId),
    /// There is a revocation, and no row says who did it.
    RevocationUnaudited(RequestId),
    /// The certificate is not the one that was issued.
    CertificateExchanged {
        /// Whose it is.
        request: RequestId,
        /// The row that tells of the one that was issued.
        number: u64,
    },
    /// A certificate was issued and is not there.
    CertificateGone {
        /// Whose it was.
        request: RequestId,
        /// The row that tells of it.
        number: u64,
    },
    /// A certificate was revoked, was not released since, and revocation lists do not name it.
    RevocationGone(RequestId),
}

impl Contradiction {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::CertificateUnaudited(_) => "audit-certificate-unaudited",
            Self::RevocationUnaudited(_) => "audit-revocation-unaudited",
            Self::CertificateExchanged { .. } => "audit-certificate-exchanged",
            Self::CertificateGone { .. } => "audit-certificate-gone",
            Self::RevocationGone(_) => "audit-revocation-gone",
        }
    }
}

impl fmt::Display for Contradiction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CertificateUnaudited(request) => {
                write!(out, "the certificate of request {request} has no row in the trail")
            }
            Self::RevocationUnaudited(request) => {
                write!(out, "the revocation of request {request} has no row in the trail")
            }
            Self::CertificateExchanged { request, number } => {
                write!(out, "the certificate of request {request} is not the one of row {number}")
            }
            Self::CertificateGone { request, number } => {
                write!(out, "the certificate of request {request}, of row {number}, is not there")
            }
            Self::RevocationGone(request) => {
                write!(out, "the certificate of request {request} was revoked, and it is not now")
            }
        }
    }
}

/// What the rows of a trail say, collected from the first to the last.
#[derive(Debug)]
pub struct Witness {
    store: Store,
    /// What is looked at later ends here: what comes after may be newer than the rows.
    until: EventSeq,
    certified: Requests,
    revoked: Requests,
    /// Those of them that were not released since.
    standing: Requests,
    /// After which event which categories were written.
    filters: Vec<(EventSeq, AuditCategories)>,
    found: Vec<Contradiction>,
}

impl Witness {
    /// Has every row of the trail, in order, compared with the store.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn hear(&mut self, row: &AuditRow) -> Result<(), StoreError> {
        let entry = &row.entry;
        let request = || entry.object.strip_prefix("request:")?.parse().ok().map(RequestId);
        match entry.action.as_str() {
            ACTION_ISSUED => {
                let Some(request) = request() else { return Ok(()) };
                self.certified.add(request);
                self.compare(request, row)?;
            }
            "certificate-import" => {
                if let Some(request) = request() {
                    self.certified.add(request);
                }
            }
            action @ ("certificate-revoke" | "certificate-release") => {
                let Some(request) = request() else { return Ok(()) };
                self.revoked.add(request);
                if action == "certificate-revoke" {
                    self.standing.add(request);
                } else {
                    self.standing.remove(request);
                }
            }
            ACTION_START | ACTION_FILTER => {
                let last = entry.detail.strip_prefix("last event ");
                let last = last.map(|it| it.split(',').next().unwrap_or_default());
                let last = last.and_then(|it| it.parse().ok()).map(EventSeq);
                let filter = entry.after.as_deref().and_then(query::filter_in);
                // From here on somebody may be released without a row.
                if filter.is_some_and(|it| !it.writes(AuditCategories::REVOCATION)) {
                    self.standing = Requests::default();
                }
                self.filters.extend(last.zip(filter));
            }
            _ => (),
        }
        Ok(())
    }

    fn compare(&mut self, request: RequestId, row: &AuditRow) -> Result<(), StoreError> {
        let action = "reading a certificate";
        let read = |conn: &_| certificate_by_request(conn, request);
        let number = row.id;
        match self.store.inner.readers.read(action, read)? {
            None => self.note(Contradiction::CertificateGone { request, number }),
            Some(it) if !row.entry.detail.starts_with(&outcome::proof(&it.certificate)) => {
                self.note(Contradiction::CertificateExchanged { request, number });
            }
            Some(_) => (),
        }
        Ok(())
    }

    fn note(&mut self, contradiction: Contradiction) {
        if self.found.len() < AUDIT_CONTRADICTIONS_MAX {
            self.found.push(contradiction);
        }
    }

    /// What contradicts the trail, the certificates and revocations without a row among it.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn finish(mut self) -> Result<Vec<Contradiction>, StoreError> {
        let certificates = "SELECT request, event FROM certificate
                            WHERE request > ?1 ORDER BY request LIMIT ?2";
        let revocations = "SELECT request, event FROM revocation
                           WHERE request > ?1 ORDER BY request LIMIT ?2";
        self.look_for(certificates, AuditCategories::REQUESTS, |it, request| {
            let unaudited = !it.certified.has(request);
            unaudited.then_some(Contradiction::CertificateUnaudited(request))
        })?;
        self.look_for(revocations, AuditCategories::REVOCATION, |it, request| {
            let unaudited = !it.revoked.has(request);
            unaudited.then_some(Contradiction::RevocationUnaudited(request))
        })?;
        self.look_for_standing()?;
        Ok(self.found)
    }

    /// Takes from those who should be revoked everybody who is, or who was released since the rows were
    /// read; those who are left are not.
    fn look_for_standing(&mut self) -> Result<(), StoreError> {
        let action = "comparing revocations with the audit trail";
        // The serial number is that which revocation lists name.
        let sql = "SELECT r.request, r.event, r.revoked AND r.serial IS c.serial
                   FROM revocation r LEFT JOIN certificate c ON c.request = r.request
                   WHERE r.request > ?1 ORDER BY r.request LIMIT ?2";
        let mut after = RequestId(0);
        loop {
            let params = (sql_int(after.0), sql_limit(ROWS_MAX));
            let page = self.store.inner.readers.read(action, |conn| {
                rows(conn, action, sql, params, |row| {
                    Ok::<_, Why>((read_id(row, 0)?, read_seq(row, 1)?, read::<bool>(row, 2)?))
                })
            })?;
            let page: Result<Vec<_>, Why> = page.into_iter().collect();
            let page = page.map_err(corrupt("a revocation"))?;
            let Some((last, ..)) = page.last() else { break };
            after = *last;
            let last_event = self.last_event()?;
            for (request, event, is_revoked) in page {
                if is_revoked || self.is_newer(event, last_event) {
                    self.standing.remove(request);
                }
            }
        }
        for request in std::mem::take(&mut self.standing).iter() {
            self.note(Contradiction::RevocationGone(request));
        }
        Ok(())
    }

    /// Judges the rows of a table whose event the trail must tell of.
    fn look_for(
        &mut self,
        sql: &'static str,
        category: AuditCategories,
        judge: impl Fn(&Self, RequestId) -> Option<Contradiction>,
    ) -> Result<(), StoreError> {
        let action = "comparing the audit trail";
        let mut after = RequestId(0);
        loop {
            let params = (sql_int(after.0), sql_limit(ROWS_MAX));
            let page = self.store.inner.readers.read(action, |conn| {
                rows(conn, action, sql, params, |row| {
                    Ok::<_, Why>((read_id(row, 0)?, read_seq(row, 1)?))
                })
            })?;
            let page: Result<Vec<_>, Why> = page.into_iter().collect();
            let page = page.map_err(corrupt("a certificate"))?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = *last;
            let last_event = self.last_event()?;
            for (request, event) in page {
                // What happened with an event that there is none of was never written by the CA.
                let is_event = EventSeq(0) < event && event <= last_event;
                let must_be_there = !is_event
                    || !self.is_newer(event, last_event) && self.was_written(event, category);
                if must_be_there && let Some(it) = judge(self, request) {
                    self.note(it);
                }
            }
        }
    }

    /// The last event of the log, which goes on while a server runs.
    fn last_event(&self) -> Result<EventSeq, StoreError> {
        self.store.inner.readers.read("reading the end of the log", crate::lookup::last_event)
    }

    /// Whether what has that event may be newer than the rows that were read.
    fn is_newer(&self, event: EventSeq, last_event: EventSeq) -> bool {
        self.until < event && event <= last_event
    }

    /// Whether what happened with that event was to be written.
    fn was_written(&self, event: EventSeq, category: AuditCategories) -> bool {
        let before = self.filters.iter().rev().find(|(from, _)| *from < event);
        before.is_some_and(|(_, filter)| filter.writes(category))
    }
}

impl Store {
    /// Somebody who compares the trail with the rest of the store, as far as that stands now.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn audit_witness(&self) -> Result<Witness, StoreError> {
        let action = "reading the end of the log";
        let until = self.inner.readers.read(action, crate::lookup::last_event)?;
        Ok(Witness {
            store: self.clone(),
            until,
            certified: Requests::default(),
            revoked: Requests::default(),
            standing: Requests::default(),
            filters: Vec::new(),
            found: Vec::new(),
        })
    }
}

/// A set of requests: a bit for each, in pieces, because a restore leaves numbers out.
#[derive(Debug, Default)]
struct Requests(BTreeMap<u64, Box<[u64; 64]>>);

impl Requests {
    fn add(&mut self, request: RequestId) {
        let (word, bit) = Self::place(request);
        let piece = self.0.entry(request.0 / PIECE).or_insert_with(|| Box::new([0; 64]));
        piece[word] |= bit;
    }

    fn remove(&mut self, request: RequestId) {
        let (word, bit) = Self::place(request);
        if let Some(piece) = self.0.get_mut(&(request.0 / PIECE)) {
            piece[word] &= !bit;
        }
    }

    /// In order.
    fn iter(&self) -> impl Iterator<Item = RequestId> {
        let numbers =
            self.0.keys().flat_map(|it| (0..PIECE).map(move |inside| it * PIECE + inside));
        numbers.map(RequestId).filter(|it| self.has(*it))
    }

    fn has(&self, request: RequestId) -> bool {
        let (word, bit) = Self::place(request);
        self.0.get(&(request.0 / PIECE)).is_some_and(|it| it[word] & bit != 0)
    }

    fn place(request: RequestId) -> (usize, u64) {
        let inside = request.0 % PIECE;
        (usize::try_from(inside / 64).unwrap_or_default(), 1 << (inside % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_into_it_and_nothing_else() {
        let numbers = [1, 2, 63, 64, 4095, 4096, 1_000_000, u64::MAX];
        let mut set = Requests::default();
        for number in numbers {
            set.add(RequestId(number));
        }
        for number in numbers {
            assert!(set.has(RequestId(number)), "{number}");
        }
        for number in [0, 3, 62, 65, 4094, 4097, 999_999] {
            assert!(!set.has(RequestId(number)), "{number}");
        }
        let after = |removed: u64| {
            let mut set = Requests::default();
            for number in [1, 64, 4096] {
                set.add(RequestId(number));
            }
            set.remove(RequestId(removed));
            set.iter().map(|it| it.0).collect::<Vec<_>>()
        };
        assert_eq!(after(64), [1, 4096]);
        assert_eq!(after(5), [1, 64, 4096]);
    }
}
