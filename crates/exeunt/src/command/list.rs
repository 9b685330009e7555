//! `exeunt request list` and `exeunt cert list`: page after page, in every format.
//!
//! However many rows there are, one page of them is in memory; only what is asked for with `--limit` as
//! one table or document is there as a whole.

use std::io::Write as _;

use exeunt_api::{
    CERTIFICATE_CSV_HEADING, CERTIFICATES_PATH, CertificatePage, CertificateRow, PAGE_ROWS_MAX,
    REQUEST_CSV_HEADING, REQUESTS_PATH, RequestPage, RequestSummary, csv_record,
};
use serde::Serialize;
use serde_json::json;

use crate::cli::{CertificateList, Format, RequestList, Rows};
use crate::client::ApiClient;
use crate::failure::Failure;
use crate::output;

/// A list: what is at its path and how a row of it looks.
struct List<R> {
    noun: &'static str,
    page: GetPage<R>,
    heading: &'static [&'static str],
    cells: fn(&R) -> Vec<String>,
    csv_heading: &'static [&'static str],
    csv: fn(&R) -> String,
}

/// Asks for a page.
type GetPage<R> = fn(&ApiClient, &[(&str, String)]) -> Result<Page<R>, Failure>;

/// A page, and after which place the next one begins.
type Page<R> = (Vec<R>, Option<String>, Option<u64>);

pub fn requests(options: &RequestList) -> Result<u8, Failure> {
    let list = List {
        noun: "requests",
        page: |client, query| {
            let it: RequestPage = client.get(REQUESTS_PATH, query)?;
            Ok((it.requests, it.next, it.next_before))
        },
        heading: &["ID", "STATE", "SUBMITTED", "TEMPLATE", "REQUESTER", "SUBJECT"],
        cells: |it: &RequestSummary| {
            vec![
                it.id.to_string(),
                it.disposition.word().to_owned(),
                it.submitted.clone(),
                it.template.clone(),
                it.requester.clone(),
                it.subject.clone(),
            ]
        },
        csv_heading: &REQUEST_CSV_HEADING,
        csv: RequestSummary::csv,
    };
    list.show(&options.rows, &options.query())
}

pub fn certificates(options: &CertificateList) -> Result<u8, Failure> {
    let list = List {
        noun: "certificates",
        page: |client, query| {
            let it: CertificatePage = client.get(CERTIFICATES_PATH, query)?;
            Ok((it.certificates, it.next, it.next_before))
        },
        heading: &["SERIAL", "REQUEST", "STATE", "VALID UNTIL", "TEMPLATE", "SUBJECT"],
        cells: |it: &CertificateRow| {
            vec![
                it.summary.serial.clone(),
                it.summary.request_id.to_string(),
                it.disposition.word().to_owned(),
                it.summary.not_after.clone(),
                it.summary.template.clone(),
                it.summary.subject.clone(),
            ]
        },
        csv_heading: &CERTIFICATE_CSV_HEADING,
        csv: CertificateRow::csv,
    };
    list.show(&options.rows, &options.query())
}

impl<R: Serialize> List<R> {
    fn show(&self, rows: &Rows, query: &[(&'static str, String)]) -> Result<u8, Failure> {
        let mut pages = Pages {
            client: ApiClient::open(&rows.door)?,
            query: query.to_vec(),
            after: rows.after.clone(),
            next_before: None,
            left: (!rows.all).then_some(rows.limit),
            ended: false,
        };
        match rows.format() {
            Format::Csv => {
                let heading = csv_record(self.csv_heading.iter().copied());
                self.write_all(&mut pages, &heading, "", |row| (self.csv)(row))?;
            }
            Format::Jsonl => {
                let line = |row: &R| serde_json::to_string(row).unwrap_or_default() + "\n";
                self.write_all(&mut pages, "", "", line)?;
            }
            Format::Json if rows.all => {
                let mut first = true;
                let row = |row: &R| {
                    let comma = if std::mem::take(&mut first) { "" } else { "," };
                    format!("{comma}\n{}", serde_json::to_string(row).unwrap_or_default())
                };
                let heading = format!("{{\"{}\": [", self.noun);
                self.write_all(&mut pages, &heading, "\n]}\n", row)?;
            }
            Format::Table if rows.all => {
                while let Some(found) = pages.next(self.page)? {
                    if !found.is_empty() {
                        output::table(self.heading, found.iter().map(self.cells).collect())?;
                    }
                }
            }
            Format::Json | Format::Table => self.show_some(&mut pages, rows.format())?,
        }
        if let Some(place) = pages.after.as_ref().filter(|_| !rows.all) {
            eprintln!("More: --after {place}");
        }
        Ok(0)
    }

    /// So many rows as one table or document.
    fn show_some(&self, pages: &mut Pages, format: Format) -> Result<(), Failure> {
        let mut rows = Vec::new();
        while let Some(found) = pages.next(self.page)? {
            rows.extend(found);
        }
        if format == Format::Table {
            return output::table(self.heading, rows.iter().map(self.cells).collect());
        }
        let mut document = json!({ self.noun: rows });
        if let Some(place) = &pages.after {
            document["next"] = json!(place);
        }
        if let Some(before) = pages.next_before {
            document["next_before"] = json!(before);
        }
        output::json(&document)
    }

    /// Row after row, until the end or until nobody reads.
    fn write_all(
        &self,
        pages: &mut Pages,
        heading: &str,
        end: &str,
        mut text: impl FnMut(&R) -> String,
    ) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        let mut write = |text: &str| match out.write_all(text.as_bytes()) {
            Ok(()) => Ok(true),
            // A reader that has gone away (`| head`) wants no more, and is no failure.
            Err(err) if err.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            Err(err) => Err(Failure::from_error("output", &err)),
        };
        if !write(heading)? {
            return Ok(());
        }
        while let Some(found) = pages.next(self.page)? {
            let found: String = found.iter().map(&mut text).collect();
            if !write(&found)? {
                return Ok(());
            }
        }
        write(end)?;
        out.flush().or_else(|err| match err.kind() {
            std::io::ErrorKind::BrokenPipe => Ok(()),
            _ => Err(Failure::from_error("output", &err)),
        })
    }
}

/// Where a list stands.
struct Pages {
    client: ApiClient,
    query: Vec<(&'static str, String)>,
    /// After which place it goes on; none at the beginning and at the end.
    after: Option<String>,
    next_before: Option<u64>,
    /// Rows that are still wanted; none for all.
    left: Option<u64>,
    ended: bool,
}

impl Pages {
    /// The rows of the next page, perhaps none; nothing at the end.
    fn next<R>(&mut self, page: GetPage<R>) -> Result<Option<Vec<R>>, Failure> {
        if self.ended {
            return Ok(None);
        }
        let most = u64::from(PAGE_ROWS_MAX);
        let mut query = self.query.clone();
        query.push(("limit", self.left.unwrap_or(most).min(most).to_string()));
        if let Some(after) = &self.after {
            // The first page alone begins before a request.
            query.retain(|(key, _)| *key != "before");
            query.push(("after", after.clone()));
        }
        let (rows, next, next_before) = page(&self.client, &query)?;
        self.left = self.left.map(|it| it.saturating_sub(rows.len() as u64));
        (self.after, self.next_before) = (next, next_before);
        self.ended = self.after.is_none() || self.left == Some(0);
        Ok(Some(rows))
    }
}
