//! `exeunt audit export`, and reading what it wrote.
//!
//! The file is made of lines, each a JSON object with one member that says what it is: first the trail's
//! store, then its checkpoints, then its rows, and at the end how many there are. One line is in memory at
//! a time, when it is written and when it is read.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use exeunt_api::{AUDIT_CSV_HEADING, AuditRow, csv_record};
use exeunt_engine::CheckpointFileError;
use exeunt_http::rfc3339;
use exeunt_store::{AuditEntry, AuditRow as StoredRow, ChainHead, Store, StoreError};
use exeunt_types::UnixMillis;
use exeunt_x509::encode_pem;
use serde::{Deserialize, Serialize};

use super::{existing, rows_of, shown, store_failure};
use crate::cli::{ExportAudit, ExportFormat};
use crate::clock::now;
use crate::failure::Failure;
use crate::home::Home;
use crate::output;

/// Version of the file.
const VERSION: u32 = 1;
/// Longest line, in octets: the longest row, each octet of it escaped, and what is around it.
pub const EXPORT_LINE_BYTES_MAX: u64 = 512 * 1024;
/// Checkpoints that are read at once.
const PAGE_ROWS: usize = 256;

/// A line of an export.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// The first: whose trail it is.
    Trail(Trail),
    /// A checkpoint.
    Checkpoint(Signed),
    /// A row.
    Row(Box<AuditRow>),
    /// The last.
    End(End),
}

/// Whose trail it is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Trail {
    /// Version of the file.
    pub version: u32,
    /// Id of the store, which the first hash is over.
    pub store: String,
    /// When it was exported, RFC 3339.
    pub exported: String,
}

/// A checkpoint.
#[derive(Debug, Serialize, Deserialize)]
pub struct Signed {
    /// The message in PEM.
    pub signed: String,
}

/// What the file ends with.
#[derive(Debug, Serialize, Deserialize)]
pub struct End {
    /// How many rows there are.
    pub rows: u64,
    /// The hash of the last one; of the start where there is none.
    pub hash: String,
}

pub fn run(options: &ExportAudit) -> Result<u8, Failure> {
    let ExportAudit { file: path, home, format } = options;
    let home = existing(home)?;
    let store = Store::open_read_only(&home.store_path()).map_err(|err| store_failure(&err))?;
    let mut new = OpenOptions::new();
    let created = new.write(true).create_new(true).mode(0o600).open(path);
    let file = created.map_err(|err| not_written(path, &err))?;
    let mut to = BufWriter::new(file);
    let written = match format {
        ExportFormat::Jsonl => lines(&home, &store, path, &mut to),
        ExportFormat::Csv => csv(&store, path, &mut to),
    };
    let written = written.and_then(|rows| {
        let synced = to.flush().and_then(|()| to.get_ref().sync_all());
        synced.map(|()| rows).map_err(|err| not_written(path, &err))
    });
    let rows = written.inspect_err(|_| {
        // It is ours since create_new, and not whole.
        let _ = std::fs::remove_file(path);
    })?;
    output::line(&format!("{rows} rows of the audit trail are in {}.", path.display()))?;
    Ok(0)
}

fn lines(
    home: &Home,
    store: &Store,
    path: &Path,
    to: &mut BufWriter<File>,
) -> Result<u64, Failure> {
    let mut write = |line: &Line| {
        let text =
            serde_json::to_string(line).map_err(|err| Failure::from_error("output", &err))?;
        writeln!(to, "{text}").map_err(|err| not_written(path, &err))
    };
    let (id, exported) = (store.store_id().to_owned(), rfc3339(now()));
    write(&Line::Trail(Trail { version: VERSION, store: id, exported }))?;
    // Before the rows: what is signed while they are read speaks of rows that were not there yet.
    each_checkpoint(home, store, |der| {
        write(&Line::Checkpoint(Signed { signed: encode_pem("CMS", &der) }))
    })?;
    let mut head = ChainHead::start(store.store_id());
    for row in rows_of(store) {
        let row = row.map_err(|err| store_failure(&err))?;
        head = ChainHead { number: row.id, hash: row.hash };
        write(&Line::Row(Box::new(shown(row))))?;
    }
    write(&Line::End(End { rows: head.number, hash: exeunt_types::hexadecimal(&head.hash) }))?;
    Ok(head.number)
}

fn csv(store: &Store, path: &Path, to: &mut BufWriter<File>) -> Result<u64, Failure> {
    let mut write =
        |text: &str| to.write_all(text.as_bytes()).map_err(|err| not_written(path, &err));
    write(&csv_record(AUDIT_CSV_HEADING))?;
    let mut rows = 0;
    for row in rows_of(store) {
        write(&shown(row.map_err(|err| store_failure(&err))?).csv())?;
        rows += 1;
    }
    Ok(rows)
}

/// Each checkpoint of a home, DER: those of the file, and those of the store that are not the same.
pub fn each_checkpoint(
    home: &Home,
    store: &Store,
    mut act: impl FnMut(Vec<u8>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // The file and the store have the same ones in the same order, unless somebody was at one of them.
    let mut of_store = Stored { store, after: 0, page: Vec::new().into_iter() };
    let mut next = of_store.next()?;
    home.checkpoints().each::<FileOr>(|der| {
        if next.as_ref() == Some(&der) {
            next = of_store.next()?;
        }
        act(der).map_err(FileOr::Other)
    })?;
    while let Some(der) = next {
        act(der)?;
        next = of_store.next()?;
    }
    Ok(())
}

/// The checkpoints of a store.
struct Stored<'a> {
    store: &'a Store,
    after: u64,
    page: std::vec::IntoIter<exeunt_store::AuditCheckpoint>,
}

impl Stored<'_> {
    fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        if self.page.len() == 0 {
            let page = self.store.audit_checkpoints(self.after, PAGE_ROWS);
            self.page = page.map_err(|err: StoreError| store_failure(&err))?.into_iter();
        }
        Ok(self.page.next().map(|it| {
            self.after = it.number;
            it.signed
        }))
    }
}

/// The file of checkpoints cannot be read, or something else failed.
enum FileOr {
    File(CheckpointFileError),
    Other(Failure),
}

impl From<CheckpointFileError> for FileOr {
    fn from(err: CheckpointFileError) -> Self {
        Self::File(err)
    }
}

impl From<Failure> for FileOr {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

impl From<FileOr> for Failure {
    fn from(it: FileOr) -> Self {
        match it {
            FileOr::File(err) => Self::from_error(err.code(), &err),
            FileOr::Other(failure) => failure,
        }
    }
}

/// Reads an export line by line, after its first one.
pub struct Reader {
    from: BufReader<File>,
    /// Number of the line that was read last.
    line: u64,
    /// Whose trail it is.
    pub trail: Trail,
    /// What it ended with, once the end was read.
    pub end: Option<End>,
}

impl Reader {
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|err| not_read(path, &err))?;
        let trail = Trail { version: 0, store: String::new(), exported: String::new() };
        let mut reader = Self { from: BufReader::new(file), line: 0, trail, end: None };
        match reader.next()? {
            Some(Line::Trail(trail)) if trail.version == VERSION => {
                reader.trail = trail;
                Ok(reader)
            }
            Some(Line::Trail(trail)) => {
                let message =
                    format!("the export has version {}, {VERSION} is known", trail.version);
                Err(Failure::new("audit-export-version", message))
            }
            _ => Err(Failure::new("audit-export-malformed", "the file is no export of a trail")),
        }
    }

    /// The next line; nothing after the end.
    pub fn next(&mut self) -> Result<Option<Line>, Failure> {
        let mut text = String::new();
        let read = self.from.by_ref().take(EXPORT_LINE_BYTES_MAX).read_line(&mut text);
        self.line += 1;
        let number = self.line;
        let malformed = |why: String| {
            Failure::new("audit-export-malformed", format!("line {number} of the export: {why}"))
        };
        let read = read.map_err(|err| malformed(err.to_string()))?;
        if read == 0 {
            return Ok(None);
        }
        serde_json::from_str(&text).map(Some).map_err(|err| malformed(err.to_string()))
    }
}

/// A row as the chain has it. What it says beyond that, its time in words and the title, has to agree; a
/// row that does not is given one without a hash.
pub fn stored(row: &AuditRow) -> StoredRow {
    let mut hash = [0; 32];
    for (octet, pair) in hash.iter_mut().zip(row.hash.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).unwrap_or_default();
        *octet = u8::from_str_radix(pair, 16).unwrap_or_default();
    }
    let entry = AuditEntry::new(
        UnixMillis(row.unix_ms),
        row.actor.as_str(),
        row.action.as_str(),
        row.object.as_str(),
    );
    let entry = entry.detail(row.detail.as_str()).change(row.before.clone(), row.after.clone());
    let read = StoredRow { id: row.number, entry, event: row.event, also: row.also, hash };
    let agrees = shown(read.clone()) == *row;
    StoredRow { hash: if agrees { hash } else { [0; 32] }, ..read }
}

fn not_written(path: &Path, err: &std::io::Error) -> Failure {
    let failure = Failure::new("audit-export-not-written", format!("{}: {err}", path.display()));
    match err.kind() {
        std::io::ErrorKind::AlreadyExists => failure.hint("choose another name"),
        _ => failure,
    }
}

fn not_read(path: &Path, err: &std::io::Error) -> Failure {
    Failure::new("audit-export-not-read", format!("{}: {err}", path.display()))
}
