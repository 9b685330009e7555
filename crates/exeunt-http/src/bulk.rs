//! `POST /v1/certificates/revoke` and `…/unrevoke`: one order about many certificates.

use std::sync::Arc;

use exeunt_api::{
    BULK_COUNT_MAX, BulkAnswer, BulkOutcome, BulkReleaseOrder, BulkResult, BulkRevokeOrder,
};
use exeunt_engine::{Blame, Caller, OfficerError, RevokeOrder, Revoked, Which};
use exeunt_types::Serial;
use hyper::StatusCode;
use hyper::body::Incoming;

use crate::answer::{Answer, json};
use crate::fault::Fault;
use crate::handler::{Edge, blocking};
use crate::refusal::{self, Refused};
use crate::{officer, rows, submit};

/// What is done to all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BulkPart {
    Revoke,
    Release,
}

/// Carries the order out for each.
pub(crate) async fn change(
    edge: &Arc<Edge>,
    caller: Caller,
    part: BulkPart,
    body: Incoming,
) -> Result<Answer, Fault> {
    let (serials, order) = match part {
        BulkPart::Revoke => {
            let BulkRevokeOrder { serials, reason, effective } = officer::read(edge, body).await?;
            (serials, officer::revoke_order(reason.as_deref(), effective.as_deref())?)
        }
        BulkPart::Release => {
            let BulkReleaseOrder { serials } = officer::read(edge, body).await?;
            (serials, RevokeOrder::Release)
        }
    };
    if serials.is_empty() || BULK_COUNT_MAX < serials.len() {
        return Err(Fault::order(format!("1 to {BULK_COUNT_MAX} serial numbers at a time")));
    }
    let serials: Result<Vec<Serial>, Fault> = serials.iter().map(|it| rows::serial(it)).collect();
    let serials = serials?;
    let which: Vec<Which> = serials.iter().map(|it| Which::Serial(*it)).collect();
    let (who, all) = (caller.actor(), serials.len());
    let change = move |edge: &Edge| edge.engine.revoke_all(&which, order, &caller);
    let results = blocking(edge, &edge.rooms.order, change).await?;
    let done = match part {
        BulkPart::Revoke => BulkOutcome::Revoked,
        BulkPart::Release => BulkOutcome::Released,
    };
    let is_beyond = |it: &&Result<_, OfficerError>| matches!(it, Err(OfficerError::Restricted(_)));
    let beyond = results.iter().filter(is_beyond).count();
    if 0 < beyond {
        let what = format!("{beyond} of {all} certificates at once");
        let (who, place) = (Some(who), "within an answer".to_owned());
        refusal::note(edge, Refused { who, place, what, code: "manager-restricted" }).await;
    }
    let results = results.into_iter().zip(serials).map(|(it, serial)| result(it, serial, done));
    Ok(json(StatusCode::OK, &BulkAnswer { results: results.collect() }))
}

fn result(
    result: Result<exeunt_engine::BulkOutcome, OfficerError>,
    serial: Serial,
    done: BulkOutcome,
) -> BulkResult {
    let result = match result {
        Ok(exeunt_engine::BulkOutcome::Changed(Revoked { request, event, .. })) => BulkResult {
            request_id: Some(request.0),
            event: event.map(|it| it.0),
            ..BulkResult::of(done)
        },
        Ok(exeunt_engine::BulkOutcome::Already { request, .. }) => {
            BulkResult { request_id: Some(request.0), ..BulkResult::of(BulkOutcome::Already) }
        }
        Err(err) => {
            let code = err.code();
            if err.blame() != Blame::Requester {
                tracing::error!(code, "an officer's order failed: {}", submit::chain(&err));
            }
            BulkResult {
                code: Some(code.to_owned()),
                status_code: err.hresult().map(rows::status_code),
                message: Some(err.public_message()),
                ..BulkResult::of(BulkOutcome::Refused)
            }
        }
    };
    BulkResult { serial: Some(serial.to_string()), ..result }
}
