//! The module itself: what happens to a batch of events.

use std::{io, sync::Arc, time::Duration};

use exeunt_module_kit::{
    Event, EventMask, ExitModule, Facts, Greeted, Initialize, MaintainExitModule, ManageExitModule,
    Outcome, Value, manage::ManageModule, notify_as_batch,
};
use exeunt_publication::{
    outcome::{self, park, retry},
    time,
};
use tokio::{runtime::Runtime, time::timeout};
use tokio_postgres::{Client, Error};

use crate::{
    connection::{ConnectError, Session},
    record::{self, NoRows, Rows},
    settings::{self, Settings},
    table::{Guard, Parameter, parameters},
    upkeep::Comparison,
    verdict::{self, Verdict},
};

/// Most events of one transaction. Beyond it nothing is gained, and what fails costs more.
const BATCH_MAX: usize = 256;

/// What the module is, in one line.
const DESCRIPTION: &str = "keeps an inventory in PostgreSQL current";

/// What the console shows of it.
const FACTS: Facts =
    Facts { name: "sql", description: DESCRIPTION, version: env!("CARGO_PKG_VERSION") };

/// The exit module. It starts its work with the host's greeting.
#[derive(Debug, Default)]
pub struct SqlExit {
    pub(crate) database: Greeted<Database>,
    pub(crate) comparison: Comparison,
}

/// The database, connected or not.
#[derive(Debug)]
pub struct Database {
    pub(crate) settings: Settings,
    /// Name of the CA: the rows that are ours.
    pub(crate) ca: String,
    /// Name of the module, for commands to type.
    pub(crate) module: String,
    /// Whether another module may have been told of what this one is not.
    pub(crate) partial: bool,
    /// How long a call may take as a whole.
    limit: Duration,
    runtime: Arc<Runtime>,
    session: Option<Session>,
}

/// Why rows were not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server did not take a statement, or went away.
    #[error("{}", verdict::words(.0))]
    Statement(#[from] Error),
    /// It took longer than it may.
    #[error("the database did not answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// The server has confirmed a row that it does not have.
    #[error(
        "the database has confirmed a row of {0} and does not have it, or not as it was written: look \
         for a trigger"
    )]
    Lost(&'static str),
}

impl WriteError {
    /// Stable code for logs and answers.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Connect(err) => err.code(),
            Self::Statement(_) => "sql-statement",
            Self::Timeout(_) => "sql-timeout",
            Self::Lost(_) => "sql-lost",
        }
    }

    fn verdict(&self) -> Verdict {
        match self {
            Self::Connect(err) => err.verdict(),
            Self::Statement(err) => verdict::of(err),
            Self::Timeout(_) => Verdict::Away,
            Self::Lost(_) => Verdict::Refused,
        }
    }
}

impl ExitModule for SqlExit {
    fn initialize(&mut self, hello: &Initialize) -> Result<EventMask, String> {
        let database = Database::new(hello)?;
        if !database.settings.over_socket() {
            // What is wrong with its files is said at once.
            database.settings.tls.client_config()?;
        }
        self.database.set(database);
        Ok(EventMask(record::EVENTS))
    }

    fn description(&self) -> String {
        DESCRIPTION.to_owned()
    }

    fn managed(&mut self) -> Option<&mut dyn ManageExitModule> {
        Some(self)
    }

    fn maintained(&mut self) -> Option<&mut dyn MaintainExitModule> {
        Some(self)
    }

    fn notify(&mut self, event: &Event) -> Outcome {
        notify_as_batch(self, event)
    }

    fn notify_batch(&mut self, events: &[Event]) -> Vec<Outcome> {
        self.database.notify_batch(events, Database::take)
    }

    fn shutdown(&mut self) {
        self.database.take();
    }
}

impl ManageExitModule for SqlExit {
    fn manage_module(&mut self) -> Result<ManageModule, String> {
        Ok(ManageModule { settings: settings::known() })
    }

    fn property(&mut self, name: &str, _flags: u32) -> Result<Option<Value>, String> {
        Ok(FACTS.property(name))
    }

    fn set_property(&mut self, name: &str, value: &serde_json::Value) -> Result<(), String> {
        // With those that no set of settings may lack.
        let needed = ["host", "database", "user"].map(|it| (it.to_owned(), "x".into()));
        let mut written = serde_json::Map::from_iter(needed);
        for (one, other) in [
            ("client_certificate_file", "client_key_file"),
            ("client_key_file", "client_certificate_file"),
        ] {
            if name == one {
                written.insert(other.to_owned(), "x".into());
            }
        }
        written.insert(name.to_owned(), value.clone());
        Settings::read(&written).map(drop)
    }

    fn configure(
        &mut self,
        settings: &serde_json::Map<String, serde_json::Value>,
        _flags: u32,
    ) -> Result<(), String> {
        Settings::read(settings).map(drop)
    }
}

impl Database {
    /// Reads the settings of a greeting. Nothing is connected yet.
    pub fn new(hello: &Initialize) -> Result<Self, String> {
        let settings = Settings::read(&hello.settings)?;
        let runtime = runtime().map_err(|err| format!("a runtime for the database: {err}"))?;
        let limit = settings.timeout.min(time::budget(hello.deadline_ms));
        let (ca, module) = (hello.config.clone(), hello.module.clone());
        let (runtime, partial) = (Arc::new(runtime), hello.partial);
        Ok(Self { settings, ca, module, partial, limit, runtime, session: None })
    }

    fn take(&mut self, events: &[Event]) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(events.len());
        let mut rows: Vec<(usize, Rows)> = Vec::new();
        for (at, event) in events.iter().enumerate() {
            outcomes.push(match record::rows(event, self.settings.store_der) {
                Ok(found) if found.is_empty() => Some(Outcome::Skip),
                Ok(found) => {
                    rows.push((at, found));
                    None
                }
                Err(NoRows::NotNow(why)) => Some(retry(why)),
                Err(NoRows::Never(why)) => Some(park(why)),
            });
        }
        let (limit, module) = (self.limit, self.module.clone());
        let within = async |database: &mut Self| {
            for batch in rows.chunks(BATCH_MAX) {
                database.take_batch(batch, &mut outcomes).await;
            }
        };
        // Whatever the server still does for those that are late: a second time changes nothing.
        let _ = self.block_on(limit, within);
        let unanswered = WriteError::Timeout(limit);
        let undecided = || failed(&unanswered, &module);
        outcomes.into_iter().map(|it| it.unwrap_or_else(undecided)).collect()
    }

    async fn take_batch(&mut self, batch: &[(usize, Rows)], outcomes: &mut [Option<Outcome>]) {
        let together = Rows::together(batch.iter().map(|(_, rows)| rows));
        let err = match self.write(&together, Guard::Newer).await {
            Ok(()) => {
                for (at, _) in batch {
                    outcomes[*at] = Some(Outcome::Accept);
                }
                return;
            }
            Err(err) => err,
        };
        // One of them is at fault, and the others do not suffer for it.
        let alone = err.verdict().is_of_one() && 1 < batch.len();
        for (at, rows) in batch {
            outcomes[*at] = Some(if alone {
                match self.write(rows, Guard::Newer).await {
                    Ok(()) => Outcome::Accept,
                    Err(err) => failed(&err, &self.module),
                }
            } else {
                failed(&err, &self.module)
            });
        }
    }

    /// Writes rows in one transaction, and reads them back where that is wanted. A connection that turns
    /// out to be dead is made anew, once: a server that was restarted in the meantime costs no attempt.
    pub(crate) async fn write(&mut self, rows: &Rows, guard: Guard) -> Result<(), WriteError> {
        let reused = self.session.is_some();
        match self.write_once(rows, guard).await {
            Err(WriteError::Statement(err)) if reused && verdict::is_end_of_connection(&err) => {
                self.write_once(rows, guard).await
            }
            other => other,
        }
    }

    async fn write_once(&mut self, rows: &Rows, guard: Guard) -> Result<(), WriteError> {
        let (schema, ca) = (self.settings.schema.clone(), self.ca.clone());
        let read_back = self.settings.read_back;
        let session = self.session().await?;
        let result = async {
            let mut writes = Vec::new();
            for (table, rows) in rows.by_table() {
                if !rows.is_empty() {
                    let statement = session.prepared(table.write(&schema, guard)).await?;
                    writes.push((statement, parameters(table, &ca, rows)));
                }
            }
            let transaction = session.client.transaction().await?;
            for (statement, parameters) in &writes {
                transaction.execute_raw(statement, borrowed(parameters)).await?;
            }
            transaction.commit().await?;
            // Behind the commit, where everything that the database does by itself is done.
            if read_back {
                for (table, rows) in rows.by_table() {
                    if !rows.is_empty() {
                        let statement = session.prepared(table.lost(&schema)).await?;
                        let parameters = parameters(table, &ca, rows);
                        let parameters: Vec<_> = borrowed(&parameters).collect();
                        if session.client.query_opt(&statement, &parameters).await?.is_some() {
                            return Ok(Some(table.name));
                        }
                    }
                }
            }
            Ok(None)
        };
        let result: Result<Option<&'static str>, Error> = result.await;
        if result.as_ref().is_err_and(verdict::is_end_of_connection) {
            self.session = None;
        }
        result?.map_or(Ok(()), |table| Err(WriteError::Lost(table)))
    }

    /// What takes statements, connected where it is not.
    pub(crate) async fn client(&mut self) -> Result<&mut Client, ConnectError> {
        Ok(&mut self.session().await?.client)
    }

    async fn session(&mut self) -> Result<&mut Session, ConnectError> {
        let session = match self.session.take() {
            Some(session) if !session.client.is_closed() => session,
            _ => Session::open(&self.settings).await?,
        };
        Ok(self.session.insert(session))
    }

    /// Does something with the database within a limit; after an error of time there is no connection
    /// any more.
    pub(crate) fn block_on<T>(
        &mut self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut Self) -> T,
    ) -> Result<T, WriteError> {
        let runtime = Arc::clone(&self.runtime);
        let done = runtime.block_on(async { timeout(limit, work(self)).await });
        done.map_err(|_| {
            // At once, and not when the runtime goes on: the server would keep its locks till then.
            if let Some(session) = self.session.take() {
                runtime.block_on(session.abort());
            }
            WriteError::Timeout(limit)
        })
    }

    /// How long a call may take.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }
}

/// Parameters as the library takes them.
pub fn borrowed(
    parameters: &[Parameter],
) -> impl ExactSizeIterator<Item = &(dyn tokio_postgres::types::ToSql + Sync)> {
    parameters.iter().map(|it| &**it as &(dyn tokio_postgres::types::ToSql + Sync))
}

/// What an error means for an event.
fn failed(err: &WriteError, module: &str) -> Outcome {
    let verdict = err.verdict();
    let mut reason = outcome::line(&format!("{err} ({})", err.code()));
    if matches!(verdict, Verdict::Mend | Verdict::Refused) {
        reason = format!("{reason}; see: exeunt exit test {module}");
    }
    verdict::outcome(verdict, &reason)
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
