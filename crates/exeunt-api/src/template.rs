//! Templates, and what would become of a request that is tried against them.

use serde::{Deserialize, Serialize};

/// Answer of `GET /v1/templates`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TemplateList {
    /// All of them, in the order of the configuration.
    pub templates: Vec<TemplateDetail>,
}

/// Answer of `GET /v1/templates/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TemplateDetail {
    /// Its name.
    pub name: String,
    /// Whether it is that of requests which name none.
    pub default: bool,
    /// What it says, in the order in which people read it.
    pub settings: Vec<TemplateSetting>,
    /// Names of the dangerous options that are on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dangerous: Vec<String>,
}

/// A key of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TemplateSetting {
    /// The key, as the configuration has it.
    pub key: String,
    /// What it is, as text.
    pub value: String,
}

/// What a rule, or all of them together, says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TrialVerdict {
    /// The request keeps it; the certificate would be issued.
    Pass,
    /// The request would wait for certificate managers.
    Hold,
    /// The request would be refused.
    Refuse,
    /// It says nothing about this request.
    NotApplied,
    /// A word from a newer server.
    #[serde(other)]
    Unknown,
}

impl TrialVerdict {
    /// The word, as JSON carries it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Hold => "hold",
            Self::Refuse => "refuse",
            Self::NotApplied => "not-applied",
            Self::Unknown => "unknown",
        }
    }
}

/// Answer of `POST /v1/requests?dry_run=true`: status 200, whatever it says. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrialAnswer {
    /// Template that the request was measured by; empty when none fits.
    pub template: String,
    /// What would become of it: `pass`, `hold` or `refuse`.
    pub verdict: TrialVerdict,
    /// Why it would be refused, for programs; kebab-case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why it would wait or be refused, one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What every rule says, in the order in which they are asked.
    pub rules: Vec<TrialRule>,
    /// What the certificate would say, if there would be one, at once or after approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<TrialCertificate>,
}

/// What one rule says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrialRule {
    /// Its stable name.
    pub rule: String,
    /// What it says.
    pub verdict: TrialVerdict,
    /// One line about it.
    pub message: String,
}

/// What a certificate would say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrialCertificate {
    /// Its subject, RFC 4514 text.
    pub subject: String,
    /// Subject alternative names, `type:value`.
    pub names: Vec<String>,
    /// First second of validity, RFC 3339.
    pub not_before: String,
    /// Last second of validity, RFC 3339.
    pub not_after: String,
    /// Algorithm and size of its key.
    pub key: String,
    /// Key usages.
    pub key_usage: Vec<String>,
    /// Extended key usages, dotted.
    pub extended_key_usage: Vec<String>,
    /// All of its extensions.
    pub extensions: Vec<TrialExtension>,
}

/// An extension that a certificate would have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrialExtension {
    /// Object identifier, dotted.
    pub oid: String,
    /// Whether it would be critical.
    pub critical: bool,
    /// Its value, DER in hexadecimal.
    pub value: String,
}
