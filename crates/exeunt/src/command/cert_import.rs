//! `exeunt cert import`: putting certificates on record that were made elsewhere, by the thousand.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use exeunt_api::{
    BulkOutcome, BulkResult, CERTIFICATES_PATH, IMPORT_COUNT_MAX, ImportAnswer, ImportOrder,
};
use exeunt_x509::{
    CERTIFICATE_BAG_BYTES_MAX, CERTIFICATE_BAG_COUNT_MAX, CERTIFICATE_BYTES_MAX, CertificateError,
    decode_pem_or_der, encode_pem, many_certificates_in,
};
use reqwest::Method;
use serde::Serialize;

use crate::cli::Import;
use crate::client::ApiClient;
use crate::failure::{Failure, STATUS_FAILED};
use crate::interrupt::Interrupt;
use crate::output::{self, Progress};

/// Text that is sent at a time, in bytes: with the quoting of JSON it stays below what the server takes.
const BATCH_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Endings of the files of a folder that are read.
const ENDINGS: [&str; 7] = ["pem", "crt", "cer", "der", "p7b", "p7c", "cert"];

/// First octet of anything in DER that is read here.
const DER_START: u8 = 0x30;

/// What became of one certificate, or of a file without one.
#[derive(Debug, Serialize)]
struct Outcome {
    /// Where it stands.
    file: String,
    /// Which one of its file; 1 for the first, 0 for the file as a whole.
    number: u64,
    #[serde(flatten)]
    result: BulkResult,
}

/// What is told at the end.
#[derive(Debug, Default, Serialize)]
struct Summary {
    imported: u64,
    foreign: u64,
    refused: u64,
    /// Whether it was only asked what would be.
    dry_run: bool,
    /// Whether not all was read.
    stopped: bool,
    /// Each, where JSON was asked for.
    results: Vec<Outcome>,
}

/// A certificate in PEM, on its way.
struct Item {
    file: String,
    number: u64,
    pem: String,
}

/// Reads, sends and counts.
struct Run<'a> {
    options: &'a Import,
    client: ApiClient,
    interrupt: Interrupt,
    progress: Progress,
    batch: Vec<Item>,
    batch_bytes: usize,
    summary: Summary,
}

pub fn run(options: &Import) -> Result<u8, Failure> {
    let mut run = Run {
        options,
        client: ApiClient::open(&options.door)?,
        interrupt: Interrupt::listen()?,
        progress: Progress::start("certificates"),
        batch: Vec::new(),
        batch_bytes: 0,
        summary: Summary { dry_run: options.dry_run, ..Summary::default() },
    };
    let done = run.all();
    run.progress.end();
    // What was done before a failure is told as well.
    let Run { summary, .. } = run;
    if options.json {
        output::json(&summary)?;
    } else {
        tell(&summary)?;
    }
    done?;
    let whole = summary.refused == 0 && !summary.stopped;
    Ok(if whole { 0 } else { STATUS_FAILED })
}

fn tell(summary: &Summary) -> Result<(), Failure> {
    let Summary { imported, foreign, refused, dry_run, stopped, results: _ } = summary;
    let would = if *dry_run { "would be " } else { "" };
    let of_others = match foreign {
        0 => String::new(),
        _ => format!(", {foreign} of other CAs {would}imported"),
    };
    output::line(&format!("{imported} {would}imported{of_others}, {refused} refused"))?;
    if *stopped {
        output::line("stopped before the end; give the same command again to go on")?;
    }
    Ok(())
}

impl Run<'_> {
    fn all(&mut self) -> Result<(), Failure> {
        for path in files(&self.options.files)? {
            if self.interrupt.is_asked() {
                self.summary.stopped = true;
                return Ok(());
            }
            self.file(&path)?;
        }
        if self.interrupt.is_asked() {
            self.summary.stopped = true;
            return Ok(());
        }
        self.send()
    }

    /// All certificates of a file. One that cannot be read is one more refusal.
    fn file(&mut self, path: &Path) -> Result<(), Failure> {
        let shown = path.display().to_string();
        if path.is_dir() {
            let endings = ENDINGS.map(|it| format!(".{it}")).join(", ");
            return self.refuse(&shown, 0, &format!("no file in it ends in {endings}"));
        }
        let mut number = 0;
        let found = match File::open(path) {
            Ok(file) => each_certificate(&mut BufReader::new(file), &mut |found| {
                number += 1;
                match found {
                    Found::Certificate(pem) => {
                        self.add(Item { file: shown.clone(), number, pem })?;
                    }
                    Found::Unreadable(why) => self.refuse(&shown, number, &why)?,
                }
                Ok(!self.interrupt.is_asked())
            })?,
            Err(err) => Err(err),
        };
        match found {
            Ok(()) if number == 0 => self.refuse(&shown, 0, "there is no certificate in it"),
            Ok(()) => Ok(()),
            Err(err) => self.refuse(&shown, number, &format!("it cannot be read: {err}")),
        }
    }

    fn add(&mut self, item: Item) -> Result<(), Failure> {
        let length = item.pem.len();
        if self.batch.len() == IMPORT_COUNT_MAX || BATCH_BYTES_MAX < self.batch_bytes + length {
            self.send()?;
        }
        self.batch_bytes += length;
        self.batch.push(item);
        Ok(())
    }

    fn send(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let Import { allow_foreign, existing_row, dry_run, .. } = *self.options;
        let certificates = batch.iter().map(|it| it.pem.clone()).collect();
        let order = ImportOrder { certificates, allow_foreign, existing_row, dry_run };
        let answer: ImportAnswer =
            self.client.change(Method::POST, CERTIFICATES_PATH, &[], Some(&order))?;
        for (Item { file, number, .. }, result) in batch.into_iter().zip(answer.results) {
            self.note(Outcome { file, number, result })?;
        }
        Ok(())
    }

    fn refuse(&mut self, file: &str, number: u64, why: &str) -> Result<(), Failure> {
        let result = BulkResult {
            code: Some("certificate-unreadable".to_owned()),
            message: Some(why.to_owned()),
            ..BulkResult::of(BulkOutcome::Refused)
        };
        self.note(Outcome { file: file.to_owned(), number, result })
    }

    fn note(&mut self, outcome: Outcome) -> Result<(), Failure> {
        match outcome.result.outcome {
            BulkOutcome::Imported => self.summary.imported += 1,
            BulkOutcome::Foreign => self.summary.foreign += 1,
            _ => self.summary.refused += 1,
        }
        self.progress.advance();
        if self.options.json {
            self.summary.results.push(outcome);
            return Ok(());
        }
        let is_trial = self.options.dry_run;
        self.progress.aside(|| output::line(&line(&outcome, is_trial)))
    }
}

/// One line about one certificate.
fn line(outcome: &Outcome, is_trial: bool) -> String {
    let Outcome { file, number, result } = outcome;
    let text = |it: &Option<String>| it.clone().unwrap_or_default();
    let row = result.request_id.map(|it| format!(", request {it}")).unwrap_or_default();
    let would = if is_trial { "would be " } else { "" };
    let what = match result.outcome {
        BulkOutcome::Imported => format!("{would}imported {}{row}", text(&result.serial)),
        BulkOutcome::Foreign => {
            format!("{would}imported {} of another CA{row}", text(&result.serial))
        }
        _ => {
            let status = result.status_code.as_ref().map(|it| format!(" ({it})"));
            let status = status.unwrap_or_default();
            format!("refused[{}]: {}{status}", text(&result.code), text(&result.message))
        }
    };
    // What is wrong with a file as a whole has no number.
    let number = if *number == 0 { String::new() } else { format!("#{number}") };
    crate::failure::plain(&format!("{file}{number}: {what}"))
}

/// The files that are meant: those named, and those in a folder that is named, by name. A folder
/// without any stands for itself.
fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in named {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = |err: std::io::Error| {
            let message = format!("{} cannot be read: {err}", path.display());
            Failure::new("certificate-unreadable", message).hint("name files or folders")
        };
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let ending = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
            if path.is_file() && ENDINGS.contains(&ending.to_ascii_lowercase().as_str()) {
                inside.push(path);
            }
        }
        inside.sort();
        if inside.is_empty() {
            // Named once more, to be told of.
            inside.push(path.clone());
        }
        files.append(&mut inside);
    }
    Ok(files)
}

/// All certificates of a file, DER.
///
/// # Errors
///
/// When one of them is none, or there is none.
pub fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let shown = path.display();
    let unreadable = |why: &str| {
        Failure::new("certificate-unreadable", format!("{shown}: {why}"))
            .hint("give certificates, PEM or DER")
    };
    let file = File::open(path).map_err(|err| unreadable(&format!("it cannot be read: {err}")))?;
    let mut certificates = Vec::new();
    let read = each_certificate(&mut BufReader::new(file), &mut |found| {
        let Found::Certificate(pem) = found else { return Err(unreadable("it is no certificate")) };
        let der = decode_pem_or_der(pem.as_bytes(), &["CERTIFICATE", "X509 CERTIFICATE"])
            .map_err(|err| unreadable(&crate::failure::chain(&err)))?;
        certificates.push(der.into_owned());
        Ok(true)
    })?;
    read.map_err(|err| unreadable(&format!("it cannot be read: {err}")))?;
    if certificates.is_empty() {
        return Err(unreadable("there is no certificate in it"));
    }
    Ok(certificates)
}

/// What was found in a file.
enum Found {
    /// A certificate in PEM; what it says was not looked at.
    Certificate(String),
    /// Something that is none, and why.
    Unreadable(String),
}

/// Calls `each` for every certificate of a file, one in memory at a time, until it says to stop. The
/// inner result is the file's, the outer one that of `each`.
fn each_certificate(
    file: &mut impl BufRead,
    each: &mut dyn FnMut(Found) -> Result<bool, Failure>,
) -> Result<std::io::Result<()>, Failure> {
    let first = match file.fill_buf() {
        Ok(octets) => octets.first().copied(),
        Err(err) => return Ok(Err(err)),
    };
    if first == Some(DER_START) {
        let mut der = Vec::new();
        let most = CERTIFICATE_BAG_BYTES_MAX as u64 + 1;
        if let Err(err) = file.take(most).read_to_end(&mut der) {
            return Ok(Err(err));
        }
        return each_in(&der, each).map(|_goes_on| Ok(()));
    }
    let mut block = Block::default();
    let mut text = Vec::new();
    loop {
        text.clear();
        // A line of PEM has 64 characters; what has more than this is no PEM.
        match file.take(LINE_BYTES_MAX).read_until(b'\n', &mut text) {
            Ok(0) => break,
            Ok(_) => {}
            Err(err) => return Ok(Err(err)),
        }
        let Some(found) = block.add(&String::from_utf8_lossy(&text)) else { continue };
        let goes_on = match found {
            Ended::Certificate(pem) => each(Found::Certificate(pem))?,
            Ended::Message(pem) => each_in(pem.as_bytes(), each)?,
            Ended::TooLarge => each(Found::Unreadable("it is too large".to_owned()))?,
        };
        if !goes_on {
            return Ok(Ok(()));
        }
    }
    if block.is_open() {
        each(Found::Unreadable("its PEM has no end".to_owned()))?;
    }
    Ok(Ok(()))
}

/// The certificates in one piece: a certificate, or a message with many.
fn each_in(
    input: &[u8],
    each: &mut dyn FnMut(Found) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let found = match many_certificates_in(input) {
        Ok(found) => found,
        // The server says what is wrong with it, with the original's number.
        Err(_) if input.len() <= CERTIFICATE_BYTES_MAX && input.first() == Some(&DER_START) => {
            vec![input.to_vec()]
        }
        Err(CertificateError::TooLarge) => {
            let why = format!(
                "it has more than {CERTIFICATE_BAG_COUNT_MAX} certificates or \
                 {CERTIFICATE_BAG_BYTES_MAX} bytes: split it, or turn it into PEM"
            );
            return each(Found::Unreadable(why));
        }
        Err(err) => return each(Found::Unreadable(crate::failure::chain(&err))),
    };
    for der in found {
        if !each(Found::Certificate(encode_pem("CERTIFICATE", &der)))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Longest piece of a line that is read at a time, in bytes.
const LINE_BYTES_MAX: u64 = 4096;

/// Lines of PEM, as they come.
#[derive(Default)]
struct Block {
    text: String,
    kind: Kind,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    /// Between two blocks.
    #[default]
    Outside,
    Certificate,
    Message,
    /// Something else, a private key perhaps: it is passed over and not kept.
    Other,
    TooLarge,
}

enum Ended {
    Certificate(String),
    /// A PKCS #7 message.
    Message(String),
    TooLarge,
}

impl Block {
    /// Takes a line; what has ended with it, if that is of interest.
    fn add(&mut self, line: &str) -> Option<Ended> {
        if let Some(rest) = line.trim_start().strip_prefix("-----BEGIN ") {
            self.text.clear();
            self.kind = match rest.trim_end().strip_suffix("-----") {
                Some("CERTIFICATE" | "X509 CERTIFICATE") => Kind::Certificate,
                Some("PKCS7" | "CMS") => Kind::Message,
                _ => Kind::Other,
            };
        }
        let most = match self.kind {
            Kind::Certificate => 2 * CERTIFICATE_BYTES_MAX,
            Kind::Message => CERTIFICATE_BAG_BYTES_MAX,
            _ => usize::MAX,
        };
        if matches!(self.kind, Kind::Certificate | Kind::Message) {
            self.text.push_str(line);
            if most < self.text.len() {
                self.text.clear();
                self.kind = Kind::TooLarge;
            }
        }
        if !line.trim_start().starts_with("-----END ") {
            return None;
        }
        let text = std::mem::take(&mut self.text);
        match std::mem::take(&mut self.kind) {
            Kind::Outside | Kind::Other => None,
            Kind::Certificate => Some(Ended::Certificate(text)),
            Kind::Message => Some(Ended::Message(text)),
            Kind::TooLarge => Some(Ended::TooLarge),
        }
    }

    /// Whether a block that is of interest has begun and not ended.
    fn is_open(&self) -> bool {
        !matches!(self.kind, Kind::Outside | Kind::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In words: the number of bytes of a certificate, or why it is none.
    fn found(input: &[u8]) -> Vec<String> {
        let mut words = Vec::new();
        let mut each = |it: Found| {
            words.push(match it {
                Found::Certificate(pem) => format!("{} lines", pem.lines().count()),
                Found::Unreadable(why) => why,
            });
            Ok(true)
        };
        each_certificate(&mut &*input, &mut each).unwrap().unwrap();
        words
    }

    #[test]
    fn certificates_are_found_among_other_things_and_keys_are_passed_over() {
        let one = encode_pem("CERTIFICATE", &[0x30, 3, 2, 1, 1]);
        let key = encode_pem("PRIVATE KEY", &[0x30, 3, 2, 1, 1]);
        let text = format!("words\n{one}subject=x\n{key}{}", one.replace('\n', "\r\n"));
        assert_eq!(found(text.as_bytes()), ["3 lines", "3 lines"]);
        assert_eq!(found(&[0x30, 3, 2, 1, 1]), ["3 lines"]);
        let message = exeunt_x509::build_certs_only(&[[0x30, 3, 2, 1, 1], [0x30, 3, 2, 1, 2]]);
        assert_eq!(found(&message), ["3 lines", "3 lines"]);
        assert_eq!(found(encode_pem("PKCS7", &message).as_bytes()), ["3 lines", "3 lines"]);
        assert!(found(key.as_bytes()).is_empty());
        assert!(found(b"").is_empty());
    }

    #[test]
    fn what_is_cut_off_or_too_large_is_named_and_the_rest_goes_on() {
        let one = encode_pem("CERTIFICATE", &[0x30, 3, 2, 1, 1]);
        let cut = one.replace("-----END CERTIFICATE-----\n", "");
        assert_eq!(found(cut.as_bytes()), ["its PEM has no end"]);
        let large = encode_pem("CERTIFICATE", &vec![0x30; 2 * CERTIFICATE_BYTES_MAX]);
        assert_eq!(found(format!("{large}{one}").as_bytes()), ["it is too large", "3 lines"]);
        // The server is asked about what is not DER.
        assert_eq!(found(&[0x30, 0x82]), ["3 lines"]);
        let long = "x".repeat(10_000);
        assert_eq!(found(format!("{long}\n{one}").as_bytes()), ["3 lines"]);
    }

    #[test]
    fn a_folder_is_its_certificates_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.pem", "a.CRT", "c.key", "d.txt"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        std::fs::create_dir(folder.path().join("e.pem")).unwrap();
        let key = folder.path().join("c.key");
        let found = files(&[folder.path().to_owned(), key.clone()]).unwrap();
        let expected = [folder.path().join("a.CRT"), folder.path().join("b.pem"), key];
        assert_eq!(found, expected);
    }
}
