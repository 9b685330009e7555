//! `POST /v1/backups`: has the audit trail say that a backup is taken. The command on this machine takes
//! it, beside the server.

use std::sync::Arc;

use exeunt_api::{BackupNoted, BackupOrder};
use exeunt_engine::{BACKUP_NAME_BYTES_MAX, BackupStage, Caller};
use hyper::StatusCode;
use hyper::body::Incoming;

use crate::answer::{Answer, json};
use crate::fault::Fault;
use crate::handler::Edge;
use crate::officer::{read, without_key};

pub(crate) async fn note(
    edge: &Arc<Edge>,
    caller: Caller,
    body: Incoming,
) -> Result<Answer, Fault> {
    let BackupOrder { action, file } = read(edge, body).await?;
    let stage = BackupStage::from_word(&action)
        .ok_or_else(|| Fault::order("action is neither backup-start nor backup-end"))?;
    if BACKUP_NAME_BYTES_MAX < file.len() {
        return Err(Fault::order("file is longer than a name can be"));
    }
    let audit =
        without_key(edge, move |engine| engine.note_backup(stage, &file, &caller)).await??;
    Ok(json(StatusCode::OK, &BackupNoted { audit }))
}
