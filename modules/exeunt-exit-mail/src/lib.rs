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

pub use mail::MailExit;

/// Runs the module on standard input and output until the host ends it.
///
/// # Errors
///
/// The conversation with the host broke off. The process ends with a failure then.
pub fn main_loop() -> io::Result<()> {
    exeunt_module_kit::serve(MailExit::default())
}
