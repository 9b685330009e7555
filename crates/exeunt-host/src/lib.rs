//! Runs module processes: start, hello, deliver, deadline, kill.
//!
//! A module is an executable of somebody else's that speaks JSON-RPC 2.0 on its standard input and
//! output. This crate knows how to talk to one such process and how to survive it; it does not know
//! what the events mean, when to try again, or which modules there are. Enter at
//! [`ModuleProcess::start`].
//!
//! **Invariants.** Every wait has a deadline. Every buffer has a limit. A process never outlives
//! its [`ModuleProcess`], nor do the processes that it started, as long as they stay in its process
//! group. A module sees of the server's environment what [`INHERITED_VARIABLES`] names.

mod command;
mod error;
mod group;
mod limits;
mod pipes;
mod process;
mod stderr;

pub use command::{INHERITED_VARIABLES, ModuleCommand};
pub use error::{EXCERPT_CHARS_MAX, Fault, StartError};
pub use limits::HostLimits;
pub use process::{BatchReport, Delivery, ModuleProcess, TEXT_CHARS_MAX};
