//! Trying the database, making the tables, and comparing them with what the CA holds.

use std::collections::HashSet;

use exeunt_module_kit::{
    Event, Initialize, MaintainExitModule,
    maintain::{Check, Compared, Difference, Finding, InstallReport, TestReport},
};
use exeunt_publication::outcome::line;
use tokio_postgres::Client;

use crate::{
    SqlExit,
    inventory::{Database, WriteError, borrowed},
    record::{self, NoRows, Rows},
    schema,
    table::{Guard, TABLES, Table, parameters},
    verdict,
};

/// Rows of one call of `ReconcileEnd`.
const PAGE: i64 = 1000;

/// Octets of a fingerprint that are remembered of each certificate that was told: two of a million
/// are the same with a chance of one in 2^88.
const REMEMBERED_OCTETS: usize = 16;

/// What is known of a comparison that is under way.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Certificates that the CA has told of.
    told: HashSet<[u8; REMEMBERED_OCTETS]>,
    /// The latest event that had been written when the comparison began: what came since is not looked
    /// at.
    horizon: Option<i64>,
    /// Up to where the surplus was looked for.
    position: String,
}

/// What is in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// None of our tables.
    Nothing,
    /// Tables of this version.
    Version(i32),
}

impl MaintainExitModule for SqlExit {
    fn begin(&mut self, hello: &Initialize) -> Result<(), String> {
        self.database.set(Database::new(hello)?);
        self.comparison = Comparison::default();
        Ok(())
    }

    fn test(&mut self, samples: &[Event]) -> Result<TestReport, String> {
        let database = self.database.get_mut()?;
        let store_der = database.settings.store_der;
        let limit = database.limit();
        let mut checks = Vec::new();
        let tried = database.block_on(limit, async |it| it.test(&mut checks).await);
        if let Err(err) = tried {
            checks.push(Check::failed("wait for the database", line(&err.to_string())));
        }
        let would_write = samples.iter().flat_map(|it| would_write(it, store_der)).collect();
        Ok(TestReport { checks, would_write })
    }

    fn install(&mut self, apply: bool) -> Result<InstallReport, String> {
        let database = self.database.get_mut()?;
        let limit = database.limit();
        let done = database.block_on(limit, async |it| it.install(apply).await);
        done.map_err(|err| line(&err.to_string()))
    }

    fn reconcile(&mut self, events: &[Event], mend: bool) -> Result<Compared, String> {
        let database = self.database.get_mut()?;
        let limit = database.limit();
        let comparison = &mut self.comparison;
        let done =
            database.block_on(limit, async |it| it.reconcile(comparison, events, mend).await);
        done.map_err(|err| line(&err.to_string()))?
    }

    fn reconcile_end(&mut self, mend: bool) -> Result<Compared, String> {
        let database = self.database.get_mut()?;
        let limit = database.limit();
        let comparison = &mut self.comparison;
        let done = database.block_on(limit, async |it| it.surplus(comparison, mend).await);
        done.map_err(|err| line(&err.to_string()))?
    }
}

/// What would be written for an event, a line for each row.
fn would_write(event: &Event, store_der: bool) -> Vec<String> {
    match record::rows(event, store_der) {
        Ok(rows) => rows
            .by_table()
            .into_iter()
            .flat_map(|(table, rows)| {
                rows.iter().map(|it| format!("{}: {}", table.name, line(&it.words(table))))
            })
            .collect(),
        Err(NoRows::NotNow(why) | NoRows::Never(why)) => {
            vec![format!("nothing for event {}: {}", event.id, line(&why))]
        }
    }
}

/// Which tables there are, asked of the catalogue: whoever may not use the schema can still see it.
async fn found(client: &Client, schema: &str) -> Result<Found, tokio_postgres::Error> {
    let there = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS c \
                 JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
                 WHERE n.nspname = $1 AND c.relname = 'meta')";
    if !client.query_one(there, &[&schema]).await?.get::<_, bool>(0) {
        return Ok(Found::Nothing);
    }
    let version = format!("SELECT value FROM {schema}.meta WHERE name = 'schema_version'");
    let rows = client.query(&version, &[]).await?;
    let version = rows.first().and_then(|it| it.get::<_, &str>(0).parse().ok());
    Ok(version.map_or(Found::Nothing, Found::Version))
}

impl Database {
    async fn test(&mut self, checks: &mut Vec<Check>) {
        let (place, user) = (self.settings.place(), self.settings.user.clone());
        let (schema, module) = (self.settings.schema.clone(), self.module.clone());
        let connecting = format!("connect to {place} as {user}");
        let client = match self.client().await {
            Ok(client) => client,
            Err(err) => {
                checks.push(Check::failed(connecting, line(&err.to_string())));
                return;
            }
        };
        let says = |err: &tokio_postgres::Error| line(&verdict::words(err));
        let about = "SELECT current_setting('server_version'), pg_is_in_recovery()";
        match client.query_one(about, &[]).await {
            Ok(row) => {
                let version: &str = row.get(0);
                checks.push(Check::passed(connecting, format!("PostgreSQL {}", line(version))));
                if row.get(1) {
                    let text = "it is a standby, which takes nothing";
                    checks.push(Check::failed("write", text));
                }
            }
            Err(err) => {
                checks.push(Check::failed(connecting, says(&err)));
                return;
            }
        }
        let tables = format!("tables in schema {schema}");
        checks.push(match found(client, &schema).await {
            Ok(Found::Version(schema::VERSION)) => {
                Check::passed(tables, format!("version {}", schema::VERSION))
            }
            Ok(Found::Version(found)) if schema::VERSION < found => Check::failed(
                tables,
                format!("version {found} is of a newer module; this one knows {}", schema::VERSION),
            ),
            Ok(_) => Check::failed(tables, format!("say: exeunt exit install {module}")),
            Err(err) => Check::failed(tables, says(&err)),
        });
        if checks.iter().any(|it| it.result == exeunt_module_kit::maintain::CheckResult::Failed) {
            return;
        }
        let names: Vec<String> = TABLES.iter().map(|it| it.name.to_owned()).collect();
        let missing = "SELECT p || ' on ' || t FROM unnest($2::text[]) AS t, \
                       unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p \
                       WHERE NOT has_table_privilege($1 || '.' || t, p)";
        checks.push(match client.query(missing, &[&schema, &names]).await {
            Ok(rows) if rows.is_empty() => Check::passed("rights", "all that are needed"),
            Ok(rows) => {
                let missing: Vec<&str> = rows.iter().map(|it| it.get(0)).collect();
                Check::failed("rights", format!("missing: {}", missing.join(", ")))
            }
            Err(err) => Check::failed("rights", says(&err)),
        });
    }

    async fn install(&mut self, apply: bool) -> InstallReport {
        let schema = self.settings.schema.clone();
        let grants = schema::grants(&schema, &self.settings.user);
        let everything = format!("{}{grants}", schema::script(&schema, 0));
        let what = format!("tables in schema {schema} of {}", self.settings.place());
        let report =
            |step: Check, script: Option<String>| InstallReport { steps: vec![step], script };
        let client = match self.client().await {
            Ok(client) => client,
            Err(err) if apply => {
                return report(Check::failed(what, line(&err.to_string())), Some(everything));
            }
            Err(err) => {
                return report(Check::warning(what, line(&err.to_string())), Some(everything));
            }
        };
        let from = match found(client, &schema).await {
            Ok(Found::Nothing) => 0,
            Ok(Found::Version(found)) => found,
            Err(err) => {
                let said = line(&verdict::words(&err));
                return report(Check::failed(what, said), Some(everything));
            }
        };
        if schema::VERSION <= from {
            return report(Check::passed(what, format!("version {from} is there")), None);
        }
        let script = schema::script(&schema, from);
        let by_hand = format!("{script}{grants}");
        if !apply {
            let text = format!("version {} would be made", schema::VERSION);
            return report(Check::passed(what, text), Some(by_hand));
        }
        match client.batch_execute(&script).await {
            Ok(()) => {
                let text = format!("version {} was made", schema::VERSION);
                report(Check::passed(what, text), None)
            }
            Err(err) => {
                let said = line(&verdict::words(&err));
                // The transaction that failed is still open.
                client.batch_execute("ROLLBACK").await.ok();
                report(Check::failed(what, said), Some(by_hand))
            }
        }
    }

    /// Sees to it that there is something to compare.
    async fn comparable(&mut self, comparison: &mut Comparison) -> Result<i64, String> {
        if let Some(horizon) = comparison.horizon {
            return Ok(horizon);
        }
        let (schema, module) = (self.settings.schema.clone(), self.module.clone());
        let ca = self.ca.clone();
        let client = self.client().await.map_err(|err| line(&err.to_string()))?;
        let says = |err: tokio_postgres::Error| line(&verdict::words(&err));
        if found(client, &schema).await.map_err(says)? != Found::Version(schema::VERSION) {
            return Err(format!("the tables are not there; say: exeunt exit install {module}"));
        }
        let latest =
            format!("SELECT coalesce(max(event_seq), 0) FROM {schema}.certificate WHERE ca = $1");
        let row = client.query_one(&latest, &[&ca]).await.map_err(says)?;
        Ok(*comparison.horizon.insert(row.get(0)))
    }

    async fn reconcile(
        &mut self,
        comparison: &mut Comparison,
        events: &[Event],
        mend: bool,
    ) -> Result<Compared, String> {
        self.comparable(comparison).await?;
        let mut compared = Compared::default();
        let mut all = Vec::new();
        for event in events {
            match record::rows(event, self.settings.store_der) {
                Ok(rows) if rows.is_empty() => compared.good += 1,
                Ok(rows) => all.push(rows),
                Err(NoRows::NotNow(why) | NoRows::Never(why)) => {
                    let mut finding = Finding::new(
                        Difference::Unknown,
                        self.settings.schema.clone(),
                        &*event.subject,
                    );
                    finding.error = Some(line(&why));
                    compared.findings.push(finding);
                }
            }
        }
        let rows = Rows::together(&all);
        comparison.told.extend(rows.certificates().filter_map(|it| remembered(&it)));
        for (table, there) in rows.by_table() {
            let different =
                self.different(table, &rows).await.map_err(|it| line(&it.to_string()))?;
            compared.good += u64::try_from(there.len() - different.len()).unwrap_or_default();
            if different.is_empty() {
                continue;
            }
            let keys: HashSet<String> = different.iter().map(|(key, _)| key.clone()).collect();
            let mended =
                if mend { Some(self.mend(table, &rows.only(table, &keys)).await) } else { None };
            let words = |key: &str| {
                let row = there.iter().find(|it| it.key() == key);
                row.map_or_else(|| key.to_owned(), |it| line(&it.words(table)))
            };
            for (key, is_missing) in different {
                let difference = if is_missing { Difference::Missing } else { Difference::Stale };
                let place = format!("{}.{}", self.settings.schema, table.name);
                let finding = Finding::new(difference, place, words(&key));
                compared.findings.push(match &mended {
                    None => finding,
                    Some(Ok(still)) if still.contains(&key) => finding
                        .mended(Err("it was written and says something else again".to_owned())),
                    Some(Ok(_)) => finding.mended(Ok(())),
                    Some(Err(why)) => finding.mended(Err(why.clone())),
                });
            }
        }
        Ok(compared)
    }

    /// Writes rows over what is there and says which are different all the same.
    async fn mend(&mut self, table: &Table, rows: &Rows) -> Result<HashSet<String>, String> {
        let says = |err: WriteError| line(&err.to_string());
        self.write(rows, Guard::Nothing).await.map_err(says)?;
        let still = self.different(table, rows).await.map_err(says)?;
        Ok(still.into_iter().map(|(key, _)| key).collect())
    }

    /// Keys of the rows that are missing (true) or say something else.
    async fn different(
        &mut self,
        table: &Table,
        rows: &Rows,
    ) -> Result<Vec<(String, bool)>, WriteError> {
        let Some((_, rows)) = rows.by_table().into_iter().find(|(it, _)| it.name == table.name)
        else {
            return Ok(Vec::new());
        };
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let statement = table.compare(&self.settings.schema);
        let parameters = parameters(table, &self.ca, rows);
        let client = self.client().await?;
        let parameters: Vec<_> = borrowed(&parameters).collect();
        let found = client.query(&statement, &parameters).await?;
        Ok(found.iter().map(|it| (it.get(0), it.get(1))).collect())
    }

    /// Certificates of this CA that it has not told of. Where this module is told of a part only,
    /// nothing is known of the rest. Those of other CAs that were taken in are never told of.
    async fn surplus(
        &mut self,
        comparison: &mut Comparison,
        mend: bool,
    ) -> Result<Compared, String> {
        let horizon = self.comparable(comparison).await?;
        if self.partial {
            return Ok(Compared::default());
        }
        let (schema, ca) = (self.settings.schema.clone(), self.ca.clone());
        let says = |err: tokio_postgres::Error| line(&verdict::words(&err));
        let client = self.client().await.map_err(|err| line(&err.to_string()))?;
        let page = format!(
            "SELECT sha256, serial FROM {schema}.certificate \
             WHERE ca = $1 AND event_seq <= $2 AND sha256 > $3 \
             AND state IS DISTINCT FROM 'foreign' ORDER BY sha256 LIMIT $4"
        );
        let found = client
            .query(&page, &[&ca, &horizon, &comparison.position, &PAGE])
            .await
            .map_err(says)?;
        let mut compared = Compared::default();
        let mut surplus: Vec<(String, String)> = Vec::new();
        for row in &found {
            let (key, serial): (String, Option<String>) = (row.get(0), row.get(1));
            comparison.position.clone_from(&key);
            // What is no fingerprint was put there by somebody else.
            if remembered(&key).is_some_and(|it| !comparison.told.contains(&it)) {
                surplus.push((key, serial.unwrap_or_default()));
            }
        }
        compared.more = i64::try_from(found.len()).is_ok_and(|it| it == PAGE);
        let mended = if mend && !surplus.is_empty() {
            let keys: Vec<&str> = surplus.iter().map(|(key, _)| key.as_str()).collect();
            let delete = format!(
                "DELETE FROM {schema}.certificate \
                 WHERE ca = $1 AND event_seq <= $2 AND sha256 = ANY ($3)"
            );
            Some(client.execute(&delete, &[&ca, &horizon, &keys]).await.map(drop).map_err(says))
        } else {
            None
        };
        for (_, serial) in surplus {
            let place = format!("{schema}.certificate");
            let text = format!("serial {}", line(&serial));
            let finding = Finding::new(Difference::Surplus, place, text);
            compared.findings.push(match &mended {
                None => finding,
                Some(result) => finding.mended(result.clone()),
            });
        }
        Ok(compared)
    }
}

/// The first octets of a fingerprint; nothing where it is none.
fn remembered(sha256: &str) -> Option<[u8; REMEMBERED_OCTETS]> {
    let digits = sha256.as_bytes().get(..2 * REMEMBERED_OCTETS)?;
    let mut octets = [0; REMEMBERED_OCTETS];
    for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
        *octet = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(octets)
}
