//! The one binary: server, command line, shipped modules. It wires; the crates work.

mod cli;
mod client;
mod clock;
mod command;
mod config;
mod failure;
mod home;
mod logging;
mod output;
mod server;
mod status;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match command::run(cli.command) {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            eprint!("{}", failure.render());
            ExitCode::from(failure.status)
        }
    }
}
