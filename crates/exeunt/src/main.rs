//! The one binary: server, command line, shipped modules. It wires; the crates work.

mod audit;
mod backup;
mod cli;
mod client;
mod clock;
mod command;
mod config;
mod failure;
mod home;
mod interrupt;
mod launch;
mod logging;
mod maintain;
mod manage;
mod new_key;
mod output;
mod own;
mod policy;
mod schedule;
mod server;
mod settings_import;
mod warn;

use std::process::ExitCode;

use clap::FromArgMatches as _;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::failure::Failure;

fn main() -> ExitCode {
    // Before anything else, and before there is a thread: this process is about to be a module.
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|it| it == launch::RUN_CONFINED) {
        return match exeunt_host::confine::enter(args) {
            Ok(never) => match never {},
            Err(err) => err.report(),
        };
    }
    let matches = cli::command_line().get_matches();
    let cli = cli::Cli::from_arg_matches(&matches).unwrap_or_else(|err| err.exit());
    match close_memory().and_then(|()| command::run(cli.command)) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            eprint!("{}", failure.render());
            ExitCode::from(failure.status)
        }
    }
}

/// Keeps keys, passphrases and tokens in memory from other processes of this user, modules least of all,
/// and from the file that the system writes of a process that crashes.
fn close_memory() -> Result<(), Failure> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|err| Failure::from_error("process-open", &std::io::Error::from(err)))
}
