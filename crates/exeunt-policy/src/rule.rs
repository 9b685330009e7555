//! The rules of a template, as data: a list of functions, each with a name, that are asked in order.
//!
//! Deciding stops at the first refusal, explaining asks them all. Both run this list and nothing else, so
//! that what is explained is what is decided.

mod approval;
mod caller;
mod extension;
mod key;
mod name;
mod renewal;
mod sid;
mod subject;
mod usage;
mod validity;

use exeunt_engine::{Asked, Plan, RuleVerdict, Verdict};
use exeunt_types::{OfficerExtension, StatusCode, UnixMillis};
use exeunt_x509::{GeneralName, KeyUsage, Name, ObjectIdentifier};

use crate::template::{Holder, Template};

/// Longest piece of a requester's text in a message, in characters.
const EXCERPT_CHARS_MAX: usize = 64;

/// A refusal before it is tied to a template.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}

/// What a rule says of a request.
pub(crate) enum Ruling {
    /// The request keeps it. The message is empty where nobody reads it.
    Pass(String),
    /// It says nothing about this request, or the template has no such rule.
    NotApplied(&'static str),
    /// The request waits for officers.
    Hold(String),
    /// The request is refused.
    Refuse(Refusal),
}

impl Ruling {
    fn refuse(code: &'static str, status: StatusCode, message: impl Into<String>) -> Self {
        Self::Refuse(Refusal { code, status, message: message.into() })
    }
}

/// A request before its template, and the certificate as far as the rules have made it.
pub(crate) struct Case<'a> {
    pub(crate) template: &'a Template,
    pub(crate) asked: &'a Asked<'a>,
    /// Whether somebody reads what a rule says that is kept.
    explains: bool,
    draft: Draft,
}

/// What the rules put together.
struct Draft {
    subject: Name,
    /// The requested names that the template takes.
    requested: Vec<GeneralName>,
    names: Vec<GeneralName>,
    key_usage: KeyUsage,
    extended_key_usage: Vec<ObjectIdentifier>,
    not_before: Option<UnixMillis>,
    not_after: Option<UnixMillis>,
    extensions: Vec<OfficerExtension>,
    /// Dangerous options that were made use of.
    notes: Vec<String>,
}

/// A rule: its stable name, and what it makes of a request.
type Rule = (&'static str, fn(&mut Case<'_>) -> Ruling);

/// All rules, in the order in which they are asked. Who may not ask at all learns nothing about what
/// would have been wrong besides.
const RULES: &[Rule] = &[
    ("template-window", validity::template_window),
    ("callers", caller::door),
    ("requesters", caller::requester),
    ("on-behalf", caller::on_behalf),
    ("signatures", caller::signatures),
    ("key-minimum", key::minimum),
    ("subject-attributes", subject::from_attributes),
    ("subject-request", subject::from_request),
    ("subject-build", subject::build),
    ("san-request", name::from_request),
    ("san-attributes", name::from_attributes),
    ("san-build", name::build),
    ("san-required", name::required),
    ("sid", sid::rule),
    ("renewal", renewal::rule),
    ("renewal-window", renewal::window),
    ("nameless", name::nameless),
    ("key-usage", usage::key_usage),
    ("extended-key-usage", usage::extended),
    ("validity", validity::rule),
    ("extensions", extension::rule),
    ("rate", approval::rate),
    ("approvals", approval::rule),
];

/// What all rules together say.
pub(crate) enum Outcome {
    Issue(Box<Plan>),
    Hold(String),
    Refuse(Refusal),
}

/// What the rules make of a request, with the certificate as they would have it.
struct Run {
    plan: Box<Plan>,
    held: Option<String>,
    refused: Option<Refusal>,
}

/// Asks the rules until one refuses.
pub(crate) fn decide(template: &Template, asked: &Asked<'_>) -> Outcome {
    let Run { plan, held, refused } = run(template, asked, None);
    match (refused, held) {
        (Some(refusal), _) => Outcome::Refuse(refusal),
        (None, Some(message)) => Outcome::Hold(message),
        (None, None) => Outcome::Issue(plan),
    }
}

/// What would be issued once officers have approved it; none where a rule refuses.
pub(crate) fn plan_if_approved(template: &Template, asked: &Asked<'_>) -> Option<Plan> {
    let Run { plan, held: _, refused } = run(template, asked, None);
    refused.is_none().then_some(*plan)
}

/// Asks every rule, and gives what each of them says.
pub(crate) fn explain(template: &Template, asked: &Asked<'_>) -> Vec<RuleVerdict> {
    let mut verdicts = Vec::with_capacity(RULES.len());
    run(template, asked, Some(&mut verdicts));
    verdicts
}

fn run(template: &Template, asked: &Asked<'_>, mut verdicts: Option<&mut Vec<RuleVerdict>>) -> Run {
    let draft = Draft::of(template, asked);
    let mut case = Case { template, asked, explains: verdicts.is_some(), draft };
    let (mut refused, mut held) = (None, None);
    for (name, rule) in RULES {
        let ruling = rule(&mut case);
        let (verdict, message) = match ruling {
            Ruling::Pass(message) => (Verdict::Pass, message),
            Ruling::NotApplied(message) => (Verdict::NotApplied, message.to_owned()),
            Ruling::Hold(message) => {
                held = held.or_else(|| Some(message.clone()));
                (Verdict::Hold, message)
            }
            Ruling::Refuse(refusal) => {
                let message = refusal.message.clone();
                refused = refused.or(Some(refusal));
                (Verdict::Refuse, message)
            }
        };
        match &mut verdicts {
            Some(verdicts) => {
                verdicts.push(RuleVerdict { rule: (*name).to_owned(), verdict, message });
            }
            None if refused.is_some() => break,
            None => (),
        }
    }
    Run { plan: Box::new(case.into_plan()), held, refused }
}

impl Draft {
    fn of(template: &Template, asked: &Asked<'_>) -> Self {
        Self {
            subject: asked.request.subject().clone(),
            requested: Vec::new(),
            names: Vec::new(),
            key_usage: KeyUsage::default(),
            extended_key_usage: template.extended_key_usage.clone(),
            not_before: template.valid_from,
            not_after: template.valid_until,
            extensions: Vec::new(),
            notes: Vec::new(),
        }
    }
}

impl Case<'_> {
    /// The rule is kept; the message is made where somebody reads it.
    fn pass(&self, message: impl FnOnce() -> String) -> Ruling {
        Ruling::Pass(if self.explains { message() } else { String::new() })
    }

    /// The value of a request attribute, by its name without regard to case.
    fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.asked.attributes.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// For whom the certificate is.
    fn requester(&self) -> &str {
        self.asked.on_behalf_of.unwrap_or(&self.asked.caller.name)
    }

    fn into_plan(self) -> Plan {
        let limits = self.limits();
        let Self { template, draft, .. } = self;
        Plan {
            template: template.name.clone(),
            subject: draft.subject,
            subject_alternative_names: draft.names,
            key_usage: draft.key_usage,
            extended_key_usage: draft.extended_key_usage,
            validity: template.validity,
            backdate: template.backdate,
            path_length: match template.holder {
                Holder::EndEntity => None,
                Holder::Ca { path_length } => path_length,
            },
            not_before: draft.not_before,
            not_after: draft.not_after,
            extensions: draft.extensions,
            limits,
            flags: template.flags,
            notes: draft.notes,
        }
    }
}

/// A requester's text, cut for a message: it goes into rows, events and logs.
pub(crate) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_name_of_its_own() {
        for (position, (name, _)) in RULES.iter().enumerate() {
            assert!(RULES[..position].iter().all(|(it, _)| it != name), "{name}");
        }
    }
}
