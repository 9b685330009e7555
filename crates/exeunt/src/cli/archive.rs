//! `exeunt key …`: what can be typed about archived keys.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Door, request_id};

/// `exeunt key …`.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Ask for the archived private key of a certificate
    ///
    /// Another certificate manager has to agree (`exeunt key approve-recovery`) before the encrypted key
    /// can be fetched. A recovery is worth nothing after a day.
    #[command(after_help = "Examples:
  exeunt key recover 5c0ffee1 --reason 'laptop of alice was lost' --home ca
  exeunt key recover --request 17 --reason 'alice has left' --home ca")]
    Recover(Recover),

    /// Agree to a recovery that somebody else asked for
    #[command(after_help = "Examples:\n  exeunt key approve-recovery 3 --home ca")]
    ApproveRecovery {
        /// Number of the recovery
        #[arg(value_name = "ID")]
        id: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Which server
        #[command(flatten)]
        door: Door,
    },

    /// Fetch the encrypted key of an approved recovery, for a recovery agent
    ///
    /// For the two who asked and agreed. The file holds the key, encrypted to the recovery agents, and
    /// its certificate.
    #[command(after_help = "Examples:\n  exeunt key fetch 3 --out alice.recovery --home ca")]
    Fetch {
        /// Number of the recovery
        #[arg(value_name = "ID")]
        id: u64,
        /// Where the encrypted key and the certificate go, PEM; standard output if not given
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Which server
        #[command(flatten)]
        door: Door,
    },

    /// List recoveries, newest first
    #[command(after_help = "Examples:\n  exeunt key list --home ca")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Which server
        #[command(flatten)]
        door: Door,
    },

    /// Open what `fetch` wrote, with the key of a recovery agent
    ///
    /// Needs no server: the agent does it on a machine of their own. The private key is written encrypted
    /// (PKCS #8), with its certificate.
    #[command(after_help = "Examples:
  exeunt key unwrap --blob alice.recovery --key kra.key --passphrase-file kra.word \\
    --out alice.key --out-passphrase-file alice.word")]
    Unwrap(Unwrap),

    /// Archive the private key of a certificate that was issued or imported without it
    #[command(after_help = "Examples:
  exeunt key import --request 17 --key alice.key --home ca
  exeunt key import 5c0ffee1 --key alice.key --passphrase-file alice.word --home ca")]
    Import(ImportKey),
}

/// Options of `key recover`.
#[derive(Debug, Args)]
pub struct Recover {
    /// Which certificate
    #[command(flatten)]
    pub which: WhichKey,

    /// Why, one line for the audit trail
    #[arg(long, value_name = "TEXT")]
    pub reason: String,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

/// The certificate that a key belongs to.
#[derive(Debug, Args)]
pub struct WhichKey {
    /// Serial number of the certificate, in hexadecimal
    #[arg(value_name = "SERIAL", required_unless_present = "request")]
    pub serial: Option<String>,

    /// Number of the request instead
    #[arg(long, value_name = "ID", value_parser = request_id, conflicts_with = "serial")]
    pub request: Option<u64>,
}

/// Options of `key unwrap`.
#[derive(Debug, Args)]
pub struct Unwrap {
    /// What `fetch` wrote, or any CMS message to the agent around a private key
    #[arg(long, value_name = "FILE")]
    pub blob: PathBuf,

    /// The recovery agent's private key, PEM of a PKCS #8, which only its owner can read
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,

    /// File with the passphrase of the agent's key, where it is encrypted
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,

    /// Where the recovered key goes; a new file that only its owner can read
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,

    /// File with the passphrase that the recovered key is encrypted with
    #[arg(long, value_name = "FILE")]
    pub out_passphrase_file: PathBuf,
}

/// Options of `key import`.
#[derive(Debug, Args)]
pub struct ImportKey {
    /// Which certificate
    #[command(flatten)]
    pub which: WhichKey,

    /// The private key, PEM of a PKCS #8, which only its owner can read
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,

    /// File with the passphrase of the key, where it is encrypted
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}
