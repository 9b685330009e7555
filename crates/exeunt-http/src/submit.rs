//! `POST /v1/requests`: from a body to the engine and back.

use std::error::Error;
use std::sync::Arc;

use exeunt_api::{ATTRIBUTE_HEADER, Disposition, SubmitAnswer};
use exeunt_engine::{
    AttributeError, Blame, Caller, Engine, Outcome, Submission, SubmitError, Submitted,
    parse_attributes,
};
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use tokio::sync::oneshot;

use crate::answer::{Answer, json, pem, rfc3339};
use crate::body;
use crate::fault::Fault;
use crate::handler::Edge;
use crate::query::SubmitQuery;
use crate::rows;

/// Reads the request and has a worker carry it out.
pub(crate) async fn submit(
    edge: &Arc<Edge>,
    caller: Caller,
    headers: &HeaderMap,
    query: &str,
    body: Incoming,
) -> Result<Answer, Fault> {
    // What is wrong with the head is said before the body is read.
    let SubmitQuery { template, attributes: lines } = SubmitQuery::parse(query)?;
    let attributes = attributes(lines, headers)?;
    let form = is_form(headers);
    let request = body::read(body, edge.limits.read).await?;
    let submission = Submission { request, attributes, template, caller };

    let (sender, receiver) = oneshot::channel();
    let job = Job { submission, form, sender };
    edge.workers.run(job).map_err(|_| Fault::busy())?;
    match receiver.await {
        Ok(result) => result,
        // The job ended without a word: it panicked, and the worker has logged it.
        Err(_) => Err(Fault::internal()),
    }
}

/// A submission on its way through a worker.
pub(crate) struct Job {
    submission: Submission,
    form: bool,
    sender: oneshot::Sender<Result<Answer, Fault>>,
}

/// What a worker does with the submissions that it took.
pub(crate) fn carry_out(engine: &Engine, batch: Vec<Job>) {
    let mut senders = Vec::with_capacity(batch.len());
    let mut submissions = Vec::with_capacity(batch.len());
    for Job { submission, form, sender } in batch {
        submissions.push(submission);
        senders.push((form, sender));
    }
    for (result, (form, sender)) in engine.submit_all(submissions).into_iter().zip(senders) {
        let result = match result {
            Ok(submitted) => Ok(answer(submitted)),
            Err(err) => {
                log(&err);
                Err(Fault::submit(&err, form))
            }
        };
        // When the client has hung up nobody hears, and the certificate is recorded all the same.
        let _ = sender.send(result);
    }
}

/// Attributes of the query, then those of the headers; a later one of the same name wins.
fn attributes(mut lines: String, headers: &HeaderMap) -> Result<Vec<(String, String)>, Fault> {
    for value in headers.get_all(ATTRIBUTE_HEADER) {
        let Ok(value) = std::str::from_utf8(value.as_bytes()) else {
            let detail = format!("a header {ATTRIBUTE_HEADER} is not UTF-8");
            return Err(Fault::attribute("attribute-invalid", detail));
        };
        lines.push_str(value);
        lines.push('\n');
    }
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    parse_attributes(&lines)
        .map_err(|err: AttributeError| Fault::attribute(err.code(), err.to_string()))
}

fn is_form(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    media_type.starts_with("application/x-www-form-urlencoded")
}

fn answer(submitted: Submitted) -> Answer {
    let Submitted { request, outcome } = submitted;
    let bare = SubmitAnswer {
        request_id: request.0,
        disposition: Disposition::Unknown,
        serial: None,
        certificate: None,
        subject: None,
        not_before: None,
        not_after: None,
        message: None,
        code: None,
        status_code: None,
    };
    match outcome {
        Outcome::Issued { serial, certificate, subject, not_before, not_after, event: _ } => {
            let issued = SubmitAnswer {
                disposition: Disposition::Issued,
                serial: Some(serial.to_string()),
                certificate: Some(pem("CERTIFICATE", &certificate)),
                subject: Some(subject),
                not_before: Some(rfc3339(not_before)),
                not_after: Some(rfc3339(not_after)),
                ..bare
            };
            json(StatusCode::OK, &issued)
        }
        Outcome::Pending { message } => {
            let pending =
                SubmitAnswer { disposition: Disposition::Pending, message: Some(message), ..bare };
            json(StatusCode::ACCEPTED, &pending)
        }
        Outcome::Denied { code, status, message } => {
            let denied = SubmitAnswer {
                disposition: Disposition::Denied,
                message: Some(message),
                code: Some(code.to_owned()),
                status_code: Some(rows::status_code(status)),
                ..bare
            };
            json(StatusCode::FORBIDDEN, &denied)
        }
    }
}

fn log(err: &SubmitError) {
    let mut chain = err.to_string();
    let mut source = err.source();
    while let Some(err) = source {
        chain.push_str(": ");
        chain.push_str(&err.to_string());
        source = err.source();
    }
    let (code, request) = (err.code(), err.request().map(|it| it.0));
    match err.blame() {
        Blame::Requester => tracing::debug!(code, request, "submission refused: {chain}"),
        Blame::Operator | Blame::Us => tracing::error!(code, request, "submission failed: {chain}"),
    }
}
