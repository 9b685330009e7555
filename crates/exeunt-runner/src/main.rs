//! `exeunt-runner`: loads a shared library with a module and lets the server talk to it.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use exeunt_runner::Options;

/// Load a shared library with an exit module or a policy module
///
/// The server starts this for a module that is a library. It speaks the contract of modules on
/// standard input and output; it is of no use at a terminal.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The library to load
    #[arg(long, value_name = "PATH")]
    library: PathBuf,

    /// The class of the module: a name such as Example.Exit or Example.Policy, or a CLSID in braces
    #[arg(long, value_name = "PROGID|{CLSID}")]
    class: String,

    /// Call the module by the names of its members, even if it can be called directly
    #[arg(long)]
    automation: bool,

    /// Name of the CA, for questions about settings that come before the greeting
    #[arg(long, value_name = "NAME", default_value = "")]
    ca: String,

    /// Say on standard error what is called
    #[arg(long)]
    debug: bool,
}

fn main() -> ExitCode {
    let Arguments { library, class, automation, ca, debug } = Arguments::parse();
    match exeunt_runner::run(Options { library, class, automation, ca, debug }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("exeunt-runner: error: {err}");
            ExitCode::FAILURE
        }
    }
}
