//! Step 1: the templates decide.

use exeunt_engine::{Asked, Decision, Plan, Policy};
use exeunt_types::{KeyAlgorithm, StatusCode};
use exeunt_x509::{Certificate, GeneralName, KeyUsage};

use crate::template::{
    Callers, Holder, Issuance, NameKind, OnBehalf, Renewal, Template, TemplateError,
};

/// Longest piece of a requester's text in a message, in characters.
const EXCERPT_CHARS_MAX: usize = 64;

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

/// A refusal before it is tied to a template.
struct Refusal {
    code: &'static str,
    status: StatusCode,
    message: String,
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
        match plan(template, asked) {
            Err(refusal) => refuse(&template.name, refusal),
            // An officer has seen what is taken up again; holding it once more would hold it for ever.
            Ok(_) if template.issuance == Issuance::Hold && asked.new_request => Decision::Hold {
                template: template.name.clone(),
                message: match template.holder {
                    Holder::EndEntity => "taken under submission".to_owned(),
                    // For the officer, who sees a request like any other.
                    Holder::Ca { .. } => "taken under submission; it makes a CA".to_owned(),
                },
            },
            Ok(plan) => Decision::Issue(Box::new(plan)),
        }
    }
}

fn plan(template: &Template, asked: &Asked<'_>) -> Result<Plan, Refusal> {
    may_call(template, asked)?;
    may_ask_for_another(template, asked)?;
    subject_is_allowed(template, asked)?;
    let names = alternative_names(template, asked)?;
    if let Some(renewed) = asked.renewed {
        may_renew(template, asked, renewed, &names)?;
    }
    let subject = asked.request.subject().clone();
    if subject.is_empty() && names.is_empty() {
        return Err(Refusal {
            code: "request-nameless",
            status: StatusCode::BAD_REQUEST_SUBJECT,
            message: "the request has neither a subject nor a subject alternative name".to_owned(),
        });
    }
    // RFC 5280, section 4.1.2.6: certificates that it issues have to name it.
    let path_length = match template.holder {
        Holder::EndEntity => None,
        Holder::Ca { .. } if subject.is_empty() => {
            return Err(Refusal {
                code: "request-nameless",
                status: StatusCode::BAD_REQUEST_SUBJECT,
                message: "the request of a CA needs a subject".to_owned(),
            });
        }
        Holder::Ca { path_length } => path_length,
    };
    Ok(Plan {
        template: template.name.clone(),
        subject,
        subject_alternative_names: names,
        key_usage: key_usage(template, asked)?,
        extended_key_usage: template.extended_key_usage.clone(),
        validity: template.validity,
        backdate: template.backdate,
        path_length,
        not_before: None,
        not_after: None,
        extensions: Vec::new(),
    })
}

fn may_call(template: &Template, asked: &Asked<'_>) -> Result<(), Refusal> {
    match template.callers {
        Callers::Authenticated => Ok(()),
        Callers::Local if asked.caller.door.is_on_this_machine() => Ok(()),
        Callers::Local => Err(Refusal {
            code: "caller-not-local",
            status: StatusCode::ENROLL_DENIED,
            message: format!("template {} is for callers on the CA's own machine", template.name),
        }),
    }
}

fn may_ask_for_another(template: &Template, asked: &Asked<'_>) -> Result<(), Refusal> {
    match (asked.on_behalf_of, template.on_behalf) {
        (None, _) | (Some(_), OnBehalf::Allow) => Ok(()),
        (Some(_), OnBehalf::Refuse) => Err(Refusal {
            code: "on-behalf-not-allowed",
            status: StatusCode::ENROLL_DENIED,
            message: format!(
                "template {} is not for those who ask on behalf of others",
                template.name
            ),
        }),
    }
}

fn may_renew(
    template: &Template,
    asked: &Asked<'_>,
    renewed: &Certificate,
    names: &[GeneralName],
) -> Result<(), Refusal> {
    match template.renewal {
        Renewal::AnyNames => Ok(()),
        Renewal::Refuse => Err(Refusal {
            code: "renewal-not-allowed",
            status: StatusCode::ENROLL_DENIED,
            message: format!("template {} does not renew certificates", template.name),
        }),
        Renewal::SameNames => {
            let known = renewed.subject_alternative_names();
            let same = asked.request.subject().matches(renewed.subject())
                && names.iter().all(|it| known.contains(it));
            if same {
                return Ok(());
            }
            Err(Refusal {
                code: "renewal-names-differ",
                status: StatusCode::BAD_REQUEST_SUBJECT,
                message: format!(
                    "template {} renews certificates with the names that they have, and the request \
                     asks for others",
                    template.name
                ),
            })
        }
    }
}

fn subject_is_allowed(template: &Template, asked: &Asked<'_>) -> Result<(), Refusal> {
    for (oid, _) in asked.request.subject().attributes() {
        if !template.subject_allowed.contains(&oid) {
            return Err(Refusal {
                code: "subject-not-allowed",
                status: StatusCode::BAD_REQUEST_SUBJECT,
                message: format!(
                    "template {} does not take subject attribute {oid} from the request",
                    template.name
                ),
            });
        }
    }
    Ok(())
}

fn alternative_names(template: &Template, asked: &Asked<'_>) -> Result<Vec<GeneralName>, Refusal> {
    let requested = asked.request.subject_alternative_names();
    for name in requested {
        let allowed = NameKind::of(name).is_some_and(|kind| template.names_allowed.contains(&kind));
        if !allowed {
            return Err(Refusal {
                code: "san-not-allowed",
                status: StatusCode::BAD_REQUEST_SUBJECT,
                message: format!(
                    "template {} does not take subject alternative name {} from the request",
                    template.name,
                    excerpt(&name.to_string())
                ),
            });
        }
    }
    if requested.is_empty() && template.dns_from_common_name {
        let name = asked.request.subject().common_name();
        let host = name.map(|it| GeneralName::Dns(it.to_owned()));
        return Ok(host.into_iter().filter(|it| it.check().is_ok()).collect());
    }
    Ok(requested.to_vec())
}

/// A requester's text, cut for a message: it goes into rows, events and logs.
fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

fn key_usage(template: &Template, asked: &Asked<'_>) -> Result<KeyUsage, Refusal> {
    let key = asked.request.key();
    let usage = fitting_usage(template.key_usage, key);
    if usage != KeyUsage::default() {
        return Ok(usage);
    }
    Err(Refusal {
        code: "key-unsuitable",
        // The original's word for a key that does not meet what the template demands of it.
        status: StatusCode::KEY_LENGTH,
        message: format!(
            "template {} is for nothing that a key of type {} can do",
            template.name,
            key.name()
        ),
    })
}

/// `keyEncipherment` makes sense for RSA alone (RFC 8813, RFC 8410, RFC 9881 forbid it for the
/// others); the template names it once for all keys.
fn fitting_usage(usage: KeyUsage, key: KeyAlgorithm) -> KeyUsage {
    let enciphers = KeyUsage::KEY_ENCIPHERMENT | KeyUsage::DATA_ENCIPHERMENT;
    let rsa = matches!(key, KeyAlgorithm::Rsa { .. });
    let fits = |it: KeyUsage| usage.contains(it) && (rsa || !enciphers.contains(it));
    let fitting = KeyUsage::NAMES.into_iter().map(|(_, it)| it).filter(|it| fits(*it));
    fitting.fold(KeyUsage::default(), |all, it| all | it)
}
