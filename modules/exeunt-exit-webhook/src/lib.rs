//! The exit module that tells a web server of events: `CloudEvents` over HTTPS, signed.
//!
//! The parts: `settings` is what the operator says, `cloud_event` makes octets of an event,
//! `signature` signs them, `address` and `resolver` see to it that only whom the operator means is
//! talked to, `sender` makes calls, `reply` and `retry_after` say what an answer means, `webhook` is the
//! order of events.
//!
//! Rules that hold whatever is delivered, and how often:
//!
//! - Accepted is what the server has answered with 2xx, whole, and nothing else.
//! - The same event is the same octets at every attempt, under the same id.
//! - What speaks against an event parks it; what speaks against the server, the sender or the way
//!   between them is tried again.
//! - No address is connected to that was not looked at.

mod address;
mod cloud_event;
mod quoted;
mod reply;
mod resolver;
mod retry_after;
mod sender;
mod settings;
mod signature;
mod webhook;

use std::io;

pub use exeunt_publication::resolver::LookUp;
pub use webhook::WebhookExit;

/// Runs the module on standard input and output until the host ends it.
///
/// # Errors
///
/// The conversation with the host broke off. The process ends with a failure then.
pub fn main_loop() -> io::Result<()> {
    exeunt_module_kit::serve(WebhookExit::default())
}
