//! The runner with real libraries: modules in C and C++, compiled here against the published headers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod build;
mod conversation;
mod loading;
mod managing;
mod policy;
mod reading;

use std::{
    path::Path,
    process::{Command, Stdio},
};

use exeunt_module::{
    Event, Extension, Outcome, Properties, Value,
    call_back::{Found, Query, Refusal},
};
use exeunt_module_kit::testing::{Host, issued_event};

/// The runner's command for a library.
fn runner(library: &Path, class: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_exeunt-runner"));
    command.arg("--library").arg(library).args(["--class", class]);
    command
}

/// A host of a runner with that library, which answers call-backs.
fn host(library: &Path, class: &str) -> Host {
    Host::spawn(runner(library, class)).unwrap().with_call_backs(answer)
}

/// What the test's server knows beside the events.
fn answer(query: &Query) -> Result<Found, Refusal> {
    let asked = query.asked();
    let value = match (query, asked.seq, asked.name.to_lowercase().as_str()) {
        (Query::GetRequestProperty(_), 9, "rawrequest") => Value::Binary(vec![0x30, 3, 2, 1, 5]),
        (Query::GetCertificateProperty(_), 0, "catype") => Value::Long(3),
        (Query::GetCertificateProperty(_), 0, "sanitizedcaname") => {
            Value::String("asked".to_owned())
        }
        (Query::GetCertificateProperty(_), 0, "certcount") => return Err(Refusal::NotFound),
        _ => return Err(Refusal::Empty),
    };
    Ok(Found::Value(value))
}

/// Event `seq` of a request whose attribute `Do` says what the module is to do.
fn told(seq: u64, what: &str) -> Event {
    let mut event = issued_event(seq, b"\x30\x01\x00");
    event.attributes.push(("Do".to_owned(), what.to_owned()));
    event.request.push("SubmittedWhen", Value::Date("2026-11-21T06:00:00.500Z".to_owned()));
    for (oid, flags, value) in [
        ("2.5.29.99", 0x1_0001, &[0x30, 0][..]),
        ("1.2.3.1", 0x2_0000, &[2, 1, 0xff]),
        ("1.2.3.2", 0x4_0002, &[0x16, 2, b'h', b'i']),
    ] {
        event.extensions.push(oid, Extension { flags, value: value.to_vec() });
    }
    event
}

/// An event of the server.
fn of_server(seq: u64, bit: u32) -> Event {
    Event {
        event: bit,
        context: 0,
        subject: "server".to_owned(),
        request: Properties::default(),
        certificate: Properties::default(),
        ..issued_event(seq, b"")
    }
}

/// What the module told as the reason of its failure, without the code.
#[track_caller]
fn reported(outcome: &Outcome) -> &str {
    let Outcome::Retry { after_ms: None, reason } = outcome else {
        panic!("no report: {outcome:?}");
    };
    // E_ABORT, which the test modules use for nothing else.
    reason.strip_prefix("Notify failed: 0x80004004 ").unwrap_or_else(|| panic!("{reason}"))
}

/// The parts of a report, one to a line.
fn parts(report: &str) -> Vec<&str> {
    report.split(';').map(str::trim).filter(|it| !it.is_empty()).collect()
}

/// A command whose standard error goes into a file.
fn with_stderr(mut command: Command, file: &Path) -> Command {
    command.stderr(Stdio::from(std::fs::File::create(file).unwrap()));
    command
}
