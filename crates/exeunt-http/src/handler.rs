//! From a request to its answer: who asks, for what, by which method.
//!
//! What there is stands in the table of `endpoint.rs`; every answer, also the refusals, is a document of
//! ours.

use std::sync::Arc;
use std::time::Instant;

use exeunt_engine::{Caller, Engine};
use exeunt_types::{Roles, TextFilter};
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::http::request::Parts;
use tokio::sync::watch;

use crate::answer::{self, Answer, problem};
use crate::auth::{Closed, Gate, Peer};
use crate::bulk::{self, BulkPart};
use crate::cms::Wanted;
use crate::endpoint::{self, Operation, Place};
use crate::exits::{BeforeReply, Exits};
use crate::fault::Fault;
use crate::filter::{CertificateQuery, RequestQuery};
use crate::manage::{self, Part};
use crate::officer::{self, CertificatePart, ListOfRun, RequestPart};
use crate::own::{self, CertificateName};
use crate::people::{self, People};
use crate::query::{self, PageQuery};
use crate::refusal::{self, Refusals, Refused};
use crate::relying::{self, ListName};
use crate::rooms::{Room, Rooms};
use crate::settings::{Limits, NowFn};
use crate::submit::Job;
use crate::tls::Doors;
use crate::workers::Workers;
use crate::{backup, export, import, ocsp, recovery, rows, submit, template, trail};

/// The document of the API, as it is committed.
const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

/// What all connections share.
pub(crate) struct Edge {
    pub(crate) engine: Arc<Engine>,
    pub(crate) exits: Arc<dyn Exits>,
    pub(crate) people: Arc<dyn People>,
    pub(crate) gate: Gate,
    /// Who was refused of late.
    pub(crate) refusals: Refusals,
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
    let (head, body) = request.into_parts();
    match answer(edge, peer, &head, body).await {
        Ok(answer) => answer,
        Err(Closed { fault, who }) => {
            tracing::debug!(code = fault.code, status = fault.status.as_u16(), "refused");
            if fault.is_about_access() {
                let (what, place) =
                    (format!("{} {}", head.method, head.uri.path()), peer.to_string());
                let code = fault.code;
                refusal::note(edge, Refused { who, place, what, code }).await;
            }
            problem(&fault)
        }
    }
}

async fn answer(
    edge: &Arc<Edge>,
    peer: &Peer,
    head: &Parts,
    body: Incoming,
) -> Result<Answer, Closed> {
    let path = head.uri.path();
    let query = head.uri.query().unwrap_or_default();
    if Limits::URL_BYTES_MAX < path.len() + query.len() {
        return Err(Fault::url_too_long().into());
    }
    if Limits::HEAD_BYTES_MAX < length(&head.headers) + path.len() + query.len() {
        return Err(Fault::head_too_long().into());
    }
    // Before the caller is known, nothing but the health and what is public is told: not even which
    // paths exist.
    let place = Place::find(path);
    let caller = match &place {
        Some(place) if place.is_public() => None,
        _ => Some(edge.gate.caller(peer, &head.headers, (Instant::now(), (edge.now)()))?),
    };
    let place = place.ok_or_else(Fault::unknown_path)?;
    // The methods are told apart by their names, as the header `Allow` has them.
    let endpoint = place.endpoint(head.method.as_str())?;
    let who = caller.as_ref().map(Caller::actor);
    if let Some(caller) = &caller {
        endpoint::allow(endpoint, caller)
            .map_err(|fault| Closed { fault: fault.into(), who: who.clone() })?;
    }
    if endpoint.query.is_empty() {
        query::nothing(query)?;
    }
    let operation = endpoint.operation;
    let own_of = caller.as_ref().filter(|it| endpoint::is_own_only(endpoint, it));
    let own_of = own_of.map(|it| OwnOf { name: it.name.clone(), needs: endpoint.needs });
    let asked =
        Asked { own_of, operation, parts: place.parts, headers: &head.headers, query, body };
    let answered = match caller {
        None => public(edge, asked).await,
        Some(caller) => known(edge, caller, asked).await,
    };
    answered.map_err(|fault| Closed { fault: fault.into(), who })
}

/// Bytes of the fields of a head: each with a colon, a blank and an end of line.
fn length(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// What is asked for.
struct Asked<'a> {
    /// Whose rows are shown only, if not everybody's.
    own_of: Option<OwnOf>,
    operation: Operation,
    /// What stands in the path where its pattern has braces.
    parts: [&'a str; 2],
    headers: &'a HeaderMap,
    query: &'a str,
    body: Incoming,
}

/// Whoever sees only what is his own.
struct OwnOf {
    /// The caller's name, as rows have it.
    name: String,
    /// The roles that see everything.
    needs: Roles,
}

impl OwnOf {
    /// Lets a list have the caller's own requests only.
    fn narrow(self, query: &mut RequestQuery) -> Result<(), Fault> {
        let own = Some(TextFilter::Is(self.name));
        // Whoever asks for another one's would take an empty list for the truth.
        if query.filter.caller.is_some() && query.filter.caller != own {
            return Err(Fault::not_own(self.needs));
        }
        query.filter.caller = own;
        Ok(())
    }

    /// Refuses the request, or the certificate, of somebody else. One that is not there is nobody's.
    async fn check(self, edge: &Arc<Edge>, operation: Operation, part: &str) -> Result<(), Fault> {
        let Self { name, needs } = self;
        let caller = if operation == Operation::ShowCertificate {
            let serial = rows::serial(part)?;
            look_up(edge, move |edge| rows::caller_of_certificate(&edge.engine, &serial)).await?
        } else {
            let id = rows::request_id(part)?;
            look_up(edge, move |edge| rows::caller_of_request(&edge.engine, id)).await?
        };
        if caller.is_none_or(|it| it == name) { Ok(()) } else { Err(Fault::not_own(needs)) }
    }
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
        Operation::FetchExchangeCertificate => recovery::exchange_file(edge).await,
        Operation::DescribeExchange => recovery::exchange(edge).await,
        Operation::Health => trail::health(edge),
        _ => Err(Fault::unknown_path()),
    }
}

/// What somebody may ask who has said who he is, and may.
async fn known(edge: &Arc<Edge>, caller: Caller, asked: Asked<'_>) -> Result<Answer, Fault> {
    let Asked { own_of, operation, parts: [part, second], headers, query, body } = asked;
    match operation {
        Operation::SubmitRequest => {
            submit::submit(edge, caller, headers, query, Wanted::of(headers), body).await
        }
        Operation::SubmitCmc => {
            submit::submit(edge, caller, headers, query, Wanted::ByKind, body).await
        }
        Operation::ListRequests => {
            let mut query = RequestQuery::parse(query, (edge.now)())?;
            if let Some(own) = own_of {
                own.narrow(&mut query)?;
            }
            export::requests(edge, query).await
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
        Operation::ListKeyRecoveries => recovery::list(edge).await,
        Operation::AskKeyRecovery => recovery::ask(edge, caller, body).await,
        Operation::ApproveKeyRecovery => recovery::approve(edge, caller, part).await,
        Operation::FetchRecoveredKey => recovery::fetch(edge, caller, part).await,
        Operation::ImportKey => recovery::import(edge, caller, body).await,
        Operation::ShowAudit => trail::list(edge, query).await,
        Operation::NoteBackup => backup::note(edge, caller, body).await,
        Operation::ShowPolicy => manage::look_up(edge, |exits| exits.policy()).await,
        Operation::PolicySettings => manage::look_up(edge, |exits| exits.policy_settings()).await,
        Operation::ChangePolicy => manage::change_policy(edge, caller.actor(), body).await,
        Operation::ListExits => manage::look_up(edge, |exits| exits.list()).await,
        Operation::ShowExit => manage::show(edge, part, query).await,
        Operation::AddExit => manage::add(edge, caller.actor(), body).await,
        Operation::RemoveExit => manage::remove(edge, caller.actor(), part, query).await,
        Operation::Reload => manage::reload(edge, caller.actor()).await,
        Operation::ListPrincipals => people::list(edge).await,
        Operation::AddToken => people::add_token(edge, &caller, part, body).await,
        Operation::RemoveToken => people::remove_token(edge, &caller, [part, second]).await,
        Operation::ListTemplates => Ok(template::list(edge)),
        Operation::ShowTemplate => template::show(edge, part),
        Operation::DescribeCa => Ok(own::describe(edge)),
        Operation::OpenApi => Ok(answer::json_text(DOCUMENT)),
        _ => {
            if let Some(own) = own_of {
                own.check(edge, operation, part).await?;
            }
            if let Some(request) = RequestPart::of(operation, second) {
                return officer::request(edge, caller, (part, request), body).await;
            }
            if let Some(of_module) = Part::of(operation) {
                return manage::part(edge, caller.actor(), (part, of_module), query, body).await;
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
