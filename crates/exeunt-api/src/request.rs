//! Requests: the answer to a submission, and the rows.

use serde::{Deserialize, Serialize};

use crate::{OfficerExtension, Revocation};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Disposition {
    /// Being processed.
    Active,
    /// Waits for an officer's decision.
    Pending,
    /// Another CA's certificate that was imported.
    Foreign,
    /// Issued.
    Issued,
    /// Issued and revoked since.
    Revoked,
    /// Processing failed.
    Failed,
    /// Refused.
    Denied,
    /// A word from a newer server.
    #[serde(other)]
    Unknown,
}

impl Disposition {
    /// The word, as JSON carries it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Foreign => "foreign",
            Self::Issued => "issued",
            Self::Revoked => "revoked",
            Self::Failed => "failed",
            Self::Denied => "denied",
            Self::Unknown => "unknown",
        }
    }
}

/// Answer of `POST /v1/requests`, and of `POST /v1/requests/{id}/approve`, `…/resubmit` and
/// `…/retrieve`: status 200 issued, 202 pending, 403 denied.
///
/// Moments are RFC 3339 text in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SubmitAnswer {
    /// Row of the request.
    pub request_id: u64,
    /// `issued`, `pending` or `denied`.
    pub disposition: Disposition,
    /// Serial number of the certificate, lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// The certificate in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Issued subject, RFC 4514 text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// First second of validity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Last second of validity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// Why the request waits or was denied, one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Why the request was denied, for programs; kebab-case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why the request was denied, as the original's HRESULT: `0x` and eight digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<String>,
}

/// A request's row in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RequestSummary {
    /// Row number.
    pub id: u64,
    /// Its state now.
    pub disposition: Disposition,
    /// Result of its processing as the original's HRESULT: `0x` and eight digits.
    pub status_code: String,
    /// One line about it.
    pub message: String,
    /// For whom the certificate is.
    pub requester: String,
    /// Who called.
    pub caller: String,
    /// Template that was asked for or chosen by default.
    pub template: String,
    /// Subject as requested, RFC 4514 text.
    pub subject: String,
    /// Moment of admission, RFC 3339.
    pub submitted: String,
    /// End of its processing, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<String>,
    /// Serial number of its certificate, lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
}

/// Answer of `GET /v1/requests`, newest first if nothing else is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RequestPage {
    /// The rows; with filters perhaps fewer than were asked for, though there are more.
    pub requests: Vec<RequestSummary>,
    /// `before` of the next page; absent on the last one, and in any other order than newest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_before: Option<u64>,
    /// `after` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Answer of `GET /v1/requests/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RequestDetail {
    /// The row as lists show it.
    #[serde(flatten)]
    pub summary: RequestSummary,
    /// What came in: `pkcs10`, `pkcs7` or `cmc`; empty where nothing did, and from older servers.
    #[serde(default)]
    pub format: String,
    /// Whether an enrolment agent made it on behalf of the requester.
    #[serde(default)]
    pub on_behalf: bool,
    /// Whether its private key is archived, encrypted to recovery agents.
    #[serde(default)]
    pub key_archived: bool,
    /// The certificate that it renews, and that has signed it, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed_certificate: Option<String>,
    /// Request attributes in the order in which they were sent.
    pub attributes: Vec<RequestAttribute>,
    /// Extensions that an officer set while it was pending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub officer_extensions: Vec<OfficerExtension>,
    /// Who has approved it, as far as it waits or has waited for several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
    /// The revocation of its certificate, where there is or was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Revocation>,
    /// The request in PEM; empty where a certificate was imported without one.
    pub request: String,
}

/// A certificate manager's approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Approval {
    /// Who approved.
    pub manager: String,
    /// When, RFC 3339.
    pub at: String,
}

/// One request attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RequestAttribute {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_a_disposition_is_its_json() {
        use Disposition::{Active, Denied, Failed, Foreign, Issued, Pending, Revoked};
        for it in [Active, Pending, Foreign, Issued, Revoked, Failed, Denied] {
            assert_eq!(serde_json::to_string(&it).unwrap(), format!("{:?}", it.word()));
        }
        assert_eq!(
            serde_json::from_str::<Disposition>(r#""postponed""#).unwrap(),
            Disposition::Unknown
        );
    }

    #[test]
    fn an_answer_carries_only_what_it_has() {
        let answer: SubmitAnswer =
            serde_json::from_str(r#"{"request_id":7,"disposition":"pending"}"#).unwrap();
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            r#"{"request_id":7,"disposition":"pending"}"#
        );
    }
}
