//! The audit trail, for auditors; and whether it is written, for everybody.

use std::sync::Arc;

use exeunt_api::{AuditPage, AuditRow, Health};
use exeunt_types::audit_event_title;

use crate::answer::{Answer, json, rfc3339};
use crate::fault::Fault;
use crate::filter::audit_query;
use crate::handler::{Edge, look_up};

pub(crate) async fn list(edge: &Arc<Edge>, query: &str) -> Result<Answer, Fault> {
    let query = audit_query(query, (edge.now)())?;
    look_up(edge, move |edge| {
        let page = edge.engine.store().find_audit(&query).map_err(|err| {
            tracing::error!(code = err.code(), error = %err, "a look-up failed");
            Fault::store(err.code())
        })?;
        let rows = page.rows.into_iter().map(|it| AuditRow {
            number: it.id,
            time: rfc3339(it.entry.at),
            unix_ms: it.entry.at.0,
            event: it.event,
            also: it.also,
            title: audit_event_title(it.event).to_owned(),
            actor: it.entry.actor,
            action: it.entry.action,
            object: it.entry.object,
            detail: it.entry.detail,
            before: it.entry.before,
            after: it.entry.after,
            hash: exeunt_types::hexadecimal(&it.hash),
        });
        Ok(json(hyper::StatusCode::OK, &AuditPage { rows: rows.collect(), next: page.next }))
    })
    .await
}

/// Whether the server lives, and writes what it does: one that cannot write its trail issues nothing.
pub(crate) fn health(edge: &Edge) -> Result<Answer, Fault> {
    if let Some(code) = edge.engine.trouble() {
        return Err(Fault::store(code));
    }
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Ok(json(hyper::StatusCode::OK, &Health { status: "ok".to_owned(), version }))
}
