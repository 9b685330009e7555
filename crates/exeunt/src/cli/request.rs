//! `exeunt request …`: what can be typed about requests.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Door, RequestList, request_id};

/// `exeunt request …`.
#[derive(Debug, Subcommand)]
pub enum Request {
    /// List requests, newest first if nothing else is asked for
    ///
    /// Moments are written as in RFC 3339 (2026-12-01T00:00:00Z), or as a time: 30d, 12h or 90m is so
    /// long ago.
    #[command(after_help = "Examples:
  exeunt request list --home ca --limit 20
  exeunt request list --state pending --submitted-to 2d --home ca
  exeunt request list --subject host.example --format json --home ca
  exeunt request list --all --format csv --home ca > requests.csv")]
    List(Box<RequestList>),

    /// Show one request
    #[command(after_help = "Examples:\n  exeunt request show 17 --home ca --json")]
    Show {
        /// Its number
        #[arg(value_name = "ID", value_parser = request_id)]
        id: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Which server
        #[command(flatten)]
        door: Door,
    },

    /// Issue what a pending request asks for
    ///
    /// The template, the officer's attributes and extensions, and the lint decide what the
    /// certificate says; that the template holds requests counts no more.
    #[command(after_help = "Examples:\n  exeunt request approve 17 --home ca --out host.pem")]
    Approve(Decide),

    /// Refuse a pending request
    #[command(after_help = "Examples:\n  exeunt request deny 17 --reason 'no such host' --home ca")]
    Deny {
        /// Its number
        #[arg(value_name = "ID", value_parser = request_id)]
        id: u64,
        /// Why, one line for the row and for modules
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Which server
        #[command(flatten)]
        door: Door,
    },

    /// Have the policy decide again about a pending or denied request
    #[command(after_help = "Examples:\n  exeunt request resubmit 17 --home ca")]
    Resubmit(Decide),

    /// Fetch what became of a request, with its certificate
    ///
    /// Exit status 0 says issued, 3 pending, 1 anything else. Modules are told when a certificate is
    /// fetched whose request was pending once.
    #[command(after_help = "Examples:\n  exeunt request retrieve 17 --home ca --out host.pem")]
    Retrieve(Decide),

    /// Change attributes of a pending request
    #[command(
        after_help = "Examples:\n  exeunt request set-attribute 17 'CostCentre:4711' --home ca"
    )]
    SetAttribute {
        /// Its number
        #[arg(value_name = "ID", value_parser = request_id)]
        id: u64,
        /// The attributes; one that is there already gets the new value
        #[arg(value_name = "NAME:VALUE", required = true)]
        attributes: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Which server
        #[command(flatten)]
        door: Door,
    },

    /// Set an extension of a pending request, or leave one out
    #[command(after_help = "Examples:
  exeunt request set-extension 17 1.2.3.4 --value 0c026869 --home ca
  exeunt request set-extension 17 1.2.3.4 --value @extension.der --critical --home ca
  exeunt request set-extension 17 2.5.29.37 --disable --home ca")]
    SetExtension(SetExtension),
}

/// Options of `request approve`, `resubmit` and `retrieve`.
#[derive(Debug, Args)]
pub struct Decide {
    /// Number of the request
    #[arg(value_name = "ID", value_parser = request_id)]
    pub id: u64,

    /// Where the certificate goes, PEM; standard output if not given
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Print the whole answer as JSON
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

/// Options of `request set-extension`.
#[derive(Debug, Args)]
pub struct SetExtension {
    /// Number of the request
    #[arg(value_name = "ID", value_parser = request_id)]
    pub id: u64,

    /// Object identifier of the extension, for example 1.2.3.4
    #[arg(value_name = "OID")]
    pub oid: String,

    /// DER of its value, in hexadecimal, or from a file; none is needed to leave it out
    #[arg(long, value_name = "HEX|@FILE", required_unless_present = "disable")]
    pub value: Option<String>,

    /// Whoever does not know the extension must refuse the certificate
    #[arg(long)]
    pub critical: bool,

    /// Leave it out of the certificate
    #[arg(long)]
    pub disable: bool,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}
