//! `exeunt crl …`: making revocation lists and reading them.

use std::fmt::Write as _;
use std::path::Path;

use exeunt_api::{CRLS_PATH, CrlPage, CrlSummary, PublishOrder};
use exeunt_http::rfc3339;
use exeunt_types::UnixMillis;
use exeunt_x509::{CRL_BYTES_MAX, CRL_PEM_LABEL, decode_pem_or_der, parse_crl};
use reqwest::Method;
use serde::Serialize;

use crate::cli::{Crl, Publish, ShowCrl};
use crate::client::ApiClient;
use crate::command::request::next_page;
use crate::failure::{Failure, chain};
use crate::output;

/// Entries that are written out at a time.
const ENTRIES_AT_ONCE: usize = 1024;

pub fn run(command: Crl) -> Result<u8, Failure> {
    match command {
        Crl::Publish(options) => publish(options),
        Crl::List { limit, before, json, door } => {
            let mut query = vec![("limit", limit.to_string())];
            query.extend(before.map(|it| ("before", it.to_string())));
            let page: CrlPage = ApiClient::open(&door)?.get(CRLS_PATH, &query)?;
            if json {
                output::json(&page)?;
                return Ok(0);
            }
            let rows = page.crls.iter().map(row).collect();
            let heading = [
                "NUMBER",
                "KIND",
                "KEY",
                "PART",
                "MADE",
                "NEXT DUE",
                "VALID UNTIL",
                "ENTRIES",
                "BYTES",
                "FILE",
            ];
            output::table(&heading, rows)?;
            next_page(page.next_before);
            Ok(0)
        }
        Crl::Show(options) => show(&options),
    }
}

fn publish(options: Publish) -> Result<u8, Failure> {
    let Publish { delta, next, json, door } = options;
    let order = PublishOrder { delta, next };
    let made: CrlPage =
        ApiClient::open(&door)?.change(Method::POST, CRLS_PATH, &[], Some(&order))?;
    if json {
        output::json(&made)?;
        return Ok(0);
    }
    for it @ CrlSummary { number, kind, entries, next_publish, .. } in &made.crls {
        let entries =
            if *entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") };
        let of = of_what(it, &made.crls);
        output::line(&format!(
            "{kind} revocation list {number}{of} is published: {entries}, next due {next_publish}"
        ))?;
    }
    Ok(0)
}

/// Key and part of a list, where the run has several.
fn of_what(it: &CrlSummary, all: &[CrlSummary]) -> String {
    let mut of = String::new();
    if all.iter().any(|other| other.key_index != it.key_index) {
        write!(of, " of key {}", it.key_index).expect("BUG: writing to a String cannot fail");
    }
    if all.iter().any(|other| other.partition != it.partition) {
        write!(of, ", part {},", it.partition).expect("BUG: writing to a String cannot fail");
    }
    of
}

fn row(it: &CrlSummary) -> Vec<String> {
    vec![
        it.number.to_string(),
        it.kind.clone(),
        it.key_index.to_string(),
        it.partition.to_string(),
        it.this_publish.clone(),
        it.next_publish.clone(),
        it.next_update.clone(),
        it.entries.to_string(),
        it.length.to_string(),
        if it.file { "yes" } else { "missing" }.to_owned(),
    ]
}

/// A list as it was read, for programs. Moments are RFC 3339 text in UTC.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Shown {
    issuer: String,
    number: u64,
    /// `base` or `delta`.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_base: Option<u64>,
    this_update: String,
    next_update: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_publish: Option<String>,
    signature: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    authority_key_identifier: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    freshest: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    issuing_distribution_point: Vec<String>,
    entries: Vec<ShownEntry>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct ShownEntry {
    serial: String,
    revoked: String,
    /// A word; `released` for one in a delta that is no longer on hold.
    reason: &'static str,
}

fn show(options: &ShowCrl) -> Result<u8, Failure> {
    let number = options.which.as_deref().map(str::parse::<u64>);
    let octets = match (&options.which, number) {
        (Some(file), Some(Err(_not_a_number))) => read_file(Path::new(file))?,
        (_, Some(Ok(number))) => {
            let path = format!("{CRLS_PATH}/{number}");
            let page: CrlPage = ApiClient::open(&options.door)?.get(&path, &[])?;
            fetch(options, number, find(options, &page))?
        }
        _ => {
            let found = newest(options)?;
            fetch(options, found.number, Some(&found))?
        }
    };
    let shown = read(&octets)?;
    if options.json {
        output::json(&shown)?;
        return Ok(0);
    }
    let Shown { entries, .. } = &shown;
    output::fields(&[
        ("Issuer", shown.issuer.clone()),
        ("Number", shown.number.to_string()),
        ("Kind", shown.kind.to_owned()),
        ("Builds on", shown.min_base.map(|it| it.to_string()).unwrap_or_default()),
        ("This update", shown.this_update.clone()),
        ("Next update", shown.next_update.clone()),
        ("Next due", shown.next_publish.clone().unwrap_or_default()),
        ("Signature", shown.signature.clone()),
        ("Issuer's key", shown.authority_key_identifier.clone().unwrap_or_default()),
        ("Delta at", shown.freshest.join(" ")),
        ("Only for", shown.issuing_distribution_point.join(" ")),
        ("Entries", entries.len().to_string()),
    ])?;
    for part in entries.chunks(ENTRIES_AT_ONCE) {
        let lines = part.iter().fold(String::new(), |mut lines, it| {
            let ShownEntry { serial, revoked, reason } = it;
            writeln!(lines, "  {serial}  {revoked}  {reason}")
                .expect("BUG: writing to a String cannot fail");
            lines
        });
        output::write_stdout(lines.as_bytes())?;
    }
    Ok(0)
}

/// The kind that is asked for, as paths name it.
fn kind(options: &ShowCrl) -> &'static str {
    if options.delta { "delta" } else { "base" }
}

/// The list that is meant, of the newest run in a page that has one.
fn find<'a>(options: &ShowCrl, page: &'a CrlPage) -> Option<&'a CrlSummary> {
    let is_it = |it: &&CrlSummary| {
        (it.kind.as_str(), it.partition) == (kind(options), options.part)
            && options.key.is_none_or(|key| key == it.key_index)
    };
    page.crls.iter().filter(is_it).max_by_key(|it| (it.number, it.key_index))
}

fn newest(options: &ShowCrl) -> Result<CrlSummary, Failure> {
    let query = [("limit", 100.to_string())];
    let page: CrlPage = ApiClient::open(&options.door)?.get(CRLS_PATH, &query)?;
    let found = find(options, &page).cloned();
    found.ok_or_else(|| {
        let message = format!("no such {} revocation list was made lately", kind(options));
        Failure::new("crl-none", message)
            .hint("which keys, parts and kinds there are: exeunt crl list")
            .hint("make new ones: exeunt crl publish")
    })
}

/// The DER of a list of that number; what the number has not, the server says.
fn fetch(options: &ShowCrl, number: u64, found: Option<&CrlSummary>) -> Result<Vec<u8>, Failure> {
    let kind = kind(options);
    let key = found.map(|it| it.key_index).or(options.key).unwrap_or_default();
    let path = format!("{CRLS_PATH}/{number}/{key}-{}-{kind}", options.part);
    ApiClient::open(&options.door)?.octets(&path, &[])
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let shown = path.display();
    let unreadable = |reason: String| {
        Failure::new("crl-unreadable", format!("{shown} {reason}"))
            .hint("give the number of a list, or a file with one, DER or PEM")
    };
    let size =
        std::fs::metadata(path).map_err(|err| unreadable(format!("cannot be read: {err}")))?;
    // PEM is a third longer.
    if 2 * CRL_BYTES_MAX < size.len() {
        return Err(unreadable(format!("is larger than {} bytes", 2 * CRL_BYTES_MAX)));
    }
    std::fs::read(path).map_err(|err| unreadable(format!("cannot be read: {err}")))
}

fn read(octets: &[u8]) -> Result<Shown, Failure> {
    let no_list = |reason: String| {
        Failure::new("crl-unreadable", format!("this is no revocation list: {reason}"))
            .hint("it is DER, or PEM with the label X509 CRL")
    };
    let der = decode_pem_or_der(octets, &[CRL_PEM_LABEL]).map_err(|err| no_list(chain(&err)))?;
    let crl = parse_crl(&der).map_err(|err| no_list(chain(&err)))?;
    let moment = |seconds| rfc3339(UnixMillis::from_unix_seconds(seconds));
    let entry = |it: exeunt_x509::RevokedEntry| ShownEntry {
        serial: it.serial.to_string(),
        revoked: moment(it.revoked),
        reason: it.reason.map_or("released", exeunt_types::RevocationReason::word),
    };
    Ok(Shown {
        issuer: crl.issuer.to_string(),
        number: crl.number.0,
        kind: if crl.base.is_some() { "delta" } else { "base" },
        min_base: crl.base.map(|it| it.0),
        this_update: moment(crl.this_update),
        next_update: moment(crl.next_update),
        next_publish: crl.next_publish.map(moment),
        signature: crl.scheme.name().to_owned(),
        authority_key_identifier: crl.authority_key_identifier.map(exeunt_types::hexadecimal),
        freshest: crl.freshest_crl.clone(),
        issuing_distribution_point: crl
            .issuing_distribution_point
            .as_ref()
            .map(|it| it.uris.clone())
            .unwrap_or_default(),
        entries: crl.entries().map(entry).collect(),
    })
}
