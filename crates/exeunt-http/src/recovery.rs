//! Archived keys: the exchange certificate, and their recovery by two certificate managers.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use exeunt_api::{
    CERTIFICATE_MEDIA_TYPE, ExchangeCertificate, KeyImportOrder, KeyImported, KeyRecoveryList,
    KeyRecoveryOrder, RecoveredKey,
};
use exeunt_engine::{Blame, Caller, Engine, ExchangeError, RecoveryError, Which};
use exeunt_types::{KeyRecovery, RequestId};
use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};

use crate::answer::{Answer, json, pem, rfc3339};
use crate::fault::Fault;
use crate::handler::{Edge, blocking};
use crate::officer::read;
use crate::relying::{Tags, tag};
use crate::reply::Reply;
use crate::{rows, submit};

/// Most recoveries that are listed.
const RECOVERIES_MAX: usize = 1_000;

/// `GET /ca/exchange.crt`.
pub(crate) async fn exchange_file(edge: &Arc<Edge>) -> Result<Answer, Fault> {
    let exeunt_engine::ExchangeCertificate { der, .. } = exchange_certificate(edge).await?;
    // Whoever keeps it keeps one whose key may be gone.
    let tag = tag(digest(&SHA256, &der).as_ref());
    let tags = Tags { tag, modified: None, expires: None, cache_s: 0 };
    Ok(tags.answer(CERTIFICATE_MEDIA_TYPE, Reply::whole(Bytes::from(der))))
}

/// `GET /v1/ca/exchange`.
pub(crate) async fn exchange(edge: &Arc<Edge>) -> Result<Answer, Fault> {
    let found = exchange_certificate(edge).await?;
    let description = ExchangeCertificate {
        serial: found.serial.to_string(),
        not_after: rfc3339(found.not_after),
        certificate: pem("CERTIFICATE", &found.der),
    };
    Ok(json(StatusCode::OK, &description))
}

async fn exchange_certificate(
    edge: &Arc<Edge>,
) -> Result<exeunt_engine::ExchangeCertificate, Fault> {
    let found = blocking(edge, &edge.rooms.exchange, |edge| edge.engine.exchange_certificate());
    found.await?.map_err(|err: ExchangeError| {
        if err.blame() != Blame::Requester {
            tracing::error!(code = err.code(), "no exchange certificate: {}", submit::chain(&err));
        }
        Fault::exchange(&err)
    })
}

/// `GET /v1/key-recoveries`.
pub(crate) async fn list(edge: &Arc<Edge>) -> Result<Answer, Fault> {
    let found = order(edge, |engine| engine.recoveries(RECOVERIES_MAX)).await?;
    let recoveries = found.iter().map(wire).collect();
    Ok(json(StatusCode::OK, &KeyRecoveryList { recoveries }))
}

/// `POST /v1/key-recoveries`.
pub(crate) async fn ask(edge: &Arc<Edge>, caller: Caller, body: Incoming) -> Result<Answer, Fault> {
    let KeyRecoveryOrder { request_id, serial, reason } = read(edge, body).await?;
    let which = which(request_id, serial.as_deref())?;
    let asked = order(edge, move |engine| engine.ask_recovery(which, &reason, &caller)).await?;
    Ok(json(StatusCode::CREATED, &wire(&asked)))
}

/// `POST /v1/key-recoveries/{id}/approve`.
pub(crate) async fn approve(edge: &Arc<Edge>, caller: Caller, id: &str) -> Result<Answer, Fault> {
    let id = number(id)?;
    let approved = order(edge, move |engine| engine.approve_recovery(id, &caller)).await?;
    Ok(json(StatusCode::OK, &wire(&approved)))
}

/// `POST /v1/key-recoveries/{id}/fetch`.
pub(crate) async fn fetch(edge: &Arc<Edge>, caller: Caller, id: &str) -> Result<Answer, Fault> {
    let id = number(id)?;
    let fetched = order(edge, move |engine| engine.fetch_recovered(id, &caller)).await?;
    let exeunt_engine::RecoveredKey { recovery, key, certificate } = fetched;
    let answer = RecoveredKey {
        recovery: wire(&recovery),
        agents: key.agents,
        blob: pem("CMS", &key.blob),
        certificate: pem("CERTIFICATE", &certificate),
    };
    Ok(json(StatusCode::OK, &answer))
}

/// `POST /v1/key-imports`.
pub(crate) async fn import(
    edge: &Arc<Edge>,
    caller: Caller,
    body: Incoming,
) -> Result<Answer, Fault> {
    let KeyImportOrder { request_id, serial, key } = read(edge, body).await?;
    let which = which(request_id, serial.as_deref())?;
    let import = move |engine: &Engine| engine.import_key(which, key.as_bytes(), &caller);
    let RequestId(request_id) = order(edge, import).await?;
    Ok(json(StatusCode::OK, &KeyImported { request_id }))
}

async fn order<T, F>(edge: &Arc<Edge>, act: F) -> Result<T, Fault>
where
    T: Send + 'static,
    F: FnOnce(&Engine) -> Result<T, RecoveryError> + Send + 'static,
{
    let done = blocking(edge, &edge.rooms.order, move |edge| act(&edge.engine));
    done.await?.map_err(|err| {
        let code = err.code();
        match err.blame() {
            Blame::Requester => tracing::debug!(code, "refused: {}", submit::chain(&err)),
            Blame::Operator | Blame::Us => {
                tracing::error!(code, "an officer's order failed: {}", submit::chain(&err));
            }
        }
        Fault::recovery(&err)
    })
}

fn which(request: Option<u64>, serial: Option<&str>) -> Result<Which, Fault> {
    match (request, serial) {
        (Some(request), None) => Ok(Which::Request(RequestId(request))),
        (None, Some(serial)) => rows::serial(serial).map(Which::Serial),
        _ => Err(Fault::order("name either request_id or serial")),
    }
}

fn number(text: &str) -> Result<u64, Fault> {
    let invalid =
        || Fault::id_invalid("recovery-id-invalid", "that is not the number of a recovery");
    text.parse().map_err(|_| invalid())
}

fn wire(recovery: &KeyRecovery) -> exeunt_api::KeyRecovery {
    let KeyRecovery { id, request, reason, asked_by, asked, expires, approved, fetched } = recovery;
    exeunt_api::KeyRecovery {
        id: *id,
        request_id: request.0,
        reason: reason.clone(),
        asked_by: asked_by.clone(),
        asked: rfc3339(*asked),
        expires: rfc3339(*expires),
        approved_by: approved.as_ref().map(|(name, _)| name.clone()),
        approved: approved.as_ref().map(|(_, at)| rfc3339(*at)),
        fetched: fetched.map(rfc3339),
    }
}
