//! The exit module that tells a message bus of events: NATS with `JetStream`, or AMQP 0-9-1.
//!
//! Every event becomes one message, a `CloudEvent`. The parts: `settings` is what the operator says,
//! `subject` makes subjects out of what is in an event, `message` is what is sent, `connection` is
//! the way to the server and what it says unasked, `publish` is the order of events and their
//! outcomes, `stream` looks at the stream and makes it. They are those of NATS; `amqp` has its
//! own.
//!
//! Rules that hold with NATS whatever is delivered, and how often:
//!
//! - An event is accepted when the server has said that it is in the stream, and not before.
//! - The same event again is recognised by the server, by its id and the module's name, for as long as
//!   the stream's window of duplicates is; it stands in the stream once for each module.
//! - A message is taken by the stream that was meant, or by none.

mod amqp;
mod connection;
mod message;
mod publish;
mod settings;
mod stream;
mod subject;

use std::io;

pub use publish::BusExit;

/// Runs the module on standard input and output until the host ends it.
///
/// # Errors
///
/// The conversation with the host broke off. The process ends with a failure then.
pub fn main_loop() -> io::Result<()> {
    exeunt_module_kit::serve(BusExit::default())
}
