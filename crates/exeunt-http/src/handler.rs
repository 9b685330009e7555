//! From a request to its answer: who asks, for what, by which method.
//!
//! Routes are matched by hand: there are few, and every answer, also the refusals, is a document
//! of ours.

use std::sync::Arc;

use exeunt_api::Health;
use exeunt_engine::Engine;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Method, Request, StatusCode};
use tokio::sync::watch;

use crate::answer::{Answer, json, problem};
use crate::auth::{Peer, Tokens};
use crate::bulk::{self, BulkPart};
use crate::cms::Wanted;
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
use crate::workers::Workers;
use crate::{backup, export, import, ocsp, rows, submit};

/// What all connections share.
pub(crate) struct Edge {
    pub(crate) engine: Arc<Engine>,
    pub(crate) exits: Arc<dyn Exits>,
    pub(crate) tokens: Tokens,
    pub(crate) limits: Limits,
    pub(crate) workers: Workers<Job>,
    pub(crate) before_reply: Option<BeforeReply>,
    pub(crate) rooms: Rooms,
    /// The time.
    pub(crate) now: NowFn,
    /// Turns true when the server stops.
    pub(crate) closing: watch::Receiver<bool>,
}

/// What is at a path.
enum Route<'a> {
    Requests,
    Request(&'a str),
    RequestPart(&'a str, RequestPart<'a>),
    Certificates,
    Certificate(&'a str),
    CertificatePart(&'a str, CertificatePart),
    /// An order about many certificates.
    Bulk(BulkPart),
    Crls,
    CrlsOf(&'a str),
    CrlDer(&'a str, ListOfRun),
    /// The newest list of a name, for relying parties.
    NewestList(ListName),
    /// A certificate of the CA, for relying parties.
    CaFile(CertificateName),
    /// Where clients of CMC send requests.
    Cmc,
    /// Where relying parties send OCSP requests.
    Ocsp,
    /// An OCSP request in the path.
    OcspRequest(&'a str),
    Exits,
    Exit(&'a str),
    ExitPart(&'a str, Part),
    Backups,
    Reload,
    Ca,
    Health,
}

impl<'a> Route<'a> {
    fn find(path: &'a str) -> Option<Self> {
        if let Some(name) = path.strip_prefix(exeunt_api::CRL_FILES_PATH) {
            return ListName::parse(name.strip_prefix('/')?).map(Self::NewestList);
        }
        if let Some(name) = path.strip_prefix(exeunt_api::CA_FILES_PATH) {
            return CertificateName::parse(name.strip_prefix('/')?).map(Self::CaFile);
        }
        if path == exeunt_api::CMC_PATH {
            return Some(Self::Cmc);
        }
        if let Some(rest) = path.strip_prefix(exeunt_api::OCSP_PATH) {
            return match rest.strip_prefix('/') {
                None => Some(Self::Ocsp).filter(|_| rest.is_empty()),
                // The address in the certificate ended in a slash.
                Some("") => Some(Self::Ocsp),
                Some(request) => Some(Self::OcspRequest(request)),
            };
        }
        let rest = path.strip_prefix(exeunt_api::VERSION_PREFIX)?.strip_prefix('/')?;
        let (collection, item) = match rest.split_once('/') {
            Some((_, "")) => return None,
            Some((collection, item)) => (collection, Some(item)),
            None => (rest, None),
        };
        match (collection, item) {
            ("exits", Some(item)) => match item.split_once('/') {
                Some((name, part)) => Some(Self::ExitPart(name, Part::find(part)?)),
                None => Some(Self::Exit(item)),
            },
            ("requests", Some(item)) => match item.split_once('/') {
                Some((id, part)) => Some(Self::RequestPart(id, RequestPart::find(part)?)),
                None => Some(Self::Request(item)),
            },
            ("certificates", Some(item)) => match item.split_once('/') {
                Some((serial, part)) => {
                    Some(Self::CertificatePart(serial, CertificatePart::find(part)?))
                }
                None => BulkPart::find(item)
                    .map_or(Some(Self::Certificate(item)), |it| Some(Self::Bulk(it))),
            },
            ("crls", Some(item)) => match item.split_once('/') {
                Some((number, kind)) => Some(Self::CrlDer(number, ListOfRun::find(kind)?)),
                None => Some(Self::CrlsOf(item)),
            },
            (_, Some(item)) if item.contains('/') => None,
            ("requests", None) => Some(Self::Requests),
            ("certificates", None) => Some(Self::Certificates),
            ("crls", None) => Some(Self::Crls),
            ("exits", None) => Some(Self::Exits),
            ("backups", None) => Some(Self::Backups),
            ("reload", None) => Some(Self::Reload),
            ("ca", None) => Some(Self::Ca),
            ("health", None) => Some(Self::Health),
            _ => None,
        }
    }

    /// The methods of a path, as the header `Allow` lists them.
    fn allowed(&self) -> &'static str {
        match self {
            Self::Requests | Self::Certificates | Self::Exits | Self::Crls => "GET, HEAD, POST",
            Self::RequestPart(_, part) => part.allowed(),
            Self::Exit(_) => "DELETE, GET, HEAD",
            Self::ExitPart(_, part) => part.allowed(),
            Self::Bulk(_)
            | Self::Backups
            | Self::CertificatePart(..)
            | Self::Reload
            | Self::Ocsp
            | Self::Cmc => "POST",
            _ => "GET, HEAD",
        }
    }
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
    let route = Route::find(path);
    // Before the caller is known, nothing but the health and what is public is told: not even which
    // paths exist.
    let caller = match route {
        Some(
            Route::Health
            | Route::NewestList(_)
            | Route::CaFile(_)
            | Route::Ocsp
            | Route::OcspRequest(_),
        ) => None,
        _ => Some(edge.tokens.caller(peer, &head.headers)?),
    };
    let route = route.ok_or_else(Fault::unknown_path)?;
    // The methods are told apart by their names, as the header `Allow` has them.
    if !route.allowed().split(", ").any(|it| it == head.method.as_str()) {
        return Err(Fault::method(route.allowed()));
    }
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    match (route, caller) {
        (Route::Requests, Some(caller)) if !reads => {
            let wanted = Wanted::of(&head.headers);
            submit::submit(edge, caller, &head.headers, query, wanted, body).await
        }
        (Route::Cmc, Some(caller)) => {
            submit::submit(edge, caller, &head.headers, query, Wanted::ByKind, body).await
        }
        (Route::ExitPart(name, part), Some(caller)) => {
            manage::part(edge, caller, (name, part), &head.method, query, body).await
        }
        (Route::RequestPart(id, part), Some(caller)) => {
            query::nothing(query)?;
            officer::request(edge, caller, (id, part), body).await
        }
        (Route::Certificates, Some(caller)) if !reads => {
            query::nothing(query)?;
            import::import(edge, caller, body).await
        }
        (Route::Bulk(part), Some(caller)) => {
            query::nothing(query)?;
            bulk::change(edge, caller, part, body).await
        }
        (Route::CertificatePart(serial, part), Some(caller)) => {
            query::nothing(query)?;
            officer::certificate(edge, caller, (serial, part), body).await
        }
        (Route::Crls, Some(caller)) if !reads => {
            query::nothing(query)?;
            officer::publish(edge, caller, body).await
        }
        (route @ (Route::Exits | Route::Exit(_) | Route::Reload), Some(caller)) if !reads => {
            manage::local(&caller)?;
            let actor = caller.name;
            if let Route::Exit(name) = route {
                return manage::remove(edge, actor, name, query).await;
            }
            query::nothing(query)?;
            match route {
                Route::Exits => manage::add(edge, actor, body).await,
                _ => manage::reload(edge, actor).await,
            }
        }
        (Route::Backups, Some(caller)) => {
            query::nothing(query)?;
            backup::note(edge, caller, body).await
        }
        (Route::Ocsp, _) => {
            query::nothing(query)?;
            ocsp::post(edge, body).await
        }
        (Route::Exit(name), _) => manage::show(edge, name, query).await,
        (Route::Requests, _) => {
            export::requests(edge, RequestQuery::parse(query, (edge.now)())?).await
        }
        (Route::Certificates, _) => {
            export::certificates(edge, CertificateQuery::parse(query, (edge.now)())?).await
        }
        (Route::Crls, _) => {
            let page = PageQuery::parse(query)?;
            look_up(edge, move |edge| rows::crls(&edge.engine, &page)).await
        }
        (route, _) => {
            query::nothing(query)?;
            one(edge, route, &head.headers).await
        }
    }
}

/// The paths that take no query.
async fn one(edge: &Arc<Edge>, route: Route<'_>, headers: &HeaderMap) -> Result<Answer, Fault> {
    match route {
        Route::NewestList(name) => relying::newest_list(edge, name, headers).await,
        Route::CaFile(name) => own::certificate(edge, name, headers),
        Route::OcspRequest(request) => ocsp::get(edge, request, headers).await,
        Route::CrlsOf(number) => {
            let number = rows::crl_number(number)?;
            look_up(edge, move |edge| rows::crls_of(&edge.engine, number)).await
        }
        Route::CrlDer(number, kind) => {
            let number = rows::crl_number(number)?;
            look_up(edge, move |edge| rows::crl_der(edge, number, kind)).await
        }
        Route::Request(id) => {
            let id = rows::request_id(id)?;
            look_up(edge, move |edge| rows::request(&edge.engine, id)).await
        }
        Route::Certificate(serial) => {
            let serial = rows::serial(serial)?;
            look_up(edge, move |edge| rows::certificate(&edge.engine, &serial)).await
        }
        Route::Exits => manage::look_up(edge, |exits| exits.list()).await,
        Route::Ca => Ok(own::describe(edge)),
        Route::Health => Ok(json(
            StatusCode::OK,
            &Health { status: "ok".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        )),
        Route::Requests
        | Route::RequestPart(..)
        | Route::Certificates
        | Route::CertificatePart(..)
        | Route::Bulk(_)
        | Route::Crls
        | Route::Exit(_)
        | Route::ExitPart(..)
        | Route::Ocsp
        | Route::Cmc
        | Route::Backups
        | Route::Reload => Err(Fault::unknown_path()),
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
