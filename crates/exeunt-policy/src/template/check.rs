//! Whether what a template says goes together. Every mistake is found, not only the first.

use std::time::Duration;

use exeunt_x509::{KeyUsage, ObjectIdentifier, is_sid};

use super::{Holder, Issuance, Template};

/// Most limits of issuance on one template.
pub const RATE_LIMITS_MAX: usize = 8;
/// Most certificates that a limit of issuance can allow in its window: each issuance looks at as many rows.
pub const RATE_CERTIFICATES_MAX: u32 = 10_000;
/// Longest window of a limit of issuance: a year.
pub const RATE_WINDOW_MAX: Duration = Duration::from_hours(24 * 366);
/// Most RDNs, alternative names, requesters, groups or extensions in one list of a template.
pub const NAME_ENTRIES_MAX: usize = 256;
/// Most managers that a template can want, and most signatures.
const PEOPLE_MAX: usize = 16;

/// What the engine puts into every certificate by itself, and what has rules of its own.
const EXTENSIONS_NOT_TAKEN: [(ObjectIdentifier, &str); 9] = [
    (ObjectIdentifier::new_unwrap("2.5.29.19"), "holds basic constraints, which are the CA's own"),
    (
        ObjectIdentifier::new_unwrap("2.5.29.35"),
        "holds the authority key identifier, which is the CA's own",
    ),
    (
        ObjectIdentifier::new_unwrap("2.5.29.14"),
        "holds the subject key identifier, which is the CA's own",
    ),
    (
        ObjectIdentifier::new_unwrap("2.5.29.31"),
        "holds CRL distribution points, which are the CA's own",
    ),
    (
        ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.1"),
        "holds authority information access, which is the CA's own",
    ),
    (
        ObjectIdentifier::new_unwrap("2.5.29.17"),
        "holds alternative names, for which there is san_from_request",
    ),
    (
        ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.25.2"),
        "holds the security identifier, for which there is sid_from_request",
    ),
    (
        ObjectIdentifier::new_unwrap("2.5.29.37"),
        "holds extended key usages: whoever asks could sign for the CA's OCSP or ask for others; only \
         all_request_extensions of [template.dangerous] takes them",
    ),
    // Microsoft's application policies, which its clients read in the place of extended key usages.
    (
        ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.21.10"),
        "holds application policies, which are extended key usages of Microsoft's; only \
         all_request_extensions of [template.dangerous] takes them",
    ),
];

/// Why a template is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The name is not plain.
    #[error("template name {0:?} is not 1 to 64 characters of A-Z, a-z, 0-9, '-', '_' and '.'")]
    Name(String),
    /// The validity is out of range.
    #[error("template {0}: the validity is not between 1 day and 36525 days")]
    Validity(String),
    /// The backdating is out of range.
    #[error("template {0}: the backdating is longer than a day")]
    Backdate(String),
    /// No key usage.
    #[error("template {0}: no key usage is given")]
    NoKeyUsage(String),
    /// A key usage that only CA certificates have.
    #[error("template {0}: keyCertSign and cRLSign are for CA certificates, which need ca = true")]
    CaKeyUsage(String),
    /// CAs that may not sign certificates.
    #[error("template {0}: a CA needs the key usage keyCertSign")]
    CaWithoutCertSign(String),
    /// Nobody would have looked at who becomes a CA.
    #[error("template {0}: who becomes a CA is an officer's decision; it needs issue = \"hold\"")]
    CaAtOnce(String),
    /// Nothing identifies the holder.
    #[error("template {0}: the requester may give neither subject nor subject alternative name")]
    Nameless(String),
    /// Another setting.
    #[error("template {template}: {key} {rule}")]
    Setting {
        /// Name of the template.
        template: String,
        /// The key, as the configuration has it.
        key: &'static str,
        /// The rule that it breaks.
        rule: &'static str,
    },
}

const DAY: Duration = Duration::from_hours(24);
/// Longest validity: 100 years of 365.25 days, beyond any key that is made today.
const VALIDITY_MAX: Duration = Duration::from_hours(24 * 36_525);
/// Longest name of a template, in characters: as for exit modules.
const NAME_LENGTH_MAX: usize = 64;

impl Template {
    /// Checks a template as a whole.
    ///
    /// # Errors
    ///
    /// The first rule that it breaks.
    pub fn check(&self) -> Result<(), TemplateError> {
        self.mistakes().into_iter().next().map_or(Ok(()), Err)
    }

    /// Every rule that the template breaks.
    #[must_use]
    pub fn mistakes(&self) -> Vec<TemplateError> {
        let mut found = Vec::new();
        let name = || self.name.clone();
        let plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.');
        if self.name.is_empty()
            || NAME_LENGTH_MAX < self.name.len()
            || !self.name.chars().all(plain)
        {
            found.push(TemplateError::Name(name()));
        }
        if self.validity < DAY || VALIDITY_MAX < self.validity {
            found.push(TemplateError::Validity(name()));
        }
        if DAY < self.backdate {
            found.push(TemplateError::Backdate(name()));
        }
        if self.key_usage.is_empty() {
            found.push(TemplateError::NoKeyUsage(name()));
        }
        let signs = |it| self.key_usage.contains(it);
        match self.holder {
            Holder::EndEntity if signs(KeyUsage::KEY_CERT_SIGN) || signs(KeyUsage::CRL_SIGN) => {
                found.push(TemplateError::CaKeyUsage(name()));
            }
            Holder::Ca { .. } if !signs(KeyUsage::KEY_CERT_SIGN) => {
                found.push(TemplateError::CaWithoutCertSign(name()));
            }
            Holder::EndEntity | Holder::Ca { .. } => (),
        }
        if matches!(self.holder, Holder::Ca { .. }) && self.issuance == Issuance::AtOnce {
            found.push(TemplateError::CaAtOnce(name()));
        }
        let takes_names = !self.subject_allowed.is_empty() || !self.names_allowed.is_empty();
        let makes_names = !self.subject.build.is_empty() || !self.names.add.is_empty();
        let hears_names =
            self.dangerous.san_from_attributes || self.dangerous.subject_from_attributes;
        if !takes_names && !makes_names && !hears_names {
            found.push(TemplateError::Nameless(name()));
        }
        let settings = self.settings_at_fault();
        found.extend(settings.into_iter().map(|(key, rule)| TemplateError::Setting {
            template: name(),
            key,
            rule,
        }));
        found
    }

    /// Keys that break a rule, and which.
    fn settings_at_fault(&self) -> Vec<(&'static str, &'static str)> {
        let mut found = Vec::new();
        if self.approvals == 0 || PEOPLE_MAX < self.approvals {
            found.push(("approvals", "must be 1 to 16"));
        }
        if self.issuance == Issuance::AtOnce && (1 < self.approvals || !self.own_approval) {
            found.push(("approvals", "and own_approval are for templates with issue = \"hold\""));
        }
        if let (Some(from), Some(until)) = (self.valid_from, self.valid_until)
            && until <= from
        {
            found.push(("valid_until", "is not after valid_from"));
        }
        if self.renewal_window.is_some_and(|it| it < DAY || VALIDITY_MAX < it) {
            found.push(("renewal_days", "must be 1 to 36525"));
        }
        if let Some(rule) = &self.signatures {
            if rule.count == 0 || PEOPLE_MAX < rule.count {
                found.push(("signatures", "must be 0, for none, to 16"));
            }
            if rule.purposes.is_empty() && rule.policies.is_empty() {
                let rule = "needs signature_purposes or signature_policies: anybody with a \
                            certificate could sign";
                found.push(("signatures", rule));
            }
        }
        if RATE_LIMITS_MAX < self.rates.len() {
            found.push(("rate", "has more than 8 limits"));
        }
        for rate in &self.rates {
            if rate.certificates == 0 || RATE_CERTIFICATES_MAX < rate.certificates {
                found.push(("rate.certificates", "must be 1 to 10000"));
            }
            if rate.window < Duration::from_secs(1) || RATE_WINDOW_MAX < rate.window {
                found.push(("rate.window_s", "must be 1 to 31622400, which is 366 days"));
            }
        }
        for oid in &self.extensions_allowed {
            let refused = EXTENSIONS_NOT_TAKEN.iter().find(|(it, _)| it == oid);
            found.extend(refused.map(|(_, rule)| ("extensions_from_request", *rule)));
        }
        if self.sid.by_requester.iter().any(|(_, sid)| !is_sid(sid)) {
            found.push(("sid", "has a value that is not of the form S-1-5-21-1-2-3-500"));
        }
        let has_sid = self.sid.from_request || !self.sid.by_requester.is_empty();
        if self.sid.required && !has_sid {
            found.push(("sid_required", "needs sid_from_request or a table sid"));
        }
        if self.subject.separator.is_empty() {
            found.push(("subject_separator", "is empty"));
        }
        if self.names.add.iter().any(|it| !it.kind.is_text()) {
            found.push(("san_add", "can make no names of the kinds other, x400 and edi-party"));
        }
        let lists = [
            ("subject", self.subject.build.len()),
            ("san_add", self.names.add.len()),
            ("requesters", self.requesters.len()),
            ("groups", self.groups.len()),
            ("extensions_from_request", self.extensions_allowed.len()),
            ("sid", self.sid.by_requester.len()),
        ];
        let long = lists.into_iter().filter(|(_, len)| NAME_ENTRIES_MAX < *len);
        found.extend(long.map(|(key, _)| (key, "has more than 256 entries")));
        found
    }
}
