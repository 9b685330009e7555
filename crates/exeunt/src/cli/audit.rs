//! `exeunt audit …`: what can be typed about the audit trail.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Door, Format};

/// `exeunt audit …`.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Check the audit trail from its first row to its last
    ///
    /// Computes every hash anew, verifies the signature of every checkpoint, and compares the trail with
    /// the certificates and revocations of the store. Says the first row that is wrong and what is wrong
    /// with it. Reads only, also beside a server. With FILE it checks an export, for which the CA's
    /// certificate is all that is needed. Exit status 1 says that something is wrong.
    #[command(after_help = "Examples:
  exeunt audit verify --home ca
  exeunt audit verify trail.jsonl --ca-file ca.cert.pem
  exeunt audit verify --home ca --json")]
    Verify(Verify),

    /// Look at the audit trail: who did what to what, when
    ///
    /// Asks the server, as an auditor; without a server that runs, reads the store of --home.
    #[command(after_help = "Examples:
  exeunt audit show --home ca
  exeunt audit show --since 7d --event 4870 --home ca
  exeunt audit show --object request:17 --format jsonl --home ca
  exeunt audit show --server https://ca.example:8443 --token-file token --actor olga")]
    Show(Box<Show>),

    /// Write the whole audit trail into a file
    ///
    /// As JSON lines it has every hash and every checkpoint, and can be checked elsewhere by
    /// `exeunt audit verify`; as CSV it is for spreadsheets. Reads only, also beside a server.
    #[command(after_help = "Examples:
  exeunt audit export trail.jsonl --home ca
  exeunt audit export trail.csv --format csv --home ca")]
    Export(Export),

    /// Go on with a trail that a start refuses
    ///
    /// For a store that was put back by hand from a copy. The trail says who accepted it and why, the
    /// file of checkpoints is set aside, and the next start signs the trail as it is. What is wrong with
    /// it stays wrong, and `exeunt audit verify` goes on saying so. The server must not run.
    #[command(after_help = "Examples:
  exeunt audit accept --reason 'disk failed, copy of last night' --home ca")]
    Accept(Accept),
}

/// Options of `audit verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// An export, as JSON lines; without it the trail of --home
    #[arg(value_name = "FILE", requires = "ca_file")]
    pub file: Option<PathBuf>,

    /// Home of the CA
    #[arg(long, value_name = "DIR", env = "EXEUNT_HOME", required_unless_present = "file")]
    pub home: Option<PathBuf>,

    /// The CA's certificates (PEM), one after the other, that the checkpoints of FILE are verified with
    #[arg(long, value_name = "FILE", requires = "file")]
    pub ca_file: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `audit show`.
///
/// Moments are RFC 3339 (2026-12-01T00:00:00Z) or a time: 30d, 12h, 90m is so long ago.
#[derive(Debug, Args)]
pub struct Show {
    /// At this moment or later
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,

    /// At this moment or earlier
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<String>,

    /// Part of the actor's name
    #[arg(long, value_name = "TEXT")]
    pub actor: Option<String>,

    /// The action, as a word
    #[arg(long, value_name = "WORD")]
    pub action: Option<String>,

    /// The object, for example request:17
    #[arg(long, value_name = "TEXT")]
    pub object: Option<String>,

    /// Number of the event, for example 4887
    #[arg(long, value_name = "NUMBER")]
    pub event: Option<u32>,

    /// The oldest first
    #[arg(long)]
    pub oldest_first: bool,

    /// Most rows
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: u64,

    /// All rows there are
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,

    /// Only rows after this number, in that order: what `More:` showed
    #[arg(long, value_name = "NUMBER")]
    pub after: Option<u64>,

    /// How the rows are written
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    pub format: Format,

    /// Print JSON: the same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

/// Options of `audit export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The file; must not be there yet
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Home of the CA
    #[arg(long, value_name = "DIR", env = "EXEUNT_HOME")]
    pub home: PathBuf,

    /// How the rows are written
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = ExportFormat::Jsonl)]
    pub format: ExportFormat,
}

/// Form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A JSON object on each line, checkpoints among them.
    Jsonl,
    /// Comma-separated values.
    Csv,
}

/// Options of `audit accept`.
#[derive(Debug, Args)]
pub struct Accept {
    /// Why; stands in the trail
    #[arg(long, value_name = "TEXT")]
    pub reason: String,

    /// Home of the CA
    #[arg(long, value_name = "DIR", env = "EXEUNT_HOME")]
    pub home: PathBuf,
}
