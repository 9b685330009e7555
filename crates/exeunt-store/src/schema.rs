//! The schema: creating it, recognising it, bringing an older one up to date.

use exeunt_types::UnixMillis;
use rusqlite::{Connection, OptionalExtension as _};

use crate::StoreError;
use crate::audit::chain::link_older_rows;
use crate::error::During as _;

/// `PRAGMA application_id` of our files: "EXNT" in ASCII.
pub const APPLICATION_ID: i32 = 0x4558_4e54;

/// `PRAGMA user_version` of the files this program writes.
pub const SCHEMA_VERSION: i64 = 5;

/// Since which version the audit trail is a chain.
const CHAINED_SINCE: i64 = 5;

/// Step `n` brings version `n` to `n + 1`. Published steps are never edited.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001.sql"),
    include_str!("../migrations/0002.sql"),
    include_str!("../migrations/0003.sql"),
    include_str!("../migrations/0004.sql"),
    include_str!("../migrations/0005.sql"),
];

/// What must be there for the file to be of any use.
const TABLES: &[&str] = &[
    "abandoned_serial",
    "amendment",
    "approval",
    "archived_key",
    "asker",
    "audit",
    "audit_checkpoint",
    "ca_certificate",
    "ca_cross",
    "certificate",
    "crl",
    "crl_partition",
    "cursor",
    "event",
    "expiry",
    "foreign_certificate",
    "held",
    "idempotency",
    "intent",
    "key_recovery",
    "meta",
    "quarantine",
    "rate_use",
    "request",
    "request_extra",
    "revocation",
    "serial",
    "tally",
    "template_flags",
];

/// Fills an empty database.
pub(crate) fn create(
    conn: &mut Connection,
    store_id: [u8; 8],
    now: UnixMillis,
) -> Result<(), StoreError> {
    let action = "creating the store";
    // The journal mode is a property of the file and must be set outside a transaction.
    conn.pragma_update(None, "journal_mode", "wal").during(action)?;
    let tx = conn.transaction().during(action)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID).during(action)?;
    for step in MIGRATIONS {
        tx.execute_batch(step).during(action)?;
    }
    let store_id = format!("{:016x}", u64::from_be_bytes(store_id));
    tx.execute("INSERT INTO meta (id, store_id, created) VALUES (1, ?1, ?2)", (store_id, now.0))
        .during(action)?;
    tx.pragma_update(None, "user_version", SCHEMA_VERSION).during(action)?;
    tx.commit().during(action)
}

/// Version of the schema in the file; refuses what is newer or cannot be.
pub(crate) fn version(conn: &Connection) -> Result<i64, StoreError> {
    let found: i64 = conn
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .during("reading the schema version")?;
    match found {
        1..=SCHEMA_VERSION => Ok(found),
        _ if SCHEMA_VERSION < found => Err(StoreError::Newer { found, known: SCHEMA_VERSION }),
        _ => Err(StoreError::Damaged { what: format!("schema version {found}") }),
    }
}

/// Refuses also what is older: whoever only reads cannot migrate.
pub(crate) fn require_current(conn: &Connection) -> Result<(), StoreError> {
    match version(conn)? {
        SCHEMA_VERSION => Ok(()),
        found => Err(StoreError::Older { found, known: SCHEMA_VERSION }),
    }
}

/// Brings the file to [`SCHEMA_VERSION`].
pub(crate) fn migrate(conn: &mut Connection) -> Result<(), StoreError> {
    let from = version(conn)?;
    run_steps(conn, from, MIGRATIONS)
}

/// Runs the steps from version `from` on, each in a transaction of its own with its new version.
fn run_steps(conn: &mut Connection, from: i64, steps: &[&str]) -> Result<(), StoreError> {
    let action = "migrating the store";
    for (version, step) in (1_i64..).zip(steps) {
        if version <= from {
            continue;
        }
        let tx = conn.transaction().during(action)?;
        tx.execute_batch(step).during(action)?;
        if version == CHAINED_SINCE {
            link_older_rows(&tx)?;
        }
        tx.pragma_update(None, "user_version", version).during(action)?;
        tx.commit().during(action)?;
    }
    Ok(())
}

/// Checks that the tables are there; returns the store's id.
pub(crate) fn check(conn: &Connection) -> Result<String, StoreError> {
    let action = "reading the schema";
    for table in TABLES {
        let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        let found = conn.query_row(sql, [table], |_| Ok(())).optional().during(action)?;
        if found.is_none() {
            return Err(StoreError::Damaged { what: format!("table {table} is missing") });
        }
    }
    let sql = "SELECT store_id FROM meta WHERE id = 1";
    let store_id: Option<String> =
        conn.query_row(sql, [], |row| row.get(0)).optional().during(action)?;
    store_id.ok_or_else(|| StoreError::Damaged { what: "the store has no id".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version_of(conn: &Connection) -> i64 {
        conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    #[test]
    fn the_list_of_tables_is_what_the_migrations_make() {
        let mut conn = Connection::open_in_memory().unwrap();
        run_steps(&mut conn, 0, MIGRATIONS).unwrap();
        let mut names = conn
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
            .unwrap();
        let names: Vec<String> =
            names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(names, TABLES);
    }

    #[test]
    fn every_version_has_its_step() {
        assert_eq!(i64::try_from(MIGRATIONS.len()).unwrap(), SCHEMA_VERSION);
    }

    #[test]
    fn older_schemas_are_migrated_step_by_step_and_a_failed_step_leaves_no_trace() {
        let mut conn = Connection::open_in_memory().unwrap();
        run_steps(&mut conn, 0, &["CREATE TABLE one (a)"]).unwrap();
        let steps = [
            "CREATE TABLE one (a)",
            "CREATE TABLE two (a)",
            "CREATE TABLE three (a); CREATE TABLE three (a)",
        ];
        assert!(run_steps(&mut conn, 1, &steps).is_err());
        assert_eq!(version_of(&conn), 2);
        let three = "SELECT count(*) FROM sqlite_schema WHERE name = 'three'";
        assert_eq!(conn.query_row(three, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
        run_steps(&mut conn, 2, &["", "", "CREATE TABLE three (a)"]).unwrap();
        assert_eq!(version_of(&conn), 3);
    }
}
