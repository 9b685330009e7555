//! `exeunt audit …`: looking at the audit trail, and whether it is whole.

mod export;
mod show;
mod verify;

use std::path::Path;

use exeunt_api::AuditRow;
use exeunt_http::rfc3339;
use exeunt_store::{AuditEntry, AuditRow as StoredRow, Store, StoreError};
use exeunt_types::{ACTION_ACCEPT, audit_event_title};

use crate::cli::{AcceptAudit, Audit};
use crate::clock::now;
use crate::failure::Failure;
use crate::home::Home;
use crate::output;

/// Longest reason, in octets.
const REASON_BYTES_MAX: usize = 512;

pub fn run(command: Audit) -> Result<u8, Failure> {
    match command {
        Audit::Verify(options) => verify::run(&options),
        Audit::Show(options) => show::run(&options),
        Audit::Export(options) => export::run(&options),
        Audit::Accept(options) => accept(&options),
    }
}

fn accept(options: &AcceptAudit) -> Result<u8, Failure> {
    let AcceptAudit { reason, home } = options;
    let home = existing(home)?;
    if reason.trim().is_empty() || REASON_BYTES_MAX < reason.len() {
        let message = format!("a reason has 1 to {REASON_BYTES_MAX} bytes");
        return Err(Failure::usage("usage-reason", message));
    }
    let store = Store::open(&home.store_path()).map_err(|err| store_failure(&err))?;
    // As a server names whoever comes through its socket.
    let actor = format!("local:{}", rustix::process::geteuid().as_raw());
    let file = home.checkpoints();
    let entry = AuditEntry::new(now(), actor, ACTION_ACCEPT, "audit").detail(reason.trim());
    // Rows that were cut off may have checkpoints in the store: they are kept with those of the file.
    let failed = |err: exeunt_engine::CheckpointFileError| Failure::from_error(err.code(), &err);
    let mut last = store.audit_head().map_err(|err| store_failure(&err))?.number;
    loop {
        let page = store.audit_checkpoints(last, exeunt_store::ROWS_MAX);
        let page = page.map_err(|err| store_failure(&err))?;
        let Some(newest) = page.last() else { break };
        last = newest.number;
        file.append_all(page.iter().map(|it| it.signed.as_slice())).map_err(failed)?;
    }
    let number = store.accept_audit(entry).map_err(|err| store_failure(&err))?;
    let aside = file.set_aside().map_err(failed)?;
    output::line(&format!("Row {number} of the audit trail says that it goes on as it is."))?;
    if let Some(aside) = aside {
        output::line(&format!("The checkpoints until now are in {}: keep them.", aside.display()))?;
    }
    Ok(0)
}

fn existing(home: &Path) -> Result<Home, Failure> {
    let home = Home::at(home)?;
    if home.exists() {
        return Ok(home);
    }
    Err(home.missing(format!("there is no CA in {}", home.path().display())))
}

fn store_failure(err: &StoreError) -> Failure {
    let failure = Failure::from_error(err.code(), err);
    match err.code() {
        "store-in-use" => failure.hint("stop the server of this home first"),
        "store-older" => failure.hint("start the server once, which brings the store up to date"),
        _ => failure,
    }
}

/// A row as it is shown and exported.
fn shown(row: StoredRow) -> AuditRow {
    let StoredRow { id, entry, event, also, hash } = row;
    AuditRow {
        number: id,
        time: rfc3339(entry.at),
        unix_ms: entry.at.0,
        event,
        also,
        title: audit_event_title(event).to_owned(),
        actor: entry.actor,
        action: entry.action,
        object: entry.object,
        detail: entry.detail,
        before: entry.before,
        after: entry.after,
        hash: exeunt_types::hexadecimal(&hash),
    }
}

/// The rows of a trail, a page at a time in memory. One that cannot be read is given as one without a
/// hash, which no row has.
fn rows_of(store: &Store) -> impl Iterator<Item = Result<StoredRow, StoreError>> {
    let mut after = 0;
    let mut page = Vec::new().into_iter();
    std::iter::from_fn(move || {
        if let Some(row) = page.next() {
            return Some(Ok(row));
        }
        let read = store.audit_after(after, exeunt_store::ROWS_MAX).or_else(|err| match err {
            StoreError::CorruptRow { .. } => one_by_one(store, after),
            other => Err(other),
        });
        match read {
            Ok(rows) => {
                after = rows.last().map_or(after, |it| it.id);
                page = rows.into_iter();
                page.next().map(Ok)
            }
            Err(err) => Some(Err(err)),
        }
    })
}

/// The rows up to one that cannot be read, and that one as nothing.
fn one_by_one(store: &Store, mut after: u64) -> Result<Vec<StoredRow>, StoreError> {
    let mut rows = Vec::new();
    loop {
        match store.audit_after(after, 1) {
            Ok(found) => match found.into_iter().next() {
                Some(row) => {
                    after = row.id;
                    rows.push(row);
                }
                None => return Ok(rows),
            },
            Err(StoreError::CorruptRow { .. }) => {
                let entry = AuditEntry::new(exeunt_types::UnixMillis(0), "", "", "");
                rows.push(StoredRow { id: after + 1, entry, event: 0, also: 0, hash: [0; 32] });
                return Ok(rows);
            }
            Err(err) => return Err(err),
        }
    }
}
