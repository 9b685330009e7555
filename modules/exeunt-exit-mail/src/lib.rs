//! The exit module that sends mail about events.
//!
//! An event becomes a mail, or its share of one, and is accepted when the server has taken that mail.
//! The parts: `settings` is what the operator says, with `levels` for what is said of an event and of
//! a template; `recipient` is who may be written to; `property` reads what a text names, `pattern` and
//! `template` are the two ways to write a text, and `wording` the texts where nothing is said;
//! `compose` makes a mail, `smtp` speaks with the server, `deliver` brings a batch to it, `digest` puts
//! several events into one mail, `maintain` tries it all without sending.

mod compose;
mod deliver;
mod digest;
mod levels;
mod mail;
mod maintain;
mod pattern;
mod property;
mod recipient;
mod settings;
mod smtp;
mod template;
mod wording;

use std::io;

use exeunt_module_kit::{Event, Initialize};

pub use mail::MailExit;

/// A mail as it would be sent, for trials of what settings and events make of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Who would get it.
    pub recipients: Vec<String>,
    /// Headers and body, with line ends as they are sent.
    pub message: String,
}

/// What would be sent about each of these events, without a server; `None` where nothing would be.
///
/// # Errors
///
/// One line for the operator: what about the settings cannot be.
pub fn preview(hello: &Initialize, events: &[Event]) -> Result<Vec<Option<Preview>>, String> {
    let writer = mail::Writer::new(hello)?;
    let of = |event| {
        let draft = writer.draft(event).ok()?;
        let mail = writer.mail(&[&draft]).ok()?;
        let recipients = mail.recipients.iter().map(ToString::to_string).collect();
        Some(Preview { recipients, message: mail.text })
    };
    Ok(events.iter().map(of).collect())
}

/// Runs the module on standard input and output until the host ends it.
///
/// # Errors
///
/// The conversation with the host broke off. The process ends with a failure then.
pub fn main_loop() -> io::Result<()> {
    exeunt_module_kit::serve(MailExit::default())
}
