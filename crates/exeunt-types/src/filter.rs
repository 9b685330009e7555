//! Which requests and certificates a look-up means, in which order, and where a page goes on.
//!
//! Plain data: the edge fills a filter in and checks it, the store turns it into a query. Nothing here
//! looks at a row.

use std::fmt;
use std::str::FromStr;

use crate::{
    CertificateRecord, Disposition, RequestId, Revocation, RevocationReason, Serial, StatusCode,
    UnixMillis,
};

/// Longest text of a [`TextFilter`], in octets. No name that is worth looking for is longer.
pub const FILTER_TEXT_OCTETS_MAX: usize = 1024;

/// From where to where; both ends belong to it, and one that is missing is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<T> {
    /// The first.
    pub from: Option<T>,
    /// The last.
    pub to: Option<T>,
}

impl<T> Default for Span<T> {
    fn default() -> Self {
        Self { from: None, to: None }
    }
}

impl<T: PartialOrd> Span<T> {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// Whether nothing can lie in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!((&self.from, &self.to), (Some(from), Some(to)) if to < from)
    }
}

/// What a text has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextFilter {
    /// Exactly this.
    Is(String),
    /// Anything with this in it; upper and lower case of the letters A to Z are the same.
    Contains(String),
}

impl TextFilter {
    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Is(text) | Self::Contains(text) => text,
        }
    }
}

/// First digits of serial numbers: 1 to 40 hexadecimal digits in lower case.
///
/// A leading zero octet that only the DER of the number needs may be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialPrefix(String);

impl SerialPrefix {
    /// Reads digits in either case.
    ///
    /// # Errors
    ///
    /// [`FilterError::SerialPrefix`].
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let digits = 1..=2 * Serial::OCTETS_MAX;
        if digits.contains(&text.len()) && text.bytes().all(|it| it.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(FilterError::SerialPrefix)
        }
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which requests are meant: those that meet every condition. The default means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFilter {
    /// By number.
    pub ids: Span<RequestId>,
    /// In one of these states; empty for any.
    pub dispositions: Vec<Disposition>,
    /// For whom the certificate is.
    pub requester: Option<TextFilter>,
    /// Who called.
    pub caller: Option<TextFilter>,
    /// Template, as the request has it now.
    pub template: Option<TextFilter>,
    /// Subject as requested.
    pub subject: Option<TextFilter>,
    /// Serial number of its certificate.
    pub serial: Option<SerialPrefix>,
    /// Result of its processing.
    pub status: Option<StatusCode>,
    /// Moment of admission.
    pub submitted: Span<UnixMillis>,
    /// End of its processing; what is not at its end lies in no span.
    pub resolved: Span<UnixMillis>,
}

/// Which certificates are meant: those that meet every condition. The default means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateFilter {
    /// By the number of the request that it came from.
    pub requests: Span<RequestId>,
    /// Whose request is in one of these states, `Issued` or `Revoked` mostly; empty for any.
    pub dispositions: Vec<Disposition>,
    /// Why it is revoked. What is not revoked now has no reason.
    pub reason: Option<RevocationReason>,
    /// Serial number.
    pub serial: Option<SerialPrefix>,
    /// Issued subject.
    pub subject: Option<TextFilter>,
    /// Subject alternative names: `type:value`, comma-separated.
    pub names: Option<TextFilter>,
    /// For whom it is.
    pub requester: Option<TextFilter>,
    /// Template that it was issued from.
    pub template: Option<TextFilter>,
    /// Algorithm of its key: a name of `KeyAlgorithm`, or what stands before a dash in one, for
    /// example `rsa`.
    pub key: Option<String>,
    /// Index of the CA key that signed it.
    pub ca_key: Option<u16>,
    /// Moment of issuance.
    pub issued: Span<UnixMillis>,
    /// First second of validity.
    pub not_before: Span<UnixMillis>,
    /// Last second of validity.
    pub not_after: Span<UnixMillis>,
}

/// Why a filter cannot be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// The end lies before the beginning.
    #[error("{0}: the end lies before the beginning")]
    EmptySpan(&'static str),
    /// A text without a character finds everything, and was hardly meant.
    #[error("{0}: the text is empty")]
    EmptyText(&'static str),
    /// A text longer than [`FILTER_TEXT_OCTETS_MAX`].
    #[error("{0}: the text is longer than {FILTER_TEXT_OCTETS_MAX} octets")]
    LongText(&'static str),
    /// A reason is asked for, and states without one.
    #[error("reason: only revoked certificates have one")]
    ReasonOfUnrevoked,
    /// Not digits of a serial number.
    #[error("serial: not 1 to 40 hexadecimal digits")]
    SerialPrefix,
}

impl FilterError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "filter-invalid"
    }
}

impl RequestFilter {
    /// Refuses what contradicts itself.
    ///
    /// # Errors
    ///
    /// [`FilterError`] names the condition.
    pub fn check(&self) -> Result<(), FilterError> {
        span("id", &self.ids)?;
        span("submitted", &self.submitted)?;
        span("resolved", &self.resolved)?;
        // An exact text may be empty: a request that names no template has one.
        text("requester", self.requester.as_ref())?;
        text("caller", self.caller.as_ref())?;
        text("template", self.template.as_ref())?;
        text("subject", self.subject.as_ref())
    }
}

impl CertificateFilter {
    /// Refuses what contradicts itself.
    ///
    /// # Errors
    ///
    /// [`FilterError`] names the condition.
    pub fn check(&self) -> Result<(), FilterError> {
        span("id", &self.requests)?;
        span("issued", &self.issued)?;
        span("not_before", &self.not_before)?;
        span("not_after", &self.not_after)?;
        text("subject", self.subject.as_ref())?;
        text("san", self.names.as_ref())?;
        text("requester", self.requester.as_ref())?;
        text("template", self.template.as_ref())?;
        let revoked =
            self.dispositions.is_empty() || self.dispositions.contains(&Disposition::Revoked);
        if self.reason.is_some() && !revoked {
            return Err(FilterError::ReasonOfUnrevoked);
        }
        Ok(())
    }
}

fn span<T: PartialOrd>(name: &'static str, span: &Span<T>) -> Result<(), FilterError> {
    if span.is_empty() { Err(FilterError::EmptySpan(name)) } else { Ok(()) }
}

fn text(name: &'static str, filter: Option<&TextFilter>) -> Result<(), FilterError> {
    match filter {
        Some(TextFilter::Contains(text)) if text.is_empty() => Err(FilterError::EmptyText(name)),
        Some(it) if FILTER_TEXT_OCTETS_MAX < it.text().len() => Err(FilterError::LongText(name)),
        _ => Ok(()),
    }
}

/// By what certificates are put in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CertificateSort {
    /// By the number of the request.
    #[default]
    Request,
    /// By the last second of validity, and by request among those with the same.
    NotAfter,
}

/// Place of a certificate in any of the orders. Written `REQUEST.NOT-AFTER`, the latter in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateKey {
    /// The request that it came from.
    pub request: RequestId,
    /// Last second of its validity.
    pub not_after: UnixMillis,
}

impl fmt::Display for CertificateKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.request, self.not_after.0)
    }
}

impl FromStr for CertificateKey {
    type Err = KeyTextError;

    fn from_str(text: &str) -> Result<Self, KeyTextError> {
        let (request, not_after) = text.split_once('.').ok_or(KeyTextError)?;
        let request = request.parse().map(RequestId).map_err(|_| KeyTextError)?;
        let not_after = not_after.parse().map(UnixMillis).map_err(|_| KeyTextError)?;
        Ok(Self { request, not_after })
    }
}

/// The text is no [`CertificateKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a place in a list of certificates")]
pub struct KeyTextError;

/// A page of rows that a filter means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T, K> {
    /// The rows; perhaps fewer than were asked for, and none at all, though there are more.
    pub rows: Vec<T>,
    /// After which place to go on; none at the end.
    pub next: Option<K>,
}

/// A certificate as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedCertificate {
    /// Its row.
    pub record: CertificateRecord,
    /// State of its request now.
    pub disposition: Disposition,
    /// Its revocation, where there is or was one.
    pub revocation: Option<Revocation>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_contradicts_itself_is_refused_by_name() {
        let back = Span { from: Some(UnixMillis(2)), to: Some(UnixMillis(1)) };
        let filter = RequestFilter { resolved: back, ..RequestFilter::default() };
        let words = filter.check().unwrap_err().to_string();
        assert_eq!(words, "resolved: the end lies before the beginning");
        let same = Span { from: Some(RequestId(1)), to: Some(RequestId(1)) };
        let filter = RequestFilter { ids: same, ..RequestFilter::default() };
        assert_eq!(filter.check(), Ok(()));

        let text = |it: &str| Some(TextFilter::Contains(it.to_owned()));
        let filter = CertificateFilter { names: text(""), ..CertificateFilter::default() };
        assert_eq!(filter.check(), Err(FilterError::EmptyText("san")));
        let long = "a".repeat(FILTER_TEXT_OCTETS_MAX + 1);
        let filter = CertificateFilter { names: text(&long), ..CertificateFilter::default() };
        assert_eq!(filter.check(), Err(FilterError::LongText("san")));

        let reason = Some(RevocationReason::Superseded);
        let filter = |dispositions| CertificateFilter {
            dispositions,
            reason,
            ..CertificateFilter::default()
        };
        assert_eq!(filter(vec![]).check(), Ok(()));
        assert_eq!(filter(vec![Disposition::Issued, Disposition::Revoked]).check(), Ok(()));
        let unrevoked = filter(vec![Disposition::Issued]).check();
        assert_eq!(unrevoked, Err(FilterError::ReasonOfUnrevoked));
    }

    #[test]
    fn a_serial_prefix_is_digits() {
        assert_eq!(SerialPrefix::parse("5C0").unwrap().as_str(), "5c0");
        for bad in ["", "5g", "0x5", " 5", &"5".repeat(41)] {
            assert_eq!(SerialPrefix::parse(bad), Err(FilterError::SerialPrefix), "{bad:?}");
        }
    }

    #[test]
    fn a_place_reads_back() {
        for not_after in [0, -1, i64::MAX] {
            let key = CertificateKey { request: RequestId(7), not_after: UnixMillis(not_after) };
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        for bad in ["", "7", "7.", ".7", "-1.7", "7.x"] {
            assert_eq!(bad.parse::<CertificateKey>(), Err(KeyTextError), "{bad:?}");
        }
    }
}
