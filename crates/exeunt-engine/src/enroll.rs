//! Step 0 for requests in messages: who signed around the request, and what follows from it.
//!
//! Whoever signs with a certificate of this CA renews it, or holds an enrolment agent's and asks on
//! behalf of another. This is looked at when the request comes in, and recorded: who takes the request
//! up again later finds it in the row and does not depend on certificates that have ended since, unless
//! a signer's key may have been stolen. Whether a template takes such requests is the policy's to say.

use exeunt_keys::verify;
use exeunt_store::StoreError;
use exeunt_types::{
    Disposition, RequestFlags, RequestId, RequestType, RevocationReason, StatusCode, UnixMillis,
};
use exeunt_x509::{
    Certificate, ENROLLMENT_AGENT, SignedLayer, Signer, SignerKey, SubmittedRequest,
    parse_certificate,
};

use crate::archive::EnclosedKey;
use crate::attributes::{check, merge_attributes};
use crate::engine::Engine;
use crate::error::SubmitError;

/// Name of the request attribute that asks for a template, as the original has it.
const TEMPLATE_ATTRIBUTE: &str = "CertificateTemplate";
/// Name of the attribute in which an enrolment agent says for whom they ask (MS-WCCE, section
/// 2.2.1.1.1).
const REQUESTER_ATTRIBUTE: &str = "RequesterName";
/// Longest name of a requester, in bytes: the original's column `RequesterName`.
pub const REQUESTER_NAME_BYTES_MAX: usize = 2048;

/// Why what was signed around a request is not believed. Every message is for the requester to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageRefusal {
    /// A signature on the message does not verify.
    #[error("a signature on the message around the request does not verify")]
    BadSignature,
    /// A signer's certificate is not in the message.
    #[error("the certificate of a signer did not come with the message")]
    SignerMissing,
    /// A signer's certificate is none that this CA has issued.
    #[error("the certificate of a signer is not one that this CA has issued")]
    SignerUnknown,
    /// A signer's certificate is revoked, for good or on hold.
    #[error("the certificate of a signer is revoked")]
    SignerRevoked,
    /// A signer's certificate is not valid now.
    #[error("the certificate of a signer is not valid now")]
    SignerExpired,
    /// Somebody asks on behalf of another who is no enrolment agent.
    #[error("who asks on behalf of another did not sign with an enrolment agent's certificate")]
    NotAgent,
    /// An agent's signature is inside of what others signed, and does not cover all that is asked.
    #[error("the enrolment agent did not sign the outermost message")]
    AgentInside,
    /// Two signers name two requesters, or renew two certificates.
    #[error("the signers of the message do not say the same")]
    Contradiction,
    /// The name of the requester is longer than [`REQUESTER_NAME_BYTES_MAX`].
    #[error("the name of the requester is longer than 2048 bytes")]
    RequesterTooLong,
    /// The certificate that is to be renewed did not sign.
    #[error("the message is not signed with the certificate that it says is renewed")]
    RenewalUnproven,
    /// A certificate of this CA signed that is neither renewed nor an agent's.
    #[error("somebody signed who neither renews a certificate nor asks on behalf of another")]
    SignerUnneeded,
    /// Nobody signed what is added to the request.
    #[error("nobody signed the message that adds to the request")]
    ControlsUnsigned,
}

impl MessageRefusal {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::BadSignature => "request-message-bad-signature",
            Self::SignerMissing => "request-signer-missing",
            Self::SignerUnknown => "request-signer-unknown",
            Self::SignerRevoked => "request-signer-revoked",
            Self::SignerExpired => "request-signer-expired",
            Self::NotAgent => "request-signer-not-agent",
            Self::AgentInside => "request-agent-inside",
            Self::Contradiction => "request-signers-contradict",
            Self::RequesterTooLong => "request-requester-too-long",
            Self::RenewalUnproven => "request-renewal-unproven",
            Self::SignerUnneeded => "request-signer-unneeded",
            Self::ControlsUnsigned => "request-controls-unsigned",
        }
    }

    /// The original's number.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadSignature | Self::ControlsUnsigned => StatusCode::BAD_SIGNATURE,
            Self::SignerUnknown => StatusCode::UNTRUSTED_ROOT,
            Self::SignerRevoked => StatusCode::SIGNER_REVOKED,
            Self::SignerExpired => StatusCode::SIGNER_EXPIRED,
            Self::RenewalUnproven => StatusCode::BAD_RENEWAL,
            Self::SignerMissing
            | Self::NotAgent
            | Self::AgentInside
            | Self::Contradiction
            | Self::RequesterTooLong
            | Self::SignerUnneeded => StatusCode::SIGNATURE_REJECTED,
        }
    }
}

/// What the message around a request comes to.
#[derive(Debug)]
pub(crate) struct Enrolment {
    pub(crate) request_type: RequestType,
    /// The message; none around a plain request, and none where it is in the row already.
    pub(crate) message: Option<Vec<u8>>,
    /// For whom an agent asks.
    pub(crate) on_behalf_of: Option<String>,
    /// The certificate that is renewed.
    pub(crate) renewed: Option<Certificate>,
    /// The template that it was issued from.
    pub(crate) renewed_template: Option<String>,
    /// The certificates of all who signed around it, each once.
    pub(crate) signatures: Vec<Certificate>,
    /// The private key that came along.
    pub(crate) key: EnclosedKey,
    /// Why nothing of this is to be believed.
    pub(crate) refusal: Option<MessageRefusal>,
}

impl Enrolment {
    /// Of a request that nothing is around.
    pub(crate) fn plain() -> Self {
        Self {
            request_type: RequestType::Pkcs10,
            message: None,
            on_behalf_of: None,
            renewed: None,
            renewed_template: None,
            signatures: Vec::new(),
            key: EnclosedKey::None,
            refusal: None,
        }
    }

    /// What was found when the request came in, out of its row.
    pub(crate) fn recorded(row: &exeunt_types::NewRequest) -> Self {
        let agent = row.flags.contains(RequestFlags::ENROLL_ON_BEHALF_OF);
        Self {
            request_type: row.request_type,
            on_behalf_of: agent.then(|| row.requester.clone()),
            renewed: row.old_certificate.as_deref().and_then(|it| parse_certificate(it).ok()),
            key: EnclosedKey::kept(row.flags),
            ..Self::plain()
        }
    }

    pub(crate) fn flags(&self) -> RequestFlags {
        let none = RequestFlags::default();
        let renewal = if self.renewed.is_some() { RequestFlags::RENEWAL } else { none };
        let agent = self.on_behalf_of.as_ref().map(|_| RequestFlags::ENROLL_ON_BEHALF_OF);
        renewal.with(agent.unwrap_or(none)).with(self.key.flags())
    }
}

/// Attributes that came beside a signed message must not say otherwise than those inside.
///
/// # Errors
///
/// Those of either that are not acceptable; and a contradiction.
pub(crate) fn merge_signed(
    inside: &[(String, String)],
    beside: &[(String, String)],
) -> Result<Vec<(String, String)>, SubmitError> {
    let unacceptable = |source| SubmitError::Attributes { source };
    let signed = merge_attributes(inside, &[]).map_err(unacceptable)?;
    for (name, value) in &merge_attributes(&[], beside).map_err(unacceptable)? {
        let same = |(it, _): &&(String, String)| it.eq_ignore_ascii_case(name);
        if signed.iter().find(same).is_some_and(|(_, said)| said != value) {
            return Err(SubmitError::AttributeSigned { name: name.clone() });
        }
    }
    merge_attributes(&signed, beside).map_err(unacceptable)
}

/// The template that was named, directly or by attribute. Two different ones are a mistake that
/// must not be decided by guessing.
pub(crate) fn choose_template(
    option: Option<String>,
    attributes: &[(String, String)],
) -> Result<Option<String>, SubmitError> {
    let named = attributes.iter().find(|(name, _)| name.eq_ignore_ascii_case(TEMPLATE_ATTRIBUTE));
    if let Some(option) = &option {
        // It goes where the attribute goes: into the row, and before exit modules.
        check(TEMPLATE_ATTRIBUTE, option).map_err(|source| SubmitError::Attributes { source })?;
    }
    match (option, named) {
        (Some(option), Some((_, attribute))) if option != *attribute => {
            Err(SubmitError::TemplateConflict { option, attribute: attribute.clone() })
        }
        (Some(option), _) => Ok(Some(option)),
        (None, named) => Ok(named.map(|(_, value)| value.clone())),
    }
}

/// What the signers of a message say, as far as they were looked at.
#[derive(Debug, Default)]
struct Said {
    on_behalf_of: Option<String>,
    renewed: Option<(Certificate, String)>,
    signatures: Vec<Certificate>,
    /// Whether others may sign than those who renew or are agents.
    wants_signatures: bool,
}

/// Trouble of ours, or of the message.
enum Trouble {
    Refused(MessageRefusal),
    Store(StoreError),
}

impl From<MessageRefusal> for Trouble {
    fn from(refusal: MessageRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Trouble {
    fn from(err: StoreError) -> Self {
        Self::Store(err)
    }
}

impl Engine {
    /// Looks at all signatures around a request and at those who made them. That of the request
    /// itself is verified with every request's. Whether others than those who renew or are agents may
    /// sign, the template says.
    pub(crate) fn examine(
        &self,
        submitted: &SubmittedRequest,
        wants_signatures: bool,
        now: UnixMillis,
    ) -> Result<Enrolment, SubmitError> {
        let mut enrolment =
            Enrolment { request_type: submitted.request_type(), ..Enrolment::plain() };
        if submitted.layers().is_empty() {
            return Ok(enrolment);
        }
        enrolment.message = Some(submitted.der().to_vec());
        enrolment.key = EnclosedKey::brought(submitted);
        match self.hear_signers(submitted, wants_signatures, now) {
            Ok(Said { on_behalf_of, renewed, signatures, .. }) => {
                enrolment.on_behalf_of = on_behalf_of;
                enrolment.signatures = signatures;
                (enrolment.renewed, enrolment.renewed_template) = renewed.unzip();
                // One that was imported is of no template.
                enrolment.renewed_template = enrolment.renewed_template.filter(|it| !it.is_empty());
            }
            Err(Trouble::Refused(refusal)) => enrolment.refusal = Some(refusal),
            Err(Trouble::Store(source)) => {
                return Err(SubmitError::Store { action: "looking up a signer", source });
            }
        }
        Ok(enrolment)
    }

    /// Looks at the signers of a request that waited once more: whether one of their keys may have been
    /// in other hands when it signed. Certificates that ended in an orderly way are no hindrance. Gives
    /// the signers' certificates, each once.
    pub(crate) fn examine_again(
        &self,
        request: RequestId,
        submitted: &SubmittedRequest,
    ) -> Result<Vec<Certificate>, SubmitError> {
        let mut signatures = Vec::new();
        let failed = |source| SubmitError::Store { action: "looking up a signer", source };
        let signers = submitted.layers().iter().flat_map(SignedLayer::signers);
        for certificate in signers.filter_map(Signer::certificate) {
            let issued = self.store.certificate(&certificate.serial()).map_err(failed)?;
            let Some(issued) = issued.filter(|it| it.certificate.raw == certificate.der()) else {
                continue;
            };
            let row = self.store.request(issued.request).map_err(failed)?;
            let revoked = row.filter(|it| it.disposition == Disposition::Revoked);
            let reason = revoked.map(|it| it.revocation.and_then(|it| it.reason));
            if reason.is_some_and(|it| !it.is_some_and(is_orderly)) {
                let refusal = MessageRefusal::SignerRevoked;
                return Err(SubmitError::Message { request, refusal });
            }
            note_once(&mut signatures, certificate);
        }
        Ok(signatures)
    }

    fn hear_signers(
        &self,
        submitted: &SubmittedRequest,
        wants_signatures: bool,
        now: UnixMillis,
    ) -> Result<Said, Trouble> {
        let mut said = Said { wants_signatures, ..Said::default() };
        // Who signed the outermost message vouches for what nobody signed inside of it; around one
        // that somebody signed there is none that nobody did.
        let is_covered = submitted.layers().first().is_some_and(|it| !it.signers().is_empty());
        for (depth, layer) in submitted.layers().iter().enumerate() {
            let adds = !layer.enrollment_attributes().is_empty() || !layer.extensions().is_empty();
            if adds && !is_covered {
                return Err(MessageRefusal::ControlsUnsigned.into());
            }
            for signer in layer.signers() {
                check_signature(submitted, signer)?;
                if let Some(certificate) = signer.certificate() {
                    let template = self.template_of_own(certificate, now)?;
                    said.hear(submitted, (depth, layer), signer, (certificate, template))?;
                }
            }
        }
        if submitted.renewal_certificate().is_some() && said.renewed.is_none() {
            return Err(MessageRefusal::RenewalUnproven.into());
        }
        Ok(said)
    }

    /// The template of a certificate that this CA has issued and that holds now.
    fn template_of_own(
        &self,
        certificate: &Certificate,
        now: UnixMillis,
    ) -> Result<String, Trouble> {
        // The octets are compared: a serial number alone could be anybody's.
        let issued = self.store.certificate(&certificate.serial())?;
        let issued = issued.filter(|it| it.certificate.raw == certificate.der());
        let issued = issued.ok_or(MessageRefusal::SignerUnknown)?;
        let row = self.store.request(issued.request)?.ok_or(MessageRefusal::SignerUnknown)?;
        match row.disposition {
            Disposition::Issued => {}
            Disposition::Revoked => return Err(MessageRefusal::SignerRevoked.into()),
            _ => return Err(MessageRefusal::SignerUnknown.into()),
        }
        let now = now.unix_seconds();
        if now < certificate.not_before() || certificate.not_after() < now {
            return Err(MessageRefusal::SignerExpired.into());
        }
        Ok(issued.template)
    }
}

impl Said {
    /// Hears a signer whose signature is good, and whose certificate is.
    fn hear(
        &mut self,
        submitted: &SubmittedRequest,
        (depth, layer): (usize, &SignedLayer),
        signer: &Signer,
        (certificate, template): (&Certificate, String),
    ) -> Result<(), MessageRefusal> {
        let requester = requester_name(layer, signer)?;
        let is_agent = certificate.extended_key_usages().contains(&ENROLLMENT_AGENT);
        let renews = if submitted.renewal_certificate().is_some() {
            submitted.renewal_signers().any(|it| std::ptr::eq(it, signer))
        } else {
            // Nothing else can be meant, unless the template has others sign a message of its kind.
            let others_sign = self.wants_signatures && submitted.request_type() == RequestType::Cmc;
            requester.is_none() && !others_sign
        };
        match requester {
            Some(_) if !is_agent => return Err(MessageRefusal::NotAgent),
            Some(_) if 0 < depth => return Err(MessageRefusal::AgentInside),
            Some(name) if self.on_behalf_of.as_ref().is_some_and(|it| *it != name) => {
                return Err(MessageRefusal::Contradiction);
            }
            Some(name) => self.on_behalf_of = Some(name),
            None if !renews && !self.wants_signatures => {
                return Err(MessageRefusal::SignerUnneeded);
            }
            None => {}
        }
        note_once(&mut self.signatures, certificate);
        if renews {
            let (known, _) = self.renewed.get_or_insert_with(|| (certificate.clone(), template));
            if known != certificate {
                return Err(MessageRefusal::Contradiction);
            }
        }
        Ok(())
    }
}

fn note_once(known: &mut Vec<Certificate>, certificate: &Certificate) {
    if !known.contains(certificate) {
        known.push(certificate.clone());
    }
}

/// Whether a certificate that was revoked so has been in the right hands until then.
fn is_orderly(reason: RevocationReason) -> bool {
    matches!(
        reason,
        RevocationReason::AffiliationChanged
            | RevocationReason::Superseded
            | RevocationReason::CessationOfOperation
    )
}

fn check_signature(submitted: &SubmittedRequest, signer: &Signer) -> Result<(), MessageRefusal> {
    let request = submitted.request();
    let (spki, key) = match signer.key() {
        SignerKey::Request => (request.spki_der(), request.key()),
        SignerKey::Certificate(certificate) => (certificate.spki_der(), certificate.key()),
        SignerKey::Elsewhere => return Err(MessageRefusal::SignerMissing),
    };
    verify(spki, key, signer.scheme(), signer.signed_bytes(), signer.signature())
        .map_err(|_| MessageRefusal::BadSignature)
}

/// For whom a signer asks: by their own attributes, or by those of the message that they signed.
fn requester_name(layer: &SignedLayer, signer: &Signer) -> Result<Option<String>, MessageRefusal> {
    let mut found: Option<&str> = None;
    for (name, value) in layer.enrollment_attributes().iter().chain(signer.enrollment_attributes())
    {
        // As names of attributes are compared everywhere: without case, blanks and hyphens.
        let name: String = name.chars().filter(|it| !matches!(it, ' ' | '\t' | '-')).collect();
        let value = value.trim_matches([' ', '\t']);
        if !name.eq_ignore_ascii_case(REQUESTER_ATTRIBUTE) || value.is_empty() {
            continue;
        }
        if REQUESTER_NAME_BYTES_MAX < value.len() {
            return Err(MessageRefusal::RequesterTooLong);
        }
        if *found.get_or_insert(value) != value {
            return Err(MessageRefusal::Contradiction);
        }
    }
    Ok(found.map(str::to_owned))
}
