//! `exeunt ca …`: what can be typed about the CA's own certificates. None of it needs a server.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{KeyOptions, ValidityDays, validity_days};

/// `exeunt ca …`.
#[derive(Debug, Subcommand)]
pub enum Ca {
    /// Show the CA's own certificates
    ///
    /// Each with its index, that of its key, and what it is good for. One that was asked for and is
    /// not there yet stands at the end.
    #[command(
        after_help = "Examples:\n  exeunt ca show --home ca\n  exeunt ca show --json --home ca"
    )]
    Show {
        /// Home of the CA
        #[arg(long, value_name = "DIR", env = "EXEUNT_HOME")]
        home: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Make the request of a subordinate CA anew, for its parent
    ///
    /// For the certificate that the CA waits for: its first one, or that of a renewal. With the same
    /// key and the same subject as before; the old request stays good.
    #[command(after_help = "Examples:
  exeunt ca request --home sub
  exeunt ca request --home sub --out request.pem")]
    Request {
        /// Home of the CA
        #[arg(long, value_name = "DIR", env = "EXEUNT_HOME")]
        home: PathBuf,
        /// Where the request goes as well, PEM; standard output if not given
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },

    /// Install the certificate that the parent of a subordinate CA has signed
    ///
    /// FILE has the certificate, and perhaps those above it: PEM, DER or PKCS #7. The certificate must
    /// be for the key that waits for it, be one of a CA, be valid, and be signed by the issuer in the
    /// file, if that is there. It counts from the next start of the server.
    #[command(after_help = "Examples:
  exeunt ca install signed.pem --home sub
  exeunt ca install chain.p7b --home sub")]
    Install {
        /// The certificate, with or without its chain: PEM, DER or PKCS #7
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Home of the CA
        #[arg(long, value_name = "DIR", env = "EXEUNT_HOME")]
        home: PathBuf,
    },

    /// Renew the CA's own certificate
    ///
    /// A root signs itself a new certificate for its key, or with --new-key for a new one. A
    /// subordinate CA gets a request for its parent to sign; `exeunt ca install` takes what it signed.
    /// A running server goes on with what it has, and takes up the new one when it is started again.
    #[command(after_help = "Examples:
  exeunt ca renew --home ca
  exeunt ca renew --new-key --home ca
  exeunt ca renew --new-key --key-type rsa-4096 --validity 20y --home ca")]
    Renew(Box<RenewCa>),

    /// Print a certificate of the CA and those above it
    #[command(after_help = "Examples:
  exeunt ca export-chain --home ca > chain.pem
  exeunt ca export-chain --index 0 --home ca
  exeunt ca export-chain --p7b --out chain.p7b --home ca")]
    ExportChain {
        /// Home of the CA
        #[arg(long, value_name = "DIR", env = "EXEUNT_HOME")]
        home: PathBuf,
        /// Which one, from 0 on; the newest if not given
        #[arg(long, value_name = "N")]
        index: Option<u16>,
        /// A PKCS #7 message instead of certificates one after the other
        #[arg(long)]
        p7b: bool,
        /// Where it goes, PEM; standard output if not given
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Options of `ca renew`.
#[derive(Debug, Args)]
pub struct RenewCa {
    /// Home of the CA
    #[arg(long, value_name = "DIR", env = "EXEUNT_HOME")]
    pub home: PathBuf,

    /// For a new key; of the same type, and in the same token, if nothing else is said
    #[arg(long)]
    pub new_key: bool,

    /// How long the certificate of a root is valid: years (10y) or days (3650d); as long as the last one
    /// if not given
    #[arg(long, value_name = "TIME", value_parser = validity_days)]
    pub validity: Option<ValidityDays>,

    /// The new key
    #[command(flatten, next_help_heading = "Options of a new key")]
    pub key: KeyOptions,
}
