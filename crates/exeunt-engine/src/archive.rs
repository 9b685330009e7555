//! Key archival: a private key that comes with a request, encrypted to the CA's exchange certificate, is
//! opened, compared with the request, and encrypted to recovery agents before anything is written.
//!
//! The key is in the clear in memory between the two and nowhere else. What is written can be opened by
//! the agents, and not by the CA. The exchange certificate is in `exchange.rs`; how a key comes back is
//! in `recovery.rs`.

pub(crate) mod exchange;
pub(crate) mod recovery;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use exeunt_keys::{KeyError, OpeningKey, Sealed, SigningKey as _, SoftwareKey};
use exeunt_types::{
    ArchivedKey, AuditNote, Disposition, KeyAlgorithm, RequestFlags, StatusCode, UnixMillis,
};
use exeunt_x509::{
    BroughtKey, Certificate, CertificationRequest, Envelope, EnvelopeError, KEY_RECOVERY_AGENT,
    Recipient, SignerIdentifier, SubmittedRequest, certificate_hash, decode_pem_or_der,
    parse_certificate, parse_envelope,
};

use crate::engine::{Engine, EngineError};
use crate::enroll::Enrolment;
use crate::error::Blame;
use crate::journey::Admitted;
use crate::policy::{Caller, Decision};
use exchange::Exchange;

/// Most recovery agents of one CA.
pub const RECOVERY_AGENTS_MAX: usize = 16;
/// Shortest RSA key of a recovery agent, in bits: what it protects is kept for years.
pub const RECOVERY_AGENT_BITS_MIN: u32 = 2048;
/// How long before an agent's certificate ends the operator is warned.
pub const RECOVERY_AGENT_WARNING: std::time::Duration = std::time::Duration::from_hours(30 * 24);

/// What a template says of private keys that come with requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArchiveRule {
    /// The key has to come, and is archived.
    Require,
    /// A key that comes is archived.
    Allow,
    /// A key must not come.
    #[default]
    Refuse,
}

/// How keys are archived. By default, none is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyArchivalSettings {
    /// The recovery agents' certificates, DER or PEM.
    pub agents: Vec<Vec<u8>>,
    /// To how many of them each key is encrypted; they take turns.
    pub agents_used: usize,
    /// What templates say, by name; one that is not here refuses keys.
    pub templates: BTreeMap<String, ArchiveRule>,
}

impl KeyArchivalSettings {
    /// Reads the agents' certificates and checks the whole.
    ///
    /// # Errors
    ///
    /// Which rule is broken, as a clause.
    pub fn check(&self) -> Result<Vec<RecoveryAgent>, String> {
        let Self { agents, agents_used, templates } = self;
        let agents = agents
            .iter()
            .map(|it| RecoveryAgent::read(it))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|why| format!("a recovery agent's certificate cannot be used: {why}"))?;
        check(&agents, *agents_used, templates).map(|()| agents)
    }
}

/// A recovery agent, checked.
#[derive(Clone, Debug)]
pub struct RecoveryAgent {
    certificate: Certificate,
    hash: String,
}

impl RecoveryAgent {
    /// The agent's certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// SHA-1 of the certificate, in hexadecimal.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Whether the certificate holds at that moment.
    #[must_use]
    pub fn is_valid(&self, now: UnixMillis) -> bool {
        let now = now.unix_seconds();
        self.certificate.not_before() <= now && now <= self.certificate.not_after()
    }

    /// Whether the certificate ends so soon that somebody must do something.
    #[must_use]
    pub fn ends_soon(&self, now: UnixMillis) -> bool {
        self.certificate.not_after() < now.plus(RECOVERY_AGENT_WARNING).unix_seconds()
    }

    /// Reads and checks an agent's certificate, DER or PEM.
    ///
    /// # Errors
    ///
    /// Which rule it breaks, as a clause.
    pub fn read(input: &[u8]) -> Result<Self, String> {
        let der = decode_pem_or_der(input, &["CERTIFICATE"]).map_err(|err| err.to_string())?;
        let certificate = parse_certificate(&der).map_err(|err| err.to_string())?;
        if !certificate.extended_key_usages().contains(&KEY_RECOVERY_AGENT) {
            return Err(format!("it has not the extended key usage {KEY_RECOVERY_AGENT}"));
        }
        match certificate.key() {
            KeyAlgorithm::Rsa { bits } if RECOVERY_AGENT_BITS_MIN <= bits => {}
            other => {
                let least = RECOVERY_AGENT_BITS_MIN;
                let other = other.name();
                return Err(format!("its key is {other}, and RSA with {least} bits is the least"));
            }
        }
        let hash = exeunt_types::hexadecimal(&certificate_hash(certificate.der()));
        Ok(Self { certificate, hash })
    }
}

/// What the engine has of it.
#[derive(Debug, Default)]
pub(crate) struct KeyArchival {
    agents: Vec<RecoveryAgent>,
    agents_used: usize,
    templates: BTreeMap<String, ArchiveRule>,
    /// Whose turn it is.
    turn: AtomicUsize,
    exchange: Mutex<Exchange>,
}

impl KeyArchival {
    fn is_on(&self) -> bool {
        !self.agents.is_empty()
    }

    fn rule(&self, template: &str) -> ArchiveRule {
        self.templates.get(template).copied().unwrap_or_default()
    }
}

/// The private key of a request, as far as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum EnclosedKey {
    /// None came.
    #[default]
    None,
    /// Somebody signed that it comes, and it did not.
    Lost,
    /// It came, and nobody has looked at it.
    Brought(BroughtKey),
    /// It was opened and is encrypted to agents.
    Sealed(ArchivedKey),
    /// It is in the store.
    Kept,
}

impl EnclosedKey {
    /// The one that came in a message.
    pub(crate) fn brought(submitted: &SubmittedRequest) -> Self {
        match submitted.brought_key() {
            Some(key) => Self::Brought(key.clone()),
            None if submitted.has_key_hash() => Self::Lost,
            None => Self::None,
        }
    }

    /// What the row of a request says that was kept.
    pub(crate) fn kept(flags: RequestFlags) -> Self {
        if flags.contains(RequestFlags::VALID_ENCRYPTED_KEY_HASH) { Self::Kept } else { Self::None }
    }

    /// What the row of the request says of it.
    pub(crate) fn flags(&self) -> RequestFlags {
        match self {
            Self::None | Self::Lost | Self::Brought(_) => RequestFlags::default(),
            Self::Sealed(_) | Self::Kept => RequestFlags::VALID_ENCRYPTED_KEY_HASH,
        }
    }

    /// What goes into the commit of the request.
    pub(crate) fn to_keep(&self, at: UnixMillis) -> Option<(ArchivedKey, UnixMillis)> {
        match self {
            Self::Sealed(key) => Some((key.clone(), at)),
            Self::None | Self::Lost | Self::Brought(_) | Self::Kept => None,
        }
    }

    /// What the audit trail says of it.
    pub(crate) fn note(&self, by: &Caller, at: UnixMillis) -> Option<AuditNote> {
        let Self::Sealed(key) = self else { return None };
        let detail = format!("encrypted to {}", key.agents.join(", "));
        Some(AuditNote { at, actor: by.actor(), action: "key-archive".to_owned(), detail })
    }
}

/// Why a private key that came with a request is not archived. Every message is for the requester.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveRefusal {
    /// Somebody signed that the key comes along, and it did not: it was taken out on the way.
    #[error("the request says that its private key comes along, and it did not")]
    Lost,
    /// Nobody signed the hash of the encrypted key.
    #[error("the hash of the encrypted private key is not in the request")]
    HashMissing,
    /// Somebody signed another hash.
    #[error("the encrypted private key is not the one whose hash is in the request")]
    HashMismatch,
    /// It is no encrypted message, or one that is not taken.
    #[error("the encrypted private key cannot be read: {0}")]
    Envelope(#[from] EnvelopeError),
    /// It is encrypted to somebody else, or to an exchange certificate of before.
    #[error("the private key is not encrypted to the CA's current exchange certificate")]
    NotForUs,
    /// It does not open, is no key, or is that of another request. Deliberately one refusal: who could
    /// tell them apart could have us decrypt what they caught.
    #[error("the private key cannot be opened, or is not that of the request")]
    Unusable,
    /// Fewer recovery agents' certificates hold than each key is encrypted to.
    #[error("too few recovery agents have certificates that hold")]
    Agents,
    /// Encrypting it to the agents failed.
    #[error("the private key could not be encrypted to the recovery agents")]
    Sealing,
}

impl ArchiveRefusal {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Lost => "archived-key-lost",
            Self::HashMissing => "archived-key-hash-missing",
            Self::HashMismatch => "archived-key-hash",
            Self::Envelope(err) => err.code(),
            Self::NotForUs => "exchange-certificate-not-current",
            Self::Unusable => "archived-key-unusable",
            Self::Agents => "recovery-agents-not-valid",
            Self::Sealing => "archived-key-sealing",
        }
    }

    /// The original's number.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Agents => StatusCode::NO_VALID_KRA,
            Self::Sealing => StatusCode::FAIL,
            _ => StatusCode::BAD_REQUEST_KEY_ARCHIVAL,
        }
    }

    /// Whose move it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Agents | Self::Sealing => Blame::Operator,
            _ => Blame::Requester,
        }
    }
}

impl Engine {
    /// The same engine with keys archived as `settings` say.
    ///
    /// # Errors
    ///
    /// [`EngineError::KeyArchival`] with the rule that they break.
    pub fn with_key_archival(mut self, settings: KeyArchivalSettings) -> Result<Self, EngineError> {
        let agents = settings.check().map_err(|rule| EngineError::KeyArchival { rule })?;
        let KeyArchivalSettings { agents: _, agents_used, templates } = settings;
        self.key_archival =
            KeyArchival { agents, agents_used, templates, ..KeyArchival::default() };
        Ok(self)
    }

    /// The recovery agents.
    pub fn recovery_agents(&self) -> &[RecoveryAgent] {
        &self.key_archival.agents
    }

    /// Whether that agent may be encrypted to: its certificate holds and, where it is one of this CA's,
    /// is not revoked.
    pub fn is_agent_usable(&self, agent: &RecoveryAgent, now: UnixMillis) -> bool {
        agent.is_valid(now) && !self.is_own_and_revoked(&agent.certificate)
    }

    fn is_own_and_revoked(&self, certificate: &Certificate) -> bool {
        let found = self.store.certificate(&certificate.serial()).ok().flatten();
        let Some(own) = found.filter(|it| it.certificate.raw == certificate.der()) else {
            return false;
        };
        let row = self.store.request(own.request).ok().flatten();
        row.is_some_and(|it| it.disposition == Disposition::Revoked)
    }

    /// What a template says of private keys.
    pub(crate) fn archive_rule(&self, template: &str) -> ArchiveRule {
        self.key_archival.rule(template)
    }

    /// Step 1: what the policy decides, and what becomes of the key then.
    pub(crate) fn decide(&self, admitted: &mut Admitted) -> Result<Decision, ArchiveRefusal> {
        let decision = self.policy.decide(&admitted.asked());
        let Admitted { enrolment, request, now, .. } = admitted;
        self.settle_key(decision, enrolment, request, *now)
    }

    /// After the policy has decided: refuses a key that the template does not archive, and a request
    /// without the key that it wants; opens the one that is to be archived.
    fn settle_key(
        &self,
        decision: Decision,
        enrolment: &mut Enrolment,
        request: &CertificationRequest,
        now: UnixMillis,
    ) -> Result<Decision, ArchiveRefusal> {
        let template = match &decision {
            Decision::Issue(plan) => &plan.template,
            Decision::Hold { template, .. } => template,
            Decision::Refuse { .. } | Decision::Fail { .. } => return Ok(decision),
        };
        match (self.key_archival.rule(template), &enrolment.key) {
            (_, EnclosedKey::Lost) => Err(ArchiveRefusal::Lost),
            (ArchiveRule::Require, EnclosedKey::None) => Ok(Decision::Refuse {
                template: template.clone(),
                code: "archived-key-required",
                status: StatusCode::ARCHIVED_KEY_REQUIRED,
                message: "the template has private keys archived, and none came".to_owned(),
            }),
            (ArchiveRule::Refuse, EnclosedKey::Brought(_) | EnclosedKey::Kept) => {
                Ok(Decision::Refuse {
                    template: template.clone(),
                    code: "archived-key-unexpected",
                    status: StatusCode::ARCHIVED_KEY_UNEXPECTED,
                    message: "a private key came, and the template does not archive it".to_owned(),
                })
            }
            (ArchiveRule::Require | ArchiveRule::Allow, EnclosedKey::Brought(brought)) => {
                match brought.has_good_hash() {
                    None => return Err(ArchiveRefusal::HashMissing),
                    Some(false) => return Err(ArchiveRefusal::HashMismatch),
                    Some(true) => {}
                }
                let sealed = self.reseal(brought.envelope(), request.spki_der(), now)?;
                enrolment.key = EnclosedKey::Sealed(sealed);
                Ok(decision)
            }
            _ => Ok(decision),
        }
    }

    /// Opens a private key that is encrypted to the exchange certificate, and encrypts it to agents, if
    /// it belongs to that public key.
    fn reseal(
        &self,
        envelope: &[u8],
        spki_der: &[u8],
        now: UnixMillis,
    ) -> Result<ArchivedKey, ArchiveRefusal> {
        let envelope = parse_envelope(envelope)?;
        let keys = self.exchange_keys(now);
        let mut pairs = keys.iter().flat_map(|key| {
            let recipients = envelope.recipients.iter();
            recipients.filter(|it| it.certificate.names(key.certificate())).map(move |it| (key, it))
        });
        let (key, recipient) = pairs.next().ok_or(ArchiveRefusal::NotForUs)?;
        let opened =
            key.opener().open(&sealed(&envelope, recipient)).ok_or(ArchiveRefusal::Unusable)?;
        if opened.public_key_der() != spki_der {
            return Err(ArchiveRefusal::Unusable);
        }
        self.seal_for_agents(&opened, now)
    }

    /// Encrypts a key to those agents whose turn it is.
    fn seal_for_agents(
        &self,
        key: &SoftwareKey,
        now: UnixMillis,
    ) -> Result<ArchivedKey, ArchiveRefusal> {
        let KeyArchival { agents, agents_used, turn, .. } = &self.key_archival;
        let start = turn.fetch_add(1, Ordering::Relaxed) % agents.len().max(1);
        let in_turn = agents.iter().cycle().skip(start).take(agents.len());
        let chosen: Vec<&RecoveryAgent> =
            in_turn.filter(|it| self.is_agent_usable(it, now)).take(*agents_used).collect();
        if chosen.is_empty() || chosen.len() < *agents_used {
            tracing::error!(wanted = agents_used, "too few recovery agents can be encrypted to");
            return Err(ArchiveRefusal::Agents);
        }
        let failed = |err: KeyError| {
            tracing::error!(code = err.code(), error = %err, "a key was not sealed for its agents");
            ArchiveRefusal::Sealing
        };
        let certificates = chosen.iter().map(|it| it.certificate());
        let blob = seal_key(key, certificates).map_err(failed)?;
        Ok(ArchivedKey { agents: chosen.iter().map(|it| it.hash.clone()).collect(), blob })
    }
}

/// Encrypts a private key to the RSA keys of certificates: a CMS message, DER. Clients do the same for the
/// exchange certificate as the CA for recovery agents.
///
/// # Errors
///
/// [`KeyError`]; one of them has no RSA key, or there is no randomness.
pub fn seal_key<'a>(
    key: &SoftwareKey,
    certificates: impl IntoIterator<Item = &'a Certificate>,
) -> Result<Vec<u8>, KeyError> {
    let sealed = key.seal()?;
    let mut recipients = Vec::new();
    for certificate in certificates {
        let (transport, encrypted_key) = sealed.wrap_for(certificate.spki_der())?;
        let certificate = SignerIdentifier::of(certificate);
        recipients.push(Recipient { certificate, transport, encrypted_key });
    }
    let envelope = Envelope {
        recipients,
        cipher: sealed.cipher(),
        iv: sealed.iv(),
        content: sealed.content().to_vec(),
    };
    Ok(envelope.to_der())
}

/// Opens a private key that one of its recipients holds the key of; none where none of them opens, or
/// what is inside is no private key.
#[must_use]
pub fn open_key(opener: &OpeningKey, envelope: &Envelope) -> Option<SoftwareKey> {
    envelope.recipients.iter().find_map(|recipient| opener.open(&sealed(envelope, recipient)))
}

fn sealed<'a>(envelope: &'a Envelope, recipient: &'a Recipient) -> Sealed<'a> {
    Sealed {
        transport: recipient.transport,
        encrypted_key: &recipient.encrypted_key,
        cipher: envelope.cipher,
        iv: &envelope.iv,
        content: &envelope.content,
    }
}

/// Whether agents and templates go together; the rule that is broken, as a clause.
fn check(
    agents: &[RecoveryAgent],
    agents_used: usize,
    templates: &BTreeMap<String, ArchiveRule>,
) -> Result<(), String> {
    let archives = |rule: &ArchiveRule| *rule != ArchiveRule::Refuse;
    if agents.is_empty() {
        return match templates.iter().find(|(_, rule)| archives(rule)) {
            Some((name, _)) => {
                Err(format!("template {name:?} archives keys, and there is no recovery agent"))
            }
            None => Ok(()),
        };
    }
    if RECOVERY_AGENTS_MAX < agents.len() {
        return Err(format!("there are more than {RECOVERY_AGENTS_MAX} recovery agents"));
    }
    for (place, agent) in agents.iter().enumerate() {
        if agents[..place].iter().any(|it| it.hash == agent.hash) {
            return Err(format!(
                "a recovery agent is named twice: {}",
                agent.certificate.subject()
            ));
        }
    }
    if agents_used == 0 || agents.len() < agents_used {
        let count = agents.len();
        return Err(format!("keys are encrypted to {agents_used} of {count} recovery agents"));
    }
    Ok(())
}
