//! `exeunt exit check`: what can be typed.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

/// Options of `exit check`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("checked").required(true).args(["name", "shipped", "command", "library"]))]
pub struct Check {
    /// A module of the configuration, with its settings, in a folder that is removed afterwards. It writes
    /// what is made up into the target that its settings name, and asks before; `exit test` writes nothing
    #[arg(value_name = "NAME", requires = "home", conflicts_with = "settings")]
    pub name: Option<String>,

    /// A module that is inside this program: file, directory, mail, webhook, bus, sql, object, syslog
    /// or command
    #[arg(long = "use", value_name = "MODULE")]
    pub shipped: Option<String>,

    /// A program and its arguments, split at blanks as a shell does; no shell runs
    #[arg(long, value_name = "WORDS")]
    pub command: Option<String>,

    /// A library with classes that are exit modules
    #[arg(long, value_name = "FILE", requires = "class")]
    pub library: Option<PathBuf>,

    /// The class of the library, by name (`Example.Exit`) or by number (`{…}`)
    #[arg(long, value_name = "PROGID", requires = "library", conflicts_with_all = ["shipped", "command"])]
    pub class: Option<String>,

    /// A setting of its own (can be repeated); the value is TOML, or plain text where it is not valid TOML
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,

    /// How long one answer may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub deadline: u32,

    /// Check a module of the configuration without asking
    #[arg(long, requires = "name")]
    pub yes: bool,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Home of the CA, for NAME
    #[arg(long, value_name = "DIR", env = "EXEUNT_HOME")]
    pub home: Option<PathBuf>,
}
