//! Step 1: the templates decide.

use exeunt_engine::{
    ApprovalRule, Asked, Decision, Plan, Policy, RuleVerdict, TemplateView, Verdict,
};
use exeunt_types::StatusCode;

use crate::rule::{self, Outcome, Refusal, excerpt};
use crate::template::{Template, TemplateError};

/// The active templates.
#[derive(Debug)]
pub struct TemplatePolicy {
    templates: Vec<Template>,
    default_template: Option<String>,
}

/// Why a list of templates is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplatePolicyError {
    /// One of them breaks a rule.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Two of one name.
    #[error("template {0} is there twice")]
    Twice(String),
    /// The default is none of them.
    #[error("default template {0} is not among the templates")]
    UnknownDefault(String),
}

impl TemplatePolicy {
    /// Checks and keeps the templates. Without a default, a request must name its template unless
    /// there is only one.
    ///
    /// # Errors
    ///
    /// [`TemplatePolicyError`] names the template and the rule.
    pub fn new(
        templates: Vec<Template>,
        default_template: Option<String>,
    ) -> Result<Self, TemplatePolicyError> {
        for (index, template) in templates.iter().enumerate() {
            template.check()?;
            if templates[..index].iter().any(|it| it.name == template.name) {
                return Err(TemplatePolicyError::Twice(template.name.clone()));
            }
        }
        match default_template {
            Some(name) if templates.iter().all(|it| it.name != name) => {
                Err(TemplatePolicyError::UnknownDefault(name))
            }
            default_template => Ok(Self { templates, default_template }),
        }
    }

    fn find(&self, named: Option<&str>) -> Result<&Template, Refusal> {
        let status = StatusCode::UNSUPPORTED_CERT_TYPE;
        let Some(name) = named.or(self.default_template.as_deref()) else {
            return match self.templates.as_slice() {
                [only] => Ok(only),
                _ => Err(Refusal {
                    code: "template-not-named",
                    status,
                    message: "the request names no template and there is no default".to_owned(),
                }),
            };
        };
        self.templates.iter().find(|it| it.name == name).ok_or_else(|| Refusal {
            code: "template-unknown",
            status,
            message: format!("there is no template {:?}", excerpt(name)),
        })
    }
}

impl Policy for TemplatePolicy {
    fn decide(&self, asked: &Asked<'_>) -> Decision {
        let refuse = |template: &str, refusal: Refusal| {
            let Refusal { code, status, message } = refusal;
            Decision::Refuse { template: template.to_owned(), code, status, message }
        };
        let template = match self.find(asked.template) {
            Ok(template) => template,
            Err(refusal) => return refuse("", refusal),
        };
        match rule::decide(template, asked) {
            Outcome::Issue(plan) => Decision::Issue(plan),
            Outcome::Hold(message) => Decision::Hold { template: template.name.clone(), message },
            Outcome::Refuse(refusal) => refuse(&template.name, refusal),
        }
    }

    fn plan_if_approved(&self, asked: &Asked<'_>) -> Option<Plan> {
        rule::plan_if_approved(self.find(asked.template).ok()?, asked)
    }

    fn explain(&self, asked: &Asked<'_>) -> Vec<RuleVerdict> {
        let verdict =
            |verdict, message| vec![RuleVerdict { rule: "template".to_owned(), verdict, message }];
        match self.find(asked.template) {
            Err(refusal) => verdict(Verdict::Refuse, refusal.message),
            Ok(template) => {
                let mut verdicts = verdict(Verdict::Pass, format!("template {}", template.name));
                verdicts.extend(rule::explain(template, asked));
                verdicts
            }
        }
    }

    fn approval_rule(&self, template: Option<&str>) -> ApprovalRule {
        // What no template is found for is refused whoever approves it.
        self.find(template).map_or_else(
            |_| ApprovalRule::default(),
            |it| ApprovalRule { needed: it.approvals, own: it.own_approval },
        )
    }

    fn wants_signatures(&self, template: Option<&str>) -> bool {
        self.find(template).is_ok_and(|it| it.signatures.is_some())
    }

    fn templates(&self) -> Vec<TemplateView> {
        let default = self.default_template.as_deref();
        let default = default.or(match self.templates.as_slice() {
            [only] => Some(only.name.as_str()),
            _ => None,
        });
        self.templates.iter().map(|it| it.view(default == Some(it.name.as_str()))).collect()
    }
}
