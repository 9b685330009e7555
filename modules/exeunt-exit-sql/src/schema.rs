//! What has to be in the database before the first event, version by version.

use crate::table::TABLES;

/// Version of the tables that this module works with.
pub const VERSION: i32 = 1;

/// The statements that lead from one version to the next; the first makes everything.
///
/// Whoever reads the inventory relies on names and types: they are added to and never changed.
pub fn migrations(schema: &str) -> Vec<String> {
    let certificate = format!(
        "CREATE SCHEMA IF NOT EXISTS {schema};\n\
         CREATE TABLE IF NOT EXISTS {schema}.meta (\n\
         \x20 name text PRIMARY KEY,\n  value text NOT NULL\n);\n"
    );
    let tables: Vec<String> = TABLES
        .iter()
        .map(|table| {
            let columns: Vec<String> = table
                .columns
                .iter()
                .map(|it| {
                    let must = if it.name == table.key() { " NOT NULL" } else { "" };
                    format!("  {} {}{must},\n", it.name, it.kept_as)
                })
                .collect();
            format!(
                "CREATE TABLE {schema}.{name} (\n  ca text NOT NULL,\n{columns}\
                 \x20 event_seq bigint NOT NULL,\n  changed_at timestamptz NOT NULL,\n\
                 \x20 PRIMARY KEY (ca, {key})\n);\n",
                name = table.name,
                columns = columns.concat(),
                key = table.key(),
            )
        })
        .collect();
    // By hash what requesters write: a tree refuses what is longer than a third of a page.
    let rest = format!(
        "CREATE INDEX certificate_serial ON {schema}.certificate (serial);\n\
         CREATE INDEX certificate_not_after ON {schema}.certificate (not_after);\n\
         CREATE INDEX certificate_common_name ON {schema}.certificate USING hash (common_name);\n\
         CREATE INDEX certificate_requester ON {schema}.certificate USING hash (requester);\n\
         CREATE INDEX certificate_dns_names ON {schema}.certificate USING gin (dns_names);\n\
         -- The last second counts as well (RFC 5280, section 4.1.2.5).\n\
         CREATE VIEW {schema}.valid_now AS SELECT * FROM {schema}.certificate\n\
         \x20 WHERE state = 'issued' AND not_before <= now()\n\
         \x20 AND now() < not_after + interval '1 second';\n"
    );
    vec![format!("{certificate}{}{rest}", tables.concat())]
}

/// The statement that writes down which version there is.
pub fn set_version(schema: &str, version: i32) -> String {
    format!(
        "INSERT INTO {schema}.meta VALUES ('schema_version', '{version}')\n\
         \x20 ON CONFLICT (name) DO UPDATE SET value = excluded.value;\n"
    )
}

/// Everything from a version on, in one transaction.
pub fn script(schema: &str, from: i32) -> String {
    let mut script = "BEGIN;\n".to_owned();
    // Two that install at the same time: the second one waits, and fails at what is there.
    script.push_str("SELECT pg_advisory_xact_lock(hashtext('exeunt-exit-sql'));\n");
    for (statements, version) in migrations(schema).into_iter().zip(1..) {
        if from < version {
            script.push_str(&statements);
            script.push_str(&set_version(schema, version));
        }
    }
    script.push_str("COMMIT;\n");
    script
}

/// What the database's owner has to allow the module's role where it does not own the tables.
pub fn grants(schema: &str, user: &str) -> String {
    let user = user.replace('"', "\"\"");
    format!(
        "GRANT USAGE ON SCHEMA {schema} TO \"{user}\";\n\
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO \"{user}\";\n"
    )
}
