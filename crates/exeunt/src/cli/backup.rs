//! `exeunt backup`, `verify-backup` and `restore`: what can be typed.

use std::path::PathBuf;

use clap::Args;

/// Where the passphrase of a backup comes from.
#[derive(Clone, Debug, Default, Args)]
pub struct BackupPassphrase {
    /// File with the passphrase of the backup, which only its owner can read
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_env")]
    pub passphrase_file: Option<PathBuf>,

    /// Variable of the environment with the passphrase of the backup
    #[arg(long, value_name = "NAME")]
    pub passphrase_env: Option<String>,
}

/// Options of `backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// The file to be made; nothing is ever overwritten
    #[arg(value_name = "OUT")]
    pub out: PathBuf,

    /// Home of the CA
    #[arg(long, value_name = "DIR", env = "EXEUNT_HOME")]
    pub home: PathBuf,

    /// Leave out private keys and tokens; the backup then needs no passphrase
    #[arg(long)]
    pub no_keys: bool,

    /// What seals the backup
    #[command(flatten)]
    pub passphrase: BackupPassphrase,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `verify-backup`.
#[derive(Debug, Args)]
pub struct VerifyBackup {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// What it was sealed with
    #[command(flatten)]
    pub passphrase: BackupPassphrase,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The home to be made: an empty folder, or none
    #[arg(long, value_name = "DIR", env = "EXEUNT_HOME")]
    pub home: PathBuf,

    /// What it was sealed with
    #[command(flatten)]
    pub passphrase: BackupPassphrase,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
