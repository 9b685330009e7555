//! What a template says. Whether that goes together is in `template/check.rs`.

mod check;
mod kind;

use std::time::Duration;

use exeunt_types::{KeyAlgorithm, TemplateFlags, UnixMillis};
use exeunt_x509::{KeyUsage, ObjectIdentifier};

use crate::pattern::Pattern;

pub use check::{
    NAME_ENTRIES_MAX, RATE_CERTIFICATES_MAX, RATE_LIMITS_MAX, RATE_WINDOW_MAX, TemplateError,
};
pub(crate) use kind::SID_URI_PREFIX;
pub use kind::{NameKind, UsageName};

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

/// What happens to parts of a subject, or to alternative names, that a template does not take from the
/// request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Others {
    /// The request is refused.
    #[default]
    Refuse,
    /// They are left out of the certificate.
    Ignore,
}

/// An attribute of a subject that the template makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPart {
    /// Its type, dotted.
    pub oid: String,
    /// Its value.
    pub value: Pattern,
}

/// How a subject is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectRule {
    /// Its RDNs in the order of the text form, the most specific one first; each is one attribute or
    /// several. None: the subject is what the request asks for.
    pub build: Vec<Vec<SubjectPart>>,
    /// Where a value is split into several RDNs of its type: a newline in the original.
    pub separator: String,
    /// Attributes of the request that it does not take.
    pub others: Others,
    /// Whether values keep to the original's lengths besides those of X.509.
    pub original_lengths: bool,
}

impl Default for SubjectRule {
    fn default() -> Self {
        Self {
            build: Vec::new(),
            separator: "\n".to_owned(),
            others: Others::Refuse,
            original_lengths: false,
        }
    }
}

/// An alternative name that the template makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameEntry {
    /// Its kind.
    pub kind: NameKind,
    /// Its text.
    pub value: Pattern,
}

/// How alternative names are made, beyond those of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamesRule {
    /// Names that are added.
    pub add: Vec<NameEntry>,
    /// Names of the request that it does not take.
    pub others: Others,
    /// Kinds of which each certificate has one.
    pub required: Vec<NameKind>,
}

/// Where the security identifier of a certificate comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SidRule {
    /// From the request, which can then name any account.
    pub from_request: bool,
    /// By the name of the requester; `*` stands for any characters.
    pub by_requester: Vec<(String, String)>,
    /// Whether a request for which there is none is refused.
    pub required: bool,
}

/// Signatures around a request that a template wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureRule {
    /// How many, each with another certificate of this CA.
    pub count: usize,
    /// Extended key usages, of which the certificate of each has all.
    pub purposes: Vec<ObjectIdentifier>,
    /// Issuance policies, of which the certificate of each has all.
    pub policies: Vec<ObjectIdentifier>,
}

/// What a limit of issuance counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RatePer {
    /// All certificates of the template.
    Template,
    /// Those of each requester.
    Requester,
}

/// A limit of issuance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateRule {
    /// Most certificates in a window.
    pub certificates: u32,
    /// Length of the window.
    pub window: Duration,
    /// What is counted together.
    pub per: RatePer,
}

/// Options by which a requester has a say in what the CA should say. All off, unless they are set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "switches of the original, each on its own")]
pub struct Dangerous {
    /// Alternative names in the attribute `SAN` (`EDITF_ATTRIBUTESUBJECTALTNAME2`).
    pub san_from_attributes: bool,
    /// The end of validity in attributes (`EDITF_ATTRIBUTEENDDATE`).
    pub end_date_from_attributes: bool,
    /// Extended key usages in the attribute `CertificateUsage` (`EDITF_ATTRIBUTEEKU`).
    pub eku_from_attributes: bool,
    /// All extensions of the request (`EDITF_ENABLEREQUESTEXTENSIONS`).
    pub all_request_extensions: bool,
    /// Parts of the subject in attributes (`CRLF_ALLOW_REQUEST_ATTRIBUTE_SUBJECT`).
    pub subject_from_attributes: bool,
}

impl Dangerous {
    /// The names of those that are on, as the configuration has them.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        let Self {
            san_from_attributes,
            end_date_from_attributes,
            eku_from_attributes,
            all_request_extensions,
            subject_from_attributes,
        } = self;
        let all = [
            ("san_from_attributes", san_from_attributes),
            ("end_date_from_attributes", end_date_from_attributes),
            ("eku_from_attributes", eku_from_attributes),
            ("all_request_extensions", all_request_extensions),
            ("subject_from_attributes", subject_from_attributes),
        ];
        all.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name).collect()
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
    /// No certificate is valid before that moment.
    pub valid_from: Option<UnixMillis>,
    /// No certificate is valid after that moment, and none is issued then.
    pub valid_until: Option<UnixMillis>,
    /// Key usage. `keyEncipherment` is left out for keys that cannot encipher.
    pub key_usage: KeyUsage,
    /// Extended key usages.
    pub extended_key_usage: Vec<ObjectIdentifier>,
    /// The smallest key of each algorithm that it takes; none: every key that the CA reads.
    pub key_minimum: Vec<KeyAlgorithm>,
    /// Subject attributes that the requester may give, as dotted OIDs.
    pub subject_allowed: Vec<String>,
    /// How the subject is made.
    pub subject: SubjectRule,
    /// Kinds of subject alternative names that the requester may give.
    pub names_allowed: Vec<NameKind>,
    /// How alternative names are made.
    pub names: NamesRule,
    /// Where a security identifier comes from.
    pub sid: SidRule,
    /// Whether a common name that is a host name becomes a DNS name where the request has no
    /// subject alternative name.
    pub dns_from_common_name: bool,
    /// Extensions that the requester may give.
    pub extensions_allowed: Vec<ObjectIdentifier>,
    /// What happens to an acceptable request.
    pub issuance: Issuance,
    /// How many managers have to approve a request that is held; one at least.
    pub approvals: usize,
    /// Whether whoever asked may be one of them.
    pub own_approval: bool,
    /// By which doors callers may come.
    pub callers: Callers,
    /// Names of callers who may ask; `*` stands for any characters. With [`Self::groups`] empty too,
    /// everybody may.
    pub requesters: Vec<String>,
    /// Groups whose members may ask.
    pub groups: Vec<String>,
    /// Signatures around the request.
    pub signatures: Option<SignatureRule>,
    /// What happens to renewals.
    pub renewal: Renewal,
    /// How long before the end of a certificate it may be renewed, at the earliest.
    pub renewal_window: Option<Duration>,
    /// Whether agents may ask on behalf of others.
    pub on_behalf: OnBehalf,
    /// What the holders are.
    pub holder: Holder,
    /// Limits of issuance.
    pub rates: Vec<RateRule>,
    /// Flags for modules to read, with the original's bits.
    pub flags: Option<TemplateFlags>,
    /// Options that are off, unless they are set.
    pub dangerous: Dangerous,
}

impl Template {
    /// A template that nobody from elsewhere may use, and that takes nothing from a request: what a
    /// table says that has nothing but a name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            validity: Duration::from_hours(24 * 365),
            backdate: Duration::from_mins(10),
            valid_from: None,
            valid_until: None,
            key_usage: KeyUsage::DIGITAL_SIGNATURE,
            extended_key_usage: Vec::new(),
            key_minimum: Vec::new(),
            subject_allowed: Vec::new(),
            subject: SubjectRule::default(),
            names_allowed: Vec::new(),
            names: NamesRule::default(),
            sid: SidRule::default(),
            dns_from_common_name: false,
            extensions_allowed: Vec::new(),
            issuance: Issuance::AtOnce,
            approvals: 1,
            own_approval: true,
            callers: Callers::Local,
            requesters: Vec::new(),
            groups: Vec::new(),
            signatures: None,
            renewal: Renewal::SameNames,
            renewal_window: None,
            on_behalf: OnBehalf::Refuse,
            holder: Holder::EndEntity,
            rates: Vec::new(),
            flags: None,
            dangerous: Dangerous::default(),
        }
    }
}
