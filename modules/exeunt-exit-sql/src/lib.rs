//! The exit module that keeps an inventory in `PostgreSQL` current: what was issued, revoked, asked for.
//!
//! The parts: `settings` is what the operator says, `record` makes rows of an event, `table` is what
//! the tables are and the statements that write and compare rows, `schema` makes the tables,
//! `connection` talks to the server, `verdict` says what an error means, `inventory` is the order of
//! events, `upkeep` tries, installs and compares.
//!
//! Rules that hold whatever is delivered, in whatever order, and how often:
//!
//! - Accepted is what the server has committed, and nothing else.
//! - A row never goes back: what an older event says changes nothing, and neither does the same event
//!   again.
//! - Only rows of this CA are touched.
//! - Everything that comes from outside goes to the server as a parameter, never as a part of a
//!   statement.

mod connection;
mod inventory;
mod record;
mod schema;
mod settings;
mod table;
mod upkeep;
mod verdict;

use std::io;

pub use inventory::SqlExit;

/// Runs the module on standard input and output until the host ends it.
///
/// # Errors
///
/// The conversation with the host broke off. The process ends with a failure then.
pub fn main_loop() -> io::Result<()> {
    exeunt_module_kit::serve(SqlExit::default())
}
