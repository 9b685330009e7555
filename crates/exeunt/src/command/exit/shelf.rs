//! `exeunt exit parked …` and `exeunt exit replay`.

use exeunt_api::{ExitChanged, ExitDetail, HeldEvent, ReplayOrder, ShelfOrder};
use reqwest::Method;

use super::{counted, path, shelf_table, told};
use crate::cli::{Named, Parked, Replay, ShelfEvents};
use crate::client::ApiClient;
use crate::failure::Failure;
use crate::output;

pub fn parked(command: Parked) -> Result<(), Failure> {
    match command {
        Parked::List(Named { name, json, door }) => {
            let detail = detail_of_module(&ApiClient::open(&door)?, &name)?;
            if json {
                return output::json(&detail.held);
            }
            if detail.held.is_empty() {
                return none_parked(&name);
            }
            shelf_table(&detail.held)?;
            let behind = detail.status.held_behind;
            if behind != 0 {
                let wait = if behind == 1 { "waits" } else { "wait" };
                eprintln!(
                    "exeunt: hint: {} {wait} behind others of their subject: exeunt exit status {name}",
                    counted(behind),
                );
            }
            Ok(())
        }
        Parked::Show(options) => show(&options),
        Parked::Retry(options) => {
            let changed = order(&options, "retry", None)?;
            let sentence = format!("{} will be told at once.", counted(changed.events));
            told(&changed, options.json, &sentence)
        }
        Parked::Drop { reason, events: options } => {
            if reason.trim().is_empty() {
                return Err(Failure::usage("usage-reason", "--reason is empty")
                    .hint("say in one line why they are given up; it stands in the audit trail"));
            }
            let changed = order(&options, "drop", Some(reason))?;
            told(&changed, options.json, &format!("{} dropped.", counted(changed.events)))
        }
    }
}

fn none_parked(name: &str) -> Result<(), Failure> {
    output::line(&format!("No event of {name} is parked."))
}

fn of_module(client: &ApiClient, name: &str) -> Result<Vec<HeldEvent>, Failure> {
    detail_of_module(client, name).map(|it| it.held)
}

/// How a module stands, with what is parked of its shelf.
fn detail_of_module(client: &ApiClient, name: &str) -> Result<ExitDetail, Failure> {
    client.get(&path(name)?, &[("parked", "true".to_owned())])
}

fn show(options: &ShelfEvents) -> Result<(), Failure> {
    let ShelfEvents { name, events, all, json, door } = options;
    let client = ApiClient::open(door)?;
    let mut held = of_module(&client, name)?;
    let missing = |held: &[HeldEvent]| {
        events.iter().copied().find(|it| held.iter().all(|row| row.event != *it))
    };
    if !all {
        if missing(&held).is_some() {
            // It may be held, to be told again or behind another one.
            let detail: ExitDetail = client.get(&path(name)?, &[])?;
            held.retain(|it| detail.held.iter().all(|other| other.event != it.event));
            held.extend(detail.held);
            held.sort_by_key(|it| it.event);
        }
        if let Some(missing) = missing(&held) {
            let message = format!("event {missing} of module {name} is neither parked nor held");
            return Err(Failure::new("event-not-parked", message)
                .hint(format!("see what is: exeunt exit status {name}")));
        }
        held.retain(|it| events.contains(&it.event));
    }
    if *json {
        return output::json(&held);
    }
    if held.is_empty() {
        return none_parked(name);
    }
    for (index, it) in held.iter().enumerate() {
        if 0 < index {
            output::line("")?;
        }
        output::fields(&[
            ("Event", it.event.to_string()),
            ("Kind", it.kind.clone()),
            ("Happened", it.at.clone().unwrap_or_default()),
            ("Subject", it.subject.clone()),
            ("Requester", it.requester.clone().unwrap_or_default()),
            ("Certificate", it.certificate_subject.clone().unwrap_or_default()),
            ("Serial", it.serial.clone().unwrap_or_default()),
            ("State", it.state.word().to_owned()),
            ("On the shelf since", it.held_since.clone().unwrap_or_default()),
            ("Attempts", it.attempts.to_string()),
            ("Next attempt", it.next_attempt.clone().unwrap_or_default()),
            ("Last error", it.last_error.clone().unwrap_or_default()),
        ])?;
    }
    let request = held.iter().find_map(|it| it.subject.strip_prefix("request:"));
    if let Some(request) = request {
        eprintln!("exeunt: hint: exeunt request show {request}");
    }
    Ok(())
}

fn order(
    options: &ShelfEvents,
    word: &str,
    reason: Option<String>,
) -> Result<ExitChanged, Failure> {
    let order = ShelfOrder { events: options.events.clone(), all: options.all, reason };
    let path = format!("{}/{word}", path(&options.name)?);
    ApiClient::open(&options.door)?.change(Method::POST, &path, &[], Some(&order))
}

pub fn replay(options: &Replay) -> Result<(), Failure> {
    let Replay { name, from, to, cancel, json, door } = options;
    let order = ReplayOrder { from: *from, to: *to, cancel: *cancel };
    let module = path(name)?;
    let path = format!("{module}/replay");
    let client = ApiClient::open(door)?;
    let before = if *cancel { client.get::<ExitDetail>(&module, &[])?.status.replay } else { None };
    let changed: ExitChanged = client.change(Method::POST, &path, &[], Some(&order))?;
    let sentence = if *cancel && before.is_none() {
        format!("No replay of {name} is under way.")
    } else if *cancel {
        format!("The replay to {name} is ended.")
    } else {
        format!("{} will be told to {name} again, where it asks for them.", counted(changed.events))
    };
    told(&changed, *json, &sentence)
}
