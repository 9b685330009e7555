//! The module itself: events in, messages out, and what became of each.

use std::time::{Duration, Instant};

use exeunt_module_kit::{
    Event, EventMask, ExitModule, Facts, Initialize, MaintainExitModule, ManageExitModule, Outcome,
    Value, exit_event,
    maintain::{InstallReport, TestReport},
    manage::ManageModule,
};
use exeunt_publication::{cloudevent, outcome};
use tokio::runtime::{self, Runtime};

use crate::{
    connection::{Connection, Failure},
    message,
    settings::{self, Settings},
    stream,
};

/// What the module is, in one line.
const DESCRIPTION: &str = "tells a message bus of events";

/// What the console shows of it.
const FACTS: Facts =
    Facts { name: "bus", description: DESCRIPTION, version: env!("CARGO_PKG_VERSION") };

/// The part of the host's deadline that a batch may take, as a fraction: the rest is for the way of
/// the answers.
const OF_DEADLINE: (u32, u32) = (3, 4);

/// The exit module. It starts its work with the host's greeting.
#[derive(Debug, Default)]
pub struct BusExit {
    state: Option<State>,
}

#[derive(Debug)]
struct State {
    /// One thread for the connection, so that the server's questions are answered also while there
    /// is no event.
    runtime: Runtime,
    connection: Option<Connection>,
    target: Target,
}

/// Where everything goes.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) settings: Settings,
    /// Name of the CA where an event has none.
    pub(crate) ca: String,
    /// Name under which the module is configured.
    pub(crate) module: String,
    /// How long a batch may take.
    pub(crate) within: Duration,
}

impl Target {
    pub(crate) fn subject(&self, event: &Event) -> Result<String, String> {
        self.settings.subject.expand(event)
    }

    /// The attribute `source` of an event.
    pub(crate) fn source(&self, event: &Event) -> String {
        let ca = event.system.string("SanitizedCAName").unwrap_or(&self.ca);
        self.settings.source.clone().unwrap_or_else(|| cloudevent::source(ca))
    }

    async fn connect(&self, deadline: Instant) -> Result<Connection, String> {
        let within = deadline.saturating_duration_since(Instant::now());
        Connection::open(&self.settings, &self.module, within).await
    }
}

impl ExitModule for BusExit {
    fn initialize(&mut self, hello: &Initialize) -> Result<EventMask, String> {
        self.state = Some(State::new(hello)?);
        Ok(EventMask(exit_event::ALL))
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
        let mut outcomes = self.notify_batch(std::slice::from_ref(event));
        outcomes.pop().unwrap_or_else(|| outcome::retry("nothing was done"))
    }

    fn notify_batch(&mut self, events: &[Event]) -> Vec<Outcome> {
        match &mut self.state {
            Some(state) => state.publish(events),
            None => vec![outcome::retry("the module has no settings yet"); events.len()],
        }
    }
}

impl State {
    fn new(hello: &Initialize) -> Result<Self, String> {
        let settings = Settings::read(&hello.settings)?;
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|err| format!("a thread cannot be made: {err}"))?;
        let (part, of) = OF_DEADLINE;
        let within = settings.timeout.min(Duration::from_millis(hello.deadline_ms) * part / of);
        let (ca, module) = (hello.config.clone(), hello.module.clone());
        Ok(Self { runtime, connection: None, target: Target { settings, ca, module, within } })
    }

    fn publish(&mut self, events: &[Event]) -> Vec<Outcome> {
        let deadline = Instant::now() + self.target.within;
        let connection = self.connection.take().filter(Connection::is_sound);
        let target = &self.target;
        let (connection, outcomes) = self.runtime.block_on(async {
            let connection = match connection {
                Some(connection) => connection,
                None => match target.connect(deadline).await {
                    Ok(connection) => connection,
                    Err(why) => return (None, vec![outcome::retry(why); events.len()]),
                },
            };
            let outcomes = publish(&connection, target, events, deadline).await;
            // One that has left something unanswered is not used again: it may be half dead.
            let sound = Instant::now() < deadline && connection.is_sound();
            (sound.then_some(connection), outcomes)
        });
        self.connection = connection;
        outcomes
    }
}

/// All are sent before the first answer is waited for, so that many are under way at once.
async fn publish(
    connection: &Connection,
    target: &Target,
    events: &[Event],
    deadline: Instant,
) -> Vec<Outcome> {
    let Settings { mode, stream, .. } = &target.settings;
    let mut sent = Vec::with_capacity(events.len());
    for event in events {
        let source = target.source(event);
        let message = message::of(event, &target.module, &source, *mode, stream);
        sent.push(match target.subject(event) {
            Ok(subject) => connection.send(subject, message, deadline).await,
            Err(why) => Err(Failure::Never(format!("the subject: {why}"))),
        });
    }
    let mut outcomes = Vec::with_capacity(events.len());
    for sent in sent {
        let confirmed = match sent {
            Ok(sent) => connection.confirmed(sent, deadline).await,
            Err(failure) => Err(failure),
        };
        outcomes.push(match confirmed {
            Ok(()) => Outcome::Accept,
            Err(Failure::Later(why)) => outcome::retry(why),
            Err(Failure::Never(why)) => outcome::park(why),
        });
    }
    outcomes
}

impl ManageExitModule for BusExit {
    fn manage_module(&mut self) -> Result<ManageModule, String> {
        Ok(ManageModule { settings: settings::known() })
    }

    fn property(&mut self, name: &str, _flags: u32) -> Result<Option<Value>, String> {
        Ok(FACTS.property(name))
    }

    fn set_property(&mut self, name: &str, value: &serde_json::Value) -> Result<(), String> {
        // With a server, which no set of settings may lack.
        let mut written = serde_json::Map::from_iter([("servers".to_owned(), "nats://bus".into())]);
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

impl MaintainExitModule for BusExit {
    fn begin(&mut self, hello: &Initialize) -> Result<(), String> {
        self.state = Some(State::new(hello)?);
        Ok(())
    }

    fn test(&mut self, samples: &[Event]) -> Result<TestReport, String> {
        let state = self.state.as_mut().ok_or("the module has no settings yet")?;
        let target = &state.target;
        let deadline = Instant::now() + target.within;
        Ok(state.runtime.block_on(async {
            stream::test(target, target.connect(deadline).await, samples, deadline).await
        }))
    }

    fn install(&mut self, apply: bool) -> Result<InstallReport, String> {
        let state = self.state.as_mut().ok_or("the module has no settings yet")?;
        let target = &state.target;
        let deadline = Instant::now() + target.within;
        Ok(state.runtime.block_on(async {
            stream::install(target, target.connect(deadline).await, apply).await
        }))
    }
}
