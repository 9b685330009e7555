//! The exit module that publishes into a folder: certificates, and what the CA publishes of itself.
//!
//! It writes into its folder and nothing else anywhere. The parts: `settings` is what the operator
//! says, `certificate` is content and age, `folder` touches the disk, `publish` is the order of
//! events, `latest` is the link to the newest, `enroll` is CA certificates and revocation lists,
//! `retention` is what leaves, `swap` is what a crash leaves, `fault` is what an error means,
//! `maintain` compares with the CA.
//!
//! Rules that hold whatever is delivered, and how often:
//!
//! - The same event again changes nothing, not even the time of the file.
//! - Where two certificates have the same name (a pattern without `{serial}` and `{request_id}`),
//!   the younger one stays, in whatever order they are delivered. The younger one is the one whose
//!   validity starts later; where two start in the same second, the one with the greater serial
//!   number, so that every order of delivery ends the same.
//! - What is there and is no certificate is never replaced: the event is parked.
//! - The number of a revocation list never goes backwards, and only one of this CA is replaced.
//! - A file appears whole or not at all, and an accepted one is on the disk.

mod certificate;
mod enroll;
mod fault;
mod folder;
mod group;
mod latest;
mod maintain;
mod publish;
mod retention;
mod settings;
mod swap;

use std::io;

pub use publish::FileExit;

/// Runs the module on standard input and output until the host ends it.
///
/// # Errors
///
/// The conversation with the host broke off. The process ends with a failure then.
pub fn main_loop() -> io::Result<()> {
    exeunt_module_kit::serve(FileExit::default())
}
