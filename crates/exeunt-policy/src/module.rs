//! A policy module of somebody else's decides: a process that is asked about each request.
//!
//! It may be the policy by itself, or be chained to the templates and then only tighten what they
//! say, or be asked and not obeyed (a dry run). What it may set is judged by
//! [`exeunt_module::policy::ServerPolicy`], what a chained one may by `tighten`. Whatever goes wrong
//! with it pends or fails the request, and issues nothing (decision 0013).

mod keeper;
mod plan;
mod snapshot;
mod subject;
mod tighten;

use std::{fmt, sync::Arc, time::Duration};

use exeunt_engine::{
    ApprovalRule, Asked, Decision, Plan, Policy, Rehearsal, RuleVerdict, TemplateView, Verdict,
};
use exeunt_host::{HostLimits, ModuleCommand, VerifyError};
use exeunt_module::{
    Properties, Value,
    policy::{
        Disposition, LogLevel, LogLine, MESSAGE_CHARS_MAX, Ruling, ServerPolicy, VerifyRequest,
    },
};
use exeunt_types::{StatusCode, UnixMillis};

pub use keeper::ModuleStatus;

use keeper::Keeper;
use plan::Changes;

/// Longest message of a failure, in characters: it goes into the request's row.
const FAILURE_CHARS_MAX: usize = 300;

/// How a policy module is run and what its word counts.
#[derive(Clone, Debug)]
pub struct ModuleSettings {
    /// Name of the module, for its greeting and the log.
    pub name: String,
    /// What to run.
    pub command: ModuleCommand,
    /// What the process may take.
    pub limits: HostLimits,
    /// How long one request may take, the waiting for those before it included; the module has half of it
    /// in any case.
    pub deadline: Duration,
    /// The module's own settings.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// Whether the templates decide first and the module can only be stricter.
    pub chain: bool,
    /// What becomes of a request that the module does not decide about.
    pub on_failure: OnFailure,
    /// Whether it is only asked, and the templates decide.
    pub audit: bool,
    /// Of a module that is not chained: how long certificates hold at most.
    pub validity: Duration,
    /// Of a module that is not chained: how far `notBefore` lies before issuance.
    pub backdate: Duration,
}

/// What becomes of a request that the module does not decide about. It is never issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It waits for an officer; when one takes it up again, the module is asked again.
    Pend,
    /// It ends as failed.
    Fail,
}

/// What is known about the CA.
#[derive(Clone)]
pub struct ModuleFacts {
    /// Name of the CA.
    pub config: String,
    /// What a module reads about the CA at a time.
    pub system: Arc<dyn Fn(UnixMillis) -> Arc<Properties> + Send + Sync>,
    /// First and last moment of each of the CA's certificates, the newest last.
    pub validities: Vec<(UnixMillis, UnixMillis)>,
}

impl fmt::Debug for ModuleFacts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ModuleFacts").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What a dry run saw: what the module would have made of a request, other than what was made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// When it was asked.
    pub at: UnixMillis,
    /// Who asked for the certificate.
    pub caller: String,
    /// The requested subject, RFC 4514 text.
    pub subject: String,
    /// What would have been denied or changed, in one line.
    pub what: String,
}

/// Who is told what a dry run saw. Called on the request's thread, with no transaction open.
pub type Witness = Arc<dyn Fn(&Observation) + Send + Sync>;

/// A policy module as the policy.
pub struct ModulePolicy {
    settings: ModuleSettings,
    facts: ModuleFacts,
    keeper: Keeper,
    base: Arc<dyn Policy>,
    witness: Witness,
}

impl fmt::Debug for ModulePolicy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ModulePolicy").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What a module rules about a request, understood.
enum Ruled {
    Pend(String),
    Deny {
        status: StatusCode,
        message: String,
    },
    Issue(Box<Plan>, Vec<String>),
    /// It would issue what the templates hold: what would be issued in the end, where its changes can be
    /// carried out.
    Wait(Option<Box<Plan>>),
}

/// Why there is no ruling.
struct Trouble {
    status: StatusCode,
    message: String,
}

impl ModulePolicy {
    /// A module that is not started yet. `base` are the templates.
    #[must_use]
    pub fn new(
        settings: ModuleSettings,
        facts: ModuleFacts,
        base: Arc<dyn Policy>,
        witness: Witness,
    ) -> Self {
        let keeper = Keeper::new(&settings, &facts);
        Self { settings, facts, keeper, base, witness }
    }

    /// Starts the module now, so that its first request need not wait and its operator hears at once
    /// what is wrong with it. One that does not start is tried again when it is needed.
    ///
    /// # Errors
    ///
    /// Why it does not start, in one line.
    pub fn start(&self, now: UnixMillis) -> Result<(), String> {
        self.keeper.start(now, &(self.facts.system)(now))
    }

    /// How the module does.
    #[must_use]
    pub fn status(&self) -> ModuleStatus {
        self.keeper.status()
    }

    /// How it is run and what its word counts.
    #[must_use]
    pub fn settings(&self) -> &ModuleSettings {
        &self.settings
    }

    /// Whether templates have a say.
    fn has_base(&self) -> bool {
        self.settings.chain || self.settings.audit
    }

    /// What the module says, beside what the templates have said where it is chained to them.
    fn rule(&self, asked: &Asked<'_>, base: Option<&Decision>) -> Result<Ruled, Trouble> {
        // 1. What would be issued without it, and how that looks.
        let planned = match base {
            Some(Decision::Issue(plan)) => Some(Plan::clone(plan)),
            Some(Decision::Hold { .. }) => self.base.plan_if_approved(asked),
            _ => None,
        };
        let planned = planned.unwrap_or_else(|| plan::from_request(&self.settings, asked));
        let seq = self.keeper.next_seq();
        let question = snapshot::question(&self.facts, asked, &planned, base, seq);

        // 2. Its word.
        let ruling = self.keeper.verify(&question, asked.now).map_err(|err| Trouble::of(&err))?;
        write_log(&self.settings.name, &lines_of(&ruling));
        let Some(disposition) = ruling.disposition() else {
            return Err(Trouble::nonsense(&format!("disposition {}", ruling.disposition)));
        };
        let message = |or: &str| said(ruling.message.as_deref(), or);

        // 3. What it means.
        match disposition {
            Disposition::Pend => Ok(Ruled::Pend(message("taken under submission"))),
            Disposition::Deny => Ok(Ruled::Deny {
                status: StatusCode::ENROLL_DENIED,
                message: message("denied by the policy module"),
            }),
            Disposition::DenyWith(hresult) => Ok(Ruled::Deny {
                status: StatusCode(hresult),
                message: message("denied by the policy module"),
            }),
            // The templates keep it for an officer; what was set will be set again when one has
            // taken it up.
            Disposition::Issue if matches!(base, Some(Decision::Hold { .. })) => {
                let plan = carry_out(&question, &ruling, planned, true);
                Ok(Ruled::Wait(plan.ok().map(Box::new)))
            }
            // Nothing to judge or to carry out, which is the most frequent case.
            Disposition::Issue
                if ruling.set_properties.is_empty()
                    && ruling.set_extensions.is_empty()
                    && has_name(&planned) =>
            {
                Ok(Ruled::Issue(Box::new(planned), Vec::new()))
            }
            Disposition::Issue => {
                let plan = carry_out(&question, &ruling, planned, base.is_some())
                    .map_err(|why| Trouble::nonsense(&why))?;
                Ok(Ruled::Issue(Box::new(plan), told(&ruling)))
            }
        }
    }

    /// The stricter of both words.
    fn join(
        &self,
        asked: &Asked<'_>,
        base: Option<Decision>,
        ruled: Result<Ruled, Trouble>,
    ) -> Decision {
        let template = template_of(asked, base.as_ref());
        match (ruled, base) {
            (Ok(Ruled::Issue(plan, _)), _) => Decision::Issue(plan),
            (Ok(Ruled::Wait(_)), Some(hold)) => hold,
            (Ok(Ruled::Wait(_)), None) => {
                Decision::Hold { template, message: "taken under submission".to_owned() }
            }
            (Ok(Ruled::Pend(message)), _) => Decision::Hold { template, message },
            (Ok(Ruled::Deny { status, message }), _) => {
                Decision::Refuse { template, code: "policy-denied", status, message }
            }
            (Err(Trouble { status, message }), _) => {
                tracing::error!(module = %self.settings.name, fault = message, "no ruling");
                match self.settings.on_failure {
                    OnFailure::Pend => Decision::Hold {
                        template,
                        message: "the policy could not decide; an officer will".to_owned(),
                    },
                    OnFailure::Fail => Decision::Fail { template, status, message },
                }
            }
        }
    }

    /// Asks, and does as the templates say.
    fn watch(&self, asked: &Asked<'_>) -> Decision {
        let decided = self.base.decide(asked);
        if let Some(what) = self.difference(asked, &decided) {
            let observation = Observation {
                at: asked.now,
                caller: asked.caller.name.clone(),
                subject: asked.request.subject().to_string(),
                what,
            };
            let Observation { caller, subject, what, .. } = &observation;
            tracing::warn!(module = %self.settings.name, caller, subject, what, "dry run");
            (self.witness)(&observation);
        }
        decided
    }

    /// What the module would have made of a request other than what was made of it.
    fn difference(&self, asked: &Asked<'_>, decided: &Decision) -> Option<String> {
        let base = self.settings.chain.then_some(decided);
        if matches!(base, Some(Decision::Refuse { .. } | Decision::Fail { .. })) {
            return None;
        }
        match (self.rule(asked, base), decided) {
            (Ok(Ruled::Deny { .. }), Decision::Refuse { .. } | Decision::Fail { .. })
            | (Ok(Ruled::Pend(_) | Ruled::Wait(_)), Decision::Hold { .. }) => None,
            (Ok(Ruled::Deny { status, message }), _) => {
                Some(format!("would have been denied with {:#010x}: {message}", status.0))
            }
            (Ok(Ruled::Pend(message)), _) => Some(format!("would have been held: {message}")),
            (Ok(Ruled::Issue(_, changes)), Decision::Issue(_)) => (!changes.is_empty())
                .then(|| format!("would have been changed: {}", changes.join(", "))),
            (Ok(Ruled::Issue(..) | Ruled::Wait(_)), _) => Some("would have been issued".to_owned()),
            (Err(Trouble { message, .. }), _) => {
                let end = match self.settings.on_failure {
                    OnFailure::Pend => "held",
                    OnFailure::Fail => "failed",
                };
                Some(format!("would have been {end}: {message}"))
            }
        }
    }
}

impl ModulePolicy {
    /// What it says, as the verdict of one more rule.
    fn verdict(&self, ruled: &Result<Ruled, Trouble>) -> (Verdict, String) {
        match ruled {
            Ok(Ruled::Issue(_, changes)) if !changes.is_empty() => {
                (Verdict::Pass, format!("issue, {}", changes.join(", ")))
            }
            Ok(Ruled::Issue(..) | Ruled::Wait(_)) => {
                (Verdict::Pass, "issue, nothing set".to_owned())
            }
            Ok(Ruled::Pend(message)) => (Verdict::Hold, message.clone()),
            Ok(Ruled::Deny { status, message }) => {
                (Verdict::Refuse, format!("{message} ({:#010x})", status.0))
            }
            Err(Trouble { message, .. }) => match self.settings.on_failure {
                OnFailure::Pend => (Verdict::Hold, message.clone()),
                OnFailure::Fail => (Verdict::Refuse, message.clone()),
            },
        }
    }
}

impl Policy for ModulePolicy {
    fn decide(&self, asked: &Asked<'_>) -> Decision {
        if self.settings.audit {
            return self.watch(asked);
        }
        let base = match self.settings.chain.then(|| self.base.decide(asked)) {
            Some(end @ (Decision::Refuse { .. } | Decision::Fail { .. })) => return end,
            base => base,
        };
        let ruled = self.rule(asked, base.as_ref());
        self.join(asked, base, ruled)
    }

    fn consider(&self, asked: &Asked<'_>) -> Decision {
        if self.settings.audit {
            return self.base.consider(asked);
        }
        self.decide(asked)
    }

    fn approval_rule(&self, template: Option<&str>) -> ApprovalRule {
        if self.has_base() { self.base.approval_rule(template) } else { ApprovalRule::default() }
    }

    fn wants_signatures(&self, template: Option<&str>) -> bool {
        self.has_base() && self.base.wants_signatures(template)
    }

    fn templates(&self) -> Vec<TemplateView> {
        if self.has_base() { self.base.templates() } else { Vec::new() }
    }

    fn explain(&self, asked: &Asked<'_>) -> Vec<RuleVerdict> {
        self.rehearse(asked).verdicts
    }

    /// The module is asked once. What it would say of a request that it has held, once somebody has
    /// approved that, is not known.
    fn rehearse(&self, asked: &Asked<'_>) -> Rehearsal {
        let (mut verdicts, base, planned) = if self.has_base() {
            let Rehearsal { verdicts, decision, plan } = self.base.rehearse(asked);
            (verdicts, Some(decision), plan)
        } else {
            (Vec::new(), None, None)
        };
        let rule = "policy-module".to_owned();
        let base = match base {
            Some(end @ (Decision::Refuse { .. } | Decision::Fail { .. }))
                if self.settings.chain =>
            {
                let message = "not asked: what the templates refuse stays refused".to_owned();
                verdicts.push(RuleVerdict { rule, verdict: Verdict::NotApplied, message });
                return Rehearsal { verdicts, decision: end, plan: None };
            }
            base => base,
        };
        let ruled = self.rule(asked, base.as_ref().filter(|_| self.settings.chain));
        let (verdict, message) = self.verdict(&ruled);
        match base {
            Some(decision) if self.settings.audit => {
                let (verdict, message) = (Verdict::NotApplied, format!("dry run: {message}"));
                verdicts.push(RuleVerdict { rule, verdict, message });
                Rehearsal { verdicts, decision, plan: planned }
            }
            base => {
                verdicts.push(RuleVerdict { rule, verdict, message });
                let plan = match &ruled {
                    Ok(Ruled::Issue(plan, _) | Ruled::Wait(Some(plan))) => Some(Plan::clone(plan)),
                    Ok(Ruled::Wait(None) | Ruled::Pend(_) | Ruled::Deny { .. }) | Err(_) => None,
                };
                Rehearsal { verdicts, decision: self.join(asked, base, ruled), plan }
            }
        }
    }
}

impl Trouble {
    fn of(err: &VerifyError) -> Self {
        let status = match err {
            VerifyError::Failed { hresult: Some(hresult), .. } => StatusCode(*hresult),
            _ => StatusCode::FAIL,
        };
        Self { status, message: one_line(&err.to_string(), FAILURE_CHARS_MAX) }
    }

    fn nonsense(reason: &str) -> Self {
        let message = format!("the ruling cannot be carried out: {reason}");
        Self { status: StatusCode::FAIL, message: one_line(&message, FAILURE_CHARS_MAX) }
    }
}

/// The plan with what a ruling sets in it.
///
/// # Errors
///
/// What may not be set, or cannot be in a certificate, in one line.
fn carry_out(
    question: &VerifyRequest,
    ruling: &Ruling,
    planned: Plan,
    is_chained: bool,
) -> Result<Plan, String> {
    let mut server = ServerPolicy::new(question);
    server.apply(ruling).map_err(|err| err.to_string())?;
    let changes = Changes::between(&question.event, server.event(), ruling);
    if is_chained {
        tighten::check(&question.event, &changes)?;
    }
    changes.carry_out(planned)
}

/// Whether a certificate by that plan would name anybody.
fn has_name(plan: &Plan) -> bool {
    !plan.subject.is_empty() || !plan.subject_alternative_names.is_empty()
}

/// The template for the row: the one that the templates measured by, else what was asked for.
fn template_of(asked: &Asked<'_>, base: Option<&Decision>) -> String {
    match base {
        Some(Decision::Issue(plan)) => plan.template.clone(),
        Some(
            Decision::Hold { template, .. }
            | Decision::Refuse { template, .. }
            | Decision::Fail { template, .. },
        ) => template.clone(),
        None => asked.template.unwrap_or_default().to_owned(),
    }
}

/// A module's words for a requester, in one line.
fn said(message: Option<&str>, or: &str) -> String {
    let line = one_line(message.unwrap_or_default(), MESSAGE_CHARS_MAX);
    if line.is_empty() { or.to_owned() } else { line }
}

fn one_line(text: &str, chars_max: usize) -> String {
    let plain = |it: char| if it.is_control() || exeunt_x509::is_deceptive(it) { ' ' } else { it };
    let line: String = text.chars().take(chars_max).map(plain).collect();
    line.trim().to_owned()
}

/// What a ruling sets, for people: names alone, for values may be secrets.
fn told(ruling: &Ruling) -> Vec<String> {
    let properties = ruling.set_properties.iter().map(|it| match &it.value {
        None => format!("{} taken out", it.name),
        Some(_) => format!("{} set", it.name),
    });
    let disabled = exeunt_module::Extension::DISABLED;
    let extensions = ruling.set_extensions.iter().map(|it| match it.flags & disabled {
        0 => format!("extension {} set", it.oid),
        _ => format!("extension {} disabled", it.oid),
    });
    properties.chain(extensions).map(|it| one_line(&it, 80)).collect()
}

/// Lines for the log, also those that came as the properties which write them.
fn lines_of(ruling: &Ruling) -> Vec<LogLine> {
    let written = ruling.set_properties.iter().filter_map(|it| match &it.value {
        Some(Value::String(text)) => {
            let level = LogLevel::from_property(&it.name)?;
            Some(LogLine { level, text: text.clone() })
        }
        _ => None,
    });
    written.chain(ruling.log.iter().cloned()).collect()
}

/// A module's lines, at the levels that the original's names mean.
fn write_log(module: &str, lines: &[LogLine]) {
    let most = exeunt_module::policy::CHANGES_MAX;
    for LogLine { level, text } in lines.iter().take(most) {
        let text = one_line(text, MESSAGE_CHARS_MAX);
        match level {
            LogLevel::Error => tracing::error!(target: "module", %module, "{text}"),
            LogLevel::Warning => tracing::warn!(target: "module", %module, "{text}"),
            LogLevel::Terse => tracing::info!(target: "module", %module, "{text}"),
            LogLevel::Verbose => tracing::debug!(target: "module", %module, "{text}"),
            LogLevel::Exhaustive => tracing::trace!(target: "module", %module, "{text}"),
        }
    }
}
