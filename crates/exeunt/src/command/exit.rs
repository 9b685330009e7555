//! `exeunt exit list|status`.

use exeunt_api::{EXITS_PATH, ExitDetail, ExitList, ExitStatus, HeldEvent};

use crate::cli::Exit;
use crate::client::ApiClient;
use crate::failure::Failure;
use crate::output;

pub fn run(command: Exit) -> Result<u8, Failure> {
    match command {
        Exit::List { json, door } => {
            let list: ExitList = ApiClient::open(&door)?.get(EXITS_PATH, &[])?;
            if json {
                output::json(&list)?;
            } else {
                let heading = ["NAME", "STATE", "LAG", "RETRY", "PARKED", "ACCEPTED", "LAST ERROR"];
                output::table(&heading, list.exits.iter().map(row).collect())?;
            }
        }
        Exit::Status { name, json, door } => {
            exeunt_types::ExitName::parse(&name)
                .map_err(|err| Failure::usage("usage-exit-name", err.to_string()))?;
            let detail: ExitDetail =
                ApiClient::open(&door)?.get(&format!("{EXITS_PATH}/{name}"), &[])?;
            if json { output::json(&detail)? } else { show(&detail)? }
        }
    }
    Ok(0)
}

fn row(it: &ExitStatus) -> Vec<String> {
    vec![
        it.name.clone(),
        it.state.word().to_owned(),
        it.lag.to_string(),
        it.held_retry.to_string(),
        it.held_parked.to_string(),
        it.accepted.to_string(),
        it.last_error.clone().unwrap_or_default(),
    ]
}

fn show(detail: &ExitDetail) -> Result<(), Failure> {
    let it = &detail.status;
    let counted = |it: u64| if it == 0 { String::new() } else { it.to_string() };
    let age = it.oldest_unsettled_s.map(|age| format!("{age} s")).unwrap_or_default();
    output::fields(&[
        ("Module", it.name.clone()),
        ("Description", it.description.clone()),
        ("State", it.state.word().to_owned()),
        ("Why", it.why.clone().unwrap_or_default()),
        ("Next try", it.until.clone().unwrap_or_default()),
        ("Process", it.pid.map(|it| it.to_string()).unwrap_or_default()),
        ("Cursor", format!("{} of {} ({} to go)", it.cursor, it.head, it.lag)),
        ("Oldest unsettled", age),
        ("Accepted", it.accepted.to_string()),
        ("Skipped", counted(it.skipped)),
        ("Attempts", it.attempts.to_string()),
        ("Failed attempts", counted(it.retried)),
        ("Starts", it.starts.to_string()),
        ("Faults", counted(it.faults)),
        ("Held for retry", it.held_retry.to_string()),
        ("Held behind", counted(it.held_behind)),
        ("Parked", it.held_parked.to_string()),
        ("Last error", it.last_error.clone().unwrap_or_default()),
        ("Last error at", it.last_error_at.clone().unwrap_or_default()),
    ])?;
    if detail.held.is_empty() {
        return Ok(());
    }
    let row = |it: &HeldEvent| {
        vec![
            it.event.to_string(),
            it.kind.clone(),
            it.subject.clone(),
            it.state.word().to_owned(),
            it.attempts.to_string(),
            it.next_attempt.clone().unwrap_or_default(),
            it.last_error.clone().unwrap_or_default(),
        ]
    };
    let heading = ["EVENT", "KIND", "SUBJECT", "STATE", "ATTEMPTS", "NEXT ATTEMPT", "LAST ERROR"];
    output::line("")?;
    output::table(&heading, detail.held.iter().map(row).collect())
}
