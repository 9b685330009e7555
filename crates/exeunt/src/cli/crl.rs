//! `exeunt crl …`: what can be typed about revocation lists.

use clap::{Args, Subcommand};

use super::{Door, moment};

/// `exeunt crl …`.
#[derive(Debug, Subcommand)]
pub enum Crl {
    /// Make a new revocation list now
    ///
    /// Makes a complete list, and a delta to it where exeunt.toml has deltas. The server makes them
    /// by itself when they are due; this is for what cannot wait.
    #[command(after_help = "Examples:
  exeunt crl publish --home ca
  exeunt crl publish --delta --home ca
  exeunt crl publish --next 2027-01-01T00:00:00Z --home ca")]
    Publish(Publish),

    /// List the revocation lists that were made, newest first
    #[command(after_help = "Examples:\n  exeunt crl list --home ca --limit 5")]
    List {
        /// Most numbers, newest first; all lists of a number are shown
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Only lists before this number, for the next page
        #[arg(long, value_name = "NUMBER")]
        before: Option<u64>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Which server
        #[command(flatten)]
        door: Door,
    },

    /// Read a revocation list: issuer, number, times, entries
    ///
    /// Without a number or a file, the newest complete one. A file needs no server. The signature is
    /// not verified.
    #[command(after_help = "Examples:
  exeunt crl show --home ca
  exeunt crl show 12 --delta --home ca
  exeunt crl show --key 0 --part 3 --home ca
  exeunt crl show other-ca.crl --json")]
    Show(Show),
}

/// Options of `crl publish`.
#[derive(Debug, Args)]
pub struct Publish {
    /// Only a delta: what changed since the last complete list
    #[arg(long)]
    pub delta: bool,

    /// When the next one is due, instead of what exeunt.toml says: a moment as in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub next: Option<String>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

/// Options of `crl show`.
#[derive(Debug, Args)]
pub struct Show {
    /// Number of a list of the CA, or a file with a list, DER or PEM
    #[arg(value_name = "NUMBER|FILE")]
    pub which: Option<String>,

    /// The delta of that number, or the newest one
    #[arg(long)]
    pub delta: bool,

    /// That of the CA key with this index, instead of the newest key
    #[arg(long, value_name = "INDEX")]
    pub key: Option<u16>,

    /// That part of the lists, where they are cut into parts; 0 has what was issued before
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub part: u32,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}
