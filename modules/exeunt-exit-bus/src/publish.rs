//! The module itself: events in, messages out, and what became of each.

use std::time::{Duration, Instant};

use exeunt_module_kit::{
    Event, EventMask, ExitModule, Facts, Greeted, Initialize, MaintainExitModule, ManageExitModule,
    Outcome, Value, exit_event,
    maintain::{InstallReport, TestReport},
    manage::ManageModule,
    notify_as_batch,
};
use exeunt_publication::{cloudevent, outcome, time};
use tokio::runtime::{self, Runtime};

use crate::{
    amqp::{exchange, settings::Amqp},
    connection::{Connection, Failure},
    message,
    settings::{self, Bus, Nats, Settings, TlsMode},
    stream,
};

/// What of AMQP the names of this file would hide.
mod amqp {
    pub use crate::amqp::{connection::Connection, publish::publish};
}

/// What the module is, in one line.
const DESCRIPTION: &str = "tells a message bus of events";

/// What the console shows of it.
const FACTS: Facts =
    Facts { name: "bus", description: DESCRIPTION, version: env!("CARGO_PKG_VERSION") };

/// The exit module. It starts its work with the host's greeting.
#[derive(Debug, Default)]
pub struct BusExit {
    state: Greeted<State>,
}

#[derive(Debug)]
struct State {
    /// One thread for the connection, so that the server's questions are answered also while there
    /// is no event.
    runtime: Runtime,
    connection: Option<Link>,
    target: Target,
}

/// A connection to a bus of either kind.
#[derive(Debug)]
enum Link {
    Nats(Box<Connection>),
    Amqp(Box<amqp::Connection>),
}

impl Link {
    fn is_sound(&self) -> bool {
        match self {
            Self::Nats(connection) => connection.is_sound(),
            Self::Amqp(connection) => connection.is_sound(),
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(Link::Amqp(connection)) = self.connection.take() {
            self.runtime.block_on(connection.close());
        }
    }
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
    /// The attribute `source` of an event.
    pub(crate) fn source(&self, event: &Event) -> String {
        let ca = event.system.string("SanitizedCAName").unwrap_or(&self.ca);
        self.settings.source.clone().unwrap_or_else(|| cloudevent::source(ca))
    }

    async fn nats(&self, nats: &Nats, deadline: Instant) -> Result<Connection, String> {
        let within = deadline.saturating_duration_since(Instant::now());
        Connection::open(&self.settings, nats, &self.module, within).await
    }

    async fn amqp(&self, amqp: &Amqp, deadline: Instant) -> Result<amqp::Connection, String> {
        let within = deadline.saturating_duration_since(Instant::now());
        amqp::Connection::open(&self.settings, amqp, &self.module, within).await
    }
}

impl ExitModule for BusExit {
    fn initialize(&mut self, hello: &Initialize) -> Result<EventMask, String> {
        let state = State::new(hello)?;
        if state.target.settings.tls_mode != TlsMode::Off {
            // What is wrong with its files is said at once.
            state.target.settings.tls.client_config()?;
        }
        self.state.set(state);
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
        notify_as_batch(self, event)
    }

    fn notify_batch(&mut self, events: &[Event]) -> Vec<Outcome> {
        self.state.notify_batch(events, State::publish)
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
        let within = settings.timeout.min(time::budget(hello.deadline_ms));
        let (ca, module) = (hello.config.clone(), hello.module.clone());
        Ok(Self { runtime, connection: None, target: Target { settings, ca, module, within } })
    }

    fn publish(&mut self, events: &[Event]) -> Vec<Outcome> {
        let deadline = Instant::now() + self.target.within;
        let link = self.connection.take().filter(Link::is_sound);
        let target = &self.target;
        let (link, outcomes) = self.runtime.block_on(async {
            let link = match (link, &target.settings.bus) {
                (Some(link), _) => Ok(link),
                (None, Bus::Nats(nats)) => {
                    target.nats(nats, deadline).await.map(|it| Link::Nats(Box::new(it)))
                }
                (None, Bus::Amqp(amqp)) => {
                    target.amqp(amqp, deadline).await.map(|it| Link::Amqp(Box::new(it)))
                }
            };
            let mut link = match link {
                Ok(link) => link,
                Err(why) => return (None, vec![outcome::target_retry(why); events.len()]),
            };
            let outcomes = match (&mut link, &target.settings.bus) {
                (Link::Nats(connection), Bus::Nats(nats)) => {
                    publish(connection, target, nats, events, deadline).await
                }
                (Link::Amqp(connection), Bus::Amqp(amqp)) => {
                    amqp::publish(connection, target, amqp, events, deadline).await
                }
                // Never so: the settings of a running module stay.
                _ => return (None, vec![outcome::retry("nothing was done"); events.len()]),
            };
            // One that has left something unanswered is not used again: it may be half dead.
            let sound = Instant::now() < deadline && link.is_sound();
            (sound.then_some(link), outcomes)
        });
        self.connection = link;
        outcomes
    }
}

/// All are sent before the first answer is waited for, so that many are under way at once.
async fn publish(
    connection: &Connection,
    target: &Target,
    nats: &Nats,
    events: &[Event],
    deadline: Instant,
) -> Vec<Outcome> {
    let mut sent = Vec::with_capacity(events.len());
    for event in events {
        let source = target.source(event);
        let message =
            message::of(event, &target.module, &source, target.settings.mode, &nats.stream);
        sent.push(match nats.subject.expand(event) {
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
            Err(Failure::Later(why)) => outcome::target_retry(why),
            Err(Failure::OtherStream(why)) => outcome::retry(why),
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
        // With what no set of settings may lack: that of the protocol that has such a setting.
        let alone = |others: &[(&str, &str)]| {
            let others = others.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
            let mut written: serde_json::Map<_, _> = others.collect();
            written.insert(name.to_owned(), value.clone());
            Settings::read(&written).map(drop)
        };
        let (user, file) = (("user", "user"), ("password_file", "file"));
        let says_amqp =
            matches!(name, "protocol" | "servers") && value.to_string().contains("amqp");
        let is_amqp = says_amqp || settings::is_of_amqp(name);
        if is_amqp {
            alone(&[("protocol", "amqp"), ("servers", "amqps://bus"), user, file])
        } else {
            alone(&[("servers", "nats://bus")])
        }
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
        self.state.set(State::new(hello)?);
        Ok(())
    }

    fn test(&mut self, samples: &[Event]) -> Result<TestReport, String> {
        let state = self.state.get_mut()?;
        let target = &state.target;
        let deadline = Instant::now() + target.within;
        Ok(state.runtime.block_on(async {
            match &target.settings.bus {
                Bus::Nats(nats) => {
                    let connection = target.nats(nats, deadline).await;
                    stream::test(target, nats, connection, samples, deadline).await
                }
                Bus::Amqp(amqp) => {
                    let connection = target.amqp(amqp, deadline).await;
                    exchange::test(target, amqp, connection, samples, deadline).await
                }
            }
        }))
    }

    fn install(&mut self, apply: bool) -> Result<InstallReport, String> {
        let state = self.state.get_mut()?;
        let target = &state.target;
        let deadline = Instant::now() + target.within;
        Ok(state.runtime.block_on(async {
            match &target.settings.bus {
                Bus::Nats(nats) => {
                    stream::install(nats, target.nats(nats, deadline).await, apply).await
                }
                Bus::Amqp(amqp) => {
                    let connection = target.amqp(amqp, deadline).await;
                    exchange::install(amqp, connection, apply, deadline).await
                }
            }
        }))
    }
}
