//! `exeunt audit verify`: whether a trail is whole, by its hashes, its checkpoints and the store.

use std::collections::BTreeMap;
use std::path::Path;

use exeunt_engine::Checkpoint;
use exeunt_store::{AuditRow, ChainHead, Checked, Store, check_chain};
use exeunt_types::{ACTION_ACCEPT, ACTION_FILTER, ACTION_START, is_written_before_signing};
use exeunt_x509::{Issuer, certificates_in, decode_pem_or_der};
use serde::Serialize;

use super::export::{Line, Reader, each_checkpoint, stored};
use super::{existing, rows_of, store_failure};
use crate::cli::VerifyAudit;
use crate::failure::Failure;
use crate::{output, own};

/// Most findings that are said.
const FINDINGS_MAX: usize = 100;

/// What is wrong.
#[derive(Debug, Serialize)]
struct Finding {
    /// Stable code.
    code: String,
    /// The row that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<u64>,
    /// In words.
    what: String,
}

/// What a check found.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether nothing is wrong.
    whole: bool,
    /// Number of the last row that is as it was written.
    rows: u64,
    /// Its hash.
    hash: String,
    /// Checkpoints whose signature is good.
    checkpoints: usize,
    /// The last row that a checkpoint confirms.
    confirmed: u64,
    /// The first thing that is wrong, and others that do not follow from it.
    findings: Vec<Finding>,
}

/// Checkpoints that count, and what is wrong with the others.
struct Known<'a> {
    store: String,
    issuers: Vec<&'a Issuer>,
    by_number: BTreeMap<u64, [u8; 32]>,
    findings: Vec<Finding>,
}

impl Known<'_> {
    fn hear(&mut self, der: &[u8]) {
        match Checkpoint::verify(der, &self.store, &self.issuers) {
            Ok(Checkpoint { head: ChainHead { number, hash }, .. }) => {
                if *self.by_number.entry(number).or_insert(hash) != hash {
                    let what = format!("two checkpoints know two different rows {number}");
                    let code = "audit-checkpoints-differ";
                    self.note(code, Some(number), what);
                }
            }
            Err(err) => {
                let what = format!("checkpoint after row {}: {err}", self.last());
                self.note(err.code(), Some(self.last()), what);
            }
        }
    }

    fn last(&self) -> u64 {
        self.by_number.keys().next_back().copied().unwrap_or_default()
    }

    fn note(&mut self, code: &str, row: Option<u64>, what: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { code: code.to_owned(), row, what });
        }
    }

    fn report(self, checked: &Checked, others: Vec<Finding>) -> Report {
        let fault = checked.fault.iter().map(|it| Finding {
            code: it.code().to_owned(),
            row: Some(it.number()),
            what: it.to_string(),
        });
        let findings: Vec<Finding> = fault.chain(self.findings).chain(others).collect();
        Report {
            whole: findings.is_empty(),
            rows: checked.head.number,
            hash: exeunt_types::hexadecimal(&checked.head.hash),
            checkpoints: self.by_number.len(),
            confirmed: checked.confirmed,
            findings,
        }
    }
}

/// Whether a trail has to have a checkpoint: a server signs each start at once, so that one which has none
/// was robbed of them, or is not the one that it says it is.
#[derive(Debug, Default)]
struct Signed {
    started: bool,
    /// The last row after which there has to be one.
    row: Option<u64>,
}

impl Signed {
    fn hear(&mut self, row: &AuditRow) {
        match row.entry.action.as_str() {
            // The server may have ended before it signed.
            ACTION_START | ACTION_FILTER => (self.started, self.row) = (true, None),
            // From here on it goes as it is.
            ACTION_ACCEPT => (self.started, self.row) = (false, None),
            action if is_written_before_signing(action) => (),
            _ if self.started => self.row = Some(row.id),
            _ => (),
        }
    }

    /// What is wrong where nothing else is.
    fn finding(&self, known: &Known<'_>) -> Option<Finding> {
        let code = "audit-checkpoints-gone".to_owned();
        let what = "the trail was signed, and there is no checkpoint of it".to_owned();
        let is_gone = known.by_number.is_empty() && known.findings.is_empty();
        self.row.filter(|_| is_gone).map(|row| Finding { code, row: Some(row), what })
    }
}

pub fn run(options: &VerifyAudit) -> Result<u8, Failure> {
    let VerifyAudit { file, home, ca_file, json } = options;
    let report = match (file, home, ca_file) {
        (Some(file), _, Some(ca_file)) => of_export(file, ca_file)?,
        (None, Some(home), _) => of_home(home)?,
        _ => {
            return Err(Failure::usage("usage-no-trail", "neither an export nor a home is named")
                .hint("give --home DIR, or FILE and --ca-file"));
        }
    };
    if *json {
        output::json(&report)?;
    } else {
        say(&report)?;
    }
    Ok(u8::from(!report.whole))
}

fn say(report: &Report) -> Result<(), Failure> {
    for Finding { code, what, .. } in &report.findings {
        output::line(&crate::failure::plain(&format!("wrong: {what} ({code})")))?;
    }
    output::fields(&[
        ("Rows that are good", report.rows.to_string()),
        ("Hash of the last one", report.hash.clone()),
        ("Checkpoints", report.checkpoints.to_string()),
        ("Confirmed up to row", report.confirmed.to_string()),
    ])?;
    if report.whole {
        output::line("The audit trail is whole.")
    } else {
        output::line("The audit trail is NOT whole.")
    }
}

/// The trail of a home, and what the store says of it.
fn of_home(home: &Path) -> Result<Report, Failure> {
    let home = existing(home)?;
    let certificates = own::read_certificates(&home, &home.config()?)?;
    let store = Store::open_read_only(&home.store_path()).map_err(|err| store_failure(&err))?;
    let mut known = Known {
        store: store.store_id().to_owned(),
        issuers: certificates.iter().map(|it| &it.issuer).collect(),
        by_number: BTreeMap::new(),
        findings: Vec::new(),
    };
    // In this order: a server that runs adds rows before it signs them, and certificates with theirs.
    each_checkpoint(&home, &store, |der| {
        known.hear(&der);
        Ok(())
    })?;
    let mut witness = store.audit_witness().map_err(|err| store_failure(&err))?;
    let start = ChainHead::start(store.store_id());
    let mut signed = Signed::default();
    let checked = check_chain(start, rows_of(&store), &known.by_number, |row| {
        signed.hear(row);
        witness.hear(row)
    });
    let checked = checked.map_err(|err| store_failure(&err))?;
    // Rows that were not looked at any more have told nothing.
    let read_all = match &checked.fault {
        None | Some(exeunt_store::ChainFault::CutOff { .. }) => true,
        Some(_) => false,
    };
    let contradictions =
        if read_all { witness.finish().map_err(|err| store_failure(&err))? } else { Vec::new() };
    let others = contradictions.iter().map(|it| Finding {
        code: it.code().to_owned(),
        row: None,
        what: it.to_string(),
    });
    let others = signed.finding(&known).into_iter().chain(others).collect();
    Ok(known.report(&checked, others))
}

/// The trail of an export.
fn of_export(file: &Path, ca_file: &Path) -> Result<Report, Failure> {
    let issuers = read_issuers(ca_file)?;
    let mut reader = Reader::open(file)?;
    let mut known = Known {
        store: reader.trail.store.clone(),
        issuers: issuers.iter().collect(),
        by_number: BTreeMap::new(),
        findings: Vec::new(),
    };
    let start = ChainHead::start(&reader.trail.store);
    // The checkpoints stand before the rows; the first row is read with them.
    let mut first = None;
    while let Some(line) = reader.next()? {
        match line {
            Line::Checkpoint(it) => {
                let der = decode_pem_or_der(it.signed.as_bytes(), &["CMS"]);
                // What is no PEM is no checkpoint either, and is said to be none.
                known.hear(&der.unwrap_or_default());
            }
            Line::Row(row) => {
                first = Some(stored(&row));
                break;
            }
            Line::End(end) => {
                reader.end = Some(end);
                break;
            }
            Line::Trail(_) => return Err(out_of_place()),
        }
    }
    let rows = std::iter::from_fn(|| {
        if let Some(row) = first.take() {
            return Some(Ok(row));
        }
        if reader.end.is_some() {
            return None;
        }
        match reader.next() {
            Ok(Some(Line::Row(row))) => Some(Ok(stored(&row))),
            Ok(Some(Line::End(end))) => {
                reader.end = Some(end);
                None
            }
            Ok(Some(_)) => Some(Err(out_of_place())),
            Ok(None) => None,
            Err(failure) => Some(Err(failure)),
        }
    });
    let mut signed = Signed::default();
    let checked = check_chain(start, rows, &known.by_number, |row| {
        signed.hear(row);
        Ok(())
    })?;
    let mut others = match &reader.end {
        Some(end) if end.rows == checked.head.number => Vec::new(),
        _ if checked.fault.is_some() => Vec::new(),
        _ => {
            let after = checked.head.number;
            let what = format!("the export ends after row {after}, before its end");
            vec![Finding { code: "audit-export-cut-off".to_owned(), row: Some(after), what }]
        }
    };
    others.extend(signed.finding(&known));
    Ok(known.report(&checked, others))
}

fn out_of_place() -> Failure {
    Failure::new("audit-export-malformed", "a line of the export is not where it belongs")
}

/// The certificates that the checkpoints are verified with.
fn read_issuers(path: &Path) -> Result<Vec<Issuer>, Failure> {
    let unreadable =
        |why: String| Failure::new("ca-certificate-invalid", format!("{}: {why}", path.display()));
    let text = std::fs::read(path).map_err(|err| unreadable(err.to_string()))?;
    let found = certificates_in(&text).map_err(|err| unreadable(err.to_string()))?;
    let read = found.iter().map(|it| Issuer::from_certificate(it));
    read.collect::<Result<_, _>>().map_err(|err| unreadable(err.to_string()))
}
