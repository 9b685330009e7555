//! Step 1 as the engine sees it: a question, and a decision with a plan.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use exeunt_types::{OfficerExtension, RateLimit, Roles, StatusCode, TemplateFlags, UnixMillis};
use exeunt_x509::{
    Certificate, CertificationRequest, GeneralName, KeyUsage, Name, ObjectIdentifier,
};

use crate::access::ManagerScope;

/// Who asks, and by which door they came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Name for the record, for example `local:1000`, `token:admin` or `principal:alice`. Whoever comes
    /// in by different means has one name all the same.
    pub name: String,
    /// By what the caller was recognized, for example `token:laptop`; empty where the name says it.
    pub means: String,
    /// How the caller was let in.
    pub door: Door,
    /// What the caller may do.
    pub roles: Roles,
    /// Groups that the configuration puts the caller in; templates may ask for them.
    pub groups: Vec<String>,
    /// About whom a certificate manager decides; none for everybody.
    pub scope: Option<Arc<ManagerScope>>,
}

impl Caller {
    /// A caller with these rights, in no group and without limits.
    #[must_use]
    pub fn new(name: impl Into<String>, door: Door, roles: Roles) -> Self {
        let (means, groups) = (String::new(), Vec::new());
        Self { name: name.into(), means, door, roles, groups, scope: None }
    }

    /// Who, and by what: what the audit trail says.
    #[must_use]
    pub fn actor(&self) -> String {
        if self.means.is_empty() {
            return self.name.clone();
        }
        format!("{} by {}", self.name, self.means)
    }
}

/// How a caller was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// A Unix socket of the server, with a user behind it whom the system vouches for.
    Local,
    /// TCP from an address of this machine (127.0.0.0/8, `::1`).
    Loopback,
    /// TCP from elsewhere.
    Remote,
}

impl Door {
    /// The word for it, as rows keep it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Loopback => "loopback",
            Self::Remote => "remote",
        }
    }

    /// The door of that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Local, Self::Loopback, Self::Remote].into_iter().find(|it| it.word() == word)
    }

    /// Whether the caller is on the CA's own machine.
    #[must_use]
    pub fn is_on_this_machine(self) -> bool {
        matches!(self, Self::Local | Self::Loopback)
    }
}

/// What a policy decides on.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The request; its signature has been verified.
    pub request: &'a CertificationRequest,
    /// Request attributes, names without blanks and hyphens.
    pub attributes: &'a [(String, String)],
    /// Template that the requester named, if any.
    pub template: Option<&'a str>,
    /// Who asks.
    pub caller: &'a Caller,
    /// For whom an enrolment agent asks, if one does.
    pub on_behalf_of: Option<&'a str>,
    /// The certificate of this CA that is renewed, if one is: its key signed the request, and it held
    /// when the request came in.
    pub renewed: Option<&'a Certificate>,
    /// Who signed around the request with a certificate of this CA, whose signatures are good and whose
    /// certificates held when the request came in. The renewed certificate and an agent's are among them.
    pub signatures: &'a [Certificate],
    /// The certificate managers who approve it, by name, each once; the one who does it now comes last.
    pub approvals: &'a [String],
    /// Extensions that officers have set on it: each takes the place of what the plan has, or takes that
    /// out. A new request has none.
    pub officers: &'a [OfficerExtension],
    /// Whether it comes for the first time; `false` when an officer takes it up again.
    pub new_request: bool,
    /// The moment of admission.
    pub now: UnixMillis,
}

/// What a policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Issue at once.
    Issue(Box<Plan>),
    /// Keep it for an officer.
    Hold {
        /// Template that it was measured by.
        template: String,
        /// One line for the requester.
        message: String,
    },
    /// Do not issue.
    Refuse {
        /// Template that it was measured by; empty when none fits.
        template: String,
        /// Stable code for the requester's programs.
        code: &'static str,
        /// The original's number for the reason.
        status: StatusCode,
        /// One line for the requester; no internals.
        message: String,
    },
    /// It could not be decided: the request ends as failed, and nothing is issued.
    Fail {
        /// Template that it was measured by; empty when none fits.
        template: String,
        /// Why, as a number.
        status: StatusCode,
        /// Why, in one line for the operator.
        message: String,
    },
}

/// What the certificate will say, apart from what the engine adds (serial, issuer, key, SKI, AKI,
/// CDP, AIA).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Name of the template.
    pub template: String,
    /// Subject, perhaps empty.
    pub subject: Name,
    /// Subject alternative names, perhaps none.
    pub subject_alternative_names: Vec<GeneralName>,
    /// Key usage; at least one bit. With `keyCertSign` it is the certificate of a CA.
    pub key_usage: KeyUsage,
    /// Extended key usages; none leaves the extension out.
    pub extended_key_usage: Vec<ObjectIdentifier>,
    /// How long the certificate is valid from the moment of issuance on.
    pub validity: Duration,
    /// How far `notBefore` lies before the moment of issuance, for clocks that are late.
    pub backdate: Duration,
    /// Of a CA, how many CAs may stand between it and an end entity; none sets no limit.
    pub path_length: Option<u8>,
    /// The first moment of validity, where it is not [`Plan::backdate`] before issuance; never earlier
    /// than that.
    pub not_before: Option<UnixMillis>,
    /// The last moment of validity, where that is earlier than [`Plan::validity`] says.
    pub not_after: Option<UnixMillis>,
    /// Extensions beyond those above: one takes the place of that with its OID, or is added, or, where
    /// it is disabled, takes that out. What officers set comes after them.
    pub extensions: Vec<OfficerExtension>,
    /// Limits of issuance that the certificate counts against; the store holds them, whoever else issues
    /// at the same moment.
    pub limits: Vec<RateLimit>,
    /// Flags of the template, for modules to read.
    pub flags: Option<TemplateFlags>,
    /// Dangerous options that the plan makes use of, a line each: they go into the audit trail in the
    /// transaction of the intent.
    pub notes: Vec<String>,
}

impl Plan {
    /// A certificate of this kind, for this long from its issuance on, and nothing beyond that: no
    /// other names, no purposes, no backdating, no bounds, no limits.
    #[must_use]
    pub fn new(
        template: impl Into<String>,
        subject: Name,
        key_usage: KeyUsage,
        validity: Duration,
    ) -> Self {
        Self {
            template: template.into(),
            subject,
            subject_alternative_names: Vec::new(),
            key_usage,
            extended_key_usage: Vec::new(),
            validity,
            backdate: Duration::ZERO,
            path_length: None,
            not_before: None,
            not_after: None,
            extensions: Vec::new(),
            limits: Vec::new(),
            flags: None,
            notes: Vec::new(),
        }
    }
}

/// What a template wants of approvals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovalRule {
    /// How many managers have to approve; one or more.
    pub needed: usize,
    /// Whether whoever asked may be one of them.
    pub own: bool,
}

impl Default for ApprovalRule {
    fn default() -> Self {
        Self { needed: 1, own: true }
    }
}

/// A template as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateView {
    /// Its name.
    pub name: String,
    /// Whether it is that of requests which name none.
    pub is_default: bool,
    /// What it says, a key and a value each, in the order in which people read them.
    pub settings: Vec<(&'static str, String)>,
    /// Names of the dangerous options that are on.
    pub dangerous: Vec<&'static str>,
}

/// What one rule said about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleVerdict {
    /// Stable name of the rule, for example `key-size`.
    pub rule: String,
    /// What it said.
    pub verdict: Verdict,
    /// One line for people: what was asked, what is allowed.
    pub message: String,
}

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request keeps the rule.
    Pass,
    /// The request is refused.
    Refuse,
    /// The request waits for officers.
    Hold,
    /// The rule does not apply to the request, or was not reached.
    NotApplied,
}

/// What a policy makes of a request that is only tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsal {
    /// What every rule says, in the order in which they are asked.
    pub verdicts: Vec<RuleVerdict>,
    /// What all of them together say.
    pub decision: Decision,
    /// What would be issued, at once or after approval; none where nothing would be, or where that is
    /// not known before somebody has approved.
    pub plan: Option<Plan>,
}

/// Decides what becomes of a request. Exactly one is active.
///
/// Called on a worker thread with no transaction open.
pub trait Policy: fmt::Debug + Send + Sync {
    /// Decides. The same question may be asked again after a crash.
    fn decide(&self, asked: &Asked<'_>) -> Decision;

    /// Decides about a request that is only tried: nothing is counted, written or told.
    fn consider(&self, asked: &Asked<'_>) -> Decision {
        self.decide(asked)
    }

    /// What would be issued once enough managers have approved a request that is held; none where it
    /// would not be issued then either.
    fn plan_if_approved(&self, asked: &Asked<'_>) -> Option<Plan> {
        let needed = self.approval_rule(asked.template).needed;
        let approvals: Vec<String> = (1..=needed).map(|it| format!("manager {it}")).collect();
        let approved = Asked { approvals: &approvals, new_request: false, ..*asked };
        match self.consider(&approved) {
            Decision::Issue(plan) => Some(*plan),
            Decision::Hold { .. } | Decision::Refuse { .. } | Decision::Fail { .. } => None,
        }
    }

    /// Everything that is wanted of a request that is only tried, at once, so that a policy which asks
    /// somebody else need not ask again for each part of it.
    fn rehearse(&self, asked: &Asked<'_>) -> Rehearsal {
        let verdicts = self.explain(asked);
        let decision = self.consider(asked);
        let plan = match &decision {
            Decision::Issue(plan) => Some(Plan::clone(plan)),
            Decision::Hold { .. } => self.plan_if_approved(asked),
            Decision::Refuse { .. } | Decision::Fail { .. } => None,
        };
        Rehearsal { verdicts, decision, plan }
    }

    /// What the template of a request wants of approvals. Without templates it is one, by anybody.
    fn approval_rule(&self, _template: Option<&str>) -> ApprovalRule {
        ApprovalRule::default()
    }

    /// Whether a template wants signatures around a request by others than those who renew or are
    /// agents. Where it does not, such a signature is refused.
    fn wants_signatures(&self, _template: Option<&str>) -> bool {
        false
    }

    /// The templates, as they are shown; none where a policy has none.
    fn templates(&self) -> Vec<TemplateView> {
        Vec::new()
    }

    /// Says what each rule makes of a request, without counting it. A policy that has no rules of its
    /// own to name gives its one decision.
    fn explain(&self, asked: &Asked<'_>) -> Vec<RuleVerdict> {
        let (verdict, message) = match self.consider(asked) {
            Decision::Issue(plan) => (Verdict::Pass, format!("template {}", plan.template)),
            Decision::Hold { message, .. } => (Verdict::Hold, message),
            Decision::Refuse { message, .. } | Decision::Fail { message, .. } => {
                (Verdict::Refuse, message)
            }
        };
        vec![RuleVerdict { rule: "policy".to_owned(), verdict, message }]
    }
}
