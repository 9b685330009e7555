//! The exit module that publishes into an S3-compatible bucket: certificates, the CA's own, and its
//! revocation lists.
//!
//! The parts: `settings` is what the operator says, `bucket` talks to the server, `content` is what
//! is published under which key and whether it may take the place of what is there, `publish` is the
//! order of events, `maintain` looks at the bucket and compares it with the CA.
//!
//! Rules that hold whatever is delivered, in whatever order, and how often:
//!
//! - Every write has a condition: that nothing is there, or that what is there is still what was
//!   looked at. Who loses the race looks again.
//! - The number of a list never goes backwards, and a list is read back before it counts.
//! - What is not this CA's is never written over, and nothing is ever deleted.

mod bucket;
mod content;
mod maintain;
mod publish;
mod settings;

use std::io;

pub use publish::ObjectExit;

/// Runs the module on standard input and output until the host ends it.
///
/// # Errors
///
/// The conversation with the host broke off. The process ends with a failure then.
pub fn main_loop() -> io::Result<()> {
    exeunt_module_kit::serve(ObjectExit::default())
}
