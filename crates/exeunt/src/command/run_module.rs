//! `exeunt run-module`: a shipped module on standard input and output.

use crate::cli::RunModule;
use crate::failure::Failure;

/// Modules inside this program.
pub const SHIPPED: &[&str] =
    &["file", "command", "directory", "webhook", "mail", "bus", "sql", "object", "syslog"];

pub fn run(options: &RunModule) -> Result<u8, Failure> {
    let served = match options.name.as_str() {
        "file" => exeunt_exit_file::main_loop(),
        "command" => exeunt_exit_command::main_loop(),
        "directory" => exeunt_exit_directory::main_loop(),
        "webhook" => exeunt_exit_webhook::main_loop(),
        "bus" => exeunt_exit_bus::main_loop(),
        "mail" => exeunt_exit_mail::main_loop(),
        "sql" => exeunt_exit_sql::main_loop(),
        "object" => exeunt_exit_object::main_loop(),
        "syslog" => exeunt_exit_syslog::main_loop(),
        name => {
            return Err(Failure::usage("module-unknown", format!("there is no module {name:?}"))
                .hint(format!("there are: {}", SHIPPED.join(", "))));
        }
    };
    served.map_err(|err| Failure::from_error("module-io", &err))?;
    Ok(0)
}
