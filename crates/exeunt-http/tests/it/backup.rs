//! What the server notes of backups.

use exeunt_api::BackupNoted;

use crate::ca::{Ca, problem};

const PATH: &str = "/v1/backups";

#[test]
fn a_backup_is_noted_for_whoever_sits_at_the_machine_and_nobody_else() {
    let ca = Ca::start();
    let (local, remote) = (ca.local(), ca.remote());
    let start = r#"{"action": "backup-start", "file": "/mnt/ca.backup"}"#;
    problem(remote.post(PATH, start), 403, "manage-local-only");
    problem(remote.get(PATH), 405, "method-not-allowed");
    let noted: BackupNoted = local.post(PATH, start).json().unwrap();
    let end = r#"{"action": "backup-end", "file": "/mnt/ca.backup"}"#;
    let ended: BackupNoted = local.post(PATH, end).json().unwrap();
    assert!(noted.audit < ended.audit);

    let other = r#"{"action": "exit-remove", "file": "/mnt/ca.backup"}"#;
    problem(local.post(PATH, other), 400, "order-invalid");
    let long = format!(r#"{{"action": "backup-end", "file": "{}"}}"#, "x".repeat(4097));
    problem(local.post(PATH, long), 400, "order-invalid");
}
