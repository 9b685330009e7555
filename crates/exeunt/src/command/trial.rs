//! `exeunt submit --dry-run`: what would become of a request, rule by rule.

use exeunt_api::{TrialAnswer, TrialCertificate, TrialRule, TrialVerdict};

use crate::failure::{Failure, STATUS_FAILED, STATUS_PENDING};
use crate::output;

/// Tells it; the number is the exit status, as it would be of the submission itself.
///
/// # Errors
///
/// The request would be refused, where no JSON is wanted.
pub fn tell(answer: &TrialAnswer, json: bool) -> Result<u8, Failure> {
    if json {
        output::json(answer)?;
        return Ok(match answer.verdict {
            TrialVerdict::Pass => 0,
            TrialVerdict::Hold => STATUS_PENDING,
            _ => STATUS_FAILED,
        });
    }
    let TrialAnswer { template, verdict, code, message, rules, certificate } = answer;
    let row =
        |it: &TrialRule| vec![it.rule.clone(), it.verdict.word().to_owned(), it.message.clone()];
    output::table(&["RULE", "VERDICT", "WHY"], rules.iter().map(row).collect())?;
    if let Some(certificate) = certificate {
        output::line("")?;
        show(certificate)?;
    }
    output::line("")?;
    let of_template =
        if template.is_empty() { String::new() } else { format!(" from template {template}") };
    match verdict {
        TrialVerdict::Pass => {
            output::line(&format!("The request would be issued{of_template}. Nothing was done."))?;
            Ok(0)
        }
        TrialVerdict::Hold => {
            output::line(&format!(
                "The request would wait{of_template}: {}. Nothing was done.",
                crate::failure::plain(message)
            ))?;
            Ok(STATUS_PENDING)
        }
        _ => {
            let code = code.clone().unwrap_or_else(|| "request-denied".to_owned());
            let message = format!("the request would be refused{of_template}: {message}");
            Err(Failure::new(code, message).hint("nothing was done; the rules above say why"))
        }
    }
}

fn show(certificate: &TrialCertificate) -> Result<(), Failure> {
    let TrialCertificate {
        subject,
        names,
        not_before,
        not_after,
        key,
        key_usage,
        extended_key_usage,
        extensions,
    } = certificate;
    let extensions: Vec<String> = extensions
        .iter()
        .map(|it| format!("{}{}", it.oid, if it.critical { " (critical)" } else { "" }))
        .collect();
    output::fields(&[
        ("Subject", subject.clone()),
        ("Names", names.join(", ")),
        ("Valid from", not_before.clone()),
        ("Valid until", not_after.clone()),
        ("Key", key.clone()),
        ("Key usage", key_usage.join(", ")),
        ("Extended key usage", extended_key_usage.join(", ")),
        ("Extensions", extensions.join(", ")),
    ])
}
