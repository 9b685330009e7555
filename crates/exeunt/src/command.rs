//! What each command does.

mod archive;
pub mod audit;
pub mod backup;
pub mod ca;
pub mod cert;
mod cert_bulk;
mod cert_import;
pub mod config;
mod confirm;
pub mod crl;
pub mod exit;
mod import_settings;
pub mod init;
mod init_directory;
pub mod list;
mod policy;
pub mod principal;
pub mod quickstart;
pub mod reload;
pub mod request;
pub mod run_module;
pub mod serve;
pub mod shell;
pub mod submit;
pub mod template;
mod trial;

use crate::cli::Command;
use crate::failure::Failure;
use crate::logging;

/// Runs a command; the number is the exit status.
///
/// # Errors
///
/// Why it failed, ready to be shown.
pub fn run(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Serve(_) => logging::start("info"),
        // A module's standard error goes to the server's log line by line.
        Command::RunModule(_) => {}
        _ => logging::start("warn"),
    }
    match command {
        Command::Quickstart(options) => quickstart::run(&options),
        Command::Init(options) => init::run(&options),
        Command::Serve(options) => serve::run(&options),
        Command::Submit(options) => submit::run(&options),
        Command::Request(options) => request::run(options),
        Command::Cert(options) => cert::run(options),
        Command::Ca(command) => ca::run(command),
        Command::Template(command) => template::run(command),
        Command::Policy(command) => policy::run(command),
        Command::Crl(options) => crl::run(options),
        Command::Exit(options) => exit::run(*options),
        Command::Audit(command) => audit::run(command),
        Command::Backup(options) => backup::backup(&options),
        Command::VerifyBackup(options) => backup::verify(&options),
        Command::Restore(options) => backup::restore(&options),
        Command::Principal(options) => principal::run(options),
        Command::Token(options) => principal::token(options),
        Command::Key(options) => archive::run(options),
        Command::Reload(options) => reload::run(&options),
        Command::Config(options) => config::run(options),
        Command::ImportSettings(options) => import_settings::run(&options),
        Command::RunModule(options) => run_module::run(&options),
        Command::Completions(options) => shell::completions(&options),
        Command::Man(options) => shell::man(&options),
    }
}
