//! `exeunt cert …`: what can be typed about certificates.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use exeunt_types::RevocationReason;

use super::{CertificateList, Door};

/// `exeunt cert …`.
#[derive(Debug, Subcommand)]
pub enum Cert {
    /// List certificates, newest first if nothing else is asked for
    ///
    /// Moments are written as in RFC 3339 (2026-12-01T00:00:00Z), or as a time: 30d, 12h or 90m is so
    /// long ago, with --not-after-from and --not-after-to ahead.
    #[command(after_help = "Examples:
  exeunt cert list --home ca --limit 20
  exeunt cert list --expiring-within 30d --state issued --home ca
  exeunt cert list --san host.example --key rsa --sort not-after --desc --home ca
  exeunt cert list --all --format csv --home ca > certificates.csv")]
    List(Box<CertificateList>),

    /// Show one certificate
    #[command(after_help = "Examples:\n  exeunt cert show 5c0ffee1 --home ca")]
    Show {
        /// Its serial number in hexadecimal
        #[arg(value_name = "SERIAL")]
        serial: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Which server
        #[command(flatten)]
        door: Door,
    },

    /// Revoke a certificate
    ///
    /// Modules are told at once; relying parties learn it from the next revocation list (`exeunt crl
    /// publish`). A certificate that is revoked already gets the new reason and date. Only
    /// certificate-hold can be taken back.
    #[command(after_help = "Examples:
  exeunt cert revoke 5c0ffee1 --reason key-compromise --home ca
  exeunt cert revoke --file host.pem --reason superseded --home ca
  exeunt cert revoke --request 17 --effective 2026-12-01T00:00:00Z --home ca")]
    Revoke(Revoke),

    /// Release a certificate that is on hold
    #[command(after_help = "Examples:
  exeunt cert unrevoke 5c0ffee1 --home ca
  exeunt cert unrevoke --file host.pem --home ca")]
    Unrevoke(Unrevoke),
}

/// Which certificate is meant.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["serial", "file", "request"]))]
pub struct WhichCertificate {
    /// Its serial number in hexadecimal
    #[arg(value_name = "SERIAL")]
    pub serial: Option<String>,

    /// The certificate in a file, PEM or DER
    #[arg(long, value_name = "CERT")]
    pub file: Option<PathBuf>,

    /// Number of the request that it came from
    #[arg(long, value_name = "ID")]
    pub request: Option<u64>,
}

/// Options of `cert revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    /// Which certificate
    #[command(flatten)]
    pub which: WhichCertificate,

    /// Why, as RFC 5280 names it
    #[arg(long, value_name = "WORD", default_value = "unspecified", value_parser = reason)]
    pub reason: RevocationReason,

    /// From when on it counts, also in the past or in the future: a moment as in RFC 3339, or `now`
    #[arg(long, value_name = "TIME", default_value = "now")]
    pub effective: String,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

/// Options of `cert unrevoke`.
#[derive(Debug, Args)]
pub struct Unrevoke {
    /// Which certificate
    #[command(flatten)]
    pub which: WhichCertificate,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

fn reason(text: &str) -> Result<RevocationReason, String> {
    RevocationReason::from_word(text).ok_or_else(|| {
        let known = RevocationReason::ALL.map(RevocationReason::word);
        format!("one of: {}", known.join(", "))
    })
}
