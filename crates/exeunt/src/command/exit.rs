//! `exeunt exit …`: how modules stand is here; what is done to them is below.

pub mod check;
mod life;
mod maintain;
pub mod settings;
mod shelf;
mod watch;

use exeunt_api::{EXITS_PATH, ExitChanged, ExitDetail, ExitList, ExitState, ExitStatus, HeldEvent};
use exeunt_types::ExitName;

use crate::cli::{Door, Exit};
use crate::client::ApiClient;
use crate::failure::{Failure, plain};
use crate::output;

pub fn run(command: Exit) -> Result<u8, Failure> {
    match command {
        Exit::List { json, door } | Exit::Status { name: None, json, door } => list(json, &door),
        Exit::Status { name: Some(name), json, door } => {
            let detail: ExitDetail = ApiClient::open(&door)?.get(&path(&name)?, &[])?;
            if json { output::json(&detail) } else { show(&detail) }
        }
        Exit::Add(options) => life::add(options),
        Exit::Check(options) => return check::run(options),
        Exit::Test(options) => return maintain::test(&options),
        Exit::Install(options) => return maintain::install(&options),
        Exit::Reconcile(options) => return maintain::reconcile(&options),
        Exit::Remove(options) => life::remove(&options),
        Exit::Enable(options) => life::switch(&options, "enable"),
        Exit::Disable(options) => life::switch(&options, "disable"),
        Exit::Settings(options) => settings::run(options),
        Exit::Parked(options) => shelf::parked(options),
        Exit::Replay(options) => shelf::replay(&options),
        Exit::Explain { name, request, json, door } => watch::explain(&name, request, json, &door),
        Exit::Tail(options) => watch::tail(&options),
    }?;
    Ok(0)
}

/// The path of a module. A name that is none is not sent.
fn path(name: &str) -> Result<String, Failure> {
    ExitName::parse(name).map_err(|err| Failure::usage("usage-exit-name", err.to_string()))?;
    Ok(format!("{EXITS_PATH}/{name}"))
}

/// Says what the server noted about a change, and then the sentence about it.
fn told(changed: &ExitChanged, json: bool, sentence: &str) -> Result<(), Failure> {
    if json {
        return output::json(changed);
    }
    for note in &changed.notes {
        eprintln!("exeunt: note: {}", plain(note));
    }
    output::line(&plain(sentence))
}

/// What a module that was just started goes on to do, for the end of a sentence.
fn and_state(changed: &ExitChanged) -> &'static str {
    match changed.state {
        Some(ExitState::Starting) => " and is still starting",
        _ => "",
    }
}

/// A number of events in words.
fn counted(events: u64) -> String {
    if events == 1 { "1 event".to_owned() } else { format!("{events} events") }
}

fn list(json: bool, door: &Door) -> Result<(), Failure> {
    let list: ExitList = ApiClient::open(door)?.get(EXITS_PATH, &[])?;
    if json {
        return output::json(&list);
    }
    let heading = ["NAME", "STATE", "TO GO", "OLDEST", "RETRY", "PARKED", "ACCEPTED", "LAST ERROR"];
    output::table(&heading, list.exits.iter().map(row).collect())
}

fn row(it: &ExitStatus) -> Vec<String> {
    vec![
        it.name.clone(),
        it.state.word().to_owned(),
        it.undelivered.to_string(),
        it.oldest_unsettled_s.map(age).unwrap_or_default(),
        it.held_retry.to_string(),
        it.held_parked.to_string(),
        it.accepted.to_string(),
        // One that is over is of no interest among others.
        cut(&it.last_error.clone().filter(|_| !is_over(it)).unwrap_or_default()),
    ]
}

/// Whether what failed last is over: events were accepted since, and none is left that failed.
fn is_over(it: &ExitStatus) -> bool {
    it.mended_at.is_some() && it.held_retry == 0
}

/// An age in its largest unit, so that it fits into a column.
fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Longest error in a list, in characters; the status of the module has all of it.
const ERROR_CHARS_MAX: usize = 60;

fn cut(text: &str) -> String {
    let mut chars = text.chars();
    let mut cut: String = chars.by_ref().take(ERROR_CHARS_MAX).collect();
    if chars.next().is_some() {
        cut.push('…');
    }
    cut
}

fn show(detail: &ExitDetail) -> Result<(), Failure> {
    let it = &detail.status;
    let nonzero = |it: u64| if it == 0 { String::new() } else { it.to_string() };
    let oldest = it.oldest_unsettled_s.map(|age| format!("{age} s")).unwrap_or_default();
    let over = it.mended_at.clone().filter(|_| is_over(it)).unwrap_or_default();
    let replay =
        it.replay.map(|it| format!("up to event {}, then on after event {}", it.to, it.resume_at));
    let events =
        it.events.as_ref().map(|it| if it.is_empty() { "none".to_owned() } else { it.join(", ") });
    output::fields(&[
        ("Module", it.name.clone()),
        ("Description", it.description.clone()),
        ("State", it.state.word().to_owned()),
        ("Why", it.why.clone().unwrap_or_default()),
        ("Next try", it.until.clone().unwrap_or_default()),
        ("Process", it.pid.map(|it| it.to_string()).unwrap_or_default()),
        ("Isolation", it.isolation.clone()),
        ("Is told of", events.unwrap_or_default()),
        ("Cursor", format!("{} of {} ({} to go)", it.cursor, it.head, it.lag)),
        ("Oldest unsettled", oldest),
        ("Replay", replay.unwrap_or_default()),
        ("Accepted", it.accepted.to_string()),
        ("Skipped", nonzero(it.skipped)),
        ("Attempts", it.attempts.to_string()),
        ("Failed attempts", nonzero(it.retried)),
        ("Starts", it.starts.to_string()),
        ("Faults", nonzero(it.faults)),
        ("Held for retry", it.held_retry.to_string()),
        ("Held behind", nonzero(it.held_behind)),
        ("Parked", it.held_parked.to_string()),
        // What keeps it from running stands above.
        (
            "Last error",
            it.last_error.clone().filter(|_| it.last_error != it.why).unwrap_or_default(),
        ),
        ("Last error at", it.last_error_at.clone().unwrap_or_default()),
        ("Mended since", over),
        ("Target compared", it.reconciled.as_ref().map(maintain::in_a_line).unwrap_or_default()),
    ])?;
    if detail.held.is_empty() {
        return Ok(());
    }
    output::line("")?;
    shelf_table(&detail.held)
}

fn shelf_table(held: &[HeldEvent]) -> Result<(), Failure> {
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
    output::table(&heading, held.iter().map(row).collect())
}
