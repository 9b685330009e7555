//! From a request to its answer: who asks, for what, by which method.
//!
//! What there is stands in the table of `endpoint.rs`; every answer, also the refusals, is a document of
//! ours.

use std::sync::Arc;

use exeunt_api::Health;
use exeunt_engine::{Caller, Engine};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Request, StatusCode};
use tokio::sync::watch;

use crate::answer::{self, Answer, json, problem};
use crate::auth::{Peer, Tokens};
use crate::bulk::{self, BulkPart};
use crate::cms::Wanted;
use crate::endpoint::{self, Operation, Place};
use crate::exits::{BeforeReply, Exits};
use crate::fault::Fault;
use crate::filter::{CertificateQuery, RequestQuery};
use crate::manage::{self, Part};
use crate::officer::{self, CertificatePart, ListOfRun, RequestPart};
use crate::own::{self, CertificateName};
use crate::query::{self, PageQuery};
use crate::relying::{self, ListName};
use crate::rooms::{Room, Rooms};
use crate::settings::{Limits, NowFn};
use crate::submit::Job;
use crate::tls::Doors;
use crate::workers::Workers;
use crate::{backup, export, import, ocsp, rows, submit};

/// The document of the API, as it is committed.
const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

/// What all connections share.
pub(crate) struct Edge {
    pub(crate) engine: Arc<Engine>,
    pub(crate) exits: Arc<dyn Exits>,
    pub(crate) tokens: Tokens,
    pub(crate) limits: Limits,
    pub(crate) workers: Workers<Job>,
    pub(crate) before_reply: Option<BeforeReply>,
    pub(crate) rooms: Rooms,
    /// Their certificates.
    pub(crate) tls: Doors,
    /// The time.
    pub(crate) now: NowFn,
    /// Turns true when the server stops.
    pub(crate) closing: watch::Receiver<bool>,
}

/// Answers a request. Never fails: whatever goes wrong is an answer.
pub(crate) async fn handle(edge: &Arc<Edge>, peer: &Peer, request: Request<Incoming>) -> Answer {
    match answer(edge, peer, request).await {
        Ok(answer) => answer,
        Err(fault) => {
            tracing::debug!(code = fault.code, status = fault.status.as_u16(), "refused");
            problem(&fault)
        }
    }
}

async fn answer(
    edge: &Arc<Edge>,
    peer: &Peer,
    request: Request<Incoming>,
) -> Result<Answer, Fault> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let query = head.uri.query().unwrap_or_default();
    if Limits::URL_BYTES_MAX < path.len() + query.len() {
        return Err(Fault::url_too_long());
    }
    // Before the caller is known, nothing but the health and what is public is told: not even which
    // paths exist.
    let place = Place::find(path);
    let caller = match &place {
        Some(place) if place.is_public() => None,
        _ => Some(edge.tokens.caller(peer, &head.headers)?),
    };
    let place = place.ok_or_else(Fault::unknown_path)?;
    // The methods are told apart by their names, as the header `Allow` has them.
    let endpoint = place.endpoint(head.method.as_str())?;
    if let Some(caller) = &caller {
        endpoint::allow(endpoint, caller)?;
    }
    if endpoint.query.is_empty() {
        query::nothing(query)?;
    }
    let operation = endpoint.operation;
    let asked = Asked { operation, parts: place.parts, headers: &head.headers, query, body };
    match caller {
        None => public(edge, asked).await,
        Some(caller) => known(edge, caller, asked).await,
    }
}

/// What is asked for.
struct Asked<'a> {
    operation: Operation,
    /// What stands in the path where its pattern has braces.
    parts: [&'a str; 2],
    headers: &'a HeaderMap,
    query: &'a str,
    body: Incoming,
}

/// What anybody may ask.
async fn public(edge: &Arc<Edge>, asked: Asked<'_>) -> Result<Answer, Fault> {
    let Asked { operation, parts: [part, _], headers, body, .. } = asked;
    match operation {
        Operation::AskOcsp => ocsp::post(edge, body).await,
        Operation::AskOcspInPath => ocsp::get(edge, part, headers).await,
        Operation::FetchNewestList => {
            let name = ListName::parse(part).ok_or_else(Fault::unknown_path)?;
            relying::newest_list(edge, name, headers).await
        }
        Operation::FetchCaCertificate => {
            let name = CertificateName::parse(part).ok_or_else(Fault::unknown_path)?;
            own::certificate(edge, name, headers)
        }
        Operation::Health => Ok(json(
            StatusCode::OK,
            &Health { status: "ok".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        )),
        _ => Err(Fault::unknown_path()),
    }
}

/// What somebody may ask who has said who he is, and may.
async fn known(edge: &Arc<Edge>, caller: Caller, asked: Asked<'_>) -> Result<Answer, Fault> {
    let Asked { operation, parts: [part, second], headers, query, body } = asked;
    match operation {
        Operation::SubmitRequest => {
            submit::submit(edge, caller, headers, query, Wanted::of(headers), body).await
        }
        Operation::SubmitCmc => {
            submit::submit(edge, caller, headers, query, Wanted::ByKind, body).await
        }
        Operation::ListRequests => {
            export::requests(edge, RequestQuery::parse(query, (edge.now)())?).await
        }
        Operation::ListCertificates => {
            export::certificates(edge, CertificateQuery::parse(query, (edge.now)())?).await
        }
        Operation::ImportCertificates => import::import(edge, caller, body).await,
        Operation::RevokeMany => bulk::change(edge, caller, BulkPart::Revoke, body).await,
        Operation::ReleaseMany => bulk::change(edge, caller, BulkPart::Release, body).await,
        Operation::RevokeCertificate => {
            officer::certificate(edge, caller, (part, CertificatePart::Revoke), body).await
        }
        Operation::ReleaseCertificate => {
            officer::certificate(edge, caller, (part, CertificatePart::Unrevoke), body).await
        }
        Operation::PublishExpired => {
            officer::certificate(edge, caller, (part, CertificatePart::PublishExpired), body).await
        }
        Operation::PublishLists => officer::publish(edge, caller, body).await,
        Operation::NoteBackup => backup::note(edge, caller, body).await,
        Operation::ListExits => manage::look_up(edge, |exits| exits.list()).await,
        Operation::ShowExit => manage::show(edge, part, query).await,
        Operation::AddExit => manage::add(edge, caller.name, body).await,
        Operation::RemoveExit => manage::remove(edge, caller.name, part, query).await,
        Operation::Reload => manage::reload(edge, caller.name).await,
        Operation::DescribeCa => Ok(own::describe(edge)),
        Operation::OpenApi => Ok(answer::json_text(DOCUMENT)),
        _ => {
            if let Some(request) = RequestPart::of(operation, second) {
                return officer::request(edge, caller, (part, request), body).await;
            }
            if let Some(of_module) = Part::of(operation) {
                return manage::part(edge, caller.name, (part, of_module), query, body).await;
            }
            row(edge, operation, [part, second], query).await
        }
    }
}

/// Rows that are looked up by what stands in the path.
async fn row(
    edge: &Arc<Edge>,
    operation: Operation,
    [part, second]: [&str; 2],
    query: &str,
) -> Result<Answer, Fault> {
    match operation {
        Operation::ShowRequest => {
            let id = rows::request_id(part)?;
            look_up(edge, move |edge| rows::request(&edge.engine, id)).await
        }
        Operation::ShowCertificate => {
            let serial = rows::serial(part)?;
            look_up(edge, move |edge| rows::certificate(&edge.engine, &serial)).await
        }
        Operation::ListLists => {
            let page = PageQuery::parse(query)?;
            look_up(edge, move |edge| rows::crls(&edge.engine, &page)).await
        }
        Operation::ListsOfNumber => {
            let number = rows::crl_number(part)?;
            look_up(edge, move |edge| rows::crls_of(&edge.engine, number)).await
        }
        Operation::FetchList => {
            let list = ListOfRun::find(second).ok_or_else(Fault::unknown_path)?;
            let number = rows::crl_number(part)?;
            look_up(edge, move |edge| rows::crl_der(edge, number, list)).await
        }
        // The tests ask for every row of the table.
        _ => Err(Fault::unknown_path()),
    }
}

/// Runs a look-up on a thread that may block.
pub(crate) async fn look_up<T, F>(edge: &Arc<Edge>, read: F) -> Result<T, Fault>
where
    T: Send + 'static,
    F: FnOnce(&Edge) -> Result<T, Fault> + Send + 'static,
{
    blocking(edge, &edge.rooms.look_up, read).await?
}

/// Runs something on a thread that may block, when there is room.
pub(crate) async fn blocking<T, F>(edge: &Arc<Edge>, room: &Room, act: F) -> Result<T, Fault>
where
    T: Send + 'static,
    F: FnOnce(&Edge) -> T + Send + 'static,
{
    let permit = room.enter().await?;
    with_permit(edge, permit, act).await
}

/// Runs something on a thread that may block, and gives the permit back when it has ended.
pub(crate) async fn with_permit<P, T, F>(edge: &Arc<Edge>, permit: P, act: F) -> Result<T, Fault>
where
    P: Send + 'static,
    T: Send + 'static,
    F: FnOnce(&Edge) -> T + Send + 'static,
{
    let edge = Arc::clone(edge);
    let act = move || {
        let _permit = permit;
        act(&edge)
    };
    match tokio::task::spawn_blocking(act).await {
        Ok(result) => Ok(result),
        Err(err) => {
            let words = match err.try_into_panic() {
                Ok(panic) => crate::workers::words(&*panic).to_owned(),
                Err(err) => err.to_string(),
            };
            tracing::error!(code = "internal", "a look-up panicked: {words}");
            Err(Fault::internal())
        }
    }
}
