//! The process that a shared library with an exit module or a policy module is loaded into.
//!
//! To the host it is a module of the process tier: it speaks on its standard input and output. To the
//! library it is the server: it creates the library's object and calls it, and it offers the class
//! `CCertServerExit` to read from or, to a policy module, `CCertServerPolicy`. Everything happens on one thread, which the library may take for
//! an apartment of its own; what the library reads, it may read from any thread.
//!
//! A library that crashes takes the runner with it and nothing else. Enter here through [`run`], and
//! then `runner`.

mod context;
mod exit;
mod failure;
mod late;
mod library;
mod manage;
mod policy;
mod runner;
mod server;
mod server_exit;
mod server_policy;
mod settings;
mod stdio;
mod value;

use std::{io, path::PathBuf};

/// What the runner is to load, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Path of the shared library.
    pub library: PathBuf,
    /// Class of the module: a `ProgID` that the library tells, or a CLSID in braces.
    pub class: String,
    /// Calls the module by the names of its members even where it has the binary interface.
    pub automation: bool,
    /// Name of the CA, for a process that is asked about settings and never greeted.
    pub ca: String,
    /// Says on standard error what is called, before each call of `Notify` or
    /// `VerifyRequest`.
    pub debug: bool,
}

/// Speaks with the host until it says farewell or goes.
///
/// From here on standard output leads to where standard error leads, and standard input is empty, so
/// that nothing that the library prints or reads gets into the conversation.
///
/// # Errors
///
/// The conversation broke. End the process with a status other than 0 then.
pub fn run(options: Options) -> io::Result<()> {
    let (reader, writer) = stdio::take()?;
    // An executable takes from a library what it uses; the modules use everything.
    exeunt_com::exports::keep();
    exeunt_module_kit::serve_on(reader, writer, runner::Runner::new(options))
}
