//! `exeunt template …`: what can be typed about templates.

use std::path::PathBuf;

use clap::Subcommand;

use super::Door;

/// `exeunt template …`.
#[derive(Debug, Subcommand)]
pub enum Template {
    /// List the templates
    #[command(after_help = "Examples:\n  exeunt template list --home ca")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Which server
        #[command(flatten)]
        door: Door,
    },

    /// Show all that a template says
    #[command(after_help = "Examples:\n  exeunt template show tls-server --home ca")]
    Show {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Which server
        #[command(flatten)]
        door: Door,
    },

    /// Check the templates of a file, and say every mistake
    ///
    /// FILE is TOML with `[[template]]` tables; whatever else stands in it is passed over, so that it may
    /// be an exeunt.toml. No server is needed, and nothing is changed.
    #[command(after_help = "Examples:
  exeunt template check ca/exeunt.toml
  exeunt template check new-templates.toml --json")]
    Check {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}
