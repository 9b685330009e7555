//! `POST /v1/certificates`: putting certificates on record that were made elsewhere.

use std::sync::Arc;

use exeunt_api::{BulkOutcome, BulkResult, IMPORT_BYTES_MAX, IMPORT_COUNT_MAX, ImportAnswer};
use exeunt_engine::{Blame, Caller, ImportError, ImportOrder, Imported};
use exeunt_types::Disposition;
use hyper::StatusCode;
use hyper::body::Incoming;

use crate::answer::{Answer, json};
use crate::fault::Fault;
use crate::handler::{Edge, blocking};
use crate::{body, rows, submit};

/// Imports the certificates of the body.
pub(crate) async fn import(
    edge: &Arc<Edge>,
    caller: Caller,
    body: Incoming,
) -> Result<Answer, Fault> {
    // Whose they are and from which template is known to nobody yet.
    if caller.scope.is_some() {
        return Err(Fault::manager_restricted());
    }
    let (patience, most) = (edge.limits.read, IMPORT_BYTES_MAX);
    let octets = body::read_within(body, patience, most, Fault::import_too_large).await?;
    let exeunt_api::ImportOrder { certificates, allow_foreign, existing_row, dry_run } =
        serde_json::from_slice(&octets).map_err(|err| Fault::json(&err))?;
    if certificates.is_empty() || IMPORT_COUNT_MAX < certificates.len() {
        return Err(Fault::order(format!("1 to {IMPORT_COUNT_MAX} certificates at a time")));
    }
    let order = ImportOrder { allow_foreign, existing_row, dry_run };
    let certificates: Vec<Vec<u8>> = certificates.into_iter().map(String::into_bytes).collect();
    let import = move |edge: &Edge| edge.engine.import_all(&certificates, order, &caller);
    let results = blocking(edge, &edge.rooms.order, import).await?;
    let results = results.into_iter().map(result).collect();
    Ok(json(StatusCode::OK, &ImportAnswer { results }))
}

fn result(result: Result<Imported, ImportError>) -> BulkResult {
    match result {
        Ok(Imported { serial, subject, disposition, request, event }) => BulkResult {
            serial: Some(serial.to_string()),
            subject: Some(subject),
            request_id: request.map(|it| it.0),
            event: event.map(|it| it.0),
            ..BulkResult::of(match disposition {
                Disposition::Foreign => BulkOutcome::Foreign,
                _ => BulkOutcome::Imported,
            })
        },
        Err(err) => {
            let code = err.code();
            if err.blame() != Blame::Requester {
                tracing::error!(code, "an import failed: {}", submit::chain(&err));
            }
            BulkResult {
                code: Some(code.to_owned()),
                status_code: err.hresult().map(rows::status_code),
                message: Some(err.public_message()),
                ..BulkResult::of(BulkOutcome::Refused)
            }
        }
    }
}
