//! Templates as they are shown, and requests that are tried against them.

use std::sync::Arc;

use exeunt_api::{
    TemplateDetail, TemplateList, TemplateSetting, TrialAnswer, TrialExtension, TrialRule,
    TrialVerdict,
};
use exeunt_engine::{Submission, TemplateView, Trial, TrialCertificate, Verdict};
use hyper::StatusCode;

use crate::answer::{Answer, json, rfc3339};
use crate::fault::Fault;
use crate::handler::{Edge, blocking};

/// `GET /v1/templates`.
pub(crate) fn list(edge: &Edge) -> Answer {
    let templates = edge.engine.templates().into_iter().map(detail).collect();
    json(StatusCode::OK, &TemplateList { templates })
}

/// What is repeated of a name that no template has, in characters: the longest that one may have.
const NAME_SHOWN_CHARS_MAX: usize = 64;

/// `GET /v1/templates/{name}`.
pub(crate) fn show(edge: &Edge, name: &str) -> Result<Answer, Fault> {
    let found = edge.engine.templates().into_iter().find(|it| it.name == name);
    let found = found.ok_or_else(|| {
        let name: String = name.chars().take(NAME_SHOWN_CHARS_MAX).collect();
        Fault::not_found("template-not-found", format!("there is no template {name:?}"))
    })?;
    Ok(json(StatusCode::OK, &detail(found)))
}

/// `POST /v1/requests?dry_run=true`.
pub(crate) async fn try_out(
    edge: &Arc<Edge>,
    submission: Submission,
    form: bool,
) -> Result<Answer, Fault> {
    let try_out = move |edge: &Edge| match edge.engine.try_out(submission) {
        Ok(trial) => Ok(json(StatusCode::OK, &answer(trial))),
        Err(err) => Err(Fault::submit(&err, form)),
    };
    blocking(edge, &edge.rooms.trial, try_out).await?
}

fn detail(view: TemplateView) -> TemplateDetail {
    let TemplateView { name, is_default, settings, dangerous } = view;
    let setting = |(key, value): (&str, String)| TemplateSetting { key: key.to_owned(), value };
    TemplateDetail {
        name,
        default: is_default,
        settings: settings.into_iter().map(setting).collect(),
        dangerous: dangerous.into_iter().map(str::to_owned).collect(),
    }
}

fn answer(trial: Trial) -> TrialAnswer {
    let Trial { template, verdict: all, code, message, verdicts, certificate } = trial;
    let rule = |it: exeunt_engine::RuleVerdict| TrialRule {
        rule: it.rule,
        verdict: verdict(it.verdict),
        message: it.message,
    };
    TrialAnswer {
        template,
        verdict: verdict(all),
        code: code.map(str::to_owned),
        message,
        rules: verdicts.into_iter().map(rule).collect(),
        certificate: certificate.map(wire_certificate),
    }
}

fn verdict(verdict: Verdict) -> TrialVerdict {
    match verdict {
        Verdict::Pass => TrialVerdict::Pass,
        Verdict::Hold => TrialVerdict::Hold,
        Verdict::Refuse => TrialVerdict::Refuse,
        Verdict::NotApplied => TrialVerdict::NotApplied,
    }
}

fn wire_certificate(certificate: TrialCertificate) -> exeunt_api::TrialCertificate {
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
    exeunt_api::TrialCertificate {
        subject,
        names,
        not_before: rfc3339(not_before),
        not_after: rfc3339(not_after),
        key,
        key_usage: key_usage.into_iter().map(str::to_owned).collect(),
        extended_key_usage,
        extensions: extensions
            .into_iter()
            .map(|it| TrialExtension {
                oid: it.oid.to_string(),
                critical: it.critical,
                value: exeunt_types::hexadecimal(&it.value),
            })
            .collect(),
    }
}
