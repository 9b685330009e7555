//! Trying a request out: every rule is asked and says its verdict, the certificate is built and linted,
//! and nothing is written, reserved, signed or told.

use exeunt_types::UnixMillis;
use exeunt_x509::{Extension, GeneralName, KeyUsage, assemble_certificate, parse_certificate};

use crate::archive::{ArchiveRule, EnclosedKey};
use crate::engine::Engine;
use crate::error::SubmitError;
use crate::journey::{Admitted, Submission, rate_message};
use crate::policy::{Decision, Plan, Rehearsal, RuleVerdict, TemplateView, Verdict};

/// Name of the rule about limits of issuance.
const RATE: &str = "rate";

/// What would become of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Template that it was measured by; empty when none fits.
    pub template: String,
    /// Whether it would be issued, held or refused.
    pub verdict: Verdict,
    /// Stable code of a refusal.
    pub code: Option<&'static str>,
    /// One line for the requester; empty where it would be issued.
    pub message: String,
    /// What every rule says, in the order in which they are asked.
    pub verdicts: Vec<RuleVerdict>,
    /// What the certificate would say, if there would be one, at once or after approval.
    pub certificate: Option<TrialCertificate>,
}

/// What a certificate would say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialCertificate {
    /// Its subject, RFC 4514 text.
    pub subject: String,
    /// Subject alternative names, `type:value`.
    pub names: Vec<String>,
    /// First second of its validity.
    pub not_before: UnixMillis,
    /// Last second of its validity.
    pub not_after: UnixMillis,
    /// Algorithm and size of its key.
    pub key: String,
    /// Key usages by name.
    pub key_usage: Vec<&'static str>,
    /// Extended key usages, dotted.
    pub extended_key_usage: Vec<String>,
    /// All of its extensions.
    pub extensions: Vec<Extension>,
}

/// The template of a request that is not refused.
fn template_of(decision: &Decision) -> Option<&str> {
    match decision {
        Decision::Issue(plan) => Some(&plan.template),
        Decision::Hold { template, .. } => Some(template),
        Decision::Refuse { .. } | Decision::Fail { .. } => None,
    }
}

/// A refusal before or after the policy's own.
struct Stop {
    code: &'static str,
    message: String,
}

impl Engine {
    /// Says what would become of a request, and why: what [`Engine::submit`] would do at this moment,
    /// without a row, an event, a serial number or a signature.
    ///
    /// # Errors
    ///
    /// What keeps [`Engine::submit`] from deciding at all, such as a request that cannot be read.
    pub fn try_out(&self, submission: Submission) -> Result<Trial, SubmitError> {
        let admitted = self.admit(submission)?;
        let mut verdicts = vec![Self::signature_verdict(&admitted)];
        let rehearsal = self.policy.rehearse(&admitted.asked());
        let Rehearsal { verdicts: said, decision, plan } = rehearsal;
        verdicts.extend(said);
        // Whoever is not believed is not asked about anything else in the end.
        let mut stop = stop_before(&admitted);
        if let Some(template) = template_of(&decision) {
            let (verdict, code) = self.key_verdict(&admitted, template);
            stop = stop.or(code.map(|code| Stop { code, message: verdict.message.clone() }));
            verdicts.push(verdict);
        }
        let mut certificate = None;
        if let Some(plan) = plan {
            let (found, built) = self.try_plan(&admitted, &plan, &mut verdicts)?;
            certificate = built;
            stop = stop.or(found);
        }
        let (template, verdict, code, message) = match decision {
            Decision::Issue(plan) => (plan.template, Verdict::Pass, None, String::new()),
            Decision::Hold { template, message } => (template, Verdict::Hold, None, message),
            Decision::Refuse { template, code, status: _, message } => {
                (template, Verdict::Refuse, Some(code), message)
            }
            Decision::Fail { template, status: _, message } => {
                (template, Verdict::Refuse, Some("policy-failed"), message)
            }
        };
        let trial = Trial { template, verdict, code, message, verdicts, certificate };
        Ok(match stop {
            Some(Stop { code, message }) if trial.verdict != Verdict::Refuse => Trial {
                verdict: Verdict::Refuse,
                code: Some(code),
                message,
                certificate: None,
                ..trial
            },
            _ => trial,
        })
    }

    /// What the template says of a private key that came along, or did not. It is not opened: that would
    /// be a way to try keys out without leaving a row.
    fn key_verdict(
        &self,
        admitted: &Admitted,
        template: &str,
    ) -> (RuleVerdict, Option<&'static str>) {
        let came = admitted.enrolment.key != EnclosedKey::None;
        let (verdict, code, message) = match (self.archive_rule(template), came) {
            _ if admitted.enrolment.key == EnclosedKey::Lost => (
                Verdict::Refuse,
                Some("archived-key-lost"),
                "the request says that its private key comes along, and it did not",
            ),
            (ArchiveRule::Require, false) => (
                Verdict::Refuse,
                Some("archived-key-required"),
                "the template has private keys archived, and none came",
            ),
            (ArchiveRule::Refuse, true) => (
                Verdict::Refuse,
                Some("archived-key-unexpected"),
                "a private key came, and the template does not archive it",
            ),
            (ArchiveRule::Refuse, false) => {
                (Verdict::NotApplied, None, "the template archives no private keys")
            }
            (ArchiveRule::Allow, false) => {
                (Verdict::Pass, None, "no private key came, and none has to")
            }
            (ArchiveRule::Require | ArchiveRule::Allow, true) => {
                (Verdict::Pass, None, "a private key came; it is looked at when it is archived")
            }
        };
        let message = message.to_owned();
        (RuleVerdict { rule: "archive-key".to_owned(), verdict, message }, code)
    }

    /// The templates, as they are shown.
    #[must_use]
    pub fn templates(&self) -> Vec<TemplateView> {
        let mut templates = self.policy.templates();
        for it in &mut templates {
            let word = match self.archive_rule(&it.name) {
                ArchiveRule::Require => "require",
                ArchiveRule::Allow => "allow",
                ArchiveRule::Refuse => continue,
            };
            it.settings.push(("archive_key", word.to_owned()));
        }
        templates
    }

    fn signature_verdict(admitted: &Admitted) -> RuleVerdict {
        let (verdict, message) = match stop_before(admitted) {
            Some(Stop { message, .. }) => (Verdict::Refuse, message),
            None => (Verdict::Pass, "the signatures of the request verify".to_owned()),
        };
        RuleVerdict { rule: "signature".to_owned(), verdict, message }
    }

    /// What comes after the policy: limits of issuance, building, lints.
    fn try_plan(
        &self,
        admitted: &Admitted,
        plan: &Plan,
        verdicts: &mut Vec<RuleVerdict>,
    ) -> Result<(Option<Stop>, Option<TrialCertificate>), SubmitError> {
        let mut stop = None;
        // The policy says what is limited, the store whether there is room.
        if !plan.limits.is_empty() {
            verdicts.retain(|it| it.rule != RATE);
        }
        for limit in &plan.limits {
            let action = "reading a limit of issuance";
            let again = self.store.rate_again(limit, admitted.now);
            let again = again.map_err(|source| SubmitError::Store { action, source })?;
            let (verdict, message) = match again {
                None => {
                    let (count, window_s) = (limit.certificates, limit.window.as_secs());
                    let scope = &limit.scope;
                    (Verdict::Pass, format!("room under {count} of {scope} in {window_s} s"))
                }
                Some(again) => {
                    let message = rate_message(&limit.scope, limit.certificates, again);
                    stop = stop.or(Some(Stop { code: "rate-limited", message: message.clone() }));
                    (Verdict::Refuse, message)
                }
            };
            verdicts.push(RuleVerdict { rule: RATE.to_owned(), verdict, message });
        }
        let ca = self.ca.issuing(admitted.now.unix_seconds());
        let lint = |verdict, message| RuleVerdict { rule: "lint".to_owned(), verdict, message };
        let linted = match self.build(ca, &admitted.request, plan, &[], admitted.now)? {
            Ok(linted) => linted,
            Err(findings) => {
                let lines: Vec<String> = findings.into_iter().map(|it| it.message).collect();
                let message = format!("the certificate would break a rule: {}", lines.join("; "));
                verdicts.extend(lines.into_iter().map(|it| lint(Verdict::Refuse, it)));
                return Ok((stop.or(Some(Stop { code: "lint-refused", message })), None));
            }
        };
        verdicts
            .push(lint(Verdict::Pass, "the certificate keeps the rules of RFC 5280".to_owned()));
        // The signature is none: only what is signed is read.
        let raw = assemble_certificate(&linted.tbs, linted.ca.key().scheme(), &[0; 64]);
        let Ok(read) = parse_certificate(&raw) else { return Ok((stop, None)) };
        let named = |usage: KeyUsage| {
            let names = KeyUsage::NAMES.into_iter().filter(move |(_, it)| usage.contains(*it));
            names.map(|(name, _)| name).collect()
        };
        let certificate = TrialCertificate {
            subject: read.subject().to_string(),
            names: read.subject_alternative_names().iter().map(name_text).collect(),
            not_before: linted.not_before,
            not_after: linted.not_after,
            key: admitted.request.key().name(),
            key_usage: named(plan.key_usage),
            extended_key_usage: read
                .extended_key_usages()
                .iter()
                .map(ToString::to_string)
                .collect(),
            extensions: read.extensions().to_vec(),
        };
        Ok((stop, Some(certificate)))
    }
}

/// A user principal name is written out; names that have no text are shown by their octets.
fn name_text(name: &GeneralName) -> String {
    name.user_principal_name().map_or_else(|| name.to_string(), |it| format!("upn:{it}"))
}

/// Why the policy would not even be asked.
fn stop_before(admitted: &Admitted) -> Option<Stop> {
    if !admitted.has_good_signature() {
        let message = "the signature of the request does not verify".to_owned();
        return Some(Stop { code: "request-bad-signature", message });
    }
    let refusal = admitted.enrolment.refusal?;
    Some(Stop { code: refusal.code(), message: refusal.to_string() })
}
