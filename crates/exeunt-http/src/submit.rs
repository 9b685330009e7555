//! `POST /v1/requests` and `POST /cmc`: from a body to the engine and back.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use exeunt_api::{ATTRIBUTE_HEADER, Disposition, SubmitAnswer};
use exeunt_engine::{
    AttributeError, Blame, Caller, Engine, Outcome, Submission, SubmitError, Submitted,
    parse_attributes,
};
use exeunt_types::{EventSeq, IdempotencyKey, RequestId, SubjectKey};
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::answer::{Answer, json, pem, rfc3339};
use crate::body;
use crate::cms::{self, Wanted};
use crate::fault::Fault;
use crate::handler::{Edge, blocking};
use crate::idempotency::{self, Repeated};
use crate::query::SubmitQuery;
use crate::{rows, template};

/// How often an answer that waits looks whether the modules have been told.
const TOLD_POLL: Duration = Duration::from_millis(5);

/// Events that are read at once to find the one of a decision.
const EVENTS_PER_PAGE: usize = 256;

/// Most pages of events that are read to find the one of a decision: thousands of other events. Where
/// there are more, the answer does not wait.
const EVENT_PAGES_MAX: usize = 16;

/// Reads the request and has a worker carry it out.
pub(crate) async fn submit(
    edge: &Arc<Edge>,
    caller: Caller,
    headers: &HeaderMap,
    query: &str,
    wanted: Wanted,
    body: Incoming,
) -> Result<Answer, Fault> {
    // What is wrong with the head is said before the body is read.
    let SubmitQuery { template, attributes: lines, dry_run } = SubmitQuery::parse(query)?;
    if dry_run && wanted != Wanted::Json {
        return Err(Fault::query("a trial is answered in JSON alone".to_owned()));
    }
    let attributes = attributes(lines, headers)?;
    let key = idempotency::key(headers)?;
    let form = is_form(headers);
    let request = body::read(body, edge.limits.read).await?;
    let key = key.map(|key| {
        let asked = idempotency::digest(template.as_deref(), &attributes, &request);
        IdempotencyKey { key, asked }
    });
    let submission = Submission { request, attributes, template, caller, key };

    if dry_run {
        return template::try_out(edge, submission, form).await;
    }
    let (sender, receiver) = oneshot::channel();
    let job = Job { submission, form, wanted, sender };
    edge.workers.run(job).map_err(|_| Fault::busy())?;
    // A job that ends without a word has panicked, and the worker has logged it.
    let (answer, telling) = match receiver.await.map_err(|_| Fault::internal())? {
        Decided::Now { answer, telling } => (answer, telling),
        Decided::Before(repeated) => return idempotency::answer(edge, repeated).await,
    };
    if let Some(telling) = telling {
        wait_until_told(edge, telling).await;
    }
    answer
}

/// Which event tells of a decision.
pub(crate) enum Telling {
    /// This one.
    Event(EventSeq),
    /// The newest one of the request after that, if there is one.
    Of {
        /// The request.
        request: RequestId,
        /// An event before the decision.
        after: EventSeq,
    },
}

/// Waits on the timer, so that neither a thread nor the workers are held up. It changes nothing of
/// the answer, whatever comes of it.
pub(crate) async fn wait_until_told(edge: &Arc<Edge>, telling: Telling) {
    let Some(before) = &edge.before_reply else { return };
    let event = match telling {
        Telling::Event(event) => Some(event),
        // Where everything was told there is nothing to look for.
        Telling::Of { .. } if (before.told)(edge.engine.store().head()) => None,
        Telling::Of { request, after } => event_of(edge, request, after).await,
    };
    let Some(event) = event else { return };
    let until = Instant::now() + before.limit;
    while !(before.told)(event) {
        let now = Instant::now();
        if until <= now {
            tracing::debug!(event = event.0, "answered before all modules were told");
            return;
        }
        tokio::time::sleep_until(until.min(now + TOLD_POLL)).await;
    }
}

/// The newest event of a request after the given one, of the first page that has any. The decision has
/// been made, so that trouble in reading is for the log and no answer to whoever asked for it.
async fn event_of(edge: &Arc<Edge>, request: RequestId, after: EventSeq) -> Option<EventSeq> {
    let find = move |edge: &Edge| {
        let mut after = after;
        for _ in 0..EVENT_PAGES_MAX {
            let events = match edge.engine.store().events_after(after, EVENTS_PER_PAGE) {
                Ok(events) => events,
                Err(err) => {
                    let request = request.0;
                    tracing::error!(code = err.code(), request, error = %err, "looking for an event");
                    return None;
                }
            };
            let is_of_it = |subject: &SubjectKey| *subject == SubjectKey::Request(request);
            if let Some(found) = events.iter().rfind(|it| is_of_it(&it.subject)) {
                return Some(found.seq);
            }
            after = events.last()?.seq;
        }
        None
    };
    blocking(edge, &edge.rooms.look_up, find).await.unwrap_or_default()
}

/// What came of a submission.
enum Decided {
    /// It was decided.
    Now {
        answer: Result<Answer, Fault>,
        /// The event that tells of it; none where nothing was written.
        telling: Option<Telling>,
    },
    /// It had been submitted before.
    Before(Repeated),
}

/// A submission on its way through a worker.
pub(crate) struct Job {
    submission: Submission,
    form: bool,
    wanted: Wanted,
    sender: oneshot::Sender<Decided>,
}

/// What a worker does with the submissions that it took.
pub(crate) fn carry_out(engine: &Engine, batch: Vec<Job>) {
    let mut senders = Vec::with_capacity(batch.len());
    let mut submissions = Vec::with_capacity(batch.len());
    for Job { submission, form, wanted, sender } in batch {
        // An answer in CMS repeats parts of what was sent.
        let sent = if wanted.is_cms() { submission.request.clone() } else { Vec::new() };
        submissions.push(submission);
        senders.push((form, wanted, sent, sender));
    }
    let after = engine.store().head();
    for (result, to) in engine.submit_all(submissions).into_iter().zip(senders) {
        let (form, wanted, sent, sender) = to;
        if let Err(SubmitError::Repeated { request, denied }) = result {
            let _ = sender.send(Decided::Before(Repeated { request, denied, wanted, sent }));
            continue;
        }
        // Only of a certificate is the event's number at hand.
        let telling = match &result {
            Ok(submitted) => Some(match submitted.outcome {
                Outcome::Issued { event, .. } => Telling::Event(event),
                _ => Telling::Of { request: submitted.request, after },
            }),
            Err(err) => {
                log(err);
                err.request().map(|request| Telling::Of { request, after })
            }
        };
        let answer = match cms::answer(engine, wanted, &sent, &result) {
            Some(answer) => answer,
            None => result.map(answer).map_err(|err| Fault::submit(&err, form)),
        };
        // When the client has hung up nobody hears, and the certificate is recorded all the same.
        let _ = sender.send(Decided::Now { answer, telling });
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

/// An answer that says nothing yet.
pub(crate) fn bare(request: RequestId) -> SubmitAnswer {
    SubmitAnswer {
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
    }
}

/// The answer to whoever asked for a decision.
pub(crate) fn answer(submitted: Submitted) -> Answer {
    let Submitted { request, outcome } = submitted;
    let bare = bare(request);
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

/// An error and its causes on one line, for the log.
pub(crate) fn chain(err: &dyn Error) -> String {
    let mut chain = err.to_string();
    let mut source = err.source();
    while let Some(err) = source {
        chain.push_str(": ");
        chain.push_str(&err.to_string());
        source = err.source();
    }
    chain
}

fn log(err: &SubmitError) {
    let chain = chain(err);
    let (code, request) = (err.code(), err.request().map(|it| it.0));
    match err.blame() {
        Blame::Requester => tracing::debug!(code, request, "submission refused: {chain}"),
        Blame::Operator | Blame::Us => {
            // The client is told one code, whatever is wrong with the key.
            let cause = match err {
                SubmitError::Sign { source, .. } => Some(source.code()),
                _ => None,
            };
            tracing::error!(code, cause, request, "submission failed: {chain}");
        }
    }
}
