//! `exeunt request list|show`.

use exeunt_api::{REQUESTS_PATH, RequestDetail, RequestPage};

use crate::cli::{List, Request};
use crate::client::ApiClient;
use crate::failure::Failure;
use crate::output;

pub fn run(command: Request) -> Result<u8, Failure> {
    match command {
        Request::List(options) => list(&options),
        Request::Show { id, json, door } => {
            let detail: RequestDetail =
                ApiClient::open(&door)?.get(&format!("{REQUESTS_PATH}/{id}"), &[])?;
            if json {
                output::json(&detail)?;
            } else {
                show(&detail)?;
            }
            Ok(0)
        }
    }
}

/// The query of a list, for every list there is.
pub fn page_query(options: &List) -> Vec<(&'static str, String)> {
    let mut query = vec![("limit", options.limit.to_string())];
    if let Some(before) = options.before {
        query.push(("before", before.to_string()));
    }
    query
}

fn list(options: &List) -> Result<u8, Failure> {
    let page: RequestPage =
        ApiClient::open(&options.door)?.get(REQUESTS_PATH, &page_query(options))?;
    if options.json {
        output::json(&page)?;
        return Ok(0);
    }
    let row = |it: &exeunt_api::RequestSummary| {
        vec![
            it.id.to_string(),
            it.disposition.word().to_owned(),
            it.submitted.clone(),
            it.template.clone(),
            it.requester.clone(),
            it.subject.clone(),
        ]
    };
    let rows = page.requests.iter().map(row).collect();
    output::table(&["ID", "STATE", "SUBMITTED", "TEMPLATE", "REQUESTER", "SUBJECT"], rows)?;
    next_page(page.next_before);
    Ok(0)
}

/// Says on standard error how to see more.
pub fn next_page(next: Option<u64>) {
    if let Some(before) = next {
        eprintln!("More: --before {before}");
    }
}

fn show(detail: &RequestDetail) -> Result<(), Failure> {
    let it = &detail.summary;
    output::fields(&[
        ("Request", it.id.to_string()),
        ("State", it.disposition.word().to_owned()),
        ("Status code", it.status_code.clone()),
        ("Message", it.message.clone()),
        ("Template", it.template.clone()),
        ("Subject", it.subject.clone()),
        ("Requester", it.requester.clone()),
        ("Caller", it.caller.clone()),
        ("Submitted", it.submitted.clone()),
        ("Resolved", it.resolved.clone().unwrap_or_default()),
        ("Serial", it.serial.clone().unwrap_or_default()),
    ])?;
    for attribute in &detail.attributes {
        output::fields(&[("Attribute", format!("{}:{}", attribute.name, attribute.value))])?;
    }
    output::write_stdout(detail.request.as_bytes())
}
