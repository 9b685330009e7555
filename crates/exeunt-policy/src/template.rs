//! What a template says, checked as a whole.

use std::time::Duration;

use exeunt_x509::{GeneralName, KeyUsage, ObjectIdentifier};

/// Who may use a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Only callers on the CA's own machine.
    Local,
    /// Everybody who was let in by a door.
    Authenticated,
}

/// What happens to an acceptable request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuance {
    /// The certificate is made at once.
    AtOnce,
    /// The request waits for an officer.
    Hold,
}

/// What a template does with requests that are signed with the certificate which they renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Takes them where they ask for the names of the old certificate and no others.
    SameNames,
    /// Takes them like any other request.
    AnyNames,
    /// Refuses them.
    Refuse,
}

/// Whether a template lets enrolment agents ask on behalf of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBehalf {
    /// It does.
    Allow,
    /// It does not.
    Refuse,
}

/// What holders of a template's certificates are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Anybody who is no CA.
    EndEntity,
    /// CAs below this one.
    Ca {
        /// How many CAs may stand between one of them and a certificate of an end entity
        /// (`pathLenConstraint`, RFC 5280, section 4.2.1.9); none sets no limit.
        path_length: Option<u8>,
    },
}

/// Kind of a subject alternative name that a requester may be allowed to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// A host name.
    Dns,
    /// An IP address.
    Ip,
    /// A mail address.
    Email,
    /// A URI.
    Uri,
}

impl NameKind {
    /// The kind with that name in `exeunt.toml`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "dns" => Some(Self::Dns),
            "ip" => Some(Self::Ip),
            "email" => Some(Self::Email),
            "uri" => Some(Self::Uri),
            _ => None,
        }
    }

    pub(crate) fn of(name: &GeneralName) -> Option<Self> {
        match name {
            GeneralName::Dns(_) => Some(Self::Dns),
            GeneralName::Ip(_) => Some(Self::Ip),
            GeneralName::Email(_) => Some(Self::Email),
            GeneralName::Uri(_) => Some(Self::Uri),
            GeneralName::Other { .. } => None,
        }
    }
}

/// An extended key usage by the name that `exeunt.toml` uses, or as a dotted OID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageName;

impl UsageName {
    /// The OID behind a name of RFC 5280, section 4.2.1.12, or behind a dotted OID.
    pub fn parse(name: &str) -> Option<ObjectIdentifier> {
        let dotted = match name {
            "serverAuth" => "1.3.6.1.5.5.7.3.1",
            "clientAuth" => "1.3.6.1.5.5.7.3.2",
            "codeSigning" => "1.3.6.1.5.5.7.3.3",
            "emailProtection" => "1.3.6.1.5.5.7.3.4",
            "timeStamping" => "1.3.6.1.5.5.7.3.8",
            "OCSPSigning" => "1.3.6.1.5.5.7.3.9",
            other => other,
        };
        ObjectIdentifier::new(dotted).ok()
    }
}

/// One kind of certificate that this CA issues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Name that requesters use: 1 to 64 characters of `A-Z`, `a-z`, `0-9`, `-`, `_` and `.`.
    pub name: String,
    /// How long its certificates are valid; a day at least, 100 years at most.
    pub validity: Duration,
    /// How far `notBefore` lies back, for clocks that are late; at most a day.
    pub backdate: Duration,
    /// Key usage. `keyEncipherment` is left out for keys that cannot encipher.
    pub key_usage: KeyUsage,
    /// Extended key usages.
    pub extended_key_usage: Vec<ObjectIdentifier>,
    /// Subject attributes that the requester may give, as dotted OIDs.
    pub subject_allowed: Vec<String>,
    /// Kinds of subject alternative names that the requester may give.
    pub names_allowed: Vec<NameKind>,
    /// Whether a common name that is a host name becomes a DNS name where the request has no
    /// subject alternative name.
    pub dns_from_common_name: bool,
    /// What happens to an acceptable request.
    pub issuance: Issuance,
    /// Who may use it.
    pub callers: Callers,
    /// What happens to renewals.
    pub renewal: Renewal,
    /// Whether agents may ask on behalf of others.
    pub on_behalf: OnBehalf,
    /// What the holders are.
    pub holder: Holder,
}

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
        let plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.');
        let name = self.name.clone();
        if name.is_empty() || NAME_LENGTH_MAX < name.len() || !name.chars().all(plain) {
            return Err(TemplateError::Name(name));
        }
        if self.validity < DAY || VALIDITY_MAX < self.validity {
            return Err(TemplateError::Validity(name));
        }
        if DAY < self.backdate {
            return Err(TemplateError::Backdate(name));
        }
        if self.key_usage.is_empty() {
            return Err(TemplateError::NoKeyUsage(name));
        }
        let signs = |it| self.key_usage.contains(it);
        match self.holder {
            Holder::EndEntity if signs(KeyUsage::KEY_CERT_SIGN) || signs(KeyUsage::CRL_SIGN) => {
                return Err(TemplateError::CaKeyUsage(name));
            }
            Holder::Ca { .. } if !signs(KeyUsage::KEY_CERT_SIGN) => {
                return Err(TemplateError::CaWithoutCertSign(name));
            }
            Holder::Ca { .. } if self.issuance == Issuance::AtOnce => {
                return Err(TemplateError::CaAtOnce(name));
            }
            Holder::EndEntity | Holder::Ca { .. } => (),
        }
        if self.subject_allowed.is_empty() && self.names_allowed.is_empty() {
            return Err(TemplateError::Nameless(name));
        }
        Ok(())
    }
}
