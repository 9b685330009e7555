//! The exit module that publishes certificates and revocation lists in an LDAP directory.
//!
//! It is told of certificates and of revocation lists, and writes what belongs into Active Directory
//! or any other server of LDAP version 3. The parts: `settings` is what the operator says, `connection` is the
//! way to one of the servers and back to the preferred one, `session` what is done there, `result_code` is what follows from a
//! server's answer, `words` makes filters and names out of what requesters say, `name` compares
//! names, `user` is the certificates of people and computers, `plan` works out what to write for
//! them, `revocation_list` is everything about the CA itself, and
//! `publish` is the order of events.
//!
//! Rules that hold whatever is delivered, and how often:
//!
//! - Values of an attribute are added and deleted one by one and never replaced as a set: what
//!   somebody else has put there stays.
//! - What is there already is not written again.
//! - Accepted is only what was read back after it was written.

mod ca;
mod ca_objects;
mod ca_settings;
mod connection;
mod error;
mod facts;
mod ldif;
mod maintain;
mod name;
mod plan;
mod publish;
mod result_code;
mod revocation_list;
mod session;
mod settings;
mod transport;
mod trial;
mod user;
mod words;
mod written;

use std::io;

pub use publish::DirectoryExit;
pub use transport::{ANSWER_BYTES_MAX, NESTING_MAX, check_messages};

/// Runs the module on standard input and output until the host ends it.
///
/// # Errors
///
/// The conversation with the host broke off. The process ends with a failure then.
pub fn main_loop() -> io::Result<()> {
    exeunt_module_kit::serve(DirectoryExit::default())
}
