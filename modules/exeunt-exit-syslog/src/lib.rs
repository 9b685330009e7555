//! The exit module that writes events to syslog: RFC 5424 over TLS, TCP, UDP or this machine's socket.
//!
//! The parts: `settings` is what the operator says, `message` makes octets of an event, `connection`
//! brings them there, `syslog` is the order of events.
//!
//! Rules that hold whatever is delivered, and how often:
//!
//! - The same event is the same octets at every attempt, with its id in them.
//! - A message is one line, whatever a requester wrote.
//! - Over TLS and TCP, accepted is what the server has read to its end, unless the operator asks for
//!   less; by datagrams, what the system has taken.

mod connection;
mod message;
mod settings;
mod syslog;

use std::io;

pub use syslog::SyslogExit;

/// Runs the module on standard input and output until the host ends it.
///
/// # Errors
///
/// The conversation with the host broke off. The process ends with a failure then.
pub fn main_loop() -> io::Result<()> {
    exeunt_module_kit::serve(SyslogExit::default())
}
