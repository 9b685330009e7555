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
            let held = of_module(&ApiClient::open(&door)?, &name)?;
            if json { output::json(&held) } else { shelf_table(&held) }
        }
        Parked::Show(options) => show(&options),
        Parked::Retry(options) => {
            let changed = order(&options, "retry", None)?;
            let sentence = format!("{} will be told at once.", counted(changed.events));
            told(&changed, options.json, &sentence)
        }
        Parked::Drop { reason, events: options } => {
            let changed = order(&options, "drop", Some(reason))?;
            told(&changed, options.json, &format!("{} dropped.", counted(changed.events)))
        }
    }
}

fn of_module(client: &ApiClient, name: &str) -> Result<Vec<HeldEvent>, Failure> {
    let query = [("parked", "true".to_owned())];
    let detail: ExitDetail = client.get(&path(name)?, &query)?;
    Ok(detail.held)
}

fn show(options: &ShelfEvents) -> Result<(), Failure> {
    let mut held = of_module(&ApiClient::open(&options.door)?, &options.name)?;
    if !options.all {
        let missing = options.events.iter().find(|it| held.iter().all(|row| row.event != **it));
        if let Some(missing) = missing {
            let message = format!("event {missing} of module {} is not parked", options.name);
            return Err(Failure::new("event-not-parked", message)
                .hint(format!("see what is: exeunt exit parked list {}", options.name)));
        }
        held.retain(|it| options.events.contains(&it.event));
    }
    if options.json {
        return output::json(&held);
    }
    for (index, it) in held.iter().enumerate() {
        if 0 < index {
            output::line("")?;
        }
        output::fields(&[
            ("Event", it.event.to_string()),
            ("Kind", it.kind.clone()),
            ("Subject", it.subject.clone()),
            ("Attempts", it.attempts.to_string()),
            ("Last error", it.last_error.clone().unwrap_or_default()),
        ])?;
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
    let path = format!("{}/replay", path(name)?);
    let client = ApiClient::open(door)?;
    let changed: ExitChanged = client.change(Method::POST, &path, &[], Some(&order))?;
    let sentence = if *cancel {
        format!("The replay to {name} is ended.")
    } else {
        format!("{} will be told to {name} again, where it asks for them.", counted(changed.events))
    };
    told(&changed, *json, &sentence)
}
