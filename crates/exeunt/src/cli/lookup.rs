//! What can be asked of the lists of requests and certificates.

use clap::{Args, ValueEnum};

use super::Door;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people.
    Table,
    /// One JSON document.
    Json,
    /// A JSON object on each line.
    Jsonl,
    /// Comma-separated values, for spreadsheets.
    Csv,
}

/// Which rows, in which order and how; what both lists take.
#[derive(Debug, Args)]
pub struct Rows {
    /// Most rows
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: u64,

    /// All rows there are
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,

    /// Only rows after this place: what `More:` showed
    #[arg(long, value_name = "PLACE")]
    pub after: Option<String>,

    /// Only rows before this request id, where the newest come first
    #[arg(long, value_name = "ID", conflicts_with = "after")]
    pub before: Option<u64>,

    /// Column to sort by: id; of certificates not-after as well
    #[arg(long, value_name = "COLUMN")]
    pub sort: Option<String>,

    /// The largest first
    #[arg(long)]
    pub desc: bool,

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

impl Rows {
    /// How the rows are written.
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }

    fn query(&self) -> Query {
        let order = self.desc.then(|| "desc".to_owned());
        Query::default()
            .with("before", self.before.as_ref())
            .with("sort", self.sort.as_ref())
            .with("order", order.as_ref())
    }
}

/// Options of `request list`.
///
/// Moments are RFC 3339 (2026-12-01T00:00:00Z) or a time: 30d, 12h, 90m is so long ago.
#[derive(Debug, Args)]
pub struct RequestList {
    /// Smallest request id
    #[arg(long, value_name = "ID")]
    pub id_from: Option<u64>,

    /// Largest request id
    #[arg(long, value_name = "ID")]
    pub id_to: Option<u64>,

    /// States, comma-separated: active, pending, foreign, issued, revoked, failed, denied
    #[arg(long, value_name = "STATES")]
    pub state: Option<String>,

    /// Part of the requester's name
    #[arg(long, value_name = "TEXT")]
    pub requester: Option<String>,

    /// The requester's name
    #[arg(long, value_name = "TEXT", conflicts_with = "requester")]
    pub requester_is: Option<String>,

    /// Part of the caller's name
    #[arg(long, value_name = "TEXT")]
    pub caller: Option<String>,

    /// The caller's name
    #[arg(long, value_name = "TEXT", conflicts_with = "caller")]
    pub caller_is: Option<String>,

    /// The template
    #[arg(long, value_name = "NAME")]
    pub template: Option<String>,

    /// Part of the subject
    #[arg(long, value_name = "TEXT")]
    pub subject: Option<String>,

    /// The whole subject, as lists show it
    #[arg(long, value_name = "TEXT", conflicts_with = "subject")]
    pub subject_is: Option<String>,

    /// First digits of the certificate's serial number
    #[arg(long, value_name = "HEX")]
    pub serial: Option<String>,

    /// Result of the processing, for example 0x80094011
    #[arg(long, value_name = "NUMBER")]
    pub status_code: Option<String>,

    /// Submitted at this moment or later
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub submitted_from: Option<String>,

    /// Submitted at this moment or earlier
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub submitted_to: Option<String>,

    /// Decided at this moment or later
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub resolved_from: Option<String>,

    /// Decided at this moment or earlier
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub resolved_to: Option<String>,

    /// Which rows and how
    #[command(flatten)]
    pub rows: Rows,
}

impl RequestList {
    /// The query, but for place and number of the rows.
    pub fn query(&self) -> Vec<(&'static str, String)> {
        let query = self.rows.query();
        let query = query
            .with("id_from", self.id_from.as_ref())
            .with("id_to", self.id_to.as_ref())
            .with("state", self.state.as_ref())
            .with("requester", self.requester.as_ref())
            .with("requester_is", self.requester_is.as_ref())
            .with("caller", self.caller.as_ref())
            .with("caller_is", self.caller_is.as_ref())
            .with("template", self.template.as_ref())
            .with("subject", self.subject.as_ref())
            .with("subject_is", self.subject_is.as_ref())
            .with("serial", self.serial.as_ref())
            .with("status_code", self.status_code.as_ref())
            .with("submitted_from", self.submitted_from.as_ref())
            .with("submitted_to", self.submitted_to.as_ref())
            .with("resolved_from", self.resolved_from.as_ref())
            .with("resolved_to", self.resolved_to.as_ref());
        query.0
    }
}

/// Options of `cert list`.
///
/// Moments are RFC 3339 (2026-12-01T00:00:00Z) or a time: 30d, 12h, 90m is so long ago, and with
/// --not-after-from and --not-after-to ahead.
#[derive(Debug, Args)]
pub struct CertificateList {
    /// Only what runs out within this time, what does first comes first: 30d, 12h
    #[arg(long, value_name = "TIME", conflicts_with_all = ["not_after_from", "not_after_to"])]
    pub expiring_within: Option<String>,

    /// States, comma-separated: issued, revoked, foreign
    #[arg(long, value_name = "STATES")]
    pub state: Option<String>,

    /// Why it is revoked, as RFC 5280 names it
    #[arg(long, value_name = "WORD")]
    pub reason: Option<String>,

    /// First digits of the serial number
    #[arg(long, value_name = "HEX")]
    pub serial: Option<String>,

    /// Part of the subject
    #[arg(long, value_name = "TEXT")]
    pub subject: Option<String>,

    /// The whole subject, as lists show it
    #[arg(long, value_name = "TEXT", conflicts_with = "subject")]
    pub subject_is: Option<String>,

    /// Part of the subject alternative names
    #[arg(long, value_name = "TEXT")]
    pub san: Option<String>,

    /// All subject alternative names, as `cert show` shows them
    #[arg(long, value_name = "TEXT", conflicts_with = "san")]
    pub san_is: Option<String>,

    /// Part of the requester's name
    #[arg(long, value_name = "TEXT")]
    pub requester: Option<String>,

    /// The requester's name
    #[arg(long, value_name = "TEXT", conflicts_with = "requester")]
    pub requester_is: Option<String>,

    /// The template
    #[arg(long, value_name = "NAME")]
    pub template: Option<String>,

    /// Algorithm of the key: rsa, ecdsa, ml-dsa, or with its size as in rsa-2048
    #[arg(long, value_name = "NAME")]
    pub key: Option<String>,

    /// Index of the CA key that signed it
    #[arg(long, value_name = "INDEX")]
    pub ca_key: Option<u16>,

    /// Smallest id of the request
    #[arg(long, value_name = "ID")]
    pub id_from: Option<u64>,

    /// Largest id of the request
    #[arg(long, value_name = "ID")]
    pub id_to: Option<u64>,

    /// Issued at this moment or later
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub issued_from: Option<String>,

    /// Issued at this moment or earlier
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub issued_to: Option<String>,

    /// Valid from this moment or later
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub not_before_from: Option<String>,

    /// Valid from this moment or earlier
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub not_before_to: Option<String>,

    /// Valid until this moment or later
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub not_after_from: Option<String>,

    /// Valid until this moment or earlier
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub not_after_to: Option<String>,

    /// Which rows and how
    #[command(flatten)]
    pub rows: Rows,
}

impl CertificateList {
    /// The query, but for place and number of the rows.
    pub fn query(&self) -> Vec<(&'static str, String)> {
        let query = self.rows.query();
        let query = query
            .with("expiring_within", self.expiring_within.as_ref())
            .with("state", self.state.as_ref())
            .with("reason", self.reason.as_ref())
            .with("serial", self.serial.as_ref())
            .with("subject", self.subject.as_ref())
            .with("subject_is", self.subject_is.as_ref())
            .with("san", self.san.as_ref())
            .with("san_is", self.san_is.as_ref())
            .with("requester", self.requester.as_ref())
            .with("requester_is", self.requester_is.as_ref())
            .with("template", self.template.as_ref())
            .with("key", self.key.as_ref())
            .with("ca_key", self.ca_key.as_ref())
            .with("id_from", self.id_from.as_ref())
            .with("id_to", self.id_to.as_ref())
            .with("issued_from", self.issued_from.as_ref())
            .with("issued_to", self.issued_to.as_ref())
            .with("not_before_from", self.not_before_from.as_ref())
            .with("not_before_to", self.not_before_to.as_ref())
            .with("not_after_from", self.not_after_from.as_ref())
            .with("not_after_to", self.not_after_to.as_ref());
        query.0
    }
}

#[derive(Default)]
struct Query(Vec<(&'static str, String)>);

impl Query {
    fn with(mut self, key: &'static str, value: Option<&impl ToString>) -> Self {
        self.0.extend(value.map(|it| (key, it.to_string())));
        self
    }
}
