//! The exit module that runs a program for each event.
//!
//! The program gets the event as JSON on its standard input and the main facts in its environment,
//! and says with its exit status what became of the event. The parts: `settings` is what the operator
//! says, `environment` is what the program is told, `run` starts it and sees it end, `command` makes
//! an outcome of how it ended.
//!
//! One program runs at a time, in a process group of its own, which does not outlive the event.

mod command;
mod environment;
mod run;
mod settings;

use std::io;

pub use command::{CommandExit, STATUS_PARK, STATUS_TARGET_DOWN};
pub use environment::VALUE_BYTES_MAX;
pub use run::{LINE_BYTES_MAX, STUCK_PIPES_MAX};

/// Runs the module on standard input and output until the host ends it.
///
/// # Errors
///
/// The conversation with the host broke off. The process ends with a failure then.
pub fn main_loop() -> io::Result<()> {
    exeunt_module_kit::serve(CommandExit::default())
}
