//! `exeunt template …`: looking at templates, and checking them before they count.

use std::path::Path;

use exeunt_api::{TEMPLATES_PATH, TemplateDetail, TemplateList, TemplateSetting};
use serde::Serialize;

use crate::cli::Template;
use crate::client::ApiClient;
use crate::config::{Config, check_templates};
use crate::failure::{Failure, STATUS_FAILED, chain};
use crate::output;

/// What was checked, for programs.
#[derive(Debug, Serialize)]
struct Report {
    templates: Vec<String>,
    mistakes: Vec<Mistake>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Mistake {
    code: &'static str,
    message: String,
}

pub fn run(command: Template) -> Result<u8, Failure> {
    match command {
        Template::List { json, door } => {
            let list: TemplateList = ApiClient::open(&door)?.get(TEMPLATES_PATH, &[])?;
            if json {
                output::json(&list)?;
                return Ok(0);
            }
            let heading = ["NAME", "ISSUES", "CALLERS", "VALID", "NOTES"];
            output::table(&heading, list.templates.iter().map(row).collect())?;
            Ok(0)
        }
        Template::Show { name, json, door } => {
            if name.is_empty() || name.contains('/') {
                let message = format!("{name:?} is not the name of a template");
                return Err(Failure::usage("usage-template", message)
                    .hint("the names: exeunt template list"));
            }
            let path = format!("{TEMPLATES_PATH}/{name}");
            let detail: TemplateDetail = ApiClient::open(&door)?.get(&path, &[])?;
            if json {
                output::json(&detail)?;
            } else {
                show(&detail)?;
            }
            Ok(0)
        }
        Template::Check { file, json } => check(&file, json),
    }
}

fn value<'a>(detail: &'a TemplateDetail, key: &str) -> &'a str {
    let found = detail.settings.iter().find(|it| it.key == key);
    found.map_or("", |it| it.value.as_str())
}

fn row(detail: &TemplateDetail) -> Vec<String> {
    let mut notes = Vec::new();
    if detail.default {
        notes.push("default".to_owned());
    }
    match value(detail, "approvals") {
        "" | "1" => (),
        approvals => notes.push(format!("{approvals} approvals")),
    }
    if value(detail, "ca") == "true" {
        notes.push("makes CAs".to_owned());
    }
    if !detail.dangerous.is_empty() {
        notes.push(format!("dangerous: {}", detail.dangerous.join(", ")));
    }
    vec![
        detail.name.clone(),
        value(detail, "issue").to_owned(),
        value(detail, "callers").to_owned(),
        format!("{} days", value(detail, "validity_days")),
        notes.join("; "),
    ]
}

fn show(detail: &TemplateDetail) -> Result<(), Failure> {
    let TemplateDetail { name, default, settings, dangerous } = detail;
    let mut fields = vec![("name", name.clone())];
    if *default {
        fields.push(("default", "true".to_owned()));
    }
    let of_setting =
        |TemplateSetting { key, value }: &TemplateSetting| (key.clone(), value.clone());
    let settings: Vec<(String, String)> = settings.iter().map(of_setting).collect();
    fields.extend(settings.iter().map(|(key, value)| (key.as_str(), value.clone())));
    output::fields(&fields)?;
    if !dangerous.is_empty() {
        output::warn(&format!("dangerous options are on: {}", dangerous.join(", ")));
    }
    Ok(())
}

fn check(file: &Path, json: bool) -> Result<u8, Failure> {
    let text = Config::read(file).map_err(|err| Failure::from_error(err.code(), &err))?;
    let (templates, mistakes) = check_templates(&text).map_err(|err| {
        Failure::new(err.code(), format!("{}: {}", file.display(), chain(&err)))
            .hint("a template begins with [[template]]: docs/manual/templates.md")
    })?;
    let warnings: Vec<String> = templates.iter().filter_map(crate::config::warn_of).collect();
    let report = Report {
        templates: templates.iter().map(|it| it.name.clone()).collect(),
        mistakes: mistakes
            .iter()
            .map(|it| Mistake { code: it.code(), message: chain(it) })
            .collect(),
        warnings,
    };
    let is_good = report.mistakes.is_empty();
    if json {
        output::json(&report)?;
        return Ok(if is_good { 0 } else { STATUS_FAILED });
    }
    for warning in &report.warnings {
        output::line(&format!("warning: {}", crate::failure::plain(warning)))?;
    }
    for Mistake { message, .. } in &report.mistakes {
        output::line(&format!("mistake: {}", crate::failure::plain(message)))?;
    }
    if !is_good {
        let count = report.mistakes.len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        let message = format!("the templates of {} have {count} {noun}", file.display());
        return Err(Failure::new("config-invalid", message)
            .hint("docs/manual/templates.md explains every key"));
    }
    match report.templates.len() {
        0 => output::line("There is no template in this file.")?,
        _ => output::line(&format!("Good: {}", report.templates.join(", ")))?,
    }
    Ok(0)
}
