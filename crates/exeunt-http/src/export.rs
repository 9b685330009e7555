//! Lists: a page as a document, or all rows one after the other, as CSV or a JSON object for each line.
//!
//! What goes out row by row is read in pieces, each in a read of its own that ends before the piece is
//! sent. A client that reads slowly, or not at all, holds two pieces in memory and nothing in the store.
//! So an export is no picture of one moment: a row that changes while it runs is there as it was when
//! its piece was read, and none is there twice.

use std::io;
use std::sync::Arc;

use exeunt_api::{
    CERTIFICATE_CSV_HEADING, CSV_MEDIA_TYPE, CertificateRow, JSON_LINES_MEDIA_TYPE,
    REQUEST_CSV_HEADING, RequestSummary, csv_record,
};
use exeunt_types::{CertificateKey, RequestId};
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::answer::Answer;
use crate::connection::closed;
use crate::fault::Fault;
use crate::filter::{CertificateQuery, Format, RequestQuery};
use crate::handler::{Edge, look_up};
use crate::reply::Reply;
use crate::rows;

/// Rows of an export that are in memory at a time, twice: those that are sent and those that come
/// next. Some hundred kilobytes.
const PIECE_ROWS: usize = 500;

pub(crate) async fn requests(edge: &Arc<Edge>, query: RequestQuery) -> Result<Answer, Fault> {
    if query.format == Format::Page {
        return look_up(edge, move |edge| rows::requests(&edge.engine, &query)).await;
    }
    let (format, limit, first) = (query.format, query.limit, query.after);
    let read = move |edge: &Edge, after: Option<RequestId>, limit: usize| {
        let (rows, next) = rows::some_requests(&edge.engine, &query, after, limit)?;
        Ok((rows.len(), text(format, &rows, RequestSummary::csv), next))
    };
    stream(edge, (format, &REQUEST_CSV_HEADING), (first, limit), Arc::new(read)).await
}

pub(crate) async fn certificates(
    edge: &Arc<Edge>,
    query: CertificateQuery,
) -> Result<Answer, Fault> {
    if query.format == Format::Page {
        return look_up(edge, move |edge| rows::certificates(&edge.engine, &query)).await;
    }
    let (format, limit, first) = (query.format, query.limit, query.after);
    let read = move |edge: &Edge, after: Option<CertificateKey>, limit: usize| {
        let (rows, next) = rows::some_certificates(&edge.engine, &query, after, limit)?;
        Ok((rows.len(), text(format, &rows, CertificateRow::csv), next))
    };
    stream(edge, (format, &CERTIFICATE_CSV_HEADING), (first, limit), Arc::new(read)).await
}

fn text<T: Serialize>(format: Format, rows: &[T], csv: fn(&T) -> String) -> String {
    if format == Format::Csv {
        return rows.iter().map(csv).collect();
    }
    let line = |row: &T| {
        let line = serde_json::to_string(row);
        line.expect("BUG: wire types have text keys and finite numbers") + "\n"
    };
    rows.iter().map(line).collect()
}

/// Reads the next rows: how many, their text, and the place to go on after.
type Read<K> =
    Arc<dyn Fn(&Edge, Option<K>, usize) -> Result<(usize, String, Option<K>), Fault> + Send + Sync>;

/// Where an export stands.
struct Export<K> {
    read: Read<K>,
    after: Option<K>,
    /// Rows that may still come; none for all.
    left: Option<u64>,
    ended: bool,
}

impl<K: Copy + Send + 'static> Export<K> {
    /// The next piece; empty where a piece of the store held nothing that was asked for.
    async fn next(&mut self, edge: &Arc<Edge>) -> Result<String, Fault> {
        let most = self.left.and_then(|it| usize::try_from(it).ok()).unwrap_or(usize::MAX);
        let (read, after) = (Arc::clone(&self.read), self.after);
        let read = move |edge: &Edge| read(edge, after, most.min(PIECE_ROWS));
        let (rows, text, next) = look_up(edge, read).await?;
        self.left = self.left.map(|it| it.saturating_sub(rows as u64));
        self.after = next;
        self.ended = next.is_none() || self.left == Some(0);
        Ok(text)
    }
}

async fn stream<K: Copy + Send + 'static>(
    edge: &Arc<Edge>,
    (format, heading): (Format, &[&str]),
    (after, left): (Option<K>, Option<u64>),
    read: Read<K>,
) -> Result<Answer, Fault> {
    let permit = edge.rooms.export.try_enter().ok_or_else(Fault::busy)?;
    let mut export = Export { read, after, left, ended: false };
    let (media_type, mut first) = match format {
        Format::Csv => (CSV_MEDIA_TYPE, csv_record(heading.iter().copied())),
        _ => (JSON_LINES_MEDIA_TYPE, String::new()),
    };
    // The first piece is read before the answer begins: what fails at once is an answer of its own.
    first.push_str(&export.next(edge).await?);
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(feed(Arc::clone(edge), export, first, sender, permit));
    let mut answer = Response::new(Reply::Pieces(pieces));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// Sends piece after piece, as the client takes them, until the end, the client's or the server's.
async fn feed<K: Copy + Send + 'static>(
    edge: Arc<Edge>,
    mut export: Export<K>,
    first: String,
    sender: mpsc::Sender<io::Result<Bytes>>,
    _permit: OwnedSemaphorePermit,
) {
    let mut closing = edge.closing.clone();
    let mut piece = first;
    loop {
        if !piece.is_empty() {
            let sent = tokio::select! {
                biased;
                () = closed(&mut closing) => break,
                sent = sender.send(Ok(Bytes::from(piece))) => sent,
            };
            // The client is gone.
            if sent.is_err() {
                return;
            }
        }
        if export.ended {
            return;
        }
        // Where nothing is found for long, nothing is sent that would tell of it.
        if *closing.borrow() || sender.is_closed() {
            break;
        }
        match export.next(&edge).await {
            Ok(text) => piece = text,
            Err(fault) => {
                tracing::warn!(code = fault.code, "an export broke off");
                let _ = sender.send(Err(io::Error::other(fault.code))).await;
                return;
            }
        }
    }
    let _ = sender.send(Err(io::Error::other("the server stops"))).await;
}
