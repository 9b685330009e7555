//! `exeunt cert …`: what can be typed about certificates.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use exeunt_types::RevocationReason;

use super::{CertificateList, Door, moment, request_id};

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
    ///
    /// Many at once, by --where or a file with several: they are counted and the first ones shown;
    /// with --confirm and that number, or --yes, they are revoked, each with its own event. What is
    /// revoked already is left as it is, so that the same command goes on after an interruption.
    #[command(after_help = "Examples:
  exeunt cert revoke 5c0ffee1 --reason key-compromise --home ca
  exeunt cert revoke --file host.pem --reason superseded --home ca
  exeunt cert revoke --request 17 --effective 2026-12-01T00:00:00Z --home ca
  exeunt cert revoke --where template=tls-server --reason superseded --home ca
  exeunt cert revoke --file stolen.pem --reason key-compromise --confirm 37 --home ca")]
    Revoke(Revoke),

    /// Release a certificate that is on hold
    #[command(after_help = "Examples:
  exeunt cert unrevoke 5c0ffee1 --home ca
  exeunt cert unrevoke --file host.pem --home ca
  exeunt cert unrevoke --where template=tls-server --yes --home ca")]
    Unrevoke(Unrevoke),

    /// Put certificates on record that were made elsewhere
    ///
    /// FILE is a certificate, PEM or DER, many of them in PEM, a PKCS #7 message, or a folder. A
    /// certificate of this CA can be revoked afterwards like any other. Each has its own outcome; what
    /// cannot be imported holds up nothing. Exit status 1 says that some were refused.
    #[command(after_help = "Examples:
  exeunt cert import old-certificates/ --home ca
  exeunt cert import all.pem --dry-run --home ca
  exeunt cert import partner.pem --allow-foreign --home ca")]
    Import(Import),

    /// Say whether a certificate, once revoked, stays in revocation lists after its validity
    #[command(after_help = "Examples:\n  exeunt cert publish-expired 5c0ffee1 on --home ca")]
    PublishExpired(PublishExpired),
}

/// Which certificate is meant.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["serial", "file", "request", "filters"]))]
pub struct WhichCertificate {
    /// Its serial number in hexadecimal
    #[arg(value_name = "SERIAL")]
    pub serial: Option<String>,

    /// The certificate in a file, PEM or DER; or several
    #[arg(long, value_name = "CERT")]
    pub file: Option<PathBuf>,

    /// Number of the request that it came from
    #[arg(long, value_name = "ID", value_parser = request_id)]
    pub request: Option<u64>,
}

/// Many certificates at once.
#[derive(Debug, Args)]
pub struct BulkOptions {
    /// All certificates that meet this filter of `cert list`; several must all be met
    #[arg(long = "where", id = "filters", value_name = "KEY=VALUE")]
    pub filters: Vec<String>,

    /// Most certificates that --yes goes for
    #[arg(long, value_name = "N", default_value_t = BULK_LIMIT)]
    pub limit: usize,

    /// Do it, if exactly so many are meant
    #[arg(long, value_name = "N", conflicts_with = "yes")]
    pub confirm: Option<usize>,

    /// Do it, if no more than --limit are meant
    #[arg(long)]
    pub yes: bool,
}

/// Default of [`BulkOptions::limit`]: what somebody can look through before.
pub const BULK_LIMIT: usize = 100;

/// Options of `cert import`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Import {
    /// Files with certificates, or folders
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// Take certificates of other CAs as well
    #[arg(long)]
    pub allow_foreign: bool,

    /// Put each under the request that waits for it, instead of a row of its own
    #[arg(long)]
    pub existing_row: bool,

    /// Say what would become of them, and change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

/// Options of `cert publish-expired`.
#[derive(Debug, Args)]
pub struct PublishExpired {
    /// Its serial number in hexadecimal
    #[arg(value_name = "SERIAL")]
    pub serial: String,

    /// Whether it stays
    #[arg(value_enum, value_name = "on|off")]
    pub stays: OnOff,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnOff {
    /// It stays.
    On,
    /// It leaves them.
    Off,
}

/// Options of `cert revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    /// Which certificate
    #[command(flatten)]
    pub which: WhichCertificate,

    /// Many at once
    #[command(flatten)]
    pub bulk: BulkOptions,

    /// Why, as RFC 5280 names it
    #[arg(long, value_name = "WORD", default_value = "unspecified", value_parser = reason)]
    pub reason: RevocationReason,

    /// From when on it counts, also in the past or in the future: a moment as in RFC 3339, or `now`
    #[arg(long, value_name = "TIME", default_value = "now", value_parser = now_or_moment)]
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

    /// Many at once
    #[command(flatten)]
    pub bulk: BulkOptions,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

fn now_or_moment(text: &str) -> Result<String, String> {
    if text == "now" { Ok(text.to_owned()) } else { moment(text) }
}

fn reason(text: &str) -> Result<RevocationReason, String> {
    RevocationReason::from_word(text).ok_or_else(|| {
        let known = RevocationReason::ALL.map(RevocationReason::word);
        format!("one of: {}", known.join(", "))
    })
}
