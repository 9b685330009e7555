//! From a request to its answer: who asks, for what, by which method.
//!
//! Routes are matched by hand: there are eight, and every answer, also the refusals, is a document
//! of ours.

use std::sync::Arc;

use exeunt_api::{CaDescription, Health};
use exeunt_engine::Engine;
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};

use crate::answer::{Answer, json, pem, problem};
use crate::auth::{Peer, Tokens};
use crate::fault::Fault;
use crate::query::{self, PageQuery};
use crate::settings::{ExitsSource, Limits};
use crate::submit::Job;
use crate::workers::Workers;
use crate::{rows, submit};

/// What all connections share.
pub(crate) struct Edge {
    pub(crate) engine: Arc<Engine>,
    pub(crate) exits: ExitsSource,
    pub(crate) tokens: Tokens,
    pub(crate) limits: Limits,
    pub(crate) workers: Workers<Job>,
}

/// What is at a path.
enum Route<'a> {
    Requests,
    Request(&'a str),
    Certificates,
    Certificate(&'a str),
    Exits,
    Exit(&'a str),
    Ca,
    Health,
}

impl<'a> Route<'a> {
    fn find(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix(exeunt_api::VERSION_PREFIX)?.strip_prefix('/')?;
        let (collection, item) = match rest.split_once('/') {
            Some((_, "")) => return None,
            Some((collection, item)) => (collection, Some(item)),
            None => (rest, None),
        };
        match (collection, item) {
            (_, Some(item)) if item.contains('/') => None,
            ("requests", None) => Some(Self::Requests),
            ("requests", Some(item)) => Some(Self::Request(item)),
            ("certificates", None) => Some(Self::Certificates),
            ("certificates", Some(item)) => Some(Self::Certificate(item)),
            ("exits", None) => Some(Self::Exits),
            ("exits", Some(item)) => Some(Self::Exit(item)),
            ("ca", None) => Some(Self::Ca),
            ("health", None) => Some(Self::Health),
            _ => None,
        }
    }

    /// The methods of a path, as the header `Allow` lists them.
    fn allowed(&self) -> &'static str {
        match self {
            Self::Requests => "GET, HEAD, POST",
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
    // Before the caller is known, nothing but the health is told: not even which paths exist.
    let caller = match route {
        Some(Route::Health) => None,
        _ => Some(edge.tokens.caller(peer, &head.headers)?),
    };
    let route = route.ok_or_else(Fault::unknown_path)?;
    let posted = match (&head.method, &route) {
        (&Method::GET | &Method::HEAD, _) => false,
        (&Method::POST, Route::Requests) => true,
        _ => return Err(Fault::method(route.allowed())),
    };
    match (route, caller) {
        (Route::Requests, Some(caller)) if posted => {
            submit::submit(edge, caller, &head.headers, query, body).await
        }
        (Route::Requests, _) => {
            let page = PageQuery::parse(query)?;
            look_up(edge, move |edge| rows::requests(&edge.engine, &page)).await
        }
        (Route::Certificates, _) => {
            let page = PageQuery::parse(query)?;
            look_up(edge, move |edge| rows::certificates(&edge.engine, &page)).await
        }
        (route, _) => {
            query::nothing(query)?;
            one(edge, route).await
        }
    }
}

/// The paths that take no query.
async fn one(edge: &Arc<Edge>, route: Route<'_>) -> Result<Answer, Fault> {
    match route {
        Route::Request(id) => {
            let id = rows::request_id(id)?;
            look_up(edge, move |edge| rows::request(&edge.engine, id)).await
        }
        Route::Certificate(serial) => {
            let serial = rows::serial(serial)?;
            look_up(edge, move |edge| rows::certificate(&edge.engine, &serial)).await
        }
        Route::Exits => look_up(edge, |edge| Ok(rows::exits(&edge.exits))).await,
        Route::Exit(name) => {
            let name = name.to_owned();
            look_up(edge, move |edge| rows::exit(&edge.exits, &name)).await
        }
        Route::Ca => Ok(json(
            StatusCode::OK,
            &CaDescription {
                name: edge.engine.name().to_owned(),
                certificate: pem("CERTIFICATE", edge.engine.certificate_der()),
            },
        )),
        Route::Health => Ok(json(
            StatusCode::OK,
            &Health { status: "ok".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        )),
        Route::Requests | Route::Certificates => Err(Fault::unknown_path()),
    }
}

/// Runs a look-up on a thread that may block. They are few, and the rest wait in line.
async fn look_up<F>(edge: &Arc<Edge>, read: F) -> Result<Answer, Fault>
where
    F: FnOnce(&Edge) -> Result<Answer, Fault> + Send + 'static,
{
    let edge = Arc::clone(edge);
    match tokio::task::spawn_blocking(move || read(&edge)).await {
        Ok(result) => result,
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
