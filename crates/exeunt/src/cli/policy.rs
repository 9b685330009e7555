//! `exeunt policy …`: what can be typed about the policy.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Door;

/// `exeunt policy …`.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Show what decides about requests, and how its module does
    #[command(after_help = "Examples:\n  exeunt policy show --home ca")]
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Which server
        #[command(flatten)]
        door: Door,
    },

    /// Name the policy module, or change what its word counts
    ///
    /// It counts at once, and stands in exeunt.toml. What is not named stays as it is.
    #[command(after_help = "Examples:
  exeunt policy set --command 'python3 /opt/guard.py' --setting domain=example.com \\
    --dry-run true --home ca
  exeunt policy set --dry-run false --on-failure fail --home ca
  exeunt policy set --none --home ca")]
    Set(SetPolicy),

    /// Show or change the module's own settings
    #[command(after_help = "Examples:
  exeunt policy settings --home ca
  exeunt policy settings domain=example.com days=30 --home ca
  exeunt policy settings --unset days --home ca")]
    Settings(PolicySettings),

    /// Check whether a policy module keeps the contract
    ///
    /// The module is asked about made-up requests. No server is needed, and nothing is issued.
    #[command(after_help = "Examples:
  exeunt policy check --home ca
  exeunt policy check --command './guard.py' --set domain=example.com")]
    Check(CheckPolicy),

    /// Say what the policy makes of a request, rule by rule, without issuing
    #[command(after_help = "Examples:\n  exeunt policy explain host.csr.pem --home ca")]
    Explain {
        /// The request, PEM or DER; `-` for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// A request attribute (can be repeated)
        #[arg(long, value_name = "NAME:VALUE")]
        attribute: Vec<String>,
        /// Template to measure by
        #[arg(long, value_name = "NAME")]
        template: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Which server
        #[command(flatten)]
        door: Door,
    },
}

/// Options of `policy set`.
#[derive(Debug, Args)]
pub struct SetPolicy {
    /// A program and its arguments, split at blanks as a shell does; no shell runs
    #[arg(long, value_name = "WORDS", conflicts_with_all = ["library", "none"])]
    pub command: Option<String>,

    /// A library with a class that is a policy module
    #[arg(long, value_name = "FILE", requires = "class", conflicts_with = "none")]
    pub library: Option<PathBuf>,

    /// The class of the library, by name (`Example.Policy`) or by number (`{…}`)
    #[arg(long, value_name = "PROGID", requires = "library")]
    pub class: Option<String>,

    /// No module: the templates decide alone
    #[arg(long, conflicts_with_all = ["chain", "on_failure", "dry_run", "deadline", "validity_days"])]
    pub none: bool,

    /// A setting of the module's own (can be repeated); those that it had before go
    #[arg(long = "setting", value_name = "KEY=VALUE", conflicts_with = "none")]
    pub settings: Vec<String>,

    /// Whether the templates decide first and the module can only be stricter
    #[arg(long, value_name = "true|false")]
    pub chain: Option<bool>,

    /// What becomes of a request that the module does not decide about
    #[arg(long, value_enum, value_name = "WORD")]
    pub on_failure: Option<Failing>,

    /// Whether the module is only asked, its word written down, and the templates decide
    #[arg(long, value_name = "true|false")]
    pub dry_run: Option<bool>,

    /// How long one request may take, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=300))]
    pub deadline: Option<u32>,

    /// How long certificates hold at most, where the module is not chained, in days
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_525))]
    pub validity_days: Option<u32>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

/// What becomes of a request that the module does not decide about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Failing {
    /// It waits for an officer.
    Pend,
    /// It ends as failed.
    Fail,
}

/// Options of `policy settings`.
#[derive(Debug, Args)]
pub struct PolicySettings {
    /// Settings and their new values; the value is TOML, or plain text where it is not valid TOML
    #[arg(value_name = "KEY=VALUE")]
    pub settings: Vec<String>,

    /// A setting to leave out (can be repeated)
    #[arg(long, value_name = "KEY")]
    pub unset: Vec<String>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

/// Options of `policy check`.
#[derive(Debug, Args)]
pub struct CheckPolicy {
    /// A program and its arguments, split at blanks as a shell does; without it and --library, the
    /// module of the configuration, with its settings
    #[arg(long, value_name = "WORDS", conflicts_with = "library")]
    pub command: Option<String>,

    /// A library with a class that is a policy module
    #[arg(long, value_name = "FILE", requires = "class")]
    pub library: Option<PathBuf>,

    /// The class of the library, by name (`Example.Policy`) or by number (`{…}`)
    #[arg(long, value_name = "PROGID", requires = "library")]
    pub class: Option<String>,

    /// A setting of its own (can be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Home of the CA, for the module of its configuration
    #[arg(long, value_name = "DIR", env = "EXEUNT_HOME")]
    pub home: Option<PathBuf>,
}
